/*
 * t_fmt_candump.c - candump text: every form of line, damage, windows.
 */
#include "tests/lib/capture.h"

#include "io/format/candump_parse.h"
#include "io/format/formats.h"

static enum canp_candump_kind parse(const char *line, struct canp_candump_line *l)
{
	/* At its exact size, so that a byte read beyond is seen. */
	size_t n = strlen(line);
	uint8_t *p = malloc(n ? n : 1);
	enum canp_candump_kind kind;

	assert_non_null(p);
	memcpy(p, line, n);
	kind = canp_candump_parse(p, n, l);
	if (l->iface)
		assert_true(l->iface_len >= 1);
	free(p);
	return kind;
}

static void good(const char *line, int64_t ts, uint32_t id, unsigned flags, unsigned dlc,
		 unsigned len)
{
	struct canp_candump_line l;
	enum canp_candump_kind kind = parse(line, &l);

	if (kind != CANP_CANDUMP_FRAME)
		fail_msg("'%s': %s", line, l.why);
	assert_int_equal(l.ts_ns, ts);
	assert_int_equal(l.id, id);
	assert_int_equal(l.flags, flags);
	assert_int_equal(l.dlc, dlc);
	assert_int_equal(l.len, len);
}

static void bad(const char *line)
{
	struct canp_candump_line l;
	enum canp_candump_kind kind = parse(line, &l);

	if (kind != CANP_CANDUMP_BAD)
		fail_msg("'%s' was taken as kind %d", line, kind);
	assert_non_null(l.why);
}

static void all_frame_forms_of_the_log_are_read(void **state)
{
	const int64_t t = 1581668399053750000LL;

	(void)state;
	good("(1581668399.053750) can0 123#", t, 0x123, 0, 0, 0);
	good("(1581668399.053750) can0 123#12", t, 0x123, 0, 1, 1);
	good("(1581668399.053750) can0 7FF#11.22.33", t, 0x7ff, 0, 3, 3);
	good("(1581668399.053750) can0 12345678#1122334455667788", t, 0x12345678, CANP_FF_EXT, 8,
	     8);
	good("(1581668399.053750) can0 00000001#", t, 1, CANP_FF_EXT, 0, 0);
	good("(1581668399.053750) can0 20000080#0000000000000000", t, 0x80, CANP_FF_ERR, 8, 8);
	good("(1581668399.053750) can0 123#R", t, 0x123, CANP_FF_RTR, 0, 0);
	good("(1581668399.053750) can0 123#r5", t, 0x123, CANP_FF_RTR, 5, 0);
	good("(1581668399.053750) can0 123#R8_C", t, 0x123, CANP_FF_RTR, 12, 0);
	good("(1581668399.053750) can0 123#1122334455667788_F", t, 0x123, 0, 15, 8);
	good("(1581668399.053750) can0 123##0", t, 0x123, CANP_FF_FD, 0, 0);
	good("(1581668399.053750) can0 123##3112233445566778899aabbcc", t, 0x123,
	     CANP_FF_FD | CANP_FF_BRS | CANP_FF_ESI, 9, 12);
	good("(1581668399.053750) can0 12345678##5112233445566778899", t, 0x12345678,
	     CANP_FF_FD | CANP_FF_EXT | CANP_FF_BRS, 9, 9);
	good("(1581668399.053750) can0 123#11 T", t, 0x123, CANP_FF_TX, 1, 1);
	good("(1581668399.053750) can0 123#11 R", t, 0x123, 0, 1, 1);
	good("(1581668399.053750) can0 123#11 Transmitted", t, 0x123, CANP_FF_TX, 1, 1);
	good("  \t(1581668399.053750)   can0\t123#11\r", t, 0x123, 0, 1, 1);
}

