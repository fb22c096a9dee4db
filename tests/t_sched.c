/*
 * t_sched.c - the scheduler against a naive oracle, in a simulation of whole jobs, and under
 * threads.
 *
 * The simulation is a model of the machine: shards that run one unit at a time, page slots from
 * real pools with a reserve for the frontier unit, lanes that deliver late and in any order among
 * each other, and owners that consume pages strictly in unit order. Who acts next is drawn from a
 * seed. When a sweep over all actors changes nothing while work is left, the job is deadlocked; the
 * same simulation without the reserve shows that this is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/base/hash.h"
#include "core/runtime/sched.h"
#include "numa/pool.h"

#define SIM_SHARDS    16u
#define SIM_UNITS     160u
#define SIM_PAGES_MAX 6u
#define SIM_SLOTS     32u
#define NONE          UINT32_MAX

/* The simulation has one thread, so the thread sanitizer has nothing to find there. */
#ifdef __SANITIZE_THREAD__
#define SIM_RUNS 64u
#else
#define SIM_RUNS 480u
#endif

enum msg_kind { MSG_PAGE, MSG_END, MSG_RETURN };

struct msg {
	enum msg_kind kind;
	uint32_t unit, seq; /* MSG_END: seq is how many pages were sent to this owner */
	void *slot;
};

struct lane {
	struct msg *msgs;
	uint32_t head, tail, cap;
};

struct sim_shard {
	struct canp_pool pool;
	uint8_t mem[SIM_SLOTS * 64] CANP_ALIGNED(64);
	uint32_t unit, seq, pause; /* running unit, next page of it, ticks until then */
	uint32_t sent[SIM_SHARDS]; /* pages of the running unit per owner */
	uint32_t slow;             /* acts every slow-th time it could */
	bool started_any;
	/* as owner */
	uint32_t turn;              /* unit whose pages are consumed now */
	uint32_t consumed;          /* pages of it consumed so far */
	uint32_t last_seq;          /* of the page consumed last, within turn */
	uint32_t nr_end[SIM_UNITS]; /* NONE until the unit's end arrived */
	struct msg held[SIM_UNITS][SIM_PAGES_MAX];
	uint32_t nr_held[SIM_UNITS];
};

struct sim {
	struct canp_sched *s;
	uint32_t nr_shards, nr_units;
	uint32_t homes[SIM_UNITS], pages[SIM_UNITS];
	uint8_t started[SIM_UNITS], done[SIM_UNITS];
	uint32_t nr_consumed, frontier_seen;
	uint32_t claims, foreign, pauses, reserve_gets, dropped;
	bool stopped;
	struct sim_shard sh[SIM_SHARDS];
	struct lane lanes[SIM_SHARDS][SIM_SHARDS];
};

static struct sim sim;
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed += 0x9e3779b97f4a7c15ULL;
	return (uint32_t)(canp_hash_mix(seed) % below);
}

static void lane_push(uint32_t from, uint32_t to, struct msg m)
{
	struct lane *l = &sim.lanes[from][to];

	if (l->tail == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->msgs = realloc(l->msgs, l->cap * sizeof(m));
		assert_non_null(l->msgs);
	}
	l->msgs[l->tail++] = m;
}

static uint32_t frontier_oracle(void)
{
	uint32_t f = 0;

	while (f < sim.nr_units && sim.done[f])
		f++;
	return f;
}

/* What a claim must return, by the words of the header: NONE and *rc, or the unit. */
static uint32_t claim_oracle(uint32_t shard, int *rc)
{
	uint32_t nr_free[SIM_SHARDS] = {0}, best = NONE;
	uint32_t f = frontier_oracle(), limit = f + 4 * sim.nr_shards;

	*rc = sim.stopped ? -ENOENT : 0;
	if (sim.stopped)
		return NONE;
	for (uint32_t u = f; u < sim.nr_units && u < limit; u++) {
		if (sim.started[u])
			continue;
		if (sim.homes[u] % sim.nr_shards == shard)
			return u;
		nr_free[sim.homes[u] % sim.nr_shards]++;
	}
	for (uint32_t u = f; u < sim.nr_units && u < limit; u++) {
		if (sim.started[u])
			continue;
		if (best == NONE || nr_free[sim.homes[u] % sim.nr_shards] >
					    nr_free[sim.homes[best] % sim.nr_shards])
			best = u;
	}
	if (best == NONE)
		*rc = limit >= sim.nr_units ? -ENOENT : -EAGAIN;
	return best;
}

