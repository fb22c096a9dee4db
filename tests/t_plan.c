/*
 * t_plan.c - what the planner makes of DBCs and options: tables, names, types, windows, record
 * classes, multiplexing, selection, J1939, buses and the fixed tables.
 */
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
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/strbuf.h"
#include "io/can/value.h"

#define M(id, name, len) "BO_ " #id " " name ": " #len " X\n"
#define S(...)           " SG_ " __VA_ARGS__ "\n"
#define A                S("a : 0|8@1+ (1,0) [0|0] \"\" X")

static struct canp_strbuf said;
static char dir[64];

static void note(void *arg, const char *line)
{
	(void)arg;
	canp_strbuf_puts(&said, line);
	canp_strbuf_putc(&said, '\n');
}

static bool warned(const char *what)
{
	return said.buf && strstr(said.buf, what);
}

/* Writes a DBC under dir; returns its path (valid until the test ends). */
static const char *dbc(const char *name, const char *text)
{
	static char paths[8][96];
	static unsigned next;
	char *path = paths[next++ % 8];
	FILE *f;

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static struct canp_plan *plan_of(struct canp_plan_opts opts, struct canp_plan_dbc *v, size_t nr)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_plan *plan = NULL;

	canp_strbuf_fini(&said);
	opts.dbcs = v;
	opts.nr_dbcs = nr;
	assert_int_equal(canp_plan_create(&opts, &err, note, NULL, &plan), 0);
	assert_null(err.buf);
	return plan;
}

static struct canp_plan *plan_one(struct canp_plan_opts opts, const char *text)
{
	struct canp_plan_dbc v = {NULL, dbc("one.dbc", text)};

	return plan_of(opts, &v, 1);
}

static const struct canp_plan_opts none;

static const struct canp_table *table(const struct canp_plan *p, const char *name)
{
	for (uint32_t i = 0; i < p->nr_tables; i++)
		if (!strcmp(p->tables[i].name, name))
			return &p->tables[i];
	return NULL;
}

static const struct canp_col *col(const struct canp_table *t, const char *name)
{
	for (uint32_t i = 0; t && i < t->nr_cols; i++)
		if (!strcmp(t->cols[i].name, name))
			return &t->cols[i];
	return NULL;
}

static unsigned idx(const struct canp_table *t, const char *name)
{
	assert_non_null(col(t, name));
	return (unsigned)(col(t, name) - t->cols);
}

static const char *at(const struct canp_plan *p, const char *bus, unsigned number, uint32_t id,
		      bool ext)
{
	const struct canp_idmap *m = canp_plan_map(p, bus, number);
	const struct canp_table *t;
	unsigned slot;

	if (!m)
		return "no bus";
	slot = canp_idmap_find(m, id, ext);
	if (slot == CANP_SLOT_UNKNOWN)
		return "unknown";
	if (slot == CANP_SLOT_DROP)
		return "dropped";
	t = canp_plan_table(p, slot);
	assert_non_null(t);
	return t->name;
}

