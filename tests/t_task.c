/*
 * t_task.c - tasks: types, classes, submitting, blocks, batches. See t_task_end.c for how they end
 * and for futures. The names begin with the row of the requirements that a test shows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/lib/task_help.h"

/* ---- types and classes ---- */

static void B01_three_types_are_counted_apart(void **state)
{
	struct canp_exec *ex = exec_of(1);
	struct canp_exec_stats st;

	(void)state;
	assert_int_equal(CANP_TASK_NR_TYPES, 3);
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++) {
		struct canp_task_desc d = {.fn = count_up, .type = t};

		for (unsigned i = 0; i <= t; i++)
			assert_int_equal(canp_submit(ex, &d, NULL), 0);
	}
	wait_all(ex);
	canp_exec_stats(ex, &st);
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++)
		assert_int_equal(st.by_type[t], t + 1);
	assert_int_equal(st.total_tasks, 6);
	canp_exec_destroy(ex);
}

static struct {
	int now[3], max[3];
} caps;

static int caps_run(const struct canp_task_env *env, void *arg)
{
	unsigned t = (unsigned)(uintptr_t)arg;
	int n = __atomic_add_fetch(&caps.now[t], 1, __ATOMIC_SEQ_CST);
	int max = __atomic_load_n(&caps.max[t], __ATOMIC_SEQ_CST);

	(void)env;
	while (n > max && !__atomic_compare_exchange_n(&caps.max[t], &max, n, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	nap_ms(1);
	__atomic_sub_fetch(&caps.now[t], 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void B02_no_more_tasks_of_a_type_run_than_its_cap(void **state)
{
	struct canp_exec_opts o = {.cores = 4,
				   .io_bound_threads = 1,
				   .cpu_bound_threads = 2,
				   .memory_bound_threads = 1};
	static const int cap[3] = {1, 2, 1};
	struct canp_exec_stats st;
	struct canp_exec *ex;

	(void)state;
	memset(&caps, 0, sizeof(caps));
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	for (unsigned i = 0; i < 120; i++) {
		struct canp_task_desc d = {
			.fn = caps_run, .type = i % 3, .arg = (void *)(uintptr_t)(i % 3)};

		assert_int_equal(canp_submit(ex, &d, NULL), 0);
	}
	wait_all(ex);
	canp_exec_stats(ex, &st);
	for (unsigned t = 0; t < 3; t++) {
		assert_in_range(caps.max[t], 1, cap[t]);
		assert_int_equal(st.running_max[t], cap[t]);
	}
	assert_int_equal(st.completed_tasks, 120);
	canp_exec_destroy(ex);
}

static struct {
	unsigned n, val[64];
} order;

static int order_run(const struct canp_task_env *env, void *arg)
{
	(void)env;
	order.val[order.n++] = (unsigned)(uintptr_t)arg;
	return 0;
}

static void B03_priorities_run_in_class_order(void **state)
{
	struct canp_exec *ex = exec_of(1);
	struct canp_task_desc d[12];
	struct gate g;

	(void)state;
	assert_int_equal(CANP_PRIO_LOW, 0);
	assert_int_equal(CANP_PRIO_NORMAL, 1);
	assert_int_equal(CANP_PRIO_HIGH, 2);
	assert_int_equal(CANP_PRIO_CRITICAL, 3);
	order.n = 0;
	gate_close(ex, &g);
	for (unsigned batch = 0; batch < 4; batch++) {
		memset(d, 0, sizeof(d));
		for (unsigned i = 0; i < 12; i++) {
			d[i].fn = order_run;
			d[i].type = (i + batch) % 3;
			d[i].prio = (i * 7 + batch) % 4;
			d[i].arg = (void *)(uintptr_t)(d[i].prio * 1000 + batch * 12 + i);
		}
		assert_int_equal(canp_submit_batch(ex, d, 12, NULL), 0);
	}
	gate_open(&g);
	wait_all(ex);
	assert_int_equal(order.n, 48);
	for (unsigned i = 1; i < order.n; i++) {
		unsigned was = order.val[i - 1], is = order.val[i];

		/* A lower class, or later in the same one. */
		assert_true(is / 1000 < was / 1000 || (is / 1000 == was / 1000 && is > was));
	}
	canp_exec_destroy(ex);
}

static struct {
	bool stop;
	uint64_t low_ns;
} starve;

static int starve_high(const struct canp_task_env *env, void *arg)
{
	uint64_t end = canp_clock_ns() + 100 * (uint64_t)CANP_NS_PER_US;

	while (canp_clock_ns() < end)
		;
	if (!__atomic_load_n(&starve.stop, __ATOMIC_ACQUIRE))
		return canp_submit_cpu(env->exec, CANP_PRIO_HIGH, starve_high, arg);
	return 0;
}

static int starve_low(const struct canp_task_env *env, void *arg)
{
	(void)env;
	(void)arg;
	starve.low_ns = canp_clock_ns();
	__atomic_store_n(&starve.stop, true, __ATOMIC_RELEASE);
	return 0;
}

static void B04_a_low_task_gets_its_turn_under_endless_high_load(void **state)
{
	struct canp_exec *ex = exec_of(1);
	uint64_t from;

	(void)state;
	memset(&starve, 0, sizeof(starve));
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_HIGH, starve_high, NULL), 0);
	from = canp_clock_ns();
	assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_LOW, starve_low, NULL), 0);
	wait_all(ex);
	/* Not before it was High at least; the bound is 60 ms, and others use this machine too. */
	assert_in_range(starve.low_ns - from, 2 * CANP_TASK_AGEING_MS * MS - MS, 1000 * MS);
	canp_exec_destroy(ex);
}

