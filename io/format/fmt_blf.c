/*
 * fmt_blf.c - Vector BLF: file header, then containers that together hold one stream of objects.
 *
 *   file      = | "LOGG" | u32 header size | .. | 40: local start time, SYSTEMTIME | .. 144 |
 *               ( container | object )*, each followed by 0..7 bytes padding
 *   container = object header of type 10 (16 bytes) | u16 method 0 stored, 2 zlib | 6 |
 *               u32 inflated size, advisory | 4 | data to the object's size
 *
 * Writers cut the object stream where a container is full, even inside "LOBJ"; the bytes a
 * container leaves over are kept in front of the next one's (struct canp_member). Damage costs the
 * container it is in: a lost one is a hole in the stream, and the objects go on at the next
 * signature. As in fmt_canp.c a container that proves itself by its checksum is believed against a
 * wrong size, and a size is believed when something stands where it points. A stored container of
 * wrong size is simply opened: its objects are then met at top level, where objects are legal too.
 */
#include <string.h>

#include "core/base/timeconv.h"
#include "core/base/units.h"
#include "io/format/ahead.h"
#include "io/format/blf_object.h"
#include "io/format/formats.h"
#include "io/format/member.h"
#include "io/format/walk.h"

#define FILE_HEADER      144u
#define FILE_HEADER_MAX  65536u
#define FILE_START       40u
#define CONTAINER_FIELDS 16u /* between the object header and the data */
#define CONTAINER_HEAD   (CANP_BLF_OBJECT_MIN + CONTAINER_FIELDS)
#define LOOK_AHEAD       (CANP_BLF_PAD_MAX + CANP_BLF_OBJECT_MIN)
#define METHOD_STORED    0u
#define METHOD_ZLIB      2u
/* Writers may count the padding as data. */
#define SLACK_MAX 3u
#define WHOLE_MAX (CANP_FORMAT_STRADDLE - LOOK_AHEAD)

enum blf_state { AT_FILE, AT_OBJECT, AT_RETRY, IN_SEARCH, IN_CONTAINER, IN_SKIP };

struct blf {
	const struct canp_format_host *host;
	struct canp_format_stats stats;
	uint64_t file_bytes; /* 0: unknown */
	enum blf_state state;
	bool ended;
	bool quiet;          /* IN_SEARCH: the reason was reported already */
	uint64_t search_off; /* where the search began */
	uint64_t size;       /* of the current container, as it says */
	uint64_t left;       /* IN_CONTAINER, IN_SKIP: bytes not consumed */
	unsigned data;       /* offset of the container's data */
	enum canp_wrap wrap;
	struct canp_blf_objects objs;
	struct canp_member m;
};

static size_t blf_data(void *arg, const uint8_t *p, size_t len)
{
	return canp_blf_stream(&((struct blf *)arg)->objs, p, len);
}

/* ---- the file header ------------------------------------------------------------------------- */

/* SYSTEMTIME: eight u16: year, month, day of week, day, hour, minute, second, ms. */
static void blf_start_time(struct blf *s, const uint8_t *p)
{
	const struct canp_format_opts *opts = s->host->opts;
	struct canp_civil c = {.year = canp_le16(p),
			       .month = canp_le16(p + 2),
			       .day = canp_le16(p + 6),
			       .hour = canp_le16(p + 8),
			       .minute = canp_le16(p + 10),
			       .second = canp_le16(p + 12)};
	/* Old writers rounded up to 1000 ms; the sum carries. */
	int64_t ms = canp_min((int64_t)canp_le16(p + 14), (int64_t)1000), sec;

	if (!c.year && !c.month && !c.day)
		return; /* unknown: times are relative */
	if (canp_civil_to_seconds(&c, &sec) ||
	    (opts && opts->local_to_utc && opts->local_to_utc(opts->tz_arg, sec, &sec)) ||
	    canp_time_ns(sec, ms * CANP_NS_PER_MS, &s->objs.start_ns)) {
		s->objs.start_ns = 0;
		canp_walk_fault(s->host, CANP_FAULT_BAD_TIME, FILE_START, 0,
				"start of the measurement is no date; times count from 1970");
	}
}

static void search_start(struct blf *s, uint64_t off, bool quiet)
{
	s->state = IN_SEARCH;
	s->search_off = off;
	s->quiet = quiet;
}

