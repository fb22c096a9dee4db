/*
 * cmd_spec.c - what a command is told: the copy of its spec, its environment, and where its program
 * lies.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/command/cmd_priv.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static bool stream_ok(const struct canp_cmd_stream *s, bool in, bool err)
{
	switch (s->kind) {
	case CANP_CMD_IO_DEFAULT:
	case CANP_CMD_IO_NULL:
	case CANP_CMD_IO_INHERIT:
		return true;
	case CANP_CMD_IO_CAPTURE:
		return !in;
	case CANP_CMD_IO_DATA:
		return in && (s->data || !s->len);
	case CANP_CMD_IO_FD:
		return s->fd >= 0;
	case CANP_CMD_IO_STDOUT:
		return err;
	}
	return false;
}

int canp_cmd_spec_check(const struct canp_cmd_pool *p, const struct canp_cmd_spec *s)
{
	if (!s->argv || !s->argv[0] || !s->argv[0][0])
		return -EINVAL;
	if (!stream_ok(&s->in, true, false) || !stream_ok(&s->out, false, false) ||
	    !stream_ok(&s->err, false, true))
		return -EINVAL;
	if ((unsigned)s->prio >= CANP_PRIO_NR || s->nr_rlimits > CANP_CMD_RLIMITS_MAX ||
	    s->nr_keep_fds > CANP_CMD_KEEP_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < s->nr_keep_fds; i++) {
		if (s->keep_fds[i] < 3)
			return -EINVAL;
	}
	if ((s->out.kind <= CANP_CMD_IO_CAPTURE && s->out.len > p->cfg.capture_max) ||
	    (s->err.kind <= CANP_CMD_IO_CAPTURE && s->err.len > p->cfg.capture_max))
		return -EINVAL;
	return 0;
}

struct spec_need {
	size_t argc, envc, bytes;
};

static int spec_need(const struct canp_cmd_spec *s, struct spec_need *n)
{
	size_t text = 0;

	memset(n, 0, sizeof(*n));
	while (s->argv[n->argc])
		text += strlen(s->argv[n->argc++]) + 1;
	if (s->env) {
		while (s->env[n->envc])
			text += strlen(s->env[n->envc++]) + 1;
	}
	if (n->envc > CMD_ENV_MAX - 4 || n->argc > INT_MAX / 16)
		return -E2BIG;
	text += s->cwd ? strlen(s->cwd) + 1 : 0;
	text += s->in.kind == CANP_CMD_IO_DATA ? s->in.len : 0;
	/* Two free places before argv, a NULL after each array. */
	n->bytes = (n->argc + 3 + (s->env ? n->envc + 1 : 0)) * sizeof(char *) + text;
	return 0;
}

static char *put(char **at, const void *data, size_t len)
{
	char *p = *at;

	memcpy(p, data, len);
	*at += len;
	return p;
}

int canp_cmd_spec_copy(struct canp_cmd_call *c, const struct canp_cmd_spec *s)
{
	size_t head = canp_align_up(sizeof(*c), (size_t)8);
	struct spec_need n;
	char *base, *text, **env = NULL;
	int rc = spec_need(s, &n);

	if (rc)
		return rc;
	c->spec = *s;
	c->big = NULL;
	base = (char *)c + head;
	if (n.bytes > CMD_RECORD - head) {
		c->big = malloc(n.bytes);
		if (!c->big)
			return -ENOMEM;
		base = c->big;
	}
	c->argv = (char **)base + 2;
	text = (char *)(c->argv + n.argc + 1);
	if (s->env) {
		env = (char **)text;
		text = (char *)(env + n.envc + 1);
		c->spec.env = (const char *const *)env;
	}
	for (size_t i = 0; i < n.argc; i++)
		c->argv[i] = put(&text, s->argv[i], strlen(s->argv[i]) + 1);
	c->argv[n.argc] = NULL;
	c->spec.argv = (const char *const *)c->argv;
	for (size_t i = 0; i < n.envc; i++)
		env[i] = put(&text, s->env[i], strlen(s->env[i]) + 1);
	if (env)
		env[n.envc] = NULL;
	if (s->cwd)
		c->spec.cwd = put(&text, s->cwd, strlen(s->cwd) + 1);
	if (s->in.kind == CANP_CMD_IO_DATA)
		c->spec.in.data = put(&text, s->in.data, s->in.len);
	return 0;
}