static bool shard_claim(uint32_t i)
{
	struct sim_shard *x = &sim.sh[i];
	uint32_t want, got = NONE, ahead[4];
	int want_rc, rc;
	unsigned n = canp_sched_peek(sim.s, i, ahead, 4);

	want = claim_oracle(i, &want_rc);
	rc = canp_sched_claim(sim.s, i, &got);
	assert_int_equal(rc, want_rc);
	assert_int_equal(got, want);
	/* The look-ahead never names a started unit, and is right about the next own one. */
	for (unsigned k = 0; k < n; k++)
		assert_false(sim.started[ahead[k]]);
	if (rc)
		return false;
	if (sim.homes[got] % sim.nr_shards == i)
		assert_int_equal(ahead[0], got);
	sim.started[got] = 1;
	sim.claims++;
	sim.foreign += sim.homes[got] % sim.nr_shards != i;
	x->started_any = true;
	x->unit = got;
	x->seq = 0;
	x->pause = rnd(6);
	memset(x->sent, 0, sizeof(x->sent));
	return true;
}

static void shard_finish(uint32_t i)
{
	struct sim_shard *x = &sim.sh[i];
	uint32_t before = frontier_oracle(), u = x->unit;
	bool moved;

	/* Pages first, then the end, on the same lanes: the owner knows that nothing is missing. */
	for (uint32_t o = 0; o < sim.nr_shards; o++)
		lane_push(i, o, (struct msg){.kind = MSG_END, .unit = u, .seq = x->sent[o]});
	assert_false(sim.done[u]);
	sim.done[u] = 1;
	moved = canp_sched_finish(sim.s, u);
	assert_int_equal(moved, frontier_oracle() != before);
	assert_int_equal(canp_sched_frontier(sim.s), frontier_oracle());
	x->unit = NONE;
}

/* One turn of a shard's reactor. True when something changed. */
static bool shard_step(uint32_t i)
{
	struct sim_shard *x = &sim.sh[i];
	bool frontier;
	uint32_t owner;
	void *slot;

	if (x->unit == NONE)
		return shard_claim(i);
	if (sim.stopped && x->unit > canp_sched_end(sim.s)) {
		sim.dropped++;
		sim.done[x->unit] = 1;
		assert_false(canp_sched_finish(sim.s, x->unit));
		x->unit = NONE;
		return true;
	}
	if (x->pause > 0) {
		x->pause--;
		return true;
	}
	if (x->seq == sim.pages[x->unit]) {
		shard_finish(i);
		return true;
	}
	frontier = canp_sched_frontier(sim.s) == x->unit;
	slot = canp_pool_get(&x->pool, false);
	if (!slot && frontier) {
		slot = canp_pool_get(&x->pool, true);
		sim.reserve_gets += slot != NULL;
	}
	if (!slot) {
		sim.pauses++;
		return false;
	}
	owner = rnd(sim.nr_shards);
	lane_push(i, owner, (struct msg){MSG_PAGE, x->unit, x->seq++, slot});
	x->sent[owner]++;
	x->pause = rnd(4);
	return true;
}

static void owner_consume(uint32_t o, const struct msg *m)
{
	struct sim_shard *x = &sim.sh[o];
	uint32_t home;

	assert_int_equal(m->unit, x->turn);
	assert_true(x->consumed == 0 || m->seq > x->last_seq);
	x->last_seq = m->seq;
	x->consumed++;
	sim.nr_consumed++;
	for (home = 0; !canp_pool_owns(&sim.sh[home].pool, m->slot); home++)
		assert_true(home + 1 < sim.nr_shards);
	lane_push(o, home, (struct msg){.kind = MSG_RETURN, .slot = m->slot});
}

