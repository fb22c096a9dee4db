/*
 * dirscan_glob.c - shell patterns over paths, see dirscan_glob.h. glob(3) would sort by locale, so
 * its results are taken unsorted and sorted by bytes.
 */
#include "io/source/dirscan_glob.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

bool canp_glob_has_magic(const char *text)
{
	return strpbrk(text, "*?[") != NULL;
}

size_t canp_glob_prefix(const char *pattern)
{
	size_t magic = strcspn(pattern, "*?[");

	while (magic > 0 && pattern[magic - 1] != '/')
		magic--;
	return magic;
}

static int path_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int canp_glob(const char *pattern, int (*fn)(void *arg, const char *path), void *arg)
{
	glob_t g = {0};
	int rc = glob(pattern, GLOB_NOSORT, NULL, &g);

	if (rc == GLOB_NOSPACE) {
		rc = -ENOMEM;
	} else {
		rc = 0;
		if (g.gl_pathc > 1)
			qsort(g.gl_pathv, g.gl_pathc, sizeof(*g.gl_pathv), path_cmp);
		for (size_t i = 0; i < g.gl_pathc && rc >= 0; i++)
			rc = fn(arg, g.gl_pathv[i]);
	}
	globfree(&g);
	return rc < 0 ? rc : 0;
}
