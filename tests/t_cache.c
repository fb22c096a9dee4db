/*
 * t_cache.c - the bounded cache: exact order, age, pins, scans, sums; against a model; and blocks
 * of the memory pool in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/units.h"
#include "numa/blockcache.h"
#include "numa/cache.h"
#include "tests/lib/mem_help.h"

#define S (uint64_t) CANP_NS_PER_S

static uintptr_t gone[100000];
static unsigned nr_gone;

static void on_release(void *arg, void *value, uint64_t bytes)
{
	(void)arg;
	(void)bytes;
	gone[nr_gone++ % 100000] = (uintptr_t)value;
}

static struct canp_cache *cache_new(uint32_t capacity, uint32_t hot, uint64_t ttl, uint64_t max)
{
	struct canp_cache_opts o = {.capacity = capacity,
				    .key_max = 16,
				    .hot_percent = hot,
				    .ttl_ns = ttl,
				    .max_bytes = max,
				    .release = on_release};
	struct canp_cache *c = NULL;

	nr_gone = 0;
	assert_int_equal(canp_cache_create(&o, &c), 0);
	return c;
}

static int put(struct canp_cache *c, uint32_t key, uint64_t bytes, uint64_t now)
{
	return canp_cache_put(c, &key, sizeof(key), (void *)(uintptr_t)(key + 1), bytes, now, NULL);
}

static bool has(struct canp_cache *c, uint32_t key, uint64_t now)
{
	struct canp_cache_entry *e = canp_cache_get(c, &key, sizeof(key), now);

	if (!e)
		return false;
	assert_int_equal((uintptr_t)canp_cache_value(e), key + 1);
	canp_cache_unpin(c, e);
	return true;
}

static uint64_t live(struct canp_cache *c)
{
	struct canp_cache_stats st;

	canp_cache_stats(c, &st);
	return st.entries;
}

/* Against a plain array in order of use. */
static void A22_the_least_recently_used_goes_first_exactly(void **state)
{
	enum { CAP = 37, KEYS = 80 };
	struct canp_cache *c = cache_new(CAP, 0, 0, 0);
	uint32_t order[CAP + 1], n = 0;
	uint64_t seed = 9;

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		uint32_t key = (uint32_t)(canp_hash_mix(seed++) % KEYS), at;
		bool hit = has(c, key, i);

		for (at = 0; at < n && order[at] != key; at++)
			;
		assert_int_equal(hit, at < n);
		if (!hit) {
			nr_gone = 0;
			assert_int_equal(put(c, key, 1, i), 0);
			assert_int_equal(nr_gone, n == CAP);
			if (n == CAP)
				assert_int_equal(gone[0], order[CAP - 1] + 1);
			at = n < CAP ? n++ : CAP - 1;
		}
		memmove(order + 1, order, at * sizeof(*order));
		order[0] = key;
		assert_int_equal(live(c), n);
	}
	canp_cache_destroy(c);
}

static void A23_entries_live_for_the_ttl_and_not_longer(void **state)
{
	struct canp_cache *c = cache_new(10, 0, 300 * S, 0);

	(void)state;
	assert_int_equal(put(c, 1, 1, 1000 * S), 0);
	assert_true(has(c, 1, 1299 * S)); /* and this does not prolong it */
	assert_true(has(c, 1, 1300 * S));
	assert_false(has(c, 1, 1301 * S));
	assert_int_equal(nr_gone, 1);
	assert_int_equal(live(c), 0);
	/* Put again, it is young again. */
	assert_int_equal(put(c, 2, 1, 2000 * S), 0);
	assert_int_equal(put(c, 2, 1, 2200 * S), 0);
	assert_int_equal(nr_gone, 2);
	assert_true(has(c, 2, 2499 * S));
	/* A clock that went back is no age. */
	assert_true(has(c, 2, 1 * S));
	canp_cache_destroy(c);
	assert_int_equal(nr_gone, 3);
}

static void A24_a_sweep_removes_what_nobody_asks_for(void **state)
{
	struct canp_cache *c = cache_new(100, 50, 300 * S, 0);
	struct canp_cache_entry *e;
	uint32_t key = 7;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(put(c, i, 1, i * S), 0);
	assert_true(has(c, 50, 100 * S));
	assert_int_equal(canp_cache_sweep(c, 300 * S), 0);
	assert_int_equal(canp_cache_sweep(c, 310 * S), 10);
	assert_int_equal(live(c), 90);
	/* One that is in use leaves the cache, and its value when it is given back. */
	key = 10;
	e = canp_cache_get(c, &key, sizeof(key), 310 * S);
	assert_non_null(e);
	assert_int_equal(canp_cache_sweep(c, 1000 * S), 90);
	assert_int_equal(nr_gone, 99);
	assert_false(has(c, 10, 310 * S));
	assert_int_equal((uintptr_t)canp_cache_value(e), 11);
	canp_cache_unpin(c, e);
	assert_int_equal(nr_gone, 100);
	assert_int_equal(live(c), 0);
	canp_cache_destroy(c);
}

