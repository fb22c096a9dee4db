/*
 * opts_text.c - everything that is written about options: help, man page fragment, table for the
 * README, shell completion, and the dump of the effective configuration. All from the same rows.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/opts.h"
#include "core/base/opts_priv.h"

#define HELP_COLUMN 30u
#define HELP_WIDTH  80u

static bool textual(const struct canp_opt *row)
{
	return row->kind == CANP_OPT_STR || row->kind == CANP_OPT_LIST ||
	       row->kind == CANP_OPT_TIME;
}

/* What stands for the value: N, SIZE, FILE, "a|b|c"; "" for BOOL. */
static void put_metavar(const struct canp_opt *row, struct canp_strbuf *sb)
{
	static const char *const words[] = {
		[CANP_OPT_INT] = "N",     [CANP_OPT_UINT] = "N",   [CANP_OPT_U64] = "N",
		[CANP_OPT_SIZE] = "SIZE", [CANP_OPT_DOUBLE] = "X", [CANP_OPT_DURATION] = "TIME",
		[CANP_OPT_TIME] = "WHEN", [CANP_OPT_STR] = "TEXT", [CANP_OPT_LIST] = "TEXT",
	};
	struct canp_opt_choice c;

	if (row->kind == CANP_OPT_BOOL)
		return;
	if (row->kind == CANP_OPT_ENUM) {
		for (unsigned i = 0; canp_opt_choice(row, i, &c); i++)
			canp_strbuf_printf(sb, "%s%s", i ? "|" : "", c.name);
		return;
	}
	canp_strbuf_puts(sb, textual(row) && *row->range ? row->range : words[row->kind]);
}

static void put_synopsis(const struct canp_opt *row, struct canp_strbuf *sb)
{
	if (row->letter)
		canp_strbuf_printf(sb, "-%c, ", row->letter);
	canp_strbuf_printf(sb, "--%s%s", row->kind == CANP_OPT_BOOL ? "[no-]" : "", row->name);
	if (row->kind != CANP_OPT_BOOL)
		canp_strbuf_putc(sb, '=');
	put_metavar(row, sb);
}

/* " (default 4, 1..64 slices)" and what is not built. */
static void put_facts(const struct canp_opt *row, struct canp_strbuf *sb)
{
	struct canp_opt_choice c;

	if (*row->def || !textual(row)) {
		canp_strbuf_printf(sb, " (default %s", *row->def ? row->def : "none");
		if (strstr(row->range, ".."))
			canp_strbuf_printf(sb, ", %s", row->range);
		canp_strbuf_printf(sb, "%s%s)", *row->unit ? " " : "", row->unit);
	}
	if (row->kind == CANP_OPT_LIST)
		canp_strbuf_puts(sb, " (may be repeated)");
	if (!row->built)
		canp_strbuf_printf(sb, " (not built: %s)", row->need);
	if (row->kind != CANP_OPT_ENUM)
		return;
	for (unsigned i = 0; canp_opt_choice(row, i, &c); i++)
		if (!c.built)
			canp_strbuf_printf(sb, " (%s not built: %s)", c.name, c.symbol);
}

/* Words of text from column HELP_COLUMN on; the caller's line is at column col. */
static void put_wrapped(const char *text, size_t col, struct canp_strbuf *sb)
{
	bool first = true;

	if (col + 2 > HELP_COLUMN) {
		canp_strbuf_putc(sb, '\n');
		col = 0;
	}
	canp_strbuf_printf(sb, "%*s", (int)(HELP_COLUMN - col), "");
	col = HELP_COLUMN;
	while (*text) {
		size_t n = strcspn(text, " ");

		if (!first && col + 1 + n > HELP_WIDTH) {
			canp_strbuf_printf(sb, "\n%*s", (int)HELP_COLUMN, "");
			col = HELP_COLUMN;
			first = true;
		}
		canp_strbuf_puts(sb, first ? "" : " ");
		canp_strbuf_add(sb, text, n);
		col += n + !first;
		first = false;
		text += n + strspn(text + n, " ");
	}
	canp_strbuf_putc(sb, '\n');
}

void canp_opts_help_one(const struct canp_opt *row, struct canp_strbuf *sb)
{
	struct canp_strbuf text = CANP_STRBUF_INIT;
	size_t start = sb->len;

	canp_strbuf_puts(sb, row->letter ? "  " : "      ");
	put_synopsis(row, sb);
	canp_strbuf_puts(&text, row->help);
	put_facts(row, &text);
	if (!text.failed)
		put_wrapped(text.buf, sb->len - start, sb);
	canp_strbuf_fini(&text);
}

