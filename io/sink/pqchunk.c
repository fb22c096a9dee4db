/*
 * pqchunk.c - one column chunk at the close of a row group.
 *
 * The choice of encoding is made from sizes that are a pure function of the chunk's data:
 *   index columns   the identity dictionary (entries 0..highest index, pages as they are) unless
 * the exact dictionary or PLAIN is more than 25 % smaller wider integers  PLAIN unless DELTA is
 * more than 25 % smaller all null        PLAIN, no dictionary An exact dictionary costs a decode of
 * every page, so the distinct values of the first page that has any decide whether it can win at
 * all.
 *
 * Every piece is built in the shared buffers and put only when the sink has room for all of it; a
 * piece that does not fit is built again later.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

/* Strings beyond this much dictionary are written uncompressed and in portions. */
#define DICT_LINEAR_MAX (512u * 1024u)
/* gzip: header, trailer, five bytes per stored block of 64 KiB. */
#define GZIP_SLACK(n) ((n) / 1024u + 256u)

struct canp_pqpage *canp_pqpage_next(struct canp_segcur *cur)
{
	struct canp_pqpage *p;

	while (cur->seg && cur->off + sizeof(*p) > cur->seg->used) {
		cur->seg = cur->seg->next;
		cur->off = 0;
	}
	if (!cur->seg)
		return NULL;
	p = (struct canp_pqpage *)(uintptr_t)(cur->seg->data + cur->off);
	cur->off += sizeof(*p);
	return p;
}

static const struct canp_pqleaf *pqc_leaf(const struct canp_pqw *w)
{
	return &w->o.schema->leaves[w->leaf];
}

/* A label has no data of its own: it is written from the column before it. */
static struct canp_pqstate *pqc_state(const struct canp_pqw *w)
{
	return canp_pqw_st(w, pqc_leaf(w)->kind == CANP_PQL_LABEL ? w->leaf - 1 : w->leaf);
}

static unsigned bits_for(uint32_t entries)
{
	return entries <= 2 ? 1 : 32u - (unsigned)__builtin_clz(entries - 1);
}

/* ---- distinct origins -------------------------------------------------------------------------*/

static uint32_t meta_key(const struct canp_pqleaf *l, const struct canp_run_meta *m)
{
	if (l->kind == CANP_PQL_SRC)
		return m->src;
	return l->kind == CANP_PQL_DEVICE ? m->device : m->bus;
}

static void sift_down(uint32_t *v, uint32_t at, uint32_t n)
{
	for (;;) {
		uint32_t kid = 2 * at + 1, tmp;

		if (kid >= n)
			return;
		if (kid + 1 < n && v[kid + 1] > v[kid])
			kid++;
		if (v[at] >= v[kid])
			return;
		tmp = v[at];
		v[at] = v[kid];
		v[kid] = tmp;
		at = kid;
	}
}

/* Heap sort: bounded memory and time, no allocation (qsort of the C library may allocate). */
static void keys_sort(uint32_t *v, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift_down(v, i, n);
	for (uint32_t i = n; i-- > 1;) {
		uint32_t tmp = v[0];

		v[0] = v[i];
		v[i] = tmp;
		sift_down(v, 0, i);
	}
}

static const char *device_name(const struct canp_pqw *w, uint32_t key)
{
	const char *s = w->o.device_name ? w->o.device_name(w->o.arg, key) : NULL;

	return s ? s : "";
}

/* Entries of the device dictionary in the order of their names, so that the file does not depend
 * on the order in which devices were met. Few devices: insertion sort. */
static void device_order(struct canp_pqw *w)
{
	struct canp_pqshared *sh = w->o.shared;

	for (uint32_t i = 0; i < sh->nr_keys; i++) {
		uint32_t at = i;

		while (at > 0 && strcmp(device_name(w, sh->keys[sh->order[at - 1]]),
					device_name(w, sh->keys[i])) > 0) {
			sh->order[at] = sh->order[at - 1];
			at--;
		}
		sh->order[at] = (uint16_t)i;
	}
	for (uint32_t i = 0; i < sh->nr_keys; i++)
		sh->remap[sh->order[i]] = (uint16_t)i;
}

