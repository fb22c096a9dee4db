/*
 * plan.h - what a job extracts: DBC messages resolved into tables, columns, masks and shifts, and
 * id maps per bus. Made once before the first file is read; read-only afterwards, shared by all
 * shards. The schema follows from the DBC and the options alone, never from data.
 */
#ifndef CANP_IO_PLAN_H
#define CANP_IO_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/frames.h"

struct canp_dbc;
struct canp_strbuf;

/* Logical type of a column; the sinks map it to their own types. */
enum canp_coltype {
	CANP_COL_BOOL,
	CANP_COL_U8,
	CANP_COL_I8,
	CANP_COL_U16,
	CANP_COL_I16,
	CANP_COL_U32,
	CANP_COL_I32,
	CANP_COL_U64,
	CANP_COL_I64,
	CANP_COL_F32,
	CANP_COL_F64,
	CANP_COL_BYTES, /* payload of raw frames */
};

/* Where a column's raw value comes from. */
enum canp_colsrc {
	CANP_SRC_SIGNAL, /* bits of the payload */
	CANP_SRC_SA,     /* J1939 source address: id & 0xff of the record head */
	CANP_SRC_ID,     /* record head: id without flag bits */
	CANP_SRC_FLAG,   /* record head: flags >> shift & 1 */
	CANP_SRC_DLC,
	CANP_SRC_LEN,
	CANP_SRC_DATA, /* `len` payload bytes (CANP_COL_BYTES) */
};

/* How the raw index is stored in a page run; see io/sink/columns.h. */
enum canp_colstore {
	CANP_STORE_INDEX, /* raw_bits <= 16: identity dictionary, index = raw ^ sign bit */
	CANP_STORE_U32,   /* raw_bits 17..32: little-endian u32 raw (no flip) */
	CANP_STORE_U64,   /* raw_bits 33..64: u64 raw (no flip), also floats (32-bit ones as u32) */
	CANP_STORE_BYTES,
};

struct canp_valdesc { /* one entry of a value table; tables ascend by raw, each raw once */
	int64_t raw;
	const char *text;
};

/* Presence condition of a multiplexed signal: parent column's raw value inside one of the ranges
 * and the parent itself present. */
struct canp_muxrange {
	uint64_t lo, hi; /* inclusive, unsigned raw */
};

struct canp_col {
	const char *name; /* unique in its table without regard to case; never a reserved name */
	const char *dbc_name; /* as in the DBC */
	const char *unit;     /* UTF-8, "" when none */
	const char *comment;  /* UTF-8, "" when none */
	enum canp_coltype type;
	enum canp_colsrc src;
	enum canp_colstore store;
	/* raw bits */
	uint8_t raw_bits; /* 1..64 */
	bool is_signed;
	uint8_t is_float; /* 0, 16, 32 or 64; 16 (binary16) is stored as an index, type F64 */
	bool big_endian;
	uint16_t start_bit; /* as written in the DBC */
	/* extraction, normalised: raw = (window[win] >> shift) & mask(raw_bits); when `wide` the
	 * signal straddles nine bytes and is extracted from the record bit by bit. */
	uint8_t win;
	uint8_t shift;
	bool wide;
	uint8_t need; /* payload bytes needed: row is null when len < need */
	/* scaling: phys = raw * factor + offset. integral: factor and offset are integers and
	 * phys fits `type` exactly. */
	bool integral;
	double factor, offset;
	int64_t ifactor, ioffset;
	double minimum, maximum; /* 0,0 = none stated */
	/* multiplexing; mux_parent is a column index of the same table or -1. The parent column may
	 * be one that is not selected for output (see `hidden`). */
	int32_t mux_parent;
	uint32_t nr_mux;
	const struct canp_muxrange *mux;
	bool hidden; /* needed for multiplexing or as presence only, not written */
	/* Made by the plugin of this name (canp_plan_widen()), not by the DBC: type F64, null where
	 * the hidden one-bit column mux_parent is 0. NULL: of the DBC. */
	const char *plugin;
	uint32_t nr_values;
	const struct canp_valdesc *values;
};

/* A window is one u64 per row that several columns share: bytes off..off+7 of the payload
 * (clipped so that it stays inside the record), byte-swapped when `be`. */
struct canp_window {
	uint8_t off;
	bool be;
};

