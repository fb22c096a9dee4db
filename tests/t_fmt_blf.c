/*
 * t_fmt_blf.c - Vector BLF: object types, straddling, padding, damage, cuts, bombs, windows, and
 * the reference files when they are there.
 */
#include "tests/lib/capture.h"

#include <sys/stat.h>

#include "io/format/formats.h"
#include "io/format/member.h"

#define SEED 31u

static struct canp_group *walk(const struct corpus_buf *b)
{
	return capture_all(&canp_fmt_blf, false, b);
}

/* One object with a v1 header. */
static void object(struct corpus_buf *s, uint32_t type, int64_t ts, uint32_t flags,
		   const void *body, size_t len)
{
	corpus_add(s, "LOBJ", 4);
	corpus_le16(s, 32);
	corpus_le16(s, 1);
	corpus_le32(s, (uint32_t)(32 + len));
	corpus_le32(s, type);
	corpus_le32(s, flags);
	corpus_le32(s, 0);
	corpus_le64(s, (uint64_t)ts);
	corpus_add(s, body, len);
}

static struct canp_group *walk_stream(const struct corpus_buf *s)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	corpus_blf_header(&b);
	corpus_blf_container(&b, s->p, s->len, 2);
	g = walk(&b);
	corpus_free(&b);
	return g;
}

static struct captured one(uint32_t type, const void *body, size_t len)
{
	struct corpus_buf s = {0};
	struct canp_group *g;
	struct captured c;

	object(&s, type, 1000, 2, body, len);
	g = walk_stream(&s);
	assert_int_equal(g->frames, 1);
	assert_int_equal(g->faults, 0);
	c = g->kept[0];
	assert_int_equal(c.ts, CORPUS_BLF_START_NS + 1000);
	capture_free(g);
	corpus_free(&s);
	return c;
}

static void classic_messages_of_both_types_are_read(void **state)
{
	static const uint8_t body[24] = {3, 0, 0x01, 5, 0x38, 0x56, 0x4c, 0x85,
					 1, 2, 3,    4, 5,    6,    7,    8};
	static const uint32_t types[] = {1, 86};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct captured c = one(types[i], body, i ? 24 : 16);

		assert_int_equal(c.bus, 3);
		assert_int_equal(c.id, 0x54c5638);
		assert_int_equal(c.flags, CANP_FF_EXT | CANP_FF_TX);
		assert_int_equal(c.dlc, 5);
		assert_int_equal(c.len, 5);
		assert_memory_equal(c.data, body + 8, 5);
		assert_int_equal(c.data[5], 0);
	}
}

