/*
 * mem_limit.c - the limit of the memory pool, the warning below it, and those who wait at it.
 *
 * Below `soft` a port charges a chunk at a time and lends from it. The charge that would lift the
 * sum above `soft` makes the pool TIGHT: all credits are taken back, and from then on each call
 * charges its own bytes, so that near the limit the sum is what is really in use. It ends when the
 * sum has fallen well below `soft`.
 */
#include <errno.h>

#include "numa/mem_priv.h"

void canp_mem_collect(struct canp_mem *m)
{
	uint64_t back = 0;

	for (unsigned i = 0; i < MEM_NR_PORTS; i++) {
		if (!m->ports[i])
			continue;
		back += m->ports[i]->credit;
		m->ports[i]->credit = 0;
	}
	__atomic_sub_fetch(&m->charged, back, __ATOMIC_SEQ_CST);
}

static void peak_seen(struct canp_mem *m, uint64_t sum)
{
	uint64_t old = __atomic_load_n(&m->peak, __ATOMIC_RELAXED);

	while (sum > old && !__atomic_compare_exchange_n(&m->peak, &old, sum, true,
							 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Adds bytes if the sum stays within top. */
static bool charge_within(struct canp_mem *m, uint64_t bytes, uint64_t top, uint64_t *sum)
{
	uint64_t old = __atomic_load_n(&m->charged, __ATOMIC_SEQ_CST);

	do {
		if (old + bytes > top)
			return false;
		*sum = old + bytes;
	} while (!__atomic_compare_exchange_n(&m->charged, &old, *sum, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	return true;
}

static void warn_at(struct canp_mem *m, uint64_t sum)
{
	uint32_t yes = 1;

	if (sum < m->thr || !__atomic_compare_exchange_n(&m->armed, &yes, 0, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	__atomic_add_fetch(&m->warnings, 1, __ATOMIC_RELAXED);
	if (m->opts.warning)
		m->opts.warning(m->opts.warning_arg, sum, m->limit);
}

/* Every port gives its credit back and charges for itself from now on. Outside. */
static void tighten(struct canp_mem *m)
{
	canp_mem_stop(m);
	__atomic_or_fetch(&m->slow, MEM_SLOW_TIGHT, __ATOMIC_SEQ_CST);
	canp_mem_collect(m);
	canp_mem_go(m);
}

int canp_mem_charge(struct canp_mem_port *p, uint64_t bytes)
{
	struct canp_mem *m = p->mem;
	uint64_t sum;

	if (!(__atomic_load_n(&m->slow, __ATOMIC_SEQ_CST) & MEM_SLOW_TIGHT)) {
		if (charge_within(m, bytes + m->chunk, m->soft, &sum)) {
			p->credit += m->chunk;
			return 0;
		}
		/* The world cannot be stopped from inside. */
		canp_mem_exit(p);
		tighten(m);
		canp_mem_enter_slow(p);
	}
	if (!charge_within(m, bytes, m->limit, &sum))
		return -ENOMEM;
	peak_seen(m, sum);
	warn_at(m, sum);
	return 0;
}

uint64_t canp_mem_credit_over(struct canp_mem_port *p, uint32_t flags)
{
	uint64_t keep = flags & MEM_SLOW_TIGHT ? 0 : p->mem->chunk, over = 0;

	if (p->credit > 2 * keep) {
		over = p->credit - keep;
		p->credit = keep;
	}
	return over;
}

void canp_mem_uncharge(struct canp_mem *m, uint64_t bytes)
{
	uint64_t sum;

	if (!bytes)
		return;
	sum = __atomic_sub_fetch(&m->charged, bytes, __ATOMIC_SEQ_CST);
	if (sum < m->thr)
		__atomic_store_n(&m->armed, 1, __ATOMIC_SEQ_CST);
	/* W1: the sum is lower before we look for waiters; who queues looks at the sum after (W2).
	 */
	if (__atomic_load_n(&m->nr_waiters, __ATOMIC_SEQ_CST)) {
		canp_mem_serve(m);
	} else if (sum < m->soft / 8 * 7 &&
		   (__atomic_load_n(&m->slow, __ATOMIC_SEQ_CST) & MEM_SLOW_TIGHT)) {
		__atomic_and_fetch(&m->slow, ~MEM_SLOW_TIGHT, __ATOMIC_SEQ_CST);
	}
}

/* ---- waiting ---- */

/* Serves the first waiter if it can be served now. Returns it, or NULL. */
static struct canp_mem_wait *serve_one(struct canp_mem *m, int *err)
{
	struct canp_mem_wait *w = NULL;

	pthread_mutex_lock(&m->wait_lock);
	if (!canp_list_empty(&m->waiters)) {
		w = canp_container_of(m->waiters.next, struct canp_mem_wait, link);
		*err = canp_mem_port_take(m->ports[MEM_HOUSE], w->tier, w->bytes, w->n, w->blocks,
					  true);
		if (*err == -ENOMEM) {
			w = NULL;
		} else {
			canp_list_del(&w->link);
			if (__atomic_sub_fetch(&m->nr_waiters, 1, __ATOMIC_SEQ_CST) == 0)
				__atomic_and_fetch(&m->slow, ~MEM_SLOW_WAIT, __ATOMIC_SEQ_CST);
		}
	}
	pthread_mutex_unlock(&m->wait_lock);
	return w;
}

void canp_mem_serve(struct canp_mem *m)
{
	struct canp_mem_wait *w;
	int err = 0;

	while ((w = serve_one(m, &err)) != NULL)
		w->ready(w, err);
}

int canp_mem_alloc_wait(struct canp_mem *m, struct canp_mem_wait *w)
{
	struct canp_mem_port *p = canp_mem_port_get(m);
	int rc;

	if (!p)
		return -EAGAIN;
	w->mem = m;
	canp_list_init(&w->link);
	rc = canp_mem_port_take(p, w->tier, w->bytes, w->n, w->blocks, false);
	if (rc != -ENOMEM)
		return rc;
	/* From now on every release looks for waiters: none may be inside with the old flags. */
	pthread_mutex_lock(&m->wait_lock);
	canp_list_add_tail(&m->waiters, &w->link);
	__atomic_add_fetch(&m->nr_waiters, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&m->waits, 1, __ATOMIC_RELAXED);
	__atomic_or_fetch(&m->slow, MEM_SLOW_WAIT | MEM_SLOW_TIGHT, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->wait_lock);
	tighten(m);
	/* W2: what was released before the flag was seen shows in the sum now. */
	canp_mem_serve(m);
	return -EINPROGRESS;
}

bool canp_mem_alloc_cancel(struct canp_mem *m, struct canp_mem_wait *w)
{
	bool queued;

	pthread_mutex_lock(&m->wait_lock);
	queued = !canp_list_empty(&w->link);
	if (queued) {
		canp_list_del(&w->link);
		if (__atomic_sub_fetch(&m->nr_waiters, 1, __ATOMIC_SEQ_CST) == 0)
			__atomic_and_fetch(&m->slow, ~MEM_SLOW_WAIT, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&m->wait_lock);
	/* The head may have been what kept smaller ones behind it waiting. */
	if (queued && __atomic_load_n(&m->nr_waiters, __ATOMIC_SEQ_CST))
		canp_mem_serve(m);
	return queued;
}
