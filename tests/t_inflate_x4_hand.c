/*
 * t_inflate_x4_hand.c - the interleaved inflate on streams that no compressor makes, written bit by
 * bit: codes and matches at their limits, and what RFC 1951 forbids. The members of zlib and their
 * damage are in t_inflate_x4.c.
 */
#include "tests/lib/x4_drive.h"

/* ---- streams by hand --------------------------------------------------------------------------*/

struct writer {
	uint8_t bytes[400000];
	size_t bits;
};

static struct writer wr;

static void put(uint64_t value, unsigned n)
{
	for (unsigned i = 0; i < n; i++, wr.bits++) {
		if (wr.bits % 8 == 0)
			wr.bytes[wr.bits / 8] = 0;
		wr.bytes[wr.bits / 8] |= (uint8_t)((value >> i & 1) << wr.bits % 8);
	}
}

struct code {
	uint8_t lens[320];
	uint16_t codes[320];
	unsigned nr;
};

/* Canonical codes as RFC 1951 3.2.2 makes them, also of sets that are not complete. */
static void code_assign(struct code *c)
{
	unsigned next = 0;

	for (unsigned len = 1; len <= 15; len++) {
		for (unsigned i = 0; i < c->nr; i++)
			if (c->lens[i] == len)
				c->codes[i] = (uint16_t)next++;
		next *= 2;
	}
}

static void put_symbol(const struct code *c, unsigned symbol)
{
	for (unsigned i = c->lens[symbol]; i--;)
		put(c->codes[symbol] >> i & 1, 1);
}

static void put_match(const struct code *lit, const struct code *dist, unsigned length_symbol,
		      unsigned length_extra, unsigned length_bits, unsigned dist_symbol,
		      unsigned dist_extra, unsigned dist_bits)
{
	put_symbol(lit, length_symbol);
	put(length_extra, length_bits);
	put_symbol(dist, dist_symbol);
	put(dist_extra, dist_bits);
}

static struct code lit, dist;

static void codes_clear(unsigned nr_lit, unsigned nr_dist)
{
	memset(&lit, 0, sizeof(lit));
	memset(&dist, 0, sizeof(dist));
	lit.nr = nr_lit;
	dist.nr = nr_dist;
}

/* A dynamic block with the lengths of lit and dist; the code for code lengths gives 0..15 four bits
 * each. */
static void put_dynamic(bool last)
{
	code_assign(&lit);
	code_assign(&dist);
	put(last, 1);
	put(2, 2);
	put(lit.nr - 257, 5);
	put(dist.nr - 1, 5);
	put(15, 4);
	for (unsigned i = 0; i < 19; i++)
		put(i < 3 ? 0 : 4, 3);
	for (unsigned i = 0; i < lit.nr + dist.nr; i++) {
		unsigned len = i < lit.nr ? lit.lens[i] : dist.lens[i - lit.nr];

		for (unsigned b = 4; b--;)
			put(len >> b & 1, 1);
	}
}

static void put_fixed(bool last)
{
	codes_clear(288, 32);
	for (unsigned i = 0; i < 288; i++)
		lit.lens[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
	memset(dist.lens, 5, 32);
	code_assign(&lit);
	code_assign(&dist);
	put(last, 1);
	put(1, 2);
}

/* All literals, end and length symbols about nine bits, all distances five: complete sets. */
static void codes_flat(void)
{
	codes_clear(286, 30);
	for (unsigned i = 0; i < 286; i++)
		lit.lens[i] = i < 226 ? 8 : 9;
	for (unsigned i = 0; i < 30; i++)
		dist.lens[i] = i < 2 ? 4 : 5;
}

static void hand_check(size_t cap, bool good)
{
	struct member m = {
		.bytes = wr.bytes, .len = (wr.bits + 7) / 8, .cap = cap, .kind = CANP_INFLATE_RAW};

	check_one(&m, good);
	/* The same with much behind it, so that no loop is near the end of the input. */
	memset(wr.bytes + m.len, 0x55, 600);
	m.len += 600;
	m.cap += 3000;
	check_one(&m, good);
	wr.bits = 0;
}

static void codes_of_fifteen_bits_are_found(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 8; t++) {
		/* One symbol of each length and two of 15 bits, in turn rare and frequent ones. */
		codes_clear(286, 30);
		for (unsigned i = 0; i < 14; i++)
			lit.lens[t & 1 ? 250 - i : 240 + i] = (uint8_t)(i + 1);
		lit.lens[256] = 15;
		lit.lens[t & 2 ? 257 : 285] = 15;
		for (unsigned i = 0; i < 15; i++)
			dist.lens[t & 4 ? 15 - i : i] = (uint8_t)(i + 1);
		dist.lens[t & 4 ? 0 : 15] = 15;
		put_dynamic(true);
		for (unsigned i = 0; i < 9000; i++)
			put_symbol(&lit, (t & 1 ? 237 : 240) + (unsigned)rnd(14));
		for (unsigned i = 0; i < 2000; i++) {
			unsigned d = (unsigned)rnd(16), extra = d < 4 ? 0 : d / 2 - 1;

			put_match(&lit, &dist, t & 2 ? 257 : 285, 0, 0, d,
				  (unsigned)rnd(1u << extra), extra);
			put_symbol(&lit, (t & 1 ? 237 : 240) + (unsigned)rnd(14));
		}
		put_symbol(&lit, 256);
		hand_check(9000 + 2000 * 259, true);
	}
}

