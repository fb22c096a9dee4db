/*
 * pqplan.c - the choice of encoding for a column chunk, from sizes that are a pure function of the
 * chunk's data:
 *   index columns   the identity dictionary (entries 0..highest index, pages as they are) unless
 * the exact dictionary or PLAIN is more than 25 % smaller wider integers  PLAIN unless DELTA is
 * more than 25 % smaller origins         a sorted dictionary of what occurs all null        PLAIN,
 * no dictionary An exact dictionary costs a decode of every page, so the distinct values of the
 * first page that has any decide whether it can win at all.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

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

const struct canp_pqleaf *canp_pqc_leaf(const struct canp_pqw *w)
{
	return &w->o.schema->leaves[w->leaf];
}

/* A label has no data of its own: it is written from the column before it. */
static struct canp_pqstate *pqc_state(const struct canp_pqw *w)
{
	return canp_pqw_st(w, canp_pqc_leaf(w)->kind == CANP_PQL_LABEL ? w->leaf - 1 : w->leaf);
}

static unsigned bits_for(uint32_t entries)
{
	return entries <= 2 ? 1 : 32u - (unsigned)__builtin_clz(entries - 1);
}

/* ---- distinct origins -------------------------------------------------------------------------*/

uint32_t canp_pqc_meta_key(const struct canp_pqleaf *l, const struct canp_run_meta *m)
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

