/*
 * inflate_x4.c - members onto lanes and back: containers, checksums, rounds, and the way out.
 *
 * A round is as many steps as no lane can leave its buffers in (canp_lane_room). It ends early when
 * a lane meets something no step can do: a long code or match, an overlapping match, the end of a
 * block. That lane is served one by one and a new round begins. A lane too near to an end for
 * rounds to be worth it is finished by the scalar decoder.
 *
 * Free lanes are parked: their tables say "no bits, no bytes" for the zeros they read, so the loop
 * needs no variants for fewer lanes. Of isal_inflate's rate on dense data it makes 2.6, 2.3, 1.8
 * and 1.3 times with five to two lanes busy. A single one is left to the scalar decoder: .95.
 *
 * Every doubt is settled by canp_inflate_member(): header not plain, fault, checksum wrong.
 */
#include "simd/inflate_x4.h"

#include "core/base/assert.h"
#include "core/base/units.h"
#include "simd/inflate_lane.h"
#include "simd/simd.h"

/* Fewer steps than this are left to the scalar decoder: setting up a round costs about as much. */
#define ROUND_MIN 4
/* Keeps the count in 32 bits; the buffers end long before. */
#define ROUND_MAX 1000000

enum x4_state { X4_FREE, X4_BUSY, X4_DONE };

struct canp_inflate_x4 {
	struct canp_lanes lanes;
	struct x4_slot {
		struct canp_inflate_job *job;
		enum x4_state state;
	} slot[LANE_NR];
	unsigned nr_busy;
	enum canp_inflate_engine engine;
	struct canp_inflate *reference;
	CANP_ALIGNED(CANP_CACHELINE) uint8_t parked_out[LANE_NR][2 * CANP_CACHELINE];
	uint8_t parked_in[CANP_CACHELINE];
};

CANP_STATIC_ASSERT(LANE_NR == CANP_INFLATE_LANES, "as promised");

static size_t x4_own_bytes(void)
{
	return canp_align_up(sizeof(struct canp_inflate_x4), (size_t)CANP_CACHELINE);
}

size_t canp_inflate_x4_bytes(void)
{
	return LANE_LOOP_ALIGN + x4_own_bytes() + canp_inflate_bytes();
}

static void x4_park(struct canp_inflate_x4 *ctx, unsigned k)
{
	struct canp_lane *lane = &ctx->lanes.lane[k];

	lane->bit = 8 * (uint64_t)(uintptr_t)ctx->parked_in;
	lane->out = lane->out_start = ctx->parked_out[k];
	ctx->lanes.tab[k].lit[0] = ctx->lanes.tab[k].dist[0] = 0;
}

struct canp_inflate_x4 *canp_inflate_x4_init(void *mem, enum canp_inflate_engine engine)
{
	uintptr_t at = canp_align_up((uintptr_t)mem, (uintptr_t)LANE_LOOP_ALIGN);
	struct canp_inflate_x4 *ctx = (struct canp_inflate_x4 *)at;

	CANP_ASSERT(((uintptr_t)mem & (CANP_CACHELINE - 1)) == 0);
	memset(ctx, 0, sizeof(*ctx));
	if (engine == CANP_INFLATE_AUTO)
		engine = CANP_INFLATE_INTERLEAVED;
	if (engine == CANP_INFLATE_INTERLEAVED &&
	    !(CANP_ENABLED(CONFIG_CANP_SIMD_AVX2) && canp_simd.isa >= CANP_ISA_AVX2))
		engine = CANP_INFLATE_SCALAR;
	ctx->engine = engine;
	ctx->reference = canp_inflate_init((uint8_t *)ctx + x4_own_bytes());
	ctx->lanes.count_mask = LANE_COUNT;
	for (unsigned k = 0; k < LANE_NR; k++)
		x4_park(ctx, k);
	return ctx;
}

/* ---- the ends of a member ---------------------------------------------------------------------*/

