/* t_columns.c - the run builder against the naive model: every cell of random tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "io/sink/columns.h"
#include "tests/lib/pqgen.h"
#include "tests/lib/pqread.h"

static struct canp_runscratch scratch;

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, getenv("CANP_CPU_DISABLE"));
}

static uint8_t *linear(const struct canp_segs *s)
{
	struct canp_segcur cur = canp_segcur_at(s);
	uint8_t *p = malloc(s->bytes + 64);

	assert_int_equal(canp_segcur_read(&cur, p, s->bytes + 1), s->bytes);
	return p;
}

static void check_time(const struct pqgen *g, const struct canp_run *run, uint32_t row0, bool ns)
{
	const struct canp_run_ts *t = ns ? &run->ts_ns : &run->ts;
	uint8_t *body = linear(&t->val), *page = malloc(t->val.bytes + 64);
	uint64_t *v = malloc(run->rows * 8);
	size_t hn = canp_delta_head(&t->delta, page);
	bool asc = true;

	memcpy(page + hn, body, t->val.bytes);
	assert_int_equal(pqread_delta(page, hn + t->val.bytes, false, v, run->rows), 0);
	for (uint32_t i = 0; i < run->rows; i++) {
		int64_t want = pqgen_ts(g, row0 + i);

		if (!ns)
			want = canp_floor_div(want, 1000);
		assert_true((int64_t)v[i] == want);
		assert_true(want >= t->min && want <= t->max);
		asc &= !i || (int64_t)v[i] >= (int64_t)v[i - 1];
	}
	assert_int_equal(asc, t->ascending);
	free(body);
	free(page);
	free(v);
}

/* Presence of each row; returns the number present. */
static uint32_t check_levels(const struct pqgen *g, const struct canp_run *run, uint32_t row0,
			     uint32_t col)
{
	const struct canp_runcol *rc = canp_run_col(run, col);
	uint64_t *def = malloc(run->rows * 8);
	uint8_t *lev = linear(&rc->lev);
	uint32_t present = 0;

	if (rc->lev.bytes)
		assert_int_equal(pqread_hybrid(lev, rc->lev.bytes, 1, def, run->rows), 0);
	else
		assert_true(rc->nonnull == 0 || rc->nonnull == run->rows);
	for (uint32_t i = 0; i < run->rows; i++) {
		bool want = pqgen_present(g, row0 + i, col);
		bool have = rc->lev.bytes ? def[i] != 0 : rc->nonnull != 0;

		assert_int_equal(want, have);
		present += want;
	}
	assert_int_equal(present, rc->nonnull);
	free(def);
	free(lev);
	return present;
}

static void check_values(const struct pqgen *g, const struct canp_run *run, uint32_t row0,
			 uint32_t col, uint32_t present)
{
	const struct canp_runcol *rc = canp_run_col(run, col);
	const struct canp_col *c = &g->cols[col];
	uint64_t flip = c->is_signed ? 1ull << (c->raw_bits - 1) : 0, lo = UINT64_MAX, hi = 0;
	uint64_t *v = calloc(present + 1, 8);
	uint8_t *p = linear(&rc->val);
	uint32_t at = 0;
	size_t pos = 0;

	if (c->type == CANP_COL_BOOL) {
		assert_int_equal(rc->val.bytes, (present + 7) / 8);
		for (uint32_t i = 0; i < present; i++)
			v[i] = p[i / 8] >> (i % 8) & 1;
	} else if (c->store == CANP_STORE_INDEX) {
		assert_int_equal(pqread_hybrid(p, rc->val.bytes, c->raw_bits, v, present), 0);
	} else if (c->store != CANP_STORE_BYTES) {
		size_t w = c->store == CANP_STORE_U32 ? 4 : 8;

		assert_int_equal(rc->val.bytes, present * w);
		for (uint32_t i = 0; i < present; i++)
			memcpy(&v[i], p + i * w, w);
	}
	for (uint32_t i = 0; i < run->rows; i++) {
		if (!pqgen_present(g, row0 + i, col))
			continue;
		if (c->store == CANP_STORE_BYTES) {
			uint32_t len, got;
			const uint8_t *want = pqgen_bytes(g, row0 + i, &len);

			memcpy(&got, p + pos, 4);
			assert_int_equal(got, len);
			assert_memory_equal(p + pos + 4, want, len);
			pos += 4 + len;
			continue;
		}
		if (c->store == CANP_STORE_INDEX) {
			lo = canp_min(lo, v[at]);
			hi = canp_max(hi, v[at]);
			v[at] ^= flip;
		}
		assert_true(v[at++] == pqgen_raw(g, row0 + i, col));
	}
	if (c->store == CANP_STORE_BYTES)
		assert_int_equal(pos, rc->val.bytes);
	if (c->store == CANP_STORE_INDEX && present) {
		assert_int_equal(rc->min, lo);
		assert_int_equal(rc->max, hi);
	}
	free(v);
	free(p);
}

