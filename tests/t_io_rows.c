/*
 * t_io_rows.c - reading, decoding and writing side by side: reads of the next file under way before
 * this one ends, never more operations in flight than allowed, a writer on a slow device that holds
 * up nobody, mapped files that are let go of. Devices are slowed down by ring_slow.c; what is
 * looked at are counts and orders of events, never times.
 */
#include "tests/lib/reader_drive.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "core/base/clock.h"
#include "core/runtime/ring.h"
#include "io/sink/outfile.h"
#include "io/source/mapfile.h"

static struct canp_ring *ring_make(enum canp_ring_kind kind)
{
	struct canp_ring_opts o = {.kind = kind, .entries = 64, .iowq_cpu = -1};
	struct canp_ring *ring = NULL;

	return canp_ring_create(&o, &ring) ? NULL : ring;
}

static int real_device(void **state)
{
	(void)state;
	return canp_ring_slow_set(NULL);
}

static void the_slow_device_is_parsed_strictly(void **state)
{
	static const char *const bad[] = {"read",         "read:1",           "read:1:2:3",
					  "close:1:2",    "read:1:2,",        "read:1:2;write:1:2",
					  "read:x:1",     "write:99999999:1", "reads:1:1",
					  "read:1:2,rm:1"};

	(void)state;
	assert_int_equal(canp_ring_slow_set("read:100:0,write:0:1"), 0);
	assert_int_equal(canp_ring_slow_set(""), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (i != 4)
			assert_int_equal(canp_ring_slow_set(bad[i]), -EINVAL);
}

/* Every slice takes 20 ms, so that all that may be in flight is. */
static void C06_reads_in_flight_reach_depth_and_never_exceed_it(void **state)
{
	static const unsigned depths[] = {1, 2, 7, 32};

	(void)state;
	for (unsigned k = 0; k < 8; k++) {
		struct canp_ring *ring = ring_make(k % 2 ? CANP_RING_SYNC : CANP_RING_URING);
		struct canp_reader_opts o = {
			.slice_bytes = 4096, .depth = depths[k / 2], .streams = 4};
		size_t sizes[DRIVE_FILES];
		struct drive d;

		if (!ring)
			continue;
		assert_int_equal(canp_ring_slow_set("read:20000:0"), 0);
		drive_init(&d, ring, "/tmp", &o, k + 1);
		for (unsigned i = 0; i < DRIVE_FILES; i++) {
			sizes[i] = 40 * 4096 + i;
			drive_make(&d, i, sizes[i]);
		}
		drive_files(&d, sizes, 3, 2, CANP_IO_DIRECT);
		assert_int_equal(canp_ring_counts(ring)->reads_max, depths[k / 2]);
		drive_fini(&d);
		assert_int_equal(canp_ring_counts(ring)->reads, 0);
		canp_ring_destroy(ring);
	}
}

static void C04_the_next_file_is_in_flight_before_this_one_ends(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct canp_ring *ring = ring_make(k ? CANP_RING_SYNC : CANP_RING_URING);
		struct canp_reader_opts o = {.slice_bytes = 65536, .depth = 4, .streams = 4};
		struct canp_stream *a, *b;
		const uint8_t *win;
		unsigned ahead = 0;
		size_t len;
		uint64_t base;
		bool eof = false;
		struct drive d;
		char path[128];

		if (!ring)
			continue;
		assert_int_equal(canp_ring_slow_set("read:5000:0"), 0);
		drive_init(&d, ring, "/tmp", &o, 1);
		drive_make(&d, 0, 5 * 65536);
		drive_make(&d, 1, 5 * 65536);
		drive_path(&d, 0, path, sizeof(path));
		assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_DIRECT, &a),
				 0);
		drive_path(&d, 1, path, sizeof(path));
		assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_DIRECT, &b),
				 0);
		while (!eof) {
			drive_peek(&d, a, &win, &len, &base, &eof);
			drive_check(0, win, len, base);
			/* Asked for by now, beyond the five slices of a: reads of b. */
			if (eof)
				ahead = (unsigned)canp_reader_stats(d.reader)->reads +
					canp_ring_counts(ring)->reads - 5;
			assert_int_equal(canp_reader_consume(a, len, true), 0);
		}
		assert_true(ahead >= 1);
		canp_reader_close(a);
		assert_int_equal(drive_walk(&d, b, 1), 5 * 65536);
		canp_reader_close(b);
		drive_fini(&d);
		canp_ring_destroy(ring);
	}
}

/* ---- a writer on a slow device ---- */

static void writer_over(struct canp_out *o, int err, void *arg)
{
	(void)o;
	*(int *)arg = err ? err : 1;
}

/* 24 blocks of 64 KiB to a device of 1 MB/s (a block every 65 ms): the producer fills all staging
 * blocks and is then refused; the loop goes on turning, and nothing is lost. */
