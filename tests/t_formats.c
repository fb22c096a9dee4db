/*
 * t_formats.c - recognising files, the registry, and the gzip wrapper.
 */
#include "tests/lib/capture.h"

#include "io/format/formats.h"
#include "io/format/member.h"

#define SEED 41u

static const struct canp_format *probe(const void *data, size_t len, bool *gz)
{
	size_t bytes = canp_align_up(canp_format_probe_scratch(), (size_t)64);
	const struct canp_format *fmt;
	void *scratch = aligned_alloc(64, bytes);
	uint8_t *exact = malloc(len ? len : 1);

	assert_non_null(scratch);
	assert_non_null(exact);
	memset(scratch, 0xee, bytes);
	if (len)
		memcpy(exact, data, len);
	fmt = canp_format_probe(exact, len, scratch, gz);
	free(exact);
	free(scratch);
	return fmt;
}

static void expect(const struct corpus_buf *b, const struct canp_format *fmt)
{
	struct corpus_buf z = {0};
	bool gz = true;

	assert_ptr_equal(probe(b->p, b->len, &gz), fmt);
	assert_false(gz);
	corpus_gzip(&z, b->p, b->len, 6);
	assert_ptr_equal(probe(z.p, z.len, &gz), fmt);
	assert_true(gz);
	/* The head of a larger file is enough. */
	assert_ptr_equal(probe(z.p, z.len / 2, &gz), fmt);
	corpus_free(&z);
}

static void every_format_is_recognised_plain_and_gzipped(void **state)
{
	struct corpus_buf b = {0};

	(void)state;
	corpus_canp(&b, SEED, 3000, 300);
	expect(&b, &canp_fmt_canp);
	b.len = 0;
	corpus_blf(&b, SEED, 3000, 10000, 2);
	expect(&b, &canp_fmt_blf);
	b.len = 0;
	corpus_candump(&b, SEED, 3000);
	expect(&b, &canp_fmt_candump);
	b.len = 0;
	corpus_printf(&b, "\xef\xbb\xbf\n  \n");
	corpus_candump(&b, SEED, 100);
	expect(&b, &canp_fmt_candump);
	corpus_free(&b);
}

/* Four bytes decide nothing: a serial number may begin with them. */
static void a_logger_named_like_a_magic_is_recognised(void **state)
{
	static const char *const serials[] = {"LOGG", "LOGGER 7", "LOGG0000000000042", "LOBJ",
					      "MDF"};
	struct corpus_buf b = {0}, whole = {0};

	(void)state;
	corpus_canp(&whole, SEED, 3000, 300);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(serials); i++) {
		b.len = 0;
		corpus_add(&b, whole.p, whole.len);
		memset(b.p, 0, 18);
		memcpy(b.p, serials[i], strlen(serials[i]));
		expect(&b, &canp_fmt_canp);
	}
	/* A BLF file whose header length is damaged is still one. */
	b.len = 0;
	corpus_blf(&b, SEED, 3000, 10000, 2);
	memset(b.p + 4, 0xff, 4);
	expect(&b, &canp_fmt_blf);
	corpus_free(&b);
	corpus_free(&whole);
}

static void other_files_are_not_recognised(void **state)
{
	static const char *const texts[] = {"",
					    "\n\n\n",
					    "L",
					    "LOG",
					    "hello world\n",
					    "date Mon Jan 1\nbase hex timestamps absolute\n",
					    ";$FILEVERSION=2.1\n",
					    "(1.0\n",
					    "PK\3\4",
					    "MDF     4.10    ",
					    "\x1f\x8b",
					    "\x1f\x8b\x08\xff",
					    "\x1f\x8b\x08\0\0\0\0\0\0\3\xff\xff\xff\xff"};
	struct corpus_buf b = {0};
	bool gz;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(texts); i++)
		assert_null(probe(texts[i], strlen(texts[i]), &gz));
	corpus_fill(&b, 0, 70000);
	assert_null(probe(b.p, b.len, &gz));
	b.len = 0;
	corpus_fill(&b, 'x', 70000); /* a line without end */
	assert_null(probe(b.p, b.len, &gz));
	corpus_free(&b);
}

static void random_bytes_are_no_log_and_no_crash(void **state)
{
	uint64_t rnd = 5;
	uint8_t p[300];
	bool gz;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		size_t n = (size_t)(corpus_rnd(&rnd) >> 32) % sizeof(p);

		for (size_t k = 0; k < n; k++)
			p[k] = (uint8_t)(corpus_rnd(&rnd) >> 40);
		if (i % 3 == 1 && n > 45)
			memcpy(p + 35, "\x1f\x8b\x08", 3);
		if (i % 3 == 2 && n > 10)
			memcpy(p, "\x1f\x8b\x08\0", 4);
		if (i % 3 != 1)
			assert_null(probe(p, n, &gz));
		else
			probe(p, n, &gz);
	}
}

