/*
 * t_mesh.c - lanes between shards: order per pair, the way home, overflow, the sleep protocol; N
 * shards simulated in one thread with seeds, then real threads that really sleep.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/runtime/mesh.h"
#include "core/runtime/ring.h"

/* ---- one thread -------------------------------------------------------------------------------
 */

struct note {
	struct canp_msg msg; /* a = sequence number of its pair */
	unsigned to;
	bool home_again;
};

struct got {
	unsigned n;
	unsigned from[4096];
	struct canp_msg *msg[4096];
	bool returned[4096];
};

static void take(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct got *g = arg;

	assert_true(g->n < CANP_ARRAY_SIZE(g->msg));
	g->from[g->n] = from;
	g->msg[g->n] = msg;
	g->returned[g->n++] = returned;
}

static void test_message_goes_there_and_home(void **state)
{
	struct note n = {.msg = {.kind = 0x7abc, .a = 42}};
	struct canp_mesh *m;
	static struct got g;

	(void)state;
	g.n = 0;
	assert_int_equal(canp_mesh_create(3, &m), 0);
	canp_mesh_send(m, 0, 2, &n.msg);
	assert_int_equal(canp_mesh_recv(m, 2, 10, take, &g), 0); /* not flushed yet */
	assert_int_equal(canp_mesh_flush(m, 0), 0);
	assert_int_equal(canp_mesh_recv(m, 1, 10, take, &g), 0);
	assert_int_equal(canp_mesh_recv(m, 2, 10, take, &g), 1);
	assert_int_equal(g.from[0], 0);
	assert_ptr_equal(g.msg[0], &n.msg);
	assert_false(g.returned[0]);
	assert_int_equal(n.msg.home, 0);
	assert_int_equal(n.msg.kind, 0x7abc);
	canp_mesh_return(m, 2, &n.msg);
	canp_mesh_flush(m, 2);
	assert_int_equal(canp_mesh_recv(m, 0, 10, take, &g), 1);
	assert_int_equal(g.from[1], 2);
	assert_true(g.returned[1]);
	assert_int_equal(n.msg.kind, 0x7abc);
	canp_mesh_destroy(m);
}

struct self {
	struct canp_mesh *m;
	struct canp_msg again;
	unsigned n;
};

static void resend(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct self *s = arg;

	(void)msg;
	assert_int_equal(from, 1);
	assert_false(returned);
	s->n++;
	canp_mesh_send(s->m, 1, 1, &s->again);
}

static void test_self_send_arrives_with_the_next_recv(void **state)
{
	struct canp_msg first = {0};
	struct self s = {0};

	(void)state;
	assert_int_equal(canp_mesh_create(2, &s.m), 0);
	canp_mesh_send(s.m, 1, 1, &first);
	assert_false(canp_mesh_sleep_prepare(s.m, 1));
	/* No flush; and what the callback sends to itself does not loop. */
	assert_int_equal(canp_mesh_recv(s.m, 1, 10, resend, &s), 1);
	assert_int_equal(canp_mesh_recv(s.m, 1, 10, resend, &s), 1);
	assert_int_equal(s.n, 2);
	canp_mesh_destroy(s.m);
}

static void test_full_lane_overflows_into_the_fifo_in_order(void **state)
{
	enum { NR = 3 * CANP_MESH_LANE_SLOTS };
	static struct note n[NR];
	static struct got g;
	struct canp_mesh *m;
	unsigned waiting;

	(void)state;
	g.n = 0;
	assert_int_equal(canp_mesh_create(2, &m), 0);
	for (unsigned i = 0; i < NR; i++) {
		n[i].msg = (struct canp_msg){.a = i};
		canp_mesh_send(m, 0, 1, &n[i].msg);
	}
	assert_int_equal(canp_mesh_flush(m, 0), NR - CANP_MESH_LANE_SLOTS);
	assert_int_equal(canp_mesh_flush(m, 0), NR - CANP_MESH_LANE_SLOTS);
	/* Everything that can be pushed is: the sender may sleep until the receiver makes room. */
	assert_true(canp_mesh_sleep_prepare(m, 0));
	assert_int_equal(canp_mesh_recv(m, 1, 100, take, &g), 100);
	canp_mesh_sleep_done(m, 0);
	assert_false(canp_mesh_sleep_prepare(m, 0));
	waiting = NR - CANP_MESH_LANE_SLOTS;
	while (waiting) {
		waiting = canp_mesh_flush(m, 0);
		canp_mesh_recv(m, 1, 77, take, &g);
	}
	while (canp_mesh_recv(m, 1, 1000, take, &g))
		;
	assert_int_equal(g.n, NR);
	for (unsigned i = 0; i < NR; i++)
		assert_int_equal(g.msg[i]->a, i);
	canp_mesh_destroy(m);
}

