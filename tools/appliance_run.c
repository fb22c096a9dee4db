/*
 * appliance_run.c - `canp-appliance run`: plan, show, do, report.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "io/hooks.h"
#include "io/ingest_shard.h"
#include "io/isolate.h"
#include "io/observe_job.h"
#include "io/outdir.h"
#include "io/report.h"
#include "io/source/fsinfo.h"
#include "simd/simd.h"
#include "tools/appliance_cmd.h"

static const struct canp_tool run_tool = {
	.name = "canp-appliance run",
	.synopsis = "[-d [BUS=]FILE.dbc]... -o DIR [OPTION]... INPUT...",
	.text = "Reads CAN logs (files, folders, globs, @LIST, -) and writes one table per "
		"message.",
};

struct run_progress {
	bool on;
	uint64_t started_ns;
};

/* Progress by compressed input bytes of the files that are done. */
static void run_progress(void *arg, const struct canp_job *job)
{
	struct run_progress *p = arg;
	uint64_t done = 0, bytes = 0, frames = 0;
	double s = (double)(canp_clock_ns() - p->started_ns) / 1e9, share;
	char b[32], f[32];

	if (!p->on)
		return;
	for (uint32_t i = 0; i < job->nr_files; i++) {
		const struct canp_file_result *r = &job->results[i];

		/* A status read a moment too early only makes the line a moment late. */
		if (__atomic_load_n(&r->status, __ATOMIC_RELAXED) == CANP_FILE_PENDING)
			continue;
		done++;
		bytes += canp_job_input(job, i)->size;
		frames += r->counts.frames;
	}
	share = job->units.bytes ? (double)bytes / (double)job->units.bytes : 1;
	fprintf(stderr, "\r[%5.1f%%] files %llu/%u  %s/s  %s frames/s  eta %.0f s   ", share * 100,
		(unsigned long long)done, job->nr_files,
		canp_tool_bytes(s > 0 ? (double)bytes / s : 0, b),
		canp_tool_count(s > 0 ? (double)frames / s : 0, f),
		share > 0 ? s / share - s : 0.0);
}

static void print_damage(const struct canp_job *job)
{
	unsigned shown = 0;

	for (uint32_t i = 0; i < job->nr_files; i++) {
		const struct canp_file_result *r = &job->results[i];

		for (uint32_t k = 0; k < r->kept_faults && k < 3; k++) {
			const struct canp_fault *f =
				&job->faults[(size_t)i * job->faults_per_file + k];

			if (r->status == CANP_FILE_SKIPPED)
				continue;
			if (shown++ == 20) {
				fprintf(stderr, "more damage is listed in canp_errors and "
						"_canp/report.jsonl\n");
				return;
			}
			fprintf(stderr, "%s: offset %llu: %s (%s); %s\n",
				canp_job_input(job, i)->path, (unsigned long long)f->offset,
				canp_fault_text(f->code), f->detail, canp_fault_fix(f->code));
		}
	}
}

static void print_summary(const struct canp_job *job)
{
	const struct canp_job_totals *t = &job->totals;
	char a[32], b[32], c[32];

	printf("files      %llu ok, %llu damaged, %llu failed, %llu skipped, %llu duplicate\n",
	       (unsigned long long)t->files_ok, (unsigned long long)t->files_damaged,
	       (unsigned long long)t->files_failed, (unsigned long long)t->files_skipped,
	       (unsigned long long)t->files_duplicate);
	printf("frames     %llu (%llu decoded, %llu of unknown ids, %llu not selected, %llu error, "
	       "%llu remote)\n",
	       (unsigned long long)t->frames, (unsigned long long)t->frames_decoded,
	       (unsigned long long)t->frames_unknown, (unsigned long long)t->frames_dropped,
	       (unsigned long long)t->error_frames, (unsigned long long)t->remote_frames);
	for (uint32_t i = 0; i < job->nr_unknown && i < 5; i++)
		printf("           unknown id 0x%X%s on bus %u: %llu frames\n",
		       job->unknown[i].id & 0x1fffffffu, job->unknown[i].id >> 31 ? "x" : "",
		       job->unknown[i].bus, (unsigned long long)job->unknown[i].frames);
	if (t->gaps || t->bad_times)
		printf("gaps       %llu reported by the loggers; %llu frames with impossible "
		       "times\n",
		       (unsigned long long)t->gaps, (unsigned long long)t->bad_times);
	if (t->damage_events)
		printf("damage     %llu places, see canp_errors and _canp/report.jsonl\n",
		       (unsigned long long)t->damage_events);
	printf("dataset    %s: %llu messages, %llu rows, %llu signal values, %llu parts, %s\n",
	       job->opts.out, (unsigned long long)t->messages, (unsigned long long)t->rows,
	       (unsigned long long)t->signals, (unsigned long long)t->parts,
	       canp_tool_bytes((double)t->bytes_out, a));
	printf("bytes      %s in, %s inflated\n", canp_tool_bytes((double)t->bytes_in, a),
	       canp_tool_bytes((double)t->bytes_inflated, b));
	printf("speed      %.2f s: %.1f files/s, %s/s in, %s frames/s on %u core%s%s\n",
	       t->elapsed_s, (double)t->files / t->elapsed_s,
	       canp_tool_bytes((double)t->bytes_in / t->elapsed_s, a),
	       canp_tool_count((double)t->frames / t->elapsed_s, b), job->info.cores,
	       job->info.cores == 1 ? "" : "s",
	       job->info.oversubscribed ? " (oversubscribed)" : "");
	printf("machine    simd %s, ring %s, pages %s, peak memory %s\n",
	       canp_isa_name(canp_simd.isa),
	       job->info.ring.kind == CANP_RING_SYNC ? "sync" : "io_uring",
	       canp_page_kind_name(job->info.hugepages.kind),
	       canp_tool_bytes((double)t->peak_mem_bytes, c));
	if (!t->complete)
		printf("INCOMPLETE %llu files were not processed; published parts are valid\n",
		       (unsigned long long)t->files_pending);
}

