/* t_pqenc.c - encodings decoded back by an independent reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "io/sink/pqenc.h"
#include "tests/lib/guard.h"
#include "tests/lib/pqgen.h"
#include "tests/lib/pqread.h"

static int setup(void **state)
{
	(void)state;
	return canp_simd_init(CANP_ISA_AUTO, getenv("CANP_CPU_DISABLE"));
}

static const uint32_t sizes[] = {1,   2,   7,   8,   9,   63,  64,  65,
				 127, 128, 129, 130, 255, 256, 257, 1000};

/* pattern 0: noise, 1: all equal, 2: short runs, 3: long runs, 4: one odd value in the middle */
static uint16_t pattern(struct pqgen_rng *r, unsigned kind, uint32_t i, uint32_t n, unsigned w)
{
	uint32_t mask = (1u << w) - 1;

	switch (kind) {
	case 0:
		return (uint16_t)(pqgen_u64(r) & mask);
	case 1:
		return (uint16_t)(3 & mask);
	case 2:
		return (uint16_t)((i / 5) & mask);
	case 3:
		return (uint16_t)((i / 100 * 7) & mask);
	default:
		return (uint16_t)(i == n / 2 ? mask : 1 & mask);
	}
}

static void check_hybrid(struct pqgen_rng *rng, unsigned w, uint32_t n, unsigned kind, bool chop)
{
	uint16_t v[1024 + 288] CANP_ALIGNED(64), part[288] CANP_ALIGNED(64), back[1024 + 64];
	uint8_t out[8192];
	uint64_t dec[1024];
	static uint8_t used[65536];
	uint32_t nr_used = 0, distinct = 0;
	struct canp_hybrid h = {0};
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++)
		v[i] = pattern(rng, kind, i, n, w);
	for (uint32_t i = 0; i < n;) {
		uint32_t k = chop ? 1 + pqgen_below(rng, 40) : 256;
		bool equal = true;

		k = k < n - i ? k : n - i;
		memcpy(part, v + i, k * 2);
		for (uint32_t j = 1; j < k; j++)
			equal &= part[j] == part[0];
		len += canp_hybrid_add(&h, part, k, w, equal, out + len);
		i += k;
	}
	len += canp_hybrid_finish(&h, w, out + len);
	assert_int_equal(pqread_hybrid(out, len, w, dec, n), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(dec[i], v[i]);
	if (w) {
		assert_int_equal(canp_hybrid_read(out, len, w, back, n), 0);
		assert_memory_equal(back, v, n * 2);
		memset(used, 0, sizeof(used));
		assert_int_equal(canp_hybrid_mark(out, len, w, n, used, &nr_used), 0);
		for (uint32_t i = 0; i < n; i++)
			used[v[i]] |= 2;
		for (uint32_t i = 0; i < 65536; i++) {
			assert_true(used[i] == 0 || used[i] == 3);
			distinct += used[i] != 0;
		}
		assert_int_equal(nr_used, distinct);
		/* too few bytes are noticed */
		assert_int_not_equal(canp_hybrid_read(out, len - 1, w, back, n), 0);
	}
}

/* Damaged streams in exactly their bytes: an answer or an error, never a touch of other memory. */
static void damaged_hybrids_never_leave_their_bytes(void **state)
{
	static uint8_t used[65536], out[16384];
	static uint16_t map[65536], back[2048 + 64];
	struct pqgen_rng rng = {11};
	struct guard g;
	unsigned bad = 0;

	(void)state;
	guard_open(&g, 4096);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned w = 1 + pqgen_below(&rng, 16);
		size_t len = pqgen_below(&rng, 200), n = pqgen_below(&rng, 2048);
		uint8_t *in = guard_rear(&g, len);
		uint32_t nr = 0;
		int rc;

		for (size_t i = 0; i < len; i++)
			in[i] = (uint8_t)(pqgen_u64(&rng) >> 24);
		rc = canp_hybrid_head(in, len, w, back, n);
		bad += rc != 0;
		for (size_t i = 0; !rc && i < n; i++)
			assert_true(back[i] >> w == 0);
		assert_int_equal(canp_hybrid_mark(in, len, w, n, used, &nr), rc);
		if (canp_hybrid_read(in, len, w, back, n) == 0)
			assert_int_equal(rc, 0);
		if (n * 9 / 4 + CANP_HYBRID_ROOM < sizeof(out)) {
			int64_t k = canp_hybrid_remap(in, len, w, n, map, 0, 16, out);

			assert_int_equal(k < 0, rc != 0);
			assert_true(k <= (int64_t)(n * 9 / 4 + 32));
		}
	}
	assert_true(bad > 100 && bad < 20000);
	guard_close(&g);
}

