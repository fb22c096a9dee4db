/*
 * t_sha256.c - SHA-256 against the examples of FIPS 180-4 / NIST and against itself in pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bump.h"
#include "core/base/sha256.h"

static void fips_vectors_hash_as_published(void **state)
{
	static const struct {
		const char *text, *hex;
	} v[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqk"
		 "lm"
		 "nopqrlmnopqrsmnopqrstnopqrstu",
		 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
	};
	char hex[CANP_SHA256_HEX];

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		canp_sha256_hex(v[i].text, strlen(v[i].text), hex);
		assert_string_equal(hex, v[i].hex);
	}
}

static void a_million_letters_hash_as_published(void **state)
{
	char *text = malloc(1000000), hex[CANP_SHA256_HEX];

	(void)state;
	assert_non_null(text);
	memset(text, 'a', 1000000);
	canp_sha256_hex(text, 1000000, hex);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(text);
}

static void pieces_of_any_size_give_the_same_digest(void **state)
{
	uint8_t data[300], whole[CANP_SHA256_BYTES], parts[CANP_SHA256_BYTES];
	struct canp_sha256 s;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 3);
	for (size_t len = 0; len <= sizeof(data); len++) {
		canp_sha256_init(&s);
		canp_sha256_update(&s, data, len);
		canp_sha256_final(&s, whole);
		canp_sha256_init(&s);
		for (size_t off = 0, n = 1; off < len; off += n, n = n % 67 + 1) {
			if (n > len - off)
				n = len - off;
			canp_sha256_update(&s, data + off, n);
		}
		canp_sha256_final(&s, parts);
		assert_memory_equal(whole, parts, sizeof(whole));
	}
}

static void bump_memory_is_zeroed_aligned_and_arrays_keep_their_elements(void **state)
{
	struct canp_bump b = CANP_BUMP_INIT;
	uint32_t *v = NULL;

	(void)state;
	for (size_t n = 1; n < 200000; n = n * 3 + 1) {
		uint8_t *p = canp_bump_alloc(&b, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_int_equal(p[0] | p[n / 2] | p[n - 1], 0);
		memset(p, 0xaa, n);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		v = canp_bump_grow(&b, v, i, sizeof(*v));
		assert_non_null(v);
		v[i] = i;
	}
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(v[i], i);
	assert_string_equal(canp_bump_str(&b, "hello world", 5), "hello");
	assert_false(b.failed);
	assert_null(canp_bump_alloc(&b, SIZE_MAX - 3));
	assert_true(b.failed);
	canp_bump_fini(&b);
	assert_non_null(canp_bump_alloc(&b, 1));
	canp_bump_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fips_vectors_hash_as_published),
		cmocka_unit_test(a_million_letters_hash_as_published),
		cmocka_unit_test(pieces_of_any_size_give_the_same_digest),
		cmocka_unit_test(bump_memory_is_zeroed_aligned_and_arrays_keep_their_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