static void x4_done(struct canp_inflate_x4 *ctx, unsigned k)
{
	ctx->slot[k].state = X4_DONE;
	ctx->nr_busy--;
	x4_park(ctx, k);
}

static void x4_redo(struct canp_inflate_x4 *ctx, unsigned k)
{
	struct canp_inflate_job *job = ctx->slot[k].job;

	job->result = canp_inflate_member(ctx->reference, job->kind, job->in, job->in_len, job->out,
					  job->out_cap, &job->out_len, &job->in_used);
	job->redone = true;
	x4_done(ctx, k);
}

/* Length of the container's header; false when it is not a plain one. */
static bool x4_header(const struct canp_inflate_job *job, size_t *len)
{
	*len = 0;
	switch (job->kind) {
	case CANP_INFLATE_GZIP:
		return canp_gzip_header(job->in, job->in_len, len) == CANP_INFLATE_OK;
	case CANP_INFLATE_ZLIB:
		*len = 2;
		return job->in_len >= 2 && (job->in[0] & 0x0f) == 8 && job->in[0] >> 4 <= 7 &&
		       canp_be16(job->in) % 31 == 0 && !(job->in[1] & 0x20);
	default:
		return true;
	}
}

/* Length of the container's trailer; false when it is not there or does not match. */
static bool x4_trailer(const struct canp_inflate_job *job, const uint8_t *p, size_t left,
		       size_t *len)
{
	switch (job->kind) {
	case CANP_INFLATE_GZIP:
		*len = 8;
		return left >= 8 && canp_le32(p + 4) == (uint32_t)job->out_len &&
		       canp_le32(p) == canp_simd.crc32(0, job->out, job->out_len);
	case CANP_INFLATE_ZLIB:
		*len = 4;
		return left >= 4 && canp_be32(p) == canp_simd.adler32(1, job->out, job->out_len);
	default:
		*len = 0;
		return true;
	}
}

/* The deflate stream of a lane is over: verified while it is hot. */
static void x4_verify(struct canp_inflate_x4 *ctx, unsigned k)
{
	struct canp_inflate_job *job = ctx->slot[k].job;
	struct canp_lane *lane = &ctx->lanes.lane[k];
	const uint8_t *p = canp_lane_byte(lane->bit + 7);
	size_t len;

	job->out_len = (size_t)(lane->out - job->out);
	job->in_used = (size_t)(p - job->in);
	if (!x4_trailer(job, p, (size_t)(canp_lane_byte(lane->bit_end) - p), &len)) {
		x4_redo(ctx, k);
		return;
	}
	job->in_used += len;
	job->result = CANP_INFLATE_OK;
	x4_done(ctx, k);
}

/* ---- rounds -----------------------------------------------------------------------------------*/

static void x4_lane_state(struct canp_inflate_x4 *ctx, unsigned k, enum canp_lane_state state)
{
	if (state == LANE_EOB)
		state = canp_lane_blocks(&ctx->lanes.lane[k], &ctx->lanes.tab[k]);
	if (state == LANE_FAULT)
		x4_redo(ctx, k);
	else if (state == LANE_END)
		x4_verify(ctx, k);
}

static void x4_lane_finish(struct canp_inflate_x4 *ctx, unsigned k)
{
	x4_lane_state(ctx, k, canp_lane_finish(&ctx->lanes.lane[k], &ctx->lanes.tab[k]));
}

