/*
 * bench_frames.c - what frames24 works on: frames of invented traffic in records of 256, as they
 * lie in a CANP container, 16 blocks of 64 KiB that stay in the L2 cache, and one chunk per
 * message. A full chunk starts anew; what the product does with it is measured elsewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/simd.h"
#include "tools/bench_members.h"
#include "tools/bench_kernels.h"
#include "tools/gen_traffic.h"

#define FRAME_BYTES  24u
#define RECORD       256u
#define NR_FRAMES    CANP_BENCH_FRAMES
#define NR_SLOTS     (CANP_SLOT_FIRST_TABLE + 128u)
#define HASH_ENTRIES 512u
CANP_STATIC_ASSERT(NR_FRAMES % RECORD == 0, "whole records");
/* Chunks of equal size would begin at addresses that map to one set of the cache. */
#define CHUNK_STAGGER 64u

struct canp_bench_frames {
	struct canp_frames_ctx ctx;
	struct canp_idmap map;
	struct canp_slot slots[NR_SLOTS];
	uint32_t keys[HASH_ENTRIES];
	uint16_t values[HASH_ENTRIES];
	uint8_t lens[NR_SLOTS][CANP_CHUNK_ROWS];
	unsigned nr_slots;
	uint8_t *chunks;
	uint8_t *frames;
};

static void map_add(struct canp_bench_frames *f, uint32_t id, bool ext, uint16_t slot)
{
	uint32_t key = canp_idkey_pgn(id), i = key * 0x9e3779b1u;

	if (!ext) {
		f->map.std[id] = slot;
		return;
	}
	i = (i ^ (i >> 15)) & f->map.ext.mask;
	while (f->keys[i])
		i = (i + 1) & f->map.ext.mask;
	f->keys[i] = key;
	f->values[i] = slot;
}

/* Gives the frame's message a slot when it is new. */
static void slot_add(struct canp_bench_frames *f, const struct canp_gen_frame *g, bool j1939)
{
	uint32_t id = g->id & 0x1fffffffu;
	struct canp_slot *s = &f->slots[f->nr_slots];
	size_t bytes = CANP_CHUNK_ROWS * (j1939 ? 32u : 16u);

	if (canp_idmap_find(&f->map, id, j1939) != CANP_SLOT_UNKNOWN)
		return;
	CANP_ASSERT(f->nr_slots < NR_SLOTS);
	s->chunk = f->chunks + f->nr_slots * (bytes + CHUNK_STAGGER);
	s->cls = j1939 ? CANP_REC_J : CANP_REC_S;
	s->stride16 = j1939 ? 2 : 1;
	s->need = g->dlc;
	s->lens = f->lens[f->nr_slots];
	memset(s->lens, 0xff, CANP_CHUNK_ROWS);
	map_add(f, id, j1939, (uint16_t)f->nr_slots++);
}

static void frames_make(struct canp_bench_frames *f, struct canp_gen_traffic *t, bool j1939)
{
	struct canp_gen_frame g;

	for (size_t i = 0; i < NR_FRAMES; i++) {
		uint8_t *p = f->frames + i * FRAME_BYTES;

		canp_bench_traffic_next(t, j1939 ? CANP_BENCH_J1939 : CANP_BENCH_DENSE, &g);
		slot_add(f, &g, j1939);
		memset(p, 0, FRAME_BYTES);
		canp_put_be64(p, g.ts_ns / 1000);
		canp_put_be32(p + 8, g.id);
		p[12] = g.dlc;
		memcpy(p + 16, g.data, g.dlc);
	}
}

struct canp_bench_frames *canp_bench_frames_create(bool j1939)
{
	struct canp_bench_frames *f = calloc(1, sizeof(*f));
	struct canp_gen_traffic *t =
		canp_bench_traffic_create(j1939 ? CANP_BENCH_J1939 : CANP_BENCH_DENSE);

	if (!f || !t)
		goto out_free;
	f->chunks = calloc(NR_SLOTS, CANP_CHUNK_ROWS * 32u + CHUNK_STAGGER);
	f->frames = malloc((size_t)NR_FRAMES * FRAME_BYTES);
	if (!f->chunks || !f->frames)
		goto out_free;
	f->nr_slots = CANP_SLOT_FIRST_TABLE;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(f->map.std); i++)
		f->map.std[i] = CANP_SLOT_UNKNOWN;
	f->map.ext = (struct canp_idhash){.mask = HASH_ENTRIES - 1,
					  .has_pgn = true,
					  .pgn_only = true,
					  .keys = f->keys,
					  .values = f->values};
	frames_make(f, t, j1939);
	f->ctx = (struct canp_frames_ctx){.map = &f->map,
					  .slots = f->slots,
					  .ts_span = INT64_MAX / 1000,
					  .ts_mul = 1000,
					  .min_ns = INT64_MAX,
					  .max_ns = INT64_MIN};
	canp_gen_traffic_destroy(t);
	return f;
out_free:
	if (t)
		canp_gen_traffic_destroy(t);
	canp_bench_frames_destroy(f);
	return NULL;
}

void canp_bench_frames_destroy(struct canp_bench_frames *f)
{
	if (!f)
		return;
	free(f->chunks);
	free(f->frames);
	free(f);
}

void canp_bench_frames_pass(struct canp_bench_frames *f, void (*func)(void))
{
	__typeof__(canp_simd.frames24) frames24 = (__typeof__(canp_simd.frames24))func;

	for (size_t at = 0; at < NR_FRAMES; at += RECORD)
		for (size_t n = 0; n < RECORD;) {
			n += frames24(&f->ctx, f->frames + (at + n) * FRAME_BYTES, RECORD - n);
			if (f->ctx.stop == CANP_FRAMES_FULL)
				f->slots[f->ctx.stop_slot].n = 0;
			else
				CANP_ASSERT(f->ctx.stop == CANP_FRAMES_DONE);
		}
}
