/*
 * pool.c - equal slots, get now or leave a wait entry.
 *
 * The free list runs through the slots' first word, so a pool needs no memory beside its slots and
 * hands out the slot used last, which is the one most likely still in the cache.
 *
 * Fairness: an unprivileged caller never passes a waiter, also when slots are free (they are then
 * too few for the first waiter, and would never become enough if others took them). Privileged
 * callers (the frontier unit) pass everybody and reach into the reserve: their progress is what
 * gives all other slots back.
 *
 * In debug flavours the first cache line of a free slot is filled with a pattern that is checked
 * when the slot is handed out: somebody who writes to a slot after giving it back is found there.
 */
#include "numa/pool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"

#define POISON_BYTE 0xa5

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

CANP_INLINE void slot_poison(void *slot)
{
#ifdef CANP_DEBUG
	memset((uint8_t *)slot + sizeof(void *), POISON_BYTE, CANP_CACHELINE - sizeof(void *));
#else
	(void)slot;
#endif
}

CANP_INLINE void slot_check(const void *slot)
{
#ifdef CANP_DEBUG
	const uint8_t *b = slot;

	for (size_t i = sizeof(void *); i < CANP_CACHELINE; i++)
		CANP_ASSERT(b[i] == POISON_BYTE);
#else
	(void)slot;
#endif
}

CANP_INLINE void slot_push(struct canp_pool *p, void *slot)
{
	memcpy(slot, &p->free, sizeof(p->free));
	p->free = slot;
	p->nr_free++;
	slot_poison(slot);
}

/* No slot was ever handed out from here on, and never touched: pages come in by the step. */
static void fault_in(struct canp_pool *p, uint8_t *slot)
{
	size_t left = p->slot_bytes * p->nr_fresh;

	/* Before Linux 5.14 the advice is unknown, and then nothing happens. */
	(void)madvise(slot, canp_min(left, p->slot_bytes * p->fault_slots), MADV_POPULATE_WRITE);
}

CANP_INLINE void *slot_pop(struct canp_pool *p)
{
	void *slot = p->free;

	if (!slot) {
		/* Never handed out so far, and never touched. */
		uint32_t used = p->stats.slots - p->nr_fresh;

		slot = p->base + p->slot_bytes * used;
		if (p->fault_slots && used % p->fault_slots == 0)
			fault_in(p, slot);
		p->nr_fresh--;
		p->nr_free--;
		return slot;
	}
	slot_check(slot);
	memcpy(&p->free, slot, sizeof(p->free));
	CANP_DASSERT(!p->free || canp_pool_owns(p, p->free));
	p->nr_free--;
	return slot;
}

static void count_get(struct canp_pool *p, uint32_t n)
{
	p->stats.gets += n;
	p->stats.in_use += n;
	p->stats.in_use_max = canp_max(p->stats.in_use_max, p->stats.in_use);
}

void canp_pool_init(struct canp_pool *p, void *mem, size_t slot_bytes, uint32_t nr,
		    uint32_t reserve)
{
	CANP_ASSERT(((uintptr_t)mem & (CANP_CACHELINE - 1)) == 0);
	CANP_ASSERT(slot_bytes > 0 && slot_bytes % CANP_CACHELINE == 0);
	CANP_ASSERT(reserve <= nr);
	memset(p, 0, sizeof(*p));
	p->base = mem;
	p->slot_bytes = slot_bytes;
	p->reserve = reserve;
	p->stats.slots = nr;
	p->stats.reserve = reserve;
	canp_list_init(&p->waiters);
	/* Slots are handed out in address order first, and memory that is never needed is never
	 * touched: the pools of a shard are upper bounds that most jobs do not reach. */
	p->nr_fresh = nr;
	p->nr_free = nr;
}

void canp_pool_fault_ahead(struct canp_pool *p, size_t bytes)
{
	CANP_ASSERT(p->stats.gets == 0 && p->slot_bytes % 4096 == 0);
	CANP_ASSERT(((uintptr_t)p->base & 4095) == 0);
	p->fault_slots = (uint32_t)(bytes / p->slot_bytes);
}

