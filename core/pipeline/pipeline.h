/*
 * pipeline.h - streams of items through a DAG of operators: ordered results, bounded memory,
 * adaptive batches, error policies. Built on flow.h (operators on one core call each other) and on
 * the reactors of an executor (task.h); there are no threads per operator and no other queues.
 *
 * How it runs. Sources are asked for batches of items as long as there are credits (batches, items
 * and bytes in flight are bounded, and taken at the source, returned by the sink: nothing in
 * between can grow). A batch has a sequence number and runs through its operators to completion on
 * one core where they are parallel. A serial operator takes batches in sequence, through a window
 * indexed by the number, on the core that has the next one: an idle core comes for it, so serial
 * operators run side by side without a home. Batches are so long that handing one to another core
 * is worth it: the target is CANP_PIPE_TARGET_NS of work; batches that are worth less than a few
 * microseconds, even at their longest, stay on the first core.
 *
 * Items are records of a fixed size per edge, copied in and out by value. Results arrive in the
 * order of the source's items, whatever ran where (unless `unordered`).
 *
 * Several sources fly together: a batch has as many items of each, until one ends. MERGE therefore
 * brings n items of the first input, then n of the second, and so on.
 *
 * Threads: build on one thread; run, start, next, push and stop from any thread that is not a
 * reactor, operators' functions run on reactors (or where the executor kind says) and must not
 * block (with THREADS they may). An executor that was given must outlive the pipe.
 */
#ifndef CANP_PIPELINE_PIPELINE_H
#define CANP_PIPELINE_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/base/strbuf.h"
#include "core/pipeline/batch.h"
#include "core/runtime/task.h"

CANP_BEGIN_DECLS

struct canp_pipe;

#define CANP_PIPE_OPS_MAX   32u
#define CANP_PIPE_TARGET_NS 50000u
#define CANP_PIPE_ITEM_MAX  4096u /* bytes */

enum canp_pipe_mode {
	CANP_PIPE_THROUGHPUT, /* long batches, deep windows */
	CANP_PIPE_LATENCY,    /* batches of one, reactors spin */
	CANP_PIPE_MEMORY,     /* short batches, few in flight */
	CANP_PIPE_NR_MODES
};
/* "throughput", "latency", "memory". -EINVAL. */
int canp_pipe_mode_parse(const char *name, enum canp_pipe_mode *out);
const char *canp_pipe_mode_name(enum canp_pipe_mode mode);

enum canp_pipe_exec {
	CANP_PIPE_AUTO,      /* by the table at canp_pipe_choose() */
	CANP_PIPE_REACTOR,   /* on the executor's reactors */
	CANP_PIPE_THREADS,   /* a thread per operator, waiting for each other with locks */
	CANP_PIPE_PROCESSES, /* parallel operators in worker processes, the rest on the caller */
	CANP_PIPE_SERIAL,    /* all on the calling thread */
};

/* Zeroed fields mean their default, which is named in brackets and a row of pipeline.def. */
struct canp_pipe_opts {
	enum canp_pipe_mode mode;
	enum canp_pipe_exec executor;
	struct canp_exec *exec;    /* reactors to run on; NULL: made for the run */
	unsigned max_workers;      /* reactors, threads or processes when made [4] */
	uint32_t max_memory_items; /* items in flight [10000; processes a quarter of it] */
	uint64_t max_memory_bytes; /* bytes of items in flight [64 MiB] */
	unsigned pipeline_depth;   /* batches in flight for each worker, 64 in all [3; memory 1] */
	bool no_adaptive_batching; /* adaptive_batching = false */
	uint32_t batch_items;      /* first (or fixed) items of a batch, 1..256 [by mode] */
	uint32_t target_ns;        /* work a batch should be [CANP_PIPE_TARGET_NS] */
	unsigned max_running_ops;  /* operators running at the same time [no limit] */
	bool unordered;            /* sinks take batches as they come */
	/* The three switches of OptimizedPipeline. */
	bool no_async_execution;    /* enable_async_execution = false: SERIAL when AUTO */
	bool no_shared_monitoring;  /* no session of the shared monitor */
	bool no_async_events;       /* no OP_* events */
	struct canp_events *events; /* NULL: none are emitted */
};

