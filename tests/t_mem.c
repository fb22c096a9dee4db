/*
 * t_mem.c - the memory pool on one thread: classes, batches, references, reuse, statistics, named
 * configurations, faults. See t_mem_limit.c for the limit and t_mem_threads.c for threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <numaif.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "numa/mem.h"
#include "tests/lib/mem_help.h"

/* ---- calls of the allocator and of mmap, counted where no sanitizer does the same ---- */

static volatile bool counting;
static volatile unsigned calls;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t a, size_t b);

void *malloc(size_t n)
{
	calls += counting;
	return __libc_malloc(n);
}

void *calloc(size_t a, size_t b)
{
	calls += counting;
	return __libc_calloc(a, b);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	calls += counting;
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
}
#define CAN_COUNT 1
#else
#define CAN_COUNT 0
#endif

static const struct canp_mem_opts usual = {.hugepages = CANP_HUGE_OFF, .node = -1};

static struct canp_mem *mem_new(const struct canp_mem_opts *o)
{
	struct canp_mem *m = NULL;

	assert_int_equal(canp_mem_create(o, &m), 0);
	return m;
}

static struct canp_block *get(struct canp_mem *m, enum canp_mem_tier t, size_t bytes)
{
	struct canp_block *b = NULL;

	assert_int_equal(canp_mem_alloc(m, t, bytes, &b), 0);
	assert_non_null(b);
	return b;
}

static void A01_every_size_gets_the_smallest_class_that_holds_it(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	const struct canp_mem_opts *o = canp_mem_opts_of(m);
	struct canp_mem_stats st;

	(void)state;
	canp_mem_stats(m, &st);
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		unsigned c = 0, n = o->nr_classes[t];
		size_t max = o->classes[t][n - 1];

		assert_int_equal(st.tier[t].nr_classes, n);
		for (size_t size = 1; size <= max + 1; size++) {
			struct canp_block *b = get(m, t, size);

			while (c < n && o->classes[t][c] < size)
				c++;
			assert_int_equal(canp_block_capacity(b),
					 c < n ? o->classes[t][c] : 2 * max);
			assert_int_equal(canp_mem_release(m, b), 0);
		}
		for (c = 0; c < n; c++)
			assert_int_equal(st.tier[t].cls[c].bytes, o->classes[t][c]);
	}
	canp_mem_destroy(m);
}

static void classes_are(enum canp_mem_tier t, const uint32_t *want, unsigned n)
{
	struct canp_mem *m = mem_new(NULL);
	const struct canp_mem_opts *o = canp_mem_opts_of(m);

	assert_int_equal(o->nr_classes[t], n);
	assert_memory_equal(o->classes[t], want, n * sizeof(*want));
	for (unsigned i = 0; i + 1 < n; i++) {
		struct canp_block *b = get(m, t, want[i] + 1);

		assert_int_equal(canp_block_capacity(b), want[i + 1]);
		canp_mem_release(m, b);
	}
	canp_mem_destroy(m);
}

static void A02_block_tier_has_its_default_classes(void **state)
{
	static const uint32_t want[] = {512, 1024, 2048, 4096, 8192};

	(void)state;
	classes_are(CANP_MEM_BLOCK, want, 5);
}

static void A03_decompress_tier_has_its_default_classes(void **state)
{
	static const uint32_t want[] = {1024, 2048, 4096, 8192, 16384};

	(void)state;
	classes_are(CANP_MEM_DECOMPRESS, want, 5);
}

static void A04_frame_tier_has_its_default_classes(void **state)
{
	static const uint32_t want[] = {256, 512, 1024, 2048, 4096};

	(void)state;
	classes_are(CANP_MEM_FRAME, want, 5);
}

