/*
 * t_task_end.c - every way a task can end, and futures. The names begin with the row of the
 * requirements that a test shows.
 */
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/runtime/task_priv.h"
#include "tests/lib/task_help.h"

/* ---- endings ---- */

static int until_cancelled(const struct canp_task_env *env, void *arg)
{
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
	while (!canp_task_cancelled(env))
		sched_yield();
	return -EINTR;
}

static int fail_with_text(const struct canp_task_env *env, void *arg)
{
	(void)arg;
	strcpy(env->message, "record 7 is short");
	return -EBADMSG;
}

static void B23_blocks_go_back_whatever_the_ending(void **state)
{
	struct canp_exec *ex = exec_of(1);
	struct canp_block *b[2];
	struct canp_task_desc d = {.fn = see_blocks, .blocks = b, .nr_blocks = 2};
	static const int errors[6] = {0, -EIO, -ECANCELED, -ETIMEDOUT, -EINTR, -ETIMEDOUT};
	struct canp_task_result r;
	struct canp_exec_stats st;
	struct canp_future *f;
	bool started;
	struct gate g[2];

	(void)state;
	for (unsigned how = 0; how < 6; how++) {
		some_blocks(ex, b);
		seen.ret = how == 1 ? -EIO : 0;
		seen.n = 0;
		started = false;
		d.timeout_ms = how == 3 || how == 5 ? 5 : 0;
		d.fn = how >= 4 ? until_cancelled : see_blocks;
		d.arg = &started;
		if (how == 2 || how == 3)
			gate_close(ex, &g[how - 2]);
		assert_int_equal(canp_submit(ex, &d, &f), 0);
		if (how == 2) {
			assert_int_equal(canp_future_cancel(f), 0);
			assert_int_equal(canp_future_cancel(f), -EALREADY);
		}
		if (how == 3)
			nap_ms(10);
		if (how == 2 || how == 3)
			gate_open(&g[how - 2]);
		if (how == 4) {
			while (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
				sched_yield();
			assert_int_equal(canp_future_cancel(f), 0);
		}
		assert_int_equal(canp_future_wait(f, 60000, &r), 0);
		assert_int_equal(r.error, errors[how]);
		assert_int_equal(r.status, how ? CANP_TASK_FAILED : CANP_TASK_COMPLETED);
		if (how == 2 || how == 3)
			assert_int_equal(seen.n, 0); /* never ran */
		assert_int_equal(blocks_live(ex), 0);
		canp_future_put(f);
	}
	wait_all(ex);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.cancelled_tasks, 1);
	assert_int_equal(st.timed_out_tasks, 2);
	assert_int_equal(st.recycled_memory_blocks, 12);
	/* And at shutdown: the pool's own check would fail. */
	some_blocks(ex, b);
	d.fn = see_blocks;
	d.start_at_ns = canp_clock_ns() + 3600ull * (uint64_t)CANP_NS_PER_S;
	d.timeout_ms = 0;
	assert_int_equal(canp_submit(ex, &d, &f), 0);
	canp_exec_destroy(ex);
	assert_int_equal(canp_future_wait(f, 0, &r), 0);
	assert_int_equal(r.error, -ESHUTDOWN);
	canp_future_put(f);
}

static void B26_a_failing_task_is_contained_and_says_why(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_task_desc d = {.fn = fail_with_text};
	struct canp_task_result r;
	struct canp_exec_stats st;
	struct canp_future *f;

	(void)state;
	counter = 0;
	assert_int_equal(canp_submit(ex, &d, &f), 0);
	assert_int_equal(canp_future_wait(f, 60000, &r), 0);
	assert_int_equal(r.error, -EBADMSG);
	assert_string_equal(r.message, "record 7 is short");
	canp_future_put(f);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_NORMAL, count_up, NULL), 0);
	d.fn = count_up;
	assert_int_equal(canp_submit(ex, &d, &f), 0);
	assert_int_equal(canp_future_wait(f, 60000, &r), 0);
	assert_string_equal(r.message, ""); /* not the other one's */
	canp_future_put(f);
	wait_all(ex);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.failed_tasks, 1);
	assert_int_equal(counter, 101);
	canp_exec_destroy(ex);
}

/* ---- futures ---- */

