/*
 * process_submit.c - how tasks get to the workers.
 *
 * One lock of the creating process makes all its threads one producer. Under it: is there room in
 * the queue (the sum of what workers claimed is only read again when the room that was seen is used
 * up), a slot, a worker, then the push; the doorbell is rung outside, once per worker and batch,
 * and only when the worker said that it sleeps. Large inputs are copied before, without the lock.
 *
 * Which worker: the last one if it has nothing to do, else another one that has nothing to do, else
 * the one with the shortest queue; a batch is cut into even runs. What turns out uneven is evened
 * by idle workers, which look into the rings of the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/process/process_priv.h"

#define RUN_MAX 64u

struct submit {
	struct canp_process_pool *p;
	const struct canp_process_task *t;
	struct canp_future **f;
	unsigned n;
	uint64_t now_ns;
	bool kick;
	unsigned nr_bells;
	uint8_t bells[PROC_ENTRIES_MAX];
};

/* ---- slots ---- */

struct proc_slot *canp_process_slot_get(struct canp_process_pool *p)
{
	if (canp_likely(p->nr_free))
		return &p->slots[p->free_slots[--p->nr_free]];
	if (p->fresh < p->nr_slots) {
		struct proc_slot *s = &p->slots[p->fresh];

		s->index = p->fresh++;
		s->ops = &p->ops;
		return s;
	}
	if (p->nr_orphans && canp_process_orphans(p))
		return &p->slots[p->free_slots[--p->nr_free]];
	return NULL;
}

static unsigned slots_left(struct canp_process_pool *p)
{
	return p->nr_free + p->nr_slots - p->fresh;
}

/* Tasks that wait. Claims that are counted and then fail make it one too low for a moment. */
uint64_t canp_process_queued(const struct canp_process_pool *p)
{
	uint64_t in = canp_stat_get(&p->shm->submitted) - canp_stat_get(&p->shm->dropped), out = 0;

	for (unsigned i = 0; i < p->nr_entries; i++)
		out += proc_get64(&p->shm->entries[i].claimed);
	return in > out ? in - out : 0;
}

static bool room_for(struct canp_process_pool *p, unsigned n)
{
	uint64_t queued;

	if (canp_likely(p->room >= n))
		return true;
	queued = canp_process_queued(p);
	p->room = queued < (uint64_t)p->cfg.queue_size ? (uint64_t)p->cfg.queue_size - queued : 0;
	return p->room >= n;
}

/* ---- where ---- */

static uint64_t load_of(const struct canp_process_pool *p, unsigned i)
{
	const struct proc_entry *e = &p->shm->entries[i];
	uint64_t n = p->watch[i].given - proc_get64(&e->popped);

	return n + (proc_get64(&e->cur) != 0);
}

/* n_max: how many the batch may push there; entries left behind by thieves and cancellers also take
 * room in the rings until their owner meets them. -1: no rings with room. */
static int choose(struct canp_process_pool *p, unsigned n_max)
{
	uint64_t least = UINT64_MAX;
	int best = -1;

	if (p->watch[p->last].live && !load_of(p, p->last))
		return (int)p->last;
	for (unsigned i = 0; i < p->nr_entries; i++) {
		uint64_t n;

		if (!p->watch[i].live)
			continue;
		n = load_of(p, i);
		if (n < least && n + n_max <= p->ring_slots) {
			least = n;
			best = (int)i;
		}
		if (!n)
			break;
	}
	if (best < 0)
		return -1;
	p->last = (unsigned)best;
	return best;
}

void canp_process_push(struct canp_process_pool *p, unsigned entry, void *f, unsigned prio)
{
	uint32_t n = canp_spsc_push(&p->shm->entries[entry].q[prio], &f, 1);

	CANP_ASSERT(n == 1);
	p->watch[entry].given++;
}

void canp_process_bell(struct canp_process_pool *p, unsigned entry)
{
	struct proc_entry *e = &p->shm->entries[entry];

	if (!__atomic_load_n(&e->armed, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&e->armed, 0, __ATOMIC_SEQ_CST))
		return;
	canp_stat_add(&p->shm->wakes, 1);
	canp_process_futex_wake(&e->armed, 1);
}

/* ---- one task ---- */

static int task_check(struct canp_process_pool *p, const struct canp_process_task *t)
{
	if (!t->func || !canp_process_seg_code(p, t->func))
		return -EINVAL;
	if ((unsigned)t->priority >= CANP_PRIO_NR || (t->input_size && !t->input_data))
		return -EINVAL;
	return t->input_size > UINT32_MAX - 4096 ? -E2BIG : 0;
}

/* Where a large input has to be copied to, had before the lock is taken for the batch; NULL: it
 * fits the slot or lies in payload memory. */
