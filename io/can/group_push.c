/*
 * group_push.c - frames into records: one by one, and blocks of 24-byte frames through the kernel.
 * See group.c for how the two are kept equal.
 *
 * This is the hot path of every format: a frame costs a look-up, one or two cache lines of the
 * chunk, and nothing of the table's description.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/can/group_parts.h"

#define FRAME24_BYTES 24u
#define FRAME24_EXT   0x80000000u
#define FRAME24_RTR   0x40000000u
#define FRAME24_ERR   0x20000000u
#define ID_STD_MAX    0x7ffu
#define ID_EXT_MAX    0x1fffffffu
#define EVENT_FLAGS   (CANP_FF_RTR | CANP_FF_ERR | CANP_FF_OVL | CANP_FF_GAP)

/* ---- chunks ---- */

void group_hand_over(struct canp_group *g, unsigned i)
{
	struct canp_slot *s = &g->slots[i];
	struct group_side *side = &g->sides[i];
	struct group_mark *m = &g->marks[i];
	struct canp_chunk chunk = {.rec = s->chunk, .rows = s->n};

	if (!m->nr_runs)
		group_mark_rows(g, i);
	if (side->runs[m->nr_runs - 1].start >= s->n)
		m->nr_runs--;
	chunk.lens = s->has_short ? s->lens : NULL;
	chunk.meta = side->runs;
	chunk.nr_meta = (unsigned)m->nr_runs;
	g->opts.chunk(g->opts.arg, i, g->tables[i], &chunk);
	if (s->has_short)
		memset(s->lens, 0xff, CANP_CHUNK_ROWS);
	s->has_short = 0;
	s->n = 0;
	m->nr_runs = 0;
	m->origin = 0;
}

struct group_frame {
	int64_t ts_ns;
	uint32_t id;
	unsigned flags, dlc, len;
	const uint8_t *data;
};

/* The first len bytes at p, zeros behind; reads nothing else. */
static inline uint64_t group_load(const uint8_t *p, unsigned len)
{
	uint64_t v = 0;
	unsigned shift = 0;

	if (canp_likely(len >= 8))
		return canp_le64(p);
	if (len & 4) {
		v = canp_le32(p);
		p += 4;
		shift = 32;
	}
	if (len & 2) {
		v |= (uint64_t)canp_le16(p) << shift;
		p += 2;
		shift += 16;
	}
	return len & 1 ? v | (uint64_t)*p << shift : v;
}

static inline uint64_t group_head(const struct group_frame *f, unsigned len)
{
	return f->id | (uint64_t)len << 32 | (uint64_t)(f->dlc & 0xff) << 40 |
	       (uint64_t)(f->flags & 0xffff) << 48;
}

static inline void group_put_payload(uint8_t *p, unsigned room, const struct group_frame *f,
				     unsigned len)
{
	unsigned off = 0;

	for (; off < len; off += 8)
		canp_put_le64(p + off, group_load(f->data + off, len - off));
	for (; off < room; off += 8)
		canp_put_le64(p + off, 0);
}

/* One record into slot i. The shape of the record follows from the slot alone: the table is not
 * touched, it would be one more cache line a frame. */
static void group_put(struct canp_group *g, unsigned i, const struct group_frame *f)
{
	struct canp_slot *s = &g->slots[i];
	unsigned stride = s->stride16 * 16u, room, len;
	uint8_t *rec;

	if (!s->chunk) {
		s->frames++;
		return;
	}
	rec = s->chunk + (size_t)s->n * stride;
	if (canp_unlikely(g->marks[i].origin != g->origin))
		group_mark_rows(g, i);
	room = s->cls == CANP_REC_F ? stride - 16 : 8;
	len = canp_min(f->len, room);
	canp_put_le64(rec, (uint64_t)f->ts_ns);
	if (s->cls == CANP_REC_F) {
		canp_put_le64(rec + 8, group_head(f, len));
		group_put_payload(rec + 16, room, f, len);
	} else {
		canp_put_le64(rec + 8, group_load(f->data, len));
		if (s->cls == CANP_REC_J) {
			canp_put_le64(rec + 16, group_head(f, len));
			canp_put_le64(rec + 24, 0);
		}
	}
	if (canp_unlikely(len < s->need)) {
		s->lens[s->n] = (uint8_t)len;
		s->has_short = 1;
	}
	if (canp_unlikely(++s->n == CANP_CHUNK_ROWS))
		group_hand_over(g, i);
}

/* ---- one frame ---- */

static inline void group_count_kind(struct canp_group *g, unsigned flags)
{
	struct canp_group_counts *c = &g->counts;

	if (canp_likely(!(flags & EVENT_FLAGS))) {
		c->frames++;
		return;
	}
	if (flags & CANP_FF_GAP)
		c->gaps++;
	else
		c->frames++;
	c->error_frames += (flags & CANP_FF_ERR) != 0;
	c->overload_frames += (flags & CANP_FF_OVL) != 0;
	/* An error frame may carry the remote bit of the frame it hit. */
	c->remote_frames += (flags & (CANP_FF_RTR | CANP_FF_ERR | CANP_FF_OVL)) == CANP_FF_RTR;
}

