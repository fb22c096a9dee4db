/*
 * sched.c - claims of units, the frontier and the window.
 *
 * A unit's state byte goes FREE -> TAKEN -> DONE and never back; everything else is derived from it
 * or is a hint. Each shard's own units lie in one sorted array with a cursor (all before it are
 * started), so the common claim looks at one byte. Only a shard without work of its own reads the
 * whole window (4 bytes per shard, a few cache lines) to find the fullest queue.
 *
 * Why nothing can deadlock. Let f be the frontier, the lowest unfinished unit.
 *  1. f is running, or its home shard is about to claim it. Suppose f is free while its home
 *     shard H runs a unit y > f. If y is H's own, H would have taken f, which is lower. If y is
 *     foreign and was taken for being late, it lay below H's lowest free unit, so y < f. Else H
 *     found no own unit in the window [g, g + W) of that moment; y lay in it, so f < y did as well
 *     (f >= g, because everything below g is finished), and H would have seen f. So H runs nothing
 *     above f, and nothing below f is unfinished: H takes f (or a lower one) at its next claim.
 *  2. f, once running, never waits for a page slot: its shard keeps a reserve of slots that only
 *     the frontier unit may use, and owners consume the frontier's pages at once, so those slots
 *     return without any other unit's progress.
 *  3. So f finishes, the frontier moves, and by induction all units finish, although any number of
 *     later units may be paused with all their slots held.
 *
 * "Running" is from the claim until the last page was sent; a unit may then wait for its owners to
 * consume its pages before it is finished, which needs nothing but the units below it. One shard
 * must therefore run one unit at a time (reading ahead is not running) and claim again as soon as
 * it has none. A simulation with one slot per shard plays this in tests/t_sched_sim.c.
 *
 * Memory order: labels A.. publish, R.. observe. The frontier needs sequential consistency between
 * "my unit is done" and "is the frontier's unit done", else two shards that finish neighbouring
 * units could each miss the other's and leave the frontier behind for ever.
 */
#include "core/runtime/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"

#define SHARDS_MAX 256u
#define UNITS_MAX  (4u << 20)

enum unit_state { UNIT_FREE, UNIT_TAKEN, UNIT_DONE };

/* One writer each (the shard's thread); others read for sums and for canp_sched_idle(). */
struct sched_shard {
	uint32_t first, end; /* own units: order[first..end) */
	uint32_t cursor;     /* all own units before it are started */
	uint32_t claiming;   /* 1 inside canp_sched_claim() */
	uint64_t claims, foreign_claims, window_waits;
} CANP_ALIGNED(CANP_CACHELINE);

struct canp_sched {
	/* Read-only after create. */
	uint8_t *state;  /* enum unit_state per unit; the array itself is shared */
	uint8_t *home;   /* home shard per unit */
	uint32_t *order; /* units by home shard, ascending inside each */
	uint32_t nr_units, window;
	unsigned nr_shards;
	bool stopped CANP_ALIGNED(CANP_CACHELINE);
	/* Written at each finish, read at each claim. */
	uint32_t frontier CANP_ALIGNED(CANP_CACHELINE);
	uint64_t finished;
	uint32_t under_way, under_way_max;
	struct sched_shard shards[];
};

int canp_sched_create(unsigned nr_shards, uint32_t nr_units, const uint32_t *homes,
		      struct canp_sched **out)
{
	size_t bytes = sizeof(struct canp_sched) + nr_shards * sizeof(struct sched_shard);
	struct canp_sched *s;
	uint32_t at[SHARDS_MAX + 1] = {0};

