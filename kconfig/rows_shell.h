/*
 * rows_shell.h - completion for zsh and fish, from the option rows of a program and the overview of
 * its commands. Completion for bash is canp_opts_bash().
 */
#ifndef CANP_KCONFIG_ROWS_SHELL_H
#define CANP_KCONFIG_ROWS_SHELL_H

#include <stdio.h>

#include "core/base/opts.h"

/* A program, or "program command". */
struct rows_tool {
	const char *name;
	const struct canp_opt_bind *binds;
	unsigned nr;
};

/* Both write to stdout what is installed for `program`. overview: what program --help prints; its
 * lines "  name  text" are the commands, without any the program has options only. A command that
 * is not among the tools has the options of the program. 0, or -ENOENT: no such program. */
int rows_zsh(const struct rows_tool *tools, unsigned nr, const char *program, FILE *overview);
int rows_fish(const struct rows_tool *tools, unsigned nr, const char *program, FILE *overview);

#endif
