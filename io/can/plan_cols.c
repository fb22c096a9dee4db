/*
 * plan_cols.c - columns of a table: types, scaling, storage, and the windows signals are cut from.
 *
 * A window is eight bytes of the payload loaded once per row for all signals that lie in it. The
 * payload of S and J records is one such window; F records have many possible ones: a signal takes
 * an existing window that covers it, else the aligned one, else one that starts at its first byte,
 * moved back where it would leave the record. A signal that touches nine bytes fits none (`wide`).
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/units.h"
#include "io/can/plan_parts.h"

struct cols_span { /* bit positions in transmission order */
	uint32_t first_byte, last_byte;
};

/* Big-endian: counted from the top bit of byte 0; little-endian: from the lowest bit. */
static uint32_t cols_first_bit(const struct canp_dbc_signal *s)
{
	return s->big_endian ? 8 * (s->start / 8) + 7 - s->start % 8 : s->start;
}

static struct cols_span cols_bytes(const struct canp_dbc_signal *s)
{
	uint32_t first = cols_first_bit(s);

	return (struct cols_span){first / 8, (first + s->bits - 1) / 8};
}

void plan_check_signals(struct plan *p, struct plan_def *d)
{
	uint32_t nr = d->msg->nr_signals;

	for (uint32_t i = 0; i < nr; i++) {
		struct plan_sig *s = &d->sigs[i];

		/* A start beyond any frame must not wrap the sums below. */
		s->usable = s->dbc->start < 8 * (PLAN_PAYLOAD_MAX + 1) &&
			    cols_bytes(s->dbc).last_byte < d->payload_max;
		s->need = s->usable ? (uint8_t)(cols_bytes(s->dbc).last_byte + 1) : 0;
		if (!s->usable)
			plan_warn(p,
				  "%s:%u: signal %s lies beyond the %u bytes of message %s and is "
				  "left out",
				  d->dbc->file, s->dbc->line, s->dbc->name, d->payload_max,
				  d->msg->name);
	}
	/* What depends on a signal that never arrives never arrives. Chains end: loops are cut. */
	for (uint32_t i = 0; i < nr; i++)
		for (int32_t at = d->sigs[i].parent; at >= 0 && d->sigs[i].usable;
		     at = d->sigs[at].parent)
			d->sigs[i].usable = d->sigs[at].usable;
}

static uint8_t cols_add_window(struct canp_table *t, struct canp_window *w, uint32_t off, bool be)
{
	w[t->nr_wins] = (struct canp_window){(uint8_t)off, be};
	return (uint8_t)t->nr_wins++;
}

static bool cols_covers(uint32_t off, struct cols_span b)
{
	return off <= b.first_byte && b.last_byte < off + 8;
}

static void cols_window(struct canp_table *t, struct canp_window *w,
			const struct canp_dbc_signal *s, struct canp_col *c)
{
	struct cols_span b = cols_bytes(s);
	uint32_t last = t->payload_max > 8 ? t->payload_max - 8u : 0;
	uint32_t first = cols_first_bit(s), off, i;

	c->wide = b.last_byte - b.first_byte >= 8;
	if (c->wide)
		return;
	for (i = 0; i < t->nr_wins; i++)
		if (w[i].be == s->big_endian && cols_covers(w[i].off, b))
			break;
	if (i == t->nr_wins) {
		off = canp_min(b.first_byte & ~7u, last);
		if (!cols_covers(off, b))
			off = canp_min(b.first_byte, last);
		i = cols_add_window(t, w, off, s->big_endian);
	}
	first -= 8u * w[i].off;
	c->win = (uint8_t)i;
	c->shift = (uint8_t)(s->big_endian ? 64 - first - s->bits : first);
}

