/*
 * pqschema.c - what the footer of a table's parts says before any data: leaves and their types, the
 * key-value metadata with the catalogue of signals, created_by and column orders. All of it follows
 * from the table and the options, so every part of a table carries the same bytes.
 *
 * canp.columns is JSON: column -> signal, unit, factor, offset, min, max, start_bit, length,
 * byte_order, signed, float, mux, comment, values. Numbers are shortest round-trip decimals.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/can/value.h"
#include "io/sink/pq_priv.h"
#include "io/sink/sink_csv.h"

#define META_MAX (16u * 1024u * 1024u)

static enum canp_pq_type leaf_type(enum canp_coltype t)
{
	switch (t) {
	case CANP_COL_BOOL:
		return CANP_PQ_BOOLEAN;
	case CANP_COL_U64:
	case CANP_COL_I64:
		return CANP_PQ_INT64;
	case CANP_COL_F32:
		return CANP_PQ_FLOAT;
	case CANP_COL_F64:
		return CANP_PQ_DOUBLE;
	case CANP_COL_BYTES:
		return CANP_PQ_BYTE_ARRAY;
	default:
		return CANP_PQ_INT32;
	}
}

static bool type_is_unsigned(enum canp_coltype t)
{
	return t == CANP_COL_BOOL || t == CANP_COL_U8 || t == CANP_COL_U16 || t == CANP_COL_U32 ||
	       t == CANP_COL_U64;
}

static int leaf_add(struct canp_pqschema *s, struct canp_pqleaf l, const char *name,
		    const char *suffix)
{
	size_t n = strlen(name) + strlen(suffix) + 1;

	l.name = malloc(n);
	if (!l.name)
		return -ENOMEM;
	memcpy(l.name, name, strlen(name));
	memcpy(l.name + strlen(name), suffix, strlen(suffix) + 1);
	s->names_bytes += (uint32_t)n;
	s->leaves[s->nr_leaves++] = l;
	return 0;
}

static bool wants_label(const struct canp_pqschema *s, const struct canp_col *c)
{
	return s->opts.enum_labels && c->nr_values && c->store == CANP_STORE_INDEX &&
	       c->type != CANP_COL_BOOL;
}

static int leaves_build(struct canp_pqschema *s)
{
	const struct canp_table *t = s->table;
	struct canp_pqleaf ts = {.kind = CANP_PQL_TS, .type = CANP_PQ_INT64};
	struct canp_pqleaf origin = {.kind = CANP_PQL_SRC, .type = CANP_PQ_INT32};
	int rc = leaf_add(s, ts, "ts", "");

	ts.kind = CANP_PQL_TS_NS;
	if (!rc && s->opts.ts_ns_column)
		rc = leaf_add(s, ts, "ts_ns", "");
	if (!rc)
		rc = leaf_add(s, origin, "src", "");
	origin.kind = CANP_PQL_DEVICE;
	origin.type = CANP_PQ_BYTE_ARRAY;
	origin.is_unsigned = true;
	if (!rc && s->opts.device_column)
		rc = leaf_add(s, origin, "device", "");
	origin.kind = CANP_PQL_BUS;
	origin.type = CANP_PQ_INT32;
	if (!rc)
		rc = leaf_add(s, origin, "bus", "");
	for (uint32_t i = 0; !rc && i < t->nr_cols; i++) {
		const struct canp_col *c = &t->cols[i];
		struct canp_pqleaf l = {.kind = CANP_PQL_COL,
					.type = leaf_type(c->type),
					.col = c,
					.col_idx = i,
					.optional = true,
					.is_unsigned = type_is_unsigned(c->type)};

		if (c->hidden)
			continue;
		rc = leaf_add(s, l, c->name, "");
		l.kind = CANP_PQL_LABEL;
		l.type = CANP_PQ_BYTE_ARRAY;
		if (!rc && wants_label(s, c))
			rc = leaf_add(s, l, c->name, "_label");
	}
	return rc;
}

const char *canp_pqs_label(const struct canp_col *col, uint64_t raw, char *buf)
{
	const char *text = canp_plan_label(col, raw);
	struct canp_phys v;

	if (text)
		return text;
	v = canp_plan_phys(col, raw);
	if (v.is_int) /* an index column: far from the ends of 64 bits */
		snprintf(buf, 32, "%" PRId64, v.i);
	else
		buf[canp_csv_double(v.d, buf)] = 0;
	return buf;
}

