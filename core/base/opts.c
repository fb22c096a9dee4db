/*
 * opts.c - the state of a set of options: binding tables to structs, precedence and origin, and the
 * readers of command line, environment and file.
 *
 * Every reader ends in canp_opts_set(), so a value is checked in one place whatever its origin, and
 * an error text always names the option, the place and what would have been valid.
 */
#include "core/base/opts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/opts_priv.h"
#include "core/base/units.h"

#define OPTS_FILE_MAX CANP_MIB
#define OPTS_NAME_MAX 64u

static const char *where_or_cli(const char *where)
{
	return where ? where : "command line";
}

static struct opt_state *find_state(const struct canp_opts *o, const char *name, size_t len)
{
	for (unsigned i = 0; i < o->nr; i++)
		if (!strncmp(o->states[i].row->name, name, len) && !o->states[i].row->name[len])
			return &o->states[i];
	return NULL;
}

static struct opt_state *find_letter(const struct canp_opts *o, char letter)
{
	for (unsigned i = 0; i < o->nr; i++)
		if (o->states[i].row->letter == letter)
			return &o->states[i];
	return NULL;
}

const struct canp_opt *canp_opts_find(const struct canp_opts *o, const char *name)
{
	struct opt_state *st = find_state(o, name, strlen(name));

	return st ? st->row : NULL;
}

enum canp_opt_origin canp_opts_origin(const struct canp_opts *o, const char *name)
{
	struct opt_state *st = find_state(o, name, strlen(name));

	return st ? st->origin : CANP_OPT_DEFAULT;
}

const char *canp_opt_origin_name(enum canp_opt_origin origin)
{
	static const char *const names[] = {"default", "preset", "file", "env", "cli"};

	return (unsigned)origin < CANP_ARRAY_SIZE(names) ? names[origin] : "unknown";
}

const char *canp_opts_error(const struct canp_opts *o)
{
	return o->err.buf ? o->err.buf : "";
}

/* Levenshtein distance; names are short, so one row of the matrix on the stack is enough. */
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[OPTS_NAME_MAX + 1], diag, up, gap;

	if (na > OPTS_NAME_MAX || nb > OPTS_NAME_MAX)
		return OPTS_NAME_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		diag = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			up = row[j];
			diag += a[i - 1] != b[j - 1];
			gap = canp_min(up, row[j - 1]) + 1;
			row[j] = canp_min(diag, gap);
			diag = up;
		}
	}
	return row[nb];
}

/* The nearest name, when it is near enough to be a slip: a third of its letters, at least two; or
 * one name is the beginning of the other. */
static const char *suggest(const struct canp_opts *o, const char *name, size_t len)
{
	unsigned best = OPTS_NAME_MAX;
	const char *near = NULL;

	for (unsigned i = 0; i < o->nr; i++) {
		const char *cand = o->states[i].row->name;
		size_t n = strlen(cand);
		unsigned d = edit_distance(name, len, cand, n);

		if (len >= 3 && !strncmp(name, cand, canp_min(len, n)))
			d = canp_min(d, 2u);
		if (d >= best || d > canp_max(2u, (unsigned)(n / 3)))
			continue;
		best = d;
		near = cand;
	}
	return near;
}

static int unknown(struct canp_opts *o, const char *name, size_t len, const char *where)
{
	const char *near = suggest(o, name, len);
	const char *dashes = where ? "" : "--";

	canp_strbuf_printf(&o->err, "%s: unknown option %s%.*s", where_or_cli(where), dashes,
			   (int)len, name);
	if (near)
		canp_strbuf_printf(&o->err, "; did you mean %s%s?", dashes, near);
	return -ENOENT;
}

static const char *keep_string(struct canp_opts *o, const char *text)
{
	size_t len = strlen(text);
	struct opt_string *s = malloc(sizeof(*s) + len + 1);

	if (!s)
		return NULL;
	memcpy(s->text, text, len + 1);
	s->next = o->strings;
	o->strings = s;
	return s->text;
}

