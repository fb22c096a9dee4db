/*
 * t_sched_rows.c - what the scheduler promises about whole jobs, played with the real claims and a
 * clock that is counted: how long a job takes beside the bound of "longest first", who helps whom,
 * what a slow shard costs. Time is bytes of input; nothing here looks at a real clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/units.h"
#include "core/runtime/balance.h"
#include "core/runtime/sched.h"
#include "io/unit.h"

#define FILES_MAX 4000u
#define SHARDS    16u

struct play {
	unsigned nr_shards;
	double speed[SHARDS];   /* 1: a byte takes a tick */
	double done_at[SHARDS]; /* when the unit under way ends; INFINITY: none */
	uint32_t unit[SHARDS];
	uint64_t bytes[SHARDS]; /* worked through */
	double now;
	struct canp_sched_stats st;
};

static uint64_t sizes[FILES_MAX];
static char names[FILES_MAX][16];

static struct canp_unit_file file_of(void *arg, uint32_t i)
{
	(void)arg;
	return (struct canp_unit_file){.path = names[i], .size = sizes[i]};
}

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Every idle shard claims, then time goes on to the next end of a unit. */
static void play_out(struct play *p, struct canp_sched *s, const struct canp_units *u)
{
	for (unsigned i = 0; i < p->nr_shards; i++)
		p->done_at[i] = INFINITY;
	for (;;) {
		unsigned first = 0;

		for (unsigned i = 0; i < p->nr_shards; i++) {
			if (!isinf(p->done_at[i]) || canp_sched_claim(s, i, &p->unit[i]))
				continue;
			p->done_at[i] = p->now + (double)u->units[p->unit[i]].bytes / p->speed[i];
			p->bytes[i] += u->units[p->unit[i]].bytes;
		}
		for (unsigned i = 1; i < p->nr_shards; i++)
			first = p->done_at[i] < p->done_at[first] ? i : first;
		if (isinf(p->done_at[first]))
			break;
		p->now = p->done_at[first];
		p->done_at[first] = INFINITY;
		canp_sched_finish(s, p->unit[first]);
	}
	assert_true(canp_sched_idle(s));
	assert_int_equal(canp_sched_frontier(s), u->nr);
	canp_sched_stats(s, &p->st);
	assert_int_equal(p->st.claims, u->nr);
}

/* Plays the job over sizes[0..nr) in that order; home UINT32_MAX: as the units are routed. */
static struct play play(uint32_t nr, unsigned nr_shards, uint32_t home, double slow)
{
	struct play p = {.nr_shards = nr_shards};
	struct canp_units u;
	struct canp_sched *s;
	uint32_t *homes;

	for (unsigned i = 0; i < nr_shards; i++)
		p.speed[i] = i == 0 ? slow : 1;
	for (uint32_t i = 0; i < nr; i++)
		snprintf(names[i], sizeof(names[i]), "log_%05u", i);
	assert_int_equal(canp_units_build(nr, file_of, NULL, 0, &u), 0);
	homes = calloc(u.nr, sizeof(*homes));
	assert_non_null(homes);
	canp_units_route(&u, nr_shards, homes);
	for (uint32_t i = 0; i < u.nr && home != UINT32_MAX; i++)
		homes[i] = home;
	assert_int_equal(canp_sched_create(nr_shards, u.nr, homes, &s), 0);
	canp_sched_set_window(s, canp_units_window(&u, nr_shards, 4 * nr_shards, UINT32_MAX));
	play_out(&p, s, &u);
	canp_sched_destroy(s);
	canp_units_fini(&u);
	free(homes);
	return p;
}

/* Longest first to whoever is free, without units, window and homes; never below what any schedule
 * needs. */
static double lpt(uint32_t nr, unsigned nr_shards)
{
	double load[SHARDS] = {0}, most = 0;

	qsort(sizes, nr, sizeof(sizes[0]), descending);
	for (uint32_t i = 0; i < nr; i++) {
		unsigned least = 0;

		for (unsigned k = 1; k < nr_shards; k++)
			least = load[k] < load[least] ? k : least;
		load[least] += (double)sizes[i];
	}
	for (unsigned k = 0; k < nr_shards; k++)
		most = load[k] > most ? load[k] : most;
	return most;
}

static double uniform(uint64_t seed)
{
	return ((double)(canp_hash_mix(seed) >> 11) + 0.5) / 9007199254740992.0;
}

enum skew { ZIPF, LOGNORMAL, PARETO, HALF_IN_ONE_TENTH, ONE_HUGE, EQUAL, SKEWS };
static const char *const skew_names[] = {"zipf",  "lognormal", "pareto",
					 "80/20", "one huge",  "equal"};

