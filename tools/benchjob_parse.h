/*
 * benchjob_parse.h - job files of canp-bench: the grammar of fio's, as a list of sections.
 *
 *	; comment, # comment
 *	[global]              for all sections that follow; may come again later
 *	bs=1m
 *	include common.job    its lines stand here; relative to the file that names it
 *	[read]
 *	filename=${DATA}/log  from the environment; a name that is not set is an error
 *	numjobs=$ncpus        also $pagesize, $mb_memory; numbers with + - * / around them
 *	time_based            alone: yes
 *
 * Keys are kept as written but for dashes in place of underscores, values as text: what they mean
 * is for the option rows (benchjob_keys.c). Everything is bounded; any bytes may be given. Errors
 * are one line, "FILE:LINE: text". Control plane; one thread.
 */
#ifndef CANP_TOOLS_BENCHJOB_PARSE_H
#define CANP_TOOLS_BENCHJOB_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

#define CANP_BENCHJOB_SECTIONS_MAX 256u
#define CANP_BENCHJOB_PAIRS_MAX    512u /* of one section, globals included */
#define CANP_BENCHJOB_LINE_MAX     8192u
#define CANP_BENCHJOB_FILE_MAX     (1u << 20)
#define CANP_BENCHJOB_NEST_MAX     8u

struct canp_benchjob_pair {
	char *key;
	char *value; /* NULL: the key stood alone */
	char *where; /* "x.job:3" */
	bool global; /* came from [global] */
};

struct canp_benchjob_section {
	char *name;
	char *where;
	struct canp_benchjob_pair
		*pairs; /* the globals in force, then its own; the last one wins */
	unsigned nr, cap;
};

/* What $words stand for. */
struct canp_benchjob_vars {
	uint64_t ncpus, pagesize, mb_memory;
	const char *(*env)(const char *name); /* NULL: not set */
};

/* All zero: empty. */
struct canp_benchjob_file {
	struct canp_benchjob_section *sections;
	unsigned nr, cap;
	struct canp_benchjob_section global; /* in force where reading is */
	bool global_open;                    /* private: lines go to it */
};

/* Adds the sections of text; `where` is its name in errors and the place that includes are relative
 * to. 0, -EINVAL (line in err), -ENOMEM. Files may follow one another; [global] does not reach over
 * to the next. */
int canp_benchjob_parse(struct canp_benchjob_file *f, const char *text, size_t len,
			const char *where, const struct canp_benchjob_vars *vars,
			struct canp_strbuf *err);
/* The same from a file; -errno when it cannot be read. */
int canp_benchjob_read(struct canp_benchjob_file *f, const char *path,
		       const struct canp_benchjob_vars *vars, struct canp_strbuf *err);
/* From a command line: begins a section, and adds to the last section (or to the globals of those
 * that follow, before the first). */
int canp_benchjob_begin(struct canp_benchjob_file *f, const char *name, const char *where,
			struct canp_strbuf *err);
int canp_benchjob_add(struct canp_benchjob_file *f, const char *key, const char *value,
		      const char *where, const struct canp_benchjob_vars *vars,
		      struct canp_strbuf *err);
/* Frees everything; f is empty then. */
void canp_benchjob_fini(struct canp_benchjob_file *f);
/* This machine and this process's environment. */
void canp_benchjob_vars_host(struct canp_benchjob_vars *vars);

#endif
