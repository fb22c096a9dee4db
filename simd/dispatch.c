/*
 * dispatch.c - chooses one variant per kernel, once, and explains the choice.
 *
 * The table starts out complete with the portable variants, so tools and tests that never call
 * canp_simd_init() work. A ceiling that has no row for a kernel falls back to the next lower row.
 */
#include "simd/simd.h"

#include <errno.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/cpu.h"
#include "simd/kernels.h"

struct canp_simd canp_simd = {
	.isa = CANP_ISA_SCALAR,
	.crc32 = canp_crc32_isal,
	.adler32 = canp_adler32_scalar,
	.frames24 = canp_frames24_scalar,
	.window = canp_window_scalar,
	.bswap64 = canp_bswap64_scalar,
	.extract16 = canp_extract16_scalar,
	.extract32 = canp_extract32_scalar,
	.extract64 = canp_extract64_scalar,
	.varying = canp_varying_scalar,
	.range_mask = canp_range_mask_scalar,
	.compress16 = canp_compress16_scalar,
	.compress32 = canp_compress32_scalar,
	.compress64 = canp_compress64_scalar,
	.bounds16 = canp_bounds16_scalar,
	.pack16 = canp_pack16_scalar,
	.pack32 = canp_pack32_scalar,
	.pack64 = canp_pack64_scalar,
	.ns_to_us = canp_ns_to_us_scalar,
	.delta_block = canp_delta_block_scalar,
	.unpack16 = canp_unpack16_scalar,
	.index_f64 = canp_index_f64_scalar,
	.index_i32 = canp_index_i32_scalar,
	.delta32 = canp_delta32_scalar,
};

static const char *const simd_isa_names[CANP_ISA_NR] = {"scalar", "avx2", "avx512"};

/* What a CPU must have to be called capable of the ISA, whether or not a row exists. */
static const uint32_t simd_isa_needs[CANP_ISA_NR] = {0, CANP_CPU_SET_AVX2, CANP_CPU_SET_AVX512};

static bool simd_isa_built(enum canp_isa isa)
{
	return isa == CANP_ISA_SCALAR ||
	       (isa == CANP_ISA_AVX2 && CANP_ENABLED(CONFIG_CANP_SIMD_AVX2)) ||
	       (isa == CANP_ISA_AVX512 && CANP_ENABLED(CONFIG_CANP_SIMD_AVX512));
}

int canp_simd_init(enum canp_isa want, const char *disable)
{
	struct canp_simd table = canp_simd;
	enum canp_isa ceiling = want;
	struct canp_cpu cpu;
	int rc;

	canp_cpu_detect(&cpu);
	rc = canp_cpu_disable(disable, &cpu.features);
	if (rc)
		return rc;
	if (want == CANP_ISA_AUTO)
		/* Only the automatic choice avoids 512-bit vectors; who asks gets them. */
		ceiling = canp_cpu_zmm_pays(&cpu) ? CANP_ISA_AVX512 : CANP_ISA_AVX2;
	else if ((unsigned)want >= CANP_ISA_NR)
		return -EINVAL;
	else if (!simd_isa_built(want) ||
		 (simd_isa_needs[want] & cpu.features) != simd_isa_needs[want])
		return -ENOTSUP;

	table.isa = CANP_ISA_SCALAR;
#define K(kernel, row_isa, func, needs, text)                                                      \
	if (CANP_ISA_##row_isa <= ceiling && ((needs) & ~cpu.features) == 0) {                     \
		table.kernel = func;                                                               \
		table.isa = canp_max(table.isa, CANP_ISA_##row_isa);                               \
	}
#include "simd/kernels.def"
#undef K
	canp_simd = table;
	return 0;
}

const char *canp_isa_name(enum canp_isa isa)
{
	if (isa == CANP_ISA_AUTO)
		return "auto";
	return (unsigned)isa < CANP_ISA_NR ? simd_isa_names[isa] : "unknown";
}

int canp_isa_parse(const char *name, enum canp_isa *isa)
{
	if (strcmp(name, "auto") == 0) {
		*isa = CANP_ISA_AUTO;
		return 0;
	}
	for (int i = 0; i < CANP_ISA_NR; i++)
		if (strcmp(name, simd_isa_names[i]) == 0) {
			*isa = (enum canp_isa)i;
			return 0;
		}
	return -EINVAL;
}

void canp_kernels_for_each(void (*fn)(void *arg, const struct canp_kernel_row *row), void *arg)
{
	struct canp_cpu cpu;

	canp_cpu_detect(&cpu);
#define K(member, row_isa, function, needs, desc)                                                  \
	fn(arg, &(struct canp_kernel_row){                                                         \
			.kernel = #member,                                                         \
			.isa = CANP_ISA_##row_isa,                                                 \
			.text = desc,                                                              \
			.func = (void (*)(void))function,                                          \
			.runnable = ((needs) & ~cpu.features) == 0,                                \
			.chosen = canp_simd.member == function,                                    \
		});
#include "simd/kernels.def"
#undef K
}
