/*
 * live_text.c - a snapshot of a job as JSON (canp-top --json, status --json) and as metrics
 * (OpenMetrics, Prometheus). Both show the same numbers under the same names.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hist.h"
#include "core/base/json.h"
#include "core/observe/metrics.h"
#include "io/live.h"

static double live_seconds(uint64_t ns)
{
	return (double)ns * 1e-9;
}

static double live_elapsed(const struct canp_live_job *j)
{
	return j->updated_ns > j->started_ns ? live_seconds(j->updated_ns - j->started_ns) : 0;
}

/* Share of a core's time that went into work. */
static double live_load(const struct canp_live_shard *s)
{
	uint64_t all = s->busy_ns + s->idle_ns;

	return all ? (double)s->busy_ns / (double)all : 0;
}

static double live_share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

/* ---- JSON ---- */

static void live_json_op(struct canp_json *js, const char *name, const struct canp_live_op *o)
{
	canp_json_object(js);
	canp_json_kstr(js, "name", name);
	canp_json_ku64(js, "batches_in", o->batches_in);
	canp_json_ku64(js, "rows_in", o->rows_in);
	canp_json_ku64(js, "batches_out", o->batches_out);
	canp_json_ku64(js, "rows_out", o->rows_out);
	canp_json_kdouble(js, "busy_s", live_seconds(o->busy_ns));
	canp_json_ku64(js, "polls", o->polls);
	canp_json_ku64(js, "idle_polls", o->idle_polls);
	canp_json_ku64(js, "queue", o->queue);
	canp_json_ku64(js, "queue_max", o->queue_max);
	canp_json_end(js);
}

static void live_json_pool(struct canp_json *js, const char *name, const struct canp_live_pool *p)
{
	canp_json_object(js);
	canp_json_kstr(js, "name", name);
	canp_json_ku64(js, "slot_bytes", p->slot_bytes);
	canp_json_ku64(js, "slots", p->slots);
	canp_json_ku64(js, "in_use", p->in_use);
	canp_json_ku64(js, "in_use_max", p->in_use_max);
	canp_json_ku64(js, "gets", p->gets);
	canp_json_ku64(js, "puts", p->puts);
	canp_json_ku64(js, "waits", p->waits);
	canp_json_ku64(js, "refused", p->refused);
	canp_json_kdouble(js, "hit_rate", live_share(p->hits, p->gets));
	canp_json_end(js);
}

static void live_json_under_way(struct canp_json *js, const char *key, uint64_t v)
{
	canp_json_key(js, key);
	if (v == CANP_LIVE_NONE)
		canp_json_null(js);
	else
		canp_json_u64(js, v);
}

static void live_json_shard(const struct canp_live *l, unsigned i, struct canp_json *js)
{
	const struct canp_live_shard *s = &l->shard[i];

	canp_json_object(js);
	canp_json_ku64(js, "shard", i);
	canp_json_ki64(js, "cpu", s->cpu);
	canp_json_ki64(js, "node", s->node);
	canp_json_kdouble(js, "load", live_load(s));
	canp_json_kdouble(js, "busy_s", live_seconds(s->busy_ns));
	canp_json_kdouble(js, "idle_s", live_seconds(s->idle_ns));
	canp_json_ku64(js, "turns", s->turns);
	canp_json_ku64(js, "sleeps", s->sleeps);
	canp_json_ku64(js, "stalls", s->stalls);
	canp_json_kdouble(js, "stall_max_s", live_seconds(s->stall_max_ns));
	live_json_under_way(js, "unit", s->unit);
	live_json_under_way(js, "file", s->file);
	canp_json_ku64(js, "units", s->units);
	canp_json_ku64(js, "files", s->files);
	canp_json_ku64(js, "bytes", s->bytes);
	canp_json_ku64(js, "frames", s->frames);
	canp_json_ku64(js, "faults", s->faults);
	canp_json_ku64(js, "parts", s->parts);
	canp_json_ku64(js, "ring_inflight", s->ring_inflight);
	canp_json_ku64(js, "mesh_pending", s->mesh_pending);
	canp_json_key(js, "operators");
	canp_json_array(js);
	for (unsigned k = 0; k < l->job.nr_ops; k++)
		live_json_op(js, l->job.ops[k], &s->ops[k]);
	canp_json_end(js);
	canp_json_key(js, "pools");
	canp_json_array(js);
	for (unsigned k = 0; k < l->job.nr_pools; k++)
		live_json_pool(js, l->job.pools[k], &s->pools[k]);
	canp_json_end(js);
	canp_json_end(js);
}

