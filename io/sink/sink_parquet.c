/*
 * sink_parquet.c - the life of a part: place runs, close row groups, finish.
 *
 * Place copies a run's bytes into one chain per column, so a column chunk is already in file order
 * when its row group closes and a small run costs its bytes, not a slot per column. Raw runs go
 * through the part's own run builder until an encoded run follows, the page is full or the row
 * group closes; where that happens depends on the order of runs alone.
 *
 * The close writes leaf after leaf: plan, dictionary page, data pages, then the leaf's metadata
 * goes to page slots that were set aside when the close began, and the leaf's page bytes are given
 * back. It never needs the pool in between, so it cannot get stuck on memory, only on the sink's
 * room.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "io/sink/pq_priv.h"

/* Limits that close a row group besides rowgroup_rows; see the header. */
#define PART_PAGES_MAX   1024u
#define PART_CHANGES_MAX 32768u

size_t canp_pqshared_bytes(void)
{
	return canp_align_up(sizeof(struct canp_pqshared), (size_t)64) + canp_pqcodec_bytes();
}

struct canp_pqshared *canp_pqshared_init(void *mem)
{
	struct canp_pqshared *sh = mem;

	memset(sh, 0, sizeof(*sh)); /* first touch by the owner's thread, too */
	sh->serial = 1;
	sh->codec = canp_pqcodec_init((uint8_t *)mem + canp_align_up(sizeof(*sh), (size_t)64));
	return sh;
}

void canp_pqw_put(struct canp_pqw *w, const void *data, size_t len)
{
	w->o.sink.put(w->o.sink.arg, data, len);
	w->pos += len;
}

bool canp_pqw_room(const struct canp_pqw *w, uint64_t len)
{
	return w->o.sink.room(w->o.sink.arg) >= len;
}

static void *part_slot(struct canp_pqw *w)
{
	void *p = canp_pool_get(w->o.pool, w->privileged);

	CANP_ASSERT(p);
	return p;
}

static void spare_push(struct canp_pqw *w, void *slot)
{
	*(void **)slot = w->spare;
	w->spare = slot;
}

static void *spare_pop(struct canp_pqw *w)
{
	void *slot = w->spare;

	CANP_ASSERT(slot);
	w->spare = *(void **)slot;
	return slot;
}

void canp_pqw_note(struct canp_pqw *w, struct canp_segs *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		struct canp_seg *seg = s->tail;
		size_t n;

		if (!seg || seg->used == sizeof(seg->data)) {
			seg = spare_pop(w);
			seg->next = NULL;
			seg->used = 0;
			if (s->tail)
				s->tail->next = seg;
			else
				s->head = seg;
			s->tail = seg;
		}
		n = canp_min(len, sizeof(seg->data) - seg->used);
		memcpy(seg->data + seg->used, p, n);
		canp_segs_commit(s, (uint32_t)n);
		p += n;
		len -= n;
	}
}

/* ---- open -------------------------------------------------------------------------------------*/

static uint32_t state_slots(const struct canp_pqschema *s)
{
	return s->nr_leaves / CANP_PQ_STATES_PER_SLOT + 1;
}

uint32_t canp_pqw_need_open(const struct canp_pqschema *s)
{
	return 1 + state_slots(s);
}

struct canp_pqw *canp_pqw_open(const struct canp_pqw_opts *o, bool privileged)
{
	struct canp_runb_opts ro = {.table = o->schema->table,
				    .pool = o->pool,
				    .scratch = o->scratch,
				    .run_rows = o->run_rows,
				    .ts_ns = o->schema->opts.ts_ns_column,
				    .encode_short = true};
	struct canp_pqw *w = canp_pool_get(o->pool, privileged);
	int rc;

	CANP_ASSERT(w && o->rowgroup_rows);
	memset(w, 0, sizeof(*w));
	w->o = *o;
	w->privileged = privileged;
	w->serial = o->shared->serial++;
	rc = canp_runb_init(&w->pend, &ro);
	CANP_ASSERT(rc == 0); /* the schema was made, so the table is not too wide */
	w->pend.privileged = privileged;
	for (uint32_t i = 0; i < state_slots(o->schema); i++) {
		w->st[i] = part_slot(w);
		memset(w->st[i], 0, CANP_PAGE_SLOT_BYTES);
		w->nr_st_slots++;
	}
	return w;
}