static void plan_meta(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_segcur cur = canp_segcur_at(&w->meta);
	struct canp_run_meta m;
	uint32_t n = 0, u = 0;
	bool sorted = true;

	while (canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m)) {
		uint32_t key = meta_key(l, &m);

		if (n && sh->keys[n - 1] == key)
			continue;
		if (n == CANP_PQ_KEYS_MAX) { /* many changes between few: drop the repeats */
			keys_sort(sh->keys, n);
			for (uint32_t i = u = 0; i < n; i++) {
				if (!u || sh->keys[i] != sh->keys[u - 1])
					sh->keys[u++] = sh->keys[i];
			}
			n = u;
			sorted = false;
			CANP_ASSERT(n < CANP_PQ_KEYS_MAX);
		}
		sorted &= !n || sh->keys[n - 1] < key;
		sh->keys[n++] = key;
	}
	if (!sorted)
		keys_sort(sh->keys, n);
	for (uint32_t i = u = 0; i < n; i++) {
		if (!u || sh->keys[i] != sh->keys[u - 1])
			sh->keys[u++] = sh->keys[i];
	}
	sh->nr_keys = u;
	if (l->kind == CANP_PQL_DEVICE)
		device_order(w);
	w->c.enc = CANP_PQ_DICT;
	w->c.exact = true;
	w->c.sorted = true;
	w->c.dict_n = u;
	w->c.width = bits_for(u);
}

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

/* ---- choice of encoding -----------------------------------------------------------------------*/

/* Reads the indices of the page the cursor stands before; leaves the cursor behind it. */
static void read_indices(struct canp_pqw *w, const struct canp_pqpage *p, struct canp_segcur *cur)
{
	struct canp_pqshared *sh = w->o.shared;
	const struct canp_col *col = pqc_leaf(w)->col;
	int rc;

	canp_segcur_read(cur, NULL, p->lev_bytes);
	CANP_ASSERT(p->val_bytes <= sizeof(sh->raw));
	canp_segcur_read(cur, sh->raw, p->val_bytes);
	rc = canp_hybrid_read(sh->raw, p->val_bytes, col->raw_bits, sh->idx, p->nonnull);
	CANP_ASSERT(rc == 0); /* we wrote it */
}

struct pqc_sum {
	uint64_t nonnull, val_bytes;
	uint32_t top; /* highest index */
};

static struct pqc_sum pqc_total(const struct canp_pqw *w)
{
	struct canp_segcur cur = canp_segcur_at(&pqc_state(w)->pages);
	struct pqc_sum s = {0};
	struct canp_pqpage *p;

	while ((p = canp_pqpage_next(&cur)) != NULL) {
		s.nonnull += p->nonnull;
		s.val_bytes += p->val_bytes;
		if (p->nonnull)
			s.top = canp_max(s.top, (uint32_t)p->hi);
	}
	return s;
}

/* Marks the used indices of up to max_pages pages that have values in remap[]; returns how many
 * are used. */
static uint32_t pqc_used(struct canp_pqw *w, uint32_t max_pages)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_pqstate *st = pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	struct canp_pqpage *p;
	uint32_t used = 0;

	memset(sh->remap, 0, sizeof(sh->remap));
	while (max_pages && (p = canp_pqpage_next(&pages)) != NULL) {
		if (!p->nonnull) {
			canp_segcur_read(&bytes, NULL, (size_t)p->lev_bytes + p->val_bytes);
			continue;
		}
		read_indices(w, p, &bytes);
		for (uint32_t i = 0; i < p->nonnull; i++)
			sh->remap[sh->idx[i]] = 1;
		max_pages--;
	}
	for (uint32_t i = 0; i < CANP_PQ_KEYS_MAX; i++)
		used += sh->remap[i];
	return used;
}

/* Turns the marks into a map index -> entry, entries in the order of the indices. */
static uint32_t pqc_exact_map(struct canp_pqw *w)
{
	struct canp_pqshared *sh = w->o.shared;
	uint32_t n = 0;

	pqc_used(w, UINT32_MAX);
	for (uint32_t i = 0; i < CANP_PQ_KEYS_MAX; i++) {
		if (!sh->remap[i])
			continue;
		sh->order[n] = (uint16_t)i;
		sh->remap[i] = (uint16_t)n++;
	}
	return n;
}

