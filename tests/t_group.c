/*
 * t_group.c - the grouper: blocks through the kernel and frame by frame give the same rows, origins
 * and counts; chunks end at 256 rows; short rows, time window, unknown ids and raw copies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/strbuf.h"
#include "io/can/group.h"

#define SIG " SG_ a : 0|8@1+ (1,0) [0|0] \"\" X\n"

static const char dbc_text[] =
	"BA_DEF_ BO_ \"VFrameFormat\" INT 0 15;\n"
	"BO_ 256 Whole: 8 X\n SG_ a : 56|8@1+ (1,0) [0|0] \"\" X\n"
	"BO_ 257 Short: 8 X\n SG_ a : 8|8@1+ (1,0) [0|0] \"\" X\n"
	"BO_ 258 Left: 8 X\n" SIG "BO_ 259 Fd: 24 X\n SG_ a : 184|8@1+ (1,0) [0|0] \"\" X\n"
	"BO_ 2147483904 Ext: 8 X\n" SIG "BO_ 2566844158 Eec1: 8 X\n" SIG
	"BA_ \"VFrameFormat\" BO_ 259 14;\nBA_ \"VFrameFormat\" BO_ 2147483904 1;\n";

struct rows { /* everything handed over for one slot */
	struct canp_strbuf rec, lens, origin;
	unsigned rows, chunks, partial;
};

struct sink {
	struct rows slot[64];
	unsigned stride[64];
};

struct rig {
	struct canp_plan *plan;
	struct canp_group *g;
	void *mem;
	struct sink sink;
};

static void take(void *arg, unsigned slot, const struct canp_table *table,
		 const struct canp_chunk *chunk)
{
	struct sink *s = arg;
	struct rows *r = &s->slot[slot];
	unsigned run = 0;

	assert_non_null(table);
	assert_in_range(chunk->rows, 1, CANP_CHUNK_ROWS);
	assert_int_equal(r->partial, 0); /* only the last chunk before a flush may be partial */
	r->partial = chunk->rows < CANP_CHUNK_ROWS;
	assert_in_range(chunk->nr_meta, 1, chunk->rows);
	assert_int_equal(chunk->meta[0].start, 0);
	canp_strbuf_add(&r->rec, chunk->rec, (size_t)chunk->rows * table->stride);
	for (unsigned i = 0; i < chunk->rows; i++) {
		struct canp_meta_run m;

		while (run + 1 < chunk->nr_meta && chunk->meta[run + 1].start <= i)
			run++;
		m = chunk->meta[run];
		m.start = 0;
		canp_strbuf_add(&r->origin, &m, sizeof(m));
		canp_strbuf_putc(&r->lens, chunk->lens ? (char)chunk->lens[i] : (char)0xff);
	}
	for (run = 1; run < chunk->nr_meta; run++)
		assert_true(chunk->meta[run].start > chunk->meta[run - 1].start);
	s->stride[slot] = table->stride;
	r->rows += chunk->rows;
	r->chunks++;
}

static void rig_group(struct rig *r, int64_t from, int64_t to)
{
	struct canp_group_opts opts = {r->plan, take, &r->sink, from, to};

	memset(&r->sink, 0, sizeof(r->sink));
	r->mem = aligned_alloc(64, (canp_group_bytes(r->plan) + 63) / 64 * 64);
	assert_non_null(r->mem);
	r->g = canp_group_init(r->mem, &opts);
}

static void rig_open(struct rig *r, struct canp_plan_opts opts)
{
	char path[] = "/tmp/t_group_XXXXXX";
	struct canp_plan_dbc dbc = {NULL, path};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, dbc_text, sizeof(dbc_text) - 1), sizeof(dbc_text) - 1);
	close(fd);
	opts.dbcs = &dbc;
	opts.nr_dbcs = 1;
	opts.exclude = "Left";
	assert_int_equal(canp_plan_create(&opts, NULL, NULL, NULL, &r->plan), 0);
	unlink(path);
	rig_group(r, INT64_MIN, INT64_MAX);
}

static void rig_close(struct rig *r, bool plan)
{
	canp_group_fini(r->g);
	free(r->mem);
	for (unsigned i = 0; i < 64; i++) {
		canp_strbuf_fini(&r->sink.slot[i].rec);
		canp_strbuf_fini(&r->sink.slot[i].lens);
		canp_strbuf_fini(&r->sink.slot[i].origin);
	}
	if (plan)
		canp_plan_destroy(r->plan);
}