static int input_copy(struct canp_process_pool *p, const struct canp_process_task *t, void **out)
{
	*out = NULL;
	if (t->input_size <= PROC_INLINE || canp_process_heap_holds(p, t->input_data))
		return 0;
	*out = canp_process_pool_alloc(p, t->input_size);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, t->input_data, t->input_size);
	return 0;
}

static void slot_input(struct canp_process_pool *p, struct proc_slot *s,
		       const struct canp_process_task *t, void *copy)
{
	s->in_size = (uint32_t)t->input_size;
	s->in = t->input_data;
	if (copy) {
		s->in = copy;
		s->flags |= PF_IN_CHUNK;
	} else if (t->input_size && !canp_process_heap_holds(p, t->input_data)) {
		s->in = t->input_size <= PROC_TINY ? s->tiny : proc_cold_of(p, s)->data;
		memcpy(s->in, t->input_data, t->input_size);
	}
}

static bool has_trace(const struct canp_trace_ctx *t)
{
	uint64_t a, b;

	memcpy(&a, t->trace_id, 8);
	memcpy(&b, t->trace_id + 8, 8);
	return a | b;
}

/* A span id that does not come twice: random at the pool's start, counted from there. */
static void slot_trace(struct canp_process_pool *p, struct proc_slot *s,
		       const struct canp_process_task *t, uint64_t now_ns)
{
	struct proc_cold *c = proc_cold_of(p, s);
	uint64_t id = canp_stat_get(&p->shm->submitted) * 0x9e3779b97f4a7c15ull ^ now_ns;

	memset(&c->parent, 0, sizeof(c->parent));
	c->parent = t->trace;
	c->trace = t->trace;
	if (!has_trace(&t->trace)) {
		uint64_t hi = (uint64_t)(uintptr_t)p * 0xbf58476d1ce4e5b9ull ^ id;

		memcpy(c->trace.trace_id, &hi, 8);
		memcpy(c->trace.trace_id + 8, &now_ns, 8);
		c->trace.flags = 1;
	}
	id |= 1;
	memcpy(c->trace.span_id, &id, 8);
	s->flags |= PF_TRACE;
}

static struct canp_future *slot_fill(struct submit *b, const struct canp_process_task *t,
				     void *copy, bool held)
{
	struct canp_process_pool *p = b->p;
	struct proc_slot *s = canp_process_slot_get(p);
	uint32_t timeout_ms = t->timeout_ms ? t->timeout_ms : p->cfg.task_timeout;
	uint64_t gen = canp_fword_load(&s->word) & ~0xffffffffull;
	uint64_t w =
		CANP_TASK_PENDING | CANP_FUTURE_FOREIGN | (uint64_t)t->priority << PW_PRIO_SHIFT;

	s->fn = t->func;
	s->user = t->user_data;
	s->out = NULL;
	s->out_size = 0;
	s->rc = 0;
	s->flags = 0;
	s->signo = 0;
	s->created_ns = b->now_ns;
	s->started_ns = 0;
	s->ended_ns = 0;
	s->deadline_ns = 0;
	s->pid = 0;
	slot_input(p, s, t, copy);
	if (held)
		w |= CANP_FUTURE_HELD;
	if (timeout_ms && timeout_ms != UINT32_MAX) {
		s->deadline_ns = b->now_ns + timeout_ms * (uint64_t)CANP_NS_PER_MS;
		w |= CANP_FUTURE_TIMED;
		if (s->deadline_ns < p->deadline_ns) {
			p->deadline_ns = s->deadline_ns;
			b->kick |= s->deadline_ns < p->wake_at_ns;
		}
	}
	if (canp_unlikely(p->cfg.trace || has_trace(&t->trace)))
		slot_trace(p, s, t, b->now_ns);
	if (canp_unlikely(t->done != NULL)) {
		proc_cold_of(p, s)->done = t->done;
		proc_cold_of(p, s)->done_arg = t->done_arg;
		p->notify[p->nr_notify++] = s->index;
		w |= CANP_FUTURE_DONE | PW_NOTIFY;
	}
	if (!held)
		p->orphans[p->nr_orphans++] = s->index;
	__atomic_store_n(&s->word, gen | w, __ATOMIC_RELEASE);
	return canp_future_of(s, (uint32_t)(gen >> 32));
}

/* ---- batches ---- */

/* More than the workers can run at once: the supervisor looks at it. */
static void grow_ask(struct submit *b)
{
	struct canp_process_pool *p = b->p;

	if (!p->cfg.enable_dynamic_scaling || p->grow_asked ||
	    p->nr_live >= (unsigned)p->cfg.max_workers)
		return;
	p->grow_asked = b->n > p->nr_live || load_of(p, p->last) > 1;
	b->kick |= p->grow_asked && p->scale_at_ns == UINT64_MAX;
}

