/*
 * t_process.c - the process pool: life cycle, submitting, futures, results, queue, priorities.
 */
#include <pthread.h>

#include "core/base/compiler.h"
#include "core/runtime/task.h"
#include "tests/lib/pool_tasks.h"

bool pool_sync_ring;

static void D02_create_fills_defaults_and_refuses_nonsense(void **state)
{
	pool_config_t bad = {.worker_count = -1};
	process_pool_t *p = pool_create(NULL);

	(void)state;
	assert_non_null(p);
	pool_destroy(p);
	errno = 0;
	assert_null(pool_create(&bad));
	assert_int_equal(errno, EINVAL);
	bad = (pool_config_t){.worker_count = 5, .max_workers = 4};
	assert_null(pool_create(&bad));
	assert_int_equal(errno, EINVAL);
	bad = (pool_config_t){.queue_size = -3};
	assert_null(pool_create(&bad));
	bad = (pool_config_t){.log_level = 9};
	assert_null(pool_create(&bad));
}

static void D03_start_makes_ready_workers_once(void **state)
{
	pool_config_t c = {.worker_count = 3, .pool_name = "three", .sync_ring = pool_sync_ring};
	struct canp_process_worker w[8];
	process_pool_t *p = pool_create(&c);

	(void)state;
	assert_int_equal(canp_process_pool_workers(p, w, 8), 0);
	assert_int_equal(pool_start(p), 0);
	assert_int_equal(canp_process_pool_workers(p, w, 8), 3);
	for (int i = 0; i < 3; i++)
		assert_false(pid_gone(w[i].pid));
	assert_int_equal(pool_start(p), -EALREADY);
	assert_int_equal(pool_stop(p, 60000), 0);
	for (int i = 0; i < 3; i++)
		assert_true(pid_gone(w[i].pid));
	/* And again. */
	assert_int_equal(pool_start(p), 0);
	assert_int_equal(canp_process_pool_workers(p, w, 8), 3);
	pool_destroy(p);
}

static void D04_stop_drains_then_kills(void **state)
{
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 1, .queue_size = 64, .stop_grace_ms = 100});
	task_future_t *f[8];
	task_result_t r;

	(void)state;
	for (int i = 0; i < 8; i++)
		f[i] = pool_submit_async(p, task_sleep, NULL, 0, (void *)2L, TASK_PRIORITY_LOW, 0);
	assert_int_equal(pool_stop(p, 60000), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pool_future_wait(f[i], &r, 0), 0);
		assert_int_equal(r.outcome, CANP_PROCESS_OK);
		pool_future_destroy(f[i]);
	}
	assert_null(pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0));
	assert_int_equal(errno, ESHUTDOWN);
	/* One that does not want to end, and one behind it. */
	assert_int_equal(pool_start(p), 0);
	f[0] = pool_submit_async(p, task_sleep, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	f[1] = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0);
	assert_int_equal(pool_stop(p, 50), -ETIMEDOUT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pool_future_wait(f[i], &r, 0), 0);
		assert_int_equal(r.outcome, CANP_PROCESS_SHUTDOWN);
		assert_int_equal(r.error, -ESHUTDOWN);
		pool_future_destroy(f[i]);
	}
	pool_destroy(p);
}

static void D05_destroy_stops_and_closes_everything(void **state)
{
	struct canp_process_worker w[4];
	process_pool_t *p;
	unsigned fds;

	(void)state;
	pool_destroy(NULL);
	fds = count_open_fds();
	p = pool_n(2, 16);
	assert_int_equal(canp_process_pool_workers(p, w, 4), 2);
	pool_destroy(p);
	assert_int_equal(count_open_fds(), fds);
	assert_true(pid_gone(w[0].pid) && pid_gone(w[1].pid));
}

