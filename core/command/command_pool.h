/*
 * command_pool.h - many external commands: a bounded queue, a limit on how many run at once, one
 * event loop per lane that starts and watches them. No thread waits for a command or a timeout.
 *
 * Who runs the loop: a service thread of the pool (default), the reactors of an executor (exec), or
 * the caller's own event loop (foreign: poll canp_cmd_pool_fd(), then canp_cmd_pool_dispatch()).
 *
 * A command's handle is a canp_future: wait, cancel, status, put are those of tasks. Its result is
 * canp_cmd_result() until the future is put. Any thread may call everything here unless said
 * otherwise; done and on_output run on the lane, must not block, and may submit.
 */
#ifndef CANP_COMMAND_COMMAND_POOL_H
#define CANP_COMMAND_COMMAND_POOL_H

#include "core/command/command.h"

CANP_BEGIN_DECLS

struct canp_metrics;
struct canp_cmd_pool;
struct canp_cmd_call;
struct canp_process_pool;

/* PROCESS: one lane starts one child per command. THREAD: each of `workers` lanes (threads, or the
 * reactors of exec) starts its share. RESIDENT: `workers` resident children start the commands. */
enum canp_cmd_mode { CANP_CMD_MODE_PROCESS, CANP_CMD_MODE_THREAD, CANP_CMD_MODE_RESIDENT };

/* How a command is carried out; the three modes are such tables (canp_cmd_backends). */
struct canp_cmd_backend {
	const char *name;
	int (*open)(struct canp_cmd_pool *p, void *arg, void **ctx); /* may be NULL */
	void (*close)(void *ctx);                                    /* may be NULL */
	/* On the lane. 0: it runs, canp_cmd_call_end() will come, from any thread; 1: it is over,
	 * the result is filled; -errno: it could not be started. */
	int (*start)(void *ctx, struct canp_cmd_call *c);
	void (*kill)(void *ctx, struct canp_cmd_call *c, int sig); /* may be NULL */
	void (*end)(void *ctx, struct canp_cmd_call *c); /* on the lane, after an end; or NULL */
};
extern const struct canp_cmd_backend *const canp_cmd_backends[3]; /* by mode */
const struct canp_cmd_spec *canp_cmd_call_spec(const struct canp_cmd_call *c);
struct canp_cmd_result *canp_cmd_call_result(struct canp_cmd_call *c);
/* Adds captured bytes (stream 1 or 2). Before the end, by one thread. */
void canp_cmd_call_output(struct canp_cmd_call *c, int stream, const void *data, size_t len);
void canp_cmd_call_end(struct canp_cmd_call *c);

struct canp_cmd_config {
	enum canp_cmd_mode mode;
	unsigned workers;           /* lanes or resident children; 0: by CPUs and quota */
	unsigned concurrency_limit; /* commands running at once; 0: workers */
	unsigned limit_max;         /* what canp_cmd_pool_set_limit() may reach; 0: as above */
	uint32_t max_size;          /* queue; 0: 1024 */
	uint32_t history;           /* status of so many ids is kept; 0: 131072 */
	uint32_t capture_max;       /* per stream; 0: CANP_CMD_CAPTURE_MAX */
	struct canp_exec *exec;     /* futures (and reactors) of somebody else; NULL: own futures */
	bool foreign;               /* the caller's event loop; one lane */
	const struct canp_cmd_backend *backend; /* NULL: of the mode */
	void *backend_arg;
};
/* Builders of the source document; each returns c. */
struct canp_cmd_config *canp_cmd_config_new(struct canp_cmd_config *c);
struct canp_cmd_config *canp_cmd_config_with_mode(struct canp_cmd_config *c, enum canp_cmd_mode m);
struct canp_cmd_config *canp_cmd_config_with_workers(struct canp_cmd_config *c, unsigned n);
struct canp_cmd_config *canp_cmd_config_with_concurrency_limit(struct canp_cmd_config *c,
							       unsigned n);

