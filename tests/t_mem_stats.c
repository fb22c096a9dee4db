/*
 * t_mem_stats.c - the memory pool on one thread: named configurations, options that are refused,
 * statistics, requests that fail on purpose. See t_mem.c for the blocks themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "numa/mem.h"
#include "tests/lib/mem_help.h"

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
	canp_mem_destroy(mem_of(&o)); /* it works, too */
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
	struct canp_mem *m = mem_of(&usual);
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
	struct canp_mem *m = mem_of(&usual);
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
	struct canp_mem *m = mem_of(&usual);
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
	struct canp_mem *m = mem_of(&usual);
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
	struct canp_mem *m = mem_of(&usual);
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
	m = mem_of(&o);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A27_a_zeroed_configuration_is_the_default),
		cmocka_unit_test(A28_throughput_preset_has_the_figures_of_the_source),
		cmocka_unit_test(A29_memory_preset_has_the_figures_of_the_source),
		cmocka_unit_test(A30_allocations_are_counted_exactly),
		cmocka_unit_test(A31_deallocations_are_counted_exactly),
		cmocka_unit_test(A32_usage_is_exact_and_ends_at_zero),
		cmocka_unit_test(A33_peak_is_the_exact_high_water_mark),
		cmocka_unit_test(A34_hit_rate_is_zero_when_cold_and_one_when_warm),
		cmocka_unit_test(A36_every_nth_request_fails_and_nothing_leaks),
		cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
