/*
 * t_process_watch.c - the process pool seen from outside: payload memory, counters, usage of each
 * worker, logs of all processes, spans, metrics, limits.
 */
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/base/compiler.h"
#include "core/base/json.h"
#include "core/observe/metrics.h"
#include "tests/lib/pool_tasks.h"
#include "tests/lib/tmpdir.h"

bool pool_sync_ring;

static pool_stats_t stats_of(process_pool_t *p)
{
	pool_stats_t st;

	assert_int_equal(pool_get_stats(p, &st), 0);
	return st;
}

static char *read_all(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	char *text;

	assert_non_null(f);
	text = malloc(64 << 20);
	*len = fread(text, 1, (64 << 20) - 1, f);
	text[*len] = 0;
	fclose(f);
	return text;
}

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][160];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static int dir_make(void **state)
{
	(void)state;
	return tmpdir_make(dir, sizeof(dir), "/tmp/t_process_watch");
}

static int dir_remove(void **state)
{
	(void)state;
	return tmpdir_remove(dir);
}

/* ---- payload ---- */

static uint64_t frame_of(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t v = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &v, 8, (off_t)((uintptr_t)p / 4096 * 8)) != 8)
		v = 0;
	close(fd);
	return v & ((1ull << 55) - 1);
}

/* Answers with the page frames that it sees its input and its output in. */
static int task_frames(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	char *o = canp_process_alloc(n);
	uint64_t *f = (uint64_t *)o;

	(void)user;
	if (!o)
		return -ENOMEM;
	for (size_t i = 4096; i < n; i += 4096)
		o[i] = (char)(((char *)in)[i] + 1);
	f[0] = frame_of(in);
	f[1] = frame_of((char *)in + n / 2);
	f[2] = frame_of(o + n / 2);
	*out = o;
	*out_n = n;
	return 0;
}

static void D28_large_payload_is_the_same_memory_in_both_processes(void **state)
{
	size_t n = 64 << 20;
	process_pool_t *p = pool_n(1, 16);
	char *in = pool_alloc_payload(p, n);
	uint64_t *f;
	task_result_t r;

	(void)state;
	assert_non_null(in);
	assert_true((uintptr_t)in % 64 == 0);
	for (size_t i = 0; i < n; i += 4096)
		in[i] = (char)(i >> 12);
	for (int k = 0; k < 8; k++) { /* 512 MiB of output in 256 MiB: it comes back */
		assert_int_equal(pool_submit_sync(p, task_frames, in, n, NULL, TASK_PRIORITY_HIGH,
						  60000, &r),
				 0);
		assert_int_equal(r.output_size, n);
		f = r.output_data;
		/* A page is in this process's table once it was looked at. */
		assert_int_equal(((volatile char *)r.output_data)[n / 2],
				 (char)((n / 2 >> 12) + 1));
		if (frame_of(in)) {
			assert_int_equal(f[0], frame_of(in));
			assert_int_equal(f[1], frame_of(in + n / 2));
			assert_int_equal(f[2], frame_of((char *)r.output_data + n / 2));
		}
		for (size_t i = 4096; i < n; i += 4096)
			if (((char *)r.output_data)[i] != (char)((i >> 12) + 1))
				fail();
		task_result_release(&r);
	}
	assert_true(stats_of(p).payload_bytes >= n);
	pool_free_payload(p, in);
	assert_int_equal(stats_of(p).payload_bytes, 0);
	pool_destroy(p);
}

/* Payload passed on as it is: input as output, a part of it, and what is not returned goes back. */
static int task_in_place(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	for (int i = 0; i < 10; i++)
		if (!canp_process_alloc(1 << 20))
			return -ENOMEM;
	if (user)
		return 0;
	*(char *)in += 1;
	*out = (char *)in + 1;
	*out_n = n - 1;
	return 0;
}

static void D28_nothing_leaks_from_the_heaps(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 1, .queue_size = 16, .shm_bytes = 16 << 20, .restart_max = 60});
	char *in = pool_alloc_payload(p, 5000);
	task_result_t r;

	(void)state;
	memset(in, 7, 5000);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(pool_submit_sync(p, task_in_place, in, 5000, NULL, 0, 0, &r), 0);
		assert_ptr_equal(r.output_data, in + 1);
		assert_int_equal(in[0], 8 + i);
		task_result_release(&r);
		assert_int_equal(pool_submit_sync(p, task_in_place, in, 5000, in, 0, 0, &r), 0);
	}
	/* Too large, for the caller and for the worker. */
	assert_null(pool_alloc_payload(p, 17 << 20));
	assert_int_equal(errno, ENOMEM);
	assert_non_null(pool_alloc_payload(p, 15 << 20));
	pool_free_payload(p, NULL);
	pool_destroy(p);
}

