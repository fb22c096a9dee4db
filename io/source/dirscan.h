/*
 * dirscan.h - INPUT arguments to the ordered list of files of a job.
 *
 * An argument is a file, a directory (walked recursively), a glob pattern (when no file has that
 * very name), "-" or "@FILE" (paths, one per line or NUL-separated; each line stands where the
 * list stands, lines may name files or directories). The order is that of the arguments and list
 * lines, then bytewise by path relative to the argument: a pure function of the tree, not of
 * readdir or locale. Everything later (units, src ids, parts) is numbered by it.
 *
 * What cannot be read is listed too, with its error, so that it is reported by name and the job
 * goes on. Runs on the control thread before the job; it allocates: about 100 bytes + the path per
 * file.
 */
#ifndef CANP_SOURCE_DIRSCAN_H
#define CANP_SOURCE_DIRSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One file. Strings belong to the scan. Paths are bytes, not UTF-8. */
struct canp_input {
	const char *path; /* what open(2) takes */
	/* Path relative to the INPUT argument (what canp_files shows); points into path. A file
	 * argument: its base name. A glob: relative to the folders before the first wildcard. A
	 * list line: as written, without leading "./" or "/". */
	const char *rel;
	uint64_t size; /* bytes */
	uint64_t dev, ino;
	int64_t mtime_ns;
	uint32_t arg; /* index of the INPUT argument */
	int32_t err;  /* 0, or -errno: cannot be read, only path, rel, arg and named are valid */
	bool named;   /* given by name (argument, glob match, list line), not found by a walk */
};

struct canp_dirscan_opts {
	const char *const *args;
	unsigned nr_args;
	/* Shell patterns a file found by a walk must match one of: against the base name, or
	 * against the relative path when the pattern holds a slash. None: all. */
	const char *const *include;
	unsigned nr_include;
	/* Follow symbolic links met in walks (arguments are always followed). Each directory is
	 * walked at most once per argument, so loops end. */
	bool follow_symlinks;
};

struct canp_dirscan {
	struct canp_input *files; /* in order */
	size_t nr_files;          /* with the failed ones */
	size_t nr_failed;         /* entries with err */
	uint64_t bytes;           /* of all readable files */
	/* Left out and why. */
	uint64_t duplicates;       /* same device and inode as an earlier entry */
	uint64_t skipped_hidden;   /* dot files, dot folders, *.tmp met in walks */
	uint64_t skipped_symlinks; /* met in walks, not followed */
	uint64_t skipped_special;  /* devices, sockets, pipes met in walks */
	uint64_t skipped_include;  /* matched no include pattern */
	uint64_t dirs;             /* walked */
	void *strings;             /* private */
};

/* Scans. 0 and *out (destroy with canp_dirscan_destroy), or -ENOMEM, -EINVAL (no argument). Input
 * that cannot be read is no error here. Control thread; blocks on the file system. */
int canp_dirscan_create(const struct canp_dirscan_opts *opts, struct canp_dirscan **out);
void canp_dirscan_destroy(struct canp_dirscan *scan); /* NULL is fine */

#endif