static void live_json_counts(const struct canp_live_job *j, struct canp_json *js)
{
	double s = live_elapsed(j);

	canp_json_ku64(js, "files_total", j->files_total);
	canp_json_ku64(js, "files", j->files);
	canp_json_ku64(js, "files_damaged", j->files_damaged);
	canp_json_ku64(js, "files_failed", j->files_failed);
	canp_json_ku64(js, "files_skipped", j->files_skipped);
	canp_json_ku64(js, "units_total", j->units_total);
	canp_json_ku64(js, "units", j->units);
	canp_json_ku64(js, "bytes_total", j->bytes_total);
	canp_json_ku64(js, "bytes", j->bytes);
	canp_json_ku64(js, "frames", j->frames);
	canp_json_ku64(js, "faults", j->faults);
	canp_json_ku64(js, "parts", j->parts);
	canp_json_ku64(js, "bytes_out", j->bytes_out);
	canp_json_kdouble(js, "progress", live_share(j->bytes, j->bytes_total));
	canp_json_kdouble(js, "bytes_per_s", s > 0 ? (double)j->bytes / s : 0);
	canp_json_kdouble(js, "frames_per_s", s > 0 ? (double)j->frames / s : 0);
}

static void live_json_process(const struct canp_live_job *j, struct canp_json *js)
{
	canp_json_kdouble(js, "cpu_s", live_seconds(j->cpu_ns));
	canp_json_ku64(js, "rss_bytes", j->rss_bytes);
	canp_json_ku64(js, "hugetlb_bytes", j->hugetlb_bytes);
	canp_json_ku64(js, "mem_budget_bytes", j->mem_budget_bytes);
	canp_json_ku64(js, "threads", j->threads);
	canp_json_ku64(js, "read_bytes", j->read_bytes);
	canp_json_ku64(js, "written_bytes", j->written_bytes);
	canp_json_kbool(js, "tracing", j->trace_on != 0);
	canp_json_ku64(js, "trace_events", j->trace_events);
	canp_json_ku64(js, "trace_lost", j->trace_lost);
}

void canp_live_json(const struct canp_live *l, struct canp_json *js)
{
	const struct canp_live_job *j = &l->job;

	canp_json_kstr(js, "job", j->id);
	canp_json_kstr(js, "program", j->program);
	canp_json_ki64(js, "pid", j->pid);
	canp_json_kstr(js, "state", canp_live_state_name(j->state));
	canp_json_kstr(js, "output", j->out);
	canp_json_kstr(js, "metrics", j->metrics);
	canp_json_kdouble(js, "started_unix_s", (double)j->started_wall_ns * 1e-9);
	canp_json_kdouble(js, "elapsed_s", live_elapsed(j));
	canp_json_ku64(js, "updates", j->updates);
	canp_json_kbool(js, "oversubscribed", j->oversubscribed != 0);
	live_json_counts(j, js);
	live_json_process(j, js);
	canp_json_key(js, "shards");
	canp_json_array(js);
	for (unsigned i = 0; i < j->nr_shards; i++)
		live_json_shard(l, i, js);
	canp_json_end(js);
}

/* ---- metrics ---- */

struct live_row {
	const char *name, *unit, *help;
	size_t offset;
	bool counter;
	double scale; /* 0: a whole number */
};

#define JOB(field)   offsetof(struct canp_live_job, field)
#define SHARD(field) offsetof(struct canp_live_shard, field)
#define OP(field)    offsetof(struct canp_live_op, field)
#define POOL(field)  offsetof(struct canp_live_pool, field)

