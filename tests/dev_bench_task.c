/*
 * dev_bench_task.c - what a task costs: dispatch on the same core and to another one, batches
 * beside single submits, statistics on and off, and (beside peers) empty tasks and tasks of 1 us.
 * Not built by default:
 *
 *   make .../tests/dev_bench_task && dev_bench_task [TASKS]
 *
 * Rounds alternate between the cases, so that other load hits all of them; each line is the median.
 * The same cases for oneTBB and OpenMP are in dev_bench_task_peers.cpp.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/runtime/task.h"

#define ROUNDS 7u

static unsigned nr_tasks = 1000000;

static int nothing(const struct canp_task_env *env, void *arg)
{
	(void)env;
	(void)arg;
	return 0;
}

static int one_us(const struct canp_task_env *env, void *arg)
{
	uint64_t end = canp_clock_ns() + 1000;

	(void)env;
	(void)arg;
	while (canp_clock_ns() < end)
		;
	return 0;
}

/* ---- cases: each returns ns per task ---- */

struct spawn {
	unsigned left, batch;
	uint64_t end_ns;
};

/* On its reactor: submits a batch and itself behind it, so the batch runs in between. */
static int spawn_run(const struct canp_task_env *env, void *arg)
{
	struct spawn *s = arg;
	struct canp_task_desc d[CANP_TASK_BATCH_MAX];
	unsigned n = canp_min(s->left, s->batch);

	memset(d, 0, sizeof(d[0]) * n);
	for (unsigned i = 0; i < n; i++) {
		d[i].fn = nothing;
		d[i].type = CANP_TASK_CPU;
		d[i].shard = 1;
	}
	if (n && canp_submit_batch(env->exec, d, n, NULL) == 0)
		s->left -= n;
	if (!n) {
		s->end_ns = canp_clock_ns();
		return 0;
	}
	memset(d, 0, sizeof(d[0]));
	d[0].fn = spawn_run;
	d[0].arg = s;
	d[0].type = CANP_TASK_CPU;
	d[0].shard = 1;
	return canp_submit(env->exec, d, NULL);
}

static double same_core(const struct canp_exec_opts *opts, unsigned batch)
{
	struct canp_exec_opts o = *opts;
	struct spawn s = {.left = nr_tasks, .batch = batch};
	struct canp_exec *ex;
	uint64_t from;

	o.cores = 1;
	if (canp_exec_create(&o, &ex))
		exit(1);
	from = canp_clock_ns();
	canp_submit_cpu(ex, CANP_PRIO_LOW, spawn_run, &s);
	canp_exec_wait_idle(ex, UINT32_MAX);
	canp_exec_destroy(ex);
	return (double)(s.end_ns - from) / nr_tasks;
}

/* From this thread, batch by batch; `to` as in the desc, 0: wherever. */
static double from_here(const struct canp_exec_opts *opts, unsigned batch, canp_task_fn fn, int to,
			unsigned n)
{
	static struct canp_task_desc d[CANP_TASK_BATCH_MAX];
	struct canp_exec *ex;
	uint64_t from, ns;

	if (canp_exec_create(opts, &ex))
		exit(1);
	for (unsigned i = 0; i < batch; i++)
		d[i] = (struct canp_task_desc){.fn = fn, .type = CANP_TASK_CPU, .shard = to};
	from = canp_clock_ns();
	for (unsigned i = 0; i < n; i += batch) {
		while (canp_submit_batch(ex, d, batch, NULL))
			sched_yield();
	}
	canp_exec_wait_idle(ex, UINT32_MAX);
	ns = canp_clock_ns() - from;
	canp_exec_destroy(ex);
	return (double)ns / n;
}

/* ---- report ---- */

enum { SAME_64, SAME_1, CROSS_64, CROSS_16, CROSS_1, CROSS_64_NO_STATS, EMPTY_2, US_2, NR_CASES };

static const char *const names[NR_CASES] = {
	"same core, batch 64",         "same core, batch 1",
	"cross core, batch 64",        "cross core, batch 16",
	"cross core, batch 1",         "cross core, batch 64, no stats",
	"empty, 2 reactors, batch 64", "1 us, 2 reactors, batch 64",
};

static double run_case(unsigned c)
{
	/* The submitter on CPU 0; one reactor: it sits on the second CPU in `cross`. */
	struct canp_exec_opts two = {.cores = 2, .pin = true}, off = two;

	off.no_stats = true;
	switch (c) {
	case SAME_64:
		return same_core(&two, 64);
	case SAME_1:
		return same_core(&two, 1);
	case CROSS_64:
		return from_here(&two, 64, nothing, 2, nr_tasks);
	case CROSS_16:
		return from_here(&two, 16, nothing, 2, nr_tasks);
	case CROSS_1:
		return from_here(&two, 1, nothing, 2, nr_tasks);
	case CROSS_64_NO_STATS:
		return from_here(&off, 64, nothing, 2, nr_tasks);
	case EMPTY_2:
		return from_here(&two, 64, nothing, 0, nr_tasks);
	default:
		return from_here(&two, 64, one_us, 0, nr_tasks);
	}
}

static int cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static double ns[NR_CASES][ROUNDS];

	if (argc > 1)
		nr_tasks = (unsigned)strtoul(argv[1], NULL, 10) / 64 * 64;
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned c = 0; c < NR_CASES; c++)
			ns[c][r] = run_case(c);
	}
	for (unsigned c = 0; c < NR_CASES; c++) {
		qsort(ns[c], ROUNDS, sizeof(double), cmp);
		printf("%-32s %8.1f ns/task (best %.1f)\n", names[c], ns[c][ROUNDS / 2], ns[c][0]);
	}
	return 0;
}
