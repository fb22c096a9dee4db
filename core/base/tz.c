/*
 * tz.c - reader of TZif files (RFC 8536) and of the rule string in their footer.
 *
 *	header "TZif" version .. six u32 counts   44 bytes, v1 block with 32-bit times follows
 *	header again, v2+ block with 64-bit times:
 *	  times[timecnt] i64 | type index[timecnt] u8 | types[typecnt] {i32 offset, u8 dst, u8 abbr}
 *	  | abbreviations | leap seconds | two arrays of flags
 *	"\n" rule "\n"                              POSIX rule for moments after the last transition
 *
 * Everything is bounds-checked: the file is as little trusted as a log.
 */
#include "core/base/tz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/timeconv.h"
#include "core/base/units.h"

#define TZ_FILE_MAX  (256 * CANP_KIB) /* the largest in the database is under 4 KiB */
#define TZ_HEADER    44u
#define TZ_NAME_MAX  64u
#define DAY_S        86400
#define OFFSET_MAX_S (26 * 3600)

/* When a rule switches: Mm.w.d, Jn or n, and the local time of day in seconds. */
struct tz_switch {
	char kind; /* 'M', 'J' or '0' */
	int month, week, day;
	int32_t time_s;
};

struct tz_rule {
	bool valid, has_dst;
	int32_t std_s, dst_s; /* offsets, east positive */
	struct tz_switch start, end;
};

struct canp_tz {
	unsigned nr;
	int64_t *times;
	int32_t *offsets; /* in force from times[i] on */
	int32_t first_s;  /* before times[0] */
	struct tz_rule rule;
};

static bool rule_int(const char **p, int max, int *out)
{
	int v = 0;
	const char *s = *p;

	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (*s - '0');
		if (v > max)
			return false;
	}
	if (s == *p)
		return false;
	*p = s;
	*out = v;
	return true;
}

/* [+-]hh[:mm[:ss]], hours to 167 as RFC 8536 allows. */
static bool rule_time(const char **p, int32_t *out)
{
	int h, m = 0, s = 0;
	bool neg = **p == '-';

	if (**p == '-' || **p == '+')
		(*p)++;
	if (!rule_int(p, 167, &h))
		return false;
	if (**p == ':') {
		(*p)++;
		if (!rule_int(p, 59, &m))
			return false;
		if (**p == ':') {
			(*p)++;
			if (!rule_int(p, 59, &s))
				return false;
		}
	}
	*out = (h * 3600 + m * 60 + s) * (neg ? -1 : 1);
	return true;
}

/* Three or more letters, or anything in angle brackets. */
static bool rule_name(const char **p)
{
	const char *s = *p;

	if (*s == '<') {
		s = strchr(s, '>');
		if (!s)
			return false;
		*p = s + 1;
		return true;
	}
	while ((*s | 32) >= 'a' && (*s | 32) <= 'z')
		s++;
	if (s - *p < 3)
		return false;
	*p = s;
	return true;
}

static bool rule_switch(const char **p, struct tz_switch *sw)
{
	bool ok;

	if (**p != ',')
		return false;
	(*p)++;
	sw->time_s = 2 * 3600;
	if (**p == 'M') {
		(*p)++;
		sw->kind = 'M';
		ok = rule_int(p, 12, &sw->month) && sw->month && *(*p)++ == '.' &&
		     rule_int(p, 5, &sw->week) && sw->week && *(*p)++ == '.' &&
		     rule_int(p, 6, &sw->day);
	} else if (**p == 'J') {
		(*p)++;
		sw->kind = 'J';
		ok = rule_int(p, 365, &sw->day) && sw->day;
	} else {
		sw->kind = '0';
		ok = rule_int(p, 365, &sw->day);
	}
	if (!ok)
		return false;
	if (**p != '/')
		return true;
	(*p)++;
	return rule_time(p, &sw->time_s);
}

