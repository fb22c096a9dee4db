/*
 * assert.c - what happens when our own state is wrong: say where, and stop.
 */
#include "core/base/assert.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void canp_assert_fail(const char *file, int line, const char *func, const char *expr)
{
	void *frames[32];
	int n;

	dprintf(STDERR_FILENO, "canp: assertion failed at %s:%d in %s: %s\n", file, line, func,
		expr);
	n = backtrace(frames, (int)CANP_ARRAY_SIZE(frames));
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	abort();
}
