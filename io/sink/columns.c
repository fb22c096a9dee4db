/*
 * columns.c - the run builder. Rows arrive in chunks of up to 256 records and leave as page bytes:
 * per column one pass extract -> compress (absent rows) -> pack, everything in the shard's L2. Most
 * columns are constant for a chunk, which one look at all bits of a window tells beforehand.
 *
 * Why raw first: most tables of a unit are small. A message with a few hundred rows would cost a
 * slot per column; as records it costs 16 bytes a row, and the owner packs the rows of many units
 * into one page.
 *
 * Slot accounting: append never fails because the caller asked canp_runb_need_now() before. finish
 * needs no slot: every stream keeps enough free bytes in its last segment for its own tail.
 */
#include <errno.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/colmask.h"
#include "io/sink/columns.h"

/* A page of byte values must fit CANP_BYTESINK_ROOM: 8,192 * (4 + 64) bytes. */
#define RUNB_ROWS_BYTES 8192u
/* Rows that one call encodes at most: a raw run appended to the raw rows held. */
#define RUNB_BURST (2 * CANP_RUN_RAW_ROWS)
/* What 256 timestamps take in the common case, for prefetching. */
#define RUNB_TS_BYTES 512u
#define SEG_BYTES     (sizeof(((struct canp_seg *)0)->data))

/* How a chunk is added to a column (canp_runcol.op). */
enum { OP_INDEX, OP_BOOL, OP_PLAIN, OP_BYTES, OP_SKIP };

static const uint32_t all_rows[8] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};

static bool table_has_bytes(const struct canp_table *t)
{
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		if (t->cols[i].store == CANP_STORE_BYTES && !t->cols[i].hidden)
			return true;
	}
	return false;
}

static bool table_has_mux(const struct canp_table *t)
{
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		if (t->cols[i].mux_parent >= 0 && !t->cols[i].hidden)
			return true;
	}
	return false;
}

int canp_runb_init(struct canp_runb *b, const struct canp_runb_opts *o)
{
	uint32_t rows = o->run_rows ? o->run_rows : CANP_RUN_ROWS_MAX;

	if (o->table->nr_cols > CANP_RUN_COL_SLOTS * CANP_RUN_COLS_PER_SLOT)
		return -E2BIG;
	CANP_ASSERT(rows <= CANP_RUN_ROWS_MAX && rows % CANP_CHUNK_ROWS == 0);
	CANP_ASSERT(o->table->stride >= 16 && o->table->stride <= CANP_RUN_STRIDE_MAX);
	memset(b, 0, sizeof(*b));
	b->o = *o;
	b->o.run_rows = table_has_bytes(o->table) ? canp_min(rows, RUNB_ROWS_BYTES) : rows;
	b->unit = UINT64_MAX;
	b->all_present = !table_has_mux(o->table);
	return 0;
}

void canp_runb_reset(struct canp_runb *b)
{
	canp_run_free(b->run, b->o.pool);
	b->run = NULL;
	b->origin.rows = 0;
}

/* Slots that `rows` more rows of a column can take: its levels and its values. */
static uint32_t col_need(const struct canp_table *t, const struct canp_col *c, uint32_t rows)
{
	uint32_t width;

	if (c->hidden)
		return 0;
	switch (c->store) {
	case CANP_STORE_INDEX:
		/* hybrid portions leave up to CANP_HYBRID_ROOM + TAIL unused per segment */
		return 2 + rows * 2 / (uint32_t)(SEG_BYTES - 1024);
	case CANP_STORE_U32:
		width = 4;
		break;
	case CANP_STORE_U64:
		width = 8;
		break;
	default:
		width = 4u + t->payload_max;
		break;
	}
	return 2 + rows * width / (uint32_t)(SEG_BYTES - 128);
}

