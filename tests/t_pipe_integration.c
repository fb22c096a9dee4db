/*
 * t_pipe_integration.c - pipelines together with what is around them: events of operators, sessions
 * of the shared monitor, tasks on the same reactors, a pipe that feeds another. The names begin
 * with the row of the requirements that a test shows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/observe/event.h"
#include "core/observe/monitor.h"
#include "tests/lib/pipe_help.h"

struct seen {
	uint64_t begin, end, error, other, items;
};

static int note(void *arg, const struct canp_ev *events, uint32_t nr)
{
	struct seen *s = arg;

	for (uint32_t i = 0; i < nr; i++) {
		switch (events[i].type) {
		case CANP_EVENT_OP_BEGIN:
			s->begin++;
			break;
		case CANP_EVENT_OP_END:
			s->end++;
			s->items += events[i].id == 2 ? events[i].a : 0;
			break;
		case CANP_EVENT_OP_ERROR:
			s->error += events[i].id == 1 && events[i].b == EBADMSG &&
				    events[i].a % 1000 == 7;
			break;
		default:
			s->other++;
			break;
		}
	}
	return 0;
}

static int map_7_fails(void *arg, const void *in, void *out)
{
	(void)arg;
	memcpy(out, in, 8);
	return *(const uint64_t *)in % 1000 == 7 ? -EBADMSG : 0;
}

static void run_with_events(struct canp_events *ev, enum canp_pipe_exec kind, bool off)
{
	struct canp_pipe_opts o = {.events = ev, .executor = kind, .no_async_events = off};
	struct canp_pipe_op op = {.name = "fails",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = CANP_PIPE_SKIP,
				  .map = map_7_fails};
	struct count_src src = {.n = 10000};
	struct order_sink out = {0};
	struct canp_pipe *p;
	int in = 0;

	assert_int_equal(canp_pipe_create("events", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 9990);
	canp_pipe_destroy(p);
}

static void F30_operators_tell_their_begin_end_and_errors(void **state)
{
	(void)state;
	for (int kind = CANP_PIPE_REACTOR; kind <= CANP_PIPE_SERIAL; kind++) {
		struct seen s = {0};
		struct canp_event_opts eo;
		struct canp_listener_opts lo = {.name = "note", .fn = note, .arg = &s};
		struct canp_listener *l;
		struct canp_events *ev;

		canp_event_opts_init(&eo);
		assert_int_equal(canp_events_create(&eo, &ev), 0);
		canp_event_mask_all(&lo.types);
		assert_int_equal(canp_listener_add(ev, &lo, &l), 0);
		assert_int_equal(canp_events_start(ev), 0);
		run_with_events(ev, (enum canp_pipe_exec)kind, false);
		canp_events_stop(ev); /* all of them have been handed out */
		assert_int_equal(s.begin, 3);
		assert_int_equal(s.end, 3);
		assert_int_equal(s.error, 10);
		assert_int_equal(s.items, 9990);
		canp_events_destroy(ev);
		/* Switched off. */
		assert_int_equal(canp_events_create(&eo, &ev), 0);
		memset(&s, 0, sizeof(s));
		assert_int_equal(canp_listener_add(ev, &lo, &l), 0);
		assert_int_equal(canp_events_start(ev), 0);
		run_with_events(ev, (enum canp_pipe_exec)kind, true);
		canp_events_stop(ev);
		assert_int_equal(s.begin + s.end + s.error + s.other, 0);
		canp_events_destroy(ev);
	}
}

static void F21_session_of_the_shared_monitor_lasts_as_long_as_the_run(void **state)
{
	struct canp_mon_stats before, during, after;

	(void)state;
	for (int off = 0; off < 2; off++) {
		struct canp_pipe_opts o = {.no_shared_monitoring = off};
		uint64_t at = 0, item;
		struct canp_pipe *p;

		canp_monitor_stats(&before);
		assert_int_equal(canp_pipe_create("monitor", NULL, &o, &p), 0);
		canp_pipe_source(p, "s", 8, endless_next, &at);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		assert_int_equal(canp_pipe_next(p, &item, 1, 60000), 1);
		canp_monitor_stats(&during);
		assert_int_equal(during.users, before.users + !off);
		canp_pipe_cancel(p);
		assert_int_equal(canp_pipe_wait(p, 60000), -ECANCELED);
		canp_monitor_stats(&after);
		assert_int_equal(after.users, before.users);
		canp_pipe_destroy(p);
	}
}

