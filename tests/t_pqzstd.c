/*
 * t_pqzstd.c - zstd pages against the library's own decoder: every level, sizes around the block
 * and window bounds, contents from empty to random; nothing outside the output and the workspace is
 * written, and a page does not depend on what was compressed before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "core/base/compiler.h"
#include "io/sink/pqzstd.h"
#include "tests/lib/guard.h"

#define PAGE_MAX (704u * 1024u)

enum content { ZEROS, COUNTER, WALK, RANDOM, NR_CONTENTS };

static uint32_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

/* Pages as the part writer makes them: one value, a 16-bit counter, a noisy walk, noise. */
static void fill(uint8_t *p, uint32_t n, enum content what)
{
	uint64_t seed = n + 1;
	uint32_t walk = 30000;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t v[NR_CONTENTS] = {[COUNTER] = (i >> 1) % 1000, [RANDOM] = next(&seed)};

		walk += next(&seed) % 7 - 3;
		v[WALK] = walk;
		p[i] = (uint8_t)(i & 1 ? v[what] >> 8 : v[what]);
	}
}

static const uint32_t sizes[] = {0,      1,      7,      255,    256,     1000,
				 16383,  16384,  65535,  65536,  65537,   131071,
				 131072, 131073, 262144, 500000, PAGE_MAX};

struct fixture {
	struct canp_pqzstd *z;
	uint8_t *in, *out, *back;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->z = aligned_alloc(64, sizeof(*f->z));
	f->in = malloc(PAGE_MAX);
	f->out = malloc(canp_pqzstd_bound(PAGE_MAX) + 64);
	f->back = malloc(PAGE_MAX + 1);
	assert_true(f->z && f->in && f->out && f->back);
	memset(f->z, 0xa5, sizeof(*f->z));
	f->z->level = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->z);
	free(f->in);
	free(f->out);
	free(f->back);
	free(f);
	return 0;
}

static void every_level_reads_back(void **state)
{
	struct fixture *f = *state;

	for (int level = CANP_PQZSTD_LEVEL_MIN; level <= CANP_PQZSTD_LEVEL_MAX; level++) {
		for (size_t s = 0; s < CANP_ARRAY_SIZE(sizes); s++) {
			for (int what = 0; what < NR_CONTENTS; what++) {
				uint32_t n = sizes[s], bound = canp_pqzstd_bound(n);
				int64_t len;

				fill(f->in, n, (enum content)what);
				memset(f->out + bound, 0x5a, 64);
				len = canp_pqzstd_page(f->z, level, f->in, n, f->out, bound);
				assert_in_range(len, 1, bound);
				for (unsigned i = 0; i < 64; i++)
					assert_int_equal(f->out[bound + i], 0x5a);
				assert_int_equal(ZSTD_getFrameContentSize(f->out, (size_t)len), n);
				memset(f->back, 0xee, n + 1);
				assert_int_equal(
					ZSTD_decompress(f->back, n + 1, f->out, (size_t)len), n);
				assert_memory_equal(f->back, f->in, n);
			}
		}
	}
}

/* The bounded tables must not make the codec useless. */
static void pages_get_smaller(void **state)
{
	struct fixture *f = *state;
	int64_t zeros, counter, fast, best;

	fill(f->in, 65536, ZEROS);
	zeros = canp_pqzstd_page(f->z, 1, f->in, 65536, f->out, canp_pqzstd_bound(65536));
	assert_in_range(zeros, 1, 100);
	fill(f->in, 65536, COUNTER);
	counter = canp_pqzstd_page(f->z, 1, f->in, 65536, f->out, canp_pqzstd_bound(65536));
	assert_in_range(counter, 1, 65536 / 2);
	fill(f->in, PAGE_MAX, WALK);
	fast = canp_pqzstd_page(f->z, 1, f->in, PAGE_MAX, f->out, canp_pqzstd_bound(PAGE_MAX));
	best = canp_pqzstd_page(f->z, 9, f->in, PAGE_MAX, f->out, canp_pqzstd_bound(PAGE_MAX));
	assert_in_range(fast, 1, PAGE_MAX * 9 / 10);
	assert_in_range(best, 1, fast - 1);
}

static void a_page_does_not_depend_on_earlier_ones(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 100000, bound = canp_pqzstd_bound(n);
	uint8_t *again = malloc(bound);

	assert_non_null(again);
	for (int level = CANP_PQZSTD_LEVEL_MIN; level <= CANP_PQZSTD_LEVEL_MAX; level++) {
		struct canp_pqzstd *other = aligned_alloc(64, sizeof(*other) + 64);
		int64_t a, b;

		assert_non_null(other);
		memset(other, 0, sizeof(*other));
		fill(f->in, n, WALK);
		a = canp_pqzstd_page(other, level, f->in, n, f->out, bound);
		fill(f->in, PAGE_MAX, RANDOM);
		assert_true(canp_pqzstd_page(f->z, 10 - level, f->in, PAGE_MAX, f->back,
					     PAGE_MAX + 1) <= PAGE_MAX + 1);
		for (uint32_t k = 0; k < 3; k++) { /* of the same level, too */
			fill(f->in, n - 777 * k, k ? COUNTER : WALK);
			assert_true(canp_pqzstd_page(f->z, level, f->in, n - 777 * k, again,
						     bound) > 0);
		}
		fill(f->in, n, WALK);
		b = canp_pqzstd_page(f->z, level, f->in, n, again, bound);
		assert_int_equal(a, b);
		assert_memory_equal(f->out, again, (size_t)a);
		free(other);
	}
	free(again);
}

static void neither_input_nor_workspace_is_overrun(void **state)
{
	struct fixture *f = *state;
	struct guard gz, gin;
	uint8_t *in;

	/* The workspace is a whole number of pages, so both its ends are guarded. */
	guard_open(&gz, sizeof(struct canp_pqzstd));
	assert_int_equal(gz.bytes, sizeof(struct canp_pqzstd));
	((struct canp_pqzstd *)(void *)gz.mem)->level = 0;
	guard_open(&gin, 65537);
	in = guard_rear(&gin, 65537);
	fill(in, 65537, WALK);
	for (int level = CANP_PQZSTD_LEVEL_MIN; level <= CANP_PQZSTD_LEVEL_MAX; level++) {
		int64_t len = canp_pqzstd_page((void *)gz.mem, level, in, 65537, f->out,
					       canp_pqzstd_bound(65537));

		assert_int_equal(ZSTD_decompress(f->back, 65537, f->out, (size_t)len), 65537);
	}
	guard_close(&gz);
	guard_close(&gin);
}

static void bad_levels_and_small_outputs_are_refused(void **state)
{
	struct fixture *f = *state;

	fill(f->in, 5000, RANDOM);
	assert_int_equal(canp_pqzstd_page(f->z, 0, f->in, 5000, f->out, 6000), -EINVAL);
	assert_int_equal(canp_pqzstd_page(f->z, 10, f->in, 5000, f->out, 6000), -EINVAL);
	memset(f->out, 0x5a, 6000);
	assert_int_equal(canp_pqzstd_page(f->z, 3, f->in, 5000, f->out, 100), -ENOSPC);
	for (unsigned i = 100; i < 6000; i++)
		assert_int_equal(f->out[i], 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_level_reads_back, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_get_smaller, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_does_not_depend_on_earlier_ones, setup,
						teardown),
		cmocka_unit_test_setup_teardown(neither_input_nor_workspace_is_overrun, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bad_levels_and_small_outputs_are_refused, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