static uint64_t exact_size(const struct pqc_sum *s, uint32_t n, unsigned vw, unsigned raw_bits)
{
	return (uint64_t)n * vw + s->val_bytes * bits_for(n) / raw_bits;
}

static void plan_index(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	const struct canp_col *col = l->col;
	unsigned vw = canp_pqv_width(l->type);
	struct pqc_sum s = pqc_total(w);
	uint64_t identity, best, size;
	uint32_t n;

	if (!s.nonnull)
		return;
	w->c.enc = CANP_PQ_DICT;
	w->c.dict_n = s.top + 1;
	w->c.width = col->raw_bits;
	if (l->kind == CANP_PQL_LABEL) {
		w->c.exact = true;
		w->c.dict_n = pqc_exact_map(w);
		w->c.width = bits_for(w->c.dict_n);
		return;
	}
	identity = (uint64_t)(s.top + 1) * vw + s.val_bytes;
	best = identity - identity / 4;
	if (exact_size(&s, pqc_used(w, 1), vw, col->raw_bits) < best) {
		n = pqc_exact_map(w);
		size = exact_size(&s, n, vw, col->raw_bits);
		if (size < best) {
			best = size;
			w->c.exact = true;
			w->c.dict_n = n;
			w->c.width = bits_for(n);
		}
	}
	if (s.nonnull * vw < best) {
		w->c.enc = CANP_PQ_PLAIN;
		w->c.exact = false;
		w->c.dict_n = 0;
	}
}

static bool leaf_is_integer(const struct canp_pqleaf *l)
{
	return l->type == CANP_PQ_INT32 || l->type == CANP_PQ_INT64;
}

/* Reads and converts the values of a page of a plain-stored column into sh->val. */
static void read_values(struct canp_pqw *w, const struct canp_pqpage *p, struct canp_segcur *cur)
{
	struct canp_pqshared *sh = w->o.shared;

	canp_segcur_read(cur, NULL, p->lev_bytes);
	CANP_ASSERT(p->val_bytes <= sizeof(sh->raw));
	canp_segcur_read(cur, sh->raw, p->val_bytes);
	canp_pqv_convert(pqc_leaf(w), sh->raw, p->nonnull, sh->val);
}

/* DELTA page of n values in sh->val; the header is put in front by a second copy. */
static size_t delta_page(struct canp_pqw *w, enum canp_pq_type type, uint32_t n, uint8_t *out)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_delta *d = &sh->delta;
	uint8_t head[CANP_DELTA_HEAD];
	size_t len = 0, hn;

	memset(d, 0, sizeof(*d));
	d->is32 = type == CANP_PQ_INT32;
	if (d->is32) {
		for (uint32_t i = 0; i < n; i++)
			sh->val[i] = (uint64_t)(int64_t)(int32_t)(uint32_t)sh->val[i];
	}
	for (uint32_t i = 0; i < n; i += 256)
		len += canp_delta_add(d, (const int64_t *)sh->val + i, canp_min(n - i, 256u),
				      out + CANP_DELTA_HEAD + len);
	len += canp_delta_finish(d, out + CANP_DELTA_HEAD + len);
	hn = canp_delta_head(d, head);
	memcpy(out, head, hn);
	memmove(out + hn, out + CANP_DELTA_HEAD, len);
	return hn + len;
}

static void plan_plain(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_pqstate *st = pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	uint64_t plain = 0, delta = 0;
	struct canp_pqpage *p;

	if (!leaf_is_integer(l))
		return;
	while ((p = canp_pqpage_next(&pages)) != NULL) {
		read_values(w, p, &bytes);
		plain += (uint64_t)p->nonnull * canp_pqv_width(l->type);
		delta += delta_page(w, l->type, p->nonnull, w->o.shared->page);
	}
	if (plain && delta < plain - plain / 4)
		w->c.enc = CANP_PQ_DELTA;
}

