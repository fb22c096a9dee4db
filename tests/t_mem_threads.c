/*
 * t_mem_threads.c - the memory pool under several threads: references and blocks that travel, the
 * limit under a race, storms of waits and cancels, threads that end with full magazines, more
 * threads than ports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "numa/mem.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIMES 100000u /* the same code, a tenth of the rounds */
#else
#define TIMES 1000000u
#endif

static struct canp_mem *mem_new(uint64_t limit)
{
	struct canp_mem_opts o = {
		.hugepages = CANP_HUGE_OFF, .node = -1, .max_total_memory = limit};
	struct canp_mem *m = NULL;

	assert_int_equal(canp_mem_create(&o, &m), 0);
	return m;
}

/* Failures on other threads: cmocka's assertions belong to the main one. */
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			print_message("line %d: %s\n", __LINE__, #x);                              \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* ---- blocks that travel ---- */

#define QUEUE 256u

/* One producer, one consumer; enough for a test. */
struct queue {
	CANP_ALIGNED(64) unsigned head;
	CANP_ALIGNED(64) unsigned tail;
	struct canp_block *b[QUEUE];
};

static void queue_push(struct queue *q, struct canp_block *b)
{
	unsigned t = q->tail;

	while (t - __atomic_load_n(&q->head, __ATOMIC_ACQUIRE) == QUEUE)
		sched_yield();
	q->b[t % QUEUE] = b;
	__atomic_store_n(&q->tail, t + 1, __ATOMIC_RELEASE);
}

static struct canp_block *queue_pop(struct queue *q)
{
	unsigned h = q->head;
	struct canp_block *b;

	while (__atomic_load_n(&q->tail, __ATOMIC_ACQUIRE) == h)
		sched_yield();
	b = q->b[h % QUEUE];
	__atomic_store_n(&q->head, h + 1, __ATOMIC_RELEASE);
	return b;
}

struct pair {
	struct canp_mem *m;
	struct queue *out, *in;
	uint64_t seed;
};

/* Makes blocks, keeps a reference of each, sends it, gets the other's, checks it, releases all. */
static void *pair_run(void *arg)
{
	struct pair *p = arg;
	struct canp_block *mine[QUEUE];
	unsigned held = 0;

	for (unsigned i = 0; i < TIMES; i++) {
		struct canp_block *b, *theirs;
		size_t bytes = 8 + canp_hash_mix(p->seed + i) % 6000;

		MUST(canp_mem_alloc(p->m, CANP_MEM_BLOCK, bytes, &b) == 0);
		*(uint64_t *)canp_block_data(b) = i;
		canp_block_set_len(b, 8);
		MUST(canp_block_ref(b) == b);
		mine[held++] = b;
		queue_push(p->out, b);
		theirs = queue_pop(p->in);
		MUST(canp_block_len(theirs) == 8);
		MUST(*(uint64_t *)canp_block_data(theirs) == i);
		MUST(canp_mem_release(p->m, theirs) == 0);
		if (held == QUEUE) {
			MUST(canp_mem_release_batch(p->m, mine, held) == 0);
			held = 0;
		}
	}
	MUST(canp_mem_release_batch(p->m, mine, held) == 0);
	return NULL;
}

static void A10_references_on_two_threads_free_each_block_once(void **state)
{
	static struct queue q[2];
	struct canp_mem *m = mem_new(64 * CANP_MIB);
	struct canp_mem_stats st;
	struct pair p[2];
	pthread_t t[2];

	(void)state;
	memset(q, 0, sizeof(q));
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct pair){m, &q[i], &q[!i], i * 1000003u};
		assert_int_equal(pthread_create(&t[i], NULL, pair_run, &p[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_allocations, 2 * TIMES);
	assert_int_equal(st.total_deallocations, 2 * TIMES);
	assert_int_equal(st.current_memory_usage, 0);
	assert_true(st.peak_memory_usage <= 64 * CANP_MIB);
	canp_mem_destroy(m);
}

/* ---- hand-over ---- */

struct stage {
	struct canp_mem *m;
	struct queue *in, *out;
	void **seen;
};

enum { HANDED = 1000 };

static void *stage_run(void *arg)
{
	struct stage *s = arg;

	for (unsigned i = 0; i < HANDED; i++) {
		struct canp_block *b = queue_pop(s->in);

		s->seen[i] = canp_block_data(b);
		++*(uint64_t *)s->seen[i];
		if (s->out)
			queue_push(s->out, b);
		else
			MUST(canp_mem_release(s->m, b) == 0);
	}
	return NULL;
}

static void A19_the_same_memory_passes_three_stages(void **state)
{
	static struct queue q[3];
	static void *seen[4][HANDED];
	struct canp_mem *m = mem_new(64 * CANP_MIB);
	struct canp_mem_stats st;
	struct stage s[3];
	pthread_t t[3];

	(void)state;
	memset(q, 0, sizeof(q));
	for (unsigned i = 0; i < 3; i++) {
		s[i] = (struct stage){m, &q[i], i < 2 ? &q[i + 1] : NULL, seen[i]};
		assert_int_equal(pthread_create(&t[i], NULL, stage_run, &s[i]), 0);
	}
	for (unsigned i = 0; i < HANDED; i++) {
		struct canp_block *b = NULL;

		assert_int_equal(canp_mem_alloc(m, CANP_MEM_DECOMPRESS, 5000, &b), 0);
		seen[3][i] = canp_block_data(b);
		*(uint64_t *)seen[3][i] = 0;
		queue_push(&q[0], b);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < 3; i++)
		assert_memory_equal(seen[i], seen[3], sizeof(seen[3]));
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_allocations, HANDED); /* no stage made a copy */
	canp_mem_destroy(m);
}

/* ---- the limit under a race ---- */

struct racer {
	struct canp_mem *m;
	uint64_t seed, got, refused;
};

static uint64_t race_live, race_max;

/* Adds before it releases and after it got, so the true sum is never below what is seen. */
static void race_add(int64_t bytes)
{
	uint64_t sum = __atomic_add_fetch(&race_live, (uint64_t)bytes, __ATOMIC_SEQ_CST), old;

	old = __atomic_load_n(&race_max, __ATOMIC_RELAXED);
	while (bytes > 0 && sum > old &&
	       !__atomic_compare_exchange_n(&race_max, &old, sum, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

enum { RACE_LIMIT = 4 << 20, RACE_HELD = 400 };

static void *race_run(void *arg)
{
	struct racer *r = arg;
	struct canp_block *b[RACE_HELD] = {0};

	for (unsigned i = 0; i < TIMES / 2; i++) {
		uint64_t x = canp_hash_mix(r->seed++);
		unsigned k = (unsigned)(x % RACE_HELD);
		size_t bytes = 1 + (x >> 16) % (x % 64 ? 16384 : 200000);

		if (b[k]) {
			race_add(-(int64_t)canp_block_capacity(b[k]));
			MUST(canp_mem_release(r->m, b[k]) == 0);
			b[k] = NULL;
		} else if (canp_mem_alloc(r->m, (enum canp_mem_tier)(x >> 40) % 3, bytes, &b[k]) ==
			   0) {
			race_add((int64_t)canp_block_capacity(b[k]));
			r->got++;
		} else {
			b[k] = NULL;
			r->refused++;
		}
	}
	for (unsigned k = 0; k < RACE_HELD; k++) {
		if (b[k]) {
			race_add(-(int64_t)canp_block_capacity(b[k]));
			MUST(canp_mem_release(r->m, b[k]) == 0);
		}
	}
	return NULL;
}

static void A25_the_limit_holds_under_a_race(void **state)
{
	struct canp_mem *m = mem_new(RACE_LIMIT);
	struct canp_mem_stats st;
	struct racer r[3];
	struct canp_block *all;
	pthread_t t[3];
	uint64_t got = 0, refused = 0;

	(void)state;
	race_live = race_max = 0;
	for (unsigned i = 0; i < 3; i++) {
		r[i] = (struct racer){m, i * 1000000007ull, 0, 0};
		assert_int_equal(pthread_create(&t[i], NULL, race_run, &r[i]), 0);
	}
	for (unsigned i = 0; i < 200; i++) { /* an observer, meanwhile */
		canp_mem_stats(m, &st);
		assert_true(st.current_memory_usage <= RACE_LIMIT);
		usleep(500);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		got += r[i].got;
		refused += r[i].refused;
	}
	canp_mem_stats(m, &st);
	assert_true(race_max <= RACE_LIMIT);
	assert_true(race_max > RACE_LIMIT / 2);
	assert_true(refused > 0);
	assert_int_equal(st.refused, refused);
	assert_int_equal(st.total_allocations, got);
	assert_int_equal(st.total_deallocations, got);
	assert_true(st.peak_memory_usage <= RACE_LIMIT);
	assert_true(st.peak_memory_usage >= race_max);
	/* All of it can still be had: nothing was lost. */
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, RACE_LIMIT, &all), 0);
	canp_mem_release(m, all);
	canp_mem_destroy(m);
}

/* ---- waiting ---- */

struct late {
	struct canp_mem *m;
	struct canp_block *b;
	uint64_t released_ns;
	unsigned pause_us;
};

static void *late_release(void *arg)
{
	struct late *l = arg;

	usleep(l->pause_us);
	__atomic_store_n(&l->released_ns, canp_clock_ns(), __ATOMIC_RELAXED);
	MUST(canp_mem_release(l->m, l->b) == 0);
	return NULL;
}

struct waiter {
	struct canp_mem_wait w;
	struct canp_block *b[3];
	sem_t sem;
	uint64_t ready_ns;
	int err;
};

static void on_ready(struct canp_mem_wait *w, int err)
{
	struct waiter *x = w->arg;

	x->err = err;
	x->ready_ns = canp_clock_ns();
	sem_post(&x->sem);
}

static void waits_for_another_thread(const size_t *sizes, unsigned n)
{
	uint64_t best = UINT64_MAX;

	/* The best of ten: a loaded machine may well take the thread off its CPU. */
	for (unsigned i = 0; i < 10; i++) {
		struct canp_mem *m = mem_new(CANP_MIB);
		struct waiter x = {.w = {.tier = CANP_MEM_BLOCK, .n = n, .bytes = sizes}};
		struct late l = {.m = m, .pause_us = 2000};
		pthread_t t;

		sem_init(&x.sem, 0, 0);
		x.w.blocks = x.b;
		x.w.ready = on_ready;
		x.w.arg = &x;
		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, CANP_MIB, &l.b), 0);
		assert_int_equal(canp_mem_alloc_wait(m, &x.w), -EINPROGRESS);
		assert_int_equal(pthread_create(&t, NULL, late_release, &l), 0);
		while (sem_wait(&x.sem))
			;
		assert_int_equal(x.err, 0);
		pthread_join(t, NULL);
		best = canp_min(best, x.ready_ns - l.released_ns);
		for (unsigned k = 0; k < n; k++)
			assert_int_equal(canp_mem_release(m, x.b[k]), 0);
		canp_mem_destroy(m);
		sem_destroy(&x.sem);
	}
	assert_true(best < (uint64_t)CANP_NS_PER_MS);
}

