/*
 * pqgen.c - see pqgen.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/pqgen.h"

uint64_t pqgen_u64(struct pqgen_rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Bit positions of a signal, least significant first, as 8 * byte + bit. */
static void positions(const struct canp_col *c, uint16_t *pos)
{
	unsigned p = c->start_bit;

	for (unsigned i = 0; i < c->raw_bits; i++) {
		if (!c->big_endian) {
			pos[i] = (uint16_t)(p + i);
			continue;
		}
		pos[c->raw_bits - 1 - i] = (uint16_t)p;
		p = p % 8 ? p - 1 : p + 15;
	}
}

/* Window and shift as a plan would choose them: eight bytes that hold the signal. */
static void place(struct pqgen *g, struct canp_col *c)
{
	unsigned max = g->table.payload_max, lo = 255, hi = 0, off, w;
	uint16_t pos[64];

	positions(c, pos);
	for (unsigned i = 0; i < c->raw_bits; i++) {
		unsigned b = pos[i] / 8;

		lo = b < lo ? b : lo;
		hi = b > hi ? b : hi;
	}
	c->need = (uint8_t)(hi + 1);
	c->wide = hi - lo >= 8;
	if (c->wide)
		return;
	off = lo < max - 8 ? lo : max - 8;
	for (w = 0; w < g->table.nr_wins; w++) {
		if (g->wins[w].off == off && g->wins[w].be == c->big_endian)
			break;
	}
	if (w == g->table.nr_wins)
		g->wins[g->table.nr_wins++] =
			(struct canp_window){.off = (uint8_t)off, .be = c->big_endian};
	c->win = (uint8_t)w;
	c->shift = (uint8_t)(c->big_endian ? (off + 7 - pos[0] / 8) * 8 + pos[0] % 8
					   : pos[0] - off * 8);
}

static void scale(struct pqgen *g, struct canp_col *c)
{
	static const double factors[] = {1, 1, 0.125, 0.01, -0.5, 1e-3, 3, -2};
	static const double offsets[] = {0, 0, -40, 0.1, 1000, -3, -125, 7};
	unsigned f = pqgen_below(&g->rng, 8), o = pqgen_below(&g->rng, 8);

	c->factor = factors[f];
	c->offset = offsets[o];
	if (c->is_float) {
		c->type = c->is_float == 32 && f < 2 && o < 2 ? CANP_COL_F32 : CANP_COL_F64;
		return;
	}
	c->integral =
		c->factor == (int)c->factor && c->offset == (int)c->offset && c->raw_bits <= 60;
	c->type = CANP_COL_F64;
	if (!c->integral)
		return;
	c->ifactor = (int64_t)c->factor;
	c->ioffset = (int64_t)c->offset;
	if (c->raw_bits == 1 && f < 2 && o < 2 && !c->is_signed)
		c->type = CANP_COL_BOOL;
	else if (!c->is_signed && c->ifactor > 0 && c->ioffset >= 0)
		c->type = c->raw_bits <= 6    ? CANP_COL_U16
			  : c->raw_bits <= 28 ? CANP_COL_U32
					      : CANP_COL_U64;
	else
		c->type = c->raw_bits <= 7    ? CANP_COL_I16
			  : c->raw_bits <= 28 ? CANP_COL_I32
					      : CANP_COL_I64;
}

static void signal_col(struct pqgen *g, uint32_t i)
{
	struct canp_col *c = &g->cols[i];
	unsigned bits = g->table.payload_max * 8u, len;

	len = pqgen_below(&g->rng, 3) ? 1 + pqgen_below(&g->rng, 16) : 1 + pqgen_below(&g->rng, 64);
	if (len > bits)
		len = bits;
	c->src = CANP_SRC_SIGNAL;
	c->is_signed = pqgen_below(&g->rng, 2);
	c->big_endian = pqgen_below(&g->rng, 2);
	if (pqgen_below(&g->rng, 10) == 0) {
		len = 16u << pqgen_below(&g->rng, 3);
		c->is_float = (uint8_t)len;
		c->is_signed = true;
	}
	c->raw_bits = (uint8_t)len;
	for (;;) { /* until it fits the payload */
		uint16_t pos[64];
		bool ok = true;

		c->start_bit = (uint16_t)pqgen_below(&g->rng, bits);
		positions(c, pos);
		for (unsigned k = 0; k < len; k++)
			ok &= pos[k] < bits;
		if (ok)
			break;
	}
	place(g, c);
	scale(g, c);
	c->store = len <= 16 ? CANP_STORE_INDEX : len <= 32 ? CANP_STORE_U32 : CANP_STORE_U64;
	c->mux_parent = -1;
}

