/*
 * outdir.c - looking at, creating and writing into the dataset directory from the control thread.
 */
#include "io/outdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

int canp_outdir_state(const char *path, enum canp_outdir_state *state)
{
	struct dirent *e;
	struct stat st;
	bool any = false;
	DIR *d;
	int fd;

	if (stat(path, &st) < 0) {
		*state = CANP_OUTDIR_MISSING;
		return errno == ENOENT ? 0 : -errno;
	}
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	d = opendir(path);
	if (!d)
		return -errno;
	fd = dirfd(d);
	if (faccessat(fd, CANP_OUTDIR_META "/run.json", F_OK, 0) == 0) {
		*state = CANP_OUTDIR_COMPLETE;
	} else if (faccessat(fd, CANP_OUTDIR_META "/job.json", F_OK, 0) == 0) {
		*state = CANP_OUTDIR_STARTED;
	} else {
		while ((e = readdir(d)) != NULL)
			any |= strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
			       strcmp(e->d_name, "lost+found");
		*state = any ? CANP_OUTDIR_FOREIGN : CANP_OUTDIR_EMPTY;
	}
	closedir(d);
	return 0;
}

int canp_outdir_make(const char *path)
{
	char buf[PATH_MAX];
	size_t len = strlen(path);

	if (!len || len >= sizeof(buf))
		return len ? -ENAMETOOLONG : -ENOENT;
	memcpy(buf, path, len + 1);
	for (char *p = buf + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(buf, 0777) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (!c)
			return 0;
	}
}

bool canp_outdir_refuse(const char *path, struct canp_strbuf *err)
{
	static const char *const refused[] = {
		[CANP_OUTDIR_STARTED] =
			"holds an unfinished job (no _canp/run.json): choose another "
			"folder or remove it (--resume comes with a later release)",
		[CANP_OUTDIR_COMPLETE] =
			"holds a finished dataset: choose another folder (--append "
			"comes with a later release)",
		[CANP_OUTDIR_FOREIGN] = "is not empty and not ours: choose a new or empty folder",
	};
	enum canp_outdir_state state;

	if (canp_outdir_state(path, &state) || state <= CANP_OUTDIR_EMPTY)
		return false;
	canp_strbuf_printf(err, "output folder %s %s", path, refused[state]);
	return true;
}

int canp_outdir_create(const char *path, int *fd, struct canp_strbuf *err)
{
	enum canp_outdir_state state;
	int rc = canp_outdir_state(path, &state);

	if (rc < 0) {
		canp_strbuf_printf(err, "cannot use output folder %s: %s", path, canp_strerror(rc));
		return rc;
	}
	if (canp_outdir_refuse(path, err))
		return -EEXIST;
	rc = canp_outdir_make(path);
	*fd = rc ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0 || (mkdirat(*fd, CANP_OUTDIR_META, 0777) < 0 && errno != EEXIST)) {
		rc = rc ? rc : -errno;
		canp_strbuf_printf(err, "cannot create output folder %s: %s", path,
				   canp_strerror(rc));
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return rc;
	}
	return 0;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int sync_folder(int dirfd, const char *name)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(name, '/');
	int fd, rc;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - name) : 1,
		 slash ? name : ".");
	fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int canp_outdir_write(int dirfd, const char *name, const void *data, size_t len)
{
	const char *slash = strrchr(name, '/');
	int head = slash ? (int)(slash - name) + 1 : 0;
	char tmp[PATH_MAX];
	int fd, rc;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%.*s.%s.tmp", head, name, name + head) >=
	    sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, data, len);
	close(fd);
	if (!rc && renameat(dirfd, tmp, dirfd, name) < 0)
		rc = -errno;
	if (rc) {
		unlinkat(dirfd, tmp, 0);
		return rc;
	}
	return sync_folder(dirfd, name);
}
