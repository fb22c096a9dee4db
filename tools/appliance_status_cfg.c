/*
 * appliance_status_cfg.c - the option table of `canp-appliance status`.
 */
#include "tools/appliance_status_cfg.h"

#define CANP_OPT_STRUCT canp_status_cfg

static const struct canp_opt status_rows[] = {
#define X CANP_OPT_ROW
#include "tools/appliance_status.def"
#undef X
};

const struct canp_opt_table canp_status_opt_table = {
	.name = "status",
	.rows = status_rows,
	.nr = CANP_ARRAY_SIZE(status_rows),
	.cfg_bytes = sizeof(struct canp_status_cfg),
};
