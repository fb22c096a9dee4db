/*
 * pipe_priv.h - inside of the pipeline engine, shared by pipe_*.c.
 *
 *   flight   one batch of every source under one sequence number, with the buffers of everything
 *            that is made of it. There are `slots` of them, a power of two; seq % slots names one.
 *   cell     one operator of one flight: its output rows and which of them are kept.
 *   worker   somebody who runs operators: a reactor, a thread, a worker process, the consumer of
 *            canp_pipe_next(). `mask` says which operators. Each has its own counters.
 *
 * A worker takes a flight from the sources (intake) and runs it through operator after operator.
 * What it may not run now - a serial operator whose turn another number is, a join that lacks an
 * input, an operator of somebody else's mask - is parked: a bit in the operator's `ready` word, one
 * bit a slot. Whoever clears the bit has the work. So handing a batch over is one bit, batches stay
 * on their core unless another one is idle, and no worker ever waits for another.
 *
 * A serial operator has no lock: the flight whose number equals `next` may run, nobody else can;
 * the one who ran it makes next one more. What it writes is seen by who runs the next number
 * (release and acquire of `next`, or of the bit).
 *
 * Losing no wake-up (store, then look, on both sides): who parks or makes room sets a bit and then
 * looks who is idle; who gets idle says so and then looks for work again.
 *
 * Credits: `taken` and `back` hold flights in the upper and items in the lower half; their
 * difference is what is in flight. One is written at the intake only, the other by who retires.
 *
 * Everything a worker process touches lies in shared mappings at the same address.
 */
#ifndef CANP_PIPELINE_PIPE_PRIV_H
#define CANP_PIPELINE_PIPE_PRIV_H

#include <pthread.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hist.h"
#include "core/base/stat.h"
#include "core/base/units.h"
#include "core/observe/event.h"
#include "core/observe/monitor.h"
#include "core/pipeline/flow.h"
#include "core/pipeline/pipeline.h"

#define PIPE_SLOTS_MAX   64u
#define PIPE_WORKERS_MAX 64u
#define PIPE_AGAIN_NS    ((uint64_t)CANP_NS_PER_MS)
/* Work of a batch from which on a second core is worth its cache misses. */
#define PIPE_SPREAD_NS 4000u
/* Batches shorter than that are timed one in eight. */
#define PIPE_SAMPLE 7u
#define PIPE_NONE   (-1)

enum pipe_state { PIPE_NEW, PIPE_IDLE, PIPE_RUNNING, PIPE_ENDING };

struct pipe_cell {
	uint8_t *rec;
	uint32_t missing; /* inputs, of operators with several */
	uint32_t nr_err;  /* rows that failed in a worker process */
	uint64_t keep[CANP_BATCH_WORDS];
	union {
		uint64_t first;    /* sources: number of the first item */
		uint64_t ready_ns; /* others: parked since */
	};
	uint32_t tries; /* of an operator in a worker process that died */
	uint32_t fill;  /* sources: rows got so far */
};

struct pipe_flight {
	uint64_t seq, epoch;
	uint64_t born_ns;
	uint64_t work_ns; /* of timed flights */
	uint32_t rows;    /* of a block: the most any source gave */
	uint32_t items;   /* of all sources */
	uint32_t leaves;  /* operators without successors that have not ended */
	uint32_t busy;
	uint16_t worker; /* that had it last */
	bool timed;
	uint8_t *mem;
	struct pipe_cell *cells;
	struct canp_future **futures; /* of pushed items */
	int16_t *err;                 /* of pushed items */
	uint64_t arrived[CANP_BATCH_WORDS];
} CANP_ALIGNED(128);

struct pipe_op {
	struct canp_pipe_op op;
	char name[CANP_FLOW_NAME_MAX + 1];
	unsigned in[CANP_PIPE_OPS_MAX], nr_in;
	unsigned out[CANP_FLOW_OUT_MAX], nr_out;
	uint32_t in_bytes, out_bytes; /* of a record */
	uint32_t blocks;              /* groups of rows, one after the other; 1 but behind MERGE */
	uint8_t block_source[CANP_BATCH_ROWS];
	uint32_t join_off, out_off; /* in a flight's memory, UINT32_MAX: none */
	uint32_t err_off;           /* int16_t of each row, of isolated operators */
	bool serial, exclusive, remote, pull;
	uint32_t limit; /* of `running`; 0: none */
	CANP_ALIGNED(128) uint64_t next;
	uint64_t ready;
	uint32_t running; /* with a limit */
	uint32_t inside;  /* of timed flights, for running_max */
};

struct pipe_op_counts {
	struct canp_stat batches, rows_in, rows_out, dropped, failed, retries;
	struct canp_stat busy_ns, wait_ns, queue_max, running_max;
};

