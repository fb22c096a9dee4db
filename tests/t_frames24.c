/*
 * t_frames24.c - every variant of the fused decode and group pass against a model that handles one
 * frame at a time with shifts and byte loops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/simd.h"
#include "tests/lib/guard.h"

#define NR_SLOTS   16u
#define FRAMES_MAX 3000u
#define HASH_SIZE  64u

typedef size_t frames_fn(struct canp_frames_ctx *, const uint8_t *, size_t);

/* A map with everything in it, and the chunks of one run. */
struct world {
	struct canp_idmap map;
	uint32_t keys[HASH_SIZE];
	uint16_t values[HASH_SIZE];
	struct canp_slot slots[NR_SLOTS];
	uint8_t lens[NR_SLOTS][CANP_CHUNK_ROWS];
	struct guard chunks[NR_SLOTS]; /* each ends at a guard page */
	struct canp_frames_ctx ctx;
};

static uint64_t seed;

/* Standard ids 0x100.. and these extended ones; 0x18fef1xx only by PGN, 0x18feca05 both ways. */
static const struct {
	uint32_t id;
	bool pgn;
	uint16_t slot;
} ext_ids[] = {
	{0x18fef100, true, 9},
	{0x18feca00, true, 10},
	{0x18feca05, false, 11},
	{0x0cef0500, true, 12}, /* PF < 240: the destination is not part of the PGN */
	{0x00000101, false, 13},
	{0x1fffffff, false, CANP_SLOT_DROP},
};

static void hash_put(struct canp_idhash *h, uint32_t key, uint16_t value)
{
	uint32_t i = key * 0x9e3779b1u;

	for (i = (i ^ i >> 15) & h->mask; h->keys[i]; i = (i + 1) & h->mask)
		;
	h->keys[i] = key;
	h->values[i] = value;
}

/* Class and need by slot: 4..8 class S with needs 0, 1, 4, 8, 8; 9..12 J; 13 F; 14 count only. */
static void slot_open(struct world *w, unsigned i)
{
	static const uint8_t need[NR_SLOTS] = {
		[5] = 1, [6] = 4, [7] = 8, [8] = 8, [9] = 8, [10] = 3};
	struct canp_slot *s = &w->slots[i];
	bool stores = i >= CANP_SLOT_EVENTS && i != 14;

	s->cls = i == 13                                                 ? CANP_REC_F
		 : i >= 9 || i == CANP_SLOT_EVENTS || i == CANP_SLOT_RAW ? CANP_REC_J
									 : CANP_REC_S;
	s->stride16 = s->cls == CANP_REC_S ? 1 : 2;
	s->need = need[i];
	s->lens = w->lens[i];
	memset(s->lens, 0xff, CANP_CHUNK_ROWS);
	if (!stores || s->cls == CANP_REC_F)
		return;
	guard_open(&w->chunks[i], CANP_CHUNK_ROWS * s->stride16 * 16u);
	s->chunk = guard_rear(&w->chunks[i], CANP_CHUNK_ROWS * s->stride16 * 16u);
}

static struct world *world_open(bool has_pgn, bool keep_unknown, bool pgn_only)
{
	struct world *w = calloc(1, sizeof(*w));

