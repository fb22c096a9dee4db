/*
 * top_view.c - what canp-top shows of a job: the job, its cores, its operators, its memory.
 */
#include "tools/top_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "tools/toolmain.h"

#define TOP_BAR 20u

struct view {
	struct canp_strbuf *sb;
	const struct canp_live *l, *before;
	unsigned width;
	double s; /* seconds that rates are taken over */
};

static void view_line(struct view *v, const char *fmt, ...) CANP_PRINTF(2, 3);

/* Cut at the width, so that a line never becomes two. */
static void view_line(struct view *v, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	n = canp_min(n, (int)sizeof(line) - 1);
	n = canp_min(n, (int)v->width);
	while (n > 0 && line[n - 1] == ' ')
		n--;
	canp_strbuf_add(v->sb, line, (size_t)(n > 0 ? n : 0));
	canp_strbuf_putc(v->sb, '\n');
}

static double view_rate(const struct view *v, uint64_t now, uint64_t before)
{
	return v->s > 0 && now > before ? (double)(now - before) / v->s : 0;
}

#define RATE(v, field) view_rate(v, (v)->l->field, (v)->before ? (v)->before->field : 0)

static const char *view_duration(double s, char *buf)
{
	uint64_t n = s > 0 ? (uint64_t)s : 0;

	if (n >= 3600)
		snprintf(buf, 32, "%llu:%02llu:%02llu", (unsigned long long)(n / 3600),
			 (unsigned long long)(n / 60 % 60), (unsigned long long)(n % 60));
	else
		snprintf(buf, 32, "%llu:%02llu", (unsigned long long)(n / 60),
			 (unsigned long long)(n % 60));
	return buf;
}

static const char *view_under_way(uint64_t n, char *buf)
{
	if (n == CANP_LIVE_NONE)
		snprintf(buf, 32, "-");
	else
		snprintf(buf, 32, "%llu", (unsigned long long)n);
	return buf;
}

static double view_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void view_job(struct view *v, bool alive)
{
	const struct canp_live_job *j = &v->l->job;
	uint64_t ns = j->updated_ns > j->started_ns ? j->updated_ns - j->started_ns : 0;
	double done = view_percent(j->bytes, j->bytes_total), s = (double)ns * 1e-9;
	char a[32], b[32], c[32], d[32];
	double left = done > 0 ? s * (100 / done - 1) : 0;

	view_line(v, "job      %.8s  pid %d  %s%s  %s  -> %s", j->id, j->pid,
		  canp_live_state_name(j->state), alive ? "" : " (process is gone)",
		  view_duration(s, a), *j->out ? j->out : "(no output)");
	view_line(v,
		  "files    %llu of %llu  %.1f %%  left %s   damaged %llu  failed %llu  skipped "
		  "%llu  faults %llu",
		  (unsigned long long)j->files, (unsigned long long)j->files_total, done,
		  view_duration(left, a), (unsigned long long)j->files_damaged,
		  (unsigned long long)j->files_failed, (unsigned long long)j->files_skipped,
		  (unsigned long long)j->faults);
	view_line(v, "rates    %s/s in  %.1f files/s  %s frames/s  %s/s out   parts %llu",
		  canp_tool_bytes(RATE(v, job.bytes), a), RATE(v, job.files),
		  canp_tool_count(RATE(v, job.frames), b),
		  canp_tool_bytes(RATE(v, job.bytes_out), c), (unsigned long long)j->parts);
	view_line(v,
		  "process  cpu %.0f %%  %llu threads  rss %s  huge %s  of %s planned  disk %s/s "
		  "read",
		  RATE(v, job.cpu_ns) * 1e-7, (unsigned long long)j->threads,
		  canp_tool_bytes((double)j->rss_bytes, a),
		  canp_tool_bytes((double)j->hugetlb_bytes, b),
		  canp_tool_bytes((double)j->mem_budget_bytes, c),
		  canp_tool_bytes(RATE(v, job.read_bytes), d));
	if (*j->metrics || j->trace_on || j->trace_events)
		view_line(v, "watched  metrics %s  trace %s, %llu records, %llu lost",
			  *j->metrics ? j->metrics : "-", j->trace_on ? "on" : "off",
			  (unsigned long long)j->trace_events, (unsigned long long)j->trace_lost);
}

