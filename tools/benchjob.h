/*
 * benchjob.h - the parts of `canp-bench run`: what a section of a job file says, what a run of it
 * did, and who does what.
 *
 *   benchjob_parse.c   text -> sections          benchjob_io.c      blocks as fio moves them (rw=)
 *   benchjob_keys.c    section -> struct         benchjob_stage.c   a range of stages (stages=)
 *   benchjob_sched.c   who runs when             benchjob_text.c, benchjob_json.c   the report
 *
 * Each run of a job is a process of its own, forked by the scheduler; what it did comes back in
 * memory that both share. Control plane; one thread each.
 */
#ifndef CANP_TOOLS_BENCHJOB_H
#define CANP_TOOLS_BENCHJOB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hist.h"
#include "tools/appliance_cmd.h"
#include "tools/bench_job.h"
#include "tools/benchjob_mem.h"
#include "tools/benchjob_parse.h"

#define CANP_BENCHJOB_PERCENTILES_MAX 20u
#define CANP_BENCHJOB_TEXT_MAX        (256u << 10)
#define CANP_BENCHJOB_OPS_MAX         12u

/* ---- what a job did -------------------------------------------------------------------------- */

/* Latencies in nanoseconds. */
struct canp_benchjob_lat {
	struct canp_hist h;
	double squares; /* sum of them, for the deviation */
};

/* Bandwidth over time, in bytes a second, one sample for half a second. */
struct canp_benchjob_series {
	uint64_t nr;
	double min, max, sum, squares;
};

struct canp_benchjob_dir {
	uint64_t bytes, ios, short_ios;
	struct canp_benchjob_lat lat;
	struct canp_benchjob_series bw;
};

enum { CANP_BENCHJOB_READ, CANP_BENCHJOB_WRITE, CANP_BENCHJOB_DIRS };

struct canp_benchjob_op {
	char name[24];
	uint64_t busy_ns, rows_in, rows_out;
};

/* Of one run, or of several added up. Lies in shared memory while the run lasts. */
struct canp_benchjob_result {
	char error[256];
	uint64_t start_ms;   /* wall clock, since 1970 */
	uint64_t runtime_ns; /* that was measured: without start, ramp, clock stopped */
	uint64_t loops;
	struct canp_benchjob_dir dir[CANP_BENCHJOB_DIRS];
	/* Of a job of stages. */
	uint64_t files, frames, decoded, values, damage, inflated, stored, peak_mem;
	uint64_t stage_cpu_ns[CANP_STAGE_NR]; /* up to and with each, by --breakdown; 0: not run */
	uint64_t breakdown_loops;
	struct canp_benchjob_lat file_lat;
	uint64_t busy_ns, idle_ns; /* of the reactors */
	/* Completions of their rings, by any shard: atomic. */
	uint64_t ring_ops, ring_short;
	struct canp_benchjob_op op[CANP_BENCHJOB_OPS_MAX];
	unsigned nr_ops, cores;
	char ring[16], pages[32];
	/* Of rw=: pages of 4 KiB of its blocks, and in how many pieces they lie; 0: not known. */
	uint64_t buf_pages, buf_pieces;
	/* The process and its children. */
	double usr_s, sys_s, cpu_s; /* cpu_s: of the measured part where that is known, else all */
	uint64_t ctx, majf, minf;
	bool steady_wanted, steady;
	char text[CANP_BENCHJOB_TEXT_MAX]; /* JSON of --command */
	/* Renewed while it runs; read without a lock by the progress line. */
	uint64_t live_bytes, live_total, live_frames, live_files;
	unsigned ready; /* data is there; atomic */
};

/* ---- what a job is --------------------------------------------------------------------------- */

struct canp_benchjob {
	const struct canp_benchjob_section *section;
	struct canp_benchjob_cfg cfg;
	struct canp_gen_log_cfg log;
	struct canp_job_cli cli;
	enum canp_stage first, last;
	double percentile[CANP_BENCHJOB_PERCENTILES_MAX];
	unsigned nr_percentiles;
	enum canp_benchjob_iomem iomem;
	const char *iomem_file; /* in cfg.iomem; NULL: none */
	unsigned steady_kind;   /* enum canp_benchjob_steady */
	double steady_limit;
	unsigned group; /* of --group-reporting */
	unsigned wave;  /* jobs of one wave run at once */
};

enum canp_benchjob_steady {
	CANP_BENCHJOB_STEADY_OFF,
	CANP_BENCHJOB_STEADY_BW,
	CANP_BENCHJOB_STEADY_BW_SLOPE,
	CANP_BENCHJOB_STEADY_IOPS,
	CANP_BENCHJOB_STEADY_IOPS_SLOPE
};

struct canp_benchjob_list {
	struct canp_benchjob_file file;
	struct canp_benchjob *job; /* [nr] */
	unsigned nr;
};

/* ---- benchjob_keys.c ------------------------------------------------------------------------- */

/* Reads a section's keys into the structs, checks what does not go together. `over` (may be NULL):
 * pairs of the command line, which beat those of the file. 0 or -EINVAL with a line in err. The
 * options are j->cli.opts, see canp_benchjob_close(). */
int canp_benchjob_open(struct canp_benchjob *j, const struct canp_benchjob_section *s,
		       const struct canp_benchjob_section *over, struct canp_strbuf *err);
