/*
 * runtime_cfg.c - the option table of the machine.
 */
#include "core/runtime/runtime_cfg.h"

#define CANP_OPT_STRUCT canp_runtime_cfg

static const struct canp_opt runtime_rows[] = {
#define X CANP_OPT_ROW
#include "core/runtime/runtime.def"
#undef X
};

const struct canp_opt_table canp_runtime_opt_table = {
	.name = "runtime",
	.rows = runtime_rows,
	.nr = CANP_ARRAY_SIZE(runtime_rows),
	.cfg_bytes = sizeof(struct canp_runtime_cfg),
};
