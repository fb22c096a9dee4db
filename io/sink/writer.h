/*
 * writer.h - the owner's side of the write stage: page runs from all shards come in over the mesh,
 * are put into unit order and go to the parts of the tables this shard owns.
 *
 * Order: the runs of one unit come from one shard over one lane, so they are in order among
 * themselves; whole units are reordered here. The owner holds the runs of later units in place (in
 * the sender's slots) until every earlier unit is done. A unit's runs are complete when its "unit
 * done" message has arrived behind them on the same lane.
 *
 * The owner copies what it needs and returns each run at once when its unit's turn has come. That
 * is half of the no-deadlock argument: the frontier unit never waits for memory held here.
 */
#ifndef CANP_SINK_WRITER_H
#define CANP_SINK_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/runtime/mesh.h"
#include "io/sink/part.h"

struct canp_writer;

struct canp_writer_opts {
	unsigned shard, nr_shards;
	unsigned window; /* units that may be under way at once */
	uint32_t nr_units;
	const struct canp_plan *plan;
	/* By plan slot; NULL for slots without a table. Parquet only. */
	struct canp_pqschema *const *schemas;
	struct canp_mesh *mesh;
	struct canp_partset set; /* what the parts share; copied */
};

struct canp_writer_stats {
	uint64_t runs, reordered, units;
	uint64_t rows;
	uint32_t tables; /* that got rows */
};

/* Memory for init; depends on the tables this shard owns. */
size_t canp_writer_bytes(const struct canp_writer_opts *o);
/* Page slots the owner of these tables needs at most. rows: per row group, one run included. */
uint64_t canp_writer_page_slots(const struct canp_writer_opts *o);
struct canp_writer *canp_writer_init(void *mem, const struct canp_writer_opts *o);

/* Messages from the mesh. Reactor thread, as everything here. */
void canp_writer_run(struct canp_writer *w, struct canp_run *run);
void canp_writer_unit_done(struct canp_writer *w, uint32_t unit, struct canp_msg *msg);
/* Sender `from` will send nothing more. After all senders said so, units up to the first missing
 * one are published and the rest is thrown away. */
void canp_writer_end(struct canp_writer *w);
/* Gives up: open parts are thrown away, runs returned; published parts stay. */
void canp_writer_abort(struct canp_writer *w);

/* A bounded piece of work; returns how much was done. */
unsigned canp_writer_poll(struct canp_writer *w);
/* Everything is published (or aborted) and no operation is in flight. */
bool canp_writer_finished(const struct canp_writer *w);
/* First error of a part, 0; *what a line for people. */
int canp_writer_error(const struct canp_writer *w, const char **what);
void canp_writer_stats(const struct canp_writer *w, struct canp_writer_stats *st);
const struct canp_partset *canp_writer_set(const struct canp_writer *w);
/* Parts parked for space (--on-enospc=wait) try again; true when there were some. */
bool canp_writer_retry_space(struct canp_writer *w);

#endif
