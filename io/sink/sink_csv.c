/*
 * sink_csv.c - rows of chunks as RFC 4180 text.
 *
 * Nothing is put before the sink has room for the longest row, so a row is never torn. The bound is
 * computed from the table; a device name longer than 256 bytes is cut.
 * Values come from io/can/value.h: CSV is for people and small jobs, the scalar reference is fast
 * enough and there is one definition of a value.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/can/value.h"
#include "io/sink/sink_csv.h"

#define FIELD_MAX 40u /* longest number or time, separator included */

/* Collects a row; goes to the sink in pieces, for which the caller has made sure of room. */
struct row_buf {
	const struct canp_bytesink *sink;
	char buf[4096];
	size_t len;
};

static void row_flush(struct row_buf *r)
{
	if (r->len)
		r->sink->put(r->sink->arg, r->buf, r->len);
	r->len = 0;
}

static void row_add(struct row_buf *r, const char *s, size_t n)
{
	while (n) {
		size_t k = canp_min(n, sizeof(r->buf) - r->len);

		memcpy(r->buf + r->len, s, k);
		r->len += k;
		s += k;
		n -= k;
		if (r->len == sizeof(r->buf))
			row_flush(r);
	}
}

static void row_char(struct row_buf *r, char c)
{
	row_add(r, &c, 1);
}

/* Quoted only when the text holds a separator, a quote or a line end. */
static void row_text(struct row_buf *r, const char *s)
{
	if (!strpbrk(s, ",\"\r\n")) {
		row_add(r, s, strlen(s));
		return;
	}
	row_char(r, '"');
	for (; *s; s++) {
		if (*s == '"')
			row_char(r, '"');
		row_char(r, *s);
	}
	row_char(r, '"');
}

static void row_int(struct row_buf *r, int64_t v)
{
	char buf[FIELD_MAX];

	row_add(r, buf, (size_t)snprintf(buf, sizeof(buf), "%" PRId64, v));
}

static bool has_label(const struct canp_csv_opts *o, const struct canp_col *c)
{
	return o->enum_labels && c->nr_values && c->store == CANP_STORE_INDEX &&
	       c->type != CANP_COL_BOOL;
}

static size_t label_max(const struct canp_col *c)
{
	size_t n = FIELD_MAX;

	for (uint32_t i = 0; i < c->nr_values; i++)
		n = canp_max(n, strlen(c->values[i].text));
	return 2 * n + 3; /* every byte may be a doubled quote */
}

size_t canp_csv_row_max(const struct canp_csv_opts *o)
{
	size_t row = 4 * FIELD_MAX + 2 * 256, head = 64;

	for (uint32_t i = 0; i < o->table->nr_cols; i++) {
		const struct canp_col *c = &o->table->cols[i];

		head += 2 * (strlen(c->name) + 8);
		row += c->store == CANP_STORE_BYTES ? 2u * 64 + 1 : FIELD_MAX;
		if (has_label(o, c))
			row += label_max(c);
	}
	return canp_max(row, head);
}

static bool sink_ready(const struct canp_csv_opts *o)
{
	return o->sink.room(o->sink.arg) >= canp_csv_row_max(o);
}

int canp_csv_header(const struct canp_csv_opts *o)
{
	struct row_buf r = {.sink = &o->sink};

	if (!sink_ready(o))
		return -ENOBUFS;
	row_text(&r, "ts");
	if (o->ts_ns_column)
		row_add(&r, ",ts_ns", 6);
	row_add(&r, ",src", 4);
	if (o->device_column)
		row_add(&r, ",device", 7);
	row_add(&r, ",bus", 4);
	for (uint32_t i = 0; i < o->table->nr_cols; i++) {
		const struct canp_col *c = &o->table->cols[i];

		if (c->hidden)
			continue;
		row_char(&r, ',');
		row_text(&r, c->name);
		if (has_label(o, c)) {
			row_char(&r, ',');
			row_text(&r, c->name);
			row_add(&r, "_label", 6);
		}
	}
	row_char(&r, '\n');
	row_flush(&r);
	return 0;
}

/* Raw value of a column that stands in the record head. */
static uint64_t head_raw(const struct canp_col *c, const uint8_t *head)
{
	switch (c->src) {
	case CANP_SRC_LEN:
		return head[4];
	case CANP_SRC_DLC:
		return head[5];
	case CANP_SRC_FLAG:
		return canp_le16(head + 6) >> c->shift & 1u;
	case CANP_SRC_SA:
		return head[0];
	default:
		return canp_le32(head);
	}
}

