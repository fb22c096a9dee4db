/*
 * plan_mux.c - which signal decides about the presence of another, and for which raw values.
 *
 *   SG_MUL_VAL_ names parent and ranges               -> those; with one multiplexor in the message
 *                                                        also the k of m<k>
 *   m<k>, one multiplexor                             -> that one, value k
 *   m<k>, several multiplexors, no SG_MUL_VAL_        -> ambiguous: the first plain M, warned
 *   m<k>, no multiplexor, or only itself              -> always present, warned
 *
 * Chains may loop in broken files; the loop is cut at the signal that closes it.
 */
#include <string.h>

#include "io/can/plan_parts.h"

static int32_t mux_find(const struct plan_def *d, const char *short_name)
{
	for (uint32_t i = 0; i < d->msg->nr_signals; i++)
		if (!strcmp(d->sigs[i].dbc->short_name, short_name))
			return (int32_t)i;
	return -1;
}

/* The only multiplexor, or the first plain M: one that nothing else decides about, if there is
 * one. */
static int32_t mux_default(const struct plan_def *d)
{
	int32_t plain = -1, first = -1;

	for (uint32_t i = 0; i < d->msg->nr_signals; i++) {
		const struct canp_dbc_signal *s = d->sigs[i].dbc;

		if (!s->is_muxor)
			continue;
		if (first < 0)
			first = (int32_t)i;
		if (!s->is_muxed && !s->mux_parent)
			return (int32_t)i;
		if (!s->is_muxed && plain < 0)
			plain = (int32_t)i;
	}
	return plain >= 0 ? plain : first;
}

static void mux_set(struct plan *p, struct plan_sig *s, int32_t parent, uint32_t nr_ranges,
		    bool with_k)
{
	struct canp_muxrange *v;
	uint32_t n = 0;

	v = canp_bump_alloc(&p->mem, (nr_ranges + 1) * sizeof(*v));
	if (!v)
		return;
	if (with_k)
		v[n++] = (struct canp_muxrange){s->dbc->mux_value, s->dbc->mux_value};
	for (uint32_t i = 0; i < nr_ranges; i++)
		v[n++] = (struct canp_muxrange){s->dbc->ranges[i].lo, s->dbc->ranges[i].hi};
	s->parent = parent;
	s->mux = v;
	s->nr_mux = n;
}

static void mux_signal(struct plan *p, struct plan_def *d, uint32_t i, uint32_t nr_muxors)
{
	struct plan_sig *s = &d->sigs[i];
	const struct canp_dbc_signal *sig = s->dbc;
	int32_t parent = sig->mux_parent ? mux_find(d, sig->mux_parent) : -1;

	if (sig->mux_parent && (parent < 0 || parent == (int32_t)i))
		plan_warn(p, "%s:%u: signal %s: its multiplexor %s is not usable", d->dbc->file,
			  sig->line, sig->name, sig->mux_parent);
	else if (sig->mux_parent) {
		mux_set(p, s, parent, sig->nr_ranges,
			sig->is_muxed && (nr_muxors == 1 || !sig->nr_ranges));
		return;
	}
	if (!sig->is_muxed)
		return;
	parent = mux_default(d);
	if (parent < 0 || parent == (int32_t)i) {
		plan_warn(p,
			  "%s:%u: signal %s is multiplexed, but nothing says by what; it is "
			  "taken as always present",
			  d->dbc->file, sig->line, sig->name);
		return;
	}
	if (nr_muxors > 1)
		plan_warn(p,
			  "%s:%u: signal %s: several multiplexors and no SG_MUL_VAL_; %s is taken",
			  d->dbc->file, sig->line, sig->name, d->sigs[parent].dbc->name);
	mux_set(p, s, parent, 0, true);
}

static void mux_cut_loops(struct plan *p, struct plan_def *d)
{
	uint32_t nr = d->msg->nr_signals;

	for (uint32_t i = 0; i < nr; i++) {
		int32_t at = d->sigs[i].parent;
		uint32_t steps = 0;

		/* More steps than signals: the chain has entered a loop, maybe behind i. Only
		 * signals on the loop are cut, each when its own turn comes. */
		while (at >= 0 && at != (int32_t)i && steps++ < nr)
			at = d->sigs[at].parent;
		if (at != (int32_t)i)
			continue;
		plan_warn(p,
			  "%s:%u: signal %s: its multiplexors form a loop; it is taken as always "
			  "present",
			  d->dbc->file, d->sigs[i].dbc->line, d->sigs[i].dbc->name);
		d->sigs[i].parent = -1;
		d->sigs[i].nr_mux = 0;
	}
}

void plan_resolve_mux(struct plan *p, struct plan_def *d)
{
	uint32_t nr = d->msg->nr_signals, nr_muxors = 0;

	for (uint32_t i = 0; i < nr; i++) {
		d->sigs[i].parent = -1;
		nr_muxors += d->sigs[i].dbc->is_muxor;
	}
	for (uint32_t i = 0; i < nr; i++)
		mux_signal(p, d, i, nr_muxors);
	mux_cut_loops(p, d);
}
