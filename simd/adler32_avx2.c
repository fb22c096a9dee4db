/*
 * adler32_avx2.c - Adler-32, 64 bytes a step.
 *
 * Over a step of 64 bytes d0..d63, a grows by sum(di) and b by 64*a + sum((64-i)*di). The a before
 * each step is not known per lane, so `prefix` adds up the byte sums as they were before each step
 * and is multiplied by 64 once per block.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <immintrin.h>

#include "simd/kernels.h"

#define ADLER_BASE 65521u
#define STEP       64u
/* 64 * prefix <= 64 * 255*8 * k*k/2 per 64-bit lane and 2 * 2*255*64 * k per 32-bit lane: no
 * overflow up to here, and one reduction per 32 KiB costs nothing. */
#define STEPS_MAX 512u

static uint64_t adler_sum64(__m256i v)
{
	__m128i x = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return (uint64_t)_mm_cvtsi128_si64(x) + (uint64_t)_mm_extract_epi64(x, 1);
}

static uint64_t adler_sum32(__m256i v)
{
	__m256i lo = _mm256_and_si256(v, _mm256_set1_epi64x(0xffffffff));

	return adler_sum64(_mm256_add_epi64(lo, _mm256_srli_epi64(v, 32)));
}

uint32_t canp_adler32_avx2(uint32_t init, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = (init & 0xffff) % ADLER_BASE, b = (init >> 16) % ADLER_BASE;
	const __m256i down =
		_mm256_setr_epi8(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
				 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	const __m256i w1 = _mm256_add_epi8(down, _mm256_set1_epi8(1));
	const __m256i w0 = _mm256_add_epi8(down, _mm256_set1_epi8(33));
	const __m256i one = _mm256_set1_epi16(1), zero = _mm256_setzero_si256();

	while (len >= STEP) {
		size_t k = len / STEP < STEPS_MAX ? len / STEP : STEPS_MAX;
		__m256i sum = zero, prefix = zero, wsum = zero;

		b += a * (k * STEP);
		len -= k * STEP;
		for (; k; k--, p += STEP) {
			__m256i x = _mm256_loadu_si256((const __m256i *)p);
			__m256i y = _mm256_loadu_si256((const __m256i *)(p + 32));
			__m256i wx, wy;

			prefix = _mm256_add_epi64(prefix, sum);
			sum = _mm256_add_epi64(sum, _mm256_sad_epu8(x, zero));
			sum = _mm256_add_epi64(sum, _mm256_sad_epu8(y, zero));
			/* 2 * 255 * 64 < 2^15: the signed 16-bit sums do not saturate. */
			wx = _mm256_madd_epi16(_mm256_maddubs_epi16(x, w0), one);
			wy = _mm256_madd_epi16(_mm256_maddubs_epi16(y, w1), one);
			wsum = _mm256_add_epi32(wsum, _mm256_add_epi32(wx, wy));
		}
		b = (b + STEP * adler_sum64(prefix) + adler_sum32(wsum)) % ADLER_BASE;
		a = (a + adler_sum64(sum)) % ADLER_BASE;
	}
	for (; len; len--) {
		a += *p++;
		b += a;
	}
	return (uint32_t)(b % ADLER_BASE) << 16 | (uint32_t)(a % ADLER_BASE);
}
#endif
