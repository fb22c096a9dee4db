/*
 * t_pool.c - slots: random operations against a model, waiters, batches, the reserve, and the
 * assertions that catch foreign pointers and double frees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/hash.h"
#include "numa/pool.h"

#define NR      24u
#define SLOT    192u
#define WAITERS 8u

static uint8_t mem[NR * SLOT] CANP_ALIGNED(64);
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed += 0x9e3779b97f4a7c15ULL;
	return (uint32_t)(canp_hash_mix(seed) % below);
}

static void slots_come_in_address_order_and_all_once(void **state)
{
	struct canp_pool p;

	(void)state;
	canp_pool_init(&p, mem, SLOT, NR, 0);
	for (uint32_t i = 0; i < NR; i++)
		assert_ptr_equal(canp_pool_get(&p, false), mem + i * SLOT);
	assert_null(canp_pool_get(&p, false));
	assert_null(canp_pool_get(&p, true));
	assert_int_equal(p.stats.refused, 2);
	assert_int_equal(p.stats.in_use, NR);
	canp_pool_put(&p, mem + 5 * SLOT);
	assert_ptr_equal(canp_pool_get(&p, false), mem + 5 * SLOT);
	assert_int_equal(p.stats.in_use_max, NR);
}

static void reserve_is_for_the_privileged(void **state)
{
	struct canp_pool p;
	void *s[NR];

	(void)state;
	canp_pool_init(&p, mem, SLOT, 4, 2);
	assert_int_equal(canp_pool_avail(&p, false), 2);
	assert_int_equal(canp_pool_avail(&p, true), 4);
	s[0] = canp_pool_get(&p, false);
	s[1] = canp_pool_get(&p, false);
	assert_null(canp_pool_get(&p, false));
	s[2] = canp_pool_get(&p, true);
	assert_non_null(s[2]);
	/* A slot that comes back fills the reserve first. */
	canp_pool_put(&p, s[0]);
	assert_null(canp_pool_get(&p, false));
	canp_pool_put(&p, s[1]);
	assert_non_null(canp_pool_get(&p, false));
}

static void batch_is_all_or_nothing(void **state)
{
	struct canp_pool p;
	void *s[NR] = {0};

	(void)state;
	canp_pool_init(&p, mem, SLOT, NR, 3);
	assert_int_equal(canp_pool_get_batch(&p, NR - 2, false, s), -ENOMEM);
	assert_null(s[0]);
	assert_int_equal(canp_pool_avail(&p, false), NR - 3);
	assert_int_equal(canp_pool_get_batch(&p, NR + 1, true, s), -ENOMEM);
	assert_int_equal(canp_pool_get_batch(&p, NR, true, s), 0);
	for (uint32_t i = 0; i < NR; i++) {
		assert_true(canp_pool_owns(&p, s[i]));
		for (uint32_t j = 0; j < i; j++)
			assert_ptr_not_equal(s[i], s[j]);
	}
	assert_int_equal(canp_pool_get_batch(&p, 0, false, s), 0);
	canp_pool_put_batch(&p, NR, s);
	assert_int_equal(canp_pool_avail(&p, true), NR);
	assert_int_equal(p.stats.gets, NR);
	assert_int_equal(p.stats.puts, NR);
	assert_int_equal(p.stats.in_use, 0);
}

static void ownership_is_by_range_and_boundary(void **state)
{
	struct canp_pool p;

	(void)state;
	canp_pool_init(&p, mem + SLOT, SLOT, 4, 0);
	assert_true(canp_pool_owns(&p, mem + SLOT));
	assert_true(canp_pool_owns(&p, mem + 4 * SLOT));
	assert_false(canp_pool_owns(&p, mem));
	assert_false(canp_pool_owns(&p, mem + 5 * SLOT));
	assert_false(canp_pool_owns(&p, mem + SLOT + 64));
	assert_false(canp_pool_owns(&p, NULL));
}

/* ---- waiters ---- */
struct wait {
	struct canp_pool_waiter w;
	unsigned idx;
	bool queued;
	void *slots[NR];
	uint32_t n;
};

static struct canp_pool wp;
static struct wait waits[WAITERS];
static unsigned served[64], nr_served;

static void on_ready(struct canp_pool_waiter *w, void **slots, uint32_t n)
{
	struct wait *x = w->arg;

	assert_int_equal(n, w->want);
	assert_true(x->queued);
	x->queued = false;
	x->n = n;
	memcpy(x->slots, slots, n * sizeof(slots[0]));
	assert_true(nr_served < CANP_ARRAY_SIZE(served));
	served[nr_served++] = x->idx;
}

