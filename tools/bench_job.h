/*
 * bench_job.h - the parts of `canp-bench job`: its data, one run of a contender, the report.
 *
 * Every run is a process of its own, forked from one that has no threads: peak memory and CPU time
 * are then those of the run, start and exit included, and one run leaves nothing for the next.
 * Files in memory are shared with it copy-on-write. Control plane; one thread.
 */
#ifndef CANP_TOOLS_BENCH_JOB_H
#define CANP_TOOLS_BENCH_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "io/ingest.h"
#include "io/stage.h"
#include "tools/bench_cfg.h"
#include "tools/bench_measure.h"
#include "tools/gen_cfg.h"

struct canp_tool;

/* ---- the data (bench_data.c) ----------------------------------------------------------------- */

struct canp_bench_data {
	char folder[1024]; /* of made logs, "" when they were given */
	char dbc[1100];    /* of made logs */
	bool made, reused;
	char **paths; /* [nr], in listing order */
	uint32_t nr;
	uint64_t bytes;
	uint32_t checksum; /* CRC-32 of all files, one after the other, and of the database */
	struct canp_stage_file *files; /* [nr] in memory, see canp_bench_data_load(); or NULL */
	void *map;
	uint64_t map_bytes;
};

/* Makes the logs these options describe below dir, or finds them there as they were made. 0 or an
 * exit code with the message printed. */
int canp_bench_data_make(struct canp_bench_data *d, const struct canp_gen_log_cfg *log,
			 unsigned files, const char *dir);
/* The files the job would read, by its listing. 0 or an exit code with the message printed. */
int canp_bench_data_list(struct canp_bench_data *d, const struct canp_job_opts *opts);
/* Reads all files into memory. 0 or -errno. */
int canp_bench_data_load(struct canp_bench_data *d);
/* Asks the kernel to forget the pages of the files. */
void canp_bench_data_drop_cache(const struct canp_bench_data *d);
void canp_bench_data_fini(struct canp_bench_data *d);

/* ---- one run --------------------------------------------------------------------------------- */

/* Calls so far in this process by threads other than the first, the reactors (bench_count.c). */
struct canp_bench_calls {
	uint64_t alloc, map, unmap;
};
void canp_bench_calls_get(struct canp_bench_calls *c);
/* False in builds whose sanitizer owns these functions. */
bool canp_bench_calls_counted(void);

/* What a contender did in one run. */
struct canp_bench_run {
	char error[200]; /* "" */
	double cpu_s;    /* of the process, or of the decoder's calls; stopped time taken off */
	double wall_s, boot_s;
	uint64_t files, frames, decoded, values, damage;
	uint64_t bytes_in, inflated, bytes_out, peak_mem;
	unsigned cores;
	char ring[16], pages[32];
	struct canp_bench_calls calls;
};

struct canp_bench_setup {
	struct canp_job_opts job; /* inputs, out, cores and stages are set for each run */
	struct canp_bench_data data;
	char out[1100]; /* folder of the dataset */
	int cpu;        /* for what runs on one core; -1: not pinned */
	struct canp_bench_cfg cfg;
	struct canp_bench_job_cfg job_cfg;
	const struct canp_opts *opts; /* all of them, for the report */
	enum canp_stage first, last;
	bool serial;     /* of the run at hand: one stage after the other */
	bool keep_cache; /* files stay in the page cache between runs */
	/* In the process of the run, either may be NULL: about four times a second, and when the
	 * job is over but its counters are still there. */
	void (*tick)(void *arg, const struct canp_job *job);
	void (*done)(void *arg, const struct canp_job *job);
	void *watch_arg;
};

/* Runs fn(arg, run) in a process of its own, pinned to cpu unless that is -1; its error text is in
 * run->error. 0, or -EIO when the process died. *rusage_s: CPU time of that process. */
int canp_bench_fork(void (*fn)(void *arg, struct canp_bench_run *run), void *arg, int cpu,
		    struct canp_bench_run *run, double *rusage_s);
/* The first nr files on `cores` shards, on the clock from first to last. 0, or -EIO with the text
 * in run->error. */
int canp_bench_run_job(struct canp_bench_setup *s, enum canp_stage first, enum canp_stage last,
		       unsigned cores, uint32_t nr, struct canp_bench_run *run);
/* isal_inflate on the compressed members of all files, which are in memory (bench_isal.c). */
int canp_bench_run_isal(struct canp_bench_setup *s, struct canp_bench_run *run);
/* Why ISA-L alone cannot be measured on the data; NULL: it can. */
const char *canp_bench_isal_refuse(const struct canp_bench_setup *s);
/* fio reads the files in order, io_uring, direct, the job's slice and depth (bench_fio.c). */
int canp_bench_run_fio(struct canp_bench_setup *s, struct canp_bench_run *run);

/* ---- the result ------------------------------------------------------------------------------ */

enum canp_bench_kind { CANP_BENCH_JOB, CANP_BENCH_ISAL, CANP_BENCH_FIO };

/* Somebody who runs once in every round. */
struct canp_bench_contender {
	enum canp_bench_kind kind;
	enum canp_stage first, last;
	unsigned cores;
	bool serial;
	double *cpu, *wall; /* [rounds], owned by the caller of canp_bench_job_report() */
	struct canp_bench_stat cpu_stat, wall_stat;
	struct canp_bench_run run; /* the last one */
};

struct canp_bench_result {
	const struct canp_bench_setup *s;
	const struct canp_bench_contender *c; /* [nr]; c[0] is the range asked for on one core */
	unsigned nr, rounds;
	uint64_t frames; /* in the data */
	struct canp_bench_env env;
	bool have_calls; /* a file in steady state: */
	double alloc, map, unmap;
};

/* Prints it as JSON or text; returns an exit code. */
int canp_bench_job_report(const struct canp_bench_result *r, bool json);

#endif
