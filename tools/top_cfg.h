/*
 * top_cfg.h - the options of canp-top as a struct; the rows are in tools/top.def.
 */
#ifndef CANP_TOOLS_TOP_CFG_H
#define CANP_TOOLS_TOP_CFG_H

#include "core/base/opts.h"

struct canp_top_cfg {
#define X CANP_OPT_FIELD
#include "tools/top.def"
#undef X
};

extern const struct canp_opt_table canp_top_opt_table;

#endif
