/*
 * t_pipe_edge.c - the edges of pipelines: nothing to do, everything fails, smallest windows,
 * longest items, functions that do not keep their word.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/lib/pipe_help.h"

static struct canp_pipe *pipe_with(const struct canp_pipe_opts *o)
{
	struct canp_pipe *p;

	assert_int_equal(canp_pipe_create("edge", NULL, o, &p), 0);
	return p;
}

static void F05_empty_source_ends_at_once(void **state)
{
	(void)state;
	for (int kind = CANP_PIPE_REACTOR; kind <= CANP_PIPE_SERIAL; kind++) {
		struct canp_pipe_opts o = {.executor = (enum canp_pipe_exec)kind};
		struct canp_pipe *p = pipe_with(&o);
		struct count_src src = {.n = 0};
		struct order_sink out = {0};
		uint64_t item;

		canp_pipe_source(p, "s", 8, count_next, &src);
		canp_pipe_map(p, "m", 8, map_odd, NULL, 0);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_run(p), 0);
		assert_int_equal(out.seen, 0);
		assert_int_equal(src.calls, 1);
		canp_pipe_destroy(p);
		p = pipe_with(&o); /* the same without sink */
		canp_pipe_source(p, "s", 8, count_next, &src);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		assert_int_equal(canp_pipe_next(p, &item, 1, 60000), 0);
		canp_pipe_destroy(p);
	}
}

static void C20_source_fails_in_the_middle(void **state)
{
	static const enum canp_pipe_policy policies[] = {CANP_PIPE_FAIL_FAST, CANP_PIPE_SKIP,
							 CANP_PIPE_RETRY};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct canp_pipe *p = pipe_with(NULL);
		struct count_src src = {.n = 10000, .fail_at = 5000, .fail = -EIO};
		struct order_sink out = {0};
		struct canp_pipe_op op = {.name = "s",
					  .kind = CANP_PIPE_SOURCE,
					  .item_bytes = 8,
					  .policy = policies[i],
					  .retries = 4,
					  .next = count_next,
					  .arg = &src};
		struct canp_pipe_op_stats st;

		assert_int_equal(canp_pipe_add(p, &op, NULL, 0), 0);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_run(p), i ? 0 : -EIO);
		assert_int_equal(canp_pipe_op_stats(p, 0, &st), 0);
		assert_int_equal(st.items_failed, 1);
		assert_int_equal(st.retries, i == 2 ? 4 : 0);
		assert_int_equal(out.disorder, 0);
		if (i)
			assert_int_equal(out.seen, 5000); /* what it gave arrives */
		canp_pipe_destroy(p);
	}
}

static int next_liar(void *arg, void *items, uint32_t max)
{
	(void)arg;
	memset(items, 0, 8);
	return (int)max + 1;
}

static void C20_source_that_says_too_many_is_an_error(void **state)
{
	struct canp_pipe *p = pipe_with(NULL);
	struct order_sink out = {0};

	(void)state;
	canp_pipe_source(p, "s", 8, next_liar, NULL);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), -ERANGE);
	canp_pipe_destroy(p);
}

static int map_never(void *arg, const void *in, void *out)
{
	(void)arg;
	(void)in;
	(void)out;
	return -EBADMSG;
}

static int batch_never(void *arg, struct canp_batch *b, void *out)
{
	(void)arg;
	(void)b;
	(void)out;
	return -EBADMSG;
}

static int sink_never(void *arg, const struct canp_batch *b)
{
	(void)b;
	++*(uint64_t *)arg;
	return -ENOSPC;
}

static void F10_operator_that_fails_on_every_item(void **state)
{
	(void)state;
	for (unsigned whole = 0; whole < 2; whole++) {
		struct canp_pipe *p = pipe_with(NULL);
		struct count_src src = {.n = 3000};
		struct order_sink out = {0};
		struct canp_pipe_op op = {.name = "never",
					  .kind = CANP_PIPE_MAP,
					  .item_bytes = 8,
					  .policy = CANP_PIPE_RETRY,
					  .retries = 1};
		struct canp_pipe_op_stats st;
		int in = 0;

		op.map = whole ? NULL : map_never;
		op.map_batch = whole ? batch_never : NULL;
		canp_pipe_source(p, "s", 8, count_next, &src);
		assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_run(p), 0);
		assert_int_equal(out.seen, 0);
		assert_int_equal(canp_pipe_op_stats(p, 1, &st), 0);
		assert_int_equal(st.items_failed, 3000);
		assert_int_equal(st.items_out, 0);
		assert_int_equal(st.retries, whole ? st.batches : 3000);
		canp_pipe_destroy(p);
	}
}

