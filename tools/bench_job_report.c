/*
 * bench_job_report.c - what `canp-bench job` found, as a table or as JSON. All figures are medians
 * over the rounds; ratios are taken round by round. CPU time per frame is on one core.
 */
#include <math.h>
#include <stdio.h>

#include "core/base/json.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "tools/bench_job.h"
#include "tools/toolmain.h"

/* Bytes a second of isal_inflate on dense data on the machine that the goals were set on. Figures
 * of a machine, or an hour, at another speed are also given as they would have been at this one. */
#define REFERENCE_ISAL_RATE 0.48e9

/* The job that the goals are about: so many files of 15 MB. */
#define REPORT_FILES 8000u

static const struct canp_bench_contender *find(const struct canp_bench_result *r,
					       enum canp_bench_kind kind)
{
	for (unsigned i = 1; i < r->nr; i++)
		if (r->c[i].kind == kind && kind != CANP_BENCH_JOB)
			return &r->c[i];
	return NULL;
}

static const struct canp_bench_contender *find_scaled(const struct canp_bench_result *r)
{
	for (unsigned i = 1; i < r->nr; i++)
		if (r->c[i].kind == CANP_BENCH_JOB && r->c[i].cores > 1)
			return &r->c[i];
	return NULL;
}

static const struct canp_bench_contender *find_serial(const struct canp_bench_result *r)
{
	for (unsigned i = 1; i < r->nr; i++)
		if (r->c[i].serial)
			return &r->c[i];
	return NULL;
}

/* The range up to `last`; NULL: not measured. */
static const struct canp_bench_contender *find_range(const struct canp_bench_result *r,
						     enum canp_stage last)
{
	for (unsigned i = 0; i < r->nr; i++)
		if (r->c[i].kind == CANP_BENCH_JOB && r->c[i].cores == 1 && !r->c[i].serial &&
		    r->c[i].last == last)
			return &r->c[i];
	return NULL;
}

static double ns_frame(const struct canp_bench_result *r, const struct canp_bench_contender *c)
{
	return c->cpu_stat.median * 1e9 / (double)r->frames;
}

struct derived {
	const struct canp_bench_contender *job, *isal, *fio, *wide, *serial;
	double files_core, files_cpu; /* files a second */
	double isal_cpu, isal_wall;   /* how many times as fast as ISA-L alone */
	double isal_rate;             /* bytes inflated a second */
	double normal_ns;
	double fio_ratio;
	double growth, efficiency; /* CPU time a file, wall time */
	double value_bytes;
	double overlap;     /* how many times as fast as one stage after the other, by wall time */
	double utilisation; /* of the cores it ran on: CPU time by wall time */
	double many_s;      /* seconds for REPORT_FILES such files */
};

static struct derived derive(const struct canp_bench_result *r)
{
	struct derived d = {
		.job = &r->c[0],
		.isal = find(r, CANP_BENCH_ISAL),
		.fio = find(r, CANP_BENCH_FIO),
		.wide = find_scaled(r),
		.serial = find_serial(r),
	};
	const struct canp_bench_run *run = &d.job->run;
	const struct canp_bench_contender *most = d.wide ? d.wide : d.job;

