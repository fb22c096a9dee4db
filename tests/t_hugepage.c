/*
 * t_hugepage.c - big mappings: forced kinds, fallbacks with their reasons, and never a signal. Huge
 * pages are reserved for the test where we may, and given back; where we may not, that part skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "numa/hugepage.h"
#include "numa/hugepage_priv.h"
#include "numa/sysfile.h"

#define NR_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static int64_t pages_before = -1;

static bool reserve_pages(int64_t n)
{
	FILE *f = fopen(NR_2M, "w");

	if (!f)
		return false;
	fprintf(f, "%ld\n", n);
	return fclose(f) == 0;
}

/* Makes exactly n 2 MiB pages free; skips the test where that cannot be. */
static void need_free_pages(uint64_t n)
{
	struct canp_hugepage_host h;

	if (canp_sysfile_i64("", NR_2M, &pages_before)) {
		print_message("skipped: no 2 MiB hugetlb pages on this kernel\n");
		skip();
	}
	canp_hugepage_host(&h);
	if (h.free_2m != n && !reserve_pages((int64_t)(h.total_2m - h.free_2m + n))) {
		print_message("skipped: may not reserve huge pages\n");
		pages_before = -1;
		skip();
	}
	canp_hugepage_host(&h);
	if (h.free_2m != n) {
		print_message("skipped: %lu huge pages free, %lu needed\n", h.free_2m, n);
		skip();
	}
}

static int give_pages_back(void **state)
{
	(void)state;
	if (pages_before >= 0)
		reserve_pages(pages_before);
	pages_before = -1;
	return 0;
}

/* All bytes are there and zero, and can be written. */
static void check_mapping(void *p, const struct canp_hugepage_report *rep)
{
	uint8_t *b = p;

	for (size_t i = 0; i < rep->bytes; i += 4096)
		assert_int_equal(b[i], 0);
	memset(b, 0x5a, rep->bytes);
	assert_int_equal(b[rep->bytes - 1], 0x5a);
}

static void off_gives_small_pages_and_no_reason(void **state)
{
	struct canp_hugepage_report rep;
	void *p = NULL;
	uint64_t huge;

	(void)state;
	assert_int_equal(canp_hugepage_map(5 * CANP_MIB + 1, CANP_HUGE_OFF, -1, &p, &rep), 0);
	assert_int_equal(rep.kind, CANP_PAGES_4K);
	assert_int_equal(rep.bytes, 5 * CANP_MIB + 4096);
	assert_string_equal(rep.reason, "");
	check_mapping(p, &rep);
	if (!canp_hugepage_thp_bytes(p, rep.bytes, &huge))
		assert_int_equal(huge, 0);
	canp_hugepage_unmap(p, &rep);
}

static void thp_gives_huge_pages_or_says_why_not(void **state)
{
	struct canp_hugepage_report rep;
	struct canp_hugepage_host h;
	void *p = NULL;
	uint64_t huge;

	(void)state;
	canp_hugepage_host(&h);
	assert_int_equal(canp_hugepage_map(6 * CANP_MIB, CANP_HUGE_THP, 0, &p, &rep), 0);
	check_mapping(p, &rep);
	if (rep.kind == CANP_PAGES_THP) {
		assert_string_not_equal(h.thp, "never");
		assert_int_equal((uintptr_t)p % (2 * CANP_MIB), 0);
		if (!canp_hugepage_thp_bytes(p, rep.bytes, &huge))
			assert_true(huge > 0 && (huge == rep.bytes) == (rep.reason[0] == '\0'));
	} else {
		assert_int_equal(rep.kind, CANP_PAGES_4K);
		assert_string_not_equal(rep.reason, "");
	}
	canp_hugepage_unmap(p, &rep);
}

static void hugetlb_is_used_when_pages_are_free(void **state)
{
	struct canp_hugepage_report rep;
	struct canp_hugepage_host h;
	void *p = NULL;

	(void)state;
	need_free_pages(4);
	assert_int_equal(canp_hugepage_map(7 * CANP_MIB, CANP_HUGE_AUTO, 0, &p, &rep), 0);
	assert_int_equal(rep.kind, CANP_PAGES_2M);
	assert_int_equal(rep.bytes, 8 * CANP_MIB);
	assert_string_equal(rep.reason, "");
	canp_hugepage_host(&h);
	assert_int_equal(h.free_2m, 0); /* all were touched, not only reserved */
	check_mapping(p, &rep);
	canp_hugepage_unmap(p, &rep);
	canp_hugepage_host(&h);
	assert_int_equal(h.free_2m, 4);
}

static void too_few_hugetlb_pages_fall_back_with_the_count(void **state)
{
	struct canp_hugepage_report rep;
	struct canp_hugepage_host h;
	void *p = NULL;

	(void)state;
	need_free_pages(2);
	assert_int_equal(canp_hugepage_map(8 * CANP_MIB, CANP_HUGE_2M, -1, &p, &rep), 0);
	assert_true(rep.kind == CANP_PAGES_THP || rep.kind == CANP_PAGES_4K);
	assert_non_null(strstr(rep.reason, "2M pages: need 4, free 2"));
	check_mapping(p, &rep);
	canp_hugepage_unmap(p, &rep);
	canp_hugepage_host(&h);
	assert_int_equal(h.free_2m, 2); /* nothing stays reserved */
}