const char *canp_pqc_device_name(const struct canp_pqw *w, uint32_t key)
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

		while (at > 0 && strcmp(canp_pqc_device_name(w, sh->keys[sh->order[at - 1]]),
					canp_pqc_device_name(w, sh->keys[i])) > 0) {
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
		uint32_t key = canp_pqc_meta_key(l, &m);

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

/* ---- choice of encoding -----------------------------------------------------------------------*/

/* Reads the indices of the page the cursor stands before; leaves the cursor behind it. */
void canp_pqc_read_indices(struct canp_pqw *w, const struct canp_pqpage *p, struct canp_segcur *cur)
{
	struct canp_pqshared *sh = w->o.shared;
	const struct canp_col *col = canp_pqc_leaf(w)->col;
	int rc;

	canp_segcur_read(cur, NULL, p->lev_bytes);
	CANP_ASSERT(p->val_bytes <= sizeof(sh->raw));
	canp_segcur_read(cur, sh->raw, p->val_bytes);
	rc = canp_hybrid_read(sh->raw, p->val_bytes, col->raw_bits, sh->idx, p->nonnull);
	CANP_ASSERT(rc == 0); /* we wrote it */
}

/* Values that decide whether a full look is worth its time. */
#define PLAN_SAMPLE 4096u

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

/* Marks the used indices among the first `limit` values in remap[]; returns how many are used. */
static uint32_t pqc_used(struct canp_pqw *w, uint64_t limit)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_pqstate *st = pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	unsigned bits = canp_pqc_leaf(w)->col->raw_bits;
	struct canp_pqpage *p;
	uint32_t used = 0;

	memset(sh->remap, 0, sizeof(sh->remap));
	while (limit && (p = canp_pqpage_next(&pages)) != NULL) {
		uint64_t n = canp_min(limit, (uint64_t)p->nonnull);

		canp_segcur_read(&bytes, NULL, p->lev_bytes);
		CANP_ASSERT(p->val_bytes <= sizeof(sh->raw));
		canp_segcur_read(&bytes, sh->raw, p->val_bytes);
		canp_hybrid_mark(sh->raw, p->val_bytes, bits, sh->remap, n);
		limit -= n;
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

	pqc_used(w, UINT64_MAX);
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

static bool leaf_is_integer(const struct canp_pqleaf *l)
{
	return l->type == CANP_PQ_INT32 || l->type == CANP_PQ_INT64;
}

/* Reads and converts the values of a page of a plain-stored column into sh->val. */
void canp_pqc_read_values(struct canp_pqw *w, const struct canp_pqpage *p, struct canp_segcur *cur)
{
	struct canp_pqshared *sh = w->o.shared;

	canp_segcur_read(cur, NULL, p->lev_bytes);
	CANP_ASSERT(p->val_bytes <= sizeof(sh->raw));
	canp_segcur_read(cur, sh->raw, p->val_bytes);
	canp_pqv_convert(canp_pqc_leaf(w), sh->raw, p->nonnull, sh->val);
}

/* DELTA page of n values in sh->val; the header is put in front by a second copy. */
size_t canp_pqc_delta(struct canp_pqw *w, enum canp_pq_type type, uint32_t n, uint8_t *out)
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

void canp_pqc_convert_indices(struct canp_pqw *w, const struct canp_pqleaf *l, uint32_t n)
{
	struct canp_pqshared *sh = w->o.shared;

	for (uint32_t i = 0; i < n; i++)
		sh->val[i] =
			canp_pqv_phys(l->col, l->type, canp_pqv_raw_of_index(l->col, sh->idx[i]));
}

/* DELTA size of an index column; `best` or more when the first page, which stands for all, says it
 * cannot come below. */
static uint64_t delta_size(struct canp_pqw *w, const struct canp_pqleaf *l, uint64_t best)
{
	struct canp_pqstate *st = pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	struct canp_pqpage *p;
	uint64_t size = 0, all = pqc_total(w).nonnull;
	bool sampled = false;

	while (size < best && (p = canp_pqpage_next(&pages)) != NULL) {
		canp_pqc_read_indices(w, p, &bytes);
		canp_pqc_convert_indices(w, l, p->nonnull);
		if (!sampled && p->nonnull) {
			uint32_t n = canp_min(p->nonnull, PLAN_SAMPLE);

			sampled = true;
			if (canp_pqc_delta(w, l->type, n, w->o.shared->page) * all / n >= best)
				return best;
			canp_pqc_convert_indices(w, l, p->nonnull);
		}
		size += canp_pqc_delta(w, l->type, p->nonnull, w->o.shared->page);
	}
	return size;
}

/* The pages of an identity dictionary have the width of the raw value, also when the values used
 * would need fewer bits. Readers expect the width that the dictionary's length calls for, so it is
 * lengthened until it does, by entries that are raw values nobody used; where that would cost more
 * than a thirty-second of the pages, the column is packed anew under an exact dictionary. */
static void plan_fit_width(struct canp_pqw *w, const struct pqc_sum *s, unsigned vw,
			   unsigned raw_bits)
{
	uint32_t fit = (1u << (raw_bits - 1)) + 1;

	if (w->c.dict_n <= 1 || bits_for(w->c.dict_n) >= raw_bits)
		return;
	if ((uint64_t)(fit - w->c.dict_n) * vw <= s->val_bytes / 32) {
		w->c.dict_n = fit;
		return;
	}
	w->c.exact = true;
	w->c.dict_n = pqc_exact_map(w);
	w->c.width = bits_for(w->c.dict_n);
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
	if (exact_size(&s, pqc_used(w, PLAN_SAMPLE), vw, col->raw_bits) < best) {
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
		best = s.nonnull * vw;
		w->c.enc = CANP_PQ_PLAIN;
	}
	if (leaf_is_integer(l) && col->raw_bits > 8 && delta_size(w, l, best) < best)
		w->c.enc = CANP_PQ_DELTA;
	if (w->c.enc != CANP_PQ_DICT) {
		w->c.exact = false;
		w->c.dict_n = 0;
	} else if (!w->c.exact) {
		plan_fit_width(w, &s, vw, col->raw_bits);
	}
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
		canp_pqc_read_values(w, p, &bytes);
		plain += (uint64_t)p->nonnull * canp_pqv_width(l->type);
		delta += canp_pqc_delta(w, l->type, p->nonnull, w->o.shared->page);
	}
	if (plain && delta < plain - plain / 4)
		w->c.enc = CANP_PQ_DELTA;
}

static void pqc_maps(struct canp_pqw *w)
{
	const struct canp_pqleaf *l = canp_pqc_leaf(w);
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
void canp_pqc_keep_maps(struct canp_pqw *w)
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