struct pipe_worker {
	CANP_ALIGNED(128) struct canp_pipe *p;
	unsigned index;
	uint32_t mask; /* operators it runs */
	bool takes;    /* from the sources */
	bool remote;   /* it is a worker process */
	bool left;     /* a reactor: it leaves the work to the first one */
	uint64_t now_ns;
	uint64_t again_ns; /* when it has to ask the sources again, 0: never */
	struct canp_shard *s;
	struct canp_poller poller;
	struct canp_timer timer;
	struct canp_emitter *em;
	pthread_t thread;
	bool has_thread;
	struct canp_stat handovers;
	struct pipe_op_counts c[CANP_PIPE_OPS_MAX];
	struct canp_stat latency[CANP_HIST_BUCKETS];
};

/* Where pushed items wait for the intake; producers exclude each other, the intake does not. */
struct pipe_push {
	pthread_mutex_t lock;
	bool used;
	uint32_t cap; /* a power of two */
	uint8_t *items;
	struct canp_future **futures;
	uint32_t nr; /* ever pushed, as far as 32 bits go */
	CANP_ALIGNED(64) uint32_t tail;
	CANP_ALIGNED(64) uint32_t head;
};

struct pipe_pull {
	int op; /* PIPE_NONE: there is a sink */
	struct pipe_worker *w;
	uint8_t *buf;
	uint32_t n, at;
	uint32_t word; /* futex */
	uint32_t waiting;
};

struct pipe_driver {
	/* Control plane. build: after the layout; 0 or -errno. rest: before a run, waits until the
	 * workers of the last one have left. start: workers begin; an error makes the pipe IDLE.
	 * destroy: after the run, undoes build. */
	int (*build)(struct canp_pipe *p);
	void (*rest)(struct canp_pipe *p);
	int (*start)(struct canp_pipe *p);
	void (*destroy)(struct canp_pipe *p);
	/* run() on the calling thread; NULL: start and wait. */
	void (*run)(struct canp_pipe *p);
	/* There is work, or room; w: who says so, NULL for a foreign thread. Any thread. */
	void (*wake)(struct canp_pipe *p, struct pipe_worker *w);
	/* With remote operators: sends a claimed one of a flight away when there was room. */
	bool (*room)(struct canp_pipe *p);
	void (*send)(struct pipe_worker *w, struct pipe_flight *f, unsigned id);
};

struct pipe_procs;

struct canp_pipe {
	char name[CANP_FLOW_NAME_MAX + 1];
	struct canp_pipe_opts asked, o; /* as given; resolved */
	struct pipe_op ops[CANP_PIPE_OPS_MAX];
	unsigned nr_ops;
	int last; /* operator added last */
	int build_error;
	const struct pipe_driver *drv;
	enum canp_pipe_exec kind;
	struct canp_flow *flow;
	unsigned order[CANP_PIPE_OPS_MAX]; /* operators, sinks first, without sources */
	unsigned nr_order;
	unsigned sources[CANP_PIPE_OPS_MAX], nr_sources, nr_leaves;
	unsigned isolated_off;
	uint32_t rows_max;     /* of a block */
	uint32_t limit;        /* flights */
	uint32_t slots;        /* flights, a power of two */
	uint32_t items_resume; /* hysteresis */
	uint32_t item_bytes;   /* of all buffers together, for one row of the sources */
	void *map;
	size_t map_bytes;
	struct pipe_flight *flights;
	struct pipe_worker *workers; /* [nr_workers], then the consumer */
	unsigned nr_workers;
	struct canp_exec *exec, *own_exec; /* own_exec: also only for its futures */
	struct pipe_procs *procs;
	struct pipe_push push;
	struct pipe_pull pull;
	pthread_mutex_t ctl, mu; /* ctl: start and end of runs; mu, cv: sleeping threads */
	pthread_cond_t cv;
	uint64_t gen;
	struct canp_emitter *em; /* of the control plane */
	struct canp_mon_session session;
	bool has_session;
	struct canp_future *run_future;

	/* written rarely, read by all */
	CANP_ALIGNED(128) uint32_t state;
	int32_t error;   /* of the run, the first one */
	uint64_t epoch;  /* flights of another are dropped */
	bool stop;       /* no more items */
	bool dropping;   /* cancelled or failed */
	bool spread;     /* batches are worth more than one core */
	uint32_t batch;  /* items */
	uint64_t cost;   /* of an item, 1/256 ns */
	uint64_t sample; /* mask of the numbers that are timed */
	int32_t result;  /* of the last run */
	uint32_t waiters;
	uint64_t started_ns, elapsed_ns;
	struct canp_mon_delta usage;

