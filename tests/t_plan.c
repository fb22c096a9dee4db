/*
 * t_plan.c - what the planner makes of messages: types, values, windows, record classes, names and
 * multiplexing.
 */
#include "tests/lib/plan_case.h"

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
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
