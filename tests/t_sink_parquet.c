/*
 * t_sink_parquet.c - whole files: written to memory, read back by the independent reader, which
 * checks structure and statistics, then every cell against the naive model. With
 * CANP_TEST_OUT=folder the files are also kept there, for the interoperability check. One file,
 * because every test needs the sink in memory, the model and the comparison, which are a third of
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "io/sink/sink_parquet.h"
#include "simd/deflate_isal.h"
#include "tests/lib/pqgen.h"
#include "tests/lib/pqread.h"

static struct canp_runscratch scratch;
static struct canp_pqshared *shared;

static int setup(void **state)
{
	(void)state;
	shared = canp_pqshared_init(aligned_alloc(64, canp_align_up(canp_pqshared_bytes(), 64)));
	return canp_simd_init(CANP_ISA_AUTO, getenv("CANP_CPU_DISABLE"));
}

static int teardown(void **state)
{
	(void)state;
	free(shared);
	return 0;
}

/* ---- a sink in memory -------------------------------------------------------------------------*/

struct memsink {
	uint8_t *buf;
	size_t len, cap;
	struct pqgen_rng rng;
	bool moody; /* says at random that it is full */
	size_t said;
};

static size_t mem_room(void *arg)
{
	struct memsink *m = arg;

	m->said = CANP_BYTESINK_ROOM;
	if (m->moody && pqgen_below(&m->rng, 3) == 0)
		m->said = pqgen_below(&m->rng, 3000);
	return m->said;
}

static void mem_put(void *arg, const void *data, size_t len)
{
	struct memsink *m = arg;

	assert_true(len <= m->said);
	m->said -= len;
	if (m->len + len > m->cap) {
		m->cap = (m->len + len) * 2;
		m->buf = realloc(m->buf, m->cap);
		assert_non_null(m->buf);
	}
	memcpy(m->buf + m->len, data, len);
	m->len += len;
}

static const char *device_name(void *arg, uint32_t device)
{
	static const char *const names[] = {"", "logger-c", "logger-a", "logger-b"};

	(void)arg;
	return names[device % 4];
}

/* ---- one part ---------------------------------------------------------------------------------*/

struct part {
	struct pqgen g;
	struct canp_pool pool;
	struct canp_pqschema *schema;
	struct canp_pqw *w;
	struct canp_runb b;
	struct memsink sink;
	uint64_t unit;
};

struct part_opts {
	uint64_t seed;
	enum canp_rec_class cls;
	enum pqgen_kind kind;
	uint32_t nr_cols, rowgroup_rows, run_rows;
	struct canp_pqschema_opts so;
	bool moody;
};

static void part_open_with(struct part *p, const struct part_opts *o)
{
	struct canp_runb_opts ro = {.table = &p->g.table,
				    .pool = &p->pool,
				    .scratch = &scratch,
				    .run_rows = o->run_rows,
				    .ts_ns = o->so.ts_ns_column};
	struct canp_pqw_opts wo = {.shared = shared,
				   .scratch = &scratch,
				   .pool = &p->pool,
				   .rowgroup_rows = o->rowgroup_rows,
				   .run_rows = o->run_rows,
				   .device_name = device_name};

	pqgen_pool_init(&p->pool, 12000);
	p->sink.moody = o->moody;
	p->sink.rng.s = o->seed;
	assert_int_equal(canp_pqschema_create(&p->g.table, &o->so, &p->schema), 0);
	assert_int_equal(canp_runb_init(&p->b, &ro), 0);
	wo.schema = p->schema;
	wo.sink = (struct canp_bytesink){mem_room, mem_put, &p->sink};
	p->w = canp_pqw_open(&wo, false);
	assert_int_equal(p->pool.stats.in_use, canp_pqw_need_open(p->schema));
}

static void part_open(struct part *p, const struct part_opts *o)
{
	memset(p, 0, sizeof(*p));
	pqgen_init(&p->g, o->seed, o->cls, o->kind, o->nr_cols);
	part_open_with(p, o);
}

static void settle(struct part *p)
{
	unsigned rounds = 0;

	while (canp_pqw_step(p->w))
		assert_true(++rounds < 1000000);
	assert_false(canp_pqw_busy(p->w));
}

