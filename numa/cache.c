/*
 * cache.c - bounded cache: a hash table of preallocated entries, two use lists (new and hot) and a
 * list by age. An entry that is pinned when it goes is taken out of all of them at once and keeps
 * only its slot, until the last pin goes.
 */
#include "numa/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/list.h"

struct canp_cache_entry {
	struct canp_cache_entry *chain; /* hash bucket, or free list */
	struct canp_list use, age;
	uint64_t hash, put_ns, bytes;
	void *value;
	uint32_t pins, len;
	bool hot, linked;
	uint8_t *key;
};

struct canp_cache {
	struct canp_cache_opts opts;
	struct canp_cache_stats st;
	struct canp_list fresh, hot; /* most recently used first */
	struct canp_list age;        /* oldest first */
	uint32_t nr_hot, hot_max, mask;
	struct canp_cache_entry *free;
	struct canp_cache_entry **bucket, *entries;
	uint8_t *keys;
};

static int opts_check(const struct canp_cache_opts *o)
{
	return !o->capacity || o->capacity > 1u << 24 || !o->key_max || o->key_max > 4096 ||
			       o->hot_percent > 90 || !o->release
		       ? -EINVAL
		       : 0;
}

int canp_cache_create(const struct canp_cache_opts *opts, struct canp_cache **out)
{
	uint32_t buckets = 1;
	struct canp_cache *c;

	if (opts_check(opts))
		return -EINVAL;
	while (buckets < opts->capacity * 2)
		buckets *= 2;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->opts = *opts;
	c->mask = buckets - 1;
	c->hot_max = (uint32_t)((uint64_t)opts->capacity * opts->hot_percent / 100);
	c->bucket = calloc(buckets, sizeof(*c->bucket));
	c->entries = calloc(opts->capacity, sizeof(*c->entries));
	c->keys = malloc((size_t)opts->capacity * opts->key_max);
	canp_list_init(&c->fresh);
	canp_list_init(&c->hot);
	canp_list_init(&c->age);
	if (!c->bucket || !c->entries || !c->keys) {
		canp_cache_destroy(c);
		return -ENOMEM;
	}
	for (uint32_t i = opts->capacity; i-- > 0;) {
		c->entries[i].key = c->keys + (size_t)i * opts->key_max;
		c->entries[i].chain = c->free;
		c->free = &c->entries[i];
	}
	*out = c;
	return 0;
}

void canp_cache_destroy(struct canp_cache *c)
{
	if (!c)
		return;
	canp_cache_clear(c);
	CANP_ASSERT(c->st.entries == 0);
	free(c->bucket);
	free(c->entries);
	free(c->keys);
	free(c);
}

/* ---- entries ---- */

/* Out of all lists; the slot is free when nobody uses the value. */
static void entry_free(struct canp_cache *c, struct canp_cache_entry *e)
{
	void *value = e->value;

	CANP_ASSERT(!e->linked && !e->pins);
	c->st.entries--;
	c->st.bytes -= e->bytes;
	e->value = NULL;
	e->chain = c->free;
	c->free = e;
	c->opts.release(c->opts.arg, value, e->bytes);
}

static void entry_drop(struct canp_cache *c, struct canp_cache_entry *e)
{
	struct canp_cache_entry **at = &c->bucket[e->hash & c->mask];

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	canp_list_del(&e->use);
	canp_list_del(&e->age);
	c->nr_hot -= e->hot;
	e->linked = false;
	if (!e->pins)
		entry_free(c, e);
}

static struct canp_cache_entry *find(struct canp_cache *c, const void *key, size_t len,
				     uint64_t hash)
{
	struct canp_cache_entry *e = c->bucket[hash & c->mask];

	while (e && (e->hash != hash || e->len != len || memcmp(e->key, key, len)))
		e = e->chain;
	return e;
}

static bool too_old(const struct canp_cache *c, const struct canp_cache_entry *e, uint64_t now)
{
	return c->opts.ttl_ns && now > e->put_ns && now - e->put_ns > c->opts.ttl_ns;
}

/* The entry was used: it is the first of its list, and hot if that is wanted. The coldest of the
 * hot ones makes room. */
static void touch(struct canp_cache *c, struct canp_cache_entry *e)
{
	canp_list_del(&e->use);
	if (!e->hot && c->hot_max) {
		if (c->nr_hot == c->hot_max) {
			struct canp_cache_entry *cold =
				canp_container_of(c->hot.prev, struct canp_cache_entry, use);

			canp_list_del(&cold->use);
			cold->hot = false;
			c->nr_hot--;
			canp_list_add(&c->fresh, &cold->use);
		}
		e->hot = true;
		c->nr_hot++;
	}
	canp_list_add(e->hot ? &c->hot : &c->fresh, &e->use);
}