/* Magazine (64) and one depot shard keep what they may, the rest goes back to the arena. */
static void A05_free_blocks_beyond_the_depot_go_back_to_the_arena(void **state)
{
	static const uint32_t shards[] = {64, 32, 64}, capacity[] = {1024, 256, 512};
	enum { EXTRA = 100 };
	struct canp_mem *m = mem_new(NULL);
	const struct canp_mem_opts *o = canp_mem_opts_of(m);
	struct canp_mem_stats st;
	uint64_t full = 0;

	(void)state;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		struct canp_block *b[1024 + 64 + EXTRA];
		unsigned n = capacity[t] + 64 + EXTRA;

		assert_int_equal(o->depot_shards[t], shards[t]);
		assert_int_equal(o->depot_capacity[t], capacity[t]);
		for (unsigned i = 0; i < n; i++)
			b[i] = get(m, t, 1);
		canp_mem_stats(m, &st);
		assert_int_equal(st.depot_full, full);
		for (unsigned i = 0; i < n; i++)
			canp_mem_release(m, b[i]);
		canp_mem_stats(m, &st);
		/* What moves is half a magazine at a time, in both directions. */
		assert_in_range(st.depot_full - full, EXTRA - 33, EXTRA + 33 + 32);
		full = st.depot_full;
	}
	canp_mem_destroy(m);
}

static void A06_requests_above_the_classes_are_served(void **state)
{
	static const size_t sizes[] = {256 * CANP_KIB, 512 * CANP_KIB, CANP_MIB, 16 * CANP_MIB,
				       3 * CANP_MIB + 1};
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b[CANP_ARRAY_SIZE(sizes)];
	struct canp_mem_stats st;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		b[i] = get(m, (enum canp_mem_tier)(i % 3), sizes[i]);
		assert_true(canp_block_capacity(b[i]) >= sizes[i]);
		memset(canp_block_data(b[i]), (int)i, sizes[i]);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.large_allocs, CANP_ARRAY_SIZE(sizes));
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		const uint8_t *p = canp_block_data(b[i]);

		assert_int_equal(p[0], i);
		assert_int_equal(p[sizes[i] - 1], i);
		assert_int_equal(canp_mem_release(m, b[i]), 0);
		assert_int_equal(canp_mem_release(m, b[i]), -EINVAL);
	}
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

static void A07_a_block_tells_data_length_and_age(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	uint64_t last = 0, now = canp_clock_ns();

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct canp_block *b = get(m, CANP_MEM_BLOCK, 100);

		assert_non_null(canp_block_data(b));
		canp_block_set_len(b, i);
		assert_int_equal(canp_block_len(b), i);
		assert_true(canp_block_created_ns(b) >= last);
		last = canp_block_created_ns(b);
		canp_mem_release(m, b);
	}
	assert_true(last + (uint64_t)CANP_NS_PER_S > now); /* the coarse clock lags some ms */
	assert_true(last <= canp_clock_ns());
	canp_mem_port_now(canp_mem_port_get(m), last + 5);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 100);

	assert_int_equal(canp_block_created_ns(b), last + 5);
	canp_mem_release(m, b);
	canp_mem_destroy(m);
}

static void A08_fresh_and_recycled_blocks_are_empty(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b = get(m, CANP_MEM_FRAME, 77), *again;

	(void)state;
	assert_int_equal(canp_block_len(b), 0);
	assert_true(canp_block_empty(b));
	canp_block_set_len(b, 77);
	assert_false(canp_block_empty(b));
	canp_mem_release(m, b);
	again = get(m, CANP_MEM_FRAME, 77);
	assert_ptr_equal(again, b); /* what was freed last comes first: it is in the cache */
	assert_int_equal(canp_block_len(again), 0);
	assert_true(canp_block_empty(again));
	canp_mem_release(m, again);
	canp_mem_destroy(m);
}

static void A09_span_is_the_data_itself(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 600);
	size_t len = 0;
	const char *span;

	(void)state;
	memcpy(canp_block_data(b), "zero copy", 10);
	canp_block_set_len(b, 10);
	span = canp_block_span(b, &len);
	assert_ptr_equal(span, canp_block_data(b));
	assert_int_equal(len, 10);
	((char *)canp_block_data(b))[0] = 'Z';
	assert_string_equal(span, "Zero copy");
	canp_mem_release(m, b);
	canp_mem_destroy(m);
}

