/*
 * cmd_pool_cases.h - what a command pool promises, as tests; run on the queue of the product
 * (t_command_pool.c) and on one with a mutex (t_command_mutex.c). One file, because CMD_POOL_CASES
 * at its end is one list, which both programs run whole.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/command/command_pool.h"
#include "core/observe/metrics.h"
#include "tests/lib/cmd_help.h"

#define SH(text)                                                                                   \
	(const char *const[])                                                                      \
	{                                                                                          \
		"/bin/sh", "-c", text, NULL                                                        \
	}

static struct canp_cmd_config config(unsigned limit)
{
	struct canp_cmd_config c;

	canp_cmd_config_with_concurrency_limit(canp_cmd_config_new(&c), limit);
	c.capture_max = 8192;
	return c;
}

static void make(const struct canp_cmd_config *c)
{
	assert_int_equal(canp_cmd_pool_create(c, &pool), 0);
}

static struct canp_cmd_stats stats(void)
{
	struct canp_cmd_stats st;

	canp_cmd_pool_stats(pool, &st);
	return st;
}

/* ---- cases ---- */

static void E06_modes_give_the_same_results(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct canp_cmd_config c = config(4);
		struct canp_future *f[12];

		canp_cmd_config_with_workers(canp_cmd_config_with_mode(&c, mode), 2);
		make(&c);
		assert_int_equal(stats().mode, mode);
		assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
		for (int i = 0; i < 12; i++) {
			char text[64];

			snprintf(text, sizeof(text), "echo out %d; echo err >&2; exit %d", i,
				 i % 3);
			f[i] = push(text);
		}
		for (int i = 0; i < 12; i++) {
			const struct canp_cmd_result *r = wait_result(f[i]);
			struct canp_task_result t;
			char want[32];

			snprintf(want, sizeof(want), "out %d\n", i);
			assert_int_equal(r->out.len, strlen(want));
			assert_memory_equal(r->out.data, want, strlen(want));
			assert_int_equal(r->err.len, 4);
			assert_int_equal(r->exit_code, i % 3);
			assert_int_equal(r->status, i % 3 ? CANP_CMD_FAILED : CANP_CMD_COMPLETED);
			assert_int_equal(canp_future_wait(f[i], 0, &t), 0);
			assert_int_equal(t.error, i % 3 ? -ECHILD : 0);
			assert_string_equal(t.message, r->message);
			canp_future_put(f[i]);
		}
		teardown(NULL);
	}
}

static void E07_configuration_setters(void **state)
{
	struct canp_cmd_config c;

	(void)state;
	memset(&c, 0xff, sizeof(c));
	canp_cmd_config_new(&c);
	assert_int_equal(c.mode, CANP_CMD_MODE_PROCESS);
	assert_int_equal(c.workers + c.concurrency_limit + c.max_size, 0);
	canp_cmd_config_with_mode(&c, CANP_CMD_MODE_THREAD);
	canp_cmd_config_with_workers(&c, 3);
	canp_cmd_config_with_concurrency_limit(&c, 7);
	make(&c);
	assert_int_equal(stats().mode, CANP_CMD_MODE_THREAD);
	assert_int_equal(stats().lanes, 3);
	assert_int_equal(stats().limit, 7);
	teardown(NULL);
	c.workers = 100000;
	assert_int_equal(canp_cmd_pool_create(&c, &pool), -EINVAL);
}

static void E08_default_configuration(void **state)
{
	struct canp_future *f;

	(void)state;
	make(NULL);
	assert_false(stats().started);
	assert_true(stats().limit >= 1);
	assert_int_equal(stats().max_size, 1024);
	f = push("echo hi");
	assert_int_equal(canp_future_wait(f, 0, NULL), -ETIMEDOUT); /* not started */
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), -EALREADY);
	assert_int_equal(wait_result(f)->exit_code, 0);
	canp_future_put(f);
}

static void *pop_later(void *arg)
{
	struct canp_future *f;

	(void)arg;
	usleep(100000);
	f = canp_cmd_pop(pool, NULL);
	assert_int_equal(canp_cmd_discard(pool, f), 0);
	canp_future_put(f);
	return NULL;
}

