/*
 * event.c - tables of emitters and listeners, and the two steps every event takes: from its
 * emitter's ring to the listeners' queues (round), from a queue into the listener (serve). When
 * these run is event_thread.c's.
 */
#include "core/observe/event.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "core/observe/event_priv.h"

#define FAILURES_MAX_DEFAULT 8u

const char *canp_event_name(unsigned type)
{
	static const char *const names[] = {
#define X(name, text) text,
		CANP_EVENTS(X)
#undef X
	};

	if (type < CANP_ARRAY_SIZE(names))
		return names[type];
	return type < CANP_EVENT_USER ? "unknown" : "user";
}

void canp_event_mask_all(struct canp_event_mask *m)
{
	memset(m, 0xff, sizeof(*m));
}

void canp_event_mask_add(struct canp_event_mask *m, unsigned type)
{
	type = canp_min(type, CANP_EVENT_MASK_BITS - 1);
	m->w[type / 64] |= 1ULL << (type % 64);
}

bool canp_event_mask_has(const struct canp_event_mask *m, unsigned type)
{
	type = canp_min(type, CANP_EVENT_MASK_BITS - 1);
	return m->w[type / 64] >> (type % 64) & 1;
}

void canp_event_opts_init(struct canp_event_opts *o)
{
	*o = (struct canp_event_opts){.emitters_max = 64,
				      .listeners_max = 16,
				      .ring_events = 4096,
				      .queue_events = 4096,
				      .batch_max = 256,
				      .flush_count = 1024,
				      .flush_ms = 5,
				      .workers = 2};
}

static bool is_ring_size(uint32_t n)
{
	return n >= 2 && n <= 1u << 24 && (n & (n - 1)) == 0;
}

static bool opts_valid(const struct canp_event_opts *o)
{
	return o->emitters_max && o->emitters_max <= 4096 && o->listeners_max &&
	       o->listeners_max <= 4096 && is_ring_size(o->ring_events) &&
	       is_ring_size(o->queue_events) && o->batch_max &&
	       o->batch_max <= CANP_EVENT_BATCH_MAX && o->flush_count &&
	       o->flush_count <= o->ring_events && o->workers <= CANP_EVENT_WORKERS;
}

static void *zalloc_lines(size_t bytes)
{
	void *p = aligned_alloc(CANP_CACHELINE, canp_align_up(bytes, (size_t)CANP_CACHELINE));

	if (p)
		memset(p, 0, bytes);
	return p;
}

static void free_all(struct canp_events *ev)
{
	free(ev->emitters);
	free(ev->listeners);
	free(ev->records);
	free(ev);
}

int canp_events_create(const struct canp_event_opts *o, struct canp_events **out)
{
	struct canp_events *ev;
	size_t records;

	if (!opts_valid(o))
		return -EINVAL;
	ev = zalloc_lines(sizeof(*ev));
	if (!ev)
		return -ENOMEM;
	records = (size_t)o->emitters_max * o->ring_events +
		  (size_t)o->listeners_max * (o->queue_events + o->batch_max) + o->batch_max;
	ev->o = *o;
	ev->emitters = zalloc_lines(o->emitters_max * sizeof(*ev->emitters));
	ev->listeners = zalloc_lines(o->listeners_max * sizeof(*ev->listeners));
	ev->records = aligned_alloc(CANP_CACHELINE,
				    canp_align_up(records * sizeof(struct canp_ev), 64UL));
	if (!ev->emitters || !ev->listeners || !ev->records) {
		free_all(ev);
		return -ENOMEM;
	}
	ev->batch = ev->records + (records - o->batch_max);
	for (uint32_t i = 0; i < o->listeners_max; i++)
		ev->listeners[i].batch = ev->records + (size_t)o->emitters_max * o->ring_events +
					 (size_t)o->listeners_max * o->queue_events +
					 (size_t)i * o->batch_max;
	pthread_mutex_init(&ev->lock, NULL);
	*out = ev;
	return 0;
}

void canp_events_destroy(struct canp_events *ev)
{
	if (!ev)
		return;
	canp_events_stop(ev);
	pthread_mutex_destroy(&ev->lock);
	free_all(ev);
}

/* ---- emitters ---- */

