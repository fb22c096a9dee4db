/*
 * t_timeconv.c - civil time against the C library over the whole range, ISO 8601 in and out, and
 * zones against the C library's own reading of the same database.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <time.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/timeconv.h"
#include "core/base/tz.h"
#include "core/base/units.h"

static uint64_t rnd_state = 0x9e3779b97f4a7c15ULL;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

static void civil_dates_equal_the_c_library(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		int64_t ns = (int64_t)rnd(), back;
		time_t s = canp_floor_div(ns, CANP_NS_PER_S);
		struct canp_civil c;
		struct tm tm;

		gmtime_r(&s, &tm);
		canp_civil_from_ns(ns, &c);
		assert_int_equal(c.year, tm.tm_year + 1900);
		assert_int_equal(c.month, tm.tm_mon + 1);
		assert_int_equal(c.day, tm.tm_mday);
		assert_int_equal(c.hour, tm.tm_hour);
		assert_int_equal(c.minute, tm.tm_min);
		assert_int_equal(c.second, tm.tm_sec);
		assert_int_equal(canp_civil_to_ns(&c, &back), 0);
		assert_true(back == ns);
	}
}

static void the_ends_of_the_range_are_exact(void **state)
{
	char buf[CANP_TIME_TEXT];
	int64_t ns;

	(void)state;
	canp_time_format(INT64_MAX, buf);
	assert_string_equal(buf, "2262-04-11T23:47:16.854775807Z");
	assert_int_equal(canp_time_parse(buf, strlen(buf), &ns), 0);
	assert_true(ns == INT64_MAX);
	canp_time_format(INT64_MIN, buf);
	assert_string_equal(buf, "1677-09-21T00:12:43.145224192Z");
	assert_int_equal(canp_time_parse(buf, strlen(buf), &ns), 0);
	assert_true(ns == INT64_MIN);
	assert_int_equal(canp_time_parse("2262-04-11T23:47:16.854775808Z", 30, &ns), -ERANGE);
	assert_int_equal(canp_time_parse("9999-01-01", 10, &ns), -ERANGE);
	assert_int_equal(canp_time_ns(INT64_MAX, 0, &ns), -ERANGE);
}

static void iso_texts_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{"1970-01-01", 0},
		{"1970-01-01T00:00:01Z", 1000000000},
		{"1970-01-01 00:01", 60000000000},
		{"1969-12-31T23:59:59.5Z", -500000000},
		{"2024-02-29T12:34:56.789Z", 1709210096789000000},
		{"2024-02-29T12:34:56.1234567891Z", 1709210096123456789},
		{"2024-02-29T14:34:56+02:00", 1709210096000000000},
		{"2024-02-29T07:04:56-0530", 1709210096000000000},
		{"2024-02-29t14:34:56+02", 1709210096000000000},
		{"1709210096", 1709210096000000000},
		{"-5", -5000000000},
		{"0", 0},
	};
	static const char *const bad[] = {
		"",
		"2023-02-29",
		"2024-00-01",
		"2024-01-32",
		"2024-1-1",
		"2024-01-01T24:00",
		"2024-01-01T12:60",
		"2024-01-01T12:00:60Z",
		"2024-01-01T12:00:00.Z",
		"2024-01-01T12",
		"2024-01-01T12:00:00+2",
		"2024-01-01T12:00:00+24:00",
		"2024-01-01T12:00:00+02:",
		"2024-01-01T12:00:00Zx",
		"2024-01-01T",
		"12x",
		"-",
	};
	int64_t ns;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(cases); i++) {
		assert_int_equal(canp_time_parse(cases[i].text, strlen(cases[i].text), &ns), 0);
		assert_true(ns == cases[i].ns);
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		if (canp_time_parse(bad[i], strlen(bad[i]), &ns) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	}
	assert_int_equal(canp_time_parse("99999999999999999999", 20, &ns), -ERANGE);
	assert_int_equal(canp_time_parse("9999999999999", 13, &ns), -ERANGE);
}

static void texts_are_as_short_as_exact(void **state)
{
	char buf[CANP_TIME_TEXT];

	(void)state;
	assert_int_equal(canp_time_format(0, buf), 20);
	assert_string_equal(buf, "1970-01-01T00:00:00Z");
	canp_time_format(1000000, buf);
	assert_string_equal(buf, "1970-01-01T00:00:00.001Z");
	canp_time_format(1000, buf);
	assert_string_equal(buf, "1970-01-01T00:00:00.000001Z");
	canp_time_format(-1, buf);
	assert_string_equal(buf, "1969-12-31T23:59:59.999999999Z");
}

static struct canp_tz *open_zone(const char *name)
{
	struct canp_tz *tz = NULL;

	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK))
		return NULL;
	assert_int_equal(canp_tz_open(name, &tz), 0);
	return tz;
}

static void zones_equal_the_c_library(void **state)
{
	static const char *const zones[] = {
		"Europe/Berlin",     "America/New_York",  "Australia/Sydney", "Asia/Kolkata",
		"America/Sao_Paulo", "Africa/Casablanca", "Asia/Tehran",      "Pacific/Apia"};

	(void)state;
	for (unsigned z = 0; z < CANP_ARRAY_SIZE(zones); z++) {
		struct canp_tz *tz = open_zone(zones[z]);

		if (!tz) {
			print_message("SKIP: no time zone database\n");
			skip();
		}
		setenv("TZ", zones[z], 1);
		tzset();
		for (unsigned i = 0; i < 20000; i++) {
			/* 1902 to 2150, so that the rule in the footer is used too. */
			time_t s = (time_t)(rnd() % 7826000000ULL) - 2145000000;
			struct tm tm;

			localtime_r(&s, &tm);
			assert_int_equal(canp_tz_offset(tz, s), tm.tm_gmtoff);
		}
		canp_tz_close(tz);
	}
	unsetenv("TZ");
	tzset();
}