static void E09_push_blocks_while_full(void **state)
{
	struct canp_cmd_config c = config(1);
	struct canp_cmd_spec s = {.argv = SH("true")};
	uint64_t from;
	pthread_t t;

	(void)state;
	c.max_size = 2;
	make(&c);
	assert_int_equal(canp_cmd_push(pool, &s, NULL), 0);
	assert_int_equal(canp_cmd_push(pool, &s, NULL), 0);
	from = canp_clock_ns();
	assert_int_equal(pthread_create(&t, NULL, pop_later, NULL), 0);
	assert_int_equal(canp_cmd_push(pool, &s, NULL), 0);
	assert_true(canp_clock_ns() - from >= 90000000);
	pthread_join(t, NULL);
	assert_int_equal(stats().queued, 2);
}

static void E10_try_push_says_full(void **state)
{
	struct canp_cmd_config c = config(1);
	struct canp_cmd_spec s = {.argv = SH("true")};

	(void)state;
	c.max_size = 3;
	make(&c);
	for (int i = 0; i < 3; i++)
		assert_int_equal(canp_cmd_try_push(pool, &s, NULL), 0);
	assert_int_equal(canp_cmd_try_push(pool, &s, NULL), -EAGAIN);
	assert_int_equal(stats().queued, 3);
}

static void E11_pop_is_fifo_and_null_when_empty(void **state)
{
	struct canp_cmd_config c = config(1);
	const struct canp_cmd_spec *s;
	struct canp_future *f[5], *g;

	(void)state;
	make(&c);
	for (int i = 0; i < 5; i++) {
		char text[32];

		snprintf(text, sizeof(text), "exit %d", i);
		f[i] = push(text);
	}
	for (int i = 0; i < 5; i++) {
		char text[32];

		snprintf(text, sizeof(text), "exit %d", i);
		g = canp_cmd_pop(pool, &s);
		assert_ptr_equal(g, f[i]);
		assert_string_equal(s->argv[2], text);
		if (i < 3)
			assert_int_equal(canp_cmd_discard(pool, g), 0);
		else
			assert_int_equal(canp_cmd_repush(pool, g), 0);
	}
	assert_int_equal(canp_cmd_result(f[1])->why, CANP_CMD_ERR_CANCELLED);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	assert_int_equal(wait_result(f[3])->exit_code, 3);
	assert_int_equal(wait_result(f[4])->exit_code, 4);
	assert_null(canp_cmd_pop(pool, &s));
	for (int i = 0; i < 5; i++)
		canp_future_put(f[i]);
}

static void E11_higher_classes_go_first(void **state)
{
	struct canp_cmd_config c = config(1);
	struct canp_cmd_spec s = {.argv = SH("true")};
	const struct canp_cmd_spec *got;

	(void)state;
	make(&c);
	for (int i = 0; i < 4; i++) {
		s.prio = (enum canp_task_prio)i;
		assert_int_equal(canp_cmd_push(pool, &s, NULL), 0);
	}
	for (int i = 3; i >= 0; i--) {
		struct canp_future *f = canp_cmd_pop(pool, &got);

		assert_int_equal(got->prio, i);
		canp_cmd_discard(pool, f);
		canp_future_put(f);
	}
}

static void E12_start_wakes_by_event_not_by_interval(void **state)
{
	struct canp_cmd_config c = config(1);
	uint64_t best = UINT64_MAX;

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 100000), 0);
	for (int i = 0; i < 20; i++) {
		struct canp_future *f;
		const struct canp_cmd_result *r;

		usleep(2000);
		f = push("true");
		r = wait_result(f);
		if (r->started_ns - r->created_ns < best)
			best = r->started_ns - r->created_ns;
		canp_future_put(f);
	}
	/* 100 s of interval, and at least one of twenty found the machine not busy. */
	assert_true(best < 20000000);
}

