/*
 * plugin_pack.c - the operator `pack` behind the last plugin: rows that were kept become full
 * chunks again, with the columns the plugins added behind each record and the origins of the rows
 * beside them.
 *
 * A chunk that comes in gives at most one full chunk out, for less than one is held. That is why
 * page slots can be counted by the chunks of the grouper (canp_ingest_has_room()) with or without
 * plugins. At the end of a unit what is held goes out, so that chunks never mix two units and the
 * output depends on the rows alone.
 */
#include <math.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "io/ingest_shard.h"
#include "io/plugin_priv.h"

static void pack_out(struct canp_plugin_shard *sh, struct canp_flow_node *n, unsigned slot)
{
	const struct canp_table *t = sh->set->tables[slot].table;
	struct plugin_chunk *pc = &sh->chunks[slot];
	struct canp_chunk c = {.rec = pc->rec,
			       .rows = pc->n,
			       .lens = pc->is_short ? pc->lens : NULL,
			       .meta = pc->meta,
			       .nr_meta = pc->nr_meta};
	struct canp_ingest_rows rows = {.chunk = &c, .table = t, .slot = slot};
	struct canp_batch b;

	canp_ingest_batch(&b, c.rows, &rows);
	canp_flow_emit(n, &b);
	pc->n = pc->nr_meta = 0;
	pc->is_short = false;
}

/* Behind the record of the frame: the doubles, then a bit for each that is one. */
static void pack_extra(const struct canp_plugin_shard *sh, const struct canp_table *t, uint8_t *rec,
		       uint32_t row)
{
	uint8_t *at = rec + t->extra_off;
	uint64_t bits = 0;

	for (unsigned k = 0; k < t->nr_extra; k++, at += 8) {
		double d = sh->extra[k][row];
		bool there = !isnan(d);

		if (!there)
			d = 0;
		bits |= (uint64_t)there << k;
		memcpy(at, &d, sizeof(d));
	}
	canp_put_le64(at, bits);
}

static void pack_origin(struct plugin_chunk *pc, const struct canp_meta_run *m)
{
	const struct canp_meta_run *last = pc->nr_meta ? &pc->meta[pc->nr_meta - 1] : NULL;

	if (last && last->src == m->src && last->device == m->device && last->bus == m->bus)
		return;
	pc->meta[pc->nr_meta] = *m;
	pc->meta[pc->nr_meta++].start = (uint16_t)pc->n;
}

static void pack_row(struct canp_plugin_shard *sh, const struct plugin_table *pt,
		     struct plugin_chunk *pc, const struct canp_chunk *c, uint32_t row)
{
	uint8_t *rec = pc->rec + (size_t)pc->n * pt->table->stride;
	uint8_t len = c->lens ? c->lens[row] : 0xff;

	memcpy(rec, c->rec + (size_t)row * pt->frame.stride, pt->frame.stride);
	if (pt->table->nr_extra)
		pack_extra(sh, pt->table, rec, row);
	pc->lens[pc->n++] = len;
	pc->is_short |= len != 0xff;
}

static void pack_rows(struct canp_plugin_shard *sh, struct canp_flow_node *n,
		      const struct canp_ingest_rows *rows, const struct canp_batch *b)
{
	const struct plugin_table *pt = &sh->set->tables[rows->slot];
	struct plugin_chunk *pc = &sh->chunks[rows->slot];
	const struct canp_chunk *c = rows->chunk;
	unsigned m = 0;

	for (uint32_t w = 0; w < CANP_BATCH_WORDS; w++) {
		for (uint64_t bits = b->keep[w]; bits; bits &= bits - 1) {
			uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(bits);

			while (m + 1 < c->nr_meta && c->meta[m + 1].start <= row)
				m++;
			pack_origin(pc, &c->meta[m]);
			pack_row(sh, pt, pc, c, row);
			if (pc->n == CANP_CHUNK_ROWS)
				pack_out(sh, n, rows->slot);
		}
	}
}

void canp_plugin_pack(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	const struct canp_ingest_rows *rows = b->native;
	struct canp_plugin_shard *sh = state;

	if (!rows) {
		for (unsigned s = 0; s < sh->set->nr_slots; s++)
			if (sh->chunks[s].n)
				pack_out(sh, n, s);
		canp_flow_emit(n, b);
		return;
	}
	/* As it came: a message no plugin wants, or all rows of a full chunk and nothing to add. */
	if (!sh->chunks[rows->slot].rec ||
	    (!sh->chunks[rows->slot].n && b->nr_rows == CANP_CHUNK_ROWS && !rows->table->nr_extra &&
	     canp_batch_count(b) == CANP_CHUNK_ROWS)) {
		canp_flow_emit(n, b);
		return;
	}
	pack_rows(sh, n, rows, b);
}

uint32_t canp_plugin_pack_held(const struct canp_plugin_shard *sh, unsigned slot)
{
	return sh->chunks[slot].n;
}

void canp_plugin_pack_reset(struct canp_plugin_shard *sh)
{
	for (unsigned s = 0; s < sh->set->nr_slots; s++) {
		sh->chunks[s].n = sh->chunks[s].nr_meta = 0;
		sh->chunks[s].is_short = false;
	}
}