static void fractions_of_one_to_nine_digits_are_scaled(void **state)
{
	(void)state;
	good("(1.5) can0 123#", 1500000000, 0x123, 0, 0, 0);
	good("(1.05) can0 123#", 1050000000, 0x123, 0, 0, 0);
	good("(1.123) can0 123#", 1123000000, 0x123, 0, 0, 0);
	good("(1.1234567) can0 123#", 1123456700, 0x123, 0, 0, 0);
	good("(1.12345678) can0 123#", 1123456780, 0x123, 0, 0, 0);
	good("(1.123456789) can0 123#", 1123456789, 0x123, 0, 0, 0);
	good("(000.000000) can0 123#", 0, 0x123, 0, 0, 0);
	bad("(1.) can0 123#");
	bad("(1.1234567890) can0 123#");
	bad("(1) can0 123#");
	bad("(.5) can0 123#");
}

static void the_console_form_is_read(void **state)
{
	const int64_t t = 1581668399053750000LL;
	struct canp_candump_line l;

	(void)state;
	good(" (1581668399.053750)  can0  123   [2]  12 34", t, 0x123, 0, 2, 2);
	good(" (1581668399.053750)  can0  12345678   [0] ", t, 0x12345678, CANP_FF_EXT, 0, 0);
	good(" (1581668399.053750)  can0  123  [12]  01 02 03 04 05 06 07 08 09 0A 0B 0C", t, 0x123,
	     CANP_FF_FD, 9, 12);
	good(" (1581668399.053750)  can0  123   [4]  remote request", t, 0x123, CANP_FF_RTR, 4, 0);
	good(" (1581668399.053750)  can0  20000004   [8]  00 01 00 00 00 00 00 00   ERRORFRAME", t,
	     4, CANP_FF_ERR, 8, 8);
	good(" (1581668399.053750)  can0  TX - -  123   [1]  12", t, 0x123, CANP_FF_TX, 1, 1);
	good(" (1581668399.053750)  can0  RX B E  123  [01]  12", t, 0x123,
	     CANP_FF_FD | CANP_FF_BRS | CANP_FF_ESI, 1, 1);
	good(" (2020-02-14 08:19:59.053750)  can0  123   [1]  12", t, 0x123, 0, 1, 1);
	assert_int_equal(parse(" (2020-02-14 08:19:59.053750)  can0  123   [1]  12", &l),
			 CANP_CANDUMP_FRAME);
	assert_true(l.local);
	bad(" (1581668399.053750)  can0  123   [9]  12 34");
	bad(" (1581668399.053750)  can0  123   [2]  12");
	bad(" (2020-02-30 08:19:59.053750)  can0  123   [1]  12");
}

static void lines_that_do_not_follow_are_bad_not_guessed(void **state)
{
	static const char *const lines[] = {
		"(1581668399.053750)",
		"(1581668399.053750) can0",
		"(1581668399.053750) can0 ",
		"(1581668399.053750) can0 123",
		"(1581668399.053750) can0 12#11",
		"(1581668399.053750) can0 1234#11",
		"(1581668399.053750) can0 800#11",
		"(1581668399.053750) can0 123456789#11",
		"(1581668399.053750) can0 C0000123#11",
		"(1581668399.053750) can0 123#1",
		"(1581668399.053750) can0 123#112",
		"(1581668399.053750) can0 123#11GG",
		"(1581668399.053750) can0 123#112233445566778899",
		"(1581668399.053750) can0 123#1122334455667788_8",
		"(1581668399.053750) can0 123#112233_F",
		"(1581668399.053750) can0 123#R9",
		"(1581668399.053750) can0 123#R7_C",
		"(1581668399.053750) can0 123##",
		"(1581668399.053750) can0 123##G11",
		"(1581668399.053750) can0 20000080##011",
		"(1581668399.053750) can0 123#11 X",
		"(1581668399.053750)can0 123#11",
		"1581668399.053750 can0 123#11",
		"(1581668399,053750) can0 123#11",
		"(-1.5) can0 123#11",
		"garbage",
	};
	char longest[512];

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(lines); i++)
		bad(lines[i]);
	snprintf(longest, sizeof(longest), "(1.5) %0*d 123#11", 64, 7);
	bad(longest);
	strcpy(longest, "(1.5) can0 123##0");
	for (int i = 0; i < 65; i++)
		strcat(longest, "11");
	bad(longest);
	longest[strlen(longest) - 2] = '\0';
	good(longest, 1500000000, 0x123, CANP_FF_FD, 15, 64);
}

