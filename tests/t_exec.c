/*
 * t_exec.c - executors: waiting for all, options, statistics that fit together at any time, many
 * producers, work that moves to idle reactors. The names begin with the row of the requirements
 * that a test shows.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "core/runtime/runtime.h"
#include "core/runtime/task.h"
#include "core/runtime/task_priv.h"
#include "numa/mem.h"
#include "tests/lib/exec_help.h"

static int sleep_ms(const struct canp_task_env *env, void *arg)
{
	(void)env;
	nap_ms((long)(intptr_t)arg);
	return 0;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void submit_again(struct canp_exec *ex, const struct canp_task_desc *d)
{
	int rc;

	while ((rc = canp_submit(ex, d, NULL)) == -EAGAIN)
		sched_yield();
	assert_int_equal(rc, 0);
}

/* ---- waiting ---- */

static void B13_wait_returns_after_the_last_task_and_sleeps_meanwhile(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_task_desc d[5];
	struct canp_exec_stats st;

	(void)state;
	assert_int_equal(canp_exec_wait_idle(ex, 0), 0); /* nothing there */
	memset(d, 0, sizeof(d));
	for (unsigned i = 0; i < 5; i++) {
		d[i].fn = sleep_ms;
		d[i].arg = (void *)(intptr_t)100;
		d[i].type = CANP_TASK_CPU;
	}
	/* All at once; one by one; all to one reactor from one of its tasks is the next test. */
	for (unsigned how = 0; how < 2; how++) {
		uint64_t from = canp_clock_ns(), cpu = cpu_ns(), wall;

		if (how == 0)
			assert_int_equal(canp_submit_batch(ex, d, 5, NULL), 0);
		for (unsigned i = 0; how == 1 && i < 5; i++)
			assert_int_equal(canp_submit(ex, &d[i], NULL), 0);
		assert_int_equal(canp_exec_wait_idle(ex, 20), -ETIMEDOUT);
		assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
		wall = canp_clock_ns() - from;
		assert_in_range(wall, 300 * MS, 400 * MS);
		assert_in_range(cpu_ns() - cpu, 0, wall / 20);
		canp_exec_stats(ex, &st);
		assert_int_equal(st.completed_tasks, 5 * (how + 1));
	}
	canp_exec_destroy(ex);
}

static int spawn_five(const struct canp_task_env *env, void *arg)
{
	struct canp_task_desc d[5];

	(void)arg;
	memset(d, 0, sizeof(d));
	for (unsigned i = 0; i < 5; i++) {
		d[i].fn = sleep_ms;
		d[i].arg = (void *)(intptr_t)100;
		d[i].type = CANP_TASK_CPU;
	}
	return canp_submit_batch(env->exec, d, 5, NULL);
}

static void an_idle_reactor_takes_the_oldest_task_of_a_busy_one(void **state)
{
	struct canp_exec *ex = exec_of(2);
	uint64_t from = canp_clock_ns();

	(void)state;
	assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_NORMAL, spawn_five, NULL), 0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	assert_in_range(canp_clock_ns() - from, 300 * MS, 400 * MS);
	canp_exec_destroy(ex);
}

static unsigned pinned_wrong;

static int pinned_run(const struct canp_task_env *env, void *arg)
{
	nap_ms(1);
	if (env->shard != (unsigned)(uintptr_t)arg)
		__atomic_fetch_add(&pinned_wrong, 1, __ATOMIC_RELAXED);
	return 0;
}

static void a_task_for_a_shard_stays_there(void **state)
{
	struct canp_exec *ex = exec_of(2);

	(void)state;
	pinned_wrong = 0;
	for (unsigned i = 0; i < 60; i++) {
		struct canp_task_desc d = {.fn = pinned_run, .shard = 2, .arg = (void *)1ul};

		if (i % 10 == 0) {
			d.shard = 1;
			d.arg = NULL;
		}
		assert_int_equal(canp_submit(ex, &d, NULL), 0);
	}
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	assert_int_equal(pinned_wrong, 0);
	canp_exec_destroy(ex);
}

/* ---- options ---- */

static void caps_are(unsigned cores, unsigned override, unsigned type, unsigned want)
{
	struct canp_exec_opts o = {.cores = cores};
	struct canp_exec_stats st;
	struct canp_exec *ex;

	if (type == CANP_TASK_IO)
		o.io_bound_threads = override;
	else if (type == CANP_TASK_CPU)
		o.cpu_bound_threads = override;
	else
		o.memory_bound_threads = override;
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	for (unsigned i = 0; i < 4 * cores; i++) {
		struct canp_task_desc d = {
			.fn = sleep_ms, .arg = (void *)(intptr_t)10, .type = type};

		assert_int_equal(canp_submit(ex, &d, NULL), 0);
	}
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.running_max[type], want);
	canp_exec_destroy(ex);
}

