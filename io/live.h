/*
 * live.h - what a running job shows to others: one page of plain numbers, renewed about four times
 * a second by the job's control thread and read by canp-top, `canp-appliance status`, the metrics
 * server and, at the end, by the report.
 *
 * The page is a small file, canp-<pid>.live, mode 0600, in $XDG_RUNTIME_DIR, /run/canp or /tmp
 * (the first that can be written), removed at the end of the job. Its first word is a sequence
 * number, odd while the page is being renewed; a reader that finds it changed reads again. Readers
 * of other processes use pread, never a mapping: a file cut short under a mapping would kill them.
 *
 * The reader trusts nothing: owner, mode, size, magic, version and every count are checked before
 * use, texts are cut to their fields and freed of control characters.
 *
 * Versions: a reader refuses another version; fields are only added with a new one.
 */
#ifndef CANP_IO_LIVE_H
#define CANP_IO_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"

#define CANP_LIVE_MAGIC      0x314556494c504e43ULL /* "CNPLIVE1" */
#define CANP_LIVE_VERSION    1u
#define CANP_LIVE_SHARDS_MAX 256u
#define CANP_LIVE_OPS_MAX    32u
#define CANP_LIVE_POOLS_MAX  4u
#define CANP_LIVE_NAME       32u
#define CANP_LIVE_TEXT       256u
#define CANP_LIVE_PATH       1024u
#define CANP_LIVE_BUCKETS    48u /* powers of two of nanoseconds: up to 39 hours */
#define CANP_LIVE_NONE       UINT64_MAX

#define CANP_LIVE_STATES(X)                                                                        \
	X(BOOTING, "booting")                                                                      \
	X(RUNNING, "running")                                                                      \
	X(DRAINING, "draining") /* interrupted: what was begun is finished */                      \
	X(PUBLISHING, "publishing")                                                                \
	X(DONE, "done")                                                                            \
	X(FAILED, "failed")

enum canp_live_state {
#define X(name, text) CANP_LIVE_##name,
	CANP_LIVE_STATES(X)
#undef X
		CANP_LIVE_STATE_NR
};

/* An operator of the job's graph on one shard. */
struct canp_live_op {
	uint64_t batches_in, rows_in, batches_out, rows_out;
	uint64_t busy_ns;
	uint64_t polls, idle_polls;
	uint64_t queue; /* waiting for it now */
	uint64_t queue_max;
};

/* Fixed slots of memory on one shard; hits: gets that were given a slot used before. */
struct canp_live_pool {
	uint64_t gets, puts, hits, waits, refused;
	uint64_t in_use, in_use_max, slots, slot_bytes;
};

struct canp_live_shard {
	int32_t cpu, node; /* -1: not pinned */
	uint64_t turns, sleeps, stalls;
	uint64_t busy_ns, idle_ns, stall_max_ns;
	uint64_t unit, file;                   /* under way, CANP_LIVE_NONE: none */
	uint64_t units, unit_ns;               /* finished ones and the sum of their durations */
	uint64_t files, bytes, frames, faults; /* of finished files */
	uint64_t parts;
	uint64_t ring_inflight; /* operations */
	uint64_t mesh_pending;  /* page runs sent and not yet home */
	struct canp_live_pool pools[CANP_LIVE_POOLS_MAX];
	struct canp_live_op ops[CANP_LIVE_OPS_MAX];
};

struct canp_live_job {
	uint64_t magic;
	uint32_t version, snapshot_bytes;
	uint32_t state; /* enum canp_live_state */
	uint32_t nr_shards, nr_ops, nr_pools;
	int32_t pid, exit_code, interrupted, oversubscribed;
	uint64_t pid_start; /* of the process, in ticks since boot: numbers are used again */
	uint64_t updates;
	uint64_t started_ns, updated_ns, progress_ns; /* monotonic; progress: work was done then */
	int64_t started_wall_ns;
	/* planned */
	uint64_t files_total, bytes_total, units_total;
	/* done so far: of finished files and units */
	uint64_t files, files_damaged, files_failed, files_skipped;
	uint64_t units, bytes, frames, faults, parts, bytes_out;
	/* the process; as fresh as the monitor's sample */
	uint64_t cpu_ns, rss_bytes, threads, read_bytes, written_bytes;
	uint64_t hugetlb_bytes, mem_budget_bytes;
	uint64_t trace_events, trace_lost, trace_on;
	uint64_t file_ns_sum, file_ns_log2[CANP_LIVE_BUCKETS]; /* durations of files */
	char id[40]; /* of the job: 32 hexadecimal digits, its trace id */
	char program[CANP_LIVE_NAME];
	char out[CANP_LIVE_PATH];     /* absolute path of the dataset, "" for none */
	char metrics[CANP_LIVE_TEXT]; /* where metrics are served, "" for nowhere */
	char ops[CANP_LIVE_OPS_MAX][CANP_LIVE_NAME];
	char pools[CANP_LIVE_POOLS_MAX][CANP_LIVE_NAME];
};

