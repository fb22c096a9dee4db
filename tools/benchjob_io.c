/*
 * benchjob_io.c - jobs with rw=: blocks of any files through the product's own ring, so that the
 * ceiling of a device is known, and a job file of fio runs in both programs.
 *
 * Files are worked on one after the other, blocks in order or at random (each drawn by --seed, not
 * each once). What is counted is what completed after the ramp.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "core/runtime/ring.h"
#include "tools/benchjob.h"

#define IO_BS_DEFAULT 4096u

struct io_file {
	char *path;
	int fd;
	uint64_t bytes; /* that are worked on, from --offset on */
	uint8_t *map;
	bool made;
};

struct io_slot {
	struct canp_ring_op op;
	struct io_state *s;
	uint64_t start_ns;
};

struct io_state {
	const struct canp_benchjob_run *run;
	const struct canp_benchjob_cfg *cfg;
	struct canp_benchjob_result *r;
	struct canp_benchjob_log log;
	struct io_file *file;
	unsigned nr_files, cap_files;
	uint64_t total; /* bytes of one loop */
	uint32_t bs;
	unsigned depth;
	bool write, random;
	struct canp_benchjob_mem mem; /* depth blocks */
	/* where it is */
	unsigned at_file;
	uint64_t at, issued, loops_left, rng;
	uint64_t start_ns, count_ns, end_ns; /* begin, end of the ramp, end by --runtime or 0 */
	double cpu_s;                        /* when counting began */
	bool counting, stop;
	struct io_slot *slot;
	unsigned *idle; /* free slots */
	unsigned nr_idle;
	struct canp_ring *ring;
};

static int io_fail(struct io_state *s, const char *what, int err)
{
	snprintf(s->r->error, sizeof(s->r->error), "%.150s: %s", what, canp_strerror(err));
	return err < 0 ? err : -EIO;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int file_add(struct io_state *s, const char *path)
{
	if (s->nr_files == s->cap_files) {
		unsigned cap = s->cap_files ? 2 * s->cap_files : 16;
		struct io_file *f = realloc(s->file, cap * sizeof(*f));

		if (!f)
			return io_fail(s, path, -ENOMEM);
		s->file = f;
		s->cap_files = cap;
	}
	s->file[s->nr_files] = (struct io_file){.path = strdup(path), .fd = -1};
	return s->file[s->nr_files++].path ? 0 : io_fail(s, path, -ENOMEM);
}

static int file_names(struct io_state *s, const char *name)
{
	char path[2048];
	glob_t g;
	int rc = 0;

	snprintf(path, sizeof(path), "%.1000s%s%.1000s", s->cfg->directory,
		 *s->cfg->directory ? "/" : "", name);
	if (!strpbrk(name, "*?") || glob(path, 0, NULL, &g))
		return file_add(s, path);
	for (size_t i = 0; i < g.gl_pathc && !rc; i++)
		rc = file_add(s, g.gl_pathv[i]);
	globfree(&g);
	return rc;
}

/* FILE[:FILE]; without names <job>.<clone>.<n> in --directory, as fio calls them. */
static int file_list(struct io_state *s)
{
	const char *p = s->cfg->filename;
	bool given = canp_opts_origin(s->run->j->cli.opts, "nrfiles") != CANP_OPT_DEFAULT;
	char name[1024];
	int rc = 0;

	for (unsigned i = 0; !*p && !rc && i < (given ? s->cfg->nrfiles : 1); i++) {
		snprintf(name, sizeof(name), "%.200s.%u.%u", s->run->j->section->name,
			 s->run->clone, i);
		rc = file_names(s, name);
	}
	while (*p && !rc) {
		size_t n = 0;

		for (; *p && *p != ':' && n < sizeof(name) - 1; p++) {
			if (*p == '\\' && (p[1] == ':' || p[1] == '\\'))
				p++;
			name[n++] = *p;
		}
		name[n] = '\0';
		p += *p != '\0';
		rc = n ? file_names(s, name) : 0;
	}
	return rc;
}

/* A file to write has the size that is asked for, one to read the one it has, or it is made. */
static int file_lay(struct io_state *s, struct io_file *f, uint64_t want)
{
	static uint8_t block[1 << 16];
	uint64_t x = 88172645463325252u;

	for (uint64_t at = 0; at < want;) {
		ssize_t n;

		for (unsigned i = 0; i < sizeof(block); i += 8) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			memcpy(block + i, &x, 8);
		}
		n = pwrite(f->fd, block, canp_min(want - at, (uint64_t)sizeof(block)), (off_t)at);
		if (n <= 0)
			return io_fail(s, f->path, n ? -errno : -EIO);
		at += (uint64_t)n;
	}
	return fdatasync(f->fd) ? io_fail(s, f->path, -errno) : 0;
}

