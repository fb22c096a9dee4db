/*
 * t_mem_rows.c - the memory pool where it is used: watched while tasks run, failing under a
 * pipeline of tasks, released wrongly by a task, as buffers of a ring, and mapped files kept
 * between two runs over the same data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "core/observe/metrics.h"
#include "core/observe/monitor.h"
#include "core/runtime/ring.h"
#include "core/runtime/task.h"
#include "io/source/mmapcache.h"
#include "numa/cache.h"
#include "numa/mem.h"
#include "numa/pool.h"
#include "simd/simd.h"

/* ---- calls of the allocator, counted where no sanitizer does the same ---- */

static bool counting;
static unsigned calls;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t n);

void *malloc(size_t n)
{
	if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
		__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return __libc_malloc(n);
}
#endif

static struct canp_mem *mem_new(uint32_t fail_every)
{
	struct canp_mem_opts o = {.hugepages = CANP_HUGE_OFF, .node = -1, .fail_every = fail_every};
	struct canp_mem *m = NULL;

	assert_int_equal(canp_mem_create(&o, &m), 0);
	return m;
}

static struct canp_exec *exec_new(struct canp_mem *m, unsigned cores)
{
	struct canp_exec_opts o = {.cores = cores, .mem = m};
	struct canp_exec *ex = NULL;

	assert_int_equal(canp_exec_create(&o, &ex), 0);
	return ex;
}

/* ---- A35 ---- */

static uint64_t scraped(struct canp_mem *m)
{
	static struct canp_metrics w;
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_mem_stats st;
	uint64_t value = UINT64_MAX;
	const char *at;

	canp_mem_stats(m, &st);
	canp_metrics_init(&w, &sb, CANP_METRICS_OPENMETRICS);
	canp_metrics_family(&w, CANP_METRIC_GAUGE, "canp_mem_used_bytes", "bytes",
			    "Live blocks of the pool.");
	canp_metrics_u64(&w, NULL, 0, st.current_memory_usage);
	assert_int_equal(canp_metrics_finish(&w), 0);
	at = strstr(sb.buf, "\ncanp_mem_used_bytes ");
	assert_non_null(at);
	value = strtoull(at + strlen("\ncanp_mem_used_bytes "), NULL, 10);
	canp_strbuf_fini(&sb);
	return value;
}

struct hold {
	struct canp_mem *m;
	struct canp_block *b;
	bool open, got;
};

/* Allocates 1 MiB, touches it and keeps it until it is let go. */
static int hold_run(const struct canp_task_env *env, void *arg)
{
	struct hold *h = arg;

	(void)env;
	if (canp_mem_alloc(h->m, CANP_MEM_BLOCK, 1u << 20, &h->b))
		return -ENOMEM;
	memset(canp_block_data(h->b), 1, 1u << 20);
	__atomic_store_n(&h->got, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&h->open, __ATOMIC_ACQUIRE)) {
		struct timespec ts = {.tv_nsec = CANP_NS_PER_MS};

		nanosleep(&ts, NULL);
	}
	return canp_mem_release(h->m, h->b);
}

static void A35_usage_is_seen_while_it_changes(void **state)
{
	struct canp_mem *m = mem_new(0);
	struct canp_exec *ex = exec_new(m, 1);
	struct hold h = {.m = m};
	struct canp_mon_session s;
	struct canp_mon_delta d;
	uint64_t before = scraped(m);

	(void)state;
	assert_int_equal(canp_mon_session_begin(&s, CANP_MON_SELF, 0, 0), 0);
	assert_int_equal(canp_submit_mem(ex, CANP_PRIO_NORMAL, hold_run, &h), 0);
	while (!__atomic_load_n(&h.got, __ATOMIC_ACQUIRE))
		sched_yield();
	/* The pool's figures are the present; those of the process are one sample old at most. */
	assert_int_equal(scraped(m) - before, 1u << 20);
	assert_int_equal(canp_monitor_refresh(), 0);
	canp_mon_session_end(&s, 0, &d);
	assert_true(d.rss_bytes >= 1u << 20);
	__atomic_store_n(&h.open, true, __ATOMIC_RELEASE);
	assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
	assert_int_equal(scraped(m), before);
	canp_exec_destroy(ex);
	canp_mem_destroy(m);
}