static void types_hold_the_scaled_raw_range(void **state)
{
	static const struct {
		const char *layout;
		enum canp_coltype type;
		enum canp_colstore store;
	} c[] = {
		{"0|1@1+ (1,0)", CANP_COL_U8, CANP_STORE_INDEX},
		{"0|8@1+ (1,0)", CANP_COL_U8, CANP_STORE_INDEX},
		{"0|8@1+ (1,-40)", CANP_COL_I16, CANP_STORE_INDEX},
		{"0|7@1+ (1,-128)", CANP_COL_I8, CANP_STORE_INDEX},
		{"0|8@1- (1,128)", CANP_COL_U8, CANP_STORE_INDEX},
		{"0|8@1- (-1,0)", CANP_COL_I16, CANP_STORE_INDEX},
		{"0|16@1+ (10,0)", CANP_COL_U32, CANP_STORE_INDEX},
		{"0|17@1+ (1,0)", CANP_COL_U32, CANP_STORE_U32},
		{"0|32@1- (1,0)", CANP_COL_I32, CANP_STORE_U32},
		{"0|33@1+ (1,0)", CANP_COL_U64, CANP_STORE_U64},
		{"0|64@1+ (1,0)", CANP_COL_U64, CANP_STORE_U64},
		{"0|64@1- (1,0)", CANP_COL_I64, CANP_STORE_U64},
		{"0|64@1+ (2,0)", CANP_COL_F64, CANP_STORE_U64},
		{"0|64@1+ (1,-1)", CANP_COL_F64, CANP_STORE_U64},
		{"0|8@1+ (0,1)", CANP_COL_F64, CANP_STORE_INDEX},
		{"0|8@1+ (1e999,0)", CANP_COL_F64, CANP_STORE_INDEX},
		{"0|8@1+ (0.5,0)", CANP_COL_F64, CANP_STORE_INDEX},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct canp_plan *p;
		const struct canp_col *k;

		snprintf(text, sizeof(text), "BO_ 1 T: 8 X\n SG_ a : %s [0|0] \"\" X\n",
			 c[i].layout);
		p = plan_one(none, text);
		k = &p->tables[0].cols[0];
		assert_int_equal(k->type, c[i].type);
		assert_int_equal(k->store, c[i].store);
		assert_int_equal(k->integral, c[i].type != CANP_COL_F64);
		canp_plan_destroy(p);
	}
}

static void floats_follow_their_value_type(void **state)
{
	struct canp_plan *p = plan_one(
		none,
		M(1, "T", 8) S("f : 0|32@1- (1,0) [0|0] \"\" X") S("g : 0|32@1- (2,0) [0|0] \"\" X")
			S("d : 0|64@1- (1,0) [0|0] \"\" X")
				S("h : 0|16@1- (1,0) [0|0] \"\" X") "SIG_VALTYPE_ 1 f : "
								    "1;\nSIG_VALTYPE_ 1 g : 1;\n"
								    "SIG_VALTYPE_ 1 d : "
								    "2;\nSIG_VALTYPE_ 1 h : 1;\n");
	const struct canp_table *t = table(p, "T");

	(void)state;
	assert_int_equal(col(t, "f")->type, CANP_COL_F32);
	assert_int_equal(col(t, "f")->store, CANP_STORE_U32);
	assert_int_equal(col(t, "g")->type, CANP_COL_F64);
	assert_int_equal(col(t, "d")->type, CANP_COL_F64);
	assert_int_equal(col(t, "h")->store, CANP_STORE_INDEX);
	assert_true(canp_plan_phys(col(t, "f"), 0x3fc00000).d == 1.5);
	assert_true(canp_plan_phys(col(t, "g"), 0x3fc00000).d == 3.0);
	assert_true(canp_plan_phys(col(t, "d"), 0x8000000000000000ULL).d == 0.0);
	assert_true(signbit(canp_plan_phys(col(t, "d"), 0x8000000000000000ULL).d));
	assert_true(canp_plan_phys(col(t, "h"), 0x3e00).d == 1.5);
	assert_true(canp_plan_phys(col(t, "h"), 0xfbff).d == -65504.0);
	assert_true(canp_plan_phys(col(t, "h"), 1).d == 0x1p-24);
	assert_true(isinf(canp_plan_phys(col(t, "h"), 0x7c00).d));
	assert_true(isnan(canp_plan_phys(col(t, "h"), 0x7e00).d));
	canp_plan_destroy(p);
}

static void values_are_exact_in_64_bits_and_never_fused(void **state)
{
	struct canp_plan *p =
		plan_one(none, M(1, "T", 8) S("u : 0|64@1+ (1,0) [0|0] \"\" X")
				       S("s : 0|63@1- (2,1) [0|0] \"\" X")
					       S("x : 0|64@1- (0.1,0.3) [0|0] \"\" X"));
	const struct canp_table *t = table(p, "T");
	struct canp_phys v = canp_plan_phys(col(t, "u"), UINT64_MAX);
	uint64_t raw = 88172645463325252ULL;

	(void)state;
	assert_true(v.is_int && v.is_unsigned && v.u == UINT64_MAX);
	v = canp_plan_phys(col(t, "s"), 1ULL << 62);
	assert_true(v.is_int && !v.is_unsigned && v.i == INT64_MIN + 1);
	for (int i = 0; i < 100000; i++) {
		volatile double product;

		raw ^= raw << 13;
		raw ^= raw >> 7;
		raw ^= raw << 17;
		product = (double)(int64_t)raw * 0.1;
		assert_true(canp_plan_phys(col(t, "x"), raw).d == product + 0.3);
	}
	canp_plan_destroy(p);
}

