/*
 * unit.c - cutting the listing into units.
 *
 * Small files share a unit so that a claim, a set of page runs and a "unit done" message are paid
 * for at least a MiB of input; a large file is a unit of its own because files are never split.
 */
#include "io/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bitset.h"
#include "core/base/hash.h"
#include "core/base/units.h"

static uint64_t units_target(uint64_t total)
{
	uint64_t t = total / CANP_UNIT_SHARE;

	t = canp_max(t, (uint64_t)CANP_UNIT_TARGET_MIN);
	return canp_min(t, (uint64_t)CANP_UNIT_TARGET_MAX);
}

int canp_units_build(uint32_t nr, struct canp_unit_file (*file)(void *arg, uint32_t i), void *arg,
		     uint64_t target, struct canp_units *out)
{
	struct canp_units u = {0};
	struct canp_unit *cur = NULL;

	for (uint32_t i = 0; i < nr; i++)
		u.bytes += file(arg, i).size;
	u.target = target ? target : units_target(u.bytes);
	/* At most one unit a file; the array is trimmed below. */
	u.units = calloc(nr ? nr : 1, sizeof(*u.units));
	if (!u.units)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++) {
		struct canp_unit_file f = file(arg, i);

		if (!cur || cur->bytes + f.size > u.target) {
			cur = &u.units[u.nr++];
			cur->first_file = i;
			cur->home_hash = (uint32_t)canp_hash_bytes(f.path, strlen(f.path));
		}
		cur->nr_files++;
		cur->bytes += f.size;
	}
	*out = u;
	return 0;
}

void canp_units_fini(struct canp_units *u)
{
	free(u->units);
	memset(u, 0, sizeof(*u));
}

void canp_units_route(const struct canp_units *u, unsigned nr_shards, uint32_t *homes)
{
	CANP_BITSET_DECL(taken, 256) = {0};

	CANP_ASSERT(nr_shards >= 1 && nr_shards <= 256);
	for (uint32_t i = 0; i < u->nr; i++) {
		unsigned s = u->units[i].home_hash % nr_shards;

		if (i % nr_shards == 0)
			canp_bitset_zero(taken, 256);
		while (canp_bitset_test(taken, s))
			s = (s + 1) % nr_shards;
		canp_bitset_set(taken, s);
		homes[i] = s;
	}
}

/* Two ends that only move forward: `end` is where the bytes behind unit i suffice for the others.
 * It may stand beyond what a later, smaller unit needs; then the span is not counted for that one.
 */
uint32_t canp_units_window(const struct canp_units *u, unsigned nr_shards, uint32_t least,
			   uint32_t most)
{
	uint32_t window = least, end = 1;
	uint64_t behind = 0; /* bytes of units (i, end) */

	for (uint32_t i = 0; i < u->nr && window < most; i++) {
		uint64_t need = u->units[i].bytes * (nr_shards - 1);

		if (end <= i) {
			end = i + 1;
			behind = 0;
		}
		if (behind < need) {
			while (end < u->nr && behind < need)
				behind += u->units[end++].bytes;
			/* One more a shard: somebody will be in the middle of one. */
			if (end - i > least)
				window = canp_max(window, end - i + nr_shards);
		}
		if (end > i + 1)
			behind -= u->units[i + 1].bytes;
	}
	return canp_min(window, most);
}
