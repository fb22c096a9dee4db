/*
 * group.c - frames become chunks of records, one chunk per table.
 *
 * Two ways in. canp_group_push24() hands whole blocks to the frames24 kernel, which finds the
 * message of each frame and stores its record; it comes back for what is rare: a full chunk, a
 * frame that is no data frame or out of the time window, a full list of unknown ids.
 * canp_group_push() takes one frame of any format. Both leave the same rows in the same order.
 *
 * Where rows come from (src, device, bus) is a list of runs per chunk. The kernel knows nothing of
 * it, so a change is recorded before and after kernel calls for chunks that hold rows:
 *
 *   - a chunk without runs holds only rows of the current origin;
 *   - when the origin changes, chunks with rows but without runs get one for the old origin;
 *   - before the kernel runs under a new origin, every chunk with rows gets a run that starts at
 * its next row; a run that got no row is replaced or dropped.
 *
 * All memory is laid out once in the caller's block:
 *
 *   | canp_group | slots | tables | sides (lens, runs) | unknown ids | chunks, 64 bytes apart |
 */
#include "io/can/group.h"

#include <string.h>
#include <strings.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/units.h"

#define FRAME24_BYTES 24u
#define FRAME24_EXT   0x80000000u
#define FRAME24_RTR   0x40000000u
#define FRAME24_ERR   0x20000000u
#define ID_STD_MAX    0x7ffu
#define ID_EXT_MAX    0x1fffffffu

#define GROUP_BUSES_MAX 256u
/* 1 MiB a shard; filled to three quarters so that probing stays short. */
#define GROUP_UNKNOWN_SIZE 65536u
#define GROUP_UNKNOWN_MAX  (GROUP_UNKNOWN_SIZE / 4 * 3)
/* Keeps chunks of equal index from sharing cache sets. */
#define GROUP_STAGGER 64u

#define EVENT_FLAGS (CANP_FF_RTR | CANP_FF_ERR | CANP_FF_OVL | CANP_FF_GAP)

struct group_side { /* beside a slot: touched once a chunk, or for short rows */
	uint8_t lens[CANP_CHUNK_ROWS];
	/* Every run but a last empty one has a row, so one more than rows is enough. */
	struct canp_meta_run runs[CANP_CHUNK_ROWS + 1];
	uint32_t nr_runs;
};

struct group_unknown { /* key 0: empty */
	uint64_t key;
	uint64_t frames;
};

struct group_bus { /* a busref and what it was made for */
	struct canp_busref ref;
	unsigned number;
	uint64_t name_hash;
};

struct canp_group {
	struct canp_frames_ctx ctx;
	struct canp_group_opts opts;
	uint32_t nr_slots;
	bool raw, keep_unknown;
	struct canp_slot *slots;
	const struct canp_table **tables;
	struct group_side *sides;
	/* origin of frames from here on; start and pad unused */
	struct canp_meta_run cur;
	bool kernel_rows;   /* the kernel ran since the last change of origin */
	bool runs_outdated; /* the origin changed since the kernel ran last */
	bool timed;         /* counts have times */
	struct canp_group_counts counts;
	uint32_t nr_buses;
	struct group_bus buses[GROUP_BUSES_MAX];
	uint32_t nr_unknown;
	uint64_t unknown_overflow;
	struct group_unknown *unknown;
};

/* ---- memory -----------------------------------------------------------------------------------
 */

struct group_layout {
	size_t slots, tables, sides, unknown, chunks, end;
};

static struct group_layout group_lay_out(const struct canp_plan *plan)
{
	unsigned nr = canp_plan_nr_slots(plan);
	struct group_layout l;

	l.slots = canp_align_up(sizeof(struct canp_group), CANP_CACHELINE);
	l.tables = canp_align_up(l.slots + nr * sizeof(struct canp_slot), CANP_CACHELINE);
	l.sides = canp_align_up(l.tables + nr * sizeof(struct canp_table *), CANP_CACHELINE);
	l.unknown = canp_align_up(l.sides + nr * sizeof(struct group_side), CANP_CACHELINE);
	l.chunks = l.unknown + GROUP_UNKNOWN_SIZE * sizeof(struct group_unknown);
	l.end = l.chunks;
	for (unsigned i = 0; i < nr; i++) {
		const struct canp_table *t = canp_plan_table(plan, i);

		if (t)
			l.end += (size_t)t->stride * CANP_CHUNK_ROWS + GROUP_STAGGER;
	}
	return l;
}

size_t canp_group_bytes(const struct canp_plan *plan)
{
	return group_lay_out(plan).end;
}

struct canp_group *canp_group_init(void *mem, const struct canp_group_opts *opts)
{
	const struct canp_plan *plan = opts->plan;
	struct group_layout l = group_lay_out(plan);
	uint8_t *base = mem, *chunk = base + l.chunks;
	struct canp_group *g = mem;