/* Every signal of random layout: window extraction equals bit by bit. */
static void windows_cut_the_bits_of_every_layout(void **state)
{
	uint32_t seed = 5, wide = 0, checked = 0;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		unsigned length = round % 2 ? 8 : (round % 4 ? 64 : 24);
		struct canp_strbuf sb = CANP_STRBUF_INIT;
		uint8_t data[64];
		struct canp_plan *p;
		const struct canp_table *t;

		canp_strbuf_printf(
			&sb,
			"BA_DEF_ BO_ \"VFrameFormat\" INT 0 15;\nBA_ \"VFrameFormat\" BO_ "
			"1 %d;\nBO_ 1 T: %u X\n",
			length > 8 ? 14 : 0, length);
		for (unsigned i = 0; i < 60; i++) {
			unsigned start, bits;

			seed = seed * 1664525u + 1013904223u;
			start = (seed >> 8) % (8 * length);
			bits = (seed >> 20) % 64 + 1;
			canp_strbuf_printf(&sb, " SG_ s%u : %u|%u@%u+ (1,0) [0|0] \"\" X\n", i,
					   start, bits, i % 2);
		}
		p = plan_one(none, sb.buf);
		canp_strbuf_fini(&sb);
		t = table(p, "T");
		for (unsigned i = 0; i < 64; i++) {
			seed = seed * 1664525u + 1013904223u;
			data[i] = (uint8_t)(seed >> 16);
		}
		assert_true(t->nr_wins <= 2 * 57);
		for (unsigned i = 0; t && i < t->nr_cols; i++) {
			const struct canp_col *c = &t->cols[i];
			const struct canp_window *w = &t->wins[c->win];
			uint64_t raw, v;

			assert_int_equal(canp_plan_extract(t, i, data, c->need - 1u, &raw), 0);
			assert_int_equal(canp_plan_extract(t, i, data, c->need, &raw), 1);
			assert_true(c->need <= t->need && t->need <= t->payload_max);
			wide += c->wide;
			if (c->wide)
				continue;
			assert_true(w->off + 8 <= t->payload_max);
			assert_int_equal(w->be, c->big_endian);
			v = w->be ? canp_be64(data + w->off) : canp_le64(data + w->off);
			v >>= c->shift;
			assert_true((c->raw_bits < 64 ? v & ((1ULL << c->raw_bits) - 1) : v) ==
				    raw);
			checked++;
		}
		if (length == 8)
			for (unsigned i = 0; i < t->nr_wins; i++)
				assert_int_equal(t->wins[i].off, 0);
		canp_plan_destroy(p);
	}
	assert_true(wide > 10 && checked > 500);
}

