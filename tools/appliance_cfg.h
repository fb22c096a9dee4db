/*
 * appliance_cfg.h - the options of `canp-appliance run` as a struct; the rows are in
 * tools/appliance_run.def.
 */
#ifndef CANP_TOOLS_APPLIANCE_CFG_H
#define CANP_TOOLS_APPLIANCE_CFG_H

#include "core/base/opts.h"

struct canp_appliance_cfg {
#define X CANP_OPT_FIELD
#include "tools/appliance_run.def"
#undef X
};

enum { CANP_CFG_PROGRESS_AUTO, CANP_CFG_PROGRESS_ALWAYS, CANP_CFG_PROGRESS_NEVER };
enum { CANP_CFG_ISOLATE_NONE, CANP_CFG_ISOLATE_PROCESS };

extern const struct canp_opt_table canp_appliance_opt_table;

#endif
