/*
 * host.h - facts about the machine that decide whether a job runs well: limits, huge pages,
 * io_uring policy, memory and CPU. Read once, printed by the doctor and at the start of a job; the
 * judgement (what is too low, how to raise it) is the caller's.
 */
#ifndef CANP_NUMA_HOST_H
#define CANP_NUMA_HOST_H

#include <stdint.h>

#include "numa/hugepage.h"

#define CANP_HOST_UNLIMITED UINT64_MAX

struct canp_host_facts {
	char kernel[96];                     /* release, "" unknown */
	char cpu_model[96];                  /* "" unknown */
	uint64_t memlock_soft, memlock_hard; /* bytes; CANP_HOST_UNLIMITED */
	uint64_t nofile_soft, nofile_hard;
	uint64_t mem_total, mem_available; /* bytes of the host; 0 unknown */
	uint64_t cgroup_mem_limit; /* tightest limit above us in bytes; CANP_HOST_UNLIMITED */
	uint64_t room;             /* what can be taken now, host and cgroup together */
	int io_uring_disabled; /* sysctl: 0 allowed, 1 privileged only, 2 off; -1 no such sysctl */
	struct canp_hugepage_host hugepages;
};

/* Fills *f; what cannot be read keeps the "unknown" value named above. root: "" for the real
 * machine, else a folder holding sys/ and proc/ (limits are then read from its /proc/self/limits,
 * huge pages from its /sys). Control plane. */
void canp_host_facts(const char *root, struct canp_host_facts *f);

#endif
