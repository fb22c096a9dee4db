/*
 * blockcache.h - a cache of pool blocks under byte keys: a canp_cache that holds one reference of
 * each block. What it holds counts in the pool's usage. Threads: one owner; the blocks that get()
 * returns may go anywhere.
 */
#ifndef CANP_NUMA_BLOCKCACHE_H
#define CANP_NUMA_BLOCKCACHE_H

#include "core/base/compiler.h"
#include "numa/cache.h"
#include "numa/mem.h"

CANP_BEGIN_DECLS

struct canp_blockcache;

/* Capacity and age are those of the pool's options (block_cache_entries, cache_ttl_ns); keys of up
 * to key_max bytes; hot_percent as in cache.h. The pool must outlive the cache. 0, -EINVAL or
 * -ENOMEM. */
int canp_blockcache_create(struct canp_mem *m, uint32_t key_max, uint32_t hot_percent,
			   struct canp_blockcache **out);
/* Gives all blocks back. NULL is allowed. */
void canp_blockcache_destroy(struct canp_blockcache *c);
/* The block under a key with a reference for the caller, or NULL. */
struct canp_block *canp_blockcache_get(struct canp_blockcache *c, const void *key, size_t len,
				       uint64_t now_ns);
/* The cache takes a reference of its own; the caller keeps his. As canp_cache_put(). */
int canp_blockcache_put(struct canp_blockcache *c, const void *key, size_t len,
			struct canp_block *b, uint64_t now_ns);
/* 0 or -ENOENT. */
int canp_blockcache_remove(struct canp_blockcache *c, const void *key, size_t len);
/* Gives back what is too old; to be called by a timer of the owner. Returns how many. */
uint32_t canp_blockcache_sweep(struct canp_blockcache *c, uint64_t now_ns);
/* Gives back everything: when the pool has no memory left for others. */
void canp_blockcache_clear(struct canp_blockcache *c);
void canp_blockcache_stats(const struct canp_blockcache *c, struct canp_cache_stats *st);

CANP_END_DECLS

#endif