static void print_json(const struct canp_job *job)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);

	canp_json_object(&js);
	canp_report_totals(&js, job);
	canp_json_end(&js);
	canp_strbuf_putc(&sb, '\n');
	canp_tool_print(&sb);
}

#define DRY_FORMATS_MAX 16u

/* What --dry-run found out beside the plan. */
struct dry {
	uint64_t formats[DRY_FORMATS_MAX]; /* files, by place in canp_formats */
	uint64_t unknown, columns;
	uint64_t expected_bytes, free_bytes; /* free: UINT64_MAX when nobody can tell */
};

static const struct canp_format *dry_format(const char *path, void *scratch)
{
	static uint8_t head[64 << 10];
	FILE *f = fopen(path, "rb");
	bool gz;
	size_t n;

	if (!f)
		return NULL;
	n = fread(head, 1, sizeof(head), f);
	fclose(f);
	return n ? canp_format_probe(head, n, scratch, &gz) : NULL;
}

/* Which formats the files have, by their first bytes. */
static void dry_formats(const struct canp_job *job, struct dry *d)
{
	void *scratch = aligned_alloc(64, (canp_format_probe_scratch() + 63) & ~63UL);

	for (uint32_t i = 0; scratch && i < job->nr_files; i++) {
		const struct canp_input *in = canp_job_input(job, i);
		const struct canp_format *fmt = in->err ? NULL : dry_format(in->path, scratch);

		d->unknown += !fmt;
		for (unsigned k = 0; fmt && k < DRY_FORMATS_MAX && canp_formats[k]; k++)
			d->formats[k] += canp_formats[k] == fmt;
	}
	free(scratch);
}

