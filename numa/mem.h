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

#include "core/base/compiler.h"
#include "core/base/list.h"
#include "numa/hugepage.h"

enum canp_mem_tier { CANP_MEM_BLOCK, CANP_MEM_DECOMPRESS, CANP_MEM_FRAME, CANP_MEM_NR_TIERS };

#define CANP_MEM_CLASSES_MAX 8u  /* size classes of one tier */
#define CANP_MEM_PORTS_MAX   64u /* threads that use one pool at the same time */
#define CANP_MEM_BATCH_MAX   256u

/* Zero means the default in brackets; canp_mem_opts_default() fills all of them. */
struct canp_mem_opts {
	/* Ascending, multiples of 64. [512..8192, 1024..16384, 256..4096, five each] */
	uint32_t classes[CANP_MEM_NR_TIERS][CANP_MEM_CLASSES_MAX];
	unsigned nr_classes[CANP_MEM_NR_TIERS];
	/* Free blocks kept: shards of each tier and blocks of a class in one of them.
	 * [64 x 1024, 32 x 256, 64 x 512] What is freed beyond goes back to the arena. */
	uint32_t depot_shards[CANP_MEM_NR_TIERS];
	uint32_t depot_capacity[CANP_MEM_NR_TIERS];
	uint64_t max_total_memory;       /* bytes [1 GiB] */
	double memory_warning_threshold; /* share of it, 0..1 [0.8] */
	enum canp_hugepages hugepages;
	int node; /* NUMA node of the arenas, -1: that of the creating thread */
	/* Crossing the threshold, once until usage falls below it again; on the thread that crossed
	 * it. May be NULL. */
	void (*warning)(void *arg, uint64_t usage, uint64_t limit);
	void *warning_arg;
	uint32_t fail_every; /* test hook: every n-th request fails with -ENOMEM; 0: none */
};

struct canp_mem;
struct canp_mem_port;
struct canp_block; /* opaque; the data is found by canp_block_data() */

struct canp_mem_stats {
	uint64_t total_allocations, total_deallocations;
	uint64_t current_memory_usage, peak_memory_usage; /* bytes of capacity */
	uint64_t large_allocs, depot_full, refused, waits, warnings;
	uint64_t blocks_live;
	double block_pool_hit_rate; /* of all tiers: requests served by a recycled block, 0..1 */
	struct {
		uint64_t allocations, hits, usage;
		double hit_rate;
	} tier[CANP_MEM_NR_TIERS];
};

void canp_mem_opts_default(struct canp_mem_opts *o);
/* 0, -EINVAL (classes not ascending, threshold outside 0..1, ..) or -ENOMEM. opts NULL: defaults;
 * read only during the call. Any thread. */
int canp_mem_create(const struct canp_mem_opts *opts, struct canp_mem **out);
/* All blocks must have been released (asserted) and all ports put back but the caller's. NULL is
 * allowed. */
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
 * -E2BIG: more than max_total_memory; -ENOMEM: the limit is reached now (see
 * canp_mem_alloc_wait()). */
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
 * pointer that is no live block of this pool (foreign, or released before). */
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
/* 0: got now (ready is not called); -EINPROGRESS: ready will be called, first come first served;
 * else as canp_mem_alloc(). All or nothing. Any thread. */
int canp_mem_alloc_wait(struct canp_mem *m, struct canp_mem_wait *w);
/* true: it will not be called any more; false: it was, or is being called. Any thread. */
bool canp_mem_alloc_cancel(struct canp_mem *m, struct canp_mem_wait *w);

/* ---- blocks ---- */

/* One more reference to the same block. There is no function that copies a block. Any thread that
 * holds one. */
struct canp_block *canp_block_ref(struct canp_block *b);
void *canp_block_data(const struct canp_block *b);
size_t canp_block_len(const struct canp_block *b); /* bytes in use */
size_t canp_block_capacity(const struct canp_block *b);
uint64_t canp_block_created_ns(const struct canp_block *b);
/* len <= capacity (asserted). The holder of the only reference. */
void canp_block_set_len(struct canp_block *b, size_t len);
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

#endif
