/*
 * task.h - the one task and the one future. A task is a slot of 128 bytes in a table of its
 * executor; its future is the same slot seen by who submitted it. Reactors, the process pool and
 * the command pool all run slots like this, so waiting, cancelling and statistics are the same.
 *
 * Life: PENDING -> RUNNING -> COMPLETED or FAILED; PENDING -> FAILED (cancelled, timed out in the
 * queue). One 32-bit word holds status, cancel request and waiters and is the futex of the future;
 * runner and canceller race by one CAS on it. The slot is free again when the task is over and its
 * future was put (or never taken). A future carries its slot's generation, so a stale one is
 * recognised.
 *
 * Threads: submit, wait, cancel and put from any thread, reactors and foreign ones. On a reactor
 * never wait: use `done` (a continuation on the submitting reactor, or on the running one when the
 * submitter is a foreign thread).
 */
#ifndef CANP_RUNTIME_TASK_H
#define CANP_RUNTIME_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/base/trace_ctx.h"

CANP_BEGIN_DECLS

struct canp_block;
struct canp_exec;
struct canp_future;
struct canp_mem;

/* What a task waits for. Each type has a cap on how many of its tasks run at once over all
 * reactors; there are no threads per type. */
enum canp_task_type { CANP_TASK_IO, CANP_TASK_CPU, CANP_TASK_MEM, CANP_TASK_NR_TYPES };

/* Strict classes, FIFO inside one; a waiting task ages up one class every CANP_TASK_AGEING_MS. */
enum canp_task_prio {
	CANP_PRIO_LOW = 0,
	CANP_PRIO_NORMAL = 1,
	CANP_PRIO_HIGH = 2,
	CANP_PRIO_CRITICAL = 3,
	CANP_PRIO_NR
};
#define CANP_TASK_AGEING_MS  20u
#define CANP_TASK_BLOCKS_MAX 4u
#define CANP_TASK_BATCH_MAX  256u

enum canp_task_status {
	CANP_TASK_FREE,
	CANP_TASK_PENDING,
	CANP_TASK_RUNNING,
	CANP_TASK_COMPLETED,
	CANP_TASK_FAILED /* reason in result.error */
};

/* What a running task sees. */
struct canp_task_env {
	struct canp_exec *exec;
	uint64_t id;
	unsigned shard;
	uint64_t now_ns; /* of the turn */
	struct canp_block *const *blocks;
	unsigned nr_blocks;
	char *message; /* CANP_TASK_MESSAGE_BYTES: what went wrong, for the result */
};
#define CANP_TASK_MESSAGE_BYTES 64u

/* 0 or -errno; it runs to completion on one reactor and must not block. Builds of FLAVOUR=debug
 * name one that takes over 25 ms on stderr, as a stall. */
typedef int (*canp_task_fn)(const struct canp_task_env *env, void *arg);

/* Everything one submission can say; zero is the default of each field. */
struct canp_task_desc {
	canp_task_fn fn;
	void *arg; /* passed on; the caller keeps it alive */
	enum canp_task_type type;
	enum canp_task_prio prio;
	/* References that move into the task at a successful submit and are given back when it
	 * ends, however it ends (unless enable_memory_management is off: then the caller does). */
	struct canp_block *const *blocks;
	unsigned nr_blocks;
	uint32_t timeout_ms;  /* from submit to end; 0: none. Ends as -ETIMEDOUT */
	int shard;            /* 1 + shard to run on; 0: the caller's, or the least loaded */
	uint64_t start_at_ns; /* not before (canp_clock_ns()); 0: now */
	struct canp_trace_ctx trace;
	void (*done)(struct canp_future *f, void *done_arg); /* once, after the end */
	void *done_arg;
};

struct canp_task_result {
	enum canp_task_status status;
	int error; /* 0; what fn returned; -ECANCELED, -ETIMEDOUT, -ESHUTDOWN */
	uint64_t id;
	enum canp_task_type type;
	enum canp_task_prio prio;
	unsigned shard; /* where it ran */
	uint64_t created_ns, queue_ns, run_ns;
	struct canp_trace_ctx trace;
	char message[CANP_TASK_MESSAGE_BYTES];
};

struct canp_exec_opts {
	unsigned cores; /* reactors; 0: one per allowed CPU */
	/* Caps: tasks of a type running at once. 0: cores/2 (at least 1), cores, cores/2. */
	unsigned io_bound_threads, cpu_bound_threads, memory_bound_threads;
	bool no_stats;             /* enable_stats = false */
	bool no_memory_management; /* enable_memory_management = false */
	uint32_t slots;            /* tasks not over plus futures held, per reactor [16384] */
	uint32_t spin_us;          /* how long an idle reactor looks for work [auto] */
	struct canp_mem *mem;      /* memory pool of the tasks; NULL: made with defaults */
	bool pin;
};

/* Boots reactors that only run tasks (a runtime of its own). opts NULL: defaults. 0 or -errno. */
int canp_exec_create(const struct canp_exec_opts *opts, struct canp_exec **out);
/* Ends what was queued as -ESHUTDOWN, waits for running tasks, stops the reactors. Futures that are
 * still held stay valid until put. */
void canp_exec_destroy(struct canp_exec *ex);
struct canp_mem *canp_exec_mem(struct canp_exec *ex); /* memory_pool() of the source document */
unsigned canp_exec_nr_shards(const struct canp_exec *ex);
/* Tasks on the reactors of a runtime that somebody else booted: call on each shard's thread in its
 * set-up callback. ex is made by canp_exec_init(), which reserves memory and starts nothing. */
