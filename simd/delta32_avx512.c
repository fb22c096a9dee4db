/*
 * delta32_avx512.c - DELTA_BINARY_PACKED blocks of 32-bit values: a block of 128 differences stays
 * in eight registers from the subtraction to the last-but-one step, and the packing kernel takes
 * its miniblocks from the stack. Lanes behind the last difference are masked to zero, which is what
 * the format wants there.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>

#include "core/base/units.h"
#include "simd/delta.h"
#include "simd/kernels.h"

static inline __mmask16 delta32_lanes(size_t n, size_t at)
{
	size_t left = n > at ? canp_min(n - at, (size_t)16) : 0;

	return (__mmask16)((1u << left) - 1);
}

static size_t delta32_block(const uint32_t *v, size_t n, uint8_t *out)
{
	uint32_t d[128] CANP_ALIGNED(64);
	__m512i x[8], min = _mm512_set1_epi32(INT32_MAX);
	uint8_t *width;
	size_t len;

	for (size_t k = 0; k < 8; k++) {
		__mmask16 m = delta32_lanes(n, k * 16);
		__m512i from = _mm512_maskz_loadu_epi32(m, v + k * 16);

		x[k] = _mm512_maskz_sub_epi32(m, _mm512_maskz_loadu_epi32(m, v + k * 16 + 1), from);
		min = _mm512_mask_min_epi32(min, m, min, x[k]);
	}
	len = canp_delta_zigzag(out, _mm512_reduce_min_epi32(min));
	min = _mm512_set1_epi32(_mm512_reduce_min_epi32(min));
	width = out + len;
	len += 4;
	for (size_t k = 0; k < 8; k++) {
		x[k] = _mm512_maskz_sub_epi32(delta32_lanes(n, k * 16), x[k], min);
		_mm512_store_si512(d + k * 16, x[k]);
	}
	for (size_t m = 0; m < 4; m++) {
		__m512i any = _mm512_or_si512(x[m * 2], x[m * 2 + 1]);
		uint32_t bits = (uint32_t)_mm512_reduce_or_epi32(any);

		width[m] = bits ? (uint8_t)(32 - __builtin_clz(bits)) : 0;
		len += canp_pack32_avx512(d + m * 32, 32, width[m], out + len);
	}
	return len;
}

size_t canp_delta32_avx512(const uint32_t *v, size_t n, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i += 128)
		len += delta32_block(v + i, canp_min(n - i, (size_t)128), out + len);
	return len;
}
#endif