static void local_time_maps_to_the_first_reading(void **state)
{
	struct canp_tz *tz = open_zone("Europe/Berlin");
	static const struct {
		const char *local, *utc;
	} cases[] = {
		{"2024-01-15T12:00:00", "2024-01-15T11:00:00Z"},
		{"2024-07-15T12:00:00", "2024-07-15T10:00:00Z"},
		{"2024-03-31T01:59:59", "2024-03-31T00:59:59Z"},
		{"2024-03-31T02:30:00", "2024-03-31T01:30:00Z"}, /* never shown by a clock */
		{"2024-03-31T03:00:00", "2024-03-31T01:00:00Z"},
		{"2024-10-27T02:30:00", "2024-10-27T00:30:00Z"}, /* twice: the first */
		{"2024-10-27T03:00:00", "2024-10-27T02:00:00Z"},
		{"2099-07-15T12:00:00", "2099-07-15T10:00:00Z"},
	};

	(void)state;
	if (!tz) {
		print_message("SKIP: no time zone database\n");
		skip();
	}
	/* The zone of the process must not matter. */
	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(cases); i++) {
		int64_t local, utc, got;

		assert_int_equal(canp_time_parse(cases[i].local, 19, &local), 0);
		assert_int_equal(canp_time_parse(cases[i].utc, 20, &utc), 0);
		assert_int_equal(canp_tz_local_to_utc(tz, local / CANP_NS_PER_S, &got), 0);
		assert_int_equal(got, utc / CANP_NS_PER_S);
	}
	assert_int_equal(canp_tz_local_to_utc(tz, INT64_MAX, &(int64_t){0}), -ERANGE);
	unsetenv("TZ");
	tzset();
	canp_tz_close(tz);
}

static void zone_names_cannot_leave_the_database(void **state)
{
	static const char *const bad[] = {"",        "/etc/passwd", "../passwd",      "a/../../b",
					  ".hidden", "a b",         "Europe/Berlin;x"};
	struct canp_tz *tz = NULL;
	int64_t utc;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++)
		assert_int_equal(canp_tz_open(bad[i], &tz), -EINVAL);
	assert_int_equal(canp_tz_open("Europe/Nowhere", &tz), -ENOENT);
	assert_int_equal(canp_tz_open("UTC", &tz), 0);
	assert_int_equal(canp_tz_local_to_utc(tz, 123, &utc), 0);
	assert_int_equal(utc, 123);
	canp_tz_close(tz);
}

/* Every prefix of a real file, and every single changed byte of it, must be refused or give a zone
 * that answers; a sanitizer build sees any read outside. */
static void damaged_zone_files_do_no_harm(void **state)
{
	FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");
	uint8_t file[8192];
	size_t n;

	(void)state;
	if (!f) {
		print_message("SKIP: no time zone database\n");
		skip();
	}
	n = fread(file, 1, sizeof(file), f);
	fclose(f);
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = malloc(n);
		struct canp_tz *tz = NULL;

		memcpy(copy, file, i);
		copy = realloc(copy, i ? i : 1);
		assert_true(canp_tz_parse(copy, i, &tz) < 0);
		copy = realloc(copy, n);
		memcpy(copy, file, n);
		copy[i] = (uint8_t)(copy[i] ^ (rnd() % 255 + 1));
		if (!canp_tz_parse(copy, n, &tz)) {
			for (int64_t t = -4000000000LL; t < 8000000000LL; t += 700000001)
				assert_in_range(canp_tz_offset(tz, t) + 700000, 0, 1400000);
			canp_tz_close(tz);
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(civil_dates_equal_the_c_library),
		cmocka_unit_test(the_ends_of_the_range_are_exact),
		cmocka_unit_test(iso_texts_parse),
		cmocka_unit_test(texts_are_as_short_as_exact),
		cmocka_unit_test(zones_equal_the_c_library),
		cmocka_unit_test(local_time_maps_to_the_first_reading),
		cmocka_unit_test(zone_names_cannot_leave_the_database),
		cmocka_unit_test(damaged_zone_files_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
