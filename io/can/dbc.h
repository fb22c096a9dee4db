/*
 * dbc.h - a DBC file as data: messages, signals, value tables and the attributes that matter.
 *
 * The parser is tolerant by intent: real files have broken encodings, identifiers that start with
 * digits, statements out of order, missing semicolons and ids that no standard allows. Whatever
 * cannot be used gives one warning with file:line and is skipped up to the next line that starts
 * with a keyword. Only a file that cannot be read, is too large, or lack of memory is an error.
 *
 * Strings are UTF-8: the file is taken as UTF-8 when all of it is valid, else as Windows-1252.
 */
#ifndef CANP_IO_DBC_H
#define CANP_IO_DBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bump.h"
#include "core/base/sha256.h"

struct canp_strbuf;

/* Larger files are refused: the biggest known vehicle database is below 20 MB. */
#define CANP_DBC_BYTES_MAX (64u << 20)
/* More signals than this in one message are dropped with a warning. */
#define CANP_DBC_SIGNALS_MAX 4096u

struct canp_dbc_value { /* VAL_ entry */
	int64_t raw;
	const char *text;
};

struct canp_dbc_range { /* SG_MUL_VAL_ range, inclusive */
	uint64_t lo, hi;
};

struct canp_dbc_signal {
	const char *name;           /* the long name when the file has one */
	const char *short_name;     /* as written in SG_ */
	const char *unit, *comment; /* never NULL */
	uint32_t line;
	uint32_t start;   /* as written */
	uint8_t bits;     /* 1..64 */
	uint8_t is_float; /* 0, 16, 32 or 64 */
	bool big_endian, is_signed;
	bool is_muxor; /* M or m<k>M */
	bool is_muxed; /* m<k> or m<k>M */
	bool integral; /* factor and offset are integers that fit int64_t, factor not 0 */
	uint64_t mux_value;
	double factor, offset, minimum, maximum;
	int64_t ifactor, ioffset;
	/* SG_MUL_VAL_: the short name of the multiplexor and the ranges; NULL when there is none.
	 */
	const char *mux_parent;
	uint32_t nr_ranges, nr_values;
	struct canp_dbc_range *ranges;
	struct canp_dbc_value *values; /* ascending by raw, each raw once */
	double start_value;            /* GenSigStartValue, raw; NaN when not stated */
	int64_t spn;                   /* SPN; -1 when not stated */
};

/* VFrameFormat codes that matter; other codes are kept as they are. */
enum canp_dbc_vframe {
	CANP_VFRAME_NONE = -1, /* not stated */
	CANP_VFRAME_STD = 0,
	CANP_VFRAME_EXT = 1,
	CANP_VFRAME_J1939 = 3,
	CANP_VFRAME_STD_FD = 14,
	CANP_VFRAME_EXT_FD = 15,
};

struct canp_dbc_message {
	const char *name, *short_name, *comment, *sender;
	uint32_t line;
	uint32_t raw_id; /* as written */
	uint32_t id;     /* without flag bits */
	bool ext;
	bool vframe_stated; /* by BA_ on this message, not by the default */
	bool shadowed;      /* a later message of this file has the same id: not to be used */
	int vframe;
	uint32_t length;
	uint32_t cycle_ms; /* GenMsgCycleTime, 0: none */
	uint32_t nr_signals;
	struct canp_dbc_signal *signals; /* file order */
};

struct canp_dbc {
	const char *path;
	const char *file; /* path without directory */
	const char *version, *comment, *db_name, *bus_type, *protocol_type; /* never NULL */
	uint64_t baudrate;            /* bit/s, 0: not stated */
	char sha256[CANP_SHA256_HEX]; /* of the bytes of the file */
	bool cp1252;                  /* the file was not valid UTF-8 */
	uint32_t nr_messages;
	struct canp_dbc_message *messages; /* file order; orphan and pseudo messages left out */
	size_t nr_warnings;
	struct canp_bump mem; /* owns everything above */
};

/* Receives one line without newline, e.g. "x.dbc:12: ...". */
typedef void (*canp_dbc_warn_fn)(void *arg, const char *line);

/* Reads and parses a file. 0, or -errno with a line in *err (may be NULL): the errno of open/read,
 * -EFBIG when too large, -EISDIR, -ENOMEM. *out is untouched on failure. warn may be NULL.
 * Control plane; allocates; no shared state. */
int canp_dbc_load(const char *path, struct canp_strbuf *err, canp_dbc_warn_fn warn, void *arg,
		  struct canp_dbc **out);
/* The same for text in memory; path only names it. text need not be NUL-terminated and is not
 * kept. */
int canp_dbc_parse(const char *path, const void *text, size_t len, struct canp_strbuf *err,
		   canp_dbc_warn_fn warn, void *arg, struct canp_dbc **out);
void canp_dbc_destroy(struct canp_dbc *dbc); /* NULL is fine */

/* The message used for an id (the last one of the file), or NULL. */
const struct canp_dbc_message *canp_dbc_find(const struct canp_dbc *dbc, uint32_t id, bool ext);
/* The signal of this short or long name (the first one), or NULL. */
const struct canp_dbc_signal *canp_dbc_signal(const struct canp_dbc_message *msg, const char *name);

#endif
