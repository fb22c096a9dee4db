/*
 * t_opts.c - the option engine: every row of every table is sound, every kind parses and prints,
 * precedence does not depend on the order of reading, and error texts tell what would be valid.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/opts.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "core/runtime/ring.h"
#include "core/runtime/runtime_cfg.h"
#include "io/ingest_cfg.h"
#include "numa/hugepage.h"
#include "simd/simd.h"

struct toy_cfg {
	bool flag;
	int64_t delta;
	unsigned depth;
	uint64_t seed, size, wait_ns;
	double ratio;
	int colour, gone_choice;
	const char *name, *when;
	struct canp_opt_list inputs;
	bool gone;
};

#define CANP_OPT_STRUCT toy_cfg
#define ROW(...)        CANP_OPT_ROW(__VA_ARGS__)
static const struct canp_opt toy_rows[] = {
	ROW(BOOL, flag, "flag", 'f', "no", "", "", "A", 0, CANP_OPT_ALWAYS,
	    "a flag") ROW(INT, delta, "delta", 0, "-3", "-10..10", "", "A", 0, CANP_OPT_ALWAYS,
			  "an offset") ROW(UINT, depth, "depth", 'd', "4", "1..64", "slices", "A",
					   0, CANP_OPT_ALWAYS, "a depth")
		ROW(U64, seed, "seed", 0, "1", "", "", "B", 0, CANP_OPT_ALWAYS, "a seed") ROW(
			SIZE, size, "size", 0, "1m", "4k..1g", "", "B", 0, CANP_OPT_ALWAYS,
			"a size") ROW(DURATION, wait_ns, "wait", 0, "5ms", "0..1h", "", "B", 0,
				      CANP_OPT_ALWAYS, "a time")
			ROW(DOUBLE, ratio, "ratio", 0, "0.5", "0..1", "", "B", 0, CANP_OPT_ALWAYS,
			    "a ratio") ROW(ENUM, colour, "colour", 0, "red", "red|green|blue", "",
					   "B", 0, CANP_OPT_ALWAYS, "one")
				ROW(ENUM, gone_choice, "pick", 0, "here",
				    "here|" CANP_OPT_CHOICE("gone", CONFIG_CANP_TEST_ABSENT), "",
				    "B", 0, CANP_OPT_ALWAYS, "one choice is not built")
					ROW(STR, name, "long-name", 'n', "", "NAME", "", "B", 0,
					    CANP_OPT_ALWAYS,
					    "a text") ROW(TIME, when, "when", 0, "", "WHEN", "",
							  "B", 0, CANP_OPT_ALWAYS, "a moment")
						ROW(LIST, inputs, "input", 'i', "", "FILE", "", "B",
						    0, CANP_OPT_ALWAYS, "files")
							ROW(BOOL, gone, "gone", 0, "no", "", "",
							    "B", CANP_OPT_F_NO_FILE,
							    CONFIG_CANP_TEST_ABSENT, "not built")};
static const struct canp_opt_table toy_table = {
	.name = "toy",
	.rows = toy_rows,
	.nr = CANP_ARRAY_SIZE(toy_rows),
	.cfg_bytes = sizeof(struct toy_cfg),
};

static struct toy_cfg toy;
static struct canp_opts *opts;

static int setup(void **state)
{
	struct canp_opt_bind bind = {&toy_table, &toy};

	(void)state;
	return canp_opts_create(&bind, 1, &opts);
}

static int teardown(void **state)
{
	(void)state;
	canp_opts_destroy(opts);
	return 0;
}

static int cli(const char *a, const char *b, const char *c)
{
	const char *argv[] = {a, b, c};

	return canp_opts_cli(opts, a ? b ? c ? 3 : 2 : 1 : 0, (char *const *)argv);
}

static int ini(const char *text)
{
	return canp_opts_ini(opts, text, strlen(text), "t.conf");
}

static void assert_error_has(const char *part)
{
	if (!strstr(canp_opts_error(opts), part))
		fail_msg("'%s' lacks '%s'", canp_opts_error(opts), part);
}

static void defaults_fill_every_kind(void **state)
{
	(void)state;
	assert_false(toy.flag);
	assert_int_equal(toy.delta, -3);
	assert_int_equal(toy.depth, 4);
	assert_int_equal(toy.seed, 1);
	assert_int_equal(toy.size, CANP_MIB);
	assert_int_equal(toy.wait_ns, 5000000);
	assert_true(toy.ratio == 0.5);
	assert_int_equal(toy.colour, 0);
	assert_string_equal(toy.name, "");
	assert_string_equal(toy.when, "");
	assert_int_equal(toy.inputs.nr, 0);
	assert_int_equal(canp_opts_origin(opts, "depth"), CANP_OPT_DEFAULT);
}

static void command_line_takes_every_form(void **state)
{
	unsigned nr;
	const char *const *args;

	(void)state;
	assert_int_equal(cli("--depth=9", "--size", "64K"), 0);
	assert_int_equal(toy.depth, 9);
	assert_int_equal(toy.size, 65536);
	assert_int_equal(cli("-d7", "-n", "x=y"), 0);
	assert_int_equal(toy.depth, 7);
	assert_string_equal(toy.name, "x=y");
	assert_int_equal(cli("--flag", NULL, NULL), 0);
	assert_true(toy.flag);
	assert_int_equal(cli("--no-flag", "-", "in.canp"), 0);
	assert_false(toy.flag);
	assert_int_equal(cli("-f", "--", "--depth=1"), 0);
	assert_true(toy.flag);
	assert_int_equal(toy.depth, 7);
	assert_int_equal(cli("--flag=off", "--delta", "-10"), 0);
	assert_false(toy.flag);
	assert_int_equal(toy.delta, -10);
	args = canp_opts_operands(opts, &nr);
	assert_int_equal(nr, 3);
	assert_string_equal(args[0], "-");
	assert_string_equal(args[1], "in.canp");
	assert_string_equal(args[2], "--depth=1");
}

static void sizes_and_durations_take_their_suffixes(void **state)
{
	static const struct {
		const char *text;
		uint64_t v;
	} sizes[] = {{"4096", 4096},   {"4k", 4096},        {"4KiB", 4096}, {"4kb", 4096},
		     {"1g", CANP_GIB}, {"1024M", CANP_GIB}, {"8192b", 8192}};
	static const struct {
		const char *text;
		uint64_t v;
	} times[] = {{"0", 0},
		     {"7ns", 7},
		     {"7us", 7000},
		     {"7ms", 7000000},
		     {"7s", 7000000000ull},
		     {"7m", 420000000000ull},
		     {"1h", 3600000000000ull}};
	static const char *const bad[] = {"",
					  "k",
					  "4q",
					  "4ki",
					  "4 k",
					  "-4k",
					  "0x1000",
					  "4kk",
					  "99999999999999999999",
					  "99999999999t"};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		assert_int_equal(canp_opts_set(opts, "size", sizes[i].text, CANP_OPT_CLI, NULL), 0);
		assert_int_equal(toy.size, sizes[i].v);
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++)
		assert_int_equal(canp_opts_set(opts, "size", bad[i], CANP_OPT_CLI, NULL), -EINVAL);
	assert_int_equal(toy.size, 8192);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(times); i++) {
		assert_int_equal(canp_opts_set(opts, "wait", times[i].text, CANP_OPT_CLI, NULL), 0);
		assert_int_equal(toy.wait_ns, times[i].v);
	}
	assert_int_equal(canp_opts_set(opts, "wait", "7", CANP_OPT_CLI, NULL), -EINVAL);
	assert_error_has("ns, us, ms, s, m or h");
	assert_int_equal(canp_opts_set(opts, "wait", "2h", CANP_OPT_CLI, NULL), -EINVAL);
}

static void numbers_are_whole_and_in_range(void **state)
{
	(void)state;
	assert_int_equal(cli("--depth=64", NULL, NULL), 0);
	assert_int_equal(cli("--depth=65", NULL, NULL), -EINVAL);
	assert_error_has("--depth: 65 is out of range; valid: 1..64 slices");
	assert_int_equal(cli("--depth=0", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--depth=4294967297", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--depth=4x", NULL, NULL), -EINVAL);
	assert_error_has("'4x' is not a whole number (range 1..64)");
	assert_int_equal(toy.depth, 64);
	assert_int_equal(cli("--delta=-11", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--delta=9223372036854775808", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--seed=0xffffffffffffffff", NULL, NULL), 0);
	assert_true(toy.seed == UINT64_MAX);
	assert_int_equal(cli("--seed=18446744073709551616", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--ratio=nan", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--ratio=1.5", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--ratio=.25", NULL, NULL), 0);
	assert_true(toy.ratio == 0.25);
	assert_int_equal(cli("--when=2024-13-01", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--when=2024-12-01", NULL, NULL), 0);
	assert_string_equal(toy.when, "2024-12-01");
}

static void slips_get_a_suggestion(void **state)
{
	(void)state;
	assert_int_equal(cli("--deptj=3", NULL, NULL), -ENOENT);
	assert_error_has("unknown option --deptj; did you mean --depth?");
	assert_int_equal(cli("--long=3", NULL, NULL), -ENOENT);
	assert_error_has("did you mean --long-name?");
	assert_int_equal(cli("--no-flg", NULL, NULL), -ENOENT);
	assert_int_equal(cli("--no-depth", NULL, NULL), -ENOENT);
	assert_int_equal(cli("--zzzzzz", NULL, NULL), -ENOENT);
	assert_null(strstr(canp_opts_error(opts), "did you mean"));
	assert_int_equal(cli("-z", NULL, NULL), -ENOENT);
	assert_int_equal(cli("-fd", NULL, NULL), -ENOENT);
	assert_int_equal(cli("--depth", NULL, NULL), -EINVAL);
	assert_int_equal(cli("--depth", "--flag", NULL), -EINVAL);
	assert_error_has("--depth needs a value");
}

static void bad_choices_list_the_valid_ones(void **state)
{
	(void)state;
	assert_int_equal(cli("--colour=pink", NULL, NULL), -EINVAL);
	assert_error_has("'pink' is not valid; valid: red, green, blue");
	assert_int_equal(cli("--colour=blue", NULL, NULL), 0);
	assert_int_equal(toy.colour, 2);
}

/* A plus before a capital letter begins a symbol, any other one is part of the name. */
static void a_choice_may_have_a_plus_in_its_name(void **state)
{
	static const struct canp_opt row = {.kind = CANP_OPT_ENUM,
					    .range = "x|x+|c++|c+x|x++SYM|x+!SYM|+"};
	static const struct {
		const char *name, *symbol;
		bool built;
	} want[] = {{"x", "", true},     {"x+", "", true},     {"c++", "", true}, {"c+x", "", true},
		    {"x+", "SYM", true}, {"x+", "SYM", false}, {"+", "", true}};
	struct canp_opt_choice c;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(want); i++) {
		assert_true(canp_opt_choice(&row, i, &c));
		assert_string_equal(c.name, want[i].name);
		assert_string_equal(c.symbol, want[i].symbol);
		assert_int_equal(c.built, want[i].built);
	}
	assert_false(canp_opt_choice(&row, CANP_ARRAY_SIZE(want), &c));
}