	if (nr_shards == 0 || nr_shards > SHARDS_MAX)
		return -EINVAL;
	if (nr_units > UNITS_MAX)
		return -E2BIG;
	s = aligned_alloc(CANP_CACHELINE, canp_align_up(bytes, (size_t)CANP_CACHELINE));
	if (!s)
		return -ENOMEM;
	memset(s, 0, bytes);
	s->nr_shards = nr_shards;
	s->nr_units = nr_units;
	s->window = nr_shards * CANP_SCHED_WINDOW_PER_SHARD;
	s->state = calloc(nr_units + 1, 1);
	s->home = calloc(nr_units + 1, 1);
	s->order = calloc((size_t)nr_units + 1, sizeof(*s->order));
	if (!s->state || !s->home || !s->order) {
		canp_sched_destroy(s);
		return -ENOMEM;
	}
	/* Counting sort by home: stable, so each shard's part is ascending. */
	for (uint32_t u = 0; u < nr_units; u++) {
		s->home[u] = (uint8_t)(homes[u] % nr_shards);
		at[s->home[u] + 1]++;
	}
	for (unsigned i = 0; i < nr_shards; i++) {
		s->shards[i].first = s->shards[i].cursor = at[i];
		at[i + 1] += at[i];
		s->shards[i].end = at[i + 1];
	}
	for (uint32_t u = 0; u < nr_units; u++)
		s->order[at[s->home[u]]++] = u;
	*out = s;
	return 0;
}

void canp_sched_set_window(struct canp_sched *s, uint32_t window)
{
	s->window = canp_min(canp_max(window, 1u), canp_sched_window_max(s->nr_shards));
}

uint32_t canp_sched_window(const struct canp_sched *s)
{
	return s->window;
}

void canp_sched_destroy(struct canp_sched *s)
{
	if (!s)
		return;
	free(s->state);
	free(s->home);
	free(s->order);
	free(s);
}

/* R1: pairs with A1 (a claim) and A2 (a finish). Acquire would do for a claim; the frontier scan
 * needs the total order, see A2. */
CANP_INLINE uint8_t state_of(const struct canp_sched *s, uint32_t unit)
{
	return __atomic_load_n(&s->state[unit], __ATOMIC_SEQ_CST);
}

/* A1: the one CAS of a claim. The winner alone owns the unit from here on; nothing is handed over
 * with it but the unit number, and what the control plane wrote before threads started. */