static void F10_sink_that_fails(void **state)
{
	struct canp_pipe *p = pipe_with(NULL);
	struct count_src src = {.n = 3000};
	uint64_t calls = 0;
	struct canp_pipe_op op = {.name = "t", .kind = CANP_PIPE_SINK, .sink = sink_never};
	struct canp_pipe_op_stats st;
	int in = 0;

	(void)state;
	op.arg = &calls;
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_sink(p, "t", sink_never, &calls);
	assert_int_equal(canp_pipe_run(p), -ENOSPC);
	assert_int_equal(calls, 1); /* nothing after the first error */
	canp_pipe_destroy(p);
	p = pipe_with(NULL);
	src.at = 0;
	op.policy = CANP_PIPE_SKIP;
	canp_pipe_source(p, "s", 8, count_next, &src);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(canp_pipe_op_stats(p, 1, &st), 0);
	assert_int_equal(st.items_failed, 3000);
	assert_int_equal(st.items_out, 0);
	canp_pipe_destroy(p);
}

static void F31_smallest_windows(void **state)
{
	(void)state;
	for (unsigned cores = 1; cores <= 3; cores++) {
		struct canp_exec *ex = exec_of(cores);
		struct canp_pipe_opts o = {.exec = ex,
					   .max_memory_items = 1,
					   .pipeline_depth = 1,
					   .batch_items = 1,
					   .no_adaptive_batching = true};
		struct canp_pipe *p = pipe_with(&o);
		struct count_src src = {.n = 3000};
		struct order_sink out = {0};
		struct canp_pipe_stats st;

		canp_pipe_source(p, "s", 8, count_next, &src);
		canp_pipe_map(p, "m", 8, map_odd, NULL, 0);
		canp_pipe_map(p, "n", 8, map_copy, NULL, 1);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_run(p), 0);
		assert_int_equal(out.seen, 3000);
		assert_int_equal(out.disorder, 0);
		canp_pipe_stats(p, &st);
		assert_int_equal(st.in_flight_items_max, 1);
		assert_int_equal(st.in_flight_batches_max, 1);
		canp_pipe_destroy(p);
		canp_exec_destroy(ex);
	}
}

struct long_item {
	uint8_t b[CANP_PIPE_ITEM_MAX];
};

static int next_long(void *arg, void *items, uint32_t max)
{
	struct long_item *it = items;
	uint64_t *left = arg;
	uint32_t n = 0;

	for (; n < max && *left; n++)
		memset(it[n].b, (int)(*left)-- & 255, sizeof(it[n].b));
	return (int)n;
}

static int map_byte(void *arg, const void *in, void *out)
{
	(void)arg;
	*(uint8_t *)out = ((const uint8_t *)in)[CANP_PIPE_ITEM_MAX - 1];
	return 0;
}

static int take_byte(void *arg, const struct canp_batch *b)
{
	uint64_t *left = arg;

	assert_int_equal(b->stride, 1);
	for (uint32_t r = 0; r < b->nr_rows; r++)
		assert_int_equal(b->rec[r], (*left)-- & 255);
	return 0;
}

static void F04_items_of_one_byte_and_of_4096(void **state)
{
	struct canp_pipe_opts o = {.executor = CANP_PIPE_SERIAL};
	struct canp_pipe *p = pipe_with(&o);
	uint64_t given = 2000, taken = 2000;
	struct canp_pipe_op op = {
		.name = "x", .kind = CANP_PIPE_SOURCE, .item_bytes = 4097, .next = next_long};

	(void)state;
	canp_pipe_source(p, "s", CANP_PIPE_ITEM_MAX, next_long, &given);
	canp_pipe_map(p, "m", 1, map_byte, NULL, 0);
	canp_pipe_sink(p, "t", take_byte, &taken);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(taken, 0);
	canp_pipe_destroy(p);
	p = pipe_with(NULL);
	assert_int_equal(canp_pipe_add(p, &op, NULL, 0), -EINVAL);
	op.item_bytes = 0;
	assert_int_equal(canp_pipe_add(p, &op, NULL, 0), -EINVAL);
	canp_pipe_destroy(p);
	/* No room for a single one. */
	o = (struct canp_pipe_opts){.max_memory_bytes = 100, .executor = CANP_PIPE_SERIAL};
	p = pipe_with(&o);
	canp_pipe_source(p, "s", CANP_PIPE_ITEM_MAX, next_long, &given);
	canp_pipe_sink(p, "t", take_byte, &taken);
	assert_int_equal(canp_pipe_build(p, NULL), -EINVAL);
	canp_pipe_destroy(p);
}

static void F12_operators_without_their_function_are_refused(void **state)
{
	struct canp_pipe *p = pipe_with(NULL);
	struct canp_pipe_op op = {.name = "m", .kind = CANP_PIPE_MAP, .item_bytes = 8};
	char name[40];
	int in = 0;

	(void)state;
	canp_pipe_source(p, "s", 8, count_next, NULL);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), -EINVAL); /* none */
	op.map = map_odd;
	op.filter = keep_even;
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), -EINVAL); /* two */
	op.filter = NULL;
	op.name = NULL;
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), -EINVAL);
	op.name = "a name that is much too long for one";
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), -EINVAL);
	/* The table is full one day, and the last one is not left half there. */
	op.name = name;
	for (unsigned i = 1; i < CANP_PIPE_OPS_MAX; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		assert_int_equal(canp_pipe_add(p, &op, &in, 1), i);
		in = (int)i;
	}
	op.name = "over";
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), -ENOSPC);
	canp_pipe_destroy(p);
	canp_pipe_destroy(NULL);
}

