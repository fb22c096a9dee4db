/*
 * pipe_layout.c - what build works out: the records between operators, the order of the operators,
 * how long and how many batches may be, and one mapping that holds all of it.
 *
 * Rows of a batch are in blocks of the same length, one for each source batch that was merged into
 * it; so the row of any operator leads back to its item by a division.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/pipeline/pipe_priv.h"

#define PIPE_RECORD_MAX (16 * CANP_PIPE_ITEM_MAX)

static int refuse(struct canp_pipe *p, struct canp_strbuf *err, const char *op, const char *what)
{
	if (err)
		canp_strbuf_printf(err, "pipeline %s: operator %s %s", p->name, op, what);
	return -EINVAL;
}

/* ---- records ---- */

static int join_plan(struct canp_pipe *p, struct pipe_op *op, struct canp_strbuf *err)
{
	bool zip = op->op.join == CANP_PIPE_ZIP;

	op->blocks = zip ? CANP_BATCH_ROWS : 0;
	op->in_bytes = 0;
	for (unsigned i = 0; i < op->nr_in; i++) {
		const struct pipe_op *in = &p->ops[op->in[i]];

		if (zip) {
			op->in_bytes += in->out_bytes;
			op->blocks = canp_min(op->blocks, in->blocks);
			if (!i)
				memcpy(op->block_source, in->block_source, in->blocks);
			continue;
		}
		if (i && in->out_bytes != op->in_bytes)
			return refuse(p, err, op->name, "merges items of different sizes");
		op->in_bytes = in->out_bytes;
		if (op->blocks + in->blocks > CANP_BATCH_ROWS)
			return refuse(p, err, op->name, "merges too many batches into one");
		memcpy(op->block_source + op->blocks, in->block_source, in->blocks);
		op->blocks += in->blocks;
	}
	return op->in_bytes > PIPE_RECORD_MAX ? refuse(p, err, op->name, "makes too long records")
					      : 0;
}

static int op_plan(struct canp_pipe *p, unsigned id, struct canp_strbuf *err)
{
	struct pipe_op *op = &p->ops[id];
	int rc = 0;

	if (op->op.kind == CANP_PIPE_SOURCE) {
		op->blocks = 1;
		op->block_source[0] = (uint8_t)id;
		op->out_bytes = op->op.item_bytes;
		op->in_bytes = op->out_bytes;
		return 0;
	}
	if (op->nr_in == 1) {
		const struct pipe_op *in = &p->ops[op->in[0]];

		op->in_bytes = in->out_bytes;
		op->blocks = in->blocks;
		memcpy(op->block_source, in->block_source, in->blocks);
	} else {
		rc = join_plan(p, op, err);
	}
	op->out_bytes = op->op.kind == CANP_PIPE_MAP ? op->op.item_bytes : op->in_bytes;
	op->pull = (int)id == p->pull.op;
	op->serial = op->op.parallel_degree == 1 && op->op.kind != CANP_PIPE_SINK;
	op->limit = op->op.parallel_degree > 1 ? op->op.parallel_degree : 0;
	if (op->op.kind == CANP_PIPE_SINK) {
		op->serial = !p->o.unordered;
		op->limit = p->o.unordered;
	}
	op->remote = p->kind == CANP_PIPE_PROCESSES && op->op.kind != CANP_PIPE_SINK && !op->serial;
	return rc;
}

/* ---- sizes ---- */

/* Buffers of the operator, for one row of a block. */
static uint32_t op_bytes(const struct pipe_op *op)
{
	uint32_t n = 0;

	if (op->nr_in > 1)
		n += op->in_bytes * op->blocks;
	if (op->op.kind == CANP_PIPE_SOURCE || op->op.kind == CANP_PIPE_MAP)
		n += op->out_bytes * op->blocks;
	return n;
}