static void E13_stop_waits_keeps_runs_or_drops(void **state)
{
	struct canp_cmd_config c = config(1);
	struct canp_future *f[4];

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f[0] = push("sleep 0.2; echo done");
	f[1] = push("echo second");
	while (canp_future_status(f[0]) == CANP_TASK_PENDING)
		usleep(1000);
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_KEEP, UINT32_MAX), 0);
	assert_int_equal(canp_cmd_result(f[0])->exit_code, 0); /* finished */
	assert_int_equal(canp_future_status(f[1]), CANP_TASK_PENDING);
	assert_int_equal(stats().queued, 1);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f[2] = push("echo third");
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_RUN, UINT32_MAX), 0);
	assert_int_equal(canp_cmd_result(f[1])->exit_code, 0);
	assert_int_equal(canp_cmd_result(f[2])->exit_code, 0);
	f[3] = push("echo fourth");
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_DROP, 0), 0);
	assert_int_equal(canp_cmd_result(f[3])->why, CANP_CMD_ERR_CANCELLED);
	for (int i = 0; i < 4; i++)
		canp_future_put(f[i]);
	/* Grace: one that would run for ever is killed. */
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f[0] = push("exec sleep 1000");
	while (canp_future_status(f[0]) == CANP_TASK_PENDING)
		usleep(1000);
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_KEEP, 50), 0);
	assert_int_equal(canp_cmd_result(f[0])->why, CANP_CMD_ERR_CANCELLED);
	assert_int_equal(canp_cmd_result(f[0])->term_signal, SIGTERM);
	canp_future_put(f[0]);
}

static void E15_introspection(void **state)
{
	struct canp_cmd_config c = config(2);
	struct canp_future *f;

	(void)state;
	c.max_size = 9;
	make(&c);
	assert_false(stats().started);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f = push("exec sleep 1000");
	while (stats().running != 1)
		usleep(1000);
	assert_true(stats().started);
	assert_int_equal(stats().max_size, 9);
	assert_int_equal(stats().lanes, 1);
	assert_int_equal(stats().limit, 2);
	assert_int_equal(stats().queued, 0);
	assert_int_equal(stats().tasks.live_tasks, 1);
	canp_future_cancel(f);
	wait_result(f);
	canp_future_put(f);
	assert_int_equal(stats().tasks.total_tasks, 1);
	assert_int_equal(stats().tasks.cancelled_tasks, 1);
}

/* Names of the threads of this process; the same before and during. */
static void E21_thousand_timeouts_need_no_thread(void **state)
{
	struct canp_cmd_config c = config(1000);
	struct canp_future *f[1000];
	struct canp_cmd_spec s = {.argv = (const char *const[]){"/bin/sleep", "1000", NULL},
				  .timeout_ms = 500};
	unsigned before;

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	before = threads_of_process();
	for (int i = 0; i < 1000; i++)
		assert_int_equal(canp_cmd_push(pool, &s, &f[i]), 0);
	assert_int_equal(threads_of_process(), before);
	for (int i = 0; i < 1000; i++) {
		const struct canp_cmd_result *r = wait_result(f[i]);

		assert_int_equal(r->why, CANP_CMD_ERR_TIMEOUT);
		assert_int_equal(r->timeout_ns, 500000000);
		if (i == 500)
			assert_int_equal(threads_of_process(), before);
		canp_future_put(f[i]);
	}
	assert_int_equal(stats().timed_out, 1000);
	assert_int_equal(stats().running, 0);
}

static void E22_never_more_than_the_limit(void **state)
{
	struct canp_cmd_config c = config(3);
	struct canp_future *f[60];
	unsigned over = 0;

	(void)state;
	canp_cmd_config_with_workers(canp_cmd_config_with_mode(&c, CANP_CMD_MODE_THREAD), 2);
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	for (int i = 0; i < 60; i++)
		f[i] = push("sleep 0.01");
	for (int i = 0; i < 60; i++) {
		wait_result(f[i]);
		over += stats().running > 3;
	}
	/* By their own times: at no start more than two others ran. */
	for (int i = 0; i < 60; i++) {
		const struct canp_cmd_result *r = canp_cmd_result(f[i]);
		unsigned n = 0;

		for (int k = 0; k < 60; k++) {
			const struct canp_cmd_result *o = canp_cmd_result(f[k]);

			n += o->started_ns + o->spawn_ns < r->started_ns &&
			     r->started_ns < o->ended_ns;
		}
		assert_true(n <= 3);
	}
	assert_int_equal(over, 0);
	assert_int_equal(stats().running_max, 3);
	for (int i = 0; i < 60; i++)
		canp_future_put(f[i]);
}

