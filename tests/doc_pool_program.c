/*
 * doc_pool_program.c - the basic example of the process pool's source document with what it leaves
 * open filled in, and every other call that the document shows, as a program of its own: it must
 * compile with -std=gnu11 -Wall -Werror against process_pool.h alone, run, and say so.
 */
#include <process_pool.h>

#include <stdio.h>
#include <stdlib.h>

int my_task(void *input_data, size_t input_size, void **output_data, size_t *output_size,
	    void *user_data)
{
	int *answer = malloc(sizeof(*answer));

	if (answer == NULL || input_size != sizeof(int) || user_data != NULL)
		return -1;
	*answer = *(int *)input_data * 2;
	*output_data = answer;
	*output_size = sizeof(*answer);
	return 0;
}

static int the_rest(process_pool_t *pool)
{
	int input[3] = {1, 2, 3}, sum = 0;
	task_desc_t tasks[3] = {{0}};
	task_result_t result;
	pool_stats_t stats;

	task_future_t *future = pool_submit_async(pool, my_task, &input[0], sizeof(int), NULL,
						  TASK_PRIORITY_NORMAL, 5000);
	if (future == NULL || pool_future_wait(future, &result, 5000) != 0)
		return 1;
	sum += *(int *)result.output_data;
	if (pool_future_cancel(future) == 0)
		return 2;
	pool_future_destroy(future);

	for (int i = 0; i < 3; i++) {
		tasks[i].func = my_task;
		tasks[i].input_data = &input[i];
		tasks[i].input_size = sizeof(int);
		tasks[i].priority = TASK_PRIORITY_NORMAL;
	}
	task_future_t **futures = pool_submit_batch(pool, tasks, 3);
	if (futures == NULL)
		return 3;
	for (int i = 0; i < 3; i++) {
		if (pool_future_wait(futures[i], &result, 5000) != 0)
			return 4;
		sum += *(int *)result.output_data;
		pool_future_destroy(futures[i]);
	}
	free(futures);

	pool_set_log_level(pool, LOG_LEVEL_DEBUG);
	if (pool_set_log_file(pool, "/dev/null") != 0)
		return 5;

	pool_get_stats(pool, &stats);
	printf("Tasks completed: %lu\n", stats.tasks_completed);
	printf("Average latency: %.2f ms\n", stats.avg_task_time_ms);
	printf("Queue utilization: %.1f%%\n", stats.queue_utilization);
	return sum == 14 && stats.tasks_completed == 5 ? 0 : 6;
}

int main()
{
	pool_config_t config = {.worker_count = 4,
				.queue_size = 100,
				.enable_dynamic_scaling = true,
				.pool_name = "my_pool"};

	process_pool_t *pool = pool_create(&config);
	if (pool == NULL || pool_start(pool) != 0)
		return 1;

	int input = 42;
	task_result_t result;
	pool_submit_sync(pool, my_task, &input, sizeof(input), NULL, TASK_PRIORITY_NORMAL, 5000,
			 &result);
	if (result.output_size != sizeof(int) || *(int *)result.output_data != 84)
		return 1;

	int rc = the_rest(pool);

	pool_stop(pool, 5000);
	pool_destroy(pool);
	printf("%s %d\n", rc == 0 ? "success" : "failure", rc);
	return rc;
}
