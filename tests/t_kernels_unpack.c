/*
 * t_kernels_unpack.c - the kernels of the way back (unpack16, index_f64, index_i32, delta32) on
 * every ISA this CPU can run, against references written here the slow way, with the spans set
 * against inaccessible pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/units.h"
#include "simd/kernels.h"
#include "simd/simd.h"
#include "tests/lib/guard.h"

static uint64_t seed = 0x2545f4914f6cdd1d;
static struct guard g_in, g_out;

struct row_walk {
	const char *kernel;
	void (*test)(void (*func)(void));
	unsigned run;
};

static void row_visit(void *arg, const struct canp_kernel_row *row)
{
	struct row_walk *w = arg;

	if (strcmp(row->kernel, w->kernel) != 0 || !row->runnable)
		return;
	w->test(row->func);
	w->run++;
}

static void each_row(const char *kernel, void (*test)(void (*func)(void)))
{
	struct row_walk w = {.kernel = kernel, .test = test};

	guard_open(&g_in, 65536);
	guard_open(&g_out, 65536);
	canp_kernels_for_each(row_visit, &w);
	guard_close(&g_in);
	guard_close(&g_out);
	assert_true(w.run > 0);
}

static void rear_bytes_stay(const uint8_t *out)
{
	for (const uint8_t *p = g_out.mem; p < out; p++)
		assert_int_equal(*p, 0xa5);
}

/* ---- unpack16 ---------------------------------------------------------------------------------*/

static void unpack_one(void (*f)(void), size_t n, unsigned w)
{
	size_t bytes = (n * w + 7) / 8;
	uint8_t *in = guard_rear(&g_in, bytes);
	uint16_t *out = (uint16_t *)guard_rear(&g_out, canp_align_up(n, (size_t)32) * 2);

	memset(g_out.mem, 0xa5, g_out.bytes);
	for (size_t i = 0; i < bytes; i++)
		in[i] = (uint8_t)(guard_rand(&seed) >> 40);
	((void (*)(const uint8_t *, size_t, unsigned, uint16_t *))f)(in, n, w, out);
	for (size_t i = 0; i < n; i++) {
		unsigned want = 0;

		for (unsigned k = 0; k < w; k++)
			want |= (unsigned)(in[(i * w + k) / 8] >> ((i * w + k) % 8) & 1) << k;
		if (out[i] != want)
			fail_msg("w %u n %zu value %zu: %u, not %u", w, n, i, out[i], want);
	}
	rear_bytes_stay((uint8_t *)out);
}

static void row_unpack16(void (*f)(void))
{
	for (unsigned w = 1; w <= 16; w++) {
		for (size_t n = 0; n <= 200; n++)
			unpack_one(f, n, w);
		unpack_one(f, 4099, w);
	}
}

static void unpacking_reads_every_width_and_nothing_behind(void **state)
{
	(void)state;
	each_row("unpack16", row_unpack16);
}

/* ---- conversions ------------------------------------------------------------------------------*/

static uint16_t *some_indices(size_t n)
{
	uint16_t *idx = (uint16_t *)guard_rear(&g_in, n * 2);

	for (size_t i = 0; i < n; i++)
		idx[i] = (uint16_t)(guard_rand(&seed) >> 30);
	return idx;
}

/* Every step is stored, so that no compiler can fuse two of them. */
static double slow_phys(int32_t raw, double factor, double offset)
{
	volatile double d = raw;

	d = d * factor;
	d = d + offset;
	return d;
}

