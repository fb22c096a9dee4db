/*
 * plugin_engine.c - an example of a plugin: keeps the rows of one message in which a signal lies in
 * a range, and adds the product of two signals as a column. With the sample logs of canp-gen, or
 *any DBC that has an engine message:
 *
 *	canp-appliance run -d vehicle.dbc -o dataset logs/ \
 *		--plugin
 *build/examples/plugin_engine.so:EEC1:EngineSpeed:600:9000:EngineTorque:Power
 *
 * The argument is MESSAGE:SIGNAL:MIN:MAX:FACTOR:NAME[:SCALE]: rows of MESSAGE whose SIGNAL is not
 * between MIN and MAX are dropped, as are rows without it; the column NAME is
 * SIGNAL * FACTOR * SCALE, null where FACTOR is absent. Build your own with
 *
 *	gcc -O2 -fPIC -shared -I<include> -o mine.so mine.c
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/plugin.h"

enum { ARG_MESSAGE, ARG_SIGNAL, ARG_MIN, ARG_MAX, ARG_FACTOR, ARG_NAME, ARG_SCALE, ARGS_MAX };

struct engine {
	char text[256]; /* the argument, cut at its colons */
	const char *arg[ARGS_MAX];
	double min, max, scale;
	/* The two signals, as message() found them. */
	double factor[2], offset[2];
	bool is_float[2], is_signed[2];
};

static int engine_number(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return *end || end == text || isnan(*out) ? -EINVAL : 0;
}

static int engine_open(const char *arg, void **ctx, char *err, uint32_t err_bytes)
{
	struct engine *e = calloc(1, sizeof(*e));
	char *rest, *word;
	int n = 0;

	if (!e)
		return -ENOMEM;
	snprintf(e->text, sizeof(e->text), "%s", arg);
	rest = e->text;
	while (n < ARGS_MAX && (word = strsep(&rest, ":")))
		e->arg[n++] = word;
	e->scale = 1;
	if (n <= ARG_NAME || rest || engine_number(e->arg[ARG_MIN], &e->min) ||
	    engine_number(e->arg[ARG_MAX], &e->max) ||
	    (n > ARG_SCALE && engine_number(e->arg[ARG_SCALE], &e->scale))) {
		snprintf(err, err_bytes,
			 "the argument is MESSAGE:SIGNAL:MIN:MAX:FACTOR:NAME[:SCALE]");
		free(e);
		return -EINVAL;
	}
	*ctx = e;
	return 0;
}

static int engine_signal(struct engine *e, const struct canp_plugin_message *m, const char *name,
			 struct canp_plugin_want *want)
{
	uint32_t k = want->nr_columns;

	for (uint32_t i = 0; i < m->nr_signals; i++) {
		const struct canp_plugin_signal *s = &m->signals[i];

		if (strcmp(s->name, name))
			continue;
		e->factor[k] = s->factor;
		e->offset[k] = s->offset;
		e->is_float[k] = s->is_float;
		e->is_signed[k] = s->is_signed;
		want->columns[want->nr_columns++] = i;
		return 0;
	}
	return -ENOENT;
}

static int engine_message(void *ctx, const struct canp_plugin_message *m,
			  struct canp_plugin_want *want)
{
	struct engine *e = ctx;
	int rc;

	if (strcmp(m->name, e->arg[ARG_MESSAGE]))
		return 0;
	want->batches = true;
	rc = engine_signal(e, m, e->arg[ARG_SIGNAL], want);
	rc = rc ? rc : engine_signal(e, m, e->arg[ARG_FACTOR], want);
	want->extra[want->nr_extra++].name = e->arg[ARG_NAME];
	return rc;
}

static double engine_value(const struct engine *e, const struct canp_batch *b, unsigned k,
			   uint32_t row)
{
	uint64_t raw = b->column[k][row];
	double d;

	if (!(b->present[k][row / 64] >> (row % 64) & 1))
		return (double)NAN;
	if (e->is_float[k]) {
		memcpy(&d, &raw, sizeof(d));
		return d;
	}
	d = e->is_signed[k] ? (double)(int64_t)raw : (double)raw;
	d = d * e->factor[k];
	return d + e->offset[k];
}

static int engine_batch(void *state, struct canp_batch *b)
{
	const struct engine *e = state;

	for (uint32_t row = 0; row < b->nr_rows; row++) {
		double v = engine_value(e, b, 0, row);

		/* NaN compares false: a row without the signal goes. */
		if (!(v >= e->min && v <= e->max))
			canp_batch_drop(b, row);
		b->extra[0][row] = v * engine_value(e, b, 1, row) * e->scale;
	}
	return 0;
}

static void engine_close(void *ctx)
{
	free(ctx);
}

/* Nothing is written after message(), so the cores share one state: there is no shard(). */
extern const struct canp_plugin canp_plugin;
const struct canp_plugin canp_plugin = {
	.abi = CANP_PLUGIN_ABI,
	.name = "engine",
	.open = engine_open,
	.message = engine_message,
	.batch = engine_batch,
	.close = engine_close,
};
