/*
 * gen_make.h - makes a directory of logs, and the database that describes them.
 */
#ifndef CANP_TOOLS_GEN_MAKE_H
#define CANP_TOOLS_GEN_MAKE_H

#include <stdint.h>

#include "tools/gen_cfg.h"

/* Writes `files` logs to dir (made when missing) and, unless dbc is "", their database to that
 * file. Equal options give equal bytes. Errors are printed. Returns an exit code; *frames and
 * *signals (which may be NULL): what the logs hold. */
int canp_gen_make(const struct canp_gen_log_cfg *cfg, unsigned files, const char *dbc,
		  const char *dir, uint64_t *frames, uint64_t *signals);

#endif