static void group_free(struct canp_pqw *w)
{
	for (uint32_t i = 0; i < w->o.schema->nr_leaves; i++) {
		canp_segs_free(&canp_pqw_st(w, i)->bytes, w->o.pool);
		canp_segs_free(&canp_pqw_st(w, i)->pages, w->o.pool);
	}
	canp_segs_free(&w->meta, w->o.pool);
	while (w->spare)
		canp_pool_put(w->o.pool, spare_pop(w));
}

void canp_pqw_destroy(struct canp_pqw *w)
{
	struct canp_pool *pool;

	if (!w)
		return;
	pool = w->o.pool;
	canp_runb_reset(&w->pend);
	group_free(w);
	canp_segs_free(&w->ci, pool);
	canp_segs_free(&w->oi, pool);
	canp_segs_free(&w->md, pool);
	for (uint32_t i = 0; i < w->nr_st_slots; i++)
		canp_pool_put(pool, w->st[i]);
	canp_pool_put(pool, w);
}

/* ---- place ------------------------------------------------------------------------------------*/

static uint32_t meta_entries(const struct canp_segs *s)
{
	return (uint32_t)(s->bytes / sizeof(struct canp_run_meta));
}

static uint32_t pend_rows(const struct canp_pqw *w)
{
	return canp_runb_rows(&w->pend);
}

static bool would_close(const struct canp_pqw *w, const struct canp_run *run)
{
	uint32_t changes = w->nr_meta + meta_entries(&run->meta);

	if (w->pend.run)
		changes += meta_entries(&w->pend.run->meta);
	return w->rows + pend_rows(w) + run->rows >= w->o.rowgroup_rows ||
	       w->pages + 2 >= PART_PAGES_MAX || changes >= PART_CHANGES_MAX;
}

static bool must_flush(const struct canp_pqw *w, const struct canp_run *run)
{
	return pend_rows(w) && (!run->raw || pend_rows(w) + run->rows > w->pend.o.run_rows);
}

/* Slots to turn the pending rows into a page and to copy it. */
static uint32_t flush_need(const struct canp_pqw *w)
{
	const struct canp_pqschema *s = w->o.schema;
	uint32_t build = canp_runb_need(s->table, s->opts.ts_ns_column);
	uint32_t held = w->pend.run ? canp_run_slots(w->pend.run) : 0;

	return build + held + build + 2 * s->nr_leaves + 2;
}

static uint32_t close_need(const struct canp_pqw *w, uint32_t pages)
{
	return (uint32_t)(canp_pqf_bound(w, pages) / sizeof(((struct canp_seg *)0)->data)) + 4;
}

uint32_t canp_pqw_need(const struct canp_pqw *w, const struct canp_run *run)
{
	const struct canp_pqschema *s = w->o.schema;
	uint32_t n = 0;

	if (!run)
		return flush_need(w) + close_need(w, w->pages + 1);
	if (must_flush(w, run))
		n += flush_need(w);
	if (run->raw)
		n += canp_runb_need(s->table, s->opts.ts_ns_column);
	else
		n += canp_run_slots(run) + 2 * s->nr_leaves + 2;
	if (would_close(w, run))
		n += flush_need(w) + close_need(w, w->pages + 2);
	return n;
}

static void copy_chain(struct canp_pqw *w, struct canp_segs *to, const struct canp_segs *from)
{
	for (const struct canp_seg *seg = from->head; seg; seg = seg->next)
		canp_segs_put(to, w->o.pool, w->privileged, seg->data, seg->used);
}

static struct canp_pqpage *add_page(struct canp_pqw *w, struct canp_pqstate *st)
{
	void *p = canp_segs_room(&st->pages, w->o.pool, w->privileged, sizeof(struct canp_pqpage));

	canp_segs_commit(&st->pages, sizeof(struct canp_pqpage));
	memset(p, 0, sizeof(struct canp_pqpage));
	return p;
}

