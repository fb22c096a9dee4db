/*
 * bitset.h - bits in an array of 64-bit words that the caller owns, and slots handed out from it:
 * a bounded set of operations needs no list and no allocation. One thread at a time.
 */
#ifndef CANP_BASE_BITSET_H
#define CANP_BASE_BITSET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CANP_BITSET_WORDS(nr)      (((nr) + 63u) / 64u)
#define CANP_BITSET_DECL(name, nr) uint64_t name[CANP_BITSET_WORDS(nr)]

static inline void canp_bitset_zero(uint64_t *set, unsigned nr)
{
	memset(set, 0, CANP_BITSET_WORDS(nr) * sizeof(*set));
}

static inline bool canp_bitset_test(const uint64_t *set, unsigned i)
{
	return set[i / 64] >> (i % 64) & 1;
}

static inline void canp_bitset_set(uint64_t *set, unsigned i)
{
	set[i / 64] |= 1ULL << (i % 64);
}

static inline void canp_bitset_clear(uint64_t *set, unsigned i)
{
	set[i / 64] &= ~(1ULL << (i % 64));
}

static inline unsigned canp_bitset_count(const uint64_t *set, unsigned nr)
{
	unsigned n = 0;

	for (unsigned w = 0; w < CANP_BITSET_WORDS(nr); w++)
		n += (unsigned)__builtin_popcountll(set[w]);
	return n;
}

/* First set bit at or above `from`, nr when there is none. */
static inline unsigned canp_bitset_next(const uint64_t *set, unsigned nr, unsigned from)
{
	if (from >= nr)
		return nr;
	for (unsigned w = from / 64; w < CANP_BITSET_WORDS(nr); w++) {
		uint64_t bits = set[w];

		if (w == from / 64)
			bits &= ~0ULL << (from % 64);
		if (bits) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(bits);

			return i < nr ? i : nr;
		}
	}
	return nr;
}

/* Takes the lowest clear bit; -1 when all nr are set. */
static inline int canp_bitset_acquire(uint64_t *set, unsigned nr)
{
	for (unsigned w = 0; w < CANP_BITSET_WORDS(nr); w++) {
		unsigned i;

		if (set[w] == ~0ULL)
			continue;
		i = w * 64 + (unsigned)__builtin_ctzll(~set[w]);
		if (i >= nr)
			return -1;
		canp_bitset_set(set, i);
		return (int)i;
	}
	return -1;
}

#define canp_bitset_for_each(i, set, nr)                                                           \
	for (unsigned i = canp_bitset_next(set, nr, 0); i < (nr);                                  \
	     i = canp_bitset_next(set, nr, i + 1))

#endif
