/*
 * opts_value.c - values of options: text to value with its range check, value to struct field, and
 * back to text. One grammar per kind serves defaults, bounds, command line, file and environment.
 */
#include "core/base/opts_priv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/timeconv.h"
#include "core/base/units.h"

struct suffix {
	const char *text;
	uint64_t factor;
};

static const struct suffix size_suffixes[] = {
	{"t", 1024 * CANP_GIB}, {"g", CANP_GIB}, {"m", CANP_MIB}, {"k", CANP_KIB}, {"", 1},
};
static const struct suffix time_suffixes[] = {
	{"h", 3600 * (uint64_t)CANP_NS_PER_S}, {"m", 60 * (uint64_t)CANP_NS_PER_S},
	{"s", (uint64_t)CANP_NS_PER_S},        {"ms", (uint64_t)CANP_NS_PER_MS},
	{"us", (uint64_t)CANP_NS_PER_US},      {"ns", 1},
};

/* Digits at *p, decimal or (where allowed) after 0x; moves *p behind them. */
static int parse_digits(const char **p, bool hex_ok, uint64_t *out)
{
	const char *s = *p;
	unsigned base = 10, d;
	uint64_t v = 0;

	if (hex_ok && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	for (*p = s;; s++) {
		if (*s >= '0' && *s <= '9')
			d = (unsigned)(*s - '0');
		else if (base == 16 && (*s | 32) >= 'a' && (*s | 32) <= 'f')
			d = (unsigned)((*s | 32) - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return -ERANGE;
	}
	if (s == *p)
		return -EINVAL;
	*p = s;
	*out = v;
	return 0;
}

static int parse_u64(const char *text, uint64_t *out)
{
	int rc = parse_digits(&text, true, out);

	return rc ? rc : (*text ? -EINVAL : 0);
}

static int parse_i64(const char *text, int64_t *out)
{
	bool neg = *text == '-';
	uint64_t u;
	int rc;

	text += neg || *text == '+';
	rc = parse_digits(&text, false, &u);
	if (rc || *text)
		return rc ? rc : -EINVAL;
	if (u > (uint64_t)INT64_MAX + neg)
		return -ERANGE;
	*out = neg ? (int64_t)(0 - u) : (int64_t)u;
	return 0;
}

/* "256m", "256M", "256MiB" and "256mb" are one value: users write all of them. */
static int parse_size(const char *text, uint64_t *out)
{
	uint64_t v;
	int rc = parse_digits(&text, false, &v);

	if (rc)
		return rc;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(size_suffixes); i++) {
		size_t n = strlen(size_suffixes[i].text);

		if (strncasecmp(text, size_suffixes[i].text, n))
			continue;
		text += n;
		if (*text && strcasecmp(text, "b") && (!n || strcasecmp(text, "ib")))
			return -EINVAL;
		return __builtin_mul_overflow(v, size_suffixes[i].factor, out) ? -ERANGE : 0;
	}
	return -EINVAL;
}

static int parse_duration(const char *text, uint64_t *out)
{
	uint64_t v;
	int rc = parse_digits(&text, false, &v);

	if (rc)
		return rc;
	if (!v && !*text) {
		*out = 0;
		return 0;
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(time_suffixes); i++)
		if (!strcmp(text, time_suffixes[i].text))
			return __builtin_mul_overflow(v, time_suffixes[i].factor, out) ? -ERANGE
										       : 0;
	return -EINVAL;
}

static int parse_bool(const char *text, bool *out)
{
	static const char *const names[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(names); i++) {
		if (strcasecmp(text, names[i]))
			continue;
		*out = i & 1;
		return 0;
	}
	return -EINVAL;
}

static int parse_double(const char *text, double *out)
{
	char *end;

	if (!*text || *text == ' ')
		return -EINVAL;
	*out = strtod(text, &end);
	return *end || !isfinite(*out) ? -EINVAL : 0;
}

/* Where the name of a choice ends. A plus belongs to the name unless a symbol follows. */
static size_t choice_name_len(const char *p)
{
	size_t n = strcspn(p, "|+!");

	while (p[n] == '+' && (p[n + 1] < 'A' || p[n + 1] > 'Z'))
		n += 1 + strcspn(p + n + 1, "|+!");
	return n;
}

bool canp_opt_choice(const struct canp_opt *row, unsigned i, struct canp_opt_choice *c)
{
	const char *p = row->range;
	size_t len, name_len;

	for (; i; i--) {
		p = strchr(p, '|');
		if (!p)
			return false;
		p++;
	}
	len = strcspn(p, "|");
	name_len = choice_name_len(p);
	snprintf(c->name, sizeof(c->name), "%.*s", (int)name_len, p);
	c->symbol[0] = '\0';
	if (name_len < len)
		snprintf(c->symbol, sizeof(c->symbol), "%.*s", (int)(len - name_len - 1),
			 p + name_len + 1);
	c->built = p[name_len] != '!';
	return true;
}

static void list_choices(const struct canp_opt *row, struct canp_strbuf *sb)
{
	struct canp_opt_choice c;

	for (unsigned i = 0; canp_opt_choice(row, i, &c); i++) {
		canp_strbuf_printf(sb, "%s%s", i ? ", " : "", c.name);
		if (!c.built)
			canp_strbuf_printf(sb, " (not built: %s)", c.symbol);
	}
}

static int parse_enum(const struct canp_opt *row, const char *text, int64_t *out,
		      struct canp_strbuf *why)
{
	struct canp_opt_choice c;

	for (unsigned i = 0; canp_opt_choice(row, i, &c); i++) {
		if (strcmp(text, c.name))
			continue;
		if (c.built) {
			*out = i;
			return 0;
		}
		canp_strbuf_printf(why, "'%s' is not built: %s is off in this build; valid: ", text,
				   c.symbol);
		list_choices(row, why);
		return -EINVAL;
	}
	canp_strbuf_printf(why, "'%s' is not valid; valid: ", text);
	list_choices(row, why);
	return -EINVAL;
}

/* Without range check; also used for the bounds themselves. */
static int parse_plain(enum canp_opt_kind kind, const char *text, union opt_value *val)
{
	int64_t ns;

	switch (kind) {
	case CANP_OPT_BOOL:
		return parse_bool(text, &val->b);
	case CANP_OPT_INT:
		return parse_i64(text, &val->i);
	case CANP_OPT_UINT:
	case CANP_OPT_U64:
		return parse_u64(text, &val->u);
	case CANP_OPT_SIZE:
		return parse_size(text, &val->u);
	case CANP_OPT_DURATION:
		return parse_duration(text, &val->u);
	case CANP_OPT_DOUBLE:
		return parse_double(text, &val->d);
	case CANP_OPT_TIME:
		return *text ? canp_time_parse(text, strlen(text), &ns) : 0;
	default:
		return -EINVAL;
	}
}

static bool less(enum canp_opt_kind kind, const union opt_value *a, const union opt_value *b)
{
	if (kind == CANP_OPT_INT)
		return a->i < b->i;
	if (kind == CANP_OPT_DOUBLE)
		return a->d < b->d;
	return a->u < b->u;
}

static bool in_range(const struct canp_opt *row, const union opt_value *val)
{
	const char *dots = strstr(row->range, "..");
	union opt_value lo, hi;
	char low[64];

	if (!dots)
		return row->kind != CANP_OPT_UINT || val->u <= UINT32_MAX;
	snprintf(low, sizeof(low), "%.*s", (int)(dots - row->range), row->range);
	if (parse_plain(row->kind, low, &lo) || parse_plain(row->kind, dots + 2, &hi))
		return false;
	if (row->kind == CANP_OPT_UINT && val->u > UINT32_MAX)
		return false;
	return !less(row->kind, val, &lo) && !less(row->kind, &hi, val);
}

static const char *grammar(enum canp_opt_kind kind)
{
	switch (kind) {
	case CANP_OPT_BOOL:
		return "yes, no, on, off, true, false, 1 or 0";
	case CANP_OPT_SIZE:
		return "a whole number with an optional suffix k, m, g or t";
	case CANP_OPT_DURATION:
		return "a whole number with a suffix ns, us, ms, s, m or h";
	case CANP_OPT_DOUBLE:
		return "a finite number";
	case CANP_OPT_TIME:
		return "a time as 2024-05-01T12:34:56Z or whole seconds since 1970";
	default:
		return "a whole number";
	}
}

int canp_opt_value_parse(const struct canp_opt *row, const char *text, union opt_value *val,
			 struct canp_strbuf *why)
{
	int rc;

	if (row->kind == CANP_OPT_ENUM)
		return parse_enum(row, text, &val->i, why);
	rc = parse_plain(row->kind, text, val);
	if (rc == -ERANGE && row->kind == CANP_OPT_TIME) {
		canp_strbuf_printf(why, "'%s' is outside the years 1678..2261", text);
		return -EINVAL;
	}
	if (rc && rc != -ERANGE) {
		canp_strbuf_printf(why, "'%s' is not %s", text, grammar(row->kind));
		if (strstr(row->range, ".."))
			canp_strbuf_printf(why, " (range %s)", row->range);
		return -EINVAL;
	}
	if (row->kind == CANP_OPT_BOOL || row->kind == CANP_OPT_TIME)
		return 0;
	if (rc || !in_range(row, val)) {
		canp_strbuf_printf(why, "%s is out of range; valid: %s%s%s", text,
				   *row->range ? row->range : "what fits", *row->unit ? " " : "",
				   row->unit);
		return -EINVAL;
	}
	return 0;
}

void canp_opt_value_store(const struct canp_opt *row, void *field, const union opt_value *val)
{
	switch (row->kind) {
	case CANP_OPT_BOOL:
		*(bool *)field = val->b;
		break;
	case CANP_OPT_INT:
		*(int64_t *)field = val->i;
		break;
	case CANP_OPT_UINT:
		*(unsigned *)field = (unsigned)val->u;
		break;
	case CANP_OPT_U64:
	case CANP_OPT_SIZE:
	case CANP_OPT_DURATION:
		*(uint64_t *)field = val->u;
		break;
	case CANP_OPT_DOUBLE:
		*(double *)field = val->d;
		break;
	case CANP_OPT_ENUM:
		*(int *)field = (int)val->i;
		break;
	default:
		break;
	}
}

static void print_scaled(uint64_t v, const struct suffix *tab, unsigned nr, struct canp_strbuf *sb)
{
	for (unsigned i = 0; i < nr; i++) {
		if (v % tab[i].factor || (!v && tab[i].factor != 1))
			continue;
		canp_strbuf_printf(sb, "%llu%s", (unsigned long long)(v / tab[i].factor),
				   tab[i].text);
		return;
	}
}

static void print_double(double d, struct canp_strbuf *sb)
{
	char buf[40];

	for (int prec = 1; prec <= 17; prec++) {
		snprintf(buf, sizeof(buf), "%.*g", prec, d);
		if (strtod(buf, NULL) == d)
			break;
	}
	canp_strbuf_puts(sb, buf);
}

static void print_list(const struct canp_opt_list *list, struct canp_strbuf *sb)
{
	for (unsigned i = 0; i < list->nr; i++) {
		canp_strbuf_puts(sb, i ? "," : "");
		canp_strbuf_puts(sb, list->v[i]);
	}
}

void canp_opt_value_print(const struct canp_opt *row, const void *field, struct canp_strbuf *sb)
{
	struct canp_opt_choice c;

	switch (row->kind) {
	case CANP_OPT_BOOL:
		canp_strbuf_puts(sb, *(const bool *)field ? "yes" : "no");
		break;
	case CANP_OPT_INT:
		canp_strbuf_printf(sb, "%lld", (long long)*(const int64_t *)field);
		break;
	case CANP_OPT_UINT:
		canp_strbuf_printf(sb, "%u", *(const unsigned *)field);
		break;
	case CANP_OPT_U64:
		canp_strbuf_printf(sb, "%llu", (unsigned long long)*(const uint64_t *)field);
		break;
	case CANP_OPT_SIZE:
		print_scaled(*(const uint64_t *)field, size_suffixes,
			     CANP_ARRAY_SIZE(size_suffixes), sb);
		break;
	case CANP_OPT_DURATION:
		print_scaled(*(const uint64_t *)field, time_suffixes,
			     CANP_ARRAY_SIZE(time_suffixes), sb);
		break;
	case CANP_OPT_DOUBLE:
		print_double(*(const double *)field, sb);
		break;
	case CANP_OPT_ENUM:
		if (canp_opt_choice(row, (unsigned)*(const int *)field, &c))
			canp_strbuf_puts(sb, c.name);
		break;
	case CANP_OPT_STR:
	case CANP_OPT_TIME:
		canp_strbuf_puts(sb, *(const char *const *)field);
		break;
	case CANP_OPT_LIST:
		print_list(field, sb);
		break;
	}
}