/* "CET-1CEST,M3.5.0,M10.5.0/3"; POSIX counts offsets west of Greenwich positive. */
static bool parse_rule(const char *s, struct tz_rule *rule)
{
	if (!rule_name(&s) || !rule_time(&s, &rule->std_s))
		return false;
	rule->std_s = -rule->std_s;
	if (!*s) {
		rule->valid = true;
		return true;
	}
	if (!rule_name(&s))
		return false;
	rule->dst_s = rule->std_s + 3600;
	if (*s != ',') {
		if (!rule_time(&s, &rule->dst_s))
			return false;
		rule->dst_s = -rule->dst_s;
	}
	if (!rule_switch(&s, &rule->start) || !rule_switch(&s, &rule->end) || *s)
		return false;
	rule->has_dst = true;
	rule->valid = true;
	return true;
}

/* Local seconds (as if UTC) of a switch in a year. */
static int64_t switch_at(const struct tz_switch *sw, int64_t year)
{
	int64_t jan1 = canp_days_from_civil(year, 1, 1), days;
	int weekday, day;

	if (sw->kind == 'M') {
		days = canp_days_from_civil(year, (unsigned)sw->month, 1);
		weekday = (int)(((days + 4) % 7 + 7) % 7);
		day = (sw->day - weekday + 7) % 7 + (sw->week - 1) * 7;
		if (day >= (int)canp_days_in_month(year, (unsigned)sw->month))
			day -= 7;
		days += day;
	} else if (sw->kind == 'J') {
		/* Day 60 is 1 March in every year. */
		days = jan1 + sw->day - 1 +
		       (sw->day >= 60 && canp_days_in_month(year, 2) == 29 ? 1 : 0);
	} else {
		days = jan1 + sw->day;
	}
	return days * DAY_S + sw->time_s;
}

static int32_t rule_offset(const struct tz_rule *rule, int64_t utc_s)
{
	struct canp_civil c;
	int64_t start, end;
	bool dst;

	if (!rule->has_dst)
		return rule->std_s;
	canp_civil_from_days(canp_floor_div(utc_s + rule->std_s, DAY_S), &c);
	start = switch_at(&rule->start, c.year) - rule->std_s;
	end = switch_at(&rule->end, c.year) - rule->dst_s;
	if (start < end)
		dst = utc_s >= start && utc_s < end;
	else
		dst = utc_s >= start || utc_s < end;
	return dst ? rule->dst_s : rule->std_s;
}

int32_t canp_tz_offset(const struct canp_tz *tz, int64_t utc_s)
{
	unsigned lo = 0, hi = tz->nr;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (tz->times[mid] <= utc_s)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == tz->nr && tz->rule.valid)
		return rule_offset(&tz->rule, utc_s);
	return lo ? tz->offsets[lo - 1] : tz->first_s;
}

int canp_tz_local_to_utc(void *arg, int64_t local_s, int64_t *utc_s)
{
	const struct canp_tz *tz = arg;
	int32_t before, after;

	/* Far outside what i64 nanoseconds can say; keeps the sums below from overflowing. */
	if (local_s > INT64_MAX / CANP_NS_PER_S || local_s < INT64_MIN / CANP_NS_PER_S)
		return -ERANGE;
	/* Zones do not switch twice within two days of one moment. */
	before = canp_tz_offset(tz, local_s - DAY_S);
	after = canp_tz_offset(tz, local_s + DAY_S);
	*utc_s = local_s - before;
	if (canp_tz_offset(tz, *utc_s) == before || canp_tz_offset(tz, local_s - after) != after)
		return 0;
	*utc_s = local_s - after;
	return 0;
}

struct tz_counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static int read_header(struct canp_span s, size_t off, struct tz_counts *c)
{
	const uint8_t *p = s.ptr + off;

	if (!canp_span_has(s, off, TZ_HEADER) || memcmp(p, "TZif", 4))
		return -EBADMSG;
	c->isut = canp_be32(p + 20);
	c->isstd = canp_be32(p + 24);
	c->leap = canp_be32(p + 28);
	c->time = canp_be32(p + 32);
	c->type = canp_be32(p + 36);
	c->chars = canp_be32(p + 40);
	/* Counts above the file size would overflow the sums; no real file comes near. */
	if (c->isut > TZ_FILE_MAX || c->isstd > TZ_FILE_MAX || c->leap > TZ_FILE_MAX ||
	    c->time > TZ_FILE_MAX || c->chars > TZ_FILE_MAX || !c->type || c->type > 256)
		return -EBADMSG;
	return 0;
}