static void A11_a_reference_is_the_same_block(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 512);

	(void)state;
	assert_ptr_equal(canp_block_ref(b), b);
	assert_int_equal(usage(m), 512);
	assert_int_equal(canp_mem_release(m, b), 0);
	assert_int_equal(usage(m), 512);
	assert_int_equal(canp_mem_release(m, b), 0);
	assert_int_equal(usage(m), 0);
	assert_int_equal(canp_mem_release(m, b), -EINVAL);
	canp_mem_destroy(m);
}

static void A12_alloc_says_what_is_wrong(void **state)
{
	struct canp_mem_opts o = usual;
	struct canp_block *b = (void *)0x1, *keep;
	struct canp_mem *m;

	(void)state;
	o.max_total_memory = 64 * CANP_KIB;
	m = mem_new(&o);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 0, &b), -EINVAL);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_NR_TIERS, 1, &b), -EINVAL);
	assert_int_equal(canp_mem_alloc(m, (enum canp_mem_tier)77, 1, &b), -EINVAL);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 64 * CANP_KIB + 1, &b), -E2BIG);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, SIZE_MAX, &b), -E2BIG);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, SIZE_MAX / 2 + 2, &b), -E2BIG);
	keep = get(m, CANP_MEM_BLOCK, 64 * CANP_KIB);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1, &b), -ENOMEM);
	assert_ptr_equal(b, (void *)0x1);
	canp_mem_release(m, keep);
	canp_mem_destroy(m);
}

static void A13_double_and_foreign_release_are_refused(void **state)
{
	struct canp_mem *m = mem_new(&usual), *other = mem_new(&usual);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 1000), *theirs, *big;
	struct canp_mem_stats st;
	uint8_t *data = canp_block_data(b);
	uint64_t seed = 5;
	int local = 0;

	(void)state;
	theirs = get(other, CANP_MEM_BLOCK, 1000);
	big = get(m, CANP_MEM_BLOCK, CANP_MIB);
	assert_int_equal(canp_mem_release(m, theirs), -EINVAL);
	assert_int_equal(canp_mem_release(m, NULL), -EINVAL);
	assert_int_equal(canp_mem_release(m, (void *)&local), -EINVAL);
	assert_int_equal(canp_mem_release(m, (void *)get), -EINVAL);
	assert_int_equal(canp_mem_release(m, (void *)(UINTPTR_MAX - 7)), -EINVAL);
	assert_int_equal(canp_mem_release(m, canp_block_data(big)), -EINVAL);
	/* All that looks like a header inside of our own memory: bytes of data, blocks never made.
	 */
	memset(data, 1, 1000);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t *at = (uint8_t *)b + canp_hash_mix(seed++) % (8 * CANP_MIB);

		if ((void *)at != (void *)b)
			assert_int_equal(canp_mem_release(m, (void *)at), -EINVAL);
		at = (uint8_t *)big + canp_hash_mix(seed++) % (64 * CANP_KIB);
		if ((void *)at != (void *)big)
			assert_int_equal(canp_mem_release(m, (void *)at), -EINVAL);
	}
	assert_int_equal(canp_mem_release(m, b), 0);
	assert_int_equal(canp_mem_release(m, b), -EINVAL);
	assert_int_equal(canp_mem_release(m, b), -EINVAL);
	assert_int_equal(canp_mem_release(m, big), 0);
	assert_int_equal(canp_mem_release(m, big), -EINVAL);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_deallocations, 2);
	assert_int_equal(st.blocks_live, 0);
	canp_mem_release(other, theirs);
	canp_mem_destroy(other);
	canp_mem_destroy(m);
}

static void A14_a_batch_gets_each_its_class(void **state)
{
	static const size_t sizes[] = {100, 1024, 5000};
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b[3];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 3, b), 0);
		assert_int_equal(canp_block_capacity(b[0]), 512);
		assert_int_equal(canp_block_capacity(b[1]), 1024);
		assert_int_equal(canp_block_capacity(b[2]), 8192);
		assert_int_equal(usage(m), 512 + 1024 + 8192);
		assert_int_equal(canp_mem_release_batch(m, b, 3), 0);
	}
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 0, b), -EINVAL);
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, CANP_MEM_BATCH_MAX + 1, b),
			 -EINVAL);
	canp_mem_destroy(m);
}

