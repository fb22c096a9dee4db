/*
 * bench_rt_task.c - what a task costs: dispatch on the same core and to another one, batches beside
 * single submits, statistics on and off, and independent tasks beside oneTBB and OpenMP.
 *
 * Time is that of the wall, for a task that waits costs as much as one that runs; but dispatch to
 * the own core never waits and is told in CPU time of that core's thread. An executor is booted
 * for each run, outside of the time that counts.
 */
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/runtime/task.h"
#include "numa/topology.h"
#include "tools/bench_rt.h"

/* Tasks before the clock starts: the reactors are up and every slot was touched. */
#define WARM (64u * 1024u)
/* Batches that a task makes at once. */
#define AHEAD 64u

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

/* ---- from a task on a reactor ---------------------------------------------------------------- */

struct spawn {
	uint64_t left;
	double cpu_from, cpu_end; /* of the reactor, seconds */
	uint64_t from_ns;
	unsigned batch;
	int shard, error;
	canp_task_fn fn;
};

/* On its reactor: submits a batch and itself behind it, so the batch runs in between. */
static int spawn_run(const struct canp_task_env *env, void *arg)
{
	struct spawn *s = arg;
	struct canp_task_desc d[CANP_TASK_BATCH_MAX];
	unsigned n = (unsigned)canp_min(s->left, (uint64_t)s->batch);

	if (!s->from_ns) {
		s->from_ns = canp_clock_ns();
		s->cpu_from = canp_bench_cpu_s();
	}
	if (!n) {
		s->cpu_end = canp_bench_cpu_s();
		return 0;
	}
	memset(d, 0, sizeof(d[0]) * n);
	for (unsigned i = 0; i < n; i++) {
		d[i].fn = s->fn;
		d[i].type = CANP_TASK_CPU;
		d[i].shard = s->shard;
	}
	/* Tasks for all cores are made ahead, so that nobody waits for the next batch. */
	for (unsigned i = 0; i < (s->shard ? 1 : AHEAD) && n; i++) {
		if (canp_submit_batch(env->exec, d, n, NULL))
			break;
		s->left -= n;
		n = (unsigned)canp_min(s->left, (uint64_t)s->batch);
	}
	memset(d, 0, sizeof(d[0]));
	d[0].fn = spawn_run;
	d[0].arg = s;
	d[0].type = CANP_TASK_CPU;
	d[0].shard = 1;
	s->error = canp_submit(env->exec, d, NULL);
	return s->error;
}

/* ---- contenders ------------------------------------------------------------------------------ */

struct how {
	canp_task_fn fn;
	unsigned batch, cores;
	int shard;     /* as in struct canp_task_desc */
	bool no_stats; /* of the executor */
	bool inside;   /* submitted by a task, else by this thread */
	bool rate;     /* the value is M tasks/s, else ns a task */
};

static int submit_inside(struct canp_exec *ex, const struct how *h, uint64_t n, uint64_t *ns)
{
	struct spawn s = {.left = n, .batch = h->batch, .shard = h->shard, .fn = h->fn};
	struct canp_task_desc d = {.fn = spawn_run, .arg = &s, .type = CANP_TASK_CPU, .shard = 1};
	int rc = canp_submit(ex, &d, NULL);

	if (!rc)
		rc = canp_exec_wait_idle(ex, UINT32_MAX);
	/* Tasks that went to other cores may end after the one that sent them. */
	*ns = h->shard ? (uint64_t)(1e9 * (s.cpu_end - s.cpu_from)) : canp_clock_ns() - s.from_ns;
	return rc ? rc : s.error;
}

/* The submitter stays on the first reactor's CPU, which has nothing to do when tasks go to
 * another one. */
static int submit_outside(struct canp_bench_rt *rt, struct canp_exec *ex, const struct how *h,
			  uint64_t n, uint64_t *ns)
{
	struct canp_task_desc d[CANP_TASK_BATCH_MAX];
	uint64_t from;
	int rc = 0;

	for (unsigned i = 0; i < h->batch; i++)
		d[i] = (struct canp_task_desc){
			.fn = h->fn, .type = CANP_TASK_CPU, .shard = h->shard};
	for (int cpu = 0; h->shard && cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &rt->all)) {
			canp_bind_cpu(cpu);
			break;
		}
	}
	from = canp_clock_ns();
	for (uint64_t i = 0; i < n && !rc; i += h->batch) {
		while ((rc = canp_submit_batch(ex, d, h->batch, NULL)) == -EAGAIN)
			sched_yield();
	}
	if (!rc)
		rc = canp_exec_wait_idle(ex, UINT32_MAX);
	*ns = canp_clock_ns() - from;
	sched_setaffinity(0, sizeof(rt->all), &rt->all);
	return rc;
}

