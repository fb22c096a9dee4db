/*
 * event_priv.h - what event.c (dispatcher, listeners) and event_thread.c (sleeping and waking)
 * share.
 *
 * The lock guards the tables of emitters and listeners; the dispatcher holds it for one batch at a
 * time and never waits under it. A listener's `busy` word is its claim: who swapped it from 0 to 1
 * may read its queue and call it.
 */
#ifndef CANP_OBSERVE_EVENT_PRIV_H
#define CANP_OBSERVE_EVENT_PRIV_H

#include <pthread.h>

#include "core/base/stat.h"
#include "core/observe/event.h"

#define CANP_EVENT_BATCH_MAX 1024u
#define CANP_EVENT_WORKERS   64u

enum { CANP_EMITTER_FREE, CANP_EMITTER_LIVE, CANP_EMITTER_CLOSING };

struct canp_listener {
	struct canp_evring queue; /* written by the dispatcher */
	/* The dispatcher's line; under the lock. */
	CANP_ALIGNED(CANP_CACHELINE) struct canp_event_mask types;
	struct canp_stat dispatched, filtered, muted_new;
	/* The caller's line: who holds the claim writes, but for muted. */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t busy;
	uint32_t live, muted;
	uint32_t failures_row;
	struct canp_stat calls, failures, muted_queued, delivered;
	struct canp_listener_opts o;
	struct canp_events *ev;
	struct canp_ev *batch; /* batch_max of the dispatcher */
};

struct canp_events {
	struct canp_event_opts o;
	pthread_mutex_t lock;
	struct canp_emitter *emitters;
	struct canp_listener *listeners;
	struct canp_ev *records; /* of all rings, queues and batches */
	struct canp_ev *batch;
	struct canp_event_bell bell;
	struct canp_evring_counts gone; /* sums of emitters that were put */
	struct canp_stat dispatched, flushes, batches, wakes;
	struct canp_stat batch_log2[17];
	/* threads */
	uint32_t work;     /* futex of the workers: counts batches */
	uint32_t sleepers; /* workers asleep or about to be */
	uint32_t stop;     /* 1: dispatcher, 2: workers, too */
	bool started;
	bool can_deep; /* the kernel has membarrier */
	pthread_t dispatcher;
	pthread_t workers[CANP_EVENT_WORKERS];
	unsigned nr_workers;
};

/* Moves one batch of each emitter to the listeners; returns how many events. */
unsigned canp_events_round(struct canp_events *ev);
/* Calls each listener that nobody else is calling with one batch; returns how many events. */
unsigned canp_events_serve(struct canp_events *ev, unsigned first);
/* Any event waiting; or, with_count, as many as flush one emitter at once. */
bool canp_events_waiting(struct canp_events *ev, bool with_count);
/* Dispatcher: remembers what was emitted until now; tells whether all of that is dispatched. */
void canp_events_flush_mark(struct canp_events *ev);
bool canp_events_flushed(struct canp_events *ev);
/* Wakes the dispatcher, if it sleeps. */
void canp_event_bell_ring(struct canp_event_bell *bell);
void canp_events_wake_workers(struct canp_events *ev);

#endif
