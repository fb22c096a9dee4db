/*
 * bench_rt_pairs.c - the figures of bench_rt_pipe.h as rows of `canp-bench runtime`. One of its
 * functions runs both sides of a figure, so the first form of a row runs it for one round and the
 * second tells what the other side did then.
 */
#include <errno.h>

#include "tools/bench_rt.h"
#include "tools/bench_rt_pipe.h"

/* Rounds shorter than this are not for the figures. */
#define SHORT_MS 10u

struct pair {
	int (*fn)(const struct canp_bench_rt_pipe_opts *o, struct canp_bench_rt_pipe_pair *out);
	double scale; /* of both numbers, to the unit of the row */
	bool tbb;     /* the other side is oneTBB */
	unsigned few; /* items of a round for who wants the report, not the figure */
};

static struct canp_bench_rt_pipe_pair last;

static int ordered_us(const struct canp_bench_rt_pipe_opts *o, struct canp_bench_rt_pipe_pair *out)
{
	return canp_bench_rt_pipe_ordered(o, 1000, out);
}

static int ordered_empty(const struct canp_bench_rt_pipe_opts *o,
			 struct canp_bench_rt_pipe_pair *out)
{
	return canp_bench_rt_pipe_ordered(o, 0, out);
}

static int ours(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	const struct pair *p = arg;
	struct canp_bench_rt_pipe_opts o = {.rounds = 1,
					    .items = rt->rt.round_ms < SHORT_MS ? p->few : 0};
	double tried;
	int rc;

	if (p->tbb && canp_bench_rt_peer(rt, "tbb:empty", NULL, 64, &tried) == 0)
		o.tbb = rt->peers;
	rc = p->fn(&o, &last);

	(void)n;
	*value = last.canp * p->scale;
	return rc;
}

static int theirs(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	const struct pair *p = arg;

	(void)rt;
	(void)n;
	*value = last.peer * p->scale;
	return last.peer > 0 ? 0 : -ENOENT;
}

static const struct pair p_ordered_us = {ordered_us, 1e-6, true, 1000};
static const struct pair p_ordered_empty = {ordered_empty, 1e-6, true, 10000};
static const struct pair p_three_ms = {canp_bench_rt_pipe_three_ms, 1, false, 20};
static const struct pair p_mixed_io = {canp_bench_rt_pipe_mixed_io, 1, false, 6};
static const struct pair p_rate = {canp_bench_rt_pipe_mode_rate, 1e-6, false, 1000};
static const struct pair p_p99 = {canp_bench_rt_pipe_mode_p99, 1e-3, false, 1000};
static const struct pair p_rss = {canp_bench_rt_pipe_mode_rss, 1. / 1048576, false, 10000};
static const struct pair p_200 = {canp_bench_rt_pipe_200_items, 1e3, false, 200};
static const struct pair p_100 = {canp_bench_rt_pipe_100_batches, 1e3, false, 100};

#define PAIR(name_, text_, unit_, runs_, floor_, aim_, us_, them_, arg_)                           \
	{                                                                                          \
		.name = name_, .text = text_, .unit = unit_, .est_ns = 1000, .runs_max = runs_,    \
		.judge = CANP_BENCH_RT_RATIO, .floor = floor_, .aim = aim_,                        \
		.forms = {{us_, ours, arg_}, {them_, theirs, arg_}},                               \
	}

const struct canp_bench_rt_figure canp_bench_rt_pairs[] = {
	PAIR("ordered_us", "source, 1 us in parallel, ordered sink, on 2 cores", "M/s", 7, 1.8, 2.2,
	     "pipeline", "oneTBB parallel_pipeline", &p_ordered_us),
	PAIR("ordered_empty", "the same with nothing to do, batch by batch", "M/s", 7, 1.5, 3,
	     "pipeline", "oneTBB parallel_pipeline", &p_ordered_empty),
	PAIR("three_ms", "three operators of 1 ms each on 2 cores", "items/s", 3, 1.8, 1.9,
	     "pipeline", "one after the other", &p_three_ms),
	PAIR("mixed_io", "read and write that wait 10 ms, compute 10 ms", "batches/s", 3, 2, 2.8,
	     "pipeline", "one after the other", &p_mixed_io),
	PAIR("mode_rate", "throughput mode beside latency mode", "M/s", 5, 1.2, 2, "throughput",
	     "latency", &p_rate),
	PAIR("mode_p99", "99th percentile from source to sink", "us", 5, .2, .02, "latency",
	     "throughput", &p_p99),
	PAIR("mode_rss", "memory that a run adds", "MiB", 3, .5, .25, "memory", "throughput",
	     &p_rss),
	PAIR("200_items", "200 items through a pipe that is made for them", "ms", 5, 1, .5,
	     "pipeline", "stated in the requirements", &p_200),
	PAIR("100_batches", "100 batches pulled out of a pipe", "ms", 5, 1, .5, "pipeline",
	     "stated in the requirements", &p_100),
	{0},
};
