/*
 * t_event.c - the event dispatcher: batches, flushes by count and time, slow and failing listeners,
 * policies of full queues, and accounts that balance exactly.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/observe/event.h"

#define USER CANP_EVENT_USER

/* A listener that checks order and remembers when it was called. */
struct seen {
	uint64_t events, calls, next, first_ns;
	uint32_t sleep_ms;
	bool fails, gap;
};

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

static uint64_t get(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_ACQUIRE);
}

static int listen_fn(void *arg, const struct canp_ev *e, uint32_t nr)
{
	struct seen *s = arg;

	if (!s->calls)
		__atomic_store_n(&s->first_ns, canp_clock_ns(), __ATOMIC_RELEASE);
	if (s->sleep_ms)
		sleep_ms(s->sleep_ms);
	for (uint32_t i = 0; i < nr; i++) {
		s->gap |= e[i].a != s->next;
		s->next = e[i].a + 1;
	}
	__atomic_store_n(&s->calls, s->calls + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&s->events, s->events + nr, __ATOMIC_RELEASE);
	return s->fails ? -EIO : 0;
}

static struct canp_events *make(const struct canp_event_opts *o)
{
	struct canp_events *ev;

	assert_int_equal(canp_events_create(o, &ev), 0);
	return ev;
}

static struct canp_emitter *emitter(struct canp_events *ev, enum canp_event_policy policy)
{
	struct canp_emitter *e;

	assert_int_equal(canp_emitter_get(ev, policy, &e), 0);
	return e;
}

static struct canp_listener *listen_to(struct canp_events *ev, struct seen *s,
				       enum canp_event_policy policy)
{
	struct canp_listener_opts o = {
		.name = "test", .policy = policy, .failures_max = 3, .fn = listen_fn, .arg = s};
	struct canp_listener *l;

	canp_event_mask_all(&o.types);
	assert_int_equal(canp_listener_add(ev, &o, &l), 0);
	return l;
}

static void wait_for(const uint64_t *v, uint64_t want, unsigned limit_ms)
{
	uint64_t end = canp_clock_ns() + limit_ms * 1000000ULL;

	while (get(v) < want && canp_clock_ns() < end)
		sleep_ms(1);
	assert_true(get(v) >= want);
}

/* Sums of a dispatcher and one of its listeners that heard it from the start. */
static void assert_balanced(struct canp_events *ev, struct canp_listener *l)
{
	struct canp_event_stats s;
	struct canp_listener_stats ls;

	canp_events_stats(ev, &s);
	canp_listener_stats(l, &ls);
	assert_int_equal(s.emitted, s.dispatched + s.lost);
	assert_int_equal(ls.dispatched, s.dispatched);
	assert_int_equal(ls.pending, 0);
	assert_int_equal(ls.dispatched, ls.filtered + ls.delivered + ls.lost + ls.muted);
}

static void G09_events_are_dispatched_in_batches_with_one_wake_each(void **state)
{
	struct canp_event_opts o;
	struct canp_event_stats s;
	struct canp_events *ev;
	struct canp_listener *l;
	struct canp_emitter *e;
	struct seen seen = {0};
	uint64_t logged = 0;

	(void)state;
	canp_event_opts_init(&o);
	ev = make(&o);
	l = listen_to(ev, &seen, CANP_EVENT_BLOCK);
	e = emitter(ev, CANP_EVENT_BLOCK);
	assert_int_equal(canp_events_start(ev), 0);
	assert_int_equal(canp_events_start(ev), -EALREADY);
	for (uint64_t i = 0; i < 100000; i++)
		assert_true(canp_event_emit_wait(e, i, USER, 1, i, 0, 20000000000ULL));
	canp_events_stop(ev);
	canp_events_stats(ev, &s);
	assert_int_equal(seen.events, 100000);
	assert_false(seen.gap);
	assert_true(s.batches * 4 < s.dispatched);
	assert_true(s.wakes <= s.batches);
	assert_true(seen.calls * 4 < seen.events);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(s.batch_log2); i++)
		logged += s.batch_log2[i];
	assert_int_equal(logged, s.batches);
	assert_balanced(ev, l);
	canp_events_destroy(ev);
}

static int compare_u64(const void *pa, const void *pb)
{
	uint64_t x = *(const uint64_t *)pa, y = *(const uint64_t *)pb;

	return (x > y) - (x < y);
}

