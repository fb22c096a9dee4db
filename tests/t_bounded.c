/*
 * t_bounded.c - nothing grows: tasks of all kinds, memory of all tiers, a cache, an event queue
 * with a slow listener and a page of random pressure on each, for a while; what is resident
 * afterwards is what was resident when the load had been running for a moment. `make soak` runs it
 * for CANP_SOAK_S seconds (600), `make check` for two.
 *
 * What is bounded, and by what:
 *   tasks and futures    slots per reactor               blocks        max_total_memory
 *   lanes, class queues  their size                      caches        capacity, bytes, ttl
 *   events               ring and queue sizes, losses counted
 *   units under way      the scheduler's window          page runs     the shard's page slots
 *   reads, writes        --depth, --write-depth          faults        1,000 a file, 2,000,000 a
 * job
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "core/observe/event.h"
#include "core/runtime/task.h"
#include "numa/cache.h"
#include "numa/mem.h"

#define SLOTS   512u
#define ENTRIES 300u
#define FUTURES 200u
#define LIMIT   (24ull << 20)

/* A second of load before the first look, then at least one more. */
#define WARM_NS ((uint64_t)CANP_NS_PER_S)

struct load {
	struct canp_mem *mem;
	struct canp_exec *exec;
	struct canp_cache *cache;
	struct canp_events *events;
	struct canp_emitter *emitter;
	struct canp_listener *listener;
	struct canp_future *futures[FUTURES];
	uint64_t seed, refused, submitted, lost;
};

static uint64_t rnd(struct load *l, uint64_t below)
{
	l->seed += 0x9e3779b97f4a7c15ULL;
	return canp_hash_mix(l->seed) % below;
}

static uint64_t resident_kib(void)
{
	unsigned long long v, kib = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %llu", &v) == 1 ||
		    sscanf(line, "HugetlbPages: %llu", &v) == 1)
			kib += v;
	fclose(f);
	return kib;
}

static int task(const struct canp_task_env *env, void *arg)
{
	uint64_t what = (uint64_t)(uintptr_t)arg;

	for (unsigned i = 0; i < env->nr_blocks; i++)
		memset(env->blocks[i]->data, (int)what, 64);
	for (uint64_t spin = what % 2000; spin; spin--)
		__asm__ volatile("" ::: "memory");
	return what % 50 == 0 ? -EIO : 0;
}

static int slow_listener(void *arg, const struct canp_ev *e, uint32_t nr)
{
	(void)arg;
	(void)e;
	for (uint32_t spin = nr * 200; spin; spin--)
		__asm__ volatile("" ::: "memory");
	return 0;
}

static void entry_gone(void *arg, void *value, uint64_t bytes)
{
	(void)arg;
	(void)bytes;
	free(value);
}

static void submit_some(struct load *l)
{
	struct canp_task_desc d = {.fn = task,
				   .arg = (void *)(uintptr_t)rnd(l, 1u << 20),
				   .type = (enum canp_task_type)rnd(l, CANP_TASK_NR_TYPES),
				   .prio = (enum canp_task_prio)rnd(l, CANP_PRIO_NR)};
	struct canp_future **f = &l->futures[rnd(l, FUTURES)];
	struct canp_block *b = NULL;

	if (*f) {
		if (rnd(l, 4) == 0)
			canp_future_cancel(*f);
		canp_future_put(*f);
		*f = NULL;
	}
	if (rnd(l, 3) == 0 && canp_mem_alloc(l->mem, (enum canp_mem_tier)rnd(l, CANP_MEM_NR_TIERS),
					     64 + (size_t)rnd(l, 200000), &b) == 0) {
		d.blocks = &b;
		d.nr_blocks = 1;
	}
	if (rnd(l, 20) == 0)
		d.timeout_ms = 1 + (uint32_t)rnd(l, 20);
	if (canp_submit(l->exec, &d, rnd(l, 2) ? f : NULL) == 0) {
		l->submitted++;
		return;
	}
	l->refused++;
	if (b)
		assert_int_equal(canp_mem_release(l->mem, b), 0);
}

static void cache_some(struct load *l, uint64_t now)
{
	uint64_t key = rnd(l, 4 * ENTRIES);
	struct canp_cache_entry *e = canp_cache_get(l->cache, &key, sizeof(key), now);
	size_t bytes = 1 + (size_t)rnd(l, 5000);
	void *value;

	if (e) {
		canp_cache_unpin(l->cache, e);
		return;
	}
	value = malloc(bytes);
	assert_non_null(value);
	if (canp_cache_put(l->cache, &key, sizeof(key), value, bytes, now, NULL) != 0)
		free(value);
}

