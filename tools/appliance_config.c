/*
 * appliance_config.c - `canp-appliance config`: the effective options and where each comes from;
 * with --check, whether configuration files are what a job would accept.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "tools/appliance_cmd.h"
#include "tools/appliance_tune_cfg.h"

#define FILE_MAX     (1u << 20) /* as canp_opts_file() */
#define FINDINGS_MAX 100u

/* The text of a file; NULL and the reason on stderr. The caller's. */
static char *slurp(const char *path, size_t *len)
{
	char *text = malloc(FILE_MAX + 1);
	FILE *f = fopen(path, "re");

	if (!f || !text) {
		fprintf(stderr, "%s: %s\n", path, f ? "out of memory" : strerror(errno));
	} else {
		*len = fread(text, 1, FILE_MAX + 1, f);
		if (!ferror(f) && *len <= FILE_MAX) {
			fclose(f);
			return text;
		}
		fprintf(stderr, "%s: %s\n", path,
			ferror(f) ? strerror(errno) : "larger than 1 MiB, no configuration");
	}
	if (f)
		fclose(f);
	free(text);
	return NULL;
}

/* Makes line nr (from 1) blank, so that the next look finds what is wrong behind it. */
static bool blank_line(char *text, size_t len, unsigned nr)
{
	size_t at = 0, n;

	while (at < len && --nr > 0) {
		const char *nl = memchr(text + at, '\n', len - at);

		at = nl ? (size_t)(nl - text) + 1 : len;
	}
	for (n = 0; at + n < len && text[at + n] != '\n'; n++)
		text[at + n] = ' ';
	return n > 0;
}

/* Tells everything that is wrong with a file; true when nothing is. */
static bool check_file(const char *path)
{
	struct canp_job_cli c;
	const struct canp_opt_bind binds[] = {
		{&canp_ingest_opt_table, &c.in},
		{&canp_runtime_opt_table, &c.rt},
		{&canp_lib_opt_table, &c.lib},
		{&canp_appliance_opt_table, &c.ui},
	};
	struct canp_opts *o = NULL;
	unsigned findings = 0, set = 0;
	size_t len = 0;
	char *text = slurp(path, &len);
	int rc;

	if (!text || canp_opts_create(binds, CANP_ARRAY_SIZE(binds), &o)) {
		free(text);
		canp_opts_destroy(o);
		return false;
	}
	while ((rc = canp_opts_ini(o, text, len, path)) != 0 && findings < FINDINGS_MAX) {
		const char *err = canp_opts_error(o), *line = err + strlen(path);

		fprintf(stderr, "%s\n", err);
		findings++;
		if (strncmp(err, path, strlen(path)) || *line != ':' ||
		    !blank_line(text, len, (unsigned)strtoul(line + 1, NULL, 10)))
			break;
	}
	for (unsigned t = 0; t < CANP_ARRAY_SIZE(binds); t++)
		for (unsigned i = 0; i < binds[t].table->nr; i++)
			set += canp_opts_origin(o, binds[t].table->rows[i].name) == CANP_OPT_FILE;
	if (!findings)
		printf("%s: ok, %u option%s set\n", path, set, set == 1 ? "" : "s");
	canp_opts_destroy(o);
	free(text);
	return !findings;
}

static int check_files(const char *const *path, unsigned nr)
{
	bool good = true;

	for (unsigned i = 0; i < nr; i++)
		good = check_file(path[i]) && good;
	return good ? CANP_EXIT_OK : CANP_EXIT_USAGE;
}

int canp_cmd_config_check(int argc, char **argv)
{
	static const struct canp_tool tool = {.name = "canp-appliance config"};

	if (argc < 2)
		return canp_tool_usage(&tool, "--config-check: no file given");
	return check_files((const char *const *)argv + 1, (unsigned)argc - 1);
}

int canp_cmd_config(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance config",
		.synopsis = "[--json] [OPTION]... | --check FILE...",
		.text = "Shows the effective options with their origin (default, file, "
			"environment, "
			"command line), as a file that --config accepts.",
	};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	struct canp_check_cfg own;
	struct canp_job_cli c;
	const char *const *files;
	unsigned nr;
	int code = canp_job_cli_parse_own(&c, &tool, &canp_check_opt_table, &own, argc, argv);

	if (code >= 0)
		return code;
	files = canp_opts_operands(c.opts, &nr);
	if (own.check) {
		code = nr ? check_files(files, nr)
			  : canp_tool_usage(&tool, "--check: no file given");
		canp_job_cli_fini(&c);
		return code;
	}
	canp_job_cli_mode(&c);
	if (c.ui.json) {
		canp_opts_dump_json(c.opts, &js);
		canp_strbuf_putc(&sb, '\n');
	} else {
		canp_opts_dump(c.opts, &sb);
	}
	code = canp_tool_print(&sb);
	canp_job_cli_fini(&c);
	return code;
}
