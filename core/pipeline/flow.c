/*
 * flow.c - the graph: declaration, checks, per-shard nodes, statistics. Nothing here is on the way
 * of a batch but flow_poll(); emitting is inline in the header.
 */
#include "core/pipeline/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/runtime/shard.h"

struct flow_op {
	char name[CANP_FLOW_NAME_MAX + 1];
	struct canp_flow_op op;
	unsigned out[CANP_FLOW_OUT_MAX];
	unsigned nr_out, nr_in;
	unsigned order;
};

struct canp_flow {
	char name[CANP_FLOW_NAME_MAX + 1];
	struct flow_op ops[CANP_FLOW_NODES_MAX];
	unsigned nr_ops;
	unsigned sorted[CANP_FLOW_NODES_MAX]; /* ids in topological order */
	struct canp_flow_node *nodes;         /* [nr_shards][nr_ops] */
	unsigned nr_shards;
};

static bool flow_name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n && n <= CANP_FLOW_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

int canp_flow_create(const char *name, struct canp_flow **out)
{
	struct canp_flow *f;

	if (!flow_name_ok(name))
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	memcpy(f->name, name, strlen(name));
	*out = f;
	return 0;
}

void canp_flow_destroy(struct canp_flow *f)
{
	if (!f)
		return;
	free(f->nodes);
	free(f);
}

int canp_flow_add(struct canp_flow *f, const struct canp_flow_op *op)
{
	struct flow_op *fo;

	if (!flow_name_ok(op->name) || f->nodes)
		return -EINVAL;
	if (op->kind == CANP_FLOW_SOURCE ? !op->poll : !op->push && !op->poll)
		return -EINVAL;
	for (unsigned i = 0; i < f->nr_ops; i++)
		if (!strcmp(f->ops[i].name, op->name))
			return -EEXIST;
	if (f->nr_ops == CANP_FLOW_NODES_MAX)
		return -ENOSPC;
	fo = &f->ops[f->nr_ops];
	memcpy(fo->name, op->name, strlen(op->name));
	fo->op = *op;
	fo->op.name = fo->name;
	return (int)f->nr_ops++;
}

int canp_flow_edge(struct canp_flow *f, unsigned from, unsigned to)
{
	struct flow_op *a, *b;

	if (from >= f->nr_ops || to >= f->nr_ops || f->nodes)
		return -EINVAL;
	a = &f->ops[from];
	b = &f->ops[to];
	if (a->op.kind == CANP_FLOW_SINK || b->op.kind == CANP_FLOW_SOURCE)
		return -EINVAL;
	for (unsigned i = 0; i < a->nr_out; i++)
		if (a->out[i] == to)
			return -EINVAL;
	if (a->nr_out == CANP_FLOW_OUT_MAX)
		return -ENOSPC;
	a->out[a->nr_out++] = to;
	b->nr_in++;
	return 0;
}

/* Kahn's algorithm; what it cannot reach lies on a cycle or behind one. */
static int flow_sort(struct canp_flow *f, struct canp_strbuf *err)
{
	unsigned left[CANP_FLOW_NODES_MAX], n = 0;

	for (unsigned i = 0; i < f->nr_ops; i++) {
		left[i] = f->ops[i].nr_in;
		if (!left[i])
			f->sorted[n++] = i;
	}
	for (unsigned at = 0; at < n; at++) {
		struct flow_op *fo = &f->ops[f->sorted[at]];

		fo->order = at;
		for (unsigned i = 0; i < fo->nr_out; i++)
			if (--left[fo->out[i]] == 0)
				f->sorted[n++] = fo->out[i];
	}
	if (n == f->nr_ops)
		return 0;
	for (unsigned i = 0; i < f->nr_ops; i++) {
		if (!left[i])
			continue;
		canp_strbuf_printf(err, "pipeline %s: operator %s is part of a cycle or behind one",
				   f->name, f->ops[i].name);
		break;
	}
	return -ELOOP;
}

static int flow_check(const struct canp_flow *f, struct canp_strbuf *err)
{
	unsigned sources = 0, sinks = 0;

	for (unsigned i = 0; i < f->nr_ops; i++) {
		const struct flow_op *fo = &f->ops[i];
		const char *lacks = NULL;

		sources += fo->op.kind == CANP_FLOW_SOURCE;
		sinks += fo->op.kind == CANP_FLOW_SINK;
		if (fo->op.kind != CANP_FLOW_SOURCE && !fo->nr_in)
			lacks = "input";
		if (fo->op.kind != CANP_FLOW_SINK && !fo->nr_out)
			lacks = "output";
		if (!lacks)
			continue;
		canp_strbuf_printf(err, "pipeline %s: operator %s has no %s", f->name, fo->name,
				   lacks);
		return -EINVAL;
	}
	if (sources && sinks)
		return 0;
	canp_strbuf_printf(err, "pipeline %s: no %s", f->name, sources ? "sink" : "source");
	return -EINVAL;
}

