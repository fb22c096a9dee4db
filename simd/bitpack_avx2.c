/*
 * bitpack_avx2.c - Parquet bit-packing, 256 bits at a time.
 *
 * As in bitpack_avx512.c: up to 16 bits, values are merged pairwise, 16 -> 32 -> 64 -> 128 bits,
 * and each half of the register then starts with the w bytes of eight values; two overlapping
 * stores join them. Wider values that are narrow in fact are narrowed first. 17..32 bits: every
 * output word takes bits of at most three consecutive values, which three permutes bring and three
 * variable shifts place; eight values are w whole bytes. 33..64 bits: nothing here moves 64-bit
 * words between lanes by an index cheaply enough to beat the portable accumulator, so that one
 * runs.
 *
 * Garbage behind the last value cannot reach valid bits: values only move upwards.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <immintrin.h>

#include "simd/kernels.h"

static inline __m256i load256(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

struct pack_narrow {
	__m128i by1, by2;      /* w and 2w */
	__m256i left4, right4; /* 4w in odd quarters, zeroing counts elsewhere */
};

static inline struct pack_narrow pack_narrow_init(unsigned w)
{
	const int by4 = 4 * (int)w;

	return (struct pack_narrow){
		.by1 = _mm_cvtsi32_si128((int)w),
		.by2 = _mm_cvtsi32_si128(2 * (int)w),
		/* Shift counts of 64 and more give zero. */
		.left4 = _mm256_setr_epi64x(by4, 64, by4, 64),
		.right4 = _mm256_setr_epi64x(64, 64 - by4, 64, 64 - by4),
	};
}

/* 16 words of w bits -> 2*w bytes. */
static inline void pack_narrow_step(__m256i x, const struct pack_narrow *c, unsigned w,
				    uint8_t *out)
{
	const __m256i zero = _mm256_setzero_si256();
	__m256i up;

	up = _mm256_sll_epi32(_mm256_srli_epi32(x, 16), c->by1);
	x = _mm256_or_si256(_mm256_blend_epi16(x, zero, 0xaa), up);
	up = _mm256_sll_epi64(_mm256_srli_epi64(x, 32), c->by2);
	x = _mm256_or_si256(_mm256_blend_epi32(x, zero, 0xaa), up);
	/* The odd quarter's bits go to both: low part behind the even one's, the rest to the odd.
	 */
	up = _mm256_unpackhi_epi64(x, x);
	x = _mm256_or_si256(_mm256_blend_epi32(x, zero, 0xcc), _mm256_sllv_epi64(up, c->left4));
	x = _mm256_or_si256(x, _mm256_srlv_epi64(up, c->right4));
	_mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(x));
	_mm_storeu_si128((__m128i *)(out + w), _mm256_extracti128_si256(x, 1));
}

size_t canp_pack16_avx2(const uint16_t *v, size_t n, unsigned w, uint8_t *out)
{
	const struct pack_narrow c = pack_narrow_init(w);

	if (w == 0)
		return 0;
	for (size_t i = 0; i < n; i += 16, out += 2 * w)
		pack_narrow_step(load256(v + i), &c, w, out);
	return n * w / 8;
}

struct pack_wide {
	__m256i i0, i1, i2;     /* which values meet in a word */
	__m256i down, up1, up2; /* how far each is moved */
};

/* Word j starts with bit 32*j, in value a = 32*j / w; exact by reciprocal for 32*j < 512. */
static inline struct pack_wide pack_wide_init(unsigned w)
{
	const __m256i bit = _mm256_setr_epi32(0, 32, 64, 96, 128, 160, 192, 224);
	const __m256i width = _mm256_set1_epi32((int)w);
	__m256i a, s;
	struct pack_wide c;

	a = _mm256_mullo_epi32(bit, _mm256_set1_epi32((int)((65536 + w - 1) / w)));
	a = _mm256_srli_epi32(a, 16);
	s = _mm256_sub_epi32(bit, _mm256_mullo_epi32(a, width));
	c.i0 = a;
	c.i1 = _mm256_add_epi32(a, _mm256_set1_epi32(1));
	c.i2 = _mm256_add_epi32(a, _mm256_set1_epi32(2));
	c.down = s;
	c.up1 = _mm256_sub_epi32(width, s);
	c.up2 = _mm256_add_epi32(c.up1, width);
	return c;
}

/* 8 values of w bits -> w bytes. */
static inline void pack_wide_step(__m256i x, const struct pack_wide *c, uint8_t *out)
{
	__m256i p = _mm256_srlv_epi32(_mm256_permutevar8x32_epi32(x, c->i0), c->down);
	__m256i q = _mm256_sllv_epi32(_mm256_permutevar8x32_epi32(x, c->i1), c->up1);
	__m256i r = _mm256_sllv_epi32(_mm256_permutevar8x32_epi32(x, c->i2), c->up2);

	_mm256_storeu_si256((__m256i *)out, _mm256_or_si256(_mm256_or_si256(p, q), r));
}

size_t canp_pack32_avx2(const uint32_t *v, size_t n, unsigned w, uint8_t *out)
{
	if (w == 0)
		return 0;
	if (w <= 16) {
		const struct pack_narrow c = pack_narrow_init(w);

		for (size_t i = 0; i < n; i += 16, out += 2 * w) {
			__m256i x = _mm256_packus_epi32(load256(v + i), load256(v + i + 8));

			pack_narrow_step(_mm256_permute4x64_epi64(x, 0xd8), &c, w, out);
		}
	} else {
		const struct pack_wide c = pack_wide_init(w);

		for (size_t i = 0; i < n; i += 8, out += w)
			pack_wide_step(load256(v + i), &c, out);
	}
	return n * w / 8;
}

/* 16 u64 that fit 16 bits each. */
static inline __m256i pack_load16(const uint64_t *v)
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i ab = _mm256_packus_epi32(load256(v), load256(v + 4));
	__m256i cd = _mm256_packus_epi32(load256(v + 8), load256(v + 12));

	return _mm256_permutevar8x32_epi32(_mm256_packus_epi32(ab, cd), order);
}

/* 8 u64 that fit 32 bits each. */
static inline __m256i pack_load32(const uint64_t *v)
{
	__m256 a = _mm256_castsi256_ps(load256(v)), b = _mm256_castsi256_ps(load256(v + 4));

	return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)), 0xd8);
}

size_t canp_pack64_avx2(const uint64_t *v, size_t n, unsigned w, uint8_t *out)
{
	if (w == 0)
		return 0;
	if (w > 32)
		return canp_pack64_scalar(v, n, w, out);
	if (w <= 16) {
		const struct pack_narrow c = pack_narrow_init(w);

		for (size_t i = 0; i < n; i += 16, out += 2 * w)
			pack_narrow_step(pack_load16(v + i), &c, w, out);
	} else {
		const struct pack_wide c = pack_wide_init(w);

		for (size_t i = 0; i < n; i += 8, out += w)
			pack_wide_step(pack_load32(v + i), &c, out);
	}
	return n * w / 8;
}
#endif
