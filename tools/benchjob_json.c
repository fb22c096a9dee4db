/*
 * benchjob_json.c - the report of a run as JSON: fio's names wherever they mean the same, so that
 * what reads fio's results reads the `read` and `write` of these; and as one line for each job.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/json.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "tools/bench_metrics.h"
#include "tools/benchjob.h"

#define TERSE_VERSION 1u

static double seconds(const struct canp_benchjob_result *r)
{
	return (double)r->runtime_ns * 1e-9;
}

static double per_s(double n, const struct canp_benchjob_result *r)
{
	return r->runtime_ns ? n / seconds(r) : 0;
}

/* ---- figures to compare ---------------------------------------------------------------------- */

static double some(double v)
{
	return v > 0 && isfinite(v) ? v : NAN;
}

static double of_hist(const struct canp_benchjob_lat *l, double percent)
{
	return l->h.count ? (double)canp_hist_percentile(&l->h, percent) : NAN;
}

/* In the order of canp_bench_metrics. */
bool canp_benchjob_metric(const struct canp_benchjob_result *r, unsigned i, const char **name,
			  bool *less, double *v)
{
	const struct canp_benchjob_dir *rd = &r->dir[CANP_BENCHJOB_READ];
	const struct canp_benchjob_dir *wr = &r->dir[CANP_BENCHJOB_WRITE];
	const struct canp_benchjob_dir *d = rd->ios ? rd : wr;
	const double all[] = {
		some(per_s((double)rd->bytes, r)),
		some(per_s((double)wr->bytes, r)),
		some(per_s((double)r->frames, r)),
		some(r->cpu_s * 1e9 / (double)r->frames),
		some((double)r->peak_mem),
		some(r->frames ? NAN : per_s((double)(rd->ios + wr->ios), r)),
		some(per_s((double)r->files, r)),
		of_hist(&d->lat, 50),
		of_hist(&d->lat, 99),
		of_hist(&r->file_lat, 50),
		of_hist(&r->file_lat, 99),
	};

	CANP_STATIC_ASSERT(CANP_ARRAY_SIZE(all) == 11, "one for each of canp_bench_metrics");
	if (i >= canp_bench_nr_metrics || i >= CANP_ARRAY_SIZE(all))
		return false;
	*name = canp_bench_metrics[i].name;
	*less = canp_bench_metrics[i].less;
	*v = all[i];
	return true;
}

static void json_metrics(struct canp_json *js, const struct canp_benchjob_result *r)
{
	const char *name;
	bool less;
	double v;

	for (unsigned i = 0; canp_benchjob_metric(r, i, &name, &less, &v); i++)
		if (isfinite(v))
			canp_json_kdouble(js, name, v);
}

/* ---- latencies ------------------------------------------------------------------------------- */

static void json_lat(struct canp_json *js, const char *key, const struct canp_benchjob_lat *l,
		     const struct canp_benchjob *j, bool bins)
{
	char text[32];

	canp_json_key(js, key);
	canp_json_object(js);
	canp_json_ku64(js, "min", l->h.count ? l->h.min : 0);
	canp_json_ku64(js, "max", l->h.max);
	canp_json_kdouble(js, "mean", l->h.count ? canp_hist_mean(&l->h) : 0);
	canp_json_kdouble(js, "stddev", canp_benchjob_lat_dev(l));
	canp_json_ku64(js, "N", l->h.count);
	if (l->h.count && j) {
		canp_json_key(js, "percentile");
		canp_json_object(js);
		for (unsigned i = 0; i < j->nr_percentiles; i++) {
			snprintf(text, sizeof(text), "%.6f", j->percentile[i]);
			canp_json_ku64(js, text, canp_hist_percentile(&l->h, j->percentile[i]));
		}
		canp_json_end(js);
	}
	if (l->h.count && bins) {
		canp_json_key(js, "bins");
		canp_json_object(js);
		for (unsigned i = 0; i < CANP_HIST_BUCKETS; i++) {
			if (!l->h.buckets[i])
				continue;
			snprintf(text, sizeof(text), "%llu",
				 (unsigned long long)canp_hist_bucket_low(i));
			canp_json_ku64(js, text, l->h.buckets[i]);
		}
		canp_json_end(js);
	}
	canp_json_end(js);
}

