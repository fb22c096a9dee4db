/*
 * delta32_scalar.c - DELTA_BINARY_PACKED blocks of 32-bit values, portably. A block is the least
 * difference as a zigzag varint, four width bytes and four miniblocks of 32 differences above it;
 * what a last block lacks is zeros, and miniblocks without a difference have width 0 and no bytes.
 */
#include "core/base/units.h"
#include "simd/delta.h"
#include "simd/kernels.h"

static size_t delta32_block(const uint32_t *v, size_t n, uint8_t *out)
{
	uint32_t d[128] = {0}, any;
	int32_t min = INT32_MAX;
	uint8_t *width;
	size_t len;

	for (size_t i = 0; i < n; i++) {
		d[i] = v[i + 1] - v[i];
		min = canp_min(min, (int32_t)d[i]);
	}
	len = canp_delta_zigzag(out, min);
	width = out + len;
	len += 4;
	for (size_t i = 0; i < n; i++)
		d[i] -= (uint32_t)min;
	for (size_t m = 0; m < 4; m++) {
		any = 0;
		for (size_t i = 0; i < 32; i++)
			any |= d[m * 32 + i];
		width[m] = any ? (uint8_t)(32 - __builtin_clz(any)) : 0;
		len += canp_pack32_scalar(d + m * 32, 32, width[m], out + len);
	}
	return len;
}

size_t canp_delta32_scalar(const uint32_t *v, size_t n, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i += 128)
		len += delta32_block(v + i, canp_min(n - i, (size_t)128), out + len);
	return len;
}
