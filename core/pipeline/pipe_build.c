/*
 * pipe_build.c - making a pipe: operators and edges as they are declared, the builder of one
 * operator behind the other, and build, which checks the graph (flow.h) and takes all memory.
 *
 * The pipe itself lies in a shared mapping, so that worker processes see its state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/assert.h"
#include "core/pipeline/pipe_priv.h"
#include "numa/topology.h"

#define PULL_NAME "_pull"

int canp_pipe_create(const char *name, const char *mode, const struct canp_pipe_opts *opts,
		     struct canp_pipe **out)
{
	struct canp_pipe_opts o = {.mode = CANP_PIPE_THROUGHPUT};
	pthread_condattr_t attr;
	struct canp_flow *flow;
	struct canp_pipe *p;
	int rc;

	if (opts)
		o = *opts;
	if ((unsigned)o.mode >= CANP_PIPE_NR_MODES || (unsigned)o.executor > CANP_PIPE_SERIAL ||
	    (mode && canp_pipe_mode_parse(mode, &o.mode)))
		return -EINVAL;
	rc = canp_flow_create(name, &flow); /* it knows which names are good */
	if (rc)
		return rc;
	canp_flow_destroy(flow);
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	memcpy(p->name, name, strlen(name));
	p->asked = o;
	p->last = PIPE_NONE;
	p->pull.op = PIPE_NONE;
	pthread_mutex_init(&p->ctl, NULL);
	pthread_mutex_init(&p->mu, NULL);
	pthread_mutex_init(&p->push.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->cv, &attr);
	pthread_condattr_destroy(&attr);
	*out = p;
	return 0;
}

static void set_mode(struct canp_pipe *p, enum canp_pipe_mode mode)
{
	if (p->state == PIPE_NEW)
		p->asked.mode = mode;
}

void canp_pipe_optimize_for_throughput(struct canp_pipe *p)
{
	set_mode(p, CANP_PIPE_THROUGHPUT);
}

void canp_pipe_optimize_for_latency(struct canp_pipe *p)
{
	set_mode(p, CANP_PIPE_LATENCY);
}

void canp_pipe_optimize_for_memory(struct canp_pipe *p)
{
	set_mode(p, CANP_PIPE_MEMORY);
}

/* ---- operators ---- */

static bool op_ok(const struct canp_pipe_op *op)
{
	unsigned given = !!op->next + !!op->map + !!op->filter + !!op->map_batch + !!op->sink;
	bool sized = op->item_bytes && op->item_bytes <= CANP_PIPE_ITEM_MAX;

	if ((unsigned)op->policy > CANP_PIPE_DEAD_LETTER || (unsigned)op->join > CANP_PIPE_ZIP)
		return false;
	switch (op->kind) {
	case CANP_PIPE_SOURCE:
		return sized && given == !!op->next;
	case CANP_PIPE_MAP:
		return sized && given == 1 && (op->map || op->map_batch);
	case CANP_PIPE_FILTER:
		return given == 1 && (op->filter || op->map_batch);
	case CANP_PIPE_SINK:
		return given == 1 && op->sink;
	}
	return false;
}

static int op_add(struct canp_pipe *p, const struct canp_pipe_op *op)
{
	struct pipe_op *o = &p->ops[p->nr_ops];

	for (unsigned i = 0; i < p->nr_ops; i++) {
		if (!strcmp(p->ops[i].name, op->name))
			return -EEXIST;
	}
	if (p->nr_ops == CANP_PIPE_OPS_MAX)
		return -ENOSPC;
	memset(o, 0, sizeof(*o));
	memcpy(o->name, op->name, strlen(op->name));
	o->op = *op;
	o->op.name = o->name;
	if (!o->op.retries)
		o->op.retries = 3;
	return (int)p->nr_ops++;
}

