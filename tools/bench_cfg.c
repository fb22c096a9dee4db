/*
 * bench_cfg.c - the option tables of canp-bench.
 */
#include "tools/bench_cfg.h"

#define CANP_OPT_STRUCT canp_bench_cfg
static const struct canp_opt bench_rows[] = {
#define X CANP_OPT_ROW
#include "tools/bench.def"
#undef X
};
#undef CANP_OPT_STRUCT

#define CANP_OPT_STRUCT canp_bench_job_cfg
static const struct canp_opt bench_job_rows[] = {
#define X CANP_OPT_ROW
#include "tools/bench_job.def"
#undef X
};
#undef CANP_OPT_STRUCT

#define CANP_OPT_STRUCT canp_bench_kernels_cfg
static const struct canp_opt bench_kernels_rows[] = {
#define X CANP_OPT_ROW
#include "tools/bench_kernels.def"
#undef X
};
#undef CANP_OPT_STRUCT

#define CANP_OPT_STRUCT canp_bench_pool_cfg
static const struct canp_opt bench_pool_rows[] = {
#define X CANP_OPT_ROW
#include "tools/bench_pool.def"
#undef X
};
#undef CANP_OPT_STRUCT

#define CANP_OPT_STRUCT canp_bench_rt_cfg
static const struct canp_opt bench_rt_rows[] = {
#define X CANP_OPT_ROW
#include "tools/bench_rt.def"
#undef X
};
#undef CANP_OPT_STRUCT

const struct canp_opt_table canp_bench_opt_table = {
	.name = "bench",
	.rows = bench_rows,
	.nr = CANP_ARRAY_SIZE(bench_rows),
	.cfg_bytes = sizeof(struct canp_bench_cfg),
};

const struct canp_opt_table canp_bench_job_opt_table = {
	.name = "bench job",
	.rows = bench_job_rows,
	.nr = CANP_ARRAY_SIZE(bench_job_rows),
	.cfg_bytes = sizeof(struct canp_bench_job_cfg),
};

const struct canp_opt_table canp_bench_kernels_opt_table = {
	.name = "bench kernels",
	.rows = bench_kernels_rows,
	.nr = CANP_ARRAY_SIZE(bench_kernels_rows),
	.cfg_bytes = sizeof(struct canp_bench_kernels_cfg),
};

const struct canp_opt_table canp_bench_pool_opt_table = {
	.name = "bench pool",
	.rows = bench_pool_rows,
	.nr = CANP_ARRAY_SIZE(bench_pool_rows),
	.cfg_bytes = sizeof(struct canp_bench_pool_cfg),
};

const struct canp_opt_table canp_bench_rt_opt_table = {
	.name = "bench runtime",
	.rows = bench_rt_rows,
	.nr = CANP_ARRAY_SIZE(bench_rt_rows),
	.cfg_bytes = sizeof(struct canp_bench_rt_cfg),
};
