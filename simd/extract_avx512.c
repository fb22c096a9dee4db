/*
 * extract_avx512.c - windows, byte order, extraction, masks and compression, 512 bits at a time.
 *
 * Extraction to u16 rotates each of four windows so that the wanted field lands in another quarter
 * of the lane, merges the four registers with bit selects, masks and flips all 32 values at once
 * and restores the row order with one byte permute: 11 port-0/5 operations per 32 values. u32 does
 * the same with halves. Bounds ride along; only the last step pays for a partial one.
 *
 * Inputs are read in whole 64-byte steps: the contract gives columns room for a multiple of 32
 * rows. Records and compressed columns have no such room and use masked accesses, whose disabled
 * lanes cannot fault.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>
#include <string.h>

#include "core/base/bytes.h"
#include "simd/kernels.h"

/* c ? a : b for every bit. */
#define SELECT(c, a, b) _mm512_ternarylogic_epi64(c, a, b, 0xca)
/* (x & m) ^ f */
#define AND_XOR(x, m, f) _mm512_ternarylogic_epi64(x, m, f, 0x6a)

/* 64 / stride records lie in each 64-byte step; one permute per pair joins them. */
static size_t window16(const uint8_t *rec, size_t n, uint64_t *out)
{
	const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
	size_t i = 0;

	for (; i + 8 <= n; i += 8, rec += 128) {
		__m512i a = _mm512_maskz_loadu_epi64(0x55, rec);
		__m512i b = _mm512_maskz_loadu_epi64(0x55, rec + 64);

		_mm512_store_si512(out + i, _mm512_permutex2var_epi64(a, even, b));
	}
	return i;
}

/* Masked loads that step over more than one gap lose against loads of what is wanted. */
static size_t window_pairs(const uint8_t *rec, size_t stride, size_t n, uint64_t *out)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4, rec += 4 * stride) {
		__m128i a = _mm_loadl_epi64((const __m128i *)rec);
		__m128i b = _mm_loadl_epi64((const __m128i *)(rec + stride));
		__m128i c = _mm_loadl_epi64((const __m128i *)(rec + 2 * stride));
		__m128i d = _mm_loadl_epi64((const __m128i *)(rec + 3 * stride));

		_mm_store_si128((__m128i *)(out + i), _mm_unpacklo_epi64(a, b));
		_mm_store_si128((__m128i *)(out + i + 2), _mm_unpacklo_epi64(c, d));
	}
	return i;
}

void canp_window_avx512(const uint8_t *rec, size_t stride, size_t off, size_t n, uint64_t *out)
{
	size_t i;

	rec += off;
	i = stride == 16 ? window16(rec, n, out) : window_pairs(rec, stride, n, out);
	for (; i < n; i++)
		out[i] = canp_le64(rec + i * stride);
}

void canp_bswap64_avx512(const uint64_t *in, size_t n, uint64_t *out)
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));

	for (size_t i = 0; i < n; i += 8)
		_mm512_store_si512(out + i, _mm512_shuffle_epi8(_mm512_load_si512(in + i), swap));
}

/* Bits of the field that the shift leaves: rotating would bring others back in at the top. */
static inline uint64_t extract_mask(unsigned shift, unsigned len)
{
	return (~0ull >> (64 - len)) & (~0ull >> shift);
}

/* Word j of row block k (k = 0..3) stands in quarter k of lane j; this byte order puts it right. */
static inline __m512i extract_order16(void)
{
	const __m512i lanes = _mm512_setr_epi64(
		0x1918111009080100, 0x3938313029282120, 0x1b1a13120b0a0302, 0x3b3a33322b2a2322,
		0x1d1c15140d0c0504, 0x3d3c35342d2c2524, 0x1f1e17160f0e0706, 0x3f3e37362f2e2726);

	return lanes;
}

