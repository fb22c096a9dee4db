/*
 * t_stall.c - a task that keeps its reactor for long is named on stderr, in builds of FLAVOUR=debug
 * and of the sanitizers only; a release says nothing and looks at no clock for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/units.h"
#include "core/runtime/task.h"

static int keeps(const struct canp_task_env *env, void *arg)
{
	struct timespec t = {.tv_nsec = *(long *)arg};

	(void)env;
	while (nanosleep(&t, &t))
		;
	return 0;
}

/* What stderr got while one task of so many nanoseconds ran. */
static void said(long ns, char *text, size_t room)
{
	FILE *f = tmpfile();
	struct canp_exec *ex;
	int old = dup(2);
	size_t n;

	assert_non_null(f);
	assert_int_equal(canp_exec_create(NULL, &ex), 0);
	dup2(fileno(f), 2);
	assert_int_equal(canp_submit_io(ex, CANP_PRIO_NORMAL, keeps, &ns), 0);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	canp_exec_destroy(ex);
	dup2(old, 2);
	close(old);
	rewind(f);
	n = fread(text, 1, room - 1, f);
	text[n] = 0;
	fclose(f);
}

static void D67_a_task_that_blocks_is_named_in_debug_builds(void **state)
{
	char text[4096];

	(void)state;
	said(60 * CANP_NS_PER_MS, text, sizeof(text));
#ifdef CANP_DEBUG
	assert_non_null(strstr(text, "stall: task "));
	assert_non_null(strstr(text, "the limit is 25 ms: "));
	assert_non_null(strstr(text, "t_stall"));
#else
	assert_string_equal(text, "");
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D67_a_task_that_blocks_is_named_in_debug_builds),
	};

	return cmocka_run_group_tests_name("stall", tests, NULL, NULL);
}