/* Consumes all that may be: pages of the unit whose turn it is, and on to the next at its end. */
static void owner_run(uint32_t o)
{
	struct sim_shard *x = &sim.sh[o];

	while (x->turn < sim.nr_units) {
		uint32_t u = x->turn;

		for (uint32_t k = 0; k < x->nr_held[u]; k++)
			owner_consume(o, &x->held[u][k]);
		x->nr_held[u] = 0;
		if (x->nr_end[u] == NONE)
			return;
		assert_int_equal(x->consumed, x->nr_end[u]);
		x->turn++;
		x->consumed = 0;
	}
}

static bool lane_step(uint32_t from, uint32_t to)
{
	struct lane *l = &sim.lanes[from][to];
	struct sim_shard *x = &sim.sh[to];
	struct msg m;

	if (l->head == l->tail)
		return false;
	m = l->msgs[l->head++];
	switch (m.kind) {
	case MSG_RETURN:
		canp_pool_put(&x->pool, m.slot);
		break;
	case MSG_END:
		x->nr_end[m.unit] = m.seq;
		owner_run(to);
		break;
	case MSG_PAGE:
		assert_true(m.unit >= x->turn);
		assert_true(x->nr_held[m.unit] < SIM_PAGES_MAX);
		x->held[m.unit][x->nr_held[m.unit]++] = m;
		owner_run(to);
		break;
	}
	return true;
}

static bool sim_over(void)
{
	for (uint32_t i = 0; i < sim.nr_shards; i++) {
		if (sim.sh[i].turn < sim.nr_units)
			return false;
	}
	return true;
}

static bool sim_sweep(void)
{
	bool any = false;

	for (uint32_t i = 0; i < sim.nr_shards; i++) {
		any |= shard_step(i);
		for (uint32_t j = 0; j < sim.nr_shards; j++)
			any |= lane_step(i, j);
	}
	return any;
}

static void sim_init(uint64_t with_seed, uint32_t nr_shards, uint32_t slots, uint32_t reserve,
		     uint32_t skew)
{
	struct lane keep[SIM_SHARDS][SIM_SHARDS];

	seed = with_seed * 1000003;
	memcpy(keep, sim.lanes, sizeof(keep));
	memset(&sim, 0, sizeof(sim));
	memcpy(sim.lanes, keep, sizeof(keep));
	sim.nr_shards = nr_shards;
	sim.nr_units = rnd(SIM_UNITS + 1);
	for (uint32_t u = 0; u < sim.nr_units; u++) {
		sim.homes[u] = rnd(4) < skew ? rnd(nr_shards) / 4 : rnd(1u << 31);
		sim.pages[u] = rnd(8) == 0 ? SIM_PAGES_MAX : rnd(4);
	}
	for (uint32_t i = 0; i < nr_shards; i++) {
		struct sim_shard *x = &sim.sh[i];

		canp_pool_init(&x->pool, x->mem, 64, slots + reserve, reserve);
		x->unit = NONE;
		x->slow = 1 + rnd(12);
		memset(x->nr_end, 0xff, sizeof(x->nr_end));
		for (uint32_t j = 0; j < nr_shards; j++)
			sim.lanes[i][j].head = sim.lanes[i][j].tail = 0;
	}
	assert_int_equal(canp_sched_create(nr_shards, sim.nr_units, sim.homes, &sim.s), 0);
}

/* Plays the job to its end; false when it is deadlocked. */
static bool sim_play(void)
{
	uint32_t idle = 0;

	while (!sim_over()) {
		uint32_t i = rnd(sim.nr_shards);
		bool any;

		if (rnd(3) == 0)
			any = rnd(sim.sh[i].slow) == 0 && shard_step(i);
		else
			any = lane_step(i, rnd(sim.nr_shards));
		idle = any ? 0 : idle + 1;
		if (idle < 64)
			continue;
		idle = 0;
		if (!sim_sweep())
			return false;
	}
	while (sim_sweep())
		;
	return true;
}

