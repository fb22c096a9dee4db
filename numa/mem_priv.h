/*
 * mem_priv.h - inside of the memory pool, shared by mem*.c.
 *
 * From the bottom up:
 *   slab      2 MiB of a reserved address range, cut into blocks of one class; a block above 2 MiB
 *             takes a run of slabs. Its number follows from an address, so any pointer can be
 *             judged without reading what it points to.
 *   depot     free blocks of a class, in shards with a lock each; bounded, the rest goes back to
 *             its slab, and a slab that is empty back to the range
 *   magazine  free blocks of a class that one thread holds
 *
 * The limit. `charged` is the sum of live capacity and of the credit of all ports: bytes a port may
 * hand out without asking. A port's own words are written by its thread only, between enter and
 * exit; whoever must see or take them all stops the world: raise the flag that enter looks at, let
 * membarrier(2) order it against every running thread, wait until no port is inside. So the hit
 * path costs two plain stores and a load, and the limit is still exact: above `soft` bytes credits
 * are taken back and every call charges by itself (TIGHT).
 */
#ifndef CANP_NUMA_MEM_PRIV_H
#define CANP_NUMA_MEM_PRIV_H

#include <pthread.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "numa/mem.h"

#define MEM_SLAB_SHIFT 21u
#define MEM_SLAB       ((size_t)1 << MEM_SLAB_SHIFT)
#define MEM_TIER_CLS   (CANP_MEM_NR_TIERS * CANP_MEM_CLASSES_MAX)
/* Classes of 2^k bytes for what no tier has: 512 B (below it a tier class always fits) .. 64 GiB */
#define MEM_LARGE_MIN_SHIFT 9u
#define MEM_LARGE_MAX_SHIFT 36u
#define MEM_NR_LARGE        (MEM_LARGE_MAX_SHIFT - MEM_LARGE_MIN_SHIFT + 1u)
#define MEM_NR_CLS          (MEM_TIER_CLS + MEM_NR_LARGE)
/* From here on headers stand apart, so that the data keep their alignment. */
#define MEM_APART_BYTES (64u * 1024u)
#define MEM_APART_SLAB  (MEM_SLAB / MEM_APART_BYTES) /* headers apart per slab */
#define MEM_MAG         64u
#define MEM_LUT_MAX     (1u << 20) /* largest tier class */
#define MEM_MAGIC       0x6b6c6243u
/* One more than threads may have: waiters are served through the last one, under wait_lock. */
#define MEM_NR_PORTS (CANP_MEM_PORTS_MAX + 1u)
#define MEM_HOUSE    CANP_MEM_PORTS_MAX

struct canp_block {
	uint32_t refs; /* 0: free */
	uint32_t magic;
	uint16_t cls;
	uint8_t tier;
	uint8_t fresh; /* never handed out yet */
	uint32_t slab;
	uint64_t len, capacity, created_ns;
	void *data;
	struct canp_block *next; /* free list of its slab */
} CANP_ALIGNED(64);
CANP_STATIC_ASSERT(sizeof(struct canp_block) == 64, "one line before the data");

struct mem_class {
	uint64_t size;
	uint32_t stride;   /* bytes from block to block in a slab, header included */
	uint32_t per_slab; /* 0: a block is a run of slabs */
	uint64_t inv;      /* ceil(2^40 / stride) */
	uint32_t slabs;    /* length of the run */
	uint32_t mag;      /* magazine size, 0: none */
	uint8_t tier;
	bool apart, large;
};

/* A slab's record. use: MEM_SLAB_FREE, MEM_SLAB_BODY (inside a run) or class + 1. */
#define MEM_SLAB_FREE 0u
#define MEM_SLAB_BODY 0xffffu
struct mem_slab {
	uint16_t use;
	bool listed;              /* on its class's list of slabs with free blocks */
	uint32_t nr_free, carved; /* free ones on `free`; blocks made so far */
	struct canp_block *free;
	struct canp_list link;
};

struct mem_depot_shard {
	pthread_mutex_t lock;
	uint32_t n, cap;
	struct canp_block **b; /* [cap], NULL until first used */
} CANP_ALIGNED(CANP_CACHELINE);

struct mem_mag {
	uint32_t n;
	struct canp_block *b[MEM_MAG];
};

struct mem_counts {
	uint64_t allocs, frees, fresh, large;
	int64_t live_bytes, live_blocks; /* may be negative: others' blocks released here */
	struct {
		uint64_t allocs, fresh;
		int64_t live;
	} tier[CANP_MEM_NR_TIERS];
};

struct canp_mem_port {
	CANP_ALIGNED(CANP_CACHELINE) uint32_t busy; /* its thread is inside */
	uint32_t index;
	struct canp_mem *mem;
	uint64_t now_ns;
	uint64_t credit;
	int64_t peak;
	struct mem_counts c;
	/* under the lock of the registry (mem_port.c) */
	bool taken;
	struct canp_mem_port *thread_next; /* ports of the same thread */
	struct mem_mag mag[MEM_NR_CLS];
};