int canp_pipe_add(struct canp_pipe *p, const struct canp_pipe_op *op, const int *inputs,
		  unsigned nr_inputs)
{
	int id, rc;

	if (p->state != PIPE_NEW || !op->name || !*op->name ||
	    strlen(op->name) > CANP_FLOW_NAME_MAX || !op_ok(op))
		return -EINVAL;
	if (op->kind == CANP_PIPE_SOURCE && nr_inputs)
		return -EINVAL;
	for (unsigned i = 0; i < nr_inputs; i++) {
		if (inputs[i] < 0 || (unsigned)inputs[i] >= p->nr_ops)
			return -EINVAL;
	}
	id = op_add(p, op);
	if (id < 0)
		return id;
	for (unsigned i = 0; i < nr_inputs; i++) {
		rc = canp_pipe_edge(p, inputs[i], id);
		if (rc) {
			while (i--)
				p->ops[inputs[i]].nr_out--;
			p->nr_ops--;
			return rc;
		}
	}
	p->last = id;
	return id;
}

int canp_pipe_edge(struct canp_pipe *p, int from, int to)
{
	struct pipe_op *a, *b;

	if (p->state != PIPE_NEW || from < 0 || to < 0 || (unsigned)from >= p->nr_ops ||
	    (unsigned)to >= p->nr_ops)
		return -EINVAL;
	a = &p->ops[from];
	b = &p->ops[to];
	if (a->op.kind == CANP_PIPE_SINK || b->op.kind == CANP_PIPE_SOURCE)
		return -EINVAL;
	for (unsigned i = 0; i < a->nr_out; i++) {
		if (a->out[i] == (unsigned)to)
			return -EINVAL;
	}
	if (a->nr_out == CANP_FLOW_OUT_MAX)
		return -ENOSPC;
	a->out[a->nr_out++] = (unsigned)to;
	b->in[b->nr_in++] = (unsigned)from;
	return 0;
}

static struct canp_pipe *behind(struct canp_pipe *p, const struct canp_pipe_op *op)
{
	bool source = op->kind == CANP_PIPE_SOURCE;
	int rc = -EINVAL;

	if (source || p->last != PIPE_NONE)
		rc = canp_pipe_add(p, op, &p->last, !source);
	if (rc < 0 && !p->build_error)
		p->build_error = rc;
	return p;
}

struct canp_pipe *canp_pipe_source(struct canp_pipe *p, const char *name, uint32_t item_bytes,
				   int (*next)(void *arg, void *items, uint32_t max), void *arg)
{
	struct canp_pipe_op op = {.name = name,
				  .kind = CANP_PIPE_SOURCE,
				  .item_bytes = item_bytes,
				  .next = next,
				  .arg = arg};

	return behind(p, &op);
}

struct canp_pipe *canp_pipe_map(struct canp_pipe *p, const char *name, uint32_t item_bytes,
				int (*map)(void *arg, const void *in, void *out), void *arg,
				unsigned parallel_degree)
{
	struct canp_pipe_op op = {.name = name,
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = item_bytes,
				  .parallel_degree = parallel_degree,
				  .map = map,
				  .arg = arg};

	return behind(p, &op);
}

struct canp_pipe *canp_pipe_filter(struct canp_pipe *p, const char *name,
				   int (*filter)(void *arg, const void *item), void *arg)
{
	struct canp_pipe_op op = {
		.name = name, .kind = CANP_PIPE_FILTER, .filter = filter, .arg = arg};

	return behind(p, &op);
}

struct canp_pipe *canp_pipe_sink(struct canp_pipe *p, const char *name,
				 int (*sink)(void *arg, const struct canp_batch *b), void *arg)
{
	struct canp_pipe_op op = {.name = name, .kind = CANP_PIPE_SINK, .sink = sink, .arg = arg};

	return behind(p, &op);
}

/* ---- build ---- */

/* Flow only keeps the graph of a pipe; its nodes are never run. */
static void flow_push(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	(void)state;
	(void)n;
	(void)b;
	CANP_ASSERT(!"operators of a pipe are run by its workers");
}

static unsigned flow_poll(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	(void)now_ns;
	flow_push(state, n, NULL);
	return 0;
}

