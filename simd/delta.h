/*
 * delta.h - what the variants of the delta kernels share. Private to simd.
 */
#ifndef CANP_SIMD_DELTA_H
#define CANP_SIMD_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/units.h"

/* Division by 125 in vectors; why these are exact is said in delta_avx512.c. */
#define US_NEAR_BITS  35
#define US_NEAR_MAX   (1ll << 62)
#define US_NEAR_MAGIC 1099511628ll           /* ceil(2^37 / 125) */
#define US_FAR_BIAS   9223372036854776ll     /* ceil(2^60 / 125) */
#define US_FAR_MAGIC  9444732965739290428ull /* ceil(2^70 / 125) */

/* Zigzag ULEB128 of v into out; returns the bytes written, 1..10. */
static inline size_t canp_delta_zigzag(uint8_t *out, int64_t v)
{
	uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
	size_t n = 0;

	for (; z >= 128; z >>= 7)
		out[n++] = (uint8_t)(z | 128);
	out[n++] = (uint8_t)z;
	return n;
}

/* The differences of a block that is not full, 1 <= n < 128. What is missing counts as the smallest
 * one, which takes no bits, and miniblocks of nothing else take no bytes. */
static inline void canp_delta_part(const int64_t *v, size_t n, bool is32, int64_t d[128],
				   bool *back)
{
	int64_t min = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		uint64_t diff = (uint64_t)v[i + 1] - (uint64_t)v[i];

		*back |= v[i + 1] < v[i];
		d[i] = is32 ? (int32_t)(uint32_t)diff : (int64_t)diff;
		min = canp_min(min, d[i]);
	}
	for (size_t i = n; i < 128; i++)
		d[i] = min;
}

#endif
