/*
 * appliance_doctor_cfg.h - the options that `canp-appliance doctor` has beside those of a job, as a
 * struct; the rows are in tools/appliance_doctor.def.
 */
#ifndef CANP_TOOLS_APPLIANCE_DOCTOR_CFG_H
#define CANP_TOOLS_APPLIANCE_DOCTOR_CFG_H

#include "core/base/opts.h"

struct canp_doctor_cfg {
#define X CANP_OPT_FIELD
#include "tools/appliance_doctor.def"
#undef X
};

extern const struct canp_opt_table canp_doctor_opt_table;

#endif