static void record_classes_follow_the_kind_of_message(void **state)
{
	struct canp_plan *p = plan_one(
		none,
		"BA_DEF_ BO_ \"VFrameFormat\" INT 0 15;\nBA_DEF_ \"BusType\" STRING ;\n"
		"BA_ \"BusType\" \"CAN\";\n" M(1, "Classic", 8) A M(2, "Fd", 8) A M(3, "Fd20", 20)
			A M(4, "Tp", 20) A M(2566844158, "J", 8) A M(2147483652, "Ext", 8)
				A M(5, "Empty", 8) M(6, "Huge", 1785) A
		"BA_ \"VFrameFormat\" BO_ 2 14;\nBA_ \"VFrameFormat\" BO_ 3 14;\n");
	const struct canp_table *t = table(p, "Classic");

	(void)state;
	assert_int_equal(t->cls, CANP_REC_S);
	assert_int_equal(t->stride, 16);
	assert_int_equal(t->payload_off, 8);
	assert_int_equal(table(p, "Ext")->cls, CANP_REC_S);
	t = table(p, "Fd");
	assert_int_equal(t->cls, CANP_REC_F);
	assert_int_equal(t->stride, 32);
	assert_int_equal(t->payload_off, 16);
	assert_int_equal(table(p, "Fd20")->payload_max, 32);
	t = table(p, "J");
	assert_int_equal(t->cls, CANP_REC_J);
	assert_int_equal(t->stride, 32);
	assert_int_equal(t->pgn, 0xfeee);
	assert_string_equal(t->cols[0].name, "sa");
	assert_int_equal(t->cols[0].src, CANP_SRC_SA);
	assert_null(table(p, "Tp"));
	assert_true(warned("one.dbc:10: message Tp has 20 bytes and is not CAN FD"));
	assert_string_equal(canp_plan_transport(p, 0)->name, "Tp");
	assert_string_equal(canp_plan_transport(p, 1)->name, "Huge");
	assert_null(canp_plan_transport(p, 2));
	assert_string_equal(at(p, NULL, 0, 4, false), "dropped");
	assert_string_equal(at(p, NULL, 0, 5, false), "dropped");
	assert_true(warned("1 messages have no signals"));
	canp_plan_destroy(p);
	/* Without any frame format stated a length of CAN FD is taken as such. */
	p = plan_one(none, M(3, "Fd", 20) A M(4, "Tp", 21) A);
	assert_int_equal(table(p, "Fd")->cls, CANP_REC_F);
	assert_null(table(p, "Tp"));
	assert_true(warned("1 messages are taken as CAN FD by their length"));
	canp_plan_destroy(p);
}

static void colliding_table_names_all_get_a_suffix(void **state)
{
	struct canp_plan_dbc v[2] = {
		{"1", dbc("left.dbc",
			  M(1, "Same", 8) A M(2, "Differ", 8) A M(3, "Twice", 8) A M(4, "TWICE", 8)
				  A M(2147483653, "Twice", 8) A M(9, "canp_files", 8) A)},
		{"2", dbc("right.dbc",
			  M(1, "Same", 8) A M(2, "differ", 8) S("a : 8|8@1+ (1,0) [0|0] \"\" X"))},
	};
	struct canp_plan *p = plan_of(none, v, 2);

	(void)state;
	assert_int_equal(p->nr_tables, 7);
	assert_non_null(table(p, "Same"));
	assert_non_null(table(p, "Differ_left"));
	assert_non_null(table(p, "differ_right"));
	assert_non_null(table(p, "Twice_003"));
	assert_non_null(table(p, "TWICE_004"));
	assert_non_null(table(p, "Twice_00000005"));
	assert_non_null(table(p, "m_canp_files"));
	assert_string_equal(at(p, NULL, 1, 2, false), "Differ_left");
	assert_string_equal(at(p, NULL, 2, 2, false), "differ_right");
	assert_string_equal(at(p, NULL, 2, 1, false), "Same");
	assert_string_equal(at(p, NULL, 3, 1, false), "unknown");
	canp_plan_destroy(p);
}

static void column_names_are_unique_and_never_reserved(void **state)
{
	struct canp_plan_opts opts = {.enum_labels = true};
	struct canp_plan *p = plan_one(
		opts,
		M(1, "T/=x", 8) S("ts : 0|8@1+ (1,0) [0|0] \"\" X")
			S("Bus : 0|8@1+ (1,0) [0|0] \"\" X") S("a : 0|8@1+ (1,0) [0|0] \"\" X") S(
				"A : 8|8@1+ (1,0) [0|0] \"\" X") S("a : 16|8@1+ (1,0) [0|0] \"\" X")
				S("e_label : 0|8@1+ (1,0) [0|0] \"\" X") S(
					"e : 0|8@1+ (1,0) [0|0] \"\" X") "VAL_ 1 e 1 \"one\" ;\n");
	static const char *const want[] = {"ts_2", "Bus_2", "a", "A_2", "a_3", "e_label_2", "e"};
	const struct canp_table *t = table(p, "T__x");

	(void)state;
	assert_non_null(t);
	assert_string_equal(t->message, "T/=x");
	for (unsigned i = 0; i < 7; i++)
		assert_string_equal(t->cols[i].name, want[i]);
	assert_string_equal(t->cols[0].dbc_name, "ts");
	assert_string_equal(canp_plan_label(col(t, "e"), 1), "one");
	assert_null(canp_plan_label(col(t, "e"), 2));
	assert_true(warned("signal ts of message T/=x becomes column ts_2"));
	canp_plan_destroy(p);
}

