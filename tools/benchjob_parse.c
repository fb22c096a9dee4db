/*
 * benchjob_parse.c - from the text of a job file to sections of keys and values.
 */
#include "tools/benchjob_parse.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/units.h"

struct reader {
	struct canp_benchjob_file *f;
	const struct canp_benchjob_vars *vars;
	struct canp_strbuf *err;
	const char *name; /* of the file at hand */
	unsigned line, nest;
};

static int bad(const struct reader *r, const char *fmt, ...) CANP_PRINTF(2, 3);

static int bad(const struct reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->line)
		canp_strbuf_printf(r->err, "%s:%u: %s", r->name, r->line, text);
	else
		canp_strbuf_printf(r->err, "%s: %s", r->name, text);
	return -EINVAL;
}

/* ---- sections -------------------------------------------------------------------------------- */

static void pair_free(struct canp_benchjob_pair *p)
{
	free(p->key);
	free(p->value);
	free(p->where);
}

static void section_free(struct canp_benchjob_section *s)
{
	for (unsigned i = 0; i < s->nr; i++)
		pair_free(&s->pairs[i]);
	free(s->pairs);
	free(s->name);
	free(s->where);
	*s = (struct canp_benchjob_section){0};
}

void canp_benchjob_fini(struct canp_benchjob_file *f)
{
	for (unsigned i = 0; i < f->nr; i++)
		section_free(&f->sections[i]);
	free(f->sections);
	section_free(&f->global);
	*f = (struct canp_benchjob_file){0};
}

static int section_add(struct canp_benchjob_section *s, const char *key, const char *value,
		       const char *where, bool global)
{
	struct canp_benchjob_pair *p;

	if (s->nr == CANP_BENCHJOB_PAIRS_MAX)
		return -E2BIG;
	if (s->nr == s->cap) {
		unsigned cap = s->cap ? 2 * s->cap : 16;

		p = realloc(s->pairs, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		s->pairs = p;
		s->cap = cap;
	}
	p = &s->pairs[s->nr];
	*p = (struct canp_benchjob_pair){.key = strdup(key),
					 .value = value ? strdup(value) : NULL,
					 .where = strdup(where),
					 .global = global};
	if (!p->key || (value && !p->value) || !p->where) {
		pair_free(p);
		return -ENOMEM;
	}
	for (char *c = p->key; *c; c++)
		*c = *c == '_' ? '-' : *c;
	s->nr++;
	return 0;
}

/* A new section begins with the globals in force. */
static int section_begin(struct canp_benchjob_file *f, const char *name, const char *where)
{
	struct canp_benchjob_section *s;
	int rc = 0;

	if (f->nr == CANP_BENCHJOB_SECTIONS_MAX)
		return -E2BIG;
	if (f->nr == f->cap) {
		unsigned cap = f->cap ? 2 * f->cap : 16;

		s = realloc(f->sections, cap * sizeof(*s));
		if (!s)
			return -ENOMEM;
		f->sections = s;
		f->cap = cap;
	}
	s = &f->sections[f->nr];
	*s = (struct canp_benchjob_section){.name = strdup(name), .where = strdup(where)};
	for (unsigned i = 0; i < f->global.nr && !rc; i++)
		rc = section_add(s, f->global.pairs[i].key, f->global.pairs[i].value,
				 f->global.pairs[i].where, true);
	if (!s->name || !s->where)
		rc = -ENOMEM;
	if (rc)
		section_free(s);
	else
		f->nr++;
	return rc;
}

static int limits(const struct reader *r, int rc)
{
	return rc == -E2BIG ? bad(r, "more than %u sections or %u keys in one",
				  CANP_BENCHJOB_SECTIONS_MAX, CANP_BENCHJOB_PAIRS_MAX)
			    : rc;
}

/* ---- words of a value ------------------------------------------------------------------------ */

static int expand_env(const struct reader *r, const char **p, struct canp_strbuf *out)
{
	const char *start = *p + 2, *end = strchr(start, '}'), *v;
	char name[128];

	if (!end)
		return bad(r, "'${' without '}'");
	if (end == start || (size_t)(end - start) >= sizeof(name))
		return bad(r, "'${%.*s}' is no name of the environment",
			   (int)canp_min(end - start, (ptrdiff_t)40), start);
	memcpy(name, start, (size_t)(end - start));
	name[end - start] = '\0';
	v = r->vars->env(name);
	if (!v)
		return bad(r, "${%s} is not set in the environment", name);
	canp_strbuf_puts(out, v);
	*p = end + 1;
	return 0;
}

static bool expand_word(const struct reader *r, const char **p, struct canp_strbuf *out)
{
	const struct {
		const char *word;
		uint64_t v;
	} words[] = {{"$ncpus", r->vars->ncpus},
		     {"$pagesize", r->vars->pagesize},
		     {"$mb_memory", r->vars->mb_memory}};

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(words); i++) {
		if (strncmp(*p, words[i].word, strlen(words[i].word)))
			continue;
		canp_strbuf_printf(out, "%llu", (unsigned long long)words[i].v);
		*p += strlen(words[i].word);
		return true;
	}
	return false;
}

