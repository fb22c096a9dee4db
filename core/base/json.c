/*
 * json.c - the JSON writer; the reader is json_read.c.
 */
#include "core/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"

static uint64_t level_bit(const struct canp_json *js)
{
	return 1ULL << (js->depth - 1);
}

static void new_line(struct canp_json *js, unsigned depth)
{
	if (!js->indent)
		return;
	canp_strbuf_putc(js->sb, '\n');
	for (unsigned i = 0; i < depth * js->indent; i++)
		canp_strbuf_putc(js->sb, ' ');
}

/* What has to stand before a value or a key. */
static void separate(struct canp_json *js)
{
	if (js->after_key) {
		js->after_key = false;
		return;
	}
	if (!js->depth)
		return;
	if (js->has_items & level_bit(js))
		canp_strbuf_putc(js->sb, ',');
	js->has_items |= level_bit(js);
	new_line(js, js->depth);
}

static void open_container(struct canp_json *js, bool array)
{
	separate(js);
	CANP_ASSERT(js->depth < CANP_JSON_DEPTH_MAX);
	js->depth++;
	js->has_items &= ~level_bit(js);
	js->is_array &= ~level_bit(js);
	if (array)
		js->is_array |= level_bit(js);
	canp_strbuf_putc(js->sb, array ? '[' : '{');
}

void canp_json_object(struct canp_json *js)
{
	open_container(js, false);
}

void canp_json_array(struct canp_json *js)
{
	open_container(js, true);
}

void canp_json_end(struct canp_json *js)
{
	CANP_ASSERT(js->depth);
	CANP_ASSERT(!js->after_key);
	if (js->has_items & level_bit(js))
		new_line(js, js->depth - 1);
	canp_strbuf_putc(js->sb, js->is_array & level_bit(js) ? ']' : '}');
	js->depth--;
}

/* Length of the valid UTF-8 sequence at s, 0 when there is none (overlong forms, surrogates and
 * values above U+10FFFF are not valid). */
static unsigned utf8_len(const unsigned char *s, size_t left)
{
	unsigned n, lo = 0x80, hi = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	if (s[0] == 0xf0)
		lo = 0x90;
	if (s[0] == 0xed)
		hi = 0x9f;
	if (s[0] == 0xf4)
		hi = 0x8f;
	if (left < n || s[1] < lo || s[1] > hi)
		return 0;
	for (unsigned i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void put_escaped(struct canp_strbuf *sb, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *p = c ? strchr(from, c) : NULL;

	if (p)
		canp_strbuf_printf(sb, "\\%c", to[p - from]);
	else
		canp_strbuf_printf(sb, "\\u%04x", c);
}

static void put_string(struct canp_strbuf *sb, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, plain = 0;

	canp_strbuf_putc(sb, '"');
	while (i < len) {
		unsigned n = utf8_len(p + i, len - i);

		if (n && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
			i += n;
			continue;
		}
		canp_strbuf_add(sb, s + plain, i - plain);
		if (n)
			put_escaped(sb, p[i]);
		else
			canp_strbuf_puts(sb, "\xef\xbf\xbd");
		plain = ++i;
	}
	canp_strbuf_add(sb, s + plain, len - plain);
	canp_strbuf_putc(sb, '"');
}

void canp_json_key(struct canp_json *js, const char *key)
{
	CANP_ASSERT(js->depth && !(js->is_array & level_bit(js)) && !js->after_key);
	separate(js);
	put_string(js->sb, key, strlen(key));
	canp_strbuf_puts(js->sb, js->indent ? ": " : ":");
	js->after_key = true;
}

void canp_json_strn(struct canp_json *js, const char *s, size_t len)
{
	separate(js);
	put_string(js->sb, s, len);
}

void canp_json_str(struct canp_json *js, const char *s)
{
	if (s)
		canp_json_strn(js, s, strlen(s));
	else
		canp_json_null(js);
}

void canp_json_i64(struct canp_json *js, int64_t v)
{
	separate(js);
	canp_strbuf_printf(js->sb, "%lld", (long long)v);
}

void canp_json_u64(struct canp_json *js, uint64_t v)
{
	separate(js);
	canp_strbuf_printf(js->sb, "%llu", (unsigned long long)v);
}

void canp_json_double(struct canp_json *js, double v)
{
	char buf[40];

	if (!isfinite(v)) {
		canp_json_null(js);
		return;
	}
	separate(js);
	for (int prec = 1; prec <= 17; prec++) {
		snprintf(buf, sizeof(buf), "%.*g", prec, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	canp_strbuf_puts(js->sb, buf);
}

void canp_json_bool(struct canp_json *js, bool v)
{
	separate(js);
	canp_strbuf_puts(js->sb, v ? "true" : "false");
}

void canp_json_null(struct canp_json *js)
{
	separate(js);
	canp_strbuf_puts(js->sb, "null");
}

void canp_json_kstr(struct canp_json *js, const char *key, const char *s)
{
	canp_json_key(js, key);
	canp_json_str(js, s);
}

void canp_json_ki64(struct canp_json *js, const char *key, int64_t v)
{
	canp_json_key(js, key);
	canp_json_i64(js, v);
}

void canp_json_ku64(struct canp_json *js, const char *key, uint64_t v)
{
	canp_json_key(js, key);
	canp_json_u64(js, v);
}

void canp_json_kdouble(struct canp_json *js, const char *key, double v)
{
	canp_json_key(js, key);
	canp_json_double(js, v);
}

void canp_json_kbool(struct canp_json *js, const char *key, bool v)
{
	canp_json_key(js, key);
	canp_json_bool(js, v);
}
