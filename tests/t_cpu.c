/*
 * t_cpu.c - feature bits, the list that switches them off, and the choice of variants.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/compiler.h"
#include "simd/cpu.h"
#include "simd/simd.h"

static const uint32_t all = (1u << CANP_CPU_BIT_NR) - 1;

/* What the kernel says about the first processor; false when /proc is not there. */
static bool proc_has(const char *name)
{
	char word[64], line[8192];
	FILE *f = fopen("/proc/cpuinfo", "r");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (char *save = NULL, *p = strtok_r(line, " \t\n", &save); p;
		     p = strtok_r(NULL, " \t\n", &save)) {
			size_t k = 0;

			/* The kernel writes avx512_vbmi2 but avx512vbmi; lzcnt is called abm. */
			for (; *p && k < sizeof(word) - 1; p++)
				if (*p != '_')
					word[k++] = *p;
			word[k] = 0;
			if (strcmp(word, "abm") == 0)
				strcpy(word, "lzcnt");
			found |= strcmp(word, name) == 0;
		}
		break;
	}
	if (f)
		fclose(f);
	return found;
}

static void features_agree_with_the_kernel(void **state)
{
	struct canp_cpu cpu;

	(void)state;
	canp_cpu_detect(&cpu);
	if (!proc_has("avx2"))
		skip(); /* no /proc, or a CPU whose flags would all be absent */
	for (unsigned i = 0; i < CANP_CPU_BIT_NR; i++) {
		const char *name = canp_cpu_feature_name((enum canp_cpu_feature_bit)i);

		if (!!(cpu.features >> i & 1) != proc_has(name))
			fail_msg("%s: cpuid and /proc/cpuinfo disagree", name);
	}
	assert_null(canp_cpu_feature_name(CANP_CPU_BIT_NR));
}

static void disabling_a_feature_takes_what_builds_on_it(void **state)
{
	uint32_t f = all;

	(void)state;
	assert_int_equal(canp_cpu_disable("avx512vbmi", &f), 0);
	assert_int_equal(f, all & ~(uint32_t)CANP_CPU_AVX512VBMI);
	f = all;
	assert_int_equal(canp_cpu_disable(" avx512f , ", &f), 0);
	assert_int_equal(f, CANP_CPU_SET_AVX2);
	f = all;
	assert_int_equal(canp_cpu_disable("lzcnt,avx2", &f), 0);
	assert_int_equal(f, CANP_CPU_BMI1 | CANP_CPU_BMI2);
	f = all;
	assert_int_equal(canp_cpu_disable(NULL, &f), 0);
	assert_int_equal(canp_cpu_disable("", &f), 0);
	assert_int_equal(f, all);
}

static void an_unknown_feature_name_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {"avx", "avx22", "AVX2", "avx2,,sse9", "avx2 avx512f"};
	uint32_t f = all;

	(void)state;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(bad); i++)
		assert_int_equal(canp_cpu_disable(bad[i], &f), -EINVAL);
	assert_int_equal(f, all);
	assert_int_equal(canp_simd_init(CANP_ISA_AUTO, "mmx"), -EINVAL);
}

static void wide_vectors_are_avoided_on_the_listed_models_only(void **state)
{
	static const unsigned slow[] = {85, 106, 108, 126, 140, 141};
	struct canp_cpu cpu = {.intel = true, .family = 6};

	(void)state;
	for (unsigned m = 0; m < 256; m++) {
		bool listed = false;

		for (size_t i = 0; i < CANP_ARRAY_SIZE(slow); i++)
			listed |= slow[i] == m;
		cpu.model = m;
		assert_int_equal(canp_cpu_zmm_pays(&cpu), !listed);
	}
	cpu = (struct canp_cpu){.intel = false, .family = 0x19, .model = 106};
	assert_true(canp_cpu_zmm_pays(&cpu));
}

struct rows {
	unsigned chosen[CANP_ISA_NR], rows, kernels;
};

static void count_row(void *arg, const struct canp_kernel_row *row)
{
	struct rows *r = arg;

	assert_non_null(row->func);
	assert_true(strlen(row->text) > 0);
	r->rows++;
	r->kernels += row->isa == CANP_ISA_SCALAR;
	if (row->chosen)
		r->chosen[row->isa]++;
	if (row->chosen)
		assert_true(row->runnable);
}

static struct rows count_rows(void)
{
	struct rows r = {{0}, 0, 0};

