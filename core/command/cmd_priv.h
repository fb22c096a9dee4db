/*
 * cmd_priv.h - inside of the command pool.
 *
 *   call    one command: a record of the pool's slab with its spec, its result and room for what is
 *           captured. Two references: whoever carries it (queue or lane), and its future.
 *   lane    one event loop: an epoll set with the children's pidfds and pipes, a timerfd for all
 * its deadlines and an eventfd to wake it. The set is itself a descriptor, which is how a service
 * thread, a reactor's ring and a foreign loop drive the same code.
 *
 * Who may touch a call: the submitter until it is pushed, then the lane that took it. A canceller
 * goes through the future: it ends a queued command by itself, the queue's consumer finds that out;
 * for a command that a lane has it sends the lane the record's number.
 *
 * Sleeping (store, then look, on both sides): a submitter pushes and looks at `sleeping`; a lane
 * sets `sleeping` and looks into the queues.
 */
#ifndef CANP_COMMAND_CMD_PRIV_H
#define CANP_COMMAND_CMD_PRIV_H

#include <pthread.h>

#include "core/base/list.h"
#include "core/base/units.h"
#include "core/command/cmd_capture.h"
#include "core/command/cmd_queue.h"
#include "core/command/cmd_spawn.h"
#include "core/command/command_pool.h"
#include "core/runtime/reactor.h"

#define CMD_LANES_MAX   64u
#define CMD_RECORDS_MAX (1u << 18)
#define CMD_LIMIT_MAX   16384u
#define CMD_RECORD      8192u /* bytes: the call, the rest is text of small specs */
#define CMD_PATH_BYTES  4096u
#define CMD_ENV_MAX     4000u /* variables */
/* Of each command that runs: stack of the child, its environment array, the program's path. */
#define CMD_RUN_BYTES (CMD_STACK_BYTES + 16 * CMD_PATH_BYTES)

enum cmd_state {
	CMD_NEW,
	CMD_QUEUED,
	CMD_INBOX, /* on its way to a lane's timers */
	CMD_WAITING,
	CMD_ACTIVE,
	CMD_OVER
};

struct canp_cmd_call {
	uint32_t next_free; /* atomic: index + 1; stays when the rest is cleared */
	struct canp_cmd_pool *pool;
	struct canp_future *f;
	uint32_t index, refs;       /* refs atomic */
	bool held;                  /* somebody else puts the future */
	bool cancel_sent, end_sent; /* atomic */
	enum cmd_state state;
	struct cmd_lane *lane;     /* atomic */
	struct canp_cmd_spec spec; /* its own copy */
	char **argv;
	char *big; /* what did not fit into the record */
	struct canp_cmd_result r;
	struct cmd_capture cap[2];
	/* while it runs */
	struct canp_list link;
	struct canp_timer timer; /* start, time-out or grace */
	enum canp_cmd_error reason;
	bool kill_sent;
	uint32_t run;
	int pidfd, pipes[2];
	struct cmd_spawn sp;
	struct canp_future *task; /* mode resident */
	void *request;
	const char *const *envp;
	char id_text[64], trace_text[80]; /* of its environment */
};

struct cmd_lane {
	struct canp_cmd_pool *pool;
	unsigned index;
	int ep, tfd, efd;
	uint32_t sleeping; /* atomic */
	bool quit;         /* atomic */
	bool live;         /* atomic; somebody takes its turns */
	/* The pool's `stopping` that its last turn saw: from then on it begins no command that this
	 * forbids. Before, it may have one in its hands that nobody counts. Atomic. */
	uint32_t stop_seen;
	bool running_thread, attached, kills_sent;
	pthread_t thread;
	pid_t pid; /* of this process */
	struct canp_shard *shard;
	struct canp_ring_op poll;
	struct canp_timer **timers;
	unsigned nr_timers;
	uint64_t armed_ns; /* what the timerfd is set to; UINT64_MAX: not */
	struct canp_timer tick;
	struct canp_list active, waiting;
	uint32_t nr_active; /* atomic: others read */
	uint32_t share, nr_free;
	uint32_t *free;               /* [share] run slots */
	struct canp_cmd_call **calls; /* [share] by run slot */
	uint32_t *gens;               /* [share] */
	char *runs;                   /* [share] CMD_RUN_BYTES */
	struct canp_cmd_queue *inbox, *cancels, *ended;
	const cpu_set_t *affinity; /* of the children, NULL: as the lane */
	char *path_of;             /* [256] last program found ... */
	char *path_env;            /* [CMD_PATH_BYTES] ... in this PATH ... */
	char *path;                /* [CMD_PATH_BYTES] ... here */
	char *scratch;             /* CMD_SCRATCH */
	void *map;
	size_t map_bytes;
};
#define CMD_SCRATCH 65536u

