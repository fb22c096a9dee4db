/*
 * process.h - a pool of worker processes that run functions of this program.
 *
 * The pool is one shared segment. Tasks are slots in it with the word of core/runtime/task.h: the
 * caller fills a slot and pushes it into the ring of one worker, the worker runs it and publishes
 * the end in the slot itself, so a future is answered without a second hop and nothing is sent
 * through descriptors. What a function may rely on: whatever was in memory when the pool was
 * created (a small process, the zygote, is forked there and only it forks workers), so functions
 * must be mapped before (checked at submit, -EINVAL) and user_data must be a value, a pointer to
 * memory of that time, or one into the pool's payload memory.
 *
 * A worker that dies takes only the task with it that it was running; it is replaced, unless too
 * many die in a short time: then the breaker opens and everything ends as BROKEN. A task that was
 * asked to end (cancel, time limit) has cancel_grace_ms for it, then its worker is killed.
 *
 * Futures are those of core/runtime/task.h: canp_future_wait, _cancel, _status and _put work on
 * them too. A thread of the pool (the supervisor) deals with deaths, deadlines, growth and
 * restarts; it sleeps without a timer while nothing is due. Create the pool early, before threads
 * and large memory: a fork copies page tables.
 *
 * Threads: every function may be called from any thread of the process that created the pool,
 * unless it says otherwise. Errors: 0 or -errno; pointers NULL and errno.
 */
#ifndef CANP_PROCESS_PROCESS_H
#define CANP_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/compiler.h"
#include "core/base/trace_ctx.h"
#include "core/runtime/task.h"

CANP_BEGIN_DECLS

struct canp_events;
struct canp_metrics;
struct canp_process_pool;

/* Runs in a worker. Returns 0 or an error of its own choice (result.rc). *output stays NULL for no
 * output; else it points into memory of canp_process_alloc() (handed on as it is), into the input
 * (the same), or to a block of malloc(), which is copied once and freed. */
typedef int (*canp_process_fn)(void *input, size_t input_size, void **output, size_t *output_size,
			       void *user_data);

enum canp_process_outcome {
	CANP_PROCESS_OK,
	CANP_PROCESS_ERROR,     /* the function returned other than 0: rc */
	CANP_PROCESS_CANCELLED, /* -ECANCELED */
	CANP_PROCESS_TIMEOUT,   /* -ETIMEDOUT */
	CANP_PROCESS_CRASHED,   /* -EOWNERDEAD: its worker died of `signal`, or exited (signal 0) */
	CANP_PROCESS_RESOURCE,  /* -EDQUOT: killed by a limit (memory, CPU time), see message */
	CANP_PROCESS_SHUTDOWN,  /* -ESHUTDOWN: the pool stopped before it ran */
	CANP_PROCESS_BROKEN     /* -ENOTRECOVERABLE: workers keep dying, or the zygote is gone */
};

/* How a task ended. */
struct canp_process_result {
	enum canp_task_status status; /* COMPLETED or FAILED */
	enum canp_process_outcome outcome;
	int error; /* 0, -errno as above, or rc when the function failed */
	int rc;    /* what the function returned */
	/* Valid until the future is put, or canp_process_result_release() after a sync submit. */
	void *output_data;
	size_t output_size;
	int signal;       /* that killed the worker */
	pid_t worker_pid; /* 0: it never ran */
	uint64_t task_id;
	uint64_t submit_ns;        /* monotonic clock */
	uint64_t queue_ns, run_ns; /* waiting, running */
	struct canp_trace_ctx trace;
	char message[64];           /* what went wrong, "" */
	struct canp_future *future; /* private: keeps the output of a sync submit */
};

/* Everything one submission can say; zero is the default of each field. */
struct canp_process_task {
	canp_process_fn func;
	void *input_data; /* copied, unless it lies in payload memory */
	size_t input_size;
	void *user_data;
	enum canp_task_prio priority;
	uint32_t timeout_ms; /* from submit to end; 0: task_timeout of the pool */
	struct canp_trace_ctx trace;
	/* Called once after the end, on the supervisor's thread; it must not block. */
	void (*done)(struct canp_future *f, void *done_arg);
	void *done_arg;
};

