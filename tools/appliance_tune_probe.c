/*
 * appliance_tune_probe.c - the two short measurements of `canp-appliance tune` beside reading: how
 * fast the output folder takes blocks, and how fast each engine inflates.
 *
 * Blocks go to an unnamed file that no listing shows and that is gone when it is closed, also
 * when we are killed. The sample to inflate is made here: logs differ, but the ratio of the engines
 * hardly does, and a figure that does not depend on the inputs can be compared between machines.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "simd/inflate_x4.h"
#include "tools/appliance_tune.h"

#define BLOCK_BYTES   (1u << 20)
#define DEPTH_MAX     64u
#define WRITE_MAX     (512ULL << 20) /* one depth writes no more */
#define FREE_SHARE    20u            /* nor more than this part of what is free */
#define MEMBER_PLAIN  (64u << 10)
#define MEMBER_PACKED (80u << 10)
#define MEMBERS       32u
#define FRAME_BYTES   24u

/* ---- writing -----------------------------------------------------------------------------------
 */

struct write_run {
	struct canp_ring *ring;
	int fd;
	uint8_t *blocks; /* DEPTH_MAX of BLOCK_BYTES, aligned */
	struct canp_ring_op ops[DEPTH_MAX];
	uint64_t next, max, done; /* offset of the next block; bytes */
	uint64_t until_ns;
	int err;
};

static void write_done(struct canp_ring_op *op)
{
	struct write_run *w = op->arg;

	if (op->res < 0)
		w->err = op->res;
	else
		w->done += (uint64_t)op->res;
	if (w->err || w->next + BLOCK_BYTES > w->max || canp_clock_ns() >= w->until_ns)
		return;
	op->off = w->next;
	w->next += BLOCK_BYTES;
	canp_ring_submit(w->ring, op);
}

/* Bytes a second until the device has them; 0 when nothing could be written. */
static double write_depth(struct write_run *w, uint32_t depth, uint64_t ns)
{
	uint64_t start;

	if (ftruncate(w->fd, 0))
		return 0;
	w->next = w->done = 0;
	start = canp_clock_ns();
	w->until_ns = start + ns;
	for (uint32_t i = 0; i < depth && w->next + BLOCK_BYTES <= w->max; i++) {
		w->ops[i] = (struct canp_ring_op){.opcode = CANP_OP_WRITE,
						  .fd = w->fd,
						  .buf = w->blocks + (size_t)i * BLOCK_BYTES,
						  .len = BLOCK_BYTES,
						  .off = w->next,
						  .done = write_done,
						  .arg = w};
		w->next += BLOCK_BYTES;
		canp_ring_submit(w->ring, &w->ops[i]);
	}
	while (canp_ring_inflight(w->ring))
		canp_ring_wait(w->ring, 50 * CANP_NS_PER_MS);
	if (fdatasync(w->fd) || w->err)
		return 0;
	return (double)w->done * 1e9 / (double)(canp_clock_ns() - start + 1);
}

/* The folder, or the nearest one above it that exists: a job makes its own. */
static int open_folder(const char *path)
{
	char *p = strdup(*path ? path : ".");
	int fd = p ? open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	while (p && fd < 0 && errno == ENOENT) {
		char *slash = strrchr(p, '/');

		if (slash && slash != p) {
			*slash = '\0';
			fd = open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			continue;
		}
		fd = open(slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	}
	free(p);
	return fd < 0 ? -errno : fd;
}

static int open_unnamed(const char *path, uint64_t *max)
{
	struct canp_fsinfo fi;
	int dir = open_folder(path), fd, flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
	int rc;

	if (dir < 0)
		return dir;
	rc = canp_fsinfo_dir(dir, &fi);
	if (!rc && canp_fsinfo_can_direct(&fi))
		flags |= O_DIRECT;
	fd = rc ? rc : openat(dir, ".", flags, 0600);
	if (!rc && fd < 0)
		fd = -errno;
	close(dir);
	*max = rc || fi.free_bytes == UINT64_MAX ? WRITE_MAX
						 : canp_min(fi.free_bytes / FREE_SHARE, WRITE_MAX);
	return fd;
}

int canp_tune_measure_writes(const char *path, enum canp_ring_kind ring, uint32_t depth,
			     uint64_t budget_ns, struct canp_tune_facts *f)
{
	static const uint32_t depths[] = {8, 16, 32};
	struct canp_ring_opts ro = {.kind = ring, .entries = 128, .iowq_cpu = -1};
	struct write_run *w = calloc(1, sizeof(*w));
	int rc = w ? 0 : -ENOMEM;

	f->nr_writes = 0;
	if (rc)
		return rc;
	w->fd = open_unnamed(path, &w->max);
	w->blocks = aligned_alloc(4096, (size_t)DEPTH_MAX * BLOCK_BYTES);
	rc = w->fd < 0 ? w->fd : !w->blocks ? -ENOMEM : canp_ring_create(&ro, &w->ring);
	if (!rc) {
		/* Not zeros: a device may store those without writing. */
		for (size_t i = 0; i < (size_t)DEPTH_MAX * BLOCK_BYTES; i++)
			w->blocks[i] = (uint8_t)(i * 2654435761u >> 13);
		f->writes[f->nr_writes++].depth = canp_min(depth, DEPTH_MAX);
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(depths); i++)
			if (depths[i] != depth)
				f->writes[f->nr_writes++].depth = depths[i];
		for (unsigned i = 0; i < f->nr_writes; i++)
			f->writes[i].bps =
				write_depth(w, f->writes[i].depth, budget_ns / f->nr_writes);
		rc = w->err;
		canp_ring_destroy(w->ring);
	}
	if (rc)
		f->nr_writes = 0;
	if (w->fd >= 0)
		close(w->fd);
	free(w->blocks);
	free(w);
	return rc;
}