int canp_emitter_get(struct canp_events *ev, enum canp_event_policy policy,
		     struct canp_emitter **out)
{
	struct canp_emitter *e = NULL;
	uint32_t i;

	pthread_mutex_lock(&ev->lock);
	for (i = 0; i < ev->o.emitters_max && !e; i++)
		if (ev->emitters[i].state == CANP_EMITTER_FREE)
			e = &ev->emitters[i];
	if (e) {
		canp_evring_init(&e->ring, ev->records + (size_t)(i - 1) * ev->o.ring_events,
				 ev->o.ring_events,
				 policy == CANP_EVENT_OVERWRITE_OLDEST
					 ? CANP_EVRING_OVERWRITE_OLDEST
					 : CANP_EVRING_DROP_NEWEST);
		e->flush_count = ev->o.flush_count;
		e->flush_at = e->flush_count;
		e->flush_to = 0;
		e->policy = policy;
		e->bell = &ev->bell;
		e->ev = ev;
		e->state = CANP_EMITTER_LIVE;
		*out = e;
	}
	pthread_mutex_unlock(&ev->lock);
	return e ? 0 : -ENOSPC;
}

void canp_emitter_put(struct canp_emitter *e)
{
	struct canp_events *ev = e->ev;

	pthread_mutex_lock(&ev->lock);
	e->state = CANP_EMITTER_CLOSING;
	pthread_mutex_unlock(&ev->lock);
	/* Not through e, which may be somebody else's by now. */
	canp_event_bell_ring(&ev->bell);
}

static void counts_add(struct canp_evring_counts *to, const struct canp_evring *r)
{
	struct canp_evring_counts c;

	canp_evring_counts(r, &c);
	to->emitted += c.emitted;
	to->delivered += c.delivered;
	to->lost += c.lost;
	to->pending += c.pending;
}

/* Under the lock. A slot is free again when all it emitted is out; its counts stay in the sums. */
static void emitter_reap(struct canp_events *ev, struct canp_emitter *e)
{
	if (e->state != CANP_EMITTER_CLOSING || canp_evring_pending(&e->ring))
		return;
	counts_add(&ev->gone, &e->ring);
	e->state = CANP_EMITTER_FREE;
}

/* ---- the dispatcher's step ---- */

/* How many events all BLOCK listeners can take. */
static uint32_t listeners_room(const struct canp_events *ev)
{
	uint64_t room = ev->o.batch_max;

	for (uint32_t i = 0; i < ev->o.listeners_max; i++) {
		const struct canp_listener *l = &ev->listeners[i];

		if (l->live && l->o.policy == CANP_EVENT_BLOCK &&
		    !__atomic_load_n(&l->muted, __ATOMIC_RELAXED))
			room = canp_min(room, canp_evring_room(&l->queue));
	}
	return (uint32_t)room;
}

static void listener_give(struct canp_listener *l, const struct canp_ev *events, uint32_t nr)
{
	bool muted = __atomic_load_n(&l->muted, __ATOMIC_ACQUIRE);
	uint32_t filtered = 0;

	canp_stat_add(&l->dispatched, nr);
	for (uint32_t i = 0; i < nr; i++) {
		const struct canp_ev *e = &events[i];

		if (!canp_event_mask_has(&l->types, e->type))
			filtered++;
		else if (muted)
			canp_stat_add(&l->muted_new, 1);
		else
			canp_evring_put(&l->queue, e->ts_ns,
					canp_ev_word(e->type, e->phase, e->flags, e->id), e->a,
					e->b);
	}
	canp_stat_add(&l->filtered, filtered);
}

static unsigned dispatch_one(struct canp_events *ev, struct canp_emitter *e)
{
	uint32_t nr = canp_evring_read(&e->ring, ev->batch, listeners_room(ev));

	if (!nr)
		return 0;
	for (uint32_t i = 0; i < ev->o.listeners_max; i++)
		if (ev->listeners[i].live)
			listener_give(&ev->listeners[i], ev->batch, nr);
	canp_stat_add(&ev->dispatched, nr);
	canp_stat_add(&ev->batches, 1);
	canp_stat_add(&ev->batch_log2[31 - __builtin_clz(nr)], 1);
	return nr;
}

