/*
 * tz.h - local wall clock to UTC for logs that store local time. A zone is read from the system's
 * time zone database (/usr/share/zoneinfo) by our own parser into an object; the zone of the host
 * and of the process (TZ, /etc/localtime, tzset) is never looked at, so the same input and --tz
 * give the same dataset everywhere.
 */
#ifndef CANP_BASE_TZ_H
#define CANP_BASE_TZ_H

#include <stddef.h>
#include <stdint.h>

struct canp_tz;

/* name: "utc" (any case) or a database name as "Europe/Berlin". -EINVAL: not a zone name; -ENOENT:
 * not in the database; -EBADMSG: the file is damaged; -ENOTSUP: a zone that counts leap seconds;
 * -ENOMEM. Control plane. */
int canp_tz_open(const char *name, struct canp_tz **out);
/* The same from the bytes of a TZif file. */
int canp_tz_parse(const uint8_t *data, size_t len, struct canp_tz **out);
void canp_tz_close(struct canp_tz *tz); /* NULL is allowed */

/* Offset from UTC in seconds (east positive) at a moment, |utc_s| < 10^12. Any thread. */
int32_t canp_tz_offset(const struct canp_tz *tz, int64_t utc_s);

/* Seconds since 1970 of a wall clock reading taken as if it were UTC -> real UTC. A reading that
 * occurs twice (clock set back) means the first; one that never occurs (clock set forward) is read
 * with the offset before the jump. Always 0 or -ERANGE; fits canp_format_opts.local_to_utc. Any
 * thread. */
int canp_tz_local_to_utc(void *tz, int64_t local_s, int64_t *utc_s);

#endif