static void remote_frames_keep_their_dlc_and_have_no_data(void **state)
{
	static const uint8_t body[16] = {1, 0, 0x80, 6, 0x23, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
	struct captured c = one(1, body, 16);

	(void)state;
	assert_int_equal(c.flags, CANP_FF_RTR);
	assert_int_equal(c.dlc, 6);
	assert_int_equal(c.len, 0);
}

static void fd_messages_are_read(void **state)
{
	uint8_t body[88] = {2, 0, 0, 9, 0x23, 1};
	struct captured c;

	(void)state;
	body[13] = 7;
	body[14] = 12;
	for (unsigned i = 0; i < 64; i++)
		body[20 + i] = (uint8_t)(i + 1);
	c = one(100, body, 84); /* some writers leave the last word out */
	assert_int_equal(c.bus, 2);
	assert_int_equal(c.flags, CANP_FF_FD | CANP_FF_BRS | CANP_FF_ESI);
	assert_int_equal(c.dlc, 9);
	assert_int_equal(c.len, 12);
	assert_memory_equal(c.data, body + 20, 12);
	body[13] = 0; /* a classic frame in an FD object */
	body[14] = 8;
	c = one(100, body, 88);
	assert_int_equal(c.flags, 0);
	assert_int_equal(c.len, 8);
}

static void fd_messages_64_are_zero_filled_up_to_their_valid_bytes(void **state)
{
	uint8_t body[40 + 64] = {0x11, 15, 64, 0, 0x23, 1};
	struct captured c;

	(void)state;
	canp_put_le32(body + 12, 0x1000 | 0x2000);
	body[34] = 1;
	memset(body + 40, 0xaa, 64);
	c = one(101, body, 40 + 48);
	assert_int_equal(c.flags, CANP_FF_FD | CANP_FF_BRS | CANP_FF_TX);
	assert_int_equal(c.bus, 0x11);
	assert_int_equal(c.len, 64);
	assert_int_equal(c.data[47], 0xaa);
	assert_int_equal(c.data[48], 0);
	body[35] = 32 + 40 + 20; /* data ends where the extra data starts */
	c = one(101, body, 40 + 48);
	assert_int_equal(c.data[19], 0xaa);
	assert_int_equal(c.data[20], 0);
	body[35] = 3; /* nonsense is ignored */
	body[2] = 255;
	c = one(101, body, 40 + 64);
	assert_int_equal(c.len, 64);
	assert_int_equal(c.data[63], 0xaa);
}

static void error_and_overload_frames_are_events(void **state)
{
	uint8_t ext[32] = {4, 0}, fd[48] = {5, 3, 3};

	(void)state;
	assert_int_equal(one(2, "\7\0\0\0", 4).flags, CANP_FF_ERR);
	assert_int_equal(one(2, "\7\0", 2).bus, 7);
	assert_int_equal(one(3, "\1\0\0\0\0\0\0\0", 8).flags, CANP_FF_OVL);
	ext[10] = 0xf2;
	ext[16] = 0x55;
	ext[24] = 0x99;
	assert_int_equal(one(73, ext, 32).flags, CANP_FF_ERR);
	assert_int_equal(one(73, ext, 32).len, 2);
	assert_int_equal(one(73, ext, 32).id, 0x55);
	assert_int_equal(one(73, ext, 32).data[0], 0x99);
	fd[8] = 0x80;
	fd[44] = 0x77;
	assert_int_equal(one(104, fd, 48).flags, CANP_FF_ERR | CANP_FF_FD);
	assert_int_equal(one(104, fd, 48).len, 3);
	assert_int_equal(one(104, fd, 48).data[0], 0x77);
}

static void lost_data_objects_become_gaps_and_unknown_types_are_skipped(void **state)
{
	static const uint32_t skipped[] = {4, 31, 51, 72, 115, 129, 160, 0, 0xffffffff};
	struct corpus_buf s = {0};
	struct corpus_frame f;
	struct canp_group *g;

	(void)state;
	corpus_frame(SEED, 0, true, &f);
	object(&s, 125, 5, 2, "\0\0\0\0", 4);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(skipped); i++) {
		object(&s, skipped[i], 0, 2, "LOBJ is no header in here", 16 + i);
		corpus_fill(&s, 0, (48 + i) % 4);
		corpus_blf_object(&s, &f);
	}
	object(&s, 126, 5, 2, "\0\0\0\0", 4);
	g = walk_stream(&s);
	assert_int_equal(g->gaps, 2);
	assert_int_equal(g->frames, CANP_ARRAY_SIZE(skipped));
	assert_int_equal(g->faults, 0);
	capture_free(g);
	corpus_free(&s);
}

static void channel_names_from_text_objects_name_the_bus(void **state)
{
	static const char text[] = "C:\\db\\body.dbc;BodyCAN;x";
	struct corpus_buf s = {0}, body = {0};
	struct corpus_frame f;
	struct canp_group *g;

	(void)state;
	corpus_le32(&body, 1);
	corpus_le32(&body, 1u << 16 | 2u << 8);
	corpus_le32(&body, sizeof(text));
	corpus_le32(&body, 0);
	corpus_add(&body, text, sizeof(text));
	object(&s, 65, 0, 2, body.p, body.len);
	corpus_fill(&s, 0, (32 + body.len) % 4);
	corpus_frame(SEED, 0, true, &f);
	f.bus = 2;
	corpus_blf_object(&s, &f);
	g = walk_stream(&s);
	assert_int_equal(g->frames, 1);
	assert_int_equal(g->nr_refs, 1);
	assert_string_equal(g->names[0], "BodyCAN");
	assert_int_equal(g->kept[0].bus, 2);
	capture_free(g);
	corpus_free(&body);
	corpus_free(&s);
}

static int plus_two_hours(void *arg, int64_t local_s, int64_t *utc_s)
{
	(void)arg;
	*utc_s = local_s - 7200;
	return 0;
}

