/*
 * pqzstd.h - codec zstd: one frame per page, made by libzstd in memory of the caller.
 *
 * Each page is compressed by a context that is as new, so the bytes follow from the page, the level
 * and the version of the library alone. The tables of the higher levels are bounded: a page
 * is some 64 KiB, larger tables would only fill the cache and the arena. Frames carry their length
 * and no checksum, as pages have a CRC of their own.
 *
 * Without CONFIG_CANP_ZSTD the option engine refuses --codec=zstd, and the codec is -ENOTSUP.
 */
#ifndef CANP_SINK_PQZSTD_H
#define CANP_SINK_PQZSTD_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"

#define CANP_PQZSTD_LEVEL_MIN 1
#define CANP_PQZSTD_LEVEL_MAX 9

#ifdef CONFIG_CANP_ZSTD
/* What every level needs with the bounded tables. */
#define CANP_PQZSTD_BYTES (1664u * 1024u)
/* The front of the memory, where a context keeps its state; the library's struct is 5 KiB. */
#define CANP_PQZSTD_STATE (32u * 1024u - 64u)
#else
#define CANP_PQZSTD_BYTES 64u
#define CANP_PQZSTD_STATE 64u
#endif

/* Work memory of one thread. level is 0 at first, the rest need not be initialised; it may not be
 * moved. What is kept from page to page is a new context to start each from. */
struct canp_pqzstd {
	uint8_t mem[CANP_PQZSTD_BYTES] CANP_ALIGNED(64);
	uint8_t fresh[CANP_PQZSTD_STATE];
	int level; /* of the context in `fresh`; 0: none */
};

/* Room that is always enough for a page of n bytes. */
static inline uint32_t canp_pqzstd_bound(uint32_t n)
{
	return n + n / 256u + 128u;
}

#ifdef CONFIG_CANP_ZSTD
/* Compresses in[0..n) into out at a level of CANP_PQZSTD_LEVEL_MIN..MAX. Returns the bytes written,
 * -EINVAL for another level, -ENOSPC when cap is too small (never with canp_pqzstd_bound(n)). No
 * allocation; one thread at a time may use z. */
int64_t canp_pqzstd_page(struct canp_pqzstd *z, int level, const uint8_t *in, uint32_t n,
			 uint8_t *out, uint32_t cap);
#else
static inline int64_t canp_pqzstd_page(struct canp_pqzstd *z, int level, const uint8_t *in,
				       uint32_t n, uint8_t *out, uint32_t cap)
{
	(void)z;
	(void)level;
	(void)in;
	(void)n;
	(void)out;
	(void)cap;
	return -ENOTSUP;
}
#endif

#endif
