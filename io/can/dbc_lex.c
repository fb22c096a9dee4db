/*
 * dbc_lex.c - tokens of a DBC file, warnings and recovery.
 *
 * DBC has no context-free tokens: names may start with digits, numbers carry signs, and `-` or `+`
 * occur in both. So there is no token stream; a statement asks for what it expects next.
 *
 * Every loop moves forward through the text, strings included, so the whole parse is linear.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "io/can/dbc_parser.h"

/* Windows-1252 0x80..0x9f; the five holes become U+FFFD. The rest equals Latin-1. */
static const uint16_t lex_cp1252[32] = {
	0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
	0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

static const char *const lex_keywords[] = {
	"VERSION",
	"NS_",
	"BS_",
	"BU_",
	"VAL_TABLE_",
	"BO_",
	"SG_",
	"BO_TX_BU_",
	"EV_",
	"ENVVAR_DATA_",
	"EV_DATA_",
	"SGTYPE_",
	"SIG_TYPE_REF_",
	"SIG_GROUP_",
	"CM_",
	"BA_DEF_",
	"BA_DEF_DEF_",
	"BA_",
	"VAL_",
	"SIG_VALTYPE_",
	"SG_MUL_VAL_",
	"BA_DEF_REL_",
	"BA_REL_",
	"BA_SGTYPE_",
	"BA_DEF_DEF_REL_",
	"BA_DEF_SGTYPE_",
	"SIGTYPE_VALTYPE_",
	"CAT_DEF_",
	"CAT_",
	"FILTER",
	"SGTYPE_VAL_",
};

static bool lex_is_word(unsigned char c)
{
	return c > ' ' && c != 0x7f && !strchr(":;,|@()[]\"", c);
}

static bool lex_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none (overlong forms, surrogates and
 * values above U+10FFFF are refused). */
static size_t lex_utf8_len(const uint8_t *p, size_t len)
{
	static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t cp;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	cp = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	if (cp < lowest[n] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	return n;
}

static bool lex_utf8_valid(const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = lex_utf8_len(p, len);

		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static char *lex_put_utf8(char *q, uint32_t cp)
{
	if (cp < 0x80) {
		*q++ = (char)cp;
	} else if (cp < 0x800) {
		*q++ = (char)(0xc0 | cp >> 6);
		*q++ = (char)(0x80 | (cp & 0x3f));
	} else {
		*q++ = (char)(0xe0 | cp >> 12);
		*q++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*q++ = (char)(0x80 | (cp & 0x3f));
	}
	return q;
}

/* Makes the mutable UTF-8 copy the parser works on. */
int dbc_lex_open(struct dbc_parser *ps, const uint8_t *text, size_t len)
{
	bool nul = false;
	char *q;

	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	ps->dbc->cp1252 = !lex_utf8_valid(text, len);
	q = ps->start = malloc((ps->dbc->cp1252 ? 3 * len : len) + 1);
	if (!q)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = text[i];

		nul |= !c;
		if (!c)
			*q++ = ' ';
		else if (!ps->dbc->cp1252)
			*q++ = (char)c;
		else
			q = lex_put_utf8(q, c >= 0x80 && c < 0xa0 ? lex_cp1252[c - 0x80] : c);
	}
	*q = '\0';
	ps->p = ps->start;
	ps->end = q;
	ps->line = 1;
	if (nul)
		dbc_warn(ps, 1, "NUL bytes in the file are taken as blanks");
	return 0;
}

void dbc_warn(struct dbc_parser *ps, uint32_t line, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	if (++ps->dbc->nr_warnings > DBC_WARNINGS_MAX || !ps->warn)
		return;
	if (ps->dbc->nr_warnings == DBC_WARNINGS_MAX) {
		snprintf(text, sizeof(text), "%s: more warnings are not shown", ps->dbc->file);
		ps->warn(ps->warn_arg, text);
		return;
	}
	n = snprintf(text, sizeof(text), "%s:%u: ", ps->dbc->file, line);
	if (n < 0 || (size_t)n >= sizeof(text))
		return;
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	ps->warn(ps->warn_arg, text);
}

bool dbc_expected(struct dbc_parser *ps, const char *what)
{
	char near[24];
	size_t n = 0;

	dbc_blank(ps);
	while (ps->p + n < ps->end && n < sizeof(near) - 1 && (unsigned char)ps->p[n] >= ' ') {
		near[n] = ps->p[n];
		n++;
	}
	/* Do not cut a character in two. */
	while (n && ((unsigned char)ps->p[n] & 0xc0) == 0x80)
		n--;
	near[n] = '\0';
	dbc_warn(ps, ps->line, "expected %s before \"%s\"; the statement is skipped", what, near);
	return false;
}

void dbc_blank(struct dbc_parser *ps)
{
	char *p = ps->p;

	while (p < ps->end) {
		unsigned char c = (unsigned char)*p;

		if (c == '/' && p[1] == '/') {
			while (p < ps->end && *p != '\n')
				p++;
			continue;
		}
		if (c > ' ' && c != 0x7f)
			break;
		if (c == '\n')
			ps->line++;
		p++;
	}
	ps->p = p;
}

bool dbc_char(struct dbc_parser *ps, char c)
{
	dbc_blank(ps);
	if (ps->p >= ps->end || *ps->p != c)
		return false;
	ps->p++;
	return true;
}

bool dbc_word(struct dbc_parser *ps, struct dbc_text *out)
{
	char *p;

	dbc_blank(ps);
	p = ps->p;
	while (p < ps->end && lex_is_word((unsigned char)*p))
		p++;
	out->s = ps->p;
	out->len = (size_t)(p - ps->p);
	ps->p = p;
	return out->len != 0;
}

/* End of [-+]?(d+(.d*)?|.d+)([eE][-+]?d+)?, or NULL. */
static char *lex_number_end(char *p, bool *plain)
{
	char *e, *digits;

	if (*p == '-' || *p == '+')
		p++;
	digits = p;
	while (lex_is_digit(*p))
		p++;
	*plain = true;
	if (*p == '.' && (p > digits || lex_is_digit(p[1]))) {
		*plain = false;
		p++;
		while (lex_is_digit(*p))
			p++;
	}
	if (p == digits)
		return NULL;
	e = p;
	if (*e == 'e' || *e == 'E') {
		e++;
		if (*e == '-' || *e == '+')
			e++;
		if (lex_is_digit(*e)) {
			*plain = false;
			while (lex_is_digit(*e))
				e++;
			p = e;
		}
	}
	return p;
}

bool dbc_number(struct dbc_parser *ps, struct dbc_number *out)
{
	const double exact = 9007199254740992.0; /* 2^53: all integers up to it are doubles */
	bool plain;
	char *p, keep;

	dbc_blank(ps);
	p = lex_number_end(ps->p, &plain);
	if (!p)
		return false;
	memset(out, 0, sizeof(*out));
	keep = *p;
	*p = '\0';
	out->d = strtod_l(ps->p, NULL, ps->loc);
	if (plain) {
		errno = 0;
		out->i = strtoll(ps->p, NULL, 10);
		out->is_int = !errno;
		if (errno && *ps->p != '-') {
			errno = 0;
			out->i = (int64_t)strtoull(ps->p, NULL, 10);
			out->is_int = out->is_u64 = !errno;
		}
	} else if (out->d >= -exact && out->d <= exact && (double)(int64_t)out->d == out->d) {
		out->i = (int64_t)out->d;
		out->is_int = true;
	}
	*p = keep;
	ps->p = p;
	return true;
}

bool dbc_uint(struct dbc_parser *ps, uint64_t *out)
{
	uint64_t v = 0;
	char *p;

	dbc_blank(ps);
	for (p = ps->p; lex_is_digit(*p); p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (p == ps->p)
		return false;
	ps->p = p;
	*out = v;
	return true;
}

/* The closing quote of the string whose text starts at p; end of text or, in one-line mode, of the
 * line when there is none. */
static char *lex_string_end(struct dbc_parser *ps, char *p)
{
	for (; p < ps->end && *p != '"'; p++) {
		if (*p == '\\' && p[1] == '"')
			p++;
		else if (*p == '\n' && ps->one_line_strings)
			break;
	}
	return p < ps->end ? p : ps->end;
}

bool dbc_string(struct dbc_parser *ps, const char **out)
{
	char *p, *q, *end;
	char *copy = NULL;

	if (!dbc_char(ps, '"'))
		return false;
	p = ps->p;
	end = lex_string_end(ps, p);
	if (*end != '"') {
		dbc_warn(ps, ps->line, "string without closing quote ends with its line");
		ps->one_line_strings = true;
		end = lex_string_end(ps, p);
	}
	if (out) {
		*out = copy = canp_bump_alloc(ps->mem, (size_t)(end - p) + 1);
		if (!copy)
			return false;
	}
	for (q = copy; p < end; p++) {
		ps->line += *p == '\n';
		if (*p == '\\' && p[1] == '"' && p + 1 < end)
			p++;
		if (q && *p != '\r')
			*q++ = *p;
	}
	ps->p = *end == '"' ? end + 1 : end;
	return true;
}

static bool lex_line_start(const struct dbc_parser *ps)
{
	const char *p = ps->p;

	while (p > ps->start && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	return p == ps->start || p[-1] == '\n' || p[-1] == '\r';
}

bool dbc_same_line(struct dbc_parser *ps)
{
	uint32_t line = ps->line;

	dbc_blank(ps);
	return ps->line == line && ps->p < ps->end;
}

static bool lex_is_keyword(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && (p[n] == '_' || (p[n] >= 'A' && p[n] <= 'Z')))
		n++;
	if (!n || (p + n < end && (lex_is_digit(p[n]) || (p[n] >= 'a' && p[n] <= 'z'))))
		return false;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(lex_keywords); i++)
		if (strlen(lex_keywords[i]) == n && !memcmp(lex_keywords[i], p, n))
			return true;
	return false;
}

bool dbc_at_keyword(struct dbc_parser *ps)
{
	dbc_blank(ps);
	return ps->p < ps->end && lex_is_keyword(ps->p, ps->end) && lex_line_start(ps);
}

bool dbc_semicolon(struct dbc_parser *ps)
{
	uint32_t line = ps->line;

	if (dbc_char(ps, ';'))
		return true;
	if (ps->p >= ps->end || dbc_at_keyword(ps)) {
		dbc_warn(ps, line, "missing ';'");
		return true;
	}
	return dbc_expected(ps, "';'");
}

void dbc_resync(struct dbc_parser *ps)
{
	dbc_blank(ps);
	while (ps->p < ps->end && !dbc_at_keyword(ps)) {
		while (ps->p < ps->end && *ps->p != '\n')
			ps->p++;
		dbc_blank(ps);
	}
}

void dbc_skip(struct dbc_parser *ps)
{
	for (;;) {
		dbc_blank(ps);
		if (ps->p >= ps->end || dbc_at_keyword(ps))
			return;
		if (*ps->p == ';') {
			ps->p++;
			return;
		}
		if (*ps->p == '"')
			dbc_string(ps, NULL);
		else
			ps->p++;
	}
}

bool dbc_is(struct dbc_text t, const char *s)
{
	return strlen(s) == t.len && !memcmp(t.s, s, t.len);
}

const char *dbc_strdup(struct dbc_parser *ps, struct dbc_text t)
{
	const char *s = canp_bump_str(ps->mem, t.s, t.len);

	return s ? s : "";
}
