/*
 * colmask.h - what the run builder and the CSV sink need from a chunk of records: the raw integers
 * of a column and which rows have them. Short frames and inactive multiplexed signals are absent;
 * a multiplexed signal is present when its selector is present and holds one of the stated values,
 * at every level of nesting.
 */
#ifndef CANP_SINK_COLMASK_H
#define CANP_SINK_COLMASK_H

#include <stdbool.h>
#include <stdint.h>

#include "io/can/plan.h"
#include "io/sink/columns.h"

/* One chunk being read. rec holds n records of table->stride bytes; lens may be NULL. */
struct canp_colview {
	const struct canp_table *table;
	struct canp_runscratch *s;
	const uint8_t *rec;
	const uint8_t *lens;
	uint32_t n; /* 1..256 */
};

/* Begins a chunk: forgets what the scratch held. */
void canp_colview_begin(struct canp_colview *v, const struct canp_table *table,
			struct canp_runscratch *s, const uint8_t *rec, const uint8_t *lens,
			uint32_t n);
/* Timestamps in ns. out: 64-byte aligned, room for n rounded up to 32. */
void canp_colview_ts(struct canp_colview *v, int64_t *out);
/* Window `win` of the table, or CANP_RUNB_HEAD. The bits that are not equal in all rows are then
 * in v->s->vary[canp_colview_slot(win)]. */
const uint64_t *canp_colview_load(struct canp_colview *v, unsigned win);
static inline unsigned canp_colview_slot(unsigned win)
{
	return win == CANP_RUNB_HEAD ? CANP_RUNB_WINS : win % CANP_RUNB_WINS;
}
/* The window a column is cut from and the shift to apply; not for wide or byte columns. */
unsigned canp_colview_source(const struct canp_col *col, unsigned *shift);
/* Raw values of any integer or float column, all rows, unflipped. out as above. */
void canp_colview_raw(struct canp_colview *v, const struct canp_col *col, uint64_t *out);
/* Validity of a column: bit i of the result = row i present; *present gets the count. The result
 * stays valid until the next call. */
const uint32_t *canp_colview_mask(struct canp_colview *v, const struct canp_col *col,
				  uint32_t *present);
/* Payload bytes of row i of a byte column; *len gets their number. */
const uint8_t *canp_colview_bytes(const struct canp_colview *v, uint32_t i, uint32_t *len);

#endif
