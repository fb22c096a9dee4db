/*
 * process_cgroup.c - a control group for the workers of one pool: memory, CPU time and number of
 * processes. Version 2 is one group with all controllers, version 1 one group in each hierarchy;
 * on hybrid systems each controller is looked for in both. The group is made below the caller's,
 * workers put themselves in before they do anything else, and it is removed with the pool.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/process/process_priv.h"
#include "numa/sysfile.h"

static const char *root_of(const struct canp_process_pool *p)
{
	return p->limits.cgroup_root ? p->limits.cgroup_root : "/sys/fs/cgroup";
}

static int file_write(const struct canp_process_pool *p, const char *dir, const char *file,
		      const char *text)
{
	/* A root that was given may be a folder of a test, where files come with the first write.
	 */
	int flags = O_WRONLY | O_CLOEXEC | (p->limits.cgroup_root ? O_CREAT : 0), fd, rc = 0;
	char path[384];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, flags, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static void failed(struct canp_process_pool *p, const char *what, int rc)
{
	struct canp_process_limits_state *st = &p->shm->limits;

	if (!st->reason[0])
		snprintf(st->reason, sizeof(st->reason), "%s: %s", what, strerror(-rc));
}

/* Where the caller is in a hierarchy mounted at base; base itself when that is not visible. */
static void parent_dir(const char *base, const char *controller, char *out, size_t cap)
{
	char path[256];

	if (canp_sysfile_cgroup("", controller, path, sizeof(path), NULL, 0))
		path[0] = 0;
	snprintf(out, cap, "%.120s%.120s", base, strcmp(path, "/") ? path : "");
	if (!is_dir(out))
		snprintf(out, cap, "%s", base);
}

static int group_make(struct canp_process_pool *p, const char *parent, char *dir, size_t cap)
{
	static unsigned nr; /* several pools of one process */

	snprintf(dir, cap, "%.180s/canp-%.32s-%d-%u", parent, p->cfg.pool_name, (int)p->pid,
		 __atomic_fetch_add(&nr, 1, __ATOMIC_RELAXED));
	if (mkdir(dir, 0755))
		return -errno;
	snprintf(p->cgroup[p->nr_cgroups++], sizeof(p->cgroup[0]), "%s", dir);
	return 0;
}

/* Version 2 with this controller: in the pool's one group, made at the first use. */
static int group_v2(struct canp_process_pool *p, const char *controller, char *dir, size_t cap)
{
	static const char *const mounts[] = {"", "/unified"};
	char base[200], parent[256], list[256], plus[32];

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(mounts); i++) {
		snprintf(base, sizeof(base), "%.180s%s", root_of(p), mounts[i]);
		if (canp_sysfile_read(base, "/cgroup.controllers", list, sizeof(list)) < 0 ||
		    !strstr(list, controller))
			continue;
		if (p->shm->limits.cgroup_v2) {
			snprintf(dir, cap, "%s", p->cgroup[0]);
			return 0;
		}
		parent_dir(base, "", parent, sizeof(parent));
		snprintf(plus, sizeof(plus), "+%s", controller);
		/* Refused where it is on already, or where the parent holds processes itself: then
		 * the file of the limit is missing, and that is reported. */
		(void)!file_write(p, parent, "cgroup.subtree_control", plus);
		p->shm->limits.cgroup_v2 = true;
		return group_make(p, parent, dir, cap);
	}
	return -ENOENT;
}

static int group_v1(struct canp_process_pool *p, const char *controller, char *dir, size_t cap)
{
	char base[200], parent[256];

	snprintf(base, sizeof(base), "%.150s/%s", root_of(p), controller);
	if (!is_dir(base))
		return -ENOENT;
	parent_dir(base, controller, parent, sizeof(parent));
	return group_make(p, parent, dir, cap);
}

static int group_for(struct canp_process_pool *p, const char *controller, char *dir, size_t cap,
		     bool *v2)
{
	int rc = group_v2(p, controller, dir, cap);

	*v2 = rc == 0;
	return rc == -ENOENT ? group_v1(p, controller, dir, cap) : rc;
}