/* Bits of canp_mem.slow: why enter refuses. */
#define MEM_SLOW_STOP  1u
#define MEM_SLOW_TIGHT 2u
#define MEM_SLOW_WAIT  4u
#define MEM_SLOW_FAIL  8u /* fault injection */

struct canp_mem {
	/* read by all, written rarely */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t slow;
	bool fence; /* no membarrier: every enter is a full fence */
	uint64_t id;
	uintptr_t base;
	size_t range; /* bytes reserved */
	struct canp_block *apart;
	struct mem_slab *slabs;
	uint32_t nr_slabs;
	struct mem_class cls[MEM_NR_CLS];
	uint8_t *lut[CANP_MEM_NR_TIERS]; /* class by (bytes + 63) / 64 */
	uint32_t lut_max[CANP_MEM_NR_TIERS];
	uint64_t limit, soft, thr, chunk;
	struct canp_mem_opts opts;

	/* written often */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t charged;
	CANP_ALIGNED(CANP_CACHELINE) uint32_t armed; /* the warning may fire */
	uint64_t warnings, refused, waits, depot_full, fail_count;
	uint64_t peak; /* highest sum seen at a charge */

	pthread_mutex_t world; /* one stop at a time; ports[] */
	struct canp_mem_port *ports[MEM_NR_PORTS];
	struct mem_counts gone; /* of ports that were put back */
	uint32_t nr_ports, ports_made;

	pthread_mutex_t slab_lock;
	uint32_t slab_next; /* first slab never used */
	uint32_t slabs_free;
	struct canp_list part[MEM_NR_CLS]; /* slabs with free or uncarved blocks */

	struct mem_depot_shard *depot[MEM_NR_CLS];
	uint32_t depot_shards[MEM_NR_CLS];

	pthread_mutex_t wait_lock;
	struct canp_list waiters;
	uint32_t nr_waiters;
};

/* ---- mem_slab.c ---- */
int canp_mem_range_create(struct canp_mem *m);
void canp_mem_range_destroy(struct canp_mem *m);
/* Up to n free blocks of a class from slabs; returns how many. Any thread. */
uint32_t canp_mem_slab_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n);
void canp_mem_slab_put(struct canp_mem *m, struct canp_block *const *b, uint32_t n);
/* The block a pointer means, or NULL when it cannot be one; reads only the pool's own records. */
struct canp_block *canp_mem_block_of(const struct canp_mem *m, const void *p);

/* ---- mem_port.c ---- */
/* Inside, the port's words are stable; false: take the slow way (nothing was entered). */
static inline bool canp_mem_enter(struct canp_mem_port *p)
{
	const struct canp_mem *m = p->mem;

	/* M1: either the stopper sees busy, or we see its flag. Without the fence membarrier() of
	 * the stopper puts one between these two lines. */
	__atomic_store_n(&p->busy, 1, __ATOMIC_RELAXED);
	if (canp_unlikely(m->fence))
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (canp_likely(__atomic_load_n(&m->slow, __ATOMIC_ACQUIRE) == 0))
		return true;
	__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
	return false;
}
static inline void canp_mem_exit(struct canp_mem_port *p)
{
	/* M2: what we did is seen by the stopper that reads busy == 0. */
	__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
}
/* As enter, but goes in under any flag except STOP, for which it waits. Returns the other flags. */
uint32_t canp_mem_enter_slow(struct canp_mem_port *p);
/* Between these no port is inside; m->world is held. */
void canp_mem_stop(struct canp_mem *m);
void canp_mem_go(struct canp_mem *m);
void canp_mem_counts_sum(const struct canp_mem *m, struct mem_counts *sum);
void canp_mem_counts_add(struct mem_counts *to, const struct mem_counts *c);
int canp_mem_house_create(struct canp_mem *m);
void canp_mem_ports_destroy(struct canp_mem *m);
/* membarrier(2) cannot be had. */
bool canp_mem_needs_fence(void);

/* ---- mem_limit.c ---- */
/* Takes `bytes` from the limit for the port (which is inside). Exact. 0 or -ENOMEM. */
int canp_mem_charge(struct canp_mem_port *p, uint64_t bytes);
/* Gives bytes back and serves waiters; not inside. */
void canp_mem_uncharge(struct canp_mem *m, uint64_t bytes);
/* Credit beyond two chunks, or all of it while TIGHT: what to give back by uncharge. Inside. */
uint64_t canp_mem_credit_over(struct canp_mem_port *p, uint32_t flags);
/* Takes all credits back; the world is stopped. */
void canp_mem_collect(struct canp_mem *m);
void canp_mem_serve(struct canp_mem *m);

/* ---- mem.c ---- */
uint32_t canp_mem_class_of(const struct canp_mem *m, enum canp_mem_tier tier, size_t bytes);
int canp_mem_port_take(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
		       unsigned n, struct canp_block **out, bool queued);
void canp_mem_depot_put(struct canp_mem *m, uint32_t cls, struct canp_block *const *b, uint32_t n,
			uint32_t shard);

#endif
