/*
 * frames.h - the data structures of the fused decode+group pass.
 *
 * One pass reads a frame once, finds the message ("slot") of its id and stores one compact record
 * into that message's 256-row chunk. Record classes are fixed when the plan is made:
 *
 *   S  16 B  { i64 ts_ns, u8 data[8] }                                     classic, one id
 *   J  32 B  { i64 ts_ns, u8 data[8], u32 id, u8 len, u8 dlc, u16 flags, u64 0 }
 *                                                                          J1939, raw, events
 *   F  16 B  { i64 ts_ns, u32 id, u8 len, u8 dlc, u16 flags } + payload rounded up to 16   CAN FD
 *
 * All fields are little-endian in memory; the payload bytes keep their order on the wire and are
 * zero-filled behind `len`. A record shorter than the slot's `need` sets `has_short` and stores
 * its length in `lens` (which is all 0xff for rows that are long enough).
 */
#ifndef CANP_SIMD_FRAMES_H
#define CANP_SIMD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"

#define CANP_CHUNK_ROWS 256u

enum canp_rec_class { CANP_REC_NONE, CANP_REC_S, CANP_REC_J, CANP_REC_F };

/* Frame flags as stored in J and F records and handed to canp_group_push(). */
enum canp_frame_flag {
	CANP_FF_EXT = 1u << 0, /* 29-bit id */
	CANP_FF_RTR = 1u << 1, /* remote frame, no payload */
	CANP_FF_ERR = 1u << 2, /* error frame */
	CANP_FF_OVL = 1u << 3, /* overload frame */
	CANP_FF_FD = 1u << 4,  /* CAN FD format */
	CANP_FF_BRS = 1u << 5, /* FD bit rate switch */
	CANP_FF_ESI = 1u << 6, /* FD error state indicator */
	CANP_FF_TX = 1u << 7,  /* sent by the recorder */
	CANP_FF_GAP = 1u << 8, /* not a frame: the log says frames were lost here */
};

/* Slots 0..3 are fixed; message tables follow. */
enum canp_slot_fixed {
	CANP_SLOT_DROP = 0,    /* known but not selected: counted only */
	CANP_SLOT_UNKNOWN = 1, /* id not in any DBC: counted, its id is noted */
	CANP_SLOT_EVENTS = 2,  /* remote, error, overload frames, gaps -> canp_events */
	CANP_SLOT_RAW = 3,     /* canp_frames / canp_unknown */
	CANP_SLOT_FIRST_TABLE = 4,
};

struct canp_slot {
	uint8_t *chunk; /* 256 records of stride16 * 16 bytes; NULL: count only */
	uint16_t n;     /* rows in the chunk, 0..256 */
	uint8_t cls;    /* enum canp_rec_class */
	uint8_t need;   /* payload bytes the selected signals need, 0..64 */
	uint8_t stride16;
	uint8_t has_short;
	/* Payload bytes from which a frame is stored without further questions as a record of class
	 * S or J; 0xff where none is. Set by canp_slot_arm(). */
	uint8_t plain_s, plain_j;
	uint8_t *lens;   /* [256] */
	uint64_t frames; /* frames that reached this slot and were only counted */
};
CANP_STATIC_ASSERT(sizeof(struct canp_slot) == 32, "two slots a cache line");

/* To be called when cls, need and chunk of a slot are set. */
static inline void canp_slot_arm(struct canp_slot *s)
{
	s->plain_s = s->chunk && s->cls == CANP_REC_S ? s->need : 0xff;
	s->plain_j = s->chunk && s->cls == CANP_REC_J ? s->need : 0xff;
}

/* 29-bit ids: open addressing, power of two, key 0 = empty. Exact ids carry bit 31, PGN keys carry
 * bit 30 (see canp_idkey_pgn); an exact hit wins. Lookup is bounded by the table's size. */
struct canp_idhash {
	uint32_t mask;    /* entries - 1 */
	bool has_pgn;     /* second look-up by PGN wanted */
	uint32_t *keys;   /* [mask + 1] */
	uint16_t *values; /* [mask + 1] slots */
	/* Every exact id has the slot of its PGN as well, so that only that is looked up. */
	bool pgn_only;
};

/* One id space: what one DBC (or several merged ones) says about one bus. */
struct canp_idmap {
	uint16_t std[2048]; /* slot of an 11-bit id */
	struct canp_idhash ext;
};

/* PGN of a 29-bit id (SAE J1939-21): PF >= 240 is broadcast and includes PS. */
static inline uint32_t canp_j1939_pgn(uint32_t id)
{
	uint32_t pgn = (id >> 8) & 0x3ffffu;

	return (pgn & 0xff00u) >= 0xf000u ? pgn : pgn & 0x3ff00u;
}

static inline uint32_t canp_idkey_exact(uint32_t id)
{
	return (id & 0x1fffffffu) | 0x80000000u;
}

static inline uint32_t canp_idkey_pgn(uint32_t id)
{
	return canp_j1939_pgn(id) | 0x40000000u;
}

static inline uint16_t canp_idhash_find(const struct canp_idhash *h, uint32_t key)
{
	uint32_t i = key * 0x9e3779b1u;

	i = (i ^ (i >> 15)) & h->mask;
	while (h->keys[i]) {
		if (h->keys[i] == key)
			return h->values[i];
		i = (i + 1) & h->mask;
	}
	return CANP_SLOT_UNKNOWN;
}

/* Slot of an id; ext says 29 bits. The table always has a free entry, so the search ends. */
static inline uint16_t canp_idmap_find(const struct canp_idmap *m, uint32_t id, bool ext)
{
	uint16_t slot;

	if (!ext)
		return m->std[id & 0x7ff];
	if (m->ext.pgn_only)
		return canp_idhash_find(&m->ext, canp_idkey_pgn(id));
	slot = canp_idhash_find(&m->ext, canp_idkey_exact(id));
	if (slot == CANP_SLOT_UNKNOWN && m->ext.has_pgn)
		slot = canp_idhash_find(&m->ext, canp_idkey_pgn(id));
	return slot;
}

/* Why the pass over 24-byte frames came back before the end of its input. */
enum canp_frames_stop {
	CANP_FRAMES_DONE,    /* all frames consumed */
	CANP_FRAMES_FULL,    /* chunk of `stop_slot` holds 256 rows; flush it, then go on */
	CANP_FRAMES_SPECIAL, /* the next frame is remote/error, needs class F, or its time is out of
			      * the window; the caller handles that one frame and goes on */
	CANP_FRAMES_UNKNOWN, /* unknown_ids is full */
};

#define CANP_FRAMES_UNKNOWN_MAX 256u

struct canp_frames_ctx {
	const struct canp_idmap *map;
	struct canp_slot *slots;
	/* ts_ns = raw * ts_mul + ts_add, valid while raw - ts_lo <= ts_span (unsigned); the window
	 * also carries --from/--to. The caller guarantees no overflow inside it. */
	uint64_t ts_lo, ts_span;
	int64_t ts_mul, ts_add;
	/* results */
	enum canp_frames_stop stop;
	uint16_t stop_slot;
	uint32_t nr_unknown;
	uint32_t unknown_ids[CANP_FRAMES_UNKNOWN_MAX]; /* id, bit 31 = extended */
	int64_t first_ns, last_ns; /* of the frames consumed by this call; only valid if any */
	int64_t min_ns, max_ns;    /* running; caller initialises with INT64_MAX/INT64_MIN */
};

#endif
