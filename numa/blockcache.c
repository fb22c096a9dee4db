/*
 * blockcache.c - pool blocks in a cache. A block that is found is given out with a reference of its
 * own, so entries are pinned only inside of these functions and can always be evicted: who still
 * uses the block keeps it alive.
 */
#include "numa/blockcache.h"

#include <errno.h>
#include <stdlib.h>

struct canp_blockcache {
	struct canp_mem *mem;
	struct canp_cache *cache;
};

static void block_gone(void *arg, void *value, uint64_t bytes)
{
	struct canp_blockcache *c = arg;

	(void)bytes;
	canp_mem_release(c->mem, value);
}

int canp_blockcache_create(struct canp_mem *m, uint32_t key_max, uint32_t hot_percent,
			   struct canp_blockcache **out)
{
	const struct canp_mem_opts *o = canp_mem_opts_of(m);
	struct canp_cache_opts co = {.capacity = o->block_cache_entries,
				     .key_max = key_max,
				     .hot_percent = hot_percent,
				     .ttl_ns = o->cache_ttl_ns,
				     .release = block_gone};
	struct canp_blockcache *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->mem = m;
	co.arg = c;
	rc = canp_cache_create(&co, &c->cache);
	if (rc)
		free(c);
	else
		*out = c;
	return rc;
}

void canp_blockcache_destroy(struct canp_blockcache *c)
{
	if (!c)
		return;
	canp_cache_destroy(c->cache);
	free(c);
}

struct canp_block *canp_blockcache_get(struct canp_blockcache *c, const void *key, size_t len,
				       uint64_t now_ns)
{
	struct canp_cache_entry *e = canp_cache_get(c->cache, key, len, now_ns);
	struct canp_block *b;

	if (!e)
		return NULL;
	b = canp_block_ref(canp_cache_value(e));
	canp_cache_unpin(c->cache, e);
	return b;
}

int canp_blockcache_put(struct canp_blockcache *c, const void *key, size_t len,
			struct canp_block *b, uint64_t now_ns)
{
	int rc;

	canp_block_ref(b);
	rc = canp_cache_put(c->cache, key, len, b, canp_block_capacity(b), now_ns, NULL);
	if (rc)
		canp_mem_release(c->mem, b);
	return rc;
}

int canp_blockcache_remove(struct canp_blockcache *c, const void *key, size_t len)
{
	return canp_cache_remove(c->cache, key, len);
}

uint32_t canp_blockcache_sweep(struct canp_blockcache *c, uint64_t now_ns)
{
	return canp_cache_sweep(c->cache, now_ns);
}

void canp_blockcache_clear(struct canp_blockcache *c)
{
	canp_cache_clear(c->cache);
}

void canp_blockcache_stats(const struct canp_blockcache *c, struct canp_cache_stats *st)
{
	canp_cache_stats(c->cache, st);
}
