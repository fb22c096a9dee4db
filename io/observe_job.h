/*
 * observe_job.h - watching a job: its live page (io/live.h), metrics, trace, and what the service
 * manager is told. All of it happens on the job's control thread, four times a second, from
 * counters that the shards keep anyway; only scrapes are answered by a thread of their own, from a
 * copy of the page. Whether a job is watched changes nothing in what it does.
 *
 *   canp_observe_create   before the job runs: opens everything, so that a wrong path is told
 *                         before any work is done
 *   canp_job_run          calls back by canp_job_opts.phase
 *   canp_observe_finish   after it: last state, trace file, textfile
 */
#ifndef CANP_IO_OBSERVE_JOB_H
#define CANP_IO_OBSERVE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hist.h"
#include "core/base/strbuf.h"
#include "io/ingest.h"
#include "io/live.h"

struct canp_json;

/* Records a shard's trace ring holds: files and units of a quarter of a second. */
#define CANP_OBSERVE_TRACE_EVENTS 8192u
/* A job without work or a sign of life for so long is not well: health, WATCHDOG=1, status. */
#define CANP_OBSERVE_STALL_NS (60 * (uint64_t)1000000000)

enum canp_observe_trace_format {
	CANP_OBSERVE_TRACE_AUTO, /* by the name: .jsonl and .otlp are OTLP, others Chrome's */
	CANP_OBSERVE_TRACE_CHROME,
	CANP_OBSERVE_TRACE_OTLP
};

struct canp_observe_opts {
	bool live;           /* a live page that other processes can read */
	const char *metrics; /* "tcp:127.0.0.1:PORT", "unix:PATH", "file:PATH"; "" or NULL: none */
	const char *trace;   /* file; "" or NULL: none */
	enum canp_observe_trace_format trace_format;
	bool trace_paused; /* nothing is recorded before SIGUSR2 */
};

struct canp_observe;

/* Opens what the options say and puts itself into job->opts (phase, trace_events), so it comes
 * after canp_job_create and before canp_job_run. With a trace, SIGUSR2 switches recording on and
 * off until finish. One at a time in a process (-EBUSY). On failure -errno and a line in err. */
int canp_observe_create(const struct canp_observe_opts *opts, struct canp_job *job,
			struct canp_strbuf *err, struct canp_observe **out);
/* After canp_job_run, which returned rc, and before canp_job_destroy. Writes the trace and the
 * last metrics. 0, or -errno with a line in err: the job's own result is not changed by it. */
int canp_observe_finish(struct canp_observe *o, const struct canp_job *job, int rc,
			struct canp_strbuf *err);
void canp_observe_destroy(struct canp_observe *o); /* NULL is allowed */
/* Where metrics are served, "" for nowhere ("tcp:127.0.0.1:41327" when port 0 was asked for). */
const char *canp_observe_metrics(const struct canp_observe *o);

/* ---- observe_collect.c ---- */

/* Fills a snapshot (of job->cores shards) with what the job's counters say now. Control thread, at
 * any time between canp_job_create and canp_job_destroy. */
void canp_observe_collect(const struct canp_job *job, struct canp_live *l);

/* What is kept for the report: the last counters, taken when the shards have stopped. */
struct canp_job_perf {
	struct canp_live *live;
	struct canp_hist file_ns; /* durations of files */
};

/* ingest.c: takes the counters; without memory there is just no report. */
void canp_job_perf_collect(struct canp_job *job);
void canp_job_perf_destroy(struct canp_job_perf *perf); /* NULL is allowed */
/* observe_report.c: the member "performance" of run.json: tasks, memory, operators, shards, with
 * percentages. Nothing when job->perf is NULL. */
void canp_job_perf_json(struct canp_json *js, const struct canp_job *job);

#endif
