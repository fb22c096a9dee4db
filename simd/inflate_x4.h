/*
 * inflate_x4.h - inflate for many independent members: several are decoded at once, interleaved.
 *
 * A decoder spends its time waiting: each lookup needs the one before it, and every unpredictable
 * branch throws work away. Streams decoded without such branches in one loop fill the gaps of each
 * other. So this wants four members or more in flight (five lanes gained 9 % over four, a sixth has
 * no registers): submit until no lane is free, take what is complete, submit again. With fewer it
 * works too, with one at the speed of a common decoder.
 *
 * What it delivers is what canp_inflate_member() delivers: on any fault the member is redone there
 * and only that result counts. Both are the same for damaged input, any engine and any processor.
 *
 * A context lives in memory of the caller and allocates nothing. One thread at a time may use it.
 * No call reads outside [in, in + in_len) or writes outside [out, out + out_cap), whatever the
 * input; input needs no padding. Bytes of out behind out_len may have been overwritten.
 */
#ifndef CANP_SIMD_INFLATE_X4_H
#define CANP_SIMD_INFLATE_X4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/inflate_isal.h"

#define CANP_INFLATE_LANES 5u

enum canp_inflate_engine {
	CANP_INFLATE_AUTO,        /* interleaved where canp_simd may use AVX2, else scalar */
	CANP_INFLATE_INTERLEAVED, /* the same choice; for symmetry with option values */
	CANP_INFLATE_SCALAR,      /* one after the other, portable C */
	CANP_INFLATE_ISAL,        /* canp_inflate_member() for all */
};

/* One member. The caller owns it and both buffers and leaves them alone from submit to next. */
struct canp_inflate_job {
	const uint8_t *in; /* where the member begins */
	size_t in_len;
	uint8_t *out;
	size_t out_cap;
	enum canp_inflate_kind kind;

	/* As from canp_inflate_member(). */
	enum canp_inflate_result result;
	size_t out_len, in_used;
	bool redone; /* the reference decoder made the result, after a fault */
};

struct canp_inflate_x4;

/* Bytes a context needs (about 130 KiB), a multiple of 64. */
size_t canp_inflate_x4_bytes(void);
/* Makes a context in mem (64-byte aligned, canp_inflate_x4_bytes() long, owned by the caller, who
 * may drop it whenever no job is in flight). After canp_simd_init(). */
struct canp_inflate_x4 *canp_inflate_x4_init(void *mem, enum canp_inflate_engine engine);

/* Lanes that would take a job now, 0..CANP_INFLATE_LANES. */
unsigned canp_inflate_x4_nr_free(const struct canp_inflate_x4 *ctx);
/* Starts a job; a lane must be free. */
void canp_inflate_x4_submit(struct canp_inflate_x4 *ctx, struct canp_inflate_job *job);
/* Works on all lanes until a job is complete and returns it; NULL when there is none. Jobs come in
 * the order they end; its lane is free again. */
struct canp_inflate_job *canp_inflate_x4_next(struct canp_inflate_x4 *ctx);

/* Decodes nr jobs, keeping the lanes busy; none may be in flight. */
void canp_inflate_x4_run(struct canp_inflate_x4 *ctx, struct canp_inflate_job *jobs, size_t nr);

#endif
