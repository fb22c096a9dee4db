/*
 * tmpdir.c - see tmpdir.h. No shell is asked to remove: a path may hold any character.
 */
#include "tests/lib/tmpdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

int tmpdir_make(char *dir, size_t bytes, const char *base)
{
	int n = snprintf(dir, bytes, "%s.XXXXXX", base);

	return n > 0 && (size_t)n < bytes && mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int tmpdir_remove(const char *dir)
{
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
