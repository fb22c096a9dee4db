/*
 * pqenc.h - the encodings of Parquet pages as small resumable writers over plain memory: the
 * RLE/bit-packed hybrid, DELTA_BINARY_PACKED, definition levels and page headers.
 *
 * A writer gets up to 256 values at a time (a chunk) and produces the bytes of that portion; the
 * caller gives room for the stated bound and owns the memory. The output is a function of the
 * values and of the portions they came in, nothing else. Packing is done by the kernels of
 * simd/simd.h, so canp_simd_init() must have run. All functions: any thread, no allocation.
 */
#ifndef CANP_SINK_PQENC_H
#define CANP_SINK_PQENC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/simd.h"

/* Parquet's own numbers (parquet.thrift). */
enum canp_pq_type {
	CANP_PQ_BOOLEAN = 0,
	CANP_PQ_INT32 = 1,
	CANP_PQ_INT64 = 2,
	CANP_PQ_FLOAT = 4,
	CANP_PQ_DOUBLE = 5,
	CANP_PQ_BYTE_ARRAY = 6,
};
enum canp_pq_encoding {
	CANP_PQ_PLAIN = 0,
	CANP_PQ_RLE = 3,
	CANP_PQ_DELTA = 5,
	CANP_PQ_DICT = 8, /* RLE_DICTIONARY */
};
enum canp_pq_codec { CANP_PQ_NONE = 0, CANP_PQ_GZIP = 2, CANP_PQ_ZSTD = 6 };
enum canp_pq_page { CANP_PQ_DATA_PAGE = 0, CANP_PQ_DICT_PAGE = 2 };

/* ULEB128; returns the bytes written (1..10). */
size_t canp_pq_uleb(uint8_t *out, uint64_t v);

/* ---- RLE/bit-packed hybrid of u16 values at a fixed width -------------------------------------
 * Equal values become RLE runs that grow over portions; the rest is bit-packed by eights, and up
 * to seven values wait for the next portion. Zero-initialise. */
struct canp_hybrid {
	uint8_t *hdr; /* header byte of the bit-packed run written last, while it may grow */
	uint32_t rle_count;
	uint16_t rle_value;
	uint8_t groups; /* of that bit-packed run, <= 63 so that its header stays one byte */
	uint8_t nr_carry;
	uint16_t carry[8];
};

/* Room one canp_hybrid_add() may touch: 264 values of 16 bits, headers, kernel slack. */
#define CANP_HYBRID_ROOM (264u * 2u + 32u + CANP_SIMD_PAD)
/* Room canp_hybrid_finish() may touch: one RLE run or one group of eight. */
#define CANP_HYBRID_TAIL (24u + CANP_SIMD_PAD)

/* Adds n <= 256 values below 2^w, w 0..16; v readable up to n rounded up to 32. equal says that
 * all n are the same. Returns the bytes written to out. out may be another buffer each time as
 * long as the portions are joined in order and stay in place until finish. */
size_t canp_hybrid_add(struct canp_hybrid *h, const uint16_t *v, size_t n, unsigned w, bool equal,
		       uint8_t *out);
/* Adds count copies of one value; room as above. */
size_t canp_hybrid_repeat(struct canp_hybrid *h, uint16_t v, uint32_t count, unsigned w,
			  uint8_t *out);
/* Ends the stream (pads the last group with zeros). */
size_t canp_hybrid_finish(struct canp_hybrid *h, unsigned w, uint8_t *out);

/* ---- reading back (pqunpack.c): what the owner needs to choose and to re-encode. Streams of width
 * w, 1..16; -EBADMSG when a stream does not hold what is asked for. */
/* A stream of n values. out needs room for n + 32. */
int canp_hybrid_read(const uint8_t *in, size_t len, unsigned w, uint16_t *out, size_t n);
/* The first n values of a stream of which only a part may be at hand; every value takes part in a
 * run of eight or more, so CANP_HYBRID_HEAD(n) bytes are enough. Room as above. */
int canp_hybrid_head(const uint8_t *in, size_t len, unsigned w, uint16_t *out, size_t n);
#define CANP_HYBRID_HEAD(n) (((n) / 8u + 1u) * 24u)
/* Sets used[v] = 1 for the first n values v and adds to *nr_used how many were 0 before. used: 2^w
 * bytes. */
int canp_hybrid_mark(const uint8_t *in, size_t len, unsigned w, size_t n, uint8_t *used,
		     uint32_t *nr_used);
/* Writes the first n values as map[v] (2^w entries), or as v - base when map is NULL, in a stream
 * of width to_w. Returns the bytes written: at most 2.25 per value, behind which CANP_HYBRID_ROOM
 * may be touched. */
int64_t canp_hybrid_remap(const uint8_t *in, size_t len, unsigned w, size_t n, const uint16_t *map,
			  uint16_t base, unsigned to_w, uint8_t *out);

/* ---- DELTA_BINARY_PACKED, blocks of 128, 4 miniblocks ------------------------------------------
 * The header holds the number of values, so it is made last and put in front. Zero-initialise. */
#define CANP_DELTA_VALUES 128u
struct canp_delta {
	/* The open block: the value before it, then its values. */
	int64_t open[1 + CANP_DELTA_VALUES];
	int64_t first, last;
	int64_t min, max; /* with bounds: of the values, once finished and if there are any */
	uint32_t count;   /* values added */
	uint16_t nr_open;
	bool is32;   /* INT32: differences wrap modulo 2^32. Set before the first value. */
	bool bounds; /* keep min and max. Set before the first value. */
	bool back;   /* some value was below the one before it, once finished */
};
#define CANP_DELTA_BLOCK_MAX (10u + 4u + 128u * 8u + CANP_SIMD_PAD)
/* Room one canp_delta_add() of 256 values may touch. */
#define CANP_DELTA_ROOM (2u * (10u + 4u + 128u * 8u) + CANP_SIMD_PAD)
#define CANP_DELTA_HEAD 24u

size_t canp_delta_add(struct canp_delta *d, const int64_t *v, size_t n, uint8_t *out);
size_t canp_delta_finish(struct canp_delta *d, uint8_t *out);
/* Header for d->count values; out has CANP_DELTA_HEAD bytes. */
size_t canp_delta_head(const struct canp_delta *d, uint8_t *out);

/* ---- definition levels -------------------------------------------------------------------------
 * Hybrid at width 1 of a validity bitmap (LSB first), without the u32 length. Runs of at least 64
 * equal rows become RLE. out: room for rows / 8 + 32. */
size_t canp_pq_levels(const uint8_t *bits, uint32_t rows, uint8_t *out);
/* The same for rows that are all present (level 1) or all null (level 0): <= 6 bytes. */
size_t canp_pq_levels_same(unsigned level, uint32_t rows, uint8_t *out);

/* ---- page headers ---- */
struct canp_pq_pagehdr {
	enum canp_pq_page type;
	enum canp_pq_encoding encoding;
	uint32_t plain_bytes, stored_bytes; /* before and after compression */
	uint32_t crc;                       /* of the stored bytes */
	uint32_t values;                    /* rows of a data page, entries of a dictionary */
	bool sorted;                        /* dictionary entries ascend strictly */
};
#define CANP_PQ_PAGEHDR_MAX 64u
/* out: CANP_PQ_PAGEHDR_MAX bytes. Returns the bytes written. */
size_t canp_pq_page_header(const struct canp_pq_pagehdr *h, uint8_t *out);

#endif
