/*
 * pqthrift.c - Thrift compact protocol, writing side. Integers are zigzag ULEB128, field headers
 * carry the distance to the previous field id, structs end with a zero byte. Everything goes
 * through tw_put(), the only place that knows the bound.
 */
#include <string.h>

#include "core/base/assert.h"
#include "io/sink/pqthrift.h"

static void tw_put(struct canp_tw *t, const void *data, size_t len)
{
	if ((size_t)(t->end - t->p) < len) {
		t->full = true;
		return;
	}
	if (len)
		memcpy(t->p, data, len);
	t->p += len;
}

static void tw_byte(struct canp_tw *t, unsigned v)
{
	uint8_t b = (uint8_t)v;

	tw_put(t, &b, 1);
}

static void tw_uleb(struct canp_tw *t, uint64_t v)
{
	while (v >= 128) {
		tw_byte(t, (unsigned)(v & 127) | 128u);
		v >>= 7;
	}
	tw_byte(t, (unsigned)v);
}

static void tw_zigzag(struct canp_tw *t, int64_t v)
{
	tw_uleb(t, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static void tw_field(struct canp_tw *t, int id, enum canp_tw_wire wire)
{
	int delta = id - t->last;

	CANP_ASSERT(delta > 0);
	if (delta <= 15) {
		tw_byte(t, ((unsigned)delta << 4) | wire);
	} else {
		tw_byte(t, wire);
		tw_zigzag(t, id);
	}
	t->last = id;
}

void canp_tw_init(struct canp_tw *t, void *mem, size_t cap, int last)
{
	memset(t, 0, sizeof(*t));
	t->base = t->p = mem;
	t->end = t->base + cap;
	t->last = last;
}

void canp_tw_bool(struct canp_tw *t, int id, bool v)
{
	tw_field(t, id, v ? CANP_TW_TRUE : CANP_TW_FALSE);
}

void canp_tw_i8(struct canp_tw *t, int id, int8_t v)
{
	tw_field(t, id, CANP_TW_I8);
	tw_byte(t, (uint8_t)v);
}

void canp_tw_i16(struct canp_tw *t, int id, int16_t v)
{
	tw_field(t, id, CANP_TW_I16);
	tw_zigzag(t, v);
}

void canp_tw_i32(struct canp_tw *t, int id, int32_t v)
{
	tw_field(t, id, CANP_TW_I32);
	tw_zigzag(t, v);
}

void canp_tw_i64(struct canp_tw *t, int id, int64_t v)
{
	tw_field(t, id, CANP_TW_I64);
	tw_zigzag(t, v);
}

void canp_tw_binary(struct canp_tw *t, int id, const void *data, size_t len)
{
	tw_field(t, id, CANP_TW_BINARY);
	canp_tw_elem_binary(t, data, len);
}

void canp_tw_string(struct canp_tw *t, int id, const char *s)
{
	canp_tw_binary(t, id, s, strlen(s));
}

void canp_tw_begin(struct canp_tw *t, int id)
{
	if (id)
		tw_field(t, id, CANP_TW_STRUCT);
	CANP_ASSERT(t->depth < CANP_TW_DEPTH);
	t->saved[t->depth++] = t->last;
	t->last = 0;
}

void canp_tw_end(struct canp_tw *t)
{
	tw_byte(t, 0);
	CANP_ASSERT(t->depth > 0);
	t->last = t->saved[--t->depth];
}

void canp_tw_list(struct canp_tw *t, int id, enum canp_tw_wire elem, size_t n)
{
	tw_field(t, id, CANP_TW_LIST);
	if (n < 15) {
		tw_byte(t, ((unsigned)n << 4) | elem);
	} else {
		tw_byte(t, 0xf0u | elem);
		tw_uleb(t, n);
	}
}

/* List elements of type bool are whole bytes; the list header says CANP_TW_TRUE for either. */
void canp_tw_elem_bool(struct canp_tw *t, bool v)
{
	tw_byte(t, v ? 1 : 2);
}

void canp_tw_elem_int(struct canp_tw *t, int64_t v)
{
	tw_zigzag(t, v);
}

void canp_tw_elem_binary(struct canp_tw *t, const void *data, size_t len)
{
	tw_uleb(t, len);
	tw_put(t, data, len);
}

void canp_tw_raw(struct canp_tw *t, const void *data, size_t len)
{
	tw_put(t, data, len);
}
