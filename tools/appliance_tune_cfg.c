/*
 * appliance_tune_cfg.c - the option tables of `canp-appliance tune` and `config`.
 */
#include "tools/appliance_tune_cfg.h"

#define CANP_OPT_STRUCT canp_tune_cfg

static const struct canp_opt tune_rows[] = {
#define X CANP_OPT_ROW
#include "tools/appliance_tune.def"
#undef X
};

const struct canp_opt_table canp_tune_opt_table = {
	.name = "tune",
	.rows = tune_rows,
	.nr = CANP_ARRAY_SIZE(tune_rows),
	.cfg_bytes = sizeof(struct canp_tune_cfg),
};

#undef CANP_OPT_STRUCT
#define CANP_OPT_STRUCT canp_check_cfg

static const struct canp_opt check_rows[] = {
#define X CANP_OPT_ROW
#include "tools/appliance_config.def"
#undef X
};

const struct canp_opt_table canp_check_opt_table = {
	.name = "check",
	.rows = check_rows,
	.nr = CANP_ARRAY_SIZE(check_rows),
	.cfg_bytes = sizeof(struct canp_check_cfg),
};
