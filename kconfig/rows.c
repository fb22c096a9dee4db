/*
 * rows.c - what is generated from the option rows: kconfig/Kconfig.run, the option table of the
 * README, man page fragments and shell completion. It links only the option tables, so it is built
 * in a second and needs none of the libraries.
 *
 *	rows kconfig | markdown TOOL | man TOOL | bash TOOL [COMMAND]... | names | profile
 *	rows man canp.conf
 *	PROGRAM --help | rows zsh PROGRAM
 *	PROGRAM --help | rows fish PROGRAM
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/base/opts.h"
#include "core/base/strbuf.h"
#include "core/runtime/runtime_cfg.h"
#include "io/ingest_cfg.h"
#include "io/lib_cfg.h"
#include "kconfig/rows_shell.h"
#include "tools/appliance_cfg.h"
#include "tools/appliance_doctor_cfg.h"
#include "tools/appliance_status_cfg.h"
#include "tools/appliance_tune_cfg.h"
#include "tools/bench_cfg.h"
#include "tools/exec_cfg.h"
#include "tools/gen_cfg.h"
#include "tools/top_cfg.h"

static struct canp_runtime_cfg runtime_cfg;
static struct canp_ingest_cfg ingest_cfg;
static struct canp_lib_cfg lib_cfg;
static struct canp_appliance_cfg appliance_cfg;
static struct canp_exec_cfg exec_cfg;
static struct canp_gen_cfg gen_cfg;
static struct canp_gen_log_cfg gen_log_cfg;

/* The tables a profile (canp.conf) may set come first. */
static const struct canp_opt_bind appliance_binds[] = {
	{&canp_ingest_opt_table, &ingest_cfg},
	{&canp_runtime_opt_table, &runtime_cfg},
	{&canp_lib_opt_table, &lib_cfg},
	{&canp_appliance_opt_table, &appliance_cfg},
};
#define PROFILE_TABLES 3u
#define COMMANDS_MAX   16

static const struct canp_opt_bind exec_binds[] = {{&canp_exec_opt_table, &exec_cfg}};

static const struct canp_opt_bind gen_binds[] = {
	{&canp_gen_log_opt_table, &gen_log_cfg},
	{&canp_gen_opt_table, &gen_cfg},
};

static void put_symbol(const char *name, const char *choice)
{
	printf("CANP_RT_");
	for (; *name; name++)
		putchar(*name == '-' ? '_' : toupper((unsigned char)*name));
	if (!choice)
		return;
	putchar('_');
	for (; *choice; choice++)
		putchar(isalnum((unsigned char)*choice) ? toupper((unsigned char)*choice) : '_');
}

static void put_help(const char *text)
{
	size_t col = 0;

	printf("\thelp\n");
	while (*text) {
		size_t n = strcspn(text, " ");

		if (col && col + 1 + n > 78) {
			printf("\n");
			col = 0;
		}
		col += (size_t)printf("%s%.*s", col ? " " : "\t  ", (int)n, text);
		text += n + strspn(text + n, " ");
	}
	printf("\n");
}

/* A row that needs a build choice is asked for only where that is made. */
static void put_depends(const struct canp_opt *row)
{
	if (!strncmp(row->need, "CONFIG_", strlen("CONFIG_")))
		printf("\tdepends on %s\n", row->need + strlen("CONFIG_"));
}

static void put_choice(const struct canp_opt *row)
{
	struct canp_opt_choice c;

	printf("choice ");
	put_symbol(row->name, NULL);
	printf("\n\tprompt \"%s\"\n", row->name);
	put_depends(row);
	printf("\tdefault ");
	put_symbol(row->name, row->def);
	printf("\n");
	put_help(row->help);
	for (unsigned i = 0; canp_opt_choice(row, i, &c); i++) {
		printf("\nconfig ");
		put_symbol(row->name, c.name);
		printf("\n\tbool \"%s\"\n", c.name);
		if (c.symbol[0])
			printf("\tdepends on %s\n", c.symbol + strlen("CONFIG_"));
		printf("\thelp\n\t  Writes %s = %s.\n", row->name, c.name);
	}
	printf("\nendchoice\n\n");
}

static void put_range(const struct canp_opt *row)
{
	const char *dots = strstr(row->range, "..");

	/* The bounds of --cores are themselves a build choice. */
	if (!strcmp(row->name, "cores") || !strcmp(row->name, "task-cores"))
		printf("\trange 0 CANP_MAX_CORES\n");
	else if (dots)
		printf("\trange %.*s %s\n", (int)(dots - row->range), row->range, dots + 2);
	else
		printf("\trange 0 4294967295\n");
}

