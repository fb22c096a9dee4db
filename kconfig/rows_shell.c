/*
 * rows_shell.c - completion for zsh and fish. Of a help text the first sentence is shown; values of
 * an option are its choices, files or folders.
 *
 * zsh: a function for each command that hands one specification per option to _arguments, and one
 * that chooses between them; the file is autoloaded under the name of the program. fish: one line
 * per option, with the commands that know it as its condition.
 */
#include "kconfig/rows_shell.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define COMMANDS_MAX 24

struct command {
	char name[32], text[96];
	const struct rows_tool *tool; /* whose options it has */
};

struct program {
	const char *name;
	char fn[64]; /* _canp_appliance */
	struct command cmd[COMMANDS_MAX];
	unsigned nr;
	const struct rows_tool *own; /* without commands, and for those without options of theirs */
};

static const struct rows_tool *find_tool(const struct rows_tool *tools, unsigned nr,
					 const char *program, const char *command)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s%s", program, *command ? " " : "", command);
	for (unsigned i = 0; i < nr; i++)
		if (!strcmp(tools[i].name, name))
			return &tools[i];
	return NULL;
}

static int read_program(struct program *p, const struct rows_tool *tools, unsigned nr,
			const char *name, FILE *overview)
{
	char line[256];

	memset(p, 0, sizeof(*p));
	p->name = name;
	snprintf(p->fn, sizeof(p->fn), "_%s", name);
	for (char *c = p->fn; *c; c++)
		*c = *c == '-' ? '_' : *c;
	p->own = find_tool(tools, nr, name, "");
	while (fgets(line, sizeof(line), overview)) {
		struct command *c = &p->cmd[p->nr];

		if (p->nr == COMMANDS_MAX ||
		    sscanf(line, "  %31[a-z] %95[^\n]", c->name, c->text) != 2 ||
		    strncmp(line, "  ", 2) || !islower((unsigned char)line[2]) ||
		    strncmp(line + 2 + strlen(c->name), "  ", 2))
			continue;
		c->tool = find_tool(tools, nr, name, c->name);
		if (!c->tool)
			c->tool = p->own;
		if (!c->tool)
			return -ENOENT;
		p->nr++;
	}
	return p->nr || p->own ? 0 : -ENOENT;
}

/* Bytes of the first sentence, without its full stop. */
static size_t sentence(const char *help)
{
	const char *end = strstr(help, ". ");
	size_t n = end ? (size_t)(end - help) : strlen(help);

	return n && help[n - 1] == '.' ? n - 1 : n;
}

static bool shown(const struct canp_opt *row)
{
	return !(row->flags & CANP_OPT_F_HIDDEN);
}

/* What a value is: 'c' choices, 'f' a file, 'd' a folder, 0 something else. */
static char value_kind(const struct canp_opt *row)
{
	if (row->kind == CANP_OPT_ENUM)
		return 'c';
	if (row->kind != CANP_OPT_STR && row->kind != CANP_OPT_LIST)
		return 0;
	return strstr(row->range, "DIR") ? 'd' : strstr(row->range, "FILE") ? 'f' : 0;
}

static void put_choices(const struct canp_opt *row)
{
	struct canp_opt_choice c;

	for (unsigned i = 0; canp_opt_choice(row, i, &c); i++)
		printf("%s%s", i ? " " : "", c.name);
}

static void for_rows(const struct program *p, const struct rows_tool *tool,
		     void (*fn)(const struct program *p, const struct rows_tool *tool,
				const struct canp_opt *row))
{
	for (unsigned t = 0; t < tool->nr; t++)
		for (unsigned i = 0; i < tool->binds[t].table->nr; i++)
			if (shown(&tool->binds[t].table->rows[i]))
				fn(p, tool, &tool->binds[t].table->rows[i]);
}

/* ---- zsh ---------------------------------------------------------------------------------------
 */

/* Inside single quotes and the brackets of a specification. */
static void zsh_text(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\'')
			printf("'\\''");
		else
			printf("%s%c", strchr("[]:\\", text[i]) ? "\\" : "", text[i]);
	}
}

static void zsh_value(const struct canp_opt *row)
{
	printf(":%s:", row->name);
	switch (value_kind(row)) {
	case 'c':
		printf("(");
		put_choices(row);
		printf(")");
		break;
	case 'f':
		printf("_files");
		break;
	case 'd':
		printf("_files -/");
		break;
	default:
		printf(" ");
	}
}

static void zsh_row(const struct program *p, const struct rows_tool *tool,
		    const struct canp_opt *row)
{
	bool flag = row->kind == CANP_OPT_BOOL;

	(void)p;
	(void)tool;
	printf(" \\\n\t\t");
	/* What may not follow: the other forms of the same option, unless it may be repeated. */
	if (row->kind == CANP_OPT_LIST)
		printf("'*'");
	else if (flag && row->letter)
		printf("'(-%c --%s --no-%s)'", row->letter, row->name, row->name);
	else if (flag)
		printf("'(--no-%s)'", row->name);
	else if (row->letter)
		printf("'(-%c --%s)'", row->letter, row->name);
	if (row->letter)
		printf("{-%c%s,--%s%s}", row->letter, flag ? "" : "+", row->name, flag ? "" : "=");
	else
		printf("--%s%s", row->name, flag ? "" : "=");
	printf("'[");
	zsh_text(row->help, sentence(row->help));
	printf("]");
	if (!flag)
		zsh_value(row);
	printf("'");
	if (flag)
		printf(" \\\n\t\t'(--%s)'--no-%s'[not --%s]'", row->name, row->name, row->name);
}

