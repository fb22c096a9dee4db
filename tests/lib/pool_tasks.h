/*
 * pool_tasks.h - functions that the tests of the process pool let its workers run.
 */
#ifndef TESTS_LIB_POOL_TASKS_H
#define TESTS_LIB_POOL_TASKS_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/process/process_pool.h"

/* The groups run twice: the second time without io_uring. */
extern bool pool_sync_ring;

static inline process_pool_t *pool_of(pool_config_t c)
{
	process_pool_t *p;

	c.sync_ring = pool_sync_ring;
	if (!c.pool_name[0])
		snprintf(c.pool_name, sizeof(c.pool_name), "t");
	p = pool_create(&c);
	assert_non_null(p);
	assert_int_equal(pool_start(p), 0);
	return p;
}

static inline process_pool_t *pool_n(int workers, int queue)
{
	return pool_of((pool_config_t){.worker_count = workers, .queue_size = queue});
}

static inline pool_stats_t stats_of(process_pool_t *p)
{
	pool_stats_t st;

	assert_int_equal(pool_get_stats(p, &st), 0);
	return st;
}

/* Until cond holds, 60 s at most: the machine may be busy with other things. */
#define wait_for(cond)                                                                             \
	do {                                                                                       \
		uint64_t end_ = canp_clock_ns() + 60000000000ull;                                  \
		while (!(cond) && canp_clock_ns() < end_)                                          \
			usleep(1000);                                                              \
		assert_true(cond);                                                                 \
	} while (0)

static inline bool pid_gone(pid_t pid)
{
	return kill(pid, 0) != 0;
}

static inline unsigned count_open_fds(void)
{
	unsigned n = 0;

	for (int i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

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

static inline int task_count(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)n;
	(void)out;
	(void)out_n;
	(void)user;
	++*(uint32_t *)in;
	return 0;
}

/* Sleeps for `user` milliseconds; a polite one stops when it is asked to. */
static inline void task_rest(void *user, bool polite)
{
	uint64_t end = canp_clock_ns() + (uint64_t)(intptr_t)user * 1000000u;
	struct timespec ms = {.tv_nsec = 1000000};

	while (canp_clock_ns() < end && !(polite && pool_task_cancelled()))
		nanosleep(&ms, NULL);
}

/* Sleeps that many milliseconds, whatever is asked of it. */
static inline int task_sleep(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	task_rest(user, false);
	return 0;
}

/* The same, but it ends when it is asked to. */
static inline int task_polite(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	task_rest(user, true);
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
