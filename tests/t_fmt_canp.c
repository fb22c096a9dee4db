/*
 * t_fmt_canp.c - the CANP container: structure, damage, cuts, hostile lengths, bombs, windows.
 */
#include "tests/lib/capture.h"

#include "io/format/formats.h"
#include "io/format/member.h"

#define SEED 21u

static struct canp_group *walk(const struct corpus_buf *b)
{
	return capture_all(&canp_fmt_canp, false, b);
}

/* A raw member of n frames starting at frame `from`, in records of 50. */
static void raw_frames(struct corpus_buf *raw, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i += 50)
		corpus_canp_record(raw, SEED, from + i, from + (i + 50 < n ? i + 50 : n));
}

static void frames_and_devices_of_a_sound_file_come_out(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	corpus_canp(&b, SEED, 1000, 100);
	g = walk(&b);
	assert_int_equal(g->frames, 1000);
	assert_int_equal(g->faults, 0);
	assert_int_equal(g->stats.members, 10);
	assert_false(g->stats.unverified_tail);
	capture_is_corpus(g, SEED, 0, 1000, false, false);
	assert_int_equal(g->nr_devices, 2);
	assert_string_equal(g->devices[0], "DEV-A");
	assert_string_equal(g->devices[1], "DEV-B");
	assert_int_equal(g->kept[499].device, 1);
	assert_int_equal(g->kept[500].device, 2);
	capture_free(g);
	corpus_free(&b);
}

static void serials_are_trimmed_and_odd_bytes_written_as_hex(void **state)
{
	static const char *const serials[] = {"  spaced name  ",
					      "\x01"
					      "A\xff"
					      "z",
					      "", "123456789012345678"};
	static const char *const names[] = {"spaced name", "\\x01A\\xFFz", "123456789012345678"};
	struct corpus_buf b = {0}, raw = {0};
	struct canp_group *g;

	(void)state;
	raw_frames(&raw, 0, 1);
	for (unsigned i = 0; i < 4; i++)
		corpus_canp_block(&b, serials[i], &raw, 6);
	g = walk(&b);
	assert_int_equal(g->frames, 4);
	assert_int_equal(g->nr_devices, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(g->devices[i], names[i]);
	assert_int_equal(g->kept[2].device, 0);
	capture_free(g);
	corpus_free(&raw);
	corpus_free(&b);
}

static void empty_records_and_empty_members_are_no_damage(void **state)
{
	struct corpus_buf b = {0}, raw = {0};
	struct canp_group *g;

	(void)state;
	corpus_canp_block(&b, "D", &raw, 6);
	corpus_canp_record(&raw, SEED, 0, 0);
	corpus_canp_record(&raw, SEED, 0, 10);
	corpus_canp_record(&raw, SEED, 0, 0);
	corpus_canp_block(&b, "D", &raw, 6);
	g = walk(&b);
	assert_int_equal(g->frames, 10);
	assert_int_equal(g->faults, 0);
	capture_free(g);
	corpus_free(&raw);
	corpus_free(&b);
}

/* Sizes around the hold buffer, the window and the decoder's pieces; stored deflate blocks make the
 * compressed member as large as its content. */
static void members_of_every_size_class_are_read(void **state)
{
	static const unsigned frames[] = {1, 5000, 5400, 5461, 5500, 12000, 16000};

	(void)state;
	for (int level = 0; level <= 6; level += 6)
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(frames); i++) {
			struct corpus_buf b = {0}, raw = {0};
			struct canp_group *g;

			raw_frames(&raw, 0, frames[i]);
			corpus_canp_block(&b, "D", &raw, level);
			corpus_canp_block(&b, "D", &raw, level);
			g = walk(&b);
			assert_int_equal(g->frames, 2 * frames[i]);
			assert_int_equal(g->faults, 0);
			assert_int_equal(g->stats.bytes_inflated, 2 * raw.len);
			capture_is_corpus(g, SEED, 0, frames[i], false, false);
			capture_free(g);
			capture_same_in_any_windows(&canp_fmt_canp, false, b.p, b.len, i * 2 + 3,
						    300000);
			corpus_free(&raw);
			corpus_free(&b);
		}
}

