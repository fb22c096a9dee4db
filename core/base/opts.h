/*
 * opts.h - the option engine: run options are declared once, as rows of a *.def file, and
 * everything else is derived from the rows: the config struct, command line, configuration file,
 * environment, --help, man page, shell completion, the dump of the effective configuration and the
 * run part of menuconfig.
 *
 * Each layer keeps its own rows beside its code (core/runtime/runtime.def, io/ingest.def,
 * tools/...def), each file makes its own struct, and a tool binds the tables it wants; so no layer
 * names an option of a layer above it. A row reads
 *
 *	X(KIND, field, "name", 's', "default", "range", "unit", "group", flags, need, "help")
 *
 * KIND   BOOL INT UINT U64 SIZE DOUBLE ENUM STR LIST DURATION TIME (see enum canp_opt_kind)
 * name   --name, key in the file, CANP_NAME in the environment ('-' becomes '_')
 * 's'    one-letter alias, 0 for none
 * range  numbers: "min..max" (same grammar as a value); ENUM: "a|b|c", the field is the position;
 *        STR, LIST, TIME: the word that stands for the value in the help text
 * flags  CANP_OPT_F_*
 * need   Kconfig symbol the option needs, or CANP_OPT_ALWAYS
 *
 * Precedence is command line > environment > file > preset > default, in whatever order they are
 *read; each option remembers its origin. Control plane only: everything here may allocate and is
 *not thread safe, except that a filled config struct may be read by any thread.
 */
#ifndef CANP_BASE_OPTS_H
#define CANP_BASE_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"

struct canp_json;
struct canp_opts;
struct canp_strbuf;

enum canp_opt_kind {
	CANP_OPT_BOOL,   /* bool; yes/no, on/off, true/false, 1/0; --name and --no-name */
	CANP_OPT_INT,    /* int64_t; decimal */
	CANP_OPT_UINT,   /* unsigned; decimal or 0x */
	CANP_OPT_U64,    /* uint64_t; decimal or 0x */
	CANP_OPT_SIZE,   /* uint64_t bytes; suffix k, m, g, t are powers of 1024 */
	CANP_OPT_DOUBLE, /* double; finite */
	CANP_OPT_ENUM,   /* int; position in the choice list */
	CANP_OPT_STR,    /* const char *; never NULL, "" when unset */
	CANP_OPT_LIST,   /* struct canp_opt_list; repeat the option, or commas in the environment */
	CANP_OPT_DURATION, /* uint64_t ns; suffix ns, us, ms, s, m, h is required except for 0 */
	CANP_OPT_TIME, /* const char *, checked: ISO 8601 or whole seconds since 1970, "" unset */
};

struct canp_opt_list {
	const char **v;
	unsigned nr;
};

#define CANP_OPT_F_JOB     0x1u /* belongs to one job, not to the machine's profile (Kconfig) */
#define CANP_OPT_F_NO_FILE 0x2u /* not accepted in a configuration file */
#define CANP_OPT_F_HIDDEN  0x4u /* accepted and dumped, not in help texts */

/* `need` of a row that is always there. */
#define CANP_OPT_ALWAYS 1

/* A choice of an ENUM that exists only in some builds; elsewhere it stays listed as "not built". In
 * the range it is "text+SYMBOL" when built and "text!SYMBOL" when not. Symbols begin with a capital
 * letter, so a plus before anything else is part of the text. */
#define CANP_OPT_CHOICE(text, sym)       CANP_OPT_CHOICE2(CANP_ENABLED(sym), text, #sym)
#define CANP_OPT_CHOICE2(on, text, name) CANP_OPT_CHOICE3(on, text, name)
#define CANP_OPT_CHOICE3(on, text, name) CANP_OPT_CHOICE_##on(text, name)
#define CANP_OPT_CHOICE_1(text, name)    text "+" name
#define CANP_OPT_CHOICE_0(text, name)    text "!" name

/* A number that is a macro (a Kconfig limit) as part of a range. */
#define CANP_OPT_STR1(x)   #x
#define CANP_OPT_NUMBER(x) CANP_OPT_STR1(x)

struct canp_opt {
	const char *name;
	enum canp_opt_kind kind;
	char letter;
	bool built;
	unsigned flags;
	size_t offset; /* of the field in the config struct */
	const char *def, *range, *unit, *group, *need, *help;
};

/* The rows of one .def file. */
struct canp_opt_table {
	const char *name;
	const struct canp_opt *rows;
	unsigned nr;
	size_t cfg_bytes;
};

/* X-macro bodies. In the header: struct x_cfg { <X = CANP_OPT_FIELD, include> }; in the source:
 * CANP_OPT_STRUCT = x_cfg and an array of <X = CANP_OPT_ROW, include>. */
#define CANP_OPT_CTYPE_BOOL     bool
#define CANP_OPT_CTYPE_INT      int64_t
#define CANP_OPT_CTYPE_UINT     unsigned
#define CANP_OPT_CTYPE_U64      uint64_t
#define CANP_OPT_CTYPE_SIZE     uint64_t
#define CANP_OPT_CTYPE_DOUBLE   double
#define CANP_OPT_CTYPE_ENUM     int
#define CANP_OPT_CTYPE_STR      const char *
#define CANP_OPT_CTYPE_LIST     struct canp_opt_list
#define CANP_OPT_CTYPE_DURATION uint64_t
#define CANP_OPT_CTYPE_TIME     const char *

