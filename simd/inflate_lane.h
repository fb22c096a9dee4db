/*
 * inflate_lane.h - a deflate stream in decoding: position, codes and lookup tables. Private to the
 * inflate files of simd.
 *
 * The lookup tables are made for a step without unpredictable branches: up to three literals, then
 * at most one match, each part found by one lookup and all parts added up. So an entry is a sum of
 * fields that do not disturb each other:
 *
 *   literal/length   | 31 hard | 25..20 length | 19..18 literals | 15..8 literal byte | 7..0 bits |
 *   distance         | 31..16 smallest distance | 15..8 bits of the code | 7..0 bits in all |
 *
 * Whether the next lookup counts is seen from the number of literals so far: bit 18 of the sum
 * behind the first, bit 19 behind the second. Three literal bytes may carry into bits 16 and 17,
 * not further. Length codes whose extra bits fit the index are expanded, one entry per length. What
 * a step cannot do is a hard entry: the sign of the sum. For the one-by-one decoder it names its
 * symbol in bits 16..8 and the bits of its code in 7..0, 0 when the code is longer than the index.
 */
#ifndef CANP_SIMD_INFLATE_LANE_H
#define CANP_SIMD_INFLATE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"

/* Five lanes of tables take 30 KiB of a 48 KiB L1. One bit more costs more in misses than it saves
 * in hard entries, one bit less is hard far too often. */
#define LANE_LIT_BITS  10u
#define LANE_DIST_BITS 9u
#define LANE_CODE_BITS 15u /* longest code of deflate */
#define LANE_LIT_NR    288u
#define LANE_DIST_NR   32u
/* The longest match of a step: the last length symbol that fits one vector, or two. */
#define LANE_NARROW_MAX 30u
#define LANE_WIDE_MAX   58u

#define LANE_HARD      (1u << 31)
#define LANE_ONE       (1u << 18)       /* one literal */
#define LANE_COUNT     (3u << 18)       /* where literals are counted */
#define LANE_HARD_DIST (63u | 63u << 8) /* distance 0 whatever the stream */

/* A step takes at most three codes of LANE_LIT_BITS (extra bits included) and a distance of
 * LANE_DIST_BITS + 13 bits: 52. A load of 64 bits at a byte has 57 of the stream. */
#define LANE_STEP_BITS 56u
/* Literals and the vectors of a match, of which up to 34 and 61 bytes are kept. */
#define LANE_NARROW_BYTES (3 + 32)
#define LANE_WIDE_BYTES   (3 + 64)

/* A canonical code for looking up symbol by symbol, the codes left-aligned to 15 bits. */
struct canp_lane_code {
	uint16_t limit[LANE_CODE_BITS + 1]; /* first value beyond the codes of this length */
	int16_t delta[LANE_CODE_BITS + 1];  /* code of this length + delta = index into symbol */
	uint16_t count[LANE_CODE_BITS + 1];
	uint16_t symbol[LANE_LIT_NR];
};

struct canp_lane_tables {
	uint32_t lit[1u << LANE_LIT_BITS];
	uint32_t dist[1u << LANE_DIST_BITS];
};

struct canp_lane {
	CANP_ALIGNED(CANP_CACHELINE)
	uint64_t bit; /* address of the next bit: 8 * the address of its byte + its number */
	uint8_t *out; /* next byte */
	uint8_t *out_start;
	uint8_t *out_end;
	uint64_t bit_end; /* of the bit behind the input */
	bool last_block;
	bool wide; /* the tables have matches of up to LANE_WIDE_MAX */
	struct canp_lane_code lit, dist;
};

/* What the interleaved loop works on. The assembly knows the offsets. */
#define LANE_NR         5u
#define LANE_LOOP_ALIGN 256u
struct canp_lanes {
	struct canp_lane_tables tab[LANE_NR];
	uint32_t steps; /* left of the current round */
	uint32_t zero; /* an entry of no bits and no bytes: what a conditional move takes instead */
	uint32_t count_mask;
	struct canp_lane lane[LANE_NR];
};

enum canp_lane_state {
	LANE_MORE,  /* inside a block whose tables are ready */
	LANE_EOB,   /* the block ended */
	LANE_END,   /* the last block ended */
	LANE_FAULT, /* not deflate, too short, or the output is too small */
};