static void a_cut_at_any_byte_keeps_the_whole_frames_before_it(void **state)
{
	struct corpus_buf b = {0};
	uint64_t before = 0;

	(void)state;
	corpus_canp(&b, SEED, 60, 20);
	for (size_t len = 0; len <= b.len; len++) {
		struct canp_group *g = capture_walk(&canp_fmt_canp, false, b.p, len,
						    (struct cuts){.seed = len + 1, .cut_max = 300});

		capture_is_corpus(g, SEED, 0, (unsigned)g->frames, false, false);
		assert_true(g->frames >= before);
		before = g->frames;
		if (len && len < b.len)
			assert_true(g->faults == 1 || g->stats.members == 3 || g->frames % 20 == 0);
		assert_true(g->faults <= 1);
		capture_free(g);
	}
	assert_int_equal(before, 60);
	corpus_free(&b);
}

static void a_bad_member_costs_only_itself(void **state)
{
	struct corpus_buf b = {0}, raw = {0};
	size_t at[4];
	struct canp_group *g;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		at[i] = b.len;
		raw.len = 0;
		raw_frames(&raw, i * 300, 300);
		corpus_canp_block(&b, "D", &raw, 6);
	}
	b.p[at[2] - 8] ^= 1; /* CRC of the second */
	g = walk(&b);
	assert_int_equal(g->frames, 900);
	assert_int_equal(g->by_code[CANP_FAULT_BAD_CHECKSUM], 1);
	assert_int_equal(g->faults, 1);
	assert_int_equal(g->first[0].offset, at[1]);
	assert_int_equal(g->first[0].bytes, at[2] - at[1]);
	assert_false(g->stats.unverified_tail);
	capture_is_corpus(g, SEED, 0, 300, false, false);
	capture_free(g);
	b.p[at[2] - 8] ^= 1;
	memset(b.p + at[1] + 35 + 40, 0xff, 30); /* its deflate data */
	g = walk(&b);
	assert_int_equal(g->frames, 900);
	assert_int_equal(g->faults, 1);
	capture_free(g);
	corpus_free(&raw);
	corpus_free(&b);
}

/* Nothing is lost when only the length is wrong: the member proves itself. */
static void a_wrong_length_field_loses_nothing(void **state)
{
	static const uint32_t flips[] = {1u << 31, 1u << 24, 1u << 19, 1u << 16, 1u << 9, 4, 1};

	(void)state;
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(flips); k++) {
		struct corpus_buf b = {0}, raw = {0};
		size_t second = 0;
		struct canp_group *g;

		for (unsigned i = 0; i < 6; i++) {
			if (i == 1)
				second = b.len;
			raw.len = 0;
			raw_frames(&raw, i * 300, 300);
			corpus_canp_block(&b, "D", &raw, 6);
		}
		canp_put_be32(b.p + second + 31, canp_be32(b.p + second + 31) ^ flips[k]);
		g = walk(&b);
		assert_int_equal(g->frames, 1800);
		assert_int_equal(g->by_code[CANP_FAULT_BAD_LENGTH], 1);
		assert_int_equal(g->first[0].offset, second);
		capture_is_corpus(g, SEED, 0, 1800, false, false);
		capture_free(g);
		capture_same_in_any_windows(&canp_fmt_canp, false, b.p, b.len, k * 2 + 1, 999);
		corpus_free(&raw);
		corpus_free(&b);
	}
}

static void junk_between_blocks_is_one_fault(void **state)
{
	struct corpus_buf b = {0}, one = {0};
	struct canp_group *g;
	size_t at;

	(void)state;
	corpus_canp(&one, SEED, 100, 100);
	corpus_add(&b, one.p, one.len);
	at = b.len;
	corpus_fill(&b, 0x1f, 148);
	corpus_add(&b, one.p, one.len);
	corpus_fill(&b, 0, 20);
	g = walk(&b);
	assert_int_equal(g->frames, 200);
	assert_int_equal(g->faults, 2);
	assert_int_equal(g->by_code[CANP_FAULT_JUNK], 2);
	assert_int_equal(g->first[0].offset, at);
	assert_int_equal(g->first[0].bytes, 148);
	assert_int_equal(g->first[1].bytes, 20);
	capture_free(g);
	corpus_free(&one);
	corpus_free(&b);
}

