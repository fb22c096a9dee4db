/*
 * task_port.c - a thread's access to an executor: finding its port, free slots, counters.
 *
 * Free slots move in chunks between a thread and the depots of the shards, so most tasks take and
 * give a slot without an atomic instruction. A depot is a stack of chunks whose head carries a tag
 * that changes with every pop; slots that were never used are not in any list but counted by
 * `fresh`, so their pages are touched first by who needs them. At most two chunks are out of sight
 * in each thread.
 *
 * Threads and executors may end in any order. A node per thread and executor connects the two; one
 * lock of the process guards these connections and is taken when a thread meets an executor for the
 * first time and when one of them ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/runtime/task_priv.h"

struct task_thread_node {
	struct task_thread_node *next;
	struct task_port *port; /* NULL: the executor is gone */
};

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

static __thread struct {
	uint64_t ex_id;
	struct task_port *port;
} last;
static __thread struct task_thread_node *mine;
static __thread bool is_reactor;

static uint32_t depot_of(const struct task_port *p)
{
	return p->shard >= 0 ? (uint32_t)p->shard : p->next_depot;
}

/* ---- slots ---- */

static void depot_push(struct task_shard *d, struct canp_exec *ex, uint32_t chunk)
{
	uint64_t old = __atomic_load_n(&d->depot, __ATOMIC_RELAXED), new;

	do {
		__atomic_store_n(&ex->slots[chunk].chunk_next, (uint32_t)old, __ATOMIC_RELAXED);
		new = (old & ~0xffffffffull) | (chunk + 1);
	} while (!__atomic_compare_exchange_n(&d->depot, &old, new, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static uint32_t depot_pop(struct task_shard *d, struct canp_exec *ex)
{
	uint64_t old = __atomic_load_n(&d->depot, __ATOMIC_ACQUIRE), new;

	do {
		uint32_t i = (uint32_t)old;

		if (!i)
			return TASK_NONE;
		/* May be stale when another thread pops meanwhile: then the tag differs. */
		new = __atomic_load_n(&ex->slots[i - 1].chunk_next, __ATOMIC_RELAXED);
		new |= ((old >> 32) + 1) << 32;
	} while (!__atomic_compare_exchange_n(&d->depot, &old, new, true, __ATOMIC_ACQUIRE,
					      __ATOMIC_ACQUIRE));
	return (uint32_t)old - 1;
}

/* A chunk of slots that were never used, linked. */
static uint32_t depot_fresh(struct task_shard *d, struct canp_exec *ex)
{
	uint32_t first, n;

	if (__atomic_load_n(&d->fresh, __ATOMIC_RELAXED) >= ex->nr_slots)
		return TASK_NONE;
	first = __atomic_fetch_add(&d->fresh, ex->chunk, __ATOMIC_RELAXED);
	if (first >= ex->nr_slots)
		return TASK_NONE;
	n = canp_min(ex->chunk, ex->nr_slots - first);
	first += d->index * ex->nr_slots;
	for (uint32_t i = 0; i < n; i++) {
		ex->slots[first + i].ex = ex;
		ex->slots[first + i].next = i + 1 < n ? first + i + 1 : TASK_NONE;
	}
	ex->slots[first].chunk_n = n;
	return first;
}

/* Another chunk for a port that has no free slot left. */
static CANP_NOINLINE bool port_refill(struct task_port *p)
{
	struct canp_exec *ex = p->ex;
	uint32_t i = p->spare;

	p->spare = TASK_NONE;
	for (unsigned k = 0; k < ex->nr && i == TASK_NONE; k++) {
		struct task_shard *d = &ex->sh[(depot_of(p) + k) % ex->nr];

		i = depot_pop(d, ex);
		if (i == TASK_NONE)
			i = depot_fresh(d, ex);
	}
	if (i == TASK_NONE)
		return false;
	p->free = i;
	p->nr_free = ex->slots[i].chunk_n;
	return true;
}

unsigned canp_task_slots_get(struct task_port *p, uint32_t *out, unsigned n)
{
	const struct task_slot *slots = p->ex->slots;
	unsigned got = 0;

	while (got < n) {
		uint32_t i = p->free, left;

		if (canp_unlikely(i == TASK_NONE)) {
			if (!port_refill(p))
				break;
			i = p->free;
		}
		for (left = p->nr_free; left && got < n; left--) {
			out[got++] = i;
			i = slots[i].next;
		}
		p->free = i;
		p->nr_free = left;
	}
	return got;
}

void canp_task_slot_put(struct task_port *p, uint32_t i)
{
	struct canp_exec *ex = p->ex;

	if (canp_unlikely(p->nr_free == ex->chunk)) {
		if (p->spare != TASK_NONE)
			depot_push(&ex->sh[depot_of(p)], ex, p->spare);
		ex->slots[p->free].chunk_n = p->nr_free;
		p->spare = p->free;
		p->free = TASK_NONE;
		p->nr_free = 0;
	}
	ex->slots[i].next = p->free;
	p->free = i;
	p->nr_free++;
}

void canp_task_slot_give(struct canp_exec *ex, uint32_t i)
{
	ex->slots[i].next = TASK_NONE;
	ex->slots[i].chunk_n = 1;
	depot_push(&ex->sh[i / ex->nr_slots], ex, i);
}

/* ---- threads ---- */

/* The port may be another thread's next. Registry held. */
static void port_retire(struct task_port *p)
{
	struct canp_exec *ex = p->ex;

	if (p->free != TASK_NONE) {
		ex->slots[p->free].chunk_n = p->nr_free;
		depot_push(&ex->sh[depot_of(p)], ex, p->free);
	}
	if (p->spare != TASK_NONE)
		depot_push(&ex->sh[depot_of(p)], ex, p->spare);
	p->free = TASK_NONE;
	p->spare = TASK_NONE;
	p->nr_free = 0;
	p->thread = NULL;
	p->taken = false;
}

static void thread_ends(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&registry);
	while (mine) {
		struct task_thread_node *n = mine;

		mine = n->next;
		if (n->port)
			port_retire(n->port);
		free(n);
	}
	pthread_mutex_unlock(&registry);
	last.ex_id = 0;
}

static void process_init(void)
{
	pthread_key_create(&thread_key, thread_ends);
}

/* Connects port and thread; forgets executors that are gone. Registry held. */
static int thread_bind(struct task_port *p)
{
	struct task_thread_node **np = &mine, *n;

	while ((n = *np) != NULL) {
		if (n->port) {
			np = &n->next;
			continue;
		}
		*np = n->next;
		free(n);
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->port = p;
	n->next = mine;
	mine = n;
	p->thread = n;
	p->taken = true;
	/* Any value but NULL makes thread_ends() run. */
	pthread_setspecific(thread_key, &registry);
	last.ex_id = p->ex->id;
	last.port = p;
	return 0;
}

static struct task_port *port_take(struct canp_exec *ex)
{
	for (unsigned i = ex->nr; i < ex->nr + TASK_PORTS_MAX; i++) {
		struct task_port *p = &ex->ports[i];

		if (p->taken)
			continue;
		if (thread_bind(p))
			return NULL;
		if (i >= __atomic_load_n(&ex->nr_ports, __ATOMIC_RELAXED))
			__atomic_store_n(&ex->nr_ports, i + 1, __ATOMIC_RELEASE);
		return p;
	}
	return NULL;
}

static struct task_port *port_find(struct canp_exec *ex)
{
	struct task_thread_node *n;
	struct task_port *p = NULL;

	pthread_once(&once, process_init);
	pthread_mutex_lock(&registry);
	for (n = mine; n && !p; n = n->next) {
		if (n->port && n->port->ex == ex)
			p = n->port;
	}
	if (p) {
		last.ex_id = ex->id;
		last.port = p;
	} else {
		p = port_take(ex);
	}
	pthread_mutex_unlock(&registry);
	return p;
}

struct task_port *canp_task_port(struct canp_exec *ex)
{
	if (canp_likely(last.ex_id == ex->id))
		return last.port;
	return port_find(ex);
}

bool canp_task_on_reactor(void)
{
	return is_reactor;
}

int canp_task_port_bind(struct task_port *p)
{
	int rc;

	pthread_once(&once, process_init);
	pthread_mutex_lock(&registry);
	rc = thread_bind(p);
	pthread_mutex_unlock(&registry);
	is_reactor = true;
	return rc;
}

void canp_task_ports_forget(struct canp_exec *ex)
{
	pthread_mutex_lock(&registry);
	for (unsigned i = 0; i < ex->nr + TASK_PORTS_MAX; i++) {
		if (ex->ports[i].thread)
			ex->ports[i].thread->port = NULL;
		ex->ports[i].thread = NULL;
	}
	pthread_mutex_unlock(&registry);
}

/* ---- counters ---- */

void canp_task_counts_read(const struct task_counts *c, struct task_counts *out)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)out, seq;

	do {
		seq = __atomic_load_n(&c->seq, __ATOMIC_ACQUIRE);
		for (unsigned i = 0; i < sizeof(*c) / sizeof(*from); i++)
			to[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
	} while ((seq & 1) || __atomic_load_n(&c->seq, __ATOMIC_RELAXED) != seq);
}
