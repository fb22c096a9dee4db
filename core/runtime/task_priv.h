/*
 * task_priv.h - inside of tasks and executors, shared by task*.c and exec.c.
 *
 *   slot    struct task_slot, 128 bytes, plus a cold part that few tasks touch. A 64-bit word holds
 *           the generation (upper half) and the status word, the futex of the future (lower half).
 *   handle  what a future pointer is: the slot's address with 23 bits of its generation in the bits
 *           that an aligned user address leaves free. Lanes and queues carry handles.
 *   port    a thread's access to an executor: free slots, one SPSC lane per shard, counters with
 *           one writer.
 *   shard   a reactor's class queues, timers and mail.
 *
 * Claiming. A task is in one lane or class queue of one shard, its owner. Whoever wants it - the
 * owner, an idle reactor that looks into the owner's queues, a canceller, a timer - must win the
 * CAS PENDING -> RUNNING on the slot's word; the generation in that word makes a handle that was
 * left behind in a queue harmless. So nothing is lost (the owner meets every entry) and nothing
 * runs twice.
 *
 * Freeing. Bits of the word count who still needs the slot: HELD the future, DONE the continuation,
 * TIMED the owner's timer. Whoever takes the last one away after the end frees the slot.
 *
 * Sleeping (store, then look, on both sides): a submitter pushes, fences, looks at `armed`; an idle
 * shard sets `armed`, fences, looks into its lanes and mail.
 */
#ifndef CANP_RUNTIME_TASK_PRIV_H
#define CANP_RUNTIME_TASK_PRIV_H

#include <pthread.h>

#include "core/base/assert.h"
#include "core/base/spsc.h"
#include "core/base/units.h"
#include "core/runtime/future.h"
#include "core/runtime/reactor.h"
#include "core/runtime/shard.h"
#include "core/runtime/task.h"

#define TASK_SHARDS_MAX 256u
#define TASK_PORTS_MAX  64u /* foreign threads at the same time; reactors have their own */
#define TASK_LANE       1024u
#define TASK_CHUNK_MAX  64u
#define TASK_NONE       UINT32_MAX
#define TASK_NO_SHARD   UINT16_MAX
#define TASK_WORDS      (TASK_SHARDS_MAX / 64)

/* The status word. */
#define TS_STATUS     CANP_FUTURE_STATUS
#define TS_CANCEL     CANP_FUTURE_CANCEL
#define TS_TIMEOUT    CANP_FUTURE_TIMEOUT
#define TS_WAITERS    CANP_FUTURE_WAITERS
#define TS_HELD       CANP_FUTURE_HELD
#define TS_TIMED      CANP_FUTURE_TIMED
#define TS_DONE       CANP_FUTURE_DONE
#define TS_PINNED     512u  /* to its owner */
#define TS_SCHED      1024u /* not due yet */
#define TS_TYPE_SHIFT 11u
#define TS_PRIO_SHIFT 13u
#define TS_EXTERN     0x10000u /* no task: task_extern.c */
#define TS_REFS       (TS_HELD | TS_TIMED | TS_DONE)

enum { TASK_FLAG_TRACE = 1, TASK_FLAG_MESSAGE = 2 };

struct task_slot {
	uint64_t word;
	union {
		canp_task_fn fn;
		const struct canp_extern_ops *ext;
	};
	void *arg;
	uint64_t created_ns;
	union {
		void (*done)(struct canp_future *f, void *done_arg);
		const struct canp_future_ops *ops; /* of a foreign slot */
	};
	void *done_arg;
	uint32_t next;  /* free list or mail */
	uint16_t owner; /* shard whose lane or queue it went into */
	uint16_t home;  /* shard of the continuation; TASK_NO_SHARD: where it ends */
	int32_t error;
	uint16_t ran; /* shard */
	uint8_t nr_blocks, flags;
	/* second line: tasks with blocks or a future */
	struct canp_block *blocks[CANP_TASK_BLOCKS_MAX];
	struct canp_exec *ex;
	uint64_t started_ns, run_ns;
	uint32_t chunk_next, chunk_n; /* of a free slot that leads a chunk */
} CANP_ALIGNED(128);
CANP_STATIC_ASSERT(sizeof(struct task_slot) == 128, "two lines");
CANP_STATIC_ASSERT(offsetof(struct task_slot, ops) == CANP_FUTURE_OPS_AT, "see future.h");

struct task_cold {
	struct canp_timer timer; /* the owner's, as long as TIMED is set */
	uint64_t start_at_ns, end_by_ns;
	struct canp_trace_ctx trace;
	char message[CANP_TASK_MESSAGE_BYTES];
};

