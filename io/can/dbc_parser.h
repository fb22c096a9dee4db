/*
 * dbc_parser.h - what the parts of the DBC parser share; private to io/can/dbc*.c.
 *
 * dbc.c walks the statements, dbc_lex.c reads tokens and recovers after bad statements, dbc_msg.c
 * reads messages and signals, dbc_ref.c statements that refer to them (comments, value tables,
 * float types, multiplexing), dbc_attr.c attributes.
 *
 * Statement order is not reliable in real files, so everything that refers to a message or signal
 * is noted while parsing and resolved at the end of the file.
 */
#ifndef CANP_IO_DBC_PARSER_H
#define CANP_IO_DBC_PARSER_H

#include <locale.h>

#include "core/base/compiler.h"

#include "io/can/dbc.h"

/* After that many warnings of one file the rest is only counted. */
#define DBC_WARNINGS_MAX 1000u

struct dbc_text { /* bytes of the file, not NUL-terminated */
	const char *s;
	size_t len;
};

struct dbc_number {
	double d;
	bool is_int; /* exactly representable as int64_t or, with is_u64, uint64_t */
	bool is_u64; /* above INT64_MAX: i holds the bits */
	int64_t i;
};

/* What an object statement refers to. */
enum dbc_object { DBC_OBJ_NET, DBC_OBJ_NODE, DBC_OBJ_MSG, DBC_OBJ_SIG, DBC_OBJ_OTHER };

struct dbc_ref {
	enum dbc_object obj;
	uint32_t raw_id, line;
	struct dbc_text sig;
};

struct dbc_valtable {
	struct dbc_text name;
	uint32_t nr;
	struct canp_dbc_value *v;
};

/* A noted statement; which fields count depends on the kind. */
enum dbc_note_kind { DBC_NOTE_COMMENT, DBC_NOTE_VALUES, DBC_NOTE_VALTYPE, DBC_NOTE_MUX };

struct dbc_note {
	enum dbc_note_kind kind;
	struct dbc_ref ref;
	const char *text;        /* comment */
	struct dbc_valtable val; /* values, or only the name of a table; ranges in `ranges` */
	struct dbc_text parent;  /* multiplexor */
	uint32_t nr_ranges;
	struct canp_dbc_range *ranges;
	unsigned valtype;
};

struct dbc_attrdef {
	const char *name;
	uint32_t nr_enum;
	const char **enums;
	const char *def; /* default as text, NULL: none */
};

struct dbc_attr {
	const char *name;
	struct dbc_ref ref;
	const char *value;
	bool is_string;
};

struct dbc_idslot { /* raw id -> last message with it */
	uint32_t raw_id;
	uint32_t msg; /* index + 1, 0: empty */
};

struct dbc_parser {
	struct canp_dbc *dbc;
	struct canp_bump *mem; /* &dbc->mem */
	char *p, *end;         /* mutable copy of the text, NUL behind end */
	char *start;
	uint32_t line;
	bool one_line_strings; /* an unterminated string was seen: strings end at the line now */
	locale_t loc;          /* "C", so that numbers do not depend on the environment */
	canp_dbc_warn_fn warn;
	void *warn_arg;
	struct canp_dbc_message *msg; /* SG_ belongs to it; NULL after a bad BO_ */
	bool quiet_orphans;           /* SG_ without a message: warned once in a row */
	uint32_t nr_tables, nr_notes, nr_defs, nr_attrs;
	struct dbc_valtable *tables;
	struct dbc_note *notes;
	struct dbc_attrdef *defs;
	struct dbc_attr *attrs;
	uint32_t ids_mask;
	struct dbc_idslot *ids;
};

/* dbc_lex.c. The readers skip blanks and comments first and return false, with the position at
 * the offending byte, when the token is not there. */
int dbc_lex_open(struct dbc_parser *ps, const uint8_t *text, size_t len);
void dbc_blank(struct dbc_parser *ps);
bool dbc_char(struct dbc_parser *ps, char c);
bool dbc_word(struct dbc_parser *ps, struct dbc_text *out);
bool dbc_number(struct dbc_parser *ps, struct dbc_number *out);
bool dbc_uint(struct dbc_parser *ps, uint64_t *out);
bool dbc_string(struct dbc_parser *ps, const char **out); /* out NULL: skip it */
/* Is the next token on the current line? */
bool dbc_same_line(struct dbc_parser *ps);
/* At the first token of a line, and it is a keyword. */
bool dbc_at_keyword(struct dbc_parser *ps);
/* End of a statement: `;`, or a missing one before a keyword, which is warned. */
bool dbc_semicolon(struct dbc_parser *ps);
/* Skips to the next line that starts with a keyword. */
void dbc_resync(struct dbc_parser *ps);
/* Skips the rest of a statement that is understood but not needed. */
void dbc_skip(struct dbc_parser *ps);
bool dbc_is(struct dbc_text t, const char *s);
const char *dbc_strdup(struct dbc_parser *ps, struct dbc_text t);
void dbc_warn(struct dbc_parser *ps, uint32_t line, const char *fmt, ...) CANP_PRINTF(3, 4);
/* Warns what was expected; always false. */
bool dbc_expected(struct dbc_parser *ps, const char *what);

/* dbc_msg.c */
bool dbc_parse_message(struct dbc_parser *ps);
bool dbc_parse_signal(struct dbc_parser *ps);

/* dbc_ref.c */
bool dbc_parse_comment(struct dbc_parser *ps);
bool dbc_parse_valtable(struct dbc_parser *ps);
bool dbc_parse_values(struct dbc_parser *ps);
bool dbc_parse_valtype(struct dbc_parser *ps);
bool dbc_parse_mux(struct dbc_parser *ps);
void dbc_resolve_notes(struct dbc_parser *ps);
/* [BU_ n | BO_ id | SG_ id sig | EV_ n]; the network when none of them follows. */
bool dbc_parse_ref(struct dbc_parser *ps, struct dbc_ref *ref);
/* Message or signal of a reference; false with one warning when there is none. */
bool dbc_lookup(struct dbc_parser *ps, const struct dbc_ref *ref, const char *what,
		struct canp_dbc_message **msg, struct canp_dbc_signal **sig);

/* dbc_attr.c */
bool dbc_parse_attr_def(struct dbc_parser *ps);
bool dbc_parse_attr_default(struct dbc_parser *ps);
bool dbc_parse_attr(struct dbc_parser *ps);
void dbc_resolve_attrs(struct dbc_parser *ps);

#endif
