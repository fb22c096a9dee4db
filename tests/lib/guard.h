/*
 * guard.h - memory between two pages that may not be touched, to prove that code stays inside its
 * spans: put the span against the rear guard to catch over-reads, against the front one to catch
 * under-reads.
 */
#ifndef TESTS_LIB_GUARD_H
#define TESTS_LIB_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct guard {
	uint8_t *mem; /* first usable byte, page aligned */
	size_t bytes; /* usable, a multiple of the page size */
	size_t page;
};

/* At least `bytes` usable bytes, filled with 0xa5. Aborts the program when mmap fails. */
void guard_open(struct guard *g, size_t bytes);
void guard_close(struct guard *g);
/* Start of a span of `bytes` that ends at the rear guard. */
uint8_t *guard_rear(const struct guard *g, size_t bytes);

/* Small seeded generator (xorshift64*), the same on every host. */
static inline uint64_t guard_rand(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

#endif
