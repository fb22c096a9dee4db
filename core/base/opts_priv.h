/*
 * opts_priv.h - what opts.c (state), opts_value.c (values) and opts_text.c (texts) share. Not for
 * other files.
 */
#ifndef CANP_BASE_OPTS_PRIV_H
#define CANP_BASE_OPTS_PRIV_H

#include "core/base/opts.h"
#include "core/base/strbuf.h"

struct opt_state {
	const struct canp_opt *row;
	void *field; /* inside the bound struct */
	enum canp_opt_origin origin;
	unsigned list_cap;
};

struct opt_string {
	struct opt_string *next;
	char text[];
};

struct canp_opts {
	struct opt_state *states; /* rows of all tables in bind order */
	unsigned nr;
	struct opt_string *strings;
	const char *const *own; /* prefixes of our keys in a file that others share; NULL: all */
	const char **operands;
	unsigned nr_operands, cap_operands;
	struct canp_strbuf err;
};

union opt_value {
	bool b;
	int64_t i;
	uint64_t u;
	double d;
};

/* Parses text as a value of the row's kind (not STR and LIST). On failure -EINVAL and a reason in
 * why. The range is checked too. */
int canp_opt_value_parse(const struct canp_opt *row, const char *text, union opt_value *val,
			 struct canp_strbuf *why);
void canp_opt_value_store(const struct canp_opt *row, void *field, const union opt_value *val);
/* The value of a field as text that parses to the same value; lists are joined by commas. */
void canp_opt_value_print(const struct canp_opt *row, const void *field, struct canp_strbuf *sb);

#endif