static int sizes_plan(struct canp_pipe *p, uint32_t blocks_max, struct canp_strbuf *err)
{
	uint64_t bytes = p->o.max_memory_bytes, rows;
	unsigned workers = p->kind == CANP_PIPE_PROCESSES ? p->nr_workers - 1 : p->nr_workers;

	p->limit = canp_min(p->o.pipeline_depth * workers, PIPE_SLOTS_MAX);
	p->rows_max = CANP_BATCH_ROWS / blocks_max;
	if (p->o.no_adaptive_batching)
		p->rows_max = canp_min(p->rows_max, p->o.batch_items);
	else if (p->o.mode == CANP_PIPE_MEMORY)
		p->rows_max = canp_min(p->rows_max, canp_max(4 * p->o.batch_items, 32u));
	rows = bytes / p->limit / p->item_bytes;
	p->rows_max = (uint32_t)canp_max(canp_min((uint64_t)p->rows_max, rows), 1ull);
	p->limit = (uint32_t)canp_min((uint64_t)p->limit, bytes / p->item_bytes);
	if (!p->limit)
		return refuse(p, err, p->ops[p->sources[0]].name,
			      "makes items that max_memory_bytes has no room for");
	p->slots = 1;
	while (p->slots < p->limit)
		p->slots *= 2;
	p->o.max_memory_items = canp_max(p->o.max_memory_items, p->nr_sources);
	p->items_resume =
		p->o.max_memory_items - canp_max(p->o.max_memory_items / 4, p->nr_sources);
	p->batch = canp_min(p->o.batch_items, p->rows_max);
	return 0;
}

int canp_pipe_plan(struct canp_pipe *p, struct canp_strbuf *err)
{
	unsigned by_order[CANP_PIPE_OPS_MAX];
	uint32_t blocks_max = 1;

	p->nr_sources = 0;
	p->nr_order = 0;
	p->nr_leaves = 0;
	p->item_bytes = 0;
	for (unsigned i = 0; i < p->nr_ops; i++)
		by_order[canp_flow_op_order(p->flow, i)] = i;
	for (unsigned i = 0; i < p->nr_ops; i++) {
		struct pipe_op *op = &p->ops[by_order[i]];
		int rc = op_plan(p, by_order[i], err);

		if (rc)
			return rc;
		if (op->op.kind == CANP_PIPE_SOURCE)
			p->sources[p->nr_sources++] = by_order[i];
		p->nr_leaves += !op->nr_out;
		p->item_bytes += op_bytes(op);
		blocks_max = canp_max(blocks_max, op->blocks);
	}
	for (unsigned i = p->nr_ops; i-- > 0;) {
		if (p->ops[by_order[i]].op.kind != CANP_PIPE_SOURCE)
			p->order[p->nr_order++] = by_order[i];
	}
	for (unsigned i = 0; i < p->nr_sources; i++)
		p->push.used |= !p->ops[p->sources[i]].op.next;
	if (p->push.used && p->nr_sources > 1)
		return refuse(p, err, p->ops[p->sources[0]].name,
			      "is not the only source, so items cannot be pushed");
	return sizes_plan(p, blocks_max, err);
}

/* ---- the mapping ---- */

static size_t take(size_t *at, size_t bytes)
{
	size_t off = *at;

	*at += canp_align_up(bytes, (size_t)CANP_CACHELINE);
	return off;
}

/* Offsets in a flight's memory; returns its size. */
static size_t flight_layout(struct canp_pipe *p)
{
	size_t at = 0;

	for (unsigned i = 0; i < p->nr_ops; i++) {
		struct pipe_op *op = &p->ops[i];
		size_t rows = (size_t)p->rows_max * op->blocks;

		op->join_off = UINT32_MAX;
		op->out_off = UINT32_MAX;
		if (op->nr_in > 1)
			op->join_off = (uint32_t)take(&at, rows * op->in_bytes);
		if (op->op.kind == CANP_PIPE_SOURCE || op->op.kind == CANP_PIPE_MAP)
			op->out_off = (uint32_t)take(&at, rows * op->out_bytes);
		if (op->remote)
			op->err_off = (uint32_t)take(&at, rows * sizeof(int16_t));
	}
	return canp_align_up(at, (size_t)CANP_CACHELINE);
}

