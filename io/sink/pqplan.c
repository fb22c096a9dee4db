/*
 * pqplan.c - the choice of encoding for a column chunk, a pure function of the chunk's data:
 *
 *   index columns     identity dictionary (entries 0..highest index, pages as they are), unless
 *                     another is more than 25 % smaller: entries lowest..highest index, PLAIN or,
 *                     for integers of more than 8 bits, DELTA; the smallest of those. An exact
 *                     dictionary when it is 25 % smaller still.
 *   wider integers    PLAIN, unless DELTA is more than 25 % smaller
 *   wider, scaled     PLAIN DOUBLE, unless an exact dictionary is more than 25 % smaller
 *   floats, bytes     PLAIN
 *   origins           a sorted dictionary of what occurs
 *   all null          PLAIN, no dictionary
 *
 * The sizes of identity, range and PLAIN follow from what producers counted. DELTA is judged by a
 * sample alone: from up to eight pages with values, spread evenly over the chunk, the first values
 * of each, 4,096 in all; the size of their DELTA blocks stands for the chunk's. The distinct values
 * of the sample are a lower bound of an exact dictionary: only when that bound could win is the
 * whole chunk read, page by page until the count of entries rules it out.
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
struct canp_pqstate *canp_pqc_state(const struct canp_pqw *w)
{
	return canp_pqw_st(w, canp_pqc_leaf(w)->kind == CANP_PQL_LABEL ? w->leaf - 1 : w->leaf);
}

unsigned canp_pqc_bits_for(uint32_t entries)
{
	return entries <= 2 ? 1 : 32u - (unsigned)__builtin_clz(entries - 1);
}

/* ---- the sample -------------------------------------------------------------------------------*/

#define PLAN_SAMPLE_VALUES 4096u
#define PLAN_SAMPLE_PAGES  8u

struct pqc_sum {
	uint64_t nonnull, val_bytes;
	uint32_t pages;  /* with values */
	uint32_t lo, hi; /* lowest and highest index */
};

struct pqc_sample {
	uint32_t n;
	uint32_t distinct; /* among them */
	uint64_t delta;    /* bytes of their DELTA blocks; 0 when not asked for */
};

static struct pqc_sum pqc_total(const struct canp_pqw *w)
{
	struct canp_segcur cur = canp_segcur_at(&canp_pqc_state(w)->pages);
	struct pqc_sum s = {.lo = UINT32_MAX};
	struct canp_pqpage *p;

	while ((p = canp_pqpage_next(&cur)) != NULL) {
		if (!p->nonnull)
			continue;
		s.pages++;
		s.nonnull += p->nonnull;
		s.val_bytes += p->val_bytes;
		s.lo = canp_min(s.lo, (uint32_t)p->lo);
		s.hi = canp_max(s.hi, (uint32_t)p->hi);
	}
	return s;
}

static bool leaf_is_integer(const struct canp_pqleaf *l)
{
	return l->type == CANP_PQ_INT32 || l->type == CANP_PQ_INT64;
}

/* The first n values of a page: indices into idx[] or raw values into raw[]. The cursor stands
 * before the page's values; the caller's own goes on. */
static void sample_read(struct canp_pqw *w, const struct canp_pqleaf *l, struct canp_segcur cur,
			const struct canp_pqpage *p, uint32_t n)
{
	struct canp_pqshared *sh = w->o.shared;
	uint32_t bytes;
	int rc;

	if (l->col->store != CANP_STORE_INDEX) {
		canp_segcur_read(&cur, sh->raw,
				 (size_t)n * (l->col->store == CANP_STORE_U32 ? 4 : 8));
		return;
	}
	bytes = canp_min(p->val_bytes, CANP_HYBRID_HEAD(n));
	canp_segcur_read(&cur, sh->raw, bytes);
	rc = canp_hybrid_head(sh->raw, bytes, l->col->raw_bits, sh->idx, n);
	CANP_ASSERT(rc == 0); /* we wrote it */
}

static void sample_distinct(struct canp_pqshared *sh, uint32_t n, struct pqc_sample *sa)
{
	for (uint32_t i = 0; i < n; i++) {
		sa->distinct += !sh->used[sh->idx[i]];
		sh->used[sh->idx[i]] = 1;
	}
}

static void sample_page(struct canp_pqw *w, const struct canp_pqleaf *l, uint32_t n, bool delta,
			struct pqc_sample *sa)
{
	struct canp_pqshared *sh = w->o.shared;