static uint32_t encoded_need(const struct canp_table *t, bool ts_ns, uint32_t rows)
{
	uint32_t n = 0, ts;

	for (uint32_t i = 0; i < t->nr_cols; i++)
		n += col_need(t, &t->cols[i], rows);
	/* 256 values take at most CANP_DELTA_ROOM, and a segment keeps one block free */
	ts = 1 + (rows / CANP_CHUNK_ROWS + 1) * CANP_DELTA_ROOM /
			 (uint32_t)(SEG_BYTES - CANP_DELTA_ROOM - CANP_DELTA_BLOCK_MAX);
	return n + ts * (ts_ns ? 2 : 1) + 2 /* meta of one chunk */;
}

uint32_t canp_runb_need(const struct canp_table *table, bool ts_ns)
{
	uint32_t descs = table->nr_cols / CANP_RUN_COLS_PER_SLOT + 1;
	uint32_t meta = RUNB_BURST / (uint32_t)CANP_RUN_META_PER_SEG + 1;

	return 1 + descs + meta + encoded_need(table, ts_ns, RUNB_BURST);
}

uint32_t canp_runb_need_now(const struct canp_runb *b)
{
	const struct canp_table *t = b->o.table;
	uint32_t rows = canp_runb_rows(b);

	if (b->o.encode_short)
		return canp_runb_need(t, b->o.ts_ns);
	if (rows && !b->run->raw)
		return encoded_need(t, b->o.ts_ns, CANP_CHUNK_ROWS);
	if (rows + CANP_CHUNK_ROWS < CANP_RUN_RAW_ROWS)
		return 1 + 2 + 1 + CANP_CHUNK_ROWS / CANP_RUN_RAW_PER_SLOT(t->stride) + 1;
	return canp_runb_need(t, b->o.ts_ns);
}

static void *runb_slot(struct canp_runb *b)
{
	void *p = canp_pool_get(b->o.pool, b->privileged);

	CANP_ASSERT(p);
	return p;
}

static uint8_t *runb_room(struct canp_runb *b, struct canp_segs *s, uint32_t n)
{
	return canp_segs_room(s, b->o.pool, b->privileged, n);
}

static void runb_start(struct canp_runb *b)
{
	struct canp_run *run = runb_slot(b);

	memset(run, 0, sizeof(*run));
	run->table = b->o.table;
	run->slot = b->o.slot;
	run->raw = true;
	run->has_ts_ns = b->o.ts_ns;
	b->run = run;
}

/* Puts the open entry into the run. Its room was taken when it began, so this needs no slot. */
static void meta_close(struct canp_runb *b)
{
	if (b->origin.rows)
		canp_segs_put(&b->run->meta, b->o.pool, b->privileged, &b->origin,
			      sizeof(b->origin));
	b->origin.rows = 0;
}

static void meta_add(struct canp_runb *b, struct canp_run_meta m)
{
	struct canp_run_meta *o = &b->origin;

	if (o->rows && o->src == m.src && o->device == m.device && o->bus == m.bus) {
		o->rows += m.rows;
		return;
	}
	meta_close(b);
	*o = m;
	runb_room(b, &b->run->meta, sizeof(m));
}

static void meta_add_chunk(struct canp_runb *b, const struct canp_chunk *chunk)
{
	for (unsigned i = 0; i < chunk->nr_meta; i++) {
		const struct canp_meta_run *m = &chunk->meta[i];
		unsigned end = i + 1 < chunk->nr_meta ? m[1].start : chunk->rows;

		if (end > m->start)
			meta_add(b, (struct canp_run_meta){.rows = end - m->start,
							   .src = m->src,
							   .device = m->device,
							   .bus = m->bus});
	}
}

static void store_raw(struct canp_runb *b, const uint8_t *rec, uint32_t n, const uint8_t *lens)
{
	struct canp_run *run = b->run;
	uint32_t stride = run->table->stride, per = CANP_RUN_RAW_PER_SLOT(stride);

	if (lens && !run->raw_lens) {
		run->raw_lens = runb_slot(b);
		memset(run->raw_lens, 0xff, CANP_RUN_RAW_ROWS);
	}
	if (lens)
		memcpy(run->raw_lens + run->rows, lens, n);
	for (uint32_t i = 0; i < n;) {
		uint32_t row = run->rows + i, k = canp_min(n - i, per - row % per);
		uint8_t **slot = &run->raw_rec[row / per];

		if (!*slot)
			*slot = runb_slot(b);
		memcpy(*slot + (size_t)(row % per) * stride, rec + (size_t)i * stride,
		       (size_t)k * stride);
		i += k;
	}
	run->rows += n;
}

