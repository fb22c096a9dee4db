/*
 * mem_port.c - ports of the memory pool: one per thread, found through thread-local storage; and
 * stopping the world, which lets one thread see and change the words of all ports.
 *
 * A thread that ends gives its ports back through a pthread key. Pools and threads may end in any
 * order, so the list of a thread's ports is guarded by one lock of the process (the registry);
 * it is taken when a port is made or given back, never on an allocation.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "numa/mem_priv.h"

#define STOP_YIELDS   200u
#define STOP_SLEEP_US 50u

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static bool have_membarrier;

/* The port used last, and all ports of this thread. */
__thread struct mem_last canp_mem_last;
static __thread struct canp_mem_port *mine;

/* Takes the port of pool m (NULL: any) from this thread and gives it back. Returns false when there
 * is none. The pool's waiters are served after the registry is left: they may call in here. */
static bool thread_leaves(struct canp_mem *m);

static void thread_ends(void *arg)
{
	(void)arg;
	while (thread_leaves(NULL))
		;
}

static void process_init(void)
{
	pthread_key_create(&thread_key, thread_ends);
	have_membarrier =
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool canp_mem_needs_fence(void)
{
	pthread_once(&once, process_init);
	return !have_membarrier;
}

/* ---- the world ---- */

void canp_mem_stop(struct canp_mem *m)
{
	pthread_mutex_lock(&m->world);
	__atomic_or_fetch(&m->slow, MEM_SLOW_STOP, __ATOMIC_SEQ_CST);
	if (!(m->slow & MEM_SLOW_FENCE)) /* else enter is one, and the line above */
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	for (unsigned i = 0; i < MEM_NR_PORTS; i++) {
		struct canp_mem_port *p = m->ports[i];

		/* M2: pairs with canp_mem_exit(). SEQ_CST for the case without membarrier. */
		for (unsigned n = 0; p && __atomic_load_n(&p->busy, __ATOMIC_SEQ_CST); n++) {
			if (n < STOP_YIELDS)
				sched_yield();
			else /* its thread has a lower priority than we: let it run */
				usleep(STOP_SLEEP_US);
		}
	}
}

void canp_mem_go(struct canp_mem *m)
{
	__atomic_and_fetch(&m->slow, ~MEM_SLOW_STOP, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->world);
}

uint32_t canp_mem_enter_slow(struct canp_mem_port *p)
{
	struct canp_mem *m = p->mem;
	uint32_t flags;

	for (;;) {
		__atomic_store_n(&p->busy, 1, __ATOMIC_SEQ_CST); /* M1 */
		flags = __atomic_load_n(&m->slow, __ATOMIC_SEQ_CST);
		if (!(flags & MEM_SLOW_STOP))
			return flags;
		__atomic_store_n(&p->busy, 0, __ATOMIC_RELEASE);
		/* Sleeps until the stopper is done. */
		pthread_mutex_lock(&m->world);
		pthread_mutex_unlock(&m->world);
	}
}

void canp_mem_counts_add(struct mem_counts *to, const struct canp_mem_port *p)
{
	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		to->cls[c].allocs += p->mag[c].allocs;
		to->cls[c].frees += p->mag[c].frees;
	}
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		to->tier[t].fresh += p->c.tier[t].fresh;
		to->tier[t].large_allocs += p->c.tier[t].large_allocs;
		to->tier[t].large_frees += p->c.tier[t].large_frees;
		to->tier[t].large_live += p->c.tier[t].large_live;
	}
}

/* ---- ports ---- */

uint64_t canp_mem_port_flush(struct canp_mem_port *p)
{
	struct canp_mem *m = p->mem;
	uint64_t bytes = 0;

	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		struct mem_mag *g = &p->mag[c];

		if (!g->n)
			continue;
		canp_mem_depot_put(m, c, g->b, g->n, p->index);
		bytes += g->n * m->cls[c].size;
		g->n = 0;
	}
	return bytes;
}

