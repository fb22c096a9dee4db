/*
 * blf_object.h - the stream of objects inside a BLF file: finds the objects, turns CAN ones into
 * frames and skips the rest. Private to io/format. All calls on the walking thread.
 */
#ifndef CANP_IO_BLF_OBJECT_H
#define CANP_IO_BLF_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/format/format.h"

#define CANP_BLF_OBJECT_MIN     16u         /* the base header */
#define CANP_BLF_HEADER_MAX     256u        /* 16, 32 and 40 exist */
#define CANP_BLF_OBJECT_MAX     (64u << 20) /* larger is damage */
#define CANP_BLF_CAN_MAX        4096u       /* a CAN object has at most some 200 bytes */
#define CANP_BLF_OBJECT_NEED    1024u       /* bytes of an object that are looked at, at most */
#define CANP_BLF_PAD_MAX        8u          /* LOBJ is accepted this close behind an object */
#define CANP_BLF_TYPE_CONTAINER 10u
#define CANP_BLF_RUN            256u /* plain frames collected at most */

/* The base header of an object. */
struct canp_blf_head {
	uint16_t header, version;
	uint32_t size, type;
};

struct canp_blf_objects {
	const struct canp_format_host *host;
	int64_t start_ns; /* of the measurement */
	uint64_t off;  /* where the enclosing container (or the object itself) starts in the file */
	uint64_t skip; /* bytes of the current object still to skip */
	uint64_t junk; /* bytes passed since the last object */
	bool seeking;  /* more than padding was passed, or an object was bad */
	bool quiet;    /* the loss was reported already */
	const struct canp_busref *bus[256]; /* by channel; NULL: not seen yet */
	/* Plain frames as canp_group_push24() takes them, and their channels. Empty between calls.
	 */
	unsigned run_nr, run_changes; /* how often the channel changed among them */
	uint16_t run_channel[CANP_BLF_RUN];
	uint8_t run[CANP_BLF_RUN * 24];
};

/* p has 16 bytes, "LOBJ" checked. False: the sizes cannot be. */
bool canp_blf_head(const uint8_t *p, struct canp_blf_head *h);
/* Bytes of the object canp_blf_object() wants to see; the rest may be skipped. */
size_t canp_blf_need(const struct canp_blf_head *h);
/* One object; p has canp_blf_need() bytes. Pushes what it holds. */
void canp_blf_object(struct canp_blf_objects *o, const struct canp_blf_head *h, const uint8_t *p);

/* The next bytes of the stream; returns how many were consumed, less than CANP_BLF_OBJECT_NEED stay
 * back. Resynchronises at the next LOBJ after damage. */
size_t canp_blf_stream(struct canp_blf_objects *o, const uint8_t *p, size_t len);
/* Bytes are missing here: go on at the next object, without another report. */
void canp_blf_hole(struct canp_blf_objects *o);
/* The stream ended with these bytes left over. */
void canp_blf_end(struct canp_blf_objects *o, size_t rest);

#endif
