/*
 * benchjob_text.c - the report of a run for people, in the shape that users of fio know.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/units.h"
#include "core/base/version.h"
#include "tools/benchjob.h"

/* Reactors that are idle for more than this part wait for something else than the CPU. */
#define LIMITER_IDLE_MAX 0.15

static double per_s(double n, const struct canp_benchjob_result *r)
{
	return r->runtime_ns ? n * 1e9 / (double)r->runtime_ns : 0;
}

uint64_t canp_benchjob_own(const struct canp_benchjob_row *row, uint64_t own_ns[CANP_STAGE_NR])
{
	const struct canp_benchjob_result *r = row->sum;
	uint64_t before = 0;

	memset(own_ns, 0, CANP_STAGE_NR * sizeof(*own_ns));
	for (int i = row->j->first; r->breakdown_loops && i <= (int)row->j->last; i++) {
		own_ns[i] = r->stage_cpu_ns[i] > before ? r->stage_cpu_ns[i] - before : 0;
		before += own_ns[i];
	}
	return before;
}

void canp_benchjob_limiter(const struct canp_benchjob_row *row, char *buf, size_t size)
{
	const struct canp_benchjob_result *r = row->sum;
	double all = (double)(r->busy_ns + r->idle_ns);
	uint64_t own[CANP_STAGE_NR], sum = canp_benchjob_own(row, own);
	unsigned most = 0;

	buf[0] = '\0';
	if (all <= 0)
		return;
	if ((double)r->idle_ns / all > LIMITER_IDLE_MAX) {
		snprintf(buf, size, "device: the cores wait %.0f %% of the time",
			 100 * (double)r->idle_ns / all);
		return;
	}
	for (unsigned i = 0; i < CANP_STAGE_NR; i++)
		most = own[i] > own[most] ? i : most;
	if (sum)
		snprintf(buf, size, "%s: %.0f %% of the CPU time",
			 canp_stage_name((enum canp_stage)most),
			 100 * (double)own[most] / (double)sum);
	else
		snprintf(buf, size,
			 "CPU: the cores are busy %.0f %% of the time (breakdown=1 "
			 "tells which stage)",
			 100 * (double)r->busy_ns / all);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void text_lat(struct canp_strbuf *sb, const char *name, const struct canp_benchjob_lat *l,
		     const struct canp_benchjob *j)
{
	double unit = l->h.max >= 10000000 ? 1e6 : l->h.max >= 10000 ? 1e3 : 1;
	const char *text = unit > 1e5 ? "msec" : unit > 1 ? "usec" : "nsec";

	if (!l->h.count)
		return;
	canp_strbuf_printf(sb, "    %s (%s): min=%.2f, max=%.2f, avg=%.2f, stdev=%.2f\n", name,
			   text, (double)l->h.min / unit, (double)l->h.max / unit,
			   canp_hist_mean(&l->h) / unit, canp_benchjob_lat_dev(l) / unit);
	canp_strbuf_printf(sb, "    %s percentiles (%s):", name, text);
	for (unsigned i = 0; i < j->nr_percentiles; i++)
		canp_strbuf_printf(sb, "%s %5.2fth=[%8.2f]%s", i % 4 ? "" : "\n     |",
				   j->percentile[i],
				   (double)canp_hist_percentile(&l->h, j->percentile[i]) / unit,
				   i + 1 < j->nr_percentiles ? "," : "\n");
	if (!j->nr_percentiles)
		canp_strbuf_putc(sb, '\n');
}

static void text_dir(struct canp_strbuf *sb, const char *name, const struct canp_benchjob_dir *d,
		     const struct canp_benchjob_result *r, const struct canp_benchjob *j)
{
	double bw = per_s((double)d->bytes, r), n = (double)d->bw.nr;
	double mean = n > 0 ? d->bw.sum / n : 0;

	if (!d->ios)
		return;
	canp_strbuf_printf(sb, "  %s: IOPS=%.0f, BW=%.1fMiB/s (%.1fMB/s)(%.1fMiB/%llumsec)\n", name,
			   per_s((double)d->ios, r), bw / 1048576, bw / 1e6,
			   (double)d->bytes / 1048576,
			   (unsigned long long)(r->runtime_ns / 1000000));
	text_lat(sb, "lat", &d->lat, j);
	if (d->bw.nr)
		canp_strbuf_printf(sb,
				   "   bw (  KiB/s): min=%.0f, max=%.0f, avg=%.2f, stdev=%.2f, "
				   "samples=%llu\n",
				   d->bw.min / 1024, d->bw.max / 1024, mean / 1024,
				   sqrt(fmax(0, d->bw.squares / n - mean * mean)) / 1024,
				   (unsigned long long)d->bw.nr);
}

/* A line for each stage: what went in, and with --breakdown what it cost. */
static void text_stages(struct canp_strbuf *sb, const struct canp_benchjob_row *row)
{
	const struct canp_benchjob_result *r = row->sum;
	double in = (double)r->dir[CANP_BENCHJOB_READ].bytes, out = (double)r->inflated;
	uint64_t own[CANP_STAGE_NR], sum = canp_benchjob_own(row, own);
	char a[32], b[32];

	for (int i = row->j->first; i <= (int)row->j->last; i++) {
		if (i == CANP_STAGE_READ || i == CANP_STAGE_WRITE) {
			if (!sum)
				continue;
			canp_strbuf_printf(sb, "  %s: %s", canp_stage_name((enum canp_stage)i),
					   "as above");
		} else if (i == CANP_STAGE_INFLATE) {
			canp_strbuf_printf(sb, "  inflate: in BW=%s/s, out BW=%s/s, ratio=%.2f",
					   canp_tool_bytes(per_s(in, r), a),
					   canp_tool_bytes(per_s(out, r), b),
					   in > 0 ? out / in : 0);
		} else if (i == CANP_STAGE_CRC) {
			canp_strbuf_printf(sb, "  crc: BW=%s/s", canp_tool_bytes(per_s(out, r), a));
		} else {
			canp_strbuf_printf(sb, "  %s: %s frames/s, BW=%s/s",
					   canp_stage_name((enum canp_stage)i),
					   canp_tool_count(per_s((double)r->frames, r), a),
					   canp_tool_bytes(per_s(out, r), b));
		}
		if (sum && r->frames)
			canp_strbuf_printf(sb, ", CPU %.2f ns/frame (%.0f %%)",
					   (double)own[i] / (double)r->frames,
					   100 * (double)own[i] / (double)sum);
		canp_strbuf_putc(sb, '\n');
	}
}

static void text_work(struct canp_strbuf *sb, const struct canp_benchjob_row *row)
{
	const struct canp_benchjob_result *r = row->sum;
	char a[32], why[200];

	text_stages(sb, row);
	if (r->frames)
		canp_strbuf_printf(sb,
				   "  frames: %s/s, CPU %.2f ns/frame; %.1f files/s; %llu frames, "
				   "%llu values\n",
				   canp_tool_count(per_s((double)r->frames, r), a),
				   r->cpu_s * 1e9 / (double)r->frames, per_s((double)r->files, r),
				   (unsigned long long)r->frames, (unsigned long long)r->values);
	text_lat(sb, "file lat", &r->file_lat, row->j);
	canp_strbuf_printf(sb, "  memory       : peak=%s, hugepages=%s\n",
			   canp_tool_bytes((double)r->peak_mem, a), r->pages);
	canp_strbuf_printf(sb, "  damage       : %llu places\n", (unsigned long long)r->damage);
	canp_benchjob_limiter(row, why, sizeof(why));
	if (why[0])
		canp_strbuf_printf(sb, "  bottleneck   : %s\n", why);
}

static void text_row(struct canp_strbuf *sb, const struct canp_benchjob_row *row)
{
	const struct canp_benchjob_result *r = row->sum;
	double s = canp_max((double)r->runtime_ns * 1e-9, 1e-9);
	char runs[64] = "";

	if (row->nr_samples > 1)
		snprintf(runs, sizeof(runs), ", %u runs", row->nr_samples);
	canp_strbuf_printf(sb, "\n%s: (groupid=%u, jobs=%u%s): err=%2d%s%s\n",
			   row->j->section->name, row->group, row->clones, runs,
			   r->error[0] != '\0', r->error[0] ? ": " : "", r->error);
	if (*row->j->cfg.description)
		canp_strbuf_printf(sb, "  Description  : [%s]\n", row->j->cfg.description);
	if (r->text[0]) {
		canp_strbuf_printf(sb, "  %s: %.1f s; its figures are in the JSON report\n",
				   row->j->cfg.command, s);
		return;
	}
	text_dir(sb, "read", &r->dir[CANP_BENCHJOB_READ], r, row->j);
	text_dir(sb, "write", &r->dir[CANP_BENCHJOB_WRITE], r, row->j);
	if (row->j->cfg.rw == CANP_CFG_RW_NONE && !*row->j->cfg.command)
		text_work(sb, row);
	canp_strbuf_printf(sb,
			   "  cpu          : usr=%.2f%%, sys=%.2f%%, ctx=%llu, majf=%llu, "
			   "minf=%llu\n",
			   100 * r->usr_s / s, 100 * r->sys_s / s, (unsigned long long)r->ctx,
			   (unsigned long long)r->majf, (unsigned long long)r->minf);
	canp_strbuf_printf(sb, "  ring         : %s", r->ring[0] ? r->ring : "none");
	if (r->ring_ops)
		canp_strbuf_printf(sb, ", completions=%llu, short=%llu",
				   (unsigned long long)r->ring_ops,
				   (unsigned long long)r->ring_short);
	if (r->cores)
		canp_strbuf_printf(sb, ", cores=%u, busy=%.0f%%", r->cores,
				   r->busy_ns + r->idle_ns
					   ? 100.0 * (double)r->busy_ns /
						     (double)(r->busy_ns + r->idle_ns)
					   : 0);
	canp_strbuf_putc(sb, '\n');
	if (r->buf_pages)
		canp_strbuf_printf(sb, "  blocks       : iomem=%s, %llu pages", row->j->cfg.iomem,
				   (unsigned long long)r->buf_pages);
	if (r->buf_pieces)
		canp_strbuf_printf(sb, " in %llu physical pieces",
				   (unsigned long long)r->buf_pieces);
	if (r->buf_pages)
		canp_strbuf_putc(sb, '\n');
	if (r->steady_wanted)
		canp_strbuf_printf(sb, "  steadystate  : attained=%s %s\n",
				   r->steady ? "yes" : "no", row->j->cfg.steadystate);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void text_groups(struct canp_strbuf *sb, const struct canp_benchjob_report *rep)
{
	static const char *const names[] = {"READ", "WRITE"};
	unsigned last = rep->nr ? rep->row[rep->nr - 1].group : 0;

	for (unsigned g = 0; g <= last && rep->nr; g++) {
		bool head = false;

		for (unsigned d = 0; d < CANP_BENCHJOB_DIRS; d++) {
			double bw = 0, bytes = 0;
			uint64_t ns = 0;

			for (unsigned i = 0; i < rep->nr; i++) {
				const struct canp_benchjob_result *r = rep->row[i].sum;

				if (rep->row[i].group != g || !r->dir[d].ios)
					continue;
				bw += per_s((double)r->dir[d].bytes, r);
				bytes += (double)r->dir[d].bytes;
				ns = canp_max(ns, r->runtime_ns);
			}
			if (bytes <= 0)
				continue;
			if (!head)
				canp_strbuf_printf(sb, "\nRun status group %u (all jobs):\n", g);
			head = true;
			canp_strbuf_printf(sb,
					   "%7s: bw=%.1fMiB/s (%.1fMB/s), io=%.1fMiB "
					   "(%.1fMB), run=%llumsec\n",
					   names[d], bw / 1048576, bw / 1e6, bytes / 1048576,
					   bytes / 1e6, (unsigned long long)(ns / 1000000));
		}
	}
}

static const char *rw_name(int rw)
{
	static const char *const names[] = {"none", "read", "write", "randread", "randwrite"};

	return names[rw];
}

void canp_benchjob_text(const struct canp_benchjob_report *rep, struct canp_strbuf *sb)
{
	for (unsigned i = 0; i < rep->nr; i++) {
		const struct canp_benchjob *j = rep->row[i].j;

		canp_strbuf_printf(sb, "%s: (g=%u): ", j->section->name, rep->row[i].group);
		if (*j->cfg.command)
			canp_strbuf_printf(sb, "command=%s %s\n", j->cfg.command, j->cfg.args);
		else if (j->cfg.rw != CANP_CFG_RW_NONE)
			canp_strbuf_printf(sb, "rw=%s, bs=%llu, iodepth=%u, direct=%d\n",
					   rw_name(j->cfg.rw),
					   (unsigned long long)(j->cfg.bs ? j->cfg.bs : 4096),
					   canp_max(j->cfg.iodepth, 1u), j->cfg.direct);
		else
			canp_strbuf_printf(sb, "stages=%s..%s, slice=%u, depth=%u\n",
					   canp_stage_name(j->first), canp_stage_name(j->last),
					   j->cli.job.slice_bytes, j->cli.job.depth);
	}
	canp_strbuf_printf(sb, "canp-bench-%s\n", CANP_VERSION);
	for (unsigned i = 0; i < rep->nr; i++)
		text_row(sb, &rep->row[i]);
	text_groups(sb, rep);
	canp_strbuf_puts(sb, "\nEnvironment\n");
	canp_bench_env_text(&rep->env, sb);
}