/* ORs n bits of mask into dst from bit `at` on; dst is zero there. */
static void bits_put(uint8_t *dst, uint32_t at, const uint32_t mask[8], uint32_t n)
{
	for (uint32_t w = 0; w * 32 < n; w++) {
		uint32_t pos = at + w * 32;
		uint64_t old, bits = (uint64_t)mask[w] << (pos & 7);

		old = canp_le64(dst + pos / 8);
		canp_put_le64(dst + pos / 8, old | bits);
	}
}

/* Validity of rows row0..row0+n. Nothing is stored as long as all rows or none are present. */
static void validity_add(struct canp_runb *b, struct canp_runcol *rc, const uint32_t mask[8],
			 uint32_t row0, uint32_t n, uint32_t present)
{
	bool all_so_far = rc->nonnull == row0;
	uint8_t *bits;

	if (!rc->lev.head) {
		if (row0 ? (rc->nonnull == 0 ? present == 0 : all_so_far && present == n)
			 : present == 0 || present == n)
			return;
		bits = runb_room(b, &rc->lev, CANP_RUN_ROWS_MAX / 8 + 16);
		memset(bits, 0, CANP_RUN_ROWS_MAX / 8 + 16);
		if (rc->nonnull) { /* all rows before were present */
			memset(bits, 0xff, row0 / 8);
			bits[row0 / 8] = (uint8_t)((1u << (row0 & 7)) - 1);
		}
	}
	bits_put(rc->lev.head->data, row0, mask, n);
}

/* Asks for the bytes the next chunk will be written to. They were last used by another run, so they
 * are far away, and a chunk writes faster than the lines come; until then they stay in the L2. */
static void prefetch_ahead(const uint8_t *at, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i += CANP_CACHELINE)
		__builtin_prefetch(at + i, 1);
}

static uint8_t *col_room(struct canp_runb *b, struct canp_runcol *rc)
{
	canp_segcut_room(&rc->cut, &rc->val, b->o.pool, b->privileged,
			 CANP_HYBRID_ROOM + CANP_HYBRID_TAIL);
	return rc->cut.at;
}

/* PLAIN booleans: one bit each, packed by eights; what does not fill a byte waits. */
static void bool_add(struct canp_runb *b, struct canp_runcol *rc, const uint16_t *v, uint32_t n)
{
	uint16_t tmp[8 + 256 + 32] = {0};
	struct canp_hybrid *h = &rc->hyb;
	uint32_t total = h->nr_carry + n, whole = total & ~7u;
	uint8_t *out = col_room(b, rc);

	memcpy(tmp, h->carry, h->nr_carry * sizeof(tmp[0]));
	memcpy(tmp + h->nr_carry, v, n * sizeof(tmp[0]));
	if (whole)
		rc->cut.at += canp_simd.pack16(tmp, whole, 1, out);
	h->nr_carry = (uint8_t)(total - whole);
	memcpy(h->carry, tmp + whole, h->nr_carry * sizeof(tmp[0]));
}

static void index_bounds(struct canp_runcol *rc, uint16_t min, uint16_t max)
{
	rc->min = min < rc->min ? min : rc->min;
	rc->max = max > rc->max ? max : rc->max;
}

/* Most columns hold still for the length of a chunk: no extraction then, one look at a window. */
static void index_same(struct canp_runb *b, struct canp_runcol *rc, uint16_t x, uint32_t n)
{
	struct canp_hybrid *h = &rc->hyb;
	uint8_t *out;

	if (canp_likely(h->rle_count && h->rle_value == x)) {
		h->rle_count += n; /* its bounds are known */
		return;
	}
	index_bounds(rc, x, x);
	out = col_room(b, rc);
	rc->cut.at += canp_hybrid_repeat(h, x, n, rc->raw_bits, out);
}