/* The options with every default filled in, as create will use them. */
void canp_pipe_opts_resolve(struct canp_pipe_opts *o);
/* What AUTO means: SERIAL without async execution, PROCESSES when an operator asks for isolation,
 * REACTOR otherwise. */
enum canp_pipe_exec canp_pipe_choose(const struct canp_pipe_opts *o, bool wants_isolation);

/* What becomes of items an operator fails on. A source that fails is at its end (RETRY: after it
 * was asked `retries` times more). A worker process that dies fails its batch with -EOWNERDEAD. */
enum canp_pipe_policy {
	CANP_PIPE_FAIL_FAST,   /* the run ends with the error; what is in flight is dropped */
	CANP_PIPE_SKIP,        /* the item is dropped and counted */
	CANP_PIPE_RETRY,       /* again, up to `retries` times, then as DEAD_LETTER */
	CANP_PIPE_DEAD_LETTER, /* the item goes to on_dead and is counted */
};
struct canp_pipe_dead {
	const char *op;
	uint64_t item; /* number in its source */
	int error;
	const void *data; /* the operator's input; during the call only */
	uint32_t bytes;
};

enum canp_pipe_kind { CANP_PIPE_SOURCE, CANP_PIPE_MAP, CANP_PIPE_FILTER, CANP_PIPE_SINK };
enum canp_pipe_join {
	/* Items of all inputs, which have one size, one input after the other for each number. */
	CANP_PIPE_MERGE,
	/* One item of each input, of the same number, behind each other in one record without gaps;
	 * those that an input lacks are dropped. */
	CANP_PIPE_ZIP,
};

struct canp_pipe_op {
	const char *name; /* copied; as in flow.h */
	enum canp_pipe_kind kind;
	uint32_t item_bytes;      /* of its output (source, map) */
	unsigned parallel_degree; /* batches inside it at once; 0: no limit, 1: serial, in order */
	enum canp_pipe_join join;
	bool isolate; /* wants PROCESSES */
	enum canp_pipe_policy policy;
	unsigned retries; /* [3] */
	/* Where the operator runs, on several cores at once if it does; never in a worker process.
	 */
	void (*on_dead)(void *arg, const struct canp_pipe_dead *d);
	void *arg; /* of all functions below; the caller keeps it alive */
	/* One of these, by kind. Negative results are errors of the item (or of the source). */
	/* Up to max items: how many, 0: end, -EAGAIN: none now, asked again after a push or 1 ms.
	 * Never called twice at once. */
	int (*next)(void *arg, void *items, uint32_t max);
	int (*map)(void *arg, const void *in, void *out);
	int (*filter)(void *arg, const void *item); /* 1: keep, 0: drop */
	/* Whole batches, instead of map or filter: rows of in and out correspond; drops rows by
	 * in's keep bits. An error is one of every kept row. */
	int (*map_batch)(void *arg, struct canp_batch *in, void *out);
	int (*sink)(void *arg, const struct canp_batch *b); /* kept rows only count */
};

/* mode: name as above, or NULL for opts->mode. opts may be NULL; copied. 0, -EINVAL, -ENOMEM. */
int canp_pipe_create(const char *name, const char *mode, const struct canp_pipe_opts *opts,
		     struct canp_pipe **out);
void canp_pipe_optimize_for_throughput(struct canp_pipe *p); /* before build */
void canp_pipe_optimize_for_latency(struct canp_pipe *p);
void canp_pipe_optimize_for_memory(struct canp_pipe *p);
/* Adds an operator behind `inputs` (ids): its id, or -EINVAL, -EEXIST, -ENOSPC. */
int canp_pipe_add(struct canp_pipe *p, const struct canp_pipe_op *op, const int *inputs,
		  unsigned nr_inputs);
/* An edge more; may close a cycle, which build refuses. */
int canp_pipe_edge(struct canp_pipe *p, int from, int to);
/* The builder of the source document: each is canp_pipe_add behind the operator added last. Errors
 * are kept and returned by build. */