static void A15_a_batch_is_released_and_counted(void **state)
{
	size_t sizes[CANP_MEM_BATCH_MAX];
	struct canp_block *b[CANP_MEM_BATCH_MAX];
	struct canp_mem *m = mem_new(&usual);
	struct canp_mem_stats st;

	(void)state;
	for (unsigned i = 0; i < CANP_MEM_BATCH_MAX; i++)
		sizes[i] = 1 + i * 70;
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_DECOMPRESS, sizes, CANP_MEM_BATCH_MAX, b),
			 0);
	assert_int_equal(canp_mem_release_batch(m, b, CANP_MEM_BATCH_MAX), 0);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_deallocations, CANP_MEM_BATCH_MAX);
	assert_int_equal(st.current_memory_usage, 0);
	/* A bad one among them: the others are released all the same. */
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_DECOMPRESS, sizes, 3, b), 0);
	b[3] = b[1];
	assert_int_equal(canp_mem_release_batch(m, b, 4), -EINVAL);
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

static void A20_a_warm_pool_asks_the_system_for_nothing(void **state)
{
	enum { HELD = 50 };
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b[HELD] = {0};
	struct canp_mem_stats before, after;
	uint64_t seed = 1;

	(void)state;
	/* The same walk twice: the first time warms the pool. */
	for (unsigned pass = 0; pass < 2; pass++) {
		seed = 1;
		canp_mem_stats(m, pass ? &before : &after);
		calls = 0;
		counting = pass == 1;
		for (unsigned i = 0; i < 1000000; i++) {
			uint64_t r = canp_hash_mix(seed++);
			unsigned k = (unsigned)(r % HELD);

			if (b[k])
				canp_mem_release(m, b[k]);
			if (canp_mem_alloc(m, (enum canp_mem_tier)(r >> 8) % 3,
					   1 + (r >> 16) % 20000, &b[k]))
				abort();
		}
		counting = false;
		for (unsigned i = 0; i < HELD; i++) {
			canp_mem_release(m, b[i]);
			b[i] = NULL;
		}
	}
	canp_mem_stats(m, &after);
	if (CAN_COUNT)
		assert_int_equal(calls, 0);
	assert_int_equal(after.arena_bytes, before.arena_bytes);
	assert_int_equal(after.total_allocations, 2000000);
	assert_true(after.block_pool_hit_rate > 0.999);
	canp_mem_destroy(m);
}

static void A27_a_zeroed_configuration_is_the_default(void **state)
{
	struct canp_mem_opts o = {0}, d;

	(void)state;
	canp_mem_opts_default(&o);
	assert_int_equal(canp_mem_opts_preset(&d, "default"), 0);
	d.node = 0;
	assert_memory_equal(&o, &d, sizeof(o));
	assert_int_equal(o.max_total_memory, 1024 * CANP_MIB);
	assert_true(o.memory_warning_threshold == 0.8);
	assert_int_equal(o.mmap_cache_entries, 1000);
	assert_int_equal(o.block_cache_entries, 500);
	assert_int_equal(o.cache_ttl_ns, 300 * CANP_NS_PER_S);
	/* Every field may be set by itself. */
	o = (struct canp_mem_opts){.max_total_memory = 5 * CANP_MIB, .cache_ttl_ns = 7};
	o.nr_classes[1] = 2;
	o.classes[1][0] = 64;
	o.classes[1][1] = 128;
	canp_mem_opts_default(&o);
	assert_int_equal(o.max_total_memory, 5 * CANP_MIB);
	assert_int_equal(o.cache_ttl_ns, 7);
	assert_int_equal(o.nr_classes[1], 2);
	assert_int_equal(o.nr_classes[0], 5);
	assert_int_equal(canp_mem_opts_preset(&o, "other"), -EINVAL);
	assert_int_equal(canp_mem_opts_preset(&o, ""), -EINVAL);
}

