/*
 * fmt_canp.c - the CANP container: blocks of one gzip member each.
 *
 *   file    = block*
 *   block   = | serial 18 | 13, ignored | u32be compressed length | gzip member of that length |
 *   member  = record*                       (a record never spans members)
 *   record  = | 16 | u32be body length | body |
 *   body    = ( | u32be CAN version | u64be time | u32be length | frames | )*
 *   frame   = | u64be time | u32be id, bits 31..29 ext, remote, error | u8 dlc | 3 | 8 data |
 *
 * The block header has no signature and no checksum; what can be checked is that the gzip magic
 * follows and that another header follows the member. Hence the order of trust: a member whose
 * checksum is right is delivered even when its length field is wrong; a bad member costs just
 * itself when a header stands where its length says; only else is the file searched for the next
 * place that looks like a header. Bytes inside a member are walked by a resumable parser (struct
 * records), because members above CANP_HOLD_BYTES arrive in chunks.
 */
#include <string.h>

#include "core/base/units.h"
#include "io/format/ahead.h"
#include "io/format/formats.h"
#include "io/format/member.h"
#include "io/format/walk.h"

#define BLOCK_HEADER  35u
#define BLOCK_SERIAL  18u
#define BLOCK_LENGTH  31u
#define BLOCK_PROBE   (BLOCK_HEADER + 4u) /* header, gzip magic, method and flags */
#define GZIP_MIN      20u                 /* header 10, an empty stream 2, trailer 8 */
#define RECORD_HEADER 20u
#define GROUP_HEADER  16u
#define FRAME         24u
#define SERIAL_TEXT   (BLOCK_SERIAL * 4u)
/* The longest member taken as a whole: it must fit what a walker may leave, with its header and the
 * header behind it. */
#define WHOLE_MAX (CANP_FORMAT_STRADDLE - BLOCK_HEADER - BLOCK_PROBE)

enum canp_state { AT_BLOCK, AT_RETRY, IN_SEARCH, IN_MEMBER, IN_SKIP };

/* Where the parser is inside a member. */
enum records_state { AT_RECORD, AT_GROUP, IN_FRAMES, IN_REST };

struct records {
	enum records_state state;
	uint64_t pos; /* inflated bytes of the member consumed */
	uint32_t body_left, group_left;
	bool bad_length; /* reported once a member */
};

struct canpf {
	const struct canp_format_host *host;
	const struct canp_busref *bus;
	struct canp_format_stats stats;
	uint64_t file_bytes; /* 0: unknown */
	enum canp_state state;
	bool trusted; /* the current header was found where the last block said */
	bool quiet;   /* IN_SEARCH: the reason was reported already */
	bool have_serial;
	uint8_t serial[BLOCK_SERIAL];       /* of the last block that delivered */
	uint8_t block_serial[BLOCK_SERIAL]; /* of the current block */
	uint64_t block_off, search_off;
	uint64_t left; /* IN_MEMBER, IN_SKIP: bytes of the member not consumed */
	uint64_t length;
	struct records rec;
	struct canp_member m;
};

/* ---- inside a member ------------------------------------------------------------------------- */

/* Name of the device: the serial without NULs and blanks around it, odd bytes as \xHH. */
static size_t serial_text(const uint8_t *serial, char text[SERIAL_TEXT])
{
	static const char hex[] = "0123456789ABCDEF";
	size_t from = 0, to = BLOCK_SERIAL, n = 0;

	while (from < to && (serial[from] == 0 || serial[from] == ' '))
		from++;
	while (to > from && (serial[to - 1] == 0 || serial[to - 1] == ' '))
		to--;
	for (; from < to; from++) {
		uint8_t c = serial[from];

		if (c >= ' ' && c < 0x7f) {
			text[n++] = (char)c;
			continue;
		}
		text[n++] = '\\';
		text[n++] = 'x';
		text[n++] = hex[c >> 4];
		text[n++] = hex[c & 15];
	}
	return n;
}

