/*
 * three_stage.c - the three-stage sample: a file is read (I/O bound, high priority), its numbers
 * are parsed (CPU bound), the result is processed (memory bound). Each stage is a task with memory
 * blocks of its own from the executor's pool, and hands a block to the next stage without a copy:
 * it takes one more reference, which moves into the next task. Nobody frees anything; the blocks
 * return to the pool when the last task that holds them ends.
 *
 * Build: cc three_stage.c $(pkg-config --cflags --libs canp)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <canp.h>

#define NUMBERS 60000u

struct job {
	int fd;              /* the file that is read */
	uint64_t expect_sum; /* of what was written into it */
	uint64_t sum, count; /* what stage 3 found */
	uint64_t buckets_sum;
	uint64_t bytes, parsed;
};

static int stage_process(const struct canp_task_env *env, void *arg);
static int stage_parse(const struct canp_task_env *env, void *arg);

/* submit_task_with_memory(type, priority, blocks, fn) of the source document. */
static int submit_task_with_memory(struct canp_exec *ex, enum canp_task_type type,
				   enum canp_task_prio prio, struct canp_block *const *blocks,
				   unsigned nr, canp_task_fn fn, void *arg)
{
	struct canp_task_desc d = {0};

	d.fn = fn;
	d.arg = arg;
	d.type = type;
	d.prio = prio;
	d.blocks = blocks; /* the references move into the task */
	d.nr_blocks = nr;
	return canp_submit(ex, &d, NULL);
}

/* Allocates the blocks of a stage: all of them or none. blocks[0] is there already: the result of
 * the stage before, of which the new task gets a reference of its own. */
static int next_stage(const struct canp_task_env *env, struct canp_block *input,
		      enum canp_task_type type, const size_t *bytes, unsigned nr, canp_task_fn fn,
		      void *arg)
{
	struct canp_mem *pool = canp_exec_mem(env->exec);
	struct canp_block *blocks[CANP_TASK_BLOCKS_MAX];
	int rc = canp_mem_alloc_batch(pool, CANP_MEM_DECOMPRESS, bytes, nr, &blocks[1]);

	if (rc)
		return rc;
	blocks[0] = canp_block_ref(input);
	rc = submit_task_with_memory(env->exec, type, CANP_PRIO_NORMAL, blocks, nr + 1, fn, arg);
	if (rc) /* refused: the references are still ours */
		canp_mem_release_batch(pool, blocks, nr + 1);
	return rc;
}

/* Stage 1: the file into a block. */
static int stage_read(const struct canp_task_env *env, void *arg)
{
	static const size_t parse_bytes[] = {512 * 1024, 256 * 1024};
	struct job *job = arg;
	struct canp_block *file = env->blocks[0];
	char *data = canp_block_data(file);
	size_t have = 0;
	ssize_t n;

	while ((n = pread(job->fd, data + have, canp_block_capacity(file) - have, (off_t)have)) > 0)
		have += (size_t)n;
	if (n < 0) {
		snprintf(env->message, CANP_TASK_MESSAGE_BYTES, "read: %s", strerror(errno));
		return -errno;
	}
	canp_block_set_len(file, have);
	job->bytes = have;
	printf("stage 1: read %zu bytes\n", have);
	return next_stage(env, file, CANP_TASK_CPU, parse_bytes, 2, stage_parse, job);
}

/* Stage 2: text into numbers, and how many digits each had into the second block. */
static int stage_parse(const struct canp_task_env *env, void *arg)
{
	static const size_t process_bytes[] = {1024 * 1024, 1024 * 1024};
	struct job *job = arg;
	size_t len;
	const char *p = canp_block_span(env->blocks[0], &len), *end = p + len;
	uint64_t *number = canp_block_data(env->blocks[1]);
	uint8_t *digits = canp_block_data(env->blocks[2]);
	uint64_t n = 0, v = 0;

	for (uint8_t d = 0; p < end; p++) {
		if (*p != '\n') {
			v = v * 10 + (uint64_t)(*p - '0');
			d++;
			continue;
		}
		if ((n + 1) * sizeof(*number) > canp_block_capacity(env->blocks[1]))
			return -ENOSPC;
		number[n] = v;
		digits[n++] = d;
		v = d = 0;
	}
	canp_block_set_len(env->blocks[1], n * sizeof(*number));
	canp_block_set_len(env->blocks[2], n);
	job->parsed = n;
	printf("stage 2: parsed %" PRIu64 " numbers\n", n);
	return next_stage(env, env->blocks[1], CANP_TASK_MEM, process_bytes, 2, stage_process, job);
}

