/*
 * pipe_help.h - sources, operators and sinks that the tests of pipelines share. Items are u64
 * unless a test says otherwise: the source counts, `map_odd` makes 2x + 1, the sink checks order.
 */
#ifndef CANP_TESTS_PIPE_HELP_H
#define CANP_TESTS_PIPE_HELP_H

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/pipeline/pipeline.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define PIPE_SLOW 1
#else
#define PIPE_SLOW 0
#endif

struct count_src {
	uint64_t n, at;
	uint32_t most;    /* items a call, 0: as many as wanted */
	uint64_t fail_at; /* with `fail`, when `at` gets there */
	int fail;
	unsigned calls;
	int inside; /* it must never be called twice at once */
	int twice;
};

CANP_UNUSED static int count_next(void *arg, void *items, uint32_t max)
{
	struct count_src *s = arg;
	uint64_t *out = items;
	uint32_t n = 0;

	if (__atomic_exchange_n(&s->inside, 1, __ATOMIC_ACQ_REL))
		s->twice = 1;
	s->calls++;
	if (s->most && max > s->most)
		max = s->most;
	if (s->fail && s->at + max > s->fail_at)
		max = (uint32_t)(s->fail_at - s->at);
	if (s->fail && !max) {
		__atomic_store_n(&s->inside, 0, __ATOMIC_RELEASE);
		return s->fail;
	}
	while (n < max && s->at < s->n)
		out[n++] = s->at++;
	__atomic_store_n(&s->inside, 0, __ATOMIC_RELEASE);
	return (int)n;
}

/* Never ends. */
CANP_UNUSED static int endless_next(void *arg, void *items, uint32_t max)
{
	uint64_t *at = arg, *out = items;

	for (uint32_t i = 0; i < max; i++)
		out[i] = (*at)++;
	return (int)max;
}

CANP_UNUSED static int map_odd(void *arg, const void *in, void *out)
{
	uint64_t x;

	(void)arg;
	memcpy(&x, in, sizeof(x));
	x = 2 * x + 1;
	memcpy(out, &x, sizeof(x));
	return 0;
}

CANP_UNUSED static int map_copy(void *arg, const void *in, void *out)
{
	(void)arg;
	memcpy(out, in, sizeof(uint64_t));
	return 0;
}

CANP_UNUSED static int keep_even(void *arg, const void *item)
{
	(void)arg;
	return (*(const uint64_t *)item & 1) == 0;
}

/* Values as they come, and whether each is larger than the one before. */
struct order_sink {
	uint64_t seen, sum, disorder, last;
	bool any;
};

CANP_UNUSED static int order_take(void *arg, const struct canp_batch *b)
{
	struct order_sink *s = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		uint64_t v;

		if (!canp_batch_kept(b, r))
			continue;
		memcpy(&v, b->rec + (size_t)r * b->stride, sizeof(v));
		s->disorder += s->any && v <= s->last;
		s->last = v;
		s->any = true;
		s->sum += v;
		__atomic_store_n(&s->seen, s->seen + 1, __ATOMIC_RELAXED);
	}
	return 0;
}

CANP_UNUSED static void spin_ns(uint64_t ns)
{
	uint64_t end = canp_clock_ns() + ns;

	while (canp_clock_ns() < end)
		;
}

CANP_UNUSED static void nap_us(long us)
{
	struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&ts, NULL);
}

/* Waits until *v is at least n; false after 60 s. */
CANP_UNUSED static bool wait_for(const uint64_t *v, uint64_t n)
{
	for (unsigned i = 0; i < 600000; i++) {
		if (__atomic_load_n(v, __ATOMIC_ACQUIRE) >= n)
			return true;
		nap_us(100);
	}
	return false;
}

CANP_UNUSED static struct canp_exec *exec_of(unsigned cores)
{
	struct canp_exec_opts o = {.cores = cores};
	struct canp_exec *ex = NULL;

	return canp_exec_create(&o, &ex) ? NULL : ex;
}

#endif
