/*
 * extract_avx2.c - windows, byte order, extraction, masks, compression and what a column is like,
 * 256 bits at a time.
 *
 * There are no rotates, no byte permutes across lanes and no compression here, so the ways differ
 * from the 512-bit ones: extraction shifts and masks first and then narrows with saturating packs,
 * which cannot saturate any more, and one permute per result undoes the interleaving of the lanes.
 * Unsigned comparisons of 64 bits are signed ones of values whose top bit is flipped. Compression
 * takes its permutation from a table of sixteen (the instructions that would compute it are
 * microcoded on Zen 1 and 2).
 *
 * Inputs are read in whole steps: the contract gives columns room for a multiple of 32 rows.
 * Records and compressed columns have no such room; their last rows go one by one.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <immintrin.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/kernels.h"

/* Quarters 0, 2, 1, 3: what packing two registers lane by lane leaves to be done. */
#define UNLACE 0xd8

static inline __m256i load256(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

static inline void store256(void *p, __m256i v)
{
	_mm256_storeu_si256((__m256i *)p, v);
}

/* Reads 8 bytes behind the fourth window, so a fifth must follow. */
static size_t window16(const uint8_t *rec, size_t n, uint64_t *out)
{
	size_t i = 0;

	for (; i + 4 < n; i += 4, rec += 64) {
		__m256i x = _mm256_unpacklo_epi64(load256(rec), load256(rec + 32));

		store256(out + i, _mm256_permute4x64_epi64(x, UNLACE));
	}
	return i;
}

static size_t window_pairs(const uint8_t *rec, size_t stride, size_t n, uint64_t *out)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4, rec += 4 * stride) {
		__m128i a = _mm_loadl_epi64((const __m128i *)rec);
		__m128i b = _mm_loadl_epi64((const __m128i *)(rec + stride));
		__m128i c = _mm_loadl_epi64((const __m128i *)(rec + 2 * stride));
		__m128i d = _mm_loadl_epi64((const __m128i *)(rec + 3 * stride));

		store256(out + i,
			 _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b)));
	}
	return i;
}

void canp_window_avx2(const uint8_t *rec, size_t stride, size_t off, size_t n, uint64_t *out)
{
	size_t i;

	rec += off;
	i = stride == 16 ? window16(rec, n, out) : window_pairs(rec, stride, n, out);
	for (; i < n; i++)
		out[i] = canp_le64(rec + i * stride);
}

void canp_bswap64_avx2(const uint64_t *in, size_t n, uint64_t *out)
{
	const __m256i swap = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));

	for (size_t i = 0; i < n; i += 4)
		store256(out + i, _mm256_shuffle_epi8(load256(in + i), swap));
}

static inline uint64_t low_mask(unsigned len)
{
	return ~0ull >> (64 - len);
}

/* All ones in the first n of the 32 bytes. */
static inline __m256i head_bytes(size_t n)
{
	static const uint64_t ones[8] = {~0ull, ~0ull, ~0ull, ~0ull};

	return load256((const uint8_t *)ones + 32 - n);
}

static inline __m256i extract_field(const uint64_t *win, __m128i by, __m256i mask)
{
	return _mm256_and_si256(_mm256_srl_epi64(load256(win), by), mask);
}

static inline __m256i extract_step16(const uint64_t *win, __m128i by, __m256i mask, __m256i flip)
{
	/* Pairs of rows: which step of four, then which half of it. */
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i ab =
		_mm256_packus_epi32(extract_field(win, by, mask), extract_field(win + 4, by, mask));
	__m256i cd = _mm256_packus_epi32(extract_field(win + 8, by, mask),
					 extract_field(win + 12, by, mask));
	__m256i x = _mm256_permutevar8x32_epi32(_mm256_packus_epi32(ab, cd), order);

	return _mm256_xor_si256(x, flip);
}

