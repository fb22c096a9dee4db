/*
 * outfile.c - append-only output through the ring, see outfile.h.
 *
 * Two machines share the struct. Writes: up to CANP_OUT_BLOCKS staging blocks, each with its own
 * operation, independent of each other (their places in the file are disjoint). Ending: sync,
 * finish, abort and release walk the steps below with one operation at a time, and only start once
 * no write is in flight:
 *
 *   sync     drain -> tail -> cut -> datasync -> (first time: dirsync)
 *   finish   drain -> tail -> cut -> datasync -> rename -> dirsync -> close
 *   abort    drain -> unlink -> close            release  drain -> close
 *
 * Each begins with a NOP so that its callback always comes from the ring, never from inside the
 * call. A failed fdatasync is final: the kernel may have dropped the dirty pages it failed on, so
 * trying again could report success for lost data.
 */
#include "io/sink/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/units.h"

/* Operations without progress at one place before it counts as an I/O error. */
#define OUT_STALLS_MAX 64u
#define OUT_NAME_MAX   240u

enum { GOAL_NONE, GOAL_SYNC, GOAL_FINISH, GOAL_ABORT, GOAL_RELEASE };
enum {
	STEP_DRAIN,
	STEP_TAIL,
	STEP_CUT,
	STEP_DATASYNC,
	STEP_RENAME,
	STEP_DIRSYNC,
	STEP_UNLINK,
	STEP_CLOSE,
};

static void out_advance(struct canp_out *o);
static void write_done(struct canp_ring_op *op);

/* The file is on its way out: blocks are dropped, not written. */
static bool out_ending(const struct canp_out *o)
{
	return o->goal == GOAL_ABORT || o->goal == GOAL_RELEASE;
}

static void out_fail(struct canp_out *o, int err, uint64_t off)
{
	if (o->error)
		return;
	o->error = err;
	o->error_off = off;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void write_submit(struct canp_out_write *w)
{
	struct canp_out *o = w->out;
	uint32_t end = w->len;

	w->policy = o->policy;
	w->pos = w->done;
	if (o->policy == CANP_IO_DIRECT) {
		/* A short direct write is continued from the boundary below it; the tail goes
		 * out padded, its zeros are cut off before the sync. */
		w->pos = canp_align_down(w->done, CANP_IO_ALIGN);
		end = canp_align_up(w->len, CANP_IO_ALIGN);
	}
	w->op = (struct canp_ring_op){
		.opcode = CANP_OP_WRITE,
		.fd = o->fd,
		.buf = w->block + w->pos,
		.len = end - w->pos,
		.off = w->off + w->pos,
		.rw_flags = o->policy == CANP_IO_DONTCACHE ? RWF_DONTCACHE : 0,
		.done = write_done,
		.arg = w,
	};
	w->busy = true;
	w->parked = false;
	canp_ring_submit(o->ring, &w->op);
}

static void write_start(struct canp_out_write *w, uint32_t len)
{
	w->len = len;
	w->done = 0;
	w->high = 0;
	w->stalls = 0;
	write_submit(w);
}

static void write_release(struct canp_out_write *w)
{
	struct canp_out *o = w->out;
	uint8_t *block = w->block;

	w->parked = false;
	if (w == &o->last || !block)
		return;
	w->block = NULL;
	canp_pool_put(o->pool, block);
}

static void write_again(struct canp_out_write *w)
{
	w->out->stats.retries++;
	write_submit(w);
}

static void write_failed(struct canp_out_write *w, int err)
{
	struct canp_out *o = w->out;

	if ((err == -EINVAL || err == -EOPNOTSUPP) && w->policy != CANP_IO_BUFFERED) {
		/* Others in flight may have changed the mode already. */
		if (o->policy == w->policy && o->policy == CANP_IO_DIRECT) {
			(void)fcntl(o->fd, F_SETFL, 0);
			o->policy = CANP_IO_DONTCACHE;
		} else if (o->policy == w->policy) {
			o->policy = CANP_IO_BUFFERED;
		}
		write_again(w);
	} else if ((err == -EINTR || err == -EAGAIN) && ++w->stalls < OUT_STALLS_MAX) {
		write_again(w);
	} else if ((err == -ENOSPC || err == -EDQUOT) && o->wait_on_space) {
		w->parked = true;
		o->stats.waits++;
	} else {
		out_fail(o, err, w->off + w->done);
		write_release(w);
	}
}

static void write_done(struct canp_ring_op *op)
{
	struct canp_out_write *w = op->arg;
	struct canp_out *o = w->out;

	w->busy = false;
	o->stats.writes++;
	if (op->res >= 0) {
		o->stats.bytes += (uint64_t)op->res;
		w->done = w->pos + (uint32_t)op->res;
		w->stalls = w->done > w->high ? 0 : w->stalls + 1;
		w->high = canp_max(w->high, w->done);
		o->stats.shorts += w->done < w->len;
	}
	if (o->error || out_ending(o))
		write_release(w);
	else if (op->res < 0)
		write_failed(w, op->res);
	else if (w->done >= w->len)
		write_release(w);
	else if (w->stalls >= OUT_STALLS_MAX)
		write_failed(w, -EIO);
	else
		write_submit(w);
	/* One failed: those that wait for space will not be wanted any more. */
	for (unsigned i = 0; o->error && i < CANP_OUT_BLOCKS; i++) {
		if (o->writes[i].parked)
			write_release(&o->writes[i]);
	}
	out_advance(o);
}

static bool writes_pending(const struct canp_out *o)
{
	bool pending = o->last.busy || o->last.parked;

	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++)
		pending |= o->writes[i].busy || o->writes[i].parked;
	return pending;
}

