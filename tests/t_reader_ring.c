/*
 * t_reader_ring.c - the reader on the real rings, io_uring and the helper threads: the same walk as
 * on the simulated one, on a disk file system and on tmpfs, registered buffers included.
 */
#include "tests/lib/reader_drive.h"

#include "core/runtime/ring.h"

static const char *const dirs[] = {"/tmp", "/dev/shm"};
static const enum canp_ring_kind kinds[] = {CANP_RING_URING, CANP_RING_SYNC};

/* NULL when the kernel refuses this kind. */
static struct canp_ring *ring_of(enum canp_ring_kind kind, const struct iovec *buf)
{
	struct canp_ring_opts o = {.kind = kind,
				   .entries = 64,
				   .sync_threads = 2,
				   .buffers = buf,
				   .nr_buffers = buf ? 1 : 0,
				   .iowq_cpu = -1};
	struct canp_ring *ring = NULL;
	int rc = canp_ring_create(&o, &ring);

	if (rc < 0)
		print_message("ring kind %d refused: %s\n", (int)kind, strerror(-rc));
	return rc < 0 ? NULL : ring;
}

static void windows_equal_the_file(void **state)
{
	unsigned ran = 0;

	(void)state;
	for (unsigned k = 0; k < 2 * 2 * 3; k++) {
		struct canp_ring *ring = ring_of(kinds[k % 2], NULL);
		struct canp_reader_opts o = {.slice_bytes = 65536, .depth = 4, .streams = 4};
		size_t sizes[DRIVE_FILES];
		struct drive d;

		if (!ring)
			continue;
		drive_init(&d, ring, dirs[k / 2 % 2], &o, k + 1);
		for (unsigned i = 0; i < DRIVE_FILES; i++) {
			sizes[i] = i == 1 ? 0 : i == 2 ? 131072 : (size_t)drive_rnd(&d, 900000);
			drive_make(&d, i, sizes[i]);
		}
		drive_files(&d, sizes, DRIVE_FILES, 2, CANP_IO_DIRECT + k / 4);
		ran++;
		drive_fini(&d);
		canp_ring_destroy(ring);
	}
	assert_true(ran >= 6); /* the helper threads need nothing of the kernel */
}

/* As the appliance does it: the reader's slots are the ring's registered memory. */
static void registered_slots_read_the_same(void **state)
{
	struct canp_reader_opts o;
	size_t sizes[2] = {5000001, 1234567};
	struct canp_ring *ring;
	struct iovec iov;
	struct drive d;
	void *mem = NULL;

	(void)state;
	canp_reader_opts_init(&o);
	iov.iov_len = canp_reader_bytes(&o);
	assert_int_equal(posix_memalign(&mem, 4096, iov.iov_len), 0);
	iov.iov_base = mem;
	ring = ring_of(CANP_RING_URING, &iov);
	if (!ring) {
		free(mem);
		skip();
	}
	drive_init(&d, ring, "/tmp", &o, 77);
	free(d.mem);
	d.mem = mem;
	d.reader = canp_reader_init(mem, ring, &o);
	for (unsigned i = 0; i < 2; i++)
		drive_make(&d, i, sizes[i]);
	drive_files(&d, sizes, 2, 1, CANP_IO_AUTO);
	drive_files(&d, sizes, 2, 1, CANP_IO_DIRECT);
	/* Seven slices of up to 1 MiB, twice. */
	assert_true(canp_reader_stats(d.reader)->reads >= 14);
	assert_int_equal(canp_reader_stats(d.reader)->bytes, 2 * (sizes[0] + sizes[1]));
	if (!canp_ring_caps(ring)->fixed_buffers)
		print_message("buffers not registered: %s\n", canp_ring_caps(ring)->reason);
	drive_fini(&d);
	canp_ring_destroy(ring);
}

/* The kernel's own short read at the end of a file cut while it is open. */
static void a_shrinking_file_ends_where_it_ends(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct canp_ring *ring = ring_of(kinds[k % 2], NULL);
		struct canp_reader_opts o = {.slice_bytes = 16384, .depth = 2, .streams = 1};
		size_t cut = k / 2 ? 65536 + 777 : 65536;
		const struct canp_fault *f;
		struct canp_stream *s;
		struct drive d;
		char path[128];

		if (!ring)
			continue;
		drive_init(&d, ring, "/tmp", &o, k);
		drive_make(&d, 0, 200000);
		drive_path(&d, 0, path, sizeof(path));
		assert_int_equal(canp_reader_open(d.reader, path, 200000, CANP_IO_DIRECT, &s), 0);
		assert_int_equal(truncate(path, (off_t)cut), 0);
		assert_int_equal(drive_walk(&d, s, 0), cut);
		f = canp_reader_fault(s);
		assert_non_null(f);
		assert_int_equal(f->code, CANP_FAULT_TRUNCATED);
		assert_int_equal(f->offset, cut);
		canp_reader_close(s);
		drive_fini(&d);
		canp_ring_destroy(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_equal_the_file),
		cmocka_unit_test(registered_slots_read_the_same),
		cmocka_unit_test(a_shrinking_file_ends_where_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