	for (unsigned i = 0; i < NR_SLOTS; i++)
		slot_open(w, i);
	if (keep_unknown) {
		w->slots[CANP_SLOT_UNKNOWN] = w->slots[15];
		w->slots[CANP_SLOT_UNKNOWN].lens = w->lens[CANP_SLOT_UNKNOWN];
	}
	for (unsigned i = 0; i < 2048; i++)
		w->map.std[i] = CANP_SLOT_UNKNOWN;
	for (unsigned i = 0; i < 8; i++)
		w->map.std[0x100 + i] = (uint16_t)(CANP_SLOT_FIRST_TABLE + i);
	w->map.std[0x200] = CANP_SLOT_DROP;
	w->map.std[0x201] = 14;
	w->map.std[0x202] = 13;
	w->map.std[0x203] = CANP_SLOT_RAW;
	w->map.ext = (struct canp_idhash){HASH_SIZE - 1, has_pgn, w->keys, w->values, pgn_only};
	for (size_t i = 0; i < CANP_ARRAY_SIZE(ext_ids); i++)
		if (ext_ids[i].pgn || !pgn_only)
			hash_put(&w->map.ext,
				 ext_ids[i].pgn ? canp_idkey_pgn(ext_ids[i].id)
						: canp_idkey_exact(ext_ids[i].id),
				 ext_ids[i].slot);
	for (unsigned i = 0; i < NR_SLOTS; i++)
		canp_slot_arm(&w->slots[i]);
	w->ctx.map = &w->map;
	w->ctx.slots = w->slots;
	w->ctx.ts_lo = 1000;
	w->ctx.ts_span = 1ull << 50;
	w->ctx.ts_mul = 1000;
	w->ctx.ts_add = -7000000;
	w->ctx.min_ns = INT64_MAX;
	w->ctx.max_ns = INT64_MIN;
	return w;
}

static void world_close(struct world *w)
{
	for (unsigned i = 0; i < NR_SLOTS; i++)
		if (w->chunks[i].mem)
			guard_close(&w->chunks[i]);
	free(w);
}

/* ---- the model --------------------------------------------------------------------------------*/

static uint64_t be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static uint16_t model_slot(const struct world *w, uint32_t id, bool ext)
{
	uint16_t by_pgn = CANP_SLOT_UNKNOWN;

	if (!ext)
		return w->map.std[id % 2048];
	for (size_t i = 0; i < CANP_ARRAY_SIZE(ext_ids); i++) {
		uint32_t a = ext_ids[i].id >> 8 & 0x3ffff, b = id >> 8 & 0x3ffff;

		if (!ext_ids[i].pgn && !w->map.ext.pgn_only && ext_ids[i].id == id)
			return ext_ids[i].slot;
		if ((a >> 8 & 0xff) < 240)
			a &= 0x3ff00;
		if ((b >> 8 & 0xff) < 240)
			b &= 0x3ff00;
		if (ext_ids[i].pgn && w->map.ext.has_pgn && a == b)
			by_pgn = ext_ids[i].slot;
	}
	return by_pgn;
}

static void model_store(struct canp_slot *s, int64_t ts, const uint8_t *f, uint32_t id, bool ext)
{
	uint8_t rec[32] = {0}, len = f[12] < 8 ? f[12] : 8;

	for (unsigned i = 0; i < 8; i++)
		rec[i] = (uint8_t)((uint64_t)ts >> 8 * i);
	memcpy(rec + 8, f + 16, len);
	for (unsigned i = 0; i < 4; i++)
		rec[16 + i] = (uint8_t)(id >> 8 * i);
	rec[20] = len;
	rec[21] = f[12];
	rec[22] = ext ? CANP_FF_EXT : 0;
	memcpy(s->chunk + s->n * s->stride16 * 16u, rec, s->stride16 * 16u);
	if (len < s->need) {
		s->lens[s->n] = len;
		s->has_short = 1;
	}
	s->n++;
}

/* One frame; true when it was consumed. *full: its chunk is complete now. */
static bool model_frame(struct world *w, const uint8_t *f, bool first)
{
	struct canp_frames_ctx *c = &w->ctx;
	uint64_t raw = be(f, 8);
	uint32_t idw = (uint32_t)be(f + 8, 4), id = idw & 0x1fffffff;
	bool ext = idw >> 31;
	uint16_t slot = model_slot(w, id, ext);
	struct canp_slot *s = &w->slots[slot];
	int64_t ts;

	c->stop = CANP_FRAMES_SPECIAL;
	if (raw < c->ts_lo || raw - c->ts_lo > c->ts_span || idw & 0x60000000 ||
	    s->cls == CANP_REC_F)
		return false;
	c->stop = CANP_FRAMES_UNKNOWN;
	if (slot == CANP_SLOT_UNKNOWN && c->nr_unknown == CANP_FRAMES_UNKNOWN_MAX)
		return false;
	c->stop = CANP_FRAMES_DONE;
	if (slot == CANP_SLOT_UNKNOWN)
		c->unknown_ids[c->nr_unknown++] = ext ? id | 0x80000000u : id % 2048;
	ts = (int64_t)raw * c->ts_mul + c->ts_add;
	if (first)
		c->first_ns = ts;
	c->last_ns = ts;
	c->min_ns = canp_min(c->min_ns, ts);
	c->max_ns = canp_max(c->max_ns, ts);
	if (!s->chunk) {
		s->frames++;
		return true;
	}
	model_store(s, ts, f, ext ? id : id % 2048, ext);
	if (s->n == CANP_CHUNK_ROWS) {
		c->stop = CANP_FRAMES_FULL;
		c->stop_slot = slot;
	}
	return true;
}