static void times_are_signed_scaled_and_local(void **state)
{
	static const uint8_t body[16] = {1, 0, 0, 0, 1, 0, 0, 0};
	struct canp_format_opts opts = {.local_to_utc = plus_two_hours};
	struct corpus_buf s = {0}, b = {0};
	struct canp_group *g;

	(void)state;
	object(&s, 1, -5, 2, body, 16);
	object(&s, 1, -5, 1, body, 16);
	object(&s, 1, 7, 0, body, 16);
	object(&s, 1, INT64_MAX, 2, body, 16);
	object(&s, 1, INT64_MAX / 2, 1, body, 16);
	corpus_blf_header(&b);
	corpus_blf_container(&b, s.p, s.len, 2);
	g = capture_walk(&canp_fmt_blf, false, b.p, b.len, (struct cuts){.opts = &opts});
	assert_int_equal(g->frames, 3);
	assert_int_equal(g->by_code[CANP_FAULT_BAD_TIME], 2);
	assert_int_equal(g->kept[0].ts, CORPUS_BLF_START_NS - 7200 * CANP_NS_PER_S - 5);
	assert_int_equal(g->kept[1].ts, CORPUS_BLF_START_NS - 7200 * CANP_NS_PER_S - 50000);
	assert_int_equal(g->kept[2].ts, CORPUS_BLF_START_NS - 7200 * CANP_NS_PER_S + 7);
	capture_free(g);
	memset(b.p + 40, 0, 16); /* no start time: relative */
	g = walk(&b);
	assert_int_equal(g->kept[0].ts, -5);
	capture_free(g);
	canp_put_le16(b.p + 40, 2024);
	canp_put_le16(b.p + 42, 13);
	g = walk(&b);
	assert_int_equal(g->kept[2].ts, 7);
	assert_int_equal(g->first[0].code, CANP_FAULT_BAD_TIME);
	capture_free(g);
	corpus_free(&s);
	corpus_free(&b);
}

/* Containers cut the stream at every possible place, also inside "LOBJ" and headers. */
static void objects_span_containers_of_any_size(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 5, 47, 48, 49, 100, 1000, 4096, 131072, 200000};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++)
		for (unsigned method = 0; method <= 2; method += 2) {
			unsigned n = sizes[i] < 100 ? 20 : 3000;
			struct corpus_buf b = {0};
			struct canp_group *g;

			corpus_blf(&b, SEED, n, sizes[i], method);
			g = walk(&b);
			assert_int_equal(g->frames, n);
			assert_int_equal(g->faults, 0);
			capture_is_corpus(g, SEED, 0, n, true, true);
			capture_free(g);
			capture_same_in_any_windows(&canp_fmt_blf, false, b.p, b.len, i * 2 + 1,
						    5000);
			corpus_free(&b);
		}
}

static void containers_beyond_the_window_are_streamed(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	for (unsigned method = 0; method <= 2; method += 2) {
		corpus_blf(&b, SEED, 18000, 1600000, method);
		g = walk(&b);
		assert_int_equal(g->frames, 18000);
		assert_int_equal(g->faults, 0);
		capture_is_corpus(g, SEED, 0, 18000, true, true);
		capture_free(g);
		capture_same_in_any_windows(&canp_fmt_blf, false, b.p, b.len, 4 + method, 300000);
		capture_same_in_any_windows(&canp_fmt_blf, false, b.p, b.len - 99999, 3 + method,
					    300000);
		corpus_free(&b);
	}
}

static void objects_outside_of_containers_are_read(void **state)
{
	struct corpus_buf b = {0};
	struct corpus_frame f;
	struct canp_group *g;

	(void)state;
	corpus_blf_header(&b);
	for (unsigned i = 0; i < 50; i++) {
		corpus_frame(SEED, i, true, &f);
		corpus_blf_object(&b, &f);
		corpus_fill(&b, 0, i % 8);
	}
	g = walk(&b);
	assert_int_equal(g->frames, 50);
	assert_int_equal(g->faults, 0);
	capture_is_corpus(g, SEED, 0, 50, true, true);
	capture_free(g);
	corpus_free(&b);
}

/* 40 containers of 10 frames each; at[] is where they start. */
static void forty(struct corpus_buf *b, size_t at[41])
{
	struct corpus_frame f;

	corpus_blf_header(b);
	for (unsigned i = 0; i < 40; i++) {
		struct corpus_buf s = {0};

		for (unsigned k = 0; k < 10; k++) {
			corpus_frame(SEED, i * 10 + k, true, &f);
			corpus_blf_object(&s, &f);
		}
		at[i] = b->len;
		corpus_blf_container(b, s.p, s.len, 2);
		corpus_free(&s);
	}
	at[40] = b->len;
}