static void place(struct part *p, struct canp_run *run)
{
	uint32_t held = canp_pqw_slots(p->w), need = canp_pqw_need(p->w, run);
	uint32_t own = canp_run_slots(run);

	p->pool.stats.in_use_max = p->pool.stats.in_use;
	canp_pqw_place(p->w, run);
	assert_true(p->pool.stats.in_use_max <= held + own + need);
	canp_run_free(run, &p->pool);
	assert_int_equal(canp_pqw_slots(p->w), p->pool.stats.in_use);
	settle(p);
}

static void feed(struct part *p, const struct canp_chunk *c, bool last)
{
	bool full = canp_runb_append(&p->b, c);
	struct canp_run *run;

	if (!full && !last)
		return;
	canp_runb_finish(&p->b, p->unit, &run);
	place(p, run);
}

/* A unit of random rows. */
static void unit(struct part *p, uint32_t rows, unsigned style, bool shorts)
{
	while (rows) {
		uint32_t n = canp_min(rows, 256u);
		struct canp_chunk c = pqgen_chunk(&p->g, n, style, shorts);

		rows -= n;
		feed(p, &c, !rows);
	}
	p->unit++;
}

static void part_finish(struct part *p)
{
	canp_pqw_finish(p->w);
	settle(p);
	assert_int_equal(canp_pqw_bytes(p->w), p->sink.len);
	assert_int_equal(canp_pqw_rows(p->w), p->g.rows);
	canp_pqw_destroy(p->w);
	assert_int_equal(p->pool.stats.in_use, 0);
}

static void part_free(struct part *p)
{
	canp_pqschema_destroy(p->schema);
	pqgen_pool_fini(&p->pool);
	pqgen_fini(&p->g);
	free(p->sink.buf);
}

static void keep_file(const struct part *p, const char *name, uint64_t seed)
{
	const char *dir = getenv("CANP_TEST_OUT");
	char path[512];
	FILE *f;

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%s-%u.parquet", dir, name, (unsigned)seed);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p->sink.buf, 1, p->sink.len, f), p->sink.len);
	fclose(f);
}

/* ---- comparison -------------------------------------------------------------------------------*/

static bool same_bits(const struct canp_col *c, uint64_t a, uint64_t b)
{
	double d, e;

	if (a == b)
		return true;
	if (c->type != CANP_COL_F64)
		return false;
	memcpy(&d, &a, 8);
	memcpy(&e, &b, 8);
	return isnan(d) && isnan(e); /* the payload of a computed NaN is nobody's promise */
}

static void check_label(const struct pqgen *g, uint32_t row, uint32_t col,
			const struct pqread_val *v)
{
	const struct canp_col *c = &g->cols[col];
	uint64_t raw = pqgen_raw(g, row, col);
	int64_t s = c->is_signed && raw >> (c->raw_bits - 1) ? (int64_t)raw - (1 << c->raw_bits)
							     : (int64_t)raw;

	for (uint32_t i = 0; i < c->nr_values; i++) {
		if (c->values[i].raw == s) {
			assert_int_equal(v->bits, strlen(c->values[i].text));
			assert_memory_equal(v->ptr, c->values[i].text, v->bits);
			return;
		}
	}
	assert_true(v->bits > 0); /* the number as text */
}

static void check_signal(const struct pqgen *g, const struct pqread_file *f, uint32_t col)
{
	const struct canp_col *c = &g->cols[col];
	const struct pqread_col *pc = pqread_find(f, c->name), *label;
	char name[64];

	if (c->hidden) {
		assert_null(pc);
		return;
	}
	snprintf(name, sizeof(name), "%s_label", c->name);
	label = pqread_find(f, name);
	assert_non_null(pc);
	for (uint32_t row = 0; row < g->rows; row++) {
		const struct pqread_val *v = &pc->vals[row];
		bool present = pqgen_present(g, row, col);

		assert_int_equal(present, !v->null);
		if (label)
			assert_int_equal(present, !label->vals[row].null);
		if (!present)
			continue;
		if (c->store == CANP_STORE_BYTES) {
			uint32_t len;
			const uint8_t *want = pqgen_bytes(g, row, &len);

			assert_int_equal(v->bits, len);
			assert_memory_equal(v->ptr, want, len);
		} else {
			assert_true(same_bits(c, v->bits, pqgen_phys(g, row, col)));
		}
		if (label)
			check_label(g, row, col, &label->vals[row]);
	}
}