static unsigned slot_of(const struct rig *r, const char *name)
{
	for (unsigned s = 0; s < canp_plan_nr_slots(r->plan); s++)
		if (canp_plan_table(r->plan, s) && !strcmp(canp_plan_table(r->plan, s)->name, name))
			return s;
	fail_msg("no table %s", name);
	return 0;
}

static struct rows *rows_of(struct rig *r, const char *name)
{
	return &r->sink.slot[slot_of(r, name)];
}

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void frame24(uint8_t *p, uint64_t ts, uint32_t idw, unsigned dlc)
{
	canp_put_be64(p, ts);
	canp_put_be32(p + 8, idw);
	canp_put_le32(p + 12, dlc);
	for (int i = 16; i < 24; i++)
		p[i] = (uint8_t)rnd(256);
}

/* The same frame, by value, as a format would push it. */
static void push_one(struct canp_group *g, const struct canp_busref *bus, const uint8_t *p,
		     int64_t mul, int64_t add)
{
	uint32_t idw = canp_be32(p + 8);
	unsigned flags = (idw >> 31 ? CANP_FF_EXT : 0) | (idw & 0x40000000 ? CANP_FF_RTR : 0) |
			 (idw & 0x20000000 ? CANP_FF_ERR : 0);
	uint32_t id = idw & (flags & (CANP_FF_EXT | CANP_FF_ERR) ? 0x1fffffff : 0x7ff);
	unsigned dlc = p[12];

	canp_group_push(g, bus, (int64_t)canp_be64(p) * mul + add, id, flags, dlc, p + 16,
			dlc < 8 ? dlc : 8);
}

static uint32_t random_id(void)
{
	static const uint32_t ids[] = {
		256,         256,         257,
		257,         258,         259,
		2147483904u, 2566844158u, 2566843905u /* another source address */,
		1234};

	switch (rnd(40)) {
	case 0:
		return 256 | 0x40000000;
	case 1:
		return 0x20000088;
	case 2:
		return rnd(0x7ff);
	case 3:
		return 0x80000000 | rnd(0x1fffffff);
	default:
		return ids[rnd(sizeof(ids) / sizeof(ids[0]))];
	}
}

static void compare(struct rig *a, struct rig *b)
{
	const struct canp_group_counts *x = canp_group_counts(a->g), *y = canp_group_counts(b->g);

	assert_memory_equal(x, y, sizeof(*x));
	for (unsigned i = 0; i < canp_plan_nr_slots(a->plan); i++) {
		struct rows *p = &a->sink.slot[i], *q = &b->sink.slot[i];

		assert_int_equal(p->rows, q->rows);
		assert_int_equal(p->chunks, q->chunks);
		if (!p->rows)
			continue;
		assert_int_equal(p->rec.len, q->rec.len);
		assert_memory_equal(p->rec.buf, q->rec.buf, p->rec.len);
		assert_memory_equal(p->lens.buf, q->lens.buf, p->lens.len);
		assert_memory_equal(p->origin.buf, q->origin.buf, p->origin.len);
	}
}

static void blocks_and_single_frames(struct canp_plan_opts opts, int64_t from, int64_t to)
{
	struct rig a = {0}, b = {0};
	const struct canp_busref *bus_a, *bus_b;
	uint8_t block[500 * 24];
	unsigned decoded = 0;

	rig_open(&a, opts);
	rig_close(&a, false);
	rig_group(&a, from, to);
	b.plan = a.plan;
	rig_group(&b, from, to);
	for (unsigned file = 1; file < 6; file++) {
		canp_group_file_begin(a.g, file);
		canp_group_file_begin(b.g, file);
		for (unsigned k = 0; k < 40; k++) {
			unsigned n = rnd(500), bus = rnd(3);

			if (!rnd(4)) {
				canp_group_device(a.g, file * 10 + k / 7);
				canp_group_device(b.g, file * 10 + k / 7);
			}
			bus_a = canp_group_bus(a.g, NULL, bus);
			bus_b = canp_group_bus(b.g, NULL, bus);
			for (unsigned i = 0; i < n; i++) {
				frame24(block + i * 24, file * 1000000 + k * 1000 + rnd(1000),
					random_id(), rnd(12));
				push_one(b.g, bus_b, block + i * 24, 1000, -7);
			}
			if (!rnd(3)) /* both ways mixed in one grouper */
				for (unsigned i = 0; i < n; i++)
					push_one(a.g, bus_a, block + i * 24, 1000, -7);
			else
				canp_group_push24(a.g, bus_a, block, n, 1000, -7);
		}
		decoded += canp_group_counts(a.g)->frames_decoded;
		assert_memory_equal(canp_group_counts(a.g), canp_group_counts(b.g),
				    sizeof(struct canp_group_counts));
	}
	canp_group_flush(a.g);
	canp_group_flush(b.g);
	assert_true(decoded > 1000);
	compare(&a, &b);
	rig_close(&b, false);
	rig_close(&a, true);
}

