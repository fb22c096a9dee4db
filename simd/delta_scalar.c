/*
 * delta_scalar.c - the portable time kernels: microseconds, differences, and one block of
 * DELTA_BINARY_PACKED (128 differences in four miniblocks of 32).
 *
 * A block is | zigzag ULEB128 smallest difference | 4 widths | miniblocks |: every difference is
 * stored as its distance from the smallest one, each miniblock at the width of its largest. All
 * arithmetic wraps modulo 2^64, as the format asks.
 */
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/delta.h"
#include "simd/kernels.h"

void canp_ns_to_us_scalar(const int64_t *ns, size_t n, int64_t *us)
{
	for (size_t i = 0; i < n; i++)
		us[i] = canp_floor_div(ns[i], CANP_NS_PER_US);
}

size_t canp_delta_block_scalar(const int64_t *v, size_t n, bool is32, uint8_t *out, bool *back)
{
	int64_t d[128], min = INT64_MAX;
	uint8_t *width;
	size_t len;

	for (size_t i = 0; i < n; i++) {
		uint64_t diff = (uint64_t)v[i + 1] - (uint64_t)v[i];

		*back |= v[i + 1] < v[i];
		d[i] = is32 ? (int32_t)(uint32_t)diff : (int64_t)diff;
		min = canp_min(min, d[i]);
	}
	len = canp_delta_zigzag(out, min);
	width = out + len;
	canp_put_le32(width, 0);
	len += 4;
	for (size_t m = 0; m < n; m += 32) {
		uint64_t x[32], any = 0;

		for (size_t i = 0; i < 32; i++) {
			x[i] = m + i < n ? (uint64_t)d[m + i] - (uint64_t)min : 0;
			any |= x[i];
		}
		width[m / 32] = any ? (uint8_t)(64 - __builtin_clzll(any)) : 0;
		len += canp_pack64_scalar(x, 32, width[m / 32], out + len);
	}
	return len;
}