static void A42_a_scan_spares_what_is_hot_and_what_is_pinned(void **state)
{
	struct canp_cache *c = cache_new(100, 80, 0, 0);
	struct canp_cache_entry *pin;
	uint32_t key = 999;
	struct canp_cache_stats st;

	(void)state;
	assert_int_equal(canp_cache_put(c, &key, sizeof(key), (void *)1000, 1, 0, &pin), 0);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(put(c, i, 1, 0), 0);
		assert_true(has(c, i, 0)); /* used: hot */
	}
	for (uint32_t i = 1000; i < 51000; i++)
		assert_int_equal(put(c, i, 1, 0), 0);
	for (uint32_t i = 0; i < 50; i++)
		assert_true(has(c, i, 0));
	assert_true(has(c, 999, 0));
	canp_cache_stats(c, &st);
	assert_int_equal(st.entries, 100);
	assert_int_equal(st.pinned, 1);
	canp_cache_unpin(c, pin);
	canp_cache_destroy(c);
}

/* The hot part is bounded: what was hot long ago makes room for what is hot now. */
static void A42_hot_entries_cool_down(void **state)
{
	struct canp_cache *c = cache_new(10, 50, 0, 0);

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(put(c, i, 1, 0), 0);
		assert_true(has(c, i, 0));
	}
	for (uint32_t i = 100; i < 200; i++)
		assert_int_equal(put(c, i, 1, 0), 0);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(has(c, i, 0), i >= 3);
	canp_cache_destroy(c);
}

static void pinned_entries_are_never_evicted(void **state)
{
	struct canp_cache *c = cache_new(4, 0, 0, 0);
	struct canp_cache_entry *e[4], *x;
	uint32_t key;

	(void)state;
	for (key = 0; key < 4; key++)
		assert_int_equal(
			canp_cache_put(c, &key, 4, (void *)(uintptr_t)(key + 1), 1, 0, &e[key]), 0);
	assert_int_equal(put(c, 50, 1, 0), -ENOSPC);
	assert_int_equal(live(c), 4);
	/* Nor is there room to replace one of them: the old value keeps its slot. */
	assert_int_equal(put(c, 2, 1, 0), -ENOSPC);
	assert_true(has(c, 2, 0));
	canp_cache_unpin(c, e[2]);
	assert_int_equal(put(c, 50, 1, 0), 0);
	assert_int_equal(gone[0], 3);
	/* Removed while pinned: out of the cache, not out of use. */
	key = 1;
	assert_int_equal(canp_cache_remove(c, &key, 4), 0);
	assert_int_equal(canp_cache_remove(c, &key, 4), -ENOENT);
	assert_int_equal(nr_gone, 1);
	canp_cache_pin(e[1]);
	canp_cache_unpin(c, e[1]);
	assert_int_equal(nr_gone, 1);
	canp_cache_unpin(c, e[1]);
	assert_int_equal(nr_gone, 2);
	x = e[0];
	canp_cache_unpin(c, x);
	canp_cache_unpin(c, e[3]);
	canp_cache_destroy(c);
	assert_int_equal(nr_gone, 5);
}

static void the_sum_of_bytes_is_bounded(void **state)
{
	struct canp_cache *c = cache_new(100, 0, 0, 1000);
	struct canp_cache_stats st;

	(void)state;
	assert_int_equal(put(c, 1, 1001, 0), -E2BIG);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(put(c, i, 100, 0), 0);
		canp_cache_stats(c, &st);
		assert_true(st.bytes <= 1000);
	}
	assert_int_equal(st.entries, 10);
	assert_int_equal(put(c, 100, 1000, 0), 0); /* all others go */
	assert_int_equal(live(c), 1);
	assert_int_equal(put(c, 100, 900, 0), 0); /* in its own place */
	assert_int_equal(put(c, 101, 100, 0), 0);
	assert_int_equal(live(c), 2);
	canp_cache_destroy(c);
}

