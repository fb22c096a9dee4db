/*
 * reader.c - sliced read-ahead of the files of one shard, see reader.h.
 *
 * A slice is one slot's worth of a file: [off, off + want). Its read may take several operations
 * (short reads, errors, refusals); `got` counts the contiguous bytes that are there. A slice is
 * done when got == want, or when the file ends or cannot be read there; only then may it become
 * the current window. A direct operation always starts and ends on 4 KiB: after a short one the
 * next starts at the 4 KiB boundary below and reads some bytes again.
 *
 * After an error the slice is read in smaller pieces (1 MiB, 64 KiB, 4 KiB), so that everything
 * before the unreadable block is still delivered and the fault names the block.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "io/source/reader_priv.h"

/* Fruitless attempts at one place before it counts as unreadable. */
#define READER_STALLS_MAX 64u
/* Pieces shrink by this factor after an error, down to one block. */
#define READER_SHRINK 16u

/* What an empty window points at. */
static const uint8_t reader_nothing[CANP_FORMAT_TAIL_PAD];

static void slice_done(struct canp_ring_op *op);

void canp_reader_opts_init(struct canp_reader_opts *opts)
{
	opts->slice_bytes = CANP_MIB;
	opts->depth = 4;
	opts->streams = 8;
	opts->serial = false;
}

static bool opts_valid(const struct canp_reader_opts *o)
{
	return o->slice_bytes >= CANP_IO_ALIGN && o->slice_bytes <= 16 * CANP_MIB &&
	       o->slice_bytes % CANP_IO_ALIGN == 0 && o->depth >= 1 && o->depth <= 256 &&
	       o->streams >= 1 && o->streams <= 256;
}

static size_t slot_bytes(const struct canp_reader_opts *o)
{
	return canp_align_up((size_t)CANP_FORMAT_STRADDLE + o->slice_bytes + CANP_FORMAT_TAIL_PAD,
			     CANP_IO_ALIGN);
}

static size_t head_bytes(const struct canp_reader_opts *o)
{
	return canp_align_up(sizeof(struct canp_reader) + o->streams * sizeof(struct canp_stream) +
				     (o->depth + 1) * sizeof(struct reader_slice),
			     CANP_IO_ALIGN);
}

size_t canp_reader_bytes(const struct canp_reader_opts *opts)
{
	if (!opts_valid(opts))
		return 0;
	return head_bytes(opts) + (opts->depth + 1) * slot_bytes(opts);
}

struct canp_reader *canp_reader_init(void *mem, struct canp_ring *ring,
				     const struct canp_reader_opts *opts)
{
	struct canp_reader *r = mem;
	uint8_t *slots = (uint8_t *)mem + head_bytes(opts);

	CANP_ASSERT(opts_valid(opts));
	CANP_ASSERT(((uintptr_t)mem & (CANP_IO_ALIGN - 1)) == 0);
	memset(mem, 0, head_bytes(opts));
	r->ring = ring;
	r->opts = *opts;
	r->stream_tab = (struct canp_stream *)(r + 1);
	r->slice_tab = (struct reader_slice *)(r->stream_tab + opts->streams);
	canp_list_init(&r->free_slices);
	canp_list_init(&r->streams);
	canp_list_init(&r->free_streams);
	for (uint32_t i = 0; i < opts->streams; i++) {
		struct canp_stream *s = &r->stream_tab[i];

		s->reader = r;
		s->fd = -1;
		canp_list_init(&s->slices);
		canp_list_add_tail(&r->free_streams, &s->link);
	}
	for (uint32_t i = 0; i <= opts->depth; i++) {
		struct reader_slice *sl = &r->slice_tab[i];

		sl->data = slots + i * slot_bytes(opts) + CANP_FORMAT_STRADDLE;
		canp_list_add_tail(&r->free_slices, &sl->link);
	}
	return r;
}

void canp_reader_fini(struct canp_reader *r)
{
	CANP_ASSERT(r->inflight == 0 && r->nr_open == 0);
}

unsigned canp_reader_inflight(const struct canp_reader *r)
{
	return r->inflight;
}

const struct canp_reader_stats *canp_reader_stats(const struct canp_reader *r)
{
	return &r->stats;
}

/* ---- one slice ------------------------------------------------------------------------------- */

