/* t_sink_csv.c - text of tables, numbers and times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/units.h"
#include "io/sink/columns.h"
#include "io/sink/sink_csv.h"
#include "tests/lib/pqgen.h"

static void doubles_read_back_and_are_short(void **state)
{
	static const struct {
		double v;
		const char *text;
	} c[] = {{0, "0"},
		 {-0.0, "-0"},
		 {1, "1"},
		 {0.1, "0.1"},
		 {-40.125, "-40.125"},
		 {0.005, "0.005"},
		 {1e15, "1000000000000000"},
		 {NAN, "NaN"},
		 {INFINITY, "Infinity"},
		 {-INFINITY, "-Infinity"},
		 {1.0 / 3, "0.3333333333333333"},
		 {5e-324, "4.94065645841247e-324"}};
	struct pqgen_rng r = {5};
	char buf[40];

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		buf[canp_csv_double(c[i].v, buf)] = 0;
		assert_string_equal(buf, c[i].text);
	}
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t bits = pqgen_u64(&r);
		double v, w;
		char ref[40];

		if (i & 1) {
			v = (double)(int16_t)bits * ((bits >> 20) % 1000 * 0.001) - 40;
		} else {
			memcpy(&v, &bits, 8);
			if (!isfinite(v))
				continue;
		}
		buf[canp_csv_double(v, buf)] = 0;
		w = strtod(buf, NULL);
		assert_memory_equal(&v, &w, 8);
		for (int prec = 1; prec <= 17; prec++) { /* fewest digits that read back */
			snprintf(ref, sizeof(ref), "%.*e", prec - 1, v);
			if (strtod(ref, NULL) == v) {
				size_t digits = 0, tail = 0;
				const char *p = buf;

				/* leading zeros do not count, trailing ones of integers neither */
				for (; *p && *p != 'e'; p++) {
					if (*p < '0' || *p > '9' || (!digits && *p == '0'))
						continue;
					digits++;
					tail = *p == '0' ? tail + 1 : 0;
				}
				assert_true(digits - tail <= (size_t)canp_max(prec, 15));
				break;
			}
		}
	}
}

static void floats_read_back(void **state)
{
	struct pqgen_rng r = {6};
	char buf[40];

	(void)state;
	buf[canp_csv_float(0.1f, buf)] = 0;
	assert_string_equal(buf, "0.1");
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t bits = (uint32_t)pqgen_u64(&r);
		float v, w;

		memcpy(&v, &bits, 4);
		if (!isfinite(v))
			continue;
		buf[canp_csv_float(v, buf)] = 0;
		w = strtof(buf, NULL);
		assert_memory_equal(&v, &w, 4);
	}
}

static void times_are_iso_8601(void **state)
{
	struct pqgen_rng r = {8};
	char buf[40], ref[64];

	(void)state;
	buf[canp_csv_time(0, buf)] = 0;
	assert_string_equal(buf, "1970-01-01T00:00:00.000000Z");
	buf[canp_csv_time(-1, buf)] = 0;
	assert_string_equal(buf, "1969-12-31T23:59:59.999999Z");
	buf[canp_csv_time(INT64_MAX, buf)] = 0;
	assert_string_equal(buf, "294247-01-10T04:00:54.775807Z");
	for (unsigned i = 0; i < 20000; i++) { /* years 1..9999 against the C library */
		int64_t s = (int64_t)(pqgen_u64(&r) % 315000000000ull) - 62000000000;
		time_t t = (time_t)s;
		struct tm tm;

		gmtime_r(&t, &tm);
		snprintf(ref, sizeof(ref), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, i);
		buf[canp_csv_time(s * 1000000 + i, buf)] = 0;
		assert_string_equal(buf, ref);
	}
}

struct textsink {
	char *buf;
	size_t len, room;
	bool slow;
};

static size_t text_room(void *arg)
{
	struct textsink *t = arg;

	t->room = t->slow && (t->room & 1) == 0 ? 1 : CANP_BYTESINK_ROOM;
	return t->room;
}

static void text_put(void *arg, const void *data, size_t len)
{
	struct textsink *t = arg;

	t->buf = realloc(t->buf, t->len + len + 1);
	memcpy(t->buf + t->len, data, len);
	t->len += len;
	t->buf[t->len] = 0;
}

static const char *device_name(void *arg, uint32_t device)
{
	(void)arg;
	return device ? "a,b" : "";
}

/* Splits a line of RFC 4180 text into fields; returns the start of the next line. */
static char *split(char *p, char **field, unsigned *n)
{
	*n = 0;
	for (;;) {
		char *out = p;

		field[(*n)++] = p;
		if (*p == '"') {
			for (p++; *p != '"' || p[1] == '"'; p++) {
				if (*p == '"')
					p++;
				*out++ = *p;
			}
			p++;
		} else {
			while (*p != ',' && *p != '\n')
				*out++ = *p++;
		}
		if (*p++ == '\n') {
			*out = 0;
			return p;
		}
		*out = 0;
	}
}