static void D05_two_pools_end_in_any_order(void **state)
{
	process_pool_t *a = pool_n(1, 16), *b = pool_n(1, 16);

	(void)state;
	assert_int_equal(pool_submit_sync(a, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	pool_destroy(a); /* the other one's zygote has copies of its descriptors */
	assert_int_equal(pool_submit_sync(b, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	a = pool_n(1, 16);
	pool_destroy(b);
	assert_int_equal(pool_submit_sync(a, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	pool_destroy(a);
}

static int task_size(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	size_t want = (size_t)(uintptr_t)user;
	char *v = want ? malloc(want) : NULL;

	for (size_t i = 0; i < want; i++)
		v[i] = (char)(((char *)in)[i % n] + 1);
	*out = v;
	*out_n = want;
	return 0;
}

static void D06_output_reaches_the_caller_with_its_exact_size(void **state)
{
	static const size_t sizes[] = {0, 1, 23, 24, 25, 192, 193, 4096, 100000, 3000000};
	process_pool_t *p = pool_n(2, 16);
	char *in = malloc(3000000);
	task_result_t r;

	(void)state;
	for (size_t i = 0; i < 3000000; i++)
		in[i] = (char)(i * 7 % 251);
	for (unsigned a = 1; a < CANP_ARRAY_SIZE(sizes); a++) {
		for (unsigned b = 0; b < CANP_ARRAY_SIZE(sizes); b++) {
			assert_int_equal(pool_submit_sync(p, task_size, in, sizes[a],
							  (void *)sizes[b], TASK_PRIORITY_NORMAL, 0,
							  &r),
					 0);
			assert_int_equal(r.output_size, sizes[b]);
			assert_int_equal(r.output_data != NULL, sizes[b] != 0);
			for (size_t i = 0; i < sizes[b]; i += 97)
				if (((char *)r.output_data)[i] != (char)(in[i % sizes[a]] + 1))
					fail();
			task_result_release(&r);
		}
	}
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0, &r), 0);
	assert_null(r.output_data);
	assert_int_equal(r.output_size, 0);
	pool_destroy(p);
	free(in);
}

static void D07_sync_submit_returns_the_result(void **state)
{
	process_pool_t *p = pool_n(2, 16);
	task_result_t r;
	int in = 42;

	(void)state;
	assert_int_equal(pool_submit_sync(p, task_double, &in, sizeof(in), NULL,
					  TASK_PRIORITY_NORMAL, 60000, &r),
			 0);
	assert_int_equal(r.status, CANP_TASK_COMPLETED);
	assert_int_equal(*(int *)r.output_data, 84);
	task_result_release(&r);
	task_result_release(&r); /* the second time nothing happens */
	assert_int_equal(
		pool_submit_sync(p, task_rc, NULL, 0, (void *)7L, TASK_PRIORITY_LOW, 0, &r), 7);
	assert_int_equal(r.status, CANP_TASK_FAILED);
	assert_int_equal(r.outcome, CANP_PROCESS_ERROR);
	assert_int_equal(r.rc, 7);
	/* It blocks for its time, not for the task's. */
	assert_int_equal(pool_submit_sync(p, task_polite, NULL, 0, (void *)600000L,
					  TASK_PRIORITY_LOW, 20, &r),
			 -ETIMEDOUT);
	assert_int_equal(r.outcome, CANP_PROCESS_TIMEOUT);
	/* Nobody wants the result. */
	assert_int_equal(pool_submit_sync(p, task_double, &in, sizeof(in), NULL,
					  TASK_PRIORITY_NORMAL, 0, NULL),
			 0);
	pool_destroy(p);
}

/* What a function refers to must have been there at the fork. */
static void D07_functions_that_are_not_mapped_are_refused(void **state)
{
	process_pool_t *p = pool_n(1, 4);
	int on_stack = 0;
	task_result_t r;

	(void)state;
	assert_int_equal(pool_submit_sync(p, NULL, NULL, 0, NULL, TASK_PRIORITY_LOW, 0, &r),
			 -EINVAL);
	assert_int_equal(pool_submit_sync(p, (task_func_t)(void *)&on_stack, NULL, 0, NULL,
					  TASK_PRIORITY_LOW, 0, &r),
			 -EINVAL);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 8, NULL, TASK_PRIORITY_LOW, 0, &r),
			 -EINVAL);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, (task_priority_t)9, 0, &r),
			 -EINVAL);
	pool_destroy(p);
}

