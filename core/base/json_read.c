/*
 * json_read.c - the JSON reader: a bounded recursive descent.
 *
 * Values are taken from chunks that the document owns and strings are decoded into one buffer as
 * long as the text, which is always enough: an escape is never shorter than what it stands for.
 * Recursion is limited by depth_max, so a hostile document cannot use up the stack.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/units.h"

#define JSON_TEXT_MAX   (64 * CANP_MIB)
#define JSON_CHUNK_VALS 256u
/* Members of one object; keys are compared with all before them, so this bounds the square. */
#define JSON_MEMBERS_MAX 4096u
#define JSON_NUMBER_MAX  64u

struct json_chunk {
	struct json_chunk *next;
	unsigned used;
	struct canp_json_val vals[JSON_CHUNK_VALS];
};

struct canp_json_doc {
	struct canp_json_val *root;
	struct json_chunk *chunks;
	char *strings; /* decoded strings, NUL-terminated each */
	size_t strings_used;
};

struct json_reader {
	struct canp_json_doc *doc;
	const char *text, *p, *end;
	unsigned depth, depth_max;
};

static int read_value(struct json_reader *r, struct canp_json_val *v);

static void skip_space(struct json_reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

static bool eat(struct json_reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static struct canp_json_val *new_val(struct canp_json_doc *doc)
{
	struct json_chunk *c = doc->chunks;

	if (!c || c->used == JSON_CHUNK_VALS) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return NULL;
		c->next = doc->chunks;
		doc->chunks = c;
	}
	return &c->vals[c->used++];
}

static int read_hex4(struct json_reader *r, unsigned *out)
{
	unsigned v = 0;

	if (r->end - r->p < 4)
		return -EINVAL;
	for (int i = 0; i < 4; i++, r->p++) {
		char c = *r->p;

		if (c >= '0' && c <= '9')
			v = v * 16 + (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (unsigned)((c | 32) - 'a') + 10;
		else
			return -EINVAL;
	}
	*out = v;
	return 0;
}

static void put_utf8(char **out, unsigned cp)
{
	char *o = *out;

	if (cp < 0x80) {
		*o++ = (char)cp;
	} else if (cp < 0x800) {
		*o++ = (char)(0xc0 | cp >> 6);
		*o++ = (char)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		*o++ = (char)(0xe0 | cp >> 12);
		*o++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*o++ = (char)(0x80 | (cp & 0x3f));
	} else {
		*o++ = (char)(0xf0 | cp >> 18);
		*o++ = (char)(0x80 | (cp >> 12 & 0x3f));
		*o++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*o++ = (char)(0x80 | (cp & 0x3f));
	}
	*out = o;
}

/* After "\u". A high surrogate must be followed by a low one. */
static int read_unicode(struct json_reader *r, char **out)
{
	unsigned cp, low;

	if (read_hex4(r, &cp))
		return -EINVAL;
	if (cp >= 0xdc00 && cp <= 0xdfff)
		return -EINVAL;
	if (cp >= 0xd800 && cp <= 0xdbff) {
		if (!eat(r, '\\') || !eat(r, 'u') || read_hex4(r, &low) || low < 0xdc00 ||
		    low > 0xdfff)
			return -EINVAL;
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(out, cp);
	return 0;
}

static int read_escape(struct json_reader *r, char **out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit;
	char c;

	if (r->p == r->end)
		return -EINVAL;
	c = *r->p++;
	if (c == 'u')
		return read_unicode(r, out);
	hit = c ? strchr(from, c) : NULL;
	if (!hit)
		return -EINVAL;
	*(*out)++ = to[hit - from];
	return 0;
}

/* At the opening quote. */
static int read_string(struct json_reader *r, const char **str, size_t *len)
{
	char *start = r->doc->strings + r->doc->strings_used, *out = start;

	if (!eat(r, '"'))
		return -EINVAL;
	for (;;) {
		if (r->p == r->end || (unsigned char)*r->p < 0x20)
			return -EINVAL;
		if (eat(r, '"'))
			break;
		if (eat(r, '\\')) {
			if (read_escape(r, &out))
				return -EINVAL;
			continue;
		}
		*out++ = *r->p++;
	}
	*out = '\0';
	*str = start;
	*len = (size_t)(out - start);
	r->doc->strings_used += *len + 1;
	return 0;
}

static bool skip_digits(struct json_reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return r->p != start;
}

static int read_number(struct json_reader *r, struct canp_json_val *v)
{
	const char *start = r->p;
	char buf[JSON_NUMBER_MAX + 1];
	bool whole = true;

	eat(r, '-');
	if (!eat(r, '0') && !skip_digits(r))
		return -EINVAL;
	if (eat(r, '.')) {
		whole = false;
		if (!skip_digits(r))
			return -EINVAL;
	}
	if (eat(r, 'e') || eat(r, 'E')) {
		whole = false;
		if (!eat(r, '+'))
			eat(r, '-');
		if (!skip_digits(r))
			return -EINVAL;
	}
	if ((size_t)(r->p - start) > JSON_NUMBER_MAX)
		return -EINVAL;
	memcpy(buf, start, (size_t)(r->p - start));
	buf[r->p - start] = '\0';
	v->type = CANP_JSON_NUMBER;
	v->num = strtod(buf, NULL);
	errno = 0;
	v->i = strtoll(buf, NULL, 10);
	v->is_int = whole && errno == 0;
	if (!v->is_int)
		v->i = 0;
	return 0;
}

static int read_word(struct json_reader *r, struct canp_json_val *v)
{
	static const struct {
		const char *text;
		enum canp_json_type type;
		bool b;
	} words[] = {{"true", CANP_JSON_BOOL, true},
		     {"false", CANP_JSON_BOOL, false},
		     {"null", CANP_JSON_NULL, false}};

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i].text);

		if ((size_t)(r->end - r->p) < n || memcmp(r->p, words[i].text, n))
			continue;
		v->type = words[i].type;
		v->b = words[i].b;
		r->p += n;
		return 0;
	}
	return -EINVAL;
}

