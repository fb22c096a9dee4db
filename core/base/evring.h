/*
 * evring.h - the emit side of events and traces: a ring of 32-byte records with one writer and one
 * reader. Emitting never blocks and never allocates: when the ring is full the record is counted
 * as lost (or, by choice at init, the oldest one is overwritten and counted). At any time, once
 * writer and reader rest: emitted = delivered + lost + pending, exactly.
 *
 * Every layer may emit; only core/observe reads. The records' memory belongs to the caller (a
 * shard's arena or a shared segment), so a reader may be another process.
 *
 * An overwriting ring holds one record less than it has slots: the writer, whose next index is
 * `tail`, may be busy in the slot of record tail - nr, so only tail - nr + 1 and later are whole.
 * A reader copies first and asks afterwards how far the writer got; what it may have torn is
 * dropped and counted. Since the writer never waits for that, any number of readers may follow
 * with cursors of their own.
 *
 * Memory order, by label:
 *   E1 the writer's release store of tail publishes the record to
 *   R1 the reader's acquire load of tail.
 *   R2 the reader's release store of head hands slots that were read back to
 *   E2 the writer's acquire load of head (rings that drop the newest).
 *   E3 each word of a record is a release store, R3 an acquire load: a reader that saw one word of
 *   record t also sees tail >= t when it asks afterwards. On x86 all of them are plain moves.
 */
#ifndef CANP_BASE_EVRING_H
#define CANP_BASE_EVRING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"

CANP_BEGIN_DECLS

/* type: numbers below 256 are canp's own (core/observe/event.h), the rest is the user's. */
struct canp_ev {
	uint64_t ts_ns; /* the reactor's time of the turn: no clock is read */
	uint16_t type;
	uint8_t phase; /* trace: 'B' 'E' 'X' 'i' 'b' 'e' 'C' 's' 'f'; 0: plain event */
	uint8_t flags;
	uint32_t id; /* task, unit, operator, .. by type */
	uint64_t a, b;
};
CANP_STATIC_ASSERT(sizeof(struct canp_ev) == 32, "two records a cache line");
CANP_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of a record");

enum canp_evring_full { CANP_EVRING_DROP_NEWEST, CANP_EVRING_OVERWRITE_OLDEST };

/* Where a reader is. head - overrun records were delivered to it. */
struct canp_evcursor {
	uint64_t head;
	uint64_t overrun; /* overwritten before this reader came by */
};

struct canp_evring {
	/* writer's line */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t tail;
	uint64_t limit; /* the tail at which the reader's head is looked at again */
	uint64_t lost;  /* dropped because the ring was full */
	/* reader's line */
	CANP_ALIGNED(CANP_CACHELINE) struct canp_evcursor cur;
	/* written by init only */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t mask;
	struct canp_ev *ev;
	enum canp_evring_full full;
};

/* ev: nr records (a power of two, at least 2), owned by the caller and alive as long as the ring.
 * Before writer and reader use it. */
void canp_evring_init(struct canp_evring *r, struct canp_ev *ev, uint32_t nr,
		      enum canp_evring_full full);

/* Writer thread, when tail reached limit: looks how far the reader is. False: still full, and the
 * record is counted as lost. */
bool canp_evring_refill(struct canp_evring *r);

/* The second word of a record: type, phase, flags and id. */
static inline uint64_t canp_ev_word(uint16_t type, uint8_t phase, uint8_t flags, uint32_t id)
{
	return (uint64_t)id << 32 | (uint64_t)flags << 24 | (uint64_t)phase << 16 | type;
}

/* Writer thread. word: canp_ev_word. Returns false when the record was lost. */
static inline bool canp_evring_put(struct canp_evring *r, uint64_t ts_ns, uint64_t word, uint64_t a,
				   uint64_t b)
{
	uint64_t tail = r->tail; /* only this thread writes it */
	uint64_t *w;

	if (canp_unlikely(tail == r->limit) && !canp_evring_refill(r))
		return false;
	w = (uint64_t *)&r->ev[tail & r->mask];
	__atomic_store_n(&w[0], ts_ns, __ATOMIC_RELEASE); /* E3 */
	__atomic_store_n(&w[1], word, __ATOMIC_RELEASE);
	__atomic_store_n(&w[2], a, __ATOMIC_RELEASE);
	__atomic_store_n(&w[3], b, __ATOMIC_RELEASE);
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE); /* E1 */
	return true;
}

/* Writer thread. Returns false when the record was lost. */
static inline bool canp_evring_emit(struct canp_evring *r, uint64_t ts_ns, uint16_t type,
				    uint8_t phase, uint32_t id, uint64_t a, uint64_t b)
{
	return canp_evring_put(r, ts_ns, canp_ev_word(type, phase, 0, id), a, b);
}

/* Writer thread: records that can be emitted now without losing one; only grows until the next
 * emit. An overwriting ring always has room for all. */
uint64_t canp_evring_room(const struct canp_evring *r);

/* Reader thread: copies up to max records, oldest first; returns how many. Records overwritten
 * meanwhile are counted, never returned torn. 0 also when the writer laps faster than one record
 * can be copied. */
uint32_t canp_evring_read(struct canp_evring *r, struct canp_ev *out, uint32_t max);

/* Any thread with a cursor of its own (zeroed: from the oldest record): reads beside the reader
 * without taking records away from it. The cursor belongs to the caller and to one thread. */
uint32_t canp_evring_peek(const struct canp_evring *r, struct canp_evcursor *cur,
			  struct canp_ev *out, uint32_t max);

/* Any thread: records the reader has not fetched yet, a snapshot; more than the ring holds when an
 * overwriting ring was lapped. */
static inline uint64_t canp_evring_pending(const struct canp_evring *r)
{
	uint64_t head = __atomic_load_n(&r->cur.head, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - head;
}

struct canp_evring_counts {
	uint64_t emitted;   /* tried to */
	uint64_t delivered; /* to the reader */
	uint64_t lost;      /* dropped or overwritten */
	uint64_t pending;   /* whole in the ring */
};
/* Any thread; exact when both sides rest. */
void canp_evring_counts(const struct canp_evring *r, struct canp_evring_counts *c);

CANP_END_DECLS

#endif
