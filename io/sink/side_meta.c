/*
 * side_meta.c - page indexes, schema and footer of a side table's file.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/units.h"
#include "io/sink/side_priv.h"

/* Longest text kept as a bound; longer ones are left out rather than cut. */
#define BOUND_TEXT_MAX 64u

enum canp_pq_type canp_side_type_of(enum canp_side_type t)
{
	switch (t) {
	case CANP_SIDE_U8:
	case CANP_SIDE_I32:
		return CANP_PQ_INT32;
	case CANP_SIDE_DOUBLE:
		return CANP_PQ_DOUBLE;
	case CANP_SIDE_BOOL:
		return CANP_PQ_BOOLEAN;
	case CANP_SIDE_STRING:
		return CANP_PQ_BYTE_ARRAY;
	default:
		return CANP_PQ_INT64;
	}
}

bool canp_side_unsigned(enum canp_side_type t)
{
	return t == CANP_SIDE_U8 || t == CANP_SIDE_U64 || t == CANP_SIDE_BOOL;
}

static bool index_possible(const struct side_writer *w, const struct side_col *c,
			   const struct side_chunk *k)
{
	if (c->type == CANP_SIDE_STRING)
		return false;
	for (size_t i = 0; i < k->nr_pages; i++) {
		const struct side_page *p = &w->pages[k->page0 + i];

		if (p->mm.nan || (!p->mm.any && p->nulls < p->rows))
			return false;
	}
	return true;
}

static int boundary_order(const struct side_writer *w, const struct side_col *c,
			  const struct side_chunk *k)
{
	const struct side_page *before = NULL;
	bool asc = true, desc = true;

	for (size_t i = 0; i < k->nr_pages; i++) {
		const struct side_page *p = &w->pages[k->page0 + i];
		int lo, hi;

		if (!p->mm.any)
			continue;
		if (before) {
			lo = canp_pqv_cmp(canp_side_type_of(c->type), canp_side_unsigned(c->type),
					  before->mm.min, p->mm.min);
			hi = canp_pqv_cmp(canp_side_type_of(c->type), canp_side_unsigned(c->type),
					  before->mm.max, p->mm.max);
			asc &= lo <= 0 && hi <= 0;
			desc &= lo >= 0 && hi >= 0;
		}
		before = p;
	}
	return asc ? 1 : desc ? 2 : 0;
}

static void write_column_index(struct side_writer *w, const struct side_col *c,
			       struct side_chunk *k, struct canp_tw *t)
{
	uint8_t b[8];

	if (!index_possible(w, c, k))
		return;
	canp_tw_list(t, 1, CANP_TW_TRUE, k->nr_pages);
	for (size_t i = 0; i < k->nr_pages; i++)
		canp_tw_elem_bool(t, !w->pages[k->page0 + i].mm.any);
	for (int max = 0; max < 2; max++) {
		canp_tw_list(t, 2 + max, CANP_TW_BINARY, k->nr_pages);
		for (size_t i = 0; i < k->nr_pages; i++) {
			const struct canp_pqmm *mm = &w->pages[k->page0 + i].mm;
			unsigned n = canp_pqv_bound(canp_side_type_of(c->type), max,
						    max ? mm->max : mm->min, b);

			canp_tw_elem_binary(t, b, mm->any ? n : 0);
		}
	}
	canp_tw_i32(t, 4, boundary_order(w, c, k));
	canp_tw_list(t, 5, CANP_TW_I64, k->nr_pages);
	for (size_t i = 0; i < k->nr_pages; i++)
		canp_tw_elem_int(t, (int64_t)w->pages[k->page0 + i].nulls);
	canp_tw_raw(t, "", 1);
}

static void write_offset_index(struct side_writer *w, struct side_chunk *k, struct canp_tw *t)
{
	canp_tw_list(t, 1, CANP_TW_STRUCT, k->nr_pages);
	for (size_t i = 0; i < k->nr_pages; i++) {
		const struct side_page *p = &w->pages[k->page0 + i];

		canp_tw_begin(t, 0);
		canp_tw_i64(t, 1, (int64_t)p->off);
		canp_tw_i32(t, 2, (int32_t)p->stored);
		canp_tw_i64(t, 3, (int64_t)p->first_row);
		canp_tw_end(t);
	}
	canp_tw_raw(t, "", 1);
}

