/*
 * sidetable.h - small typed tables written whole: canp_files, canp_signals, canp_errors. Rows are
 * collected in memory by the control plane (they allocate), written as Parquet or CSV at the end.
 *
 * Strings are dictionary-coded; integers and times are DELTA or PLAIN; doubles PLAIN. The rules for
 * statistics, page index and footer are those of the part writer.
 */
#ifndef CANP_SINK_SIDETABLE_H
#define CANP_SINK_SIDETABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/sink/bytesink.h"
#include "io/sink/pqenc.h"

enum canp_side_type {
	CANP_SIDE_U8,
	CANP_SIDE_I32,
	CANP_SIDE_I64,
	CANP_SIDE_U64,
	CANP_SIDE_DOUBLE,
	CANP_SIDE_BOOL,
	CANP_SIDE_STRING,
	CANP_SIDE_TS_US, /* microseconds since 1970, UTC */
};

struct canp_side_col {
	const char *name;
	enum canp_side_type type;
	bool optional; /* rows may be null */
};

/* One value of a row; valid = false is null. */
struct canp_side_val {
	bool valid;
	union {
		int64_t i; /* all integer types, bool and time */
		uint64_t u;
		double d;
		const char *s; /* NUL-terminated UTF-8; copied; at most 65,535 bytes */
	};
};

struct canp_sidetable;

struct canp_side_kv {
	const char *key, *value;
};

/* cols and names are copied. 0 or -ENOMEM. Control plane only, one thread at a time. */
int canp_sidetable_create(const struct canp_side_col *cols, uint32_t nr_cols,
			  struct canp_sidetable **out);
void canp_sidetable_destroy(struct canp_sidetable *t);
/* Adds one row of nr_cols values. 0, -ENOMEM, or -EINVAL for null in a required column
 * or a text that is too long; nothing is added then. */
int canp_sidetable_add(struct canp_sidetable *t, const struct canp_side_val *vals);
uint64_t canp_sidetable_rows(const struct canp_sidetable *t);

/* Serialises the table. Not resumable: the sink must take every piece (up to CANP_BYTESINK_ROOM)
 * when it comes, as a memory buffer or a blocking file does; -ENOBUFS when it has less room. Row
 * groups of 262,144 rows, pages of at most 32,768. kv goes into the footer beside canp.schema and
 * canp.version. 0 or -errno; canp_simd_init() must have run. */
int canp_sidetable_write_parquet(struct canp_sidetable *t, enum canp_pq_codec codec,
				 const char *version, const struct canp_side_kv *kv, uint32_t nr_kv,
				 const struct canp_bytesink *sink);
#ifdef CONFIG_CANP_SINK_CSV
/* The same as RFC 4180 text with a header line; -ENOTSUP in builds without the CSV sink. */
int canp_sidetable_write_csv(struct canp_sidetable *t, const struct canp_bytesink *sink);
#else
static inline int canp_sidetable_write_csv(struct canp_sidetable *t,
					   const struct canp_bytesink *sink)
{
	(void)t;
	(void)sink;
	return -ENOTSUP;
}
#endif

#endif
