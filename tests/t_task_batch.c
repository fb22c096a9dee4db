/*
 * t_task_batch.c - batches of every shape: all alike and all different, to one shard, to named ones
 * and to wherever, from outside and from a task, with deadlines and starts among them; every task
 * runs once and where it was sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "core/runtime/task.h"

#define TASKS 3000u

static struct record {
	unsigned runs, shard, want;
} records[TASKS];

static int note(const struct canp_task_env *env, void *arg)
{
	struct record *r = arg;

	r->shard = env->shard;
	__atomic_fetch_add(&r->runs, 1, __ATOMIC_RELEASE);
	return 0;
}

struct shape {
	bool mix_shards, mix_types, mix_times, named;
};

static const struct shape shapes[] = {
	{false, false, false, false}, {false, false, false, true}, {true, false, false, false},
	{false, true, false, false},  {false, true, true, true},   {true, true, true, false},
};

static struct canp_task_desc desc_of(const struct shape *s, unsigned i, unsigned cores)
{
	uint64_t r = canp_hash_mix(i + 1);
	struct canp_task_desc d = {.fn = note, .arg = &records[i], .type = CANP_TASK_CPU};

	if (s->named)
		d.shard = (int)cores;
	if (s->mix_shards)
		d.shard = (int)(r % (cores + 1));
	if (s->mix_types) {
		d.type = (enum canp_task_type)(r >> 8) % CANP_TASK_NR_TYPES;
		d.prio = (enum canp_task_prio)(r >> 16) % CANP_PRIO_NR;
	}
	if (s->mix_times && (r >> 24) % 3 == 0)
		d.timeout_ms = 600000;
	if (s->mix_times && (r >> 24) % 5 == 0)
		d.start_at_ns = canp_clock_ns() + CANP_NS_PER_MS;
	records[i] = (struct record){.want = (unsigned)d.shard};
	return d;
}

/* Batches of 1, 2, .. 256 and again. */
static void send_all(struct canp_exec *ex, const struct shape *s, unsigned cores)
{
	static struct canp_task_desc d[CANP_TASK_BATCH_MAX];

	for (unsigned i = 0, size = 1; i < TASKS; size = size % CANP_TASK_BATCH_MAX + 1) {
		unsigned n = canp_min(size, TASKS - i);
		int rc;

		for (unsigned k = 0; k < n; k++)
			d[k] = desc_of(s, i + k, cores);
		while ((rc = canp_submit_batch(ex, d, n, NULL)) == -EAGAIN)
			sched_yield();
		if (rc)
			abort();
		i += n;
	}
}

static void all_ran(struct canp_exec *ex)
{
	struct canp_exec_stats st;

	assert_int_equal(canp_exec_wait_idle(ex, 120000), 0);
	for (unsigned i = 0; i < TASKS; i++) {
		assert_int_equal(records[i].runs, 1);
		if (records[i].want)
			assert_int_equal(records[i].shard, records[i].want - 1);
	}
	canp_exec_stats(ex, &st);
	assert_int_equal(st.completed_tasks, st.total_tasks);
	assert_int_equal(st.live_tasks, 0);
}

static struct canp_exec *exec_of(unsigned cores)
{
	/* More than CPUs is allowed, and the slots are fewer than the tasks. */
	struct canp_exec_opts o = {.cores = cores, .slots = 1024};
	struct canp_exec *ex = NULL;

	assert_int_equal(canp_exec_create(&o, &ex), 0);
	return ex;
}

static unsigned cores_max(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	return canp_min(2u, (unsigned)CPU_COUNT(&set));
}

static void B11_batches_of_every_shape_run_once_where_they_were_sent(void **state)
{
	(void)state;
	for (unsigned cores = 1; cores <= cores_max(); cores++) {
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(shapes); i++) {
			struct canp_exec *ex = exec_of(cores);
			struct canp_exec_stats st;

			send_all(ex, &shapes[i], cores);
			all_ran(ex);
			canp_exec_stats(ex, &st);
			assert_int_equal(st.total_tasks, TASKS);
			assert_int_equal(st.by_type[0] + st.by_type[1] + st.by_type[2], TASKS);
			canp_exec_destroy(ex);
		}
	}
}

struct inner {
	const struct shape *s;
	unsigned cores, at;
};

/* On a reactor: a batch, and itself again until all are out. */
static int send_some(const struct canp_task_env *env, void *arg)
{
	struct canp_task_desc d[100], again = {.fn = send_some, .arg = arg, .type = CANP_TASK_CPU};
	struct inner *in = arg;
	unsigned n = canp_min(100u, TASKS - in->at);
	int rc;

	for (unsigned k = 0; k < n; k++)
		d[k] = desc_of(in->s, in->at + k, in->cores);
	rc = n ? canp_submit_batch(env->exec, d, n, NULL) : 0;
	if (!rc)
		in->at += n;
	if (in->at == TASKS)
		return 0;
	again.prio = CANP_PRIO_LOW; /* behind what is there, so that slots get free */
	rc = canp_submit(env->exec, &again, NULL);
	return rc == -EAGAIN ? 0 : rc;
}

static void B11_tasks_send_batches_of_every_shape(void **state)
{
	(void)state;
	for (unsigned cores = 1; cores <= cores_max(); cores++) {
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(shapes); i++) {
			struct inner in = {.s = &shapes[i], .cores = cores};
			struct canp_exec *ex = exec_of(cores);

			/* A batch may take the last slot, and then the task finds none for itself:
			 * the slots are fewer than the tasks. */
			for (unsigned tries = 0; in.at < TASKS && tries < TASKS / 100; tries++) {
				assert_int_equal(canp_submit_cpu(ex, CANP_PRIO_LOW, send_some, &in),
						 0);
				assert_int_equal(canp_exec_wait_idle(ex, 120000), 0);
			}
			assert_int_equal(in.at, TASKS);
			all_ran(ex);
			canp_exec_destroy(ex);
		}
	}
}

static void B11_one_bad_task_refuses_the_batch(void **state)
{
	struct canp_exec *ex = exec_of(1);
	struct canp_task_desc good = {.fn = note, .arg = &records[0], .type = CANP_TASK_CPU};
	struct canp_task_desc bad[8];
	struct canp_exec_stats st;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].fn = NULL;
	bad[1].type = CANP_TASK_NR_TYPES;
	bad[2].type = (enum canp_task_type) - 1;
	bad[3].prio = CANP_PRIO_NR;
	bad[4].nr_blocks = 1; /* and none there */
	bad[5].nr_blocks = CANP_TASK_BLOCKS_MAX + 1;
	bad[6].shard = -1;
	bad[7].shard = 2;
	records[0].runs = 0;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		struct canp_task_desc d[5] = {good, good, good, good, good};

		d[i % 5] = bad[i];
		assert_int_equal(canp_submit_batch(ex, d, 5, NULL), -EINVAL);
	}
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	assert_int_equal(records[0].runs, 0);
	canp_exec_stats(ex, &st);
	assert_int_equal(st.total_tasks, 0);
	canp_exec_destroy(ex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(B11_batches_of_every_shape_run_once_where_they_were_sent),
		cmocka_unit_test(B11_tasks_send_batches_of_every_shape),
		cmocka_unit_test(B11_one_bad_task_refuses_the_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
