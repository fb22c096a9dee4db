/*
 * csvtext.c - numbers and times as text.
 *
 * Most physical values are few decimals: raw * 0.125, raw * 0.01. For those the shortest text is
 * found without the C library: with r = round(v * 10^k), v prints as r with k decimals when
 * r / 10^k == v, because r below 2^53 and 10^k up to 10^22 are exact doubles and reading the text
 * back rounds the same quotient once. What remains goes through printf with growing precision.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "io/sink/sink_csv.h"

static size_t text_u64(uint64_t v, char *buf)
{
	char tmp[20];
	size_t n = 0;

	do {
		tmp[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	for (size_t i = 0; i < n; i++)
		buf[i] = tmp[n - 1 - i];
	return n;
}

static size_t text_decimals(uint64_t r, unsigned decimals, char *buf)
{
	char tmp[20];
	size_t n = text_u64(r, tmp), out = 0;

	if (n <= decimals) {
		buf[out++] = '0';
		buf[out++] = '.';
		for (size_t i = n; i < decimals; i++)
			buf[out++] = '0';
		memcpy(buf + out, tmp, n);
		return out + n;
	}
	memcpy(buf, tmp, n - decimals);
	out = n - decimals;
	if (decimals) {
		buf[out++] = '.';
		memcpy(buf + out, tmp + n - decimals, decimals);
		out += decimals;
	}
	return out;
}

size_t canp_csv_float(float v, char *buf)
{
	int n = 0;

	if (isnan(v) || isinf(v))
		return canp_csv_double((double)v, buf);
	for (int prec = 6; prec <= 9; prec++) {
		n = snprintf(buf, 32, "%.*g", prec, (double)v);
		if (strtof(buf, NULL) == v)
			break;
	}
	return (size_t)n;
}

size_t canp_csv_double(double v, char *buf)
{
	static const double pow10[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
	double a = fabs(v);
	size_t sign = 0;
	int n = 0;

	if (isnan(v))
		return (size_t)snprintf(buf, 32, "NaN");
	if (isinf(v))
		return (size_t)snprintf(buf, 32, v < 0 ? "-Infinity" : "Infinity");
	if (signbit(v))
		buf[sign++] = '-';
	for (unsigned k = 0; k < 10 && a * pow10[k] < 9e15; k++) {
		double r = nearbyint(a * pow10[k]);

		if (r / pow10[k] == a)
			return sign + text_decimals((uint64_t)r, k, buf + sign);
	}
	for (int prec = 15; prec <= 17; prec++) {
		n = snprintf(buf, 32, "%.*g", prec, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	return (size_t)n;
}

static size_t text_pad(int64_t v, unsigned digits, char *buf)
{
	for (unsigned i = digits; i-- > 0; v /= 10)
		buf[i] = (char)('0' + v % 10);
	return digits;
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar: eras of 400 years that begin
 * on the first of March, so that the leap day is the last of its year. */
static void civil_date(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
	int64_t z = days + 719468, era = canp_floor_div(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = yoe + era * 400 + (*month <= 2);
}

size_t canp_csv_time(int64_t us, char *buf)
{
	int64_t days = canp_floor_div(us, 86400000000LL), in_day = us - days * 86400000000LL;
	int64_t year, month, day, s = in_day / 1000000;
	size_t n = 0;

	civil_date(days, &year, &month, &day);
	if (year < 0) {
		buf[n++] = '-';
		year = -year;
	}
	if (year > 9999) /* i64 microseconds end in the year 294247 */
		n += text_u64((uint64_t)year, buf + n);
	else
		n += text_pad(year, 4, buf + n);
	buf[n++] = '-';
	n += text_pad(month, 2, buf + n);
	buf[n++] = '-';
	n += text_pad(day, 2, buf + n);
	buf[n++] = 'T';
	n += text_pad(s / 3600, 2, buf + n);
	buf[n++] = ':';
	n += text_pad(s / 60 % 60, 2, buf + n);
	buf[n++] = ':';
	n += text_pad(s % 60, 2, buf + n);
	buf[n++] = '.';
	n += text_pad(in_day % 1000000, 6, buf + n);
	buf[n++] = 'Z';
	return n;
}
