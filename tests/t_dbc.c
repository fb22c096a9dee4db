/*
 * t_dbc.c - one inline case per rule of the tolerant DBC parser, and the reference corpus: every
 * file loads, and where the manifest states what cantools found, the counts are equal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "io/can/dbc.h"

#define S(...) " SG_ " __VA_ARGS__ "\n"

struct lines {
	unsigned nr;
	struct canp_strbuf text;
};

static void note(void *arg, const char *line)
{
	struct lines *l = arg;

	l->nr++;
	canp_strbuf_puts(&l->text, line);
	canp_strbuf_putc(&l->text, '\n');
}

static struct lines lines;

static struct canp_dbc *parse_bytes(const void *text, size_t len)
{
	struct canp_dbc *dbc = NULL;

	canp_strbuf_fini(&lines.text);
	memset(&lines, 0, sizeof(lines));
	assert_int_equal(canp_dbc_parse("dir/x.dbc", text, len, NULL, note, &lines, &dbc), 0);
	assert_int_equal(dbc->nr_warnings, lines.nr);
	return dbc;
}

static struct canp_dbc *parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static bool warned(const char *what)
{
	return lines.text.buf && strstr(lines.text.buf, what);
}

static const struct canp_dbc_signal *sig(struct canp_dbc *dbc, uint32_t msg, const char *name)
{
	assert_true(msg < dbc->nr_messages);
	return canp_dbc_signal(&dbc->messages[msg], name);
}

static void a_message_and_its_signals_are_read(void **state)
{
	struct canp_dbc *d =
		parse("VERSION \"1.2\"\nNS_ :\n\tCM_\n\tBA_\nBS_:\nBU_: A B\n  C\n\n"
		      "BO_ 100 Msg: 8 A\n" S("x : 7|16@0- (0.5,-10) [-1|2.5] \"km/h\" B,C")
			      S("y: 16|8@1+(1,0)[0|0]\"\" B") "\nBO_ 2147483749 E : 4 B\n");
	const struct canp_dbc_signal *x = sig(d, 0, "x"), *y = sig(d, 0, "y");

	(void)state;
	assert_int_equal(lines.nr, 0);
	assert_string_equal(d->file, "x.dbc");
	assert_string_equal(d->version, "1.2");
	assert_int_equal(d->nr_messages, 2);
	assert_int_equal(d->messages[0].id, 100);
	assert_int_equal(d->messages[0].length, 8);
	assert_string_equal(d->messages[0].sender, "A");
	assert_false(d->messages[0].ext);
	assert_true(d->messages[1].ext);
	assert_int_equal(d->messages[1].id, 101);
	assert_int_equal(x->start, 7);
	assert_int_equal(x->bits, 16);
	assert_true(x->big_endian && x->is_signed && !x->integral);
	assert_true(x->factor == 0.5 && x->offset == -10 && x->minimum == -1 && x->maximum == 2.5);
	assert_string_equal(x->unit, "km/h");
	assert_true(!y->big_endian && !y->is_signed && y->integral);
	assert_int_equal(y->ifactor, 1);
	canp_dbc_destroy(d);
}

static void numbers_keep_integers_exact(void **state)
{
	struct canp_dbc *d = parse(
		"BO_ 1 M: 8 X\n" S("a : 0|8@1+ (1E3,+7) [.5|1e+09] \"\" X")
			S("b : 0|8@1+ (9007199254740993,0) [0|0] \"\" X")
				S("c : 0|8@1+ (2.0,-3.0) [0|0] \"\" X")
					S("d : 0|8@1+ (0,1) [0|0] \"\" X")
						S("e : 0|8@1+ (1e300,0) [0|0] \"\" X")
							S("f : 0|8@1+ (1,0) [nan|inf] \"\" X"));

	(void)state;
	assert_int_equal(d->messages[0].nr_signals, 6);
	assert_int_equal(sig(d, 0, "a")->ifactor, 1000);
	assert_int_equal(sig(d, 0, "a")->ioffset, 7);
	assert_true(sig(d, 0, "a")->minimum == 0.5 && sig(d, 0, "a")->maximum == 1e9);
	assert_true(sig(d, 0, "b")->ifactor == 9007199254740993LL);
	assert_true(sig(d, 0, "c")->integral && sig(d, 0, "c")->ioffset == -3);
	assert_false(sig(d, 0, "d")->integral);
	assert_false(sig(d, 0, "e")->integral);
	assert_int_equal(lines.nr, 1);
	assert_true(warned("x.dbc:7: signal f: range"));
	canp_dbc_destroy(d);
}

static void ids_beyond_the_standard_are_mended_or_left_out(void **state)
{
	struct canp_dbc *d = parse("BO_ 274923520 Wild: 8 X\n" S(
		"a : 0|8@1+ (1,0) [0|0] \"\" X") "BO_ 3221225472 "
						 "VECTOR__"
						 "INDEPENDENT_SIG_"
						 "MSG: 0 X\n" S("orph"
								"an "
								": "
								"0|8@"
								"1+ "
								"(1,"
								"0) "
								"[0|"
								"0] "
								"\"\""
								" X") "BO_ 1075054137 Pseudo: 8 "
								      "X\n" S("p : 0|8@1+ "
									      "(1,0) "
									      "[0|0] \"\" "
									      "X") "BO_ "
										   "429496"
										   "7295 "
										   "Door: "
										   "8 "
										   "X\nBO_"
										   " 99999"
										   "999999"
										   " Huge:"
										   " 8 X\n"
										   "CM_ "
										   "SG_ "
										   "107505"
										   "4137 "
										   "p "
										   "\"of "
										   "a "
										   "pseudo"
										   " messa"
										   "ge\";"
										   "\n");

	(void)state;
	assert_int_equal(d->nr_messages, 1);
	assert_true(d->messages[0].ext);
	assert_int_equal(d->messages[0].id, 274923520);
	assert_int_equal(lines.nr, 4);
	assert_true(warned("x.dbc:1: message Wild: id 0x10630000 has more than 11 bits"));
	assert_true(warned("x.dbc:5: message Pseudo"));
	assert_true(warned("message Door") && warned("message Huge"));
	canp_dbc_destroy(d);
}

static void duplicate_ids_use_the_last_message(void **state)
{
	struct canp_dbc *d =
		parse("BO_ 5 A: 8 X\nBO_ 5 B: 8 X\nBO_ 2147488648 C: 8 X\nBO_ 5000 D: 8 X\n");

	(void)state;
	assert_int_equal(d->nr_messages, 4);
	assert_true(d->messages[0].shadowed && !d->messages[1].shadowed);
	assert_true(d->messages[2].shadowed && !d->messages[3].shadowed);
	assert_string_equal(canp_dbc_find(d, 5, false)->name, "B");
	assert_string_equal(canp_dbc_find(d, 5000, true)->name, "D");
	assert_null(canp_dbc_find(d, 5, true));
	canp_dbc_destroy(d);
}

static void names_may_start_with_digits_or_contain_dashes(void **state)
{
	struct canp_dbc *d = parse("BO_ 1275 2017_5: 8 XXX\n" S(
		"0_COUNTER : 0|8@1+ (1,0) [0|0] "
		"\"\" X") S("a-b+c m3 : 0|8@1+ (1,0) [0|0] \"\" X") "VAL_ 1275 0_COUNTER 1 \"one\" "
								    ";\n");

	(void)state;
	assert_int_equal(lines.nr, 0);
	assert_string_equal(d->messages[0].name, "2017_5");
	assert_int_equal(sig(d, 0, "0_COUNTER")->nr_values, 1);
	assert_true(sig(d, 0, "a-b+c")->is_muxed);
	canp_dbc_destroy(d);
}

static void statement_order_does_not_matter(void **state)
{
	struct canp_dbc *d = parse(
		"SIG_VALTYPE_ 1 f : 1;\nVAL_ 1 a 1 \"on\" 0 \"off\" ;\nCM_ SG_ 1 a \"sig\";\n"
		"BA_ \"VFrameFormat\" BO_ 1 14;\nCM_ BO_ 1 \"msg\";\nSG_MUL_VAL_ 1 a m 1-2, 5-5;\n"
		"BO_ 1 M: 8 X\n" S("a m1 : 0|8@1+ (1,0) [0|0] \"\" X")
			S("f : 8|32@1- (1,0) [0|0] \"\" X") S("m M : 40|8@1+ (1,0) [0|0] \"\" X"));
	const struct canp_dbc_signal *a = sig(d, 0, "a");

	(void)state;
	assert_int_equal(lines.nr, 0);
	assert_int_equal(sig(d, 0, "f")->is_float, 32);
	assert_int_equal(a->nr_values, 2);
	assert_string_equal(a->values[0].text, "off");
	assert_string_equal(a->comment, "sig");
	assert_string_equal(a->mux_parent, "m");
	assert_int_equal(a->nr_ranges, 2);
	assert_true(a->ranges[0].lo == 1 && a->ranges[0].hi == 2 && a->ranges[1].lo == 5);
	assert_string_equal(d->messages[0].comment, "msg");
	assert_int_equal(d->messages[0].vframe, CANP_VFRAME_STD_FD);
	canp_dbc_destroy(d);
}

static void strings_hold_newlines_semicolons_and_escaped_quotes(void **state)
{
	struct canp_dbc *d = parse("BO_ 1 M: 8 X\n" S(
		"a : 0|8@1+ (1,0) [0|0] \"\" X") "CM_ SG_ 1 a \"say \\\"hi\\\";\r\nBO_ 2 N: 8 "
						 "X\";\nCM_ \"net // no comment\"; // real\n"
						 "BO_ 3 O: 8 X // after\n");

	(void)state;
	assert_int_equal(lines.nr, 0);
	assert_int_equal(d->nr_messages, 2);
	assert_string_equal(sig(d, 0, "a")->comment, "say \"hi\";\nBO_ 2 N: 8 X");
	assert_string_equal(d->comment, "net // no comment");
	canp_dbc_destroy(d);
}

static void an_open_string_costs_its_line_only(void **state)
{
	struct canp_dbc *d =
		parse("BO_ 1 M: 8 X\nCM_ BO_ 1 \"never closed;\nBO_ 2 N: 8 X\nBO_ 3 O: 8 X\n");

	(void)state;
	assert_int_equal(d->nr_messages, 3);
	assert_true(warned("x.dbc:2: string without closing quote"));
	canp_dbc_destroy(d);
}

static void bad_statements_are_skipped_to_the_next_keyword(void **state)
{
	struct canp_dbc *d =
		parse("BO_ 1 M: 8 X\n" S("bad : 0/8@1+ (1,0)")
			      S("good : 0|8@1+ (1,0) [0|0] \"\" X") "FOO_ 1 2 3;\nBO_ x y\n" S(
				      "lost : 0|8@1+ (1,0) [0|0] \"\" X") "CM_ BO_ 1 \"no "
									  "semicolon\"\nVAL_ 1 "
									  "good 1 \"one\" 2 ;\nBO_ "
									  "2 N: 8\n\nSG_\n");

	(void)state;
	assert_int_equal(d->nr_messages, 2);
	assert_int_equal(d->messages[0].nr_signals, 1);
	assert_string_equal(d->messages[0].comment, "no semicolon");
	assert_string_equal(d->messages[1].sender, "");
	assert_true(warned("x.dbc:2: expected start|length@order"));
	assert_true(warned("x.dbc:4: unknown statement \"FOO_\""));
	assert_true(warned("x.dbc:5: expected a message id"));
	assert_true(warned("x.dbc:7: missing ';'"));
	assert_true(warned("x.dbc:8: expected a value text"));
	assert_int_equal(lines.nr, 6);
	canp_dbc_destroy(d);
}

static void utf8_is_kept_and_anything_else_is_windows_1252(void **state)
{
	static const char bom[] = "\xef\xbb\xbf"
				  "BO_ 1 M: 8 X\n SG_ a : 0|8@1+ (1,0) [0|0] \"\xc2\xb0"
				  "C\" X\n";
	static const char cp[] = "BO_ 1 M: 8 X\n SG_ a : 0|8@1+ (1,0) [0|0] \"\xb0"
				 "C \x80\" X\n";
	static const char nul[] = "BO_ 1 M: 8 X\0\n SG_ a : 0|8@1+ (1,0) [0|0] \"\" X\n";
	struct canp_dbc *d = parse(bom);

	(void)state;
	assert_false(d->cp1252);
	assert_string_equal(sig(d, 0, "a")->unit, "\xc2\xb0"
						  "C");
	canp_dbc_destroy(d);
	d = parse(cp);
	assert_true(d->cp1252);
	assert_string_equal(sig(d, 0, "a")->unit, "\xc2\xb0"
						  "C \xe2\x82\xac");
	canp_dbc_destroy(d);
	d = parse_bytes(nul, sizeof(nul) - 1);
	assert_int_equal(d->messages[0].nr_signals, 1);
	assert_int_equal(lines.nr, 1);
	canp_dbc_destroy(d);
}

static void attributes_are_indices_texts_or_defaults(void **state)
{
	struct canp_dbc *d = parse(
		"BA_DEF_ BO_ \"VFrameFormat\" ENUM "
		"\"StandardCAN\",\"ExtendedCAN\",\"reserved\",\"J1939PG\";\n"
		"BA_DEF_ \"BusType\" STRING ;\nBA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 1e+09;\n"
		"BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\nBA_DEF_DEF_ \"BusType\" \"CAN\";\n"
		"BO_ 1 A: 8 X\n" S(
			"s : 0|8@1+ (1,0) [0|0] \"\" X") "BO_ 2 B: 8 X\nBO_ 3 C: 8 X\n"
							 "BA_ \"BusType\" \"CAN FD\";\nBA_ "
							 "\"VFrameFormat\" BO_ 2 1;\n"
							 "BA_ \"VFrameFormat\" BO_ 3 "
							 "\"StandardCAN\";\nBA_ "
							 "\"GenMsgCycleTime\" BO_ 1 100;\n"
							 "BA_ \"SPN\" SG_ 1 s 190;\nBA_ "
							 "\"GenSigStartValue\" SG_ 1 s 2.5;\n"
							 "BA_ \"SystemMessageLongSymbol\" BO_ 1 "
							 "\"A_long\";\n"
							 "BA_ \"SystemSignalLongSymbol\" SG_ 1 s "
							 "\"s_long\";\nBA_ \"Other\" BU_ X 3;\n");

	(void)state;
	assert_int_equal(lines.nr, 0);
	assert_string_equal(d->bus_type, "CAN FD");
	assert_int_equal(d->messages[0].vframe, CANP_VFRAME_J1939);
	assert_false(d->messages[0].vframe_stated);
	assert_int_equal(d->messages[1].vframe, CANP_VFRAME_EXT);
	assert_true(d->messages[1].vframe_stated);
	assert_int_equal(d->messages[2].vframe, CANP_VFRAME_STD);
	assert_int_equal(d->messages[0].cycle_ms, 100);
	assert_string_equal(d->messages[0].name, "A_long");
	assert_string_equal(d->messages[0].short_name, "A");
	assert_string_equal(sig(d, 0, "s_long")->short_name, "s");
	assert_int_equal(sig(d, 0, "s")->spn, 190);
	assert_true(sig(d, 0, "s")->start_value == 2.5);
	canp_dbc_destroy(d);
}

static void value_tables_are_sorted_and_the_last_of_equal_numbers_stays(void **state)
{
	struct canp_dbc *d = parse(
		"VAL_TABLE_ T 3 \"three\" 1 \"one\" ;\nBO_ 1 M: 8 X\n" S(
			"a : 0|8@1- (1,0) [0|0] \"\" X") S("b : 0|8@1- (1,0) [0|0] \"\" X")
			S("c : 0|64@1+ (1,0) [0|0] \"\" X") "VAL_ 1 a 2 \"two\" -1 \"minus\" 2 "
							    "\"zwei\" 1.5 \"no\" ;\nVAL_ 1 b T ;\n"
							    "VAL_ 1 c 18446744073709551615 \"all\" "
							    ";\nVAL_ EnvVar 0 \"x\" ;\n");
	const struct canp_dbc_signal *a = sig(d, 0, "a");

	(void)state;
	assert_int_equal(a->nr_values, 2);
	assert_int_equal(a->values[0].raw, -1);
	assert_string_equal(a->values[1].text, "zwei");
	assert_int_equal(sig(d, 0, "b")->nr_values, 2);
	assert_string_equal(sig(d, 0, "b")->values[0].text, "one");
	assert_true((uint64_t)sig(d, 0, "c")->values[0].raw == UINT64_MAX);
	assert_int_equal(lines.nr, 1);
	canp_dbc_destroy(d);
}

static void multiplexor_marks_are_read(void **state)
{
	struct canp_dbc *d = parse("BO_ 1 M: 8 X\n" S("a M : 0|8@1+ (1,0) [0|0] \"\" X")
					   S("b m12 : 0|8@1+ (1,0) [0|0] \"\" X")
						   S("c m3M : 0|8@1+ (1,0) [0|0] \"\" X")
							   S("d mX : 0|8@1+ (1,0) [0|0] \"\" X"));

	(void)state;
	assert_true(sig(d, 0, "a")->is_muxor && !sig(d, 0, "a")->is_muxed);
	assert_true(sig(d, 0, "b")->is_muxed && sig(d, 0, "b")->mux_value == 12);
	assert_true(sig(d, 0, "c")->is_muxed && sig(d, 0, "c")->is_muxor);
	assert_int_equal(sig(d, 0, "c")->mux_value, 3);
	assert_null(sig(d, 0, "d"));
	assert_int_equal(lines.nr, 1);
	canp_dbc_destroy(d);
}

static void signals_of_impossible_length_are_left_out(void **state)
{
	struct canp_dbc *d = parse(
		"BO_ 1 M: 8 X\n" S("a : 0|0@1+ (1,0) [0|0] \"\" X")
			S("b : 0|65@1+ (1,0) [0|0] \"\" X") S("c : 0|64@1+ (1,0) [0|0] \"\" X") S(
				"h : 0|16@1- (1,0) [0|0] \"\" X")
				S("i : 0|8@1- (1,0) [0|0] \"\" X") "SIG_VALTYPE_ 1 h "
								   "1;\nSIG_VALTYPE_ 1 i : 1;\n");

	(void)state;
	assert_int_equal(d->messages[0].nr_signals, 3);
	assert_int_equal(sig(d, 0, "h")->is_float, 16);
	assert_int_equal(sig(d, 0, "i")->is_float, 0);
	assert_int_equal(lines.nr, 4);
	canp_dbc_destroy(d);
}

static void cut_and_garbled_files_never_fail(void **state)
{
	static const char text[] =
		"VERSION \"\"\nNS_ :\n\tCM_\nBS_:\nBU_: A\nVAL_TABLE_ T 1 \"x\" ;\nBO_ 1 M: 8 "
		"A\n" S("a M : 0|8@1+ (1,0) [0|0] \"u\" A") S(
			"b m1 : 7|8@0- (1,0) [0|0] \"\" A,B") "CM_ SG_ 1 a \"t\";\nBA_DEF_ BO_ "
							      "\"V\" ENUM \"a\",\"b\";\nBA_ \"V\" "
							      "BO_ 1 1;\n"
							      "VAL_ 1 a 0 \"n\" ;\nSIG_VALTYPE_ 1 "
							      "a : 1;\nSG_MUL_VAL_ 1 b a 1-1;\n";
	char copy[sizeof(text)];
	uint32_t seed = 1;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		/* An exact copy on the heap lets the sanitizer see a read behind the end. */
		char *cut = malloc(len + !len);

		memcpy(cut, text, len);
		canp_dbc_destroy(parse_bytes(cut, len));
		free(cut);
	}
	for (int round = 0; round < 3000; round++) {
		memcpy(copy, text, sizeof(text));
		for (int k = 0; k < 4; k++) {
			seed = seed * 1664525u + 1013904223u;
			copy[(seed >> 8) % (sizeof(text) - 1)] = (char)(seed >> 24);
		}
		canp_dbc_destroy(parse_bytes(copy, sizeof(text) - 1));
	}
}

