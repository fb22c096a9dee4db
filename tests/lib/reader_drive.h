/*
 * reader_drive.h - walks files through a reader the way a format does and compares every byte with
 * what is on disk. Used with the simulated and with the real ring.
 */
#ifndef CANP_TESTS_READER_DRIVE_H
#define CANP_TESTS_READER_DRIVE_H

#include <errno.h>
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
#include "io/format/format.h"
#include "io/source/reader.h"
#include "tests/lib/tmpdir.h"

#define DRIVE_FILES 6

struct drive {
	struct canp_ring *ring;
	struct canp_reader *reader;
	void *mem;
	uint64_t rng;
	char dir[64];
};

static inline uint64_t drive_rnd(struct drive *d, uint64_t below)
{
	d->rng = d->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return below ? (d->rng >> 20) % below : 0;
}

/* Contents are a function of the offset, so any window can be checked without the file. */
static inline uint8_t drive_byte(unsigned file, uint64_t off)
{
	uint64_t x = (off / 8 + 1) * 0x9e3779b97f4a7c15ULL ^ ((uint64_t)file << 32);

	x ^= x >> 29;
	return (uint8_t)(x * 0xff51afd7ed558ccdULL >> (8 * (off % 8)));
}

static inline void drive_path(const struct drive *d, unsigned file, char *path, size_t cap)
{
	snprintf(path, cap, "%s/f%u", d->dir, file);
}

static inline void drive_make(struct drive *d, unsigned file, size_t len)
{
	uint8_t *buf = malloc(len + 1);
	char path[128];
	FILE *f;

	assert_non_null(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = drive_byte(file, i);
	drive_path(d, file, path, sizeof(path));
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	free(buf);
}

static inline void drive_init(struct drive *d, struct canp_ring *ring, const char *base,
			      const struct canp_reader_opts *opts, uint64_t seed)
{
	size_t bytes = canp_reader_bytes(opts);
	char name[128];

	memset(d, 0, sizeof(*d));
	d->ring = ring;
	d->rng = seed;
	snprintf(name, sizeof(name), "%s/t_reader", base);
	assert_int_equal(tmpdir_make(d->dir, sizeof(d->dir), name), 0);
	assert_true(bytes > 0);
	assert_int_equal(posix_memalign(&d->mem, 4096, bytes), 0);
	d->reader = canp_reader_init(d->mem, ring, opts);
}

static inline void drive_fini(struct drive *d)
{
	for (unsigned i = 0; canp_reader_inflight(d->reader); i++) {
		assert_true(i < 100000);
		canp_ring_wait(d->ring, 1000000);
	}
	canp_reader_fini(d->reader);
	free(d->mem);
	assert_int_equal(tmpdir_remove(d->dir), 0);
}

/* Peeks, running the ring until there is an answer. */
static inline void drive_peek(struct drive *d, struct canp_stream *s, const uint8_t **win,
			      size_t *len, uint64_t *base, bool *eof)
{
	int rc;

	for (unsigned turns = 0;; turns++) {
		rc = canp_reader_peek(s, win, len, base, eof);
		if (rc != -EAGAIN)
			break;
		assert_true(turns < 100000); /* else: nothing is on its way, a hang */
		canp_ring_wait(d->ring, 1000000);
	}
	assert_int_equal(rc, 0);
}

static inline void drive_check(unsigned file, const uint8_t *win, size_t len, uint64_t base)
{
	uint8_t pad = 0;

	for (size_t i = 0; i < len; i++) {
		if (win[i] != drive_byte(file, base + i))
			fail_msg("file %u differs at %llu", file, (unsigned long long)(base + i));
	}
	for (size_t i = 0; i < CANP_FORMAT_TAIL_PAD; i++)
		pad ^= win[len + i]; /* must be readable: the sanitizer would object */
	(void)pad;
}

/* Walks a stream to its end with random appetite; returns where it ended. Sometimes pauses (more =
 * false), sometimes leaves up to the most a walker may leave. */
static inline uint64_t drive_walk(struct drive *d, struct canp_stream *s, unsigned file)
{
	uint64_t at = 0;

	for (;;) {
		const uint8_t *win;
		size_t len, n;
		uint64_t base;
		bool eof, more;

		drive_peek(d, s, &win, &len, &base, &eof);
		assert_int_equal(base, at);
		drive_check(file, win, len, base);
		more = drive_rnd(d, 4) != 0;
		n = (size_t)drive_rnd(d, len + 1);
		if (more && !eof && len - n > CANP_FORMAT_STRADDLE) {
			assert_int_equal(canp_reader_consume(s, n, true), -EMSGSIZE);
			at += n;
			continue;
		}
		if (drive_rnd(d, 3) == 0)
			n = len;
		assert_int_equal(canp_reader_consume(s, n, more), 0);
		at += n;
		if (eof && n == len)
			return at;
	}
}

/* Reads nr files one after another with the next ones opened ahead, as a unit does. */
static inline void drive_files(struct drive *d, const size_t *sizes, unsigned nr, unsigned ahead,
			       enum canp_io_policy policy)
{
	struct canp_stream *open[DRIVE_FILES];
	unsigned next = 0;
	char path[128];
	int rc;

	for (unsigned i = 0; i < nr; i++) {
		for (; next < nr && next <= i + ahead; next++) {
			drive_path(d, next, path, sizeof(path));
			/* Streams closed early give their place back when their reads end. */
			while ((rc = canp_reader_open(d->reader, path, sizes[next], policy,
						      &open[next])) == -EAGAIN &&
			       canp_reader_inflight(d->reader))
				canp_ring_wait(d->ring, 1000000);
			assert_int_equal(rc, 0);
		}
		assert_int_equal(drive_walk(d, open[i], i), sizes[i]);
		assert_null(canp_reader_fault(open[i]));
		canp_reader_close(open[i]);
	}
}

#endif