/* number { ('*' | '/') number }, only digits; false when it is something else. */
static bool calc_term(const char **p, uint64_t *out)
{
	char op = '*';

	*out = 1;
	for (;;) {
		char *end;
		uint64_t v;

		if (!isdigit((unsigned char)**p))
			return false;
		errno = 0;
		v = strtoull(*p, &end, 10);
		if (errno || (op == '/' && !v) ||
		    (op == '*' && __builtin_mul_overflow(*out, v, out)))
			return false;
		*out = op == '/' ? *out / v : *out;
		*p = end;
		if (**p != '*' && **p != '/')
			return true;
		op = *(*p)++;
	}
}

/* What a $word was part of is worked out: "$ncpus*2", "$mb_memory/4-1". */
static void calc(struct canp_strbuf *sb)
{
	const char *p = sb->buf;
	uint64_t sum, v;

	if (!p || !calc_term(&p, &sum))
		return;
	while (*p == '+' || *p == '-') {
		char op = *p++;

		if (!calc_term(&p, &v) || (op == '-' && v > sum))
			return;
		sum = op == '-' ? sum - v : sum + v;
	}
	/* A suffix may follow: $ncpus*16m is what it says. */
	if (*p && (!isalpha((unsigned char)*p) || strlen(p) > 3))
		return;
	char tail[4];

	snprintf(tail, sizeof(tail), "%s", p);
	canp_strbuf_reset(sb);
	canp_strbuf_printf(sb, "%llu%s", (unsigned long long)sum, tail);
}

