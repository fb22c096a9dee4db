/*
 * frames_avx512.c - the decode half of frames24 eight frames at a time, grouping one by one.
 *
 * A frame is three quadwords, so eight frames are three registers, and six two-source permutes turn
 * them into columns without reading a byte twice or too far. Time, window, length and payload mask
 * are then computed for all eight; what remains per frame is: look the message up, copy 16 bytes,
 * count. (Gathering the slots and scattering the records with vector instructions is slower.)
 *
 * Anything out of the ordinary (extended ids, a time outside the window, tables that are not class
 * S) goes to the portable kernel: one frame at a time inside a group, SCALAR_RUN frames when the
 * group as a whole does not qualify, as with J1939 logs where no group ever does.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include <immintrin.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/kernels.h"

#define FRAME_BYTES 24u
#define GROUP       8u
#define SCALAR_RUN  64u

/* Eight decoded frames. Records of even frames come first: that is how unpacking leaves them. */
struct frames_group {
	__m512i rec[2];
	uint64_t id_len[GROUP]; /* id in the low half, payload bytes in the high one */
	int64_t ts[GROUP];
} CANP_ALIGNED(64);

struct frames_consts {
	__m512i ts_lo, ts_span, mul, add;
};

static inline __m512i frames_column(const __m512i in[3], __m512i from01, __mmask8 m2, __m512i from2)
{
	__m512i x = _mm512_permutex2var_epi64(in[0], from01, in[1]);

	return _mm512_mask_permutexvar_epi64(x, m2, from2, in[2]);
}

/* False: at least one of the eight frames is not plain. */
static inline bool frames_decode(const uint8_t *p, const struct frames_consts *c,
				 struct frames_group *g)
{
	const __m512i swap_ts = _mm512_broadcast_i32x4(
		_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
	/* Big-endian id, length, three bytes of padding -> id and length as two u32. */
	const __m512i swap_id = _mm512_broadcast_i32x4(
		_mm_setr_epi8(3, 2, 1, 0, 4, -1, -1, -1, 11, 10, 9, 8, 12, -1, -1, -1));
	const __m512i len_max = _mm512_set1_epi64(8ll << 32 | 0xffffffff);
	const __m512i wide = _mm512_set1_epi64(0xfffff800), one = _mm512_set1_epi64(1);
	const __m512i in[3] = {_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64),
			       _mm512_loadu_si512(p + 128)};
	__m512i raw, id, data, ts;
	__mmask8 odd;

	/* Quadwords 3f, 3f+1, 3f+2 of 24; those from 16 on lie in the third register. */
	raw = frames_column(in, _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0), 0xc0,
			    _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 2, 5));
	id = frames_column(in, _mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0), 0xe0,
			   _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 3, 6));
	data = frames_column(in, _mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0), 0xe0,
			     _mm512_setr_epi64(0, 0, 0, 0, 0, 1, 4, 7));
	raw = _mm512_shuffle_epi8(raw, swap_ts);
	id = _mm512_min_epu32(_mm512_shuffle_epi8(id, swap_id), len_max);
	odd = _mm512_test_epi64_mask(id, wide);
	odd |= _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(raw, c->ts_lo), c->ts_span);
	if (canp_unlikely(odd))
		return false;
	ts = _mm512_add_epi64(_mm512_mullo_epi64(raw, c->mul), c->add);
	/* 1 << 8 * len, minus 1; a shift by 64 gives 0. Ids have 11 bits here. */
	data = _mm512_and_si512(
		data, _mm512_sub_epi64(_mm512_sllv_epi64(one, _mm512_srli_epi64(id, 29)), one));
	g->rec[0] = _mm512_unpacklo_epi64(ts, data);
	g->rec[1] = _mm512_unpackhi_epi64(ts, data);
	_mm512_store_si512(g->id_len, id);
	_mm512_store_si512(g->ts, ts);
	return true;
}

/* Groups the decoded frames; returns how many were consumed and sets ctx->stop when that is less
 * than all or the last one filled a chunk. Unknown ids never have class S here. */
