/*
 * t_ahead.c - inflating ahead: that it happens, that the lanes stay full across windows, and that
 * wrong guesses cost little and change nothing. What the walkers deliver with it is compared with
 * what they deliver without it by every test that uses tests/lib/capture.h.
 */
#include "io/format/ahead.h"
#include "io/format/formats.h"
#include "tests/lib/capture.h"

#define SEED 4711u

static struct canp_ahead_stats before;

static void begin(void)
{
	before = *canp_ahead_stats(capture_ahead());
}

static uint64_t taken(void)
{
	return canp_ahead_stats(capture_ahead())->taken - before.taken;
}

static uint64_t dropped(void)
{
	return canp_ahead_stats(capture_ahead())->dropped - before.dropped;
}

/* Calls of the decoder with fewer lanes busy than there are, and all calls. */
static uint64_t calls(uint64_t *not_full)
{
	const struct canp_ahead_stats *s = canp_ahead_stats(capture_ahead());
	uint64_t all = 0;

	for (unsigned i = 1; i <= CANP_INFLATE_LANES; i++)
		all += s->lanes[i] - before.lanes[i];
	*not_full = all - (s->lanes[CANP_INFLATE_LANES] - before.lanes[CANP_INFLATE_LANES]);
	return all;
}

static void every_member_of_a_sound_file_comes_from_a_full_decoder(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;
	uint64_t not_full;

	(void)state;
	corpus_canp(&b, SEED, 30000, 300);
	begin();
	g = capture_all(&canp_fmt_canp, false, &b);
	assert_int_equal(g->frames, 30000);
	assert_int_equal(taken(), 100);
	assert_int_equal(dropped(), 0);
	assert_int_equal(calls(&not_full), 100);
	assert_int_equal(not_full, CANP_INFLATE_LANES - 1);
	capture_free(g);
	corpus_free(&b);
	begin();
	corpus_blf(&b, SEED, 30000, 4000, 2);
	g = capture_all(&canp_fmt_blf, false, &b);
	assert_int_equal(g->frames, 30000);
	assert_int_equal(taken(), g->stats.members);
	calls(&not_full);
	assert_int_equal(not_full, CANP_INFLATE_LANES - 1);
	capture_free(g);
	corpus_free(&b);
}

/* The end of a window is not the end of the file: members stay in flight. */
static void the_decoder_does_not_run_empty_between_windows(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;
	uint64_t not_full;

	(void)state;
	corpus_canp(&b, SEED, 60000, 300);
	begin();
	g = capture_walk(&canp_fmt_canp, false, b.p, b.len,
			 (struct cuts){.seed = 3, .cut_max = b.len / 10, .pausing = true});
	assert_int_equal(g->frames, 60000);
	assert_int_equal(taken(), 200);
	assert_int_equal(dropped(), 0);
	calls(&not_full);
	assert_in_range(not_full, 0, 2 * CANP_INFLATE_LANES);
	capture_free(g);
	corpus_free(&b);
}

static void one_bad_member_costs_no_guess(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	corpus_canp(&b, SEED, 9000, 300);
	b.p[b.len / 2 + 900] ^= 0x10;
	begin();
	g = capture_all(&canp_fmt_canp, false, &b);
	assert_int_equal(g->frames, 9000 - 300);
	assert_int_equal(taken(), 30);
	assert_int_equal(dropped(), 0);
	capture_free(g);
	corpus_free(&b);
}

/* Each block is a sound member whose length field leads over the next one to a chain of members far
 * behind. The member proves itself, so the walker goes on right behind it, and every guess was for
 * nothing. */
static void files_made_to_mislead_are_not_guessed_at_for_long(void **state)
{
	struct corpus_buf raw = {0}, one = {0}, b = {0};
	struct canp_group *g;
	unsigned n = 2000;
	size_t step;

	(void)state;
	corpus_canp_record(&raw, SEED, 0, 2);
	corpus_canp_block(&one, "LOG", &raw, 6);
	step = one.len;
	for (unsigned i = 0; i < n; i++)
		corpus_add(&b, one.p, one.len);
	for (unsigned i = 0; i + 10 < n; i++) {
		uint8_t *len = b.p + i * step + 31;
		size_t wrong = 3 * step - 35;

		len[2] = (uint8_t)(wrong >> 8);
		len[3] = (uint8_t)wrong;
	}
	begin();
	g = capture_all(&canp_fmt_canp, false, &b);
	assert_int_equal(g->frames, 2 * n);
	assert_in_range(dropped(), 8, 100);
	capture_free(g);
	corpus_free(&raw);
	corpus_free(&one);
	corpus_free(&b);
}

