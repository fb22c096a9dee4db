/*
 * sidetable_pq.c - a side table as one Parquet file. Same rules as the part writer: V1 pages with
 * CRC, REQUIRED or OPTIONAL leaves, bounds without NaN, page index, TYPE_ORDER. Everything is known
 * when writing starts, so there is no state machine: the control plane writes it in one go.
 *
 * Strings: dictionary in order of first use per row group when it has at most 65,536 entries and
 * 512 KiB, else PLAIN. Integers and times: DELTA when more than 25 % smaller, else PLAIN.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/side_priv.h"

#define SIDE_GROUP_ROWS 262144u
#define PAGE_ROWS       32768u
#define PAGE_BYTES      (512u * 1024u)
#define DICT_BYTES      (512u * 1024u)
#define DICT_ENTRIES    65536u
/* Small tables, written once: more effort would save nothing. */
#define SIDE_LEVEL 3
#define NO_ENTRY   UINT32_MAX

static void side_put(struct side_writer *w, const void *data, size_t len)
{
	if (w->err)
		return;
	if (w->sink->room(w->sink->arg) < len) {
		w->err = -ENOBUFS;
		return;
	}
	w->sink->put(w->sink->arg, data, len);
	w->pos += len;
}

/* Pieces for what may be longer than the sink's room. */
void canp_side_put_long(struct side_writer *w, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += 65536)
		side_put(w, data + at, canp_min(len - at, (size_t)65536));
}

static uint32_t put_page(struct side_writer *w, struct side_chunk *k, enum canp_pq_page type,
			 size_t n, uint64_t values)
{
	struct canp_pq_pagehdr h = {.type = type,
				    .encoding = k->enc,
				    .plain_bytes = (uint32_t)n,
				    .stored_bytes = (uint32_t)n,
				    .values = (uint32_t)values};
	const uint8_t *body = w->page;
	uint8_t head[CANP_PQ_PAGEHDR_MAX];
	size_t hn;

	if (w->codec != CANP_PQ_NONE) {
		CANP_ASSERT(canp_pqcodec_bound(n) <= CANP_BYTESINK_ROOM);
		body = w->comp;
		h.stored_bytes = canp_pqcodec_page(w->comp_state, w->codec, SIDE_LEVEL, w->page,
						   (uint32_t)n, w->comp);
	}
	h.crc = canp_simd.crc32(0, body, h.stored_bytes);
	hn = canp_pq_page_header(&h, head);
	side_put(w, head, hn);
	side_put(w, body, h.stored_bytes);
	k->plain += hn + n;
	k->stored += hn + h.stored_bytes;
	return (uint32_t)(hn + h.stored_bytes);
}

/* Numbers the texts of rows [r0, r0 + n) by first use. False: too many for a dictionary. */
static bool dict_build(struct side_writer *w, const struct side_col *c, uint64_t r0, uint64_t n,
		       struct side_chunk *k)
{
	struct canp_sidetable *t = w->t;
	bool fits = true;
	size_t bytes = 0;

	memset(w->entry, 0xff, t->nr_texts * sizeof(*w->entry));
	w->nr_entries = 0;
	for (uint64_t r = r0; r < r0 + n; r++) {
		const char *s;

		if (!c->valid[r])
			continue;
		s = t->texts[c->vals[r]];
		k->lo = !k->lo || strcmp(s, k->lo) < 0 ? s : k->lo;
		k->hi = !k->hi || strcmp(s, k->hi) > 0 ? s : k->hi;
		if (!fits || w->entry[c->vals[r]] != NO_ENTRY)
			continue;
		bytes += 4 + strlen(s);
		fits = w->nr_entries < DICT_ENTRIES && bytes <= DICT_BYTES;
		if (fits) {
			w->order[w->nr_entries] = (uint32_t)c->vals[r];
			w->entry[c->vals[r]] = w->nr_entries++;
		}
	}
	return fits && w->nr_entries;
}

static size_t put_text(uint8_t *out, const char *s)
{
	size_t n = strlen(s);

	canp_put_le32(out, (uint32_t)n);
	memcpy(out + 4, s, n);
	return 4 + n;
}

static void dict_write(struct side_writer *w, struct side_chunk *k)
{
	size_t n = 0;

	for (uint32_t i = 0; i < w->nr_entries; i++)
		n += put_text(w->page + n, w->t->texts[w->order[i]]);
	k->dict_off = w->pos;
	put_page(w, k, CANP_PQ_DICT_PAGE, n, w->nr_entries);
}

static size_t levels(const struct side_col *c, uint64_t r0, uint64_t n, uint8_t *out)
{
	uint8_t bits[PAGE_ROWS / 8 + 16] = {0};
	size_t len;

	for (uint64_t i = 0; i < n; i++)
		bits[i / 8] |= (uint8_t)(c->valid[r0 + i] << (i % 8));
	len = canp_pq_levels(bits, (uint32_t)n, out + 4);
	canp_put_le32(out, (uint32_t)len);
	return 4 + len;
}

