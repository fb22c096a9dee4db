/*
 * sink_parquet.h - the part writer: page runs in order become one Parquet file.
 *
 * Three objects:
 *   canp_pqschema  what follows from a table and the options alone: leaf columns, the serialised
 *                  schema and key-value metadata. Made once per table by the control plane.
 *   canp_pqshared  work memory and codec state of one owner thread, shared by all its parts.
 *   canp_pqw       one open part. Lives in page slots of the owner, as do the pages of its open
 *                  row group and the metadata of its closed ones.
 *
 * canp_pqw_place() copies what it needs out of a run, so the run can go home at once. A row group
 * is closed at the first run that brings it to rowgroup_rows (or to 1,024 pages, or to 32,768
 * changes of origin, so that page index and dictionaries stay bounded). Closing happens in
 * canp_pqw_step(): column by column and page by page, each piece only when the sink has room for
 * it, so that a reactor never blocks. What is written depends on the runs, the options and the
 * table only, never on when steps were made.
 *
 * File: "PAR1", row groups (per column: dictionary page, data pages), all column indexes, all
 * offset indexes, footer. Columns: ts, [ts_ns], src, [device], bus, signals.
 */
#ifndef CANP_SINK_SINK_PARQUET_H
#define CANP_SINK_SINK_PARQUET_H

#include <stdbool.h>
#include <stdint.h>

#include "io/sink/bytesink.h"
#include "io/sink/columns.h"
#include "io/sink/pqenc.h"
#include "io/sink/run.h"

struct canp_pqschema;
struct canp_pqshared;
struct canp_pqw;

struct canp_pqschema_opts {
	bool ts_ns_column;  /* ts_ns INT64 */
	bool device_column; /* device STRING */
	bool enum_labels;   /* <signal>_label STRING for signals with a value table */
	enum canp_pq_codec codec;
	int codec_level;     /* gzip 0..3, zstd 1..9; otherwise the nearest of these */
	const char *version; /* of the product, "0.1.0"; copied */
};

/* Control plane: allocates. table must outlive the schema; read-only and any thread afterwards. 0,
 * -ENOMEM, or -E2BIG when the metadata does not fit a footer (16 MiB). */
int canp_pqschema_create(const struct canp_table *table, const struct canp_pqschema_opts *opts,
			 struct canp_pqschema **out);
void canp_pqschema_destroy(struct canp_pqschema *s);

/* Work memory of an owner thread: mem is 64-byte aligned, canp_pqshared_bytes() long (about 4 MiB)
 * and owned by the caller. */
size_t canp_pqshared_bytes(void);
struct canp_pqshared *canp_pqshared_init(void *mem);

struct canp_pqw_opts {
	const struct canp_pqschema *schema;
	struct canp_pqshared *shared;
	struct canp_runscratch *scratch;
	struct canp_pool *pool;    /* page slots of the owner, CANP_PAGE_SLOT_BYTES each */
	struct canp_bytesink sink; /* where the file goes */
	uint32_t rowgroup_rows;    /* >= 1 */
	uint32_t run_rows;         /* of the pages made from raw runs; as given to the producers */
	/* Name of a device index in UTF-8 (index 0 = none gives ""); needed with device_column. The
	 * string must stay valid for the life of the part. */
	const char *(*device_name)(void *arg, uint32_t device);
	void *arg;
};

/* Page slots that canp_pqw_open() takes. */
uint32_t canp_pqw_need_open(const struct canp_pqschema *s);
/* Page slots that placing a run of this table can take in the present state, the close of the row
 * group included (those are taken aside when the close begins). run == NULL: what
 * canp_pqw_close_group() or canp_pqw_finish() can take. */
uint32_t canp_pqw_need(const struct canp_pqw *w, const struct canp_run *run);

/* A new part. The caller has made sure of canp_pqw_need_open() slots; only privileged parts go into
 * the pool's reserve. Owner thread only, as all that follows. */
struct canp_pqw *canp_pqw_open(const struct canp_pqw_opts *o, bool privileged);
/* Gives all slots back, whatever the state. */
void canp_pqw_destroy(struct canp_pqw *w);

/* Whether steps must be made before the next place. */
bool canp_pqw_busy(const struct canp_pqw *w);
/* Takes over a run of this table (raw or encoded). Not while busy. The run is only read. */
void canp_pqw_place(struct canp_pqw *w, const struct canp_run *run);
/* Begins to close the open row group, if it has rows (checkpoint). Not while busy. */
void canp_pqw_close_group(struct canp_pqw *w);
/* Begins to close the row group and to write the footer. Not while busy. */
void canp_pqw_finish(struct canp_pqw *w);
/* Goes on with what was begun. 0: done, not busy any more. 1: the sink has no room for the next
 * piece; call again when it has. Does at most one row group's work per call. */
int canp_pqw_step(struct canp_pqw *w);

/* Rows in the part, those of the open row group included. */
uint64_t canp_pqw_rows(const struct canp_pqw *w);
/* Signal values placed that are not null; rows that wait in the pending page are not counted yet.
 */
uint64_t canp_pqw_values(const struct canp_pqw *w);
/* Bytes put into the sink so far. */
uint64_t canp_pqw_bytes(const struct canp_pqw *w);
/* Row groups closed so far. */
uint32_t canp_pqw_groups(const struct canp_pqw *w);
/* Page slots held now. */
uint32_t canp_pqw_slots(const struct canp_pqw *w);

#endif