/* Returns the bytes consumed, 0 in the same state: more input wanted. */
static size_t blf_file(struct blf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	uint32_t size;

	if (len < FILE_HEADER && !eof)
		return 0;
	if (len >= 4 && memcmp(p, "LOGG", 4)) {
		canp_walk_fault(s->host, CANP_FAULT_BAD_MAGIC, off, 0, "no LOGG at the start");
		search_start(s, off, true);
		return 0;
	}
	if (len < FILE_HEADER) {
		canp_walk_fault(s->host, CANP_FAULT_TRUNCATED, off, len,
				"file ends inside its header");
		return len;
	}
	blf_start_time(s, p + FILE_START);
	size = canp_le32(p + 4);
	if (size < FILE_HEADER || size > FILE_HEADER_MAX) {
		canp_walk_fault(s->host, CANP_FAULT_BAD_LENGTH, off + 4, 0,
				"file header of %u bytes", size);
		size = FILE_HEADER;
	}
	s->state = IN_SKIP;
	s->left = size;
	return 0;
}

/* ---- objects at top level -------------------------------------------------------------------- */

/* Where "LOBJ" stands in the first bytes behind an object; CANP_BLF_PAD_MAX: nowhere. */
static size_t padding(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < CANP_BLF_PAD_MAX && i + 4 <= len; i++)
		if (!memcmp(p + i, "LOBJ", 4))
			return i;
	return CANP_BLF_PAD_MAX;
}

/* An object (or the end of the file) follows at p + at; len - at >= LOOK_AHEAD unless eof. */
static bool object_follows(const uint8_t *p, size_t len, size_t at)
{
	return at <= len &&
	       (len - at < CANP_BLF_PAD_MAX || padding(p + at, len - at) < CANP_BLF_PAD_MAX);
}

static void container_lost(struct blf *s, enum canp_member_result r, bool cut, uint64_t bytes)
{
	s->stats.members++;
	canp_member_drop_carry(&s->m);
	canp_blf_hole(&s->objs);
	canp_member_fault(&s->m, s->host, r, cut, s->objs.off, bytes, "container");
}

static void size_lied(struct blf *s, size_t real)
{
	canp_walk_fault(s->host, CANP_FAULT_BAD_LENGTH, s->objs.off, 0,
			"object size says %llu, the container has %zu bytes",
			(unsigned long long)s->size, real);
}

/* A stored container whose size cannot be right: its objects are read at top level. */
static size_t blf_open_stored(struct blf *s)
{
	s->stats.members++;
	canp_walk_fault(s->host, CANP_FAULT_BAD_LENGTH, s->objs.off, 0,
			"stored container of size %llu does not end at an object",
			(unsigned long long)s->size);
	s->state = AT_OBJECT;
	return s->data;
}

/* The container at p says that it inflates to no more than the hold buffer takes. */
static bool fits_hold(const uint8_t *p)
{
	return canp_le32(p + CONTAINER_HEAD - 8) <= CANP_HOLD_BYTES;
}

/* The object that follows when nothing is damaged (canp_ahead_find_fn). */
static bool blf_find(void *arg, const uint8_t *p, size_t len, struct canp_ahead_found *f)
{
	size_t pad = padding(p, len);
	struct canp_blf_head h;

	(void)arg;
	if (pad == CANP_BLF_PAD_MAX || len - pad < CONTAINER_HEAD)
		return false;
	p += pad;
	len -= pad;
	if (!canp_blf_head(p, &h) || h.size < CONTAINER_HEAD || h.size > WHOLE_MAX || h.size > len)
		return false;
	f->pos = pad;
	f->in = pad + CONTAINER_HEAD;
	f->in_len = h.size - CONTAINER_HEAD;
	f->advance = pad + h.size;
	f->kind = CANP_INFLATE_ZLIB;
	f->skip = h.type != CANP_BLF_TYPE_CONTAINER || h.header != CANP_BLF_OBJECT_MIN ||
		  canp_le16(p + CANP_BLF_OBJECT_MIN) != METHOD_ZLIB || !fits_hold(p);
	return true;
}

