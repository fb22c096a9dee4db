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
 * The limit. `charged` is the sum of live capacity and of what lies in magazines: a block in a
 * magazine is paid for, so the hit path need not look at the limit. Near the limit (above `soft`)
 * the pool is TIGHT: magazines are emptied and stay empty, every call pays for its own bytes, and
 * the sum is exactly what is live. A port's words are written by its thread only, between enter and
 * exit; whoever must see or change them all stops the world: raise the flag that enter looks at,
 * let membarrier(2) order it against every running thread, wait until no port is inside. So the hit
 * path costs two plain stores and a load for it.
 *
 * Locks, outermost first: registry (mem_port.c), wait_lock, house_lock, world, then the leaves
 * depot shard, slab_lock, warn_lock. Inside a port only leaves are taken. Callbacks (warning,
 * ready) run with none held and outside of ports.
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
/* Those who have no port of their own, and waiters, use the last one, under house_lock. */
#define MEM_NR_PORTS (CANP_MEM_PORTS_MAX + 1u)
#define MEM_HOUSE    CANP_MEM_PORTS_MAX

CANP_STATIC_ASSERT(MEM_NR_CLS < 256, "struct canp_block.cls");
CANP_STATIC_ASSERT(sizeof(struct canp_block) == 64, "one line before the data");

struct mem_class {
	uint64_t size;     /* 0: no such class */
	uint32_t stride;   /* bytes from block to block in a slab, header included */
	uint32_t per_slab; /* 0: a block is a run of slabs */
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
	bool listed;     /* on its class's list of slabs with free blocks */
	uint32_t carved; /* blocks made so far: only these have a header */
	uint32_t nr_free;
	struct canp_block *free;
	struct canp_list link;
};

struct mem_depot_shard {
	pthread_mutex_t lock;
	uint32_t n, cap;
	struct canp_block **b; /* [cap] */
} CANP_ALIGNED(CANP_CACHELINE);

/* allocs and frees count all blocks of the class that passed through the port. */
struct mem_mag {
	CANP_ALIGNED(CANP_CACHELINE) uint32_t n;
	uint32_t max;
	uint64_t allocs, frees;
	struct canp_block *b[MEM_MAG];
};

CANP_STATIC_ASSERT(sizeof(struct mem_mag) * MEM_NR_CLS < 65536, "canp_mem.lut");

struct mem_counts {
	struct {
		uint64_t allocs, frees;
	} cls[MEM_NR_CLS];
	struct {
		uint64_t fresh;
		uint64_t large_allocs, large_frees; /* and bytes: large classes have no tier */
		int64_t large_live;
	} tier[CANP_MEM_NR_TIERS];
};

struct canp_mem_port {
	CANP_ALIGNED(CANP_CACHELINE) uint32_t busy; /* its thread is inside */
	uint32_t index;
	struct canp_mem *mem;
	uint64_t now_ns;
	int64_t live; /* bytes allocated less released here; negative: others' blocks */
	int64_t peak; /* highest live */
	struct mem_mag mag[MEM_NR_CLS];
	struct mem_counts c;               /* .cls is kept in mag */
	bool taken;                        /* under world */
	struct canp_mem_port *thread_next; /* ports of the same thread; under the registry */
};

/* Bits of canp_mem.slow: why enter refuses. */
#define MEM_SLOW_STOP  1u
#define MEM_SLOW_TIGHT 2u  /* cleared under wait_lock, while nobody waits */
#define MEM_SLOW_WAIT  4u  /* somebody waits; changed under wait_lock */
#define MEM_SLOW_FAIL  8u  /* fault injection */
#define MEM_SLOW_FENCE 16u /* no membarrier(2): every enter is a full fence, by the slow way */

struct canp_mem {
	/* read by all, written rarely */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t slow;
	uint64_t id;
	uintptr_t base;
	size_t backed; /* bytes from base on that have memory, and may be read */
	uint64_t key;
	size_t range; /* bytes reserved */
	struct canp_block *apart;
	struct mem_slab *slabs;
	uint32_t nr_slabs;
	uint32_t lut_max[CANP_MEM_NR_TIERS];
	uint16_t *lut[CANP_MEM_NR_TIERS]; /* offset of the magazine by (bytes - 1) / 64 */
	struct mem_class cls[MEM_NR_CLS];
	uint64_t limit, soft, thr, chunk;
	struct canp_mem_opts opts;

	/* written often */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t charged;
	uint64_t charged_peak; /* with what lies in magazines */
	uint64_t tight_peak;   /* without */
	CANP_ALIGNED(CANP_CACHELINE) uint64_t warnings;
	uint64_t refused, waits, depot_full, fail_count;
	uint32_t armed; /* the warning may fire; under warn_lock */
	pthread_mutex_t warn_lock;

	pthread_mutex_t world; /* one stop at a time; ports[] and what follows */
	struct canp_mem_port *ports[MEM_NR_PORTS];
	struct mem_counts gone; /* of ports that were put back */
	int64_t gone_peak;      /* sum of their peaks */
	uint32_t nr_ports, ports_made;

	pthread_mutex_t slab_lock;
	uint32_t slab_next; /* first slab never used */
	uint32_t slabs_free;
	struct canp_list part[MEM_NR_CLS]; /* slabs with free or uncarved blocks */