static void what_is_not_built_is_refused_by_name(void **state)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	(void)state;
	assert_int_equal(cli("--pick=gone", NULL, NULL), -EINVAL);
	assert_error_has("CONFIG_CANP_TEST_ABSENT is off in this build");
	assert_int_equal(cli("--gone", NULL, NULL), -ENOTSUP);
	assert_error_has("--gone is not built: CONFIG_CANP_TEST_ABSENT");
	canp_opts_help(opts, &sb);
	assert_non_null(strstr(sb.buf, "(not built:"));
	assert_non_null(strstr(sb.buf, "--pick=here|gone"));
	canp_strbuf_fini(&sb);
}

static void precedence_is_independent_of_reading_order(void **state)
{
	const char *env[] = {"CANP_DEPTH=20", "CANP_LONG_NAME=env", "CANP_DEPTHX=1", "OTHER=1",
			     NULL};

	(void)state;
	assert_int_equal(cli("--depth=30", NULL, NULL), 0);
	assert_int_equal(canp_opts_env(opts, (char *const *)env), 0);
	assert_int_equal(ini("depth = 10\nlong-name = file\nseed = 5\n"), 0);
	assert_int_equal(toy.depth, 30);
	assert_string_equal(toy.name, "env");
	assert_int_equal(toy.seed, 5);
	assert_int_equal(canp_opts_origin(opts, "depth"), CANP_OPT_CLI);
	assert_int_equal(canp_opts_origin(opts, "long-name"), CANP_OPT_ENV);
	assert_int_equal(canp_opts_origin(opts, "seed"), CANP_OPT_FILE);
	assert_int_equal(canp_opts_origin(opts, "size"), CANP_OPT_DEFAULT);
	/* A bad value is an error even where a better one hides it. */
	assert_int_equal(ini("depth = 1000\n"), -EINVAL);
	assert_error_has("t.conf:1: depth: 1000 is out of range");
}