static void place_time(struct canp_pqw *w, uint32_t leaf, const struct canp_run_ts *ts,
		       uint32_t rows)
{
	struct canp_pqstate *st = canp_pqw_st(w, leaf);
	struct canp_pqpage *p = add_page(w, st);

	p->rows = p->nonnull = rows;
	p->val_bytes = (uint32_t)ts->val.bytes;
	p->first = ts->delta.first;
	p->min = (uint64_t)ts->min;
	p->max = (uint64_t)ts->max;
	copy_chain(w, &st->bytes, &ts->val);
}

static void place_col(struct canp_pqw *w, uint32_t leaf, const struct canp_runcol *rc,
		      uint32_t rows)
{
	struct canp_pqstate *st = canp_pqw_st(w, leaf);
	struct canp_pqpage *p = add_page(w, st);

	p->rows = rows;
	p->nonnull = rc->nonnull;
	p->lev_bytes = (uint32_t)rc->lev.bytes;
	p->val_bytes = (uint32_t)rc->val.bytes;
	p->lo = rc->min;
	p->hi = rc->max;
	copy_chain(w, &st->bytes, &rc->lev);
	copy_chain(w, &st->bytes, &rc->val);
}

static void place_meta(struct canp_pqw *w, const struct canp_run *run)
{
	struct canp_segcur cur = canp_segcur_at(&run->meta);
	struct canp_run_meta m, *last;

	while (canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m)) {
		last = w->meta.tail
			       ? (struct canp_run_meta *)(w->meta.tail->data + w->meta.tail->used) -
					 1
			       : NULL;
		if (last && last->src == m.src && last->device == m.device && last->bus == m.bus) {
			last->rows += m.rows;
			continue;
		}
		canp_segs_put(&w->meta, w->o.pool, w->privileged, &m, sizeof(m));
		w->nr_meta++;
	}
}

static void place_encoded(struct canp_pqw *w, const struct canp_run *run)
{
	const struct canp_pqschema *s = w->o.schema;
	bool follows = !w->rows || run->ts.delta.first >= w->last_ts;

	CANP_ASSERT(run->table == s->table && (run->has_ts_ns || !s->opts.ts_ns_column));
	for (uint32_t i = 0; i < s->nr_leaves; i++) {
		const struct canp_pqleaf *l = &s->leaves[i];

		if (l->kind == CANP_PQL_TS)
			place_time(w, i, &run->ts, run->rows);
		else if (l->kind == CANP_PQL_TS_NS)
			place_time(w, i, &run->ts_ns, run->rows);
		else if (l->kind == CANP_PQL_COL)
			place_col(w, i, canp_run_col(run, l->col_idx), run->rows);
		if (l->kind == CANP_PQL_COL && s->table->cols[l->col_idx].src == CANP_SRC_SIGNAL)
			w->values_total += canp_run_col(run, l->col_idx)->nonnull;
	}
	place_meta(w, run);
	w->ascending = run->ts.ascending && follows && (!w->rows || w->ascending);
	w->last_ts = run->ts.delta.last;
	w->rows += run->rows;
	w->rows_total += run->rows;
	w->pages++;
}

static void flush_pending(struct canp_pqw *w)
{
	struct canp_run *run;

	canp_runb_finish(&w->pend, 0, &run);
	if (!run)
		return;
	place_encoded(w, run);
	canp_run_free(run, w->o.pool);
}

static void begin_close(struct canp_pqw *w)
{
	flush_pending(w);
	if (!w->rows)
		return;
	for (uint32_t n = close_need(w, w->pages); n; n--)
		spare_push(w, part_slot(w));
	w->leaf = 0;
	w->group_plain = w->group_stored = w->group_off = 0;
	w->state = CANP_PQW_PLAN;
}

bool canp_pqw_busy(const struct canp_pqw *w)
{
	return w->state != CANP_PQW_IDLE && w->state != CANP_PQW_DONE;
}

void canp_pqw_place(struct canp_pqw *w, const struct canp_run *run)
{
	bool close = would_close(w, run);

	CANP_ASSERT(w->state == CANP_PQW_IDLE && run->rows);
	CANP_USDT2(run_placed, run->rows, close);
	if (must_flush(w, run))
		flush_pending(w);
	if (run->raw)
		canp_runb_append_raw(&w->pend, run);
	else
		place_encoded(w, run);
	if (close)
		begin_close(w);
}

