/*
 * exec_text.c - replacement strings and quoting.
 *
 *	{}  the argument      {.} without its extension   {/}  without its folder
 *	{//} its folder       {/.} neither                {#}  number of the command
 *	{%} number of the job's slot                      {2}, {2.}, {2/}, ...: of the second
 *argument
 *
 * A command is made twice: as a line for a shell, with the arguments quoted (also what logs show),
 * and, where no shell is needed, as words that are executed as they are, which saves a process.
 */
#include "tools/exec_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/command/command.h"
#include "tools/exec_cfg.h"

/* ---- one argument, one way to show it ---- */

enum show { SHOW_ALL, SHOW_NO_EXT, SHOW_BASE, SHOW_DIR, SHOW_BASE_NO_EXT };

static size_t no_ext(const char *p, size_t n)
{
	for (size_t i = n; i-- > 0 && p[i] != '/';) {
		if (p[i] == '.')
			return i;
	}
	return n;
}

static void show(struct canp_strbuf *sb, const char *arg, enum show how)
{
	const char *slash = strrchr(arg, '/'), *base = slash ? slash + 1 : arg;

	switch (how) {
	case SHOW_ALL:
		canp_strbuf_puts(sb, arg);
		break;
	case SHOW_NO_EXT:
		canp_strbuf_add(sb, arg, no_ext(arg, strlen(arg)));
		break;
	case SHOW_BASE:
		canp_strbuf_puts(sb, base);
		break;
	case SHOW_DIR:
		if (!slash)
			canp_strbuf_putc(sb, '.');
		else
			canp_strbuf_add(sb, arg, slash == arg ? 1 : (size_t)(slash - arg));
		break;
	case SHOW_BASE_NO_EXT:
		canp_strbuf_add(sb, base, no_ext(base, strlen(base)));
		break;
	}
}

/* ---- marks ---- */

struct mark {
	size_t len;     /* 0: none here */
	char special;   /* '#', '%' or 0 */
	unsigned which; /* 1..: of one argument; 0: of all */
	enum show how;
};

static bool show_parse(const char *p, size_t n, enum show *how)
{
	static const struct {
		const char *text;
		enum show how;
	} kinds[] = {{"", SHOW_ALL},
		     {".", SHOW_NO_EXT},
		     {"/", SHOW_BASE},
		     {"//", SHOW_DIR},
		     {"/.", SHOW_BASE_NO_EXT}};

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].text) == n && !memcmp(kinds[i].text, p, n)) {
			*how = kinds[i].how;
			return true;
		}
	}
	return false;
}

static struct mark mark_at(const struct exec_template *t, const char *p)
{
	struct mark m = {0};
	size_t n = strlen(t->mark);
	const char *end;
	char *num;

	if (n && !strncmp(p, t->mark, n)) {
		m.len = n;
		return m;
	}
	if (*p != '{' || !(end = strchr(p, '}')) || end - p > 12)
		return m;
	if (end - p == 2 && (p[1] == '#' || p[1] == '%')) {
		m.special = p[1];
		m.len = 3;
		return m;
	}
	p++;
	num = (char *)(uintptr_t)p;
	if (isdigit((unsigned char)*p))
		m.which = (unsigned)strtoul(p, &num, 10);
	/* "{}" itself only counts when it is the mark. */
	if ((num == p && num == end) || !show_parse(num, (size_t)(end - num), &m.how))
		return (struct mark){0};
	m.len = (size_t)(end - p) + 2;
	return m;
}

void exec_template_init(struct exec_template *t)
{
	static const char special[] = "|&;<>()$`\\\"'*?[]{}~#!\n\t =";

	t->has_mark = false;
	t->plain = true;
	for (unsigned i = 0; i < t->nr; i++) {
		for (const char *p = t->words[i]; *p;) {
			struct mark m = mark_at(t, p);

			t->has_mark |= m.len != 0;
			t->plain &= m.len || !strchr(special, *p) || (*p == '=' && i);
			p += m.len ? m.len : 1;
		}
	}
}

/* ---- quoting ---- */