static void test_a_receiver_is_fair_to_its_senders(void **state)
{
	static struct canp_msg n[3][200];
	static struct got g;
	struct canp_mesh *m;
	unsigned from[3] = {0};

	(void)state;
	g.n = 0;
	assert_int_equal(canp_mesh_create(4, &m), 0);
	for (unsigned s = 0; s < 3; s++) {
		for (unsigned i = 0; i < 200; i++)
			canp_mesh_send(m, s, 3, &n[s][i]);
		canp_mesh_flush(m, s);
	}
	/* Bounded receives take turns instead of serving the first sender again and again. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(canp_mesh_recv(m, 3, 50, take, &g), 50);
	for (unsigned i = 0; i < g.n; i++)
		from[g.from[i]]++;
	assert_true(from[0] && from[1] && from[2]);
	canp_mesh_destroy(m);
}

static void test_sleep_is_refused_when_there_is_news(void **state)
{
	struct canp_msg a = {0}, b = {0};
	struct canp_mesh *m;
	static struct got g;

	(void)state;
	g.n = 0;
	assert_int_equal(canp_mesh_create(2, &m), 0);
	assert_true(canp_mesh_sleep_prepare(m, 1));
	canp_mesh_sleep_done(m, 1);
	canp_mesh_kick(m, 1); /* before the sleep: must not be lost */
	assert_false(canp_mesh_sleep_prepare(m, 1));
	assert_true(canp_mesh_sleep_prepare(m, 1)); /* and counts once */
	canp_mesh_sleep_done(m, 1);
	canp_mesh_send(m, 0, 1, &a);
	assert_false(canp_mesh_sleep_prepare(m, 0)); /* not flushed */
	canp_mesh_flush(m, 0);
	assert_true(canp_mesh_sleep_prepare(m, 0));
	canp_mesh_sleep_done(m, 0);
	assert_false(canp_mesh_sleep_prepare(m, 1));
	canp_mesh_send(m, 0, 1, &b);
	canp_mesh_flush(m, 0);
	assert_int_equal(canp_mesh_recv(m, 1, 1, take, &g), 1);
	assert_false(canp_mesh_sleep_prepare(m, 1)); /* one is left in the lane */
	assert_int_equal(canp_mesh_recv(m, 1, 10, take, &g), 1);
	assert_true(canp_mesh_sleep_prepare(m, 1));
	canp_mesh_destroy(m);
}

static void test_one_wake_up_per_sleep(void **state)
{
	struct canp_ring_opts o = {.kind = CANP_RING_SYNC, .iowq_cpu = -1, .sync_threads = 1};
	struct canp_msg n[40] = {0};
	struct canp_mesh *m;
	struct canp_ring *r;

	(void)state;
	assert_int_equal(canp_mesh_create(3, &m), 0);
	assert_int_equal(canp_ring_create(&o, &r), 0);
	canp_mesh_attach(m, 2, r);
	assert_true(canp_mesh_sleep_prepare(m, 2));
	for (unsigned i = 0; i < 40; i++)
		canp_mesh_send(m, i & 1, 2, &n[i]);
	canp_mesh_flush(m, 0);
	canp_mesh_flush(m, 1);
	canp_mesh_kick(m, 2);
	assert_int_equal(canp_ring_wait(r, UINT64_MAX), 0); /* returns: it was woken */
	canp_mesh_sleep_done(m, 2);
	/* An awake shard is never woken: the wait runs into its timeout. */
	canp_mesh_kick(m, 2);
	uint64_t t0 = canp_clock_ns();
	canp_ring_wait(r, 10 * CANP_NS_PER_MS);
	assert_true(canp_clock_ns() - t0 >= 9 * CANP_NS_PER_MS);
	canp_mesh_attach(m, 2, NULL);
	canp_mesh_kick(m, 2);
	canp_ring_destroy(r);
	canp_mesh_destroy(m);
}

