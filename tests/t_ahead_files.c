/*
 * t_ahead_files.c - small files feed the lanes together: the starts of the next files are offered
 * while one is walked. What comes out of each file must be what comes out of it alone, whatever is
 * damaged, left out or taken back.
 */
#include "io/format/ahead.h"
#include "io/format/formats.h"
#include "tests/lib/capture.h"

#define SEED  815u
#define FILES 120u

struct file {
	const struct canp_format *fmt;
	struct corpus_buf b;
	uint8_t *win; /* a copy in a window of its own while offered */
};

static struct file files[FILES];
static struct canp_ahead *ahead;
static struct canp_ahead_stats before;

/* One to three members, every third file a BLF. */
static void files_make(uint64_t seed)
{
	memset(files, 0, sizeof(files));
	for (unsigned i = 0; i < FILES; i++) {
		struct file *f = &files[i];

		f->fmt = i % 3 == 2 ? &canp_fmt_blf : &canp_fmt_canp;
		if (i % 3 == 2)
			corpus_blf(&f->b, seed + i, 700, 12000, 2);
		else
			corpus_canp(&f->b, seed + i, 300 + 300 * (i % 3), 300);
	}
	ahead = capture_ahead();
	before = *canp_ahead_stats(ahead);
}

static void files_free(void)
{
	for (unsigned i = 0; i < FILES; i++) {
		corpus_free(&files[i].b);
		free(files[i].win);
	}
}

static void file_offer(unsigned i)
{
	struct file *f = &files[i];

	f->win = malloc(f->b.len + 1); /* + 1: an empty file has a window, too */
	assert_non_null(f->win);
	memcpy(f->win, f->b.p, f->b.len);
	canp_ahead_offer(ahead, i + 1, f->fmt->ahead, f->win, f->b.len);
}

static void file_walk(unsigned i, struct cuts cuts)
{
	struct file *f = &files[i];
	struct canp_group *alone = capture_once(f->fmt, false, f->b.p, f->b.len, cuts, NULL), *g;

	/* From here on the host may move the window. */
	free(f->win);
	f->win = NULL;
	canp_ahead_next(ahead, i + 1);
	g = capture_once(f->fmt, false, f->b.p, f->b.len, cuts, ahead);
	capture_equal(alone, g);
	capture_free(alone);
	capture_free(g);
}

static uint64_t calls_not_full(void)
{
	const struct canp_ahead_stats *s = canp_ahead_stats(ahead);
	uint64_t n = 0;

	for (unsigned i = 1; i < CANP_INFLATE_LANES; i++)
		n += s->lanes[i] - before.lanes[i];
	return n;
}

/* Keeps as many offered as there are places. */
static void walk_all(unsigned offers, struct cuts cuts)
{
	unsigned offered = 1;

	for (unsigned i = 0; i < FILES; i++) {
		while (offered < FILES && offered < i + 1 + offers)
			file_offer(offered++);
		file_walk(i, cuts);
	}
}

static void small_files_fill_the_lanes_together(void **state)
{
	uint64_t alone, together;

	(void)state;
	files_make(SEED);
	walk_all(0, (struct cuts){0});
	alone = calls_not_full();
	files_free();
	files_make(SEED);
	walk_all(CANP_AHEAD_OFFERS, (struct cuts){0});
	together = calls_not_full();
	assert_int_equal(canp_ahead_stats(ahead)->dropped, before.dropped);
	assert_true(canp_ahead_stats(ahead)->early - before.early > FILES);
	assert_true(together * 2 < alone);
	files_free();
}

static void in_any_windows_with_any_number_of_offers(void **state)
{
	(void)state;
	for (unsigned offers = 0; offers <= CANP_AHEAD_OFFERS; offers++) {
		files_make(SEED + offers);
		walk_all(offers,
			 (struct cuts){.seed = offers, .cut_max = 5000, .pausing = offers & 1});
		files_free();
	}
}

static void damage_stays_in_its_file(void **state)
{
	uint64_t rnd = SEED;

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		files_make(SEED + round);
		for (unsigned i = 0; i < FILES; i++) {
			struct corpus_buf *b = &files[i].b;
			uint64_t r = corpus_rnd(&rnd) >> 8;

			if (r % 3 == 0)
				b->p[(r >> 8) % b->len] ^= (uint8_t)(1u << (r >> 40) % 8);
			else if (r % 7 == 0)
				b->len = (r >> 8) % (b->len + 1);
		}
		walk_all(CANP_AHEAD_OFFERS, (struct cuts){0});
		files_free();
	}
}

/* Offered files that are never opened, as when a unit is given up. */
static void files_left_out_leave_nothing_behind(void **state)
{
	unsigned offered = 1;

	(void)state;
	files_make(SEED);
	for (unsigned i = 0; i < FILES; i += 1 + i % 4) {
		offered = canp_max(offered, i + 1);
		while (offered < FILES && offered < i + 1 + CANP_AHEAD_OFFERS)
			file_offer(offered++);
		file_walk(i, (struct cuts){0});
	}
	files_free();
}

static void windows_may_be_taken_back(void **state)
{
	(void)state;
	files_make(SEED);
	for (unsigned i = 0; i + 3 < FILES; i++) {
		if (i % 3 == 0) {
			file_offer(i + 1);
			file_offer(i + 2);
		}
		file_walk(i, (struct cuts){0});
		if (i % 6 != 0)
			continue;
		canp_ahead_withdraw(ahead);
		for (unsigned o = i + 1; o <= i + 2; o++) {
			free(files[o].win);
			files[o].win = NULL;
		}
	}
	files_free();
}

static void what_cannot_be_told_is_not_offered(void **state)
{
	static const uint8_t text[] = "(1436509052.249713) vcan0 044#2A366C2BBA";
	static const uint8_t zero[64];

	(void)state;
	ahead = capture_ahead();
	assert_null(canp_fmt_candump.ahead);
	assert_false(canp_ahead_offer(ahead, 1, canp_fmt_candump.ahead, text, sizeof(text)));
	assert_false(canp_ahead_offer(ahead, 1, canp_fmt_canp.ahead, text, sizeof(text)));
	assert_false(canp_ahead_offer(ahead, 1, canp_fmt_blf.ahead, zero, sizeof(zero)));
	assert_false(canp_ahead_offer(ahead, 1, canp_fmt_blf.ahead, zero, 0));
	assert_false(canp_ahead_offer(NULL, 1, canp_fmt_blf.ahead, zero, sizeof(zero)));
}

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_files_fill_the_lanes_together),
		cmocka_unit_test(in_any_windows_with_any_number_of_offers),
		cmocka_unit_test(damage_stays_in_its_file),
		cmocka_unit_test(files_left_out_leave_nothing_behind),
		cmocka_unit_test(windows_may_be_taken_back),
		cmocka_unit_test(what_cannot_be_told_is_not_offered),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
