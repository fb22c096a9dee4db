/*
 * pipe_proc.c - parallel operators in worker processes, everything else on one thread of the pipe's
 * own process (PROCESSES).
 *
 * Batches, rings and the pipe's state lie in shared mappings made before the fork, at the same
 * address everywhere. A batch that is ready for an isolated operator goes to the process with the
 * least to do as one word in an SPSC ring; the process runs the operator, and those behind it as
 * long as the way is straight and isolated, and sends one word back. Whoever sleeps is rung by a
 * futex, at most once a batch.
 *
 * A process that dies loses the batch it was at: its rows fail with EOWNERDEAD by the operator's
 * policy (RETRY: the batch goes to another process). What it had not begun is sent again. It is
 * replaced, but not for ever.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/spsc.h"
#include "core/pipeline/pipe_priv.h"

#define PROC_RING      64u
#define PROC_AHEAD     4u /* batches at one process */
#define PROC_RESTARTS  8u
#define PROC_SPINS     100u
#define PROC_CHECK_NS  (20 * (uint64_t)CANP_NS_PER_MS)
#define PROC_PARENT_NS (500 * (uint64_t)CANP_NS_PER_MS)
#define PROC_END_MS    1000u

struct pipe_bell {
	CANP_ALIGNED(CANP_CACHELINE) uint32_t word; /* futex */
	uint32_t asleep;
	uint64_t rings; /* by one writer */
};

struct pipe_proc {
	struct canp_spsc to, from;
	struct pipe_bell bell;
	uint64_t parent_rings; /* the process's */
	void *to_slots[PROC_RING], *from_slots[PROC_RING];
	/* the parent's */
	CANP_ALIGNED(CANP_CACHELINE) pid_t pid; /* 0: gone for good */
	uint32_t head, tail;                    /* of sent */
	uint16_t sent[PROC_RING];
};

struct pipe_procs {
	size_t bytes;
	unsigned nr;
	pid_t parent;
	bool quit;
	struct pipe_bell bell; /* the parent's */
	unsigned restarts;
	uint64_t check_ns;
	struct pipe_proc proc[];
};

static uint16_t word_of(const struct canp_pipe *p, const struct pipe_flight *f, unsigned id)
{
	return (uint16_t)((unsigned)(f - p->flights) << 8 | id);
}

static void *msg_of(uint16_t word)
{
	return (void *)((uintptr_t)word + 1);
}

static uint16_t msg_word(const void *msg)
{
	return (uint16_t)((uintptr_t)msg - 1);
}

/* ---- bells ---- */

static void bell_ring(struct pipe_bell *b, uint64_t *rings)
{
	__atomic_fetch_add(&b->word, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&b->asleep, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&b->asleep, 0, __ATOMIC_SEQ_CST))
		return;
	if (rings)
		__atomic_store_n(rings, *rings + 1, __ATOMIC_RELAXED);
	canp_pipe_futex_wake(&b->word);
}

uint64_t canp_pipe_procs_bells(const struct canp_pipe *p)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < p->procs->nr; i++)
		n += __atomic_load_n(&p->procs->proc[i].bell.rings, __ATOMIC_RELAXED) +
		     __atomic_load_n(&p->procs->proc[i].parent_rings, __ATOMIC_RELAXED);
	return n;
}

int canp_pipe_procs_pid(const struct canp_pipe *p, unsigned i)
{
	return i < p->procs->nr ? __atomic_load_n(&p->procs->proc[i].pid, __ATOMIC_RELAXED) : 0;
}

/* ---- in the worker process ---- */

static bool goes_on(const struct canp_pipe *p, unsigned id)
{
	const struct pipe_op *op = &p->ops[id], *o;

	if (op->nr_out != 1 || op->limit || p->o.max_running_ops)
		return false;
	o = &p->ops[op->out[0]];
	return o->remote && o->nr_in == 1 && !o->limit;
}