/* Limits of the workers; zero: none. Cgroup limits hold for all workers of the pool together (a
 * group of its own below the caller's, version 2 or 1, whichever has the controller); rlimits and
 * the rest for each. */
struct canp_process_limits {
	uint64_t mem_max_bytes;               /* cgroup; who hits it is killed: RESOURCE */
	uint64_t cpu_quota_us, cpu_period_us; /* cgroup; period 0: 100000 */
	uint32_t pids_max;                    /* cgroup */
	uint64_t as_bytes;                    /* RLIMIT_AS */
	uint32_t cpu_s;                       /* RLIMIT_CPU: SIGXCPU is RESOURCE */
	uint32_t nofile;                      /* RLIMIT_NOFILE */
	bool no_core;                         /* RLIMIT_CORE 0 */
	bool no_new_privs;
	bool seccomp; /* only what computing needs: no new files, sockets, processes (EPERM) */
	/* Landlock: folders below which files may be read, or read and written; NULL-terminated.
	 * Either one set: everything else is refused. */
	const char *const *landlock_ro, *const *landlock_rw;
	bool required;           /* a limit that cannot be set: the worker does not start */
	const char *cgroup_root; /* NULL: /sys/fs/cgroup */
};

/* Which of them are in force, and why not the others. */
struct canp_process_limits_state {
	bool cgroup_v2, memory, cpu, pids, seccomp, landlock, no_new_privs;
	char path[256];   /* of the memory group, or of the one there is */
	char reason[128]; /* of the first one that could not be set; "" */
};

#define CANP_PROCESS_NO_SPIN UINT32_MAX

/* Zero is the default of each field. The first ten are those of the source document. */
struct canp_process_config {
	int worker_count;             /* workers at start; 0: CPUs we may use (affinity, quota) */
	int max_workers;              /* 0: twice worker_count when scaling, else worker_count */
	int min_workers;              /* 0: worker_count */
	int queue_size;               /* tasks waiting (not running); 0: 1024 */
	uint32_t worker_idle_timeout; /* ms until a worker above min_workers ends; 0: 10000 */
	uint32_t task_timeout;        /* ms, for tasks without their own; 0: none */
	bool enable_dynamic_scaling;
	bool enable_worker_affinity; /* worker i on the i-th CPU we may use */
	int log_level;               /* 0 errors .. 4 debug; PROCESS_POOL_LOG_LEVEL overrides */
	char pool_name[64];

	uint32_t futures;      /* ended tasks whose futures are held, besides; 0: 4096 */
	uint64_t shm_bytes;    /* payload memory of the caller, and of each worker; 0: 256 MiB
				  (address space: pages come with their first use) */
	uint32_t spin_us;      /* how long an idle worker, or a waiter, looks before it sleeps; 0:
				  auto; CANP_PROCESS_NO_SPIN */
	uint32_t heartbeat_ms; /* 0: 1000; workers with work are looked at this often */
	uint32_t cancel_grace_ms;   /* 0: 1000 */
	uint32_t stop_grace_ms;     /* from SIGTERM to SIGKILL at stop; 0: 1000 */
	uint32_t restart_max;       /* deaths in restart_window_ms that open the breaker; 0: 5 */
	uint32_t restart_window_ms; /* 0: 10000 */
	uint32_t max_tasks_per_worker, max_tasks_jitter; /* then it is replaced; 0: never */
	uint64_t max_worker_rss;                         /* bytes above its start; 0: never */
	uint64_t log_max_bytes; /* of the log file, then it is rotated; 0: never */
	uint32_t log_keep;      /* rotated files kept; 0: 5 */
	const struct canp_process_limits *limits; /* copied; its strings are borrowed */
	/* In each worker, at its start (not 0: it cannot start) and regular end. */
	int (*worker_init)(void *arg);
	void (*worker_fini)(void *arg);
	void *worker_arg;
	/* SIGTERM and SIGINT stop the pool gracefully (the second one at once), SIGHUP reads the
	 * environment again, SIGUSR1 reopens (rotates) the log, SIGUSR2 restarts the workers.
	 * Blocks them in the calling thread, so create the pool before other threads. */
	bool handle_signals;
	/* After each of these signals, on the supervisor's thread; may be NULL. */
	void (*on_signal)(int signo, void *arg);
	void *on_signal_arg;
	bool perf_counters;         /* cycles, instructions, cache misses per worker */
	bool trace;                 /* keep spans for canp_process_pool_trace_export() */
	bool hugepages;             /* payload memory in huge pages when there are enough */
	bool sync_ring;             /* the supervisor without io_uring, as where it is refused */
	struct canp_events *events; /* WORKER_START, _EXIT, _CRASH: id worker, a pid, b code */
};