	CANP_ASSERT(!((uintptr_t)mem % CANP_CACHELINE));
	memset(base, 0, l.chunks);
	g->opts = *opts;
	g->nr_slots = canp_plan_nr_slots(plan);
	g->raw = plan->opts.raw && plan->raw.cls != CANP_REC_NONE;
	g->keep_unknown = plan->raw.cls != CANP_REC_NONE;
	g->slots = (void *)(base + l.slots);
	g->tables = (void *)(base + l.tables);
	g->sides = (void *)(base + l.sides);
	g->unknown = (void *)(base + l.unknown);
	g->ctx.slots = g->slots;
	for (unsigned i = 0; i < g->nr_slots; i++) {
		const struct canp_table *t = canp_plan_table(plan, i);
		struct canp_slot *s = &g->slots[i];

		memset(g->sides[i].lens, 0xff, sizeof(g->sides[i].lens));
		s->lens = g->sides[i].lens;
		g->tables[i] = t;
		if (!t)
			continue;
		s->chunk = chunk;
		s->cls = (uint8_t)t->cls;
		s->need = t->need;
		s->stride16 = (uint8_t)(t->stride / 16);
		chunk += (size_t)t->stride * CANP_CHUNK_ROWS + GROUP_STAGGER;
	}
	canp_group_file_begin(g, 0);
	return g;
}

void canp_group_fini(struct canp_group *g)
{
	g->nr_slots = 0;
	g->slots = NULL;
}

/* ---- origin of rows ---------------------------------------------------------------------------
 */

static bool group_same_origin(const struct canp_meta_run *a, const struct canp_meta_run *b)
{
	return a->src == b->src && a->device == b->device && a->bus == b->bus;
}

/* Rows of slot i from here on are of the current origin. */
static void group_mark(struct canp_group *g, unsigned i)
{
	struct group_side *side = &g->sides[i];
	uint16_t n = side->nr_runs ? g->slots[i].n : 0;

	if (side->nr_runs && side->runs[side->nr_runs - 1].start == n)
		side->nr_runs--; /* the last run got no row */
	if (side->nr_runs && group_same_origin(&side->runs[side->nr_runs - 1], &g->cur))
		return;
	/* Without runs all rows are of the current origin, so it starts at the first. */
	side->runs[side->nr_runs] = g->cur;
	side->runs[side->nr_runs++].start = n;
}

static void group_set_origin(struct canp_group *g, uint32_t src, uint32_t device, uint8_t bus)
{
	struct canp_meta_run next = {.src = src, .device = device, .bus = bus};

	if (group_same_origin(&next, &g->cur))
		return;
	for (unsigned i = 0; i < g->nr_slots && g->kernel_rows; i++)
		if (g->slots[i].n && !g->sides[i].nr_runs)
			group_mark(g, i);
	g->kernel_rows = false;
	g->runs_outdated = true;
	g->cur = next;
}

static void group_before_kernel(struct canp_group *g)
{
	for (unsigned i = 0; i < g->nr_slots && g->runs_outdated; i++)
		if (g->slots[i].n)
			group_mark(g, i);
	g->runs_outdated = false;
	g->kernel_rows = true;
}

/* ---- chunks -----------------------------------------------------------------------------------
 */

static void group_hand_over(struct canp_group *g, unsigned i)
{
	struct canp_slot *s = &g->slots[i];
	struct group_side *side = &g->sides[i];
	struct canp_chunk chunk = {.rec = s->chunk, .rows = s->n};

	if (!side->nr_runs)
		group_mark(g, i);
	if (side->runs[side->nr_runs - 1].start >= s->n)
		side->nr_runs--;
	chunk.lens = s->has_short ? s->lens : NULL;
	chunk.meta = side->runs;
	chunk.nr_meta = side->nr_runs;
	g->opts.chunk(g->opts.arg, i, g->tables[i], &chunk);
	if (s->has_short)
		memset(s->lens, 0xff, CANP_CHUNK_ROWS);
	s->has_short = 0;
	s->n = 0;
	side->nr_runs = 0;
}

struct group_frame {
	int64_t ts_ns;
	uint32_t id;
	unsigned flags, dlc, len;
	const uint8_t *data;
};

static void group_put_head(uint8_t *p, const struct group_frame *f, unsigned len)
{
	canp_put_le32(p, f->id);
	p[4] = (uint8_t)len;
	p[5] = (uint8_t)f->dlc;
	canp_put_le16(p + 6, (uint16_t)f->flags);
}

