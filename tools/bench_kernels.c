/*
 * bench_kernels.c - `canp-bench kernels`: each kernel in each of its forms, side by side.
 *
 * Text is a line per kernel and data, written as soon as it is measured: median/best of each form,
 * then how much faster the fastest of ours is than the portable one and than the library. --json
 * is one object at the end.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "tools/bench_cfg.h"
#include "tools/bench_cmd.h"
#include "tools/bench_members.h"
#include "tools/bench_kernels.h"
#include "tools/toolmain.h"

#define LEVELS_MAX 10u

struct canp_bench_out {
	struct canp_bench_cfg cfg;
	struct canp_bench_kernels_cfg k;
	struct canp_opts *opts;
	struct canp_tool tool;
	unsigned levels[LEVELS_MAX], nr_levels;
	struct canp_bench_env env;
	struct canp_strbuf sb;
	struct canp_json js;
	const char *kernel;         /* of the line before: it is not repeated */
	const char *const *columns; /* of the table so far */
};

/* ---- one line -------------------------------------------------------------------------------- */

void canp_bench_form(struct canp_bench_line *line, const char *name, enum canp_bench_role role,
		     void (*pass)(void *), void *arg, double work)
{
	CANP_ASSERT(line->nr < CANP_BENCH_FORMS_MAX);
	line->forms[line->nr].name = name;
	line->forms[line->nr].role = role;
	line->forms[line->nr++].c =
		(struct canp_bench_case){.pass = pass, .arg = arg, .work = work};
}

/* GB/s or ns. */
static double shown(const struct canp_bench_line *line, double seconds)
{
	return line->what ? 1e9 * seconds : 1e-9 / seconds;
}

/* Name of what shown() gives; lies in sb. */
static const char *line_unit(const struct canp_bench_line *line, struct canp_strbuf *sb)
{
	canp_strbuf_reset(sb);
	canp_strbuf_puts(sb, line->what ? "ns/" : "GB/s");
	canp_strbuf_puts(sb, line->what ? line->what : "");
	return sb->failed ? "" : sb->buf;
}

/* Position of the form with the role; line->nr: none. */
static unsigned form_find(const struct canp_bench_line *line, enum canp_bench_role role)
{
	unsigned i = 0;

	while (i < line->nr && line->forms[i].role != role)
		i++;
	return i;
}

/* How many times as fast as the form with that role; 0: there is none. */
static double ratio_to(const struct canp_bench_out *o, const struct canp_bench_line *line,
		       unsigned i, enum canp_bench_role role)
{
	unsigned base = form_find(line, role);

	return base == line->nr ? 0
				: canp_bench_ratio(line->forms[i].c.seconds,
						   line->forms[base].c.seconds, o->cfg.rounds);
}

static void json_ratio(struct canp_json *js, const char *key, double ratio)
{
	canp_json_key(js, key);
	if (ratio > 0)
		canp_json_double(js, ratio);
	else
		canp_json_null(js);
}