/* Reserves the segment and forks the zygote; no worker runs yet. NULL config: defaults. Copies it.
 */
struct canp_process_pool *canp_process_pool_create(const struct canp_process_config *config);
/* Returns when worker_count workers are ready. -EALREADY; -ECHILD: workers cannot start. */
int canp_process_pool_start(struct canp_process_pool *pool);
/* Takes no more tasks, waits for those it has up to timeout_ms, ends the workers. -ETIMEDOUT: what
 * was left ended as SHUTDOWN, its workers by SIGTERM, then SIGKILL. It may be started again. */
int canp_process_pool_stop(struct canp_process_pool *pool, uint32_t timeout_ms);
/* Stops (at once) if need be and frees everything but the futures still held. NULL is allowed. */
void canp_process_pool_destroy(struct canp_process_pool *pool);
/* Replaces every worker, one after the other, each new one ready before its old one takes no more
 * tasks. 0; -ETIMEDOUT: an old one did not finish in time and was killed; -ECHILD: new ones do not
 * start, the rest of the old ones stay. */
int canp_process_pool_restart(struct canp_process_pool *pool, uint32_t timeout_ms);
/* Wants this many workers, within 1..max_workers; returns at once. */
int canp_process_pool_resize(struct canp_process_pool *pool, int workers);

/* Runs one task and waits for its end. Returns result->error. With a full queue it waits, too.
 * timeout_ms 0: the pool's. Put the output back with canp_process_result_release(). */
int canp_process_pool_submit_sync(struct canp_process_pool *pool, canp_process_fn func,
				  void *input_data, size_t input_size, void *user_data,
				  enum canp_task_prio priority, uint32_t timeout_ms,
				  struct canp_process_result *result);
/* Gives the output of a sync submit back. A result without output needs no release. */
void canp_process_result_release(struct canp_process_result *result);
/* NULL, errno: EAGAIN the queue is full; EINVAL; ESHUTDOWN; ENOTRECOVERABLE; ENOMEM payload. */
struct canp_future *canp_process_pool_submit_async(struct canp_process_pool *pool,
						   canp_process_fn func, void *input_data,
						   size_t input_size, void *user_data,
						   enum canp_task_prio priority,
						   uint32_t timeout_ms);
/* All or none. The array is the caller's: free() it after its futures were put. */
struct canp_future **canp_process_pool_submit_batch(struct canp_process_pool *pool,
						    struct canp_process_task *tasks, int count);
/* The same without malloc: futures [count], or NULL when nobody asks for the results. 0 or -errno.
 */
int canp_process_pool_submit_batch_into(struct canp_process_pool *pool,
					const struct canp_process_task *tasks, int count,
					struct canp_future **futures);

/* 0 and *result (may be NULL) when the task is over; -ETIMEDOUT: it goes on. timeout_ms 0: poll;
 * UINT32_MAX: for ever. Any number of times. */
int canp_process_future_wait(struct canp_future *future, struct canp_process_result *result,
			     uint32_t timeout_ms);
/* Index of one that is over, -ETIMEDOUT. Futures of one pool. */
int canp_process_future_wait_any(struct canp_future *const *futures, int count,
				 uint32_t timeout_ms);
/* 0: it will end as CANCELLED: at once when queued; a running one sees canp_process_cancelled(),
 * after cancel_grace_ms its worker is killed. -EALREADY: it is over. */
int canp_process_future_cancel(struct canp_future *future);
/* Gives the future and the output up; the task goes on. NULL is allowed. */
void canp_process_future_put(struct canp_future *future);
/* Many at once, which costs less than one by one. */
void canp_process_future_put_batch(struct canp_future *const *futures, int count);
/* By result.task_id; CANP_TASK_FREE when there is no such task any more. */
enum canp_task_status canp_process_task_status(struct canp_process_pool *pool, uint64_t task_id);