static void json_dir(struct canp_json *js, const char *key, const struct canp_benchjob_dir *d,
		     const struct canp_benchjob_result *r, const struct canp_benchjob *j, bool bins)
{
	static const struct canp_benchjob_lat none;
	double n = (double)d->bw.nr, mean = n > 0 ? d->bw.sum / n : 0;
	double dev = n > 0 ? sqrt(fmax(0, d->bw.squares / n - mean * mean)) : 0;

	canp_json_key(js, key);
	canp_json_object(js);
	canp_json_ku64(js, "io_bytes", d->bytes);
	canp_json_ku64(js, "io_kbytes", d->bytes >> 10);
	canp_json_ku64(js, "bw_bytes", (uint64_t)per_s((double)d->bytes, r));
	canp_json_ku64(js, "bw", (uint64_t)per_s((double)d->bytes / 1024, r));
	canp_json_kdouble(js, "iops", per_s((double)d->ios, r));
	canp_json_ku64(js, "runtime", d->ios ? r->runtime_ns / 1000000 : 0);
	canp_json_ku64(js, "total_ios", d->ios);
	canp_json_ku64(js, "short_ios", d->short_ios);
	canp_json_ku64(js, "drop_ios", 0);
	json_lat(js, "slat_ns", &none, NULL, false);
	json_lat(js, "clat_ns", &d->lat, j, bins);
	json_lat(js, "lat_ns", &d->lat, NULL, false);
	canp_json_ku64(js, "bw_min", (uint64_t)(d->bw.min / 1024));
	canp_json_ku64(js, "bw_max", (uint64_t)(d->bw.max / 1024));
	canp_json_kdouble(js, "bw_agg", d->ios ? 100 : 0);
	canp_json_kdouble(js, "bw_mean", mean / 1024);
	canp_json_kdouble(js, "bw_dev", dev / 1024);
	canp_json_ku64(js, "bw_samples", d->bw.nr);
	canp_json_end(js);
}

/* Parts in per cent of latencies below 2, 4, 10, 20, .. of a unit, as fio gives them. */
static void json_spread(struct canp_json *js, const char *key, const struct canp_benchjob_lat *l,
			uint64_t unit_ns, bool ms)
{
	static const unsigned top[] = {2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000};
	uint64_t part[CANP_ARRAY_SIZE(top) + 1] = {0}, low = unit_ns;
	unsigned nr = ms ? 11 : 10;
	char name[16];

	for (unsigned i = 0; l->h.count && i < CANP_HIST_BUCKETS; i++) {
		uint64_t v = canp_hist_bucket_low(i);
		unsigned k = 0;

		if (!l->h.buckets[i] || (v < low && unit_ns > 1) || (!ms && v >= 1000 * unit_ns))
			continue;
		while (k < nr && v >= top[k] * unit_ns)
			k++;
		part[k] += l->h.buckets[i];
	}
	canp_json_key(js, key);
	canp_json_object(js);
	for (unsigned i = 0; i <= nr; i++) {
		if (i == nr && !ms)
			break;
		snprintf(name, sizeof(name), i < nr ? "%u" : ">=%u", top[canp_min(i, nr - 1)]);
		canp_json_kdouble(js, name,
				  l->h.count ? 100.0 * (double)part[i] / (double)l->h.count : 0);
	}
	canp_json_end(js);
}

/* ---- stages ---------------------------------------------------------------------------------- */

