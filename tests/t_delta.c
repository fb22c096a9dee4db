/*
 * t_delta.c - the time kernels, every variant this CPU can run: microseconds round down at any
 * value, and a block of DELTA_BINARY_PACKED read back bit by bit is what the format asks for, at
 * every length and width, against inaccessible pages. Also the kernels that tell what a column is
 * like before it is packed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/units.h"
#include "simd/kernels.h"
#include "tests/lib/guard.h"

struct delta_walk {
	const char *kernel;
	void (*test)(void (*func)(void));
	unsigned run;
};

static void row_visit(void *arg, const struct canp_kernel_row *row)
{
	struct delta_walk *w = arg;

	if (strcmp(row->kernel, w->kernel) != 0)
		return;
	if (!row->runnable) {
		printf("   skipped %s %s: this CPU lacks it\n", row->kernel,
		       canp_isa_name(row->isa));
		return;
	}
	w->test(row->func);
	w->run++;
}

static void each_row(const char *kernel, void (*test)(void (*func)(void)))
{
	struct delta_walk w = {.kernel = kernel, .test = test};

	canp_kernels_for_each(row_visit, &w);
	assert_true(w.run > 0);
}

static uint64_t seed = 0x5851f42d4c957f2d;
static struct guard in, out;

static uint64_t below(uint64_t n)
{
	return (guard_rand(&seed) >> 8) % n;
}

/* Any value, with a liking for the ends of the range and for what lies near zero. */
static int64_t hostile(void)
{
	uint64_t r = guard_rand(&seed) << 32 ^ guard_rand(&seed);

	switch (below(6)) {
	case 0:
		return INT64_MIN + (int64_t)below(3000);
	case 1:
		return INT64_MAX - (int64_t)below(3000);
	case 2:
		return (int64_t)below(6000) - 3000;
	case 3: /* around whole microseconds */
		return (int64_t)(r % 9000000000000000) * 1000 + (int64_t)below(3) - 1;
	default:
		return (int64_t)r >> below(64);
	}
}

/* kind 0: any values; else a clock that starts anywhere, with steps of at most 2^kind ns, in a
 * third of the cases sometimes backwards. */
static void clock_fill(int64_t *v, size_t n, unsigned kind)
{
	bool back = below(3) == 0;
	uint64_t t = (uint64_t)hostile();

	for (size_t i = 0; i < n; i++) {
		uint64_t step = below(1ull << (kind & 63));

		t += back && below(20) == 0 ? -step : step;
		v[i] = kind ? (int64_t)t : hostile();
	}
}

/* ---- microseconds -----------------------------------------------------------------------------*/

typedef void us_fn(const int64_t *, size_t, int64_t *);

/* Counts in 128 bits: no sign, no rounding to get wrong. */
static int64_t naive_us(int64_t ns)
{
	unsigned __int128 up = (unsigned __int128)((__int128)ns + ((__int128)1000 << 64));

	return (int64_t)((__int128)(up / 1000) - ((__int128)1 << 64));
}

static void row_us(void (*f)(void))
{
	for (unsigned t = 0; t < 12000; t++) {
		size_t n = t < 258 ? t : below(258), room = canp_align_up(n, 32) * 8;
		int64_t *ns = (int64_t *)guard_rear(&in, room);
		int64_t *us = (int64_t *)guard_rear(&out, room);

		clock_fill(ns, room / 8, t % 50);
		((us_fn *)f)(ns, n, us);
		for (size_t i = 0; i < n; i++)
			if (us[i] != naive_us(ns[i]))
				fail_msg("%lld ns: %lld", (long long)ns[i], (long long)us[i]);
	}
}

static void microseconds_round_down_at_any_value(void **state)
{
	(void)state;
	assert_true(naive_us(-1) == -1 && naive_us(-1000) == -1 && naive_us(-1001) == -2);
	assert_true(naive_us(999) == 0 && naive_us(INT64_MIN) == -9223372036854776);
	each_row("ns_to_us", row_us);
}

/* ---- blocks -----------------------------------------------------------------------------------*/

typedef size_t block_fn(const int64_t *, size_t, bool, uint8_t *, bool *);

static unsigned bits_of(uint64_t v)
{
	unsigned n = 0;

	for (; v; v >>= 1)
		n++;
	return n;
}

static void block_check(const int64_t *d, size_t n, const uint8_t *p, size_t len)
{
	uint64_t z = 0, low;
	int64_t min = d[0];
	size_t at = 0, bit;

	for (size_t i = 0; i < n; i++)
		min = canp_min(min, d[i]);
	do
		z |= (uint64_t)(p[at] & 127) << 7 * at;
	while (p[at++] & 128);
	low = (z >> 1) ^ -(z & 1);
	assert_true((int64_t)low == min);
	assert_true(at == 1 || p[at - 1]); /* no digit that says nothing */
	bit = 8 * (at + 4);
	for (size_t m = 0; m < 4; m++) {
		unsigned w = p[at + m], most = 0;

		for (size_t i = 32 * m; i < 32 * m + 32; i++, bit += w && n > 32 * m ? w : 0) {
			uint64_t v = 0;

			for (unsigned k = 0; n > 32 * m && k < w; k++)
				v |= (uint64_t)(p[(bit + k) / 8] >> (bit + k) % 8 & 1) << k;
			assert_true(v == (i < n ? (uint64_t)d[i] - low : 0));
			most = canp_max(most, bits_of(v));
		}
		assert_int_equal(w, most);
	}
	assert_int_equal(8 * len, bit);
}