/* ---- identity ---- */

static uint64_t *ids;

static int id_run(const struct canp_task_env *env, void *arg)
{
	ids[(uintptr_t)arg] = env->id;
	return 0;
}

static int id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void B05_ids_are_unique_and_fields_can_be_read(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_task_desc d = {.fn = id_run,
				   .type = CANP_TASK_MEM,
				   .prio = CANP_PRIO_CRITICAL,
				   .trace = {.trace_id = {1, 2}, .span_id = {3}, .flags = 1}};
	uint64_t from = canp_clock_ns();
	struct canp_task_result r;
	struct canp_future *f;

	(void)state;
	ids = calloc(MANY + 1, sizeof(ids[0]));
	assert_non_null(ids);
	for (uintptr_t i = 0; i < MANY; i++) {
		struct canp_task_desc e = {.fn = id_run, .arg = (void *)i};

		while (canp_submit(ex, &e, NULL) == -EAGAIN)
			sched_yield();
	}
	d.arg = (void *)(uintptr_t)MANY;
	while (canp_submit(ex, &d, &f) == -EAGAIN)
		sched_yield();
	assert_int_equal(canp_future_wait(f, 60000, &r), 0);
	wait_all(ex);
	assert_int_equal(r.status, CANP_TASK_COMPLETED);
	assert_int_equal(r.id, ids[MANY]);
	assert_int_equal(r.type, CANP_TASK_MEM);
	assert_int_equal(r.prio, CANP_PRIO_CRITICAL);
	assert_in_range(r.created_ns, from, canp_clock_ns());
	assert_memory_equal(&r.trace, &d.trace, sizeof(r.trace));
	canp_future_put(f);
	qsort(ids, MANY + 1, sizeof(ids[0]), id_cmp);
	for (unsigned i = 1; i <= MANY; i++)
		assert_true(ids[i] != ids[i - 1]);
	free(ids);
	canp_exec_destroy(ex);
}

/* ---- blocks ---- */