static void check_part(const struct part *p, struct pqread_file *f)
{
	const struct pqgen *g = &p->g;
	const struct pqread_col *ts, *ns, *src, *dev, *bus;

	if (pqread(p->sink.buf, p->sink.len, f))
		fail_msg("%s", f->error);
	assert_int_equal(f->rows, g->rows);
	ts = pqread_find(f, "ts");
	ns = pqread_find(f, "ts_ns");
	src = pqread_find(f, "src");
	dev = pqread_find(f, "device");
	bus = pqread_find(f, "bus");
	assert_true(ts && src && bus);
	assert_int_equal(ts->logical, 8);
	assert_int_equal(ts->repetition + src->repetition + bus->repetition, 0);
	for (uint32_t row = 0; row < g->rows; row++) {
		const struct canp_run_meta *m = &g->meta[row];

		assert_true((int64_t)ts->vals[row].bits == canp_floor_div(pqgen_ts(g, row), 1000));
		if (ns)
			assert_true((int64_t)ns->vals[row].bits == pqgen_ts(g, row));
		assert_int_equal(src->vals[row].bits, m->src);
		assert_int_equal(bus->vals[row].bits, m->bus);
		if (dev) {
			const char *want = device_name(NULL, m->device);

			assert_int_equal(dev->vals[row].bits, strlen(want));
			assert_memory_equal(dev->vals[row].ptr, want, strlen(want));
		}
	}
	for (uint32_t i = 0; i < g->table.nr_cols; i++)
		check_signal(g, f, i);
}

/* ---- tests ------------------------------------------------------------------------------------*/

static struct part_opts random_opts(uint64_t seed)
{
	struct part_opts o = {.seed = seed,
			      .cls = seed % 3 == 0 ? CANP_REC_F : CANP_REC_S,
			      .kind = seed % 4 == 1 ? PQGEN_MUX : PQGEN_PLAIN,
			      .nr_cols = 1 + (uint32_t)(seed * 7 % 40),
			      .rowgroup_rows = 3000 + (uint32_t)(seed * 977 % 9000),
			      .run_rows = 2048,
			      .moody = seed & 1};

	if (seed % 5 == 2) {
		o.cls = seed & 1 ? CANP_REC_F : CANP_REC_J;
		o.kind = PQGEN_RAW;
	}
	o.so.ts_ns_column = seed % 3 == 1;
	o.so.device_column = seed % 2;
	o.so.enum_labels = seed % 4 >= 2;
	o.so.codec = seed % 5 == 0 ? CANP_PQ_GZIP : CANP_PQ_NONE;
#ifdef CONFIG_CANP_ZSTD
	if (seed % 5 >= 3)
		o.so.codec = CANP_PQ_ZSTD;
#endif
	o.so.codec_level = (int)(seed % 13); /* beyond the range, too */
	o.so.version = "0.1.0";
	return o;
}

static void random_part(struct part *p, const struct part_opts *o)
{
	struct pqgen_rng r = {o->seed * 31};

	part_open(p, o);
	for (unsigned i = 0; i < 12; i++) {
		uint32_t rows = pqgen_below(&r, 3) ? 1 + pqgen_below(&r, 900)
						   : 1024 + pqgen_below(&r, 4000);

		unit(p, rows, pqgen_below(&r, 3), o->seed % 3);
		if (i == 7) { /* a checkpoint */
			canp_pqw_close_group(p->w);
			settle(p);
		}
	}
	part_finish(p);
}

static void files_read_back_to_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct part_opts o = random_opts(seed);
		struct pqread_file f;
		struct part p;

		random_part(&p, &o);
		keep_file(&p, "random", seed);
		check_part(&p, &f);
		assert_true(f.nr_groups > 1);
		pqread_free(&f);
		part_free(&p);
	}
}

/* Where the sink says "full", and what other parts of the same owner do meanwhile, must not change
 * a byte. Two parts share the work memory and take turns at every refusal. */
