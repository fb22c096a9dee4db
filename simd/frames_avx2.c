/*
 * frames_avx2.c - frames24 with the decode half four frames at a time in 256-bit registers; see
 * frames_group.h for the other half.
 *
 * Four frames are three registers; two blends pick a column out of them and one permute puts it in
 * order. Slots of 29-bit ids are looked up one by one: gathers cost more than loads on the
 * processors that end up here. What matters is that it happens for many frames before any of them
 * is grouped.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include <string.h>

#include "simd/frames_group.h"

#define ID_RTR_ERR 0x60000000u
#define ID_EXT     0x80000000u

struct frames_consts {
	__m256i lo, span; /* of the window; span with the top bit flipped */
	__m256i mul, mul_high, add;
};

/* Columns of four frames. */
struct frames_quad {
	__m256i raw, tail, data;
};

static inline struct frames_quad frames_columns(const uint8_t *p)
{
	/* Quadwords 3f, 3f+1, 3f+2 of 12. */
	__m256i a = _mm256_loadu_si256((const __m256i *)p);
	__m256i b = _mm256_loadu_si256((const __m256i *)(p + 32));
	__m256i c = _mm256_loadu_si256((const __m256i *)(p + 64));
	__m256i raw = _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0x30), c, 0x0c);
	__m256i tail = _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0xc3), c, 0x30);
	__m256i data = _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0x0c), c, 0xc3);

	return (struct frames_quad){
		.raw = _mm256_permute4x64_epi64(raw, _MM_SHUFFLE(1, 2, 3, 0)),
		.tail = _mm256_permute4x64_epi64(tail, _MM_SHUFFLE(2, 3, 0, 1)),
		.data = _mm256_permute4x64_epi64(data, _MM_SHUFFLE(3, 0, 1, 2)),
	};
}

/* The low 64 bits of raw * mul. */
static inline __m256i frames_scale(__m256i raw, const struct frames_consts *c)
{
	__m256i cross = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(raw, 32), c->mul),
					 _mm256_mul_epu32(raw, c->mul_high));

	return _mm256_add_epi64(_mm256_mul_epu32(raw, c->mul), _mm256_slli_epi64(cross, 32));
}

/* Half a group, frames 4 * half and on. Returns the id words ORed; -1: a time outside the window.
 */
static inline __m256i frames_half(const uint8_t *p, const struct frames_consts *c,
				  struct frames_group *g, unsigned half)
{
	const __m256i swap_ts = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
	/* Big-endian id, dlc, three bytes of padding -> id, length (once capped) and dlc. */
	const __m256i swap_id = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(3, 2, 1, 0, 4, 4, -1, -1, 11, 10, 9, 8, 12, 12, -1, -1));
	const __m256i len_max = _mm256_set1_epi64x((long long)0xffffff08ffffffff);
	const __m256i one = _mm256_set1_epi64x(1), len_bits = _mm256_set1_epi64x(0x78);
	struct frames_quad q = frames_columns(p);
	__m256i raw = _mm256_shuffle_epi8(q.raw, swap_ts), data, ts, out, keep;
	__m256i tail = _mm256_min_epu8(_mm256_shuffle_epi8(q.tail, swap_id), len_max);

	out = _mm256_cmpgt_epi64(_mm256_sub_epi64(raw, c->lo), c->span);
	ts = _mm256_add_epi64(frames_scale(raw, c), c->add);
	/* 1 << 8 * len, minus 1; a shift by 64 gives 0. */
	keep = _mm256_and_si256(_mm256_srli_epi64(tail, 29), len_bits);
	data = _mm256_and_si256(q.data, _mm256_sub_epi64(_mm256_sllv_epi64(one, keep), one));
	_mm256_store_si256((__m256i *)&g->rec[2 * half], _mm256_unpacklo_epi64(ts, data));
	_mm256_store_si256((__m256i *)&g->rec[4 + 2 * half], _mm256_unpackhi_epi64(ts, data));
	_mm256_store_si256((__m256i *)&g->ts[4 * half], ts);
	_mm256_store_si256((__m256i *)&g->tail[4 * half], tail);
	return _mm256_or_si256(tail, out);
}

/* A group that has other than 11-bit ids. */
static CANP_NOINLINE enum frames_shape frames_wide(const struct canp_idmap *map,
						   struct frames_group *g)
{
	for (unsigned k = 0; k < GROUP; k++) {
		uint64_t tail = g->tail[k];
		uint32_t id = (uint32_t)tail;
		bool ext = id & ID_EXT;

		if (id & ID_RTR_ERR)
			return FRAMES_ODD;
		id &= ext ? 0x1fffffff : 0x7ff;
		g->slot[k] = canp_idmap_find(map, id, ext);
		g->tail[k] = tail >> 32 << 32 | id | (uint64_t)(ext ? CANP_FF_EXT : 0) << 48;
	}
	return FRAMES_WIDE;
}

static inline enum frames_shape frames_decode(const uint8_t *p, const struct canp_idmap *map,
					      const void *consts, struct frames_group *g)
{
	__m256i odd = _mm256_or_si256(frames_half(p, consts, g, 0),
				      frames_half(p + 4 * FRAME_BYTES, consts, g, 1));

	if (canp_unlikely(!_mm256_testz_si256(odd, _mm256_set1_epi64x(INT64_MIN))))
		return FRAMES_ODD;
	if (!_mm256_testz_si256(odd, _mm256_set1_epi64x(0xfffff800)))
		return frames_wide(map, g);
	return FRAMES_STD;
}

struct frames_minmax {
	__m256i min[2], max[2];
};

static inline void frames_note(void *bounds, const int64_t *ts)
{
	struct frames_minmax *b = bounds;

#pragma GCC unroll 2
	for (unsigned i = 0; i < 2; i++) {
		__m256i v = _mm256_load_si256((const __m256i *)(ts + 4 * i));

		b->min[i] = _mm256_blendv_epi8(b->min[i], v, _mm256_cmpgt_epi64(b->min[i], v));
		b->max[i] = _mm256_blendv_epi8(b->max[i], v, _mm256_cmpgt_epi64(v, b->max[i]));
	}
}

size_t canp_frames24_avx2(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	const uint64_t top = 1ull << 63;
	const struct frames_consts c = {
		.lo = _mm256_set1_epi64x((long long)(ctx->ts_lo + top)),
		.span = _mm256_set1_epi64x((long long)(ctx->ts_span ^ top)),
		.mul = _mm256_set1_epi64x(ctx->ts_mul),
		.mul_high = _mm256_set1_epi64x(ctx->ts_mul >> 32),
		.add = _mm256_set1_epi64x(ctx->ts_add),
	};
	struct frames_minmax b;
	int64_t low[8], high[8];
	size_t done;

	/* A slot of unknown ids that stores would look plain; groupers have none. */
	if (ctx->slots[CANP_SLOT_UNKNOWN].chunk)
		return canp_frames24_scalar(ctx, p, n);
	b.min[0] = b.min[1] = _mm256_set1_epi64x(INT64_MAX);
	b.max[0] = b.max[1] = _mm256_set1_epi64x(INT64_MIN);
	done = frames_run(ctx, p, n, frames_decode, &c, frames_note, &b);
	memcpy(low, b.min, sizeof(low));
	memcpy(high, b.max, sizeof(high));
	for (unsigned i = 0; i < 8; i++) {
		ctx->min_ns = canp_min(ctx->min_ns, low[i]);
		ctx->max_ns = canp_max(ctx->max_ns, high[i]);
	}
	return done;
}
#endif