/* Reads on from got. */
static void slice_submit(struct reader_slice *sl)
{
	struct canp_stream *s = sl->stream;
	uint32_t end = sl->want, len;

	sl->policy = s->policy;
	sl->pos = sl->got;
	if (s->policy == CANP_IO_DIRECT) {
		sl->pos = canp_align_down(sl->got, CANP_IO_ALIGN);
		end = canp_align_up(sl->want, CANP_IO_ALIGN);
		if (sl->pos < sl->got)
			s->reader->stats.rereads++;
	}
	len = canp_min(end - sl->pos, sl->piece);
	sl->op = (struct canp_ring_op){
		.opcode = CANP_OP_READ,
		.fd = s->fd,
		.buf = sl->data + sl->pos,
		.len = len,
		.off = sl->off + sl->pos,
		.rw_flags = s->policy == CANP_IO_DONTCACHE ? RWF_DONTCACHE : 0,
		.done = slice_done,
		.arg = sl,
	};
	sl->busy = true;
	s->busy++;
	s->reader->inflight++;
	canp_ring_submit(s->reader->ring, &sl->op);
}

/* No more of this stream is requested: the end is in this slice. */
static void slice_end(struct reader_slice *sl, int err)
{
	sl->err = err;
	sl->stream->stop = true;
}

/* Changes the stream to buffered reads; operations in flight keep their own mode. */
static void stream_fall_back(struct canp_stream *s)
{
	if (s->policy == CANP_IO_BUFFERED)
		return;
	if (s->policy == CANP_IO_DIRECT)
		(void)fcntl(s->fd, F_SETFL, 0);
	s->policy = CANP_IO_BUFFERED;
	s->reader->stats.fallbacks++;
}

static void slice_failed(struct reader_slice *sl, int err)
{
	struct canp_stream *s = sl->stream;

	s->reader->stats.rereads++;
	if ((err == -EINVAL || err == -EOPNOTSUPP) && sl->policy != CANP_IO_BUFFERED) {
		stream_fall_back(s);
		slice_submit(sl);
		return;
	}
	if ((err == -EINTR || err == -EAGAIN) && ++sl->stalls < READER_STALLS_MAX) {
		slice_submit(sl);
		return;
	}
	if (sl->piece > CANP_IO_ALIGN) {
		sl->piece = canp_max(canp_align_down(sl->piece / READER_SHRINK, CANP_IO_ALIGN),
				     CANP_IO_ALIGN);
		slice_submit(sl);
		return;
	}
	s->reader->stats.rereads--; /* given up, not read again */
	slice_end(sl, err);
}

/* A direct read that brought nothing new: the file ends here, or the kernel was only shy. */
static void slice_stalled(struct reader_slice *sl)
{
	struct stat st;

	if (fstat(sl->stream->fd, &st) == 0 && (uint64_t)st.st_size <= sl->off + sl->got) {
		slice_end(sl, 0);
		return;
	}
	if (++sl->stalls < READER_STALLS_MAX) {
		slice_submit(sl);
		return;
	}
	if (sl->policy == CANP_IO_DIRECT) {
		sl->stalls = 0;
		stream_fall_back(sl->stream);
		slice_submit(sl);
		return;
	}
	slice_end(sl, -EIO);
}

static void slice_read(struct reader_slice *sl, uint32_t res)
{
	struct canp_reader *r = sl->stream->reader;
	bool gained;

	/* Bytes behind a short read count as not there, even if an earlier, overlapping read had
	 * brought them: nobody promises that the kernel left them alone. */
	sl->got = canp_min(sl->pos + res, sl->want);
	gained = sl->got > sl->high;
	if (gained) {
		sl->high = sl->got;
		sl->stalls = 0;
	}
	if (sl->got == sl->want)
		return;
	if (res < sl->op.len)
		r->stats.short_reads++;
	if (res == 0)
		slice_end(sl, 0);
	else if (gained)
		slice_submit(sl);
	else
		slice_stalled(sl);
}

