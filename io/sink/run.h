/*
 * run.h - page runs: what crosses a lane. A run holds all columns of one table for at most
 * run_rows consecutive rows of one unit, packed by the shard that decoded them, in slots of that
 * shard's page pool. It is ended by the row count or by the end of the unit, never by time or
 * memory pressure, so its contents are a function of the input alone.
 *
 * Runs under CANP_RUN_RAW_ROWS rows travel as raw chunk records; the owner packs consecutive ones
 * into one page.
 *
 * The descriptors of the work: what goes in is a struct canp_unit (io/unit.h: files from..to,
 * bytes, its number is the order of all rows), a window of it is a struct canp_ingest_window
 * (offset in the file), what comes out is a run: unit, seq inside it, table, origins (file, device,
 * bus) with the rows of each, and the slots that hold the bytes.
 *
 * Everything of a run lives in page slots: the run itself is one slot, the column descriptors are
 * slots of CANP_RUN_COLS_PER_SLOT entries, raw records are whole slots, all byte streams are chains
 * of segments. canp_run_free() therefore needs nothing but the pool.
 */
#ifndef CANP_SINK_RUN_H
#define CANP_SINK_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/runtime/mesh.h"
#include "io/can/group.h"
#include "io/sink/pqenc.h"
#include "numa/pool.h"

#define CANP_RUN_ROWS_MAX    32768u
#define CANP_RUN_RAW_ROWS    1024u
#define CANP_PAGE_SLOT_BYTES 8192u

/* Bytes in a chain of page slots. A segment may be less than full; only `used` counts. */
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

/* Where a builder writes in the last segment of a chain: free bytes at..end. Kept beside what else
 * the builder needs of a column, because the heads of all segments fall on the same few sets of the
 * caches and are rarely there. The chain knows the bytes after canp_segcut_sync(). */
struct canp_segcut {
	uint8_t *at, *end;
};

/* Consecutive rows of one origin. */
struct canp_run_meta {
	uint32_t rows;
	uint32_t src, device;
	uint32_t bus;
};
#define CANP_RUN_META_PER_SEG ((CANP_PAGE_SLOT_BYTES - 16u) / sizeof(struct canp_run_meta))

/* Timestamps of a run: DELTA_BINARY_PACKED (128/4) without its header, which holds the value
 * count and is made by canp_delta_head() when the page is written. */
struct canp_run_ts {
	struct canp_delta delta;
	struct canp_segs val;
	struct canp_segcut cut; /* private to the builder */
	int64_t min, max;
	bool ascending; /* no value is below the one before it */
};

/* One column of an encoded run. Byte streams by col->store:
 *   STORE_INDEX  RLE/bit-packed hybrid at width raw_bits of raw ^ sign bit, without width byte;
 *                for CANP_COL_BOOL the PLAIN bits instead
 *   STORE_U32    little-endian u32 raw values        STORE_U64  little-endian u64 raw values
 *   STORE_BYTES  u32 length + bytes, that is PLAIN BYTE_ARRAY
 * Only rows that are present are stored. */
struct canp_runcol {
	/* Private to the builder but for nonnull, min and max: what it needs for every chunk,
	 * filled from the table when the run begins, in one cache line. */
	struct canp_segcut cut; /* of val, for stores INDEX only */
	struct canp_hybrid hyb;
	uint32_t nonnull;
	uint16_t min, max; /* lowest and highest index used; min > max when nonnull is 0 */
	uint8_t op;        /* how a chunk is added, see columns.c */
	uint8_t raw_bits;  /* the index is (window[win] >> shift & mask(raw_bits)) ^ flip */
	uint8_t win, shift;
	uint16_t flip, pad;
	/* results */
	struct canp_segs val;
	/* Definition levels (hybrid, width 1, without the u32 length), 0 bytes when all rows are
	 * present or none is; while the run grows one slot of validity bits instead. */
	struct canp_segs lev;
} CANP_ALIGNED(64);
CANP_STATIC_ASSERT(offsetof(struct canp_runcol, val) == 64, "a chunk touches one line of a column");
#define CANP_RUN_COLS_PER_SLOT (CANP_PAGE_SLOT_BYTES / (uint32_t)sizeof(struct canp_runcol))
#define CANP_RUN_COL_SLOTS     256u

