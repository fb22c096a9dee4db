/*
 * exec_job.h - the state of a canp-exec run: its jobs, their output, what is logged and when it
 * halts.
 */
#ifndef CANP_TOOLS_EXEC_JOB_H
#define CANP_TOOLS_EXEC_JOB_H

#include <stdio.h>

#include "core/base/list.h"
#include "core/command/command_pool.h"
#include "tools/exec_cfg.h"
#include "tools/exec_text.h"

#define EXEC_SPILL_BYTES 65536u /* of output a job keeps in memory; more goes to a file */
#define EXEC_WINDOW      10000u /* jobs whose output may wait for an earlier one */
#define EXEC_JOBS_MAX    4096u

struct exec_output {
	char *buf;
	size_t len, cap;
	int fd; /* of what does not fit, -1 */
	uint64_t total;
	bool mid_line;
};

struct exec_job {
	struct canp_list link;
	struct exec_run *run;
	uint64_t seq;
	struct exec_tuple args;
	struct exec_command cmd;
	struct canp_future *f;
	unsigned slot, attempts;
	bool over, late;       /* late: ended by --timeout=N% */
	double start_s, run_s; /* wall clock */
	int exit_code, signal;
	struct exec_output out[2];
	char *tag;
};

struct exec_halt {
	bool now, percent;
	enum { EXEC_HALT_NEVER, EXEC_HALT_FAIL, EXEC_HALT_SUCCESS, EXEC_HALT_DONE } what;
	unsigned n;
};

struct exec_run {
	const struct canp_exec_cfg *cfg;
	struct exec_template tmpl;
	struct exec_args args;
	struct canp_cmd_pool *pool;
	unsigned limit, limit_max, nr_running;
	uint64_t timeout_ms, delay_ms, next_start_ns;
	unsigned timeout_percent;
	struct exec_halt halt;
	bool stop, killed, broken; /* start no more; kill what runs; our own failure */
	int halt_exit;             /* -1: by the number of failures */
	uint64_t next_seq, total, ended, failed, succeeded, skipped;
	struct canp_list running, again, order; /* order: started, output not printed (-k) */
	unsigned nr_order;
	uint64_t slots[EXEC_JOBS_MAX / 64];
	double *times; /* run times of those that succeeded, sorted */
	size_t nr_times, cap_times;
	FILE *joblog;
	uint64_t *done; /* bitset of what the job log says */
	uint64_t nr_done;
	uint64_t bar_ns, begin_ns;
	bool bar_shown;
};

/* ---- exec_job.c ---- */
/* Starts what may be started now. 1: all input is used up; 0; -EAGAIN: input must be read. */
int exec_fill(struct exec_run *r);
void exec_kill(struct exec_run *r);
/* Looks for jobs that are over a time limit that moves (--timeout=N%). */
void exec_late(struct exec_run *r);
bool exec_idle(const struct exec_run *r);

/* ---- exec_out.c ---- */
void exec_output_add(struct exec_run *r, struct exec_output *o, const void *data, size_t len);
/* Writes what is kept to fd, each line after `tag` when there is one, and forgets it. */
void exec_output_flush(struct exec_run *r, struct exec_output *o, int fd, const char *tag,
		       bool lines_only);
void exec_output_fini(struct exec_output *o);
void exec_output_reset(struct exec_output *o);
/* DIR/1/ARGUMENT/...: stores the output of a job. */
int exec_results(struct exec_run *r, struct exec_job *j);
void exec_bar(struct exec_run *r, bool last);

/* ---- exec_log.c ---- */
/* Seconds (or with a suffix) as milliseconds, or "N%" in *percent. -EINVAL. */
int exec_time_parse(const char *text, uint64_t *ms, unsigned *percent);
int exec_halt_parse(const char *text, struct exec_halt *h);
int exec_jobs_parse(const char *text, unsigned cpus, unsigned *n);
/* Opens the job log; with resume reads it first. 0 or -errno. */
int exec_log_open(struct exec_run *r);
void exec_log_write(struct exec_run *r, const struct exec_job *j);
bool exec_log_has(const struct exec_run *r, uint64_t seq);
/* After an end: may stop the run. */
void exec_halt_check(struct exec_run *r, const struct exec_job *j);
void exec_time_note(struct exec_run *r, double s);
/* Median of the run times, 0: not enough known. */
double exec_median(const struct exec_run *r);

#endif
