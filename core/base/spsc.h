/*
 * spsc.h - a ring of pointers between exactly one producer thread and one consumer thread.
 *
 * The slots are a power of two and belong to the caller. Each side owns one cache line: its own
 * index, which the other side reads, and its last sight of the other's index. As long as that
 * cached sight leaves room (or work), a push (or pop) touches no line the other side writes; only
 * when it runs out is the real index loaded again. Indices run freely and wrap at 2^32; the
 * difference of the two is the fill level.
 *
 * Memory order, by label:
 *   P1 the producer's release store of tail publishes the slots written before it to
 *   C1 the consumer's acquire load of tail.
 *   C2 the consumer's release store of head hands slots that were read before it back to
 *   P2 the producer's acquire load of head, so a slot is never overwritten while it is read.
 */
#ifndef CANP_BASE_SPSC_H
#define CANP_BASE_SPSC_H

#include <stdint.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"

CANP_BEGIN_DECLS

struct canp_spsc {
	/* The producer's line. */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t tail;
	uint32_t head_seen;
	/* The consumer's line. */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t head;
	uint32_t tail_seen;
	/* Written once by init, read by both. */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t mask;
	void **slots;
};

/* slots: nr pointers (a power of two), owned by the caller and alive as long as the ring. Before
 * either side uses it. */
static inline void canp_spsc_init(struct canp_spsc *q, void **slots, uint32_t nr)
{
	CANP_ASSERT(nr != 0 && (nr & (nr - 1)) == 0);
	q->tail = 0;
	q->head_seen = 0;
	q->head = 0;
	q->tail_seen = 0;
	q->mask = nr - 1;
	q->slots = slots;
}

/* Pushes the first pointers of items, as many as fit; returns how many. Producer thread only. */
static inline uint32_t canp_spsc_push(struct canp_spsc *q, void *const *items, uint32_t nr)
{
	uint32_t tail = q->tail; /* only this thread writes it */
	uint32_t room = q->mask + 1 - (tail - q->head_seen);

	if (room < nr) {
		q->head_seen = __atomic_load_n(&q->head, __ATOMIC_ACQUIRE); /* P2 */
		room = q->mask + 1 - (tail - q->head_seen);
		if (room < nr)
			nr = room;
	}
	for (uint32_t i = 0; i < nr; i++)
		__atomic_store_n(&q->slots[(tail + i) & q->mask], items[i], __ATOMIC_RELAXED);
	if (nr)
		__atomic_store_n(&q->tail, tail + nr, __ATOMIC_RELEASE); /* P1 */
	return nr;
}

/* Pointers that a push would take now; only grows until the next push. Producer thread only. */
static inline uint32_t canp_spsc_room(struct canp_spsc *q)
{
	q->head_seen = __atomic_load_n(&q->head, __ATOMIC_ACQUIRE); /* P2 */
	return q->mask + 1 - (q->tail - q->head_seen);
}

/* Pops up to max pointers into items, oldest first; returns how many. Consumer thread only. */
static inline uint32_t canp_spsc_pop(struct canp_spsc *q, void **items, uint32_t max)
{
	uint32_t head = q->head; /* only this thread writes it */
	uint32_t have = q->tail_seen - head;

	if (have < max) {
		q->tail_seen = __atomic_load_n(&q->tail, __ATOMIC_ACQUIRE); /* C1 */
		have = q->tail_seen - head;
		if (have < max)
			max = have;
	}
	for (uint32_t i = 0; i < max; i++)
		items[i] = q->slots[(head + i) & q->mask];
	if (max)
		__atomic_store_n(&q->head, head + max, __ATOMIC_RELEASE); /* C2 */
	return max;
}

/* The i-th oldest pointer, NULL when there are not as many. Any thread; a snapshot: the consumer
 * may have popped it already, so the caller needs another way to make sure of what it means. */
static inline void *canp_spsc_peek(const struct canp_spsc *q, uint32_t i)
{
	uint32_t head = __atomic_load_n(&q->head, __ATOMIC_ACQUIRE);

	if (__atomic_load_n(&q->tail, __ATOMIC_ACQUIRE) - head - 1 - i > q->mask)
		return NULL;
	return __atomic_load_n(&q->slots[(head + i) & q->mask], __ATOMIC_RELAXED);
}

/* The oldest pointer, which stays in the ring; NULL: empty. Consumer thread only. */
static inline void *canp_spsc_front(struct canp_spsc *q)
{
	uint32_t head = q->head; /* only this thread writes it */

	if (q->tail_seen == head) {
		q->tail_seen = __atomic_load_n(&q->tail, __ATOMIC_ACQUIRE); /* C1 */
		if (q->tail_seen == head)
			return NULL;
	}
	return __atomic_load_n(&q->slots[head & q->mask], __ATOMIC_RELAXED);
}

/* The i-th oldest pointer of those already seen, NULL when there are not as many: what to prefetch.
 * Consumer thread only. */
static inline void *canp_spsc_ahead(const struct canp_spsc *q, uint32_t i)
{
	if (q->tail_seen - q->head <= i)
		return NULL;
	return __atomic_load_n(&q->slots[(q->head + i) & q->mask], __ATOMIC_RELAXED);
}

/* Takes what canp_spsc_front() returned out of the ring. Consumer thread only. */
static inline void canp_spsc_drop(struct canp_spsc *q)
{
	__atomic_store_n(&q->head, q->head + 1, __ATOMIC_RELEASE); /* C2 */
}

/* Pointers in the ring. Exact on a quiet ring, a snapshot otherwise; any thread. */
static inline uint32_t canp_spsc_count(const struct canp_spsc *q)
{
	uint32_t head = __atomic_load_n(&q->head, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&q->tail, __ATOMIC_ACQUIRE) - head;
}

CANP_END_DECLS

#endif