/* mask: rows that have the column; only looked at when they are not all. */
static void index_add(struct canp_runb *b, struct canp_colview *v, struct canp_runcol *rc,
		      const uint32_t *mask, uint32_t present)
{
	const uint64_t *win = canp_colview_load(v, rc->win);
	uint64_t vary = v->s->vary[canp_colview_slot(rc->win)] >> rc->shift;
	uint64_t field = (1ull << rc->raw_bits) - 1;
	uint16_t *val = (uint16_t *)v->s->val;
	struct canp_minmax mm;
	uint8_t *out;

	if (!(vary & field) && rc->op == OP_INDEX) {
		index_same(b, rc, (uint16_t)((win[0] >> rc->shift & field) ^ rc->flip), present);
		return;
	}
	canp_simd.extract16(win, v->n, rc->shift, rc->raw_bits, rc->flip, val, &mm);
	if (present < v->n) {
		canp_simd.compress16(val, v->n, mask);
		canp_simd.bounds16(val, present, &mm);
	}
	index_bounds(rc, (uint16_t)mm.min, (uint16_t)mm.max);
	if (rc->op == OP_BOOL) {
		bool_add(b, rc, val, present);
		return;
	}
	out = col_room(b, rc);
	rc->cut.at += canp_hybrid_add(&rc->hyb, val, present, rc->raw_bits, mm.min == mm.max, out);
	prefetch_ahead(rc->cut.at, 32u * rc->raw_bits);
}

static void plain_add(struct canp_runb *b, struct canp_colview *v, const struct canp_col *col,
		      struct canp_runcol *rc, const uint32_t *mask, uint32_t present)
{
	uint64_t *val = v->s->val;
	uint32_t *val32 = (uint32_t *)val;
	size_t width = col->store == CANP_STORE_U32 ? 4 : 8;
	struct canp_minmax mm;

	if (width == 4 && !col->wide) {
		canp_simd.extract32(canp_colview_load(v, rc->win), v->n, rc->shift, col->raw_bits,
				    0, val32, &mm);
	} else {
		canp_colview_raw(v, col, val);
		for (uint32_t i = 0; width == 4 && i < v->n; i++)
			val32[i] = (uint32_t)val[i];
	}
	if (present < v->n && width == 4)
		canp_simd.compress32(val32, v->n, mask);
	else if (present < v->n)
		canp_simd.compress64(val, v->n, mask);
	canp_segs_put(&rc->val, b->o.pool, b->privileged, val, present * width);
}

static void bytes_add(struct canp_runb *b, struct canp_colview *v, struct canp_runcol *rc,
		      const uint32_t *mask)
{
	for (uint32_t i = 0; i < v->n; i++) {
		const uint8_t *data;
		uint32_t len;
		uint8_t *out;

		if (!(mask[i / 32] >> (i % 32) & 1))
			continue;
		data = canp_colview_bytes(v, i, &len);
		out = runb_room(b, &rc->val, 4 + len);
		canp_put_le32(out, len);
		memcpy(out + 4, data, len);
		canp_segs_commit(&rc->val, 4 + len);
	}
}

static void ts_add(struct canp_runb *b, struct canp_run_ts *t, const int64_t *v, uint32_t n)
{
	canp_segcut_room(&t->cut, &t->val, b->o.pool, b->privileged,
			 CANP_DELTA_ROOM + CANP_DELTA_BLOCK_MAX);
	t->cut.at += canp_delta_add(&t->delta, v, n, t->cut.at);
	prefetch_ahead(t->cut.at, RUNB_TS_BYTES);
}

static void encode_ts(struct canp_runb *b, struct canp_colview *v)
{
	int64_t *ns = (int64_t *)v->s->val, *us = v->s->us;

	canp_colview_ts(v, ns);
	canp_simd.ns_to_us(ns, v->n, us);
	if (b->run->has_ts_ns)
		ts_add(b, &b->run->ts_ns, ns, v->n);
	ts_add(b, &b->run->ts, us, v->n);
}

