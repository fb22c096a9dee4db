/*
 * evring.h - the emit side of events and traces: a ring of 32-byte records with one writer and one
 * reader. Emitting never blocks and never allocates: when the ring is full the record is counted
 * as lost (or, by choice at init, the oldest one is overwritten and counted). At any time, once
 * writer and reader rest: emitted = delivered + lost, exactly.
 *
 * Every layer may emit; only core/observe reads. The records' memory belongs to the caller (a
 * shard's arena or a shared segment), so a reader may be another process.
 */
#ifndef CANP_BASE_EVRING_H
#define CANP_BASE_EVRING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"

/* type: numbers below 256 are canp's own (core/observe/event.h), the rest is the user's. */
struct canp_ev {
	uint64_t ts_ns; /* the reactor's time of the turn: no clock is read */
	uint16_t type;
	uint8_t phase; /* trace: 'B' 'E' 'i' 'b' 'e' 'C'; 0: plain event */
	uint8_t flags;
	uint32_t id; /* task, unit, operator, .. by type */
	uint64_t a, b;
};
CANP_STATIC_ASSERT(sizeof(struct canp_ev) == 32, "two records a cache line");

enum canp_evring_full { CANP_EVRING_DROP_NEWEST, CANP_EVRING_OVERWRITE_OLDEST };

struct canp_evring {
	/* writer's line */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t tail;
	uint64_t head_seen;
	uint64_t emitted, lost;
	/* reader's line */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t head;
	uint64_t overrun; /* overwritten before it was read: part of lost */
	/* written by init only */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t mask;
	struct canp_ev *ev;
	enum canp_evring_full full;
};

/* ev: nr records (a power of two), owned by the caller and alive as long as the ring. */
void canp_evring_init(struct canp_evring *r, struct canp_ev *ev, uint32_t nr,
		      enum canp_evring_full full);

/* Writer thread. Returns false when the record was lost. */
static inline bool canp_evring_emit(struct canp_evring *r, uint64_t ts_ns, uint16_t type,
				    uint8_t phase, uint32_t id, uint64_t a, uint64_t b)
{
	uint64_t tail = r->tail;
	struct canp_ev *e;

	__atomic_store_n(&r->emitted, r->emitted + 1, __ATOMIC_RELAXED);
	if (canp_unlikely(tail - r->head_seen > r->mask)) {
		/* E2: slots read before the reader's release store (E3) may be written again. */
		r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
		if (r->full == CANP_EVRING_DROP_NEWEST && tail - r->head_seen > r->mask) {
			__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
			return false;
		}
	}
	e = &r->ev[tail & r->mask];
	*e = (struct canp_ev){
		.ts_ns = ts_ns, .type = type, .phase = phase, .id = id, .a = a, .b = b};
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE); /* E1: publishes the record */
	return true;
}

/* Reader thread: copies up to max records, oldest first; returns how many. Records overwritten
 * meanwhile are counted, never returned torn. */
uint32_t canp_evring_read(struct canp_evring *r, struct canp_ev *out, uint32_t max);

struct canp_evring_counts {
	uint64_t emitted, delivered, lost;
};
/* Any thread; exact when both sides rest and everything was read. */
void canp_evring_counts(const struct canp_evring *r, struct canp_evring_counts *c);

#endif
