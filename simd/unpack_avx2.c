/*
 * unpack_avx2.c - from packed indices back to values, 256 bits at a time.
 *
 * Bit-unpacking: eight values of w bits are w whole bytes, so each half of a register takes the
 * bytes of eight values. A value begins anywhere in a byte and ends within the third one: a byte
 * shuffle brings four values of each half into 32-bit lanes, a variable shift aligns them, and what
 * lies above is masked off. Two such registers, packed, are sixteen values in order.
 *
 * Physical values are multiplied and then added, each rounded, as everywhere.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <immintrin.h>
#include <string.h>

#include "core/base/units.h"
#include "simd/kernels.h"

struct unpack16 {
	__m256i bytes[2]; /* which byte goes where: values 0..3, then 4..7 of each half */
	__m256i by[2];    /* first bit of each value in its first byte */
	__m256i mask;
};

static inline struct unpack16 unpack16_init(unsigned w)
{
	const __m256i four = _mm256_broadcastsi128_si256(_mm_setr_epi32(0, 1, 2, 3));
	struct unpack16 c = {.mask = _mm256_set1_epi32((1 << w) - 1)};

	for (int k = 0; k < 2; k++) {
		__m256i bit = _mm256_add_epi32(four, _mm256_set1_epi32(4 * k)), byte;

		bit = _mm256_mullo_epi32(bit, _mm256_set1_epi32((int)w));
		/* Times 0x01010101 a number is in every byte. What is taken from behind the
		 * sixteenth byte comes from the first ones instead and is masked off. */
		byte = _mm256_mullo_epi32(_mm256_srli_epi32(bit, 3), _mm256_set1_epi32(0x01010101));
		c.bytes[k] = _mm256_add_epi32(byte, _mm256_set1_epi32(0x03020100));
		c.by[k] = _mm256_and_si256(bit, _mm256_set1_epi32(7));
	}
	return c;
}

/* Reads 16 bytes at `in` and 16 at in + w; writes 16 values. */
static inline void unpack16_step(const uint8_t *in, unsigned w, const struct unpack16 *c,
				 uint16_t *out)
{
	__m128i first = _mm_loadu_si128((const __m128i *)in);
	__m128i next = _mm_loadu_si128((const __m128i *)(in + w));
	__m256i x = _mm256_set_m128i(next, first), a, b;

	a = _mm256_srlv_epi32(_mm256_shuffle_epi8(x, c->bytes[0]), c->by[0]);
	b = _mm256_srlv_epi32(_mm256_shuffle_epi8(x, c->bytes[1]), c->by[1]);
	a = _mm256_and_si256(a, c->mask);
	b = _mm256_and_si256(b, c->mask);
	_mm256_storeu_si256((__m256i *)out, _mm256_packus_epi32(a, b));
}

/* The last bytes, less than a step reads, are taken from a copy with room behind it. */
void canp_unpack16_avx2(const uint8_t *in, size_t n, unsigned w, uint16_t *out)
{
	const struct unpack16 c = unpack16_init(w);
	size_t len = (n * w + 7) / 8, at = 0, i = 0;
	uint8_t last[32 + 32] = {0};

	for (; at + w + 16 <= len; at += 2 * w, i += 16)
		unpack16_step(in + at, w, &c, out + i);
	if (i >= n)
		return;
	memcpy(last, in + at, len - at);
	for (at = 0; i < n; at += 2 * w, i += 16)
		unpack16_step(last + at, w, &c, out + i);
}

void canp_index_f64_avx2(const uint16_t *idx, size_t n, int32_t bias, double factor, double offset,
			 double *out)
{
	const __m128i b = _mm_set1_epi32(bias);
	const __m256d f = _mm256_set1_pd(factor), o = _mm256_set1_pd(offset);
	size_t i = 0;

	for (; i + 4 <= n; i += 4) {
		__m128i x = _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(idx + i)));
		__m256d d = _mm256_cvtepi32_pd(_mm_sub_epi32(x, b));

		_mm256_storeu_pd(out + i, _mm256_add_pd(_mm256_mul_pd(d, f), o));
	}
	canp_index_f64_scalar(idx + i, n - i, bias, factor, offset, out + i);
}

void canp_index_i32_avx2(const uint16_t *idx, size_t n, uint32_t mul, uint32_t add, uint32_t *out)
{
	const __m256i f = _mm256_set1_epi32((int)mul), o = _mm256_set1_epi32((int)add);
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		__m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(idx + i)));

		x = _mm256_add_epi32(_mm256_mullo_epi32(x, f), o);
		_mm256_storeu_si256((__m256i *)(out + i), x);
	}
	canp_index_i32_scalar(idx + i, n - i, mul, add, out + i);
}
#endif
