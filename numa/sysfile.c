/*
 * sysfile.c - bounded readers for /proc and /sys.
 *
 * The kernel hands these files out in one read in most cases, but not in all (/proc/self/status and
 * smaps come page by page), so every reader loops until the end or until its buffer is full.
 */
#include "numa/sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/assert.h"

static int sysfile_open(const char *root, const char *path)
{
	char full[CANP_SYSFILE_PATH_MAX];
	int n = snprintf(full, sizeof(full), "%s%s", root, path);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(full))
		return -ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void trim_end(char *s, size_t len)
{
	while (len > 0 && (s[len - 1] == '\n' || s[len - 1] == ' ' || s[len - 1] == '\t'))
		s[--len] = '\0';
}

int canp_sysfile_read(const char *root, const char *path, char *buf, size_t cap)
{
	size_t len = 0;
	int fd, rc = 0;

	CANP_ASSERT(cap > 0);
	buf[0] = '\0';
	fd = sysfile_open(root, path);
	if (fd < 0)
		return fd;
	while (len < cap - 1) {
		ssize_t n = read(fd, buf + len, cap - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	buf[rc ? 0 : len] = '\0';
	if (rc)
		return rc;
	trim_end(buf, len);
	return (int)strlen(buf);
}

int canp_sysfile_i64(const char *root, const char *path, int64_t *out)
{
	char text[64], *end;
	int rc = canp_sysfile_read(root, path, text, sizeof(text));
	long long v;

	if (rc < 0)
		return rc;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return -EINVAL;
	*out = v;
	return 0;
}

int canp_sysfile_key(const char *root, const char *path, const char *key, char *buf, size_t cap)
{
	char *line = NULL;
	size_t line_cap = 0, key_len = strlen(key);
	int fd = sysfile_open(root, path), rc = -ENOENT;
	FILE *f;

	CANP_ASSERT(cap > 0);
	buf[0] = '\0';
	if (fd < 0)
		return fd;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (getline(&line, &line_cap, f) > 0) {
		const char *v = line + key_len;

		if (strncmp(line, key, key_len))
			continue;
		v += strspn(v, " \t");
		snprintf(buf, cap, "%s", v);
		trim_end(buf, strlen(buf));
		rc = 0;
		break;
	}
	free(line);
	fclose(f);
	return rc;
}

/* True when the comma list `names` (of `len` bytes) holds `want`. */
static bool names_hold(const char *names, size_t len, const char *want)
{
	size_t want_len = strlen(want);

	while (len >= want_len) {
		const char *comma = memchr(names, ',', len);
		size_t n = comma ? (size_t)(comma - names) : len;

		if (n == want_len && !memcmp(names, want, n))
			return true;
		if (!comma)
			break;
		names += n + 1;
		len -= n + 1;
	}
	return false;
}

int canp_sysfile_cgroup(const char *root, const char *controller, char *path, size_t path_cap,
			char *names, size_t names_cap)
{
	char text[16384];
	char *save = NULL;
	int rc = canp_sysfile_read(root, "/proc/self/cgroup", text, sizeof(text));

	if (rc < 0)
		return rc;
	/* A line is "number:controllers:path"; version 2 has no controllers in it. */
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(l, ':'), *where = list ? strchr(list + 1, ':') : NULL;
		size_t len;

		if (!where || where[1] != '/')
			continue;
		list++;
		len = (size_t)(where - list);
		if (controller[0] ? !names_hold(list, len, controller) : len != 0)
			continue;
		if (names)
			snprintf(names, names_cap, "%.*s", (int)len, list);
		/* A path with ".." lies outside of our cgroup namespace: only its root is visible.
		 */
		snprintf(path, path_cap, "%s", strstr(where, "/..") ? "/" : where + 1);
		return 0;
	}
	return -ENOENT;
}
