/*
 * frames_group.h - the group half of frames24 for kernels that decode eight frames at a time:
 * private to simd/frames_avx2.c and frames_avx512.c, each of which compiles it for its processor.
 *
 * What remains per frame is: find the slot, copy the record, count. One comparison tells whether a
 * frame is plain: slots that store no records of the class say that they need 255 bytes. All that
 * is not plain goes to frames_rare(), which is frame by frame what frames_scalar.c does.
 *
 * (Gathering slots and scattering records with vector instructions is slower.)
 */
#ifndef CANP_SIMD_FRAMES_GROUP_H
#define CANP_SIMD_FRAMES_GROUP_H

#include <immintrin.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/kernels.h"

#define FRAME_BYTES 24u
#define GROUP       8u
/* Where the record of frame k stands: unpacking leaves those of even frames first. */
#define GROUP_REC(k) ((k) / 2 + ((k)&1) * 4)

/* Groups decoded before they are grouped: an id is looked up long before its slot is needed. */
#define AHEAD 6u

enum frames_shape {
	FRAMES_STD,  /* eight data frames of 11-bit ids inside the window */
	FRAMES_WIDE, /* the same with other ids among them; slots are set */
	FRAMES_ODD,  /* something else is among them */
};

/* Eight decoded frames. */
struct frames_group {
	__m128i rec[GROUP];   /* time and payload, see GROUP_REC */
	uint64_t tail[GROUP]; /* third quadword of class J: id, len at bit 32, dlc, flags */
	int64_t ts[GROUP];
	uint32_t slot[GROUP]; /* only when not all ids are standard ones */
	enum frames_shape shape;
} CANP_ALIGNED(64);

static inline uint8_t frames_len(const struct frames_group *g, unsigned k)
{
	return ((const uint8_t *)&g->tail[k])[4];
}

/* A frame that is not plain. False: it was not consumed; ctx->stop says why. */
static CANP_NOINLINE bool frames_rare(struct canp_frames_ctx *ctx, const struct frames_group *g,
				      unsigned k, struct canp_slot *s)
{
	uint32_t slot = (uint32_t)(s - ctx->slots);
	uint32_t id = (uint32_t)g->tail[k], ext = (uint32_t)(g->tail[k] >> 48) << 31;
	uint8_t len = frames_len(g, k), *rec;

	if (s->cls == CANP_REC_F) {
		ctx->stop = CANP_FRAMES_SPECIAL;
		return false;
	}
	if (slot == CANP_SLOT_UNKNOWN) {
		if (ctx->nr_unknown >= CANP_FRAMES_UNKNOWN_MAX) {
			ctx->stop = CANP_FRAMES_UNKNOWN;
			return false;
		}
		ctx->unknown_ids[ctx->nr_unknown++] = id | ext;
	}
	if (!s->chunk) {
		s->frames++;
		return true;
	}
	rec = s->chunk + (size_t)s->n * (s->cls == CANP_REC_S ? 16 : 32);
	_mm_storeu_si128((__m128i *)rec, g->rec[GROUP_REC(k)]);
	if (s->cls != CANP_REC_S)
		_mm_storeu_si128((__m128i *)(rec + 16), _mm_loadl_epi64((void *)&g->tail[k]));
	if (len < s->need) {
		s->lens[s->n] = len;
		s->has_short = 1;
	}
	if (++s->n >= CANP_CHUNK_ROWS) {
		ctx->stop = CANP_FRAMES_FULL;
		ctx->stop_slot = (uint16_t)slot;
	}
	return true;
}

/* Both that follow return how many were consumed; when that is less than all, or the last one
 * filled a chunk, ctx->stop says why. */
static CANP_NOINLINE unsigned frames_full(struct canp_frames_ctx *ctx, const struct canp_slot *s,
					  unsigned done)
{
	ctx->stop = CANP_FRAMES_FULL;
	ctx->stop_slot = (uint16_t)(s - ctx->slots);
	return done;
}

static inline unsigned frames_group_std(struct canp_frames_ctx *ctx, const uint16_t *std,
					struct canp_slot *slots, const struct frames_group *g)
{
#pragma GCC unroll 8
	for (unsigned k = 0; k < GROUP; k++) {
		struct canp_slot *s = &slots[std[(uint16_t)g->tail[k]]];
		size_t row = s->n;

		if (canp_unlikely(frames_len(g, k) < s->plain_s)) {
			if (!frames_rare(ctx, g, k, s))
				return k;
			if (ctx->stop != CANP_FRAMES_DONE)
				return k + 1;
			continue;
		}
		_mm_storeu_si128((__m128i *)(s->chunk + row++ * 16), g->rec[GROUP_REC(k)]);
		s->n = (uint16_t)row;
		if (canp_unlikely(row >= CANP_CHUNK_ROWS))
			return frames_full(ctx, s, k + 1);
	}
	return GROUP;
}