/* What was decoded for one file never gets into the next one, even at the same place. */
static void a_file_given_up_leaves_nothing_behind(void **state)
{
	static const struct canp_format_opts opts = {.canp_ts_mul = 1000};
	struct corpus_buf a = {0}, b = {0};
	struct canp_group *g = calloc(1, sizeof(*g));
	struct canp_format_host host = {.arg = g,
					.group = g,
					.opts = &opts,
					.fault = capture_fault,
					.device = capture_device,
					.should_pause = capture_pause,
					.ahead = capture_ahead()};
	struct canp_format_stats stats;
	struct canp_walker *w;
	uint8_t *copy;
	size_t used;
	void *mem;

	(void)state;
	corpus_canp(&a, SEED, 6000, 300);
	corpus_canp(&b, SEED + 1, 6000, 300);
	assert_non_null(g);
	g->kept = calloc(CAPTURE_KEEP, sizeof(*g->kept));
	g->pausing = true;
	mem = aligned_alloc(64, canp_align_up(canp_walker_bytes(), (size_t)64));
	copy = malloc(a.len + CANP_FORMAT_TAIL_PAD);
	assert_true(g->kept && mem && copy);
	memcpy(copy, a.p, a.len);
	memset(copy + a.len, 0, CANP_FORMAT_TAIL_PAD);
	begin();
	w = canp_walker_open(mem, &canp_fmt_canp, false, &host, a.len);
	assert_int_equal(canp_walker_walk(w, copy, a.len, 0, true, &used), CANP_WALK_PAUSED);
	assert_in_range(used, 1, a.len / 2);
	canp_walker_close(w, &stats);
	free(copy); /* nothing in flight may read it any more */
	free(mem);
	capture_free(g);
	g = capture_all(&canp_fmt_canp, false, &b);
	capture_is_corpus(g, SEED + 1, 0, 6000, false, false);
	assert_in_range(dropped(), 3, 8);
	capture_free(g);
	corpus_free(&a);
	corpus_free(&b);
}

static void the_engine_follows_the_option_and_the_processor(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(canp_ahead_engine(CANP_INFLATE_ISAL, &why), CANP_INFLATE_ISAL);
	assert_string_equal(why, "as asked");
	if (canp_simd.isa >= CANP_ISA_AVX2) {
		assert_int_equal(canp_ahead_engine(CANP_INFLATE_AUTO, &why),
				 CANP_INFLATE_INTERLEAVED);
		assert_int_equal(canp_ahead_engine(CANP_INFLATE_INTERLEAVED, &why),
				 CANP_INFLATE_INTERLEAVED);
	}
	assert_int_equal(canp_simd_init(CANP_ISA_SCALAR, NULL), 0);
	assert_int_equal(canp_ahead_engine(CANP_INFLATE_AUTO, &why), CANP_INFLATE_ISAL);
	assert_non_null(strstr(why, "AVX2"));
	assert_int_equal(canp_ahead_engine(CANP_INFLATE_INTERLEAVED, &why), CANP_INFLATE_SCALAR);
	assert_string_equal(canp_ahead_engine_name(CANP_INFLATE_SCALAR), "scalar");
	assert_int_equal(canp_simd_init(CANP_ISA_AUTO, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_member_of_a_sound_file_comes_from_a_full_decoder),
		cmocka_unit_test(the_decoder_does_not_run_empty_between_windows),
		cmocka_unit_test(one_bad_member_costs_no_guess),
		cmocka_unit_test(files_made_to_mislead_are_not_guessed_at_for_long),
		cmocka_unit_test(a_file_given_up_leaves_nothing_behind),
		cmocka_unit_test(the_engine_follows_the_option_and_the_processor),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
