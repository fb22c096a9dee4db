/*
 * bench_pool.h - the figures of `canp-bench pool` and what they share.
 */
#ifndef CANP_TOOLS_BENCH_POOL_H
#define CANP_TOOLS_BENCH_POOL_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/* Where the parent and the (one) worker of a measurement are. */
struct canp_bench_pool_place {
	int parent_cpu, worker_cpu;
	cpu_set_t all;
};

struct canp_bench_pool_figure {
	const char *name, *unit, *text;
	bool more_is_better;
	double floor, aim; /* 0: none */
	/* One round of about round_ms; value in *out (and a second one for figures with two). 0, or
	 * -errno: -ENOENT means that what it needs is not here, and the figure is left out. */
	int (*measure)(const struct canp_bench_pool_place *at, unsigned round_ms, double *out);
	bool once; /* the same in every round */
};

extern const struct canp_bench_pool_figure canp_bench_pool_figures[];
extern const unsigned canp_bench_pool_nr_figures;

#endif