static void a_bad_container_costs_only_its_frames(void **state)
{
	struct corpus_buf b = {0};
	size_t at[41];
	struct canp_group *g;

	(void)state;
	forty(&b, at);
	for (size_t pos = at[5] + 32; pos < at[6] - 3; pos++) {
		b.p[pos] ^= 0x10;
		g = walk(&b);
		assert_int_equal(g->frames, 390);
		assert_int_equal(g->faults, 1);
		assert_int_equal(g->first[0].offset, at[5]);
		capture_is_corpus(g, SEED, 0, 50, true, true);
		capture_free(g);
		b.p[pos] ^= 0x10;
	}
	corpus_free(&b);
}

static void a_wrong_container_size_loses_nothing(void **state)
{
	static const uint32_t sizes[] = {0,  1,   15,   16,     31,         32,
					 40, 300, 2000, 100000, 0x7fffffff, 0xffffffff};
	struct corpus_buf b = {0};
	size_t at[41];

	(void)state;
	forty(&b, at);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		uint32_t real = canp_le32(b.p + at[7] + 8);
		struct canp_group *g;

		canp_put_le32(b.p + at[7] + 8, sizes[i]);
		g = walk(&b);
		assert_int_equal(g->frames, 400);
		assert_int_equal(g->by_code[CANP_FAULT_BAD_LENGTH], 1);
		capture_is_corpus(g, SEED, 0, 400, true, true);
		capture_free(g);
		capture_same_in_any_windows(&canp_fmt_blf, false, b.p, b.len, i + 1, 700);
		canp_put_le32(b.p + at[7] + 8, real);
	}
	corpus_free(&b);
}

static void the_inflated_size_is_only_advice(void **state)
{
	struct corpus_buf b = {0};
	struct canp_group *g;

	(void)state;
	corpus_blf(&b, SEED, 6000, 300000, 2);
	canp_put_le32(b.p + 144 + 24, 0xffffffff);
	g = walk(&b);
	assert_int_equal(g->frames, 6000);
	capture_free(g);
	canp_put_le32(b.p + 144 + 24, 1); /* larger than announced, but its checksum is right */
	g = walk(&b);
	assert_int_equal(g->frames, 6000);
	assert_int_equal(g->faults, 0);
	capture_free(g);
	b.p[144 + 32 + 60000] ^= 0x40; /* .. and when it is not, nothing of it is believed */
	g = walk(&b);
	assert_true(g->frames < 6000);
	assert_int_equal(g->faults, 1);
	assert_false(g->stats.unverified_tail);
	capture_free(g);
	corpus_free(&b);
}

static void an_object_of_impossible_size_costs_only_itself(void **state)
{
	static const uint32_t sizes[] = {0, 1, 15, 31, 5000, 0x7fffffff, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++)
		for (unsigned method = 0; method <= 2; method += 2) {
			struct corpus_buf s = {0}, b = {0};
			struct corpus_frame f;
			struct canp_group *g;
			size_t third = 0;

			for (unsigned k = 0; k < 20; k++) {
				corpus_frame(SEED, k, true, &f);
				if (k == 3)
					third = s.len;
				corpus_blf_object(&s, &f);
			}
			canp_put_le32(s.p + third + 8, sizes[i]);
			corpus_blf_header(&b);
			corpus_blf_container(&b, s.p, s.len, method);
			g = walk(&b);
			assert_int_equal(g->frames, 19);
			assert_int_equal(g->faults, 1);
			capture_free(g);
			corpus_free(&s);
			corpus_free(&b);
		}
}

static void junk_between_containers_is_skipped(void **state)
{
	struct corpus_buf b = {0}, c = {0};
	size_t at[41];
	struct canp_group *g;

	(void)state;
	forty(&b, at);
	corpus_add(&c, b.p, at[9]);
	corpus_fill(&c, 'L', 148);
	corpus_add(&c, b.p + at[9], b.len - at[9]);
	g = walk(&c);
	assert_int_equal(g->frames, 400);
	assert_int_equal(g->faults, 1);
	assert_int_equal(g->first[0].code, CANP_FAULT_JUNK);
	capture_free(g);
	corpus_free(&b);
	corpus_free(&c);
}