static int list_append(struct canp_opts *o, struct opt_state *st, const char *text)
{
	struct canp_opt_list *list = st->field;
	const char *s;

	if (list->nr == st->list_cap) {
		unsigned cap = st->list_cap ? 2 * st->list_cap : 8;
		const char **v = realloc(list->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		st->list_cap = cap;
	}
	s = keep_string(o, text);
	if (!s)
		return -ENOMEM;
	list->v[list->nr++] = s;
	return 0;
}

/* Values of one origin add up; a higher origin starts the list anew. Only the environment needs a
 * separator, because a variable cannot be repeated. */
static int list_set(struct canp_opts *o, struct opt_state *st, const char *text,
		    enum canp_opt_origin origin)
{
	struct canp_opt_list *list = st->field;
	bool split = origin == CANP_OPT_ENV || origin == CANP_OPT_DEFAULT;
	int rc = 0;

	if (origin != st->origin || origin == CANP_OPT_DEFAULT)
		list->nr = 0;
	if (!split)
		return list_append(o, st, text);
	while (!rc && *text) {
		size_t n = strcspn(text, ",");
		char *one = strndup(text, n);

		rc = one ? list_append(o, st, one) : -ENOMEM;
		free(one);
		text += n + (text[n] == ',');
	}
	return rc;
}

static int state_set(struct canp_opts *o, struct opt_state *st, const char *value,
		     enum canp_opt_origin origin, const char *where)
{
	const struct canp_opt *row = st->row;
	struct canp_strbuf why = CANP_STRBUF_INIT;
	union opt_value val = {0};
	int rc = 0;

	if (row->kind != CANP_OPT_STR && row->kind != CANP_OPT_LIST)
		rc = canp_opt_value_parse(row, value, &val, &why);
	if (rc) {
		canp_strbuf_printf(&o->err, "%s: %s%s: %s", where_or_cli(where), where ? "" : "--",
				   row->name, why.buf ? why.buf : "bad value");
	} else if (origin >= st->origin) {
		if (row->kind == CANP_OPT_LIST) {
			rc = list_set(o, st, value, origin);
		} else if (row->kind == CANP_OPT_STR || row->kind == CANP_OPT_TIME) {
			const char *s = keep_string(o, value);

			rc = s ? 0 : -ENOMEM;
			*(const char **)st->field = s ? s : "";
		} else {
			canp_opt_value_store(row, st->field, &val);
		}
		st->origin = origin;
	}
	canp_strbuf_fini(&why);
	return rc;
}

static int checked_set(struct canp_opts *o, struct opt_state *st, const char *value,
		       enum canp_opt_origin origin, const char *where)
{
	const struct canp_opt *row = st->row;

	if (!row->built) {
		canp_strbuf_printf(&o->err, "%s: %s%s is not built: %s is off in this build",
				   where_or_cli(where), where ? "" : "--", row->name, row->need);
		return -ENOTSUP;
	}
	if (origin == CANP_OPT_FILE && (row->flags & CANP_OPT_F_NO_FILE)) {
		canp_strbuf_printf(&o->err, "%s: %s is for the command line only",
				   where_or_cli(where), row->name);
		return -EINVAL;
	}
	return state_set(o, st, value, origin, where);
}

int canp_opts_set(struct canp_opts *o, const char *name, const char *value,
		  enum canp_opt_origin origin, const char *where)
{
	struct opt_state *st = find_state(o, name, strlen(name));

	canp_strbuf_reset(&o->err);
	return st ? checked_set(o, st, value, origin, where)
		  : unknown(o, name, strlen(name), where);
}

/* Two tables of one tool may not use one name: which of them would win could not be told. */
static int check_unique(struct canp_opts *o)
{
	for (unsigned i = 0; i < o->nr; i++) {
		const struct canp_opt *a = o->states[i].row;

		for (unsigned j = 0; j < i; j++) {
			const struct canp_opt *b = o->states[j].row;

			if (strcmp(a->name, b->name) && (!a->letter || a->letter != b->letter))
				continue;
			canp_strbuf_printf(&o->err, "options --%s and --%s collide", a->name,
					   b->name);
			return -EEXIST;
		}
	}
	return 0;
}

int canp_opts_create(const struct canp_opt_bind *binds, unsigned nr, struct canp_opts **out)
{
	struct canp_opts *o;
	unsigned rows = 0;
	int rc;

	if (nr > CANP_OPT_BINDS_MAX)
		return -E2BIG;
	for (unsigned i = 0; i < nr; i++)
		rows += binds[i].table->nr;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->states = calloc(rows ? rows : 1, sizeof(*o->states));
	if (!o->states) {
		free(o);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < nr; i++) {
		memset(binds[i].cfg, 0, binds[i].table->cfg_bytes);
		for (unsigned j = 0; j < binds[i].table->nr; j++) {
			const struct canp_opt *row = &binds[i].table->rows[j];

			o->states[o->nr].row = row;
			o->states[o->nr++].field = (char *)binds[i].cfg + row->offset;
		}
	}
	rc = check_unique(o);
	for (unsigned i = 0; !rc && i < o->nr; i++)
		rc = state_set(o, &o->states[i], o->states[i].row->def, CANP_OPT_DEFAULT,
			       "default");
	*out = o;
	return rc;
}

void canp_opts_destroy(struct canp_opts *o)
{
	if (!o)
		return;
	for (unsigned i = 0; i < o->nr; i++) {
		if (o->states[i].row->kind == CANP_OPT_LIST)
			free(((struct canp_opt_list *)o->states[i].field)->v);
	}
	while (o->strings) {
		struct opt_string *s = o->strings;

		o->strings = s->next;
		free(s);
	}
	canp_strbuf_fini(&o->err);
	free(o->operands);
	free(o->states);
	free(o);
}

static int add_operand(struct canp_opts *o, const char *arg)
{
	if (o->nr_operands == o->cap_operands) {
		unsigned cap = o->cap_operands ? 2 * o->cap_operands : 16;
		const char **v = realloc(o->operands, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		o->operands = v;
		o->cap_operands = cap;
	}
	o->operands[o->nr_operands++] = arg;
	return 0;
}

const char *const *canp_opts_operands(const struct canp_opts *o, unsigned *nr)
{
	*nr = o->nr_operands;
	return o->operands;
}

static int missing(struct canp_opts *o, const struct canp_opt *row)
{
	canp_strbuf_printf(&o->err,
			   "command line: --%s needs a value (--%s=VALUE if it begins with --)",
			   row->name, row->name);
	return -EINVAL;
}

/* arg begins with "--"; next may be NULL; *used counts a consumed next. */
static int cli_long(struct canp_opts *o, const char *arg, const char *next, int *used)
{
	const char *name = arg + 2;
	size_t len = strcspn(name, "=");
	struct opt_state *st = find_state(o, name, len);

	if (!st && len > 3 && !strncmp(name, "no-", 3) && !name[len]) {
		st = find_state(o, name + 3, len - 3);
		if (st && st->row->kind == CANP_OPT_BOOL)
			return checked_set(o, st, "no", CANP_OPT_CLI, NULL);
		st = NULL;
	}
	if (!st)
		return unknown(o, name, len, NULL);
	if (name[len])
		return checked_set(o, st, name + len + 1, CANP_OPT_CLI, NULL);
	if (st->row->kind == CANP_OPT_BOOL)
		return checked_set(o, st, "yes", CANP_OPT_CLI, NULL);
	if (!next || !strncmp(next, "--", 2))
		return missing(o, st->row);
	*used = 1;
	return checked_set(o, st, next, CANP_OPT_CLI, NULL);
}

static int cli_letter(struct canp_opts *o, const char *arg, const char *next, int *used)
{
	struct opt_state *st = find_letter(o, arg[1]);

	if (!st || (st->row->kind == CANP_OPT_BOOL && arg[2])) {
		canp_strbuf_printf(&o->err, "command line: unknown option %s", arg);
		return -ENOENT;
	}
	if (st->row->kind == CANP_OPT_BOOL)
		return checked_set(o, st, "yes", CANP_OPT_CLI, NULL);
	if (arg[2])
		return checked_set(o, st, arg + 2, CANP_OPT_CLI, NULL);
	if (!next || !strncmp(next, "--", 2))
		return missing(o, st->row);
	*used = 1;
	return checked_set(o, st, next, CANP_OPT_CLI, NULL);
}

int canp_opts_cli(struct canp_opts *o, int argc, char *const *argv)
{
	bool ended = false;
	int rc = 0;

	canp_strbuf_reset(&o->err);
	for (int i = 0; !rc && i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		int used = 0;

		if (ended || arg[0] != '-' || !arg[1])
			rc = add_operand(o, arg);
		else if (!strcmp(arg, "--"))
			ended = true;
		else if (arg[1] == '-')
			rc = cli_long(o, arg, next, &used);
		else
			rc = cli_letter(o, arg, next, &used);
		i += used;
	}
	return rc;
}

static bool env_name_is(const char *entry, const char *name, size_t len)
{
	if (strncmp(entry, "CANP_", 5))
		return false;
	entry += 5;
	for (size_t i = 0; i < len; i++) {
		char c = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);

		if (entry[i] != c)
			return false;
	}
	return entry[len] == '=';
}

int canp_opts_env(struct canp_opts *o, char *const *envp)
{
	int rc = 0;

	canp_strbuf_reset(&o->err);
	for (unsigned i = 0; !rc && i < o->nr; i++) {
		const char *name = o->states[i].row->name;
		size_t len = strlen(name);

		for (unsigned e = 0; envp[e]; e++) {
			if (!env_name_is(envp[e], name, len))
				continue;
			rc = checked_set(o, &o->states[i], envp[e] + 5 + len + 1, CANP_OPT_ENV,
					 "environment");
			break;
		}
	}
	return rc;
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

/* Cuts a comment (# or ; at the start or after white space) and takes quotes off. Returns NULL when
 * a quote is left open. */
static char *clean_value(char *s)
{
	char *end;

	s = trim(s);
	if (*s == '"') {
		end = strchr(s + 1, '"');
		if (!end || (*trim(end + 1) && !strchr("#;", *trim(end + 1))))
			return NULL;
		*end = '\0';
		return s + 1;
	}
	for (char *p = s; *p; p++) {
		if (strchr("#;", *p) && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			break;
		}
	}
	return trim(s);
}

void canp_opts_own(struct canp_opts *o, const char *const *prefixes)
{
	o->own = prefixes;
}

static bool is_own(const struct canp_opts *o, const char *key)
{
	const char *const *p = o->own;

	while (p && *p && strncmp(key, *p, strlen(*p)))
		p++;
	return !p || *p;
}

static int ini_line(struct canp_opts *o, char *line, const char *where)
{
	struct opt_state *st;
	char *eq, *value, *key = trim(line);

	if (!*key || *key == '#' || *key == ';')
		return 0;
	if (*key == '[') {
		if (!strcmp(clean_value(key), "[global]"))
			return 0;
		canp_strbuf_printf(&o->err, "%s: unknown section %s; valid: [global]", where, key);
		return -EINVAL;
	}
	eq = strchr(key, '=');
	value = eq ? clean_value(eq + 1) : NULL;
	if (!value) {
		canp_strbuf_printf(&o->err, "%s: expected key = value", where);
		return -EINVAL;
	}
	*eq = '\0';
	key = trim(key);
	st = find_state(o, key, strlen(key));
	if (!st && !is_own(o, key))
		return 0;
	return st ? checked_set(o, st, value, CANP_OPT_FILE, where)
		  : unknown(o, key, strlen(key), where);
}

int canp_opts_ini(struct canp_opts *o, const char *text, size_t len, const char *where)
{
	struct canp_strbuf place = CANP_STRBUF_INIT;
	unsigned line_no = 0;
	int rc = 0;

	canp_strbuf_reset(&o->err);
	while (!rc && len) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;
		char *line = strndup(text, n);

		canp_strbuf_reset(&place);
		canp_strbuf_printf(&place, "%s:%u", where, ++line_no);
		if (!line || place.failed) {
			rc = -ENOMEM;
		} else if (strlen(line) != n) {
			canp_strbuf_printf(&o->err, "%s: NUL byte in the line", place.buf);
			rc = -EINVAL;
		} else {
			rc = ini_line(o, line, place.buf);
		}
		free(line);
		text += n + (nl != NULL);
		len -= n + (nl != NULL);
	}
	canp_strbuf_fini(&place);
	return rc;
}

/* Reads until the end or one byte more than allowed. */
static int read_all(int fd, char *buf, size_t cap, size_t *len)
{
	*len = 0;
	while (*len < cap) {
		ssize_t n = read(fd, buf + *len, cap - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		*len += (size_t)n;
	}
	return -EFBIG;
}

int canp_opts_file(struct canp_opts *o, const char *path)
{
	char *buf = malloc(OPTS_FILE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	int rc = 0;

	canp_strbuf_reset(&o->err);
	if (fd < 0)
		rc = -errno;
	else if (!buf)
		rc = -ENOMEM;
	else
		rc = read_all(fd, buf, OPTS_FILE_MAX + 1, &len);
	if (rc)
		canp_strbuf_printf(&o->err, "%s: %s", path, canp_strerror(rc));
	else
		rc = canp_opts_ini(o, buf, len, path);
	if (fd >= 0)
		close(fd);
	free(buf);
	return rc;
}
