/*
 * t_kernels.c - every row of kernels.def that this CPU can run, against references written here the
 * slow way, with the spans set against inaccessible pages on both sides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "core/base/units.h"
#include "simd/kernels.h"
#include "simd/simd.h"
#include "tests/lib/guard.h"

struct row_walk {
	const char *kernel;
	void (*test)(void (*func)(void));
	unsigned run;
};

static void row_visit(void *arg, const struct canp_kernel_row *row)
{
	struct row_walk *w = arg;

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

/* Runs `test` on every variant of a kernel; there is always at least the portable one. */
static void each_row(const char *kernel, void (*test)(void (*func)(void)))
{
	struct row_walk w = {.kernel = kernel, .test = test};

	canp_kernels_for_each(row_visit, &w);
	assert_true(w.run > 0);
}

static uint64_t seed = 0x9e3779b97f4a7c15;

static void fill_random(void *p, size_t n)
{
	uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(guard_rand(&seed) >> 32);
}

static uint64_t low_bits(unsigned w)
{
	return w >= 64 ? ~0ull : (1ull << w) - 1;
}

/* Values that sit on edges more often than chance would have it. */
static uint64_t hostile(unsigned w)
{
	uint64_t r = guard_rand(&seed);

	switch (r >> 60) {
	case 0:
		return 0;
	case 1:
	case 2:
		return low_bits(w);
	case 3:
		return 1ull << ((r >> 8) % (w ? w : 1)) & low_bits(w);
	default:
		return r & low_bits(w);
	}
}

/* ---- checksums --------------------------------------------------------------------------------*/

typedef uint32_t sum_fn(uint32_t, const void *, size_t);

