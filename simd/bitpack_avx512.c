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

#include "simd/kernels.h"

/* c ? a : b for every bit, and a | b | c. */
#define SELECT(c, a, b) _mm512_ternarylogic_epi64(c, a, b, 0xca)
#define OR3(a, b, c)    _mm512_ternarylogic_epi64(a, b, c, 0xfe)

struct pack_narrow {
	__m512i by1, by2;      /* w and 2w */
	__m512i left4, right4; /* 4w in odd lanes, zeroing counts elsewhere */
	__m512i join;          /* byte order that drops the gaps between the lanes */
};

static inline struct pack_narrow pack_narrow_init(unsigned w)
{
	struct pack_narrow c;
	__m512i byte = _mm512_set_epi64(0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928,
					0x2726252423222120, 0x1f1e1d1c1b1a1918, 0x1716151413121110,
					0x0f0e0d0c0b0a0908, 0x0706050403020100);
	__m512i join = byte, step = _mm512_set1_epi8((char)(16 - w));

	c.by1 = _mm512_set1_epi32((int)w);
	c.by2 = _mm512_set1_epi64(2 * w);
	/* Shift counts of 64 and more give zero. */
	c.left4 = _mm512_broadcast_i32x4(_mm_set_epi64x(64, 4 * (int)w));
	c.right4 = _mm512_broadcast_i32x4(_mm_set_epi64x(64 - 4 * (int)w, 64));
	/* Output byte b is byte b % w of lane b / w: every lane passed skips 16 - w bytes. */
	for (unsigned lane = 1; lane < 4; lane++)
		join = _mm512_mask_add_epi8(
			join, _mm512_cmpge_epu8_mask(byte, _mm512_set1_epi8((char)(lane * w))),
			join, step);
	c.join = join;
	return c;
}

/* 32 words of w bits -> 4*w bytes at the start of the result. */
static inline __m512i pack_narrow_step(__m512i x, const struct pack_narrow *c)
{
	const __m512i lo16 = _mm512_set1_epi32(0xffff), lo32 = _mm512_set1_epi64(0xffffffff);
	__m512i up, upper, lower;

	up = _mm512_sllv_epi32(_mm512_srli_epi32(x, 16), c->by1);
	x = _mm512_ternarylogic_epi64(up, x, lo16, 0xf8);
	up = _mm512_sllv_epi64(_mm512_srli_epi64(x, 32), c->by2);
	x = _mm512_ternarylogic_epi64(up, x, lo32, 0xf8);
	/* The odd lane's bits go to both: low part behind the even lane's, the rest to the odd. */
	up = _mm512_unpackhi_epi64(x, x);
	lower = _mm512_sllv_epi64(up, c->left4);
	upper = _mm512_srlv_epi64(up, c->right4);
	x = OR3(_mm512_maskz_mov_epi64(0x55, x), lower, upper);
	return _mm512_permutexvar_epi8(c->join, x);
}

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

struct pack_wide {
	__m512i i0, i1, i2;     /* which values meet in a word */
	__m512i down, up1, up2; /* how far each is moved */
};

/* Word j starts with bit 32*j, in value a = 32*j / w; exact by reciprocal for 32*j < 512. */
static inline struct pack_wide pack_wide32_init(unsigned w)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m512i bit = _mm512_slli_epi32(lane, 5), width = _mm512_set1_epi32((int)w), a, s;
	struct pack_wide c;

	a = _mm512_mullo_epi32(bit, _mm512_set1_epi32((int)((65536 + w - 1) / w)));
	a = _mm512_srli_epi32(a, 16);
	s = _mm512_sub_epi32(bit, _mm512_mullo_epi32(a, width));
	c.i0 = a;
	c.i1 = _mm512_add_epi32(a, _mm512_set1_epi32(1));
	c.i2 = _mm512_add_epi32(a, _mm512_set1_epi32(2));
	c.down = s;
	c.up1 = _mm512_sub_epi32(width, s);
	c.up2 = _mm512_add_epi32(c.up1, width);
	return c;
}

static inline __m512i pack_wide32_step(__m512i x, const struct pack_wide *c)
{
	__m512i p = _mm512_srlv_epi32(_mm512_permutexvar_epi32(c->i0, x), c->down);
	__m512i q = _mm512_sllv_epi32(_mm512_permutexvar_epi32(c->i1, x), c->up1);
	__m512i r = _mm512_sllv_epi32(_mm512_permutexvar_epi32(c->i2, x), c->up2);

	return OR3(p, q, r);
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

/* Word j starts with bit 64*j, in value a = 64*j / w. */
static inline struct pack_wide pack_wide64_init(unsigned w)
{
	const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	__m512i bit = _mm512_slli_epi64(lane, 6), width = _mm512_set1_epi64(w), a, s;
	struct pack_wide c;

	a = _mm512_mullo_epi64(bit, _mm512_set1_epi64((65536 + w - 1) / w));
	a = _mm512_srli_epi64(a, 16);
	s = _mm512_sub_epi64(bit, _mm512_mullo_epi64(a, width));
	c.i0 = a;
	c.i1 = _mm512_add_epi64(a, _mm512_set1_epi64(1));
	c.i2 = _mm512_add_epi64(a, _mm512_set1_epi64(2));
	c.down = s;
	c.up1 = _mm512_sub_epi64(width, s);
	c.up2 = _mm512_add_epi64(c.up1, width);
	return c;
}

static inline __m512i pack_wide64_step(__m512i x, const struct pack_wide *c)
{
	__m512i p = _mm512_srlv_epi64(_mm512_permutexvar_epi64(c->i0, x), c->down);
	__m512i q = _mm512_sllv_epi64(_mm512_permutexvar_epi64(c->i1, x), c->up1);
	__m512i r = _mm512_sllv_epi64(_mm512_permutexvar_epi64(c->i2, x), c->up2);

	return OR3(p, q, r);
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