static void E23_permits_come_back_on_every_path(void **state)
{
	enum { ROUNDS = 2500 };
	static const char *const none[] = {"/nonexistent/x", NULL}, *const bad[] = {"/bin/false",
										    NULL};
	static const char *const slow[] = {"/bin/sleep", "100", NULL};
	struct canp_cmd_config c = config(4);
	struct canp_cmd_stats st;

	(void)state;
	c.max_size = 64;
	canp_cmd_config_with_workers(canp_cmd_config_with_mode(&c, CANP_CMD_MODE_THREAD), 2);
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct canp_cmd_spec s = {.argv = bad};
		struct canp_future *f[4];

		for (int k = 0; k < 4; k++) {
			if (k == 1)
				s.argv = none;
			if (k == 2 && i % 50 == 0) {
				s.argv = slow;
				s.timeout_ms = 1;
			}
			if (k == 3)
				s.argv = none;
			assert_int_equal(canp_cmd_push(pool, &s, &f[k]), 0);
		}
		canp_future_cancel(f[3]);
		for (int k = 0; k < 4; k++)
			canp_future_put(f[k]);
	}
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_RUN, UINT32_MAX), 0);
	st = stats();
	assert_int_equal(st.tasks.total_tasks, 4 * ROUNDS);
	assert_int_equal(st.tasks.live_tasks, 0);
	assert_int_equal(st.running, 0);
	assert_int_equal(st.queued, 0);
	assert_int_equal(st.records_used, 0);
	assert_true(st.timed_out > 0);
	assert_true(st.running_max <= 4);
}

static long rss_kib(void)
{
	long pages = 0, skip;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%ld %ld", &skip, &pages), 2);
	fclose(f);
	return pages * 4;
}

static void E24_a_full_queue_takes_no_memory(void **state)
{
	struct canp_cmd_config c = config(1);
	struct canp_cmd_spec s = {.argv = SH("true")};
	long before;

	(void)state;
	c.max_size = 100;
	make(&c);
	for (int i = 0; i < 100; i++)
		assert_int_equal(canp_cmd_try_push(pool, &s, NULL), 0);
	before = rss_kib();
	for (int i = 0; i < 1000000; i++)
		assert_int_equal(canp_cmd_try_push(pool, &s, NULL), -EAGAIN);
	assert_true(rss_kib() - before < 4096);
}

static void E25_batch_is_all_or_none(void **state)
{
	struct canp_cmd_config c = config(4);
	struct canp_cmd_spec s[8];
	struct canp_future *f[8];

	(void)state;
	c.max_size = 10;
	make(&c);
	s[0] = (struct canp_cmd_spec){.argv = SH("echo b")};
	for (int i = 1; i < 8; i++)
		s[i] = s[0];
	assert_int_equal(canp_cmd_push_batch(pool, s, 8, f), 0);
	assert_int_equal(stats().queued, 8);
	assert_int_equal(canp_cmd_push_batch(pool, s, 8, NULL), -EAGAIN);
	assert_int_equal(stats().queued, 8);
	assert_int_equal(canp_cmd_push_batch(pool, s, 0, NULL), -EINVAL);
	s[1].argv = NULL;
	assert_int_equal(canp_cmd_push_batch(pool, s, 2, NULL), -EINVAL);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(wait_result(f[i])->exit_code, 0);
		canp_future_put(f[i]);
	}
}

