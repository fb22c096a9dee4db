/*
 * monitor.h - one sampler for the whole process tree, and cheap sessions that ask it.
 *
 * Reading /proc costs microseconds and grows with everyone who does it. So one background thread
 * reads it, at most once a period, through descriptors it keeps open, and publishes what it found;
 * a session is two copies of that, taken at begin and end, and the clock: no system call, no
 * allocation, no lock. The thread exists while there are sessions (or watched processes) and for a
 * moment after the last.
 *
 * The period adapts: an idle tree is looked at every period_max_ms, a busy one every
 * period_min_ms, and never so often that sampling costs more than cost_cap_ppm of a core. Figures
 * of a session are therefore as fine as the period; its wall time, and with CANP_MON_THREAD_CPU
 * its own CPU time, are exact.
 *
 * The published page is shared with children forked after the first use. A worker process that its
 * parent watches asks the same page; when it dies its last figures stay in the sums of the tree,
 * so these never go backwards (but for rss).
 */
#ifndef CANP_OBSERVE_MONITOR_H
#define CANP_OBSERVE_MONITOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

#define CANP_MON_PROCS_MAX 128u /* watched at the same time, ourselves included */

/* All values so far; rss as it is. Read from /proc, so cpu of other processes comes in ticks. */
struct canp_mon_proc {
	uint64_t at_ns; /* monotonic; 0: never sampled */
	uint64_t cpu_ns;
	uint64_t rss_bytes; /* without hugetlb pages, as the kernel counts */
	uint64_t threads;
	uint64_t read_bytes, written_bytes; /* at the block device */
	uint64_t rchar_bytes, wchar_bytes;  /* by system calls */
};

struct canp_mon_system {
	uint64_t at_ns;
	uint64_t mem_total_bytes, mem_available_bytes;
	uint64_t cpu_busy_ns, cpu_idle_ns; /* sums over all cpus since boot */
	uint64_t switches, forks;          /* since boot */
};

struct canp_mon_opts {
	uint32_t period_min_ms;  /* 100 */
	uint32_t period_max_ms;  /* 5000 */
	uint32_t cost_cap_ppm;   /* of one core: 5000 = 0.5 % */
	uint32_t linger_ms;      /* after the last session; 0: ends at once; 1000 */
	uint32_t fault_stall_ms; /* tests: each sample takes this much longer */
};

struct canp_mon_stats {
	uint64_t users;     /* sessions and watched processes */
	uint64_t samples;   /* since the first use */
	uint64_t preads;    /* of /proc */
	uint64_t starts;    /* of the sampler */
	uint64_t cost_ns;   /* CPU time of all samples */
	uint64_t period_ms; /* now */
	uint64_t fds;       /* kept open now */
	bool running;
};

/* Sets every field to its default. */
void canp_mon_opts_init(struct canp_mon_opts *o);
/* Before the first session, or when nothing runs: -EBUSY otherwise. -EINVAL: values. Optional. */
int canp_monitor_config(const struct canp_mon_opts *o);

enum canp_mon_scope {
	CANP_MON_SELF, /* this process */
	CANP_MON_TREE  /* it, its watched processes, and those that are gone */
};
#define CANP_MON_THREAD_CPU 1u /* reads the thread's clock at both ends: 0.4 us each */

struct canp_mon_session {
	uint64_t start_ns, thread_ns;
	enum canp_mon_scope scope;
	uint32_t flags;
	bool counted; /* keeps the sampler alive */
	struct canp_mon_proc base;
};

struct canp_mon_delta {
	uint64_t wall_ns;
	uint64_t cpu_ns;        /* of the scope */
	uint64_t thread_cpu_ns; /* with CANP_MON_THREAD_CPU; begin and end on one thread */
	uint64_t rss_bytes;     /* at the last sample */
	int64_t rss_delta_bytes;
	uint64_t read_bytes, written_bytes, rchar_bytes, wchar_bytes;
	uint64_t sampled_ns; /* between the samples that were compared; 0: the same one */
};

/* Any thread. The first one starts the sampler and takes a sample itself (some 100 us): do that
 * before reactors run. now_ns: the turn's time, or 0 to read the clock. -ENOENT: in a child that
 * is not watched; otherwise what starting a thread or opening /proc said. *s is the caller's. */
int canp_mon_session_begin(struct canp_mon_session *s, enum canp_mon_scope scope, uint32_t flags,
			   uint64_t now_ns);
/* Any thread (see THREAD_CPU). After a successful begin, once. out may be NULL. */
void canp_mon_session_end(struct canp_mon_session *s, uint64_t now_ns, struct canp_mon_delta *out);

/* Any thread: the last sample; no system call. at_ns is 0 when there was none. */
void canp_monitor_proc(enum canp_mon_scope scope, struct canp_mon_proc *out);
void canp_monitor_system(struct canp_mon_system *out);
/* Control plane: takes a sample now, for example before the figures of a whole job are read.
 * -ESRCH: no sampler runs. */
int canp_monitor_refresh(void);

/* Control plane, not in a child: a process of the tree; what it did before counts, too. It keeps
 * the sampler running until it is unwatched or found dead. -ENOSPC, -EEXIST, -ESRCH. */
int canp_monitor_watch(pid_t pid);
int canp_monitor_unwatch(pid_t pid);                 /* -ENOENT */
void canp_monitor_stats(struct canp_mon_stats *out); /* any thread */

CANP_END_DECLS

#endif
