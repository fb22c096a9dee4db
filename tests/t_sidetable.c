/* t_sidetable.c - side tables written and read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/sink/sidetable.h"
#include "tests/lib/pqgen.h"
#include "tests/lib/pqread.h"

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, getenv("CANP_CPU_DISABLE"));
}

struct mem {
	uint8_t *buf;
	size_t len, cap, limit;
};

static size_t mem_room(void *arg)
{
	struct mem *m = arg;

	return m->limit ? m->limit - m->len : CANP_BYTESINK_ROOM;
}

static void mem_put(void *arg, const void *data, size_t len)
{
	struct mem *m = arg;

	if (m->len + len > m->cap) {
		m->cap = (m->len + len) * 2;
		m->buf = realloc(m->buf, m->cap);
	}
	memcpy(m->buf + m->len, data, len);
	m->len += len;
}

static const struct canp_side_col cols[] = {
	{"src", CANP_SIDE_I32, false},     {"path", CANP_SIDE_STRING, false},
	{"class", CANP_SIDE_STRING, true}, {"bytes", CANP_SIDE_I64, false},
	{"big", CANP_SIDE_U64, true},      {"ratio", CANP_SIDE_DOUBLE, true},
	{"first", CANP_SIDE_TS_US, true},  {"ok", CANP_SIDE_BOOL, true},
	{"bus", CANP_SIDE_U8, false},      {"never", CANP_SIDE_STRING, true},
};
#define NR_COLS (sizeof(cols) / sizeof(cols[0]))

static void make_row(uint64_t i, struct canp_side_val v[NR_COLS], char *path)
{
	struct pqgen_rng r = {i};

	snprintf(path, 64, "data/day-%llu/trip-%llu.blf", (unsigned long long)(i / 100),
		 (unsigned long long)i);
	memset(v, 0, NR_COLS * sizeof(*v));
	for (unsigned k = 0; k < NR_COLS - 1; k++)
		v[k].valid = !cols[k].optional || pqgen_below(&r, 5);
	v[0].i = (int64_t)i - 5;
	v[1].s = path;
	v[2].s = i % 3 ? "BAD_CHECKSUM" : i % 2 ? "a,\"b\"" : "";
	v[3].i = (int64_t)(pqgen_u64(&r) >> 30);
	v[4].u = UINT64_MAX - i;
	v[5].d = i % 1000 == 7 && i < 2000 ? NAN : (double)i / 8;
	v[6].i = 1700000000000000 + (int64_t)i * 1000003;
	v[7].i = i & 1;
	v[8].i = 200 + (int64_t)(i % 50);
}

static struct canp_sidetable *make_table(uint64_t rows)
{
	struct canp_side_val v[NR_COLS];
	struct canp_sidetable *t;
	char path[64];

	assert_int_equal(canp_sidetable_create(cols, NR_COLS, &t), 0);
	for (uint64_t i = 0; i < rows; i++) {
		make_row(i, v, path);
		assert_int_equal(canp_sidetable_add(t, v), 0);
	}
	assert_int_equal(canp_sidetable_rows(t), rows);
	return t;
}

static void check_value(const struct pqread_val *p, const struct canp_side_val *v, unsigned col)
{
	uint64_t want = v->u;

	assert_int_equal(p->null, !v->valid);
	if (!v->valid)
		return;
	if (cols[col].type == CANP_SIDE_STRING) {
		assert_int_equal(p->bits, strlen(v->s));
		assert_memory_equal(p->ptr, v->s, p->bits);
		return;
	}
	if (cols[col].type == CANP_SIDE_I32 || cols[col].type == CANP_SIDE_U8)
		want = (uint32_t)want;
	assert_true(p->bits == want);
}

/* Every codec of this build. */
static const enum canp_pq_codec codecs[] = {CANP_PQ_NONE, CANP_PQ_GZIP,
#ifdef CONFIG_CANP_ZSTD
					    CANP_PQ_ZSTD
#endif
};

