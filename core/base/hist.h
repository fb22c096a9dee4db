/*
 * hist.h - log-linear histogram of u64 values, usually nanoseconds: 64 buckets for each power of
 * two, so a bucket is at most 1/64 of its value wide and a percentile, taken at the middle of its
 * bucket, is off by less than 0.8 %. All u64 values have a bucket; recording is a shift and an add.
 *
 * One writer; merge copies of several shards to sum them up. 30 KiB each: embed it in control
 * structures, not on a stack.
 */
#ifndef CANP_BASE_HIST_H
#define CANP_BASE_HIST_H

#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

#define CANP_HIST_SUB_BITS 6u
#define CANP_HIST_SUB      (1u << CANP_HIST_SUB_BITS)
/* Values below 64 have a bucket each; then 58 powers of two follow. */
#define CANP_HIST_BUCKETS ((64u - CANP_HIST_SUB_BITS + 1u) * CANP_HIST_SUB)

struct canp_hist {
	uint64_t count, sum; /* sum wraps; the mean is right while it does not */
	uint64_t min, max;   /* exact; min is UINT64_MAX while count is 0 */
	uint64_t buckets[CANP_HIST_BUCKETS];
};

static inline unsigned canp_hist_bucket(uint64_t v)
{
	unsigned shift;

	if (v < CANP_HIST_SUB)
		return (unsigned)v;
	shift = 63u - (unsigned)__builtin_clzll(v) - CANP_HIST_SUB_BITS;
	return (shift << CANP_HIST_SUB_BITS) + (unsigned)(v >> shift);
}

/* Owner thread. */
static inline void canp_hist_add(struct canp_hist *h, uint64_t v)
{
	h->count++;
	h->sum += v;
	h->min = v < h->min ? v : h->min;
	h->max = v > h->max ? v : h->max;
	h->buckets[canp_hist_bucket(v)]++;
}

/* Empty; no memory besides *h. */
void canp_hist_init(struct canp_hist *h);
/* Adds all that `from` has counted, exactly; who calls keeps recorders of both away. */
void canp_hist_merge(struct canp_hist *to, const struct canp_hist *from);
/* Lowest value of a bucket; buckets are [low(i), low(i + 1)). */
uint64_t canp_hist_bucket_low(unsigned bucket);
/* The value at or below which `percent` (0..100) of the values lie: middle of its bucket, kept
 * within [min, max]; 100 is the exact maximum; 0 when empty. */
uint64_t canp_hist_percentile(const struct canp_hist *h, double percent);
double canp_hist_mean(const struct canp_hist *h);

CANP_END_DECLS

#endif