	sa->n += n;
	if (l->col->store == CANP_STORE_INDEX)
		sample_distinct(sh, n, sa);
	if (!delta)
		return;
	if (l->col->store == CANP_STORE_INDEX)
		canp_pqv_index(l, sh->idx, n, sh->val);
	else
		canp_pqv_convert(l, sh->raw, n, sh->val);
	sa->delta += canp_pqc_delta(sh, l->type, n, sh->page);
}

static struct pqc_sample pqc_sample(struct canp_pqw *w, const struct canp_pqleaf *l,
				    const struct pqc_sum *s, bool delta)
{
	struct canp_pqstate *st = canp_pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	uint32_t take = canp_min(s->pages, PLAN_SAMPLE_PAGES), k = 0, taken = 0;
	struct pqc_sample sa = {0};
	struct canp_pqpage *p;

	if (l->col->store == CANP_STORE_INDEX)
		memset(w->o.shared->used, 0, (size_t)s->hi + 1);
	while (taken < take && (p = canp_pqpage_next(&pages)) != NULL) {
		canp_segcur_read(&bytes, NULL, p->lev_bytes);
		if (p->nonnull && k++ == taken * s->pages / take) {
			uint32_t n = canp_min(p->nonnull, PLAN_SAMPLE_VALUES / take);

			sample_read(w, l, bytes, p, n);
			sample_page(w, l, n, delta, &sa);
			taken++;
		}
		canp_segcur_read(&bytes, NULL, p->val_bytes);
	}
	return sa;
}

/* ---- sizes ------------------------------------------------------------------------------------*/

/* What an exact dictionary must stay below. */
struct pqc_rival {
	uint64_t limit;     /* bytes */
	uint64_t unit_bits; /* bits of the indices at one bit each, or per bit of the present width
			     */
	unsigned div, vw;
};

static uint64_t exact_size(const struct pqc_rival *r, uint32_t n)
{
	return (uint64_t)n * r->vw + r->unit_bits * canp_pqc_bits_for(n) / r->div;
}

static bool exact_may_win(void *arg, uint32_t entries)
{
	const struct pqc_rival *r = arg;

	return exact_size(r, entries) < r->limit;
}

void canp_pqc_read_raw(struct canp_pqw *w, const struct canp_pqpage *p, struct canp_segcur *cur)
{
	struct canp_pqshared *sh = w->o.shared;

	canp_segcur_read(cur, NULL, p->lev_bytes);
	CANP_ASSERT(p->val_bytes <= sizeof(sh->raw));
	canp_segcur_read(cur, sh->raw, p->val_bytes);
}

size_t canp_pqc_delta(struct canp_pqshared *sh, enum canp_pq_type type, uint32_t n, uint8_t *out)
{
	const uint32_t *val32 = (const uint32_t *)sh->val;
	struct canp_delta d = {.count = n}, *run = &sh->delta;
	size_t len;

	if (n)
		d.first = type == CANP_PQ_INT32 ? (int32_t)val32[0] : (int64_t)sh->val[0];
	len = canp_delta_head(&d, out);
	if (type == CANP_PQ_INT32)
		return len + (n ? canp_simd.delta32(val32, n - 1, out + len) : 0);
	memset(run, 0, sizeof(*run));
	for (uint32_t i = 0; i < n; i += 256)
		len += canp_delta_add(run, (const int64_t *)sh->val + i, canp_min(n - i, 256u),
				      out + len);
	return len + canp_delta_finish(run, out + len);
}

/* ---- the choice -------------------------------------------------------------------------------*/

static void plan_exact(struct canp_pqw *w, uint32_t n)
{
	w->c.enc = CANP_PQ_DICT;
	w->c.exact = true;
	w->c.repack = true;
	w->c.lo = 0;
	w->c.dict_n = n;
	w->c.width = canp_pqc_bits_for(n);
}

static void plan_range(struct canp_pqw *w, const struct pqc_sum *s)
{
	w->c.enc = CANP_PQ_DICT;
	w->c.repack = true;
	w->c.lo = s->lo;
	w->c.dict_n = s->hi - s->lo + 1;
	w->c.width = canp_pqc_bits_for(w->c.dict_n);
}

