/*
 * pqread.c - see pqread.h. Slow and plain on purpose: every bit is taken one at a time, every
 * length is checked, the Thrift structs are parsed into a tree first. One file, because its parts
 * are steps of one walk through a Parquet file and what they hand on is nobody else's.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef CONFIG_CANP_ZSTD
#include <zstd.h>
#endif

#include "tests/lib/pqread.h"

struct node {
	int id, wire;
	int64_t i;
	const uint8_t *p; /* binary */
	size_t n;         /* binary length, list count */
	struct node *kids, *next;
};

struct mem {
	struct mem *next;
};

struct rd {
	const uint8_t *p, *end;
	struct pqread_file *f;
	bool bad;
};

static int fail(struct pqread_file *f, const char *fmt, ...)
{
	va_list ap;

	if (!f->error[0]) {
		va_start(ap, fmt);
		vsnprintf(f->error, sizeof(f->error), fmt, ap);
		va_end(ap);
	}
	return -1;
}

static void *keep(struct pqread_file *f, size_t n)
{
	struct mem *m = calloc(1, sizeof(*m) + n + 64);

	if (!m)
		abort();
	m->next = f->mem;
	f->mem = m;
	return m + 1;
}

/* ---- thrift -----------------------------------------------------------------------------------*/

static unsigned r_u8(struct rd *r)
{
	if (r->p >= r->end) {
		r->bad = true;
		return 0;
	}
	return *r->p++;
}

static uint64_t r_uleb(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned s = 0; s < 70; s += 7) {
		unsigned b = r_u8(r);

		v |= (uint64_t)(b & 127) << (s < 64 ? s : 0);
		if (b < 128)
			return v;
	}
	r->bad = true;
	return 0;
}

static int64_t r_zigzag(struct rd *r)
{
	uint64_t v = r_uleb(r);

	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static struct node *r_struct(struct rd *r, int depth);

static void r_value(struct rd *r, struct node *n, int depth)
{
	unsigned h, elem;
	struct node **tail;

	switch (n->wire) {
	case 1:
	case 2:
		n->i = n->wire == 1;
		break;
	case 3:
		n->i = (int8_t)r_u8(r);
		break;
	case 4:
	case 5:
	case 6:
		n->i = r_zigzag(r);
		break;
	case 8:
		n->n = r_uleb(r);
		n->p = r->p;
		if (n->n > (size_t)(r->end - r->p))
			r->bad = true;
		else
			r->p += n->n;
		break;
	case 9:
		h = r_u8(r);
		elem = h & 15;
		n->n = h >> 4 == 15 ? r_uleb(r) : h >> 4;
		tail = &n->kids;
		for (size_t i = 0; i < n->n && !r->bad; i++) {
			struct node *k = keep(r->f, sizeof(*k));

			k->wire = (int)elem;
			if (elem == 1 || elem == 2)
				k->i = r_u8(r) == 1;
			else
				r_value(r, k, depth + 1);
			*tail = k;
			tail = &k->next;
		}
		break;
	case 12:
		n->kids = r_struct(r, depth + 1);
		break;
	default:
		r->bad = true;
	}
}

static struct node *r_struct(struct rd *r, int depth)
{
	struct node *first = NULL, **tail = &first;
	int id = 0;

	if (depth > 12)
		r->bad = true;
	while (!r->bad) {
		unsigned h = r_u8(r);
		struct node *n;

		if (!h)
			break;
		n = keep(r->f, sizeof(*n));
		id = h >> 4 ? id + (int)(h >> 4) : (int)r_zigzag(r);
		n->id = id;
		n->wire = (int)(h & 15);
		r_value(r, n, depth);
		*tail = n;
		tail = &n->next;
	}
	return first;
}

static const struct node *get(const struct node *s, int id)
{
	for (; s; s = s->next) {
		if (s->id == id)
			return s;
	}
	return NULL;
}

static int64_t geti(const struct node *s, int id, int64_t dflt)
{
	const struct node *n = get(s, id);

	return n ? n->i : dflt;
}

static const struct node *kids(const struct node *s, int id)
{
	const struct node *n = get(s, id);

	return n ? n->kids : NULL;
}

/* ---- decoders ---------------------------------------------------------------------------------*/

static uint64_t bits_at(const uint8_t *p, size_t bit, unsigned w)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < w; i++)
		v |= (uint64_t)(p[(bit + i) / 8] >> ((bit + i) % 8) & 1) << i;
	return v;
}