void canp_pqw_close_group(struct canp_pqw *w)
{
	CANP_ASSERT(w->state == CANP_PQW_IDLE);
	begin_close(w);
}

void canp_pqw_finish(struct canp_pqw *w)
{
	CANP_ASSERT(w->state == CANP_PQW_IDLE);
	w->finishing = true;
	begin_close(w);
	if (w->state == CANP_PQW_IDLE) {
		w->ci_off = UINT64_MAX;
		w->state = CANP_PQW_CI;
	}
}

/* ---- step -------------------------------------------------------------------------------------*/

/* The chain of the leaf just written is not needed any more, unless its label follows. */
static void leaf_done(struct canp_pqw *w)
{
	const struct canp_pqschema *s = w->o.schema;
	uint32_t at = w->leaf;

	canp_pqf_leaf(w);
	w->leaf++;
	if (w->leaf < s->nr_leaves && s->leaves[w->leaf].kind == CANP_PQL_LABEL)
		return;
	if (s->leaves[at].kind == CANP_PQL_LABEL)
		at--;
	canp_segs_free(&canp_pqw_st(w, at)->bytes, w->o.pool);
}

static void group_done(struct canp_pqw *w)
{
	canp_pqf_group(w);
	group_free(w);
	CANP_USDT3(rowgroup_closed, w->rows, w->groups, w->pos);
	w->groups++;
	w->rows = w->pages = w->nr_meta = 0;
	w->state = CANP_PQW_IDLE;
	if (w->finishing) {
		w->ci_off = UINT64_MAX;
		w->state = CANP_PQW_CI;
	}
}

static int close_step(struct canp_pqw *w)
{
	if (w->state == CANP_PQW_PLAN) {
		canp_pqc_plan(w);
		w->state = CANP_PQW_DICT;
	}
	if (w->state == CANP_PQW_DICT) {
		if (canp_pqc_dict(w))
			return 1;
		w->state = CANP_PQW_PAGES;
	}
	if (canp_pqc_pages(w))
		return 1;
	leaf_done(w);
	w->state = CANP_PQW_PLAN;
	if (w->leaf == w->o.schema->nr_leaves)
		group_done(w);
	return 0;
}

int canp_pqw_step(struct canp_pqw *w)
{
	if (canp_pqw_busy(w) && !w->pos) {
		if (!canp_pqw_room(w, 4))
			return 1;
		canp_pqw_put(w, "PAR1", 4);
	}
	while (w->state >= CANP_PQW_PLAN && w->state <= CANP_PQW_PAGES) {
		if (close_step(w))
			return 1;
	}
	if (w->state == CANP_PQW_IDLE || w->state == CANP_PQW_DONE)
		return 0;
	if (w->ci_off == UINT64_MAX) { /* the indexes begin where the row groups end */
		w->ci_off = w->pos;
		w->fc = canp_segcur_at(&w->ci);
	}
	return canp_pqf_step(w);
}

uint64_t canp_pqw_values(const struct canp_pqw *w)
{
	return w->values_total;
}

uint64_t canp_pqw_rows(const struct canp_pqw *w)
{
	return w->rows_total + pend_rows(w);
}

uint64_t canp_pqw_bytes(const struct canp_pqw *w)
{
	return w->pos;
}

uint32_t canp_pqw_groups(const struct canp_pqw *w)
{
	return w->groups;
}

uint32_t canp_pqw_slots(const struct canp_pqw *w)
{
	uint32_t n = 1 + w->nr_st_slots;

	for (uint32_t i = 0; i < w->o.schema->nr_leaves; i++)
		n += canp_segs_slots(&canp_pqw_st(w, i)->bytes) +
		     canp_segs_slots(&canp_pqw_st(w, i)->pages);
	n += canp_segs_slots(&w->meta) + canp_segs_slots(&w->ci) + canp_segs_slots(&w->oi) +
	     canp_segs_slots(&w->md);
	for (void *s = w->spare; s; s = *(void **)s)
		n++;
	return n + (w->pend.run ? canp_run_slots(w->pend.run) : 0);
}
