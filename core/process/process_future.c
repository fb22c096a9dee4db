/*
 * process_future.c - the end of a task as the caller sees it: waiting, cancelling, putting, and the
 * way of a slot back to the free ones. Waiting looks at the slot's word for a moment (a worker that
 * is awake answers in less time than a sleep costs), then sleeps on it; the worker that ends the
 * task wakes it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/process/process_priv.h"

static struct proc_slot *slot_of(const struct canp_future *f)
{
	return canp_future_slot(f);
}

/* ---- the end ---- */

void canp_process_ended(struct canp_process_pool *p, struct proc_slot *s, uint64_t w)
{
	uint64_t one = 1;

	if (w & CANP_FUTURE_WAITERS)
		canp_process_futex_wake((uint32_t *)&s->word, INT_MAX);
	if (canp_unlikely(proc_get32(&p->shm->any_waiters))) {
		__atomic_add_fetch(&p->shm->any_seq, 1, __ATOMIC_SEQ_CST);
		canp_process_futex_wake(&p->shm->any_seq, INT_MAX);
	}
	if (canp_unlikely(proc_get32(&p->shm->notify_on)) && write(p->notify_fd, &one, 8) < 0)
		return; /* a full counter is readable all the same */
	if (canp_unlikely(w & PW_NOTIFY))
		canp_process_kick(p);
}

static void end_count(struct canp_process_pool *p, uint64_t w, unsigned from,
		      enum canp_process_outcome out)
{
	(void)w;
	canp_stat_add(&p->shm->ended_here, 1);
	if (from == CANP_TASK_PENDING) {
		canp_stat_add(&p->shm->dropped, 1);
		p->room++;
	}
	if (out == CANP_PROCESS_CANCELLED)
		canp_stat_add(&p->shm->cancelled, 1);
	else if (out == CANP_PROCESS_TIMEOUT)
		canp_stat_add(&p->shm->timed_out, 1);
	else if (out == CANP_PROCESS_CRASHED || out == CANP_PROCESS_RESOURCE)
		canp_stat_add(&p->shm->crashed, 1);
}

bool canp_process_end(struct canp_process_pool *p, struct proc_slot *s, uint64_t w, unsigned from,
		      enum canp_process_outcome out)
{
	uint64_t to;

	if (from == CANP_TASK_PENDING)
		s->ended_ns = 0;
	do {
		if (canp_fword_status(w) != from)
			return false;
		to = w &
		     ~(uint64_t)(CANP_FUTURE_STATUS | CANP_FUTURE_WAITERS | 7ull << PW_OUT_SHIFT);
		to |= CANP_TASK_FAILED | (uint64_t)out << PW_OUT_SHIFT;
	} while (!canp_fword_cas(&s->word, &w, to));
	end_count(p, w, from, out);
	canp_process_ended(p, s, w);
	return true;
}

/* ---- back to the free ones ---- */

void canp_process_slot_put(struct canp_process_pool *p, struct proc_slot *s, uint64_t w)
{
	if (canp_unlikely(s->flags & (PF_IN_CHUNK | PF_OUT_CHUNK))) {
		if (s->flags & PF_IN_CHUNK)
			canp_process_heap_free(p, s->in);
		if (s->flags & PF_OUT_CHUNK)
			canp_process_heap_free(p, s->out);
		s->flags = 0;
	}
	if (canp_unlikely(p->cfg.trace))
		canp_process_span(p, s, w);
	__atomic_store_n(&s->word, ((w >> 32) + 1) << 32, __ATOMIC_RELEASE);
	p->free_slots[p->nr_free++] = s->index;
}

/* Slots whose futures were put before the end: those that are over now are free. */
unsigned canp_process_orphans(struct canp_process_pool *p)
{
	unsigned left = 0, freed = 0;

	for (unsigned i = 0; i < p->nr_orphans; i++) {
		struct proc_slot *s = &p->slots[p->orphans[i]];
		uint64_t w = canp_fword_load(&s->word);

		if (canp_fword_over(w) && !(w & PW_REFS)) {
			canp_process_slot_put(p, s, w);
			freed++;
		} else {
			p->orphans[left++] = p->orphans[i];
		}
	}
	p->nr_orphans = left;
	return freed;
}

/* Lock. */
static void future_drop(struct canp_process_pool *p, struct canp_future *f)
{
	struct proc_slot *s = slot_of(f);
	uint64_t w = canp_fword_load(&s->word);

	/* Nobody else changes a word that is over and only held. */
	if (canp_likely(canp_future_is(w, f) && canp_fword_over(w) &&
			(w & PW_REFS) == CANP_FUTURE_HELD && p->life != PL_DESTROYED)) {
		p->held--;
		canp_process_slot_put(p, s, w);
		return;
	}
	do {
		if (!canp_future_is(w, f) || !(w & CANP_FUTURE_HELD))
			return;
	} while (!canp_fword_cas(&s->word, &w, w & ~(uint64_t)CANP_FUTURE_HELD));
	p->held--;
	w &= ~(uint64_t)CANP_FUTURE_HELD;
	if (p->life == PL_DESTROYED)
		return;
	if (canp_likely(canp_fword_over(w) && !(w & PW_REFS)))
		canp_process_slot_put(p, s, w);
	else
		p->orphans[p->nr_orphans++] = s->index;
}

