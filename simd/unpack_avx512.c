/*
 * unpack_avx512.c - from packed indices back to values, 512 bits at a time.
 *
 * Bit-unpacking: 32 values of w bits are 4*w bytes, one load. Four values are 4*w <= 64 bits, so a
 * byte permute brings the eight bytes from the one where each group of four begins into a 64-bit
 * lane, where the group starts at bit 0 or 4. vpmultishiftqb then takes any eight bits of the lane
 * for every output byte: the low and the high half of each value. What wraps around the lane lies
 * above bit w and is masked off.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>

#include "core/base/units.h"
#include "simd/kernels.h"

struct unpack16 {
	__m512i bytes; /* which byte goes where */
	__m512i bits;  /* first bit of each output byte in its lane */
	__m512i mask;
};

static inline struct unpack16 unpack16_init(unsigned w)
{
	const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	const __m512i spread = _mm512_set1_epi64(0x0101010101010101);
	__m512i start = _mm512_mullo_epi64(lane, _mm512_set1_epi64(4 * w));
	__m512i byte = _mm512_srli_epi64(start, 3), bit;
	uint64_t step = 0;
	struct unpack16 c;

	/* Bytes of a lane are 0..7 behind its first; a number times `spread` is in every byte. */
	byte = _mm512_mullo_epi64(byte, spread);
	c.bytes = _mm512_add_epi8(byte, _mm512_set1_epi64(0x0706050403020100));
	for (unsigned j = 0; j < 4; j++)
		step |= (uint64_t)(j * w & 63) << (16 * j) | (uint64_t)((j * w + 8) & 63)
								     << (16 * j + 8);
	bit = _mm512_mullo_epi64(_mm512_and_si512(start, _mm512_set1_epi64(7)), spread);
	c.bits = _mm512_add_epi8(bit, _mm512_set1_epi64((long long)step));
	c.mask = _mm512_set1_epi16((short)((1u << w) - 1));
	return c;
}

void canp_unpack16_avx512(const uint8_t *in, size_t n, unsigned w, uint16_t *out)
{
	struct unpack16 c = unpack16_init(w);
	size_t len = (n * w + 7) / 8;

	for (size_t i = 0; i < n; i += 32) {
		size_t at = i / 32 * 4 * w, left = canp_min(len - at, (size_t)64);
		__m512i x = _mm512_maskz_loadu_epi8(~0ull >> (64 - left), in + at);

		x = _mm512_permutexvar_epi8(c.bytes, x);
		x = _mm512_multishift_epi64_epi8(c.bits, x);
		_mm512_storeu_si512(out + i, _mm512_and_si512(x, c.mask));
	}
}

void canp_index_f64_avx512(const uint16_t *idx, size_t n, int32_t bias, double factor,
			   double offset, double *out)
{
	const __m256i b = _mm256_set1_epi32(bias);
	const __m512d f = _mm512_set1_pd(factor), o = _mm512_set1_pd(offset);

	for (size_t i = 0; i < n; i += 8) {
		__mmask8 m = (__mmask8)(0xffu >> (8 - canp_min(n - i, (size_t)8)));
		__m256i x = _mm256_cvtepu16_epi32(_mm_maskz_loadu_epi16(m, idx + i));
		__m512d d = _mm512_cvtepi32_pd(_mm256_sub_epi32(x, b));

		_mm512_mask_storeu_pd(out + i, m, _mm512_add_pd(_mm512_mul_pd(d, f), o));
	}
}

void canp_index_i32_avx512(const uint16_t *idx, size_t n, uint32_t mul, uint32_t add, uint32_t *out)
{
	const __m512i f = _mm512_set1_epi32((int)mul), o = _mm512_set1_epi32((int)add);

	for (size_t i = 0; i < n; i += 16) {
		__mmask16 m = (__mmask16)(0xffffu >> (16 - canp_min(n - i, (size_t)16)));
		__m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, idx + i));

		_mm512_mask_storeu_epi32(out + i, m, _mm512_add_epi32(_mm512_mullo_epi32(x, f), o));
	}
}
#endif