static void E26_only_legal_transitions(void **state)
{
	struct canp_cmd_config c = config(2);
	struct canp_future *f[40];
	unsigned last[40] = {0}, left = 40;
	uint64_t id[40];

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	for (int i = 0; i < 40; i++) {
		f[i] = push(i % 2 ? "sleep 0.01; exit 1" : "sleep 0.01");
		id[i] = canp_cmd_id(f[i]);
	}
	while (left) {
		left = 0;
		for (int i = 0; i < 40; i++) {
			unsigned st = canp_cmd_id_status(pool, id[i], NULL);

			assert_true(st >= CANP_CMD_PENDING);
			assert_true(st == last[i] || st > last[i]);
			assert_false(last[i] == CANP_CMD_COMPLETED && st != last[i]);
			last[i] = st;
			left += st < CANP_CMD_COMPLETED;
		}
	}
	for (int i = 0; i < 40; i++) {
		int error;

		assert_int_equal(last[i], i % 2 ? CANP_CMD_FAILED : CANP_CMD_COMPLETED);
		canp_cmd_id_status(pool, id[i], &error);
		assert_int_equal(error, i % 2 ? -ECHILD : 0);
		canp_future_put(f[i]);
	}
	/* A time-out and a cancel are failures with their reason. */
	f[0] = push("exec sleep 1000");
	while (canp_cmd_id_status(pool, canp_cmd_id(f[0]), NULL) != CANP_CMD_RUNNING)
		usleep(1000);
	id[0] = canp_cmd_id(f[0]);
	assert_int_equal(canp_future_cancel(f[0]), 0);
	wait_result(f[0]);
	canp_future_put(f[0]);
	while (canp_cmd_id_status(pool, id[0], (int *)&last[0]) == CANP_CMD_RUNNING)
		usleep(1000);
	assert_int_equal((int)last[0], -ECANCELED);
}

static void E27_status_of_many_ids_and_bounded_history(void **state)
{
	enum { N = 100000, HISTORY = 65536 };
	struct canp_cmd_config c = config(1);
	struct canp_cmd_spec s = {.argv = SH("true")};
	struct canp_future *first;
	uint64_t id0, from;
	int error;

	(void)state;
	c.max_size = 16;
	c.history = HISTORY;
	make(&c);
	assert_int_equal(canp_cmd_push(pool, &s, &first), 0);
	id0 = canp_cmd_id(first);
	for (int i = 0; i < N; i++) {
		struct canp_future *f;

		assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
		canp_future_cancel(f);
		canp_future_put(f);
		f = canp_cmd_pop(pool, NULL); /* the first one: the others ended in there */
		assert_ptr_equal(f, first);
		assert_null(canp_cmd_pop(pool, NULL));
		assert_int_equal(canp_cmd_repush(pool, f), 0);
	}
	assert_int_equal(canp_cmd_id_status(pool, id0, NULL), CANP_CMD_PENDING);
	from = canp_clock_ns();
	for (uint64_t id = 1; id <= N + 1; id++) {
		enum canp_cmd_status st = canp_cmd_id_status(pool, id, &error);

		if (id % HISTORY == id0)
			continue; /* the pending one keeps its place: such ids are not given out */
		if (id > N + 10 - HISTORY) {
			assert_int_equal(st, CANP_CMD_FAILED);
			assert_int_equal(error, -ECANCELED);
		} else if (id < N - HISTORY - 10) {
			assert_int_equal(st, CANP_CMD_UNKNOWN);
		}
	}
	assert_true(canp_clock_ns() - from < 30000000000ull);
	canp_future_cancel(first);
	canp_future_put(first);
}

struct told {
	pthread_mutex_t lock;
	unsigned n, errors;
};
static void told(void *arg, struct canp_future *f, const struct canp_cmd_result *r)
{
	struct told *t = arg;

	(void)f;
	pthread_mutex_lock(&t->lock);
	t->n++;
	t->errors += r->error != 0;
	pthread_mutex_unlock(&t->lock);
}

