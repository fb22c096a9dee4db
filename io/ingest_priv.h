/*
 * ingest_priv.h - the control thread's part of a job; private to ingest*.c.
 */
#ifndef CANP_IO_INGEST_PRIV_H
#define CANP_IO_INGEST_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/ingest_shard.h"

struct canp_job_alloc {
	struct canp_job_alloc *next;
	uint8_t data[] __attribute__((aligned(64)));
};

struct canp_job_priv {
	pthread_mutex_t lock;
	struct canp_ingest_shard *shards;
	unsigned nr_shards;
	struct canp_pqschema **schemas; /* by slot */
	uint32_t nr_slots;
	enum canp_io_policy write_policy;
	struct canp_job_alloc *allocs;
	uint32_t over; /* shards whose owner side is done; atomic */
	int error;     /* first operating error; atomic */
	char error_what[200];
	uint32_t unknown_cap;
	uint64_t started_ns;
	size_t results_bytes, faults_bytes;
};

/* Tells who watches the job where it is. Control thread. */
static inline void canp_job_tell(const struct canp_job *job, enum canp_job_phase phase)
{
	if (job->opts.phase)
		job->opts.phase(job->opts.phase_arg, job, phase);
}

/* ingest_report.c: what is written besides the tables. All on the control thread, after the shards
 * have stopped unless said otherwise. 0 or -errno. */
int canp_report_job_json(const struct canp_job *job); /* before the shards start */
int canp_report_side_tables(struct canp_job *job);
int canp_report_lines(const struct canp_job *job);      /* _canp/report.jsonl */
int canp_report_quarantine(const struct canp_job *job); /* _canp/quarantine; ingest_isolate.c */
int canp_report_run_json(const struct canp_job *job);   /* last of all */

/* ingest_totals.c: fills job->totals; samples peak memory (call before memory is given back). */
void canp_job_collect(struct canp_job *job);
void canp_job_peak_memory(struct canp_job_totals *t);

#endif
