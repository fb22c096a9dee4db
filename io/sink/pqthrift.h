/*
 * pqthrift.h - writer of the Thrift compact protocol into bounded memory, as far as Parquet's
 * metadata needs it. A writer that runs out of room sets ->full and drops the rest, so one check
 * at the end is enough. Field ids must ascend inside a struct. Any thread; no allocation.
 */
#ifndef CANP_SINK_PQTHRIFT_H
#define CANP_SINK_PQTHRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum canp_tw_wire {
	CANP_TW_TRUE = 1,
	CANP_TW_FALSE = 2,
	CANP_TW_I8 = 3,
	CANP_TW_I16 = 4,
	CANP_TW_I32 = 5,
	CANP_TW_I64 = 6,
	CANP_TW_BINARY = 8,
	CANP_TW_LIST = 9,
	CANP_TW_STRUCT = 12,
};

#define CANP_TW_DEPTH 8u

struct canp_tw {
	uint8_t *base, *p, *end;
	bool full;
	unsigned depth;
	int last; /* id of the field written last in the open struct */
	int saved[CANP_TW_DEPTH];
};

/* Starts a writer inside a struct whose last written field id is `last` (0 for a new one). */
void canp_tw_init(struct canp_tw *t, void *mem, size_t cap, int last);
static inline size_t canp_tw_len(const struct canp_tw *t)
{
	return (size_t)(t->p - t->base);
}

void canp_tw_bool(struct canp_tw *t, int id, bool v);
void canp_tw_i8(struct canp_tw *t, int id, int8_t v);
void canp_tw_i16(struct canp_tw *t, int id, int16_t v);
void canp_tw_i32(struct canp_tw *t, int id, int32_t v);
void canp_tw_i64(struct canp_tw *t, int id, int64_t v);
void canp_tw_binary(struct canp_tw *t, int id, const void *data, size_t len);
void canp_tw_string(struct canp_tw *t, int id, const char *s);
/* Opens a struct field, or with id 0 a struct that is a list element; end closes either. */
void canp_tw_begin(struct canp_tw *t, int id);
void canp_tw_end(struct canp_tw *t);
/* Header of a list field of n elements; the elements follow by the elem_ calls (bools: elem_bool;
 * structs: begin with id 0). */
void canp_tw_list(struct canp_tw *t, int id, enum canp_tw_wire elem, size_t n);
void canp_tw_elem_bool(struct canp_tw *t, bool v);
void canp_tw_elem_int(struct canp_tw *t, int64_t v);
void canp_tw_elem_binary(struct canp_tw *t, const void *data, size_t len);
/* Bytes that are valid compact protocol already. */
void canp_tw_raw(struct canp_tw *t, const void *data, size_t len);

#endif
