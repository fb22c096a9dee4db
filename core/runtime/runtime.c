/*
 * runtime.c - boot, drain and stop of all shards: the one place that creates threads.
 *
 * The shards boot at the same time, each on its own thread, and meet twice. Nobody enters its loop
 * before all are up: a message needs the receiver's ring. And nobody lets go of its ring before
 * all loops have ended and the control thread has released them: a late wake-up needs it too.
 * When one shard cannot boot, those that could are torn down again and the error is returned.
 *
 * More shards than CPUs is allowed (tests, small containers): then no shard is pinned and none
 * spins, so they share the CPUs as ordinary threads do.
 */
#include "core/runtime/runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "core/runtime/ring_priv.h"
#include "core/runtime/runtime_priv.h"

#define RUNTIME_SHARDS_MAX 256u /* what a mesh connects */
/* Two cache lines: the prefetcher fetches them in pairs. */
#define RUNTIME_SHARD_ALIGN (2 * CANP_CACHELINE)
/* About what a wake-up costs the sleeper. */
#define RUNTIME_SPIN_NS (20 * (uint64_t)CANP_NS_PER_US)

static int topology_node_of(const struct canp_topology *t, int cpu)
{
	for (unsigned i = 0; i < t->nr_cpus; i++)
		if (t->cpus[i].id == cpu)
			return t->cpus[i].node;
	return -1;
}

/* An allowed CPU that no reactor sits on; the last, because the first ones serve interrupts. */
static int runtime_spare_cpu(const struct canp_topology *t, const int *cpus, unsigned nr)
{
	for (unsigned i = t->nr_cpus; i-- > 0;) {
		bool taken = !t->cpus[i].allowed;

		for (unsigned k = 0; k < nr && !taken; k++)
			taken = cpus[k] == t->cpus[i].id;
		if (!taken)
			return t->cpus[i].id;
	}
	return -1;
}

static int runtime_make_shards(struct canp_runtime *rt, const struct canp_topology *t,
			       const int *cpus, unsigned nr_cpus)
{
	bool over = rt->info.oversubscribed;
	bool quota_short = t->cpu_quota > 0 && t->cpu_quota < (double)rt->nr;

	rt->shards = calloc(rt->nr, sizeof(rt->shards[0]));
	rt->threads = calloc(rt->nr, sizeof(rt->threads[0]));
	if (!rt->shards || !rt->threads)
		return -ENOMEM;
	for (unsigned i = 0; i < rt->nr; i++) {
		size_t bytes = canp_align_up(sizeof(struct canp_shard), RUNTIME_SHARD_ALIGN);
		struct canp_shard *s = aligned_alloc(RUNTIME_SHARD_ALIGN, bytes);
		int cpu = nr_cpus ? cpus[i % nr_cpus] : -1;

		if (!s)
			return -ENOMEM;
		memset(s, 0, bytes);
		s->rt = rt;
		s->index = i;
		s->mesh = rt->mesh;
		s->cpu = rt->opts.pin && !over ? cpu : -1;
		s->node = topology_node_of(t, cpu);
		s->spin_ns = over || quota_short ? 0 : RUNTIME_SPIN_NS;
		rt->shards[i] = s;
	}
	return 0;
}

/* Decides how many shards and where. */
static int runtime_plan(struct canp_runtime *rt)
{
	struct canp_topology *t = malloc(sizeof(*t)); /* too big for a stack */
	int cpus[RUNTIME_SHARDS_MAX];
	unsigned nr_cpus;
	int rc;

	if (!t)
		return -ENOMEM;
	rc = canp_topology_read("", t);
	if (rc)
		goto out;
	rt->nr = rt->opts.cores;
	if (!rt->nr)
		rt->nr = canp_min(canp_topology_default_cores(t), RUNTIME_SHARDS_MAX);
	rc = -EINVAL;
	if (rt->nr > RUNTIME_SHARDS_MAX)
		goto out;
	nr_cpus = canp_topology_reactor_cpus(t, cpus, RUNTIME_SHARDS_MAX);
	rt->info.cores = rt->nr;
	rt->info.cpus_allowed = t->nr_allowed;
	rt->info.cpu_quota = t->cpu_quota;
	rt->info.oversubscribed = rt->nr > nr_cpus;
	rt->iowq_cpu = runtime_spare_cpu(t, cpus, canp_min(rt->nr, nr_cpus));
	rc = canp_mesh_create(rt->nr, &rt->mesh);
	if (!rc)
		rc = runtime_make_shards(rt, t, cpus, nr_cpus);
out:
	free(t);
	return rc;
}

static enum canp_runtime_phase runtime_await(struct canp_runtime *rt, unsigned *arrived,
					     enum canp_runtime_phase left)
{
	enum canp_runtime_phase phase;

	pthread_mutex_lock(&rt->lock);
	(*arrived)++;
	pthread_cond_broadcast(&rt->change);
	while (rt->phase <= left)
		pthread_cond_wait(&rt->change, &rt->lock);
	phase = rt->phase;
	pthread_mutex_unlock(&rt->lock);
	return phase;
}

static void *runtime_shard_main(void *arg)
{
	struct canp_shard *s = arg;
	struct canp_runtime *rt = s->rt;
	bool up;

	s->error = canp_shard_boot(s);
	up = s->error == 0;
	if (runtime_await(rt, &rt->nr_booted, CANP_RUNTIME_BOOT) == CANP_RUNTIME_RUN)
		canp_reactor_run(s);
	/* Operations in flight end while the job's state, which they point into, still exists. */
	if (s->ring)
		canp_ring_drain(s->ring);
	if (up && rt->opts.teardown)
		rt->opts.teardown(rt->opts.arg, s);
	runtime_await(rt, &rt->nr_ended, CANP_RUNTIME_ABORT);
	canp_shard_shutdown(s);
	return NULL;
}

