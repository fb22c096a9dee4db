/*
 * monitor_priv.h - what monitor.c (sessions, the sampler's life) and monitor_proc.c (reading
 * /proc) share.
 */
#ifndef CANP_OBSERVE_MONITOR_PRIV_H
#define CANP_OBSERVE_MONITOR_PRIV_H

#include "core/observe/monitor.h"

/* Kept descriptors of one process. */
struct canp_mon_fds {
	int stat, io; /* io is -1 where the kernel does not let us read it */
};

/* Opens /proc/<pid>/stat and io; pid 0 is ourselves. -errno. */
int canp_mon_fds_open(struct canp_mon_fds *f, pid_t pid);
void canp_mon_fds_close(struct canp_mon_fds *f);
/* One sample of a process; self: its CPU time comes from the clock, which is finer than ticks.
 * Adds the number of reads to *preads. -ESRCH: it is gone. */
int canp_mon_read_proc(const struct canp_mon_fds *f, bool self, struct canp_mon_proc *out,
		       uint64_t *preads);

struct canp_mon_sysfds {
	int stat, meminfo;
};
int canp_mon_sys_open(struct canp_mon_sysfds *f);
void canp_mon_sys_close(struct canp_mon_sysfds *f);
int canp_mon_read_system(const struct canp_mon_sysfds *f, struct canp_mon_system *out,
			 uint64_t *preads);

#endif