/* ---- schema -----------------------------------------------------------------------------------*/

/* ConvertedType 11..14 = UINT_8..64, 15..18 = INT_8..64; plain INT32/INT64 need nothing. */
static void put_int_type(struct canp_tw *t, int8_t bits, bool is_signed)
{
	int32_t log = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;

	if (is_signed && bits >= 32)
		return;
	canp_tw_i32(t, 6, (is_signed ? 15 : 11) + log);
	canp_tw_begin(t, 10);
	canp_tw_begin(t, 10); /* IntType */
	canp_tw_i8(t, 1, bits);
	canp_tw_bool(t, 2, is_signed);
	canp_tw_end(t);
	canp_tw_end(t);
}

static void put_logical(struct canp_tw *t, const struct canp_pqleaf *l)
{
	static const int8_t bits[] = {
		[CANP_COL_U8] = 8,   [CANP_COL_I8] = 8,   [CANP_COL_U16] = 16, [CANP_COL_I16] = 16,
		[CANP_COL_U32] = 32, [CANP_COL_I32] = 32, [CANP_COL_U64] = 64, [CANP_COL_I64] = 64,
	};

	if (l->kind == CANP_PQL_TS) {
		canp_tw_i32(t, 6, 10); /* TIMESTAMP_MICROS */
		canp_tw_begin(t, 10);
		canp_tw_begin(t, 8);
		canp_tw_bool(t, 1, true); /* UTC */
		canp_tw_begin(t, 2);
		canp_tw_begin(t, 2); /* MICROS */
		canp_tw_end(t);
		canp_tw_end(t);
		canp_tw_end(t);
		canp_tw_end(t);
	} else if (l->kind == CANP_PQL_DEVICE || l->kind == CANP_PQL_LABEL) {
		canp_tw_i32(t, 6, 0); /* UTF8 */
		canp_tw_begin(t, 10);
		canp_tw_begin(t, 1); /* STRING */
		canp_tw_end(t);
		canp_tw_end(t);
	} else if (l->kind == CANP_PQL_BUS) {
		put_int_type(t, 8, false);
	} else if (l->kind == CANP_PQL_COL && l->col->type <= CANP_COL_I64 &&
		   l->col->type != CANP_COL_BOOL) {
		put_int_type(t, bits[l->col->type], !type_is_unsigned(l->col->type));
	}
}

static void put_schema(struct canp_tw *t, const struct canp_pqschema *s)
{
	canp_tw_i32(t, 1, 1);
	canp_tw_list(t, 2, CANP_TW_STRUCT, s->nr_leaves + 1);
	canp_tw_begin(t, 0);
	canp_tw_string(t, 4, "schema");
	canp_tw_i32(t, 5, (int32_t)s->nr_leaves);
	canp_tw_end(t);
	for (uint32_t i = 0; i < s->nr_leaves; i++) {
		const struct canp_pqleaf *l = &s->leaves[i];

		canp_tw_begin(t, 0);
		canp_tw_i32(t, 1, (int32_t)l->type);
		canp_tw_i32(t, 3, l->optional);
		canp_tw_string(t, 4, l->name);
		put_logical(t, l);
		canp_tw_end(t);
	}
}

/* ---- catalogue --------------------------------------------------------------------------------*/

static void json_string(struct canp_strbuf *sb, const char *s)
{
	canp_strbuf_putc(sb, '"');
	for (; s && *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			canp_strbuf_printf(sb, "\\%c", c);
		else if (c < 0x20)
			canp_strbuf_printf(sb, "\\u%04x", c);
		else
			canp_strbuf_putc(sb, (char)c);
	}
	canp_strbuf_putc(sb, '"');
}