static void can_xl_is_reported_as_unsupported(void **state)
{
	struct canp_candump_line l;

	(void)state;
	assert_int_equal(parse("(1.5) can0 01242#81:00:12345678#11223344", &l),
			 CANP_CANDUMP_UNSUPPORTED);
}

static void a_time_beyond_i64_is_a_bad_time(void **state)
{
	struct canp_candump_line l;

	(void)state;
	assert_int_equal(parse("(9223372036.854775807) can0 123#", &l), CANP_CANDUMP_FRAME);
	assert_int_equal(l.ts_ns, INT64_MAX);
	assert_int_equal(parse("(9223372036.854775808) can0 123#", &l), CANP_CANDUMP_BAD_TIME);
	assert_int_equal(parse("(99999999999999999.5) can0 123#", &l), CANP_CANDUMP_BAD_TIME);
}

static struct canp_group *walk_text(const char *text)
{
	return capture_walk(&canp_fmt_candump, false, (const uint8_t *)text, strlen(text),
			    (struct cuts){0});
}

static void interfaces_become_buses_by_their_trailing_digits(void **state)
{
	struct canp_group *g = walk_text("(1.0) can0 123#\n(1.1) vcan12 123#\n(1.2) can0 124#\n"
					 "(1.3) mybus 125#\n");

	(void)state;
	assert_int_equal(g->frames, 4);
	assert_int_equal(g->nr_refs, 3);
	assert_int_equal(g->kept[1].bus, 12);
	assert_string_equal(g->names[1], "vcan12");
	assert_int_equal(g->kept[3].bus, 0);
	capture_free(g);
}

static void more_interfaces_than_the_cache_holds_still_work(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		corpus_printf(&b, "(1.0) can%u 123#\n", i % 100);
	g = capture_all(&canp_fmt_candump, false, &b);
	assert_int_equal(g->frames, 300);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(g->kept[i].bus, i % 100);
	capture_free(g);
	corpus_free(&b);
}

static void dropcount_lines_become_gaps_with_the_time_of_their_neighbour(void **state)
{
	struct canp_group *g =
		walk_text("DROPCOUNT: dropped 1 CAN frame on 'can1' socket (total drops 1)\n"
			  "(1.0) can0 123#\n"
			  "DROPCOUNT: dropped 3 CAN frames on 'can0' socket (total drops 9)\n");

	(void)state;
	assert_int_equal(g->gaps, 2);
	assert_int_equal(g->frames, 1);
	assert_int_equal(g->faults, 0);
	capture_free(g);
}

static void a_bad_line_is_one_fault_at_its_offset(void **state)
{
	struct canp_group *g = walk_text("(1.0) can0 123#\n\n(1.1) can0 12#\n(1.2) can0 124#\r\n");

	(void)state;
	assert_int_equal(g->frames, 2);
	assert_int_equal(g->faults, 1);
	assert_int_equal(g->first[0].code, CANP_FAULT_BAD_TEXT);
	assert_int_equal(g->first[0].offset, 17);
	assert_int_equal(g->first[0].bytes, 14);
	capture_free(g);
}

static void the_last_line_counts_only_when_no_byte_can_be_missing(void **state)
{
	struct canp_group *g = walk_text("(1.0) can0 123#\n(1.1) can0 123#1122334455667788");

	(void)state;
	assert_int_equal(g->frames, 2);
	assert_int_equal(g->faults, 0);
	capture_free(g);
	g = walk_text("(1.0) can0 123#\n(1.1) can0 123#1122");
	assert_int_equal(g->frames, 1);
	assert_int_equal(g->by_code[CANP_FAULT_TRUNCATED], 1);
	assert_int_equal(g->first[0].offset, 16);
	capture_free(g);
}