static void put_config(const struct canp_opt *row)
{
	struct canp_strbuf help = CANP_STRBUF_INIT;
	bool whole = row->kind == CANP_OPT_UINT || row->kind == CANP_OPT_U64 ||
		     row->kind == CANP_OPT_INT;

	printf("config ");
	put_symbol(row->name, NULL);
	printf("\n\t%s \"%s\"\n",
	       row->kind == CANP_OPT_BOOL ? "bool"
	       : whole                    ? "int"
					  : "string",
	       row->name);
	put_depends(row);
	if (whole)
		put_range(row);
	if (row->kind == CANP_OPT_BOOL)
		printf("\tdefault %c\n", row->def[0]);
	else
		printf(whole ? "\tdefault %s\n" : "\tdefault \"%s\"\n", row->def);
	canp_strbuf_puts(&help, row->help);
	/* Kconfig has no ranges for texts such as 256m; the program checks them. */
	if (!whole && strstr(row->range, ".."))
		canp_strbuf_printf(&help, " Valid: %s%s%s.", row->range, *row->unit ? " " : "",
				   row->unit);
	put_help(help.buf);
	canp_strbuf_fini(&help);
	printf("\n");
}

static void put_kconfig(void)
{
	printf("# Generated from the option rows by `make kconfig-run`; do not edit.\n");
	for (unsigned t = 0; t < PROFILE_TABLES; t++) {
		const struct canp_opt_table *table = appliance_binds[t].table;
		const char *group = "";

		for (unsigned i = 0; i < table->nr; i++) {
			const struct canp_opt *row = &table->rows[i];

			if (row->flags & CANP_OPT_F_JOB)
				continue;
			if (strcmp(group, row->group))
				printf("\ncomment \"%s\"\n\n", row->group);
			group = row->group;
			if (row->kind == CANP_OPT_ENUM)
				put_choice(row);
			else
				put_config(row);
		}
	}
}

static struct canp_bench_cfg bench_cfg;
static struct canp_bench_kernels_cfg bench_kernels_cfg;
static struct canp_bench_job_cfg bench_job_cfg;
static struct canp_bench_pool_cfg bench_pool_cfg;
static struct canp_bench_rt_cfg bench_rt_cfg;

static const struct canp_opt_bind bench_kernels_binds[] = {
	{&canp_bench_kernels_opt_table, &bench_kernels_cfg},
	{&canp_bench_opt_table, &bench_cfg},
};

/* Those of a job are the ones of canp-appliance. */
static const struct canp_opt_bind bench_job_binds[] = {
	{&canp_bench_job_opt_table, &bench_job_cfg}, {&canp_bench_opt_table, &bench_cfg},
	{&canp_gen_log_opt_table, &gen_log_cfg},     {&canp_ingest_opt_table, &ingest_cfg},
	{&canp_runtime_opt_table, &runtime_cfg},
};

static const struct canp_opt_bind bench_pool_binds[] = {
	{&canp_bench_pool_opt_table, &bench_pool_cfg},
	{&canp_bench_opt_table, &bench_cfg},
};

static const struct canp_opt_bind bench_rt_binds[] = {
	{&canp_bench_rt_opt_table, &bench_rt_cfg},
	{&canp_bench_opt_table, &bench_cfg},
};

/* Keys of job files and what `canp-bench run` has besides; two tables of one command. */
static struct canp_benchjob_cfg benchjob_cfg;
static struct canp_benchprog_cfg benchprog_cfg;
static struct canp_bench_compare_cfg bench_compare_cfg;
static const struct canp_opt_bind bench_run_binds[] = {
	{&canp_benchprog_opt_table, &benchprog_cfg}, {&canp_benchjob_opt_table, &benchjob_cfg},
	{&canp_gen_log_opt_table, &gen_log_cfg},     {&canp_ingest_opt_table, &ingest_cfg},
	{&canp_runtime_opt_table, &runtime_cfg},
};
static const struct canp_opt_bind bench_compare_binds[] = {
	{&canp_bench_compare_opt_table, &bench_compare_cfg},
};
static struct canp_top_cfg top_cfg;
static struct canp_status_cfg status_cfg;
static struct canp_tune_cfg tune_cfg;
static const struct canp_opt_bind top_binds[] = {{&canp_top_opt_table, &top_cfg}};
static const struct canp_opt_bind status_binds[] = {{&canp_status_opt_table, &status_cfg}};