/* Payload memory: what the caller writes here is what the worker sees, without a copy. NULL and
 * ENOMEM. Aligned to 64. Not freed by the task's end. */
void *canp_process_pool_alloc(struct canp_process_pool *pool, size_t size);
void canp_process_pool_free(struct canp_process_pool *pool, void *p); /* NULL is allowed */
/* An eventfd that is readable once a task ended after the first call of this function; its value is
 * how many did. Reading it makes it unreadable again; it belongs to the pool. */
int canp_process_pool_fd(struct canp_process_pool *pool);

/* ---- inside a task ---- */
/* Memory for the output. NULL and ENOMEM. What is not returned as output is freed at the end. */
void *canp_process_alloc(size_t size);
/* Somebody asked for its end, or its time is over. */
bool canp_process_cancelled(void);
/* The task's context: a child span of what was submitted. All zero: none. */
void canp_process_trace(struct canp_trace_ctx *ctx);
/* Text for result.message, cut. */
void canp_process_message(const char *fmt, ...) CANP_PRINTF(1, 2);
/* Index of this worker, -1 outside of one. */
int canp_process_worker_index(void);

/* ---- watching ---- */
struct canp_process_stats {
	uint64_t tasks_submitted, tasks_completed, tasks_failed; /* failed: those below too */
	uint64_t tasks_cancelled, tasks_timed_out, tasks_crashed, tasks_rejected;
	double avg_task_time_ms;        /* running */
	double p50_us, p99_us, p999_us; /* submit to end */
	double queue_utilization;       /* percent */
	uint64_t queue_depth, queue_capacity;
	uint32_t workers, workers_busy, generation;
	uint64_t worker_restarts, wakes, batches, steals;
	uint64_t payload_bytes; /* in use by the caller */
	bool breaker_open;
};
/* Counters live in the segment: they survive workers and never go backwards. Callable in workers,
 * too. */
int canp_process_pool_stats(struct canp_process_pool *pool, struct canp_process_stats *stats);

struct canp_process_worker {
	int index;
	pid_t pid;
	uint32_t generation;
	bool busy;
	uint64_t tasks, run_ns;
	double cpu_percent; /* since the last call for this worker */
	uint64_t cpu_ns, rss_bytes;
	uint32_t open_fds;
	uint64_t cycles, instructions, cache_misses; /* at its last idle moment */
	int perf_error;                              /* why these are 0: -errno; 0: they count */
};
/* Live workers, at most max of them; reads /proc now. Returns how many: one that is just being
 * started or replaced is left out. A pid that is returned may have ended since. */
int canp_process_pool_workers(struct canp_process_pool *pool, struct canp_process_worker *workers,
			      int max);
void canp_process_pool_limits(struct canp_process_pool *pool,
			      struct canp_process_limits_state *state);
/* Writes the families canp_process_*; label pool. */
void canp_process_pool_metrics(struct canp_process_pool *pool, struct canp_metrics *m);

enum canp_process_log_level {
	CANP_PROCESS_LOG_ERROR,
	CANP_PROCESS_LOG_WARN,
	CANP_PROCESS_LOG_NOTICE,
	CANP_PROCESS_LOG_INFO,
	CANP_PROCESS_LOG_DEBUG
};
/* Takes effect in live workers at their next line. */
void canp_process_pool_set_log_level(struct canp_process_pool *pool, int level);
/* Appends from now on; NULL: standard error. -errno of open. */
int canp_process_pool_set_log_file(struct canp_process_pool *pool, const char *path);
/* path -> path.1 -> path.2 ..; no line is lost. */
int canp_process_pool_rotate_log(struct canp_process_pool *pool);
/* One line, one write: lines of all processes arrive whole. pool NULL inside a task: its own. */
void canp_process_log(struct canp_process_pool *pool, int level, const char *fmt, ...)
	CANP_PRINTF(3, 4);

/* Spans (submit, queue, run, complete) of tasks whose futures were put since the last export, of
 * both processes, one trace id a task: format "otlp" (JSON lines) or "chrome". Needs config.trace.
 */
int canp_process_pool_trace_export(struct canp_process_pool *pool, const char *path,
				   const char *format);

CANP_END_DECLS

#endif
