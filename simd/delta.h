/*
 * delta.h - what the variants of the delta kernels share. Private to simd.
 */
#ifndef CANP_SIMD_DELTA_H
#define CANP_SIMD_DELTA_H

#include <stddef.h>
#include <stdint.h>

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

#endif
