/*
 * task_help.h - tasks that the tests of tasks run: one that counts, one that keeps its reactor, one
 * that looks at its blocks. Included by the one file of a test program.
 */
#ifndef TESTS_LIB_TASK_HELP_H
#define TESTS_LIB_TASK_HELP_H

#include <sched.h>

#include "tests/lib/exec_help.h"

/* Runs of count_up(). */
static unsigned counter;

static inline int count_up(const struct canp_task_env *env, void *arg)
{
	(void)env;
	(void)arg;
	__atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
	return 0;
}

/* A task that keeps its reactor until it is let go. */
struct gate {
	bool started, open;
};

static inline int gate_run(const struct canp_task_env *env, void *arg)
{
	struct gate *g = arg;

	(void)env;
	__atomic_store_n(&g->started, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&g->open, __ATOMIC_ACQUIRE))
		sched_yield();
	return 0;
}

static inline void gate_close(struct canp_exec *ex, struct gate *g)
{
	struct canp_task_desc d = {.fn = gate_run, .arg = g, .type = CANP_TASK_CPU};

	*g = (struct gate){0};
	assert_int_equal(canp_submit(ex, &d, NULL), 0);
	while (!__atomic_load_n(&g->started, __ATOMIC_ACQUIRE))
		sched_yield();
}

static inline void gate_open(struct gate *g)
{
	__atomic_store_n(&g->open, true, __ATOMIC_RELEASE);
}

static inline void wait_all(struct canp_exec *ex)
{
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
}

/* What see_blocks() found, and what it shall return. */
static struct {
	unsigned n;
	struct canp_block *b[CANP_TASK_BLOCKS_MAX];
	int ret;
} seen;

static inline int see_blocks(const struct canp_task_env *env, void *arg)
{
	(void)arg;
	seen.n = env->nr_blocks;
	for (unsigned i = 0; i < env->nr_blocks; i++)
		seen.b[i] = env->blocks[i];
	return seen.ret;
}

/* Two blocks out of the pool of the executor. */
static inline void some_blocks(struct canp_exec *ex, struct canp_block *b[2])
{
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(canp_mem_alloc(canp_exec_mem(ex), CANP_MEM_BLOCK, 1000, &b[i]), 0);
}

#endif
