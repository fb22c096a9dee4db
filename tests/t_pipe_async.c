/*
 * t_pipe_async.c - the asynchronous executor: graphs of operators on reactors, batches that
 * overlap, operators side by side, pipes that share reactors, runs that are stopped. The names
 * begin with the row of the requirements that a test shows.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/lib/pipe_help.h"

#define ITEMS (PIPE_SLOW ? 20000u : 100000u)

struct pair {
	uint64_t a, b;
};

struct pair_sink {
	uint64_t seen, bad;
};

static struct canp_pipe *pipe_on(struct canp_exec *ex)
{
	struct canp_pipe_opts o = {.exec = ex};
	struct canp_pipe *p;

	assert_int_equal(canp_pipe_create("graph", "throughput", &o, &p), 0);
	return p;
}

static int add(struct canp_pipe *p, struct canp_pipe_op op, const int *in, unsigned nr)
{
	int id = canp_pipe_add(p, &op, in, nr);

	assert_true(id >= 0);
	return id;
}

static int map_triple(void *arg, const void *in, void *out)
{
	uint64_t x;

	(void)arg;
	memcpy(&x, in, 8);
	x *= 3;
	memcpy(out, &x, 8);
	return 0;
}

/* Both branches of the diamond have worked on the same item. */
static int take_diamond(void *arg, const struct canp_batch *b)
{
	struct pair_sink *s = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		struct pair v;

		if (!canp_batch_kept(b, r))
			continue;
		memcpy(&v, b->rec + (size_t)r * b->stride, sizeof(v));
		s->bad += v.a != 2 * s->seen + 1 || v.b != 3 * s->seen;
		s->seen++;
	}
	return 0;
}