static void limit_memory(struct canp_process_pool *p)
{
	struct canp_process_limits_state *st = &p->shm->limits;
	char dir[256], text[32];
	bool v2;
	int rc;

	rc = group_for(p, "memory", dir, sizeof(dir), &v2);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)p->limits.mem_max_bytes);
	if (!rc)
		rc = file_write(p, dir, v2 ? "memory.max" : "memory.limit_in_bytes", text);
	if (!rc && v2)
		(void)!file_write(p, dir, "memory.swap.max", "0");
	st->memory = !rc;
	if (rc)
		failed(p, "memory limit", rc);
	else
		snprintf(st->path, sizeof(st->path), "%s", dir);
}

static void limit_cpu(struct canp_process_pool *p)
{
	uint64_t period = p->limits.cpu_period_us ? p->limits.cpu_period_us : 100000;
	char dir[256], text[64];
	bool v2;
	int rc;

	rc = group_for(p, "cpu", dir, sizeof(dir), &v2);
	if (!rc && v2) {
		snprintf(text, sizeof(text), "%llu %llu",
			 (unsigned long long)p->limits.cpu_quota_us, (unsigned long long)period);
		rc = file_write(p, dir, "cpu.max", text);
	} else if (!rc) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)period);
		rc = file_write(p, dir, "cpu.cfs_period_us", text);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)p->limits.cpu_quota_us);
		if (!rc)
			rc = file_write(p, dir, "cpu.cfs_quota_us", text);
	}
	p->shm->limits.cpu = !rc;
	if (rc)
		failed(p, "cpu limit", rc);
}

static void limit_pids(struct canp_process_pool *p)
{
	char dir[256], text[32];
	bool v2;
	int rc;

	rc = group_for(p, "pids", dir, sizeof(dir), &v2);
	snprintf(text, sizeof(text), "%u", p->limits.pids_max);
	if (!rc)
		rc = file_write(p, dir, "pids.max", text);
	p->shm->limits.pids = !rc;
	if (rc)
		failed(p, "pids limit", rc);
}

int canp_process_cgroup_make(struct canp_process_pool *p)
{
	struct canp_process_limits_state *st = &p->shm->limits;
	const struct canp_process_limits *l = &p->limits;

	if (l->mem_max_bytes)
		limit_memory(p);
	if (l->cpu_quota_us)
		limit_cpu(p);
	if (l->pids_max)
		limit_pids(p);
	if (!st->path[0] && p->nr_cgroups)
		snprintf(st->path, sizeof(st->path), "%s", p->cgroup[0]);
	if (st->reason[0])
		canp_process_log(p, CANP_PROCESS_LOG_WARN, "%s", st->reason);
	return st->reason[0] && l->required ? -EPERM : 0;
}

int canp_process_cgroup_join(struct canp_process_pool *p)
{
	int rc = 0;

	for (unsigned i = 0; i < p->nr_cgroups; i++) {
		int one = file_write(p, p->cgroup[i], "cgroup.procs", "0");

		if (one && !rc)
			rc = one;
	}
	if (rc)
		failed(p, "joining the control group", rc);
	return p->limits.required ? rc : 0;
}

uint64_t canp_process_cgroup_ooms(struct canp_process_pool *p)
{
	char path[320], text[32];

	if (!p->shm->limits.memory)
		return 0;
	snprintf(path, sizeof(path), "%s/memory.events", p->shm->limits.path);
	if (canp_sysfile_key("", path, "oom_kill ", text, sizeof(text))) {
		snprintf(path, sizeof(path), "%s/memory.oom_control", p->shm->limits.path);
		if (canp_sysfile_key("", path, "oom_kill ", text, sizeof(text)))
			return 0;
	}
	return strtoull(text, NULL, 10);
}

/* Empty once its last process is reaped, which may take the kernel a moment to see. */
static void group_remove(const struct canp_process_pool *p, const char *dir)
{
	static const char *const files[] = {"memory.max",       "memory.limit_in_bytes",
					    "cpu.max",          "cpu.cfs_period_us",
					    "cpu.cfs_quota_us", "pids.max",
					    "cgroup.procs",     "memory.swap.max"};
	const struct timespec ms = {.tv_nsec = 1000000};
	char path[384];

	for (unsigned i = 0; i < 200 && rmdir(dir) && errno == EBUSY; i++)
		nanosleep(&ms, NULL);
	if (!p->limits.cgroup_root || !is_dir(dir))
		return;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

void canp_process_cgroup_remove(struct canp_process_pool *p)
{
	for (unsigned i = 0; i < p->nr_cgroups; i++)
		group_remove(p, p->cgroup[i]);
	p->nr_cgroups = 0;
}