struct canp_shard;
int canp_exec_init(const struct canp_exec_opts *opts, unsigned nr_shards, struct canp_exec **out);
int canp_exec_attach(struct canp_exec *ex, struct canp_shard *s);
/* The reactor that runs shard i; NULL before it is attached. For those who add pollers of their
 * own, from a task on that shard. */
struct canp_shard *canp_exec_shard(const struct canp_exec *ex, unsigned i);

/* Submits one task. f NULL: nobody asks for the result. -EAGAIN: no slot free; -EINVAL; -ESHUTDOWN.
 * Any thread. */
int canp_submit(struct canp_exec *ex, const struct canp_task_desc *d, struct canp_future **f);
/* All n or none (1..CANP_TASK_BATCH_MAX); fs NULL or [n]. One doorbell per reactor and batch. */
int canp_submit_batch(struct canp_exec *ex, const struct canp_task_desc *d, unsigned n,
		      struct canp_future **fs);
/* The three of the source document: fn with nothing else. */
int canp_submit_io(struct canp_exec *ex, enum canp_task_prio prio, canp_task_fn fn, void *arg);
int canp_submit_cpu(struct canp_exec *ex, enum canp_task_prio prio, canp_task_fn fn, void *arg);
int canp_submit_mem(struct canp_exec *ex, enum canp_task_prio prio, canp_task_fn fn, void *arg);

/* Waits for the end: 0 and *r (may be NULL), -ETIMEDOUT (the task goes on; wait again), -EDEADLK on
 * a reactor. timeout_ms 0: poll; UINT32_MAX: for ever. */
int canp_future_wait(struct canp_future *f, uint32_t timeout_ms, struct canp_task_result *r);
/* 0: it will end as -ECANCELED (queued: never runs; running: its cancel flag is set and the end is
 * its own). -EALREADY: it is over. */
int canp_future_cancel(struct canp_future *f);
enum canp_task_status canp_future_status(const struct canp_future *f);
void canp_future_put(struct canp_future *f);
/* A future without a task, for work that somebody else does: it is RUNNING until it is completed by
 * hand, once, and counts as a task of type CPU. create: -EAGAIN: no slot free, or too many threads;
 * -ESHUTDOWN. complete: error 0 or -errno; the future may have been put before; -ESTALE: it has
 * ended. cancelled: somebody asked for its end. Any thread, as long as the executor is there. */
int canp_future_create(struct canp_exec *ex, struct canp_future **f);
int canp_future_complete(struct canp_future *f, int error);
bool canp_future_cancelled(const struct canp_future *f);
/* Inside a task: somebody asked for its end. */
bool canp_task_cancelled(const struct canp_task_env *env);

/* ---- futures of work that no reactor runs ---- */

/* Called on the thread that cancelled (queued work has ended as -ECANCELED by then, running work is
 * flagged), and on the one that gave the future's slot back. Neither may block. */
struct canp_extern_ops {
	void (*cancel)(void *arg);
	void (*release)(void *arg);
};
struct canp_extern_desc {
	const struct canp_extern_ops *ops;
	void *arg;
	enum canp_task_type type;
	enum canp_task_prio prio;
	const struct canp_trace_ctx *trace; /* NULL: none */
	bool held;                          /* somebody will canp_future_put() it */
};
/* Makes a future that is PENDING. -EAGAIN: no slot, or too many threads; -ESHUTDOWN. Any thread. */
int canp_extern_create(struct canp_exec *ex, const struct canp_extern_desc *d,
		       struct canp_future **f);
/* The calling thread may make and end futures from now on: 0 or -EAGAIN. */
int canp_extern_bind(struct canp_exec *ex);
/* PENDING -> RUNNING; -ECANCELED: it has ended, only release() is still to come (or was). */
int canp_extern_start(struct canp_future *f);
bool canp_extern_cancelled(const struct canp_future *f);
/* Its maker ends it once: error 0 or -errno; message may be NULL. -ESTALE: it has ended. */
int canp_extern_end(struct canp_future *f, int error, const char *message);
void *canp_extern_arg(const struct canp_future *f); /* NULL: not such a future */

/* Returns when no submitted task is left; -ETIMEDOUT. Sleeps, does not spin. Not on a reactor. */
int canp_exec_wait_idle(struct canp_exec *ex, uint32_t timeout_ms);

/* fn(in + i * in_size, out + i * out_size, arg) for each of n items on all reactors, in batches;
 * out is in input order. Returns 0, or the error of the lowest failed item (all others are done).
 * Not on a reactor. */
int canp_parallel_process(struct canp_exec *ex, const void *in, size_t n, size_t in_size, void *out,
			  size_t out_size, int (*fn)(const void *in, void *out, void *arg),
			  void *arg);

struct canp_exec_stats {
	uint64_t total_tasks, completed_tasks, failed_tasks; /* failed: cancelled, timed out too */
	uint64_t cancelled_tasks, timed_out_tasks, live_tasks;
	uint64_t by_type[CANP_TASK_NR_TYPES], running_max[CANP_TASK_NR_TYPES];
	double avg_execution_time; /* ms */
	uint64_t total_memory_blocks, recycled_memory_blocks, live_memory_blocks;
	double memory_reuse_rate; /* 0..1, of the pool */
	uint64_t wakes, batches;
};
/* Consistent at any time: completed + failed + live = total. Any thread. */
void canp_exec_stats(const struct canp_exec *ex, struct canp_exec_stats *st);

CANP_END_DECLS

#endif
