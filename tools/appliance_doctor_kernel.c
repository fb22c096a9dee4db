/*
 * appliance_doctor_kernel.c - what the runtime uses of the kernel where it is there, asked by
 * harmless calls, with what happens where it is not. Nothing in this table is needed: the baseline
 * is POSIX with futex, memfd and epoll.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/appliance_doctor.h"

/* Newer than some of the headers this is built with. */
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static bool close_it(long fd)
{
	if (fd < 0)
		return false;
	close((int)fd);
	return true;
}

static bool has_clone3(void)
{
	/* A size of 0 is refused with EINVAL by who knows the call. */
	return syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL;
}

static bool has_close_range(void)
{
	/* Neither does any flag of this value exist. */
	return syscall(SYS_close_range, ~0u, ~0u, ~0u) < 0 && errno == EINVAL;
}

static bool has_membarrier(void)
{
	long have = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return have > 0 && (have & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static bool has_perf(void)
{
	struct perf_event_attr at = {.type = PERF_TYPE_HARDWARE,
				     .size = sizeof(at),
				     .config = PERF_COUNT_HW_CPU_CYCLES,
				     .disabled = 1,
				     .exclude_kernel = 1,
				     .exclude_hv = 1};

	return close_it(syscall(SYS_perf_event_open, &at, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

static bool has_cgroup2(void)
{
	return access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0;
}

static bool has_numa(void)
{
	return access("/sys/devices/system/node/node1", F_OK) == 0;
}

static bool has_statx(void)
{
	struct statx st;

	return statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &st) == 0;
}

unsigned canp_kernel_features(struct canp_kernel_feature *v, unsigned max)
{
	const struct canp_kernel_feature all[] = {
		{"pidfd_open", "the end of a pool's processes is seen at their sockets",
		 close_it(syscall(SYS_pidfd_open, getpid(), 0))},
		{"clone3", "commands are started by clone with CLONE_VFORK, which waits for execve",
		 has_clone3()},
		{"close_range",
		 "what we opened is close-on-exec; what a library opened without it is inherited",
		 has_close_range()},
		{"membarrier",
		 "memory ports pay a fence of their own, event threads look by a timer",
		 has_membarrier()},
		{"statx", "direct I/O is aligned to 4 KiB on the file systems known to do it",
		 has_statx()},
		{"perf_event", "workers report no cycles and cache misses, but the reason",
		 has_perf()},
		{"cgroup2",
		 "limits of workers use version 1 where it is mounted, else they are refused with "
		 "a text",
		 has_cgroup2()},
		{"numa", "one node: all memory is near", has_numa()},
	};
	unsigned n = sizeof(all) / sizeof(all[0]);

	for (unsigned i = 0; i < n && i < max; i++)
		v[i] = all[i];
	return n;
}
