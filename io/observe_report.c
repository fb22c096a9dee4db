/*
 * observe_report.c - the performance report of a job, part of _canp/run.json: where the time went,
 * what the memory did, what each operator and each shard carried, with percentages. The names are
 * those of the statistics of the runtime: tasks (here: files), the pool of workers (here: shards
 * and the units they work on), memory blocks (here: slots of the pools).
 */
#include "core/base/json.h"
#include "io/observe_job.h"

static double perf_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static double perf_mean_ms(uint64_t ns, uint64_t nr)
{
	return nr ? (double)ns / (double)nr * 1e-6 : 0;
}

/* Time of all shards together. */
static uint64_t perf_shard_ns(const struct canp_live *l)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < l->job.nr_shards; i++)
		ns += l->shard[i].busy_ns + l->shard[i].idle_ns;
	return ns;
}

static void perf_tasks(struct canp_json *js, const struct canp_job_perf *perf)
{
	const struct canp_live_job *j = &perf->live->job;
	const struct canp_hist *h = &perf->file_ns;

	canp_json_key(js, "tasks");
	canp_json_object(js);
	canp_json_kstr(js, "unit_of_work", "file");
	canp_json_ku64(js, "total_tasks", j->files_total);
	canp_json_ku64(js, "completed_tasks", j->files - j->files_failed);
	canp_json_ku64(js, "failed_tasks", j->files_failed);
	canp_json_kdouble(js, "completed_percent",
			  perf_percent(j->files - j->files_failed, j->files_total));
	canp_json_kdouble(js, "failed_percent", perf_percent(j->files_failed, j->files_total));
	canp_json_kdouble(js, "avg_execution_time_ms", canp_hist_mean(h) * 1e-6);
	canp_json_kdouble(js, "p50_execution_time_ms", (double)canp_hist_percentile(h, 50) * 1e-6);
	canp_json_kdouble(js, "p99_execution_time_ms", (double)canp_hist_percentile(h, 99) * 1e-6);
	canp_json_kdouble(js, "p999_execution_time_ms",
			  (double)canp_hist_percentile(h, 99.9) * 1e-6);
	canp_json_kdouble(js, "max_execution_time_ms", (double)canp_hist_percentile(h, 100) * 1e-6);
	canp_json_end(js);
}

static void perf_pool(struct canp_json *js, const struct canp_live *l)
{
	uint64_t ns = 0, units = 0, busy = 0;
	struct canp_live_pool pages;

	for (unsigned i = 0; i < l->job.nr_shards; i++) {
		ns += l->shard[i].unit_ns;
		units += l->shard[i].units;
		busy += l->shard[i].busy_ns;
	}
	canp_live_sum_pool(l, 0, &pages);
	canp_json_key(js, "pool");
	canp_json_object(js);
	canp_json_kstr(js, "unit_of_work", "unit");
	canp_json_ku64(js, "workers", l->job.nr_shards);
	canp_json_ku64(js, "tasks_completed", units);
	canp_json_kdouble(js, "avg_task_time_ms", perf_mean_ms(ns, units));
	canp_json_kdouble(js, "worker_utilization", perf_percent(busy, perf_shard_ns(l)));
	/* What queues between the shards are page runs, and what bounds them are page slots. */
	canp_json_kdouble(js, "queue_utilization", perf_percent(pages.in_use_max, pages.slots));
	canp_json_end(js);
}

static void perf_memory_pool(struct canp_json *js, const char *name, const struct canp_live_pool *p)
{
	canp_json_object(js);
	canp_json_kstr(js, "name", name);
	canp_json_ku64(js, "block_bytes", p->slot_bytes);
	canp_json_ku64(js, "total_memory_blocks", p->slots);
	canp_json_ku64(js, "recycled_memory_blocks", p->hits);
	canp_json_kdouble(js, "memory_reuse_rate", perf_percent(p->hits, p->gets) / 100);
	canp_json_ku64(js, "total_allocations", p->gets);
	canp_json_ku64(js, "total_deallocations", p->puts);
	canp_json_ku64(js, "waits", p->waits);
	canp_json_ku64(js, "refused", p->refused);
	canp_json_ku64(js, "current_memory_usage", p->in_use * p->slot_bytes);
	canp_json_ku64(js, "peak_memory_usage", p->in_use_max * p->slot_bytes);
	canp_json_kdouble(js, "peak_percent", perf_percent(p->in_use_max, p->slots));
	canp_json_kdouble(js, "block_pool_hit_rate", perf_percent(p->hits, p->gets) / 100);
	canp_json_end(js);
}

