/*
 * pqfooter.c - metadata of a part. When a column chunk is done its ColumnMetaData, ColumnIndex and
 * OffsetIndex are serialised at once and kept as bytes in page slots; everything in them is known
 * then, because pages have been placed. Only where the indexes will stand is not: that follows from
 * the lengths when the footer is written.
 *
 * Streams: ci and oi hold the index structs back to back; md holds per row group one struct
 * canp_pqmd + ColumnMetaData for each leaf and then one struct canp_pqrg.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

/* Longest string kept as a bound; longer ones are left out rather than cut. */
#define BOUND_TEXT_MAX 64u
/* ColumnMetaData without names and strings; index entries of one page. */
#define MD_BYTES   256u
#define PAGE_BYTES 56u

uint64_t canp_pqf_bound(const struct canp_pqw *w, uint32_t pages)
{
	const struct canp_pqschema *s = w->o.schema;

	return s->names_bytes + (uint64_t)s->nr_leaves * (MD_BYTES + 64 + 2 * BOUND_TEXT_MAX +
							  (uint64_t)pages * PAGE_BYTES);
}

static struct canp_segcur leaf_pages(const struct canp_pqw *w)
{
	const struct canp_pqleaf *l = &w->o.schema->leaves[w->leaf];
	uint32_t at = l->kind == CANP_PQL_LABEL ? w->leaf - 1 : w->leaf;

	if (!canp_pqw_st(w, at)->pages.head)
		at = 0; /* origin columns share the pages of the time column */
	return canp_segcur_at(&canp_pqw_st(w, at)->pages);
}

static bool leaf_has_bounds(const struct canp_pqleaf *l)
{
	return l->type != CANP_PQ_BYTE_ARRAY;
}

/* A page is a null page when no row of it is present; required leaves have none. */
static bool page_is_null(const struct canp_pqleaf *l, const struct canp_pqpage *p)
{
	return l->optional && !p->nonnull;
}

/* Whether every page has bounds or is null: a NaN page forbids the index. */
static bool index_possible(const struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_segcur cur = leaf_pages(w);
	struct canp_pqpage *p;

	if (!leaf_has_bounds(l))
		return false;
	while ((p = canp_pqpage_next(&cur)) != NULL) {
		if (!page_is_null(l, p) &&
		    (!(p->flags & CANP_PQPAGE_BOUNDS) || (p->flags & CANP_PQPAGE_NAN)))
			return false;
	}
	return true;
}

/* 1 ascending, 2 descending, 0 neither; bounds of null pages do not count. */
static int boundary_order(const struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_segcur cur = leaf_pages(w);
	struct canp_pqpage *p, *before = NULL;
	bool asc = true, desc = true;

	while ((p = canp_pqpage_next(&cur)) != NULL) {
		int lo, hi;

		if (page_is_null(l, p))
			continue;
		if (before) {
			lo = canp_pqv_cmp(l->type, l->is_unsigned, before->min, p->min);
			hi = canp_pqv_cmp(l->type, l->is_unsigned, before->max, p->max);
			asc &= lo <= 0 && hi <= 0;
			desc &= lo >= 0 && hi >= 0;
		}
		before = p;
	}
	return asc ? 1 : desc ? 2 : 0;
}

static size_t column_index(const struct canp_pqw *w, const struct canp_pqleaf *l, uint8_t *mem,
			   size_t cap)
{
	struct canp_segcur cur;
	struct canp_pqpage *p;
	struct canp_tw t;
	uint8_t b[8];

	if (!index_possible(w, l))
		return 0;
	canp_tw_init(&t, mem, cap, 0);
	canp_tw_list(&t, 1, CANP_TW_TRUE, w->c.data_pages);
	for (cur = leaf_pages(w); (p = canp_pqpage_next(&cur)) != NULL;)
		canp_tw_elem_bool(&t, page_is_null(l, p));
	for (int max = 0; max < 2; max++) {
		canp_tw_list(&t, 2 + max, CANP_TW_BINARY, w->c.data_pages);
		for (cur = leaf_pages(w); (p = canp_pqpage_next(&cur)) != NULL;) {
			unsigned n = canp_pqv_bound(l->type, max, max ? p->max : p->min, b);

			canp_tw_elem_binary(&t, b, page_is_null(l, p) ? 0 : n);
		}
	}
	canp_tw_i32(&t, 4, boundary_order(w, l));
	canp_tw_list(&t, 5, CANP_TW_I64, w->c.data_pages);
	for (cur = leaf_pages(w); (p = canp_pqpage_next(&cur)) != NULL;)
		canp_tw_elem_int(&t, l->optional ? p->rows - p->nonnull : 0);
	canp_tw_raw(&t, "", 1);
	CANP_ASSERT(!t.full);
	return canp_tw_len(&t);
}