/* Stage 3: sums, and a histogram over the two large blocks. */
static int stage_process(const struct canp_task_env *env, void *arg)
{
	struct job *job = arg;
	size_t len;
	const uint64_t *number = canp_block_span(env->blocks[0], &len);
	uint32_t *count = canp_block_data(env->blocks[1]);
	uint64_t *running = canp_block_data(env->blocks[2]);
	size_t nr = len / sizeof(*number), buckets = 1024;

	memset(count, 0, buckets * sizeof(*count)); /* a recycled block keeps what was in it */
	for (size_t i = 0; i < nr; i++) {
		job->sum += number[i];
		running[i] = job->sum;
		count[number[i] % buckets]++;
	}
	job->count = nr;
	for (size_t i = 0; i < buckets; i++)
		job->buckets_sum += count[i];
	printf("stage 3: processed %zu numbers, sum %" PRIu64 "\n", nr, running[nr - 1]);
	return 0;
}

/* A file of numbers that nobody else sees. */
static int make_file(struct job *job)
{
	FILE *f = tmpfile();
	uint64_t x = 1;

	if (!f)
		return -errno;
	for (unsigned i = 0; i < NUMBERS; i++) {
		uint64_t v;

		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		v = x >> 44; /* up to seven digits: they fit into 1 MB */
		job->expect_sum += v;
		fprintf(f, "%" PRIu64 "\n", v);
	}
	if (fflush(f))
		return -errno;
	job->fd = fileno(f);
	return 0;
}

static int print_stats(struct canp_exec *pool)
{
	struct canp_exec_stats st;
	struct canp_mem_stats mem;

	canp_exec_stats(pool, &st);
	canp_mem_stats(canp_exec_mem(pool), &mem);
	printf("=== execution statistics ===\n");
	printf("completed tasks: %" PRIu64 "/%" PRIu64 "\n", st.completed_tasks, st.total_tasks);
	printf("memory reuse rate: %.2f%%\n", st.memory_reuse_rate * 100);
	printf("peak memory usage: %.2f MB\n", (double)mem.peak_memory_usage / (1024 * 1024));
	printf("blocks still held: %" PRIu64 "\n", mem.blocks_live);
	return st.completed_tasks == 3 && st.total_tasks == 3 && mem.blocks_live == 0 ? 0 : 1;
}

int main(void)
{
	static const size_t file_bytes = 1024 * 1024;
	struct canp_block *file = NULL;
	struct canp_exec *pool;
	struct job job = {0};
	int rc = make_file(&job), bad;

	if (!rc)
		rc = canp_exec_create(NULL, &pool); /* no configuration: defaults */
	if (rc) {
		fprintf(stderr, "three_stage: %s\n", canp_strerror(rc));
		return 1;
	}
	rc = canp_mem_alloc(canp_exec_mem(pool), CANP_MEM_BLOCK, file_bytes, &file);
	if (!rc)
		rc = submit_task_with_memory(pool, CANP_TASK_IO, CANP_PRIO_HIGH, &file, 1,
					     stage_read, &job);
	/* A task is not over before the one it submitted counts, so this waits for all three. */
	if (!rc)
		rc = canp_exec_wait_idle(pool, UINT32_MAX);
	if (rc)
		fprintf(stderr, "three_stage: %s\n", canp_strerror(rc));
	bad = print_stats(pool);
	canp_exec_destroy(pool);
	if (rc || bad || job.count != NUMBERS || job.parsed != NUMBERS ||
	    job.buckets_sum != NUMBERS || job.sum != job.expect_sum) {
		fprintf(stderr, "three_stage: wrong result\n");
		return 1;
	}
	return 0;
}