static void blocks_give_the_rows_of_single_frames(void **state)
{
	(void)state;
	for (uint32_t round = 1; round < 6; round++) {
		seed = round;
		blocks_and_single_frames((struct canp_plan_opts){0}, INT64_MIN, INT64_MAX);
	}
}

static void the_same_with_raw_frames_unknown_ids_buses_and_times(void **state)
{
	(void)state;
	seed = 7;
	blocks_and_single_frames((struct canp_plan_opts){.raw = true}, INT64_MIN, INT64_MAX);
	blocks_and_single_frames((struct canp_plan_opts){.unknown_keep = true}, INT64_MIN,
				 INT64_MAX);
	blocks_and_single_frames((struct canp_plan_opts){.bus = "0,2"}, INT64_MIN, INT64_MAX);
	blocks_and_single_frames((struct canp_plan_opts){.raw = true, .bus = "1,2"},
				 2003000000LL - 7, 4020000000LL);
}

static void chunks_end_at_256_rows_and_at_a_flush(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	uint8_t f[24 * 600];
	struct rows *w;

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	canp_group_file_begin(r.g, 3);
	bus = canp_group_bus(r.g, "can1", 1);
	for (unsigned i = 0; i < 600; i++)
		frame24(f + 24 * i, i, 256, 8);
	canp_group_push24(r.g, bus, f, 256, 1, 0);
	w = rows_of(&r, "Whole");
	assert_int_equal(w->rows, 256);
	canp_group_push24(r.g, bus, f + 256 * 24, 344, 1, 0);
	assert_int_equal(w->rows, 512);
	canp_group_flush(r.g);
	canp_group_flush(r.g);
	assert_int_equal(w->rows, 600);
	assert_int_equal(w->chunks, 3);
	for (unsigned i = 0; i < 600; i++) {
		assert_int_equal(canp_le64(w->rec.buf + 16 * i), i);
		assert_memory_equal(w->rec.buf + 16 * i + 8, f + 24 * i + 16, 8);
		assert_int_equal(((struct canp_meta_run *)w->origin.buf)[i].src, 3);
		assert_int_equal(((struct canp_meta_run *)w->origin.buf)[i].bus, 1);
	}
	rig_close(&r, true);
}

static void short_rows_carry_their_length_and_zeros(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	uint8_t f[24 * 4];
	struct rows *w;

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	canp_group_file_begin(r.g, 1);
	bus = canp_group_bus(r.g, NULL, 0);
	for (unsigned i = 0; i < 4; i++)
		frame24(f + 24 * i, i, 257, i);
	memset(f + 16, 0xee, 8);
	canp_group_push24(r.g, bus, f, 4, 1, 0);
	canp_group_flush(r.g);
	w = rows_of(&r, "Short");
	assert_memory_equal(w->lens.buf, "\0\1\xff\xff", 4);
	assert_memory_equal(w->rec.buf + 8, "\0\0\0\0\0\0\0\0", 8);
	/* The next chunk starts without short rows. */
	frame24(f, 9, 257, 8);
	w->partial = 0;
	canp_group_push24(r.g, bus, f, 1, 1, 0);
	canp_group_flush(r.g);
	assert_int_equal((uint8_t)w->lens.buf[4], 0xff);
	rig_close(&r, true);
}