/* One record into slot i. */
static void group_put(struct canp_group *g, unsigned i, const struct group_frame *f)
{
	struct canp_slot *s = &g->slots[i];
	const struct canp_table *t = g->tables[i];
	unsigned len;
	uint8_t *rec;

	s->frames++;
	if (!s->chunk)
		return;
	group_mark(g, i);
	len = canp_min(f->len, (unsigned)t->payload_max);
	rec = s->chunk + (size_t)s->n * t->stride;
	canp_put_le64(rec, (uint64_t)f->ts_ns);
	memset(rec + 8, 0, t->stride - 8u);
	if (len)
		memcpy(rec + t->payload_off, f->data, len);
	if (t->cls == CANP_REC_J)
		group_put_head(rec + 16, f, len);
	else if (t->cls == CANP_REC_F)
		group_put_head(rec + 8, f, len);
	if (len < s->need) {
		s->lens[s->n] = (uint8_t)len;
		s->has_short = 1;
	}
	if (++s->n == CANP_CHUNK_ROWS)
		group_hand_over(g, i);
}

/* ---- unknown ids ------------------------------------------------------------------------------
 */

static void group_note_unknown(struct canp_group *g, uint32_t id)
{
	uint64_t key = 1ULL << 40 | (uint64_t)g->cur.bus << 32 | id;
	uint32_t i = (uint32_t)canp_hash_mix(key) & (GROUP_UNKNOWN_SIZE - 1);

	g->counts.frames_unknown++;
	while (g->unknown[i].key && g->unknown[i].key != key)
		i = (i + 1) & (GROUP_UNKNOWN_SIZE - 1);
	if (!g->unknown[i].key) {
		if (g->nr_unknown >= GROUP_UNKNOWN_MAX) {
			g->unknown_overflow++;
			return;
		}
		g->nr_unknown++;
		g->unknown[i].key = key;
	}
	g->unknown[i].frames++;
}

uint64_t canp_group_unknown_overflow(const struct canp_group *g)
{
	return g->unknown_overflow;
}

void canp_group_unknown_for_each(const struct canp_group *g,
				 void (*fn)(void *arg, uint32_t id, unsigned bus, uint64_t frames),
				 void *arg)
{
	for (uint32_t i = 0; i < GROUP_UNKNOWN_SIZE; i++)
		if (g->unknown[i].key)
			fn(arg, (uint32_t)g->unknown[i].key,
			   (unsigned)(g->unknown[i].key >> 32 & 0xff), g->unknown[i].frames);
}

/* ---- one frame --------------------------------------------------------------------------------
 */

static void group_count_kind(struct canp_group *g, unsigned flags)
{
	if (flags & CANP_FF_GAP)
		g->counts.gaps++;
	else
		g->counts.frames++;
	g->counts.error_frames += (flags & CANP_FF_ERR) != 0;
	g->counts.overload_frames += (flags & CANP_FF_OVL) != 0;
	/* An error frame may carry the remote bit of the frame it hit. */
	g->counts.remote_frames +=
		(flags & (CANP_FF_RTR | CANP_FF_ERR | CANP_FF_OVL)) == CANP_FF_RTR;
}

static void group_drop(struct canp_group *g, unsigned flags)
{
	g->counts.frames_dropped += !(flags & CANP_FF_GAP);
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

/* ---- blocks of 24-byte frames -----------------------------------------------------------------
 */

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
	bool fast = bus->map && group_window(g, ts_mul, ts_add);
	const struct canp_frames_ctx *ctx = &g->ctx;

	if (!bus->map) {
		group_drop24(g, frames, n);
		return;
	}
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

/* ---- files, buses, ends -----------------------------------------------------------------------
 */

void canp_group_file_begin(struct canp_group *g, uint32_t src)
{
	memset(&g->counts, 0, sizeof(g->counts));
	g->timed = false;
	g->nr_buses = 0;
	group_set_origin(g, src, 0, 0);
}

void canp_group_device(struct canp_group *g, uint32_t device)
{
	group_set_origin(g, g->cur.src, device, g->cur.bus);
}

const struct canp_busref *canp_group_bus(struct canp_group *g, const char *name, unsigned number)
{
	uint64_t hash = name ? canp_hash_bytes(name, strlen(name)) : 0;
	struct group_bus *b = g->buses;

	for (; b < g->buses + g->nr_buses; b++)
		if (b->number == number && b->name_hash == hash)
			return &b->ref;
	if (g->nr_buses == GROUP_BUSES_MAX)
		return &g->buses[GROUP_BUSES_MAX - 1].ref;
	g->nr_buses++;
	b->number = number;
	b->name_hash = hash;
	b->ref.map = canp_plan_map(g->opts.plan, name, number);
	b->ref.number = (uint8_t)number;
	return &b->ref;
}

void canp_group_flush(struct canp_group *g)
{
	for (unsigned i = 0; i < g->nr_slots; i++)
		if (g->slots[i].n)
			group_hand_over(g, i);
}

const struct canp_slot *canp_group_slots(const struct canp_group *g)
{
	return g->slots;
}

const struct canp_group_counts *canp_group_counts(const struct canp_group *g)
{
	return &g->counts;
}
