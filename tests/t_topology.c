/*
 * t_topology.c - topology, quotas and device nodes read from fake roots built in a temporary
 * folder, so that a two-node machine with hyper-threads is tested on any machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "numa/sysfile.h"
#include "numa/topology.h"
#include "tests/lib/tmpdir.h"

static char root[64];

static void mkdirs(const char *path)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		assert_true(!mkdir(full, 0755) || errno == EEXIST);
		*p = '/';
	}
}

static void put(const char *path, const char *text)
{
	char full[1024];
	FILE *f;

	mkdirs(path);
	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void put_link(const char *path, const char *target)
{
	char full[1024];

	mkdirs(path);
	snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(symlink(target, full), 0);
}

static int setup_root(void **state)
{
	(void)state;
	return tmpdir_make(root, sizeof(root), "/tmp/t_topology");
}

static int remove_root(void **state)
{
	(void)state;
	return tmpdir_remove(root);
}

/* Two nodes of two cores of two threads: cpu 0..3 are first threads, 4..7 their siblings. */
static void two_nodes(void)
{
	char path[128], text[64];

	put("/sys/devices/system/cpu/online", "0-7\n");
	put("/sys/devices/system/node/online", "0-1\n");
	put("/sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
	put("/sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
	put("/sys/devices/system/node/node0/meminfo",
	    "\nNode 0 MemTotal:       1024 kB\nNode 0 MemFree:  1 kB\n");
	put("/sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:       2048 kB\n");
	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
		snprintf(text, sizeof(text), "%d,%d\n", i % 4, i % 4 + 4);
		put(path, text);
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/core_id", i);
		snprintf(text, sizeof(text), "%d\n", i % 2);
		put(path, text);
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", i);
		snprintf(text, sizeof(text), "%d\n", i % 4 / 2);
		put(path, text);
	}
}

static struct canp_topology t;

static void cpulist_is_sorted_and_unique(void **state)
{
	int cpus[16];
	static const int want[] = {0, 1, 2, 3, 8};

	(void)state;
	assert_int_equal(canp_cpulist_parse("8,2-3,0-2\n", cpus, 16), 5);
	assert_memory_equal(cpus, want, sizeof(want));
	assert_int_equal(canp_cpulist_parse("", cpus, 16), 0);
	assert_int_equal(canp_cpulist_parse("\n", cpus, 16), 0);
	assert_int_equal(canp_cpulist_parse("1023", cpus, 16), 1);
	assert_int_equal(cpus[0], 1023);
}

static void cpulist_refuses_bad_text(void **state)
{
	static const char *const bad[] = {"a",   "1,",  "-1",  "3-1",  "1-",   ",1",
					  "1 2", "1;2", "0x1", "1--2", "1,,2", "1\n2"};
	int cpus[4];

	(void)state;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(bad); i++)
		assert_int_equal(canp_cpulist_parse(bad[i], cpus, 4), -EINVAL);
	assert_int_equal(canp_cpulist_parse("1024", cpus, 4), -ERANGE);
	assert_int_equal(canp_cpulist_parse("0-4294967299", cpus, 4), -ERANGE);
	assert_int_equal(canp_cpulist_parse("0-4", cpus, 4), -ERANGE);
	assert_int_equal(canp_cpulist_parse("0-3", cpus, 4), 4);
}

static void two_nodes_with_threads_are_seen(void **state)
{
	(void)state;
	two_nodes();
	assert_int_equal(canp_topology_read(root, &t), 0);
	assert_int_equal(t.nr_cpus, 8);
	assert_int_equal(t.nr_nodes, 2);
	assert_int_equal(t.nr_cores, 4);
	assert_int_equal(t.nr_allowed, 8); /* no status file: nothing forbids a CPU */
	assert_int_equal(t.node_bytes[0], 1024 * 1024);
	assert_int_equal(t.node_bytes[1], 2048 * 1024);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(t.cpus[i].id, i);
		assert_int_equal(t.cpus[i].node, i % 4 / 2);
		assert_int_equal(t.cpus[i].package, i % 4 / 2);
		assert_int_equal(t.cpus[i].core, i % 2);
		assert_int_equal(t.cpus[i].smt, i / 4);
	}
}