/* Smallest integer type for lo..hi; false when no 64-bit type holds them. */
static bool cols_int_type(__int128 lo, __int128 hi, enum canp_coltype *type)
{
	static const enum canp_coltype u[] = {CANP_COL_U8, CANP_COL_U16, CANP_COL_U32,
					      CANP_COL_U64};
	static const enum canp_coltype s[] = {CANP_COL_I8, CANP_COL_I16, CANP_COL_I32,
					      CANP_COL_I64};

	for (unsigned i = 0; i < 4; i++) {
		unsigned bits = 8u << i;
		__int128 half = (__int128)1 << (bits - 1);

		if (lo >= 0 ? hi < 2 * half : lo >= -half && hi < half) {
			*type = lo >= 0 ? u[i] : s[i];
			return true;
		}
	}
	return false;
}

static void cols_type(const struct canp_dbc_signal *s, struct canp_col *c)
{
	__int128 one = 1, lo, hi;

	c->factor = s->factor;
	c->offset = s->offset;
	if (s->is_float) {
		bool plain = s->factor == 1.0 && s->offset == 0.0 && s->is_float == 32;

		c->type = plain ? CANP_COL_F32 : CANP_COL_F64;
		return;
	}
	c->type = CANP_COL_F64;
	if (!s->integral)
		return;
	lo = s->is_signed ? -(one << (s->bits - 1)) : 0;
	hi = s->is_signed ? (one << (s->bits - 1)) - 1 : (one << s->bits) - 1;
	lo = lo * s->ifactor + s->ioffset;
	hi = hi * s->ifactor + s->ioffset;
	c->integral = cols_int_type(canp_min(lo, hi), canp_max(lo, hi), &c->type);
	c->ifactor = c->integral ? s->ifactor : 0;
	c->ioffset = c->integral ? s->ioffset : 0;
}

static enum canp_colstore cols_store(unsigned bits)
{
	return bits <= 16 ? CANP_STORE_INDEX : bits <= 32 ? CANP_STORE_U32 : CANP_STORE_U64;
}

static void cols_signal(struct plan *p, const struct plan_def *d, const struct plan_sig *ps,
			struct canp_col *c)
{
	const struct canp_dbc_signal *s = ps->dbc;
	struct canp_valdesc *v;

	c->name = ps->name;
	c->dbc_name = s->name;
	c->unit = s->unit;
	c->comment = s->comment;
	c->src = CANP_SRC_SIGNAL;
	c->store = cols_store(s->bits);
	c->raw_bits = s->bits;
	c->is_signed = s->is_signed && !s->is_float;
	c->is_float = s->is_float;
	c->big_endian = s->big_endian;
	c->start_bit = (uint16_t)s->start;
	c->need = ps->need;
	c->minimum = s->minimum;
	c->maximum = s->maximum;
	c->mux_parent = ps->parent >= 0 ? d->sigs[ps->parent].col : -1;
	c->nr_mux = ps->parent >= 0 ? ps->nr_mux : 0;
	c->mux = ps->mux;
	c->hidden = !ps->output;
	cols_type(s, c);
	if (!s->nr_values)
		return;
	v = canp_bump_alloc(&p->mem, s->nr_values * sizeof(*v));
	if (!v)
		return;
	for (uint32_t i = 0; i < s->nr_values; i++)
		v[i] = (struct canp_valdesc){s->values[i].raw, s->values[i].text};
	c->values = v;
	c->nr_values = s->nr_values;
}

static void cols_sa(struct canp_col *c)
{
	c->name = c->dbc_name = "sa";
	c->unit = "";
	c->comment = "J1939 source address";
	c->type = CANP_COL_U8;
	c->src = CANP_SRC_SA;
	c->store = CANP_STORE_INDEX;
	c->raw_bits = 8;
	c->integral = true;
	c->factor = 1;
	c->ifactor = 1;
	c->mux_parent = -1;
}

