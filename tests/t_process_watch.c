/*
 * t_process_watch.c - the process pool seen from outside: counters, usage of each worker, logs of
 * all processes, spans, metrics.
 */
#include "core/base/json.h"
#include "core/observe/metrics.h"
#include "tests/lib/pool_watch.h"

bool pool_sync_ring;

/* ---- counters ---- */

static void D41_D42_counters_are_exact(void **state)
{
	process_pool_t *p = pool_n(2, 256);
	pool_stats_t st;

	(void)state;
	for (int i = 0; i < 30; i++)
		pool_submit_sync(p, task_sleep, NULL, 0, (void *)10L, 0, 0, NULL);
	st = stats_of(p);
	assert_int_equal(st.tasks_completed, 30);
	assert_int_equal(st.tasks_failed, 0);
	assert_true(st.avg_task_time_ms >= 10.0);
	assert_true(st.p50_us >= 10000 && st.p50_us <= st.p99_us && st.p99_us <= st.p999_us);
	for (int i = 0; i < 20; i++)
		pool_submit_sync(p, task_rc, NULL, 0, (void *)1L, 0, 0, NULL);
	st = stats_of(p);
	assert_int_equal(st.tasks_completed, 30);
	assert_int_equal(st.tasks_failed, 20);
	assert_int_equal(st.tasks_submitted, 50);
	assert_int_equal(st.queue_capacity, 256);
	pool_destroy(p);
}

/* The pool is at the same address there: it was made before the fork. */
static int task_stats(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	pool_stats_t st;

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	return pool_get_stats(user, &st) ? -1 : (int)(st.tasks_submitted * 10 + st.workers_busy);
}

static void D40_stats_can_be_read_in_a_worker(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	task_result_t r;

	(void)state;
	pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL);
	pool_submit_sync(p, task_stats, NULL, 0, p, 0, 0, &r);
	assert_int_equal(r.rc, 21);
	pool_destroy(p);
}

static int task_burn(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	uint64_t end = canp_clock_ns() + (uint64_t)(intptr_t)user * 1000000u;
	char *mem = malloc(100 << 20);
	int fds[10];

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	for (int i = 0; i < 10; i++)
		fds[i] = open("/dev/null", O_RDONLY);
	memset(mem, 1, 100 << 20);
	__asm__ volatile("" ::"r"(mem) : "memory");
	while (canp_clock_ns() < end && !pool_task_cancelled())
		;
	for (int i = 0; i < 10; i++)
		close(fds[i]);
	free(mem);
	return 0;
}

static void D35_usage_of_each_worker_is_seen(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	struct canp_process_worker before, w;
	task_future_t *f;

	(void)state;
	assert_int_equal(canp_process_pool_workers(p, &before, 1), 1);
	f = pool_submit_async(p, task_burn, NULL, 0, (void *)600000L, 0, 0);
	/* 100 MiB less one: the kernel keeps the figure per CPU and adds it up in batches. */
	wait_for(canp_process_pool_workers(p, &w, 1) == 1 && w.open_fds >= before.open_fds + 10 &&
		 w.rss_bytes >= before.rss_bytes + (99u << 20) && w.busy);
	wait_for(canp_process_pool_workers(p, &w, 1) == 1 && w.cpu_ns > before.cpu_ns + 100000000u);
	/* Of an otherwise busy machine it may get little; some it gets. */
	wait_for((usleep(50000), canp_process_pool_workers(p, &w, 1) == 1) && w.cpu_percent > 1.0);
	pool_future_cancel(f);
	pool_future_destroy(f);
	pool_destroy(p);
}

static void D58_counters_of_the_processor_or_a_reason(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .perf_counters = true});
	struct canp_process_worker w;

	(void)state;
	pool_submit_sync(p, task_burn, NULL, 0, (void *)5L, 0, 0, NULL);
	wait_for(canp_process_pool_workers(p, &w, 1) == 1 && !w.busy &&
		 (w.perf_error < 0 || w.cycles > 0));
	if (w.perf_error)
		assert_int_equal(w.instructions, 0);
	else
		assert_true(w.instructions > 0);
	pool_destroy(p);
}

/* ---- names, logs ---- */

static int task_comm(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	char *name = malloc(32);
	FILE *f = fopen("/proc/self/comm", "r");

	(void)in;
	(void)n;
	(void)user;
	if (!f || !fgets(name, 32, f))
		return -1;
	fclose(f);
	*out = name;
	*out_n = strlen(name) + 1;
	return 0;
}

static void D24_the_name_is_seen_outside(void **state)
{
	pool_config_t c = {.worker_count = 1};
	process_pool_t *p;
	task_result_t r;

	(void)state;
	memset(c.pool_name, 'n', sizeof(c.pool_name)); /* without an end */
	memcpy(c.pool_name, "my_pool", 7);
	p = pool_of(c);
	assert_int_equal(pool_submit_sync(p, task_comm, NULL, 0, NULL, 0, 0, &r), 0);
	assert_memory_equal(r.output_data, "my_pool", 7);
	assert_non_null(strstr(r.output_data, "-0"));
	task_result_release(&r);
	pool_destroy(p);
}

