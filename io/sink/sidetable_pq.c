/*
 * sidetable_pq.c - a side table as one Parquet file. Same rules as the part writer: V1 pages with
 * CRC, REQUIRED or OPTIONAL leaves, bounds without NaN, page index, TYPE_ORDER. Everything is known
 * when writing starts, so there is no state machine: the control plane writes it in one go.
 *
 * Strings: dictionary in order of first use per row group when it has at most 65,536 entries and
 * 512 KiB, else PLAIN. Integers and times: DELTA when more than 25 % smaller, else PLAIN.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"
#include "io/sink/side_priv.h"

#define GROUP_ROWS     262144u
#define PAGE_ROWS      32768u
#define PAGE_BYTES     (512u * 1024u)
#define DICT_BYTES     (512u * 1024u)
#define DICT_ENTRIES   65536u
#define BOUND_TEXT_MAX 64u
#define NO_ENTRY       UINT32_MAX

struct side_page {
	uint64_t off, first_row, nulls, rows;
	uint32_t stored;
	struct canp_pqmm mm;
};

/* One column chunk; its pages are pages[page0 .. page0 + nr_pages). */
struct side_chunk {
	uint64_t dict_off, data_off, plain, stored, values, nulls;
	enum canp_pq_encoding enc;
	struct canp_pqmm mm;
	const char *lo, *hi; /* strings */
	size_t page0, nr_pages;
	uint64_t ci_off, oi_off;
	uint32_t ci_len, oi_len;
};

struct side_writer {
	struct canp_sidetable *t;
	enum canp_pq_codec codec;
	const struct canp_bytesink *sink;
	uint64_t pos;
	int err;
	struct side_chunk *chunks;
	struct side_page *pages;
	size_t nr_pages, cap_pages;
	uint32_t *entry; /* text number -> entry of the dictionary at hand */
	uint32_t *order; /* entry -> text number */
	uint32_t nr_entries;
	struct canp_pqgz *gz;
	uint8_t *page, *comp;
	uint64_t *val;
};

static enum canp_pq_type side_type(enum canp_side_type t)
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

static bool side_unsigned(enum canp_side_type t)
{
	return t == CANP_SIDE_U8 || t == CANP_SIDE_U64 || t == CANP_SIDE_BOOL;
}

static void side_put(struct side_writer *w, const void *data, size_t len)
{
	if (w->err)
		return;
	if (w->sink->room(w->sink->arg) < len) {
		w->err = -ENOBUFS;
		return;
	}
	w->sink->put(w->sink->arg, data, len);
	w->pos += len;
}

/* Pieces for what may be longer than the sink's room. */
static void side_put_long(struct side_writer *w, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += 65536)
		side_put(w, data + at, canp_min(len - at, (size_t)65536));
}

static uint32_t put_page(struct side_writer *w, struct side_chunk *k, enum canp_pq_page type,
			 size_t n, uint64_t values)
{
	struct canp_pq_pagehdr h = {.type = type,
				    .encoding = k->enc,
				    .plain_bytes = (uint32_t)n,
				    .stored_bytes = (uint32_t)n,
				    .values = (uint32_t)values};
	const uint8_t *body = w->page;
	uint8_t head[CANP_PQ_PAGEHDR_MAX];
	size_t hn;

	if (w->codec == CANP_PQ_GZIP) {
		body = w->comp;
		h.stored_bytes =
			canp_pq_gzip(w->gz, w->page, (uint32_t)n, w->comp, CANP_BYTESINK_ROOM);
	}
	h.crc = canp_simd.crc32(0, body, h.stored_bytes);
	hn = canp_pq_page_header(&h, head);
	side_put(w, head, hn);
	side_put(w, body, h.stored_bytes);
	k->plain += hn + n;
	k->stored += hn + h.stored_bytes;
	return (uint32_t)(hn + h.stored_bytes);
}

/* Numbers the texts of rows [r0, r0 + n) by first use. False: too many for a dictionary. */
static bool dict_build(struct side_writer *w, const struct side_col *c, uint64_t r0, uint64_t n,
		       struct side_chunk *k)
{
	struct canp_sidetable *t = w->t;
	bool fits = true;
	size_t bytes = 0;

