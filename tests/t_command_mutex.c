/*
 * t_command_mutex.c - the command pool on a queue with a mutex: nothing in the pool may depend on
 * how the queue is made (E16).
 */
#include "tests/lib/cmd_pool_cases.h"
#include "tests/lib/cmd_queue_mutex.h"

static void E16_the_pool_runs_on_the_queue_with_a_mutex(void **state)
{
	struct canp_cmd_queue *q = canp_cmd_queue_create(3);
	uint32_t v[3] = {7, 8, 9}, got;

	(void)state;
	/* The product's has room for a power of two; this one has what was asked for. */
	assert_true(canp_cmd_queue_push(q, v, 3));
	assert_false(canp_cmd_queue_push(q, v, 1));
	for (int i = 0; i < 3; i++) {
		assert_true(canp_cmd_queue_pop(q, &got));
		assert_int_equal(got, v[i]);
	}
	assert_false(canp_cmd_queue_pop(q, &got));
	canp_cmd_queue_destroy(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(E16_the_pool_runs_on_the_queue_with_a_mutex), CMD_POOL_CASES};

	return cmocka_run_group_tests_name("command pool, mutex", tests, NULL, NULL);
}
