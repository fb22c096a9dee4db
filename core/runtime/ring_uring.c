/*
 * ring_uring.c - the operations of ring.h on io_uring.
 *
 * One ring per shard, made by the thread that uses it. The set-up flags come from a ladder: a ring
 * that only its owner enters and that runs completion work only when the owner asks for it
 * (SINGLE_ISSUER, DEFER_TASKRUN) is the best for a reactor; older kernels get the next rung.
 * TASKRUN_FLAG makes the kernel raise a bit in shared memory when it has such work, so a turn with
 * nothing to submit and nothing complete costs no system call.
 *
 * user_data is slot index and generation, never a pointer: a completion for an operation that is
 * gone is recognised instead of followed. There are fewer slots than completion queue entries, so
 * the queue cannot overflow. The thread is woken through an eventfd on which a read is posted
 * before it sleeps, and only then.
 *
 * ring_uring_setup.c makes the ring; this file moves operations through it.
 */
#include "core/runtime/ring_uring_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "core/runtime/ring_compat.h"

static struct ring_uring *uring_of(struct canp_ring *r)
{
	return canp_container_of(r, struct ring_uring, ring);
}

/* What io_uring_enter() may answer for passing reasons; the caller comes again. Anything else is a
 * fault of ours (a foreign thread, a closed ring), after which no result could be trusted. */
static void uring_check_enter(int rc)
{
	if (canp_likely(rc >= 0))
		return;
	switch (-rc) {
	case ETIME:
	case EINTR:
	case EAGAIN:
	case EBUSY:
	case ENOMEM:
		return;
	default:
		canp_error("io_uring_enter: %s", canp_strerror(rc));
		CANP_ASSERT(!"io_uring_enter failed");
	}
}

/* A free submission entry; submits what is queued when the queue is full. NULL: not now. */
static struct io_uring_sqe *uring_get_sqe(struct ring_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->uring);

	if (canp_likely(sqe != NULL))
		return sqe;
	uring_check_enter(io_uring_submit(&u->uring));
	return io_uring_get_sqe(&u->uring);
}

/* Index of the registered buffer that holds [buf, buf + len), or -1. A handful of entries. */
static int uring_fixed_idx(const struct ring_uring *u, const void *buf, uint32_t len)
{
	uintptr_t p = (uintptr_t)buf;

	for (unsigned i = 0; i < u->nr_fixed; i++) {
		uintptr_t base = (uintptr_t)u->fixed[i].iov_base;

		if (p >= base && p - base <= u->fixed[i].iov_len &&
		    len <= u->fixed[i].iov_len - (p - base))
			return (int)i;
	}
	return -1;
}

static void uring_prep_rw(struct ring_uring *u, struct io_uring_sqe *sqe,
			  const struct canp_ring_op *op)
{
	bool read = op->opcode == CANP_OP_READ;
	int idx = uring_fixed_idx(u, op->buf, op->len);

	if (idx >= 0) {
		if (read)
			io_uring_prep_read_fixed(sqe, op->fd, op->buf, op->len, op->off, idx);
		else
			io_uring_prep_write_fixed(sqe, op->fd, op->buf, op->len, op->off, idx);
		u->fixed_ops++;
	} else if (read) {
		io_uring_prep_read(sqe, op->fd, op->buf, op->len, op->off);
	} else {
		io_uring_prep_write(sqe, op->fd, op->buf, op->len, op->off);
	}
	sqe->rw_flags = (__kernel_rwf_t)op->rw_flags;
	/* A request the block layer refused with EAGAIN is done again by a worker, which may block.
	 */
	if (canp_unlikely(canp_ring_retries(op) != 0))
		sqe->flags |= IOSQE_ASYNC;
}

