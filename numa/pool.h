/*
 * pool.h - equal slots in a region: get now or leave a wait entry; batch get/put all-or-nothing; a
 * reserve only privileged callers may use. Single owner thread; foreign frees go home over the
 * mesh.
 */
#ifndef CANP_NUMA_POOL_H
#define CANP_NUMA_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/list.h"

/* Most slots one waiter may want (they are handed over in an array on the stack). */
#define CANP_POOL_WAIT_MAX 256u

struct canp_pool_stats {
	/* gets, puts: slots; waits: entries queued; refused: get or batch that got nothing. */
	uint64_t gets, puts, waits, refused;
	uint32_t in_use, in_use_max, slots, reserve;
};

struct canp_pool_waiter {
	struct canp_list link; /* private */
	uint32_t want;         /* slots wanted, 1..CANP_POOL_WAIT_MAX and <= slots - reserve */
	/* The slots are the waiter's now; the array is only valid during the call. It may use the
	 * pool again and may free w. */
	void (*ready)(struct canp_pool_waiter *w, void **slots, uint32_t n);
	void *arg;
};

struct canp_pool {
	void *free; /* singly linked through the slots' first word */
	uint8_t *base;
	size_t slot_bytes;
	uint32_t nr_free;  /* those never handed out included */
	uint32_t nr_fresh; /* the last nr_fresh slots of the region were never handed out */
	uint32_t reserve;
	uint32_t fault_slots; /* brought in at once when they are first handed out; 0: one by one */
	struct canp_list waiters;
	bool serving; /* private: a ready callback is running */
	struct canp_pool_stats stats;
};

/* mem: nr * slot_bytes, aligned to 64; slot_bytes a multiple of 64. The pool does not own mem. */
void canp_pool_init(struct canp_pool *p, void *mem, size_t slot_bytes, uint32_t nr,
		    uint32_t reserve);
/* For a pool in small pages that no one has touched: whenever the fresh part is begun a step
 * further, `bytes` of it are made resident by one system call, instead of a page fault for each
 * page (2 us each on a virtual machine, 1 us in a call). Advice only: where the kernel cannot,
 * pages fault one by one. base must lie on a page. Before the first get. */
void canp_pool_fault_ahead(struct canp_pool *p, size_t bytes);
/* One slot or NULL. A slot's contents are undefined. privileged callers may go into the reserve and
 * pass waiters; others get nothing while somebody waits. */
void *canp_pool_get(struct canp_pool *p, bool privileged);
void canp_pool_put(struct canp_pool *p, void *slot); /* asserts that slot is of this pool */
/* All n or none: 0 or -ENOMEM. */
int canp_pool_get_batch(struct canp_pool *p, uint32_t n, bool privileged, void **slots);
void canp_pool_put_batch(struct canp_pool *p, uint32_t n, void *const *slots);
/* Slots a caller could get now. */
uint32_t canp_pool_avail(const struct canp_pool *p, bool privileged);
/* Gets want slots now (returns true, slots filled) or queues w (which must then stay valid);
 * w->ready is called from a later put or cancel, first come first served, never from here. */
bool canp_pool_get_or_wait(struct canp_pool *p, struct canp_pool_waiter *w, void **slots);
/* Takes w from the queue; nothing happens when it was served already. w must have been passed to
 * canp_pool_get_or_wait() before. */
void canp_pool_cancel_wait(struct canp_pool *p, struct canp_pool_waiter *w);
bool canp_pool_owns(const struct canp_pool *p, const void *slot);

#endif
