/*
 * t_mem.c - the blocks of the memory pool on one thread: classes, references, batches, reuse. See
 * t_mem_stats.c for configurations and figures, t_mem_limit.c for the limit and t_mem_threads.c for
 * threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "numa/mem.h"
#include "tests/lib/mem_help.h"

/* ---- calls of the allocator and of mmap, counted where no sanitizer does the same ---- */

static volatile bool counting;
static volatile unsigned calls;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t a, size_t b);

void *malloc(size_t n)
{
	calls += counting;
	return __libc_malloc(n);
}

void *calloc(size_t a, size_t b)
{
	calls += counting;
	return __libc_calloc(a, b);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	calls += counting;
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
}
#define CAN_COUNT 1
#else
#define CAN_COUNT 0
#endif

static void A01_every_size_gets_the_smallest_class_that_holds_it(void **state)
{
	struct canp_mem *m = mem_of(&usual);
	const struct canp_mem_opts *o = canp_mem_opts_of(m);
	struct canp_mem_stats st;

	(void)state;
	canp_mem_stats(m, &st);
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		unsigned c = 0, n = o->nr_classes[t];
		size_t max = o->classes[t][n - 1];

		assert_int_equal(st.tier[t].nr_classes, n);
		for (size_t size = 1; size <= max + 1; size++) {
			struct canp_block *b = get(m, t, size);

			while (c < n && o->classes[t][c] < size)
				c++;
			assert_int_equal(canp_block_capacity(b),
					 c < n ? o->classes[t][c] : 2 * max);
			assert_int_equal(canp_mem_release(m, b), 0);
		}
		for (c = 0; c < n; c++)
			assert_int_equal(st.tier[t].cls[c].bytes, o->classes[t][c]);
	}
	canp_mem_destroy(m);
}

static void classes_are(enum canp_mem_tier t, const uint32_t *want, unsigned n)
{
	struct canp_mem *m = mem_of(NULL);
	const struct canp_mem_opts *o = canp_mem_opts_of(m);

	assert_int_equal(o->nr_classes[t], n);
	assert_memory_equal(o->classes[t], want, n * sizeof(*want));
	for (unsigned i = 0; i + 1 < n; i++) {
		struct canp_block *b = get(m, t, want[i] + 1);

		assert_int_equal(canp_block_capacity(b), want[i + 1]);
		canp_mem_release(m, b);
	}
	canp_mem_destroy(m);
}

static void A02_block_tier_has_its_default_classes(void **state)
{
	static const uint32_t want[] = {512, 1024, 2048, 4096, 8192};

	(void)state;
	classes_are(CANP_MEM_BLOCK, want, 5);
}

static void A03_decompress_tier_has_its_default_classes(void **state)
{
	static const uint32_t want[] = {1024, 2048, 4096, 8192, 16384};

	(void)state;
	classes_are(CANP_MEM_DECOMPRESS, want, 5);
}

static void A04_frame_tier_has_its_default_classes(void **state)
{
	static const uint32_t want[] = {256, 512, 1024, 2048, 4096};

	(void)state;
	classes_are(CANP_MEM_FRAME, want, 5);
}

/* Magazine (64) and one depot shard keep what they may, the rest goes back to the arena. */
static void A05_free_blocks_beyond_the_depot_go_back_to_the_arena(void **state)
{
	static const uint32_t shards[] = {64, 32, 64}, capacity[] = {1024, 256, 512};
	enum { EXTRA = 100 };
	struct canp_mem *m = mem_of(NULL);
	const struct canp_mem_opts *o = canp_mem_opts_of(m);
	struct canp_mem_stats st;
	uint64_t full = 0;

	(void)state;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		struct canp_block *b[1024 + 64 + EXTRA];
		unsigned n = capacity[t] + 64 + EXTRA;

		assert_int_equal(o->depot_shards[t], shards[t]);
		assert_int_equal(o->depot_capacity[t], capacity[t]);
		for (unsigned i = 0; i < n; i++)
			b[i] = get(m, t, 1);
		canp_mem_stats(m, &st);
		assert_int_equal(st.depot_full, full);
		for (unsigned i = 0; i < n; i++)
			canp_mem_release(m, b[i]);
		canp_mem_stats(m, &st);
		/* What moves is half a magazine at a time, in both directions. */
		assert_in_range(st.depot_full - full, EXTRA - 33, EXTRA + 33 + 32);
		full = st.depot_full;
	}
	canp_mem_destroy(m);
}

