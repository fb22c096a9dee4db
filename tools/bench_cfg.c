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

#define CANP_OPT_STRUCT canp_benchjob_cfg
static const struct canp_opt benchjob_rows[] = {
#define X CANP_OPT_ROW
#include "tools/benchjob.def"
#undef X
};
#undef CANP_OPT_STRUCT

const struct canp_opt_table canp_benchjob_opt_table = {
	.name = "bench run",
	.rows = benchjob_rows,
	.nr = CANP_ARRAY_SIZE(benchjob_rows),
	.cfg_bytes = sizeof(struct canp_benchjob_cfg),
};

#define CANP_OPT_STRUCT canp_benchprog_cfg
static const struct canp_opt benchprog_rows[] = {
#define X CANP_OPT_ROW
#include "tools/benchprog.def"
#undef X
};
#undef CANP_OPT_STRUCT

const struct canp_opt_table canp_benchprog_opt_table = {
	.name = "bench program",
	.rows = benchprog_rows,
	.nr = CANP_ARRAY_SIZE(benchprog_rows),
	.cfg_bytes = sizeof(struct canp_benchprog_cfg),
};

#define CANP_OPT_STRUCT canp_bench_compare_cfg
static const struct canp_opt bench_compare_rows[] = {
#define X CANP_OPT_ROW
#include "tools/bench_compare.def"
#undef X
};
#undef CANP_OPT_STRUCT

const struct canp_opt_table canp_bench_compare_opt_table = {
	.name = "bench compare",
	.rows = bench_compare_rows,
	.nr = CANP_ARRAY_SIZE(bench_compare_rows),
	.cfg_bytes = sizeof(struct canp_bench_compare_cfg),
};
