/*
 * bench_measure.c - alternated rounds and the environment they ran in.
 */
#include "tools/bench_measure.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "numa/sysfile.h"
#include "numa/topology.h"
#include "simd/simd.h"

/* ---- numbers --------------------------------------------------------------------------------- */

double canp_bench_cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The q-th quarter of sorted samples, between two of them where it falls between. */
static double quartile(const double *sorted, unsigned n, unsigned q)
{
	double at = (double)(n - 1) * q / 4;
	unsigned i = (unsigned)at;
	double part = at - i;

	return i + 1 < n ? sorted[i] * (1 - part) + sorted[i + 1] * part : sorted[i];
}

int canp_bench_stat(const double *v, unsigned n, struct canp_bench_stat *s)
{
	double *sorted = malloc(n * sizeof(*v));

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, v, n * sizeof(*v));
	qsort(sorted, n, sizeof(*sorted), by_value);
	s->n = n;
	s->best = sorted[0];
	s->worst = sorted[n - 1];
	s->median = quartile(sorted, n, 2);
	s->spread = (quartile(sorted, n, 3) - quartile(sorted, n, 1)) / s->median;
	free(sorted);
	return 0;
}

double canp_bench_ratio(const double *seconds, const double *base, unsigned n)
{
	double *ratio = malloc(n * sizeof(*ratio));
	struct canp_bench_stat s = {0};

	for (unsigned i = 0; ratio && i < n; i++)
		ratio[i] = base[i] / seconds[i];
	if (ratio)
		canp_bench_stat(ratio, n, &s);
	free(ratio);
	return s.median;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* Seconds of `passes` passes. */
static double case_run(const struct canp_bench_case *c, uint64_t passes)
{
	double start = canp_bench_cpu_s();

	for (uint64_t i = 0; i < passes; i++)
		c->pass(c->arg);
	return canp_bench_cpu_s() - start;
}

/* How many passes last round_s. Doubles until the clock, which ticks in fractions of a microsecond,
 * can be believed. */
static uint64_t case_passes(const struct canp_bench_case *c, double round_s)
{
	uint64_t passes = 1;
	double s;

	case_run(c, 1);
	while ((s = case_run(c, passes)) < canp_min(1e-4, round_s))
		passes *= 2;
	return (uint64_t)(round_s / s * (double)passes) + 1;
}

int canp_bench_rounds(struct canp_bench_case *cases, unsigned nr, unsigned rounds, double round_s)
{
	uint64_t *passes = calloc(nr, sizeof(*passes));
	int rc = passes ? 0 : -ENOMEM;

	for (unsigned i = 0; i < nr; i++) {
		cases[i].seconds = calloc(rounds, sizeof(double));
		if (!cases[i].seconds)
			rc = -ENOMEM;
	}
	for (unsigned i = 0; !rc && i < nr; i++)
		passes[i] = case_passes(&cases[i], round_s);
	for (unsigned r = 0; !rc && r < rounds; r++)
		for (unsigned i = 0; i < nr; i++)
			cases[i].seconds[r] = case_run(&cases[i], passes[i]) /
					      ((double)passes[i] * cases[i].work);
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = canp_bench_stat(cases[i].seconds, rounds, &cases[i].stat);
	free(passes);
	return rc;
}

void canp_bench_case_fini(struct canp_bench_case *c)
{
	free(c->seconds);
	c->seconds = NULL;
}

/* ---- the machine ----------------------------------------------------------------------------- */

int canp_bench_pin(int cpu)
{
	int rc;

	if (cpu < 0)
		cpu = sched_getcpu();
	if (cpu < 0)
		return -errno;
	rc = canp_bind_cpu(cpu);
	return rc ? rc : cpu;
}

/* user nice system idle iowait irq softirq steal, of all CPUs, in ticks. */
static void steal_read(uint64_t *stolen, uint64_t *ticks)
{
	unsigned long long v[8] = {0};
	char line[512];

	*stolen = *ticks = 0;
	if (canp_sysfile_key("", "/proc/stat", "cpu ", line, sizeof(line)) ||
	    sscanf(line, "%llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		   &v[4], &v[5], &v[6], &v[7]) != 8)
		return;
	for (unsigned i = 0; i < 8; i++)
		*ticks += v[i];
	*stolen = v[7];
}

static double load_read(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : -1;
}

void canp_bench_env_begin(struct canp_bench_env *env, int cpu)
{
	struct canp_topology *t = malloc(sizeof(*t));
	char path[80];

	memset(env, 0, sizeof(*env));
	env->cpu = cpu;
	env->steal = -1;
	canp_host_facts("", &env->host);
	if (t && canp_topology_read("", t) == 0) {
		env->nr_cpus = t->nr_cpus;
		env->nr_cores = t->nr_cores;
	}
	free(t);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor",
		 canp_max(cpu, 0));
	canp_sysfile_read("", path, env->governor, sizeof(env->governor));
	snprintf(env->simd, sizeof(env->simd), "%s", canp_isa_name(canp_simd.isa));
	env->load_before = env->load_after = load_read();
	steal_read(&env->stolen, &env->ticks);
	env->start_ns = canp_clock_ns();
	env->start_cpu_s = canp_bench_cpu_s();
}

void canp_bench_env_end(struct canp_bench_env *env)
{
	uint64_t stolen, ticks;

	env->cpu_seconds = canp_bench_cpu_s() - env->start_cpu_s;
	env->wall_seconds = 1e-9 * (double)(canp_clock_ns() - env->start_ns);
	env->load_after = load_read();
	steal_read(&stolen, &ticks);
	if (ticks > env->ticks && env->ticks)
		env->steal = (double)(stolen - env->stolen) / (double)(ticks - env->ticks);
}

/* What could not be found out is null. */
static void json_known(struct canp_json *js, const char *key, double v)
{
	canp_json_key(js, key);
	if (v < 0)
		canp_json_null(js);
	else
		canp_json_double(js, v);
}

void canp_bench_env_json(const struct canp_bench_env *env, struct canp_json *js)
{
	const struct canp_host_facts *h = &env->host;

	canp_json_object(js);
	canp_json_kstr(js, "cpu_model", h->cpu_model);
	canp_json_ku64(js, "cpus", env->nr_cpus);
	canp_json_ku64(js, "cores", env->nr_cores);
	canp_json_key(js, "cpu");
	if (env->cpu < 0)
		canp_json_null(js);
	else
		canp_json_i64(js, env->cpu);
	canp_json_kstr(js, "governor", env->governor[0] ? env->governor : NULL);
	canp_json_kstr(js, "kernel", h->kernel);
	canp_json_kstr(js, "simd", env->simd);
	canp_json_ku64(js, "memory_bytes", h->mem_total);
	canp_json_ku64(js, "hugepages_2m", h->hugepages.total_2m);
	canp_json_ku64(js, "hugepages_2m_free", h->hugepages.free_2m);
	canp_json_kstr(js, "thp", h->hugepages.thp);
	json_known(js, "load_before", env->load_before);
	json_known(js, "load_after", env->load_after);
	json_known(js, "steal", env->steal);
	canp_json_kdouble(js, "cpu_seconds", env->cpu_seconds);
	canp_json_kdouble(js, "wall_seconds", env->wall_seconds);
	canp_json_end(js);
}

void canp_bench_env_text(const struct canp_bench_env *env, struct canp_strbuf *sb)
{
	const struct canp_host_facts *h = &env->host;

	canp_strbuf_printf(sb, "cpu        %s, %u CPUs, %u cores; ",
			   h->cpu_model[0] ? h->cpu_model : "unknown", env->nr_cpus, env->nr_cores);
	if (env->cpu < 0)
		canp_strbuf_puts(sb, "not pinned");
	else
		canp_strbuf_printf(sb, "pinned to %d", env->cpu);
	canp_strbuf_printf(sb, "; governor %s; simd %s\n",
			   env->governor[0] ? env->governor : "none", env->simd);
	canp_strbuf_printf(sb, "system     kernel %s, %llu of %llu 2 MiB pages free, THP %s\n",
			   h->kernel, (unsigned long long)h->hugepages.free_2m,
			   (unsigned long long)h->hugepages.total_2m, h->hugepages.thp);
	canp_strbuf_printf(sb, "load       %.2f before, %.2f after", env->load_before,
			   env->load_after);
	if (env->steal >= 0)
		canp_strbuf_printf(sb, ", stolen %.1f %%", 100 * env->steal);
	canp_strbuf_printf(sb, "; %.1f s of CPU time in %.1f s\n", env->cpu_seconds,
			   env->wall_seconds);
}
