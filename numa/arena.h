/*
 * arena.h - the one memory of a shard: a sealed hugepage mapping from which fixed regions are
 * carved at boot. After the seal nothing can be carved any more; pools inside the regions recycle.
 */
#ifndef CANP_NUMA_ARENA_H
#define CANP_NUMA_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "numa/hugepage.h"

struct canp_arena;

/* Maps wish->bytes, shrinking in steps down to min_bytes when memory is short; touches as much as
 * the wish says on the calling thread. -ENOMEM when even the minimum cannot be had; *rep says why.
 */
int canp_arena_create_wish(const struct canp_hugepage_wish *wish, size_t min_bytes,
			   struct canp_hugepage_report *rep, struct canp_arena **out);
/* The same with every page touched. */
int canp_arena_create(size_t bytes, size_t min_bytes, enum canp_hugepages want, int node,
		      struct canp_hugepage_report *rep, struct canp_arena **out);
void canp_arena_destroy(struct canp_arena *a);

/* Carves a region (zeroed) of `bytes`, aligned to `align` (power of two, >= 64). name is for the
 * report and must live as long as the arena. NULL when sealed or exhausted. Owner thread. */
void *canp_arena_carve(struct canp_arena *a, const char *name, size_t bytes, size_t align);
size_t canp_arena_left(const struct canp_arena *a);
size_t canp_arena_bytes(const struct canp_arena *a);
void *canp_arena_base(const struct canp_arena *a);
void canp_arena_seal(struct canp_arena *a);
bool canp_arena_sealed(const struct canp_arena *a);
const struct canp_hugepage_report *canp_arena_report(const struct canp_arena *a);
/* Calls fn for each region in order: name, bytes. */
void canp_arena_for_each(const struct canp_arena *a,
			 void (*fn)(void *arg, const char *name, size_t bytes), void *arg);

#endif
