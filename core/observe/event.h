/*
 * event.h - events from many emitters to many listeners, without the emitter ever waiting.
 *
 * Each emitting thread owns a ring (core/base/evring.h) and writes 32-byte records into it. The
 * dispatcher, a thread of its own or a poller of its owner, takes them out in batches and puts a
 * copy into the queue of each listener that wants their type. Listeners run on a pool of workers:
 * one listener's events stay in order and never run twice at once, different listeners run at the
 * same time, and a slow one fills (and loses from) its own queue only.
 *
 * When events reach listeners: flush_count events waiting at one emitter flush at once, fewer
 * flush flush_ms after the dispatcher saw the first. An idle dispatcher sleeps without a timer.
 *
 * Bounded everywhere, all memory is had at create. What does not fit is lost by the policy of the
 * queue and counted: emitted = dispatched + lost (emitters), and for each listener, since it was
 * added: dispatched = filtered + delivered + lost + muted, exactly, once everybody rests.
 */
#ifndef CANP_OBSERVE_EVENT_H
#define CANP_OBSERVE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/base/evring.h"

CANP_BEGIN_DECLS

/* canp's own types; users number theirs from CANP_EVENT_USER on. id, a and b by type. */
#define CANP_EVENTS(X)                                                                             \
	X(NONE, "none")                                                                            \
	X(JOB_BEGIN, "job_begin")                                                                  \
	X(JOB_END, "job_end")                                                                      \
	X(UNIT_BEGIN, "unit_begin")                                                                \
	X(UNIT_END, "unit_end")                                                                    \
	X(FILE_DONE, "file_done")                                                                  \
	X(FAULT, "fault")                                                                          \
	X(STALL, "stall")                                                                          \
	X(MEM_WARN, "mem_warn")                                                                    \
	X(TASK_BEGIN, "task_begin")                                                                \
	X(TASK_END, "task_end")                                                                    \
	X(OP_BEGIN, "op_begin")                                                                    \
	X(OP_END, "op_end")                                                                        \
	X(OP_ERROR, "op_error")                                                                    \
	X(WORKER_START, "worker_start")                                                            \
	X(WORKER_EXIT, "worker_exit")                                                              \
	X(WORKER_CRASH, "worker_crash")                                                            \
	X(CHECKPOINT, "checkpoint")

enum canp_event_type {
#define X(name, text) CANP_EVENT_##name,
	CANP_EVENTS(X)
#undef X
		CANP_EVENT_NR,
	CANP_EVENT_USER = 256
};

/* Types from the last bit on share it. */
#define CANP_EVENT_MASK_BITS 512u
struct canp_event_mask {
	uint64_t w[CANP_EVENT_MASK_BITS / 64];
};

/* Text of one of canp's own types, "user" from CANP_EVENT_USER on; constant, any thread. */
const char *canp_event_name(unsigned type);
void canp_event_mask_all(struct canp_event_mask *m);
void canp_event_mask_add(struct canp_event_mask *m, unsigned type);
bool canp_event_mask_has(const struct canp_event_mask *m, unsigned type);

/* What happens to an event that finds its queue full. For an emitter, BLOCK only changes what
 * canp_event_emit_wait does. A BLOCK listener makes the dispatcher wait for it, and with it all
 * others: for listeners that must see everything. */
enum canp_event_policy {
	CANP_EVENT_DROP_NEWEST,
	CANP_EVENT_OVERWRITE_OLDEST, /* holds one event less than its size */
	CANP_EVENT_BLOCK
};

struct canp_events;

struct canp_event_opts {
	uint32_t emitters_max;  /* 64 */
	uint32_t listeners_max; /* 16 */
	uint32_t ring_events;   /* per emitter, power of two; 4096 */
	uint32_t queue_events;  /* per listener, power of two; 4096 */
	uint32_t batch_max; /* events taken from one emitter, or given to a listener, at a time; 256
			     */
	uint32_t flush_count; /* 1024 */
	uint32_t flush_ms;    /* 5 */
	uint32_t workers;     /* threads for listeners, 0: the dispatcher calls them; 2 */
};

struct canp_event_stats {
	uint64_t emitted, dispatched, lost; /* sums over all emitters there ever were */
	uint64_t flushes;                   /* times the dispatcher had something to do */
	uint64_t batches;                   /* from one emitter each */
	uint64_t wakes;                     /* of workers: at most one a batch */
	uint64_t bells;                     /* of the dispatcher, by emitters */
	uint64_t batch_log2[17];            /* batches of at least 2^i events and below 2^(i + 1) */
};

