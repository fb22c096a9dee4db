/*
 * observe_collect.c - the counters of a job as a snapshot (io/live.h). Everything here is read
 * while the shards go on counting: each value was true at some moment, not all at the same one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/observe/trace.h"
#include "io/ingest_priv.h"
#include "io/observe_job.h"

enum { POOL_PAGES, POOL_STAGING, POOL_OWNER, POOL_NR };

static const char *const pool_names[POOL_NR] = {
	[POOL_PAGES] = "pages", [POOL_STAGING] = "staging", [POOL_OWNER] = "owner_pages"};

/* A counter that its shard changes with plain stores. */
#define COLLECT(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static void collect_pool(const struct canp_pool *p, struct canp_live_pool *l)
{
	uint64_t gets = COLLECT(p->stats.gets), fresh;

	l->slots = p->stats.slots;
	l->slot_bytes = p->slot_bytes;
	l->gets = gets;
	l->puts = COLLECT(p->stats.puts);
	l->waits = COLLECT(p->stats.waits);
	l->refused = COLLECT(p->stats.refused);
	l->in_use = COLLECT(p->stats.in_use);
	l->in_use_max = COLLECT(p->stats.in_use_max);
	/* Slots of the region that were handed out for the first time. */
	fresh = l->slots - canp_min(l->slots, (uint64_t)COLLECT(p->nr_fresh));
	l->hits = gets - canp_min(gets, fresh);
}

static void collect_ops(const struct canp_job *job, const struct canp_ingest_shard *is, unsigned i,
			struct canp_live_shard *l)
{
	for (unsigned k = 0; k < canp_min(canp_flow_nr_ops(job->flow), CANP_LIVE_OPS_MAX); k++) {
		struct canp_live_op *o = &l->ops[k];
		struct canp_flow_sum s;

		canp_flow_sum(job->flow, i, k, &s);
		o->batches_in = s.batches_in;
		o->rows_in = s.rows_in;
		o->batches_out = s.batches_out;
		o->rows_out = s.rows_out;
		o->busy_ns = s.busy_ns;
		o->polls = s.polls;
		o->idle_polls = s.idle_polls;
	}
	if (job->rt && is->reader && job->op_read < CANP_LIVE_OPS_MAX)
		l->ops[job->op_read].queue = canp_reader_inflight(is->reader);
	if (job->op_write < CANP_LIVE_OPS_MAX)
		l->ops[job->op_write].queue = COLLECT(is->runs_out);
	if (job->op_write < CANP_LIVE_OPS_MAX)
		l->ops[job->op_write].queue_max = canp_stat_get(&is->obs->runs_max);
}

static void collect_work(const struct canp_observe_shard *o, struct canp_live_shard *l)
{
	/* One less than what is stored, so that 0 becomes CANP_LIVE_NONE. */
	l->unit = canp_stat_get(&o->unit) - 1;
	l->file = canp_stat_get(&o->file) - 1;
	l->units = canp_stat_get(&o->units);
	l->unit_ns = canp_stat_get(&o->unit_ns);
	l->files = canp_stat_get(&o->files);
	l->bytes = canp_stat_get(&o->bytes);
	l->frames = canp_stat_get(&o->frames);
	l->faults = canp_stat_get(&o->faults);
	l->parts = canp_stat_get(&o->parts);
}

static void collect_shard(const struct canp_job *job, unsigned i, struct canp_live_shard *l)
{
	struct canp_ingest_shard *is = &((struct canp_job_priv *)job->priv)->shards[i];
	struct canp_shard *s = canp_runtime_shard(job->rt, i);

	l->cpu = s->cpu;
	l->node = s->node;
	l->turns = COLLECT(s->stats.turns);
	l->sleeps = COLLECT(s->stats.sleeps);
	l->stalls = COLLECT(s->stats.stalls);
	l->busy_ns = COLLECT(s->stats.busy_ns);
	l->idle_ns = COLLECT(s->stats.idle_ns);
	l->stall_max_ns = COLLECT(s->stats.stall_max_ns);
	l->ring_inflight = s->ring ? canp_ring_inflight(s->ring) : 0;
	l->mesh_pending = COLLECT(is->runs_out);
	collect_work(is->obs, l);
	collect_pool(&is->pages, &l->pools[POOL_PAGES]);
	collect_pool(&is->staging, &l->pools[POOL_STAGING]);
	collect_pool(&is->owner_pages, &l->pools[POOL_OWNER]);
	collect_ops(job, is, i, l);
}