bool canp_pool_owns(const struct canp_pool *p, const void *slot)
{
	uintptr_t off = (uintptr_t)slot - (uintptr_t)p->base;

	/* An address below base wraps round and is out of range as well. */
	return off < p->slot_bytes * p->stats.slots && off % p->slot_bytes == 0;
}

/* What the reserve leaves, not looking at waiters. */
CANP_INLINE uint32_t open_slots(const struct canp_pool *p)
{
	return p->nr_free > p->reserve ? p->nr_free - p->reserve : 0;
}

uint32_t canp_pool_avail(const struct canp_pool *p, bool privileged)
{
	if (privileged)
		return p->nr_free;
	return canp_list_empty(&p->waiters) ? open_slots(p) : 0;
}

void *canp_pool_get(struct canp_pool *p, bool privileged)
{
	if (canp_pool_avail(p, privileged) == 0) {
		p->stats.refused++;
		return NULL;
	}
	count_get(p, 1);
	return slot_pop(p);
}

int canp_pool_get_batch(struct canp_pool *p, uint32_t n, bool privileged, void **slots)
{
	if (canp_pool_avail(p, privileged) < n) {
		p->stats.refused++;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++)
		slots[i] = slot_pop(p);
	count_get(p, n);
	return 0;
}

/* Hands slots to waiters in their order, stopping at the first that wants more than there is. A
 * ready callback may use the pool again: it then only changes the free list, and this loop, which
 * is the outer one, goes on with what it finds. */
static void serve_waiters(struct canp_pool *p)
{
	void *slots[CANP_POOL_WAIT_MAX];

	if (p->serving)
		return;
	p->serving = true;
	while (!canp_list_empty(&p->waiters)) {
		struct canp_pool_waiter *w =
			canp_container_of(p->waiters.next, struct canp_pool_waiter, link);

		if (w->want > open_slots(p))
			break;
		canp_list_del(&w->link);
		for (uint32_t i = 0; i < w->want; i++)
			slots[i] = slot_pop(p);
		count_get(p, w->want);
		w->ready(w, slots, w->want);
	}
	p->serving = false;
}

static void put_one(struct canp_pool *p, void *slot)
{
	CANP_ASSERT(canp_pool_owns(p, slot));
	/* More puts than gets: somebody gave a slot back twice. */
	CANP_ASSERT(p->nr_free < p->stats.slots);
	slot_push(p, slot);
	p->stats.puts++;
	p->stats.in_use--;
}

void canp_pool_put(struct canp_pool *p, void *slot)
{
	put_one(p, slot);
	if (canp_unlikely(!canp_list_empty(&p->waiters)))
		serve_waiters(p);
}

void canp_pool_put_batch(struct canp_pool *p, uint32_t n, void *const *slots)
{
	for (uint32_t i = 0; i < n; i++)
		put_one(p, slots[i]);
	if (!canp_list_empty(&p->waiters))
		serve_waiters(p);
}

bool canp_pool_get_or_wait(struct canp_pool *p, struct canp_pool_waiter *w, void **slots)
{
	CANP_ASSERT(w->want > 0 && w->want <= CANP_POOL_WAIT_MAX);
	/* A want that can never be met would block all waiters behind it for ever. */
	CANP_ASSERT(w->want <= p->stats.slots - p->reserve);
	canp_list_init(&w->link);
	if (canp_pool_avail(p, false) >= w->want) {
		for (uint32_t i = 0; i < w->want; i++)
			slots[i] = slot_pop(p);
		count_get(p, w->want);
		return true;
	}
	canp_list_add_tail(&p->waiters, &w->link);
	p->stats.waits++;
	return false;
}

void canp_pool_cancel_wait(struct canp_pool *p, struct canp_pool_waiter *w)
{
	if (canp_list_empty(&w->link))
		return;
	canp_list_del(&w->link);
	/* If w was first and wanted much, those behind it may be content with what is free. */
	serve_waiters(p);
}