static void quote(struct canp_strbuf *sb, const char *p)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_-+=:,./@%^";

	if (*p && strspn(p, safe) == strlen(p)) {
		canp_strbuf_puts(sb, p);
		return;
	}
	canp_strbuf_putc(sb, '\'');
	for (; *p; p++) {
		if (*p == '\'')
			canp_strbuf_puts(sb, "'\"'\"'");
		else
			canp_strbuf_putc(sb, *p);
	}
	canp_strbuf_putc(sb, '\'');
}

/* ---- making ---- */

struct maker {
	const struct exec_template *t;
	const struct exec_tuple *args;
	uint64_t seq;
	unsigned slot;
	bool quoted;
};

static void put_value(const struct maker *k, struct canp_strbuf *sb, const char *arg, enum show how)
{
	struct canp_strbuf tmp = CANP_STRBUF_INIT;

	if (!k->quoted) {
		show(sb, arg, how);
		return;
	}
	show(&tmp, arg, how);
	quote(sb, tmp.buf ? tmp.buf : "");
	sb->failed |= tmp.failed;
	canp_strbuf_fini(&tmp);
}

static void put_mark(const struct maker *k, struct canp_strbuf *sb, const struct mark *m, int only)
{
	if (m->special) {
		canp_strbuf_printf(sb, "%llu",
				   m->special == '#' ? (unsigned long long)k->seq : k->slot);
		return;
	}
	if (m->which) {
		if (m->which <= k->args->nr)
			put_value(k, sb, k->args->v[m->which - 1], m->how);
		return;
	}
	for (unsigned i = 0; i < k->args->nr; i++) {
		if (only >= 0 && i != (unsigned)only)
			continue;
		if (i && only < 0)
			canp_strbuf_putc(sb, ' ');
		put_value(k, sb, k->args->v[i], m->how);
	}
}

/* only: one argument for the marks of all, -1: all. Returns whether there was such a mark. */
static bool put_word(const struct maker *k, struct canp_strbuf *sb, const char *w, int only)
{
	bool all = false;

	while (*w) {
		struct mark m = mark_at(k->t, w);

		if (m.len) {
			put_mark(k, sb, &m, only);
			all |= !m.special && !m.which;
			w += m.len;
		} else {
			canp_strbuf_putc(sb, *w++);
		}
	}
	return all;
}

static void make_text(const struct maker *k, struct canp_strbuf *sb)
{
	const struct exec_template *t = k->t;

	for (unsigned i = 0; i < t->nr; i++) {
		size_t from;
		bool all;

		if (i)
			canp_strbuf_putc(sb, ' ');
		from = sb->len;
		all = put_word(k, sb, t->words[i], t->repeat && k->args->nr ? 0 : -1);
		for (unsigned a = 1; all && t->repeat && a < k->args->nr; a++) {
			canp_strbuf_putc(sb, ' ');
			put_word(k, sb, t->words[i], (int)a);
		}
		(void)from;
	}
	for (unsigned a = 0; !t->has_mark && a < k->args->nr; a++) {
		if (t->nr || a)
			canp_strbuf_putc(sb, ' ');
		if (t->nr)
			put_value(k, sb, k->args->v[a], SHOW_ALL);
		else
			canp_strbuf_puts(sb, k->args->v[a]); /* it is the command */
	}
}

static char *word_own(struct canp_strbuf *sb)
{
	char *p;

	canp_strbuf_putc(sb, 0);
	p = sb->failed ? NULL : sb->buf;
	if (!p)
		canp_strbuf_fini(sb);
	*sb = (struct canp_strbuf)CANP_STRBUF_INIT;
	return p;
}

/* A word that is all mark becomes a word per argument; other words with several arguments in them
 * would be split by a shell, so they are left to one (false). */
static bool make_word(const struct maker *k, const char *w, char **argv, unsigned *n)
{
	struct mark m = mark_at(k->t, w);
	bool whole = m.len && !w[m.len] && !m.special && !m.which;
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	unsigned times = (whole || k->t->repeat) && k->args->nr ? k->args->nr : 1;

	for (unsigned a = 0; a < times; a++) {
		bool all = put_word(k, &sb, w, times > 1 ? (int)a : -1);

		if (all && times == 1 && k->args->nr > 1) {
			canp_strbuf_fini(&sb);
			return false;
		}
		argv[*n] = word_own(&sb);
		if (!argv[(*n)++])
			return false;
		if (!all)
			break;
	}
	return true;
}

