/*
 * t_vectors.c - signal values that cantools and an independent bit-string extraction agree on:
 * every row of the reference vectors must come out of plan and value functions exactly.
 *
 * Rows: dbc id message len data signal raw phys choice oracle. A row *UNKNOWN_MUX* is a payload
 * whose multiplexor selects nothing: all else is present, what is multiplexed by it is null.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "io/can/value.h"

#define NR_FIELDS 10

static char corpus[512];
static unsigned nr_rows, nr_unknown_mux, nr_dbcs, nr_bad, nr_windowed, nr_absent, nr_1252;

static struct canp_plan *load(const char *name)
{
	static const char *const dirs[] = {"cantools", "opendbc", "other"};
	struct canp_plan_dbc one = {NULL, NULL};
	struct canp_plan_opts opts = {.dbcs = &one, .nr_dbcs = 1};
	struct canp_plan *plan = NULL;
	char path[1024];
	FILE *f = NULL;

	for (size_t i = 0; i < CANP_ARRAY_SIZE(dirs) && !f; i++) {
		snprintf(path, sizeof(path), "%s/dbc/%s/%s", corpus, dirs[i], name);
		f = fopen(path, "r");
	}
	if (!f) {
		print_message("%s is not in the corpus: its rows are skipped\n", name);
		return NULL;
	}
	fclose(f);
	one.path = path;
	assert_int_equal(canp_plan_create(&opts, NULL, NULL, NULL, &plan), 0);
	nr_dbcs++;
	return plan;
}

static const struct canp_table *find_table(const struct canp_plan *plan, uint32_t raw_id)
{
	uint32_t id = raw_id & 0x7fffffff;
	const struct canp_table *t;
	bool ext = raw_id >> 31;

	for (unsigned s = CANP_SLOT_FIRST_TABLE; s < canp_plan_nr_slots(plan); s++) {
		t = canp_plan_table(plan, s);
		if (t->id == id && t->ext == ext) {
			/* The map of any bus must lead to the same table. */
			assert_int_equal(canp_idmap_find(canp_plan_map(plan, NULL, 0), id, ext), s);
			return t;
		}
	}
	for (unsigned i = 0; (t = canp_plan_transport(plan, i)); i++)
		if (t->id == id && t->ext == ext)
			return t;
	return NULL;
}

