/*
 * canp_appliance.c - the program: looks up the sub-command and hands over.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/version.h"
#include "tools/appliance_cmd.h"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *text;
} commands[] = {
	{"run", canp_cmd_run, "turn logs into a Parquet dataset"},
	{"inspect", canp_cmd_inspect, "count frames and damage of log files"},
	{"dbc", canp_cmd_dbc, "list messages, signals and oddities of databases"},
	{"schema", canp_cmd_schema, "show the tables a job would write"},
	{"caps", canp_cmd_caps, "what this machine offers and what would be used"},
	{"doctor", canp_cmd_doctor, "check the machine and say how to fix it"},
	{"config", canp_cmd_config, "show the effective options and where they come from"},
};

static int overview(FILE *f)
{
	fprintf(f,
		"canp-appliance %s: vehicle CAN logs to query-ready columns\n\n"
		"Usage: canp-appliance COMMAND [OPTION]... [INPUT]...\n\nCommands:\n",
		CANP_VERSION);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-8s  %s\n", commands[i].name, commands[i].text);
	fprintf(f, "\n`canp-appliance COMMAND --help` tells the options of a command.\n");
	return f == stdout ? CANP_EXIT_OK : CANP_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return overview(stderr);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].fn(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return overview(stdout);
	if (!strcmp(argv[1], "--version")) {
		printf("canp-appliance %s\n", CANP_VERSION);
		return CANP_EXIT_OK;
	}
	fprintf(stderr, "canp-appliance: no command '%s'\n\n", argv[1]);
	return overview(stderr);
}