static void formats_are_found_by_name(void **state)
{
	bool gz;

	(void)state;
	for (const struct canp_format *const *f = canp_formats; *f; f++) {
		char name[64];

		assert_ptr_equal(canp_format_find((*f)->name, &gz), *f);
		assert_false(gz);
		snprintf(name, sizeof(name), "gz+%s", (*f)->name);
		assert_ptr_equal(canp_format_find(name, &gz), *f);
		assert_true(gz);
		assert_true((*f)->scratch_bytes <= canp_walker_bytes());
	}
	assert_null(canp_format_find("gz+", &gz));
	assert_null(canp_format_find("zip", &gz));
}

/* ---- the gzip wrapper ------------------------------------------------------------------------ */

/* The file cut into gzip members of `member` bytes; at[]: where the members start. */
static void gzip_members(struct corpus_buf *z, const struct corpus_buf *b, size_t member,
			 size_t *at)
{
	for (size_t i = 0; i < b->len; i += member) {
		if (at)
			*at++ = z->len;
		corpus_gzip(z, b->p + i, canp_min(member, b->len - i), 6);
	}
	if (at)
		*at = z->len;
}

static void concatenated_members_are_one_file(void **state)
{
	static const size_t sizes[] = {1, 3, 100, 5000, 131072, 131137, 1000000};
	struct corpus_buf b = {0};

	(void)state;
	corpus_candump(&b, SEED, 8000);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		struct corpus_buf z = {0}, part = b;
		unsigned n = 0;
		struct canp_group *g;

		if (sizes[i] < 100)
			part.len = 20000; /* or it takes too long */
		for (size_t k = 0; k < part.len; k++)
			n += part.p[k] == '\n';
		gzip_members(&z, &part, sizes[i], NULL);
		g = capture_all(&canp_fmt_candump, true, &z);
		assert_in_range(g->frames, n, n + 1);
		assert_true(g->faults <= 1); /* the cut last line */
		capture_is_corpus(g, SEED, 0, n, true, true);
		capture_free(g);
		capture_same_in_any_windows(&canp_fmt_candump, true, z.p, z.len, i + 1, 200000);
		corpus_free(&z);
	}
	corpus_free(&b);
}

static void a_bad_block_of_a_blocked_gzip_costs_only_its_lines(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	size_t at[64];
	struct canp_group *g;

	(void)state;
	corpus_candump(&b, SEED, 4000);
	gzip_members(&z, &b, 20000, at);
	z.p[at[3] + 200] ^= 0x20;
	g = capture_all(&canp_fmt_candump, true, &z);
	assert_in_range(g->frames, 4000 - 20000 / 30, 3999);
	assert_int_equal(g->first[0].offset, at[3]);
	assert_false(g->stats.unverified_tail);
	capture_is_corpus(g, SEED, 0, 60000 / 180, true, true);
	capture_free(g);
	capture_same_in_any_windows(&canp_fmt_candump, true, z.p, z.len, 9, 5000);
	corpus_free(&z);
	corpus_free(&b);
}

static void bytes_behind_the_last_member_are_reported_not_fatal(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	struct canp_group *g;
	size_t end;

	(void)state;
	corpus_candump(&b, SEED, 50);
	corpus_gzip(&z, b.p, b.len, 6);
	end = z.len;
	corpus_fill(&z, 0, 1000);
	g = capture_all(&canp_fmt_candump, true, &z);
	assert_int_equal(g->frames, 50);
	assert_int_equal(g->faults, 1);
	assert_int_equal(g->first[0].code, CANP_FAULT_JUNK);
	assert_int_equal(g->first[0].offset, end);
	assert_int_equal(g->first[0].bytes, 1000);
	capture_free(g);
	corpus_free(&z);
	corpus_free(&b);
}

static void a_cut_at_any_byte_keeps_what_was_inflated(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	uint64_t before = 0;

	(void)state;
	corpus_candump(&b, SEED, 60);
	gzip_members(&z, &b, 1500, NULL);
	for (size_t len = 0; len <= z.len; len++) {
		struct canp_group *g = capture_walk(&canp_fmt_candump, true, z.p, len,
						    (struct cuts){.seed = len + 1, .cut_max = 200});

		capture_is_corpus(g, SEED, 0, (unsigned)g->frames, true, true);
		assert_true(g->frames >= before);
		before = g->frames;
		capture_free(g);
	}
	assert_int_equal(before, 60);
	corpus_free(&z);
	corpus_free(&b);
}

