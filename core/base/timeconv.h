/*
 * timeconv.h - civil time and the one time scale inside: i64 nanoseconds since 1970-01-01T00:00:00Z
 * (years 1677 to 2262). Pure functions, any thread, no locale, never the host's time zone; every
 * conversion checks for overflow.
 */
#ifndef CANP_BASE_TIMECONV_H
#define CANP_BASE_TIMECONV_H

#include <stddef.h>
#include <stdint.h>

struct canp_civil {
	int64_t year;                              /* proleptic Gregorian; 0 = 1 BC */
	unsigned month, day, hour, minute, second; /* 1..12, 1..31, 0..23, 0..59, 0..59 */
	uint32_t ns;                               /* 0..999999999 */
};

/* Days since 1970-01-01 of a valid date; |year| < 10^9. */
int64_t canp_days_from_civil(int64_t year, unsigned month, unsigned day);
/* The reverse; |days| < 3 * 10^11. Fills year, month and day. */
void canp_civil_from_days(int64_t days, struct canp_civil *c);
unsigned canp_days_in_month(int64_t year, unsigned month);

/* Seconds since 1970 of a civil time read as UTC. -EINVAL: a field is out of range. */
int canp_civil_to_seconds(const struct canp_civil *c, int64_t *seconds);
/* Nanoseconds since 1970 of a civil time read as UTC. -EINVAL, -ERANGE: outside 1677..2262. */
int canp_civil_to_ns(const struct canp_civil *c, int64_t *ns);
void canp_civil_from_ns(int64_t ns, struct canp_civil *c);

/* seconds * 10^9 + nanos with overflow check; -ERANGE. */
int canp_time_ns(int64_t seconds, int64_t nanos, int64_t *ns);

/* Parses all of text: "2024-05-01", "2024-05-01T12:34:56.789Z", "... 12:34", offsets +02:00, +0200,
 * +02 (none: UTC; fraction: up to 9 digits are used, further ones cut), or whole seconds since 1970
 * as "1714567890" or "-5". -EINVAL, -ERANGE. */
int canp_time_parse(const char *text, size_t len, int64_t *ns);

#define CANP_TIME_TEXT 40u
/* Writes "2024-05-01T12:34:56.789Z" (fraction of 0, 3, 6 or 9 digits, as short as exact) with NUL;
 * returns its length. */
size_t canp_time_format(int64_t ns, char buf[CANP_TIME_TEXT]);

#endif
