/*
 * gen_dbc.c - the database that describes the invented traffic, so that what a job decodes can be
 * checked against what was meant. Numbers are written as text constants: no float is ever printed.
 */
#include <errno.h>

#include "core/base/compiler.h"
#include "tools/gen_model.h"
#include "tools/gen_traffic.h"

static const struct {
	const char *factor, *offset, *unit;
} scales[8] = {
	{"1", "0", ""},       {"0.1", "0", "km/h"}, {"0.5", "-40", "degC"},    {"0.01", "0", "V"},
	{"0.25", "0", "rpm"}, {"2", "0", "Nm"},     {"0.0625", "-100", "deg"}, {"1", "-100", "%"},
};

static const char *const kinds[] = {"Const", "Walk", "Slow",    "Noise",
				    "Mode",  "Flag", "Counter", "Crc"};

static void signal_line(const struct canp_gen_signal *g, unsigned i, FILE *out)
{
	unsigned scale =
		g->kind == CANP_GEN_WALK || g->kind == CANP_GEN_SLOW || g->kind == CANP_GEN_NOISE
			? g->scale
			: 0;

	fprintf(out, " SG_ %s%u : %u|%u@1%c (%s,%s) [0|0] \"%s\" Gateway\n", kinds[g->kind], i,
		g->start, g->len, g->is_signed ? '-' : '+', scales[scale].factor,
		scales[scale].offset, scales[scale].unit);
}

static void value_tables(const struct canp_gen_message *m, FILE *out)
{
	for (unsigned i = 0; i < m->nr_signals; i++) {
		const struct canp_gen_signal *g = &m->signals[i];

		if (g->kind != CANP_GEN_ENUM)
			continue;
		fprintf(out, "VAL_ %u %s%u", m->id, kinds[g->kind], i);
		for (unsigned v = 0; v < 1u << g->len; v++)
			fprintf(out, " %u \"State%u\"", v, v);
		fprintf(out, " ;\n");
	}
}

int canp_gen_traffic_dbc(const struct canp_gen_traffic *t, FILE *out)
{
	fprintf(out, "VERSION \"canp-gen\"\n\nNS_ :\n\nBS_:\n\nBU_: Gateway Engine\n");
	for (unsigned i = 0; i < t->nr; i++) {
		const struct canp_gen_message *m = &t->messages[i];

		fprintf(out, "\nBO_ %u Message%03X: %u Engine\n", m->id, m->id, m->dlc);
		for (unsigned k = 0; k < m->nr_signals; k++)
			signal_line(&m->signals[k], k, out);
	}
	fprintf(out, "\nBA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 10000;\n"
		     "BA_DEF_DEF_ \"GenMsgCycleTime\" 0;\n");
	for (unsigned i = 0; i < t->nr; i++)
		fprintf(out, "BA_ \"GenMsgCycleTime\" BO_ %u %u;\n", t->messages[i].id,
			t->messages[i].cycle_us / 1000);
	for (unsigned i = 0; i < t->nr; i++)
		value_tables(&t->messages[i], out);
	return ferror(out) ? -EIO : 0;
}
