/*
 * delta_avx512.c - the time kernels, 512 bits at a time.
 *
 * Nanoseconds to microseconds is a floor division by 1000 = 8 * 125: an arithmetic shift by three
 * rounds down, what is left is exact by reciprocal. Rows of one chunk mostly lie within 2^35 ns
 * (34 s) after the first one; then the distance to it, shifted, has 32 bits and one widening
 * multiplication does: floor(n / 125) = n * M >> 37 for n < 2^32, M = ceil(2^37 / 125), because
 * n * (125 * M - 2^37) = 28 * n < 2^37. Else all 64 bits are multiplied: y = ns >> 3 is at least
 * -2^60, so u = y + 125 * B is not negative for B = ceil(2^60 / 125) and below 2^61.01, and
 * floor(u / 125) = u * M >> 70 for M = ceil(2^70 / 125), because 125 * M - 2^70 < 125 and
 * 125 * u < 2^70. Of the four partial products the inner two and the carry sum up below 2^64.
 *
 * A block of 128 differences stays in sixteen registers from the search for the smallest one to
 * the packed bytes. Narrow miniblocks (16 bits and less, the common case of periodic messages) are
 * merged to words by shifts and one permute and packed as in bitpack_avx512.c.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/bitpack_avx512.h"
#include "simd/delta.h"
#include "simd/kernels.h"

/* Whole vectors are read and written: the columns have room for a multiple of 32 rows. */
static inline __mmask8 delta_tail(size_t left)
{
	return (__mmask8)(left >= 8 ? 0xffu : 0xffu >> (8 - left));
}

static void us_far(const int64_t *ns, size_t n, int64_t *us)
{
	const __m512i bias = _mm512_set1_epi64(125 * US_FAR_BIAS);
	const __m512i m0 = _mm512_set1_epi64(US_FAR_MAGIC & 0xffffffff);
	const __m512i m1 = _mm512_set1_epi64(US_FAR_MAGIC >> 32);
	const __m512i unbias = _mm512_set1_epi64(US_FAR_BIAS);

	for (size_t i = 0; i < n; i += 8) {
		__m512i u = _mm512_srai_epi64(_mm512_load_si512(ns + i), 3), up, lo, mid, hi;

		u = _mm512_add_epi64(u, bias);
		up = _mm512_srli_epi64(u, 32);
		lo = _mm512_srli_epi64(_mm512_mul_epu32(u, m0), 32);
		mid = _mm512_add_epi64(_mm512_mul_epu32(up, m0), _mm512_mul_epu32(u, m1));
		mid = _mm512_srli_epi64(_mm512_add_epi64(mid, lo), 32);
		hi = _mm512_srli_epi64(_mm512_add_epi64(_mm512_mul_epu32(up, m1), mid), 6);
		_mm512_store_si512(us + i, _mm512_sub_epi64(hi, unbias));
	}
}

void canp_ns_to_us_avx512(const int64_t *ns, size_t n, int64_t *us)
{
	const __m512i magic = _mm512_set1_epi64(US_NEAR_MAGIC);
	const __m512i high = _mm512_set1_epi64(~((1ll << US_NEAR_BITS) - 1));
	__m512i first, base, far = _mm512_setzero_si512();
	int64_t us0;

	if (n == 0)
		return;
	us0 = canp_floor_div(ns[0], CANP_NS_PER_US);
	first = _mm512_set1_epi64(us0);
	base = _mm512_set1_epi64((long long)((uint64_t)us0 * (uint64_t)CANP_NS_PER_US));
	for (size_t i = 0; i < n; i += 8) {
		__m512i d = _mm512_sub_epi64(_mm512_load_si512(ns + i), base), q;

		far = _mm512_mask_or_epi64(far, delta_tail(n - i), far, d);
		q = _mm512_srli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(d, 3), magic), 37);
		_mm512_store_si512(us + i, _mm512_add_epi64(q, first));
	}
	/* Close to the ends of the range a distance may wrap and look near. */
	if (canp_unlikely(canp_max(ns[0], ~ns[0]) >= US_NEAR_MAX ||
			  _mm512_test_epi64_mask(far, high)))
		us_far(ns, n, us);
}

/* ---- one block --------------------------------------------------------------------------------*/

