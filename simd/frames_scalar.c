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

/* What every frame adds to, kept out of the context so that the compiler may use registers: a
 * store into a chunk could alias anything in memory. */
struct frames_run {
	int64_t first, last, min, max;
};

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

static void frames_flush(struct canp_frames_ctx *ctx, const struct frames_run *run, size_t done)
{
	if (!done)
		return;
	ctx->first_ns = run->first;
	ctx->last_ns = run->last;
	ctx->min_ns = run->min;
	ctx->max_ns = run->max;
}

static inline int64_t frames_ts(const struct canp_frames_ctx *ctx, uint64_t raw)
{
	/* Unsigned, because only the caller's window promises that this does not overflow. */
	return (int64_t)(raw * (uint64_t)ctx->ts_mul + (uint64_t)ctx->ts_add);
}

size_t canp_frames24_scalar(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	const struct canp_idmap *map = ctx->map;
	struct canp_slot *slots = ctx->slots;
	const uint64_t ts_lo = ctx->ts_lo, ts_span = ctx->ts_span;
	struct frames_run run = {.min = ctx->min_ns, .max = ctx->max_ns};
	enum canp_frames_stop stop = CANP_FRAMES_DONE;
	size_t i;

	run.first = run.last = n ? frames_ts(ctx, canp_be64(p)) : 0;
	for (i = 0; i < n; i++, p += FRAME_BYTES) {
		uint64_t raw = canp_be64(p);
		uint32_t idw = canp_be32(p + 8);
		unsigned dlc = p[12], len = dlc < 8 ? dlc : 8, row;
		bool ext = idw & ID_EXT;
		struct canp_slot *s;
		uint16_t slot;
		uint8_t *rec;
		int64_t ts;

		if (canp_unlikely(raw - ts_lo > ts_span || (idw & (ID_RTR | ID_ERR)))) {
			stop = CANP_FRAMES_SPECIAL;
			break;
		}
		slot = canp_idmap_find(map, ext ? idw & ID_MASK_EXT : idw, ext);
		s = &slots[slot];
		if (canp_unlikely(slot == CANP_SLOT_UNKNOWN)) {
			if (ctx->nr_unknown >= CANP_FRAMES_UNKNOWN_MAX) {
				stop = CANP_FRAMES_UNKNOWN;
				break;
			}
			ctx->unknown_ids[ctx->nr_unknown++] =
				ext ? idw & (ID_EXT | ID_MASK_EXT) : idw & ID_MASK_STD;
		}
		if (canp_unlikely(s->cls == CANP_REC_F)) {
			stop = CANP_FRAMES_SPECIAL;
			break;
		}
		ts = frames_ts(ctx, raw);
		run.last = ts;
		run.min = canp_min(run.min, ts);
		run.max = canp_max(run.max, ts);
		s->frames++;
		if (canp_unlikely(!s->chunk))
			continue;
		row = s->n;
		rec = s->chunk + (size_t)row * s->stride16 * 16;
		canp_put_le64(rec, (uint64_t)ts);
		canp_put_le64(rec + 8, frames_keep(canp_le64(p + 16), len));
		if (canp_unlikely(s->cls == CANP_REC_J))
			frames_store_j(rec, idw, len, dlc);
		if (canp_unlikely(len < s->need)) {
			s->lens[row] = (uint8_t)len;
			s->has_short = 1;
		}
		s->n = (uint16_t)(row + 1);
		if (canp_unlikely(row + 1 >= CANP_CHUNK_ROWS)) {
			ctx->stop_slot = slot;
			stop = CANP_FRAMES_FULL;
			i++;
			break;
		}
	}
	ctx->stop = stop;
	frames_flush(ctx, &run, i);
	return i;
}