int pqread_hybrid(const uint8_t *p, size_t len, unsigned w, uint64_t *out, size_t n)
{
	struct pqread_file f = {0};
	struct rd r = {.p = p, .end = p + len, .f = &f};
	size_t i = 0, vb = (w + 7) / 8;

	while (i < n) {
		uint64_t h = r_uleb(&r), cnt = h >> 1;

		if (r.bad || !cnt)
			return -1;
		if (h & 1) {
			if ((size_t)(r.end - r.p) < cnt * w)
				return -1;
			if (cnt * 8 > n - i && cnt * 8 - (n - i) >= 8)
				return -1; /* more padding than one group */
			for (uint64_t k = 0; k < cnt * 8; k++) {
				uint64_t v = bits_at(r.p, k * w, w);

				if (i < n)
					out[i++] = v;
				else if (v)
					return -1; /* padding is zero */
			}
			r.p += cnt * w;
		} else {
			uint64_t v = 0;

			if (cnt > n - i || (size_t)(r.end - r.p) < vb)
				return -1;
			for (size_t b = 0; b < vb; b++)
				v |= (uint64_t)r.p[b] << (8 * b);
			r.p += vb;
			if (w < 64 && v >> w)
				return -1;
			while (cnt--)
				out[i++] = v;
		}
	}
	return r.p == r.end ? 0 : -1;
}

int pqread_delta(const uint8_t *p, size_t len, bool is32, uint64_t *out, size_t n)
{
	struct pqread_file f = {0};
	struct rd r = {.p = p, .end = p + len, .f = &f};
	uint64_t block = r_uleb(&r), minis = r_uleb(&r), total = r_uleb(&r), per;
	uint64_t v = (uint64_t)r_zigzag(&r);
	size_t i = 0;

	if (r.bad || total != n || !block || block % 128 || !minis || block / minis % 32)
		return -1;
	per = block / minis;
	if (n)
		out[i++] = is32 ? (uint32_t)v : v;
	while (i < n) {
		uint64_t min = (uint64_t)r_zigzag(&r);
		const uint8_t *w = r.p;

		if (r.bad || (size_t)(r.end - r.p) < minis)
			return -1;
		r.p += minis;
		for (uint64_t m = 0; m < minis; m++) {
			if (i >= n) {
				if (w[m])
					return -1;
				continue;
			}
			if (w[m] > (is32 ? 32 : 64) || (size_t)(r.end - r.p) < per * w[m] / 8)
				return -1;
			for (uint64_t k = 0; k < per && i < n; k++) {
				v += min + bits_at(r.p, k * w[m], w[m]);
				out[i++] = is32 ? (uint32_t)v : v;
			}
			r.p += per * w[m] / 8;
		}
	}
	return r.p == r.end ? 0 : -1;
}

/* ---- values and bounds ------------------------------------------------------------------------*/

static double f64_of(int type, uint64_t b)
{
	double d;
	float f;
	uint32_t u = (uint32_t)b;

	if (type == 4) {
		memcpy(&f, &u, 4);
		return (double)f;
	}
	memcpy(&d, &b, 8);
	return d;
}

static unsigned width_of(int type)
{
	return type == 0 ? 1 : type == 1 || type == 4 ? 4 : 8;
}

static bool is_unsigned(const struct pqread_col *c)
{
	return c->converted >= 11 && c->converted <= 14;
}

static int cmp_val(const struct pqread_col *c, struct pqread_val a, struct pqread_val b)
{
	int64_t x = (int64_t)a.bits, y = (int64_t)b.bits;
	size_t n;
	int r;

	if (c->type == 6) {
		n = a.bits < b.bits ? a.bits : b.bits;
		r = memcmp(a.ptr, b.ptr, n);
		return r ? r : a.bits < b.bits ? -1 : a.bits > b.bits;
	}
	if (c->type == 4 || c->type == 5) {
		double d = f64_of(c->type, a.bits), e = f64_of(c->type, b.bits);

		return d < e ? -1 : d > e;
	}
	if (c->type == 1 && !is_unsigned(c)) {
		x = (int32_t)x;
		y = (int32_t)y;
	} else if (c->type != 2 || is_unsigned(c)) {
		return a.bits < b.bits ? -1 : a.bits > b.bits;
	}
	return x < y ? -1 : x > y;
}