static void test_sizes_are_checked(void **state)
{
	struct canp_mesh *m;

	(void)state;
	assert_int_equal(canp_mesh_create(0, &m), -EINVAL);
	assert_int_equal(canp_mesh_create(257, &m), -EINVAL);
	assert_int_equal(canp_mesh_create(256, &m), 0);
	canp_mesh_kick(m, 255);
	canp_mesh_destroy(m);
	canp_mesh_destroy(NULL);
}

/* ---- N shards in one thread, random interleaving ----------------------------------------------
 */

#define SIM_SHARDS 5u
#define SIM_NOTES  400u

struct sim {
	struct canp_mesh *m;
	struct note notes[SIM_SHARDS][SIM_NOTES];
	unsigned sent[SIM_SHARDS], home[SIM_SHARDS];
	uint32_t next_out[SIM_SHARDS][SIM_SHARDS], next_in[SIM_SHARDS][SIM_SHARDS];
	bool asleep[SIM_SHARDS];
	unsigned self; /* whose recv runs */
};

static void sim_take(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct sim *s = arg;
	struct note *n = canp_container_of(msg, struct note, msg);

	if (returned) {
		assert_int_equal(msg->home, s->self);
		assert_int_equal(n->to, from);
		assert_false(n->home_again);
		n->home_again = true;
		s->home[s->self]++;
		return;
	}
	assert_int_equal(n->to, s->self);
	assert_int_equal(msg->home, from);
	assert_int_equal(msg->a, s->next_in[from][s->self]);
	s->next_in[from][s->self]++;
	canp_mesh_return(s->m, s->self, msg);
}

static void sim_step(struct sim *s)
{
	unsigned me = (unsigned)rand() % SIM_SHARDS;

	s->self = me;
	switch (rand() % 5) {
	case 0:
	case 1:
		for (int burst = rand() % 40; burst > 0 && s->sent[me] < SIM_NOTES; burst--) {
			struct note *n = &s->notes[me][s->sent[me]++];

			n->to = (unsigned)rand() % SIM_SHARDS;
			n->msg.a = s->next_out[me][n->to]++;
			canp_mesh_send(s->m, me, n->to, &n->msg);
		}
		break;
	case 2:
		canp_mesh_flush(s->m, me);
		break;
	default:
		canp_mesh_recv(s->m, me, (unsigned)rand() % 60, sim_take, s);
	}
}

static void test_simulated_shards_lose_and_reorder_nothing(void **state)
{
	static struct sim s;

	(void)state;
	for (unsigned seed = 1; seed <= 40; seed++) {
		unsigned steps = 0;
		bool quiet = false;

		srand(seed);
		memset(&s, 0, sizeof(s));
		assert_int_equal(canp_mesh_create(SIM_SHARDS, &s.m), 0);
		for (; steps < 2000; steps++)
			sim_step(&s);
		/* Then every shard runs turns until all of them would sleep. */
		while (!quiet) {
			quiet = true;
			assert_true(++steps < 100000);
			for (unsigned i = 0; i < SIM_SHARDS; i++) {
				s.self = i;
				canp_mesh_recv(s.m, i, 1000, sim_take, &s);
				canp_mesh_flush(s.m, i);
				quiet &= canp_mesh_sleep_prepare(s.m, i);
				canp_mesh_sleep_done(s.m, i);
			}
		}
		for (unsigned i = 0; i < SIM_SHARDS; i++) {
			if (s.home[i] != s.sent[i])
				print_message("seed %u\n", seed);
			assert_int_equal(s.home[i], s.sent[i]);
		}
		canp_mesh_destroy(s.m);
	}
}

/* ---- real threads that sleep ------------------------------------------------------------------
 */

#define THR_SHARDS 3u
#define THR_NOTES  20000u
#define THR_POOL   600u /* more than a lane: senders run into full lanes */

struct thr {
	struct canp_mesh *m;
	pthread_barrier_t up, down;
	unsigned finished; /* shards that have all their messages back */
	enum canp_ring_kind kind;
};

struct thr_shard {
	struct thr *t;
	unsigned self;
	struct canp_ring *ring;
	struct note pool[THR_POOL];
	struct canp_fifo free;
	unsigned sent, home, sleeps, bad;
	uint32_t next_out[THR_SHARDS], next_in[THR_SHARDS];
	bool reported;
};

static void thr_take(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct thr_shard *s = arg;

	if (returned) {
		s->home++;
		canp_fifo_push(&s->free, &msg->node);
		return;
	}
	s->bad += msg->a != s->next_in[from]++;
	canp_mesh_return(s->t->m, s->self, msg);
}