static int mux(const struct canp_table *t, const char *name, uint8_t b0, uint8_t b1)
{
	uint8_t data[8] = {b0, b1};
	uint64_t raw;

	return canp_plan_extract(t, idx(t, name), data, 8, &raw);
}

static void simple_and_extended_multiplexing_decide_presence(void **state)
{
	struct canp_plan *p = plan_one(
		none,
		M(1, "One", 8) S("b m1 : 16|8@1+ (1,0) [0|0] \"\" X")
			S("c m0 : 16|8@1+ (1,0) [0|0] \"\" X") S("m M : 0|8@1+ (1,0) [0|0] \"\" X")
				M(2, "Ext", 8) S("top M : 0|8@1+ (1,0) [0|0] \"\" X")
					S("mid m1M : 8|8@1+ (1,0) [0|0] \"\" X")
						S("low m7 : 16|8@1+ (1,0) [0|0] \"\" X")
							S("vague m3 : 16|8@1+ (1,0) [0|0] \"\" "
							  "X") "SG_MUL_VAL_ 1 c m 3-5, "
							       "9-9;\nSG_MUL_VAL_ 2 mid top "
							       "1-2;\n"
							       "SG_MUL_VAL_ 2 low mid 7-8;\n");
	const struct canp_table *t = table(p, "One");

	(void)state;
	assert_true(mux(t, "m", 77, 0));
	assert_true(mux(t, "b", 1, 0) && !mux(t, "b", 0, 0) && !mux(t, "b", 2, 0));
	assert_true(mux(t, "c", 0, 0) && mux(t, "c", 4, 0) && mux(t, "c", 9, 0) &&
		    !mux(t, "c", 6, 0));
	t = table(p, "Ext");
	assert_true(mux(t, "mid", 2, 0) && !mux(t, "mid", 3, 0));
	assert_true(mux(t, "low", 1, 8) && !mux(t, "low", 1, 9) && !mux(t, "low", 3, 7));
	assert_true(mux(t, "vague", 3, 0) && !mux(t, "vague", 1, 3));
	assert_true(warned("signal vague: several multiplexors and no SG_MUL_VAL_; top is taken"));
	canp_plan_destroy(p);
}

static void multiplexor_loops_are_cut(void **state)
{
	struct canp_plan *p = plan_one(
		none,
		M(1, "T", 8) S("a m1M : 0|8@1+ (1,0) [0|0] \"\" X") S(
			"b m1M : 8|8@1+ (1,0) [0|0] "
			"\"\" X") S("c m1M : 16|8@1+ (1,0) [0|0] \"\" X") S("d m1 : 24|8@1+ (1,0) "
									    "[0|0] \"\" X")
			S("e m4 : 24|8@1+ (1,0) [0|0] \"\" X") "SG_MUL_VAL_ 1 a b "
							       "1-1;\nSG_MUL_VAL_ 1 b c "
							       "1-1;\nSG_MUL_VAL_ 1 c a 1-1;\n"
							       "SG_MUL_VAL_ 1 d a "
							       "1-1;\nSG_MUL_VAL_ 1 e e 4-4;\n");
	const struct canp_table *t = table(p, "T");

	(void)state;
	assert_true(warned("signal a: its multiplexors form a loop"));
	assert_true(warned("signal e: its multiplexor e is not usable"));
	assert_true(mux(t, "a", 0, 0));
	assert_false(mux(t, "d", 0, 0));
	assert_true(mux(t, "d", 1, 0));
	canp_plan_destroy(p);
	/* A lone m<k> has nothing to depend on. */
	p = plan_one(none, M(1, "T", 8) S("x m1 : 8|8@1+ (1,0) [0|0] \"\" X"));
	assert_true(mux(table(p, "T"), "x", 0, 0));
	assert_true(warned("nothing says by what"));
	canp_plan_destroy(p);
}