static int expand(const struct reader *r, const char *value, struct canp_strbuf *out)
{
	bool words = false;
	int rc;

	while (*value) {
		if (value[0] == '$' && value[1] == '{') {
			rc = expand_env(r, &value, out);
			if (rc)
				return rc;
		} else if (value[0] == '$' && expand_word(r, &value, out)) {
			words = true;
		} else {
			canp_strbuf_putc(out, *value++);
		}
	}
	if (out->failed)
		return -ENOMEM;
	if (out->len > CANP_BENCHJOB_LINE_MAX)
		return bad(r, "the value is longer than %u bytes", CANP_BENCHJOB_LINE_MAX);
	if (words)
		calc(out);
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static int read_file(const struct reader *from, const char *path, struct canp_benchjob_file *f,
		     const struct canp_benchjob_vars *vars, struct canp_strbuf *err);

static int include(const struct reader *r, const char *path)
{
	const char *slash = strrchr(r->name, '/');
	char full[2048];

	if (!*path)
		return bad(r, "include needs the name of a file");
	if (r->nest + 1 >= CANP_BENCHJOB_NEST_MAX)
		return bad(r, "include of '%s': %u files deep; does a file include itself?", path,
			   CANP_BENCHJOB_NEST_MAX);
	if (*path == '/' || !slash)
		snprintf(full, sizeof(full), "%s", path);
	else
		snprintf(full, sizeof(full), "%.*s/%.1000s",
			 (int)canp_min(slash - r->name, (ptrdiff_t)1000), r->name, path);
	return read_file(r, full, r->f, r->vars, r->err);
}

static int add_pair(const struct reader *r, const char *key, const char *value)
{
	struct canp_strbuf v = CANP_STRBUF_INIT;
	struct canp_benchjob_section *s;
	char where[1200];
	int rc = 0;

	if (r->line)
		snprintf(where, sizeof(where), "%.1000s:%u", r->name, r->line);
	else
		snprintf(where, sizeof(where), "%.1000s", r->name);
	s = r->f->global_open ? &r->f->global : &r->f->sections[r->f->nr - 1];
	if (value)
		rc = expand(r, value, &v);
	rc = rc ? rc
		: section_add(s, key, value ? (v.buf ? v.buf : "") : NULL, where,
			      r->f->global_open);
	canp_strbuf_fini(&v);
	return limits(r, rc);
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

/* A comment begins a line or follows white space, so that values may contain its signs. */
static void cut_comment(char *s)
{
	for (char *p = s; *p; p++)
		if ((*p == ';' || *p == '#') && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			return;
		}
}

static int section_line(const struct reader *r, char *s)
{
	char *end = strchr(s, ']'), *name;
	char where[1200];

	if (!end)
		return bad(r, "'%.60s' has no ']'", s);
	if (*trim(end + 1))
		return bad(r, "'%.40s' after the name of the section", trim(end + 1));
	*end = '\0';
	name = trim(s + 1);
	if (!*name)
		return bad(r, "a section needs a name");
	r->f->global_open = !strcmp(name, "global");
	if (r->f->global_open)
		return 0;
	snprintf(where, sizeof(where), "%.1000s:%u", r->name, r->line);
	return limits(r, section_begin(r->f, name, where));
}

static int pair_line(const struct reader *r, char *s)
{
	char *eq = strchr(s, '='), *key, *value = NULL;

	if (!strncmp(s, "include", 7) && (isspace((unsigned char)s[7]) || s[7] == '='))
		return include(r, trim(s + 8));
	if (eq) {
		*eq = '\0';
		value = trim(eq + 1);
	}
	key = trim(s);
	if (!*key)
		return bad(r, "'=' without a key before it");
	for (const char *c = key; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-' && *c != '+')
			return bad(r, "'%.60s' is no key; lines are KEY=VALUE, KEY or [SECTION]",
				   key);
	if (!r->f->nr && !r->f->global_open)
		return bad(r, "'%.60s' stands before the first [section]", key);
	return add_pair(r, key, value);
}

static int parse_line(const struct reader *r, char *s)
{
	cut_comment(s);
	s = trim(s);
	if (!*s)
		return 0;
	return *s == '[' ? section_line(r, s) : pair_line(r, s);
}

static int parse_text(struct reader *r, const char *text, size_t len)
{
	char *line = malloc(CANP_BENCHJOB_LINE_MAX + 1);
	int rc = line ? 0 : -ENOMEM;

	if (len > CANP_BENCHJOB_FILE_MAX)
		rc = bad(r, "longer than %u bytes", CANP_BENCHJOB_FILE_MAX);
	while (!rc && len) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;

		r->line++;
		if (n > CANP_BENCHJOB_LINE_MAX) {
			rc = bad(r, "the line is longer than %u bytes", CANP_BENCHJOB_LINE_MAX);
		} else if (memchr(text, '\0', n)) {
			rc = bad(r, "a zero byte: this is no job file");
		} else {
			memcpy(line, text, n);
			line[n] = '\0';
			rc = parse_line(r, line);
		}
		n += nl != NULL;
		text += n;
		len -= n;
	}
	free(line);
	return rc;
}

static int read_file(const struct reader *from, const char *path, struct canp_benchjob_file *f,
		     const struct canp_benchjob_vars *vars, struct canp_strbuf *err)
{
	struct reader r = {
		.f = f, .vars = vars, .err = err, .name = path, .nest = from ? from->nest + 1 : 0};
	char *text = malloc(CANP_BENCHJOB_FILE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -errno : 0;
	size_t len = 0;
	ssize_t n = 1;

	while (text && !rc && len <= CANP_BENCHJOB_FILE_MAX && n > 0) {
		n = read(fd, text + len, CANP_BENCHJOB_FILE_MAX + 1 - len);
		rc = n < 0 ? -errno : 0;
		len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	rc = text ? rc : -ENOMEM;
	if (rc && from)
		rc = bad(from, "include of '%s': %s", path, canp_strerror(rc));
	else if (rc)
		bad(&r, "%s", canp_strerror(rc));
	else
		rc = parse_text(&r, text, len);
	free(text);
	return rc;
}

static void globals_end(struct canp_benchjob_file *f)
{
	section_free(&f->global);
	f->global_open = false;
}

int canp_benchjob_parse(struct canp_benchjob_file *f, const char *text, size_t len,
			const char *where, const struct canp_benchjob_vars *vars,
			struct canp_strbuf *err)
{
	struct reader r = {.f = f, .vars = vars, .err = err, .name = where};
	int rc = parse_text(&r, text, len);

	globals_end(f);
	return rc;
}

int canp_benchjob_read(struct canp_benchjob_file *f, const char *path,
		       const struct canp_benchjob_vars *vars, struct canp_strbuf *err)
{
	int rc = read_file(NULL, path, f, vars, err);

	globals_end(f);
	return rc;
}

/* ---- from a command line --------------------------------------------------------------------- */

int canp_benchjob_begin(struct canp_benchjob_file *f, const char *name, const char *where,
			struct canp_strbuf *err)
{
	struct reader r = {.f = f, .err = err, .name = where};

	if (!*name)
		return bad(&r, "--name needs a name");
	f->global_open = false;
	return limits(&r, section_begin(f, name, where));
}

int canp_benchjob_add(struct canp_benchjob_file *f, const char *key, const char *value,
		      const char *where, const struct canp_benchjob_vars *vars,
		      struct canp_strbuf *err)
{
	struct reader r = {.f = f, .vars = vars, .err = err, .name = where};

	if (!f->nr)
		f->global_open = true;
	return add_pair(&r, key, value);
}

static const char *host_env(const char *name)
{
	return getenv(name);
}

void canp_benchjob_vars_host(struct canp_benchjob_vars *vars)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), page = sysconf(_SC_PAGESIZE),
	     pages = sysconf(_SC_PHYS_PAGES);

	vars->ncpus = cpus > 0 ? (uint64_t)cpus : 1;
	vars->pagesize = page > 0 ? (uint64_t)page : 4096;
	vars->mb_memory = pages > 0 ? (uint64_t)pages * vars->pagesize >> 20 : 0;
	vars->env = host_env;
}