static void json_double(struct canp_strbuf *sb, const char *key, double v)
{
	char buf[32];

	canp_strbuf_printf(sb, ",\"%s\":", key);
	if (isfinite(v))
		canp_strbuf_add(sb, buf, canp_csv_double(v, buf));
	else
		canp_strbuf_puts(sb, "null");
}

static void json_mux(struct canp_strbuf *sb, const struct canp_table *t, const struct canp_col *c)
{
	/* What stands behind a plugin's column is presence, no signal. */
	if (c->mux_parent < 0 || c->plugin)
		return;
	canp_strbuf_puts(sb, ",\"mux\":{\"by\":");
	json_string(sb, t->cols[c->mux_parent].dbc_name);
	canp_strbuf_puts(sb, ",\"ranges\":[");
	for (uint32_t i = 0; i < c->nr_mux; i++)
		canp_strbuf_printf(sb, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "", c->mux[i].lo,
				   c->mux[i].hi);
	canp_strbuf_puts(sb, "]}");
}

static void json_column(struct canp_strbuf *sb, const struct canp_table *t,
			const struct canp_col *c)
{
	json_string(sb, c->name);
	canp_strbuf_puts(sb, ":{\"signal\":");
	json_string(sb, c->dbc_name);
	canp_strbuf_puts(sb, ",\"unit\":");
	json_string(sb, c->unit);
	json_double(sb, "factor", c->factor);
	json_double(sb, "offset", c->offset);
	if (c->minimum != 0 || c->maximum != 0) {
		json_double(sb, "min", c->minimum);
		json_double(sb, "max", c->maximum);
	}
	canp_strbuf_printf(sb,
			   ",\"start_bit\":%u,\"length\":%u,\"byte_order\":\"%s\",\"signed\":%s",
			   c->start_bit, c->raw_bits, c->big_endian ? "big" : "little",
			   c->is_signed ? "true" : "false");
	if (c->is_float)
		canp_strbuf_printf(sb, ",\"float\":%u", c->is_float);
	json_mux(sb, t, c);
	if (c->comment && *c->comment) {
		canp_strbuf_puts(sb, ",\"comment\":");
		json_string(sb, c->comment);
	}
	if (c->nr_values) {
		canp_strbuf_puts(sb, ",\"values\":{");
		for (uint32_t i = 0; i < c->nr_values; i++) {
			canp_strbuf_printf(sb, "%s\"%" PRId64 "\":", i ? "," : "",
					   c->values[i].raw);
			json_string(sb, c->values[i].text);
		}
		canp_strbuf_putc(sb, '}');
	}
	canp_strbuf_putc(sb, '}');
}

static void json_columns(struct canp_strbuf *sb, const struct canp_table *t)
{
	bool first = true;

	canp_strbuf_putc(sb, '{');
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		const struct canp_col *c = &t->cols[i];

		if (c->hidden || c->src != CANP_SRC_SIGNAL)
			continue;
		if (!first)
			canp_strbuf_putc(sb, ',');
		json_column(sb, t, c);
		first = false;
	}
	canp_strbuf_putc(sb, '}');
}

#define KV_MAX 12

struct kv {
	const char *key, *value;
};

static void kv_put(struct kv *kv, size_t *n, const char *key, const char *value)
{
	if (value)
		kv[(*n)++] = (struct kv){key, value};
}

