/*
 * metrics.c - the text formats. Prometheus 0.0.4 and OpenMetrics 1.0 differ in three things: in
 * OpenMetrics a counter's family is named without _total, units have a line of their own, and the
 * text ends in # EOF.
 */
#include "core/observe/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/units.h"

static bool is_name(const char *s, bool colon)
{
	if (!s || !*s)
		return false;
	for (const char *p = s; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_' ||
			      (colon && *p == ':');

		if (!letter && (p == s || *p < '0' || *p > '9'))
			return false;
	}
	return true;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n > k && !strcmp(s + n - k, end);
}

static uint64_t hash_str(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a: names come from us, not from outside */

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ULL;
	return h;
}

void canp_metrics_init(struct canp_metrics *m, struct canp_strbuf *sb,
		       enum canp_metrics_format format)
{
	memset(m, 0, sizeof(*m));
	m->sb = sb;
	m->format = format;
}

/* A family's lines must stand together, so a name comes once. */
static bool is_new(struct canp_metrics *m, const char *name)
{
	uint64_t h = hash_str(name);

	for (uint32_t i = 0; i < m->nr_families; i++)
		if (m->hashes[i] == h)
			return false;
	if (m->nr_families == CANP_METRICS_FAMILIES_MAX)
		return false;
	m->hashes[m->nr_families++] = h;
	return true;
}

/* quotes: label values escape them, help texts only in OpenMetrics. */
static void put_escaped(struct canp_strbuf *sb, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\\')
			canp_strbuf_puts(sb, "\\\\");
		else if (*s == '\n')
			canp_strbuf_puts(sb, "\\n");
		else if (*s == '"' && quotes)
			canp_strbuf_puts(sb, "\\\"");
		else
			canp_strbuf_putc(sb, *s);
	}
}

void canp_metrics_family(struct canp_metrics *m, enum canp_metric_type type, const char *name,
			 const char *unit, const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	bool open = m->format == CANP_METRICS_OPENMETRICS;
	const char *suffix = type == CANP_METRIC_COUNTER && !open ? "_total" : "";
	char end[64];

	snprintf(end, sizeof(end), "_%s", unit ? unit : "");
	if (!is_name(name, true) || strlen(name) >= sizeof(m->family) || ends_in(name, "_total") ||
	    (unit && (!is_name(unit, false) || !ends_in(name, end))) || !is_new(m, name) ||
	    m->finished) {
		m->bad = true;
		return;
	}
	memcpy(m->family, name, strlen(name) + 1);
	m->type = type;
	canp_strbuf_printf(m->sb, "# TYPE %s%s %s\n", name, suffix, types[type]);
	if (unit && open)
		canp_strbuf_printf(m->sb, "# UNIT %s %s\n", name, unit);
	canp_strbuf_printf(m->sb, "# HELP %s%s ", name, suffix);
	put_escaped(m->sb, help ? help : "", open);
	canp_strbuf_putc(m->sb, '\n');
}