static void D08_async_submit_returns_before_the_task_ran(void **state)
{
	process_pool_t *p = pool_n(1, 2);
	task_future_t *f[3], *full;

	(void)state;
	f[0] = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	assert_non_null(f[0]);
	assert_int_equal(pool_future_wait(f[0], NULL, 0), -ETIMEDOUT);
	wait_for(canp_future_status(f[0]) == CANP_TASK_RUNNING);
	f[1] = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0);
	f[2] = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0);
	assert_true(f[1] && f[2]);
	errno = 0;
	full = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0);
	assert_null(full);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(pool_future_cancel(f[0]), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pool_future_wait(f[i], NULL, UINT32_MAX), 0);
		pool_future_destroy(f[i]);
	}
	pool_destroy(p);
}

static void D09_batches_are_all_or_nothing(void **state)
{
	process_pool_t *p = pool_n(1, 100);
	task_desc_t d[64];
	task_future_t **f, *block;
	pool_stats_t st;
	task_result_t r;
	int in[64];

	(void)state;
	memset(d, 0, sizeof(d));
	for (int i = 0; i < 64; i++) {
		in[i] = i;
		d[i] = (task_desc_t){.func = task_double,
				     .input_data = &in[i],
				     .input_size = sizeof(int),
				     .priority = TASK_PRIORITY_NORMAL};
	}
	f = pool_submit_batch(p, d, 64);
	assert_non_null(f);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(pool_future_wait(f[i], &r, UINT32_MAX), 0);
		assert_int_equal(*(int *)r.output_data, 2 * i);
		pool_future_destroy(f[i]);
	}
	free(f);
	block = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(block) == CANP_TASK_RUNNING);
	f = pool_submit_batch(p, d, 64);
	assert_non_null(f);
	errno = 0;
	assert_null(pool_submit_batch(p, d, 37));
	assert_int_equal(errno, EAGAIN);
	pool_get_stats(p, &st);
	assert_int_equal(st.queue_depth, 64);
	assert_int_equal(st.tasks_rejected, 37);
	d[5].func = NULL; /* one bad one spoils all */
	assert_null(pool_submit_batch(p, d, 8));
	assert_int_equal(errno, EINVAL);
	assert_null(pool_submit_batch(p, d, 0));
	pool_future_cancel(block);
	pool_future_destroy(block);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(pool_future_wait(f[i], NULL, UINT32_MAX), 0);
		pool_future_destroy(f[i]);
	}
	free(f);
	pool_destroy(p);
}

static void D10_each_field_of_a_description_counts(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	int in = 21;
	task_desc_t d[3] = {
		{.func = task_double, .input_data = &in, .input_size = sizeof(in)},
		{.func = task_rc, .user_data = (void *)5L, .priority = TASK_PRIORITY_CRITICAL},
		{.func = task_polite, .user_data = (void *)600000L, .timeout_ms = 30},
	};
	task_future_t *f[3];
	task_result_t r;

	(void)state;
	assert_int_equal(pool_submit_batch_into(p, d, 3, f), 0);
	assert_int_equal(pool_future_wait(f[0], &r, UINT32_MAX), 0);
	assert_int_equal(*(int *)r.output_data, 42);
	assert_int_equal(pool_future_wait(f[1], &r, UINT32_MAX), 0);
	assert_int_equal(r.rc, 5);
	assert_int_equal(pool_future_wait(f[2], &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_TIMEOUT);
	for (int i = 0; i < 3; i++)
		pool_future_destroy(f[i]);
	pool_destroy(p);
}

static void D11_waiting_times_out_and_may_be_repeated(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	task_future_t *f;
	task_result_t r;

	(void)state;
	f = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	assert_int_equal(pool_future_wait(f, &r, 0), -ETIMEDOUT);
	assert_int_equal(pool_future_wait(f, &r, 10), -ETIMEDOUT);
	assert_int_equal(canp_future_wait(f, 1, NULL), -ETIMEDOUT);
	assert_int_equal(pool_future_cancel(f), 0);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_CANCELLED);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(pool_future_wait(f, &r, 0), 0);
	assert_int_equal(pool_future_wait(NULL, &r, 0), -EINVAL);
	pool_future_destroy(f);
	pool_destroy(p);
}

