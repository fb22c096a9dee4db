/*
 * batch.h - what flows through a pipeline: up to 256 rows of one kind. 256 rows of a CAN message
 * fill a 4 KiB chunk, which stays in L1 while one operator after the other looks at it.
 *
 * Rows are records of a fixed stride. An operator drops rows by clearing their bits in keep, it
 * never moves them: what is behind it skips the cleared bits, and whoever stores rows packs them.
 * Bits at and above nr_rows are always clear.
 *
 * This struct is part of the plugin ABI (io/plugin.h): fields are only ever added at the end.
 */
#ifndef CANP_PIPELINE_BATCH_H
#define CANP_PIPELINE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

#define CANP_BATCH_ROWS  256u
#define CANP_BATCH_WORDS (CANP_BATCH_ROWS / 64u)

/* Rows from `start` to the start of the next entry come from one source. */
struct canp_batch_src {
	uint16_t start; /* first row */
	uint8_t bus;
	uint8_t pad;
	uint32_t src;    /* input: row of canp_files; streams: 0 */
	uint32_t device; /* index of the device name, 0: none */
};

struct canp_batch {
	uint64_t seq;     /* number of the first row in its stream; messages: not used */
	uint32_t nr_rows; /* 1..256 */
	uint32_t stride;  /* bytes from one row to the next */
	uint8_t *rec;     /* rows as their operator made them; valid during the call only */
	uint64_t keep[CANP_BATCH_WORDS];
	/* Only rows of CAN messages; NULL where an operator did not ask for them. */
	const void *type;       /* struct canp_plugin_message (io/plugin.h) */
	const int64_t *ts_ns;   /* [nr_rows] nanoseconds since 1970, UTC */
	const uint8_t *len;     /* [nr_rows] bytes of payload in the row */
	const uint8_t *payload; /* of row 0; row i is at payload + i * stride */
	uint32_t payload_bytes; /* readable at each row, a multiple of 8 */
	uint32_t nr_src;
	const struct canp_batch_src *src; /* [nr_src], ascending by start, the first at 0 */
	const uint64_t *const *column;  /* [columns asked for][nr_rows] raw values, sign-extended */
	const uint64_t *const *present; /* [columns asked for][WORDS] bit set: the row has it */
	double *const *extra;           /* [columns declared][nr_rows] to be filled; NaN: null */
	const void *native;             /* of the layer that made the batch */
};

static inline void canp_batch_keep_all(struct canp_batch *b)
{
	for (uint32_t w = 0; w < CANP_BATCH_WORDS; w++) {
		uint32_t left = b->nr_rows > w * 64 ? b->nr_rows - w * 64 : 0;

		b->keep[w] = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
	}
}

static inline void canp_batch_drop(struct canp_batch *b, uint32_t row)
{
	b->keep[row / 64] &= ~(UINT64_C(1) << (row % 64));
}

static inline bool canp_batch_kept(const struct canp_batch *b, uint32_t row)
{
	return b->keep[row / 64] >> (row % 64) & 1;
}

static inline uint32_t canp_batch_count(const struct canp_batch *b)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < CANP_BATCH_WORDS; w++)
		n += (uint32_t)__builtin_popcountll(b->keep[w]);
	return n;
}

CANP_END_DECLS

#endif