/* Events are counted by kind already: every frame is counted in one place only. */
static void group_drop(struct canp_group *g, unsigned flags)
{
	g->counts.frames_dropped += !(flags & EVENT_FLAGS);
}

static void group_count_time(struct canp_group *g, int64_t ts_ns)
{
	struct canp_group_counts *c = &g->counts;

	if (!g->timed)
		c->first_ns = c->min_ns = c->max_ns = ts_ns;
	g->timed = true;
	c->last_ns = ts_ns;
	c->min_ns = canp_min(c->min_ns, ts_ns);
	c->max_ns = canp_max(c->max_ns, ts_ns);
}

static void group_data_frame(struct canp_group *g, const struct canp_idmap *map,
			     const struct group_frame *f)
{
	bool ext = f->flags & CANP_FF_EXT;
	unsigned slot = CANP_SLOT_UNKNOWN;

	/* A standard id beyond 11 bits is nobody's. */
	if (ext || f->id <= ID_STD_MAX)
		slot = canp_idmap_find(map, f->id, ext);
	if (slot == CANP_SLOT_UNKNOWN)
		group_note_unknown(g, f->id | (ext ? FRAME24_EXT : 0));
	else if (slot == CANP_SLOT_DROP)
		g->counts.frames_dropped++;
	else
		g->counts.frames_decoded++;
	group_put(g, slot, f);
	if (g->raw || (g->keep_unknown && slot == CANP_SLOT_UNKNOWN))
		group_put(g, CANP_SLOT_RAW, f);
}

void canp_group_push(struct canp_group *g, const struct canp_busref *bus, int64_t ts_ns,
		     uint32_t id, unsigned flags, unsigned dlc, const uint8_t *data, unsigned len)
{
	struct group_frame f = {ts_ns, id & ID_EXT_MAX, flags, dlc, canp_min(len, 64u), data};
	bool late = g->opts.to_ns != INT64_MAX && ts_ns >= g->opts.to_ns;

	group_count_kind(g, flags);
	if (!bus->map || late || ts_ns < g->opts.from_ns) {
		/* A grouper that only tells its calls has no maps. */
		if (g->capture)
			g->capture->push(g->capture->arg, bus->number, ts_ns, f.id, flags, dlc,
					 data, f.len);
		group_drop(g, flags);
		return;
	}
	group_count_time(g, ts_ns);
	group_set_origin(g, g->cur.src, g->cur.device, bus->number);
	if (flags & CANP_FF_RTR)
		f.len = 0;
	if (flags & EVENT_FLAGS)
		group_put(g, CANP_SLOT_EVENTS, &f);
	else
		group_data_frame(g, bus->map, &f);
}

/* ---- blocks of 24-byte frames ---- */

static unsigned group_flags24(uint32_t idw)
{
	return (idw & FRAME24_EXT ? CANP_FF_EXT : 0u) | (idw & FRAME24_RTR ? CANP_FF_RTR : 0u) |
	       (idw & FRAME24_ERR ? CANP_FF_ERR : 0u);
}

static struct group_frame group_frame24(const uint8_t *p, int64_t ts_ns)
{
	uint32_t idw = canp_be32(p + 8);
	struct group_frame f = {
		.ts_ns = ts_ns, .flags = group_flags24(idw), .dlc = p[12], .data = p + 16};

	/* The id of an error frame is a bit field of error classes. */
	f.id = idw & (idw & (FRAME24_EXT | FRAME24_ERR) ? ID_EXT_MAX : ID_STD_MAX);
	f.len = canp_min(f.dlc, 8u);
	return f;
}

/* A frame the kernel does not take. */
static void group_push_one24(struct canp_group *g, const struct canp_busref *bus, const uint8_t *p,
			     int64_t ts_mul, int64_t ts_add)
{
	__int128 ts = (__int128)canp_be64(p) * ts_mul + ts_add;
	struct group_frame f = group_frame24(p, (int64_t)ts);

	if (ts < INT64_MIN || ts > INT64_MAX) {
		group_count_kind(g, f.flags);
		g->counts.bad_times++;
		return;
	}
	canp_group_push(g, bus, f.ts_ns, f.id, f.flags, f.dlc, f.data, f.len);
}

/* The raw timestamps whose frames the kernel may take: no overflow on the way, inside
 * --from/--to. False: none. */