unsigned canp_events_round(struct canp_events *ev)
{
	unsigned moved = 0;

	for (uint32_t i = 0; i < ev->o.emitters_max; i++) {
		struct canp_emitter *e = &ev->emitters[i];
		unsigned nr = 0;

		pthread_mutex_lock(&ev->lock);
		if (e->state != CANP_EMITTER_FREE) {
			nr = dispatch_one(ev, e);
			emitter_reap(ev, e);
		}
		pthread_mutex_unlock(&ev->lock);
		if (nr)
			canp_events_wake_workers(ev);
		moved += nr;
	}
	if (moved)
		canp_stat_add(&ev->flushes, 1);
	return moved;
}

void canp_events_flush_mark(struct canp_events *ev)
{
	pthread_mutex_lock(&ev->lock);
	for (uint32_t i = 0; i < ev->o.emitters_max; i++) {
		struct canp_emitter *e = &ev->emitters[i];

		if (e->state != CANP_EMITTER_FREE)
			e->flush_to = __atomic_load_n(&e->ring.tail, __ATOMIC_ACQUIRE);
	}
	pthread_mutex_unlock(&ev->lock);
}

bool canp_events_flushed(struct canp_events *ev)
{
	bool flushed = true;

	pthread_mutex_lock(&ev->lock);
	for (uint32_t i = 0; i < ev->o.emitters_max && flushed; i++) {
		const struct canp_emitter *e = &ev->emitters[i];

		flushed = e->state == CANP_EMITTER_FREE || e->ring.cur.head >= e->flush_to;
	}
	pthread_mutex_unlock(&ev->lock);
	return flushed;
}

bool canp_events_waiting(struct canp_events *ev, bool with_count)
{
	uint64_t want = with_count ? ev->o.flush_count : 1;
	bool waiting = false;

	pthread_mutex_lock(&ev->lock);
	for (uint32_t i = 0; i < ev->o.emitters_max && !waiting; i++) {
		struct canp_emitter *e = &ev->emitters[i];

		emitter_reap(ev, e);
		waiting = e->state != CANP_EMITTER_FREE && canp_evring_pending(&e->ring) >= want;
	}
	pthread_mutex_unlock(&ev->lock);
	return waiting;
}

unsigned canp_events_poll(struct canp_events *ev)
{
	unsigned moved;

	CANP_ASSERT(!ev->started);
	moved = canp_events_round(ev);
	return moved + canp_events_serve(ev, 0);
}

void canp_events_stats(struct canp_events *ev, struct canp_event_stats *out)
{
	struct canp_evring_counts c;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&ev->lock);
	c = ev->gone;
	for (uint32_t i = 0; i < ev->o.emitters_max; i++)
		if (ev->emitters[i].state != CANP_EMITTER_FREE)
			counts_add(&c, &ev->emitters[i].ring);
	pthread_mutex_unlock(&ev->lock);
	out->emitted = c.emitted;
	out->lost = c.lost;
	out->dispatched = canp_stat_get(&ev->dispatched);
	out->flushes = canp_stat_get(&ev->flushes);
	out->batches = canp_stat_get(&ev->batches);
	out->wakes = canp_stat_get(&ev->wakes);
	out->bells = __atomic_load_n(&ev->bell.rings, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(out->batch_log2); i++)
		out->batch_log2[i] = canp_stat_get(&ev->batch_log2[i]);
}

/* ---- listeners ---- */

static bool listener_claim(struct canp_listener *l)
{
	return !__atomic_exchange_n(&l->busy, 1, __ATOMIC_ACQUIRE);
}

static void listener_release(struct canp_listener *l)
{
	__atomic_store_n(&l->busy, 0, __ATOMIC_RELEASE);
}

