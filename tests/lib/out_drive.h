/*
 * out_drive.h - puts known bytes into output files and looks at what became of them on disk. Used
 * with the simulated and with the real ring.
 */
#ifndef CANP_TESTS_OUT_DRIVE_H
#define CANP_TESTS_OUT_DRIVE_H

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/runtime/ring.h"
#include "io/sink/outfile.h"
#include "tests/lib/tmpdir.h"

#define OUT_DRIVE_BLOCK  16384u
#define OUT_DRIVE_BLOCKS 6u

struct out_drive {
	struct canp_ring *ring;
	struct canp_pool pool;
	void *mem;
	int dirfd;
	char dir[64];
	uint64_t rng;
	unsigned called; /* callbacks */
	int err;         /* of the last one */
};

static inline uint64_t out_rnd(struct out_drive *d, uint64_t below)
{
	d->rng = d->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return below ? (d->rng >> 20) % below : 0;
}

static inline uint8_t out_byte(uint64_t off)
{
	uint64_t x = (off / 8 + 3) * 0x9e3779b97f4a7c15ULL;

	return (uint8_t)((x ^ x >> 31) >> (8 * (off % 8)));
}

static inline void out_drive_init(struct out_drive *d, struct canp_ring *ring, const char *base,
				  uint64_t seed)
{
	char name[128];

	memset(d, 0, sizeof(*d));
	d->ring = ring;
	d->rng = seed;
	snprintf(name, sizeof(name), "%s/t_outfile", base);
	assert_int_equal(tmpdir_make(d->dir, sizeof(d->dir), name), 0);
	d->dirfd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d->dirfd >= 0);
	assert_int_equal(posix_memalign(&d->mem, 4096, OUT_DRIVE_BLOCK * OUT_DRIVE_BLOCKS), 0);
	canp_pool_init(&d->pool, d->mem, OUT_DRIVE_BLOCK, OUT_DRIVE_BLOCKS, 0);
}

/* Every block must be home again. */
static inline void out_drive_fini(struct out_drive *d)
{
	assert_int_equal(canp_pool_avail(&d->pool, false), OUT_DRIVE_BLOCKS);
	close(d->dirfd);
	free(d->mem);
	assert_int_equal(tmpdir_remove(d->dir), 0);
}

static inline void out_drive_cb(struct canp_out *o, int err, void *arg)
{
	struct out_drive *d = arg;

	(void)o;
	d->called++;
	d->err = err;
}

static inline int out_drive_open(struct out_drive *d, struct canp_out *o, const char *name,
				 enum canp_io_policy policy, bool wait_on_space)
{
	struct canp_out_opts opts = {
		.ring = d->ring,
		.pool = &d->pool,
		.dirfd = d->dirfd,
		.name = name,
		.policy = policy,
		.wait_on_space = wait_on_space,
	};

	return canp_out_open(o, &opts);
}

/* Puts the next len bytes of the sequence; runs the ring when there is no room. Stops at an error;
 * returns it. */
static inline int out_drive_put(struct out_drive *d, struct canp_out *o, size_t len)
{
	uint8_t buf[8192];
	unsigned idle = 0;

	while (len > 0) {
		size_t n = len < sizeof(buf) ? len : sizeof(buf), room = canp_out_room(o);
		uint64_t pos = canp_out_pos(o);
		ssize_t took;

		for (size_t i = 0; i < n; i++)
			buf[i] = out_byte(pos + i);
		took = canp_out_put(o, buf, n);
		if (took < 0)
			return (int)took;
		assert_int_equal(took, room < n ? room : n); /* room told the truth */
		assert_int_equal(canp_out_pos(o), pos + (uint64_t)took);
		len -= (size_t)took;
		if (took > 0)
			idle = 0;
		else if (canp_out_waiting(o) && idle > 100)
			return -EAGAIN;
		else
			assert_true(idle++ < 100000);
		if (took == 0)
			canp_ring_wait(d->ring, 1000000);
	}
	return 0;
}

/* Runs the ring until one more callback came; its error. */
static inline int out_drive_wait(struct out_drive *d, unsigned called)
{
	for (unsigned i = 0; d->called == called; i++) {
		assert_true(i < 100000);
		canp_ring_wait(d->ring, 1000000);
	}
	assert_int_equal(d->called, called + 1);
	return d->err;
}

static inline int out_drive_finish(struct out_drive *d, struct canp_out *o)
{
	unsigned called = d->called;

	canp_out_finish(o, out_drive_cb, d);
	assert_int_equal(d->called, called); /* never from inside the call */
	assert_int_equal(canp_out_room(o), 0);
	return out_drive_wait(d, called);
}

static inline int out_drive_sync(struct out_drive *d, struct canp_out *o)
{
	unsigned called = d->called;

	canp_out_sync(o, out_drive_cb, d);
	assert_int_equal(d->called, called);
	return out_drive_wait(d, called);
}

static inline int out_drive_abort(struct out_drive *d, struct canp_out *o)
{
	unsigned called = d->called;

	canp_out_abort(o, out_drive_cb, d);
	assert_int_equal(d->called, called);
	return out_drive_wait(d, called);
}

static inline bool out_drive_exists(const struct out_drive *d, const char *name)
{
	return faccessat(d->dirfd, name, F_OK, 0) == 0;
}

/* The file has exactly len bytes and these are the sequence. */
static inline void out_drive_check(const struct out_drive *d, const char *name, uint64_t len)
{
	int fd = openat(d->dirfd, name, O_RDONLY | O_CLOEXEC);
	uint8_t *buf = malloc(len + 1);

	assert_non_null(buf);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, len + 1), len);
	for (uint64_t i = 0; i < len; i++) {
		if (buf[i] != out_byte(i))
			fail_msg("%s differs at %llu", name, (unsigned long long)i);
	}
	free(buf);
	close(fd);
}

/* Names in the directory. */
static inline unsigned out_drive_files(const struct out_drive *d)
{
	DIR *dir = opendir(d->dir);
	unsigned n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(dir);
	return n;
}

#endif