/* ---- environment ---- */

const char *canp_cmd_env_get(const char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (env = env ? env : (const char *const *)environ; *env; env++) {
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	}
	return NULL;
}

static void trace_text(const struct canp_trace_ctx *t, char *out, size_t bytes)
{
	static const char hex[] = "0123456789abcdef";
	char id[33], span[17];

	for (unsigned i = 0; i < 16; i++) {
		id[2 * i] = hex[t->trace_id[i] >> 4];
		id[2 * i + 1] = hex[t->trace_id[i] & 15];
	}
	for (unsigned i = 0; i < 8; i++) {
		span[2 * i] = hex[t->span_id[i] >> 4];
		span[2 * i + 1] = hex[t->span_id[i] & 15];
	}
	id[32] = 0;
	span[16] = 0;
	snprintf(out, bytes, "TRACEPARENT=00-%s-%s-%02x", id, span, t->flags);
}

static bool trace_given(const struct canp_trace_ctx *t)
{
	static const uint8_t none[16];

	return memcmp(t->trace_id, none, sizeof(none)) != 0;
}

static bool env_hides(const char *const *env, const char *var)
{
	size_t n = strcspn(var, "=");

	for (; *env; env++) {
		if (!strncmp(*env, var, n) && (*env)[n] == '=')
			return true;
	}
	return false;
}

/* What the pool itself sets is not taken over; `hide`: nor is what these name. */
static int env_copy(const char *const *from, const char *const *hide, bool trace, char **envp,
		    unsigned *n)
{
	for (; from && *from; from++) {
		if (!strncmp(*from, "CANP_CMD_ID=", 12) ||
		    (trace && !strncmp(*from, "TRACEPARENT=", 12)) ||
		    (hide && env_hides(hide, *from)))
			continue;
		if (*n >= CMD_ENV_MAX)
			return -E2BIG;
		envp[(*n)++] = (char *)(uintptr_t)*from;
	}
	return 0;
}

int canp_cmd_env(struct canp_cmd_call *c, char **envp)
{
	const char *const *own = c->spec.env, *const *callers = (const char *const *)environ;
	bool trace = trace_given(&c->spec.trace);
	unsigned n = 0;
	int rc = 0;

	/* First: cmd_kill.c looks for it at the beginning. */
	snprintf(c->id_text, sizeof(c->id_text), "CANP_CMD_ID=%llx-%llu",
		 (unsigned long long)c->pool->cookie, (unsigned long long)c->r.id);
	envp[n++] = c->id_text;
	if (trace) {
		trace_text(&c->spec.trace, c->trace_text, sizeof(c->trace_text));
		envp[n++] = c->trace_text;
	}
	if (own)
		rc = env_copy(own, NULL, trace, envp, &n);
	if (!rc && (!own || c->spec.env_add))
		rc = env_copy(callers, own, trace, envp, &n);
	if (rc)
		return rc;
	envp[n] = NULL;
	return 0;
}

/* ---- program ---- */

/* Calls look for every place where a program of that name could be, until one is true. */
static bool path_walk(const char *name, const char *dirs, char *buf,
		      bool (*look)(const char *path, void *arg), void *arg)
{
	for (;; dirs++) {
		size_t n = strcspn(dirs, ":");

		/* An empty entry is the current directory. */
		if ((size_t)snprintf(buf, CMD_PATH_BYTES, "%.*s%s%s", (int)n, dirs, n ? "/" : "",
				     name) < CMD_PATH_BYTES &&
		    look(buf, arg))
			return true;
		dirs += n;
		if (!*dirs)
			return false;
	}
}