static struct canp_out_write *write_free_entry(struct canp_out *o)
{
	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++) {
		if (!o->writes[i].block)
			return &o->writes[i];
	}
	return NULL;
}

/* ---- putting --------------------------------------------------------------------------------- */

size_t canp_out_room(const struct canp_out *o)
{
	size_t n = canp_pool_avail(o->pool, o->privileged), entries = 0, room = 0;

	if (o->error || o->goal != GOAL_NONE)
		return 0;
	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++)
		entries += !o->writes[i].block;
	n = canp_min(n, entries);
	if (o->cur)
		room = o->block_bytes - o->cur_len;
	else if (n > 0)
		n--, room = o->block_bytes - o->tail_len;
	return room + n * o->block_bytes;
}

/* A block to fill, starting with the carried tail. */
static bool out_get_block(struct canp_out *o)
{
	struct canp_out_write *w = write_free_entry(o);

	if (!w)
		return false;
	w->block = canp_pool_get(o->pool, o->privileged);
	if (!w->block)
		return false;
	w->off = o->pos - o->tail_len;
	memcpy(w->block, o->tail, o->tail_len);
	o->cur = w;
	o->cur_len = o->tail_len;
	o->tail_len = 0;
	return true;
}

ssize_t canp_out_put(struct canp_out *o, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t left = len;

	if (o->error)
		return o->error;
	if (o->goal != GOAL_NONE)
		return 0;
	if (canp_unlikely(o->discard)) {
		o->pos += len;
		return (ssize_t)len;
	}
	while (left > 0 && (o->cur || out_get_block(o))) {
		size_t n = canp_min(left, (size_t)(o->block_bytes - o->cur_len));

		memcpy(o->cur->block + o->cur_len, p, n);
		o->cur_len += (uint32_t)n;
		o->pos += n;
		p += n;
		left -= n;
		if (o->cur_len == o->block_bytes) {
			struct canp_out_write *w = o->cur;

			o->cur = NULL;
			write_start(w, o->block_bytes);
		}
	}
	return (ssize_t)(len - left);
}

uint64_t canp_out_pos(const struct canp_out *o)
{
	return o->pos;
}

void canp_out_flush(struct canp_out *o)
{
	struct canp_out_write *w = o->cur;
	uint32_t whole;

	if (!w)
		return;
	whole = canp_align_down(o->cur_len, CANP_IO_ALIGN);
	o->tail_len = o->cur_len - whole;
	memcpy(o->tail, w->block + whole, o->tail_len);
	o->cur = NULL;
	if (whole > 0 && !o->error)
		write_start(w, whole);
	else
		write_release(w);
}

