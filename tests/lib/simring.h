/*
 * simring.h - a simulated ring for tests: the calls of core/runtime/ring.h on real descriptors,
 * with seeded reordering, delays, short transfers and injected errors.
 *
 * Include it in exactly one source of a test program. It defines canp_ring_submit() and the rest
 * itself, so the linker takes these and leaves the real ring in its archive; a test of the real
 * ring is a program of its own. An operation is carried out when its turn comes, not when it is
 * submitted, and completions of one turn come in random order: everything a kernel may do, and
 * reproducible by the seed.
 *
 * It is stricter than a kernel: an O_DIRECT operation that is not 4 KiB aligned in address, length
 * and offset, or an operation submitted twice, ends the test.
 */
#ifndef CANP_TESTS_SIMRING_H
#define CANP_TESTS_SIMRING_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/runtime/ring.h"

#define SIMRING_OPS 4096u

struct canp_ring {
	uint64_t rng, turn;
	unsigned nr;
	struct {
		struct canp_ring_op *op;
		uint64_t due;
	} ops[SIMRING_OPS];
	struct canp_ring_caps caps;
	/* What happens, set by the test. */
	unsigned delay_max; /* turns an operation may wait */
	unsigned short_pct; /* of reads and writes transfer less than asked */
	/* 0: carry the operation out; else its result (-errno), nothing is done. */
	int (*inject)(void *arg, struct canp_ring_op *op);
	void *inject_arg;
	unsigned count[CANP_OP_NR]; /* completed, by opcode */
	unsigned order[16];         /* the last opcodes other than reads and writes, in order */
	unsigned nr_order;
};

void (*canp_ring_fault_hook)(struct canp_ring_op *op);

static inline uint64_t simring_rnd(struct canp_ring *r, uint64_t below)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return below ? (r->rng * 0x2545f4914f6cdd1dULL >> 11) % below : 0;
}

static inline struct canp_ring *simring_new(uint64_t seed)
{
	struct canp_ring *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	r->caps.kind = CANP_RING_SYNC;
	return r;
}

int canp_ring_create(const struct canp_ring_opts *opts, struct canp_ring **out)
{
	(void)opts;
	*out = simring_new(1);
	return 0;
}

void canp_ring_destroy(struct canp_ring *r)
{
	assert_int_equal(r->nr, 0);
	free(r);
}

const struct canp_ring_caps *canp_ring_caps(const struct canp_ring *r)
{
	return &r->caps;
}

unsigned canp_ring_inflight(const struct canp_ring *r)
{
	return r->nr;
}

void canp_ring_file_add(struct canp_ring *r, int fd)
{
	(void)r;
	(void)fd;
}

void canp_ring_file_del(struct canp_ring *r, int fd)
{
	(void)r;
	(void)fd;
}

void canp_ring_wake(struct canp_ring *r)
{
	(void)r;
}

void canp_ring_submit(struct canp_ring *r, struct canp_ring_op *op)
{
	for (unsigned i = 0; i < r->nr; i++)
		assert_ptr_not_equal(r->ops[i].op, op);
	assert_true(r->nr < SIMRING_OPS);
	assert_non_null(op->done);
	r->ops[r->nr].op = op;
	r->ops[r->nr].due = r->turn + 1 + simring_rnd(r, r->delay_max + 1);
	r->nr++;
}

static inline bool simring_is_direct(const struct canp_ring_op *op)
{
	int fl = fcntl(op->fd, F_GETFL);

	assert_true(fl >= 0);
	if (!(fl & O_DIRECT))
		return false;
	assert_int_equal((uintptr_t)op->buf % 4096, 0);
	assert_int_equal(op->len % 4096, 0);
	assert_int_equal(op->off % 4096, 0);
	return true;
}

/* A short transfer of a direct file still ends on 512 bytes, as a device's would. */
static inline size_t simring_shorten(struct canp_ring *r, size_t len, bool direct)
{
	size_t n;

	if (len < 2 || simring_rnd(r, 100) >= r->short_pct)
		return len;
	n = 1 + simring_rnd(r, len - 1);
	if (direct)
		n = n < 512 ? 512 : n & ~(size_t)511;
	return n;
}

static inline int simring_rw(struct canp_ring *r, struct canp_ring_op *op)
{
	bool direct = simring_is_direct(op);
	size_t n = simring_shorten(r, op->len, direct);
	ssize_t res;

	if (op->opcode == CANP_OP_WRITE) {
		res = pwrite(op->fd, op->buf, n, (off_t)op->off);
		return res < 0 ? -errno : (int)res;
	}
	res = pread(op->fd, op->buf, op->len, (off_t)op->off);
	if (res < 0)
		return -errno;
	if ((size_t)res > n) {
		/* What was not transferred must not be used: spoil it. */
		memset((char *)op->buf + n, 0xa5, (size_t)res - n);
		res = (ssize_t)n;
	}
	return (int)res;
}

static inline int simring_run(struct canp_ring *r, struct canp_ring_op *op)
{
	long rc = 0;

	if (r->inject) {
		int err = r->inject(r->inject_arg, op);

		if (err)
			return err;
	}
	switch (op->opcode) {
	case CANP_OP_READ:
	case CANP_OP_WRITE:
		return simring_rw(r, op);
	case CANP_OP_FDATASYNC:
		rc = fdatasync(op->fd);
		break;
	case CANP_OP_FSYNC:
		rc = fsync(op->fd);
		break;
	case CANP_OP_FTRUNCATE:
		rc = ftruncate(op->fd, (off_t)op->off);
		break;
	case CANP_OP_RENAME:
		rc = syscall(SYS_renameat2, op->fd, op->path, op->fd, op->path2, 1);
		break;
	case CANP_OP_UNLINK:
		rc = unlinkat(op->fd, op->path, 0);
		break;
	case CANP_OP_CLOSE:
		rc = close(op->fd);
		break;
	default:
		break;
	}
	return rc < 0 ? -errno : 0;
}

int canp_ring_wait(struct canp_ring *r, uint64_t timeout_ns)
{
	struct canp_ring_op *done[SIMRING_OPS];
	unsigned nr_done = 0;

	(void)timeout_ns;
	r->turn++;
	for (;;) {
		unsigned due = 0, pick;

		for (unsigned i = 0; i < r->nr; i++)
			due += r->ops[i].due <= r->turn;
		if (due == 0)
			break;
		pick = (unsigned)simring_rnd(r, due);
		for (unsigned i = 0; i < r->nr; i++) {
			if (r->ops[i].due > r->turn || pick-- > 0)
				continue;
			done[nr_done] = r->ops[i].op;
			r->ops[i] = r->ops[--r->nr];
			done[nr_done]->res = simring_run(r, done[nr_done]);
			r->count[done[nr_done]->opcode]++;
			if (done[nr_done]->opcode > CANP_OP_WRITE && r->nr_order < 16)
				r->order[r->nr_order++] = done[nr_done]->opcode;
			nr_done++;
			break;
		}
	}
	for (unsigned i = 0; i < nr_done; i++)
		done[i]->done(done[i]);
	return (int)nr_done;
}

#endif
