/*
 * balance.c - the least loaded worker.
 *
 * One pass that begins at home and only takes what is really less, so equals need no rule of their
 * own. A stamp in the future (the sampler's clock was read later than ours) is as fresh as can be.
 */
#include "core/runtime/balance.h"

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"

static uint64_t load_of(const struct canp_balance_sample *w)
{
	return (uint64_t)w->queue_depth * CANP_BALANCE_BUSY + canp_min(w->busy, CANP_BALANCE_BUSY);
}

unsigned canp_balance_select(const struct canp_balance_sample *w, unsigned nr, unsigned home,
			     uint64_t now_ns, uint64_t max_age_ns)
{
	uint64_t least = UINT64_MAX;
	unsigned best;

	CANP_ASSERT(nr > 0);
	home %= nr;
	best = home;
	for (unsigned k = 0; k < nr; k++) {
		unsigned i = home + k < nr ? home + k : home + k - nr;
		uint64_t load = load_of(&w[i]);

		if (w[i].stamp_ns < now_ns && now_ns - w[i].stamp_ns > max_age_ns)
			continue;
		if (load < least) {
			least = load;
			best = i;
		}
	}
	return best;
}
