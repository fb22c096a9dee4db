/*
 * bitpack_avx512.h - the steps of bit-packing in registers, shared by the kernels that pack whole
 * columns (bitpack_avx512.c) and those that pack what they have just computed (delta_avx512.c).
 * How they work is told in bitpack_avx512.c. Only for files built with AVX-512.
 */
#ifndef CANP_SIMD_BITPACK_AVX512_H
#define CANP_SIMD_BITPACK_AVX512_H

#ifdef __AVX512VBMI2__
#include <immintrin.h>

/* a | b | c */
#define OR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xfe)

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
#endif

#endif
