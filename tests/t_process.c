/*
 * t_process.c - the process pool: life cycle, submitting, futures, results, queue, priorities.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/process/process_pool.h"
#include "tests/lib/pool_tasks.h"

static process_pool_t *pool_of(const pool_config_t *c)
{
	process_pool_t *p = pool_create(c);

	assert_non_null(p);
	assert_int_equal(pool_start(p), 0);
	return p;
}

static process_pool_t *pool_n(int workers, int queue)
{
	pool_config_t c = {.worker_count = workers, .queue_size = queue, .pool_name = "t"};

	return pool_of(&c);
}

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
}

static void D03_start_makes_ready_workers_once(void **state)
{
	pool_config_t c = {.worker_count = 3, .pool_name = "three"};
	struct canp_process_worker w[8];
	process_pool_t *p = pool_create(&c);

	(void)state;
	assert_int_equal(canp_process_pool_workers(p, w, 8), 0);
	assert_int_equal(pool_start(p), 0);
	assert_int_equal(canp_process_pool_workers(p, w, 8), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kill(w[i].pid, 0), 0);
	assert_int_equal(pool_start(p), -EALREADY);
	assert_int_equal(pool_stop(p, 5000), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kill(w[i].pid, 0), -1);
	/* And again. */
	assert_int_equal(pool_start(p), 0);
	assert_int_equal(canp_process_pool_workers(p, w, 8), 3);
	pool_destroy(p);
}

static void D07_sync_submit_returns_the_result(void **state)
{
	process_pool_t *p = pool_n(2, 16);
	task_result_t r;
	int in = 42;

	(void)state;
	assert_int_equal(pool_submit_sync(p, task_double, &in, sizeof(in), NULL,
					  TASK_PRIORITY_NORMAL, 5000, &r),
			 0);
	assert_int_equal(r.status, CANP_TASK_COMPLETED);
	assert_int_equal(r.output_size, sizeof(int));
	assert_int_equal(*(int *)r.output_data, 84);
	assert_true(r.worker_pid > 0 && r.worker_pid != getpid());
	task_result_release(&r);
	assert_int_equal(
		pool_submit_sync(p, task_rc, NULL, 0, (void *)7L, TASK_PRIORITY_LOW, 0, &r), 7);
	assert_int_equal(r.status, CANP_TASK_FAILED);
	assert_int_equal(r.outcome, CANP_PROCESS_ERROR);
	assert_int_equal(r.rc, 7);
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D02_create_fills_defaults_and_refuses_nonsense),
		cmocka_unit_test(D03_start_makes_ready_workers_once),
		cmocka_unit_test(D07_sync_submit_returns_the_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
