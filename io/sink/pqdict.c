/*
 * pqdict.c - the dictionary page of a column chunk: numbers from the identity, from the exact maps
 * or from the origins; texts of devices and labels.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pq_priv.h"

/* Entries that are converted at a time. */
#define DICT_PORTION 4096u
/* Strings beyond this much dictionary are written uncompressed and in portions. */
#define DICT_LINEAR_MAX (512u * 1024u)

/* Text of entry i of a string dictionary. buf: 32 bytes for numbers without a text. */
static const char *dict_text(const struct canp_pqw *w, uint32_t i, char *buf)
{
	const struct canp_pqshared *sh = w->o.shared;
	const struct canp_pqleaf *l = canp_pqc_leaf(w);

	if (l->kind == CANP_PQL_DEVICE)
		return canp_pqc_device_name(w, sh->keys[sh->order[i]]);
	return canp_pqs_label(l->col, canp_pqv_raw_of_index(l->col, sh->order[i]), buf);
}

static uint64_t dict_text_sum(struct canp_pqw *w, uint32_t *crc)
{
	char buf[32], before[256] = "";
	uint64_t n = 0;

	*crc = 0;
	w->c.sorted = true;
	for (uint32_t i = 0; i < w->c.dict_n; i++) {
		const char *s = dict_text(w, i, buf);
		uint8_t len[4];

		w->c.sorted &= !i || strcmp(before, s) < 0;
		memccpy(before, s, 0, sizeof(before) - 1);
		canp_put_le32(len, (uint32_t)strlen(s));
		*crc = canp_simd.crc32(*crc, len, 4);
		*crc = canp_simd.crc32(*crc, s, strlen(s));
		n += 4 + strlen(s);
	}
	return n;
}

static size_t dict_text_linear(struct canp_pqw *w, uint8_t *out)
{
	char buf[32];
	size_t n = 0;

	for (uint32_t i = 0; i < w->c.dict_n; i++) {
		const char *s = dict_text(w, i, buf);
		size_t len = strlen(s);

		canp_put_le32(out + n, (uint32_t)len);
		memcpy(out + n + 4, s, len);
		n += 4 + len;
	}
	return n;
}

/* A string dictionary too large for one piece: header first, then entry by entry. */
static int dict_text_long(struct canp_pqw *w, uint64_t bytes, uint32_t crc)
{
	struct canp_pq_pagehdr h = {.type = CANP_PQ_DICT_PAGE,
				    .plain_bytes = (uint32_t)bytes,
				    .stored_bytes = (uint32_t)bytes,
				    .crc = crc,
				    .values = w->c.dict_n,
				    .sorted = w->c.sorted};
	uint8_t head[CANP_PQ_PAGEHDR_MAX], len[4];
	char buf[32];
	size_t hn;

	w->c.codec = CANP_PQ_NONE;
	if (!w->c.dict_pos) {
		if (!canp_pqw_room(w, sizeof(head)))
			return 1;
		hn = canp_pq_page_header(&h, head);
		canp_pqw_put(w, head, hn);
		w->c.dict_pos = hn;
		w->c.plain_total = w->c.stored_total = hn + bytes;
	}
	for (; w->c.dict_next < w->c.dict_n; w->c.dict_next++) {
		const char *s = dict_text(w, w->c.dict_next, buf);
		size_t n = strlen(s);

		if (!canp_pqw_room(w, 4 + n))
			return 1;
		canp_put_le32(len, (uint32_t)n);
		canp_pqw_put(w, len, 4);
		canp_pqw_put(w, s, n);
	}
	return 0;
}

/* Physical values of entries from..from+n into val[]. */
static void dict_portion(struct canp_pqw *w, const struct canp_pqleaf *l, uint32_t from, uint32_t n)
{
	struct canp_pqshared *sh = w->o.shared;

	if (l->kind != CANP_PQL_COL) {
		memcpy(sh->val, sh->keys + from, (size_t)n * 4);
	} else if (l->col->store == CANP_STORE_INDEX && w->c.exact) {
		canp_pqv_index(l, sh->order + from, n, sh->val);
	} else if (l->col->store == CANP_STORE_INDEX) {
		for (uint32_t i = 0; i < n; i++)
			sh->idx[i] = (uint16_t)(w->c.lo + from + i);
		canp_pqv_index(l, sh->idx, n, sh->val);
	} else if (l->col->store == CANP_STORE_U32) {
		uint32_t *raw = (uint32_t *)sh->raw;

		for (uint32_t i = 0; i < n; i++)
			raw[i] = (uint32_t)sh->wide[from + i];
		canp_pqv_convert(l, raw, n, sh->val);
	} else {
		canp_pqv_convert(l, sh->wide + from, n, sh->val);
	}
}

static size_t dict_values(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_pqshared *sh = w->o.shared;
	unsigned vw = canp_pqv_width(l->type);
	size_t len = 0;
	uint32_t n;

	w->c.sorted = true;
	/* The last entry of a portion is the first of the next, to be compared with it. */
	for (uint32_t i = 0; i < w->c.dict_n; i += n) {
		uint32_t back = i ? 1 : 0;

		n = canp_min(w->c.dict_n - i, DICT_PORTION);
		dict_portion(w, l, i - back, n + back);
		w->c.sorted &= canp_pqv_ascend(l, sh->val, n + back);
		memcpy(sh->page + len, (uint8_t *)sh->val + back * vw, (size_t)n * vw);
		len += (size_t)n * vw;
	}
	return len;
}

int canp_pqc_dict(struct canp_pqw *w)
{
	const struct canp_pqleaf *l = canp_pqc_leaf(w);
	uint32_t crc, stored;
	uint64_t n;

	if (w->c.enc != CANP_PQ_DICT)
		return 0;
	canp_pqc_keep_maps(w);
	if (!w->c.dict_off)
		w->c.dict_off = w->pos;
	if (l->type == CANP_PQ_BYTE_ARRAY) {
		n = dict_text_sum(w, &crc);
		if (n > DICT_LINEAR_MAX)
			return dict_text_long(w, n, crc);
		n = dict_text_linear(w, w->o.shared->page);
	} else {
		if (!canp_pqc_page_room(w, (uint64_t)w->c.dict_n * 8))
			return 1;
		n = dict_values(w, l);
	}
	return canp_pqc_put_page(w, CANP_PQ_DICT_PAGE, n, w->c.dict_n, &stored);
}
