/*
 * t_pipe_process.c - operators in worker processes: where they run, how often they are woken, what
 * becomes of a batch whose process dies. The names begin with the row of the requirements that a
 * test shows.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/pipeline/pipe_priv.h"
#include "tests/lib/pipe_help.h"

static struct canp_pipe *procs_of(unsigned workers, uint32_t batch)
{
	struct canp_pipe_opts o = {.executor = CANP_PIPE_PROCESSES,
				   .max_workers = workers,
				   .batch_items = batch,
				   .no_adaptive_batching = batch != 0};
	struct canp_pipe *p;

	assert_int_equal(canp_pipe_create("procs", NULL, &o, &p), 0);
	return p;
}

static int map_pid(void *arg, const void *in, void *out)
{
	uint64_t pid = (uint64_t)getpid();

	(void)arg;
	(void)in;
	memcpy(out, &pid, 8);
	return 0;
}

struct pids {
	uint64_t own, seen;
};

static int take_pid(void *arg, const struct canp_batch *b)
{
	struct pids *s = arg;

	for (uint32_t r = 0; r < b->nr_rows; r++) {
		s->own += *(const uint64_t *)(b->rec + r * 8) == (uint64_t)getpid();
		s->seen++;
	}
	return 0;
}

static void F08_isolated_operators_run_elsewhere_with_few_wakes(void **state)
{
	struct canp_pipe_opts o = {.max_workers = 2};
	struct count_src src = {.n = 20000};
	struct pids out = {0};
	struct canp_pipe *p;
	struct canp_pipe_op op = {.name = "pid",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .isolate = true,
				  .map = map_pid};
	struct canp_pipe_stats st;
	int in = 0;

	(void)state;
	assert_int_equal(canp_pipe_create("procs", NULL, &o, &p), 0);
	canp_pipe_source(p, "s", 8, count_next, &src);
	in = canp_pipe_add(p, &op, &in, 1);
	canp_pipe_map(p, "mine", 8, map_copy, NULL, 1);
	canp_pipe_sink(p, "t", take_pid, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(out.seen, 20000);
	assert_int_equal(out.own, 0);
	canp_pipe_stats(p, &st);
	assert_int_equal(st.executor, CANP_PIPE_PROCESSES); /* because an operator asked for it */
	assert_true(canp_pipe_procs_bells(p) * 10 < src.n);
	assert_true(canp_pipe_procs_bells(p) <= 2 * st.batches);
	canp_pipe_destroy(p);
}

static void F09_processes_have_a_quarter_in_flight(void **state)
{
	struct canp_pipe_opts a = {.executor = CANP_PIPE_THREADS},
			      b = {.executor = CANP_PIPE_PROCESSES};

	(void)state;
	canp_pipe_opts_resolve(&a);
	canp_pipe_opts_resolve(&b);
	assert_int_equal(b.max_memory_items * 4, a.max_memory_items);
	b = (struct canp_pipe_opts){.executor = CANP_PIPE_PROCESSES, .max_memory_items = 777};
	canp_pipe_opts_resolve(&b);
	assert_int_equal(b.max_memory_items, 777);
}

struct dead_sum {
	uint64_t nr, sum, error;
};

static void dead_here(void *arg, const struct canp_pipe_dead *d)
{
	struct dead_sum *s = arg;

	s->nr++;
	s->sum += d->item;
	s->error = (uint64_t)-d->error;
	assert_int_equal(*(const uint64_t *)d->data, d->item);
}

static int map_bad(void *arg, const void *in, void *out)
{
	(void)arg;
	memcpy(out, in, 8);
	return *(const uint64_t *)in % 100 == 50 ? -EBADMSG : 0;
}

static void F08_F10_failures_over_there_are_treated_here(void **state)
{
	struct canp_pipe *p = procs_of(2, 0);
	struct count_src src = {.n = 10000};
	struct dead_sum dead = {0};
	struct order_sink out = {0};
	struct canp_pipe_op op = {.name = "bad",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = CANP_PIPE_RETRY,
				  .retries = 2,
				  .on_dead = dead_here,
				  .map = map_bad,
				  .arg = &dead};
	struct canp_pipe_op_stats st;
	int in = 0;

	(void)state;
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_map(p, "before", 8, map_copy, NULL, 0);
	in = 1;
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 2);
	canp_pipe_filter(p, "even", keep_even, NULL);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), 0);
	assert_int_equal(dead.nr, 100);
	assert_int_equal(dead.sum, 100 * 50 + 100 * (99 * 100 / 2));
	assert_int_equal(dead.error, EBADMSG);
	assert_int_equal(out.seen, 5000 - 100);
	assert_int_equal(out.disorder, 0);
	assert_int_equal(canp_pipe_op_stats(p, 2, &st), 0);
	assert_int_equal(st.items_failed, 100);
	assert_int_equal(st.retries, 200);
	assert_int_equal(st.items_in, 10000);
	canp_pipe_destroy(p);
	/* The same with the first error. */
	p = procs_of(2, 0);
	src.at = 0;
	memset(&out, 0, sizeof(out));
	canp_pipe_source(p, "s", 8, count_next, &src);
	canp_pipe_map(p, "bad", 8, map_bad, NULL, 0);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), -EBADMSG);
	assert_true(out.seen <= 50);
	canp_pipe_destroy(p);
}