static void reactors_go_round_the_nodes_then_to_siblings(void **state)
{
	static const int want[] = {0, 2, 1, 3, 4, 6, 5, 7};
	int cpus[16];

	(void)state;
	two_nodes();
	assert_int_equal(canp_topology_read(root, &t), 0);
	assert_int_equal(canp_topology_reactor_cpus(&t, cpus, 16), 8);
	assert_memory_equal(cpus, want, sizeof(want));
	assert_int_equal(canp_topology_reactor_cpus(&t, cpus, 3), 3);
	assert_memory_equal(cpus, want, 3 * sizeof(int));
	assert_int_equal(canp_topology_reactor_cpus(&t, cpus, 0), 0);
}

static void affinity_limits_reactors(void **state)
{
	/* Node 0 has only the sibling of core 0 left, which must count as its core's first. */
	static const int want[] = {4, 2, 3, 6};
	int cpus[16];

	(void)state;
	two_nodes();
	put("/proc/self/status", "Name:\tx\nCpus_allowed:\t5c\nCpus_allowed_list:\t2-4,6\n");
	assert_int_equal(canp_topology_read(root, &t), 0);
	assert_int_equal(t.nr_allowed, 4);
	assert_false(t.cpus[0].allowed);
	assert_int_equal(canp_topology_reactor_cpus(&t, cpus, 16), 4);
	assert_memory_equal(cpus, want, sizeof(want));
	assert_int_equal(canp_topology_default_cores(&t), 4);
	put("/proc/self/status", "Cpus_allowed_list:\t100-200\n");
	assert_int_equal(canp_topology_read(root, &t), -ENODEV);
}

static void offline_and_sparse_ids_are_handled(void **state)
{
	int cpus[4];

	(void)state;
	put("/sys/devices/system/cpu/online", "0,2,2000\n");
	put("/sys/devices/system/node/online", "0,8\n");
	put("/sys/devices/system/node/node0/cpulist", "\n");
	put("/sys/devices/system/node/node8/cpulist", "0-7\n");
	assert_int_equal(canp_topology_read(root, &t), 0);
	assert_int_equal(t.nr_cpus, 2); /* 2000 is beyond what we handle */
	assert_int_equal(t.nr_nodes, 2);
	assert_int_equal(t.cpus[1].id, 2);
	assert_int_equal(t.cpus[1].node, 8);
	assert_int_equal(t.nr_cores, 2);
	assert_int_equal(canp_topology_reactor_cpus(&t, cpus, 4), 2);
	assert_int_equal(cpus[1], 2);
}

static void missing_files_have_fallbacks(void **state)
{
	(void)state;
	assert_int_equal(canp_topology_read(root, &t), -ENOENT);
	put("/sys/devices/system/cpu/online", "0-1\n");
	assert_int_equal(canp_topology_read(root, &t), 0);
	assert_int_equal(t.nr_nodes, 1);
	assert_int_equal(t.nr_cores, 2);
	assert_true(t.cpu_quota == 0);
	put("/sys/devices/system/cpu/online", "nonsense\n");
	assert_int_equal(canp_topology_read(root, &t), -EINVAL);
}

static double quota(void)
{
	assert_int_equal(canp_topology_read(root, &t), 0);
	return t.cpu_quota;
}

