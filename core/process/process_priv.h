/*
 * process_priv.h - inside of the process pool, shared by process*.c.
 *
 *   segment  struct proc_shm, a sealed memfd mapped at one address in all processes: slots, their
 *            cold parts, the table of workers with four rings each (one per priority), counters.
 *   payload  a second memfd: one heap for the caller, one for each worker (process_heap.c).
 *   pool     struct canp_process_pool, private memory: what only the creating process decides, and
 *            in its children a copy of the time of the fork (constants only).
 *
 * Who may do what. Rings have one producer, whoever holds pool->lock, and one consumer, the worker
 * of that entry; after a worker died its successor in the same entry is the consumer, so what waits
 * in the rings needs no rescue. Who wants to run a task must win PENDING -> RUNNING on its word and
 * puts the number of its entry there in the same step; an idle worker looks into the rings of
 * others and claims there, the entry that stays behind is recognised as stale by its owner.
 *
 * Death at any instruction. A worker notes the task in `cur` before it claims and leaves it there
 * until it has published the end. So after a death the supervisor finds at most one task, and knows
 * from the word whether it was claimed and from `counted` whether its result was complete.
 *
 * A slot is free again when it is over, its future was put (HELD) and no worker is busy with it
 * (BUSY stays set when a task ends by its time limit before its function returned).
 */
#ifndef CANP_PROCESS_PRIV_H
#define CANP_PROCESS_PRIV_H

#include <pthread.h>
#include <signal.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/hist.h"
#include "core/base/spsc.h"
#include "core/base/stat.h"
#include "core/base/units.h"
#include "core/process/process.h"
#include "core/runtime/future.h"

#define PROC_ENTRIES_MAX 256u
#define PROC_TINY        24u
#define PROC_INLINE      192u
#define PROC_MAPS_MAX    256u
#define PROC_BATCH_MAX   4096
#define PROC_TRACE_MAX   8192u

/* The word, besides the bits of future.h. */
#define PW_PRIO_SHIFT   13u
#define PW_WORKER_SHIFT 16u
#define PW_BUSY         (1u << 24) /* a worker is in its function */
#define PW_NOTIFY       (1u << 25) /* its end kicks the supervisor */
#define PW_OUT_SHIFT    26u        /* enum canp_process_outcome, 3 bits */
#define PW_REFS         (CANP_FUTURE_HELD | PW_BUSY | CANP_FUTURE_DONE)

enum {
	PF_IN_CHUNK = 1,  /* input was copied into a chunk of ours */
	PF_OUT_CHUNK = 2, /* output is a chunk of the worker */
	PF_COLD = 4,      /* the cold part is used */
	PF_TRACE = 8,
	PF_MESSAGE = 16,
	PF_RAN = 32
};

struct proc_slot {
	uint64_t word;
	canp_process_fn fn;
	void *user;
	void *in;
	const struct canp_future_ops *ops; /* of the pool */
	void *out;
	uint32_t in_size, out_size;
	int32_t rc;
	uint8_t flags, signo; /* flags: the runner's while BUSY */
	uint16_t spare;
	/* second line */
	uint64_t created_ns, started_ns, ended_ns, deadline_ns;
	int32_t pid;
	uint32_t index;
	uint8_t tiny[PROC_TINY]; /* small input, then small output */
} CANP_ALIGNED(128);
CANP_STATIC_ASSERT(sizeof(struct proc_slot) == 128, "two lines");
CANP_STATIC_ASSERT(offsetof(struct proc_slot, ops) == CANP_FUTURE_OPS_AT, "see future.h");

struct proc_cold {
	struct canp_trace_ctx trace, parent; /* of the task; what was submitted */
	char message[64];
	void (*done)(struct canp_future *f, void *done_arg);
	void *done_arg;
	uint8_t data[PROC_INLINE];
};

enum proc_state {
	PE_FREE,
	PE_STARTING,
	PE_READY,
	PE_DEAD /* reaped; the supervisor has not dealt with it */
};