/* n differences of width w and more above any floor, one width after the other in the miniblocks;
 * every sixteenth time anything. v[0] is where they start. */
static void block_fill(int64_t *v, size_t n, unsigned t)
{
	uint64_t at = (uint64_t)hostile(), floor = t & 8 ? (uint64_t)-1000000 : below(100000);

	v[0] = (int64_t)at;
	for (size_t i = 0; i < n; i++) {
		unsigned w = (unsigned)(t / 4 + (t & 4 ? i / 32 * 11 : 0)) % 65;

		at += floor + (w ? guard_rand(&seed) >> (64 - w) : 0);
		v[i + 1] = t % 16 == 15 ? hostile() : (int64_t)at;
	}
}

static void row_block(void (*f)(void))
{
	int64_t d[128];

	for (unsigned t = 0; t < 20000; t++) {
		size_t n = t < 128 ? t + 1 : t % 4 ? 128 : 1 + below(128);
		/* Exactly the values exist, on one side at least. */
		int64_t *v = (int64_t *)(t % 3 ? guard_rear(&in, (n + 1) * 8) : in.mem);
		bool is32 = t % 5 == 0, want_back = false, back = t % 7 == 0, was = back;
		uint8_t *p;
		size_t len;

		block_fill(v, n, t);
		for (size_t i = 0; i < n; i++) {
			uint64_t want = (uint64_t)v[i + 1] - (uint64_t)v[i];

			if (is32)
				want = (want & 0xffffffff) | (want & 0x80000000 ? ~0ull << 32 : 0);
			d[i] = (int64_t)want;
			want_back |= v[i + 1] < v[i];
		}
		len = ((block_fn *)f)(v, n, is32, out.mem, &back);
		assert_int_equal(back, want_back || was);
		assert_true(len <= 14 + 1024);
		block_check(d, n, out.mem, len);
		/* The slack is all that may be touched behind. */
		p = guard_rear(&out, len + CANP_SIMD_PAD);
		assert_int_equal(((block_fn *)f)(v, n, is32, p, &back), len);
		assert_true(p >= out.mem + len);
		assert_memory_equal(p, out.mem, len);
	}
}

static void blocks_hold_their_differences_in_the_fewest_bits(void **state)
{
	(void)state;
	each_row("delta_block", row_block);
}

/* ---- what a column is like -------------------------------------------------------------------*/

typedef uint64_t varying_fn(const uint64_t *, size_t);

static void row_varying(void (*f)(void))
{
	for (unsigned t = 0; t < 4000; t++) {
		size_t n = t < 258 ? t : below(258);
		uint64_t *v = (uint64_t *)(n % 8 ? in.mem : guard_rear(&in, n * 8));
		uint64_t base = (uint64_t)hostile(), want = 0;

		for (size_t i = 0; i < n; i++)
			v[i] = base ^ (below(n + 1) < 3 ? 1ull << below(64) : 0);
		if (n % 8)
			memset(v + n, 0x5a, 64);
		for (size_t i = 0; i < n; i++)
			want |= v[i] ^ v[0];
		assert_true(((varying_fn *)f)(v, n) == want);
	}
}

static void varying_bits_are_those_that_differ_from_the_first_row(void **state)
{
	(void)state;
	each_row("varying", row_varying);
}

typedef void bounds_fn(const uint16_t *, size_t, struct canp_minmax *);

static void row_bounds(void (*f)(void))
{
	for (unsigned t = 0; t < 4000; t++) {
		size_t n = t < 258 ? t : below(258);
		uint16_t *v = (uint16_t *)(t & 1 ? in.mem : guard_rear(&in, n * 2));
		struct canp_minmax mm = {7, 7}, want = {.min = UINT64_MAX};
		uint16_t base = (uint16_t)hostile(), spread = (uint16_t)(1 + below(3000));

		for (size_t i = 0; i < n; i++) {
			v[i] = (uint16_t)(t % 3 ? base + below(spread) : (uint64_t)hostile());
			want.min = canp_min(want.min, (uint64_t)v[i]);
			want.max = canp_max(want.max, (uint64_t)v[i]);
		}
		if (t & 1) /* what lies behind the last one must not count */
			memset(v + n, t & 2 ? 0xff : 0, 64);
		((bounds_fn *)f)(v, n, &mm);
		assert_true(mm.min == want.min && mm.max == want.max);
	}
}

static void bounds_are_the_lowest_and_the_highest_value(void **state)
{
	(void)state;
	each_row("bounds16", row_bounds);
}

static int spans_open(void **state)
{
	(void)state;
	guard_open(&in, 288 * 8);
	guard_open(&out, 288 * 8);
	return 0;
}

static int spans_close(void **state)
{
	(void)state;
	guard_close(&in);
	guard_close(&out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(microseconds_round_down_at_any_value),
		cmocka_unit_test(blocks_hold_their_differences_in_the_fewest_bits),
		cmocka_unit_test(varying_bits_are_those_that_differ_from_the_first_row),
		cmocka_unit_test(bounds_are_the_lowest_and_the_highest_value),
	};

	return cmocka_run_group_tests(tests, spans_open, spans_close);
}
