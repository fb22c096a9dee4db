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

/* Room left in one cgroup folder, UINT64_MAX without a limit. */
static uint64_t cgroup_room(const char *root, const char *dir, bool v1)
{
	char file[CANP_SYSFILE_PATH_MAX + 32], text[64];
	int64_t limit, used;
	uint64_t room, cache = 0;

	snprintf(file, sizeof(file), "%s/%s", dir, v1 ? "memory.limit_in_bytes" : "memory.max");
	if (canp_sysfile_i64(root, file, &limit) || limit < 0)
		return UINT64_MAX;
	snprintf(file, sizeof(file), "%s/%s", dir, v1 ? "memory.usage_in_bytes" : "memory.current");
	if (canp_sysfile_i64(root, file, &used) || used < 0)
		return UINT64_MAX;
	snprintf(file, sizeof(file), "%s/memory.stat", dir);
	if (!canp_sysfile_key(root, file, v1 ? "total_inactive_file " : "inactive_file ", text,
			      sizeof(text)))
		cache = strtoull(text, NULL, 10);
	cache = canp_min(cache, (uint64_t)used);
	room = (uint64_t)used - cache;
	return (uint64_t)limit > room ? (uint64_t)limit - room : 0;
}

static uint64_t cgroup_walk(const char *root, const char *mount, const char *leaf, bool v1)
{
	char dir[CANP_SYSFILE_PATH_MAX];
	uint64_t room = UINT64_MAX;
	size_t base = strlen(mount);

	if ((size_t)snprintf(dir, sizeof(dir), "%s%s", mount, leaf) >= sizeof(dir))
		return room;
	for (;;) {
		uint64_t here = cgroup_room(root, dir, v1);
		char *slash = strrchr(dir, '/');

		room = canp_min(room, here);
		if (!slash || (size_t)(slash - dir) < base)
			return room;
		*slash = '\0';
	}
}

uint64_t canp_hugepage_available(const char *root)
{
	char text[64], path[CANP_SYSFILE_PATH_MAX - 256];
	uint64_t avail = UINT64_MAX, room;

	if (!canp_sysfile_key(root, "/proc/meminfo", "MemAvailable:", text, sizeof(text)))
		avail = strtoull(text, NULL, 10) * CANP_KIB;
	if (!canp_sysfile_cgroup(root, "", path, sizeof(path), NULL, 0)) {
		room = cgroup_walk(root, "/sys/fs/cgroup", path, false);
		avail = canp_min(avail, room);
	}
	if (!canp_sysfile_cgroup(root, "memory", path, sizeof(path), NULL, 0)) {
		room = cgroup_walk(root, "/sys/fs/cgroup/memory", path, true);
		avail = canp_min(avail, room);
	}
	return avail;
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
