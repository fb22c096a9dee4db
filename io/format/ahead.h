/*
 * ahead.h - members inflated ahead of the walker: keeps the lanes of the interleaved decoder full.
 *
 * A walker takes one member after the other, and what comes next depends on how the last one ended.
 * The decoder (simd/inflate_x4.h) wants five at once. So a look-ahead follows the headers through
 * the window as they would be met if nothing were damaged, has those members decoded into a few
 * blocks that stay in L2, and the walker asks for exactly the member it has come to: same place in
 * the file, same length, same container. When the guess was right, what it gets is what
 * canp_inflate_member() would have made of the same bytes with the same room, so rows, faults and
 * limits do not know of the look-ahead. When it was wrong, only time is lost, and a file whose
 * guesses are mostly wrong is no longer guessed at.
 *
 *   one block:  | carry room | CANP_HOLD_BYTES + slack |   | copied input, CANP_AHEAD_SIDE |
 *
 * Members near the end of a window would leave the lanes empty, one after the other. Their input is
 * copied beside their block, so that they may stay in flight while the walker asks for the next
 * window, with those members still in it (canp_ahead_ready()).
 *
 * Where a file ends, the lanes go on with the files after it, whose starts the host has offered
 * (canp_ahead_offer()): small files hold fewer members than there are lanes. What is decoded of
 * them is kept for the walker that will open them.
 *
 * A context is lent through struct canp_format_host and belongs to one walker at a time; all calls
 * on the walking thread. Nothing is allocated. Private to io/format but for the first two parts.
 */
#ifndef CANP_IO_AHEAD_H
#define CANP_IO_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/inflate_x4.h"

struct canp_ahead;

/* ---- which engine ---------------------------------------------------------------------------- */

/* The engine a job runs with: INTERLEAVED, SCALAR (the lanes in portable C, one after the other) or
 * ISAL (no look-ahead). wanted AUTO takes the fastest: interleaved with AVX2, else ISA-L, which the
 * scalar lanes do not beat. *why: constant text, one line. After canp_simd_init(); any thread. */
enum canp_inflate_engine canp_ahead_engine(enum canp_inflate_engine wanted, const char **why);
/* "interleaved", "scalar", "isal"; constant string. */
const char *canp_ahead_engine_name(enum canp_inflate_engine engine);

/* ---- for the host ---------------------------------------------------------------------------- */

struct canp_ahead_stats {
	uint64_t taken;   /* members delivered from a block */
	uint64_t dropped; /* decoded for nothing */
	uint64_t copied;  /* members whose input was copied */
	uint64_t early;   /* members submitted before their file was opened */
	/* How often the decoder was called with so many lanes busy: the last should dominate. */
	uint64_t lanes[CANP_INFLATE_LANES + 1];
};

/* Bytes a context needs (about 1.8 MiB, of which dense logs touch .7), a multiple of 64. */
size_t canp_ahead_bytes(void);
/* mem: canp_ahead_bytes(), 64-byte aligned, any content, owned by the caller, who may drop it when
 * no walker uses it. engine: as canp_ahead_engine() returned it. */
struct canp_ahead *canp_ahead_init(void *mem, enum canp_inflate_engine engine);
const struct canp_ahead_stats *canp_ahead_stats(const struct canp_ahead *a);

/* Files the host may offer at once. */
#define CANP_AHEAD_OFFERS 4u

/* How to find members in a file that nobody has opened yet. */
struct canp_ahead_start;

/* The file that the next canp_ahead_open() begins: files offered before it count as given up, those
 * after it stay offered. Without this call before it all are given up. file is any number but 0, a
 * different one for each file. */
void canp_ahead_next(struct canp_ahead *a, uint64_t file);
/* The start win[0..len) of a file that will be opened after those offered before. The window must
 * stay until the file is opened or withdrawn. False: no place, or not a file with such a start. */
bool canp_ahead_offer(struct canp_ahead *a, uint64_t file, const struct canp_ahead_start *start,
		      const uint8_t *win, size_t len);
/* There is room for another offer. */
bool canp_ahead_wants(const struct canp_ahead *a);
/* The files offered will not be opened, or their windows go away. */
void canp_ahead_withdraw(struct canp_ahead *a);

/* ---- for walkers: a NULL context is allowed everywhere and means no look-ahead --------------- */

/* What stands at a place of the file. */
struct canp_ahead_found {
	uint64_t pos;   /* from that place to what canp_ahead_take() will name */
	size_t in;      /* from that place to the member */
	size_t in_len;  /* of the member */
	size_t advance; /* to the place after it */
	enum canp_inflate_kind kind;
	bool skip; /* not one to be inflated ahead */
};

/* Looks at p[0..len), where the last one ended. False: nothing that lies wholly in there. A pure
 * function of the bytes and of arg; it need not be right. advance > 0, in + in_len <= len. */
typedef bool (*canp_ahead_find_fn)(void *arg, const uint8_t *p, size_t len,
				   struct canp_ahead_found *found);

/* Of a format: where the chain of members begins in a file that starts with head (at most len), and
 * a find that is called without an arg. */
struct canp_ahead_start {
	size_t (*first)(const uint8_t *head, size_t len);
	canp_ahead_find_fn find;
};

/* A file begins. */
void canp_ahead_open(struct canp_ahead *a);
/* The window at hand (as canp_format.walk gets it) and how to find members in it. */
void canp_ahead_window(struct canp_ahead *a, canp_ahead_find_fn find, void *arg, const uint8_t *win,
		       size_t len, uint64_t base, bool eof);
/* The window is given back and may change: decodes what still reads from it. */
void canp_ahead_leave(struct canp_ahead *a);

/* The walker has come to the member at pos, rest bytes before the end of the window. False: it is
 * still being decoded, lanes are running empty and there is more input to come, so the walker
 * should leave the rest (never more than half of CANP_FORMAT_STRADDLE) and ask for more. */
bool canp_ahead_ready(struct canp_ahead *a, uint64_t pos, size_t rest);
/* The decoded member at pos, or NULL when it was not inflated ahead. The bytes at ->out have
 * CANP_CARRY_MAX bytes of room in front and stay until the next call. */
const struct canp_inflate_job *canp_ahead_take(struct canp_ahead *a, uint64_t pos,
					       enum canp_inflate_kind kind, size_t in_len);

#endif