/* Counters with one writer and a sequence number that makes them one snapshot. */
struct task_counts {
	uint64_t seq;
	uint64_t submitted[CANP_TASK_NR_TYPES], blocks_in, dones_in, wakes, batches;
	uint64_t completed, failed, cancelled, timed_out, ran, run_ns, blocks_out, recycled,
		dones_out;
};

struct task_lane {
	struct canp_spsc q;
	CANP_ALIGNED(CANP_CACHELINE) uint32_t seen; /* index before which nothing can be claimed */
	void *slots[TASK_LANE];
};

struct task_port {
	CANP_ALIGNED(CANP_CACHELINE) struct canp_exec *ex;
	int shard; /* of a reactor, else -1 */
	unsigned index;
	bool taken;                      /* under the registry's lock */
	uint32_t free, nr_free, spare;   /* slots: a chunk in use and a full one */
	unsigned next_depot;             /* where a foreign thread looks first */
	struct task_lane *lanes;         /* [nr_shards] */
	struct task_thread_node *thread; /* under the registry's lock */
	CANP_ALIGNED(CANP_CACHELINE) struct task_counts c;
};

struct task_entry {
	void *handle;
	uint64_t stamp; /* when it came into this class, unique per shard */
};

/* FIFO of one class and type: the owner pushes and pops, others only look. */
struct task_queue {
	struct task_entry *e; /* mask + 1 */
	uint32_t head, tail, mask, seen;
};
#define TASK_QUEUES (CANP_PRIO_NR * CANP_TASK_NR_TYPES)

struct task_shard {
	/* written by others */
	CANP_ALIGNED(128) uint32_t armed; /* idle: kick after a push */
	uint32_t mail;                    /* slot index + 1 */
	uint64_t depot;                   /* tag << 32 | chunk index + 1 */
	uint32_t fresh;                   /* slots of this shard's part ever used */
	/* written by the owner, read by others */
	CANP_ALIGNED(128) uint32_t load; /* queued and running */
	struct task_queue q[TASK_QUEUES];
	/* the owner's */
	CANP_ALIGNED(128) struct canp_exec *ex;
	struct canp_shard *s;
	struct task_port *port;
	unsigned index, queued;
	uint32_t mask; /* of q[] not empty */
	uint32_t blocked;
	int token;  /* type it may run now, -1 */
	bool loose; /* some of those queued may run elsewhere */
	unsigned group, grouped;
	uint64_t stamp, group_ns, surplus_ns, wake_at_ns;
	struct canp_poller poller;
	struct canp_timer wake;
	struct canp_timer **timers;
	unsigned nr_timers, rng;
	char message[CANP_TASK_MESSAGE_BYTES];
};

struct canp_exec {
	struct canp_exec_opts opts;
	uint64_t id; /* never used again in this process */
	unsigned nr;
	uint32_t nr_slots, total, chunk, queue_cap;
	struct task_slot *slots;
	struct task_cold *cold;
	void *map;
	size_t map_bytes;
	struct task_shard *sh;
	struct task_port *ports; /* nr of the reactors, then TASK_PORTS_MAX */
	struct canp_runtime *rt; /* own */
	struct canp_mem *mem;
	bool own_mem;
	bool closing, stopped, dead; /* atomic: no submits; no reactors; no ports */
	unsigned nr_ports;           /* atomic: ports ever used */
	uint64_t orphans;            /* futures held after destroy */
	uint32_t caps[CANP_TASK_NR_TYPES];
	CANP_ALIGNED(128) uint32_t running[CANP_TASK_NR_TYPES];
	uint32_t running_max[CANP_TASK_NR_TYPES];
	CANP_ALIGNED(128) uint64_t cap_wait[CANP_TASK_NR_TYPES][TASK_WORDS];
	CANP_ALIGNED(128) uint64_t idle[TASK_WORDS];
	CANP_ALIGNED(128) uint32_t idle_waiters;
	uint32_t idle_seq; /* futex */
};

/* ---- words and handles ---- */