static int file_open(struct io_state *s, struct io_file *f)
{
	bool sized = canp_opts_origin(s->run->j->cli.opts, "size") != CANP_OPT_DEFAULT;
	uint64_t want = sized ? s->run->j->log.size / s->nr_files / s->bs * s->bs : 0;
	int flags = O_CLOEXEC | (s->write ? O_RDWR | O_CREAT : O_RDONLY);
	struct stat st;
	int rc = 0;

	f->made = access(f->path, F_OK) != 0;
	if (f->made && !sized)
		return io_fail(s, f->path, -ENOENT);
	if (f->made) {
		f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		rc = f->fd < 0          ? io_fail(s, f->path, -errno)
		     : s->write && want ? 0
					: file_lay(s, f, want);
		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
	}
	if (rc)
		return rc;
	f->fd = open(f->path, flags | (s->cfg->direct ? O_DIRECT : 0), 0644);
	if (f->fd < 0 || fstat(f->fd, &st))
		return io_fail(s, f->path, -errno);
	f->bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode))
		f->bytes = (uint64_t)lseek(f->fd, 0, SEEK_END);
	f->bytes = f->bytes > s->cfg->offset ? f->bytes - s->cfg->offset : 0;
	if (s->write)
		f->bytes = sized ? want : f->bytes;
	else if (sized)
		f->bytes = canp_min(f->bytes, want);
	/* Whole blocks only, as fio: a rest would be another kind of operation. */
	f->bytes = f->bytes / s->bs * s->bs;
	if (s->cfg->invalidate && !s->write)
		posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

static int file_map(struct io_state *s, struct io_file *f)
{
	void *p;

	if (s->write && ftruncate(f->fd, (off_t)(s->cfg->offset + f->bytes)))
		return io_fail(s, f->path, -errno);
	p = mmap(NULL, s->cfg->offset + f->bytes, PROT_READ | (s->write ? PROT_WRITE : 0),
		 MAP_SHARED, f->fd, 0);
	if (p == MAP_FAILED)
		return io_fail(s, f->path, -errno);
	f->map = p;
	return 0;
}

static int files_open(struct io_state *s)
{
	int rc = file_list(s);

	for (unsigned i = 0; i < s->nr_files && !rc; i++) {
		rc = file_open(s, &s->file[i]);
		s->total += s->file[i].bytes;
		if (!rc && s->cfg->ioengine == CANP_CFG_ENGINE_MMAP && s->file[i].bytes)
			rc = file_map(s, &s->file[i]);
	}
	if (!rc && !s->total)
		rc = io_fail(s, "the files hold no whole block of bs", -EINVAL);
	return rc;
}

static void files_close(struct io_state *s)
{
	for (unsigned i = 0; i < s->nr_files; i++) {
		struct io_file *f = &s->file[i];

		if (f->map)
			munmap(f->map, s->cfg->offset + f->bytes);
		if (f->fd >= 0)
			close(f->fd);
		if (f->made && s->cfg->unlink)
			unlink(f->path);
		free(f->path);
	}
	free(s->file);
}

/* ---- which block next ------------------------------------------------------------------------ */

static uint64_t draw(struct io_state *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng;
}

/* False: all is issued. */
static bool next_block(struct io_state *s, struct io_file **f, uint64_t *off)
{
	if (s->issued == s->total) {
		if (!s->cfg->time_based && --s->loops_left == 0)
			s->stop = true;
		s->issued = s->at = 0;
		s->at_file = 0;
		s->r->loops++;
	}
	if (s->stop)
		return false;
	while (s->at >= s->file[s->at_file].bytes) {
		s->at_file = (s->at_file + 1) % s->nr_files;
		s->at = 0;
	}
	*f = &s->file[s->at_file];
	*off = s->cfg->offset + (s->random ? draw(s) % ((*f)->bytes / s->bs) * s->bs : s->at);
	s->at += s->bs;
	s->issued += s->bs;
	return true;
}

/* How long to wait before the next block, by --rate. */
static uint64_t rate_wait(const struct io_state *s, uint64_t moved, uint64_t now)
{
	uint64_t due;

	if (!s->cfg->rate)
		return 0;
	due = s->start_ns + (uint64_t)((double)moved * 1e9 / (double)s->cfg->rate);
	return due > now ? due - now : 0;
}