static unsigned unhex(const char *hex, uint8_t *out, unsigned room)
{
	unsigned n = 0, byte;

	for (; n < room && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		out[n++] = (uint8_t)byte;
	assert_int_equal(*hex, 0);
	return n;
}

/* What the kernels compute: window, shift, mask. */
static void check_window(const struct canp_table *t, const struct canp_col *c, const uint8_t *data,
			 uint64_t raw)
{
	const struct canp_window *w;
	uint64_t v;

	if (c->wide || t->cls == CANP_REC_NONE)
		return;
	w = &t->wins[c->win];
	assert_true(w->off + 8 <= t->payload_max);
	v = w->be ? canp_be64(data + w->off) : canp_le64(data + w->off);
	v >>= c->shift;
	if (c->raw_bits < 64)
		v &= (1ULL << c->raw_bits) - 1;
	assert_true(v == raw);
	nr_windowed++;
}

/* cantools reads every DBC as Windows-1252, also the UTF-8 ones: there its text is ours with each
 * byte taken for a character. */
static bool same_label(const char *label, const char *choice)
{
	char twice[1024];
	size_t n = 0;

	if (!label)
		return false;
	if (!strcmp(label, choice))
		return true;
	for (const unsigned char *c = (const unsigned char *)label; *c && n < 1000; c++) {
		if (*c >= 0x80)
			twice[n++] = (char)(0xc0 | *c >> 6);
		twice[n++] = (char)(*c < 0x80 ? *c : 0x80 | (*c & 0x3f));
	}
	twice[n] = '\0';
	nr_1252 += !strcmp(twice, choice);
	return !strcmp(twice, choice);
}

static bool same_value(const struct canp_col *c, uint64_t raw, const char *raw_text,
		       const char *phys_text, const char *choice)
{
	struct canp_phys v = canp_plan_phys(c, raw);
	const char *label = canp_plan_label(c, raw);
	double want = strtod(phys_text, NULL);

	if (!c->is_float) {
		if (c->is_signed && canp_plan_raw_signed(c, raw) != strtoll(raw_text, NULL, 10))
			return false;
		if (!c->is_signed && raw != strtoull(raw_text, NULL, 10))
			return false;
	}
	if (v.is_int && !strpbrk(phys_text, ".eE")) {
		if (v.is_unsigned ? v.u != strtoull(phys_text, NULL, 10)
				  : v.i != strtoll(phys_text, NULL, 10))
			return false;
	} else if (v.d != want && !(isnan(v.d) && isnan(want))) {
		return false;
	}
	return *choice ? same_label(label, choice) : true;
}

static void check_unknown_mux(const struct canp_table *t, const uint8_t *data, unsigned len)
{
	unsigned null = 0;
	uint64_t raw;

	for (unsigned i = 0; i < t->nr_cols; i++) {
		const struct canp_col *c = &t->cols[i];
		int present = canp_plan_extract(t, i, data, len, &raw);

		if (c->src != CANP_SRC_SIGNAL)
			continue;
		if (c->mux_parent < 0)
			assert_int_equal(present, len >= c->need);
		null += !present;
	}
	assert_true(null > 0);
	nr_unknown_mux++;
}

static void check_row(const struct canp_plan *plan, char **f)
{
	const struct canp_table *t = find_table(plan, (uint32_t)strtoul(f[1], NULL, 10));
	uint8_t data[256] = {0};
	unsigned len = unhex(f[4], data, sizeof(data) - 8), i;
	uint64_t raw;

	assert_non_null(t);
	if (!strcmp(f[5], "*UNKNOWN_MUX*")) {
		check_unknown_mux(t, data, len);
		return;
	}
	nr_rows++;
	for (i = 0; i < t->nr_cols; i++)
		if (t->cols[i].src == CANP_SRC_SIGNAL && !strcmp(t->cols[i].dbc_name, f[5]))
			break;
	if (i < t->nr_cols && canp_plan_extract(t, i, data, len, &raw) == 1 &&
	    same_value(&t->cols[i], raw, f[6], f[7], f[8])) {
		check_window(t, &t->cols[i], data, raw);
		return;
	}
	if (nr_bad++ < 20)
		print_message("%s %s %s %s: differs from raw %s phys %s (column %u of %u)\n", f[0],
			      f[1], f[4], f[5], f[6], f[7], i, t->nr_cols);
}

static void every_reference_row_decodes_exactly(void **state)
{
	char line[8192], dbc[256] = "";
	struct canp_plan *plan = NULL;
	gzFile gz;

	(void)state;
	snprintf(corpus, sizeof(corpus), "%s",
		 getenv("CANP_CORPUS") ? getenv("CANP_CORPUS") : "../shared/data");
	snprintf(line, sizeof(line), "%s/vectors/dbc_vectors.tsv.gz", corpus);
	gz = gzopen(line, "rb");
	if (!gz) {
		print_message("skipped: no vectors at %s (set CANP_CORPUS)\n", line);
		skip();
	}
	assert_non_null(gzgets(gz, line, sizeof(line))); /* the heading */
	while (gzgets(gz, line, sizeof(line))) {
		char *f[NR_FIELDS], *rest = line;

		for (int i = 0; i < NR_FIELDS; i++) {
			f[i] = strsep(&rest, "\t\n");
			assert_non_null(f[i]);
		}
		if (strcmp(dbc, f[0])) {
			canp_plan_destroy(plan);
			plan = load(f[0]);
			snprintf(dbc, sizeof(dbc), "%s", f[0]);
		}
		if (plan)
			check_row(plan, f);
		else
			nr_absent++;
	}
	canp_plan_destroy(plan);
	gzclose(gz);
	print_message("%u rows skipped for want of their DBC; %u labels compared as Windows-1252\n",
		      nr_absent, nr_1252);
	print_message("%u rows of %u DBCs, %u by window, %u payloads with unknown multiplexor, "
		      "%u differ\n",
		      nr_rows, nr_dbcs, nr_windowed, nr_unknown_mux, nr_bad);
	assert_int_equal(nr_bad, 0);
	assert_true(nr_rows > 0 && nr_unknown_mux > 0);
}

/* Names must stay unique without case, slots valid and hidden columns few when dozens of unrelated
 * databases with equal ids and names are planned together. */
static void all_reference_dbcs_make_one_plan(void **state)
{
	static struct canp_plan_dbc dbcs[256];
	struct canp_plan_opts opts = {.dbcs = dbcs, .enum_labels = true};
	struct canp_plan *plan = NULL;
	char path[1024];
	glob_t found;

	(void)state;
	snprintf(path, sizeof(path), "%s/dbc/*/*.dbc", corpus);
	if (glob(path, 0, NULL, &found)) {
		print_message("skipped: no DBCs at %s (set CANP_CORPUS)\n", path);
		skip();
	}
	for (; opts.nr_dbcs < found.gl_pathc && opts.nr_dbcs < 256; opts.nr_dbcs++) {
		/* A bus of its own for every other one keeps its messages reachable. */
		dbcs[opts.nr_dbcs].bus = opts.nr_dbcs % 2 ? found.gl_pathv[opts.nr_dbcs] : NULL;
		dbcs[opts.nr_dbcs].path = found.gl_pathv[opts.nr_dbcs];
	}
	assert_int_equal(canp_plan_create(&opts, NULL, NULL, NULL, &plan), 0);
	assert_true(plan->nr_tables > 1000);
	for (uint32_t i = 0; i < plan->nr_tables; i++) {
		const struct canp_table *t = &plan->tables[i];

		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(strcasecmp(t->name, plan->tables[k].name), 0);
		assert_true(t->need <= t->payload_max && t->row_bytes > 8);
		for (uint32_t k = 0; k < t->nr_cols; k++) {
			const struct canp_col *c = &t->cols[k];

			assert_false(c->hidden); /* nothing was deselected */
			assert_true(c->mux_parent < (int32_t)t->nr_cols);
			assert_true(c->src != CANP_SRC_SIGNAL || c->wide || c->win < t->nr_wins);
			for (uint32_t j = 0; j < k; j++)
				assert_int_not_equal(strcasecmp(c->name, t->cols[j].name), 0);
		}
	}
	for (uint32_t i = 0; i < plan->nr_maps; i++)
		for (unsigned id = 0; id < 2048; id++)
			assert_true(plan->maps[i]->std[id] < canp_plan_nr_slots(plan));
	print_message("%zu DBCs, %u tables, %u maps, %zu warnings\n", opts.nr_dbcs, plan->nr_tables,
		      plan->nr_maps, plan->nr_warnings);
	canp_plan_destroy(plan);
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reference_row_decodes_exactly),
		cmocka_unit_test(all_reference_dbcs_make_one_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