static void quota_v2_takes_the_tightest_ancestor(void **state)
{
	(void)state;
	two_nodes();
	put("/proc/self/cgroup", "0::/a/b\n");
	assert_true(quota() == 0);
	put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	assert_true(quota() == 0);
	put("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
	assert_true(quota() == 2.5);
	assert_int_equal(canp_topology_default_cores(&t), 3);
	put("/sys/fs/cgroup/cpu.max", "50000 100000\n"); /* a container sees its limit as root */
	assert_true(quota() == 0.5);
	assert_int_equal(canp_topology_default_cores(&t), 1);
	put("/sys/fs/cgroup/cpu.max", "garbage\n");
	assert_true(quota() == 2.5);
	put("/sys/fs/cgroup/a/cpu.max", "10000000 100000\n");
	assert_int_equal(canp_topology_read(root, &t), 0);
	assert_int_equal(canp_topology_default_cores(&t), 8); /* never above the allowed CPUs */
}

static void quota_v1_is_read_under_either_mount_name(void **state)
{
	(void)state;
	two_nodes();
	put("/proc/self/cgroup", "4:memory:/m\n3:cpuset:/s\n2:cpu,cpuacct:/x/y\n0::/\n");
	put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "150000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "50000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_quota_us", "-1\n");
	assert_true(quota() == 3.0);
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
	assert_true(quota() == 2.0); /* period defaults to 100 ms */
	put("/sys/fs/cgroup/unified/cpu.max", "100000 100000\n");
	assert_true(quota() == 1.0);
}

static void quota_outside_of_the_namespace_uses_its_root(void **state)
{
	(void)state;
	two_nodes();
	put("/proc/self/cgroup", "0::/../../other\n");
	put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
	assert_true(quota() == 4.0);
}

static void device_link(char *out, size_t cap)
{
	struct statx st;

	assert_int_equal(statx(AT_FDCWD, root, 0, STATX_TYPE, &st), 0);
	snprintf(out, cap, "/sys/dev/block/%u:%u", st.stx_dev_major, st.stx_dev_minor);
}

static void node_of_a_partition_on_nvme(void **state)
{
	char link[128];

	(void)state;
	device_link(link, sizeof(link));
	assert_int_equal(canp_topology_path_node(root, root), -1);
	put("/sys/devices/pci0/0000:01/nvme/nvme0/nvme0n1/nvme0n1p2/size", "1\n");
	put_link("/sys/devices/pci0/0000:01/nvme/nvme0/nvme0n1/device", "..");
	put_link(link, "../../devices/pci0/0000:01/nvme/nvme0/nvme0n1/nvme0n1p2");
	assert_int_equal(canp_topology_path_node(root, root), -1);
	put("/sys/devices/pci0/0000:01/numa_node", "-1\n");
	assert_int_equal(canp_topology_path_node(root, root), -1);
	put("/sys/devices/pci0/0000:01/numa_node", "1\n");
	assert_int_equal(canp_topology_path_node(root, root), 1);
	put("/sys/devices/pci0/0000:01/nvme/nvme0/numa_node", "3\n");
	assert_int_equal(canp_topology_path_node(root, root), 3);
	assert_int_equal(canp_topology_path_node(root, "/no/such/path"), -1);
}

static void node_of_a_stacked_device_is_what_its_members_agree_on(void **state)
{
	char link[128];

	(void)state;
	device_link(link, sizeof(link));
	put("/sys/devices/pci0/d0/numa_node", "1\n");
	put("/sys/devices/pci0/d0/block/sda/size", "1\n");
	put("/sys/devices/pci0/d1/numa_node", "1\n");
	put("/sys/devices/pci0/d1/block/sdb/size", "1\n");
	put("/sys/devices/virtual/block/dm-0/size", "1\n");
	put_link("/sys/devices/virtual/block/dm-0/slaves/sda", "../../../../pci0/d0/block/sda");
	put_link("/sys/devices/virtual/block/dm-0/slaves/sdb", "../../../../pci0/d1/block/sdb");
	put_link(link, "../../devices/virtual/block/dm-0");
	assert_int_equal(canp_topology_path_node(root, root), 1);
	put("/sys/devices/pci0/d1/numa_node", "0\n");
	assert_int_equal(canp_topology_path_node(root, root), -1);
}

static void node_of_a_multipath_nvme_is_its_controllers(void **state)
{
	char link[128];

	(void)state;
	device_link(link, sizeof(link));
	put("/sys/devices/pci0/0000:02/numa_node", "1\n");
	put("/sys/devices/pci0/0000:02/nvme/nvme3/model", "x\n");
	put("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/size", "1\n");
	put_link("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme3",
		 "../../../pci0/0000:02/nvme/nvme3");
	put_link(link, "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1");
	assert_int_equal(canp_topology_path_node(root, root), 1);
}

static void the_real_machine_is_read(void **state)
{
	int cpus[CANP_CPU_MAX];
	unsigned n;

	(void)state;
	assert_int_equal(canp_topology_read("", &t), 0);
	assert_in_range(t.nr_allowed, 1, t.nr_cpus);
	assert_in_range(t.nr_cores, 1, t.nr_cpus);
	assert_true(t.nr_nodes >= 1);
	n = canp_topology_reactor_cpus(&t, cpus, CANP_CPU_MAX);
	assert_int_equal(n, t.nr_allowed);
	assert_in_range(canp_topology_default_cores(&t), 1, n);
	assert_true(canp_topology_path_node("", "/") >= -1);
}

static void *pin_self(void *arg)
{
	cpu_set_t set;
	int cpu = *(int *)arg;

	assert_int_equal(canp_bind_cpu(cpu), 0);
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	assert_int_equal(CPU_COUNT(&set), 1);
	assert_true(CPU_ISSET(cpu, &set));
	return NULL;
}

static void a_thread_is_pinned_alone(void **state)
{
	cpu_set_t before, after;
	pthread_t th;
	int cpus[CANP_CPU_MAX];

	(void)state;
	assert_int_equal(canp_topology_read("", &t), 0);
	assert_true(canp_topology_reactor_cpus(&t, cpus, CANP_CPU_MAX) > 0);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(pthread_create(&th, NULL, pin_self, &cpus[0]), 0);
	assert_int_equal(pthread_join(th, NULL), 0);
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
	assert_int_equal(canp_bind_cpu(-1), -EINVAL);
	assert_int_equal(canp_bind_cpu((int)CANP_CPU_MAX), -EINVAL);
	assert_true(canp_bind_cpu((int)CANP_CPU_MAX - 1) < 0 || t.nr_cpus == CANP_CPU_MAX);
}

static void memory_binding_never_hurts(void **state)
{
	void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(canp_bind_memory(p, 65536, -1), 0);
	/* Refused only where a seccomp profile forbids the call. */
	assert_true(canp_bind_memory(p, 65536, 0) == 0 || canp_bind_memory(p, 65536, 0) == -EPERM);
	memset(p, 1, 65536);
	munmap(p, 65536);
}

static void sysfile_readers_are_bounded(void **state)
{
	char buf[8];
	int64_t v = 7;

	(void)state;
	put("/long", "0123456789\n");
	put("/num", " 42\n");
	put("/big", "99999999999999999999999\n");
	put("/word", "max\n");
	put("/keys", "AB: 1 kB\nA: 2 kB  \n");
	assert_int_equal(canp_sysfile_read(root, "/long", buf, sizeof(buf)), 7);
	assert_string_equal(buf, "0123456");
	assert_int_equal(canp_sysfile_read(root, "/none", buf, sizeof(buf)), -ENOENT);
	assert_string_equal(buf, "");
	assert_int_equal(canp_sysfile_read(root, "/", buf, sizeof(buf)), -EISDIR);
	assert_int_equal(canp_sysfile_i64(root, "/big", &v), -EINVAL);
	assert_int_equal(canp_sysfile_i64(root, "/word", &v), -EINVAL);
	assert_int_equal(v, 7);
	assert_int_equal(canp_sysfile_i64(root, "/num", &v), 0);
	assert_int_equal(v, 42);
	assert_int_equal(canp_sysfile_key(root, "/keys", "A:", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "2 kB");
	assert_int_equal(canp_sysfile_key(root, "/keys", "C:", buf, sizeof(buf)), -ENOENT);
}

#define ROOTED(f) cmocka_unit_test_setup_teardown(f, setup_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpulist_is_sorted_and_unique),
		cmocka_unit_test(cpulist_refuses_bad_text),
		ROOTED(two_nodes_with_threads_are_seen),
		ROOTED(reactors_go_round_the_nodes_then_to_siblings),
		ROOTED(affinity_limits_reactors),
		ROOTED(offline_and_sparse_ids_are_handled),
		ROOTED(missing_files_have_fallbacks),
		ROOTED(quota_v2_takes_the_tightest_ancestor),
		ROOTED(quota_v1_is_read_under_either_mount_name),
		ROOTED(quota_outside_of_the_namespace_uses_its_root),
		ROOTED(node_of_a_partition_on_nvme),
		ROOTED(node_of_a_stacked_device_is_what_its_members_agree_on),
		ROOTED(node_of_a_multipath_nvme_is_its_controllers),
		cmocka_unit_test(the_real_machine_is_read),
		cmocka_unit_test(a_thread_is_pinned_alone),
		cmocka_unit_test(memory_binding_never_hurts),
		ROOTED(sysfile_readers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
