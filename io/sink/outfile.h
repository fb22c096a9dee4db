/*
 * outfile.h - an append-only output file that becomes visible whole or not at all.
 *
 *   put -> staging block (1 MiB, owner's pool) -> aligned write -> ... -> padded tail write
 *       -> ftruncate -> fdatasync -> rename (never replaces) -> fsync of the directory -> done
 *
 * The file is written as ".<name>.tmp" in the directory it will be published in. Direct I/O writes
 * whole 4 KiB blocks; what is left over (< 4096 bytes) is carried in the struct, so an idle file
 * holds no staging block and thousands of parts can be open with a few blocks. No fallocate: it
 * would survive a crash as zeros. Direct is given up for dontcache or buffered where the kernel
 * refuses it.
 *
 * Everything is asynchronous on the owner's ring; nothing blocks but open (openat(2), fstat).
 * Errors are sticky: after one, put takes nothing and only abort is left. With wait_on_space an
 * ENOSPC or EDQUOT only parks the block until canp_out_retry(). Owner's reactor thread only.
 */
#ifndef CANP_SINK_OUTFILE_H
#define CANP_SINK_OUTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/runtime/ring.h"
#include "io/source/fsinfo.h"
#include "numa/pool.h"

/* Staging blocks one file may hold at once: one being filled, the rest being written. */
#define CANP_OUT_BLOCKS 4u

struct canp_out;
/* Called once from the ring when the operation is over; err: 0 or the sticky -errno. */
typedef void (*canp_out_cb)(struct canp_out *o, int err, void *arg);

struct canp_out_opts {
	struct canp_ring *ring;
	struct canp_pool *pool;     /* staging; slots >= 8 KiB, multiple of 4096, 4096-aligned */
	int dirfd;                  /* the directory; stays the caller's, open until the end */
	const char *name;           /* final name, no slash, at most 240 bytes; copied */
	enum canp_io_policy policy; /* AUTO: direct */
	uint32_t mode;              /* permissions, 0: 0644 */
	bool wait_on_space;         /* ENOSPC waits for canp_out_retry() instead of failing */
	bool privileged;            /* may take the pool's reserve */
	bool discard;               /* no file: bytes are counted and dropped, see io/stage.h */
	/* Go on with the temporary an earlier run left: cut it to resume_bytes and append. */
	bool resume;
	uint64_t resume_bytes;
};

struct canp_out_stats {
	uint64_t bytes;   /* written, padding and repeats included */
	uint64_t writes;  /* write operations completed */
	uint64_t shorts;  /* of these shorter than asked */
	uint64_t retries; /* repeated after EINTR, EAGAIN, a refusal of direct, or for space */
	uint64_t waits;   /* times the file ran into a full file system and waited */
};

/* One staging block on its way to the file. Private to outfile.c. */
struct canp_out_write {
	struct canp_ring_op op;
	struct canp_out *out;
	uint8_t *block; /* NULL: entry free */
	uint64_t off;   /* of block[0] in the file, aligned */
	uint32_t len;   /* to write */
	uint32_t pos;   /* the running operation starts at block[pos] */
	uint32_t done;  /* written without a gap from block[0] */
	uint32_t high;  /* most that done ever was: only what goes beyond is progress */
	uint32_t stalls;
	enum canp_io_policy policy; /* the running operation was submitted with */
	bool busy;                  /* submitted */
	bool parked;                /* waiting for space */
};

/* The caller places it; fields are private. It may not move between open and the last callback. */
struct canp_out {
	struct canp_ring *ring;
	struct canp_pool *pool;
	int fd, dirfd;
	enum canp_io_policy policy;
	uint32_t block_bytes;
	bool wait_on_space, privileged, discard;
	bool renamed;       /* published */
	bool dir_synced;    /* the directory entry is durable */
	bool op_busy;       /* op is in flight */
	uint8_t goal, step; /* of sync, finish, abort, release; see outfile.c */
	int error;          /* sticky */
	int end_error;      /* of the unlink */
	uint64_t error_off;
	uint64_t pos;               /* logical end */
	uint32_t op_stalls;         /* repeats of op */
	uint32_t tail_len;          /* bytes carried in tail */
	uint32_t cur_len;           /* bytes in cur's block */
	struct canp_out_write *cur; /* being filled */
	struct canp_out_write writes[CANP_OUT_BLOCKS];
	struct canp_out_write last; /* writes the carried tail; its block is tail */
	struct canp_ring_op op;     /* everything but writes */
	canp_out_cb cb;
	void *cb_arg;
	struct canp_out_stats stats;
	uint8_t *tail; /* 4096-aligned inside tail_mem */
	char name[256], tmp[256];
	uint8_t tail_mem[2 * CANP_IO_ALIGN];
};

/* Creates ".<name>.tmp" (or reopens it, resume). 0; -EEXIST: the temporary exists already;
 * -EINVAL, -ENAMETOOLONG: bad name or pool; with resume -ENODATA: shorter than resume_bytes; or
 * the -errno of open. On failure nothing is held and nothing is left behind. */
int canp_out_open(struct canp_out *o, const struct canp_out_opts *opts);

/* Bytes put would take now; 0 while the pool is empty, all blocks are on their way, a sync runs or
 * the file has failed. A snapshot: other files share the pool. */
size_t canp_out_room(const struct canp_out *o);
/* Appends up to len bytes, copying them. Returns how many were taken (0: no room now) or the
 * sticky -errno. Full blocks are submitted at once. */
ssize_t canp_out_put(struct canp_out *o, const void *data, size_t len);
/* Logical length: bytes put so far. */
uint64_t canp_out_pos(const struct canp_out *o);
/* Submits what is whole 4 KiB blocks, carries the rest and lets go of the block being filled. */
void canp_out_flush(struct canp_out *o);
/* Writes not yet completed (parked ones included), or a sync/finish/abort on its way. */
bool canp_out_busy(const struct canp_out *o);

/* Makes everything put so far durable in the temporary, exact length included; then cb(o, err,
 * arg). Puts are taken again after it. Nothing else may be under way. */
void canp_out_sync(struct canp_out *o, canp_out_cb cb, void *arg);
/* sync, rename to the final name, fsync of the directory, close; then cb. After err == 0 the struct
 * is free. After an error (-EEXIST: final name taken) the caller still calls abort. */
void canp_out_finish(struct canp_out *o, canp_out_cb cb, void *arg);
/* Waits for operations in flight, unlinks our temporary, closes; then cb with 0 or the unlink's
 * -errno. Allowed at any time: a sync or finish under way ends without its own callback being
 * called. A file whose rename has happened stays: published files are never deleted. */
void canp_out_abort(struct canp_out *o, canp_out_cb cb, void *arg);
/* Like abort but keeps the temporary (for a later resume): waits, closes, then cb. */
void canp_out_release(struct canp_out *o, canp_out_cb cb, void *arg);

/* 0 or the sticky -errno; *off (may be NULL): file offset of the failed write, else the length. */
int canp_out_error(const struct canp_out *o, uint64_t *off);
/* True while blocks wait for space. */
bool canp_out_waiting(const struct canp_out *o);
/* Submits blocks that wait for space again (from the caller's timer). */
void canp_out_retry(struct canp_out *o);
const struct canp_out_stats *canp_out_stats(const struct canp_out *o);

#endif