/* Column 0 selects, column 1 selects in turn and depends on 0; the rest hang below either. */
static void make_mux(struct pqgen *g, uint32_t i)
{
	struct canp_col *c = &g->cols[i];

	if (i < 2) {
		memset(c, 0, sizeof(*c));
		c->src = CANP_SRC_SIGNAL;
		c->raw_bits = i ? 3 : 2;
		c->start_bit = (uint16_t)(i * 2);
		place(g, c);
		c->factor = 1;
		c->integral = true;
		c->ifactor = 1;
		c->type = CANP_COL_U8;
		c->mux_parent = i ? 0 : -1;
		c->hidden = i == 1 && pqgen_below(&g->rng, 2);
	} else if (pqgen_below(&g->rng, 5)) {
		c->mux_parent = (int32_t)pqgen_below(&g->rng, 2);
	}
	if (c->mux_parent < 0)
		return;
	c->nr_mux = 1 + pqgen_below(&g->rng, 2);
	c->mux = g->mux[i];
	for (uint32_t k = 0; k < c->nr_mux; k++) {
		g->mux[i][k].lo = pqgen_below(&g->rng, c->mux_parent ? 8 : 4);
		g->mux[i][k].hi = g->mux[i][k].lo + pqgen_below(&g->rng, 2);
	}
}

static void raw_cols(struct pqgen *g)
{
	static const struct {
		const char *name;
		enum canp_colsrc src;
		enum canp_coltype type;
		enum canp_colstore store;
		uint8_t bits, shift;
	} def[] = {
		{"id", CANP_SRC_ID, CANP_COL_U32, CANP_STORE_U32, 32, 0},
		{"sa", CANP_SRC_SA, CANP_COL_U8, CANP_STORE_INDEX, 8, 0},
		{"ext", CANP_SRC_FLAG, CANP_COL_BOOL, CANP_STORE_INDEX, 1, 0},
		{"brs", CANP_SRC_FLAG, CANP_COL_BOOL, CANP_STORE_INDEX, 1, 5},
		{"dlc", CANP_SRC_DLC, CANP_COL_U8, CANP_STORE_INDEX, 8, 0},
		{"len", CANP_SRC_LEN, CANP_COL_U8, CANP_STORE_INDEX, 8, 0},
		{"data", CANP_SRC_DATA, CANP_COL_BYTES, CANP_STORE_BYTES, 8, 0},
	};

	g->table.nr_cols = sizeof(def) / sizeof(def[0]);
	for (uint32_t i = 0; i < g->table.nr_cols; i++) {
		struct canp_col *c = &g->cols[i];

		snprintf(g->names[i], sizeof(g->names[i]), "%s", def[i].name);
		c->src = def[i].src;
		c->type = def[i].type;
		c->store = def[i].store;
		c->raw_bits = def[i].bits;
		c->shift = def[i].shift;
		c->factor = 1;
		c->ifactor = 1;
		c->integral = true;
		c->mux_parent = -1;
	}
}

