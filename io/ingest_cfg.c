/*
 * ingest_cfg.c - the option table of reading, decoding and writing.
 */
#include "io/ingest_cfg.h"

#define CANP_OPT_STRUCT canp_ingest_cfg

static const struct canp_opt ingest_rows[] = {
#define X CANP_OPT_ROW
#include "io/ingest.def"
#undef X
};

const struct canp_opt_table canp_ingest_opt_table = {
	.name = "ingest",
	.rows = ingest_rows,
	.nr = CANP_ARRAY_SIZE(ingest_rows),
	.cfg_bytes = sizeof(struct canp_ingest_cfg),
};
