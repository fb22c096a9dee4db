/*
 * topology.c - CPUs, cores, nodes and the share of them that we may use.
 *
 * Three limits meet here: what is online (sysfs), what the affinity mask allows (cpusets and
 * taskset end up there), and how much CPU time the cgroup grants (a quota leaves all CPUs visible
 * and merely throttles, which a pinned reactor would feel as stalls). A container may hide any
 * file, so everything but the list of CPUs has a fallback: no topology means one thread per core,
 * no node folder means one node, no cgroup means no quota.
 */
#include "numa/topology.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "numa/sysfile.h"

#define LIST_TEXT_MAX  8192u /* a list of 1024 single ids, with commas, is below 5 KiB */
#define CPU_SET_BITS   8192u /* sched_getaffinity fails when the set is smaller than the kernel's */
#define STACKED_MAX    4     /* dm-crypt on LVM on md on a partition is the most seen in practice */
#define NODE_DIFFERENT (-2)  /* members of one device sit on several nodes */

struct cpu_bits {
	uint64_t w[CANP_CPU_MAX / 64];
};

static bool bits_has(const struct cpu_bits *b, unsigned i)
{
	return b->w[i / 64] >> (i % 64) & 1;
}

/* One id; *p moves behind it. -ERANGE is told apart so that callers may clip. */
static int list_number(const char **p, unsigned *out)
{
	unsigned v = 0;

	if (**p < '0' || **p > '9')
		return -EINVAL;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		if (v < 100000000u)
			v = v * 10 + (unsigned)(**p - '0');
	}
	*out = v;
	return 0;
}

/* Sets a bit for each id of the list. Ids from CANP_CPU_MAX on are an error, or left out when clip
 * is set: a machine with more CPUs than we handle still runs on those that we do. */
static int list_bits(const char *text, bool clip, struct cpu_bits *b)
{
	const char *p = text;

	memset(b, 0, sizeof(*b));
	while (*p == ' ' || *p == '\n')
		p++;
	while (*p && *p != '\n') {
		unsigned from, to;

		if (list_number(&p, &from))
			return -EINVAL;
		to = from;
		if (*p == '-') {
			p++;
			if (list_number(&p, &to) || to < from)
				return -EINVAL;
		}
		if (to >= CANP_CPU_MAX && !clip)
			return -ERANGE;
		for (unsigned i = from; i <= to && i < CANP_CPU_MAX; i++)
			b->w[i / 64] |= 1ULL << (i % 64);
		if (*p == ',') {
			p++;
			if (!*p || *p == '\n')
				return -EINVAL;
		} else if (*p && *p != '\n') {
			return -EINVAL;
		}
	}
	while (*p == '\n' || *p == ' ')
		p++;
	return *p ? -EINVAL : 0;
}

int canp_cpulist_parse(const char *text, int *cpus, unsigned max)
{
	struct cpu_bits b;
	unsigned n = 0;
	int rc = list_bits(text, false, &b);

	if (rc)
		return rc;
	for (unsigned i = 0; i < CANP_CPU_MAX; i++) {
		if (!bits_has(&b, i))
			continue;
		if (n == max)
			return -ERANGE;
		cpus[n++] = (int)i;
	}
	return (int)n;
}

static int read_bits(const char *root, const char *path, struct cpu_bits *b)
{
	char text[LIST_TEXT_MAX];
	int rc = canp_sysfile_read(root, path, text, sizeof(text));

	return rc < 0 ? rc : list_bits(text, true, b);
}

/* The affinity mask of the calling thread; a fake root tells it the way /proc does. */
static int read_affinity(const char *root, struct cpu_bits *b)
{
	char text[LIST_TEXT_MAX];
	cpu_set_t *set;
	size_t size = CPU_ALLOC_SIZE(CPU_SET_BITS);
	int rc = 0;

	memset(b, 0, sizeof(*b));
	if (root[0]) {
		rc = canp_sysfile_key(root, "/proc/self/status", "Cpus_allowed_list:", text,
				      sizeof(text));
		return rc ? rc : list_bits(text, true, b);
	}
	set = CPU_ALLOC(CPU_SET_BITS);
	if (!set)
		return -ENOMEM;
	if (sched_getaffinity(0, size, set))
		rc = -errno;
	for (unsigned i = 0; !rc && i < CANP_CPU_MAX; i++) {
		if (CPU_ISSET_S(i, size, set))
			b->w[i / 64] |= 1ULL << (i % 64);
	}
	CPU_FREE(set);
	return rc;
}

static int cpu_number(const char *root, int cpu, const char *leaf, int fallback)
{
	char path[128];
	int64_t v;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, leaf);
	return canp_sysfile_i64(root, path, &v) || v < 0 || v > INT_MAX ? fallback : (int)v;
}

/* Position among the hardware threads of its core. */
static int cpu_smt(const char *root, int cpu)
{
	struct cpu_bits b;
	char path[128];
	int before = 0;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 cpu);
	if (read_bits(root, path, &b) || !bits_has(&b, (unsigned)cpu))
		return 0;
	for (unsigned i = 0; i < (unsigned)cpu; i++)
		before += bits_has(&b, i);
	return before;
}

