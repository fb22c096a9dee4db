/*
 * isolate_priv.h - the lane as both sides see it; private to isolate*.c.
 */
#ifndef CANP_IO_ISOLATE_PRIV_H
#define CANP_IO_ISOLATE_PRIV_H

#include "core/process/process.h"
#include "core/base/units.h"
#include "io/isolate.h"

#define ISO_SLOTS      4u
#define ISO_SLOT_BYTES (1u << 20)
#define ISO_SLOT_STEP  (CANP_FORMAT_STRADDLE + ISO_SLOT_BYTES + 4096u)
#define ISO_SPOOL      ((uint64_t)64 << 20)
#define ISO_WORDS      8192u
#define ISO_NAME       200u

/* One process writes a word, the other one reads it (or believes nothing it reads). */
struct iso_lane {
	/* the job's */
	uint32_t head;  /* slots filled so far; the worker sleeps on it */
	uint32_t moved; /* full spools that were moved away; the worker sleeps on it */
	uint32_t abort; /* the file was given up */
	int32_t fd;     /* eventfd of the shard */
	uint64_t file, bytes, spool_bytes;
	char name[ISO_NAME];
	struct {
		uint64_t base;
		uint32_t len, eof;
	} slots[ISO_SLOTS];
	/* the worker's */
	uint32_t tail __attribute__((aligned(64))); /* slots it needs no more */
	uint32_t full;                              /* spools it has filled */
	uint32_t over;                              /* of this file nothing more will come */
	uint64_t len;                               /* of the spool */
	uint64_t beat, at;
};
_Static_assert(sizeof(struct iso_lane) <= ISO_WORDS, "the words of a lane");

struct canp_iso_port {
	struct canp_isolate *iso;
	struct iso_lane *lane;
	int fd, spill; /* spill -1: none */
	struct canp_future *future;
	uint64_t bytes, seq;
	uint32_t head, moved; /* what the lane should say, for the worker may write there */
	uint32_t fill;        /* bytes in the slot that is being filled */
	bool eof, ended, done;
	uint64_t spilled, spill_at;
	uint64_t files, died, retried; /* read by the control thread at the end */
};

struct canp_isolate {
	struct canp_isolate_opts o;
	struct canp_format_opts format;
	struct canp_process_pool *pool;
	struct canp_process_limits limits;
	uint8_t *map;
	size_t lane_bytes, map_bytes;
	uint64_t spool_bytes;
	struct canp_iso_port *ports; /* [lanes] */
};

static inline uint8_t *iso_slot(struct iso_lane *l, uint32_t i)
{
	return (uint8_t *)l + ISO_WORDS + (size_t)(i % ISO_SLOTS) * ISO_SLOT_STEP +
	       CANP_FORMAT_STRADDLE;
}

static inline size_t iso_spool_at(void)
{
	return canp_align_up(ISO_WORDS + (size_t)ISO_SLOTS * ISO_SLOT_STEP, 4096UL);
}

static inline uint8_t *iso_spool(struct iso_lane *l)
{
	return (uint8_t *)l + iso_spool_at();
}

static inline uint32_t iso_get(const uint32_t *w)
{
	return __atomic_load_n(w, __ATOMIC_ACQUIRE);
}

static inline void iso_set(uint32_t *w, uint32_t v)
{
	__atomic_store_n(w, v, __ATOMIC_RELEASE);
}

/* isolate_worker.c: what runs in the worker; arg, user: the isolate, the lane. */
int iso_worker_init(void *arg);
int iso_worker_file(void *input, size_t input_size, void **output, size_t *output_size, void *user);

#endif
