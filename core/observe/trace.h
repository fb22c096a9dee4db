/*
 * trace.h - spans, counters and flows into event rings, switched at run time, shown by others'
 * viewers.
 *
 * A tracer is the event ring of one thread with a name. While tracing is off a trace point is one
 * load and a branch that is not taken; while it is on, the 32 bytes of an event are stored with
 * the turn's time. A collector (any one thread per tracer) drains the rings; what was collected is
 * written as Chrome trace JSON (Perfetto, chrome://tracing) or as OTLP/JSON lines (one
 * ExportTraceServiceRequest a line, what OpenTelemetry's file exporter writes).
 *
 * The switch may be thrown, and records may be lost, in the middle of a span. The exporters pair
 * begin and end on each track by themselves: an end without begin is left out, a begin without end
 * closes with what encloses it or with the track; both are counted. An asynchronous one without
 * its other half is left out of OTLP.
 *
 * Trace contexts are W3C Trace Context's: the job's trace id comes from TRACEPARENT if the caller
 * has one and is handed on to commands.
 */
#ifndef CANP_OBSERVE_TRACE_H
#define CANP_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/base/evring.h"
#include "core/base/strbuf.h"
#include "core/base/trace_ctx.h"

CANP_BEGIN_DECLS

/* 0: off. Read through canp_trace_enabled, written by canp_trace_set. */
extern uint32_t canp_trace_state;

static inline bool canp_trace_enabled(void)
{
	return canp_unlikely(__atomic_load_n(&canp_trace_state, __ATOMIC_RELAXED) != 0);
}

void canp_trace_set(bool on); /* any thread, any time */

#define CANP_TRACER_NAME_MAX 32u

struct canp_tracer {
	struct canp_evring ring;
	char name[CANP_TRACER_NAME_MAX];
	uint32_t tid; /* of the track: shard index or thread id */
};

/* ev: nr records (a power of two), the caller's. Before the thread traces. */
void canp_tracer_init(struct canp_tracer *t, struct canp_ev *ev, uint32_t nr,
		      enum canp_evring_full full, const char *name, uint32_t tid);

/* Trace points: the tracer's thread only. type names the span (see canp_trace_opts.name); id is
 * shown with it. Ends name what they end. */
static inline void canp_trace_begin(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
				    uint32_t id)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'B', id, 0, 0);
}

static inline void canp_trace_end(struct canp_tracer *t, uint64_t ts_ns, uint16_t type, uint32_t id)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'E', id, 0, 0);
}

/* A whole span in one record, written when it is over. */
static inline void canp_trace_complete(struct canp_tracer *t, uint64_t start_ns, uint64_t dur_ns,
				       uint16_t type, uint32_t id, uint64_t arg)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, start_ns, type, 'X', id, dur_ns, arg);
}

static inline void canp_trace_instant(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
				      uint32_t id, uint64_t arg)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'i', id, 0, arg);
}

/* Spans that overlap or end on another thread are paired by type and key over all tracks. */
static inline void canp_trace_async_begin(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
					  uint32_t id, uint64_t key)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'b', id, key, 0);
}

static inline void canp_trace_async_end(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
					uint32_t id, uint64_t key)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'e', id, key, 0);
}

static inline void canp_trace_counter(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
				      uint64_t value)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'C', 0, value, 0);
}

/* An arrow from the span around the start to the span around the end with the same key. */
static inline void canp_trace_flow_start(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
					 uint64_t key)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 's', 0, key, 0);
}

static inline void canp_trace_flow_end(struct canp_tracer *t, uint64_t ts_ns, uint16_t type,
				       uint64_t key)
{
	if (canp_trace_enabled())
		canp_evring_emit(&t->ring, ts_ns, type, 'f', 0, key, 0);
}

/* ---- contexts ---- */

#define CANP_TRACEPARENT_LEN 55u

/* Parses a traceparent header or variable: version 00, and later ones as far as they must be
 * understood. -EINVAL: *ctx is untouched. */
int canp_traceparent_parse(const char *text, struct canp_trace_ctx *ctx);
/* Writes version 00 with NUL into out. */
void canp_traceparent_format(const struct canp_trace_ctx *ctx, char out[CANP_TRACEPARENT_LEN + 1]);
/* A new trace (parent NULL) or a new span of parent's trace; random ids. */
void canp_trace_ctx_new(const struct canp_trace_ctx *parent, struct canp_trace_ctx *out);

/* ---- export: control plane, it allocates ---- */

/* What was drained from one tracer, oldest first. */
struct canp_trace_track {
	const char *name;
	uint32_t tid;
	const struct canp_ev *events;
	uint32_t nr;
	uint64_t lost;
};

struct canp_trace_opts {
	const char *service;                /* process_name, service.name; NULL: "canp" */
	const char *(*name)(unsigned type); /* constants; NULL: canp_event_name */
	uint32_t pid;
	int64_t wall_offset_ns;           /* OTLP: added to event times to get Unix time */
	const struct canp_trace_ctx *ctx; /* OTLP: trace id, and parent of outermost spans */
};

struct canp_trace_result {
	uint64_t written;  /* events (Chrome), spans (OTLP) */
	uint64_t unpaired; /* ends without begin, left out; begins without end, closed */
	uint64_t skipped;  /* deeper than 64, or a phase that the format has no place for */
};

/* CLOCK_REALTIME - CLOCK_MONOTONIC now. */
int64_t canp_trace_wall_offset_ns(void);
/* Appends one JSON document. -ENOMEM. */
int canp_trace_chrome(struct canp_strbuf *sb, const struct canp_trace_opts *o,
		      const struct canp_trace_track *tracks, unsigned nr,
		      struct canp_trace_result *res);
/* Appends lines. Begins and ends, whole spans, asynchronous spans and instants (spans of no
 * length) are written; counters and flows have no place. Parents are the enclosing spans of the
 * track. -EINVAL: no ctx, or its ids are zero; -ENOMEM. */
int canp_trace_otlp(struct canp_strbuf *sb, const struct canp_trace_opts *o,
		    const struct canp_trace_track *tracks, unsigned nr,
		    struct canp_trace_result *res);

CANP_END_DECLS

#endif
