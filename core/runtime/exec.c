/*
 * exec.c - executors: made, attached to reactors, watched and ended. Their memory is one mapping
 * (slots, cold parts, queues, timers, lanes) whose pages come with their first use, so a large
 * table costs what is used of it; nothing is allocated later.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/runtime/runtime.h"
#include "core/runtime/task_priv.h"
#include "numa/mem.h"
#include "numa/topology.h"

#define EXEC_SLOTS_DEFAULT 16384u
#define EXEC_SLOTS_MAX     (1u << 20)

/* ---- create ---- */

static size_t map_take(size_t *at, size_t bytes)
{
	size_t off = *at;

	*at += canp_align_up(bytes, (size_t)4096);
	return off;
}

static uint32_t pow2_at_least(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static void shard_init(struct canp_exec *ex, unsigned i, char *queues, char *timers)
{
	struct task_shard *sh = &ex->sh[i];

	sh->ex = ex;
	sh->index = i;
	sh->port = &ex->ports[i];
	sh->token = -1;
	sh->group = 1;
	sh->wake_at_ns = UINT64_MAX;
	sh->timers = (struct canp_timer **)timers;
	for (unsigned q = 0; q < TASK_QUEUES; q++) {
		sh->q[q].e = (struct task_entry *)queues + (size_t)q * ex->queue_cap;
		sh->q[q].mask = ex->queue_cap - 1;
	}
}

static void port_init(struct canp_exec *ex, unsigned i, char *lanes)
{
	struct task_port *p = &ex->ports[i];

	p->ex = ex;
	p->index = i;
	p->shard = i < ex->nr ? (int)i : -1;
	p->free = TASK_NONE;
	p->spare = TASK_NONE;
	p->next_depot = i % ex->nr;
	p->lanes = (struct task_lane *)lanes;
	for (unsigned k = 0; k < ex->nr; k++)
		canp_spsc_init(&p->lanes[k].q, p->lanes[k].slots, TASK_LANE);
}

/* One mapping for everything; canp_exec itself outlives it in no case. */
static int exec_map(struct canp_exec *ex)
{
	unsigned nr_ports = ex->nr + TASK_PORTS_MAX;
	size_t q_bytes = (size_t)TASK_QUEUES * ex->queue_cap * sizeof(struct task_entry);
	size_t t_bytes = (size_t)ex->total * sizeof(struct canp_timer *);
	size_t l_bytes = (size_t)ex->nr * sizeof(struct task_lane);
	size_t at = 0, slots, cold, sh, ports, queues, timers, lanes;
	char *base;

	slots = map_take(&at, (size_t)ex->total * sizeof(struct task_slot));
	cold = map_take(&at, (size_t)ex->total * sizeof(struct task_cold));
	sh = map_take(&at, ex->nr * sizeof(struct task_shard));
	ports = map_take(&at, nr_ports * sizeof(struct task_port));
	queues = map_take(&at, ex->nr * q_bytes);
	timers = map_take(&at, ex->nr * t_bytes);
	lanes = map_take(&at, nr_ports * l_bytes);
	base = mmap(NULL, at, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	ex->map = base;
	ex->map_bytes = at;
	ex->slots = (struct task_slot *)(base + slots);
	ex->cold = (struct task_cold *)(base + cold);
	ex->sh = (struct task_shard *)(base + sh);
	ex->ports = (struct task_port *)(base + ports);
	for (unsigned i = 0; i < ex->nr; i++)
		shard_init(ex, i, base + queues + i * q_bytes, base + timers + i * t_bytes);
	for (unsigned i = 0; i < nr_ports; i++)
		port_init(ex, i, base + lanes + i * l_bytes);
	return 0;
}

static void exec_limits(struct canp_exec *ex)
{
	const struct canp_exec_opts *o = &ex->opts;
	uint32_t half = canp_max(ex->nr / 2, 1u);

	ex->nr_slots = o->slots ? o->slots : EXEC_SLOTS_DEFAULT;
	ex->total = ex->nr * ex->nr_slots;
	ex->chunk = canp_max(canp_min(ex->nr_slots / 32, TASK_CHUNK_MAX), 1u);
	ex->queue_cap = pow2_at_least(2 * ex->total);
	ex->nr_ports = ex->nr;
	ex->caps[CANP_TASK_IO] = o->io_bound_threads ? o->io_bound_threads : half;
	ex->caps[CANP_TASK_CPU] = o->cpu_bound_threads ? o->cpu_bound_threads : ex->nr;
	ex->caps[CANP_TASK_MEM] = o->memory_bound_threads ? o->memory_bound_threads : half;
}

int canp_exec_init(const struct canp_exec_opts *opts, unsigned nr_shards, struct canp_exec **out)
{
	static uint64_t ids;
	struct canp_exec *ex;
	int rc;

	if (!nr_shards || nr_shards > TASK_SHARDS_MAX || (opts && opts->slots > EXEC_SLOTS_MAX) ||
	    (opts && (uint64_t)opts->slots * nr_shards > 1u << 28))
		return -EINVAL;
	ex = aligned_alloc(128, canp_align_up(sizeof(*ex), (size_t)128));
	if (!ex)
		return -ENOMEM;
	memset(ex, 0, sizeof(*ex));
	if (opts)
		ex->opts = *opts;
	ex->id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
	ex->nr = nr_shards;
	exec_limits(ex);
	rc = exec_map(ex);
	ex->mem = ex->opts.mem;
	if (!rc && !ex->mem) {
		rc = canp_mem_create(NULL, &ex->mem);
		ex->own_mem = rc == 0;
	}
	if (rc) {
		if (ex->map)
			munmap(ex->map, ex->map_bytes);
		free(ex);
		return rc;
	}
	*out = ex;
	return 0;
}

int canp_exec_attach(struct canp_exec *ex, struct canp_shard *s)
{
	struct task_shard *sh;
	int rc;

	if (s->index >= ex->nr)
		return -EINVAL;
	sh = &ex->sh[s->index];
	rc = canp_task_port_bind(sh->port);
	if (rc)
		return rc;
	__atomic_store_n(&sh->s, s, __ATOMIC_RELEASE);
	sh->poller.name = "tasks";
	sh->poller.poll = canp_task_poll;
	sh->poller.arg = sh;
	if (ex->opts.spin_us)
		s->spin_ns = ex->opts.spin_us * (uint64_t)CANP_NS_PER_US;
	/* Its port of the memory pool is made now, so that the loop allocates nothing. */
	if (!canp_mem_port_get(ex->mem))
		return -EAGAIN;
	canp_reactor_add(s, &sh->poller);
	return 0;
}

struct canp_shard *canp_exec_shard(const struct canp_exec *ex, unsigned i)
{
	return i < ex->nr ? __atomic_load_n(&ex->sh[i].s, __ATOMIC_ACQUIRE) : NULL;
}

static int exec_setup(void *arg, struct canp_shard *s)
{
	return canp_exec_attach(arg, s);
}

static int default_cores(unsigned *nr)
{
	struct canp_topology *t = malloc(sizeof(*t)); /* too big for a stack */
	int rc = t ? canp_topology_read("", t) : -ENOMEM;

	if (!rc)
		*nr = canp_min(canp_topology_default_cores(t), TASK_SHARDS_MAX);
	free(t);
	return rc;
}

int canp_exec_create(const struct canp_exec_opts *opts, struct canp_exec **out)
{
	struct canp_runtime_opts ro = {.hugepages = CANP_HUGE_OFF, .setup = exec_setup};
	unsigned nr = opts ? opts->cores : 0;
	struct canp_exec *ex;
	int rc = nr ? 0 : default_cores(&nr);

	if (!rc)
		rc = canp_exec_init(opts, nr, &ex);
	if (rc)
		return rc;
	ro.cores = nr;
	ro.pin = ex->opts.pin;
	ro.arg = ex;
	rc = canp_runtime_create(&ro, &ex->rt);
	if (rc) {
		ex->rt = NULL;
		canp_exec_destroy(ex);
		return rc;
	}
	*out = ex;
	return 0;
}

/* ---- destroy ---- */

/* What no reactor has claimed ends here; the loops have ended. Returns the futures still held. */
static uint64_t exec_sweep(struct canp_exec *ex)
{
	struct task_port *p = ex->sh[0].port;
	uint64_t held = 0;
	bool more = true;

	for (uint32_t i = 0; i < ex->total; i++) {
		struct task_slot *s = &ex->slots[i];
		uint64_t w;

		if (i % ex->nr_slots >= canp_min(ex->sh[i / ex->nr_slots].fresh, ex->nr_slots))
			continue;
		w = canp_fword_load(&s->word);
		if (task_claim(s, canp_future_of(s, (uint32_t)(w >> 32)), &w, 0)) {
			s->started_ns = 0;
			canp_task_end(p, s, w, -ESHUTDOWN);
		}
	}
	while (more) {
		more = false;
		for (unsigned i = 0; i < ex->nr; i++)
			more |= canp_task_mail(&ex->sh[i], p) != 0;
	}
	for (uint32_t i = 0; i < ex->total; i++) {
		if (i % ex->nr_slots < canp_min(ex->sh[i / ex->nr_slots].fresh, ex->nr_slots))
			held += (canp_fword_load(&ex->slots[i].word) & TS_HELD) != 0;
	}
	return held;
}

void canp_exec_destroy(struct canp_exec *ex)
{
	if (!ex)
		return;
	__atomic_store_n(&ex->closing, true, __ATOMIC_RELEASE);
	if (ex->rt) {
		canp_runtime_stop(ex->rt);
		canp_runtime_wait(ex->rt);
	}
	__atomic_store_n(&ex->stopped, true, __ATOMIC_RELEASE);
	ex->orphans = exec_sweep(ex);
	__atomic_store_n(&ex->dead, true, __ATOMIC_RELEASE);
	canp_runtime_destroy(ex->rt);
	ex->rt = NULL;
	canp_task_ports_forget(ex);
	if (ex->own_mem)
		canp_mem_destroy(ex->mem);
	if (ex->orphans)
		return; /* the last canp_future_put() frees the rest */
	munmap(ex->map, ex->map_bytes);
	free(ex);
}

struct canp_mem *canp_exec_mem(struct canp_exec *ex)
{
	return ex->mem;
}

unsigned canp_exec_nr_shards(const struct canp_exec *ex)
{
	return ex->nr;
}

/* ---- statistics and idleness ---- */

/* Sums of all ports. Ends are read first: a task that is seen to have ended was counted as
 * submitted before, so the sums of a later look include it. */
static void counts_sum(const struct canp_exec *ex, struct task_counts *sum)
{
	unsigned nr = __atomic_load_n(&ex->nr_ports, __ATOMIC_ACQUIRE);
	struct task_counts c;

	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < nr; i++) {
		canp_task_counts_read(&ex->ports[i].c, &c);
		sum->completed += c.completed;
		sum->failed += c.failed;
		sum->cancelled += c.cancelled;
		sum->timed_out += c.timed_out;
		sum->ran += c.ran;
		sum->run_ns += c.run_ns;
		sum->blocks_out += c.blocks_out;
		sum->recycled += c.recycled;
		sum->dones_out += c.dones_out;
	}
	nr = __atomic_load_n(&ex->nr_ports, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < nr; i++) {
		canp_task_counts_read(&ex->ports[i].c, &c);
		for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++)
			sum->submitted[t] += c.submitted[t];
		sum->blocks_in += c.blocks_in;
		sum->dones_in += c.dones_in;
		sum->wakes += c.wakes;
		sum->batches += c.batches;
	}
}