/* Calls fn for every visible row, group by group in order of first appearance. */
static void by_group(const struct canp_opts *o, struct canp_strbuf *sb,
		     void (*title)(const char *group, struct canp_strbuf *sb),
		     void (*fn)(const struct canp_opt *row, struct canp_strbuf *sb))
{
	for (unsigned i = 0; i < o->nr; i++) {
		const char *group = o->states[i].row->group;
		bool seen = false, titled = false;

		for (unsigned j = 0; j < i && !seen; j++)
			seen = !strcmp(o->states[j].row->group, group);
		for (unsigned j = i; !seen && j < o->nr; j++) {
			const struct canp_opt *row = o->states[j].row;

			if (strcmp(row->group, group) || (row->flags & CANP_OPT_F_HIDDEN))
				continue;
			if (!titled && title)
				title(group, sb);
			titled = true;
			fn(row, sb);
		}
	}
}

static void help_title(const char *group, struct canp_strbuf *sb)
{
	canp_strbuf_printf(sb, "%s%s:\n", sb->len ? "\n" : "", group);
}

void canp_opts_help(const struct canp_opts *o, struct canp_strbuf *sb)
{
	by_group(o, sb, help_title, canp_opts_help_one);
}

/* scdoc reads _, * and \ as markup. */
static void put_scdoc(const char *text, struct canp_strbuf *sb)
{
	for (; *text; text++) {
		if (strchr("_*\\[]<>#", *text))
			canp_strbuf_putc(sb, '\\');
		canp_strbuf_putc(sb, *text);
	}
}

static void man_title(const char *group, struct canp_strbuf *sb)
{
	canp_strbuf_puts(sb, "## ");
	put_scdoc(group, sb);
	canp_strbuf_puts(sb, "\n\n");
}

static void man_row(const struct canp_opt *row, struct canp_strbuf *sb)
{
	struct canp_strbuf text = CANP_STRBUF_INIT;

	put_synopsis(row, &text);
	canp_strbuf_putc(sb, '*');
	put_scdoc(text.failed ? row->name : text.buf, sb);
	canp_strbuf_puts(sb, "*\n\t");
	canp_strbuf_reset(&text);
	canp_strbuf_puts(&text, row->help);
	put_facts(row, &text);
	put_scdoc(text.failed ? row->help : text.buf, sb);
	canp_strbuf_puts(sb, "\n\n");
	canp_strbuf_fini(&text);
}

void canp_opts_man(const struct canp_opts *o, struct canp_strbuf *sb)
{
	by_group(o, sb, man_title, man_row);
}

/* A pipe inside a cell would end it. */
static void put_cell(const char *text, struct canp_strbuf *sb)
{
	for (; *text; text++) {
		if (*text == '|')
			canp_strbuf_putc(sb, '\\');
		canp_strbuf_putc(sb, *text);
	}
}

static void markdown_row(const struct canp_opt *row, struct canp_strbuf *sb)
{
	struct canp_strbuf text = CANP_STRBUF_INIT;

	put_synopsis(row, &text);
	canp_strbuf_puts(sb, "| `");
	put_cell(text.failed ? row->name : text.buf, sb);
	canp_strbuf_printf(sb, "` | %s | ", row->def);
	put_cell(strstr(row->range, "..") ? row->range : "", sb);
	canp_strbuf_printf(sb, "%s%s | ", strstr(row->range, "..") && *row->unit ? " " : "",
			   row->unit);
	put_cell(row->help, sb);
	canp_strbuf_puts(sb, " |\n");
	canp_strbuf_fini(&text);
}

/* One small table per group, so that the columns of each stay narrow. */
static void markdown_title(const char *group, struct canp_strbuf *sb)
{
	canp_strbuf_printf(
		sb, "\n**%s**\n\n| option | default | range | meaning |\n|---|---|---|---|\n",
		group);
}

void canp_opts_markdown(const struct canp_opts *o, struct canp_strbuf *sb)
{
	by_group(o, sb, markdown_title, markdown_row);
	canp_strbuf_putc(sb, '\n');
}

static void bash_choices(const struct canp_opt *row, struct canp_strbuf *sb)
{
	struct canp_opt_choice c;

	canp_strbuf_printf(sb, "\t--%s)\n\t\tCOMPREPLY=($(compgen -W \"", row->name);
	for (unsigned i = 0; canp_opt_choice(row, i, &c); i++)
		canp_strbuf_printf(sb, "%s%s", i ? " " : "", c.name);
	canp_strbuf_puts(sb, "\" -- \"$cur\"))\n\t\treturn\n\t\t;;\n");
}

