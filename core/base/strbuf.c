/*
 * strbuf.c - growing byte string.
 */
#include "core/base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool strbuf_reserve(struct canp_strbuf *sb, size_t more)
{
	size_t cap;
	char *p;

	if (sb->failed)
		return false;
	if (sb->cap - sb->len > more)
		return true;
	cap = (sb->len + more + 1) * 3 / 2 + 64;
	p = realloc(sb->buf, cap);
	if (!p) {
		sb->failed = true;
		return false;
	}
	sb->buf = p;
	sb->cap = cap;
	return true;
}

void canp_strbuf_add(struct canp_strbuf *sb, const void *data, size_t len)
{
	if (!strbuf_reserve(sb, len))
		return;
	if (len)
		memcpy(sb->buf + sb->len, data, len);
	sb->len += len;
	sb->buf[sb->len] = '\0';
}

void canp_strbuf_puts(struct canp_strbuf *sb, const char *s)
{
	canp_strbuf_add(sb, s, strlen(s));
}

void canp_strbuf_putc(struct canp_strbuf *sb, char c)
{
	canp_strbuf_add(sb, &c, 1);
}

void canp_strbuf_printf(struct canp_strbuf *sb, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !strbuf_reserve(sb, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(sb->buf + sb->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	sb->len += (size_t)n;
}

void canp_strbuf_reset(struct canp_strbuf *sb)
{
	sb->len = 0;
	sb->failed = false;
	if (sb->buf)
		sb->buf[0] = '\0';
}

void canp_strbuf_fini(struct canp_strbuf *sb)
{
	free(sb->buf);
	*sb = (struct canp_strbuf)CANP_STRBUF_INIT;
}
