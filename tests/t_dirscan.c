/*
 * t_dirscan.c - the listing of inputs is complete, in the documented order, and a function of the
 * tree alone; what cannot be read is named and nothing else suffers.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/source/dirscan.h"
#include "tests/lib/tmpdir.h"

static char root[64];

static void touch(const char *rel, size_t len)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, rel);
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = 0;
		mkdir(path, 0755);
		*p = '/';
	}
	f = fopen(path, "wb");
	assert_non_null(f);
	for (size_t i = 0; i < len; i++)
		fputc('x', f);
	fclose(f);
}

static void in_root(char *out, size_t cap, const char *rel)
{
	snprintf(out, cap, "%s/%s", root, rel);
}

static void link_to(const char *target, const char *rel)
{
	char path[512];

	in_root(path, sizeof(path), rel);
	assert_int_equal(symlink(target, path), 0);
}

static struct canp_dirscan *scan_with(const struct canp_dirscan_opts *o)
{
	struct canp_dirscan *s = NULL;

	assert_int_equal(canp_dirscan_create(o, &s), 0);
	return s;
}

static struct canp_dirscan *scan(unsigned nr, const char *const *args)
{
	struct canp_dirscan_opts o = {.args = args, .nr_args = nr};

	return scan_with(&o);
}

/* "rel rel !rel" with ! before failed ones; for one look at order and completeness. */
static void expect(const struct canp_dirscan *s, const char *want)
{
	char got[4096] = "";
	size_t at = 0;

	for (size_t i = 0; i < s->nr_files; i++) {
		const struct canp_input *in = &s->files[i];
		size_t path = strlen(in->path), rel = strlen(in->rel);

		assert_true(rel <= path && in->rel == in->path + path - rel);
		at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s%s", i ? " " : "",
				       in->err ? "!" : "", in->rel);
	}
	assert_string_equal(got, want);
}

static void order_is_arguments_then_bytes_of_the_path(void **state)
{
	char a[128], b[128];
	const char *args[] = {b, a};
	struct canp_dirscan *s;
	struct stat st;

	(void)state;
	touch("a/z.blf", 3);
	touch("a/a.b/x", 1);
	touch("a/a/x", 1);
	touch("a/a-1", 1);
	touch("a/B", 1);
	touch("a/\xc3\xa4.blf", 1);
	touch("a/\xff\xfe.blf", 1);
	touch("b/1", 5);
	in_root(a, sizeof(a), "a");
	in_root(b, sizeof(b), "b/"); /* a trailing slash changes nothing */
	s = scan(2, args);
	/* '-' < '.' < '/' < letters < high bytes, upper case before lower. */
	expect(s, "1 B a-1 a.b/x a/x z.blf \xc3\xa4.blf \xff\xfe.blf");
	assert_int_equal(s->bytes, 5 + 1 + 1 + 1 + 1 + 3 + 1 + 1);
	assert_int_equal(s->files[0].arg, 0);
	assert_int_equal(s->files[1].arg, 1);
	assert_int_equal(s->dirs, 4);
	assert_false(s->files[0].named);
	for (size_t i = 0; i < s->nr_files; i++) {
		assert_int_equal(stat(s->files[i].path, &st), 0);
		assert_int_equal(s->files[i].size, st.st_size);
		assert_int_equal(s->files[i].ino, st.st_ino);
		assert_int_equal(s->files[i].dev, st.st_dev);
		assert_int_equal(s->files[i].mtime_ns,
				 st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec);
	}
	canp_dirscan_destroy(s);
}

static void hidden_and_temporary_names_are_left_out_unless_named(void **state)
{
	char dir[128], dot[128], tmp[128];
	const char *args[] = {dir, dot, tmp};
	struct canp_dirscan *s;

	(void)state;
	touch("h/.dot", 1);
	touch("h/.git/x", 1);
	touch("h/x.tmp", 1);
	touch("h/ok", 1);
	in_root(dir, sizeof(dir), "h");
	in_root(dot, sizeof(dot), "h/.dot");
	in_root(tmp, sizeof(tmp), "h/x.tmp");
	s = scan(1, args);
	expect(s, "ok");
	assert_int_equal(s->skipped_hidden, 3);
	canp_dirscan_destroy(s);
	s = scan(3, args);
	expect(s, "ok .dot x.tmp");
	assert_true(s->files[1].named && s->files[2].named);
	canp_dirscan_destroy(s);
}

