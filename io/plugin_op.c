/*
 * plugin_op.c - plugins on a shard: a batch of rows gets what the plugin asked for, goes through
 * its batch(), and goes on with fewer rows. Nothing here allocates or waits.
 *
 * batch() gets a copy of the batch: whatever it writes there, only the bits it cleared in keep
 * count, and only when it returns 0.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "io/can/value.h"
#include "io/ingest_shard.h"
#include "io/plugin_priv.h"
#include "io/sink/colmask.h"

/* The runs of origins of a chunk are handed to plugins as they are. */
CANP_STATIC_ASSERT(
	sizeof(struct canp_batch_src) == sizeof(struct canp_meta_run) &&
		offsetof(struct canp_batch_src, bus) == offsetof(struct canp_meta_run, bus) &&
		offsetof(struct canp_batch_src, src) == offsetof(struct canp_meta_run, src) &&
		offsetof(struct canp_batch_src, device) == offsetof(struct canp_meta_run, device),
	"a batch and a chunk tell origins alike");
CANP_STATIC_ASSERT(CANP_BATCH_ROWS == CANP_CHUNK_ROWS, "a batch is a chunk");

static void op_lengths(const struct canp_table *t, const struct canp_chunk *c, uint8_t *len)
{
	/* Where J and F records hold the length; S records do not: what is not short is whole. */
	size_t off = t->cls == CANP_REC_F ? 12 : 20;

	for (unsigned i = 0; i < c->rows; i++) {
		uint8_t have = t->cls == CANP_REC_S ? (uint8_t)canp_min(t->length, 8)
						    : c->rec[(size_t)i * t->stride + off];

		if (c->lens && c->lens[i] < have)
			have = c->lens[i];
		len[i] = (uint8_t)canp_min(have, t->payload_max);
	}
}

/* Integers sign-extended, floats as the bits of a double. */
static void op_column(struct canp_colview *v, const struct canp_col *c, uint64_t *out,
		      uint64_t *present)
{
	uint32_t nr;

	canp_colview_raw(v, c, out);
	for (uint32_t i = 0; i < v->n && c->is_float; i++) {
		double d = canp_plan_phys(c, out[i]).d;

		memcpy(&out[i], &d, sizeof(d));
	}
	for (uint32_t i = 0; i < v->n && c->is_signed; i++)
		out[i] = (uint64_t)canp_plan_raw_signed(c, out[i]);
	memcpy(present, canp_colview_mask(v, c, &nr), CANP_BATCH_WORDS * sizeof(*present));
}

static void op_fill(struct canp_plugin_shard *sh, const struct plugin_msg *m,
		    const struct canp_ingest_rows *rows, struct canp_batch *b)
{
	const struct plugin_table *pt = &sh->set->tables[rows->slot];
	const struct canp_chunk *c = rows->chunk;
	struct canp_colview v;

	canp_colview_begin(&v, &pt->frame, sh->scratch, c->rec, c->lens, c->rows);
	canp_colview_ts(&v, sh->ts);
	op_lengths(&pt->frame, c, sh->len);
	for (uint32_t i = 0; i < m->pub.nr_columns; i++)
		op_column(&v, &pt->table->cols[m->column[i]], sh->column[i], sh->present[i]);
	b->stride = pt->frame.stride;
	b->rec = (uint8_t *)(uintptr_t)c->rec;
	b->type = &m->pub;
	b->ts_ns = sh->ts;
	b->len = sh->len;
	b->payload = c->rec + pt->frame.payload_off;
	b->payload_bytes = pt->frame.payload_max & ~7u;
	b->nr_src = c->nr_meta;
	b->src = (const struct canp_batch_src *)c->meta;
	b->column = m->pub.nr_columns ? sh->columns : NULL;
	b->present = m->pub.nr_columns ? sh->presents : NULL;
	b->extra = m->nr_extra ? sh->extras + m->first_extra : NULL;
}

/* All its columns null. */
static void op_nulls(struct canp_plugin_shard *sh, const struct plugin_msg *m)
{
	for (unsigned k = 0; k < m->nr_extra; k++)
		for (uint32_t i = 0; i < CANP_BATCH_ROWS; i++)
			sh->extra[m->first_extra + k][i] = (double)NAN;
}

static void op_failed(struct plugin_op *op, const struct plugin_msg *m, int rc)
{
	op_nulls(op->sh, m);
	canp_stat_add(&op->errors, 1);
	if (canp_stat_get(&op->errors) == 1)
		canp_warn("plugin %s: message %s: %s; the rows are kept, its columns are null",
			  op->plugin->name, m->pub.name, canp_strerror(rc));
	if (++op->errors_in_row < CANP_PLUGIN_ERRORS_MAX)
		return;
	canp_warn("plugin %s: %u errors in a row, it is taken out of the job", op->plugin->name,
		  op->errors_in_row);
	__atomic_store_n(&op->plugin->out, true, __ATOMIC_RELAXED);
}

static void op_call(struct plugin_op *op, const struct plugin_msg *m,
		    const struct canp_ingest_rows *rows, struct canp_batch *b)
{
	uint32_t seen = canp_batch_count(b);
	struct canp_batch given = *b;
	uint64_t began = canp_clock_ns();
	int rc;

	op_fill(op->sh, m, rows, &given);
	/* A row it forgets is null, not what the last batch had there. */
	op_nulls(op->sh, m);
	rc = op->plugin->ops->batch(op->state, &given);
	canp_stat_add(&op->busy_ns, canp_clock_ns() - began);
	canp_stat_add(&op->batches, 1);
	canp_stat_add(&op->rows_seen, seen);
	if (rc < 0) {
		op_failed(op, m, rc);
		return;
	}
	op->errors_in_row = 0;
	for (unsigned w = 0; w < CANP_BATCH_WORDS; w++)
		b->keep[w] &= given.keep[w];
	canp_stat_add(&op->rows_dropped, seen - canp_batch_count(b));
}

