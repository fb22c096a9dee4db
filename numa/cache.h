/*
 * cache.h - a bounded cache of values under byte keys: least recently used goes first, entries die
 * of age, what is in use stays.
 *
 * All entries and the room for their keys are made with the cache; putting and getting allocate
 * nothing. A value is a pointer that the cache gives back through `release` when the entry goes.
 *
 * Use: canp_cache_get() returns an entry that is pinned until canp_cache_unpin(); a pinned entry is
 * never evicted, and when it is removed or too old its value lives on until the last pin goes.
 *
 * Order: with hot_percent 0 strictly least recently used. Else an entry that was found again after
 * it was put belongs to the hot part, which takes up to that share of the capacity; new entries
 * push out new ones first, so that one long scan does not empty the cache of what is used.
 *
 * Age counts from the put, in the time that the caller passes in; a get does not prolong it.
 *
 * Threads: one owner, who also calls canp_cache_sweep() from a timer.
 */
#ifndef CANP_NUMA_CACHE_H
#define CANP_NUMA_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

struct canp_cache;
struct canp_cache_entry;

struct canp_cache_opts {
	uint32_t capacity;    /* entries, 1 .. 2^24 */
	uint32_t key_max;     /* bytes of the longest key, 1 .. 4096 */
	uint32_t hot_percent; /* 0 .. 90 */
	uint64_t ttl_ns;      /* 0: entries do not age */
	uint64_t max_bytes;   /* sum of the bytes of all entries; 0: no limit */
	/* The entry is gone; on the thread of the call that made it go. It may not use the cache.
	 */
	void (*release)(void *arg, void *value, uint64_t bytes);
	void *arg;
};

struct canp_cache_stats {
	uint64_t hits, misses, puts, evicted, expired, refused;
	uint64_t entries, bytes, pinned; /* now; pinned: entries with at least one pin */
};

/* 0, -EINVAL or -ENOMEM. *opts is copied. */
int canp_cache_create(const struct canp_cache_opts *opts, struct canp_cache **out);
/* Releases all values; nothing may be pinned (asserted). NULL is allowed. */
void canp_cache_destroy(struct canp_cache *c);

/* The entry under a key, pinned; NULL: none, or it was too old and is gone. */
struct canp_cache_entry *canp_cache_get(struct canp_cache *c, const void *key, size_t len,
					uint64_t now_ns);
/* Puts a value of so many bytes under a key, in the place of an older one. *out (may be NULL) gets
 * the entry, pinned. -EINVAL: key length; -E2BIG: bytes > max_bytes; -ENOSPC: all entries that
 * would have to go are pinned. On failure the value stays the caller's and the older one in place.
 */
int canp_cache_put(struct canp_cache *c, const void *key, size_t len, void *value, uint64_t bytes,
		   uint64_t now_ns, struct canp_cache_entry **out);
/* What was put; while pinned. */
void *canp_cache_value(const struct canp_cache_entry *e);
uint64_t canp_cache_bytes(const struct canp_cache_entry *e);
/* One more pin. */
void canp_cache_pin(struct canp_cache_entry *e);
void canp_cache_unpin(struct canp_cache *c, struct canp_cache_entry *e);
/* 0 or -ENOENT. */
int canp_cache_remove(struct canp_cache *c, const void *key, size_t len);
/* Removes what is older than the ttl; returns how many. Cost: those, not all. */
uint32_t canp_cache_sweep(struct canp_cache *c, uint64_t now_ns);
/* Removes everything. */
void canp_cache_clear(struct canp_cache *c);
void canp_cache_stats(const struct canp_cache *c, struct canp_cache_stats *st);

CANP_END_DECLS

#endif