/* Calls of malloc() in this process, and in a worker as it tells. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNT_MALLOC 1
static unsigned long mallocs;
void *__libc_malloc(size_t n);
void *malloc(size_t n);
void *malloc(size_t n)
{
	__atomic_add_fetch(&mallocs, 1, __ATOMIC_RELAXED);
	return __libc_malloc(n);
}
#else
#define COUNT_MALLOC 0
static unsigned long mallocs;
#endif

static int task_mallocs(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	unsigned long *v = canp_process_alloc(sizeof(*v));

	(void)in;
	(void)n;
	(void)user;
	*v = mallocs;
	*out = v;
	*out_n = sizeof(*v);
	return 0;
}

static void D54_no_task_costs_a_malloc(void **state)
{
	process_pool_t *p = pool_n(1, 128);
	unsigned long before, here;
	task_future_t *f[64];
	task_desc_t d[64];
	char in[1000] = {1};
	task_result_t r;

	(void)state;
	if (!COUNT_MALLOC) {
		pool_destroy(p);
		skip();
	}
	memset(d, 0, sizeof(d));
	for (int i = 0; i < 64; i++)
		d[i] = (task_desc_t){
			.func = task_mallocs, .input_data = in, .input_size = i % 2 ? 16 : 100};
	pool_submit_sync(p, task_mallocs, in, sizeof(in), NULL, 0, 0, &r);
	before = *(unsigned long *)r.output_data;
	task_result_release(&r);
	here = mallocs;
	for (int k = 0; k < 50; k++) {
		assert_int_equal(pool_submit_batch_into(p, d, 64, f), 0);
		for (int i = 0; i < 64; i++) {
			assert_int_equal(pool_future_wait(f[i], &r, UINT32_MAX), 0);
			assert_int_equal(*(unsigned long *)r.output_data, before);
		}
		canp_process_future_put_batch(f, 64);
		pool_submit_sync(p, task_mallocs, in, sizeof(in), NULL, 0, 5000, &r);
		assert_int_equal(*(unsigned long *)r.output_data, before);
		task_result_release(&r);
	}
	assert_int_equal(mallocs, here);
	pool_destroy(p);
}

static void D54_the_heap_gives_back_what_it_got(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .shm_bytes = 4 << 20});
	void *v[64];
	unsigned seed = 7;

	(void)state;
	memset(v, 0, sizeof(v));
	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rand_r(&seed) % 64;

		if (v[k]) {
			unsigned char *c = v[k];

			assert_int_equal(c[0], k);
			assert_int_equal(c[99], k);
			pool_free_payload(p, v[k]);
			v[k] = NULL;
		} else {
			v[k] = pool_alloc_payload(p, 100 + (size_t)rand_r(&seed) % 60000);
			if (v[k])
				memset(v[k], (int)k, 100);
		}
	}
	for (unsigned k = 0; k < 64; k++)
		pool_free_payload(p, v[k]);
	assert_int_equal(stats_of(p).payload_bytes, 0);
	v[0] = pool_alloc_payload(p, 3 << 20); /* all of it in one piece again */
	assert_non_null(v[0]);
	pool_destroy(p);
}

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
	wait_for(canp_process_pool_workers(p, &w, 1) == 1 && w.open_fds >= before.open_fds + 10 &&
		 w.rss_bytes >= before.rss_bytes + (100u << 20) && w.busy);
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

/* ---- limits ---- */

static int task_hog(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	for (int i = 0; i < 400; i++) {
		char *v = malloc(1 << 20);

		if (!v)
			return -ENOMEM;
		memset(v, 1, 1 << 20);
		__asm__ volatile("" ::"r"(v) : "memory");
	}
	(void)user;
	return 0;
}

static void D34_a_memory_hog_ends_as_resource(void **state)
{
	struct canp_process_limits l = {
		.mem_max_bytes = 64 << 20, .pids_max = 50, .cpu_quota_us = 50000};
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	struct canp_process_limits_state st;
	char path[320];
	struct stat sb;
	task_result_t r;

	(void)state;
	canp_process_pool_limits(p, &st);
	if (!st.memory) {
		print_message("skipped: no memory group here (%s)\n", st.reason);
		pool_destroy(p);
		return;
	}
	assert_int_equal(pool_submit_sync(p, task_hog, NULL, 0, NULL, 0, 0, &r), -EDQUOT);
	assert_int_equal(r.outcome, CANP_PROCESS_RESOURCE);
	assert_int_equal(r.signal, SIGKILL);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, &r), 0);
	snprintf(path, sizeof(path), "%s", st.path);
	pool_destroy(p);
	assert_int_equal(stat(path, &sb), -1); /* the group is gone, too */
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void check_file(const char *base, const char *file, const char *want)
{
	char path[400], *text;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", base, file);
	text = read_all(path, &len);
	assert_string_equal(text, want);
	free(text);
}