struct canp_cmd_pool {
	struct canp_cmd_config cfg;
	const struct canp_cmd_backend *be;
	void *be_ctx;
	struct canp_exec *ex;
	bool own_exec;
	unsigned nr_lanes;
	struct cmd_lane *lanes[CMD_LANES_MAX];
	uint32_t nr_records;
	size_t stride, slab_bytes;
	char *slab;
	struct canp_cmd_queue *q[CANP_PRIO_NR];
	uint64_t free_head; /* atomic: records given back, last first: tag << 32 | index + 1 */
	uint32_t fresh;     /* atomic: records ever used */
	uint64_t *track;    /* id << 20 | errno << 4 | status */
	uint32_t track_mask;
	uint32_t refs;      /* atomic: the pool and its records out */
	bool started, gone; /* gone: no submits any more (atomic) */
	uint32_t interval_ms;
	int null_fd;
	cpu_set_t affinity;
	uint64_t cookie; /* makes CANP_CMD_ID unique */
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	/* atomic, written by many */
	CANP_ALIGNED(CANP_CACHELINE) uint32_t queued;
	uint32_t queue_max, room_waiters, room_seq, next_lane;
	uint64_t next_id;
	CANP_ALIGNED(CANP_CACHELINE) uint32_t running;
	uint32_t running_max, limit, stopping, kill_all; /* stopping: 1 + enum canp_cmd_stop */
	uint64_t spawned, spawn_failed, timed_out, cancelled, killed, spawn_ns, spawn_max_ns;
};

static inline struct canp_cmd_call *cmd_call_at(const struct canp_cmd_pool *p, uint32_t i)
{
	return (struct canp_cmd_call *)(p->slab + (size_t)i * p->stride);
}
static inline void cmd_add(uint64_t *v, uint64_t n)
{
	__atomic_fetch_add(v, n, __ATOMIC_RELAXED);
}

/* ---- cmd_spec.c ---- */
int canp_cmd_spec_check(const struct canp_cmd_pool *p, const struct canp_cmd_spec *s);
/* Copies s into the call. -ENOMEM, -E2BIG. */
int canp_cmd_spec_copy(struct canp_cmd_call *c, const struct canp_cmd_spec *s);
/* The environment array of the child in room for CMD_ENV_MAX + 1 pointers. -E2BIG. */
int canp_cmd_env(struct canp_cmd_call *c, char **envp);
const char *canp_cmd_env_get(const char *const *env, const char *name);
/* Where the program is, in lane->path or the spec's own argument. NULL: nowhere. */
const char *canp_cmd_path(struct cmd_lane *l, const struct canp_cmd_spec *s);

/* ---- cmd_submit.c: records, queue, status ---- */
void canp_cmd_track(struct canp_cmd_pool *p, uint64_t id, enum canp_cmd_status st, int error);
/* The next queued record, NULL when empty. */
struct canp_cmd_call *canp_cmd_take(struct canp_cmd_pool *p);
/* A record whose start has come, into the queue without asking for room. */
void canp_cmd_enqueue(struct canp_cmd_call *c);
void canp_cmd_unref(struct canp_cmd_call *c);
void canp_cmd_pool_unref(struct canp_cmd_pool *p);
extern const struct canp_extern_ops canp_cmd_extern_ops;

/* ---- cmd_lane.c ---- */
int canp_cmd_lane_create(struct canp_cmd_pool *p, unsigned index, uint32_t share,
			 struct cmd_lane **out);
void canp_cmd_lane_destroy(struct cmd_lane *l);
/* The calling thread is the lane's from now on. */
int canp_cmd_lane_enter(struct cmd_lane *l);
/* One turn: waits up to wait_ms (-1: for ever) and does what there is to do; returns how much. */
int canp_cmd_lane_turn(struct cmd_lane *l, int wait_ms);
void canp_cmd_kick(struct cmd_lane *l);
/* Wakes up to n lanes that sleep and have room. */
void canp_cmd_kick_some(struct canp_cmd_pool *p, uint32_t n);
/* Sets or moves the call's deadline; 0 takes it away. */
void canp_cmd_deadline(struct canp_cmd_call *c, uint64_t at_ns, void (*fn)(struct canp_timer *t));

/* ---- cmd_call.c ---- */
/* The call is this lane's now, with a permit: starts it, or ends it (false) when it is over. */
bool canp_cmd_begin(struct cmd_lane *l, struct canp_cmd_call *c);
/* Asks for the end of a running call: SIGTERM now, SIGKILL after its grace. */
void canp_cmd_interrupt(struct canp_cmd_call *c, enum canp_cmd_error reason);
/* A call that did not run (as its result says) or has just ended. */
void canp_cmd_finish(struct canp_cmd_call *c);
/* A call that never ran, or will not run again. */
void canp_cmd_drop(struct canp_cmd_call *c, enum canp_cmd_error why, int error);
/* What others sent to the lane: one that is due later, a cancel, an end (other backends). */
void canp_cmd_schedule(struct cmd_lane *l, struct canp_cmd_call *c);
void canp_cmd_cancel(struct cmd_lane *l, struct canp_cmd_call *c);
void canp_cmd_over(struct canp_cmd_call *c);

/* ---- cmd_process.c: the backend of modes process and thread ---- */
extern const struct canp_cmd_backend canp_cmd_process, canp_cmd_thread, canp_cmd_resident;
void canp_cmd_process_event(struct canp_cmd_call *c, unsigned what);
/* Signal to the group; with tree, to descendants that left it too. */
void canp_cmd_kill_group(struct canp_cmd_call *c, int sig, bool tree);

/* ---- cmd_kill.c ---- */
/* Signals every process that has `id` ("CANP_CMD_ID=...") in its environment, in a few rounds;
 * returns how many. */
unsigned canp_cmd_kill_tree(const char *id, int sig);

#endif
