/*
 * t_mmapcache.c - mapped files: capacity and order, munmap seen, changes of files, truncation
 * without a signal, errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/units.h"
#include "io/source/mmapcache.h"

static char dir[64];
static unsigned unmapped;
static void *unmapped_last;

/* Takes the place of the library's, for the code under test too. */
int munmap(void *p, size_t n)
{
	unmapped++;
	unmapped_last = p;
	return (int)syscall(SYS_munmap, p, n);
}

static const char *name(unsigned i)
{
	static char path[4][96];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%u", dir, i);
	return p;
}

static void file_write(unsigned i, const void *data, size_t n)
{
	int fd = open(name(i), O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/t_mmapcache.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1100; i++)
		unlink(name(i));
	return rmdir(dir);
}

static struct canp_mmap *get(struct canp_mmapcache *c, unsigned i)
{
	struct canp_mmap *f = NULL;

	assert_int_equal(canp_mmapcache_get(c, name(i), 1, &f), 0);
	return f;
}

/* Gets and puts; returns the address. */
static const void *visit(struct canp_mmapcache *c, unsigned i)
{
	struct canp_mmap *f = get(c, i);
	const void *at = canp_mmap_data(f);

	assert_int_equal(canp_mmap_len(f), sizeof(i));
	assert_memory_equal(at, &i, sizeof(i));
	canp_mmapcache_put(c, f);
	return at;
}

static void A21_the_thousand_and_first_file_pushes_out_the_first(void **state)
{
	static const void *at[1001];
	struct canp_mmapcache *c = NULL;
	struct canp_cache_stats st;

	(void)state;
	for (unsigned i = 0; i < 1002; i++)
		file_write(i, &i, sizeof(i));
	assert_int_equal(canp_mmapcache_create(0, 0, &c), 0);
	unmapped = 0;
	for (unsigned i = 0; i < 1000; i++)
		at[i] = visit(c, i);
	assert_int_equal(unmapped, 0);
	at[1000] = visit(c, 1000);
	assert_int_equal(unmapped, 1);
	assert_ptr_equal(unmapped_last, at[0]);
	for (unsigned i = 1; i < 1001; i++)
		assert_ptr_equal(visit(c, i), at[i]);
	canp_mmapcache_stats(c, &st);
	assert_int_equal(st.hits, 1000);
	assert_int_equal(st.misses, 1001);
	assert_int_equal(st.entries, 1000);
	assert_int_equal(unmapped, 1);
	/* Order of use: 5 was visited again, so 1, 2, .. go and 5 stays. */
	visit(c, 5);
	for (unsigned k = 0; k < 5; k++) {
		static const unsigned next[] = {0, 1001, 1, 2, 3}, out[] = {1, 2, 3, 4, 6};

		visit(c, next[k]);
		assert_int_equal(unmapped, 2 + k);
		assert_ptr_equal(unmapped_last, at[out[k]]);
	}
	canp_mmapcache_destroy(c);
	assert_int_equal(unmapped, 6 + 1000);
}

static void A23_mappings_age_too(void **state)
{
	struct canp_mmapcache *c = NULL;
	struct canp_mmap *f = NULL;
	struct canp_cache_stats st;
	unsigned one = 1;

	(void)state;
	file_write(1, &one, sizeof(one));
	assert_int_equal(canp_mmapcache_create(10, 0, &c), 0);
	unmapped = 0;
	visit(c, 1);
	assert_int_equal(canp_mmapcache_sweep(c, 300ull * CANP_NS_PER_S + 1), 0);
	assert_int_equal(canp_mmapcache_sweep(c, 300ull * CANP_NS_PER_S + 2), 1);
	assert_int_equal(unmapped, 1);
	assert_int_equal(canp_mmapcache_get(c, name(1), 0, &f), 0);
	canp_mmapcache_put(c, f);
	canp_mmapcache_stats(c, &st);
	assert_int_equal(st.misses, 2);
	canp_mmapcache_destroy(c);
}

