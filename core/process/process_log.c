/*
 * process_log.c - one log for all processes of a pool. A line is one write to a descriptor opened
 * for appending, so lines never mix; level and file are in the segment, so a change takes effect in
 * every process at its next line.
 *
 * Rotation renames the file and counts up a generation; each process opens the path again when it
 * sees a new one. What is written through the old descriptor meanwhile lands in the renamed file,
 * so nothing is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/process/process_priv.h"

void canp_process_pool_set_log_level(struct canp_process_pool *p, int level)
{
	if (level >= CANP_PROCESS_LOG_ERROR && level <= CANP_PROCESS_LOG_DEBUG)
		proc_set32(&p->shm->log_level, (uint32_t)level);
}

int canp_process_log_env(void)
{
	const char *v = getenv("PROCESS_POOL_LOG_LEVEL");

	return v && v[0] >= '0' && v[0] <= '0' + CANP_PROCESS_LOG_DEBUG && !v[1] ? v[0] - '0' : -1;
}

static int log_open(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* The descriptor of this process, opened again when the file changed. With log_lock. */
static int log_fd(struct canp_process_pool *p)
{
	uint32_t gen = proc_get32(&p->shm->log_generation);

	if (gen == p->log_seen)
		return p->log_fd >= 0 ? p->log_fd : STDERR_FILENO;
	p->log_seen = gen;
	if (p->log_fd >= 0)
		close(p->log_fd);
	p->log_fd = p->shm->log_path[0] ? log_open(p->shm->log_path) : -1;
	return p->log_fd >= 0 ? p->log_fd : STDERR_FILENO;
}

int canp_process_pool_set_log_file(struct canp_process_pool *p, const char *path)
{
	int fd = -1;

	if (path && strlen(path) >= sizeof(p->shm->log_path))
		return -ENAMETOOLONG;
	if (path) {
		fd = log_open(path);
		if (fd < 0)
			return -errno;
		close(fd);
	}
	pthread_mutex_lock(&p->log_lock);
	snprintf(p->shm->log_path, sizeof(p->shm->log_path), "%s", path ? path : "");
	__atomic_add_fetch(&p->shm->log_generation, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&p->log_lock);
	return 0;
}

static int log_rotate(struct canp_process_pool *p)
{
	char from[300], to[300];

	if (!p->shm->log_path[0])
		return -ENOENT;
	for (unsigned i = p->cfg.log_keep; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%u", p->shm->log_path, i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s.%u", p->shm->log_path, i - 1);
		else
			snprintf(from, sizeof(from), "%s", p->shm->log_path);
		if (rename(from, to) && errno != ENOENT)
			return -errno;
	}
	__atomic_add_fetch(&p->shm->log_generation, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int canp_process_pool_rotate_log(struct canp_process_pool *p)
{
	int rc;

	pthread_mutex_lock(&p->log_lock);
	rc = log_rotate(p);
	pthread_mutex_unlock(&p->log_lock);
	return rc;
}

void canp_process_log_size(struct canp_process_pool *p)
{
	struct stat st;

	if (!p->cfg.log_max_bytes || !p->shm->log_path[0] || stat(p->shm->log_path, &st) ||
	    (uint64_t)st.st_size < p->cfg.log_max_bytes)
		return;
	canp_process_pool_rotate_log(p);
}

void canp_process_log_close(struct canp_process_pool *p)
{
	if (p->log_fd >= 0)
		close(p->log_fd);
	p->log_fd = -1;
}

void canp_process_log(struct canp_process_pool *p, int level, const char *fmt, ...)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
	struct timespec ts;
	char line[1024], head[32];
	struct stat st;
	struct tm tm;
	int n, m, fd;
	va_list ap;

	if (!p)
		p = canp_process_self.p;
	if (!p || level < 0 || level > CANP_PROCESS_LOG_DEBUG ||
	    (uint32_t)level > proc_get32(&p->shm->log_level))
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "%s.%06ldZ %.32s[%d] %s: ", head, ts.tv_nsec / 1000,
		     p->cfg.pool_name, (int)getpid(), names[level]);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n = canp_min(n + m, (int)sizeof(line) - 2);
	line[n++] = '\n';
	pthread_mutex_lock(&p->log_lock);
	fd = log_fd(p);
	if (write(fd, line, (size_t)n) < 0)
		n = 0; /* there is no other place to say so */
	if (p->cfg.log_max_bytes && fd == p->log_fd && !fstat(fd, &st) &&
	    (uint64_t)st.st_size >= p->cfg.log_max_bytes) {
		if (p->pid == getpid())
			log_rotate(p);
		else
			canp_process_kick(p);
	}
	pthread_mutex_unlock(&p->log_lock);
}
