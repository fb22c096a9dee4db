/*
 * ingest_shard.h - what one shard holds for the job; private to ingest*.c.
 */
#ifndef CANP_IO_INGEST_SHARD_H
#define CANP_IO_INGEST_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/pipeline/flow.h"
#include "io/ingest.h"
#include "io/observe_shard.h"
#include "io/sink/columns.h"
#include "io/sink/writer.h"
#include "io/source/reader.h"

/* Frames a walker may deliver between two should_pause() questions: a verified member inflates to
 * at most 128 KiB, which is 5,461 frames of 24 bytes; text is cut into smaller steps. */
#define CANP_INGEST_BURST_FRAMES 8192u
/* Files open at once: under way, ahead of their turn, and closing. */
#define CANP_INGEST_STREAMS (CANP_INGEST_PREFETCH_MAX + 8u)
/* One staging block of the output files. */
#define CANP_INGEST_STAGING_BLOCK_BYTES (1u << 20)

/* Memory plan: a pure function of plan and options, printed by --dry-run. All sizes in bytes. */
struct canp_job_mem {
	uint32_t run_rows; /* rows of a full page run */
	uint32_t rowgroup_rows;
	uint32_t reserve_slots; /* page slots only the frontier unit may use */
	uint32_t page_slots;    /* of each shard, reserve included */
	size_t ring_bytes;      /* reader slices and staging blocks, registered with the ring */
	size_t reader_bytes, staging_bytes;
	size_t walker_bytes, probe_bytes, group_bytes, builders_bytes;
	size_t plugin_bytes;   /* 0: no plugins */
	size_t ahead_bytes;    /* 0: nothing is inflated ahead */
	uint64_t arena_bytes;  /* all of the above and the page slots */
	uint64_t arena_min;    /* the least that works */
	uint64_t writer_bytes; /* upper bound of all owners together */
	bool raised;           /* mem_per_core was too small for this plan */
};

/* Computes the memory plan. 0, or -ENOMEM with a line in err when writer_mem is too small. */
int canp_ingest_plan_memory(const struct canp_job *job, struct canp_job_mem *m,
			    struct canp_strbuf *err);

/* Makes job->sched: where units are at home and how many may be under way. 0 or -errno. */
int canp_ingest_make_sched(struct canp_job *job, unsigned nr_shards);

enum canp_ingest_msg { CANP_MSG_RUN = 1, CANP_MSG_UNIT_DONE = 2, CANP_MSG_END = 3 };

/* A finished unit whose "done" messages have not all come home yet. */
struct canp_ticket {
	uint32_t unit;
	uint32_t left;         /* messages out; 0: ticket free */
	struct canp_msg *msgs; /* [nr_shards] */
};

/* A file is recognised by so many bytes, or all it has. */
#define CANP_INGEST_PROBE_BYTES (64u << 10)

/* A file opened before its turn; stream is NULL when it could not be opened. */
struct canp_ingest_ahead {
	struct canp_stream *stream;
	uint32_t src;
	int err;
	bool offered; /* to the look-ahead of the decoder, or not fit for it */
};

enum canp_ingest_state {
	CANP_ING_IDLE,  /* wants a unit */
	CANP_ING_DELAY, /* test hook: waits before the unit starts */
	CANP_ING_OPEN,  /* opens the next file of the unit */
	CANP_ING_PROBE, /* waits for the first bytes */
	CANP_ING_WALK,
	CANP_ING_ISOLATE, /* a worker process walks it, see ingest_isolate.c */
	CANP_ING_FLUSH,   /* end of the unit: chunks and runs go out */
	CANP_ING_OVER,    /* no unit will come */
};

