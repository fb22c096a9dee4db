/*
 * live.c - the job's side of the live page: the file, and the sequence lock around its contents.
 *
 * The page is one writer's; it is copied word by word between two changes of the sequence number:
 *   L1 the number becomes odd, then every word is a release store: who saw one word of the new copy
 *      also sees the odd number when it asks afterwards.
 *   L2 the number becomes even with a release store: all words are seen before it.
 *   L3 a reader's acquire load of the number, acquire loads of the words, the number again.
 * On x86 all of them are plain moves.
 */
#include "io/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/version.h"
#include "io/live_priv.h"

struct canp_live_page {
	struct canp_live_head *head;
	size_t map_bytes, bytes; /* bytes: of a snapshot */
	char path[280];
};

size_t canp_live_bytes(unsigned nr_shards)
{
	return sizeof(struct canp_live_job) + nr_shards * sizeof(struct canp_live_shard);
}

uint64_t canp_live_pid_start(int pid)
{
	char path[40], text[1024], *p;
	unsigned long long start = 0;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	/* The program's name, in brackets, may contain anything. */
	p = strrchr(text, ')');
	for (unsigned field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		start = strtoull(p + 1, NULL, 10);
	return start;
}

struct canp_live *canp_live_alloc(unsigned nr_shards)
{
	struct canp_live *l;

	if (nr_shards > CANP_LIVE_SHARDS_MAX)
		return NULL;
	l = calloc(1, canp_live_bytes(nr_shards));
	if (!l)
		return NULL;
	l->job.magic = CANP_LIVE_MAGIC;
	l->job.version = CANP_LIVE_VERSION;
	l->job.snapshot_bytes = (uint32_t)canp_live_bytes(nr_shards);
	l->job.nr_shards = nr_shards;
	l->job.pid = (int32_t)getpid();
	l->job.pid_start = canp_live_pid_start(getpid());
	snprintf(l->job.program, sizeof(l->job.program), "canp %s", CANP_VERSION);
	for (unsigned i = 0; i < nr_shards; i++) {
		l->shard[i].cpu = l->shard[i].node = -1;
		l->shard[i].unit = l->shard[i].file = CANP_LIVE_NONE;
	}
	return l;
}

const char *canp_live_state_name(uint32_t state)
{
	static const char *const names[] = {
#define X(name, text) text,
		CANP_LIVE_STATES(X)
#undef X
	};

	return state < CANP_LIVE_STATE_NR ? names[state] : "?";
}

void canp_live_sum_op(const struct canp_live *l, unsigned op, struct canp_live_op *sum)
{
	*sum = (struct canp_live_op){0};
	for (uint32_t i = 0; i < l->job.nr_shards; i++) {
		const struct canp_live_op *o = &l->shard[i].ops[op];

		sum->batches_in += o->batches_in;
		sum->rows_in += o->rows_in;
		sum->batches_out += o->batches_out;
		sum->rows_out += o->rows_out;
		sum->busy_ns += o->busy_ns;
		sum->polls += o->polls;
		sum->idle_polls += o->idle_polls;
		sum->queue += o->queue;
		sum->queue_max += o->queue_max;
	}
}

void canp_live_sum_pool(const struct canp_live *l, unsigned pool, struct canp_live_pool *sum)
{
	*sum = (struct canp_live_pool){0};
	for (uint32_t i = 0; i < l->job.nr_shards; i++) {
		const struct canp_live_pool *p = &l->shard[i].pools[pool];

		sum->gets += p->gets;
		sum->puts += p->puts;
		sum->hits += p->hits;
		sum->waits += p->waits;
		sum->refused += p->refused;
		sum->in_use += p->in_use;
		sum->in_use_max += p->in_use_max;
		sum->slots += p->slots;
		sum->slot_bytes = p->slot_bytes;
	}
}

/* ---- the file ---- */

unsigned canp_live_dirs(char dirs[CANP_LIVE_DIRS_MAX][256])
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	unsigned nr = 0;

	if (run && *run == '/' && strlen(run) < sizeof(dirs[0]))
		memcpy(dirs[nr++], run, strlen(run) + 1);
	memcpy(dirs[nr++], "/run/canp", sizeof("/run/canp"));
	memcpy(dirs[nr++], "/tmp", sizeof("/tmp"));
	return nr;
}