	memset(w->entry, 0xff, t->nr_texts * sizeof(*w->entry));
	w->nr_entries = 0;
	for (uint64_t r = r0; r < r0 + n; r++) {
		const char *s;

		if (!c->valid[r])
			continue;
		s = t->texts[c->vals[r]];
		k->lo = !k->lo || strcmp(s, k->lo) < 0 ? s : k->lo;
		k->hi = !k->hi || strcmp(s, k->hi) > 0 ? s : k->hi;
		if (!fits || w->entry[c->vals[r]] != NO_ENTRY)
			continue;
		bytes += 4 + strlen(s);
		fits = w->nr_entries < DICT_ENTRIES && bytes <= DICT_BYTES;
		if (fits) {
			w->order[w->nr_entries] = (uint32_t)c->vals[r];
			w->entry[c->vals[r]] = w->nr_entries++;
		}
	}
	return fits && w->nr_entries;
}

static size_t put_text(uint8_t *out, const char *s)
{
	size_t n = strlen(s);

	canp_put_le32(out, (uint32_t)n);
	memcpy(out + 4, s, n);
	return 4 + n;
}

static void dict_write(struct side_writer *w, struct side_chunk *k)
{
	size_t n = 0;

	for (uint32_t i = 0; i < w->nr_entries; i++)
		n += put_text(w->page + n, w->t->texts[w->order[i]]);
	k->dict_off = w->pos;
	put_page(w, k, CANP_PQ_DICT_PAGE, n, w->nr_entries);
}

static size_t levels(const struct side_col *c, uint64_t r0, uint64_t n, uint8_t *out)
{
	uint8_t bits[PAGE_ROWS / 8 + 16] = {0};
	size_t len;

	for (uint64_t i = 0; i < n; i++)
		bits[i / 8] |= (uint8_t)(c->valid[r0 + i] << (i % 8));
	len = canp_pq_levels(bits, (uint32_t)n, out + 4);
	canp_put_le32(out, (uint32_t)len);
	return 4 + len;
}

static size_t body_dict(struct side_writer *w, uint64_t n, uint8_t *out)
{
	unsigned width = w->nr_entries <= 2 ? 1 : 32u - (unsigned)__builtin_clz(w->nr_entries - 1);
	struct canp_hybrid h = {0};
	size_t len = 0;

	out[len++] = (uint8_t)width;
	for (uint64_t i = 0; i < n; i++)
		len += canp_hybrid_repeat(&h, (uint16_t)w->entry[w->val[i]], 1, width, out + len);
	return len + canp_hybrid_finish(&h, width, out + len);
}

static size_t body_delta(struct side_writer *w, enum canp_pq_type type, uint64_t n, uint8_t *out)
{
	struct canp_delta d = {.is32 = type == CANP_PQ_INT32};
	uint8_t head[CANP_DELTA_HEAD];
	size_t len = 0, hn;

	for (uint64_t i = 0; i < n; i++) {
		int64_t v = d.is32 ? (int32_t)(uint32_t)w->val[i] : (int64_t)w->val[i];

		len += canp_delta_add(&d, &v, 1, out + CANP_DELTA_HEAD + len);
	}
	len += canp_delta_finish(&d, out + CANP_DELTA_HEAD + len);
	hn = canp_delta_head(&d, head);
	memcpy(out, head, hn);
	memmove(out + hn, out + CANP_DELTA_HEAD, len);
	return hn + len;
}

static size_t body_plain(struct side_writer *w, enum canp_pq_type type, uint64_t n, uint8_t *out)
{
	size_t len = 0;

	if (type == CANP_PQ_BYTE_ARRAY) {
		for (uint64_t i = 0; i < n; i++)
			len += put_text(out + len, w->t->texts[w->val[i]]);
		return len;
	}
	if (type != CANP_PQ_BOOLEAN)
		return canp_pqv_plain(type, w->val, (uint32_t)n, out);
	memset(out, 0, (n + 7) / 8);
	for (uint64_t i = 0; i < n; i++)
		out[i / 8] |= (uint8_t)((w->val[i] & 1) << (i % 8));
	return (n + 7) / 8;
}

/* Rows from r0 on that one page takes. */
static uint64_t page_rows(struct side_writer *w, const struct side_col *c,
			  const struct side_chunk *k, uint64_t r0, uint64_t end)
{
	uint64_t n = canp_min(end - r0, (uint64_t)PAGE_ROWS);
	size_t bytes = 0;

	if (c->type != CANP_SIDE_STRING || k->enc == CANP_PQ_DICT)
		return n;
	for (uint64_t i = 0; i < n; i++) {
		bytes += c->valid[r0 + i] ? 4 + strlen(w->t->texts[c->vals[r0 + i]]) : 0;
		if (bytes > PAGE_BYTES && i)
			return i;
	}
	return n;
}