struct proc_entry {
	struct canp_spsc q[CANP_PRIO_NR];
	/* the doorbell: 1 while the worker sleeps or is about to; futex */
	CANP_ALIGNED(128) uint32_t armed;
	uint32_t stop; /* run what waits in the rings, then end */
	/* the worker's, read by the parent when it chooses */
	CANP_ALIGNED(128) uint64_t cur; /* the future it is busy with, 0 */
	uint64_t cur_n;                 /* which claim of this worker that is */
	uint64_t claimed, counted;
	uint64_t popped; /* entries taken out of its rings */
	uint32_t cur_outcome;
	uint32_t turns;    /* changes when it does something */
	uint64_t idle_ns;  /* when it ran out of work; 0: it has some */
	uint64_t taken_ns; /* when it took what it is busy with */
	/* counters: of all workers there ever were in this entry */
	CANP_ALIGNED(128) struct canp_stat completed;
	struct canp_stat failed, cancelled, timed_out, run_ns, steals, cycles, instructions,
		cache_misses;
	int32_t perf_error;
	/* state */
	CANP_ALIGNED(128) uint32_t state; /* enum proc_state */
	int32_t pid;
	int32_t exit_code;   /* si_code of waitid */
	int32_t exit_status; /* si_status */
	uint32_t generation;
	uint64_t born_tasks; /* claimed when it started */
	uint64_t born_rss;
	uint64_t ready_ns;
	uint32_t recycle;      /* it had its tasks or grew too large */
	struct canp_hist hist; /* submit to end, ns */
};

struct proc_shm {
	uint32_t log_level, log_generation;
	uint32_t quit;
	uint32_t kicked;
	uint32_t room_waiters, room_seq;
	uint32_t notify_on, any_seq, any_waiters;
	int32_t zygote_pid;
	char log_path[256];
	struct canp_process_limits_state limits;
	/* the parent's counters, under the lock */
	CANP_ALIGNED(128) struct canp_stat submitted;
	struct canp_stat rejected, cancelled, timed_out, crashed, dropped, ended_here, restarts,
		wakes, batches, payload_bytes;
	uint32_t generation, breaker;
	struct proc_entry entries[];
};

/* What the supervisor knows about an entry; under the lock. */
struct proc_watch {
	bool live;     /* tasks may be pushed */
	bool retiring; /* told to stop */
	bool old;      /* to be replaced */
	bool extra;    /* started to replace another one */
	bool seen;     /* ready, and the supervisor knows */
	uint64_t given;
	uint64_t kill_at_ns; /* 0: no */
	uint64_t kill_n;     /* the claim that is for */
	bool killed;         /* by us: no reason for the breaker */
	uint32_t beat_turns, misses;
	uint64_t beat_given;
	uint64_t cpu_ns, cpu_at_ns; /* of the last canp_process_pool_workers() */
};

struct proc_span {
	struct canp_trace_ctx trace, parent;
	uint64_t id, submit_ns, start_ns, end_ns;
	pid_t pid;
	uint8_t outcome;
};

enum proc_life { PL_CREATED, PL_RUNNING, PL_STOPPING, PL_DESTROYED };

struct canp_process_pool {
	struct canp_future_ops ops; /* first: a slot's ops is the pool */
	struct canp_process_config cfg;
	struct canp_process_limits limits;
	struct proc_shm *shm;
	struct proc_slot *slots;
	struct proc_cold *cold;
	char *payload;
	size_t shm_bytes, region_bytes, payload_bytes;
	unsigned nr_entries, nr_slots, ring_slots;
	unsigned nr_cpus;
	int cpus[PROC_ENTRIES_MAX]; /* affinity */
	unsigned nr_maps, map_hint;
	struct {
		uintptr_t from, to;
	} maps[PROC_MAPS_MAX]; /* what could be executed at the fork */
	int ctl_fd, kick_fd, notify_fd, zygote_fd, signal_fd, log_fd;
	pid_t pid, zygote;
	sigset_t old_mask;
	char cgroup[3][256]; /* made by us: memory, cpu, pids (version 2: the first) */
	unsigned nr_cgroups;

	pthread_mutex_t lock; /* everything below */
	enum proc_life life;
	uint32_t *free_slots;
	unsigned nr_free, fresh;
	uint32_t *orphans; /* put before they were over */
	unsigned nr_orphans;
	uint32_t *notify; /* tasks with `done` */
	unsigned nr_notify;
	uint64_t room;        /* tasks that are accepted without counting again */
	unsigned last;        /* entry */
	uint64_t wake_at_ns;  /* when the supervisor looks again */
	uint64_t deadline_ns; /* of the earliest task, or earlier */
	bool grow_asked, parent_heap_ready;
	unsigned want, held, nr_live;
	unsigned spins; /* of a waiter */
	struct proc_watch watch[PROC_ENTRIES_MAX];
	uint32_t log_seen;
	unsigned log_users;