static void a_damaged_file_header_loses_only_the_start_time(void **state)
{
	struct corpus_buf b = {0};
	size_t at[41];
	struct canp_group *g;

	(void)state;
	forty(&b, at);
	b.p[0] ^= 1;
	g = walk(&b);
	assert_int_equal(g->frames, 400);
	assert_int_equal(g->by_code[CANP_FAULT_BAD_MAGIC], 1);
	capture_free(g);
	b.p[0] ^= 1;
	canp_put_le32(b.p + 4, 0xfffffff0);
	g = walk(&b);
	assert_int_equal(g->frames, 400);
	assert_int_equal(g->by_code[CANP_FAULT_BAD_LENGTH], 1);
	capture_free(g);
	corpus_free(&b);
}

static void a_cut_at_any_byte_keeps_the_whole_frames_before_it(void **state)
{
	(void)state;
	for (unsigned method = 0; method <= 2; method += 2) {
		struct corpus_buf b = {0};
		uint64_t before = 0;

		corpus_blf(&b, SEED, 40, 700, method);
		for (size_t len = 0; len <= b.len; len++) {
			struct canp_group *g =
				capture_walk(&canp_fmt_blf, false, b.p, len,
					     (struct cuts){.seed = len + 1, .cut_max = 300});

			capture_is_corpus(g, SEED, 0, (unsigned)g->frames, true, true);
			assert_true(g->frames >= before);
			before = g->frames;
			assert_true(g->faults <= 2);
			capture_free(g);
		}
		assert_int_equal(before, 40);
		corpus_free(&b);
	}
}

static void bombs_hit_the_limits(void **state)
{
	struct canp_format_opts opts = {.limits = {.file_inflated_max = 1ull << 40,
						   .member_inflated_max = 64 << 20,
						   .ratio_max = 100}};
	struct corpus_buf b = {0}, zeros = {0}, s = {0};
	struct corpus_frame f;
	struct canp_group *g;

	(void)state;
	corpus_fill(&zeros, 0, 6 << 20);
	corpus_blf_header(&b);
	corpus_blf_container(&b, zeros.p, zeros.len, 2);
	corpus_frame(SEED, 0, true, &f);
	corpus_blf_object(&s, &f);
	corpus_blf_container(&b, s.p, s.len, 2);
	g = capture_walk(&canp_fmt_blf, false, b.p, b.len, (struct cuts){.opts = &opts});
	assert_int_equal(g->by_code[CANP_FAULT_LIMIT], 1);
	assert_int_equal(g->frames, 1);
	capture_free(g);
	opts.limits.file_inflated_max = 1 << 20;
	g = capture_walk(&canp_fmt_blf, false, b.p, b.len, (struct cuts){.opts = &opts});
	assert_int_equal(g->end, CANP_WALK_STOP);
	assert_int_equal(g->frames, 0);
	capture_free(g);
	corpus_free(&zeros);
	corpus_free(&s);
	corpus_free(&b);
}

static void flipped_bits_give_the_same_in_any_windows(void **state)
{
	uint64_t rnd = 23;

	(void)state;
	for (unsigned method = 0; method <= 2; method += 2) {
		struct corpus_buf b = {0};
		uint64_t frames = 0;

		corpus_blf(&b, SEED, 120, 1500, method);
		for (unsigned i = 0; i < 600; i++) {
			size_t at = (size_t)(corpus_rnd(&rnd) >> 20) % b.len;
			uint8_t bit = (uint8_t)(1u << (corpus_rnd(&rnd) >> 61));
			struct canp_group *g;

			b.p[at] ^= bit;
			capture_same_in_any_windows(&canp_fmt_blf, false, b.p, b.len, i + 1, 400);
			g = walk(&b);
			assert_true(g->frames >= 120 - 45);
			frames += g->frames;
			capture_free(g);
			b.p[at] ^= bit;
		}
		assert_true(frames > 600 * 85);
		corpus_free(&b);
	}
}

/* ---- reference files ------------------------------------------------------------------------- */