static void sim_check_complete(void)
{
	struct canp_sched_stats st;
	uint32_t pages = 0, unit;

	for (uint32_t u = 0; u < sim.nr_units; u++) {
		assert_true(sim.started[u] && sim.done[u]);
		pages += sim.pages[u];
	}
	assert_int_equal(sim.claims, sim.nr_units);
	assert_int_equal(sim.nr_consumed, pages);
	assert_int_equal(canp_sched_frontier(sim.s), sim.nr_units);
	assert_int_equal(canp_sched_end(sim.s), sim.nr_units);
	assert_true(canp_sched_idle(sim.s));
	for (uint32_t i = 0; i < sim.nr_shards; i++) {
		assert_int_equal(sim.sh[i].pool.stats.in_use, 0);
		assert_int_equal(canp_sched_claim(sim.s, i, &unit), -ENOENT);
	}
	canp_sched_stats(sim.s, &st);
	assert_int_equal(st.claims, sim.claims);
	assert_int_equal(st.foreign_claims, sim.foreign);
}

static void claims_follow_the_oracle_in_simulated_jobs(void **state)
{
	uint32_t foreign = 0;

	(void)state;
	for (uint64_t run = 0; run < SIM_RUNS; run++) {
		sim_init(run, 1 + (uint32_t)run % SIM_SHARDS, SIM_SLOTS - 1, 1, (uint32_t)run % 4);
		assert_true(sim_play());
		sim_check_complete();
		foreign += sim.foreign;
		canp_sched_destroy(sim.s);
	}
	assert_true(foreign > 0);
}

static void one_slot_and_a_reserve_never_deadlock(void **state)
{
	uint32_t pauses = 0, reserve_gets = 0;

	(void)state;
	for (uint64_t run = 0; run < SIM_RUNS; run++) {
		sim_init(run, 1 + (uint32_t)run % SIM_SHARDS, 1, 1, (uint32_t)run % 4);
		if (!sim_play())
			fail_msg("seed %lu: deadlock at unit %u", run, frontier_oracle());
		sim_check_complete();
		pauses += sim.pauses;
		reserve_gets += sim.reserve_gets;
		canp_sched_destroy(sim.s);
	}
	/* The runs were tight enough to mean something. */
	assert_true(pauses > 2 * SIM_RUNS);
	assert_true(reserve_gets > SIM_RUNS / 4);
}

static void without_the_reserve_jobs_deadlock(void **state)
{
	uint32_t deadlocks = 0;

	(void)state;
	for (uint64_t run = 0; run < SIM_RUNS; run++) {
		sim_init(run, 1 + (uint32_t)run % SIM_SHARDS, 1, 0, (uint32_t)run % 4);
		deadlocks += !sim_play();
		canp_sched_destroy(sim.s);
	}
	print_message("%u of %u jobs deadlock without the reserve\n", deadlocks, SIM_RUNS);
	assert_true(deadlocks > 0);
}

static void a_stopped_job_drains_to_its_end(void **state)
{
	uint32_t dropped = 0;

	(void)state;
	for (uint64_t run = 0; run < SIM_RUNS; run++) {
		uint32_t end, stop_after;

		sim_init(run, 1 + (uint32_t)run % SIM_SHARDS, 1, 1, (uint32_t)run % 4);
		stop_after = rnd(4000);
		for (uint32_t k = 0; k < stop_after; k++) {
			uint32_t i = rnd(sim.nr_shards);

			(void)(rnd(3) ? lane_step(i, rnd(sim.nr_shards)) : shard_step(i));
		}
		sim.stopped = true;
		canp_sched_stop(sim.s);
		end = canp_sched_end(sim.s);
		while (sim_sweep())
			;
		assert_true(canp_sched_idle(sim.s));
		assert_int_equal(canp_sched_end(sim.s), end);
		assert_int_equal(canp_sched_frontier(sim.s), end);
		/* Every owner has consumed all of the units before the end, and nothing above. */
		for (uint32_t o = 0; o < sim.nr_shards; o++) {
			assert_int_equal(sim.sh[o].turn, end);
			assert_int_equal(sim.sh[o].consumed, 0);
		}
		for (uint32_t u = 0; u < end; u++)
			assert_true(sim.done[u]);
		assert_true(end == sim.nr_units || !sim.started[end]);
		dropped += sim.dropped;
		canp_sched_destroy(sim.s);
	}
	assert_true(dropped > 0);
}