static int run_tasks(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	const struct how *h = arg;
	struct canp_exec_opts o = {.cores = h->cores, .pin = true, .no_stats = h->no_stats};
	struct canp_exec *ex;
	uint64_t ns = 0;
	int rc;

	if ((int)h->cores > CPU_COUNT(&rt->all))
		return -ENOENT;
	rc = canp_exec_create(&o, &ex);
	if (rc)
		return rc;
	for (unsigned warm = 0; warm < 2 && !rc; warm++) {
		uint64_t nr = warm ? n : canp_min(n, (uint64_t)WARM);

		rc = h->inside ? submit_inside(ex, h, nr, &ns) : submit_outside(rt, ex, h, nr, &ns);
	}
	canp_exec_destroy(ex);
	*value = h->rate ? canp_bench_rt_rate(n, 1e-9 * (double)ns) : (double)ns / (double)n;
	return rc;
}

static const struct how same_64 = {
	.fn = nothing, .batch = 64, .cores = 1, .shard = 1, .inside = true};
static const struct how cross_64 = {.fn = nothing, .batch = 64, .cores = 2, .shard = 2};
static const struct how rate_64 = {
	.fn = nothing, .batch = 64, .cores = 2, .shard = 2, .rate = true};
static const struct how rate_1 = {.fn = nothing, .batch = 1, .cores = 2, .shard = 2, .rate = true};
static const struct how rate_no_stats = {
	.fn = nothing, .batch = 64, .cores = 2, .shard = 2, .rate = true, .no_stats = true};
static const struct how empty_2 = {.fn = nothing, .batch = 64, .cores = 2, .rate = true};
static const struct how us_2 = {.fn = one_us, .batch = 64, .cores = 2, .rate = true};
/* As with the peers, whose tasks are made by a thread that runs them, too. */
static const struct how empty_in = {
	.fn = nothing, .batch = 64, .cores = 2, .rate = true, .inside = true};
static const struct how us_in = {
	.fn = one_us, .batch = 64, .cores = 2, .rate = true, .inside = true};
static const struct canp_bench_rt_peer_arg tbb_empty = {"tbb:empty", NULL};
static const struct canp_bench_rt_peer_arg omp_empty = {"omp:empty", NULL};
static const struct canp_bench_rt_peer_arg tbb_us = {"tbb:us", NULL};
static const struct canp_bench_rt_peer_arg omp_us = {"omp:us", NULL};

const struct canp_bench_rt_figure canp_bench_rt_task[] = {
	{
		.name = "same_core",
		.text = "dispatch to the own core, in batches of 64",
		.unit = "ns",
		.est_ns = 50,
		.floor = 100,
		.aim = 40,
		.forms = {{"batch of 64", run_tasks, &same_64}},
	},
	{
		.name = "cross_core",
		.text = "dispatch to another core, in batches of 64",
		.unit = "ns",
		.est_ns = 100,
		.floor = 100,
		.aim = 70,
		.forms = {{"batch of 64", run_tasks, &cross_64}},
	},
	{
		.name = "batch",
		.text = "submitted in batches of 64 beside one by one, to another core",
		.unit = "M/s",
		.est_ns = 150,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 3,
		.aim = 3,
		.forms = {{"batch of 64", run_tasks, &rate_64}, {"one by one", run_tasks, &rate_1}},
	},
	{
		.name = "stats",
		.text = "with statistics beside without",
		.unit = "M/s",
		.est_ns = 100,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = .98,
		.aim = 1,
		.forms = {{"with", run_tasks, &rate_64}, {"without", run_tasks, &rate_no_stats}},
	},
	{
		.name = "empty",
		.text = "independent empty tasks on 2 cores",
		.unit = "M/s",
		.est_ns = 150,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 3,
		.forms = {{"executor", run_tasks, &empty_in},
			  {"oneTBB task_group", canp_bench_rt_peer_form, &tbb_empty},
			  {"OpenMP tasks", canp_bench_rt_peer_form, &omp_empty}},
	},
	{
		.name = "one_us",
		.text = "independent tasks of 1 us on 2 cores",
		.unit = "M/s",
		.est_ns = 700,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 1.4,
		.forms = {{"executor", run_tasks, &us_in},
			  {"oneTBB task_group", canp_bench_rt_peer_form, &tbb_us},
			  {"OpenMP tasks", canp_bench_rt_peer_form, &omp_us}},
	},
	{
		.name = "empty_outside",
		.text = "empty tasks on 2 cores, made by a thread that is no reactor",
		.unit = "M/s",
		.est_ns = 150,
		.forms = {{"executor", run_tasks, &empty_2}},
	},
	{
		.name = "one_us_outside",
		.text = "tasks of 1 us on 2 cores, made by a thread that is no reactor",
		.unit = "M/s",
		.est_ns = 700,
		.forms = {{"executor", run_tasks, &us_2}},
	},
	{0},
};
