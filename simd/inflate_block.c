/*
 * inflate_block.c - block headers of deflate: stored blocks are copied, the codes of the others
 * made. Strict like zlib: what RFC 1951 does not allow is a fault, and the caller asks the
 * reference decoder what to make of it.
 */
#include "simd/inflate_lane.h"

#define PRE_NR     19u /* symbols of the code for code lengths, padded to: */
#define PRE_PADDED 20u
#define PRE_BITS   7u
#define RUN_MAX    138u
#define RUN_BYTES  16u /* written at once; longer runs are zeros, which are there already */
#define LIT_NR_MAX 286u
/* One symbol in 256: leaving the loop costs some 150 cycles, the second vector half a cycle a step.
 */
#define WIDE_SHARE ((1u << LANE_CODE_BITS) / 256)
/* A last run may end behind the last length. */
#define LENS_MAX (LANE_LIT_NR + LANE_DIST_NR + RUN_MAX + RUN_BYTES)

/* The code for code lengths, looked up. An entry is a run of equal lengths:
 * | 31..28 length before, kept | 27..24 length | 23..16 smallest run | 15..8 bits of the code |
 * 7..0 bits in all |. */
struct pre_table {
	uint32_t entry[1u << PRE_BITS];
};

static enum canp_lane_state block_stored(struct canp_lane *lane)
{
	const uint8_t *p = canp_lane_byte(lane->bit + 3 + 7), *end = canp_lane_byte(lane->bit_end);
	size_t n;

	if (end - p < 4)
		return LANE_FAULT;
	n = canp_le16(p);
	if ((n ^ canp_le16(p + 2)) != 0xffff)
		return LANE_FAULT;
	p += 4;
	if ((size_t)(end - p) < n || (size_t)(lane->out_end - lane->out) < n)
		return LANE_FAULT;
	if (n)
		memcpy(lane->out, p, n);
	lane->out += n;
	lane->bit = 8 * (uint64_t)(uintptr_t)(p + n);
	return LANE_MORE;
}

/* Whether matches of 31 to 58 bytes, symbols 272 to 275, are so frequent that leaving the loop for
 * each costs more than copying 64 bytes for every match: by their share in the code. */
static bool lens_wide(const uint8_t *lens)
{
	unsigned share = 0;

	for (unsigned symbol = 272; symbol <= 275; symbol++)
		if (lens[symbol])
			share += (1u << LANE_CODE_BITS) >> lens[symbol];
	return share >= WIDE_SHARE;
}

static bool block_fixed(struct canp_lane *lane)
{
	uint8_t lens[LANE_LIT_NR + LANE_DIST_NR];

	memset(lens, 8, 144);
	memset(lens + 144, 9, 112);
	memset(lens + 256, 7, 24);
	memset(lens + 280, 8, 8);
	memset(lens + LANE_LIT_NR, 5, LANE_DIST_NR);
	lane->bit += 3;
	lane->wide = true;
	return canp_lane_code_make(&lane->lit, lens, LANE_LIT_NR, false) &&
	       canp_lane_code_make(&lane->dist, lens + LANE_LIT_NR, LANE_DIST_NR, false);
}

static uint32_t pre_entry(unsigned symbol, unsigned bits)
{
	switch (symbol) {
	case 16: /* the length before, 3..6 times */
		return 15u << 28 | 3u << 16 | bits << 8 | (bits + 2);
	case 17: /* 3..10 zeros */
		return 3u << 16 | bits << 8 | (bits + 3);
	case 18: /* 11..138 zeros */
		return 11u << 16 | bits << 8 | (bits + 7);
	default:
		return symbol << 24 | 1u << 16 | bits << 8 | bits;
	}
}

static bool pre_make(struct pre_table *pre, const uint8_t *lens)
{
	struct canp_lane_code code;
	unsigned k = 0, value = 0;

	/* The code for code lengths has to be complete. */
	if (!canp_lane_code_make(&code, lens, PRE_PADDED, false) ||
	    code.limit[LANE_CODE_BITS] != 1u << LANE_CODE_BITS)
		return false;
	for (unsigned bits = 1; bits <= PRE_BITS; bits++)
		for (unsigned i = code.count[bits]; i; i--, value += 1u << (PRE_BITS - bits)) {
			uint32_t entry = pre_entry(code.symbol[k++], bits);

			for (unsigned at = canp_lane_reverse16(value) >> (16 - PRE_BITS);
			     at < 1u << PRE_BITS; at += 1u << bits)
				pre->entry[at] = entry;
		}
	return true;
}