static bool thr_finished(struct thr_shard *s)
{
	if (!s->reported && s->home == THR_NOTES) {
		s->reported = true;
		__atomic_add_fetch(&s->t->finished, 1, __ATOMIC_SEQ_CST);
		for (unsigned i = 0; i < THR_SHARDS; i++)
			canp_mesh_kick(s->t->m, i);
	}
	return __atomic_load_n(&s->t->finished, __ATOMIC_SEQ_CST) == THR_SHARDS;
}

static void *thr_main(void *arg)
{
	struct thr_shard *s = arg;
	struct canp_ring_opts o = {.kind = s->t->kind, .iowq_cpu = -1, .sync_threads = 1};
	struct canp_mesh *m = s->t->m;

	if (canp_ring_create(&o, &s->ring))
		abort();
	canp_mesh_attach(m, s->self, s->ring);
	for (unsigned i = 0; i < THR_POOL; i++)
		canp_fifo_push(&s->free, &s->pool[i].msg.node);
	pthread_barrier_wait(&s->t->up);
	while (!thr_finished(s)) {
		unsigned work = canp_mesh_recv(m, s->self, 64, thr_take, s);

		while (s->free.head && s->sent < THR_NOTES) {
			struct canp_msg *msg =
				canp_container_of(canp_fifo_pop(&s->free), struct canp_msg, node);
			unsigned to = (s->self + 1 + s->sent / 300) % THR_SHARDS;

			*msg = (struct canp_msg){.a = s->next_out[to]++};
			canp_mesh_send(m, s->self, to, msg);
			s->sent++;
			work++;
		}
		canp_mesh_flush(m, s->self);
		if (!work && canp_mesh_sleep_prepare(m, s->self)) {
			s->sleeps++;
			canp_ring_wait(s->ring, UINT64_MAX); /* a lost wake-up hangs here */
			canp_mesh_sleep_done(m, s->self);
		}
	}
	pthread_barrier_wait(&s->t->down);
	canp_ring_destroy(s->ring);
	return NULL;
}

static void run_threads(enum canp_ring_kind kind)
{
	static struct thr_shard shards[THR_SHARDS];
	pthread_t tid[THR_SHARDS];
	struct thr t = {.kind = kind};

	memset(shards, 0, sizeof(shards));
	assert_int_equal(canp_mesh_create(THR_SHARDS, &t.m), 0);
	pthread_barrier_init(&t.up, NULL, THR_SHARDS);
	pthread_barrier_init(&t.down, NULL, THR_SHARDS);
	for (unsigned i = 0; i < THR_SHARDS; i++) {
		shards[i].t = &t;
		shards[i].self = i;
		assert_int_equal(pthread_create(&tid[i], NULL, thr_main, &shards[i]), 0);
	}
	for (unsigned i = 0; i < THR_SHARDS; i++)
		pthread_join(tid[i], NULL);
	for (unsigned i = 0; i < THR_SHARDS; i++) {
		assert_int_equal(shards[i].bad, 0);
		assert_int_equal(shards[i].home, THR_NOTES);
	}
	pthread_barrier_destroy(&t.up);
	pthread_barrier_destroy(&t.down);
	canp_mesh_destroy(t.m);
}

static void test_threads_on_auto_rings_never_miss_a_wake_up(void **state)
{
	(void)state;
	run_threads(CANP_RING_AUTO);
}

static void test_threads_on_sync_rings_never_miss_a_wake_up(void **state)
{
	(void)state;
	run_threads(CANP_RING_SYNC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_goes_there_and_home),
		cmocka_unit_test(test_self_send_arrives_with_the_next_recv),
		cmocka_unit_test(test_full_lane_overflows_into_the_fifo_in_order),
		cmocka_unit_test(test_a_receiver_is_fair_to_its_senders),
		cmocka_unit_test(test_sleep_is_refused_when_there_is_news),
		cmocka_unit_test(test_one_wake_up_per_sleep),
		cmocka_unit_test(test_sizes_are_checked),
		cmocka_unit_test(test_simulated_shards_lose_and_reorder_nothing),
		cmocka_unit_test(test_threads_on_auto_rings_never_miss_a_wake_up),
		cmocka_unit_test(test_threads_on_sync_rings_never_miss_a_wake_up),
	};

	return cmocka_run_group_tests_name("mesh", tests, NULL, NULL);
}