static void F12_merges_of_merges_stop_at_256_rows(void **state)
{
	struct canp_pipe *p = pipe_with(NULL);
	struct count_src src = {.n = 1000};
	struct canp_pipe_op op = {.kind = CANP_PIPE_MAP, .item_bytes = 8, .map = map_copy};
	struct order_sink out = {0};
	char name[16];
	int last = 0;

	(void)state;
	canp_pipe_source(p, "s", 8, count_next, &src);
	/* Each level doubles the rows: 2^4 of them can be had, 2^9 cannot. */
	for (unsigned level = 0; level < 4; level++) {
		int ab[2];

		op.name = name;
		for (unsigned i = 0; i < 2; i++) {
			snprintf(name, sizeof(name), "l%u-%u", level, i);
			ab[i] = canp_pipe_add(p, &op, &last, 1);
			assert_true(ab[i] > 0);
		}
		snprintf(name, sizeof(name), "j%u", level);
		last = canp_pipe_add(p, &op, ab, 2);
		assert_true(last > 0);
	}
	op = (struct canp_pipe_op){
		.name = "t", .kind = CANP_PIPE_SINK, .sink = order_take, .arg = &out};
	assert_true(canp_pipe_add(p, &op, &last, 1) > 0);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 16000);
	canp_pipe_destroy(p);
}

static void F06_unstarted_pipes_answer(void **state)
{
	struct canp_pipe *p = pipe_with(NULL);
	struct canp_pipe_stats st;
	struct canp_pipe_op_stats os;
	uint64_t at = 0, item;

	(void)state;
	canp_pipe_stop(p);
	canp_pipe_cancel(p);
	assert_int_equal(canp_pipe_wait(p, 0), 0);
	canp_pipe_stats(p, &st);
	assert_int_equal(canp_pipe_op_stats(p, 0, &os), -EINVAL);
	assert_int_equal(canp_pipe_push(p, &item, NULL), -EPIPE);
	assert_int_equal(canp_pipe_next(p, &item, 1, 0), -EINVAL);
	canp_pipe_source(p, "s", 8, endless_next, &at);
	assert_int_equal(canp_pipe_op_stats(p, 0, &os), 0);
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	assert_int_equal(canp_pipe_next(p, &item, 0, 0), -EINVAL);
	assert_int_equal(canp_pipe_push(p, &item, NULL), -EINVAL); /* its source has a function */
	assert_int_equal(canp_pipe_wait(p, 1), -ETIMEDOUT);
	canp_pipe_destroy(p);
}

static int next_never(void *arg, void *items, uint32_t max)
{
	(void)items;
	(void)max;
	__atomic_add_fetch((uint64_t *)arg, 1, __ATOMIC_RELEASE);
	return -EAGAIN;
}

static void F07_source_that_has_nothing_yet_is_asked_again(void **state)
{
	(void)state;
	for (int kind = CANP_PIPE_REACTOR; kind <= CANP_PIPE_SERIAL; kind++) {
		struct canp_pipe_opts o = {.executor = (enum canp_pipe_exec)kind};
		struct canp_pipe *p = pipe_with(&o);
		uint64_t asked = 0, item;

		canp_pipe_source(p, "s", 8, next_never, &asked);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		assert_true(wait_for(&asked, 5));
		assert_int_equal(canp_pipe_next(p, &item, 1, 0), -ETIMEDOUT);
		assert_int_equal(canp_pipe_next(p, &item, 1, 2), -ETIMEDOUT);
		canp_pipe_stop(p);
		assert_int_equal(canp_pipe_next(p, &item, 1, 60000), 0);
		canp_pipe_destroy(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F05_empty_source_ends_at_once),
		cmocka_unit_test(C20_source_fails_in_the_middle),
		cmocka_unit_test(C20_source_that_says_too_many_is_an_error),
		cmocka_unit_test(F10_operator_that_fails_on_every_item),
		cmocka_unit_test(F10_sink_that_fails),
		cmocka_unit_test(F31_smallest_windows),
		cmocka_unit_test(F04_items_of_one_byte_and_of_4096),
		cmocka_unit_test(F12_operators_without_their_function_are_refused),
		cmocka_unit_test(F12_merges_of_merges_stop_at_256_rows),
		cmocka_unit_test(F06_unstarted_pipes_answer),
		cmocka_unit_test(F07_source_that_has_nothing_yet_is_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