/* Workers with something to do are looked at every heartbeat; the first task starts that. */
static void beat_start(struct submit *b)
{
	uint64_t at = b->now_ns + b->p->cfg.heartbeat_ms * (uint64_t)CANP_NS_PER_MS;

	if (b->p->beat_at_ns == UINT64_MAX) {
		b->p->beat_at_ns = at;
		b->kick |= at < b->p->wake_at_ns;
	}
}

/* Tasks from i on that go into one ring, at once: each push costs its reader a cache miss. */
static unsigned run_push(struct submit *b, unsigned to, unsigned i, unsigned end,
			 void *const *copies)
{
	struct canp_process_pool *p = b->p;
	enum canp_task_prio prio = b->t[i].priority;
	void *f[RUN_MAX];
	uint32_t n = 0;

	for (; i < end && n < RUN_MAX && b->t[i].priority == prio; i++, n++) {
		f[n] = slot_fill(b, &b->t[i], copies ? copies[i] : NULL, b->f != NULL);
		if (b->f)
			b->f[i] = f[n];
	}
	CANP_ASSERT(canp_spsc_push(&p->shm->entries[to].q[prio], f, n) == n);
	p->watch[to].given += n;
	return n;
}

static void batch_push(struct submit *b, void *const *copies)
{
	struct canp_process_pool *p = b->p;
	unsigned per = (b->n + p->nr_live - 1) / p->nr_live, i = 0;

	while (i < b->n) {
		unsigned to = (unsigned)choose(p, b->n), end = canp_min(i + per, b->n);

		while (i < end)
			i += run_push(b, to, i, end, copies);
		b->bells[b->nr_bells++] = (uint8_t)to;
	}
	canp_stat_add(&p->shm->submitted, b->n);
	canp_stat_add(&p->shm->batches, 1);
	p->room -= b->n;
	grow_ask(b);
	beat_start(b);
}

static int batch_state(struct submit *b)
{
	struct canp_process_pool *p = b->p;

	if (p->shm->breaker)
		return -ENOTRECOVERABLE;
	if (p->life != PL_RUNNING)
		return -ESHUTDOWN;
	if (!p->nr_live || choose(p, b->n) < 0)
		return -EAGAIN;
	if (!room_for(p, b->n))
		return -EAGAIN;
	if (slots_left(p) < b->n &&
	    (!p->nr_orphans || canp_process_orphans(p) == 0 || slots_left(p) < b->n))
		return -EAGAIN;
	return 0;
}

static int batch_go(struct submit *b, void *const *copies)
{
	struct canp_process_pool *p = b->p;
	int rc;

	b->now_ns = canp_clock_ns();
	pthread_mutex_lock(&p->lock);
	rc = batch_state(b);
	if (!rc) {
		if (b->f)
			p->held += b->n;
		batch_push(b, copies);
	} else if (rc == -EAGAIN) {
		canp_stat_add(&p->shm->rejected, b->n);
	}
	pthread_mutex_unlock(&p->lock);
	if (rc)
		return rc;
	/* The pushes are to be seen before `armed` is looked at; the worker does it the other way
	 * round. */
	canp_full_fence();
	for (unsigned i = 0; i < b->nr_bells; i++)
		canp_process_bell(p, b->bells[i]);
	if (b->kick)
		canp_process_kick(p);
	return 0;
}

static int batch_large(struct submit *b)
{
	void **copies = calloc(b->n, sizeof(*copies));
	int rc = copies ? 0 : -ENOMEM;

	for (unsigned i = 0; !rc && i < b->n; i++)
		rc = input_copy(b->p, &b->t[i], &copies[i]);
	if (!rc)
		rc = batch_go(b, copies);
	for (unsigned i = 0; rc && copies && i < b->n; i++)
		canp_process_pool_free(b->p, copies[i]);
	free(copies);
	return rc;
}

int canp_process_pool_submit_batch_into(struct canp_process_pool *p,
					const struct canp_process_task *t, int count,
					struct canp_future **futures)
{
	struct submit b = {.p = p, .t = t, .f = futures};
	bool large = false;
	void *copy = NULL;
	int rc;

	if (count < 1 || count > PROC_BATCH_MAX)
		return -EINVAL;
	b.n = (unsigned)count;
	for (unsigned i = 0; i < b.n; i++) {
		rc = task_check(p, &t[i]);
		if (rc)
			return rc;
		large |= t[i].input_size > PROC_INLINE &&
			 !canp_process_heap_holds(p, t[i].input_data);
	}
	if (!large)
		return batch_go(&b, NULL);
	if (b.n > 1)
		return batch_large(&b);
	rc = input_copy(p, t, &copy);
	if (!rc)
		rc = batch_go(&b, &copy);
	if (rc)
		canp_process_pool_free(p, copy);
	return rc;
}