static void B14_io_bound_threads_default_to_half_the_cores(void **state)
{
	(void)state;
	caps_are(1, 0, CANP_TASK_IO, 1);
	caps_are(4, 0, CANP_TASK_IO, 2);
	caps_are(4, 3, CANP_TASK_IO, 3);
}

static void B15_cpu_bound_threads_default_to_the_cores(void **state)
{
	(void)state;
	caps_are(4, 0, CANP_TASK_CPU, 4);
	caps_are(4, 1, CANP_TASK_CPU, 1);
}

static void B16_memory_bound_threads_default_to_half_the_cores(void **state)
{
	(void)state;
	caps_are(4, 0, CANP_TASK_MEM, 2);
	caps_are(4, 4, CANP_TASK_MEM, 4);
}

static void B17_statistics_can_be_off(void **state)
{
	struct canp_exec_opts o = {.cores = 2, .no_stats = true};
	struct canp_exec_stats st, zero;
	struct canp_exec *ex;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_NORMAL, sleep_ms, NULL), 0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0); /* works all the same */
	canp_exec_stats(ex, &st);
	assert_memory_equal(&st, &zero, sizeof(st));
	canp_exec_destroy(ex);
	ex = exec_of(1); /* on by default */
	assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_NORMAL, sleep_ms, NULL), 0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.total_tasks, 1);
	canp_exec_destroy(ex);
}

static void B18_blocks_stay_with_their_owner_when_management_is_off(void **state)
{
	(void)state;
	for (unsigned off = 0; off < 2; off++) {
		struct canp_exec_opts o = {.cores = 1, .no_memory_management = off};
		struct canp_exec_stats st;
		struct canp_exec *ex;
		struct canp_block *b;
		struct canp_task_desc d = {.fn = sleep_ms, .blocks = &b, .nr_blocks = 1};

		assert_int_equal(canp_exec_create(&o, &ex), 0);
		assert_int_equal(canp_mem_alloc(canp_exec_mem(ex), CANP_MEM_FRAME, 100, &b), 0);
		assert_int_equal(canp_submit(ex, &d, NULL), 0);
		assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
		assert_int_equal(blocks_live(ex), off);
		canp_exec_stats(ex, &st);
		assert_int_equal(st.recycled_memory_blocks, !off);
		assert_int_equal(st.live_memory_blocks, 0);
		if (off)
			assert_int_equal(canp_mem_release(canp_exec_mem(ex), b), 0);
		canp_exec_destroy(ex);
	}
}

/* ---- statistics ---- */

static int may_fail(const struct canp_task_env *env, void *arg)
{
	(void)env;
	return (uintptr_t)arg % 5 == 3 ? -EIO : 0;
}

static void B19_totals_are_exact(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_exec_stats st;

	(void)state;
	for (uintptr_t i = 0; i < 1000; i++) {
		struct canp_task_desc d = {.fn = may_fail, .arg = (void *)i, .type = i % 3};

		submit_again(ex, &d);
	}
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.total_tasks, 1000);
	assert_int_equal(st.completed_tasks, 800);
	assert_int_equal(st.failed_tasks, 200);
	assert_int_equal(st.cancelled_tasks + st.timed_out_tasks + st.live_tasks, 0);
	canp_exec_destroy(ex);
}

static uint64_t slept_ns;

static int sleep_exactly(const struct canp_task_env *env, void *arg)
{
	uint64_t from = canp_clock_ns();

	(void)env;
	nap_ms((long)(intptr_t)arg);
	__atomic_fetch_add(&slept_ns, canp_clock_ns() - from, __ATOMIC_RELAXED);
	return 0;
}

