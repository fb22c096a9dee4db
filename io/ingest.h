/*
 * ingest.h - one job: inputs -> dataset. The second file a newcomer reads.
 *
 *   canp_job_create()   scan inputs, build the plan, cut units, estimate (no output is touched)
 *   canp_job_run()      boot the shards, run units until done or interrupted, publish
 *   canp_job_destroy()
 *
 * What happens to one file, function by function, is told at the head of ingest_read.c; the
 * operators it goes through are put together by job_build_flow() in ingest.c.
 */
#ifndef CANP_IO_INGEST_H
#define CANP_IO_INGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/pipeline/flow.h"
#include "core/runtime/runtime.h"
#include "core/runtime/sched.h"
#include "io/can/plan.h"
#include "io/devices.h"
#include "io/format/ahead.h"
#include "io/format/format.h"
#include "io/plugin_host.h"
#include "io/source/dirscan.h"
#include "io/source/fsinfo.h"
#include "io/sink/part.h"
#include "io/stage.h"
#include "io/unit.h"

struct canp_job;

enum canp_job_phase {
	CANP_JOB_BOOTED,  /* all shards are up */
	CANP_JOB_TICK,    /* about four times a second while they run */
	CANP_JOB_STOPPED, /* they have stopped; side tables and reports come next */
	CANP_JOB_OVER,    /* everything is written, or the job failed */
};
#define CANP_INGEST_PREFETCH_MAX 16u
#define CANP_INGEST_WRITE_DEPTH  8u

struct canp_hooks;
struct canp_isolate;
struct canp_job_opts {
	const char *const *inputs;
	unsigned nr_inputs;
	const char *const *globs;
	unsigned nr_globs;
	bool follow_symlinks;
	bool order_by_size;
	const char *out; /* dataset directory; NULL: no output (inspect) */
	struct canp_plan_opts plan;
	struct canp_format_opts format;
	int64_t from_ns, to_ns;
	const char *device;  /* NAME, path:N or a regular expression with one group; NULL */
	uint64_t unit_bytes; /* 0: by the size of the job */
	/* machine */
	unsigned cores;
	enum canp_ring_kind ring;
	enum canp_hugepages hugepages;
	uint64_t mem_per_core, writer_mem;
	bool pin, restrict_ops;
	uint32_t runs_max; /* page runs on their way before reading pauses; 0: as memory allows */
	bool never_sleep;  /* reactors that find nothing to do look again instead of sleeping */
	uint32_t depth, slice_bytes;
	uint32_t prefetch;    /* files opened ahead, up to CANP_INGEST_PREFETCH_MAX */
	uint32_t window;      /* units under way per shard; 0: CANP_SCHED_WINDOW_PER_SHARD */
	uint32_t write_depth; /* blocks being written per shard; 0: CANP_INGEST_WRITE_DEPTH */
	enum canp_inflate_engine inflate;
	enum canp_io_policy read_policy;
	/* sink */
	enum canp_part_kind sink;
	enum canp_pq_codec codec;
	int codec_level; /* gzip 0..3, zstd 1..9 */
	uint32_t rowgroup_rows;
	uint64_t part_bytes; /* 0: no limit */
	bool wait_on_enospc;
	/* operators of the user, in this order; the caller keeps them alive */
	const struct canp_plugin_spec *plugins;
	unsigned nr_plugins;
	/* Test hooks: delay each unit of one shard, seeded random delays everywhere. */
	int slow_shard;      /* -1 none */
	uint32_t delay_seed; /* 0 none */
	/* Trace records each shard has room for between two progress calls; a power of two, 0: it
	 * is not traced. */
	uint32_t trace_events;
	/* Told where the job is, on the control thread; see io/observe_job.h. May be NULL. */
	void (*phase)(void *arg, const struct canp_job *job, enum canp_job_phase phase);
	void *phase_arg;
	/* Read, decode and write one after the other, for comparison; canp-bench only. */
	bool serial;
	struct canp_hooks *hooks; /* io/hooks.h; NULL: none. The caller's */
	/* Files are walked in its worker processes (io/isolate.h), one lane for each core; NULL: by
	 * the shards themselves. The caller's. */
	struct canp_isolate *isolate;
	/* Part of a job, for canp-bench only (io/stage.h); NULL: the whole job. Caller's. */
	const struct canp_stages *stages;
};

enum canp_file_status {
	CANP_FILE_PENDING, /* not processed (interrupted before its turn) */
	CANP_FILE_OK,
	CANP_FILE_DAMAGED, /* frames arrived, and so did faults */
	CANP_FILE_FAILED,  /* named and unreadable or unrecognised, or could not be opened */
	CANP_FILE_SKIPPED, /* found by a scan, no format recognises it */
};
const char *canp_file_status_name(enum canp_file_status s);

