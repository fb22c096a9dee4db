/*
 * t_plan_job.c - what the planner makes of a job's options: selection, J1939, buses, the fixed
 * tables, and the schema hash.
 */
#include "tests/lib/plan_case.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selection_keeps_multiplexors_hidden_and_drops_the_rest),
		cmocka_unit_test(j1939_is_matched_by_pgn_and_exact_ids_win),
		cmocka_unit_test(buses_find_their_dbcs_by_name_then_number),
		cmocka_unit_test(fixed_tables_are_there_when_wanted),
		cmocka_unit_test(the_schema_hash_changes_with_what_shapes_the_dataset),
		cmocka_unit_test(a_missing_dbc_is_an_error_with_its_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