static void far_and_long_matches_are_exact(void **state)
{
	(void)state;
	codes_flat();
	put_dynamic(true);
	for (unsigned i = 0; i < 32768; i++)
		put_symbol(&lit, (unsigned)rnd(256));
	for (unsigned i = 0; i < 300; i++) {
		/* distance 32768, lengths 258 (both ways to write it), 3, 32, 33..34 and 227..257
		 */
		put_match(&lit, &dist, 285, 0, 0, 29, 8191, 13);
		put_match(&lit, &dist, 284, 31, 5, 29, 8191, 13);
		put_match(&lit, &dist, 257, 0, 0, 29, 8191, 13);
		put_match(&lit, &dist, 271, 1, 2, 29, 8190, 13);
		put_match(&lit, &dist, 272, 0, 2, 28, 1, 13);
		put_match(&lit, &dist, 272, i % 4, 2, 28, i, 13);
		put_match(&lit, &dist, 284, i % 31, 5, i % 4, 0, 0);
		put_match(&lit, &dist, 265 + i % 8, 0, i % 8 < 4 ? 1 : 2, 2 + i % 2, 0, 0);
		put_symbol(&lit, i % 256);
	}
	put_symbol(&lit, 256);
	hand_check(330000, true);
}

static void steps_of_the_most_bits_stay_within_a_word(void **state)
{
	(void)state;
	/* Literals and lengths of ten bits, distances of nine and 13 more. */
	codes_clear(258, 30);
	memset(lit.lens + 2, 10, 256);
	lit.lens[0] = 1;
	lit.lens[1] = 2;
	for (unsigned i = 0; i < 8; i++)
		dist.lens[i] = (uint8_t)(i + 1);
	dist.lens[28] = dist.lens[29] = 9;
	put_dynamic(true);
	for (unsigned i = 0; i < 32768; i++)
		put_symbol(&lit, 2 + (unsigned)rnd(254));
	for (unsigned i = 0; i < 12000; i++) {
		for (uint64_t n = rnd(6); n; n--)
			put_symbol(&lit, 2 + (unsigned)rnd(254));
		put_match(&lit, &dist, 257, 0, 0, 28 + (unsigned)rnd(2), (unsigned)rnd(8192), 13);
	}
	put_symbol(&lit, 256);
	hand_check(32768 + 12000 * 8, true);
}

/* n steps of 32 bytes in 15 bits; with hard, every second one is followed by a match that
 * overlaps itself: it ends a round when lanes before it have taken their step. Much input behind
 * it, so that only the output limits the rounds. */
static struct member steps_of_many_bytes(unsigned n, bool hard, size_t cap)
{
	struct member m = {.kind = CANP_INFLATE_RAW, .cap = cap};

	codes_clear(286, 11);
	memset(lit.lens + 'a', 3, 4);
	lit.lens[256] = lit.lens[285] = 3;
	lit.lens[271] = 2;
	dist.lens[9] = dist.lens[10] = 1;
	put_dynamic(true);
	for (unsigned i = 0; i < 48; i++)
		put_symbol(&lit, 'a' + i % 4);
	for (unsigned i = 0; i < n; i++) {
		put_symbol(&lit, 'a');
		put_symbol(&lit, 'b');
		put_match(&lit, &dist, 271, 3, 2, 10, 7, 4);
		if (hard && i % 2)
			put_match(&lit, &dist, 271, 3, 2, 9, 0, 3);
	}
	put_symbol(&lit, 256);
	m.len = (wr.bits + 7) / 8 + 10000;
	m.bytes = calloc(1, m.len);
	memcpy(m.bytes, wr.bytes, (wr.bits + 7) / 8);
	wr.bits = 0;
	return m;
}