static void A17_a_release_elsewhere_ends_the_wait_within_a_ms(void **state)
{
	static const size_t one[] = {100};

	(void)state;
	waits_for_another_thread(one, 1);
}

static void A18_so_does_it_for_a_batch(void **state)
{
	static const size_t three[] = {100, 5000, 262144};

	(void)state;
	waits_for_another_thread(three, 3);
}

/* Threads wait, cancel and release at random; each wait ends exactly once, one way or the other. */
static void *storm_run(void *arg)
{
	struct racer *r = arg;
	static const size_t sizes[] = {100000, 300000, 50};

	for (unsigned i = 0; i < TIMES / 50; i++) {
		uint64_t x = canp_hash_mix(r->seed++);
		struct waiter w = {.w = {.tier = CANP_MEM_FRAME, .n = 1 + (unsigned)(x % 3)}};
		bool have = true;
		int rc;

		w.w.bytes = sizes;
		w.w.blocks = w.b;
		w.w.ready = on_ready;
		w.w.arg = &w;
		sem_init(&w.sem, 0, 0);
		rc = canp_mem_alloc_wait(r->m, &w.w);
		MUST(rc == 0 || rc == -EINPROGRESS);
		if (rc) {
			if (x & 64)
				sched_yield();
			if ((x & 128) && canp_mem_alloc_cancel(r->m, &w.w)) {
				have = false;
				r->refused++;
			} else {
				while (sem_wait(&w.sem))
					;
				MUST(w.err == 0);
			}
		}
		if (have) {
			r->got++;
			for (unsigned k = 0; k < w.w.n; k++)
				memset(canp_block_data(w.b[k]), (int)k, 50);
			MUST(canp_mem_release_batch(r->m, w.b, w.w.n) == 0);
		}
		sem_destroy(&w.sem);
	}
	return NULL;
}

