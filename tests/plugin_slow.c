/*
 * plugin_slow.c - a plugin that makes a job slower by a known share and changes nothing else: after
 * each batch it spins for PERCENT of the CPU time its core spent since the batch before. For
 * compare_power.sh, which asks whether `canp-bench compare` sees it. The argument is PERCENT.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "io/plugin.h"

struct slow_shard {
	uint64_t last_ns;
};

static double share;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int slow_open(const char *arg, void **ctx, char *err, uint32_t err_bytes)
{
	char *end;

	*ctx = NULL;
	share = strtod(arg ? arg : "", &end) / 100;
	if (arg && *arg && !*end && share >= 0 && share <= 10)
		return 0;
	snprintf(err, err_bytes, "the argument is a number of per cent, 0 to 1000");
	return -EINVAL;
}

static int slow_message(void *ctx, const struct canp_plugin_message *m,
			struct canp_plugin_want *want)
{
	(void)ctx, (void)m;
	want->batches = true;
	return 0;
}

static int slow_shard(void *ctx, unsigned shard, unsigned nr_shards, void **state)
{
	struct slow_shard *s = calloc(1, sizeof(*s));

	(void)ctx, (void)shard, (void)nr_shards;
	*state = s;
	return s ? 0 : -ENOMEM;
}

static int slow_batch(void *state, struct canp_batch *b)
{
	struct slow_shard *s = state;
	/* CPU time, so that a reactor which slept is not made slower for it; the wall clock to spin
	 * by, as it is read without a system call. */
	uint64_t now = clock_ns(CLOCK_THREAD_CPUTIME_ID), begin = clock_ns(CLOCK_MONOTONIC);
	/* A spin that the core did not get all of leaves last_ns ahead of the clock. */
	uint64_t spent = s->last_ns && now > s->last_ns ? now - s->last_ns : 0;
	uint64_t need = (uint64_t)((double)spent * share);

	(void)b;
	while (clock_ns(CLOCK_MONOTONIC) - begin < need)
		;
	s->last_ns = now + need;
	return 0;
}

static void slow_shard_end(void *ctx, unsigned shard, void *state)
{
	(void)ctx, (void)shard;
	free(state);
}

const struct canp_plugin canp_plugin = {
	.abi = CANP_PLUGIN_ABI,
	.name = "slow",
	.open = slow_open,
	.message = slow_message,
	.shard = slow_shard,
	.batch = slow_batch,
	.shard_end = slow_shard_end,
};
