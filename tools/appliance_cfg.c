/*
 * appliance_cfg.c - the option table of `canp-appliance run`.
 */
#include "tools/appliance_cfg.h"

#define CANP_OPT_STRUCT canp_appliance_cfg

static const struct canp_opt appliance_rows[] = {
#define X CANP_OPT_ROW
#include "tools/appliance_run.def"
#undef X
};

const struct canp_opt_table canp_appliance_opt_table = {
	.name = "appliance",
	.rows = appliance_rows,
	.nr = CANP_ARRAY_SIZE(appliance_rows),
	.cfg_bytes = sizeof(struct canp_appliance_cfg),
};
