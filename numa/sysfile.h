/*
 * sysfile.h - small files of /proc and /sys, read under a root that tests replace. Every reader is
 * bounded and treats a missing file as an ordinary answer: containers hide any of them.
 */
#ifndef CANP_NUMA_SYSFILE_H
#define CANP_NUMA_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANP_SYSFILE_PATH_MAX 4096u

/* Reads root + path ("/sys/...") into buf, cut at cap - 1 bytes, trailing white space removed,
 * always NUL-terminated (also on error, when it is ""). Returns the length or -errno. Any thread.
 */
int canp_sysfile_read(const char *root, const char *path, char *buf, size_t cap);
/* A file that holds one decimal number; *out is untouched on error. -EINVAL when it holds something
 * else ("max", "", a number out of range). Any thread. */
int canp_sysfile_i64(const char *root, const char *path, int64_t *out);
/* The text after "key" at the start of a line of a file such as /proc/meminfo, leading blanks
 * removed; the file may be of any length. 0, -ENOENT when there is no such line, or -errno. */
int canp_sysfile_key(const char *root, const char *path, const char *key, char *buf, size_t cap);
/* Path of this process in a cgroup hierarchy, from /proc/self/cgroup: controller "" is version 2,
 * else the version 1 hierarchy that holds the controller ("cpu", "memory"). *names, when asked for,
 * gets that hierarchy's comma list as written, which is how some systems name the mount. 0 or
 * -errno; -ENOENT when the process is in no such hierarchy. */
int canp_sysfile_cgroup(const char *root, const char *controller, char *path, size_t path_cap,
			char *names, size_t names_cap);

#endif