	d.utilisation = most->cpu_stat.median / most->wall_stat.median / most->cores;
	d.many_s = REPORT_FILES * most->wall_stat.median / r->s->data.nr;
	d.overlap = d.serial ? canp_bench_ratio(most->wall, d.serial->wall, r->rounds) : NAN;
	d.files_core = (double)r->s->data.nr / d.job->wall_stat.median;
	d.files_cpu = (double)r->s->data.nr / d.job->cpu_stat.median;
	d.value_bytes = run->values ? (double)run->bytes_out / (double)run->values : NAN;
	d.isal_cpu = d.isal_wall = d.isal_rate = d.normal_ns = NAN;
	d.fio_ratio = d.growth = d.efficiency = NAN;
	if (d.isal) {
		d.isal_cpu = canp_bench_ratio(d.job->cpu, d.isal->cpu, r->rounds);
		d.isal_wall = canp_bench_ratio(d.job->wall, d.isal->wall, r->rounds);
		d.isal_rate = (double)d.isal->run.inflated / d.isal->cpu_stat.median;
		d.normal_ns = ns_frame(r, d.job) * d.isal_rate / REFERENCE_ISAL_RATE;
	}
	if (d.fio)
		d.fio_ratio = canp_bench_ratio(d.job->wall, d.fio->wall, r->rounds);
	if (d.wide) {
		d.growth = 1 / canp_bench_ratio(d.wide->cpu, d.job->cpu, r->rounds);
		d.efficiency =
			canp_bench_ratio(d.wide->wall, d.job->wall, r->rounds) / d.wide->cores;
	}
	return d;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_data(struct canp_json *js, const struct canp_bench_result *r)
{
	const struct canp_bench_data *d = &r->s->data;
	const struct canp_bench_run *run = &r->c[0].run;
	char sum[16];

	snprintf(sum, sizeof(sum), "%08x", d->checksum);
	canp_json_key(js, "dataset");
	canp_json_object(js);
	canp_json_kstr(js, "folder", d->made ? d->folder : NULL);
	canp_json_kbool(js, "reused", d->reused);
	canp_json_kstr(js, "crc32", sum);
	canp_json_ku64(js, "files", d->nr);
	canp_json_ku64(js, "bytes", d->bytes);
	canp_json_ku64(js, "frames", r->frames);
	canp_json_ku64(js, "bytes_inflated", run->inflated);
	canp_json_end(js);
}

static void json_stages(struct canp_json *js, const struct canp_bench_result *r)
{
	double before = 0;

	canp_json_key(js, "stages");
	canp_json_object(js);
	for (int i = r->s->first; i <= (int)r->s->last; i++) {
		const struct canp_bench_contender *c = find_range(r, (enum canp_stage)i);

		if (!c)
			continue;
		canp_json_key(js, canp_stage_name((enum canp_stage)i));
		canp_json_object(js);
		canp_json_kdouble(js, "ns_per_frame", ns_frame(r, c) - before);
		canp_json_kdouble(js, "cumulative_ns_per_frame", ns_frame(r, c));
		canp_json_kdouble(js, "spread", c->cpu_stat.spread);
		canp_json_kdouble(js, "wall_s", c->wall_stat.median);
		canp_json_end(js);
		before = ns_frame(r, c);
	}
	canp_json_end(js);
}

static void json_contender(struct canp_json *js, const char *key,
			   const struct canp_bench_contender *c, unsigned rounds)
{
	canp_json_key(js, key);
	if (!c) {
		canp_json_null(js);
		return;
	}
	canp_json_object(js);
	canp_json_ku64(js, "cores", c->cores);
	canp_json_kdouble(js, "cpu_s", c->cpu_stat.median);
	canp_json_kdouble(js, "wall_s", c->wall_stat.median);
	canp_json_kdouble(js, "spread", c->cpu_stat.spread);
	canp_json_key(js, "cpu_s_rounds");
	canp_json_array(js);
	for (unsigned i = 0; i < rounds; i++)
		canp_json_double(js, c->cpu[i]);
	canp_json_end(js);
	canp_json_key(js, "wall_s_rounds");
	canp_json_array(js);
	for (unsigned i = 0; i < rounds; i++)
		canp_json_double(js, c->wall[i]);
	canp_json_end(js);
	canp_json_end(js);
}

static void json_scaling(struct canp_json *js, const struct canp_bench_result *r,
			 const struct derived *d)
{
	canp_json_key(js, "scaling");
	if (!d->wide) {
		canp_json_null(js);
		return;
	}
	canp_json_object(js);
	canp_json_ku64(js, "cores", d->wide->cores);
	canp_json_kdouble(js, "wall_efficiency", d->efficiency);
	canp_json_kdouble(js, "cpu_growth", d->growth);
	canp_json_kdouble(js, "files_per_s", r->s->data.nr / d->wide->wall_stat.median);
	canp_json_kdouble(js, "steal", r->env.steal);
	canp_json_kdouble(js, "load_before", r->env.load_before);
	canp_json_end(js);
}

static void json_calls(struct canp_json *js, const struct canp_bench_result *r)
{
	canp_json_key(js, "calls_per_file");
	if (!r->have_calls) {
		canp_json_null(js);
		return;
	}
	canp_json_object(js);
	canp_json_kdouble(js, "malloc", r->alloc);
	canp_json_kdouble(js, "mmap", r->map);
	canp_json_kdouble(js, "munmap", r->unmap);
	canp_json_end(js);
}

static int report_json(const struct canp_bench_result *r, const struct derived *d)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	const struct canp_bench_run *run = &d->job->run;

