/*
 * colmask.c - windows, raw values and validity masks of a chunk.
 *
 * Windows are loaded once per chunk and shared by the columns cut from them. A mask is remembered
 * until the next one is asked for: the signals of one multiplexer value stand together and share
 * it.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/colmask.h"

/* Where id, length, DLC and flags stand in J and F records (simd/frames.h). */
#define HEAD_OFF_J       16u
#define HEAD_OFF_F       8u
#define HEAD_LEN_SHIFT   32u
#define HEAD_DLC_SHIFT   40u
#define HEAD_FLAGS_SHIFT 48u

void canp_colview_begin(struct canp_colview *v, const struct canp_table *table,
			struct canp_runscratch *s, const uint8_t *rec, const uint8_t *lens,
			uint32_t n)
{
	*v = (struct canp_colview){.table = table, .s = s, .rec = rec, .lens = lens, .n = n};
	memset(s->win_tag, 0, sizeof(s->win_tag));
	s->mask_rows = 0;
}

void canp_colview_ts(struct canp_colview *v, int64_t *out)
{
	canp_simd.window(v->rec, v->table->stride, 0, v->n, (uint64_t *)out);
}

const uint64_t *canp_colview_load(struct canp_colview *v, unsigned win)
{
	const struct canp_table *t = v->table;
	unsigned at = canp_colview_slot(win);
	uint64_t *out = v->s->win[at];
	bool head = win == CANP_RUNB_HEAD;
	size_t off;

	if (canp_likely(v->s->win_tag[at] == (uint8_t)(win + 1)))
		return out;
	if (head) {
		CANP_ASSERT(t->cls == CANP_REC_F || t->cls == CANP_REC_J);
		off = t->cls == CANP_REC_F ? HEAD_OFF_F : HEAD_OFF_J;
	} else {
		off = (size_t)t->payload_off + t->wins[win].off;
	}
	canp_simd.window(v->rec, t->stride, off, v->n, out);
	if (!head && t->wins[win].be)
		canp_simd.bswap64(out, v->n, out);
	v->s->vary[at] = canp_simd.varying(out, v->n);
	v->s->win_tag[at] = (uint8_t)(win + 1);
	return out;
}

unsigned canp_colview_source(const struct canp_col *col, unsigned *shift)
{
	switch (col->src) {
	case CANP_SRC_SIGNAL:
		*shift = col->shift;
		return col->win;
	case CANP_SRC_LEN:
		*shift = HEAD_LEN_SHIFT;
		break;
	case CANP_SRC_DLC:
		*shift = HEAD_DLC_SHIFT;
		break;
	case CANP_SRC_FLAG:
		*shift = HEAD_FLAGS_SHIFT + col->shift;
		break;
	default: /* id and source address are the low bits */
		*shift = 0;
		break;
	}
	return CANP_RUNB_HEAD;
}

/* Bit by bit, for the few signals that straddle nine bytes. DBC numbering: bit b of byte k is
 * 8k + b; a Motorola signal starts at its most significant bit and runs down, then into the most
 * significant bit of the next byte. */
static uint64_t colview_wide(const uint8_t *payload, unsigned max, const struct canp_col *col)
{
	unsigned pos = col->start_bit;
	uint64_t raw = 0;

	for (unsigned i = 0; i < col->raw_bits; i++) {
		uint64_t bit = pos / 8 < max ? (payload[pos / 8] >> (pos % 8)) & 1u : 0;

		if (col->big_endian) {
			raw = raw << 1 | bit;
			pos = pos % 8 ? pos - 1 : pos + 15;
		} else {
			raw |= bit << i;
			pos++;
		}
	}
	return raw;
}

void canp_colview_raw(struct canp_colview *v, const struct canp_col *col, uint64_t *out)
{
	const struct canp_table *t = v->table;
	struct canp_minmax mm;
	unsigned shift;
	const uint64_t *win;

	if (col->wide) {
		for (uint32_t i = 0; i < v->n; i++)
			out[i] = colview_wide(v->rec + (size_t)i * t->stride + t->payload_off,
					      t->payload_max, col);
		return;
	}
	win = canp_colview_load(v, canp_colview_source(col, &shift));
	canp_simd.extract64(win, v->n, shift, col->raw_bits, 0, out, &mm);
}

