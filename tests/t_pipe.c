/*
 * t_pipe.c - pipelines of items: options, builder, order, back pressure, batches, futures, error
 * policies, statistics. The names begin with the row of the requirements that a test shows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/lib/pipe_help.h"

#define MANY (PIPE_SLOW ? 200000u : 1000000u)

static struct canp_pipe *pipe_of(const struct canp_pipe_opts *o)
{
	struct canp_pipe *p;

	assert_int_equal(canp_pipe_create("test", NULL, o, &p), 0);
	return p;
}

/* ---- options ---- */

static void F01_defaults_are_those_of_the_source(void **state)
{
	struct canp_pipe_opts o = {.mode = CANP_PIPE_THROUGHPUT};

	(void)state;
	canp_pipe_opts_resolve(&o);
	assert_int_equal(o.max_workers, 4);
	assert_int_equal(o.max_memory_items, 10000);
	assert_int_equal(o.pipeline_depth, 3);
	assert_false(o.no_adaptive_batching);
	assert_int_equal(o.target_ns, CANP_PIPE_TARGET_NS);
	assert_int_equal(o.max_memory_bytes, 64 * CANP_MIB);
	/* Values out of range are brought into it. */
	o = (struct canp_pipe_opts){.batch_items = 100000, .pipeline_depth = 1000};
	canp_pipe_opts_resolve(&o);
	assert_int_equal(o.batch_items, 256);
	assert_int_equal(o.pipeline_depth, 64);
}

static struct canp_pipe_stats run_of(const struct canp_pipe_opts *o, uint64_t n)
{
	struct canp_pipe *p = pipe_of(o);
	struct count_src src = {.n = n};
	struct order_sink out = {0};
	struct canp_pipe_stats st;

	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, n);
	assert_int_equal(out.disorder, 0);
	assert_int_equal(out.sum, n * n);
	canp_pipe_stats(p, &st);
	assert_int_equal(st.in_flight_items, 0);
	canp_pipe_destroy(p);
	return st;
}

static void F01_each_option_can_be_observed(void **state)
{
	struct canp_pipe_opts o = {.max_memory_items = 7};
	struct canp_pipe_stats st, fixed;

	(void)state;
	st = run_of(&o, 20000);
	assert_in_range(st.in_flight_items_max, 1, 7);
	o = (struct canp_pipe_opts){.pipeline_depth = 1, .max_workers = 1};
	st = run_of(&o, 20000);
	assert_int_equal(st.in_flight_batches_max, 1);
	o = (struct canp_pipe_opts){.no_adaptive_batching = true, .batch_items = 5};
	fixed = run_of(&o, 20000);
	assert_int_equal(fixed.batch_items, 5);
	assert_int_equal(fixed.batches, 4000);
	o.no_adaptive_batching = false;
	st = run_of(&o, 20000);
	assert_true(st.batches < fixed.batches);
	o = (struct canp_pipe_opts){.max_memory_bytes = 4 * 16, .max_workers = 1};
	st = run_of(&o, 20000);
	assert_in_range(st.in_flight_bytes_max, 1, 64);
}

static void F17_three_modes_by_name_and_nothing_else(void **state)
{
	struct canp_pipe *p;
	enum canp_pipe_mode m;

	(void)state;
	for (unsigned i = 0; i < CANP_PIPE_NR_MODES; i++) {
		const char *name = canp_pipe_mode_name((enum canp_pipe_mode)i);

		assert_int_equal(canp_pipe_mode_parse(name, &m), 0);
		assert_int_equal(m, i);
		assert_int_equal(canp_pipe_create("x", name, NULL, &p), 0);
		canp_pipe_destroy(p);
	}
	assert_int_equal(canp_pipe_create("x", "fast", NULL, &p), -EINVAL);
	assert_int_equal(canp_pipe_create("no blanks", NULL, NULL, &p), -EINVAL);
	assert_int_equal(canp_pipe_create("", NULL, NULL, &p), -EINVAL);
}

static uint32_t batch_in_mode(void (*optimize)(struct canp_pipe *p), uint64_t *memory)
{
	struct canp_pipe *p = pipe_of(NULL);
	struct count_src src = {.n = MANY / 4};
	struct order_sink out = {0};
	struct canp_pipe_stats st;

	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "take", order_take, &out);
	optimize(p);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, src.n);
	canp_pipe_stats(p, &st);
	*memory = st.memory_bytes;
	canp_pipe_destroy(p);
	return st.batch_items;
}

