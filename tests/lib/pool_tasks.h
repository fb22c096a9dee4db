/*
 * pool_tasks.h - functions that the tests of the process pool let its workers run.
 */
#ifndef TESTS_LIB_POOL_TASKS_H
#define TESTS_LIB_POOL_TASKS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/process/process_pool.h"

/* int -> twice the int, in a block of malloc(). */
static inline int task_double(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	int *v = malloc(sizeof(*v));

	(void)user;
	if (!v || n != sizeof(int))
		return -1;
	*v = 2 * *(int *)in;
	*out = v;
	*out_n = sizeof(*v);
	return 0;
}

static inline int task_rc(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	return (int)(intptr_t)user;
}

/* Sleeps that many milliseconds, whatever is asked of it. */
static inline int task_sleep(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	uint64_t end = canp_clock_ns() + (uint64_t)(intptr_t)user * 1000000u;
	struct timespec ms = {.tv_nsec = 1000000};

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	while (canp_clock_ns() < end)
		nanosleep(&ms, NULL);
	return 0;
}

/* The same, but it ends when it is asked to. */
static inline int task_polite(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	uint64_t end = canp_clock_ns() + (uint64_t)(intptr_t)user * 1000000u;
	struct timespec ms = {.tv_nsec = 1000000};

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	while (canp_clock_ns() < end && !pool_task_cancelled())
		nanosleep(&ms, NULL);
	return pool_task_cancelled() ? -1 : 0;
}

static inline int task_kill_self(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	raise((int)(intptr_t)user);
	return 0;
}

static inline int task_exit(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	_exit((int)(intptr_t)user);
}

#endif
