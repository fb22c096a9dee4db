/*
 * sidetable_csv.c - a side table as RFC 4180 text, in the notation of sink_csv.h. The control plane
 * writes it in one go. Only part of builds with CONFIG_CANP_SINK_CSV.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "io/sink/side_priv.h"
#include "io/sink/sink_csv.h"

static void csv_text(struct canp_strbuf *sb, const char *s)
{
	if (!strpbrk(s, ",\"\r\n")) {
		canp_strbuf_puts(sb, s);
		return;
	}
	canp_strbuf_putc(sb, '"');
	for (; *s; s++) {
		if (*s == '"')
			canp_strbuf_putc(sb, '"');
		canp_strbuf_putc(sb, *s);
	}
	canp_strbuf_putc(sb, '"');
}

static void csv_value(struct canp_strbuf *sb, const struct canp_sidetable *t,
		      const struct side_col *c, uint64_t row)
{
	uint64_t v = c->vals[row];
	char buf[40];
	double d;

	if (!c->valid[row])
		return;
	switch (c->type) {
	case CANP_SIDE_STRING:
		csv_text(sb, t->texts[v]);
		break;
	case CANP_SIDE_DOUBLE:
		memcpy(&d, &v, sizeof(d));
		canp_strbuf_add(sb, buf, canp_csv_double(d, buf));
		break;
	case CANP_SIDE_TS_US:
		canp_strbuf_add(sb, buf, canp_csv_time((int64_t)v, buf));
		break;
	case CANP_SIDE_BOOL:
		canp_strbuf_puts(sb, v ? "true" : "false");
		break;
	case CANP_SIDE_U64:
		canp_strbuf_printf(sb, "%" PRIu64, v);
		break;
	default:
		canp_strbuf_printf(sb, "%" PRId64, (int64_t)v);
		break;
	}
}

static int csv_out(struct canp_strbuf *sb, const struct canp_bytesink *sink)
{
	size_t at = 0;

	if (sb->failed)
		return -ENOMEM;
	while (at < sb->len) {
		size_t n = sb->len - at < 65536 ? sb->len - at : 65536;

		if (sink->room(sink->arg) < n)
			return -ENOBUFS;
		sink->put(sink->arg, sb->buf + at, n);
		at += n;
	}
	canp_strbuf_reset(sb);
	return 0;
}

int canp_sidetable_write_csv(struct canp_sidetable *t, const struct canp_bytesink *sink)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	int rc;

	for (uint32_t i = 0; i < t->nr_cols; i++) {
		canp_strbuf_puts(&sb, i ? "," : "");
		csv_text(&sb, t->cols[i].name);
	}
	canp_strbuf_putc(&sb, '\n');
	rc = csv_out(&sb, sink);
	for (uint64_t row = 0; !rc && row < t->rows; row++) {
		for (uint32_t i = 0; i < t->nr_cols; i++) {
			canp_strbuf_puts(&sb, i ? "," : "");
			csv_value(&sb, t, &t->cols[i], row);
		}
		canp_strbuf_putc(&sb, '\n');
		if (sb.len > 65536 || sb.failed)
			rc = csv_out(&sb, sink);
	}
	if (!rc)
		rc = csv_out(&sb, sink);
	canp_strbuf_fini(&sb);
	return rc;
}