struct canp_live {
	struct canp_live_job job;
	struct canp_live_shard shard[]; /* [nr_shards] */
};

CANP_STATIC_ASSERT(sizeof(struct canp_live_job) % 8 == 0, "copied in words");
CANP_STATIC_ASSERT(sizeof(struct canp_live_shard) % 8 == 0, "copied in words");

/* Bytes of a snapshot with so many shards (at most CANP_LIVE_SHARDS_MAX). */
size_t canp_live_bytes(unsigned nr_shards);
/* A zeroed snapshot with magic, version, pid and sizes set; free() it. NULL: no memory. */
struct canp_live *canp_live_alloc(unsigned nr_shards);
const char *canp_live_state_name(uint32_t state); /* constant; "?" for what is none */
/* Sums over all shards. op, pool: index. */
void canp_live_sum_op(const struct canp_live *l, unsigned op, struct canp_live_op *sum);
void canp_live_sum_pool(const struct canp_live *l, unsigned pool, struct canp_live_pool *sum);

/* ---- the job's side: one thread, but for canp_live_page_copy ---- */

struct canp_live_page;

/* dir NULL: the usual places; "": none. Without a place for a file the page lives in memory only
 * (canp_top cannot see it, the metrics can): path is "" then. -EINVAL: nr_shards; -ENOMEM. */
int canp_live_page_create(const char *dir, unsigned nr_shards, struct canp_live_page **out);
/* Renews the page; l has the page's number of shards. No system call. */
void canp_live_page_put(struct canp_live_page *p, const struct canp_live *l);
/* Any thread of this process: the last state, into a snapshot of the page's number of shards.
 * -EAGAIN: it was being renewed all the time. */
int canp_live_page_copy(const struct canp_live_page *p, struct canp_live *out);
const char *canp_live_page_path(const struct canp_live_page *p);
/* Removes the file. NULL is allowed. */
void canp_live_page_destroy(struct canp_live_page *p);

/* ---- the other side ---- */

struct canp_live_entry {
	int pid;
	char path[280];
};

/* Pages of all jobs in dir (NULL: the usual places), by pid; those of dead processes too. Returns
 * how many, at most max. */
unsigned canp_live_list(const char *dir, struct canp_live_entry *v, unsigned max);
/* Reads a page into a new snapshot (free() it). -ENOENT, -EACCES (not ours, or others may write to
 * it), -EBADMSG (no live page, or a damaged one), -EPROTO (of another version), -EAGAIN (it was
 * being renewed each time), -errno. */
int canp_live_read(const char *path, struct canp_live **out);
/* The process that wrote it still exists. */
bool canp_live_alive(const struct canp_live *l);

enum canp_live_health {
	CANP_LIVE_WELL,    /* running or done */
	CANP_LIVE_BROKEN,  /* failed, or its process died */
	CANP_LIVE_STALLED, /* no work, or no sign of life, for stall_ns */
};

/* What to think of a job at now_ns (monotonic). why: a constant sentence. */
enum canp_live_health canp_live_judge(const struct canp_live *l, bool alive, uint64_t now_ns,
				      uint64_t stall_ns, const char **why);

/* ---- as text ---- */

struct canp_json;
struct canp_metrics;

/* Members of an object: what `canp-top --json` shows of one job. */
void canp_live_json(const struct canp_live *l, struct canp_json *js);
/* All families of a job, for a metrics server or a textfile. */
void canp_live_metrics(const struct canp_live *l, struct canp_metrics *m);

#endif
