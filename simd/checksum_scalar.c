/*
 * checksum_scalar.c - CRC-32 through ISA-L and the portable Adler-32.
 *
 * ISA-L's CRC runs at 64..80 GB/s from L2 and picks its instructions itself, so there is nothing to
 * gain by a CRC of our own; CANP_CPU_DISABLE does not reach it, its result is the same everywhere.
 */
#include <isa-l.h>

#include "simd/kernels.h"

uint32_t canp_crc32_isal(uint32_t init, const void *data, size_t len)
{
	return len ? crc32_gzip_refl(init, data, len) : init;
}

/* Largest prime below 2^16, and how many bytes may be summed before b can pass 2^32 (RFC 1950). */
#define ADLER_BASE 65521u
#define ADLER_NMAX 5552u

uint32_t canp_adler32_scalar(uint32_t init, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t a = (init & 0xffff) % ADLER_BASE, b = (init >> 16) % ADLER_BASE;

	while (len) {
		size_t k = len < ADLER_NMAX ? len : ADLER_NMAX;

		len -= k;
		while (k--) {
			a += *p++;
			b += a;
		}
		a %= ADLER_BASE;
		b %= ADLER_BASE;
	}
	return b << 16 | a;
}