/* Asked for only when a block delivers, so that garbage does not become a device. */
static void canpf_device(struct canpf *s)
{
	char text[SERIAL_TEXT];
	uint32_t index = 0;
	size_t n;

	if (s->have_serial && !memcmp(s->serial, s->block_serial, BLOCK_SERIAL))
		return;
	s->have_serial = true;
	memcpy(s->serial, s->block_serial, BLOCK_SERIAL);
	n = serial_text(s->serial, text);
	if (n && s->host->device)
		index = s->host->device(s->host->arg, text, n);
	canp_group_device(s->host->group, index);
}

static void records_bad(struct canpf *s, const char *what, uint32_t got, uint32_t room)
{
	if (s->rec.bad_length)
		return;
	s->rec.bad_length = true;
	canp_walk_fault(s->host, CANP_FAULT_BAD_LENGTH, s->block_off, 0,
			"%s length %u where %u are left, inflated byte %llu of the block", what,
			got, room, (unsigned long long)s->rec.pos);
}

static size_t records_frames(struct canpf *s, const uint8_t *p, size_t len)
{
	const struct canp_format_opts *opts = s->host->opts;
	size_t n = canp_min(len, (size_t)s->rec.group_left) / FRAME;

	if (n)
		canp_group_push24(s->host->group, s->bus, p, n, opts ? opts->canp_ts_mul : 1,
				  opts ? opts->canp_epoch_ns : 0);
	s->rec.group_left -= (uint32_t)(n * FRAME);
	s->rec.body_left -= (uint32_t)(n * FRAME);
	return n * FRAME;
}

/* The header of a group of frames inside a body. */
static size_t records_group(struct canpf *s, const uint8_t *p, size_t len)
{
	struct records *r = &s->rec;

	if (r->body_left < GROUP_HEADER) {
		records_bad(s, "body rest", r->body_left, GROUP_HEADER);
		r->state = IN_REST;
		r->group_left = r->body_left;
		return 0;
	}
	if (len < GROUP_HEADER)
		return SIZE_MAX;
	r->group_left = canp_be32(p + 12);
	r->body_left -= GROUP_HEADER;
	if (r->group_left > r->body_left) {
		records_bad(s, "frames", r->group_left, r->body_left);
		r->group_left = r->body_left;
	}
	r->state = IN_FRAMES;
	return GROUP_HEADER;
}

/* One step of the parser: bytes consumed, or SIZE_MAX when more are needed. */
static size_t records_step(struct canpf *s, const uint8_t *p, size_t len)
{
	struct records *r = &s->rec;
	size_t n;

	switch (r->state) {
	case AT_RECORD:
		if (len < RECORD_HEADER)
			return SIZE_MAX;
		r->body_left = canp_be32(p + 16);
		r->state = r->body_left ? AT_GROUP : AT_RECORD;
		return RECORD_HEADER;
	case AT_GROUP:
		if (!r->body_left) {
			r->state = AT_RECORD;
			return 0;
		}
		return records_group(s, p, len);
	case IN_FRAMES:
		if (r->group_left < FRAME) {
			if (r->group_left)
				records_bad(s, "odd frame bytes", r->group_left, 0);
			r->state = IN_REST;
			return 0;
		}
		n = records_frames(s, p, len);
		return n ? n : SIZE_MAX;
	default:
		n = canp_min(len, (size_t)r->group_left);
		r->group_left -= (uint32_t)n;
		r->body_left -= (uint32_t)n;
		if (!r->group_left) {
			r->state = AT_GROUP;
			return n;
		}
		return n ? n : SIZE_MAX;
	}
}

/* Consumer of inflated bytes. */
static size_t canpf_data(void *arg, const uint8_t *p, size_t len)
{
	struct canpf *s = arg;
	size_t pos = 0, n;

	canpf_device(s);
	for (;;) {
		n = records_step(s, p + pos, len - pos);
		if (n == SIZE_MAX)
			return pos;
		pos += n;
		s->rec.pos += n;
	}
}

static void member_started(struct canpf *s)
{
	memset(&s->rec, 0, sizeof(s->rec));
	canp_member_drop_carry(&s->m);
}