/* Reads block headers, and whole stored blocks, until there are symbols: MORE, END or FAULT. */
enum canp_lane_state canp_lane_blocks(struct canp_lane *lane, struct canp_lane_tables *tab);

/* Decodes literals and the first thing behind them: MORE, EOB or FAULT. */
enum canp_lane_state canp_lane_symbols(struct canp_lane *lane, const struct canp_lane_tables *tab);

/* Decodes up to the end of the stream: END or FAULT. */
enum canp_lane_state canp_lane_finish(struct canp_lane *lane, struct canp_lane_tables *tab);

/* Takes up to `steps` steps in each lane at once. Returns the lane that met something a step cannot
 * do, which is then in front of it, or LANE_NR. Then l->steps - 1 more steps are what every lane
 * has left for sure: those before the one returned may have taken one that is not counted. The
 * caller guarantees canp_lane_room() >= steps for every lane; wide if one of them is. l is aligned
 * to LANE_LOOP_ALIGN. */
unsigned canp_lanes_run_avx2(struct canp_lanes *l, uint32_t steps, bool wide);

/* Makes a code from the lengths of n symbols; n is a multiple of 4, symbols without a code have
 * length 0. Complete codes, the single code of one bit and, with none_ok, no code at all are
 * accepted: what RFC 1951 allows. */
bool canp_lane_code_make(struct canp_lane_code *code, const uint8_t *lens, unsigned n,
			 bool none_ok);
/* Fills lookup tables from a code; wide: with matches of up to LANE_WIDE_MAX bytes. */
void canp_lane_fill_lit(uint32_t *tab, const struct canp_lane_code *code, bool wide);
void canp_lane_fill_dist(uint32_t *tab, const struct canp_lane_code *code);

/* Base values and extra bits of length symbols (symbol - 257) and distance symbols. */
#define LANE_LENGTH_NR   29u
#define LANE_DISTANCE_NR 30u
extern const uint16_t canp_lane_length_base[LANE_LENGTH_NR];
extern const uint8_t canp_lane_length_extra[LANE_LENGTH_NR];
extern const uint16_t canp_lane_distance_base[LANE_DISTANCE_NR];
extern const uint8_t canp_lane_distance_extra[LANE_DISTANCE_NR];

/* The lowest 16 bits in reverse order. */
static inline uint32_t canp_lane_reverse16(uint32_t v)
{
	v = (v & 0x5555) << 1 | (v >> 1 & 0x5555);
	v = (v & 0x3333) << 2 | (v >> 2 & 0x3333);
	v = (v & 0x0f0f) << 4 | (v >> 4 & 0x0f0f);
	return (v & 0x00ff) << 8 | (v >> 8 & 0x00ff);
}

static inline const uint8_t *canp_lane_byte(uint64_t bit)
{
	return (const uint8_t *)(uintptr_t)(bit >> 3);
}

/* At least 57 bits at `bit` of the lane's input, zeros behind its end. */
static inline uint64_t canp_lane_peek_at(const struct canp_lane *lane, uint64_t bit)
{
	const uint8_t *p = canp_lane_byte(bit), *end = canp_lane_byte(lane->bit_end);
	uint64_t w = 0;

	if (canp_likely(p + 8 <= end))
		w = canp_le64(p);
	else
		for (unsigned i = 0; p + i < end; i++)
			w |= (uint64_t)p[i] << 8 * i;
	return w >> (bit & 7);
}

static inline uint64_t canp_lane_peek(const struct canp_lane *lane)
{
	return canp_lane_peek_at(lane, lane->bit);
}

/* Steps that stay inside input and output whatever they decode; negative near an end. */
static inline int64_t canp_lane_room(const struct canp_lane *lane, bool wide)
{
	int64_t left = lane->out_end - lane->out;
	int64_t out = wide ? left / LANE_WIDE_BYTES : left / LANE_NARROW_BYTES;
	int64_t in = ((int64_t)(lane->bit_end - lane->bit) - 64) / (int64_t)LANE_STEP_BITS;

	return out < in ? out : in;
}

#endif
