/*
 * pipe_op.c - one operator on one batch: rows of the inputs are joined, the function is called for
 * every kept row (or the batch as a whole), and what fails is treated by the operator's policy.
 *
 * In a worker process only retries happen here: rows that failed are noted in the cell, and the
 * process that owns the pipe applies the policy, so that on_dead is called where its caller lives.
 */
#include <errno.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"

/* ---- failures ---- */

void canp_pipe_drop_all(struct canp_pipe *p)
{
	__atomic_store_n(&p->dropping, true, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&p->epoch, 1, __ATOMIC_SEQ_CST);
}

void canp_pipe_fail(struct canp_pipe *p, int error)
{
	int32_t none = 0;

	if (!__atomic_compare_exchange_n(&p->error, &none, error, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	canp_pipe_drop_all(p);
}

static uint64_t item_of(const struct canp_pipe *p, const struct pipe_flight *f, unsigned id,
			uint32_t row)
{
	const struct pipe_op *op = &p->ops[id];
	uint32_t block = f->rows ? row / f->rows : 0;

	return f->cells[op->block_source[block]].first + (f->rows ? row % f->rows : 0);
}

void canp_pipe_op_failed(struct pipe_worker *w, struct pipe_flight *f, unsigned id, uint32_t row,
			 const void *data, int error)
{
	struct canp_pipe *p = w->p;
	struct pipe_op *op = &p->ops[id];
	struct canp_pipe_dead d = {
		.op = op->name, .item = item_of(p, f, id, row), .error = error, .data = data};

	canp_stat_add(&w->c[id].failed, 1);
	if (f->err && !f->err[row % f->rows])
		f->err[row % f->rows] = (int16_t)error;
	if (w->em && !p->o.no_async_events)
		canp_event_emit(w->em, canp_clock_ns(), CANP_EVENT_OP_ERROR, id, d.item,
				(uint64_t)-error);
	d.bytes = op->in_bytes;
	if (op->op.policy == CANP_PIPE_FAIL_FAST)
		canp_pipe_fail(p, error);
	else if (op->op.policy != CANP_PIPE_SKIP && op->op.on_dead)
		op->op.on_dead(op->op.arg, &d);
}

static void row_failed(struct pipe_worker *w, struct pipe_flight *f, unsigned id, uint32_t row,
		       const void *data, int error)
{
	struct pipe_op *op = &w->p->ops[id];

	if (w->remote) {
		int16_t *err = (int16_t *)(f->mem + op->err_off);

		if (!f->cells[id].nr_err++)
			memset(err, 0, sizeof(*err) * op->blocks * f->rows);
		err[row] = (int16_t)error;
		/* The rest of the batch would be dropped anyway. */
		if (op->op.policy == CANP_PIPE_FAIL_FAST)
			__atomic_fetch_add(&w->p->epoch, 1, __ATOMIC_SEQ_CST);
		return;
	}
	canp_pipe_op_failed(w, f, id, row, data, error);
}

/* Errors are negative; whatever else a function returns as one is told as EIO. */
static int error_of(int rc)
{
	return rc < 0 && rc > -4096 ? rc : -EIO;
}

/* ---- inputs ---- */

static void join_zip(struct canp_pipe *p, struct pipe_flight *f, struct pipe_op *op,
		     struct canp_batch *b)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < op->nr_in; i++) {
		const struct pipe_op *in = &p->ops[op->in[i]];
		const struct pipe_cell *c = &f->cells[op->in[i]];

		for (unsigned k = 0; k < CANP_BATCH_WORDS; k++)
			b->keep[k] = i ? b->keep[k] & c->keep[k] : c->keep[k];
		for (uint32_t r = 0; r < canp_min(in->blocks * f->rows, b->nr_rows); r++)
			memcpy(b->rec + (size_t)r * b->stride + at,
			       c->rec + (size_t)r * in->out_bytes, in->out_bytes);
		at += in->out_bytes;
	}
	for (uint32_t r = b->nr_rows; r < CANP_BATCH_ROWS; r++)
		canp_batch_drop(b, r);
}

static void join_merge(struct canp_pipe *p, struct pipe_flight *f, struct pipe_op *op,
		       struct canp_batch *b)
{
	uint32_t at = 0;

