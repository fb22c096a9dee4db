/*
 * pool_monitoring.c - what can be seen of a process pool while it works: its counters, each
 * worker's processor time and memory, a log of all processes, metrics for Prometheus, a trace of
 * every task.
 *
 * Build: cc pool_monitoring.c $(pkg-config --cflags --libs canp)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <canp.h>
#include <process_pool.h>

static int burn(void *input, size_t size, void **output, size_t *output_size, void *user)
{
	clock_t end = clock() + CLOCKS_PER_SEC / 100;

	(void)input, (void)size, (void)output, (void)output_size;
	canp_process_log(NULL, LOG_LEVEL_INFO, "task %ld begins", (long)user);
	while (clock() < end)
		;
	return (long)user % 10 == 9 ? -1 : 0; /* one of ten fails */
}

static void show_workers(process_pool_t *pool)
{
	struct canp_process_worker w[8];
	int n = canp_process_pool_workers(pool, w, 8);

	for (int i = 0; i < n; i++)
		printf("worker %d: pid %d, %lu tasks, %.1f MB, %u descriptors\n", w[i].index,
		       (int)w[i].pid, (unsigned long)w[i].tasks, (double)w[i].rss_bytes / 1e6,
		       w[i].open_fds);
}

static int show_metrics(process_pool_t *pool)
{
	struct canp_strbuf text = CANP_STRBUF_INIT;
	struct canp_metrics *m = malloc(sizeof(*m));
	int rc;

	if (!m)
		return -1;
	canp_metrics_init(m, &text, CANP_METRICS_PROMETHEUS);
	canp_process_pool_metrics(pool, m);
	rc = canp_metrics_finish(m);
	if (!rc)
		printf("%s", text.buf);
	canp_strbuf_fini(&text);
	free(m);
	return rc;
}

int main(void)
{
	pool_config_t config = {
		.worker_count = 2, .queue_size = 64, .trace = true, .pool_name = "monitored"};
	process_pool_t *pool = pool_create(&config);
	task_future_t *futures[30];
	pool_stats_t stats;
	int rc = 0;

	if (!pool || pool_set_log_file(pool, "/dev/null") || pool_start(pool)) {
		perror("process pool");
		return 1;
	}
	pool_set_log_level(pool, LOG_LEVEL_INFO);
	for (long i = 0; i < 30; i++)
		futures[i] =
			pool_submit_async(pool, burn, NULL, 0, (void *)i, TASK_PRIORITY_NORMAL, 0);
	for (int i = 0; i < 30; i++) {
		pool_future_wait(futures[i], NULL, UINT32_MAX);
		pool_future_destroy(futures[i]);
	}
	pool_get_stats(pool, &stats);
	printf("Tasks completed: %lu\n", (unsigned long)stats.tasks_completed);
	printf("Tasks failed: %lu\n", (unsigned long)stats.tasks_failed);
	printf("Average latency: %.2f ms\n", stats.avg_task_time_ms);
	printf("Queue utilization: %.1f%%\n", stats.queue_utilization);
	show_workers(pool);
	rc |= show_metrics(pool);
	rc |= canp_process_pool_trace_export(pool, "/dev/null", "otlp");
	pool_stop(pool, 5000);
	pool_destroy(pool);
	return rc || stats.tasks_completed != 27 || stats.tasks_failed != 3;
}
