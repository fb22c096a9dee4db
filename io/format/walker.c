/*
 * walker.c - a file being walked: the format itself, or the gzip wrapper around it.
 *
 * The wrapper is a walker whose output is another walker's input:
 *
 *   file window -> gzip members, one after the other -> inner window -> inner format
 *
 *   inner window:  | left over by the inner format (CANP_FORMAT_STRADDLE) | chunk | tail pad |
 *
 * Members are inflated by struct canp_member, so a member of up to CANP_HOLD_BYTES reaches the
 * inner format only after its checksum (files written in blocks lose just the bad block), and a
 * larger one as it comes. After a bad member the file is searched for the next gzip header; what
 * the inner format had left over is dropped, because the bytes that belong behind it are gone.
 * Faults of the inner format are reported with the compressed offset known last, theirs in the
 * detail.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "io/format/ahead.h"
#include "io/format/formats.h"
#include "io/format/member.h"
#include "io/format/walk.h"

#define GZIP_HEADER 10u
#define INNER_CHUNK (CANP_HOLD_BYTES + CANP_HOLD_SLACK)
#define INNER_BYTES (CANP_FORMAT_STRADDLE + INNER_CHUNK)

enum gz_state { AT_MEMBER, IN_MEMBER, IN_SEARCH };

struct gz {
	const struct canp_format_host *outer;
	struct canp_format_host host; /* what the inner format sees */
	const struct canp_format *fmt;
	void *scratch;
	enum gz_state state;
	bool stopped; /* the inner format wants no more */
	bool ended;   /* the inner format was told that nothing follows */
	uint64_t members, members_bad;
	uint64_t off;        /* compressed offset known last */
	uint64_t member_off; /* where the current member started */
	uint64_t search_off;
	uint64_t inner_base; /* inflated offset of inner[0] */
	size_t fill;
	struct canp_member m;
	uint8_t inner[INNER_BYTES + CANP_FORMAT_TAIL_PAD];
};

struct canp_walker {
	const struct canp_format *fmt;
	const struct canp_format_host *host;
	void *scratch;
	struct gz *gz; /* NULL: not wrapped */
};

/* ---- gzip ------------------------------------------------------------------------------------ */

static void gz_fault(void *arg, const struct canp_fault *fault)
{
	struct gz *g = arg;

	canp_walk_fault(g->outer, fault->code, g->off, fault->bytes, "at inflated byte %llu: %s",
			(unsigned long long)fault->offset, fault->detail);
}

static uint32_t gz_device(void *arg, const char *name, size_t len)
{
	struct gz *g = arg;

	return g->outer->device ? g->outer->device(g->outer->arg, name, len) : 0;
}

static bool gz_should_pause(void *arg)
{
	struct gz *g = arg;

	return canp_walk_pause(g->outer);
}

/* Lets the inner format take what it can of the inner window. */
static enum canp_walk gz_inner(struct gz *g, bool eof)
{
	enum canp_walk rc;
	size_t n = 0;

	if (g->stopped || g->ended)
		return CANP_WALK_MORE;
	rc = g->fmt->walk(g->scratch, g->inner, g->fill, g->inner_base, eof, &n);
	g->fill -= n;
	g->inner_base += n;
	memmove(g->inner, g->inner + n, g->fill);
	if (rc == CANP_WALK_STOP) {
		g->stopped = true;
		g->fill = 0;
	}
	if (eof && rc == CANP_WALK_MORE)
		g->ended = true;
	return rc;
}

/* Consumer of inflated bytes: appends them to the inner window and lets the format walk. */
static size_t gz_data(void *arg, const uint8_t *p, size_t len)
{
	struct gz *g = arg;

	/* The inner format left at most what it may. */
	CANP_ASSERT(len <= INNER_BYTES - g->fill);
	g->off = g->m.file_pos + g->m.in;
	memcpy(g->inner + g->fill, p, len);
	g->fill += len;
	g->m.halt = gz_inner(g, false) != CANP_WALK_MORE;
	return len;
}

static bool gz_header(const uint8_t *p)
{
	return p[0] == 0x1f && p[1] == 0x8b && p[2] == 8 && !(p[3] & 0xe0);
}

static void gz_search(struct gz *g, uint64_t off)
{
	g->state = IN_SEARCH;
	g->search_off = off;
}

/* A member ended badly: the inner stream has a hole here. */
static void gz_lost(struct gz *g, enum canp_member_result r, bool cut)
{
	uint64_t bytes = g->m.held ? g->m.in : 0;

	g->members_bad++;
	canp_member_fault(&g->m, g->outer, r, cut, g->member_off, bytes, "gzip member");
	if (!cut) {
		g->inner_base += g->fill;
		g->fill = 0;
	}
}

static size_t gz_at_member(struct gz *g, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	if (len < GZIP_HEADER && !eof)
		return 0;
	if (len < GZIP_HEADER || !gz_header(p)) {
		gz_search(g, off);
		return 0;
	}
	g->member_off = g->m.file_pos = off;
	canp_member_begin(&g->m, CANP_WRAP_GZIP);
	g->members++;
	g->state = IN_MEMBER;
	return 0;
}

/* Feeds one piece; all pieces start and end at places that follow from the file alone. */
static size_t gz_in_member(struct gz *g, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	size_t piece = canp_min(len, (size_t)CANP_MEMBER_PIECE), used;
	bool last = eof && piece == len;
	enum canp_member_result r;

	if (piece < CANP_MEMBER_PIECE && !eof)
		return 0;
	r = canp_member_feed(&g->m, p, piece, last, last, &used);
	g->off = off + used;
	switch (r) {
	case CANP_MEMBER_MORE:
	case CANP_MEMBER_HALTED:
		return used;
	case CANP_MEMBER_OK:
		g->state = AT_MEMBER;
		return used;
	case CANP_MEMBER_SHORT:
		gz_lost(g, r, true);
		g->state = AT_MEMBER;
		return piece;
	default:
		gz_lost(g, r, false);
		/* Not behind the error: the decoder may have run into the next member. */
		gz_search(g, canp_max(off, g->member_off + 1));
		return (size_t)(g->search_off - off);
	}
}