static void pqc_maps(struct canp_pqw *w)
{
	const struct canp_pqleaf *l = pqc_leaf(w);
	struct canp_pqshared *sh = w->o.shared;

	switch (l->kind) {
	case CANP_PQL_TS:
	case CANP_PQL_TS_NS:
		w->c.enc = CANP_PQ_DELTA;
		break;
	case CANP_PQL_SRC:
	case CANP_PQL_DEVICE:
	case CANP_PQL_BUS:
		plan_meta(w, l);
		break;
	default:
		w->c.enc = CANP_PQ_PLAIN;
		if (l->col->store == CANP_STORE_INDEX && l->col->type != CANP_COL_BOOL)
			plan_index(w, l);
		else if (l->col->store != CANP_STORE_INDEX)
			plan_plain(w, l);
		break;
	}
	sh->tag_part = w->serial;
	sh->tag_group = w->groups;
	sh->tag_leaf = w->leaf;
}

/* Another part may have used the maps since the last step. */
static void pqc_keep_maps(struct canp_pqw *w)
{
	const struct canp_pqshared *sh = w->o.shared;
	struct canp_pqchunk keep;

	if (sh->tag_part == w->serial && sh->tag_group == w->groups && sh->tag_leaf == w->leaf)
		return;
	keep = w->c;
	pqc_maps(w);
	w->c = keep;
}

void canp_pqc_plan(struct canp_pqw *w)
{
	struct canp_pqstate *st = pqc_state(w);

	memset(&w->c, 0, sizeof(w->c));
	w->c.codec = w->o.schema->opts.codec;
	pqc_maps(w);
	w->c.bytes = canp_segcur_at(&st->bytes);
	/* origin columns take their page boundaries from the time column */
	w->c.pages = canp_segcur_at(&canp_pqw_st(w, 0)->pages);
	if (st->pages.head)
		w->c.pages = canp_segcur_at(&st->pages);
	w->c.meta = canp_segcur_at(&w->meta);
}

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

	if (w->c.codec == CANP_PQ_GZIP) {
		struct isal_zstream *z = &sh->z;

		isal_deflate_stateless_init(z);
		z->gzip_flag = IGZIP_GZIP;
		z->end_of_stream = 1;
		z->level = 1;
		z->level_buf = sh->level_buf;
		z->level_buf_size = sizeof(sh->level_buf);
		z->next_in = sh->page;
		z->avail_in = (uint32_t)n;
		z->next_out = sh->comp;
		z->avail_out = sizeof(sh->comp) - CANP_PQ_PAGEHDR_MAX;
		/* Cannot run out: stored blocks of the largest page fit. */
		CANP_ASSERT(isal_deflate_stateless(z) == COMP_OK);
		body = sh->comp;
		h.stored_bytes = z->total_out;
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
	return canp_pqw_room(w, n + GZIP_SLACK(n) + CANP_PQ_PAGEHDR_MAX);
}

/* Text of entry i of a string dictionary. buf: 32 bytes for numbers without a text. */
static const char *dict_text(const struct canp_pqw *w, uint32_t i, char *buf)
{
	const struct canp_pqshared *sh = w->o.shared;
	const struct canp_pqleaf *l = pqc_leaf(w);

	if (l->kind == CANP_PQL_DEVICE)
		return device_name(w, sh->keys[sh->order[i]]);
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
	const struct canp_pqleaf *l = pqc_leaf(w);
	uint32_t crc, stored;
	uint64_t n;

	if (w->c.enc != CANP_PQ_DICT)
		return 0;
	pqc_keep_maps(w);
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
		key = meta_key(l, &w->c.m);
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
	read_indices(w, p, cur);
	if (w->c.enc == CANP_PQ_DICT)
		return body_exact(w, p, out);
	for (uint32_t i = 0; i < p->nonnull; i++)
		sh->val[i] =
			canp_pqv_phys(l->col, l->type, canp_pqv_raw_of_index(l->col, sh->idx[i]));
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
	read_values(w, p, cur);
	for (uint32_t i = 0; i < p->nonnull; i++)
		canp_pqmm_add(mm, l->type, l->is_unsigned, sh->val[i]);
	if (w->c.enc == CANP_PQ_DELTA)
		return delta_page(w, l->type, p->nonnull, out);
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
	const struct canp_pqleaf *l = pqc_leaf(w);
	struct canp_segcur next = w->c.pages;
	struct canp_pqpage *p;

	pqc_keep_maps(w);
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
