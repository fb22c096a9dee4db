/*
 * pqchunk.c - the data pages of one column chunk at the close of a row group.
 *
 * Pages of identity dictionaries, times, booleans and bytes are as the producers packed them: with
 * no codec they go from their page slots to the sink in one copy, after a pass for the CRC. All
 * other pages are built in the shared buffers. A page is put only when the sink has room for all of
 * it; one that does not fit is built again later.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

/* ---- pages out --------------------------------------------------------------------------------*/

int canp_pqc_put_page(struct canp_pqw *w, enum canp_pq_page type, size_t n, uint32_t values,
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

bool canp_pqc_page_room(const struct canp_pqw *w, uint64_t n)
{
	return canp_pqw_room(w, canp_pqcodec_bound(n) + CANP_PQ_PAGEHDR_MAX);
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
	mm->nan |= canp_pqv_wild(l);
}

static bool leaf_has_bytes(const struct canp_pqleaf *l)
{
	return l->kind != CANP_PQL_SRC && l->kind != CANP_PQL_DEVICE && l->kind != CANP_PQL_BUS;
}

static size_t plain_put(const struct canp_pqshared *sh, const struct canp_pqleaf *l, uint32_t n,
			uint8_t *out)
{
	size_t bytes = (size_t)n * canp_pqv_width(l->type);

	memcpy(out, sh->val, bytes);
	return bytes;
}

static size_t body_index(struct canp_pqw *w, const struct canp_pqleaf *l,
			 const struct canp_pqpage *p, struct canp_segcur *cur, uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;
	int64_t n;

	canp_pqc_read_raw(w, p, cur);
	if (w->c.enc == CANP_PQ_DICT) {
		*out = (uint8_t)w->c.width;
		n = canp_hybrid_remap(sh->raw, p->val_bytes, l->col->raw_bits, p->nonnull,
				      w->c.exact ? sh->remap : NULL, (uint16_t)w->c.lo, w->c.width,
				      out + 1);
		CANP_ASSERT(n >= 0); /* we wrote it */
		return 1 + (size_t)n;
	}
	n = canp_hybrid_read(sh->raw, p->val_bytes, l->col->raw_bits, sh->idx, p->nonnull);
	CANP_ASSERT(n == 0);
	canp_pqv_index(l, sh->idx, p->nonnull, sh->val);
	if (w->c.enc == CANP_PQ_DELTA)
		return canp_pqc_delta(sh, l->type, p->nonnull, out);
	return plain_put(sh, l, p->nonnull, out);
}

/* Entries of a wide exact dictionary, in portions as a producer would add them. */
static size_t body_wide_exact(struct canp_pqw *w, uint32_t nonnull, uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_hybrid h = {0};
	size_t n = 0;

	canp_pqc_wide_indices(w, nonnull);
	out[n++] = (uint8_t)w->c.width;
	for (uint32_t i = 0; i < nonnull; i += 256) {
		uint32_t k = canp_min(nonnull - i, 256u);
		bool equal = true;

		for (uint32_t j = i + 1; j < i + k; j++)
			equal &= sh->idx[j] == sh->idx[i];
		n += canp_hybrid_add(&h, sh->idx + i, k, w->c.width, equal, out + n);
	}
	return n + canp_hybrid_finish(&h, w->c.width, out + n);
}

static size_t body_values(struct canp_pqw *w, const struct canp_pqleaf *l,
			  const struct canp_pqpage *p, struct canp_segcur *cur,
			  struct canp_pqmm *mm, uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;

	canp_pqc_read_raw(w, p, cur);
	if (w->c.enc != CANP_PQ_DICT || l->col->is_float)
		canp_pqv_convert(l, sh->raw, p->nonnull, sh->val);
	canp_pqv_bounds(l, sh->raw, p->nonnull, sh->val, mm);
	if (w->c.enc == CANP_PQ_DICT)
		return body_wide_exact(w, p->nonnull, out);
	if (w->c.enc == CANP_PQ_DELTA)
		return canp_pqc_delta(sh, l->type, p->nonnull, out);
	return plain_put(sh, l, p->nonnull, out);
}

/* ---- pages as they are ------------------------------------------------------------------------*/

/* A page is small bytes of ours, levels, small bytes, values; the two long pieces are in slots. */
struct as_is {
	uint8_t before[16], between[CANP_DELTA_HEAD];
	uint32_t nr_before, nr_between;
	struct canp_segcur at; /* levels, then values */
	const struct canp_pqpage *p;
};

static bool leaf_is_time(const struct canp_pqleaf *l)
{
	return l->kind == CANP_PQL_TS || l->kind == CANP_PQL_TS_NS;
}

static bool is_as_is(const struct canp_pqw *w, const struct canp_pqleaf *l)
{
	if (leaf_is_time(l))
		return true;
	if (!leaf_has_bytes(l) || w->c.repack)
		return false;
	if (l->col->store == CANP_STORE_INDEX)
		return w->c.enc == CANP_PQ_DICT || l->col->type == CANP_COL_BOOL;
	return l->col->store == CANP_STORE_BYTES;
}

static void as_is_make(const struct canp_pqw *w, const struct canp_pqleaf *l,
		       const struct canp_pqpage *p, struct canp_pqmm *mm, struct as_is *a)
{
	struct canp_delta d = {.count = p->rows, .first = p->first};

	a->nr_before = a->nr_between = 0;
	a->at = w->c.bytes;
	a->p = p;
	if (l->optional) {
		a->nr_before = 4;
		if (!p->lev_bytes)
			a->nr_before += (uint32_t)canp_pq_levels_same(p->nonnull > 0, p->rows,
								      a->before + 4);
		canp_put_le32(a->before, a->nr_before - 4 + p->lev_bytes);
	}
	if (leaf_is_time(l)) {
		a->nr_between = (uint32_t)canp_delta_head(&d, a->between);
		canp_pqmm_add(mm, CANP_PQ_INT64, false, p->min);
		canp_pqmm_add(mm, CANP_PQ_INT64, false, p->max);
		return;
	}
	if (w->c.enc == CANP_PQ_DICT)
		a->between[a->nr_between++] = (uint8_t)w->c.width;
	if (l->col->store == CANP_STORE_INDEX)
		index_bounds(l, p, mm);
}

static size_t as_is_bytes(const struct as_is *a)
{
	return (size_t)a->nr_before + a->p->lev_bytes + a->nr_between + a->p->val_bytes;
}

static size_t as_is_copy(struct as_is *a, uint8_t *out)
{
	memcpy(out, a->before, a->nr_before);
	out += a->nr_before;
	out += canp_segcur_read(&a->at, out, a->p->lev_bytes);
	memcpy(out, a->between, a->nr_between);
	out += a->nr_between;
	canp_segcur_read(&a->at, out, a->p->val_bytes);
	return as_is_bytes(a);
}

/* The next bytes of the chain that lie together, at most n of them. */
static size_t chain_next(struct canp_segcur *cur, size_t n, const uint8_t **p)
{
	size_t k = canp_min(n, (size_t)(cur->seg->used - cur->off));

	*p = cur->seg->data + cur->off;
	canp_segcur_read(cur, NULL, k);
	return k;
}

static uint32_t chain_crc(uint32_t crc, struct canp_segcur *cur, size_t n)
{
	const uint8_t *p;

	for (size_t k; n; n -= k) {
		k = chain_next(cur, n, &p);
		crc = canp_simd.crc32(crc, p, k);
	}
	return crc;
}

static void chain_put(struct canp_pqw *w, struct canp_segcur *cur, size_t n)
{
	const uint8_t *p;

	for (size_t k; n; n -= k) {
		k = chain_next(cur, n, &p);
		canp_pqw_put(w, p, k);
	}
}

/* 1: no room. */
static int as_is_put(struct canp_pqw *w, struct as_is *a, uint32_t *stored)
{
	uint32_t n = (uint32_t)as_is_bytes(a);
	struct canp_pq_pagehdr h = {.type = CANP_PQ_DATA_PAGE,
				    .encoding = w->c.enc,
				    .plain_bytes = n,
				    .stored_bytes = n,
				    .values = a->p->rows};
	struct canp_segcur at = a->at;
	uint8_t head[CANP_PQ_PAGEHDR_MAX];
	size_t hn;

	if (!canp_pqw_room(w, n + CANP_PQ_PAGEHDR_MAX))
		return 1;
	h.crc = canp_simd.crc32(0, a->before, a->nr_before);
	h.crc = chain_crc(h.crc, &at, a->p->lev_bytes);
	h.crc = canp_simd.crc32(h.crc, a->between, a->nr_between);
	h.crc = chain_crc(h.crc, &at, a->p->val_bytes);
	hn = canp_pq_page_header(&h, head);
	canp_pqw_put(w, head, hn);
	canp_pqw_put(w, a->before, a->nr_before);
	chain_put(w, &a->at, a->p->lev_bytes);
	canp_pqw_put(w, a->between, a->nr_between);
	chain_put(w, &a->at, a->p->val_bytes);
	w->c.plain_total += hn + n;
	w->c.stored_total += hn + n;
	*stored = (uint32_t)(hn + n);
	return 0;
}

/* ---- pages built anew -------------------------------------------------------------------------*/

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

/* Most plain bytes the page can have in the chosen encoding. */
static uint64_t body_bound(const struct canp_pqw *w, const struct canp_pqleaf *l,
			   const struct canp_pqpage *p)
{
	uint64_t n = 64 + (uint64_t)p->lev_bytes;

	if (!leaf_has_bytes(l))
		return n + (uint64_t)p->rows * 3;
	if (w->c.enc == CANP_PQ_DICT)
		return n + (uint64_t)p->nonnull * 2 + p->nonnull / 4u;
	return n + (uint64_t)p->nonnull * 9;
}

static int build_page(struct canp_pqw *w, const struct canp_pqleaf *l, struct canp_pqpage *p,
		      struct canp_pqmm *mm, struct canp_segcur *bytes)
{
	struct canp_pqshared *sh = w->o.shared;
	uint8_t *out = sh->page;

	if (!canp_pqc_page_room(w, body_bound(w, l, p)))
		return 1;
	if (l->optional)
		out += body_levels(p, bytes, out);
	if (!leaf_has_bytes(l)) {
		out += body_meta(w, l, p, mm, out);
	} else if (l->col->store == CANP_STORE_INDEX) {
		index_bounds(l, p, mm);
		out += body_index(w, l, p, bytes, out);
	} else {
		out += body_values(w, l, p, bytes, mm, out);
	}
	CANP_ASSERT(out <= sh->page + sizeof(sh->page));
	return canp_pqc_put_page(w, CANP_PQ_DATA_PAGE, (size_t)(out - sh->page), p->rows,
				 &p->stored);
}

static int keep_page(struct canp_pqw *w, const struct canp_pqleaf *l, struct canp_pqpage *p,
		     struct canp_pqmm *mm, struct canp_segcur *bytes)
{
	struct as_is a;
	int rc;

	as_is_make(w, l, p, mm, &a);
	if (w->c.codec == CANP_PQ_NONE) {
		rc = as_is_put(w, &a, &p->stored);
	} else {
		if (!canp_pqc_page_room(w, as_is_bytes(&a)))
			return 1;
		rc = canp_pqc_put_page(w, CANP_PQ_DATA_PAGE, as_is_copy(&a, w->o.shared->page),
				       p->rows, &p->stored);
	}
	*bytes = a.at;
	return rc;
}

static int write_page(struct canp_pqw *w, const struct canp_pqleaf *l, struct canp_pqpage *p)
{
	struct canp_segcur bytes = w->c.bytes, meta = w->c.meta;
	struct canp_run_meta m = w->c.m;
	struct canp_pqmm mm = {0};
	int rc;

	rc = is_as_is(w, l) ? keep_page(w, l, p, &mm, &bytes) : build_page(w, l, p, &mm, &bytes);
	if (rc) {
		w->c.meta = meta; /* the origins were consumed; the page is built again */
		w->c.m = m;
		return 1;
	}
	w->c.bytes = bytes;
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