struct canp_future **canp_process_pool_submit_batch(struct canp_process_pool *p,
						    struct canp_process_task *tasks, int count)
{
	struct canp_future **f =
		count > 0 ? malloc((size_t)count * sizeof(struct canp_future *)) : NULL;
	int rc = f           ? canp_process_pool_submit_batch_into(p, tasks, count, f)
		 : count > 0 ? -ENOMEM
			     : -EINVAL;

	if (!rc)
		return f;
	free(f);
	errno = -rc;
	return NULL;
}

static struct canp_process_task task_of(canp_process_fn func, void *input_data, size_t input_size,
					void *user_data, enum canp_task_prio priority,
					uint32_t timeout_ms)
{
	return (struct canp_process_task){.func = func,
					  .input_data = input_data,
					  .input_size = input_size,
					  .user_data = user_data,
					  .priority = priority,
					  .timeout_ms = timeout_ms};
}

struct canp_future *canp_process_pool_submit_async(struct canp_process_pool *p,
						   canp_process_fn func, void *input_data,
						   size_t input_size, void *user_data,
						   enum canp_task_prio priority,
						   uint32_t timeout_ms)
{
	struct canp_process_task t =
		task_of(func, input_data, input_size, user_data, priority, timeout_ms);
	struct canp_future *f = NULL;
	int rc = canp_process_pool_submit_batch_into(p, &t, 1, &f);

	if (!rc)
		return f;
	errno = -rc;
	return NULL;
}

/* ---- waiting for room ---- */

static int room_wait(struct canp_process_pool *p, uint64_t end_ns)
{
	uint32_t seq = proc_get32(&p->shm->room_seq);
	bool full;
	int rc = 0;

	__atomic_add_fetch(&p->shm->room_waiters, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&p->lock);
	p->room = 0;
	full = p->life == PL_RUNNING && !p->shm->breaker && !room_for(p, 1);
	pthread_mutex_unlock(&p->lock);
	if (full)
		rc = canp_process_futex_wait(&p->shm->room_seq, seq, end_ns);
	__atomic_sub_fetch(&p->shm->room_waiters, 1, __ATOMIC_SEQ_CST);
	return rc == -ETIMEDOUT ? rc : 0;
}

int canp_process_pool_submit_sync(struct canp_process_pool *p, canp_process_fn func,
				  void *input_data, size_t input_size, void *user_data,
				  enum canp_task_prio priority, uint32_t timeout_ms,
				  struct canp_process_result *result)
{
	struct canp_process_task t =
		task_of(func, input_data, input_size, user_data, priority, timeout_ms);
	struct canp_process_result own;
	struct canp_future *f = NULL;
	uint64_t end_ns = 0;
	int rc;

	if (!result)
		result = &own;
	for (;;) {
		rc = canp_process_pool_submit_batch_into(p, &t, 1, &f);
		if (canp_likely(rc != -EAGAIN))
			break;
		if (!timeout_ms)
			timeout_ms = p->cfg.task_timeout ? p->cfg.task_timeout : UINT32_MAX;
		if (!end_ns)
			end_ns = timeout_ms == UINT32_MAX
					 ? UINT64_MAX
					 : canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
		rc = room_wait(p, end_ns);
		if (rc)
			break;
		if (end_ns != UINT64_MAX) {
			uint64_t now = canp_clock_ns();

			t.timeout_ms = now < end_ns ? (uint32_t)((end_ns - now) / 1000000) + 1 : 1;
		}
	}
	if (rc) {
		memset(result, 0, sizeof(*result));
		result->status = CANP_TASK_FAILED;
		result->outcome = rc == -ETIMEDOUT         ? CANP_PROCESS_TIMEOUT
				  : rc == -ESHUTDOWN       ? CANP_PROCESS_SHUTDOWN
				  : rc == -ENOTRECOVERABLE ? CANP_PROCESS_BROKEN
							   : CANP_PROCESS_ERROR;
		result->error = rc;
		return rc;
	}
	/* Its time limit ends the task, and the task's end this wait. */
	canp_process_future_wait(f, result, UINT32_MAX);
	if (result != &own && result->output_data)
		result->future = f;
	else
		canp_process_future_put(f);
	return result->error;
}

void canp_process_result_release(struct canp_process_result *result)
{
	if (!result->future)
		return;
	canp_process_future_put(result->future);
	result->future = NULL;
	result->output_data = NULL;
	result->output_size = 0;
}

/* ---- payload ---- */

void *canp_process_pool_alloc(struct canp_process_pool *p, size_t size)
{
	void *data;

	pthread_mutex_lock(&p->lock);
	data = canp_process_heap_alloc(p, 0, size);
	pthread_mutex_unlock(&p->lock);
	if (!data)
		errno = ENOMEM;
	return data;
}

void canp_process_pool_free(struct canp_process_pool *p, void *data)
{
	if (data && canp_process_heap_holds(p, data))
		canp_process_heap_free(p, data);
}
