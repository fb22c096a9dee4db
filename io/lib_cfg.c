/*
 * lib_cfg.c - the option table of the library's objects.
 */
#include "io/lib_cfg.h"

#define CANP_OPT_STRUCT canp_lib_cfg

static const struct canp_opt lib_rows[] = {
#define X CANP_OPT_ROW
#include "io/lib.def"
#undef X
};

const struct canp_opt_table canp_lib_opt_table = {
	.name = "lib",
	.rows = lib_rows,
	.nr = CANP_ARRAY_SIZE(lib_rows),
	.cfg_bytes = sizeof(struct canp_lib_cfg),
};