static size_t offset_index(const struct canp_pqw *w, uint8_t *mem, size_t cap)
{
	struct canp_segcur cur = leaf_pages(w);
	uint64_t off = w->c.data_off, row = 0;
	struct canp_pqpage *p;
	struct canp_tw t;

	canp_tw_init(&t, mem, cap, 0);
	canp_tw_list(&t, 1, CANP_TW_STRUCT, w->c.data_pages);
	while ((p = canp_pqpage_next(&cur)) != NULL) {
		canp_tw_begin(&t, 0);
		canp_tw_i64(&t, 1, (int64_t)off);
		canp_tw_i32(&t, 2, (int32_t)p->stored);
		canp_tw_i64(&t, 3, (int64_t)row);
		canp_tw_end(&t);
		off += p->stored;
		row += p->rows;
	}
	canp_tw_raw(&t, "", 1);
	CANP_ASSERT(!t.full);
	return canp_tw_len(&t);
}

static void put_statistics(struct canp_tw *t, const struct canp_pqw *w, const struct canp_pqleaf *l)
{
	const struct canp_pqshared *sh = w->o.shared;
	const struct canp_pqmm *mm = &w->c.mm;
	const char *lo, *hi;
	uint8_t b[8];

	canp_tw_begin(t, 12);
	canp_tw_i64(t, 3, (int64_t)w->c.nulls);
	if (l->kind == CANP_PQL_DEVICE) {
		lo = w->o.device_name ? w->o.device_name(w->o.arg, sh->keys[sh->order[mm->min]])
				      : "";
		hi = w->o.device_name ? w->o.device_name(w->o.arg, sh->keys[sh->order[mm->max]])
				      : "";
		if (lo && hi && strlen(lo) <= BOUND_TEXT_MAX && strlen(hi) <= BOUND_TEXT_MAX) {
			canp_tw_string(t, 5, hi);
			canp_tw_string(t, 6, lo);
			canp_tw_bool(t, 7, true);
			canp_tw_bool(t, 8, true);
		}
	} else if (leaf_has_bounds(l) && mm->any && !mm->nan) {
		canp_tw_binary(t, 5, b, canp_pqv_bound(l->type, true, mm->max, b));
		canp_tw_binary(t, 6, b, canp_pqv_bound(l->type, false, mm->min, b));
		canp_tw_bool(t, 7, true);
		canp_tw_bool(t, 8, true);
	}
	canp_tw_end(t);
}

static void put_encodings(struct canp_tw *t, const struct canp_pqw *w, const struct canp_pqleaf *l)
{
	bool dict = w->c.enc == CANP_PQ_DICT;
	size_t n = 1u + dict + l->optional;

	canp_tw_list(t, 2, CANP_TW_I32, n);
	canp_tw_elem_int(t, (int64_t)w->c.enc);
	if (dict)
		canp_tw_elem_int(t, CANP_PQ_PLAIN);
	if (l->optional)
		canp_tw_elem_int(t, CANP_PQ_RLE);
}

static void put_encoding_stats(struct canp_tw *t, const struct canp_pqw *w)
{
	bool dict = w->c.enc == CANP_PQ_DICT;

	canp_tw_list(t, 13, CANP_TW_STRUCT, 1u + dict);
	if (dict) {
		canp_tw_begin(t, 0);
		canp_tw_i32(t, 1, CANP_PQ_DICT_PAGE);
		canp_tw_i32(t, 2, CANP_PQ_PLAIN);
		canp_tw_i32(t, 3, 1);
		canp_tw_end(t);
	}
	canp_tw_begin(t, 0);
	canp_tw_i32(t, 1, CANP_PQ_DATA_PAGE);
	canp_tw_i32(t, 2, (int32_t)w->c.enc);
	canp_tw_i32(t, 3, (int32_t)w->c.data_pages);
	canp_tw_end(t);
}

