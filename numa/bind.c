/*
 * bind.c - puts threads on CPUs and memory on nodes.
 *
 * Memory is *preferred* on a node, never bound to it: a strict binding turns a full node into a
 * SIGBUS (hugetlb) or an OOM kill, while remote memory only costs some bandwidth. mbind is called
 * directly instead of numa_tonode_memory because the latter prints on stderr when refused, as it
 * is under the default seccomp profile of containers.
 */
#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>
#include <unistd.h>

#include "core/base/units.h"
#include "numa/topology.h"

int canp_bind_cpu(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= (int)CANP_CPU_MAX || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int canp_bind_memory(void *p, size_t len, int node)
{
	unsigned long mask[CANP_NODE_MAX / (8 * sizeof(unsigned long))] = {0};
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = canp_align_down((uintptr_t)p, page);

	if (node < 0 || numa_available() < 0 || numa_max_node() == 0)
		return 0;
	if (node > numa_max_node() || node >= (int)CANP_NODE_MAX)
		return -EINVAL;
	mask[(size_t)node / (8 * sizeof(mask[0]))] |= 1UL << ((size_t)node % (8 * sizeof(mask[0])));
	/* The kernel reads maxnode - 1 bits. */
	if (mbind((void *)from, len + ((uintptr_t)p - from), MPOL_PREFERRED, mask,
		  CANP_NODE_MAX + 1, 0))
		return -errno;
	return 0;
}
