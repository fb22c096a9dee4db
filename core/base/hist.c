/*
 * hist.c - reading and merging of histograms; recording is inline.
 */
#include "core/base/hist.h"

#include <string.h>

#include "core/base/units.h"

void canp_hist_init(struct canp_hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void canp_hist_merge(struct canp_hist *to, const struct canp_hist *from)
{
	to->count += from->count;
	to->sum += from->sum;
	to->min = canp_min(to->min, from->min);
	to->max = canp_max(to->max, from->max);
	for (unsigned i = 0; i < CANP_HIST_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

uint64_t canp_hist_bucket_low(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * CANP_HIST_SUB)
		return bucket;
	shift = bucket / CANP_HIST_SUB - 1;
	return (uint64_t)(bucket - shift * CANP_HIST_SUB) << shift;
}

uint64_t canp_hist_percentile(const struct canp_hist *h, double percent)
{
	double want = percent / 100.0 * (double)h->count;
	uint64_t seen = 0, low, width, v;

	if (!h->count)
		return 0;
	if (percent >= 100)
		return h->max;
	for (unsigned i = 0; i < CANP_HIST_BUCKETS; i++) {
		seen += h->buckets[i];
		if (!h->buckets[i] || (double)seen < want)
			continue;
		low = canp_hist_bucket_low(i);
		width = i < CANP_HIST_SUB ? 1 : 1ULL << (i / CANP_HIST_SUB - 1);
		v = low + (width - 1) / 2;
		return canp_max(h->min, canp_min(h->max, v));
	}
	return h->max;
}

double canp_hist_mean(const struct canp_hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
