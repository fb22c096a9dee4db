/*
 * t_json.c - the writer's output is valid and exact, the reader takes what RFC 8259 allows, refuses
 * the rest and stays within its bounds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/json.h"
#include "core/base/units.h"

static struct canp_strbuf sb;

static int setup(void **state)
{
	(void)state;
	sb = (struct canp_strbuf)CANP_STRBUF_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	canp_strbuf_fini(&sb);
	return 0;
}

static void containers_nest_with_commas_in_place(void **state)
{
	struct canp_json js = CANP_JSON_INIT(&sb, 0);

	(void)state;
	canp_json_object(&js);
	canp_json_ki64(&js, "a", -5);
	canp_json_key(&js, "b");
	canp_json_array(&js);
	canp_json_u64(&js, UINT64_MAX);
	canp_json_bool(&js, true);
	canp_json_object(&js);
	canp_json_end(&js);
	canp_json_null(&js);
	canp_json_end(&js);
	canp_json_kstr(&js, "c", NULL);
	canp_json_end(&js);
	assert_string_equal(sb.buf,
			    "{\"a\":-5,\"b\":[18446744073709551615,true,{},null],\"c\":null}");
}

static void indented_output_is_readable(void **state)
{
	struct canp_json js = CANP_JSON_INIT(&sb, 2);

	(void)state;
	canp_json_object(&js);
	canp_json_kbool(&js, "a", false);
	canp_json_key(&js, "b");
	canp_json_array(&js);
	canp_json_end(&js);
	canp_json_end(&js);
	assert_string_equal(sb.buf, "{\n  \"a\": false,\n  \"b\": []\n}");
}

static void strings_are_escaped_and_always_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\"b\\c/", "\"a\\\"b\\\\c/\""},
		{"\b\f\n\r\t\x01\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u007f\""},
		{"gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x97", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x97\""},
		{"\xff", "\"\xef\xbf\xbd\""},
		{"a\xc3", "\"a\xef\xbf\xbd\""},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(cases); i++) {
		struct canp_json js = CANP_JSON_INIT(&sb, 0);

		canp_strbuf_reset(&sb);
		canp_json_str(&js, cases[i].in);
		assert_string_equal(sb.buf, cases[i].out);
	}
	canp_strbuf_reset(&sb);
	canp_json_strn(&(struct canp_json)CANP_JSON_INIT(&sb, 0), "a\0b", 3);
	assert_string_equal(sb.buf, "\"a\\u0000b\"");
}

static void doubles_are_short_and_exact(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {{0.1, "0.1"},       {1e300, "1e+300"},
		     {-2.5, "-2.5"},     {1.0 / 3, "0.3333333333333333"},
		     {5e-324, "5e-324"}, {0, "0"}};
	uint64_t seed = 88172645463325252ULL;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(cases); i++) {
		canp_strbuf_reset(&sb);
		canp_json_double(&(struct canp_json)CANP_JSON_INIT(&sb, 0), cases[i].v);
		assert_string_equal(sb.buf, cases[i].text);
	}
	for (unsigned i = 0; i < 20000; i++) {
		double v, back;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		memcpy(&v, &seed, sizeof(v));
		canp_strbuf_reset(&sb);
		canp_json_double(&(struct canp_json)CANP_JSON_INIT(&sb, 0), v);
		if (!__builtin_isfinite(v)) {
			assert_string_equal(sb.buf, "null");
			continue;
		}
		back = strtod(sb.buf, NULL);
		assert_memory_equal(&v, &back, sizeof(v));
	}
}

static void reader_builds_the_tree(void **state)
{
	static const char text[] =
		" { \"n\" : -12 , \"d\":1.5e2, \"s\":\"a\\u00e4\\ud83d\\ude97\\n\","
		"\"l\":[true,false,null,[]],\"o\":{}} \n";
	struct canp_json_doc *doc;
	const struct canp_json_val *root, *v;

	(void)state;
	assert_int_equal(canp_json_parse(text, strlen(text), 8, &doc, NULL), 0);
	root = canp_json_root(doc);
	assert_int_equal(root->type, CANP_JSON_OBJECT);
	assert_int_equal(root->nr, 5);
	v = canp_json_get(root, "n");
	assert_true(v->is_int);
	assert_int_equal(v->i, -12);
	v = canp_json_get(root, "d");
	assert_false(v->is_int);
	assert_true(v->num == 150);
	assert_string_equal(canp_json_get(root, "s")->str, "a\xc3\xa4\xf0\x9f\x9a\x97\n");
	v = canp_json_get(root, "l");
	assert_int_equal(v->nr, 4);
	assert_true(v->child->b);
	assert_int_equal(v->child->next->next->type, CANP_JSON_NULL);
	assert_null(canp_json_get(root, "x"));
	assert_null(canp_json_get(v, "x"));
	canp_json_doc_destroy(doc);
}

static void reader_refuses_what_is_not_json(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[1,]",
		"{\"a\":1,}",
		"{a:1}",
		"[1 2]",
		"01",
		"1.",
		"+1",
		".5",
		"1e",
		"-",
		"nul",
		"\"a",
		"\"\\x\"",
		"\"\t\"",
		"\"\\u12\"",
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\\ud800\\u0041\"",
		"1 1",
		"{\"a\" 1}",
		"{\"a\\u0000b\":1}",
		"NaN",
		"[1}",
		"{\"a\":1]",
	};
	struct canp_json_doc *doc = NULL;
	size_t where;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		/* An exact copy, so that a sanitizer sees a read behind the end. */
		size_t n = strlen(bad[i]);
		char *copy = malloc(n + 1);

		memcpy(copy, bad[i], n);
		copy = realloc(copy, n ? n : 1);
		if (canp_json_parse(copy, n, 8, &doc, NULL) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		free(copy);
	}
	assert_int_equal(canp_json_parse("[1,x]", 5, 8, &doc, &where), -EINVAL);
	assert_int_equal(where, 3);
	assert_int_equal(canp_json_parse("{\"a\":1,\"a\":2}", 13, 8, &doc, NULL), -EEXIST);
}

