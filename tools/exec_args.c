/*
 * exec_args.c - reading and grouping arguments.
 */
#include "tools/exec_args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/units.h"

#define READ_BYTES 65536u

static int source_add(struct exec_source *s, const char *p, size_t n)
{
	char *copy = strndup(p, n);

	if (s->nr == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		char **v = realloc(s->v, cap * sizeof(*v));

		if (!v) {
			free(copy);
			return -ENOMEM;
		}
		s->v = v;
		s->cap = cap;
	}
	if (!copy)
		return -ENOMEM;
	s->v[s->nr++] = copy;
	return 0;
}

int exec_args_list(struct exec_args *a, char *const *v, unsigned nr)
{
	struct exec_source *s = &a->src[a->nr];
	int rc = 0;

	if (a->nr == EXEC_SOURCES_MAX)
		return -E2BIG;
	s->fd = -1;
	a->nr++;
	for (unsigned i = 0; i < nr && !rc; i++)
		rc = source_add(s, v[i], strlen(v[i]));
	return rc;
}

int exec_args_file(struct exec_args *a, const char *path)
{
	struct exec_source *s = &a->src[a->nr];

	if (a->nr == EXEC_SOURCES_MAX)
		return -E2BIG;
	s->opened = strcmp(path, "-") != 0;
	s->fd = s->opened ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (s->fd < 0)
		return -errno;
	a->nr++;
	return 0;
}

/* The source that is read next; sources of a combination are read one after the other. */
static struct exec_source *reading(const struct exec_args *a)
{
	for (unsigned i = 0; i < a->nr; i++) {
		if (a->src[i].fd >= 0)
			return (struct exec_source *)(uintptr_t)&a->src[i];
	}
	return NULL;
}

int exec_args_fd(const struct exec_args *a)
{
	const struct exec_source *s = reading(a);

	return s ? s->fd : -1;
}

/* Takes the complete records out of the buffer; at the end also the last one without delimiter. */
static int cut(struct exec_args *a, struct exec_source *s, bool end)
{
	size_t from = 0;
	int rc = 0;

	while (!rc && from < a->len) {
		char *p = memchr(a->buf + from, a->delim, a->len - from);
		size_t n = p ? (size_t)(p - (a->buf + from)) : a->len - from;

		if (!p && !end)
			break;
		rc = source_add(s, a->buf + from, n);
		from += n + (p != NULL);
	}
	a->len -= from;
	memmove(a->buf, a->buf + from, a->len);
	return rc;
}

int exec_args_read(struct exec_args *a)
{
	struct exec_source *s = reading(a);
	ssize_t n;
	int rc;

	if (!s)
		return 0;
	if (a->cap - a->len < READ_BYTES) {
		char *b = realloc(a->buf, a->cap + 2 * READ_BYTES);

		if (!b)
			return -ENOMEM;
		a->buf = b;
		a->cap += 2 * READ_BYTES;
	}
	n = read(s->fd, a->buf + a->len, READ_BYTES);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	a->len += (size_t)n;
	rc = cut(a, s, n == 0);
	if (n == 0) {
		if (s->opened)
			close(s->fd);
		s->fd = -1;
		a->len = 0;
	}
	return rc;
}

static int tuple_take(struct exec_args *a, struct exec_tuple *t, unsigned n)
{
	struct exec_source *s = &a->src[0];

	t->v = calloc(n + 1, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	t->nr = n;
	for (unsigned i = 0; i < n; i++) {
		t->v[i] = s->v[a->at];
		s->v[a->at++] = NULL;
	}
	/* What was used is forgotten: an endless stream needs no more than its present part. */
	if (a->at > 4096 && a->at == s->nr) {
		s->nr = 0;
		a->at = 0;
	}
	return 1;
}

/* As many as fit; the rest of the input is spread over the jobs. */
static int tuple_fill(struct exec_args *a, struct exec_tuple *t)
{
	struct exec_source *s = &a->src[0];
	size_t have = s->nr - a->at, chars = 0, n = 0;

	for (; n < have; n++) {
		size_t len = strlen(s->v[a->at + n]) + 1;

		if (n && (chars + len > a->max_chars || (a->per > 1 && n == a->per)))
			return tuple_take(a, t, (unsigned)n);
		chars += len;
	}
	if (s->fd >= 0)
		return -EAGAIN;
	if (!n)
		return 0;
	if (!a->eof) { /* decided once, when all that is left is known */
		a->eof = true;
		a->jobs = canp_max(a->jobs, 1u);
		a->per = (unsigned)((n + a->jobs - 1) / a->jobs);
	}
	return tuple_take(a, t, (unsigned)canp_min(n, (size_t)a->per));
}

static int tuple_single(struct exec_args *a, struct exec_tuple *t)
{
	const struct exec_source *s = &a->src[0];
	size_t have = s->nr - a->at;

	if (a->fill)
		return tuple_fill(a, t);
	if (have < a->per && s->fd >= 0)
		return -EAGAIN;
	if (!have)
		return 0;
	return tuple_take(a, t, (unsigned)canp_min(have, (size_t)a->per));
}

static size_t combinations(const struct exec_args *a)
{
	size_t n = a->nr ? 1 : 0;

	for (unsigned i = 0; i < a->nr; i++)
		n *= a->src[i].nr;
	return n;
}

/* The last source changes fastest. */
static int tuple_combination(struct exec_args *a, struct exec_tuple *t)
{
	size_t k = a->at;

	if (reading(a))
		return -EAGAIN;
	if (k >= combinations(a))
		return 0;
	t->v = calloc(a->nr + 1, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	t->nr = a->nr;
	for (unsigned i = a->nr; i-- > 0;) {
		t->v[i] = strdup(a->src[i].v[k % a->src[i].nr]);
		k /= a->src[i].nr;
		if (!t->v[i]) {
			exec_tuple_fini(t);
			return -ENOMEM;
		}
	}
	a->at++;
	return 1;
}

int exec_args_next(struct exec_args *a, struct exec_tuple *t)
{
	return a->nr == 1 ? tuple_single(a, t) : tuple_combination(a, t);
}

size_t exec_args_total(const struct exec_args *a)
{
	if (reading(a) || a->fill)
		return 0;
	if (a->nr > 1)
		return combinations(a);
	return a->nr ? (a->src[0].nr + a->per - 1) / a->per : 0;
}

void exec_tuple_fini(struct exec_tuple *t)
{
	for (unsigned i = 0; i < t->nr; i++)
		free(t->v[i]);
	free(t->v);
	t->v = NULL;
	t->nr = 0;
}

void exec_args_fini(struct exec_args *a)
{
	for (unsigned i = 0; i < a->nr; i++) {
		for (size_t k = 0; k < a->src[i].nr; k++)
			free(a->src[i].v[k]);
		free(a->src[i].v);
		if (a->src[i].opened && a->src[i].fd >= 0)
			close(a->src[i].fd);
	}
	free(a->buf);
}