static inline unsigned frames_group(struct canp_frames_ctx *ctx, const uint8_t *p,
				    const struct frames_group *g)
{
	const uint16_t *std = ctx->map->std;
	struct canp_slot *slots = ctx->slots;

#pragma GCC unroll 8
	for (unsigned k = 0; k < GROUP; k++) {
		struct canp_slot *s = &slots[std[(uint16_t)g->id_len[k]]];
		uint8_t *chunk = s->chunk;
		size_t row = s->n;

		if (canp_unlikely(s->cls != CANP_REC_S || !chunk)) {
			if (!canp_frames24_scalar(ctx, p + k * FRAME_BYTES, 1))
				return k;
			if (ctx->stop != CANP_FRAMES_DONE)
				return k + 1;
			continue;
		}
		_mm_storeu_si128((__m128i *)(chunk + row * 16),
				 _mm_load_si128((const __m128i *)&g->rec[k & 1] + k / 2));
		if (canp_unlikely((uint8_t)(g->id_len[k] >> 32) < s->need)) {
			s->lens[row] = (uint8_t)(g->id_len[k] >> 32);
			s->has_short = 1;
		}
		s->frames++;
		s->n = (uint16_t)(row + 1);
		if (canp_unlikely(row >= CANP_CHUNK_ROWS - 1)) {
			ctx->stop = CANP_FRAMES_FULL;
			ctx->stop_slot = std[(uint16_t)g->id_len[k]];
			return k + 1;
		}
	}
	return GROUP;
}

static void frames_bounds(struct canp_frames_ctx *ctx, const int64_t *ts, unsigned n)
{
	while (n--) {
		ctx->min_ns = canp_min(ctx->min_ns, ts[n]);
		ctx->max_ns = canp_max(ctx->max_ns, ts[n]);
	}
}

size_t canp_frames24_avx512(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	const struct frames_consts c = {_mm512_set1_epi64((long long)ctx->ts_lo),
					_mm512_set1_epi64((long long)ctx->ts_span),
					_mm512_set1_epi64(ctx->ts_mul),
					_mm512_set1_epi64(ctx->ts_add)};
	__m512i min = _mm512_set1_epi64(INT64_MAX), max = _mm512_set1_epi64(INT64_MIN);
	struct frames_group g;
	size_t i = 0;

	/* The group loop does not look for unknown ids: they are no plain table, by this. */
	if (ctx->slots[CANP_SLOT_UNKNOWN].cls == CANP_REC_S)
		return canp_frames24_scalar(ctx, p, n);
	ctx->stop = CANP_FRAMES_DONE;
	while (i < n && ctx->stop == CANP_FRAMES_DONE) {
		if (n - i >= GROUP && frames_decode(p + i * FRAME_BYTES, &c, &g)) {
			unsigned done = frames_group(ctx, p + i * FRAME_BYTES, &g);
			__m512i ts = _mm512_load_si512(g.ts);

			if (canp_likely(done == GROUP)) {
				min = _mm512_min_epi64(min, ts);
				max = _mm512_max_epi64(max, ts);
			} else {
				frames_bounds(ctx, g.ts, done);
			}
			i += done;
		} else {
			i += canp_frames24_scalar(ctx, p + i * FRAME_BYTES,
						  canp_min(n - i, (size_t)SCALAR_RUN));
		}
	}
	ctx->min_ns = canp_min(ctx->min_ns, _mm512_reduce_min_epi64(min));
	ctx->max_ns = canp_max(ctx->max_ns, _mm512_reduce_max_epi64(max));
	if (i) {
		uint64_t last = canp_be64(p + (i - 1) * FRAME_BYTES);

		ctx->first_ns =
			(int64_t)(canp_be64(p) * (uint64_t)ctx->ts_mul + (uint64_t)ctx->ts_add);
		ctx->last_ns = (int64_t)(last * (uint64_t)ctx->ts_mul + (uint64_t)ctx->ts_add);
	}
	return i;
}
#endif