static void zsh_options(const struct program *p, const char *fn, const struct rows_tool *tool)
{
	printf("%s()\n{\n\t_arguments -s -S", fn);
	for_rows(p, tool, zsh_row);
	printf(" \\\n\t\t'*:file:_files'\n}\n\n");
}

int rows_zsh(const struct rows_tool *tools, unsigned nr, const char *program, FILE *overview)
{
	struct program p;
	char fn[128];
	int rc = read_program(&p, tools, nr, program, overview);

	if (rc)
		return rc;
	printf("#compdef %s\n# zsh completion for %s\n\n", program, program);
	if (!p.nr) {
		zsh_options(&p, p.fn, p.own);
		printf("%s \"$@\"\n", p.fn);
		return 0;
	}
	if (p.own)
		zsh_options(&p, p.fn, p.own);
	for (unsigned i = 0; i < p.nr; i++) {
		if (p.cmd[i].tool == p.own)
			continue;
		snprintf(fn, sizeof(fn), "%s_%s", p.fn, p.cmd[i].name);
		zsh_options(&p, fn, p.cmd[i].tool);
	}
	printf("%s_command()\n{\n\tlocal -a commands=(\n", p.fn);
	for (unsigned i = 0; i < p.nr; i++) {
		printf("\t\t'%s:", p.cmd[i].name);
		zsh_text(p.cmd[i].text, strlen(p.cmd[i].text));
		printf("'\n");
	}
	printf("\t\t'--help:show the commands'\n\t\t'--version:show the version'\n\t)\n\n"
	       "\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
	       "\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n"
	       "\tcase $command in\n");
	for (unsigned i = 0; i < p.nr; i++) {
		printf("\t%s) %s", p.cmd[i].name, p.fn);
		printf(p.cmd[i].tool == p.own ? " ;;\n" : "_%s ;;\n", p.cmd[i].name);
	}
	printf("\tesac\n}\n\n%s_command \"$@\"\n", p.fn);
	return 0;
}

/* ---- fish --------------------------------------------------------------------------------------
 */

static void fish_text(const char *text, size_t n)
{
	putchar('\'');
	for (size_t i = 0; i < n; i++)
		printf("%s%c", text[i] == '\'' || text[i] == '\\' ? "\\" : "", text[i]);
	putchar('\'');
}

/* The beginning of a line: for which commands it is. */
static void fish_head(const struct program *p, const struct rows_tool *tool)
{
	printf("complete -c %s", p->name);
	if (!p->nr)
		return;
	printf(" -n '_%s_is", p->fn);
	for (unsigned i = 0; i < p->nr; i++)
		if (p->cmd[i].tool == tool)
			printf(" %s", p->cmd[i].name);
	printf("'");
}

static void fish_row(const struct program *p, const struct rows_tool *tool,
		     const struct canp_opt *row)
{
	fish_head(p, tool);
	if (row->letter)
		printf(" -s %c", row->letter);
	printf(" -l %s", row->name);
	if (row->kind != CANP_OPT_BOOL) {
		char kind = value_kind(row);

		printf(kind == 'f' ? " -r" : " -x");
		if (kind == 'c') {
			printf(" -a '");
			put_choices(row);
			printf("'");
		} else if (kind == 'd') {
			printf(" -a '(__fish_complete_directories)'");
		}
	}
	printf(" -d ");
	fish_text(row->help, sentence(row->help));
	printf("\n");
	if (row->kind == CANP_OPT_BOOL) {
		fish_head(p, tool);
		printf(" -l no-%s -d 'Not --%s'\n", row->name, row->name);
	}
}

int rows_fish(const struct rows_tool *tools, unsigned nr, const char *program, FILE *overview)
{
	struct program p;
	int rc = read_program(&p, tools, nr, program, overview);

	if (rc)
		return rc;
	printf("# fish completion for %s\n", program);
	if (!p.nr) {
		for_rows(&p, p.own, fish_row);
		return 0;
	}
	/* The command is the second word, wherever the same word stands again. */
	printf("function _%s_is\n\tset -l words (commandline -opc)\n\ttest (count $words) -ge 2\n"
	       "\tand contains -- $words[2] $argv\nend\n",
	       p.fn);
	printf("function _%s_none\n\ttest (count (commandline -opc)) -lt 2\nend\n", p.fn);
	for (unsigned i = 0; i < p.nr; i++) {
		printf("complete -c %s -n _%s_none -f -a %s -d ", program, p.fn, p.cmd[i].name);
		fish_text(p.cmd[i].text, strlen(p.cmd[i].text));
		printf("\n");
	}
	printf("complete -c %s -n _%s_none -f -l help -d 'Show the commands'\n", program, p.fn);
	printf("complete -c %s -n _%s_none -f -l version -d 'Show the version'\n", program, p.fn);
	for (unsigned i = 0; i < p.nr; i++) {
		bool seen = false;

		for (unsigned j = 0; j < i && !seen; j++)
			seen = p.cmd[j].tool == p.cmd[i].tool;
		if (!seen)
			for_rows(&p, p.cmd[i].tool, fish_row);
	}
	return 0;
}