static size_t body_dict(struct side_writer *w, uint64_t n, uint8_t *out)
{
	unsigned width = w->nr_entries <= 2 ? 1 : 32u - (unsigned)__builtin_clz(w->nr_entries - 1);
	struct canp_hybrid h = {0};
	size_t len = 0;

	out[len++] = (uint8_t)width;
	for (uint64_t i = 0; i < n; i++)
		len += canp_hybrid_repeat(&h, (uint16_t)w->entry[w->val[i]], 1, width, out + len);
	return len + canp_hybrid_finish(&h, width, out + len);
}

static size_t body_delta(struct side_writer *w, enum canp_pq_type type, uint64_t n, uint8_t *out)
{
	struct canp_delta d = {.is32 = type == CANP_PQ_INT32};
	uint8_t head[CANP_DELTA_HEAD];
	size_t len = 0, hn;

	for (uint64_t i = 0; i < n; i++) {
		int64_t v = d.is32 ? (int32_t)(uint32_t)w->val[i] : (int64_t)w->val[i];

		len += canp_delta_add(&d, &v, 1, out + CANP_DELTA_HEAD + len);
	}
	len += canp_delta_finish(&d, out + CANP_DELTA_HEAD + len);
	hn = canp_delta_head(&d, head);
	memcpy(out, head, hn);
	memmove(out + hn, out + CANP_DELTA_HEAD, len);
	return hn + len;
}

static size_t body_plain(struct side_writer *w, enum canp_pq_type type, uint64_t n, uint8_t *out)
{
	size_t len = 0;

	if (type == CANP_PQ_BYTE_ARRAY) {
		for (uint64_t i = 0; i < n; i++)
			len += put_text(out + len, w->t->texts[w->val[i]]);
		return len;
	}
	if (type != CANP_PQ_BOOLEAN)
		return canp_pqv_plain(type, w->val, (uint32_t)n, out);
	memset(out, 0, (n + 7) / 8);
	for (uint64_t i = 0; i < n; i++)
		out[i / 8] |= (uint8_t)((w->val[i] & 1) << (i % 8));
	return (n + 7) / 8;
}

/* Rows from r0 on that one page takes. */
static uint64_t page_rows(struct side_writer *w, const struct side_col *c,
			  const struct side_chunk *k, uint64_t r0, uint64_t end)
{
	uint64_t n = canp_min(end - r0, (uint64_t)PAGE_ROWS);
	size_t bytes = 0;

	if (c->type != CANP_SIDE_STRING || k->enc == CANP_PQ_DICT)
		return n;
	for (uint64_t i = 0; i < n; i++) {
		bytes += c->valid[r0 + i] ? 4 + strlen(w->t->texts[c->vals[r0 + i]]) : 0;
		if (bytes > PAGE_BYTES && i)
			return i;
	}
	return n;
}

static struct side_page *page_new(struct side_writer *w)
{
	if (w->nr_pages == w->cap_pages) {
		size_t cap = w->cap_pages ? w->cap_pages * 2 : 64;
		struct side_page *p = realloc(w->pages, cap * sizeof(*p));

		if (!p) {
			w->err = -ENOMEM;
			return NULL;
		}
		w->pages = p;
		w->cap_pages = cap;
	}
	memset(&w->pages[w->nr_pages], 0, sizeof(struct side_page));
	return &w->pages[w->nr_pages++];
}

/* Present values of rows [r0, r0 + n) into w->val; returns their number. */
static uint64_t gather(struct side_writer *w, const struct side_col *c, uint64_t r0, uint64_t n)
{
	uint64_t k = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (c->valid[r0 + i])
			w->val[k++] = c->vals[r0 + i];
	}
	return k;
}

static void page_write(struct side_writer *w, const struct side_col *c, struct side_chunk *k,
		       uint64_t r0, uint64_t n)
{
	enum canp_pq_type type = canp_side_type_of(c->type);
	uint64_t present = gather(w, c, r0, n);
	struct side_page *p = page_new(w);
	size_t len = 0;

	if (!p)
		return;
	p->off = w->pos;
	p->first_row = k->values;
	p->rows = n;
	p->nulls = n - present;
	if (type != CANP_PQ_BYTE_ARRAY) {
		for (uint64_t i = 0; i < present; i++)
			canp_pqmm_add(&p->mm, type, canp_side_unsigned(c->type), w->val[i]);
		canp_pqmm_join(&k->mm, type, canp_side_unsigned(c->type), &p->mm);
	}
	if (c->optional)
		len = levels(c, r0, n, w->page);
	if (k->enc == CANP_PQ_DICT)
		len += body_dict(w, present, w->page + len);
	else if (k->enc == CANP_PQ_DELTA)
		len += body_delta(w, type, present, w->page + len);
	else
		len += body_plain(w, type, present, w->page + len);
	p->stored = put_page(w, k, CANP_PQ_DATA_PAGE, len, n);
	k->values += n;
	k->nulls += p->nulls;
	k->nr_pages++;
}