static void uring_prep(struct ring_uring *u, struct io_uring_sqe *sqe,
		       const struct canp_ring_op *op)
{
	switch (op->opcode) {
	case CANP_OP_READ:
	case CANP_OP_WRITE:
		uring_prep_rw(u, sqe, op);
		break;
	case CANP_OP_FDATASYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		break;
	case CANP_OP_FSYNC:
		io_uring_prep_fsync(sqe, op->fd, 0);
		break;
	case CANP_OP_FTRUNCATE:
		io_uring_prep_nop(sqe); /* clears every field */
		sqe->opcode = CANP_IORING_OP_FTRUNCATE;
		sqe->fd = op->fd;
		sqe->off = op->off;
		break;
	case CANP_OP_RENAME:
		io_uring_prep_renameat(sqe, op->fd, op->path, op->fd, op->path2, RENAME_NOREPLACE);
		break;
	case CANP_OP_UNLINK:
		io_uring_prep_unlinkat(sqe, op->fd, op->path, 0);
		break;
	case CANP_OP_CLOSE:
		io_uring_prep_close(sqe, op->fd);
		break;
	case CANP_OP_POLL:
		io_uring_prep_poll_add(sqe, op->fd, POLLIN);
		break;
	case CANP_OP_NOP:
	case CANP_OP_NR:
		io_uring_prep_nop(sqe);
		break;
	}
}

static void uring_file_add(struct canp_ring *r, int fd)
{
	struct ring_uring *u = uring_of(r);
	unsigned place;

	if (fd < 0 || (unsigned)fd >= URING_FD_MAX || u->file_place[fd] || !u->nr_file_free)
		return;
	place = u->file_free[u->nr_file_free - 1];
	if (io_uring_register_files_update(&u->uring, place, &fd, 1) != 1)
		return;
	u->nr_file_free--;
	u->file_place[fd] = (uint16_t)(place + 1);
}

static void uring_file_del(struct canp_ring *r, int fd)
{
	struct ring_uring *u = uring_of(r);
	unsigned place;
	int none = -1;

	if (fd < 0 || (unsigned)fd >= URING_FD_MAX || !u->file_place[fd])
		return;
	place = u->file_place[fd] - 1u;
	u->file_place[fd] = 0;
	/* Operations in flight keep the file; a place that cannot be emptied is not used again. */
	if (io_uring_register_files_update(&u->uring, place, &none, 1) == 1)
		u->file_free[u->nr_file_free++] = (uint16_t)place;
}

/* Operations on a file with a place in the table name the place instead of the descriptor. */
static void uring_use_place(struct ring_uring *u, struct io_uring_sqe *sqe,
			    const struct canp_ring_op *op)
{
	switch (op->opcode) {
	case CANP_OP_READ:
	case CANP_OP_WRITE:
	case CANP_OP_FDATASYNC:
	case CANP_OP_FTRUNCATE:
		break;
	default:
		return;
	}
	if (op->fd < 0 || (unsigned)op->fd >= URING_FD_MAX || !u->file_place[op->fd])
		return;
	sqe->fd = u->file_place[op->fd] - 1;
	sqe->flags |= IOSQE_FIXED_FILE;
	u->file_ops++;
}

static bool uring_issue(struct canp_ring *r, struct canp_ring_op *op)
{
	struct ring_uring *u = uring_of(r);
	struct io_uring_sqe *sqe;
	uint32_t slot;

	if (canp_unlikely(!(u->supported & (1u << op->opcode)))) {
		/* Too old a kernel for this one: short metadata calls, made on the spot. */
		canp_ring_complete(r, op, canp_ring_exec(op));
		return true;
	}
	if (u->nr_free == 0)
		return false;
	sqe = uring_get_sqe(u);
	if (!sqe)
		return false;
	slot = u->free[--u->nr_free];
	u->slots[slot].op = op;
	canp_ring_set_slot(op, slot);
	if (op->opcode == CANP_OP_CLOSE)
		uring_file_del(r, op->fd);
	uring_prep(u, sqe, op);
	uring_use_place(u, sqe, op);
	io_uring_sqe_set_data64(sqe, uring_data(slot, u->slots[slot].gen));
	return true;
}

static void uring_reap_one(struct ring_uring *u, uint64_t data, int32_t res)
{
	uint32_t slot = (uint32_t)data;
	struct canp_ring_op *op;

	if (data == URING_DATA_WAKE) {
		u->wake_armed = false;
		return;
	}
	if (data == URING_DATA_IGNORE)
		return;
	CANP_ASSERT(slot < u->nr_slots && u->slots[slot].gen == (uint32_t)(data >> 32));
	op = u->slots[slot].op;
	CANP_ASSERT(op != NULL);
	u->slots[slot].op = NULL;
	u->slots[slot].gen++;
	u->free[u->nr_free++] = slot;
	canp_ring_complete(&u->ring, op, res);
}