static void j1939_and_fd_records_have_heads_and_cut_payloads(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	uint8_t f[24], data[64];
	struct rows *w;

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	canp_group_file_begin(r.g, 1);
	bus = canp_group_bus(r.g, NULL, 0);
	frame24(f, 5, 0x98ff0001u, 8); /* PGN of no message */
	canp_group_push24(r.g, bus, f, 1, 1, 0);
	frame24(f, 6, 2566843905u, 15);
	canp_group_push24(r.g, bus, f, 1, 1, 0);
	for (unsigned i = 0; i < 64; i++)
		data[i] = (uint8_t)(i + 1);
	canp_group_push(r.g, bus, 7, 259, CANP_FF_FD | CANP_FF_BRS, 15, data, 64);
	canp_group_push(r.g, bus, 8, 259, CANP_FF_FD, 5, data, 5);
	canp_group_flush(r.g);
	w = rows_of(&r, "Eec1");
	assert_int_equal(w->rows, 1);
	assert_int_equal(canp_le32(w->rec.buf + 16), 2566843905u & 0x1fffffff);
	assert_int_equal((uint8_t)w->rec.buf[20], 8);
	assert_int_equal((uint8_t)w->rec.buf[21], 15);
	assert_int_equal(canp_le16(w->rec.buf + 22), CANP_FF_EXT);
	assert_int_equal(canp_le64(w->rec.buf + 24), 0);
	w = rows_of(&r, "Fd");
	assert_int_equal(w->rows, 2);
	assert_int_equal(w->rec.len, 2 * 48);
	assert_int_equal(canp_le32(w->rec.buf + 8), 259);
	assert_int_equal((uint8_t)w->rec.buf[12], 32); /* 24 bytes rounded up to 16s */
	assert_int_equal(canp_le16(w->rec.buf + 14), CANP_FF_FD | CANP_FF_BRS);
	assert_memory_equal(w->rec.buf + 16, data, 32);
	assert_memory_equal(w->lens.buf, "\xff\5", 2);
	assert_int_equal((uint8_t)w->rec.buf[48 + 16 + 5], 0);
	assert_int_equal(canp_group_counts(r.g)->frames_unknown, 1);
	rig_close(&r, true);
}

static void events_never_reach_message_tables(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	uint8_t f[24], data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	const struct canp_group_counts *c;
	struct rows *w;

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	canp_group_file_begin(r.g, 1);
	bus = canp_group_bus(r.g, NULL, 0);
	frame24(f, 1, 256 | 0x40000000, 8);
	canp_group_push24(r.g, bus, f, 1, 1, 0);
	canp_group_push(r.g, bus, 2, 256, CANP_FF_OVL, 0, NULL, 0);
	canp_group_push(r.g, bus, 3, 0x88, CANP_FF_ERR, 8, data, 8);
	canp_group_push(r.g, bus, 4, 0, CANP_FF_GAP, 0, NULL, 0);
	canp_group_flush(r.g);
	c = canp_group_counts(r.g);
	assert_int_equal(c->frames, 3);
	assert_int_equal(c->remote_frames, 1);
	assert_int_equal(c->overload_frames, 1);
	assert_int_equal(c->error_frames, 1);
	assert_int_equal(c->gaps, 1);
	assert_int_equal(c->frames_decoded, 0);
	assert_int_equal(c->last_ns, 4);
	assert_int_equal(rows_of(&r, "Whole")->rows, 0);
	w = &r.sink.slot[CANP_SLOT_EVENTS];
	assert_int_equal(w->rows, 4);
	assert_int_equal((uint8_t)w->rec.buf[20], 0); /* a remote frame has no payload */
	assert_int_equal((uint8_t)w->rec.buf[21], 8);
	assert_memory_equal(w->rec.buf + 2 * 32 + 8, data, 8);
	assert_int_equal(canp_le16(w->rec.buf + 3 * 32 + 22), CANP_FF_GAP);
	rig_close(&r, true);
}

static void times_out_of_range_are_counted_not_wrapped(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	const struct canp_group_counts *c;
	uint8_t f[24 * 5];

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	canp_group_file_begin(r.g, 1);
	bus = canp_group_bus(r.g, NULL, 0);
	frame24(f, UINT64_MAX, 256, 8);
	frame24(f + 24, INT64_MAX / 1000 + 1, 256, 8);
	frame24(f + 48, 5, 256, 8);
	frame24(f + 72, INT64_MAX / 1000, 256, 8);
	/* Beyond 63 bits on the way, but not with the offset: by hand, and kept. */
	frame24(f + 96, 13000000000000000ULL, 256, 8);
	canp_group_push24(r.g, bus, f, 5, 1000, -8000000000000000000LL);
	c = canp_group_counts(r.g);
	assert_int_equal(c->frames, 5);
	assert_int_equal(c->bad_times, 1);
	assert_int_equal(c->frames_decoded, 4);
	assert_true(c->max_ns == 5000000000000000000LL);
	rig_close(&r, true);
}

