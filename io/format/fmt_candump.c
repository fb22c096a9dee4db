/*
 * fmt_candump.c - SocketCAN's candump text: lines are found here, parsed in candump_parse.c and
 * pushed as frames.
 *
 * A line is the unit of damage: a bad one is one fault with its offset, the next one starts afresh.
 * A line without end may not hold memory or time: past CANDUMP_LINE_MAX it is skipped to its end as
 * one fault. The last line of a file may lack its line end; it is only taken when no byte of the
 * frame can be missing, because a frame with fewer data bytes than were sent would be a lie.
 *
 * Interface names become buses once per file through a small cache. Frame losses reported before
 * the first frame have no time of their own; they are pushed with the time of the first frame.
 */
#include <string.h>

#include "core/base/units.h"
#include "io/format/candump_parse.h"
#include "io/format/formats.h"
#include "io/format/walk.h"

#define CANDUMP_LINE_MAX   4096u
#define CANDUMP_BUSES      32u /* interfaces cached; more work, slower */
#define CANDUMP_PAUSE_MASK 255u

struct candump_bus {
	char name[CANP_CANDUMP_IFACE_MAX + 1];
	size_t len;
	const struct canp_busref *ref;
};

struct candump {
	const struct canp_format_host *host;
	struct canp_format_stats stats;
	struct candump_bus buses[CANDUMP_BUSES];
	unsigned nr_buses, next_bus, last_bus;
	int64_t last_ns;
	bool has_time;
	uint32_t early_gaps; /* losses seen before the first frame */
	const struct canp_busref *early_bus;
	bool in_long;      /* inside a line that is too long */
	uint64_t long_off; /* where it started */
};

/* Number at the end of an interface name, 0 when there is none. */
static unsigned iface_number(const char *name, size_t len)
{
	size_t i = len;
	unsigned v = 0;

	while (i && len - i < 6 && name[i - 1] >= '0' && name[i - 1] <= '9')
		i--;
	for (; i < len; i++)
		v = v * 10 + (unsigned)(name[i] - '0');
	return v;
}

static const struct canp_busref *candump_bus(struct candump *s, const char *name, size_t len)
{
	struct candump_bus *b = &s->buses[s->last_bus];

	if (!name)
		return canp_group_bus(s->host->group, NULL, 0);
	if (b->len == len && !memcmp(b->name, name, len))
		return b->ref;
	for (unsigned i = 0; i < s->nr_buses; i++) {
		b = &s->buses[i];
		if (b->len == len && !memcmp(b->name, name, len)) {
			s->last_bus = i;
			return b->ref;
		}
	}
	s->last_bus = s->next_bus;
	s->next_bus = (s->next_bus + 1) % CANDUMP_BUSES;
	s->nr_buses += s->nr_buses < CANDUMP_BUSES;
	b = &s->buses[s->last_bus];
	memcpy(b->name, name, len);
	b->name[len] = '\0';
	b->len = len;
	b->ref = canp_group_bus(s->host->group, b->name, iface_number(name, len));
	return b->ref;
}

static void push_gap(struct candump *s, const struct canp_busref *bus)
{
	canp_group_push(s->host->group, bus, s->last_ns, 0, CANP_FF_GAP, 0, NULL, 0);
}

static void push_frame(struct candump *s, const struct canp_candump_line *l, uint64_t off)
{
	const struct canp_format_opts *opts = s->host->opts;
	int64_t ts = l->ts_ns, local, utc;

	if (l->local && opts && opts->local_to_utc) {
		local = canp_floor_div(ts, CANP_NS_PER_S);
		if (opts->local_to_utc(opts->tz_arg, local, &utc) ||
		    __builtin_sub_overflow(utc, local, &utc) ||
		    __builtin_mul_overflow(utc, (int64_t)CANP_NS_PER_S, &utc) ||
		    __builtin_add_overflow(ts, utc, &ts)) {
			canp_walk_fault(s->host, CANP_FAULT_BAD_TIME, off, 0,
					"no UTC for this local time");
			return;
		}
	}
	s->last_ns = ts;
	s->has_time = true;
	for (; s->early_gaps; s->early_gaps--)
		push_gap(s, s->early_bus);
	canp_group_push(s->host->group, candump_bus(s, l->iface, l->iface_len), ts, l->id, l->flags,
			l->dlc, l->data, l->len);
}

static void gap_line(struct candump *s, const struct canp_candump_line *l)
{
	const struct canp_busref *bus = candump_bus(s, l->iface, l->iface_len);

	if (s->has_time) {
		push_gap(s, bus);
		return;
	}
	s->early_bus = bus;
	s->early_gaps += s->early_gaps < 256;
}

