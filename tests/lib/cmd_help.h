/*
 * cmd_help.h - what the tests of the command pool share: the pool that a test made, commands for it
 * and their results. Included by the one file of a test program.
 */
#ifndef TESTS_LIB_CMD_HELP_H
#define TESTS_LIB_CMD_HELP_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/command/command_pool.h"

#define WAIT_MS 120000u /* for what must happen; the machine may be busy */

/* Made by a test, destroyed by teardown(), which may also be called in between. */
static struct canp_cmd_pool *pool;

static inline int teardown(void **state)
{
	(void)state;
	canp_cmd_pool_destroy(pool);
	pool = NULL;
	return 0;
}

/* A command of the shell; the caller puts the future. */
static inline struct canp_future *push(const char *text)
{
	const char *const argv[] = {"/bin/sh", "-c", text, NULL};
	struct canp_cmd_spec s = {.argv = argv};
	struct canp_future *f;

	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	return f;
}

/* The result is the future's, as long as that is held. */
static inline const struct canp_cmd_result *wait_result(struct canp_future *f)
{
	assert_int_equal(canp_future_wait(f, WAIT_MS, NULL), 0);
	return canp_cmd_result(f);
}

static inline unsigned threads_of_process(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
