/*
 * json.h - JSON out and in. The writer appends to a string buffer and puts commas and escapes where
 * they belong; bytes that are not UTF-8 become U+FFFD, so the output is always valid. The reader
 * builds a tree of a whole small document (configuration, baselines, job records) under hard limits
 * and never recurses deeper than asked. Control plane only; one object, one thread.
 */
#ifndef CANP_BASE_JSON_H
#define CANP_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

#define CANP_JSON_DEPTH_MAX 64u

/* Set up with CANP_JSON_INIT(&sb, indent); indent 0 writes everything on one line. */
struct canp_json {
	struct canp_strbuf *sb; /* borrowed */
	unsigned indent;        /* spaces per level */
	unsigned depth;
	bool after_key;
	uint64_t has_items; /* bit per level: something was written, so a comma is due */
	uint64_t is_array;  /* bit per level, to close with the right bracket */
};

#define CANP_JSON_INIT(buf, indent_)                                                               \
	{                                                                                          \
		.sb = (buf), .indent = (indent_)                                                   \
	}

/* Containers nest to CANP_JSON_DEPTH_MAX (asserted); inside an object every value follows a key. */
void canp_json_object(struct canp_json *js);
void canp_json_array(struct canp_json *js);
void canp_json_end(struct canp_json *js); /* closes the innermost container */
void canp_json_key(struct canp_json *js, const char *key);

void canp_json_str(struct canp_json *js, const char *s); /* NULL writes null */
void canp_json_strn(struct canp_json *js, const char *s, size_t len);
void canp_json_i64(struct canp_json *js, int64_t v);
void canp_json_u64(struct canp_json *js, uint64_t v);
/* Shortest text that reads back to the same double; not finite writes null. */
void canp_json_double(struct canp_json *js, double v);
void canp_json_bool(struct canp_json *js, bool v);
void canp_json_null(struct canp_json *js);

/* key and value in one call. */
void canp_json_kstr(struct canp_json *js, const char *key, const char *s);
void canp_json_ki64(struct canp_json *js, const char *key, int64_t v);
void canp_json_ku64(struct canp_json *js, const char *key, uint64_t v);
void canp_json_kdouble(struct canp_json *js, const char *key, double v);
void canp_json_kbool(struct canp_json *js, const char *key, bool v);

enum canp_json_type {
	CANP_JSON_NULL,
	CANP_JSON_BOOL,
	CANP_JSON_NUMBER,
	CANP_JSON_STRING,
	CANP_JSON_ARRAY,
	CANP_JSON_OBJECT
};

/* A value of a document. All pointers belong to the document. */
struct canp_json_val {
	enum canp_json_type type;
	bool b;
	bool is_int;     /* number without fraction and exponent that fits i64 */
	uint32_t nr;     /* members or elements */
	int64_t i;       /* when is_int */
	double num;      /* any number */
	const char *key; /* inside an object, NUL-terminated */
	const char *str; /* string, NUL-terminated; may contain NUL, see len */
	size_t len;
	struct canp_json_val *child, *next; /* first child; next in the same container */
};

struct canp_json_doc;

/* Parses all of text (RFC 8259, UTF-8). depth_max <= CANP_JSON_DEPTH_MAX. -EINVAL: not JSON, *where
 * is the byte offset; -E2BIG: too deep, above 64 MiB of text or
 * above 4,096 members in one object; -EEXIST: a key occurs twice in one
 * object; -ENOMEM. where may be NULL. */
int canp_json_parse(const char *text, size_t len, unsigned depth_max, struct canp_json_doc **out,
		    size_t *where);
void canp_json_doc_destroy(struct canp_json_doc *doc); /* NULL is allowed */
const struct canp_json_val *canp_json_root(const struct canp_json_doc *doc);
/* Member of an object; NULL when v is NULL, no object or has no such key. */
const struct canp_json_val *canp_json_get(const struct canp_json_val *v, const char *key);

#endif