static inline __m512i extract_step16(const uint64_t *win, const __m512i rot[4], __m512i mask,
				     __m512i flip)
{
	const __m512i words02 = _mm512_set1_epi32(0xffff), lo32 = _mm512_set1_epi64(0xffffffff);
	__m512i a = _mm512_rorv_epi64(_mm512_load_si512(win), rot[0]);
	__m512i b = _mm512_rorv_epi64(_mm512_load_si512(win + 8), rot[1]);
	__m512i c = _mm512_rorv_epi64(_mm512_load_si512(win + 16), rot[2]);
	__m512i d = _mm512_rorv_epi64(_mm512_load_si512(win + 24), rot[3]);
	__m512i x = SELECT(lo32, SELECT(words02, a, b), SELECT(words02, c, d));

	return _mm512_permutexvar_epi8(extract_order16(), AND_XOR(x, mask, flip));
}

static void extract_bounds16(__m512i lo, __m512i hi, struct canp_minmax *mm)
{
	__m256i l = _mm256_min_epu16(_mm512_castsi512_si256(lo), _mm512_extracti64x4_epi64(lo, 1));
	__m256i h = _mm256_max_epu16(_mm512_castsi512_si256(hi), _mm512_extracti64x4_epi64(hi, 1));
	__m128i l8 = _mm_min_epu16(_mm256_castsi256_si128(l), _mm256_extracti128_si256(l, 1));
	__m128i h8 = _mm_max_epu16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));

	/* There is a horizontal minimum of eight words; the maximum is the minimum of the others.
	 */
	h8 = _mm_xor_si128(h8, _mm_set1_epi32(-1));
	mm->min = (uint16_t)_mm_cvtsi128_si32(_mm_minpos_epu16(l8));
	mm->max = (uint16_t)~_mm_cvtsi128_si32(_mm_minpos_epu16(h8));
}

void canp_extract16_avx512(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			   uint64_t flip, uint16_t *out, struct canp_minmax *mm)
{
	const __m512i mask = _mm512_set1_epi16((short)extract_mask(shift, len));
	const __m512i flips = _mm512_set1_epi16((short)flip);
	__m512i lo = _mm512_set1_epi64(-1), hi = _mm512_setzero_si512(), rot[4], v;
	size_t i = 0;

	if (n == 0) {
		*mm = (struct canp_minmax){.min = UINT64_MAX};
		return;
	}
	for (unsigned k = 0; k < 4; k++)
		rot[k] = _mm512_set1_epi64((shift - 16 * k) & 63);
	for (; i + 32 <= n; i += 32) {
		v = extract_step16(win + i, rot, mask, flips);
		lo = _mm512_min_epu16(lo, v);
		hi = _mm512_max_epu16(hi, v);
		_mm512_store_si512(out + i, v);
	}
	if (i < n) {
		__mmask32 m = (__mmask32)~0u >> (32 - (n - i));

		v = extract_step16(win + i, rot, mask, flips);
		lo = _mm512_mask_min_epu16(lo, m, lo, v);
		hi = _mm512_mask_max_epu16(hi, m, hi, v);
		_mm512_store_si512(out + i, v);
	}
	extract_bounds16(lo, hi, mm);
}

static inline __m512i extract_step32(const uint64_t *win, const __m512i rot[2], __m512i mask,
				     __m512i flip)
{
	const __m512i order =
		_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
	const __m512i lo32 = _mm512_set1_epi64(0xffffffff);
	__m512i a = _mm512_rorv_epi64(_mm512_load_si512(win), rot[0]);
	__m512i b = _mm512_rorv_epi64(_mm512_load_si512(win + 8), rot[1]);

	return _mm512_permutexvar_epi32(order, AND_XOR(SELECT(lo32, a, b), mask, flip));
}