static int task_log(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	canp_process_log(NULL, LOG_LEVEL_DEBUG, "debug %d", (int)(intptr_t)user);
	canp_process_log(NULL, LOG_LEVEL_WARN, "line %d of a text that is long enough to be torn",
			 (int)(intptr_t)user);
	return 0;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

static void D23_D44_log_levels_filter_in_live_workers(void **state)
{
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 1, .log_level = LOG_LEVEL_WARN});
	size_t len;
	char *text;

	(void)state;
	assert_int_equal(pool_set_log_file(p, in_dir("level.log")), 0);
	pool_submit_sync(p, task_log, NULL, 0, (void *)1L, 0, 0, NULL);
	pool_set_log_level(p, LOG_LEVEL_DEBUG);
	pool_submit_sync(p, task_log, NULL, 0, (void *)2L, 0, 0, NULL);
	pool_set_log_level(p, LOG_LEVEL_ERROR);
	pool_submit_sync(p, task_log, NULL, 0, (void *)3L, 0, 0, NULL);
	pool_set_log_level(p, 77);
	assert_int_equal(pool_set_log_file(p, "/no/such/folder/x.log"), -ENOENT);
	pool_destroy(p);
	text = read_all(in_dir("level.log"), &len);
	assert_int_equal(count_of(text, "debug: debug 1"), 0);
	assert_int_equal(count_of(text, "warning: line 1 "), 1);
	assert_int_equal(count_of(text, "debug: debug 2"), 1);
	assert_int_equal(count_of(text, "warning: line 2 "), 1);
	assert_int_equal(count_of(text, "line 3 "), 0);
	free(text);
}

static void D46_the_environment_overrides_the_level(void **state)
{
	process_pool_t *p;
	size_t len;
	char *text;

	(void)state;
	setenv("PROCESS_POOL_LOG_LEVEL", "4", 1);
	p = pool_of((pool_config_t){.worker_count = 1, .log_level = LOG_LEVEL_ERROR});
	unsetenv("PROCESS_POOL_LOG_LEVEL");
	pool_set_log_file(p, in_dir("env.log"));
	pool_submit_sync(p, task_log, NULL, 0, (void *)1L, 0, 0, NULL);
	pool_destroy(p);
	text = read_all(in_dir("env.log"), &len);
	assert_int_equal(count_of(text, "debug: debug 1"), 1);
	free(text);
}

/* All lines of all files, each one whole and there once. */
static void check_lines(const char *stem, unsigned files, int lines)
{
	unsigned char *seen = calloc(1, (size_t)lines);
	char path[200];

	for (unsigned i = 0; i <= files; i++) {
		char *text, *line, *save = NULL;
		size_t len;

		if (i)
			snprintf(path, sizeof(path), "%s.%u", stem, i);
		else
			snprintf(path, sizeof(path), "%s", stem);
		if (access(path, R_OK))
			continue;
		text = read_all(path, &len);
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			char *at = strstr(line, "warning: line ");
			int k;

			if (!at)
				continue;
			assert_int_equal(sscanf(at, "warning: line %d of", &k), 1);
			assert_string_equal(strrchr(line, ' '), " torn");
			assert_in_range(k, 0, lines - 1);
			assert_int_equal(seen[k], 0);
			seen[k] = 1;
		}
		free(text);
	}
	for (int i = 0; i < lines; i++)
		assert_int_equal(seen[i], 1);
	free(seen);
}

static void D45_D47_no_line_is_torn_or_lost_over_rotations(void **state)
{
	enum { N = 4000 };
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 3,
						    .queue_size = N,
						    .futures = N,
						    .log_keep = 40,
						    .log_level = LOG_LEVEL_WARN});
	task_future_t **f = calloc(N, sizeof(*f));
	const char *path = in_dir("rotate.log");

	(void)state;
	assert_int_equal(pool_set_log_file(p, path), 0);
	for (int i = 0; i < N; i++) {
		f[i] = pool_submit_async(p, task_log, NULL, 0, (void *)(intptr_t)i, 0, 0);
		assert_non_null(f[i]);
		if (i % 300 == 299)
			assert_int_equal(canp_process_pool_rotate_log(p), 0);
	}
	for (int i = 0; i < N; i++) {
		pool_future_wait(f[i], NULL, UINT32_MAX);
		pool_future_destroy(f[i]);
	}
	pool_destroy(p);
	check_lines(path, 40, N);
	free(f);
}

