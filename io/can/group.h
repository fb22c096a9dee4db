/*
 * group.h - frames become chunks: one grouper per shard owns a 256-row chunk per table, takes
 * frames from the format walkers and hands full chunks to its owner.
 *
 * Source, device and bus of rows are run lengths beside the chunk, never per row.
 */
#ifndef CANP_IO_GROUP_H
#define CANP_IO_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "io/can/plan.h"
#include "simd/simd.h"

/* Rows start..(next start) of a chunk come from this source. */
struct canp_meta_run {
	uint16_t start; /* first row in the chunk */
	uint8_t bus;
	uint8_t pad;
	uint32_t src;    /* input id = row of canp_files */
	uint32_t device; /* index into the job's device names, 0 = none */
};

struct canp_chunk {
	/* rows * table->stride bytes; canp_table_frame_stride() as long as plugins have not added
	 * their columns. */
	const uint8_t *rec;
	unsigned rows;       /* 1..256 */
	const uint8_t *lens; /* [rows], 0xff = long enough; NULL when no row is short */
	const struct canp_meta_run *meta;
	unsigned nr_meta;
};

/* A bus of the file being read. Formats get one from canp_group_bus() and pass it with frames. */
struct canp_busref {
	const struct canp_idmap *map; /* NULL: bus not selected */
	uint8_t number;
};

/* Counters of the current file; reset by canp_group_file_begin(). */
struct canp_group_counts {
	uint64_t frames;         /* data + remote + error + overload */
	uint64_t frames_decoded; /* reached a message table */
	uint64_t frames_unknown; /* id in no DBC */
	/* Data frames not selected, of a bus not selected, or outside --from/--to. */
	uint64_t frames_dropped;
	uint64_t error_frames, remote_frames, overload_frames, gaps;
	uint64_t bad_times; /* timestamp not representable: frame dropped and counted */
	int64_t first_ns, last_ns, min_ns, max_ns; /* of frames inside --from/--to on selected
						    * buses, events included; 0 when none */
};

struct canp_group;

struct canp_group_opts {
	const struct canp_plan *plan;
	/* Called with a full (or, at canp_group_flush(), partial) chunk. table is never NULL. The
	 * chunk is only valid during the call. Must not fail: the owner makes room beforehand. */
	void (*chunk)(void *arg, unsigned slot, const struct canp_table *table,
		      const struct canp_chunk *chunk);
	void *arg;
	/* Frames of from_ns <= ts < to_ns are kept; INT64_MIN / INT64_MAX: open. */
	int64_t from_ns, to_ns;
};

/* Bytes of memory one grouper needs for this plan (chunks, side arrays, slots). */
size_t canp_group_bytes(const struct canp_plan *plan);
/* Builds a grouper in mem (64-byte aligned, canp_group_bytes() long; owned by the caller, must
 * outlive it). Shard thread only from here on. */
struct canp_group *canp_group_init(void *mem, const struct canp_group_opts *opts);
/* Ends the use of mem; rows not flushed are forgotten. */
void canp_group_fini(struct canp_group *g);

/* A new input file. src is its row in canp_files. */
void canp_group_file_begin(struct canp_group *g, uint32_t src);
/* Later frames come from this device (may be called at any frame boundary). */
void canp_group_device(struct canp_group *g, uint32_t device);
/* Bus of this file by stored number and interface name (may be NULL). The reference stays valid
 * for the life of the grouper. At most 256 names a file; more share the last. */
const struct canp_busref *canp_group_bus(struct canp_group *g, const char *name, unsigned number);

/* Another end for what is given to a grouper: the calls themselves, to be told elsewhere (frames of
 * a worker process, io/isolate.h). bus is the index of a bus() call of the same file. Pointers are
 * valid during the call. */
struct canp_group_capture {
	void *arg;
	void (*bus)(void *arg, unsigned bus, const char *name, unsigned number);
	void (*device)(void *arg, uint32_t device);
	void (*push)(void *arg, unsigned bus, int64_t ts_ns, uint32_t id, unsigned flags,
		     unsigned dlc, const uint8_t *data, unsigned len);
	void (*push24)(void *arg, unsigned bus, const uint8_t *frames, size_t n, int64_t ts_mul,
		       int64_t ts_add);
};
/* A grouper without tables or plan, for file_begin, device, bus and the pushes only. mem: so many
 * bytes, 64-byte aligned, the caller's; c is kept and must outlive it. */
size_t canp_group_capture_bytes(void);
struct canp_group *canp_group_capture_init(void *mem, const struct canp_group_capture *c);

/* One frame by value. id: without flag bits. ts in ns. dlc: raw DLC code; len: payload bytes
 * present, 0..64. flags: enum canp_frame_flag. Remote/error/overload/gap go to the events slot. */
void canp_group_push(struct canp_group *g, const struct canp_busref *bus, int64_t ts_ns,
		     uint32_t id, unsigned flags, unsigned dlc, const uint8_t *data, unsigned len);

/* n big-endian 24-byte CANP frames. ts_ns = raw * ts_mul + ts_add with overflow checks. */
void canp_group_push24(struct canp_group *g, const struct canp_busref *bus, const uint8_t *frames,
		       size_t n, int64_t ts_mul, int64_t ts_add);

/* End of a unit: every non-empty chunk is handed over. */
void canp_group_flush(struct canp_group *g);

/* The slots of this grouper, indexed by plan slot: how full each chunk is. */
const struct canp_slot *canp_group_slots(const struct canp_group *g);

const struct canp_group_counts *canp_group_counts(const struct canp_group *g);
/* Frames of unknown ids that found no room in the set of unknown ids (they are counted, and kept
 * with --unknown=keep, but not listed). */
uint64_t canp_group_unknown_overflow(const struct canp_group *g);
/* Unknown ids seen since creation, in no particular order: calls fn(arg, id with bit 31 = ext, bus,
 * frames). */
void canp_group_unknown_for_each(const struct canp_group *g,
				 void (*fn)(void *arg, uint32_t id, unsigned bus, uint64_t frames),
				 void *arg);

#endif
