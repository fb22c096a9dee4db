/*
 * inflate_isal.h - the resumable reference inflate: gzip, zlib and raw deflate over ISA-L.
 *
 * This is the decoder whose output counts. Faster ones may run first, but on any fault the member
 * is redone here, so that what is delivered never depends on which engine ran. Hence the number of
 * bytes reported with a fault is a pure function of the compressed bytes (and, when the output was
 * too small, of its size): never of slices, timing or processor.
 *
 * A context lives in memory of the caller, holds no pointer between calls and allocates nothing.
 * One thread at a time may use it. No call reads outside [in, in + in_len) or writes outside
 * [out, out + out_cap), whatever the input.
 */
#ifndef CANP_SIMD_INFLATE_ISAL_H
#define CANP_SIMD_INFLATE_ISAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum canp_inflate_kind {
	CANP_INFLATE_GZIP, /* RFC 1952, one member; CRC-32 and length verified */
	CANP_INFLATE_ZLIB, /* RFC 1950; Adler-32 verified; preset dictionaries are BAD_DATA */
	CANP_INFLATE_RAW,  /* RFC 1951; nothing to verify */
};

enum canp_inflate_result {
	CANP_INFLATE_OK,           /* the member is complete and its checksum matches */
	CANP_INFLATE_NEED_INPUT,   /* stream only: offer the unused bytes again, with more */
	CANP_INFLATE_NEED_OUTPUT,  /* the output is full; stream: go on with the next buffer */
	CANP_INFLATE_TRUNCATED,    /* the input ends inside the member */
	CANP_INFLATE_BAD_DATA,     /* header or deflate stream is corrupt */
	CANP_INFLATE_BAD_CHECKSUM, /* all bytes decoded, checksum or length differs */
};

/* A stream is decoded in pieces cut at multiples of this many bytes of its deflate data, wherever
 * the caller's slices end: it keeps the count of bytes before a cut independent of slices. */
#define CANP_INFLATE_PIECE (32u * 1024u)
/* Longest gzip header accepted (extra field, name and comment together). */
#define CANP_INFLATE_HEADER_MAX (128u * 1024u)

struct canp_inflate;

/* Bytes a context needs (about 165 KiB, half of it for damaged streams only), a multiple of 64. */
size_t canp_inflate_bytes(void);
/* Makes a context in mem (64-byte aligned, canp_inflate_bytes() long, owned by the caller, who may
 * drop it at any time). Ready for canp_inflate_member() and for a gzip stream. */
struct canp_inflate *canp_inflate_init(void *mem);

/* Decodes one whole member that starts at in. *out_len: valid bytes at out, also with a fault;
 * *in_used: with OK the length of the member including its trailer, otherwise how far decoding
 * came. in_len and out_cap beyond 4 GiB - 1 are not used. The stream of the context is lost. */
enum canp_inflate_result canp_inflate_member(struct canp_inflate *ctx, enum canp_inflate_kind kind,
					     const uint8_t *in, size_t in_len, uint8_t *out,
					     size_t out_cap, size_t *out_len, size_t *in_used);

/* Starts a stream: the next byte fed is the first one of a member. */
void canp_inflate_reset(struct canp_inflate *ctx, enum canp_inflate_kind kind);

/* Feeds a slice of the stream and takes what it yields; out may be another buffer every time.
 * `last` says that nothing follows this slice.
 *   NEED_INPUT   (never with last) *in_used bytes are done with; offer the rest again with more
 *                bytes behind it. The rest is shorter than CANP_INFLATE_PIECE, except while the
 *                header (at most CANP_INFLATE_HEADER_MAX) is incomplete.
 *   NEED_OUTPUT  out is full, there may be more: call again with the rest of the slice, which may
 *                be empty, and room.
 *   OK           the member ended after *in_used bytes and is verified; canp_inflate_reset() and
 *                go on behind it for concatenated members.
 *   TRUNCATED, BAD_DATA, BAD_CHECKSUM  the end; *out_len bytes are still valid output. Further
 *                calls repeat the result with no output. TRUNCATED with in_len 0 and nothing fed
 *                since the reset means that there is no member. */
enum canp_inflate_result canp_inflate_feed(struct canp_inflate *ctx, const uint8_t *in,
					   size_t in_len, bool last, uint8_t *out, size_t out_cap,
					   size_t *out_len, size_t *in_used);

/* Parses a gzip member header at in: OK and its length, TRUNCATED, or BAD_DATA (also for a header
 * longer than CANP_INFLATE_HEADER_MAX). Pure; any thread. */
enum canp_inflate_result canp_gzip_header(const uint8_t *in, size_t in_len, size_t *header_len);

/* "ok", "truncated", ...; constant string. */
const char *canp_inflate_result_name(enum canp_inflate_result result);

#endif
