/*
 * t_host.c - host facts from a fake root with values this machine does not have, from an empty
 * root, and from the real machine compared with what the system calls say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "numa/host.h"
#include "tests/lib/tmpdir.h"

static char root[64];

static int setup_root(void **state)
{
	(void)state;
	return tmpdir_make(root, sizeof(root), "/tmp/t_host");
}

static int remove_root(void **state)
{
	(void)state;
	return tmpdir_remove(root);
}

static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; *p; p++) {
		if (*p == '/') {
			*p = '\0';
			(void)mkdir(full, 0755);
			*p = '/';
		}
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void facts_come_from_the_root(void **state)
{
	struct canp_host_facts f;

	(void)state;
	put("/proc/sys/kernel/osrelease", "5.15.0-91-generic\n");
	put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: x\n");
	put("/proc/self/limits",
	    "Limit                     Soft Limit           Hard Limit           Units     \n"
	    "Max open files            1024                 524288               files     \n"
	    "Max locked memory         8388608              unlimited            bytes     \n");
	put("/proc/meminfo", "MemTotal:  16384 kB\nMemFree: 1 kB\nMemAvailable:  8192 kB\n");
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/memory.max", "4194304\n");
	put("/sys/fs/cgroup/a/memory.current", "1048576\n");
	put("/proc/sys/kernel/io_uring_disabled", "2\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n");
	put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "3\n");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
	canp_host_facts(root, &f);
	assert_string_equal(f.kernel, "5.15.0-91-generic");
	assert_string_equal(f.cpu_model, "Some CPU @ 2 GHz");
	assert_int_equal(f.nofile_soft, 1024);
	assert_int_equal(f.nofile_hard, 524288);
	assert_int_equal(f.memlock_soft, 8388608);
	assert_true(f.memlock_hard == CANP_HOST_UNLIMITED);
	assert_int_equal(f.mem_total, 16384 * 1024);
	assert_int_equal(f.mem_available, 8192 * 1024);
	assert_int_equal(f.cgroup_mem_limit, 4194304);
	assert_int_equal(f.room, 4194304 - 1048576);
	assert_int_equal(f.io_uring_disabled, 2);
	assert_int_equal(f.hugepages.total_2m, 512);
	assert_int_equal(f.hugepages.free_2m, 500);
	assert_int_equal(f.hugepages.total_1g, 3);
	assert_int_equal(f.hugepages.free_1g, 0);
	assert_string_equal(f.hugepages.thp, "always");
}

static void a_v1_cgroup_without_limit_is_unlimited(void **state)
{
	struct canp_host_facts f;

	(void)state;
	put("/proc/self/cgroup", "4:memory:/x\n");
	put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "4096\n");
	canp_host_facts(root, &f);
	assert_true(f.cgroup_mem_limit == CANP_HOST_UNLIMITED);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8192\n");
	canp_host_facts(root, &f);
	assert_int_equal(f.cgroup_mem_limit, 8192);
	assert_int_equal(f.room, 8192);
}

static void an_empty_root_leaves_all_unknown(void **state)
{
	struct canp_host_facts f;

	(void)state;
	memset(&f, 0x77, sizeof(f));
	canp_host_facts(root, &f);
	assert_string_equal(f.kernel, "");
	assert_string_equal(f.cpu_model, "");
	assert_int_equal(f.mem_total, 0);
	assert_int_equal(f.memlock_soft, 0);
	assert_int_equal(f.io_uring_disabled, -1);
	assert_true(f.cgroup_mem_limit == CANP_HOST_UNLIMITED);
	assert_true(f.room == UINT64_MAX);
	assert_string_equal(f.hugepages.thp, "never");
}

static void the_real_machine_agrees_with_its_system_calls(void **state)
{
	struct canp_host_facts f;
	struct utsname u;
	struct rlimit lim;

	(void)state;
	canp_host_facts("", &f);
	assert_int_equal(uname(&u), 0);
	assert_string_equal(f.kernel, u.release);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_true(f.nofile_soft == lim.rlim_cur);
	assert_true(f.nofile_hard == lim.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &lim), 0);
	assert_true(f.memlock_soft == lim.rlim_cur); /* RLIM_INFINITY is CANP_HOST_UNLIMITED */
	assert_true(f.memlock_hard == lim.rlim_max);
	assert_true(f.mem_total >= f.mem_available && f.mem_available > 0);
}

#define ROOTED(f) cmocka_unit_test_setup_teardown(f, setup_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROOTED(facts_come_from_the_root),
		ROOTED(a_v1_cgroup_without_limit_is_unlimited),
		ROOTED(an_empty_root_leaves_all_unknown),
		cmocka_unit_test(the_real_machine_agrees_with_its_system_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