/* Free space where the output will be: of the nearest folder that exists. */
static uint64_t dry_free_bytes(const char *out)
{
	struct canp_fsinfo fi;
	char path[4096];
	int fd, rc;

	snprintf(path, sizeof(path), "%s", out);
	for (;;) {
		char *slash;

		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			break;
		slash = strrchr(path, '/');
		if (!slash || slash == path) {
			fd = open(slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			break;
		}
		*slash = '\0';
	}
	rc = fd < 0 ? -1 : canp_fsinfo_dir(fd, &fi);
	if (fd >= 0)
		close(fd);
	return rc ? UINT64_MAX : fi.free_bytes;
}

static void dry_gather(const struct canp_job *job, struct dry *d)
{
	dry_formats(job, d);
	for (uint32_t i = 0; i < job->plan->nr_tables; i++)
		for (uint32_t k = 0; k < job->plan->tables[i].nr_cols; k++)
			d->columns += !job->plan->tables[i].cols[k].hidden;
	/* Measured on dense and sparse traffic: packed columns take 0.5 to 0.9 of compressed logs.
	 */
	d->expected_bytes = job->units.bytes / 10 * 9;
	d->free_bytes = job->opts.out ? dry_free_bytes(job->opts.out) : UINT64_MAX;
}

static void dry_print(const struct canp_job *job, const struct dry *d)
{
	const struct canp_job_mem *m = job->mem;
	struct canp_strbuf line = CANP_STRBUF_INIT;
	char a[32], b[32], c[32];

	printf("files      %u, %s, in %u units of %s\n", job->nr_files,
	       canp_tool_bytes((double)job->units.bytes, a), job->units.nr,
	       canp_tool_bytes((double)job->units.target, b));
	for (uint32_t i = 0; i < job->nr_files; i++)
		if (canp_job_input(job, i)->err)
			printf("           %s: %s\n", canp_job_input(job, i)->path,
			       canp_strerror(canp_job_input(job, i)->err));
	for (unsigned k = 0; k < DRY_FORMATS_MAX && canp_formats[k]; k++)
		if (d->formats[k])
			printf("format     %-8s %llu files\n", canp_formats[k]->name,
			       (unsigned long long)d->formats[k]);
	if (d->unknown)
		printf("format     unknown  %llu files\n", (unsigned long long)d->unknown);
	canp_flow_print(job->flow, &line);
	printf("pipeline   %s\n", line.buf ? line.buf : "");
	canp_strbuf_fini(&line);
	printf("tables     %u with %llu signal columns, %llu warnings\n", job->plan->nr_tables,
	       (unsigned long long)d->columns, (unsigned long long)job->nr_warnings);
	printf("memory     %s per core%s, %s for open row groups at most\n",
	       canp_tool_bytes((double)m->arena_bytes, a),
	       m->raised ? " (raised: this many tables need it)" : "",
	       canp_tool_bytes((double)m->writer_bytes, b));
	printf("pages      %u rows, row groups of %u rows\n", m->run_rows, m->rowgroup_rows);
	printf("output     about %s expected, %s free\n",
	       canp_tool_bytes((double)d->expected_bytes, a),
	       d->free_bytes != UINT64_MAX ? canp_tool_bytes((double)d->free_bytes, c) : "?");
}

static void dry_json_inputs(struct canp_json *js, const struct canp_job *job, const struct dry *d)
{
	canp_json_ku64(js, "files", job->nr_files);
	canp_json_ku64(js, "bytes_in", job->units.bytes);
	canp_json_ku64(js, "units", job->units.nr);
	canp_json_ku64(js, "unit_bytes", job->units.target);
	canp_json_key(js, "unreadable");
	canp_json_array(js);
	for (uint32_t i = 0; i < job->nr_files; i++) {
		const struct canp_input *in = canp_job_input(job, i);

		if (!in->err)
			continue;
		canp_json_object(js);
		canp_json_kstr(js, "path", in->path);
		canp_json_kstr(js, "error", canp_strerror(in->err));
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_key(js, "formats");
	canp_json_object(js);
	for (unsigned k = 0; k < DRY_FORMATS_MAX && canp_formats[k]; k++)
		if (d->formats[k])
			canp_json_ku64(js, canp_formats[k]->name, d->formats[k]);
	if (d->unknown)
		canp_json_ku64(js, "unknown", d->unknown);
	canp_json_end(js);
}

static void dry_json(const struct canp_job *job, const struct dry *d)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT, line = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	const struct canp_job_mem *m = job->mem;

	canp_json_object(&js);
	canp_json_kbool(&js, "dry_run", true);
	dry_json_inputs(&js, job, d);
	canp_flow_print(job->flow, &line);
	canp_json_kstr(&js, "pipeline", line.buf ? line.buf : "");
	canp_strbuf_fini(&line);
	canp_json_ku64(&js, "tables", job->plan->nr_tables);
	canp_json_ku64(&js, "columns", d->columns);
	canp_json_ku64(&js, "warnings", job->nr_warnings);
	canp_json_ku64(&js, "arena_bytes_per_core", m->arena_bytes);
	canp_json_kbool(&js, "arena_raised", m->raised);
	canp_json_ku64(&js, "writer_bytes", m->writer_bytes);
	canp_json_ku64(&js, "run_rows", m->run_rows);
	canp_json_ku64(&js, "rowgroup_rows", m->rowgroup_rows);
	canp_json_ku64(&js, "bytes_out_expected", d->expected_bytes);
	/* Without -o, or where the file system does not tell, the key is missing. */
	if (d->free_bytes != UINT64_MAX)
		canp_json_ku64(&js, "bytes_free", d->free_bytes);
	canp_json_end(&js);
	canp_strbuf_putc(&sb, '\n');
	canp_tool_print(&sb);
}

static int dry_run(const struct canp_job_cli *c, const struct canp_job *job)
{
	struct dry d = {0};

	dry_gather(job, &d);
	if (c->ui.json)
		dry_json(job, &d);
	else
		dry_print(job, &d);
	return CANP_EXIT_OK;
}

/* Opens what --live, --metrics and --trace ask for. */
static int run_watch(const struct canp_job_cli *c, struct canp_job *job,
		     struct canp_observe **watch, struct canp_strbuf *err)
{
	const struct canp_observe_opts o = {
		.live = c->ui.live,
		.metrics = c->ui.metrics,
		.trace = c->ui.trace,
		.trace_format = (enum canp_observe_trace_format)c->ui.trace_format,
		.trace_paused = c->ui.trace_paused,
	};
	int rc = canp_observe_create(&o, job, err, watch);

	if (rc)
		fprintf(stderr, "canp-appliance: %s\n", err->buf);
	else if (!c->ui.quiet && *canp_observe_metrics(*watch))
		fprintf(stderr, "canp-appliance: metrics at %s\n", canp_observe_metrics(*watch));
	return rc;
}

/* A trace that cannot be written costs the trace, not the job. */
static void run_unwatch(struct canp_observe *watch, const struct canp_job *job, int rc)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;

	if (canp_observe_finish(watch, job, rc, &err))
		fprintf(stderr, "canp-appliance: %s\n", err.buf);
	canp_observe_destroy(watch);
	canp_strbuf_fini(&err);
}

