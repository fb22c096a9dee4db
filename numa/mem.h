/*
 * mem.h - the tiered memory pool: reference-counted blocks in size classes, three tiers.
 *
 * A block is a header and its bytes (64-byte aligned, large classes 2 MiB aligned). The pool hands
 * out the smallest class that holds the request; requests above the largest class of the tier are
 * served from the large classes (powers of two). Memory comes from hugepage arenas that are made
 * with the pool, so a warm pool calls neither malloc nor mmap.
 *
 * Threads: every thread works through a port, its own magazines of free blocks. A port belongs to
 * one thread at a time; canp_mem_port_get() gives the calling thread its own and keeps it until
 * canp_mem_port_put(). The functions without a port find it by themselves. The hit path takes no
 * lock and no atomic instruction but those of a reference count shared by several threads.
 * A block may be released by any thread; it returns to the port or depot of that thread.
 *
 * The limit (max_total_memory) counts the capacity of all live blocks plus what the caches built
 * on the pool hold, exactly, whatever the number of threads.
 *
 * Names of the source document: allocate_block = canp_mem_alloc, release_block = canp_mem_release,
 * as_ptr_and_len = canp_block_span.
 */
#ifndef CANP_NUMA_MEM_H
#define CANP_NUMA_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/list.h"
#include "numa/hugepage.h"

CANP_BEGIN_DECLS

enum canp_mem_tier { CANP_MEM_BLOCK, CANP_MEM_DECOMPRESS, CANP_MEM_FRAME, CANP_MEM_NR_TIERS };

#define CANP_MEM_CLASSES_MAX 8u  /* size classes of one tier */
#define CANP_MEM_PORTS_MAX   64u /* threads with magazines of their own; more share one, slower */
#define CANP_MEM_BATCH_MAX   256u

/* Zero means the default in brackets; canp_mem_opts_default() fills all of them. */
struct canp_mem_opts {
	/* Ascending, multiples of 64, up to 1 MiB. [512..8192, 1024..16384, 256..4096, five each]
	 */
	uint32_t classes[CANP_MEM_NR_TIERS][CANP_MEM_CLASSES_MAX];
	unsigned nr_classes[CANP_MEM_NR_TIERS];
	/* Free blocks kept: shards of each tier and blocks of a class in one of them.
	 * [64 x 1024, 32 x 256, 64 x 512] What is freed beyond goes back to the arena. */
	uint32_t depot_shards[CANP_MEM_NR_TIERS];
	uint32_t depot_capacity[CANP_MEM_NR_TIERS];
	uint64_t max_total_memory;       /* bytes [1 GiB] */
	double memory_warning_threshold; /* share of it, 0..1 [0.8] */
	enum canp_hugepages hugepages;
	int node; /* NUMA node that the memory is wished on; -1: none, the first thread to touch it
		   */
	/* Usage has reached the threshold; once until it has been below it again. Called on the
	 * thread whose allocation did it, which may use the pool. May be NULL. */
	void (*warning)(void *arg, uint64_t usage, uint64_t limit);
	void *warning_arg;
	uint32_t fail_every; /* test hook: every n-th request fails with -ENOMEM; 0: none */
	/* For the caches that the pool's owner makes; the pool itself has none. */
	uint32_t mmap_cache_entries;  /* [1000] */
	uint32_t block_cache_entries; /* [500] */
	uint64_t cache_ttl_ns;        /* [300 s] */
};

struct canp_mem;
struct canp_mem_port;

/* A block's header. Its fields are private to mem*.c and to the functions below. */
struct canp_block {
	uint64_t check; /* its address and the pool's key: it is a header */
	uint32_t refs;  /* 0: free */
	uint32_t mag;   /* offset of its class's magazine in a port */
	uint32_t slab;
	uint8_t cls, tier;
	bool fresh; /* never handed out yet */
	uint64_t len, capacity, created_ns;
	void *data;
	struct canp_block *next; /* free list of its slab */
} CANP_ALIGNED(64);

struct canp_mem_stats {
	uint64_t total_allocations, total_deallocations;
	uint64_t current_memory_usage; /* bytes of capacity */
	/* Highest usage. Exact while one thread used the pool, and near the limit; else never below
	 * the true one, and above it by no more than what the threads' magazines held. */
	uint64_t peak_memory_usage;
	uint64_t large_allocs; /* beyond the classes of the tier */
	uint64_t depot_full;   /* free blocks that went back to the arena */
	uint64_t refused;      /* calls that did not get memory at once */
	uint64_t waits, warnings;
	uint64_t blocks_live;
	uint64_t arena_bytes;       /* memory taken from the system */
	double block_pool_hit_rate; /* of all tiers: requests served by a recycled block, 0..1 */
	struct {
		uint64_t allocations, hits, usage; /* large ones included */
		double hit_rate;
		unsigned nr_classes;
		struct {
			uint32_t bytes;
			uint64_t allocations, live;
		} cls[CANP_MEM_CLASSES_MAX];
	} tier[CANP_MEM_NR_TIERS];
};

/* Fills what is zero; `node` stays. */
void canp_mem_opts_default(struct canp_mem_opts *o);
/* Sets *o to a named configuration: "default", "throughput" or "memory". 0, or -EINVAL for another
 * name (*o untouched). */