static int graph_build(struct canp_pipe *p, struct canp_strbuf *err)
{
	static const enum canp_flow_kind kinds[] = {
		[CANP_PIPE_SOURCE] = CANP_FLOW_SOURCE,
		[CANP_PIPE_MAP] = CANP_FLOW_OPERATOR,
		[CANP_PIPE_FILTER] = CANP_FLOW_OPERATOR,
		[CANP_PIPE_SINK] = CANP_FLOW_SINK,
	};
	int rc = canp_flow_create(p->name, &p->flow);

	for (unsigned i = 0; i < p->nr_ops && rc >= 0; i++) {
		struct canp_flow_op fo = {.name = p->ops[i].name,
					  .kind = kinds[p->ops[i].op.kind],
					  .push = flow_push,
					  .poll = flow_poll};

		rc = canp_flow_add(p->flow, &fo);
	}
	for (unsigned i = 0; i < p->nr_ops && rc >= 0; i++) {
		for (unsigned k = 0; k < p->ops[i].nr_out && rc >= 0; k++)
			rc = canp_flow_edge(p->flow, i, p->ops[i].out[k]);
	}
	return rc < 0 ? rc : canp_flow_build(p->flow, 1, err);
}

/* Without a sink: the one operator without successors is read by canp_pipe_next(). */
static int pull_add(struct canp_pipe *p)
{
	struct canp_pipe_op op = {.name = PULL_NAME, .kind = CANP_PIPE_SINK};
	int leaf = PIPE_NONE, rc;

	for (unsigned i = 0; i < p->nr_ops; i++) {
		if (p->ops[i].op.kind == CANP_PIPE_SINK)
			return 0;
		if (!p->ops[i].nr_out && leaf == PIPE_NONE)
			leaf = (int)i;
	}
	if (leaf == PIPE_NONE)
		return 0; /* the check of the graph says more */
	rc = op_add(p, &op);
	if (rc < 0)
		return rc;
	p->pull.op = rc;
	return canp_pipe_edge(p, leaf, rc);
}

static unsigned default_cores(unsigned most)
{
	struct canp_topology *t = malloc(sizeof(*t)); /* too big for a stack */
	unsigned n = 1;

	if (t && !canp_topology_read("", t))
		n = canp_topology_default_cores(t);
	free(t);
	return canp_max(canp_min(n, most), 1u);
}

static int workers_plan(struct canp_pipe *p)
{
	struct canp_exec_opts eo = {.cores = 0};
	unsigned operators = 0;

	for (unsigned i = 0; i < p->nr_ops; i++)
		operators += p->ops[i].op.kind != CANP_PIPE_SOURCE && (int)i != p->pull.op;
	p->nr_workers = 1;
	switch (p->kind) {
	case CANP_PIPE_THREADS:
		p->nr_workers = operators + 1;
		if (!p->o.max_running_ops && p->o.max_workers < p->nr_workers)
			p->o.max_running_ops = p->o.max_workers;
		break;
	case CANP_PIPE_PROCESSES:
		p->nr_workers = 1 + default_cores(p->o.max_workers);
		break;
	case CANP_PIPE_REACTOR:
		if (!p->exec) {
			int rc;

			eo.cores = default_cores(p->o.max_workers);
			rc = canp_exec_create(&eo, &p->own_exec);
			if (rc)
				return rc;
			p->exec = p->own_exec;
		}
		p->nr_workers = canp_min(canp_exec_nr_shards(p->exec), PIPE_WORKERS_MAX);
		break;
	default:
		break;
	}
	return 0;
}

int canp_pipe_make_futures(struct canp_pipe *p, uint32_t nr)
{
	/* An executor without reactors: only its table of futures is wanted. */
	struct canp_exec_opts eo = {.slots = canp_max(nr, 64u)};
	int rc = 0;

	if (!p->exec) {
		rc = canp_exec_init(&eo, 1, &p->own_exec);
		p->exec = rc ? NULL : p->own_exec;
	}
	return rc;
}

static void emitters_get(struct canp_pipe *p)
{
	if (!p->o.events || p->o.no_async_events)
		return;
	if (canp_emitter_get(p->o.events, CANP_EVENT_DROP_NEWEST, &p->em))
		p->em = NULL;
	for (unsigned i = 0; i <= p->nr_workers; i++) {
		if (p->workers[i].remote ||
		    canp_emitter_get(p->o.events, CANP_EVENT_DROP_NEWEST, &p->workers[i].em))
			p->workers[i].em = NULL;
	}
}

