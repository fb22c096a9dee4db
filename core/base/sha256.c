/*
 * sha256.c - SHA-256 as FIPS 180-4 states it: a message is padded with 0x80, zeros and its length
 * in bits, and each 64-byte block is folded into eight words by 64 rounds over an expanded
 * schedule.
 */
#include "core/base/sha256.h"

#include <string.h>

#include "core/base/bytes.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotr(uint32_t x, unsigned n)
{
	return (x >> n) | (x << (32 - n));
}

static void sha256_block(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], v[8];

	for (unsigned i = 0; i < 16; i++)
		w[i] = canp_be32(p + 4 * i);
	for (unsigned i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];
		uint32_t s0 = rotr(a, 7) ^ rotr(a, 18) ^ (a >> 3);
		uint32_t s1 = rotr(b, 17) ^ rotr(b, 19) ^ (b >> 10);

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	memcpy(v, h, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t s1 = rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25);
		uint32_t ch = (v[4] & v[5]) ^ (~v[4] & v[6]);
		uint32_t t1 = v[7] + s1 + ch + sha256_k[i] + w[i];
		uint32_t s0 = rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22);
		uint32_t maj = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + s0 + maj;
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] += v[i];
}

void canp_sha256_init(struct canp_sha256 *s)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(s->h, start, sizeof(start));
	s->bytes = 0;
}

void canp_sha256_update(struct canp_sha256 *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t used = (size_t)(s->bytes % 64);
		size_t n = len < 64 - used ? len : 64 - used;

		memcpy(s->block + used, p, n);
		s->bytes += n;
		p += n;
		len -= n;
		if (used + n == 64)
			sha256_block(s->h, s->block);
	}
}

void canp_sha256_final(struct canp_sha256 *s, uint8_t out[CANP_SHA256_BYTES])
{
	static const uint8_t pad[64] = {0x80};
	uint64_t bits = s->bytes * 8;
	size_t used = (size_t)(s->bytes % 64);
	uint8_t tail[8];

	canp_put_be64(tail, bits);
	canp_sha256_update(s, pad, used < 56 ? 56 - used : 120 - used);
	canp_sha256_update(s, tail, sizeof(tail));
	for (unsigned i = 0; i < 8; i++)
		canp_put_be32(out + 4 * i, s->h[i]);
}

void canp_sha256_hex(const void *data, size_t len, char out[CANP_SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum[CANP_SHA256_BYTES];
	struct canp_sha256 s;

	canp_sha256_init(&s);
	canp_sha256_update(&s, data, len);
	canp_sha256_final(&s, sum);
	for (unsigned i = 0; i < sizeof(sum); i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[64] = '\0';
}