static void read_nodes(const char *root, struct canp_topology *t)
{
	struct cpu_bits online, cpus;
	char path[128], text[64];

	t->nr_nodes = 0;
	if (read_bits(root, "/sys/devices/system/node/online", &online))
		memset(&online, 0, sizeof(online));
	for (unsigned n = 0; n < CANP_NODE_MAX; n++) {
		char key[32];

		if (!bits_has(&online, n))
			continue;
		t->nr_nodes++;
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", n);
		if (!read_bits(root, path, &cpus)) {
			for (unsigned i = 0; i < t->nr_cpus; i++) {
				if (bits_has(&cpus, (unsigned)t->cpus[i].id))
					t->cpus[i].node = (int)n;
			}
		}
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", n);
		snprintf(key, sizeof(key), "Node %u MemTotal:", n);
		if (!canp_sysfile_key(root, path, key, text, sizeof(text)))
			t->node_bytes[n] = strtoull(text, NULL, 10) * CANP_KIB;
	}
	if (t->nr_nodes == 0)
		t->nr_nodes = 1;
}

/* The tightest quota on the way from our cgroup to the root; v1 keeps quota and period apart. */
static double quota_walk(const char *root, const char *mount, const char *leaf, bool v1)
{
	char dir[CANP_SYSFILE_PATH_MAX], file[CANP_SYSFILE_PATH_MAX + 32], text[64];
	double best = 0;
	size_t base;

	base = strlen(mount);
	if ((size_t)snprintf(dir, sizeof(dir), "%s%s", mount, leaf) >= sizeof(dir))
		return 0;
	for (;;) {
		int64_t quota = -1, period = 100000;
		char *slash;

		if (v1) {
			snprintf(file, sizeof(file), "%s/cpu.cfs_period_us", dir);
			(void)canp_sysfile_i64(root, file, &period);
			snprintf(file, sizeof(file), "%s/cpu.cfs_quota_us", dir);
			(void)canp_sysfile_i64(root, file, &quota);
		} else {
			snprintf(file, sizeof(file), "%s/cpu.max", dir);
			/* "max 100000" leaves quota at -1: sscanf stops at the word. */
			if (canp_sysfile_read(root, file, text, sizeof(text)) > 0)
				(void)sscanf(text, "%ld %ld", &quota, &period);
		}
		if (quota > 0 && period > 0) {
			double cpus = (double)quota / (double)period;

			best = best > 0 ? canp_min(best, cpus) : cpus;
		}
		slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < base)
			return best;
		*slash = '\0';
	}
}

static double read_quota(const char *root)
{
	static const char top[] = "/sys/fs/cgroup";
	char path[CANP_SYSFILE_PATH_MAX - 256], names[128], mount[192];
	double best = 0;

	for (int i = 0; i < 4; i++) {
		bool v1 = i >= 2;
		double q;

		if (canp_sysfile_cgroup(root, v1 ? "cpu" : "", path, sizeof(path), names,
					sizeof(names)))
			continue;
		/* v2 alone, v2 beside v1, v1 under its own name, v1 under its list of names. */
		if (i == 0)
			snprintf(mount, sizeof(mount), "%s", top);
		else if (i == 1)
			snprintf(mount, sizeof(mount), "%s/unified", top);
		else
			snprintf(mount, sizeof(mount), "%s/%s", top, i == 2 ? "cpu" : names);
		q = quota_walk(root, mount, path, v1);
		if (q > 0)
			best = best > 0 ? canp_min(best, q) : q;
	}
	return best;
}

int canp_topology_read(const char *root, struct canp_topology *t)
{
	struct cpu_bits online, allowed;
	bool all_allowed;
	int rc;

	memset(t, 0, sizeof(*t));
	all_allowed = read_affinity(root, &allowed) != 0;
	rc = read_bits(root, "/sys/devices/system/cpu/online", &online);
	if (rc) {
		/* Without sysfs the affinity mask is all we know. */
		if (root[0] || all_allowed)
			return rc;
		online = allowed;
	}
	for (unsigned i = 0; i < CANP_CPU_MAX; i++) {
		struct canp_topology_cpu *c = &t->cpus[t->nr_cpus];

		if (!bits_has(&online, i))
			continue;
		c->id = (int)i;
		c->core = cpu_number(root, c->id, "core_id", c->id);
		c->package = cpu_number(root, c->id, "physical_package_id", 0);
		c->smt = cpu_smt(root, c->id);
		c->allowed = all_allowed || bits_has(&allowed, i);
		t->nr_allowed += c->allowed;
		t->nr_cores += c->smt == 0;
		t->nr_cpus++;
	}
	if (t->nr_allowed == 0)
		return -ENODEV;
	read_nodes(root, t);
	t->cpu_quota = read_quota(root);
	return 0;
}

/* How many allowed threads of c's core come before it: 0 makes it the one to use first, also when
 * the affinity mask excludes the core's first thread. */