void canp_extract32_avx512(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			   uint64_t flip, uint32_t *out, struct canp_minmax *mm)
{
	const __m512i mask = _mm512_set1_epi32((int)extract_mask(shift, len));
	const __m512i flips = _mm512_set1_epi32((int)flip);
	const __m512i rot[2] = {_mm512_set1_epi64(shift & 63),
				_mm512_set1_epi64((shift + 32) & 63)};
	__m512i lo = _mm512_set1_epi64(-1), hi = _mm512_setzero_si512(), v;
	size_t i = 0;

	if (n == 0) {
		*mm = (struct canp_minmax){.min = UINT64_MAX};
		return;
	}
	for (; i + 16 <= n; i += 16) {
		v = extract_step32(win + i, rot, mask, flips);
		lo = _mm512_min_epu32(lo, v);
		hi = _mm512_max_epu32(hi, v);
		_mm512_store_si512(out + i, v);
	}
	if (i < n) {
		__mmask16 m = (__mmask16)(0xffffu >> (16 - (n - i)));

		v = extract_step32(win + i, rot, mask, flips);
		lo = _mm512_mask_min_epu32(lo, m, lo, v);
		hi = _mm512_mask_max_epu32(hi, m, hi, v);
		_mm512_store_si512(out + i, v);
	}
	mm->min = _mm512_reduce_min_epu32(lo);
	mm->max = _mm512_reduce_max_epu32(hi);
}

void canp_extract64_avx512(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			   uint64_t flip, uint64_t *out, struct canp_minmax *mm)
{
	const __m512i mask = _mm512_set1_epi64((long long)extract_mask(shift, len));
	const __m512i flips = _mm512_set1_epi64((long long)flip);
	const __m128i by = _mm_cvtsi32_si128((int)shift);
	__m512i lo = _mm512_set1_epi64(-1), hi = _mm512_setzero_si512();

	for (size_t i = 0; i < n; i += 8) {
		__m512i v = _mm512_srl_epi64(_mm512_load_si512(win + i), by);
		__mmask8 m = (__mmask8)(n - i >= 8 ? 0xffu : 0xffu >> (8 - (n - i)));

		v = AND_XOR(v, mask, flips);
		lo = _mm512_mask_min_epu64(lo, m, lo, v);
		hi = _mm512_mask_max_epu64(hi, m, hi, v);
		_mm512_store_si512(out + i, v);
	}
	mm->min = _mm512_reduce_min_epu64(lo);
	mm->max = _mm512_reduce_max_epu64(hi);
}

uint64_t canp_varying_avx512(const uint64_t *v, size_t n)
{
	__m512i a = _mm512_setzero_si512(), b = a, first;
	size_t i = 0;

	if (n == 0)
		return 0;
	first = _mm512_set1_epi64((long long)v[0]);
	/* a | (x ^ first) */
	for (; i + 16 <= n; i += 16) {
		a = _mm512_ternarylogic_epi64(a, _mm512_load_si512(v + i), first, 0xf6);
		b = _mm512_ternarylogic_epi64(b, _mm512_load_si512(v + i + 8), first, 0xf6);
	}
	for (; i < n; i += 8) {
		__mmask8 m = (__mmask8)(n - i >= 8 ? 0xffu : 0xffu >> (8 - (n - i)));

		b = _mm512_ternarylogic_epi64(b, _mm512_mask_loadu_epi64(first, m, v + i), first,
					      0xf6);
	}
	return (uint64_t)_mm512_reduce_or_epi64(_mm512_or_si512(a, b));
}

void canp_range_mask_avx512(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			    uint64_t lo, uint64_t hi, uint32_t mask[8])
{
	const __m512i field = _mm512_set1_epi64((long long)extract_mask(shift, len));
	const __m512i vlo = _mm512_set1_epi64((long long)lo),
		      vhi = _mm512_set1_epi64((long long)hi);
	const __m128i by = _mm_cvtsi32_si128((int)shift);
	uint8_t bytes[32] = {0};

	for (size_t i = 0; i < n; i += 8) {
		__m512i v =
			_mm512_and_si512(_mm512_srl_epi64(_mm512_load_si512(win + i), by), field);
		__mmask8 m = (__mmask8)(n - i >= 8 ? 0xffu : 0xffu >> (8 - (n - i)));

		m = _mm512_mask_cmpge_epu64_mask(m, v, vlo);
		bytes[i / 8] = _mm512_mask_cmple_epu64_mask(m, v, vhi);
	}
	memcpy(mask, bytes, sizeof(bytes));
}

