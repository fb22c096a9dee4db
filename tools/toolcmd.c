/*
 * toolcmd.c - looks up the sub-command of a program and hands over.
 */
#include "tools/toolcmd.h"

#include <stdio.h>
#include <string.h>

#include "core/base/version.h"
#include "tools/toolmain.h"

static int overview(const struct canp_tool_program *p, FILE *f)
{
	fprintf(f, "%s %s: %s\n\nUsage: %s %s\n\nCommands:\n", p->name, CANP_VERSION, p->text,
		p->name, p->usage);
	for (unsigned i = 0; i < p->nr; i++)
		fprintf(f, "  %-8s  %s\n", p->commands[i].name, p->commands[i].text);
	fprintf(f, "\n`%s COMMAND --help` tells the options of a command.\n", p->name);
	return f == stdout ? CANP_EXIT_OK : CANP_EXIT_USAGE;
}

int canp_tool_program(const struct canp_tool_program *p, int argc, char **argv)
{
	if (argc < 2)
		return overview(p, stderr);
	for (unsigned i = 0; i < p->nr; i++)
		if (!strcmp(argv[1], p->commands[i].name))
			return p->commands[i].fn(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return overview(p, stdout);
	if (!strcmp(argv[1], "--version")) {
		printf("%s %s\n", p->name, CANP_VERSION);
		return CANP_EXIT_OK;
	}
	fprintf(stderr, "%s: no command '%s'\n\n", p->name, argv[1]);
	return overview(p, stderr);
}