static void check_meta(const struct pqgen *g, const struct canp_run *run, uint32_t row0)
{
	struct canp_segcur cur = canp_segcur_at(&run->meta);
	struct canp_run_meta m, before = {0};
	uint32_t row = 0;

	while (canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m)) {
		assert_true(m.rows > 0);
		/* neighbours differ, or they would be one entry */
		assert_true(!row || m.src != before.src || m.device != before.device ||
			    m.bus != before.bus);
		for (uint32_t i = 0; i < m.rows; i++, row++) {
			const struct canp_run_meta *w = &g->meta[row0 + row];

			assert_true(w->src == m.src && w->device == m.device && w->bus == m.bus);
		}
		before = m;
	}
	assert_int_equal(row, run->rows);
}

static void check_raw(const struct pqgen *g, const struct canp_run *run, uint32_t row0)
{
	uint32_t stride = g->table.stride, per = CANP_RUN_RAW_PER_SLOT(stride);
	uint8_t need = 0;

	for (uint32_t i = 0; i < g->table.nr_cols; i++)
		need = canp_max(need, g->cols[i].need);
	for (uint32_t i = 0; i < run->rows; i++) {
		bool is_short = g->len[row0 + i] < need;

		assert_memory_equal(run->raw_rec[i / per] + (size_t)(i % per) * stride,
				    g->rec + (size_t)(row0 + i) * stride, stride);
		if (is_short)
			assert_int_equal(run->raw_lens[i], g->len[row0 + i]);
		else if (run->raw_lens)
			assert_int_equal(run->raw_lens[i], 0xff);
	}
}

static void check_run(const struct pqgen *g, const struct canp_run *run, uint32_t row0)
{
	check_meta(g, run, row0);
	if (run->raw) {
		check_raw(g, run, row0);
		return;
	}
	check_time(g, run, row0, false);
	if (run->has_ts_ns)
		check_time(g, run, row0, true);
	for (uint32_t i = 0; i < g->table.nr_cols; i++) {
		if (g->cols[i].hidden) {
			assert_int_equal(canp_run_col(run, i)->val.bytes, 0);
			continue;
		}
		check_values(g, run, row0, i, check_levels(g, run, row0, i));
	}
}

/* Builds the rows of one unit in full chunks and a rest; checks each run and the slot counts. */
static void one_unit(uint64_t seed, enum canp_rec_class cls, enum pqgen_kind kind, uint32_t rows,
		     uint32_t run_rows, bool ts_ns)
{
	struct canp_runb b;
	struct canp_pool pool;
	struct pqgen g;
	uint32_t row0 = 0, seq = 0;

	pqgen_init(&g, seed, cls, kind, 1 + (uint32_t)(seed % 30));
	pqgen_pool_init(&pool, canp_runb_need(&g.table, ts_ns) + 3000);
	assert_int_equal(canp_runb_init(&b, &(struct canp_runb_opts){.table = &g.table,
								     .pool = &pool,
								     .scratch = &scratch,
								     .run_rows = run_rows,
								     .ts_ns = ts_ns}),
			 0);
	while (rows) {
		uint32_t n = canp_min(rows, 256u), used = pool.stats.in_use, need;
		struct canp_chunk c =
			pqgen_chunk(&g, n, (unsigned)(seed + g.rows / 2000) % 3, seed & 1);
		bool full;

		need = canp_runb_need_now(&b);
		assert_true(need <= canp_runb_need(&g.table, ts_ns));
		full = canp_runb_append(&b, &c);
		assert_true(pool.stats.in_use <= used + need);
		rows -= n;
		if (full || !rows) {
			struct canp_run *run;

			used = pool.stats.in_use;
			canp_runb_finish(&b, 5, &run);
			assert_int_equal(pool.stats.in_use, used);
			assert_int_equal(run->unit, 5);
			assert_int_equal(run->seq, seq++);
			assert_ptr_equal(run->table, &g.table);
			assert_int_equal(run->raw, run->rows < CANP_RUN_RAW_ROWS);
			assert_int_equal(canp_run_slots(run), used);
			check_run(&g, run, row0);
			row0 += run->rows;
			canp_run_free(run, &pool);
			assert_int_equal(pool.stats.in_use, 0);
		}
	}
	assert_int_equal(row0, g.rows);
	pqgen_fini(&g);
	pqgen_pool_fini(&pool);
}

