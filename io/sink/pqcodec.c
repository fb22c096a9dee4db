/*
 * pqcodec.c - dispatch to the page codecs.
 *
 * The gzip context is made for one level and made again when another one is asked for; within a job
 * that happens once, because all parts have the level of the job.
 */
#include "io/sink/pqcodec.h"

#include "core/base/assert.h"
#include "core/base/units.h"
#include "io/sink/pqzstd.h"
#include "simd/deflate_isal.h"

struct canp_pqcodec {
	struct canp_gzip *gz;
	int gz_level;
	struct canp_pqzstd zstd;
	uint8_t gz_mem[] CANP_ALIGNED(64);
};

/* Larger pages do not exist: the sink takes at most this much in one piece. */
#define PQCODEC_PAGE_MAX (1024u * 1024u)

static size_t gzip_bytes_max(void)
{
	size_t max = 0;

	for (int level = CANP_GZIP_LEVEL_MIN; level <= CANP_GZIP_LEVEL_MAX; level++)
		max = canp_max(max, canp_gzip_bytes(level));
	return max;
}

size_t canp_pqcodec_bytes(void)
{
	return canp_align_up(sizeof(struct canp_pqcodec) + gzip_bytes_max(), (size_t)64);
}

struct canp_pqcodec *canp_pqcodec_init(void *mem)
{
	struct canp_pqcodec *c = mem;

	CANP_ASSERT(((uintptr_t)mem & 63) == 0);
	c->gz = NULL;
	c->gz_level = 0;
	c->zstd.level = 0;
	return c;
}

static uint32_t page_gzip(struct canp_pqcodec *c, int level, const uint8_t *in, uint32_t n,
			  uint8_t *out)
{
	size_t len;
	int rc;

	level = canp_max(CANP_GZIP_LEVEL_MIN, canp_min(level, CANP_GZIP_LEVEL_MAX));
	if (!c->gz || c->gz_level != level)
		c->gz = canp_gzip_init(c->gz_mem, level);
	c->gz_level = level;
	CANP_ASSERT(canp_gzip_bound(n) <= canp_pqcodec_bound(n));
	rc = canp_gzip_page(c->gz, in, n, out, canp_pqcodec_bound(n), &len);
	CANP_ASSERT(!rc);
	return (uint32_t)len;
}

static uint32_t page_zstd(struct canp_pqcodec *c, int level, const uint8_t *in, uint32_t n,
			  uint8_t *out)
{
	int64_t len;

	level = canp_max(CANP_PQZSTD_LEVEL_MIN, canp_min(level, CANP_PQZSTD_LEVEL_MAX));
	CANP_ASSERT(canp_pqzstd_bound(n) <= canp_pqcodec_bound(n));
	len = canp_pqzstd_page(&c->zstd, level, in, n, out, canp_pqzstd_bound(n));
	CANP_ASSERT(len > 0);
	return (uint32_t)len;
}

uint32_t canp_pqcodec_page(struct canp_pqcodec *c, enum canp_pq_codec codec, int level,
			   const uint8_t *in, uint32_t n, uint8_t *out)
{
	CANP_ASSERT(n <= PQCODEC_PAGE_MAX && codec != CANP_PQ_NONE);
	return codec == CANP_PQ_ZSTD ? page_zstd(c, level, in, n, out)
				     : page_gzip(c, level, in, n, out);
}