static void F18_F19_F20_modes_set_batches_and_windows(void **state)
{
	uint64_t through, latency, memory;

	(void)state;
	/* Trivial work: batches grow to what the mode allows. */
	assert_in_range(batch_in_mode(canp_pipe_optimize_for_throughput, &through), 65, 256);
	assert_int_equal(batch_in_mode(canp_pipe_optimize_for_latency, &latency), 1);
	assert_in_range(batch_in_mode(canp_pipe_optimize_for_memory, &memory), 2, 32);
	assert_true(memory < through);
}

static void F22_executor_follows_from_the_options(void **state)
{
	struct canp_pipe_opts o = {.executor = CANP_PIPE_AUTO};

	(void)state;
	assert_int_equal(canp_pipe_choose(&o, false), CANP_PIPE_REACTOR);
	assert_int_equal(canp_pipe_choose(&o, true), CANP_PIPE_PROCESSES);
	o.no_async_execution = true;
	assert_int_equal(canp_pipe_choose(&o, false), CANP_PIPE_SERIAL);
	assert_int_equal(canp_pipe_choose(&o, true), CANP_PIPE_SERIAL);
	for (int e = CANP_PIPE_REACTOR; e <= CANP_PIPE_SERIAL; e++) {
		o.executor = (enum canp_pipe_exec)e;
		assert_int_equal(canp_pipe_choose(&o, true), e);
	}
}

static void F21_eight_switch_settings_give_equal_results(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct canp_pipe_opts o = {.no_async_execution = i & 1,
					   .no_shared_monitoring = i & 2,
					   .no_async_events = i & 4};
		struct canp_pipe_stats st = run_of(&o, 20000);

		assert_int_equal(st.executor, i & 1 ? CANP_PIPE_SERIAL : CANP_PIPE_REACTOR);
		assert_int_equal(st.items_out, 20000);
	}
}

/* ---- builder ---- */

static void F16_builder_with_filter_keeps_the_order(void **state)
{
	struct canp_pipe *p = pipe_of(NULL);
	struct count_src src = {.n = 100001};
	struct order_sink out = {0};
	struct canp_pipe_op_stats st;

	(void)state;
	canp_pipe_sink(
		canp_pipe_map(canp_pipe_filter(canp_pipe_source(p, "count", 8, count_next, &src),
					       "even", keep_even, NULL),
			      "odd", 8, map_odd, NULL, 0),
		"take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 50001);
	assert_int_equal(out.disorder, 0);
	assert_int_equal(out.last, 200001);
	assert_false(src.twice);
	assert_int_equal(canp_pipe_op_stats(p, 1, &st), 0);
	assert_string_equal(st.name, "even");
	assert_int_equal(st.items_in, 100001);
	assert_int_equal(st.items_out, 50001);
	assert_int_equal(st.items_dropped, 50000);
	canp_pipe_destroy(p);
}

struct inside {
	int now, most;
	long us;
};

static int map_inside(void *arg, const void *in, void *out)
{
	struct inside *s = arg;
	int n = __atomic_add_fetch(&s->now, 1, __ATOMIC_SEQ_CST);
	int most = __atomic_load_n(&s->most, __ATOMIC_SEQ_CST);

	while (n > most && !__atomic_compare_exchange_n(&s->most, &most, n, false, __ATOMIC_SEQ_CST,
							__ATOMIC_SEQ_CST))
		;
	nap_us(s->us);
	memcpy(out, in, 8);
	__atomic_fetch_sub(&s->now, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static int degree_seen(unsigned degree, unsigned cores)
{
	struct canp_exec *ex = exec_of(cores);
	struct canp_pipe_opts o = {.exec = ex, .batch_items = 1, .no_adaptive_batching = true};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = 100};
	struct inside in = {.us = 500};
	struct order_sink out = {0};

	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "inside", 8, map_inside, &in, degree);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 100);
	assert_int_equal(out.disorder, 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
	return in.most;
}

static void F16_parallel_degree_is_honoured(void **state)
{
	(void)state;
	assert_int_equal(degree_seen(1, 4), 1);
	assert_in_range(degree_seen(2, 4), 1, 2);
	assert_in_range(degree_seen(3, 4), 1, 3);
	assert_in_range(degree_seen(0, 4), 2, 4);
}

static void F16_builder_errors_are_told_by_build(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_pipe *p = pipe_of(NULL);

	(void)state;
	canp_pipe_map(p, "orphan", 8, map_odd, NULL, 0); /* nothing in front of it */
	assert_int_equal(canp_pipe_build(p, &err), -EINVAL);
	assert_true(err.len > 0);
	canp_pipe_destroy(p);
	p = pipe_of(NULL);
	canp_pipe_source(p, "a", 8, count_next, NULL);
	canp_pipe_map(p, "a", 8, map_odd, NULL, 0);
	assert_int_equal(canp_pipe_run(p), -EEXIST);
	canp_pipe_destroy(p);
	canp_strbuf_fini(&err);
}

/* ---- order, memory, batches ---- */

static int map_delay(void *arg, const void *in, void *out)
{
	uint64_t x;

	(void)arg;
	memcpy(&x, in, 8);
	/* A few items take a thousand times as long as the others. */
	if ((x * 0x9e3779b97f4a7c15ull) >> 52 == 7)
		spin_ns(20000);
	memcpy(out, in, 8);
	return 0;
}

static void F05_order_is_exact_with_random_delays(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = MANY};
	struct order_sink out = {0};
	struct canp_pipe_stats st;

	(void)state;
	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "delay", 8, map_delay, NULL, 0);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, MANY);
	assert_int_equal(out.disorder, 0);
	assert_int_equal(out.last, 2ull * MANY - 1);
	assert_false(src.twice);
	canp_pipe_stats(p, &st);
	assert_in_range(st.in_flight_batches_max, 1, 6); /* the window bounds what waits */
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

