/*
 * ingest_side.c - canp_files, canp_errors and canp_signals: one row per input, per damage and per
 * signal. They are small, and written by the control thread after the last part, in input order, so
 * that they are as deterministic as the tables.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/json.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "io/ingest_priv.h"
#include "io/outdir.h"
#include "io/report.h"
#include "io/sink/sidetable.h"

/* A side table in memory: pieces are appended to a string buffer. */
static size_t side_room(void *arg)
{
	(void)arg;
	return CANP_BYTESINK_ROOM;
}

static void side_put(void *arg, const void *data, size_t len)
{
	canp_strbuf_add(arg, data, len);
}

static int side_write(const struct canp_job *job, const char *name, struct canp_sidetable *t)
{
	bool csv = job->opts.sink == CANP_SINK_CSV;
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_bytesink sink = {.room = side_room, .put = side_put, .arg = &sb};
	const struct canp_side_kv kv[] = {{"canp.schema", "1"}, {"canp.table", name}};
	char path[96];
	int rc;

	rc = csv ? canp_sidetable_write_csv(t, &sink)
		 : canp_sidetable_write_parquet(t, job->opts.codec, CANP_VERSION, kv,
						CANP_ARRAY_SIZE(kv), &sink);
	if (!rc && sb.failed)
		rc = -ENOMEM;
	if (!rc && mkdirat(job->out_fd, name, 0777) < 0 && errno != EEXIST)
		rc = -errno;
	snprintf(path, sizeof(path), "%s/part-00000.%s", name, csv ? "csv" : "parquet");
	if (!rc)
		rc = canp_outdir_write(job->out_fd, path, sb.buf, sb.len);
	canp_strbuf_fini(&sb);
	return rc;
}

static struct canp_side_val sv_i(int64_t v)
{
	return (struct canp_side_val){.valid = true, .i = v};
}

static struct canp_side_val sv_s(const char *s)
{
	return (struct canp_side_val){.valid = true, .s = s};
}

static struct canp_side_val sv_d(double d)
{
	return (struct canp_side_val){.valid = true, .d = d};
}

static const struct canp_side_val sv_null = {.valid = false};

static const struct canp_side_col file_cols[] = {
	{"src", CANP_SIDE_I32, false},
	{"path", CANP_SIDE_STRING, false},
	{"bytes", CANP_SIDE_I64, false},
	{"status", CANP_SIDE_STRING, false},
	{"format", CANP_SIDE_STRING, true},
	{"device", CANP_SIDE_STRING, true},
	{"first_ts", CANP_SIDE_TS_US, true},
	{"last_ts", CANP_SIDE_TS_US, true},
	{"frames", CANP_SIDE_I64, false},
	{"frames_decoded", CANP_SIDE_I64, false},
	{"frames_unknown", CANP_SIDE_I64, false},
	{"frames_dropped", CANP_SIDE_I64, false},
	{"error_frames", CANP_SIDE_I64, false},
	{"remote_frames", CANP_SIDE_I64, false},
	{"overload_frames", CANP_SIDE_I64, false},
	{"gaps", CANP_SIDE_I64, false},
	{"members", CANP_SIDE_I64, false},
	{"bytes_inflated", CANP_SIDE_I64, false},
	{"damage_events", CANP_SIDE_I64, false},
	{"damage_bytes", CANP_SIDE_I64, false},
	{"unverified_tail", CANP_SIDE_BOOL, false},
	{"error", CANP_SIDE_STRING, true},
};

