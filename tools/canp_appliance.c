/*
 * canp_appliance.c - the program: looks up the sub-command and hands over.
 */
#include <string.h>

#include "tools/appliance_cmd.h"
#include "tools/toolcmd.h"

static const struct canp_tool_command commands[] = {
	{"run", canp_cmd_run, "turn logs into a Parquet dataset"},
	{"inspect", canp_cmd_inspect, "count frames and damage of log files"},
	{"dbc", canp_cmd_dbc, "list messages, signals and oddities of databases"},
	{"schema", canp_cmd_schema, "show the tables a job would write"},
	{"status", canp_cmd_status, "tell whether a job is well"},
	{"caps", canp_cmd_caps, "what this machine offers and what would be used"},
	{"doctor", canp_cmd_doctor, "check the machine and say how to fix it"},
	{"tune", canp_cmd_tune, "measure the machine and propose a run profile"},
	{"config", canp_cmd_config, "show the effective options and where they come from"},
};

int main(int argc, char **argv)
{
	static const struct canp_tool_program program = {
		.name = "canp-appliance",
		.text = "vehicle CAN logs to query-ready columns",
		.usage = "COMMAND [OPTION]... [INPUT]...",
		.commands = commands,
		.nr = CANP_ARRAY_SIZE(commands),
	};

	/* What other appliances call it; no command, so the overview does not list it. */
	if (argc > 1 && !strcmp(argv[1], "--config-check"))
		return canp_cmd_config_check(argc - 1, argv + 1);
	return canp_tool_program(&program, argc, argv);
}
