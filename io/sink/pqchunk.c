/*
 * pqchunk.c - one column chunk at the close of a row group: dictionary page and data pages.
 *
 * Every piece is built in the shared buffers and put only when the sink has room for all of it; a
 * piece that does not fit is built again later. Pages of identity dictionaries, times and bytes are
 * copied as the producers packed them; the rest is converted here.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

/* Strings beyond this much dictionary are written uncompressed and in portions. */
#define DICT_LINEAR_MAX (512u * 1024u)

/* ---- pages out --------------------------------------------------------------------------------*/

/* Compresses sh->page[0..n) if asked and puts header and body. 1: no room. */
static int put_page(struct canp_pqw *w, enum canp_pq_page type, size_t n, uint32_t values,
		    uint32_t *stored)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_pq_pagehdr h = {.type = type,
				    .encoding = w->c.enc,
				    .plain_bytes = (uint32_t)n,
				    .stored_bytes = (uint32_t)n,
				    .values = values,
				    .sorted = w->c.sorted};
	const uint8_t *body = sh->page;
	uint8_t head[CANP_PQ_PAGEHDR_MAX];
	size_t hn;

	if (w->c.codec != CANP_PQ_NONE) {
		CANP_ASSERT(canp_pqcodec_bound(n) <= sizeof(sh->comp) - CANP_PQ_PAGEHDR_MAX);
		h.stored_bytes =
			canp_pqcodec_page(sh->codec, w->c.codec, w->o.schema->opts.codec_level,
					  sh->page, (uint32_t)n, sh->comp);
		body = sh->comp;
	}
	h.crc = canp_simd.crc32(0, body, h.stored_bytes);
	hn = canp_pq_page_header(&h, head);
	if (!canp_pqw_room(w, hn + h.stored_bytes))
		return 1;
	canp_pqw_put(w, head, hn);
	canp_pqw_put(w, body, h.stored_bytes);
	w->c.plain_total += hn + n;
	w->c.stored_total += hn + h.stored_bytes;
	*stored = (uint32_t)(hn + h.stored_bytes);
	return 0;
}

/* Room that a page of at most n plain bytes can need. */
static bool page_room(const struct canp_pqw *w, uint64_t n)
{
	return canp_pqw_room(w, canp_pqcodec_bound(n) + CANP_PQ_PAGEHDR_MAX);
}

/* Text of entry i of a string dictionary. buf: 32 bytes for numbers without a text. */
static const char *dict_text(const struct canp_pqw *w, uint32_t i, char *buf)
{
	const struct canp_pqshared *sh = w->o.shared;
	const struct canp_pqleaf *l = canp_pqc_leaf(w);

	if (l->kind == CANP_PQL_DEVICE)
		return canp_pqc_device_name(w, sh->keys[sh->order[i]]);
	return canp_pqs_label(l->col, canp_pqv_raw_of_index(l->col, sh->order[i]), buf);
}

static uint64_t dict_text_sum(struct canp_pqw *w, uint32_t *crc)
{
	char buf[32], before[256] = "";
	uint64_t n = 0;

	*crc = 0;
	w->c.sorted = true;
	for (uint32_t i = 0; i < w->c.dict_n; i++) {
		const char *s = dict_text(w, i, buf);
		uint8_t len[4];

		w->c.sorted &= !i || strcmp(before, s) < 0;
		memccpy(before, s, 0, sizeof(before) - 1);
		canp_put_le32(len, (uint32_t)strlen(s));
		*crc = canp_simd.crc32(*crc, len, 4);
		*crc = canp_simd.crc32(*crc, s, strlen(s));
		n += 4 + strlen(s);
	}
	return n;
}

static size_t dict_text_linear(struct canp_pqw *w, uint8_t *out)
{
	char buf[32];
	size_t n = 0;

	for (uint32_t i = 0; i < w->c.dict_n; i++) {
		const char *s = dict_text(w, i, buf);
		size_t len = strlen(s);

		canp_put_le32(out + n, (uint32_t)len);
		memcpy(out + n + 4, s, len);
		n += 4 + len;
	}
	return n;
}