int canp_flow_build(struct canp_flow *f, unsigned nr_shards, struct canp_strbuf *err)
{
	size_t bytes = sizeof(*f->nodes) * f->nr_ops * nr_shards;
	int rc;

	if (!nr_shards || f->nodes)
		return -EINVAL;
	/* First the cycle: an operator on one has inputs and outputs, so the other check would
	 * blame its innocent neighbours. */
	rc = flow_sort(f, err);
	rc = rc ? rc : flow_check(f, err);
	if (rc)
		return rc;
	f->nodes = aligned_alloc(64, bytes);
	if (!f->nodes)
		return -ENOMEM;
	memset(f->nodes, 0, bytes);
	f->nr_shards = nr_shards;
	for (unsigned s = 0; s < nr_shards; s++) {
		for (unsigned i = 0; i < f->nr_ops; i++) {
			struct canp_flow_node *n = canp_flow_node(f, s, i);
			const struct flow_op *fo = &f->ops[i];

			n->push = fo->op.push;
			n->poll = fo->op.poll;
			n->id = i;
			n->shard = s;
			n->flow = f;
			/* What crosses does not go by a call. */
			n->nr_out = fo->op.crosses ? 0 : fo->nr_out;
			for (unsigned o = 0; o < n->nr_out; o++)
				n->out[o] = canp_flow_node(f, s, fo->out[o]);
		}
	}
	return 0;
}

struct canp_flow_node *canp_flow_node(struct canp_flow *f, unsigned shard, unsigned id)
{
	CANP_ASSERT(f->nodes && shard < f->nr_shards && id < f->nr_ops);
	return &f->nodes[(size_t)shard * f->nr_ops + id];
}

void canp_flow_set_state(struct canp_flow *f, unsigned shard, unsigned id, void *state)
{
	canp_flow_node(f, shard, id)->state = state;
}

static unsigned flow_poll(void *arg, uint64_t now_ns)
{
	struct canp_flow_node *n = arg;
	uint64_t begin = canp_clock_ns();
	unsigned work = n->poll(n->state, n, now_ns);

	canp_stat_add(&n->st.polls, 1);
	if (work)
		canp_stat_add(&n->st.busy_ns, canp_clock_ns() - begin);
	else
		canp_stat_add(&n->st.idle_polls, 1);
	return work;
}

void canp_flow_attach(struct canp_flow *f, struct canp_shard *s)
{
	for (unsigned i = f->nr_ops; i-- > 0;) {
		unsigned id = f->sorted[i];
		struct canp_flow_node *n = canp_flow_node(f, s->index, id);

		if (!n->poll)
			continue;
		n->poller =
			(struct canp_poller){.name = f->ops[id].name, .poll = flow_poll, .arg = n};
		canp_reactor_add(s, &n->poller);
	}
}

void canp_flow_sum(const struct canp_flow *f, uint32_t shard, unsigned id, struct canp_flow_sum *s)
{
	*s = (struct canp_flow_sum){0};
	for (unsigned i = 0; f->nodes && i < f->nr_shards; i++) {
		const struct canp_flow_stats *st = &f->nodes[(size_t)i * f->nr_ops + id].st;

		if (shard != CANP_FLOW_ALL_SHARDS && shard != i)
			continue;
		s->batches_in += canp_stat_get(&st->batches_in);
		s->rows_in += canp_stat_get(&st->rows_in);
		s->batches_out += canp_stat_get(&st->batches_out);
		s->rows_out += canp_stat_get(&st->rows_out);
		s->busy_ns += canp_stat_get(&st->busy_ns);
		s->polls += canp_stat_get(&st->polls);
		s->idle_polls += canp_stat_get(&st->idle_polls);
	}
}

unsigned canp_flow_nr_ops(const struct canp_flow *f)
{
	return f->nr_ops;
}

const char *canp_flow_op_name(const struct canp_flow *f, unsigned id)
{
	return f->ops[id].name;
}

enum canp_flow_kind canp_flow_op_kind(const struct canp_flow *f, unsigned id)
{
	return f->ops[id].op.kind;
}

unsigned canp_flow_op_out(const struct canp_flow *f, unsigned id, unsigned *out)
{
	memcpy(out, f->ops[id].out, f->ops[id].nr_out * sizeof(*out));
	return f->ops[id].nr_out;
}

unsigned canp_flow_op_order(const struct canp_flow *f, unsigned id)
{
	return f->ops[id].order;
}

void canp_flow_print(const struct canp_flow *f, struct canp_strbuf *s)
{
	for (unsigned i = 0; i < f->nr_ops; i++) {
		const struct flow_op *fo = &f->ops[f->sorted[i]];

		for (unsigned o = 0; o < fo->nr_out; o++) {
			/* A chain continues the line; anything else begins with its name again. */
			bool chained = i && f->ops[f->sorted[i - 1]].nr_out == 1 &&
				       f->ops[f->sorted[i - 1]].out[0] == f->sorted[i] && !o;

			if (!chained)
				canp_strbuf_printf(s, "%s%s", i || o ? "; " : "", fo->name);
			canp_strbuf_printf(s, " %s %s", fo->op.crosses ? "=>" : "->",
					   f->ops[fo->out[o]].name);
		}
	}
}