static void lists_add_up_within_one_origin(void **state)
{
	const char *env[] = {"CANP_INPUT=e1,e2", NULL};

	(void)state;
	assert_int_equal(ini("input = f1\ninput = f2,x\n"), 0);
	assert_int_equal(toy.inputs.nr, 2);
	assert_string_equal(toy.inputs.v[1], "f2,x");
	assert_int_equal(canp_opts_env(opts, (char *const *)env), 0);
	assert_int_equal(toy.inputs.nr, 2);
	assert_string_equal(toy.inputs.v[0], "e1");
	assert_int_equal(cli("-i", "c1", "--input=c2,c3"), 0);
	assert_int_equal(toy.inputs.nr, 2);
	assert_string_equal(toy.inputs.v[1], "c2,c3");
	assert_int_equal(ini("input = f3\n"), 0);
	assert_int_equal(toy.inputs.nr, 2);
	for (int i = 0; i < 20; i++)
		assert_int_equal(cli("-i", "more", NULL), 0);
	assert_int_equal(toy.inputs.nr, 22);
}

static void files_have_sections_comments_and_quotes(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{"[other]\n", "t.conf:1: unknown section [other]"},
		{"\n\ndepth 4\n", "t.conf:3: expected key = value"},
		{"deepth = 4\n", "t.conf:1: unknown option deepth; did you mean depth?"},
		{"long-name = \"open\n", "t.conf:1: expected key = value"},
		{"long-name = \"a\" b\n", "t.conf:1: expected key = value"},
		{"gone = yes\n", "not built"},
		{"depth =\n", "t.conf:1: depth: '' is not a whole number"},
	};

	(void)state;
	assert_int_equal(ini("# head\n; too\n[global] # here\n  depth=12 # twelve\r\n"
			     "long-name = \"a # b\" ; quoted\n\nsize = 8k"),
			 0);
	assert_int_equal(toy.depth, 12);
	assert_string_equal(toy.name, "a # b");
	assert_int_equal(toy.size, 8192);
	assert_int_equal(ini("long-name = a#b\n"), 0);
	assert_string_equal(toy.name, "a#b");
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		assert_true(ini(bad[i].text) < 0);
		assert_error_has(bad[i].error);
	}
	assert_int_equal(canp_opts_ini(opts, "depth\0 = 4\n", 11, "t.conf"), -EINVAL);
}

