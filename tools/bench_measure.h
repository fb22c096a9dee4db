/*
 * bench_measure.h - how canp-bench measures, for every command of it.
 *
 * Machines are never quiet: clocks change, neighbours come and go. So contenders run alternately,
 * in rounds (A B C, A B C, ..), and what is reported is the median and the best over the rounds,
 * the spread between quartiles, and ratios taken round by round, where both sides met the same
 * machine. Time is CPU time of the measuring thread, pinned to one CPU, so that waiting for the CPU
 * does not count; what still slows a thread that runs (a busy sibling, a stolen cycle) is told in
 * the environment block that comes with each result.
 *
 * Control plane; one thread.
 */
#ifndef CANP_TOOLS_BENCH_MEASURE_H
#define CANP_TOOLS_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "numa/host.h"

struct canp_json;
struct canp_strbuf;

/* ---- numbers --------------------------------------------------------------------------------- */

/* Of samples of which less is better (seconds). */
struct canp_bench_stat {
	unsigned n;
	double median, best, worst;
	double spread; /* quartile 3 - quartile 1, as a part of the median */
};

/* CPU time of the calling thread since it started, in seconds. */
double canp_bench_cpu_s(void);

/* n >= 1 samples; v is not changed. 0 or -ENOMEM. */
int canp_bench_stat(const double *v, unsigned n, struct canp_bench_stat *s);

/* ---- rounds ---------------------------------------------------------------------------------- */

struct canp_bench_case {
	/* Set by the caller. */
	void (*pass)(void *arg); /* does the work once; must not sleep */
	void *arg;
	double work; /* units of work in a pass: bytes, frames, values */

	/* Results of canp_bench_rounds(). */
	double *seconds; /* [rounds], a unit of work; owned, see canp_bench_case_fini() */
	struct canp_bench_stat stat;
};

/* Runs the cases alternately: first a pass of each that is not counted, from which it learns how
 * many passes last round_s, then `rounds` rounds. Returns 0 or -ENOMEM; in both cases call
 * canp_bench_case_fini() on each. The caller pins the thread before. */
int canp_bench_rounds(struct canp_bench_case *cases, unsigned nr, unsigned rounds, double round_s);
void canp_bench_case_fini(struct canp_bench_case *c);

/* How many times as fast as `base` the case is: median of the ratios round by round (samples i of
 * both must come from the same round). n samples each; 0 when out of memory. */
double canp_bench_ratio(const double *seconds, const double *base, unsigned n);

/* ---- the machine ----------------------------------------------------------------------------- */

struct canp_bench_env {
	struct canp_host_facts host;
	int cpu;                        /* pinned to; -1 not pinned */
	unsigned nr_cpus;               /* online */
	unsigned nr_cores;              /* online, without SMT siblings */
	char governor[32];              /* of that CPU; "" when the machine has none */
	char simd[16];                  /* ceiling in force */
	double load_before, load_after; /* load average of one minute; -1 unknown */
	double steal; /* part of all CPU time taken by the hypervisor meanwhile; -1 unknown */
	double cpu_seconds, wall_seconds; /* of the thread, between begin and end */
	/* private */
	uint64_t stolen, ticks, start_ns;
	double start_cpu_s;
};

/* Pins the calling thread to cpu (-1: where it runs now). Returns the CPU or -errno. */
int canp_bench_pin(int cpu);

/* Facts before and after measuring; cpu as canp_bench_pin() returned it (-1: not pinned). After
 * canp_simd_init(). */
void canp_bench_env_begin(struct canp_bench_env *env, int cpu);
void canp_bench_env_end(struct canp_bench_env *env);

/* The environment block: an object as the next value of js, or lines of text. */
void canp_bench_env_json(const struct canp_bench_env *env, struct canp_json *js);
void canp_bench_env_text(const struct canp_bench_env *env, struct canp_strbuf *sb);

#endif