struct canp_cache_entry *canp_cache_get(struct canp_cache *c, const void *key, size_t len,
					uint64_t now_ns)
{
	struct canp_cache_entry *e = find(c, key, len, canp_hash_bytes(key, len));

	if (e && too_old(c, e, now_ns)) {
		c->st.expired++;
		entry_drop(c, e);
		e = NULL;
	}
	if (!e) {
		c->st.misses++;
		return NULL;
	}
	c->st.hits++;
	touch(c, e);
	canp_cache_pin(e);
	return e;
}

/* The least recently used that nobody uses; new ones before hot ones. Pinned ones are stepped over:
 * there are few of them. */
static struct canp_cache_entry *victim(struct canp_cache *c, const struct canp_cache_entry * not )
{
	struct canp_list *lists[] = {&c->fresh, &c->hot};

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(lists); i++) {
		for (struct canp_list *l = lists[i]->prev; l != lists[i]; l = l->prev) {
			struct canp_cache_entry *e =
				canp_container_of(l, struct canp_cache_entry, use);

			if (!e->pins && e != not )
				return e;
		}
	}
	return NULL;
}

/* Makes room for an entry of so many bytes in the place of `old`, whose slot and bytes count as
 * free unless it is pinned. */
static int room_make(struct canp_cache *c, const struct canp_cache_entry *old, uint64_t bytes)
{
	bool going = old && !old->pins;
	uint64_t less = going ? old->bytes : 0, max = c->opts.max_bytes;

	while ((!c->free && !going) || (max && c->st.bytes - less > max - bytes)) {
		struct canp_cache_entry *e = victim(c, old);

		if (!e) {
			c->st.refused++;
			return -ENOSPC;
		}
		c->st.evicted++;
		entry_drop(c, e);
	}
	return 0;
}

int canp_cache_put(struct canp_cache *c, const void *key, size_t len, void *value, uint64_t bytes,
		   uint64_t now_ns, struct canp_cache_entry **out)
{
	struct canp_cache_entry *e, *old;
	uint64_t hash;
	int rc;

	if (!len || len > c->opts.key_max)
		return -EINVAL;
	if (c->opts.max_bytes && bytes > c->opts.max_bytes)
		return -E2BIG;
	hash = canp_hash_bytes(key, len);
	old = find(c, key, len, hash);
	rc = room_make(c, old, bytes);
	if (rc)
		return rc;
	if (old)
		entry_drop(c, old);
	e = c->free;
	c->free = e->chain;
	memcpy(e->key, key, len);
	e->len = (uint32_t)len;
	e->hash = hash;
	e->value = value;
	e->bytes = bytes;
	e->put_ns = now_ns;
	e->pins = out != NULL;
	e->hot = false;
	e->linked = true;
	e->chain = c->bucket[hash & c->mask];
	c->bucket[hash & c->mask] = e;
	canp_list_add(&c->fresh, &e->use);
	canp_list_add_tail(&c->age, &e->age);
	c->st.puts++;
	c->st.entries++;
	c->st.bytes += bytes;
	if (out)
		*out = e;
	return 0;
}

void *canp_cache_value(const struct canp_cache_entry *e)
{
	return e->value;
}

uint64_t canp_cache_bytes(const struct canp_cache_entry *e)
{
	return e->bytes;
}

void canp_cache_pin(struct canp_cache_entry *e)
{
	e->pins++;
}

void canp_cache_unpin(struct canp_cache *c, struct canp_cache_entry *e)
{
	CANP_ASSERT(e->pins);
	if (--e->pins == 0 && !e->linked)
		entry_free(c, e);
}

int canp_cache_remove(struct canp_cache *c, const void *key, size_t len)
{
	struct canp_cache_entry *e = find(c, key, len, canp_hash_bytes(key, len));

	if (!e)
		return -ENOENT;
	entry_drop(c, e);
	return 0;
}

uint32_t canp_cache_sweep(struct canp_cache *c, uint64_t now_ns)
{
	uint32_t n = 0;

	while (!canp_list_empty(&c->age)) {
		struct canp_cache_entry *e =
			canp_container_of(c->age.next, struct canp_cache_entry, age);

		if (!too_old(c, e, now_ns))
			break;
		c->st.expired++;
		entry_drop(c, e);
		n++;
	}
	return n;
}

void canp_cache_clear(struct canp_cache *c)
{
	while (!canp_list_empty(&c->age))
		entry_drop(c, canp_container_of(c->age.next, struct canp_cache_entry, age));
}

void canp_cache_stats(const struct canp_cache *c, struct canp_cache_stats *st)
{
	*st = c->st;
	st->pinned = 0;
	for (uint32_t i = 0; i < c->opts.capacity; i++)
		st->pinned += c->entries[i].pins != 0;
}
