/*
 * pipe_opts.c - names of the modes, defaults of the options (pipeline.def), and what executor AUTO
 * means. Pure functions.
 */
#include <errno.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"

static const char *const mode_names[CANP_PIPE_NR_MODES] = {
	[CANP_PIPE_THROUGHPUT] = "throughput",
	[CANP_PIPE_LATENCY] = "latency",
	[CANP_PIPE_MEMORY] = "memory",
};

int canp_pipe_mode_parse(const char *name, enum canp_pipe_mode *out)
{
	for (unsigned i = 0; i < CANP_PIPE_NR_MODES; i++) {
		if (name && !strcmp(name, mode_names[i])) {
			*out = (enum canp_pipe_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *canp_pipe_mode_name(enum canp_pipe_mode mode)
{
	return (unsigned)mode < CANP_PIPE_NR_MODES ? mode_names[mode] : "unknown";
}

void canp_pipe_opts_resolve(struct canp_pipe_opts *o)
{
	/* A quarter, because buffers of worker processes are shared memory, which is scarcer. */
	bool quarter = o->executor == CANP_PIPE_PROCESSES && !o->max_memory_items;

#define X(field, throughput, latency, memory, lowest, highest, what)                               \
	if (!o->field)                                                                             \
		o->field = o->mode == CANP_PIPE_LATENCY  ? (latency)                               \
			   : o->mode == CANP_PIPE_MEMORY ? (memory)                                \
							 : (throughput);                           \
	o->field = canp_min(o->field, (__typeof__(o->field))(highest));                            \
	o->field = canp_max(o->field, (__typeof__(o->field))(lowest));
#include "core/pipeline/pipeline.def"
#undef X
	if (quarter)
		o->max_memory_items /= 4;
	/* A batch of one is what the mode is about. */
	if (o->mode == CANP_PIPE_LATENCY)
		o->no_adaptive_batching = true;
}

enum canp_pipe_exec canp_pipe_choose(const struct canp_pipe_opts *o, bool wants_isolation)
{
	if (o->executor != CANP_PIPE_AUTO)
		return o->executor;
	if (o->no_async_execution)
		return CANP_PIPE_SERIAL;
	return wants_isolation ? CANP_PIPE_PROCESSES : CANP_PIPE_REACTOR;
}
