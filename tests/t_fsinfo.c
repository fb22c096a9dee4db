/*
 * t_fsinfo.c - facts of real file systems agree with what the kernel then lets us do, and the
 * policies follow from facts and wishes as documented.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/source/fsinfo.h"
#include "tests/lib/tmpdir.h"

static char dir_disk[64], dir_shm[64];

static int make_file(const char *dir, const char *name, size_t len)
{
	char path[128], block[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	memset(block, 'x', sizeof(block));
	for (size_t at = 0; at < len; at += sizeof(block)) {
		size_t n = len - at < sizeof(block) ? len - at : sizeof(block);

		assert_int_equal(write(fd, block, n), (ssize_t)n);
	}
	return fd;
}

static void facts_of_a_file_equal_fstat(void **state)
{
	struct canp_fsinfo fi;
	struct stat st;
	int fd = make_file(dir_disk, "f", 10000);

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(canp_fsinfo_file(fd, &fi), 0);
	assert_int_equal(fi.size, 10000);
	assert_int_equal(fi.ino, st.st_ino);
	assert_int_equal(fi.dev, st.st_dev);
	assert_int_equal(fi.mode, st.st_mode);
	assert_int_equal(fi.mtime_ns, st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec);
	close(fd);
	assert_int_equal(canp_fsinfo_file(fd, &fi), -EBADF);
}

/* What can_direct says must hold in practice: an aligned O_DIRECT read works, and on tmpfs (which
 * offers none through statx) no direct policy is chosen. */
static void direct_fact_agrees_with_the_kernel(void **state)
{
	struct canp_fsinfo fi;
	void *buf = NULL;
	int fd = make_file(dir_disk, "d", 8192);

	(void)state;
	assert_int_equal(canp_fsinfo_file(fd, &fi), 0);
	if (canp_fsinfo_can_direct(&fi)) {
		assert_int_equal(posix_memalign(&buf, 4096, 4096), 0);
		fsync(fd);
		assert_int_equal(fcntl(fd, F_SETFL, O_DIRECT), 0);
		assert_int_equal(pread(fd, buf, 4096, 4096), 4096);
		free(buf);
		assert_int_equal(canp_fsinfo_read_policy(&fi, 0, CANP_IO_AUTO), CANP_IO_DIRECT);
	} else {
		print_message("no direct I/O under %s, that half not run\n", dir_disk);
	}
	close(fd);
	fd = make_file(dir_shm, "d", 8192);
	assert_int_equal(canp_fsinfo_file(fd, &fi), 0);
	if (!canp_fsinfo_can_direct(&fi))
		assert_int_not_equal(canp_fsinfo_read_policy(&fi, 0, CANP_IO_DIRECT),
				     CANP_IO_DIRECT);
	close(fd);
}

