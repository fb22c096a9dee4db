/*
 * dirscan.c - INPUT arguments to the ordered list of files, see dirscan.h.
 *
 * Each argument is collected, sorted by relative path and appended; duplicates are dropped on the
 * way in listing order, so which of two hard links stays is a function of the listing as well.
 * Strings live in large blocks and are never moved: `rel` is always a tail of `path`, one string a
 * file.
 *
 * Walks use a work list instead of recursion. Symbolic links to directories wait until all real
 * directories of the argument are walked: a file reachable both ways is then listed under its real
 * path, and a set of walked directories (device, inode) ends every loop.
 */
#include "io/source/dirscan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/source/dirscan_glob.h"

#define STRINGS_BLOCK (256u * 1024u)

struct scan_block {
	struct scan_block *next;
	size_t used, cap;
	char data[];
};

/* Open addressing set of (device, inode); inode 0 with device 0 marks a free place. */
struct scan_ids {
	struct {
		uint64_t dev, ino;
	} * tab;
	size_t nr, cap;
};

struct scan_dir {
	const char *path; /* openable */
	size_t rel_at;    /* path + rel_at is relative to the argument; the length for the top */
};

struct scan_dirs {
	struct scan_dir *tab;
	size_t nr, cap;
};

struct scan {
	const struct canp_dirscan_opts *opts;
	struct canp_dirscan *out;
	size_t cap;             /* of out->files */
	struct scan_ids files;  /* listed */
	struct scan_ids walked; /* of this argument */
	struct scan_dirs todo;  /* real directories to walk */
	struct scan_dirs links; /* links to directories, for the next round */
	uint32_t arg;
};

/* ---- memory ---------------------------------------------------------------------------------- */

static char *scan_string(struct scan *sc, size_t len)
{
	struct scan_block *b = sc->out->strings;
	char *s;

	if (!b || b->cap - b->used < len) {
		size_t cap = canp_max(len, (size_t)STRINGS_BLOCK);

		b = malloc(sizeof(*b) + cap);
		if (!b)
			return NULL;
		b->next = sc->out->strings;
		b->used = 0;
		b->cap = cap;
		sc->out->strings = b;
	}
	s = b->data + b->used;
	b->used += len;
	return s;
}

/* dir "/" name; dir may be empty (then just name) or end in a slash. */
static char *scan_join(struct scan *sc, const char *dir, const char *name)
{
	size_t nd = strlen(dir), nn = strlen(name);
	bool slash = nd > 0 && dir[nd - 1] != '/';
	char *s = scan_string(sc, nd + slash + nn + 1);

	if (!s)
		return NULL;
	memcpy(s, dir, nd);
	if (slash)
		s[nd] = '/';
	memcpy(s + nd + slash, name, nn + 1);
	return s;
}

/* 1: added, 0: was there, -ENOMEM. */
static int ids_add(struct scan_ids *ids, uint64_t dev, uint64_t ino)
{
	size_t i;

	if (dev == 0 && ino == 0)
		return 1; /* no identity to go by */
	if (ids->nr * 2 >= ids->cap) {
		struct scan_ids big = {NULL, 0, ids->cap ? ids->cap * 2 : 256};

		big.tab = calloc(big.cap, sizeof(*big.tab));
		if (!big.tab)
			return -ENOMEM;
		for (i = 0; i < ids->cap; i++) {
			if (ids->tab[i].dev || ids->tab[i].ino)
				ids_add(&big, ids->tab[i].dev, ids->tab[i].ino);
		}
		free(ids->tab);
		*ids = big;
	}
	i = canp_hash_mix(ino * 0x9e3779b97f4a7c15ULL + dev) & (ids->cap - 1);
	for (; ids->tab[i].dev || ids->tab[i].ino; i = (i + 1) & (ids->cap - 1)) {
		if (ids->tab[i].dev == dev && ids->tab[i].ino == ino)
			return 0;
	}
	ids->tab[i].dev = dev;
	ids->tab[i].ino = ino;
	ids->nr++;
	return 1;
}

