/*
 * t_command_pool.c - the command pool on its own queue.
 */
#include "tests/lib/cmd_pool_cases.h"

int main(void)
{
	const struct CMUnitTest tests[] = {CMD_POOL_CASES};

	return cmocka_run_group_tests_name("command pool", tests, NULL, NULL);
}