struct pipe_offsets {
	size_t flights, cells, workers, err, futures, push_items, push_futures, pull, mem;
};

static size_t map_layout(struct canp_pipe *p, struct pipe_offsets *o, size_t mem)
{
	size_t at = 0, push = p->push.used, n = p->slots;

	p->push.cap = 64;
	while (p->push.cap < p->o.max_memory_items && p->push.cap < 4096)
		p->push.cap *= 2;
	o->flights = take(&at, n * sizeof(struct pipe_flight));
	at = canp_align_up(at, (size_t)128);
	o->cells = take(&at, n * p->nr_ops * sizeof(struct pipe_cell));
	at = canp_align_up(at, (size_t)128);
	o->workers = take(&at, (p->nr_workers + 1) * sizeof(struct pipe_worker));
	o->err = take(&at, push * n * p->rows_max * sizeof(int16_t));
	o->futures = take(&at, push * n * p->rows_max * sizeof(struct canp_future *));
	o->push_items = take(&at, push * p->push.cap * p->ops[p->sources[0]].out_bytes);
	o->push_futures = take(&at, push * p->push.cap * sizeof(struct canp_future *));
	o->pull = 0;
	if (p->pull.op != PIPE_NONE)
		o->pull = take(&at, (size_t)p->rows_max * p->ops[p->pull.op].blocks *
					    p->ops[p->pull.op].in_bytes);
	at = canp_align_up(at, (size_t)4096);
	o->mem = take(&at, n * mem);
	return at;
}

static void workers_init(struct canp_pipe *p)
{
	uint32_t all = (uint32_t)((1ull << p->nr_ops) - 1), sources = 0;
	unsigned at = 1;

	for (unsigned i = 0; i < p->nr_sources; i++)
		sources |= 1u << p->sources[i];
	if (p->pull.op != PIPE_NONE)
		all &= ~(1u << p->pull.op);
	for (unsigned i = 0; i <= p->nr_workers; i++) {
		struct pipe_worker *w = &p->workers[i];

		w->p = p;
		w->index = i;
		w->mask = all & ~sources;
		w->takes = true;
	}
	if (p->kind == CANP_PIPE_THREADS) {
		p->workers[0].mask = 0;
		for (unsigned i = p->nr_order; i-- > 0;) {
			struct pipe_worker *w = &p->workers[at];

			if ((int)p->order[i] == p->pull.op)
				continue;
			w->mask = 1u << p->order[i];
			w->takes = false;
			at++;
		}
	}
	p->pull.w = &p->workers[p->nr_workers];
	p->pull.w->mask = p->pull.op != PIPE_NONE ? 1u << p->pull.op : 0;
	p->pull.w->takes = false;
}

int canp_pipe_map_all(struct canp_pipe *p)
{
	size_t mem = flight_layout(p);
	struct pipe_offsets o;
	size_t bytes = map_layout(p, &o, mem);
	int shared = p->kind == CANP_PIPE_PROCESSES ? MAP_SHARED : MAP_PRIVATE;
	char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, shared | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	p->map = base;
	p->map_bytes = bytes;
	p->flights = (struct pipe_flight *)(base + o.flights);
	p->workers = (struct pipe_worker *)(base + o.workers);
	p->pull.buf = (uint8_t *)(base + o.pull);
	for (uint32_t i = 0; i < p->slots; i++) {
		struct pipe_flight *f = &p->flights[i];
		size_t row = (size_t)i * p->rows_max;

		f->mem = (uint8_t *)(base + o.mem + i * mem);
		f->cells = (struct pipe_cell *)(base + o.cells) + (size_t)i * p->nr_ops;
		if (!p->push.used)
			continue;
		f->err = (int16_t *)(base + o.err) + row;
		f->futures = (struct canp_future **)(base + o.futures) + row;
	}
	if (p->push.used) {
		p->push.items = (uint8_t *)(base + o.push_items);
		p->push.futures = (struct canp_future **)(base + o.push_futures);
	}
	workers_init(p);
	return 0;
}
