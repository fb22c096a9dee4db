/*
 * deflate_isal.c - isal_deflate_stateless() with memory of the caller.
 */
#include "simd/deflate_isal.h"

#include <errno.h>
#include <isa-l.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"

struct canp_gzip {
	struct isal_zstream stream;
	uint32_t level, level_buf_bytes;
	uint8_t level_buf[] CANP_ALIGNED(CANP_CACHELINE);
};

/* The default buffers: larger ones gain nothing on pages of some 100 KiB. */
static const uint32_t gzip_level_buf[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT,
					  ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};

size_t canp_gzip_bytes(int level)
{
	if (level < CANP_GZIP_LEVEL_MIN || level > CANP_GZIP_LEVEL_MAX)
		return 0;
	return canp_align_up(sizeof(struct canp_gzip) + gzip_level_buf[level],
			     (size_t)CANP_CACHELINE);
}

struct canp_gzip *canp_gzip_init(void *mem, int level)
{
	struct canp_gzip *gz = mem;

	CANP_ASSERT(((uintptr_t)mem & (CANP_CACHELINE - 1)) == 0);
	CANP_ASSERT(canp_gzip_bytes(level) != 0);
	memset(mem, 0, canp_gzip_bytes(level));
	gz->level = (uint32_t)level;
	gz->level_buf_bytes = gzip_level_buf[level];
	return gz;
}

size_t canp_gzip_bound(size_t len)
{
	/* Stored blocks in the worst case, 5 bytes per 65,535; header and trailer 18; the rest is
	 * room that ISA-L wants to see before it starts on a block. */
	return len + 5 * (len / 65535 + 1) + 18 + 64;
}

int canp_gzip_page(struct canp_gzip *gz, const uint8_t *in, size_t len, uint8_t *out,
		   size_t out_cap, size_t *out_len)
{
	struct isal_zstream *s = &gz->stream;
	int rc;

	*out_len = 0;
	if (len > CANP_GZIP_PAGE_MAX)
		return -EINVAL;
	/* ISA-L 2.30 does not reset all it looks at: with other contents in its memory before, 2 of
	 * 2,732 real pages came out differently. Zeroing costs microseconds, a page milliseconds.
	 */
	memset(s, 0, sizeof(*s));
	memset(gz->level_buf, 0, gz->level_buf_bytes);
	isal_deflate_stateless_init(s);
	s->level = gz->level;
	s->level_buf = gz->level_buf_bytes ? gz->level_buf : NULL;
	s->level_buf_size = gz->level_buf_bytes;
	s->gzip_flag = IGZIP_GZIP;
	s->end_of_stream = 1;
	s->flush = NO_FLUSH;
	s->next_in = (uint8_t *)in;
	s->avail_in = (uint32_t)len;
	s->next_out = out;
	s->avail_out = (uint32_t)canp_min(out_cap, (size_t)UINT32_MAX);
	rc = isal_deflate_stateless(s);
	if (rc != COMP_OK || s->avail_in)
		return rc == STATELESS_OVERFLOW || rc == COMP_OK ? -ENOSPC : -EINVAL;
	*out_len = (size_t)(s->next_out - out);
	return 0;
}