static uint32_t naive_adler(uint32_t init, const uint8_t *p, size_t n)
{
	uint32_t a = init & 0xffff, b = init >> 16;

	while (n--) {
		a = (a + *p++) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static uint32_t naive_crc(uint32_t init, const uint8_t *p, size_t n)
{
	uint32_t c = ~init;

	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (0xedb88320u & -(c & 1));
	}
	return ~c;
}

static void sum_check(sum_fn *f, sum_fn *ref, uint32_t fresh)
{
	static const size_t big[] = {511,   512,   513,   5551,   5552,   5553,   32767,
				     32768, 65536, 65537, 131071, 131072, 131073, 300001};
	struct guard g;

	guard_open(&g, 300001);
	fill_random(g.mem, g.bytes);
	for (size_t n = 0; n <= 300; n++)
		for (size_t shift = 0; shift < 64; shift += n < 70 ? 1 : 7) {
			const uint8_t *p = guard_rear(&g, n + shift);

			assert_int_equal(f(fresh, p, n), ref(fresh, p, n));
			p = guard_rear(&g, n);
			assert_int_equal(f(0x12345678, p, n), ref(0x12345678, p, n));
			assert_int_equal(f(fresh, g.mem + shift, n), ref(fresh, g.mem + shift, n));
		}
	for (size_t i = 0; i < CANP_ARRAY_SIZE(big); i++)
		assert_int_equal(f(fresh, guard_rear(&g, big[i]), big[i]),
				 ref(fresh, guard_rear(&g, big[i]), big[i]));
	/* The largest sums there are, from the largest running value. */
	memset(g.mem, 0xff, g.bytes);
	for (size_t i = 0; i < CANP_ARRAY_SIZE(big); i++)
		assert_int_equal(f(0xfff0fff0, guard_rear(&g, big[i]), big[i]),
				 ref(0xfff0fff0, guard_rear(&g, big[i]), big[i]));
	guard_close(&g);
}

static uint32_t zlib_adler(uint32_t init, const void *p, size_t n)
{
	uint32_t v = (uint32_t)adler32_z(init, p, n);

	assert_int_equal(v, naive_adler(init, p, n));
	return v;
}

static uint32_t zlib_crc(uint32_t init, const void *p, size_t n)
{
	return n ? (uint32_t)crc32_z(init, p, n) : init;
}

static void row_adler(void (*f)(void))
{
	sum_check((sum_fn *)f, zlib_adler, 1);
}

static void row_crc(void (*f)(void))
{
	assert_int_equal(naive_crc(0, (const uint8_t *)"123456789", 9), 0xcbf43926);
	assert_int_equal(((sum_fn *)f)(0, "123456789", 9), 0xcbf43926);
	sum_check((sum_fn *)f, zlib_crc, 0);
}

static void checksums_equal_zlib_at_every_length_and_alignment(void **state)
{
	(void)state;
	each_row("adler32", row_adler);
	each_row("crc32", row_crc);
}

/* ---- windows and byte order -------------------------------------------------------------------*/

typedef void window_fn(const uint8_t *, size_t, size_t, size_t, uint64_t *);
typedef void bswap_fn(const uint64_t *, size_t, uint64_t *);

static void row_window(void (*func)(void))
{
	static const struct {
		size_t stride, off;
	} shapes[] = {{16, 8},  {16, 0},  {16, 3},  {32, 8},  {32, 16}, {32, 0},
		      {48, 16}, {80, 72}, {80, 17}, {24, 16}, {8, 0}};
	struct guard in, out;

	guard_open(&in, 256 * 80);
	guard_open(&out, 256 * 8);
	fill_random(in.mem, in.bytes);
	for (size_t n = 0; n <= 256; n += n < 40 ? 1 : 27)
		for (size_t s = 0; s < CANP_ARRAY_SIZE(shapes); s++)
			for (int front = 0; front < 2; front++) {
				size_t stride = shapes[s].stride, off = shapes[s].off;
				size_t span = n ? (n - 1) * stride + 8 : 0;
				/* Only the 8 bytes of each record exist. */
				const uint8_t *first = front ? in.mem : guard_rear(&in, span);
				uint64_t *o = (uint64_t *)guard_rear(&out, canp_align_up(n, 32) *
										   sizeof(*o));

				((window_fn *)func)(first - off, stride, off, n, o);
				for (size_t i = 0; i < n; i++)
					assert_memory_equal(&o[i], first + i * stride, 8);
			}
	guard_close(&in);
	guard_close(&out);
}

static void row_bswap(void (*func)(void))
{
	struct guard in, out;

	guard_open(&in, 256 * 8);
	guard_open(&out, 256 * 8);
	for (size_t n = 0; n <= 256; n++) {
		size_t room = canp_align_up(n, 32) * 8;
		uint64_t *v = (uint64_t *)guard_rear(&in, room);
		uint64_t *o = (uint64_t *)guard_rear(&out, room);

		fill_random(v, room);
		((bswap_fn *)func)(v, n, o);
		for (size_t i = 0; i < n; i++)
			for (unsigned k = 0; k < 8; k++)
				assert_int_equal((uint8_t)(o[i] >> 8 * k),
						 (uint8_t)(v[i] >> (56 - 8 * k)));
		((bswap_fn *)func)(v, n, v);
		assert_memory_equal(v, o, n * 8);
	}
	guard_close(&in);
	guard_close(&out);
}

static void windows_read_only_their_eight_bytes(void **state)
{
	(void)state;
	each_row("window", row_window);
	each_row("bswap64", row_bswap);
}

/* ---- extraction -------------------------------------------------------------------------------*/

typedef void ex16_fn(const uint64_t *, size_t, unsigned, unsigned, uint64_t, uint16_t *,
		     struct canp_minmax *);
typedef void ex32_fn(const uint64_t *, size_t, unsigned, unsigned, uint64_t, uint32_t *,
		     struct canp_minmax *);
typedef void ex64_fn(const uint64_t *, size_t, unsigned, unsigned, uint64_t, uint64_t *,
		     struct canp_minmax *);

static struct guard ex_in, ex_out;

static void extract_one(void (*f)(void), unsigned width, size_t n, unsigned shift, unsigned len)
{
	size_t room = canp_align_up(n, 32);
	uint64_t *win = (uint64_t *)guard_rear(&ex_in, room * 8);
	uint8_t *out = guard_rear(&ex_out, room * (width / 8));
	uint64_t flip = guard_rand(&seed) & 1   ? 1ull << (len - 1)
			: guard_rand(&seed) % 5 ? 0
						: ~0ull;
	uint64_t lo = UINT64_MAX, hi = 0;
	struct canp_minmax mm = {7, 7};

	for (size_t i = 0; i < room; i++)
		win[i] = hostile(64);
	if (width == 16)
		((ex16_fn *)f)(win, n, shift, len, flip, (uint16_t *)out, &mm);
	else if (width == 32)
		((ex32_fn *)f)(win, n, shift, len, flip, (uint32_t *)out, &mm);
	else
		((ex64_fn *)f)(win, n, shift, len, flip, (uint64_t *)out, &mm);
	for (size_t i = 0; i < n; i++) {
		uint64_t want = ((win[i] >> shift & low_bits(len)) ^ flip) & low_bits(width);
		uint64_t got = 0;

		memcpy(&got, out + i * (width / 8), width / 8);
		if (got != want)
			fail_msg("width %u n %zu shift %u len %u row %zu", width, n, shift, len, i);
		lo = canp_min(lo, want);
		hi = canp_max(hi, want);
	}
	assert_true(mm.min == lo && mm.max == hi);
}

static void extract_all(void (*f)(void), unsigned width)
{
	guard_open(&ex_in, 256 * 8);
	guard_open(&ex_out, 256 * 8);
	/* Fields that stick out at the top read zeros there. */
	for (unsigned shift = 0; shift < 64; shift++)
		for (unsigned len = 1; len <= width; len++)
			extract_one(f, width, 1 + guard_rand(&seed) % 96, shift, len);
	for (size_t n = 0; n <= 256; n++)
		for (unsigned k = 0; k < 8; k++)
			extract_one(f, width, n, guard_rand(&seed) % 64,
				    1 + (unsigned)(guard_rand(&seed) % width));
	guard_close(&ex_in);
	guard_close(&ex_out);
}

static void row_extract16(void (*f)(void))
{
	extract_all(f, 16);
}

static void row_extract32(void (*f)(void))
{
	extract_all(f, 32);
}

static void row_extract64(void (*f)(void))
{
	extract_all(f, 64);
}

static void C23_C24_extraction_equals_shift_and_mask_with_exact_bounds(void **state)
{
	(void)state;
	each_row("extract16", row_extract16);
	each_row("extract32", row_extract32);
	each_row("extract64", row_extract64);
}

/* ---- masks and compression --------------------------------------------------------------------*/

typedef void range_fn(const uint64_t *, size_t, unsigned, unsigned, uint64_t, uint64_t, uint32_t *);

static void row_range(void (*f)(void))
{
	struct guard in;

	guard_open(&in, 256 * 8);
	for (unsigned t = 0; t < 6000; t++) {
		size_t n = t < 257 ? t : guard_rand(&seed) % 257;
		unsigned shift = guard_rand(&seed) % 64, len = 1 + guard_rand(&seed) % 64;
		uint64_t lo = hostile(len), hi = guard_rand(&seed) & 1 ? lo : hostile(len);
		uint64_t *win = (uint64_t *)guard_rear(&in, canp_align_up(n, 32) * 8);
		uint32_t mask[8];

		memset(mask, 0xa5, sizeof(mask));
		for (size_t i = 0; i < n; i++)
			win[i] = guard_rand(&seed) & 1 ? lo << shift : hostile(64);
		((range_fn *)f)(win, n, shift, len, lo, hi, mask);
		for (size_t i = 0; i < 256; i++) {
			uint64_t v = i < n ? win[i] >> shift & low_bits(len) : 0;

			assert_int_equal(mask[i / 32] >> (i % 32) & 1, i < n && v >= lo && v <= hi);
		}
	}
	guard_close(&in);
}

typedef size_t c16_fn(uint16_t *, size_t, const uint32_t *);
typedef size_t c32_fn(uint32_t *, size_t, const uint32_t *);
typedef size_t c64_fn(uint64_t *, size_t, const uint32_t *);

static void compress_all(void (*f)(void), unsigned bytes)
{
	struct guard g;
	uint8_t copy[256 * 8];

	guard_open(&g, 257 * 8);
	for (unsigned t = 0; t < 4000; t++) {
		size_t n = t < 257 ? t : guard_rand(&seed) % 257, kept = 0, got;
		/* Rows need no alignment beyond their own and no room behind them. */
		uint8_t *v = t & 1 ? g.mem : guard_rear(&g, n * bytes);
		uint64_t kind = guard_rand(&seed) % 4;
		uint32_t mask[8];

		for (unsigned k = 0; k < 8; k++)
			mask[k] = kind == 0 ? 0 : kind == 1 ? ~0u : (uint32_t)guard_rand(&seed);
		fill_random(v, n * bytes);
		memcpy(copy, v, n * bytes);
		if (bytes == 2)
			got = ((c16_fn *)f)((uint16_t *)v, n, mask);
		else if (bytes == 4)
			got = ((c32_fn *)f)((uint32_t *)v, n, mask);
		else
			got = ((c64_fn *)f)((uint64_t *)v, n, mask);
		for (size_t i = 0; i < n; i++)
			if (mask[i / 32] >> (i % 32) & 1) {
				assert_memory_equal(v + kept * bytes, copy + i * bytes, bytes);
				kept++;
			}
		assert_int_equal(got, kept);
	}
	guard_close(&g);
}

static void row_compress16(void (*f)(void))
{
	compress_all(f, 2);
}

static void row_compress32(void (*f)(void))
{
	compress_all(f, 4);
}

static void row_compress64(void (*f)(void))
{
	compress_all(f, 8);
}

static void masks_and_compression_keep_exactly_the_rows_in_range(void **state)
{
	(void)state;
	each_row("range_mask", row_range);
	each_row("compress16", row_compress16);
	each_row("compress32", row_compress32);
	each_row("compress64", row_compress64);
}

/* ---- bit-packing ------------------------------------------------------------------------------*/

typedef size_t p16_fn(const uint16_t *, size_t, unsigned, uint8_t *);
typedef size_t p32_fn(const uint32_t *, size_t, unsigned, uint8_t *);
typedef size_t p64_fn(const uint64_t *, size_t, unsigned, uint8_t *);

static struct guard pk_in, pk_out;

static void pack_one(void (*f)(void), unsigned width, size_t n, unsigned w)
{
	size_t room = canp_align_up(n, 32), bytes = n * w / 8, got;
	unsigned vb = width / 8;
	uint8_t *v = guard_rear(&pk_in, room * vb);
	uint8_t *out = guard_rear(&pk_out, bytes + CANP_SIMD_PAD), naive[512 * 8] = {0};

	memset(pk_out.mem, 0xa5, pk_out.bytes);
	fill_random(v, room * vb); /* rows behind n are garbage, not zeros */
	for (size_t i = 0; i < n; i++) {
		uint64_t x = hostile(w);

		memcpy(v + i * vb, &x, vb);
		for (unsigned k = 0; k < w; k++)
			naive[(i * w + k) / 8] |= (uint8_t)((x >> k & 1) << ((i * w + k) % 8));
	}
	if (width == 16)
		got = ((p16_fn *)f)((uint16_t *)v, n, w, out);
	else if (width == 32)
		got = ((p32_fn *)f)((uint32_t *)v, n, w, out);
	else
		got = ((p64_fn *)f)((uint64_t *)v, n, w, out);
	assert_int_equal(got, bytes);
	if (memcmp(out, naive, bytes) != 0)
		fail_msg("width %u n %zu w %u", width, n, w);
	for (const uint8_t *p = pk_out.mem; p < out; p++)
		assert_int_equal(*p, 0xa5);
}

static void pack_all(void (*f)(void), unsigned width)
{
	guard_open(&pk_in, 512 * 8);
	guard_open(&pk_out, 512 * 8 + CANP_SIMD_PAD);
	for (unsigned w = 0; w <= width; w++) {
		for (size_t n = 0; n <= 304; n += 8)
			pack_one(f, width, n, w);
		pack_one(f, width, 512, w);
	}
	guard_close(&pk_in);
	guard_close(&pk_out);
}

static void row_pack16(void (*f)(void))
{
	pack_all(f, 16);
}

static void row_pack32(void (*f)(void))
{
	pack_all(f, 32);
}

static void row_pack64(void (*f)(void))
{
	pack_all(f, 64);
}

static void C24_packing_equals_bit_by_bit_at_every_width(void **state)
{
	(void)state;
	each_row("pack16", row_pack16);
	each_row("pack32", row_pack32);
	each_row("pack64", row_pack64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_equal_zlib_at_every_length_and_alignment),
		cmocka_unit_test(windows_read_only_their_eight_bytes),
		cmocka_unit_test(C23_C24_extraction_equals_shift_and_mask_with_exact_bounds),
		cmocka_unit_test(masks_and_compression_keep_exactly_the_rows_in_range),
		cmocka_unit_test(C24_packing_equals_bit_by_bit_at_every_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
