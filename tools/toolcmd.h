/*
 * toolcmd.h - a program made of sub-commands: the table, the overview and the look-up.
 */
#ifndef CANP_TOOLS_TOOLCMD_H
#define CANP_TOOLS_TOOLCMD_H

struct canp_tool_command {
	const char *name;
	int (*fn)(int argc, char **argv); /* argv[0] is the name; returns the exit code */
	const char *text;                 /* one line, no full stop */
};

struct canp_tool_program {
	const char *name; /* "canp-appliance" */
	const char *text; /* one line: what it is */
	const char *usage;
	const struct canp_tool_command *commands;
	unsigned nr;
};

/* Runs the sub-command argv[1]. --help (-h, help) shows the overview, --version the version; none
 * and an unknown one give the overview on stderr and CANP_EXIT_USAGE. Returns the exit code. */
int canp_tool_program(const struct canp_tool_program *program, int argc, char **argv);

#endif