static void B06_blocks_move_into_the_task(void **state)
{
	struct canp_exec *ex = exec_of(1);
	struct canp_block *b[2];
	struct canp_task_desc d = {.fn = see_blocks, .blocks = b, .nr_blocks = 2};
	struct canp_exec_stats st;
	struct gate g;

	(void)state;
	some_blocks(ex, b);
	gate_close(ex, &g);
	d.nr_blocks = CANP_TASK_BLOCKS_MAX + 1;
	assert_int_equal(canp_submit(ex, &d, NULL), -EINVAL); /* nothing moved */
	d.nr_blocks = 2;
	assert_int_equal(canp_submit(ex, &d, NULL), 0);
	memset(b, 0, sizeof(b)); /* the array was the caller's */
	canp_exec_stats(ex, &st);
	assert_int_equal(st.live_memory_blocks, 2);
	assert_int_equal(blocks_live(ex), 2);
	gate_open(&g);
	wait_all(ex);
	assert_int_equal(blocks_live(ex), 0);
	canp_exec_destroy(ex);
}

static void submit_of_type(enum canp_task_type t,
			   int (*submit)(struct canp_exec *, enum canp_task_prio, canp_task_fn,
					 void *))
{
	struct canp_exec *ex = exec_of(2);
	struct canp_exec_stats st;

	counter = 0;
	for (unsigned p = 0; p < CANP_PRIO_NR; p++)
		assert_int_equal(submit(ex, p, count_up, NULL), 0);
	assert_int_equal(submit(ex, CANP_PRIO_NR, count_up, NULL), -EINVAL);
	assert_int_equal(submit(ex, CANP_PRIO_LOW, NULL, NULL), -EINVAL);
	wait_all(ex);
	canp_exec_stats(ex, &st);
	assert_int_equal(counter, 4);
	assert_int_equal(st.by_type[t], 4);
	assert_int_equal(st.total_tasks, 4);
	canp_exec_destroy(ex);
}

static void B07_submit_io_runs_an_io_task(void **state)
{
	(void)state;
	submit_of_type(CANP_TASK_IO, canp_submit_io);
}

static void B08_submit_cpu_runs_a_cpu_task(void **state)
{
	(void)state;
	submit_of_type(CANP_TASK_CPU, canp_submit_cpu);
}

static void B09_submit_mem_runs_a_mem_task(void **state)
{
	(void)state;
	submit_of_type(CANP_TASK_MEM, canp_submit_mem);
}

static void B10_a_task_sees_its_blocks_and_they_go_back(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_block *b[2];
	struct canp_task_desc d = {.fn = see_blocks, .blocks = b, .nr_blocks = 2};
	struct canp_future *f;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	some_blocks(ex, b);
	assert_int_equal(canp_submit(ex, &d, &f), 0);
	assert_int_equal(canp_future_wait(f, 60000, NULL), 0);
	assert_int_equal(seen.n, 2);
	assert_ptr_equal(seen.b[0], b[0]);
	assert_ptr_equal(seen.b[1], b[1]);
	assert_int_equal(blocks_live(ex), 0); /* before the future is put */
	canp_future_put(f);
	canp_exec_destroy(ex);
}

/* ---- batches ---- */

static unsigned runs[10];

static int run_once(const struct canp_task_env *env, void *arg)
{
	(void)env;
	__atomic_fetch_add(&runs[(uintptr_t)arg], 1, __ATOMIC_RELAXED);
	return 0;
}

static void B11_a_batch_runs_each_task_once(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_task_desc d[10] = {{0}};
	struct canp_future *f[10];
	struct canp_exec_stats st;

	(void)state;
	memset(runs, 0, sizeof(runs));
	for (uintptr_t i = 0; i < 10; i++) {
		d[i].fn = run_once;
		d[i].arg = (void *)i;
	}
	assert_int_equal(canp_submit_batch(ex, d, 0, NULL), -EINVAL);
	assert_int_equal(canp_submit_batch(ex, d, CANP_TASK_BATCH_MAX + 1, NULL), -EINVAL);
	assert_int_equal(canp_submit_batch(ex, d, 10, f), 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(canp_future_wait(f[i], 60000, NULL), 0);
		canp_future_put(f[i]);
	}
	wait_all(ex);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(runs[i], 1);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.batches, 1);
	canp_exec_destroy(ex);
}