static unsigned child_run(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	for (;; id = w->p->ops[id].out[0]) {
		uint64_t from = canp_clock_ns(), ns;

		f->cells[id].nr_err = 0;
		canp_pipe_op_run(w, f, id);
		ns = canp_clock_ns() - from;
		canp_stat_add(&w->c[id].busy_ns, ns);
		__atomic_fetch_add(&f->work_ns, ns, __ATOMIC_RELAXED);
		if (!goes_on(w->p, id))
			return id;
	}
}

static void child_sleep(struct pipe_procs *ps, struct pipe_proc *pr)
{
	uint32_t seen = __atomic_load_n(&pr->bell.word, __ATOMIC_SEQ_CST);

	for (unsigned i = 0; i < PROC_SPINS; i++) {
		if (canp_spsc_count(&pr->to))
			return;
		__builtin_ia32_pause();
	}
	__atomic_store_n(&pr->bell.asleep, 1, __ATOMIC_SEQ_CST);
	if (!canp_spsc_count(&pr->to) && !__atomic_load_n(&ps->quit, __ATOMIC_SEQ_CST))
		canp_pipe_futex_wait(&pr->bell.word, seen, canp_clock_ns() + PROC_PARENT_NS);
	__atomic_store_n(&pr->bell.asleep, 0, __ATOMIC_SEQ_CST);
	if (getppid() != ps->parent)
		_exit(1);
}

CANP_NORETURN static void child_main(struct pipe_worker *w, struct pipe_proc *pr)
{
	struct canp_pipe *p = w->p;
	struct pipe_procs *ps = p->procs;

	while (!__atomic_load_n(&ps->quit, __ATOMIC_SEQ_CST)) {
		void *msg;
		uint16_t word;
		unsigned last;

		if (!canp_spsc_pop(&pr->to, &msg, 1)) {
			child_sleep(ps, pr);
			continue;
		}
		word = msg_word(msg);
		last = child_run(w, &p->flights[word >> 8], word & 255u);
		msg = msg_of((uint16_t)((word & 0xff00u) | last));
		CANP_ASSERT(canp_spsc_push(&pr->from, &msg, 1) == 1);
		bell_ring(&ps->bell, &pr->parent_rings);
	}
	_exit(0);
}

static int proc_fork(struct canp_pipe *p, unsigned i)
{
	struct pipe_proc *pr = &p->procs->proc[i];
	pid_t pid;

	canp_spsc_init(&pr->to, pr->to_slots, PROC_RING);
	canp_spsc_init(&pr->from, pr->from_slots, PROC_RING);
	pr->head = 0;
	pr->tail = 0;
	pr->bell.asleep = 0;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		child_main(&p->workers[i + 1], pr);
	__atomic_store_n(&pr->pid, pid, __ATOMIC_RELAXED);
	return 0;
}

/* ---- sending ---- */

static struct pipe_proc *proc_idlest(struct pipe_procs *ps)
{
	struct pipe_proc *best = NULL;

	for (unsigned i = 0; i < ps->nr; i++) {
		struct pipe_proc *pr = &ps->proc[i];

		if (pr->pid && (!best || pr->tail - pr->head < best->tail - best->head))
			best = pr;
	}
	return best;
}

static void proc_send(struct pipe_proc *pr, uint16_t word)
{
	void *msg = msg_of(word);

	pr->sent[pr->tail++ % PROC_RING] = word;
	CANP_ASSERT(canp_spsc_push(&pr->to, &msg, 1) == 1);
	bell_ring(&pr->bell, &pr->bell.rings);
}

static bool procs_room(struct canp_pipe *p)
{
	struct pipe_proc *pr = proc_idlest(p->procs);

	return !pr || pr->tail - pr->head < PROC_AHEAD;
}

