/*
 * batch.c - the batch sample: five batches, each with a block of 1 MB and one of 512 KB and 100 ms
 * of work, submitted together. They run side by side, so that all take less than five times one.
 *
 * Build: cc batch.c $(pkg-config --cflags --libs canp)
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <canp.h>

#define BATCHES 5u

struct batch {
	unsigned id;
	uint64_t sum; /* of what it wrote into its blocks */
};

static int process_batch(const struct canp_task_env *env, void *arg)
{
	struct timespec work = {0, 100 * 1000 * 1000};
	struct batch *b = arg;

	for (unsigned i = 0; i < env->nr_blocks; i++) {
		uint8_t *data = canp_block_data(env->blocks[i]);
		size_t bytes = canp_block_capacity(env->blocks[i]);

		memset(data, (int)b->id + 1, bytes);
		canp_block_set_len(env->blocks[i], bytes);
		b->sum += (uint64_t)data[0] + data[bytes - 1];
	}
	printf("processing batch %u\n", b->id);
	/* Stands for the work. A task of a real program computes; it must never sleep, for it has
	 * the reactor to itself. */
	nanosleep(&work, NULL);
	return 0;
}

/* The tasks with their memory: what fails leaves nothing behind. */
static int prepare(struct canp_exec *pool, struct batch *batch, struct canp_task_desc *task,
		   struct canp_block *blocks[BATCHES][2])
{
	static const size_t bytes[2] = {1024 * 1024, 512 * 1024};

	for (unsigned i = 0; i < BATCHES; i++) {
		int rc = canp_mem_alloc_batch(canp_exec_mem(pool), CANP_MEM_BLOCK, bytes, 2,
					      blocks[i]);

		if (rc) {
			while (i--)
				canp_mem_release_batch(canp_exec_mem(pool), blocks[i], 2);
			return rc;
		}
		batch[i].id = i;
		task[i].fn = process_batch; /* Task::with_memory of the source document */
		task[i].arg = &batch[i];
		task[i].type = CANP_TASK_CPU;
		task[i].prio = CANP_PRIO_NORMAL;
		task[i].blocks = blocks[i];
		task[i].nr_blocks = 2;
	}
	return 0;
}

int main(void)
{
	struct canp_block *blocks[BATCHES][2];
	struct canp_task_desc task[BATCHES];
	struct batch batch[BATCHES];
	struct canp_exec_opts opts;
	struct canp_exec_stats st;
	struct canp_mem_stats mem;
	struct canp_exec *pool;
	uint64_t start, wall_ms;
	unsigned good = 0;
	int rc;

	memset(&opts, 0, sizeof(opts)); /* zero: the default of each field */
	memset(task, 0, sizeof(task));
	memset(batch, 0, sizeof(batch));
	/* The work here is sleep, so two reactors overlap even where there is one CPU. */
	opts.cores = sysconf(_SC_NPROCESSORS_ONLN) < 2 ? 2 : 0;
	rc = canp_exec_create(&opts, &pool);
	if (rc) {
		fprintf(stderr, "batch: %s\n", canp_strerror(rc));
		return 1;
	}
	start = canp_clock_ns();
	rc = prepare(pool, batch, task, blocks);
	if (!rc)
		rc = canp_submit_batch(pool, task, BATCHES, NULL);
	if (!rc)
		rc = canp_exec_wait_idle(pool, UINT32_MAX);
	wall_ms = (canp_clock_ns() - start) / 1000000;
	canp_exec_stats(pool, &st);
	canp_mem_stats(canp_exec_mem(pool), &mem);
	for (unsigned i = 0; i < BATCHES; i++)
		good += batch[i].sum == 4 * (uint64_t)(i + 1);
	printf("%u batches in %" PRIu64 " ms, %u at once, completed %" PRIu64 "/%" PRIu64
	       ", blocks recycled %" PRIu64 "/%" PRIu64 "\n",
	       BATCHES, wall_ms, (unsigned)st.running_max[CANP_TASK_CPU], st.completed_tasks,
	       st.total_tasks, st.recycled_memory_blocks, st.total_memory_blocks);
	canp_exec_destroy(pool);
	if (rc || good != BATCHES || st.completed_tasks != BATCHES || mem.blocks_live != 0) {
		fprintf(stderr, "batch: wrong result: %s\n", canp_strerror(rc));
		return 1;
	}
	return 0;
}