static void directory_facts_tell_space_and_leave_nothing(void **state)
{
	struct canp_fsinfo fi;
	struct statfs sf;
	int fd = open(dir_disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char cmd[160], out[64] = "";
	FILE *p;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstatfs(fd, &sf), 0);
	snprintf(cmd, sizeof(cmd), "ls -A %s | sort | tr '\\n' ' '", dir_disk);
	assert_int_equal(canp_fsinfo_dir(fd, &fi), 0);
	assert_true(fi.free_bytes > 0 && fi.free_bytes <= (uint64_t)sf.f_blocks * sf.f_bsize);
	assert_true(fi.free_inodes > 0);
	assert_int_equal(fi.fs_magic, (uint64_t)sf.f_type & 0xffffffffu);
	p = popen(cmd, "r");
	assert_non_null(p);
	if (!fgets(out, sizeof(out), p))
		out[0] = 0;
	pclose(p);
	assert_string_equal(out, "d f ");
	close(fd);
	fd = open(dir_shm, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(canp_fsinfo_dir(fd, &fi), 0);
	assert_string_equal(canp_fsinfo_fs_name(fi.fs_magic), "tmpfs");
	close(fd);
}

static void fresh_pages_count_as_resident_and_dropped_ones_do_not(void **state)
{
	int fd = make_file(dir_disk, "f", 1 << 20), pct;

	(void)state;
	pct = canp_fsinfo_resident_pct(fd, 1 << 20);
	if (pct == -ENOSYS) {
		print_message("no cachestat here\n");
		close(fd);
		skip();
	}
	assert_int_equal(pct, 100);
	assert_int_equal(canp_fsinfo_resident_pct(fd, 4 << 20), 25);
	assert_int_equal(canp_fsinfo_resident_pct(fd, 0), 0);
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_true(canp_fsinfo_resident_pct(fd, 1 << 20) < 50);
	close(fd);
}

static void policies_follow_facts_and_wishes(void **state)
{
	struct canp_fsinfo none = {0}, dio = {.dio_mem_align = 512, .dio_offset_align = 512};
	struct canp_fsinfo big = {.dio_mem_align = 512, .dio_offset_align = 65536};
	enum canp_io_policy p = CANP_IO_AUTO;

	(void)state;
	assert_int_equal(canp_fsinfo_read_policy(&dio, -ENOSYS, CANP_IO_AUTO), CANP_IO_DIRECT);
	assert_int_equal(canp_fsinfo_read_policy(&dio, 89, CANP_IO_AUTO), CANP_IO_DIRECT);
	assert_int_equal(canp_fsinfo_read_policy(&dio, 90, CANP_IO_AUTO), CANP_IO_BUFFERED);
	assert_int_equal(canp_fsinfo_read_policy(&dio, 100, CANP_IO_DIRECT), CANP_IO_DIRECT);
	assert_int_equal(canp_fsinfo_read_policy(&dio, 0, CANP_IO_DONTCACHE), CANP_IO_DONTCACHE);
	assert_int_equal(canp_fsinfo_read_policy(&dio, 0, CANP_IO_BUFFERED), CANP_IO_BUFFERED);
	assert_int_equal(canp_fsinfo_read_policy(&none, 0, CANP_IO_AUTO), CANP_IO_DONTCACHE);
	assert_int_equal(canp_fsinfo_read_policy(&big, 0, CANP_IO_DIRECT), CANP_IO_DONTCACHE);

	assert_int_equal(canp_fsinfo_write_policy(&dio, CANP_IO_AUTO), CANP_IO_DIRECT);
	assert_int_equal(canp_fsinfo_write_policy(&none, CANP_IO_DIRECT), CANP_IO_BUFFERED);
	none.dontcache = true;
	assert_int_equal(canp_fsinfo_write_policy(&none, CANP_IO_AUTO), CANP_IO_DONTCACHE);
	dio.dontcache = true;
	assert_int_equal(canp_fsinfo_write_policy(&dio, CANP_IO_DONTCACHE), CANP_IO_DONTCACHE);
	assert_int_equal(canp_fsinfo_write_policy(&dio, CANP_IO_BUFFERED), CANP_IO_BUFFERED);

	assert_int_equal(canp_io_policy_parse("dontcache", &p), 0);
	assert_int_equal(p, CANP_IO_DONTCACHE);
	assert_int_equal(canp_io_policy_parse("Direct", &p), -EINVAL);
	assert_int_equal(p, CANP_IO_DONTCACHE);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(canp_io_policy_parse(canp_io_policy_name(i), &p), 0);
		assert_int_equal(p, i);
	}
}

static int setup(void **state)
{
	(void)state;
	return tmpdir_make(dir_disk, sizeof(dir_disk), "/tmp/t_fsinfo") ||
	       tmpdir_make(dir_shm, sizeof(dir_shm), "/dev/shm/t_fsinfo");
}

static int teardown(void **state)
{
	(void)state;
	return tmpdir_remove(dir_disk) | tmpdir_remove(dir_shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_a_file_equal_fstat),
		cmocka_unit_test(direct_fact_agrees_with_the_kernel),
		cmocka_unit_test(directory_facts_tell_space_and_leave_nothing),
		cmocka_unit_test(fresh_pages_count_as_resident_and_dropped_ones_do_not),
		cmocka_unit_test(policies_follow_facts_and_wishes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