static bool wait_for(unsigned i, uint32_t want)
{
	struct wait *x = &waits[i];

	x->w.want = want;
	x->w.ready = on_ready;
	x->w.arg = x;
	x->idx = i;
	x->queued = !canp_pool_get_or_wait(&wp, &x->w, x->slots);
	if (!x->queued)
		x->n = want;
	return !x->queued;
}

static void waiters_are_served_first_come_first(void **state)
{
	void *s[4];

	(void)state;
	nr_served = 0;
	canp_pool_init(&wp, mem, SLOT, 4, 0);
	assert_int_equal(canp_pool_get_batch(&wp, 4, false, s), 0);
	assert_false(wait_for(0, 3));
	assert_false(wait_for(1, 1));
	assert_false(wait_for(2, 1));
	/* One and two free slots would satisfy the small waiters, but the first wants three. */
	canp_pool_put_batch(&wp, 2, s);
	assert_int_equal(nr_served, 0);
	assert_null(canp_pool_get(&wp, false)); /* nor may a newcomer pass */
	assert_int_equal(canp_pool_avail(&wp, false), 0);
	assert_non_null(s[0] = canp_pool_get(&wp, true)); /* but the frontier may */
	canp_pool_put(&wp, s[0]);
	canp_pool_put(&wp, s[2]);
	assert_int_equal(nr_served, 1);
	assert_int_equal(served[0], 0);
	canp_pool_put_batch(&wp, 3, waits[0].slots);
	assert_int_equal(nr_served, 3);
	assert_int_equal(served[1], 1);
	assert_int_equal(served[2], 2);
	assert_int_equal(wp.stats.waits, 3);
}

static void cancelling_the_first_lets_the_next_in(void **state)
{
	void *s[4];

	(void)state;
	nr_served = 0;
	canp_pool_init(&wp, mem, SLOT, 4, 0);
	assert_int_equal(canp_pool_get_batch(&wp, 3, false, s), 0);
	assert_false(wait_for(0, 4));
	assert_false(wait_for(1, 1));
	canp_pool_cancel_wait(&wp, &waits[0].w);
	assert_int_equal(nr_served, 1);
	assert_int_equal(served[0], 1);
	canp_pool_cancel_wait(&wp, &waits[0].w); /* harmless when repeated */
	canp_pool_cancel_wait(&wp, &waits[1].w); /* and when served */
	canp_pool_put(&wp, s[0]);
	assert_true(wait_for(2, 1)); /* nobody waits: at once */
	canp_pool_cancel_wait(&wp, &waits[2].w);
	assert_int_equal(wp.stats.in_use, 4);
}

static void waiters_leave_the_reserve(void **state)
{
	void *a, *b;

	(void)state;
	nr_served = 0;
	canp_pool_init(&wp, mem, SLOT, 2, 1);
	a = canp_pool_get(&wp, false);
	b = canp_pool_get(&wp, true);
	assert_false(wait_for(0, 1));
	canp_pool_put(&wp, b);
	assert_int_equal(nr_served, 0);
	canp_pool_put(&wp, a);
	assert_int_equal(nr_served, 1);
}

static unsigned depth, depth_max, chain;

static void on_ready_put_again(struct canp_pool_waiter *w, void **slots, uint32_t n)
{
	(void)w;
	assert_int_equal(n, 1);
	depth++;
	depth_max = depth > depth_max ? depth : depth_max;
	chain++;
	canp_pool_put(&wp, slots[0]);
	depth--;
}

static void a_callback_that_puts_does_not_recurse(void **state)
{
	void *s;

	(void)state;
	depth = depth_max = chain = 0;
	canp_pool_init(&wp, mem, SLOT, 1, 0);
	s = canp_pool_get(&wp, false);
	for (unsigned i = 0; i < WAITERS; i++) {
		waits[i].w.want = 1;
		waits[i].w.ready = on_ready_put_again;
		assert_false(canp_pool_get_or_wait(&wp, &waits[i].w, waits[i].slots));
	}
	canp_pool_put(&wp, s);
	assert_int_equal(chain, WAITERS);
	assert_int_equal(depth_max, 1);
	assert_int_equal(canp_pool_avail(&wp, false), 1);
}

/* ---- random operations against a model ---- */
struct model {
	bool held[NR];
	uint32_t nr_held, reserve;
	unsigned queue[WAITERS], nr_queue;
};