static void col_add(struct canp_runb *b, struct canp_colview *v, uint32_t i, uint32_t row0)
{
	struct canp_runcol *rc = canp_run_col(b->run, i);
	const struct canp_col *col = &v->table->cols[i];
	const uint32_t *mask = all_rows;
	uint32_t present = v->n;

	if (!b->all_present || v->lens)
		mask = canp_colview_mask(v, col, &present);
	/* As long as all rows have it, nothing is said about them. */
	if (canp_unlikely(present < v->n || rc->nonnull < row0)) {
		validity_add(b, rc, mask, row0, v->n, present);
		if (!present)
			return;
	}
	if (canp_likely(rc->op <= OP_BOOL))
		index_add(b, v, rc, mask, present);
	else if (rc->op == OP_BYTES)
		bytes_add(b, v, rc, mask);
	else
		plain_add(b, v, col, rc, mask, present);
	rc->nonnull += present;
}

/* Encodes n <= 256 records as rows row0.. of the run. */
static void encode_rows(struct canp_runb *b, const uint8_t *rec, uint32_t n, const uint8_t *lens,
			uint32_t row0)
{
	const struct canp_run *run = b->run;
	struct canp_colview v;

	canp_colview_begin(&v, b->o.table, b->o.scratch, rec, lens, n);
	encode_ts(b, &v);
	for (uint32_t i = 0; i < run->nr_cols; i++) {
		if (canp_run_col(run, i)->op != OP_SKIP)
			col_add(b, &v, i, row0);
	}
}

/* What every chunk needs of a column's description. */
static void col_begin(struct canp_runcol *rc, const struct canp_col *col)
{
	unsigned shift = 0;

	rc->min = UINT16_MAX;
	rc->raw_bits = col->raw_bits;
	rc->win = (uint8_t)canp_colview_source(col, &shift);
	rc->shift = (uint8_t)shift;
	if (col->is_signed && col->store == CANP_STORE_INDEX)
		rc->flip = (uint16_t)(1u << (col->raw_bits - 1));
	if (col->hidden)
		rc->op = OP_SKIP;
	else if (col->store == CANP_STORE_INDEX)
		rc->op = col->type == CANP_COL_BOOL ? OP_BOOL : OP_INDEX;
	else
		rc->op = col->store == CANP_STORE_BYTES ? OP_BYTES : OP_PLAIN;
}

/* Turns the raw records held into columns and gives their slots back one by one. */
static void encode_begin(struct canp_runb *b)
{
	struct canp_run *run = b->run;
	uint32_t stride = run->table->stride, per = CANP_RUN_RAW_PER_SLOT(stride);

	run->nr_cols = run->table->nr_cols;
	for (uint32_t i = 0; i * CANP_RUN_COLS_PER_SLOT < run->nr_cols; i++) {
		run->cols[i] = runb_slot(b);
		memset(run->cols[i], 0, CANP_PAGE_SLOT_BYTES);
	}
	for (uint32_t i = 0; i < run->nr_cols; i++)
		col_begin(canp_run_col(run, i), &run->table->cols[i]);
	run->ts.delta.bounds = run->ts_ns.delta.bounds = true;
	run->raw = false;
	for (uint32_t row = 0; row < run->rows;) {
		uint32_t in_slot = row % per, n = canp_min(run->rows - row, per - in_slot);

		n = canp_min(n, CANP_CHUNK_ROWS);
		encode_rows(b, run->raw_rec[row / per] + (size_t)in_slot * stride, n,
			    run->raw_lens ? run->raw_lens + row : NULL, row);
		row += n;
		if (row % per == 0 || row == run->rows) {
			canp_pool_put(b->o.pool, run->raw_rec[(row - 1) / per]);
			run->raw_rec[(row - 1) / per] = NULL;
		}
	}
	if (run->raw_lens)
		canp_pool_put(b->o.pool, run->raw_lens);
	run->raw_lens = NULL;
}