static void bad_options_and_keys_are_refused(void **state)
{
	struct canp_cache_opts o = {.capacity = 1, .key_max = 4, .release = on_release}, bad;
	struct canp_cache *c = NULL;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		bad = o;
		if (i == 0)
			bad.capacity = 0;
		else if (i == 1)
			bad.key_max = 0;
		else if (i == 2)
			bad.hot_percent = 91;
		else if (i == 3)
			bad.release = NULL;
		else
			bad.capacity = UINT32_MAX;
		assert_int_equal(canp_cache_create(&bad, &c), -EINVAL);
	}
	assert_null(c);
	assert_int_equal(canp_cache_create(&o, &c), 0);
	assert_int_equal(canp_cache_put(c, "12345", 5, NULL, 0, 0, NULL), -EINVAL);
	assert_int_equal(canp_cache_put(c, "", 0, NULL, 0, 0, NULL), -EINVAL);
	assert_int_equal(canp_cache_put(c, "1", 1, NULL, 0, 0, NULL), 0);
	assert_int_equal(canp_cache_put(c, "1234", 4, NULL, 0, 0, NULL), 0);
	assert_null(canp_cache_get(c, "1", 1, 0));
	assert_null(canp_cache_get(c, "123", 3, 0));
	canp_cache_destroy(c);
}

/* ---- blocks ---- */

static struct canp_mem *mem_new(void)
{
	struct canp_mem_opts o = {.hugepages = CANP_HUGE_OFF, .node = -1};
	struct canp_mem *m = NULL;

	assert_int_equal(canp_mem_create(&o, &m), 0);
	return m;
}

static void block_put(struct canp_mem *m, struct canp_blockcache *c, unsigned i, uint64_t now)
{
	struct canp_block *b = NULL;
	char key[16];
	size_t len = (size_t)snprintf(key, sizeof(key), "%u", i);

	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1024, &b), 0);
	*(unsigned *)canp_block_data(b) = i;
	assert_int_equal(canp_blockcache_put(c, key, len, b, now), 0);
	assert_int_equal(canp_mem_release(m, b), 0);
}

static struct canp_block *block_get(struct canp_blockcache *c, unsigned i, uint64_t now)
{
	char key[16];
	size_t len = (size_t)snprintf(key, sizeof(key), "%u", i);
	struct canp_block *b = canp_blockcache_get(c, key, len, now);

	if (b)
		assert_int_equal(*(unsigned *)canp_block_data(b), i);
	return b;
}

static void A22_the_block_cache_holds_500_blocks(void **state)
{
	struct canp_mem *m = mem_new();
	struct canp_blockcache *c = NULL;
	struct canp_cache_stats st;
	struct canp_block *b;

	(void)state;
	assert_int_equal(canp_blockcache_create(m, 16, 0, &c), 0);
	for (unsigned i = 0; i < 501; i++)
		block_put(m, c, i, 0);
	assert_int_equal(usage(m), 500 * 1024); /* the first one is gone */
	assert_null(block_get(c, 0, 0));
	for (unsigned i = 1; i < 501; i++) {
		b = block_get(c, i, 0);
		assert_non_null(b);
		canp_mem_release(m, b);
	}
	canp_blockcache_stats(c, &st);
	assert_int_equal(st.hits, 500);
	assert_int_equal(st.evicted, 1);
	/* Who has a block keeps it, whatever the cache does. */
	b = block_get(c, 1, 0);
	block_put(m, c, 600, 0);
	assert_null(block_get(c, 2, 0)); /* 1 was used last, so 2 went */
	canp_blockcache_clear(c);
	assert_int_equal(*(unsigned *)canp_block_data(b), 1);
	assert_int_equal(usage(m), 1024);
	canp_mem_release(m, b);
	canp_blockcache_destroy(c);
	canp_mem_destroy(m);
}

static void A24_usage_is_zero_after_ttl_and_one_sweep(void **state)
{
	struct canp_mem *m = mem_new();
	struct canp_blockcache *c = NULL;

	(void)state;
	assert_int_equal(canp_mem_opts_of(m)->cache_ttl_ns, 300 * S);
	assert_int_equal(canp_blockcache_create(m, 16, 50, &c), 0);
	for (unsigned i = 0; i < 100; i++)
		block_put(m, c, i, 5 * S);
	assert_int_equal(canp_blockcache_sweep(c, 305 * S), 0);
	assert_int_equal(usage(m), 100 * 1024);
	assert_int_equal(canp_blockcache_sweep(c, 306 * S), 100);
	assert_int_equal(usage(m), 0);
	canp_blockcache_destroy(c);
	canp_mem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A22_the_least_recently_used_goes_first_exactly),
		cmocka_unit_test(A22_the_block_cache_holds_500_blocks),
		cmocka_unit_test(A23_entries_live_for_the_ttl_and_not_longer),
		cmocka_unit_test(A24_a_sweep_removes_what_nobody_asks_for),
		cmocka_unit_test(A24_usage_is_zero_after_ttl_and_one_sweep),
		cmocka_unit_test(A42_a_scan_spares_what_is_hot_and_what_is_pinned),
		cmocka_unit_test(A42_hot_entries_cool_down),
		cmocka_unit_test(pinned_entries_are_never_evicted),
		cmocka_unit_test(the_sum_of_bytes_is_bounded),
		cmocka_unit_test(bad_options_and_keys_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
