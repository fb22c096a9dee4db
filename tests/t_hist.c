/*
 * t_hist.c - histograms against sorted values, and the small containers beside them: counters and
 * bitsets.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/bitset.h"
#include "core/base/compiler.h"
#include "core/base/hist.h"
#include "core/base/stat.h"

#define NR 20000u

static struct canp_hist a, b;
static uint64_t values[NR];

static int compare_u64(const void *pa, const void *pb)
{
	uint64_t x = *(const uint64_t *)pa, y = *(const uint64_t *)pb;

	return (x > y) - (x < y);
}

static void every_value_has_its_bucket(void **state)
{
	(void)state;
	assert_int_equal(canp_hist_bucket(0), 0);
	assert_int_equal(canp_hist_bucket(UINT64_MAX), CANP_HIST_BUCKETS - 1);
	for (unsigned i = 0; i < CANP_HIST_BUCKETS; i++) {
		uint64_t low = canp_hist_bucket_low(i);

		assert_int_equal(canp_hist_bucket(low), i);
		if (i)
			assert_int_equal(canp_hist_bucket(low - 1), i - 1);
	}
}

static void percentiles_are_within_a_hundredth(void **state)
{
	static const double percents[] = {0, 1, 10, 50, 90, 99, 99.9, 100};
	uint64_t seed = 1;

	(void)state;
	canp_hist_init(&a);
	canp_hist_init(&b);
	for (unsigned i = 0; i < NR; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		values[i] = (seed >> 24) >> (seed % 40);
		canp_hist_add(i % 3 ? &a : &b, values[i]);
	}
	canp_hist_merge(&a, &b);
	qsort(values, NR, sizeof(values[0]), compare_u64);
	assert_int_equal(a.count, NR);
	assert_int_equal(a.min, values[0]);
	assert_int_equal(a.max, values[NR - 1]);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(percents); i++) {
		double at = percents[i] / 100 * NR;
		unsigned rank = (unsigned)at + (at > (unsigned)at);
		double want = (double)values[rank ? rank - 1 : 0];
		double got = (double)canp_hist_percentile(&a, percents[i]);

		assert_true(got >= want * 0.99 - 1 && got <= want * 1.01 + 1);
	}
}

static void an_empty_histogram_answers_zero(void **state)
{
	(void)state;
	canp_hist_init(&a);
	assert_int_equal(canp_hist_percentile(&a, 50), 0);
	assert_true(canp_hist_mean(&a) == 0);
	canp_hist_add(&a, 1000);
	canp_hist_add(&a, 3000);
	assert_true(canp_hist_mean(&a) == 2000);
	assert_int_equal(canp_hist_percentile(&a, 100), 3000);
}

static void counters_add_and_keep_the_highest(void **state)
{
	struct canp_stat s = {0};

	(void)state;
	canp_stat_add(&s, 5);
	canp_stat_add(&s, 7);
	assert_int_equal(canp_stat_get(&s), 12);
	canp_stat_max(&s, 3);
	assert_int_equal(canp_stat_get(&s), 12);
	canp_stat_max(&s, 30);
	assert_int_equal(canp_stat_get(&s), 30);
	canp_stat_set(&s, 1);
	assert_int_equal(canp_stat_get(&s), 1);
}

static void slots_are_handed_out_once(void **state)
{
	CANP_BITSET_DECL(set, 70);
	unsigned seen = 0;

	(void)state;
	canp_bitset_zero(set, 70);
	for (int i = 0; i < 70; i++)
		assert_int_equal(canp_bitset_acquire(set, 70), i);
	assert_int_equal(canp_bitset_acquire(set, 70), -1);
	canp_bitset_clear(set, 65);
	canp_bitset_clear(set, 3);
	assert_int_equal(canp_bitset_count(set, 70), 68);
	canp_bitset_for_each (i, set, 70) {
		assert_true(i != 3 && i != 65);
		seen++;
	}
	assert_int_equal(seen, 68);
	assert_int_equal(canp_bitset_acquire(set, 70), 3);
	assert_int_equal(canp_bitset_acquire(set, 70), 65);
	assert_int_equal(canp_bitset_next(set, 70, 70), 70);
	assert_true(canp_bitset_test(set, 69));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_has_its_bucket),
		cmocka_unit_test(percentiles_are_within_a_hundredth),
		cmocka_unit_test(an_empty_histogram_answers_zero),
		cmocka_unit_test(counters_add_and_keep_the_highest),
		cmocka_unit_test(slots_are_handed_out_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
