/*
 * bench_rt_flows.c - section pipe of `canp-bench runtime`: a long stream of items through source,
 * map and sink, whose memory must not grow, and the figures of bench_rt_pipe.h.
 *
 * The stream checks itself: every item must arrive once and in order. What is told is by how much
 * the resident memory of this process grew between a tenth of the items and all of them.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/pipeline/pipeline.h"
#include "numa/sysfile.h"
#include "tools/bench_rt.h"

struct stream {
	uint64_t items, made, seen, bad;
	uint64_t early_kb, late_kb; /* resident at a tenth of the items, and the most behind it */
	uint64_t look_at;
};

static uint64_t resident_kb(void)
{
	unsigned long long kb;
	char line[64];

	if (canp_sysfile_key("", "/proc/self/status", "VmRSS:", line, sizeof(line)) ||
	    sscanf(line, "%llu", &kb) != 1)
		return 0;
	return kb;
}

static int stream_next(void *arg, void *items, uint32_t max)
{
	struct stream *s = arg;
	uint32_t n = (uint32_t)canp_min(s->items - s->made, (uint64_t)max);
	uint64_t *out = items;

	for (uint32_t i = 0; i < n; i++)
		out[i] = s->made++;
	return (int)n;
}

static int stream_map(void *arg, const void *in, void *out)
{
	(void)arg;
	*(uint64_t *)out = *(const uint64_t *)in * 3 + 1;
	return 0;
}

static int stream_sink(void *arg, const struct canp_batch *b)
{
	struct stream *s = arg;

	for (uint32_t i = 0; i < b->nr_rows; i++, s->seen++)
		s->bad += *(const uint64_t *)(b->rec + (size_t)i * b->stride) != 3 * s->seen + 1;
	if (s->seen < s->look_at)
		return 0;
	if (!s->early_kb)
		s->early_kb = resident_kb();
	else
		s->late_kb = canp_max(s->late_kb, resident_kb());
	s->look_at += s->items / 10;
	return 0;
}

static int stream_run(struct canp_bench_rt *rt, struct stream *s, uint64_t *ns)
{
	struct canp_pipe_opts o = {.max_workers = (unsigned)canp_min(CPU_COUNT(&rt->all), 2)};
	struct canp_pipe *p = NULL;
	int rc = canp_pipe_create("stream", NULL, &o, &p);

	*s = (struct stream){.items = rt->rt.items, .look_at = rt->rt.items / 10};
	if (rc)
		return rc;
	canp_pipe_source(p, "numbers", sizeof(uint64_t), stream_next, s);
	canp_pipe_map(p, "map", sizeof(uint64_t), stream_map, s, 0);
	canp_pipe_sink(p, "check", stream_sink, s);
	*ns = canp_clock_ns();
	rc = canp_pipe_run(p);
	*ns = canp_clock_ns() - *ns;
	canp_pipe_destroy(p);
	return !rc && (s->bad || s->seen != s->items) ? -EPROTO : rc;
}

/* What a figure takes of a run; the arg of its form. */
enum stream_told { STREAM_RATE, STREAM_GROWTH };
static const enum stream_told told_rate = STREAM_RATE, told_growth = STREAM_GROWTH;

/* *value: millions a second, or MiB of growth. */
static int stream_form(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct stream s;
	uint64_t ns = 0;
	int rc = stream_run(rt, &s, &ns);

	(void)n;
	if (*(const enum stream_told *)arg == STREAM_RATE)
		*value = canp_bench_rt_rate(s.items, 1e-9 * (double)ns);
	else
		*value = s.late_kb > s.early_kb ? (double)(s.late_kb - s.early_kb) / 1024 : 0;
	return rc;
}

const struct canp_bench_rt_figure canp_bench_rt_flows[] = {
	{
		.name = "stream_rate",
		.text = "--items through source, map and ordered sink",
		.unit = "M/s",
		.est_ns = 10,
		.runs_max = 3,
		.forms = {{"pipeline", stream_form, &told_rate}},
	},
	{
		.name = "stream_rss",
		.text = "growth of resident memory while the last nine tenths of --items stream",
		.unit = "MiB",
		.est_ns = 10,
		.runs_max = 1,
		.floor = 4,
		.aim = .25,
		.forms = {{"pipeline", stream_form, &told_growth}},
	},
	{0},
};
