/*
 * pool_advanced.c - what a process pool is for: functions that may crash, hang or be too slow
 * without taking the program along; priorities, batches, cancelling, payload without a copy, a
 * restart of all workers while tasks come in.
 *
 * Build: cc pool_advanced.c $(pkg-config --cflags --libs canp)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <process_pool.h>

static int count_lines(void *input, size_t size, void **output, size_t *output_size, void *user)
{
	size_t *lines = pool_task_alloc(sizeof(*lines)); /* payload memory: handed on as it is */

	(void)user;
	if (!lines)
		return -1;
	*lines = 0;
	for (size_t i = 0; i < size; i++)
		*lines += ((char *)input)[i] == '\n';
	*output = lines;
	*output_size = sizeof(*lines);
	return 0;
}

static int crash(void *input, size_t size, void **output, size_t *output_size, void *user)
{
	(void)input, (void)size, (void)output, (void)output_size, (void)user;
	raise(SIGSEGV);
	return 0;
}

static int dawdle(void *input, size_t size, void **output, size_t *output_size, void *user)
{
	(void)input, (void)size, (void)output, (void)output_size, (void)user;
	while (!pool_task_cancelled())
		usleep(1000);
	return 0;
}

static unsigned failures;

static void expect(const char *what, int ok)
{
	printf("%-46s %s\n", what, ok ? "ok" : "FAILED");
	failures += !ok;
}

static void payload(process_pool_t *pool)
{
	size_t size = 8 << 20;
	char *text = pool_alloc_payload(pool, size);
	task_result_t r;

	if (!text) {
		expect("payload memory", 0);
		return;
	}
	memset(text, 'x', size);
	for (size_t i = 99; i < size; i += 100)
		text[i] = '\n';
	pool_submit_sync(pool, count_lines, text, size, NULL, TASK_PRIORITY_HIGH, 10000, &r);
	expect("8 MiB read in place by a worker",
	       r.output_size == sizeof(size_t) && *(size_t *)r.output_data == size / 100);
	task_result_release(&r);
	pool_free_payload(pool, text);
}

static void trouble(process_pool_t *pool)
{
	task_future_t *slow;
	task_result_t r;

	pool_submit_sync(pool, crash, NULL, 0, NULL, TASK_PRIORITY_NORMAL, 0, &r);
	expect("a crash is a result, with its signal",
	       r.outcome == CANP_PROCESS_CRASHED && r.signal == SIGSEGV);
	pool_submit_sync(pool, dawdle, NULL, 0, NULL, TASK_PRIORITY_NORMAL, 50, &r);
	expect("a slow one ends at its time limit", r.outcome == CANP_PROCESS_TIMEOUT);
	slow = pool_submit_async(pool, dawdle, NULL, 0, NULL, TASK_PRIORITY_LOW, 0);
	expect("a task is cancelled", slow && pool_future_cancel(slow) == 0 &&
					      pool_future_wait(slow, &r, 10000) == 0 &&
					      r.outcome == CANP_PROCESS_CANCELLED);
	pool_future_destroy(slow);
}

static void batch_and_restart(process_pool_t *pool)
{
	const char *text = "one\ntwo\nthree\n";
	task_desc_t tasks[50];
	task_future_t **futures;
	unsigned done = 0;
	task_result_t r;

	memset(tasks, 0, sizeof(tasks));
	for (int i = 0; i < 50; i++) {
		tasks[i].func = count_lines;
		tasks[i].input_data = (void *)text;
		tasks[i].input_size = strlen(text);
		tasks[i].priority = (task_priority_t)(i % 4);
	}
	futures = pool_submit_batch(pool, tasks, 50);
	expect("all workers are replaced meanwhile", pool_restart(pool, 10000) == 0);
	for (int i = 0; futures && i < 50; i++) {
		done += pool_future_wait(futures[i], &r, 10000) == 0 && r.output_size &&
			*(size_t *)r.output_data == 3;
		pool_future_destroy(futures[i]);
	}
	free(futures);
	expect("and all 50 tasks of a batch are done", done == 50);
}

int main(void)
{
	pool_config_t config = {.worker_count = 2,
				.max_workers = 4,
				.queue_size = 200,
				.enable_dynamic_scaling = true,
				.cancel_grace_ms = 200,
				.pool_name = "advanced"};
	process_pool_t *pool = pool_create(&config);

	if (!pool || pool_start(pool)) {
		perror("process pool");
		return 1;
	}
	payload(pool);
	trouble(pool);
	batch_and_restart(pool);
	pool_stop(pool, 10000);
	pool_destroy(pool);
	return failures != 0;
}