/* Raw records: whole slots of CANP_RUN_RAW_PER_SLOT(stride) records each. The slots hold 1,023
 * records of the widest kind: 80 bytes of CAN FD and the columns of plugins. */
#define CANP_RUN_STRIDE_MAX           256u
#define CANP_RUN_RAW_PER_SLOT(stride) ((CANP_PAGE_SLOT_BYTES / (stride)) & ~7u)
#define CANP_RUN_RAW_SLOTS            32u

struct canp_run {
	struct canp_msg msg;   /* first member: a run is a lane message */
	struct canp_run *link; /* for whoever holds the run; the builder leaves it NULL */
	const struct canp_table *table;
	uint64_t unit; /* sequence number given to canp_runb_finish() */
	uint32_t slot; /* the table's slot in the plan */
	uint32_t seq;  /* 0, 1, .. inside one unit and table */
	uint32_t rows;
	bool raw; /* records instead of columns */
	bool has_ts_ns;
	struct canp_segs meta; /* struct canp_run_meta, merged; their rows add up to `rows` */
	/* raw */
	uint8_t *raw_rec[CANP_RUN_RAW_SLOTS];
	uint8_t *raw_lens; /* [rows], 0xff = long enough; NULL when no row is short */
	/* encoded */
	CANP_ALIGNED(64) struct canp_run_ts ts;
	CANP_ALIGNED(64) struct canp_run_ts ts_ns;
	uint32_t nr_cols;
	struct canp_runcol *cols[CANP_RUN_COL_SLOTS];
};
CANP_STATIC_ASSERT(sizeof(struct canp_run) <= CANP_PAGE_SLOT_BYTES, "a run is a page slot");

/* Column i of an encoded run, i < run->nr_cols = table->nr_cols (hidden columns stay empty). */
static inline struct canp_runcol *canp_run_col(const struct canp_run *run, uint32_t i)
{
	return &run->cols[i / CANP_RUN_COLS_PER_SLOT][i % CANP_RUN_COLS_PER_SLOT];
}

/* Gives every slot of the run, the run itself included, back to the pool it was built from.
 * Thread of the pool's owner only. run may be NULL. */
void canp_run_free(struct canp_run *run, struct canp_pool *pool);
/* Page slots the run holds, itself included. Any thread that holds the run. */
uint32_t canp_run_slots(const struct canp_run *run);

/* Segment chains. Writers ask for contiguous room and commit what they used; the caller has made
 * sure that the pool can give a slot (it is asserted). Thread of the pool's owner only. */
/* n contiguous bytes (n <= CANP_PAGE_SLOT_BYTES - 16) behind the bytes already in the chain. */
uint8_t *canp_segs_room(struct canp_segs *s, struct canp_pool *pool, bool privileged, uint32_t n);
void canp_segs_commit(struct canp_segs *s, uint32_t n);
/* Appends len bytes, filling segments to the brim. */
void canp_segs_put(struct canp_segs *s, struct canp_pool *pool, bool privileged, const void *data,
		   size_t len);
/* The same for builders that keep a cut: n contiguous bytes at cut->at, to be advanced by what is
 * used. */
void canp_segcut_grow(struct canp_segcut *cut, struct canp_segs *s, struct canp_pool *pool,
		      bool privileged, uint32_t n);
static inline void canp_segcut_room(struct canp_segcut *cut, struct canp_segs *s,
				    struct canp_pool *pool, bool privileged, uint32_t n)
{
	if (canp_unlikely((size_t)(cut->end - cut->at) < n))
		canp_segcut_grow(cut, s, pool, privileged, n);
}
/* Tells the chain what was written. */
void canp_segcut_sync(const struct canp_segcut *cut, struct canp_segs *s);
/* Segments in a chain. */
uint32_t canp_segs_slots(const struct canp_segs *s);
/* Gives all segments back; s is empty afterwards. */
void canp_segs_free(struct canp_segs *s, struct canp_pool *pool);

/* Sequential reader of a chain. Zero-initialise with canp_segcur_at(). */
struct canp_segcur {
	const struct canp_seg *seg;
	uint32_t off;
};
static inline struct canp_segcur canp_segcur_at(const struct canp_segs *s)
{
	return (struct canp_segcur){.seg = s->head};
}
/* Copies up to n bytes to out (NULL: skips them); returns how many there were. */
size_t canp_segcur_read(struct canp_segcur *c, void *out, size_t n);

#endif