struct canp_ingest_shard {
	struct canp_job *job;
	struct canp_shard *sh;
	unsigned nr_shards;
	/* memory */
	struct canp_pool pages, staging, owner_pages;
	struct canp_reader *reader;
	void *walker_mem, *probe_mem;
	struct canp_group *group;
	struct canp_plugin_shard *plugins; /* NULL: none */
	struct canp_runb *builders;        /* [nr_slots]; unused ones have no table */
	struct canp_runscratch *scratch;
	uint16_t *slot_owner; /* [nr_slots] shard that owns the slot's table */
	uint32_t nr_slots;
	uint32_t crude_need; /* page slots that always suffice for a burst */
	void *owner_map;
	size_t owner_map_bytes;
	/* the write stage */
	struct canp_writer *writer;
	struct canp_ticket *tickets;
	uint32_t nr_tickets;
	uint32_t runs_out;         /* sent and not yet home */
	uint32_t unit_runs_out;    /* those of the unit under way */
	struct canp_msg *end_msgs; /* [nr_shards] */
	bool writer_over;
	/* the unit under way */
	enum canp_ingest_state state;
	uint32_t unit;
	uint32_t file; /* src of the file under way */
	uint32_t file_end;
	bool privileged;
	struct canp_stream *stream;
	struct canp_walker *walker;
	struct canp_format_host host;
	uint64_t deadline_ns; /* of this poll */
	/* look-ahead: streams opened before their turn, in the order of their turns */
	struct canp_ingest_ahead ahead[CANP_INGEST_PREFETCH_MAX];
	uint32_t nr_ahead;
	uint64_t files_ahead; /* ever opened so */
	struct canp_ingest_overlap overlap;
	struct canp_ring_counts ring_counts; /* when the shard ended */
	/* test hook */
	struct canp_timer delay;
	uint64_t rng;
	/* this shard's nodes of the pipeline */
	struct canp_flow_node *read, *decode, *write;
	struct canp_timer space_timer;
	bool space_timer_armed;
	int error;
	char error_what[160];
	struct canp_observe_shard *obs;
	struct canp_ingest_iso *iso;    /* NULL without isolation */
	struct canp_stage_shard *stage; /* NULL in every real job, see io/stage.h */
};

/* Runtime callbacks (arg = the job). */
int canp_ingest_setup(void *arg, struct canp_shard *s);
void canp_ingest_teardown(void *arg, struct canp_shard *s);

/* Gives up the unit under way (the job failed): streams closed, rows dropped. */
void canp_ingest_abandon(struct canp_ingest_shard *is);

/* What ingest.c keeps for the shards. Any shard thread unless said otherwise. */
struct canp_ingest_shard *canp_job_shard(struct canp_job *job, unsigned index);
struct canp_pqschema *const *canp_job_schemas(const struct canp_job *job);
enum canp_io_policy canp_job_write_policy(const struct canp_job *job);
/* Zeroed memory that lives as long as the job; during set-up only. NULL: none left. */
void *canp_job_shard_mem(struct canp_job *job, unsigned shard, size_t bytes);
/* The first call wins: no further unit starts and the job ends with this error. */
void canp_job_fail(struct canp_job *job, int err, const char *what);
/* Why a shard cannot be set up; the first call wins. */
void canp_job_note(struct canp_job *job, const char *what);
bool canp_job_failed(const struct canp_job *job);
/* A shard's owner side is done; the last one stops the runtime. */
void canp_job_shard_over(struct canp_job *job, struct canp_runtime *rt);
/* Adds the ids no DBC names to the job's list; takes a lock, at teardown only. */
void canp_job_collect_unknown(struct canp_job *job, const struct canp_group *group);

/* What flows from `read` to `decode`: a batch of one row whose native is a window of the file under
 * way. `decode` fills in the answer. */
struct canp_ingest_window {
	const uint8_t *data;
	size_t len;
	uint64_t base; /* of data in the file */
	bool eof;
	enum canp_walk res;
	size_t consumed;
};

/* What flows from `decode` to `extract`: a batch of the rows of one chunk, whose native is this. */
struct canp_ingest_rows {
	const struct canp_chunk *chunk;
	const struct canp_table *table;
	unsigned slot;
};

/* A batch for either. nr_rows 0 and native NULL say that a unit ends: every operator hands on what
 * it still holds, then the batch itself. */
static inline void canp_ingest_batch(struct canp_batch *b, uint32_t nr_rows, const void *native)
{
	*b = (struct canp_batch){.nr_rows = nr_rows, .native = native};
	canp_batch_keep_all(b);
}

/* The operators of the job (state = the shard's struct); see job_build_flow() in ingest.c. */
unsigned canp_ingest_read(void *state, struct canp_flow_node *n, uint64_t now_ns);
void canp_ingest_decode(void *state, struct canp_flow_node *n, struct canp_batch *b);
void canp_ingest_extract(void *state, struct canp_flow_node *n, struct canp_batch *b);
unsigned canp_ingest_write(void *state, struct canp_flow_node *n, uint64_t now_ns);
/* ingest_write.c: messages of the mesh (arg = shard state). */
void canp_ingest_on_msg(void *arg, unsigned from, struct canp_msg *msg, bool returned);
/* The first error stops the job: no new unit starts, owners give up, published parts stay. */
void canp_ingest_fail(struct canp_ingest_shard *is, int err, const char *what);

/* ingest_extract.c: room for the chunks that `frames` frames can fill at most, by what the unit
 * may use; the same for the rest of a unit. */