static void procs_send(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	struct pipe_proc *pr = proc_idlest(w->p->procs);

	if (pr) {
		proc_send(pr, word_of(w->p, f, id));
		return;
	}
	/* All are gone and the run has failed: what is left is dropped here. */
	canp_pipe_op_run(w, f, id);
	canp_pipe_done(w, f, id);
}

/* ---- coming back ---- */

/* Rows that failed over there are treated here. */
static void errors_take(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	const struct pipe_op *op = &w->p->ops[id];
	const int16_t *err = (const int16_t *)(f->mem + op->err_off);
	const uint8_t *in = op->nr_in == 1 ? f->cells[op->in[0]].rec : f->mem + op->join_off;

	if (canp_likely(!f->cells[id].nr_err))
		return;
	for (uint32_t r = 0; r < op->blocks * f->rows; r++) {
		if (err[r])
			canp_pipe_op_failed(w, f, id, r, in + (size_t)r * op->in_bytes, err[r]);
	}
}

static unsigned proc_reap(struct pipe_worker *w, struct pipe_proc *pr)
{
	struct canp_pipe *p = w->p;
	unsigned n = 0;
	void *msg;

	for (; canp_spsc_pop(&pr->from, &msg, 1); n++) {
		uint16_t word = pr->sent[pr->head++ % PROC_RING];
		unsigned id = word & 255u, last = msg_word(msg) & 255u;
		struct pipe_flight *f = &p->flights[word >> 8];

		for (;; id = p->ops[id].out[0]) {
			errors_take(w, f, id);
			if (id == last)
				break;
		}
		canp_pipe_done(w, f, last);
	}
	return n;
}

/* The first batch of a dead process is the one it was at. */
static void batch_lost(struct pipe_worker *w, uint16_t word)
{
	struct canp_pipe *p = w->p;
	struct pipe_flight *f = &p->flights[word >> 8];
	unsigned id = word & 255u;
	struct pipe_op *op = &p->ops[id];

	if (op->op.policy == CANP_PIPE_RETRY && f->cells[id].tries++ < op->op.retries) {
		canp_stat_add(&w->c[id].retries, 1);
		procs_send(w, f, id);
		return;
	}
	canp_pipe_op_lost(w, f, id, -EOWNERDEAD);
	canp_pipe_done(w, f, id);
}

static void proc_died(struct pipe_worker *w, unsigned i)
{
	struct canp_pipe *p = w->p;
	struct pipe_procs *ps = p->procs;
	struct pipe_proc *pr = &ps->proc[i];
	uint16_t lost[PROC_RING];
	unsigned n = 0;

	if (w->em && !p->o.no_async_events)
		canp_event_emit(w->em, canp_clock_ns(), CANP_EVENT_WORKER_CRASH, i,
				(uint64_t)pr->pid, 0);
	proc_reap(w, pr);
	while (pr->head != pr->tail)
		lost[n++] = pr->sent[pr->head++ % PROC_RING];
	__atomic_store_n(&pr->pid, 0, __ATOMIC_RELAXED);
	/* Without another one it stays 0. */
	if (ps->restarts++ < PROC_RESTARTS * ps->nr)
		proc_fork(p, i);
	if (!proc_idlest(ps))
		canp_pipe_fail(p, -EOWNERDEAD);
	for (unsigned k = 1; k < n; k++)
		procs_send(w, &p->flights[lost[k] >> 8], lost[k] & 255u);
	if (n)
		batch_lost(w, lost[0]);
}

static void procs_check(struct pipe_worker *w)
{
	struct pipe_procs *ps = w->p->procs;

	ps->check_ns = canp_clock_ns() + PROC_CHECK_NS;
	for (unsigned i = 0; i < ps->nr; i++) {
		pid_t pid = ps->proc[i].pid;

		/* ECHILD: somebody else has waited for it; it is gone all the same. */
		if (pid && waitpid(pid, NULL, WNOHANG) != 0)
			proc_died(w, i);
	}
}

/* ---- the thread of the pipe's own process ---- */