/* ---- A36 ---- */

#define FILES  120u
#define VALUES 500u

/* A file on its way through read, parse and process; each stage takes memory of its own. */
struct file {
	struct canp_mem *m;
	unsigned number;
	int error;
	uint64_t sum;
	bool over;
};

static int file_fail(struct file *f, int error)
{
	f->error = error;
	__atomic_store_n(&f->over, true, __ATOMIC_RELEASE);
	return error;
}

/* Hands the block to the next stage, with a reference of its own. */
static int file_next(const struct canp_task_env *env, struct file *f, enum canp_task_type type,
		     canp_task_fn fn, struct canp_block *b)
{
	struct canp_task_desc d = {.fn = fn, .arg = f, .type = type, .blocks = &b, .nr_blocks = 1};
	int rc = canp_submit(env->exec, &d, NULL);

	if (rc) {
		canp_mem_release(f->m, b);
		return file_fail(f, rc);
	}
	return 0;
}

static int file_process(const struct canp_task_env *env, void *arg)
{
	struct file *f = arg;
	const uint32_t *v = canp_block_data(env->blocks[0]);

	for (unsigned i = 0; i < VALUES; i++)
		f->sum += v[i];
	__atomic_store_n(&f->over, true, __ATOMIC_RELEASE);
	return 0;
}

static int file_parse(const struct canp_task_env *env, void *arg)
{
	struct file *f = arg;
	const uint16_t *in = canp_block_data(env->blocks[0]);
	struct canp_block *b;
	uint32_t *out;

	if (canp_mem_alloc(f->m, CANP_MEM_FRAME, VALUES * sizeof(*out), &b))
		return file_fail(f, -ENOMEM);
	out = canp_block_data(b);
	for (unsigned i = 0; i < VALUES; i++)
		out[i] = in[i];
	return file_next(env, f, CANP_TASK_MEM, file_process, b);
}

static int file_read(const struct canp_task_env *env, void *arg)
{
	struct file *f = arg;
	struct canp_block *b;
	uint16_t *out;

	if (canp_mem_alloc(f->m, CANP_MEM_DECOMPRESS, VALUES * sizeof(*out), &b))
		return file_fail(f, -ENOMEM);
	out = canp_block_data(b);
	for (unsigned i = 0; i < VALUES; i++)
		out[i] = (uint16_t)(f->number + i);
	return file_next(env, f, CANP_TASK_CPU, file_parse, b);
}

static void A36_a_file_without_memory_fails_and_the_others_finish(void **state)
{
	static const unsigned every[] = {2, 3, 7, 50};

	(void)state;
	for (unsigned e = 0; e < CANP_ARRAY_SIZE(every); e++) {
		static struct file files[FILES];
		struct canp_mem *m = mem_new(every[e]);
		struct canp_exec *ex = exec_new(m, 2);
		struct canp_mem_stats st;
		unsigned failed = 0;

		for (unsigned i = 0; i < FILES; i++) {
			files[i] = (struct file){.m = m, .number = i};
			assert_int_equal(canp_submit_io(ex, CANP_PRIO_HIGH, file_read, &files[i]),
					 0);
		}
		assert_int_equal(canp_exec_wait_idle(ex, 60000), 0);
		for (unsigned i = 0; i < FILES; i++) {
			assert_true(files[i].over);
			failed += files[i].error != 0;
			if (files[i].error)
				assert_int_equal(files[i].error, -ENOMEM);
			else
				assert_int_equal(files[i].sum,
						 VALUES * i + VALUES * (VALUES - 1) / 2);
		}
		canp_mem_stats(m, &st);
		assert_int_equal(failed, st.refused);
		assert_in_range(failed, 1, FILES - 1);
		assert_int_equal(st.blocks_live, 0);
		assert_int_equal(st.current_memory_usage, 0);
		canp_exec_destroy(ex);
		canp_mem_destroy(m);
	}
}

/* ---- A37 ---- */