struct canp_pipe *canp_pipe_source(struct canp_pipe *p, const char *name, uint32_t item_bytes,
				   int (*next)(void *arg, void *items, uint32_t max), void *arg);
struct canp_pipe *canp_pipe_map(struct canp_pipe *p, const char *name, uint32_t item_bytes,
				int (*map)(void *arg, const void *in, void *out), void *arg,
				unsigned parallel_degree);
struct canp_pipe *canp_pipe_filter(struct canp_pipe *p, const char *name,
				   int (*filter)(void *arg, const void *item), void *arg);
struct canp_pipe *canp_pipe_sink(struct canp_pipe *p, const char *name,
				 int (*sink)(void *arg, const struct canp_batch *b), void *arg);
/* Checks the graph and takes all memory a run will need. -ELOOP: a cycle; -EINVAL; -ENOMEM; a line
 * in err (may be NULL). A pipe without sink is read by canp_pipe_next(). Called by run and start
 * when it was not. */
int canp_pipe_build(struct canp_pipe *p, struct canp_strbuf *err);
/* Stops first. NULL is allowed. */
void canp_pipe_destroy(struct canp_pipe *p);

/* To the end of all sources: 0, the first error of a FAIL_FAST operator or source, or -ECANCELED.
 * May be run again afterwards; counters go on. -EINVAL: no sink. */
int canp_pipe_run(struct canp_pipe *p);
/* The same without waiting (SERIAL and PROCESSES: on a thread made for it); *f (may be NULL)
 * completes with the result, cancelling it cancels the run. -EBUSY: it runs. */
int canp_pipe_start(struct canp_pipe *p, struct canp_future **f);
/* Until it ended: the result of the last run, or -ETIMEDOUT. UINT32_MAX: for ever. */
int canp_pipe_wait(struct canp_pipe *p, uint32_t timeout_ms);
/* No more items are taken, those in flight are finished. Any thread. */
void canp_pipe_stop(struct canp_pipe *p);
/* Those in flight are dropped, run returns -ECANCELED. Any thread. */
void canp_pipe_cancel(struct canp_pipe *p);
/* Pull iteration of a pipe without sink that was started: up to max items of the last operator in
 * order: how many, 0: end, -ETIMEDOUT, or the run's error. One consumer at a time. */
int canp_pipe_next(struct canp_pipe *p, void *items, uint32_t max, uint32_t timeout_ms);
/* Pushes one item into a pipe whose source was added with next == NULL. *f (may be NULL) completes
 * when the item left the pipe: 0, or its error; dropped by a filter: -ENODATA. -EAGAIN: no credit;
 * -EPIPE: stopped or not started. canp_pipe_stop() ends the source, which must be the only one. */
int canp_pipe_push(struct canp_pipe *p, const void *item, struct canp_future **f);

struct canp_pipe_op_stats {
	const char *name;
	uint64_t items_in, items_out, items_dropped, items_failed, retries;
	uint64_t batches, busy_ns, wait_ns; /* wait: batches that lay in its window */
	uint32_t queue_depth, queue_max;    /* of its window */
	uint32_t running_max;
};
struct canp_pipe_stats {
	uint64_t items_in, items_out, batches, handovers; /* to another core */
	uint64_t elapsed_ns, busy_ns, paused_ns;          /* paused: sources had no credit */
	uint32_t in_flight_items, in_flight_items_max, in_flight_batches_max;
	uint64_t in_flight_bytes_max, memory_bytes;               /* memory: all the pipe holds */
	uint32_t batch_items;                                     /* now */
	uint64_t latency_p50_ns, latency_p99_ns, latency_p999_ns; /* source to sink, of batches */
	unsigned nr_ops;
	enum canp_pipe_exec executor; /* what ran */
};
/* Any thread, at any time. */
void canp_pipe_stats(const struct canp_pipe *p, struct canp_pipe_stats *st);
int canp_pipe_op_stats(const struct canp_pipe *p, int op, struct canp_pipe_op_stats *st);

CANP_END_DECLS

#endif