static void signals_beyond_the_frame_are_left_out_with_their_dependants(void **state)
{
	struct canp_plan *p = plan_one(
		none,
		M(1, "T", 8) A S("far M : 64|8@1+ (1,0) [0|0] \"\" X")
			S("dep m0 : 8|8@1+ (1,0) [0|0] \"\" X")
				S("wild : 4294967290|8@1+ (1,0) [0|0] \"\" X")
					S("edge : 63|1@1+ (1,0) [0|0] \"\" X")
						S("be : 0|9@0+ (1,0) [0|0] \"\" X")
							S("out : 56|2@0+ (1,0) [0|0] \"\" X"));
	const struct canp_table *t = table(p, "T");

	(void)state;
	assert_int_equal(t->nr_cols, 3);
	assert_int_equal(col(t, "edge")->need, 8);
	assert_int_equal(col(t, "be")->need, 2);
	assert_true(warned("signal far lies beyond the 8 bytes"));
	canp_plan_destroy(p);
}

static void selection_keeps_multiplexors_hidden_and_drops_the_rest(void **state)
{
	struct canp_plan_opts opts = {.select = "T.b, U*,Zzz", .exclude = "*.secret,Q.*"};
	struct canp_plan *p = plan_one(
		opts, M(1, "T", 8) A S("m M : 0|8@1+ (1,0) [0|0] \"\" X")
			      S("b m1 : 8|8@1+ (1,0) [0|0] \"\" X") M(2, "U1", 8)
				      A S("secret : 8|8@1+ (1,0) [0|0] \"\" X") M(3, "V", 8) A);
	const struct canp_table *t = table(p, "T");

	(void)state;
	assert_int_equal(p->nr_tables, 2);
	assert_int_equal(t->nr_cols, 2);
	assert_true(col(t, "m")->hidden && !col(t, "b")->hidden);
	assert_true(mux(t, "b", 1, 0) && !mux(t, "b", 0, 0));
	assert_int_equal(table(p, "U1")->nr_cols, 1);
	assert_string_equal(at(p, NULL, 0, 3, false), "dropped");
	assert_string_equal(at(p, NULL, 0, 4, false), "unknown");
	assert_true(warned("--select: \"Zzz\" matches no") &&
		    warned("--exclude: \"Q.*\" matches no"));
	assert_false(warned("T.b"));
	canp_plan_destroy(p);
}

static const char j1939_text[] =
	"BA_DEF_ BO_ \"VFrameFormat\" INT 0 15;\nBA_DEF_ \"ProtocolType\" STRING ;\n" M(
		2364540158, "Eec1", 8) A /* 0x8cf004fe */ M(2364539905, "Eec1_1", 8) A /* sa 1 */
		M(2565865473, "Stated", 8) A /* 0x98f00001 */ M(2565865985, "Plain", 8)
			A                                 /* 0x98f00201 */
				M(2566844414, "Not", 8) A /* 0x98feeffe */
	"BA_ \"VFrameFormat\" BO_ 2565865473 3;\nBA_ \"VFrameFormat\" BO_ 2566844414 1;\n";