static void C18_runs_name_their_files_and_slots_and_every_cell_equals_the_model(void **state)
{
	static const uint32_t rows[] = {1, 255, 256, 1000, 1023, 1024, 1025, 3000, 9000};

	(void)state;
	for (uint64_t seed = 1; seed < 60; seed++)
		one_unit(seed, seed % 4 ? seed % 4 == 1 ? CANP_REC_F : CANP_REC_S : CANP_REC_J,
			 PQGEN_PLAIN, rows[seed % 9], 4096, seed % 5 == 0);
}

static void multiplexed_signals_are_null_when_not_selected(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 140; seed++)
		one_unit(seed, seed & 1 ? CANP_REC_F : CANP_REC_S, PQGEN_MUX,
			 700 + 40 * seed % 5000, 2048, false);
}

static void raw_frame_columns_come_from_the_record_head(void **state)
{
	(void)state;
	for (uint64_t seed = 200; seed < 206; seed++)
		one_unit(seed, seed & 1 ? CANP_REC_F : CANP_REC_J, PQGEN_RAW, 5000, 0, seed & 2);
}

static void C18_a_full_run_holds_run_rows(void **state)
{
	(void)state;
	one_unit(301, CANP_REC_S, PQGEN_PLAIN, 70000, 0, false);
}

/* The owner's use: raw runs of several units become one page. */
static void raw_runs_are_packed_into_one_page(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 25; seed++) {
		struct canp_runb_opts o = {.scratch = &scratch, .run_rows = 4096};
		struct canp_runb make, pend;
		struct canp_run *run;
		struct canp_pool pool;
		struct pqgen g;
		uint32_t total = 0;

		pqgen_init(&g, seed, seed & 1 ? CANP_REC_F : CANP_REC_S,
			   seed & 2 ? PQGEN_MUX : PQGEN_PLAIN, 12);
		pqgen_pool_init(&pool, 4000);
		o.table = &g.table;
		o.pool = &pool;
		assert_int_equal(canp_runb_init(&make, &o), 0);
		o.encode_short = true;
		assert_int_equal(canp_runb_init(&pend, &o), 0);
		for (unsigned unit = 0; unit < 6; unit++) {
			uint32_t rows = 1 + pqgen_below(&g.rng, seed < 6 ? 60 : 1000), used;

			if (total + rows > 4096)
				break;
			for (uint32_t left = rows, n; left; left -= n) {
				struct canp_chunk c;

				n = canp_min(left, 256u);
				c = pqgen_chunk(&g, n, unit % 3, seed & 4);
				canp_runb_append(&make, &c);
			}
			canp_runb_finish(&make, unit, &run);
			assert_true(run->raw);
			used = pool.stats.in_use;
			canp_runb_append_raw(&pend, run);
			assert_true(pool.stats.in_use <= used + canp_runb_need_now(&pend));
			canp_run_free(run, &pool);
			total += rows;
		}
		canp_runb_finish(&pend, 0, &run);
		assert_false(run->raw);
		assert_int_equal(run->rows, total);
		check_run(&g, run, 0);
		canp_run_free(run, &pool);
		assert_int_equal(pool.stats.in_use, 0);
		pqgen_fini(&g);
		pqgen_pool_fini(&pool);
	}
}

static void reset_gives_every_slot_back(void **state)
{
	struct canp_pool pool;
	struct canp_runb b;
	struct pqgen g;

	(void)state;
	pqgen_init(&g, 9, CANP_REC_S, PQGEN_MUX, 20);
	pqgen_pool_init(&pool, 2000);
	canp_runb_init(&b, &(struct canp_runb_opts){
				   .table = &g.table, .pool = &pool, .scratch = &scratch});
	for (unsigned i = 0; i < 6; i++) {
		struct canp_chunk c = pqgen_chunk(&g, 256, 0, true);

		canp_runb_append(&b, &c);
	}
	assert_true(pool.stats.in_use > 20);
	canp_runb_reset(&b);
	assert_int_equal(pool.stats.in_use, 0);
	assert_int_equal(canp_runb_rows(&b), 0);
	pqgen_fini(&g);
	pqgen_pool_fini(&pool);
}

static void a_table_too_wide_is_refused(void **state)
{
	struct canp_table t = {.stride = 16, .nr_cols = UINT32_MAX};
	struct canp_runb b;

	(void)state;
	assert_int_not_equal(canp_runb_init(&b, &(struct canp_runb_opts){.table = &t}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			C18_runs_name_their_files_and_slots_and_every_cell_equals_the_model),
		cmocka_unit_test(multiplexed_signals_are_null_when_not_selected),
		cmocka_unit_test(raw_frame_columns_come_from_the_record_head),
		cmocka_unit_test(C18_a_full_run_holds_run_rows),
		cmocka_unit_test(raw_runs_are_packed_into_one_page),
		cmocka_unit_test(reset_gives_every_slot_back),
		cmocka_unit_test(a_table_too_wide_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
