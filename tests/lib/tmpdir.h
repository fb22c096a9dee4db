/*
 * tmpdir.h - a folder of a test's own, removed with what is in it.
 */
#ifndef TESTS_LIB_TMPDIR_H
#define TESTS_LIB_TMPDIR_H

#include <stddef.h>

/* Makes a new folder BASE.XXXXXX, for example of "/tmp/t_live", and writes its path to dir[bytes].
 * Returns 0, or -1 when it could not be made: a setup function returns that as it is. */
int tmpdir_make(char *dir, size_t bytes, const char *base);
/* Removes the folder and everything below it; links are removed, not followed. Returns 0 or -1. */
int tmpdir_remove(const char *dir);

#endif
