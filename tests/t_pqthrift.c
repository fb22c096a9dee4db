/* t_pqthrift.c - the compact protocol writer against byte strings written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "io/sink/pqenc.h"
#include "io/sink/pqthrift.h"

static void expect(const struct canp_tw *t, const char *bytes, size_t n)
{
	assert_false(t->full);
	assert_int_equal(canp_tw_len(t), n);
	assert_memory_equal(t->base, bytes, n);
}

static void integers_are_zigzag_varints(void **state)
{
	static const struct {
		int64_t v;
		const char *bytes;
		size_t n;
	} c[] = {{0, "\x00", 1},
		 {-1, "\x01", 1},
		 {1, "\x02", 1},
		 {63, "\x7e", 1},
		 {64, "\x80\x01", 2},
		 {-64, "\x7f", 1},
		 {10000, "\xa0\x9c\x01", 3},
		 {1700000000000000, "\x80\x80\xf2\x81\x83\x89\x85\x06", 8},
		 {INT64_MIN, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10}};
	uint8_t mem[32];
	struct canp_tw t;

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		canp_tw_init(&t, mem, sizeof(mem), 0);
		canp_tw_elem_int(&t, c[i].v);
		expect(&t, c[i].bytes, c[i].n);
	}
}

static void field_headers_carry_the_distance(void **state)
{
	uint8_t mem[64];
	struct canp_tw t;

	(void)state;
	canp_tw_init(&t, mem, sizeof(mem), 0);
	canp_tw_i32(&t, 1, 5);
	canp_tw_i64(&t, 16, 1);
	canp_tw_bool(&t, 17, true);
	canp_tw_bool(&t, 18, false);
	canp_tw_i32(&t, 40, 1); /* distance above 15: id follows */
	expect(&t, "\x15\x0a\xf6\x02\x11\x12\x05\x50\x02", 9);
}

/* TIMESTAMP(MICROS, UTC) as the last field of a SchemaElement. */
static void nested_structs_restore_the_field_id(void **state)
{
	uint8_t mem[64];
	struct canp_tw t;

	(void)state;
	canp_tw_init(&t, mem, sizeof(mem), 6);
	canp_tw_begin(&t, 10);
	canp_tw_begin(&t, 8);
	canp_tw_bool(&t, 1, true);
	canp_tw_begin(&t, 2);
	canp_tw_begin(&t, 2);
	canp_tw_end(&t);
	canp_tw_end(&t);
	canp_tw_end(&t);
	canp_tw_end(&t);
	canp_tw_i32(&t, 11, 1);
	expect(&t, "\x4c\x8c\x11\x1c\x2c\x00\x00\x00\x00\x15\x02", 11);
}

static void long_lists_have_a_second_length_byte(void **state)
{
	uint8_t mem[64];
	struct canp_tw t;

	(void)state;
	canp_tw_init(&t, mem, sizeof(mem), 0);
	canp_tw_list(&t, 1, CANP_TW_I32, 14);
	canp_tw_list(&t, 2, CANP_TW_BINARY, 15);
	canp_tw_list(&t, 3, CANP_TW_STRUCT, 300);
	expect(&t, "\x19\xe5\x19\xf8\x0f\x19\xfc\xac\x02", 9);
}

static void a_full_writer_drops_and_says_so(void **state)
{
	uint8_t mem[8] = {0};
	struct canp_tw t;

	(void)state;
	canp_tw_init(&t, mem, 4, 0);
	canp_tw_string(&t, 1, "too long for it");
	assert_true(t.full);
	assert_true(canp_tw_len(&t) <= 4);
	assert_int_equal(mem[4], 0);
}

/* The worked file of the notes: page header of a dictionary and of a data page. */
static void page_headers_match_the_worked_example(void **state)
{
	struct canp_pq_pagehdr h = {.type = CANP_PQ_DATA_PAGE,
				    .encoding = CANP_PQ_DICT,
				    .plain_bytes = 11,
				    .stored_bytes = 11,
				    .crc = 1952733247,
				    .values = 10};
	uint8_t out[CANP_PQ_PAGEHDR_MAX];

	(void)state;
	assert_int_equal(canp_pq_page_header(&h, out), 23);
	assert_memory_equal(out,
			    "\x15\x00\x15\x16\x15\x16\x15\xfe\xe0\xa2\xc6\x0e\x1c\x15\x14\x15\x10"
			    "\x15\x06\x15\x06\x00\x00",
			    23);
	h = (struct canp_pq_pagehdr){.type = CANP_PQ_DICT_PAGE,
				     .plain_bytes = 24,
				     .stored_bytes = 24,
				     .crc = (uint32_t)-1349188613,
				     .values = 3,
				     .sorted = true};
	assert_int_equal(canp_pq_page_header(&h, out), 20);
	assert_memory_equal(out,
			    "\x15\x04\x15\x30\x15\x30\x15\x89\xf0\xd7\x86\x0a\x3c\x15\x06\x15\x00"
			    "\x11\x00\x00",
			    20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_zigzag_varints),
		cmocka_unit_test(field_headers_carry_the_distance),
		cmocka_unit_test(nested_structs_restore_the_field_id),
		cmocka_unit_test(long_lists_have_a_second_length_byte),
		cmocka_unit_test(a_full_writer_drops_and_says_so),
		cmocka_unit_test(page_headers_match_the_worked_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