static void D11_one_of_many_is_waited_for(void **state)
{
	process_pool_t *p = pool_n(2, 16);
	task_future_t *f[3];
	int got;

	(void)state;
	f[0] = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	f[1] = pool_submit_async(p, task_polite, NULL, 0, (void *)50L, TASK_PRIORITY_LOW, 0);
	f[2] = NULL;
	assert_int_equal(pool_future_wait_any(f, 1, 5), -ETIMEDOUT);
	got = pool_future_wait_any(f, 3, UINT32_MAX);
	assert_int_equal(got, 1);
	pool_future_cancel(f[0]);
	pool_future_destroy(f[1]);
	f[1] = NULL;
	assert_int_equal(pool_future_wait_any(f, 3, UINT32_MAX), 0);
	pool_future_destroy(f[0]);
	pool_destroy(p);
}

/* H06: the one future of all pools. */
static void H06_futures_are_those_of_the_runtime(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	struct canp_task_result r;
	struct canp_future *f;
	task_result_t pr;
	int in = 4;

	(void)state;
	f = pool_submit_async(p, task_double, &in, sizeof(in), NULL, TASK_PRIORITY_HIGH, 0);
	assert_int_equal(canp_future_wait(f, UINT32_MAX, &r), 0);
	assert_int_equal(r.status, CANP_TASK_COMPLETED);
	assert_int_equal(r.prio, CANP_PRIO_HIGH);
	assert_int_equal(canp_future_status(f), CANP_TASK_COMPLETED);
	assert_int_equal(canp_future_cancel(f), -EALREADY);
	assert_int_equal(pool_future_wait(f, &pr, 0), 0);
	assert_int_equal(pr.task_id, r.id);
	assert_int_equal(pool_task_status(p, r.id), CANP_TASK_COMPLETED);
	canp_future_put(f);
	assert_int_equal(pool_task_status(p, r.id), CANP_TASK_FREE);
	assert_int_equal(canp_future_wait(f, 0, &r), -ESTALE);
	canp_future_put(f);
	pool_destroy(p);
}

static void D13_futures_may_be_destroyed_at_any_time(void **state)
{
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 1, .queue_size = 8, .futures = 8});
	pool_stats_t st;
	task_future_t *f;

	(void)state;
	pool_future_destroy(NULL);
	/* More than there are slots: those that were put early come back. */
	for (int i = 0; i < 500; i++) {
		int in = i;

		do {
			f = pool_submit_async(p, task_double, &in, sizeof(in), NULL,
					      TASK_PRIORITY_LOW, 0);
			if (!f)
				usleep(100);
		} while (!f);
		if (i % 2)
			pool_future_wait(f, NULL, UINT32_MAX);
		pool_future_destroy(f);
	}
	assert_int_equal(pool_stop(p, 60000), 0);
	pool_get_stats(p, &st);
	assert_int_equal(st.tasks_completed, 500);
	/* A future outlives its pool. */
	assert_int_equal(pool_start(p), 0);
	f = pool_submit_async(p, task_rc, NULL, 0, (void *)3L, TASK_PRIORITY_LOW, 0);
	pool_future_wait(f, NULL, UINT32_MAX);
	pool_destroy(p);
	{
		task_result_t r;

		assert_int_equal(pool_future_wait(f, &r, 0), 0);
		assert_int_equal(r.rc, 3);
	}
	pool_future_destroy(f);
}

static int task_say(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	(void)user;
	canp_process_message("row %d is odd", 17);
	return -EBADMSG;
}

