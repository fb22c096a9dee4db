/*
 * extract_scalar.c - the portable column kernels: windows, byte order, extraction, masks.
 *
 * These define what the vector variants must compute; they are also what runs under memcheck and
 * on processors without AVX-512, so the loops are plain enough for the compiler to vectorise.
 */
#include <string.h>

#include "core/base/bytes.h"
#include "simd/kernels.h"

void canp_window_scalar(const uint8_t *rec, size_t stride, size_t off, size_t n, uint64_t *out)
{
	rec += off;
	for (size_t i = 0; i < n; i++, rec += stride)
		out[i] = canp_le64(rec);
}

void canp_bswap64_scalar(const uint64_t *in, size_t n, uint64_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = __builtin_bswap64(in[i]);
}

static inline uint64_t extract_mask(unsigned len)
{
	return ~0ull >> (64 - len);
}

#define EXTRACT(bits)                                                                              \
	void canp_extract##bits##_scalar(const uint64_t *win, size_t n, unsigned shift,            \
					 unsigned len, uint64_t flip, uint##bits##_t *out,         \
					 struct canp_minmax *mm)                                   \
	{                                                                                          \
		const uint64_t mask = extract_mask(len);                                           \
		uint##bits##_t lo = (uint##bits##_t) ~0ull, hi = 0;                                \
                                                                                                   \
		for (size_t i = 0; i < n; i++) {                                                   \
			uint##bits##_t v = (uint##bits##_t)((win[i] >> shift & mask) ^ flip);      \
                                                                                                   \
			out[i] = v;                                                                \
			lo = v < lo ? v : lo;                                                      \
			hi = v > hi ? v : hi;                                                      \
		}                                                                                  \
		mm->min = n ? lo : UINT64_MAX;                                                     \
		mm->max = hi;                                                                      \
	}
EXTRACT(16)
EXTRACT(32)
EXTRACT(64)
#undef EXTRACT

uint64_t canp_varying_scalar(const uint64_t *v, size_t n)
{
	uint64_t any = 0;

	for (size_t i = 1; i < n; i++)
		any |= v[i] ^ v[0];
	return any;
}

void canp_range_mask_scalar(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			    uint64_t lo, uint64_t hi, uint32_t mask[8])
{
	const uint64_t field = extract_mask(len);

	memset(mask, 0, 8 * sizeof(mask[0]));
	for (size_t i = 0; i < n; i++) {
		uint64_t v = win[i] >> shift & field;

		mask[i / 32] |= (uint32_t)(v >= lo && v <= hi) << (i % 32);
	}
}

/* Always stores, then advances by the mask bit: the row after the last kept one is scratch, and it
 * lies at or before the row just read, so nothing is lost. */
#define COMPRESS(bits)                                                                             \
	size_t canp_compress##bits##_scalar(uint##bits##_t *v, size_t n, const uint32_t mask[8])   \
	{                                                                                          \
		size_t kept = 0;                                                                   \
                                                                                                   \
		for (size_t i = 0; i < n; i++) {                                                   \
			v[kept] = v[i];                                                            \
			kept += mask[i / 32] >> (i % 32) & 1;                                      \
		}                                                                                  \
		return kept;                                                                       \
	}
COMPRESS(16)
COMPRESS(32)
COMPRESS(64)
#undef COMPRESS

void canp_bounds16_scalar(const uint16_t *v, size_t n, struct canp_minmax *mm)
{
	*mm = (struct canp_minmax){.min = UINT64_MAX};
	for (size_t i = 0; i < n; i++) {
		mm->min = v[i] < mm->min ? v[i] : mm->min;
		mm->max = v[i] > mm->max ? v[i] : mm->max;
	}
}