static void preset_is(const char *name, const uint32_t (*want)[6], unsigned n, uint64_t total,
		      double threshold, unsigned mmaps, unsigned blocks, unsigned ttl_s)
{
	struct canp_mem_opts o;

	assert_int_equal(canp_mem_opts_preset(&o, name), 0);
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		assert_int_equal(o.nr_classes[t], n);
		assert_memory_equal(o.classes[t], want[t], n * sizeof(want[0][0]));
	}
	assert_int_equal(o.max_total_memory, total);
	assert_true(o.memory_warning_threshold == threshold);
	assert_int_equal(o.mmap_cache_entries, mmaps);
	assert_int_equal(o.block_cache_entries, blocks);
	assert_int_equal(o.cache_ttl_ns, ttl_s * CANP_NS_PER_S);
	canp_mem_destroy(mem_new(&o)); /* it works, too */
}

static void A28_throughput_preset_has_the_figures_of_the_source(void **state)
{
	static const uint32_t want[3][6] = {{512, 1024, 2048, 4096, 8192, 16384},
					    {1024, 2048, 4096, 8192, 16384, 32768},
					    {256, 512, 1024, 2048, 4096, 8192}};

	(void)state;
	preset_is("throughput", want, 6, 2048 * CANP_MIB, 0.85, 2000, 1000, 600);
}

static void A29_memory_preset_has_the_figures_of_the_source(void **state)
{
	static const uint32_t want[3][6] = {
		{256, 512, 1024, 2048}, {512, 1024, 2048, 4096}, {128, 256, 512, 1024}};

	(void)state;
	preset_is("memory", want, 4, 512 * CANP_MIB, 0.7, 100, 50, 300);
}

/* One script for the five figures. */
static void script_run(struct canp_mem *m, struct canp_mem_stats *st)
{
	static const size_t sizes[] = {512, 600, 9000};
	struct canp_block *b[3], *c, *d;

	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 3, b), 0);
	c = get(m, CANP_MEM_FRAME, 256);
	canp_mem_release_batch(m, b, 2);
	canp_mem_release(m, c);
	d = get(m, CANP_MEM_BLOCK, 512);
	canp_block_ref(d);
	canp_mem_release(m, d);     /* no deallocation: one reference is left */
	canp_mem_release(m, d + 1); /* refused */
	canp_mem_stats(m, st);
	canp_mem_release(m, d);
	canp_mem_release(m, b[2]);
}

static void A30_allocations_are_counted_exactly(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_mem_stats st;

	(void)state;
	script_run(m, &st);
	assert_int_equal(st.total_allocations, 5);
	assert_int_equal(st.tier[CANP_MEM_BLOCK].allocations, 4);
	assert_int_equal(st.tier[CANP_MEM_FRAME].allocations, 1);
	assert_int_equal(st.tier[CANP_MEM_DECOMPRESS].allocations, 0);
	assert_int_equal(st.large_allocs, 1);
	canp_mem_destroy(m);
}

static void A31_deallocations_are_counted_exactly(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_mem_stats st;

	(void)state;
	script_run(m, &st);
	assert_int_equal(st.total_deallocations, 3);
	assert_int_equal(st.blocks_live, 2);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_deallocations, 5);
	canp_mem_destroy(m);
}