static void C06_C08_a_slow_writer_pauses_its_producer_and_nobody_else(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct canp_ring *ring = ring_make(k ? CANP_RING_SYNC : CANP_RING_URING);
		uint64_t put = 0, refused = 0, turns = 0, total = 24 * 65536ul;
		char dir[64];
		struct canp_pool pool;
		struct canp_out o;
		uint8_t *block;
		void *mem = NULL;
		int dirfd, over = 0;

		if (!ring)
			continue;
		assert_int_equal(canp_ring_slow_set("write:0:1"), 0);
		assert_int_equal(tmpdir_make(dir, sizeof(dir), "/tmp/t_io_rows"), 0);
		dirfd = open(dir, O_RDONLY | O_DIRECTORY);
		assert_int_equal(posix_memalign(&mem, 4096, 8 * 65536), 0);
		block = calloc(1, 65536);
		canp_pool_init(&pool, mem, 65536, 8, 0);
		assert_int_equal(canp_out_open(&o, &(struct canp_out_opts){.ring = ring,
									   .pool = &pool,
									   .dirfd = dirfd,
									   .name = "slow"}),
				 0);
		while (over == 0) {
			ssize_t n = 0;

			/* "decode": as fast as it may */
			if (put < total) {
				n = canp_out_put(&o, block, 65536);
				assert_true(n >= 0);
				put += (uint64_t)n;
				refused += n == 0;
				if (put == total)
					canp_out_finish(&o, writer_over, &over);
			}
			assert_true(canp_ring_counts(ring)->writes <= CANP_OUT_BLOCKS);
			/* Refused: the reactor looks after others meanwhile, it is not stuck here.
			 */
			canp_ring_wait(ring, n == 0 ? 1000000 : 0);
			turns++;
		}
		assert_int_equal(over, 1);
		assert_true(refused > 20); /* it did pause .. */
		assert_true(turns > refused);
		assert_int_equal(canp_ring_counts(ring)->writes_max, CANP_OUT_BLOCKS);
		assert_int_equal(pool.stats.in_use, 0);
		assert_int_equal(canp_out_pos(&o), total);
		free(block);
		free(mem);
		close(dirfd);
		canp_ring_destroy(ring);
		assert_int_equal(tmpdir_remove(dir), 0);
	}
}

static void count_write(struct canp_ring_op *op)
{
	assert_int_equal(op->res, 512);
	++*(unsigned *)op->arg;
}

static void C06_a_limit_of_writes_is_reached_and_never_exceeded(void **state)
{
	static const unsigned limits[] = {1, 8};
	static char block[512];

	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct canp_ring *ring = ring_make(k % 2 ? CANP_RING_SYNC : CANP_RING_URING);
		struct canp_ring_op ops[50];
		unsigned done = 0;
		int fd;

		if (!ring)
			continue;
		fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
		assert_true(fd >= 0);
		assert_int_equal(canp_ring_slow_set("write:2000:0"), 0);
		canp_ring_limit_writes(ring, limits[k / 2]);
		for (unsigned i = 0; i < 50; i++) {
			ops[i] = (struct canp_ring_op){.opcode = CANP_OP_WRITE,
						       .fd = fd,
						       .buf = block,
						       .len = 512,
						       .off = i * 512,
						       .done = count_write,
						       .arg = &done};
			canp_ring_submit(ring, &ops[i]);
		}
		assert_int_equal(canp_ring_inflight(ring), 50);
		/* The last ones are written by destroy. */
		while (done < 40) {
			assert_true(canp_ring_counts(ring)->writes <= limits[k / 2]);
			canp_ring_wait(ring, UINT64_MAX);
		}
		assert_int_equal(canp_ring_counts(ring)->writes_max, limits[k / 2]);
		canp_ring_destroy(ring);
		assert_int_equal(done, 50);
		assert_int_equal(lseek(fd, 0, SEEK_END), 50 * 512);
		close(fd);
	}
}

/* ---- mapped files ---- */

static uint64_t rss_file_kib(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssFile: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static unsigned mappings_of(const char *dir)
{
	char line[512];
	unsigned n = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, dir) != NULL;
	if (f)
		fclose(f);
	return n;
}