void plan_finish_columns(struct canp_table *t)
{
	uint64_t bits = 64; /* the timestamp */
	unsigned need = 0;

	for (uint32_t i = 0; i < t->nr_cols; i++) {
		const struct canp_col *c = &t->cols[i];

		need = canp_max(need, (unsigned)c->need);
		if (c->hidden)
			continue;
		bits++; /* validity */
		if (c->store == CANP_STORE_BYTES)
			bits += 8u * (4u + t->payload_max);
		else
			bits += c->store == CANP_STORE_INDEX ? c->raw_bits
				: c->store == CANP_STORE_U32 ? 32u
							     : 64u;
	}
	t->need = (uint8_t)need;
	t->row_bytes = (uint32_t)((bits + 7) / 8);
}

static void cols_record(const struct plan_def *d, struct canp_table *t)
{
	t->cls = d->cls;
	t->payload_max = d->payload_max;
	t->payload_off = d->cls == CANP_REC_F ? 16 : 8;
	switch (d->cls) {
	case CANP_REC_S:
		t->stride = 16;
		break;
	case CANP_REC_J:
		t->stride = 32;
		break;
	case CANP_REC_F:
		t->stride = (uint16_t)(16u + d->payload_max);
		break;
	case CANP_REC_NONE:
		break;
	}
}

/* Numbers the columns that are wanted; returns how many. */
static uint32_t cols_number(struct plan_def *d)
{
	uint32_t nr = d->j1939 ? 1 : 0;

	for (uint32_t i = 0; i < d->msg->nr_signals; i++)
		d->sigs[i].col = d->sigs[i].wanted ? (int32_t)nr++ : -1;
	return nr;
}

int plan_make_table(struct plan *p, struct plan_def *d)
{
	struct canp_table *t = &d->table;
	struct canp_col *cols;
	struct canp_window *wins;

	t->nr_cols = cols_number(d);
	cols = canp_bump_alloc(&p->mem, (t->nr_cols + 1) * sizeof(*cols));
	wins = canp_bump_alloc(&p->mem, 2u * (PLAN_PAYLOAD_MAX + 1) * sizeof(*wins));
	if (!cols || !wins)
		return -ENOMEM;
	t->name = d->name;
	t->message = d->msg->name;
	t->comment = d->msg->comment;
	t->id = d->msg->id;
	t->ext = d->ext;
	t->j1939 = d->j1939;
	t->fd = d->fd;
	t->pgn = d->j1939 ? canp_j1939_pgn(d->msg->id) : 0;
	t->length = (uint16_t)canp_min(d->msg->length, (uint32_t)UINT16_MAX);
	cols_record(d, t);
	t->cols = cols;
	t->wins = wins;
	t->layout_hash = d->hash;
	t->dbc_name = d->dbc->file;
	t->dbc_version = d->dbc->version;
	memcpy(t->dbc_sha256, d->dbc->sha256, sizeof(t->dbc_sha256));
	if (d->j1939)
		cols_sa(&cols[0]);
	for (uint32_t i = 0; i < d->msg->nr_signals; i++) {
		struct plan_sig *s = &d->sigs[i];

		if (s->col < 0)
			continue;
		cols_signal(p, d, s, &cols[s->col]);
		cols_window(t, wins, s->dbc, &cols[s->col]);
	}
	plan_finish_columns(t);
	return p->mem.failed ? -ENOMEM : 0;
}

struct cols_fixed {
	const char *name, *comment;
	enum canp_coltype type;
	enum canp_colsrc src;
	uint8_t raw_bits;
	unsigned flag; /* enum canp_frame_flag for CANP_SRC_FLAG */
};