static void missing_inputs_are_entries_and_the_rest_goes_on(void **state)
{
	char ok[128], gone[128], dangling[128], glob[128], pipe[128];
	const char *args[] = {gone, ok, dangling, glob, pipe};
	struct canp_dirscan *s;

	(void)state;
	touch("m/ok", 2);
	link_to("nowhere", "m/dangling");
	in_root(gone, sizeof(gone), "m/gone.blf");
	in_root(ok, sizeof(ok), "m/ok");
	in_root(dangling, sizeof(dangling), "m/dangling");
	in_root(glob, sizeof(glob), "m/*.none");
	in_root(pipe, sizeof(pipe), "m/pipe");
	assert_int_equal(mkfifo(pipe, 0600), 0);
	s = scan(5, args);
	expect(s, "!gone.blf ok !dangling !*.none !pipe");
	assert_int_equal(s->nr_failed, 4);
	assert_int_equal(s->files[0].err, -ENOENT);
	assert_int_equal(s->files[3].err, -ENOENT);
	assert_int_equal(s->files[4].err, -EOPNOTSUPP);
	assert_int_equal(s->bytes, 2);
	canp_dirscan_destroy(s);
	in_root(ok, sizeof(ok), "m");
	s = scan(1, args + 1);
	expect(s, "ok");
	assert_int_equal(s->skipped_special, 1);
	assert_int_equal(s->skipped_symlinks, 1);
	canp_dirscan_destroy(s);
}

static void an_unreadable_folder_is_named(void **state)
{
	char dir[128], locked[128];
	const char *args[] = {dir, locked};
	struct canp_dirscan *s;

	(void)state;
	if (geteuid() == 0) {
		print_message("root reads every folder\n");
		skip();
	}
	touch("u/a/x", 1);
	touch("u/b/x", 1);
	in_root(dir, sizeof(dir), "u");
	in_root(locked, sizeof(locked), "u/a");
	assert_int_equal(chmod(locked, 0), 0);
	s = scan(2, args);
	chmod(locked, 0755);
	assert_int_equal(s->nr_failed, 2);
	assert_int_equal(s->files[0].err, -EACCES);
	assert_string_equal(s->files[0].rel, "a");
	assert_string_equal(s->files[1].rel, "b/x");
	assert_string_equal(s->files[2].rel, locked);
	canp_dirscan_destroy(s);
}

static void hard_links_and_repeated_arguments_are_read_once(void **state)
{
	char dir[128], file[128], from[512], to[512];
	const char *args[] = {file, dir, dir};
	struct canp_dirscan *s;

	(void)state;
	touch("d/b", 4);
	touch("d/sub/c", 1);
	in_root(from, sizeof(from), "d/b");
	in_root(to, sizeof(to), "d/a");
	assert_int_equal(link(from, to), 0);
	in_root(dir, sizeof(dir), "d");
	in_root(file, sizeof(file), "d/sub/c");
	s = scan(3, args);
	expect(s, "c a");
	assert_int_equal(s->duplicates, 5); /* b, sub/c, then a, b, sub/c again */
	assert_int_equal(s->bytes, 5);
	canp_dirscan_destroy(s);
}