static void check_cell(const struct pqgen *g, uint32_t row, uint32_t col, const char *text)
{
	const struct canp_col *c = &g->cols[col];
	uint64_t want = pqgen_phys(g, row, col), have;
	double d;
	float f;

	if (!pqgen_present(g, row, col)) {
		assert_string_equal(text, "");
		return;
	}
	if (c->type == CANP_COL_BOOL) {
		assert_string_equal(text, want ? "true" : "false");
	} else if (c->store == CANP_STORE_BYTES) {
		assert_int_equal(strlen(text), 2u * g->len[row]);
	} else if (c->type == CANP_COL_F64) {
		d = strtod(text, NULL);
		memcpy(&have, &d, 8);
		memcpy(&d, &want, 8);
		assert_true(have == want || isnan(d));
	} else if (c->type == CANP_COL_F32) {
		f = strtof(text, NULL);
		assert_true(!memcmp(&f, &want, 4) || text[0] == 'N');
	} else if (c->type == CANP_COL_U64) {
		assert_true(strtoull(text, NULL, 10) == want);
	} else if (c->type == CANP_COL_I64) {
		assert_true(strtoll(text, NULL, 10) == (int64_t)want);
	} else {
		assert_true((uint32_t)strtoll(text, NULL, 10) == (uint32_t)want);
	}
}

/* Raw runs of 768 rows give the same lines as chunks. */
static void by_runs(struct pqgen *g, const struct canp_csv_opts *o)
{
	struct canp_runb b;
	struct canp_pool pool;

	pqgen_pool_init(&pool, 64);
	assert_int_equal(
		canp_runb_init(&b, &(struct canp_runb_opts){.table = &g->table,
							    .pool = &pool,
							    .run_rows = CANP_CSV_RUN_ROWS}),
		0);
	for (unsigned k = 0; k < 7; k++) {
		struct canp_chunk c = pqgen_chunk(g, k == 6 ? 10 : 256, k % 3, true);
		struct canp_run *run;
		unsigned row = 0;

		if (!canp_runb_append(&b, &c) && k < 6)
			continue;
		canp_runb_finish(&b, 0, &run);
		while (canp_csv_run(o, run, &row))
			;
		assert_int_equal(row, run->rows);
		canp_run_free(run, &pool);
	}
	pqgen_pool_fini(&pool);
}

static void check_table(uint64_t seed, enum canp_rec_class cls, enum pqgen_kind kind, bool slow)
{
	struct textsink t = {.slow = slow};
	char *field[256], *p;
	struct canp_csv_opts o;
	struct pqgen g;
	unsigned n, at;

	pqgen_init(&g, seed, cls, kind, 20);
	o = (struct canp_csv_opts){.table = &g.table,
				   .ts_ns_column = true,
				   .device_column = true,
				   .enum_labels = seed & 1,
				   .sink = {text_room, text_put, &t},
				   .device_name = device_name};
	while (canp_csv_header(&o))
		;
	for (unsigned k = 0; k < 5; k++) {
		struct canp_chunk c = pqgen_chunk(&g, 200, k % 3, true);
		unsigned row = 0;

		while (canp_csv_chunk(&o, &c, &row))
			;
		assert_int_equal(row, 200);
	}
	by_runs(&g, &o);
	p = split(t.buf, field, &n);
	assert_string_equal(field[0], "ts");
	assert_string_equal(field[3], "device");
	for (uint32_t row = 0; row < g.rows; row++) {
		unsigned cells;

		p = split(p, field, &cells);
		assert_int_equal(cells, n);
		assert_true(strtoll(field[1], NULL, 10) == pqgen_ts(&g, row));
		assert_int_equal(strtol(field[2], NULL, 10), g.meta[row].src);
		assert_string_equal(field[3], device_name(NULL, g.meta[row].device));
		assert_int_equal(strtol(field[4], NULL, 10), g.meta[row].bus);
		at = 5;
		for (uint32_t i = 0; i < g.table.nr_cols; i++) {
			if (g.cols[i].hidden)
				continue;
			check_cell(&g, row, i, field[at++]);
			if (o.enum_labels && g.cols[i].nr_values &&
			    g.cols[i].store == CANP_STORE_INDEX && g.cols[i].type != CANP_COL_BOOL)
				at++;
		}
		assert_int_equal(at, n);
	}
	assert_int_equal(p - t.buf, t.len);
	free(t.buf);
	pqgen_fini(&g);
}

static void every_cell_reads_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 20; seed++) {
		check_table(seed, seed & 1 ? CANP_REC_F : CANP_REC_S,
			    seed % 3 ? PQGEN_PLAIN : PQGEN_MUX, seed & 2);
		check_table(seed, seed & 1 ? CANP_REC_F : CANP_REC_J, PQGEN_RAW, false);
	}
}

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, getenv("CANP_CPU_DISABLE"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_read_back_and_are_short),
		cmocka_unit_test(floats_read_back),
		cmocka_unit_test(times_are_iso_8601),
		cmocka_unit_test(every_cell_reads_back),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