static size_t block_bytes(const struct tz_counts *c, size_t time_size)
{
	return c->time * time_size + c->time + c->type * 6 + c->chars + c->leap * (time_size + 4) +
	       c->isstd + c->isut;
}

static int load_block(struct canp_tz *tz, const uint8_t *p, const struct tz_counts *c)
{
	const uint8_t *idx = p + c->time * 8, *types = idx + c->time;

	tz->times = calloc(c->time + 1, sizeof(*tz->times));
	tz->offsets = calloc(c->time + 1, sizeof(*tz->offsets));
	if (!tz->times || !tz->offsets)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->type; i++) {
		int32_t off = (int32_t)canp_be32(types + i * 6);

		if (off < -OFFSET_MAX_S || off > OFFSET_MAX_S)
			return -EBADMSG;
	}
	tz->first_s = (int32_t)canp_be32(types);
	for (uint32_t i = 0; i < c->time; i++) {
		tz->times[i] = (int64_t)canp_be64(p + i * 8);
		if (idx[i] >= c->type || (i && tz->times[i] <= tz->times[i - 1]))
			return -EBADMSG;
		tz->offsets[i] = (int32_t)canp_be32(types + idx[i] * 6);
	}
	tz->nr = c->time;
	return 0;
}

/* "\nRULE\n" behind the second block; an empty rule means none. */
static int load_footer(struct canp_tz *tz, struct canp_span s, size_t off)
{
	const uint8_t *nl;
	char rule[128];
	size_t n;

	if (!canp_span_has(s, off, 2) || s.ptr[off] != '\n')
		return -EBADMSG;
	off++;
	nl = memchr(s.ptr + off, '\n', s.len - off);
	if (!nl)
		return -EBADMSG;
	n = (size_t)(nl - (s.ptr + off));
	if (!n)
		return 0;
	if (n >= sizeof(rule))
		return -EBADMSG;
	memcpy(rule, s.ptr + off, n);
	rule[n] = '\0';
	return parse_rule(rule, &tz->rule) ? 0 : -EBADMSG;
}

int canp_tz_parse(const uint8_t *data, size_t len, struct canp_tz **out)
{
	struct canp_span s = {data, len};
	struct tz_counts c;
	struct canp_tz *tz;
	size_t off;
	int rc = read_header(s, 0, &c);

	if (rc)
		return rc;
	if (data[4] < '2')
		return -ENOTSUP;
	off = TZ_HEADER + block_bytes(&c, 4);
	rc = off > len ? -EBADMSG : read_header(s, off, &c);
	if (rc)
		return rc;
	off += TZ_HEADER;
	if (!canp_span_has(s, off, block_bytes(&c, 8)))
		return -EBADMSG;
	if (c.leap)
		return -ENOTSUP;
	tz = calloc(1, sizeof(*tz));
	if (!tz)
		return -ENOMEM;
	rc = load_block(tz, data + off, &c);
	if (!rc)
		rc = load_footer(tz, s, off + block_bytes(&c, 8));
	if (rc)
		canp_tz_close(tz);
	else
		*out = tz;
	return rc;
}

/* Names are paths below the database; nothing may lead out of it. */
static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > TZ_NAME_MAX || name[0] == '/' || name[0] == '.' || strstr(name, ".."))
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") ==
	       n;
}

int canp_tz_open(const char *name, struct canp_tz **out)
{
	char path[32 + TZ_NAME_MAX];
	uint8_t *buf;
	ssize_t n;
	int fd, rc;

	if (!strcasecmp(name, "utc")) {
		*out = calloc(1, sizeof(**out));
		return *out ? 0 : -ENOMEM;
	}
	if (!name_ok(name))
		return -EINVAL;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buf = malloc(TZ_FILE_MAX);
	n = buf ? read(fd, buf, TZ_FILE_MAX) : -1;
	if (!buf)
		rc = -ENOMEM;
	else if (n < 0)
		rc = errno == EISDIR ? -ENOENT : -errno;
	else
		rc = canp_tz_parse(buf, (size_t)n, out);
	free(buf);
	close(fd);
	return rc;
}

void canp_tz_close(struct canp_tz *tz)
{
	if (!tz)
		return;
	free(tz->times);
	free(tz->offsets);
	free(tz);
}
