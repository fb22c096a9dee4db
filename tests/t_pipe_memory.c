/*
 * t_pipe_memory.c - memory of pipelines: had at build, not more later, the same for any number of
 * items. CANP_SOAK=1 makes the long run long (10^8 items). The names begin with the row of the
 * requirements that a test shows.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/pipe_help.h"

static uint64_t rss_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long long size = 0, rss = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu %llu", &size, &rss), 2);
	fclose(f);
	return rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int batch_odd(void *arg, struct canp_batch *b, void *out)
{
	uint64_t *to = out;
	const uint64_t *from = (const uint64_t *)b->rec;

	(void)arg;
	for (uint32_t r = 0; r < b->nr_rows; r++)
		to[r] = 2 * from[r] + 1;
	return 0;
}

struct stream {
	struct canp_pipe *p;
	struct count_src src;
	struct order_sink out;
};

static void stream_open(struct stream *s, const struct canp_pipe_opts *o)
{
	struct canp_pipe_op op = {.name = "odd", .kind = CANP_PIPE_MAP, .item_bytes = 8};
	int in = 0;

	op.map_batch = batch_odd;
	memset(s, 0, sizeof(*s));
	assert_int_equal(canp_pipe_create("stream", NULL, o, &s->p), 0);
	canp_pipe_source(s->p, "s", 8, count_next, &s->src);
	assert_int_equal(canp_pipe_add(s->p, &op, &in, 1), 1);
	canp_pipe_sink(s->p, "t", order_take, &s->out);
	assert_int_equal(canp_pipe_build(s->p, NULL), 0);
}

static void stream_run(struct stream *s, uint64_t n)
{
	s->src = (struct count_src){.n = n};
	memset(&s->out, 0, sizeof(s->out));
	assert_int_equal(canp_pipe_run(s->p), 0);
	assert_int_equal(s->out.seen, n);
	assert_int_equal(s->out.disorder, 0);
}

static void F26_memory_is_flat_over_ten_times_the_data(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex};
	struct canp_pipe_stats a, b;
	struct stream s;
	uint64_t rss;

	(void)state;
	stream_open(&s, &o);
	stream_run(&s, 100000);
	canp_pipe_stats(s.p, &a);
	rss = rss_bytes();
	stream_run(&s, 1000000);
	canp_pipe_stats(s.p, &b);
	assert_int_equal(a.memory_bytes, b.memory_bytes);
	/* Pages of rarely used slots may come late; the data itself would be 8 MB. */
	if (!PIPE_SLOW)
		assert_true(rss_bytes() <= rss + 2 * 1024 * 1024);
	canp_pipe_destroy(s.p);
	canp_exec_destroy(ex);
}

static void F27_a_long_stream_in_constant_memory(void **state)
{
	uint64_t n = getenv("CANP_SOAK") ? 100000000 : PIPE_SLOW ? 100000 : 1000000, rss;
	struct stream s;

	(void)state;
	stream_open(&s, NULL);
	stream_run(&s, n / 10);
	rss = rss_bytes();
	stream_run(&s, n);
	if (!PIPE_SLOW)
		assert_true(rss_bytes() <= rss + 2 * 1024 * 1024);
	canp_pipe_destroy(s.p);
}

static void F04_nothing_is_allocated_while_items_flow(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_pipe_opts o = {.exec = ex, .no_shared_monitoring = true};
	struct mallinfo2 a, b;
	struct stream s;

	(void)state;
	stream_open(&s, &o);
	stream_run(&s, 1000);
	a = mallinfo2();
	stream_run(&s, 500000);
	b = mallinfo2();
	assert_int_equal(a.uordblks, b.uordblks);
	assert_int_equal(a.hblkhd, b.hblkhd);
	canp_pipe_destroy(s.p);
	canp_exec_destroy(ex);
}

static void F20_memory_mode_holds_less(void **state)
{
	struct canp_pipe_opts o = {.mode = CANP_PIPE_THROUGHPUT};
	struct canp_pipe_stats a, b;
	struct stream s;

	(void)state;
	stream_open(&s, &o);
	stream_run(&s, 50000);
	canp_pipe_stats(s.p, &a);
	canp_pipe_destroy(s.p);
	o.mode = CANP_PIPE_MEMORY;
	stream_open(&s, &o);
	stream_run(&s, 50000);
	canp_pipe_stats(s.p, &b);
	canp_pipe_destroy(s.p);
	assert_true(b.in_flight_bytes_max < a.in_flight_bytes_max || a.in_flight_batches_max == 1);
	assert_true(b.memory_bytes < a.memory_bytes);
	assert_in_range(b.batch_items, 1, 32);
}

static void F04_limits_hold_in_items_and_bytes_for_all_executors(void **state)
{
	(void)state;
	for (int kind = CANP_PIPE_REACTOR; kind <= CANP_PIPE_SERIAL; kind++) {
		struct canp_pipe_opts o = {.executor = (enum canp_pipe_exec)kind,
					   .max_memory_items = 50,
					   .max_memory_bytes = 40 * 16};
		struct canp_pipe_stats st;
		struct stream s;

		stream_open(&s, &o);
		stream_run(&s, 20000);
		canp_pipe_stats(s.p, &st);
		assert_in_range(st.in_flight_items_max, 1, 40);
		assert_in_range(st.in_flight_bytes_max, 1, 640);
		assert_int_equal(st.in_flight_items, 0);
		canp_pipe_destroy(s.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F26_memory_is_flat_over_ten_times_the_data),
		cmocka_unit_test(F27_a_long_stream_in_constant_memory),
		cmocka_unit_test(F04_nothing_is_allocated_while_items_flow),
		cmocka_unit_test(F20_memory_mode_holds_less),
		cmocka_unit_test(F04_limits_hold_in_items_and_bytes_for_all_executors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