void canp_benchjob_close(struct canp_benchjob *j);
/* The name that the rows have for a key of a job file (fio's or ours); `key` itself when that is
 * it. */
const char *canp_benchjob_key(const char *key);
/* All options of a job, for texts: --cmdhelp, --help. NULL: no memory. canp_benchjob_close() it. */
struct canp_opts *canp_benchjob_opts(struct canp_benchjob *j);
/* "99:99.9" ascending -> numbers; how many, or -EINVAL with a reason in err. */
int canp_benchjob_percentiles(const char *text, double *v, struct canp_strbuf *err);
/* "bw:5%", "bw_slope:1%", iops likewise; 0 or -EINVAL. */
int canp_benchjob_steady_parse(const char *text, unsigned *kind, double *limit);

/* ---- runs ------------------------------------------------------------------------------------ */

/* In the job's own process, before `go` is set: r->ready when the data is there; then the work,
 * from when canp_benchjob_wait() returns. */
struct canp_benchjob_run {
	const struct canp_benchjob *j;
	struct canp_benchjob_result *r;
	const unsigned *go; /* atomic, shared */
	unsigned number;    /* of the job among all of the run, from 1: names of logs */
	unsigned clone;     /* of --numjobs, from 0 */
};
/* Tells that the data is there, waits for the others and for --startdelay. */
void canp_benchjob_wait(const struct canp_benchjob_run *run);
/* --rw, --stages, --command. Errors go to r->error. */
void canp_benchjob_io(const struct canp_benchjob_run *run);
void canp_benchjob_stage(const struct canp_benchjob_run *run);
void canp_benchjob_command(const struct canp_benchjob_run *run);

void canp_benchjob_lat_add(struct canp_benchjob_lat *l, uint64_t ns);
void canp_benchjob_lat_merge(struct canp_benchjob_lat *to, const struct canp_benchjob_lat *from);
double canp_benchjob_lat_dev(const struct canp_benchjob_lat *l);

/* ---- benchjob_log.c: bandwidth and latency over time, steady state ----------------------------
 */

struct canp_benchjob_log {
	const struct canp_benchjob_run *run;
	uint64_t start_ns, since_ns, period_ns;
	uint64_t bw_since_ns, bw_bytes; /* of the sample of half a second */
	uint64_t bytes, ios, lat_ns;    /* of the line being made */
	unsigned dir;
	void *file[3];  /* FILE of bw, lat, iops; NULL: not wanted */
	double *second; /* samples of --steadystate, one a second, newest last */
	unsigned nr_seconds, want_seconds;
	uint64_t second_since_ns, second_bytes, second_ios, steady_from_ns;
};

/* 0 or -errno with r->error set. Call end in both cases. */
int canp_benchjob_log_begin(struct canp_benchjob_log *l, const struct canp_benchjob_run *run,
			    unsigned dir, uint64_t now_ns);
/* One operation ended. True: the steady state is reached. */
bool canp_benchjob_log_add(struct canp_benchjob_log *l, uint64_t now_ns, uint64_t bytes,
			   uint64_t lat_ns);
void canp_benchjob_log_end(struct canp_benchjob_log *l, uint64_t now_ns);
/* Are these samples steady? kind as in canp_benchjob_steady, limit in per cent. */
bool canp_benchjob_is_steady(const double *v, unsigned n, unsigned kind, double limit);

/* ---- the whole, and its report --------------------------------------------------------------- */

/* One row of the report: a job, or a group of them added up. */
struct canp_benchjob_row {
	const struct canp_benchjob *j;
	unsigned group, clones;
	struct canp_benchjob_result *sum;    /* all repeats and clones */
	struct canp_benchjob_result *sample; /* [nr_samples] clones added up */
	unsigned nr_samples;                 /* with a self check twice the repeats: A B A B .. */
};

struct canp_benchjob_report {
	const struct canp_benchjob_list *list;
	const struct canp_benchjob_cfg *global; /* of the first job */
	struct canp_benchjob_row *row;
	unsigned nr;
	bool self_check;
	struct canp_bench_env env;
};

/* Runs everything; 0, 1 (a job failed; the report is there) or -errno. eta: show progress. */
int canp_benchjob_sched(const struct canp_benchjob_list *list, bool self_check, bool eta,
			struct canp_benchjob_report *rep);
void canp_benchjob_report_fini(struct canp_benchjob_report *rep);

void canp_benchjob_text(const struct canp_benchjob_report *rep, struct canp_strbuf *sb);
void canp_benchjob_terse(const struct canp_benchjob_report *rep, struct canp_strbuf *sb);
void canp_benchjob_json(const struct canp_benchjob_report *rep, bool bins, struct canp_strbuf *sb);
/* CPU time of each stage alone, from --breakdown; returns their sum, 0: not measured. A range that
 * came out cheaper than a shorter one, because the machine varies, adds nothing. */
uint64_t canp_benchjob_own(const struct canp_benchjob_row *row, uint64_t own_ns[CANP_STAGE_NR]);
/* What limits a job of stages, a sentence; "" when that is not known. */
void canp_benchjob_limiter(const struct canp_benchjob_row *row, char *buf, size_t size);

/* Figures that `compare` judges: i counts from 0, false behind the last. *less: less is better;
 * *v is NAN where the job has no such figure. */
bool canp_benchjob_metric(const struct canp_benchjob_result *r, unsigned i, const char **name,
			  bool *less, double *v);

#endif
