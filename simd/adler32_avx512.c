/*
 * adler32_avx512.c - Adler-32 with the dot product of bytes (VNNI), 256 bytes a step.
 *
 * Four vectors a step keep four independent chains of vpdpbusd busy. Vector j of a step weighs its
 * bytes 64..1 and still lacks 64*(3-j) times its byte sum; that, like the a before each step
 * (`prefix`), is multiplied once per block. The last bytes are taken with masked loads: bytes
 * behind the end count as zero and the surplus weight is taken off again.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>

#include "simd/kernels.h"

#define ADLER_BASE 65521u
#define STEP       256u
/* Per 32-bit lane after k steps: prefix <= 4*1020 * k*k/2 and wsum <= 65280 * k, both < 2^32. */
#define STEPS_MAX 512u

static uint64_t adler_sum(__m512i v)
{
	__m512i lo = _mm512_and_si512(v, _mm512_set1_epi64(0xffffffff));

	return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(lo, _mm512_srli_epi64(v, 32)));
}

static __m512i adler_weights(void)
{
	const __m512i bytes = _mm512_set_epi64(
		0x0102030405060708, 0x090a0b0c0d0e0f10, 0x1112131415161718, 0x191a1b1c1d1e1f20,
		0x2122232425262728, 0x292a2b2c2d2e2f30, 0x3132333435363738, 0x393a3b3c3d3e3f40);

	return bytes;
}

/* The last 0..255 bytes, 64 at a time. */
static void adler_tail(const uint8_t *p, size_t len, uint64_t *a, uint64_t *b)
{
	const __m512i one = _mm512_set1_epi8(1), weights = adler_weights();

	while (len) {
		size_t n = len < 64 ? len : 64;
		__m512i x = _mm512_maskz_loadu_epi8(~0ull >> (64 - n), p);
		uint64_t s = adler_sum(_mm512_dpbusd_epi32(_mm512_setzero_si512(), x, one));
		uint64_t w = adler_sum(_mm512_dpbusd_epi32(_mm512_setzero_si512(), x, weights));

		*b += *a * n + w - (64 - n) * s;
		*a += s;
		p += n;
		len -= n;
	}
}

uint32_t canp_adler32_avx512(uint32_t init, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = (init & 0xffff) % ADLER_BASE, b = (init >> 16) % ADLER_BASE;
	const __m512i one = _mm512_set1_epi8(1), weights = adler_weights();

	while (len >= STEP) {
		size_t k = len / STEP < STEPS_MAX ? len / STEP : STEPS_MAX;
		__m512i s0, s1, s2, s3, w0, w1, w2, w3, prefix;
		uint64_t t0, t1, t2, t3, w;

		s0 = s1 = s2 = s3 = w0 = w1 = w2 = w3 = prefix = _mm512_setzero_si512();
		b += a * (k * STEP);
		len -= k * STEP;
		for (; k; k--, p += STEP) {
			__m512i x0 = _mm512_loadu_si512(p), x1 = _mm512_loadu_si512(p + 64);
			__m512i x2 = _mm512_loadu_si512(p + 128), x3 = _mm512_loadu_si512(p + 192);
			__m512i s = _mm512_add_epi32(_mm512_add_epi32(s0, s1),
						     _mm512_add_epi32(s2, s3));

			prefix = _mm512_add_epi32(prefix, s);
			s0 = _mm512_dpbusd_epi32(s0, x0, one);
			s1 = _mm512_dpbusd_epi32(s1, x1, one);
			s2 = _mm512_dpbusd_epi32(s2, x2, one);
			s3 = _mm512_dpbusd_epi32(s3, x3, one);
			w0 = _mm512_dpbusd_epi32(w0, x0, weights);
			w1 = _mm512_dpbusd_epi32(w1, x1, weights);
			w2 = _mm512_dpbusd_epi32(w2, x2, weights);
			w3 = _mm512_dpbusd_epi32(w3, x3, weights);
		}
		t0 = adler_sum(s0);
		t1 = adler_sum(s1);
		t2 = adler_sum(s2);
		t3 = adler_sum(s3);
		w = adler_sum(w0) + adler_sum(w1) + adler_sum(w2) + adler_sum(w3);
		b += STEP * adler_sum(prefix) + 192 * t0 + 128 * t1 + 64 * t2 + w;
		b %= ADLER_BASE;
		a = (a + t0 + t1 + t2 + t3) % ADLER_BASE;
	}
	adler_tail(p, len, &a, &b);
	return (uint32_t)(b % ADLER_BASE) << 16 | (uint32_t)(a % ADLER_BASE);
}
#endif
