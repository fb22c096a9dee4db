/*
 * cpu.h - what this processor can run: one bit per feature that a kernel of ours may need.
 *
 * A feature counts only when the processor has it (CPUID) and the kernel saves its registers
 * (XCR0). Names are those of /proc/cpuinfo without underscores, so that what an operator reads
 * there can be typed into CANP_CPU_DISABLE.
 */
#ifndef CANP_SIMD_CPU_H
#define CANP_SIMD_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define CANP_CPU_FEATURES(X)                                                                       \
	X(BMI1, "bmi1")                                                                            \
	X(BMI2, "bmi2")                                                                            \
	X(LZCNT, "lzcnt")                                                                          \
	X(AVX2, "avx2")                                                                            \
	X(AVX512F, "avx512f")                                                                      \
	X(AVX512BW, "avx512bw")                                                                    \
	X(AVX512DQ, "avx512dq")                                                                    \
	X(AVX512VL, "avx512vl")                                                                    \
	X(AVX512VBMI, "avx512vbmi")                                                                \
	X(AVX512VBMI2, "avx512vbmi2")                                                              \
	X(AVX512VNNI, "avx512vnni")

enum canp_cpu_feature_bit {
#define X(id, name) CANP_CPU_BIT_##id,
	CANP_CPU_FEATURES(X)
#undef X
		CANP_CPU_BIT_NR
};

enum canp_cpu_feature {
#define X(id, name) CANP_CPU_##id = 1u << CANP_CPU_BIT_##id,
	CANP_CPU_FEATURES(X)
#undef X
};

/* What the compiler may use in a *_avx2.c or *_avx512.c file, see isa_* in the Makefile: a kernel
 * of such a file needs the whole set, not only the instructions we wrote ourselves. */
#define CANP_CPU_SET_AVX2 (CANP_CPU_BMI1 | CANP_CPU_BMI2 | CANP_CPU_LZCNT | CANP_CPU_AVX2)
#define CANP_CPU_SET_AVX512                                                                        \
	(CANP_CPU_SET_AVX2 | CANP_CPU_AVX512F | CANP_CPU_AVX512BW | CANP_CPU_AVX512DQ |            \
	 CANP_CPU_AVX512VL | CANP_CPU_AVX512VBMI | CANP_CPU_AVX512VBMI2 | CANP_CPU_AVX512VNNI)

struct canp_cpu {
	uint32_t features; /* enum canp_cpu_feature */
	unsigned family, model, stepping;
	bool intel;
};

/* Asks the processor. Any thread, no errors: an unknown processor has no features. */
void canp_cpu_detect(struct canp_cpu *cpu);

/* Whether 512-bit vectors pay on this processor: false where using them lowers the clock of
 * everything else on the core (Intel family 6, Skylake-X to Ice Lake and Tiger Lake). Pure. */
bool canp_cpu_zmm_pays(const struct canp_cpu *cpu);

/* Removes the features named in a comma-separated list (NULL or empty: none; blanks around names
 * are ignored) and everything that builds on them: without avx2 there is no avx512f, without
 * avx512f nothing that starts with avx512. -EINVAL for an unknown name, *features is then
 * untouched. Pure. */
int canp_cpu_disable(const char *list, uint32_t *features);

/* Name of one feature, NULL for a bit outside the list. Constant string. */
const char *canp_cpu_feature_name(enum canp_cpu_feature_bit bit);

#endif