static void j1939_is_matched_by_pgn_and_exact_ids_win(void **state)
{
	struct canp_plan *p = plan_one(none, j1939_text);

	(void)state;
	assert_true(table(p, "Eec1")->j1939 && table(p, "Stated")->j1939);
	assert_false(table(p, "Plain")->j1939 || table(p, "Not")->j1939);
	assert_string_equal(at(p, NULL, 0, 0x0cf004fe, true), "Eec1");
	assert_string_equal(at(p, NULL, 0, 0x18f00433, true), "Eec1"); /* priority, sa differ */
	assert_string_equal(at(p, NULL, 0, 0x0cf00401, true), "Eec1_1");
	assert_string_equal(at(p, NULL, 0, 0x18f000aa, true), "Stated");
	assert_string_equal(at(p, NULL, 0, 0x18f00202, true), "unknown");
	assert_string_equal(at(p, NULL, 0, 0x18feef00, true), "unknown");
	canp_plan_destroy(p);
	p = plan_one((struct canp_plan_opts){.j1939 = CANP_J1939_OFF}, j1939_text);
	assert_string_equal(at(p, NULL, 0, 0x18f00433, true), "unknown");
	assert_string_equal(at(p, NULL, 0, 0x0cf004fe, true), "Eec1");
	canp_plan_destroy(p);
	p = plan_one((struct canp_plan_opts){.j1939 = CANP_J1939_ALWAYS}, j1939_text);
	assert_string_equal(at(p, NULL, 0, 0x18f00202, true), "Plain");
	canp_plan_destroy(p);
	/* The protocol of the file counts when all its messages are extended. */
	p = plan_one(none, "BA_ \"ProtocolType\" \"J1939\";\n" M(2565865985, "Plain", 8) A);
	assert_true(table(p, "Plain")->j1939);
	canp_plan_destroy(p);
	p = plan_one(none, "BA_ \"ProtocolType\" \"J1939\";\n" M(2565865985, "Plain", 8)
				   A M(1, "Std", 8) A);
	assert_false(table(p, "Plain")->j1939);
	canp_plan_destroy(p);
}

static void buses_find_their_dbcs_by_name_then_number(void **state)
{
	struct canp_plan_dbc v[4] = {
		{NULL, dbc("all.dbc", M(1, "All1", 8) A M(2, "All2", 8) A M(5, "All5", 8) A)},
		{"can1", dbc("named.dbc", M(1, "Named1", 8) A)},
		{"1", dbc("number.dbc", M(1, "Number1", 8) A M(2, "Number2", 8) A)},
		{NULL, dbc("late.dbc", M(5, "Late5", 8) A)},
	};
	struct canp_plan *p = plan_of(none, v, 4);

	(void)state;
	assert_string_equal(at(p, NULL, 0, 1, false), "All1");
	assert_string_equal(at(p, "can0", 0, 1, false), "All1");
	assert_string_equal(at(p, "can1", 1, 1, false), "Named1");
	assert_string_equal(at(p, "CAN1", 1, 1, false), "Named1");
	assert_string_equal(at(p, "can1", 1, 2, false), "Number2");
	assert_string_equal(at(p, "vcan1", 1, 1, false), "Number1");
	assert_string_equal(at(p, NULL, 1, 1, false), "Named1"); /* the earlier of two numbers */
	assert_string_equal(at(p, "Powertrain", 1, 1, false), "Named1");
	assert_string_equal(at(p, NULL, 1, 5, false), "All5");
	assert_null(table(p, "Late5")); /* reached by no bus */
	assert_true(warned("late.dbc:1: message Late5 (id 0x5) is shadowed by all.dbc:5"));
	canp_plan_destroy(p);
	p = plan_of((struct canp_plan_opts){.bus = "can1, 3"}, v, 4);
	assert_string_equal(at(p, "can1", 1, 1, false), "Named1");
	assert_string_equal(at(p, NULL, 1, 1, false), "Named1");
	assert_string_equal(at(p, "vcan1", 1, 1, false), "no bus");
	assert_string_equal(at(p, "vcan3", 3, 1, false), "All1");
	assert_string_equal(at(p, NULL, 0, 1, false), "no bus");
	canp_plan_destroy(p);
}