bool canp_ingest_has_room(struct canp_ingest_shard *is, uint32_t frames);
bool canp_ingest_has_room_to_flush(const struct canp_ingest_shard *is);
/* The frontier unit may go into the reserve. */
void canp_ingest_update_privilege(struct canp_ingest_shard *is);
/* ingest_ahead.c: the stream of is->file, opened before or now: 0, -EAGAIN (no stream is free now),
 * or why it cannot be opened. look_ahead opens those behind it once all of it is asked for;
 * drop_ahead closes them. offer_ahead gives their starts to the look-ahead of the decoder, at the
 * end of the file under way; withdraw takes them back, as must be done before a stream is closed
 * that no walker was opened for. overlap counts what is in flight in a turn that had work. */
int canp_ingest_open_stream(struct canp_ingest_shard *is);
void canp_ingest_look_ahead(struct canp_ingest_shard *is);
void canp_ingest_drop_ahead(struct canp_ingest_shard *is);
void canp_ingest_offer_ahead(struct canp_ingest_shard *is);
void canp_ingest_withdraw(struct canp_ingest_shard *is);
void canp_ingest_overlap(struct canp_ingest_shard *is);
/* ingest_decode.c: the grouper, its chunks become batches; is->host with the callbacks a walker
 * gets; a fault of the file under way (arg = shard state). */
struct canp_group *canp_ingest_group_init(struct canp_ingest_shard *is, void *mem);
void canp_ingest_host_init(struct canp_ingest_shard *is);
void canp_ingest_fault(void *arg, const struct canp_fault *f);

/* ingest_read.c, for ingest_isolate.c: the file under way could not be used; it is closed, walked
 * or not, whole or given up before its end; no slot can come back; enough is on its way. */
void canp_ingest_fail_file(struct canp_ingest_shard *is, enum canp_fault_code code, int err,
			   const char *what);
void canp_ingest_close_file(struct canp_ingest_shard *is, bool walked, bool whole);
unsigned canp_ingest_starved(struct canp_ingest_shard *is);
bool canp_ingest_runs_full(const struct canp_ingest_shard *is);

/* ingest_isolate.c; all but the first only where is->iso is set. */
/* Makes is->iso when the job is isolated. 0 or -ENOMEM. */
int canp_ingest_isolate_init(struct canp_ingest_shard *is);
/* The stream of is->file is open: a worker gets the file. 0; -EAGAIN; or is->error is set. */
int canp_ingest_isolate_begin(struct canp_ingest_shard *is);
/* A worker still has to leave a file that was given up; the shard is woken when it has. */
bool canp_ingest_isolate_busy(struct canp_ingest_shard *is);
/* A step in state ISOLATE; returns work. */
unsigned canp_ingest_isolate(struct canp_ingest_shard *is);
/* `decode`: events in w go to the grouper. */
void canp_ingest_replay(struct canp_ingest_shard *is, struct canp_ingest_window *w);
/* The unit under way is given up. */
void canp_ingest_isolate_drop(struct canp_ingest_shard *is);

/* ingest_stage.c: part of a job, for canp-bench (io/stage.h). All but the first two only where
 * is->stage is set. */
/* Makes is->stage when the job has stages; before anything else is set up. 0 or -ENOMEM. */
int canp_ingest_stage_init(struct canp_ingest_shard *is);
/* Puts its own functions, which call those above with the clock on or off, into the declarations
 * of the operators. Control thread. */
void canp_ingest_stage_ops(const struct canp_stages *st, struct canp_flow_op *read,
			   struct canp_flow_op *extract, struct canp_flow_op *write);
/* Puts itself between the members and their walker, and between the mesh and the shard. */
void canp_ingest_stage_attach(struct canp_ingest_shard *is);
/* Sets what the writer shall do differently. */
void canp_ingest_stage_writer(struct canp_ingest_shard *is, struct canp_partset *set);
/* A file of the job from memory. */
int canp_ingest_stage_open(struct canp_ingest_shard *is, uint32_t src, struct canp_stream **out);
/* The job only reads: there is nothing to recognise or walk. */
bool canp_ingest_stage_reads(const struct canp_ingest_shard *is);
/* In place of canp_walker_walk(). */
enum canp_walk canp_ingest_stage_walk(struct canp_ingest_shard *is, struct canp_ingest_window *w);
/* Adds the shard's stopped time to the totals. Control thread, after the shards have stopped. */
void canp_ingest_stage_collect(const struct canp_ingest_shard *is, struct canp_job_totals *t);

#endif