static int task_add(const struct canp_task_env *env, void *arg)
{
	(void)env;
	__atomic_fetch_add((uint64_t *)arg, 1, __ATOMIC_RELAXED);
	return 0;
}

static void F15_tasks_run_beside_a_pipe_on_the_same_reactors(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex};
	uint64_t at = 0, ran = 0, submitted = 0;
	struct order_sink out = {0};
	struct canp_pipe *p;

	(void)state;
	assert_int_equal(canp_pipe_create("beside", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, endless_next, &at);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	for (unsigned i = 0; i < 2000; i++) {
		int rc = canp_submit_cpu(ex, CANP_PRIO_NORMAL, task_add, &ran);

		assert_true(rc == 0 || rc == -EAGAIN);
		submitted += rc == 0;
	}
	/* An endless pipe leaves the tasks their turns, and they leave it its. */
	assert_true(wait_for(&ran, submitted));
	assert_true(wait_for(&out.seen, __atomic_load_n(&out.seen, __ATOMIC_RELAXED) + 1000));
	canp_pipe_stop(p);
	assert_int_equal(canp_pipe_wait(p, 60000), 0);
	assert_int_equal(out.seen, at);
	assert_int_equal(out.disorder, 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

struct feed {
	struct canp_pipe *to;
	uint64_t refused;
};

/* The sink of one pipe pushes into another; where there is no credit, it tells its own pipe. */
static int push_on(void *arg, const struct canp_batch *b)
{
	struct feed *f = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		int rc;

		if (!canp_batch_kept(b, r))
			continue;
		while ((rc = canp_pipe_push(f->to, b->rec + (size_t)r * b->stride, NULL)) ==
		       -EAGAIN) {
			f->refused++;
			nap_us(50);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static void F04_one_pipe_feeds_another_within_its_limit(void **state)
{
	struct canp_pipe_opts ao = {.executor = CANP_PIPE_THREADS};
	struct canp_pipe_opts bo = {.executor = CANP_PIPE_THREADS, .max_memory_items = 20};
	struct count_src src = {.n = 5000};
	struct order_sink out = {0};
	struct canp_pipe *a, *b;
	struct canp_pipe_stats st;
	struct feed f = {0};

	(void)state;
	assert_int_equal(canp_pipe_create("b", NULL, &bo, &b), 0);
	canp_pipe_source(b, "in", 8, NULL, NULL);
	canp_pipe_map(b, "odd", 8, map_odd, NULL, 0);
	canp_pipe_sink(b, "t", order_take, &out);
	assert_int_equal(canp_pipe_start(b, NULL), 0);
	f.to = b;
	assert_int_equal(canp_pipe_create("a", NULL, &ao, &a), 0);
	canp_pipe_source(a, "s", 8, count_next, &src);
	canp_pipe_sink(a, "on", push_on, &f);
	assert_int_equal(canp_pipe_run(a), 0);
	canp_pipe_stop(b);
	assert_int_equal(canp_pipe_wait(b, 60000), 0);
	assert_int_equal(out.seen, 5000);
	assert_int_equal(out.disorder, 0);
	canp_pipe_stats(b, &st);
	assert_in_range(st.in_flight_items_max, 1, 20);
	canp_pipe_destroy(a);
	canp_pipe_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F30_operators_tell_their_begin_end_and_errors),
		cmocka_unit_test(F21_session_of_the_shared_monitor_lasts_as_long_as_the_run),
		cmocka_unit_test(F15_tasks_run_beside_a_pipe_on_the_same_reactors),
		cmocka_unit_test(F04_one_pipe_feeds_another_within_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