/* One line of len bytes at file offset off. cut: the file ended without a line end. */
static void candump_line(struct candump *s, const uint8_t *p, size_t len, uint64_t off, bool cut)
{
	struct canp_candump_line l;
	enum canp_candump_kind kind;

	kind = canp_candump_parse(p, len, &l);
	s->stats.members++;
	s->stats.bytes_inflated += len + !cut;
	if (cut && kind != CANP_CANDUMP_BLANK && (kind != CANP_CANDUMP_FRAME || !l.complete)) {
		canp_walk_fault(s->host, CANP_FAULT_TRUNCATED, off, len,
				"last line has no line end");
		return;
	}
	switch (kind) {
	case CANP_CANDUMP_FRAME:
		push_frame(s, &l, off);
		break;
	case CANP_CANDUMP_GAP:
		gap_line(s, &l);
		break;
	case CANP_CANDUMP_BLANK:
		break;
	case CANP_CANDUMP_BAD:
		canp_walk_fault(s->host, CANP_FAULT_BAD_TEXT, off, len, "%s", l.why);
		break;
	case CANP_CANDUMP_BAD_TIME:
		canp_walk_fault(s->host, CANP_FAULT_BAD_TIME, off, len, "time beyond 1677..2262");
		break;
	case CANP_CANDUMP_UNSUPPORTED:
		canp_walk_fault(s->host, CANP_FAULT_UNSUPPORTED, off, len, "%s", l.why);
		break;
	}
}

/* Skips to the end of a line that is too long; returns the bytes consumed. */
static size_t candump_skip_long(struct candump *s, const uint8_t *p, size_t len, uint64_t off,
				bool eof)
{
	const uint8_t *nl = memchr(p, '\n', len);
	size_t n = nl ? (size_t)(nl - p) + 1 : len;

	s->stats.bytes_inflated += n;
	if (nl || eof) {
		s->in_long = false;
		s->stats.members++;
		canp_walk_fault(s->host, CANP_FAULT_BAD_TEXT, s->long_off, off + n - s->long_off,
				"line longer than %u bytes", CANDUMP_LINE_MAX);
	}
	return n;
}

static void candump_open(void *scratch, const struct canp_format_host *host, uint64_t file_bytes)
{
	struct candump *s = scratch;

	(void)file_bytes;
	memset(s, 0, sizeof(*s));
	s->host = host;
}

static enum canp_walk candump_walk(void *scratch, const uint8_t *win, size_t len, uint64_t base,
				   bool eof, size_t *consumed)
{
	struct candump *s = scratch;
	size_t pos = 0, n;
	unsigned lines = 0;
	const uint8_t *nl;

	if (base == 0 && len >= 3 && !memcmp(win, "\xef\xbb\xbf", 3))
		pos = 3; /* byte order mark of an editor */
	while (pos < len) {
		if (s->in_long) {
			pos += candump_skip_long(s, win + pos, len - pos, base + pos, eof);
			continue;
		}
		n = canp_min(len - pos, (size_t)CANDUMP_LINE_MAX + 1);
		nl = memchr(win + pos, '\n', n);
		if (!nl && n > CANDUMP_LINE_MAX) {
			s->in_long = true;
			s->long_off = base + pos;
			continue;
		}
		if (!nl && !eof)
			break;
		n = nl ? (size_t)(nl - (win + pos)) : len - pos;
		candump_line(s, win + pos, n, base + pos, !nl);
		pos += n + (nl != NULL);
		if ((++lines & CANDUMP_PAUSE_MASK) == 0 && canp_walk_pause(s->host)) {
			*consumed = pos;
			return CANP_WALK_PAUSED;
		}
	}
	*consumed = pos;
	return CANP_WALK_MORE;
}

static void candump_close(void *scratch, struct canp_format_stats *stats)
{
	*stats = ((struct candump *)scratch)->stats;
}

/* Certain when the first line that is not blank parses; a damaged first line is forgiven when one
 * of the next few is good. Binary data has no such lines. */
static int candump_probe(const uint8_t *head, size_t len)
{
	size_t pos = len >= 3 && !memcmp(head, "\xef\xbb\xbf", 3) ? 3 : 0;
	struct canp_candump_line l;
	const uint8_t *nl;
	int sure = 90;
	size_t n;

	for (unsigned lines = 0; lines < 16 && pos < len; pos += n + 1) {
		nl = memchr(head + pos, '\n', canp_min(len - pos, (size_t)CANDUMP_LINE_MAX + 1));
		n = nl ? (size_t)(nl - (head + pos)) : len - pos;
		if (n > CANDUMP_LINE_MAX || memchr(head + pos, '\0', n))
			return 0;
		switch (canp_candump_parse(head + pos, n, &l)) {
		case CANP_CANDUMP_FRAME:
		case CANP_CANDUMP_GAP:
		case CANP_CANDUMP_UNSUPPORTED:
			return sure;
		case CANP_CANDUMP_BLANK:
			break;
		default:
			sure = 60;
			lines++;
		}
	}
	return 0;
}

const struct canp_format canp_fmt_candump = {
	.name = "candump",
	.plain = true,
	.text = "SocketCAN candump text (log or console form)",
	.scratch_bytes = sizeof(struct candump),
	.probe = candump_probe,
	.open = candump_open,
	.walk = candump_walk,
	.close = candump_close,
};
