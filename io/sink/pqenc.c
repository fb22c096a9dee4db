/*
 * pqenc.c - page encodings.
 *
 * Hybrid: a portion whose values are all equal turns into an RLE run when at least sixteen of them
 * remain after the open group of eight is filled; everything else is bit-packed. The header of a
 * bit-packed run is one byte as long as the run has at most 63 groups, so it can be patched while
 * the run grows and small portions (multiplexed signals) do not pay a header each.
 *
 * Delta: differences are collected by 128 and packed in four miniblocks of 32, each with its own
 * width, by the kernels of simd/simd.h. Arithmetic wraps modulo 2^64 (2^32 for INT32), as the
 * format asks.
 */
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pqenc.h"
#include "io/sink/pqthrift.h"

/* An RLE run costs a header; below two groups of eight packing is never worse by much. */
#define HYBRID_RLE_MIN    16u
#define HYBRID_GROUPS_MAX 63u
/* Equal bytes of a validity bitmap from which on an RLE run of levels pays. */
#define LEVELS_RLE_BYTES 8u

size_t canp_pq_uleb(uint8_t *out, uint64_t v)
{
	size_t n = 0;

	while (v >= 128) {
		out[n++] = (uint8_t)(v | 128);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return n;
}

static size_t hybrid_rle(struct canp_hybrid *h, unsigned w, uint8_t *out)
{
	size_t n;

	if (!h->rle_count)
		return 0;
	n = canp_pq_uleb(out, (uint64_t)h->rle_count << 1);
	if (w > 0)
		out[n++] = (uint8_t)h->rle_value;
	if (w > 8)
		out[n++] = (uint8_t)(h->rle_value >> 8);
	h->rle_count = 0;
	return n;
}

static size_t hybrid_groups(struct canp_hybrid *h, const uint16_t *v, size_t groups, unsigned w,
			    uint8_t *out)
{
	size_t n = 0;

	if (!groups)
		return 0;
	if (!h->hdr || h->groups + groups > HYBRID_GROUPS_MAX) {
		h->hdr = out;
		h->groups = 0;
		n = 1;
	}
	h->groups = (uint8_t)(h->groups + groups);
	*h->hdr = (uint8_t)((h->groups << 1) | 1);
	return n + canp_simd.pack16(v, groups * 8, w, out + n);
}

/* Packs what waits and n values of v by eights; the rest waits. */
static size_t hybrid_pack(struct canp_hybrid *h, const uint16_t *v, size_t n, unsigned w,
			  uint8_t *out)
{
	uint16_t tmp[8 + 256 + 32];
	const uint16_t *src = v;
	size_t total = h->nr_carry + n, groups = total / 8, len;

	if (h->nr_carry) {
		memcpy(tmp, h->carry, h->nr_carry * sizeof(tmp[0]));
		memcpy(tmp + h->nr_carry, v, n * sizeof(tmp[0]));
		memset(tmp + total, 0, 32 * sizeof(tmp[0]));
		src = tmp;
	}
	len = hybrid_groups(h, src, groups, w, out);
	h->nr_carry = (uint8_t)(total - groups * 8);
	memcpy(h->carry, src + groups * 8, h->nr_carry * sizeof(tmp[0]));
	return len;
}

size_t canp_hybrid_add(struct canp_hybrid *h, const uint16_t *v, size_t n, unsigned w, bool equal,
		       uint8_t *out)
{
	size_t len;

	if (!n)
		return 0;
	if (equal)
		return canp_hybrid_repeat(h, v[0], (uint32_t)n, w, out);
	len = hybrid_rle(h, w, out);
	if (!h->nr_carry && !(n % 8)) /* nothing waits and nothing will: no need to look closer */
		return len + hybrid_groups(h, v, n / 8, w, out + len);
	return len + hybrid_pack(h, v, n, w, out + len);
}

size_t canp_hybrid_repeat(struct canp_hybrid *h, uint16_t v, uint32_t count, unsigned w,
			  uint8_t *out)
{
	uint32_t fill = h->nr_carry ? 8u - h->nr_carry : 0;
	bool run = count >= fill + HYBRID_RLE_MIN;
	uint16_t tmp[32];
	size_t len;

	if (h->rle_count && h->rle_value == v) {
		h->rle_count += count;
		return 0;
	}
	if (!count)
		return 0;
	len = hybrid_rle(h, w, out);
	if (!run || fill) {
		for (uint32_t i = 0; i < CANP_ARRAY_SIZE(tmp); i++)
			tmp[i] = v;
		len += hybrid_pack(h, tmp, run ? fill : count, w, out + len);
	}
	if (run) {
		h->hdr = NULL;
		h->rle_value = v;
		h->rle_count = count - fill;
	}
	return len;
}

size_t canp_hybrid_finish(struct canp_hybrid *h, unsigned w, uint8_t *out)
{
	uint16_t tmp[32] = {0};
	size_t len = hybrid_rle(h, w, out);

	if (h->nr_carry) {
		memcpy(tmp, h->carry, h->nr_carry * sizeof(tmp[0]));
		len += hybrid_groups(h, tmp, 1, w, out + len);
		h->nr_carry = 0;
	}
	h->hdr = NULL;
	return len;
}

/* Packs v[1..n], which follow v[0]. Bounds cost a loop only where values go back. */
static size_t delta_block(struct canp_delta *d, const int64_t *v, size_t n, uint8_t *out)
{
	bool back = false;
	size_t len = canp_simd.delta_block(v, n, d->is32, out, &back);

	d->back |= back;
	/* v[0] is counted already; without a step back the last one is the highest. */
	for (size_t i = back ? 1 : n; d->bounds && i <= n; i++) {
		d->min = canp_min(d->min, v[i]);
		d->max = canp_max(d->max, v[i]);
	}
	return len;
}

/* Whole blocks are packed where they lie; the ends wait in the open block. */
size_t canp_delta_add(struct canp_delta *d, const int64_t *v, size_t n, uint8_t *out)
{
	const size_t block = CANP_DELTA_VALUES;
	size_t len = 0, i = 0;

	if (!n)
		return 0;
	if (!d->count) {
		d->first = d->min = d->max = d->open[0] = v[0];
		i = 1;
	}
	d->count += (uint32_t)n;
	d->last = v[n - 1];
	while (i < n) {
		size_t k = canp_min(n - i, block - d->nr_open);

		if (k == block && i) {
			len += delta_block(d, v + i - 1, block, out + len);
			d->open[0] = v[i + block - 1];
		} else {
			memcpy(d->open + 1 + d->nr_open, v + i, k * sizeof(*v));
			d->nr_open = (uint16_t)(d->nr_open + k);
			if (d->nr_open == block)
				len += canp_delta_finish(d, out + len);
		}
		i += k;
	}
	return len;
}

size_t canp_delta_finish(struct canp_delta *d, uint8_t *out)
{
	size_t n = d->nr_open, len;

	if (!n)
		return 0;
	len = delta_block(d, d->open, n, out);
	d->open[0] = d->open[n];
	d->nr_open = 0;
	return len;
}

size_t canp_delta_head(const struct canp_delta *d, uint8_t *out)
{
	size_t n = canp_pq_uleb(out, CANP_DELTA_VALUES);

	n += canp_pq_uleb(out + n, 4);
	n += canp_pq_uleb(out + n, d->count);
	return n + canp_pq_uleb(out + n, ((uint64_t)d->first << 1) ^ (uint64_t)(d->first >> 63));
}

size_t canp_pq_levels_same(unsigned level, uint32_t rows, uint8_t *out)
{
	size_t n;

	if (!rows)
		return 0;
	n = canp_pq_uleb(out, (uint64_t)rows << 1);
	out[n] = (uint8_t)level;
	return n + 1;
}

/* Bits from byte `at` on that equal the first of them: whole bytes, or up to the last row. */
static uint32_t levels_run(const uint8_t *bits, uint32_t rows, uint32_t at)
{
	uint8_t b = bits[at], tail_mask;
	uint32_t full = rows / 8, i = at;

	if (b != 0 && b != 0xff)
		return 0;
	while (i < full && bits[i] == b)
		i++;
	if (i - at < LEVELS_RLE_BYTES)
		return 0;
	tail_mask = (uint8_t)((1u << (rows & 7)) - 1);
	if (i == full && tail_mask && (bits[i] & tail_mask) == (b & tail_mask))
		return rows - at * 8;
	return (i - at) * 8;
}

size_t canp_pq_levels(const uint8_t *bits, uint32_t rows, uint8_t *out)
{
	uint32_t bytes = (rows + 7) / 8, lit = 0, i = 0;
	size_t n = 0;

	while (i < bytes) {
		uint32_t run = levels_run(bits, rows, i);

		if (!run) {
			i++;
			continue;
		}
		if (i > lit) {
			n += canp_pq_uleb(out + n, ((uint64_t)(i - lit) << 1) | 1);
			memcpy(out + n, bits + lit, i - lit);
			n += i - lit;
		}
		n += canp_pq_levels_same(bits[i] & 1, run, out + n);
		i += (run + 7) / 8;
		lit = i;
	}
	if (bytes > lit) {
		n += canp_pq_uleb(out + n, ((uint64_t)(bytes - lit) << 1) | 1);
		memcpy(out + n, bits + lit, bytes - lit);
		if (rows & 7) /* padding bits are zero whatever the bitmap held */
			out[n + bytes - lit - 1] &= (uint8_t)((1u << (rows & 7)) - 1);
		n += bytes - lit;
	}
	return n;
}

size_t canp_pq_page_header(const struct canp_pq_pagehdr *h, uint8_t *out)
{
	struct canp_tw t;

	canp_tw_init(&t, out, CANP_PQ_PAGEHDR_MAX, 0);
	canp_tw_i32(&t, 1, (int32_t)h->type);
	canp_tw_i32(&t, 2, (int32_t)h->plain_bytes);
	canp_tw_i32(&t, 3, (int32_t)h->stored_bytes);
	canp_tw_i32(&t, 4, (int32_t)h->crc);
	if (h->type == CANP_PQ_DICT_PAGE) {
		canp_tw_begin(&t, 7);
		canp_tw_i32(&t, 1, (int32_t)h->values);
		canp_tw_i32(&t, 2, CANP_PQ_PLAIN);
		if (h->sorted)
			canp_tw_bool(&t, 3, true);
	} else {
		canp_tw_begin(&t, 5);
		canp_tw_i32(&t, 1, (int32_t)h->values);
		canp_tw_i32(&t, 2, (int32_t)h->encoding);
		canp_tw_i32(&t, 3, CANP_PQ_RLE);
		canp_tw_i32(&t, 4, CANP_PQ_RLE);
	}
	canp_tw_end(&t);
	canp_tw_raw(&t, "", 1); /* end of PageHeader */
	return canp_tw_len(&t);
}
