/*
 * runtime_cfg.h - the options of the machine as a struct; the rows are in runtime.def.
 */
#ifndef CANP_RUNTIME_RUNTIME_CFG_H
#define CANP_RUNTIME_RUNTIME_CFG_H

#include "core/base/opts.h"

struct canp_runtime_cfg {
#define X CANP_OPT_FIELD
#include "core/runtime/runtime.def"
#undef X
};

/* Positions of --simd; the others are those of enum canp_ring_kind, canp_hugepages and
 * canp_log_level. --simd minus one is an enum canp_isa (auto: -1). */
enum { CANP_CFG_SIMD_AUTO, CANP_CFG_SIMD_SCALAR, CANP_CFG_SIMD_AVX2, CANP_CFG_SIMD_AVX512 };

extern const struct canp_opt_table canp_runtime_opt_table;

#endif