/* The pages of an identity dictionary have the width of the raw value, also when the values used
 * would need fewer bits. Readers expect the width that the dictionary's length calls for, so it is
 * lengthened until it does, by entries that are raw values nobody used; where that would cost more
 * than a thirty-second of the pages, the column is packed anew with the entries of its range. */
static void plan_identity(struct canp_pqw *w, const struct pqc_sum *s, unsigned vw,
			  unsigned raw_bits)
{
	uint32_t fit = (1u << (raw_bits - 1)) + 1;

	w->c.enc = CANP_PQ_DICT;
	w->c.dict_n = s->hi + 1;
	w->c.width = raw_bits;
	if (w->c.dict_n <= 1 || canp_pqc_bits_for(w->c.dict_n) >= raw_bits)
		return;
	if ((uint64_t)(fit - w->c.dict_n) * vw <= s->val_bytes / 32)
		w->c.dict_n = fit;
	else
		plan_range(w, s);
}

/* Takes an encoding of `size` bytes when it is the smallest so far. */
static bool plan_better(struct pqc_rival *best, uint64_t size)
{
	if (size >= best->limit)
		return false;
	best->limit = size;
	return true;
}

static void plan_index(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	unsigned vw = canp_pqv_width(l->type), bits = l->col->raw_bits;
	struct pqc_sum s = pqc_total(w);
	struct pqc_rival r = {.unit_bits = s.val_bytes, .div = bits, .vw = vw};
	uint64_t identity = (uint64_t)(s.hi + 1) * vw + s.val_bytes;
	bool integer = leaf_is_integer(l) && bits > 8, won = false;
	struct pqc_sample sa;
	uint32_t n = 0;

	if (l->kind == CANP_PQL_LABEL) {
		plan_exact(w, canp_pqc_exact_index(w, NULL, NULL));
		return;
	}
	r.limit = identity - identity / 4;
	if (plan_better(&r, exact_size(&r, s.hi - s.lo + 1))) {
		plan_range(w, &s);
		won = true;
	}
	if (plan_better(&r, s.nonnull * vw)) {
		w->c.enc = CANP_PQ_PLAIN;
		won = true;
	}
	sa = pqc_sample(w, l, &s, integer);
	if (integer && plan_better(&r, sa.delta * s.nonnull / sa.n)) {
		w->c.enc = CANP_PQ_DELTA;
		won = true;
	}
	if (won)
		r.limit -= r.limit / 4;
	if (exact_may_win(&r, sa.distinct))
		n = canp_pqc_exact_index(w, exact_may_win, &r);
	if (n)
		plan_exact(w, n);
	else if (!won)
		plan_identity(w, &s, vw, bits);
	else if (w->c.enc != CANP_PQ_DICT)
		w->c.dict_n = 0;
	w->c.repack |= w->c.enc != CANP_PQ_DICT;
}

static void plan_wide(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct pqc_sum s = pqc_total(w);
	uint64_t plain = s.nonnull * canp_pqv_width(l->type);
	struct pqc_rival r = {
		.limit = plain - plain / 4, .unit_bits = s.nonnull, .div = 8, .vw = 8};
	struct pqc_sample sa;
	uint32_t n;

	if (leaf_is_integer(l)) {
		sa = pqc_sample(w, l, &s, true);
		if (sa.delta * s.nonnull / sa.n < r.limit)
			w->c.enc = CANP_PQ_DELTA;
	} else if (l->type == CANP_PQ_DOUBLE && !l->col->is_float) {
		n = canp_pqc_exact_wide(w, exact_may_win, &r);
		if (n)
			plan_exact(w, n);
	}
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
		canp_pqc_plan_origin(w, l);
		break;
	default:
		w->c.enc = CANP_PQ_PLAIN;
		if (!pqc_total(w).nonnull || l->col->type == CANP_COL_BOOL ||
		    l->col->store == CANP_STORE_BYTES)
			break;
		if (l->col->store == CANP_STORE_INDEX)
			plan_index(w, l);
		else
			plan_wide(w, l);
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

	if (!w->c.exact) /* the others need no maps */
		return;
	if (sh->tag_part == w->serial && sh->tag_group == w->groups && sh->tag_leaf == w->leaf)
		return;
	keep = w->c;
	pqc_maps(w);
	w->c = keep;
}

void canp_pqc_plan(struct canp_pqw *w)
{
	struct canp_pqstate *st = canp_pqc_state(w);

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