static void A06_requests_above_the_classes_are_served(void **state)
{
	static const size_t sizes[] = {256 * CANP_KIB, 512 * CANP_KIB, CANP_MIB, 16 * CANP_MIB,
				       3 * CANP_MIB + 1};
	struct canp_mem *m = mem_of(&usual);
	struct canp_block *b[CANP_ARRAY_SIZE(sizes)];
	struct canp_mem_stats st;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		b[i] = get(m, (enum canp_mem_tier)(i % 3), sizes[i]);
		assert_true(canp_block_capacity(b[i]) >= sizes[i]);
		memset(canp_block_data(b[i]), (int)i, sizes[i]);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.large_allocs, CANP_ARRAY_SIZE(sizes));
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		const uint8_t *p = canp_block_data(b[i]);

		assert_int_equal(p[0], i);
		assert_int_equal(p[sizes[i] - 1], i);
		assert_int_equal(canp_mem_release(m, b[i]), 0);
		assert_int_equal(canp_mem_release(m, b[i]), -EINVAL);
	}
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

static void A07_a_block_tells_data_length_and_age(void **state)
{
	struct canp_mem *m = mem_of(&usual);
	uint64_t last = 0, now = canp_clock_ns();

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct canp_block *b = get(m, CANP_MEM_BLOCK, 100);

		assert_non_null(canp_block_data(b));
		canp_block_set_len(b, i);
		assert_int_equal(canp_block_len(b), i);
		assert_true(canp_block_created_ns(b) >= last);
		last = canp_block_created_ns(b);
		canp_mem_release(m, b);
	}
	assert_true(last + (uint64_t)CANP_NS_PER_S > now); /* the coarse clock lags some ms */
	assert_true(last <= canp_clock_ns());
	canp_mem_port_now(canp_mem_port_get(m), last + 5);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 100);

	assert_int_equal(canp_block_created_ns(b), last + 5);
	canp_mem_release(m, b);
	canp_mem_destroy(m);
}

static void A08_fresh_and_recycled_blocks_are_empty(void **state)
{
	struct canp_mem *m = mem_of(&usual);
	struct canp_block *b = get(m, CANP_MEM_FRAME, 77), *again;

	(void)state;
	assert_int_equal(canp_block_len(b), 0);
	assert_true(canp_block_empty(b));
	canp_block_set_len(b, 77);
	assert_false(canp_block_empty(b));
	canp_mem_release(m, b);
	again = get(m, CANP_MEM_FRAME, 77);
	assert_ptr_equal(again, b); /* what was freed last comes first: it is in the cache */
	assert_int_equal(canp_block_len(again), 0);
	assert_true(canp_block_empty(again));
	canp_mem_release(m, again);
	canp_mem_destroy(m);
}

static void A09_span_is_the_data_itself(void **state)
{
	struct canp_mem *m = mem_of(&usual);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 600);
	size_t len = 0;
	const char *span;

	(void)state;
	memcpy(canp_block_data(b), "zero copy", 10);
	canp_block_set_len(b, 10);
	span = canp_block_span(b, &len);
	assert_ptr_equal(span, canp_block_data(b));
	assert_int_equal(len, 10);
	((char *)canp_block_data(b))[0] = 'Z';
	assert_string_equal(span, "Zero copy");
	canp_mem_release(m, b);
	canp_mem_destroy(m);
}

