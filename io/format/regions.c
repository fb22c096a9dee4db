/*
 * regions.c - where a log may be cut so that its parts can be walked apart.
 *
 * The two ways to find a place: containers are followed from the first one by their lengths, as the
 * walker does, and a cut is made at the first head at or behind each aim; text is cut behind the
 * first end of line at or behind the aim.
 */
#include "io/format/regions.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/format/formats.h"

/* The container's head: serial 18, 13 ignored, u32be length; a gzip member follows. */
#define HEAD        35u
#define HEAD_LENGTH 31u
#define MEMBER_MIN  20u

struct cut {
	const uint8_t *file;
	uint64_t len, *at;
	unsigned want, nr;
};

static uint64_t aim(const struct cut *c)
{
	return c->len / c->want * c->nr;
}

static bool member_at(const struct cut *c, uint64_t off)
{
	const uint8_t *p = c->file + off;

	return c->len - off >= HEAD + MEMBER_MIN && p[HEAD] == 0x1f && p[HEAD + 1] == 0x8b &&
	       p[HEAD + 2] == 8;
}

static void cut_canp(struct cut *c)
{
	uint64_t off = 0;

	while (c->nr < c->want && off < c->len && member_at(c, off)) {
		if (off && off >= aim(c))
			c->at[c->nr++] = off;
		off += HEAD + canp_be32(c->file + off + HEAD_LENGTH);
	}
}

static void cut_lines(struct cut *c)
{
	while (c->nr < c->want) {
		uint64_t from = canp_max(aim(c), c->at[c->nr - 1]);
		const uint8_t *nl = memchr(c->file + from, '\n', c->len - from);
		uint64_t next = nl ? (uint64_t)(nl - c->file) + 1 : c->len;

		if (next >= c->len)
			return;
		c->at[c->nr++] = next;
	}
}

unsigned canp_regions_cut(const struct canp_format *fmt, bool gz, const uint8_t *file, uint64_t len,
			  unsigned want, uint64_t *at)
{
	struct cut c = {.file = file, .len = len, .at = at, .want = want, .nr = 1};

	CANP_ASSERT(want >= 1 && want <= CANP_REGIONS_MAX);
	at[0] = 0;
	if (!gz && fmt == &canp_fmt_canp)
		cut_canp(&c);
	else if (!gz && fmt == &canp_fmt_candump)
		cut_lines(&c);
	at[c.nr] = len;
	return c.nr;
}
