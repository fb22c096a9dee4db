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
 *     its next row; a run that got no row is replaced or dropped.
 *
 * All memory is laid out once in the caller's block:
 *
 *   | canp_group | slots | marks | tables | sides (lens, runs) | unknown ids | chunks, 64 apart |
 */
#include "io/can/group.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "io/can/group_parts.h"

/* ---- memory ---- */

struct group_layout {
	size_t slots, marks, tables, sides, unknown, chunks, end;
};

static struct group_layout group_lay_out(const struct canp_plan *plan)
{
	unsigned nr = canp_plan_nr_slots(plan);
	struct group_layout l;

	l.slots = canp_align_up(sizeof(struct canp_group), CANP_CACHELINE);
	l.marks = canp_align_up(l.slots + nr * sizeof(struct canp_slot), CANP_CACHELINE);
	l.tables = canp_align_up(l.marks + nr * sizeof(struct group_mark), CANP_CACHELINE);
	l.sides = canp_align_up(l.tables + nr * sizeof(struct canp_table *), CANP_CACHELINE);
	l.unknown = canp_align_up(l.sides + nr * sizeof(struct group_side), CANP_CACHELINE);
	l.chunks = l.unknown + GROUP_UNKNOWN_SIZE * sizeof(struct group_unknown);
	l.end = l.chunks;
	for (unsigned i = 0; i < nr; i++) {
		const struct canp_table *t = canp_plan_table(plan, i);

		if (t)
			l.end += (size_t)canp_table_frame_stride(t) * CANP_CHUNK_ROWS +
				 GROUP_STAGGER;
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
	g->marks = (void *)(base + l.marks);
	g->tables = (void *)(base + l.tables);
	g->sides = (void *)(base + l.sides);
	g->unknown = (void *)(base + l.unknown);
	g->ctx.slots = g->slots;
	g->origin = 1;
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
		s->stride16 = (uint8_t)(canp_table_frame_stride(t) / 16);
		chunk += (size_t)canp_table_frame_stride(t) * CANP_CHUNK_ROWS + GROUP_STAGGER;
	}
	for (unsigned i = 0; i < g->nr_slots; i++)
		canp_slot_arm(&g->slots[i]);
	canp_group_file_begin(g, 0);
	return g;
}

size_t canp_group_capture_bytes(void)
{
	return canp_align_up(sizeof(struct canp_group), (size_t)CANP_CACHELINE);
}

struct canp_group *canp_group_capture_init(void *mem, const struct canp_group_capture *c)
{
	struct canp_group *g = mem;

	CANP_ASSERT(!((uintptr_t)mem % CANP_CACHELINE));
	memset(g, 0, sizeof(*g));
	g->opts.from_ns = INT64_MIN;
	g->opts.to_ns = INT64_MAX;
	g->origin = 1;
	g->capture = c;
	return g;
}

void canp_group_fini(struct canp_group *g)
{
	g->nr_slots = 0;
	g->slots = NULL;
}

/* ---- origin of rows ---- */

/* Rows of slot i from here on are of the current origin. */
void group_mark_rows(struct canp_group *g, unsigned i)
{
	struct canp_meta_run *runs = g->sides[i].runs;
	struct group_mark *m = &g->marks[i];
	/* Without runs all rows are of the current origin, so it starts at the first. */
	uint16_t n = m->nr_runs ? g->slots[i].n : 0;

	m->origin = g->origin;
	if (m->nr_runs && runs[m->nr_runs - 1].start == n)
		m->nr_runs--; /* the last run got no row */
	if (m->nr_runs && group_same_origin(&runs[m->nr_runs - 1], &g->cur))
		return;
	runs[m->nr_runs] = g->cur;
	runs[m->nr_runs++].start = n;
}

/* The origin changes: rows so far keep theirs. */
void group_change_origin(struct canp_group *g, const struct canp_meta_run *next)
{
	for (unsigned i = 0; i < g->nr_slots && g->kernel_rows; i++)
		if (g->slots[i].n && !g->marks[i].nr_runs)
			group_mark_rows(g, i);
	g->kernel_rows = false;
	g->runs_outdated = true;
	/* Buses that take turns get their numbers back, so that a message of one bus needs one run.
	 */
	if (next->src != g->cur.src || next->device != g->cur.device)
		g->sources++;
	g->origin = (g->sources << 8 | next->bus) + 1;
	g->cur = *next;
}

void group_before_kernel(struct canp_group *g)
{
	for (unsigned i = 0; i < g->nr_slots && g->runs_outdated; i++)
		if (g->slots[i].n)
			group_mark_rows(g, i);
	g->runs_outdated = false;
	g->kernel_rows = true;
}

/* ---- unknown ids ---- */

void group_note_unknown(struct canp_group *g, uint32_t id)
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

/* ---- files, buses, ends ---- */

void canp_group_file_begin(struct canp_group *g, uint32_t src)
{
	memset(&g->counts, 0, sizeof(g->counts));
	g->timed = false;
	g->nr_buses = 0;
	group_set_origin(g, src, 0, 0);
}

void canp_group_device(struct canp_group *g, uint32_t device)
{
	if (g->capture) {
		g->capture->device(g->capture->arg, device);
		return;
	}
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
	if (g->capture) {
		b->ref.number = (uint8_t)(b - g->buses);
		g->capture->bus(g->capture->arg, b->ref.number, name, number);
		return &b->ref;
	}
	b->ref.map = canp_plan_map(g->opts.plan, name, number);
	/* The column is a UINT8: higher channels share 255 rather than look like a low one. */
	b->ref.number = (uint8_t)canp_min(number, 255u);
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
