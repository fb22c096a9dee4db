/*
 * sink_csv.h - RFC 4180 text of a message table, fed by chunks or by runs.
 *
 * Header line; ts as ISO 8601 UTC with microseconds; doubles as the shortest text that reads back
 * to the same value; empty field = null; quotes only where needed; lines end in \n as DuckDB,
 * pandas and R expect (CRLF on request is not offered). Byte columns are hex, booleans true and
 * false.
 *
 * Only raw runs and chunks can be written: a builder whose run_rows is CANP_CSV_RUN_ROWS never
 * packs columns. No allocation; thread of the owner only.
 *
 * Without CONFIG_CANP_SINK_CSV the option engine refuses --sink=csv and the functions that write
 * rows are -ENOTSUP; the number and time texts stay, because Parquet metadata uses them too.
 */
#ifndef CANP_SINK_SINK_CSV_H
#define CANP_SINK_SINK_CSV_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/can/group.h"
#include "io/sink/bytesink.h"
#include "io/sink/run.h"

struct canp_csv_opts {
	const struct canp_table *table;
	bool ts_ns_column, device_column, enum_labels;
	struct canp_bytesink sink;
	/* Name of a device index; needed with device_column. */
	const char *(*device_name)(void *arg, uint32_t device);
	void *arg;
	uint64_t *values; /* grows by the signal values written; may be NULL */
};

#ifdef CONFIG_CANP_SINK_CSV
/* Upper bound of the text of one row, and of the header line. */
size_t canp_csv_row_max(const struct canp_csv_opts *o);
/* Writes the header line; -ENOBUFS when the sink has no room for it (try again later). */
int canp_csv_header(const struct canp_csv_opts *o);
/* Writes rows from *row on, as many as the sink has room for, and advances *row. 0 when the chunk
 * is done, 1 when the sink is full. */
int canp_csv_chunk(const struct canp_csv_opts *o, const struct canp_chunk *chunk, unsigned *row);
/* The same for a raw run, which must stay until it is done. */
int canp_csv_run(const struct canp_csv_opts *o, const struct canp_run *run, unsigned *row);
#else
static inline size_t canp_csv_row_max(const struct canp_csv_opts *o)
{
	(void)o;
	return 0;
}

static inline int canp_csv_header(const struct canp_csv_opts *o)
{
	(void)o;
	return -ENOTSUP;
}

static inline int canp_csv_chunk(const struct canp_csv_opts *o, const struct canp_chunk *chunk,
				 unsigned *row)
{
	(void)o;
	(void)chunk;
	(void)row;
	return -ENOTSUP;
}

static inline int canp_csv_run(const struct canp_csv_opts *o, const struct canp_run *run,
			       unsigned *row)
{
	(void)o;
	(void)run;
	(void)row;
	return -ENOTSUP;
}
#endif

/* run_rows of builders whose runs go to CSV: below CANP_RUN_RAW_ROWS, so they stay raw. */
#define CANP_CSV_RUN_ROWS 768u

/* Shortest decimal text that reads back to the same double; NaN, inf as "NaN", "Infinity". buf has
 * 32 bytes; returns the length. Any thread. */
size_t canp_csv_double(double v, char *buf);
/* The same for a float: shortest text that reads back to the same float. */
size_t canp_csv_float(float v, char *buf);
/* "2024-01-02T03:04:05.000006Z" of microseconds since 1970; any i64. buf has 40 bytes. */
size_t canp_csv_time(int64_t us, char *buf);

#endif
