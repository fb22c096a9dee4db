/*
 * cmd_kill.c - finds what a command left behind. Most descendants are in its process group; a
 * daemon left it (setsid, a second fork) and its parent is init now. What it still has is its
 * environment, where the pool put a variable with a value that no other command has. So /proc is
 * searched, which costs a few microseconds a process and happens only when a command is killed.
 *
 * A pidfd is opened before the environment is read, so the process that is signalled is the one
 * that was looked at, whatever became of its number meanwhile.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/command/cmd_priv.h"

#define KILL_ROUNDS 3u

struct kernel_dirent {
	uint64_t ino, off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/* The pool puts the variable first, so the beginning of a large environment is enough. */
static bool environ_has(const char *pid, const char *id, char *buf, size_t bytes)
{
	char name[32];
	ssize_t n;
	int fd;

	snprintf(name, sizeof(name), "/proc/%.10s/environ", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, bytes - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = 0;
	return memmem(buf, (size_t)n + 1, id, strlen(id) + 1) != NULL;
}

static bool kill_one(const char *pid, const char *id, int sig)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(pid, NULL, 10), 0);
	char buf[4096];
	bool hit;

	if (fd < 0)
		return false;
	hit = environ_has(pid, id, buf, sizeof(buf)) &&
	      syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0;
	close(fd);
	return hit;
}

static unsigned kill_round(const char *id, int sig)
{
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CANP_ALIGNED(8) char buf[4096];
	unsigned hits = 0;
	long n;

	if (fd < 0)
		return 0;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct kernel_dirent *d = (const void *)(buf + at);

			at += d->reclen;
			if (d->name[0] >= '1' && d->name[0] <= '9')
				hits += kill_one(d->name, id, sig);
		}
	}
	close(fd);
	return hits;
}

unsigned canp_cmd_kill_tree(const char *id, int sig)
{
	unsigned hits = 0, n = 1;

	/* Again, because one of them may have forked behind the search. */
	for (unsigned i = 0; i < KILL_ROUNDS && n; i++) {
		n = kill_round(id, sig);
		hits += n;
	}
	return hits;
}
