/*
 * lib_cfg.h - the options of the library's objects as a struct; the rows are in lib.def. What they
 * become is io/libconfig.h.
 */
#ifndef CANP_IO_LIB_CFG_H
#define CANP_IO_LIB_CFG_H

#include "core/base/opts.h"

struct canp_lib_cfg {
#define X CANP_OPT_FIELD
#include "io/lib.def"
#undef X
};

extern const struct canp_opt_table canp_lib_opt_table;

#endif