static void files_that_cannot_be_read_are_errors_with_a_line(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_dbc *d = NULL;

	(void)state;
	assert_int_equal(canp_dbc_load("/nonexistent/x.dbc", &err, NULL, NULL, &d), -ENOENT);
	assert_non_null(strstr(err.buf, "/nonexistent/x.dbc"));
	canp_strbuf_reset(&err);
	assert_int_equal(canp_dbc_load("/", &err, NULL, NULL, &d), -EISDIR);
	assert_int_equal(canp_dbc_parse("big", "", CANP_DBC_BYTES_MAX + 1u, &err, NULL, NULL, &d),
			 -EFBIG);
	assert_null(d);
	canp_strbuf_fini(&err);
}

struct counts {
	unsigned msgs, sigs, ext, be, sign, flt, mux, muxers, fd, maxlen, j1939, choices;
};

static struct counts count(const struct canp_dbc *d)
{
	struct counts c = {0};

	for (uint32_t i = 0; i < d->nr_messages; i++) {
		const struct canp_dbc_message *m = &d->messages[i];

		c.msgs++;
		c.ext += m->ext;
		c.maxlen = m->length > c.maxlen ? m->length : c.maxlen;
		for (uint32_t k = 0; k < m->nr_signals; k++) {
			const struct canp_dbc_signal *s = &m->signals[k];

			c.sigs++;
			c.be += s->big_endian;
			c.sign += s->is_signed;
			c.flt += s->is_float != 0;
			c.mux += s->is_muxed || s->mux_parent;
			c.muxers += s->is_muxor;
			c.choices += s->nr_values != 0;
		}
	}
	return c;
}

