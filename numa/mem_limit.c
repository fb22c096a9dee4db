/*
 * mem_limit.c - the limit of the memory pool, the warning below it, and those who wait at it.
 *
 * The charge that would lift the sum above `soft` makes the pool TIGHT (see mem_priv.h). It ends
 * when the sum has fallen well below `soft`, so that the world is not stopped again and again.
 *
 * Waiting. Who finds no memory queues and makes the pool TIGHT; from then on all memory that gets
 * free shows in the sum, and who lowers the sum looks for waiters. New requests fail while somebody
 * waits: first come, first served. The one who made room takes the blocks for the first waiter and
 * calls it.
 */
#include <errno.h>

#include "numa/mem_priv.h"

/* The pool this thread is serving: what a callback releases is served by the loop it came from. */
static __thread const struct canp_mem *serving;

static void max_up(uint64_t *max, uint64_t v)
{
	uint64_t old = __atomic_load_n(max, __ATOMIC_RELAXED);

	while (v > old &&
	       !__atomic_compare_exchange_n(max, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

bool canp_mem_charge(struct canp_mem *m, uint64_t bytes, uint64_t top, struct mem_after *after)
{
	uint64_t old = __atomic_load_n(&m->charged, __ATOMIC_SEQ_CST), sum;

	do {
		if (bytes > top || old > top - bytes)
			return false;
		sum = old + bytes;
	} while (!__atomic_compare_exchange_n(&m->charged, &old, sum, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	max_up(&m->charged_peak, sum);
	if (__atomic_load_n(&m->slow, __ATOMIC_SEQ_CST) & MEM_SLOW_TIGHT)
		max_up(&m->tight_peak, sum);
	if (sum >= m->thr && __atomic_load_n(&m->armed, __ATOMIC_SEQ_CST))
		after->warn = sum;
	return true;
}

static void warn(struct canp_mem *m, uint64_t sum)
{
	bool fire;

	pthread_mutex_lock(&m->warn_lock);
	fire = m->armed;
	__atomic_store_n(&m->armed, 0, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&m->warnings, fire, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&m->warn_lock);
	if (fire && m->opts.warning)
		m->opts.warning(m->opts.warning_arg, sum, m->limit);
}

static void rearm(struct canp_mem *m)
{
	pthread_mutex_lock(&m->warn_lock);
	if (__atomic_load_n(&m->charged, __ATOMIC_SEQ_CST) < m->thr)
		__atomic_store_n(&m->armed, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->warn_lock);
}

void canp_mem_tighten(struct canp_mem *m)
{
	uint64_t bytes = 0;

	canp_mem_stop(m);
	__atomic_or_fetch(&m->slow, MEM_SLOW_TIGHT, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < MEM_NR_PORTS; i++) {
		if (m->ports[i])
			bytes += canp_mem_port_flush(m->ports[i]);
	}
	__atomic_sub_fetch(&m->charged, bytes, __ATOMIC_SEQ_CST);
	canp_mem_go(m);
}

/* Usage is low again: magazines may be used. */
static void loosen(struct canp_mem *m)
{
	pthread_mutex_lock(&m->wait_lock);
	if (canp_list_empty(&m->waiters))
		__atomic_and_fetch(&m->slow, ~MEM_SLOW_TIGHT, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->wait_lock);
}

/* ---- waiting ---- */

/* Under wait_lock. */
static void wait_remove(struct canp_mem *m, struct canp_mem_wait *w)
{
	canp_list_del(&w->link);
	if (__atomic_sub_fetch(&m->nr_waiters, 1, __ATOMIC_SEQ_CST) == 0)
		__atomic_and_fetch(&m->slow, ~MEM_SLOW_WAIT, __ATOMIC_SEQ_CST);
}

/* Serves the first waiter if it can be served now. Returns it, or NULL. */
static struct canp_mem_wait *serve_one(struct canp_mem *m, int *err, struct mem_after *after)
{
	struct canp_mem_wait *w = NULL;

	*after = (struct mem_after){0};
	pthread_mutex_lock(&m->wait_lock);
	if (!canp_list_empty(&m->waiters)) {
		w = canp_container_of(m->waiters.next, struct canp_mem_wait, link);
		pthread_mutex_lock(&m->house_lock);
		*err = canp_mem_port_take(m->ports[MEM_HOUSE], w->tier, w->bytes, w->n, w->blocks,
					  true, after);
		pthread_mutex_unlock(&m->house_lock);
		if (*err == -ENOMEM)
			w = NULL;
		else
			wait_remove(m, w);
	}
	pthread_mutex_unlock(&m->wait_lock);
	/* Not served: what was charged for a moment goes back without another round. */
	__atomic_sub_fetch(&m->charged, after->uncharge, __ATOMIC_SEQ_CST);
	return w;
}

static void serve(struct canp_mem *m)
{
	const struct canp_mem *outer = serving;
	struct canp_mem_wait *w;
	struct mem_after after;
	int err = 0;

	if (outer == m) /* the loop below comes back to it */
		return;
	serving = m;
	while ((w = serve_one(m, &err, &after)) != NULL) {
		w->ready(w, err);
		if (after.warn)
			warn(m, after.warn);
	}
	serving = outer;
}

void canp_mem_after(struct canp_mem *m, const struct mem_after *after)
{
	uint64_t sum;

	if (after->warn)
		warn(m, after->warn);
	if (!after->uncharge && !after->lowered)
		return;
	sum = __atomic_sub_fetch(&m->charged, after->uncharge, __ATOMIC_SEQ_CST);
	if (sum < m->thr && !__atomic_load_n(&m->armed, __ATOMIC_SEQ_CST))
		rearm(m);
	/* W1: the sum is lower before we look for waiters; who queues looks at the sum after (W2).
	 */
	if (__atomic_load_n(&m->nr_waiters, __ATOMIC_SEQ_CST))
		serve(m);
	else if (sum < m->soft / 8 * 7 &&
		 (__atomic_load_n(&m->slow, __ATOMIC_SEQ_CST) & MEM_SLOW_TIGHT))
		loosen(m);
}

int canp_mem_alloc_wait(struct canp_mem *m, struct canp_mem_wait *w)
{
	uint32_t old;
	int rc;

	w->mem = m;
	canp_list_init(&w->link);
	rc = canp_mem_alloc_batch(m, w->tier, w->bytes, w->n, w->blocks);
	if (rc != -ENOMEM)
		return rc;
	pthread_mutex_lock(&m->wait_lock);
	canp_list_add_tail(&m->waiters, &w->link);
	__atomic_add_fetch(&m->nr_waiters, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&m->waits, 1, __ATOMIC_RELAXED);
	old = __atomic_fetch_or(&m->slow, MEM_SLOW_WAIT | MEM_SLOW_TIGHT, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->wait_lock);
	/* Whoever set TIGHT before us empties the magazines, and serves if it is one of us. */
	if (!(old & MEM_SLOW_TIGHT))
		canp_mem_tighten(m);
	/* W2: what was released before the flags were seen shows in the sum now. */
	serve(m);
	return -EINPROGRESS;
}

bool canp_mem_alloc_cancel(struct canp_mem *m, struct canp_mem_wait *w)
{
	bool queued;

	pthread_mutex_lock(&m->wait_lock);
	queued = !canp_list_empty(&w->link);
	if (queued)
		wait_remove(m, w);
	pthread_mutex_unlock(&m->wait_lock);
	/* The head may have been what kept smaller ones behind it waiting. */
	if (queued && __atomic_load_n(&m->nr_waiters, __ATOMIC_SEQ_CST))
		serve(m);
	return queued;
}
