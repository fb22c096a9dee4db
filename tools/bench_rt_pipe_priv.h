/*
 * bench_rt_pipe_priv.h - what the files behind bench_rt_pipe.h share.
 */
#ifndef CANP_TOOLS_BENCH_RT_PIPE_PRIV_H
#define CANP_TOOLS_BENCH_RT_PIPE_PRIV_H

#include <stdbool.h>

#include "core/pipeline/pipeline.h"
#include "tools/bench_rt_pipe.h"

/* What the operators of a run get; the lower half is of the run. */
struct pipe_work {
	unsigned cores;
	uint64_t items, ns;
	const char *tbb;
	enum canp_pipe_mode mode;
	uint64_t at, seen, sum, bad;
};

/* Two sides: each call does the work once and returns its number, or a negative errno. */
struct pipe_sides {
	double (*canp)(void *arg), (*peer)(void *arg); /* peer NULL: none */
	void *arg;
	bool less_is_better;
};

int canp_bench_rt_pipe_rounds(const struct canp_bench_rt_pipe_opts *o, const struct pipe_sides *s,
			      struct canp_bench_rt_pipe_pair *out);
/* ns: of the middle stage; items: unless o says. */
struct pipe_work canp_bench_rt_pipe_work(const struct canp_bench_rt_pipe_opts *o, uint64_t ns,
					 uint64_t items);
/* Reactors, each pinned to a CPU. */
int canp_bench_rt_pipe_exec(unsigned cores, struct canp_exec **ex);

#endif