static void the_corpus_loads_with_the_counts_cantools_found(void **state)
{
	const char *dir = getenv("CANP_CORPUS") ? getenv("CANP_CORPUS") : "../shared/data";
	char path[8192], line[4096];
	unsigned files = 0, compared = 0, bad = 0;
	size_t warnings = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/MANIFEST.tsv", dir);
	f = fopen(path, "r");
	if (!f) {
		print_message("skipped: no corpus at %s (set CANP_CORPUS)\n", path);
		skip();
	}
	while (fgets(line, sizeof(line), f)) {
		struct counts want, got;
		struct canp_dbc *d = NULL;
		char *tab = strchr(line, '\t'), *p;

		if (strncmp(line, "dbc/", 4) || !tab)
			continue;
		p = strstr(tab + 1, "{'msgs'");
		*tab = '\0';
		snprintf(path, sizeof(path), "%s/%s", dir, line);
		canp_strbuf_fini(&lines.text);
		memset(&lines, 0, sizeof(lines));
		assert_int_equal(canp_dbc_load(path, NULL, note, &lines, &d), 0);
		if (getenv("CANP_VERBOSE") && lines.text.buf)
			print_message("%s", lines.text.buf);
		canp_strbuf_fini(&lines.text);
		files++;
		warnings += d->nr_warnings;
		got = count(d);
		canp_dbc_destroy(d);
		if (!p ||
		    sscanf(p,
			   "{'msgs': %u, 'sigs': %u, 'ext': %u, 'be': %u, 'signed': %u, 'flt': %u, "
			   "'mux': %u, 'muxers': %u, 'fd': %u, 'maxlen': %u, 'j1939': %u, "
			   "'choices': %u",
			   &want.msgs, &want.sigs, &want.ext, &want.be, &want.sign, &want.flt,
			   &want.mux, &want.muxers, &want.fd, &want.maxlen, &want.j1939,
			   &want.choices) != 12)
			continue;
		compared++;
		got.fd = want.fd; /* these two are decided by the plan */
		got.j1939 = want.j1939;
		if (memcmp(&got, &want, sizeof(got))) {
			print_message("%s: msgs %u/%u sigs %u/%u ext %u/%u be %u/%u signed %u/%u "
				      "flt %u/%u mux "
				      "%u/%u muxers %u/%u maxlen %u/%u choices %u/%u\n",
				      line, got.msgs, want.msgs, got.sigs, want.sigs, got.ext,
				      want.ext, got.be, want.be, got.sign, want.sign, got.flt,
				      want.flt, got.mux, want.mux, got.muxers, want.muxers,
				      got.maxlen, want.maxlen, got.choices, want.choices);
			bad++;
		}
	}
	fclose(f);
	print_message("%u DBC files loaded, %zu warnings, %u compared with cantools, %u differ\n",
		      files, warnings, compared, bad);
	assert_true(files > 0);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_and_its_signals_are_read),
		cmocka_unit_test(numbers_keep_integers_exact),
		cmocka_unit_test(ids_beyond_the_standard_are_mended_or_left_out),
		cmocka_unit_test(duplicate_ids_use_the_last_message),
		cmocka_unit_test(names_may_start_with_digits_or_contain_dashes),
		cmocka_unit_test(statement_order_does_not_matter),
		cmocka_unit_test(strings_hold_newlines_semicolons_and_escaped_quotes),
		cmocka_unit_test(an_open_string_costs_its_line_only),
		cmocka_unit_test(bad_statements_are_skipped_to_the_next_keyword),
		cmocka_unit_test(utf8_is_kept_and_anything_else_is_windows_1252),
		cmocka_unit_test(attributes_are_indices_texts_or_defaults),
		cmocka_unit_test(value_tables_are_sorted_and_the_last_of_equal_numbers_stays),
		cmocka_unit_test(multiplexor_marks_are_read),
		cmocka_unit_test(signals_of_impossible_length_are_left_out),
		cmocka_unit_test(cut_and_garbled_files_never_fail),
		cmocka_unit_test(files_that_cannot_be_read_are_errors_with_a_line),
		cmocka_unit_test(the_corpus_loads_with_the_counts_cantools_found),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	canp_strbuf_fini(&lines.text);
	return rc;
}
