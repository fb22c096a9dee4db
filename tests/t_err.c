/*
 * t_err.c - data faults have a name, a text and, where something can be done, a remedy; details are
 * cut to fit.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"

static void every_fault_is_named_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CANP_FAULT_NR; i++) {
		assert_true(canp_fault_name(i)[0]);
		assert_true(canp_fault_text(i)[0]);
		assert_true(i == CANP_FAULT_NONE || canp_fault_fix(i)[0]);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(canp_fault_name(i), canp_fault_name(j));
	}
}

static void codes_out_of_range_have_a_text(void **state)
{
	(void)state;
	assert_string_equal(canp_fault_name(CANP_FAULT_NR), "UNKNOWN");
	assert_string_equal(canp_fault_text((enum canp_fault_code) - 1), "unknown fault");
	assert_string_equal(canp_fault_fix(CANP_FAULT_NR), "");
}

static void details_are_cut_to_fit(void **state)
{
	struct canp_fault f;
	char text[400];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	canp_fault_set(&f, CANP_FAULT_BAD_RECORD, 123, 45, "%s", text);
	assert_int_equal(f.code, CANP_FAULT_BAD_RECORD);
	assert_int_equal(f.offset, 123);
	assert_int_equal(f.bytes, 45);
	assert_int_equal(strlen(f.detail), sizeof(f.detail) - 1);
}

static void errno_texts_ignore_the_sign(void **state)
{
	(void)state;
	assert_string_equal(canp_strerror(-ENOENT), "No such file or directory");
	assert_string_equal(canp_strerror(ENOENT), "No such file or directory");
	assert_string_equal(canp_strerror(-99999), "unknown error");
}

static void H05_every_error_has_a_name_and_a_text_of_its_own(void **state)
{
	static const struct {
		enum canp_err code;
		const char *name;
	} all[] = {
#define X(name, text) {CANP_ERR_##name, "E" #name},
		CANP_ERRS(X)
#undef X
	};

	(void)state;
	assert_int_equal(CANP_ERR_NOMEM, -ENOMEM);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_true(all[i].code < 0);
		assert_string_equal(canp_err_name(all[i].code), all[i].name);
		assert_string_equal(canp_err_name(-(int)all[i].code), all[i].name);
		assert_true(strlen(canp_err_text(all[i].code)) > 4);
		assert_string_not_equal(canp_strerror(all[i].code), "unknown error");
		for (unsigned j = 0; j < i; j++) {
			assert_int_not_equal(all[i].code, all[j].code);
			assert_string_not_equal(canp_err_text(all[i].code),
						canp_err_text(all[j].code));
		}
	}
	assert_string_equal(canp_err_name(-EXDEV), "");
	assert_string_equal(canp_err_text(-EXDEV), canp_strerror(EXDEV));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_is_named_once),
		cmocka_unit_test(codes_out_of_range_have_a_text),
		cmocka_unit_test(details_are_cut_to_fit),
		cmocka_unit_test(errno_texts_ignore_the_sign),
		cmocka_unit_test(H05_every_error_has_a_name_and_a_text_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
