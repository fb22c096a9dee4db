/*
 * profile.c - which hardware profile a machine meets: a table, and counting what sysfs shows.
 */
#include "numa/profile.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/base/compiler.h"
#include "numa/topology.h"

#define GB 1000000000ull

static const struct {
	const char *name, *config;
	unsigned cores, sockets;
	uint64_t mem_bytes;
} profiles[] = {
	[CANP_HW_BELOW] = {"below minimum", NULL, 0, 0, 0},
	[CANP_HW_MIN] = {"minimum", "hw_min_defconfig", 16, 1, 64 * GB},
	[CANP_HW_REC] = {"recommended", "hw_rec_defconfig", 32, 1, 128 * GB},
	[CANP_HW_EXTREME] = {"extreme", "hw_extreme_defconfig", 64, 2, 512 * GB},
};

enum canp_hw_profile canp_hw_profile(const struct canp_hw_facts *f)
{
	unsigned p = CANP_ARRAY_SIZE(profiles) - 1;

	while (p > CANP_HW_BELOW &&
	       (f->cores < profiles[p].cores || f->sockets < profiles[p].sockets ||
		f->mem_bytes < profiles[p].mem_bytes / 10 * 9))
		p--;
	return (enum canp_hw_profile)p;
}

const char *canp_hw_profile_name(enum canp_hw_profile p)
{
	return profiles[p].name;
}

const char *canp_hw_profile_config(enum canp_hw_profile p)
{
	return profiles[p].config;
}

/* Entries of a folder that begin with prefix, and unless any go on with a digit. */
static unsigned count_entries(const char *root, const char *folder, const char *prefix, bool any)
{
	char path[512];
	unsigned n = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s%s", root, folder);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d)) != NULL) {
		const char *p = e->d_name;

		if (!strncmp(p, prefix, strlen(prefix)) && e->d_name[0] != '.')
			n += any || isdigit((unsigned char)p[strlen(prefix)]);
	}
	closedir(d);
	return n;
}

void canp_hw_facts(const char *root, const struct canp_topology *t, uint64_t mem_bytes,
		   struct canp_hw_facts *f)
{
	int last = -1;

	*f = (struct canp_hw_facts){.cores = t->nr_cores, .mem_bytes = mem_bytes};
	/* Packages are numbered from 0, but not always without gaps. */
	for (;;) {
		int next = -1;

		for (unsigned i = 0; i < t->nr_cpus; i++) {
			int p = t->cpus[i].package;

			if (p > last && (next < 0 || p < next))
				next = p;
		}
		if (next < 0)
			break;
		last = next;
		f->sockets++;
	}
	f->nvme = count_entries(root, "/sys/class/nvme", "nvme", false);
	f->gpus = count_entries(root, "/proc/driver/nvidia/gpus", "", true);
}
