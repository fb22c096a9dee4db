/*
 * exec_args.h - the arguments of canp-exec: from standard input or files as they come, or from the
 * command line; one source in streaming, several as all their combinations.
 */
#ifndef CANP_TOOLS_EXEC_ARGS_H
#define CANP_TOOLS_EXEC_ARGS_H

#include <stdbool.h>
#include <stddef.h>

struct exec_source {
	char **v; /* what is known of it; owned strings */
	size_t nr, cap;
	int fd; /* still to be read, -1: all of it is in v */
	bool opened;
};

#define EXEC_SOURCES_MAX 8

/* The arguments of one command; owned. */
struct exec_tuple {
	char **v;
	unsigned nr;
};

struct exec_args {
	struct exec_source src[EXEC_SOURCES_MAX];
	unsigned nr;
	char delim;
	unsigned per; /* arguments per command, 1.. */
	bool fill;    /* as many as fit, spread over `jobs` at the end */
	unsigned jobs;
	size_t max_chars;
	/* progress */
	size_t at; /* next of a single source; number of the next combination */
	char *buf; /* of the stream that is being read */
	size_t len, cap;
	bool eof;
};

/* Adds a source of values that are given. */
int exec_args_list(struct exec_args *a, char *const *v, unsigned nr);
/* Adds a source that is read: a file, "-" for standard input. -errno. */
int exec_args_file(struct exec_args *a, const char *path);
/* 1: *t is the next command's; 0: there are no more; -EAGAIN: exec_args_fd() must be read first. */
int exec_args_next(struct exec_args *a, struct exec_tuple *t);
/* The descriptor that exec_args_next() waits for, -1: none. */
int exec_args_fd(const struct exec_args *a);
/* Reads what can be had without blocking more than once. 0 or -errno. */
int exec_args_read(struct exec_args *a);
/* How many commands there will be; 0: not known yet. */
size_t exec_args_total(const struct exec_args *a);
void exec_tuple_fini(struct exec_tuple *t);
void exec_args_fini(struct exec_args *a);

#endif