/* DELTA against PLAIN over the rows of the group. */
static bool delta_wins(struct side_writer *w, const struct side_col *c, uint64_t r0, uint64_t n)
{
	enum canp_pq_type type = canp_side_type_of(c->type);
	uint64_t delta = 0, plain = 0;

	if (type != CANP_PQ_INT32 && type != CANP_PQ_INT64)
		return false;
	for (uint64_t r = r0; r < r0 + n; r += PAGE_ROWS) {
		uint64_t k = gather(w, c, r, canp_min(r0 + n - r, (uint64_t)PAGE_ROWS));

		delta += body_delta(w, type, k, w->page);
		plain += k * canp_pqv_width(type);
	}
	return plain && delta < plain - plain / 4;
}

static void chunk_write(struct side_writer *w, const struct side_col *c, struct side_chunk *k,
			uint64_t r0, uint64_t n)
{
	k->page0 = w->nr_pages;
	k->enc = CANP_PQ_PLAIN;
	if (c->type == CANP_SIDE_STRING) {
		if (dict_build(w, c, r0, n, k))
			k->enc = CANP_PQ_DICT;
	} else if (delta_wins(w, c, r0, n)) {
		k->enc = CANP_PQ_DELTA;
	}
	if (k->enc == CANP_PQ_DICT)
		dict_write(w, k);
	k->data_off = w->pos;
	for (uint64_t r = r0; r < r0 + n && !w->err;) {
		uint64_t rows = page_rows(w, c, k, r, r0 + n);

		page_write(w, c, k, r, rows);
		r += rows;
	}
}

/* Upper bound of the footer and of the longest index. */
static size_t meta_bound(const struct side_writer *w, size_t groups, const char *version,
			 const struct canp_side_kv *kv, uint32_t nr_kv)
{
	size_t n = 4096 + 2 * strlen(version) + 40 * w->nr_pages, leaf = 0;

	for (uint32_t i = 0; i < w->t->nr_cols; i++)
		leaf += 512 + strlen(w->t->cols[i].name);
	for (uint32_t i = 0; i < nr_kv; i++)
		n += 32 + strlen(kv[i].key) + strlen(kv[i].value);
	return n + leaf * (groups + 1);
}

static void write_all(struct side_writer *w, size_t groups, const char *version,
		      const struct canp_side_kv *kv, uint32_t nr_kv)
{
	uint8_t *mem, end[8];
	struct canp_tw t;
	size_t cap;

	side_put(w, "PAR1", 4);
	for (size_t i = 0; i < groups * w->t->nr_cols && !w->err; i++) {
		uint64_t r0 = i / w->t->nr_cols * SIDE_GROUP_ROWS;

		chunk_write(w, &w->t->cols[i % w->t->nr_cols], &w->chunks[i], r0,
			    canp_min(w->t->rows - r0, (uint64_t)SIDE_GROUP_ROWS));
	}
	if (w->err)
		return;
	cap = meta_bound(w, groups, version, kv, nr_kv);
	mem = malloc(cap);
	if (!mem) {
		w->err = -ENOMEM;
		return;
	}
	canp_side_indexes(w, groups * w->t->nr_cols, mem, cap);
	canp_tw_init(&t, mem, cap, 0);
	canp_side_footer(w, groups, version, kv, nr_kv, &t);
	if (t.full)
		w->err = -E2BIG;
	canp_side_put_long(w, mem, canp_tw_len(&t));
	canp_put_le32(end, (uint32_t)canp_tw_len(&t));
	memcpy(end + 4, "PAR1", 4);
	side_put(w, end, sizeof(end));
	free(mem);
}

int canp_sidetable_write_parquet(struct canp_sidetable *t, enum canp_pq_codec codec,
				 const char *version, const struct canp_side_kv *kv, uint32_t nr_kv,
				 const struct canp_bytesink *sink)
{
	struct side_writer w = {.t = t, .codec = codec, .sink = sink};
	size_t groups = (t->rows + SIDE_GROUP_ROWS - 1) / SIDE_GROUP_ROWS;
	void *codec_mem;

	w.chunks = calloc(groups * t->nr_cols + 1, sizeof(*w.chunks));
	w.entry = malloc((t->nr_texts + 1ul) * sizeof(*w.entry));
	w.order = malloc(DICT_ENTRIES * sizeof(*w.order));
	codec_mem = aligned_alloc(64, canp_pqcodec_bytes());
	if (codec_mem)
		w.comp_state = canp_pqcodec_init(codec_mem);
	w.page = malloc(CANP_BYTESINK_ROOM);
	w.comp = malloc(CANP_BYTESINK_ROOM);
	w.val = malloc(PAGE_ROWS * sizeof(*w.val));
	if (w.chunks && w.entry && w.order && codec_mem && w.page && w.comp && w.val)
		write_all(&w, groups, version, kv, nr_kv);
	else
		w.err = -ENOMEM;
	free(w.chunks);
	free(w.pages);
	free(w.entry);
	free(w.order);
	free(codec_mem);
	free(w.page);
	free(w.comp);
	free(w.val);
	return w.err;
}
