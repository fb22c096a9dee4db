/*
 * t_profile.c - the hardware profiles: machines at and beside every bound, and what is counted on
 * the machine at hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numa/host.h"
#include "numa/profile.h"
#include "numa/topology.h"

#define GB 1000000000ull

static void C31_a_machine_gets_the_highest_profile_it_meets(void **state)
{
	static const struct {
		unsigned cores, sockets;
		uint64_t gb;
		enum canp_hw_profile want;
	} c[] = {
		{2, 1, 16, CANP_HW_BELOW},     {15, 1, 64, CANP_HW_BELOW},
		{16, 1, 57, CANP_HW_BELOW},    {16, 1, 64, CANP_HW_MIN},
		{16, 1, 60, CANP_HW_MIN},      {16, 2, 1024, CANP_HW_MIN},
		{31, 1, 128, CANP_HW_MIN},     {32, 1, 100, CANP_HW_MIN},
		{32, 1, 128, CANP_HW_REC},     {48, 2, 512, CANP_HW_REC},
		{64, 1, 512, CANP_HW_REC},     {64, 2, 400, CANP_HW_REC},
		{64, 2, 512, CANP_HW_EXTREME}, {128, 2, 480, CANP_HW_EXTREME},
		{0, 0, 0, CANP_HW_BELOW},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct canp_hw_facts f = {
			.cores = c[i].cores, .sockets = c[i].sockets, .mem_bytes = c[i].gb * GB};

		assert_int_equal(canp_hw_profile(&f), c[i].want);
	}
	assert_null(canp_hw_profile_config(CANP_HW_BELOW));
}

/* The three configurations exist under the names that are told. */
static void C31_every_profile_has_its_configuration(void **state)
{
	char path[128];

	(void)state;
	for (int p = CANP_HW_MIN; p <= CANP_HW_EXTREME; p++) {
		snprintf(path, sizeof(path), "kconfig/configs/%s",
			 canp_hw_profile_config((enum canp_hw_profile)p));
		if (access("kconfig/configs", R_OK))
			skip();
		assert_int_equal(access(path, R_OK), 0);
	}
}

static void C31_cores_and_sockets_of_this_machine_are_counted(void **state)
{
	struct canp_topology *t = calloc(1, sizeof(*t));
	struct canp_host_facts *h = calloc(1, sizeof(*h));
	struct canp_hw_facts f;

	(void)state;
	assert_int_equal(canp_topology_read("", t), 0);
	canp_host_facts("", h);
	canp_hw_facts("", t, h->mem_total, &f);
	assert_int_equal(f.cores, t->nr_cores);
	assert_in_range(f.sockets, 1, t->nr_cpus);
	assert_true(f.mem_bytes > GB / 10);
	/* Sockets with gaps in their numbers. */
	t->nr_cpus = 4;
	for (int i = 0; i < 4; i++)
		t->cpus[i].package = i / 2 * 7;
	canp_hw_facts("/nonexistent", t, 5, &f);
	assert_int_equal(f.sockets, 2);
	assert_int_equal(f.nvme, 0);
	assert_int_equal(f.gpus, 0);
	assert_int_equal(f.mem_bytes, 5);
	free(t);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C31_a_machine_gets_the_highest_profile_it_meets),
		cmocka_unit_test(C31_every_profile_has_its_configuration),
		cmocka_unit_test(C31_cores_and_sockets_of_this_machine_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