static size_t column_meta(const struct canp_pqw *w, const struct canp_pqleaf *l, uint8_t *mem,
			  size_t cap)
{
	struct canp_tw t;

	canp_tw_init(&t, mem, cap, 0);
	canp_tw_i32(&t, 1, (int32_t)l->type);
	put_encodings(&t, w, l);
	canp_tw_list(&t, 3, CANP_TW_BINARY, 1);
	canp_tw_elem_binary(&t, l->name, strlen(l->name));
	canp_tw_i32(&t, 4, (int32_t)w->c.codec);
	canp_tw_i64(&t, 5, (int64_t)w->c.values);
	canp_tw_i64(&t, 6, (int64_t)w->c.plain_total);
	canp_tw_i64(&t, 7, (int64_t)w->c.stored_total);
	canp_tw_i64(&t, 9, (int64_t)w->c.data_off);
	if (w->c.enc == CANP_PQ_DICT)
		canp_tw_i64(&t, 11, (int64_t)w->c.dict_off);
	put_statistics(&t, w, l);
	put_encoding_stats(&t, w);
	canp_tw_raw(&t, "", 1);
	CANP_ASSERT(!t.full);
	return canp_tw_len(&t);
}

void canp_pqf_leaf(struct canp_pqw *w)
{
	const struct canp_pqleaf *l = &w->o.schema->leaves[w->leaf];
	struct canp_pqshared *sh = w->o.shared;
	struct canp_pqmd md;
	size_t n;

	n = column_index(w, l, sh->page, sizeof(sh->page));
	md.ci_len = (uint32_t)n;
	canp_pqw_note(w, &w->ci, sh->page, n);
	n = offset_index(w, sh->page, sizeof(sh->page));
	md.oi_len = (uint32_t)n;
	canp_pqw_note(w, &w->oi, sh->page, n);
	n = column_meta(w, l, sh->page, sizeof(sh->page));
	md.md_len = (uint32_t)n;
	canp_pqw_note(w, &w->md, &md, sizeof(md));
	canp_pqw_note(w, &w->md, sh->page, n);
	if (!w->leaf)
		w->group_off = w->c.data_off; /* the time column has no dictionary */
	w->group_plain += w->c.plain_total;
	w->group_stored += w->c.stored_total;
}

void canp_pqf_group(struct canp_pqw *w)
{
	struct canp_pqrg rg = {.plain = w->group_plain,
			       .stored = w->group_stored,
			       .off = w->group_off,
			       .rows = w->rows,
			       .ascending = w->ascending};

	canp_pqw_note(w, &w->md, &rg, sizeof(rg));
}

/* ---- finish -----------------------------------------------------------------------------------*/

/* Copies a metadata stream to the sink segment by segment. */
static int put_stream(struct canp_pqw *w)
{
	while (w->fc.seg) {
		uint32_t n = w->fc.seg->used - w->fc.off;

		if (!canp_pqw_room(w, n))
			return 1;
		canp_pqw_put(w, w->fc.seg->data + w->fc.off, n);
		w->fc.seg = w->fc.seg->next;
		w->fc.off = 0;
	}
	return 0;
}

/* Bytes of any length in pieces the sink can take; w->blob is how far it got. */
static int put_blob(struct canp_pqw *w, const uint8_t *data, size_t len)
{
	while (w->blob < len) {
		size_t n = canp_min(len - w->blob, (size_t)65536);

		if (!canp_pqw_room(w, n))
			return 1;
		canp_pqw_put(w, data + w->blob, n);
		w->blob += n;
	}
	w->blob = 0;
	return 0;
}

/* The next leaf of a RowGroup: its record with the places of its indexes. */
static int put_group_leaf(struct canp_pqw *w)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_segcur cur = w->fc;
	struct canp_pqmd md;
	struct canp_tw t;
	size_t n;

	n = canp_segcur_read(&cur, &md, sizeof(md));
	n += canp_segcur_read(&cur, sh->comp, md.md_len);
	CANP_ASSERT(n == sizeof(md) + md.md_len);
	canp_tw_init(&t, sh->page, sizeof(sh->page), 0);
	if (!w->leaf)
		canp_tw_list(&t, 1, CANP_TW_STRUCT, w->o.schema->nr_leaves);
	canp_tw_begin(&t, 0);
	canp_tw_i64(&t, 2, 0);
	canp_tw_begin(&t, 3);
	canp_tw_raw(&t, sh->comp, md.md_len - 1); /* its end byte is canp_tw_end's */
	canp_tw_end(&t);
	canp_tw_i64(&t, 4, (int64_t)w->oi_off);
	canp_tw_i32(&t, 5, (int32_t)md.oi_len);
	if (md.ci_len) {
		canp_tw_i64(&t, 6, (int64_t)w->ci_off);
		canp_tw_i32(&t, 7, (int32_t)md.ci_len);
	}
	canp_tw_end(&t);
	CANP_ASSERT(!t.full);
	if (!canp_pqw_room(w, canp_tw_len(&t)))
		return 1;
	canp_pqw_put(w, sh->page, canp_tw_len(&t));
	w->fc = cur;
	w->ci_off += md.ci_len;
	w->oi_off += md.oi_len;
	w->leaf++;
	return 0;
}