static void B20_average_execution_time(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct canp_exec_stats st;
	double slept_ms;

	(void)state;
	slept_ns = 0;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(
			canp_submit_cpu(ex, CANP_PRIO_NORMAL, sleep_exactly, (void *)(intptr_t)10),
			0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	/* Against what the sleeps really took: other load may lengthen them. */
	slept_ms = (double)slept_ns / 100 / (double)MS;
	assert_true(st.avg_execution_time >= 10.0 * 0.95);
	assert_true(st.avg_execution_time >= slept_ms * 0.95 &&
		    st.avg_execution_time <= slept_ms * 1.05);
	canp_exec_destroy(ex);
}

static void B21_memory_statistics_are_exact(void **state)
{
	struct canp_exec *ex = exec_of(1);
	struct canp_exec_stats st;
	struct canp_mem_stats ms;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct canp_block *b[3];
		struct canp_task_desc d = {.fn = may_fail, .blocks = b, .nr_blocks = 1 + i % 3};

		for (unsigned k = 0; k < d.nr_blocks; k++)
			assert_int_equal(
				canp_mem_alloc(canp_exec_mem(ex), CANP_MEM_BLOCK, 512, &b[k]), 0);
		submit_again(ex, &d);
		assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	}
	canp_exec_stats(ex, &st);
	canp_mem_stats(canp_exec_mem(ex), &ms);
	assert_int_equal(st.total_memory_blocks, 99); /* 1 2 3 1 2 3 .. 1 2 */
	assert_int_equal(st.recycled_memory_blocks, 99);
	assert_int_equal(st.live_memory_blocks, 0);
	assert_int_equal(ms.total_allocations, 99);
	assert_true(st.memory_reuse_rate == ms.block_pool_hit_rate);
	assert_true(st.memory_reuse_rate >= 0 && st.memory_reuse_rate < 1);
	canp_exec_destroy(ex);
}

static void B22_the_pool_of_the_executor_can_be_used(void **state)
{
	struct canp_exec_opts o = {.cores = 1};
	struct canp_exec *ex = exec_of(1);
	struct canp_mem *m;

	(void)state;
	m = canp_exec_mem(ex);
	assert_non_null(m);
	assert_int_equal(canp_mem_opts_of(m)->max_total_memory, CANP_GIB);
	canp_exec_destroy(ex);
	assert_int_equal(canp_mem_create(NULL, &m), 0);
	o.mem = m;
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	assert_ptr_equal(canp_exec_mem(ex), m);
	canp_exec_destroy(ex);
	canp_mem_destroy(m); /* the executor did not */
}

/* ---- many threads ---- */

struct producer {
	struct canp_exec *ex;
	pthread_t thread;
	unsigned n, batch;
	unsigned *hits;
};

static int hit(const struct canp_task_env *env, void *arg)
{
	(void)env;
	__atomic_fetch_add((unsigned *)arg, 1, __ATOMIC_RELAXED);
	return 0;
}

static void *produce_batches(void *arg)
{
	struct producer *p = arg;
	struct canp_task_desc d[64];
	unsigned i = 0;

	memset(d, 0, sizeof(d));
	while (i < p->n) {
		unsigned n = canp_min(p->batch, p->n - i);
		int rc;

		for (unsigned k = 0; k < n; k++) {
			d[k].fn = hit;
			d[k].arg = &p->hits[i + k];
			d[k].type = (i + k) % 3;
			d[k].prio = (i + k) % 4;
		}
		while ((rc = canp_submit_batch(p->ex, d, n, NULL)) == -EAGAIN)
			sched_yield();
		if (rc)
			break;
		i += n;
	}
	p->n = i;
	return NULL;
}

static void B33_two_producers_lose_nothing_and_repeat_nothing(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct producer p[2] = {{0}};
	struct canp_exec_stats st;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct producer){.ex = ex, .n = MANY, .batch = i ? 64 : 3};
		p[i].hits = calloc(MANY, sizeof(unsigned));
		assert_non_null(p[i].hits);
		assert_int_equal(pthread_create(&p[i].thread, NULL, produce_batches, &p[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.total_tasks, 2 * MANY);
	assert_int_equal(st.completed_tasks, 2 * MANY);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(p[i].n, MANY);
		for (unsigned k = 0; k < MANY; k++)
			assert_true(p[i].hits[k] == 1);
		free(p[i].hits);
	}
	canp_exec_destroy(ex);
}

