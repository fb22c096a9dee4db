/*
 * exec_text.h - from a command with replacement strings and its arguments to what is executed.
 */
#ifndef CANP_TOOLS_EXEC_TEXT_H
#define CANP_TOOLS_EXEC_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "tools/exec_args.h"

struct exec_template {
	char *const *words;
	unsigned nr;
	const char *mark; /* what stands for the argument, "{}" */
	bool has_mark;    /* somewhere; else the arguments come last */
	bool repeat;      /* a word with a mark is repeated for each argument */
	int shell;        /* enum of --shell */
	bool plain;       /* no word needs a shell */
};

/* What one command is. */
struct exec_command {
	char **argv;             /* owned, NULL-terminated */
	struct canp_strbuf text; /* as a line for a shell */
};

void exec_template_init(struct exec_template *t);
/* seq and slot are {#} and {%}. -ENOMEM. */
int exec_command_make(const struct exec_template *t, const struct exec_tuple *args, uint64_t seq,
		      unsigned slot, struct exec_command *c);
void exec_command_fini(struct exec_command *c);

#endif