static void emitters_put(struct canp_pipe *p)
{
	for (unsigned i = 0; p->workers && i <= p->nr_workers; i++) {
		if (p->workers[i].em)
			canp_emitter_put(p->workers[i].em);
		p->workers[i].em = NULL;
	}
	if (p->em)
		canp_emitter_put(p->em);
	p->em = NULL;
}

static int pipe_build(struct canp_pipe *p, struct canp_strbuf *err)
{
	static const struct pipe_driver *const drivers[] = {
		[CANP_PIPE_REACTOR] = &canp_pipe_reactors,
		[CANP_PIPE_THREADS] = &canp_pipe_threads,
		[CANP_PIPE_PROCESSES] = &canp_pipe_procs,
		[CANP_PIPE_SERIAL] = &canp_pipe_serial,
	};
	bool isolate = false;
	int rc = pull_add(p);

	for (unsigned i = 0; i < p->nr_ops; i++)
		isolate |= p->ops[i].op.isolate;
	p->o = p->asked;
	p->kind = canp_pipe_choose(&p->o, isolate);
	p->o.executor = p->kind;
	canp_pipe_opts_resolve(&p->o);
	p->exec = p->o.exec;
	p->spread = true; /* until batches turn out to be short */
	rc = rc ? rc : graph_build(p, err);
	rc = rc ? rc : workers_plan(p);
	rc = rc ? rc : canp_pipe_plan(p, err);
	rc = rc ? rc : canp_pipe_map_all(p);
	if (!rc && p->push.used)
		rc = canp_pipe_make_futures(p, 2 * p->o.max_memory_items);
	if (rc)
		return rc;
	for (unsigned i = 0; p->kind == CANP_PIPE_PROCESSES && i + 1 < p->nr_workers; i++)
		p->workers[i + 1].remote = true;
	emitters_get(p);
	p->drv = drivers[p->kind];
	rc = p->drv->build ? p->drv->build(p) : 0;
	if (rc)
		p->drv = NULL;
	return rc;
}

int canp_pipe_build(struct canp_pipe *p, struct canp_strbuf *err)
{
	struct canp_strbuf none = CANP_STRBUF_INIT;
	int rc = p->build_error;

	/* A run that is ending may be setting it. */
	if (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != PIPE_NEW)
		return 0;
	if (rc) {
		if (err)
			canp_strbuf_printf(err, "pipeline %s: an operator was refused", p->name);
		return rc;
	}
	rc = pipe_build(p, err ? err : &none);
	canp_strbuf_fini(&none);
	if (rc)
		canp_pipe_unbuild(p);
	else
		__atomic_store_n(&p->state, PIPE_IDLE, __ATOMIC_RELEASE);
	return rc;
}

void canp_pipe_unbuild(struct canp_pipe *p)
{
	if (p->drv && p->drv->destroy)
		p->drv->destroy(p);
	p->drv = NULL;
	emitters_put(p);
	canp_exec_destroy(p->own_exec);
	p->own_exec = NULL;
	p->exec = NULL;
	if (p->map)
		munmap(p->map, p->map_bytes);
	p->map = NULL;
	p->workers = NULL;
	canp_flow_destroy(p->flow);
	p->flow = NULL;
	if (p->pull.op != PIPE_NONE) {
		for (unsigned i = 0; i < p->ops[p->pull.op].nr_in; i++)
			p->ops[p->ops[p->pull.op].in[i]].nr_out--;
		p->nr_ops--;
	}
	p->pull.op = PIPE_NONE;
	p->push.used = false;
}

void canp_pipe_destroy(struct canp_pipe *p)
{
	if (!p)
		return;
	canp_pipe_cancel(p);
	canp_pipe_wait(p, UINT32_MAX);
	canp_pipe_unbuild(p);
	pthread_cond_destroy(&p->cv);
	pthread_mutex_destroy(&p->push.lock);
	pthread_mutex_destroy(&p->mu);
	pthread_mutex_destroy(&p->ctl);
	munmap(p, sizeof(*p));
}
