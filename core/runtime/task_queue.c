/*
 * task_queue.c - the class queues of one shard: strict classes with ageing, FIFO inside a class,
 * and how another reactor takes the oldest task out of them.
 *
 * A queue is an array of handles. Only its owner pushes and pops; a thief reads entries and wins
 * the task by the CAS on its slot, so an entry whose task was taken, cancelled or timed out stays
 * behind and is skipped when the owner comes to it. The array has twice as many entries as there
 * are slots: when it is full, at least half of it is such leftovers and compaction makes room, so a
 * push never fails and costs O(1) on average. An empty queue starts at its first entry again, which
 * keeps a short queue in one cache line.
 *
 * Ageing: a task that waited CANP_TASK_AGEING_MS in its class moves to the end of the next higher
 * one. So a Low task is Critical after three steps at most and then only waits for those that were
 * Critical before it.
 */
#include "core/runtime/task_priv.h"

#define AGEING_NS (CANP_TASK_AGEING_MS * (uint64_t)CANP_NS_PER_MS)

static unsigned queue_index(unsigned prio, unsigned type)
{
	return prio * CANP_TASK_NR_TYPES + type;
}

static void *entry_handle(const struct task_queue *q, uint32_t i)
{
	return __atomic_load_n(&q->e[i & q->mask].handle, __ATOMIC_RELAXED);
}

/* Thieves read the handle of a copy or of the original; the CAS decides between them. */
static void queue_compact(struct task_shard *sh, struct task_queue *q)
{
	uint32_t to = q->head;

	for (uint32_t i = q->head; i != q->tail; i++) {
		struct task_entry e = q->e[i & q->mask];

		if (!task_pending(e.handle))
			continue;
		__atomic_store_n(&q->e[to & q->mask].handle, e.handle, __ATOMIC_RELAXED);
		q->e[to & q->mask].stamp = e.stamp;
		to++;
	}
	sh->queued -= q->tail - to;
	__atomic_store_n(&q->tail, to, __ATOMIC_RELEASE);
	__atomic_store_n(&q->seen, q->head, __ATOMIC_RELAXED);
	CANP_ASSERT(to - q->head <= q->mask);
}

void canp_task_queue_push(struct task_shard *sh, unsigned prio, unsigned type, void *handle,
			  uint64_t now_ns)
{
	unsigned qi = queue_index(prio, type);
	struct task_queue *q = &sh->q[qi];

	if (canp_unlikely(q->tail - q->head > q->mask))
		queue_compact(sh, q);
	sh->stamp = canp_max(sh->stamp + 1, now_ns);
	__atomic_store_n(&q->e[q->tail & q->mask].handle, handle, __ATOMIC_RELAXED);
	q->e[q->tail & q->mask].stamp = sh->stamp;
	__atomic_store_n(&q->tail, q->tail + 1, __ATOMIC_RELEASE);
	sh->mask |= 1u << qi;
	sh->queued++;
}

void canp_task_queue_push_run(struct task_shard *sh, unsigned prio, unsigned type, void *const *h,
			      unsigned n, uint64_t now_ns)
{
	unsigned qi = queue_index(prio, type);
	struct task_queue *q = &sh->q[qi];
	uint64_t stamp = canp_max(sh->stamp + 1, now_ns);

	/* All that is pending, these included, are slots: half of the entries at most. */
	if (canp_unlikely(q->tail - q->head + n > q->mask + 1))
		queue_compact(sh, q);
	for (unsigned i = 0; i < n; i++) {
		struct task_entry *e = &q->e[(q->tail + i) & q->mask];

		__atomic_store_n(&e->handle, h[i], __ATOMIC_RELAXED);
		e->stamp = stamp + i;
	}
	sh->stamp = stamp + n - 1;
	__atomic_store_n(&q->tail, q->tail + n, __ATOMIC_RELEASE);
	sh->mask |= 1u << qi;
	sh->queued += n;
}

bool canp_task_queue_best(struct task_shard *sh, unsigned *qi)
{
	/* One bit per type in each class. */
	uint32_t m = sh->mask & ~(sh->blocked * 01111u);
	unsigned top;
	uint64_t best = UINT64_MAX;

	if (!m)
		return false;
	top = (31u - (unsigned)__builtin_clz(m)) / CANP_TASK_NR_TYPES * CANP_TASK_NR_TYPES;
	if (!((m >> top) & ((m >> top) - 1))) { /* the usual case: one type in it */
		*qi = top + (unsigned)__builtin_ctz(m >> top);
		return true;
	}
	for (unsigned i = top; i < top + CANP_TASK_NR_TYPES; i++) {
		const struct task_queue *q = &sh->q[i];

		if ((m >> i & 1) && q->e[q->head & q->mask].stamp < best) {
			best = q->e[q->head & q->mask].stamp;
			*qi = i;
		}
	}
	return true;
}

