/*
 * columns.h - the run builder: chunks of records become page runs.
 *
 * The first CANP_RUN_RAW_ROWS rows of a run are kept as raw records; when a run reaches that many
 * they are encoded column by column and later chunks are encoded directly. A run that ends before
 * stays raw unless the builder was told to encode short runs too (the owner's pending page).
 *
 * Append and finish cannot fail. The caller asks canp_runb_need_now() (or the upper bound
 * canp_runb_need()) how many page slots the next append may take, and appends only when
 * canp_pool_avail(pool, privileged) is at least that. finish takes none, except that a builder
 * with encode_short may need canp_runb_need() slots.
 *
 * An idle builder holds no slots. All functions: thread of the pool's owner only; no allocation.
 */
#ifndef CANP_SINK_COLUMNS_H
#define CANP_SINK_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/sink/run.h"

#define CANP_RUNB_WINS 16u
/* In place of a window of the table: id, length, DLC and flags of the record's head. */
#define CANP_RUNB_HEAD 0xfeu

/* Work memory of one append; one per shard, shared by all its builders. 64-byte aligned. Its
 * contents only matter during a call. */
struct canp_runscratch {
	/* Payload windows of this chunk, by index % WINS, and the head behind them. */
	uint64_t win[CANP_RUNB_WINS + 1][256];
	uint64_t val[256 + 32];
	int64_t us[256 + 32];
	uint64_t vary[CANP_RUNB_WINS + 1];   /* bits of the window that are not equal in all rows */
	uint8_t win_tag[CANP_RUNB_WINS + 1]; /* window + 1 held in win[], 0 = none */
	/* validity mask computed last and what it was computed for */
	int32_t mask_parent;
	uint32_t mask_nr;
	const struct canp_muxrange *mask_mux;
	uint32_t mask_need;
	uint32_t mask[8];
	uint32_t mask_rows, mask_count;
} CANP_ALIGNED(64);

struct canp_runb_opts {
	const struct canp_table *table;
	struct canp_pool *pool;          /* page slots, CANP_PAGE_SLOT_BYTES each */
	struct canp_runscratch *scratch; /* shared with other builders of this thread */
	uint32_t slot;                   /* the table's slot in the plan; copied into runs */
	uint32_t run_rows;               /* multiple of 256, <= CANP_RUN_ROWS_MAX; 0 = that */
	bool ts_ns;                      /* keep nanoseconds in a second time column */
	bool encode_short;               /* finish encodes runs of any length */
};

struct canp_runb {
	struct canp_runb_opts o;
	struct canp_run *run; /* NULL when empty */
	uint32_t seq;         /* of the run being built, since the unit began */
	uint64_t unit;        /* unit of the last finished run */
	bool privileged;      /* may use the pool's reserve; set by the caller at any time */
	bool all_present;     /* private: rows that are not short have all columns */
	/* Private: the rows added last are of one origin; their entry has room in the run. */
	struct canp_run_meta origin;
};

/* 0, or -E2BIG when the table has more columns than a run can describe. The run length is lowered
 * to 8,192 for tables with byte columns, so that no page exceeds CANP_BYTESINK_ROOM. */
int canp_runb_init(struct canp_runb *b, const struct canp_runb_opts *o);
/* Drops the rows held and gives their slots back. */
void canp_runb_reset(struct canp_runb *b);

/* Most page slots any append (or finish with encode_short) to a builder of this table can take.
 * A pool must have at least that many. */
uint32_t canp_runb_need(const struct canp_table *table, bool ts_ns);
/* The same for the next append in the builder's present state; never more than the above. */
uint32_t canp_runb_need_now(const struct canp_runb *b);

static inline uint32_t canp_runb_rows(const struct canp_runb *b)
{
	return b->run ? b->run->rows : 0;
}

/* Adds the rows of one chunk (1..256). Returns true when the run is full now and must be finished
 * before the next append. rows held + chunk->rows must not exceed run_rows: chunks are full except
 * the last of a unit, so a multiple of 256 is met exactly. */
bool canp_runb_append(struct canp_runb *b, const struct canp_chunk *chunk);

/* Adds the rows of a raw run (at most run_rows in sum); the run is only read. May take
 * canp_runb_need() slots. */
void canp_runb_append_raw(struct canp_runb *b, const struct canp_run *raw);

/* Ends the run: *run gets it, or NULL when there were no rows. The caller sends it to the owner and
 * later gives it back by canp_run_free(). */
void canp_runb_finish(struct canp_runb *b, uint64_t unit, struct canp_run **run);

#endif
