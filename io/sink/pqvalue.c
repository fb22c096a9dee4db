/*
 * pqvalue.c - raw integers to physical values. Integral columns are exact integers modulo 2^64;
 * others are raw * factor + offset in double with two roundings (never fused), which is what other
 * CAN tools compute; floats keep their bits, NaN included, when they are not scaled. io/can/value.h
 * says what a value is; this is the same over columns, without its 128-bit step.
 */
#include <math.h>
#include <string.h>

#include "core/base/bytes.h"
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

void canp_pqv_convert(const struct canp_pqleaf *l, const void *raw, uint32_t n, uint64_t *out)
{
	const uint8_t *p = raw;

	if (l->col->store == CANP_STORE_U32) {
		for (uint32_t i = 0; i < n; i++)
			out[i] = canp_pqv_phys(l->col, l->type, canp_le32(p + (size_t)i * 4));
	} else {
		for (uint32_t i = 0; i < n; i++)
			out[i] = canp_pqv_phys(l->col, l->type, canp_le64(p + (size_t)i * 8));
	}
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
