/*
 * trace_ctx.h - the trace context of the W3C (https://www.w3.org/TR/trace-context/): which trace a
 * piece of work belongs to, and below which span. Tasks carry it (core/runtime/task.h), the
 * exporters read it (core/observe/trace.h); all zero means none.
 */
#ifndef CANP_BASE_TRACE_CTX_H
#define CANP_BASE_TRACE_CTX_H

#include <stdint.h>

struct canp_trace_ctx {
	uint8_t trace_id[16], span_id[8];
	uint8_t flags; /* bit 0: sampled */
};

#endif