	struct mem_depot_shard *depot[MEM_NR_CLS];
	uint32_t depot_shards[MEM_NR_CLS];
	struct canp_block **depot_room; /* one mapping for all shards */
	size_t depot_room_bytes;

	pthread_mutex_t wait_lock, house_lock;
	struct canp_list waiters;
	uint32_t nr_waiters;
};

/* What a call leaves to be done when it has left its port and its locks. */
struct mem_after {
	uint64_t uncharge;
	uint64_t warn; /* the sum that reached the threshold */
	bool lowered;  /* the sum was lowered already */
};

/* ---- mem_slab.c ---- */
int canp_mem_range_create(struct canp_mem *m);
void canp_mem_range_destroy(struct canp_mem *m);
/* Zeroed memory that costs nothing until touched; NULL on failure. */
void *canp_mem_records(size_t bytes);
/* Up to n free blocks of a class from slabs; returns how many. Any thread. */
uint32_t canp_mem_slab_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n);
void canp_mem_slab_put(struct canp_mem *m, struct canp_block *const *b, uint32_t n);
/* As canp_mem_known(), for pointers outside of the range: headers that stand apart. */
bool canp_mem_known_apart(const struct canp_mem *m, const struct canp_block *b);

/* The pointer is a block of this pool, live or free. What is read is our own memory; a header is
 * known by its check, which is cleared when its slab goes to another class, and which data cannot
 * hold but by a chance of 2^-64. */
CANP_INLINE bool canp_mem_known(const struct canp_mem *m, const struct canp_block *b)
{
	if (canp_unlikely((uintptr_t)b - m->base >= __atomic_load_n(&m->backed, __ATOMIC_RELAXED)))
		return canp_mem_known_apart(m, b);
	return canp_likely(!((uintptr_t)b % sizeof(*b)) && b->check == ((uintptr_t)b ^ m->key));
}

/* ---- mem_depot.c ---- */
int canp_mem_depots_create(struct canp_mem *m);
void canp_mem_depots_destroy(struct canp_mem *m);
void canp_mem_depot_put(struct canp_mem *m, uint32_t cls, struct canp_block *const *b, uint32_t n,
			uint32_t shard);
/* Up to n free blocks from depots or slabs; 0 only when there is no memory. */
uint32_t canp_mem_free_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n,
			   uint32_t shard);

/* ---- mem_port.c ---- */
/* Inside, the port's words are stable; false: take the slow way (nothing was entered). */
CANP_INLINE bool canp_mem_enter(struct canp_mem_port *p)
{
	const struct canp_mem *m = p->mem;

	/* M1: either the stopper sees busy, or we see its flag: membarrier() of the stopper puts a
	 * fence between these two lines. The thread sanitizer does not know it, so there the store
	 * is a fence. */
#ifdef __SANITIZE_THREAD__
	__atomic_exchange_n(&p->busy, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_store_n(&p->busy, 1, __ATOMIC_RELAXED);
	__asm__ volatile("" ::: "memory");
#endif
	if (canp_likely(__atomic_load_n(&m->slow, __ATOMIC_SEQ_CST) == 0))
		return true;
	__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
	return false;
}
CANP_INLINE void canp_mem_exit(struct canp_mem_port *p)
{
	/* M2: what we did is seen by the stopper that reads busy == 0. */
	__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
}
/* As enter, but goes in under any flag except STOP, for which it waits. Returns the other flags. */
uint32_t canp_mem_enter_slow(struct canp_mem_port *p);
/* Between these no port is inside; m->world is held. */
void canp_mem_stop(struct canp_mem *m);
void canp_mem_go(struct canp_mem *m);
/* Empties a port's magazines; its thread is not inside, world is held. Returns their bytes, to be
 * uncharged. */
uint64_t canp_mem_port_flush(struct canp_mem_port *p);
/* Adds a port's counts. World is stopped, or the port's thread calls. */
extern __thread struct mem_last {
	uint64_t mem_id;
	struct canp_mem_port *port;
} canp_mem_last; /* the port used last by this thread */
void canp_mem_counts_add(struct mem_counts *to, const struct canp_mem_port *p);
int canp_mem_house_create(struct canp_mem *m);
void canp_mem_ports_destroy(struct canp_mem *m);
/* membarrier(2) cannot be had. */
bool canp_mem_needs_fence(void);

/* ---- mem_limit.c ---- */
/* Adds bytes to the sum if it stays within top: m->soft for what may lie in magazines, m->limit for
 * what is handed out. Anywhere. */
bool canp_mem_charge(struct canp_mem *m, uint64_t bytes, uint64_t top, struct mem_after *after);
/* Every magazine is emptied, and calls pay for themselves from now on. Outside. */
void canp_mem_tighten(struct canp_mem *m);
/* Warns, gives bytes back and serves waiters; outside, no lock held. */
void canp_mem_after(struct canp_mem *m, const struct mem_after *after);

/* ---- mem.c ---- */
CANP_INLINE struct mem_mag *canp_mem_mag(struct canp_mem_port *p, uint32_t off)
{
	return (struct mem_mag *)((uint8_t *)p->mag + off);
}
uint32_t canp_mem_class_of(const struct canp_mem *m, enum canp_mem_tier tier, size_t bytes);
/* The slow way for a port of the calling thread, or the house under its lock. first: the caller is
 * the first who waits. */
int canp_mem_port_take(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
		       unsigned n, struct canp_block **out, bool first, struct mem_after *after);

#endif