static void A11_a_reference_is_the_same_block(void **state)
{
	struct canp_mem *m = mem_of(&usual);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 512);

	(void)state;
	assert_ptr_equal(canp_block_ref(b), b);
	assert_int_equal(usage(m), 512);
	assert_int_equal(canp_mem_release(m, b), 0);
	assert_int_equal(usage(m), 512);
	assert_int_equal(canp_mem_release(m, b), 0);
	assert_int_equal(usage(m), 0);
	assert_int_equal(canp_mem_release(m, b), -EINVAL);
	canp_mem_destroy(m);
}

static void A12_alloc_says_what_is_wrong(void **state)
{
	struct canp_mem_opts o = usual;
	struct canp_block *b = (void *)0x1, *keep;
	struct canp_mem *m;

	(void)state;
	o.max_total_memory = 64 * CANP_KIB;
	m = mem_of(&o);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 0, &b), -EINVAL);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_NR_TIERS, 1, &b), -EINVAL);
	assert_int_equal(canp_mem_alloc(m, (enum canp_mem_tier)77, 1, &b), -EINVAL);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 64 * CANP_KIB + 1, &b), -E2BIG);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, SIZE_MAX, &b), -E2BIG);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, SIZE_MAX / 2 + 2, &b), -E2BIG);
	keep = get(m, CANP_MEM_BLOCK, 64 * CANP_KIB);
	assert_int_equal(canp_mem_alloc(m, CANP_MEM_BLOCK, 1, &b), -ENOMEM);
	assert_ptr_equal(b, (void *)0x1);
	canp_mem_release(m, keep);
	canp_mem_destroy(m);
}

static void A13_double_and_foreign_release_are_refused(void **state)
{
	struct canp_mem *m = mem_of(&usual), *other = mem_of(&usual);
	struct canp_block *b = get(m, CANP_MEM_BLOCK, 1000), *theirs, *big;
	struct canp_mem_stats st;
	uint8_t *data = canp_block_data(b);
	uint64_t seed = 5;
	int local = 0;

	(void)state;
	theirs = get(other, CANP_MEM_BLOCK, 1000);
	big = get(m, CANP_MEM_BLOCK, CANP_MIB);
	assert_int_equal(canp_mem_release(m, theirs), -EINVAL);
	assert_int_equal(canp_mem_release(m, NULL), -EINVAL);
	assert_int_equal(canp_mem_release(m, (void *)&local), -EINVAL);
	assert_int_equal(canp_mem_release(m, (void *)get), -EINVAL);
	assert_int_equal(canp_mem_release(m, (void *)(UINTPTR_MAX - 7)), -EINVAL);
	assert_int_equal(canp_mem_release(m, canp_block_data(big)), -EINVAL);
	/* All that looks like a header inside of our own memory: bytes of data, blocks never made.
	 */
	memset(data, 1, 1000);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t *at = (uint8_t *)b + canp_hash_mix(seed++) % (8 * CANP_MIB);

		if ((void *)at != (void *)b)
			assert_int_equal(canp_mem_release(m, (void *)at), -EINVAL);
		at = (uint8_t *)big + canp_hash_mix(seed++) % (64 * CANP_KIB);
		if ((void *)at != (void *)big)
			assert_int_equal(canp_mem_release(m, (void *)at), -EINVAL);
	}
	assert_int_equal(canp_mem_release(m, b), 0);
	assert_int_equal(canp_mem_release(m, b), -EINVAL);
	assert_int_equal(canp_mem_release(m, b), -EINVAL);
	assert_int_equal(canp_mem_release(m, big), 0);
	assert_int_equal(canp_mem_release(m, big), -EINVAL);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_deallocations, 2);
	assert_int_equal(st.blocks_live, 0);
	canp_mem_release(other, theirs);
	canp_mem_destroy(other);
	canp_mem_destroy(m);
}

