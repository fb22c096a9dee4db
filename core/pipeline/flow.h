/*
 * flow.h - a DAG of operators on reactors. The graph is declared once, on the control thread; every
 * shard gets its own copy of the nodes and runs them to completion: emitting a batch calls the next
 * operator directly, so a batch never leaves the core (or its L1) on the way. Where data does cross
 * cores, the operator that sends it says so (CANP_FLOW_CROSSES) and does it over the mesh.
 *
 *   source (polled)  ->  operator  ->  operator  ->  sink (polled too, when work comes to it
 *                          \-> operator -/           over the mesh)
 *
 * The same graph is what the monitor shows, what --dry-run prints and what the pipeline of items
 * (pipeline.h) is built on.
 *
 * Threads: build on the control thread; attach, emit and poll on the shard's own thread; statistics
 * from any thread.
 */
#ifndef CANP_PIPELINE_FLOW_H
#define CANP_PIPELINE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/base/stat.h"
#include "core/base/strbuf.h"
#include "core/pipeline/batch.h"
#include "core/runtime/reactor.h"

#define CANP_FLOW_NODES_MAX 32u
#define CANP_FLOW_OUT_MAX   8u
#define CANP_FLOW_NAME_MAX  31u

struct canp_flow;
struct canp_flow_node;
struct canp_shard;

enum canp_flow_kind { CANP_FLOW_SOURCE, CANP_FLOW_OPERATOR, CANP_FLOW_SINK };

struct canp_flow_op {
	const char *name; /* [a-z0-9_-], at most CANP_FLOW_NAME_MAX, unique in the flow; copied */
	enum canp_flow_kind kind;
	bool crosses; /* its output reaches its successors over the mesh, not by canp_flow_emit */
	/* Takes a batch; may emit any number, before or after changing keep. Needed unless polled
	 * or fed over the mesh only. */
	void (*push)(void *state, struct canp_flow_node *n, struct canp_batch *b);
	/* A bounded piece of work on its own account; returns how much was done (0: idle). */
	unsigned (*poll)(void *state, struct canp_flow_node *n, uint64_t now_ns);
};

struct canp_flow_stats {
	struct canp_stat batches_in, rows_in, batches_out, rows_out;
	struct canp_stat busy_ns; /* of polls; includes the operators called directly from there */
	struct canp_stat polls, idle_polls;
};

/* One operator on one shard. Read by the inline functions below only. */
struct canp_flow_node {
	void (*push)(void *state, struct canp_flow_node *n, struct canp_batch *b);
	void *state;
	uint32_t nr_out;
	uint32_t id;
	struct canp_flow_node *out[CANP_FLOW_OUT_MAX];
	struct canp_flow_stats st;
	/* private to flow.c */
	unsigned (*poll)(void *state, struct canp_flow_node *n, uint64_t now_ns);
	struct canp_poller poller;
	struct canp_flow *flow;
	uint32_t shard;
} CANP_ALIGNED(64);

/* Control thread. -ENOMEM. */
int canp_flow_create(const char *name, struct canp_flow **out);
/* After every shard was detached. NULL is allowed. */
void canp_flow_destroy(struct canp_flow *f);
/* Adds an operator: its id (0, 1, ..), -EINVAL (name or functions), -EEXIST (name), -ENOSPC. */
int canp_flow_add(struct canp_flow *f, const struct canp_flow_op *op);
/* An edge. -EINVAL: no such operator, from a sink, into a source, twice; -ENOSPC. */
int canp_flow_edge(struct canp_flow *f, unsigned from, unsigned to);
/* Checks the graph and makes the nodes of all shards. -ELOOP: it has a cycle; -EINVAL: an operator
 * without input or output, no source, no sink. err gets one line that names the operator. */
int canp_flow_build(struct canp_flow *f, unsigned nr_shards, struct canp_strbuf *err);

/* The operator's state on this shard (may be NULL). Before attach; shard or control thread. */
void canp_flow_set_state(struct canp_flow *f, unsigned shard, unsigned id, void *state);
/* Adds the pollers of this shard: those nearest to the sink first, for they free what the others
 * wait for. Shard thread, in its set-up callback. */
void canp_flow_attach(struct canp_flow *f, struct canp_shard *s);
struct canp_flow_node *canp_flow_node(struct canp_flow *f, unsigned shard, unsigned id);

/* Gives the batch to every successor in the order of the edges. With several successors each sees
 * the same keep bits: what one drops is not dropped for the next. Shard thread. */
static inline void canp_flow_emit(struct canp_flow_node *n, struct canp_batch *b)
{
	uint64_t keep[CANP_BATCH_WORDS];
	uint32_t rows = canp_batch_count(b);

	canp_stat_add(&n->st.batches_out, 1);
	canp_stat_add(&n->st.rows_out, rows);
	if (canp_unlikely(n->nr_out > 1))
		__builtin_memcpy(keep, b->keep, sizeof(keep));
	for (uint32_t i = 0; i < n->nr_out; i++) {
		struct canp_flow_node *o = n->out[i];

		if (canp_unlikely(i > 0))
			__builtin_memcpy(b->keep, keep, sizeof(keep));
		canp_stat_add(&o->st.batches_in, 1);
		canp_stat_add(&o->st.rows_in, rows);
		o->push(o->state, o, b);
	}
}

/* For operators whose batches go over the mesh: what left and what arrived. Shard thread. */
static inline void canp_flow_count_out(struct canp_flow_node *n, uint32_t rows)
{
	canp_stat_add(&n->st.batches_out, 1);
	canp_stat_add(&n->st.rows_out, rows);
}

static inline void canp_flow_count_in(struct canp_flow_node *n, uint32_t rows)
{
	canp_stat_add(&n->st.batches_in, 1);
	canp_stat_add(&n->st.rows_in, rows);
}

/* Any thread: of one shard, or CANP_FLOW_ALL_SHARDS for the sum. */
#define CANP_FLOW_ALL_SHARDS UINT32_MAX
struct canp_flow_sum {
	uint64_t batches_in, rows_in, batches_out, rows_out, busy_ns, polls, idle_polls;
};
void canp_flow_sum(const struct canp_flow *f, uint32_t shard, unsigned id, struct canp_flow_sum *s);
unsigned canp_flow_nr_ops(const struct canp_flow *f);
const char *canp_flow_op_name(const struct canp_flow *f, unsigned id);
enum canp_flow_kind canp_flow_op_kind(const struct canp_flow *f, unsigned id);
/* Successors of an operator: ids in out[CANP_FLOW_OUT_MAX], returns how many. */
unsigned canp_flow_op_out(const struct canp_flow *f, unsigned id, unsigned *out);
/* Place in a topological order; sources first. Valid after build. */
unsigned canp_flow_op_order(const struct canp_flow *f, unsigned id);
/* One line: "read -> decode -> extract => write" ('=>': crosses cores). */
void canp_flow_print(const struct canp_flow *f, struct canp_strbuf *s);

#endif