static void D14_results_tell_everything(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	task_desc_t d = {.func = task_say, .trace = {.trace_id = {1, 2}, .span_id = {3}}};
	struct canp_process_worker w;
	uint64_t before = canp_clock_ns();
	task_future_t *f;
	task_result_t r;

	(void)state;
	canp_process_pool_workers(p, &w, 1);
	assert_int_equal(pool_submit_batch_into(p, &d, 1, &f), 0);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.status, CANP_TASK_FAILED);
	assert_int_equal(r.error, -EBADMSG);
	assert_string_equal(r.message, "row 17 is odd");
	assert_int_equal(r.worker_pid, w.pid);
	assert_true(r.submit_ns >= before &&
		    r.submit_ns + r.queue_ns + r.run_ns <= canp_clock_ns());
	assert_memory_equal(r.trace.trace_id, d.trace.trace_id, 16);
	pool_future_destroy(f);
	assert_int_equal(
		pool_submit_sync(p, task_sleep, NULL, 0, (void *)20L, TASK_PRIORITY_LOW, 0, &r), 0);
	assert_true(r.run_ns >= 19000000);
	assert_string_equal(r.message, "");
	pool_destroy(p);
}

/* Each task appends its number to the payload, in the order in which they run. */
static int task_order(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	uint32_t *log = in;

	(void)n;
	(void)out;
	(void)out_n;
	log[1 + log[0]++] = (uint32_t)(uintptr_t)user;
	return 0;
}

static void D15_priorities_are_strict_and_fifo_inside(void **state)
{
	process_pool_t *p = pool_n(1, 64);
	uint32_t *log = pool_alloc_payload(p, 64 * sizeof(*log));
	task_future_t *block, *f[40];
	unsigned n = 0;

	(void)state;
	assert_int_equal(TASK_PRIORITY_LOW, 0);
	assert_int_equal(TASK_PRIORITY_CRITICAL, 3);
	log[0] = 0;
	block = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(block) == CANP_TASK_RUNNING);
	for (unsigned i = 0; i < 40; i++)
		f[i] = pool_submit_async(p, task_order, log, 64 * sizeof(*log),
					 (void *)(uintptr_t)(i % 4 * 100 + i / 4),
					 (task_priority_t)(i % 4), 0);
	pool_future_cancel(block);
	pool_future_destroy(block);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(pool_future_wait(f[i], NULL, UINT32_MAX), 0);
		pool_future_destroy(f[i]);
	}
	assert_int_equal(log[0], 40);
	/* Ageing may move a class up when they waited 20 ms for it; FIFO holds in any case. */
	for (unsigned c = 0; c < 4; c++) {
		unsigned next = c * 100;

		for (unsigned i = 1; i <= 40; i++)
			if (log[i] / 100 == c) {
				assert_int_equal(log[i], next);
				next++;
				n++;
			}
	}
	assert_int_equal(n, 40);
	pool_free_payload(p, log);
	pool_destroy(p);
}

static int task_busy_order(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	uint64_t end = canp_clock_ns() + 1000000;

	while (canp_clock_ns() < end)
		;
	return task_order(in, n, out, out_n, user);
}

static void D15_low_tasks_do_not_starve(void **state)
{
	process_pool_t *p = pool_n(1, 1024);
	uint32_t *log = pool_alloc_payload(p, 2048 * sizeof(*log));
	task_future_t *f[501];
	unsigned at = 0;

	(void)state;
	log[0] = 0;
	for (unsigned i = 0; i < 500; i++) {
		if (i == 10)
			f[500] = pool_submit_async(p, task_busy_order, log, 2048 * sizeof(*log),
						   (void *)7777L, TASK_PRIORITY_LOW, 0);
		f[i] = pool_submit_async(p, task_busy_order, log, 2048 * sizeof(*log), NULL,
					 TASK_PRIORITY_CRITICAL, 0);
		assert_non_null(f[i]);
	}
	for (unsigned i = 0; i < 501; i++) {
		pool_future_wait(f[i], NULL, UINT32_MAX);
		pool_future_destroy(f[i]);
	}
	for (unsigned i = 1; i <= 501; i++)
		if (log[i] == 7777)
			at = i;
	/* Due after 60 ms of them at least, and long before all 500 ms are over. */
	assert_in_range(at, 11, 450);
	pool_free_payload(p, log);
	pool_destroy(p);
}