static void bytes_do_not_depend_on_pauses(void **state)
{
	(void)state;
	for (uint64_t seed = 50; seed < 58; seed++) {
		struct part_opts o = random_opts(seed);
		struct part calm, a, b;
		struct part *two[] = {&a, &b};

		o.rowgroup_rows = 1u << 30;
		o.moody = false;
		random_part(&calm, &o);
		o.moody = true;
		for (unsigned k = 0; k < 2; k++) {
			struct pqgen_rng r = {o.seed * 31};
			struct part *p = two[k];

			part_open(p, &o);
			p->sink.rng.s = k + 99;
			for (unsigned i = 0; i < 12; i++) {
				uint32_t rows = pqgen_below(&r, 3) ? 1 + pqgen_below(&r, 900)
								   : 1024 + pqgen_below(&r, 4000);

				unit(p, rows, pqgen_below(&r, 3), o.seed % 3);
				if (i == 7) {
					canp_pqw_close_group(p->w);
					settle(p);
				}
			}
			canp_pqw_finish(p->w);
		}
		for (int left = 3; left;) {
			for (unsigned k = 0; k < 2; k++) {
				if ((left >> k & 1) && !canp_pqw_step(two[k]->w))
					left &= ~(1 << k);
			}
		}
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(two[k]->sink.len, calm.sink.len);
			assert_memory_equal(two[k]->sink.buf, calm.sink.buf, calm.sink.len);
			canp_pqw_destroy(two[k]->w);
			part_free(two[k]);
		}
		part_free(&calm);
	}
}

static void a_part_without_rows_is_a_valid_file(void **state)
{
	struct part_opts o = random_opts(3);
	struct pqread_file f;
	struct part p;

	(void)state;
	part_open(&p, &o);
	part_finish(&p);
	keep_file(&p, "empty", 0);
	check_part(&p, &f);
	assert_int_equal(f.nr_groups, 0);
	pqread_free(&f);
	part_free(&p);
}

/* One table made by hand: what is chosen and stated for columns of known content. */
static struct canp_col hand_col(const char *name, unsigned start, unsigned len)
{
	return (struct canp_col){.name = name,
				 .dbc_name = name,
				 .unit = "",
				 .comment = "",
				 .src = CANP_SRC_SIGNAL,
				 .raw_bits = (uint8_t)len,
				 .start_bit = (uint16_t)start,
				 .shift = (uint8_t)start,
				 .need = (uint8_t)((start + len + 7) / 8),
				 .store = len <= 16   ? CANP_STORE_INDEX
					  : len <= 32 ? CANP_STORE_U32
						      : CANP_STORE_U64,
				 .type = CANP_COL_F64,
				 .factor = 1,
				 .mux_parent = -1};
}

static void hand_rows(struct part *p, uint32_t rows, uint64_t (*cell)(uint32_t row))
{
	for (uint32_t done = 0; done < rows;) {
		uint32_t n = canp_min(rows - done, 256u);
		struct canp_chunk c = pqgen_chunk(&p->g, n, 1, false);

		for (uint32_t i = 0; i < n; i++) {
			uint64_t v = cell(done + i);
			int64_t ts = 1700000000000000000 + (int64_t)(done + i) * 10000000;

			memcpy(p->g.rec + (size_t)(done + i) * 16, &ts, 8);
			memcpy(p->g.rec + (size_t)(done + i) * 16 + 8, &v, 8);
		}
		done += n;
		feed(p, &c, done == rows);
	}
}

static void hand_part(struct part *p, const struct canp_col *cols, uint32_t n, uint32_t rows,
		      uint64_t (*cell)(uint32_t row), enum canp_pq_codec codec)
{
	struct part_opts o = {.seed = 5,
			      .cls = CANP_REC_S,
			      .rowgroup_rows = 1u << 20,
			      .so = {.codec = codec, .version = "0.1.0"}};

	memset(p, 0, sizeof(*p));
	pqgen_init(&p->g, 5, CANP_REC_S, PQGEN_PLAIN, n);
	memcpy(p->g.cols, cols, n * sizeof(*cols));
	p->g.table.nr_wins = 1;
	p->g.wins[0] = (struct canp_window){0};
	part_open_with(p, &o);
	hand_rows(p, rows, cell);
	part_finish(p);
}

static uint64_t cell_counter(uint32_t row)
{
	return row * 0x100000001ull;
}