void canp_opts_bash(const struct canp_opts *o, const char *tool, struct canp_strbuf *sb)
{
	char fn[64];

	snprintf(fn, sizeof(fn), "_%s", tool);
	for (char *p = fn; *p; p++)
		*p = *p == '-' || *p == ' ' ? '_' : *p;
	canp_strbuf_printf(sb, "# bash completion for %s\n%s()\n{\n", tool, fn);
	/* Readline splits at '=', so "--name=va" arrives as three words. */
	canp_strbuf_puts(sb,
			 "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
			 "\t[ \"$cur\" = = ] && cur=\n"
			 "\t[ \"$prev\" = = ] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
			 "\tcase $prev in\n");
	for (unsigned i = 0; i < o->nr; i++)
		if (o->states[i].row->kind == CANP_OPT_ENUM)
			bash_choices(o->states[i].row, sb);
	canp_strbuf_puts(sb, "\tesac\n\tif [[ $cur == -* ]]; then\n\t\tCOMPREPLY=($(compgen -W \"");
	for (unsigned i = 0; i < o->nr; i++) {
		const struct canp_opt *row = o->states[i].row;

		if (row->flags & CANP_OPT_F_HIDDEN)
			continue;
		canp_strbuf_printf(sb, "--%s%s ", row->name, row->kind == CANP_OPT_BOOL ? "" : "=");
		if (row->kind == CANP_OPT_BOOL)
			canp_strbuf_printf(sb, "--no-%s ", row->name);
	}
	canp_strbuf_puts(sb,
			 "\" -- \"$cur\"))\n\t\t[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
			 "\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\tfi\n}\n");
	canp_strbuf_printf(sb, "complete -o filenames -F %s %.*s\n", fn, (int)strcspn(tool, " "),
			   tool);
}

static void dump_line(const struct opt_state *st, const char *value, struct canp_strbuf *sb)
{
	size_t start = sb->len;
	bool quote = *value == ' ' || *value == '\t' || *value == '"' || strpbrk(value, "#;");
	int pad;

	/* What a file may not say is shown as a comment, so that the dump can be loaded again. */
	if (st->row->flags & CANP_OPT_F_NO_FILE)
		canp_strbuf_puts(sb, "# ");
	canp_strbuf_printf(sb, "%s = %s%s%s", st->row->name, quote ? "\"" : "", value,
			   quote ? "\"" : "");
	pad = 40 - (int)(sb->len - start);
	canp_strbuf_printf(sb, "%*s # %s\n", pad > 0 ? pad : 0, "",
			   canp_opt_origin_name(st->origin));
}

void canp_opts_dump(const struct canp_opts *o, struct canp_strbuf *sb)
{
	struct canp_strbuf value = CANP_STRBUF_INIT;

	canp_strbuf_puts(sb, "[global]\n");
	for (unsigned i = 0; i < o->nr; i++) {
		const struct opt_state *st = &o->states[i];
		const struct canp_opt_list *list = st->field;

		/* The file must be accepted where it was written. */
		if (!st->row->built)
			continue;
		if (st->row->kind == CANP_OPT_LIST) {
			for (unsigned j = 0; j < list->nr; j++)
				dump_line(st, list->v[j], sb);
			continue;
		}
		canp_strbuf_reset(&value);
		canp_opt_value_print(st->row, st->field, &value);
		dump_line(st, value.buf ? value.buf : "", sb);
	}
	canp_strbuf_fini(&value);
}

static void dump_json_value(const struct opt_state *st, struct canp_json *js)
{
	const struct canp_opt_list *list = st->field;
	struct canp_strbuf text = CANP_STRBUF_INIT;

	switch (st->row->kind) {
	case CANP_OPT_BOOL:
		canp_json_bool(js, *(const bool *)st->field);
		break;
	case CANP_OPT_INT:
		canp_json_i64(js, *(const int64_t *)st->field);
		break;
	case CANP_OPT_UINT:
		canp_json_u64(js, *(const unsigned *)st->field);
		break;
	case CANP_OPT_U64:
	case CANP_OPT_SIZE:
	case CANP_OPT_DURATION:
		canp_json_u64(js, *(const uint64_t *)st->field);
		break;
	case CANP_OPT_DOUBLE:
		canp_json_double(js, *(const double *)st->field);
		break;
	case CANP_OPT_LIST:
		canp_json_array(js);
		for (unsigned i = 0; i < list->nr; i++)
			canp_json_str(js, list->v[i]);
		canp_json_end(js);
		break;
	default:
		canp_opt_value_print(st->row, st->field, &text);
		canp_json_str(js, text.buf ? text.buf : "");
		canp_strbuf_fini(&text);
	}
}

void canp_opts_dump_json(const struct canp_opts *o, struct canp_json *js)
{
	canp_json_object(js);
	for (unsigned i = 0; i < o->nr; i++) {
		canp_json_key(js, o->states[i].row->name);
		canp_json_object(js);
		canp_json_key(js, "value");
		dump_json_value(&o->states[i], js);
		canp_json_kstr(js, "origin", canp_opt_origin_name(o->states[i].origin));
		canp_json_end(js);
	}
	canp_json_end(js);
}
