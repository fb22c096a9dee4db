/*
 * inflate_code.c - Huffman codes of deflate: from code lengths to lookup tables.
 *
 * A deflate block of CAN data is 36..65 KiB of output and in 10 KiB members every member has its
 * own, so making the tables is 6..20 % of the time of inflating: hence tables are filled by
 * doubling. A code of n bits needs an entry in the first 2^n places only; before the codes of n + 1
 * bits are entered, what is there is copied behind itself.
 */
#include "simd/inflate_lane.h"

const uint16_t canp_lane_length_base[LANE_LENGTH_NR] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
							15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
							67, 83, 99, 115, 131, 163, 195, 227, 258};
const uint8_t canp_lane_length_extra[LANE_LENGTH_NR] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
							2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
const uint16_t canp_lane_distance_base[LANE_DISTANCE_NR] = {
	1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
	193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
const uint8_t canp_lane_distance_extra[LANE_DISTANCE_NR] = {0, 0, 0,  0,  1,  1,  2,  2,  3,  3,
							    4, 4, 5,  5,  6,  6,  7,  7,  8,  8,
							    9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/* Codes of neighbours are often equally long, so that counting them one after the other is a chain
 * of increments of the same memory, five cycles each. Four quarters counted side by side are four
 * chains, and sorting in quarters keeps the order of the symbols. */
#define QUARTERS 4u

static void code_count(uint16_t hist[QUARTERS][LANE_CODE_BITS + 1], const uint8_t *lens,
		       unsigned quarter)
{
	memset(hist, 0, QUARTERS * sizeof(hist[0]));
	for (unsigned i = 0; i < quarter; i++) {
		hist[0][lens[i]]++;
		hist[1][lens[quarter + i]]++;
		hist[2][lens[2 * quarter + i]]++;
		hist[3][lens[3 * quarter + i]]++;
	}
}

/* next: where the symbols of each quarter and length go. */
static void code_sort(struct canp_lane_code *code, uint16_t next[QUARTERS][LANE_CODE_BITS + 1],
		      const uint8_t *lens, unsigned quarter)
{
	for (unsigned i = 0; i < quarter; i++)
		for (unsigned q = 0; q < QUARTERS; q++) {
			unsigned symbol = q * quarter + i;

			code->symbol[next[q][lens[symbol]]++] = (uint16_t)symbol;
		}
}

bool canp_lane_code_make(struct canp_lane_code *code, const uint8_t *lens, unsigned n, bool none_ok)
{
	uint16_t hist[QUARTERS][LANE_CODE_BITS + 1];
	uint32_t left = 1u << LANE_CODE_BITS, value = 0, index = 0;

	code_count(hist, lens, n / QUARTERS);
	for (unsigned len = 1; len <= LANE_CODE_BITS; len++) {
		uint32_t share = 1u << (LANE_CODE_BITS - len), first = index;

		for (unsigned q = 0; q < QUARTERS; q++) {
			uint32_t count = hist[q][len];

			hist[q][len] = (uint16_t)index;
			index += count;
		}
		code->count[len] = (uint16_t)(index - first);
		if ((index - first) * share > left)
			return false;
		left -= (index - first) * share;
		code->delta[len] = (int16_t)((int32_t)first - (int32_t)(value / share));
		value += (index - first) * share;
		code->limit[len] = (uint16_t)value;
	}
	if (left && !(index == 1 && code->count[1] == 1) && !(index == 0 && none_ok))
		return false;
	/* Symbols without a code are sorted behind the others. */
	for (unsigned q = 0; q < QUARTERS; q++) {
		uint32_t count = hist[q][0];

		hist[q][0] = (uint16_t)index;
		index += count;
	}
	code_sort(code, hist, lens, n / QUARTERS);
	return true;
}

/* The lowest 10 bits in reverse order, by table: computing it took a third of the filling. */
#define R2(n) (n), (n) + 2 * 256, (n) + 1 * 256, (n) + 3 * 256
#define R4(n) R2(n), R2((n) + 2 * 64), R2((n) + 1 * 64), R2((n) + 3 * 64)
#define R6(n) R4(n), R4((n) + 2 * 16), R4((n) + 1 * 16), R4((n) + 3 * 16)
#define R8(n) R6(n), R6((n) + 2 * 4), R6((n) + 1 * 4), R6((n) + 3 * 4)
static const uint16_t code_reverse[1u << LANE_LIT_BITS] = {R8(0), R8(2), R8(1), R8(3)};

CANP_STATIC_ASSERT(LANE_LIT_BITS == 10 && LANE_DIST_BITS <= 10, "code_reverse has ten bits");

/* Entries of literal/length symbols without the bits of their codes. */
#define E_LIT(n)   LANE_ONE | (n) << 8
#define E_LIT4(n)  E_LIT(n), E_LIT((n) + 1), E_LIT((n) + 2), E_LIT((n) + 3)
#define E_LIT16(n) E_LIT4(n), E_LIT4((n) + 4), E_LIT4((n) + 8), E_LIT4((n) + 12)
#define E_LIT64(n) E_LIT16(n), E_LIT16((n) + 16), E_LIT16((n) + 32), E_LIT16((n) + 48)
#define E_LEN(n)   (n) << 20
#define E_HARD(n)  LANE_HARD | (n) << 8
#define E_HARD4(n) E_HARD(n), E_HARD((n) + 1), E_HARD((n) + 2), E_HARD((n) + 3)
#define E_HARD8(n) E_HARD4(n), E_HARD4((n) + 4)
static const uint32_t lit_entry[LANE_LIT_NR] = {
	E_LIT64(0u),   E_LIT64(64u), E_LIT64(128u), E_LIT64(192u), /* literals */
	E_HARD(256u),                                              /* end of the block */
	E_LEN(3u),     E_LEN(4u),    E_LEN(5u),     E_LEN(6u),     E_LEN(7u),
	E_LEN(8u),     E_LEN(9u),    E_LEN(10u),    E_HARD8(265u), E_HARD8(273u),
	E_HARD4(281u), E_HARD(285u), E_HARD(286u),  E_HARD(287u),
};

/* Symbols with extra bits whose lengths all fit a step, to be expanded. */
#define EXPAND_FIRST  265u
#define EXPAND_NARROW 7u
#define EXPAND_WIDE   11u
CANP_STATIC_ASSERT(LANE_NARROW_MAX == 30 && LANE_WIDE_MAX == 58, "symbols up to 271 and 275");

/* One entry per value of the extra bits, where they fit the index. */
static void lit_expand(uint32_t *tab, unsigned symbol, unsigned at, unsigned bits)
{
	unsigned k = symbol - 257, extra = canp_lane_length_extra[k], all = bits + extra;

	if (all > LANE_LIT_BITS)
		return;
	for (unsigned v = 0; v < 1u << extra; v++)
		for (unsigned i = at | v << bits; i < 1u << LANE_LIT_BITS; i += 1u << all)
			tab[i] = (uint32_t)(canp_lane_length_base[k] + v) << 20 | all;
}

/* Entries for the places of the shortest codes, to be doubled from there; returns their bits less
 * one. Doubling from one entry would be mostly calls. */
static unsigned fill_start(uint32_t *tab, const struct canp_lane_code *code, unsigned bits_max,
			   uint32_t entry)
{
	unsigned bits = 0;

	while (bits + 1 < bits_max && code->count[bits + 1] == 0)
		bits++;
	for (unsigned i = 0; i < 1u << bits; i++)
		tab[i] = entry;
	return bits;
}

void canp_lane_fill_lit(uint32_t *tab, const struct canp_lane_code *code, bool wide)
{
	const uint16_t *symbol = code->symbol;
	uint32_t late[EXPAND_WIDE + 1]; /* | 31..24 bits | 23..12 symbol | 11..0 place | */
	unsigned nr_late = 0, expand = wide ? EXPAND_WIDE : EXPAND_NARROW;
	unsigned value = 0, bits = fill_start(tab, code, LANE_LIT_BITS, LANE_HARD);

	while (++bits <= LANE_LIT_BITS) {
		unsigned half = 1u << (bits - 1), step = 1u << (LANE_LIT_BITS - bits);

		memcpy(tab + half, tab, half * sizeof(*tab));
		for (unsigned i = code->count[bits]; i; i--, value += step) {
			unsigned s = *symbol++, at = code_reverse[value];

			tab[at] = lit_entry[s] | bits;
			/* Always written, rarely counted: which symbols follow is not foreseeable.
			 */
			late[nr_late] = bits << 24 | s << 12 | at;
			nr_late += s - EXPAND_FIRST < expand;
		}
	}
	/* Where longer codes begin, and where an incomplete code ends, nothing may be left over. */
	for (; value < 1u << LANE_LIT_BITS; value++)
		tab[code_reverse[value]] = LANE_HARD;
	for (unsigned i = 0; i < nr_late; i++)
		lit_expand(tab, late[i] >> 12 & 0xfff, late[i] & 0xfff, late[i] >> 24);
}

void canp_lane_fill_dist(uint32_t *tab, const struct canp_lane_code *code)
{
	const uint16_t *symbol = code->symbol;
	unsigned value = 0, bits = fill_start(tab, code, LANE_DIST_BITS, LANE_HARD_DIST);

	while (++bits <= LANE_DIST_BITS) {
		unsigned half = 1u << (bits - 1), step = 1u << (LANE_LIT_BITS - bits);

		memcpy(tab + half, tab, half * sizeof(*tab));
		for (unsigned i = code->count[bits]; i; i--, value += step) {
			unsigned s = *symbol++;

			tab[code_reverse[value]] =
				s < LANE_DISTANCE_NR
					? (uint32_t)canp_lane_distance_base[s] << 16 | bits << 8 |
						  (bits + canp_lane_distance_extra[s])
					: LANE_HARD_DIST;
		}
	}
	for (; value < 1u << LANE_LIT_BITS; value += 1u << (LANE_LIT_BITS - LANE_DIST_BITS))
		tab[code_reverse[value]] = LANE_HARD_DIST;
}
