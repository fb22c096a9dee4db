/*
 * value.c - raw bits and physical values, one at a time, written to be obviously right.
 */
#include "io/can/value.h"

#include <string.h>

#include "core/base/bytes.h"

static uint64_t value_mask(unsigned bits)
{
	return bits >= 64 ? ~0ULL : (1ULL << bits) - 1;
}

/* The caller has checked that the payload holds col->need bytes. */
static uint64_t value_bits(const struct canp_col *col, const uint8_t *payload)
{
	unsigned pos = col->start_bit;
	uint64_t raw = 0;

	/* Little-endian: bit 0 of the value is DBC bit start_bit, upwards. Big-endian: the top bit
	 * of the value is start_bit; below it come lower bits of the byte, then the next byte's
	 * top. */
	for (unsigned i = 0; i < col->raw_bits; i++) {
		uint64_t bit = payload[pos / 8] >> (pos % 8) & 1u;

		if (!col->big_endian) {
			raw |= bit << i;
			pos++;
		} else {
			raw = raw << 1 | bit;
			pos = pos % 8 ? pos - 1 : pos + 15;
		}
	}
	return raw;
}

static bool value_in_range(const struct canp_col *col, uint64_t raw)
{
	for (uint32_t i = 0; i < col->nr_mux; i++)
		if (raw >= col->mux[i].lo && raw <= col->mux[i].hi)
			return true;
	return false;
}

int canp_plan_extract(const struct canp_table *table, unsigned col, const uint8_t *payload,
		      unsigned len, uint64_t *raw)
{
	const struct canp_col *c = &table->cols[col];

	*raw = 0;
	if (c->src != CANP_SRC_SIGNAL || len < c->need)
		return 0;
	/* Up the chain of multiplexors; the plan has cut loops, so it ends within nr_cols steps. */
	for (const struct canp_col *s = c; s->mux_parent >= 0;) {
		const struct canp_col *parent = &table->cols[s->mux_parent];

		if (len < parent->need || !value_in_range(s, value_bits(parent, payload)))
			return 0;
		s = parent;
	}
	*raw = value_bits(c, payload);
	return 1;
}

int64_t canp_plan_raw_signed(const struct canp_col *col, uint64_t raw)
{
	unsigned up = 64u - col->raw_bits;

	raw &= value_mask(col->raw_bits);
	return col->is_signed ? (int64_t)(raw << up) >> up : (int64_t)raw;
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits; exact in a double. */
static double value_half(uint64_t raw)
{
	uint64_t exp = raw >> 10 & 31, frac = raw & 0x3ff, bits;
	double d;

	if (!exp) {
		d = (double)frac * 0x1p-24;
		return raw & 0x8000 ? -d : d;
	}
	bits = (raw & 0x8000) << 48 | frac << 42;
	bits |= exp == 31 ? 0x7ffULL << 52 : (exp + 1008) << 52;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static double value_float(const struct canp_col *col, uint64_t raw)
{
	uint32_t low = (uint32_t)raw;
	double d;
	float f;

	if (col->is_float == 16)
		return value_half(raw);
	if (col->is_float == 32) {
		memcpy(&f, &low, sizeof(f));
		return (double)f;
	}
	memcpy(&d, &raw, sizeof(d));
	return d;
}

struct canp_phys canp_plan_phys(const struct canp_col *col, uint64_t raw)
{
	struct canp_phys v = {0};
	int64_t sraw;
	__int128 wide;

	raw &= value_mask(col->raw_bits);
	sraw = canp_plan_raw_signed(col, raw);
	if (col->integral) {
		/* The plan chose a type that holds every scaled raw value. */
		wide = col->is_signed ? (__int128)sraw : (__int128)raw;
		wide = wide * col->ifactor + col->ioffset;
		v.is_int = true;
		v.is_unsigned = wide > INT64_MAX;
		v.u = (uint64_t)wide;
		v.i = (int64_t)v.u;
		v.d = v.is_unsigned ? (double)v.u : (double)v.i;
		return v;
	}
	if (col->is_float)
		v.d = value_float(col, raw);
	else
		v.d = col->is_signed ? (double)sraw : (double)raw;
	/* Unscaled floats keep their bits, NaN payloads and the sign of zero included. */
	if (!col->is_float || col->factor != 1.0 || col->offset != 0.0) {
		v.d = v.d * col->factor;
		v.d = v.d + col->offset;
	}
	return v;
}

const char *canp_plan_label(const struct canp_col *col, uint64_t raw)
{
	int64_t key = canp_plan_raw_signed(col, raw);
	uint32_t lo = 0, hi = col->nr_values;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (col->values[mid].raw == key)
			return col->values[mid].text;
		if (col->values[mid].raw < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
