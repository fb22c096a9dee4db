/*
 * ring_fix.h - what the tests of the asynchronous file operations share: the kinds of ring there
 * are, a ring with a folder of its own, and operations that are waited for. Included by the one
 * file of a test program.
 */
#ifndef TESTS_LIB_RING_FIX_H
#define TESTS_LIB_RING_FIX_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/runtime/ring.h"
#include "core/runtime/ring_uring_priv.h"
#include "tests/lib/tmpdir.h"

struct kind {
	const char *name;
	enum canp_ring_kind kind;
	unsigned rung;
	bool restricted;
};

static struct kind kinds[] = {
	{"uring defer", CANP_RING_URING, 0, false}, {"uring coop", CANP_RING_URING, 1, false},
	{"uring plain", CANP_RING_URING, 2, false}, {"uring restricted", CANP_RING_URING, 0, true},
	{"sync", CANP_RING_SYNC, 0, false},
};

struct fix {
	struct canp_ring *r;
	int dir;
	char path[64];
};

static inline struct canp_ring_opts opts_of(const struct kind *k)
{
	struct canp_ring_opts o = {.kind = k->kind, .restrict_ops = k->restricted, .iowq_cpu = -1};

	canp_ring_first_rung = k->rung;
	return o;
}

/* Skips when the kernel refuses; any other failure is one. */
static inline int make_ring(const struct canp_ring_opts *o, const struct kind *k,
			    struct canp_ring **r)
{
	int rc = canp_ring_create(o, r);

	if (k->kind == CANP_RING_URING && (rc == -EPERM || rc == -ENOSYS || rc == -EOPNOTSUPP)) {
		print_message("SKIP %s: %s\n", k->name, strerror(-rc));
		return 1;
	}
	assert_int_equal(rc, 0);
	return 0;
}

static inline void fix_dir(struct fix *f)
{
	assert_int_equal(tmpdir_make(f->path, sizeof(f->path), "/tmp/t_ring"), 0);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY);
	assert_true(f->dir >= 0);
}

static inline int fix_begin(struct fix *f, const struct kind *k)
{
	struct canp_ring_opts o = opts_of(k);

	memset(f, 0, sizeof(*f));
	if (make_ring(&o, k, &f->r))
		return 1;
	fix_dir(f);
	return 0;
}

static inline void fix_end(struct fix *f)
{
	canp_ring_destroy(f->r);
	canp_ring_fault_hook = NULL;
	close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
}

static inline int file_in(const struct fix *f, const char *name, size_t bytes)
{
	int fd = openat(f->dir, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	unsigned char block[1000];

	assert_true(fd >= 0);
	for (size_t at = 0; at < bytes; at += sizeof(block)) {
		size_t n = bytes - at < sizeof(block) ? bytes - at : sizeof(block);

		for (size_t i = 0; i < n; i++)
			block[i] = (unsigned char)((at + i) * 31 + (at + i) / 256);
		assert_int_equal(pwrite(fd, block, n, (off_t)at), (ssize_t)n);
	}
	return fd;
}

static inline unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / 256);
}

static inline void count_done(struct canp_ring_op *op)
{
	(*(unsigned *)op->arg)++;
}

/* Submits one operation and waits for its callback. */
static inline int32_t run(struct canp_ring *r, struct canp_ring_op *op)
{
	unsigned done = 0;

	op->done = count_done;
	op->arg = &done;
	canp_ring_submit(r, op);
	assert_int_equal(done, 0); /* never from inside submit */
	while (!done)
		canp_ring_wait(r, 5 * CANP_NS_PER_S);
	assert_int_equal(done, 1);
	return op->res;
}

static inline int32_t run_fd(struct canp_ring *r, enum canp_ring_opcode code, int fd)
{
	struct canp_ring_op op = {.opcode = code, .fd = fd};

	return run(r, &op);
}

static inline int32_t run_rw(struct canp_ring *r, enum canp_ring_opcode code, int fd, void *buf,
			     uint32_t len, uint64_t off)
{
	struct canp_ring_op op = {.opcode = code, .fd = fd, .buf = buf, .len = len, .off = off};

	return run(r, &op);
}

static inline int32_t run_path(struct canp_ring *r, enum canp_ring_opcode code, int fd,
			       const char *path, const char *path2)
{
	struct canp_ring_op op = {.opcode = code, .fd = fd, .path = path, .path2 = path2};

	return run(r, &op);
}

#define FOR_EACH_KIND(k) for (struct kind *k = kinds; k < kinds + CANP_ARRAY_SIZE(kinds); k++)

#endif