static const struct live_row job_rows[] = {
	{"canp_job_files_planned", NULL, "Files of the job.", JOB(files_total), false, 0},
	{"canp_job_input_planned_bytes", "bytes", "Bytes of the job's files.", JOB(bytes_total),
	 false, 0},
	{"canp_job_units_planned", NULL, "Units the files were cut into.", JOB(units_total), false,
	 0},
	{"canp_files", NULL, "Files finished.", JOB(files), true, 0},
	{"canp_files_damaged", NULL, "Files with damage.", JOB(files_damaged), true, 0},
	{"canp_files_failed", NULL, "Files that could not be read.", JOB(files_failed), true, 0},
	{"canp_units", NULL, "Units finished.", JOB(units), true, 0},
	{"canp_input_bytes", "bytes", "Bytes of finished files.", JOB(bytes), true, 0},
	{"canp_frames", NULL, "Frames of finished files.", JOB(frames), true, 0},
	{"canp_faults", NULL, "Places of damage found.", JOB(faults), true, 0},
	{"canp_parts", NULL, "Output files published.", JOB(parts), true, 0},
	{"canp_output_bytes", "bytes", "Bytes of published output files.", JOB(bytes_out), true, 0},
	{"canp_cpu_seconds", "seconds", "CPU time of the process.", JOB(cpu_ns), true, 1e-9},
	{"canp_resident_bytes", "bytes", "Resident memory without hugetlb pages.", JOB(rss_bytes),
	 false, 0},
	{"canp_hugetlb_bytes", "bytes", "Memory in hugetlb pages.", JOB(hugetlb_bytes), false, 0},
	{"canp_memory_budget_bytes", "bytes", "Memory the job was planned with.",
	 JOB(mem_budget_bytes), false, 0},
	{"canp_threads", NULL, "Threads of the process.", JOB(threads), false, 0},
	{"canp_disk_read_bytes", "bytes", "Bytes read from block devices.", JOB(read_bytes), true,
	 0},
	{"canp_disk_written_bytes", "bytes", "Bytes written to block devices.", JOB(written_bytes),
	 true, 0},
	{"canp_trace_enabled", NULL, "1 while spans are recorded.", JOB(trace_on), false, 0},
	{"canp_trace_events", NULL, "Trace records collected.", JOB(trace_events), true, 0},
	{"canp_trace_lost", NULL, "Trace records lost.", JOB(trace_lost), true, 0},
};

static const struct live_row shard_rows[] = {
	{"canp_shard_busy_seconds", "seconds", "Time in turns that had work.", SHARD(busy_ns), true,
	 1e-9},
	{"canp_shard_idle_seconds", "seconds", "Time without work, asleep or looking for some.",
	 SHARD(idle_ns), true, 1e-9},
	{"canp_shard_turns", NULL, "Turns of the reactor.", SHARD(turns), true, 0},
	{"canp_shard_sleeps", NULL, "Times the reactor slept.", SHARD(sleeps), true, 0},
	{"canp_shard_stalls", NULL, "Turns longer than 25 ms.", SHARD(stalls), true, 0},
	{"canp_shard_stall_max_seconds", "seconds", "Longest turn over 25 ms.", SHARD(stall_max_ns),
	 false, 1e-9},
	{"canp_shard_files", NULL, "Files finished by the shard.", SHARD(files), true, 0},
	{"canp_shard_units", NULL, "Units finished by the shard.", SHARD(units), true, 0},
	{"canp_shard_unit_seconds", "seconds", "Time the finished units took.", SHARD(unit_ns),
	 true, 1e-9},
	{"canp_shard_frames", NULL, "Frames of files finished by the shard.", SHARD(frames), true,
	 0},
	{"canp_ring_inflight", NULL, "Operations in the kernel.", SHARD(ring_inflight), false, 0},
	{"canp_mesh_pending", NULL, "Page runs sent and not yet home.", SHARD(mesh_pending), false,
	 0},
};

static const struct live_row op_rows[] = {
	{"canp_operator_batches_in", NULL, "Batches taken.", OP(batches_in), true, 0},
	{"canp_operator_rows_in", NULL, "Rows taken.", OP(rows_in), true, 0},
	{"canp_operator_batches_out", NULL, "Batches handed on.", OP(batches_out), true, 0},
	{"canp_operator_rows_out", NULL, "Rows handed on.", OP(rows_out), true, 0},
	{"canp_operator_busy_seconds", "seconds",
	 "Time in polls of the operator, with the operators called from there.", OP(busy_ns), true,
	 1e-9},
	{"canp_operator_polls", NULL, "Polls of the operator.", OP(polls), true, 0},
	{"canp_operator_idle_polls", NULL, "Polls that found nothing to do.", OP(idle_polls), true,
	 0},
	{"canp_operator_queue", NULL, "Waiting for the operator.", OP(queue), false, 0},
};

static const struct live_row pool_rows[] = {
	{"canp_pool_slots", NULL, "Slots of the pool.", POOL(slots), false, 0},
	{"canp_pool_slots_used", NULL, "Slots in use.", POOL(in_use), false, 0},
	{"canp_pool_slots_used_max", NULL, "Most slots ever in use.", POOL(in_use_max), false, 0},
	{"canp_pool_gets", NULL, "Slots handed out.", POOL(gets), true, 0},
	{"canp_pool_hits", NULL, "Slots handed out that had been used before.", POOL(hits), true,
	 0},
	{"canp_pool_puts", NULL, "Slots given back.", POOL(puts), true, 0},
	{"canp_pool_refused", NULL, "Requests that got nothing.", POOL(refused), true, 0},
};

