/*
 * inflate_block.c - block headers of deflate: stored blocks are copied, the codes of the others
 * made. Strict like zlib: what RFC 1951 does not allow is a fault, and the caller asks the
 * reference decoder what to make of it.
 */
#include "simd/inflate_lane.h"

#define PRE_NR     19u /* symbols of the code for code lengths */
#define PRE_BITS   7u
#define LENS_MAX   (LANE_LIT_NR + LANE_DIST_NR)
#define RUN_BYTES  16u /* written at once; zeros are there already, other runs are at most 10 */
#define LIT_NR_MAX 286u

/* The code for code lengths, looked up: | 15..8 value or 16..18 | 7..0 bits |, 0: no such code. */
struct pre_table {
	uint16_t entry[1u << PRE_BITS];
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

static bool block_fixed(struct canp_lane *lane)
{
	uint8_t lens[LANE_LIT_NR + LANE_DIST_NR];

	memset(lens, 8, 144);
	memset(lens + 144, 9, 112);
	memset(lens + 256, 7, 24);
	memset(lens + 280, 8, 8);
	memset(lens + LANE_LIT_NR, 5, LANE_DIST_NR);
	lane->bit += 3;
	return canp_lane_code_make(&lane->lit, lens, LANE_LIT_NR, false) &&
	       canp_lane_code_make(&lane->dist, lens + LANE_LIT_NR, LANE_DIST_NR, false);
}

static bool pre_make(struct pre_table *pre, const uint8_t *lens)
{
	struct canp_lane_code code;
	unsigned k = 0, value = 0;

	/* The code for code lengths has to be complete. */
	if (!canp_lane_code_make(&code, lens, PRE_NR, false) ||
	    code.limit[LANE_CODE_BITS] != 1u << LANE_CODE_BITS)
		return false;
	for (unsigned bits = 1; bits <= PRE_BITS; bits++)
		for (unsigned i = code.count[bits]; i; i--, value += 1u << (PRE_BITS - bits)) {
			uint16_t entry = (uint16_t)(code.symbol[k++] << 8 | bits);

			for (unsigned at = canp_lane_reverse16(value) >> (16 - PRE_BITS);
			     at < 1u << PRE_BITS; at += 1u << bits)
				pre->entry[at] = entry;
		}
	return true;
}

/* Reads n code lengths at lane->bit. lens: room for RUN_BYTES behind, zeros. */
static bool lens_read(struct canp_lane *lane, const struct pre_table *pre, uint8_t *lens,
		      unsigned n)
{
	static const uint8_t extra[3] = {2, 3, 7}, base[3] = {3, 3, 11};
	unsigned i = 0;

	while (i < n) {
		uint64_t w = canp_lane_peek(lane);

		/* Four symbols of at most 14 bits. */
		for (unsigned k = 0; k < 4 && i < n; k++) {
			unsigned e = pre->entry[w & ((1u << PRE_BITS) - 1)], symbol = e >> 8, run;

			w >>= e & 0xff;
			lane->bit += e & 0xff;
			if (symbol < 16) {
				lens[i++] = (uint8_t)symbol;
				continue;
			}
			symbol -= 16;
			run = base[symbol] + (unsigned)(w & ((1u << extra[symbol]) - 1));
			w >>= extra[symbol];
			lane->bit += extra[symbol];
			if (run > n - i || (symbol == 0 && i == 0))
				return false;
			if (symbol == 0)
				memset(lens + i, lens[i - 1], RUN_BYTES);
			else
				memset(lens + i, 0, RUN_BYTES);
			i += run;
		}
	}
	return lane->bit <= lane->bit_end;
}

static bool block_dynamic(struct canp_lane *lane)
{
	static const uint8_t order[PRE_NR] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
					      11, 4,  12, 3, 13, 2, 14, 1, 15};
	uint8_t pre_lens[PRE_NR] = {0}, lens[LENS_MAX + RUN_BYTES] = {0};
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
	/* A block without its end could only run into the end of the input. */
	return lens[256] != 0 && canp_lane_code_make(&lane->lit, lens, nr_lit, false) &&
	       canp_lane_code_make(&lane->dist, lens + nr_lit, nr_dist, true);
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
		canp_lane_fill_lit(tab->lit, &lane->lit);
		canp_lane_fill_dist(tab->dist, &lane->dist);
		return LANE_MORE;
	}
}
