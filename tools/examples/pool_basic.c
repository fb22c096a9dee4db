/*
 * pool_basic.c - the smallest program with a process pool: four workers, one function, the answer
 * back in the caller. What the function allocates for its output the pool frees.
 *
 * Build: cc pool_basic.c $(pkg-config --cflags --libs canp)
 */
#include <stdio.h>
#include <stdlib.h>

#include <process_pool.h>

static int square(void *input, size_t input_size, void **output, size_t *output_size, void *user)
{
	long *answer = malloc(sizeof(*answer));

	(void)user;
	if (!answer || input_size != sizeof(int))
		return -1;
	*answer = (long)*(int *)input * *(int *)input;
	*output = answer;
	*output_size = sizeof(*answer);
	return 0;
}

int main(void)
{
	pool_config_t config = {.worker_count = 4, .queue_size = 100, .pool_name = "basic"};
	process_pool_t *pool = pool_create(&config);
	task_result_t result;
	int input = 42, rc;

	if (!pool || pool_start(pool)) {
		perror("process pool");
		return 1;
	}
	rc = pool_submit_sync(pool, square, &input, sizeof(input), NULL, TASK_PRIORITY_NORMAL, 5000,
			      &result);
	if (rc) {
		fprintf(stderr, "the task failed: %s\n", result.message);
	} else {
		printf("%d squared is %ld, says process %d\n", input, *(long *)result.output_data,
		       (int)result.worker_pid);
		rc = *(long *)result.output_data != 1764;
		task_result_release(&result);
	}
	pool_stop(pool, 5000);
	pool_destroy(pool);
	return rc != 0;
}
