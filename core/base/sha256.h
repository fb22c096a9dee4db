/*
 * sha256.h - SHA-256 (FIPS 180-4) for names of things: DBC files, part files in reports. Plain C;
 * a DBC is hashed once per job, so speed does not matter here.
 */
#ifndef CANP_BASE_SHA256_H
#define CANP_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define CANP_SHA256_BYTES 32u
#define CANP_SHA256_HEX   65u /* 64 digits and the NUL */

struct canp_sha256 {
	uint32_t h[8];
	uint64_t bytes; /* hashed so far */
	uint8_t block[64];
};

/* A context is owned by its caller and used by one thread at a time. No call can fail. */
void canp_sha256_init(struct canp_sha256 *s);
void canp_sha256_update(struct canp_sha256 *s, const void *data, size_t len);
/* Writes the digest; the context must be initialised again before further use. */
void canp_sha256_final(struct canp_sha256 *s, uint8_t out[CANP_SHA256_BYTES]);

/* Digest of one span as lower-case hex with a NUL. */
void canp_sha256_hex(const void *data, size_t len, char out[CANP_SHA256_HEX]);

#endif