/* Whole steps may store a whole register: what lies behind the kept rows, up to the end of the
 * step, has been read already. The compressing store instruction is avoided because it is
 * microcoded on some processors. */
size_t canp_compress16_avx512(uint16_t *v, size_t n, const uint32_t mask[8])
{
	size_t kept = 0, i = 0;

	for (; i + 32 <= n; i += 32) {
		__mmask32 m = mask[i / 32];
		__m512i x = _mm512_maskz_compress_epi16(m, _mm512_loadu_si512(v + i));

		_mm512_storeu_si512(v + kept, x);
		kept += (unsigned)__builtin_popcount(m);
	}
	if (i < n) {
		__mmask32 m = mask[i / 32] & ~0u >> (32 - (n - i));
		unsigned bits = (unsigned)__builtin_popcount(m);
		__m512i x = _mm512_maskz_compress_epi16(m, _mm512_maskz_loadu_epi16(m, v + i));

		_mm512_mask_storeu_epi16(v + kept, (__mmask32)((1ull << bits) - 1), x);
		kept += bits;
	}
	return kept;
}

size_t canp_compress32_avx512(uint32_t *v, size_t n, const uint32_t mask[8])
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i += 16) {
		uint32_t valid = n - i >= 16 ? 0xffff : 0xffffu >> (16 - (n - i));
		__mmask16 m = (__mmask16)(mask[i / 32] >> (i % 32) & valid);
		unsigned bits = (unsigned)__builtin_popcount(m);
		__m512i x = _mm512_maskz_compress_epi32(m, _mm512_maskz_loadu_epi32(m, v + i));

		_mm512_mask_storeu_epi32(v + kept, (__mmask16)((1u << bits) - 1), x);
		kept += bits;
	}
	return kept;
}

size_t canp_compress64_avx512(uint64_t *v, size_t n, const uint32_t mask[8])
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i += 8) {
		uint32_t valid = n - i >= 8 ? 0xff : 0xffu >> (8 - (n - i));
		__mmask8 m = (__mmask8)(mask[i / 32] >> (i % 32) & valid);
		unsigned bits = (unsigned)__builtin_popcount(m);
		__m512i x = _mm512_maskz_compress_epi64(m, _mm512_maskz_loadu_epi64(m, v + i));

		_mm512_mask_storeu_epi64(v + kept, (__mmask8)((1u << bits) - 1), x);
		kept += bits;
	}
	return kept;
}

void canp_bounds16_avx512(const uint16_t *v, size_t n, struct canp_minmax *mm)
{
	__m512i lo = _mm512_set1_epi64(-1), hi = _mm512_setzero_si512(), x;
	size_t i = 0;

	if (n == 0) {
		*mm = (struct canp_minmax){.min = UINT64_MAX};
		return;
	}
	for (; i + 32 <= n; i += 32) {
		x = _mm512_loadu_si512(v + i);
		lo = _mm512_min_epu16(lo, x);
		hi = _mm512_max_epu16(hi, x);
	}
	if (i < n) {
		__mmask32 m = (__mmask32)~0u >> (32 - (n - i));

		lo = _mm512_min_epu16(lo, _mm512_mask_loadu_epi16(lo, m, v + i));
		hi = _mm512_max_epu16(hi, _mm512_maskz_loadu_epi16(m, v + i));
	}
	extract_bounds16(lo, hi, mm);
}
#endif
