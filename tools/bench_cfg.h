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

/* A section of a job file, `canp-bench run` itself, and `canp-bench compare`. */
struct canp_benchjob_cfg {
#define X CANP_OPT_FIELD
#include "tools/benchjob.def"
#undef X
};
enum {
	CANP_CFG_RW_NONE,
	CANP_CFG_RW_READ,
	CANP_CFG_RW_WRITE,
	CANP_CFG_RW_RANDREAD,
	CANP_CFG_RW_RANDWRITE
};
enum {
	CANP_CFG_ENGINE_AUTO,
	CANP_CFG_ENGINE_URING,
	CANP_CFG_ENGINE_SYNC,
	CANP_CFG_ENGINE_PSYNC,
	CANP_CFG_ENGINE_MMAP,
	CANP_CFG_ENGINE_NULL
};
enum { CANP_CFG_DATASET_AUTO, CANP_CFG_DATASET_SYNTH, CANP_CFG_DATASET_DIR, CANP_CFG_DATASET_LIST };
enum { CANP_CFG_DATA_ZLIB, CANP_CFG_DATA_STORE, CANP_CFG_DATA_GZIP };

struct canp_benchprog_cfg {
#define X CANP_OPT_FIELD
#include "tools/benchprog.def"
#undef X
};
enum { CANP_CFG_FORM_NORMAL, CANP_CFG_FORM_TERSE, CANP_CFG_FORM_JSON, CANP_CFG_FORM_JSONPLUS };
enum { CANP_CFG_ETA_AUTO, CANP_CFG_ETA_ALWAYS, CANP_CFG_ETA_NEVER };

struct canp_bench_compare_cfg {
#define X CANP_OPT_FIELD
#include "tools/bench_compare.def"
#undef X
};

extern const struct canp_opt_table canp_benchjob_opt_table;
extern const struct canp_opt_table canp_benchprog_opt_table;
extern const struct canp_opt_table canp_bench_compare_opt_table;
extern const struct canp_opt_table canp_bench_opt_table;
extern const struct canp_opt_table canp_bench_job_opt_table;
extern const struct canp_opt_table canp_bench_kernels_opt_table;
extern const struct canp_opt_table canp_bench_pool_opt_table;
extern const struct canp_opt_table canp_bench_rt_opt_table;

#endif
