/*
 * dirscan_glob.h - shell patterns over paths for INPUT arguments that the shell did not expand
 * (quoted, from a unit file, or too many for a command line). glob(3) of the C library does it;
 * here are only the questions around it. Private to io/source.
 */
#ifndef CANP_SOURCE_DIRSCAN_GLOB_H
#define CANP_SOURCE_DIRSCAN_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* True when the text holds a wildcard (* ? or [). Pure. */
bool canp_glob_has_magic(const char *text);
/* Length of the folders (last slash included) before the first component with a wildcard. Pure. */
size_t canp_glob_prefix(const char *pattern);
/* Calls fn for each existing path that matches, in byte order; a wildcard does not match a leading
 * dot or a slash. Stops at the first negative return of fn and returns it. Folders that cannot be
 * read match nothing. 0 (also without a match) or -ENOMEM. Control thread. */
int canp_glob(const char *pattern, int (*fn)(void *arg, const char *path), void *arg);

#endif
