/*
 * sched.h - which unit of work runs where and when. Units are numbered in listing order; the
 * frontier is the lowest unfinished one; only units inside [frontier, frontier + window) may start;
 * the window is 4 units a shard, more where sizes differ much (io/unit.h). A shard takes the lowest
 * unstarted unit of its own queue (home shard: the caller's choice, io/unit.h) in the window,
 * unless another one's lowest lies over 2 x shards below that, which is then helped. If it has none
 * there, it takes the lowest unstarted unit in the window of the shard with the most unstarted
 * units in the window. A claim is one CAS on the unit's state.
 */
#ifndef CANP_RUNTIME_SCHED_H
#define CANP_RUNTIME_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct canp_sched;

#define CANP_SCHED_WINDOW_PER_SHARD 4u
/* How far below a shard's own next unit another's must lie to come first. */
#define CANP_SCHED_LATE_PER_SHARD 2u
/* The widest window: what is kept per unit under way (messages to every owner) stays small. */
static inline uint32_t canp_sched_window_max(unsigned nr_shards)
{
	uint32_t by_messages = (32u << 10) / nr_shards,
		 least = nr_shards * CANP_SCHED_WINDOW_PER_SHARD;

	return by_messages > least ? by_messages : least;
}

/* homes[i]: home shard of unit i, modulo nr_shards. Homes that take turns keep finished pages that
 * wait for a lower unit few; any others are correct too. Read only during the call. 1..256 shards
 * (-EINVAL), at most 4 Mi units (-E2BIG); -ENOMEM. 6 bytes per unit are
 * allocated. Control plane. */
int canp_sched_create(unsigned nr_shards, uint32_t nr_units, const uint32_t *homes,
		      struct canp_sched **out);
/* Another window than 4 x shards; before the first claim. Values outside of [1,
 * canp_sched_window_max()] are brought there. Control plane. */
void canp_sched_set_window(struct canp_sched *s, uint32_t window);
/* Units that may be under way at once. Any thread. */
uint32_t canp_sched_window(const struct canp_sched *s);
void canp_sched_destroy(struct canp_sched *s);

/* Claims a unit for `shard`, which must have no other unit in production (the no-deadlock argument
 * in sched.c rests on it; units that only wait for their owners do not count). Returns 0 and *unit;
 * -EAGAIN when none may start now (all in the window are taken); -ENOENT when every unit was
 * started or the schedule was stopped. Any shard thread, each for itself; lock-free. -EAGAIN may be
 * stale by one frontier move, so who moved the frontier kicks all shards (a kick is kept until the
 * shard has looked). */
int canp_sched_claim(struct canp_sched *s, unsigned shard, uint32_t *unit);
/* The unit is processed (all its page runs were sent). Returns true when the frontier moved, so
 * that waiting shards should be kicked. Any shard thread. */
bool canp_sched_finish(struct canp_sched *s, uint32_t unit);
uint32_t canp_sched_frontier(const struct canp_sched *s);
/* After a stop: the lowest unit that was never started, at which the frontier will come to rest.
 * Units above it that did start will never be published: their shards must drop them (free their
 * slots, then canp_sched_finish()), because nobody will consume their pages. The number of units
 * while the schedule is not stopped, or a claim that began before the stop is still in flight. Any
 * thread. */
uint32_t canp_sched_end(const struct canp_sched *s);
/* No further unit may start (interrupt). Any thread, async-signal-safe. Everything below
 * canp_sched_end() was started and will be published. */
void canp_sched_stop(struct canp_sched *s);
bool canp_sched_stopped(const struct canp_sched *s);
/* True when no unit is running and none will start. */
bool canp_sched_idle(const struct canp_sched *s);
/* A look-ahead without a claim: up to max units `shard` would probably take next, for prefetch: its
 * own units in order, a little beyond the window too; when it has none, one guess at the foreign
 * unit. Any thread. */
unsigned canp_sched_peek(const struct canp_sched *s, unsigned shard, uint32_t *units, unsigned max);

struct canp_sched_stats {
	uint64_t claims, foreign_claims, window_waits;
	uint64_t under_way_max; /* units claimed and not finished, the most there were at once */
};
/* Sum over shards; exact when idle. */
void canp_sched_stats(const struct canp_sched *s, struct canp_sched_stats *st);

#endif