static void check_bounds(struct load *l)
{
	struct canp_exec_stats xs;
	struct canp_mem_stats ms;
	struct canp_cache_stats cs;

	canp_exec_stats(l->exec, &xs);
	canp_mem_stats(l->mem, &ms);
	canp_cache_stats(l->cache, &cs);
	assert_true(xs.live_tasks <= (uint64_t)SLOTS * canp_exec_nr_shards(l->exec));
	assert_true(ms.current_memory_usage <= LIMIT);
	assert_true(cs.entries <= ENTRIES && cs.bytes <= 1000000);
}

static void load_for(struct load *l, uint64_t ns)
{
	uint64_t end = canp_clock_ns() + ns, now;

	while ((now = canp_clock_ns()) < end) {
		for (unsigned i = 0; i < 64; i++) {
			submit_some(l);
			cache_some(l, now);
			l->lost += !canp_event_emit(l->emitter, now, CANP_EVENT_USER, i, now, i);
		}
		check_bounds(l);
	}
}

static void load_begin(struct load *l)
{
	struct canp_event_opts eo;
	struct canp_mem_opts mo = {0};

	memset(l, 0, sizeof(*l));
	canp_mem_opts_default(&mo);
	mo.max_total_memory = LIMIT;
	assert_int_equal(canp_mem_create(&mo, &l->mem), 0);
	assert_int_equal(
		canp_exec_create(
			&(struct canp_exec_opts){.cores = 2, .slots = SLOTS, .mem = l->mem},
			&l->exec),
		0);
	assert_int_equal(canp_cache_create(&(struct canp_cache_opts){.capacity = ENTRIES,
								     .key_max = 8,
								     .ttl_ns = 100000000,
								     .max_bytes = 1000000,
								     .release = entry_gone},
					   &l->cache),
			 0);
	canp_event_opts_init(&eo);
	eo.ring_events = eo.queue_events = 256;
	eo.batch_max = eo.flush_count = 64;
	assert_int_equal(canp_events_create(&eo, &l->events), 0);
	assert_int_equal(canp_events_start(l->events), 0);
	assert_int_equal(canp_emitter_get(l->events, CANP_EVENT_DROP_NEWEST, &l->emitter), 0);
	{
		struct canp_listener_opts lo = {.name = "slow", .fn = slow_listener};

		canp_event_mask_all(&lo.types);
		assert_int_equal(canp_listener_add(l->events, &lo, &l->listener), 0);
	}
}

static void load_end(struct load *l)
{
	struct canp_exec_stats xs;
	struct canp_mem_stats ms;

	for (unsigned i = 0; i < FUTURES; i++)
		if (l->futures[i])
			canp_future_put(l->futures[i]);
	assert_int_equal(canp_exec_wait_idle(l->exec, 60000), 0);
	canp_exec_stats(l->exec, &xs);
	canp_mem_stats(l->mem, &ms);
	assert_int_equal(xs.total_tasks, l->submitted);
	assert_int_equal(xs.completed_tasks + xs.failed_tasks, l->submitted);
	assert_int_equal(ms.blocks_live, 0);
	canp_emitter_put(l->emitter);
	canp_events_destroy(l->events);
	canp_cache_destroy(l->cache);
	canp_exec_destroy(l->exec);
	canp_mem_destroy(l->mem);
}

static void H03_random_load_leaves_memory_where_it_was(void **state)
{
	const char *text = getenv("CANP_SOAK_S");
	uint64_t seconds = text ? strtoull(text, NULL, 10) : 2;
	uint64_t first, last, most = 0;
	struct load l;

	(void)state;
	load_begin(&l);
	load_for(&l, WARM_NS);
	first = resident_kib();
	for (uint64_t s = 1; s < canp_max(seconds, (uint64_t)2); s++) {
		load_for(&l, (uint64_t)CANP_NS_PER_S);
		most = canp_max(most, resident_kib());
	}
	last = resident_kib();
	print_message(
		"%llu tasks (%llu refused), %llu events lost: resident %llu KiB, then at most "
		"%llu, at the end %llu\n",
		(unsigned long long)l.submitted, (unsigned long long)l.refused,
		(unsigned long long)l.lost, (unsigned long long)first, (unsigned long long)most,
		(unsigned long long)last);
	load_end(&l);
	assert_true(l.submitted > 1000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* What the first second has not touched yet of what is bounded: a part of LIMIT. */
	assert_true(last <= first + (LIMIT >> 10));
	if (seconds >= 60)
		assert_true(most <= first + (LIMIT >> 10));
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(H03_random_load_leaves_memory_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
