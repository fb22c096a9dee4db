/*
 * benchjob_main.c - `canp-bench run`: the command line of fio. Job files are operands; --name=x
 * begins a job on the command line; keys before the first --name hold for all jobs, those of files
 * included, and beat what the files say.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/version.h"
#include "tools/bench_cmd.h"
#include "tools/benchjob.h"

struct bench_run {
	struct canp_benchprog_cfg cfg;
	struct canp_opts *opts; /* of the program */
	struct canp_benchjob_list list;
	struct canp_benchjob_file loose; /* keys before the first --name, as its globals */
	struct canp_benchjob rows;       /* only for its option rows */
	struct canp_benchjob_vars vars;
	struct canp_strbuf err;
	unsigned nr_files;   /* sections that came from files: the first ones */
	const char *cmdhelp; /* "" all, NULL: not asked for */
	bool named;
};

static int complain(struct bench_run *b)
{
	fprintf(stderr, "canp-bench run: %s\n", b->err.len ? b->err.buf : "out of memory");
	return CANP_EXIT_USAGE;
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* output= is the form of the dataset in a job file, and the report's file for users of fio. */
static bool is_sink(const char *value)
{
	static const char *const sinks[] = {"parquet", "csv", "arrow", "null"};

	for (unsigned i = 0; value && i < CANP_ARRAY_SIZE(sinks); i++)
		if (!strcmp(value, sinks[i]))
			return true;
	return false;
}

/* -1 or an exit code. */
static int take_pair(struct bench_run *b, const char *key, const char *value)
{
	char where[80];
	int rc = 0;

	snprintf(where, sizeof(where), "--%.60s", key);
	if (!strcmp(key, "cmdhelp")) {
		b->cmdhelp = value ? value : "";
	} else if (!strcmp(key, "name")) {
		rc = canp_benchjob_begin(&b->list.file, value ? value : "", where, &b->err);
		b->named = true;
		for (unsigned i = 0; i < b->loose.global.nr && !rc; i++)
			rc = canp_benchjob_add(&b->list.file, b->loose.global.pairs[i].key,
					       b->loose.global.pairs[i].value,
					       b->loose.global.pairs[i].where, &b->vars, &b->err);
	} else if (!strcmp(key, "output") && !is_sink(value)) {
		rc = canp_opts_set(b->opts, "output-file", value ? value : "", CANP_OPT_CLI, NULL);
	} else if (canp_opts_find(b->opts, key)) {
		bool flag = canp_opts_find(b->opts, key)->kind == CANP_OPT_BOOL;

		/* Scripts may have it in letters. */
		if (value && !strcmp(key, "output-format") && !strcmp(value, "json-plus"))
			value = "json+";
		rc = canp_opts_set(b->opts, key,
				   value  ? value
				   : flag ? "yes"
					  : "",
				   CANP_OPT_CLI, NULL);
		if (rc)
			canp_strbuf_puts(&b->err, canp_opts_error(b->opts));
	} else {
		rc = canp_benchjob_add(b->named ? &b->list.file : &b->loose, key, value, where,
				       &b->vars, &b->err);
	}
	return rc ? complain(b) : -1;
}

/* Keys that need a value may have it as the next argument. */
static bool wants_next(const struct bench_run *b, const char *key)
{
	const struct canp_opt *row = canp_opts_find(b->opts, key);

	if (!row)
		row = canp_opts_find(b->rows.cli.opts, canp_benchjob_key(key));
	return !strcmp(key, "name") || (row && row->kind != CANP_OPT_BOOL);
}

static int take_option(struct bench_run *b, const char *arg, const char *next, int *used)
{
	size_t n = strcspn(arg, "=");
	const char *value = arg[n] ? arg + n + 1 : NULL;
	char key[64];

	if (n >= sizeof(key)) {
		canp_strbuf_printf(&b->err, "--%.60s..: no key is so long", arg);
		return complain(b);
	}
	memcpy(key, arg, n);
	key[n] = '\0';
	for (char *c = key; *c; c++)
		*c = *c == '_' ? '-' : *c;
	if (!value && next && wants_next(b, key)) {
		value = next;
		*used = 1;
	}
	return take_pair(b, key, value);
}

static int take_args(struct bench_run *b, int argc, char **argv)
{
	int rc = -1;

	for (int i = 1; i < argc && rc < 0; i++) {
		int used = 0;

		if (!strcmp(argv[i], "-h")) {
			b->cfg.help = true;
		} else if (!strncmp(argv[i], "--", 2) && argv[i][2]) {
			rc = take_option(b, argv[i] + 2, argv[i + 1], &used);
		} else if (b->named) {
			canp_strbuf_printf(&b->err, "%s: job files come before --name", argv[i]);
			rc = complain(b);
		} else {
			if (canp_benchjob_read(&b->list.file, argv[i], &b->vars, &b->err))
				rc = complain(b);
			b->nr_files = b->list.file.nr;
		}
		i += used;
	}
	return rc;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static int show_help(const struct bench_run *b)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	canp_strbuf_puts(&sb,
			 "Usage: canp-bench run FILE.job... [OPTION]...\n"
			 "       canp-bench run [--KEY=VALUE]... --name=NAME [--KEY=VALUE]...\n\n"
			 "Runs benchmark jobs. Each key of a job file is an option too.\n");
	canp_opts_help(b->opts, &sb);
	canp_opts_help(b->rows.cli.opts, &sb);
	return canp_tool_print(&sb);
}

static int show_key(struct bench_run *b)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	const struct canp_opt *row;
	char key[64];

	if (!*b->cmdhelp || !strcmp(b->cmdhelp, "all")) {
		canp_opts_help(b->rows.cli.opts, &sb);
		return canp_tool_print(&sb);
	}
	snprintf(key, sizeof(key), "%s", b->cmdhelp);
	for (char *c = key; *c; c++)
		*c = *c == '_' ? '-' : *c;
	row = canp_opts_find(b->rows.cli.opts, canp_benchjob_key(key));
	if (!row)
		row = canp_opts_find(b->opts, key);
	if (!row) {
		canp_opts_set(b->rows.cli.opts, key, "", CANP_OPT_CLI, "--cmdhelp");
		canp_strbuf_puts(&b->err, canp_opts_error(b->rows.cli.opts));
		return complain(b);
	}
	canp_opts_help_one(row, &sb);
	return canp_tool_print(&sb);
}