static void an_endless_line_is_one_fault_and_costs_no_memory(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	corpus_printf(&b, "(1.0) can0 123#\n");
	corpus_fill(&b, 'x', 3000000);
	corpus_printf(&b, "\n(1.1) can0 124#\n");
	g = capture_all(&canp_fmt_candump, false, &b);
	assert_int_equal(g->frames, 2);
	assert_int_equal(g->faults, 1);
	assert_int_equal(g->first[0].offset, 16);
	assert_int_equal(g->first[0].bytes, 3000001);
	capture_free(g);
	capture_same_in_any_windows(&canp_fmt_candump, false, b.p, b.len, 7, 700000);
	corpus_free(&b);
}

static void generated_text_reads_back_exactly(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	corpus_candump(&b, 3, 2000);
	g = capture_all(&canp_fmt_candump, false, &b);
	assert_int_equal(g->frames, 2000);
	assert_int_equal(g->faults, 0);
	assert_int_equal(g->stats.members, 2000);
	assert_int_equal(g->stats.bytes_inflated, b.len);
	capture_is_corpus(g, 3, 0, 2000, true, true);
	capture_free(g);
	corpus_free(&b);
}

static void a_cut_at_any_byte_leaves_the_whole_lines_before_it(void **state)
{
	struct corpus_buf b = {0};

	(void)state;
	corpus_candump(&b, 5, 40);
	for (size_t len = 0; len <= b.len; len++) {
		struct canp_group *g = capture_walk(&canp_fmt_candump, false, b.p, len,
						    (struct cuts){.seed = len + 1, .cut_max = 90});
		size_t lines = 0;

		for (size_t i = 0; i < len; i++)
			lines += b.p[i] == '\n';
		assert_in_range(g->frames, lines, lines + 1);
		capture_is_corpus(g, 5, 0, (unsigned)g->frames, true, true);
		capture_free(g);
	}
	corpus_free(&b);
}

static void flipped_bits_give_the_same_in_any_windows(void **state)
{
	struct corpus_buf b = {0};
	uint64_t rnd = 11;

	(void)state;
	corpus_candump(&b, 6, 60);
	for (unsigned i = 0; i < 1000; i++) {
		size_t at = (size_t)(corpus_rnd(&rnd) >> 20) % b.len;
		uint8_t bit = (uint8_t)(1u << (corpus_rnd(&rnd) >> 61));

		b.p[at] ^= bit;
		capture_same_in_any_windows(&canp_fmt_candump, false, b.p, b.len, i + 1, 200);
		b.p[at] ^= bit;
	}
	corpus_free(&b);
}

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_frame_forms_of_the_log_are_read),
		cmocka_unit_test(fractions_of_one_to_nine_digits_are_scaled),
		cmocka_unit_test(the_console_form_is_read),
		cmocka_unit_test(lines_that_do_not_follow_are_bad_not_guessed),
		cmocka_unit_test(can_xl_is_reported_as_unsupported),
		cmocka_unit_test(a_time_beyond_i64_is_a_bad_time),
		cmocka_unit_test(interfaces_become_buses_by_their_trailing_digits),
		cmocka_unit_test(more_interfaces_than_the_cache_holds_still_work),
		cmocka_unit_test(dropcount_lines_become_gaps_with_the_time_of_their_neighbour),
		cmocka_unit_test(a_bad_line_is_one_fault_at_its_offset),
		cmocka_unit_test(the_last_line_counts_only_when_no_byte_can_be_missing),
		cmocka_unit_test(an_endless_line_is_one_fault_and_costs_no_memory),
		cmocka_unit_test(generated_text_reads_back_exactly),
		cmocka_unit_test(a_cut_at_any_byte_leaves_the_whole_lines_before_it),
		cmocka_unit_test(flipped_bits_give_the_same_in_any_windows),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
