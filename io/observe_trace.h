/*
 * observe_trace.h - the trace of a job: takes the records out of the shards' rings at every tick,
 * keeps them (bounded), and writes the file at the end. Private to observe_*.c; control thread.
 */
#ifndef CANP_IO_OBSERVE_TRACE_H
#define CANP_IO_OBSERVE_TRACE_H

#include "io/observe_job.h"

struct canp_observe_trace;

/* Sets the job's id (32 hexadecimal digits and NUL: the trace id, from $TRACEPARENT or new) in any
 * case; *out is NULL when no trace was asked for. Opens the file, switches recording on (or, when
 * paused, not) and takes SIGUSR2. -errno with a line in err. */
int canp_observe_trace_create(const struct canp_observe_opts *opts, struct canp_job *job,
			      char id[40], struct canp_strbuf *err,
			      struct canp_observe_trace **out);
/* Takes what the rings hold, adds a sample of the counters, notes in l what is kept and lost. */
void canp_observe_trace_tick(struct canp_observe_trace *t, const struct canp_job *job,
			     struct canp_live *l);
void canp_observe_trace_phase(struct canp_observe_trace *t, enum canp_job_phase phase);
/* 0 or -errno. Once. */
int canp_observe_trace_write(struct canp_observe_trace *t);
/* Gives SIGUSR2 back and switches recording off. NULL is allowed. */
void canp_observe_trace_destroy(struct canp_observe_trace *t);

#endif
