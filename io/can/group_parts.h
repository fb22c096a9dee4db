/*
 * group_parts.h - the grouper's state, shared by group.c (memory, origins of rows, files, buses,
 * unknown ids) and group_push.c (frames into records); private to them.
 */
#ifndef CANP_IO_GROUP_PARTS_H
#define CANP_IO_GROUP_PARTS_H

#include "io/can/group.h"

#define GROUP_BUSES_MAX 256u
/* 1 MiB a shard; filled to three quarters so that probing stays short. */
#define GROUP_UNKNOWN_SIZE 65536u
#define GROUP_UNKNOWN_MAX  (GROUP_UNKNOWN_SIZE / 4 * 3)
/* Keeps chunks of equal index from sharing cache sets. */
#define GROUP_STAGGER 64u

struct group_side { /* beside a slot: touched once a chunk, or for short rows */
	uint8_t lens[CANP_CHUNK_ROWS];
	/* Every run but a last empty one has a row, so one more than rows is enough. */
	struct canp_meta_run runs[CANP_CHUNK_ROWS + 1];
};

struct group_mark {      /* looked at for every pushed frame, so kept apart and small */
	uint64_t origin; /* g->origin when the last run was written; 0: no runs */
	uint64_t nr_runs;
};

struct group_unknown { /* key 0: empty */
	uint64_t key;
	uint64_t frames;
};

struct group_bus { /* a busref and what it was made for */
	struct canp_busref ref;
	unsigned number;
	uint64_t name_hash;
};

struct canp_group {
	struct canp_frames_ctx ctx;
	struct canp_group_opts opts;
	uint32_t nr_slots;
	bool raw, keep_unknown;
	struct canp_slot *slots;
	const struct canp_table **tables;
	struct group_mark *marks;
	struct group_side *sides;
	/* the time scale ctx was made for; mul 0: none yet */
	int64_t window_mul, window_add;
	bool window_fast; /* the kernel may take frames of it */
	/* origin of frames from here on; start and pad unused */
	struct canp_meta_run cur;
	uint64_t origin;    /* number of the current origin, from 1 */
	uint64_t sources;   /* how often src or device changed */
	bool kernel_rows;   /* the kernel ran since the last change of origin */
	bool runs_outdated; /* the origin changed since the kernel ran last */
	bool timed;         /* counts have times */
	struct canp_group_counts counts;
	uint32_t nr_buses;
	struct group_bus buses[GROUP_BUSES_MAX];
	uint32_t nr_unknown;
	uint64_t unknown_overflow;
	struct group_unknown *unknown;
	const struct canp_group_capture *capture; /* NULL in a grouper with tables */
};

/* group.c */
void group_mark_rows(struct canp_group *g, unsigned i);
void group_change_origin(struct canp_group *g, const struct canp_meta_run *next);
void group_before_kernel(struct canp_group *g);
/* id: bit 31 = extended. Counts a frame of the current bus. */
void group_note_unknown(struct canp_group *g, uint32_t id);

/* group_push.c: the chunk of slot i goes to the owner and is empty again. */
void group_hand_over(struct canp_group *g, unsigned i);

static inline bool group_same_origin(const struct canp_meta_run *a, const struct canp_meta_run *b)
{
	return a->src == b->src && a->device == b->device && a->bus == b->bus;
}

static inline void group_set_origin(struct canp_group *g, uint32_t src, uint32_t device,
				    uint8_t bus)
{
	struct canp_meta_run next = {.src = src, .device = device, .bus = bus};

	if (!group_same_origin(&next, &g->cur))
		group_change_origin(g, &next);
}

#endif