static bool val_nan(const struct pqread_col *c, struct pqread_val v)
{
	return (c->type == 4 || c->type == 5) && isnan(f64_of(c->type, v.bits));
}

struct bounds {
	struct pqread_val min, max;
	bool any, nan;
	uint64_t nulls;
};

static struct bounds brute(const struct pqread_col *c, const struct pqread_val *v, uint64_t n)
{
	struct bounds b = {0};

	for (uint64_t i = 0; i < n; i++) {
		if (v[i].null) {
			b.nulls++;
			continue;
		}
		if (val_nan(c, v[i])) {
			b.nan = true;
			continue;
		}
		if (!b.any || cmp_val(c, v[i], b.min) < 0)
			b.min = v[i];
		if (!b.any || cmp_val(c, v[i], b.max) > 0)
			b.max = v[i];
		b.any = true;
	}
	return b;
}

static struct pqread_val val_of(const struct pqread_col *c, const struct node *n)
{
	struct pqread_val v = {0};

	if (c->type == 6) {
		v.ptr = n->p;
		v.bits = n->n;
	} else {
		memcpy(&v.bits, n->p, n->n < 8 ? n->n : 8);
	}
	return v;
}

/* A stated bound equals what the data says, to the sign of zero. */
static bool bound_ok(const struct pqread_col *c, const struct node *n, struct pqread_val want,
		     bool is_max)
{
	struct pqread_val v;

	if (c->type != 6 && n->n != width_of(c->type))
		return false;
	v = val_of(c, n);
	if (val_nan(c, v) || cmp_val(c, v, want))
		return false;
	if ((c->type == 4 || c->type == 5) && f64_of(c->type, v.bits) == 0.0)
		return !signbit(f64_of(c->type, v.bits)) == is_max;
	return true;
}

/* ---- chunks -----------------------------------------------------------------------------------*/

struct chunk {
	struct pqread_file *f;
	struct pqread_col *c;
	const uint8_t *data;
	size_t len;
	const struct node *md;
	int codec;
	struct pqread_val *dict;
	uint64_t dict_n;
	uint64_t rows; /* of the row group */
	struct pqread_val *out;
	uint64_t done;
	uint32_t pages;
	struct {
		uint64_t off, first_row;
		uint32_t size, rows;
	} page[2200];
};

static const uint8_t *inflate_body(struct chunk *k, const uint8_t *p, size_t n, size_t want)
{
	uint8_t *out = keep(k->f, want + 1);
	z_stream z = {0};
	int rc;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return NULL;
	z.next_in = (uint8_t *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = out;
	z.avail_out = (uInt)want + 1;
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return rc == Z_STREAM_END && z.total_out == want && !z.avail_in ? out : NULL;
}

static const uint8_t *zstd_body(struct chunk *k, const uint8_t *p, size_t n, size_t want)
{
#ifdef CONFIG_CANP_ZSTD
	uint8_t *out = keep(k->f, want + 1);

	return ZSTD_decompress(out, want + 1, p, n) == want ? out : NULL;
#else
	(void)k;
	(void)p;
	(void)n;
	(void)want;
	return NULL;
#endif
}

/* PLAIN values; returns the bytes used or -1. */
static long plain_vals(int type, const uint8_t *p, size_t len, struct pqread_val *out, uint64_t n)
{
	size_t pos = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct pqread_val v = {0};
		unsigned w = width_of(type);
		uint32_t sl;

		if (type == 0) {
			if (i / 8 >= len)
				return -1;
			v.bits = p[i / 8] >> (i % 8) & 1;
			pos = i / 8 + 1;
		} else if (type == 6) {
			if (len - pos < 4)
				return -1;
			memcpy(&sl, p + pos, 4);
			if (len - pos - 4 < sl)
				return -1;
			v.ptr = p + pos + 4;
			v.bits = sl;
			pos += 4 + sl;
		} else {
			if (len - pos < w)
				return -1;
			memcpy(&v.bits, p + pos, w);
			pos += w;
		}
		out[i] = v;
	}
	return (long)pos;
}

static int data_values(struct chunk *k, int enc, const uint8_t *p, size_t len,
		       struct pqread_val *out, uint64_t n)
{
	uint64_t *u = keep(k->f, n * 8);