static bool make_words(const struct maker *k, struct exec_command *c)
{
	const struct exec_template *t = k->t;
	size_t most = (size_t)t->nr * (k->args->nr + 1) + k->args->nr + 1;
	unsigned n = 0;

	c->argv = calloc(most, sizeof(*c->argv));
	if (!c->argv)
		return false;
	for (unsigned i = 0; i < t->nr; i++) {
		if (!make_word(k, t->words[i], c->argv, &n))
			return false;
	}
	for (unsigned a = 0; !t->has_mark && a < k->args->nr; a++) {
		c->argv[n] = strdup(k->args->v[a]);
		if (!c->argv[n++])
			return false;
	}
	return n && c->argv[0][0];
}

/* Splits a line of plain words. */
static bool split_line(const char *line, struct exec_command *c)
{
	static const char special[] = "|&;<>()$`\\\"'*?[]{}~#!\n";
	size_t most = strlen(line) / 2 + 2;
	unsigned n = 0;

	if (strpbrk(line, special))
		return false;
	c->argv = calloc(most, sizeof(*c->argv));
	for (const char *p = line; c->argv && *p;) {
		size_t len;

		p += strspn(p, " \t");
		len = strcspn(p, " \t");
		if (!len)
			break;
		if (n == 0 && memchr(p, '=', len))
			return false;
		c->argv[n] = strndup(p, len);
		if (!c->argv[n++])
			return false;
		p += len;
	}
	return n > 0;
}

static void argv_free(struct exec_command *c)
{
	for (unsigned i = 0; c->argv && c->argv[i]; i++)
		free(c->argv[i]);
	free(c->argv);
	c->argv = NULL;
}

/* A program of that name exists; a shell may know more names (exit, cd). */
static bool is_program(const char *name)
{
	static char known[256];
	char why[64];
	bool ok;

	if (!strcmp(name, known))
		return true;
	ok = canp_cmd_diagnose(name, NULL, NULL, why, sizeof(why)) == 0;
	if (ok && strlen(name) < sizeof(known))
		memcpy(known, name, strlen(name) + 1);
	return ok;
}

static bool make_direct(const struct maker *k, struct exec_command *c)
{
	const struct exec_template *t = k->t;
	bool never = t->shell == CANP_CFG_EXEC_NEVER, ok;

	if (t->shell == CANP_CFG_EXEC_ALWAYS || (!never && !t->plain))
		return false;
	if (!t->nr && !never)
		ok = c->text.buf && split_line(c->text.buf, c);
	else
		ok = make_words(k, c);
	if (ok && (never || is_program(c->argv[0])))
		return true;
	argv_free(c);
	return false;
}

int exec_command_make(const struct exec_template *t, const struct exec_tuple *args, uint64_t seq,
		      unsigned slot, struct exec_command *c)
{
	struct maker k = {t, args, seq, slot, true};

	memset(c, 0, sizeof(*c));
	make_text(&k, &c->text);
	if (!c->text.buf)
		canp_strbuf_add(&c->text, "", 0);
	k.quoted = false;
	if (!c->text.failed && make_direct(&k, c))
		return 0;
	if (c->text.failed || t->shell == CANP_CFG_EXEC_NEVER) {
		exec_command_fini(c);
		return -ENOMEM;
	}
	c->argv = calloc(4, sizeof(*c->argv));
	if (c->argv) {
		c->argv[0] = strdup("/bin/sh");
		c->argv[1] = strdup("-c");
		c->argv[2] = strdup(c->text.buf ? c->text.buf : "");
	}
	if (!c->argv || !c->argv[0] || !c->argv[1] || !c->argv[2]) {
		exec_command_fini(c);
		return -ENOMEM;
	}
	return 0;
}

void exec_command_fini(struct exec_command *c)
{
	argv_free(c);
	canp_strbuf_fini(&c->text);
}
