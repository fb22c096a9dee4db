/*
 * exec_cfg.c - the option table of canp-exec.
 */
#include "tools/exec_cfg.h"

#define CANP_OPT_STRUCT canp_exec_cfg

static const struct canp_opt exec_rows[] = {
#define X CANP_OPT_ROW
#include "tools/exec.def"
#undef X
};

const struct canp_opt_table canp_exec_opt_table = {
	.name = "exec",
	.rows = exec_rows,
	.nr = CANP_ARRAY_SIZE(exec_rows),
	.cfg_bytes = sizeof(struct canp_exec_cfg),
};