static struct side_page *page_new(struct side_writer *w)
{
	if (w->nr_pages == w->cap_pages) {
		size_t cap = w->cap_pages ? w->cap_pages * 2 : 64;
		struct side_page *p = realloc(w->pages, cap * sizeof(*p));

		if (!p) {
			w->err = -ENOMEM;
			return NULL;
		}
		w->pages = p;
		w->cap_pages = cap;
	}
	memset(&w->pages[w->nr_pages], 0, sizeof(struct side_page));
	return &w->pages[w->nr_pages++];
}

/* Present values of rows [r0, r0 + n) into w->val; returns their number. */
static uint64_t gather(struct side_writer *w, const struct side_col *c, uint64_t r0, uint64_t n)
{
	uint64_t k = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (c->valid[r0 + i])
			w->val[k++] = c->vals[r0 + i];
	}
	return k;
}

static void page_write(struct side_writer *w, const struct side_col *c, struct side_chunk *k,
		       uint64_t r0, uint64_t n)
{
	enum canp_pq_type type = side_type(c->type);
	uint64_t present = gather(w, c, r0, n);
	struct side_page *p = page_new(w);
	size_t len = 0;

	if (!p)
		return;
	p->off = w->pos;
	p->first_row = k->values;
	p->rows = n;
	p->nulls = n - present;
	if (type != CANP_PQ_BYTE_ARRAY) {
		for (uint64_t i = 0; i < present; i++)
			canp_pqmm_add(&p->mm, type, side_unsigned(c->type), w->val[i]);
		canp_pqmm_join(&k->mm, type, side_unsigned(c->type), &p->mm);
	}
	if (c->optional)
		len = levels(c, r0, n, w->page);
	if (k->enc == CANP_PQ_DICT)
		len += body_dict(w, present, w->page + len);
	else if (k->enc == CANP_PQ_DELTA)
		len += body_delta(w, type, present, w->page + len);
	else
		len += body_plain(w, type, present, w->page + len);
	p->stored = put_page(w, k, CANP_PQ_DATA_PAGE, len, n);
	k->values += n;
	k->nulls += p->nulls;
	k->nr_pages++;
}

/* DELTA against PLAIN over the rows of the group. */
static bool delta_wins(struct side_writer *w, const struct side_col *c, uint64_t r0, uint64_t n)
{
	enum canp_pq_type type = side_type(c->type);
	uint64_t delta = 0, plain = 0;

	if (type != CANP_PQ_INT32 && type != CANP_PQ_INT64)
		return false;
	for (uint64_t r = r0; r < r0 + n; r += PAGE_ROWS) {
		uint64_t k = gather(w, c, r, canp_min(r0 + n - r, (uint64_t)PAGE_ROWS));

		delta += body_delta(w, type, k, w->page);
		plain += k * canp_pqv_width(type);
	}
	return plain && delta < plain - plain / 4;
}

static void chunk_write(struct side_writer *w, const struct side_col *c, struct side_chunk *k,
			uint64_t r0, uint64_t n)
{
	k->page0 = w->nr_pages;
	k->enc = CANP_PQ_PLAIN;
	if (c->type == CANP_SIDE_STRING) {
		if (dict_build(w, c, r0, n, k))
			k->enc = CANP_PQ_DICT;
	} else if (delta_wins(w, c, r0, n)) {
		k->enc = CANP_PQ_DELTA;
	}
	if (k->enc == CANP_PQ_DICT)
		dict_write(w, k);
	k->data_off = w->pos;
	for (uint64_t r = r0; r < r0 + n && !w->err;) {
		uint64_t rows = page_rows(w, c, k, r, r0 + n);

		page_write(w, c, k, r, rows);
		r += rows;
	}
}

/* ---- metadata ---------------------------------------------------------------------------------*/

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
			lo = canp_pqv_cmp(side_type(c->type), side_unsigned(c->type),
					  before->mm.min, p->mm.min);
			hi = canp_pqv_cmp(side_type(c->type), side_unsigned(c->type),
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
			unsigned n =
				canp_pqv_bound(side_type(c->type), max, max ? mm->max : mm->min, b);

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

static void write_indexes(struct side_writer *w, size_t nr_chunks, uint8_t *mem, size_t cap)
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
			side_put_long(w, mem, canp_tw_len(&t));
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
		canp_tw_i32(t, 1, (int32_t)side_type(s->cols[i].type));
		canp_tw_i32(t, 3, s->cols[i].optional);
		canp_tw_string(t, 4, s->cols[i].name);
		put_logical(t, s->cols[i].type);
		canp_tw_end(t);
	}
}