/* 99 % of the emits take less than the bound although the listener sleeps all the time. */
static void G10_emission_does_not_wait_for_a_sleeping_listener(void **state)
{
	static uint64_t took[20000];
	struct canp_event_opts o;
	struct canp_events *ev;
	struct canp_listener *l;
	struct canp_emitter *e;
	struct seen seen = {.sleep_ms = 300};

	(void)state;
	canp_event_opts_init(&o);
	ev = make(&o);
	l = listen_to(ev, &seen, CANP_EVENT_DROP_NEWEST);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	assert_int_equal(canp_events_start(ev), 0);
	for (uint64_t i = 0; i < CANP_ARRAY_SIZE(took); i++) {
		uint64_t start = canp_clock_ns();

		canp_event_emit(e, i, USER, 1, i, 0);
		took[i] = canp_clock_ns() - start;
	}
	canp_events_stop(ev);
	qsort(took, CANP_ARRAY_SIZE(took), sizeof(took[0]), compare_u64);
	/* Two clock reads are in it; sanitizers and a loaded machine take their share. */
	assert_true(took[CANP_ARRAY_SIZE(took) / 2] < 5000);
	assert_true(took[CANP_ARRAY_SIZE(took) * 99 / 100] < 50000);
	assert_balanced(ev, l);
	canp_events_destroy(ev);
}

static void G11_overflow_is_counted_exactly(void **state)
{
	static const enum canp_event_policy policies[] = {CANP_EVENT_DROP_NEWEST,
							  CANP_EVENT_OVERWRITE_OLDEST};
	struct canp_event_opts o;

	(void)state;
	canp_event_opts_init(&o);
	o.ring_events = 64;
	o.queue_events = 16;
	o.flush_count = 32;
	o.workers = 0;
	for (unsigned i = 0; i < 4; i++) {
		enum canp_event_policy on_emit = policies[i & 1], on_listen = policies[i >> 1];
		struct canp_events *ev = make(&o);
		struct seen seen = {0};
		struct canp_listener *l = listen_to(ev, &seen, on_listen);
		struct canp_emitter *e = emitter(ev, on_emit);
		struct canp_event_stats s;
		struct canp_listener_stats ls;

		for (uint64_t n = 0; n < 1000; n++)
			assert_int_equal(canp_event_emit(e, n, USER, 1, n, 0),
					 on_emit == CANP_EVENT_OVERWRITE_OLDEST || n < 64);
		while (canp_events_poll(ev))
			;
		canp_events_stats(ev, &s);
		canp_listener_stats(l, &ls);
		assert_int_equal(s.emitted, 1000);
		assert_int_equal(s.dispatched, on_emit == CANP_EVENT_DROP_NEWEST ? 64 : 63);
		assert_int_equal(ls.delivered, on_listen == CANP_EVENT_DROP_NEWEST ? 16 : 15);
		assert_int_equal(seen.events, ls.delivered);
		/* The last event lives where the oldest ones go. */
		if (on_emit == CANP_EVENT_OVERWRITE_OLDEST &&
		    on_listen == CANP_EVENT_OVERWRITE_OLDEST)
			assert_int_equal(seen.next, 1000);
		assert_balanced(ev, l);
		canp_events_destroy(ev);
	}
}

static void G11_blocking_loses_nothing_and_ends_at_its_timeout(void **state)
{
	struct canp_event_opts o;
	struct canp_event_stats s;
	struct canp_events *ev;
	struct canp_emitter *e;
	uint64_t start;

	(void)state;
	canp_event_opts_init(&o);
	o.ring_events = 4;
	o.flush_count = 4;
	ev = make(&o);
	e = emitter(ev, CANP_EVENT_BLOCK);
	for (unsigned i = 0; i < 4; i++)
		assert_true(canp_event_emit_wait(e, 0, USER, 0, i, 0, 1000000));
	start = canp_clock_ns();
	assert_false(canp_event_emit_wait(e, 0, USER, 0, 4, 0, 5000000));
	assert_true(canp_clock_ns() - start >= 5000000);
	canp_events_stats(ev, &s);
	assert_int_equal(s.emitted, 5);
	assert_int_equal(s.lost, 1);
	canp_events_destroy(ev);
}

struct emit_job {
	struct canp_events *ev;
	enum canp_event_policy policy;
	uint64_t nr, kept;
};