	/* the intake's */
	CANP_ALIGNED(128) uint32_t intake;
	uint64_t seq;
	uint64_t taken;
	bool ended; /* atomic */
	bool paused, forming;
	uint32_t source_over; /* mask of sources at their end */
	uint32_t source_tries;
	uint32_t want; /* of the forming flight */
	uint64_t again_ns, paused_since_ns;
	uint64_t nr_items[CANP_PIPE_OPS_MAX]; /* each source has given */
	struct canp_stat items_in, batches, paused_ns, items_max, flights_max, bytes_max;

	CANP_ALIGNED(128) uint64_t back;
	CANP_ALIGNED(128) uint64_t idle;    /* workers */
	CANP_ALIGNED(128) uint32_t running; /* operators, with max_running_ops */
	uint32_t sleepers;
};

static inline bool pipe_dropped(const struct canp_pipe *p, const struct pipe_flight *f)
{
	return canp_unlikely(__atomic_load_n(&p->epoch, __ATOMIC_RELAXED) != f->epoch);
}

static inline struct pipe_flight *pipe_flight_of(struct canp_pipe *p, uint64_t seq)
{
	return &p->flights[seq & (p->slots - 1)];
}

static inline bool pipe_runs(const struct canp_pipe *p)
{
	return __atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == PIPE_RUNNING;
}

static inline uint64_t pipe_in_flight(const struct canp_pipe *p)
{
	return __atomic_load_n(&p->taken, __ATOMIC_RELAXED) -
	       __atomic_load_n(&p->back, __ATOMIC_SEQ_CST);
}

/* ---- pipe_build.c ---- */
/* Frees what build made; the pipe may be built again. */
void canp_pipe_unbuild(struct canp_pipe *p);
int canp_pipe_make_futures(struct canp_pipe *p, uint32_t nr);

/* ---- pipe_layout.c ---- */
/* Records, blocks and order of the operators, which flow has checked; a line in err. */
int canp_pipe_plan(struct canp_pipe *p, struct canp_strbuf *err);
/* One mapping for flights, buffers, workers. */
int canp_pipe_map_all(struct canp_pipe *p);

/* ---- pipe_op.c ---- */
/* Runs the operator on the flight's rows; policies are applied. w: counters. */
void canp_pipe_op_run(struct pipe_worker *w, struct pipe_flight *f, unsigned id);
/* A row's failure that happened elsewhere, or of a whole batch. */
void canp_pipe_op_failed(struct pipe_worker *w, struct pipe_flight *f, unsigned id, uint32_t row,
			 const void *data, int error);
/* All rows that came in have failed. */
void canp_pipe_op_lost(struct pipe_worker *w, struct pipe_flight *f, unsigned id, int error);
/* First error of the run; what is in flight is dropped. */
void canp_pipe_fail(struct canp_pipe *p, int error);
void canp_pipe_drop_all(struct canp_pipe *p);

/* ---- pipe_source.c ---- */
/* The next flight, ready to fly, or NULL: no credit, nothing there, or the end. With the intake. */
struct pipe_flight *canp_pipe_pull(struct pipe_worker *w);

/* Ends what was pushed and will not be taken any more; after `ended`. */
void canp_pipe_push_drain(struct canp_pipe *p);

/* ---- pipe_run.c ---- */
/* Does one piece of work; false: there is none that w can do now. */
bool canp_pipe_step(struct pipe_worker *w);
/* Goes on with a flight whose operator id this worker has run. */
void canp_pipe_done(struct pipe_worker *w, struct pipe_flight *f, unsigned id);
/* The flight that is parked at an operator and whose turn it is. Claimed: the caller runs it. */
struct pipe_flight *canp_pipe_claim(struct pipe_worker *w, unsigned id);
/* Ends the run if nothing is left to do. */
void canp_pipe_check_end(struct canp_pipe *p);
static inline void pipe_wake(struct canp_pipe *p, struct pipe_worker *w)
{
	p->drv->wake(p, w);
}

/* ---- pipe_api.c ---- */
void canp_pipe_finish(struct canp_pipe *p);
/* Of words in memory that may be shared with worker processes. end_ns UINT64_MAX: for ever. */
void canp_pipe_futex_wake(uint32_t *word);
void canp_pipe_futex_wait(uint32_t *word, uint32_t seen, uint64_t end_ns);

/* ---- drivers ---- */
extern const struct pipe_driver canp_pipe_reactors; /* pipe_reactor.c */
extern const struct pipe_driver canp_pipe_serial;   /* pipe_thread.c */
extern const struct pipe_driver canp_pipe_threads;
extern const struct pipe_driver canp_pipe_procs; /* pipe_proc.c */
/* Times worker processes were woken through the kernel. */
uint64_t canp_pipe_procs_bells(const struct canp_pipe *p);
/* pid of worker process i, for tests. */
int canp_pipe_procs_pid(const struct canp_pipe *p, unsigned i);

#endif
