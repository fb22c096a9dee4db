/*
 * unit.h - the listing cut into units of work: consecutive whole files up to a target size, or one
 * larger file alone. A pure function of the listing and the target, so unit numbers, and with them
 * the order of all rows, do not depend on cores or timing.
 */
#ifndef CANP_IO_UNIT_H
#define CANP_IO_UNIT_H

#include <stddef.h>
#include <stdint.h>

#define CANP_UNIT_TARGET_MIN (1ULL << 20)
#define CANP_UNIT_TARGET_MAX (64ULL << 20)
#define CANP_UNIT_SHARE      128u

struct canp_unit {
	uint32_t first_file, nr_files;
	uint64_t bytes;
	uint32_t home_hash; /* of the first file's path */
};

struct canp_units {
	struct canp_unit *units; /* owned */
	uint32_t nr;
	uint64_t bytes;
	uint64_t target;
};

/* One file of the listing as the cutter sees it. */
struct canp_unit_file {
	const char *path; /* what is hashed: the path relative to its INPUT argument */
	uint64_t size;
};

/* target 0: clamp(total / 128, 1 MiB, 64 MiB). file(arg, i) describes file i < nr. Control plane.
 * 0 or -ENOMEM; free with canp_units_fini(). */
int canp_units_build(uint32_t nr, struct canp_unit_file (*file)(void *arg, uint32_t i), void *arg,
		     uint64_t target, struct canp_units *out);
void canp_units_fini(struct canp_units *u);

/* homes[i] = home shard of unit i, by hash with bounded load: of nr_shards (1..256) consecutive
 * units, counted from the first, each shard gets one. A unit goes to the shard of its hash, or to
 * the next one that its group has left. Pages of a unit wait at their owner for all lower units; by
 * the hash alone one shard has several units in a row, another runs ahead, and its pages pile up.
 * A pure function of listing and shards. */
void canp_units_route(const struct canp_units *u, unsigned nr_shards, uint32_t *homes);

/* Units that should be under way at once on nr_shards: so many that the others have work while one
 * shard is busy with a unit much larger than those behind it, because the frontier stays there as
 * long. `least` where units are alike, never more than `most`. A pure function of its arguments. */
uint32_t canp_units_window(const struct canp_units *u, unsigned nr_shards, uint32_t least,
			   uint32_t most);

#endif