static int map_cost(void *arg, const void *in, void *out)
{
	spin_ns(*(uint64_t *)arg);
	memcpy(out, in, 8);
	return 0;
}

static uint32_t batch_after(uint64_t cost_ns, uint64_t items, uint32_t first, uint64_t *batches)
{
	struct canp_pipe_opts o = {.batch_items = first, .max_workers = 1};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = items};
	struct order_sink out = {0};
	struct canp_pipe_stats st;

	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "cost", 8, map_cost, &cost_ns, 0);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	canp_pipe_stats(p, &st);
	*batches = st.batches;
	canp_pipe_destroy(p);
	return st.batch_items;
}

static void F03_batches_grow_and_shrink_with_the_cost_of_an_item(void **state)
{
	uint64_t batches;

	(void)state;
	/* Too cheap: as long as they get. Other load only makes items dearer, so not shorter. */
	assert_in_range(batch_after(0, MANY, 4, &batches), PIPE_SLOW ? 16 : 128, 256);
	/* 1 ms an item is more than a batch should be: from 64 to 1 in a few steps. */
	assert_int_equal(batch_after(1000000, 160, 64, &batches), 1);
	assert_true(batches > 20); /* so it shrank early */
}

struct slow_sink {
	struct order_sink order;
	long us;
};

static int slow_take(void *arg, const struct canp_batch *b)
{
	struct slow_sink *s = arg;

	nap_us(s->us);
	return order_take(&s->order, b);
}

static void F04_F31_slow_sink_stops_the_source_at_the_limit(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex,
				   .max_memory_items = 64,
				   .batch_items = 16,
				   .no_adaptive_batching = true};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = 1600};
	struct slow_sink out = {.us = 1000};
	struct canp_pipe_stats st;

	(void)state;
	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	canp_pipe_sink(p, "take", slow_take, &out);
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	do {
		canp_pipe_stats(p, &st);
		assert_in_range(st.in_flight_items, 0, 64);
	} while (canp_pipe_wait(p, 1) == -ETIMEDOUT);
	canp_pipe_stats(p, &st);
	assert_int_equal(out.order.seen, 1600);
	assert_in_range(st.in_flight_items_max, 1, 64);
	assert_in_range(st.in_flight_batches_max, 1, 6); /* depth 3, two workers */
	assert_in_range(st.in_flight_bytes_max, 1, 64 * 16);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

