/*
 * cmd_queue.c - the queue without locks. Each cell carries a sequence number that says whose turn
 * it is: equal to the position, a producer's; one more, a consumer's. Positions are handed out by
 * one compare-and-swap; the number of the cell, stored with release, passes the value on.
 *
 * A run of n cells is taken by one compare-and-swap when its last cell is free. An earlier cell of
 * the run can still be in the hands of a consumer that has its position but not its value yet; the
 * producer waits for it, which takes as long as the consumer needs for two instructions.
 */
#include "core/command/cmd_queue.h"

#include <sched.h>
#include <stdlib.h>

#include "core/base/compiler.h"

#define QUEUE_SPINS 1000u

struct queue_cell {
	uint32_t seq, v;
};

struct canp_cmd_queue {
	CANP_ALIGNED(CANP_CACHELINE) uint32_t tail; /* producers */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t head; /* consumers */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t mask;
	struct queue_cell cells[];
};

struct canp_cmd_queue *canp_cmd_queue_create(uint32_t cap)
{
	struct canp_cmd_queue *q;
	uint32_t n = 2;

	while (n < cap)
		n *= 2;
	q = aligned_alloc(CANP_CACHELINE, sizeof(*q) + (size_t)n * sizeof(q->cells[0]) +
						  CANP_CACHELINE -
						  (size_t)n * sizeof(q->cells[0]) % CANP_CACHELINE);
	if (!q)
		return NULL;
	q->tail = 0;
	q->head = 0;
	q->mask = n - 1;
	for (uint32_t i = 0; i < n; i++)
		q->cells[i].seq = i;
	return q;
}

void canp_cmd_queue_destroy(struct canp_cmd_queue *q)
{
	free(q);
}

static void cell_fill(struct queue_cell *c, uint32_t pos, uint32_t v)
{
	unsigned spins = 0;

	while (canp_unlikely(__atomic_load_n(&c->seq, __ATOMIC_ACQUIRE) != pos)) {
		if (++spins % QUEUE_SPINS == 0)
			sched_yield(); /* the consumer was taken off its CPU */
	}
	c->v = v;
	__atomic_store_n(&c->seq, pos + 1, __ATOMIC_RELEASE);
}

bool canp_cmd_queue_push(struct canp_cmd_queue *q, const uint32_t *v, uint32_t n)
{
	uint32_t pos = __atomic_load_n(&q->tail, __ATOMIC_RELAXED);

	if (n - 1 > q->mask)
		return n == 0;
	for (;;) {
		uint32_t last = pos + n - 1;
		uint32_t seq = __atomic_load_n(&q->cells[last & q->mask].seq, __ATOMIC_ACQUIRE);
		int32_t dif = (int32_t)(seq - last);

		if (dif < 0)
			return false;
		if (dif > 0)
			pos = __atomic_load_n(&q->tail, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(&q->tail, &pos, pos + n, true,
						     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			break;
	}
	for (uint32_t i = 0; i < n; i++)
		cell_fill(&q->cells[(pos + i) & q->mask], pos + i, v[i]);
	return true;
}

bool canp_cmd_queue_pop(struct canp_cmd_queue *q, uint32_t *v)
{
	uint32_t pos = __atomic_load_n(&q->head, __ATOMIC_RELAXED);
	struct queue_cell *c;

	for (;;) {
		int32_t dif;

		c = &q->cells[pos & q->mask];
		dif = (int32_t)(__atomic_load_n(&c->seq, __ATOMIC_ACQUIRE) - (pos + 1));
		if (dif < 0)
			return false;
		if (dif > 0)
			pos = __atomic_load_n(&q->head, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(&q->head, &pos, pos + 1, true,
						     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			break;
	}
	*v = c->v;
	__atomic_store_n(&c->seq, pos + q->mask + 1, __ATOMIC_RELEASE);
	return true;
}

uint32_t canp_cmd_queue_count(const struct canp_cmd_queue *q)
{
	uint32_t head = __atomic_load_n(&q->head, __ATOMIC_SEQ_CST);
	uint32_t n = __atomic_load_n(&q->tail, __ATOMIC_SEQ_CST) - head;

	return n > q->mask + 1 ? q->mask + 1 : n;
}