static void C21_mapped_files_read_the_same_and_are_let_go_of(void **state)
{
	struct canp_reader_opts o = {.slice_bytes = 1 << 20, .depth = 2, .streams = 4};
	struct canp_ring *ring = ring_make(CANP_RING_AUTO);
	uint64_t before, most = 0, at = 0;
	struct canp_stream *s;
	struct drive d;
	char path[128];
	size_t sizes[DRIVE_FILES];

	(void)state;
	drive_init(&d, ring, "/tmp", &o, 9);
	for (unsigned i = 0; i < DRIVE_FILES; i++) {
		sizes[i] = i == 1 ? 0 : i == 2 ? 8192 : (size_t)drive_rnd(&d, 3000000);
		drive_make(&d, i, sizes[i]);
	}
	drive_files(&d, sizes, DRIVE_FILES, 2, CANP_IO_MMAP);
	assert_int_equal(canp_reader_stats(d.reader)->files_by_policy[CANP_IO_MMAP], DRIVE_FILES);
	assert_int_equal(mappings_of(d.dir), 0);
	drive_make(&d, 0, 48 << 20);
	drive_path(&d, 0, path, sizeof(path));
	before = rss_file_kib();
	assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_MMAP, &s), 0);
	assert_int_equal(mappings_of(d.dir), 1);
	for (bool eof = false; !eof;) {
		const uint8_t *win;
		size_t len;
		uint64_t base;

		drive_peek(&d, s, &win, &len, &base, &eof);
		assert_int_equal(base, at);
		drive_check(0, win, len, base);
		at += len;
		most = canp_max(most, rss_file_kib() - before);
		assert_int_equal(canp_reader_consume(s, len, true), 0);
	}
	assert_int_equal(at, 48 << 20);
	assert_null(canp_reader_fault(s));
	/* The window, the slice before it, and what the kernel maps around a fault: not the file.
	 */
	assert_true(most < 16 << 10);
	canp_reader_close(s);
	assert_int_equal(mappings_of(d.dir), 0);
	drive_fini(&d);
	canp_ring_destroy(ring);
}

static void C21_many_files_are_mapped_whole_at_once(void **state)
{
	struct canp_mapfile m[40];
	char dir[64], path[96];
	unsigned char there[64];

	(void)state;
	assert_int_equal(tmpdir_make(dir, sizeof(dir), "/tmp/t_io_rows"), 0);
	for (unsigned i = 0; i < 40; i++) {
		size_t size = 4096 * (1 + i) + i * 17;
		uint8_t *bytes = malloc(size);
		int fd;

		memset(bytes, (int)i + 1, size);
		snprintf(path, sizeof(path), "%s/%u", dir, i);
		fd = open(path, O_RDWR | O_CREAT, 0600);
		assert_int_equal(write(fd, bytes, size), size);
		assert_int_equal(canp_mapfile_open(&m[i], fd, size, 64, true), 0);
		close(fd);
		/* Populated: no page is waited for any more. */
		assert_int_equal(mincore(m[i].base, size, there), 0);
		for (size_t p = 0; p < (size + 4095) / 4096; p++)
			assert_true(there[p] & 1);
		assert_memory_equal(m[i].base, bytes, size);
		assert_int_equal(m[i].base[size + 63], 0); /* the pad is readable */
		free(bytes);
	}
	assert_true(mappings_of(dir) >= 40);
	for (unsigned i = 0; i < 40; i++)
		canp_mapfile_close(&m[i]);
	assert_int_equal(mappings_of(dir), 0);
	assert_int_equal(tmpdir_remove(dir), 0);
}

static void C21_a_file_cut_while_it_is_mapped_is_a_fault_not_a_signal(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct canp_reader_opts o = {.slice_bytes = 65536, .depth = 2, .streams = 1};
		struct canp_ring *ring = ring_make(CANP_RING_SYNC);
		uint64_t base, sum = 0;
		struct canp_stream *s;
		const uint8_t *win;
		bool eof = false;
		struct drive d;
		char path[128];
		size_t len;

		drive_init(&d, ring, "/tmp", &o, 3);
		drive_make(&d, 0, 1 << 20);
		drive_path(&d, 0, path, sizeof(path));
		assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_MMAP, &s), 0);
		drive_peek(&d, s, &win, &len, &base, &eof);
		assert_int_equal(len, 65536);
		/* Cut between two windows, or below the one at hand. */
		assert_int_equal(truncate(path, k ? 4096 : 200000), 0);
		for (size_t i = 0; i < len; i += 512)
			sum += win[i];
		while (!eof) {
			assert_int_equal(canp_reader_consume(s, len, true), 0);
			drive_peek(&d, s, &win, &len, &base, &eof);
		}
		assert_non_null(canp_reader_fault(s));
		assert_int_equal(canp_reader_fault(s)->code, CANP_FAULT_TRUNCATED);
		assert_true(sum > 0);
		canp_reader_close(s);
		drive_fini(&d);
		canp_ring_destroy(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_slow_device_is_parsed_strictly, real_device),
		cmocka_unit_test_teardown(C06_reads_in_flight_reach_depth_and_never_exceed_it,
					  real_device),
		cmocka_unit_test_teardown(C04_the_next_file_is_in_flight_before_this_one_ends,
					  real_device),
		cmocka_unit_test_teardown(C06_C08_a_slow_writer_pauses_its_producer_and_nobody_else,
					  real_device),
		cmocka_unit_test_teardown(C06_a_limit_of_writes_is_reached_and_never_exceeded,
					  real_device),
		cmocka_unit_test(C21_mapped_files_read_the_same_and_are_let_go_of),
		cmocka_unit_test(C21_many_files_are_mapped_whole_at_once),
		cmocka_unit_test(C21_a_file_cut_while_it_is_mapped_is_a_fault_not_a_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