static uint32_t model_open(const struct model *m)
{
	uint32_t nr_free = NR - m->nr_held;

	return nr_free > m->reserve ? nr_free - m->reserve : 0;
}

static void model_take(struct model *m, void *slot)
{
	size_t i = (size_t)((uint8_t *)slot - mem) / SLOT;

	assert_true(i < NR && mem + i * SLOT == slot);
	assert_false(m->held[i]);
	m->held[i] = true;
	m->nr_held++;
	memset(slot, (int)i, SLOT); /* a slot is wholly the holder's */
}

static void *model_pick(const struct model *m)
{
	uint32_t nth = rnd(m->nr_held);

	for (uint32_t i = 0; i < NR; i++) {
		if (m->held[i] && nth-- == 0)
			return mem + (size_t)i * SLOT;
	}
	fail();
	return NULL;
}

static void model_drop(struct model *m, void *slot)
{
	size_t i = (size_t)((uint8_t *)slot - mem) / SLOT;

	for (size_t j = 0; j < SLOT; j++)
		assert_int_equal(((uint8_t *)slot)[j], i);
	m->held[i] = false;
	m->nr_held--;
}

/* After a put or cancel: the model decides who must have been served, in order. */
static void model_serve(struct model *m)
{
	unsigned at = 0;

	while (m->nr_queue && waits[m->queue[0]].w.want <= model_open(m)) {
		struct wait *x = &waits[m->queue[0]];

		assert_true(at < nr_served);
		assert_int_equal(served[at++], m->queue[0]);
		for (uint32_t i = 0; i < x->n; i++)
			model_take(m, x->slots[i]);
		memmove(m->queue, m->queue + 1, --m->nr_queue * sizeof(m->queue[0]));
	}
	assert_int_equal(at, nr_served);
	nr_served = 0;
}

static void model_unqueue(struct model *m, unsigned at)
{
	unsigned i = m->queue[at];

	memmove(m->queue + at, m->queue + at + 1, (--m->nr_queue - at) * sizeof(m->queue[0]));
	waits[i].queued = false;
	canp_pool_cancel_wait(&wp, &waits[i].w);
	model_serve(m);
}

static void step_get(struct model *m)
{
	bool privileged = rnd(3) == 0;
	uint32_t n = 1 + rnd(5);
	uint32_t open = privileged ? NR - m->nr_held : m->nr_queue ? 0 : model_open(m);
	void *s[8];

	assert_int_equal(canp_pool_avail(&wp, privileged), open);
	if (n == 1) {
		s[0] = canp_pool_get(&wp, privileged);
		assert_int_equal(s[0] != NULL, open > 0);
		if (s[0])
			model_take(m, s[0]);
		return;
	}
	assert_int_equal(canp_pool_get_batch(&wp, n, privileged, s), n <= open ? 0 : -ENOMEM);
	for (uint32_t i = 0; i < n && n <= open; i++)
		model_take(m, s[i]);
}

static void step_put(struct model *m)
{
	void *s[4];
	uint32_t n = 0;

	for (uint32_t want = 1 + rnd(4); n < want && m->nr_held > 0; n++) {
		s[n] = model_pick(m);
		model_drop(m, s[n]);
	}
	if (n == 1)
		canp_pool_put(&wp, s[0]);
	else
		canp_pool_put_batch(&wp, n, s);
	model_serve(m);
}

static void step_wait(struct model *m)
{
	unsigned i = rnd(WAITERS);
	uint32_t want = 1 + rnd(NR - m->reserve), open = m->nr_queue ? 0 : model_open(m);

	if (waits[i].queued)
		return;
	assert_int_equal(wait_for(i, want), want <= open);
	if (waits[i].queued)
		m->queue[m->nr_queue++] = i;
	else
		for (uint32_t k = 0; k < want; k++)
			model_take(m, waits[i].slots[k]);
}

static void random_operations_agree_with_the_model(void **state)
{
	(void)state;
	for (uint64_t run = 0; run < 200; run++) {
		struct model m = {0};

		seed = run;
		nr_served = 0;
		memset(waits, 0, sizeof(waits));
		m.reserve = rnd(5);
		canp_pool_init(&wp, mem, SLOT, NR, m.reserve);
		for (int step = 0; step < 400; step++) {
			switch (rnd(8)) {
			case 0 ... 2:
				step_get(&m);
				break;
			case 3 ... 5:
				step_put(&m);
				break;
			case 6:
				step_wait(&m);
				break;
			default:
				if (m.nr_queue)
					model_unqueue(&m, rnd(m.nr_queue));
				break;
			}
			assert_int_equal(wp.stats.in_use, m.nr_held);
			assert_int_equal(wp.stats.gets - wp.stats.puts, m.nr_held);
			assert_int_equal(canp_pool_avail(&wp, true), NR - m.nr_held);
		}
	}
}