static void A17_storm_of_waits_and_cancels_loses_nobody(void **state)
{
	struct canp_mem *m = mem_new(CANP_MIB);
	struct canp_mem_stats st;
	struct racer r[4];
	pthread_t t[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		r[i] = (struct racer){m, i * 777767777ull, 0, 0};
		assert_int_equal(pthread_create(&t[i], NULL, storm_run, &r[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(r[i].got + r[i].refused, TIMES / 50);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.blocks_live, 0);
	assert_int_equal(st.total_allocations, st.total_deallocations);
	canp_mem_destroy(m);
}

/* ---- threads that come and go ---- */

static void *brief_run(void *arg)
{
	struct canp_mem *m = arg;
	struct canp_block *b[64];

	for (unsigned i = 0; i < 64; i++)
		MUST(canp_mem_alloc(m, CANP_MEM_BLOCK, 8192, &b[i]) == 0);
	MUST(canp_mem_release_batch(m, b, 64) == 0);
	return NULL; /* with full magazines */
}

static void A38_a_thread_that_ends_gives_its_magazines_back(void **state)
{
	struct canp_mem *m = mem_new(CANP_GIB);
	struct canp_mem_stats first, last;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		pthread_t t;

		assert_int_equal(pthread_create(&t, NULL, brief_run, m), 0);
		pthread_join(t, NULL);
		canp_mem_stats(m, i ? &last : &first);
	}
	/* 300 threads, more than ports, lived on what the first one had. */
	assert_int_equal(last.arena_bytes, first.arena_bytes);
	assert_int_equal(last.total_allocations, 300 * 64);
	assert_int_equal(last.current_memory_usage, 0);
	assert_true(last.block_pool_hit_rate > 0.99);
	canp_mem_destroy(m);
}

struct crowd {
	struct canp_mem *m;
	pthread_barrier_t *in, *out;
	bool had_port;
};

static void *crowd_run(void *arg)
{
	struct crowd *c = arg;
	struct canp_block *b = NULL, *three[3];
	static const size_t sizes[] = {300, 3000, 30000};

	c->had_port = canp_mem_port_get(c->m) != NULL;
	pthread_barrier_wait(c->in);
	for (unsigned i = 0; i < 200; i++) {
		MUST(canp_mem_alloc(c->m, CANP_MEM_FRAME, 400, &b) == 0);
		MUST(canp_mem_alloc_batch(c->m, CANP_MEM_BLOCK, sizes, 3, three) == 0);
		memset(canp_block_data(three[2]), 1, 30000);
		MUST(canp_mem_release(c->m, b) == 0);
		MUST(canp_mem_release_batch(c->m, three, 3) == 0);
	}
	pthread_barrier_wait(c->out);
	return NULL;
}

static void more_threads_than_ports_work_too(void **state)
{
	enum { N = CANP_MEM_PORTS_MAX + 6 };
	struct canp_mem *m = mem_new(64 * CANP_MIB);
	struct canp_mem_stats st;
	static struct crowd c[N];
	pthread_barrier_t in, out;
	pthread_t t[N];
	unsigned without = 0;

	(void)state;
	pthread_barrier_init(&in, NULL, N);
	pthread_barrier_init(&out, NULL, N);
	for (unsigned i = 0; i < N; i++) {
		c[i] = (struct crowd){m, &in, &out, false};
		assert_int_equal(pthread_create(&t[i], NULL, crowd_run, &c[i]), 0);
	}
	for (unsigned i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		without += !c[i].had_port;
	}
	assert_int_equal(without, 6);
	canp_mem_stats(m, &st);
	assert_int_equal(st.current_memory_usage, 0);
	assert_int_equal(st.total_allocations, N * 200 * 4);
	assert_int_equal(st.total_deallocations, N * 200 * 4);
	canp_mem_destroy(m);
	pthread_barrier_destroy(&in);
	pthread_barrier_destroy(&out);
}

/* A37: bad releases from one thread do not disturb what another one does. */
static void *bad_run(void *arg)
{
	struct racer *r = arg;
	struct canp_block *b = NULL, *x = NULL;

	for (unsigned i = 0; i < TIMES / 10; i++) {
		MUST(canp_mem_alloc(r->m, CANP_MEM_DECOMPRESS, 2000, &b) == 0);
		MUST(canp_mem_release(r->m, (struct canp_block *)canp_block_data(b)) == -EINVAL);
		MUST(canp_mem_release(r->m, (struct canp_block *)&x) == -EINVAL);
		MUST(canp_mem_release(r->m, b) == 0);
		/* It lies in our magazine: nobody else can have got it. */
		MUST(canp_mem_release(r->m, b) == -EINVAL);
		r->refused += 3;
	}
	return NULL;
}

static void A37_bad_releases_disturb_nobody(void **state)
{
	struct canp_mem *m = mem_new(CANP_GIB);
	struct canp_mem_stats st;
	struct racer r = {m, 1, 0, 0}, bad = {m, 2, 0, 0};
	pthread_t t[2];

	(void)state;
	race_live = race_max = 0;
	assert_int_equal(pthread_create(&t[0], NULL, race_run, &r), 0);
	assert_int_equal(pthread_create(&t[1], NULL, bad_run, &bad), 0);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	assert_int_equal(bad.refused, TIMES / 10 * 3);
	assert_int_equal(r.refused, 0);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_allocations, r.got + TIMES / 10);
	assert_int_equal(st.total_deallocations, st.total_allocations);
	canp_mem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A10_references_on_two_threads_free_each_block_once),
		cmocka_unit_test(A17_a_release_elsewhere_ends_the_wait_within_a_ms),
		cmocka_unit_test(A17_storm_of_waits_and_cancels_loses_nobody),
		cmocka_unit_test(A18_so_does_it_for_a_batch),
		cmocka_unit_test(A19_the_same_memory_passes_three_stages),
		cmocka_unit_test(A25_the_limit_holds_under_a_race),
		cmocka_unit_test(A37_bad_releases_disturb_nobody),
		cmocka_unit_test(A38_a_thread_that_ends_gives_its_magazines_back),
		cmocka_unit_test(more_threads_than_ports_work_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