static void *produce_with_blocks(void *arg)
{
	struct producer *p = arg;

	for (unsigned i = 0; i < p->n; i++) {
		struct canp_block *b[2];
		struct canp_task_desc d = {
			.fn = may_fail, .arg = (void *)(uintptr_t)i, .blocks = b, .nr_blocks = 2};

		for (unsigned k = 0; k < 2; k++) {
			while (canp_mem_alloc(canp_exec_mem(p->ex), CANP_MEM_FRAME, 256, &b[k]))
				sched_yield();
		}
		while (canp_submit(p->ex, &d, NULL) == -EAGAIN)
			sched_yield();
	}
	__atomic_fetch_add(p->hits, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void B24_statistics_fit_together_at_any_time(void **state)
{
	struct canp_exec *ex = exec_of(2);
	unsigned ended = 0, looks = 0;
	struct producer p[2];
	struct canp_exec_stats st;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct producer){.ex = ex, .n = MANY / 20, .hits = &ended};
		assert_int_equal(pthread_create(&p[i].thread, NULL, produce_with_blocks, &p[i]), 0);
	}
	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < 2) {
		canp_exec_stats(ex, &st);
		assert_int_equal(st.completed_tasks + st.failed_tasks + st.live_tasks,
				 st.total_tasks);
		assert_int_equal(st.by_type[0] + st.by_type[1] + st.by_type[2], st.total_tasks);
		assert_in_range(st.live_tasks, 0, 2 * 16384);
		assert_int_equal(st.live_memory_blocks, 2 * st.live_tasks);
		assert_int_equal(st.total_memory_blocks, 2 * st.total_tasks);
		looks++;
		sched_yield();
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_true(looks > 3);
	assert_int_equal(st.total_tasks, 2 * (MANY / 20));
	assert_int_equal(st.live_memory_blocks, 0);
	assert_int_equal(blocks_live(ex), 0);
	canp_exec_destroy(ex);
}

/* ---- the flow of one task ---- */

static struct {
	struct canp_exec *ex;
	unsigned n;
	const char *what[16];
} trace;

static void note(const char *what)
{
	trace.what[__atomic_fetch_add(&trace.n, 1, __ATOMIC_ACQ_REL) % 16] = what;
}

static int flow_run(const struct canp_task_env *env, void *arg)
{
	while (!__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE))
		sched_yield();
	note(env->nr_blocks == 1 ? "run" : "run without its block");
	note("done");
	return 0;
}

static void flow_done(struct canp_future *f, void *arg)
{
	struct canp_exec_stats st;

	(void)arg;
	assert_int_equal(canp_future_status(f), CANP_TASK_COMPLETED);
	note(blocks_live(trace.ex) == 0 ? "recycle" : "not recycled");
	canp_exec_stats(trace.ex, &st);
	note(st.completed_tasks == 1 && st.recycled_memory_blocks == 1 ? "stats" : "wrong stats");
}

static void B25_the_eight_steps_come_in_their_order(void **state)
{
	static const char *const steps[8] = {"create", "alloc", "attach",  "submit",
					     "run",    "done",  "recycle", "stats"};
	struct canp_task_desc d = {.fn = flow_run, .done = flow_done};
	struct canp_block *b;
	bool go = false;

	(void)state;
	trace.n = 0;
	trace.ex = exec_of(1);
	note("create");
	assert_int_equal(canp_mem_alloc(canp_exec_mem(trace.ex), CANP_MEM_BLOCK, 4096, &b), 0);
	note("alloc");
	d.blocks = &b;
	d.nr_blocks = 1;
	d.arg = &go;
	note("attach");
	assert_int_equal(canp_submit(trace.ex, &d, NULL), 0);
	note("submit");
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	assert_int_equal(canp_exec_wait_idle(trace.ex, 60000), 0);
	assert_int_equal(trace.n, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_string_equal(trace.what[i], steps[i]);
	canp_exec_destroy(trace.ex);
}

static void B27_defaults_are_enough(void **state)
{
	struct canp_exec *ex;
	unsigned hits = 0;

	(void)state;
	assert_int_equal(canp_exec_create(NULL, &ex), 0);
	assert_true(canp_exec_nr_shards(ex) >= 1);
	assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_NORMAL, hit, &hits), 0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	assert_int_equal(hits, 1);
	canp_exec_destroy(ex);
	for (unsigned n = 1; n <= 9; n += 4) {
		ex = exec_of(n);
		assert_int_equal(canp_exec_nr_shards(ex), n);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(canp_submit_io(ex, CANP_PRIO_NORMAL, hit, &hits), 0);
		assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
		canp_exec_destroy(ex);
	}
	assert_int_equal(hits, 301);
}

/* ---- life ---- */

static int attach_setup(void *arg, struct canp_shard *s)
{
	return canp_exec_attach(arg, s);
}

static void tasks_run_on_the_reactors_of_a_given_runtime(void **state)
{
	struct canp_runtime_opts ro = {.cores = 2, .setup = attach_setup};
	struct canp_runtime *rt;
	struct canp_exec *ex;
	unsigned hits = 0;

	(void)state;
	assert_int_equal(canp_exec_init(NULL, 2, &ex), 0);
	ro.arg = ex;
	assert_int_equal(canp_runtime_create(&ro, &rt), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_NORMAL, hit, &hits), 0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	assert_int_equal(hits, 1000);
	canp_runtime_stop(rt);
	assert_int_equal(canp_runtime_wait(rt), 0);
	canp_runtime_destroy(rt);
	canp_exec_destroy(ex);
}

