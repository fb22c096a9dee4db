/*
 * t_mem_limit.c - the limit of the memory pool to the byte, the warning below it, all-or-nothing
 * batches at it, and those who wait for memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/units.h"
#include "numa/mem.h"
#include "tests/lib/mem_help.h"

static unsigned warned;
static uint64_t warned_at, warned_limit;
static struct canp_mem *warned_mem;

static void on_warning(void *arg, uint64_t at, uint64_t limit)
{
	struct canp_mem_stats st;

	*(unsigned *)arg += 1;
	warned_at = at;
	warned_limit = limit;
	if (warned_mem) /* the pool may be used from here */
		canp_mem_stats(warned_mem, &st);
}

static struct canp_mem *mem_new(uint64_t limit, double threshold)
{
	struct canp_mem_opts o = {.hugepages = CANP_HUGE_OFF,
				  .node = -1,
				  .max_total_memory = limit,
				  .memory_warning_threshold = threshold,
				  .warning = on_warning,
				  .warning_arg = &warned};
	struct canp_mem *m = NULL;

	warned = 0;
	assert_int_equal(canp_mem_create(&o, &m), 0);
	return m;
}

static uint64_t allocs(struct canp_mem *m)
{
	struct canp_mem_stats st;

	canp_mem_stats(m, &st);
	return st.total_allocations;
}

static void A16_batch_is_atomic(void **state)
{
	size_t sizes[64];
	struct canp_block *held[64], *b[64], *rest;
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct canp_mem_stats before, after;

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		sizes[i] = 8192;
	/* Half is taken and a little more; so 63 more fit, the last one does not. */
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 64, held), 0);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 512, &rest), 0);
	canp_mem_stats(m, &before);
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 64, b), -ENOMEM);
	canp_mem_stats(m, &after);
	assert_int_equal(after.current_memory_usage, before.current_memory_usage);
	assert_int_equal(after.peak_memory_usage, before.peak_memory_usage);
	assert_int_equal(after.total_allocations, before.total_allocations);
	assert_int_equal(after.total_deallocations, before.total_deallocations);
	assert_int_equal(after.refused, before.refused + 1);
	/* A batch that could never fit, and one with a bad size at its end. */
	sizes[63] = CANP_MIB;
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 64, b), -E2BIG);
	sizes[63] = 0;
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 64, b), -EINVAL);
	assert_int_equal(usage(m), before.current_memory_usage);
	canp_mem_release(m, rest);
	sizes[63] = 8192;
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 64, b), 0);
	assert_int_equal(usage(m), CANP_MIB);
	canp_mem_release_batch(m, b, 64);
	canp_mem_release_batch(m, held, 64);
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

/* As A16, where some of the batch is in the magazine and some is not. */
static void A16_half_a_hit_is_undone(void **state)
{
	static const size_t sizes[] = {1, 1, 600, 1, 20 * 1024 * 1024};
	struct canp_mem *m = mem_new(24 * CANP_MIB, 0.8);
	struct canp_block *b[5], *big;
	struct canp_mem_stats st;

	(void)state;
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 16 * CANP_MIB, &big), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 5, b), -E2BIG);
		assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes + 1, 3, b), 0);
		canp_mem_release_batch(m, b, 3);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.current_memory_usage, 16 * CANP_MIB);
	assert_int_equal(st.total_allocations, 10);
	assert_int_equal(st.tier[CANP_MEM_BLOCK].hits, 6);
	canp_mem_release(m, big);
	canp_mem_destroy(m);
}

static void A25_the_limit_holds_to_the_byte(void **state)
{
	/* Sizes of classes and of large blocks that make up the limit in many ways. */
	static const size_t sizes[] = {512, 1024, 8192, 256, 65536, 2048, 1 << 20};
	enum { MAX = 20000 };
	struct canp_block **b = calloc(MAX, sizeof(*b)), *more;
	struct canp_mem *m = mem_new(16 * CANP_MIB, 0.8);
	uint64_t seed = 3;

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		uint64_t sum = 0;
		unsigned n = 0;

		while (sum < 16 * CANP_MIB) {
			size_t size = sizes[canp_hash_mix(seed++) % 7];
			enum canp_mem_tier t = size == 256 ? CANP_MEM_FRAME : CANP_MEM_BLOCK;
			int rc = canp_mem_alloc(m, t, size, &b[n]);

			assert_int_equal(rc, sum + size <= 16 * CANP_MIB ? 0 : -ENOMEM);
			if (rc)
				continue;
			sum += size;
			n++;
			assert_true(n < MAX);
		}
		assert_int_equal(usage(m), 16 * CANP_MIB);
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_FRAME, 1, &more), -ENOMEM);
		assert_int_equal(canp_mem_release(m, b[--n]), 0);
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_FRAME, 1, &b[n++]), 0);
		while (n)
			assert_int_equal(canp_mem_release(m, b[--n]), 0);
		assert_int_equal(usage(m), 0);
	}
	canp_mem_destroy(m);
	free(b);
}