static void a_lane_keeps_to_its_room_while_another_one_ends_the_rounds(void **state)
{
	(void)state;
	for (unsigned at = 0; at < CANP_INFLATE_LANES; at++) {
		struct member m[CANP_INFLATE_LANES];

		/* All but one have much more to give than they have room for. */
		for (unsigned i = 0; i < CANP_INFLATE_LANES; i++)
			m[i] = i == at ? steps_of_many_bytes(300, true, 60000)
				       : steps_of_many_bytes(800, false, 3300 + 7 * i);
		for (unsigned sides = 0; sides < 4; sides++)
			run_jobs(engines[0], m, CANP_INFLATE_LANES, sides);
		for (unsigned i = 0; i < CANP_INFLATE_LANES; i++)
			free(m[i].bytes);
	}
}

/* Literals, then a match that begins `over` bytes before the output, in every place of a step. */
static void too_far(size_t before, unsigned over, unsigned place)
{
	size_t distance = before + place + over;
	unsigned d = 0;

	for (unsigned b = 1; d < 29; d++) {
		unsigned extra = d < 4 ? 0 : d / 2 - 1;

		if (distance < b + (1u << extra)) {
			put(1, 0);
			codes_flat();
			put_dynamic(true);
			for (size_t i = 0; i < before + place; i++)
				put_symbol(&lit, (unsigned)(i * 7 % 256));
			put_match(&lit, &dist, 260, 0, 0, d, (unsigned)distance - b, extra);
			break;
		}
		b += 1u << extra;
	}
	for (unsigned i = 0; i < 500; i++)
		put_symbol(&lit, i % 256);
	put_symbol(&lit, 256);
	hand_check(before + place + 6 + 500, over == 0);
}

static void distances_before_the_member_are_faults_wherever_they_are(void **state)
{
	static const size_t befores[] = {1, 6, 7, 40, 1000, 4093, 20000};

	(void)state;
	for (size_t b = 0; b < CANP_ARRAY_SIZE(befores); b++)
		for (unsigned place = 0; place < 4; place++)
			for (unsigned over = 0; over < 3; over++)
				too_far(befores[b], over, place);
}

static void small_code_sets_are_taken_as_the_rfc_says(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 11; t++) {
		bool good = t == 0 || t == 1 || t == 2 || t == 9;

		codes_clear(258, t == 2 || t == 3 ? 1 : 2);
		lit.lens['a'] = 2;
		lit.lens['b'] = 2;
		lit.lens[256] = 2;
		lit.lens[257] = 2;
		dist.lens[0] = 1; /* 0: a single distance code of one bit */
		if (t == 1)
			dist.lens[1] = 1; /* complete */
		if (t == 2 || t == 3)
			dist.lens[0] = 0; /* no distance code: fine until a match comes, 3 */
		if (t == 4)
			dist.lens[0] = 2; /* a single one of two bits */
		if (t == 5)
			dist.lens[1] = 2; /* incomplete */
		if (t == 6)
			lit.lens['a'] = 3; /* incomplete */
		if (t == 7)
			lit.lens['a'] = 1; /* over-subscribed */
		if (t == 8) {
			dist.nr = 3;
			dist.lens[1] = dist.lens[2] = 1; /* over-subscribed */
		}
		if (t == 10)
			lit.lens[256] = 0, lit.lens['c'] = 2; /* a block without its end */
		if (t == 9) {
			/* the end alone, in one bit */
			lit.lens['a'] = lit.lens['b'] = lit.lens[257] = 0;
			lit.lens[256] = 1;
		}
		put_dynamic(true);
		if (t != 9)
			for (unsigned i = 0; i < 300; i++)
				put_symbol(&lit, i % 3 ? 'a' : 'b');
		if (t != 2 && t != 9) {
			put_symbol(&lit, 257);
			put_symbol(&dist, 0);
		}
		if (t != 10)
			put_symbol(&lit, 256);
		hand_check(303, good);
	}
}

static void the_unused_bit_of_a_single_code_is_a_fault(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < 2; bad++) {
		codes_clear(258, 1);
		lit.lens['a'] = lit.lens[257] = lit.lens[256] = 2;
		lit.lens['b'] = 2;
		dist.lens[0] = 1;
		put_dynamic(true);
		for (unsigned i = 0; i < 100; i++) {
			put_symbol(&lit, 'a');
			put_symbol(&lit, 257);
			put(bad && i == 50, 1);
		}
		put_symbol(&lit, 256);
		hand_check(400, !bad);
	}
}

