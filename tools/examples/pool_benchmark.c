/*
 * pool_benchmark.c - how many tasks a second go through a process pool, one at a time and in
 * batches, in a second or two. `canp-bench pool` does this with more care.
 *
 * Build: cc pool_benchmark.c $(pkg-config --cflags --libs canp)
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <process_pool.h>

#define BATCH 64

static int nothing(void *input, size_t size, void **output, size_t *output_size, void *user)
{
	(void)input, (void)size, (void)output, (void)output_size, (void)user;
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static double one_at_a_time(process_pool_t *pool)
{
	double start = now(), end = start + 0.5;
	unsigned n = 0;

	for (; now() < end; n++)
		if (pool_submit_sync(pool, nothing, NULL, 0, NULL, TASK_PRIORITY_NORMAL, 0, NULL))
			return 0;
	return n / (now() - start);
}

static double in_batches(process_pool_t *pool)
{
	double start = now(), end = start + 0.5;
	task_future_t *futures[BATCH];
	task_desc_t tasks[BATCH];
	unsigned n = 0;

	memset(tasks, 0, sizeof(tasks));
	for (int i = 0; i < BATCH; i++)
		tasks[i].func = nothing;
	for (; now() < end; n += BATCH) {
		if (pool_submit_batch_into(pool, tasks, BATCH, futures))
			return 0;
		for (int i = 0; i < BATCH; i++) {
			pool_future_wait(futures[i], NULL, UINT32_MAX);
			pool_future_destroy(futures[i]);
		}
	}
	return n / (now() - start);
}

int main(void)
{
	pool_config_t config = {.worker_count = 1, .queue_size = 1024, .pool_name = "benchmark"};
	process_pool_t *pool = pool_create(&config);
	double sync, batch;
	pool_stats_t stats;

	if (!pool || pool_start(pool)) {
		perror("process pool");
		return 1;
	}
	sync = one_at_a_time(pool);
	batch = in_batches(pool);
	pool_get_stats(pool, &stats);
	printf("one at a time: %.0f tasks/s\nbatches of %d: %.0f tasks/s\n", sync, BATCH, batch);
	printf("latency: P50 %.1f us, P99 %.1f us\n", stats.p50_us, stats.p99_us);
	pool_stop(pool, 5000);
	pool_destroy(pool);
	return sync > 0 && batch > 0 ? 0 : 1;
}