static void row_value(struct row_buf *r, const struct canp_col *c, uint64_t raw)
{
	struct canp_phys v = canp_plan_phys(c, raw);
	char buf[FIELD_MAX];
	float f;
	uint32_t bits = (uint32_t)raw;

	if (c->type == CANP_COL_BOOL) {
		row_add(r, raw ? "true" : "false", raw ? 4 : 5);
	} else if (v.is_int && v.is_unsigned) {
		row_add(r, buf, (size_t)snprintf(buf, sizeof(buf), "%" PRIu64, v.u));
	} else if (v.is_int) {
		row_int(r, v.i);
	} else if (c->type == CANP_COL_F32) {
		memcpy(&f, &bits, sizeof(f));
		row_add(r, buf, canp_csv_float(f, buf));
	} else {
		row_add(r, buf, canp_csv_double(v.d, buf));
	}
}

static void row_bytes(struct row_buf *r, const uint8_t *p, unsigned n)
{
	static const char hex[] = "0123456789ABCDEF";

	for (unsigned i = 0; i < n; i++) {
		row_char(r, hex[p[i] >> 4]);
		row_char(r, hex[p[i] & 15]);
	}
}

static void row_column(struct row_buf *r, const struct canp_csv_opts *o, uint32_t col,
		       const uint8_t *rec, unsigned len)
{
	const struct canp_table *t = o->table;
	const struct canp_col *c = &t->cols[col];
	const uint8_t *payload = rec + t->payload_off;
	const uint8_t *head = rec + (t->cls == CANP_REC_F ? 8 : 16);
	const char *text;
	uint64_t raw = 0;
	bool present = true;

	row_char(r, ',');
	if (c->src == CANP_SRC_DATA)
		row_bytes(r, payload, canp_min(head[4], t->payload_max));
	else if (c->src == CANP_SRC_SIGNAL)
		present = canp_plan_extract(t, col, payload, len, &raw) > 0;
	else
		raw = head_raw(c, head);
	if (present && c->src != CANP_SRC_DATA)
		row_value(r, c, raw);
	if (present && c->src == CANP_SRC_SIGNAL && o->values)
		(*o->values)++;
	if (!has_label(o, c))
		return;
	row_char(r, ',');
	text = present ? canp_plan_label(c, raw) : "";
	if (text)
		row_text(r, text);
	else
		row_value(r, c, raw);
}

static void row_write(const struct canp_csv_opts *o, const uint8_t *rec, unsigned len_byte,
		      const struct canp_run_meta *m)
{
	const struct canp_table *t = o->table;
	unsigned len = canp_min(len_byte, (unsigned)t->payload_max);
	int64_t ns = (int64_t)canp_le64(rec);
	struct row_buf r = {.sink = &o->sink};
	char buf[FIELD_MAX], device[257];
	const char *name;

	row_add(&r, buf, canp_csv_time(canp_floor_div(ns, CANP_NS_PER_US), buf));
	if (o->ts_ns_column) {
		row_char(&r, ',');
		row_int(&r, ns);
	}
	row_char(&r, ',');
	row_int(&r, m->src);
	if (o->device_column) {
		name = o->device_name ? o->device_name(o->arg, m->device) : NULL;
		snprintf(device, sizeof(device), "%s", name ? name : "");
		row_char(&r, ',');
		row_text(&r, device);
	}
	row_char(&r, ',');
	row_int(&r, m->bus);
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		if (!t->cols[i].hidden)
			row_column(&r, o, i, rec, len);
	}
	row_char(&r, '\n');
	row_flush(&r);
}

int canp_csv_chunk(const struct canp_csv_opts *o, const struct canp_chunk *chunk, unsigned *row)
{
	size_t stride = o->table->stride;
	unsigned at = 0;

	for (; *row < chunk->rows; (*row)++) {
		const struct canp_meta_run *m;

		if (!sink_ready(o))
			return 1;
		while (at + 1 < chunk->nr_meta && chunk->meta[at + 1].start <= *row)
			at++;
		m = &chunk->meta[at];
		row_write(
			o, chunk->rec + *row * stride, chunk->lens ? chunk->lens[*row] : 0xff,
			&(struct canp_run_meta){.src = m->src, .device = m->device, .bus = m->bus});
	}
	return 0;
}

int canp_csv_run(const struct canp_csv_opts *o, const struct canp_run *run, unsigned *row)
{
	uint32_t stride = o->table->stride, per = CANP_RUN_RAW_PER_SLOT(stride), end = 0;
	struct canp_segcur cur = canp_segcur_at(&run->meta);
	struct canp_run_meta m = {0};

	CANP_ASSERT(run->raw);
	for (; *row < run->rows; (*row)++) {
		if (!sink_ready(o))
			return 1;
		while (end <= *row && canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m))
			end += m.rows;
		row_write(o, run->raw_rec[*row / per] + (size_t)(*row % per) * stride,
			  run->raw_lens ? run->raw_lens[*row] : 0xff, &m);
	}
	return 0;
}