static void perf_memory(struct canp_json *js, const struct canp_job *job)
{
	const struct canp_live *l = job->perf->live;
	struct canp_live_pool p, sum = {0};
	uint64_t now = 0, peak = 0;

	canp_json_key(js, "memory");
	canp_json_object(js);
	canp_json_key(js, "pools");
	canp_json_array(js);
	for (unsigned k = 0; k < l->job.nr_pools; k++) {
		canp_live_sum_pool(l, k, &p);
		perf_memory_pool(js, l->job.pools[k], &p);
		sum.gets += p.gets;
		sum.puts += p.puts;
		sum.hits += p.hits;
		sum.slots += p.slots;
		now += p.in_use * p.slot_bytes;
		/* Pools need not peak at the same moment: an upper bound. */
		peak += p.in_use_max * p.slot_bytes;
	}
	canp_json_end(js);
	canp_json_ku64(js, "total_allocations", sum.gets);
	canp_json_ku64(js, "total_deallocations", sum.puts);
	canp_json_ku64(js, "current_memory_usage", now);
	canp_json_ku64(js, "peak_memory_usage", peak);
	canp_json_kdouble(js, "block_pool_hit_rate", perf_percent(sum.hits, sum.gets) / 100);
	canp_json_ku64(js, "total_memory_blocks", sum.slots);
	canp_json_ku64(js, "recycled_memory_blocks", sum.hits);
	canp_json_kdouble(js, "memory_reuse_rate", perf_percent(sum.hits, sum.gets) / 100);
	canp_json_ku64(js, "budget_bytes", l->job.mem_budget_bytes);
	canp_json_kdouble(js, "peak_of_budget_percent",
			  perf_percent(job->totals.peak_mem_bytes, l->job.mem_budget_bytes));
	canp_json_end(js);
}

static const char *perf_kind(enum canp_flow_kind kind)
{
	static const char *const names[] = {[CANP_FLOW_SOURCE] = "source",
					    [CANP_FLOW_OPERATOR] = "operator",
					    [CANP_FLOW_SINK] = "sink"};

	return names[kind];
}

/* Operators that are polled have a clock of their own; the others run inside the poll of the one
 * before them, so their time is part of its. */
static void perf_operators(struct canp_json *js, const struct canp_job *job)
{
	const struct canp_live *l = job->perf->live;
	uint64_t all = perf_shard_ns(l);

	canp_json_key(js, "operators");
	canp_json_array(js);
	for (unsigned k = 0; k < l->job.nr_ops; k++) {
		struct canp_live_op o;

		canp_live_sum_op(l, k, &o);
		canp_json_object(js);
		canp_json_kstr(js, "name", l->job.ops[k]);
		canp_json_kstr(js, "kind", perf_kind(canp_flow_op_kind(job->flow, k)));
		canp_json_ku64(js, "items_in", o.rows_in);
		canp_json_ku64(js, "items_out", o.rows_out);
		canp_json_ku64(js, "batches_in", o.batches_in);
		canp_json_ku64(js, "batches_out", o.batches_out);
		canp_json_ku64(js, "busy_ns", o.busy_ns);
		canp_json_ku64(js, "wait_ns", o.polls && all > o.busy_ns ? all - o.busy_ns : 0);
		canp_json_kdouble(js, "busy_percent", perf_percent(o.busy_ns, all));
		canp_json_ku64(js, "polls", o.polls);
		canp_json_ku64(js, "idle_polls", o.idle_polls);
		canp_json_ku64(js, "queue_depth", o.queue);
		canp_json_ku64(js, "queue_depth_max", o.queue_max);
		canp_json_end(js);
	}
	canp_json_end(js);
}

static void perf_shards(struct canp_json *js, const struct canp_live *l)
{
	canp_json_key(js, "shards");
	canp_json_array(js);
	for (unsigned i = 0; i < l->job.nr_shards; i++) {
		const struct canp_live_shard *s = &l->shard[i];

		canp_json_object(js);
		canp_json_ki64(js, "cpu", s->cpu);
		canp_json_kdouble(js, "busy_percent",
				  perf_percent(s->busy_ns, s->busy_ns + s->idle_ns));
		canp_json_ku64(js, "busy_ns", s->busy_ns);
		canp_json_ku64(js, "idle_ns", s->idle_ns);
		canp_json_ku64(js, "turns", s->turns);
		canp_json_ku64(js, "sleeps", s->sleeps);
		canp_json_ku64(js, "stalls", s->stalls);
		canp_json_kdouble(js, "stall_max_ms", (double)s->stall_max_ns * 1e-6);
		canp_json_ku64(js, "units", s->units);
		canp_json_ku64(js, "files", s->files);
		canp_json_kdouble(js, "files_percent", perf_percent(s->files, l->job.files));
		canp_json_ku64(js, "frames", s->frames);
		canp_json_ku64(js, "parts", s->parts);
		canp_json_end(js);
	}
	canp_json_end(js);
}

void canp_job_perf_json(struct canp_json *js, const struct canp_job *job)
{
	if (!job->perf)
		return;
	canp_json_key(js, "performance");
	canp_json_object(js);
	perf_tasks(js, job->perf);
	perf_pool(js, job->perf->live);
	perf_memory(js, job);
	perf_operators(js, job);
	perf_shards(js, job->perf->live);
	canp_json_end(js);
}