static void E28_handle_waits_polls_calls_back_and_cancels(void **state)
{
	struct told t = {PTHREAD_MUTEX_INITIALIZER, 0, 0};
	struct canp_cmd_spec s = {.argv = SH("echo x"), .done = told, .arg = &t};
	struct canp_cmd_config c = config(1);
	struct canp_future *f, *g;

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	assert_int_equal(wait_result(f)->exit_code, 0);
	assert_int_equal(canp_future_wait(f, 0, NULL), 0);
	assert_int_equal(canp_future_status(f), CANP_TASK_COMPLETED);
	assert_int_equal(canp_future_cancel(f), -EALREADY);
	canp_future_put(f);
	assert_int_equal(canp_cmd_push(pool, &s, NULL), 0); /* nobody holds it */
	s.argv = SH("exec sleep 1000");
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	s.argv = SH("echo never");
	assert_int_equal(canp_cmd_push(pool, &s, &g), 0);
	while (canp_future_status(f) == CANP_TASK_PENDING)
		usleep(1000);
	assert_null(canp_cmd_result(f));
	assert_int_equal(canp_future_wait(f, 10, NULL), -ETIMEDOUT);
	assert_int_equal(canp_future_cancel(g), 0); /* queued: over at once, never runs */
	assert_int_equal(canp_future_status(g), CANP_TASK_FAILED);
	assert_int_equal(canp_cmd_result(g)->started_ns, 0);
	assert_int_equal(canp_future_cancel(f), 0); /* running: killed */
	assert_int_equal(canp_future_cancel(f) == 0 || canp_future_cancel(f) == -EALREADY, 1);
	assert_int_equal(wait_result(f)->why, CANP_CMD_ERR_CANCELLED);
	canp_future_put(f);
	canp_future_put(g);
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_RUN, UINT32_MAX), 0);
	assert_int_equal(t.n, 4);
	assert_int_equal(t.errors, 2);
}

static void E28_results_outlive_the_pool(void **state)
{
	struct canp_cmd_config c = config(1);
	const struct canp_cmd_result *r;
	struct canp_future *f;

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f = push("echo kept");
	r = wait_result(f);
	teardown(NULL);
	assert_int_equal(r->out.len, 5);
	assert_memory_equal(r->out.data, "kept\n", 5);
	canp_future_put(f);
}

static void E35_at_after_and_every(void **state)
{
	struct told t = {PTHREAD_MUTEX_INITIALIZER, 0, 0};
	struct canp_cmd_config c = config(2);
	struct canp_cmd_spec s = {.argv = SH("true")};
	const struct canp_cmd_result *r;
	struct canp_future *f, *g;
	uint64_t at;

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	at = canp_clock_ns() + 100000000;
	s.start_at_ns = at;
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	r = wait_result(f);
	assert_true(r->started_ns >= at);
	canp_future_put(f);
	/* One that is cancelled before it is due, one a long way off. */
	s.start_at_ns = canp_clock_ns() + 1000000000000;
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	assert_int_equal(canp_cmd_push(pool, &s, &g), 0);
	assert_int_equal(canp_future_cancel(f), 0);
	assert_int_equal(wait_result(f)->why, CANP_CMD_ERR_CANCELLED);
	canp_future_put(f);
	s = (struct canp_cmd_spec){
		.argv = SH("true"), .every_ns = 20000000, .done = told, .arg = &t};
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	for (unsigned n = 0; n < 5; usleep(1000)) {
		pthread_mutex_lock(&t.lock);
		n = t.n;
		pthread_mutex_unlock(&t.lock);
	}
	assert_int_equal(canp_future_status(f), CANP_TASK_RUNNING);
	assert_int_equal(canp_future_cancel(f), 0);
	r = wait_result(f);
	assert_true(r->runs >= 5);
	canp_future_put(f);
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_DROP, 0), 0);
	assert_int_equal(canp_cmd_result(g)->why, CANP_CMD_ERR_CANCELLED);
	canp_future_put(g);
}

static void E36_metrics(void **state)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_cmd_config c = config(1);
	struct canp_metrics *m = malloc(sizeof(*m));
	struct canp_future *f;

	(void)state;
	make(&c);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f = push("exec sleep 1000");
	while (stats().running != 1)
		usleep(1000);
	for (int i = 0; i < 3; i++)
		canp_future_put(push("true"));
	canp_metrics_init(m, &sb, CANP_METRICS_OPENMETRICS);
	canp_cmd_pool_metrics(pool, m);
	assert_int_equal(canp_metrics_finish(m), 0);
	assert_non_null(strstr(sb.buf, "canp_cmd_queue_depth 3\n"));
	assert_non_null(strstr(sb.buf, "canp_cmd_running 1\n"));
	assert_non_null(strstr(sb.buf, "canp_cmd_executor_up 1\n"));
	canp_future_cancel(f);
	wait_result(f);
	canp_future_put(f);
	canp_strbuf_fini(&sb);
	free(m);
}