static void runb_add(struct canp_runb *b, const uint8_t *rec, uint32_t n, const uint8_t *lens)
{
	struct canp_run *run = b->run;

	if (run->raw && run->rows + n < CANP_RUN_RAW_ROWS) {
		store_raw(b, rec, n, lens);
		return;
	}
	if (run->raw)
		encode_begin(b);
	encode_rows(b, rec, n, lens, run->rows);
	run->rows += n;
}

bool canp_runb_append(struct canp_runb *b, const struct canp_chunk *chunk)
{
	CANP_ASSERT(chunk->rows && chunk->rows <= CANP_CHUNK_ROWS);
	CANP_ASSERT(canp_runb_rows(b) + chunk->rows <= b->o.run_rows);
	if (!b->run)
		runb_start(b);
	meta_add_chunk(b, chunk);
	runb_add(b, chunk->rec, chunk->rows, chunk->lens);
	return b->run->rows == b->o.run_rows;
}

void canp_runb_append_raw(struct canp_runb *b, const struct canp_run *raw)
{
	uint32_t stride = raw->table->stride, per = CANP_RUN_RAW_PER_SLOT(stride);
	struct canp_segcur cur = canp_segcur_at(&raw->meta);
	struct canp_run_meta m;

	CANP_ASSERT(raw->raw && canp_runb_rows(b) + raw->rows <= b->o.run_rows);
	if (!b->run)
		runb_start(b);
	while (canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m))
		meta_add(b, m);
	for (uint32_t row = 0; row < raw->rows;) {
		uint32_t in_slot = row % per, n = canp_min(raw->rows - row, per - in_slot);

		n = canp_min(n, CANP_CHUNK_ROWS);
		runb_add(b, raw->raw_rec[row / per] + (size_t)in_slot * stride, n,
			 raw->raw_lens ? raw->raw_lens + row : NULL);
		row += n;
	}
}

static void finish_col(struct canp_runb *b, const struct canp_col *col, struct canp_runcol *rc)
{
	uint8_t lev[CANP_RUN_ROWS_MAX / 8 + 64];
	struct canp_hybrid *h = &rc->hyb;
	size_t n = 0;

	if (rc->lev.head) {
		n = canp_pq_levels(rc->lev.head->data, b->run->rows, lev);
		CANP_ASSERT(n <= sizeof(lev));
		memcpy(rc->lev.head->data, lev, n);
		rc->lev.head->used = (uint32_t)n;
		rc->lev.bytes = n;
	}
	if (col->store != CANP_STORE_INDEX || !rc->val.tail)
		return;
	canp_segcut_sync(&rc->cut, &rc->val);
	if (col->type == CANP_COL_BOOL) {
		uint16_t tmp[32] = {0};

		memcpy(tmp, h->carry, h->nr_carry * sizeof(tmp[0]));
		if (h->nr_carry)
			n = canp_simd.pack16(tmp, 8, 1, rc->val.tail->data + rc->val.tail->used);
		else
			n = 0;
	} else {
		n = canp_hybrid_finish(h, col->raw_bits, rc->val.tail->data + rc->val.tail->used);
	}
	canp_segs_commit(&rc->val, (uint32_t)n);
}

static void finish_ts(struct canp_run_ts *t)
{
	if (!t->val.tail)
		return;
	t->cut.at += canp_delta_finish(&t->delta, t->cut.at);
	canp_segcut_sync(&t->cut, &t->val);
	t->min = t->delta.min;
	t->max = t->delta.max;
	t->ascending = !t->delta.back;
}

void canp_runb_finish(struct canp_runb *b, uint64_t unit, struct canp_run **out)
{
	struct canp_run *run = b->run;

	*out = run;
	if (!run)
		return;
	if (run->raw && b->o.encode_short)
		encode_begin(b);
	meta_close(b);
	if (!run->raw) {
		finish_ts(&run->ts);
		finish_ts(&run->ts_ns);
		for (uint32_t i = 0; i < run->nr_cols; i++)
			finish_col(b, &run->table->cols[i], canp_run_col(run, i));
	}
	b->seq = unit == b->unit ? b->seq + 1 : 0;
	b->unit = unit;
	run->unit = unit;
	run->seq = b->seq;
	b->run = NULL;
}