void canp_process_future_put_batch(struct canp_future *const *f, int count)
{
	struct canp_process_pool *p = NULL;
	bool last;

	for (int i = 0; i < count && !p; i++)
		p = f[i] ? proc_pool_of(slot_of(f[i])) : NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < count; i++)
		if (f[i])
			future_drop(p, f[i]);
	last = p->life == PL_DESTROYED && !p->held;
	pthread_mutex_unlock(&p->lock);
	if (last)
		canp_process_free(p);
}

void canp_process_future_put(struct canp_future *f)
{
	if (f)
		canp_process_future_put_batch(&f, 1);
}

/* ---- results ---- */

static int outcome_error(enum canp_process_outcome o, int rc)
{
	static const int errors[] = {
		[CANP_PROCESS_OK] = 0,
		[CANP_PROCESS_ERROR] = 0,
		[CANP_PROCESS_CANCELLED] = -ECANCELED,
		[CANP_PROCESS_TIMEOUT] = -ETIMEDOUT,
		[CANP_PROCESS_CRASHED] = -EOWNERDEAD,
		[CANP_PROCESS_RESOURCE] = -EDQUOT,
		[CANP_PROCESS_SHUTDOWN] = -ESHUTDOWN,
		[CANP_PROCESS_BROKEN] = -ENOTRECOVERABLE,
	};

	return o == CANP_PROCESS_ERROR ? rc : errors[o];
}

static void result_message(const struct proc_slot *s, struct canp_process_result *r)
{
	const struct proc_cold *c = proc_cold_of(proc_pool_of(s), s);
	static const char *const texts[] = {
		[CANP_PROCESS_OK] = "",
		[CANP_PROCESS_ERROR] = "",
		[CANP_PROCESS_CANCELLED] = "cancelled",
		[CANP_PROCESS_TIMEOUT] = "time limit",
		[CANP_PROCESS_CRASHED] = "worker died",
		[CANP_PROCESS_RESOURCE] = "worker killed by a resource limit",
		[CANP_PROCESS_SHUTDOWN] = "pool stopped",
		[CANP_PROCESS_BROKEN] = "workers keep dying",
	};

	if (s->flags & PF_MESSAGE)
		memcpy(r->message, c->message, sizeof(r->message));
	else if (r->signal)
		snprintf(r->message, sizeof(r->message), "%s (signal %d)", texts[r->outcome],
			 r->signal);
	else
		snprintf(r->message, sizeof(r->message), "%s", texts[r->outcome]);
}

static void result_fill(const struct proc_slot *s, uint64_t w, struct canp_process_result *r)
{
	r->status = canp_fword_status(w);
	r->outcome = proc_outcome(w);
	r->rc = s->rc;
	r->error = outcome_error(r->outcome, s->rc);
	/* After a time limit the function may still be at work on these. */
	if (r->outcome <= CANP_PROCESS_ERROR) {
		r->output_data = s->out;
		r->output_size = s->out_size;
	} else {
		r->output_data = NULL;
		r->output_size = 0;
	}
	r->signal = s->signo;
	r->task_id = (w >> 32) << 32 | s->index;
	r->submit_ns = s->created_ns;
	r->future = NULL;
	r->worker_pid = 0;
	r->queue_ns = 0;
	r->run_ns = 0;
	if (s->pid) {
		r->worker_pid = s->pid;
		r->queue_ns = s->started_ns - s->created_ns;
		r->run_ns = s->ended_ns > s->started_ns ? s->ended_ns - s->started_ns : 0;
	}
	if (canp_unlikely(s->flags & PF_TRACE))
		r->trace = proc_cold_of(proc_pool_of(s), s)->trace;
	else
		memset(&r->trace, 0, sizeof(r->trace));
	r->message[0] = 0;
	if (canp_unlikely(r->outcome != CANP_PROCESS_OK || (s->flags & PF_MESSAGE)))
		result_message(s, r);
}

/* ---- waiting ---- */

/* The word of a task that is over, or 0 and *rc. */
static uint64_t wait_over(struct canp_future *f, uint32_t timeout_ms, int *rc)
{
	struct proc_slot *s = slot_of(f);
	uint64_t w, end_ns = UINT64_MAX;
	unsigned spins = 0, max = 0;

	*rc = 0;
	for (;;) {
		w = canp_fword_load(&s->word);
		if (canp_unlikely(!canp_future_is(w, f) ||
				  canp_fword_status(w) == CANP_TASK_FREE)) {
			*rc = -ESTALE;
			return 0;
		}
		if (canp_fword_over(w))
			return w;
		if (!timeout_ms || *rc == -ETIMEDOUT) {
			*rc = -ETIMEDOUT;
			return 0;
		}
		if (!spins) {
			if (canp_task_on_reactor()) {
				*rc = -EDEADLK;
				return 0;
			}
			max = proc_pool_of(s)->spins;
		}
		if (spins++ < max) {
			__builtin_ia32_pause();
			continue;
		}
		if (end_ns == UINT64_MAX && timeout_ms != UINT32_MAX)
			end_ns = canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
		if (!(w & CANP_FUTURE_WAITERS) &&
		    !canp_fword_cas(&s->word, &w, w | CANP_FUTURE_WAITERS))
			continue;
		*rc = canp_process_futex_wait((uint32_t *)&s->word,
					      (uint32_t)w | CANP_FUTURE_WAITERS, end_ns);
	}
}