/* ---- inflating ---------------------------------------------------------------------------------
 */

struct sample {
	struct canp_inflate_job jobs[MEMBERS];
	size_t packed_bytes;
	uint8_t plain[MEMBER_PLAIN];
	uint8_t packed[MEMBERS][MEMBER_PACKED];
	uint8_t out[MEMBERS][MEMBER_PLAIN];
};

/* Frames of a busy bus: few ids, a timestamp that grows, counters and values that walk. */
static void sample_frames(uint8_t *p, uint64_t *clock, uint32_t *rng)
{
	for (size_t at = 0; at + FRAME_BYTES <= MEMBER_PLAIN; at += FRAME_BYTES, p += FRAME_BYTES) {
		uint32_t r = *rng = *rng * 1664525u + 1013904223u;
		uint32_t id = 0x100 + (r >> 24) % 80;

		*clock += 100 + (r >> 28);
		memset(p, 0, FRAME_BYTES);
		for (unsigned i = 0; i < 8; i++)
			p[i] = (uint8_t)(*clock >> (56 - 8 * i));
		p[10] = (uint8_t)(id >> 8);
		p[11] = (uint8_t)id;
		p[12] = 8;
		p[16] = (uint8_t)(*clock >> 14);
		p[17] = (uint8_t)(r >> 20);
		p[18] = (uint8_t)(id * 7 + (*clock >> 20));
		p[20] = (uint8_t)(r >> 26);
		p[23] = (uint8_t)(*clock >> 10);
	}
}

static int sample_make(struct sample *s)
{
	uint64_t clock = 1700000000000000ULL;
	uint32_t rng = 1;
	z_stream z = {0};

	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	for (unsigned m = 0; m < MEMBERS; m++) {
		sample_frames(s->plain, &clock, &rng);
		deflateReset(&z);
		z.next_in = s->plain;
		z.avail_in = MEMBER_PLAIN;
		z.next_out = s->packed[m];
		z.avail_out = MEMBER_PACKED;
		if (deflate(&z, Z_FINISH) != Z_STREAM_END)
			break;
		s->jobs[m] = (struct canp_inflate_job){.in = s->packed[m],
						       .in_len = z.total_out,
						       .out = s->out[m],
						       .out_cap = MEMBER_PLAIN,
						       .kind = CANP_INFLATE_GZIP};
		s->packed_bytes += z.total_out;
	}
	deflateEnd(&z);
	return s->jobs[MEMBERS - 1].in ? 0 : -EIO;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Compressed bytes a second of one pass; 0 when a member did not come out whole. */
static double inflate_pass(struct sample *s, struct canp_inflate_x4 *ctx)
{
	uint64_t start = cpu_ns();

	canp_inflate_x4_run(ctx, s->jobs, MEMBERS);
	for (unsigned m = 0; m < MEMBERS; m++)
		if (s->jobs[m].result != CANP_INFLATE_OK)
			return 0;
	return (double)s->packed_bytes * 1e9 / (double)(cpu_ns() - start + 1);
}

int canp_tune_measure_inflate(uint64_t budget_ns, struct canp_tune_facts *f)
{
	static const enum canp_inflate_engine engines[2] = {CANP_INFLATE_INTERLEAVED,
							    CANP_INFLATE_ISAL};
	struct sample *s = calloc(1, sizeof(*s));
	void *mem[2] = {aligned_alloc(CANP_CACHELINE, canp_inflate_x4_bytes()),
			aligned_alloc(CANP_CACHELINE, canp_inflate_x4_bytes())};
	int rc = !s || !mem[0] || !mem[1] ? -ENOMEM : sample_make(s);
	double best[2] = {0, 0};

	if (!rc) {
		uint64_t until = canp_clock_ns() + budget_ns;
		struct canp_inflate_x4 *ctx[2];

		for (unsigned e = 0; e < 2; e++)
			ctx[e] = canp_inflate_x4_init(mem[e], engines[e]);
		/* In turn, so that both see the same machine; the best pass was the least
		 * disturbed. */
		do {
			for (unsigned e = 0; e < 2; e++)
				best[e] = canp_max(best[e], inflate_pass(s, ctx[e]));
		} while (canp_clock_ns() < until);
		rc = best[0] > 0 && best[1] > 0 ? 0 : -EIO;
	}
	f->inflate_interleaved = rc ? 0 : best[0];
	f->inflate_isal = rc ? 0 : best[1];
	free(mem[0]);
	free(mem[1]);
	free(s);
	return rc;
}
