/*
 * event_thread.c - when the dispatcher and the listeners' workers run, sleep and are woken.
 *
 * The dispatcher sleeps in two depths. NAP: something waits but not yet flush_count of it; it
 * sleeps flush_ms and only the flush_count-th event rings. DEEP: nothing waits, it sleeps without
 * a timer and the next event rings. An emitter looks at the bell after it stored its record, with
 * plain moves; the fence between its store and that look is moved to the sleeper, who has
 * membarrier(2) run it on every thread before it looks at the rings for the last time. Where the
 * kernel has none, and for the nap, where a missed ring costs flush_ms at most, there is a timer.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/observe/event_priv.h"

/* Longest sleep of an idle worker; only there so that a lost wake-up would not last for ever. */
#define WORKER_SLEEP_NS CANP_NS_PER_S

static void futex_wait(uint32_t *word, uint32_t while_is, uint64_t timeout_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(timeout_ns / (uint64_t)CANP_NS_PER_S),
			      .tv_nsec = (long)(timeout_ns % (uint64_t)CANP_NS_PER_S)};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_is, timeout_ns ? &ts : NULL, NULL, 0);
}

static void futex_wake(uint32_t *word, int nr)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr, NULL, NULL, 0);
}

/* ---- emitter's side ---- */

void canp_event_bell_ring(struct canp_event_bell *bell)
{
	if (__atomic_exchange_n(&bell->state, CANP_EVENT_AWAKE, __ATOMIC_SEQ_CST) ==
	    CANP_EVENT_AWAKE)
		return;
	__atomic_fetch_add(&bell->rings, 1, __ATOMIC_RELAXED);
	futex_wake(&bell->state, 1);
}

void canp_emitter_flush_due(struct canp_emitter *e)
{
	uint64_t head = __atomic_load_n(&e->ring.cur.head, __ATOMIC_RELAXED);
	uint32_t state = __atomic_load_n(&e->bell->state, __ATOMIC_RELAXED);
	bool due = e->ring.tail >= head + e->flush_count;

	/* The count starts anew where the dispatcher got to, so a flush by time is not followed by
	 * one that is too small. */
	e->flush_at = (due ? e->ring.tail : head) + e->flush_count;
	if (state == CANP_EVENT_DEEP || (due && state == CANP_EVENT_NAP))
		canp_event_bell_ring(e->bell);
}

void canp_emitter_flush(struct canp_emitter *e)
{
	canp_event_bell_ring(e->bell);
}

bool canp_event_emit_wait(struct canp_emitter *e, uint64_t ts_ns, uint16_t type, uint32_t id,
			  uint64_t a, uint64_t b, uint64_t timeout_ns)
{
	uint64_t deadline = 0;

	while (e->policy == CANP_EVENT_BLOCK && !canp_evring_room(&e->ring)) {
		struct timespec pause = {.tv_nsec = 20 * CANP_NS_PER_US};
		uint64_t now = canp_clock_ns();

		if (!deadline)
			deadline = now + timeout_ns;
		if (now >= deadline)
			break;
		canp_event_bell_ring(e->bell);
		nanosleep(&pause, NULL);
	}
	return canp_event_emit(e, ts_ns, type, id, a, b);
}

/* ---- dispatcher ---- */