static void A14_a_batch_gets_each_its_class(void **state)
{
	static const size_t sizes[] = {100, 1024, 5000};
	struct canp_mem *m = mem_of(&usual);
	struct canp_block *b[3];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 3, b), 0);
		assert_int_equal(canp_block_capacity(b[0]), 512);
		assert_int_equal(canp_block_capacity(b[1]), 1024);
		assert_int_equal(canp_block_capacity(b[2]), 8192);
		assert_int_equal(usage(m), 512 + 1024 + 8192);
		assert_int_equal(canp_mem_release_batch(m, b, 3), 0);
	}
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, 0, b), -EINVAL);
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_BLOCK, sizes, CANP_MEM_BATCH_MAX + 1, b),
			 -EINVAL);
	canp_mem_destroy(m);
}

static void A15_a_batch_is_released_and_counted(void **state)
{
	size_t sizes[CANP_MEM_BATCH_MAX];
	struct canp_block *b[CANP_MEM_BATCH_MAX];
	struct canp_mem *m = mem_of(&usual);
	struct canp_mem_stats st;

	(void)state;
	for (unsigned i = 0; i < CANP_MEM_BATCH_MAX; i++)
		sizes[i] = 1 + i * 70;
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_DECOMPRESS, sizes, CANP_MEM_BATCH_MAX, b),
			 0);
	assert_int_equal(canp_mem_release_batch(m, b, CANP_MEM_BATCH_MAX), 0);
	canp_mem_stats(m, &st);
	assert_int_equal(st.total_deallocations, CANP_MEM_BATCH_MAX);
	assert_int_equal(st.current_memory_usage, 0);
	/* A bad one among them: the others are released all the same. */
	assert_int_equal(canp_mem_alloc_batch(m, CANP_MEM_DECOMPRESS, sizes, 3, b), 0);
	b[3] = b[1];
	assert_int_equal(canp_mem_release_batch(m, b, 4), -EINVAL);
	assert_int_equal(usage(m), 0);
	canp_mem_destroy(m);
}

static void A20_a_warm_pool_asks_the_system_for_nothing(void **state)
{
	enum { HELD = 50 };
	struct canp_mem *m = mem_of(&usual);
	struct canp_block *b[HELD] = {0};
	struct canp_mem_stats before, after;
	uint64_t seed = 1;

	(void)state;
	/* The same walk twice: the first time warms the pool. */
	for (unsigned pass = 0; pass < 2; pass++) {
		seed = 1;
		canp_mem_stats(m, pass ? &before : &after);
		calls = 0;
		counting = pass == 1;
		for (unsigned i = 0; i < 1000000; i++) {
			uint64_t r = canp_hash_mix(seed++);
			unsigned k = (unsigned)(r % HELD);

			if (b[k])
				canp_mem_release(m, b[k]);
			if (canp_mem_alloc(m, (enum canp_mem_tier)(r >> 8) % 3,
					   1 + (r >> 16) % 20000, &b[k]))
				abort();
		}
		counting = false;
		for (unsigned i = 0; i < HELD; i++) {
			canp_mem_release(m, b[i]);
			b[i] = NULL;
		}
	}
	canp_mem_stats(m, &after);
	if (CAN_COUNT)
		assert_int_equal(calls, 0);
	assert_int_equal(after.arena_bytes, before.arena_bytes);
	assert_int_equal(after.total_allocations, 2000000);
	assert_true(after.block_pool_hit_rate > 0.999);
	canp_mem_destroy(m);
}

static void A40_data_is_aligned(void **state)
{
	struct canp_mem *m = mem_of(NULL);

	(void)state;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		for (size_t size = 1; size <= 32 * CANP_MIB; size = size * 3 / 2 + 1) {
			struct canp_block *b[3];

			for (unsigned i = 0; i < 3; i++) {
				size_t align = 64, cap;

				b[i] = get(m, t, size);
				cap = canp_block_capacity(b[i]);
				if (cap >= 64 * CANP_KIB)
					align = canp_min(cap, (size_t)(2 * CANP_MIB));
				assert_int_equal((uintptr_t)canp_block_data(b[i]) % align, 0);
			}
			canp_mem_release_batch(m, b, 3);
		}
	}
	canp_mem_destroy(m);
}

