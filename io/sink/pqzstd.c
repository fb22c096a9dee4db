/*
 * pqzstd.c - libzstd with a static workspace.
 *
 * ZSTD_initStaticCCtx() belongs to the part of the interface that only a static library keeps
 * stable, so libzstd.a is linked. A static context never allocates: where its memory does not
 * suffice it fails, which the bounds below rule out and the unit test tries for every level.
 *
 * A context is made once per level and its state copied aside; every page starts from that copy.
 * Making one asks CPUID what the processor can do, which costs 70 us in a virtual machine, more
 * than the compression of a page; resetting one instead would let earlier pages show, because the
 * library's match tables then go on where they were.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "io/sink/pqzstd.h"

#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "core/base/assert.h"
#include "core/base/units.h"

/* Sources of this size choose the parameters of a level: pages are at most 704 KiB. */
#define PQZSTD_SOURCE_HINT (1u << 20)
#define PQZSTD_WINDOW_LOG  20u
#define PQZSTD_TABLE_LOG   17u

static void set(ZSTD_CCtx *c, ZSTD_cParameter name, unsigned value)
{
	size_t rc = ZSTD_CCtx_setParameter(c, name, (int)value);

	CANP_ASSERT(!ZSTD_isError(rc));
}

static void set_level(ZSTD_CCtx *c, int level)
{
	ZSTD_compressionParameters p = ZSTD_getCParams(level, PQZSTD_SOURCE_HINT, 0);

	/* All of them, so that the library does not choose by the size of the page. */
	set(c, ZSTD_c_compressionLevel, (unsigned)level);
	set(c, ZSTD_c_windowLog, canp_min(p.windowLog, PQZSTD_WINDOW_LOG));
	set(c, ZSTD_c_hashLog, canp_min(p.hashLog, PQZSTD_TABLE_LOG));
	set(c, ZSTD_c_chainLog, canp_min(p.chainLog, PQZSTD_TABLE_LOG));
	set(c, ZSTD_c_searchLog, p.searchLog);
	set(c, ZSTD_c_minMatch, p.minMatch);
	set(c, ZSTD_c_targetLength, p.targetLength);
	set(c, ZSTD_c_strategy, (unsigned)p.strategy);
	set(c, ZSTD_c_contentSizeFlag, 1);
	set(c, ZSTD_c_checksumFlag, 0);
}

int64_t canp_pqzstd_page(struct canp_pqzstd *z, int level, const uint8_t *in, uint32_t n,
			 uint8_t *out, uint32_t cap)
{
	ZSTD_CCtx *c = (ZSTD_CCtx *)(void *)z->mem; /* where the library puts it */
	size_t rc;

	if (level < CANP_PQZSTD_LEVEL_MIN || level > CANP_PQZSTD_LEVEL_MAX)
		return -EINVAL;
	if (z->level != level) {
		c = ZSTD_initStaticCCtx(z->mem, sizeof(z->mem));
		CANP_ASSERT((void *)c == z->mem);
		set_level(c, level);
		memcpy(z->fresh, z->mem, sizeof(z->fresh));
		z->level = level;
	} else {
		memcpy(z->mem, z->fresh, sizeof(z->fresh));
	}
	rc = ZSTD_compress2(c, out, cap, in, n);
	if (!ZSTD_isError(rc))
		return (int64_t)rc;
	CANP_ASSERT(ZSTD_getErrorCode(rc) == ZSTD_error_dstSize_tooSmall);
	return -ENOSPC;
}