static void put_statistics(struct canp_tw *t, const struct side_col *c, const struct side_chunk *k)
{
	enum canp_pq_type type = side_type(c->type);
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
	canp_tw_i32(t, 1, (int32_t)side_type(c->type));
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

static void put_footer(struct side_writer *w, size_t groups, const char *version,
		       const struct canp_side_kv *kv, uint32_t nr_kv, struct canp_tw *t)
{
	const struct canp_sidetable *s = w->t;
	char created[96];

	put_schema(t, s);
	canp_tw_i64(t, 3, (int64_t)s->rows);
	canp_tw_list(t, 4, CANP_TW_STRUCT, groups);
	for (size_t g = 0; g < groups; g++)
		put_group(t, w, g, canp_min(s->rows - g * GROUP_ROWS, (uint64_t)GROUP_ROWS));
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

/* Upper bound of the footer and of the longest index. */
static size_t meta_bound(const struct side_writer *w, size_t groups, const char *version,
			 const struct canp_side_kv *kv, uint32_t nr_kv)
{
	size_t n = 4096 + 2 * strlen(version) + 40 * w->nr_pages, leaf = 0;

	for (uint32_t i = 0; i < w->t->nr_cols; i++)
		leaf += 512 + strlen(w->t->cols[i].name);
	for (uint32_t i = 0; i < nr_kv; i++)
		n += 32 + strlen(kv[i].key) + strlen(kv[i].value);
	return n + leaf * (groups + 1);
}

static void write_all(struct side_writer *w, size_t groups, const char *version,
		      const struct canp_side_kv *kv, uint32_t nr_kv)
{
	uint8_t *mem, end[8];
	struct canp_tw t;
	size_t cap;

	side_put(w, "PAR1", 4);
	for (size_t i = 0; i < groups * w->t->nr_cols && !w->err; i++) {
		uint64_t r0 = i / w->t->nr_cols * GROUP_ROWS;

		chunk_write(w, &w->t->cols[i % w->t->nr_cols], &w->chunks[i], r0,
			    canp_min(w->t->rows - r0, (uint64_t)GROUP_ROWS));
	}
	if (w->err)
		return;
	cap = meta_bound(w, groups, version, kv, nr_kv);
	mem = malloc(cap);
	if (!mem) {
		w->err = -ENOMEM;
		return;
	}
	write_indexes(w, groups * w->t->nr_cols, mem, cap);
	canp_tw_init(&t, mem, cap, 0);
	put_footer(w, groups, version, kv, nr_kv, &t);
	if (t.full)
		w->err = -E2BIG;
	side_put_long(w, mem, canp_tw_len(&t));
	canp_put_le32(end, (uint32_t)canp_tw_len(&t));
	memcpy(end + 4, "PAR1", 4);
	side_put(w, end, sizeof(end));
	free(mem);
}

int canp_sidetable_write_parquet(struct canp_sidetable *t, enum canp_pq_codec codec,
				 const char *version, const struct canp_side_kv *kv, uint32_t nr_kv,
				 const struct canp_bytesink *sink)
{
	struct side_writer w = {.t = t, .codec = codec, .sink = sink};
	size_t groups = (t->rows + GROUP_ROWS - 1) / GROUP_ROWS;

	w.chunks = calloc(groups * t->nr_cols + 1, sizeof(*w.chunks));
	w.entry = malloc((t->nr_texts + 1ul) * sizeof(*w.entry));
	w.order = malloc(DICT_ENTRIES * sizeof(*w.order));
	w.gz = malloc(sizeof(*w.gz));
	w.page = malloc(CANP_BYTESINK_ROOM);
	w.comp = malloc(CANP_BYTESINK_ROOM);
	w.val = malloc(PAGE_ROWS * sizeof(*w.val));
	if (w.chunks && w.entry && w.order && w.gz && w.page && w.comp && w.val)
		write_all(&w, groups, version, kv, nr_kv);
	else
		w.err = -ENOMEM;
	free(w.chunks);
	free(w.pages);
	free(w.entry);
	free(w.order);
	free(w.gz);
	free(w.page);
	free(w.comp);
	free(w.val);
	return w.err;
}
