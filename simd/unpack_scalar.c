/*
 * unpack_scalar.c - from packed indices back to values, portably: bit-unpacking, and the two
 * conversions of an index into what it stands for.
 *
 * An index is raw + bias, so a physical value is (index - bias) * factor + offset. In double that
 * is one exact conversion and two roundings, never fused; in integers everything is modulo 2^32,
 * which lets the bias go into the summand.
 */
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "simd/kernels.h"

void canp_unpack16_scalar(const uint8_t *in, size_t n, unsigned w, uint16_t *out)
{
	size_t len = (n * w + 7) / 8, bit = 0;
	uint32_t mask = (1u << w) - 1;

	for (size_t i = 0; i < n; i++, bit += w) {
		size_t at = bit >> 3;
		uint32_t v = 0;

		if (canp_likely(at + 4 <= len))
			v = canp_le32(in + at);
		else
			memcpy(&v, in + at, len - at);
		out[i] = (uint16_t)((v >> (bit & 7)) & mask);
	}
}

void canp_index_f64_scalar(const uint16_t *idx, size_t n, int32_t bias, double factor,
			   double offset, double *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (double)((int32_t)idx[i] - bias) * factor + offset;
}

void canp_index_i32_scalar(const uint16_t *idx, size_t n, uint32_t mul, uint32_t add, uint32_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = idx[i] * mul + add;
}