	if (enc == 0)
		return plain_vals(k->c->type, p, len, out, n) == (long)len ? 0 : -1;
	if (enc == 5) {
		if (pqread_delta(p, len, k->c->type == 1, u, n))
			return -1;
		for (uint64_t i = 0; i < n; i++)
			out[i] = (struct pqread_val){.bits = u[i]};
		return 0;
	}
	if (enc != 8 || !len || !k->dict || p[0] > 32 || pqread_hybrid(p + 1, len - 1, p[0], u, n))
		return -1;
	for (uint64_t i = 0; i < n; i++) {
		if (u[i] >= k->dict_n)
			return -1;
		out[i] = k->dict[u[i]];
	}
	return 0;
}

static int data_page(struct chunk *k, const struct node *h, const uint8_t *body, size_t len)
{
	const struct node *d = kids(h, 5);
	uint64_t n = (uint64_t)geti(d, 1, -1), nn = n, at = 0;
	int enc = (int)geti(d, 2, -1);
	uint64_t *def = keep(k->f, n * 8);
	struct pqread_val *vals = keep(k->f, n * sizeof(*vals));
	uint32_t ll;

	if (!n || n > k->rows - k->done || geti(d, 3, -1) != 3 || geti(d, 4, -1) != 3)
		return fail(k->f, "%s: data page header", k->c->name);
	if (k->c->repetition == 1) {
		if (len < 4)
			return fail(k->f, "%s: no levels", k->c->name);
		memcpy(&ll, body, 4);
		if (ll > len - 4 || pqread_hybrid(body + 4, ll, 1, def, n))
			return fail(k->f, "%s: definition levels", k->c->name);
		body += 4 + ll;
		len -= 4 + ll;
		nn = 0;
		for (uint64_t i = 0; i < n; i++)
			nn += def[i];
	}
	if (data_values(k, enc, body, len, vals, nn))
		return fail(k->f, "%s: values, encoding %d, %zu bytes, %zu values", k->c->name, enc,
			    len, (size_t)nn);
	for (uint64_t i = 0; i < n; i++) {
		if (k->c->repetition == 1 && !def[i])
			k->out[k->done + i] = (struct pqread_val){.null = true};
		else
			k->out[k->done + i] = vals[at++];
	}
	k->c->first_encoding = k->c->first_encoding < 0 ? enc : k->c->first_encoding;
	k->done += n;
	return 0;
}

static int dict_page(struct chunk *k, const struct node *h, const uint8_t *body, size_t len)
{
	const struct node *d = kids(h, 7);

	k->dict_n = (uint64_t)geti(d, 1, -1);
	if (k->dict || geti(d, 2, -1) != 0 || !k->dict_n || k->dict_n > len)
		return fail(k->f, "%s: dictionary header", k->c->name);
	k->dict = keep(k->f, k->dict_n * sizeof(*k->dict));
	if (plain_vals(k->c->type, body, len, k->dict, k->dict_n) != (long)len)
		return fail(k->f, "%s: dictionary size", k->c->name);
	if (geti(d, 3, 0)) {
		for (uint64_t i = 1; i < k->dict_n; i++) {
			if (cmp_val(k->c, k->dict[i - 1], k->dict[i]) >= 0)
				return fail(k->f, "%s: is_sorted is wrong", k->c->name);
		}
	}
	return 0;
}

static int page(struct chunk *k, uint64_t *off, uint64_t end, uint64_t *plain)
{
	struct rd r = {.p = k->data + *off, .end = k->data + end, .f = k->f};
	const struct node *h = r_struct(&r, 0);
	uint64_t us = (uint64_t)geti(h, 2, -1), cs = (uint64_t)geti(h, 3, -1), start = *off;
	uint64_t hl = (uint64_t)(r.p - (k->data + *off));
	const uint8_t *body = r.p;
	int type = (int)geti(h, 1, -1);
	int rc;

	if (r.bad || cs > end - *off - hl || (uint32_t)geti(h, 4, 0) != crc32(0, body, (uInt)cs))
		return fail(k->f, "%s: page at %zu: header or CRC", k->c->name, (size_t)*off);
	if (k->codec == 2)
		body = inflate_body(k, body, cs, us);
	else if (k->codec == 6)
		body = zstd_body(k, body, cs, us);
	else if (us != cs)
		return fail(k->f, "%s: sizes differ without codec", k->c->name);
	if (!body)
		return fail(k->f, "%s: codec", k->c->name);
	*off += hl + cs;
	*plain += hl + us;
	if (type == 2)
		return k->pages ? fail(k->f, "%s: late dictionary", k->c->name)
				: dict_page(k, h, body, us);
	if (type != 0 || k->pages >= 2200)
		return fail(k->f, "%s: page type %d", k->c->name, type);
	k->page[k->pages].off = start;
	k->page[k->pages].size = (uint32_t)(*off - start);
	k->page[k->pages].first_row = k->done;
	rc = data_page(k, h, body, us);
	k->page[k->pages].rows = (uint32_t)(k->done - k->page[k->pages].first_row);
	k->pages++;
	return rc;
}