/* The whole container is at p (or cut by the end of the file). Returns the bytes consumed. */
static size_t blf_container(struct blf *s, const uint8_t *p, size_t len)
{
	size_t end = (size_t)canp_min(s->size, (uint64_t)len), avail = end - s->data, used;
	bool cut = end < s->size, verify = fits_hold(p);
	enum canp_member_result r;

	if (s->wrap == CANP_WRAP_STORED && !object_follows(p, len, end))
		return blf_open_stored(s);
	r = canp_member_whole(&s->m, s->wrap, p + s->data, avail, cut, verify, &used);
	if (r == CANP_MEMBER_OK) {
		s->stats.members++;
		if (!cut && avail - used <= SLACK_MAX)
			return end;
		size_lied(s, s->data + used);
		return cut || object_follows(p, len, s->data + used) ? s->data + used : end;
	}
	if ((r == CANP_MEMBER_SHORT && cut) || (!cut && object_follows(p, len, end))) {
		container_lost(s, r, cut, end);
		return end;
	}
	if (r == CANP_MEMBER_SHORT && s->m.held) {
		s->state = AT_RETRY;
		return 0;
	}
	container_lost(s, r, cut, 0);
	search_start(s, s->objs.off + 4, true);
	return 4;
}

/* The size field cannot be right; the zlib stream knows where it ends, if it is whole. */
static size_t blf_retry(struct blf *s, const uint8_t *p, size_t len)
{
	size_t avail = canp_min(len, (size_t)CANP_FORMAT_STRADDLE) - s->data, used;
	enum canp_member_result r;

	r = canp_member_whole(&s->m, CANP_WRAP_ZLIB, p + s->data, avail, false, true, &used);
	if (r == CANP_MEMBER_OK) {
		s->stats.members++;
		size_lied(s, s->data + used);
		s->state = AT_OBJECT;
		return s->data + used;
	}
	container_lost(s, r, false, 0);
	search_start(s, s->objs.off + 4, true);
	return 4;
}

static size_t blf_bad_head(struct blf *s, const struct canp_blf_head *h)
{
	canp_walk_fault(s->host, CANP_FAULT_BAD_LENGTH, s->objs.off, 0,
			"impossible size: object type %u, size %u, header %u", h->type, h->size,
			h->header);
	search_start(s, s->objs.off + 4, true);
	return 4;
}

/* A container header is at p, all of it. */
static size_t blf_container_head(struct blf *s, const uint8_t *p, size_t len,
				 const struct canp_blf_head *h, bool sane, bool eof)
{
	unsigned method = canp_le16(p + CANP_BLF_OBJECT_MIN);

	s->size = h->size;
	s->data = CONTAINER_HEAD;
	s->wrap = method == METHOD_STORED ? CANP_WRAP_STORED : CANP_WRAP_ZLIB;
	if (h->header != CANP_BLF_OBJECT_MIN)
		return blf_bad_head(s, h);
	if (method != METHOD_STORED && method != METHOD_ZLIB) {
		if (!sane || h->size < CONTAINER_HEAD)
			return blf_bad_head(s, h);
		s->stats.members++;
		canp_walk_fault(s->host, CANP_FAULT_UNSUPPORTED, s->objs.off, h->size,
				"container with compression method %u", method);
		canp_member_drop_carry(&s->m);
		canp_blf_hole(&s->objs);
		s->state = IN_SKIP;
		s->left = s->size;
		return 0;
	}
	if (h->size < CONTAINER_HEAD || h->size > 2ull * s->m.limits.member_inflated_max) {
		if (s->wrap == CANP_WRAP_STORED)
			return blf_open_stored(s);
		s->state = AT_RETRY;
		return 0;
	}
	if (s->size <= WHOLE_MAX) {
		if (len < s->size + LOOK_AHEAD && !eof)
			return 0;
		if (s->wrap == CANP_WRAP_ZLIB && !canp_ahead_ready(s->m.ahead, s->objs.off, len))
			return 0;
		return blf_container(s, p, len);
	}
	if (s->wrap == CANP_WRAP_STORED && s->file_bytes && s->objs.off + s->size > s->file_bytes)
		return blf_open_stored(s);
	canp_member_begin(&s->m, s->wrap);
	s->state = IN_CONTAINER;
	s->left = s->size - s->data;
	return s->data;
}