static size_t model_run(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	struct world *w = canp_container_of(ctx, struct world, ctx);
	size_t i = 0;

	ctx->stop = CANP_FRAMES_DONE;
	while (i < n && ctx->stop == CANP_FRAMES_DONE)
		i += model_frame(w, p + 24 * i, i == 0);
	return i;
}

/* ---- frames -----------------------------------------------------------------------------------*/

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
	while (n--)
		*p++ = (uint8_t)(v >> 8 * n);
}

/* Half of the runs are standard ids but for the odd ones, as on most buses: only they keep whole
 * groups of frames on the path of vector variants. */
static bool std_only;

static uint32_t random_id(unsigned rare)
{
	static const uint32_t odd[] = {0x202,      0x80000101, 0x40000100, 0x20000100, 0xe0000000,
				       0x60000203, 0xffffffff, 0x7ff,      0x1ffffeff};
	uint64_t r = guard_rand(&seed) >> 8;

	if (rare && r % rare == 0)
		return odd[r / rare % CANP_ARRAY_SIZE(odd)];
	switch (std_only ? 4 + (r >> 40 & 15) : r >> 40 & 7) {
	case 0:
		return 0x98fef100u | (r & 0xff);
	case 1:
		return 0x98feca00u | (r & 7);
	case 2:
		return 0x8cef0000u | (r & 0xffff);
	case 3:
		return (r & 1 ? 0x9fffffffu : 0x81234500u + (r & 31));
	case 4:
		return (uint32_t[]){0x200, 0x201, 0x203}[r % 3];
	default:
		return 0x100 + (r & 7) % 6 + (r >> 20 & 255 ? 0 : 0x1234000);
	}
}

static void random_frame(uint8_t *f, size_t i, unsigned rare)
{
	uint64_t r = guard_rand(&seed), raw = 1000 + i * 50 + r % 90;

	if (rare && (r >> 20) % rare == 0)
		raw = r >> 60 < 8 ? r : r % 1000;
	put_be(f, raw, 8);
	put_be(f + 8, random_id(rare), 4);
	put_be(f + 12, guard_rand(&seed), 4); /* padding is not looked at */
	f[12] = (uint8_t)(r >> 50 & 1 ? 8 : r >> 52 & 1 ? r >> 54 & 15 : r >> 48);
	if (r >> 53 & 1 && f[12] > 8)
		f[12] = 8;
	put_be(f + 16, guard_rand(&seed), 8);
}

static void expect_equal(const struct world *a, const struct world *b, bool any)
{
	assert_int_equal(a->ctx.stop, b->ctx.stop);
	if (a->ctx.stop == CANP_FRAMES_FULL)
		assert_int_equal(a->ctx.stop_slot, b->ctx.stop_slot);
	assert_int_equal(a->ctx.nr_unknown, b->ctx.nr_unknown);
	assert_memory_equal(a->ctx.unknown_ids, b->ctx.unknown_ids, 4 * a->ctx.nr_unknown);
	assert_true(a->ctx.min_ns == b->ctx.min_ns && a->ctx.max_ns == b->ctx.max_ns);
	if (any)
		assert_true(a->ctx.first_ns == b->ctx.first_ns && a->ctx.last_ns == b->ctx.last_ns);
	for (unsigned i = 0; i < NR_SLOTS; i++) {
		const struct canp_slot *s = &a->slots[i], *t = &b->slots[i];

		assert_int_equal(s->n, t->n);
		assert_true(s->frames == t->frames);
		assert_int_equal(s->has_short, t->has_short);
		assert_memory_equal(s->lens, t->lens, CANP_CHUNK_ROWS);
		if (s->chunk)
			assert_memory_equal(s->chunk, t->chunk, (size_t)s->n * s->stride16 * 16);
	}
}

