/*
 * pool_watch.h - what the tests share that look at a process pool from outside: a folder for
 * what it writes. Included by the one file of a test program.
 */
#ifndef TESTS_LIB_POOL_WATCH_H
#define TESTS_LIB_POOL_WATCH_H

#include "tests/lib/pool_tasks.h"
#include "tests/lib/tmpdir.h"

/* The text of a file and its length, at most 64 MiB; the caller frees it. */
static inline char *read_all(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	char *text;

	assert_non_null(f);
	text = malloc(64 << 20);
	*len = fread(text, 1, (64 << 20) - 1, f);
	text[*len] = 0;
	fclose(f);
	return text;
}

/* A folder of the test program, from dir_make() to dir_remove(). */
static char dir[64];

/* A path in it; good until the fourth call after this one. */
static inline const char *in_dir(const char *name)
{
	static char path[4][160];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static inline int dir_make(void **state)
{
	(void)state;
	return tmpdir_make(dir, sizeof(dir), "/tmp/t_process");
}

static inline int dir_remove(void **state)
{
	(void)state;
	return tmpdir_remove(dir);
}

#endif