bool canp_out_busy(const struct canp_out *o)
{
	return o->goal != GOAL_NONE || writes_pending(o);
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void out_over(struct canp_out *o, int err)
{
	canp_out_cb cb = o->cb;

	o->goal = GOAL_NONE;
	o->cb = NULL;
	cb(o, err, o->cb_arg); /* may reuse or free o */
}

static void op_done(struct canp_ring_op *op)
{
	struct canp_out *o = op->arg;
	int res = op->res;

	o->op_busy = false;
	/* File systems that cannot sync a directory say EINVAL: nothing better can be had there. */
	if (op->opcode == CANP_OP_FSYNC && res == -EINVAL)
		res = 0;
	if (op->opcode == CANP_OP_CLOSE) {
		/* The descriptor is gone whatever close says, and the data is durable. */
		o->fd = -1;
	} else if (res >= 0) {
		o->renamed |= op->opcode == CANP_OP_RENAME;
		o->dir_synced |= op->opcode == CANP_OP_FSYNC;
	} else if (op->opcode == CANP_OP_UNLINK) {
		o->end_error = res;
	} else if ((res == -EINTR || res == -EAGAIN) && !out_ending(o) &&
		   ++o->op_stalls < OUT_STALLS_MAX) {
		o->op_busy = true;
		canp_ring_submit(o->ring, op);
		return;
	} else {
		out_fail(o, res, o->pos);
	}
	out_advance(o);
}

static void out_op(struct canp_out *o, unsigned step, enum canp_ring_opcode opcode, int fd)
{
	o->step = (uint8_t)step;
	o->op = (struct canp_ring_op){
		.opcode = opcode,
		.fd = fd,
		.off = opcode == CANP_OP_FTRUNCATE ? o->pos : 0,
		.path = o->tmp,
		.path2 = o->name,
		.done = op_done,
		.arg = o,
	};
	o->op_busy = true;
	o->op_stalls = 0;
	canp_ring_submit(o->ring, &o->op);
}

/* Steps of abort and release. */
static void out_advance_ending(struct canp_out *o)
{
	switch (o->step) {
	case STEP_DRAIN:
		if (o->goal == GOAL_ABORT && !o->renamed) {
			out_op(o, STEP_UNLINK, CANP_OP_UNLINK, o->dirfd);
			break;
		}
		/* fallthrough */
	case STEP_UNLINK:
		if (o->fd >= 0) {
			out_op(o, STEP_CLOSE, CANP_OP_CLOSE, o->fd);
			break;
		}
		/* fallthrough */
	default:
		out_over(o, o->end_error);
		break;
	}
}

/* Takes the next step once nothing is in flight. */
static void out_advance(struct canp_out *o)
{
	if (o->goal == GOAL_NONE || o->op_busy || writes_pending(o))
		return;
	if (out_ending(o)) {
		out_advance_ending(o);
		return;
	}
	if (o->error || canp_unlikely(o->discard)) {
		out_over(o, o->error);
		return;
	}
	switch (o->step) {
	case STEP_DRAIN:
		if (o->tail_len > 0) {
			o->step = STEP_TAIL;
			o->last.off = o->pos - o->tail_len;
			memset(o->tail + o->tail_len, 0, CANP_IO_ALIGN - o->tail_len);
			write_start(&o->last, o->tail_len);
			break;
		}
		out_op(o, STEP_DATASYNC, CANP_OP_FDATASYNC, o->fd);
		break;
	case STEP_TAIL:
		out_op(o, STEP_CUT, CANP_OP_FTRUNCATE, o->fd);
		break;
	case STEP_CUT:
		out_op(o, STEP_DATASYNC, CANP_OP_FDATASYNC, o->fd);
		break;
	case STEP_DATASYNC:
		if (o->goal == GOAL_FINISH)
			out_op(o, STEP_RENAME, CANP_OP_RENAME, o->dirfd);
		else if (!o->dir_synced)
			out_op(o, STEP_DIRSYNC, CANP_OP_FSYNC, o->dirfd);
		else
			out_over(o, 0);
		break;
	case STEP_RENAME:
		out_op(o, STEP_DIRSYNC, CANP_OP_FSYNC, o->dirfd);
		break;
	case STEP_DIRSYNC:
		if (o->goal == GOAL_FINISH)
			out_op(o, STEP_CLOSE, CANP_OP_CLOSE, o->fd);
		else
			out_over(o, 0);
		break;
	default:
		out_over(o, 0);
		break;
	}
}

static void out_begin(struct canp_out *o, unsigned goal, canp_out_cb cb, void *arg)
{
	o->goal = (uint8_t)goal;
	o->cb = cb;
	o->cb_arg = arg;
	if (o->op_busy)
		o->step = STEP_DRAIN; /* an abort overtakes: goes on when that operation ends */
	else
		out_op(o, STEP_DRAIN, CANP_OP_NOP, -1);
}

void canp_out_sync(struct canp_out *o, canp_out_cb cb, void *arg)
{
	CANP_ASSERT(o->goal == GOAL_NONE);
	canp_out_flush(o);
	out_begin(o, GOAL_SYNC, cb, arg);
}

void canp_out_finish(struct canp_out *o, canp_out_cb cb, void *arg)
{
	CANP_ASSERT(o->goal == GOAL_NONE);
	canp_out_flush(o);
	out_begin(o, GOAL_FINISH, cb, arg);
}

static void out_end(struct canp_out *o, unsigned goal, canp_out_cb cb, void *arg)
{
	CANP_ASSERT(!out_ending(o));
	if (o->cur)
		write_release(o->cur);
	o->cur = NULL;
	o->last.parked = false;
	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++) {
		if (o->writes[i].parked)
			write_release(&o->writes[i]);
	}
	out_begin(o, goal, cb, arg);
}

