/*
 * t_command_queue.c - the queue alone: order, bounds, batches, many threads.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/command/cmd_queue.h"

#define PER    100000u
#define MAKERS 3u
#define TAKERS 3u

static void E16_fifo_bounded_and_all_or_none(void **state)
{
	struct canp_cmd_queue *q = canp_cmd_queue_create(8);
	uint32_t v[16], got;

	(void)state;
	for (uint32_t i = 0; i < 16; i++)
		v[i] = 100 + i;
	for (unsigned round = 0; round < 100; round++) {
		assert_int_equal(canp_cmd_queue_count(q), 0);
		assert_false(canp_cmd_queue_pop(q, &got));
		assert_true(canp_cmd_queue_push(q, v, 5));
		assert_false(canp_cmd_queue_push(q, v + 5, 4));
		assert_true(canp_cmd_queue_push(q, v + 5, 3));
		assert_false(canp_cmd_queue_push(q, v, 1));
		assert_int_equal(canp_cmd_queue_count(q), 8);
		for (uint32_t i = 0; i < 8; i++) {
			assert_true(canp_cmd_queue_pop(q, &got));
			assert_int_equal(got, 100 + i);
		}
		assert_false(canp_cmd_queue_push(q, v, 9));
		assert_true(canp_cmd_queue_push(q, v, 0));
	}
	canp_cmd_queue_destroy(q);
}

static struct canp_cmd_queue *shared;
static uint32_t made, taken;
static unsigned char seen[MAKERS * PER];

static void *maker(void *arg)
{
	uint32_t base = (uint32_t)(uintptr_t)arg * PER, v[7];
	unsigned seed = base;

	for (uint32_t i = 0; i < PER;) {
		uint32_t n = 1 + (uint32_t)rand_r(&seed) % 7;

		n = n > PER - i ? PER - i : n;
		for (uint32_t k = 0; k < n; k++)
			v[k] = base + i + k;
		while (!canp_cmd_queue_push(shared, v, n))
			sched_yield();
		i += n;
		__atomic_fetch_add(&made, n, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *taker(void *arg)
{
	uint32_t last[MAKERS] = {0}, v;

	(void)arg;
	while (__atomic_load_n(&taken, __ATOMIC_RELAXED) < MAKERS * PER) {
		if (!canp_cmd_queue_pop(shared, &v)) {
			sched_yield();
			continue;
		}
		/* What one maker pushed one taker sees in order. */
		assert_true(v < MAKERS * PER);
		assert_true(v % PER + 1 > last[v / PER]);
		last[v / PER] = v % PER + 1;
		__atomic_fetch_add(&seen[v], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void E17_many_producers_and_consumers_lose_nothing(void **state)
{
	pthread_t t[MAKERS + TAKERS];

	(void)state;
	shared = canp_cmd_queue_create(64);
	for (unsigned i = 0; i < MAKERS + TAKERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i < MAKERS ? maker : taker,
						(void *)(uintptr_t)i),
				 0);
	for (unsigned i = 0; i < MAKERS + TAKERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(made, MAKERS * PER);
	for (unsigned i = 0; i < MAKERS * PER; i++)
		assert_int_equal(seen[i], 1);
	canp_cmd_queue_destroy(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(E16_fifo_bounded_and_all_or_none),
		cmocka_unit_test(E17_many_producers_and_consumers_lose_nothing),
	};

	return cmocka_run_group_tests_name("command queue", tests, NULL, NULL);
}