static void one_gigabyte_pages_are_not_wasted(void **state)
{
	struct canp_hugepage_report rep;
	void *p = NULL;

	(void)state;
	assert_int_equal(canp_hugepage_map(3 * CANP_MIB, CANP_HUGE_1G, -1, &p, &rep), 0);
	assert_int_not_equal(rep.kind, CANP_PAGES_1G);
	assert_non_null(strstr(rep.reason, "1G pages: 3 MiB asked would take 1024 MiB"));
	assert_true(rep.bytes <= 4 * CANP_MIB);
	canp_hugepage_unmap(p, &rep);
}

static void more_than_there_is_fails_before_touching(void **state)
{
	struct canp_hugepage_report rep;
	void *p = (void *)1;
	uint64_t avail = canp_hugepage_available("");

	(void)state;
	if (avail == UINT64_MAX) {
		print_message("skipped: available memory unknown\n");
		skip();
	}
	assert_int_equal(canp_hugepage_map(2 * avail, CANP_HUGE_AUTO, -1, &p, &rep), -ENOMEM);
	assert_ptr_equal(p, (void *)1); /* untouched on failure */
	assert_int_equal(rep.bytes, 0);
	assert_non_null(strstr(rep.reason, "2M pages"));
	assert_int_equal(canp_hugepage_map(2 * avail, CANP_HUGE_OFF, -1, &p, &rep), -ENOMEM);
	assert_non_null(strstr(rep.reason, "available"));
	assert_int_equal(canp_hugepage_map(0, CANP_HUGE_OFF, -1, &p, &rep), -EINVAL);
	assert_int_equal(canp_hugepage_map(SIZE_MAX, CANP_HUGE_OFF, -1, &p, &rep), -EINVAL);
}

static unsigned resident(void *p, size_t bytes)
{
	static unsigned char in[4096];
	unsigned n = 0;

	assert_true(bytes / 4096 <= sizeof(in));
	assert_int_equal(mincore(p, bytes, in), 0);
	for (size_t i = 0; i < bytes / 4096; i++)
		n += in[i] & 1;
	return n;
}

static void a_wish_touches_its_first_bytes_only(void **state)
{
	struct canp_hugepage_wish wish = {.bytes = 8 * CANP_MIB,
					  .touch_bytes = CANP_MIB + 1,
					  .want = CANP_HUGE_OFF,
					  .node = -1};
	struct canp_hugepage_report rep;
	struct canp_hugepage_host h;
	void *p = NULL;

	(void)state;
	assert_int_equal(canp_hugepage_map_wish(&wish, &p, &rep), 0);
	assert_int_equal(resident(p, rep.bytes), 257);
	check_mapping(p, &rep);
	canp_hugepage_unmap(p, &rep);
	canp_hugepage_host(&h);
	wish.want = CANP_HUGE_THP;
	assert_int_equal(canp_hugepage_map_wish(&wish, &p, &rep), 0);
	if (rep.kind == CANP_PAGES_THP && strcmp(h.thp, "never") != 0)
		assert_int_equal(resident(p, rep.bytes), 512);
	check_mapping(p, &rep);
	canp_hugepage_unmap(p, &rep);
	wish.touch_bytes = 0;
	assert_int_equal(canp_hugepage_map_wish(&wish, &p, &rep), 0);
	assert_int_equal(resident(p, rep.bytes), 0);
	canp_hugepage_unmap(p, &rep);
	wish.touch_bytes = SIZE_MAX;
	assert_int_equal(canp_hugepage_map_wish(&wish, &p, &rep), 0);
	assert_int_equal(resident(p, rep.bytes), 2048);
	canp_hugepage_unmap(p, &rep);
}

/* Shards map at the same time and touch later: each must leave the others their part. */
static void mappers_of_the_same_moment_share_what_is_available(void **state)
{
	uint64_t avail = canp_hugepage_available("");
	struct canp_hugepage_wish wish = {
		.bytes = avail / 4 * 3, .mappers = 1, .want = CANP_HUGE_OFF, .node = -1};
	struct canp_hugepage_report rep;
	void *p = NULL;

	(void)state;
	if (avail == UINT64_MAX || avail > 1024 * CANP_GIB) {
		print_message("skipped: available memory unknown\n");
		skip();
	}
	assert_int_equal(canp_hugepage_map_wish(&wish, &p, &rep), 0);
	canp_hugepage_unmap(p, &rep);
	wish.mappers = 2;
	assert_int_equal(canp_hugepage_map_wish(&wish, &p, &rep), -ENOMEM);
	assert_non_null(strstr(rep.reason, "available"));
}