static void C17_windows_between_operators_are_bounded(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex, .pipeline_depth = 2, .batch_items = 4};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = 4000};
	struct slow_sink out = {.us = 200};
	struct canp_pipe_op_stats st;

	(void)state;
	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "serial", 8, map_odd, NULL, 1);
	canp_pipe_sink(p, "take", slow_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(canp_pipe_op_stats(p, i, &st), 0);
		assert_in_range(st.queue_max, 0, 4); /* depth 2, two workers */
		assert_int_equal(st.queue_depth, 0);
	}
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

/* ---- three stages, first error ---- */

static void C19_three_stages_run_as_one(void **state)
{
	struct canp_pipe_opts o = {.max_workers = 3};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = 50000};
	struct order_sink out = {0};

	(void)state;
	canp_pipe_source(p, "read", 8, count_next, &src);
	canp_pipe_map(p, "process", 8, map_odd, NULL, 3);
	canp_pipe_sink(p, "write", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 50000);
	assert_int_equal(out.disorder, 0);
	/* And again. */
	src.at = 0;
	memset(&out, 0, sizeof(out));
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 50000);
	canp_pipe_destroy(p);
}

static int map_fails(void *arg, const void *in, void *out)
{
	const uint64_t *every = arg;
	uint64_t x;

	memcpy(&x, in, 8);
	memcpy(out, in, 8);
	return x % *every == *every - 1 ? -EBADMSG : 0;
}

static void C20_first_error_ends_the_run_and_is_returned(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex};
	struct canp_pipe *p = pipe_of(&o);
	uint64_t at = 0, every = 30000;
	struct order_sink out = {0};
	struct canp_pipe_stats st;

	(void)state;
	canp_pipe_source(p, "read", 8, endless_next, &at);
	canp_pipe_map(p, "process", 8, map_fails, &every, 0);
	canp_pipe_sink(p, "write", order_take, &out);
	assert_int_equal(canp_pipe_run(p), -EBADMSG);
	assert_true(out.seen < 30000); /* what came before may have arrived, nothing behind it */
	assert_int_equal(out.disorder, 0);
	canp_pipe_stats(p, &st);
	assert_int_equal(st.in_flight_items, 0);
	/* The same pipe runs again: it fails again, at the same item or later. */
	assert_int_equal(canp_pipe_run(p), -EBADMSG);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

struct dead_list {
	uint64_t nr, wrong;
};

static void dead_note(void *arg, const struct canp_pipe_dead *d)
{
	struct dead_list *l = *(struct dead_list **)arg;
	uint64_t x;

	memcpy(&x, d->data, 8);
	__atomic_fetch_add(&l->wrong, x != d->item || d->error != -EBADMSG || d->bytes != 8,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&l->nr, 1, __ATOMIC_RELAXED);
}

struct fail_arg {
	struct dead_list *list; /* first: dead_note() finds it there */
	uint64_t every;
	uint64_t calls;
};

static int map_fails_noted(void *arg, const void *in, void *out)
{
	struct fail_arg *f = arg;

	__atomic_fetch_add(&f->calls, 1, __ATOMIC_RELAXED);
	return map_fails(&f->every, in, out);
}

static void fail_run(enum canp_pipe_policy policy, struct dead_list *dead,
		     struct canp_pipe_op_stats *st, uint64_t *calls)
{
	struct canp_pipe *p = pipe_of(NULL);
	struct count_src src = {.n = 10000};
	struct order_sink out = {0};
	struct fail_arg fa = {.list = dead, .every = 100};
	struct canp_pipe_op op = {.name = "fails",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = policy,
				  .retries = 2,
				  .on_dead = dead_note,
				  .map = map_fails_noted,
				  .arg = &fa};
	int in;

	canp_pipe_source(p, "count", 8, count_next, &src);
	in = 0;
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 9900);
	assert_int_equal(out.disorder, 0);
	assert_int_equal(canp_pipe_op_stats(p, 1, st), 0);
	assert_int_equal(st->items_failed, 100);
	assert_int_equal(st->items_in, 10000);
	assert_int_equal(st->items_out, 9900);
	assert_int_equal(st->items_dropped, 0);
	*calls = fa.calls;
	canp_pipe_destroy(p);
}