/* Rounds until a lane is near an end or has a new block. */
static void x4_rounds(struct canp_inflate_x4 *ctx)
{
	int64_t steps = ROUND_MAX;
	unsigned k, nearest = 0;
	bool wide = false;

	for (k = 0; k < LANE_NR; k++)
		wide |= ctx->slot[k].state == X4_BUSY && ctx->lanes.lane[k].wide;
	for (k = 0; k < LANE_NR; k++) {
		int64_t room;

		if (ctx->slot[k].state != X4_BUSY)
			continue;
		room = canp_lane_room(&ctx->lanes.lane[k], wide);
		if (room < steps) {
			steps = room;
			nearest = k;
		}
	}
	if (steps < ROUND_MIN || ctx->nr_busy == 1) {
		x4_lane_finish(ctx, nearest);
		return;
	}
	while (steps >= ROUND_MIN) {
		enum canp_lane_state state;

		k = canp_lanes_run_avx2(&ctx->lanes, (uint32_t)steps, wide);
		if (k == LANE_NR)
			return;
		state = canp_lane_symbols(&ctx->lanes.lane[k], &ctx->lanes.tab[k]);
		if (state != LANE_MORE) {
			x4_lane_state(ctx, k, state);
			return;
		}
		/* The lanes before k may have taken the step already that is not counted yet. */
		steps = canp_min((int64_t)ctx->lanes.steps - 1,
				 canp_lane_room(&ctx->lanes.lane[k], wide));
	}
}

static void x4_advance(struct canp_inflate_x4 *ctx)
{
	/* Where it is not built the call has to vanish as well. */
	if (CANP_ENABLED(CONFIG_CANP_SIMD_AVX2) && ctx->engine == CANP_INFLATE_INTERLEAVED) {
		x4_rounds(ctx);
		return;
	}
	for (unsigned k = 0; k < LANE_NR; k++)
		if (ctx->slot[k].state == X4_BUSY) {
			x4_lane_finish(ctx, k);
			return;
		}
}

/* ---- the interface ----------------------------------------------------------------------------*/

unsigned canp_inflate_x4_nr_free(const struct canp_inflate_x4 *ctx)
{
	unsigned nr = 0;

	for (unsigned k = 0; k < LANE_NR; k++)
		nr += ctx->slot[k].state == X4_FREE;
	return nr;
}

void canp_inflate_x4_submit(struct canp_inflate_x4 *ctx, struct canp_inflate_job *job)
{
	struct canp_lane *lane;
	size_t header;
	unsigned k = 0;

	while (k < LANE_NR && ctx->slot[k].state != X4_FREE)
		k++;
	CANP_ASSERT(k < LANE_NR);
	lane = &ctx->lanes.lane[k];
	ctx->slot[k].job = job;
	ctx->slot[k].state = X4_BUSY;
	ctx->nr_busy++;
	job->redone = false;
	/* More than 4 GiB is for the reference decoder to cut. */
	if (ctx->engine == CANP_INFLATE_ISAL || job->in_len > UINT32_MAX ||
	    job->out_cap > UINT32_MAX || !x4_header(job, &header)) {
		x4_redo(ctx, k);
		job->redone = ctx->engine != CANP_INFLATE_ISAL;
		return;
	}
	lane->bit = 8 * (uint64_t)(uintptr_t)(job->in + header);
	lane->bit_end = 8 * (uint64_t)(uintptr_t)(job->in + job->in_len);
	lane->out = lane->out_start = job->out;
	lane->out_end = job->out + job->out_cap;
	lane->last_block = false;
	x4_lane_state(ctx, k, canp_lane_blocks(lane, &ctx->lanes.tab[k]));
}

struct canp_inflate_job *canp_inflate_x4_next(struct canp_inflate_x4 *ctx)
{
	for (;;) {
		for (unsigned k = 0; k < LANE_NR; k++)
			if (ctx->slot[k].state == X4_DONE) {
				ctx->slot[k].state = X4_FREE;
				return ctx->slot[k].job;
			}
		if (!ctx->nr_busy)
			return NULL;
		x4_advance(ctx);
	}
}

void canp_inflate_x4_run(struct canp_inflate_x4 *ctx, struct canp_inflate_job *jobs, size_t nr)
{
	size_t started = 0;

	CANP_ASSERT(canp_inflate_x4_nr_free(ctx) == LANE_NR);
	for (unsigned k = 0; k < LANE_NR && started < nr; k++)
		canp_inflate_x4_submit(ctx, &jobs[started++]);
	while (canp_inflate_x4_next(ctx))
		if (started < nr)
			canp_inflate_x4_submit(ctx, &jobs[started++]);
}