static void make_sizes(enum skew skew, uint32_t nr, uint64_t seed)
{
	for (uint32_t i = 0; i < nr; i++) {
		double u = uniform(seed * 100003 + i), v = uniform(seed * 7919 + i + 1000000);
		double s = 15e6;

		if (skew == ZIPF)
			s = 4e9 / (i + 1);
		else if (skew == LOGNORMAL)
			s = 15e6 * exp(1.5 * sqrt(-2 * log(u)) * cos(2 * M_PI * v));
		else if (skew == PARETO)
			s = 2e6 * pow(u, -1 / 1.2);
		else if (skew == HALF_IN_ONE_TENTH)
			s = u < 0.2 ? 60e6 : 3.75e6;
		else if (skew == ONE_HUGE && i == 0)
			s = 15e6 * nr / 2;
		sizes[i] = (uint64_t)(s < 1000 ? 1000 : s > 30e9 ? 30e9 : s);
	}
}

static void C02_largest_first_is_within_a_tenth_of_the_bound(void **state)
{
	static const unsigned shards[] = {1, 2, 4, 8, 16};
	static const uint32_t files[] = {60, 500, 4000};

	(void)state;
	for (int skew = 0; skew < SKEWS; skew++) {
		double worst = 0;

		for (uint64_t run = 0; run < 15 * 4; run++) {
			unsigned n = shards[run % 5];
			uint32_t nr = files[run / 5 % 3];
			double bound, ratio;

			make_sizes((enum skew)skew, nr, run);
			bound = lpt(nr, n);
			ratio = play(nr, n, UINT32_MAX, 1).now / bound;
			worst = fmax(worst, ratio);
		}
		print_message("%s: at most %.3f of longest-first\n", skew_names[skew], worst);
		assert_true(worst <= 1.1);
	}
}

static void C02_routing_is_a_function_of_the_listing(void **state)
{
	struct canp_units u;
	uint32_t *a, *b;

	(void)state;
	make_sizes(LOGNORMAL, 1000, 7);
	for (uint32_t i = 0; i < 1000; i++)
		snprintf(names[i], sizeof(names[i]), "log_%05u", i);
	assert_int_equal(canp_units_build(1000, file_of, NULL, 0, &u), 0);
	a = calloc(u.nr, sizeof(*a));
	b = calloc(u.nr, sizeof(*b));
	for (unsigned n = 1; n <= SHARDS; n++) {
		uint32_t per[SHARDS] = {0};

		memset(b, 0xff, u.nr * sizeof(*b));
		canp_units_route(&u, n, a);
		canp_units_route(&u, n, b);
		assert_memory_equal(a, b, u.nr * sizeof(*a));
		for (uint32_t i = 0; i < u.nr; i++) {
			assert_true(a[i] < n);
			per[a[i]]++;
		}
		/* Bounded load: nobody is home to more than one unit above another's. */
		for (unsigned k = 1; k < n; k++)
			assert_in_range(per[k] + 1, per[0], per[0] + 2);
	}
	free(a);
	free(b);
	canp_units_fini(&u);
}

static void C03_C25_all_files_of_one_core_are_shared(void **state)
{
	(void)state;
	for (uint64_t run = 0; run < 20; run++) {
		struct play p;
		uint64_t all = 0;

		make_sizes(EQUAL, 400, run);
		for (uint32_t i = 0; i < 400; i++)
			all += sizes[i];
		p = play(400, 2, 0, 1);
		assert_int_equal(p.bytes[0] + p.bytes[1], all);
		assert_true((double)p.bytes[1] >= 0.4 * (double)all);
		assert_true(p.st.foreign_claims > 0);
		/* The other core has files of its own: then nobody needs to help. */
		p = play(400, 2, UINT32_MAX, 1);
		assert_true(p.st.foreign_claims <= 2);
	}
}

static void C32_a_slow_core_costs_no_more_than_its_share(void **state)
{
	/* To a quarter: the window holds four units a shard. */
	static const double speeds[] = {0.9, 0.5, 0.33, 0.25};

	(void)state;
	for (uint64_t run = 0; run < 40; run++) {
		unsigned n = 2 + (unsigned)(run % 4) * 2;
		double all = 0, ideal, slow = speeds[run / 4 % 4];
		struct play p;

		make_sizes(EQUAL, FILES_MAX, run);
		for (uint32_t i = 0; i < FILES_MAX; i++)
			all += (double)sizes[i];
		ideal = all / (n - 1 + slow);
		p = play(FILES_MAX, n, UINT32_MAX, slow);
		assert_true(p.now <= 1.2 * ideal);
		if (slow <= 0.5)
			assert_true(p.st.foreign_claims > 0);
	}
}