/* An object outside of containers. */
static size_t blf_top_object(struct blf *s, const uint8_t *p, size_t len,
			     const struct canp_blf_head *h, bool sane, bool eof)
{
	bool whole = h->size <= WHOLE_MAX;
	size_t need;

	if (!sane)
		return blf_bad_head(s, h);
	need = whole ? h->size : canp_blf_need(h);
	if (len < need + (whole ? LOOK_AHEAD : 0) && !eof)
		return 0;
	if (!whole && s->file_bytes && s->objs.off + h->size > s->file_bytes)
		return blf_bad_head(s, h);
	if (len < need) {
		canp_walk_fault(s->host, CANP_FAULT_TRUNCATED, s->objs.off, len,
				"file ends inside an object of size %u", h->size);
		search_start(s, s->objs.off + 4, true);
		return 4;
	}
	if (whole && !object_follows(p, len, need))
		return blf_bad_head(s, h);
	canp_blf_object(&s->objs, h, p);
	s->stats.bytes_inflated += h->size;
	s->state = IN_SKIP;
	s->left = h->size;
	return 0;
}

/* An object is due at p. Returns the bytes consumed, 0 in the same state: more input wanted. */
static size_t blf_object(struct blf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	struct canp_blf_head h;
	size_t pad;
	bool sane;

	if (len < LOOK_AHEAD && !eof)
		return 0;
	pad = padding(p, len);
	if (pad == CANP_BLF_PAD_MAX) {
		if (len < CANP_BLF_PAD_MAX)
			return len; /* padding of the last object */
		search_start(s, off, false);
		return 0;
	}
	if (pad)
		return pad;
	if (len < CONTAINER_HEAD) {
		if (!eof)
			return 0;
		if (len < CANP_BLF_OBJECT_MIN || canp_le32(p + 12) == CANP_BLF_TYPE_CONTAINER) {
			canp_walk_fault(s->host, CANP_FAULT_TRUNCATED, off, len,
					"file ends inside an object header");
			return len;
		}
	}
	s->objs.off = s->m.file_pos = off;
	sane = canp_blf_head(p, &h);
	if (h.type == CANP_BLF_TYPE_CONTAINER)
		return blf_container_head(s, p, len, &h, sane, eof);
	return blf_top_object(s, p, len, &h, sane, eof);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Looks for the next object header in p[0..len); returns the bytes skipped. */
static size_t blf_search(struct blf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	struct canp_blf_head h;
	size_t i = 0;

	while (i + CANP_BLF_OBJECT_MIN <= len) {
		const uint8_t *q = memchr(p + i, 'L', len - i - CANP_BLF_OBJECT_MIN + 1);

		i = q ? (size_t)(q - p) : len - CANP_BLF_OBJECT_MIN + 1;
		if (q && !memcmp(q, "LOBJ", 4) && canp_blf_head(q, &h))
			break;
		i += q != NULL;
	}
	if (i + CANP_BLF_OBJECT_MIN > len) {
		if (!eof)
			return i;
		i = len;
	}
	if (!s->quiet && off + i > s->search_off)
		canp_walk_fault(s->host, CANP_FAULT_JUNK, s->search_off, off + i - s->search_off,
				"no object signature; went on at the next one");
	s->state = AT_OBJECT;
	return i;
}

/* A container too long to be taken whole, in pieces that end at fixed offsets. */
static size_t blf_piece(struct blf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	size_t piece = (size_t)canp_min(s->left, (uint64_t)CANP_MEMBER_PIECE), used;
	bool cut = false, last = piece == s->left;
	enum canp_member_result r;

	if (len < piece) {
		if (!eof)
			return 0;
		piece = len;
		last = cut = true;
	}
	r = canp_member_feed(&s->m, p, piece, last, cut, &used);
	if (r == CANP_MEMBER_MORE) {
		s->left -= used;
		return used;
	}
	if (r == CANP_MEMBER_OK) {
		s->stats.members++;
		s->left -= used;
		s->state = AT_OBJECT;
		if (s->left > SLACK_MAX) {
			size_lied(s, (size_t)(s->size - s->left));
			search_start(s, off + used, true);
		}
		return used;
	}
	container_lost(s, r, cut, cut ? s->size - s->left + piece : s->size);
	s->state = AT_OBJECT;
	if (cut && r == CANP_MEMBER_SHORT)
		return piece;
	if (!s->file_bytes || off + s->left <= s->file_bytes)
		s->state = IN_SKIP;
	else
		search_start(s, off, true);
	return 0;
}

static size_t blf_skip(struct blf *s, size_t len)
{
	size_t n = (size_t)canp_min(s->left, (uint64_t)len);

	s->left -= n;
	if (!s->left)
		s->state = AT_OBJECT;
	return n;
}

static size_t blf_step(struct blf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	switch (s->state) {
	case AT_FILE:
		return blf_file(s, p, len, off, eof);
	case AT_OBJECT:
		return blf_object(s, p, len, off, eof);
	case AT_RETRY:
		return len < CANP_FORMAT_STRADDLE && !eof ? 0 : blf_retry(s, p, len);
	case IN_SEARCH:
		return blf_search(s, p, len, off, eof);
	case IN_CONTAINER:
		return blf_piece(s, p, len, off, eof);
	default:
		return blf_skip(s, len);
	}
}

static void blf_open(void *scratch, const struct canp_format_host *host, uint64_t file_bytes)
{
	struct blf *s = scratch;

	memset(s, 0, offsetof(struct blf, m));
	s->host = host;
	s->file_bytes = file_bytes;
	s->objs.host = host;
	canp_member_init(&s->m, host, blf_data, s);
}

static void blf_end(struct blf *s, const uint8_t *p, uint64_t off)
{
	if (s->ended)
		return;
	s->ended = true;
	if (s->state == IN_CONTAINER)
		blf_piece(s, p, 0, off, true);
	else if (s->state == IN_SKIP && s->left)
		canp_walk_fault(s->host, CANP_FAULT_TRUNCATED, s->objs.off, 0,
				"file ends %llu bytes before the object does",
				(unsigned long long)s->left);
	canp_blf_end(&s->objs, canp_member_drop_carry(&s->m));
}

static enum canp_walk blf_walk(void *scratch, const uint8_t *win, size_t len, uint64_t base,
			       bool eof, size_t *consumed)
{
	struct blf *s = scratch;
	enum canp_walk rc = CANP_WALK_MORE;
	size_t pos = 0, n;

	canp_ahead_window(s->m.ahead, blf_find, s, win, len, base, eof);
	while (pos < len) {
		enum blf_state before = s->state;
		uint64_t members = s->stats.members;

		n = blf_step(s, win + pos, len - pos, base + pos, eof);
		pos += n;
		if (s->m.stop) {
			rc = CANP_WALK_STOP;
			break;
		}
		if (!n && s->state == before)
			break; /* more input wanted */
		if (s->stats.members != members && canp_walk_pause(s->host)) {
			rc = CANP_WALK_PAUSED;
			break;
		}
	}
	if (pos == len && eof && rc == CANP_WALK_MORE)
		blf_end(s, win + pos, base + pos);
	if (rc != CANP_WALK_PAUSED || pos == len)
		canp_ahead_leave(s->m.ahead);
	*consumed = pos;
	return rc;
}

static void blf_close(void *scratch, struct canp_format_stats *stats)
{
	struct blf *s = scratch;

	*stats = s->stats;
	stats->bytes_inflated += s->m.file_out;
	stats->unverified_tail = s->m.unverified;
}

/* "LOGG" can also be the start of a logger's name in another container, so the header's own length
 * must be possible before that counts as certain. */
static int blf_probe(const uint8_t *head, size_t len)
{
	uint32_t size;

	if (len < 4 || memcmp(head, "LOGG", 4))
		return 0;
	size = len >= 8 ? canp_le32(head + 4) : 0;
	return size >= FILE_HEADER && size <= FILE_HEADER_MAX ? 100 : 50;
}

static size_t blf_first(const uint8_t *head, size_t len)
{
	return blf_probe(head, len) == 100 ? canp_min((size_t)canp_le32(head + 4), len) : len;
}

static const struct canp_ahead_start blf_start = {.first = blf_first, .find = blf_find};

const struct canp_format canp_fmt_blf = {
	.name = "blf",
	.text = "Vector BLF (binary logging format)",
	.scratch_bytes = sizeof(struct blf),
	.probe = blf_probe,
	.open = blf_open,
	.walk = blf_walk,
	.close = blf_close,
	.ahead = &blf_start,
};
