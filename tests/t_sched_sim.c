/*
 * t_sched_sim.c - whole jobs in a simulation, every claim compared with a naive oracle.
 *
 * The simulation is a model of the machine: shards that run one unit at a time, page slots from
 * real pools with a reserve for the frontier unit, lanes that deliver late and in any order among
 * each other, and owners that consume pages strictly in unit order. Who acts next is drawn from a
 * seed. A unit is finished when its last page was sent, or (late) when all owners have consumed it:
 * the scheduler must do with either. When a sweep over all actors changes nothing while work is
 * left, the job is deadlocked; the same simulation without the reserve shows that this is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
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

enum msg_kind { MSG_PAGE, MSG_END, MSG_RETURN, MSG_CONSUMED };

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
	bool stopped, late;
	uint32_t claimer[SIM_UNITS], acks[SIM_UNITS];
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
	uint32_t nr_free[SIM_SHARDS] = {0}, best = NONE, low = NONE;
	uint32_t f = frontier_oracle(), limit = f + 4 * sim.nr_shards;

	*rc = sim.stopped ? -ENOENT : 0;
	if (sim.stopped)
		return NONE;
	for (uint32_t u = f; u < sim.nr_units && u < limit; u++) {
		if (sim.started[u])
			continue;
		if (low == NONE)
			low = u;
		if (sim.homes[u] % sim.nr_shards == shard)
			return u - low > 2 * sim.nr_shards ? low : u;
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
	sim.claimer[got] = i;
	x->unit = got;
	x->seq = 0;
	x->pause = rnd(6);
	memset(x->sent, 0, sizeof(x->sent));
	return true;
}

static void unit_finish(uint32_t u)
{
	uint32_t before = frontier_oracle();
	bool moved;

	assert_false(sim.done[u]);
	sim.done[u] = 1;
	moved = canp_sched_finish(sim.s, u);
	assert_int_equal(moved, frontier_oracle() != before);
	assert_int_equal(canp_sched_frontier(sim.s), frontier_oracle());
}

static void shard_finish(uint32_t i)
{
	struct sim_shard *x = &sim.sh[i];

	/* Pages first, then the end, on the same lanes: the owner knows that nothing is missing. */
	for (uint32_t o = 0; o < sim.nr_shards; o++)
		lane_push(i, o, (struct msg){.kind = MSG_END, .unit = x->unit, .seq = x->sent[o]});
	if (!sim.late)
		unit_finish(x->unit);
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
		lane_push(o, sim.claimer[u], (struct msg){.kind = MSG_CONSUMED, .unit = u});
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
	case MSG_CONSUMED:
		if (++sim.acks[m.unit] == sim.nr_shards && sim.late)
			unit_finish(m.unit);
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
	sim.late = with_seed / SIM_SHARDS % 2;
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
		sim.late = false; /* units above the end are never consumed */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_follow_the_oracle_in_simulated_jobs),
		cmocka_unit_test(skewed_homes_are_helped_by_all),
		cmocka_unit_test(a_stopped_job_drains_to_its_end),
		cmocka_unit_test(one_slot_and_a_reserve_never_deadlock),
		cmocka_unit_test(without_the_reserve_jobs_deadlock),
	};

	return cmocka_run_group_tests(tests, NULL, free_lanes);
}