/* After a member was delivered whole: a record that did not end in it is the writer's fault. */
static void member_ended(struct canpf *s)
{
	size_t rest = canp_member_drop_carry(&s->m);

	s->stats.members++;
	if ((s->rec.state != AT_RECORD && s->rec.body_left) || rest)
		records_bad(s, "record", (uint32_t)canp_max((size_t)s->rec.body_left, rest), 0);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static uint64_t length_max(const struct canpf *s)
{
	/* Deflate can grow data by 5 bytes in 16 KiB; nothing sane is larger than its limit. */
	return (uint64_t)s->m.limits.member_inflated_max + (s->m.limits.member_inflated_max >> 8) +
	       64;
}

/* A gzip member starts behind where a block header would be; p has BLOCK_PROBE bytes. */
static bool gzip_follows(const uint8_t *p)
{
	return p[35] == 0x1f && p[36] == 0x8b && p[37] == 8 && !(p[38] & 0xe0);
}

static bool looks_like_block(const struct canpf *s, const uint8_t *p)
{
	uint32_t n = canp_be32(p + BLOCK_LENGTH);

	return gzip_follows(p) && n >= GZIP_MIN && n <= length_max(s);
}

static void search_start(struct canpf *s, uint64_t off, bool quiet)
{
	s->state = IN_SEARCH;
	s->search_off = off;
	s->quiet = quiet;
}

static void search_end(struct canpf *s, uint64_t off)
{
	if (off > s->search_off && !s->quiet)
		canp_walk_fault(s->host, CANP_FAULT_JUNK, s->search_off, off - s->search_off,
				"no block header; went on at the next one");
	s->state = AT_BLOCK;
	s->trusted = false;
}

/* Looks for the next header in p[0..len); returns the bytes skipped. */
static size_t canpf_search(struct canpf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	size_t i = 0;

	while (i + BLOCK_PROBE <= len) {
		const uint8_t *q = memchr(p + i + BLOCK_HEADER, 0x1f, len - i - BLOCK_PROBE + 1);

		if (!q) {
			i = len - BLOCK_PROBE + 1;
			break;
		}
		i = (size_t)(q - p) - BLOCK_HEADER;
		if (looks_like_block(s, p + i)) {
			search_end(s, off + i);
			return i;
		}
		i++;
	}
	if (!eof)
		return i;
	search_end(s, off + len);
	return len;
}

/* ISIZE, the last field of a gzip member, says what to expect of it. */
static bool fits_hold(const uint8_t *in, size_t len)
{
	return canp_le32(in + len - 4) <= CANP_HOLD_BYTES;
}

/* The block that follows when nothing is damaged (canp_ahead_find_fn). */
static bool canpf_find(void *arg, const uint8_t *p, size_t len, struct canp_ahead_found *f)
{
	size_t n;

	(void)arg;
	if (len < BLOCK_PROBE || !gzip_follows(p))
		return false;
	n = canp_be32(p + BLOCK_LENGTH);
	if (n < GZIP_MIN || n > WHOLE_MAX || n > len - BLOCK_HEADER)
		return false;
	f->in = BLOCK_HEADER;
	f->in_len = n;
	f->advance = BLOCK_HEADER + n;
	f->kind = CANP_INFLATE_GZIP;
	f->skip = !fits_hold(p + BLOCK_HEADER, n);
	return true;
}

/* A member of trusted length is over (r not OK): what now. */
static void member_lost(struct canpf *s, enum canp_member_result r, bool cut, uint64_t bytes)
{
	s->stats.members++;
	canp_member_drop_carry(&s->m);
	canp_member_fault(&s->m, s->host, r, cut, s->block_off, bytes, "block");
}

/* Is there a header (or the end of the file) at p + at? len - at >= BLOCK_PROBE unless eof. */
static bool block_follows(const struct canpf *s, const uint8_t *p, size_t len, size_t at)
{
	if (at >= len)
		return at == len;
	return len - at >= BLOCK_PROBE && looks_like_block(s, p + at);
}

/* The length field lied but the member proved itself. */
static void length_lied(struct canpf *s, size_t used)
{
	canp_walk_fault(s->host, CANP_FAULT_BAD_LENGTH, s->block_off, 0,
			"length field says %llu, the gzip member has %zu bytes",
			(unsigned long long)s->length, used);
}

/* The whole block is at p (or cut by the end of the file). Returns the bytes consumed. */
static size_t canpf_block(struct canpf *s, const uint8_t *p, size_t len)
{
	size_t avail = canp_min((size_t)s->length, len - BLOCK_HEADER), end = BLOCK_HEADER + avail;
	const uint8_t *in = p + BLOCK_HEADER;
	bool cut = avail < s->length, verify;
	enum canp_member_result r;
	size_t used;

	/* Of a cut member the size is missing. */
	verify = !cut && fits_hold(in, avail);
	member_started(s);
	r = canp_member_whole(&s->m, CANP_WRAP_GZIP, in, avail, cut, verify, &used);
	if (r == CANP_MEMBER_OK) {
		member_ended(s);
		if (used == s->length)
			return end;
		length_lied(s, used);
		return cut || block_follows(s, p, len, BLOCK_HEADER + used) ? BLOCK_HEADER + used
									    : end;
	}
	if ((r == CANP_MEMBER_SHORT && cut && s->trusted) ||
	    (!cut && block_follows(s, p, len, end))) {
		member_lost(s, r, cut, end);
		return end;
	}
	if (r == CANP_MEMBER_SHORT && s->m.held) {
		s->state = AT_RETRY;
		return 0;
	}
	member_lost(s, r, cut, 0);
	search_start(s, s->block_off + 1, true);
	return 1;
}

/* Nothing stands where the length points: perhaps the length is what is damaged. The member is
 * given everything a walker may keep and has to prove itself. */
static size_t canpf_retry(struct canpf *s, const uint8_t *p, size_t len)
{
	size_t avail = canp_min(len, (size_t)CANP_FORMAT_STRADDLE) - BLOCK_HEADER, used;
	enum canp_member_result r;

	member_started(s);
	r = canp_member_whole(&s->m, CANP_WRAP_GZIP, p + BLOCK_HEADER, avail, false, true, &used);
	if (r == CANP_MEMBER_OK) {
		member_ended(s);
		length_lied(s, used);
		s->state = AT_BLOCK;
		return BLOCK_HEADER + used;
	}
	member_lost(s, r, false, 0);
	search_start(s, s->block_off + 1, true);
	return 1;
}

/* The rest of the file when it is too short for a header. */
static void canpf_tail(struct canpf *s, const uint8_t *p, size_t len, uint64_t off)
{
	size_t zeros = 0;

	while (zeros < len && !p[zeros])
		zeros++;
	if (zeros == len)
		canp_walk_fault(s->host, CANP_FAULT_JUNK, off, len, "zeros behind the last block");
	else
		canp_walk_fault(s->host, CANP_FAULT_TRUNCATED, off, len,
				"file ends inside a block header");
}

/* A block header is due at p. Returns the bytes consumed, 0 without a change of state: more input
 * wanted. */
static size_t canpf_header(struct canpf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	if (len < BLOCK_PROBE) {
		if (!eof)
			return 0;
		canpf_tail(s, p, len, off);
		return len;
	}
	if (!gzip_follows(p)) {
		search_start(s, off, false);
		return 0;
	}
	s->block_off = s->m.file_pos = off;
	s->length = canp_be32(p + BLOCK_LENGTH);
	memcpy(s->block_serial, p, BLOCK_SERIAL);
	if (!looks_like_block(s, p)) {
		s->state = AT_RETRY;
		return 0;
	}
	if (s->length <= WHOLE_MAX) {
		if (len < BLOCK_HEADER + s->length + BLOCK_PROBE && !eof)
			return 0;
		if (!canp_ahead_ready(s->m.ahead, off, len))
			return 0;
		return canpf_block(s, p, len);
	}
	member_started(s);
	canp_member_begin(&s->m, CANP_WRAP_GZIP);
	s->left = s->length;
	s->state = IN_MEMBER;
	return BLOCK_HEADER;
}

/* A member too long to be taken whole. Its pieces end at fixed offsets, so that nothing depends on
 * the window. */
static size_t canpf_piece(struct canpf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
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
		member_ended(s);
		s->left -= used;
		s->state = AT_BLOCK;
		if (s->left) {
			length_lied(s, (size_t)(s->length - s->left));
			search_start(s, off + used, true);
		}
		return used;
	}
	member_lost(s, r, cut, cut ? s->length - s->left + piece : s->length);
	if (cut && r == CANP_MEMBER_SHORT) {
		s->state = AT_BLOCK;
		return piece;
	}
	if (s->trusted && (!s->file_bytes || off + s->left <= s->file_bytes))
		s->state = IN_SKIP;
	else
		search_start(s, off, true);
	return 0;
}

