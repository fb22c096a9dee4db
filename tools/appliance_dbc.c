/*
 * appliance_dbc.c - `canp-appliance dbc`: what databases define, what is odd about them, and which
 * ids they fight over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "io/can/dbc.h"
#include "tools/appliance_cmd.h"

static void dbc_warn(void *arg, const char *line)
{
	canp_strbuf_printf(arg, "  warning: %s\n", line);
}

static void dbc_signal(struct canp_strbuf *sb, const struct canp_dbc_signal *s)
{
	canp_strbuf_printf(sb, "      %-32s %u|%u@%c%c (%g,%g) [%g|%g] \"%s\"", s->name, s->start,
			   s->bits, s->big_endian ? '0' : '1', s->is_signed ? '-' : '+', s->factor,
			   s->offset, s->minimum, s->maximum, s->unit);
	if (s->is_muxor)
		canp_strbuf_puts(sb, " multiplexor");
	if (s->is_muxed)
		canp_strbuf_printf(sb, " when %s = %llu", s->mux_parent ? s->mux_parent : "mux",
				   (unsigned long long)s->mux_value);
	if (s->is_float)
		canp_strbuf_printf(sb, " float%u", s->is_float);
	if (s->nr_values)
		canp_strbuf_printf(sb, " %u named values", s->nr_values);
	canp_strbuf_putc(sb, '\n');
}

static void dbc_text(struct canp_strbuf *sb, const struct canp_dbc *d,
		     const struct canp_strbuf *warnings)
{
	uint64_t signals = 0;

	for (uint32_t i = 0; i < d->nr_messages; i++)
		signals += d->messages[i].nr_signals;
	canp_strbuf_printf(sb, "%s: %u messages, %llu signals, %zu warnings, sha256 %s\n", d->path,
			   d->nr_messages, (unsigned long long)signals, d->nr_warnings, d->sha256);
	canp_strbuf_add(sb, warnings->buf ? warnings->buf : "", warnings->len);
	for (uint32_t i = 0; i < d->nr_messages; i++) {
		const struct canp_dbc_message *m = &d->messages[i];

		canp_strbuf_printf(sb, "  0x%X%s %s, %u bytes%s\n", m->id, m->ext ? "x" : "",
				   m->name, m->length,
				   m->shadowed ? " (shadowed by a later definition)" : "");
		for (uint32_t k = 0; k < m->nr_signals; k++)
			dbc_signal(sb, &m->signals[k]);
	}
}

static void dbc_json(struct canp_json *js, const struct canp_dbc *d)
{
	canp_json_object(js);
	canp_json_kstr(js, "path", d->path);
	canp_json_kstr(js, "sha256", d->sha256);
	canp_json_ku64(js, "warnings", d->nr_warnings);
	canp_json_key(js, "messages");
	canp_json_array(js);
	for (uint32_t i = 0; i < d->nr_messages; i++) {
		const struct canp_dbc_message *m = &d->messages[i];

		canp_json_object(js);
		canp_json_kstr(js, "name", m->name);
		canp_json_ku64(js, "id", m->id);
		canp_json_kbool(js, "ext", m->ext);
		canp_json_ku64(js, "length", m->length);
		canp_json_key(js, "signals");
		canp_json_array(js);
		for (uint32_t k = 0; k < m->nr_signals; k++)
			canp_json_str(js, m->signals[k].name);
		canp_json_end(js);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_end(js);
}

/* Ids that several of the files define: the first file wins in a job. */
static void dbc_collisions(struct canp_strbuf *sb, struct canp_dbc **dbcs, unsigned nr)
{
	for (unsigned a = 0; a < nr; a++)
		for (unsigned b = a + 1; b < nr; b++)
			for (uint32_t i = 0; i < dbcs[a]->nr_messages; i++) {
				const struct canp_dbc_message *m = &dbcs[a]->messages[i];
				const struct canp_dbc_message *o =
					canp_dbc_find(dbcs[b], m->id, m->ext);

				if (o)
					canp_strbuf_printf(
						sb,
						"collision: 0x%X%s is %s in %s and %s in "
						"%s; the first wins unless -d BUS= says "
						"otherwise\n",
						m->id, m->ext ? "x" : "", m->name, dbcs[a]->file,
						o->name, dbcs[b]->file);
			}
}

static int dbc_files(const char *const *files, unsigned nr, bool json)
{
	struct canp_dbc **dbcs = calloc(nr, sizeof(struct canp_dbc *));
	struct canp_strbuf sb = CANP_STRBUF_INIT, err = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	int code = dbcs ? CANP_EXIT_OK : CANP_EXIT_FATAL;
	unsigned loaded = 0;

	if (json)
		canp_json_array(&js);
	for (unsigned i = 0; dbcs && i < nr; i++) {
		struct canp_strbuf warnings = CANP_STRBUF_INIT;

		if (canp_dbc_load(files[i], &err, dbc_warn, &warnings, &dbcs[loaded])) {
			fprintf(stderr, "canp-appliance: %s\n", err.buf);
			canp_strbuf_reset(&err);
			code = CANP_EXIT_FATAL;
		} else if (json) {
			dbc_json(&js, dbcs[loaded++]);
		} else {
			dbc_text(&sb, dbcs[loaded++], &warnings);
		}
		canp_strbuf_fini(&warnings);
	}
	if (json) {
		canp_json_end(&js);
		canp_strbuf_putc(&sb, '\n');
	} else {
		dbc_collisions(&sb, dbcs, loaded);
	}
	for (unsigned i = 0; i < loaded; i++)
		canp_dbc_destroy(dbcs[i]);
	free(dbcs);
	canp_strbuf_fini(&err);
	return canp_tool_print(&sb) ? CANP_EXIT_FATAL : code;
}

int canp_cmd_dbc(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance dbc",
		.synopsis = "[--json] FILE.dbc...",
		.text = "Lists messages, signals, warnings and colliding ids of databases.",
	};
	struct canp_job_cli c;
	const char *const *files;
	unsigned nr;
	int code = canp_job_cli_parse(&c, &tool, argc, argv);

	if (code >= 0)
		return code;
	files = canp_opts_operands(c.opts, &nr);
	code = nr ? dbc_files(files, nr, c.ui.json) : canp_tool_usage(&tool, "no FILE given");
	canp_job_cli_fini(&c);
	return code;
}
