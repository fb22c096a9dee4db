/*
 * t_failure.c - what is known of a failure, and that it is the same wherever the failing code ran:
 * as a task of an executor or inside a pipeline.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/pipeline/pipeline.h"
#include "core/runtime/task.h"

static int refuse(const struct canp_task_env *env, void *arg)
{
	*(uint64_t *)arg = env->id;
	snprintf(env->message, CANP_TASK_MESSAGE_BYTES, "sector 7 is damaged");
	return CANP_ERR_BADMSG;
}

static void H05_a_failed_task_tells_cause_place_and_time(void **state)
{
	uint64_t before = canp_clock_ns(), after, id = 0;
	struct canp_exec_opts opts = {.cores = 2};
	struct canp_task_desc d = {.fn = refuse, .arg = &id, .type = CANP_TASK_MEM, .shard = 2};
	struct canp_task_result r;
	struct canp_future *f;
	struct canp_exec *ex;

	(void)state;
	assert_int_equal(canp_exec_create(&opts, &ex), 0);
	assert_int_equal(canp_submit(ex, &d, &f), 0);
	assert_int_equal(canp_future_wait(f, UINT32_MAX, &r), 0);
	after = canp_clock_ns();
	/* Cause. */
	assert_int_equal(r.status, CANP_TASK_FAILED);
	assert_int_equal(r.error, CANP_ERR_BADMSG);
	assert_string_equal(canp_err_name(r.error), "EBADMSG");
	assert_string_equal(r.message, "sector 7 is damaged");
	/* Place. */
	assert_int_equal(r.id, id);
	assert_int_equal(r.shard, 1);
	assert_int_equal(r.type, CANP_TASK_MEM);
	/* Time. */
	assert_true(r.created_ns >= before);
	assert_true(r.created_ns + r.queue_ns + r.run_ns <= after);
	canp_future_put(f);
	canp_exec_destroy(ex);
}

static int one_item(void *arg, void *items, uint32_t max)
{
	uint32_t *left = arg;

	(void)max;
	if (!*left)
		return 0;
	memcpy(items, left, sizeof(*left));
	(*left)--;
	return 1;
}

static int refuse_item(void *arg, const void *in, void *out)
{
	(void)arg;
	memcpy(out, in, sizeof(uint32_t));
	return CANP_ERR_BADMSG;
}

static int take(void *arg, const struct canp_batch *b)
{
	*(uint32_t *)arg += canp_batch_count(b);
	return 0;
}

static void H05_a_pipeline_returns_the_same_code(void **state)
{
	static const enum canp_pipe_exec kinds[] = {CANP_PIPE_REACTOR, CANP_PIPE_THREADS,
						    CANP_PIPE_SERIAL};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct canp_pipe_opts opts = {.executor = kinds[i], .max_workers = 2};
		uint32_t left = 3, taken = 0;
		struct canp_pipe *p;

		assert_int_equal(canp_pipe_create("refusing", NULL, &opts, &p), 0);
		canp_pipe_source(p, "source", sizeof(uint32_t), one_item, &left);
		canp_pipe_map(p, "refuse", sizeof(uint32_t), refuse_item, NULL, 1);
		canp_pipe_sink(p, "sink", take, &taken);
		assert_int_equal(canp_pipe_run(p), CANP_ERR_BADMSG);
		assert_int_equal(taken, 0);
		canp_pipe_destroy(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(H05_a_failed_task_tells_cause_place_and_time),
		cmocka_unit_test(H05_a_pipeline_returns_the_same_code),
	};

	return cmocka_run_group_tests_name("failure", tests, NULL, NULL);
}