static unsigned procs_work(struct pipe_worker *w)
{
	struct pipe_procs *ps = w->p->procs;
	unsigned n = 0;

	for (unsigned i = 0; i < ps->nr; i++)
		n += proc_reap(w, &ps->proc[i]);
	return n + canp_pipe_step(w);
}

static void procs_loop(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;
	struct pipe_procs *ps = p->procs;

	while (pipe_runs(p)) {
		uint64_t until = canp_clock_ns();
		uint32_t seen;

		if (until >= ps->check_ns)
			procs_check(w);
		if (procs_work(w))
			continue;
		seen = __atomic_load_n(&ps->bell.word, __ATOMIC_SEQ_CST);
		__atomic_store_n(&ps->bell.asleep, 1, __ATOMIC_SEQ_CST);
		until = canp_clock_ns() + PROC_CHECK_NS;
		if (w->again_ns)
			until = canp_min(until, w->again_ns);
		if (!procs_work(w) && pipe_runs(p))
			canp_pipe_futex_wait(&ps->bell.word, seen, until);
		__atomic_store_n(&ps->bell.asleep, 0, __ATOMIC_SEQ_CST);
	}
}

static void procs_run(struct canp_pipe *p)
{
	procs_loop(&p->workers[0]);
}

static void *procs_main(void *arg)
{
	procs_loop(arg);
	return NULL;
}

static void procs_rest(struct canp_pipe *p)
{
	if (p->workers[0].has_thread)
		pthread_join(p->workers[0].thread, NULL);
	p->workers[0].has_thread = false;
}

static int procs_start(struct canp_pipe *p)
{
	struct pipe_worker *w = &p->workers[0];
	int rc = -pthread_create(&w->thread, NULL, procs_main, w);

	w->has_thread = !rc;
	if (rc)
		__atomic_store_n(&p->state, PIPE_IDLE, __ATOMIC_SEQ_CST);
	return rc;
}

static void procs_wake(struct canp_pipe *p, struct pipe_worker *w)
{
	if (w != &p->workers[0])
		bell_ring(&p->procs->bell, NULL);
}

/* ---- coming and going ---- */

static void proc_end(struct pipe_proc *pr)
{
	struct timespec ms = {0, CANP_NS_PER_MS};

	if (!pr->pid)
		return;
	bell_ring(&pr->bell, NULL);
	for (unsigned i = 0; i < PROC_END_MS; i++) {
		if (waitpid(pr->pid, NULL, WNOHANG) != 0)
			return;
		nanosleep(&ms, NULL);
	}
	kill(pr->pid, SIGKILL); /* it is stuck in an operator */
	waitpid(pr->pid, NULL, 0);
}

static void procs_destroy(struct canp_pipe *p)
{
	struct pipe_procs *ps = p->procs;

	procs_rest(p);
	if (!ps)
		return;
	__atomic_store_n(&ps->quit, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < ps->nr; i++)
		proc_end(&ps->proc[i]);
	munmap(ps, ps->bytes);
	p->procs = NULL;
}

static int procs_build(struct canp_pipe *p)
{
	unsigned nr = p->nr_workers - 1;
	size_t bytes = sizeof(struct pipe_procs) + nr * sizeof(struct pipe_proc);
	struct pipe_procs *ps =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc = 0;

	if (ps == MAP_FAILED)
		return -ENOMEM;
	ps->bytes = bytes;
	ps->nr = nr;
	ps->parent = getpid();
	p->procs = ps;
	for (unsigned i = 0; i < nr && !rc; i++)
		rc = proc_fork(p, i);
	if (rc)
		procs_destroy(p);
	return rc;
}

const struct pipe_driver canp_pipe_procs = {
	.build = procs_build,
	.rest = procs_rest,
	.start = procs_start,
	.destroy = procs_destroy,
	.run = procs_run,
	.wake = procs_wake,
	.room = procs_room,
	.send = procs_send,
};