/* What a caller does about a stop; the same to both worlds. */
static size_t handle_stop(struct world *w)
{
	struct canp_slot *s = &w->slots[w->ctx.stop_slot];

	switch (w->ctx.stop) {
	case CANP_FRAMES_FULL:
		s->n = 0;
		s->has_short = 0;
		memset(s->lens, 0xff, CANP_CHUNK_ROWS);
		return 0;
	case CANP_FRAMES_SPECIAL:
		return 1;
	case CANP_FRAMES_UNKNOWN:
		w->ctx.nr_unknown = 0;
		return 0;
	default:
		return 0;
	}
}

static unsigned stops_seen[4];

static void compare_run(frames_fn *f, unsigned t)
{
	static const unsigned rare[] = {0, 200, 5, 1000};
	bool pgn = t & 1, keep = t & 2, only = pgn && t & 8;
	struct world *a = world_open(pgn, keep, only), *b = world_open(pgn, keep, only);
	size_t n = t < 40 ? t : guard_rand(&seed) % FRAMES_MAX, i = 0;
	struct guard g;
	uint8_t *p;

	guard_open(&g, FRAMES_MAX * 24);
	std_only = t / 16 % 2;
	p = guard_rear(&g, n * 24);
	for (size_t k = 0; k < n; k++)
		random_frame(p + 24 * k, k, rare[t / 4 % 4]);
	for (;;) {
		size_t da = f(&a->ctx, p + 24 * i, n - i);
		size_t db = model_run(&b->ctx, p + 24 * i, n - i);

		assert_int_equal(da, db);
		expect_equal(a, b, da > 0);
		stops_seen[a->ctx.stop]++;
		if (a->ctx.stop == CANP_FRAMES_DONE)
			break;
		i += da + handle_stop(a);
		handle_stop(b);
	}
	assert_true(i <= n);
	guard_close(&g);
	world_close(a);
	world_close(b);
}

static void visit(void *arg, const struct canp_kernel_row *row)
{
	if (strcmp(row->kernel, "frames24") != 0)
		return;
	if (!row->runnable) {
		printf("   skipped %s: this CPU lacks it\n", canp_isa_name(row->isa));
		return;
	}
	++*(unsigned *)arg;
	seed = 0xfeedbeef;
	memset(stops_seen, 0, sizeof(stops_seen));
	for (unsigned t = 0; t < 400; t++)
		compare_run((frames_fn *)row->func, t);
	/* The mix must have reached every way out, or it proves too little. */
	for (unsigned i = 0; i < 4; i++)
		assert_true(stops_seen[i] > 10);
}

static void every_variant_equals_the_model_frame_by_frame(void **state)
{
	unsigned rows = 0;

	(void)state;
	canp_kernels_for_each(visit, &rows);
	assert_true(rows > 0);
}

static void the_edges_of_the_time_window_are_inside(void **state)
{
	struct world *w = world_open(false, false, false);
	uint64_t top = w->ctx.ts_lo + w->ctx.ts_span;
	const uint64_t raw[4] = {999, 1000, top, top + 1};
	uint8_t f[24] = {0};

	(void)state;
	put_be(f + 8, 0x100, 4);
	for (unsigned i = 0; i < 4; i++) {
		bool inside = i == 1 || i == 2;

		put_be(f, raw[i], 8);
		assert_int_equal(canp_simd.frames24(&w->ctx, f, 1), inside);
		assert_int_equal(w->ctx.stop, inside ? CANP_FRAMES_DONE : CANP_FRAMES_SPECIAL);
	}
	assert_int_equal(w->slots[4].n, 2);
	assert_true(w->ctx.min_ns == -6000000);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_variant_equals_the_model_frame_by_frame),
		cmocka_unit_test(the_edges_of_the_time_window_are_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
