/*
 * top_cfg.c - the option table of canp-top.
 */
#include "tools/top_cfg.h"

#define CANP_OPT_STRUCT canp_top_cfg

static const struct canp_opt top_rows[] = {
#define X CANP_OPT_ROW
#include "tools/top.def"
#undef X
};

const struct canp_opt_table canp_top_opt_table = {
	.name = "top",
	.rows = top_rows,
	.nr = CANP_ARRAY_SIZE(top_rows),
	.cfg_bytes = sizeof(struct canp_top_cfg),
};