void canp_exec_stats(const struct canp_exec *ex, struct canp_exec_stats *st)
{
	struct canp_mem_stats ms;
	struct task_counts c;

	memset(st, 0, sizeof(*st));
	if (ex->opts.no_stats)
		return;
	counts_sum(ex, &c);
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++) {
		st->by_type[t] = c.submitted[t];
		st->total_tasks += c.submitted[t];
		st->running_max[t] = __atomic_load_n(&ex->running_max[t], __ATOMIC_RELAXED);
	}
	st->completed_tasks = c.completed;
	st->failed_tasks = c.failed;
	st->cancelled_tasks = c.cancelled;
	st->timed_out_tasks = c.timed_out;
	st->live_tasks = st->total_tasks - c.completed - c.failed;
	if (c.ran)
		st->avg_execution_time = (double)c.run_ns / (double)c.ran / (double)CANP_NS_PER_MS;
	st->total_memory_blocks = c.blocks_in;
	st->recycled_memory_blocks = c.recycled;
	st->live_memory_blocks = c.blocks_in - c.blocks_out;
	st->wakes = c.wakes;
	st->batches = c.batches;
	canp_mem_stats(ex->mem, &ms);
	st->memory_reuse_rate = ms.block_pool_hit_rate;
}

bool canp_exec_is_idle(const struct canp_exec *ex)
{
	struct task_counts c;
	uint64_t total = 0;

	counts_sum(ex, &c);
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++)
		total += c.submitted[t];
	return total == c.completed + c.failed && c.dones_in == c.dones_out;
}

