/*
 * plugin_slow.c - a plugin that makes a job slower by a known share and changes nothing else: after
 * each batch it spins for PERCENT of the time that went by since the batch before. For
 * compare_power.sh, which asks whether `canp-bench compare` sees it. The argument is PERCENT.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "io/plugin.h"

/* A reactor that slept between two batches did no work that could have been slower. */
#define PAUSE_NS 1000000u

struct slow_shard {
	uint64_t last_ns;
};

static double share;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
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
	uint64_t now = clock_ns(), spent = now - s->last_ns, until;

	(void)b;
	until = now + (s->last_ns && spent < PAUSE_NS ? (uint64_t)((double)spent * share) : 0);
	while (now < until)
		now = clock_ns();
	s->last_ns = now;
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