static void runtime_set_phase(struct canp_runtime *rt, enum canp_runtime_phase phase)
{
	pthread_mutex_lock(&rt->lock);
	rt->phase = phase;
	pthread_cond_broadcast(&rt->change);
	pthread_mutex_unlock(&rt->lock);
}

/* Shards take no signals, so that handlers run on the control thread. */
static int runtime_start_threads(struct canp_runtime *rt)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (rt->nr_started < rt->nr && !rc) {
		unsigned i = rt->nr_started;

		rc = pthread_create(&rt->threads[i], NULL, runtime_shard_main, rt->shards[i]);
		if (!rc)
			rt->nr_started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

/* The error of the lowest shard that has one: the same whatever the timing. */
static int runtime_first_error(const struct canp_runtime *rt)
{
	for (unsigned i = 0; i < rt->nr_started; i++)
		if (rt->shards[i]->error)
			return rt->shards[i]->error;
	return 0;
}

static int runtime_boot(struct canp_runtime *rt)
{
	int rc = runtime_start_threads(rt);
	struct canp_shard *first = rt->shards[0];

	pthread_mutex_lock(&rt->lock);
	while (rt->nr_booted < rt->nr_started)
		pthread_cond_wait(&rt->change, &rt->lock);
	if (!rc)
		rc = runtime_first_error(rt);
	if (!rc) {
		rt->info.ring = *canp_ring_caps(first->ring);
		if (first->arena) {
			rt->info.hugepages = *canp_arena_report(first->arena);
			rt->info.arena_bytes = canp_arena_bytes(first->arena);
		}
	}
	rt->phase = rc ? CANP_RUNTIME_ABORT : CANP_RUNTIME_RUN;
	pthread_cond_broadcast(&rt->change);
	pthread_mutex_unlock(&rt->lock);
	return rc;
}

int canp_runtime_create(const struct canp_runtime_opts *opts, struct canp_runtime **out)
{
	struct canp_runtime *rt = calloc(1, sizeof(*rt));
	pthread_condattr_t attr;
	int rc;

	if (!rt)
		return -ENOMEM;
	rt->opts = *opts;
	pthread_mutex_init(&rt->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rt->change, &attr);
	pthread_condattr_destroy(&attr);
	rc = runtime_plan(rt);
	if (!rc && opts->signals)
		rc = canp_runtime_signals(rt);
	if (!rc)
		rc = runtime_boot(rt);
	if (rc) {
		canp_runtime_destroy(rt);
		return rc;
	}
	*out = rt;
	return 0;
}

int canp_runtime_wait_for(struct canp_runtime *rt, uint64_t timeout_ns)
{
	uint64_t now_ns = canp_clock_ns();
	uint64_t end_ns = timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
	struct timespec end = {(time_t)(end_ns / (uint64_t)CANP_NS_PER_S),
			       (long)(end_ns % (uint64_t)CANP_NS_PER_S)};
	int rc = 0;

	pthread_mutex_lock(&rt->lock);
	while (rt->nr_ended < rt->nr_started && !rc) {
		if (end_ns == UINT64_MAX)
			pthread_cond_wait(&rt->change, &rt->lock);
		else
			rc = -pthread_cond_timedwait(&rt->change, &rt->lock, &end);
	}
	if (rt->nr_ended == rt->nr_started)
		rc = runtime_first_error(rt);
	pthread_mutex_unlock(&rt->lock);
	return rc;
}

int canp_runtime_wait(struct canp_runtime *rt)
{
	return canp_runtime_wait_for(rt, UINT64_MAX);
}

void canp_runtime_kick_all(struct canp_runtime *rt)
{
	for (unsigned i = 0; i < rt->nr; i++)
		canp_mesh_kick(rt->mesh, i);
}

void canp_runtime_stop(struct canp_runtime *rt)
{
	for (unsigned i = 0; i < rt->nr; i++)
		__atomic_store_n(&rt->shards[i]->stop, true, __ATOMIC_RELEASE);
	canp_runtime_kick_all(rt);
}

void canp_runtime_destroy(struct canp_runtime *rt)
{
	if (!rt)
		return;
	canp_runtime_signals_remove(rt);
	if (rt->nr_started) {
		canp_runtime_stop(rt);
		canp_runtime_wait(rt);
		runtime_set_phase(rt, CANP_RUNTIME_RELEASE);
	}
	for (unsigned i = 0; i < rt->nr_started; i++)
		pthread_join(rt->threads[i], NULL);
	for (unsigned i = 0; rt->shards && i < rt->nr; i++)
		free(rt->shards[i]);
	free(rt->shards);
	free(rt->threads);
	canp_mesh_destroy(rt->mesh);
	pthread_cond_destroy(&rt->change);
	pthread_mutex_destroy(&rt->lock);
	free(rt);
}

unsigned canp_runtime_nr_shards(const struct canp_runtime *rt)
{
	return rt->nr;
}

struct canp_shard *canp_runtime_shard(struct canp_runtime *rt, unsigned i)
{
	CANP_ASSERT(i < rt->nr);
	return rt->shards[i];
}

const struct canp_runtime_info *canp_runtime_info(const struct canp_runtime *rt)
{
	return &rt->info;
}