static void dump_reads_back_to_the_same_values(void **state)
{
	struct canp_strbuf a = CANP_STRBUF_INIT, b = CANP_STRBUF_INIT;
	char path[] = "/tmp/t_opts.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ini("depth=3\nsize=12k\nwait=90s\nratio=0.1\ncolour=green\ninput=a\n"
			     "input=\"b;c\"\nlong-name=\" padded\"\nwhen=2024-01-01\ndelta=-7\n"),
			 0);
	canp_opts_dump(opts, &a);
	assert_int_equal(write(fd, a.buf, a.len), (ssize_t)a.len);
	close(fd);
	canp_opts_destroy(opts);
	assert_int_equal(setup(state), 0);
	assert_int_equal(canp_opts_file(opts, path), 0);
	unlink(path);
	assert_int_equal(toy.size, 12 * 1024);
	assert_string_equal(toy.name, " padded");
	assert_string_equal(toy.inputs.v[1], "b;c");
	canp_opts_dump(opts, &b);
	assert_non_null(strstr(b.buf, "wait = 90s"));
	/* What is not built is left out, or the file would not load. Only the origins differ: what
	 * was a default has come from the file now. */
	assert_null(strstr(a.buf, "gone"));
	for (char *p = a.buf; (p = strstr(p, "# default"));) {
		memcpy(p, "# file", 6);
		memmove(p + 6, p + 9, strlen(p + 9) + 1);
	}
	assert_string_equal(a.buf, b.buf);
	assert_int_equal(canp_opts_file(opts, path), -ENOENT);
	canp_strbuf_fini(&a);
	canp_strbuf_fini(&b);
}