static void json_stages(struct canp_json *js, const struct canp_benchjob_row *row)
{
	const struct canp_benchjob_result *r = row->sum;
	uint64_t own[CANP_STAGE_NR], sum = canp_benchjob_own(row, own);

	canp_json_key(js, "stages");
	canp_json_object(js);
	for (int i = row->j->first; i <= (int)row->j->last; i++) {
		bool stored = i <= CANP_STAGE_INFLATE;
		uint64_t bytes = stored                 ? r->dir[CANP_BENCHJOB_READ].bytes
				 : i < CANP_STAGE_WRITE ? r->inflated
							: r->dir[CANP_BENCHJOB_WRITE].bytes;

		canp_json_key(js, canp_stage_name((enum canp_stage)i));
		canp_json_object(js);
		canp_json_ku64(js, "io_bytes", bytes);
		canp_json_ku64(js, "bw_bytes", (uint64_t)per_s((double)bytes, r));
		canp_json_ku64(js, "total_ios", i >= CANP_STAGE_DECODE ? r->frames : r->files);
		if (sum) {
			canp_json_kdouble(js, "cpu_ns_per_frame",
					  (double)own[i] / (double)canp_max(r->frames, 1ul));
			canp_json_kdouble(js, "share", (double)own[i] / (double)sum);
			canp_json_kdouble(js, "bytes_per_cpu_s",
					  own[i] ? (double)bytes * 1e9 / (double)own[i] : NAN);
		}
		canp_json_end(js);
	}
	canp_json_end(js);
}