static void live_family(struct canp_metrics *m, const struct live_row *r)
{
	canp_metrics_family(m, r->counter ? CANP_METRIC_COUNTER : CANP_METRIC_GAUGE, r->name,
			    r->unit, r->help);
}

static void live_sample(struct canp_metrics *m, const struct live_row *r, const void *base,
			const struct canp_metric_label *labels, unsigned nr)
{
	uint64_t v;

	memcpy(&v, (const char *)base + r->offset, sizeof(v));
	if (r->scale > 0)
		canp_metrics_double(m, labels, nr, (double)v * r->scale);
	else
		canp_metrics_u64(m, labels, nr, v);
}

/* One family: a sample for each shard and, with names, for each of its operators or pools. */
static void live_family_of_shards(const struct canp_live *l, struct canp_metrics *m,
				  const struct live_row *r, const char *label,
				  const char (*names)[CANP_LIVE_NAME], unsigned nr, size_t array,
				  size_t stride)
{
	live_family(m, r);
	for (unsigned i = 0; i < l->job.nr_shards; i++) {
		const char *base = (const char *)&l->shard[i] + array;
		char index[12];

		snprintf(index, sizeof(index), "%u", i);
		for (unsigned k = 0; k < nr; k++) {
			struct canp_metric_label labels[] = {{"shard", index},
							     {label, names ? names[k] : ""}};

			live_sample(m, r, base + k * stride, labels, names ? 2 : 1);
		}
	}
}

/* Durations of files, from counts by power of two: exact at the bounds that are shown. */
static void live_metrics_hist(const struct canp_live_job *j, struct canp_metrics *m)
{
	static const struct canp_metrics_buckets buckets = {
		.from = 16, .to = 38, .step = 2, .scale = 1e-9};
	struct canp_hist *h = malloc(sizeof(*h));

	if (!h)
		return;
	canp_hist_init(h);
	for (unsigned i = 0; i < CANP_LIVE_BUCKETS; i++) {
		h->buckets[canp_hist_bucket(1ULL << i)] += j->file_ns_log2[i];
		h->count += j->file_ns_log2[i];
	}
	h->sum = j->file_ns_sum;
	canp_metrics_family(m, CANP_METRIC_HISTOGRAM, "canp_file_duration_seconds", "seconds",
			    "From opening a file to its last frame.");
	canp_metrics_hist(m, NULL, 0, h, &buckets);
	free(h);
}

static void live_metrics_state(const struct canp_live_job *j, struct canp_metrics *m)
{
	const struct canp_metric_label info[] = {
		{"job", j->id}, {"program", j->program}, {"output", j->out}};

	canp_metrics_family(m, CANP_METRIC_GAUGE, "canp_job_info", NULL, "Which job this is.");
	canp_metrics_u64(m, info, CANP_ARRAY_SIZE(info), 1);
	canp_metrics_family(m, CANP_METRIC_GAUGE, "canp_job_state", NULL,
			    "1 for the state the job is in.");
	for (uint32_t s = 0; s < CANP_LIVE_STATE_NR; s++) {
		const struct canp_metric_label label = {"state", canp_live_state_name(s)};

		canp_metrics_u64(m, &label, 1, j->state == s);
	}
	canp_metrics_family(m, CANP_METRIC_GAUGE, "canp_job_start_time_seconds", "seconds",
			    "Unix time of the job's start.");
	canp_metrics_double(m, NULL, 0, (double)j->started_wall_ns * 1e-9);
	canp_metrics_family(m, CANP_METRIC_GAUGE, "canp_job_elapsed_seconds", "seconds",
			    "Time since the job's start.");
	canp_metrics_double(m, NULL, 0, live_elapsed(j));
}

void canp_live_metrics(const struct canp_live *l, struct canp_metrics *m)
{
	const struct canp_live_job *j = &l->job;

	live_metrics_state(j, m);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(job_rows); i++) {
		live_family(m, &job_rows[i]);
		live_sample(m, &job_rows[i], j, NULL, 0);
	}
	live_metrics_hist(j, m);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(shard_rows); i++)
		live_family_of_shards(l, m, &shard_rows[i], "", NULL, 1, 0, 0);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(op_rows); i++)
		live_family_of_shards(l, m, &op_rows[i], "operator", j->ops, j->nr_ops,
				      offsetof(struct canp_live_shard, ops),
				      sizeof(struct canp_live_op));
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(pool_rows); i++)
		live_family_of_shards(l, m, &pool_rows[i], "pool", j->pools, j->nr_pools,
				      offsetof(struct canp_live_shard, pools),
				      sizeof(struct canp_live_pool));
}
