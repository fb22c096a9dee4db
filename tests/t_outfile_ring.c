/*
 * t_outfile_ring.c - the output file on the real rings, io_uring and the helper threads, on a disk
 * file system and on tmpfs.
 */
#include <errno.h>

#include "tests/lib/out_drive.h"

#include "core/runtime/ring.h"

static const char *const dirs[] = {"/tmp", "/dev/shm"};
static const enum canp_ring_kind kinds[] = {CANP_RING_URING, CANP_RING_SYNC};

/* NULL when the kernel refuses this kind. */
static struct canp_ring *ring_of(enum canp_ring_kind kind)
{
	struct canp_ring_opts o = {.kind = kind, .entries = 64, .sync_threads = 2, .iowq_cpu = -1};
	struct canp_ring *ring = NULL;
	int rc = canp_ring_create(&o, &ring);

	if (rc < 0)
		print_message("ring kind %d refused: %s\n", (int)kind, strerror(-rc));
	return rc < 0 ? NULL : ring;
}

static void published_bytes_equal_those_put(void **state)
{
	unsigned ran = 0;

	(void)state;
	for (unsigned k = 0; k < 2 * 2 * 4; k++) {
		struct canp_ring *ring = ring_of(kinds[k % 2]);
		struct out_drive d;
		struct canp_out o;
		size_t total = 0;

		if (!ring)
			continue;
		out_drive_init(&d, ring, dirs[k / 2 % 2], k + 1);
		assert_int_equal(out_drive_open(&d, &o, "part-00000.parquet", k / 4, false), 0);
		for (unsigned i = 0; i < 30; i++) {
			size_t n = (size_t)out_rnd(&d, 20000);

			assert_int_equal(out_drive_put(&d, &o, n), 0);
			total += n;
			if (i % 7 == 3)
				canp_out_flush(&o);
			if (i % 10 == 5) {
				assert_int_equal(out_drive_sync(&d, &o), 0);
				out_drive_check(&d, ".part-00000.parquet.tmp", total);
			}
			assert_false(out_drive_exists(&d, "part-00000.parquet"));
		}
		assert_int_equal(out_drive_finish(&d, &o), 0);
		out_drive_check(&d, "part-00000.parquet", total);
		assert_int_equal(out_drive_files(&d), 1);
		ran++;
		out_drive_fini(&d);
		canp_ring_destroy(ring);
	}
	assert_true(ran >= 8); /* the helper threads need nothing of the kernel */
}

static void direct_is_used_where_it_is_offered(void **state)
{
	struct canp_ring *ring = ring_of(CANP_RING_AUTO);
	struct canp_fsinfo fi;
	struct out_drive d;
	struct canp_out o;

	(void)state;
	assert_non_null(ring);
	out_drive_init(&d, ring, "/tmp", 5);
	assert_int_equal(canp_fsinfo_dir(d.dirfd, &fi), 0);
	assert_int_equal(out_drive_open(&d, &o, "a", CANP_IO_AUTO, false), 0);
	assert_int_equal(out_drive_put(&d, &o, 70000), 0);
	assert_int_equal(out_drive_finish(&d, &o), 0);
	out_drive_check(&d, "a", 70000);
	if (canp_fsinfo_can_direct(&fi))
		assert_int_equal(o.policy, CANP_IO_DIRECT);
	else
		assert_int_not_equal(o.policy, CANP_IO_DIRECT);
	out_drive_fini(&d);
	canp_ring_destroy(ring);
}

static void abort_and_a_taken_name_leave_only_what_was_there(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct canp_ring *ring = ring_of(kinds[k % 2]);
		struct out_drive d;
		struct canp_out o, p;

		if (!ring)
			continue;
		out_drive_init(&d, ring, dirs[k / 2], k);
		assert_int_equal(out_drive_open(&d, &o, "x", CANP_IO_AUTO, false), 0);
		assert_int_equal(out_drive_put(&d, &o, 50000), 0);
		assert_int_equal(out_drive_abort(&d, &o), 0);
		assert_int_equal(out_drive_files(&d), 0);
		assert_int_equal(out_drive_open(&d, &o, "x", CANP_IO_AUTO, false), 0);
		assert_int_equal(out_drive_put(&d, &o, 10000), 0);
		assert_int_equal(out_drive_finish(&d, &o), 0);
		assert_int_equal(out_drive_open(&d, &p, "x", CANP_IO_AUTO, false), 0);
		assert_int_equal(out_drive_put(&d, &p, 20000), 0);
		assert_int_equal(out_drive_finish(&d, &p), -EEXIST);
		assert_int_equal(out_drive_abort(&d, &p), 0);
		out_drive_check(&d, "x", 10000);
		assert_int_equal(out_drive_files(&d), 1);
		out_drive_fini(&d);
		canp_ring_destroy(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_bytes_equal_those_put),
		cmocka_unit_test(direct_is_used_where_it_is_offered),
		cmocka_unit_test(abort_and_a_taken_name_leave_only_what_was_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