/* Reads n code lengths at lane->bit into LENS_MAX bytes of zeros. Lengths and runs come in no
 * foreseeable order, so they are handled alike: RUN_BYTES are written, then the run is counted. */
static bool lens_read(struct canp_lane *lane, const struct pre_table *pre, uint8_t *lens,
		      unsigned n)
{
	/* Kept here: written to the lane, it would be read back for each symbol, because lens may
	 * be anything. */
	uint64_t bit = lane->bit, w = canp_lane_peek_at(lane, bit), length = 0;
	uint32_t e = pre->entry[w & ((1u << PRE_BITS) - 1)];
	unsigned i = 0;

	/* There is no length before the first. */
	if (e >> 28)
		return false;
	while (i < n) {
		w = canp_lane_peek_at(lane, bit);
		/* Four symbols of at most 14 bits. */
		for (unsigned k = 0; k < 4 && i < n; k++) {
			e = pre->entry[w & ((1u << PRE_BITS) - 1)];
			length = (e >> 24 & 15) | (length & e >> 28);
			canp_put_le64(lens + i, length * 0x0101010101010101ull);
			canp_put_le64(lens + i + 8, length * 0x0101010101010101ull);
			i += (e >> 16 & 0xff) +
			     (unsigned)((w & ((1u << (e & 31)) - 1)) >> (e >> 8 & 31));
			w >>= e & 0x3f;
			bit += e & 0xff;
		}
	}
	lane->bit = bit;
	return i == n && lane->bit <= lane->bit_end;
}

static bool block_dynamic(struct canp_lane *lane)
{
	static const uint8_t order[PRE_NR] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
					      11, 4,  12, 3, 13, 2, 14, 1, 15};
	uint8_t pre_lens[PRE_PADDED] = {0}, lens[LENS_MAX] = {0}, dist_lens[LANE_DIST_NR];
	uint64_t w = canp_lane_peek(lane) >> 3;
	unsigned nr_lit = (w & 31) + 257, nr_dist = (w >> 5 & 31) + 1, nr_pre = (w >> 10 & 15) + 4;
	struct pre_table pre;

	if (nr_lit > LIT_NR_MAX || nr_dist > LANE_DISTANCE_NR)
		return false;
	lane->bit += 17;
	w = canp_lane_peek(lane);
	for (unsigned i = 0; i < nr_pre; i++, w >>= 3)
		pre_lens[order[i]] = w & 7;
	lane->bit += 3 * nr_pre;
	if (!pre_make(&pre, pre_lens) || !lens_read(lane, &pre, lens, nr_lit + nr_dist))
		return false;
	/* What was written behind the last length is none. */
	memset(lens + nr_lit + nr_dist, 0, LANE_DIST_NR);
	memcpy(dist_lens, lens + nr_lit, LANE_DIST_NR);
	memset(lens + nr_lit, 0, LANE_LIT_NR - nr_lit);
	lane->wide = lens_wide(lens);
	/* A block without its end could only run into the end of the input. */
	return lens[256] != 0 && canp_lane_code_make(&lane->lit, lens, LANE_LIT_NR, false) &&
	       canp_lane_code_make(&lane->dist, dist_lens, LANE_DIST_NR, true);
}

enum canp_lane_state canp_lane_blocks(struct canp_lane *lane, struct canp_lane_tables *tab)
{
	for (;;) {
		unsigned head = canp_lane_peek(lane) & 7;
		bool good = false;

		if (lane->last_block)
			return LANE_END;
		if (lane->bit_end - lane->bit < 3)
			return LANE_FAULT;
		lane->last_block = head & 1;
		switch (head >> 1) {
		case 0:
			if (block_stored(lane) == LANE_FAULT)
				return LANE_FAULT;
			continue;
		case 1:
			good = block_fixed(lane);
			break;
		case 2:
			good = block_dynamic(lane);
			break;
		}
		if (!good)
			return LANE_FAULT;
		canp_lane_fill_lit(tab->lit, &lane->lit, lane->wide);
		canp_lane_fill_dist(tab->dist, &lane->dist);
		return LANE_MORE;
	}
}