/* Lengths inside a member whose checksum is right: the writer was wrong, nothing may overrun. */
static void hostile_lengths_inside_a_member_are_bounded(void **state)
{
	static const uint32_t lengths[] = {0xffffffff, 0x80000000, 0x7fffffff, 1,   15,
					   17,         23,         25,         1000};

	(void)state;
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(lengths); k++)
		for (unsigned field = 0; field < 2; field++) {
			struct corpus_buf b = {0}, raw = {0};
			struct canp_group *g;

			raw_frames(&raw, 0, 40);
			canp_put_be32(raw.p + (field ? 20 + 12 : 16), lengths[k]);
			corpus_canp_block(&b, "D", &raw, 6);
			raw.len = 0;
			raw_frames(&raw, 40, 10);
			corpus_canp_block(&b, "D", &raw, 6);
			g = walk(&b);
			assert_in_range(g->frames, 10, 90);
			assert_in_range(g->by_code[CANP_FAULT_BAD_LENGTH], 1, 1);
			assert_int_equal(g->faults, 1);
			capture_free(g);
			corpus_free(&raw);
			corpus_free(&b);
		}
}

static void a_corrupt_large_member_keeps_the_frames_before_the_error(void **state)
{
	struct corpus_buf b = {0}, raw = {0};
	struct canp_group *g;
	size_t second;

	(void)state;
	raw_frames(&raw, 0, 15000);
	corpus_canp_block(&b, "D", &raw, 6);
	second = b.len;
	corpus_canp_block(&b, "D", &raw, 6);
	memset(b.p + second / 2, 0xff, 64);
	g = walk(&b);
	assert_true(g->frames > 15000 + 5000);
	assert_int_equal(g->faults, 1);
	assert_true(g->stats.unverified_tail);
	capture_is_corpus(g, SEED, 0, 5000, false, false);
	capture_free(g);
	capture_same_in_any_windows(&canp_fmt_canp, false, b.p, b.len, 5, 50000);
	corpus_free(&raw);
	corpus_free(&b);
}

/* Compressed members above the window: level 0 stores them. */
static void a_corrupt_member_beyond_the_window_is_skipped(void **state)
{
	struct corpus_buf b = {0}, raw = {0};
	struct canp_group *g;
	size_t second;

	(void)state;
	raw_frames(&raw, 0, 40000);
	corpus_canp_block(&b, "D", &raw, 0);
	second = b.len;
	raw.len = 0;
	raw_frames(&raw, 40000, 100);
	corpus_canp_block(&b, "D", &raw, 0);
	b.p[second - 8] ^= 4;
	g = walk(&b);
	assert_int_equal(g->frames, 40100);
	assert_int_equal(g->by_code[CANP_FAULT_BAD_CHECKSUM], 1);
	assert_true(g->stats.unverified_tail);
	capture_free(g);
	for (size_t at = 100; at < second; at += 150001) {
		uint8_t saved[8];

		memcpy(saved, b.p + at, 8);
		memset(b.p + at, 0xff, 8);
		capture_same_in_any_windows(&canp_fmt_canp, false, b.p, b.len, at, 400000);
		memcpy(b.p + at, saved, 8);
	}
	for (size_t len = second - 300000; len < second; len += 77777)
		capture_same_in_any_windows(&canp_fmt_canp, false, b.p, len, len, 200000);
	corpus_free(&raw);
	corpus_free(&b);
}

