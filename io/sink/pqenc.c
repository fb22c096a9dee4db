/*
 * pqenc.c - page encodings.
 *
 * Hybrid: a portion whose values are all equal turns into an RLE run when at least sixteen of them
 * remain after the open group of eight is filled; everything else is bit-packed. The header of a
 * bit-packed run is one byte as long as the run has at most 63 groups, so it can be patched while
 * the run grows and small portions (multiplexed signals) do not pay a header each.
 *
 * Delta: differences are collected by 128 and packed in four miniblocks of 32, each with its own
 * width. Arithmetic wraps modulo 2^64 (2^32 for INT32), as the format asks.
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

static size_t pqenc_zigzag(uint8_t *out, int64_t v)
{
	return canp_pq_uleb(out, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
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
	size_t len, fill = h->nr_carry ? 8u - h->nr_carry : 0;

	if (!n)
		return 0;
	if (equal && h->rle_count && h->rle_value == v[0]) {
		h->rle_count += (uint32_t)n;
		return 0;
	}
	len = hybrid_rle(h, w, out);
	if (!equal || n < fill + HYBRID_RLE_MIN)
		return len + hybrid_pack(h, v, n, w, out + len);
	if (fill)
		len += hybrid_pack(h, v, fill, w, out + len);
	h->hdr = NULL;
	h->rle_value = v[0];
	h->rle_count = (uint32_t)(n - fill);
	return len;
}

size_t canp_hybrid_repeat(struct canp_hybrid *h, uint16_t v, uint32_t count, unsigned w,
			  uint8_t *out)
{
	uint16_t tmp[256 + 32];
	uint32_t n = canp_min(count, 256u);
	size_t len;

	for (uint32_t i = 0; i < canp_align_up(n, 32); i++)
		tmp[i] = v;
	len = canp_hybrid_add(h, tmp, n, w, true, out);
	if (count > n) /* 256 equal values always leave an open RLE run */
		h->rle_count += count - n;
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

/* Packs one miniblock of up to 32 differences above min; *width gets its bit width. */
static size_t delta_mini(const int64_t *d, size_t n, int64_t min, uint8_t *width, uint8_t *out)
{
	uint64_t v[32], any = 0;
	uint32_t v32[32];

	for (size_t i = 0; i < 32; i++) {
		v[i] = i < n ? (uint64_t)d[i] - (uint64_t)min : 0;
		any |= v[i];
	}
	*width = any ? (uint8_t)(64 - __builtin_clzll(any)) : 0;
	if (!any)
		return 0;
	if (*width > 32)
		return canp_simd.pack64(v, 32, *width, out);
	for (size_t i = 0; i < 32; i++)
		v32[i] = (uint32_t)v[i];
	return canp_simd.pack32(v32, 32, *width, out);
}

static size_t delta_block(struct canp_delta *d, uint8_t *out)
{
	size_t n = d->nr_pend, len;
	int64_t min = d->pend[0];
	uint8_t *width;

	for (size_t i = 1; i < n; i++)
		min = canp_min(min, d->pend[i]);
	len = pqenc_zigzag(out, min);
	width = out + len;
	memset(width, 0, 4);
	len += 4;
	for (size_t m = 0; m * 32 < n; m++)
		len += delta_mini(d->pend + m * 32, canp_min(n - m * 32, (size_t)32), min,
				  &width[m], out + len);
	d->nr_pend = 0;
	return len;
}

size_t canp_delta_add(struct canp_delta *d, const int64_t *v, size_t n, uint8_t *out)
{
	size_t len = 0, i = 0;
	int64_t last = d->last;

	if (!n)
		return 0;
	if (!d->count) {
		d->first = last = v[0];
		i = 1;
	}
	d->count += (uint32_t)n;
	for (; i < n; i++) {
		uint64_t diff = (uint64_t)v[i] - (uint64_t)last;

		last = v[i];
		d->pend[d->nr_pend++] = d->is32 ? (int32_t)(uint32_t)diff : (int64_t)diff;
		if (d->nr_pend == 128)
			len += delta_block(d, out + len);
	}
	d->last = last;
	return len;
}

size_t canp_delta_finish(struct canp_delta *d, uint8_t *out)
{
	return d->nr_pend ? delta_block(d, out) : 0;
}

size_t canp_delta_head(const struct canp_delta *d, uint8_t *out)
{
	size_t n = canp_pq_uleb(out, 128);

	n += canp_pq_uleb(out + n, 4);
	n += canp_pq_uleb(out + n, d->count);
	return n + pqenc_zigzag(out + n, d->first);
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
