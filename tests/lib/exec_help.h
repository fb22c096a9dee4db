/*
 * exec_help.h - what the tests of tasks and executors share.
 */
#ifndef TESTS_LIB_EXEC_HELP_H
#define TESTS_LIB_EXEC_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "core/base/units.h"
#include "core/runtime/task.h"
#include "numa/mem.h"

#define MS ((uint64_t)CANP_NS_PER_MS)

/* Tasks of a test that wants many; a sanitizer makes each of them several times as dear. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MANY 200000u
#else
#define MANY 1000000u
#endif

static inline void nap_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * CANP_NS_PER_MS};

	nanosleep(&ts, NULL);
}

/* The caller destroys it. */
static inline struct canp_exec *exec_of(unsigned cores)
{
	struct canp_exec_opts o = {.cores = cores};
	struct canp_exec *ex;

	assert_int_equal(canp_exec_create(&o, &ex), 0);
	return ex;
}

/* Blocks of the executor's memory pool that somebody holds. */
static inline uint64_t blocks_live(struct canp_exec *ex)
{
	struct canp_mem_stats st;

	canp_mem_stats(canp_exec_mem(ex), &st);
	return st.blocks_live;
}

#endif
