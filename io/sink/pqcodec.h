/*
 * pqcodec.h - compression of one Parquet page by the codec and level of the job: gzip over ISA-L
 * (simd/deflate_isal.h) or zstd (pqzstd.h), in memory of the caller.
 *
 * Pages are independent: nothing is carried from one to the next, so threads, order and the parts
 * that share a context do not show in the bytes. One thread at a time may use a context.
 */
#ifndef CANP_SINK_PQCODEC_H
#define CANP_SINK_PQCODEC_H

#include <stddef.h>
#include <stdint.h>

#include "io/sink/pqenc.h"

struct canp_pqcodec;

/* Bytes of a context that serves every codec of this build, a multiple of 64. */
size_t canp_pqcodec_bytes(void);
/* Makes a context in mem: 64-byte aligned, owned by the caller, who may drop it at any time. */
struct canp_pqcodec *canp_pqcodec_init(void *mem);

/* Room that is enough for a page of n bytes with every codec. */
static inline uint64_t canp_pqcodec_bound(uint64_t n)
{
	return n + n / 256u + 256u;
}

/* Compresses in[0..n) into out, which has canp_pqcodec_bound(n) bytes; n <= 1 MiB. A level outside
 * the codec's range (gzip 0..3, zstd 1..9) becomes the nearest one. Returns the bytes written.
 * codec is not CANP_PQ_NONE and is part of this build. No allocation. */
uint32_t canp_pqcodec_page(struct canp_pqcodec *c, enum canp_pq_codec codec, int level,
			   const uint8_t *in, uint32_t n, uint8_t *out);

#endif