static void line_json(struct canp_bench_out *o, const struct canp_bench_line *line)
{
	struct canp_strbuf unit = CANP_STRBUF_INIT;
	struct canp_json *js = &o->js;

	canp_json_object(js);
	canp_json_kstr(js, "kernel", line->kernel);
	canp_json_kstr(js, "data", line->data);
	canp_json_kstr(js, "unit", line_unit(line, &unit));
	json_ratio(js, "compression", line->compression);
	json_ratio(js, "gate", line->gate);
	canp_json_key(js, "rows");
	canp_json_array(js);
	for (unsigned i = 0; i < line->nr; i++) {
		const struct canp_bench_stat *s = &line->forms[i].c.stat;

		canp_json_object(js);
		canp_json_kstr(js, "isa", line->forms[i].name);
		canp_json_kdouble(js, "median", shown(line, s->median));
		canp_json_kdouble(js, "best", shown(line, s->best));
		canp_json_kdouble(js, "spread", s->spread);
		json_ratio(js, "ratio_to_scalar", ratio_to(o, line, i, CANP_BENCH_PORTABLE));
		json_ratio(js, "ratio_to_reference", ratio_to(o, line, i, CANP_BENCH_REFERENCE));
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_end(js);
	canp_strbuf_fini(&unit);
}

/* 3 digits that count: 0.0941, 1.03, 70.1. */
static void put_number(struct canp_strbuf *sb, double v)
{
	canp_strbuf_printf(sb, "%.*f", v < 0.1 ? 4 : v < 1 ? 3 : v < 10 ? 2 : 1, v);
}

static void put_ratio(struct canp_strbuf *sb, double ratio)
{
	canp_strbuf_printf(sb, "  %8.*f", ratio > 0 ? 2 : 0, ratio);
}

static void head_text(struct canp_bench_out *o, const struct canp_bench_line *line)
{
	struct canp_strbuf *sb = &o->sb;

	canp_strbuf_printf(sb, "%s%-11s  %-27s  %-8s", o->columns ? "\n" : "", "kernel", "data",
			   "unit");
	for (unsigned i = 0; i < CANP_BENCH_COLUMNS; i++)
		canp_strbuf_printf(sb, "  %13s", line->columns[i]);
	canp_strbuf_printf(sb, "  %8s  %8s\n", "x scalar", "x lib");
	o->columns = line->columns;
	o->kernel = "";
}

/* The form that stands in a column; line->nr: none. */
static unsigned form_column(const struct canp_bench_line *line, const char *column)
{
	unsigned i = 0;

	if (!strcmp(column, "library"))
		return form_find(line, CANP_BENCH_REFERENCE);
	while (i < line->nr && strcmp(line->forms[i].name, column))
		i++;
	return i;
}

static void line_text(struct canp_bench_out *o, const struct canp_bench_line *line)
{
	struct canp_strbuf *sb = &o->sb, cell = CANP_STRBUF_INIT;
	unsigned best = 0, ref = form_find(line, CANP_BENCH_REFERENCE);

	if (o->columns != line->columns)
		head_text(o, line);
	canp_strbuf_printf(sb, "%-11s  %-27s  %-8s",
			   strcmp(o->kernel, line->kernel) ? line->kernel : "", line->data,
			   line_unit(line, &cell));
	for (unsigned k = 0; k < CANP_BENCH_COLUMNS; k++) {
		unsigned i = form_column(line, line->columns[k]);

		canp_strbuf_reset(&cell);
		if (i < line->nr) {
			put_number(&cell, shown(line, line->forms[i].c.stat.median));
			canp_strbuf_putc(&cell, '/');
			put_number(&cell, shown(line, line->forms[i].c.stat.best));
		}
		canp_strbuf_printf(sb, "  %13s", cell.len && !cell.failed ? cell.buf : "-");
	}
	for (unsigned i = 0; i < line->nr; i++)
		if (line->forms[i].role <= CANP_BENCH_PORTABLE &&
		    line->forms[i].c.stat.median < line->forms[best].c.stat.median)
			best = i;
	put_ratio(sb, ratio_to(o, line, best, CANP_BENCH_PORTABLE));
	if (ref < line->nr) {
		put_ratio(sb, ratio_to(o, line, best, CANP_BENCH_REFERENCE));
		canp_strbuf_printf(sb, " %s", line->forms[ref].name);
	}
	if (line->gate > 0)
		canp_strbuf_printf(sb, ", goal %.1f", line->gate);
	canp_strbuf_putc(sb, '\n');
	canp_strbuf_fini(&cell);
	o->kernel = line->kernel;
}

int canp_bench_line(struct canp_bench_out *o, struct canp_bench_line *line)
{
	struct canp_bench_case cases[CANP_BENCH_FORMS_MAX];
	int rc;

	for (unsigned i = 0; i < line->nr; i++)
		cases[i] = line->forms[i].c;
	rc = canp_bench_rounds(cases, line->nr, o->cfg.rounds, 1e-3 * o->k.round_ms);
	for (unsigned i = 0; i < line->nr; i++)
		line->forms[i].c = cases[i];
	if (!rc && o->cfg.json) {
		line_json(o, line);
	} else if (!rc) {
		line_text(o, line);
		if (canp_tool_print(&o->sb))
			rc = -EPIPE;
	}
	for (unsigned i = 0; i < line->nr; i++)
		canp_bench_case_fini(&line->forms[i].c);
	line->nr = 0;
	return rc;
}

/* ---- what is wanted -------------------------------------------------------------------------- */

bool canp_bench_wanted(const struct canp_bench_out *o, const char *kernel)
{
	for (unsigned i = 0; i < o->k.kernel.nr; i++)
		if (!fnmatch(o->k.kernel.v[i], kernel, 0))
			return true;
	return o->k.kernel.nr == 0;
}

enum canp_isa canp_bench_ceiling(const struct canp_bench_out *o)
{
	enum canp_isa want = (enum canp_isa)(o->k.simd - 1);

	return want == CANP_ISA_AUTO ? CANP_ISA_AVX512 : want;
}

struct name_match {
	const char *pattern;
	struct canp_strbuf names;
	bool found;
};

static int want_fail(struct canp_bench_out *o, const char *option, const char *value,
		     const char *why)
{
	return canp_tool_usage(&o->tool, "command line: --%s=%s: %s", option, value, why);
}

static void kernel_match(void *arg, const struct canp_kernel_row *row)
{
	struct name_match *m = arg;

	m->found |= !fnmatch(m->pattern, row->kernel, 0);
	if (row->isa == CANP_ISA_SCALAR)
		canp_strbuf_printf(&m->names, ", %s", row->kernel);
}

/* A name that matches nothing is a mistake, not an empty table. -1 or an exit code. */
static int want_kernels(struct canp_bench_out *o)
{
	int rc = -1;

	for (unsigned i = 0; rc == -1 && i < o->k.kernel.nr; i++) {
		struct name_match m = {.pattern = o->k.kernel.v[i]};

		m.found = !fnmatch(m.pattern, "inflate", 0);
		canp_strbuf_puts(&m.names, "no such kernel; there are: inflate");
		canp_kernels_for_each(kernel_match, &m);
		if (!m.found)
			rc = want_fail(o, "kernel", m.pattern, m.names.failed ? "" : m.names.buf);
		canp_strbuf_fini(&m.names);
	}
	return rc;
}

static int want_levels(struct canp_bench_out *o)
{
	for (unsigned i = 0; i < o->k.level.nr; i++) {
		const char *v = o->k.level.v[i];

		if (v[0] < '0' || v[0] > '9' || v[1])
			return want_fail(o, "level", v, "not a level of zlib, 0..9");
		if (o->nr_levels == LEVELS_MAX)
			return want_fail(o, "level", v, "given too often");
		o->levels[o->nr_levels++] = (unsigned)(v[0] - '0');
	}
	return -1;
}

static int want_simd(struct canp_bench_out *o)
{
	const char *disable = getenv("CANP_CPU_DISABLE");
	int rc = canp_simd_init((enum canp_isa)(o->k.simd - 1), disable);

	if (rc == -EINVAL)
		return canp_tool_usage(&o->tool, "CANP_CPU_DISABLE: unknown feature name in '%s'",
				       disable);
	return rc ? want_fail(o, "simd", canp_isa_name((enum canp_isa)(o->k.simd - 1)),
			      "this processor cannot run it")
		  : -1;
}

/* ---- inflate --------------------------------------------------------------------------------- */

/* Kinds of data with the sizes of member that logs have, and the ratio to isal_inflate that level 6
 * must reach there. */
static const struct {
	enum canp_bench_traffic kind;
	unsigned member_bytes;
	double gate;
} own_data[] = {
	{CANP_BENCH_DENSE, 65536, 2.0}, {CANP_BENCH_DENSE, 10240, 1.5},
	{CANP_BENCH_SPARSE, 65536, 0},  {CANP_BENCH_J1939, 65536, 1.7},
	{CANP_BENCH_BLF, 131072, 1.6},
};
#define GATE_LEVEL 6u

static int data_fail(const char *what, int rc)
{
	const char *why = rc == -EILSEQ     ? "a member is damaged"
			  : rc == -EPROTO   ? "a decoder did not deliver what the members hold"
			  : rc == -ENOENT   ? "no such file, and not dense, sparse, j1939 or blf"
			  : rc == -ESPIPE   ? "not a regular file"
			  : rc == -ENODATA  ? "the file is empty"
			  : rc == -EMSGSIZE ? "no member fits --data-bytes"
					    : canp_strerror(rc);

	/* That standard output is gone was said when it went. */
	if (rc != -EPIPE)
		fprintf(stderr, "canp-bench: %s: %s\n", what, why);
	return CANP_EXIT_FATAL;
}

/* Measures d, which canp_bench_members_*() filled with the result rc. */
static int data_measure(struct canp_bench_out *o, const char *what, const char *name, double gate,
			struct canp_bench_members *d, int rc)
{
	if (!rc)
		rc = canp_bench_inflate(o, name, gate, d);
	canp_bench_members_fini(d);
	return rc ? data_fail(what, rc) : CANP_EXIT_OK;
}

/* Members of 10240 bytes are called 10K. */
static void data_name(const char *what, uint64_t member, unsigned level, char *buf, size_t cap)
{
	bool whole = member % CANP_KIB == 0;

	snprintf(buf, cap, "%s %llu%s L%u", what,
		 (unsigned long long)(whole ? member / CANP_KIB : member), whole ? "K" : "", level);
}

static int data_own(struct canp_bench_out *o, enum canp_bench_traffic kind, const char *what)
{
	int rc = CANP_EXIT_OK;

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(own_data) && !rc; i++) {
		uint64_t member = own_data[i].member_bytes;
		bool asked = o->k.member_bytes != 0;

		if (own_data[i].kind != kind)
			continue;
		if (asked)
			member = o->k.member_bytes;
		for (unsigned l = 0; l < o->nr_levels && !rc; l++) {
			bool gated =
				member == own_data[i].member_bytes && o->levels[l] == GATE_LEVEL;
			struct canp_bench_members d;
			char name[64];
			int made = canp_bench_members_make(kind, o->k.data_bytes, member,
							   o->levels[l], &d);

			data_name(what, member, o->levels[l], name, sizeof(name));
			rc = data_measure(o, what, name, gated ? own_data[i].gate : 0, &d, made);
		}
		if (asked)
			break;
	}
	return rc;
}

