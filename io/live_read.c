/*
 * live_read.c - reading the live page of another process, which may be of any age, damaged, or made
 * by somebody who wishes us no good: everything is checked before it is believed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/live_priv.h"

/* ---- which pages are there ---- */

/* "canp-<pid>.live" gives the pid, anything else 0. */
static int live_name_pid(const char *name)
{
	char *end;
	long pid;

	if (strncmp(name, "canp-", 5) || name[5] < '1' || name[5] > '9')
		return 0;
	errno = 0;
	pid = strtol(name + 5, &end, 10);
	return errno || pid > INT32_MAX || strcmp(end, ".live") ? 0 : (int)pid;
}

static unsigned live_list_dir(const char *dir, struct canp_live_entry *v, unsigned nr, unsigned max)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && nr < max && (e = readdir(d))) {
		int pid = live_name_pid(e->d_name);

		if (!pid || snprintf(v[nr].path, sizeof(v[nr].path), "%s/%s", dir, e->d_name) >=
				    (int)sizeof(v[nr].path))
			continue;
		v[nr++].pid = pid;
	}
	if (d)
		closedir(d);
	return nr;
}

static int live_by_pid(const void *a, const void *b)
{
	const struct canp_live_entry *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

unsigned canp_live_list(const char *dir, struct canp_live_entry *v, unsigned max)
{
	char dirs[CANP_LIVE_DIRS_MAX][256];
	unsigned nr_dirs = canp_live_dirs(dirs), nr = 0;

	if (dir)
		nr = live_list_dir(dir, v, 0, max);
	for (unsigned i = 0; !dir && i < nr_dirs; i++)
		nr = live_list_dir(dirs[i], v, nr, max);
	qsort(v, nr, sizeof(*v), live_by_pid);
	return nr;
}

/* ---- reading one ---- */

static int live_read_at(int fd, void *buf, size_t len, off_t at)
{
	ssize_t n = pread(fd, buf, len, at);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EBADMSG;
}

static int live_check_file(int fd, size_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && geteuid() != 0) ||
	    (st.st_mode & 022))
		return -EACCES;
	if (st.st_size < (off_t)(sizeof(struct canp_live_head) + canp_live_bytes(1)) ||
	    st.st_size >
		    (off_t)(sizeof(struct canp_live_head) + canp_live_bytes(CANP_LIVE_SHARDS_MAX)))
		return -EBADMSG;
	*bytes = (size_t)st.st_size - sizeof(struct canp_live_head);
	return 0;
}

/* The system calls between the two looks at the number order them. */
static int live_read_words(int fd, struct canp_live *l, size_t bytes)
{
	for (unsigned tries = 0; tries < CANP_LIVE_TRIES; tries++) {
		struct canp_live_head before, after;
		int rc = live_read_at(fd, &before, sizeof(before), 0);

		if (!rc && before.magic != CANP_LIVE_MAGIC)
			return -EBADMSG;
		rc = rc ? rc : live_read_at(fd, l, bytes, (off_t)sizeof(before));
		rc = rc ? rc : live_read_at(fd, &after, sizeof(after), 0);
		if (rc)
			return rc;
		if (before.seq == after.seq && before.seq && !(before.seq & 1))
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return -EAGAIN;
}

/* Ends a text inside its field and takes out what would steer a terminal. */
static void live_clean(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static int live_validate(struct canp_live *l, size_t bytes)
{
	struct canp_live_job *j = &l->job;

	if (j->magic != CANP_LIVE_MAGIC)
		return -EBADMSG;
	if (j->version != CANP_LIVE_VERSION)
		return -EPROTO;
	if (!j->nr_shards || j->nr_shards > CANP_LIVE_SHARDS_MAX || j->snapshot_bytes != bytes ||
	    canp_live_bytes(j->nr_shards) != bytes || j->nr_ops > CANP_LIVE_OPS_MAX ||
	    j->nr_pools > CANP_LIVE_POOLS_MAX || j->state >= CANP_LIVE_STATE_NR || j->pid <= 0)
		return -EBADMSG;
	live_clean(j->id, sizeof(j->id));
	live_clean(j->program, sizeof(j->program));
	live_clean(j->out, sizeof(j->out));
	live_clean(j->metrics, sizeof(j->metrics));
	for (unsigned i = 0; i < CANP_LIVE_OPS_MAX; i++)
		live_clean(j->ops[i], sizeof(j->ops[i]));
	for (unsigned i = 0; i < CANP_LIVE_POOLS_MAX; i++)
		live_clean(j->pools[i], sizeof(j->pools[i]));
	return 0;
}

int canp_live_read(const char *path, struct canp_live **out)
{
	/* O_NONBLOCK: a pipe of that name must not hold us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct canp_live *l = NULL;
	size_t bytes = 0;
	int rc;

	if (fd < 0)
		return errno == ELOOP ? -EACCES : -errno;
	rc = live_check_file(fd, &bytes);
	if (!rc) {
		l = malloc(bytes);
		rc = l ? live_read_words(fd, l, bytes) : -ENOMEM;
	}
	rc = rc ? rc : live_validate(l, bytes);
	close(fd);
	if (rc) {
		free(l);
		return rc;
	}
	*out = l;
	return 0;
}

bool canp_live_alive(const struct canp_live *l)
{
	return l->job.pid_start && canp_live_pid_start(l->job.pid) == l->job.pid_start;
}

static bool live_older(uint64_t at_ns, uint64_t now_ns, uint64_t age_ns)
{
	return now_ns > at_ns && now_ns - at_ns > age_ns;
}

enum canp_live_health canp_live_judge(const struct canp_live *l, bool alive, uint64_t now_ns,
				      uint64_t stall_ns, const char **why)
{
	*why = "the job goes on";
	if (l->job.state == CANP_LIVE_DONE) {
		*why = "the job is done";
		return CANP_LIVE_WELL;
	}
	*why = "the job failed";
	if (l->job.state == CANP_LIVE_FAILED)
		return CANP_LIVE_BROKEN;
	*why = "the process died in the middle of the job";
	if (!alive)
		return CANP_LIVE_BROKEN;
	*why = "the process gives no sign of life";
	if (live_older(l->job.updated_ns, now_ns, stall_ns))
		return CANP_LIVE_STALLED;
	*why = "the job makes no progress";
	if (live_older(l->job.progress_ns, now_ns, stall_ns))
		return CANP_LIVE_STALLED;
	*why = "the job goes on";
	return CANP_LIVE_WELL;
}