/* With the claim: all but busy and live, which others look at, and batch, which stays. */
static void listener_setup(struct canp_events *ev, struct canp_listener *l, uint32_t slot,
			   const struct canp_listener_opts *o)
{
	l->ev = ev;
	l->o = *o;
	l->o.batch_max = canp_min(o->batch_max ? o->batch_max : ev->o.batch_max, ev->o.batch_max);
	l->o.failures_max = o->failures_max ? o->failures_max : FAILURES_MAX_DEFAULT;
	l->types = o->types;
	l->muted = 0;
	l->failures_row = 0;
	l->dispatched = l->filtered = l->muted_new = (struct canp_stat){0};
	l->calls = l->failures = l->muted_queued = l->delivered = (struct canp_stat){0};
	canp_evring_init(&l->queue,
			 ev->records + (size_t)ev->o.emitters_max * ev->o.ring_events +
				 (size_t)slot * ev->o.queue_events,
			 ev->o.queue_events,
			 o->policy == CANP_EVENT_OVERWRITE_OLDEST ? CANP_EVRING_OVERWRITE_OLDEST
								  : CANP_EVRING_DROP_NEWEST);
}

int canp_listener_add(struct canp_events *ev, const struct canp_listener_opts *o,
		      struct canp_listener **out)
{
	struct canp_listener *l = NULL;
	uint32_t i;

	if (!o->fn)
		return -EINVAL;
	pthread_mutex_lock(&ev->lock);
	/* A worker that looks whether the slot is live holds the claim for a moment only. */
	for (i = 0; i < ev->o.listeners_max && !l; i++)
		if (!ev->listeners[i].live && listener_claim(&ev->listeners[i]))
			l = &ev->listeners[i];
	if (l) {
		listener_setup(ev, l, i - 1, o);
		__atomic_store_n(&l->live, 1, __ATOMIC_RELEASE);
		listener_release(l);
		*out = l;
	}
	pthread_mutex_unlock(&ev->lock);
	return l ? 0 : -ENOSPC;
}

void canp_listener_del(struct canp_listener *l)
{
	/* With the claim first nobody is inside the call, with the lock nobody fills the queue. */
	while (!listener_claim(l))
		sched_yield();
	pthread_mutex_lock(&l->ev->lock);
	__atomic_store_n(&l->live, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&l->ev->lock);
	listener_release(l);
}

void canp_listener_unmute(struct canp_listener *l)
{
	while (!listener_claim(l))
		sched_yield();
	l->failures_row = 0;
	__atomic_store_n(&l->muted, 0, __ATOMIC_RELEASE);
	listener_release(l);
}

/* With the claim. What was queued before it was muted is thrown away here. */
static void listener_call(struct canp_listener *l, uint32_t nr)
{
	if (__atomic_load_n(&l->muted, __ATOMIC_RELAXED)) {
		canp_stat_add(&l->muted_queued, nr);
		return;
	}
	canp_stat_add(&l->calls, 1);
	canp_stat_add(&l->delivered, nr);
	if (l->o.fn(l->o.arg, l->batch, nr) >= 0) {
		l->failures_row = 0;
		return;
	}
	canp_stat_add(&l->failures, 1);
	if (++l->failures_row >= l->o.failures_max)
		__atomic_store_n(&l->muted, 1, __ATOMIC_RELEASE);
}

unsigned canp_events_serve(struct canp_events *ev, unsigned first)
{
	unsigned served = 0;

	for (uint32_t i = 0; i < ev->o.listeners_max; i++) {
		struct canp_listener *l = &ev->listeners[(first + i) % ev->o.listeners_max];
		uint32_t nr;

		if (!__atomic_load_n(&l->live, __ATOMIC_ACQUIRE) || !listener_claim(l))
			continue;
		nr = __atomic_load_n(&l->live, __ATOMIC_ACQUIRE)
			     ? canp_evring_read(&l->queue, l->batch, l->o.batch_max)
			     : 0;
		if (nr)
			listener_call(l, nr);
		listener_release(l);
		served += nr;
	}
	return served;
}

void canp_listener_stats(struct canp_listener *l, struct canp_listener_stats *out)
{
	struct canp_evring_counts c;

	canp_evring_counts(&l->queue, &c);
	out->dispatched = canp_stat_get(&l->dispatched);
	out->filtered = canp_stat_get(&l->filtered);
	out->delivered = canp_stat_get(&l->delivered);
	out->lost = c.lost;
	out->pending = c.pending;
	out->muted = canp_stat_get(&l->muted_new) + canp_stat_get(&l->muted_queued);
	out->calls = canp_stat_get(&l->calls);
	out->failures = canp_stat_get(&l->failures);
	out->is_muted = __atomic_load_n(&l->muted, __ATOMIC_ACQUIRE);
}
