/*
 * frames_scalar.c - the fused decode and group pass over 24-byte CANP frames.
 *
 *   0      8     12  13    16       24
 *   | ts   | id   |dlc| pad | data  |       ts and id big-endian, id with bit 31 extended,
 *                                           bit 30 remote, bit 29 error
 *
 * A frame is read once and leaves as one 16-byte store into the chunk of its message; everything
 * else that must be known per frame (bounds of time, counts, short payloads) rides along in
 * registers. Splitting decode and group costs 3..6 times as much: the columns written in between
 * leave L1, and conflict detection plus scatter is slower than the store buffer.
 *
 * The two branches that are taken rarely (special frames, short payloads) are predicted; what
 * varies from frame to frame (length, message) is computed without branches.
 */
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/kernels.h"

#define FRAME_BYTES 24u
#define ID_EXT      0x80000000u
#define ID_RTR      0x40000000u
#define ID_ERR      0x20000000u
#define ID_MASK_EXT 0x1fffffffu
#define ID_MASK_STD 0x7ffu

/* Keeps the first `len` payload bytes, 0..8, in memory order (little-endian lanes). */
static inline uint64_t frames_keep(uint64_t data, unsigned len)
{
	static const uint64_t keep[9] = {
		0,
		0xff,
		0xffff,
		0xffffff,
		0xffffffff,
		0xffffffffff,
		0xffffffffffff,
		0xffffffffffffff,
		0xffffffffffffffff,
	};

	return data & keep[len];
}

/* Id, length and flags behind the {ts, data} that both classes start with; see frames.h. */
static void frames_store_j(uint8_t *rec, uint32_t idw, unsigned len, unsigned dlc)
{
	bool ext = idw & ID_EXT;
	uint64_t tail = (idw & (ext ? ID_MASK_EXT : ID_MASK_STD)) | (uint64_t)len << 32 |
			(uint64_t)dlc << 40 | (uint64_t)(ext ? CANP_FF_EXT : 0) << 48;

	canp_put_le64(rec + 16, tail);
	canp_put_le64(rec + 24, 0);
}

/* Stores one record; returns whether the chunk is complete now. */
static inline bool frames_store(struct canp_slot *s, enum canp_rec_class cls, const uint8_t *p,
				uint32_t idw, int64_t ts)
{
	unsigned dlc = p[12], len = dlc < 8 ? dlc : 8, row = s->n;
	uint8_t *rec = s->chunk + (size_t)row * (cls == CANP_REC_S ? 16 : 32);

	canp_put_le64(rec, (uint64_t)ts);
	canp_put_le64(rec + 8, frames_keep(canp_le64(p + 16), len));
	if (cls == CANP_REC_J)
		frames_store_j(rec, idw, len, dlc);
	if (canp_unlikely(len < s->need)) {
		s->lens[row] = (uint8_t)len;
		s->has_short = 1;
	}
	s->n = (uint16_t)(row + 1);
	return row + 1 >= CANP_CHUNK_ROWS;
}

/* Any frame that is not a standard one for a class S table: other classes, counters, unknown ids.
 * DONE and FULL: it was consumed. */
static CANP_NOINLINE enum canp_frames_stop frames_other(struct canp_frames_ctx *ctx, uint16_t slot,
							const uint8_t *p, int64_t ts)
{
	struct canp_slot *s = &ctx->slots[slot];
	uint32_t idw = canp_be32(p + 8);
	bool full = false;

	if (s->cls == CANP_REC_F)
		return CANP_FRAMES_SPECIAL;
	if (slot == CANP_SLOT_UNKNOWN) {
		if (ctx->nr_unknown >= CANP_FRAMES_UNKNOWN_MAX)
			return CANP_FRAMES_UNKNOWN;
		ctx->unknown_ids[ctx->nr_unknown++] =
			idw & ID_EXT ? idw & (ID_EXT | ID_MASK_EXT) : idw & ID_MASK_STD;
	}
	if (!s->chunk)
		s->frames++;
	else
		full = frames_store(s, s->cls, p, idw, ts);
	return full ? CANP_FRAMES_FULL : CANP_FRAMES_DONE;
}

/* Slot of a frame whose id word has more than 11 bits; false for a remote or error frame. */
static inline bool frames_slot_wide(const struct canp_idmap *map, uint32_t idw, uint16_t *slot)
{
	if (idw & (ID_RTR | ID_ERR))
		return false;
	*slot = canp_idmap_find(map, idw & ID_MASK_EXT, idw & ID_EXT);
	return true;
}

/* What the loop carries is kept out of the context: a store into a chunk could alias it, and the
 * registers are just enough. */
size_t canp_frames24_scalar(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	const struct canp_idmap *map = ctx->map;
	struct canp_slot *slots = ctx->slots;
	const uint8_t *begin = p, *end = p + n * FRAME_BYTES;
	const uint64_t ts_lo = ctx->ts_lo, ts_span = ctx->ts_span;
	const uint64_t mul = (uint64_t)ctx->ts_mul, add = (uint64_t)ctx->ts_add;
	int64_t max = ctx->max_ns;

	ctx->stop = CANP_FRAMES_DONE;
	for (; p < end; p += FRAME_BYTES) {
		uint64_t raw = canp_be64(p);
		uint32_t idw = canp_be32(p + 8);
		enum canp_frames_stop stop;
		struct canp_slot *s;
		uint16_t slot;
		int64_t ts;

		if (canp_likely(idw <= ID_MASK_STD))
			slot = map->std[idw];
		else if (!frames_slot_wide(map, idw, &slot))
			goto special;
		if (canp_unlikely(raw - ts_lo > ts_span))
			goto special;
		/* Unsigned, because only the caller's window promises that this fits. */
		ts = (int64_t)(raw * mul + add);
		s = &slots[slot];
		if (canp_likely(s->cls == CANP_REC_S && s->chunk && slot != CANP_SLOT_UNKNOWN)) {
			stop = frames_store(s, CANP_REC_S, p, idw, ts) ? CANP_FRAMES_FULL
								       : CANP_FRAMES_DONE;
		} else {
			stop = frames_other(ctx, slot, p, ts);
		}
		if (canp_unlikely(stop != CANP_FRAMES_DONE)) {
			ctx->stop = stop;
			ctx->stop_slot = slot;
			if (stop != CANP_FRAMES_FULL)
				break;
		}
		/* Logs ascend but for jitter; and what is newest is not the least, see below. */
		if (canp_likely(ts >= max))
			max = ts;
		else
			ctx->min_ns = canp_min(ctx->min_ns, ts);
		if (canp_unlikely(stop != CANP_FRAMES_DONE)) {
			p += FRAME_BYTES;
			break;
		}
		continue;
	special:
		ctx->stop = CANP_FRAMES_SPECIAL;
		break;
	}
	ctx->max_ns = max;
	if (p != begin) {
		ctx->first_ns = (int64_t)(canp_be64(begin) * mul + add);
		ctx->last_ns = (int64_t)(canp_be64(p - FRAME_BYTES) * mul + add);
		/* The one frame that may be the newest and the least. */
		ctx->min_ns = canp_min(ctx->min_ns, ctx->first_ns);
	}
	return (size_t)(p - begin) / FRAME_BYTES;
}