/* Releases what the executor is going to release, and what never was a block. */
static int release_wrongly(const struct canp_task_env *env, void *arg)
{
	uint8_t *junk = arg;
	struct canp_mem *m = canp_exec_mem(env->exec);

	if (canp_mem_release(m, (struct canp_block *)junk) != -EINVAL)
		return -EPROTO;
	if (canp_mem_release(m, env->blocks[0]))
		return -EPROTO;
	return canp_mem_release(m, env->blocks[0]) == -EINVAL ? 0 : -EPROTO;
}

static void A37_a_task_that_releases_wrongly_harms_no_other(void **state)
{
	static uint8_t junk[256] CANP_ALIGNED(64);
	struct canp_mem *m = mem_new(0);
	struct canp_exec *ex = exec_new(m, 1);
	struct canp_exec_stats es;
	struct canp_mem_stats st;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct canp_block *b;
		struct canp_task_desc d = {.fn = release_wrongly,
					   .arg = junk,
					   .type = CANP_TASK_CPU,
					   .blocks = &b,
					   .nr_blocks = 1};
		struct canp_task_result r;
		struct canp_future *f;

		assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 600, &b), 0);
		assert_int_equal(canp_submit(ex, &d, &f), 0);
		assert_int_equal(canp_future_wait(f, 60000, &r), 0);
		assert_int_equal(r.status, CANP_TASK_COMPLETED);
		canp_future_put(f);
	}
	canp_exec_stats(ex, &es);
	assert_int_equal(es.completed_tasks, 100);
	assert_int_equal(es.live_memory_blocks, 0);
	canp_mem_stats(m, &st);
	assert_int_equal(st.current_memory_usage, 0);
	assert_int_equal(st.total_allocations, st.total_deallocations);
	canp_exec_destroy(ex);
	canp_mem_destroy(m);
}

/* ---- A39 ---- */

#define SLOT_BYTES 65536u
#define NR_SLOTS   4u
#define TURNS      32u

static void op_done(struct canp_ring_op *op)
{
	*(bool *)op->arg = true;
}

static int numbers_file(void)
{
	char path[] = "/tmp/t_mem_rows.XXXXXX";
	uint64_t v[SLOT_BYTES / 8];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	for (unsigned t = 0; t < TURNS; t++) {
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(v); i++)
			v[i] = __builtin_bswap64((uint64_t)t << 32 | i);
		assert_int_equal(write(fd, v, sizeof(v)), sizeof(v));
	}
	return fd;
}

/* A buffer is taken, filled by the kernel, decoded where it lies and given back. */
static void buffer_turn(struct canp_ring *ring, struct canp_pool *pool, int fd, unsigned turn,
			void **slot)
{
	struct canp_ring_op op = {.opcode = CANP_OP_READ,
				  .fd = fd,
				  .len = SLOT_BYTES,
				  .off = (uint64_t)turn * SLOT_BYTES,
				  .done = op_done};
	bool done = false;
	uint64_t *v = canp_pool_get(pool, false);

	if (!v)
		abort();
	op.buf = v;
	op.arg = &done;
	canp_ring_submit(ring, &op);
	while (!done)
		canp_ring_wait(ring, UINT64_MAX);
	if (op.res != (int)SLOT_BYTES)
		abort();
	canp_simd.bswap64(v, SLOT_BYTES / 8, v);
	for (unsigned i = 0; i < SLOT_BYTES / 8; i++)
		if (v[i] != ((uint64_t)turn << 32 | i))
			abort();
	canp_pool_put(pool, v);
	*slot = v;
}