static void *one_task(void *arg)
{
	static unsigned hits;

	assert_int_equal(canp_submit_cpu(arg, CANP_PRIO_NORMAL, hit, &hits), 0);
	return NULL;
}

static void ports_of_ended_threads_are_used_again(void **state)
{
	struct canp_exec_opts o = {.cores = 1, .slots = 128};
	struct canp_exec_stats st;
	struct canp_exec *ex;

	(void)state;
	assert_int_equal(canp_exec_create(&o, &ex), 0);
	for (unsigned i = 0; i < 3 * TASK_PORTS_MAX; i++) {
		pthread_t t;

		assert_int_equal(pthread_create(&t, NULL, one_task, ex), 0);
		pthread_join(t, NULL);
	}
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.completed_tasks, 3 * TASK_PORTS_MAX);
	canp_exec_destroy(ex);
}

struct storm {
	struct canp_exec *ex;
	unsigned ran, over, cancelled;
};

static int storm_run(const struct canp_task_env *env, void *arg)
{
	struct storm *s = arg;

	(void)env;
	__atomic_fetch_add(&s->ran, 1, __ATOMIC_RELAXED);
	return 0;
}

static void *storm_thread(void *arg)
{
	struct storm *s = arg;
	struct canp_task_desc d[16];
	struct canp_future *f[16];
	struct canp_task_result r;

	memset(d, 0, sizeof(d));
	for (unsigned round = 0; round < MANY / 200; round++) {
		for (unsigned i = 0; i < 16; i++) {
			d[i].fn = storm_run;
			d[i].arg = s;
			d[i].timeout_ms = i % 4 == 1 ? 1 : 0;
			d[i].start_at_ns = i % 8 == 2 ? canp_clock_ns() + MS / 4 : 0;
		}
		while (canp_submit_batch(s->ex, d, 16, f) == -EAGAIN)
			sched_yield();
		for (unsigned i = 0; i < 16; i++) {
			if (i % 3 == 0)
				canp_future_cancel(f[i]);
			if (i % 5 == 0) {
				canp_future_put(f[i]); /* not waited for */
				continue;
			}
			if (canp_future_wait(f[i], 60000, &r))
				return NULL;
			s->cancelled += r.error == -ECANCELED;
			canp_future_put(f[i]);
			s->over++;
		}
	}
	return s;
}

static void cancels_timeouts_and_ends_race_without_loss(void **state)
{
	struct canp_exec *ex = exec_of(2);
	struct storm s[2] = {{.ex = ex}, {.ex = ex}};
	struct canp_exec_stats st;
	pthread_t t[2];
	void *ok;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, storm_thread, &s[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(t[i], &ok);
		assert_non_null(ok);
	}
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.total_tasks, 2 * (MANY / 200) * 16);
	assert_true(s[0].ran + s[1].ran >= st.completed_tasks);
	assert_true(s[0].ran + s[1].ran <= st.completed_tasks + st.timed_out_tasks);
	assert_int_equal(st.failed_tasks, st.cancelled_tasks + st.timed_out_tasks);
	canp_exec_destroy(ex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B13_wait_returns_after_the_last_task_and_sleeps_meanwhile),
		cmocka_unit_test(an_idle_reactor_takes_the_oldest_task_of_a_busy_one),
		cmocka_unit_test(a_task_for_a_shard_stays_there),
		cmocka_unit_test(B14_io_bound_threads_default_to_half_the_cores),
		cmocka_unit_test(B15_cpu_bound_threads_default_to_the_cores),
		cmocka_unit_test(B16_memory_bound_threads_default_to_half_the_cores),
		cmocka_unit_test(B17_statistics_can_be_off),
		cmocka_unit_test(B18_blocks_stay_with_their_owner_when_management_is_off),
		cmocka_unit_test(B19_totals_are_exact),
		cmocka_unit_test(B20_average_execution_time),
		cmocka_unit_test(B21_memory_statistics_are_exact),
		cmocka_unit_test(B22_the_pool_of_the_executor_can_be_used),
		cmocka_unit_test(B33_two_producers_lose_nothing_and_repeat_nothing),
		cmocka_unit_test(B24_statistics_fit_together_at_any_time),
		cmocka_unit_test(B25_the_eight_steps_come_in_their_order),
		cmocka_unit_test(B27_defaults_are_enough),
		cmocka_unit_test(tasks_run_on_the_reactors_of_a_given_runtime),
		cmocka_unit_test(ports_of_ended_threads_are_used_again),
		cmocka_unit_test(cancels_timeouts_and_ends_race_without_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