static int side_file_row(struct canp_sidetable *t, const struct canp_job *job, uint32_t i)
{
	const struct canp_file_result *r = &job->results[i];
	const struct canp_input *in = canp_job_input(job, i);
	const struct canp_group_counts *c = &r->counts;
	char fmt[32];
	const struct canp_side_val v[] = {
		sv_i(i),
		sv_s(in->rel),
		sv_i(in->err ? 0 : (int64_t)in->size),
		sv_s(canp_file_status_name(r->status)),
		r->format ? sv_s(canp_report_format(r, fmt)) : sv_null,
		r->device ? sv_s(canp_devices_name(job->devices, r->device)) : sv_null,
		c->frames ? sv_i(canp_floor_div(c->first_ns, CANP_NS_PER_US)) : sv_null,
		c->frames ? sv_i(canp_floor_div(c->last_ns, CANP_NS_PER_US)) : sv_null,
		sv_i((int64_t)c->frames),
		sv_i((int64_t)c->frames_decoded),
		sv_i((int64_t)c->frames_unknown),
		sv_i((int64_t)c->frames_dropped),
		sv_i((int64_t)c->error_frames),
		sv_i((int64_t)c->remote_frames),
		sv_i((int64_t)c->overload_frames),
		sv_i((int64_t)c->gaps),
		sv_i((int64_t)r->stats.members),
		sv_i((int64_t)r->stats.bytes_inflated),
		sv_i(r->nr_faults),
		sv_i((int64_t)r->fault_bytes),
		sv_i(r->stats.unverified_tail),
		r->err ? sv_s(canp_strerror(r->err)) : sv_null,
	};

	return canp_sidetable_add(t, v);
}

static int side_files(const struct canp_job *job)
{
	struct canp_sidetable *t;
	int rc = canp_sidetable_create(file_cols, CANP_ARRAY_SIZE(file_cols), &t);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < job->nr_files && !rc; i++)
		rc = side_file_row(t, job, i);
	rc = rc ? rc : side_write(job, "canp_files", t);
	canp_sidetable_destroy(t);
	return rc;
}

static const struct canp_side_col error_cols[] = {
	{"src", CANP_SIDE_I32, false},     {"offset", CANP_SIDE_I64, false},
	{"bytes", CANP_SIDE_I64, false},   {"class", CANP_SIDE_STRING, false},
	{"text", CANP_SIDE_STRING, false}, {"detail", CANP_SIDE_STRING, false},
};

static int side_error_rows(struct canp_sidetable *t, const struct canp_job *job, uint32_t src)
{
	const struct canp_file_result *r = &job->results[src];
	int rc = 0;

	for (uint32_t i = 0; i < r->kept_faults && !rc; i++) {
		const struct canp_fault *f = &job->faults[(size_t)src * job->faults_per_file + i];
		const struct canp_side_val v[] = {
			sv_i(src),
			sv_i((int64_t)f->offset),
			sv_i((int64_t)f->bytes),
			sv_s(canp_fault_name(f->code)),
			sv_s(canp_fault_text(f->code)),
			sv_s(f->detail),
		};

		rc = canp_sidetable_add(t, v);
	}
	if (!rc && r->nr_faults > r->kept_faults) {
		char detail[64];
		const struct canp_side_val v[] = {
			sv_i(src),
			sv_i(0),
			sv_i(0),
			sv_s("SUMMARY"),
			sv_s("more damage than rows are kept for one input"),
			sv_s(detail),
		};

		snprintf(detail, sizeof(detail), "%u further faults",
			 r->nr_faults - r->kept_faults);
		rc = canp_sidetable_add(t, v);
	}
	return rc;
}

static int side_errors(const struct canp_job *job)
{
	struct canp_sidetable *t;
	int rc = canp_sidetable_create(error_cols, CANP_ARRAY_SIZE(error_cols), &t);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < job->nr_files && !rc; i++)
		rc = side_error_rows(t, job, i);
	rc = rc ? rc : side_write(job, "canp_errors", t);
	canp_sidetable_destroy(t);
	return rc;
}

static const struct canp_side_col signal_cols[] = {
	{"table", CANP_SIDE_STRING, false},
	{"message", CANP_SIDE_STRING, false},
	{"id", CANP_SIDE_I64, false},
	{"ext", CANP_SIDE_BOOL, false},
	{"pgn", CANP_SIDE_I32, true},
	{"column", CANP_SIDE_STRING, false},
	{"signal", CANP_SIDE_STRING, false},
	{"type", CANP_SIDE_STRING, false},
	{"unit", CANP_SIDE_STRING, false},
	{"factor", CANP_SIDE_DOUBLE, false},
	{"offset", CANP_SIDE_DOUBLE, false},
	{"minimum", CANP_SIDE_DOUBLE, false},
	{"maximum", CANP_SIDE_DOUBLE, false},
	{"start_bit", CANP_SIDE_I32, false},
	{"length", CANP_SIDE_I32, false},
	{"byte_order", CANP_SIDE_STRING, false},
	{"signed", CANP_SIDE_BOOL, false},
	{"mux_signal", CANP_SIDE_STRING, true},
	{"mux_values", CANP_SIDE_STRING, true},
	{"comment", CANP_SIDE_STRING, false},
	{"value_table", CANP_SIDE_STRING, true},
	{"dbc", CANP_SIDE_STRING, false},
	{"dbc_sha256", CANP_SIDE_STRING, false},
};