/* A file of that name is left over from a dead process of ours with the same number; what others
 * put there is never followed, written to or removed. */
static int live_open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd >= 0 || errno != EEXIST)
		return fd < 0 ? -errno : fd;
	if (lstat(path, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return -EEXIST;
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* Allocated, not only sized: a full file system shall say so here, not by SIGBUS later. */
static int live_map_file(struct canp_live_page *p, const char *dir)
{
	void *map;
	int fd, rc;

	if (snprintf(p->path, sizeof(p->path), "%s/canp-%d.live", dir, (int)getpid()) >=
	    (int)sizeof(p->path))
		return -ENAMETOOLONG;
	fd = live_open_file(p->path);
	if (fd < 0)
		return fd;
	rc = -posix_fallocate(fd, 0, (off_t)p->map_bytes);
	map = rc ? MAP_FAILED : mmap(NULL, p->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!rc && map == MAP_FAILED)
		rc = -errno;
	close(fd);
	if (rc) {
		unlink(p->path);
		return rc;
	}
	p->head = map;
	return 0;
}

static int live_map(struct canp_live_page *p, const char *dir)
{
	char dirs[CANP_LIVE_DIRS_MAX][256];
	unsigned nr = canp_live_dirs(dirs);
	void *map;

	if (dir && *dir && live_map_file(p, dir) == 0)
		return 0;
	for (unsigned i = 0; !dir && i < nr; i++)
		if (live_map_file(p, dirs[i]) == 0)
			return 0;
	p->path[0] = '\0';
	map = mmap(NULL, p->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	p->head = map;
	return 0;
}

int canp_live_page_create(const char *dir, unsigned nr_shards, struct canp_live_page **out)
{
	struct canp_live_page *p;
	int rc;

	if (!nr_shards || nr_shards > CANP_LIVE_SHARDS_MAX)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->bytes = canp_live_bytes(nr_shards);
	p->map_bytes = sizeof(struct canp_live_head) + p->bytes;
	rc = live_map(p, dir);
	if (rc) {
		free(p);
		return rc;
	}
	p->head->magic = CANP_LIVE_MAGIC;
	*out = p;
	return 0;
}

void canp_live_page_put(struct canp_live_page *p, const struct canp_live *l)
{
	const uint64_t *from = (const uint64_t *)l;
	uint64_t seq = __atomic_load_n(&p->head->seq, __ATOMIC_RELAXED);

	__atomic_store_n(&p->head->seq, seq + 1, __ATOMIC_RELAXED); /* L1 */
	for (size_t i = 0; i < p->bytes / 8; i++)
		__atomic_store_n(&p->head->words[i], from[i], __ATOMIC_RELEASE);
	__atomic_store_n(&p->head->seq, seq + 2, __ATOMIC_RELEASE); /* L2 */
}

int canp_live_page_copy(const struct canp_live_page *p, struct canp_live *out)
{
	uint64_t *to = (uint64_t *)out;

	for (unsigned tries = 0; tries < CANP_LIVE_TRIES; tries++) {
		uint64_t seq = __atomic_load_n(&p->head->seq, __ATOMIC_ACQUIRE); /* L3 */

		if (seq & 1)
			continue;
		for (size_t i = 0; i < p->bytes / 8; i++)
			to[i] = __atomic_load_n(&p->head->words[i], __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&p->head->seq, __ATOMIC_RELAXED) == seq)
			return 0;
	}
	return -EAGAIN;
}

const char *canp_live_page_path(const struct canp_live_page *p)
{
	return p->path;
}

void canp_live_page_destroy(struct canp_live_page *p)
{
	if (!p)
		return;
	if (p->path[0])
		unlink(p->path);
	munmap(p->head, p->map_bytes);
	free(p);
}
