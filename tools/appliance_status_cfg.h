/*
 * appliance_status_cfg.h - the options of `canp-appliance status` as a struct; the rows are in
 * tools/appliance_status.def.
 */
#ifndef CANP_TOOLS_APPLIANCE_STATUS_CFG_H
#define CANP_TOOLS_APPLIANCE_STATUS_CFG_H

#include "core/base/opts.h"

struct canp_status_cfg {
#define X CANP_OPT_FIELD
#include "tools/appliance_status.def"
#undef X
};

extern const struct canp_opt_table canp_status_opt_table;

#endif
