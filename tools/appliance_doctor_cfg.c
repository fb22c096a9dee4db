/*
 * appliance_doctor_cfg.c - the option table of `canp-appliance doctor`.
 */
#include "tools/appliance_doctor_cfg.h"

#define CANP_OPT_STRUCT canp_doctor_cfg

static const struct canp_opt doctor_rows[] = {
#define X CANP_OPT_ROW
#include "tools/appliance_doctor.def"
#undef X
};

const struct canp_opt_table canp_doctor_opt_table = {
	.name = "doctor",
	.rows = doctor_rows,
	.nr = CANP_ARRAY_SIZE(doctor_rows),
	.cfg_bytes = sizeof(struct canp_doctor_cfg),
};