static void extract_bounds16(__m256i lo, __m256i hi, struct canp_minmax *mm)
{
	__m128i l = _mm_min_epu16(_mm256_castsi256_si128(lo), _mm256_extracti128_si256(lo, 1));
	__m128i h = _mm_max_epu16(_mm256_castsi256_si128(hi), _mm256_extracti128_si256(hi, 1));

	/* Only the horizontal minimum exists; the maximum is the minimum of the complements. */
	h = _mm_xor_si128(h, _mm_set1_epi32(-1));
	mm->min = (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(l));
	mm->max = (uint16_t)~_mm_cvtsi128_si32(_mm_minpos_epu16(h));
}

void canp_extract16_avx2(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t flip,
			 uint16_t *out, struct canp_minmax *mm)
{
	const __m256i mask = _mm256_set1_epi64x((long long)low_mask(len));
	const __m256i flips = _mm256_set1_epi16((short)flip);
	const __m128i by = _mm_cvtsi32_si128((int)shift);
	__m256i lo = _mm256_set1_epi32(-1), hi = _mm256_setzero_si256(), v, m;
	size_t i = 0;

	if (n == 0) {
		*mm = (struct canp_minmax){.min = UINT64_MAX};
		return;
	}
	for (; i + 16 <= n; i += 16) {
		v = extract_step16(win + i, by, mask, flips);
		lo = _mm256_min_epu16(lo, v);
		hi = _mm256_max_epu16(hi, v);
		store256(out + i, v);
	}
	if (i < n) {
		m = head_bytes((n - i) * sizeof(*out));
		v = extract_step16(win + i, by, mask, flips);
		lo = _mm256_min_epu16(lo, _mm256_or_si256(v, ~m));
		hi = _mm256_max_epu16(hi, _mm256_and_si256(v, m));
		store256(out + i, v);
	}
	extract_bounds16(lo, hi, mm);
}

static inline __m256i extract_step32(const uint64_t *win, __m128i by, __m256i mask, __m256i flip)
{
	__m256 a = _mm256_castsi256_ps(_mm256_srl_epi64(load256(win), by));
	__m256 b = _mm256_castsi256_ps(_mm256_srl_epi64(load256(win + 4), by));
	__m256i x = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));

	x = _mm256_permute4x64_epi64(x, UNLACE);
	return _mm256_xor_si256(_mm256_and_si256(x, mask), flip);
}

void canp_extract32_avx2(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t flip,
			 uint32_t *out, struct canp_minmax *mm)
{
	const __m256i mask = _mm256_set1_epi32((int)low_mask(len));
	const __m256i flips = _mm256_set1_epi32((int)flip);
	const __m128i by = _mm_cvtsi32_si128((int)shift);
	__m256i lo = _mm256_set1_epi32(-1), hi = _mm256_setzero_si256(), v, m;
	uint32_t low[8], high[8];
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		v = extract_step32(win + i, by, mask, flips);
		lo = _mm256_min_epu32(lo, v);
		hi = _mm256_max_epu32(hi, v);
		store256(out + i, v);
	}
	if (i < n) {
		m = head_bytes((n - i) * sizeof(*out));
		v = extract_step32(win + i, by, mask, flips);
		lo = _mm256_min_epu32(lo, _mm256_or_si256(v, ~m));
		hi = _mm256_max_epu32(hi, _mm256_and_si256(v, m));
		store256(out + i, v);
	}
	store256(low, lo);
	store256(high, hi);
	for (i = 1; i < 8; i++) {
		low[0] = canp_min(low[0], low[i]);
		high[0] = canp_max(high[0], high[i]);
	}
	mm->min = n ? low[0] : UINT64_MAX;
	mm->max = high[0];
}

/* Bounds of four columns of a value each, with the top bit flipped: signed comparisons order them.
 */
struct bounds64 {
	__m256i lo, hi;
};

static inline void bounds64_add(struct bounds64 *b, __m256i v, __m256i valid)
{
	__m256i below = _mm256_cmpgt_epi64(b->lo, v), above = _mm256_cmpgt_epi64(v, b->hi);

	b->lo = _mm256_blendv_epi8(b->lo, v, _mm256_and_si256(below, valid));
	b->hi = _mm256_blendv_epi8(b->hi, v, _mm256_and_si256(above, valid));
}