void *canp_task_queue_pop(struct task_shard *sh, unsigned qi)
{
	struct task_queue *q = &sh->q[qi];
	void *h = entry_handle(q, q->head);

	sh->queued--;
	if (q->head + 1 == q->tail) {
		/* A thief between the two stores sees an empty or an impossible range. */
		__atomic_store_n(&q->tail, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&q->head, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&q->seen, 0, __ATOMIC_RELAXED);
		sh->mask &= ~(1u << qi);
	} else {
		__atomic_store_n(&q->head, q->head + 1, __ATOMIC_RELEASE);
	}
	return h;
}

void canp_task_queue_age(struct task_shard *sh, uint64_t now_ns)
{
	uint32_t m = sh->mask & 0777u; /* all but Critical */

	/* From the highest class down: a task takes one step at a time. */
	while (m) {
		unsigned qi = 31u - (unsigned)__builtin_clz(m);
		struct task_queue *q = &sh->q[qi];

		m &= ~(1u << qi);
		while ((sh->mask >> qi & 1) &&
		       q->e[q->head & q->mask].stamp + AGEING_NS <= now_ns) {
			void *h = canp_task_queue_pop(sh, qi);

			if (task_pending(h))
				canp_task_queue_push(sh, qi / CANP_TASK_NR_TYPES + 1,
						     qi % CANP_TASK_NR_TYPES, h, now_ns);
		}
	}
}

/* ---- thieves ---- */

/* The generation is part of the CAS, so the type that was looked at is the type that is won. */
static bool steal_one(void *h, uint32_t blocked, uint64_t *word)
{
	struct task_slot *s = task_slot_of(h);
	uint64_t w = canp_fword_load(&s->word);

	if (!canp_future_is(w, h) || (blocked >> task_type(w) & 1))
		return false;
	return task_claim(s, h, word, TS_PINNED | TS_SCHED);
}

static struct task_slot *steal_queue(struct task_queue *q, uint32_t blocked, uint64_t *word)
{
	uint32_t head = __atomic_load_n(&q->head, __ATOMIC_ACQUIRE);
	uint32_t tail = __atomic_load_n(&q->tail, __ATOMIC_ACQUIRE);
	uint32_t n = tail - head, seen = __atomic_load_n(&q->seen, __ATOMIC_RELAXED);
	bool first = true;

	if (n == 0 || n > q->mask + 1)
		return NULL;
	for (uint32_t i = seen - head <= n ? seen : head; i != tail; i++) {
		void *h = entry_handle(q, i);
		bool got = h && steal_one(h, blocked, word);

		if (!got && h && task_pending(h)) {
			first = false; /* pinned or of a type that is blocked: stays ahead */
			continue;
		}
		if (first)
			__atomic_store_n(&q->seen, i + 1, __ATOMIC_RELAXED);
		if (got)
			return task_slot_of(h);
	}
	return NULL;
}

static struct task_slot *steal_lane(struct task_lane *l, uint32_t blocked, uint64_t *word)
{
	uint32_t head = __atomic_load_n(&l->q.head, __ATOMIC_ACQUIRE);
	uint32_t n = canp_spsc_count(&l->q), seen = __atomic_load_n(&l->seen, __ATOMIC_RELAXED);
	uint32_t i = seen - head <= n ? seen - head : 0;
	bool first = true;

	for (; i < n; i++) {
		void *h = canp_spsc_peek(&l->q, i);
		bool got = h && steal_one(h, blocked, word);

		if (!h)
			return NULL;
		if (!got && task_pending(h)) {
			first = false;
			continue;
		}
		if (first)
			__atomic_store_n(&l->seen, head + i + 1, __ATOMIC_RELAXED);
		if (got)
			return task_slot_of(h);
	}
	return NULL;
}

struct task_slot *canp_task_queue_steal(struct task_shard *victim, uint32_t blocked, uint64_t *word)
{
	struct canp_exec *ex = victim->ex;
	unsigned nr_ports = __atomic_load_n(&ex->nr_ports, __ATOMIC_ACQUIRE);
	struct task_slot *s = NULL;

	if (__atomic_load_n(&victim->load, __ATOMIC_RELAXED)) {
		for (unsigned qi = TASK_QUEUES; qi-- > 0 && !s;)
			s = steal_queue(&victim->q[qi], blocked, word);
	}
	for (unsigned i = 0; i < nr_ports && !s; i++)
		s = steal_lane(&ex->ports[i].lanes[victim->index], blocked, word);
	return s;
}