static size_t canpf_skip(struct canpf *s, size_t len)
{
	size_t n = (size_t)canp_min(s->left, (uint64_t)len);

	s->left -= n;
	if (!s->left)
		s->state = AT_BLOCK;
	return n;
}

static size_t canpf_step(struct canpf *s, const uint8_t *p, size_t len, uint64_t off, bool eof)
{
	switch (s->state) {
	case AT_BLOCK:
		return canpf_header(s, p, len, off, eof);
	case AT_RETRY:
		return len < CANP_FORMAT_STRADDLE && !eof ? 0 : canpf_retry(s, p, len);
	case IN_SEARCH:
		return canpf_search(s, p, len, off, eof);
	case IN_MEMBER:
		return canpf_piece(s, p, len, off, eof);
	default:
		return canpf_skip(s, len);
	}
}

static void canpf_open(void *scratch, const struct canp_format_host *host, uint64_t file_bytes)
{
	struct canpf *s = scratch;

	memset(s, 0, offsetof(struct canpf, m));
	s->host = host;
	s->file_bytes = file_bytes;
	s->trusted = true;
	s->bus = canp_group_bus(host->group, NULL, 0);
	canp_member_init(&s->m, host, canpf_data, s);
}

static enum canp_walk canpf_walk(void *scratch, const uint8_t *win, size_t len, uint64_t base,
				 bool eof, size_t *consumed)
{
	struct canpf *s = scratch;
	enum canp_walk rc = CANP_WALK_MORE;
	size_t pos = 0, n;

	canp_ahead_window(s->m.ahead, canpf_find, s, win, len, base, eof);
	while (pos < len) {
		enum canp_state before = s->state;
		uint64_t blocks = s->stats.members;

		n = canpf_step(s, win + pos, len - pos, base + pos, eof);
		pos += n;
		if (s->m.stop) {
			rc = CANP_WALK_STOP;
			break;
		}
		if (n && before == AT_BLOCK && s->state == AT_BLOCK)
			s->trusted = true;
		if (!n && s->state == before)
			break; /* more input wanted */
		if (s->stats.members != blocks && canp_walk_pause(s->host)) {
			rc = CANP_WALK_PAUSED;
			break;
		}
	}
	/* A member that fills the file to its last byte still has to hear that it is over. */
	if (pos == len && eof && rc == CANP_WALK_MORE && s->state == IN_MEMBER)
		canpf_piece(s, win + pos, 0, base + pos, true);
	if (rc != CANP_WALK_PAUSED || pos == len)
		canp_ahead_leave(s->m.ahead);
	*consumed = pos;
	return rc;
}