/* A string dictionary too large for one piece: header first, then entry by entry. */
static int dict_text_long(struct canp_pqw *w, uint64_t bytes, uint32_t crc)
{
	struct canp_pq_pagehdr h = {.type = CANP_PQ_DICT_PAGE,
				    .plain_bytes = (uint32_t)bytes,
				    .stored_bytes = (uint32_t)bytes,
				    .crc = crc,
				    .values = w->c.dict_n,
				    .sorted = w->c.sorted};
	uint8_t head[CANP_PQ_PAGEHDR_MAX], len[4];
	char buf[32];
	size_t hn;

	w->c.codec = CANP_PQ_NONE;
	if (!w->c.dict_pos) {
		if (!canp_pqw_room(w, sizeof(head)))
			return 1;
		hn = canp_pq_page_header(&h, head);
		canp_pqw_put(w, head, hn);
		w->c.dict_pos = hn;
		w->c.plain_total = w->c.stored_total = hn + bytes;
	}
	for (; w->c.dict_next < w->c.dict_n; w->c.dict_next++) {
		const char *s = dict_text(w, w->c.dict_next, buf);
		size_t n = strlen(s);

		if (!canp_pqw_room(w, 4 + n))
			return 1;
		canp_put_le32(len, (uint32_t)n);
		canp_pqw_put(w, len, 4);
		canp_pqw_put(w, s, n);
	}
	return 0;
}

static size_t dict_values(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_pqshared *sh = w->o.shared;
	unsigned vw = canp_pqv_width(l->type);
	uint64_t before = 0;
	size_t n = 0;

	w->c.sorted = true;
	for (uint32_t i = 0; i < w->c.dict_n; i++) {
		uint64_t v;

		if (l->kind == CANP_PQL_COL)
			v = canp_pqv_phys(
				l->col, l->type,
				canp_pqv_raw_of_index(l->col, w->c.exact ? sh->order[i] : i));
		else
			v = sh->keys[i];
		w->c.sorted &= !i || canp_pqv_cmp(l->type, l->is_unsigned, before, v) < 0;
		before = v;
		if (vw == 4)
			canp_put_le32(sh->page + n, (uint32_t)v);
		else
			canp_put_le64(sh->page + n, v);
		n += vw;
	}
	return n;
}

int canp_pqc_dict(struct canp_pqw *w)
{
	const struct canp_pqleaf *l = canp_pqc_leaf(w);
	uint32_t crc, stored;
	uint64_t n;

	if (w->c.enc != CANP_PQ_DICT)
		return 0;
	canp_pqc_keep_maps(w);
	if (!w->c.dict_off)
		w->c.dict_off = w->pos;
	if (l->type == CANP_PQ_BYTE_ARRAY) {
		n = dict_text_sum(w, &crc);
		if (n > DICT_LINEAR_MAX)
			return dict_text_long(w, n, crc);
		n = dict_text_linear(w, w->o.shared->page);
	} else {
		if (!page_room(w, (uint64_t)w->c.dict_n * 8))
			return 1;
		n = dict_values(w, l);
	}
	return put_page(w, CANP_PQ_DICT_PAGE, n, w->c.dict_n, &stored);
}

