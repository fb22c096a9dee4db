/*
 * mem_stats.c - the pool's statistics, added up from the ports while none is inside.
 *
 * Nothing is counted twice on the hit path: a magazine counts what passed through it, and tiers,
 * hits and usage follow from that.
 */
#include <string.h>

#include "numa/mem_priv.h"

/* The highest usage: exact for one thread (its own mark) and near the limit, where every charge is
 * usage. For several threads the sum of their marks and the highest charge are both above it. */
static uint64_t peak_of(const struct canp_mem *m)
{
	int64_t peaks = m->gone_peak;
	uint64_t top, tight = __atomic_load_n(&m->tight_peak, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < MEM_NR_PORTS; i++)
		peaks += m->ports[i] ? m->ports[i]->peak : 0;
	top = (uint64_t)peaks;
	if (m->ports_made > 1 || m->ports[MEM_HOUSE]->peak)
		top = canp_min(top, __atomic_load_n(&m->charged_peak, __ATOMIC_RELAXED));
	return canp_max(top, tight);
}

static void tier_stats(const struct canp_mem *m, const struct mem_counts *c, unsigned t,
		       struct canp_mem_stats *st)
{
	uint64_t allocs = c->tier[t].large_allocs, usage = (uint64_t)c->tier[t].large_live;

	st->large_allocs += c->tier[t].large_allocs;
	st->total_deallocations += c->tier[t].large_frees;
	st->tier[t].nr_classes = m->opts.nr_classes[t];
	for (unsigned i = 0; i < m->opts.nr_classes[t]; i++) {
		uint32_t cls = t * CANP_MEM_CLASSES_MAX + i;
		uint64_t live = c->cls[cls].allocs - c->cls[cls].frees;

		st->tier[t].cls[i].bytes = (uint32_t)m->cls[cls].size;
		st->tier[t].cls[i].allocations = c->cls[cls].allocs;
		st->tier[t].cls[i].live = live;
		allocs += c->cls[cls].allocs;
		usage += live * m->cls[cls].size;
		st->total_deallocations += c->cls[cls].frees;
	}
	st->tier[t].allocations = allocs;
	st->tier[t].hits = allocs - c->tier[t].fresh;
	st->tier[t].usage = usage;
	if (allocs)
		st->tier[t].hit_rate = (double)st->tier[t].hits / (double)allocs;
	st->total_allocations += allocs;
	st->current_memory_usage += usage;
}

void canp_mem_stats(const struct canp_mem *mc, struct canp_mem_stats *st)
{
	struct canp_mem *m = (struct canp_mem *)(uintptr_t)mc;
	uint64_t hits = 0;
	struct mem_counts c;

	memset(st, 0, sizeof(*st));
	canp_mem_stop(m);
	c = m->gone;
	for (unsigned i = 0; i < MEM_NR_PORTS; i++) {
		if (m->ports[i])
			canp_mem_counts_add(&c, m->ports[i]);
	}
	st->peak_memory_usage = peak_of(m);
	canp_mem_go(m);
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		tier_stats(m, &c, t, st);
		hits += st->tier[t].hits;
	}
	st->blocks_live = st->total_allocations - st->total_deallocations;
	if (st->total_allocations)
		st->block_pool_hit_rate = (double)hits / (double)st->total_allocations;
	st->depot_full = __atomic_load_n(&m->depot_full, __ATOMIC_RELAXED);
	st->refused = __atomic_load_n(&m->refused, __ATOMIC_RELAXED);
	st->waits = __atomic_load_n(&m->waits, __ATOMIC_RELAXED);
	st->warnings = __atomic_load_n(&m->warnings, __ATOMIC_RELAXED);
	pthread_mutex_lock(&m->slab_lock);
	st->arena_bytes = (uint64_t)m->slab_next << MEM_SLAB_SHIFT;
	pthread_mutex_unlock(&m->slab_lock);
}