/* ---- assertions ---- */
static bool aborts(void (*fn)(struct canp_pool *p))
{
	struct canp_pool p;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		canp_pool_init(&p, mem, SLOT, 4, 1);
		fn(&p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void put_own(struct canp_pool *p)
{
	canp_pool_put(p, canp_pool_get(p, false));
}

static void put_foreign(struct canp_pool *p)
{
	canp_pool_get(p, false);
	canp_pool_put(p, mem + 10 * SLOT);
}

static void put_inside(struct canp_pool *p)
{
	canp_pool_put(p, (uint8_t *)canp_pool_get(p, false) + 64);
}

static void put_twice(struct canp_pool *p)
{
	void *s = canp_pool_get(p, false);

	canp_pool_put(p, s);
	canp_pool_put(p, s);
}

static void wait_for_more_than_ever(struct canp_pool *p)
{
	struct canp_pool_waiter w = {.want = 4};
	void *s[4];

	canp_pool_get_or_wait(p, &w, s);
}

static void write_after_put(struct canp_pool *p)
{
	uint8_t *s = canp_pool_get(p, false);

	canp_pool_put(p, s);
	s[40] = 1;
	canp_pool_get(p, false);
}

static void misuse_is_asserted(void **state)
{
	(void)state;
	assert_false(aborts(put_own));
	assert_true(aborts(put_foreign));
	assert_true(aborts(put_inside));
	assert_true(aborts(put_twice));
	assert_true(aborts(wait_for_more_than_ever));
#ifdef CANP_DEBUG
	assert_true(aborts(write_after_put));
#else
	assert_false(aborts(write_after_put)); /* release builds do not pay for the check */
#endif
}

static unsigned resident(const uint8_t *p, unsigned pages)
{
	unsigned char in[64];
	unsigned n = 0;

	assert_true(pages <= sizeof(in));
	assert_int_equal(mincore((void *)p, pages * 4096ul, in), 0);
	for (unsigned i = 0; i < pages; i++)
		n += in[i] & 1;
	return n;
}

static void fresh_pages_come_in_by_steps_and_only_when_needed(void **state)
{
	struct canp_pool p;
	void *slots[9];
	uint8_t *area =
		mmap(NULL, 20 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(area != MAP_FAILED);
	madvise(area, 20 * 4096, MADV_NOHUGEPAGE);
	canp_pool_init(&p, area, 8192, 10, 0);
	canp_pool_fault_ahead(&p, 4 * 8192);
	assert_int_equal(resident(area, 20), 0);
	slots[0] = canp_pool_get(&p, false);
	if (!resident(area, 20)) {
		print_message("skipped: the kernel does not make pages resident on advice\n");
		munmap(area, 20 * 4096);
		skip();
	}
	assert_int_equal(resident(area, 20), 8);
	canp_pool_put(&p, slots[0]);
	/* Recycled slots bring nothing in. */
	assert_int_equal(canp_pool_get_batch(&p, 4, false, slots), 0);
	assert_int_equal(resident(area, 20), 8);
	slots[4] = canp_pool_get(&p, false);
	assert_int_equal(resident(area, 20), 16);
	/* The last step is cut at the end of the pool. */
	assert_int_equal(canp_pool_get_batch(&p, 4, false, slots + 5), 0);
	assert_int_equal(resident(area, 20), 20);
	munmap(area, 20 * 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_come_in_address_order_and_all_once),
		cmocka_unit_test(reserve_is_for_the_privileged),
		cmocka_unit_test(batch_is_all_or_nothing),
		cmocka_unit_test(ownership_is_by_range_and_boundary),
		cmocka_unit_test(waiters_are_served_first_come_first),
		cmocka_unit_test(cancelling_the_first_lets_the_next_in),
		cmocka_unit_test(waiters_leave_the_reserve),
		cmocka_unit_test(a_callback_that_puts_does_not_recurse),
		cmocka_unit_test(random_operations_agree_with_the_model),
		cmocka_unit_test(misuse_is_asserted),
		cmocka_unit_test(fresh_pages_come_in_by_steps_and_only_when_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
