/*
 * timeconv.c - civil time to nanoseconds and back.
 *
 * The calendar is computed in 400-year eras of 146,097 days that start on 1 March, so that the leap
 * day is the last day of its year and no table of months is needed.
 */
#include "core/base/timeconv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/base/units.h"

#define DAYS_PER_ERA    146097
#define DAYS_TO_1970    719468 /* from 0000-03-01 */
#define SECONDS_PER_DAY 86400

int64_t canp_days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2);
	int64_t era = canp_floor_div(y, 400);
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * DAYS_PER_ERA + yoe * 365 + yoe / 4 - yoe / 100 + doy - DAYS_TO_1970;
}

void canp_civil_from_days(int64_t days, struct canp_civil *c)
{
	int64_t z = days + DAYS_TO_1970;
	int64_t era = canp_floor_div(z, DAYS_PER_ERA);
	int64_t doe = z - era * DAYS_PER_ERA;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	c->day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	c->year = yoe + era * 400 + (c->month <= 2);
}

unsigned canp_days_in_month(int64_t year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	if (month < 1 || month > 12)
		return 0;
	return days[month - 1] + (month == 2 && leap);
}

int canp_civil_to_seconds(const struct canp_civil *c, int64_t *seconds)
{
	if (c->year < -999999 || c->year > 999999 || c->month < 1 || c->month > 12 || c->day < 1 ||
	    c->day > canp_days_in_month(c->year, c->month) || c->hour > 23 || c->minute > 59 ||
	    c->second > 59 || c->ns > 999999999)
		return -EINVAL;
	*seconds = canp_days_from_civil(c->year, c->month, c->day) * SECONDS_PER_DAY +
		   c->hour * 3600 + c->minute * 60 + c->second;
	return 0;
}

int canp_time_ns(int64_t seconds, int64_t nanos, int64_t *ns)
{
	__int128 v = (__int128)seconds * CANP_NS_PER_S + nanos;

	if (v < INT64_MIN || v > INT64_MAX)
		return -ERANGE;
	*ns = (int64_t)v;
	return 0;
}

int canp_civil_to_ns(const struct canp_civil *c, int64_t *ns)
{
	int64_t seconds;
	int rc = canp_civil_to_seconds(c, &seconds);

	return rc ? rc : canp_time_ns(seconds, c->ns, ns);
}

void canp_civil_from_ns(int64_t ns, struct canp_civil *c)
{
	int64_t seconds = canp_floor_div(ns, CANP_NS_PER_S);
	int64_t days = canp_floor_div(seconds, SECONDS_PER_DAY);
	unsigned rest = (unsigned)(seconds - days * SECONDS_PER_DAY);

	canp_civil_from_days(days, c);
	c->hour = rest / 3600;
	c->minute = rest / 60 % 60;
	c->second = rest % 60;
	/* Not ns - seconds * 10^9: that product overflows for the first second of the range. */
	c->ns = (uint32_t)((ns % CANP_NS_PER_S + CANP_NS_PER_S) % CANP_NS_PER_S);
}

struct cursor {
	const char *p, *end;
};

static bool eat(struct cursor *c, char ch)
{
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static bool is_digit(const struct cursor *c)
{
	return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

/* Exactly n digits. */
static bool digits(struct cursor *c, unsigned n, unsigned *out)
{
	unsigned v = 0;

	for (; n; n--) {
		if (!is_digit(c))
			return false;
		v = v * 10 + (unsigned)(*c->p++ - '0');
	}
	*out = v;
	return true;
}

static bool parse_fraction(struct cursor *c, uint32_t *ns)
{
	uint32_t v = 0, unit = 100000000;

	if (!is_digit(c))
		return false;
	for (; is_digit(c); c->p++) {
		v += unit * (uint32_t)(*c->p - '0');
		unit /= 10;
	}
	*ns = v;
	return true;
}

static bool parse_offset(struct cursor *c, int *offset_s)
{
	unsigned h, m = 0;
	int sign;

	*offset_s = 0;
	if (c->p == c->end || eat(c, 'Z') || eat(c, 'z'))
		return true;
	sign = *c->p == '-' ? -1 : 1;
	if (!eat(c, '+') && !eat(c, '-'))
		return false;
	if (!digits(c, 2, &h))
		return false;
	if ((eat(c, ':') || c->p < c->end) && !digits(c, 2, &m))
		return false;
	if (h > 23 || m > 59)
		return false;
	*offset_s = sign * (int)(h * 3600 + m * 60);
	return true;
}

static bool parse_clock(struct cursor *c, struct canp_civil *t)
{
	if (!digits(c, 2, &t->hour) || !eat(c, ':') || !digits(c, 2, &t->minute))
		return false;
	if (!eat(c, ':'))
		return true;
	if (!digits(c, 2, &t->second))
		return false;
	return !eat(c, '.') || parse_fraction(c, &t->ns);
}

static int parse_seconds(const char *text, size_t len, int64_t *ns)
{
	struct cursor c = {text, text + len};
	bool neg = eat(&c, '-');
	int64_t v = 0;

	if (!is_digit(&c))
		return -EINVAL;
	for (; is_digit(&c); c.p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c.p - '0', &v))
			return -ERANGE;
	if (c.p != c.end)
		return -EINVAL;
	return canp_time_ns(neg ? -v : v, 0, ns);
}

int canp_time_parse(const char *text, size_t len, int64_t *ns)
{
	struct cursor c = {text, text + len};
	struct canp_civil t = {0};
	unsigned year;
	int64_t seconds;
	int offset_s = 0, rc;

	if (!digits(&c, 4, &year) || !eat(&c, '-'))
		return parse_seconds(text, len, ns);
	t.year = year;
	if (!digits(&c, 2, &t.month) || !eat(&c, '-') || !digits(&c, 2, &t.day))
		return -EINVAL;
	if (eat(&c, 'T') || eat(&c, 't') || eat(&c, ' ')) {
		if (!parse_clock(&c, &t) || !parse_offset(&c, &offset_s))
			return -EINVAL;
	}
	if (c.p != c.end)
		return -EINVAL;
	rc = canp_civil_to_seconds(&t, &seconds);
	return rc ? rc : canp_time_ns(seconds - offset_s, t.ns, ns);
}

size_t canp_time_format(int64_t ns, char buf[CANP_TIME_TEXT])
{
	struct canp_civil c;
	int n;

	canp_civil_from_ns(ns, &c);
	n = snprintf(buf, CANP_TIME_TEXT, "%04d-%02u-%02uT%02u:%02u:%02u", (int)c.year, c.month,
		     c.day, c.hour, c.minute, c.second);
	if (c.ns % 1000)
		n += snprintf(buf + n, CANP_TIME_TEXT - (size_t)n, ".%09u", c.ns);
	else if (c.ns % 1000000)
		n += snprintf(buf + n, CANP_TIME_TEXT - (size_t)n, ".%06u", c.ns / 1000);
	else if (c.ns)
		n += snprintf(buf + n, CANP_TIME_TEXT - (size_t)n, ".%03u", c.ns / 1000000);
	n += snprintf(buf + n, CANP_TIME_TEXT - (size_t)n, "Z");
	return (size_t)n;
}