/* Moves every visible completion to the ready list. No callback runs here. */
static void uring_reap(struct ring_uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned head, nr = 0;

	io_uring_for_each_cqe(&u->uring, head, cqe)
	{
		uring_reap_one(u, cqe->user_data, cqe->res);
		nr++;
	}
	if (!nr)
		return;
	io_uring_cq_advance(&u->uring, nr);
	CANP_USDT2(ring_complete, nr, u->nr_free);
}

/* Posts the read that a wake ends. Only before a sleep, so that turns which never sleep do not pay
 * for it. A wake that came earlier is still in the eventfd's counter and ends the sleep at once. */
static void uring_arm_wake(struct ring_uring *u)
{
	struct io_uring_sqe *sqe;

	if (u->wake_armed)
		return;
	sqe = uring_get_sqe(u);
	if (!sqe)
		return;
	io_uring_prep_read(sqe, u->efd, &u->wake_count, sizeof(u->wake_count), 0);
	io_uring_sqe_set_data64(sqe, URING_DATA_WAKE);
	u->wake_armed = true;
}

/* The kernel has completion work that it does only when entered. */
static bool uring_has_task_work(const struct ring_uring *u)
{
	return IO_URING_READ_ONCE(*u->uring.sq.kflags) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void uring_enter(struct canp_ring *r, uint64_t timeout_ns)
{
	struct ring_uring *u = uring_of(r);
	struct io_uring_cqe *cqe;
	struct __kernel_timespec ts = {(long long)(timeout_ns / (uint64_t)CANP_NS_PER_S),
				       (long long)(timeout_ns % (uint64_t)CANP_NS_PER_S)};
	int rc = 0;

	if (timeout_ns)
		uring_arm_wake(u);
	CANP_USDT2(ring_enter, io_uring_sq_ready(&u->uring), timeout_ns);
	/* Without an armed wake (no submission entry to be had) a sleep could not be ended. */
	if (timeout_ns && u->wake_armed && io_uring_cq_ready(&u->uring) == 0) {
		if (timeout_ns == UINT64_MAX)
			rc = io_uring_submit_and_wait(&u->uring, 1);
		else
			rc = io_uring_submit_and_wait_timeout(&u->uring, &cqe, 1, &ts, NULL);
	} else if (io_uring_sq_ready(&u->uring) || uring_has_task_work(u)) {
		rc = io_uring_submit_and_get_events(&u->uring);
	}
	uring_check_enter(rc);
	uring_reap(u);
}

static void uring_wake(struct canp_ring *r)
{
	uint64_t one = 1;
	int saved = errno;

	/* The counter would have to reach 2^64 for this to block or fail. */
	if (write(uring_of(r)->efd, &one, sizeof(one)) < 0)
		CANP_ASSERT(errno == EINTR);
	errno = saved;
}

static void uring_cancel_polls(struct canp_ring *r)
{
	struct ring_uring *u = uring_of(r);

	for (uint32_t i = 0; i < u->nr_slots; i++) {
		struct canp_ring_op *op = u->slots[i].op;
		struct io_uring_sqe *sqe;

		if (!op || op->opcode != CANP_OP_POLL)
			continue;
		sqe = uring_get_sqe(u);
		if (!sqe)
			return; /* destroy comes again */
		io_uring_prep_poll_remove(sqe, uring_data(i, u->slots[i].gen));
		io_uring_sqe_set_data64(sqe, URING_DATA_IGNORE);
	}
}

static void uring_destroy(struct canp_ring *r)
{
	struct ring_uring *u = uring_of(r);

	/* A posted wake read points into u: end it before u is freed. */
	while (u->wake_armed) {
		uring_wake(r);
		uring_check_enter(io_uring_submit_and_wait(&u->uring, 1));
		uring_reap(u);
	}
	io_uring_queue_exit(&u->uring);
	canp_uring_free(u);
}

const struct canp_ring_backend canp_uring_backend = {
	.issue = uring_issue,
	.enter = uring_enter,
	.wake = uring_wake,
	.cancel_polls = uring_cancel_polls,
	.destroy = uring_destroy,
	.file_add = uring_file_add,
	.file_del = uring_file_del,
};