static void bounds64_get(const struct bounds64 b[2], struct canp_minmax *mm)
{
	const uint64_t top = 1ull << 63;
	uint64_t low[8], high[8];

	store256(low, b[0].lo);
	store256(low + 4, b[1].lo);
	store256(high, b[0].hi);
	store256(high + 4, b[1].hi);
	*mm = (struct canp_minmax){low[0] ^ top, high[0] ^ top};
	for (unsigned i = 1; i < 8; i++) {
		mm->min = canp_min(mm->min, low[i] ^ top);
		mm->max = canp_max(mm->max, high[i] ^ top);
	}
}

/* Two sets of bounds take turns: a comparison waits for the one before it. */
void canp_extract64_avx2(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t flip,
			 uint64_t *out, struct canp_minmax *mm)
{
	const __m256i mask = _mm256_set1_epi64x((long long)low_mask(len));
	const __m256i flips = _mm256_set1_epi64x((long long)flip);
	const __m256i top = _mm256_set1_epi64x(INT64_MIN), all = _mm256_set1_epi64x(-1);
	const __m128i by = _mm_cvtsi32_si128((int)shift);
	struct bounds64 b[2];
	size_t i = 0;

	b[0].lo = b[1].lo = _mm256_set1_epi64x(INT64_MAX);
	b[0].hi = b[1].hi = top;
	for (; i + 8 <= n; i += 8)
#pragma GCC unroll 2
		for (unsigned k = 0; k < 2; k++) {
			__m256i v = extract_field(win + i + 4 * k, by, mask);

			v = _mm256_xor_si256(v, flips);
			store256(out + i + 4 * k, v);
			bounds64_add(&b[k], _mm256_xor_si256(v, top), all);
		}
	for (; i < n; i += 4) {
		__m256i v = extract_field(win + i, by, mask);
		__m256i valid = head_bytes(canp_min(n - i, (size_t)4) * sizeof(*out));

		v = _mm256_xor_si256(v, flips);
		store256(out + i, v);
		bounds64_add(&b[0], _mm256_xor_si256(v, top), valid);
	}
	bounds64_get(b, mm);
}

/* v - lo <= hi - lo is both comparisons in one. */
void canp_range_mask_avx2(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t lo,
			  uint64_t hi, uint32_t mask[8])
{
	const uint64_t top = 1ull << 63;
	const __m256i field = _mm256_set1_epi64x((long long)low_mask(len));
	const __m256i base = _mm256_set1_epi64x((long long)(lo + top));
	const __m256i span = _mm256_set1_epi64x((long long)((hi - lo) ^ top));
	const __m128i by = _mm_cvtsi32_si128((int)shift);

	memset(mask, 0, 8 * sizeof(mask[0]));
	if (lo > hi)
		return;
	for (size_t i = 0; i < n; i += 4) {
		__m256i v = _mm256_sub_epi64(extract_field(win + i, by, field), base);
		int out = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(v, span)));
		uint32_t in = ~(uint32_t)out & (n - i >= 4 ? 15u : 15u >> (4 - (n - i)));

		mask[i / 32] |= in << (i % 32);
	}
}

/* Positions of the set bits of four, lowest first, one a byte. */
static const uint32_t bits_of4[16] = {
	0,    0x00,   0x01,   0x0100,   0x02,   0x0200,   0x0201,   0x020100,
	0x03, 0x0300, 0x0301, 0x030100, 0x0302, 0x030200, 0x030201, 0x03020100,
};

/* The same of eight: those of the upper four follow those of the lower four. */
static inline __m128i bits_of8(uint32_t m, unsigned *count)
{
	unsigned low = (unsigned)__builtin_popcount(m & 15);

	*count = (unsigned)__builtin_popcount(m);
	return _mm_cvtsi64_si128(
		(long long)(bits_of4[m & 15] | (bits_of4[m >> 4] + 0x04040404ull) << (8 * low)));
}

/* Whole steps may store whole registers: what lies behind the kept rows, up to the end of the step,
 * has been read already. */