static void counters_become_delta(void **state)
{
	struct canp_col cols[] = {hand_col("low", 0, 32), hand_col("all", 0, 64),
				  hand_col("short", 0, 16)};
	struct pqread_file f;
	struct part p;

	(void)state;
	for (int i = 0; i < 3; i++) {
		cols[i].integral = true;
		cols[i].ifactor = 1;
		cols[i].type = i == 1 ? CANP_COL_U64 : i ? CANP_COL_U16 : CANP_COL_U32;
	}
	hand_part(&p, cols, 3, 40000, cell_counter, CANP_PQ_NONE);
	keep_file(&p, "delta", 0);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "low")->first_encoding, 5);
	assert_int_equal(pqread_find(&f, "all")->first_encoding, 5);
	assert_int_equal(pqread_find(&f, "short")->first_encoding, 5);
	assert_true(p.sink.len < 20000);
	pqread_free(&f);
	part_free(&p);
}

static uint64_t cell_signed16(uint32_t row)
{
	return (uint16_t)(int16_t)((int)(row % 7) * 100 - 300);
}

static void sparse_signed_values_get_an_exact_dictionary(void **state)
{
	struct canp_col col = hand_col("temp", 0, 16);
	struct pqread_file f;
	struct part p;

	(void)state;
	col.is_signed = true;
	col.factor = -0.5; /* swaps minimum and maximum */
	hand_part(&p, &col, 1, 50000, cell_signed16, CANP_PQ_NONE);
	keep_file(&p, "exact", 0);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "temp")->dict_entries, 7);
	assert_true(pqread_find(&f, "temp")->has_stats);
	assert_true(p.sink.len < 60000);
	pqread_free(&f);
	part_free(&p);
}

static uint64_t cell_noise(uint32_t row)
{
	struct pqgen_rng r = {row};

	return pqgen_u64(&r);
}

static void dense_values_keep_the_identity_dictionary(void **state)
{
	struct canp_col cols[] = {hand_col("rpm", 0, 12), hand_col("few", 16, 16)};
	struct pqread_file f;
	struct part p;

	(void)state;
	hand_part(&p, cols, 1, 100000, cell_noise, CANP_PQ_NONE);
	keep_file(&p, "identity", 0);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "rpm")->dict_entries, 4096);
	assert_int_equal(pqread_find(&f, "rpm")->pages, 4);
	pqread_free(&f);
	part_free(&p);
	/* noise of 16 bits in few rows: a dictionary only costs */
	hand_part(&p, cols + 1, 1, 1200, cell_noise, CANP_PQ_GZIP);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "few")->first_encoding, 0);
	pqread_free(&f);
	part_free(&p);
}

static uint64_t cell_narrow(uint32_t row)
{
	return (30000 + cell_noise(row) % 600) | (uint64_t)(row % 5 ? 40000 : 500 * (row % 3))
							 << 16;
}

/* Pages of 16 bits whose values lie close together: the entries between their bounds, without a
 * look at any of them; where they lie apart, only those that occur. */
static void narrow_ranges_hold_only_their_entries(void **state)
{
	struct canp_col cols[] = {hand_col("near", 0, 16), hand_col("far", 16, 16)};
	struct pqread_file f;
	struct part p;

	(void)state;
	cols[0].factor = 0.25;
	cols[1].factor = -0.5;
	hand_part(&p, cols, 2, 100000, cell_narrow, CANP_PQ_NONE);
	keep_file(&p, "range", 0);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "near")->dict_entries, 600);
	assert_int_equal(pqread_find(&f, "far")->dict_entries, 4);
	pqread_free(&f);
	part_free(&p);
	hand_part(&p, cols, 2, 100000, cell_narrow, CANP_PQ_GZIP);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "near")->dict_entries, 600);
	pqread_free(&f);
	part_free(&p);
}

static uint64_t cell_wide(uint32_t row)
{
	return (cell_noise(row) % 700 * 523 & 0xfffff) | (cell_noise(row + 1) & 0xfffff) << 20 |
	       (cell_noise(row) % 3 << 20) << 40;
}

static void wide_scaled_values_get_a_dictionary_when_they_repeat(void **state)
{
	struct canp_col cols[] = {hand_col("repeat", 0, 20), hand_col("noise", 20, 20),
				  hand_col("three", 40, 24), hand_col("all", 0, 64)};
	struct pqread_file f;
	struct part p;

	(void)state;
	for (int i = 0; i < 4; i++) {
		cols[i].is_signed = i & 1 || i == 2;
		cols[i].factor = i == 2 ? -0.01 : 0.125;
		cols[i].offset = 3;
	}
	hand_part(&p, cols, 4, 100000, cell_wide, CANP_PQ_NONE);
	keep_file(&p, "wide", 0);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "repeat")->dict_entries, 700);
	assert_int_equal(pqread_find(&f, "three")->dict_entries, 3);
	/* more distinct values than the bound */
	assert_int_equal(pqread_find(&f, "noise")->first_encoding, 0);
	assert_int_equal(pqread_find(&f, "all")->first_encoding, 0);
	assert_true(pqread_find(&f, "repeat")->has_stats && pqread_find(&f, "all")->has_stats);
	pqread_free(&f);
	part_free(&p);
}