static void a_changed_file_is_mapped_anew(void **state)
{
	struct canp_mmapcache *c = NULL;
	struct canp_mmap *old, *f;

	(void)state;
	file_write(1, "old", 3);
	assert_int_equal(canp_mmapcache_create(10, 0, &c), 0);
	old = get(c, 1);
	unlink(name(1));
	file_write(1, "newer", 5);
	f = get(c, 1);
	assert_int_equal(canp_mmap_len(f), 5);
	assert_memory_equal(canp_mmap_data(f), "newer", 5);
	assert_memory_equal(canp_mmap_data(old), "old", 3);
	canp_mmapcache_put(c, f);
	canp_mmapcache_put(c, old);
	canp_mmapcache_destroy(c);
}

static void a_cut_file_is_an_error_and_no_signal(void **state)
{
	static char data[4 * 4096], back[4 * 4096];
	struct canp_mmapcache *c = NULL;
	struct canp_mmap *f, *again;

	(void)state;
	memset(data, 'x', sizeof(data));
	file_write(1, data, sizeof(data));
	assert_int_equal(canp_mmapcache_create(10, 0, &c), 0);
	f = get(c, 1);
	if (canp_mmap_read(f, 0, back, 1) == -EPERM || canp_mmap_read(f, 0, back, 1) == -ENOSYS) {
		print_message("SKIP: process_vm_readv refused\n");
		canp_mmapcache_put(c, f);
		canp_mmapcache_destroy(c);
		return;
	}
	assert_int_equal(canp_mmap_read(f, 0, back, sizeof(back)), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	assert_int_equal(canp_mmap_read(f, sizeof(data) - 5, back, 100), 5);
	assert_int_equal(canp_mmap_read(f, sizeof(data), back, 100), 0);
	assert_int_equal(canp_mmap_read(f, UINT64_MAX, back, 100), 0);
	assert_int_equal(truncate(name(1), 4096), 0);
	/* Reading data[8192] by the pointer would be a SIGBUS now. */
	assert_int_equal(canp_mmap_read(f, 8192, back, 100), -EFAULT);
	assert_int_equal(canp_mmap_read(f, 0, back, 4096), 4096);
	again = get(c, 1);
	assert_int_equal(canp_mmap_len(again), 4096);
	canp_mmapcache_put(c, again);
	canp_mmapcache_put(c, f);
	canp_mmapcache_destroy(c);
}

static void errors_are_those_of_the_system(void **state)
{
	struct canp_mmapcache *c = NULL;
	struct canp_mmap *f = NULL, *all[2];
	char path[80];

	(void)state;
	assert_int_equal(canp_mmapcache_create(2, 0, &c), 0);
	assert_int_equal(canp_mmapcache_get(c, "/nonexistent/file", 0, &f), -ENOENT);
	assert_int_equal(canp_mmapcache_get(c, dir, 0, &f), -EISDIR);
	assert_int_equal(canp_mmapcache_get(c, "/dev/null", 0, &f), -EINVAL);
	snprintf(path, sizeof(path), "%s/5", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(canp_mmapcache_get(c, path, 0, &f), -EINVAL);
	file_write(1, "", 0);
	file_write(2, "2", 1);
	file_write(3, "3", 1);
	all[0] = get(c, 1);
	assert_int_equal(canp_mmap_len(all[0]), 0);
	assert_non_null(canp_mmap_data(all[0]));
	assert_int_equal(canp_mmap_read(all[0], 0, path, 1), 0);
	all[1] = get(c, 2);
	unmapped = 0;
	assert_int_equal(canp_mmapcache_get(c, name(3), 0, &f), -ENOSPC);
	assert_int_equal(unmapped, 1); /* no leak */
	assert_null(f);
	canp_mmapcache_put(c, all[0]);
	canp_mmapcache_put(c, get(c, 3));
	canp_mmapcache_put(c, all[1]);
	canp_mmapcache_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			A21_the_thousand_and_first_file_pushes_out_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(A23_mappings_age_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_changed_file_is_mapped_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cut_file_is_an_error_and_no_signal, setup,
						teardown),
		cmocka_unit_test_setup_teardown(errors_are_those_of_the_system, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
