/*
 * pqunpack.c - reads RLE/bit-packed hybrid streams back, for the owner's close: where a column
 * chunk is written in another encoding than the producers packed it in, or where that has to be
 * decided.
 *
 * The streams were made by this process, but they are read as if they were not: every length is
 * checked before it is used, so that a fault elsewhere ends in an error and not in wrong memory.
 */
#include <errno.h>
#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pqenc.h"

/* Values of a run that are unpacked at a time: whole bytes at every width. */
#define UNPACK_STEP 512u

/* One run of a stream. */
struct hybrid_run {
	const uint8_t *packed; /* NULL: RLE */
	size_t count;          /* values, 1.. */
	uint16_t value;        /* of an RLE run */
};

struct hybrid_reader {
	const uint8_t *in;
	size_t len, pos;
	unsigned w;
	bool cut; /* the last run goes on behind the end */
};

static int hybrid_uleb(struct hybrid_reader *r, uint32_t *v)
{
	uint64_t x = 0;

	for (unsigned s = 0; s < 35; s += 7) {
		if (r->pos >= r->len)
			return -EBADMSG;
		x |= (uint64_t)(r->in[r->pos] & 127) << s;
		if (r->in[r->pos++] < 128) {
			*v = (uint32_t)x;
			return x >> 32 ? -EBADMSG : 0;
		}
	}
	return -EBADMSG;
}

/* The next run, cut to at most `want` values. A run may go on behind the end of the stream as long
 * as the values taken lie inside. */
static int hybrid_next(struct hybrid_reader *r, size_t want, struct hybrid_run *run)
{
	size_t bytes = r->w > 8 ? 2 : 1, left;
	uint32_t head;

	if (hybrid_uleb(r, &head) || !(head >> 1))
		return -EBADMSG;
	left = r->len - r->pos;
	run->count = head & 1 ? (size_t)(head >> 1) * 8 : head >> 1;
	run->packed = NULL;
	run->count = canp_min(run->count, want);
	if (head & 1) {
		run->packed = r->in + r->pos;
		bytes = (size_t)(head >> 1) * r->w;
		if ((run->count * r->w + 7) / 8 > left)
			return -EBADMSG;
		r->cut = bytes > left;
		r->pos += canp_min(bytes, left);
		return 0;
	}
	if (bytes > left)
		return -EBADMSG;
	run->value = (uint16_t)(r->in[r->pos] | (bytes == 2 ? r->in[r->pos + 1] << 8 : 0));
	r->pos += bytes;
	return run->value >> r->w ? -EBADMSG : 0;
}

static int hybrid_values(struct hybrid_reader *r, uint16_t *out, size_t n)
{
	struct hybrid_run run;

	for (size_t i = 0; i < n; i += run.count) {
		if (hybrid_next(r, n - i, &run))
			return -EBADMSG;
		if (run.packed) {
			canp_simd.unpack16(run.packed, run.count, r->w, out + i);
			continue;
		}
		for (size_t k = 0; k < run.count; k++)
			out[i + k] = run.value;
	}
	return 0;
}

int canp_hybrid_head(const uint8_t *in, size_t len, unsigned w, uint16_t *out, size_t n)
{
	struct hybrid_reader r = {.in = in, .len = len, .w = w};

	return hybrid_values(&r, out, n);
}

int canp_hybrid_read(const uint8_t *in, size_t len, unsigned w, uint16_t *out, size_t n)
{
	struct hybrid_reader r = {.in = in, .len = len, .w = w};

	if (hybrid_values(&r, out, n))
		return -EBADMSG;
	return r.pos == len && !r.cut ? 0 : -EBADMSG;
}

int canp_hybrid_mark(const uint8_t *in, size_t len, unsigned w, size_t n, uint8_t *used,
		     uint32_t *nr_used)
{
	struct hybrid_reader r = {.in = in, .len = len, .w = w};
	uint16_t v[UNPACK_STEP + 32];
	struct hybrid_run run;
	uint32_t fresh = 0;

	for (size_t i = 0; i < n; i += run.count) {
		if (hybrid_next(&r, n - i, &run))
			return -EBADMSG;
		if (!run.packed) {
			fresh += !used[run.value];
			used[run.value] = 1;
			continue;
		}
		for (size_t j = 0; j < run.count; j += UNPACK_STEP) {
			size_t k = canp_min(run.count - j, (size_t)UNPACK_STEP);

			canp_simd.unpack16(run.packed + j * w / 8, k, w, v);
			for (size_t x = 0; x < k; x++) {
				fresh += !used[v[x]];
				used[v[x]] = 1;
			}
		}
	}
	*nr_used += fresh;
	return 0;
}

static void remap_values(uint16_t *v, size_t n, const uint16_t *map, uint16_t base)
{
	if (map) {
		for (size_t i = 0; i < n; i++)
			v[i] = map[v[i]];
		return;
	}
	for (size_t i = 0; i < 256; i++) /* all of them: a fixed count is made of vectors */
		v[i] = (uint16_t)(v[i] - base);
}

int64_t canp_hybrid_remap(const uint8_t *in, size_t len, unsigned w, size_t n, const uint16_t *map,
			  uint16_t base, unsigned to_w, uint8_t *out)
{
	struct hybrid_reader r = {.in = in, .len = len, .w = w};
	uint16_t v[256 + 32] = {0};
	struct canp_hybrid h = {0};
	struct hybrid_run run;
	size_t at = 0;

	for (size_t i = 0; i < n; i += run.count) {
		if (hybrid_next(&r, n - i, &run))
			return -EBADMSG;
		if (!run.packed) {
			run.value = map ? map[run.value] : (uint16_t)(run.value - base);
			at += canp_hybrid_repeat(&h, run.value, (uint32_t)run.count, to_w,
						 out + at);
			continue;
		}
		for (size_t j = 0; j < run.count; j += 256) {
			size_t k = canp_min(run.count - j, (size_t)256);

			canp_simd.unpack16(run.packed + j * w / 8, k, w, v);
			remap_values(v, k, map, base);
			at += canp_hybrid_add(&h, v, k, to_w, false, out + at);
		}
	}
	return (int64_t)(at + canp_hybrid_finish(&h, to_w, out + at));
}