static void A25_one_gibibyte_is_the_default(void **state)
{
	struct canp_block *b[4], *one;
	struct canp_mem *m = mem_new(0, 0);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 256 * CANP_MIB, &b[i]), 0);
	assert_int_equal(usage(m), CANP_GIB);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1, &one), -ENOMEM);
	canp_mem_release(m, b[2]);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1, &one), 0);
	canp_mem_release(m, one);
	b[2] = b[3];
	canp_mem_release_batch(m, b, 3);
	canp_mem_destroy(m);
}

static void A26_crossing_the_threshold_warns_once(void **state)
{
	struct canp_block *b[128];
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct canp_mem_stats st;

	(void)state;
	warned_mem = m;
	for (unsigned round = 1; round <= 3; round++) {
		/* 102 x 8 KiB are below 80 % of 1 MiB (838860), 103 are above. */
		for (unsigned i = 0; i < 128; i++) {
			assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 8192, &b[i]), 0);
			assert_int_equal(warned, i < 102 ? round - 1 : round);
		}
		assert_int_equal(warned_at, 103 * 8192);
		assert_int_equal(warned_limit, CANP_MIB);
		/* Up and down above it: no new warning. */
		canp_mem_release(m, b[127]);
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 8192, &b[127]), 0);
		assert_int_equal(warned, round);
		canp_mem_release_batch(m, b, 128);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.warnings, 3);
	warned_mem = NULL;
	canp_mem_destroy(m);
}

/* Just below the threshold is far enough to fire again. */
static void A26_it_rearms_just_below(void **state)
{
	struct canp_block *b[103];
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);

	(void)state;
	for (unsigned i = 0; i < 103; i++)
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 8192, &b[i]), 0);
	for (unsigned i = 2; i < 10; i++) {
		canp_mem_release(m, b[102]);
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 8192, &b[102]), 0);
		assert_int_equal(warned, i);
	}
	canp_mem_release_batch(m, b, 103);
	canp_mem_destroy(m);
}

static void A33_peak_at_the_limit_is_exact(void **state)
{
	struct canp_block *b[200];
	struct canp_mem *m = mem_new(CANP_MIB, 0.5);
	struct canp_mem_stats st;
	unsigned n = 0;

	(void)state;
	while (canp_mem_alloc(m, CANP_MEM_BLOCK, 8192, &b[n]) == 0)
		n++;
	assert_int_equal(n, 128);
	canp_mem_release_batch(m, b, n);
	canp_mem_stats(m, &st);
	assert_int_equal(st.peak_memory_usage, CANP_MIB);
	canp_mem_destroy(m);
}

/* ---- waiting ---- */

struct waiter {
	struct canp_mem_wait w;
	struct canp_block *b[3];
	unsigned order, calls;
	int err;
};

static unsigned served;

static void on_ready(struct canp_mem_wait *w, int err)
{
	struct waiter *x = w->arg;

	x->err = err;
	x->calls++;
	x->order = served++;
}

static int wait_start(struct canp_mem *m, struct waiter *x, const size_t *sizes, unsigned n)
{
	memset(x, 0, sizeof(*x));
	x->w = (struct canp_mem_wait){.tier = CANP_MEM_BLOCK,
				      .n = n,
				      .bytes = sizes,
				      .blocks = x->b,
				      .ready = on_ready,
				      .arg = x};
	return canp_mem_alloc_wait(m, &x->w);
}

static void A17_waits_at_the_limit_and_gets_what_is_released(void **state)
{
	static const size_t half[] = {512 * 1024};
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct canp_block *a, *b, *c;
	struct canp_mem_stats st;
	struct waiter x;

	(void)state;
	assert_int_equal(wait_start(m, &x, half, 1), 0); /* there is room: at once */
	assert_int_equal(x.calls, 0);
	a = x.b[0];
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 512 * 1024, &b), 0);
	assert_int_equal(wait_start(m, &x, half, 1), -EINPROGRESS);
	assert_int_equal(x.calls, 0);
	/* Who comes later does not overtake, though a little would fit. */
	canp_mem_release(m, a);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.err, 0);
	assert_int_equal(canp_block_capacity(x.b[0]), 512 * 1024);
	assert_int_equal(usage(m), CANP_MIB);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1, &c), -ENOMEM);
	canp_mem_stats(m, &st);
	assert_int_equal(st.waits, 1);
	assert_false(canp_mem_alloc_cancel(m, &x.w));
	canp_mem_release(m, x.b[0]);
	canp_mem_release(m, b);
	assert_int_equal(usage(m), 0);
	/* Nobody waits any more: small requests work. */
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1, &c), 0);
	canp_mem_release(m, c);
	canp_mem_destroy(m);
}

static void A17_cancel_ends_the_wait(void **state)
{
	static const size_t all[] = {1024 * 1024}, bit[] = {512};
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct canp_block *a;
	struct waiter x, y;

	(void)state;
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1024, &a), 0);
	assert_int_equal(wait_start(m, &x, all, 1), -EINPROGRESS);
	assert_int_equal(wait_start(m, &y, bit, 1), -EINPROGRESS); /* behind x */
	assert_int_equal(y.calls, 0);
	assert_true(canp_mem_alloc_cancel(m, &x.w));
	assert_false(canp_mem_alloc_cancel(m, &x.w));
	assert_int_equal(x.calls, 0);
	/* x was what kept y waiting. */
	assert_int_equal(y.calls, 1);
	assert_int_equal(y.err, 0);
	canp_mem_release(m, a);
	canp_mem_release(m, y.b[0]);
	assert_int_equal(x.calls, 0);
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