static void slice_release(struct reader_slice *sl)
{
	struct canp_reader *r = sl->stream->reader;

	sl->stream = NULL;
	/* Last freed, first used: its lines are the warmest. */
	canp_list_add(&r->free_slices, &sl->link);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* There is something to be walked before more is needed. */
static bool stream_has_work(const struct canp_stream *s)
{
	return (s->len > 0 && !s->more) || !canp_list_empty(&s->slices);
}

/* Turns free slots into reads, oldest stream first. */
static void reader_fill(struct canp_reader *r)
{
	struct canp_list *pos;

	canp_list_for_each (pos, &r->streams) {
		struct canp_stream *s = canp_container_of(pos, struct canp_stream, link);

		while (!s->stop && s->next < s->size) {
			struct canp_list *n;
			struct reader_slice *sl;

			/* The slot more than depth is for the window, not for a read. */
			if (r->inflight >= r->opts.depth ||
			    (canp_unlikely(r->opts.serial) && stream_has_work(s)))
				return;
			n = canp_list_pop(&r->free_slices);
			if (!n)
				return;
			sl = canp_container_of(n, struct reader_slice, link);
			sl->stream = s;
			sl->off = s->next;
			sl->want = (uint32_t)canp_min((uint64_t)r->opts.slice_bytes,
						      s->size - s->next);
			sl->got = 0;
			sl->high = 0;
			sl->piece = r->opts.slice_bytes;
			sl->stalls = 0;
			sl->err = 0;
			s->next += sl->want;
			canp_list_add_tail(&s->slices, &sl->link);
			slice_submit(sl);
		}
	}
}

static void stream_gone(struct canp_stream *s)
{
	struct canp_reader *r = s->reader;

	canp_mapfile_close(&s->map);
	if (s->fd >= 0) {
		canp_ring_file_del(r->ring, s->fd);
		close(s->fd);
	}
	s->fd = -1;
	r->nr_open--;
	canp_list_add_tail(&r->free_streams, &s->link);
}

static void slice_done(struct canp_ring_op *op)
{
	struct reader_slice *sl = op->arg;
	struct canp_stream *s = sl->stream;
	struct canp_reader *r = s->reader;

	sl->busy = false;
	s->busy--;
	r->inflight--;
	r->stats.reads++;
	if (!s->open) {
		canp_list_del(&sl->link);
		slice_release(sl);
		if (s->busy == 0)
			stream_gone(s);
		reader_fill(r);
		return;
	}
	if (op->res < 0)
		slice_failed(sl, op->res);
	else
		slice_read(sl, (uint32_t)op->res);
	reader_fill(r); /* there may be a free slot that depth has kept from being used */
}

/* Opens and asks for the facts; *fi->size is the size now. The descriptor or -errno. */
static int file_open(const char *path, struct canp_fsinfo *fi)
{
	/* O_NONBLOCK: a pipe given by mistake must not hang the shard. O_NOATIME saves one inode
	 * write per file but only owners and root may. */
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
	int fd = open(path, flags | O_NOATIME);
	int rc;

	if (fd < 0 && errno == EPERM)
		fd = open(path, flags);
	if (fd < 0)
		return -errno;
	rc = canp_fsinfo_file(fd, fi);
	if (rc == 0 && !S_ISREG(fi->mode))
		rc = -EOPNOTSUPP;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

struct canp_stream *canp_reader_stream_take(struct canp_reader *r)
{
	struct canp_stream *s =
		canp_container_of(canp_list_pop(&r->free_streams), struct canp_stream, link);

	s->open = true;
	s->stop = s->more = s->eof = false;
	s->next = 0;
	s->win = reader_nothing;
	s->len = 0;
	s->base = 0;
	s->mem = NULL;
	s->map.base = NULL;
	s->cur = NULL;
	memset(&s->fault, 0, sizeof(s->fault));
	r->nr_open++;
	r->stats.files++;
	canp_list_add_tail(&r->streams, &s->link);
	return s;
}

int canp_reader_open(struct canp_reader *r, const char *path, uint64_t size,
		     enum canp_io_policy policy, struct canp_stream **out)
{
	struct canp_fsinfo fi;
	struct canp_stream *s;
	int fd, pct = -1;

	if (canp_list_empty(&r->free_streams))
		return -EAGAIN;
	fd = file_open(path, &fi);
	if (fd < 0)
		return fd;
	if (policy == CANP_IO_AUTO)
		pct = canp_fsinfo_resident_pct(fd, fi.size);
	policy = canp_fsinfo_read_policy(&fi, pct, policy);
	/* Also clears O_NONBLOCK, which io_uring would take for "never wait". */
	if (fcntl(fd, F_SETFL, policy == CANP_IO_DIRECT ? O_DIRECT : 0) != 0) {
		policy = CANP_IO_BUFFERED;
		(void)fcntl(fd, F_SETFL, 0);
		r->stats.fallbacks++;
	}
	s = canp_reader_stream_take(r);
	s->fd = fd;
	canp_ring_file_add(r->ring, fd);
	s->policy = policy;
	s->size = canp_min(size, fi.size);
	if (policy == CANP_IO_MMAP && s->size > 0 && canp_reader_map(s, fd) < 0) {
		s->policy = policy = CANP_IO_BUFFERED;
		r->stats.fallbacks++;
	}
	if (size != UINT64_MAX && fi.size < size)
		canp_fault_set(&s->fault, CANP_FAULT_TRUNCATED, fi.size, size - fi.size,
			       "file shrank from %llu to %llu bytes since it was listed",
			       (unsigned long long)size, (unsigned long long)fi.size);
	s->eof = s->size == 0;
	if (s->eof && s->fault.code != CANP_FAULT_NONE)
		r->stats.faults++;
	r->stats.files_by_policy[policy]++;
	reader_fill(r);
	*out = s;
	return 0;
}

void canp_reader_end_fault(struct canp_stream *s, uint64_t end, int err)
{
	s->eof = true;
	if (err)
		canp_fault_set(&s->fault, CANP_FAULT_IO, end, s->size - end, "read: %s",
			       canp_strerror(err));
	else if (end < s->size)
		canp_fault_set(&s->fault, CANP_FAULT_TRUNCATED, end, s->size - end,
			       "file shrank from %llu to %llu bytes while it was read",
			       (unsigned long long)s->size, (unsigned long long)end);
	if (s->fault.code != CANP_FAULT_NONE)
		s->reader->stats.faults++;
}

/* Joins the rest of the window and the next slice. 0 or -EAGAIN. */
static int stream_advance(struct canp_stream *s)
{
	struct reader_slice *sl;

	if (canp_unlikely(s->mem != NULL)) {
		canp_reader_advance_mem(s);
		return 0;
	}
	if (canp_list_empty(&s->slices))
		return -EAGAIN; /* no slot yet */
	sl = canp_container_of(s->slices.next, struct reader_slice, link);
	if (sl->busy)
		return -EAGAIN;
	canp_list_del(&sl->link);
	CANP_DASSERT(s->len <= CANP_FORMAT_STRADDLE && s->base + s->len == sl->off);
	memcpy(sl->data - s->len, s->win, s->len);
	s->win = sl->data - s->len;
	s->len += sl->got;
	s->reader->stats.bytes += sl->got;
	if (s->cur)
		slice_release(s->cur);
	s->cur = sl;
	s->more = false;
	if (sl->err || sl->got < sl->want || sl->off + sl->got == s->size)
		canp_reader_end_fault(s, sl->off + sl->got, sl->err);
	reader_fill(s->reader);
	return 0;
}

int canp_reader_peek(struct canp_stream *s, const uint8_t **win, size_t *len, uint64_t *base,
		     bool *eof)
{
	if (!s->eof && (s->more || s->len == 0)) {
		int rc = stream_advance(s);

		if (rc < 0)
			return rc;
	}
	*win = s->win;
	*len = s->len;
	*base = s->base;
	*eof = s->eof;
	return 0;
}

int canp_reader_consume(struct canp_stream *s, size_t n, bool more)
{
	CANP_ASSERT(n <= s->len);
	s->win += n;
	s->len -= n;
	s->base += n;
	if (s->len == 0 && s->cur) {
		/* Nothing to carry: the slot can go back to work at once. */
		slice_release(s->cur);
		s->cur = NULL;
		s->win = reader_nothing;
		reader_fill(s->reader);
	}
	if (more && !s->eof && s->len > CANP_FORMAT_STRADDLE)
		return -EMSGSIZE;
	s->more = more;
	if (canp_unlikely(s->reader->opts.serial))
		reader_fill(s->reader);
	return 0;
}

const struct canp_fault *canp_reader_fault(const struct canp_stream *s)
{
	if (!s->eof)
		return NULL;
	if (s->fault.code == CANP_FAULT_NONE && s->map.base && canp_mapfile_torn(&s->map))
		return &s->torn;
	return s->fault.code != CANP_FAULT_NONE ? &s->fault : NULL;
}

enum canp_io_policy canp_stream_policy(const struct canp_stream *s)
{
	return s->policy;
}

bool canp_stream_requested(const struct canp_stream *s)
{
	return s->stop || s->next >= s->size;
}

uint64_t canp_stream_size(const struct canp_stream *s)
{
	return s->size;
}

void canp_reader_close(struct canp_stream *s)
{
	struct canp_list *pos, *tmp;
	struct canp_reader *r = s->reader;

	CANP_ASSERT(s->open);
	s->open = false;
	canp_list_del(&s->link);
	if (s->cur)
		slice_release(s->cur);
	s->cur = NULL;
	canp_list_for_each_safe (pos, tmp, &s->slices) {
		struct reader_slice *sl = canp_container_of(pos, struct reader_slice, link);

		if (!sl->busy) {
			canp_list_del(&sl->link);
			slice_release(sl);
		}
	}
	if (s->busy == 0)
		stream_gone(s);
	reader_fill(r);
}
