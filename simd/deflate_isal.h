/*
 * deflate_isal.h - gzip for one Parquet page at a time, over ISA-L.
 *
 * Pages are compressed whole and independently, so a context carries nothing from one page to the
 * next: the bytes depend on the page, the level, the ISA-L version and the processor family only.
 * Nothing is allocated; one thread at a time may use a context.
 *
 * Levels 1 and 2 of ISA-L 2.30 give different bytes for some inputs of up to about 1.5 KiB
 * depending on the address of the context, so whoever needs equal files from run to run takes 0
 * or 3.
 */
#ifndef CANP_SIMD_DEFLATE_ISAL_H
#define CANP_SIMD_DEFLATE_ISAL_H

#include <stddef.h>
#include <stdint.h>

#define CANP_GZIP_LEVEL_MIN 0
#define CANP_GZIP_LEVEL_MAX 3
/* Largest page, so that lengths fit ISA-L's 32-bit counters. */
#define CANP_GZIP_PAGE_MAX (1u << 30)

struct canp_gzip;

/* Bytes a context of this level (0 fastest .. 3 smallest) needs, a multiple of 64; 0 for a level
 * out of range. */
size_t canp_gzip_bytes(int level);
/* Makes a context in mem (64-byte aligned, canp_gzip_bytes(level) long, owned by the caller, who
 * may drop it at any time). level must be in range. */
struct canp_gzip *canp_gzip_init(void *mem, int level);

/* Room that always suffices for a page of len bytes, at every level. */
size_t canp_gzip_bound(size_t len);

/* Compresses one page into one gzip member; *out_len is its length. -ENOSPC: out_cap is too small
 * (never with canp_gzip_bound(len)); -EINVAL: len above CANP_GZIP_PAGE_MAX. On error *out_len is 0
 * and the contents of out are unspecified; nothing behind out_cap is written. */
int canp_gzip_page(struct canp_gzip *gz, const uint8_t *in, size_t len, uint8_t *out,
		   size_t out_cap, size_t *out_len);

#endif