static bool group_window(struct canp_group *g, int64_t ts_mul, int64_t ts_add)
{
	__int128 lo = g->opts.from_ns, hi = g->opts.to_ns, top = INT64_MAX;

	if (hi != INT64_MAX)
		hi--;
	if (ts_mul <= 0)
		return false;
	/* In ticks, rounded inwards; raw values are not negative. */
	lo -= ts_add;
	hi -= ts_add;
	if (hi < 0 || hi < lo)
		return false;
	lo = lo <= 0 ? 0 : (lo + ts_mul - 1) / ts_mul;
	hi = canp_min(hi / ts_mul, top / ts_mul);
	if (hi < lo)
		return false;
	g->ctx.ts_lo = (uint64_t)lo;
	g->ctx.ts_span = (uint64_t)(hi - lo);
	g->ctx.ts_mul = ts_mul;
	g->ctx.ts_add = ts_add;
	return true;
}

/* Data frames the kernel has consumed, into the raw table: all, or those with unknown ids. */
static void group_copy_raw24(struct canp_group *g, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++, p += FRAME24_BYTES) {
		uint64_t ts = canp_be64(p) * (uint64_t)g->ctx.ts_mul + (uint64_t)g->ctx.ts_add;
		struct group_frame f = group_frame24(p, (int64_t)ts);

		if (g->raw ||
		    canp_idmap_find(g->ctx.map, f.id, f.flags & CANP_FF_EXT) == CANP_SLOT_UNKNOWN)
			group_put(g, CANP_SLOT_RAW, &f);
	}
}

/* Counts what a kernel call consumed. */
static void group_account24(struct canp_group *g, const uint8_t *p, size_t used, uint64_t dropped,
			    uint64_t unknown)
{
	struct canp_group_counts *c = &g->counts;

	if (!used)
		return;
	c->frames += used;
	c->frames_dropped += dropped;
	c->frames_decoded += used - dropped - unknown;
	if (!g->timed)
		c->first_ns = g->ctx.first_ns;
	g->timed = true;
	c->last_ns = g->ctx.last_ns;
	c->min_ns = g->ctx.min_ns;
	c->max_ns = g->ctx.max_ns;
	for (uint32_t i = 0; i < g->ctx.nr_unknown; i++)
		group_note_unknown(g, g->ctx.unknown_ids[i]);
	if (g->raw || (g->keep_unknown && unknown))
		group_copy_raw24(g, p, used);
}

static size_t group_run24(struct canp_group *g, const uint8_t *p, size_t n)
{
	struct canp_frames_ctx *ctx = &g->ctx;
	uint64_t dropped = g->slots[CANP_SLOT_DROP].frames;
	uint64_t unknown = g->slots[CANP_SLOT_UNKNOWN].frames;
	size_t used;

	group_before_kernel(g);
	ctx->nr_unknown = 0;
	ctx->min_ns = g->timed ? g->counts.min_ns : INT64_MAX;
	ctx->max_ns = g->timed ? g->counts.max_ns : INT64_MIN;
	used = canp_simd.frames24(ctx, p, n);
	CANP_ASSERT(used <= n && (used || ctx->stop != CANP_FRAMES_DONE));
	group_account24(g, p, used, g->slots[CANP_SLOT_DROP].frames - dropped,
			g->slots[CANP_SLOT_UNKNOWN].frames - unknown);
	if (ctx->stop == CANP_FRAMES_FULL)
		group_hand_over(g, ctx->stop_slot);
	return used;
}

/* Frames of a bus that is not selected are counted by kind, nothing else. */
static void group_drop24(struct canp_group *g, const uint8_t *p, size_t n)
{
	for (; n; n--, p += FRAME24_BYTES) {
		unsigned flags = group_flags24(canp_be32(p + 8));

		group_count_kind(g, flags);
		group_drop(g, flags);
	}
}

void canp_group_push24(struct canp_group *g, const struct canp_busref *bus, const uint8_t *frames,
		       size_t n, int64_t ts_mul, int64_t ts_add)
{
	const struct canp_frames_ctx *ctx = &g->ctx;
	bool fast;

	if (g->capture) {
		g->capture->push24(g->capture->arg, bus->number, frames, n, ts_mul, ts_add);
		return;
	}
	if (!bus->map) {
		group_drop24(g, frames, n);
		return;
	}
	/* Logs hand over a few hundred frames at a time, and the window costs two long divisions.
	 */
	if (canp_unlikely(g->window_mul != ts_mul || g->window_add != ts_add || !ts_mul)) {
		g->window_fast = group_window(g, ts_mul, ts_add);
		g->window_mul = ts_mul;
		g->window_add = ts_add;
	}
	fast = g->window_fast;
	g->ctx.map = bus->map;
	group_set_origin(g, g->cur.src, g->cur.device, bus->number);
	while (n) {
		size_t used = fast ? group_run24(g, frames, n) : 0;

		frames += used * FRAME24_BYTES;
		n -= used;
		if (!n || (fast && ctx->stop != CANP_FRAMES_SPECIAL))
			continue;
		/* One frame by hand, and with it all that are out of the window: they come in long
		 * stretches when --from or --to cut a file. */
		do {
			group_push_one24(g, bus, frames, ts_mul, ts_add);
			frames += FRAME24_BYTES;
			n--;
		} while (n && (!fast || canp_be64(frames) - ctx->ts_lo > ctx->ts_span));
	}
}
