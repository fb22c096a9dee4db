/*
 * regions.h - a log that is memory as a whole (mapped) cut into parts that can be walked at the
 * same time, each by a walker of its own: what they deliver, one part after the other, is what one
 * walker delivers from the front.
 *
 * Only places that are certain are cut at: heads of CANP containers that the chain of lengths from
 * the first one leads to, ends of lines of plain text. Where the chain breaks (damage) the last
 * part goes to the end of the file. Formats whose objects need what stands at the head of the file,
 * and whatever is gzip'd as a whole, stay in one part.
 */
#ifndef CANP_FORMAT_REGIONS_H
#define CANP_FORMAT_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/format/format.h"

#define CANP_REGIONS_MAX 256u

/* Cuts file[0, len) into at most `want` (1..CANP_REGIONS_MAX) parts of about the same size. Part i
 * is [at[i], at[i + 1]), so at has room for want + 1. Returns how many, at least 1. Reads one head
 * per container, or a line per cut. Pure; any thread. */
unsigned canp_regions_cut(const struct canp_format *fmt, bool gz, const uint8_t *file, uint64_t len,
			  unsigned want, uint64_t *at);

#endif
