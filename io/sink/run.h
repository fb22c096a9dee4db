/*
 * run.h - page runs: what crosses a lane. A run holds all columns of one table for at most
 * run_rows consecutive rows of one unit, packed by the shard that decoded them, in slots of that
 * shard's page pool. It is ended by the row count or by the end of the unit, never by time or
 * memory pressure, so its contents are a function of the input alone.
 *
 * Runs under CANP_RUN_RAW_ROWS rows travel as raw chunk records; the owner packs consecutive ones
 * into one page.
 */
#ifndef CANP_SINK_RUN_H
#define CANP_SINK_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/runtime/mesh.h"
#include "io/can/group.h"
#include "numa/pool.h"

#define CANP_RUN_ROWS_MAX 32768u
#define CANP_RUN_RAW_ROWS 1024u
#define CANP_PAGE_SLOT_BYTES 8192u

/* Bytes in a chain of page slots. */
struct canp_seg {
	struct canp_seg *next;
	uint32_t used; /* bytes in data */
	uint32_t pad;
	uint8_t data[CANP_PAGE_SLOT_BYTES - 16];
};
CANP_STATIC_ASSERT(sizeof(struct canp_seg) == CANP_PAGE_SLOT_BYTES, "a segment is a page slot");

struct canp_segs {
	struct canp_seg *head, *tail;
	uint64_t bytes;
};

/* Consecutive rows of one origin. */
struct canp_run_meta {
	uint32_t rows;
	uint32_t src, device;
	uint32_t bus;
};

#endif