/* Clears the rows whose frame is shorter than `need`. */
static void mask_short(const struct canp_colview *v, unsigned need, uint32_t mask[8])
{
	for (uint32_t w = 0; w * 32 < v->n; w++) {
		uint32_t n = canp_min(v->n - w * 32, 32u), bits = 0;

		for (uint32_t i = 0; i < n; i++)
			bits |= (uint32_t)(v->lens[w * 32 + i] >= need) << i;
		mask[w] &= bits;
	}
}

/* Keeps the rows where the selector holds one of the values. */
static void mask_mux(struct canp_colview *v, const struct canp_col *col,
		     const struct canp_col *parent, uint32_t mask[8])
{
	uint64_t raw[256] CANP_ALIGNED(64);
	uint32_t any[8] = {0}, one[8];
	const uint64_t *win;
	unsigned shift = 0, len = parent->raw_bits;

	if (parent->wide) {
		canp_colview_raw(v, parent, raw);
		win = raw;
	} else {
		win = canp_colview_load(v, canp_colview_source(parent, &shift));
	}
	for (uint32_t i = 0; i < col->nr_mux; i++) {
		canp_simd.range_mask(win, v->n, shift, len, col->mux[i].lo, col->mux[i].hi, one);
		for (unsigned w = 0; w < 8; w++)
			any[w] |= one[w];
	}
	for (unsigned w = 0; w < 8; w++)
		mask[w] &= any[w];
}

/* Bits set; in registers, where the compiler's own would be a call for every word. */
static uint32_t mask_count(const uint32_t mask[8])
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < 8; w += 2) {
		uint64_t x = mask[w] | (uint64_t)mask[w + 1] << 32;

		x -= x >> 1 & 0x5555555555555555;
		x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
		sum += (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	}
	/* At most 32 a byte by now; their sum may be 256. */
	sum = (sum & 0x00ff00ff00ff00ff) + (sum >> 8 & 0x00ff00ff00ff00ff);
	return (uint32_t)(sum * 0x0001000100010001 >> 48);
}

static bool mask_same(const struct canp_colview *v, const struct canp_col *col)
{
	const struct canp_runscratch *s = v->s;

	if (!s->mask_rows || s->mask_parent != col->mux_parent ||
	    (v->lens && s->mask_need != col->need))
		return false;
	if (col->mux_parent < 0)
		return true;
	return s->mask_nr == col->nr_mux &&
	       (s->mask_mux == col->mux ||
		!memcmp(s->mask_mux, col->mux, col->nr_mux * sizeof(*col->mux)));
}

const uint32_t *canp_colview_mask(struct canp_colview *v, const struct canp_col *col,
				  uint32_t *present)
{
	struct canp_runscratch *s = v->s;
	const struct canp_col *c = col;

	if (!mask_same(v, col)) {
		for (uint32_t w = 0; w < 8; w++) {
			uint32_t left = v->n > w * 32 ? v->n - w * 32 : 0;

			s->mask[w] = left >= 32 ? UINT32_MAX : (1u << left) - 1;
		}
		/* The chain of selectors ends: a plan has no cycles; nr_cols bounds it anyway. */
		for (uint32_t step = 0; step <= v->table->nr_cols; step++) {
			if (v->lens && c->need)
				mask_short(v, c->need, s->mask);
			if (c->mux_parent < 0)
				break;
			mask_mux(v, c, &v->table->cols[c->mux_parent], s->mask);
			c = &v->table->cols[c->mux_parent];
		}
		s->mask_parent = col->mux_parent;
		s->mask_nr = col->nr_mux;
		s->mask_mux = col->mux;
		s->mask_need = col->need;
		s->mask_rows = v->n;
		s->mask_count = mask_count(s->mask);
	}
	*present = s->mask_count;
	return s->mask;
}

const uint8_t *canp_colview_bytes(const struct canp_colview *v, uint32_t i, uint32_t *len)
{
	const struct canp_table *t = v->table;
	const uint8_t *rec = v->rec + (size_t)i * t->stride;
	uint8_t n = rec[(t->cls == CANP_REC_F ? HEAD_OFF_F : HEAD_OFF_J) + 4];

	*len = canp_min(n, t->payload_max);
	return rec + t->payload_off;
}