void pqgen_init(struct pqgen *g, uint64_t seed, enum canp_rec_class cls, enum pqgen_kind kind,
		uint32_t nr_cols)
{
	struct canp_table *t = &g->table;

	memset(g, 0, sizeof(*g));
	g->rng.s = seed;
	t->name = t->message = "Msg";
	t->comment = "a \"quoted\" comment";
	t->id = 0x123;
	t->cls = cls;
	t->payload_off = cls == CANP_REC_F ? 16 : 8;
	t->payload_max = cls == CANP_REC_F ? (uint8_t)(16 * (1 + pqgen_below(&g->rng, 4))) : 8;
	t->stride = cls == CANP_REC_S ? 16 : cls == CANP_REC_J ? 32 : 16 + t->payload_max;
	t->cols = g->cols;
	t->wins = g->wins;
	t->nr_cols = nr_cols;
	t->dbc_name = "test.dbc";
	t->dbc_version = "1";
	if (kind == PQGEN_RAW) {
		raw_cols(g);
	} else {
		for (uint32_t i = 0; i < nr_cols; i++) {
			signal_col(g, i);
			if (kind == PQGEN_MUX)
				make_mux(g, i);
			snprintf(g->names[i], sizeof(g->names[i]), "Sig%u", i);
		}
	}
	g->values[0] = (struct canp_valdesc){-1, "minus"};
	g->values[1] = (struct canp_valdesc){0, "off"};
	g->values[2] = (struct canp_valdesc){1, "on, \"really\""};
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		g->cols[i].name = g->cols[i].dbc_name = g->names[i];
		g->cols[i].unit = "km/h";
		g->cols[i].comment = "";
		if (kind != PQGEN_RAW && i % 3 == 0) {
			g->cols[i].values = g->values;
			g->cols[i].nr_values = 3;
		}
	}
	g->ts = 1700000000000000000;
}

void pqgen_fini(struct pqgen *g)
{
	free(g->rec);
	free(g->len);
	free(g->meta);
}

static void grow(struct pqgen *g, uint32_t n)
{
	if (g->rows + n <= g->cap)
		return;
	g->cap = (g->rows + n) * 2;
	g->rec = realloc(g->rec, (size_t)g->cap * g->table.stride + 64);
	g->len = realloc(g->len, g->cap);
	g->meta = realloc(g->meta, g->cap * sizeof(*g->meta));
	if (!g->rec || !g->len || !g->meta)
		abort();
}

static void make_row(struct pqgen *g, uint32_t row, unsigned style, bool shorts)
{
	struct canp_table *t = &g->table;
	uint8_t *rec = g->rec + (size_t)row * t->stride, *pay = rec + t->payload_off;
	uint8_t *head = rec + (t->cls == CANP_REC_F ? 8 : 16);
	uint32_t id = (uint32_t)pqgen_u64(&g->rng) & 0x1fffffff;
	uint8_t len = t->payload_max;

	memset(rec, 0, t->stride);
	g->ts += (int64_t)pqgen_below(&g->rng, 20000000) - 200000;
	memcpy(rec, &g->ts, 8);
	if (shorts && pqgen_below(&g->rng, 7) == 0)
		len = (uint8_t)pqgen_below(&g->rng, t->payload_max + 1u);
	for (unsigned i = 0; i < t->payload_max; i++) {
		if (style == 0)
			pay[i] = (uint8_t)pqgen_u64(&g->rng);
		else if (style == 1)
			pay[i] = (uint8_t)(row / 700 * 37 + i);
		else
			pay[i] = (uint8_t)(row >> (i % 3 * 4));
	}
	memset(pay + len, 0, t->payload_max - len);
	if (t->cls != CANP_REC_S) {
		memcpy(head, &id, 4);
		head[4] = len;
		head[5] = (uint8_t)(len / 4);
		head[6] = (uint8_t)pqgen_u64(&g->rng);
	}
	g->len[row] = len;
	if (pqgen_below(&g->rng, 300) == 0)
		g->src++;
	if (pqgen_below(&g->rng, 500) == 0)
		g->device = pqgen_below(&g->rng, 4);
	if (pqgen_below(&g->rng, style == 0 ? 3 : 200) == 0)
		g->bus = pqgen_below(&g->rng, 3);
	g->meta[row] = (struct canp_run_meta){1, g->src, g->device, g->bus};
}

struct canp_chunk pqgen_chunk(struct pqgen *g, uint32_t n, unsigned style, bool shorts)
{
	struct canp_chunk c = {.rows = n, .meta = g->runs};
	uint8_t need = 0;

	for (uint32_t i = 0; i < g->table.nr_cols; i++)
		need = g->cols[i].need > need ? g->cols[i].need : need;
	grow(g, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct canp_run_meta *m = &g->meta[g->rows + i];

		make_row(g, g->rows + i, style, shorts);
		g->lens[i] = g->len[g->rows + i] < need ? g->len[g->rows + i] : 0xff;
		if (g->lens[i] != 0xff)
			c.lens = g->lens;
		if (!i || memcmp(m, m - 1, sizeof(*m)))
			g->runs[c.nr_meta++] = (struct canp_meta_run){(uint16_t)i, (uint8_t)m->bus,
								      0, m->src, m->device};
	}
	c.rec = g->rec + (size_t)g->rows * g->table.stride;
	g->rows += n;
	return c;
}