static double cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
	       1e-6 * (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static void counting_begin(struct io_state *s, uint64_t now)
{
	struct canp_benchjob_dir *d = &s->r->dir[s->write];

	d->bytes = d->ios = d->short_ios = 0;
	canp_hist_init(&d->lat.h);
	d->lat.squares = 0;
	s->counting = true;
	s->count_ns = now;
	s->cpu_s = cpu_seconds();
	canp_benchjob_log_begin(&s->log, s->run, s->write, now);
	if (s->r->error[0])
		s->stop = true;
}

static void completed(struct io_state *s, int32_t res, uint64_t start_ns)
{
	struct canp_benchjob_dir *d = &s->r->dir[s->write];
	uint64_t now = canp_clock_ns();

	if (res < 0) {
		io_fail(s, s->file[s->at_file].path, res);
		s->stop = true;
		return;
	}
	if (!s->counting && now - s->start_ns >= s->cfg->ramp_time)
		counting_begin(s, now);
	if (s->end_ns && now >= s->end_ns)
		s->stop = true;
	if (!s->counting)
		return;
	d->bytes += (uint64_t)res;
	d->ios++;
	d->short_ios += (uint32_t)res < s->bs;
	canp_benchjob_lat_add(&d->lat, now - start_ns);
	s->r->live_bytes += (uint64_t)res;
	if (canp_benchjob_log_add(&s->log, now, (uint64_t)res, now - start_ns))
		s->stop = true;
}

/* ---- engines --------------------------------------------------------------------------------- */

static void op_done(struct canp_ring_op *op)
{
	struct io_slot *slot = op->arg;

	completed(slot->s, op->res, slot->start_ns);
	slot->s->idle[slot->s->nr_idle++] = (unsigned)(slot - slot->s->slot);
}

static void submit(struct io_state *s, struct io_file *f, uint64_t off, uint64_t now)
{
	struct io_slot *slot = &s->slot[s->idle[--s->nr_idle]];

	slot->s = s;
	slot->start_ns = now;
	slot->op = (struct canp_ring_op){
		.opcode = s->write ? CANP_OP_WRITE : CANP_OP_READ,
		.fd = f->fd,
		.buf = s->mem.p + (uint64_t)(slot - s->slot) * s->bs,
		.len = s->bs,
		.off = off,
		.done = op_done,
		.arg = slot,
	};
	canp_ring_submit(s->ring, &slot->op);
}

static int ring_open(struct io_state *s)
{
	struct iovec all = {s->mem.p, (size_t)s->depth * s->bs};
	struct canp_ring_opts opts = {
		.kind = s->cfg->ioengine == CANP_CFG_ENGINE_AUTO ? CANP_RING_AUTO : CANP_RING_URING,
		/* One for the read that a wake ends: it is submitted together with the operations.
		 */
		.entries = s->depth + 1,
		.buffers = s->cfg->fixedbufs ? &all : NULL,
		.nr_buffers = s->cfg->fixedbufs,
		.iowq_cpu = -1,
	};
	int rc;

	s->slot = calloc(s->depth, sizeof(*s->slot));
	s->idle = calloc(s->depth, sizeof(*s->idle));
	if (!s->slot || !s->idle)
		return io_fail(s, "io_uring", -ENOMEM);
	for (unsigned i = 0; i < s->depth; i++)
		s->idle[s->nr_idle++] = i;
	rc = canp_ring_create(&opts, &s->ring);
	if (rc)
		return io_fail(s, "io_uring", rc);
	for (unsigned i = 0; s->cfg->registerfiles && i < s->nr_files; i++)
		canp_ring_file_add(s->ring, s->file[i].fd);
	snprintf(s->r->ring, sizeof(s->r->ring), "%s",
		 canp_ring_caps(s->ring)->kind == CANP_RING_SYNC ? "sync" : "io_uring");
	return 0;
}

static void run_ring(struct io_state *s)
{
	uint64_t moved = 0, off;
	unsigned queued = 0;
	struct io_file *f;

	while (!s->stop || canp_ring_inflight(s->ring)) {
		uint64_t wait = UINT64_MAX;

		while (!s->stop && s->nr_idle) {
			uint64_t now = canp_clock_ns(), late = rate_wait(s, moved, now);

			if (late) {
				wait = late;
				break;
			}
			if (!next_block(s, &f, &off))
				break;
			submit(s, f, off, now);
			moved += s->bs;
			if (++queued < s->cfg->iodepth_batch)
				continue;
			canp_ring_enter(s->ring, 0);
			queued = 0;
		}
		if (s->stop && !canp_ring_inflight(s->ring))
			break;
		canp_ring_wait(s->ring, s->stop ? UINT64_MAX : wait);
	}
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / CANP_NS_PER_S), (long)(ns % CANP_NS_PER_S)};

	nanosleep(&t, NULL);
}