/* Looks for the next gzip header. Bytes behind the last member are reported, not fatal. */
static size_t gz_in_search(struct gz *g, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	size_t i = 0;

	while (i + GZIP_HEADER <= len) {
		const uint8_t *q = memchr(p + i, 0x1f, len - i - GZIP_HEADER + 1);

		i = q ? (size_t)(q - p) : len - GZIP_HEADER + 1;
		if (q && gz_header(q))
			break;
		i += q != NULL;
	}
	if (i + GZIP_HEADER > len) {
		if (!eof)
			return i;
		i = len;
	}
	g->off = off + i;
	if (off + i > g->search_off)
		canp_walk_fault(g->outer, CANP_FAULT_JUNK, g->search_off, off + i - g->search_off,
				"no gzip member");
	g->state = AT_MEMBER;
	return i;
}

static size_t gz_step(struct gz *g, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	switch (g->state) {
	case AT_MEMBER:
		return gz_at_member(g, p, len, off, eof);
	case IN_MEMBER:
		return gz_in_member(g, p, len, off, eof);
	default:
		return gz_in_search(g, p, len, off, eof);
	}
}

static enum canp_walk gz_walk(struct gz *g, const uint8_t *win, size_t len, uint64_t base, bool eof,
			      size_t *consumed)
{
	enum canp_walk rc = CANP_WALK_MORE;
	size_t pos = 0, n;

	*consumed = 0;
	if (g->m.halt) {
		/* The inner format paused with bytes in its window; they come first. */
		rc = gz_inner(g, false);
		g->m.halt = rc == CANP_WALK_PAUSED;
	}
	while (pos < len && !g->m.halt && !g->stopped && !g->m.stop) {
		enum gz_state before = g->state;

		n = gz_step(g, win + pos, len - pos, base + pos, eof);
		pos += n;
		if (!n && g->state == before)
			break; /* more input wanted */
	}
	/* The file ended inside a member: whoever feeds it nothing more hears what that means. */
	if (eof && pos == len && g->state == IN_MEMBER && !g->m.halt && !g->stopped && !g->m.stop)
		gz_in_member(g, win + pos, 0, base + pos, true);
	*consumed = pos;
	if (g->stopped)
		return CANP_WALK_STOP;
	if (g->m.halt)
		return CANP_WALK_PAUSED;
	if ((eof && pos == len) || g->m.stop)
		rc = gz_inner(g, true);
	return g->m.stop && rc == CANP_WALK_MORE ? CANP_WALK_STOP : rc;
}

static void gz_open(struct gz *g, const struct canp_format *fmt, void *scratch,
		    const struct canp_format_host *host)
{
	memset(g, 0, offsetof(struct gz, m));
	g->outer = host;
	g->host = *host;
	g->host.arg = g;
	g->host.fault = gz_fault;
	g->host.device = gz_device;
	g->host.ahead = NULL; /* the inner window does not stay in its place */
	g->host.should_pause = host->should_pause ? gz_should_pause : NULL;
	g->fmt = fmt;
	g->scratch = scratch;
	canp_member_init(&g->m, host, gz_data, g);
	/* A tap belongs where the frames' bytes come out: here, or else in the inner format. */
	if (!fmt->plain) {
		g->m.data = gz_data;
		g->m.arg = g;
	}
	/* A gzip'd text is one member as large as the file: only the file's limit holds. */
	g->m.limits.member_inflated_max = UINT32_MAX;
	fmt->open(scratch, &g->host, 0);
}

/* ---- the walker ------------------------------------------------------------------------------ */

static size_t walker_head(void)
{
	return canp_align_up(sizeof(struct canp_walker), (size_t)CANP_CACHELINE);
}

static size_t scratch_max(void)
{
	size_t max = 0;

	for (const struct canp_format *const *f = canp_formats; *f; f++)
		max = canp_max(max, (*f)->scratch_bytes);
	return canp_align_up(max, (size_t)CANP_CACHELINE);
}

size_t canp_walker_bytes(void)
{
	return walker_head() + scratch_max() +
	       canp_align_up(sizeof(struct gz), (size_t)CANP_CACHELINE);
}

struct canp_walker *canp_walker_open(void *mem, const struct canp_format *fmt, bool gz,
				     const struct canp_format_host *host, uint64_t file_bytes)
{
	struct canp_walker *w = mem;

	canp_ahead_open(host->ahead);
	w->fmt = fmt;
	w->host = host;
	w->scratch = (uint8_t *)mem + walker_head();
	w->gz = gz ? (void *)((uint8_t *)w->scratch + scratch_max()) : NULL;
	if (w->gz)
		gz_open(w->gz, fmt, w->scratch, host);
	else
		fmt->open(w->scratch, host, file_bytes);
	return w;
}

enum canp_walk canp_walker_walk(struct canp_walker *w, const uint8_t *win, size_t len,
				uint64_t base, bool eof, size_t *consumed)
{
	if (w->gz)
		return gz_walk(w->gz, win, len, base, eof, consumed);
	*consumed = 0;
	return w->fmt->walk(w->scratch, win, len, base, eof, consumed);
}

void canp_walker_close(struct canp_walker *w, struct canp_format_stats *stats)
{
	canp_ahead_leave(w->host->ahead);
	w->fmt->close(w->scratch, stats);
	if (w->gz)
		stats->unverified_tail |= w->gz->m.unverified;
}
