/*
 * gen_cfg.c - the option tables of canp-gen.
 */
#include "tools/gen_cfg.h"

#define CANP_OPT_STRUCT canp_gen_log_cfg
static const struct canp_opt gen_log_rows[] = {
#define X CANP_OPT_ROW
#include "tools/gen_log.def"
#undef X
};
#undef CANP_OPT_STRUCT

#define CANP_OPT_STRUCT canp_gen_cfg

static const struct canp_opt gen_rows[] = {
#define X CANP_OPT_ROW
#include "tools/gen.def"
#undef X
};

const struct canp_opt_table canp_gen_log_opt_table = {
	.name = "gen log",
	.rows = gen_log_rows,
	.nr = CANP_ARRAY_SIZE(gen_log_rows),
	.cfg_bytes = sizeof(struct canp_gen_log_cfg),
};

const struct canp_opt_table canp_gen_opt_table = {
	.name = "gen",
	.rows = gen_rows,
	.nr = CANP_ARRAY_SIZE(gen_rows),
	.cfg_bytes = sizeof(struct canp_gen_cfg),
};
