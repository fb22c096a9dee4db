/*
 * candump_parse.c - the grammar of a candump line, read left to right with one cursor.
 *
 *   line    = blanks "(" time ")" blanks iface blanks ( frame [ blanks ("R"|"T") any ] | console )
 *   time    = digits "." 1..9 digits  |  YYYY-MM-DD hh:mm:ss "." 1..9 digits
 *   frame   = id "#" data [ "_" 9..F ]         classic; up to 8 bytes, pairs may be parted by "."
 *           | id "#" ("R"|"r") [ 0..8 [ "_" 9..F ] ]                   remote
 *           | id "##" flags data               FD; flags: 1 = BRS, 2 = ESI; up to 64 bytes
 *   id      = 3 hex digits (standard) | 8 hex digits (extended, or error class | 20000000)
 *   console = [ ("RX"|"TX") flag flag ] id "[" n "]" ( bytes | "remote request" ) any
 *
 * The length of the id decides its kind, not its value. Everything that does not follow is bad: a
 * guess would turn damage into frames. The hex table holds value + 1, so that 0 means "no digit".
 */
#include "io/format/candump_parse.h"

#include <string.h>

#include "core/base/bytes.h"
#include "core/base/timeconv.h"
#include "core/base/units.h"
#include "simd/frames.h"

#define ERR_FRAME_BIT 0x20000000u /* CAN_ERR_FLAG of linux/can.h */