static void cols_make_fixed(struct plan *p, struct canp_table *t, const struct cols_fixed *f,
			    uint32_t nr)
{
	struct canp_col *c = canp_bump_alloc(&p->mem, nr * sizeof(*c));

	if (!c)
		return;
	for (uint32_t i = 0; i < nr; i++) {
		c[i].name = c[i].dbc_name = f[i].name;
		c[i].unit = "";
		c[i].comment = f[i].comment;
		c[i].type = f[i].type;
		c[i].src = f[i].src;
		c[i].raw_bits = f[i].raw_bits;
		c[i].store =
			f[i].src == CANP_SRC_DATA ? CANP_STORE_BYTES : cols_store(f[i].raw_bits);
		c[i].shift = (uint8_t)(f[i].flag ? __builtin_ctz(f[i].flag) : 0);
		c[i].integral = f[i].src != CANP_SRC_DATA;
		c[i].factor = 1;
		c[i].ifactor = 1;
		c[i].mux_parent = -1;
	}
	t->message = "";
	t->dbc_name = t->dbc_version = "";
	t->cols = c;
	t->nr_cols = nr;
	t->layout_hash = canp_hash_bytes(t->name, strlen(t->name));
	plan_finish_columns(t);
}

#define COLS_FLAG(name, text, flag)                                                                \
	{                                                                                          \
		name, text, CANP_COL_BOOL, CANP_SRC_FLAG, 1, flag                                  \
	}

void plan_make_fixed(struct plan *p)
{
	static const struct cols_fixed events[] = {
		{"id", "CAN id", CANP_COL_U32, CANP_SRC_ID, 32, 0},
		COLS_FLAG("ext", "29-bit id", CANP_FF_EXT),
		COLS_FLAG("rtr", "remote frame", CANP_FF_RTR),
		COLS_FLAG("err", "error frame", CANP_FF_ERR),
		COLS_FLAG("ovl", "overload frame", CANP_FF_OVL),
		COLS_FLAG("fd", "CAN FD", CANP_FF_FD),
		COLS_FLAG("gap", "frames were lost here", CANP_FF_GAP),
		{"dlc", "data length code", CANP_COL_U8, CANP_SRC_DLC, 8, 0},
		{"len", "bytes of data", CANP_COL_U8, CANP_SRC_LEN, 8, 0},
		{"data", "as stored, e.g. error details", CANP_COL_BYTES, CANP_SRC_DATA, 8, 0},
	};
	static const struct cols_fixed raw[] = {
		{"id", "CAN id", CANP_COL_U32, CANP_SRC_ID, 32, 0},
		COLS_FLAG("ext", "29-bit id", CANP_FF_EXT),
		COLS_FLAG("fd", "CAN FD", CANP_FF_FD),
		COLS_FLAG("brs", "bit rate switch", CANP_FF_BRS),
		COLS_FLAG("esi", "error state indicator", CANP_FF_ESI),
		COLS_FLAG("tx", "sent by the recorder", CANP_FF_TX),
		{"dlc", "data length code", CANP_COL_U8, CANP_SRC_DLC, 8, 0},
		{"len", "bytes of data", CANP_COL_U8, CANP_SRC_LEN, 8, 0},
		{"data", "payload", CANP_COL_BYTES, CANP_SRC_DATA, 8, 0},
	};
	struct canp_table *e = &p->pub.events, *r = &p->pub.raw;

	e->name = "canp_events";
	e->comment = "error, overload and remote frames, gaps";
	e->cls = CANP_REC_J;
	e->stride = 32;
	e->payload_off = 8;
	e->payload_max = 8;
	cols_make_fixed(p, e, events, CANP_ARRAY_SIZE(events));
	if (!p->pub.opts.raw && !p->pub.opts.unknown_keep)
		return;
	r->name = p->pub.opts.raw ? "canp_frames" : "canp_unknown";
	r->comment = p->pub.opts.raw ? "all data frames" : "data frames whose id no DBC has";
	/* Class F, because any frame may be CAN FD. */
	r->cls = CANP_REC_F;
	r->stride = 16 + 64;
	r->payload_off = 16;
	r->payload_max = 64;
	cols_make_fixed(p, r, raw, CANP_ARRAY_SIZE(raw));
}