void canp_plugin_push(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	const struct canp_ingest_rows *rows = b->native;
	const struct plugin_msg *m;
	struct plugin_op *op = state;

	m = rows ? op->plugin->msgs[rows->slot] : NULL;
	if (m && canp_unlikely(__atomic_load_n(&op->plugin->out, __ATOMIC_RELAXED)))
		op_nulls(op->sh, m);
	else if (m)
		op_call(op, m, rows, b);
	/* Without rows nobody behind has anything to do; only the end of a unit is empty. */
	if (!rows || canp_batch_count(b))
		canp_flow_emit(n, b);
}

/* ---- set-up ---- */

static size_t op_chunk_bytes(const struct canp_table *t)
{
	return canp_align_up((size_t)t->stride * CANP_CHUNK_ROWS, 64UL) + CANP_CHUNK_ROWS +
	       CANP_CHUNK_ROWS * sizeof(struct canp_meta_run);
}

size_t canp_plugin_shard_bytes(const struct canp_plugins *ps)
{
	size_t bytes = canp_align_up(sizeof(struct canp_plugin_shard), 64UL) +
		       canp_align_up(ps->nr_slots * sizeof(struct plugin_chunk), 64UL);

	for (unsigned s = 0; s < ps->nr_slots; s++)
		if (ps->tables[s].wanted)
			bytes += op_chunk_bytes(ps->tables[s].table);
	return canp_align_up(bytes, 64UL);
}

static void op_carve(struct canp_plugin_shard *sh)
{
	const struct canp_plugins *ps = sh->set;
	uint8_t *at = (uint8_t *)sh + canp_align_up(sizeof(*sh), 64UL);

	sh->chunks = (void *)at;
	memset(sh->chunks, 0, ps->nr_slots * sizeof(*sh->chunks));
	at += canp_align_up(ps->nr_slots * sizeof(*sh->chunks), 64UL);
	for (unsigned s = 0; s < ps->nr_slots; s++) {
		struct plugin_chunk *pc = &sh->chunks[s];
		const struct canp_table *t = ps->tables[s].table;

		if (!ps->tables[s].wanted)
			continue;
		pc->rec = at;
		pc->lens = at + canp_align_up((size_t)t->stride * CANP_CHUNK_ROWS, 64UL);
		pc->meta = (void *)(pc->lens + CANP_CHUNK_ROWS);
		at += op_chunk_bytes(t);
	}
	for (unsigned i = 0; i < CANP_PLUGIN_COLUMNS_MAX; i++) {
		sh->columns[i] = sh->column[i];
		sh->presents[i] = sh->present[i];
	}
	for (unsigned i = 0; i < CANP_PLAN_EXTRA_MAX; i++)
		sh->extras[i] = sh->extra[i];
}

int canp_plugin_shard_init(struct canp_plugins *ps, void *mem, unsigned shard, unsigned nr_shards,
			   struct canp_runscratch *scratch, const char **who,
			   struct canp_plugin_shard **out)
{
	struct canp_plugin_shard *sh = mem;

	CANP_ASSERT(!((uintptr_t)mem % CANP_CACHELINE));
	memset(sh, 0, sizeof(*sh));
	sh->set = ps;
	sh->shard = shard;
	sh->scratch = scratch;
	op_carve(sh);
	/* Given out before the first shard(): whatever happens, fini ends what has begun. */
	*out = sh;
	for (unsigned i = 0; i < ps->nr; i++) {
		struct plugin_op *op = &sh->ops[i];
		int rc;

		op->sh = sh;
		op->plugin = &ps->v[i];
		/* Without shard() all cores share what open() made. */
		op->state = op->plugin->ctx;
		if (!op->plugin->ops->shard)
			continue;
		*who = op->plugin->name;
		rc = op->plugin->ops->shard(op->plugin->ctx, shard, nr_shards, &op->state);
		if (rc < 0)
			return rc;
		op->begun = true;
	}
	return 0;
}

void canp_plugin_shard_fini(struct canp_plugin_shard *sh)
{
	for (unsigned i = 0; sh && i < sh->set->nr; i++) {
		struct plugin_op *op = &sh->ops[i];
		struct plugin *p = &sh->set->v[i];

		__atomic_fetch_add(&p->sum.batches, op->batches.v, __ATOMIC_RELAXED);
		__atomic_fetch_add(&p->sum.rows_seen, op->rows_seen.v, __ATOMIC_RELAXED);
		__atomic_fetch_add(&p->sum.rows_dropped, op->rows_dropped.v, __ATOMIC_RELAXED);
		__atomic_fetch_add(&p->sum.errors, op->errors.v, __ATOMIC_RELAXED);
		__atomic_fetch_add(&p->sum.busy_ns, op->busy_ns.v, __ATOMIC_RELAXED);
		if (op->begun && p->ops->shard_end)
			p->ops->shard_end(p->ctx, sh->shard, op->state);
		op->begun = false;
	}
}

void *canp_plugin_shard_op(struct canp_plugin_shard *sh, unsigned i)
{
	return &sh->ops[i];
}
