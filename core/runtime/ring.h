/*
 * ring.h - asynchronous file operations of one shard: io_uring where the kernel allows it, the same
 * operations by ring_sync where it does not.
 *
 * Callers own the operation's memory (a struct canp_ring_op inside their own object) from submit
 * until its `done` callback has been called. Completions are first copied off the ring and their
 * callbacks run afterwards, so a callback may submit but never recurses.
 */
#ifndef CANP_RUNTIME_RING_H
#define CANP_RUNTIME_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/base/list.h"

struct canp_strbuf;

enum canp_ring_kind { CANP_RING_AUTO, CANP_RING_URING, CANP_RING_SYNC };

enum canp_ring_opcode {
	CANP_OP_NOP,
	CANP_OP_READ,      /* fd, buf, len, off; res = bytes, may be short */
	CANP_OP_WRITE,     /* same */
	CANP_OP_FDATASYNC, /* fd */
	CANP_OP_FSYNC,     /* fd (also of directories) */
	CANP_OP_FTRUNCATE, /* fd, off = length */
	CANP_OP_RENAME,    /* dirfd fd, path -> path2, both relative to fd; never replaces */
	CANP_OP_UNLINK,    /* dirfd fd, path */
	CANP_OP_CLOSE,     /* fd */
	CANP_OP_POLL,      /* fd readable; one shot */
	CANP_OP_NR
};

struct canp_ring;
struct canp_ring_op {
	struct canp_fifo_node node; /* private to ring.c while in flight */
	enum canp_ring_opcode opcode;
	int fd;
	void *buf;
	uint32_t len;
	uint64_t off;
	const char *path, *path2;
	uint32_t rw_flags; /* RWF_*: e.g. RWF_DONTCACHE */
	int32_t res;       /* result: >= 0 or -errno; valid in done */
	void (*done)(struct canp_ring_op *op);
	void *arg;       /* caller's */
	uint32_t slot;   /* private to ring.c */
	uint64_t due_ns; /* private to ring_slow.c */
};

struct canp_ring_opts {
	enum canp_ring_kind kind;
	unsigned entries;      /* SQ size, 0: 256; made 4 to 4096, a power of 2; CQ is 4x */
	unsigned sync_threads; /* helper threads of ring_sync, default 2 */
	/* Memory to register as fixed buffers; may be empty. Registration that fails for lack of
	 * memlock falls back to plain reads and says so in caps. */
	const struct iovec *buffers;
	unsigned nr_buffers;
	bool restrict_ops; /* R_DISABLED -> op allow-list -> enable, where supported */
	int iowq_cpu;      /* CPU for kernel workers, -1: leave */
};

/* What was got and why; filled by create. */
struct canp_ring_caps {
	enum canp_ring_kind kind; /* URING or SYNC */
	bool single_issuer, defer_taskrun, coop_taskrun, fixed_buffers, fixed_files, restricted,
		min_wait, msg_ring, has_ftruncate, has_dontcache;
	unsigned features; /* IORING_FEAT_* */
	char reason[160];  /* why not better, "" when nothing was refused */
};

/* Creates on the thread that will use it (SINGLE_ISSUER). kind AUTO falls back to sync when the
 * kernel refuses a ring; URING fails with the errno then. */
int canp_ring_create(const struct canp_ring_opts *opts, struct canp_ring **out);
/* Waits for operations in flight and runs their callbacks; polls, and operations submitted
 * meanwhile, end with -ECANCELED. Owner thread. NULL is allowed. */
void canp_ring_destroy(struct canp_ring *r);
const struct canp_ring_caps *canp_ring_caps(const struct canp_ring *r);

/* Says that fd will see many reads or writes: it gets a place in the ring's file table where there
 * is one (io_uring; see caps.fixed_files), which saves the descriptor look-up of each operation.
 * Never fails: without a place operations go by the descriptor. Owner thread. */
void canp_ring_file_add(struct canp_ring *r, int fd);
/* Gives the place back. Before fd is closed by close(2); CANP_OP_CLOSE does it itself. */
void canp_ring_file_del(struct canp_ring *r, int fd);

/* Queues op; never blocks, never fails: when the ring is full it waits in a list. Owner thread. */
void canp_ring_submit(struct canp_ring *r, struct canp_ring_op *op);
/* Operations submitted and not yet called back. */
unsigned canp_ring_inflight(const struct canp_ring *r);

/* Of these the reads and writes (without those that a limit keeps waiting), and the most there ever
 * were. Owner thread. */
struct canp_ring_counts {
	unsigned reads, writes, reads_max, writes_max;
};
const struct canp_ring_counts *canp_ring_counts(const struct canp_ring *r);
/* At most this many writes are handed to the kernel at once, the others wait in order; 0: no limit.
 * Owner thread, before the first write. */
void canp_ring_limit_writes(struct canp_ring *r, unsigned max);

/* Submits what is queued, reaps what is complete and runs callbacks. timeout_ns 0: do not sleep;
 * UINT64_MAX: sleep until something completes or canp_ring_wake(). Returns callbacks run. A signal
 * returns 0. Owner thread. One system call at most when there is nothing to submit and
 * timeout_ns == 0 and nothing can be complete: none. */
int canp_ring_wait(struct canp_ring *r, uint64_t timeout_ns);
/* The two halves of canp_ring_wait(), for a loop that does other work between them: enter submits,
 * sleeps (not when callbacks are due) and copies completions to a list; dispatch runs the callbacks
 * of that list and returns how many. Owner thread. */
void canp_ring_enter(struct canp_ring *r, uint64_t timeout_ns);
int canp_ring_dispatch(struct canp_ring *r);
/* Ends a canp_ring_wait() sleep. Any thread, async-signal-safe. */
void canp_ring_wake(struct canp_ring *r);

/* Test decorator: when set, called for each completion before its callback; may change res. Used
 * by fault tests (short reads, EIO, EAGAIN) through CANP_RING_FAULT=... in debug builds and by
 * unit tests. Global; set before rings are created. */
extern void (*canp_ring_fault_hook)(struct canp_ring_op *op);

/* A slower device than the one at hand, for tests and benchmarks: "read:LATENCY_US:MB_PER_S",
 * "write:..", or both with a comma; as CANP_RING_SLOW in the environment. NULL: the real one again.
 * 0 or -EINVAL (then nothing is slow). Global; while no operation is in flight. */
int canp_ring_slow_set(const char *text);

#endif