	canp_kernels_for_each(count_row, &r);
	/* One variant per kernel, and every member of the table has a row. */
	assert_int_equal(r.chosen[0] + r.chosen[1] + r.chosen[2], r.kernels);
	assert_int_equal(r.kernels, (sizeof(struct canp_simd) - offsetof(struct canp_simd, crc32)) /
					    sizeof(void *));
	return r;
}

static void the_table_works_before_init_with_portable_kernels(void **state)
{
	struct rows r = count_rows();

	(void)state;
	assert_int_equal(r.chosen[CANP_ISA_SCALAR], r.kernels);
	assert_int_equal(canp_simd.isa, CANP_ISA_SCALAR);
	assert_int_equal(canp_simd.crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(canp_simd.adler32(1, "Wikipedia", 9), 0x11e60398);
}

static void ceilings_and_disabled_features_choose_lower_variants(void **state)
{
	struct canp_cpu cpu;
	bool avx2, avx512;

	(void)state;
	canp_cpu_detect(&cpu);
	avx2 = CANP_ENABLED(CONFIG_CANP_SIMD_AVX2) &&
	       (cpu.features & CANP_CPU_SET_AVX2) == CANP_CPU_SET_AVX2;
	avx512 = CANP_ENABLED(CONFIG_CANP_SIMD_AVX512) &&
		 (cpu.features & CANP_CPU_SET_AVX512) == CANP_CPU_SET_AVX512;

	assert_int_equal(canp_simd_init(CANP_ISA_AVX2, NULL), avx2 ? 0 : -ENOTSUP);
	if (avx2) {
		/* All but CRC-32, which chooses for itself. */
		assert_int_equal(count_rows().chosen[CANP_ISA_AVX2], count_rows().kernels - 1);
		assert_int_equal(canp_simd.isa, CANP_ISA_AVX2);
	}
	assert_int_equal(canp_simd_init(CANP_ISA_AVX512, NULL), avx512 ? 0 : -ENOTSUP);
	if (avx512) {
		assert_true(count_rows().chosen[CANP_ISA_AVX512] > 10);
		assert_int_equal(canp_simd.isa, CANP_ISA_AVX512);
	}
	assert_int_equal(canp_simd_init(CANP_ISA_AVX512, "avx512vnni"), -ENOTSUP);
	assert_int_equal(canp_simd_init(CANP_ISA_AUTO, "avx512vnni"), 0);
	assert_int_equal(count_rows().chosen[CANP_ISA_AVX512], 0);
	assert_int_equal(canp_simd_init(CANP_ISA_AUTO, "avx2"), 0);
	assert_int_equal(canp_simd.isa, CANP_ISA_SCALAR);
	assert_int_equal(canp_simd_init(CANP_ISA_AUTO, NULL), 0);
	assert_int_equal(canp_simd.isa, avx512 && canp_cpu_zmm_pays(&cpu) ? CANP_ISA_AVX512
					: avx2                            ? CANP_ISA_AVX2
									  : CANP_ISA_SCALAR);
	assert_int_equal(canp_simd_init(CANP_ISA_SCALAR, NULL), 0);
	assert_int_equal(count_rows().chosen[CANP_ISA_SCALAR], count_rows().kernels);
	assert_int_equal(canp_simd_init((enum canp_isa)7, NULL), -EINVAL);
}

static void isa_names_parse_back(void **state)
{
	enum canp_isa isa;

	(void)state;
	for (int i = CANP_ISA_AUTO; i < CANP_ISA_NR; i++) {
		assert_int_equal(canp_isa_parse(canp_isa_name((enum canp_isa)i), &isa), 0);
		assert_int_equal(isa, i);
	}
	assert_int_equal(canp_isa_parse("sse2", &isa), -EINVAL);
	assert_int_equal(canp_isa_parse("", &isa), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while nothing has been chosen yet. */
		cmocka_unit_test(the_table_works_before_init_with_portable_kernels),
		cmocka_unit_test(features_agree_with_the_kernel),
		cmocka_unit_test(disabling_a_feature_takes_what_builds_on_it),
		cmocka_unit_test(an_unknown_feature_name_is_refused_and_changes_nothing),
		cmocka_unit_test(wide_vectors_are_avoided_on_the_listed_models_only),
		cmocka_unit_test(ceilings_and_disabled_features_choose_lower_variants),
		cmocka_unit_test(isa_names_parse_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