void canp_out_abort(struct canp_out *o, canp_out_cb cb, void *arg)
{
	out_end(o, GOAL_ABORT, cb, arg);
}

void canp_out_release(struct canp_out *o, canp_out_cb cb, void *arg)
{
	out_end(o, GOAL_RELEASE, cb, arg);
}

/* ---- the rest -------------------------------------------------------------------------------- */

int canp_out_error(const struct canp_out *o, uint64_t *off)
{
	if (off)
		*off = o->error ? o->error_off : o->pos;
	return o->error;
}

bool canp_out_waiting(const struct canp_out *o)
{
	bool parked = o->last.parked;

	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++)
		parked |= o->writes[i].parked;
	return parked;
}

void canp_out_retry(struct canp_out *o)
{
	if (o->last.parked)
		write_again(&o->last);
	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++) {
		if (o->writes[i].parked)
			write_again(&o->writes[i]);
	}
}

const struct canp_out_stats *canp_out_stats(const struct canp_out *o)
{
	return &o->stats;
}

/* Cuts an earlier run's temporary to its committed length and picks up the unaligned rest. */
static int out_resume(struct canp_out *o, uint64_t bytes)
{
	struct stat st;
	ssize_t n;

	if (fstat(o->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size < bytes)
		return -ENODATA;
	if (ftruncate(o->fd, (off_t)bytes) != 0)
		return -errno;
	o->tail_len = (uint32_t)(bytes % CANP_IO_ALIGN);
	o->pos = bytes;
	n = pread(o->fd, o->tail, o->tail_len, (off_t)(bytes - o->tail_len));
	if (n < 0)
		return -errno;
	return (uint32_t)n == o->tail_len ? 0 : -EIO;
}

static int out_names(struct canp_out *o, const char *name)
{
	size_t len = strlen(name);

	if (len > OUT_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || strchr(name, '/'))
		return -EINVAL;
	snprintf(o->name, sizeof(o->name), "%s", name);
	snprintf(o->tmp, sizeof(o->tmp), ".%.*s.tmp", (int)OUT_NAME_MAX, name);
	return 0;
}

static void out_pick_policy(struct canp_out *o, enum canp_io_policy wish)
{
	struct canp_fsinfo fi;

	o->policy = wish;
	if (wish != CANP_IO_AUTO && wish != CANP_IO_DIRECT)
		return;
	o->policy = CANP_IO_DONTCACHE;
	if (canp_fsinfo_file(o->fd, &fi) == 0 && canp_fsinfo_can_direct(&fi) &&
	    fcntl(o->fd, F_SETFL, O_DIRECT) == 0)
		o->policy = CANP_IO_DIRECT;
}

int canp_out_open(struct canp_out *o, const struct canp_out_opts *opts)
{
	const struct canp_pool *pool = opts->pool;
	int flags = O_CLOEXEC | O_NOFOLLOW, rc;

	memset(o, 0, sizeof(*o));
	rc = out_names(o, opts->name);
	if (rc < 0)
		return rc;
	if (pool->slot_bytes < 2 * CANP_IO_ALIGN || pool->slot_bytes > CANP_GIB ||
	    pool->slot_bytes % CANP_IO_ALIGN || (uintptr_t)pool->base % CANP_IO_ALIGN)
		return -EINVAL;
	o->ring = opts->ring;
	o->pool = opts->pool;
	o->dirfd = opts->dirfd;
	o->block_bytes = (uint32_t)pool->slot_bytes;
	o->wait_on_space = opts->wait_on_space;
	o->privileged = opts->privileged;
	o->tail = (uint8_t *)canp_align_up((uintptr_t)o->tail_mem, CANP_IO_ALIGN);
	o->last.block = o->tail;
	o->last.out = o;
	for (unsigned i = 0; i < CANP_OUT_BLOCKS; i++)
		o->writes[i].out = o;
	if (opts->discard) {
		o->discard = o->renamed = true;
		o->fd = -1;
		return 0;
	}
	flags |= opts->resume ? O_RDWR : O_WRONLY | O_CREAT | O_EXCL;
	o->fd = openat(o->dirfd, o->tmp, flags, opts->mode ? opts->mode : 0644u);
	if (o->fd < 0)
		return -errno;
	rc = opts->resume ? out_resume(o, opts->resume_bytes) : 0;
	if (rc < 0) {
		close(o->fd);
		o->fd = -1;
		return rc;
	}
	out_pick_policy(o, opts->policy);
	canp_ring_file_add(o->ring, o->fd);
	return 0;
}