static unsigned cpu_rank(const struct canp_topology *t, const struct canp_topology_cpu *c)
{
	unsigned rank = 0;

	for (unsigned i = 0; i < t->nr_cpus; i++) {
		const struct canp_topology_cpu *d = &t->cpus[i];

		rank += d->allowed && d->smt < c->smt && d->core == c->core &&
			d->package == c->package && d->node == c->node;
	}
	return rank;
}

unsigned canp_topology_reactor_cpus(const struct canp_topology *t, int *cpus, unsigned max)
{
	uint16_t rank[CANP_CPU_MAX];
	unsigned n = 0, rank_max = 0, want = canp_min(max, t->nr_allowed);

	for (unsigned i = 0; i < t->nr_cpus; i++) {
		rank[i] = UINT16_MAX;
		if (!t->cpus[i].allowed)
			continue;
		rank[i] = (uint16_t)cpu_rank(t, &t->cpus[i]);
		rank_max = canp_max(rank_max, (unsigned)rank[i]);
	}
	for (unsigned r = 0; r <= rank_max && n < want; r++) {
		unsigned next[CANP_NODE_MAX] = {0};
		bool more = true;

		/* One CPU of each node per round, so that half the reactors use half of each node's
		 * memory channels. */
		while (more && n < want) {
			more = false;
			for (unsigned node = 0; node < CANP_NODE_MAX && n < want; node++) {
				unsigned i = next[node];

				while (i < t->nr_cpus &&
				       (rank[i] != r || t->cpus[i].node != (int)node))
					i++;
				next[node] = i + 1;
				if (i >= t->nr_cpus) {
					next[node] = t->nr_cpus;
					continue;
				}
				cpus[n++] = t->cpus[i].id;
				more = true;
			}
		}
	}
	return n;
}

unsigned canp_topology_default_cores(const struct canp_topology *t)
{
	unsigned cores = canp_max(t->nr_allowed, 1u);

	if (t->cpu_quota > 0 && t->cpu_quota < (double)cores) {
		unsigned whole = (unsigned)t->cpu_quota;

		cores = whole + ((double)whole < t->cpu_quota);
	}
	return canp_max(cores, 1u);
}

static int device_node(const char *dir, int depth);

/* The node all entries of dir agree on: all of them, or those named prefix + digits. */
static int members_node(const char *dir, const char *prefix, int depth)
{
	char member[PATH_MAX], real[PATH_MAX];
	int node = -1;
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d)
		return -1;
	while (node != NODE_DIFFERENT && (e = readdir(d))) {
		int m;

		if (e->d_name[0] == '.')
			continue;
		/* "nvme0" is a controller, "nvme0n1" would lead back to where we come from. */
		if (prefix[0] &&
		    (strncmp(e->d_name, prefix, strlen(prefix)) ||
		     e->d_name[strlen(prefix) + strspn(e->d_name + strlen(prefix), "0123456789")]))
			continue;
		if ((size_t)snprintf(member, sizeof(member), "%s/%s", dir, e->d_name) >=
			    sizeof(member) ||
		    !realpath(member, real))
			continue;
		m = device_node(real, depth + 1);
		if (m >= 0)
			node = node < 0 || node == m ? m : NODE_DIFFERENT;
	}
	closedir(d);
	return node;
}

/* Looks for numa_node in the device's folder and upwards to the PCI device it hangs on. */
static int device_node(const char *dir, int depth)
{
	char up[PATH_MAX], sub[PATH_MAX + 16];
	int64_t v;
	int node;

	if (depth > STACKED_MAX)
		return -1;
	/* LVM, dm-crypt and md have no node of their own but are made of devices that may. */
	snprintf(sub, sizeof(sub), "%s/slaves", dir);
	node = members_node(sub, "", depth);
	if (node != -1)
		return node;
	snprintf(up, sizeof(up), "%s", dir);
	for (;;) {
		char *slash = strrchr(up, '/');

		if (!slash || slash == up || !strcmp(slash, "/devices"))
			return -1;
		if (!canp_sysfile_i64(up, "/numa_node", &v) && v >= 0 && v < (int)CANP_NODE_MAX)
			return (int)v;
		if (!canp_sysfile_i64(up, "/device/numa_node", &v) && v >= 0 &&
		    v < (int)CANP_NODE_MAX)
			return (int)v;
		/* A multipath NVMe disk hangs below a subsystem that links its controllers. */
		if (!strncmp(slash, "/nvme-subsys", 12) && slash[12] >= '0' && slash[12] <= '9') {
			node = members_node(up, "nvme", depth);
			if (node != -1)
				return node;
		}
		*slash = '\0';
	}
}

int canp_topology_path_node(const char *root, const char *path)
{
	char link[CANP_SYSFILE_PATH_MAX], real[PATH_MAX];
	struct statx st;
	int node;

	if (statx(AT_FDCWD, path, 0, STATX_TYPE, &st))
		return -1;
	if ((size_t)snprintf(link, sizeof(link), "%s/sys/dev/block/%u:%u", root, st.stx_dev_major,
			     st.stx_dev_minor) >= sizeof(link) ||
	    !realpath(link, real))
		return -1;
	node = device_node(real, 0);
	return node < 0 ? -1 : node;
}
