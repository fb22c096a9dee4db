/*
 * observe_shard.h - what one shard notes about its work for those who watch: counters with one
 * writer, and trace points. The hooks are called once a unit, file or part, never per frame or
 * batch; with tracing off a hook is some adds and a branch.
 *
 * All functions but init: reactor thread of the shard. Counters may be read by any thread.
 */
#ifndef CANP_IO_OBSERVE_SHARD_H
#define CANP_IO_OBSERVE_SHARD_H

#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/hist.h"
#include "core/base/stat.h"
#include "core/base/usdt.h"
#include "core/observe/event.h"
#include "core/observe/trace.h"

/* Types of the spans of a job. */
enum canp_observe_span {
	CANP_SPAN_JOB = CANP_EVENT_USER,
	CANP_SPAN_BOOT,
	CANP_SPAN_RUN,
	CANP_SPAN_FINISH, /* side tables and reports */
	CANP_SPAN_UNIT,
	CANP_SPAN_FILE,
	CANP_SPAN_PART, /* footer written to renamed and synced */
	/* counters, sampled by the control thread */
	CANP_SPAN_FRAMES,
	CANP_SPAN_INFLIGHT,
	CANP_SPAN_PAGES,
	CANP_SPAN_END
};

/* "unit", "file", ..; constant. */
const char *canp_observe_span_name(unsigned type);

struct canp_observe_shard {
	struct canp_tracer tracer;
	struct canp_stat unit, file; /* under way, plus one; 0: none */
	struct canp_stat units, unit_ns;
	struct canp_stat files, files_damaged, files_failed, files_skipped;
	struct canp_stat bytes, frames, faults, parts;
	struct canp_stat runs_max; /* most page runs under way to their owners at once */
	struct canp_stat file_ns, file_ns_log2[64];
	struct canp_hist file_hist; /* read when the shard has stopped */
	/* the shard's own */
	uint64_t unit_start_ns, file_start_ns;
};

/* Bytes of one with a trace ring of so many records (0 or a power of two, at least 2). */
size_t canp_observe_shard_bytes(uint32_t trace_events);
/* mem: zeroed, aligned to 64. cpu: -1 when not pinned. */
struct canp_observe_shard *canp_observe_shard_init(void *mem, uint32_t trace_events, unsigned shard,
						   int cpu);

static inline void canp_observe_unit_begin(struct canp_observe_shard *o, uint32_t unit)
{
	canp_stat_set(&o->unit, (uint64_t)unit + 1);
	o->unit_start_ns = canp_clock_ns();
	CANP_USDT1(unit_begin, unit);
}

static inline void canp_observe_unit_end(struct canp_observe_shard *o, uint32_t unit)
{
	uint64_t ns = canp_clock_ns() - o->unit_start_ns;

	canp_stat_set(&o->unit, 0);
	canp_stat_add(&o->units, 1);
	canp_stat_add(&o->unit_ns, ns);
	CANP_USDT2(unit_end, unit, ns);
	canp_trace_complete(&o->tracer, o->unit_start_ns, ns, CANP_SPAN_UNIT, unit, 0);
}

/* The unit is given up; nothing of it counts. */
static inline void canp_observe_unit_drop(struct canp_observe_shard *o)
{
	canp_stat_set(&o->unit, 0);
	canp_stat_set(&o->file, 0);
}

static inline void canp_observe_file_begin(struct canp_observe_shard *o, uint32_t src)
{
	canp_stat_set(&o->file, (uint64_t)src + 1);
	o->file_start_ns = canp_clock_ns();
	CANP_USDT1(file_open, src);
}

/* A file that was begun has been read to its end, or as far as it could be. */
void canp_observe_file_end(struct canp_observe_shard *o, uint32_t src, uint64_t bytes,
			   uint64_t frames);
enum canp_observe_file { CANP_OBS_OK, CANP_OBS_DAMAGED, CANP_OBS_FAILED, CANP_OBS_SKIPPED };
/* Counts a file, begun or not. */
void canp_observe_file(struct canp_observe_shard *o, enum canp_observe_file what, uint64_t faults);

/* A part is on its way to its final name: key is the same at both ends. */
static inline void canp_observe_part_begin(struct canp_observe_shard *o, uint32_t seq, uint64_t key)
{
	if (o && canp_trace_enabled())
		canp_trace_async_begin(&o->tracer, canp_clock_ns(), CANP_SPAN_PART, seq, key);
}

static inline void canp_observe_part_end(struct canp_observe_shard *o, uint32_t seq, uint64_t key)
{
	if (!o)
		return;
	canp_stat_add(&o->parts, 1);
	if (canp_trace_enabled())
		canp_trace_async_end(&o->tracer, canp_clock_ns(), CANP_SPAN_PART, seq, key);
}

#endif
