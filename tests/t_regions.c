/*
 * t_regions.c - mapped logs cut into parts that threads walk at the same time: together they
 * deliver what one walker delivers from the front, frame by frame, for sound and for damaged files.
 */
#include "tests/lib/capture.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "io/format/formats.h"
#include "io/format/regions.h"
#include "io/source/mapfile.h"

#define PARTS 16u

struct part {
	pthread_t th;
	const struct canp_format *fmt;
	const uint8_t *data;
	size_t len;
	struct canp_group *g;
};

static void *walk_part(void *arg)
{
	struct part *p = arg;

	p->g = capture_once(p->fmt, false, p->data, p->len, (struct cuts){0}, NULL);
	return NULL;
}

static void map_bytes(struct canp_mapfile *m, const struct corpus_buf *b)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b->p, b->len), b->len);
	assert_int_equal(canp_mapfile_open(m, fd, b->len, CANP_FORMAT_TAIL_PAD, true), 0);
	close(fd);
}

static void same_frame(const struct canp_group *a, const struct captured *x,
		       const struct canp_group *b, const struct captured *y)
{
	struct captured u = *x, v = *y;

	/* Numbers of devices are given in the order in which a walker meets them. */
	assert_string_equal(x->device ? a->devices[x->device - 1] : "",
			    y->device ? b->devices[y->device - 1] : "");
	u.device = v.device = 0;
	assert_memory_equal(&u, &v, sizeof(u));
}

/* Returns how many parts there were. */
static unsigned parts_equal_the_whole(const struct canp_format *fmt, const struct corpus_buf *b,
				      unsigned want)
{
	struct part parts[PARTS];
	uint64_t at[PARTS + 1], frame = 0, faults = 0;
	struct canp_mapfile m;
	struct canp_group *whole;
	unsigned nr;

	map_bytes(&m, b);
	whole = capture_once(fmt, false, b->p, b->len, (struct cuts){0}, NULL);
	assert_true(whole->frames <= CAPTURE_KEEP);
	nr = canp_regions_cut(fmt, false, m.base, b->len, want, at);
	assert_in_range(nr, 1, want);
	assert_int_equal(at[0], 0);
	assert_int_equal(at[nr], b->len);
	for (unsigned i = 0; i < nr; i++) {
		assert_true(at[i] < at[i + 1]);
		parts[i] =
			(struct part){.fmt = fmt, .data = m.base + at[i], .len = at[i + 1] - at[i]};
		assert_int_equal(pthread_create(&parts[i].th, NULL, walk_part, &parts[i]), 0);
	}
	for (unsigned i = 0; i < nr; i++) {
		const struct canp_group *g;

		pthread_join(parts[i].th, NULL);
		g = parts[i].g;
		assert_true(frame + g->frames <= whole->frames);
		for (uint64_t k = 0; k < g->frames; k++, frame++)
			same_frame(g, &g->kept[k], whole, &whole->kept[frame]);
		faults += g->faults;
		capture_free(parts[i].g);
	}
	assert_int_equal(frame, whole->frames);
	assert_int_equal(faults, whole->faults);
	capture_free(whole);
	canp_mapfile_close(&m);
	return nr;
}

static void C22_parts_of_a_mapped_log_walked_at_once_equal_the_whole(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 6; seed++) {
		struct corpus_buf canp = {0}, text = {0}, blf = {0};

		corpus_canp(&canp, seed, 6000, 60);
		corpus_candump(&text, seed, 3000);
		corpus_blf(&blf, seed, 1000, 16384, 2);
		for (unsigned want = 1; want <= PARTS; want += seed) {
			assert_int_equal(parts_equal_the_whole(&canp_fmt_canp, &canp, want), want);
			assert_int_equal(parts_equal_the_whole(&canp_fmt_candump, &text, want),
					 want);
			/* Its objects need the head of the file. */
			assert_int_equal(parts_equal_the_whole(&canp_fmt_blf, &blf, want), 1);
		}
		corpus_free(&canp);
		corpus_free(&text);
		corpus_free(&blf);
	}
}

static void C22_a_damaged_log_is_cut_only_where_that_is_certain(void **state)
{
	unsigned cut = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct corpus_buf b = {0};
		uint64_t rnd = seed;

		corpus_canp(&b, seed, 2000, 50);
		for (unsigned i = 0; i < seed % 3 + 1; i++)
			b.p[(corpus_rnd(&rnd) >> 16) % b.len] ^= 1u << (corpus_rnd(&rnd) >> 60 & 7);
		if (seed % 4 == 0)
			b.len -= b.len / 3;
		cut += parts_equal_the_whole(&canp_fmt_canp, &b, 8);
		corpus_free(&b);
	}
	assert_true(cut > 60 * 2);
}

static void short_and_odd_files_stay_whole(void **state)
{
	static uint8_t bytes[100] = {0};
	uint64_t at[9];

	(void)state;
	for (uint64_t len = 0; len <= sizeof(bytes); len++) {
		assert_int_equal(canp_regions_cut(&canp_fmt_canp, false, bytes, len, 8, at), 1);
		assert_int_equal(at[1], len);
		assert_int_equal(canp_regions_cut(&canp_fmt_candump, true, bytes, len, 8, at), 1);
	}
	/* A length that leads behind the end, or far beyond it. */
	memset(bytes + 31, 0xff, 4);
	memcpy(bytes + 35, "\x1f\x8b\x08", 3);
	assert_int_equal(canp_regions_cut(&canp_fmt_canp, false, bytes, sizeof(bytes), 8, at), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C22_parts_of_a_mapped_log_walked_at_once_equal_the_whole),
		cmocka_unit_test(C22_a_damaged_log_is_cut_only_where_that_is_certain),
		cmocka_unit_test(short_and_odd_files_stay_whole),
	};

	if (canp_simd_init(CANP_ISA_AUTO, NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