static void view_cores(struct view *v)
{
	view_line(v, "%-6s %4s %-*s %5s %7s %7s %6s %6s %7s %7s %7s", "core", "cpu", TOP_BAR + 2,
		  "load", "", "unit", "file", "ring", "runs", "pages", "stalls", "sleep/s");
	for (unsigned i = 0; i < v->l->job.nr_shards; i++) {
		const struct canp_live_shard *s = &v->l->shard[i];
		double busy = RATE(v, shard[i].busy_ns), idle = RATE(v, shard[i].idle_ns);
		double load = busy + idle > 0 ? busy / (busy + idle) : 0;
		unsigned bar = (unsigned)(load * TOP_BAR + 0.5);
		char unit[32], file[32], full[TOP_BAR + 1], cpu[16];

		memset(full, ' ', TOP_BAR);
		memset(full, '|', canp_min(bar, TOP_BAR));
		full[TOP_BAR] = '\0';
		snprintf(cpu, sizeof(cpu), "%d", s->cpu);
		view_line(v, "%-6u %4s [%s] %4.0f%% %7s %7s %6llu %6llu %6.1f%% %7llu %7.0f", i,
			  s->cpu < 0 ? "-" : cpu, full, load * 100, view_under_way(s->unit, unit),
			  view_under_way(s->file, file), (unsigned long long)s->ring_inflight,
			  (unsigned long long)s->mesh_pending,
			  view_percent(s->pools[0].in_use, s->pools[0].slots),
			  (unsigned long long)s->stalls, RATE(v, shard[i].sleeps));
	}
}

static void view_stages(struct view *v)
{
	view_line(v, "%-16s %12s %12s %12s %12s %6s %7s", "stage", "rows in/s", "rows out/s",
		  "batches in/s", "batches out/s", "busy", "queue");
	for (unsigned k = 0; k < v->l->job.nr_ops; k++) {
		struct canp_live_op o, b = {0};
		char in[32], out[32], bin[32], bout[32], busy[32];

		canp_live_sum_op(v->l, k, &o);
		if (v->before)
			canp_live_sum_op(v->before, k, &b);
		/* An operator without polls runs inside the poll of the one before it. */
		snprintf(busy, sizeof(busy), o.polls ? "%.0f%%" : "-",
			 view_rate(v, o.busy_ns, b.busy_ns) * 1e-7 /
				 canp_max(v->l->job.nr_shards, 1u));
		view_line(v, "%-16s %12s %12s %12s %12s  %6s %7llu", v->l->job.ops[k],
			  canp_tool_count(view_rate(v, o.rows_in, b.rows_in), in),
			  canp_tool_count(view_rate(v, o.rows_out, b.rows_out), out),
			  canp_tool_count(view_rate(v, o.batches_in, b.batches_in), bin),
			  canp_tool_count(view_rate(v, o.batches_out, b.batches_out), bout), busy,
			  (unsigned long long)o.queue);
	}
}

static void view_memory(struct view *v)
{
	view_line(v, "%-16s %12s %12s %12s %9s %9s %8s", "memory", "in use", "most", "of", "gets/s",
		  "reused", "refused");
	for (unsigned k = 0; k < v->l->job.nr_pools; k++) {
		struct canp_live_pool p, b = {0};
		char use[32], most[32], of[32], gets[32];

		canp_live_sum_pool(v->l, k, &p);
		if (v->before)
			canp_live_sum_pool(v->before, k, &b);
		view_line(v, "%-16s %12s %12s %12s %9s %8.1f%% %8llu", v->l->job.pools[k],
			  canp_tool_bytes((double)(p.in_use * p.slot_bytes), use),
			  canp_tool_bytes((double)(p.in_use_max * p.slot_bytes), most),
			  canp_tool_bytes((double)(p.slots * p.slot_bytes), of),
			  canp_tool_count(view_rate(v, p.gets, b.gets), gets),
			  view_percent(p.hits, p.gets), (unsigned long long)p.refused);
	}
}

void canp_top_view(struct canp_strbuf *sb, const struct canp_live *l,
		   const struct canp_live *before, bool alive, unsigned width)
{
	struct view v = {.sb = sb, .l = l, .before = before, .width = width};
	uint64_t since = before ? before->job.updated_ns : l->job.started_ns;

	v.s = l->job.updated_ns > since ? (double)(l->job.updated_ns - since) * 1e-9 : 0;
	view_job(&v, alive);
	canp_strbuf_putc(sb, '\n');
	view_cores(&v);
	canp_strbuf_putc(sb, '\n');
	view_stages(&v);
	canp_strbuf_putc(sb, '\n');
	view_memory(&v);
}