static struct canp_check_cfg check_cfg;
static struct canp_doctor_cfg doctor_cfg;

/* Beside its own options it knows those of a job, which the page lists already. */
#define JOB_BINDS                                                                                  \
	{&canp_ingest_opt_table, &ingest_cfg}, {&canp_runtime_opt_table, &runtime_cfg},            \
		{&canp_lib_opt_table, &lib_cfg},                                                   \
	{                                                                                          \
		&canp_appliance_opt_table, &appliance_cfg                                          \
	}

static const struct canp_opt_bind tune_binds[] = {{&canp_tune_opt_table, &tune_cfg}, JOB_BINDS};
static const struct canp_opt_bind config_binds[] = {{&canp_check_opt_table, &check_cfg}, JOB_BINDS};
static const struct canp_opt_bind doctor_binds[] = {{&canp_doctor_opt_table, &doctor_cfg},
						    JOB_BINDS};

/* TOOL: a program, or a command of one that has options of its own. */
static const struct rows_tool tools[] = {
	{"canp-appliance", appliance_binds, CANP_ARRAY_SIZE(appliance_binds)},
	{"canp-appliance status", status_binds, CANP_ARRAY_SIZE(status_binds)},
	{"canp-appliance config", config_binds, CANP_ARRAY_SIZE(config_binds)},
	{"canp-appliance doctor", doctor_binds, CANP_ARRAY_SIZE(doctor_binds)},
	{"canp-appliance tune", tune_binds, CANP_ARRAY_SIZE(tune_binds)},
	{"canp-top", top_binds, CANP_ARRAY_SIZE(top_binds)},
	{"canp-exec", exec_binds, CANP_ARRAY_SIZE(exec_binds)},
	{"canp-gen", gen_binds, CANP_ARRAY_SIZE(gen_binds)},
	{"canp-bench run", bench_run_binds, CANP_ARRAY_SIZE(bench_run_binds)},
	{"canp-bench compare", bench_compare_binds, CANP_ARRAY_SIZE(bench_compare_binds)},
	{"canp-bench kernels", bench_kernels_binds, CANP_ARRAY_SIZE(bench_kernels_binds)},
	{"canp-bench job", bench_job_binds, CANP_ARRAY_SIZE(bench_job_binds)},
	{"canp-bench pool", bench_pool_binds, CANP_ARRAY_SIZE(bench_pool_binds)},
	{"canp-bench runtime", bench_rt_binds, CANP_ARRAY_SIZE(bench_rt_binds)},
};

static unsigned find_tool(const char *name)
{
	unsigned t = 0;

	while (t < CANP_ARRAY_SIZE(tools) && strcmp(name, tools[t].name))
		t++;
	return t;
}

static int put_tool(const char *what, const char *tool)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_opts *o = NULL;
	unsigned t = find_tool(tool), nr;
	int rc;

	if (t == CANP_ARRAY_SIZE(tools)) {
		fprintf(stderr, "rows: no tool '%s'\n", tool);
		return 2;
	}
	nr = tools[t].nr;
	if (!strcmp(what, "man") &&
	    (tools[t].binds == tune_binds || tools[t].binds == config_binds))
		nr = 1;
	rc = canp_opts_create(tools[t].binds, nr, &o);
	if (rc) {
		fprintf(stderr, "rows: %s\n", o ? canp_opts_error(o) : "out of memory");
		canp_opts_destroy(o);
		return 1;
	}
	if (!strcmp(what, "markdown"))
		canp_opts_markdown(o, &sb);
	else if (!strcmp(what, "man"))
		canp_opts_man(o, &sb);
	else
		canp_opts_bash(o, tool, &sb);
	fwrite(sb.buf, 1, sb.len, stdout);
	canp_strbuf_fini(&sb);
	canp_opts_destroy(o);
	return 0;
}

/* scdoc reads these as markup. */
static void put_scdoc(const char *text)
{
	for (; *text; text++)
		printf("%s%c", strchr("_*\\[]<>#", *text) ? "\\" : "", *text);
}

/* A key of canp.conf: the help text of its option, which begins "-x, --[no-]name=VALUE  text". */
static void put_conf_key(const struct canp_opt *row)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	char *save = NULL, *word, *value;

	canp_opts_help_one(row, &sb);
	word = sb.failed ? NULL : strtok_r(sb.buf, " \n", &save);
	while (word && strncmp(word, "--", 2))
		word = strtok_r(NULL, " \n", &save);
	if (word) {
		value = strchr(word, '=');
		printf("*%s* = ", row->name);
		put_scdoc(value ? value + 1 : "yes|no");
		printf("\n\t");
		while ((word = strtok_r(NULL, " \n", &save))) {
			put_scdoc(word);
			putchar(' ');
		}
		printf("\n\n");
	}
	canp_strbuf_fini(&sb);
}