struct canp_table {
	const char *name;    /* directory name, unique without regard to case */
	const char *message; /* message name in the DBC; "" for canp_* tables */
	const char *comment;
	uint32_t id; /* CAN id without flag bits */
	bool ext, j1939, fd;
	uint32_t pgn;    /* when j1939 */
	uint16_t length; /* bytes as stated by the DBC */
	enum canp_rec_class cls;
	uint16_t stride; /* record bytes */
	/* Columns of plugins: doubles behind the record of the frame, at extra_off, then eight
	 * bytes of presence bits. nr_extra 0: none, extra_off is not used. */
	uint16_t extra_off;
	uint8_t nr_extra;
	uint8_t payload_off; /* 8 for S and J, 16 for F */
	uint8_t payload_max; /* bytes of payload a record holds */
	uint8_t need;        /* largest `need` of the columns */
	uint32_t nr_cols, nr_wins;
	const struct canp_col *cols;
	const struct canp_window *wins;
	uint32_t row_bytes; /* upper bound of packed bytes a row takes in a page run, ts included */
	uint64_t layout_hash; /* of id, layout and scaling: equal definitions share a table */
	const char *dbc_name; /* file name (no directory) of the first DBC that defines it */
	const char *dbc_version;
	char dbc_sha256[65];
};

/* Bytes of a record as frames are grouped into it, before plugins add their columns. */
static inline uint16_t canp_table_frame_stride(const struct canp_table *t)
{
	return t->nr_extra ? t->extra_off : t->stride;
}

struct canp_plan_opts {
	/* -d arguments in order. bus NULL or "": every bus; else interface name or trailing number
	 * ("can1", "1", "vcan0"). */
	struct canp_plan_dbc {
		const char *bus;
		const char *path;
	} * dbcs;
	size_t nr_dbcs;
	enum { CANP_J1939_AUTO, CANP_J1939_OFF, CANP_J1939_ALWAYS } j1939;
	const char *select;  /* "EEC1.EngineSpeed,CCVS*", NULL: all */
	const char *exclude; /* same grammar, NULL: nothing */
	const char *bus;     /* --bus "1,can2": only these buses; NULL: all */
	bool raw;            /* canp_frames beside the tables (forced when nr_dbcs == 0) */
	bool unknown_keep;   /* --unknown=keep */
	bool device_column, ts_ns_column;
	bool enum_labels; /* --enum=both */
};

struct canp_plan {
	struct canp_plan_opts opts;
	/* Slot s >= CANP_SLOT_FIRST_TABLE belongs to tables[s - CANP_SLOT_FIRST_TABLE]; the fixed
	 * slots EVENTS and RAW have tables of their own (cls CANP_REC_NONE when not wanted). */
	uint32_t nr_tables;
	struct canp_table *tables;
	struct canp_table events, raw;
	/* Id maps: maps[0] serves buses that no -d names. */
	uint32_t nr_maps;
	struct canp_idmap **maps;
	uint64_t schema_hash;
	size_t nr_warnings;
	void *priv; /* private to plan.c */
};

/* Parses the DBCs and builds the plan. On failure -errno and *err (may be NULL) gets a line with
 * file, line, what and what to do. Warnings go to warn (may be NULL), one per oddity with
 * file:line. Control plane only: allocates. */
int canp_plan_create(const struct canp_plan_opts *opts, struct canp_strbuf *err,
		     void (*warn)(void *arg, const char *line), void *arg, struct canp_plan **out);
void canp_plan_destroy(struct canp_plan *plan);

/* A column that a plugin adds. Copied. */
struct canp_plan_extra {
	const char *name; /* as a signal of a DBC: letters, digits, _ */
	const char *unit; /* NULL: "" */
	const char *plugin;
};
#define CANP_PLAN_EXTRA_MAX 16u /* of one table */

/* Gives a message table nr nullable double columns more; at most once per table, before anything
 * else looks at the table. Control plane only. -EINVAL (name), -EEXIST (the table has that column),
 * -E2BIG (too many), -ENOMEM, with a line in err. */
int canp_plan_widen(struct canp_plan *plan, unsigned slot, const struct canp_plan_extra *extra,
		    unsigned nr, struct canp_strbuf *err);

/* Table of a slot; NULL for DROP and UNKNOWN and for unwanted fixed slots. */
const struct canp_table *canp_plan_table(const struct canp_plan *plan, unsigned slot);
static inline unsigned canp_plan_nr_slots(const struct canp_plan *plan)
{
	return CANP_SLOT_FIRST_TABLE + plan->nr_tables;
}

/* Messages of more bytes than a frame has: laid out, so that they can be listed and reassembled
 * payloads decoded, but without a slot (cls CANP_REC_NONE). NULL when i is past the last one. */
const struct canp_table *canp_plan_transport(const struct canp_plan *plan, unsigned i);

/* Id map of one bus; NULL when --bus excludes it. name may be NULL. Control plane or format open;
 * thread-safe (read-only). A full name match (-d vcan0=F) beats a number match, which beats F.
 * Names compare without case. A number (-d 1=F) matches buses of that number; a name with a number
 * (-d can1=F) does so only for buses whose own name does not end in it (vcan1 is not can1). */
const struct canp_idmap *canp_plan_map(const struct canp_plan *plan, const char *name,
				       unsigned number);

#endif