/* In single quotes where the shell would see something else. */
static void put_quoted(struct canp_strbuf *sb, const char *s)
{
	if (!s[strcspn(s, " \t'\"$*?;&|<>()\\[]{}~#!`")]) {
		canp_strbuf_puts(sb, s);
		return;
	}
	canp_strbuf_putc(sb, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			canp_strbuf_puts(sb, "'\\''");
		else
			canp_strbuf_putc(sb, *s);
	}
	canp_strbuf_putc(sb, '\'');
}

static int show_cmd(const struct bench_run *b)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	canp_strbuf_puts(&sb, "canp-bench");
	for (unsigned i = 0; i < b->list.nr; i++) {
		const struct canp_benchjob_section *s = b->list.job[i].section;

		canp_strbuf_puts(&sb, " --name=");
		put_quoted(&sb, s->name);
		for (unsigned k = 0; k < s->nr; k++) {
			canp_strbuf_printf(&sb, " --%s", s->pairs[k].key);
			if (!s->pairs[k].value)
				continue;
			canp_strbuf_putc(&sb, '=');
			put_quoted(&sb, s->pairs[k].value);
		}
	}
	canp_strbuf_putc(&sb, '\n');
	return canp_tool_print(&sb);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static bool wanted(const struct bench_run *b, const char *name)
{
	for (unsigned i = 0; i < b->cfg.section.nr; i++)
		if (!fnmatch(b->cfg.section.v[i], name, 0))
			return true;
	return !b->cfg.section.nr;
}