static inline struct task_slot *task_slot_of(const void *handle)
{
	return canp_future_slot(handle);
}
static inline unsigned task_type(uint64_t word)
{
	return (unsigned)word >> TS_TYPE_SHIFT & 3u;
}
static inline unsigned task_prio(uint64_t word)
{
	return (unsigned)word >> TS_PRIO_SHIFT & 3u;
}
/* Wins the task or not. On success *word is the word before. */
static inline bool task_claim(struct task_slot *s, const void *h, uint64_t *word, uint32_t refuse)
{
	*word = canp_fword_load(&s->word);
	do {
		if (!canp_future_is(*word, h) || canp_fword_status(*word) != CANP_TASK_PENDING ||
		    (*word & refuse))
			return false;
	} while (!canp_fword_cas(&s->word, word, *word + 1));
	return true;
}
static inline bool task_pending(const void *h)
{
	uint64_t w = canp_fword_load(canp_future_slot(h));

	return canp_future_is(w, h) && canp_fword_status(w) == CANP_TASK_PENDING;
}
static inline struct task_cold *task_cold_of(const struct task_slot *s)
{
	return &s->ex->cold[s - s->ex->slots];
}

/* ---- counters: the port's thread, between begin and end ---- */
static inline void task_counts_begin(struct task_counts *c)
{
	__atomic_store_n(&c->seq, c->seq + 1, __ATOMIC_RELEASE);
}
static inline void task_counts_end(struct task_counts *c)
{
	__atomic_store_n(&c->seq, c->seq + 1, __ATOMIC_RELEASE);
}
/* Release: whoever reads the new value reads the odd sequence number too. */
static inline void task_count(uint64_t *v, uint64_t n)
{
	__atomic_store_n(v, *v + n, __ATOMIC_RELEASE);
}

/* ---- task_port.c ---- */
/* The calling thread's port, NULL when all are out. */
struct task_port *canp_task_port(struct canp_exec *ex);
/* The calling thread becomes the reactor of port p. */
int canp_task_port_bind(struct task_port *p);
/* Takes the executor out of all threads. */
void canp_task_ports_forget(struct canp_exec *ex);
/* Up to n free slots; returns how many. */
unsigned canp_task_slots_get(struct task_port *p, uint32_t *out, unsigned n);
/* One, or TASK_NONE. */
static inline uint32_t canp_task_slot_get(struct task_port *p)
{
	uint32_t i;

	return canp_task_slots_get(p, &i, 1) ? i : TASK_NONE;
}
void canp_task_slot_put(struct task_port *p, uint32_t i);
/* The same for a thread without a port. */
void canp_task_slot_give(struct canp_exec *ex, uint32_t i);
void canp_task_counts_read(const struct task_counts *c, struct task_counts *out);

/* ---- task.c ---- */
/* Ends a task that the caller has claimed (or run): gives its blocks back, counts, publishes, tells
 * waiters and continuation. word: as claimed; error 0: completed. */
void canp_task_end(struct task_port *p, struct task_slot *s, uint64_t word, int error);
/* Takes bits away and frees the slot when nobody else needs it. */
void canp_task_drop(struct task_port *p, struct task_slot *s, uint64_t bits);
/* Handles what was mailed to a shard; returns how many. Its owner. */
unsigned canp_task_mail(struct task_shard *sh, struct task_port *p);

/* ---- task_queue.c: the owner, but for steal ---- */
void canp_task_queue_push(struct task_shard *sh, unsigned prio, unsigned type, void *handle,
			  uint64_t now_ns);
/* n of one class and type. */
void canp_task_queue_push_run(struct task_shard *sh, unsigned prio, unsigned type, void *const *h,
			      unsigned n, uint64_t now_ns);
/* The next handle in class order among types not in sh->blocked; *qi is its queue. */
bool canp_task_queue_best(struct task_shard *sh, unsigned *qi);
void *canp_task_queue_pop(struct task_shard *sh, unsigned qi);
void canp_task_queue_age(struct task_shard *sh, uint64_t now_ns);
/* Claims the oldest task of the highest class that victim is not about to run itself; only types
 * not in `blocked`. Any reactor. */
struct task_slot *canp_task_queue_steal(struct task_shard *victim, uint32_t blocked,
					uint64_t *word);

/* ---- task_run.c ---- */
/* A handle that arrived at its owner: into a class queue, and its timer is armed. */
void canp_task_accept(struct task_shard *sh, void *handle, uint64_t now_ns);
unsigned canp_task_poll(void *arg, uint64_t now_ns);
/* After a push to shard i: wakes it if it is idle, or an idle one that can take the task over. */
void canp_task_doorbell(struct canp_exec *ex, struct task_port *p, unsigned i, bool others);
bool canp_exec_is_idle(const struct canp_exec *ex);
/* After ends: wakes canp_exec_wait_idle() when nothing is left. */
void canp_exec_check_idle(struct canp_exec *ex);

#endif