static int run_job(struct canp_job_cli *c, struct canp_job *job)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct run_progress progress = {
		.on = !c->ui.quiet && (c->ui.progress == CANP_CFG_PROGRESS_ALWAYS ||
				       (c->ui.progress == CANP_CFG_PROGRESS_AUTO && isatty(2))),
		.started_ns = canp_clock_ns(),
	};
	struct canp_observe *watch = NULL;
	int rc = run_watch(c, job, &watch, &err), code;

	if (rc) {
		canp_strbuf_fini(&err);
		return CANP_EXIT_FATAL;
	}
	rc = canp_job_run(job, run_progress, &progress, &err);
	code = job->totals.exit_code;
	if (progress.on)
		fprintf(stderr, "\r%-79s\r", "");
	if (rc && err.len)
		fprintf(stderr, "canp-appliance: %s\n", err.buf);
	run_unwatch(watch, job, rc);
	canp_strbuf_fini(&err);
	if (job->info.cores) {
		if (!c->ui.quiet)
			print_damage(job);
		if (c->ui.json)
			print_json(job);
		else if (!c->ui.quiet)
			print_summary(job);
	}
	return rc && !code ? CANP_EXIT_FATAL : code;
}

static int run_hooks(struct canp_job_cli *c, struct canp_strbuf *err)
{
	const struct canp_hooks_opts o = {
		.on_publish = c->ui.on_publish,
		.on_quarantine = c->ui.on_quarantine,
		.out = c->job.out,
		.jobs = c->ui.hook_jobs,
		.timeout_ms = c->ui.hook_timeout / (uint64_t)CANP_NS_PER_MS,
	};
	int rc = canp_hooks_create(&o, &c->job.hooks);

	if (rc)
		canp_strbuf_printf(err, "cannot prepare the hooks: %s", canp_strerror(rc));
	return rc;
}

/* Before the threads of hooks and watchers, and before the memory of the job. */
static int run_isolate(struct canp_job_cli *c, struct canp_strbuf *err)
{
	if (c->ui.isolate != CANP_CFG_ISOLATE_PROCESS)
		return 0;
	return canp_isolate_create(&(struct canp_isolate_opts){.lanes = canp_job_nr_cores(&c->job),
							       .format = &c->job.format,
							       .inflate = c->job.inflate},
				   err, &c->job.isolate);
}

int canp_cmd_run(int argc, char **argv)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_job *job = NULL;
	struct canp_job_cli c;
	unsigned shown = 0;
	int code = canp_job_cli_parse(&c, &run_tool, argc, argv);

	if (code >= 0)
		return code;
	code = canp_job_cli_resolve(&c, &run_tool);
	if (code < 0 && !c.job.nr_inputs)
		code = canp_tool_usage(&run_tool, "no INPUT given");
	if (code < 0 && !c.job.out && !c.ui.dry_run)
		code = canp_tool_usage(&run_tool, "no output folder given (-o DIR)");
	if (code < 0 && !c.ui.dry_run && (run_isolate(&c, &err) || run_hooks(&c, &err))) {
		fprintf(stderr, "canp-appliance: %s\n", err.buf);
		code = CANP_EXIT_FATAL;
	}
	if (code < 0 &&
	    canp_job_create(&c.job, c.ui.quiet ? NULL : canp_cmd_warn, &shown, &err, &job)) {
		fprintf(stderr, "canp-appliance: %s\n", err.len ? err.buf : "cannot plan the job");
		code = CANP_EXIT_FATAL;
	}
	if (code < 0 && !c.ui.dry_run && canp_outdir_refuse(c.job.out, &err))
		code = canp_tool_usage(&run_tool, "%s", err.buf);
	if (code < 0)
		code = c.ui.dry_run ? dry_run(&c, job) : run_job(&c, job);
	canp_job_destroy(job);
	canp_hooks_destroy(c.job.hooks);
	canp_isolate_destroy(c.job.isolate);
	canp_strbuf_fini(&err);
	canp_job_cli_fini(&c);
	return code;
}