static int check_stats(struct chunk *k, const struct node *st, const struct bounds *b)
{
	const struct node *max = get(st, 5), *min = get(st, 6);

	if ((uint64_t)geti(st, 3, -1) != b->nulls)
		return fail(k->f, "%s: null_count", k->c->name);
	if (!max != !min || (max && (!b->any || b->nan)))
		return fail(k->f, "%s: bounds without values or with NaN", k->c->name);
	if (max && (!bound_ok(k->c, max, b->max, true) || !bound_ok(k->c, min, b->min, false)))
		return fail(k->f, "%s: min/max differ from the data", k->c->name);
	return 0;
}

static int check_column_index(struct chunk *k, const struct node *cc)
{
	const struct node *nul, *min, *max, *cnt, *ix;
	struct pqread_val pmin = {0}, pmax = {0};
	bool have = false;
	uint64_t off = (uint64_t)geti(cc, 6, 0), len = (uint64_t)geti(cc, 7, 0);
	struct rd r = {.p = k->data + off, .end = k->data + off + len, .f = k->f};
	int64_t order;

	if (!get(cc, 6))
		return 0;
	if (off > k->len || len > k->len - off)
		return fail(k->f, "%s: column index place", k->c->name);
	ix = r_struct(&r, 0);
	order = geti(ix, 4, -1);
	if (r.bad || r.p != r.end || !get(ix, 1) || get(ix, 1)->n != k->pages ||
	    get(ix, 2)->n != k->pages || get(ix, 3)->n != k->pages || get(ix, 5)->n != k->pages)
		return fail(k->f, "%s: column index", k->c->name);
	nul = kids(ix, 1);
	min = kids(ix, 2);
	max = kids(ix, 3);
	cnt = kids(ix, 5);
	for (uint32_t i = 0; i < k->pages; i++) {
		struct bounds b = brute(k->c, k->out + k->page[i].first_row, k->page[i].rows);

		if (nul->i != (b.nulls == k->page[i].rows) || (uint64_t)cnt->i != b.nulls || b.nan)
			return fail(k->f, "%s: column index page %u", k->c->name, i);
		if (nul->i) {
			if (min->n || max->n)
				return fail(k->f, "%s: null page has bounds", k->c->name);
		} else {
			if (!bound_ok(k->c, min, b.min, false) || !bound_ok(k->c, max, b.max, true))
				return fail(k->f, "%s: page %u bounds", k->c->name, i);
			if (have && order == 1 &&
			    (cmp_val(k->c, pmin, b.min) > 0 || cmp_val(k->c, pmax, b.max) > 0))
				return fail(k->f, "%s: not ascending", k->c->name);
			if (have && order == 2 &&
			    (cmp_val(k->c, pmin, b.min) < 0 || cmp_val(k->c, pmax, b.max) < 0))
				return fail(k->f, "%s: not descending", k->c->name);
			pmin = b.min;
			pmax = b.max;
			have = true;
		}
		nul = nul->next;
		min = min->next;
		max = max->next;
		cnt = cnt->next;
	}
	return 0;
}

static int check_offset_index(struct chunk *k, const struct node *cc)
{
	uint64_t off = (uint64_t)geti(cc, 4, 0), len = (uint64_t)geti(cc, 5, 0);
	struct rd r = {.p = k->data + off, .end = k->data + off + len, .f = k->f};
	const struct node *ix, *l;

	if (!get(cc, 4) || off > k->len || len > k->len - off)
		return fail(k->f, "%s: offset index place", k->c->name);
	ix = r_struct(&r, 0);
	if (r.bad || r.p != r.end || get(ix, 1)->n != k->pages)
		return fail(k->f, "%s: offset index", k->c->name);
	l = kids(ix, 1);
	for (uint32_t i = 0; i < k->pages; i++, l = l->next) {
		if ((uint64_t)geti(l->kids, 1, -1) != k->page[i].off ||
		    (uint64_t)geti(l->kids, 2, -1) != k->page[i].size ||
		    (uint64_t)geti(l->kids, 3, -1) != k->page[i].first_row)
			return fail(k->f, "%s: offset index page %u", k->c->name, i);
	}
	return 0;
}

