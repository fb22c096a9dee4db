/*
 * topology.h - which CPUs and nodes exist and which of them we may use. Read from sysfs under a
 * root that tests replace, so that a two-node machine can be tested on a one-node one.
 */
#ifndef CANP_NUMA_TOPOLOGY_H
#define CANP_NUMA_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANP_CPU_MAX  1024u
#define CANP_NODE_MAX 64u

struct canp_topology_cpu {
	int id, node, core, package;
	int smt;      /* 0 = first thread of its core */
	bool allowed; /* in this process's affinity mask */
};

struct canp_topology {
	unsigned nr_cpus, nr_nodes, nr_allowed, nr_cores; /* online */
	struct canp_topology_cpu cpus[CANP_CPU_MAX];      /* ascending id */
	double cpu_quota; /* CPUs the cgroup (v2 cpu.max or v1 cfs) grants; 0 = no limit */
	uint64_t node_bytes[CANP_NODE_MAX];
};

/* root: "" for the real machine; else a folder holding sys/ and proc/. 0 or -errno. */
int canp_topology_read(const char *root, struct canp_topology *t);
/* CPUs to pin reactors to, in order: allowed first threads of each core round the nodes, then SMT
 * siblings; returns how many were written (<= max). */
unsigned canp_topology_reactor_cpus(const struct canp_topology *t, int *cpus, unsigned max);
/* Sensible number of reactors: allowed CPUs, at least 1, not above ceil(quota). */
unsigned canp_topology_default_cores(const struct canp_topology *t);
/* "0-3,8" -> sorted ids, each once; returns the count. -EINVAL on bad text; -ERANGE when there are
 * more than max ids or one is >= CANP_CPU_MAX. */
int canp_cpulist_parse(const char *text, int *cpus, unsigned max);
/* Node of the block device that holds path (NVMe -> PCI numa_node); -1 unknown. */
int canp_topology_path_node(const char *root, const char *path);

/* Pins the calling thread; -errno when refused. */
int canp_bind_cpu(int cpu);
/* Memory policy of [p, p+len): prefer node (no-op for node < 0 or one node). 0 or -errno; a refusal
 * costs speed only, so callers may ignore it. Before the pages are touched. */
int canp_bind_memory(void *p, size_t len, int node);

#endif