	memset(b->keep, 0, sizeof(b->keep));
	for (unsigned i = 0; i < op->nr_in; i++) {
		const struct pipe_op *in = &p->ops[op->in[i]];
		const struct pipe_cell *c = &f->cells[op->in[i]];
		uint32_t n = in->blocks * f->rows;

		memcpy(b->rec + (size_t)at * b->stride, c->rec, (size_t)n * b->stride);
		for (uint32_t r = 0; r < n; r++, at++)
			b->keep[at / 64] |= (c->keep[r / 64] >> (r % 64) & 1) << (at % 64);
	}
}

static void op_input(struct canp_pipe *p, struct pipe_flight *f, struct pipe_op *op,
		     struct canp_batch *b)
{
	const struct pipe_cell *c = &f->cells[op->in[0]];

	memset(b, 0, offsetof(struct canp_batch, keep));
	memset(&b->type, 0, sizeof(*b) - offsetof(struct canp_batch, type));
	b->seq = f->cells[op->block_source[0]].first;
	b->nr_rows = op->blocks * f->rows;
	b->stride = op->in_bytes;
	if (op->nr_in == 1) {
		b->rec = c->rec;
		memcpy(b->keep, c->keep, sizeof(b->keep));
		return;
	}
	b->rec = f->mem + op->join_off;
	if (op->op.join == CANP_PIPE_ZIP)
		join_zip(p, f, op, b);
	else
		join_merge(p, f, op, b);
}

/* ---- calls ---- */

struct op_call {
	struct pipe_worker *w;
	struct pipe_flight *f;
	unsigned id;
	struct pipe_op *op;
	struct canp_batch *b;
	uint8_t *out;
	uint32_t failed;
};

static uint8_t *row_in(const struct op_call *c, uint32_t r)
{
	return c->b->rec + (size_t)r * c->b->stride;
}

static void op_row_failed(struct op_call *c, uint32_t r, int rc)
{
	canp_batch_drop(c->b, r);
	c->failed++;
	row_failed(c->w, c->f, c->id, r, row_in(c, r), error_of(rc));
}

static unsigned retries_of(const struct op_call *c)
{
	return c->op->op.policy == CANP_PIPE_RETRY ? c->op->op.retries : 0;
}

/* A row that failed once: again as often as the policy says. Returns what the last call said. */
static int row_again(struct op_call *c, uint32_t r, int rc)
{
	const struct canp_pipe_op *op = &c->op->op;

	for (unsigned left = retries_of(c); rc < 0 && left; left--) {
		canp_stat_add(&c->w->c[c->id].retries, 1);
		if (op->kind == CANP_PIPE_FILTER)
			rc = op->filter(op->arg, row_in(c, r));
		else
			rc = op->map(op->arg, row_in(c, r), c->out + (size_t)r * c->op->out_bytes);
	}
	if (rc < 0)
		op_row_failed(c, r, rc);
	return rc;
}

static void call_map(struct op_call *c)
{
	int (*map)(void *, const void *, void *) = c->op->op.map;
	void *arg = c->op->op.arg;
	uint32_t out_bytes = c->op->out_bytes, stride = c->b->stride;

	for (uint32_t k = 0; k < CANP_BATCH_WORDS; k++) {
		for (uint64_t m = c->b->keep[k]; m; m &= m - 1) {
			uint32_t r = k * 64 + (uint32_t)__builtin_ctzll(m);
			int rc = map(arg, c->b->rec + (size_t)r * stride,
				     c->out + (size_t)r * out_bytes);

			if (canp_unlikely(rc < 0) && row_again(c, r, rc) < 0 &&
			    pipe_dropped(c->w->p, c->f))
				return;
		}
	}
}

static void call_filter(struct op_call *c)
{
	int (*filter)(void *, const void *) = c->op->op.filter;
	void *arg = c->op->op.arg;

	for (uint32_t k = 0; k < CANP_BATCH_WORDS; k++) {
		uint64_t keep = 0;

		for (uint64_t m = c->b->keep[k]; m; m &= m - 1) {
			uint32_t r = k * 64 + (uint32_t)__builtin_ctzll(m);
			int rc = filter(arg, row_in(c, r));

			if (canp_unlikely(rc < 0)) {
				rc = row_again(c, r, rc);
				if (rc < 0 && pipe_dropped(c->w->p, c->f))
					return;
			}
			keep |= (uint64_t)(rc > 0) << (r % 64);
		}
		c->b->keep[k] = keep;
	}
}

