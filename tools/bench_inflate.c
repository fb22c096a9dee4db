/*
 * bench_inflate.c - the inflate engines beside ISA-L and zlib, on the same members.
 *
 * Each contender writes to a ring of 16 buffers, as the product does, so that its output stays in
 * the L2 cache; the compressed members are read from memory, as after a read. All verify checksums.
 */
#include <errno.h>
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/units.h"
#include "simd/inflate_x4.h"
#include "simd/simd.h"
#include "tools/bench_members.h"
#include "tools/bench_kernels.h"

#define RING_SLOTS 16u

struct inflater {
	const struct canp_bench_members *d;
	uint8_t *ring;
	size_t slot_bytes;
	struct canp_inflate_job *jobs;
	void *mem[2];
	bool failed; /* something was not delivered whole */
	struct inflate_state isal;
	z_stream zlib;
};

/* One engine of ours. */
struct engine {
	struct inflater *in;
	struct canp_inflate_x4 *ctx;
};

static uint8_t *slot_of(const struct inflater *in, size_t i)
{
	return in->ring + i % RING_SLOTS * in->slot_bytes;
}

/* Members end out of order, but a slot is taken again only after 16 others, of which at most
 * CANP_INFLATE_LANES are open; so the one that comes next in the ring may be in use only when its
 * member is long overdue, and then its neighbour is taken. */
static void engine_pass(void *arg)
{
	const struct engine *e = arg;
	struct inflater *in = e->in;
	struct canp_inflate_job *job;
	size_t next = 0, turn = 0;
	unsigned busy = 0;

	for (;;) {
		while (next < in->d->nr && canp_inflate_x4_nr_free(e->ctx)) {
			while (busy >> turn % RING_SLOTS & 1)
				turn++;
			busy |= 1u << turn % RING_SLOTS;
			in->jobs[next].out = slot_of(in, turn++);
			canp_inflate_x4_submit(e->ctx, &in->jobs[next++]);
		}
		job = canp_inflate_x4_next(e->ctx);
		if (!job)
			return;
		busy &= ~(1u << (size_t)(job->out - in->ring) / in->slot_bytes);
		if (job->result != CANP_INFLATE_OK || job->redone)
			in->failed = true;
	}
}

static void isal_pass(void *arg)
{
	struct inflater *in = arg;
	struct inflate_state *s = &in->isal;

	for (size_t i = 0; i < in->d->nr; i++) {
		const struct canp_bench_member *m = &in->d->members[i];

		isal_inflate_reset(s);
		s->crc_flag = in->d->kind == CANP_INFLATE_GZIP ? ISAL_GZIP : ISAL_ZLIB;
		s->next_in = (uint8_t *)m->in;
		s->avail_in = (uint32_t)m->len;
		s->next_out = slot_of(in, i);
		s->avail_out = (uint32_t)m->plain;
		if (isal_inflate(s) != ISAL_DECOMP_OK || s->total_out != m->plain)
			in->failed = true;
	}
}

static void zlib_pass(void *arg)
{
	struct inflater *in = arg;

	for (size_t i = 0; i < in->d->nr; i++) {
		const struct canp_bench_member *m = &in->d->members[i];

		inflateReset(&in->zlib);
		in->zlib.next_in = (Bytef *)m->in;
		in->zlib.avail_in = (uInt)m->len;
		in->zlib.next_out = slot_of(in, i);
		in->zlib.avail_out = (uInt)m->plain;
		if (inflate(&in->zlib, Z_FINISH) != Z_STREAM_END || in->zlib.total_out != m->plain)
			in->failed = true;
	}
}

static bool inflater_open(struct inflater *in, const struct canp_bench_members *d)
{
	memset(in, 0, sizeof(*in));
	in->d = d;
	in->slot_bytes = canp_align_up(d->plain_max, (size_t)4096);
	in->ring = aligned_alloc(4096, RING_SLOTS * in->slot_bytes);
	in->jobs = calloc(d->nr, sizeof(*in->jobs));
	for (unsigned i = 0; i < 2; i++)
		in->mem[i] = aligned_alloc(CANP_CACHELINE, canp_inflate_x4_bytes());
	if (!in->ring || !in->jobs || !in->mem[0] || !in->mem[1])
		return false;
	memset(in->ring, 0, RING_SLOTS * in->slot_bytes);
	for (size_t i = 0; i < d->nr; i++)
		in->jobs[i] = (struct canp_inflate_job){.in = d->members[i].in,
							.in_len = d->members[i].len,
							.out_cap = d->members[i].plain,
							.kind = d->kind};
	isal_inflate_init(&in->isal);
	return inflateInit2(&in->zlib, 15 + 32) == Z_OK;
}

static void inflater_close(struct inflater *in)
{
	free(in->ring);
	free(in->jobs);
	free(in->mem[0]);
	free(in->mem[1]);
	inflateEnd(&in->zlib);
}

int canp_bench_inflate(struct canp_bench_out *out, const char *name, double gate,
		       const struct canp_bench_members *d)
{
	static const char *const columns[CANP_BENCH_COLUMNS] = {"scalar", "interleaved", "isal",
								"zlib"};
	struct canp_bench_line line = {.kernel = "inflate", .gate = gate, .columns = columns};
	struct inflater *in = malloc(sizeof(*in));
	struct engine scalar, fast;
	double work = (double)d->plain_bytes;
	int rc = -ENOMEM;

	if (!in)
		return rc;
	if (!inflater_open(in, d))
		goto out;
	snprintf(line.data, sizeof(line.data), "%s", name);
	line.compression = work / (double)d->packed_bytes;
	scalar = (struct engine){in, canp_inflate_x4_init(in->mem[0], CANP_INFLATE_SCALAR)};
	fast = (struct engine){in, canp_inflate_x4_init(in->mem[1], CANP_INFLATE_INTERLEAVED)};
	canp_bench_form(&line, "scalar", CANP_BENCH_PORTABLE, engine_pass, &scalar, work);
	/* Below AVX2 the interleaved engine is the portable one. */
	if (canp_simd.isa >= CANP_ISA_AVX2)
		canp_bench_form(&line, "interleaved", CANP_BENCH_FORM, engine_pass, &fast, work);
	canp_bench_form(&line, "isal", CANP_BENCH_REFERENCE, isal_pass, in, work);
	canp_bench_form(&line, "zlib", CANP_BENCH_OTHER, zlib_pass, in, work);
	rc = canp_bench_line(out, &line);
	if (!rc && in->failed)
		rc = -EPROTO;
out:
	inflater_close(in);
	free(in);
	return rc;
}