/* The port's slot is free for another thread; its counts go into m->gone. Registry held. Returns
 * the bytes to uncharge. */
static uint64_t port_retire(struct canp_mem *m, struct canp_mem_port *p)
{
	uint64_t bytes;

	pthread_mutex_lock(&m->world); /* others may be emptying magazines or counting */
	bytes = canp_mem_port_flush(p);
	canp_mem_counts_add(&m->gone, p);
	m->gone_peak += p->peak;
	for (uint32_t c = 0; c < MEM_NR_CLS; c++)
		p->mag[c].allocs = p->mag[c].frees = 0;
	memset(&p->c, 0, sizeof(p->c));
	p->live = p->peak = 0;
	p->taken = false;
	m->nr_ports--;
	pthread_mutex_unlock(&m->world);
	return bytes;
}

static bool thread_leaves(struct canp_mem *m)
{
	struct canp_mem_port **pp, *p;
	struct mem_after after = {0};

	pthread_mutex_lock(&registry);
	for (pp = &mine; *pp && m && (*pp)->mem != m; pp = &(*pp)->thread_next)
		;
	p = *pp;
	if (p) {
		*pp = p->thread_next;
		m = p->mem;
		if (canp_mem_last.mem_id == m->id)
			canp_mem_last.mem_id = 0;
		after.uncharge = port_retire(m, p);
	}
	pthread_mutex_unlock(&registry);
	if (p)
		canp_mem_after(m, &after);
	return p != NULL;
}

static struct canp_mem_port *port_new(struct canp_mem *m, unsigned i)
{
	struct canp_mem_port *p =
		mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p->index = i;
	p->mem = m;
	for (uint32_t c = 0; c < MEM_NR_CLS; c++)
		p->mag[c].max = m->cls[c].mag;
	return p;
}

static struct canp_mem_port *port_take(struct canp_mem *m)
{
	struct canp_mem_port *p = NULL;

	pthread_mutex_lock(&m->world);
	for (unsigned i = 0; i < CANP_MEM_PORTS_MAX; i++) {
		p = m->ports[i];
		if (p && p->taken)
			continue;
		if (!p)
			m->ports[i] = p = port_new(m, i);
		break;
	}
	if (p && !p->taken) {
		p->taken = true;
		p->now_ns = 0;
		m->nr_ports++;
		m->ports_made++;
	} else {
		p = NULL;
	}
	pthread_mutex_unlock(&m->world);
	return p;
}

static struct canp_mem_port *port_find(struct canp_mem *m)
{
	struct canp_mem_port *p;

	pthread_mutex_lock(&registry);
	for (p = mine; p; p = p->thread_next) {
		if (p->mem == m)
			break;
	}
	if (!p) {
		p = port_take(m);
		if (p) {
			p->thread_next = mine;
			mine = p;
			/* Any value but NULL makes thread_ends() run. */
			pthread_setspecific(thread_key, &registry);
		}
	}
	pthread_mutex_unlock(&registry);
	if (p) {
		canp_mem_last.mem_id = m->id;
		canp_mem_last.port = p;
	}
	return p;
}

struct canp_mem_port *canp_mem_port_get(struct canp_mem *m)
{
	if (canp_likely(canp_mem_last.mem_id == m->id))
		return canp_mem_last.port;
	return port_find(m);
}

void canp_mem_port_put(struct canp_mem *m)
{
	thread_leaves(m);
}

void canp_mem_port_now(struct canp_mem_port *p, uint64_t now_ns)
{
	p->now_ns = now_ns;
}

int canp_mem_house_create(struct canp_mem *m)
{
	m->ports[MEM_HOUSE] = port_new(m, MEM_HOUSE);
	return m->ports[MEM_HOUSE] ? 0 : -ENOMEM;
}

void canp_mem_ports_destroy(struct canp_mem *m)
{
	for (unsigned i = 0; i < MEM_NR_PORTS; i++) {
		if (m->ports[i])
			munmap(m->ports[i], sizeof(*m->ports[i]));
		m->ports[i] = NULL;
	}
}
