/*
 * member.h - one compressed member (gzip member, zlib container, stored container): inflates it,
 * decides when its bytes may be believed, and hands them on in chunks.
 *
 *   buf:  | carry (CANP_CARRY_MAX) | chunk (CANP_HOLD_BYTES + slack) |
 *                ^ what the consumer left of the last chunk, moved in front of the next one
 *
 * A member that was inflated ahead (io/format/ahead.h) is handed on from the block it lies in, with
 * the carry copied in front of it; everything else is the same.
 *
 * Rule of belief: a member that inflates to at most CANP_HOLD_BYTES is handed on only after its
 * checksum was found right. A larger one is handed on as it comes; if it then turns out bad, what
 * was handed on stays and `unverified` is set. Input that just ends (cut) hands on what there is.
 *
 * Outcomes never depend on how the file is cut into windows: a member is either given whole
 * (canp_member_whole) or in pieces whose place and length follow from the member alone
 * (canp_member_feed: always CANP_MEMBER_PIECE bytes, less only at the end).
 * Private to io/format. All calls on the walking thread.
 */
#ifndef CANP_IO_MEMBER_H
#define CANP_IO_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "io/format/format.h"
#include "simd/inflate_isal.h"

#define CANP_HOLD_BYTES (128u * 1024u)
#define CANP_HOLD_SLACK 64u /* lets a member of exactly CANP_HOLD_BYTES reach its end mark */
#define CANP_CARRY_MAX  4096u
/* A piece must be longer than what the decoder may leave of it, or nothing would move. */
#define CANP_MEMBER_PIECE (CANP_INFLATE_HEADER_MAX + CANP_INFLATE_PIECE)
#define CANP_MEMBER_CTX   (168u * 1024u)
CANP_STATIC_ASSERT(CANP_MEMBER_PIECE <= CANP_FORMAT_STRADDLE, "a piece fits the window");

enum canp_wrap { CANP_WRAP_STORED, CANP_WRAP_GZIP, CANP_WRAP_ZLIB };

enum canp_member_result {
	CANP_MEMBER_OK,         /* ended, checksum right, everything handed on */
	CANP_MEMBER_MORE,       /* feed: offer the rest of the piece again with more behind it */
	CANP_MEMBER_HALTED,     /* feed: the consumer asked to stop (halt); feed the rest later */
	CANP_MEMBER_SHORT,      /* the input ended before the member did */
	CANP_MEMBER_BAD,        /* corrupt compressed data */
	CANP_MEMBER_BAD_SUM,    /* checksum or stored length wrong */
	CANP_MEMBER_LIMIT,      /* a bomb: size or ratio limit of the member */
	CANP_MEMBER_FILE_LIMIT, /* the file has inflated to its limit */
};

struct canp_member {
	/* Consumer: uses a prefix of p and returns its length; may leave at most CANP_CARRY_MAX. */
	size_t (*data)(void *arg, const uint8_t *p, size_t len);
	void *arg;
	struct canp_format_limits limits;
	uint64_t file_out; /* bytes that members inflated to */
	uint64_t file_pos; /* offset of the current member in the file; set by the format */
	uint64_t work; /* bytes that went in and out of the decoder, repeated attempts included */
	uint64_t in, out; /* of the current member */
	size_t fill;      /* bytes in the chunk not handed on yet */
	size_t carry;     /* bytes the consumer left */
	enum canp_wrap wrap;
	bool held;                   /* nothing of this member was handed on yet */
	bool unverified;             /* bytes were handed on that no checksum covers; sticky */
	bool halt;                   /* set by the consumer */
	bool stop;                   /* the file's limit was hit; sticky */
	struct canp_format_tap *tap; /* NULL, or what the consumer below is called through */
	size_t (*tap_data)(void *arg, const uint8_t *p, size_t len);
	void *tap_arg;
	struct canp_inflate *inflate;
	struct canp_ahead *ahead; /* NULL: none */
	uint8_t *chunk;           /* in buf, or a block of `ahead` */
	uint8_t ctx[CANP_MEMBER_CTX] CANP_ALIGNED(64);
	uint8_t buf[CANP_CARRY_MAX + CANP_HOLD_BYTES + CANP_HOLD_SLACK + 64];
};

/* Makes *m usable; buf is not touched. host is only read; what it lends is kept. */
void canp_member_init(struct canp_member *m, const struct canp_format_host *host,
		      size_t (*data)(void *arg, const uint8_t *p, size_t len), void *arg);

/* A member that lies wholly in in[0..len) (or is cut there: the file ends). verify: its header
 * promises no more than CANP_HOLD_BYTES, so if it is larger it must prove itself before anything is
 * handed on. *used: input bytes up to its end (up to the error otherwise). Never MORE or HALTED. */
enum canp_member_result canp_member_whole(struct canp_member *m, enum canp_wrap wrap,
					  const uint8_t *in, size_t len, bool cut, bool verify,
					  size_t *used);

/* A member in pieces. last: nothing follows this piece; cut: because the file ends. */
void canp_member_begin(struct canp_member *m, enum canp_wrap wrap);
enum canp_member_result canp_member_feed(struct canp_member *m, const uint8_t *in, size_t len,
					 bool last, bool cut, size_t *used);

/* Forgets what the consumer left: the bytes that should follow are lost. Returns how many. */
size_t canp_member_drop_carry(struct canp_member *m);

/* Reports a result other than OK, MORE and HALTED as a fault of the bytes offset..offset+bytes;
 * what: "block", "container", .. */
void canp_member_fault(const struct canp_member *m, const struct canp_format_host *host,
		       enum canp_member_result r, bool cut, uint64_t offset, uint64_t bytes,
		       const char *what);

#endif