static void *emit_run(void *arg)
{
	struct emit_job *job = arg;
	struct canp_emitter *e;

	if (canp_emitter_get(job->ev, job->policy, &e))
		return NULL;
	for (uint64_t i = 0; i < job->nr; i++)
		job->kept += canp_event_emit(e, i, USER, 1, i, 0);
	canp_emitter_put(e);
	return NULL;
}

/* Emitters come and go, listeners of every kind run beside; nothing is counted twice or never. */
static void G11_accounts_balance_with_many_emitters_and_listeners(void **state)
{
	struct emit_job jobs[4] = {{.policy = CANP_EVENT_DROP_NEWEST},
				   {.policy = CANP_EVENT_OVERWRITE_OLDEST},
				   {.policy = CANP_EVENT_DROP_NEWEST},
				   {.policy = CANP_EVENT_OVERWRITE_OLDEST}};
	struct seen seen[3] = {{.sleep_ms = 1}, {.sleep_ms = 0}, {.fails = true}};
	struct canp_event_opts o;
	struct canp_event_stats s;
	struct canp_listener *l[3];
	struct canp_events *ev;
	pthread_t t[4];

	(void)state;
	canp_event_opts_init(&o);
	o.ring_events = 256;
	o.queue_events = 128;
	o.flush_count = 64;
	o.flush_ms = 1;
	ev = make(&o);
	l[0] = listen_to(ev, &seen[0], CANP_EVENT_DROP_NEWEST);
	l[1] = listen_to(ev, &seen[1], CANP_EVENT_OVERWRITE_OLDEST);
	l[2] = listen_to(ev, &seen[2], CANP_EVENT_DROP_NEWEST);
	assert_int_equal(canp_events_start(ev), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 4; i++) {
			jobs[i].ev = ev;
			jobs[i].nr = 5000;
			assert_int_equal(pthread_create(&t[i], NULL, emit_run, &jobs[i]), 0);
		}
		for (unsigned i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
	}
	canp_events_stop(ev);
	canp_events_stats(ev, &s);
	assert_int_equal(s.emitted, 3 * 4 * 5000);
	for (unsigned i = 0; i < 3; i++) {
		struct canp_listener_stats ls;

		assert_balanced(ev, l[i]);
		canp_listener_stats(l[i], &ls);
		assert_int_equal(ls.delivered, seen[i].events);
	}
	canp_events_destroy(ev);
}

static void G12_a_failing_listener_is_muted_and_harms_nobody(void **state)
{
	struct seen bad = {.fails = true}, good = {0};
	struct canp_listener_stats ls;
	struct canp_listener *lb, *lg;
	struct canp_event_opts o;
	struct canp_events *ev;
	struct canp_emitter *e;

	(void)state;
	canp_event_opts_init(&o);
	o.workers = 0;
	o.batch_max = 10;
	ev = make(&o);
	lb = listen_to(ev, &bad, CANP_EVENT_BLOCK);
	lg = listen_to(ev, &good, CANP_EVENT_BLOCK);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	for (uint64_t i = 0; i < 100; i++)
		assert_true(canp_event_emit(e, i, USER, 1, i, 0));
	while (canp_events_poll(ev))
		;
	canp_listener_stats(lb, &ls);
	assert_true(ls.is_muted);
	assert_int_equal(ls.failures, 3);
	assert_int_equal(ls.delivered, 30);
	assert_int_equal(ls.muted, 70);
	assert_int_equal(good.events, 100);
	assert_false(good.gap);
	assert_balanced(ev, lb);
	assert_balanced(ev, lg);
	/* Given another chance, and one success clears the count. */
	bad.fails = false;
	canp_listener_unmute(lb);
	assert_true(canp_event_emit(e, 0, USER, 1, 100, 0));
	while (canp_events_poll(ev))
		;
	assert_int_equal(bad.events, 31);
	assert_balanced(ev, lb);
	canp_events_destroy(ev);
}

