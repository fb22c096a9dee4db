/*
 * pipe_api.c - runs from outside: start, wait, stop, cancel, pushed items, pulled items. Foreign
 * threads only; none of this is on the way of a batch.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/pipeline/pipe_priv.h"

/* ---- waiting ---- */

/* Not FUTEX_PRIVATE: worker processes wait on words, too. */
void canp_pipe_futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void canp_pipe_futex_wait(uint32_t *word, uint32_t seen, uint64_t end_ns)
{
	struct timespec ts = {(time_t)(end_ns / (uint64_t)CANP_NS_PER_S),
			      (long)(end_ns % (uint64_t)CANP_NS_PER_S)};

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, end_ns == UINT64_MAX ? NULL : &ts, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

static uint64_t deadline(uint32_t timeout_ms)
{
	if (timeout_ms == UINT32_MAX)
		return UINT64_MAX;
	return canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
}

static uint32_t state_of(const struct canp_pipe *p)
{
	return __atomic_load_n(&p->state, __ATOMIC_SEQ_CST);
}

int canp_pipe_wait(struct canp_pipe *p, uint32_t timeout_ms)
{
	uint64_t end_ns = deadline(timeout_ms);
	uint32_t s;

	for (;;) {
		s = state_of(p);
		if (s == PIPE_NEW || s == PIPE_IDLE)
			return __atomic_load_n(&p->result, __ATOMIC_RELAXED);
		if (end_ns != UINT64_MAX && canp_clock_ns() >= end_ns)
			return -ETIMEDOUT;
		canp_pipe_futex_wait(&p->state, s, end_ns);
	}
}

/* ---- begin and end of a run ---- */

static void events_begin_end(struct canp_pipe *p, unsigned type)
{
	if (!p->em)
		return;
	for (unsigned i = 0; i < p->nr_ops; i++) {
		struct canp_pipe_op_stats st;

		canp_pipe_op_stats(p, (int)i, &st);
		canp_event_emit(p->em, canp_clock_ns(), (uint16_t)type, i, st.items_in,
				st.items_out);
	}
	canp_emitter_flush(p->em);
}

/* On whoever found that nothing is left; state is ENDING. */
void canp_pipe_finish(struct canp_pipe *p)
{
	struct canp_future *f = p->run_future;
	int32_t result = __atomic_load_n(&p->error, __ATOMIC_SEQ_CST);

	__atomic_store_n(&p->elapsed_ns, canp_clock_ns() - p->started_ns, __ATOMIC_RELAXED);
	events_begin_end(p, CANP_EVENT_OP_END);
	if (p->has_session)
		canp_mon_session_end(&p->session, 0, &p->usage);
	p->has_session = false;
	p->run_future = NULL;
	__atomic_store_n(&p->result, result, __ATOMIC_RELAXED);
	if (f)
		canp_future_complete(f, result);
	__atomic_store_n(&p->state, PIPE_IDLE, __ATOMIC_SEQ_CST);
	canp_pipe_futex_wake(&p->state);
	__atomic_fetch_add(&p->pull.word, 1, __ATOMIC_SEQ_CST);
	if (p->pull.op != PIPE_NONE)
		canp_pipe_futex_wake(&p->pull.word);
	pipe_wake(p, NULL); /* threads leave */
}

/* Nobody works now; the intake is held. */
static void run_reset(struct canp_pipe *p)
{
	p->stop = false;
	__atomic_store_n(&p->dropping, false, __ATOMIC_RELAXED);
	__atomic_store_n(&p->error, 0, __ATOMIC_RELAXED);
	p->source_over = 0;
	p->source_tries = 0;
	p->forming = false;
	p->paused = false;
	p->again_ns = 0;
	p->paused_since_ns = 0;
	memset(p->nr_items, 0, sizeof(p->nr_items));
	p->pull.n = 0;
	p->pull.at = 0;
	__atomic_store_n(&p->started_ns, canp_clock_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&p->ended, false, __ATOMIC_SEQ_CST);
}

static void run_begin(struct canp_pipe *p)
{
	while (__atomic_exchange_n(&p->intake, 1, __ATOMIC_SEQ_CST))
		sched_yield();
	pthread_mutex_lock(&p->push.lock);
	run_reset(p);
	pthread_mutex_unlock(&p->push.lock);
	if (!p->o.no_shared_monitoring)
		p->has_session = canp_mon_session_begin(&p->session, CANP_MON_SELF, 0, 0) == 0;
	events_begin_end(p, CANP_EVENT_OP_BEGIN);
	__atomic_store_n(&p->state, PIPE_RUNNING, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->intake, 0, __ATOMIC_SEQ_CST);
}

/* ctl is held. own: the calling thread may do the work. */
static int start_locked(struct canp_pipe *p, struct canp_future **f, bool own)
{
	int rc = canp_pipe_build(p, NULL);

	if (rc)
		return rc;
	while (state_of(p) == PIPE_ENDING)
		sched_yield();
	if (state_of(p) != PIPE_IDLE)
		return -EBUSY;
	if (f) {
		rc = canp_pipe_make_futures(p, 64);
		rc = rc ? rc : canp_future_create(p->exec, f);
		if (rc)
			return rc;
	}
	if (p->drv->rest)
		p->drv->rest(p);
	p->run_future = f ? *f : NULL;
	run_begin(p);
	if (own && p->drv->run)
		return 0;
	rc = p->drv->start(p);
	if (!rc)
		return 0;
	if (f) {
		p->run_future = NULL;
		canp_future_complete(*f, rc);
		canp_future_put(*f);
		*f = NULL;
	}
	if (p->has_session)
		canp_mon_session_end(&p->session, 0, NULL);
	p->has_session = false;
	return rc;
}

int canp_pipe_start(struct canp_pipe *p, struct canp_future **f)
{
	int rc;

	pthread_mutex_lock(&p->ctl);
	rc = start_locked(p, f, false);
	pthread_mutex_unlock(&p->ctl);
	return rc;
}

int canp_pipe_run(struct canp_pipe *p)
{
	int rc;

	pthread_mutex_lock(&p->ctl);
	rc = canp_pipe_build(p, NULL);
	if (!rc && p->pull.op != PIPE_NONE)
		rc = -EINVAL; /* nobody would take the items */
	rc = rc ? rc : start_locked(p, NULL, true);
	pthread_mutex_unlock(&p->ctl);
	if (rc)
		return rc;
	if (p->drv->run)
		p->drv->run(p);
	return canp_pipe_wait(p, UINT32_MAX);
}

void canp_pipe_stop(struct canp_pipe *p)
{
	pthread_mutex_lock(&p->push.lock);
	__atomic_store_n(&p->stop, true, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&p->push.lock);
	if (p->drv)
		pipe_wake(p, NULL);
}

void canp_pipe_cancel(struct canp_pipe *p)
{
	if (state_of(p) != PIPE_RUNNING)
		return;
	canp_pipe_fail(p, -ECANCELED);
	pipe_wake(p, NULL);
}

/* ---- items from outside ---- */

static int push_locked(struct canp_pipe *p, const void *item, struct canp_future **f)
{
	struct pipe_push *q = &p->push;
	uint32_t bytes = p->ops[p->sources[0]].out_bytes, at = q->tail & (q->cap - 1);
	uint32_t left = (uint32_t)__atomic_load_n(&p->back, __ATOMIC_SEQ_CST);
	int rc;

	if (__atomic_load_n(&p->stop, __ATOMIC_RELAXED) ||
	    __atomic_load_n(&p->dropping, __ATOMIC_SEQ_CST) || state_of(p) != PIPE_RUNNING)
		return -EPIPE;
	if (q->nr - left >= p->o.max_memory_items ||
	    q->tail - __atomic_load_n(&q->head, __ATOMIC_ACQUIRE) >= q->cap)
		return -EAGAIN;
	q->futures[at] = NULL;
	if (f) {
		rc = canp_future_create(p->exec, f);
		if (rc)
			return rc;
		q->futures[at] = *f;
	}
	memcpy(q->items + (size_t)at * bytes, item, bytes);
	__atomic_store_n(&q->nr, q->nr + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&q->tail, q->tail + 1, __ATOMIC_SEQ_CST);
	return 0;
}

int canp_pipe_push(struct canp_pipe *p, const void *item, struct canp_future **f)
{
	bool late;
	int rc;

	if (state_of(p) == PIPE_NEW)
		return -EPIPE;
	if (!p->push.used)
		return -EINVAL;
	pthread_mutex_lock(&p->push.lock);
	rc = push_locked(p, item, f);
	pthread_mutex_unlock(&p->push.lock);
	if (rc)
		return rc;
	/* A run that was cancelled meanwhile has drained the items, or this call does. */
	late = __atomic_load_n(&p->ended, __ATOMIC_SEQ_CST);
	if (late) {
		canp_pipe_push_drain(p);
		canp_pipe_check_end(p);
	}
	pipe_wake(p, NULL);
	return 0;
}

/* ---- items to outside ---- */

static void pull_pack(struct canp_pipe *p, struct pipe_flight *f)
{
	unsigned id = (unsigned)p->pull.op;
	struct pipe_op *op = &p->ops[id];
	struct pipe_op_counts *st = &p->pull.w->c[id];
	const struct pipe_cell *c = &f->cells[op->in[0]];
	uint32_t n = 0;

	p->pull.at = 0;
	p->pull.n = 0;
	if (pipe_dropped(p, f))
		return;
	for (uint32_t r = 0; r < op->blocks * f->rows; r++) {
		if (!(c->keep[r / 64] >> (r % 64) & 1))
			continue;
		memcpy(p->pull.buf + (size_t)n++ * op->in_bytes, c->rec + (size_t)r * op->in_bytes,
		       op->in_bytes);
		if (f->err)
			f->arrived[r % f->rows / 64] |= 1ull << (r % f->rows % 64);
	}
	canp_stat_add(&st->batches, n != 0);
	canp_stat_add(&st->rows_in, n);
	canp_stat_add(&st->rows_out, n);
	p->pull.n = n;
}

static int pull_give(struct canp_pipe *p, void *items, uint32_t max)
{
	uint32_t bytes = p->ops[p->pull.op].in_bytes;
	uint32_t n = canp_min(max, p->pull.n - p->pull.at);

	memcpy(items, p->pull.buf + (size_t)p->pull.at * bytes, (size_t)n * bytes);
	p->pull.at += n;
	return (int)n;
}

int canp_pipe_next(struct canp_pipe *p, void *items, uint32_t max, uint32_t timeout_ms)
{
	uint64_t end_ns = deadline(timeout_ms);

	if (!max || max > INT_MAX || p->pull.op == PIPE_NONE)
		return -EINVAL;
	for (;;) {
		uint32_t seen = __atomic_load_n(&p->pull.word, __ATOMIC_SEQ_CST);
		uint32_t s = state_of(p);
		struct pipe_flight *f;

		if (p->pull.at < p->pull.n)
			return pull_give(p, items, max);
		f = s == PIPE_RUNNING ? canp_pipe_claim(p->pull.w, (unsigned)p->pull.op) : NULL;
		if (f) {
			pull_pack(p, f);
			canp_pipe_done(p->pull.w, f, (unsigned)p->pull.op);
			continue;
		}
		if (s == PIPE_IDLE)
			return __atomic_load_n(&p->result, __ATOMIC_RELAXED);
		if (canp_clock_ns() >= end_ns)
			return -ETIMEDOUT;
		__atomic_store_n(&p->pull.waiting, 1, __ATOMIC_SEQ_CST);
		canp_pipe_futex_wait(&p->pull.word, seen, end_ns);
		__atomic_store_n(&p->pull.waiting, 0, __ATOMIC_SEQ_CST);
	}
}
