/*
 * cpu.c - CPUID, XCR0 and the list of processors where 512-bit vectors do not pay.
 *
 * The compiler's own __builtin_cpu_supports() is not used: it cannot be restricted by a list, hides
 * the model number that the ZMM policy needs, and its names differ between compilers.
 */
#include "simd/cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core/base/compiler.h"

/* XCR0: SSE and AVX state, and opmask + both halves of the ZMM state. */
#define XCR0_YMM 0x06u
#define XCR0_ZMM 0xe6u

#define CPU_ALL_AVX512                                                                             \
	(CANP_CPU_AVX512F | CANP_CPU_AVX512BW | CANP_CPU_AVX512DQ | CANP_CPU_AVX512VL |            \
	 CANP_CPU_AVX512VBMI | CANP_CPU_AVX512VBMI2 | CANP_CPU_AVX512VNNI)

struct cpu_regs {
	uint32_t eax, ebx, ecx, edx;
};

struct cpu_leaf_bit {
	uint32_t feature;
	uint8_t reg; /* offset of the register in struct cpu_regs */
	uint8_t bit;
};

#define EBX offsetof(struct cpu_regs, ebx)
#define ECX offsetof(struct cpu_regs, ecx)

/* Leaf 7, subleaf 0; bit numbers from the Intel SDM, volume 2A, CPUID. */
static const struct cpu_leaf_bit cpu_leaf7[] = {
	{CANP_CPU_BMI1, EBX, 3},        {CANP_CPU_AVX2, EBX, 5},
	{CANP_CPU_BMI2, EBX, 8},        {CANP_CPU_AVX512F, EBX, 16},
	{CANP_CPU_AVX512DQ, EBX, 17},   {CANP_CPU_AVX512BW, EBX, 30},
	{CANP_CPU_AVX512VL, EBX, 31},   {CANP_CPU_AVX512VBMI, ECX, 1},
	{CANP_CPU_AVX512VBMI2, ECX, 6}, {CANP_CPU_AVX512VNNI, ECX, 11},
};

/* Family 6 models that slow down under 512-bit load: Skylake-X/Cascade Lake, Ice Lake server (2),
 * Ice Lake client, Tiger Lake (2). */
static const uint8_t cpu_slow_zmm_models[] = {85, 106, 108, 126, 140, 141};

static const char *const cpu_names[] = {
#define X(id, name) name,
	CANP_CPU_FEATURES(X)
#undef X
};

static uint32_t cpu_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo;
}

/* Features that need registers the kernel does not save, and those that build on missing ones. */
static uint32_t cpu_close(uint32_t f)
{
	if (!(f & CANP_CPU_AVX2))
		f &= ~(uint32_t)CANP_CPU_AVX512F;
	if (!(f & CANP_CPU_AVX512F))
		f &= ~(uint32_t)CPU_ALL_AVX512;
	return f;
}

static uint32_t cpu_read_features(bool osxsave)
{
	struct cpu_regs r = {0};
	uint32_t f = 0, xcr0 = osxsave ? cpu_xcr0() : 0;

	if (__get_cpuid_count(7, 0, &r.eax, &r.ebx, &r.ecx, &r.edx))
		for (size_t i = 0; i < CANP_ARRAY_SIZE(cpu_leaf7); i++) {
			uint32_t reg;

			memcpy(&reg, (const char *)&r + cpu_leaf7[i].reg, sizeof(reg));
			if (reg >> cpu_leaf7[i].bit & 1)
				f |= cpu_leaf7[i].feature;
		}
	if (__get_cpuid(0x80000001, &r.eax, &r.ebx, &r.ecx, &r.edx) && r.ecx >> 5 & 1)
		f |= CANP_CPU_LZCNT;
	if ((xcr0 & XCR0_YMM) != XCR0_YMM)
		f &= ~(uint32_t)CANP_CPU_AVX2;
	if ((xcr0 & XCR0_ZMM) != XCR0_ZMM)
		f &= ~(uint32_t)CANP_CPU_AVX512F;
	return cpu_close(f);
}

void canp_cpu_detect(struct canp_cpu *cpu)
{
	struct cpu_regs r = {0};

	memset(cpu, 0, sizeof(*cpu));
	if (!__get_cpuid(0, &r.eax, &r.ebx, &r.ecx, &r.edx))
		return;
	cpu->intel = r.ebx == signature_INTEL_ebx && r.ecx == signature_INTEL_ecx &&
		     r.edx == signature_INTEL_edx;
	if (!__get_cpuid(1, &r.eax, &r.ebx, &r.ecx, &r.edx))
		return;
	cpu->stepping = r.eax & 0xf;
	cpu->model = (r.eax >> 4 & 0xf) | (r.eax >> 12 & 0xf0);
	cpu->family = r.eax >> 8 & 0xf;
	if (cpu->family == 0xf)
		cpu->family += r.eax >> 20 & 0xff;
	cpu->features = cpu_read_features(r.ecx >> 27 & 1);
}

bool canp_cpu_zmm_pays(const struct canp_cpu *cpu)
{
	if (!cpu->intel || cpu->family != 6)
		return true;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(cpu_slow_zmm_models); i++)
		if (cpu->model == cpu_slow_zmm_models[i])
			return false;
	return true;
}

const char *canp_cpu_feature_name(enum canp_cpu_feature_bit bit)
{
	return (unsigned)bit < CANP_CPU_BIT_NR ? cpu_names[bit] : NULL;
}

static uint32_t cpu_feature_by_name(const char *s, size_t len)
{
	for (size_t i = 0; i < CANP_ARRAY_SIZE(cpu_names); i++)
		if (strlen(cpu_names[i]) == len && memcmp(cpu_names[i], s, len) == 0)
			return 1u << i;
	return 0;
}

int canp_cpu_disable(const char *list, uint32_t *features)
{
	uint32_t f = *features;

	while (list && *list) {
		size_t len = strcspn(list, ",");
		const char *s = list, *e = list + len;
		uint32_t bit;

		while (s < e && *s == ' ')
			s++;
		while (e > s && e[-1] == ' ')
			e--;
		bit = cpu_feature_by_name(s, (size_t)(e - s));
		/* An empty item is a slip of the keyboard, not a name. */
		if (!bit && e > s)
			return -EINVAL;
		f &= ~bit;
		list += len + (list[len] == ',');
	}
	*features = cpu_close(f);
	return 0;
}
