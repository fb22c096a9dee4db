/*
 * pqvalue.c - raw integers to physical values. Integral columns are exact integers modulo 2^64;
 * others are raw * factor + offset in double with two roundings (never fused), which is what other
 * CAN tools compute; floats keep their bits, NaN included, when they are not scaled. io/can/value.h
 * says what a value is; this is the same over columns, without its 128-bit step.
 *
 * Arrays of physical values are laid out as PLAIN pages are: four or eight bytes each. Bounds of
 * integers come from the raw values, because scaling keeps or turns their order as a whole.
 */
#include <math.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/can/value.h"
#include "io/sink/pq_priv.h"

unsigned canp_pqv_width(enum canp_pq_type type)
{
	switch (type) {
	case CANP_PQ_BOOLEAN:
		return 1;
	case CANP_PQ_INT32:
	case CANP_PQ_FLOAT:
		return 4;
	case CANP_PQ_BYTE_ARRAY:
		return 0;
	default:
		return 8;
	}
}

static uint64_t pqv_f64_bits(double d)
{
	uint64_t v;

	memcpy(&v, &d, sizeof(v));
	return v;
}

static double pqv_f64(uint64_t v)
{
	double d;

	memcpy(&d, &v, sizeof(d));
	return d;
}

static float pqv_f32(uint64_t v)
{
	uint32_t u = (uint32_t)v;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static int64_t pqv_signed(const struct canp_col *col, uint64_t raw)
{
	unsigned drop = 64u - col->raw_bits;

	return (int64_t)(raw << drop) >> drop;
}

static uint64_t pqv_float(const struct canp_col *col, enum canp_pq_type type, uint64_t raw)
{
	bool scaled = col->factor != 1.0 || col->offset != 0.0;
	double d;

	if (col->is_float == 16)
		return pqv_f64_bits(canp_plan_phys(col, raw).d);
	if (type == CANP_PQ_FLOAT)
		return raw & UINT32_MAX;
	if (col->is_float == 64 && !scaled)
		return raw;
	d = col->is_float == 64 ? pqv_f64(raw) : (double)pqv_f32(raw);
	return pqv_f64_bits(scaled ? d * col->factor + col->offset : d);
}

uint64_t canp_pqv_phys(const struct canp_col *col, enum canp_pq_type type, uint64_t raw)
{
	uint64_t v;
	double d;

	if (col->is_float)
		return pqv_float(col, type, raw);
	if (type == CANP_PQ_DOUBLE) {
		d = col->is_signed ? (double)pqv_signed(col, raw) : (double)raw;
		return pqv_f64_bits(d * col->factor + col->offset);
	}
	v = col->is_signed ? (uint64_t)pqv_signed(col, raw) : raw;
	if (col->integral)
		v = v * (uint64_t)col->ifactor + (uint64_t)col->ioffset;
	return type == CANP_PQ_INT32 ? v & UINT32_MAX : v;
}

uint64_t canp_pqv_raw_of_index(const struct canp_col *col, uint32_t index)
{
	return col->is_signed ? index ^ (1u << (col->raw_bits - 1)) : index;
}

bool canp_pqv_is_nan(enum canp_pq_type type, uint64_t v)
{
	if (type == CANP_PQ_DOUBLE)
		return isnan(pqv_f64(v));
	return type == CANP_PQ_FLOAT && isnan(pqv_f32(v));
}

#define PQV_CMP(a, b) ((a) < (b) ? -1 : (a) > (b))

int canp_pqv_cmp(enum canp_pq_type type, bool is_unsigned, uint64_t a, uint64_t b)
{
	switch (type) {
	case CANP_PQ_DOUBLE:
		return PQV_CMP(pqv_f64(a), pqv_f64(b));
	case CANP_PQ_FLOAT:
		return PQV_CMP(pqv_f32(a), pqv_f32(b));
	case CANP_PQ_INT32:
		if (!is_unsigned)
			return PQV_CMP((int32_t)(uint32_t)a, (int32_t)(uint32_t)b);
		return PQV_CMP((uint32_t)a, (uint32_t)b);
	case CANP_PQ_INT64:
		if (!is_unsigned)
			return PQV_CMP((int64_t)a, (int64_t)b);
		return PQV_CMP(a, b);
	default:
		return PQV_CMP(a, b);
	}
}

void canp_pqmm_add(struct canp_pqmm *mm, enum canp_pq_type type, bool is_unsigned, uint64_t v)
{
	if (canp_pqv_is_nan(type, v)) {
		mm->nan = true;
		return;
	}
	if (!mm->any || canp_pqv_cmp(type, is_unsigned, v, mm->min) < 0)
		mm->min = v;
	if (!mm->any || canp_pqv_cmp(type, is_unsigned, v, mm->max) > 0)
		mm->max = v;
	mm->any = true;
}

void canp_pqmm_join(struct canp_pqmm *mm, enum canp_pq_type type, bool is_unsigned,
		    const struct canp_pqmm *other)
{
	mm->nan |= other->nan;
	if (!other->any)
		return;
	canp_pqmm_add(mm, type, is_unsigned, other->min);
	canp_pqmm_add(mm, type, is_unsigned, other->max);
}

unsigned canp_pqv_bound(enum canp_pq_type type, bool is_max, uint64_t v, uint8_t *out)
{
	float f = is_max ? 0.0f : -0.0f;

	if (type == CANP_PQ_DOUBLE && pqv_f64(v) == 0.0)
		v = pqv_f64_bits(is_max ? 0.0 : -0.0);
	canp_put_le64(out, v);
	if (type == CANP_PQ_FLOAT && pqv_f32(v) == 0.0f)
		memcpy(out, &f, sizeof(f));
	return canp_pqv_width(type);
}

/* What an index has more than its raw value. */
static int32_t pqv_bias(const struct canp_col *col)
{
	return col->is_signed ? 1 << (col->raw_bits - 1) : 0;
}

void canp_pqv_index(const struct canp_pqleaf *l, const uint16_t *idx, uint32_t n, uint64_t *out)
{
	const struct canp_col *col = l->col;
	uint32_t mul = col->integral ? (uint32_t)col->ifactor : 1;
	uint32_t add = col->integral ? (uint32_t)col->ioffset : 0;

	if (l->type == CANP_PQ_INT32) {
		add -= (uint32_t)pqv_bias(col) * mul;
		canp_simd.index_i32(idx, n, mul, add, (uint32_t *)out);
	} else if (l->type == CANP_PQ_DOUBLE && !col->is_float) {
		canp_simd.index_f64(idx, n, pqv_bias(col), col->factor, col->offset, (double *)out);
	} else {
		for (uint32_t i = 0; i < n; i++)
			out[i] = canp_pqv_phys(col, l->type, canp_pqv_raw_of_index(col, idx[i]));
	}
}

static void pqv_convert32(const struct canp_pqleaf *l, const uint32_t *raw, uint32_t n,
			  uint64_t *out)
{
	const struct canp_col *col = l->col;
	unsigned drop = 32u - col->raw_bits;
	uint32_t mul = col->integral ? (uint32_t)col->ifactor : 1;
	uint32_t add = col->integral ? (uint32_t)col->ioffset : 0;

	if (l->type == CANP_PQ_FLOAT) {
		memcpy(out, raw, (size_t)n * 4);
	} else if (l->type == CANP_PQ_INT32 && col->is_signed) {
		for (uint32_t i = 0; i < n; i++)
			((uint32_t *)out)[i] =
				(uint32_t)((int32_t)(raw[i] << drop) >> drop) * mul + add;
	} else if (l->type == CANP_PQ_INT32) {
		for (uint32_t i = 0; i < n; i++)
			((uint32_t *)out)[i] = raw[i] * mul + add;
	} else {
		for (uint32_t i = 0; i < n; i++)
			out[i] = canp_pqv_phys(col, l->type, raw[i]);
	}
}

void canp_pqv_convert(const struct canp_pqleaf *l, const void *raw, uint32_t n, uint64_t *out)
{
	const uint64_t *raw64 = raw;

	if (l->col->store == CANP_STORE_U32) {
		pqv_convert32(l, raw, n, out);
	} else if (l->type == CANP_PQ_INT32 || l->type == CANP_PQ_FLOAT) {
		for (uint32_t i = 0; i < n; i++)
			((uint32_t *)out)[i] = (uint32_t)canp_pqv_phys(l->col, l->type, raw64[i]);
	} else {
		for (uint32_t i = 0; i < n; i++)
			out[i] = canp_pqv_phys(l->col, l->type, raw64[i]);
	}
}

static void pqv_bounds_each(const struct canp_pqleaf *l, uint32_t n, const uint64_t *val,
			    struct canp_pqmm *mm)
{
	const uint32_t *val32 = (const uint32_t *)val;
	unsigned width = canp_pqv_width(l->type);

	for (uint32_t i = 0; i < n; i++)
		canp_pqmm_add(mm, l->type, l->is_unsigned, width == 4 ? val32[i] : val[i]);
}

void canp_pqv_bounds(const struct canp_pqleaf *l, const void *raw, uint32_t n, const uint64_t *val,
		     struct canp_pqmm *mm)
{
	const struct canp_col *col = l->col;
	uint64_t flip = col->is_signed ? 1ull << (col->raw_bits - 1) : 0;
	uint64_t lo = UINT64_MAX, hi = 0;

	if (!n)
		return;
	if (col->is_float) {
		pqv_bounds_each(l, n, val, mm);
		return;
	}
	if (col->store == CANP_STORE_U32) {
		const uint32_t *v = raw;
		uint32_t f = (uint32_t)flip, lo32 = UINT32_MAX, hi32 = 0;

		for (uint32_t i = 0; i < n; i++) {
			lo32 = canp_min(lo32, v[i] ^ f);
			hi32 = canp_max(hi32, v[i] ^ f);
		}
		lo = lo32;
		hi = hi32;
	} else {
		const uint64_t *v = raw;

		for (uint32_t i = 0; i < n; i++) {
			lo = canp_min(lo, v[i] ^ flip);
			hi = canp_max(hi, v[i] ^ flip);
		}
	}
	canp_pqmm_add(mm, l->type, l->is_unsigned, canp_pqv_phys(col, l->type, lo ^ flip));
	canp_pqmm_add(mm, l->type, l->is_unsigned, canp_pqv_phys(col, l->type, hi ^ flip));
	mm->nan |= canp_pqv_wild(l);
}

bool canp_pqv_wild(const struct canp_pqleaf *l)
{
	return l->type == CANP_PQ_DOUBLE && !(isfinite(l->col->factor) && isfinite(l->col->offset));
}

bool canp_pqv_ascend(const struct canp_pqleaf *l, const uint64_t *val, uint32_t n)
{
	const uint32_t *val32 = (const uint32_t *)val;
	uint32_t flip = l->is_unsigned ? 0 : 1u << 31;
	bool ok = true;

	if (l->type == CANP_PQ_INT32) {
		for (uint32_t i = 1; i < n; i++)
			ok &= (val32[i - 1] ^ flip) < (val32[i] ^ flip);
	} else if (l->type == CANP_PQ_DOUBLE) {
		for (uint32_t i = 1; i < n; i++)
			ok &= pqv_f64(val[i - 1]) < pqv_f64(val[i]);
	} else {
		for (uint32_t i = 1; i < n; i++)
			ok &= canp_pqv_cmp(l->type, l->is_unsigned, val[i - 1], val[i]) < 0;
	}
	return ok;
}

size_t canp_pqv_plain(enum canp_pq_type type, const uint64_t *v, uint32_t n, uint8_t *out)
{
	unsigned width = canp_pqv_width(type);

	if (width == 8) {
		memcpy(out, v, (size_t)n * 8);
		return (size_t)n * 8;
	}
	for (uint32_t i = 0; i < n; i++)
		canp_put_le32(out + (size_t)i * 4, (uint32_t)v[i]);
	return (size_t)n * 4;
}