static bool executable(const char *path, void *arg)
{
	struct stat st;

	(void)arg;
	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

const char *canp_cmd_path(struct cmd_lane *l, const struct canp_cmd_spec *s)
{
	const char *name = s->argv[0], *dirs;
	size_t n = strlen(name);

	if (strchr(name, '/'))
		return name;
	dirs = canp_cmd_env_get(s->env, "PATH");
	if (!dirs && s->env_add)
		dirs = canp_cmd_env_get(NULL, "PATH");
	if (!dirs || !*dirs)
		dirs = PATH_DEFAULT;
	if (n < 256 && !strcmp(l->path_of, name) && !strcmp(l->path_env, dirs) &&
	    access(l->path, X_OK) == 0)
		return l->path;
	l->path_of[0] = 0;
	if (!path_walk(name, dirs, l->path, executable, NULL))
		return NULL;
	if (n < 256 && strlen(dirs) < CMD_PATH_BYTES) {
		memcpy(l->path_of, name, n + 1);
		memcpy(l->path_env, dirs, strlen(dirs) + 1);
	}
	return l->path;
}

/* ---- diagnosis ---- */

struct diag {
	char *text;
	size_t len, bytes;
	int error; /* the most telling one so far */
};

static void CANP_PRINTF(2, 3) diag_add(struct diag *d, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (d->len + 1 >= d->bytes)
		return;
	va_start(ap, fmt);
	n = vsnprintf(d->text + d->len, d->bytes - d->len, fmt, ap);
	va_end(ap);
	d->len = canp_min(d->len + (size_t)canp_max(n, 0), d->bytes - 1);
}

static bool diag_look(const char *path, void *arg)
{
	struct diag *d = arg;
	struct stat st;

	if (stat(path, &st)) {
		if (errno == ENOENT || errno == ENOTDIR)
			return false;
		d->error = errno;
		diag_add(d, "; %s: %s", path, strerrordesc_np(errno));
		return false;
	}
	if (S_ISDIR(st.st_mode)) {
		d->error = d->error ? d->error : EACCES;
		diag_add(d, "; %s is a directory", path);
		return false;
	}
	if (access(path, X_OK)) {
		d->error = errno;
		diag_add(d, "; %s (mode %03o): %s", path, st.st_mode & 07777,
			 strerrordesc_np(errno));
		return false;
	}
	return true;
}

int canp_cmd_diagnose(const char *name, const char *const *env, const char *cwd, char *text,
		      size_t text_bytes)
{
	struct diag d = {.text = text, .bytes = text_bytes};
	const char *dirs = canp_cmd_env_get(env, "PATH");
	char path[CMD_PATH_BYTES];
	bool found;

	text[0] = 0;
	diag_add(&d, "cannot execute '%s'", name);
	if (strchr(name, '/')) {
		snprintf(path, sizeof(path), "%s%s%s", cwd && name[0] != '/' ? cwd : "",
			 cwd && name[0] != '/' ? "/" : "", name);
		found = diag_look(path, &d);
		if (!found && !d.error)
			diag_add(&d, ": %s: %s (errno %d)", path, strerrordesc_np(ENOENT), ENOENT);
	} else {
		found = path_walk(name, dirs && *dirs ? dirs : PATH_DEFAULT, path, diag_look, &d);
		if (!found && !d.error)
			diag_add(&d, ": %s (errno %d)", strerrordesc_np(ENOENT), ENOENT);
		if (!found)
			diag_add(&d, "; PATH%s=%s", dirs && *dirs ? "" : " is not set, used",
				 dirs && *dirs ? dirs : PATH_DEFAULT);
	}
	if (found) {
		text[0] = 0;
		return 0;
	}
	if (d.error)
		diag_add(&d, " (errno %d)", d.error);
	return d.error ? -d.error : -ENOENT;
}

const char *canp_cmd_status_name(enum canp_cmd_status s)
{
	static const char *const name[] = {"unknown", "pending", "running", "completed", "failed"};

	return (unsigned)s < CANP_ARRAY_SIZE(name) ? name[s] : "?";
}

const char *canp_cmd_error_name(enum canp_cmd_error e)
{
	static const char *const name[] = {"ok", "io", "timeout", "child", "cancelled"};

	return (unsigned)e < CANP_ARRAY_SIZE(name) ? name[e] : "?";
}