/* cfg NULL: defaults. Nothing runs before start. 0 or -errno. */
int canp_cmd_pool_create(const struct canp_cmd_config *cfg, struct canp_cmd_pool **out);
/* Stops (queued commands end as cancelled, running ones are killed) and frees everything when the
 * last future is put. Not on a lane. NULL is allowed. */
void canp_cmd_pool_destroy(struct canp_cmd_pool *p);
/* Starts the lanes. interval_ms: a lane looks again at least so often (0: only when woken). */
int canp_cmd_pool_start(struct canp_cmd_pool *p, uint32_t interval_ms);
/* What is queued: stays for the next start; is run first; ends as cancelled. */
enum canp_cmd_stop { CANP_CMD_STOP_KEEP, CANP_CMD_STOP_RUN, CANP_CMD_STOP_DROP };
/* Waits for running commands; after grace_ms (UINT32_MAX: never) they are killed. Not on a lane. */
int canp_cmd_pool_stop(struct canp_cmd_pool *p, enum canp_cmd_stop queued, uint32_t grace_ms);

/* push waits for room, try_push answers -EAGAIN; both copy the spec (a large argv or DATA is
 * allocated by the caller's thread). f NULL: nobody asks. -EINVAL, -E2BIG, -ESHUTDOWN, -ENOBUFS: as
 * many futures are held as the pool has records. */
int canp_cmd_push(struct canp_cmd_pool *p, const struct canp_cmd_spec *s, struct canp_future **f);
int canp_cmd_try_push(struct canp_cmd_pool *p, const struct canp_cmd_spec *s,
		      struct canp_future **f);
/* All n or none (-EAGAIN), one wake-up. */
int canp_cmd_push_batch(struct canp_cmd_pool *p, const struct canp_cmd_spec *s, unsigned n,
			struct canp_future **fs);
/* Takes the next queued command out, unrun, for the caller to give back (to the end of the queue)
 * or to end as cancelled; then its future is put as always. NULL: empty. The spec lives as long. */
struct canp_future *canp_cmd_pop(struct canp_cmd_pool *p, const struct canp_cmd_spec **s);
int canp_cmd_repush(struct canp_cmd_pool *p, struct canp_future *f);
int canp_cmd_discard(struct canp_cmd_pool *p, struct canp_future *f);

/* The result once the future is over, NULL before; valid until it is put. */
const struct canp_cmd_result *canp_cmd_result(const struct canp_future *f);
uint64_t canp_cmd_id(const struct canp_future *f);
/* By id, also after the future was put, for the last `history` ids. *error: why it failed. */
enum canp_cmd_status canp_cmd_id_status(const struct canp_cmd_pool *p, uint64_t id, int *error);

/* Foreign loop: readable means dispatch, which returns how much it did. -EINVAL otherwise. */
int canp_cmd_pool_fd(const struct canp_cmd_pool *p);
int canp_cmd_pool_dispatch(struct canp_cmd_pool *p);
int canp_cmd_pool_set_limit(struct canp_cmd_pool *p, unsigned limit);

/* The worker processes of mode RESIDENT (size, pids, health: core/process/process.h); else NULL. */
struct canp_process_pool *canp_cmd_pool_workers(const struct canp_cmd_pool *p);

struct canp_cmd_stats {
	struct canp_exec_stats tasks; /* of the futures: completed + failed + live = total */
	uint32_t queued, queue_max, max_size, running, running_max, limit, lanes, records_used;
	uint64_t spawned, spawn_failed, timed_out, cancelled, killed, spawn_ns, spawn_max_ns;
	bool started;
	enum canp_cmd_mode mode;
};
void canp_cmd_pool_stats(const struct canp_cmd_pool *p, struct canp_cmd_stats *st);
/* Families canp_cmd_*; between canp_metrics_init() and finish(). */
void canp_cmd_pool_metrics(const struct canp_cmd_pool *p, struct canp_metrics *m);

CANP_END_DECLS

#endif
