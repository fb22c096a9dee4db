/*
 * gen_cfg.h - the options of canp-gen as structs: what the logs are like (tools/gen_log.def), and
 * the rest (tools/gen.def).
 */
#ifndef CANP_TOOLS_GEN_CFG_H
#define CANP_TOOLS_GEN_CFG_H

#include "core/base/opts.h"

struct canp_gen_log_cfg {
#define X CANP_OPT_FIELD
#include "tools/gen_log.def"
#undef X
};

struct canp_gen_cfg {
#define X CANP_OPT_FIELD
#include "tools/gen.def"
#undef X
};

enum { CANP_CFG_GEN_CANP, CANP_CFG_GEN_BLF, CANP_CFG_GEN_CANDUMP };
enum { CANP_CFG_GEN_DENSE, CANP_CFG_GEN_SPARSE };

extern const struct canp_opt_table canp_gen_log_opt_table;
extern const struct canp_opt_table canp_gen_opt_table;

#endif
