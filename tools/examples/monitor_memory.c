/*
 * monitor_memory.c - the monitor sample: every figure of the memory pool, of the tasks and of the
 * memory they manage, printed while work is going on and once more at the end; beside them what the
 * shared monitor saw of the process.
 *
 * Build: cc monitor_memory.c $(pkg-config --cflags --libs canp)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <canp.h>

#define ROUNDS 3u
#define TASKS  64u
#define BLOCK  (64u * 1024)

/* Every tenth task fails: that is counted, and nothing else happens. */
static int work(const struct canp_task_env *env, void *arg)
{
	const uint32_t *number = arg;

	memset(canp_block_data(env->blocks[0]), (int)*number, BLOCK);
	if (*number % 10 == 0) {
		snprintf(env->message, CANP_TASK_MESSAGE_BYTES, "task %" PRIu32 " refuses",
			 *number);
		return -EIO;
	}
	return 0;
}

static double mb(uint64_t bytes)
{
	return (double)bytes / (1024 * 1024);
}

/* monitor_memory_usage(pool) of the source document. */
static void monitor_memory_usage(struct canp_exec *pool)
{
	struct canp_mem_stats mem;
	struct canp_exec_stats st;

	canp_mem_stats(canp_exec_mem(pool), &mem);
	canp_exec_stats(pool, &st);
	printf("=== memory pool statistics ===\n");
	printf("total allocations: %" PRIu64 "\n", mem.total_allocations);
	printf("total deallocations: %" PRIu64 "\n", mem.total_deallocations);
	printf("current memory usage: %.2f MB\n", mb(mem.current_memory_usage));
	printf("peak memory usage: %.2f MB\n", mb(mem.peak_memory_usage));
	printf("pool hit rate: %.2f%%\n", mem.block_pool_hit_rate * 100);
	printf("=== thread pool statistics ===\n");
	printf("total tasks: %" PRIu64 "\n", st.total_tasks);
	printf("completed tasks: %" PRIu64 "\n", st.completed_tasks);
	printf("failed tasks: %" PRIu64 "\n", st.failed_tasks);
	printf("average execution time: %.3f ms\n", st.avg_execution_time);
	printf("=== memory management statistics ===\n");
	printf("total memory blocks: %" PRIu64 "\n", st.total_memory_blocks);
	printf("recycled memory blocks: %" PRIu64 "\n", st.recycled_memory_blocks);
	printf("memory reuse rate: %.2f%%\n", st.memory_reuse_rate * 100);
}

static int submit_round(struct canp_exec *pool, uint32_t *numbers)
{
	for (uint32_t i = 0; i < TASKS; i++) {
		struct canp_task_desc d;
		struct canp_block *b;
		int rc = canp_mem_alloc(canp_exec_mem(pool), CANP_MEM_BLOCK, BLOCK, &b);

		if (rc)
			return rc;
		memset(&d, 0, sizeof(d));
		numbers[i] = i;
		d.fn = work;
		d.arg = &numbers[i];
		d.type = (enum canp_task_type)(i % CANP_TASK_NR_TYPES);
		d.blocks = &b;
		d.nr_blocks = 1;
		rc = canp_submit(pool, &d, NULL);
		if (rc) {
			canp_mem_release(canp_exec_mem(pool), b);
			return rc;
		}
	}
	return 0;
}

/* What the figures must be in the end. */
static int check(struct canp_exec *pool)
{
	struct canp_mem_stats mem;
	struct canp_exec_stats st;
	uint64_t total = ROUNDS * TASKS, failed = ROUNDS * ((TASKS + 9) / 10);

	canp_mem_stats(canp_exec_mem(pool), &mem);
	canp_exec_stats(pool, &st);
	return st.total_tasks == total && st.failed_tasks == failed &&
			       st.completed_tasks == total - failed &&
			       st.recycled_memory_blocks == total &&
			       st.total_memory_blocks == total && mem.total_allocations == total &&
			       mem.total_deallocations == total && mem.current_memory_usage == 0 &&
			       mem.peak_memory_usage >= BLOCK
		       ? 0
		       : 1;
}

int main(void)
{
	struct canp_mon_session session;
	struct canp_mon_delta used;
	uint32_t numbers[TASKS];
	struct canp_exec *pool;
	int rc = canp_exec_create(NULL, &pool), bad, mon;

	if (rc) {
		fprintf(stderr, "monitor_memory: %s\n", canp_strerror(rc));
		return 1;
	}
	mon = canp_mon_session_begin(&session, CANP_MON_SELF, CANP_MON_THREAD_CPU, 0);
	for (unsigned round = 0; round < ROUNDS && !rc; round++) {
		rc = submit_round(pool, numbers);
		monitor_memory_usage(pool); /* figures are consistent at any time */
		if (!rc)
			rc = canp_exec_wait_idle(pool, UINT32_MAX);
	}
	monitor_memory_usage(pool);
	if (!mon) {
		canp_monitor_refresh();
		canp_mon_session_end(&session, 0, &used);
		printf("=== process ===\n");
		printf("wall time: %.3f ms\nthread CPU time: %.3f ms\nresident: %.2f MB\n",
		       (double)used.wall_ns / 1e6, (double)used.thread_cpu_ns / 1e6,
		       mb(used.rss_bytes));
	}
	bad = check(pool);
	canp_exec_destroy(pool);
	if (rc || mon || bad) {
		fprintf(stderr, "monitor_memory: wrong result: %s\n", canp_strerror(rc ? rc : mon));
		return 1;
	}
	return 0;
}