/* What an independent reader finds in them; damaged ones must give at least that. */
static const struct {
	const char *path;
	unsigned frames;
	bool at_least;
} reference[] = {
	{"derived/fdmix_v.blf", 400, false},
	{"derived/j1939_fcbf.blf", 1815, false},
	{"derived/j1939_fcbf_c4096.blf", 1815, false},
	{"derived/j1939_fcbf_stored.blf", 1815, false},
	{"derived/j1939_fcbf_objzero.blf", 1814, true},
	{"derived/j1939_fcbf_trunc.blf", 969, true},
	{"derived/j1939_fcbf_unclosed.blf", 1815, true},
	{"derived/j1939_fcbf_zerosize.blf", 1729, true},
	{"derived/special_v.blf", 250, false},
	{"blf/test_CanFdMessage.blf", 2, false},
	{"blf/test_CanMessage2.blf", 2, false},
	{"blf/binlog/test_CanErrorFrame.blf", 2, false},
	{"blf/binlog/test_CanFdErrorFrame64.blf", 2, false},
	{"blf/binlog/test_CanMessage.blf", 2, false},
	{"blf/binlog/test_CanOverloadFrame.blf", 2, false},
	{"blf/binlog/test_AppText.blf", 0, false},
	{"blf/binlog/test_EnvironmentVariable.blf", 0, false},
	{"blf/binlog/test_SystemVariable.blf", 0, false},
	{"blf/binlog/test_WlanFrame.blf", 0, false},
	{"blf/converter/test_CanErrorFrameExt.blf", 1, false},
	{"blf/converter/test_CanMessage.blf", 2, false},
	{"blf/converter/test_EthernetFrame.blf", 0, false},
	{"blf/errors/FileWithTruncatedCanMessage.blf", 1, false},
	{"blf/errors/FileWithUnknownObjectType.blf", 1, false},
};

static bool load(const char *dir, const char *name, struct corpus_buf *b)
{
	char path[512], block[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return false;
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		corpus_add(b, block, n);
	fclose(f);
	return true;
}

static void reference_files_give_the_known_counts(void **state)
{
	const char *dir = getenv("CANP_CORPUS");
	struct stat st;

	(void)state;
	dir = dir ? dir : "../shared/data";
	if (stat(dir, &st)) {
		print_message("skipped: no reference files at %s (set CANP_CORPUS)\n", dir);
		skip();
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(reference); i++) {
		struct corpus_buf b = {0};
		struct canp_group *g;

		if (!load(dir, reference[i].path, &b)) {
			print_message("not there: %s\n", reference[i].path);
			continue;
		}
		g = walk(&b);
		if (reference[i].at_least ? g->frames < reference[i].frames
					  : g->frames != reference[i].frames)
			fail_msg("%s: %llu frames, reference %u (first fault: %s)",
				 reference[i].path, (unsigned long long)g->frames,
				 reference[i].frames, g->first[0].detail);
		if (!reference[i].at_least && strncmp(reference[i].path, "blf/errors", 10))
			assert_int_equal(g->faults, 0);
		capture_free(g);
		capture_same_in_any_windows(&canp_fmt_blf, false, b.p, b.len, i + 1, 3000);
		corpus_free(&b);
	}
}

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classic_messages_of_both_types_are_read),
		cmocka_unit_test(remote_frames_keep_their_dlc_and_have_no_data),
		cmocka_unit_test(fd_messages_are_read),
		cmocka_unit_test(fd_messages_64_are_zero_filled_up_to_their_valid_bytes),
		cmocka_unit_test(error_and_overload_frames_are_events),
		cmocka_unit_test(lost_data_objects_become_gaps_and_unknown_types_are_skipped),
		cmocka_unit_test(channel_names_from_text_objects_name_the_bus),
		cmocka_unit_test(times_are_signed_scaled_and_local),
		cmocka_unit_test(objects_span_containers_of_any_size),
		cmocka_unit_test(containers_beyond_the_window_are_streamed),
		cmocka_unit_test(objects_outside_of_containers_are_read),
		cmocka_unit_test(a_bad_container_costs_only_its_frames),
		cmocka_unit_test(a_wrong_container_size_loses_nothing),
		cmocka_unit_test(the_inflated_size_is_only_advice),
		cmocka_unit_test(an_object_of_impossible_size_costs_only_itself),
		cmocka_unit_test(junk_between_containers_is_skipped),
		cmocka_unit_test(a_damaged_file_header_loses_only_the_start_time),
		cmocka_unit_test(a_cut_at_any_byte_keeps_the_whole_frames_before_it),
		cmocka_unit_test(bombs_hit_the_limits),
		cmocka_unit_test(flipped_bits_give_the_same_in_any_windows),
		cmocka_unit_test(reference_files_give_the_known_counts),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
