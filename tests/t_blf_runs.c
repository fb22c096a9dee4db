/*
 * t_blf_runs.c - BLF objects that leave in runs give what the same objects give one by one. Only
 * objects with a header of 32 bytes can be in a run, so each file is made twice: with such headers,
 * and with the longer ones of version 2, which say the same.
 */
#include "tests/lib/capture.h"

#include "core/base/bytes.h"
#include "io/format/formats.h"
#include "tests/lib/guard.h"

static uint64_t seed = 0x6c62272e07bb0142;

static void object(struct corpus_buf *s, unsigned header, uint32_t type, uint64_t ts,
		   uint32_t flags, const uint8_t *body, size_t len)
{
	corpus_add(s, "LOBJ", 4);
	corpus_le16(s, (uint16_t)header);
	corpus_le16(s, 1);
	corpus_le32(s, (uint32_t)(header + len));
	corpus_le32(s, type);
	corpus_le32(s, flags);
	corpus_le32(s, 0);
	corpus_le64(s, ts);
	corpus_add(s, "\0\0\0\0\0\0\0", header - 32);
	corpus_add(s, body, len);
}

/* Mostly plain frames, in which now and then one thing is out of the ordinary. */
static size_t random_body(uint8_t *b, uint32_t type, unsigned channel, unsigned header)
{
	uint64_t r = guard_rand(&seed), odd = guard_rand(&seed);
	unsigned len = odd % 3 ? 8 : (unsigned)(odd >> 8) % 20;

	memset(b, 0, 120);
	for (unsigned i = 0; i < 8; i++)
		b[i + (type < 100 ? 8 : type == 101 ? 40 : 20)] = (uint8_t)(r >> 8 * i);
	b[0] = (uint8_t)channel;
	canp_put_le32(b + 4, (uint32_t)(odd % 7 ? r & 0x7ff : r));
	b[type == 101 ? 1 : 3] = (uint8_t)(odd % 11 ? len : r >> 40);
	b[type == 101 ? 2 : 14] = (uint8_t)(odd % 13 ? len : r >> 48);
	if (type == 1 || type == 86) {
		b[2] = (uint8_t)(odd % 17 ? 0x60 : r >> 56);
		canp_put_le64(b + 8, r);
	} else if (odd % 5 == 0) {
		b[13] = (uint8_t)(r >> 32);
		b[type == 101 ? 12 : 2] = (uint8_t)(odd >> 40);
	}
	if (type == 101 && odd % 5 == 1) {
		b[34] = (odd >> 50) % 4 == 0;
		/* The extension counts from the start of the object. */
		b[35] = (uint8_t)((odd >> 52) % 4 ? 0 : header + (odd >> 54) % 64);
	}
	len = type < 100 ? 16 : type == 100 ? 28 + (unsigned)(r >> 60) % 2 * 56 : 88;
	return odd % 19 ? len : len - 4 * (unsigned)(r >> 58) % 3;
}

/* Objects 0..n of a stream, all of the same content whatever the header. */
static void stream(struct corpus_buf *s, unsigned header, unsigned n, unsigned turn)
{
	static const uint32_t types[] = {1, 1, 1, 86, 86, 100, 101, 2, 73};
	uint8_t body[128];
	uint64_t ts = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t r = guard_rand(&seed);
		uint32_t type = types[r % (turn % 4 ? 3 : CANP_ARRAY_SIZE(types))];
		unsigned channel =
			turn & 1 ? 1 + i / 300 : 1 + (unsigned)(r >> 32) % (1 + turn % 3);
		size_t len = random_body(body, type, channel, header);

		ts += r >> 56;
		if (r % 97 == 0)
			ts = 0 - (r >> 40 & 0xff);
		object(s, header, type, ts, r >> 20 & 1 ? 1 : 2, body, len);
	}
}

static void runs_equal_objects_one_by_one(void **state)
{
	(void)state;
	for (unsigned turn = 0; turn < 60; turn++) {
		unsigned n = turn < 20 ? turn : 1500;
		struct corpus_buf s[2] = {{0}}, b[2] = {{0}};
		struct canp_group *g[2];
		uint64_t start = seed;

		for (unsigned k = 0; k < 2; k++) {
			seed = start;
			stream(&s[k], 32 + 8 * k, n, turn);
			corpus_blf_header(&b[k]);
			if (turn % 5 == 4) /* from 1970: times before it cannot be in a run */
				memset(b[k].p + 40, 0, 16);
			corpus_blf_container(&b[k], s[k].p, s[k].len, turn % 3 ? 2 : 0);
			g[k] = capture_all(&canp_fmt_blf, false, &b[k]);
		}
		assert_true(n < 100 || g[0]->frames > n / 2);
		assert_int_equal(g[0]->frames, g[1]->frames);
		assert_int_equal(g[0]->faults, g[1]->faults);
		for (unsigned i = 0; i < g[0]->frames; i++)
			if (memcmp(&g[0]->kept[i], &g[1]->kept[i], sizeof(struct captured)))
				fail_msg("turn %u: frame %u of id %x differs", turn, i,
					 g[0]->kept[i].id);
		assert_true(g[0]->digest == g[1]->digest);
		for (unsigned k = 0; k < 2; k++) {
			capture_free(g[k]);
			corpus_free(&s[k]);
			corpus_free(&b[k]);
		}
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
		cmocka_unit_test(runs_equal_objects_one_by_one),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