static void D47_a_full_file_is_rotated(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 2,
						    .queue_size = 1024,
						    .log_keep = 60,
						    .log_max_bytes = 20000,
						    .log_level = LOG_LEVEL_WARN});
	const char *path = in_dir("size.log");
	char first[200];

	(void)state;
	assert_int_equal(pool_set_log_file(p, path), 0);
	for (int i = 0; i < 1000; i++)
		pool_submit_sync(p, task_log, NULL, 0, (void *)(intptr_t)i, 0, 0, NULL);
	pool_destroy(p);
	snprintf(first, sizeof(first), "%s.1", path);
	assert_int_equal(access(first, R_OK), 0);
	check_lines(path, 60, 1000);
}

/* ---- spans, metrics ---- */

static int task_traced(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	struct canp_trace_ctx *c = malloc(sizeof(*c));

	(void)in;
	(void)n;
	(void)user;
	canp_process_trace(c);
	*out = c;
	*out_n = sizeof(*c);
	return 0;
}

static void D36_one_trace_id_over_two_processes(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .trace = true});
	task_desc_t d = {.func = task_traced,
			 .trace = {.trace_id = {0xab, 0xcd, 3}, .span_id = {1, 2, 3}, .flags = 1}};
	struct canp_json_doc *doc;
	struct canp_trace_ctx *c;
	char *text, pid[64];
	task_future_t *f;
	task_result_t r;
	size_t len, at;

	(void)state;
	assert_int_equal(pool_submit_batch_into(p, &d, 1, &f), 0);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	c = r.output_data;
	assert_memory_equal(c->trace_id, d.trace.trace_id, 16);
	assert_memory_equal(r.trace.trace_id, d.trace.trace_id, 16);
	assert_memory_not_equal(c->span_id, d.trace.span_id, 8);
	assert_memory_equal(r.trace.span_id, c->span_id, 8);
	pool_future_destroy(f);
	assert_int_equal(canp_process_pool_trace_export(p, in_dir("t.json"), "otlp"), 0);
	text = read_all(in_dir("t.json"), &len);
	assert_int_equal(canp_json_parse(text, len, 32, &doc, &at), 0);
	canp_json_doc_destroy(doc);
	assert_int_equal(count_of(text, "\"traceId\":\"abcd03"), 5);
	assert_int_equal(count_of(text, "\"name\":\"submit\""), 1);
	assert_int_equal(count_of(text, "\"name\":\"queue\""), 1);
	assert_int_equal(count_of(text, "\"name\":\"run\""), 1);
	assert_int_equal(count_of(text, "\"name\":\"complete\""), 1);
	snprintf(pid, sizeof(pid), "\"intValue\":\"%d\"", (int)r.worker_pid);
	assert_int_equal(count_of(text, pid), 1);
	snprintf(pid, sizeof(pid), "\"intValue\":\"%d\"", (int)getpid());
	assert_int_equal(count_of(text, pid), 4);
	free(text);
	/* Without a context of the caller it has one of its own. */
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, &r), 0);
	assert_memory_not_equal(r.trace.trace_id, (uint8_t[16]){0}, 16);
	assert_int_equal(canp_process_pool_trace_export(p, in_dir("t.chrome"), "chrome"), 0);
	text = read_all(in_dir("t.chrome"), &len);
	assert_int_equal(canp_json_parse(text, len, 32, &doc, &at), 0);
	assert_int_equal(canp_json_get(canp_json_root(doc), "traceEvents")->nr, 7);
	canp_json_doc_destroy(doc);
	free(text);
	assert_int_equal(canp_process_pool_trace_export(p, in_dir("x"), "xml"), -EINVAL);
	pool_destroy(p);
}

static void D37_metrics_are_valid_and_true(void **state)
{
	process_pool_t *p = pool_n(2, 16);
	struct canp_metrics *m = malloc(sizeof(*m));
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	(void)state;
	for (int i = 0; i < 7; i++)
		pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL);
	canp_metrics_init(m, &sb, CANP_METRICS_OPENMETRICS);
	canp_process_pool_metrics(p, m);
	assert_int_equal(canp_metrics_finish(m), 0);
	assert_non_null(strstr(sb.buf, "canp_process_tasks_completed_total{pool=\"t\"} 7\n"));
	assert_non_null(strstr(sb.buf, "canp_process_workers{pool=\"t\"} 2\n"));
	canp_strbuf_fini(&sb);
	free(m);
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D23_D44_log_levels_filter_in_live_workers),
		cmocka_unit_test(D24_the_name_is_seen_outside),
		cmocka_unit_test(D35_usage_of_each_worker_is_seen),
		cmocka_unit_test(D36_one_trace_id_over_two_processes),
		cmocka_unit_test(D37_metrics_are_valid_and_true),
		cmocka_unit_test(D40_stats_can_be_read_in_a_worker),
		cmocka_unit_test(D41_D42_counters_are_exact),
		cmocka_unit_test(D45_D47_no_line_is_torn_or_lost_over_rotations),
		cmocka_unit_test(D46_the_environment_overrides_the_level),
		cmocka_unit_test(D47_a_full_file_is_rotated),
		cmocka_unit_test(D58_counters_of_the_processor_or_a_reason),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
