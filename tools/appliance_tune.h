/*
 * appliance_tune.h - parts of `canp-appliance tune`: what was measured, and the profile that
 * follows from it.
 *
 * Measuring (appliance_tune_read.c, appliance_tune_probe.c) and deciding (appliance_tune_decide.c)
 * are apart, so that the decision is a pure function of numbers, which a table of machines tests.
 * Nothing here changes the system: logs are read, the output folder gets an unnamed file that is
 * gone when it is closed, and what would need root is only told.
 */
#ifndef CANP_TOOLS_APPLIANCE_TUNE_H
#define CANP_TOOLS_APPLIANCE_TUNE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/runtime/ring.h"
#include "io/source/fsinfo.h"

struct canp_dirscan;

#define CANP_TUNE_READS_MAX  16u
#define CANP_TUNE_WRITES_MAX 4u
#define CANP_TUNE_ADVICE_MAX 8u

/* One way to read or write and the speed it gave, bytes a second of all cores together; 0: it was
 * not measured. */
struct canp_tune_read {
	uint32_t depth, slice;
	double bps;
};

struct canp_tune_write {
	uint32_t depth;
	double bps;
};

/* Everything a decision may depend on. 0 means not known, unless said otherwise. */
struct canp_tune_facts {
	unsigned cpus, allowed, nodes;        /* online, of these ours, memory nodes */
	unsigned cores;                       /* that a job takes by itself */
	double quota;                         /* CPUs the cgroup grants; 0: no limit */
	uint64_t page_bytes, mem_total, room; /* room: what can be taken now */
	uint64_t total_2m, free_2m, free_1g;  /* reserved pages */
	char thp[32];
	uint64_t memlock, nofile;
	bool uring, registered; /* the ring works; its buffers could be registered */
	uint64_t files, bytes;  /* of the inputs */
	int input_node;         /* memory node of their device; -1 not known */
	bool direct;            /* they were read past the page cache */
	struct canp_tune_read reads[CANP_TUNE_READS_MAX];
	unsigned nr_reads;
	struct canp_tune_write writes[CANP_TUNE_WRITES_MAX];
	unsigned nr_writes;
	/* One core, compressed bytes a second of CPU time. */
	double inflate_interleaved, inflate_isal;
};

enum canp_tune_key {
	CANP_TUNE_CORES,
	CANP_TUNE_DEPTH,
	CANP_TUNE_SLICE,
	CANP_TUNE_PREFETCH,
	CANP_TUNE_INFLATE,
	CANP_TUNE_HUGEPAGES,
	CANP_TUNE_MEM_PER_CORE,
	CANP_TUNE_WRITER_MEM,
	CANP_TUNE_WRITE_DEPTH,
	CANP_TUNE_NR
};

/* What is set now. */
struct canp_tune_current {
	unsigned cores; /* 0: one per CPU */
	uint32_t depth, slice, prefetch, write_depth;
	uint64_t mem_per_core, writer_mem;
	const char *inflate, *hugepages; /* words of the options */
	bool fixed[CANP_TUNE_NR];        /* given by name: never changed */
};

struct canp_tune_value {
	const char *key; /* option name */
	char was[24], now[24];
	bool change;
	char reason[240];
};

struct canp_tune_plan {
	struct canp_tune_value v[CANP_TUNE_NR];
	/* For people: what would help and needs more than an option. */
	char advice[CANP_TUNE_ADVICE_MAX][240];
	unsigned nr_advice;
};

/* The option behind a key; constant string. */
const char *canp_tune_key_name(enum canp_tune_key key);

/* Pure: the same facts and settings give the same plan. A proposed value always differs from the
 * present one and is in the range of its option. */
void canp_tune_decide(const struct canp_tune_facts *f, const struct canp_tune_current *cur,
		      struct canp_tune_plan *plan);

/* Fills f->reads with the ways that are worth a try, the present one first; bps 0. */
void canp_tune_read_ways(struct canp_tune_facts *f, const struct canp_tune_current *cur);

/* Reads the files of a scan as a job does, `cores` threads with a ring and a reader each, for about
 * budget_ns in all, and fills f->reads[].bps, uring, registered and direct. 0 or -errno: -ENODATA
 * when no file could be read. */
int canp_tune_measure_reads(const struct canp_dirscan *scan, enum canp_io_policy policy,
			    enum canp_ring_kind ring, unsigned cores, uint64_t budget_ns,
			    struct canp_tune_facts *f);

/* Writes to an unnamed file in the folder `path`, or in the nearest one above it that exists, and
 * fills f->writes. 0; -EOPNOTSUPP: unnamed files are not possible there; -errno. */
int canp_tune_measure_writes(const char *path, enum canp_ring_kind ring, uint32_t depth,
			     uint64_t budget_ns, struct canp_tune_facts *f);

/* Inflates a sample in memory with each engine and fills f->inflate_*. After canp_simd_init().
 * 0 or -errno. */
int canp_tune_measure_inflate(uint64_t budget_ns, struct canp_tune_facts *f);

#endif