static void json_dump_carries_type_and_origin(void **state)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 0);

	(void)state;
	assert_int_equal(cli("--depth=5", "-i", "a\"b"), 0);
	canp_opts_dump_json(opts, &js);
	assert_non_null(strstr(sb.buf, "\"depth\":{\"value\":5,\"origin\":\"cli\"}"));
	assert_non_null(strstr(sb.buf, "\"flag\":{\"value\":false,\"origin\":\"default\"}"));
	assert_non_null(strstr(sb.buf, "\"input\":{\"value\":[\"a\\\"b\"],"));
	assert_non_null(strstr(sb.buf, "\"colour\":{\"value\":\"red\""));
	canp_strbuf_fini(&sb);
}

static void help_fits_the_page_and_names_every_row(void **state)
{
	struct canp_runtime_cfg rt;
	struct canp_ingest_cfg in;
	struct canp_opt_bind binds[] = {{&canp_runtime_opt_table, &rt},
					{&canp_ingest_opt_table, &in}};
	struct canp_strbuf sb = CANP_STRBUF_INIT, man = CANP_STRBUF_INIT, sh = CANP_STRBUF_INIT;
	struct canp_opts *o = NULL;
	char name[80];

	(void)state;
	assert_int_equal(canp_opts_create(binds, 2, &o), 0);
	canp_opts_help(o, &sb);
	canp_opts_man(o, &man);
	canp_opts_bash(o, "canp-x", &sh);
	for (const char *p = sb.buf; *p; p += strcspn(p, "\n") + 1)
		assert_true(strcspn(p, "\n") <= 80);
	for (unsigned t = 0; t < 2; t++) {
		for (unsigned i = 0; i < binds[t].table->nr; i++) {
			const struct canp_opt *row = &binds[t].table->rows[i];

			snprintf(name, sizeof(name), "--%s%s",
				 row->kind == CANP_OPT_BOOL ? "[no-]" : "", row->name);
			assert_non_null(strstr(sb.buf, name));
			assert_non_null(strstr(sh.buf, row->name));
		}
	}
	assert_null(strstr(man.buf, " _"));
	canp_opts_destroy(o);
	canp_strbuf_fini(&sb);
	canp_strbuf_fini(&man);
	canp_strbuf_fini(&sh);
}

static void colliding_tables_are_refused(void **state)
{
	struct toy_cfg second;
	struct canp_opt_bind binds[] = {{&toy_table, &toy}, {&toy_table, &second}};
	struct canp_opts *o = NULL;

	(void)state;
	assert_int_equal(canp_opts_create(binds, 2, &o), -EEXIST);
	assert_non_null(strstr(canp_opts_error(o), "collide"));
	canp_opts_destroy(o);
}

static void assert_choice(const struct canp_opt_table *t, const char *row, int pos,
			  const char *want)
{
	struct canp_opt_choice c = {.name = ""};

	for (unsigned i = 0; i < t->nr; i++)
		if (!strcmp(t->rows[i].name, row))
			canp_opt_choice(&t->rows[i], (unsigned)pos, &c);
	assert_string_equal(c.name, want);
}