static void the_time_window_is_half_open(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	const struct canp_group_counts *c;
	uint8_t f[24 * 10];

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	rig_close(&r, false);
	rig_group(&r, 3000, 7000);
	canp_group_file_begin(r.g, 1);
	bus = canp_group_bus(r.g, NULL, 0);
	for (unsigned i = 0; i < 10; i++)
		frame24(f + 24 * i, i, 256, 8);
	canp_group_push24(r.g, bus, f, 10, 1000, 0);
	c = canp_group_counts(r.g);
	assert_int_equal(c->frames, 10);
	assert_int_equal(c->frames_decoded, 4);
	assert_int_equal(c->frames_dropped, 6);
	assert_int_equal(c->min_ns, 3000);
	assert_int_equal(c->max_ns, 6000);
	rig_close(&r, true);
}

struct found {
	unsigned ids;
	uint64_t frames, wanted;
};

static void find(void *arg, uint32_t id, unsigned bus, uint64_t frames)
{
	struct found *f = arg;

	f->ids++;
	f->frames += frames;
	if (id == (0x80000000u | 77) && bus == 2)
		f->wanted = frames;
}

static void unknown_ids_are_listed_and_bounded(void **state)
{
	struct rig r = {0};
	const struct canp_busref *bus;
	uint8_t f[24 * 1000];
	struct found found = {0};

	(void)state;
	rig_open(&r, (struct canp_plan_opts){0});
	canp_group_file_begin(r.g, 1);
	bus = canp_group_bus(r.g, NULL, 2);
	for (unsigned i = 0; i < 1000; i++)
		frame24(f + 24 * i, i, 0x80000000u | 77, 8);
	canp_group_push24(r.g, bus, f, 1000, 1, 0);
	canp_group_unknown_for_each(r.g, find, &found);
	assert_int_equal(found.ids, 1);
	assert_int_equal(found.wanted, 1000);
	for (uint32_t i = 0; i < 60000; i++)
		canp_group_push(r.g, bus, i, 0x100000 + i, CANP_FF_EXT, 0, NULL, 0);
	canp_group_push(r.g, bus, 1, 0x1234, 0, 0, NULL, 0); /* no standard id */
	memset(&found, 0, sizeof(found));
	canp_group_unknown_for_each(r.g, find, &found);
	assert_int_equal(found.ids, 49152);
	assert_int_equal(found.frames + canp_group_unknown_overflow(r.g), 61001);
	assert_int_equal(canp_group_counts(r.g)->frames_unknown, 61001);
	rig_close(&r, true);
}

static void buses_are_remembered_and_bounded(void **state)
{
	struct rig r = {0};
	const struct canp_busref *first, *last = NULL;

	(void)state;
	rig_open(&r, (struct canp_plan_opts){.bus = "1,vcan7"});
	canp_group_file_begin(r.g, 1);
	first = canp_group_bus(r.g, "can1", 1);
	assert_non_null(first->map);
	assert_int_equal(first->number, 1);
	assert_ptr_equal(canp_group_bus(r.g, "can1", 1), first);
	assert_null(canp_group_bus(r.g, NULL, 2)->map);
	assert_non_null(canp_group_bus(r.g, "vcan7", 7)->map);
	assert_null(canp_group_bus(r.g, "can7", 7)->map);
	for (unsigned i = 10; i < 1000; i++)
		last = canp_group_bus(r.g, NULL, i);
	assert_ptr_equal(canp_group_bus(r.g, NULL, 5000), last);
	assert_ptr_equal(canp_group_bus(r.g, "can1", 1), first);
	rig_close(&r, true);
}

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_give_the_rows_of_single_frames),
		cmocka_unit_test(the_same_with_raw_frames_unknown_ids_buses_and_times),
		cmocka_unit_test(chunks_end_at_256_rows_and_at_a_flush),
		cmocka_unit_test(short_rows_carry_their_length_and_zeros),
		cmocka_unit_test(j1939_and_fd_records_have_heads_and_cut_payloads),
		cmocka_unit_test(events_never_reach_message_tables),
		cmocka_unit_test(times_out_of_range_are_counted_not_wrapped),
		cmocka_unit_test(the_time_window_is_half_open),
		cmocka_unit_test(unknown_ids_are_listed_and_bounded),
		cmocka_unit_test(buses_are_remembered_and_bounded),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