static int dirs_add(struct scan_dirs *d, const char *path, size_t rel_at)
{
	if (d->nr == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 64;
		void *tab = realloc(d->tab, cap * sizeof(*d->tab));

		if (!tab)
			return -ENOMEM;
		d->tab = tab;
		d->cap = cap;
	}
	d->tab[d->nr++] = (struct scan_dir){path, rel_at};
	return 0;
}

static int scan_add(struct scan *sc, const char *path, size_t rel_at, const struct stat *st,
		    int err, bool named)
{
	struct canp_dirscan *out = sc->out;
	struct canp_input *in;

	if (out->nr_files == sc->cap) {
		size_t cap = sc->cap ? sc->cap * 2 : 256;
		void *files = realloc(out->files, cap * sizeof(*out->files));

		if (!files)
			return -ENOMEM;
		out->files = files;
		sc->cap = cap;
	}
	in = &out->files[out->nr_files++];
	memset(in, 0, sizeof(*in));
	in->path = path;
	in->rel = path + rel_at;
	in->arg = sc->arg;
	in->err = err;
	in->named = named;
	if (err || !st)
		return 0;
	in->size = (uint64_t)st->st_size;
	in->dev = st->st_dev;
	in->ino = st->st_ino;
	in->mtime_ns = st->st_mtim.tv_sec * CANP_NS_PER_S + st->st_mtim.tv_nsec;
	return 0;
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool name_hidden(const char *name)
{
	size_t len = strlen(name);

	return name[0] == '.' || (len >= 4 && strcmp(name + len - 4, ".tmp") == 0);
}

static bool scan_included(const struct scan *sc, const char *rel)
{
	const char *slash = strrchr(rel, '/');
	const char *base = slash ? slash + 1 : rel;

	for (unsigned i = 0; i < sc->opts->nr_include; i++) {
		const char *pat = sc->opts->include[i];

		if (fnmatch(pat, strchr(pat, '/') ? rel : base, 0) == 0)
			return true;
	}
	return sc->opts->nr_include == 0;
}

/* One name met in a walk. Directories go to the work lists, files to the listing. */
static int scan_entry(struct scan *sc, int dirfd, const struct scan_dir *dir, const char *name)
{
	size_t rel_at = dir->rel_at;
	struct stat st;
	bool link;
	char *path;

	if (name_hidden(name)) {
		sc->out->skipped_hidden++;
		return 0;
	}
	path = scan_join(sc, dir->path, name);
	if (!path)
		return -ENOMEM;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return scan_add(sc, path, rel_at, NULL, -errno, false);
	link = S_ISLNK(st.st_mode);
	if (link && !sc->opts->follow_symlinks) {
		sc->out->skipped_symlinks++;
		return 0;
	}
	if (link && fstatat(dirfd, name, &st, 0) != 0)
		return scan_add(sc, path, rel_at, NULL, -errno, false);
	if (S_ISDIR(st.st_mode))
		return dirs_add(link ? &sc->links : &sc->todo, path, rel_at);
	if (!S_ISREG(st.st_mode)) {
		sc->out->skipped_special++;
		return 0;
	}
	if (!scan_included(sc, path + rel_at)) {
		sc->out->skipped_include++;
		return 0;
	}
	return scan_add(sc, path, rel_at, &st, 0, false);
}

/* A directory that cannot be read. The argument itself has no relative path: it is named whole. */
static int scan_bad_dir(struct scan *sc, const struct scan_dir *dir, int err)
{
	bool top = dir->rel_at >= strlen(dir->path);

	return scan_add(sc, dir->path, top ? 0 : dir->rel_at, NULL, err, top);
}

static int scan_one_dir(struct scan *sc, const struct scan_dir *dir)
{
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(dir->path);
	int rc = 0;

	if (!d)
		return scan_bad_dir(sc, dir, -errno);
	if (fstat(dirfd(d), &st) == 0)
		rc = ids_add(&sc->walked, st.st_dev, st.st_ino);
	if (rc <= 0)
		goto out; /* walked already, or no memory */
	sc->out->dirs++;
	rc = 0;
	errno = 0;
	while (rc == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = scan_entry(sc, dirfd(d), dir, e->d_name);
		errno = 0;
	}
	if (rc == 0 && errno)
		rc = scan_bad_dir(sc, dir, -errno);
out:
	closedir(d);
	return rc;
}

static int dir_cmp(const void *a, const void *b)
{
	const struct scan_dir *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Walks the directories on the todo list and everything below. */
static int scan_walk(struct scan *sc)
{
	int rc = 0;

	for (;;) {
		struct scan_dirs round;

		while (rc == 0 && sc->todo.nr > 0) {
			struct scan_dir dir = sc->todo.tab[--sc->todo.nr];

			rc = scan_one_dir(sc, &dir);
		}
		if (rc < 0 || sc->links.nr == 0)
			return rc;
		/* In path order, each with all that hangs below it: which name of a directory
		 * reached by several links is kept does not depend on readdir. */
		round = sc->links;
		memset(&sc->links, 0, sizeof(sc->links));
		qsort(round.tab, round.nr, sizeof(*round.tab), dir_cmp);
		for (size_t i = 0; i < round.nr && rc == 0; i++) {
			rc = dirs_add(&sc->todo, round.tab[i].path, round.tab[i].rel_at);
			while (rc == 0 && sc->todo.nr > 0) {
				struct scan_dir dir = sc->todo.tab[--sc->todo.nr];

				rc = scan_one_dir(sc, &dir);
			}
		}
		free(round.tab);
	}
}

/* ---- arguments ------------------------------------------------------------------------------- */

static int input_cmp(const void *a, const void *b)
{
	const struct canp_input *x = a, *y = b;

	return strcmp(x->rel, y->rel);
}

/* Sorts what one argument (or list line) brought and drops files listed before. */
static int scan_settle(struct scan *sc, size_t from)
{
	struct canp_dirscan *out = sc->out;
	size_t keep = from;

	if (out->nr_files > from)
		qsort(out->files + from, out->nr_files - from, sizeof(*out->files), input_cmp);
	for (size_t i = from; i < out->nr_files; i++) {
		const struct canp_input *in = &out->files[i];

		if (!in->err) {
			int rc = ids_add(&sc->files, in->dev, in->ino);

			if (rc < 0)
				return rc;
			if (rc == 0) {
				out->duplicates++;
				continue;
			}
			out->bytes += in->size;
		}
		out->nr_failed += in->err != 0;
		out->files[keep++] = *in;
	}
	out->nr_files = keep;
	return 0;
}

/* Something given by name, which exists: file or directory. rel_at: where its relative path starts;
 * top: a directory's own name is not part of it. */
static int scan_named(struct scan *sc, const char *path, size_t rel_at, bool top)
{
	size_t len = strlen(path);
	struct stat st;
	int rc;

	if (stat(path, &st) != 0)
		return scan_add(sc, path, rel_at, NULL, -errno, true);
	if (!S_ISDIR(st.st_mode))
		return scan_add(sc, path, rel_at, &st, S_ISREG(st.st_mode) ? 0 : -EOPNOTSUPP, true);
	if (top)
		rel_at = path[len - 1] == '/' ? len : len + 1;
	rc = dirs_add(&sc->todo, path, rel_at);
	return rc < 0 ? rc : scan_walk(sc);
}

struct glob_ctx {
	struct scan *sc;
	size_t rel_at;
	size_t matches;
};

static int scan_glob_match(void *arg, const char *path)
{
	struct glob_ctx *g = arg;
	char *copy = scan_join(g->sc, "", path);

	g->matches++;
	return copy ? scan_named(g->sc, copy, g->rel_at, false) : -ENOMEM;
}

/* A command line argument that is no list. */
static int scan_path_arg(struct scan *sc, const char *arg)
{
	char *path = scan_join(sc, "", arg);
	struct glob_ctx g = {sc, 0, 0};
	const char *slash;
	struct stat st;
	int rc;

	if (!path)
		return -ENOMEM;
	if (lstat(path, &st) != 0 && errno == ENOENT && canp_glob_has_magic(path)) {
		g.rel_at = canp_glob_prefix(path);
		rc = canp_glob(path, scan_glob_match, &g);
		if (rc < 0 || g.matches > 0)
			return rc;
	}
	slash = strrchr(path, '/');
	return scan_named(sc, path, slash && slash[1] ? (size_t)(slash + 1 - path) : 0, true);
}

/* A list line: its relative path is the line itself, without a leading "./" or "/". */
static int scan_line(struct scan *sc, const char *line, size_t len)
{
	size_t from = sc->out->nr_files, at = 0;
	char *path = scan_string(sc, len + 1);
	int rc;

	if (!path)
		return -ENOMEM;
	memcpy(path, line, len);
	path[len] = 0;
	while (len > 1 && path[len - 1] == '/')
		path[--len] = 0;
	while (path[at] == '/' || (path[at] == '.' && path[at + 1] == '/'))
		at += path[at] == '/' ? 1 : 2;
	rc = scan_named(sc, path, at, false);
	free(sc->walked.tab);
	memset(&sc->walked, 0, sizeof(sc->walked));
	return rc < 0 ? rc : scan_settle(sc, from);
}

/* The bytes of a list; -errno of open or read. */
static int list_read(const char *name, struct canp_strbuf *sb)
{
	bool own = strcmp(name, "-") != 0;
	int fd = own ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	char buf[16384];
	ssize_t n;
	int rc = 0;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = -errno;
			break;
		}
		canp_strbuf_add(sb, buf, (size_t)n);
	}
	if (own)
		close(fd);
	return sb->failed ? -ENOMEM : rc;
}