static void fixed_tables_are_there_when_wanted(void **state)
{
	struct canp_plan *p = plan_one(none, M(1, "T", 8) A);

	(void)state;
	assert_string_equal(canp_plan_table(p, CANP_SLOT_EVENTS)->name, "canp_events");
	assert_int_equal(p->events.cls, CANP_REC_J);
	assert_int_equal(col(&p->events, "gap")->shift, 8);
	assert_int_equal(col(&p->events, "data")->type, CANP_COL_BYTES);
	assert_null(canp_plan_table(p, CANP_SLOT_RAW));
	assert_null(canp_plan_table(p, CANP_SLOT_DROP));
	assert_null(canp_plan_table(p, CANP_SLOT_FIRST_TABLE + 1));
	canp_plan_destroy(p);
	p = plan_one((struct canp_plan_opts){.unknown_keep = true}, M(1, "T", 8) A);
	assert_string_equal(canp_plan_table(p, CANP_SLOT_RAW)->name, "canp_unknown");
	canp_plan_destroy(p);
	p = plan_of(none, NULL, 0);
	assert_true(p->opts.raw);
	assert_string_equal(canp_plan_table(p, CANP_SLOT_RAW)->name, "canp_frames");
	assert_int_equal(p->raw.payload_max, 64);
	assert_string_equal(at(p, NULL, 0, 1, false), "unknown");
	assert_string_equal(at(p, NULL, 0, 1, true), "unknown");
	canp_plan_destroy(p);
}

static uint64_t schema(struct canp_plan_opts opts, const char *text)
{
	struct canp_plan *p = plan_one(opts, text);
	uint64_t h = p->schema_hash;

	canp_plan_destroy(p);
	return h;
}

static void the_schema_hash_changes_with_what_shapes_the_dataset(void **state)
{
	static const char text[] = M(1, "T", 8) A M(2, "U", 8) A;
	uint64_t base = schema(none, text);

	(void)state;
	assert_true(base == schema(none, text));
	assert_true(base == schema(none, M(1, "T", 8) A M(2, "U", 8) A "CM_ \"a comment\";\n"));
	assert_true(base != schema((struct canp_plan_opts){.raw = true}, text));
	assert_true(base != schema((struct canp_plan_opts){.device_column = true}, text));
	assert_true(base != schema((struct canp_plan_opts){.exclude = "U"}, text));
	assert_true(base != schema(none, M(1, "T", 8) A M(3, "U", 8) A));
	assert_true(base !=
		    schema(none, M(1, "T", 8) S("a : 0|8@1+ (2,0) [0|0] \"\" X") M(2, "U", 8) A));
}

static void a_missing_dbc_is_an_error_with_its_name(void **state)
{
	struct canp_plan_dbc v = {NULL, "/nonexistent/none.dbc"};
	struct canp_plan_opts opts = {.dbcs = &v, .nr_dbcs = 1};
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_plan *plan = NULL;

	(void)state;
	assert_int_equal(canp_plan_create(&opts, &err, NULL, NULL, &plan), -ENOENT);
	assert_null(plan);
	assert_non_null(strstr(err.buf, "/nonexistent/none.dbc"));
	canp_strbuf_fini(&err);
	canp_plan_destroy(NULL);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/t_plan_XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {"one",   "left",   "right", "all",
					    "named", "number", "late"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s.dbc", dir, names[i]);
		unlink(path);
	}
	canp_strbuf_fini(&said);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_hold_the_scaled_raw_range),
		cmocka_unit_test(floats_follow_their_value_type),
		cmocka_unit_test(values_are_exact_in_64_bits_and_never_fused),
		cmocka_unit_test(windows_cut_the_bits_of_every_layout),
		cmocka_unit_test(record_classes_follow_the_kind_of_message),
		cmocka_unit_test(colliding_table_names_all_get_a_suffix),
		cmocka_unit_test(column_names_are_unique_and_never_reserved),
		cmocka_unit_test(simple_and_extended_multiplexing_decide_presence),
		cmocka_unit_test(multiplexor_loops_are_cut),
		cmocka_unit_test(signals_beyond_the_frame_are_left_out_with_their_dependants),
		cmocka_unit_test(selection_keeps_multiplexors_hidden_and_drops_the_rest),
		cmocka_unit_test(j1939_is_matched_by_pgn_and_exact_ids_win),
		cmocka_unit_test(buses_find_their_dbcs_by_name_then_number),
		cmocka_unit_test(fixed_tables_are_there_when_wanted),
		cmocka_unit_test(the_schema_hash_changes_with_what_shapes_the_dataset),
		cmocka_unit_test(a_missing_dbc_is_an_error_with_its_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
