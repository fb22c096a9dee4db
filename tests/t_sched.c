/*
 * t_sched.c - the scheduler in small cases and under threads. Whole jobs are in t_sched_sim.c.
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

#include "core/base/hash.h"
#include "core/runtime/sched.h"

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
		cmocka_unit_test(threads_run_every_unit_once_inside_the_window),
		cmocka_unit_test(threads_stop_and_come_to_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