int canp_process_future_wait(struct canp_future *f, struct canp_process_result *r,
			     uint32_t timeout_ms)
{
	uint64_t w;
	int rc;

	if (!f)
		return -EINVAL;
	w = wait_over(f, timeout_ms, &rc);
	if (!w)
		return rc;
	if (r)
		result_fill(slot_of(f), w, r);
	return 0;
}

static int any_over(struct canp_future *const *f, int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t w = f[i] ? canp_fword_load(canp_future_slot(f[i])) : 0;

		if (f[i] && (canp_fword_over(w) || !canp_future_is(w, f[i])))
			return i;
	}
	return -ETIMEDOUT;
}

int canp_process_future_wait_any(struct canp_future *const *f, int count, uint32_t timeout_ms)
{
	uint64_t end_ns = UINT64_MAX;
	struct proc_shm *shm = NULL;
	int rc, i;

	for (i = 0; i < count && !shm; i++)
		shm = f[i] ? proc_pool_of(slot_of(f[i]))->shm : NULL;
	if (!shm)
		return -EINVAL;
	rc = any_over(f, count);
	if (rc >= 0 || !timeout_ms)
		return rc;
	if (canp_task_on_reactor())
		return -EDEADLK;
	if (timeout_ms != UINT32_MAX)
		end_ns = canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
	__atomic_add_fetch(&shm->any_waiters, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		uint32_t seq = __atomic_load_n(&shm->any_seq, __ATOMIC_SEQ_CST);

		rc = any_over(f, count);
		if (rc >= 0)
			break;
		if (canp_process_futex_wait(&shm->any_seq, seq, end_ns) == -ETIMEDOUT) {
			rc = any_over(f, count);
			break;
		}
	}
	__atomic_sub_fetch(&shm->any_waiters, 1, __ATOMIC_SEQ_CST);
	return rc;
}

/* ---- cancelling ---- */

int canp_process_future_cancel(struct canp_future *f)
{
	struct canp_process_pool *p;
	struct proc_slot *s;
	int rc = 0;
	uint64_t w;

	if (!f)
		return -EINVAL;
	s = slot_of(f);
	p = proc_pool_of(s);
	pthread_mutex_lock(&p->lock);
	for (;;) {
		w = canp_fword_load(&s->word);
		if (!canp_future_is(w, f) || canp_fword_status(w) == CANP_TASK_FREE) {
			rc = -ESTALE;
			break;
		}
		if (canp_fword_over(w)) {
			rc = -EALREADY;
			break;
		}
		if (canp_fword_status(w) == CANP_TASK_PENDING) {
			if (canp_process_end(p, s, w, CANP_TASK_PENDING, CANP_PROCESS_CANCELLED))
				break;
			continue;
		}
		if (canp_fword_cas(&s->word, &w, w | CANP_FUTURE_CANCEL)) {
			/* The supervisor gives its worker the grace time, then ends it. */
			canp_process_wake_by(p, 0);
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

enum canp_task_status canp_process_task_status(struct canp_process_pool *p, uint64_t id)
{
	uint32_t i = (uint32_t)id;
	uint64_t w;

	if (i >= p->nr_slots)
		return CANP_TASK_FREE;
	w = canp_fword_load(&p->slots[i].word);
	return w >> 32 == id >> 32 ? canp_fword_status(w) : CANP_TASK_FREE;
}

int canp_process_pool_fd(struct canp_process_pool *p)
{
	__atomic_store_n(&p->shm->notify_on, 1, __ATOMIC_SEQ_CST);
	return p->notify_fd;
}

/* ---- the same through core/runtime/task.h ---- */

static int ops_wait(struct canp_future *f, uint32_t timeout_ms, struct canp_task_result *r)
{
	struct canp_process_result own;
	int rc = canp_process_future_wait(f, &own, timeout_ms);

	if (rc || !r)
		return rc;
	memset(r, 0, sizeof(*r));
	r->status = own.status;
	r->error = own.error;
	r->id = own.task_id;
	r->type = CANP_TASK_CPU;
	r->prio = (enum canp_task_prio)(canp_fword_load(canp_future_slot(f)) >> PW_PRIO_SHIFT & 3u);
	r->created_ns = own.submit_ns;
	r->queue_ns = own.queue_ns;
	r->run_ns = own.run_ns;
	r->trace = own.trace;
	memcpy(r->message, own.message, sizeof(r->message));
	return 0;
}

void canp_process_future_ops(struct canp_future_ops *ops)
{
	ops->wait = ops_wait;
	ops->cancel = canp_process_future_cancel;
	ops->put = canp_process_future_put;
}