static int check_encodings(struct chunk *k, const struct node *md)
{
	bool dict = false, plain = false, rle = false, data = false;
	const struct node *es = kids(md, 13);
	uint64_t pages = 0;

	for (const struct node *e = kids(md, 2); e; e = e->next) {
		dict |= e->i == 8;
		plain |= e->i == 0;
		rle |= e->i == 3;
		data |= e->i == k->c->first_encoding || k->c->first_encoding < 0;
	}
	for (; es; es = es->next)
		pages += (uint64_t)geti(es->kids, 3, 0);
	if (dict != (k->dict != NULL) || (k->dict && !plain) || rle != (k->c->repetition == 1) ||
	    pages != k->pages + (k->dict != NULL))
		return fail(k->f, "%s: encodings", k->c->name);
	return 0;
}

/* One column chunk; *pos is where it must begin and gets where it ends. */
static int chunk(struct chunk *k, const struct node *cc, uint64_t *pos, uint64_t *us, uint64_t *cs)
{
	const struct node *md = kids(cc, 3), *path = kids(md, 3);
	uint64_t total = (uint64_t)geti(md, 7, -1), plain = 0, at, end;
	uint64_t doff = (uint64_t)geti(md, 11, 0), data = (uint64_t)geti(md, 9, -1);
	struct bounds b;

	k->codec = (int)geti(md, 4, -1);
	at = doff ? doff : data;
	end = at + total;
	if (geti(md, 1, -1) != k->c->type || !path || path->n != strlen(k->c->name) ||
	    memcmp(path->p, k->c->name, path->n) || at != *pos || end > k->len ||
	    (uint64_t)geti(md, 5, -1) != k->rows)
		return fail(k->f, "%s: column metadata (at %zu, expected %zu)", k->c->name,
			    (size_t)at, (size_t)*pos);
	k->c->first_encoding = -1;
	while (at < end) {
		if (k->pages == 0 && k->dict && at != data)
			return fail(k->f, "%s: data_page_offset", k->c->name);
		if (page(k, &at, end, &plain))
			return -1;
	}
	if (at != end || k->done != k->rows || plain != (uint64_t)geti(md, 6, -1) ||
	    (doff != 0) != (k->dict != NULL))
		return fail(k->f, "%s: chunk sizes", k->c->name);
	b = brute(k->c, k->out, k->rows);
	if (check_stats(k, kids(md, 12), &b) || check_column_index(k, cc) ||
	    check_offset_index(k, cc) || check_encodings(k, md))
		return -1;
	*pos = end;
	*us += plain;
	*cs += total;
	return 0;
}

static int group(struct pqread_file *f, const uint8_t *data, size_t len, const struct node *g,
		 uint32_t gi, uint64_t row0, uint64_t *pos)
{
	uint64_t us = 0, cs = 0, rows = (uint64_t)geti(g, 3, -1), start = *pos;
	const struct node *cc = kids(g, 1), *sort = kids(g, 4);

	for (uint32_t i = 0; i < f->nr_cols; i++, cc = cc->next) {
		struct chunk *k = keep(f, sizeof(*k));
		int enc = f->cols[i].first_encoding;

		if (!cc)
			return fail(f, "row group %u: columns missing", gi);
		k->f = f;
		k->c = &f->cols[i];
		k->data = data;
		k->len = len;
		k->rows = rows;
		k->out = f->cols[i].vals + row0;
		if (chunk(k, cc->kids, pos, &us, &cs))
			return -1;
		f->cols[i].pages += k->pages;
		if (gi == 0) {
			f->cols[i].dict_entries = k->dict_n;
			f->cols[i].has_stats = get(kids(kids(cc->kids, 3), 12), 5) != NULL;
			f->cols[i].has_index = get(cc->kids, 6) != NULL;
		} else {
			f->cols[i].first_encoding = enc;
		}
	}
	if ((uint64_t)geti(g, 2, -1) != us || (uint64_t)geti(g, 6, -1) != cs ||
	    (uint64_t)geti(g, 5, -1) != start || geti(g, 7, -1) != gi)
		return fail(f, "row group %u: totals", gi);
	f->group_rows[gi] = rows;
	f->group_sorted[gi] = sort != NULL;
	if (sort) {
		const struct pqread_val *v = f->cols[geti(sort->kids, 1, 0)].vals + row0;

		for (uint64_t i = 1; i < rows; i++) {
			if ((int64_t)v[i - 1].bits > (int64_t)v[i].bits)
				return fail(f, "row group %u: not sorted", gi);
		}
	}
	return 0;
}