static void skewed_homes_are_helped_by_all(void **state)
{
	(void)state;
	for (uint64_t run = 0; run < 40; run++) {
		sim_init(run, 2 + (uint32_t)run % (SIM_SHARDS - 1), 4, 1, 0);
		canp_sched_destroy(sim.s);
		sim.nr_units = SIM_UNITS;
		for (uint32_t u = 0; u < SIM_UNITS; u++) {
			sim.homes[u] = sim.nr_shards * 7; /* all on shard 0 */
			sim.pages[u] = 2;
		}
		for (uint32_t i = 0; i < sim.nr_shards; i++)
			sim.sh[i].slow = 1;
		assert_int_equal(canp_sched_create(sim.nr_shards, SIM_UNITS, sim.homes, &sim.s), 0);
		assert_true(sim_play());
		sim_check_complete();
		for (uint32_t i = 0; i < sim.nr_shards; i++)
			assert_true(sim.sh[i].started_any);
		assert_true(sim.foreign > SIM_UNITS / 4);
		canp_sched_destroy(sim.s);
	}
}

static int free_lanes(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < SIM_SHARDS; i++) {
		for (uint32_t j = 0; j < SIM_SHARDS; j++)
			free(sim.lanes[i][j].msgs);
	}
	return 0;
}

/* ---- small cases ---- */
static void bad_sizes_are_refused(void **state)
{
	uint32_t *homes = calloc((4u << 20) + 1, sizeof(*homes)), unit, ahead[2];
	struct canp_sched *s = NULL;

	(void)state;
	assert_non_null(homes);
	assert_int_equal(canp_sched_create(0, 1, homes, &s), -EINVAL);
	assert_int_equal(canp_sched_create(257, 1, homes, &s), -EINVAL);
	assert_int_equal(canp_sched_create(1, (4u << 20) + 1, homes, &s), -E2BIG);
	assert_null(s);
	assert_int_equal(canp_sched_create(3, 0, homes, &s), 0);
	assert_true(canp_sched_idle(s));
	assert_int_equal(canp_sched_claim(s, 2, &unit), -ENOENT);
	assert_int_equal(canp_sched_peek(s, 2, ahead, 2), 0);
	canp_sched_destroy(s);
	canp_sched_destroy(NULL);
	free(homes);
}

static void the_largest_job_fits(void **state)
{
	uint32_t nr = 4u << 20, *homes = calloc(nr, sizeof(*homes)), unit;
	struct canp_sched *s;

	(void)state;
	assert_non_null(homes);
	for (uint32_t u = 0; u < nr; u++)
		homes[u] = u;
	assert_int_equal(canp_sched_create(256, nr, homes, &s), 0);
	/* Every shard finds its own unit in each round; round 5 must wait for the frontier. */
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 256; i++) {
			assert_int_equal(canp_sched_claim(s, i, &unit), 0);
			assert_int_equal(unit, round * 256 + i);
		}
	}
	assert_int_equal(canp_sched_claim(s, 9, &unit), -EAGAIN);
	for (uint32_t u = 1; u < 1024; u++)
		assert_false(canp_sched_finish(s, u));
	assert_int_equal(canp_sched_frontier(s), 0);
	assert_int_equal(canp_sched_claim(s, 9, &unit), -EAGAIN);
	assert_true(canp_sched_finish(s, 0));
	assert_int_equal(canp_sched_frontier(s), 1024);
	assert_int_equal(canp_sched_claim(s, 9, &unit), 0);
	assert_int_equal(unit, 1024 + 9);
	canp_sched_destroy(s);
	free(homes);
}

