/*
 * t_outdir.c - what may be written into, whole small files, and the device rule.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/strbuf.h"
#include "io/device_rule.h"
#include "io/outdir.h"
#include "tests/lib/tmpdir.h"

static char root[64];

static void in_root(char *buf, const char *name)
{
	snprintf(buf, 256, "%s/%s", root, name);
}

static int setup(void **state)
{
	(void)state;
	return tmpdir_make(root, sizeof(root), "/tmp/t_outdir");
}

static int teardown(void **state)
{
	(void)state;
	return tmpdir_remove(root);
}

static enum canp_outdir_state state_of(const char *path)
{
	enum canp_outdir_state st = CANP_OUTDIR_FOREIGN;

	assert_int_equal(canp_outdir_state(path, &st), 0);
	return st;
}

static void put(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static void only_missing_and_empty_folders_are_taken(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	char dir[256], file[300];
	int fd;

	(void)state;
	in_root(dir, "a/b/c");
	assert_int_equal(state_of(dir), CANP_OUTDIR_MISSING);
	assert_false(canp_outdir_refuse(dir, &err));
	assert_int_equal(canp_outdir_create(dir, &fd, &err), 0);
	/* Created, with the folder of the job's own files, which counts as nothing yet. */
	snprintf(file, sizeof(file), "%s/_canp/job.json", dir);
	put(file);
	assert_int_equal(state_of(dir), CANP_OUTDIR_STARTED);
	assert_true(canp_outdir_refuse(dir, &err));
	assert_non_null(strstr(err.buf, "--resume"));
	snprintf(file, sizeof(file), "%s/_canp/run.json", dir);
	put(file);
	assert_int_equal(state_of(dir), CANP_OUTDIR_COMPLETE);
	canp_strbuf_reset(&err);
	assert_true(canp_outdir_refuse(dir, &err));
	assert_non_null(strstr(err.buf, "--append"));
	close(fd);
	in_root(dir, "foreign");
	assert_int_equal(mkdir(dir, 0777), 0);
	assert_int_equal(state_of(dir), CANP_OUTDIR_EMPTY);
	snprintf(file, sizeof(file), "%s/notes.txt", dir);
	put(file);
	assert_int_equal(state_of(dir), CANP_OUTDIR_FOREIGN);
	assert_int_equal(canp_outdir_create(dir, &fd, &err), -EEXIST);
	assert_int_equal(access(file, F_OK), 0);
	canp_strbuf_fini(&err);
}

static void a_file_in_the_place_of_the_folder_is_an_error(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	enum canp_outdir_state st;
	char file[256];
	int fd = 7;

	(void)state;
	in_root(file, "plain");
	put(file);
	assert_int_equal(canp_outdir_state(file, &st), -ENOTDIR);
	assert_int_equal(canp_outdir_create(file, &fd, &err), -ENOTDIR);
	assert_non_null(strstr(err.buf, "plain"));
	canp_strbuf_fini(&err);
}

static void small_files_appear_whole(void **state)
{
	char dir[256], buf[16] = {0};
	struct dirent *e;
	unsigned n = 0;
	int dirfd, fd;
	DIR *d;

	(void)state;
	in_root(dir, "w");
	assert_int_equal(canp_outdir_make(dir), 0);
	assert_int_equal(canp_outdir_make(dir), 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(canp_outdir_write(dirfd, "x.json", "first", 5), 0);
	assert_int_equal(canp_outdir_write(dirfd, "x.json", "2nd", 3), 0);
	fd = openat(dirfd, "x.json", O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 3);
	assert_string_equal(buf, "2nd");
	close(fd);
	assert_int_equal(canp_outdir_write(dirfd, "missing/x.json", "a", 1), -ENOENT);
	/* No temporary stays behind. */
	d = opendir(dir);
	while ((e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	assert_int_equal(n, 1);
	closedir(d);
	close(dirfd);
}

static void expect_device(const char *rule, const char *path, const char *want)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_device_rule *r;
	char name[16];

	assert_int_equal(canp_device_rule_create(rule, &r, &err), 0);
	assert_int_equal(canp_device_rule_apply(r, path, name, sizeof(name)), strlen(want));
	assert_string_equal(name, want);
	canp_device_rule_destroy(r);
	canp_strbuf_fini(&err);
}

static void devices_come_from_names_and_paths(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_device_rule *r;

	(void)state;
	expect_device("truck", "/x/y", "truck");
	expect_device("path:1", "/fleet/t7/log.blf", "fleet");
	expect_device("path:2", "/fleet//t7/log.blf", "t7");
	expect_device("path:-1", "fleet/t7/log.blf", "log.blf");
	expect_device("path:-2", "fleet/t7/log.blf", "t7");
	expect_device("path:9", "fleet/t7/log.blf", "");
	expect_device("dev([0-9]+)_", "a/dev042_x.blf", "042");
	expect_device("dev([0-9]+)_", "a/other.blf", "");
	expect_device("(.*)", "a/name/longer/than/the/room", "a/name/longer/t");
	assert_int_equal(canp_device_rule_create("path:x", &r, &err), -EINVAL);
	assert_int_equal(canp_device_rule_create("path:0", &r, &err), -EINVAL);
	assert_int_equal(canp_device_rule_create("a(b", &r, &err), -EINVAL);
	assert_non_null(strstr(err.buf, "regular expression"));
	canp_strbuf_fini(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_missing_and_empty_folders_are_taken),
		cmocka_unit_test(a_file_in_the_place_of_the_folder_is_an_error),
		cmocka_unit_test(small_files_appear_whole),
		cmocka_unit_test(devices_come_from_names_and_paths),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