/* Entry of the dictionary that holds key. */
static uint32_t key_index(const struct canp_pqw *w, const struct canp_pqleaf *l, uint32_t key)
{
	const struct canp_pqshared *sh = w->o.shared;
	uint32_t lo = 0, hi = sh->nr_keys - 1;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (sh->keys[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return l->kind == CANP_PQL_DEVICE ? sh->remap[lo] : lo;
}

static size_t body_meta(struct canp_pqw *w, const struct canp_pqleaf *l, struct canp_pqpage *p,
			struct canp_pqmm *mm, uint8_t *out)
{
	struct canp_hybrid h = {0};
	uint32_t left = p->rows;
	size_t n = 0;

	out[n++] = (uint8_t)w->c.width;
	while (left) {
		uint32_t k, key, index;

		if (!w->c.m.rows &&
		    canp_segcur_read(&w->c.meta, &w->c.m, sizeof(w->c.m)) != sizeof(w->c.m))
			break;
		k = canp_min(left, w->c.m.rows);
		key = canp_pqc_meta_key(l, &w->c.m);
		index = key_index(w, l, key);
		n += canp_hybrid_repeat(&h, (uint16_t)index, k, w->c.width, out + n);
		canp_pqmm_add(mm, CANP_PQ_INT32, l->is_unsigned,
			      l->kind == CANP_PQL_DEVICE ? index : key);
		w->c.m.rows -= k;
		left -= k;
	}
	CANP_ASSERT(!left); /* meta rows add up to page rows */
	return n + canp_hybrid_finish(&h, w->c.width, out + n);
}

/* Indices through the exact map, in portions as a producer would add them. */
static size_t body_exact(struct canp_pqw *w, const struct canp_pqpage *p, uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_hybrid h = {0};
	size_t n = 0;

	out[n++] = (uint8_t)w->c.width;
	for (uint32_t i = 0; i < p->nonnull; i += 256) {
		uint32_t k = canp_min(p->nonnull - i, 256u);
		bool equal = true;

		for (uint32_t j = i; j < i + k; j++) {
			sh->idx[j] = sh->remap[sh->idx[j]];
			equal &= sh->idx[j] == sh->idx[i];
		}
		n += canp_hybrid_add(&h, sh->idx + i, k, w->c.width, equal, out + n);
	}
	return n + canp_hybrid_finish(&h, w->c.width, out + n);
}

static void index_bounds(const struct canp_pqleaf *l, const struct canp_pqpage *p,
			 struct canp_pqmm *mm)
{
	if (!p->nonnull || l->kind != CANP_PQL_COL)
		return;
	/* half floats are not in the order of their indices and may be NaN: no bounds */
	mm->nan |= l->col->is_float != 0;
	canp_pqmm_add(mm, l->type, l->is_unsigned,
		      canp_pqv_phys(l->col, l->type, canp_pqv_raw_of_index(l->col, p->lo)));
	canp_pqmm_add(mm, l->type, l->is_unsigned,
		      canp_pqv_phys(l->col, l->type, canp_pqv_raw_of_index(l->col, p->hi)));
	/* an infinite scale makes infinities and NaN of some raw values and not of others */
	if (l->type == CANP_PQ_DOUBLE &&
	    !(__builtin_isfinite(l->col->factor) && __builtin_isfinite(l->col->offset)))
		mm->nan = true;
}

static size_t body_index(struct canp_pqw *w, const struct canp_pqleaf *l,
			 const struct canp_pqpage *p, struct canp_segcur *cur, struct canp_pqmm *mm,
			 uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;

	index_bounds(l, p, mm);
	if (l->col->type == CANP_COL_BOOL) {
		canp_segcur_read(cur, NULL, p->lev_bytes);
		return canp_segcur_read(cur, out, p->val_bytes);
	}
	if (w->c.enc == CANP_PQ_DICT && !w->c.exact) {
		canp_segcur_read(cur, NULL, p->lev_bytes);
		*out = (uint8_t)w->c.width;
		return 1 + canp_segcur_read(cur, out + 1, p->val_bytes);
	}
	canp_pqc_read_indices(w, p, cur);
	if (w->c.enc == CANP_PQ_DICT)
		return body_exact(w, p, out);
	canp_pqc_convert_indices(w, l, p->nonnull);
	if (w->c.enc == CANP_PQ_DELTA)
		return canp_pqc_delta(w, l->type, p->nonnull, out);
	return canp_pqv_plain(l->type, sh->val, p->nonnull, out);
}

static size_t body_values(struct canp_pqw *w, const struct canp_pqleaf *l,
			  const struct canp_pqpage *p, struct canp_segcur *cur,
			  struct canp_pqmm *mm, uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;

	if (l->col->store == CANP_STORE_BYTES) {
		canp_segcur_read(cur, NULL, p->lev_bytes);
		return canp_segcur_read(cur, out, p->val_bytes);
	}
	canp_pqc_read_values(w, p, cur);
	for (uint32_t i = 0; i < p->nonnull; i++)
		canp_pqmm_add(mm, l->type, l->is_unsigned, sh->val[i]);
	if (w->c.enc == CANP_PQ_DELTA)
		return canp_pqc_delta(w, l->type, p->nonnull, out);
	return canp_pqv_plain(l->type, sh->val, p->nonnull, out);
}

static size_t body_time(const struct canp_pqpage *p, struct canp_segcur *cur, struct canp_pqmm *mm,
			uint8_t *out)
{
	struct canp_delta d = {.count = p->rows, .first = p->first};
	size_t n = canp_delta_head(&d, out);

	canp_pqmm_add(mm, CANP_PQ_INT64, false, p->min);
	canp_pqmm_add(mm, CANP_PQ_INT64, false, p->max);
	return n + canp_segcur_read(cur, out + n, p->val_bytes);
}

static size_t body_levels(const struct canp_pqpage *p, const struct canp_segcur *at, uint8_t *out)
{
	struct canp_segcur cur = *at;
	size_t n;

	if (p->lev_bytes)
		n = canp_segcur_read(&cur, out + 4, p->lev_bytes);
	else
		n = canp_pq_levels_same(p->nonnull > 0, p->rows, out + 4);
	canp_put_le32(out, (uint32_t)n);
	return 4 + n;
}

static bool leaf_has_bytes(const struct canp_pqleaf *l)
{
	return l->kind != CANP_PQL_SRC && l->kind != CANP_PQL_DEVICE && l->kind != CANP_PQL_BUS;
}

/* Most plain bytes the page can have in the chosen encoding. */
static uint64_t body_bound(const struct canp_pqw *w, const struct canp_pqleaf *l,
			   const struct canp_pqpage *p)
{
	uint64_t n = 64 + (uint64_t)p->lev_bytes;

	if (l->kind == CANP_PQL_TS || l->kind == CANP_PQL_TS_NS)
		return n + p->val_bytes;
	if (!leaf_has_bytes(l))
		return n + (uint64_t)p->rows * 3;
	if (w->c.exact)
		return n + (uint64_t)p->nonnull * 2 + p->nonnull / 16u;
	if (w->c.enc == CANP_PQ_DICT || l->col->store == CANP_STORE_BYTES ||
	    l->col->type == CANP_COL_BOOL)
		return n + p->val_bytes + p->nonnull / 64u;
	return n + (uint64_t)p->nonnull * 9;
}

static int write_page(struct canp_pqw *w, const struct canp_pqleaf *l, struct canp_pqpage *p)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_segcur bytes = w->c.bytes, meta = w->c.meta;
	struct canp_run_meta m = w->c.m;
	struct canp_pqmm mm = {0};
	uint8_t *out = sh->page;
	uint32_t stored;

	if (!page_room(w, body_bound(w, l, p)))
		return 1;
	if (l->optional)
		out += body_levels(p, &bytes, out);
	if (!leaf_has_bytes(l))
		out += body_meta(w, l, p, &mm, out);
	else if (l->kind == CANP_PQL_TS || l->kind == CANP_PQL_TS_NS)
		out += body_time(p, &bytes, &mm, out);
	else if (l->col->store == CANP_STORE_INDEX)
		out += body_index(w, l, p, &bytes, &mm, out);
	else
		out += body_values(w, l, p, &bytes, &mm, out);
	CANP_ASSERT(out <= sh->page + sizeof(sh->page));
	if (put_page(w, CANP_PQ_DATA_PAGE, (size_t)(out - sh->page), p->rows, &stored)) {
		w->c.meta = meta; /* the origins were consumed; the page is built again */
		w->c.m = m;
		return 1;
	}
	w->c.bytes = bytes;
	p->stored = stored;
	p->flags = (mm.any ? CANP_PQPAGE_BOUNDS : 0) | (mm.nan ? CANP_PQPAGE_NAN : 0);
	p->min = mm.min;
	p->max = mm.max;
	canp_pqmm_join(&w->c.mm, l->type == CANP_PQ_BYTE_ARRAY ? CANP_PQ_INT32 : l->type,
		       l->is_unsigned, &mm);
	return 0;
}

int canp_pqc_pages(struct canp_pqw *w)
{
	const struct canp_pqleaf *l = canp_pqc_leaf(w);
	struct canp_segcur next = w->c.pages;
	struct canp_pqpage *p;

	canp_pqc_keep_maps(w);
	if (!w->c.data_pages)
		w->c.data_off = w->pos;
	while ((p = canp_pqpage_next(&next)) != NULL) {
		if (write_page(w, l, p))
			return 1;
		w->c.pages = next;
		w->c.data_pages++;
		w->c.values += p->rows;
		if (l->optional)
			w->c.nulls += p->rows - p->nonnull;
	}
	return 0;
}
