/*
 * part.h - one table's open output file on the shard that owns it: a Parquet part writer or a CSV
 * writer on top of an output file, behind one set of calls.
 *
 * Nothing here blocks. place and finish are repeated until they are done; a result of 1 means that
 * staging memory is full for now and the caller should come back after the ring made progress.
 * Errors are sticky per part; the temporary is removed then and nothing appears under the final
 * name.
 */
#ifndef CANP_SINK_PART_H
#define CANP_SINK_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "io/devices.h"
#include "io/sink/bytesink.h"
#include "io/sink/outfile.h"
#include "io/sink/partition.h"
#include "io/sink/run.h"
#include "io/sink/sink_csv.h"
#include "io/sink/sink_parquet.h"

enum canp_part_kind { CANP_SINK_PARQUET, CANP_SINK_CSV };

/* A part rolls into the next file at set->part_bytes or this many row groups. */
#define CANP_PART_GROUPS_MAX 1024u

/* What all parts of one owner share. Filled by the writer; read-only afterwards but for counters.
 */
struct canp_hooks;
struct canp_observe_shard;
struct canp_stage_clock;
struct canp_partset {
	enum canp_part_kind kind;
	struct canp_ring *ring;
	struct canp_pool *staging; /* blocks of the output files */
	struct canp_pool *pages;   /* page slots of the owner */
	struct canp_pqshared *shared;
	struct canp_runscratch *scratch;
	const struct canp_devices *devices;
	int out_fd; /* dataset directory */
	enum canp_io_policy policy;
	uint64_t part_bytes; /* 0: no limit */
	uint32_t rowgroup_rows, run_rows;
	bool ts_ns, device_column, enum_labels, wait_on_space;
	struct canp_observe_shard *obs; /* who watches; may be NULL */
	struct canp_hooks *hooks;       /* told of published files; may be NULL */
	/* For canp-bench, see io/stage.h: no files are made; the clock that only the output layer
	 * runs on. NULL and false in every real job. */
	bool discard;
	struct canp_stage_clock *clock;
	/* results */
	uint64_t parts_published, bytes_published, rows_published, values_published;
	uint32_t finishing; /* finish or abort under way */
	int error;          /* first -errno of any part */
	char error_what[160];
};

enum canp_part_state {
	CANP_PART_CLOSED,
	CANP_PART_OPEN,
	CANP_PART_ENDING,     /* footer being written */
	CANP_PART_PUBLISHING, /* fdatasync, rename, fsync under way */
	CANP_PART_FAILED,
};

struct canp_part {
	struct canp_partset *set;
	const struct canp_table *table;
	const struct canp_pqschema *schema; /* Parquet only */
	struct canp_out *out; /* memory for the open file, lent by the writer while open */
	enum canp_part_state state;
	uint32_t seq;
	uint64_t used_at; /* writer's clock, for its LRU */
	uint64_t rows_total;
	int dirfd;
	bool aborting;   /* the file is being removed */
	uint64_t rows;   /* of the open file */
	uint64_t values; /* signal values of the file that is being published */
	union {
		struct canp_pqw *pqw;
		struct {
			struct canp_csv_opts opts;
			bool header_done;
			uint32_t row; /* next row of the run being placed */
		} csv;
	};
};

/* Opens the next file of the part (creates the table's directory). 0 or -errno (sticky). */
int canp_part_open(struct canp_part *p, struct canp_out *mem);
/* Takes a run. 0: taken, the run may go home; 1: come back; -errno: failed. */
int canp_part_place(struct canp_part *p, const struct canp_run *run);
/* Writes the row group that the run placed last has closed, if it did. 0: done, and the size of the
 * file is that of the rows placed, whatever the timing; 1: come back; -errno: failed. */
int canp_part_settle(struct canp_part *p);
/* True when the open file, which is settled, has reached its size or row-group limit; never in the
 * middle of a run. */
bool canp_part_full(const struct canp_part *p);
/* Writes the end of the file and starts publishing. 0: publishing has begun (or nothing was open);
 * 1: come back; -errno. Publishing ends by itself; set->finishing counts it. */
int canp_part_finish(struct canp_part *p);
/* Throws the open file away. Ends by itself like publishing. */
void canp_part_abort(struct canp_part *p);

#endif
