/*
 * t_timer.c - the heap of deadlines against a plain sorted model, with seeds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/runtime/reactor.h"
#include "core/runtime/timer.h"

#define NR 200

static struct canp_timer *heap[NR];
static unsigned nr_heap;
static uint64_t ran_at[NR];
static unsigned nr_ran;

static void note_run(struct canp_timer *t)
{
	assert_true(nr_ran < NR);
	ran_at[nr_ran++] = t->deadline_ns;
}

static void check_heap(void)
{
	for (unsigned i = 0; i < nr_heap; i++) {
		assert_int_equal(heap[i]->heap_idx, i);
		if (i)
			assert_true(heap[(i - 1) / 2]->deadline_ns <= heap[i]->deadline_ns);
	}
}

static void test_runs_in_order_of_deadline(void **state)
{
	static struct canp_timer t[NR];

	(void)state;
	for (unsigned seed = 1; seed < 50; seed++) {
		unsigned due = 0;

		srand(seed);
		nr_heap = nr_ran = 0;
		for (unsigned i = 0; i < NR; i++) {
			t[i] = (struct canp_timer){.deadline_ns = (uint64_t)(rand() % 1000),
						   .fn = note_run};
			due += t[i].deadline_ns <= 500;
			assert_int_equal(canp_timer_heap_add(heap, &nr_heap, NR, &t[i]), 0);
		}
		check_heap();
		assert_int_equal(canp_timer_heap_run(heap, &nr_heap, 500), due);
		assert_int_equal(nr_ran, due);
		for (unsigned i = 1; i < nr_ran; i++)
			assert_true(ran_at[i - 1] <= ran_at[i]);
		assert_int_equal(nr_heap, NR - due);
		check_heap();
		assert_true(canp_timer_heap_next(heap, nr_heap) > 500);
	}
}

static void test_random_adds_moves_and_removals_keep_the_heap(void **state)
{
	static struct canp_timer t[NR]; /* zeroed nodes are not armed */

	(void)state;
	nr_heap = 0;
	for (unsigned seed = 1; seed < 20; seed++) {
		unsigned armed = 0;

		srand(seed);
		for (unsigned step = 0; step < 3000; step++) {
			struct canp_timer *x = &t[rand() % NR];
			bool was = canp_timer_heap_armed(heap, nr_heap, x);

			if (rand() % 3) {
				x->fn = note_run;
				/* A new deadline is written while the node may be armed. */
				x->deadline_ns = (uint64_t)(rand() % 100);
				assert_int_equal(canp_timer_heap_add(heap, &nr_heap, NR, x), 0);
				armed += !was;
			} else {
				x->deadline_ns = (uint64_t)(rand() % 100);
				canp_timer_heap_del(heap, &nr_heap, x);
				armed -= was;
			}
			assert_int_equal(nr_heap, armed);
			check_heap();
		}
		nr_ran = 0;
		canp_timer_heap_run(heap, &nr_heap, UINT64_MAX);
		assert_int_equal(nr_ran, armed);
		assert_int_equal(nr_heap, 0);
		assert_true(canp_timer_heap_next(heap, nr_heap) == UINT64_MAX);
	}
}

static void again(struct canp_timer *t)
{
	nr_ran++;
	assert_int_equal(canp_timer_heap_add(heap, &nr_heap, NR, t), 0);
}

static void drop_other(struct canp_timer *t)
{
	nr_ran++;
	canp_timer_heap_del(heap, &nr_heap, t->arg);
}

static void test_callbacks_may_rearm_and_cancel(void **state)
{
	struct canp_timer a = {.deadline_ns = 1, .fn = again},
			  b = {.deadline_ns = 3, .fn = note_run};
	struct canp_timer c = {.deadline_ns = 2, .fn = drop_other, .arg = &b};

	(void)state;
	nr_heap = nr_ran = 0;
	canp_timer_heap_add(heap, &nr_heap, NR, &a);
	/* Re-armed in the past: once per run, not for ever. */
	assert_int_equal(canp_timer_heap_run(heap, &nr_heap, 10), 1);
	assert_int_equal(canp_timer_heap_run(heap, &nr_heap, 10), 1);
	canp_timer_heap_del(heap, &nr_heap, &a);
	nr_ran = 0;
	canp_timer_heap_add(heap, &nr_heap, NR, &b);
	canp_timer_heap_add(heap, &nr_heap, NR, &c);
	assert_int_equal(canp_timer_heap_run(heap, &nr_heap, 10), 1);
	assert_int_equal(nr_ran, 1);
	assert_int_equal(nr_heap, 0);
}

static void test_full_heap_refuses(void **state)
{
	static struct canp_timer t[4];

	(void)state;
	nr_heap = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(canp_timer_heap_add(heap, &nr_heap, 3, &t[i]), 0);
	assert_int_equal(canp_timer_heap_add(heap, &nr_heap, 3, &t[3]), -ENOSPC);
	assert_int_equal(canp_timer_heap_add(heap, &nr_heap, 3, &t[1]), 0); /* a move, not an add */
	assert_int_equal(nr_heap, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_in_order_of_deadline),
		cmocka_unit_test(test_random_adds_moves_and_removals_keep_the_heap),
		cmocka_unit_test(test_callbacks_may_rearm_and_cancel),
		cmocka_unit_test(test_full_heap_refuses),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