static void canpf_close(void *scratch, struct canp_format_stats *stats)
{
	struct canpf *s = scratch;

	*stats = s->stats;
	stats->bytes_inflated = s->m.file_out;
	stats->unverified_tail = s->m.unverified;
}

/* No signature: a gzip member behind 35 bytes and a length that can be one. */
static int canpf_probe(const uint8_t *head, size_t len)
{
	uint32_t n;

	if (len < BLOCK_PROBE || !gzip_follows(head))
		return 0;
	n = canp_be32(head + BLOCK_LENGTH);
	return n >= GZIP_MIN && n <= CANP_WALK_MEMBER_MAX + (CANP_WALK_MEMBER_MAX >> 8) ? 80 : 0;
}

static size_t canpf_first(const uint8_t *head, size_t len)
{
	return canpf_probe(head, len) ? 0 : len;
}

static const struct canp_ahead_start canpf_start = {.first = canpf_first, .find = canpf_find};

const struct canp_format canp_fmt_canp = {
	.name = "canp",
	.text = "CANP container (35-byte headers, one gzip member each)",
	.scratch_bytes = sizeof(struct canpf),
	.probe = canpf_probe,
	.open = canpf_open,
	.walk = canpf_walk,
	.close = canpf_close,
	.ahead = &canpf_start,
};
