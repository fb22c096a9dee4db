/*
 * err.h - the two kinds of failure, kept apart.
 *
 * Operating errors are negative errno values returned by functions; they may stop the job. Data
 * faults say that some bytes of one input are bad; they are separate objects with file and offset,
 * are counted and reported, and never stop anything else.
 *
 * Both carry more than a number where they are kept: a task's result (core/runtime/task.h) has
 * cause (error and message), place (task, type, shard) and time (created, queued, run); a fault has
 * code, file, offset and detail.
 */
#ifndef CANP_BASE_ERR_H
#define CANP_BASE_ERR_H

#include <errno.h>
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
	X(NO_MEMORY, "not enough pool memory for this file", "raise --mem-per-core")               \
	X(WORKER, "worker process ended while decoding",                                           \
	  "file is quarantined: keep it apart and report it")

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

/* The errors that functions, tasks, pipelines and pools return, one set for all of them: what the
 * number means here. Each is the negative errno of the same name, so both spellings may be
 * compared; an error of the system that is not in the list (from open, read, ..) is passed on as it
 * came. */
#define CANP_ERRS(X)                                                                               \
	X(INVAL, "argument, option or graph is not valid")                                         \
	X(NOMEM, "no memory: the limit of the pool or of the system is reached")                   \
	X(TIMEDOUT, "time is up; what was waited for may still happen")                            \
	X(AGAIN, "no slot or credit free now, try again later")                                    \
	X(NOENT, "there is nothing of this name")                                                  \
	X(CANCELED, "cancelled before its end")                                                    \
	X(RANGE, "value out of range")                                                             \
	X(NOSPC, "all places are taken")                                                           \
	X(2BIG, "larger than the limit can ever allow")                                            \
	X(BADMSG, "data is damaged")                                                               \
	X(SHUTDOWN, "executor or pool is shutting down")                                           \
	X(EXIST, "name is taken")                                                                  \
	X(ALREADY, "already done or under way")                                                    \
	X(SRCH, "no such process, or nothing runs")                                                \
	X(BUSY, "in use or running")                                                               \
	X(STALE, "handle of something that is gone")                                               \
	X(NOTSUP, "not built in, or not supported here")                                           \
	X(NOTRECOVERABLE, "failed so often that it was given up")                                  \
	X(DEADLK, "waiting here would never end: the caller is a reactor")                         \
	X(CHILD, "worker process could not be started or has gone")                                \
	X(OWNERDEAD, "worker died during the task")                                                \
	X(PIPE, "other side was stopped")                                                          \
	X(NODATA, "dropped by a filter, or nothing there")                                         \
	X(LOOP, "graph has a cycle")                                                               \
	X(PROTO, "other side does not keep to the protocol")                                       \
	X(NAMETOOLONG, "name is too long")                                                         \
	X(INPROGRESS, "accepted; completes later")                                                 \
	X(FBIG, "file is too large")                                                               \
	X(DQUOT, "disk quota is used up")                                                          \
	X(NODEV, "no such device")                                                                 \
	X(ISDIR, "directory where a file is needed")                                               \
	X(INTR, "interrupted by a signal")                                                         \
	X(FAULT, "memory or part of a file is no longer there")                                    \
	X(CONNRESET, "other side closed the connection")                                           \
	X(BADF, "descriptor is not open")                                                          \
	X(ADDRINUSE, "address is taken by another server")                                         \
	X(NOBUFS, "queue of the other side is full")                                               \
	X(NOEXEC, "file is not a program")                                                         \
	X(NOSYS, "kernel does not have this")                                                      \
	X(PERM, "not allowed for this user or process")                                            \
	X(IO, "reading or writing failed")

enum canp_err {
	CANP_OK = 0,
#define X(name, text) CANP_ERR_##name = -E##name,
	CANP_ERRS(X)
#undef X
};

/* "EINVAL", what it means here; for errors outside the list "", canp_strerror(). Sign ignored. */
const char *canp_err_name(int err);
const char *canp_err_text(int err);
/* The system's text of a negative errno (sign ignored); constant strings, any thread. */
const char *canp_strerror(int err);

/* Fills *f; detail is printf-formatted and truncated to fit. Any thread. */
void canp_fault_set(struct canp_fault *f, enum canp_fault_code code, uint64_t offset,
		    uint64_t bytes, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

CANP_END_DECLS

#endif