static void A32_usage_is_exact_and_ends_at_zero(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_mem_stats st;

	(void)state;
	script_run(m, &st);
	assert_int_equal(st.current_memory_usage, 512 + 16384);
	assert_int_equal(st.tier[CANP_MEM_BLOCK].usage, 512 + 16384);
	assert_int_equal(st.tier[CANP_MEM_FRAME].usage, 0);
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

static void A33_peak_is_the_exact_high_water_mark(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_block *b[1000];
	struct canp_mem_stats st;

	(void)state;
	script_run(m, &st);
	assert_int_equal(st.peak_memory_usage, 512 + 1024 + 16384 + 256);
	for (unsigned i = 0; i < 1000; i++)
		b[i] = get(m, CANP_MEM_BLOCK, 1024);
	canp_mem_release_batch(m, b, 1000);
	b[0] = get(m, CANP_MEM_BLOCK, 8192);
	canp_mem_stats(m, &st);
	assert_int_equal(st.peak_memory_usage, 1024000);
	canp_mem_release(m, b[0]);
	canp_mem_destroy(m);
}

static void A34_hit_rate_is_zero_when_cold_and_one_when_warm(void **state)
{
	struct canp_mem *m = mem_new(&usual);
	struct canp_mem_stats cold, warm;
	struct canp_block *b[500];

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		b[i] = get(m, CANP_MEM_DECOMPRESS, 2048);
	canp_mem_stats(m, &cold);
	assert_true(cold.block_pool_hit_rate == 0.0);
	assert_true(cold.tier[CANP_MEM_DECOMPRESS].hit_rate == 0.0);
	/* The first round may hand out blocks that were made and not used in the cold one. */
	for (unsigned round = 0; round < 5; round++) {
		canp_mem_release_batch(m, b, 500);
		for (unsigned i = 0; i < 500; i++)
			b[i] = get(m, CANP_MEM_DECOMPRESS, 2048);
		if (round == 0)
			canp_mem_stats(m, &cold);
	}
	canp_mem_stats(m, &warm);
	assert_int_equal(warm.tier[CANP_MEM_DECOMPRESS].allocations -
				 cold.tier[CANP_MEM_DECOMPRESS].allocations,
			 2000);
	assert_int_equal(warm.tier[CANP_MEM_DECOMPRESS].hits - cold.tier[CANP_MEM_DECOMPRESS].hits,
			 2000);
	assert_true(warm.block_pool_hit_rate > 0.82);
	assert_true(warm.tier[CANP_MEM_DECOMPRESS].hit_rate == warm.block_pool_hit_rate);
	assert_true(warm.tier[CANP_MEM_BLOCK].hit_rate == 0.0);
	canp_mem_release_batch(m, b, 500);
	canp_mem_destroy(m);
}

static void A36_every_nth_request_fails_and_nothing_leaks(void **state)
{
	static const size_t sizes[] = {600, 700, 100000};
	struct canp_mem_opts o = usual;
	struct canp_mem_stats st;
	struct canp_mem *m;
	unsigned failed = 0;

	(void)state;
	o.fail_every = 7;
	m = mem_new(&o);
	for (unsigned i = 1; i <= 700; i++) {
		struct canp_block *b[3];
		uint64_t was = usage(m);
		int rc = canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 1 + i % 3, b);

		assert_int_equal(rc, i % 7 ? 0 : -ENOMEM);
		failed += rc != 0;
		if (rc)
			assert_int_equal(usage(m), was);
		else
			assert_int_equal(canp_mem_release_batch(m, b, 1 + i % 3), 0);
	}
	assert_int_equal(failed, 100);
	canp_mem_stats(m, &st);
	assert_int_equal(st.refused, 100);
	assert_int_equal(st.total_allocations, st.total_deallocations);
	canp_mem_destroy(m);
}

static void A40_data_is_aligned(void **state)
{
	struct canp_mem *m = mem_new(NULL);

	(void)state;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		for (size_t size = 1; size <= 32 * CANP_MIB; size = size * 3 / 2 + 1) {
			struct canp_block *b[3];

			for (unsigned i = 0; i < 3; i++) {
				size_t align = 64, cap;

				b[i] = get(m, t, size);
				cap = canp_block_capacity(b[i]);
				if (cap >= 64 * CANP_KIB)
					align = canp_min(cap, (size_t)(2 * CANP_MIB));
				assert_int_equal((uintptr_t)canp_block_data(b[i]) % align, 0);
			}
			canp_mem_release_batch(m, b, 3);
		}
	}
	canp_mem_destroy(m);
}

static void A41_memory_is_on_the_node_of_the_thread(void **state)
{
	unsigned cpu = 0, node = 0;
	struct canp_mem *m;
	struct canp_block *b;
	int is = -1;

	(void)state;
	assert_int_equal(syscall(SYS_getcpu, &cpu, &node, NULL), 0);
	for (int want = -1; want <= 0; want++) {
		struct canp_mem_opts o = {.node = want};

		m = mem_new(&o);
		b = get(m, CANP_MEM_BLOCK, 4 * CANP_MIB);
		memset(canp_block_data(b), 1, 4 * CANP_MIB);
		for (size_t at = 0; at < 4 * CANP_MIB; at += 4096) {
			if (syscall(SYS_get_mempolicy, &is, NULL, 0,
				    (uint8_t *)canp_block_data(b) + at,
				    MPOL_F_NODE | MPOL_F_ADDR)) {
				print_message("SKIP: get_mempolicy refused\n");
				break;
			}
			assert_int_equal(is, want < 0 ? (int)node : want);
		}
		canp_mem_release(m, b);
		canp_mem_destroy(m);
	}
}