static void put_tail(struct canp_tw *t, const struct canp_pqschema *s, const char *columns)
{
	const struct canp_table *tb = s->table;
	bool dbc = tb->dbc_name && *tb->dbc_name;
	char id[24], pgn[16], created[96];
	struct kv kv[KV_MAX];
	size_t n = 0;

	snprintf(id, sizeof(id), "0x%x", tb->id);
	snprintf(pgn, sizeof(pgn), "%u", tb->pgn);
	snprintf(created, sizeof(created), "canp-appliance version %s", s->version);
	kv_put(kv, &n, "canp.schema", "1");
	kv_put(kv, &n, "canp.version", s->version);
	kv_put(kv, &n, "canp.message", tb->message && *tb->message ? tb->message : tb->name);
	if (dbc) {
		kv_put(kv, &n, "canp.frame_id", id);
		kv_put(kv, &n, "canp.frame_format", tb->ext ? "extended" : "standard");
		kv_put(kv, &n, "canp.pgn", tb->j1939 ? pgn : NULL);
		kv_put(kv, &n, "canp.dbc.name", tb->dbc_name);
		kv_put(kv, &n, "canp.dbc.sha256", tb->dbc_sha256);
		kv_put(kv, &n, "canp.dbc.version", tb->dbc_version);
		kv_put(kv, &n, "canp.comment", tb->comment && *tb->comment ? tb->comment : NULL);
	}
	kv_put(kv, &n, "canp.columns", columns);
	canp_tw_list(t, 5, CANP_TW_STRUCT, n);
	for (size_t i = 0; i < n; i++) {
		canp_tw_begin(t, 0);
		canp_tw_string(t, 1, kv[i].key);
		canp_tw_string(t, 2, kv[i].value);
		canp_tw_end(t);
	}
	canp_tw_string(t, 6, created);
	canp_tw_list(t, 7, CANP_TW_STRUCT, s->nr_leaves);
	for (uint32_t i = 0; i < s->nr_leaves; i++) {
		canp_tw_begin(t, 0);
		canp_tw_begin(t, 1); /* TYPE_ORDER */
		canp_tw_end(t);
		canp_tw_end(t);
	}
	canp_tw_raw(t, "", 1); /* end of FileMetaData */
}

static int meta_build(struct canp_pqschema *s)
{
	struct canp_strbuf columns = CANP_STRBUF_INIT;
	size_t head_cap = 256 + s->names_bytes + 64ul * s->nr_leaves, tail_cap;
	struct canp_tw t;
	int rc = -ENOMEM;

	json_columns(&columns, s->table);
	if (columns.failed)
		goto out;
	tail_cap = 8192 + columns.len + 4ul * s->nr_leaves +
		   (s->table->comment ? strlen(s->table->comment) : 0) +
		   (s->table->message ? strlen(s->table->message) : 0) +
		   (s->table->dbc_version ? strlen(s->table->dbc_version) : 0) +
		   (s->table->dbc_name ? strlen(s->table->dbc_name) : 0);
	rc = -E2BIG;
	if (head_cap > META_MAX || tail_cap > META_MAX)
		goto out;
	s->head = malloc(head_cap);
	s->tail = malloc(tail_cap);
	rc = -ENOMEM;
	if (!s->head || !s->tail)
		goto out;
	canp_tw_init(&t, s->head, head_cap, 0);
	put_schema(&t, s);
	s->head_len = canp_tw_len(&t);
	rc = t.full ? -E2BIG : 0;
	canp_tw_init(&t, s->tail, tail_cap, 4);
	put_tail(&t, s, columns.buf);
	s->tail_len = canp_tw_len(&t);
	if (t.full)
		rc = -E2BIG;
out:
	canp_strbuf_fini(&columns);
	return rc;
}

int canp_pqschema_create(const struct canp_table *table, const struct canp_pqschema_opts *opts,
			 struct canp_pqschema **out)
{
	struct canp_pqschema *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->table = table;
	s->opts = *opts;
	s->version = strdup(opts->version ? opts->version : "");
	s->opts.version = s->version;
	s->leaves = calloc(5 + 2ul * table->nr_cols, sizeof(*s->leaves));
	if (s->version && s->leaves)
		rc = leaves_build(s);
	if (!rc && s->nr_leaves > CANP_PQ_STATE_SLOTS * CANP_PQ_STATES_PER_SLOT)
		rc = -E2BIG;
	if (!rc)
		rc = meta_build(s);
	if (rc)
		canp_pqschema_destroy(s);
	else
		*out = s;
	return rc;
}

void canp_pqschema_destroy(struct canp_pqschema *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->nr_leaves; i++)
		free(s->leaves[i].name);
	free(s->leaves);
	free(s->head);
	free(s->tail);
	free(s->version);
	free(s);
}
