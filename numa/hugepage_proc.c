/*
 * hugepage_proc.c - what /proc and the cgroups say about memory: how much can still be had, and
 * which of our pages became huge.
 *
 * MemAvailable alone is wrong in a container: the cgroup's limit is what kills there. The kernel
 * charges page cache to the cgroup too, which it drops again under pressure, so inactive file pages
 * do not count as used.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "numa/hugepage_priv.h"
#include "numa/sysfile.h"

/* v1 says "no limit" with the largest page-aligned number. */
#define V1_NO_LIMIT (INT64_MAX - INT64_C(1048576))

/* Limit of one cgroup folder and the room left in it, UINT64_MAX without one. */
struct mem_room {
	uint64_t limit, room;
};

static struct mem_room cgroup_room(const char *root, const char *dir, bool v1)
{
	char file[CANP_SYSFILE_PATH_MAX + 32], text[64];
	struct mem_room r = {UINT64_MAX, UINT64_MAX};
	int64_t limit, used;
	uint64_t cache = 0;

	snprintf(file, sizeof(file), "%s/%s", dir, v1 ? "memory.limit_in_bytes" : "memory.max");
	if (canp_sysfile_i64(root, file, &limit) || limit < 0 || limit > V1_NO_LIMIT)
		return r;
	r.limit = (uint64_t)limit;
	snprintf(file, sizeof(file), "%s/%s", dir, v1 ? "memory.usage_in_bytes" : "memory.current");
	if (canp_sysfile_i64(root, file, &used) || used < 0)
		used = 0;
	snprintf(file, sizeof(file), "%s/memory.stat", dir);
	if (!canp_sysfile_key(root, file, v1 ? "total_inactive_file " : "inactive_file ", text,
			      sizeof(text)))
		cache = strtoull(text, NULL, 10);
	used -= (int64_t)canp_min(cache, (uint64_t)used);
	r.room = limit > used ? (uint64_t)(limit - used) : 0;
	return r;
}

static void cgroup_walk(const char *root, const char *mount, const char *leaf, bool v1,
			struct mem_room *best)
{
	char dir[CANP_SYSFILE_PATH_MAX];
	size_t base = strlen(mount);

	if ((size_t)snprintf(dir, sizeof(dir), "%s%s", mount, leaf) >= sizeof(dir))
		return;
	for (;;) {
		struct mem_room here = cgroup_room(root, dir, v1);
		char *slash = strrchr(dir, '/');

		best->limit = canp_min(best->limit, here.limit);
		best->room = canp_min(best->room, here.room);
		if (!slash || (size_t)(slash - dir) < base)
			return;
		*slash = '\0';
	}
}

static struct mem_room cgroups(const char *root)
{
	char path[CANP_SYSFILE_PATH_MAX - 256];
	struct mem_room best = {UINT64_MAX, UINT64_MAX};

	if (!canp_sysfile_cgroup(root, "", path, sizeof(path), NULL, 0))
		cgroup_walk(root, "/sys/fs/cgroup", path, false, &best);
	if (!canp_sysfile_cgroup(root, "memory", path, sizeof(path), NULL, 0))
		cgroup_walk(root, "/sys/fs/cgroup/memory", path, true, &best);
	return best;
}

uint64_t canp_hugepage_cgroup_limit(const char *root)
{
	return cgroups(root).limit;
}

uint64_t canp_hugepage_available(const char *root)
{
	char text[64];
	uint64_t avail = UINT64_MAX, room = cgroups(root).room;

	if (!canp_sysfile_key(root, "/proc/meminfo", "MemAvailable:", text, sizeof(text)))
		avail = strtoull(text, NULL, 10) * CANP_KIB;
	return canp_min(avail, room);
}

int canp_hugepage_thp_bytes(const void *p, size_t len, uint64_t *huge)
{
	uintptr_t want = (uintptr_t)p, want_end = want + len;
	char line[512];
	bool inside = false, known = false;
	FILE *f = fopen("/proc/self/smaps", "re");

	if (!f)
		return -ENOENT;
	*huge = 0;
	while (fgets(line, sizeof(line), f)) {
		uintptr_t from, to;
		unsigned long kib;

		/* A header line starts with the range in hex; the others with a capital name. */
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			inside = from < want_end && to > want;
			if (from >= want_end)
				break;
		} else if (inside && sscanf(line, "AnonHugePages: %lu", &kib) == 1) {
			*huge += kib * CANP_KIB;
			known = true;
		}
	}
	fclose(f);
	/* A merged neighbour may add pages that are not ours. */
	*huge = canp_min(*huge, (uint64_t)len);
	return known ? 0 : -ENOENT;
}
