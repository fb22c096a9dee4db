/*
 * err.h - the two kinds of failure, kept apart.
 *
 * Operating errors are negative errno values returned by functions; they may stop the job. Data
 * faults say that some bytes of one input are bad; they are separate objects with file and offset,
 * are counted and reported, and never stop anything else.
 */
#ifndef CANP_BASE_ERR_H
#define CANP_BASE_ERR_H

#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

/* name, short text, what the user can do. The name is what reports and canp_errors carry. */
#define CANP_FAULTS(X)                                                                             \
	X(NONE, "no fault", "")                                                                    \
	X(TRUNCATED, "input ends inside a record",                                                 \
	  "copy the file again; frames before the cut were kept")                                  \
	X(BAD_MAGIC, "expected signature not found",                                               \
	  "check that the file is a log of this format")                                           \
	X(BAD_LENGTH, "length field out of range", "the writer or the medium damaged the header")  \
	X(BAD_DEFLATE, "compressed data is corrupt", "only this member is lost")                   \
	X(BAD_CHECKSUM, "checksum does not match", "only this member is lost")                     \
	X(BAD_RECORD, "record does not follow the format", "only this record is lost")             \
	X(BAD_TEXT, "line cannot be parsed", "only this line is lost")                             \
	X(BAD_TIME, "timestamp out of range", "check --canp-ts-unit and --canp-epoch")             \
	X(JUNK, "bytes between records skipped", "resynchronised at the next record")              \
	X(UNSUPPORTED, "feature of the format not supported", "the record was skipped")            \
	X(LIMIT, "limit exceeded", "raise the --limit-* option if the file is trusted")            \
	X(UNVERIFIED, "stream ended before its checksum",                                          \
	  "frames up to here are kept, unverified")                                                \
	X(IO, "reading failed", "see the system error in the detail")                              \
	X(EMPTY, "file is empty", "nothing to do")                                                 \
	X(NOT_A_LOG, "no known log format recognised", "use `canp-appliance inspect` on the file") \
	X(NO_MEMORY, "not enough pool memory for this file", "raise --mem-per-core")

enum canp_fault_code {
#define X(name, text, fix) CANP_FAULT_##name,
	CANP_FAULTS(X)
#undef X
		CANP_FAULT_NR
};

/* One data fault. offset is the byte offset in the input file as stored (for a member inside a
 * gzip'd file: the offset of the enclosing compressed byte known last); bytes is how much was
 * lost, 0 when unknown. */
struct canp_fault {
	enum canp_fault_code code;
	uint64_t offset;
	uint64_t bytes;
	char detail[112];
};

/* Constant strings, never NULL, valid for ever; any thread. */
const char *canp_fault_name(enum canp_fault_code code);
const char *canp_fault_text(enum canp_fault_code code);
const char *canp_fault_fix(enum canp_fault_code code);

/* Text of a negative errno (sign ignored); constant string, any thread. */
const char *canp_strerror(int err);

/* Fills *f; detail is printf-formatted and truncated to fit. Any thread. */
void canp_fault_set(struct canp_fault *f, enum canp_fault_code code, uint64_t offset,
		    uint64_t bytes, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

CANP_END_DECLS

#endif