static int32_t move_one(struct io_state *s, struct io_file *f, uint64_t off)
{
	ssize_t n;

	if (s->cfg->ioengine == CANP_CFG_ENGINE_NULL)
		return (int32_t)s->bs;
	if (f->map && s->write) {
		memcpy(f->map + off, s->mem.p, s->bs);
		return (int32_t)s->bs;
	}
	if (f->map) {
		memcpy(s->mem.p, f->map + off, s->bs);
		return (int32_t)s->bs;
	}
	do
		n = s->write ? pwrite(f->fd, s->mem.p, s->bs, (off_t)off)
			     : pread(f->fd, s->mem.p, s->bs, (off_t)off);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int32_t)n;
}

static void run_sync(struct io_state *s)
{
	uint64_t moved = 0, off;
	struct io_file *f;

	while (!s->stop && next_block(s, &f, &off)) {
		uint64_t late = rate_wait(s, moved, canp_clock_ns()), start;

		if (late)
			sleep_ns(late);
		start = canp_clock_ns();
		completed(s, move_one(s, f, off), start);
		moved += s->bs;
	}
}

/* ---- the job --------------------------------------------------------------------------------- */

static int blocks_get(struct io_state *s, size_t bytes)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	const struct canp_benchjob *j = s->run->j;
	int rc = canp_benchjob_mem_get(&s->mem, j->iomem, j->iomem_file, bytes, &err);

	if (rc)
		snprintf(s->r->error, sizeof(s->r->error), "%.250s",
			 err.len ? err.buf : "out of memory");
	canp_strbuf_fini(&err);
	s->r->buf_pages = rc ? 0 : (bytes + 4095) / 4096;
	s->r->buf_pieces = rc ? 0 : canp_benchjob_mem_pieces(&s->mem);
	return rc;
}

static int prepare(struct io_state *s)
{
	bool ring = s->cfg->ioengine <= CANP_CFG_ENGINE_URING;
	size_t bytes;
	int rc;

	s->bs = s->cfg->bs ? (uint32_t)s->cfg->bs : IO_BS_DEFAULT;
	s->depth = s->cfg->iodepth && ring ? s->cfg->iodepth : 1;
	s->write = s->cfg->rw == CANP_CFG_RW_WRITE || s->cfg->rw == CANP_CFG_RW_RANDWRITE;
	s->random = s->cfg->rw >= CANP_CFG_RW_RANDREAD;
	s->loops_left = s->cfg->loops;
	s->rng = (s->run->j->log.seed + s->run->clone) * 0x9E3779B97F4A7C15u | 1;
	bytes = (size_t)s->depth * s->bs;
	if (bytes > 4 * CANP_GIB)
		return io_fail(s, "iodepth x bs is more than 4 GiB", -EINVAL);
	rc = blocks_get(s, bytes);
	return rc ? rc : files_open(s);
}

static void work(struct io_state *s)
{
	bool ring = s->cfg->ioengine <= CANP_CFG_ENGINE_URING;
	uint64_t now = canp_clock_ns();

	s->start_ns = now;
	s->end_ns = s->cfg->runtime ? now + s->cfg->ramp_time + s->cfg->runtime : 0;
	if (!s->cfg->ramp_time)
		counting_begin(s, now);
	if (ring)
		run_ring(s);
	else
		run_sync(s);
	for (unsigned i = 0; s->write && s->cfg->end_fsync && i < s->nr_files; i++)
		if (fdatasync(s->file[i].fd))
			io_fail(s, s->file[i].path, -errno);
	now = canp_clock_ns();
	s->r->runtime_ns = s->counting ? now - s->count_ns : 0;
	s->r->cpu_s = s->counting ? cpu_seconds() - s->cpu_s : 0;
	if (s->counting)
		canp_benchjob_log_end(&s->log, now);
	else if (!s->r->error[0])
		io_fail(s, "the work was done before ramp_time was over", -ENODATA);
}

void canp_benchjob_io(const struct canp_benchjob_run *run)
{
	struct io_state s = {.run = run, .cfg = &run->j->cfg, .r = run->r};
	bool ring = s.cfg->ioengine <= CANP_CFG_ENGINE_URING;
	int rc = prepare(&s);

	s.r->live_total = s.total * s.cfg->loops;
	/* The ring belongs to the thread that made it, and is made before the clock starts. */
	if (!rc && ring)
		rc = ring_open(&s);
	else if (!rc)
		snprintf(s.r->ring, sizeof(s.r->ring), "%s",
			 s.cfg->ioengine == CANP_CFG_ENGINE_MMAP   ? "mmap"
			 : s.cfg->ioengine == CANP_CFG_ENGINE_NULL ? "null"
								   : "sync");
	canp_benchjob_wait(run);
	if (!rc)
		work(&s);
	canp_ring_destroy(s.ring);
	files_close(&s);
	canp_benchjob_mem_put(&s.mem);
	free(s.slot);
	free(s.idle);
}
