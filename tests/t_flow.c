/*
 * t_flow.c - the graph of operators: what is refused, the order, what emit does with the keep bits,
 * sources that are polled on reactors.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "core/base/units.h"
#include "core/pipeline/flow.h"
#include "core/runtime/runtime.h"

static void push_on(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	(void)state;
	canp_flow_emit(n, b);
}

/* Drops the rows that its state names, then passes the rest on. */
static void push_drop(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	for (uint32_t r = 0; r < b->nr_rows; r++) {
		if (r % *(uint32_t *)state == 0)
			canp_batch_drop(b, r);
	}
	canp_flow_emit(n, b);
}

static void push_count(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	(void)n;
	*(uint64_t *)state += canp_batch_count(b);
}

static unsigned poll_none(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	(void)state;
	(void)n;
	(void)now_ns;
	return 0;
}

static int add(struct canp_flow *f, const char *name, enum canp_flow_kind kind)
{
	struct canp_flow_op op = {.name = name, .kind = kind, .push = push_on, .poll = poll_none};

	return canp_flow_add(f, &op);
}

static void names_and_functions_are_checked(void **state)
{
	struct canp_flow_op op = {.name = "x", .kind = CANP_FLOW_SOURCE, .push = push_on};
	struct canp_flow *f;

	(void)state;
	assert_int_equal(canp_flow_create("", &f), -EINVAL);
	assert_int_equal(canp_flow_create("Capital", &f), -EINVAL);
	assert_int_equal(canp_flow_create("f", &f), 0);
	assert_int_equal(canp_flow_add(f, &op), -EINVAL); /* a source must be polled */
	op.poll = poll_none;
	assert_int_equal(canp_flow_add(f, &op), 0);
	assert_int_equal(canp_flow_add(f, &op), -EEXIST);
	op.name = "a b";
	assert_int_equal(canp_flow_add(f, &op), -EINVAL);
	assert_int_equal(canp_flow_edge(f, 0, 1), -EINVAL);
	canp_flow_destroy(f);
	canp_flow_destroy(NULL);
}

static void F12_cycle_and_loose_ends_are_refused_with_a_name(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_flow *f;

	(void)state;
	assert_int_equal(canp_flow_create("f", &f), 0);
	add(f, "s", CANP_FLOW_SOURCE);
	add(f, "a", CANP_FLOW_OPERATOR);
	add(f, "b", CANP_FLOW_OPERATOR);
	add(f, "t", CANP_FLOW_SINK);
	assert_int_equal(canp_flow_edge(f, 0, 1), 0);
	assert_int_equal(canp_flow_edge(f, 0, 1), -EINVAL);
	assert_int_equal(canp_flow_edge(f, 3, 1), -EINVAL);
	assert_int_equal(canp_flow_edge(f, 1, 0), -EINVAL);
	assert_int_equal(canp_flow_build(f, 1, &err), -EINVAL); /* b has no input */
	assert_non_null(strstr(err.buf, "a has no output"));
	canp_strbuf_reset(&err);
	assert_int_equal(canp_flow_edge(f, 1, 2), 0);
	assert_int_equal(canp_flow_edge(f, 2, 3), 0);
	assert_int_equal(canp_flow_edge(f, 2, 1), 0);
	assert_int_equal(canp_flow_build(f, 1, &err), -ELOOP);
	assert_non_null(strstr(err.buf, "cycle"));
	canp_flow_destroy(f);
	canp_strbuf_fini(&err);
}

static void F12_emit_gives_every_branch_the_same_rows(void **state)
{
	struct canp_flow_op drop = {.name = "drop", .kind = CANP_FLOW_OPERATOR, .push = push_drop};
	struct canp_flow_op count = {.kind = CANP_FLOW_SINK, .push = push_count};
	struct canp_batch b = {.nr_rows = 256};
	uint64_t seen[2] = {0};
	struct canp_flow_sum sum;
	uint32_t every = 4;
	struct canp_flow *f;

	(void)state;
	assert_int_equal(canp_flow_create("f", &f), 0);
	add(f, "s", CANP_FLOW_SOURCE);
	assert_int_equal(canp_flow_add(f, &drop), 1);
	count.name = "t1";
	assert_int_equal(canp_flow_add(f, &count), 2);
	count.name = "t2";
	assert_int_equal(canp_flow_add(f, &count), 3);
	assert_int_equal(canp_flow_edge(f, 0, 1), 0);
	assert_int_equal(canp_flow_edge(f, 0, 3), 0); /* after the one that drops */
	assert_int_equal(canp_flow_edge(f, 1, 2), 0);
	assert_int_equal(canp_flow_build(f, 2, NULL), 0);
	for (unsigned s = 0; s < 2; s++) {
		canp_flow_set_state(f, s, 1, &every);
		canp_flow_set_state(f, s, 2, &seen[0]);
		canp_flow_set_state(f, s, 3, &seen[1]);
		canp_batch_keep_all(&b);
		canp_flow_emit(canp_flow_node(f, s, 0), &b);
	}
	assert_int_equal(seen[0], 2 * 192);
	assert_int_equal(seen[1], 2 * 256);
	canp_flow_sum(f, 1, 1, &sum);
	assert_int_equal(sum.rows_in, 256);
	assert_int_equal(sum.rows_out, 192);
	canp_flow_sum(f, CANP_FLOW_ALL_SHARDS, 2, &sum);
	assert_int_equal(sum.rows_in, 384);
	assert_int_equal(sum.batches_in, 2);
	canp_flow_destroy(f);
}