static uint64_t cell_nan(uint32_t row)
{
	double d = row == 700 ? NAN : row % 3 ? -0.0 : (double)row / 8;
	uint64_t v;

	memcpy(&v, &d, 8);
	return v;
}

static uint64_t cell_zero(uint32_t row)
{
	double d = row % 2 ? 0.0 : -0.0;
	uint64_t v;

	memcpy(&v, &d, 8);
	return v;
}

static void nan_forbids_bounds_and_zero_has_both_signs(void **state)
{
	struct canp_col col = hand_col("f", 0, 64);
	const struct pqread_col *c;
	struct pqread_file f;
	struct part p;

	(void)state;
	col.is_float = 64;
	hand_part(&p, &col, 1, 3000, cell_nan, CANP_PQ_NONE);
	keep_file(&p, "nan", 0);
	check_part(&p, &f);
	c = pqread_find(&f, "f");
	assert_false(c->has_stats || c->has_index);
	assert_true(isnan(({
		double d;
		memcpy(&d, &c->vals[700].bits, 8);
		d;
	})));
	pqread_free(&f);
	part_free(&p);
	hand_part(&p, &col, 1, 3000, cell_zero, CANP_PQ_NONE);
	check_part(&p, &f); /* the reader checks the signs of stated zeros */
	assert_true(pqread_find(&f, "f")->has_stats && pqread_find(&f, "f")->has_index);
	pqread_free(&f);
	part_free(&p);
}

static uint64_t cell_const(uint32_t row)
{
	(void)row;
	return 0;
}

static void a_constant_column_is_one_entry(void **state)
{
	struct canp_col col = hand_col("zero", 0, 8);
	struct pqread_file f;
	struct part p;

	(void)state;
	hand_part(&p, &col, 1, 30000, cell_const, CANP_PQ_NONE);
	check_part(&p, &f);
	assert_int_equal(pqread_find(&f, "zero")->dict_entries, 1);
	pqread_free(&f);
	part_free(&p);
}

static void all_null_columns_need_no_dictionary(void **state)
{
	struct canp_col col = hand_col("never", 0, 8);
	struct pqread_file f;
	struct part p;

	(void)state;
	col.need = 9; /* more than an S record ever has */
	hand_part(&p, &col, 1, 3000, cell_const, CANP_PQ_NONE);
	keep_file(&p, "null", 0);
	/* the model says present, so only the reader's own checks are asked */
	assert_int_equal(pqread(p.sink.buf, p.sink.len, &f), 0);
	assert_int_equal(pqread_find(&f, "never")->first_encoding, 0);
	for (uint32_t i = 0; i < 3000; i++)
		assert_true(pqread_find(&f, "never")->vals[i].null == (p.g.lens[0] < 9));
	pqread_free(&f);
	part_free(&p);
}

static void sorting_is_declared_only_when_it_holds(void **state)
{
	struct canp_col col = hand_col("x", 0, 8);
	struct part_opts o = {.seed = 5, .cls = CANP_REC_S, .nr_cols = 1, .rowgroup_rows = 2000};
	struct pqread_file f;
	struct part p;

	(void)state;
	memset(&p, 0, sizeof(p));
	pqgen_init(&p.g, 5, CANP_REC_S, PQGEN_PLAIN, 1);
	p.g.cols[0] = col;
	p.g.table.nr_wins = 1;
	p.g.wins[0] = (struct canp_window){0};
	part_open_with(&p, &o);
	for (unsigned k = 0; k < 2; k++) {
		for (uint32_t left = 2000, n; left; left -= n) {
			struct canp_chunk c;

			n = canp_min(left, 256u);
			c = pqgen_chunk(&p.g, n, 1, false);
			for (uint32_t i = 0; i < n; i++) {
				uint32_t row = p.g.rows - n + i;
				int64_t ts = 1000000 * (int64_t)(row - (k && row == 3000) * 5);

				memcpy(p.g.rec + (size_t)row * 16, &ts, 8);
			}
			feed(&p, &c, left == n);
		}
	}
	part_finish(&p);
	check_part(&p, &f);
	assert_int_equal(f.nr_groups, 2);
	assert_true(f.group_sorted[0]);
	assert_false(f.group_sorted[1]);
	pqread_free(&f);
	part_free(&p);
}

