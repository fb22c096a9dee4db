/*
 * t_spsc.c - the pointer ring: order, batches, full and empty, wrap of the indices, and a million
 * pointers between two threads (run under the thread sanitizer too).
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sched.h>
#include <cmocka.h>

#include "core/base/spsc.h"

static void *num(uintptr_t n)
{
	return (void *)n;
}

static void test_keeps_order_and_refuses_when_full(void **state)
{
	void *slots[8], *in[8], *out[8];
	struct canp_spsc q;

	(void)state;
	canp_spsc_init(&q, slots, 8);
	for (uintptr_t i = 0; i < 8; i++)
		in[i] = num(i + 1);
	assert_int_equal(canp_spsc_pop(&q, out, 8), 0);
	assert_int_equal(canp_spsc_push(&q, in, 5), 5);
	assert_int_equal(canp_spsc_push(&q, in + 5, 3), 3);
	assert_int_equal(canp_spsc_push(&q, in, 1), 0);
	assert_int_equal(canp_spsc_count(&q), 8);
	assert_int_equal(canp_spsc_pop(&q, out, 3), 3);
	/* Part of a batch is taken when only part fits. */
	assert_int_equal(canp_spsc_push(&q, in, 5), 3);
	assert_int_equal(canp_spsc_pop(&q, out + 3, 5), 5);
	for (uintptr_t i = 0; i < 8; i++)
		assert_ptr_equal(out[i], num(i + 1));
	assert_int_equal(canp_spsc_pop(&q, out, 8), 3);
	for (uintptr_t i = 0; i < 3; i++)
		assert_ptr_equal(out[i], num(i + 1));
}

static void test_indices_wrap_at_32_bits(void **state)
{
	void *slots[4], *in[4], *out[4];
	struct canp_spsc q;

	(void)state;
	canp_spsc_init(&q, slots, 4);
	q.head = q.tail = q.head_seen = q.tail_seen = UINT32_MAX - 2;
	for (uintptr_t round = 0; round < 10; round++) {
		for (uintptr_t i = 0; i < 4; i++)
			in[i] = num(round * 4 + i + 1);
		assert_int_equal(canp_spsc_push(&q, in, 4), 4);
		assert_int_equal(canp_spsc_push(&q, in, 1), 0);
		assert_int_equal(canp_spsc_pop(&q, out, 4), 4);
		for (uintptr_t i = 0; i < 4; i++)
			assert_ptr_equal(out[i], num(round * 4 + i + 1));
	}
}

#define CROSS_NR 1000000u

struct cross {
	struct canp_spsc q;
	void *slots[256];
	uint32_t payload[1024]; /* written before push, read after pop */
};

static void *cross_producer(void *arg)
{
	struct cross *x = arg;
	uint32_t sent = 0, seed = 1;

	while (sent < CROSS_NR) {
		void *batch[16];
		uint32_t n, pushed = 0;

		seed = seed * 1664525u + 1013904223u;
		n = 1 + (seed >> 28);
		if (n > CROSS_NR - sent)
			n = CROSS_NR - sent;
		for (uint32_t i = 0; i < n; i++)
			batch[i] = num((uintptr_t)sent + i + 1);
		while (pushed < n) {
			uint32_t k = canp_spsc_push(&x->q, batch + pushed, n - pushed);

			if (!k)
				sched_yield();
			pushed += k;
		}
		sent += n;
	}
	return NULL;
}

static void test_two_threads_pass_a_million_in_order(void **state)
{
	struct cross *x = aligned_alloc(64, sizeof(*x));
	uint32_t got = 0, bad = 0;
	pthread_t t;

	(void)state;
	assert_non_null(x);
	canp_spsc_init(&x->q, x->slots, 256);
	assert_int_equal(pthread_create(&t, NULL, cross_producer, x), 0);
	while (got < CROSS_NR) {
		void *out[64];
		uint32_t n = canp_spsc_pop(&x->q, out, 64);

		if (!n)
			sched_yield();
		for (uint32_t i = 0; i < n; i++)
			bad += out[i] != num((uintptr_t)got + i + 1);
		got += n;
	}
	pthread_join(t, NULL);
	assert_int_equal(bad, 0);
	assert_int_equal(canp_spsc_count(&x->q), 0);
	free(x);
}

static void *payload_producer(void *arg)
{
	struct cross *x = arg;

	for (uint32_t v = 0; v < 100000; v++) {
		void *p = &x->payload[v % 1024];

		/* The ring holds 256 pointers, so entry v % 1024 was consumed long ago. */
		x->payload[v % 1024] = v;
		while (!canp_spsc_push(&x->q, &p, 1))
			sched_yield();
	}
	return NULL;
}

static void test_what_was_written_before_push_is_seen_after_pop(void **state)
{
	struct cross *x = aligned_alloc(64, sizeof(*x));
	uint32_t bad = 0;
	pthread_t t;

	(void)state;
	assert_non_null(x);
	canp_spsc_init(&x->q, x->slots, 256);
	assert_int_equal(pthread_create(&t, NULL, payload_producer, x), 0);
	for (uint32_t v = 0; v < 100000;) {
		void *p;

		if (!canp_spsc_pop(&x->q, &p, 1)) {
			sched_yield();
			continue;
		}
		bad += *(uint32_t *)p != v;
		v++;
	}
	pthread_join(t, NULL);
	assert_int_equal(bad, 0);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_order_and_refuses_when_full),
		cmocka_unit_test(test_indices_wrap_at_32_bits),
		cmocka_unit_test(test_two_threads_pass_a_million_in_order),
		cmocka_unit_test(test_what_was_written_before_push_is_seen_after_pop),
	};

	return cmocka_run_group_tests_name("spsc", tests, NULL, NULL);
}