/* Through a map and back, and by a base: the values are those of the input. */
static void remapped_hybrids_hold_the_mapped_values(void **state)
{
	static uint16_t map[65536];
	struct pqgen_rng rng = {13};
	uint16_t v[1024 + 288], part[288];
	uint8_t in[8192], out[8192];
	uint64_t dec[1024];

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		unsigned w = 1 + pqgen_below(&rng, 16), kind = pqgen_below(&rng, 5);
		unsigned to_w = w + pqgen_below(&rng, 17 - w);
		uint32_t n = 1 + pqgen_below(&rng, 1000), mask = (1u << w) - 1;
		uint16_t base = 0;
		struct canp_hybrid h = {0};
		size_t len = 0;
		int64_t k;

		for (uint32_t i = 0; i <= mask; i++)
			map[i] = (uint16_t)(i * 40503u & mask);
		for (uint32_t i = 0; i < n; i++) {
			v[i] = pattern(&rng, kind, i, n, w);
			base = i && base < v[i] ? base : v[i];
		}
		for (uint32_t i = 0; i < n; i += 256) {
			uint32_t c = n - i < 256 ? n - i : 256;
			bool equal = true;

			memcpy(part, v + i, c * 2);
			for (uint32_t j = 1; j < c; j++)
				equal &= part[j] == part[0];
			len += canp_hybrid_add(&h, part, c, w, equal, in + len);
		}
		len += canp_hybrid_finish(&h, w, in + len);
		k = canp_hybrid_remap(in, len, w, n, map, 0, to_w, out);
		assert_int_equal(pqread_hybrid(out, (size_t)k, to_w, dec, n), 0);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(dec[i], map[v[i]]);
		k = canp_hybrid_remap(in, len, w, n, NULL, base, to_w, out);
		assert_int_equal(pqread_hybrid(out, (size_t)k, to_w, dec, n), 0);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(dec[i], v[i] - base);
	}
}

static void hybrid_decodes_to_its_input(void **state)
{
	struct pqgen_rng rng = {7};

	(void)state;
	for (unsigned w = 0; w <= 16; w++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			for (unsigned kind = 0; kind < 5; kind++) {
				check_hybrid(&rng, w, sizes[s], kind, false);
				check_hybrid(&rng, w, sizes[s], kind, true);
			}
		}
	}
}

static void hybrid_matches_the_worked_bytes(void **state)
{
	uint16_t v[288] = {0, 1, 2, 3, 4, 5, 6, 7}, idx[288] = {0, 1, 2, 2, 1, 0, 2};
	struct canp_hybrid h = {0};
	uint8_t out[CANP_HYBRID_ROOM];
	size_t n;

	(void)state;
	n = canp_hybrid_add(&h, v, 8, 3, false, out);
	n += canp_hybrid_finish(&h, 3, out + n);
	assert_int_equal(n, 4);
	assert_memory_equal(out, "\x03\x88\xc6\xfa", 4);
	memset(&h, 0, sizeof(h));
	n = canp_hybrid_add(&h, idx, 7, 2, false, out);
	n += canp_hybrid_finish(&h, 2, out + n);
	assert_int_equal(n, 3);
	assert_memory_equal(out, "\x03\xa4\x21", 3);
	memset(&h, 0, sizeof(h));
	n = canp_hybrid_repeat(&h, 3, 500, 12, out);
	n += canp_hybrid_finish(&h, 12, out + n);
	assert_int_equal(n, 4);
	assert_memory_equal(out, "\xe8\x07\x03\x00", 4);
}

static void equal_chunks_merge_into_one_run(void **state)
{
	struct canp_hybrid h = {0};
	uint16_t v[288];
	uint8_t out[CANP_HYBRID_ROOM];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 288; i++)
		v[i] = 9;
	for (unsigned i = 0; i < 128; i++)
		n += canp_hybrid_add(&h, v, 256, 8, true, out + n);
	n += canp_hybrid_finish(&h, 8, out + n);
	assert_int_equal(n, 4); /* 32,768 << 1 takes three bytes, the value one */
}

/* The bytes do not depend on the portions; direction and bounds are those of the values. */
static void check_delta_portions(const struct canp_delta *d, const int64_t *v, uint32_t n,
				 const uint8_t *want, size_t want_len)
{
	struct canp_delta e = {.is32 = d->is32, .bounds = true};
	uint8_t *out = malloc((n / 128u + 3) * CANP_DELTA_ROOM);
	struct pqgen_rng rng = {n};
	bool back = false;
	size_t len = 0;

	for (uint32_t i = 0, k; i < n; i += k) {
		k = pqgen_below(&rng, 257);
		k = k < n - i ? k : n - i;
		len += canp_delta_add(&e, v + i, k, out + len);
	}
	len += canp_delta_finish(&e, out + len);
	assert_int_equal(len, want_len);
	assert_memory_equal(out, want, len);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(d->min <= v[i] && v[i] <= d->max);
		assert_true(e.min <= v[i] && v[i] <= e.max);
		back |= i && v[i] < v[i - 1];
	}
	if (n) {
		assert_true(d->back == back && e.back == back);
		assert_true(d->first == v[0] && d->last == v[n - 1]);
		assert_true(d->min == e.min && d->max == e.max);
	}
	free(out);
}