static void F10_failed_items_are_skipped_retried_or_kept_apart(void **state)
{
	struct dead_list dead = {0};
	struct canp_pipe_op_stats st;
	uint64_t calls;

	(void)state;
	fail_run(CANP_PIPE_SKIP, &dead, &st, &calls);
	assert_int_equal(dead.nr, 0);
	assert_int_equal(calls, 10000);
	fail_run(CANP_PIPE_DEAD_LETTER, &dead, &st, &calls);
	assert_int_equal(dead.nr, 100);
	assert_int_equal(dead.wrong, 0);
	dead.nr = 0;
	fail_run(CANP_PIPE_RETRY, &dead, &st, &calls);
	assert_int_equal(dead.nr, 100);
	assert_int_equal(dead.wrong, 0);
	assert_int_equal(st.retries, 200);
	assert_int_equal(calls, 10200);
}

/* ---- futures, iteration, statistics ---- */

static int map_push(void *arg, const void *in, void *out)
{
	uint64_t x;

	memcpy(&x, in, 8);
	memcpy(out, in, 8);
	(void)arg;
	return x % 10 == 3 ? -EDOM : 0;
}

static int keep_unless_7(void *arg, const void *item)
{
	(void)arg;
	return *(const uint64_t *)item % 10 != 7;
}

static void F06_future_of_the_run_and_of_each_pushed_item(void **state)
{
	struct canp_pipe *p = pipe_of(NULL);
	struct order_sink out = {0};
	struct canp_future *run, *f[100];
	struct canp_pipe_op op = {.name = "map",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = CANP_PIPE_SKIP,
				  .map = map_push};
	struct canp_task_result r;
	int in = 0;

	(void)state;
	canp_pipe_source(p, "pushed", 8, NULL, NULL);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	canp_pipe_filter(p, "unless", keep_unless_7, NULL);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_push(p, &(uint64_t){0}, NULL), -EPIPE); /* not started */
	assert_int_equal(canp_pipe_start(p, &run), 0);
	assert_int_equal(canp_pipe_start(p, NULL), -EBUSY);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(canp_pipe_push(p, &i, &f[i]), 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(canp_future_wait(f[i], 60000, &r), 0);
		assert_int_equal(r.error, i % 10 == 3 ? -EDOM : i % 10 == 7 ? -ENODATA : 0);
		canp_future_put(f[i]);
	}
	assert_int_equal(canp_future_wait(run, 0, NULL), -ETIMEDOUT);
	canp_pipe_stop(p);
	assert_int_equal(canp_pipe_push(p, &(uint64_t){0}, NULL), -EPIPE);
	assert_int_equal(canp_future_wait(run, 60000, &r), 0);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.status, CANP_TASK_COMPLETED);
	canp_future_put(run);
	assert_int_equal(canp_pipe_wait(p, UINT32_MAX), 0);
	assert_int_equal(out.seen, 80);
	canp_pipe_destroy(p);
}

static void F07_items_are_pulled_before_the_source_ends(void **state)
{
	struct canp_pipe *p = pipe_of(NULL);
	uint64_t at = 0, items[100], expect = 1;
	int n;

	(void)state;
	canp_pipe_source(p, "endless", 8, endless_next, &at);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	assert_int_equal(canp_pipe_run(p), -EINVAL); /* nobody would take them */
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	for (unsigned i = 0; i < 1000; i++) {
		n = canp_pipe_next(p, items, 1 + i % 100, 60000);
		assert_in_range(n, 1, 1 + i % 100);
		for (int k = 0; k < n; k++, expect += 2)
			assert_int_equal(items[k], expect);
	}
	canp_pipe_stop(p);
	while ((n = canp_pipe_next(p, items, 100, 60000)) > 0) {
		for (int k = 0; k < n; k++, expect += 2)
			assert_int_equal(items[k], expect);
	}
	assert_int_equal(n, 0);
	assert_int_equal(canp_pipe_wait(p, 60000), 0);
	assert_int_equal(expect, 2 * at + 1);
	/* Left in the middle: destroy drops the rest. */
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	assert_in_range(canp_pipe_next(p, items, 3, 60000), 1, 3);
	canp_pipe_destroy(p);
}

