/*
 * stage.h - part of a job: run only some stages, or stop the clock in all but some. For canp-bench
 * only: no option of canp-appliance leads here, canp_job_opts.stages is NULL in every real job.
 *
 *   read -> inflate -> crc -> decode -> signals -> encode -> write
 *
 * A stage is measured where it really runs, with what it really gets: on the reactors, through the
 * code of the normal job. What comes behind the last stage is dropped at the border:
 *
 *   read      windows of the reader are consumed unseen
 *   inflate   inflated bytes are not walked; their checksum is computed with the clock stopped
 *   crc       inflated and checked bytes are not walked
 *   decode    full chunks (frames grouped by message) are dropped
 *   signals   page runs (extracted, packed columns) are dropped instead of sent
 *   encode    row groups are closed and their pages dropped by the output file layer
 *
 * Missing upstream stages cannot be left out, as each works on what the one before it made. The
 * files lie in memory before the clock starts, and the stages between there and the first one run
 * with the clock stopped: the time is added up in canp_job_totals.off_cpu_ns and off_wall_ns and is
 * not part of the measurement. The caches are as warm as in a whole job, which a replay from memory
 * could not offer. Price: two clock readings at each crossing of the border (member, chunk, page or
 * turn).
 *
 * Formats whose bytes are the frames' bytes (canp_format.plain) have nothing to inflate or check.
 */
#ifndef CANP_IO_STAGE_H
#define CANP_IO_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"

struct canp_strbuf;

enum canp_stage {
	CANP_STAGE_READ,
	CANP_STAGE_INFLATE,
	CANP_STAGE_CRC,
	CANP_STAGE_DECODE,
	CANP_STAGE_SIGNALS,
	CANP_STAGE_ENCODE,
	CANP_STAGE_WRITE,
	CANP_STAGE_NR,
};

/* "read", "inflate", ..; constant string. */
const char *canp_stage_name(enum canp_stage stage);

/* A range of stages as text, "inflate,crc,decode": they stand in their order and none is left out.
 * 0; -EINVAL: *first and *last are as they were, and why has been given a text that names the fault
 * and all stages. Any thread. */
int canp_stages_parse(const char *text, enum canp_stage *first, enum canp_stage *last,
		      struct canp_strbuf *why);

/* A file in memory: bytes of them, CANP_FORMAT_TAIL_PAD more readable. */
struct canp_stage_file {
	const uint8_t *data;
	uint64_t bytes;
};

/* Which stages of a job run on the clock. Read-only while the job runs. */
struct canp_stages {
	enum canp_stage first, last;
	/* Contents of the inputs by src; needed when first is not READ, else NULL. The caller's. */
	const struct canp_stage_file *files;
};

/* Puts counting checksum kernels in front of the chosen ones, or takes them out again. Control
 * thread, after canp_simd_init(), while no shard runs. */
void canp_stage_kernels(bool on);

/* The stopwatch of one shard: wall time, which is cheap to read at every border. What of it was CPU
 * time is found once a turn of a poller (ingest_stage.c). Shard thread only. */
struct canp_stage_clock {
	bool off;
	uint64_t since_ns, off_ns;
};

/* Stops or starts the clock; returns what it was, for the way back. */
static inline bool canp_stage_off(struct canp_stage_clock *c, bool off)
{
	bool was = c->off;

	if (was == off)
		return was;
	if (off)
		c->since_ns = canp_clock_ns();
	else
		c->off_ns += canp_clock_ns() - c->since_ns;
	c->off = off;
	return was;
}

#endif