static void order_is_topological_and_print_shows_it(void **state)
{
	struct canp_strbuf s = CANP_STRBUF_INIT;
	unsigned out[CANP_FLOW_OUT_MAX];
	struct canp_flow *f;

	(void)state;
	assert_int_equal(canp_flow_create("f", &f), 0);
	/* Declared from the end. */
	add(f, "t", CANP_FLOW_SINK);
	add(f, "b", CANP_FLOW_OPERATOR);
	add(f, "a", CANP_FLOW_OPERATOR);
	add(f, "s", CANP_FLOW_SOURCE);
	assert_int_equal(canp_flow_edge(f, 1, 0), 0);
	assert_int_equal(canp_flow_edge(f, 2, 1), 0);
	assert_int_equal(canp_flow_edge(f, 3, 2), 0);
	assert_int_equal(canp_flow_edge(f, 3, 1), 0);
	assert_int_equal(canp_flow_build(f, 1, NULL), 0);
	assert_true(canp_flow_op_order(f, 3) < canp_flow_op_order(f, 2));
	assert_true(canp_flow_op_order(f, 2) < canp_flow_op_order(f, 1));
	assert_true(canp_flow_op_order(f, 1) < canp_flow_op_order(f, 0));
	assert_int_equal(canp_flow_op_out(f, 3, out), 2);
	assert_int_equal(canp_flow_nr_ops(f), 4);
	assert_int_equal(canp_flow_op_kind(f, 3), CANP_FLOW_SOURCE);
	canp_flow_print(f, &s);
	assert_non_null(strstr(s.buf, "a -> b"));
	assert_non_null(strstr(s.buf, "b -> t"));
	canp_strbuf_fini(&s);
	canp_flow_destroy(f);
}

/* ---- on reactors ---- */

struct polled {
	struct canp_flow *f;
	uint64_t left[2];
	uint64_t seen[2];
};

static unsigned poll_some(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	struct canp_batch b = {.nr_rows = 10};
	uint64_t *left = state;

	(void)now_ns;
	if (!*left)
		return 0;
	--*left;
	canp_batch_keep_all(&b);
	canp_flow_emit(n, &b);
	return 10;
}

static void push_atomic(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	(void)n;
	__atomic_fetch_add((uint64_t *)state, canp_batch_count(b), __ATOMIC_RELEASE);
}

static int attach(void *arg, struct canp_shard *s)
{
	struct polled *p = arg;

	canp_flow_set_state(p->f, s->index, 0, &p->left[s->index]);
	canp_flow_set_state(p->f, s->index, 1, &p->seen[s->index]);
	canp_flow_attach(p->f, s);
	return 0;
}

static void sources_are_polled_on_their_shards(void **state)
{
	struct canp_flow_op source = {.name = "s", .kind = CANP_FLOW_SOURCE, .poll = poll_some};
	struct canp_flow_op sink = {.name = "t", .kind = CANP_FLOW_SINK, .push = push_atomic};
	struct canp_runtime_opts o = {.cores = 2, .hugepages = CANP_HUGE_OFF, .setup = attach};
	struct polled p = {.left = {100, 50}};
	struct timespec ms = {0, CANP_NS_PER_MS};
	struct canp_flow_sum sum;
	struct canp_runtime *rt;

	(void)state;
	assert_int_equal(canp_flow_create("f", &p.f), 0);
	assert_int_equal(canp_flow_add(p.f, &source), 0);
	assert_int_equal(canp_flow_add(p.f, &sink), 1);
	assert_int_equal(canp_flow_edge(p.f, 0, 1), 0);
	assert_int_equal(canp_flow_build(p.f, 2, NULL), 0);
	o.arg = &p;
	assert_int_equal(canp_runtime_create(&o, &rt), 0);
	for (unsigned i = 0; i < 60000; i++) {
		if (__atomic_load_n(&p.seen[0], __ATOMIC_ACQUIRE) == 1000 &&
		    __atomic_load_n(&p.seen[1], __ATOMIC_ACQUIRE) == 500)
			break;
		nanosleep(&ms, NULL);
	}
	canp_runtime_stop(rt);
	canp_runtime_wait(rt);
	assert_int_equal(p.seen[0], 1000);
	assert_int_equal(p.seen[1], 500);
	canp_flow_sum(p.f, CANP_FLOW_ALL_SHARDS, 0, &sum);
	assert_int_equal(sum.batches_out, 150);
	assert_true(sum.polls >= 150);
	canp_flow_sum(p.f, 1, 1, &sum);
	assert_int_equal(sum.rows_in, 500);
	canp_runtime_destroy(rt);
	canp_flow_destroy(p.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_functions_are_checked),
		cmocka_unit_test(F12_cycle_and_loose_ends_are_refused_with_a_name),
		cmocka_unit_test(F12_emit_gives_every_branch_the_same_rows),
		cmocka_unit_test(order_is_topological_and_print_shows_it),
		cmocka_unit_test(sources_are_polled_on_their_shards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
