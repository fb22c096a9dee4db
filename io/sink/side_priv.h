/*
 * side_priv.h - the memory of a side table; shared by sidetable.c (rows, CSV) and sidetable_pq.c
 * (Parquet).
 */
#ifndef CANP_SINK_SIDE_PRIV_H
#define CANP_SINK_SIDE_PRIV_H

#include "io/sink/sidetable.h"

/* Longest text kept: a page must fit CANP_BYTESINK_ROOM. */
#define SIDE_TEXT_MAX 65535u

struct side_col {
	char *name;
	enum canp_side_type type;
	bool optional;
	uint64_t *vals; /* [cap]; bits, or number of the text */
	uint8_t *valid; /* [cap] */
};

struct canp_sidetable {
	uint32_t nr_cols;
	struct side_col *cols;
	uint64_t rows, cap;
	/* distinct texts of all string columns */
	char **texts;
	uint32_t nr_texts, cap_texts;
	uint32_t *hash; /* text number + 1; 0 = free; size cap_hash, a power of two */
	uint32_t cap_hash;
};

#endif