/* ---- threads ---- */

#define ITEMS   2000000u
#define THREADS 4u

static struct canp_sched *shared;
static uint8_t times[ITEMS];

static void *worker(void *arg)
{
	unsigned shard = (unsigned)(uintptr_t)arg;
	uint32_t unit;
	int rc;

	while ((rc = canp_sched_claim(shared, shard, &unit)) != -ENOENT) {
		if (rc == -EAGAIN) {
			sched_yield();
			continue;
		}
		times[unit]++; /* not atomic: two at once would be a race to be reported */
		canp_sched_finish(shared, unit);
	}
	return NULL;
}

static void C25_two_million_items_are_stolen_and_none_runs_twice(void **state)
{
	uint32_t *homes = calloc(ITEMS, sizeof(*homes));
	struct canp_sched_stats st;
	pthread_t th[THREADS];

	(void)state;
	assert_non_null(homes);
	for (uint32_t i = 0; i < ITEMS; i++)
		homes[i] = i % 3; /* the last thread has none of its own */
	assert_int_equal(canp_sched_create(THREADS, ITEMS, homes, &shared), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&th[i], NULL, worker, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	for (uint32_t i = 0; i < ITEMS; i++)
		if (times[i] != 1)
			fail_msg("item %u ran %u times", i, times[i]);
	canp_sched_stats(shared, &st);
	assert_int_equal(st.claims, ITEMS);
	assert_true(st.foreign_claims > 0);
	canp_sched_destroy(shared);
	free(homes);
}

/* ---- the load balancer ---- */

static void C26_the_least_loaded_worker_is_selected(void **state)
{
	struct canp_balance_sample w[SHARDS];

	(void)state;
	for (uint64_t run = 0; run < 20000; run++) {
		unsigned nr = 1 + (unsigned)(canp_hash_mix(run) % SHARDS), got;
		unsigned home = (unsigned)(canp_hash_mix(run + 1) % nr);

		for (unsigned i = 0; i < nr; i++) {
			uint64_t x = canp_hash_mix(run * SHARDS + i);

			w[i] = (struct canp_balance_sample){
				.queue_depth = x % 4, .busy = x >> 8 & 0x3ff, .stamp_ns = 1000};
		}
		got = canp_balance_select(w, nr, home, 1000, 0);
		assert_true(got < nr);
		for (unsigned i = 0; i < nr; i++) {
			double a = w[got].queue_depth + fmin(w[got].busy, 1000) / 1000;
			double b = w[i].queue_depth + fmin(w[i].busy, 1000) / 1000;

			assert_true(a <= b);
			/* Of equals the first one from home on. */
			if (a == b)
				assert_true((got + nr - home) % nr <= (i + nr - home) % nr);
		}
	}
}

static void C26_ties_stay_at_home_and_stale_samples_say_nothing(void **state)
{
	struct canp_balance_sample w[4] = {0};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		w[i] = (struct canp_balance_sample){.queue_depth = 3, .busy = 500, .stamp_ns = 900};
	for (unsigned home = 0; home < 4; home++)
		assert_int_equal(canp_balance_select(w, 4, home, 1000, 100), home);
	assert_int_equal(canp_balance_select(w, 4, 6, 1000, 100), 2);
	w[1].queue_depth = 0;
	assert_int_equal(canp_balance_select(w, 4, 3, 1000, 100), 1);
	w[1].stamp_ns = 899; /* it was idle, but that is too long ago */
	assert_int_equal(canp_balance_select(w, 4, 3, 1000, 100), 3);
	assert_int_equal(canp_balance_select(w, 4, 3, 1000, UINT64_MAX), 1);
	w[1].stamp_ns = 1100; /* from a clock that was read later than ours */
	assert_int_equal(canp_balance_select(w, 4, 3, 1000, 100), 1);
	assert_int_equal(canp_balance_select(w, 4, 2, 100000, 100), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C02_largest_first_is_within_a_tenth_of_the_bound),
		cmocka_unit_test(C02_routing_is_a_function_of_the_listing),
		cmocka_unit_test(C03_C25_all_files_of_one_core_are_shared),
		cmocka_unit_test(C32_a_slow_core_costs_no_more_than_its_share),
		cmocka_unit_test(C25_two_million_items_are_stolen_and_none_runs_twice),
		cmocka_unit_test(C26_the_least_loaded_worker_is_selected),
		cmocka_unit_test(C26_ties_stay_at_home_and_stale_samples_say_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