#define COMPRESS_REST(kept, v, i, n, mask)                                                         \
	for (; (i) < (n); (i)++) {                                                                 \
		(v)[kept] = (v)[i];                                                                \
		(kept) += (mask)[(i) / 32] >> ((i) % 32) & 1;                                      \
	}

size_t canp_compress16_avx2(uint16_t *v, size_t n, const uint32_t mask[8])
{
	size_t kept = 0, i = 0;
	unsigned bits;

	for (; i + 8 <= n; i += 8) {
		__m128i x = _mm_loadu_si128((const __m128i *)(v + i));
		__m128i at = bits_of8(mask[i / 32] >> (i % 32) & 0xff, &bits);

		/* Row k is bytes 2k and 2k + 1. */
		at = _mm_add_epi8(at, at);
		at = _mm_add_epi8(_mm_unpacklo_epi8(at, at), _mm_set1_epi16(0x100));
		_mm_storeu_si128((__m128i *)(v + kept), _mm_shuffle_epi8(x, at));
		kept += bits;
	}
	COMPRESS_REST(kept, v, i, n, mask);
	return kept;
}

size_t canp_compress32_avx2(uint32_t *v, size_t n, const uint32_t mask[8])
{
	size_t kept = 0, i = 0;
	unsigned bits;

	for (; i + 8 <= n; i += 8) {
		__m128i at = bits_of8(mask[i / 32] >> (i % 32) & 0xff, &bits);
		__m256i x = load256(v + i);

		x = _mm256_permutevar8x32_epi32(x, _mm256_cvtepu8_epi32(at));
		store256(v + kept, x);
		kept += bits;
	}
	COMPRESS_REST(kept, v, i, n, mask);
	return kept;
}

size_t canp_compress64_avx2(uint64_t *v, size_t n, const uint32_t mask[8])
{
	size_t kept = 0, i = 0;

	for (; i + 4 <= n; i += 4) {
		uint32_t m = mask[i / 32] >> (i % 32) & 15;
		__m256i at = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128((int)bits_of4[m]));
		__m256i x = load256(v + i);

		/* Row k is words 2k and 2k + 1. */
		at = _mm256_add_epi32(at, at);
		at = _mm256_or_si256(at, _mm256_slli_epi64(at, 32));
		at = _mm256_or_si256(at, _mm256_set1_epi64x(1ll << 32));
		store256(v + kept, _mm256_permutevar8x32_epi32(x, at));
		kept += (unsigned)__builtin_popcount(m);
	}
	COMPRESS_REST(kept, v, i, n, mask);
	return kept;
}

uint64_t canp_varying_avx2(const uint64_t *v, size_t n)
{
	__m256i a = _mm256_setzero_si256(), b = a, first;
	uint64_t lane[4], any = 0;
	size_t i = 0;

	if (n == 0)
		return 0;
	first = _mm256_set1_epi64x((long long)v[0]);
	for (; i + 8 <= n; i += 8) {
		a = _mm256_or_si256(a, _mm256_xor_si256(load256(v + i), first));
		b = _mm256_or_si256(b, _mm256_xor_si256(load256(v + i + 4), first));
	}
	for (; i < n; i++)
		any |= v[i] ^ v[0];
	store256(lane, _mm256_or_si256(a, b));
	return any | lane[0] | lane[1] | lane[2] | lane[3];
}

/* The last step overlaps the one before it: seeing a value twice changes no bound. */
void canp_bounds16_avx2(const uint16_t *v, size_t n, struct canp_minmax *mm)
{
	__m256i lo = _mm256_set1_epi32(-1), hi = _mm256_setzero_si256(), x;

	if (n < 16) {
		canp_bounds16_scalar(v, n, mm);
		return;
	}
	for (size_t i = 0; i + 16 <= n; i += 16) {
		x = load256(v + i);
		lo = _mm256_min_epu16(lo, x);
		hi = _mm256_max_epu16(hi, x);
	}
	x = load256(v + n - 16);
	extract_bounds16(_mm256_min_epu16(lo, x), _mm256_max_epu16(hi, x), mm);
}
#endif