static inline unsigned frames_group_wide(struct canp_frames_ctx *ctx, struct canp_slot *slots,
					 const struct frames_group *g)
{
#pragma GCC unroll 8
	for (unsigned k = 0; k < GROUP; k++) {
		struct canp_slot *s = &slots[g->slot[k]];
		uint8_t len = frames_len(g, k);
		size_t row = s->n;

		if (canp_likely(len >= s->plain_j)) {
			__m128i *rec = (__m128i *)(s->chunk + row * 32);

			_mm_storeu_si128(rec, g->rec[GROUP_REC(k)]);
			_mm_storeu_si128(rec + 1, _mm_loadl_epi64((void *)&g->tail[k]));
		} else if (len >= s->plain_s) {
			_mm_storeu_si128((__m128i *)(s->chunk + row * 16), g->rec[GROUP_REC(k)]);
		} else {
			if (!frames_rare(ctx, g, k, s))
				return k;
			if (ctx->stop != CANP_FRAMES_DONE)
				return k + 1;
			continue;
		}
		s->n = (uint16_t)++row;
		if (canp_unlikely(row >= CANP_CHUNK_ROWS))
			return frames_full(ctx, s, k + 1);
	}
	return GROUP;
}

static inline unsigned frames_group(struct canp_frames_ctx *ctx, const struct canp_idmap *map,
				    const struct frames_group *g)
{
	return canp_likely(g->shape == FRAMES_STD) ? frames_group_std(ctx, map->std, ctx->slots, g)
						   : frames_group_wide(ctx, ctx->slots, g);
}

/* What a call reports about the times of n frames at p, of which the bounds are known. */
static inline void frames_times(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	const uint64_t mul = (uint64_t)ctx->ts_mul, add = (uint64_t)ctx->ts_add;

	if (!n)
		return;
	ctx->first_ns = (int64_t)(canp_be64(p) * mul + add);
	ctx->last_ns = (int64_t)(canp_be64(p + (n - 1) * FRAME_BYTES) * mul + add);
}

/* The loop of both kernels. decode fills a group from eight frames; note takes the times of a group
 * into bounds; the caller puts those into ctx. */
typedef enum frames_shape frames_decode_fn(const uint8_t *p, const struct canp_idmap *map,
					   const void *consts, struct frames_group *g);
typedef void frames_note_fn(void *bounds, const int64_t *ts);

CANP_INLINE size_t frames_run(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n,
			      frames_decode_fn decode, const void *consts, frames_note_fn note,
			      void *bounds)
{
	const struct canp_idmap *map = ctx->map;
	struct frames_group g[AHEAD];
	size_t i = 0;

	ctx->stop = CANP_FRAMES_DONE;
	while (i < n && ctx->stop == CANP_FRAMES_DONE) {
		const uint8_t *from = p + i * FRAME_BYTES;
		unsigned nr = 0, k;

		for (; nr < AHEAD && n - i >= (nr + 1) * GROUP; nr++) {
			g[nr].shape = decode(from + nr * GROUP * FRAME_BYTES, map, consts, &g[nr]);
			if (canp_unlikely(g[nr].shape == FRAMES_ODD))
				break;
		}
		for (k = 0; k < nr && canp_likely(ctx->stop == CANP_FRAMES_DONE); k++) {
			unsigned done = frames_group(ctx, map, &g[k]);

			i += done;
			if (canp_likely(done == GROUP)) {
				note(bounds, g[k].ts);
				continue;
			}
			for (unsigned j = 0; j < done; j++) {
				ctx->min_ns = canp_min(ctx->min_ns, g[k].ts[j]);
				ctx->max_ns = canp_max(ctx->max_ns, g[k].ts[j]);
			}
		}
		/* The group that ended the decoding, or the last few frames. */
		if (canp_unlikely(nr < AHEAD && ctx->stop == CANP_FRAMES_DONE && i < n))
			i += canp_frames24_scalar(ctx, p + i * FRAME_BYTES,
						  canp_min(n - i, (size_t)GROUP));
	}
	frames_times(ctx, p, i);
	return i;
}

#endif