/* -1 or an exit code. */
static int open_jobs(struct bench_run *b)
{
	struct canp_benchjob_list *l = &b->list;
	unsigned wave = 0, group = 0;

	l->job = calloc(l->file.nr + 1, sizeof(*l->job));
	if (!l->job)
		return complain(b);
	for (unsigned i = 0; i < l->file.nr; i++) {
		const struct canp_benchjob_section *over =
			i < b->nr_files ? &b->loose.global : NULL;
		struct canp_benchjob *j = &l->job[l->nr];

		if (!wanted(b, l->file.sections[i].name))
			continue;
		l->nr++;
		if (canp_benchjob_open(j, &l->file.sections[i], over, &b->err))
			return complain(b);
		wave += l->nr > 1 && j->cfg.stonewall;
		group += l->nr > 1 && (j->cfg.stonewall || j->cfg.new_group);
		j->wave = wave;
		j->group = group;
	}
	if (l->nr)
		return -1;
	canp_strbuf_puts(&b->err, l->file.nr ? "--section: no section has such a name"
					     : "no jobs: give a file with a [section], or --name");
	return complain(b);
}

static int write_report(const struct bench_run *b, struct canp_strbuf *sb)
{
	FILE *f;
	bool bad;

	if (!*b->cfg.output)
		return canp_tool_print(sb);
	f = fopen(b->cfg.output, "we");
	bad = !f || sb->failed || fwrite(sb->buf, 1, sb->len, f) != sb->len;
	if (f && fclose(f))
		bad = true;
	canp_strbuf_fini(sb);
	if (!bad)
		return CANP_EXIT_OK;
	fprintf(stderr, "canp-bench run: %s: %s\n", b->cfg.output, canp_strerror(-errno));
	return CANP_EXIT_FATAL;
}

static int run_jobs(struct bench_run *b)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_benchjob_report rep;
	bool eta = b->cfg.eta == CANP_CFG_ETA_ALWAYS ||
		   (b->cfg.eta == CANP_CFG_ETA_AUTO && isatty(STDERR_FILENO));
	int rc = canp_benchjob_sched(&b->list, b->cfg.self_check, eta, &rep), rc2;

	if (rc < 0) {
		fprintf(stderr, "canp-bench run: %s\n", canp_strerror(rc));
		canp_benchjob_report_fini(&rep);
		return CANP_EXIT_FATAL;
	}
	if (b->cfg.output_format == CANP_CFG_FORM_NORMAL)
		canp_benchjob_text(&rep, &sb);
	else if (b->cfg.output_format == CANP_CFG_FORM_TERSE)
		canp_benchjob_terse(&rep, &sb);
	else
		canp_benchjob_json(&rep, b->cfg.output_format == CANP_CFG_FORM_JSONPLUS, &sb);
	rc2 = write_report(b, &sb);
	canp_benchjob_report_fini(&rep);
	return rc ? CANP_EXIT_FATAL : rc2;
}

static int run(struct bench_run *b, int argc, char **argv)
{
	const struct canp_opt_bind bind = {&canp_benchprog_opt_table, &b->cfg};
	int rc;

	canp_benchjob_vars_host(&b->vars);
	if (canp_opts_create(&bind, 1, &b->opts) || !canp_benchjob_opts(&b->rows))
		return complain(b);
	rc = take_args(b, argc, argv);
	if (rc >= 0)
		return rc;
	if (b->cfg.help)
		return show_help(b);
	if (b->cfg.version) {
		printf("canp-bench %s\n", CANP_VERSION);
		return CANP_EXIT_OK;
	}
	if (b->cmdhelp)
		return show_key(b);
	rc = open_jobs(b);
	if (rc >= 0)
		return rc;
	if (b->cfg.showcmd)
		return show_cmd(b);
	return b->cfg.parse_only ? CANP_EXIT_OK : run_jobs(b);
}

int canp_bench_run(int argc, char **argv)
{
	struct bench_run *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return CANP_EXIT_FATAL;
	rc = run(b, argc, argv);
	for (unsigned i = 0; i < b->list.nr; i++)
		canp_benchjob_close(&b->list.job[i]);
	free(b->list.job);
	canp_benchjob_fini(&b->list.file);
	canp_benchjob_fini(&b->loose);
	canp_benchjob_close(&b->rows);
	canp_opts_destroy(b->opts);
	canp_strbuf_fini(&b->err);
	free(b);
	return rc;
}