static void bad_options_are_refused(void **state)
{
	struct canp_mem_opts o;
	struct canp_mem *m = NULL;

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		canp_mem_opts_preset(&o, "default");
		if (i == 0)
			o.classes[1][2] = o.classes[1][1];
		else if (i == 1)
			o.classes[0][0] = 100;
		else if (i == 2)
			o.memory_warning_threshold = 1.5;
		else if (i == 3)
			o.memory_warning_threshold = -1;
		else if (i == 4)
			o.nr_classes[2] = CANP_MEM_CLASSES_MAX + 1;
		else if (i == 5)
			o.classes[2][4] = 2 * CANP_MIB;
		else
			o.max_total_memory = UINT64_MAX;
		assert_int_equal(canp_mem_create(&o, &m), -EINVAL);
		assert_null(m);
	}
}

/* Memory that one class no longer needs serves the others: 40 times the limit in turns. */
static void slabs_move_between_classes(void **state)
{
	struct canp_mem_opts o = usual;
	struct canp_block *b[4096];
	struct canp_mem_stats st;
	struct canp_mem *m;

	(void)state;
	o.max_total_memory = 8 * CANP_MIB;
	m = mem_new(&o);
	for (unsigned round = 0; round < 40; round++) {
		size_t size = (size_t)256 << (round * 7 % 16);
		unsigned n = (unsigned)(7 * CANP_MIB / size);

		n = n > 4096 ? 4096 : n ? n : 1;
		for (unsigned i = 0; i < n; i++) {
			b[i] = get(m, CANP_MEM_FRAME, size);
			memset(canp_block_data(b[i]), (int)i, size);
		}
		canp_mem_release_batch(m, b, n);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.current_memory_usage, 0);
	assert_true(st.arena_bytes <= 64 * CANP_MIB);
	canp_mem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A01_every_size_gets_the_smallest_class_that_holds_it),
		cmocka_unit_test(A02_block_tier_has_its_default_classes),
		cmocka_unit_test(A03_decompress_tier_has_its_default_classes),
		cmocka_unit_test(A04_frame_tier_has_its_default_classes),
		cmocka_unit_test(A05_free_blocks_beyond_the_depot_go_back_to_the_arena),
		cmocka_unit_test(A06_requests_above_the_classes_are_served),
		cmocka_unit_test(A07_a_block_tells_data_length_and_age),
		cmocka_unit_test(A08_fresh_and_recycled_blocks_are_empty),
		cmocka_unit_test(A09_span_is_the_data_itself),
		cmocka_unit_test(A11_a_reference_is_the_same_block),
		cmocka_unit_test(A12_alloc_says_what_is_wrong),
		cmocka_unit_test(A13_double_and_foreign_release_are_refused),
		cmocka_unit_test(A14_a_batch_gets_each_its_class),
		cmocka_unit_test(A15_a_batch_is_released_and_counted),
		cmocka_unit_test(A20_a_warm_pool_asks_the_system_for_nothing),
		cmocka_unit_test(A27_a_zeroed_configuration_is_the_default),
		cmocka_unit_test(A28_throughput_preset_has_the_figures_of_the_source),
		cmocka_unit_test(A29_memory_preset_has_the_figures_of_the_source),
		cmocka_unit_test(A30_allocations_are_counted_exactly),
		cmocka_unit_test(A31_deallocations_are_counted_exactly),
		cmocka_unit_test(A32_usage_is_exact_and_ends_at_zero),
		cmocka_unit_test(A33_peak_is_the_exact_high_water_mark),
		cmocka_unit_test(A34_hit_rate_is_zero_when_cold_and_one_when_warm),
		cmocka_unit_test(A36_every_nth_request_fails_and_nothing_leaks),
		cmocka_unit_test(A40_data_is_aligned),
		cmocka_unit_test(A41_memory_is_on_the_node_of_the_thread),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(slabs_move_between_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