static void reader_stays_within_its_bounds(void **state)
{
	struct canp_json_doc *doc = NULL;
	const struct canp_json_val *v;
	char deep[200];

	(void)state;
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	assert_int_equal(canp_json_parse(deep, 200, 64, &doc, NULL), -E2BIG);
	assert_int_equal(canp_json_parse(deep + 36, 128, 64, &doc, NULL), 0);
	canp_json_doc_destroy(doc);
	assert_int_equal(canp_json_parse("1", 1, 65, &doc, NULL), -E2BIG);
	for (unsigned i = 0; i < 5000; i++)
		canp_strbuf_printf(&sb, "%s\"k%u\":0", i ? "," : "{", i);
	canp_strbuf_puts(&sb, "}");
	assert_int_equal(canp_json_parse(sb.buf, sb.len, 8, &doc, NULL), -E2BIG);
	canp_strbuf_reset(&sb);
	for (unsigned i = 0; i < 5000; i++)
		canp_strbuf_printf(&sb, "%s%u", i ? "," : "[", i);
	canp_strbuf_puts(&sb, "]");
	assert_int_equal(canp_json_parse(sb.buf, sb.len, 8, &doc, NULL), 0);
	v = canp_json_root(doc)->child;
	for (unsigned i = 0; i < 5000; i++, v = v->next)
		assert_int_equal(v->i, i);
	canp_json_doc_destroy(doc);
	assert_int_equal(canp_json_parse("9223372036854775808", 19, 8, &doc, NULL), 0);
	assert_false(canp_json_root(doc)->is_int);
	canp_json_doc_destroy(doc);
}

static void what_is_written_reads_back(void **state)
{
	struct canp_json js = CANP_JSON_INIT(&sb, 4);
	struct canp_json_doc *doc;
	const char odd[] = "\x01\"\\\n\xc3\xa4";

	(void)state;
	canp_json_object(&js);
	canp_json_kstr(&js, odd, odd);
	canp_json_kdouble(&js, "d", 0.1);
	canp_json_ku64(&js, "u", 7);
	canp_json_end(&js);
	assert_int_equal(canp_json_parse(sb.buf, sb.len, 4, &doc, NULL), 0);
	assert_string_equal(canp_json_get(canp_json_root(doc), odd)->str, odd);
	assert_true(canp_json_get(canp_json_root(doc), "d")->num == 0.1);
	canp_json_doc_destroy(doc);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(containers_nest_with_commas_in_place),
		T(indented_output_is_readable),
		T(strings_are_escaped_and_always_utf8),
		T(doubles_are_short_and_exact),
		T(reader_builds_the_tree),
		T(reader_refuses_what_is_not_json),
		T(reader_stays_within_its_bounds),
		T(what_is_written_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