/* Counters of ends, fence, waiters - against waiters, fence, counters in wait_idle. */
void canp_exec_check_idle(struct canp_exec *ex)
{
	canp_full_fence();
	if (canp_likely(!__atomic_load_n(&ex->idle_waiters, __ATOMIC_SEQ_CST)) ||
	    !canp_exec_is_idle(ex))
		return;
	__atomic_fetch_add(&ex->idle_seq, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &ex->idle_seq, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

int canp_exec_wait_idle(struct canp_exec *ex, uint32_t timeout_ms)
{
	uint64_t end_ns = canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
	struct timespec ts = {(time_t)(end_ns / (uint64_t)CANP_NS_PER_S),
			      (long)(end_ns % (uint64_t)CANP_NS_PER_S)};
	int rc = 0;

	if (canp_task_on_reactor())
		return -EDEADLK;
	__atomic_fetch_add(&ex->idle_waiters, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		uint32_t seq = __atomic_load_n(&ex->idle_seq, __ATOMIC_SEQ_CST);

		canp_full_fence();
		if (canp_exec_is_idle(ex)) {
			rc = 0;
			break;
		}
		if (rc)
			break;
		if (syscall(SYS_futex, &ex->idle_seq, FUTEX_WAIT_BITSET_PRIVATE, seq,
			    timeout_ms == UINT32_MAX ? NULL : &ts, NULL,
			    FUTEX_BITSET_MATCH_ANY) < 0 &&
		    errno == ETIMEDOUT)
			rc = -ETIMEDOUT;
	}
	__atomic_fetch_sub(&ex->idle_waiters, 1, __ATOMIC_SEQ_CST);
	return rc;
}