static void check_delta(const int64_t *v, uint32_t n, bool is32)
{
	struct canp_delta d = {.is32 = is32, .bounds = true};
	size_t cap = CANP_DELTA_HEAD + (n / 128u + 3) * CANP_DELTA_ROOM, len = 0;
	uint8_t *out = malloc(cap), head[CANP_DELTA_HEAD];
	uint64_t *dec = malloc((n + 1) * 8);
	size_t hn;

	for (uint32_t i = 0; i < n; i += 256)
		len += canp_delta_add(&d, v + i, n - i < 256 ? n - i : 256,
				      out + CANP_DELTA_HEAD + len);
	len += canp_delta_finish(&d, out + CANP_DELTA_HEAD + len);
	hn = canp_delta_head(&d, head);
	memcpy(out + CANP_DELTA_HEAD - hn, head, hn);
	assert_int_equal(pqread_delta(out + CANP_DELTA_HEAD - hn, len + hn, is32, dec, n), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_true(dec[i] == (is32 ? (uint32_t)v[i] : (uint64_t)v[i]));
	check_delta_portions(&d, v, n, out + CANP_DELTA_HEAD, len);
	free(out);
	free(dec);
}

static void delta_decodes_to_its_input(void **state)
{
	struct pqgen_rng rng = {11};
	int64_t v[1100];

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (unsigned kind = 0; kind < 6; kind++) {
			for (uint32_t i = 0; i < sizes[s]; i++) {
				uint64_t r = pqgen_u64(&rng);

				v[i] = kind == 0   ? (int64_t)r
				       : kind == 1 ? 42
				       : kind == 2 ? (int64_t)i * 10000 + (int64_t)(r % 2000)
				       : kind == 3 ? (r & 1 ? INT64_MAX : INT64_MIN)
				       : kind == 4 ? -(int64_t)i
						   : (int64_t)(r >> (r % 64));
			}
			check_delta(v, sizes[s], false);
			for (uint32_t i = 0; i < sizes[s]; i++)
				v[i] = (int32_t)v[i];
			if (sizes[s] > 3) {
				v[1] = INT32_MIN;
				v[2] = INT32_MAX;
			}
			check_delta(v, sizes[s], true);
		}
	}
	check_delta(v, 0, false);
}

static void delta_matches_the_worked_bytes(void **state)
{
	struct canp_delta d = {0};
	int64_t v[10];
	uint8_t out[CANP_DELTA_ROOM], head[CANP_DELTA_HEAD];
	size_t n;

	(void)state;
	for (int i = 0; i < 10; i++)
		v[i] = 1700000000000000 + i * 10000 + (i == 9) * 7;
	n = canp_delta_add(&d, v, 10, out);
	n += canp_delta_finish(&d, out + n);
	assert_int_equal(canp_delta_head(&d, head), 12);
	assert_memory_equal(head, "\x80\x01\x04\x0a\x80\x80\xf2\x81\x83\x89\x85\x06", 12);
	assert_int_equal(n, 19);
	assert_memory_equal(out, "\xa0\x9c\x01\x03\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0", 19);
}

static void levels_decode_to_the_bitmap(void **state)
{
	struct pqgen_rng rng = {3};

	(void)state;
	for (uint32_t rows = 1; rows < 700; rows += 1 + rows / 40) {
		for (unsigned kind = 0; kind < 5; kind++) {
			uint8_t bits[128] = {0}, out[256];
			uint64_t dec[704];
			size_t n;

			for (uint32_t i = 0; i < rows; i++) {
				bool b = kind == 0   ? pqgen_u64(&rng) & 1
					 : kind == 1 ? true
					 : kind == 2 ? false
					 : kind == 3 ? i & 1
						     : (i / 96) & 1;

				bits[i / 8] |= (uint8_t)(b << (i % 8));
			}
			if (rows % 8) /* bits behind the last row must not matter */
				bits[rows / 8] |= (uint8_t)(0xff << (rows % 8));
			n = canp_pq_levels(bits, rows, out);
			assert_true(n <= rows / 8 + 32);
			assert_int_equal(pqread_hybrid(out, n, 1, dec, rows), 0);
			for (uint32_t i = 0; i < rows; i++)
				assert_int_equal(dec[i], bits[i / 8] >> (i % 8) & 1);
		}
	}
}

static void uniform_levels_are_one_run(void **state)
{
	uint8_t out[16];

	(void)state;
	assert_int_equal(canp_pq_levels_same(1, 500, out), 3);
	assert_memory_equal(out, "\xe8\x07\x01", 3);
	assert_int_equal(canp_pq_levels_same(0, 0, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hybrid_decodes_to_its_input),
		cmocka_unit_test(damaged_hybrids_never_leave_their_bytes),
		cmocka_unit_test(remapped_hybrids_hold_the_mapped_values),
		cmocka_unit_test(hybrid_matches_the_worked_bytes),
		cmocka_unit_test(equal_chunks_merge_into_one_run),
		cmocka_unit_test(delta_decodes_to_its_input),
		cmocka_unit_test(delta_matches_the_worked_bytes),
		cmocka_unit_test(levels_decode_to_the_bitmap),
		cmocka_unit_test(uniform_levels_are_one_run),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
