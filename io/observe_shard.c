/*
 * observe_shard.c - the parts of the shards' hooks that are not worth inlining.
 */
#include "io/observe_shard.h"

#include <stdio.h>

#include "core/base/units.h"

const char *canp_observe_span_name(unsigned type)
{
	static const char *const names[] = {
		[CANP_SPAN_JOB - CANP_EVENT_USER] = "job",
		[CANP_SPAN_BOOT - CANP_EVENT_USER] = "boot",
		[CANP_SPAN_RUN - CANP_EVENT_USER] = "run",
		[CANP_SPAN_FINISH - CANP_EVENT_USER] = "finish",
		[CANP_SPAN_UNIT - CANP_EVENT_USER] = "unit",
		[CANP_SPAN_FILE - CANP_EVENT_USER] = "file",
		[CANP_SPAN_PART - CANP_EVENT_USER] = "part",
		[CANP_SPAN_FRAMES - CANP_EVENT_USER] = "frames",
		[CANP_SPAN_INFLIGHT - CANP_EVENT_USER] = "ring in flight",
		[CANP_SPAN_PAGES - CANP_EVENT_USER] = "page slots in use",
	};

	return type >= CANP_EVENT_USER && type < CANP_SPAN_END ? names[type - CANP_EVENT_USER]
							       : canp_event_name(type);
}

static uint32_t observe_ring(uint32_t trace_events)
{
	return trace_events < 2 ? 2 : trace_events;
}

size_t canp_observe_shard_bytes(uint32_t trace_events)
{
	return canp_align_up(sizeof(struct canp_observe_shard), 64UL) +
	       observe_ring(trace_events) * sizeof(struct canp_ev);
}

struct canp_observe_shard *canp_observe_shard_init(void *mem, uint32_t trace_events, unsigned shard,
						   int cpu)
{
	struct canp_observe_shard *o = mem;
	uint8_t *ring = (uint8_t *)mem + canp_align_up(sizeof(*o), 64UL);
	char name[CANP_TRACER_NAME_MAX];

	if (cpu >= 0)
		snprintf(name, sizeof(name), "shard %u (cpu %d)", shard, cpu);
	else
		snprintf(name, sizeof(name), "shard %u", shard);
	canp_tracer_init(&o->tracer, (struct canp_ev *)ring, observe_ring(trace_events),
			 CANP_EVRING_DROP_NEWEST, name, shard + 1);
	canp_hist_init(&o->file_hist);
	return o;
}

void canp_observe_file_end(struct canp_observe_shard *o, uint32_t src, uint64_t bytes,
			   uint64_t frames)
{
	uint64_t ns = canp_clock_ns() - o->file_start_ns;

	canp_stat_set(&o->file, 0);
	canp_stat_add(&o->bytes, bytes);
	canp_stat_add(&o->frames, frames);
	canp_stat_add(&o->file_ns, ns);
	canp_stat_add(&o->file_ns_log2[63 - __builtin_clzll(ns | 1)], 1);
	canp_hist_add(&o->file_hist, ns);
	CANP_USDT3(file_close, src, bytes, frames);
	canp_trace_complete(&o->tracer, o->file_start_ns, ns, CANP_SPAN_FILE, src, frames);
}

void canp_observe_file(struct canp_observe_shard *o, enum canp_observe_file what, uint64_t faults)
{
	canp_stat_add(&o->files, 1);
	canp_stat_add(&o->files_damaged, what == CANP_OBS_DAMAGED);
	canp_stat_add(&o->files_failed, what == CANP_OBS_FAILED);
	canp_stat_add(&o->files_skipped, what == CANP_OBS_SKIPPED);
	canp_stat_add(&o->faults, faults);
}