static void parquet_reads_back(void **state)
{
	static const uint64_t rows[] = {0, 1, 7, 1000, 40000, 300000};
	const struct canp_side_kv kv = {"canp.table", "canp_files"};

	(void)state;
	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct canp_sidetable *t = make_table(rows[n]);
		struct mem m = {0};
		struct canp_bytesink sink = {mem_room, mem_put, &m};
		struct canp_side_val v[NR_COLS];
		struct pqread_file f;
		const char *dir = getenv("CANP_TEST_OUT");
		char path[512];

		assert_int_equal(canp_sidetable_write_parquet(t,
							      codecs[n % CANP_ARRAY_SIZE(codecs)],
							      "0.1.0", &kv, 1, &sink),
				 0);
		if (dir && rows[n] <= 40000) {
			FILE *out;

			snprintf(path, sizeof(path), "%s/side-%u.parquet", dir, n);
			out = fopen(path, "wb");
			assert_non_null(out);
			fwrite(m.buf, 1, m.len, out);
			fclose(out);
		}
		if (pqread(m.buf, m.len, &f))
			fail_msg("%s", f.error);
		assert_int_equal(f.rows, rows[n]);
		assert_int_equal(f.nr_groups, (rows[n] + 262143) / 262144);
		assert_string_equal(pqread_kv(&f, "canp.table"), "canp_files");
		for (uint64_t i = 0; i < rows[n]; i++) {
			make_row(i, v, path);
			for (unsigned k = 0; k < NR_COLS; k++)
				check_value(&f.cols[k].vals[i], &v[k], k);
		}
		if (rows[n] == 300000) /* distinct paths do not fit a dictionary */
			assert_int_equal(pqread_find(&f, "path")->first_encoding, 0);
		if (rows[n] > 100)
			assert_int_equal(pqread_find(&f, "class")->first_encoding, 8);
		pqread_free(&f);
		canp_sidetable_destroy(t);
		free(m.buf);
	}
}

#ifdef CONFIG_CANP_SINK_CSV
static void csv_has_every_row(void **state)
{
	struct canp_sidetable *t = make_table(2000);
	struct mem m = {0};
	struct canp_bytesink sink = {mem_room, mem_put, &m};
	unsigned lines = 0;

	(void)state;
	assert_int_equal(canp_sidetable_write_csv(t, &sink), 0);
	mem_put(&m, "", 1);
	for (const char *p = (char *)m.buf; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 2001);
	assert_memory_equal(m.buf, "src,path,class,bytes,", 21);
	assert_non_null(strstr((char *)m.buf, ",\"a,\"\"b\"\"\","));
	assert_non_null(strstr((char *)m.buf, "T22:13:20.000000Z"));
	canp_sidetable_destroy(t);
	free(m.buf);
}
#endif

static void null_in_a_required_column_is_refused(void **state)
{
	struct canp_sidetable *t = make_table(3);
	struct canp_side_val v[NR_COLS];
	char path[64];

	(void)state;
	make_row(1, v, path);
	v[0].valid = false;
	assert_int_equal(canp_sidetable_add(t, v), -EINVAL);
	assert_int_equal(canp_sidetable_rows(t), 3);
	canp_sidetable_destroy(t);
}

static void a_sink_that_is_too_small_is_an_error(void **state)
{
	struct canp_sidetable *t = make_table(1000);
	struct mem m = {.limit = 3000};
	struct canp_bytesink sink = {mem_room, mem_put, &m};

	(void)state;
	assert_int_equal(canp_sidetable_write_parquet(t, CANP_PQ_NONE, "1", NULL, 0, &sink),
			 -ENOBUFS);
	canp_sidetable_destroy(t);
	free(m.buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parquet_reads_back),
#ifdef CONFIG_CANP_SINK_CSV
		cmocka_unit_test(csv_has_every_row),
#endif
		cmocka_unit_test(null_in_a_required_column_is_refused),
		cmocka_unit_test(a_sink_that_is_too_small_is_an_error),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