static void H06_a_future_is_the_slot_and_a_stale_one_is_recognised(void **state)
{
	struct canp_exec_opts o = {.cores = 1, .slots = 1};
	struct canp_task_desc d = {.fn = count_up};
	struct canp_future *f, *f2;
	struct canp_exec *ex;

	(void)state;
	assert_int_equal(sizeof(struct task_slot), 128);
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	assert_int_equal(canp_submit(ex, &d, &f), 0);
	assert_int_equal(canp_future_wait(f, 60000, NULL), 0);
	assert_int_equal(canp_submit(ex, &d, &f2), -EAGAIN); /* the only slot is the future */
	canp_future_put(f);
	assert_int_equal(canp_future_status(f), CANP_TASK_FREE);
	assert_int_equal(canp_submit(ex, &d, &f2), 0);
	assert_ptr_equal(task_slot_of(f), task_slot_of(f2));
	assert_int_equal(canp_future_wait(f2, 60000, NULL), 0);
	assert_int_equal(canp_future_wait(f, 0, NULL), -ESTALE);
	assert_int_equal(canp_future_cancel(f), -ESTALE);
	canp_future_put(f); /* nothing happens */
	assert_int_equal(canp_future_status(f2), CANP_TASK_COMPLETED);
	canp_future_put(f2);
	canp_exec_destroy(ex);
}

struct cont {
	struct canp_exec *ex;
	struct canp_future *f[2];
	int error;
	unsigned calls, again;
};

static void cont_done(struct canp_future *f, void *arg)
{
	struct cont *c = arg;
	struct canp_task_result r;

	assert_int_equal(canp_future_wait(f, 0, &r), 0);
	c->error = r.error;
	c->again += canp_submit_cpu(c->ex, CANP_PRIO_LOW, count_up, NULL) == 0;
	c->calls++;
}

static int cannot_wait(const struct canp_task_env *env, void *arg)
{
	struct cont *c = arg;

	(void)env;
	c->calls++;
	return canp_future_wait(c->f[0], 100, NULL);
}

static void a_continuation_runs_once_and_may_submit(void **state)
{
	struct cont c = {.ex = exec_of(2)};
	struct canp_task_desc d = {.fn = fail_with_text, .done = cont_done, .done_arg = &c};
	struct canp_exec *ex = c.ex;

	(void)state;
	assert_int_equal(canp_submit(ex, &d, NULL), 0);
	wait_all(ex);
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.again, 1);
	assert_int_equal(c.error, -EBADMSG);
	/* Cancelled by a foreign thread: on a reactor all the same. */
	d.start_at_ns = canp_clock_ns() + 3600ull * (uint64_t)CANP_NS_PER_S;
	assert_int_equal(canp_submit(ex, &d, &c.f[0]), 0);
	assert_int_equal(canp_future_wait(c.f[0], 1, NULL), -ETIMEDOUT);
	assert_int_equal(canp_future_cancel(c.f[0]), 0);
	wait_all(ex);
	assert_int_equal(c.calls, 2);
	assert_int_equal(c.error, -ECANCELED);
	canp_future_put(c.f[0]);
	canp_exec_destroy(ex);
}

static void a_reactor_never_waits(void **state)
{
	struct cont c = {.ex = exec_of(1)};
	struct canp_task_desc d = {.fn = count_up, .start_at_ns = canp_clock_ns() + 200 * MS};
	struct canp_task_result r;

	(void)state;
	assert_int_equal(canp_submit(c.ex, &d, &c.f[0]), 0);
	d = (struct canp_task_desc){.fn = cannot_wait, .arg = &c};
	assert_int_equal(canp_submit(c.ex, &d, &c.f[1]), 0);
	assert_int_equal(canp_future_wait(c.f[1], 60000, &r), 0);
	assert_int_equal(r.error, -EDEADLK);
	canp_future_put(c.f[0]);
	canp_future_put(c.f[1]);
	canp_exec_destroy(c.ex);
}

static void a_scheduled_task_starts_no_earlier(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_task_result r;
	struct canp_future *f[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct canp_task_desc d = {.fn = count_up,
					   .start_at_ns = canp_clock_ns() + (8 - i) * 5 * MS};

		assert_int_equal(canp_submit(ex, &d, &f[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(canp_future_wait(f[i], 60000, &r), 0);
		assert_true(r.queue_ns >= (8 - i) * 5 * MS - MS);
		canp_future_put(f[i]);
	}
	canp_exec_destroy(ex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B23_blocks_go_back_whatever_the_ending),
		cmocka_unit_test(B26_a_failing_task_is_contained_and_says_why),
		cmocka_unit_test(H06_a_future_is_the_slot_and_a_stale_one_is_recognised),
		cmocka_unit_test(a_continuation_runs_once_and_may_submit),
		cmocka_unit_test(a_reactor_never_waits),
		cmocka_unit_test(a_scheduled_task_starts_no_earlier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
