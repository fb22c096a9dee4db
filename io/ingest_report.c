/*
 * ingest_report.c - job.json, report.jsonl, run.json: what a job was asked, what became of each
 * input, and what came out. They live in _canp/, outside the tables, because they carry times and
 * machine facts that differ between runs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/timeconv.h"
#include "io/hooks.h"
#include "io/ingest_priv.h"
#include "io/isolate.h"
#include "io/observe_job.h"
#include "io/outdir.h"
#include "io/report.h"
#include "simd/simd.h"

const char *canp_report_format(const struct canp_file_result *r, char *buf)
{
	snprintf(buf, 32, "%s%s", r->format && r->gz ? "gz+" : "",
		 r->format ? r->format->name : "");
	return buf;
}

static void totals_files(struct canp_json *js, const struct canp_job_totals *t)
{
	canp_json_ku64(js, "files", t->files);
	canp_json_ku64(js, "files_ok", t->files_ok);
	canp_json_ku64(js, "files_damaged", t->files_damaged);
	canp_json_ku64(js, "files_failed", t->files_failed);
	canp_json_ku64(js, "files_skipped", t->files_skipped);
	canp_json_ku64(js, "files_duplicate", t->files_duplicate);
	canp_json_ku64(js, "files_pending", t->files_pending);
	canp_json_ku64(js, "frames", t->frames);
	canp_json_ku64(js, "frames_decoded", t->frames_decoded);
	canp_json_ku64(js, "frames_unknown", t->frames_unknown);
	canp_json_ku64(js, "frames_dropped", t->frames_dropped);
	canp_json_ku64(js, "error_frames", t->error_frames);
	canp_json_ku64(js, "remote_frames", t->remote_frames);
	canp_json_ku64(js, "overload_frames", t->overload_frames);
	canp_json_ku64(js, "gaps", t->gaps);
	canp_json_ku64(js, "bad_timestamps", t->bad_times);
	canp_json_ku64(js, "signals", t->signals);
	canp_json_ku64(js, "rows", t->rows);
	canp_json_ku64(js, "messages", t->messages);
	canp_json_ku64(js, "bytes_in", t->bytes_in);
	canp_json_ku64(js, "bytes_inflated", t->bytes_inflated);
	canp_json_ku64(js, "bytes_out", t->bytes_out);
	canp_json_ku64(js, "parts", t->parts);
	canp_json_ku64(js, "damage_events", t->damage_events);
}

void canp_report_totals(struct canp_json *js, const struct canp_job *job)
{
	const struct canp_job_totals *t = &job->totals;
	const char *why;

	totals_files(js, t);
	canp_json_kdouble(js, "elapsed_s", t->elapsed_s);
	canp_json_kdouble(js, "files_per_s",
			  t->elapsed_s > 0 ? (double)t->files / t->elapsed_s : 0);
	canp_json_ku64(js, "peak_mem_bytes", t->peak_mem_bytes);
	canp_json_ku64(js, "peak_rss_bytes", t->peak_rss_bytes);
	canp_json_ku64(js, "peak_hugetlb_bytes", t->peak_hugetlb_bytes);
	canp_json_ku64(js, "cores", job->info.cores);
	canp_json_kbool(js, "oversubscribed", job->info.oversubscribed);
	canp_json_kstr(js, "simd", canp_isa_name(canp_simd.isa));
	canp_json_kstr(js, "inflate",
		       canp_ahead_engine_name(canp_ahead_engine(job->opts.inflate, &why)));
	canp_json_kstr(js, "inflate_why", why);
	canp_json_kstr(js, "ring", job->info.ring.kind == CANP_RING_SYNC ? "sync" : "uring");
	canp_json_kstr(js, "hugepages", canp_page_kind_name(job->info.hugepages.kind));
	canp_json_ku64(js, "units", job->units.nr);
	canp_json_ku64(js, "foreign_claims", t->sched.foreign_claims);
	canp_json_ku64(js, "reordered_runs", t->reordered_runs);
	canp_json_ku64(js, "files_ahead", t->files_ahead);
	canp_json_key(js, "in_flight_max");
	canp_json_object(js);
	canp_json_ku64(js, "reads", t->reads_max);
	canp_json_ku64(js, "units", t->sched.under_way_max);
	canp_json_ku64(js, "writes", t->writes_max);
	canp_json_end(js);
	canp_json_key(js, "overlap");
	canp_json_object(js);
	canp_json_ku64(js, "turns", t->overlap.turns);
	canp_json_ku64(js, "reading", t->overlap.reading);
	canp_json_ku64(js, "writing", t->overlap.writing);
	canp_json_ku64(js, "both", t->overlap.both);
	canp_json_end(js);
	canp_json_kbool(js, "complete", t->complete);
	canp_json_ki64(js, "exit", t->exit_code);
}

static void input_time(struct canp_json *js, const char *key, int64_t ns)
{
	char text[CANP_TIME_TEXT];

	canp_time_format(ns, text);
	canp_json_kstr(js, key, text);
}

void canp_report_input(struct canp_json *js, const struct canp_job *job, uint32_t src,
		       unsigned faults_max)
{
	const struct canp_file_result *r = &job->results[src];
	const struct canp_input *in = canp_job_input(job, src);
	char fmt[32];

	canp_json_kstr(js, "path", in->path);
	canp_json_kstr(js, "status", canp_file_status_name(r->status));
	canp_json_kstr(js, "format", canp_report_format(r, fmt));
	canp_json_ku64(js, "bytes", in->err ? 0 : in->size);
	canp_json_kstr(js, "device", canp_devices_name(job->devices, r->device));
	canp_json_ku64(js, "frames", r->counts.frames);
	canp_json_ku64(js, "frames_decoded", r->counts.frames_decoded);
	canp_json_ku64(js, "frames_unknown", r->counts.frames_unknown);
	canp_json_ku64(js, "error_frames", r->counts.error_frames);
	canp_json_ku64(js, "members", r->stats.members);
	canp_json_ku64(js, "bytes_inflated", r->stats.bytes_inflated);
	if (r->counts.frames) {
		input_time(js, "first", r->counts.first_ns);
		input_time(js, "last", r->counts.last_ns);
	}
	canp_json_kbool(js, "unverified_tail", r->stats.unverified_tail);
	if (r->quarantined)
		canp_json_kbool(js, "quarantined", true);
	canp_json_ku64(js, "damage_events", r->nr_faults);
	canp_json_key(js, "damage");
	canp_json_array(js);
	for (uint32_t i = 0; i < r->kept_faults && i < faults_max; i++) {
		const struct canp_fault *f = &job->faults[(size_t)src * job->faults_per_file + i];

		canp_json_object(js);
		canp_json_kstr(js, "reason", canp_fault_name(f->code));
		canp_json_ku64(js, "offset", f->offset);
		canp_json_ku64(js, "bytes", f->bytes);
		canp_json_kstr(js, "what", canp_fault_text(f->code));
		canp_json_kstr(js, "detail", f->detail);
		canp_json_kstr(js, "fix", canp_fault_fix(f->code));
		canp_json_end(js);
	}
	canp_json_end(js);
}

static int report_write(const struct canp_job *job, const char *name, struct canp_strbuf *sb)
{
	int rc = sb->failed ? -ENOMEM : canp_outdir_write(job->out_fd, name, sb->buf, sb->len);

	canp_strbuf_fini(sb);
	return rc;
}

int canp_report_job_json(const struct canp_job *job)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	char hash[24];

	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)job->plan->schema_hash);
	canp_json_object(&js);
	canp_json_kstr(&js, "program", "canp-appliance");
	canp_json_ku64(&js, "files", job->nr_files);
	canp_json_ku64(&js, "bytes", job->units.bytes);
	canp_json_ku64(&js, "units", job->units.nr);
	canp_json_ku64(&js, "unit_bytes", job->units.target);
	canp_json_ku64(&js, "run_rows", job->mem->run_rows);
	canp_json_ku64(&js, "rowgroup_rows", job->mem->rowgroup_rows);
	canp_json_kstr(&js, "schema_hash", hash);
	canp_json_key(&js, "inputs");
	canp_json_array(&js);
	for (unsigned i = 0; i < job->opts.nr_inputs; i++)
		canp_json_str(&js, job->opts.inputs[i]);
	canp_json_end(&js);
	canp_json_key(&js, "dbc");
	canp_json_array(&js);
	for (size_t i = 0; i < job->opts.plan.nr_dbcs; i++)
		canp_json_str(&js, job->opts.plan.dbcs[i].path);
	canp_json_end(&js);
	canp_json_end(&js);
	canp_strbuf_putc(&sb, '\n');
	return report_write(job, CANP_OUTDIR_META "/job.json", &sb);
}

int canp_report_lines(const struct canp_job *job)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	for (uint32_t i = 0; i < job->nr_files; i++) {
		struct canp_json js = CANP_JSON_INIT(&sb, 0);

		canp_json_object(&js);
		canp_json_ku64(&js, "src", i);
		canp_report_input(&js, job, i, 100);
		canp_json_end(&js);
		canp_strbuf_putc(&sb, '\n');
	}
	if (!sb.buf)
		canp_strbuf_puts(&sb, "");
	return report_write(job, CANP_OUTDIR_META "/report.jsonl", &sb);
}

/* What every operator of the pipeline did, all shards together. busy_s is told of operators that
 * are polled, and contains those they call: of all but `write`, `read` tells it. */