static void touching_reports_what_would_have_been_a_signal(void **state)
{
	/* A file mapping beyond the end of its file raises SIGBUS on a plain store. */
	char name[] = "/tmp/canp-hugepage-XXXXXX";
	int fd = mkstemp(name);
	uint8_t *p;

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(ftruncate(fd, 4096), 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(canp_hugepage_touch_read(p, 4096, 4096), 0);
	assert_int_equal(canp_hugepage_touch_read(p, 8192, 4096), -ENOMEM);
	assert_int_equal(canp_hugepage_touch(p, 4096, 4096), 0);
	assert_int_equal(canp_hugepage_touch(p, 8192, 4096), -ENOMEM);
	munmap(p, 8192);
	close(fd);
}

static void touching_by_read_makes_all_pages_resident(void **state)
{
	uint8_t *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char in[16];

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(canp_hugepage_touch_read(p, 65536, 4096), 0);
	assert_int_equal(mincore(p, 65536, in), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(in[i] & 1, 1);
	munmap(p, 65536);
}

static void a_child_does_not_inherit_the_mapping(void **state)
{
	struct canp_hugepage_report rep;
	void *p = NULL;
	int status;
	pid_t pid;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* The sanitizer maps memory of its own in the child, into the hole we look for. */
	print_message("SKIP: the thread sanitizer fills the hole in the child\n");
	skip();
#endif
	assert_int_equal(canp_hugepage_map(CANP_MIB, CANP_HUGE_OFF, -1, &p, &rep), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* msync tells about a missing mapping without touching it. */
		_exit(msync(p, 4096, MS_ASYNC) && errno == ENOMEM ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	canp_hugepage_unmap(p, &rep);
}

static void available_memory_heeds_the_cgroup(void **state)
{
	char root[] = "/tmp/canp-avail-XXXXXX", path[256];
	static const struct {
		const char *path, *text;
	} files[] = {
		{"proc", NULL},
		{"proc/self", NULL},
		{"proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    4096 kB\n"},
		{"proc/self/cgroup", "3:memory:/j\n0::/a\n"},
		{"sys", NULL},
		{"sys/fs", NULL},
		{"sys/fs/cgroup", NULL},
		{"sys/fs/cgroup/a", NULL},
		{"sys/fs/cgroup/a/memory.max", "3000000\n"},
		{"sys/fs/cgroup/a/memory.current", "1500000\n"},
		{"sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500000\n"},
		{"sys/fs/cgroup/memory", NULL},
		{"sys/fs/cgroup/memory/memory.limit_in_bytes", "900000\n"},
		{"sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000\n"},
	};
	static const uint64_t want[] = {4096 * 1024, 2000000, 0};
	uint64_t got[3];

	(void)state;
	assert_non_null(mkdtemp(root));
	assert_true(canp_hugepage_available(root) == UINT64_MAX);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(files); i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", root, files[i].path);
		if (!files[i].text) {
			assert_int_equal(mkdir(path, 0755), 0);
			continue;
		}
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(files[i].text, f);
		fclose(f);
		if (i == 2)
			got[0] = canp_hugepage_available(root);
		if (i == 10)
			got[1] = canp_hugepage_available(root);
	}
	got[2] = canp_hugepage_available(root);
	for (unsigned i = CANP_ARRAY_SIZE(files); i > 0; i--) {
		snprintf(path, sizeof(path), "%s/%s", root, files[i - 1].path);
		assert_int_equal(remove(path), 0);
	}
	assert_int_equal(rmdir(root), 0);
	assert_memory_equal(got, want, sizeof(want));
}

static void kinds_parse_and_print(void **state)
{
	static const char *const names[] = {"auto", "1g", "2m", "thp", "off"};
	enum canp_hugepages k;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(names); i++) {
		assert_int_equal(canp_hugepages_parse(names[i], &k), 0);
		assert_int_equal(k, i);
	}
	assert_int_equal(canp_hugepages_parse("", &k), -EINVAL);
	assert_int_equal(canp_hugepages_parse("4k", &k), -EINVAL);
	assert_int_equal(canp_hugepages_parse("autox", &k), -EINVAL);
	assert_string_equal(canp_page_kind_name(CANP_PAGES_2M), "2M");
	assert_string_equal(canp_page_kind_name(CANP_PAGES_4K), "4K");
	assert_string_equal(canp_page_kind_name((enum canp_page_kind)9), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_gives_small_pages_and_no_reason),
		cmocka_unit_test(thp_gives_huge_pages_or_says_why_not),
		cmocka_unit_test_teardown(hugetlb_is_used_when_pages_are_free, give_pages_back),
		cmocka_unit_test_teardown(too_few_hugetlb_pages_fall_back_with_the_count,
					  give_pages_back),
		cmocka_unit_test(one_gigabyte_pages_are_not_wasted),
		cmocka_unit_test(more_than_there_is_fails_before_touching),
		cmocka_unit_test(a_wish_touches_its_first_bytes_only),
		cmocka_unit_test(mappers_of_the_same_moment_share_what_is_available),
		cmocka_unit_test(touching_reports_what_would_have_been_a_signal),
		cmocka_unit_test(touching_by_read_makes_all_pages_resident),
		cmocka_unit_test(a_child_does_not_inherit_the_mapping),
		cmocka_unit_test(available_memory_heeds_the_cgroup),
		cmocka_unit_test(kinds_parse_and_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