	canp_json_object(&js);
	canp_json_kstr(&js, "bench", "job");
	canp_json_kstr(&js, "version", CANP_VERSION);
	canp_json_kstr(&js, "first_stage", canp_stage_name(r->s->first));
	canp_json_kstr(&js, "last_stage", canp_stage_name(r->s->last));
	canp_json_ku64(&js, "rounds", r->rounds);
	canp_json_kdouble(&js, "files_per_s_per_core", d->files_core);
	canp_json_kdouble(&js, "files_per_cpu_s", d->files_cpu);
	canp_json_kdouble(&js, "ratio_to_isal_inflate", d->isal_cpu);
	canp_json_kdouble(&js, "ratio_to_isal_inflate_wall", d->isal_wall);
	canp_json_kdouble(&js, "ratio_to_fio", d->fio_ratio);
	canp_json_kdouble(&js, "ns_per_frame", ns_frame(r, d->job));
	canp_json_kdouble(&js, "ns_per_frame_normalised", d->normal_ns);
	canp_json_kdouble(&js, "isal_bytes_per_s", d->isal_rate);
	canp_json_kdouble(&js, "ratio_to_serial", d->overlap);
	canp_json_kdouble(&js, "cpu_utilisation", d->utilisation);
	canp_json_kdouble(&js, "seconds_for_8000_files", d->many_s);
	json_stages(&js, r);
	json_scaling(&js, r, d);
	canp_json_kdouble(&js, "bytes_per_value", d->value_bytes);
	canp_json_key(&js, "peak_mem_bytes");
	if (r->s->first == CANP_STAGE_READ)
		canp_json_u64(&js, run->peak_mem);
	else
		canp_json_null(&js);
	json_calls(&js, r);
	json_data(&js, r);
	canp_json_key(&js, "run");
	canp_json_object(&js);
	canp_json_ku64(&js, "files", run->files);
	canp_json_ku64(&js, "frames", run->frames);
	canp_json_ku64(&js, "frames_decoded", run->decoded);
	canp_json_ku64(&js, "values", run->values);
	canp_json_ku64(&js, "bytes_out", run->bytes_out);
	canp_json_ku64(&js, "damage", run->damage);
	canp_json_kdouble(&js, "boot_s", run->boot_s);
	/* With what the shards took when they started. */
	canp_json_ku64(&js, "malloc_calls", run->calls.alloc);
	canp_json_ku64(&js, "mmap_calls", run->calls.map);
	canp_json_kstr(&js, "ring", run->ring);
	canp_json_kstr(&js, "hugepages", run->pages);
	canp_json_end(&js);
	json_contender(&js, "job", d->job, r->rounds);
	json_contender(&js, "isal", d->isal, r->rounds);
	json_contender(&js, "fio", d->fio, r->rounds);
	json_contender(&js, "job_all_cores", d->wide, r->rounds);
	json_contender(&js, "serial", d->serial, r->rounds);
	canp_json_key(&js, "options");
	canp_opts_dump_json(r->s->opts, &js);
	canp_json_key(&js, "environment");
	canp_bench_env_json(&r->env, &js);
	canp_json_end(&js);
	canp_strbuf_putc(&sb, '\n');
	return canp_tool_print(&sb);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void text_head(struct canp_strbuf *sb, const struct canp_bench_result *r)
{
	const struct canp_bench_data *d = &r->s->data;
	char a[32], b[32];

	canp_strbuf_printf(sb, "logs       %u files, %s, %s frames, crc32 %08x", d->nr,
			   canp_tool_bytes((double)d->bytes, a),
			   canp_tool_count((double)r->frames, b), d->checksum);
	canp_strbuf_printf(sb, d->made ? " (%s)\n" : "\n", d->folder);
	canp_strbuf_printf(sb, "stages     %s to %s, median of %u rounds, ring %s, pages %s\n",
			   canp_stage_name(r->s->first), canp_stage_name(r->s->last), r->rounds,
			   r->c[0].run.ring, r->c[0].run.pages);
	canp_bench_env_text(&r->env, sb);
}

static void text_row(struct canp_strbuf *sb, const struct canp_bench_result *r, const char *name,
		     const struct canp_bench_contender *c, double own)
{
	char rate[32];

	canp_strbuf_printf(sb, "%-22s", name);
	if (isnan(own))
		canp_strbuf_printf(sb, "%9s", "");
	else
		canp_strbuf_printf(sb, "%9.1f", own);
	canp_strbuf_printf(sb, "%12.1f%9.1f %% %11.2f%12.1f  %s/s\n", ns_frame(r, c),
			   100 * c->cpu_stat.spread, c->wall_stat.median,
			   (double)r->s->data.nr / c->wall_stat.median,
			   canp_tool_bytes((double)r->s->data.bytes / c->wall_stat.median, rate));
}

static void text_table(struct canp_strbuf *sb, const struct canp_bench_result *r,
		       const struct derived *d)
{
	double before = 0;
	char name[32];

	canp_strbuf_printf(sb, "\n%-22s%9s%12s%11s%12s%12s  %s\n", "CPU ns a frame", "stage",
			   "up to", "spread", "wall s", "files/s", "of stored bytes");
	for (int i = r->s->first; i <= (int)r->s->last; i++) {
		const struct canp_bench_contender *c = find_range(r, (enum canp_stage)i);

		if (!c)
			continue;
		/* A first row that is not the first stage is the whole range. */
		snprintf(name, sizeof(name), "%s..%s", canp_stage_name(c->first),
			 canp_stage_name(c->last));
		text_row(sb, r, before > 0 || c->first == c->last ? canp_stage_name(c->last) : name,
			 c, ns_frame(r, c) - before);
		before = ns_frame(r, c);
	}
	if (d->isal)
		text_row(sb, r, "isal_inflate alone", d->isal, NAN);
	if (d->fio)
		text_row(sb, r, "fio", d->fio, NAN);
	if (d->serial)
		text_row(sb, r, "one stage at a time", d->serial, NAN);
	snprintf(name, sizeof(name), "on %u cores", d->wide ? d->wide->cores : 0);
	if (d->wide)
		text_row(sb, r, name, d->wide, NAN);
	canp_strbuf_putc(sb, '\n');
}

static int report_text(const struct canp_bench_result *r, const struct derived *d)
{
	const struct canp_bench_run *run = &d->job->run;
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	char a[32];

	text_head(&sb, r);
	text_table(&sb, r, d);
	canp_strbuf_printf(&sb, "speed      %.1f files/s/core, %.1f ns/frame of CPU time\n",
			   d->files_core, ns_frame(r, d->job));
	if (d->isal)
		canp_strbuf_printf(
			&sb,
			"isal       %.2f times as fast as isal_inflate alone by CPU time, "
			"%.2f by wall time; it inflates %.2f GB/s\n"
			"           at %.2f GB/s this would be %.1f ns/frame\n",
			d->isal_cpu, d->isal_wall, d->isal_rate / 1e9, REFERENCE_ISAL_RATE / 1e9,
			d->normal_ns);
	if (d->fio)
		canp_strbuf_printf(&sb, "fio        reads at %.2f of fio's speed\n", d->fio_ratio);
	if (d->wide)
		canp_strbuf_printf(&sb,
				   "scaling    %u cores: efficiency %.2f by wall time, CPU time a "
				   "file x %.2f\n",
				   d->wide->cores, d->efficiency, d->growth);
	if (d->serial)
		canp_strbuf_printf(&sb,
				   "overlap    %.2f times as fast as one stage after the other\n",
				   d->overlap);
	canp_strbuf_printf(&sb,
			   "at large   %u such files would take %.0f s; CPUs are busy %.0f %% of "
			   "the time\n",
			   REPORT_FILES, d->many_s, 100 * d->utilisation);
	if (run->values && run->bytes_out)
		canp_strbuf_printf(&sb, "output     %s, %.3f bytes a value that is not null\n",
				   canp_tool_bytes((double)run->bytes_out, a), d->value_bytes);
	/* Else the logs are part of it. */
	if (r->s->first == CANP_STAGE_READ)
		canp_strbuf_printf(&sb, "memory     peak %s\n",
				   canp_tool_bytes((double)run->peak_mem, a));
	if (r->have_calls)
		canp_strbuf_printf(&sb,
				   "calls      a file in steady state, on reactors: malloc %.2f, "
				   "mmap %.2f, munmap %.2f\n",
				   r->alloc, r->map, r->unmap);
	if (run->damage)
		canp_strbuf_printf(&sb, "damage     %llu places\n",
				   (unsigned long long)run->damage);
	return canp_tool_print(&sb);
}

int canp_bench_job_report(const struct canp_bench_result *r, bool json)
{
	struct derived d = derive(r);

	return json ? report_json(r, &d) : report_text(r, &d);
}
