/*
 * t_unit.c - the cut of the listing into units and the device name table.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/devices.h"
#include "io/sink/partition.h"
#include "core/base/compiler.h"
#include "io/unit.h"

struct listing {
	const uint64_t *sizes;
	char name[32];
};

static struct canp_unit_file file_of(void *arg, uint32_t i)
{
	struct listing *l = arg;

	snprintf(l->name, sizeof(l->name), "dir/file%05u.canp", i);
	return (struct canp_unit_file){.path = l->name, .size = l->sizes[i]};
}

static void units_cover_every_file_once_in_order(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 200; seed++) {
		uint64_t sizes[300];
		struct listing l = {.sizes = sizes};
		struct canp_units u;
		uint32_t nr = seed % 300, next = 0;
		uint64_t sum = 0;

		srandom(seed);
		for (uint32_t i = 0; i < nr; i++)
			sizes[i] = (uint64_t)random() % (seed % 3 ? 3 << 20 : 300 << 20);
		assert_int_equal(canp_units_build(nr, file_of, &l, 0, &u), 0);
		assert_in_range(u.target, CANP_UNIT_TARGET_MIN, CANP_UNIT_TARGET_MAX);
		for (uint32_t i = 0; i < u.nr; i++) {
			uint64_t bytes = 0;

			assert_int_equal(u.units[i].first_file, next);
			assert_true(u.units[i].nr_files > 0);
			for (uint32_t k = 0; k < u.units[i].nr_files; k++)
				bytes += sizes[next + k];
			assert_int_equal(bytes, u.units[i].bytes);
			/* Above the target only when it is one file alone. */
			assert_true(bytes <= u.target || u.units[i].nr_files == 1);
			next += u.units[i].nr_files;
			sum += bytes;
		}
		assert_int_equal(next, nr);
		assert_int_equal(sum, u.bytes);
		canp_units_fini(&u);
	}
}

static void a_forced_target_is_obeyed(void **state)
{
	uint64_t sizes[] = {10, 10, 10, 25, 5, 5};
	struct listing l = {.sizes = sizes};
	struct canp_units u;

	(void)state;
	assert_int_equal(canp_units_build(6, file_of, &l, 20, &u), 0);
	assert_int_equal(u.nr, 4);
	assert_int_equal(u.units[0].nr_files, 2);
	assert_int_equal(u.units[1].nr_files, 1);
	assert_int_equal(u.units[2].bytes, 25);
	assert_int_equal(u.units[3].nr_files, 2);
	canp_units_fini(&u);
}

static void homes_follow_the_hash_and_no_shard_runs_ahead(void **state)
{
	uint64_t sizes[241];
	uint32_t homes[241], by_hash = 0;
	struct listing l = {.sizes = sizes};
	struct canp_units u;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++)
		sizes[i] = 15u << 20;
	assert_int_equal(canp_units_build(241, file_of, &l, 0, &u), 0);
	assert_int_equal(u.nr, 241);
	for (unsigned shards = 1; shards <= 16; shards++) {
		canp_units_route(&u, shards, homes);
		for (uint32_t from = 0; from + shards <= u.nr; from += shards) {
			uint32_t seen = 0;

			for (unsigned k = 0; k < shards; k++)
				seen |= 1u << homes[from + k];
			assert_int_equal(seen, (1u << shards) - 1);
			/* The first of a group has its choice. */
			assert_int_equal(homes[from], u.units[from].home_hash % shards);
		}
	}
	for (unsigned i = 0; i < u.nr; i++)
		by_hash += homes[i] == u.units[i].home_hash % 16;
	assert_in_range(by_hash, u.nr / 3, u.nr - 1);
	canp_units_fini(&u);
}

static void device_names_are_unique_and_bounded(void **state)
{
	struct canp_devices *d;
	char long_name[500];
	uint32_t a, b;

	(void)state;
	assert_int_equal(canp_devices_create(&d), 0);
	assert_string_equal(canp_devices_name(d, 0), "");
	a = canp_devices_add(d, "truck 1", 7);
	assert_int_equal(a, 1);
	assert_int_equal(canp_devices_add(d, "truck 1", 7), a);
	memset(long_name, 'x', sizeof(long_name));
	b = canp_devices_add(d, long_name, sizeof(long_name));
	assert_int_equal(strlen(canp_devices_name(d, b)), CANP_DEVICE_NAME_MAX);
	assert_string_equal(canp_devices_name(d, 9999), "");
	for (unsigned i = 0; i < CANP_DEVICES_MAX + 10; i++) {
		char n[16];
		uint32_t idx;

		snprintf(n, sizeof(n), "d%u", i);
		idx = canp_devices_add(d, n, strlen(n));
		assert_true(idx < CANP_DEVICES_MAX);
	}
	assert_int_equal(canp_devices_count(d), CANP_DEVICES_MAX);
	canp_devices_destroy(d);
}

static void *add_names(void *arg)
{
	struct canp_devices *d = arg;

	for (unsigned i = 0; i < 2000; i++) {
		char n[16];
		uint32_t idx;

		snprintf(n, sizeof(n), "dev%u", i);
		idx = canp_devices_add(d, n, strlen(n));
		if (strcmp(canp_devices_name(d, idx), n))
			return d;
	}
	return NULL;
}

static void device_names_from_two_threads_agree(void **state)
{
	struct canp_devices *d;
	pthread_t t[2];
	void *res;

	(void)state;
	assert_int_equal(canp_devices_create(&d), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, add_names, d), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &res);
		assert_null(res);
	}
	assert_int_equal(canp_devices_count(d), 2001);
	canp_devices_destroy(d);
}

static void part_names_hide_the_temporary_from_globs(void **state)
{
	char name[CANP_PART_NAME_MAX], temp[CANP_PART_NAME_MAX];

	(void)state;
	canp_partition_part_name(name, 7, "parquet");
	canp_partition_temp_name(temp, 7, "parquet");
	assert_string_equal(name, "part-00007.parquet");
	assert_string_equal(temp, ".part-00007.parquet.tmp");
	/* The routing is part of the dataset: these values may not change. */
	assert_int_equal(canp_partition_writer("EEC1"), canp_partition_writer("EEC1"));
	assert_true(canp_partition_writer("canp_events") < CANP_WRITERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_cover_every_file_once_in_order),
		cmocka_unit_test(a_forced_target_is_obeyed),
		cmocka_unit_test(homes_follow_the_hash_and_no_shard_runs_ahead),
		cmocka_unit_test(device_names_are_unique_and_bounded),
		cmocka_unit_test(device_names_from_two_threads_agree),
		cmocka_unit_test(part_names_hide_the_temporary_from_globs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