/* Four registers of eight values, w <= 16: lane j of the merged one holds words j, 8 + j, .. */
CANP_INLINE void mini_narrow(const __m512i x[4], unsigned w, uint8_t *out)
{
	const __m512i order =
		_mm512_set_epi16(31, 27, 23, 19, 15, 11, 7, 3, 30, 26, 22, 18, 14, 10, 6, 2, 29, 25,
				 21, 17, 13, 9, 5, 1, 28, 24, 20, 16, 12, 8, 4, 0);
	struct pack_narrow c = pack_narrow_init(w);
	__m512i v = OR3(x[0], _mm512_slli_epi64(x[1], 16), _mm512_slli_epi64(x[2], 32));

	v = _mm512_or_si512(v, _mm512_slli_epi64(x[3], 48));
	_mm512_storeu_si512(out, pack_narrow_step(_mm512_permutexvar_epi16(order, v), &c));
}

static inline void mini_half(const __m512i x[4], unsigned w, uint8_t *out)
{
	const __m512i order =
		_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
	struct pack_wide c = pack_wide32_init(w);

	for (unsigned k = 0; k < 4; k += 2, out += 2 * w) {
		__m512i v = _mm512_or_si512(x[k], _mm512_slli_epi64(x[k + 1], 32));

		v = _mm512_permutexvar_epi32(order, v);
		_mm512_storeu_si512(out, pack_wide32_step(v, &c));
	}
}

static inline void mini_wide(const __m512i x[4], unsigned w, uint8_t *out)
{
	struct pack_wide c = pack_wide64_init(w);

	for (unsigned k = 0; k < 4; k++, out += w)
		_mm512_storeu_si512(out, pack_wide64_step(x[k], &c));
}

CANP_INLINE size_t mini_pack(const __m512i x[4], unsigned w, uint8_t *out)
{
	if (canp_likely(w - 1 < 16))
		mini_narrow(x, w, out);
	else if (w > 32)
		mini_wide(x, w, out);
	else if (w)
		mini_half(x, w, out);
	return 4 * w;
}

CANP_INLINE unsigned mini_width(const __m512i x[4])
{
	__m512i any = _mm512_or_si512(OR3(x[0], x[1], x[2]), x[3]);

	return 64 - (unsigned)_lzcnt_u64((uint64_t)_mm512_reduce_or_epi64(any));
}

CANP_INLINE int64_t block_min(const __m512i x[16])
{
	__m512i m[4];

	for (unsigned k = 0; k < 4; k++)
		m[k] = _mm512_min_epi64(_mm512_min_epi64(x[k], x[k + 4]),
					_mm512_min_epi64(x[k + 8], x[k + 12]));
	return _mm512_reduce_min_epi64(
		_mm512_min_epi64(_mm512_min_epi64(m[0], m[1]), _mm512_min_epi64(m[2], m[3])));
}

/* Packs 128 differences. */
CANP_INLINE size_t block_pack(__m512i x[16], uint8_t *out)
{
	uint8_t *width, *to;
	int64_t min = block_min(x);
	__m512i low = _mm512_set1_epi64(min);

	width = out + canp_delta_zigzag(out, min);
	to = width + 4;
#pragma GCC unroll 4
	for (unsigned m = 0; m < 16; m += 4) {
		unsigned w;

#pragma GCC unroll 4
		for (unsigned k = m; k < m + 4; k++)
			x[k] = _mm512_sub_epi64(x[k], low);
		w = mini_width(x + m);
		*width++ = (uint8_t)w;
		to += mini_pack(x + m, w, to);
	}
	return (size_t)(to - out);
}

static size_t block_part(const int64_t *v, size_t n, bool is32, uint8_t *out, bool *back)
{
	int64_t d[128] CANP_ALIGNED(64);
	__m512i x[16];

	canp_delta_part(v, n, is32, d, back);
	for (unsigned k = 0; k < 16; k++)
		x[k] = _mm512_load_si512(d + 8 * k);
	return block_pack(x, out);
}

CANP_INLINE size_t block_full(const int64_t *v, bool is32, uint8_t *out, bool *back)
{
	__mmask8 less = 0;
	__m512i x[16];

#pragma GCC unroll 16
	for (unsigned k = 0; k < 16; k++) {
		__m512i a = _mm512_loadu_si512(v + 8 * k), b = _mm512_loadu_si512(v + 8 * k + 1);

		less |= _mm512_cmplt_epi64_mask(b, a);
		x[k] = _mm512_sub_epi64(b, a);
		if (is32) /* the low half counts, with its sign */
			x[k] = _mm512_srai_epi64(_mm512_slli_epi64(x[k], 32), 32);
	}
	*back |= less != 0;
	return block_pack(x, out);
}

size_t canp_delta_block_avx512(const int64_t *v, size_t n, bool is32, uint8_t *out, bool *back)
{
	if (canp_unlikely(n != 128))
		return block_part(v, n, is32, out, back);
	if (canp_unlikely(is32))
		return block_full(v, true, out, back);
	return block_full(v, false, out, back);
}
#endif