static int scan_list(struct scan *sc, const char *name)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	char *copy = scan_join(sc, "", name);
	int rc = copy ? list_read(name, &sb) : -ENOMEM;
	char sep = '\n';

	if (rc < 0 && rc != -ENOMEM) {
		/* The list itself is the input that cannot be read. */
		size_t from = sc->out->nr_files;

		rc = scan_add(sc, copy, 0, NULL, rc, true);
		if (rc == 0)
			rc = scan_settle(sc, from);
	} else if (rc == 0) {
		if (sb.len > 0 && memchr(sb.buf, 0, sb.len))
			sep = 0; /* find -print0 */
		for (size_t at = 0; at < sb.len && rc == 0;) {
			const char *line = sb.buf + at;
			const char *end = memchr(line, sep, sb.len - at);
			size_t len = end ? (size_t)(end - line) : sb.len - at;

			if (len > 0)
				rc = scan_line(sc, line, len);
			at += len + 1;
		}
	}
	canp_strbuf_fini(&sb);
	return rc;
}

static int scan_arg(struct scan *sc, const char *arg)
{
	size_t from = sc->out->nr_files;
	int rc;

	if (strcmp(arg, "-") == 0)
		return scan_list(sc, arg);
	if (arg[0] == '@' && arg[1])
		return scan_list(sc, arg + 1);
	rc = scan_path_arg(sc, arg);
	free(sc->walked.tab);
	memset(&sc->walked, 0, sizeof(sc->walked));
	return rc < 0 ? rc : scan_settle(sc, from);
}

int canp_dirscan_create(const struct canp_dirscan_opts *opts, struct canp_dirscan **out)
{
	struct scan sc = {.opts = opts};
	int rc = 0;

	if (opts->nr_args == 0)
		return -EINVAL;
	sc.out = calloc(1, sizeof(*sc.out));
	if (!sc.out)
		return -ENOMEM;
	for (unsigned i = 0; i < opts->nr_args && rc == 0; i++) {
		sc.arg = i;
		rc = scan_arg(&sc, opts->args[i]);
	}
	free(sc.files.tab);
	free(sc.walked.tab);
	free(sc.todo.tab);
	free(sc.links.tab);
	if (rc < 0) {
		canp_dirscan_destroy(sc.out);
		return rc;
	}
	*out = sc.out;
	return 0;
}

void canp_dirscan_destroy(struct canp_dirscan *scan)
{
	if (!scan)
		return;
	for (struct scan_block *b = scan->strings; b;) {
		struct scan_block *next = b->next;

		free(b);
		b = next;
	}
	free(scan->files);
	free(scan);
}