static int put_group_end(struct canp_pqw *w)
{
	struct canp_segcur cur = w->fc;
	struct canp_pqrg rg;
	uint8_t mem[128];
	struct canp_tw t;
	size_t n = canp_segcur_read(&cur, &rg, sizeof(rg));

	CANP_ASSERT(n == sizeof(rg));
	canp_tw_init(&t, mem, sizeof(mem), 1);
	canp_tw_i64(&t, 2, (int64_t)rg.plain);
	canp_tw_i64(&t, 3, rg.rows);
	if (rg.ascending) {
		canp_tw_list(&t, 4, CANP_TW_STRUCT, 1);
		canp_tw_begin(&t, 0);
		canp_tw_i32(&t, 1, 0); /* ts */
		canp_tw_bool(&t, 2, false);
		canp_tw_bool(&t, 3, false);
		canp_tw_end(&t);
	}
	canp_tw_i64(&t, 5, (int64_t)rg.off);
	canp_tw_i64(&t, 6, (int64_t)rg.stored);
	canp_tw_i16(&t, 7, (int16_t)w->group);
	canp_tw_raw(&t, "", 1);
	CANP_ASSERT(!t.full);
	if (!canp_pqw_room(w, canp_tw_len(&t)))
		return 1;
	canp_pqw_put(w, mem, canp_tw_len(&t));
	w->fc = cur;
	w->leaf = 0;
	w->group++;
	return 0;
}

static int put_group(struct canp_pqw *w)
{
	while (w->leaf < w->o.schema->nr_leaves) {
		if (put_group_leaf(w))
			return 1;
	}
	return put_group_end(w);
}

static int foot_head(struct canp_pqw *w)
{
	const struct canp_pqschema *s = w->o.schema;

	if (!w->blob)
		w->footer_at = w->pos;
	if (put_blob(w, s->head, s->head_len))
		return 1;
	w->state = CANP_PQW_FOOT_ROWS;
	return 0;
}

static int foot_rows(struct canp_pqw *w)
{
	uint8_t mem[32];
	struct canp_tw t;

	canp_tw_init(&t, mem, sizeof(mem), 2);
	canp_tw_i64(&t, 3, (int64_t)w->rows_total);
	canp_tw_list(&t, 4, CANP_TW_STRUCT, w->groups);
	if (!canp_pqw_room(w, canp_tw_len(&t)))
		return 1;
	canp_pqw_put(w, mem, canp_tw_len(&t));
	w->fc = canp_segcur_at(&w->md);
	w->leaf = 0;
	w->state = CANP_PQW_FOOT_GROUP;
	return 0;
}

static int foot_end(struct canp_pqw *w)
{
	uint8_t end[8];

	if (!canp_pqw_room(w, sizeof(end)))
		return 1;
	canp_put_le32(end, (uint32_t)(w->pos - w->footer_at));
	memcpy(end + 4, "PAR1", 4);
	canp_pqw_put(w, end, sizeof(end));
	return 0;
}

int canp_pqf_step(struct canp_pqw *w)
{
	if (w->state == CANP_PQW_CI) {
		if (put_stream(w))
			return 1;
		w->oi_off = w->pos;
		w->fc = canp_segcur_at(&w->oi);
		w->state = CANP_PQW_OI;
	}
	if (w->state == CANP_PQW_OI) {
		if (put_stream(w))
			return 1;
		w->state = CANP_PQW_FOOT_HEAD;
	}
	if (w->state == CANP_PQW_FOOT_HEAD) {
		if (foot_head(w))
			return 1;
	}
	if (w->state == CANP_PQW_FOOT_ROWS) {
		if (foot_rows(w))
			return 1;
	}
	while (w->state == CANP_PQW_FOOT_GROUP) {
		if (w->group == w->groups)
			w->state = CANP_PQW_FOOT_TAIL;
		else if (put_group(w))
			return 1;
	}
	if (w->state == CANP_PQW_FOOT_TAIL) {
		if (put_blob(w, w->o.schema->tail, w->o.schema->tail_len))
			return 1;
		w->state = CANP_PQW_FOOT_END;
	}
	if (w->state == CANP_PQW_FOOT_END) {
		if (foot_end(w))
			return 1;
		w->state = CANP_PQW_DONE;
	}
	return 0;
}