static void buffers_of(enum canp_ring_kind kind, unsigned *ran)
{
	void *mem = aligned_alloc(4096, NR_SLOTS * SLOT_BYTES), *slot, *first = NULL;
	struct iovec vec = {mem, NR_SLOTS * SLOT_BYTES};
	struct canp_ring_opts o = {.kind = kind, .buffers = &vec, .nr_buffers = 1, .iowq_cpu = -1};
	struct canp_ring *ring = NULL;
	int rc = canp_ring_create(&o, &ring), fd;
	struct canp_pool pool;

	if (rc) {
		print_message("ring kind %d refused: %s\n", (int)kind, strerror(-rc));
		free(mem);
		return;
	}
	fd = numbers_file();
	canp_pool_init(&pool, mem, SLOT_BYTES, NR_SLOTS, 0);
	for (unsigned t = 0; t < TURNS; t++) {
		buffer_turn(ring, &pool, fd, t, &slot);
		if (!first)
			first = slot;
		assert_ptr_equal(slot, first);
		/* The first turn may have warmed something up. */
		__atomic_store_n(&calls, t ? calls : 0, __ATOMIC_RELAXED);
		__atomic_store_n(&counting, true, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&counting, false, __ATOMIC_RELAXED);
	assert_int_equal(calls, 0);
	assert_int_equal(pool.stats.gets, TURNS);
	assert_int_equal(pool.stats.in_use, 0);
	canp_ring_destroy(ring);
	close(fd);
	free(mem);
	(*ran)++;
}

static void A39_a_ring_buffer_is_filled_and_decoded_in_place(void **state)
{
	unsigned ran = 0;

	(void)state;
	buffers_of(CANP_RING_URING, &ran);
	buffers_of(CANP_RING_SYNC, &ran);
	assert_true(ran >= 1); /* the second needs nothing of the kernel */
}

/* ---- A42 ---- */

#define DATA_FILES 20u

static void scan(struct canp_mmapcache *c, const char *dir, unsigned nr, const char *pinned)
{
	for (unsigned i = 0; i < nr; i++) {
		char path[96];
		struct canp_mmap *f, *dbc;

		snprintf(path, sizeof(path), "%s/%u", dir, i);
		assert_int_equal(canp_mmapcache_get(c, pinned, 1, &dbc), 0);
		assert_int_equal(canp_mmapcache_get(c, path, 1, &f), 0);
		assert_int_equal(canp_mmap_len(f), 100 + i);
		canp_mmapcache_put(c, f);
		canp_mmapcache_put(c, dbc);
	}
}

static void file_make(const char *path, size_t bytes)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static void A42_a_second_run_finds_every_file_and_the_database(void **state)
{
	char dir[] = "/tmp/t_mem_rows.XXXXXX", dbc[64], path[96];
	struct canp_cache_stats first, second, third;
	struct canp_mmapcache *c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(dbc, sizeof(dbc), "%s/dbc", dir);
	file_make(dbc, 5000);
	for (unsigned i = 0; i < 10 * DATA_FILES; i++) {
		snprintf(path, sizeof(path), "%s/%u", dir, i);
		file_make(path, 100 + i);
	}
	assert_int_equal(canp_mmapcache_create(2 * DATA_FILES, 0, &c), 0);
	scan(c, dir, DATA_FILES, dbc);
	canp_mmapcache_stats(c, &first);
	scan(c, dir, DATA_FILES, dbc);
	canp_mmapcache_stats(c, &second);
	/* Every file and, once for each, the database. */
	assert_int_equal(second.hits - first.hits, 2 * DATA_FILES);
	assert_int_equal(second.misses, first.misses);
	/* One long scan over more than fits: the database, asked for each time, stays. */
	scan(c, dir, 10 * DATA_FILES, dbc);
	canp_mmapcache_stats(c, &third);
	assert_true(third.evicted > 0);
	assert_int_equal(third.misses - second.misses, 9 * DATA_FILES);
	canp_mmapcache_destroy(c);
	for (unsigned i = 0; i < 10 * DATA_FILES; i++) {
		snprintf(path, sizeof(path), "%s/%u", dir, i);
		unlink(path);
	}
	unlink(dbc);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A35_usage_is_seen_while_it_changes),
		cmocka_unit_test(A36_a_file_without_memory_fails_and_the_others_finish),
		cmocka_unit_test(A37_a_task_that_releases_wrongly_harms_no_other),
		cmocka_unit_test(A39_a_ring_buffer_is_filled_and_decoded_in_place),
		cmocka_unit_test(A42_a_second_run_finds_every_file_and_the_database),
	};

	if (canp_simd_init(CANP_ISA_AUTO, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
