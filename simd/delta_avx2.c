/*
 * delta_avx2.c - the time kernels, 256 bits at a time.
 *
 * Nanoseconds to microseconds divide as in delta_avx512.c, where the reciprocals are derived. The
 * arithmetic shift of 64 bits that is not there is not needed either: with its top bit flipped a
 * value is 2^63 above itself, a logical shift rounds down, and the 2^60 too much go into the bias,
 * which has to make a multiple of 125 of what it adds.
 *
 * A block of 128 differences does not fit sixteen registers and goes over the stack: once through
 * for the differences and the smallest of them, once through for the distances from it and the
 * bits they need, and the packing kernel does the rest.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <immintrin.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/delta.h"
#include "simd/kernels.h"

static inline __m256i load256(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

static inline void store256(void *p, __m256i v)
{
	_mm256_storeu_si256((__m256i *)p, v);
}

/* n is a multiple of 4. */
static void us_far(const int64_t *ns, size_t n, int64_t *us)
{
	const __m256i top = _mm256_set1_epi64x(INT64_MIN);
	const __m256i bias = _mm256_set1_epi64x(125 * US_FAR_BIAS - (1ll << 60));
	const __m256i m0 = _mm256_set1_epi64x(US_FAR_MAGIC & 0xffffffff);
	const __m256i m1 = _mm256_set1_epi64x(US_FAR_MAGIC >> 32);
	const __m256i unbias = _mm256_set1_epi64x(US_FAR_BIAS);

	for (size_t i = 0; i < n; i += 4) {
		__m256i u = _mm256_srli_epi64(_mm256_xor_si256(load256(ns + i), top), 3);
		__m256i up, lo, mid, hi;

		u = _mm256_add_epi64(u, bias);
		up = _mm256_srli_epi64(u, 32);
		lo = _mm256_srli_epi64(_mm256_mul_epu32(u, m0), 32);
		mid = _mm256_add_epi64(_mm256_mul_epu32(up, m0), _mm256_mul_epu32(u, m1));
		mid = _mm256_srli_epi64(_mm256_add_epi64(mid, lo), 32);
		hi = _mm256_srli_epi64(_mm256_add_epi64(_mm256_mul_epu32(up, m1), mid), 6);
		store256(us + i, _mm256_sub_epi64(hi, unbias));
	}
}

void canp_ns_to_us_avx2(const int64_t *ns, size_t n, int64_t *us)
{
	const __m256i magic = _mm256_set1_epi64x(US_NEAR_MAGIC);
	const __m256i high = _mm256_set1_epi64x(~((1ll << US_NEAR_BITS) - 1));
	__m256i first, base, far = _mm256_setzero_si256();
	size_t whole = canp_align_down(n, 4);
	int64_t us0;

	if (n == 0)
		return;
	us0 = canp_floor_div(ns[0], CANP_NS_PER_US);
	first = _mm256_set1_epi64x(us0);
	base = _mm256_set1_epi64x((long long)((uint64_t)us0 * (uint64_t)CANP_NS_PER_US));
	for (size_t i = 0; i < whole; i += 4) {
		__m256i d = _mm256_sub_epi64(load256(ns + i), base), q;

		far = _mm256_or_si256(far, d);
		q = _mm256_srli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(d, 3), magic), 37);
		store256(us + i, _mm256_add_epi64(q, first));
	}
	/* Close to the ends of the range a distance may wrap and look near. */
	if (canp_unlikely(canp_max(ns[0], ~ns[0]) >= US_NEAR_MAX || !_mm256_testz_si256(far, high)))
		us_far(ns, whole, us);
	canp_ns_to_us_scalar(ns + whole, n - whole, us + whole);
}

/* ---- one block --------------------------------------------------------------------------------*/

static inline __m256i min64(__m256i a, __m256i b)
{
	return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b));
}

static inline int64_t lanes_min(__m256i v)
{
	int64_t a, b;

	v = min64(v, _mm256_permute4x64_epi64(v, 0x4e));
	a = _mm_cvtsi128_si64(_mm256_castsi256_si128(v));
	b = _mm_extract_epi64(_mm256_castsi256_si128(v), 1);
	return canp_min(a, b);
}

static inline uint64_t lanes_or(__m256i v)
{
	__m128i a = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return (uint64_t)_mm_cvtsi128_si64(a) | (uint64_t)_mm_extract_epi64(a, 1);
}

/* The 128 differences of a full block. */
CANP_INLINE void block_diffs(const int64_t *v, bool is32, int64_t *d, bool *back)
{
	__m256i less = _mm256_setzero_si256();

	for (unsigned i = 0; i < 128; i += 4) {
		__m256i a = load256(v + i), b = load256(v + i + 1), x = _mm256_sub_epi64(b, a);

		less = _mm256_or_si256(less, _mm256_cmpgt_epi64(a, b));
		if (is32) { /* the low half counts, with its sign */
			__m256i sign = _mm256_srai_epi32(_mm256_slli_epi64(x, 32), 31);

			x = _mm256_blend_epi32(x, sign, 0xaa);
		}
		store256(d + i, x);
	}
	*back |= !_mm256_testz_si256(less, less);
}

/* Four comparisons are under way at a time: each waits for the one before it in its lane. */
static int64_t block_min(const int64_t *d)
{
	__m256i m[4] = {load256(d), load256(d + 4), load256(d + 8), load256(d + 12)};

	for (unsigned i = 16; i < 128; i += 16)
#pragma GCC unroll 4
		for (unsigned k = 0; k < 4; k++)
			m[k] = min64(m[k], load256(d + i + 4 * k));
	return lanes_min(min64(min64(m[0], m[1]), min64(m[2], m[3])));
}

/* Packs 128 differences, which are overwritten. */
static size_t block_pack(int64_t *d, uint8_t *out)
{
	int64_t min = block_min(d);
	__m256i low = _mm256_set1_epi64x(min);
	uint8_t *width = out + canp_delta_zigzag(out, min), *to = width + 4;

	for (unsigned m = 0; m < 128; m += 32) {
		__m256i any = _mm256_setzero_si256();
		unsigned w;

		for (unsigned i = m; i < m + 32; i += 4) {
			__m256i x = _mm256_sub_epi64(load256(d + i), low);

			any = _mm256_or_si256(any, x);
			store256(d + i, x);
		}
		w = 64 - (unsigned)_lzcnt_u64(lanes_or(any));
		*width++ = (uint8_t)w;
		to += canp_pack64_avx2((const uint64_t *)d + m, 32, w, to);
	}
	return (size_t)(to - out);
}

size_t canp_delta_block_avx2(const int64_t *v, size_t n, bool is32, uint8_t *out, bool *back)
{
	int64_t d[128] CANP_ALIGNED(32);

	if (canp_unlikely(n != 128))
		canp_delta_part(v, n, is32, d, back);
	else if (canp_unlikely(is32))
		block_diffs(v, true, d, back);
	else
		block_diffs(v, false, d, back);
	return block_pack(d, out);
}
#endif