static void G13_a_slow_listener_does_not_delay_a_fast_one(void **state)
{
	struct seen slow = {.sleep_ms = 500}, fast = {0};
	struct canp_event_opts o;
	struct canp_events *ev;
	struct canp_listener *ls, *lf;
	struct canp_emitter *e;

	(void)state;
	canp_event_opts_init(&o);
	o.flush_ms = 1;
	ev = make(&o);
	ls = listen_to(ev, &slow, CANP_EVENT_DROP_NEWEST);
	lf = listen_to(ev, &fast, CANP_EVENT_DROP_NEWEST);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	assert_int_equal(canp_events_start(ev), 0);
	for (uint64_t i = 0; i < 20; i++) {
		canp_event_emit(e, i, USER, 1, i, 0);
		sleep_ms(2);
	}
	wait_for(&fast.events, 20, 400);
	assert_true(get(&slow.calls) == 0);
	canp_events_stop(ev);
	assert_int_equal(slow.events, 20);
	assert_balanced(ev, ls);
	assert_balanced(ev, lf);
	canp_events_destroy(ev);
}

static void G14_dispatches_are_events_divided_by_the_buffer(void **state)
{
	struct canp_event_opts o;
	struct canp_event_stats s;
	struct canp_events *ev;
	struct canp_emitter *e;
	struct seen seen = {0};

	(void)state;
	canp_event_opts_init(&o);
	o.flush_count = 50;
	o.flush_ms = 60000;
	ev = make(&o);
	listen_to(ev, &seen, CANP_EVENT_BLOCK);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	assert_int_equal(canp_events_start(ev), 0);
	for (uint64_t n = 0; n < 10; n++) {
		for (uint64_t i = 0; i < 50; i++)
			canp_event_emit(e, 0, USER, 1, n * 50 + i, 0);
		wait_for(&seen.events, (n + 1) * 50, 20000);
	}
	canp_events_stats(ev, &s);
	assert_int_equal(s.flushes, 10);
	assert_int_equal(s.batches, 10);
	canp_events_destroy(ev);
}

static void G15_flushes_by_count_at_once_and_by_time_later(void **state)
{
	struct canp_event_opts o;
	struct canp_events *ev;
	struct canp_emitter *e;
	struct seen seen = {0};
	uint64_t start;

	(void)state;
	canp_event_opts_init(&o);
	o.flush_count = 8;
	o.flush_ms = 2000;
	ev = make(&o);
	listen_to(ev, &seen, CANP_EVENT_BLOCK);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	assert_int_equal(canp_events_start(ev), 0);
	start = canp_clock_ns();
	for (uint64_t i = 0; i < 7; i++)
		canp_event_emit(e, 0, USER, 1, i, 0);
	wait_for(&seen.events, 7, 20000);
	assert_true(get(&seen.first_ns) - start >= 1990000000ULL);
	/* The eighth of a new count does not wait. */
	start = canp_clock_ns();
	for (uint64_t i = 7; i < 15; i++)
		canp_event_emit(e, 0, USER, 1, i, 0);
	wait_for(&seen.events, 15, 20000);
	assert_true(canp_clock_ns() - start < 1900000000ULL);
	/* Asked for, it does not wait either. */
	start = canp_clock_ns();
	canp_event_emit(e, 0, USER, 1, 15, 0);
	sleep_ms(20);
	canp_emitter_flush(e);
	wait_for(&seen.events, 16, 20000);
	assert_true(canp_clock_ns() - start < 1900000000ULL);
	canp_events_destroy(ev);
}

static void listeners_get_only_the_types_they_asked_for(void **state)
{
	struct canp_listener_opts lo = {.fn = listen_fn, .policy = CANP_EVENT_DROP_NEWEST};
	struct canp_listener_stats ls;
	struct canp_event_opts o;
	struct canp_listener *l, *other;
	struct canp_events *ev;
	struct canp_emitter *e;
	struct seen seen = {0};

	(void)state;
	canp_event_opts_init(&o);
	o.workers = 0;
	o.listeners_max = 1;
	ev = make(&o);
	lo.arg = &seen;
	canp_event_mask_add(&lo.types, CANP_EVENT_FAULT);
	canp_event_mask_add(&lo.types, 60000);
	assert_int_equal(canp_listener_add(ev, &lo, &l), 0);
	assert_int_equal(canp_listener_add(ev, &lo, &other), -ENOSPC);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	canp_event_emit(e, 0, CANP_EVENT_FAULT, 1, 0, 0);
	canp_event_emit(e, 0, CANP_EVENT_STALL, 1, 1, 0);
	canp_event_emit(e, 0, USER + 1, 1, 2, 0);
	canp_event_emit(e, 0, 60001, 1, 3, 0); /* shares the last bit */
	while (canp_events_poll(ev))
		;
	canp_listener_stats(l, &ls);
	assert_int_equal(ls.delivered, 2);
	assert_int_equal(ls.filtered, 2);
	assert_balanced(ev, l);
	canp_listener_del(l);
	assert_int_equal(canp_listener_add(ev, &lo, &other), 0);
	lo.fn = NULL;
	assert_int_equal(canp_listener_add(ev, &lo, &l), -EINVAL);
	canp_events_destroy(ev);
	assert_string_equal(canp_event_name(CANP_EVENT_WORKER_CRASH), "worker_crash");
	assert_string_equal(canp_event_name(USER + 5), "user");
}