static void many_origins_close_the_row_group(void **state)
{
	struct part_opts o = random_opts(2);
	struct pqread_file f;
	struct part p;

	(void)state;
	o.rowgroup_rows = 1u << 30;
	o.cls = CANP_REC_S;
	o.kind = PQGEN_PLAIN;
	o.nr_cols = 1;
	o.so.device_column = true;
	part_open(&p, &o);
	for (unsigned i = 0; i < 20; i++) {
		for (uint32_t k = 0; k < 8; k++) {
			struct canp_chunk c = pqgen_chunk(&p.g, 256, 0, false);

			for (uint32_t j = 0; j < 256; j++) { /* every row another file */
				p.g.meta[p.g.rows - 256 + j].src = 1000000 - p.g.rows + j;
				p.g.runs[j] = (struct canp_meta_run){
					(uint16_t)j, (uint8_t)p.g.meta[p.g.rows - 256 + j].bus, 0,
					p.g.meta[p.g.rows - 256 + j].src,
					p.g.meta[p.g.rows - 256 + j].device};
			}
			c.nr_meta = 256;
			feed(&p, &c, k == 7);
		}
	}
	part_finish(&p);
	check_part(&p, &f);
	assert_true(f.nr_groups > 1 && f.group_rows[0] <= 65536);
	pqread_free(&f);
	part_free(&p);
}

static void the_footer_tells_where_signals_come_from(void **state)
{
	struct part_opts o = random_opts(4);
	struct pqread_file f;
	struct part p;

	(void)state;
	random_part(&p, &o);
	check_part(&p, &f);
	assert_string_equal(pqread_kv(&f, "canp.schema"), "1");
	assert_string_equal(pqread_kv(&f, "canp.message"), "Msg");
	assert_string_equal(pqread_kv(&f, "canp.frame_id"), "0x123");
	assert_string_equal(pqread_kv(&f, "canp.dbc.name"), "test.dbc");
	assert_non_null(strstr(pqread_kv(&f, "canp.columns"), "\"unit\":\"km/h\""));
	assert_non_null(strstr(pqread_kv(&f, "canp.columns"), "\\\"really\\\""));
	pqread_free(&f);
	part_free(&p);
}

static void destroy_in_the_middle_gives_all_slots_back(void **state)
{
	struct part_opts o = random_opts(6);
	struct part p;

	(void)state;
	o.rowgroup_rows = 1u << 30;
	part_open(&p, &o);
	unit(&p, 5000, 0, true);
	unit(&p, 100, 0, true);
	p.sink.moody = true;
	canp_pqw_finish(p.w);
	(void)canp_pqw_step(p.w);
	canp_pqw_destroy(p.w);
	assert_int_equal(p.pool.stats.in_use, 0);
	part_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_read_back_to_the_model),
		cmocka_unit_test(bytes_do_not_depend_on_pauses),
		cmocka_unit_test(a_part_without_rows_is_a_valid_file),
		cmocka_unit_test(counters_become_delta),
		cmocka_unit_test(sparse_signed_values_get_an_exact_dictionary),
		cmocka_unit_test(dense_values_keep_the_identity_dictionary),
		cmocka_unit_test(narrow_ranges_hold_only_their_entries),
		cmocka_unit_test(wide_scaled_values_get_a_dictionary_when_they_repeat),
		cmocka_unit_test(nan_forbids_bounds_and_zero_has_both_signs),
		cmocka_unit_test(a_constant_column_is_one_entry),
		cmocka_unit_test(all_null_columns_need_no_dictionary),
		cmocka_unit_test(sorting_is_declared_only_when_it_holds),
		cmocka_unit_test(many_origins_close_the_row_group),
		cmocka_unit_test(the_footer_tells_where_signals_come_from),
		cmocka_unit_test(destroy_in_the_middle_gives_all_slots_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