static void D18_D43_the_queue_holds_exactly_what_it_says(void **state)
{
	process_pool_t *p = pool_n(1, 100);
	task_future_t *block, *f[100];
	pool_stats_t st;
	task_result_t r;

	(void)state;
	block = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(block) == CANP_TASK_RUNNING);
	for (int i = 0; i < 50; i++)
		assert_non_null(f[i] = pool_submit_async(p, task_rc, NULL, 0, NULL, 0, 0));
	pool_get_stats(p, &st);
	assert_true(st.queue_utilization == 50.0);
	for (int i = 50; i < 100; i++)
		assert_non_null(f[i] = pool_submit_async(p, task_rc, NULL, 0, NULL, 0, 0));
	assert_null(pool_submit_async(p, task_rc, NULL, 0, NULL, 0, 0));
	assert_int_equal(errno, EAGAIN);
	/* A sync submit waits for room as long as it may. */
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 20, &r), -ETIMEDOUT);
	assert_int_equal(r.outcome, CANP_PROCESS_TIMEOUT);
	/* A cancelled one makes room at once. */
	assert_int_equal(pool_future_cancel(f[3]), 0);
	pool_future_destroy(f[3]);
	assert_non_null(f[3] = pool_submit_async(p, task_rc, NULL, 0, NULL, 0, 0));
	pool_future_cancel(block);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 60000, &r), 0);
	pool_future_destroy(block);
	for (int i = 0; i < 100; i++) {
		pool_future_wait(f[i], NULL, UINT32_MAX);
		pool_future_destroy(f[i]);
	}
	pool_destroy(p);
}

/* A thread that cancels and submits for ever fills no ring, since nobody empties it. */
static void D18_cancelled_tasks_do_not_fill_the_rings(void **state)
{
	process_pool_t *p = pool_n(1, 8);
	task_future_t *block, *f;
	unsigned refused = 0;

	(void)state;
	block = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(block) == CANP_TASK_RUNNING);
	for (int i = 0; i < 20000; i++) {
		f = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_NORMAL, 0);
		if (!f) {
			assert_int_equal(errno, EAGAIN);
			refused++;
			continue;
		}
		assert_int_equal(pool_future_cancel(f), 0);
		pool_future_destroy(f);
	}
	assert_true(refused > 0);
	pool_future_cancel(block);
	pool_future_destroy(block);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 60000, NULL), 0);
	pool_destroy(p);
}

struct client {
	process_pool_t *p;
	unsigned ok;
};

static void *client_main(void *arg)
{
	struct client *c = arg;

	for (int i = 0; i < 2000; i++) {
		task_result_t r;

		if (i % 3) {
			if (pool_submit_sync(c->p, task_double, &i, sizeof(i), NULL,
					     (task_priority_t)(i % 4), 60000, &r) == 0 &&
			    *(int *)r.output_data == 2 * i)
				c->ok++;
			task_result_release(&r);
		} else {
			task_future_t *f;

			while (!(f = pool_submit_async(c->p, task_double, &i, sizeof(i), NULL,
						       TASK_PRIORITY_LOW, 0)))
				usleep(50);
			if (!pool_future_wait(f, &r, UINT32_MAX) && *(int *)r.output_data == 2 * i)
				c->ok++;
			pool_future_destroy(f);
		}
	}
	return NULL;
}