static void stop_ends_claims_but_not_running_units(void **state)
{
	static const uint32_t homes[] = {0, 1, 0, 1, 0, 1, 0, 1};
	struct canp_sched *s;
	uint32_t a, b, c, ahead[2];

	(void)state;
	assert_int_equal(canp_sched_create(2, 8, homes, &s), 0);
	assert_int_equal(canp_sched_claim(s, 0, &a), 0); /* 0 */
	assert_int_equal(canp_sched_claim(s, 1, &b), 0); /* 1 */
	assert_int_equal(canp_sched_claim(s, 1, &c), 0); /* 3: unit 2 is shard 0's and stays free */
	assert_int_equal(c, 3);
	assert_false(canp_sched_stopped(s));
	assert_false(canp_sched_idle(s));
	assert_int_equal(canp_sched_end(s), 8);
	canp_sched_stop(s);
	assert_true(canp_sched_stopped(s));
	assert_int_equal(canp_sched_claim(s, 0, &a), -ENOENT);
	assert_int_equal(canp_sched_peek(s, 0, ahead, 2), 0);
	assert_int_equal(canp_sched_end(s), 2);
	assert_true(canp_sched_finish(s, 0));
	assert_false(canp_sched_finish(s, 3));
	assert_false(canp_sched_idle(s));
	assert_true(canp_sched_finish(s, 1));
	assert_true(canp_sched_idle(s));
	assert_int_equal(canp_sched_frontier(s), canp_sched_end(s));
	canp_sched_destroy(s);
}

static void look_ahead_stays_with_own_units_near_the_window(void **state)
{
	uint32_t homes[64], ahead[64], unit;
	struct canp_sched *s;

	(void)state;
	for (uint32_t u = 0; u < 64; u++)
		homes[u] = u < 32 ? u % 2 : 1;
	assert_int_equal(canp_sched_create(2, 64, homes, &s), 0);
	/* Window 8 and one more beyond: units 0..15, of which the even ones are shard 0's. */
	assert_int_equal(canp_sched_peek(s, 0, ahead, 64), 8);
	for (uint32_t k = 0; k < 8; k++)
		assert_int_equal(ahead[k], 2 * k);
	assert_int_equal(canp_sched_peek(s, 0, ahead, 0), 0);
	assert_int_equal(canp_sched_peek(s, 0, ahead, 3), 3);
	for (uint32_t u = 0; u < 48; u++) {
		assert_int_equal(canp_sched_claim(s, u < 32 ? u % 2 : 1, &unit), 0);
		assert_int_equal(unit, u);
		canp_sched_finish(s, u);
	}
	/* Shard 0 has nothing left of its own: one guess at what it will be given. */
	assert_int_equal(canp_sched_peek(s, 0, ahead, 64), 1);
	assert_int_equal(canp_sched_claim(s, 0, &unit), 0);
	assert_int_equal(unit, ahead[0]);
	canp_sched_destroy(s);
}

/* ---- threads ---- */
#define THREADS      4u
#define THREAD_UNITS 100000u

static struct canp_sched *ts;
static uint8_t times[THREAD_UNITS];
static uint32_t outside, done_units, moved_total;

struct worker {
	pthread_t th;
	unsigned shard;
	uint32_t stop_at; /* stops the schedule after that many own units; 0: never */
	uint32_t done;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	uint32_t unit, ahead[4];
	int rc;

