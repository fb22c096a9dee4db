/*
 * inflate_scalar.c - deflate symbols one after the other, in portable C: the reference of the
 * interleaved decoder, what it does where a step of its own cannot, and how streams end.
 *
 * canp_lane_symbols() checks every symbol and works anywhere; canp_lane_finish() adds a loop that
 * needs no checks of input and output while canp_lane_room() says so.
 */
#include "simd/inflate_lane.h"

#define LIT_MASK  ((1u << LANE_LIT_BITS) - 1)
#define DIST_MASK ((1u << LANE_DIST_BITS) - 1)
#define STOP_NONE 0xffffu /* no code of up to 15 bits */

/* The symbol that w starts with and the bits of its code, which are not less than `from`. The
 * length is counted, not searched: which one it is would be a branch nobody foresees. */
static inline unsigned code_symbol(const struct canp_lane_code *code, uint64_t w, unsigned from,
				   unsigned *bits)
{
	unsigned value = canp_lane_reverse16((uint32_t)w) >> 1, n = from;

	for (unsigned i = from; i < LANE_CODE_BITS; i++)
		n += value >= code->limit[i];
	if (value >= code->limit[LANE_CODE_BITS])
		return STOP_NONE;
	*bits = n;
	return code->symbol[(int)(value >> (LANE_CODE_BITS - n)) + code->delta[n]];
}

static void copy_match(struct canp_lane *lane, size_t distance, size_t length)
{
	uint8_t *dst = lane->out;
	const uint8_t *src = dst - distance;

	lane->out += length;
	if (distance >= 8 && (size_t)(lane->out_end - lane->out) >= 8) {
		for (size_t i = 0; i < length; i += 8)
			canp_put_le64(dst + i, canp_le64(src + i));
		return;
	}
	for (size_t i = 0; i < length; i++)
		dst[i] = src[i];
}

/* A match of which the length is known; w starts with its distance. */
static enum canp_lane_state symbol_match(struct canp_lane *lane, const struct canp_lane_tables *tab,
					 uint64_t w, size_t length)
{
	uint32_t d = tab->dist[w & DIST_MASK];
	unsigned bits = d >> 8 & 0xff;
	size_t distance = d >> 16;

	if (d == LANE_HARD_DIST) {
		unsigned symbol = code_symbol(&lane->dist, w, 1, &bits);

		if (symbol >= LANE_DISTANCE_NR)
			return LANE_FAULT;
		distance = canp_lane_distance_base[symbol];
		d = bits + canp_lane_distance_extra[symbol];
	}
	distance += (w & ((1ull << (d & 0xff)) - 1)) >> bits;
	lane->bit += d & 0xff;
	if (lane->bit > lane->bit_end || distance > (size_t)(lane->out - lane->out_start) ||
	    length > (size_t)(lane->out_end - lane->out))
		return LANE_FAULT;
	copy_match(lane, distance, length);
	return LANE_MORE;
}

/* Anything that has no plain entry: e is hard or a match. */
static enum canp_lane_state symbol_other(struct canp_lane *lane, const struct canp_lane_tables *tab,
					 uint64_t w, uint32_t e)
{
	unsigned bits = e & 0xff, symbol = e >> 8 & 0x1ff, extra;

	if (!(e & LANE_HARD)) {
		lane->bit += bits;
		return symbol_match(lane, tab, w >> bits, e >> 20 & 0x3f);
	}
	if (bits == 0)
		symbol = code_symbol(&lane->lit, w, LANE_LIT_BITS + 1, &bits);
	if (symbol >= 257 + LANE_LENGTH_NR)
		return LANE_FAULT;
	lane->bit += bits;
	w >>= bits;
	if (symbol < 256) {
		if (lane->out == lane->out_end || lane->bit > lane->bit_end)
			return LANE_FAULT;
		*lane->out++ = (uint8_t)symbol;
		return LANE_MORE;
	}
	if (symbol == 256)
		return lane->bit <= lane->bit_end ? LANE_EOB : LANE_FAULT;
	symbol -= 257;
	extra = canp_lane_length_extra[symbol];
	lane->bit += extra;
	return symbol_match(lane, tab, w >> extra,
			    canp_lane_length_base[symbol] + (w & ((1u << extra) - 1)));
}

enum canp_lane_state canp_lane_symbols(struct canp_lane *lane, const struct canp_lane_tables *tab)
{
	/* A loop leaves a step to us because of what comes behind two literals at most: going on to
	 * it saves leaving the loop for each of them. */
	for (unsigned i = 0;; i++) {
		uint64_t w = canp_lane_peek(lane);
		uint32_t e = tab->lit[w & LIT_MASK];

		if (!(e & LANE_ONE))
			return symbol_other(lane, tab, w, e);
		if (lane->out == lane->out_end || lane->bit + (e & 0xff) > lane->bit_end)
			return LANE_FAULT;
		lane->bit += e & 0xff;
		*lane->out++ = (uint8_t)(e >> 8);
		if (i == 3)
			return LANE_MORE;
	}
}

/* The bytes of a vector or two, of which those within the distance are right. */
static inline void step_copy(uint8_t *to, size_t distance, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 16) {
		uint64_t a = canp_le64(to - distance + i), b = canp_le64(to - distance + i + 8);

		canp_put_le64(to + i, a);
		canp_put_le64(to + i + 8, b);
	}
}

/* Up to n steps without a check; ends early in front of a hard symbol. */
static void finish_steps(struct canp_lane *lane, const struct canp_lane_tables *tab, int64_t n)
{
	uint64_t bit = lane->bit;
	uint8_t *out = lane->out;

	for (; n > 0; n--) {
		uint64_t w = canp_le64(canp_lane_byte(bit)) >> (bit & 7), at = bit;
		uint32_t e = tab->lit[w & LIT_MASK], d;
		uint8_t *to = out;
		size_t length, distance;
		unsigned i = 0;

		for (; i < 3 && (e & LANE_ONE); i++) {
			*to++ = (uint8_t)(e >> 8);
			w >>= e & 0x3f;
			at += e & 0x3f;
			e = tab->lit[w & LIT_MASK];
		}
		/* Behind three literals w may not have a whole match any more. */
		if (i < 3) {
			d = tab->dist[(w >> (e & 0x3f)) & DIST_MASK];
			if ((e & LANE_HARD) || d == LANE_HARD_DIST)
				break;
			w >>= e & 0x3f;
			length = e >> 20 & 0x3f;
			distance = (d >> 16) + ((w & ((1u << (d & 0x3f)) - 1)) >> (d >> 8 & 0xff));
			if (distance < length || distance > (size_t)(to - lane->out_start))
				break;
			step_copy(to, distance, length > 32 ? 64 : 32);
			at += (e & 0x3f) + (d & 0x3f);
			to += length;
		}
		bit = at;
		out = to;
	}
	lane->bit = bit;
	lane->out = out;
}

enum canp_lane_state canp_lane_finish(struct canp_lane *lane, struct canp_lane_tables *tab)
{
	for (;;) {
		enum canp_lane_state state;

		finish_steps(lane, tab, canp_lane_room(lane, lane->wide));
		state = canp_lane_symbols(lane, tab);
		if (state == LANE_EOB)
			state = canp_lane_blocks(lane, tab);
		if (state != LANE_MORE)
			return state;
	}
}
