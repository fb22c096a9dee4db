/*
 * bench_cfg.h - the options of canp-bench as structs: those of all commands (tools/bench.def) and
 * those of one.
 */
#ifndef CANP_TOOLS_BENCH_CFG_H
#define CANP_TOOLS_BENCH_CFG_H

#include "core/base/opts.h"

struct canp_bench_cfg {
#define X CANP_OPT_FIELD
#include "tools/bench.def"
#undef X
};

struct canp_bench_job_cfg {
#define X CANP_OPT_FIELD
#include "tools/bench_job.def"
#undef X
};
enum {
	CANP_CFG_AGAINST_AUTO,
	CANP_CFG_AGAINST_NONE,
	CANP_CFG_AGAINST_ISAL,
	CANP_CFG_AGAINST_FIO,
};

struct canp_bench_kernels_cfg {
#define X CANP_OPT_FIELD
#include "tools/bench_kernels.def"
#undef X
};

struct canp_bench_pool_cfg {
#define X CANP_OPT_FIELD
#include "tools/bench_pool.def"
#undef X
};

struct canp_bench_rt_cfg {
#define X CANP_OPT_FIELD
#include "tools/bench_rt.def"
#undef X
};

extern const struct canp_opt_table canp_bench_opt_table;
extern const struct canp_opt_table canp_bench_job_opt_table;
extern const struct canp_opt_table canp_bench_kernels_opt_table;
extern const struct canp_opt_table canp_bench_pool_opt_table;
extern const struct canp_opt_table canp_bench_rt_opt_table;

#endif