uint64_t pqgen_raw(const struct pqgen *g, uint32_t row, uint32_t col)
{
	const struct canp_col *c = &g->cols[col];
	const uint8_t *rec = g->rec + (size_t)row * g->table.stride;
	const uint8_t *head = rec + (g->table.cls == CANP_REC_F ? 8 : 16);
	uint16_t pos[64];
	uint64_t raw = 0;
	uint32_t id;

	memcpy(&id, head, 4);
	switch (c->src) {
	case CANP_SRC_ID:
		return id;
	case CANP_SRC_SA:
		return id & 255;
	case CANP_SRC_LEN:
		return head[4];
	case CANP_SRC_DLC:
		return head[5];
	case CANP_SRC_FLAG:
		return head[6] >> c->shift & 1;
	default:
		break;
	}
	positions(c, pos);
	for (unsigned i = 0; i < c->raw_bits; i++)
		raw |= (uint64_t)(rec[g->table.payload_off + pos[i] / 8] >> pos[i] % 8 & 1) << i;
	return raw;
}

bool pqgen_present(const struct pqgen *g, uint32_t row, uint32_t col)
{
	const struct canp_col *c = &g->cols[col];
	uint64_t sel;
	bool hit = false;

	if (c->src != CANP_SRC_SIGNAL)
		return true;
	if (g->len[row] < c->need)
		return false;
	if (c->mux_parent < 0)
		return true;
	if (!pqgen_present(g, row, (uint32_t)c->mux_parent))
		return false;
	sel = pqgen_raw(g, row, (uint32_t)c->mux_parent);
	for (uint32_t i = 0; i < c->nr_mux; i++)
		hit |= sel >= c->mux[i].lo && sel <= c->mux[i].hi;
	return hit;
}

uint64_t pqgen_phys(const struct pqgen *g, uint32_t row, uint32_t col)
{
	const struct canp_col *c = &g->cols[col];
	uint64_t raw = pqgen_raw(g, row, col), out = 0;
	int64_t s = (int64_t)raw;
	double d;
	_Float16 h;
	float f;
	uint32_t u = (uint32_t)raw;

	if (c->is_float) {
		memcpy(&f, &u, 4);
		memcpy(&d, &raw, 8);
		memcpy(&h, &u, 2);
		if (c->is_float == 16)
			d = (double)h;
		if (c->type == CANP_COL_F32)
			return u;
		if (c->is_float == 32)
			d = (double)f;
		if (c->factor != 1 || c->offset != 0) {
			d = d * c->factor;
			d = d + c->offset;
		}
		memcpy(&out, &d, 8);
		return out;
	}
	if (c->is_signed && raw >> (c->raw_bits - 1) && c->raw_bits < 64)
		s = (int64_t)(raw - (1ull << c->raw_bits));
	if (c->type == CANP_COL_F64) {
		d = c->is_signed ? (double)s : (double)raw;
		d = d * c->factor;
		d = d + c->offset;
		memcpy(&out, &d, 8);
		return out;
	}
	s = s * c->ifactor + c->ioffset;
	return c->type == CANP_COL_U64 || c->type == CANP_COL_I64 ? (uint64_t)s : (uint32_t)s;
}

int64_t pqgen_ts(const struct pqgen *g, uint32_t row)
{
	int64_t ts;

	memcpy(&ts, g->rec + (size_t)row * g->table.stride, 8);
	return ts;
}

const uint8_t *pqgen_bytes(const struct pqgen *g, uint32_t row, uint32_t *len)
{
	*len = g->len[row];
	return g->rec + (size_t)row * g->table.stride + g->table.payload_off;
}

void pqgen_pool_init(struct canp_pool *p, uint32_t slots)
{
	void *mem = aligned_alloc(4096, (size_t)slots * CANP_PAGE_SLOT_BYTES);

	if (!mem)
		abort();
	canp_pool_init(p, mem, CANP_PAGE_SLOT_BYTES, slots, 0);
}

void pqgen_pool_fini(struct canp_pool *p)
{
	free(p->base);
}