static int call_once(struct op_call *c)
{
	const struct canp_pipe_op *op = &c->op->op;

	return op->kind == CANP_PIPE_SINK ? op->sink(op->arg, c->b)
					  : op->map_batch(op->arg, c->b, c->out);
}

/* The batch as a whole; its function may only take rows away. */
static void call_batch(struct op_call *c)
{
	uint64_t before[CANP_BATCH_WORDS];
	int rc;

	memcpy(before, c->b->keep, sizeof(before));
	rc = call_once(c);
	for (unsigned left = retries_of(c); rc < 0 && left; left--) {
		canp_stat_add(&c->w->c[c->id].retries, 1);
		memcpy(c->b->keep, before, sizeof(before));
		rc = call_once(c);
	}
	for (unsigned k = 0; k < CANP_BATCH_WORDS; k++)
		c->b->keep[k] = rc < 0 ? before[k] : c->b->keep[k] & before[k];
	if (canp_likely(rc >= 0))
		return;
	for (uint32_t r = 0; r < c->b->nr_rows; r++) {
		if (canp_batch_kept(c->b, r))
			op_row_failed(c, r, rc);
	}
}

/* Most batches are full, and counting bits is a call on the plainest CPUs. */
CANP_STATIC_ASSERT(CANP_BATCH_WORDS == 4, "below");
static uint32_t rows_kept(const struct canp_batch *b)
{
	if (canp_likely((b->keep[0] & b->keep[1] & b->keep[2] & b->keep[3]) == UINT64_MAX))
		return CANP_BATCH_ROWS;
	return canp_batch_count(b);
}

static void op_call(struct op_call *c)
{
	const struct canp_pipe_op *op = &c->op->op;
	struct pipe_op_counts *st = &c->w->c[c->id];
	uint32_t in = rows_kept(c->b), out;

	if (canp_unlikely(!in))
		return;
	canp_stat_add(&st->batches, 1);
	canp_stat_add(&st->rows_in, in);
	if (op->kind == CANP_PIPE_SINK || op->map_batch)
		call_batch(c);
	else if (op->kind == CANP_PIPE_FILTER)
		call_filter(c);
	else
		call_map(c);
	out = rows_kept(c->b);
	canp_stat_add(&st->rows_out, out);
	canp_stat_add(&st->dropped, in - out - c->failed);
}

void canp_pipe_op_run(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	struct pipe_op *op = &w->p->ops[id];
	struct pipe_cell *cell = &f->cells[id];
	struct canp_batch b;
	struct op_call c = {.w = w, .f = f, .id = id, .op = op, .b = &b};

	if (pipe_dropped(w->p, f)) {
		memset(cell->keep, 0, sizeof(cell->keep));
		cell->rec = f->mem;
		return;
	}
	op_input(w->p, f, op, &b);
	c.out = op->out_off == UINT32_MAX ? NULL : f->mem + op->out_off;
	op_call(&c);
	cell->rec = c.out ? c.out : b.rec;
	memcpy(cell->keep, b.keep, sizeof(b.keep));
	if (f->err && op->op.kind == CANP_PIPE_SINK) {
		for (uint32_t r = 0; r < b.nr_rows; r++)
			f->arrived[r % f->rows / 64] |= (uint64_t)canp_batch_kept(&b, r)
							<< (r % f->rows % 64);
	}
}

void canp_pipe_op_lost(struct pipe_worker *w, struct pipe_flight *f, unsigned id, int error)
{
	struct pipe_op *op = &w->p->ops[id];
	struct pipe_cell *cell = &f->cells[id];
	struct canp_batch b;
	struct op_call c = {.w = w, .f = f, .id = id, .op = op, .b = &b};
	uint32_t in;

	op_input(w->p, f, op, &b);
	in = canp_batch_count(&b);
	canp_stat_add(&w->c[id].batches, in != 0);
	canp_stat_add(&w->c[id].rows_in, in);
	for (uint32_t r = 0; r < b.nr_rows; r++) {
		if (canp_batch_kept(&b, r))
			op_row_failed(&c, r, error);
	}
	cell->rec = f->mem;
	memset(cell->keep, 0, sizeof(cell->keep));
}