	/* the supervisor's */
	pthread_t thread;
	bool thread_on, zygote_dead;
	uint32_t events_seq; /* futex: something changed */
	uint64_t deaths_ns[64];
	unsigned nr_deaths;
	uint64_t breaker_until_ns;
	uint64_t beat_at_ns, scale_at_ns, idle_at_ns;
	uint32_t roll_to;
	int roll_new, roll_failed;
	bool roll_kill;
	unsigned roll_left;
	int start_failed;
	uint64_t oom_seen;
	unsigned terms;                    /* SIGTERMs seen */
	uint64_t stop_at_ns, stop_from_ns; /* when patience ends; when it did */
	bool stop_quit, stop_term, stop_kill, stop_late;
	unsigned nr_alive; /* entries that are not free; lock */

	pthread_mutex_t admin; /* start, stop, restart */
	pthread_mutex_t log_lock;
	struct proc_span *spans; /* under the lock */
	unsigned nr_spans;
	uint64_t spans_lost;
};

/* ---- words ---- */
static inline unsigned proc_runner(uint64_t w)
{
	return (unsigned)w >> PW_WORKER_SHIFT & 255u;
}
static inline unsigned proc_outcome(uint64_t w)
{
	return (unsigned)w >> PW_OUT_SHIFT & 7u;
}
static inline struct canp_process_pool *proc_pool_of(const struct proc_slot *s)
{
	return (struct canp_process_pool *)s->ops;
}
static inline struct proc_cold *proc_cold_of(const struct canp_process_pool *p,
					     const struct proc_slot *s)
{
	return &p->cold[s - p->slots];
}
static inline void proc_set32(uint32_t *v, uint32_t to)
{
	__atomic_store_n(v, to, __ATOMIC_RELEASE);
}
static inline uint32_t proc_get32(const uint32_t *v)
{
	return __atomic_load_n(v, __ATOMIC_ACQUIRE);
}
static inline void proc_set64(uint64_t *v, uint64_t to)
{
	__atomic_store_n(v, to, __ATOMIC_RELEASE);
}
static inline uint64_t proc_get64(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_ACQUIRE);
}

/* ---- process_seg.c ---- */
int canp_process_seg_map(struct canp_process_pool *p);
void canp_process_seg_unmap(struct canp_process_pool *p);
int canp_process_seg_maps(struct canp_process_pool *p); /* reads /proc/self/maps */
bool canp_process_seg_code(struct canp_process_pool *p, canp_process_fn fn);
/* Futexes between processes; end_ns UINT64_MAX: for ever. 0 or -errno. */
int canp_process_futex_wait(uint32_t *word, uint32_t value, uint64_t end_ns);
void canp_process_futex_wake(uint32_t *word, int nr);
/* Wakes the supervisor; any process. */
void canp_process_kick(struct canp_process_pool *p);

/* ---- process_heap.c: region 0 is the caller's, under its lock; i + 1 belongs to entry i ---- */
void canp_process_heap_init(struct canp_process_pool *p, unsigned region);
void *canp_process_heap_alloc(struct canp_process_pool *p, unsigned region, size_t size);
void canp_process_heap_free(struct canp_process_pool *p, void *data); /* any process */
/* Owner: what it handed on stays when it dies. */
void canp_process_heap_hand(struct canp_process_pool *p, unsigned region, void *data);
/* Frees what a task that ended, or a dead worker, left behind and had not handed on. */
void canp_process_heap_sweep(struct canp_process_pool *p, unsigned region, bool dead);
bool canp_process_heap_holds(const struct canp_process_pool *p, const void *data);
/* data is the start of a live chunk that region's owner has not handed on. */
bool canp_process_heap_is_chunk(const struct canp_process_pool *p, unsigned region,
				const void *data);

/* ---- process_submit.c, process_future.c: under the lock where it says so ---- */
struct proc_slot *canp_process_slot_get(struct canp_process_pool *p);                     /* lock */
void canp_process_slot_put(struct canp_process_pool *p, struct proc_slot *s, uint64_t w); /* lock */
uint64_t canp_process_queued(const struct canp_process_pool *p);
void canp_process_push(struct canp_process_pool *p, unsigned entry, void *f,
		       unsigned prio); /* lock */
void canp_process_bell(struct canp_process_pool *p, unsigned entry);
/* Ends a task that did not, or no longer, run in a worker: wins it from state `from`. False: it was
 * somebody else's. Wakes waiters. */