static void E38_destroy_with_everything_going_on(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		struct canp_cmd_config c = config(4);
		struct canp_future *f[40];

		canp_cmd_config_with_workers(canp_cmd_config_with_mode(&c, CANP_CMD_MODE_THREAD),
					     2);
		make(&c);
		assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
		for (int i = 0; i < 40; i++) {
			struct canp_cmd_spec s = {.argv = SH(i % 4 ? "true" : "sleep 1000")};

			s.start_at_ns = i % 5 ? 0 : canp_clock_ns() + 1000000000000;
			assert_int_equal(canp_cmd_push(pool, &s, &f[i]), 0);
		}
		teardown(NULL);
		for (int i = 0; i < 40; i++) {
			assert_true(canp_future_status(f[i]) >= CANP_TASK_COMPLETED);
			canp_future_put(f[i]);
		}
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
}

/* A lane that has a command in its hands and has not begun it yet belongs to nobody's count. */
static void E38_destroy_while_a_command_begins(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		struct canp_cmd_config c = config(2);
		uint64_t until;
		struct canp_future *f[8];

		make(&c);
		assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
		for (int i = 0; i < 8; i++)
			f[i] = push(i % 2 ? "true" : "exec sleep 1000");
		until = canp_clock_ns() + round % 200 * 1000;
		while (canp_clock_ns() < until)
			;
		teardown(NULL);
		for (int i = 0; i < 8; i++) {
			assert_true(canp_future_status(f[i]) >= CANP_TASK_COMPLETED);
			canp_future_put(f[i]);
		}
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
}

#define CMD_POOL_CASES                                                                             \
	cmocka_unit_test_teardown(E06_modes_give_the_same_results, teardown),                      \
		cmocka_unit_test_teardown(E07_configuration_setters, teardown),                    \
		cmocka_unit_test_teardown(E08_default_configuration, teardown),                    \
		cmocka_unit_test_teardown(E09_push_blocks_while_full, teardown),                   \
		cmocka_unit_test_teardown(E10_try_push_says_full, teardown),                       \
		cmocka_unit_test_teardown(E11_pop_is_fifo_and_null_when_empty, teardown),          \
		cmocka_unit_test_teardown(E11_higher_classes_go_first, teardown),                  \
		cmocka_unit_test_teardown(E12_start_wakes_by_event_not_by_interval, teardown),     \
		cmocka_unit_test_teardown(E13_stop_waits_keeps_runs_or_drops, teardown),           \
		cmocka_unit_test_teardown(E15_introspection, teardown),                            \
		cmocka_unit_test_teardown(E21_thousand_timeouts_need_no_thread, teardown),         \
		cmocka_unit_test_teardown(E22_never_more_than_the_limit, teardown),                \
		cmocka_unit_test_teardown(E23_permits_come_back_on_every_path, teardown),          \
		cmocka_unit_test_teardown(E24_a_full_queue_takes_no_memory, teardown),             \
		cmocka_unit_test_teardown(E25_batch_is_all_or_none, teardown),                     \
		cmocka_unit_test_teardown(E26_only_legal_transitions, teardown),                   \
		cmocka_unit_test_teardown(E27_status_of_many_ids_and_bounded_history, teardown),   \
		cmocka_unit_test_teardown(E28_handle_waits_polls_calls_back_and_cancels,           \
					  teardown),                                               \
		cmocka_unit_test_teardown(E28_results_outlive_the_pool, teardown),                 \
		cmocka_unit_test_teardown(E35_at_after_and_every, teardown),                       \
		cmocka_unit_test_teardown(E36_metrics, teardown),                                  \
		cmocka_unit_test_teardown(E38_destroy_with_everything_going_on, teardown),         \
		cmocka_unit_test_teardown(E38_destroy_while_a_command_begins, teardown)