static bool membarrier_all(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* Until something may wait; returns early for no reason at all, too. */
static void sleep_deep(struct canp_events *ev)
{
	__atomic_store_n(&ev->bell.state, CANP_EVENT_DEEP, __ATOMIC_SEQ_CST);
	if (!ev->can_deep || !membarrier_all())
		futex_wait(&ev->bell.state, CANP_EVENT_DEEP,
			   canp_max(ev->o.flush_ms, 1u) * (uint64_t)CANP_NS_PER_MS);
	else if (!canp_events_waiting(ev, false) && !__atomic_load_n(&ev->stop, __ATOMIC_SEQ_CST))
		futex_wait(&ev->bell.state, CANP_EVENT_DEEP, 0);
	__atomic_store_n(&ev->bell.state, CANP_EVENT_AWAKE, __ATOMIC_SEQ_CST);
}

/* Fewer than flush_count wait: gives the emitters flush_ms to bring more. */
static void sleep_nap(struct canp_events *ev)
{
	if (!ev->o.flush_ms)
		return;
	__atomic_store_n(&ev->bell.state, CANP_EVENT_NAP, __ATOMIC_SEQ_CST);
	if (!canp_events_waiting(ev, true) && !__atomic_load_n(&ev->stop, __ATOMIC_SEQ_CST))
		futex_wait(&ev->bell.state, CANP_EVENT_NAP,
			   ev->o.flush_ms * (uint64_t)CANP_NS_PER_MS);
	__atomic_store_n(&ev->bell.state, CANP_EVENT_AWAKE, __ATOMIC_SEQ_CST);
}

/* A round, and the listeners' calls where no workers do them. A full BLOCK listener is given time
 * to make room. */
static void flush_step(struct canp_events *ev)
{
	unsigned moved = canp_events_round(ev);

	if (!ev->nr_workers)
		moved += canp_events_serve(ev, 0);
	if (!moved) {
		struct timespec pause = {.tv_nsec = 20 * CANP_NS_PER_US};

		nanosleep(&pause, NULL);
	}
}

/* All that was emitted before the flush; what comes meanwhile has its own count and time. */
static void flush_all(struct canp_events *ev)
{
	canp_events_flush_mark(ev);
	while (!canp_events_flushed(ev))
		flush_step(ev);
}

static void *dispatcher_run(void *arg)
{
	struct canp_events *ev = arg;

	while (!__atomic_load_n(&ev->stop, __ATOMIC_SEQ_CST)) {
		if (!canp_events_waiting(ev, false)) {
			sleep_deep(ev);
			continue;
		}
		if (!canp_events_waiting(ev, true))
			sleep_nap(ev);
		flush_all(ev);
	}
	while (canp_events_waiting(ev, false))
		flush_step(ev);
	while (!ev->nr_workers && canp_events_serve(ev, 0))
		;
	return NULL;
}

/* ---- workers ---- */

void canp_events_wake_workers(struct canp_events *ev)
{
	if (!ev->nr_workers)
		return;
	__atomic_fetch_add(&ev->work, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&ev->sleepers, __ATOMIC_SEQ_CST))
		return;
	canp_stat_add(&ev->wakes, 1);
	futex_wake(&ev->work, (int)ev->nr_workers);
}

static void *worker_run(void *arg)
{
	struct canp_events *ev = arg;
	unsigned first = 0;

	for (;;) {
		uint32_t work = __atomic_load_n(&ev->work, __ATOMIC_SEQ_CST);

		/* The next search starts elsewhere, so the first listener is not served best. */
		if (canp_events_serve(ev, first++))
			continue;
		if (__atomic_load_n(&ev->stop, __ATOMIC_SEQ_CST) == 2)
			return NULL;
		__atomic_fetch_add(&ev->sleepers, 1, __ATOMIC_SEQ_CST);
		futex_wait(&ev->work, work, WORKER_SLEEP_NS);
		__atomic_fetch_sub(&ev->sleepers, 1, __ATOMIC_SEQ_CST);
	}
}

static void stop_workers(struct canp_events *ev)
{
	__atomic_store_n(&ev->stop, 2, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&ev->work, 1, __ATOMIC_SEQ_CST);
	futex_wake(&ev->work, CANP_EVENT_WORKERS);
	for (unsigned i = 0; i < ev->nr_workers; i++)
		pthread_join(ev->workers[i], NULL);
	ev->nr_workers = 0;
}

int canp_events_start(struct canp_events *ev)
{
	int err = 0;

	if (ev->started)
		return -EALREADY;
	__atomic_store_n(&ev->stop, 0, __ATOMIC_SEQ_CST);
	ev->can_deep = !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	for (unsigned i = 0; i < ev->o.workers && !err; i++) {
		err = pthread_create(&ev->workers[i], NULL, worker_run, ev);
		ev->nr_workers += !err;
	}
	if (!err)
		err = pthread_create(&ev->dispatcher, NULL, dispatcher_run, ev);
	if (err) {
		stop_workers(ev);
		return -err;
	}
	ev->started = true;
	return 0;
}

void canp_events_stop(struct canp_events *ev)
{
	if (!ev->started)
		return;
	__atomic_store_n(&ev->stop, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&ev->bell.state, CANP_EVENT_AWAKE, __ATOMIC_SEQ_CST);
	futex_wake(&ev->bell.state, 1);
	pthread_join(ev->dispatcher, NULL);
	stop_workers(ev);
	ev->started = false;
}