/* An operator notifies from its reactor: no allocation, no lock, and while the dispatcher is awake
 * no system call, so a notification is a few stores. */
static void G16_an_operator_notifies_without_allocating(void **state)
{
	struct mallinfo2 before, after;
	struct canp_event_opts o;
	struct canp_event_stats s;
	struct canp_events *ev;
	struct canp_emitter *e;

	(void)state;
	canp_event_opts_init(&o);
	o.workers = 0;
	ev = make(&o);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	before = mallinfo2();
	for (uint64_t i = 0; i < 2 * o.ring_events; i++)
		canp_event_emit(e, i, CANP_EVENT_OP_END, 1, i, 0);
	after = mallinfo2();
	assert_int_equal(after.uordblks, before.uordblks);
	assert_int_equal(after.hblkhd, before.hblkhd);
	canp_events_stats(ev, &s);
	assert_int_equal(s.emitted, 2 * o.ring_events);
	assert_int_equal(s.lost, o.ring_events);
	/* Nobody slept, so nobody was woken. */
	assert_int_equal(s.bells, 0);
	canp_events_destroy(ev);
}

struct gate {
	pthread_mutex_t lock;
	uint64_t events;
};

static int gate_fn(void *arg, const struct canp_ev *e, uint32_t nr)
{
	struct gate *g = arg;

	(void)e;
	pthread_mutex_lock(&g->lock);
	g->events += nr;
	pthread_mutex_unlock(&g->lock);
	return 0;
}

/* The emitter holds what its listener needs: a synchronous notification would never return. */
static void G17_an_emitter_is_done_before_its_listener_could_be(void **state)
{
	struct gate g = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct canp_listener_opts lo = {.name = "gate", .fn = gate_fn, .arg = &g};
	struct canp_event_opts o;
	struct canp_events *ev;
	struct canp_listener *l;
	struct canp_emitter *e;

	(void)state;
	canp_event_opts_init(&o);
	ev = make(&o);
	canp_event_mask_all(&lo.types);
	assert_int_equal(canp_listener_add(ev, &lo, &l), 0);
	e = emitter(ev, CANP_EVENT_DROP_NEWEST);
	assert_int_equal(canp_events_start(ev), 0);
	pthread_mutex_lock(&g.lock);
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(canp_event_emit(e, i, USER, 1, i, 0));
	assert_int_equal(g.events, 0);
	pthread_mutex_unlock(&g.lock);
	canp_events_stop(ev);
	assert_int_equal(g.events, 1000);
	assert_balanced(ev, l);
	canp_events_destroy(ev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G09_events_are_dispatched_in_batches_with_one_wake_each),
		cmocka_unit_test(G10_emission_does_not_wait_for_a_sleeping_listener),
		cmocka_unit_test(G11_overflow_is_counted_exactly),
		cmocka_unit_test(G11_blocking_loses_nothing_and_ends_at_its_timeout),
		cmocka_unit_test(G11_accounts_balance_with_many_emitters_and_listeners),
		cmocka_unit_test(G12_a_failing_listener_is_muted_and_harms_nobody),
		cmocka_unit_test(G13_a_slow_listener_does_not_delay_a_fast_one),
		cmocka_unit_test(G14_dispatches_are_events_divided_by_the_buffer),
		cmocka_unit_test(G15_flushes_by_count_at_once_and_by_time_later),
		cmocka_unit_test(listeners_get_only_the_types_they_asked_for),
		cmocka_unit_test(G16_an_operator_notifies_without_allocating),
		cmocka_unit_test(G17_an_emitter_is_done_before_its_listener_could_be),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
