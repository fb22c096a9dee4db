/*
 * appliance_tune_cfg.h - the options that `canp-appliance tune` and `canp-appliance config` have
 * beside those of a job, as structs; the rows are in tools/appliance_tune.def and
 * appliance_config.def.
 */
#ifndef CANP_TOOLS_APPLIANCE_TUNE_CFG_H
#define CANP_TOOLS_APPLIANCE_TUNE_CFG_H

#include "core/base/opts.h"

struct canp_tune_cfg {
#define X CANP_OPT_FIELD
#include "tools/appliance_tune.def"
#undef X
};

struct canp_check_cfg {
#define X CANP_OPT_FIELD
#include "tools/appliance_config.def"
#undef X
};

extern const struct canp_opt_table canp_tune_opt_table;
extern const struct canp_opt_table canp_check_opt_table;

#endif