/* Dies on the item 500, as often as *left says. */
static int map_dies(void *arg, const void *in, void *out)
{
	uint64_t *left = arg;

	memcpy(out, in, 8);
	if (*(const uint64_t *)in == 500 && __atomic_load_n(left, __ATOMIC_SEQ_CST)) {
		__atomic_fetch_sub(left, 1, __ATOMIC_SEQ_CST);
		_exit(3);
	}
	return 0;
}

static uint64_t die_run(enum canp_pipe_policy policy, uint64_t *left, int expect,
			struct canp_pipe_op_stats *st)
{
	struct canp_pipe *p = procs_of(2, 10);
	struct count_src src = {.n = 2000};
	struct order_sink out = {0};
	struct canp_pipe_op op = {.name = "dies",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = policy,
				  .retries = 2,
				  .map = map_dies,
				  .arg = left};
	int in = 0;

	canp_pipe_source(p, "s", 8, count_next, &src);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), expect);
	assert_int_equal(out.disorder, 0);
	assert_int_equal(canp_pipe_op_stats(p, 1, st), 0);
	canp_pipe_destroy(p);
	return out.seen;
}

static void F08_batch_of_a_dead_process_fails_by_policy(void **state)
{
	uint64_t *left = mmap(NULL, sizeof(*left), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct canp_pipe_op_stats st;

	(void)state;
	assert_ptr_not_equal(left, MAP_FAILED);
	*left = 1;
	assert_int_equal(die_run(CANP_PIPE_SKIP, left, 0, &st), 1990);
	assert_int_equal(st.items_failed, 10);
	*left = 2; /* the third time it works */
	assert_int_equal(die_run(CANP_PIPE_RETRY, left, 0, &st), 2000);
	assert_int_equal(st.items_failed, 0);
	assert_int_equal(st.retries, 2);
	*left = 100; /* never: retried, then given up */
	assert_int_equal(die_run(CANP_PIPE_RETRY, left, 0, &st), 1990);
	assert_int_equal(*left, 97);
	*left = 1;
	assert_true(die_run(CANP_PIPE_FAIL_FAST, left, -EOWNERDEAD, &st) <= 500);
	munmap(left, sizeof(*left));
}

static int map_suicide(void *arg, const void *in, void *out)
{
	(void)arg;
	(void)in;
	(void)out;
	_exit(3);
}

static void F08_processes_that_always_die_end_the_run(void **state)
{
	struct canp_pipe *p = procs_of(1, 1);
	struct count_src src = {.n = 1000};
	struct order_sink out = {0};
	struct canp_pipe_op op = {.name = "dies",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = CANP_PIPE_SKIP,
				  .map = map_suicide};
	int in = 0;

	(void)state;
	canp_pipe_source(p, "s", 8, count_next, &src);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_run(p), -EOWNERDEAD);
	assert_int_equal(out.seen, 0);
	canp_pipe_destroy(p);
}

static int map_nap(void *arg, const void *in, void *out)
{
	(void)arg;
	nap_us(100);
	memcpy(out, in, 8);
	return 0;
}

static void F08_process_is_killed_from_outside_while_it_works(void **state)
{
	struct canp_pipe *p = procs_of(2, 10);
	struct count_src src = {.n = 10000};
	struct order_sink out = {0};
	struct canp_pipe_op op = {.name = "nap",
				  .kind = CANP_PIPE_MAP,
				  .item_bytes = 8,
				  .policy = CANP_PIPE_RETRY,
				  .map = map_nap};
	int in = 0, pid;

	(void)state;
	canp_pipe_source(p, "s", 8, count_next, &src);
	assert_int_equal(canp_pipe_add(p, &op, &in, 1), 1);
	canp_pipe_sink(p, "t", order_take, &out);
	assert_int_equal(canp_pipe_start(p, NULL), 0);
	assert_true(wait_for(&out.seen, 500));
	pid = canp_pipe_procs_pid(p, 0);
	assert_true(pid > 0);
	kill(pid, SIGKILL);
	assert_int_equal(canp_pipe_wait(p, 120000), 0);
	assert_int_equal(out.seen, 10000); /* retried elsewhere: nothing is lost */
	assert_int_equal(out.disorder, 0);
	assert_int_not_equal(canp_pipe_procs_pid(p, 0), pid);
	canp_pipe_destroy(p);
}

static void C20_cancel_and_destroy_with_processes(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		struct canp_pipe *p = procs_of(2, 0);
		struct order_sink out = {0};
		uint64_t at = 0;

		canp_pipe_source(p, "s", 8, endless_next, &at);
		canp_pipe_map(p, "a", 8, map_odd, NULL, 0);
		canp_pipe_sink(p, "t", order_take, &out);
		assert_int_equal(canp_pipe_start(p, NULL), 0);
		assert_true(wait_for(&out.seen, 1 + round));
		if (round % 2) {
			canp_pipe_cancel(p);
			assert_int_equal(canp_pipe_wait(p, 60000), -ECANCELED);
		}
		canp_pipe_destroy(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(F08_isolated_operators_run_elsewhere_with_few_wakes),
		cmocka_unit_test(F09_processes_have_a_quarter_in_flight),
		cmocka_unit_test(F08_F10_failures_over_there_are_treated_here),
		cmocka_unit_test(F08_batch_of_a_dead_process_fails_by_policy),
		cmocka_unit_test(F08_processes_that_always_die_end_the_run),
		cmocka_unit_test(F08_process_is_killed_from_outside_while_it_works),
		cmocka_unit_test(C20_cancel_and_destroy_with_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