static int schema(struct pqread_file *f, const struct node *list)
{
	const struct node *e = list ? list->kids : NULL;

	if (!e || list->n < 2 || geti(e->kids, 5, -1) != (int64_t)list->n - 1)
		return fail(f, "schema root");
	f->nr_cols = (uint32_t)list->n - 1;
	f->cols = keep(f, f->nr_cols * sizeof(*f->cols));
	e = e->next;
	for (uint32_t i = 0; i < f->nr_cols; i++, e = e->next) {
		const struct node *name = get(e->kids, 4), *lt = kids(e->kids, 10);
		struct pqread_col *c = &f->cols[i];

		if (!name || name->n >= sizeof(c->name))
			return fail(f, "schema name");
		memcpy(c->name, name->p, name->n);
		c->type = (int)geti(e->kids, 1, -1);
		c->repetition = (int)geti(e->kids, 3, -1);
		c->converted = (int)geti(e->kids, 6, -1);
		c->logical = lt ? lt->id : 0;
		c->vals = keep(f, f->rows * sizeof(*c->vals));
	}
	return 0;
}

static void key_values(struct pqread_file *f, const struct node *kv)
{
	for (; kv && f->nr_kv < 32; kv = kv->next) {
		const struct node *k = get(kv->kids, 1), *v = get(kv->kids, 2);

		if (!k || !v || k->n >= sizeof(f->kv[0].key))
			continue;
		memcpy(f->kv[f->nr_kv].key, k->p, k->n);
		f->kv[f->nr_kv].key[k->n] = 0;
		f->kv[f->nr_kv].value = keep(f, v->n + 1);
		memcpy(f->kv[f->nr_kv++].value, v->p, v->n);
	}
}

int pqread(const uint8_t *data, size_t len, struct pqread_file *f)
{
	const struct node *md, *g, *orders;
	struct rd r = {.f = f};
	uint64_t pos = 4, row0 = 0;
	uint32_t fl;

	memset(f, 0, sizeof(*f));
	if (len < 12 || memcmp(data, "PAR1", 4) || memcmp(data + len - 4, "PAR1", 4))
		return fail(f, "magic");
	memcpy(&fl, data + len - 8, 4);
	if (fl > len - 12)
		return fail(f, "footer length");
	r.p = data + len - 8 - fl;
	r.end = data + len - 8;
	md = r_struct(&r, 0);
	if (r.bad || r.p != r.end || geti(md, 1, 0) != 1)
		return fail(f, "footer");
	f->rows = (uint64_t)geti(md, 3, -1);
	if (f->rows > (1u << 28) || schema(f, get(md, 2)))
		return fail(f, "schema");
	key_values(f, kids(md, 5));
	orders = get(md, 7);
	if (!orders || orders->n != f->nr_cols)
		return fail(f, "column orders");
	for (g = kids(md, 4); g; g = g->next) {
		uint64_t rows = (uint64_t)geti(g->kids, 3, -1);

		if (!rows || rows > f->rows - row0 || f->nr_groups >= 1100)
			return fail(f, "row group rows");
		if (group(f, data, len, g->kids, f->nr_groups, row0, &pos))
			return -1;
		f->nr_groups++;
		row0 += rows;
	}
	if (row0 != f->rows)
		return fail(f, "rows of groups do not add up");
	return f->error[0] ? -1 : 0;
}

void pqread_free(struct pqread_file *f)
{
	struct mem *m = f->mem;

	while (m) {
		struct mem *next = m->next;

		free(m);
		m = next;
	}
	f->mem = NULL;
}

const struct pqread_col *pqread_find(const struct pqread_file *f, const char *name)
{
	for (uint32_t i = 0; i < f->nr_cols; i++) {
		if (!strcmp(f->cols[i].name, name))
			return &f->cols[i];
	}
	return NULL;
}

const char *pqread_kv(const struct pqread_file *f, const char *key)
{
	for (uint32_t i = 0; i < f->nr_kv; i++) {
		if (!strcmp(f->kv[i].key, key))
			return f->kv[i].value;
	}
	return NULL;
}
