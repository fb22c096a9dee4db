/*
 * toolmain.h - what every tool's main() shares: options from command line, environment and file;
 * usage errors; version and help.
 */
#ifndef CANP_TOOLS_TOOLMAIN_H
#define CANP_TOOLS_TOOLMAIN_H

#include "core/base/opts.h"

enum canp_exit {
	CANP_EXIT_OK = 0,
	CANP_EXIT_FATAL = 1,
	CANP_EXIT_DAMAGED = 2, /* some input was damaged or failed; everything else arrived */
	CANP_EXIT_USAGE = 64,
};

struct canp_tool {
	const char *name;     /* "canp-appliance run" */
	const char *synopsis; /* "[OPTION]... INPUT..." */
	const char *text;     /* one line: what it does */
	/* Addresses of help/version flags and of the config file name inside the bound structs; any
	 * may be NULL. */
	const bool *help, *version;
	const char *const *config;
};

/* Fills the bound structs: defaults, then environment, command line and configuration file by
 * their precedence. Prints help or version and errors itself. Returns -1 to go on, else the exit
 * code. *out must be destroyed by the caller when -1 is returned. */
int canp_tool_options(const struct canp_tool *tool, const struct canp_opt_bind *binds, unsigned nr,
		      int argc, char **argv, struct canp_opts **out);

/* "canp-appliance: text" on stderr, then a hint at --help; returns CANP_EXIT_USAGE. */
int canp_tool_usage(const struct canp_tool *tool, const char *fmt, ...) CANP_PRINTF(2, 3);

/* Writes a buffer to stdout; returns CANP_EXIT_OK or CANP_EXIT_FATAL (closed pipe, full disk). */
struct canp_strbuf;
int canp_tool_print(struct canp_strbuf *sb);

/* "1.2 GiB", "345.0 MB/s" and the like for people. buf >= 32 bytes; returns buf. */
const char *canp_tool_bytes(double bytes, char *buf);
const char *canp_tool_count(double n, char *buf);

#endif