static void json_work(struct canp_json *js, const struct canp_benchjob_row *row, bool bins)
{
	const struct canp_benchjob_result *r = row->sum;
	char why[200];

	json_stages(js, row);
	canp_json_ku64(js, "files", r->files);
	canp_json_ku64(js, "frames", r->frames);
	canp_json_ku64(js, "frames_decoded", r->decoded);
	canp_json_ku64(js, "values", r->values);
	canp_json_ku64(js, "damage", r->damage);
	canp_json_ku64(js, "bytes_inflated", r->inflated);
	canp_json_kdouble(js, "frames_per_s", per_s((double)r->frames, r));
	canp_json_kdouble(js, "files_per_s", per_s((double)r->files, r));
	canp_json_kdouble(js, "cpu_ns_per_frame", r->cpu_s * 1e9 / (double)r->frames);
	canp_json_ku64(js, "peak_mem_bytes", r->peak_mem);
	json_lat(js, "file_ns", &r->file_lat, row->j, bins);
	canp_json_key(js, "operators");
	canp_json_object(js);
	for (unsigned i = 0; i < r->nr_ops; i++) {
		canp_json_key(js, r->op[i].name);
		canp_json_object(js);
		canp_json_ku64(js, "items_in", r->op[i].rows_in);
		canp_json_ku64(js, "items_out", r->op[i].rows_out);
		canp_json_ku64(js, "busy_ns", r->op[i].busy_ns);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_benchjob_limiter(row, why, sizeof(why));
	canp_json_kstr(js, "limiter", why);
}

static void json_system(struct canp_json *js, const struct canp_benchjob_result *r)
{
	canp_json_key(js, "system");
	canp_json_object(js);
	canp_json_kstr(js, "ring", r->ring);
	canp_json_kstr(js, "hugepages", r->pages[0] ? r->pages : NULL);
	canp_json_ku64(js, "buffer_pages", r->buf_pages);
	canp_json_ku64(js, "buffer_pieces", r->buf_pieces);
	canp_json_ku64(js, "ring_completions", r->ring_ops);
	canp_json_ku64(js, "ring_short", r->ring_short);
	canp_json_ku64(js, "cores", r->cores);
	canp_json_ku64(js, "busy_ns", r->busy_ns);
	canp_json_ku64(js, "idle_ns", r->idle_ns);
	canp_json_end(js);
}

/* ---- samples, noise -------------------------------------------------------------------------- */

static void json_samples(struct canp_json *js, const struct canp_benchjob_report *rep,
			 const struct canp_benchjob_row *row)
{
	canp_json_key(js, "samples");
	canp_json_array(js);
	for (unsigned i = 0; i < row->nr_samples; i++) {
		canp_json_object(js);
		canp_json_ku64(js, "timestamp_ms", row->sample[i].start_ms);
		canp_json_ku64(js, "runtime", row->sample[i].runtime_ns / 1000000);
		canp_json_kdouble(js, "cpu_s", row->sample[i].cpu_s);
		if (rep->self_check)
			canp_json_kstr(js, "side", i % 2 ? "B" : "A");
		json_metrics(js, &row->sample[i]);
		canp_json_end(js);
	}
	canp_json_end(js);
}

/* Even and odd runs of a self check are equal: what they differ by is noise. */
static void json_noise(struct canp_json *js, const struct canp_benchjob_row *row)
{
	double v[2][1000], x;
	const char *name;
	bool less;

	canp_json_key(js, "noise_floor");
	canp_json_object(js);
	for (unsigned m = 0; m < canp_bench_nr_metrics; m++) {
		unsigned n[2] = {0};

		for (unsigned i = 0; i < row->nr_samples; i++)
			if (canp_benchjob_metric(&row->sample[i], m, &name, &less, &x) &&
			    isfinite(x) && n[i % 2] < CANP_ARRAY_SIZE(v[0]))
				v[i % 2][n[i % 2]++] = x;
		if (n[0] && n[1])
			canp_json_kdouble(js, name, 100 * canp_bench_noise(v[0], n[0], v[1], n[1]));
	}
	canp_json_end(js);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void json_options(struct canp_json *js, const char *key,
			 const struct canp_benchjob_section *s, bool global)
{
	canp_json_key(js, key);
	canp_json_object(js);
	for (unsigned i = 0; i < s->nr; i++) {
		bool again = false;

		/* A key counts as given last; JSON has each once. */
		for (unsigned k = i + 1; k < s->nr; k++)
			again |= s->pairs[k].global == s->pairs[i].global &&
				 !strcmp(s->pairs[k].key, s->pairs[i].key);
		if (!again && s->pairs[i].global == global)
			canp_json_kstr(js, s->pairs[i].key,
				       s->pairs[i].value ? s->pairs[i].value : "1");
	}
	canp_json_end(js);
}

static void json_depths(struct canp_json *js, const struct canp_benchjob *j)
{
	static const char *const names[] = {"1", "2", "4", "8", "16", "32", ">=64"};
	unsigned depth = canp_max(j->cfg.iodepth, 1u), at = 0;

	while (at < 6 && depth >= 2u << at)
		at++;
	canp_json_key(js, "iodepth_level");
	canp_json_object(js);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(names); i++)
		canp_json_kdouble(js, names[i], i == at ? 100 : 0);
	canp_json_end(js);
}

/* The result of another command is JSON already. */
static void json_command(struct canp_json *js, const struct canp_benchjob_result *r)
{
	size_t n = strlen(r->text);

	while (n && r->text[n - 1] == '\n')
		n--;
	if (!n)
		return;
	/* A value that the writer takes for a number: it only puts the comma. */
	canp_json_key(js, "result");
	canp_json_null(js);
	js->sb->len -= strlen("null");
	canp_strbuf_add(js->sb, r->text, n);
}

static void json_job(struct canp_json *js, const struct canp_benchjob_report *rep,
		     const struct canp_benchjob_row *row, bool bins)
{
	const struct canp_benchjob_result *r = row->sum;
	const struct canp_benchjob_dir *rd = &r->dir[0], *wr = &r->dir[1];
	bool plain = row->j->cfg.rw != CANP_CFG_RW_NONE, command = *row->j->cfg.command;
	double s = canp_max(seconds(r), 1e-9);

	canp_json_object(js);
	canp_json_kstr(js, "jobname", row->j->section->name);
	canp_json_ku64(js, "groupid", row->group);
	canp_json_ku64(js, "error", r->error[0] != '\0');
	canp_json_ku64(js, "eta", 0);
	canp_json_ku64(js, "elapsed", (uint64_t)ceil(seconds(r)));
	if (r->error[0])
		canp_json_kstr(js, "error_text", r->error);
	json_options(js, "job options", row->j->section, false);
	json_dir(js, "read", rd, r, row->j, bins);
	json_dir(js, "write", wr, r, row->j, bins);
	canp_json_ku64(js, "job_runtime", r->runtime_ns / 1000000);
	canp_json_ku64(js, "loops", r->loops);
	canp_json_kdouble(js, "usr_cpu", 100 * r->usr_s / s);
	canp_json_kdouble(js, "sys_cpu", 100 * r->sys_s / s);
	canp_json_ku64(js, "ctx", r->ctx);
	canp_json_ku64(js, "majf", r->majf);
	canp_json_ku64(js, "minf", r->minf);
	json_depths(js, row->j);
	json_spread(js, "latency_ns", rd->ios ? &rd->lat : &wr->lat, 1, false);
	json_spread(js, "latency_us", rd->ios ? &rd->lat : &wr->lat, 1000, false);
	json_spread(js, "latency_ms", rd->ios ? &rd->lat : &wr->lat, 1000000, true);
	if (r->steady_wanted) {
		canp_json_key(js, "steadystate");
		canp_json_object(js);
		canp_json_kstr(js, "ss", row->j->cfg.steadystate);
		canp_json_ku64(js, "duration", row->j->cfg.ss_dur / CANP_NS_PER_S);
		canp_json_ku64(js, "attained", r->steady);
		canp_json_end(js);
	}
	if (!plain && !command)
		json_work(js, row, bins);
	json_system(js, r);
	json_samples(js, rep, row);
	if (rep->self_check)
		json_noise(js, row);
	if (command)
		json_command(js, r);
	canp_json_end(js);
}

void canp_benchjob_json(const struct canp_benchjob_report *rep, bool bins, struct canp_strbuf *sb)
{
	struct canp_json js = CANP_JSON_INIT(sb, 2);
	struct timespec t;
	char date[64];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
	canp_json_object(&js);
	canp_json_kstr(&js, "canp-bench version", CANP_VERSION);
	canp_json_ku64(&js, "timestamp", (uint64_t)t.tv_sec);
	canp_json_ku64(&js, "timestamp_ms",
		       (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
	canp_json_kstr(&js, "time", date);
	if (rep->nr)
		json_options(&js, "global options", rep->row[0].j->section, true);
	canp_json_key(&js, "jobs");
	canp_json_array(&js);
	for (unsigned i = 0; i < rep->nr; i++)
		json_job(&js, rep, &rep->row[i], bins);
	canp_json_end(&js);
	canp_json_key(&js, "environment");
	canp_bench_env_json(&rep->env, &js);
	canp_json_end(&js);
	canp_strbuf_putc(sb, '\n');
}

/* ---- terse ----------------------------------------------------------------------------------- */

/* version;program;job;group;error, then of reads and of writes KiB, KiB/s, IOPS, ms, p50 and p99 in
 * us, then files;frames;frames/s;CPU ns a frame;usr %;sys %;ctx;majf;minf. */
void canp_benchjob_terse(const struct canp_benchjob_report *rep, struct canp_strbuf *sb)
{
	for (unsigned i = 0; i < rep->nr; i++) {
		const struct canp_benchjob_result *r = rep->row[i].sum;
		double s = canp_max(seconds(r), 1e-9);

		canp_strbuf_printf(sb, "%u;canp-bench-%s;%s;%u;%d", TERSE_VERSION, CANP_VERSION,
				   rep->row[i].j->section->name, rep->row[i].group,
				   r->error[0] != '\0');
		for (unsigned d = 0; d < CANP_BENCHJOB_DIRS; d++)
			canp_strbuf_printf(
				sb, ";%llu;%.0f;%.0f;%llu;%.1f;%.1f",
				(unsigned long long)r->dir[d].bytes >> 10,
				per_s((double)r->dir[d].bytes / 1024, r),
				per_s((double)r->dir[d].ios, r),
				(unsigned long long)(r->dir[d].ios ? r->runtime_ns / 1000000 : 0),
				(double)canp_hist_percentile(&r->dir[d].lat.h, 50) / 1e3,
				(double)canp_hist_percentile(&r->dir[d].lat.h, 99) / 1e3);
		canp_strbuf_printf(sb, ";%llu;%llu;%.0f;%.2f;%.2f;%.2f;%llu;%llu;%llu\n",
				   (unsigned long long)r->files, (unsigned long long)r->frames,
				   per_s((double)r->frames, r),
				   r->frames ? r->cpu_s * 1e9 / (double)r->frames : 0,
				   100 * r->usr_s / s, 100 * r->sys_s / s,
				   (unsigned long long)r->ctx, (unsigned long long)r->majf,
				   (unsigned long long)r->minf);
	}
}