CANP_INLINE bool state_take(struct canp_sched *s, uint32_t unit)
{
	uint8_t free_state = UNIT_FREE;

	return __atomic_compare_exchange_n(&s->state[unit], &free_state, UNIT_TAKEN, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

CANP_INLINE void count(uint64_t *counter)
{
	/* Release: R5 must see the claim's A1 when it sees the count. A plain increment otherwise,
	 * since this thread is the only writer. */
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELEASE);
}

/* First unit that may not start while `frontier` is the frontier. */
CANP_INLINE uint32_t window_end(const struct canp_sched *s, uint32_t frontier)
{
	return canp_min(frontier + s->window, s->nr_units);
}

/* The lowest free unit of one's own; UINT32_MAX: none. */
static uint32_t own_next(struct canp_sched *s, struct sched_shard *me)
{
	uint32_t pos = me->cursor;

	while (pos < me->end && state_of(s, s->order[pos]) != UNIT_FREE)
		pos++;
	/* Relaxed: a peek by another thread that sees an old cursor only scans a little more. */
	__atomic_store_n(&me->cursor, pos, __ATOMIC_RELAXED);
	return pos < me->end ? s->order[pos] : UINT32_MAX;
}

static bool claim_own(struct canp_sched *s, struct sched_shard *me, uint32_t limit, uint32_t *unit)
{
	uint32_t u;

	while ((u = own_next(s, me)) < limit) {
		if (!state_take(s, u))
			continue;
		*unit = u;
		return true;
	}
	return false;
}

/* A unit so far below one's own next that its home shard must be slow: it is helped before all
 * others wait for it at the end of the window. */
static bool claim_late(struct canp_sched *s, struct sched_shard *me, uint32_t from, uint32_t limit,
		       uint32_t *unit)
{
	uint32_t own = own_next(s, me), late = s->nr_shards * CANP_SCHED_LATE_PER_SHARD, u = from;

	if (own >= limit || own - from <= late)
		return false;
	while (u < own && state_of(s, u) != UNIT_FREE)
		u++;
	if (own - u <= late || !state_take(s, u))
		return false;
	*unit = u;
	return true;
}

/* The lowest free unit of the shard that has the most free units in [from, limit); of equally full
 * queues the one with the lowest unit. UINT32_MAX when none is free. */
static uint32_t fullest_queue(const struct canp_sched *s, uint32_t from, uint32_t limit)
{
	uint16_t nr_free[SHARDS_MAX] = {0};
	uint32_t lowest[SHARDS_MAX];
	uint32_t best = UINT32_MAX;
	unsigned best_nr = 0;

	for (uint32_t u = from; u < limit; u++) {
		unsigned h = s->home[u];

		if (state_of(s, u) != UNIT_FREE)
			continue;
		if (nr_free[h]++ == 0)
			lowest[h] = u;
	}
	for (unsigned h = 0; h < s->nr_shards; h++) {
		if (nr_free[h] > best_nr ||
		    (nr_free[h] && nr_free[h] == best_nr && lowest[h] < best)) {
			best_nr = nr_free[h];
			best = lowest[h];
		}
	}
	return best;
}

static int claim_foreign(struct canp_sched *s, uint32_t from, uint32_t limit, uint32_t *unit)
{
	for (;;) {
		uint32_t u = fullest_queue(s, from, limit);

		/* Units below the frontier are done, so a window that reaches the end and has
		 * nothing free means that every unit was started. */
		if (u == UINT32_MAX)
			return limit == s->nr_units ? -ENOENT : -EAGAIN;
		if (state_take(s, u)) {
			*unit = u;
			return 0;
		}
		/* Somebody else took it: progress was made, look again. */
	}
}

/* R2: the frontier is read once for both searches. A stale one only makes the window smaller, as it
 * never goes back; a newer one for the second search could show it an own unit that the first has
 * not seen, and a foreign unit above that might be taken, which breaks point 1 at the head of this
 * file. */
static int claim_in_window(struct canp_sched *s, struct sched_shard *me, uint32_t *unit)
{
	uint32_t from = canp_sched_frontier(s), limit = window_end(s, from);
	int rc = 0;

	if (!claim_late(s, me, from, limit, unit)) {
		if (claim_own(s, me, limit, unit)) {
			count(&me->claims);
			return 0;
		}
		rc = claim_foreign(s, from, limit, unit);
	}
	if (rc == 0) {
		count(&me->claims);
		count(&me->foreign_claims);
	} else if (rc == -EAGAIN) {
		count(&me->window_waits);
	}
	return rc;
}

/* For the statistics alone: no order is needed. Counted after the claim and taken off before the
 * finish, so it is never more than the window. */
static void count_under_way(struct canp_sched *s)
{
	uint32_t n = __atomic_add_fetch(&s->under_way, 1, __ATOMIC_RELAXED);
	uint32_t most = __atomic_load_n(&s->under_way_max, __ATOMIC_RELAXED);

	while (n > most && !__atomic_compare_exchange_n(&s->under_way_max, &most, n, true,
							__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

int canp_sched_claim(struct canp_sched *s, unsigned shard, uint32_t *unit)
{
	struct sched_shard *me = &s->shards[shard];
	int rc = -ENOENT;

	CANP_ASSERT(shard < s->nr_shards);
	/* Shards that go on asking after a stop must not look as if a claim were in flight. */
	if (canp_sched_stopped(s))
		return -ENOENT;
	/* A3: announced before the stop flag is read (R3), both in one total order with A4 and R4:
	 * who sees "stopped" and nobody claiming knows that no claim will succeed any more. */
	__atomic_store_n(&me->claiming, 1, __ATOMIC_SEQ_CST);
	if (!canp_sched_stopped(s)) /* R3 */
		rc = claim_in_window(s, me, unit);
	if (rc == 0)
		count_under_way(s);
	/* Release: the count above is visible to R4 when it sees 0 here. */
	__atomic_store_n(&me->claiming, 0, __ATOMIC_RELEASE);
	return rc;
}

bool canp_sched_finish(struct canp_sched *s, uint32_t unit)
{
	uint8_t before;
	uint32_t f;
	bool moved = false;

	CANP_ASSERT(unit < s->nr_units);
	__atomic_fetch_sub(&s->under_way, 1, __ATOMIC_RELAXED);
	/* A2: the total order with the scan below (R1). Of two shards that finish units f and f + 1
	 * at the same time at least one sees both states, because each stores its own first. */
	before = __atomic_exchange_n(&s->state[unit], UNIT_DONE, __ATOMIC_SEQ_CST);
	CANP_ASSERT(before == UNIT_TAKEN);
	f = canp_sched_frontier(s);
	for (;;) {
		uint32_t g = f;

		while (g < s->nr_units && state_of(s, g) == UNIT_DONE)
			g++;
		if (g == f)
			break;
		/* A5: pairs with R2. On success look again: a unit at g may have been finished by a
		 * shard that still read the old frontier. On failure f is the newer one. */
		if (__atomic_compare_exchange_n(&s->frontier, &f, g, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST)) {
			moved = true;
			f = g;
		}
	}
	/* Last, so that "idle" also means that nobody is in this function any more with work to do.
	 */
	__atomic_fetch_add(&s->finished, 1, __ATOMIC_SEQ_CST);
	return moved;
}

uint32_t canp_sched_frontier(const struct canp_sched *s)
{
	return __atomic_load_n(&s->frontier, __ATOMIC_SEQ_CST); /* R2 */
}

/* True when the schedule is stopped for good: no claim is in flight that began before the stop. */
static bool settled(const struct canp_sched *s)
{
	if (!canp_sched_stopped(s))
		return false;
	for (unsigned i = 0; i < s->nr_shards; i++) {
		if (__atomic_load_n(&s->shards[i].claiming, __ATOMIC_SEQ_CST)) /* R4 */
			return false;
	}
	return true;
}

uint32_t canp_sched_end(const struct canp_sched *s)
{
	uint32_t u;

	if (!settled(s))
		return s->nr_units;
	u = canp_sched_frontier(s);
	while (u < s->nr_units && state_of(s, u) != UNIT_FREE)
		u++;
	return u;
}

void canp_sched_stop(struct canp_sched *s)
{
	__atomic_store_n(&s->stopped, true, __ATOMIC_SEQ_CST); /* A4 */
}

bool canp_sched_stopped(const struct canp_sched *s)
{
	return __atomic_load_n(&s->stopped, __ATOMIC_SEQ_CST);
}

bool canp_sched_idle(const struct canp_sched *s)
{
	uint64_t claims = 0;

	if (canp_sched_frontier(s) != s->nr_units && !settled(s))
		return false;
	for (unsigned i = 0; i < s->nr_shards; i++)
		claims += __atomic_load_n(&s->shards[i].claims, __ATOMIC_ACQUIRE); /* R5 */
	return claims == __atomic_load_n(&s->finished, __ATOMIC_SEQ_CST);
}

unsigned canp_sched_peek(const struct canp_sched *s, unsigned shard, uint32_t *units, unsigned max)
{
	const struct sched_shard *me = &s->shards[shard];
	uint32_t pos = __atomic_load_n(&me->cursor, __ATOMIC_RELAXED);
	/* Own units one window further are also likely ours: the window will have moved by then. */
	uint32_t from = canp_sched_frontier(s), limit = window_end(s, from);
	uint32_t far = canp_min(limit + s->window, s->nr_units);
	unsigned n = 0;

	CANP_ASSERT(shard < s->nr_shards);
	if (canp_sched_stopped(s))
		return 0;
	for (; n < max && pos < me->end && s->order[pos] < far; pos++) {
		if (state_of(s, s->order[pos]) == UNIT_FREE)
			units[n++] = s->order[pos];
	}
	/* A shard without own units helps the fullest queue next; more than one guess would only
	 * make all idle shards read the same files. */
	if (n == 0 && max > 0) {
		units[0] = fullest_queue(s, from, limit);
		n = units[0] != UINT32_MAX;
	}
	return n;
}

void canp_sched_stats(const struct canp_sched *s, struct canp_sched_stats *st)
{
	memset(st, 0, sizeof(*st));
	st->under_way_max = __atomic_load_n(&s->under_way_max, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < s->nr_shards; i++) {
		const struct sched_shard *x = &s->shards[i];

		st->claims += __atomic_load_n(&x->claims, __ATOMIC_RELAXED);
		st->foreign_claims += __atomic_load_n(&x->foreign_claims, __ATOMIC_RELAXED);
		st->window_waits += __atomic_load_n(&x->window_waits, __ATOMIC_RELAXED);
	}
}
