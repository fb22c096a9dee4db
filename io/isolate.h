/*
 * isolate.h - files are walked in worker processes (--isolate=process).
 *
 * What is dangerous about a log is looking at its bytes: recognising it, inflating, checking,
 * decoding. That half of `decode` then runs in a worker of a process pool (core/process/process.h).
 * The shard reads the file as ever and copies its bytes into a lane, the worker writes what its
 * walker would have told the grouper into the same lane (io/isolate_event.h), and when the file has
 * ended well the shard checks that and gives it to its own grouper. Everything behind is the same
 * code, so the dataset is the same to the byte.
 *
 *   lane:  | words | slots: |head room|1 MiB|pad| x 4 | spool: events of one file, 64 MiB |
 *
 * Rows of a file are staged until it has ended: of one whose worker dies nothing reaches the
 * dataset. A spool that is full is moved into a file without a name in the output folder, and the
 * worker goes on. One lane per shard, one file at a time. A worker sees the lane of its file and
 * hides the others from itself; it may open nothing, connect to nothing, start nothing (seccomp).
 *
 * The segment and the pool's first process are made before threads, arenas and rings are.
 */
#ifndef CANP_IO_ISOLATE_H
#define CANP_IO_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "io/format/ahead.h"
#include "io/format/format.h"

struct canp_isolate;
struct canp_iso_port;
struct canp_json;

struct canp_isolate_opts {
	unsigned lanes;                        /* shards */
	const struct canp_format_opts *format; /* copied; tz_arg must be there already */
	enum canp_inflate_engine inflate;
};

/* Makes the lanes and the pool and starts its workers. After canp_simd_init() and before there are
 * threads or large memory. 0, or -errno with a line in err. Control thread. */
int canp_isolate_create(const struct canp_isolate_opts *o, struct canp_strbuf *err,
			struct canp_isolate **out);
/* Ends the workers. After the shards have stopped; NULL is allowed. Control thread. */
void canp_isolate_destroy(struct canp_isolate *iso);
/* The member "isolation" of run.json. Control thread. */
void canp_isolate_json(struct canp_json *js, const struct canp_isolate *iso);

/* ---- one lane, on the thread of its shard ---- */

/* NULL: there are not so many. */
struct canp_iso_port *canp_isolate_port(struct canp_isolate *iso, unsigned lane);
/* Becomes readable when the worker has done something; non-blocking, read it to wait again. */
int canp_iso_fd(const struct canp_iso_port *p);

/* A worker still has the lane: of a file that was given up. */
bool canp_iso_busy(struct canp_iso_port *p);
/* A file begins. name: for tests and messages, kept. 0 or -errno: no worker can take it. */
int canp_iso_begin(struct canp_iso_port *p, const char *name, uint64_t bytes);
/* Bytes of the file, in order, the first being byte `base`; returns how many were taken. eof:
 * nothing comes behind data[len-1]. */
size_t canp_iso_feed(struct canp_iso_port *p, const uint8_t *data, size_t len, uint64_t base,
		     bool eof);
/* Everything including eof was taken, or nothing more is wanted. */
bool canp_iso_fed(const struct canp_iso_port *p);
/* Moves at most 1 MiB of a full spool into a file in folder dirfd. 1: did; 0: nothing to move;
 * -errno of the file, -EFBIG: no log has so many frames. */
int canp_iso_spill(struct canp_iso_port *p, int dirfd);

enum canp_iso_how {
	CANP_ISO_RUNNING,
	CANP_ISO_DONE,   /* the worker says that the file has ended */
	CANP_ISO_DIED,   /* it died, see text */
	CANP_ISO_KILLED, /* by somebody: a signal that it does not raise by itself */
	CANP_ISO_BROKEN, /* there are no workers any more */
};
/* How it ended; text [96]. After DIED .. BROKEN the lane is free. */
enum canp_iso_how canp_iso_how(struct canp_iso_port *p, char *text);
/* The worker waits for the shard: for bytes of the file or for room in the spool. */
bool canp_iso_waits(const struct canp_iso_port *p);
/* Counts up while the worker gets on. */
uint64_t canp_iso_beat(const struct canp_iso_port *p);
/* The last place of the file the worker is known to have begun to look at; at most its size. */
uint64_t canp_iso_at(const struct canp_iso_port *p);
/* Asks the worker to end, by force when it does not; canp_iso_how() tells when it has. */
void canp_iso_cancel(struct canp_iso_port *p);

/* Bytes of events; after DONE. */
uint64_t canp_iso_len(const struct canp_iso_port *p);
/* The first so many of them are in the file. */
uint64_t canp_iso_staged(const struct canp_iso_port *p);
/* Copies up to n of them from `at` into buf. How many; -errno when the file with the first part
 * cannot be read. */
int64_t canp_iso_read(struct canp_iso_port *p, uint64_t at, uint8_t *buf, size_t n);
/* The file is over: the lane may be used again once it is not busy. */
void canp_iso_end(struct canp_iso_port *p);
/* A file was given up, counted by how its worker ended. */
void canp_iso_count(struct canp_iso_port *p, bool retried);

#endif