/* One large member, as gzip(1) makes it: what came before the error stays and is flagged. */
static void a_corrupt_stream_keeps_its_start_and_says_so(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	struct canp_group *g;

	(void)state;
	corpus_candump(&b, SEED, 12000);
	corpus_gzip(&z, b.p, b.len, 6);
	memset(z.p + z.len * 3 / 4, 0xff, 40);
	g = capture_all(&canp_fmt_candump, true, &z);
	assert_true(g->frames > 7000);
	assert_true(g->faults >= 1);
	assert_true(g->stats.unverified_tail);
	capture_is_corpus(g, SEED, 0, 7000, true, true);
	capture_free(g);
	capture_same_in_any_windows(&canp_fmt_candump, true, z.p, z.len, 8, 70000);
	z.len /= 2;
	g = capture_all(&canp_fmt_candump, true, &z);
	assert_true(g->frames > 4000);
	assert_int_equal(g->by_code[CANP_FAULT_TRUNCATED], 2); /* the member and its last line */
	assert_true(g->stats.unverified_tail);
	capture_free(g);
	corpus_free(&z);
	corpus_free(&b);
}

static void formats_inside_gzip_keep_their_own_guards(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	struct canp_group *g;

	(void)state;
	corpus_blf(&b, SEED, 4000, 20000, 2);
	b.p[b.len / 2] ^= 0x10;
	gzip_members(&z, &b, 30000, NULL);
	g = capture_all(&canp_fmt_blf, true, &z);
	assert_in_range(g->frames, 4000 - 500, 3999);
	assert_int_equal(g->faults, 1);
	capture_free(g);
	capture_same_in_any_windows(&canp_fmt_blf, true, z.p, z.len, 3, 9000);
	corpus_free(&z);
	corpus_free(&b);
}

static void a_gzip_bomb_hits_the_file_limit(void **state)
{
	struct canp_format_opts opts = {.limits = {.file_inflated_max = 4 << 20,
						   .member_inflated_max = 1 << 20,
						   .ratio_max = 2000}};
	struct corpus_buf b = {0}, z = {0};
	struct canp_group *g;

	(void)state;
	corpus_fill(&b, '\n', 16 << 20);
	corpus_gzip(&z, b.p, b.len, 9);
	g = capture_walk(&canp_fmt_candump, true, z.p, z.len, (struct cuts){.opts = &opts});
	assert_int_equal(g->end, CANP_WALK_STOP);
	assert_int_equal(g->by_code[CANP_FAULT_LIMIT], 1);
	capture_free(g);
	opts.limits.ratio_max = 100;
	g = capture_walk(&canp_fmt_candump, true, z.p, z.len, (struct cuts){.opts = &opts});
	assert_true(g->by_code[CANP_FAULT_LIMIT] >= 1);
	assert_true(g->stats.bytes_inflated < 2 << 20);
	capture_free(g);
	corpus_free(&z);
	corpus_free(&b);
}

static void flipped_bits_give_the_same_in_any_windows(void **state)
{
	struct corpus_buf b = {0}, z = {0};
	uint64_t rnd = 29;

	(void)state;
	corpus_candump(&b, SEED, 120);
	gzip_members(&z, &b, 3000, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		size_t at = (size_t)(corpus_rnd(&rnd) >> 20) % z.len;
		uint8_t bit = (uint8_t)(1u << (corpus_rnd(&rnd) >> 61));

		z.p[at] ^= bit;
		capture_same_in_any_windows(&canp_fmt_candump, true, z.p, z.len, i + 1, 300);
		z.p[at] ^= bit;
	}
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
		cmocka_unit_test(every_format_is_recognised_plain_and_gzipped),
		cmocka_unit_test(a_logger_named_like_a_magic_is_recognised),
		cmocka_unit_test(other_files_are_not_recognised),
		cmocka_unit_test(random_bytes_are_no_log_and_no_crash),
		cmocka_unit_test(formats_are_found_by_name),
		cmocka_unit_test(concatenated_members_are_one_file),
		cmocka_unit_test(a_bad_block_of_a_blocked_gzip_costs_only_its_lines),
		cmocka_unit_test(bytes_behind_the_last_member_are_reported_not_fatal),
		cmocka_unit_test(a_cut_at_any_byte_keeps_what_was_inflated),
		cmocka_unit_test(a_corrupt_stream_keeps_its_start_and_says_so),
		cmocka_unit_test(formats_inside_gzip_keep_their_own_guards),
		cmocka_unit_test(a_gzip_bomb_hits_the_file_limit),
		cmocka_unit_test(flipped_bits_give_the_same_in_any_windows),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