static void A17_bad_requests_do_not_wait(void **state)
{
	static const size_t zero[] = {0}, huge[] = {2 * 1024 * 1024};
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct waiter x;

	(void)state;
	assert_int_equal(wait_start(m, &x, zero, 1), -EINVAL);
	assert_int_equal(wait_start(m, &x, huge, 1), -E2BIG);
	assert_int_equal(wait_start(m, &x, huge, 0), -EINVAL);
	assert_int_equal(x.calls, 0);
	canp_mem_destroy(m);
}

static void A18_a_batch_waits_for_all_of_it(void **state)
{
	static const size_t three[] = {262144, 131072, 131072}, one[] = {512};
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct canp_block *a[4];
	uint64_t before;
	struct waiter x, y;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 262144, &a[i]), 0);
	served = 0;
	assert_int_equal(wait_start(m, &x, three, 3), -EINPROGRESS);
	assert_int_equal(wait_start(m, &y, one, 1), -EINPROGRESS);
	before = allocs(m);
	canp_mem_release(m, a[0]); /* half of what x needs: nothing is taken */
	assert_int_equal(x.calls + y.calls, 0);
	assert_int_equal(allocs(m), before);
	assert_int_equal(usage(m), 3 * 262144);
	canp_mem_release(m, a[1]);
	assert_int_equal(x.calls, 1);
	assert_int_equal(y.calls, 0);
	assert_int_equal(allocs(m), before + 3);
	assert_int_equal(usage(m), CANP_MIB);
	assert_int_equal(canp_mem_release_batch(m, x.b, 3), 0);
	assert_int_equal(y.calls, 1);
	assert_int_equal(x.order, 0);
	assert_int_equal(y.order, 1);
	canp_mem_release(m, y.b[0]);
	canp_mem_release_batch(m, a + 2, 2);
	canp_mem_destroy(m);
}

/* Each waiter gives back what it got at once: served by one loop, not by recursion. */
static struct canp_mem *chain_mem;

static void on_chain(struct canp_mem_wait *w, int err)
{
	on_ready(w, err);
	canp_mem_release(chain_mem, w->blocks[0]);
}

static void A17_a_long_chain_of_waiters_needs_no_stack(void **state)
{
	static const size_t all[] = {1024 * 1024};
	enum { N = 100000 };
	struct waiter *x = calloc(N, sizeof(*x));
	struct canp_mem *m = mem_new(CANP_MIB, 0.8);
	struct canp_block *a;

	(void)state;
	chain_mem = m;
	served = 0;
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1024 * 1024, &a), 0);
	for (unsigned i = 0; i < N; i++) {
		x[i].w = (struct canp_mem_wait){.tier = CANP_MEM_BLOCK,
						.n = 1,
						.bytes = all,
						.blocks = x[i].b,
						.ready = on_chain,
						.arg = &x[i]};
		assert_int_equal(canp_mem_alloc_wait(m, &x[i].w), -EINPROGRESS);
	}
	canp_mem_release(m, a);
	assert_int_equal(served, N);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(x[i].order, i);
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
	free(x);
}

/* Faults injected into a request make it wait, not hang. */
static void A36_an_injected_fault_does_not_stop_a_waiter(void **state)
{
	static const size_t one[] = {512};
	struct canp_mem_opts o = {.max_total_memory = CANP_MIB, .fail_every = 1, .node = -1};
	struct canp_mem *m = NULL;
	struct waiter x;

	(void)state;
	assert_int_equal(canp_mem_create(&o, &m), 0);
	assert_int_equal(wait_start(m, &x, one, 1), -EINPROGRESS);
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.err, 0);
	canp_mem_release(m, x.b[0]);
	canp_mem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A16_batch_is_atomic),
		cmocka_unit_test(A16_half_a_hit_is_undone),
		cmocka_unit_test(A17_waits_at_the_limit_and_gets_what_is_released),
		cmocka_unit_test(A17_cancel_ends_the_wait),
		cmocka_unit_test(A17_bad_requests_do_not_wait),
		cmocka_unit_test(A17_a_long_chain_of_waiters_needs_no_stack),
		cmocka_unit_test(A18_a_batch_waits_for_all_of_it),
		cmocka_unit_test(A25_the_limit_holds_to_the_byte),
		cmocka_unit_test(A25_one_gibibyte_is_the_default),
		cmocka_unit_test(A26_crossing_the_threshold_warns_once),
		cmocka_unit_test(A26_it_rearms_just_below),
		cmocka_unit_test(A33_peak_at_the_limit_is_exact),
		cmocka_unit_test(A36_an_injected_fault_does_not_stop_a_waiter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