static void D34_limits_are_written_in_version_2(void **state)
{
	struct canp_process_limits l = {
		.mem_max_bytes = 1000000, .pids_max = 50, .cpu_quota_us = 50000};
	struct canp_process_limits_state st;
	process_pool_t *p;

	(void)state;
	mkdir(in_dir("v2"), 0755);
	write_file(in_dir("v2/cgroup.controllers"), "cpu memory pids\n");
	l.cgroup_root = in_dir("v2");
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	assert_true(st.cgroup_v2 && st.memory && st.cpu && st.pids);
	assert_string_equal(st.reason, "");
	check_file(st.path, "memory.max", "1000000");
	check_file(st.path, "cpu.max", "50000 100000");
	check_file(st.path, "pids.max", "50");
	check_file(st.path, "cgroup.procs", "0");
	pool_destroy(p);
}

static void D34_limits_are_written_in_version_1(void **state)
{
	struct canp_process_limits l = {.mem_max_bytes = 1000000,
					.pids_max = 50,
					.cpu_quota_us = 50000,
					.cpu_period_us = 200000};
	struct canp_process_limits_state st;
	char path[400];
	process_pool_t *p;
	const char *root;

	(void)state;
	root = in_dir("v1");
	mkdir(root, 0755);
	snprintf(path, sizeof(path), "%s/memory", root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/cpu", root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/pids", root);
	mkdir(path, 0755);
	l.cgroup_root = root;
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	assert_true(!st.cgroup_v2 && st.memory && st.cpu && st.pids);
	check_file(st.path, "memory.limit_in_bytes", "1000000");
	pool_destroy(p);
	/* No controller at all: said, and refused only when it is required. */
	mkdir(in_dir("v0"), 0755);
	l.cgroup_root = in_dir("v0");
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	assert_false(st.memory || st.cpu || st.pids);
	assert_true(st.reason[0]);
	pool_destroy(p);
	l.required = true;
	assert_null(pool_create(&(pool_config_t){.worker_count = 1, .limits = &l}));
}

static int task_rlimits(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	struct rlimit r;

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	(void)user;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur != 64)
		return 1;
	if (getrlimit(RLIMIT_CORE, &r) || r.rlim_cur != 0)
		return 2;
	return 0;
}

static int task_forbidden(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	int fd;

	(void)n;
	(void)out;
	(void)out_n;
	fd = open(in, user ? O_RDWR | O_CREAT : O_RDONLY, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int forbidden(process_pool_t *p, const char *path, bool write_it)
{
	task_result_t r;

	pool_submit_sync(p, task_forbidden, (void *)(uintptr_t)path, strlen(path) + 1,
			 write_it ? (void *)1L : NULL, 0, 0, &r);
	return r.rc;
}

static void D34_workers_give_up_what_they_do_not_need(void **state)
{
	const char *ro[] = {"/usr", NULL}, *rw[] = {dir, NULL};
	struct canp_process_limits l = {.nofile = 64, .no_core = true};
	struct canp_process_limits_state st;
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});

	(void)state;
	assert_int_equal(pool_submit_sync(p, task_rlimits, NULL, 0, NULL, 0, 0, NULL), 0);
	pool_destroy(p);
	l.landlock_ro = ro;
	l.landlock_rw = rw;
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	if (st.landlock) {
		assert_int_equal(forbidden(p, "/usr", false), 0);
		assert_int_equal(forbidden(p, "/etc/passwd", false), -EACCES);
		assert_int_equal(forbidden(p, in_dir("rw"), true), 0);
		assert_int_equal(forbidden(p, "/usr/canp-test", true), -EACCES);
	} else {
		print_message("skipped: %s\n", st.reason);
	}
	pool_destroy(p);
	l = (struct canp_process_limits){.seccomp = true};
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	if (st.seccomp) {
		assert_true(st.no_new_privs);
		assert_int_equal(forbidden(p, "/etc/passwd", false), -EPERM);
		assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	} else {
		print_message("skipped: %s\n", st.reason);
	}
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D23_D44_log_levels_filter_in_live_workers),
		cmocka_unit_test(D24_the_name_is_seen_outside),
		cmocka_unit_test(D28_large_payload_is_the_same_memory_in_both_processes),
		cmocka_unit_test(D28_nothing_leaks_from_the_heaps),
		cmocka_unit_test(D34_a_memory_hog_ends_as_resource),
		cmocka_unit_test(D34_limits_are_written_in_version_1),
		cmocka_unit_test(D34_limits_are_written_in_version_2),
		cmocka_unit_test(D34_workers_give_up_what_they_do_not_need),
		cmocka_unit_test(D35_usage_of_each_worker_is_seen),
		cmocka_unit_test(D36_one_trace_id_over_two_processes),
		cmocka_unit_test(D37_metrics_are_valid_and_true),
		cmocka_unit_test(D40_stats_can_be_read_in_a_worker),
		cmocka_unit_test(D41_D42_counters_are_exact),
		cmocka_unit_test(D45_D47_no_line_is_torn_or_lost_over_rotations),
		cmocka_unit_test(D46_the_environment_overrides_the_level),
		cmocka_unit_test(D47_a_full_file_is_rotated),
		cmocka_unit_test(D54_no_task_costs_a_malloc),
		cmocka_unit_test(D54_the_heap_gives_back_what_it_got),
		cmocka_unit_test(D58_counters_of_the_processor_or_a_reason),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