static void D27_many_threads_submit_to_many_workers(void **state)
{
	process_pool_t *p = pool_n(3, 16);
	struct client c[4];
	pthread_t t[4];
	pool_stats_t st;

	(void)state;
	for (int i = 0; i < 4; i++) {
		c[i] = (struct client){.p = p};
		pthread_create(&t[i], NULL, client_main, &c[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(c[i].ok, 2000);
	}
	pool_get_stats(p, &st);
	assert_int_equal(st.tasks_completed, 8000);
	assert_int_equal(st.queue_depth, 0);
	pool_destroy(p);
}

static void D55_one_doorbell_per_batch(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 1, .queue_size = 1024, .spin_us = CANP_PROCESS_NO_SPIN});
	task_future_t *f[64];
	task_desc_t d[64];
	pool_stats_t st;

	(void)state;
	memset(d, 0, sizeof(d));
	for (int i = 0; i < 64; i++)
		d[i].func = task_rc;
	for (int k = 0; k < 50; k++) {
		assert_int_equal(pool_submit_batch_into(p, d, 64, f), 0);
		for (int i = 0; i < 64; i++)
			assert_int_equal(pool_future_wait(f[i], NULL, UINT32_MAX), 0);
		canp_process_future_put_batch(f, 64);
	}
	pool_get_stats(p, &st);
	assert_int_equal(st.batches, 50);
	assert_in_range(st.wakes, 1, 50);
	pool_destroy(p);
}

static unsigned done_calls;

static void on_done(struct canp_future *f, void *arg)
{
	assert_true(canp_future_status(f) >= CANP_TASK_COMPLETED);
	__atomic_add_fetch(&done_calls, (unsigned)(uintptr_t)arg, __ATOMIC_SEQ_CST);
	pool_future_destroy(f);
}

static void D08_done_is_called_and_the_descriptor_readable(void **state)
{
	process_pool_t *p = pool_n(2, 256);
	task_future_t *f[100];
	task_desc_t d[100];
	uint64_t n = 0;

	(void)state;
	done_calls = 0;
	memset(d, 0, sizeof(d));
	for (int i = 0; i < 100; i++)
		d[i] = (task_desc_t){.func = task_rc, .done = on_done, .done_arg = (void *)1L};
	assert_true(pool_fd(p) >= 0);
	assert_int_equal(pool_submit_batch_into(p, d, 100, f), 0);
	wait_for(__atomic_load_n(&done_calls, __ATOMIC_SEQ_CST) == 100);
	assert_int_equal(read(pool_fd(p), &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 100);
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D02_create_fills_defaults_and_refuses_nonsense),
		cmocka_unit_test(D03_start_makes_ready_workers_once),
		cmocka_unit_test(D04_stop_drains_then_kills),
		cmocka_unit_test(D05_destroy_stops_and_closes_everything),
		cmocka_unit_test(D05_two_pools_end_in_any_order),
		cmocka_unit_test(D06_output_reaches_the_caller_with_its_exact_size),
		cmocka_unit_test(D07_sync_submit_returns_the_result),
		cmocka_unit_test(D07_functions_that_are_not_mapped_are_refused),
		cmocka_unit_test(D08_async_submit_returns_before_the_task_ran),
		cmocka_unit_test(D08_done_is_called_and_the_descriptor_readable),
		cmocka_unit_test(D09_batches_are_all_or_nothing),
		cmocka_unit_test(D10_each_field_of_a_description_counts),
		cmocka_unit_test(D11_waiting_times_out_and_may_be_repeated),
		cmocka_unit_test(D11_one_of_many_is_waited_for),
		cmocka_unit_test(D13_futures_may_be_destroyed_at_any_time),
		cmocka_unit_test(D14_results_tell_everything),
		cmocka_unit_test(D15_priorities_are_strict_and_fifo_inside),
		cmocka_unit_test(D15_low_tasks_do_not_starve),
		cmocka_unit_test(D18_D43_the_queue_holds_exactly_what_it_says),
		cmocka_unit_test(D18_cancelled_tasks_do_not_fill_the_rings),
		cmocka_unit_test(D27_many_threads_submit_to_many_workers),
		cmocka_unit_test(D55_one_doorbell_per_batch),
		cmocka_unit_test(H06_futures_are_those_of_the_runtime),
	};
	int bad = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);

	pool_sync_ring = true; /* D25: the same without io_uring */
	return bad + cmocka_run_group_tests_name("D25_without_io_uring", tests, NULL, NULL);
}