int canp_mem_opts_preset(struct canp_mem_opts *o, const char *name);
/* 0, -EINVAL (classes not ascending, threshold outside 0..1, ..) or -ENOMEM. opts NULL: defaults;
 * read only during the call. Any thread. */
int canp_mem_create(const struct canp_mem_opts *opts, struct canp_mem **out);
/* All blocks must have been released (asserted), and all ports put back but the caller's: threads
 * that used the pool have ended (were joined) or called canp_mem_port_put(). NULL is allowed. */
void canp_mem_destroy(struct canp_mem *m);
const struct canp_mem_opts *canp_mem_opts_of(const struct canp_mem *m);

/* The calling thread's port, made at the first call (-> NULL when CANP_MEM_PORTS_MAX are out). */
struct canp_mem_port *canp_mem_port_get(struct canp_mem *m);
/* Gives the calling thread's port back; what its magazines hold becomes free for all. A thread that
 * ends without it does so by itself. */
void canp_mem_port_put(struct canp_mem *m);
/* Time that blocks carry as created_ns and that caches age by; a reactor sets it once per turn. 0:
 * the clock is read at each allocation. Port's thread. */
void canp_mem_port_now(struct canp_mem_port *p, uint64_t now_ns);

/* One block of at least `bytes` with one reference, length 0. -EINVAL: 0 bytes or unknown tier;
 * -E2BIG: more than max_total_memory; -ENOMEM: the limit is reached now, or others wait for memory
 * (see canp_mem_alloc_wait()). Data is aligned to 64 bytes, from 64 KiB of a power of two on to its
 * size, at most 2 MiB. */
int canp_mem_alloc(struct canp_mem *m, enum canp_mem_tier tier, size_t bytes,
		   struct canp_block **out);
int canp_mem_port_alloc(struct canp_mem_port *p, enum canp_mem_tier tier, size_t bytes,
			struct canp_block **out);
/* All n (1..CANP_MEM_BATCH_MAX) or none; on failure usage and statistics of allocations are as
 * before. */
int canp_mem_alloc_batch(struct canp_mem *m, enum canp_mem_tier tier, const size_t *bytes,
			 unsigned n, struct canp_block **out);
int canp_mem_port_alloc_batch(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
			      unsigned n, struct canp_block **out);

/* Gives one reference back; the last one frees the block. -EINVAL, and nothing happens, for a
 * pointer that is no live block of this pool: foreign, or released before and not yet handed out
 * again. (Two threads that release one reference at the same moment are not told apart.) */
int canp_mem_release(struct canp_mem *m, struct canp_block *b);
int canp_mem_port_release(struct canp_mem_port *p, struct canp_block *b);
/* Each as above; returns -EINVAL when any was refused, the others are released all the same. */
int canp_mem_release_batch(struct canp_mem *m, struct canp_block *const *blocks, unsigned n);
int canp_mem_port_release_batch(struct canp_mem_port *p, struct canp_block *const *blocks,
				unsigned n);

/* An allocation that may have to wait. The caller owns it until ready was called or cancel
 * returned true. */
struct canp_mem_wait {
	struct canp_list link; /* private */
	struct canp_mem *mem;
	enum canp_mem_tier tier;
	unsigned n;                                      /* 1..CANP_MEM_BATCH_MAX */
	const size_t *bytes;                             /* [n] */
	struct canp_block **blocks;                      /* [n], filled before ready */
	void (*ready)(struct canp_mem_wait *w, int err); /* on the thread whose release made room */
	void *arg;
};
/* 0: got now (ready is not called); -EINPROGRESS: ready is called, first come first served, perhaps
 * before this returns; else as canp_mem_alloc(). All or nothing. Any thread. ready() may use the
 * pool; it should be short, for it runs inside somebody's release. */
int canp_mem_alloc_wait(struct canp_mem *m, struct canp_mem_wait *w);
/* true: it will not be called any more; false: it was, or is being called. Any thread. */
bool canp_mem_alloc_cancel(struct canp_mem *m, struct canp_mem_wait *w);

/* ---- blocks ---- */

/* One more reference to the same block. There is no function that copies a block. Any thread that
 * holds one. */
struct canp_block *canp_block_ref(struct canp_block *b);
static inline void *canp_block_data(const struct canp_block *b)
{
	return b->data;
}
static inline size_t canp_block_len(const struct canp_block *b) /* bytes in use */
{
	return b->len;
}
static inline size_t canp_block_capacity(const struct canp_block *b)
{
	return b->capacity;
}
/* Monotonic time of the allocation, a few ms coarse unless the port was told the time. */
static inline uint64_t canp_block_created_ns(const struct canp_block *b)
{
	return b->created_ns;
}
/* len <= capacity (asserted). The holder of the only reference. */
static inline void canp_block_set_len(struct canp_block *b, size_t len)
{
	CANP_ASSERT(len <= b->capacity);
	b->len = len;
}
static inline bool canp_block_empty(const struct canp_block *b)
{
	return canp_block_len(b) == 0;
}
/* Pointer and length without a copy. */
static inline const void *canp_block_span(const struct canp_block *b, size_t *len)
{
	*len = canp_block_len(b);
	return canp_block_data(b);
}

/* A consistent snapshot; any thread, also of another pool's. Exact when no call is running. */
void canp_mem_stats(const struct canp_mem *m, struct canp_mem_stats *st);

CANP_END_DECLS

#endif