/* All keys of canp.conf, also those that only the library reads: the options that do not belong to
 * one job. */
static void put_conf(void)
{
	const char *group = "";

	for (unsigned t = 0; t < PROFILE_TABLES; t++)
		for (unsigned i = 0; i < appliance_binds[t].table->nr; i++) {
			const struct canp_opt *row = &appliance_binds[t].table->rows[i];

			if (row->flags & CANP_OPT_F_JOB)
				continue;
			if (strcmp(group, row->group))
				printf("## %s\n\n", row->group);
			group = row->group;
			put_conf_key(row);
		}
}

static void put_symbol_of_shell(const char *name)
{
	putchar('_');
	for (; *name; name++)
		putchar(*name == '-' || *name == ' ' ? '_' : *name);
}

/* Completion of a program with commands. Those that have no options of their own share the
 * program's. The choice of the command stands last: what is said last about a program counts. */
static int put_bash(const char *tool, char **command, int nr)
{
	const char *own = NULL;
	char name[COMMANDS_MAX][64];
	int rc = 0;

	for (int i = 0; i < nr && !rc; i++) {
		snprintf(name[i], sizeof(name[i]), "%s %s", tool, command[i]);
		if (find_tool(name[i]) == CANP_ARRAY_SIZE(tools)) {
			snprintf(name[i], sizeof(name[i]), "%s", tool);
			rc = own ? 0 : put_tool("bash", tool);
			own = tool;
		} else {
			rc = put_tool("bash", name[i]);
		}
	}
	if (rc)
		return rc;
	put_symbol_of_shell(tool);
	printf("_command()\n{\n\tcase $COMP_CWORD,${COMP_WORDS[1]} in\n"
	       "\t1,*) COMPREPLY=($(compgen -W \"");
	for (int i = 0; i < nr; i++)
		printf("%s ", command[i]);
	printf("--help --version\" -- \"${COMP_WORDS[1]}\")) ;;\n");
	for (int i = 0; i < nr; i++) {
		printf("\t*,%s) ", command[i]);
		put_symbol_of_shell(name[i]);
		printf(" ;;\n");
	}
	printf("\tesac\n}\ncomplete -o filenames -F ");
	put_symbol_of_shell(tool);
	printf("_command %s\n", tool);
	return 0;
}

/* All options, or those that a profile may set. */
static void put_names(bool profile)
{
	for (unsigned t = 0; t < (profile ? PROFILE_TABLES : CANP_ARRAY_SIZE(appliance_binds)); t++)
		for (unsigned i = 0; i < appliance_binds[t].table->nr; i++) {
			const struct canp_opt *row = &appliance_binds[t].table->rows[i];

			if (!profile || !(row->flags & CANP_OPT_F_JOB))
				printf("%s\n", row->name);
		}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "kconfig")) {
		put_kconfig();
		return 0;
	}
	if (argc == 2 && (!strcmp(argv[1], "names") || !strcmp(argv[1], "profile"))) {
		put_names(argv[1][0] == 'p');
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "man") && !strcmp(argv[2], "canp.conf")) {
		put_conf();
		return 0;
	}
	if (argc == 3 &&
	    (!strcmp(argv[1], "markdown") || !strcmp(argv[1], "man") || !strcmp(argv[1], "bash")))
		return put_tool(argv[1], argv[2]);
	if (argc == 3 && !strcmp(argv[1], "zsh"))
		return rows_zsh(tools, CANP_ARRAY_SIZE(tools), argv[2], stdin) ? 2 : 0;
	if (argc == 3 && !strcmp(argv[1], "fish"))
		return rows_fish(tools, CANP_ARRAY_SIZE(tools), argv[2], stdin) ? 2 : 0;
	if (argc > 3 && argc <= 3 + COMMANDS_MAX && !strcmp(argv[1], "bash"))
		return put_bash(argv[2], argv + 3, argc - 3);
	fprintf(stderr, "usage: rows kconfig | names | profile | markdown TOOL | man TOOL | "
			"bash TOOL [COMMAND]... | zsh PROGRAM <HELP | fish PROGRAM <HELP\n");
	return 2;
}
