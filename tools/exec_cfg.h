/*
 * exec_cfg.h - the options of canp-exec as a struct (tools/exec.def).
 */
#ifndef CANP_TOOLS_EXEC_CFG_H
#define CANP_TOOLS_EXEC_CFG_H

#include "core/base/opts.h"

struct canp_exec_cfg {
#define X CANP_OPT_FIELD
#include "tools/exec.def"
#undef X
};

enum { CANP_CFG_EXEC_AUTO, CANP_CFG_EXEC_ALWAYS, CANP_CFG_EXEC_NEVER };

extern const struct canp_opt_table canp_exec_opt_table;

#endif