/* Shortest text that reads back to the same value. */
static void put_double(struct canp_strbuf *sb, double v)
{
	char text[40];

	if (isnan(v) || isinf(v)) {
		canp_strbuf_puts(sb, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	canp_strbuf_puts(sb, text);
}

static bool labels_valid(const struct canp_metric_label *labels, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		if (!is_name(labels[i].name, false) || !labels[i].value ||
		    !strcmp(labels[i].name, "le"))
			return false;
		for (unsigned k = 0; k < i; k++)
			if (!strcmp(labels[i].name, labels[k].name))
				return false;
	}
	return true;
}

/* Name and labels of one line; le: NULL, or the bucket's bound. */
static void put_series(struct canp_metrics *m, const char *suffix,
		       const struct canp_metric_label *labels, unsigned nr, const double *le)
{
	canp_strbuf_puts(m->sb, m->family);
	canp_strbuf_puts(m->sb, suffix);
	for (unsigned i = 0; i < nr; i++) {
		canp_strbuf_printf(m->sb, "%c%s=\"", i ? ',' : '{', labels[i].name);
		put_escaped(m->sb, labels[i].value, true);
		canp_strbuf_putc(m->sb, '"');
	}
	if (le) {
		canp_strbuf_printf(m->sb, "%cle=\"", nr ? ',' : '{');
		put_double(m->sb, *le);
		canp_strbuf_putc(m->sb, '"');
	}
	canp_strbuf_puts(m->sb, nr || le ? "} " : " ");
}

static bool sample_begin(struct canp_metrics *m, bool hist, const struct canp_metric_label *labels,
			 unsigned nr)
{
	if (m->bad || m->finished || !m->family[0] || hist != (m->type == CANP_METRIC_HISTOGRAM) ||
	    !labels_valid(labels, nr))
		m->bad = true;
	return !m->bad;
}

void canp_metrics_u64(struct canp_metrics *m, const struct canp_metric_label *labels, unsigned nr,
		      uint64_t value)
{
	if (!sample_begin(m, false, labels, nr))
		return;
	put_series(m, m->type == CANP_METRIC_COUNTER ? "_total" : "", labels, nr, NULL);
	canp_strbuf_printf(m->sb, "%llu\n", (unsigned long long)value);
}

void canp_metrics_double(struct canp_metrics *m, const struct canp_metric_label *labels,
			 unsigned nr, double value)
{
	if (m->type == CANP_METRIC_COUNTER && !(value >= 0))
		m->bad = true;
	if (!sample_begin(m, false, labels, nr))
		return;
	put_series(m, m->type == CANP_METRIC_COUNTER ? "_total" : "", labels, nr, NULL);
	put_double(m->sb, value);
	canp_strbuf_putc(m->sb, '\n');
}

void canp_metrics_hist(struct canp_metrics *m, const struct canp_metric_label *labels, unsigned nr,
		       const struct canp_hist *h, const struct canp_metrics_buckets *b)
{
	double inf = INFINITY;
	uint64_t below = 0;
	unsigned next = 0;

	if (b->from > b->to || b->to > 63 || !b->step || !(b->scale > 0))
		m->bad = true;
	if (!sample_begin(m, true, labels, nr))
		return;
	for (unsigned bits = b->from; bits <= b->to; bits += b->step) {
		uint64_t end = 1ULL << bits;
		double le = (double)(end - 1) * b->scale;

		/* Powers of two are edges of buckets, so the count is exact. */
		while (next < CANP_HIST_BUCKETS && canp_hist_bucket_low(next) < end)
			below += h->buckets[next++];
		put_series(m, "_bucket", labels, nr, &le);
		canp_strbuf_printf(m->sb, "%llu\n", (unsigned long long)below);
	}
	put_series(m, "_bucket", labels, nr, &inf);
	canp_strbuf_printf(m->sb, "%llu\n", (unsigned long long)h->count);
	put_series(m, "_sum", labels, nr, NULL);
	put_double(m->sb, (double)h->sum * b->scale);
	canp_strbuf_putc(m->sb, '\n');
	put_series(m, "_count", labels, nr, NULL);
	canp_strbuf_printf(m->sb, "%llu\n", (unsigned long long)h->count);
}

int canp_metrics_finish(struct canp_metrics *m)
{
	if (m->format == CANP_METRICS_OPENMETRICS && !m->finished)
		canp_strbuf_puts(m->sb, "# EOF\n");
	m->finished = true;
	if (m->bad)
		return -EINVAL;
	return m->sb->failed ? -ENOMEM : 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int canp_metrics_write_file(const char *path, const char *text, size_t len)
{
	struct canp_strbuf tmp = CANP_STRBUF_INIT;
	int fd, err;

	/* Not *.prom, so that the collector does not read it. */
	canp_strbuf_printf(&tmp, "%s.%d.tmp", path, (int)getpid());
	if (tmp.failed) {
		canp_strbuf_fini(&tmp);
		return -ENOMEM;
	}
	fd = open(tmp.buf, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	err = fd < 0 ? -errno : write_all(fd, text, len);
	if (fd >= 0 && close(fd) && !err)
		err = -errno;
	if (!err && rename(tmp.buf, path))
		err = -errno;
	if (err && fd >= 0)
		unlink(tmp.buf);
	canp_strbuf_fini(&tmp);
	return err;
}