void canp_side_indexes(struct side_writer *w, size_t nr_chunks, uint8_t *mem, size_t cap)
{
	struct canp_tw t;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < nr_chunks; i++) {
			struct side_chunk *k = &w->chunks[i];

			canp_tw_init(&t, mem, cap, 0);
			if (pass) {
				write_offset_index(w, k, &t);
				k->oi_off = w->pos;
				k->oi_len = (uint32_t)canp_tw_len(&t);
			} else {
				write_column_index(w, &w->t->cols[i % w->t->nr_cols], k, &t);
				k->ci_off = w->pos;
				k->ci_len = (uint32_t)canp_tw_len(&t);
			}
			canp_side_put_long(w, mem, canp_tw_len(&t));
		}
	}
}

static void put_logical(struct canp_tw *t, enum canp_side_type type)
{
	if (type == CANP_SIDE_STRING) {
		canp_tw_i32(t, 6, 0); /* UTF8 */
		canp_tw_begin(t, 10);
		canp_tw_begin(t, 1);
		canp_tw_end(t);
		canp_tw_end(t);
	} else if (type == CANP_SIDE_TS_US) {
		canp_tw_i32(t, 6, 10); /* TIMESTAMP_MICROS */
		canp_tw_begin(t, 10);
		canp_tw_begin(t, 8);
		canp_tw_bool(t, 1, true);
		canp_tw_begin(t, 2);
		canp_tw_begin(t, 2);
		canp_tw_end(t);
		canp_tw_end(t);
		canp_tw_end(t);
		canp_tw_end(t);
	} else if (type == CANP_SIDE_U8 || type == CANP_SIDE_U64) {
		canp_tw_i32(t, 6, type == CANP_SIDE_U8 ? 11 : 14);
		canp_tw_begin(t, 10);
		canp_tw_begin(t, 10);
		canp_tw_i8(t, 1, type == CANP_SIDE_U8 ? 8 : 64);
		canp_tw_bool(t, 2, false);
		canp_tw_end(t);
		canp_tw_end(t);
	}
}

static void put_schema(struct canp_tw *t, const struct canp_sidetable *s)
{
	canp_tw_i32(t, 1, 1);
	canp_tw_list(t, 2, CANP_TW_STRUCT, s->nr_cols + 1);
	canp_tw_begin(t, 0);
	canp_tw_string(t, 4, "schema");
	canp_tw_i32(t, 5, (int32_t)s->nr_cols);
	canp_tw_end(t);
	for (uint32_t i = 0; i < s->nr_cols; i++) {
		canp_tw_begin(t, 0);
		canp_tw_i32(t, 1, (int32_t)canp_side_type_of(s->cols[i].type));
		canp_tw_i32(t, 3, s->cols[i].optional);
		canp_tw_string(t, 4, s->cols[i].name);
		put_logical(t, s->cols[i].type);
		canp_tw_end(t);
	}
}

static void put_statistics(struct canp_tw *t, const struct side_col *c, const struct side_chunk *k)
{
	enum canp_pq_type type = canp_side_type_of(c->type);
	uint8_t b[8];
	bool have = k->mm.any && !k->mm.nan;

	canp_tw_begin(t, 12);
	canp_tw_i64(t, 3, (int64_t)k->nulls);
	if (type == CANP_PQ_BYTE_ARRAY) {
		have = k->lo && strlen(k->lo) <= BOUND_TEXT_MAX && strlen(k->hi) <= BOUND_TEXT_MAX;
		if (have) {
			canp_tw_string(t, 5, k->hi);
			canp_tw_string(t, 6, k->lo);
		}
	} else if (have) {
		canp_tw_binary(t, 5, b, canp_pqv_bound(type, true, k->mm.max, b));
		canp_tw_binary(t, 6, b, canp_pqv_bound(type, false, k->mm.min, b));
	}
	if (have) {
		canp_tw_bool(t, 7, true);
		canp_tw_bool(t, 8, true);
	}
	canp_tw_end(t);
}