static void links_are_followed_on_request_and_loops_end(void **state)
{
	char dir[128], out[512];
	const char *args[] = {dir};
	struct canp_dirscan_opts o = {.args = args, .nr_args = 1};
	struct canp_dirscan *s;

	(void)state;
	touch("l/real/x", 1);
	touch("l/z", 1);
	touch("outside/deep/y", 1);
	link_to("..", "l/real/up"); /* the loop */
	link_to(".", "l/self");
	link_to("real", "l/a-link"); /* its files are listed under real/ */
	in_root(out, sizeof(out), "outside");
	link_to(out, "l/out");
	link_to(out, "l/out2"); /* same folder again: once, under the first name */
	link_to("out", "outside/deep/back");
	in_root(dir, sizeof(dir), "l");
	s = scan_with(&o);
	expect(s, "real/x z");
	assert_int_equal(s->skipped_symlinks, 5);
	canp_dirscan_destroy(s);
	o.follow_symlinks = true;
	s = scan_with(&o);
	/* back -> out does not exist beside it: a dangling link met with follow is reported. */
	expect(s, "!out/deep/back out/deep/y real/x z");
	assert_int_equal(s->duplicates, 0);
	canp_dirscan_destroy(s);
	/* An argument that is a link is followed always. */
	in_root(dir, sizeof(dir), "l/out");
	o.follow_symlinks = false;
	s = scan_with(&o);
	expect(s, "deep/y");
	canp_dirscan_destroy(s);
}

static void globs_expand_and_literal_names_win(void **state)
{
	char pat[128], lit[128];
	const char *args[] = {pat, lit};
	struct canp_dirscan *s;

	(void)state;
	touch("g/day2/a.blf", 1);
	touch("g/day10/a.blf", 1);
	touch("g/day1/a.blf", 1);
	touch("g/day1/a.asc", 1);
	touch("g/other/a.blf", 1);
	touch("g/x[1].blf", 1);
	touch("g/x1.blf", 1);
	in_root(pat, sizeof(pat), "g/day*/*.blf");
	in_root(lit, sizeof(lit), "g/x[1].blf");
	s = scan(2, args);
	expect(s, "day1/a.blf day10/a.blf day2/a.blf x[1].blf");
	assert_true(s->files[0].named);
	canp_dirscan_destroy(s);
	in_root(pat, sizeof(pat), "g/d*"); /* matches folders: walked, below their match */
	s = scan(1, args);
	expect(s, "day1/a.asc day1/a.blf day10/a.blf day2/a.blf");
	assert_false(s->files[0].named);
	canp_dirscan_destroy(s);
}

static void include_patterns_filter_walks_only(void **state)
{
	char dir[128], file[128];
	const char *args[] = {dir, file}, *inc[] = {"*.blf", "sub/*.asc"};
	struct canp_dirscan_opts o = {.args = args, .nr_args = 2, .include = inc, .nr_include = 2};
	struct canp_dirscan *s;

	(void)state;
	touch("i/a.blf", 1);
	touch("i/a.asc", 1);
	touch("i/sub/b.blf", 1);
	touch("i/sub/b.asc", 1);
	touch("i/notes.txt", 1);
	in_root(dir, sizeof(dir), "i");
	in_root(file, sizeof(file), "i/notes.txt");
	s = scan_with(&o);
	expect(s, "a.blf sub/b.asc sub/b.blf notes.txt");
	assert_int_equal(s->skipped_include, 2);
	canp_dirscan_destroy(s);
}

