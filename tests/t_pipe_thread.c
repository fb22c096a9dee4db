/*
 * t_pipe_thread.c - the executors beside the reactors: a thread per operator, all on one thread;
 * and that all kinds give equal results. The names begin with the row of the requirements that a
 * test shows.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/lib/pipe_help.h"

struct two {
	uint64_t odd, kept;
};

static int take_two(void *arg, const struct canp_batch *b)
{
	struct order_sink *s = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		struct two v;

		if (!canp_batch_kept(b, r))
			continue;
		memcpy(&v, b->rec + (size_t)r * b->stride, sizeof(v));
		s->disorder += v.odd != 2 * v.kept + 1 || (s->any && v.kept <= s->last);
		s->last = v.kept;
		s->any = true;
		s->sum += v.odd * 31 + v.kept;
		s->seen++;
	}
	return 0;
}

static int map_some_fail(void *arg, const void *in, void *out)
{
	uint64_t x;

	(void)arg;
	memcpy(&x, in, 8);
	memcpy(out, in, 8);
	return x % 97 == 5 ? -EBADMSG : 0;
}

/* A graph with all there is: fan-out, filter, failures, a serial operator, a join. */
static void run_kind(enum canp_pipe_exec kind, struct order_sink *out, struct canp_pipe_stats *st,
		     uint64_t *failed)
{
	struct canp_pipe_opts o = {.executor = kind, .max_workers = 4};
	struct count_src src = {.n = 20000, .most = 100};
	struct canp_pipe_op op = {.kind = CANP_PIPE_MAP, .item_bytes = 8};
	struct canp_pipe_op_stats os;
	struct canp_pipe *p;
	int s = 0, ab[2];

	assert_int_equal(canp_pipe_create("kinds", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	op.name = "odd";
	op.map = map_odd;
	ab[0] = canp_pipe_add(p, &op, &s, 1);
	op = (struct canp_pipe_op){.name = "even", .kind = CANP_PIPE_FILTER, .filter = keep_even};
	ab[1] = canp_pipe_add(p, &op, &s, 1);
	op = (struct canp_pipe_op){.name = "some",
				   .kind = CANP_PIPE_MAP,
				   .item_bytes = 8,
				   .policy = CANP_PIPE_SKIP,
				   .map = map_some_fail};
	ab[1] = canp_pipe_add(p, &op, &ab[1], 1);
	op = (struct canp_pipe_op){.name = "serial",
				   .kind = CANP_PIPE_MAP,
				   .item_bytes = 8,
				   .parallel_degree = 1,
				   .map = map_copy};
	ab[1] = canp_pipe_add(p, &op, &ab[1], 1);
	op = (struct canp_pipe_op){.name = "t",
				   .kind = CANP_PIPE_SINK,
				   .join = CANP_PIPE_ZIP,
				   .sink = take_two,
				   .arg = out};
	assert_int_equal(canp_pipe_add(p, &op, ab, 2), 5);
	memset(out, 0, sizeof(*out));
	assert_int_equal(canp_pipe_run(p), 0);
	canp_pipe_stats(p, st);
	assert_int_equal(canp_pipe_op_stats(p, 3, &os), 0);
	*failed = os.items_failed;
	canp_pipe_destroy(p);
}

static void F15_all_executors_give_equal_results(void **state)
{
	static const enum canp_pipe_exec kinds[] = {CANP_PIPE_SERIAL, CANP_PIPE_REACTOR,
						    CANP_PIPE_THREADS, CANP_PIPE_PROCESSES};
	struct order_sink out[4];
	struct canp_pipe_stats st;
	uint64_t failed[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		run_kind(kinds[i], &out[i], &st, &failed[i]);
		assert_int_equal(st.executor, kinds[i]);
		assert_int_equal(st.items_in, 20000);
		assert_int_equal(st.in_flight_items, 0);
		assert_int_equal(out[i].disorder, 0);
		assert_int_equal(out[i].seen, out[0].seen);
		assert_int_equal(out[i].sum, out[0].sum);
		assert_int_equal(failed[i], failed[0]);
	}
	assert_true(failed[0] > 0);
	assert_int_equal(out[0].seen, 10000 - failed[0]);
}

struct place {
	uint64_t nr, other;
	pthread_t thread;
};

static int map_place(void *arg, const void *in, void *out)
{
	struct place *pl = arg;

	if (!pl->nr++)
		pl->thread = pthread_self();
	pl->other += !pthread_equal(pl->thread, pthread_self());
	memcpy(out, in, 8);
	return 0;
}

static void F15_each_operator_has_a_thread_of_its_own(void **state)
{
	struct canp_pipe_opts o = {.executor = CANP_PIPE_THREADS};
	struct count_src src = {.n = 5000};
	struct place a = {0}, b = {0};
	struct order_sink out = {0};
	struct canp_pipe *p;

	(void)state;
	assert_int_equal(canp_pipe_create("threads", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	/* Parallel or not: its state needs no protection of its own. */
	canp_pipe_map(p, "a", 8, map_place, &a, 0);
	canp_pipe_map(p, "b", 8, map_place, &b, 1);
	canp_pipe_sink(p, "t", order_take, &out);
	for (unsigned run = 0; run < 3; run++) {
		src.at = 0;
		a = b = (struct place){0};
		memset(&out, 0, sizeof(out));
		assert_int_equal(canp_pipe_run(p), 0);
		assert_int_equal(out.seen, 5000);
		assert_int_equal(out.disorder, 0);
		assert_int_equal(a.nr, 5000);
		assert_int_equal(a.other + b.other, 0);
		assert_false(pthread_equal(a.thread, b.thread));
		assert_false(pthread_equal(a.thread, pthread_self()));
	}
	canp_pipe_destroy(p);
}

static void F15_serial_runs_on_the_calling_thread(void **state)
{
	struct canp_pipe_opts o = {.executor = CANP_PIPE_SERIAL};
	struct count_src src = {.n = 5000};
	struct place a = {0};
	struct order_sink out = {0};
	struct canp_pipe *p;
	struct canp_future *f;

	(void)state;
	assert_int_equal(canp_pipe_create("serial", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_map(p, "a", 8, map_place, &a, 0);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 5000);
	assert_true(pthread_equal(a.thread, pthread_self()));
	assert_int_equal(a.other, 0);
	/* Started: a thread is made for it. */
	src.at = 0;
	a.nr = 0;
	assert_int_equal(canp_pipe_start(p, &f), 0);
	assert_int_equal(canp_future_wait(f, 60000, NULL), 0);
	canp_future_put(f);
	assert_int_equal(canp_pipe_wait(p, 60000), 0);
	assert_int_equal(a.nr, 5000);
	assert_false(pthread_equal(a.thread, pthread_self()));
	canp_pipe_destroy(p);
}

struct blocked {
	struct blocked *next;
	uint64_t begun, missed;
};

/* Blocks in batch n until the operator in front of it has begun with batch n + 1. */
static int block(void *arg, struct canp_batch *b, void *out)
{
	struct blocked *s = arg;
	uint64_t mine = __atomic_add_fetch(&s->begun, 1, __ATOMIC_SEQ_CST);

	memcpy(out, b->rec, (size_t)b->nr_rows * b->stride);
	if (s->next && mine < 100)
		s->missed += !wait_for(&s->next->begun, mine + 1);
	return 0;
}

static void F15_operators_that_block_overlap_on_threads(void **state)
{
	struct canp_pipe_opts o = {
		.executor = CANP_PIPE_THREADS, .batch_items = 2, .no_adaptive_batching = true};
	struct count_src src = {.n = 200};
	struct blocked a = {0}, b = {.next = &a};
	struct order_sink out = {0};
	struct canp_pipe_op op = {.kind = CANP_PIPE_MAP, .item_bytes = 8, .map_batch = block};
	struct canp_pipe *p;
	int in = 0;

	(void)state;
	assert_int_equal(canp_pipe_create("block", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	op.name = "a";
	op.arg = &a;
	in = canp_pipe_add(p, &op, &in, 1);
	op.name = "b";
	op.arg = &b;
	in = canp_pipe_add(p, &op, &in, 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(b.missed, 0);
	assert_int_equal(out.seen, 200);
	canp_pipe_destroy(p);
}

static int nap_map(void *arg, const void *in, void *out)
{
	int *n = arg, now = __atomic_add_fetch(&n[0], 1, __ATOMIC_SEQ_CST);

	if (now > __atomic_load_n(&n[1], __ATOMIC_SEQ_CST))
		__atomic_store_n(&n[1], now, __ATOMIC_SEQ_CST);
	nap_us(200);
	memcpy(out, in, 8);
	__atomic_fetch_sub(&n[0], 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void F14_running_threads_are_limited(void **state)
{
	struct canp_pipe_opts o = {.executor = CANP_PIPE_THREADS,
				   .max_running_ops = 2,
				   .batch_items = 1,
				   .no_adaptive_batching = true};
	struct count_src src = {.n = 100};
	struct order_sink out = {0};
	struct canp_pipe *p;
	int n[2] = {0};

	(void)state;
	assert_int_equal(canp_pipe_create("limit", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_map(p, "a", 8, nap_map, n, 0);
	canp_pipe_map(p, "b", 8, nap_map, n, 0);
	canp_pipe_map(p, "c", 8, nap_map, n, 0);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 100);
	assert_in_range(n[1], 1, 2);
	canp_pipe_destroy(p);
}

static void C20_cancel_and_destroy_with_threads(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		struct canp_pipe_opts o = {.executor = round % 2 ? CANP_PIPE_THREADS
								 : CANP_PIPE_SERIAL};
		struct order_sink out = {0};
		struct canp_pipe *p;
		uint64_t at = 0;

		assert_int_equal(canp_pipe_create("end", NULL, &o, &p), 0);
		canp_pipe_source(p, "s", 8, endless_next, &at);
		canp_pipe_map(p, "a", 8, map_odd, NULL, 0);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		if (round % 3)
			assert_true(wait_for(&out.seen, round));
		if (round % 3 == 2) {
			canp_pipe_cancel(p);
			assert_int_equal(canp_pipe_wait(p, 60000), -ECANCELED);
			assert_int_equal(canp_pipe_start(p, NULL), 0);
		}
		canp_pipe_destroy(p);
		assert_int_equal(out.disorder, 0);
	}
}

static void F07_iteration_works_with_every_executor(void **state)
{
	(void)state;
	for (int kind = CANP_PIPE_REACTOR; kind <= CANP_PIPE_SERIAL; kind++) {
		struct canp_pipe_opts o = {.executor = (enum canp_pipe_exec)kind};
		uint64_t at = 0, items[64], expect = 1;
		struct canp_pipe *p;

		assert_int_equal(canp_pipe_create("pull", NULL, &o, &p), 0);
		canp_pipe_source(p, "s", 8, endless_next, &at);
		canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		while (expect < 20000) {
			int n = canp_pipe_next(p, items, 64, 60000);

			assert_in_range(n, 1, 64);
			for (int k = 0; k < n; k++, expect += 2)
				assert_int_equal(items[k], expect);
		}
		canp_pipe_destroy(p); /* the rest is dropped */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F15_all_executors_give_equal_results),
		cmocka_unit_test(F15_each_operator_has_a_thread_of_its_own),
		cmocka_unit_test(F15_serial_runs_on_the_calling_thread),
		cmocka_unit_test(F15_operators_that_block_overlap_on_threads),
		cmocka_unit_test(F14_running_threads_are_limited),
		cmocka_unit_test(C20_cancel_and_destroy_with_threads),
		cmocka_unit_test(F07_iteration_works_with_every_executor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