static void row_index_f64(void (*f)(void))
{
	static const double scale[][2] = {{1, 0},       {0.1, -40},      {1.0 / 3, 1e9},
					  {-0.0625, 7}, {1e300, -1e300}, {4.9e-324, 0},
					  {1e308, 0},   {0.1, 1e18}};
	static const int32_t bias[] = {0, 128, 2048, 32768};

	for (size_t n = 0; n <= 90; n++) {
		for (unsigned k = 0; k < 32; k++) {
			const double *s = scale[k % 8];
			uint16_t *idx = some_indices(n);
			double *out = (double *)guard_rear(&g_out, n * 8);

			memset(g_out.mem, 0xa5, g_out.bytes);
			((void (*)(const uint16_t *, size_t, int32_t, double, double, double *))f)(
				idx, n, bias[k / 8], s[0], s[1], out);
			for (size_t i = 0; i < n; i++) {
				double want = slow_phys((int32_t)idx[i] - bias[k / 8], s[0], s[1]);

				assert_memory_equal(&out[i], &want, 8);
			}
			rear_bytes_stay((uint8_t *)out);
		}
	}
}

/* Any finite number: all signs, all magnitudes, the smallest ones with few digits. */
static double any_double(void)
{
	uint64_t bits;
	double d;

	do {
		bits = guard_rand(&seed) ^ guard_rand(&seed) << 32;
	} while ((bits >> 52 & 0x7ff) == 0x7ff);
	memcpy(&d, &bits, sizeof(d));
	return d;
}

/* A million triples of raw value, factor and offset; one that is fused shows in the last bit. */
static void row_index_f64_any(void (*f)(void))
{
	enum { ROWS = 250 };

	for (unsigned t = 0; t < 1000000 / ROWS; t++) {
		double factor = any_double(), offset = any_double(), out[ROWS];
		int32_t bias = (int32_t)(guard_rand(&seed) >> 20 & 0x7fff);
		uint16_t *idx = some_indices(ROWS);

		/* Half of the time the sum has digits of both. */
		if (t & 1)
			offset = factor * (double)(int32_t)(guard_rand(&seed) >> 32) / 3;
		((void (*)(const uint16_t *, size_t, int32_t, double, double, double *))f)(
			idx, ROWS, bias, factor, offset, out);
		for (size_t i = 0; i < ROWS; i++) {
			double want = slow_phys((int32_t)idx[i] - bias, factor, offset);

			assert_true(memcmp(&out[i], &want, sizeof(want)) == 0);
		}
	}
}

static void row_index_i32(void (*f)(void))
{
	for (size_t n = 0; n <= 130; n++) {
		uint32_t mul = (uint32_t)guard_rand(&seed), add = (uint32_t)guard_rand(&seed);
		uint16_t *idx = some_indices(n);
		uint32_t *out = (uint32_t *)guard_rear(&g_out, n * 4);

		memset(g_out.mem, 0xa5, g_out.bytes);
		((void (*)(const uint16_t *, size_t, uint32_t, uint32_t, uint32_t *))f)(idx, n, mul,
											add, out);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(out[i], (uint32_t)((uint64_t)idx[i] * mul + add));
		rear_bytes_stay((uint8_t *)out);
	}
}

static void physical_values_equal_two_roundings_bit_by_bit(void **state)
{
	(void)state;
	each_row("index_f64", row_index_f64);
	each_row("index_f64", row_index_f64_any);
	each_row("index_i32", row_index_i32);
}

/* ---- delta32 ----------------------------------------------------------------------------------*/

static uint64_t take_varint(const uint8_t **p)
{
	uint64_t v = 0;

	for (unsigned s = 0;; s += 7) {
		v |= (uint64_t)(**p & 127) << s;
		if (*(*p)++ < 128)
			return v;
	}
}