static void bombs_hit_the_limits(void **state)
{
	struct canp_format_opts opts = {.canp_ts_mul = 1000,
					.limits = {.file_inflated_max = 3 << 20,
						   .member_inflated_max = 8 << 20,
						   .ratio_max = 100}};
	struct corpus_buf b = {0}, raw = {0};
	struct canp_group *g;

	(void)state;
	corpus_fill(&raw, 0, 6 << 20);
	corpus_canp_block(&b, "D", &raw, 9);
	corpus_canp(&b, SEED, 50, 50);
	g = capture_walk(&canp_fmt_canp, false, b.p, b.len, (struct cuts){.opts = &opts});
	assert_true(g->by_code[CANP_FAULT_LIMIT] >= 1);
	assert_int_equal(g->frames,
			 50); /* the ratio stops the bomb after a MiB, the file goes on */
	capture_free(g);
	opts.limits.ratio_max = 100000;
	g = capture_walk(&canp_fmt_canp, false, b.p, b.len, (struct cuts){.opts = &opts});
	assert_int_equal(g->by_code[CANP_FAULT_LIMIT], 1);
	assert_int_equal(g->end, CANP_WALK_STOP);
	capture_free(g);
	opts.limits.file_inflated_max = 1ull << 40;
	opts.limits.member_inflated_max = 1 << 20;
	g = capture_walk(&canp_fmt_canp, false, b.p, b.len, (struct cuts){.opts = &opts});
	assert_int_equal(g->by_code[CANP_FAULT_LIMIT], 1);
	assert_int_equal(g->frames, 50);
	capture_free(g);
	corpus_free(&raw);
	corpus_free(&b);
}

static void flipped_bits_give_the_same_in_any_windows(void **state)
{
	struct corpus_buf b = {0};
	uint64_t rnd = 17, frames = 0;

	(void)state;
	corpus_canp(&b, SEED, 200, 40);
	for (unsigned i = 0; i < 1000; i++) {
		size_t at = (size_t)(corpus_rnd(&rnd) >> 20) % b.len;
		uint8_t bit = (uint8_t)(1u << (corpus_rnd(&rnd) >> 61));
		struct canp_group *g;

		b.p[at] ^= bit;
		capture_same_in_any_windows(&canp_fmt_canp, false, b.p, b.len, i + 1, 400);
		g = walk(&b);
		assert_true(g->frames >= 160); /* at most one block is lost */
		frames += g->frames;
		capture_free(g);
		b.p[at] ^= bit;
	}
	assert_true(frames > 160 * 1000);
	corpus_free(&b);
}

/* Nothing but headers with false promises: the work must stay in proportion to the file. */
static void a_file_of_false_headers_ends(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		corpus_fill(&b, 'S', 31);
		corpus_be32(&b, 100000);
		corpus_add(&b, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10);
		corpus_add(&b, "\x00\xff\xff\x00\x00", 5); /* a stored block of 64 KiB */
	}
	corpus_canp(&b, SEED, 30, 30);
	g = walk(&b);
	assert_true(g->by_code[CANP_FAULT_LIMIT] == 1 ? g->end == CANP_WALK_STOP : g->frames == 30);
	assert_true(g->faults >= 1000);
	capture_free(g);
	corpus_free(&b);
}

static void a_gzipped_file_reads_the_same(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	struct canp_group *g;

	(void)state;
	corpus_canp(&b, SEED, 1000, 100);
	corpus_gzip(&z, b.p, b.len, 6);
	g = capture_all(&canp_fmt_canp, true, &z);
	assert_int_equal(g->frames, 1000);
	assert_int_equal(g->faults, 0);
	capture_is_corpus(g, SEED, 0, 1000, false, false);
	capture_free(g);
	corpus_free(&z);
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
		cmocka_unit_test(frames_and_devices_of_a_sound_file_come_out),
		cmocka_unit_test(serials_are_trimmed_and_odd_bytes_written_as_hex),
		cmocka_unit_test(empty_records_and_empty_members_are_no_damage),
		cmocka_unit_test(members_of_every_size_class_are_read),
		cmocka_unit_test(a_cut_at_any_byte_keeps_the_whole_frames_before_it),
		cmocka_unit_test(a_bad_member_costs_only_itself),
		cmocka_unit_test(a_wrong_length_field_loses_nothing),
		cmocka_unit_test(junk_between_blocks_is_one_fault),
		cmocka_unit_test(hostile_lengths_inside_a_member_are_bounded),
		cmocka_unit_test(a_corrupt_large_member_keeps_the_frames_before_the_error),
		cmocka_unit_test(a_corrupt_member_beyond_the_window_is_skipped),
		cmocka_unit_test(bombs_hit_the_limits),
		cmocka_unit_test(flipped_bits_give_the_same_in_any_windows),
		cmocka_unit_test(a_file_of_false_headers_ends),
		cmocka_unit_test(a_gzipped_file_reads_the_same),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