static void report_pipeline(struct canp_json *js, const struct canp_job *job)
{
	struct canp_strbuf line = CANP_STRBUF_INIT;

	canp_flow_print(job->flow, &line);
	canp_json_key(js, "pipeline");
	canp_json_object(js);
	canp_json_kstr(js, "graph", line.buf ? line.buf : "");
	canp_json_key(js, "operators");
	canp_json_array(js);
	for (unsigned i = 0; i < canp_flow_nr_ops(job->flow); i++) {
		struct canp_flow_sum s;

		canp_flow_sum(job->flow, CANP_FLOW_ALL_SHARDS, i, &s);
		canp_json_object(js);
		canp_json_kstr(js, "name", canp_flow_op_name(job->flow, i));
		canp_json_ku64(js, "batches_in", s.batches_in);
		canp_json_ku64(js, "rows_in", s.rows_in);
		canp_json_ku64(js, "batches_out", s.batches_out);
		canp_json_ku64(js, "rows_out", s.rows_out);
		if (s.polls) {
			canp_json_kdouble(js, "busy_s", (double)s.busy_ns / 1e9);
			canp_json_ku64(js, "polls", s.polls);
			canp_json_ku64(js, "idle_polls", s.idle_polls);
		}
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_end(js);
	canp_strbuf_fini(&line);
}

static void report_plugins(struct canp_json *js, const struct canp_job *job)
{
	canp_json_key(js, "plugins");
	canp_json_array(js);
	for (unsigned i = 0; i < canp_plugins_nr(job->plugins); i++) {
		const struct canp_plugin_spec *spec = &job->opts.plugins[i];
		struct canp_plugin_sum s;

		canp_plugins_sum(job->plugins, i, &s);
		canp_json_object(js);
		canp_json_kstr(js, "name", canp_plugins_name(job->plugins, i));
		canp_json_kstr(js, "file", spec->file ? spec->file : "");
		canp_json_kstr(js, "arg", spec->arg ? spec->arg : "");
		canp_json_ku64(js, "batches", s.batches);
		canp_json_ku64(js, "rows_seen", s.rows_seen);
		canp_json_ku64(js, "rows_dropped", s.rows_dropped);
		canp_json_ku64(js, "errors", s.errors);
		canp_json_kdouble(js, "busy_s", (double)s.busy_ns / 1e9);
		canp_json_kbool(js, "taken_out", s.out);
		canp_json_end(js);
	}
	canp_json_end(js);
}

int canp_report_run_json(const struct canp_job *job)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);

	canp_json_object(&js);
	canp_report_totals(&js, job);
	report_pipeline(&js, job);
	report_plugins(&js, job);
	canp_hooks_json(&js, job->opts.hooks);
	canp_isolate_json(&js, job->opts.isolate);
	canp_job_perf_json(&js, job);
	canp_json_key(&js, "unknown_ids");
	canp_json_array(&js);
	for (uint32_t i = 0; i < job->nr_unknown; i++) {
		canp_json_object(&js);
		canp_json_ku64(&js, "id", job->unknown[i].id & 0x1fffffffu);
		canp_json_kbool(&js, "ext", job->unknown[i].id >> 31);
		canp_json_ku64(&js, "bus", job->unknown[i].bus);
		canp_json_ku64(&js, "frames", job->unknown[i].frames);
		canp_json_end(&js);
	}
	canp_json_end(&js);
	canp_json_end(&js);
	canp_strbuf_putc(&sb, '\n');
	return report_write(job, CANP_OUTDIR_META "/run.json", &sb);
}