/* Decodes the blocks bit by bit; every width must be the least that holds its miniblock. */
static void delta_check(const uint8_t *p, size_t bytes, const uint32_t *v, size_t n)
{
	const uint8_t *end = p + bytes;

	for (size_t at = 0; at < n; at += 128) {
		uint64_t z = take_varint(&p), top[4] = {0};
		uint32_t min = (uint32_t)((z >> 1) ^ (0 - (z & 1)));
		const uint8_t *width = p;

		assert_true(z >> 32 == 0);
		p += 4;
		for (size_t i = 0; i < 128; i++) {
			unsigned w = width[i / 32];
			uint32_t d = 0;

			for (unsigned k = 0; k < w; k++) {
				size_t bit = i % 32 * w + k;

				d |= (uint32_t)(p[bit / 8] >> (bit % 8) & 1) << k;
			}
			top[i / 32] |= d;
			if (at + i < n)
				assert_int_equal(v[at + i + 1], (uint32_t)(v[at + i] + min + d));
			else
				assert_int_equal(d, 0);
			if (i % 32 == 31)
				p += (size_t)w * 4;
		}
		for (unsigned m = 0; m < 4; m++)
			assert_int_equal(width[m], top[m] ? 64 - __builtin_clzll(top[m]) : 0);
	}
	assert_ptr_equal(p, end);
}

static void delta_one(void (*f)(void), size_t n, unsigned style)
{
	size_t room = ((n + 127) / 128) * CANP_SIMD_DELTA32_MAX + CANP_SIMD_PAD, bytes;
	uint32_t *v = (uint32_t *)guard_rear(&g_in, (n + 1) * 4), x = 77;
	uint8_t *out = guard_rear(&g_out, room);

	memset(g_out.mem, 0xa5, g_out.bytes);
	for (size_t i = 0; i <= n; i++) {
		uint32_t r = (uint32_t)(guard_rand(&seed) >> 20);
		unsigned w = (unsigned)(n + i / 32 * 11) % 33; /* another one in each miniblock */

		if (style == 0)
			x += 3;
		else if (style == 1)
			x = r;
		else if (style == 2)
			x += (r & 15) - 8;
		else if (style == 3)
			x += w ? r >> (32 - w) : 0;
		else
			x = r & 1 ? 0x80000000u : 0x7fffffffu;
		v[i] = x;
	}
	bytes = ((size_t(*)(const uint32_t *, size_t, uint8_t *))f)(v, n, out);
	assert_true(bytes + CANP_SIMD_PAD <= room || n == 0);
	delta_check(out, bytes, v, n);
	rear_bytes_stay(out);
}

static void row_delta32(void (*f)(void))
{
	for (unsigned style = 0; style < 5; style++) {
		for (size_t n = 0; n <= 300; n++)
			delta_one(f, n, style);
		delta_one(f, 4096, style);
	}
}

/* Two kernels for two types of column, one format: 32-bit values that were widened must give the
 * same bytes, so that nobody can tell from a page which of them wrote it. */
static void row_same_blocks(void (*f)(void))
{
	uint8_t got[CANP_SIMD_DELTA32_MAX + CANP_SIMD_PAD], want[14 + 1024 + CANP_SIMD_PAD];
	uint32_t v[129];
	int64_t wide[129];

	for (unsigned t = 0; t < 4000; t++) {
		size_t n = 1 + t % 128, bytes;
		uint32_t x = (uint32_t)guard_rand(&seed);
		bool back = false;

		for (size_t i = 0; i <= n; i++) {
			v[i] = x;
			wide[i] = (int32_t)x;
			x += (uint32_t)(guard_rand(&seed) >> 32) >> t / 128;
		}
		bytes = ((size_t(*)(const uint32_t *, size_t, uint8_t *))f)(v, n, got);
		assert_int_equal(canp_delta_block_scalar(wide, n, true, want, &back), bytes);
		assert_memory_equal(got, want, bytes);
	}
}

static void blocks_of_32_bits_are_those_of_64_in_32_bit_mode(void **state)
{
	(void)state;
	each_row("delta32", row_same_blocks);
}

static void deltas_decode_to_the_values_with_least_widths(void **state)
{
	(void)state;
	each_row("delta32", row_delta32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unpacking_reads_every_width_and_nothing_behind),
		cmocka_unit_test(physical_values_equal_two_roundings_bit_by_bit),
		cmocka_unit_test(deltas_decode_to_the_values_with_least_widths),
		cmocka_unit_test(blocks_of_32_bits_are_those_of_64_in_32_bit_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