static const uint8_t hex1[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

struct cursor {
	const uint8_t *p, *end;
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static void skip_blanks(struct cursor *c)
{
	while (c->p < c->end && is_blank(*c->p))
		c->p++;
}

static bool take(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != (uint8_t)want)
		return false;
	c->p++;
	return true;
}

/* The next character without moving; 0 at the end. */
static uint8_t peek(const struct cursor *c)
{
	return c->p < c->end ? *c->p : 0;
}

/* Up to eight decimal digits at the cursor, eight at a time instead of one: a digit is a byte whose
 * value is not pushed over 0x7f by 0x46 nor below 0 by -0x30. Returns how many; *v their value. */
static unsigned take_digits8(struct cursor *c, uint64_t *v)
{
	uint64_t w = canp_le64(c->p), odd;
	unsigned n;

	odd = ((w + 0x4646464646464646u) | (w - 0x3030303030303030u)) & 0x8080808080808080u;
	n = odd ? (unsigned)__builtin_ctzll(odd) / 8 : 8;
	*v = 0;
	if (!n)
		return 0;
	/* The digits move to the top, zeros fill in before them; then pairs, fours, eight. */
	w = (w - 0x3030303030303030u) << (8 - n) * 8;
	w = w * 10 + (w >> 8);
	*v = ((w & 0x000000ff000000ffu) * 0x000f424000000064u +
	      (w >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u) >>
	     32;
	c->p += n;
	return n;
}

/* min..max decimal digits as a number; false leaves the cursor anywhere. max <= 18. */
static bool take_decimal(struct cursor *c, unsigned min, unsigned max, uint64_t *v)
{
	unsigned n = 0;

	*v = 0;
	if (max >= 8 && c->end - c->p >= 8)
		n = take_digits8(c, v);
	for (; n < max && c->p < c->end && is_digit(*c->p); n++)
		*v = *v * 10 + (uint64_t)(*c->p++ - '0');
	return n >= min && !(c->p < c->end && is_digit(*c->p));
}

/* "." and 1..9 digits, scaled to ns. */
static bool take_fraction(struct cursor *c, uint64_t *ns)
{
	static const uint32_t scale[] = {0,     100000000, 10000000, 1000000, 100000,
					 10000, 1000,      100,      10,      1};
	const uint8_t *start;

	if (!take(c, '.'))
		return false;
	start = c->p;
	if (!take_decimal(c, 1, 9, ns))
		return false;
	*ns *= scale[c->p - start];
	return true;
}

/* "YYYY-MM-DD hh:mm:ss" as seconds of a wall clock. */
static bool take_civil(struct cursor *c, int64_t *seconds)
{
	uint64_t year, month, day, hour, minute, second;
	struct canp_civil civil = {0};

	if (!take_decimal(c, 4, 4, &year) || !take(c, '-') || !take_decimal(c, 2, 2, &month) ||
	    !take(c, '-') || !take_decimal(c, 2, 2, &day) || !take(c, ' ') ||
	    !take_decimal(c, 2, 2, &hour) || !take(c, ':') || !take_decimal(c, 2, 2, &minute) ||
	    !take(c, ':') || !take_decimal(c, 2, 2, &second))
		return false;
	civil.year = (int64_t)year;
	civil.month = (unsigned)month;
	civil.day = (unsigned)day;
	civil.hour = (unsigned)hour;
	civil.minute = (unsigned)minute;
	civil.second = (unsigned)second;
	return canp_civil_to_seconds(&civil, seconds) == 0;
}

/* "(seconds.fraction)" or "(date time.fraction)". *range: well-formed but beyond i64 ns. */
static bool take_time(struct cursor *c, struct canp_candump_line *out, bool *range)
{
	uint64_t whole, ns;
	int64_t seconds;
	bool civil;

	if (!take(c, '('))
		return false;
	civil = c->end - c->p > 4 && c->p[4] == '-';
	if (civil) {
		if (!take_civil(c, &seconds))
			return false;
	} else {
		if (!take_decimal(c, 1, 18, &whole))
			return false;
		seconds = (int64_t)whole;
	}
	if (!take_fraction(c, &ns) || !take(c, ')'))
		return false;
	out->local = civil;
	*range = __builtin_mul_overflow(seconds, (int64_t)CANP_NS_PER_S, &out->ts_ns) ||
		 __builtin_add_overflow(out->ts_ns, (int64_t)ns, &out->ts_ns);
	return true;
}

/* A word up to the next blank. */
static size_t take_word(struct cursor *c, const uint8_t **word)
{
	*word = c->p;
	while (c->p < c->end && !is_blank(*c->p))
		c->p++;
	return (size_t)(c->p - *word);
}

static bool take_id(struct cursor *c, struct canp_candump_line *out)
{
	uint32_t v = 0;
	unsigned n = 0;

	for (; n < 8 && c->p < c->end && hex1[*c->p]; n++)
		v = v << 4 | (hex1[*c->p++] - 1u);
	if (n == 3) {
		out->why = "standard id above 7FF";
		out->id = v;
		return v <= 0x7ff;
	}
	out->why = "id is neither 3 nor 8 hex digits";
	if (n != 8)
		return false;
	out->why = "flag bits in the id";
	if (v >> 30)
		return false;
	out->id = v & 0x1fffffffu;
	out->flags |= v & ERR_FRAME_BIT ? CANP_FF_ERR : CANP_FF_EXT;
	return true;
}

/* Four pairs of hex digits; false: there is something else among them. */
static bool four_pairs(const uint8_t *p, uint8_t *out)
{
	uint8_t h[8];
	bool all = true;

	for (unsigned i = 0; i < 8; i++) {
		h[i] = hex1[p[i]];
		all &= h[i] != 0;
	}
	for (unsigned i = 0; i < 4; i++)
		out[i] = (uint8_t)((h[2 * i] - 1u) << 4 | ((h[2 * i + 1] - 1u) & 15));
	return all;
}

/* Pairs of hex digits, each optionally followed by ".", into out->data; false: more than max, or a
 * lone digit. */
static bool take_pairs(struct cursor *c, unsigned max, struct canp_candump_line *out)
{
	unsigned n = 0;

	for (; n + 4 <= max && c->end - c->p >= 8 && four_pairs(c->p, out->data + n); n += 4) {
		c->p += 8;
		take(c, '.');
	}
	while (c->p < c->end && hex1[*c->p]) {
		if (n == max || c->end - c->p < 2 || !hex1[c->p[1]])
			return false;
		out->data[n++] = (uint8_t)((hex1[c->p[0]] - 1) << 4 | (hex1[c->p[1]] - 1));
		c->p += 2;
		take(c, '.');
	}
	out->len = n;
	return true;
}

/* "_9".."_F": the raw DLC behind 8 bytes. Absent is fine. */
static bool take_raw_dlc(struct cursor *c, struct canp_candump_line *out)
{
	unsigned v;

	if (!take(c, '_'))
		return true;
	v = hex1[peek(c)];
	if (v < 10 || out->dlc != 8)
		return false;
	c->p++;
	out->dlc = v - 1;
	out->complete = true;
	return true;
}

/* The smallest DLC code of an FD frame that holds len bytes. */
static unsigned fd_dlc(unsigned len)
{
	static const uint8_t size[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64};
	unsigned dlc = 0;

	while (size[dlc] < len)
		dlc++;
	return dlc;
}

static bool take_fd(struct cursor *c, struct canp_candump_line *out)
{
	unsigned v = hex1[peek(c)];

	out->why = "bad CAN FD frame";
	if (!v || out->flags & CANP_FF_ERR)
		return false;
	c->p++;
	out->flags |=
		CANP_FF_FD | ((v - 1) & 1 ? CANP_FF_BRS : 0u) | ((v - 1) & 2 ? CANP_FF_ESI : 0u);
	if (!take_pairs(c, 64, out))
		return false;
	out->dlc = fd_dlc(out->len);
	out->complete = out->len == 64;
	return true;
}

static bool take_remote(struct cursor *c, struct canp_candump_line *out)
{
	out->why = "bad remote frame";
	c->p++;
	out->flags |= CANP_FF_RTR;
	if (is_digit(peek(c)) && peek(c) <= '8')
		out->dlc = (unsigned)(*c->p++ - '0');
	return take_raw_dlc(c, out);
}

/* Behind "id#". */
static bool take_payload(struct cursor *c, struct canp_candump_line *out)
{
	if (take(c, '#'))
		return take_fd(c, out);
	if (peek(c) == 'R' || peek(c) == 'r')
		return take_remote(c, out);
	out->why = "bad data bytes";
	if (!take_pairs(c, 8, out))
		return false;
	out->dlc = out->len;
	out->complete = out->len == 8;
	return take_raw_dlc(c, out);
}

/* Optional direction: only its first letter matters. Anything else behind the frame is damage. */
static bool take_direction(struct cursor *c, struct canp_candump_line *out)
{
	out->why = "text behind the frame";
	if (c->p < c->end && !is_blank(*c->p))
		return false;
	skip_blanks(c);
	if (c->p == c->end)
		return true;
	if (*c->p != 'R' && *c->p != 'T')
		return false;
	out->flags |= *c->p == 'T' ? CANP_FF_TX : 0u;
	out->complete = true;
	return true;
}

/* [RX|TX flag flag] of the console form. */
static void take_console_flags(struct cursor *c, struct canp_candump_line *out)
{
	if (c->end - c->p < 7 || (c->p[0] != 'R' && c->p[0] != 'T') || c->p[1] != 'X' ||
	    !is_blank(c->p[2]))
		return;
	out->flags |= c->p[0] == 'T' ? CANP_FF_TX : 0u;
	c->p += 2;
	skip_blanks(c);
	out->flags |= peek(c) == 'B' ? CANP_FF_BRS : 0u;
	c->p += c->p < c->end;
	skip_blanks(c);
	out->flags |= peek(c) == 'E' ? CANP_FF_ESI : 0u;
	c->p += c->p < c->end;
	skip_blanks(c);
}

/* "[8]  11 22 .."; two digits between the brackets mean CAN FD. */
static bool take_console(struct cursor *c, struct canp_candump_line *out)
{
	static const char remote[] = "remote request";
	const uint8_t *start;
	uint64_t n;

	take_console_flags(c, out);
	if (!take_id(c, out))
		return false;
	skip_blanks(c);
	out->why = "no [length] behind the id";
	if (!take(c, '['))
		return false;
	start = c->p;
	if (!take_decimal(c, 1, 2, &n) || n > 64)
		return false;
	if (c->p - start == 2)
		out->flags |= CANP_FF_FD;
	else if (n > 8)
		return false;
	if (!take(c, ']'))
		return false;
	skip_blanks(c);
	if ((size_t)(c->end - c->p) >= sizeof(remote) - 1 &&
	    !memcmp(c->p, remote, sizeof(remote) - 1)) {
		out->flags |= CANP_FF_RTR;
		out->dlc = (unsigned)n;
		return true;
	}
	out->why = "bad data bytes";
	for (out->len = 0; out->len < n; out->len++, skip_blanks(c)) {
		if (c->end - c->p < 2 || !hex1[c->p[0]] || !hex1[c->p[1]])
			return false;
		out->data[out->len] = (uint8_t)((hex1[c->p[0]] - 1) << 4 | (hex1[c->p[1]] - 1));
		c->p += 2;
	}
	out->dlc = out->flags & CANP_FF_FD ? fd_dlc(out->len) : out->len;
	out->complete = true; /* the length says so */
	return true;
}

/* "DROPCOUNT: dropped 3 CAN frames on 'can0' socket (total drops 9)". */
static enum canp_candump_kind take_dropcount(struct cursor *c, struct canp_candump_line *out)
{
	static const char head[] = "DROPCOUNT:";
	const uint8_t *q;

	out->why = "line does not start with a time";
	if ((size_t)(c->end - c->p) < sizeof(head) - 1 || memcmp(c->p, head, sizeof(head) - 1))
		return CANP_CANDUMP_BAD;
	c->p += sizeof(head) - 1;
	while (c->p < c->end && !is_digit(*c->p))
		c->p++;
	if (!take_decimal(c, 1, 18, &out->lost))
		out->lost = 0;
	q = memchr(c->p, '\'', (size_t)(c->end - c->p));
	if (q) {
		const uint8_t *e = memchr(q + 1, '\'', (size_t)(c->end - q - 1));

		if (e && e > q + 1 && e - q - 1 <= (ptrdiff_t)CANP_CANDUMP_IFACE_MAX) {
			out->iface = (const char *)q + 1;
			out->iface_len = (size_t)(e - q - 1);
		}
	}
	return CANP_CANDUMP_GAP;
}

static bool take_iface(struct cursor *c, struct canp_candump_line *out)
{
	const uint8_t *word;

	out->why = "no interface name behind the time";
	if (c->p == c->end || !is_blank(*c->p))
		return false;
	skip_blanks(c);
	out->iface_len = take_word(c, &word);
	out->iface = (const char *)word;
	skip_blanks(c);
	return out->iface_len >= 1 && out->iface_len <= CANP_CANDUMP_IFACE_MAX;
}

/* "VVPPP#": five hex digits in front of the sign are CAN XL. */
static bool is_xl(const struct cursor *c)
{
	unsigned n = 0;

	while (n < 5 && c->p + n < c->end && hex1[c->p[n]])
		n++;
	return n == 5 && c->p + n < c->end && c->p[n] == '#';
}

enum canp_candump_kind canp_candump_parse(const uint8_t *line, size_t len,
					  struct canp_candump_line *out)
{
	struct cursor c = {line, line + len};
	bool range = false;
	const uint8_t *q;

	memset(out, 0, offsetof(struct canp_candump_line, data));
	if (len && line[len - 1] == '\r')
		c.end--;
	skip_blanks(&c);
	if (c.p == c.end)
		return CANP_CANDUMP_BLANK;
	if (*c.p != '(')
		return take_dropcount(&c, out);
	out->why = "bad time";
	if (!take_time(&c, out, &range) || !take_iface(&c, out))
		return CANP_CANDUMP_BAD;
	q = c.p;
	while (q < c.end && hex1[*q])
		q++;
	if (q < c.end && *q == '#') {
		out->why = "CAN XL frame";
		if (is_xl(&c))
			return CANP_CANDUMP_UNSUPPORTED;
		if (!take_id(&c, out))
			return CANP_CANDUMP_BAD;
		out->why = "no # behind the id";
		if (!take(&c, '#') || !take_payload(&c, out) || !take_direction(&c, out))
			return CANP_CANDUMP_BAD;
	} else if (!take_console(&c, out)) {
		return CANP_CANDUMP_BAD;
	}
	return range ? CANP_CANDUMP_BAD_TIME : CANP_CANDUMP_FRAME;
}
