/*
 * x4_drive.h - the interleaved inflate beside zlib and canp_inflate_member(): members are put
 * between inaccessible pages, in turn at their ends and at their starts, and what comes back is
 * compared. Included by the one file of a test program, whose group has setup() and teardown() of
 * this one.
 */
#ifndef TESTS_LIB_X4_DRIVE_H
#define TESTS_LIB_X4_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/inflate_x4.h"
#include "simd/simd.h"
#include "tests/lib/guard.h"

#define PLAIN_MAX  (320u * 1024u)
#define PACKED_MAX (2u * PLAIN_MAX)
#define JOBS_MAX   9u

static uint64_t seed = 1;
static unsigned long fuzz_seen[2]; /* members accepted, redone */
static struct guard gin[JOBS_MAX], gout[JOBS_MAX], gref;
static struct canp_inflate_x4 *engines[2]; /* interleaved, scalar */
static void *engines_mem[2];
static struct canp_inflate *reference;
static uint8_t *plain, *scratch;
static z_stream zs[3];

static const int zlib_wbits[] = {
	[CANP_INFLATE_GZIP] = 31, [CANP_INFLATE_ZLIB] = 15, [CANP_INFLATE_RAW] = -15};

/* A member and what is put into it. */
struct member {
	uint8_t *bytes;
	size_t len, cap; /* of the compressed bytes; room for the inflated ones */
	enum canp_inflate_kind kind;
};

static inline int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		guard_open(&gin[i], PACKED_MAX);
		guard_open(&gout[i], PACKED_MAX);
	}
	guard_open(&gref, PACKED_MAX);
	plain = malloc(PLAIN_MAX);
	scratch = malloc(PACKED_MAX);
	canp_simd_init(CANP_ISA_AUTO, NULL);
	for (unsigned e = 0; e < 2; e++) {
		engines_mem[e] = aligned_alloc(64, canp_inflate_x4_bytes());
		engines[e] = canp_inflate_x4_init(engines_mem[e], e ? CANP_INFLATE_SCALAR
								    : CANP_INFLATE_INTERLEAVED);
	}
	reference = canp_inflate_init(aligned_alloc(64, canp_inflate_bytes()));
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(inflateInit2(&zs[k], zlib_wbits[k]), Z_OK);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		guard_close(&gin[i]);
		guard_close(&gout[i]);
	}
	guard_close(&gref);
	for (unsigned k = 0; k < 3; k++)
		inflateEnd(&zs[k]);
	free(plain);
	free(scratch);
	free(reference);
	free(engines_mem[0]);
	free(engines_mem[1]);
	return 0;
}

static inline uint64_t rnd(uint64_t below)
{
	return (guard_rand(&seed) >> 20) % below;
}

/* Data that exercises the decoder: 0 frames, 1 noise, 2 zeros, 3 text, 4 far matches, 5 overlaps.
 */
static inline void make_plain(unsigned kind, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t r = guard_rand(&seed) >> 16;

		switch (kind) {
		case 0:
			plain[i] = (uint8_t)(i % 24 < 12 ? i / 2400 : r % 3 ? r % 19 : r >> 8);
			break;
		case 1:
			plain[i] = (uint8_t)r;
			break;
		case 2:
			plain[i] = 0;
			break;
		case 3:
			plain[i] = "0123456789ABCDEF# .\n"[r % 20];
			break;
		case 4:
			plain[i] = i < 32000 ? (uint8_t)r : r % 997 ? plain[i - 32000] : (uint8_t)r;
			break;
		default:
			plain[i] = r % 60 && i > 4 ? plain[i - 1 - r % 60 % 4] : (uint8_t)(r >> 8);
		}
	}
}

static inline struct member pack(enum canp_inflate_kind kind, int level, int strategy, int mem,
				 size_t n)
{
	struct member m = {.kind = kind, .cap = n};
	z_stream z = {.next_in = plain, .avail_in = (uInt)n};

	m.bytes = malloc(2 * n + 1000);
	z.next_out = m.bytes;
	z.avail_out = (uInt)(2 * n + 1000);
	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, zlib_wbits[kind], mem, strategy),
			 Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	m.len = z.total_out;
	deflateEnd(&z);
	return m;
}

/* *n: bytes zlib made, also when it does not accept the member. */
static inline bool zlib_accepts(const struct member *m, size_t *n)
{
	z_stream *z = &zs[m->kind];
	int rc;

	inflateReset(z);
	z->next_in = m->bytes;
	z->avail_in = (uInt)m->len;
	z->next_out = scratch;
	z->avail_out = (uInt)m->cap;
	rc = inflate(z, Z_FINISH);
	*n = z->total_out;
	return rc == Z_STREAM_END;
}

static inline uint8_t *place(const struct guard *g, size_t n, bool rear)
{
	return rear ? guard_rear(g, n) : g->mem;
}

/* What came back for a member, against zlib and the reference decoder. */
static inline void check_job(const struct canp_inflate_job *job, const struct member *m)
{
	uint8_t *want = guard_rear(&gref, m->cap);
	enum canp_inflate_result result;
	size_t len, used, z;
	bool accepted = zlib_accepts(m, &z);

	result =
		canp_inflate_member(reference, m->kind, job->in, m->len, want, m->cap, &len, &used);
	assert_int_equal(job->result, result);
	assert_int_equal(job->out_len, len);
	assert_int_equal(job->in_used, used);
	/* ISA-L counts a match it refused for its distance without having written its bytes: what
	 * is common to all is what zlib made, too. */
	assert_memory_equal(job->out, want, canp_min(len, z));
	assert_memory_equal(job->out, scratch, canp_min(len, z));
	/* What our loops take is what zlib takes: neither more nor less. */
	assert_int_equal(accepted, !job->redone);
	fuzz_seen[job->redone]++;
	if (accepted) {
		assert_int_equal(job->result, CANP_INFLATE_OK);
		assert_int_equal(len, z);
	}
}

/* nr members at once through one engine; sides: bit 0 input, bit 1 output at the rear guard. */
static inline void run_jobs(struct canp_inflate_x4 *ctx, const struct member *m, unsigned nr,
			    unsigned sides)
{
	struct canp_inflate_job jobs[JOBS_MAX];

	for (unsigned i = 0; i < nr; i++) {
		uint8_t *in = place(&gin[i], m[i].len, sides & 1);

		memcpy(in, m[i].bytes, m[i].len);
		jobs[i] = (struct canp_inflate_job){
			.in = in,
			.in_len = m[i].len,
			.out = place(&gout[i], m[i].cap, sides & 2),
			.out_cap = m[i].cap,
			.kind = m[i].kind,
			.result = (enum canp_inflate_result)99,
		};
	}
	canp_inflate_x4_run(ctx, jobs, nr);
	for (unsigned i = 0; i < nr; i++)
		check_job(&jobs[i], &m[i]);
}

static inline void check_members(const struct member *m, unsigned nr)
{
	unsigned sides = (unsigned)rnd(4);

	run_jobs(engines[0], m, nr, sides);
	run_jobs(engines[1], m, nr, sides ^ 3);
}

static inline void check_one(const struct member *m, bool good)
{
	size_t z;

	assert_int_equal(zlib_accepts(m, &z), good);
	for (unsigned sides = 0; sides < 4; sides++) {
		run_jobs(engines[0], m, 1, sides);
		run_jobs(engines[1], m, 1, sides);
	}
}

#endif
