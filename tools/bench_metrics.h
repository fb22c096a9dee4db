/*
 * bench_metrics.h - the figures of a run that `canp-bench compare` knows, and the statistics it
 * judges them by. Pure functions; any thread.
 *
 * The runs of a benchmark are few and their distribution is unknown, often with two humps. So a
 * difference is that of the medians, its uncertainty comes from drawing the same runs again, and
 * whether chance explains it from the ranks alone (Mann and Whitney), exactly, not by a normal
 * approximation, as long as there are few runs.
 */
#ifndef CANP_TOOLS_BENCH_METRICS_H
#define CANP_TOOLS_BENCH_METRICS_H

#include <stdbool.h>
#include <stdint.h>

struct canp_bench_metric {
	const char *name; /* in the samples of a result file */
	const char *unit;
	bool less;   /* less is better */
	bool judged; /* may be a regression unless others are asked for; the rest is shown */
};

extern const struct canp_bench_metric canp_bench_metrics[];
extern const unsigned canp_bench_nr_metrics;

/* Most samples of both sides together for which the distribution of ranks is worked out. */
#define CANP_BENCH_EXACT_MAX   60u
#define CANP_BENCH_SAMPLES_MAX 4096u

/* n >= 1; v is not changed. NAN: no memory. */
double canp_bench_median(const double *v, unsigned n);

/* Two-sided probability that ranks are at least as uneven by chance; *u (may be NULL): U of a,
 * pairs in which a is the larger one, ties count half. Exact with ties too, up to
 * CANP_BENCH_EXACT_MAX samples, else by the normal approximation with corrections for ties and
 * continuity. na, nb >= 1. NAN: no memory. */
double canp_bench_mann_whitney(const double *a, unsigned na, const double *b, unsigned nb,
			       double *u);

/* Interval of 95 % for median(b) / median(a) - 1, by drawing both again (`draws` times, always the
 * same draws). 0 or -ENOMEM. */
int canp_bench_bootstrap(const double *a, unsigned na, const double *b, unsigned nb, unsigned draws,
			 double *low, double *high);

/* How much equal runs differ: the end of the interval above that is farther from 0, as a part. */
double canp_bench_noise(const double *a, unsigned na, const double *b, unsigned nb);

/* How often runs took turns: sides[i] of the i-th run in time; true when they alternate at least
 * as often as the smaller side has runs. */
bool canp_bench_interleaved(const bool *sides, unsigned n);

#endif