#define CANP_OPT_FIELD(kind, field, ...) CANP_OPT_CTYPE_##kind field;
#define CANP_OPT_ROW(kind_, field, name_, letter_, def_, range_, unit_, group_, flags_, need_,     \
		     help_)                                                                        \
	{.name = name_,                                                                            \
	 .kind = CANP_OPT_##kind_,                                                                 \
	 .letter = letter_,                                                                        \
	 .built = CANP_ENABLED(need_),                                                             \
	 .flags = flags_,                                                                          \
	 .offset = offsetof(struct CANP_OPT_STRUCT, field),                                        \
	 .def = def_,                                                                              \
	 .range = range_,                                                                          \
	 .unit = unit_,                                                                            \
	 .group = group_,                                                                          \
	 .need = #need_,                                                                           \
	 .help = help_},

/* A table and the struct it fills. */
struct canp_opt_bind {
	const struct canp_opt_table *table;
	void *cfg; /* table->cfg_bytes, caller's; its strings live until canp_opts_destroy() */
};

#define CANP_OPT_BINDS_MAX 8u

/* PRESET: set by another option that stands for several (canp_opts_set()). */
enum canp_opt_origin {
	CANP_OPT_DEFAULT,
	CANP_OPT_PRESET,
	CANP_OPT_FILE,
	CANP_OPT_ENV,
	CANP_OPT_CLI,
};

/* Binds tables to structs and fills in the defaults. binds is copied, tables and structs are
 * borrowed. -EINVAL: a default does not parse or is out of range; -EEXIST: two rows have one name
 * or letter; -ENOMEM. *out is set on -EINVAL and -EEXIST too, so that the text can be had. */
int canp_opts_create(const struct canp_opt_bind *binds, unsigned nr, struct canp_opts **out);
/* Frees the options and every string the structs point to. NULL is allowed. */
void canp_opts_destroy(struct canp_opts *o);

/* Text of the last error, one line or more without final newline; "" when there was none. Valid
 * until the next call. */
const char *canp_opts_error(const struct canp_opts *o);

/* Sets one option from text. `where` names the place in error texts ("canp.conf:7"), NULL for the
 * command line. A value of lower precedence than the present one is checked and dropped. 0,
 * -ENOENT unknown, -ENOTSUP not built, -EINVAL bad value, -ENOMEM. */
int canp_opts_set(struct canp_opts *o, const char *name, const char *value,
		  enum canp_opt_origin origin, const char *where);

/* Parses arguments (without the program name). Accepts --name=value, --name value, --name and
 * --no-name for BOOL, -x value, -xvalue; "--" ends options; the rest, "-" included, are operands.
 * Stops at the first error, codes as canp_opts_set(). */
int canp_opts_cli(struct canp_opts *o, int argc, char *const *argv);
/* Operands found so far; borrowed pointers into argv. */
const char *const *canp_opts_operands(const struct canp_opts *o, unsigned *nr);

/* Reads CANP_<NAME> of every row from envp (NAME=value strings, NULL-terminated). */
int canp_opts_env(struct canp_opts *o, char *const *envp);

/* Reads an INI file: "[global]", "key = value", comments from # or ; to the end of the line, values
 * may stand in double quotes. -errno of open/read, -EFBIG above 1 MiB, codes of canp_opts_set(). */
int canp_opts_file(struct canp_opts *o, const char *path);
/* The same from memory; `where` is the file name for error texts. */
int canp_opts_ini(struct canp_opts *o, const char *text, size_t len, const char *where);

/* From now on unknown keys of a file are passed over, unless they begin with one of the prefixes
 * (NULL-terminated, borrowed): for a file that other programs share. */
void canp_opts_own(struct canp_opts *o, const char *const *prefixes);

/* Where the value came from; CANP_OPT_DEFAULT also for an unknown name. */
enum canp_opt_origin canp_opts_origin(const struct canp_opts *o, const char *name);
const char *canp_opt_origin_name(enum canp_opt_origin origin);
/* Row by name; NULL when unknown. */
const struct canp_opt *canp_opts_find(const struct canp_opts *o, const char *name);

/* Texts, appended to sb. `tool` is the program's name; "program command" gives the function
 * _program_command, which completes the program until somebody puts a choice of commands before it.
 */
void canp_opts_help(const struct canp_opts *o, struct canp_strbuf *sb);
void canp_opts_help_one(const struct canp_opt *row, struct canp_strbuf *sb);
void canp_opts_man(const struct canp_opts *o, struct canp_strbuf *sb);      /* scdoc fragment */
void canp_opts_markdown(const struct canp_opts *o, struct canp_strbuf *sb); /* table */
void canp_opts_bash(const struct canp_opts *o, const char *tool, struct canp_strbuf *sb);
/* The effective configuration: as a loadable file with the origin in comments, or as a JSON object
 * {"name": {"value": ..., "origin": "..."}, ...}. */
void canp_opts_dump(const struct canp_opts *o, struct canp_strbuf *sb);
void canp_opts_dump_json(const struct canp_opts *o, struct canp_json *js);

struct canp_opt_choice {
	char name[48];
	char symbol[48]; /* Kconfig symbol it depends on, "" for none */
	bool built;
};

/* The i-th choice of an ENUM row. Returns false when there is no such choice. */
bool canp_opt_choice(const struct canp_opt *row, unsigned i, struct canp_opt_choice *c);

#endif