/* Sets every field to its default. */
void canp_event_opts_init(struct canp_event_opts *o);
/* Control plane. -EINVAL: sizes; -ENOMEM. */
int canp_events_create(const struct canp_event_opts *o, struct canp_events **out);
/* Stops first. Emitters and listeners are gone with it. NULL is allowed. */
void canp_events_destroy(struct canp_events *ev);
/* Starts the dispatcher's thread and the workers. Without it the owner calls canp_events_poll.
 * -EALREADY, or what pthread_create said. */
int canp_events_start(struct canp_events *ev);
/* Hands out everything that was emitted before, then ends the threads. Waits for listeners. */
void canp_events_stop(struct canp_events *ev);
/* Owner's thread, instead of start: one round over all emitters and, without workers, all
 * listeners. Returns how many events moved, so a reactor's poller may return it. */
unsigned canp_events_poll(struct canp_events *ev);
void canp_events_stats(struct canp_events *ev, struct canp_event_stats *out); /* any thread */

/* Where a dispatcher sleeps, seen by its emitters. */
struct canp_event_bell {
	uint32_t state; /* futex: enum canp_event_sleep */
	uint32_t rings;
};
enum canp_event_sleep {
	CANP_EVENT_AWAKE,
	CANP_EVENT_NAP, /* with a deadline; woken by flush_count events */
	CANP_EVENT_DEEP /* woken by any event */
};

/* One emitting thread's end. Fields are private to event.c and the inline emit. */
struct canp_emitter {
	struct canp_evring ring;
	CANP_ALIGNED(CANP_CACHELINE) uint64_t flush_at; /* the tail at which a flush may be due */
	uint32_t flush_count;
	enum canp_event_policy policy;
	struct canp_event_bell *bell;
	struct canp_events *ev;
	uint64_t flush_to; /* dispatcher's: the tail when its flush began */
	uint32_t state;
};

/* Control plane, any thread. -ENOSPC: emitters_max are in use. */
int canp_emitter_get(struct canp_events *ev, enum canp_event_policy policy,
		     struct canp_emitter **out);
/* After its last emit; what it emitted is still dispatched. */
void canp_emitter_put(struct canp_emitter *e);
/* Looks whether a flush is due, and wakes the dispatcher if so. */
void canp_emitter_flush_due(struct canp_emitter *e);
/* Emitter's thread: everything emitted up to now is dispatched without waiting for flush_ms. */
void canp_emitter_flush(struct canp_emitter *e);

/* Emitter's thread. Never waits; false: lost and counted. ts_ns: the turn's time, no clock is
 * read. A dispatcher asleep is woken by at most one system call for a flush. */
static inline bool canp_event_emit(struct canp_emitter *e, uint64_t ts_ns, uint16_t type,
				   uint32_t id, uint64_t a, uint64_t b)
{
	bool kept = canp_evring_emit(&e->ring, ts_ns, type, 0, id, a, b);

	if (canp_unlikely(e->ring.tail >= e->flush_at) ||
	    canp_unlikely(__atomic_load_n(&e->bell->state, __ATOMIC_RELAXED) == CANP_EVENT_DEEP))
		canp_emitter_flush_due(e);
	return kept;
}

/* Emitter's thread, not a reactor: waits for room up to timeout_ns when the emitter's policy is
 * BLOCK. False: still no room, lost and counted. */
bool canp_event_emit_wait(struct canp_emitter *e, uint64_t ts_ns, uint16_t type, uint32_t id,
			  uint64_t a, uint64_t b, uint64_t timeout_ns);

struct canp_listener;

struct canp_listener_opts {
	const char *name; /* borrowed for the listener's life */
	struct canp_event_mask types;
	enum canp_event_policy policy;
	uint32_t batch_max;    /* 0: the dispatcher's */
	uint32_t failures_max; /* muted after so many failed calls in a row; 0: 8 */
	/* Called with nr >= 1 events on a worker (or the polling thread), never twice at once.
	 * Negative: failed; the events count as delivered all the same. */
	int (*fn)(void *arg, const struct canp_ev *events, uint32_t nr);
	void *arg;
};

struct canp_listener_stats {
	uint64_t dispatched; /* by the dispatcher since the listener was added */
	uint64_t filtered;   /* of a type it did not want */
	uint64_t delivered, lost;
	uint64_t pending; /* in its queue */
	uint64_t muted;   /* thrown away because it was muted */
	uint64_t calls, failures;
	bool is_muted;
};

/* Any thread. -ENOSPC: listeners_max are in use; -EINVAL: no fn. Sees events dispatched from now
 * on. */
int canp_listener_add(struct canp_events *ev, const struct canp_listener_opts *o,
		      struct canp_listener **out);
/* Any thread but the listener's own call: waits for a running call, throws the queue away. */
void canp_listener_del(struct canp_listener *l);
void canp_listener_unmute(struct canp_listener *l);                                 /* any thread */
void canp_listener_stats(struct canp_listener *l, struct canp_listener_stats *out); /* any */

CANP_END_DECLS

#endif
