/*
 * bitpack_avx512.c - Parquet bit-packing, 512 bits at a time.
 *
 * Up to 16 bits: 32 values are merged pairwise, 16 -> 32 -> 64 -> 128 bits, each time shifting the
 * upper half down onto the end of the lower one; eight values of w bits are then w whole bytes at
 * the start of a 128-bit lane, and one byte permute joins the four lanes. Wider values that are
 * narrow in fact (w <= 16) are narrowed first and go the same way.
 *
 * 17..32 and 33..64 bits: every output word of 32 (64) bits takes bits of at most three
 * consecutive values, since w is more than half a word: three permutes bring them, three variable
 * shifts (which give zero when a value has no part in the word) place them.
 *
 * Each step stores 64 bytes of which 16*w/8 or less count; the rest is overwritten by the next step
 * or falls into the slack behind the output. Garbage behind the last value cannot reach valid
 * bits: values only move upwards.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>

#include "simd/bitpack_avx512.h"
#include "simd/kernels.h"

size_t canp_pack16_avx512(const uint16_t *v, size_t n, unsigned w, uint8_t *out)
{
	struct pack_narrow c;

	if (w == 0)
		return 0;
	c = pack_narrow_init(w);
	for (size_t i = 0; i < n; i += 32, out += 4 * w)
		_mm512_storeu_si512(out, pack_narrow_step(_mm512_loadu_si512(v + i), &c));
	return n * w / 8;
}

size_t canp_pack32_avx512(const uint32_t *v, size_t n, unsigned w, uint8_t *out)
{
	if (w == 0)
		return 0;
	if (w <= 16) {
		struct pack_narrow c = pack_narrow_init(w);

		for (size_t i = 0; i < n; i += 32, out += 4 * w) {
			__m256i a = _mm512_cvtepi32_epi16(_mm512_loadu_si512(v + i));
			__m256i b = _mm512_cvtepi32_epi16(_mm512_loadu_si512(v + i + 16));
			__m512i x = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);

			_mm512_storeu_si512(out, pack_narrow_step(x, &c));
		}
	} else {
		struct pack_wide c = pack_wide32_init(w);

		for (size_t i = 0; i < n; i += 16, out += 2 * w)
			_mm512_storeu_si512(out, pack_wide32_step(_mm512_loadu_si512(v + i), &c));
	}
	return n * w / 8;
}

/* Eight u64 that fit 16 bits each. */
static inline __m128i pack_load16(const uint64_t *v)
{
	return _mm512_cvtepi64_epi16(_mm512_loadu_si512(v));
}

static inline __m256i pack_load32(const uint64_t *v)
{
	return _mm512_cvtepi64_epi32(_mm512_loadu_si512(v));
}

size_t canp_pack64_avx512(const uint64_t *v, size_t n, unsigned w, uint8_t *out)
{
	if (w == 0)
		return 0;
	if (w <= 16) {
		struct pack_narrow c = pack_narrow_init(w);

		for (size_t i = 0; i < n; i += 32, out += 4 * w) {
			__m256i a = _mm256_set_m128i(pack_load16(v + i + 8), pack_load16(v + i));
			__m256i b =
				_mm256_set_m128i(pack_load16(v + i + 24), pack_load16(v + i + 16));
			__m512i x = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);

			_mm512_storeu_si512(out, pack_narrow_step(x, &c));
		}
	} else if (w <= 32) {
		struct pack_wide c = pack_wide32_init(w);

		for (size_t i = 0; i < n; i += 16, out += 2 * w) {
			__m256i a = pack_load32(v + i), b = pack_load32(v + i + 8);
			__m512i x = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);

			_mm512_storeu_si512(out, pack_wide32_step(x, &c));
		}
	} else {
		struct pack_wide c = pack_wide64_init(w);

		for (size_t i = 0; i < n; i += 8, out += w)
			_mm512_storeu_si512(out, pack_wide64_step(_mm512_loadu_si512(v + i), &c));
	}
	return n * w / 8;
}
#endif