static void collect_totals(const struct canp_job *job, struct canp_live *l)
{
	const struct canp_job_priv *p = job->priv;
	struct canp_live_job sum = {0};

	for (unsigned i = 0; i < l->job.nr_shards; i++) {
		const struct canp_observe_shard *o = p->shards[i].obs;

		sum.units += l->shard[i].units;
		sum.files += l->shard[i].files;
		sum.bytes += l->shard[i].bytes;
		sum.frames += l->shard[i].frames;
		sum.faults += l->shard[i].faults;
		sum.parts += l->shard[i].parts;
		sum.files_damaged += canp_stat_get(&o->files_damaged);
		sum.files_failed += canp_stat_get(&o->files_failed);
		sum.files_skipped += canp_stat_get(&o->files_skipped);
		sum.bytes_out += COLLECT(canp_writer_set(p->shards[i].writer)->bytes_published);
		sum.file_ns_sum += canp_stat_get(&o->file_ns);
		for (unsigned k = 0; k < CANP_LIVE_BUCKETS; k++)
			sum.file_ns_log2[k] += canp_stat_get(&o->file_ns_log2[k]);
	}
	l->job.units = sum.units;
	l->job.files = sum.files;
	l->job.bytes = sum.bytes;
	l->job.frames = sum.frames;
	l->job.faults = sum.faults;
	l->job.parts = sum.parts;
	l->job.files_damaged = sum.files_damaged;
	l->job.files_failed = sum.files_failed;
	l->job.files_skipped = sum.files_skipped;
	l->job.bytes_out = sum.bytes_out;
	l->job.file_ns_sum = sum.file_ns_sum;
	memcpy(l->job.file_ns_log2, sum.file_ns_log2, sizeof(sum.file_ns_log2));
}

static void collect_plan(const struct canp_job *job, struct canp_live_job *l)
{
	const struct canp_job_priv *p = job->priv;
	/* Without shards nothing is known about their memory. */
	bool hugetlb = job->info.cores && (job->info.hugepages.kind == CANP_PAGES_2M ||
					   job->info.hugepages.kind == CANP_PAGES_1G);

	l->files_total = job->nr_files;
	l->bytes_total = job->units.bytes;
	l->units_total = job->units.nr;
	l->mem_budget_bytes = job->mem->arena_bytes * l->nr_shards + job->mem->writer_bytes;
	l->hugetlb_bytes = hugetlb ? job->info.arena_bytes * l->nr_shards : 0;
	l->oversubscribed = job->info.oversubscribed;
	if (p->started_ns) {
		l->started_ns = p->started_ns;
		l->started_wall_ns = (int64_t)p->started_ns + canp_trace_wall_offset_ns();
	}
	l->nr_ops = canp_min(canp_flow_nr_ops(job->flow), CANP_LIVE_OPS_MAX);
	for (unsigned i = 0; i < l->nr_ops; i++)
		snprintf(l->ops[i], sizeof(l->ops[i]), "%s", canp_flow_op_name(job->flow, i));
	l->nr_pools = POOL_NR;
	for (unsigned i = 0; i < POOL_NR; i++)
		snprintf(l->pools[i], sizeof(l->pools[i]), "%s", pool_names[i]);
}

void canp_observe_collect(const struct canp_job *job, struct canp_live *l)
{
	collect_plan(job, &l->job);
	/* Before the boot there are no shards, after the end no more: the last figures stay. */
	if (job->rt) {
		for (unsigned i = 0; i < l->job.nr_shards; i++)
			collect_shard(job, i, &l->shard[i]);
		collect_totals(job, l);
		l->job.interrupted = canp_runtime_interrupted(job->rt);
	}
	l->job.updated_ns = canp_clock_ns();
	l->job.updates++;
}

void canp_job_perf_collect(struct canp_job *job)
{
	const struct canp_job_priv *p = job->priv;
	struct canp_job_perf *perf = calloc(1, sizeof(*perf));

	if (!perf)
		return;
	perf->live = canp_live_alloc(job->cores);
	if (!perf->live) {
		free(perf);
		return;
	}
	canp_observe_collect(job, perf->live);
	canp_hist_init(&perf->file_ns);
	for (unsigned i = 0; i < job->cores; i++)
		canp_hist_merge(&perf->file_ns, &p->shards[i].obs->file_hist);
	job->perf = perf;
}

void canp_job_perf_destroy(struct canp_job_perf *perf)
{
	if (!perf)
		return;
	free(perf->live);
	free(perf);
}