bool canp_process_end(struct canp_process_pool *p, struct proc_slot *s, uint64_t w, unsigned from,
		      enum canp_process_outcome out); /* lock */
/* After a task ended: whoever waits for it, for any, or for a descriptor. Any process. */
void canp_process_ended(struct canp_process_pool *p, struct proc_slot *s, uint64_t w);
unsigned canp_process_orphans(struct canp_process_pool *p); /* lock */
void canp_process_future_ops(struct canp_future_ops *ops);
void canp_process_free(struct canp_process_pool *p); /* process.c: the last future was put */

/* What the calling process is when it is a worker. */
struct proc_self {
	struct canp_process_pool *p; /* NULL: it is none */
	struct proc_entry *e;
	struct proc_slot *s; /* of the running task */
	unsigned entry;
	uint64_t now_ns;          /* clock as last read */
	unsigned group, grouped;  /* tasks for one look at the clock */
	bool more;                /* the next one is there */
	uint64_t age_ns, look_ns; /* when it looks at waiting times, at other workers */
	uint64_t life;            /* tasks it may run; 0: any number */
	int perf_fd[3];
};
extern struct proc_self canp_process_self;

/* ---- process_run.c: in a worker ---- */
/* Runs the next task; false: there is none. */
bool canp_process_run_next(struct proc_self *w);
bool canp_process_run_other(struct proc_self *w); /* one that waits for another worker */

/* ---- process_worker.c, process_zygote.c ---- */
CANP_NORETURN void canp_process_worker_main(struct canp_process_pool *p, unsigned entry);
int canp_process_zygote_start(struct canp_process_pool *p);
void canp_process_zygote_stop(struct canp_process_pool *p);
int canp_process_zygote_spawn(struct canp_process_pool *p, unsigned entry);
int canp_process_zygote_kill(struct canp_process_pool *p, unsigned entry, int signo);

/* ---- process_super.c, process_scale.c ---- */
int canp_process_super_start(struct canp_process_pool *p);
void canp_process_super_join(struct canp_process_pool *p);
/* Takes no more tasks and lets the workers finish; at_ns: when patience ends. */
void canp_process_stop_begin(struct canp_process_pool *p, uint64_t at_ns); /* lock */
/* Waits until something changed after seq was read from events_seq; -ETIMEDOUT. */
int canp_process_wait_change(struct canp_process_pool *p, uint32_t seq, uint64_t end_ns);
uint64_t canp_process_next_scale(const struct canp_process_pool *p); /* lock */
void canp_process_changed(struct canp_process_pool *p);
int canp_process_spawn(struct canp_process_pool *p, unsigned entry, bool extra);      /* lock */
int canp_process_free_entry(const struct canp_process_pool *p);                       /* lock */
void canp_process_retire(struct canp_process_pool *p, unsigned entry);                /* lock */
void canp_process_scale(struct canp_process_pool *p, uint64_t now_ns);                /* lock */
void canp_process_roll(struct canp_process_pool *p, uint64_t now_ns);                 /* lock */
void canp_process_dead(struct canp_process_pool *p, unsigned entry, uint64_t now_ns); /* lock */
void canp_process_fail_pending(struct canp_process_pool *p,
			       enum canp_process_outcome out);          /* lock */
unsigned canp_process_active(const struct canp_process_pool *p);        /* lock */
void canp_process_beat(struct canp_process_pool *p, uint64_t now_ns);   /* lock */
void canp_process_wake_by(struct canp_process_pool *p, uint64_t at_ns); /* lock */

/* ---- process_limit.c, process_cgroup.c ---- */
int canp_process_cgroup_make(struct canp_process_pool *p);
void canp_process_cgroup_remove(struct canp_process_pool *p);
int canp_process_cgroup_join(struct canp_process_pool *p); /* worker */
uint64_t canp_process_cgroup_ooms(struct canp_process_pool *p);
int canp_process_limits_apply(struct canp_process_pool *p); /* worker */

/* ---- process_log.c, process_trace.c ---- */
/* Level of PROCESS_POOL_LOG_LEVEL, -1 when there is none or it is none. */
int canp_process_log_env(void);
void canp_process_log_close(struct canp_process_pool *p);
void canp_process_log_size(struct canp_process_pool *p);
void canp_process_span(struct canp_process_pool *p, const struct proc_slot *s,
		       uint64_t w); /* lock */
void canp_process_emit(struct canp_process_pool *p, unsigned type, unsigned entry, uint64_t a,
		       uint64_t b);

#endif