static void F23_statistics_of_pipe_and_operators(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex};
	struct canp_pipe *p = pipe_of(&o);
	struct count_src src = {.n = 3000};
	uint64_t cost = 2000;
	struct order_sink out = {0};
	struct canp_pipe_op_stats st[4];
	struct canp_pipe_stats ps;

	(void)state;
	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "cost", 8, map_cost, &cost, 0);
	canp_pipe_filter(p, "even", keep_even, NULL);
	canp_pipe_sink(p, "take", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(canp_pipe_op_stats(p, i, &st[i]), 0);
	assert_int_equal(canp_pipe_op_stats(p, 4, &st[0]), -EINVAL);
	assert_int_equal(canp_pipe_op_stats(p, 0, &st[0]), 0);
	canp_pipe_stats(p, &ps);
	assert_int_equal(st[0].items_out, 3000);
	assert_int_equal(st[1].items_in, 3000);
	assert_int_equal(st[2].items_in, 3000);
	assert_int_equal(st[2].items_out, 1500);
	assert_int_equal(st[3].items_in, 1500);
	for (int i = 0; i < 3; i++)
		assert_int_equal(st[i].batches, ps.batches);
	assert_in_range(st[1].running_max, 1, 2);
	assert_true(st[1].busy_ns >= 3000 * cost);
	assert_true(ps.busy_ns >= st[1].busy_ns);
	assert_true(ps.elapsed_ns >= 3000 * cost / 2);
	assert_int_equal(ps.items_in, 3000);
	assert_int_equal(ps.items_out, 1500);
	assert_int_equal(ps.nr_ops, 4);
	assert_true(ps.latency_p50_ns > 0 && ps.latency_p50_ns <= ps.latency_p99_ns);
	assert_true(ps.latency_p99_ns <= ps.latency_p999_ns);
	assert_true(ps.memory_bytes > 0);
	canp_pipe_destroy(p);
	canp_exec_destroy(ex);
}

static void F28_200_items_and_100_batches_are_all_right(void **state)
{
	struct canp_pipe_opts o = {.batch_items = 16, .no_adaptive_batching = true};
	struct canp_pipe *p;
	struct count_src src = {.n = 1600};
	uint64_t items[16], expect = 1, batches = 0;

	(void)state;
	run_of(NULL, 200); /* checks each of them */
	p = pipe_of(&o);
	canp_pipe_source(p, "count", 8, count_next, &src);
	canp_pipe_map(p, "odd", 8, map_odd, NULL, 0);
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	while (canp_pipe_next(p, items, 16, 60000) == 16) {
		for (unsigned k = 0; k < 16; k++, expect += 2)
			assert_int_equal(items[k], expect);
		batches++;
	}
	assert_int_equal(batches, 100);
	canp_pipe_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F01_defaults_are_those_of_the_source),
		cmocka_unit_test(F01_each_option_can_be_observed),
		cmocka_unit_test(F17_three_modes_by_name_and_nothing_else),
		cmocka_unit_test(F18_F19_F20_modes_set_batches_and_windows),
		cmocka_unit_test(F22_executor_follows_from_the_options),
		cmocka_unit_test(F21_eight_switch_settings_give_equal_results),
		cmocka_unit_test(F16_builder_with_filter_keeps_the_order),
		cmocka_unit_test(F16_parallel_degree_is_honoured),
		cmocka_unit_test(F16_builder_errors_are_told_by_build),
		cmocka_unit_test(F05_order_is_exact_with_random_delays),
		cmocka_unit_test(F03_batches_grow_and_shrink_with_the_cost_of_an_item),
		cmocka_unit_test(F04_F31_slow_sink_stops_the_source_at_the_limit),
		cmocka_unit_test(C17_windows_between_operators_are_bounded),
		cmocka_unit_test(C19_three_stages_run_as_one),
		cmocka_unit_test(C20_first_error_ends_the_run_and_is_returned),
		cmocka_unit_test(F10_failed_items_are_skipped_retried_or_kept_apart),
		cmocka_unit_test(F06_future_of_the_run_and_of_each_pushed_item),
		cmocka_unit_test(F07_items_are_pulled_before_the_source_ends),
		cmocka_unit_test(F23_statistics_of_pipe_and_operators),
		cmocka_unit_test(F28_200_items_and_100_batches_are_all_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
