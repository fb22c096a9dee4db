/*
 * reader.h - streams files of one shard through its ring: slices of 1 MiB read ahead into aligned
 * buffers, delivered in order as contiguous windows.
 *
 *   one slot:  | head room (CANP_FORMAT_STRADDLE) | slice_bytes | tail pad |
 *                          ^ bytes a walker left    ^ read lands here, 4 KiB aligned
 *
 * The tail that the walker could not use is copied in front of the next slice, so a window is
 * always one contiguous span and a walker never sees a seam. `depth` slices are kept in flight:
 * first of the oldest stream, and when that one is wholly requested, of the streams opened after it
 * (look-ahead). As slots only go to a stream when all older ones have all they need, streams that
 * are consumed in the order they were opened can never starve each other.
 *
 * A read error is a fault of that file, not of the job: the window up to the unreadable place is
 * delivered with eof, and canp_reader_fault() tells what happened. A refused direct read falls back
 * to buffered for that file. Growing files end at the size given to open; shrinking ones where they
 * end, with a fault. Nothing is allocated after init. Everything on the owning shard's thread.
 *
 * Policy MMAP (io/source/mapfile.h) needs no slots: the window is the mapped file itself. It waits
 * for pages that are not in the cache; a file cut meanwhile is a fault here too.
 */
#ifndef CANP_SOURCE_READER_H
#define CANP_SOURCE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "io/source/fsinfo.h"

struct canp_ring;
struct canp_reader;
struct canp_stream;

struct canp_reader_opts {
	uint32_t slice_bytes; /* multiple of 4096, up to 16 MiB; default 1 MiB */
	uint32_t depth;       /* slices in flight, 1..256; default 4. One more slot is held by the
			       * window being walked. */
	uint32_t streams;     /* files open at once, 1..256; default 8 */
	bool serial;          /* nothing is read while a window is held: for comparison */
};

struct canp_reader_stats {
	uint64_t files;       /* opened */
	uint64_t bytes;       /* delivered in windows */
	uint64_t reads;       /* read operations completed, all kinds */
	uint64_t short_reads; /* fewer bytes than asked before the end of the file */
	uint64_t rereads;   /* repeated or overlapping reads: after a short direct read, an error, a
			     * refusal */
	uint64_t fallbacks; /* files that changed from direct or dontcache to buffered */
	uint64_t faults;    /* files that ended with a fault */
	uint64_t files_by_policy[5]; /* by enum canp_io_policy at open */
};

void canp_reader_opts_init(struct canp_reader_opts *opts); /* the defaults */
/* Bytes of memory init needs; 0 when the options are out of range. */
size_t canp_reader_bytes(const struct canp_reader_opts *opts);
/* mem: canp_reader_bytes(), 4096-byte aligned, of the shard's arena (registered with its ring);
 * owned by the caller, must outlive the reader. */
struct canp_reader *canp_reader_init(void *mem, struct canp_ring *ring,
				     const struct canp_reader_opts *opts);
/* No stream may be open and no read in flight (canp_reader_inflight() == 0). */
void canp_reader_fini(struct canp_reader *r);
/* Reads submitted and not yet completed, those of closed streams included. */
unsigned canp_reader_inflight(const struct canp_reader *r);
const struct canp_reader_stats *canp_reader_stats(const struct canp_reader *r);

/* Opens path (open(2), on this thread) and starts reading as slots allow. size: bytes to read at
 * most, normally the size the listing saw; UINT64_MAX: the size the file has now. policy AUTO asks
 * the file system and the page cache. 0 and *out; -EAGAIN: all streams are open; -EOPNOTSUPP: not a
 * regular file; or open's -errno. path is not kept. */
int canp_reader_open(struct canp_reader *r, const char *path, uint64_t size,
		     enum canp_io_policy policy, struct canp_stream **out);

/* A stream over bytes that are in memory already (CANP_FORMAT_TAIL_PAD more are readable behind
 * them), in windows of slice_bytes as if they were read; data stays the caller's. 0, or -EAGAIN as
 * above. For canp-bench, see io/stage.h. */
int canp_reader_open_mem(struct canp_reader *r, const uint8_t *data, uint64_t size,
			 struct canp_stream **out);

/* The window at hand: *len bytes at *win, the first being byte *base of the file; readable (not
 * meaningful) for CANP_FORMAT_TAIL_PAD more bytes. *eof: nothing comes after this window. Valid
 * until consume or close. 0, or -EAGAIN: data is still on its way (ask again after the ring was
 * polled). Repeated peeks without consume give the same window. */
int canp_reader_peek(struct canp_stream *s, const uint8_t **win, size_t *len, uint64_t *base,
		     bool *eof);
/* Drops n bytes (n <= *len of the last peek). more: the walker needs bytes beyond the rest, so the
 * next peek brings a longer window (when there is more file); else the next peek gives the rest
 * again. 0, or -EMSGSIZE: more was asked with over CANP_FORMAT_STRADDLE bytes left; the rest stays
 * as it is. */
int canp_reader_consume(struct canp_stream *s, size_t n, bool more);
/* Once eof was seen: why the file ended early (IO or TRUNCATED, offset, bytes not read), or NULL
 * when it was read whole. Valid until close. */
const struct canp_fault *canp_reader_fault(const struct canp_stream *s);
/* The policy in use now; after a fallback BUFFERED. */
enum canp_io_policy canp_stream_policy(const struct canp_stream *s);
/* All of the file has been asked for; what is read next is of another one. */
bool canp_stream_requested(const struct canp_stream *s);
/* Size of the file as opened, bytes (the limit given to open, or less if it was shorter). */
uint64_t canp_stream_size(const struct canp_stream *s);
/* Ends the stream at any point. Reads in flight finish in the background; their slots and the
 * descriptor come back then. */
void canp_reader_close(struct canp_stream *s);

#endif