static void B11_a_batch_goes_whole_or_not_at_all(void **state)
{
	struct canp_exec_opts o = {.cores = 1, .slots = 64};
	struct canp_task_desc d[40] = {{0}};
	struct canp_exec_stats st;
	struct canp_exec *ex;
	struct gate g;

	(void)state;
	counter = 0;
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	for (unsigned i = 0; i < 40; i++)
		d[i].fn = count_up;
	gate_close(ex, &g);
	assert_int_equal(canp_submit_batch(ex, d, 40, NULL), 0);
	for (unsigned i = 0; i < 100; i++) /* 23 slots are left */
		assert_int_equal(canp_submit_batch(ex, d, 40, NULL), -EAGAIN);
	d[9].type = CANP_TASK_NR_TYPES;
	assert_int_equal(canp_submit_batch(ex, d, 20, NULL), -EINVAL);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.total_tasks, 41);
	assert_int_equal(canp_submit_batch(ex, d, 9, NULL), 0);
	gate_open(&g);
	wait_all(ex);
	assert_int_equal(counter, 49);
	canp_exec_destroy(ex);
}

/* ---- parallel_process ---- */

static int twice(const void *in, void *out, void *arg)
{
	int v = *(const int *)in;

	if (arg && v == *(int *)arg)
		return -EBADMSG;
	*(int *)out = 2 * v;
	return 0;
}

static void B12_parallel_process_keeps_the_order(void **state)
{
	struct canp_exec *ex = exec_of(2);
	int small[10], out[10], *in, *big, bad = 777777 % MANY;

	(void)state;
	for (int i = 0; i < 10; i++)
		small[i] = i + 1;
	assert_int_equal(canp_parallel_process(ex, small, 10, 4, out, 4, twice, NULL), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(out[i], 2 * (i + 1));
	in = malloc(MANY * sizeof(int));
	big = calloc(MANY, sizeof(int));
	assert_true(in && big);
	for (unsigned i = 0; i < MANY; i++)
		in[i] = (int)i;
	assert_int_equal(canp_parallel_process(ex, in, MANY, 4, big, 4, twice, NULL), 0);
	for (unsigned i = 0; i < MANY; i++)
		assert_true(big[i] == (int)(2 * i));
	memset(big, 0, MANY * sizeof(int));
	assert_int_equal(canp_parallel_process(ex, in, MANY, 4, big, 4, twice, &bad), -EBADMSG);
	for (unsigned i = 0; i < MANY; i++)
		assert_true(big[i] == ((int)i == bad ? 0 : (int)(2 * i)));
	assert_int_equal(canp_parallel_process(ex, in, 0, 4, big, 4, twice, NULL), 0);
	free(in);
	free(big);
	canp_exec_destroy(ex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B01_three_types_are_counted_apart),
		cmocka_unit_test(B02_no_more_tasks_of_a_type_run_than_its_cap),
		cmocka_unit_test(B03_priorities_run_in_class_order),
		cmocka_unit_test(B04_a_low_task_gets_its_turn_under_endless_high_load),
		cmocka_unit_test(B05_ids_are_unique_and_fields_can_be_read),
		cmocka_unit_test(B06_blocks_move_into_the_task),
		cmocka_unit_test(B07_submit_io_runs_an_io_task),
		cmocka_unit_test(B08_submit_cpu_runs_a_cpu_task),
		cmocka_unit_test(B09_submit_mem_runs_a_mem_task),
		cmocka_unit_test(B10_a_task_sees_its_blocks_and_they_go_back),
		cmocka_unit_test(B11_a_batch_runs_each_task_once),
		cmocka_unit_test(B11_a_batch_goes_whole_or_not_at_all),
		cmocka_unit_test(B12_parallel_process_keeps_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