static const char *type_name(enum canp_coltype type)
{
	static const char *const names[] = {"bool",  "uint8",  "int8",   "uint16",
					    "int16", "uint32", "int32",  "uint64",
					    "int64", "float",  "double", "bytes"};

	return names[type];
}

static void mux_text(const struct canp_col *c, struct canp_strbuf *sb)
{
	canp_strbuf_reset(sb);
	for (uint32_t i = 0; i < c->nr_mux; i++) {
		canp_strbuf_printf(sb, "%s%llu", i ? "," : "", (unsigned long long)c->mux[i].lo);
		if (c->mux[i].hi != c->mux[i].lo)
			canp_strbuf_printf(sb, "-%llu", (unsigned long long)c->mux[i].hi);
	}
}

static void values_text(const struct canp_col *c, struct canp_strbuf *sb)
{
	struct canp_json js = CANP_JSON_INIT(sb, 0);

	canp_strbuf_reset(sb);
	canp_json_object(&js);
	for (uint32_t i = 0; i < c->nr_values; i++) {
		char key[24];

		snprintf(key, sizeof(key), "%lld", (long long)c->values[i].raw);
		canp_json_kstr(&js, key, c->values[i].text);
	}
	canp_json_end(&js);
}

static int side_signal_row(struct canp_sidetable *st, const struct canp_table *t,
			   const struct canp_col *c, struct canp_strbuf *mux,
			   struct canp_strbuf *values)
{
	mux_text(c, mux);
	values_text(c, values);
	if (mux->failed || values->failed)
		return -ENOMEM;
	const struct canp_side_val v[] = {
		sv_s(t->name),
		sv_s(t->message),
		sv_i(t->id),
		sv_i(t->ext),
		t->j1939 ? sv_i(t->pgn) : sv_null,
		sv_s(c->name),
		sv_s(c->dbc_name),
		sv_s(type_name(c->type)),
		sv_s(c->unit),
		sv_d(c->factor),
		sv_d(c->offset),
		sv_d(c->minimum),
		sv_d(c->maximum),
		sv_i(c->start_bit),
		sv_i(c->raw_bits),
		sv_s(c->big_endian ? "big" : "little"),
		sv_i(c->is_signed),
		!c->plugin && c->mux_parent >= 0 ? sv_s(t->cols[c->mux_parent].name) : sv_null,
		!c->plugin && c->mux_parent >= 0 ? sv_s(mux->buf ? mux->buf : "") : sv_null,
		sv_s(c->comment),
		c->nr_values ? sv_s(values->buf) : sv_null,
		sv_s(t->dbc_name),
		sv_s(t->dbc_sha256),
	};

	return canp_sidetable_add(st, v);
}

static int side_signals(const struct canp_job *job)
{
	struct canp_strbuf mux = CANP_STRBUF_INIT, values = CANP_STRBUF_INIT;
	struct canp_sidetable *t;
	int rc = canp_sidetable_create(signal_cols, CANP_ARRAY_SIZE(signal_cols), &t);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < job->plan->nr_tables && !rc; i++) {
		const struct canp_table *tab = &job->plan->tables[i];

		for (uint32_t k = 0; k < tab->nr_cols && !rc; k++)
			if (tab->cols[k].src == CANP_SRC_SIGNAL && !tab->cols[k].hidden)
				rc = side_signal_row(t, tab, &tab->cols[k], &mux, &values);
	}
	rc = rc ? rc : side_write(job, "canp_signals", t);
	canp_sidetable_destroy(t);
	canp_strbuf_fini(&mux);
	canp_strbuf_fini(&values);
	return rc;
}

int canp_report_side_tables(struct canp_job *job)
{
	int rc = side_files(job);

	rc = rc ? rc : side_errors(job);
	return rc ? rc : side_signals(job);
}