/* One input: written by the shard that processed it, read by the control thread afterwards. */
struct canp_file_result {
	enum canp_file_status status;
	const struct canp_format *format;
	bool gz;
	bool quarantined;     /* FAILED because the worker process died of it */
	int err;              /* -errno of open/read, 0 */
	uint32_t device;      /* first device of the file */
	uint32_t nr_faults;   /* all of them */
	uint32_t kept_faults; /* in the store */
	uint64_t fault_bytes;
	uint64_t bytes_read;
	struct canp_group_counts counts;
	struct canp_format_stats stats;
};

/* Turns of `read` that had work while there was more to read and writing had begun, and in how many
 * of them operations were in flight meanwhile. */
struct canp_ingest_overlap {
	uint64_t turns, reading, writing, both;
};

struct canp_job_totals {
	uint64_t files, files_ok, files_damaged, files_failed, files_skipped, files_duplicate,
		files_pending;
	uint64_t frames, frames_decoded, frames_unknown, frames_dropped, error_frames,
		remote_frames, overload_frames, gaps, bad_times;
	uint64_t signals;        /* non-null values written */
	uint64_t rows, messages; /* rows of message tables; message tables that got rows */
	uint64_t bytes_in, bytes_inflated, bytes_out, damage_events, parts;
	double elapsed_s, boot_s; /* boot_s: of this, until the shards were up */
	/* With the clock stopped (io/stage.h): CPU time of all shards, wall time of the one with
	 * most. */
	uint64_t off_cpu_ns, off_wall_ns;
	uint64_t peak_mem_bytes, peak_rss_bytes, peak_hugetlb_bytes;
	struct canp_sched_stats sched;
	/* Most operations ever in flight on one shard. */
	unsigned reads_max, writes_max;
	uint64_t files_ahead;
	struct canp_ingest_overlap overlap;
	uint64_t reordered_runs; /* page runs that had to wait for their unit's turn */
	bool complete;
	int interrupted; /* signal number */
	int exit_code;
};

/* An id seen in the data that no DBC names. */
struct canp_unknown_id {
	uint32_t id; /* bit 31: extended */
	uint32_t bus;
	uint64_t frames;
};

struct canp_job_mem; /* private: memory plan, see ingest_mem.h */

struct canp_job {
	struct canp_job_opts opts;
	struct canp_plan *plan;
	struct canp_dirscan *scan;
	uint32_t *order; /* listing index of each src; NULL: identity */
	uint32_t nr_files;
	struct canp_units units;
	struct canp_sched *sched;
	struct canp_devices *devices;
	struct canp_file_result *results; /* [nr_files], by src */
	struct canp_fault *faults;        /* [nr_files * faults_per_file], reserved mapping */
	uint32_t faults_per_file;
	struct canp_job_mem *mem;
	/* The pipeline and the ids of its operators. */
	struct canp_plugins *plugins; /* NULL: none */
	struct canp_flow *flow;
	unsigned op_read, op_decode, op_plugin[CANP_PLUGINS_MAX], op_pack, op_extract, op_write;
	unsigned cores; /* shards it runs on */
	struct canp_runtime *rt;
	struct canp_runtime_info info;
	int out_fd; /* dataset directory, -1 */
	struct canp_job_totals totals;
	struct canp_unknown_id *unknown; /* [nr_unknown], by frames descending */
	uint32_t nr_unknown;
	uint64_t nr_warnings;
	struct canp_job_perf *perf; /* once the shards have stopped; io/observe_job.h */
	void *priv;                 /* private to ingest.c */
};

/* Scans and plans. Warnings (DBC oddities) go to warn, one line each. On failure -errno and a line
 * in err. Control thread. */
int canp_job_create(const struct canp_job_opts *opts, void (*warn)(void *arg, const char *line),
		    void *arg, struct canp_strbuf *err, struct canp_job **out);
/* Runs the job to its end. progress (may be NULL) is called about four times a second on the
 * control thread. 0 also when inputs were damaged; -errno when the job itself failed (line in err).
 */
int canp_job_run(struct canp_job *job, void (*progress)(void *arg, const struct canp_job *job),
		 void *arg, struct canp_strbuf *err);
void canp_job_destroy(struct canp_job *job);

/* Shards a job with these options runs on. Reads /sys; any thread. */
unsigned canp_job_nr_cores(const struct canp_job_opts *opts);
/* The file of a src id. */
const struct canp_input *canp_job_input(const struct canp_job *job, uint32_t src);

#endif