static int data_file(struct canp_bench_out *o, const char *path)
{
	bool repack = o->k.member_bytes || canp_opts_origin(o->opts, "level") != CANP_OPT_DEFAULT;
	uint64_t member = o->k.member_bytes ? o->k.member_bytes : 64 * CANP_KIB;
	const char *base = strrchr(path, '/');
	struct canp_bench_members d;
	int rc = repack ? -EBADMSG : canp_bench_members_log(path, o->k.data_bytes, &d);
	char name[80], stem[40];

	snprintf(stem, sizeof(stem), "%s", base ? base + 1 : path);
	if (rc != -EBADMSG) {
		snprintf(name, sizeof(name), "%s as it is", stem);
		return data_measure(o, path, name, 0, &d, rc);
	}
	if (!repack)
		canp_bench_members_fini(&d);
	rc = CANP_EXIT_OK;
	for (unsigned l = 0; l < o->nr_levels && !rc; l++) {
		int made = canp_bench_members_pack(path, o->k.data_bytes, member, o->levels[l], &d);

		data_name(stem, member, o->levels[l], name, sizeof(name));
		rc = data_measure(o, path, name, 0, &d, made);
	}
	return rc;
}

/* --data may be repeated, and each may be several with commas between. */
static int data_all(struct canp_bench_out *o)
{
	int rc = CANP_EXIT_OK;

	for (unsigned i = 0; i < o->k.data.nr && !rc; i++) {
		char *copy = strdup(o->k.data.v[i]), *rest = copy, *one;

		if (!copy)
			return data_fail("--data", -ENOMEM);
		while (!rc && (one = strsep(&rest, ",")) != NULL) {
			enum canp_bench_traffic kind = canp_bench_traffic_parse(one);

			if (*one)
				rc = kind == CANP_BENCH_FILE ? data_file(o, one)
							     : data_own(o, kind, one);
		}
		free(copy);
	}
	return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int measure(struct canp_bench_out *o)
{
	int rc = canp_bench_wanted(o, "inflate") ? data_all(o) : CANP_EXIT_OK;

	if (rc)
		return rc;
	rc = canp_bench_rows(o);
	return rc ? data_fail("kernels", rc) : CANP_EXIT_OK;
}

static int kernels_run(struct canp_bench_out *o)
{
	int cpu = canp_bench_pin((int)o->cfg.cpu), code;

	if (cpu < 0 && o->cfg.cpu >= 0) {
		char value[24];

		snprintf(value, sizeof(value), "%lld", (long long)o->cfg.cpu);
		return want_fail(o, "cpu", value, "no such CPU, or it is not allowed to us");
	}
	canp_bench_env_begin(&o->env, canp_max(cpu, -1));
	if (o->cfg.json) {
		canp_json_object(&o->js);
		canp_json_kstr(&o->js, "tool", o->tool.name);
		canp_json_kstr(&o->js, "version", CANP_VERSION);
		canp_json_ku64(&o->js, "rounds", o->cfg.rounds);
		canp_json_key(&o->js, "kernels");
		canp_json_array(&o->js);
	}
	code = measure(o);
	canp_bench_env_end(&o->env);
	if (code) {
		canp_strbuf_fini(&o->sb);
		return code;
	}
	if (o->cfg.json) {
		canp_json_end(&o->js);
		canp_json_key(&o->js, "environment");
		canp_bench_env_json(&o->env, &o->js);
		canp_json_end(&o->js);
		canp_strbuf_putc(&o->sb, '\n');
	} else {
		canp_strbuf_puts(&o->sb, "\nmedian/best of the rounds; ratios are those of the "
					 "fastest form of ours, taken round by round\n");
		canp_bench_env_text(&o->env, &o->sb);
	}
	return canp_tool_print(&o->sb);
}

int canp_bench_kernels(int argc, char **argv)
{
	struct canp_bench_out o = {
		.tool = {.name = "canp-bench kernels",
			 .synopsis = "[OPTION]...",
			 .text = "Measures each kernel in each of its forms, side by side, and "
				 "inflate beside ISA-L and zlib."},
		.kernel = "",
	};
	struct canp_opt_bind binds[] = {{&canp_bench_kernels_opt_table, &o.k},
					{&canp_bench_opt_table, &o.cfg}};
	const char *const *operands;
	unsigned nr;
	int rc;

	o.js = (struct canp_json)CANP_JSON_INIT(&o.sb, 2);
	o.tool.help = &o.cfg.help;
	o.tool.version = &o.cfg.version;
	rc = canp_tool_options(&o.tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &o.opts);
	if (rc != -1)
		return rc;
	operands = canp_opts_operands(o.opts, &nr);
	if (nr)
		rc = canp_tool_usage(&o.tool, "'%s': no operand is expected", operands[0]);
	if (rc == -1)
		rc = want_kernels(&o);
	if (rc == -1)
		rc = want_levels(&o);
	if (rc == -1)
		rc = want_simd(&o);
	if (rc == -1 && o.k.member_bytes && o.k.member_bytes < CANP_KIB)
		rc = canp_tool_usage(&o.tool, "command line: --member-bytes: at least 1k, or 0");
	if (rc == -1)
		rc = kernels_run(&o);
	canp_opts_destroy(o.opts);
	return rc;
}
