/*
 * formats.c - the registry of formats and the recognition of files.
 *
 * A file that starts with the gzip magic is inflated a little and its inside asked instead: no
 * format starts with these bytes itself. Binary signatures come before the CANP container, which
 * has none of its own, and text comes last.
 */
#include "io/format/formats.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "io/format/member.h"
#include "simd/inflate_isal.h"

#define PROBE_BYTES (64u * 1024u)

/* clang-format off */
const struct canp_format *const canp_formats[] = {
	CANP_FORMAT_IF(CONFIG_CANP_FORMAT_BLF, canp_fmt_blf)
	&canp_fmt_canp,
	CANP_FORMAT_IF(CONFIG_CANP_FORMAT_CANDUMP, canp_fmt_candump)
	NULL,
};
/* clang-format on */

struct probe {
	uint8_t ctx[CANP_MEMBER_CTX] CANP_ALIGNED(64);
	uint8_t out[PROBE_BYTES];
};

size_t canp_format_probe_scratch(void)
{
	return sizeof(struct probe);
}

static const struct canp_format *probe_best(const uint8_t *head, size_t len)
{
	const struct canp_format *best = NULL;
	int sure = 0;

	for (const struct canp_format *const *f = canp_formats; *f; f++) {
		int s = (*f)->probe(head, len);

		if (s > sure) {
			best = *f;
			sure = s;
		}
	}
	return best;
}

const struct canp_format *canp_format_probe_plain(const uint8_t *head, size_t len)
{
	size_t header;

	if (canp_gzip_header(head, len, &header) == CANP_INFLATE_OK)
		return NULL;
	return probe_best(head, len);
}

const struct canp_format *canp_format_probe(const uint8_t *head, size_t len, void *scratch,
					    bool *gz)
{
	struct probe *p = scratch;
	struct canp_inflate *inflate;
	size_t out, used, header;

	*gz = canp_gzip_header(head, len, &header) == CANP_INFLATE_OK;
	if (!*gz)
		return probe_best(head, len);
	CANP_ASSERT(canp_inflate_bytes() <= sizeof(p->ctx));
	inflate = canp_inflate_init(p->ctx);
	/* The head need not hold a whole member, nor a sound one: what comes out is looked at. */
	canp_inflate_member(inflate, CANP_INFLATE_GZIP, head, len, p->out, sizeof(p->out), &out,
			    &used);
	return probe_best(p->out, out);
}

const struct canp_format *canp_format_find(const char *name, bool *gz)
{
	*gz = !strncmp(name, "gz+", 3);
	name += *gz ? 3 : 0;
	for (const struct canp_format *const *f = canp_formats; *f; f++)
		if (!strcmp((*f)->name, name))
			return *f;
	return NULL;
}