static void F12_diamond_joins_each_item_with_itself(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe *p = pipe_on(ex);
	struct count_src src = {.n = ITEMS};
	struct pair_sink out = {0};
	struct canp_pipe_op op = {.kind = CANP_PIPE_MAP, .item_bytes = 8};
	int s, ab[2];

	(void)state;
	s = add(p,
		(struct canp_pipe_op){.name = "s",
				      .kind = CANP_PIPE_SOURCE,
				      .item_bytes = 8,
				      .next = count_next,
				      .arg = &src},
		NULL, 0);
	op.name = "odd";
	op.map = map_odd;
	ab[0] = add(p, op, &s, 1);
	op.name = "triple";
	op.map = map_triple;
	ab[1] = add(p, op, &s, 1);
	add(p,
	    (struct canp_pipe_op){.name = "pairs",
				  .kind = CANP_PIPE_SINK,
				  .join = CANP_PIPE_ZIP,
				  .sink = take_diamond,
				  .arg = &out},
	    ab, 2);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, ITEMS);
	assert_int_equal(out.bad, 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

static void F12_fan_out_gives_each_branch_all_items(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe *p = pipe_on(ex);
	struct count_src src = {.n = ITEMS};
	struct order_sink out[3] = {{0}};
	static const char *const names[] = {"x", "y", "z"};
	int s, odd;

	(void)state;
	s = add(p,
		(struct canp_pipe_op){.name = "s",
				      .kind = CANP_PIPE_SOURCE,
				      .item_bytes = 8,
				      .next = count_next,
				      .arg = &src},
		NULL, 0);
	odd = add(p,
		  (struct canp_pipe_op){
			  .name = "odd", .kind = CANP_PIPE_MAP, .item_bytes = 8, .map = map_odd},
		  &s, 1);
	for (unsigned i = 0; i < 3; i++)
		add(p,
		    (struct canp_pipe_op){.name = names[i],
					  .kind = CANP_PIPE_SINK,
					  .sink = order_take,
					  .arg = &out[i]},
		    i == 2 ? &s : &odd, 1);
	assert_int_equal(canp_pipe_run(p), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(out[i].seen, ITEMS);
		assert_int_equal(out[i].disorder, 0);
	}
	assert_int_equal(out[0].sum, out[1].sum);
	assert_int_equal(out[0].sum, (uint64_t)ITEMS * ITEMS);
	assert_int_equal(out[2].sum, (uint64_t)ITEMS * (ITEMS - 1) / 2);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

struct count_sink {
	uint64_t seen, sum;
};

static int count_take(void *arg, const struct canp_batch *b)
{
	struct count_sink *s = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		if (!canp_batch_kept(b, r))
			continue;
		s->sum += *(const uint64_t *)(b->rec + (size_t)r * b->stride);
		s->seen++;
	}
	return 0;
}

static void F12_two_sources_of_different_length_are_merged(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe *p = pipe_on(ex);
	/* One of them brings few items at a time. */
	struct count_src src[2] = {{.n = ITEMS, .most = 7}, {.n = ITEMS / 3}};
	struct count_sink out = {0};
	uint64_t n = ITEMS, m = ITEMS / 3;
	int s[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		s[i] = add(p,
			   (struct canp_pipe_op){.name = i ? "s1" : "s0",
						 .kind = CANP_PIPE_SOURCE,
						 .item_bytes = 8,
						 .next = count_next,
						 .arg = &src[i]},
			   NULL, 0);
	add(p,
	    (struct canp_pipe_op){
		    .name = "all", .kind = CANP_PIPE_SINK, .sink = count_take, .arg = &out},
	    s, 2);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, n + m);
	assert_int_equal(out.sum, n * (n - 1) / 2 + m * (m - 1) / 2);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

/* Zipped items of two sources: as many as the shorter one has. */
static int take_equal(void *arg, const struct canp_batch *b)
{
	struct pair_sink *s = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		struct pair v;

		if (!canp_batch_kept(b, r))
			continue;
		memcpy(&v, b->rec + (size_t)r * b->stride, sizeof(v));
		s->bad += v.a != s->seen || v.b != s->seen;
		s->seen++;
	}
	return 0;
}

static void F12_two_sources_are_zipped_by_number(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe *p = pipe_on(ex);
	struct count_src src[2] = {{.n = ITEMS, .most = 5}, {.n = ITEMS - 1234, .most = 11}};
	struct pair_sink out = {0};
	int s[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		s[i] = add(p,
			   (struct canp_pipe_op){.name = i ? "s1" : "s0",
						 .kind = CANP_PIPE_SOURCE,
						 .item_bytes = 8,
						 .next = count_next,
						 .arg = &src[i]},
			   NULL, 0);
	add(p,
	    (struct canp_pipe_op){.name = "pairs",
				  .kind = CANP_PIPE_SINK,
				  .join = CANP_PIPE_ZIP,
				  .sink = take_equal,
				  .arg = &out},
	    s, 2);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, ITEMS - 1234);
	assert_int_equal(out.bad, 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

static void F12_cycle_is_refused_by_build(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_pipe *p = pipe_on(NULL);
	struct count_src src = {.n = 1};
	struct canp_pipe_op op = {.kind = CANP_PIPE_MAP, .item_bytes = 8, .map = map_odd};
	struct order_sink out = {0};

	(void)state;
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_map(p, "a", 8, map_odd, NULL, 0);
	canp_pipe_map(p, "b", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_edge(p, 2, 1), 0);
	assert_int_equal(canp_pipe_build(p, &err), -ELOOP);
	assert_non_null(strstr(err.buf, "cycle"));
	assert_int_equal(canp_pipe_run(p), -ELOOP);
	/* Edges that make no sense are refused at once. */
	assert_int_equal(canp_pipe_edge(p, 1, 2), -EINVAL); /* there already */
	assert_int_equal(canp_pipe_edge(p, 1, 0), -EINVAL); /* into a source */
	assert_int_equal(canp_pipe_edge(p, 3, 1), -EINVAL); /* out of a sink */
	assert_int_equal(canp_pipe_edge(p, 9, 1), -EINVAL);
	op.name = "c";
	assert_int_equal(canp_pipe_add(p, &op, (int[]){-1}, 1), -EINVAL);
	canp_pipe_destroy(p);
	canp_strbuf_fini(&err);
	/* An operator that nobody reads, next to a sink. */
	p = pipe_on(NULL);
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_map(p, "a", 8, map_odd, NULL, 0);
	add(p,
	    (struct canp_pipe_op){
		    .name = "t", .kind = CANP_PIPE_SINK, .sink = order_take, .arg = &out},
	    (int[]){0}, 1);
	assert_int_equal(canp_pipe_build(p, NULL), -EINVAL);
	canp_pipe_destroy(p);
}

/* ---- overlap ---- */

struct meet {
	uint64_t begun;  /* batches that have begun in the operator */
	uint64_t missed; /* that never saw another one begin while they were inside */
	uint64_t nr;
};

/* Waits inside batch n until batch n + 1 has begun. */
static int batch_meets(void *arg, struct canp_batch *b, void *out)
{
	struct meet *m = arg;
	uint64_t mine = __atomic_add_fetch(&m->begun, 1, __ATOMIC_SEQ_CST);

	memcpy(out, b->rec, (size_t)b->nr_rows * b->stride);
	spin_ns(20000); /* worth a second core */
	if (mine >= m->nr)
		return 0;
	m->missed += !wait_for(&m->begun, mine + 1);
	return 0;
}

static void C07_F02_batches_overlap(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex, .batch_items = 8, .no_adaptive_batching = true};
	struct count_src src = {.n = 8 * 20};
	struct meet m = {.nr = 20};
	struct order_sink out = {0};
	struct canp_pipe *p;
	struct canp_pipe_op op = {.name = "meet",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .map_batch = batch_meets,
				  .arg = &m};
	int in = 0;

	(void)state;
	assert_int_equal(canp_pipe_create("overlap", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	add(p, op, &in, 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(m.begun, 20);
	assert_int_equal(m.missed, 0);
	assert_int_equal(out.seen, 160);
	assert_int_equal(out.disorder, 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

struct stage {
	struct stage *prev;
	uint64_t begun, missed, nr;
};

/* A serial operator that waits, while it is inside, until the one before it is inside, too. */
static int batch_stage(void *arg, struct canp_batch *b, void *out)
{
	struct stage *s = arg;
	uint64_t mine = __atomic_add_fetch(&s->begun, 1, __ATOMIC_SEQ_CST);

	memcpy(out, b->rec, (size_t)b->nr_rows * b->stride);
	spin_ns(20000); /* worth a second core */
	if (s->prev && mine < s->nr)
		s->missed += !wait_for(&s->prev->begun, mine + 1);
	return 0;
}

static void F11_F13_serial_operators_work_side_by_side(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex, .batch_items = 4, .no_adaptive_batching = true};
	struct count_src src = {.n = 4 * 50};
	struct stage a = {.nr = 50}, b = {.prev = &a, .nr = 50};
	struct order_sink out = {0};
	struct canp_pipe *p;
	struct canp_pipe_op op = {.kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .parallel_degree = 1,
				  .map_batch = batch_stage};
	int in = 0;

	(void)state;
	assert_int_equal(canp_pipe_create("stages", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	op.name = "a";
	op.arg = &a;
	in = add(p, op, &in, 1);
	op.name = "b";
	op.arg = &b;
	in = add(p, op, &in, 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(b.missed, 0); /* b had batch n while a had n + 1 */
	assert_int_equal(out.seen, 200);
	assert_int_equal(out.disorder, 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

struct gate {
	uint64_t open, first;
};

static int take_gate(void *arg, const struct canp_batch *b)
{
	struct gate *g = arg;

	(void)b;
	__atomic_store_n(&g->first, 1, __ATOMIC_RELEASE);
	return 0;
}

/* Gives one batch, then nothing until the sink has seen it. */
static int next_gate(void *arg, void *items, uint32_t max)
{
	struct gate *g = arg;

	if (g->open == 0) {
		g->open = 1;
		memset(items, 0, 8);
		return 1;
	}
	if (!__atomic_load_n(&g->first, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	(void)max;
	return 0;
}

static void F13_second_operator_begins_after_the_first_batch(void **state)
{
	struct canp_pipe *p = pipe_on(NULL);
	struct gate g = {0};

	(void)state;
	canp_pipe_source(p, "s", 8, next_gate, &g);
	canp_pipe_map(p, "m", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "t", take_gate, &g);
	assert_int_equal(canp_pipe_run(p), 0); /* would never end otherwise */
	assert_int_equal(g.first, 1);
	canp_pipe_destroy(p);
}

/* ---- several at once ---- */

static void F06_two_pipes_share_the_reactors(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe *p[2];
	struct count_src src[2] = {{.n = ITEMS}, {.n = 2 * ITEMS}};
	struct order_sink out[2] = {{0}};
	struct canp_future *f[2];
	struct canp_task_result r;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		p[i] = pipe_on(ex);
		canp_pipe_source(p[i], "s", 8, count_next, &src[i]);
		canp_pipe_map(p[i], "odd", 8, map_odd, NULL, 0);
		canp_pipe_sink(p[i], "t", order_take, &out[i]);
		assert_int_equal(canp_pipe_start(p[i], &f[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(canp_future_wait(f[i], UINT32_MAX, &r), 0);
		assert_int_equal(r.error, 0);
		canp_future_put(f[i]);
		assert_int_equal(out[i].seen, src[i].n);
		assert_int_equal(out[i].disorder, 0);
		canp_pipe_destroy(p[i]);
	}
	/* The executor goes on without them. */
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_destroy(ex);
}

struct pusher {
	struct canp_pipe *p;
	unsigned nr;
	uint64_t errors;
};

static void *push_many(void *arg)
{
	struct pusher *u = arg;

	for (uint64_t i = 0; i < u->nr; i++) {
		struct canp_future *f = NULL;
		bool ask = i % 16 == 0;
		int rc;

		while ((rc = canp_pipe_push(u->p, &i, ask ? &f : NULL)) == -EAGAIN)
			sched_yield();
		u->errors += rc != 0;
		if (!rc && ask) {
			struct canp_task_result r;

			u->errors += canp_future_wait(f, 60000, &r) || r.error;
			canp_future_put(f);
		}
	}
	return NULL;
}

static void F06_items_are_pushed_from_many_threads(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe *p = pipe_on(ex);
	struct count_sink out = {0};
	struct pusher u[3];
	pthread_t t[3];
	uint64_t n = ITEMS / 10;

	(void)state;
	canp_pipe_source(p, "pushed", 8, NULL, NULL);
	canp_pipe_map(p, "copy", 8, map_copy, NULL, 0);
	canp_pipe_sink(p, "t", count_take, &out);
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		u[i] = (struct pusher){.p = p, .nr = (unsigned)n};
		assert_int_equal(pthread_create(&t[i], NULL, push_many, &u[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(u[i].errors, 0);
	}
	canp_pipe_stop(p);
	assert_int_equal(canp_pipe_wait(p, 60000), 0);
	assert_int_equal(out.seen, 3 * n);
	assert_int_equal(out.sum, 3 * (n * (n - 1) / 2));
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

/* running[0]: operators inside now; [1]: the most there were. */
static int map_running(void *arg, const void *in, void *out)
{
	int *running = arg, n = __atomic_add_fetch(&running[0], 1, __ATOMIC_SEQ_CST);
	int most = __atomic_load_n(&running[1], __ATOMIC_SEQ_CST);

	while (n > most && !__atomic_compare_exchange_n(&running[1], &most, n, false,
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	nap_us(100);
	memcpy(out, in, 8);
	__atomic_fetch_sub(&running[0], 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void F14_limit_of_running_operators_is_never_exceeded(void **state)
{
	struct canp_exec *ex = exec_of(4);
	struct canp_pipe_opts o = {
		.exec = ex, .max_running_ops = 2, .batch_items = 1, .no_adaptive_batching = true};
	static const char *const names[] = {"a", "b", "c"};
	struct count_src src = {.n = 200};
	struct order_sink out = {0};
	struct canp_pipe_op_stats st;
	struct canp_pipe *p;
	uint32_t most = 0;
	int running[2] = {0};

	(void)state;
	assert_int_equal(canp_pipe_create("limit", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	for (unsigned i = 0; i < 3; i++)
		canp_pipe_map(p, names[i], 8, map_running, running, 0);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 200);
	assert_int_equal(out.disorder, 0);
	assert_in_range(running[1], 1, 2);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(canp_pipe_op_stats(p, i, &st), 0);
		most = st.running_max > most ? st.running_max : most;
	}
	assert_in_range(most, 1, 2);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

/* ---- ends ---- */

static void C20_cancel_stop_and_destroy_while_it_runs(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_future *f;
	struct canp_task_result r;

	(void)state;
	for (unsigned round = 0; round < (PIPE_SLOW ? 20 : 100); round++) {
		struct canp_pipe *p = pipe_on(ex);
		struct order_sink out = {0};
		uint64_t at = 0;

		canp_pipe_source(p, "s", 8, endless_next, &at);
		canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
		canp_pipe_map(p, "serial", 8, map_copy, NULL, 1);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_start(p, &f), 0);
		if (round % 2)
			assert_true(wait_for(&out.seen, 1 + round));
		if (round % 4 == 0) {
			canp_pipe_cancel(p);
			assert_int_equal(canp_pipe_wait(p, 60000), -ECANCELED);
		} else if (round % 4 == 1) {
			canp_pipe_stop(p);
			assert_int_equal(canp_pipe_wait(p, 60000), 0);
			assert_int_equal(out.seen, at);
		} else if (round % 4 == 2) {
			assert_int_equal(canp_future_cancel(f), 0);
			assert_int_equal(canp_future_wait(f, 60000, &r), 0);
			assert_int_equal(r.error, -ECANCELED);
		}
		canp_pipe_destroy(p);
		assert_int_equal(canp_future_wait(f, 0, &r), 0);
		canp_future_put(f);
		assert_int_equal(out.disorder, 0);
	}
	canp_exec_destroy(ex);
}

static void F04_pushed_items_end_with_the_run_that_is_cancelled(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_future *f[200];

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct canp_pipe *p = pipe_on(ex);
		struct count_sink out = {0};
		uint64_t ok = 0;

		canp_pipe_source(p, "pushed", 8, NULL, NULL);
		canp_pipe_sink(p, "t", count_take, &out);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		for (uint64_t i = 0; i < 200; i++)
			assert_int_equal(canp_pipe_push(p, &i, &f[i]), 0);
		canp_pipe_cancel(p);
		assert_int_equal(canp_pipe_wait(p, 60000), -ECANCELED);
		for (unsigned i = 0; i < 200; i++) {
			struct canp_task_result r;

			assert_int_equal(canp_future_wait(f[i], 60000, &r), 0);
			assert_true(r.error == 0 || r.error == -ECANCELED);
			ok += r.error == 0;
			canp_future_put(f[i]);
		}
		assert_true(ok <= out.seen);
		/* Credits are whole again. */
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		assert_int_equal(canp_pipe_push(p, &(uint64_t){5}, &f[0]), 0);
		assert_int_equal(canp_future_wait(f[0], 60000, NULL), 0);
		canp_future_put(f[0]);
		canp_pipe_destroy(p);
	}
	canp_exec_destroy(ex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F12_diamond_joins_each_item_with_itself),
		cmocka_unit_test(F12_fan_out_gives_each_branch_all_items),
		cmocka_unit_test(F12_two_sources_of_different_length_are_merged),
		cmocka_unit_test(F12_two_sources_are_zipped_by_number),
		cmocka_unit_test(F12_cycle_is_refused_by_build),
		cmocka_unit_test(C07_F02_batches_overlap),
		cmocka_unit_test(F11_F13_serial_operators_work_side_by_side),
		cmocka_unit_test(F13_second_operator_begins_after_the_first_batch),
		cmocka_unit_test(F06_two_pipes_share_the_reactors),
		cmocka_unit_test(F06_items_are_pushed_from_many_threads),
		cmocka_unit_test(F14_limit_of_running_operators_is_never_exceeded),
		cmocka_unit_test(C20_cancel_stop_and_destroy_while_it_runs),
		cmocka_unit_test(F04_pushed_items_end_with_the_run_that_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