/* The enums in C and the choice lists of the rows are two texts; they must agree. */
static void choices_match_their_enums(void **state)
{
	const struct canp_opt_table *rt = &canp_runtime_opt_table, *in = &canp_ingest_opt_table;

	(void)state;
	assert_choice(rt, "ring", CANP_RING_SYNC, "sync");
	assert_choice(rt, "ring", CANP_RING_URING, "uring");
	assert_choice(rt, "hugepages", CANP_HUGE_1G, "1g");
	assert_choice(rt, "hugepages", CANP_HUGE_2M, "2m");
	assert_choice(rt, "hugepages", CANP_HUGE_THP, "thp");
	assert_choice(rt, "hugepages", CANP_HUGE_OFF, "off");
	assert_choice(rt, "log-level", CANP_LOG_ERROR, "error");
	assert_choice(rt, "log-level", CANP_LOG_DEBUG, "debug");
	assert_choice(rt, "simd", CANP_ISA_AUTO + 1, "auto");
	assert_choice(rt, "simd", CANP_ISA_SCALAR + 1, "scalar");
	assert_choice(rt, "simd", CANP_ISA_AVX2 + 1, "avx2");
	assert_choice(rt, "simd", CANP_ISA_AVX512 + 1, "avx512");
	assert_choice(in, "io", CANP_CFG_IO_BUFFERED, "buffered");
	assert_choice(in, "io", CANP_CFG_IO_DIRECT, "direct");
	assert_choice(in, "mode", CANP_CFG_MODE_THROUGHPUT, "throughput");
	assert_choice(in, "mode", CANP_CFG_MODE_LATENCY, "latency");
	assert_choice(in, "mode", CANP_CFG_MODE_MEMORY, "memory");
	assert_choice(in, "order", CANP_CFG_ORDER_SIZE, "size");
	assert_choice(in, "inflate", CANP_CFG_INFLATE_INTERLEAVED, "interleaved");
	assert_choice(in, "inflate", CANP_CFG_INFLATE_ISAL, "isal");
	assert_choice(in, "canp-ts-unit", CANP_CFG_TS_NS, "ns");
	assert_choice(in, "canp-ts-unit", CANP_CFG_TS_MS, "ms");
	assert_choice(in, "j1939", CANP_CFG_J1939_OFF, "off");
	assert_choice(in, "j1939", CANP_CFG_J1939_ALWAYS, "always");
	assert_choice(in, "enum", CANP_CFG_ENUM_BOTH, "both");
	assert_choice(in, "unknown", CANP_CFG_UNKNOWN_KEEP, "keep");
	assert_choice(in, "sink", CANP_CFG_SINK_CSV, "csv");
	assert_choice(in, "codec", CANP_CFG_CODEC_GZIP, "gzip");
	assert_choice(in, "codec", CANP_CFG_CODEC_ZSTD, "zstd");
	assert_choice(in, "gzip-level", CANP_CFG_GZIP_FAST, "0");
	assert_choice(in, "gzip-level", CANP_CFG_GZIP_SMALL, "3");
	assert_choice(in, "on-enospc", CANP_CFG_ENOSPC_WAIT, "wait");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(defaults_fill_every_kind),
		T(command_line_takes_every_form),
		T(sizes_and_durations_take_their_suffixes),
		T(numbers_are_whole_and_in_range),
		T(slips_get_a_suggestion),
		T(bad_choices_list_the_valid_ones),
		T(a_choice_may_have_a_plus_in_its_name),
		T(what_is_not_built_is_refused_by_name),
		T(precedence_is_independent_of_reading_order),
		T(lists_add_up_within_one_origin),
		T(files_have_sections_comments_and_quotes),
		T(dump_reads_back_to_the_same_values),
		T(json_dump_carries_type_and_origin),
		T(help_fits_the_page_and_names_every_row),
		T(colliding_tables_are_refused),
		T(choices_match_their_enums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