static void put_list(const char *name, const char *text, size_t len, char *arg, size_t cap)
{
	char path[512];
	FILE *f;

	in_root(path, sizeof(path), name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	snprintf(arg, cap, "@%s", path);
}

static void lists_keep_their_order_and_their_paths(void **state)
{
	char text[1024], arg[600], want[1024];
	const char *args[] = {arg};
	struct canp_dirscan *s;
	int n, saved;

	(void)state;
	touch("t/z", 1);
	touch("t/a b", 1);
	touch("t/dir/y", 1);
	touch("t/dir/x", 1);
	n = snprintf(text, sizeof(text), "%s/t/z\n\n%s/t/dir/\n%s/t/gone\n%s/t/a b\n%s/t/z", root,
		     root, root, root, root);
	snprintf(want, sizeof(want), "%s/t/z %s/t/dir/x %s/t/dir/y !%s/t/gone %s/t/a b", root + 1,
		 root + 1, root + 1, root + 1, root + 1);
	put_list("list", text, (size_t)n, arg, sizeof(arg));
	s = scan(1, args);
	expect(s, want);
	assert_int_equal(s->duplicates, 1);
	assert_true(s->files[0].named);
	assert_false(s->files[1].named);
	canp_dirscan_destroy(s);
	/* The same from standard input, NUL-separated, where a newline is part of a name. */
	touch("t/new\nline", 1);
	n = snprintf(text, sizeof(text), "%s/t/new\nline", root) + 1;
	n += snprintf(text + n, sizeof(text) - (size_t)n, "%s/t/z", root) + 1;
	put_list("list0", text, (size_t)n, arg, sizeof(arg));
	saved = dup(0);
	close(0);
	assert_int_equal(open(arg + 1, O_RDONLY), 0);
	snprintf(arg, sizeof(arg), "-");
	s = scan(1, args);
	dup2(saved, 0);
	close(saved);
	snprintf(want, sizeof(want), "%s/t/new\nline %s/t/z", root + 1, root + 1);
	expect(s, want);
	canp_dirscan_destroy(s);
	snprintf(arg, sizeof(arg), "@%s/no-list", root);
	s = scan(1, args);
	assert_int_equal(s->nr_files, 1);
	assert_int_equal(s->files[0].err, -ENOENT);
	canp_dirscan_destroy(s);
}

static void relative_paths_and_dot_work(void **state)
{
	const char *dot[] = {"."}, *file[] = {"one"}, *none[] = {""};
	struct canp_dirscan *s;
	char dir[128];
	int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	touch("r/one", 1);
	touch("r/s/two", 1);
	in_root(dir, sizeof(dir), "r");
	assert_int_equal(chdir(dir), 0);
	s = scan(1, dot);
	expect(s, "one s/two");
	assert_string_equal(s->files[0].path, "./one");
	canp_dirscan_destroy(s);
	s = scan(1, file);
	expect(s, "one");
	canp_dirscan_destroy(s);
	s = scan(1, none);
	expect(s, "!");
	canp_dirscan_destroy(s);
	assert_int_equal(fchdir(cwd), 0);
	close(cwd);
}

static void many_files_and_deep_folders_are_all_found(void **state)
{
	char dir[128], rel[256], deep[512] = "big/deep";
	const char *args[] = {dir};
	struct canp_dirscan *s;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(rel, sizeof(rel), "big/%02u/file-%05u.blf", i % 37, i);
		touch(rel, i % 5);
	}
	for (unsigned i = 0; i < 60; i++)
		strcat(deep, "/d");
	strcat(deep, "/end");
	touch(deep, 9);
	in_root(dir, sizeof(dir), "big");
	s = scan(1, args);
	assert_int_equal(s->nr_files, 3001);
	assert_int_equal(s->bytes, 3000 / 5 * 10 + 9);
	for (size_t i = 1; i < s->nr_files; i++)
		assert_true(strcmp(s->files[i - 1].rel, s->files[i].rel) < 0);
	canp_dirscan_destroy(s);
}

static void no_argument_is_an_error(void **state)
{
	struct canp_dirscan_opts o = {0};
	struct canp_dirscan *s = NULL;

	(void)state;
	assert_int_equal(canp_dirscan_create(&o, &s), -EINVAL);
	assert_null(s);
	canp_dirscan_destroy(NULL);
}

static int setup(void **state)
{
	(void)state;
	return tmpdir_make(root, sizeof(root), "/tmp/t_dirscan");
}

static int teardown(void **state)
{
	(void)state;
	return tmpdir_remove(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_is_arguments_then_bytes_of_the_path),
		cmocka_unit_test(hidden_and_temporary_names_are_left_out_unless_named),
		cmocka_unit_test(missing_inputs_are_entries_and_the_rest_goes_on),
		cmocka_unit_test(an_unreadable_folder_is_named),
		cmocka_unit_test(hard_links_and_repeated_arguments_are_read_once),
		cmocka_unit_test(links_are_followed_on_request_and_loops_end),
		cmocka_unit_test(globs_expand_and_literal_names_win),
		cmocka_unit_test(include_patterns_filter_walks_only),
		cmocka_unit_test(lists_keep_their_order_and_their_paths),
		cmocka_unit_test(relative_paths_and_dot_work),
		cmocka_unit_test(many_files_and_deep_folders_are_all_found),
		cmocka_unit_test(no_argument_is_an_error),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
