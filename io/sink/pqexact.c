/*
 * pqexact.c - the exact dictionary of a column chunk: what occurs and nothing else.
 *
 * Index columns mark each index in a table of bytes and number the marks in ascending order. Wider
 * raw values go through a hash table with a fixed bound; their entries are in the order in which
 * the rows first show them. Both give up as soon as the number of entries says that the dictionary
 * cannot pay, which is a matter of the data alone.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

/* Numbers the marked indices; returns how many. */
static uint32_t exact_number(struct canp_pqshared *sh)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < CANP_PQ_KEYS_MAX; i += 8) {
		uint64_t any = canp_le64(sh->used + i);

		for (; any; any &= any - 1) {
			uint32_t at = i + (uint32_t)__builtin_ctzll(any) / 8;

			sh->order[n] = (uint16_t)at;
			sh->remap[at] = (uint16_t)n++;
		}
	}
	return n;
}

uint32_t canp_pqc_exact_index(struct canp_pqw *w, bool (*enough)(void *arg, uint32_t entries),
			      void *arg)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_pqstate *st = canp_pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	unsigned bits = canp_pqc_leaf(w)->col->raw_bits;
	struct canp_pqpage *p;
	uint32_t n = 0;

	memset(sh->used, 0, sizeof(sh->used));
	while ((p = canp_pqpage_next(&pages)) != NULL) {
		int rc;

		canp_pqc_read_raw(w, p, &bytes);
		rc = canp_hybrid_mark(sh->raw, p->val_bytes, bits, p->nonnull, sh->used, &n);
		CANP_ASSERT(rc == 0); /* we wrote it */
		if (enough && !enough(arg, n))
			return 0;
	}
	return exact_number(sh);
}

/* ---- wide values ------------------------------------------------------------------------------*/

#define WIDE_SLOTS                                                                                 \
	CANP_PQ_KEYS_MAX /* of remap[]: entry + 1, 0 = free; never more than half full             \
			  */

static uint32_t wide_slot(const struct canp_pqshared *sh, uint64_t raw)
{
	uint32_t at = (uint32_t)(raw * 0x9e3779b97f4a7c15u >> 48);

	while (sh->remap[at] && sh->wide[sh->remap[at] - 1] != raw)
		at = (at + 1) % WIDE_SLOTS;
	return at;
}

static uint64_t wide_raw(const struct canp_pqshared *sh, bool four, uint32_t i)
{
	return four ? canp_le32(sh->raw + (size_t)i * 4) : canp_le64(sh->raw + (size_t)i * 8);
}

uint32_t canp_pqc_exact_wide(struct canp_pqw *w, bool (*enough)(void *arg, uint32_t entries),
			     void *arg)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_pqstate *st = canp_pqc_state(w);
	struct canp_segcur pages = canp_segcur_at(&st->pages), bytes = canp_segcur_at(&st->bytes);
	bool four = canp_pqc_leaf(w)->col->store == CANP_STORE_U32;
	struct canp_pqpage *p;
	uint32_t n = 0;

	memset(sh->remap, 0, sizeof(sh->remap));
	while ((p = canp_pqpage_next(&pages)) != NULL) {
		canp_pqc_read_raw(w, p, &bytes);
		for (uint32_t i = 0; i < p->nonnull; i++) {
			uint64_t raw = wide_raw(sh, four, i);
			uint32_t at = wide_slot(sh, raw);

			if (sh->remap[at])
				continue;
			if (n == CANP_PQ_WIDE_MAX)
				return 0;
			sh->wide[n] = raw;
			sh->remap[at] = (uint16_t)++n;
		}
		if (enough && !enough(arg, n))
			return 0;
	}
	return n;
}

void canp_pqc_wide_indices(struct canp_pqw *w, uint32_t n)
{
	struct canp_pqshared *sh = w->o.shared;
	bool four = canp_pqc_leaf(w)->col->store == CANP_STORE_U32;

	for (uint32_t i = 0; i < n; i++)
		sh->idx[i] = (uint16_t)(sh->remap[wide_slot(sh, wide_raw(sh, four, i))] - 1);
}