static void symbols_without_meaning_are_faults(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 6; t++) {
		put_fixed(true);
		for (unsigned i = 0; i < 200; i++)
			put_symbol(&lit, i);
		if (t == 1 || t == 2)
			put_symbol(&lit, 285 + t);
		if (t >= 3)
			put_symbol(&lit, 257);
		if (t >= 3)
			put_symbol(&dist, t == 3 ? 0 : 26 + t);
		put_symbol(&lit, 256);
		hand_check(300, t == 0 || t == 3);
	}
	/* More symbols than there are: 287, 288 and 31, 32. */
	for (unsigned t = 0; t < 5; t++) {
		codes_clear(t == 1 ? 287 : t == 2 ? 288 : 286, t == 3 ? 31 : t == 4 ? 32 : 30);
		lit.lens['a'] = lit.lens[256] = 1;
		dist.lens[0] = dist.lens[1] = 1;
		put_dynamic(true);
		for (unsigned i = 0; i < 200; i++)
			put_symbol(&lit, 'a');
		put_symbol(&lit, 256);
		hand_check(200, t == 0);
	}
}

static void code_lengths_are_checked(void **state)
{
	(void)state;
	/* 0: fine; 1: repeats before the first; 2, 3: runs over the end; 4: over-subscribed and
	 * 5: incomplete code for code lengths; 6: a single one of one bit. */
	for (unsigned t = 0; t < 7; t++) {
		put(1, 1);
		put(2, 2);
		put(0, 5);
		put(0, 5);
		put(14, 4); /* up to and with symbol 1 */
		/* 16 and 18: two bits; 0 and 1: two bits */
		for (unsigned i = 0; i < 18; i++) {
			unsigned len = i == 0 || i == 2 || i == 3 || i == 17 ? 2 : 0;

			if (t == 4 && i == 1)
				len = 2;
			if (t == 5 && i == 0)
				len = 3;
			if (t == 6)
				len = i == 17;
			put(len, 3);
		}
		/* Codes: 0 = 00, 1 = 01, 16 = 10, 18 = 11, first bit first. */
		if (t == 1) {
			put(1, 2);
			put(0, 2);
		}
		put(3, 2); /* 97 zeros */
		put(97 - 11, 7);
		put(2, 2); /* 'a': 1 */
		put(3, 2); /* 138 and 20 zeros */
		put(127, 7);
		put(3, 2);
		put(t == 2 ? 30 : 20 - 11, 7);
		put(2, 2); /* end: 1 */
		put(t == 3 ? 1 : 0, 2);
		if (t == 3)
			put(3, 2);
		for (unsigned i = 0; i < 60; i++)
			put(0, 1);
		put(1, 1);
		hand_check(60, t == 0);
	}
}

static void empty_blocks_of_all_kinds_do_no_harm(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		switch (i % 4) {
		case 0: /* stored, empty */
			put(0, 3);
			put(0, (8 - wr.bits % 8) % 8);
			put(0xffff0000, 32);
			break;
		case 1:
			put_fixed(false);
			put_symbol(&lit, 256);
			break;
		case 2:
			codes_flat();
			put_dynamic(false);
			put_symbol(&lit, 256);
			break;
		default: /* stored, 5 bytes */
			put(0, 3);
			put(0, (8 - wr.bits % 8) % 8);
			put(0xfffa0005, 32);
			put(0x6f6c6c6568, 40);
		}
	}
	put_fixed(true);
	put_match(&lit, &dist, 257, 0, 0, 3, 0, 0);
	put_symbol(&lit, 256);
	hand_check(503, true);
	/* Length and complement do not fit. */
	put(1, 3);
	put(0, 5);
	put(0xfffb0005, 32);
	put(0x6f6c6c6568, 40);
	hand_check(5, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_of_fifteen_bits_are_found),
		cmocka_unit_test(far_and_long_matches_are_exact),
		cmocka_unit_test(steps_of_the_most_bits_stay_within_a_word),
		cmocka_unit_test(a_lane_keeps_to_its_room_while_another_one_ends_the_rounds),
		cmocka_unit_test(distances_before_the_member_are_faults_wherever_they_are),
		cmocka_unit_test(small_code_sets_are_taken_as_the_rfc_says),
		cmocka_unit_test(the_unused_bit_of_a_single_code_is_a_fault),
		cmocka_unit_test(symbols_without_meaning_are_faults),
		cmocka_unit_test(code_lengths_are_checked),
		cmocka_unit_test(empty_blocks_of_all_kinds_do_no_harm),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
