/*
 * delta32_avx2.c - DELTA_BINARY_PACKED blocks of 32-bit values, 256 bits at a time: the differences
 * and the least of them in one pass, their distances and the bits these need in a second one, and
 * the packing kernel takes the miniblocks from the stack. In a last block that is not full the
 * missing differences count as the least one: a distance of zero, as the format wants.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <immintrin.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/delta.h"
#include "simd/kernels.h"

static inline __m256i load256(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

static inline __m256i min_of(const uint32_t *d)
{
	__m256i a = load256(d), b = load256(d + 8);

	for (unsigned i = 16; i < 128; i += 16) {
		a = _mm256_min_epi32(a, load256(d + i));
		b = _mm256_min_epi32(b, load256(d + i + 8));
	}
	return _mm256_min_epi32(a, b);
}

static inline int32_t lanes_min(__m256i v)
{
	__m128i x = _mm_min_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	x = _mm_min_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	return _mm_cvtsi128_si32(_mm_min_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

static inline uint32_t lanes_or(__m256i v)
{
	__m128i x = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	x = _mm_or_si128(x, _mm_shuffle_epi32(x, 0x4e));
	return (uint32_t)_mm_cvtsi128_si32(_mm_or_si128(x, _mm_shuffle_epi32(x, 0xb1)));
}

static void delta32_diffs(const uint32_t *v, size_t n, uint32_t *d)
{
	int32_t min = INT32_MAX;

	if (canp_likely(n == 128)) {
		for (size_t i = 0; i < 128; i += 8)
			_mm256_store_si256((__m256i *)(d + i),
					   _mm256_sub_epi32(load256(v + i + 1), load256(v + i)));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		d[i] = v[i + 1] - v[i];
		min = canp_min(min, (int32_t)d[i]);
	}
	for (size_t i = n; i < 128; i++)
		d[i] = (uint32_t)min;
}

static size_t delta32_block(const uint32_t *v, size_t n, uint8_t *out)
{
	uint32_t d[128] CANP_ALIGNED(32);
	uint8_t *width, *to;
	int32_t min;
	__m256i low;

	delta32_diffs(v, n, d);
	min = lanes_min(min_of(d));
	low = _mm256_set1_epi32(min);
	width = out + canp_delta_zigzag(out, min);
	to = width + 4;
	for (size_t m = 0; m < 128; m += 32) {
		__m256i any = _mm256_setzero_si256();
		unsigned w;

		for (size_t i = m; i < m + 32; i += 8) {
			__m256i x = _mm256_sub_epi32(load256(d + i), low);

			any = _mm256_or_si256(any, x);
			_mm256_store_si256((__m256i *)(d + i), x);
		}
		w = 32 - _lzcnt_u32(lanes_or(any));
		*width++ = (uint8_t)w;
		to += canp_pack32_avx2(d + m, 32, w, to);
	}
	return (size_t)(to - out);
}

size_t canp_delta32_avx2(const uint32_t *v, size_t n, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i += 128)
		len += delta32_block(v + i, canp_min(n - i, (size_t)128), out + len);
	return len;
}
#endif