static int read_key(struct json_reader *r, const struct canp_json_val *obj,
		    struct canp_json_val *member)
{
	size_t len;

	skip_space(r);
	if (read_string(r, &member->key, &len) || strlen(member->key) != len)
		return -EINVAL;
	for (const struct canp_json_val *c = obj->child; c; c = c->next)
		if (!strcmp(c->key, member->key))
			return -EEXIST;
	skip_space(r);
	return eat(r, ':') ? 0 : -EINVAL;
}

/* Behind the opening bracket. */
static int read_items(struct json_reader *r, struct canp_json_val *v, char close)
{
	struct canp_json_val **tail = &v->child, *item;
	int rc;

	skip_space(r);
	if (eat(r, close))
		return 0;
	for (;;) {
		if (v->type == CANP_JSON_OBJECT && v->nr == JSON_MEMBERS_MAX)
			return -E2BIG;
		item = new_val(r->doc);
		if (!item)
			return -ENOMEM;
		rc = v->type == CANP_JSON_OBJECT ? read_key(r, v, item) : 0;
		if (!rc)
			rc = read_value(r, item);
		if (rc)
			return rc;
		*tail = item;
		tail = &item->next;
		v->nr++;
		skip_space(r);
		if (eat(r, close))
			return 0;
		if (!eat(r, ','))
			return -EINVAL;
	}
}

static int read_value(struct json_reader *r, struct canp_json_val *v)
{
	int rc;

	skip_space(r);
	if (r->p == r->end)
		return -EINVAL;
	if (*r->p == '"') {
		v->type = CANP_JSON_STRING;
		return read_string(r, &v->str, &v->len);
	}
	if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9'))
		return read_number(r, v);
	if (*r->p != '{' && *r->p != '[')
		return read_word(r, v);
	if (r->depth == r->depth_max)
		return -E2BIG;
	r->depth++;
	v->type = *r->p == '{' ? CANP_JSON_OBJECT : CANP_JSON_ARRAY;
	r->p++;
	rc = read_items(r, v, v->type == CANP_JSON_OBJECT ? '}' : ']');
	r->depth--;
	return rc;
}

int canp_json_parse(const char *text, size_t len, unsigned depth_max, struct canp_json_doc **out,
		    size_t *where)
{
	struct json_reader r = {.text = text, .p = text, .end = text + len};
	int rc = 0;

	if (len > JSON_TEXT_MAX || depth_max > CANP_JSON_DEPTH_MAX)
		return -E2BIG;
	r.depth_max = depth_max;
	r.doc = calloc(1, sizeof(*r.doc));
	if (!r.doc)
		return -ENOMEM;
	r.doc->strings = malloc(len + 1);
	r.doc->root = new_val(r.doc);
	if (!r.doc->strings || !r.doc->root)
		rc = -ENOMEM;
	if (!rc)
		rc = read_value(&r, r.doc->root);
	skip_space(&r);
	if (!rc && r.p != r.end)
		rc = -EINVAL;
	if (where)
		*where = (size_t)(r.p - text);
	if (rc)
		canp_json_doc_destroy(r.doc);
	else
		*out = r.doc;
	return rc;
}

void canp_json_doc_destroy(struct canp_json_doc *doc)
{
	if (!doc)
		return;
	while (doc->chunks) {
		struct json_chunk *c = doc->chunks;

		doc->chunks = c->next;
		free(c);
	}
	free(doc->strings);
	free(doc);
}

const struct canp_json_val *canp_json_root(const struct canp_json_doc *doc)
{
	return doc->root;
}

const struct canp_json_val *canp_json_get(const struct canp_json_val *v, const char *key)
{
	if (!v || v->type != CANP_JSON_OBJECT)
		return NULL;
	for (const struct canp_json_val *c = v->child; c; c = c->next)
		if (!strcmp(c->key, key))
			return c;
	return NULL;
}