static void A41_memory_is_on_the_node_of_the_thread(void **state)
{
	unsigned cpu = 0, node = 0;
	struct canp_mem *m;
	struct canp_block *b;
	int is = -1;

	(void)state;
	assert_int_equal(syscall(SYS_getcpu, &cpu, &node, NULL), 0);
	for (int want = -1; want <= 0; want++) {
		struct canp_mem_opts o = {.node = want};

		m = mem_of(&o);
		b = get(m, CANP_MEM_BLOCK, 4 * CANP_MIB);
		memset(canp_block_data(b), 1, 4 * CANP_MIB);
		for (size_t at = 0; at < 4 * CANP_MIB; at += 4096) {
			if (syscall(SYS_get_mempolicy, &is, NULL, 0,
				    (uint8_t *)canp_block_data(b) + at,
				    MPOL_F_NODE | MPOL_F_ADDR)) {
				print_message("SKIP: get_mempolicy refused\n");
				break;
			}
			assert_int_equal(is, want < 0 ? (int)node : want);
		}
		canp_mem_release(m, b);
		canp_mem_destroy(m);
	}
}

/* Memory that one class no longer needs serves the others: 40 times the limit in turns. */
static void slabs_move_between_classes(void **state)
{
	struct canp_mem_opts o = usual;
	struct canp_block *b[4096];
	struct canp_mem_stats st;
	struct canp_mem *m;

	(void)state;
	o.max_total_memory = 8 * CANP_MIB;
	m = mem_of(&o);
	for (unsigned round = 0; round < 40; round++) {
		size_t size = (size_t)256 << (round * 7 % 16);
		unsigned n = (unsigned)(7 * CANP_MIB / size);

		n = n > 4096 ? 4096 : n ? n : 1;
		for (unsigned i = 0; i < n; i++) {
			b[i] = get(m, CANP_MEM_FRAME, size);
			memset(canp_block_data(b[i]), (int)i, size);
		}
		canp_mem_release_batch(m, b, n);
	}
	canp_mem_stats(m, &st);
	assert_int_equal(st.current_memory_usage, 0);
	assert_true(st.arena_bytes <= 64 * CANP_MIB);
	canp_mem_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A01_every_size_gets_the_smallest_class_that_holds_it),
		cmocka_unit_test(A02_block_tier_has_its_default_classes),
		cmocka_unit_test(A03_decompress_tier_has_its_default_classes),
		cmocka_unit_test(A04_frame_tier_has_its_default_classes),
		cmocka_unit_test(A05_free_blocks_beyond_the_depot_go_back_to_the_arena),
		cmocka_unit_test(A06_requests_above_the_classes_are_served),
		cmocka_unit_test(A07_a_block_tells_data_length_and_age),
		cmocka_unit_test(A08_fresh_and_recycled_blocks_are_empty),
		cmocka_unit_test(A09_span_is_the_data_itself),
		cmocka_unit_test(A11_a_reference_is_the_same_block),
		cmocka_unit_test(A12_alloc_says_what_is_wrong),
		cmocka_unit_test(A13_double_and_foreign_release_are_refused),
		cmocka_unit_test(A14_a_batch_gets_each_its_class),
		cmocka_unit_test(A15_a_batch_is_released_and_counted),
		cmocka_unit_test(A20_a_warm_pool_asks_the_system_for_nothing),
		cmocka_unit_test(A40_data_is_aligned),
		cmocka_unit_test(A41_memory_is_on_the_node_of_the_thread),
		cmocka_unit_test(slabs_move_between_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
