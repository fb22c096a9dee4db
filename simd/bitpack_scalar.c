/*
 * bitpack_scalar.c - Parquet bit-packing through a 64-bit accumulator.
 *
 * Neighbouring values are merged first while they fit 64 bits, so the accumulator with its one
 * branch (predicted: the pattern repeats) is fed a half or a quarter as often. Whole words are
 * stored; the last store may touch up to 7 bytes of the slack that the contract grants.
 */
#include "core/base/bytes.h"
#include "simd/kernels.h"

struct pack_acc {
	uint8_t *out;
	uint64_t bits;
	unsigned fill; /* valid low bits, 0..63 */
};

/* Appends the low `w` bits of x, 1..64; the higher ones must be 0. */
static inline void pack_put(struct pack_acc *acc, uint64_t x, unsigned w)
{
	unsigned fill = acc->fill + w;

	acc->bits |= x << acc->fill;
	if (fill >= 64) {
		canp_put_le64(acc->out, acc->bits);
		acc->out += 8;
		acc->bits = acc->fill ? x >> (64 - acc->fill) : 0;
		fill -= 64;
	}
	acc->fill = fill;
}

/* n * w is a multiple of 8, so what is left is whole bytes. */
static inline size_t pack_finish(struct pack_acc *acc, size_t n, unsigned w)
{
	if (acc->fill)
		canp_put_le64(acc->out, acc->bits);
	return n * w / 8;
}

size_t canp_pack16_scalar(const uint16_t *v, size_t n, unsigned w, uint8_t *out)
{
	struct pack_acc acc = {.out = out};

	if (w == 0)
		return 0;
	for (size_t i = 0; i < n; i += 4, v += 4)
		pack_put(&acc,
			 v[0] | (uint64_t)v[1] << w | (uint64_t)v[2] << (2 * w) |
				 (uint64_t)v[3] << (3 * w),
			 4 * w);
	return pack_finish(&acc, n, w);
}

size_t canp_pack32_scalar(const uint32_t *v, size_t n, unsigned w, uint8_t *out)
{
	struct pack_acc acc = {.out = out};

	if (w == 0)
		return 0;
	for (size_t i = 0; i < n; i += 2, v += 2)
		pack_put(&acc, v[0] | (uint64_t)v[1] << w, 2 * w);
	return pack_finish(&acc, n, w);
}

size_t canp_pack64_scalar(const uint64_t *v, size_t n, unsigned w, uint8_t *out)
{
	struct pack_acc acc = {.out = out};

	if (w == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		pack_put(&acc, v[i], w);
	return pack_finish(&acc, n, w);
}