static void put_chunk(struct canp_tw *t, const struct side_writer *w, const struct side_col *c,
		      const struct side_chunk *k)
{
	bool dict = k->enc == CANP_PQ_DICT;

	canp_tw_begin(t, 0);
	canp_tw_i64(t, 2, 0);
	canp_tw_begin(t, 3);
	canp_tw_i32(t, 1, (int32_t)canp_side_type_of(c->type));
	canp_tw_list(t, 2, CANP_TW_I32, 1u + dict + c->optional);
	canp_tw_elem_int(t, (int64_t)k->enc);
	if (dict)
		canp_tw_elem_int(t, CANP_PQ_PLAIN);
	if (c->optional)
		canp_tw_elem_int(t, CANP_PQ_RLE);
	canp_tw_list(t, 3, CANP_TW_BINARY, 1);
	canp_tw_elem_binary(t, c->name, strlen(c->name));
	canp_tw_i32(t, 4, (int32_t)w->codec);
	canp_tw_i64(t, 5, (int64_t)k->values);
	canp_tw_i64(t, 6, (int64_t)k->plain);
	canp_tw_i64(t, 7, (int64_t)k->stored);
	canp_tw_i64(t, 9, (int64_t)k->data_off);
	if (dict)
		canp_tw_i64(t, 11, (int64_t)k->dict_off);
	put_statistics(t, c, k);
	canp_tw_list(t, 13, CANP_TW_STRUCT, 1u + dict);
	for (unsigned i = dict ? 0 : 1; i < 2; i++) {
		canp_tw_begin(t, 0);
		canp_tw_i32(t, 1, i ? CANP_PQ_DATA_PAGE : CANP_PQ_DICT_PAGE);
		canp_tw_i32(t, 2, i ? (int32_t)k->enc : CANP_PQ_PLAIN);
		canp_tw_i32(t, 3, i ? (int32_t)k->nr_pages : 1);
		canp_tw_end(t);
	}
	canp_tw_end(t);
	canp_tw_i64(t, 4, (int64_t)k->oi_off);
	canp_tw_i32(t, 5, (int32_t)k->oi_len);
	if (k->ci_len) {
		canp_tw_i64(t, 6, (int64_t)k->ci_off);
		canp_tw_i32(t, 7, (int32_t)k->ci_len);
	}
	canp_tw_end(t);
}

static void put_group(struct canp_tw *t, const struct side_writer *w, size_t g, uint64_t rows)
{
	const struct side_chunk *k = &w->chunks[g * w->t->nr_cols];
	uint64_t plain = 0, stored = 0;

	canp_tw_begin(t, 0);
	canp_tw_list(t, 1, CANP_TW_STRUCT, w->t->nr_cols);
	for (uint32_t i = 0; i < w->t->nr_cols; i++) {
		put_chunk(t, w, &w->t->cols[i], &k[i]);
		plain += k[i].plain;
		stored += k[i].stored;
	}
	canp_tw_i64(t, 2, (int64_t)plain);
	canp_tw_i64(t, 3, (int64_t)rows);
	canp_tw_i64(t, 5, (int64_t)(k->enc == CANP_PQ_DICT ? k->dict_off : k->data_off));
	canp_tw_i64(t, 6, (int64_t)stored);
	canp_tw_i16(t, 7, (int16_t)g);
	canp_tw_end(t);
}

void canp_side_footer(struct side_writer *w, size_t groups, const char *version,
		      const struct canp_side_kv *kv, uint32_t nr_kv, struct canp_tw *t)
{
	const struct canp_sidetable *s = w->t;
	char created[96];

	put_schema(t, s);
	canp_tw_i64(t, 3, (int64_t)s->rows);
	canp_tw_list(t, 4, CANP_TW_STRUCT, groups);
	for (size_t g = 0; g < groups; g++)
		put_group(t, w, g,
			  canp_min(s->rows - g * SIDE_GROUP_ROWS, (uint64_t)SIDE_GROUP_ROWS));
	canp_tw_list(t, 5, CANP_TW_STRUCT, nr_kv + 2u);
	for (uint32_t i = 0; i < nr_kv + 2; i++) {
		canp_tw_begin(t, 0);
		canp_tw_string(t, 1,
			       i == 0   ? "canp.schema"
			       : i == 1 ? "canp.version"
					: kv[i - 2].key);
		canp_tw_string(t, 2, i == 0 ? "1" : i == 1 ? version : kv[i - 2].value);
		canp_tw_end(t);
	}
	snprintf(created, sizeof(created), "canp-appliance version %s", version);
	canp_tw_string(t, 6, created);
	canp_tw_list(t, 7, CANP_TW_STRUCT, s->nr_cols);
	for (uint32_t i = 0; i < s->nr_cols; i++) {
		canp_tw_begin(t, 0);
		canp_tw_begin(t, 1);
		canp_tw_end(t);
		canp_tw_end(t);
	}
	canp_tw_raw(t, "", 1);
}