	while ((rc = canp_sched_claim(ts, w->shard, &unit)) != -ENOENT) {
		if (rc == -EAGAIN) {
			sched_yield();
			continue;
		}
		__atomic_fetch_add(&times[unit], 1, __ATOMIC_RELAXED);
		/* The frontier only grows, so this bound is not stricter than the claim's. */
		if (unit >= canp_sched_frontier(ts) + 4 * THREADS)
			__atomic_fetch_add(&outside, 1, __ATOMIC_RELAXED);
		canp_sched_peek(ts, w->shard, ahead, 4);
		for (uint64_t spin = canp_hash_mix(unit) % 64; spin > 0; spin--)
			__asm__ volatile("" ::: "memory");
		if (canp_hash_mix(unit) % 97 == 0)
			sched_yield();
		if (canp_sched_finish(ts, unit))
			__atomic_fetch_add(&moved_total, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&done_units, 1, __ATOMIC_RELEASE);
		if (++w->done == w->stop_at)
			canp_sched_stop(ts);
	}
	return NULL;
}

static void run_threads(uint32_t stop_at)
{
	struct worker w[THREADS] = {0};
	uint32_t *homes = calloc(THREAD_UNITS, sizeof(*homes));

	assert_non_null(homes);
	/* Shard 0 is home to half of all units. */
	for (uint32_t u = 0; u < THREAD_UNITS; u++)
		homes[u] = u % 2 ? 0 : (uint32_t)canp_hash_mix(u);
	memset(times, 0, sizeof(times));
	outside = done_units = moved_total = 0;
	assert_int_equal(canp_sched_create(THREADS, THREAD_UNITS, homes, &ts), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i].shard = i;
		w[i].stop_at = i == 1 ? stop_at : 0;
		assert_int_equal(pthread_create(&w[i].th, NULL, worker_main, &w[i]), 0);
	}
	if (stop_at) {
		/* Idle is never announced before the last running unit is finished. */
		while (!canp_sched_idle(ts))
			sched_yield();
		uint32_t done = 0;

		for (uint32_t u = 0; u < THREAD_UNITS; u++)
			done += __atomic_load_n(&times[u], __ATOMIC_RELAXED);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(w[i].th, NULL);
		assert_int_equal(done, done_units);
	} else {
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(w[i].th, NULL);
	}
	free(homes);
}

static void threads_run_every_unit_once_inside_the_window(void **state)
{
	struct canp_sched_stats st;

	(void)state;
	run_threads(0);
	for (uint32_t u = 0; u < THREAD_UNITS; u++)
		assert_int_equal(times[u], 1);
	assert_int_equal(outside, 0);
	assert_int_equal(canp_sched_frontier(ts), THREAD_UNITS);
	assert_true(canp_sched_idle(ts));
	assert_in_range(moved_total, 1, THREAD_UNITS);
	canp_sched_stats(ts, &st);
	assert_int_equal(st.claims, THREAD_UNITS);
	assert_true(st.foreign_claims > 0 && st.foreign_claims < st.claims);
	canp_sched_destroy(ts);
}

static void threads_stop_and_come_to_rest(void **state)
{
	(void)state;
	for (uint32_t run = 1; run <= 20; run++) {
		uint32_t end;

		run_threads(run * 37);
		end = canp_sched_end(ts);
		assert_true(canp_sched_idle(ts));
		assert_int_equal(canp_sched_frontier(ts), end);
		for (uint32_t u = 0; u < THREAD_UNITS; u++)
			assert_true(u < end    ? times[u] == 1
				    : u == end ? times[u] == 0
					       : times[u] <= 1);
		canp_sched_destroy(ts);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(the_largest_job_fits),
		cmocka_unit_test(stop_ends_claims_but_not_running_units),
		cmocka_unit_test(look_ahead_stays_with_own_units_near_the_window),
		cmocka_unit_test(claims_follow_the_oracle_in_simulated_jobs),
		cmocka_unit_test(skewed_homes_are_helped_by_all),
		cmocka_unit_test(a_stopped_job_drains_to_its_end),
		cmocka_unit_test(one_slot_and_a_reserve_never_deadlock),
		cmocka_unit_test(without_the_reserve_jobs_deadlock),
		cmocka_unit_test(threads_run_every_unit_once_inside_the_window),
		cmocka_unit_test(threads_stop_and_come_to_rest),
	};

	return cmocka_run_group_tests(tests, NULL, free_lanes);
}
