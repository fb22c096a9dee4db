/*
 * bench_rt_pipe.h - what a pipeline of items is measured by: one function a figure, each returning
 * numbers; bench_rt_pairs.c makes rows of `canp-bench runtime` out of them.
 *
 * A figure has two sides, canp and what it is compared with: oneTBB's parallel_pipeline in a
 * program of its own (tools/bench_peers.cpp), or the naive way to do the same work. Both run
 * alternately for `rounds` rounds; a side's number is its median, the ratio is the median of the
 * ratios round by round.
 *
 * Control plane; one call at a time. The process must have no reactors of its own running.
 */
#ifndef CANP_TOOLS_BENCH_RT_PIPE_H
#define CANP_TOOLS_BENCH_RT_PIPE_H

#include <stdint.h>

#define CANP_BENCH_RT_PIPE_ROUNDS_MAX 31u

struct canp_bench_rt_pipe_opts {
	unsigned cores;  /* reactors; 0: 2 */
	unsigned rounds; /* 0: 5 */
	uint64_t items;  /* of a round; 0: by figure, so that a round lasts some 0.3 s */
	const char *tbb; /* the program with oneTBB; NULL: its side is 0 */
};

struct canp_bench_rt_pipe_pair {
	double canp, peer; /* peer 0: there is none */
	double ratio;      /* how many times as good canp is; 0 without peer */
};

/* All return 0 or -errno. o may be NULL. */

/* Items a second of source, middle stage of middle_ns a item on all cores, ordered sink; against
 * oneTBB with tokens of one item. middle_ns 0: nothing to do (batch by batch, 256 items a token on
 * both sides). */
int canp_bench_rt_pipe_ordered(const struct canp_bench_rt_pipe_opts *o, uint64_t middle_ns,
			       struct canp_bench_rt_pipe_pair *out);
/* Items a second of three parallel operators of 1 ms each; against the same calls one after the
 * other on one core. */
int canp_bench_rt_pipe_three_ms(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out);
/* Batches a second of read (waits 10 ms), compute (10 ms), write (waits 10 ms), a thread per
 * operator; against one batch after the other. */
int canp_bench_rt_pipe_mixed_io(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out);
/* Items a second in throughput mode (canp) and in latency mode (peer); middle stage of 1 us. */
int canp_bench_rt_pipe_mode_rate(const struct canp_bench_rt_pipe_opts *o,
				 struct canp_bench_rt_pipe_pair *out);
/* p99 of source to sink in latency mode (canp) and in throughput mode (peer), nanoseconds. */
int canp_bench_rt_pipe_mode_p99(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out);
/* Peak memory that a run added in memory mode (canp) and in throughput mode (peer), bytes; items of
 * 1 KiB. Each runs in a child of its own. */
int canp_bench_rt_pipe_mode_rss(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out);
/* Seconds for 200 items through a pipe that is made, run and destroyed (canp); peer: the 0.004 s
 * that the source document states. */
int canp_bench_rt_pipe_200_items(const struct canp_bench_rt_pipe_opts *o,
				 struct canp_bench_rt_pipe_pair *out);
/* Seconds to pull 100 batches out of a pipe; peer: the stated 0.003 s. */
int canp_bench_rt_pipe_100_batches(const struct canp_bench_rt_pipe_opts *o,
				   struct canp_bench_rt_pipe_pair *out);

#endif
