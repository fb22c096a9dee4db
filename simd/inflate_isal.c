/*
 * inflate_isal.c - headers, trailers and checksums by us, deflate by ISA-L.
 *
 * Two things about ISA-L decide the shape of the stream half:
 *
 * - When the input ends, the bits it looks ahead are zeros, so up to two complete symbols before
 *   the end may or may not be decoded, depending on how earlier symbols were grouped, which in turn
 *   depends on where earlier inputs ended. Cutting the input at fixed places makes the outcome a
 *   function of the data again (see CANP_INFLATE_PIECE).
 * - It holds up to eight input bytes in a register and up to 64 KiB of output in its own buffer. At
 *   the end of a member, or when the output is full, the whole bytes in the register are handed
 *   back, so that `in_used` is exact; after a fault the decoded rest is drained before the fault
 *   is reported.
 *
 * And one shapes both: a match from before the start of the output is refused, but its fast loop
 * has counted the bytes already. Only the first 32 KiB of a member can have such a match, so the
 * portable decoder of the lanes counts them again (bytes_before_fault()).
 */
#include "simd/inflate_isal.h"

#include <isa-l.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "simd/inflate_lane.h"
#include "simd/simd.h"

enum inflate_phase { PHASE_HEADER, PHASE_BODY, PHASE_TRAILER, PHASE_ENDED };

#define MATCH_MAX    258u
#define DISTANCE_MAX 32768u
/* Deflate data of which the first DISTANCE_MAX bytes are made: noise is stored with 5 bytes a
 * block. Where it is more, as behind thousands of empty blocks, the count after a refused match is
 * MATCH_MAX bytes less than what was counted. */
#define HEAD_BYTES (CANP_INFLATE_PIECE + 8192u)

struct canp_inflate {
	struct inflate_state isal;
	enum canp_inflate_kind kind;
	enum inflate_phase phase;
	enum canp_inflate_result fault; /* valid in PHASE_ENDED, or in PHASE_BODY while draining */
	bool failed;                    /* ISA-L is not to be called again */
	uint32_t sum;                   /* CRC-32 or Adler-32 so far */
	uint64_t produced;              /* bytes of this member handed out */
	uint64_t body_pos;              /* bytes of deflate data taken */
	size_t head_len;
	/* Not cleared by init. */
	uint8_t head[HEAD_BYTES];                /* the stream's first deflate data */
	uint8_t again[DISTANCE_MAX + MATCH_MAX]; /* what it makes, after a fault */
};

/* What a call still may use; carried through the phases. */
struct inflate_io {
	const uint8_t *in, *in_end;
	uint8_t *out, *out_end;
	bool last;
};

static size_t io_in(const struct inflate_io *io)
{
	return (size_t)(io->in_end - io->in);
}

static size_t io_out(const struct inflate_io *io)
{
	return (size_t)(io->out_end - io->out);
}

static uint32_t clamp_u32(size_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

const char *canp_inflate_result_name(enum canp_inflate_result result)
{
	static const char *const names[] = {"ok",        "need input", "need output",
					    "truncated", "bad data",   "bad checksum"};

	return (size_t)result < CANP_ARRAY_SIZE(names) ? names[result] : "unknown";
}

/* ---- headers and trailers ---------------------------------------------------------------------*/

#define GZIP_FIXED     10u
#define GZIP_FHCRC     0x02u
#define GZIP_FEXTRA    0x04u
#define GZIP_FNAME     0x08u
#define GZIP_FCOMMENT  0x10u
#define GZIP_FRESERVED 0xe0u

/* Advances *pos behind a zero-terminated string; false when its end is not there. */
static bool header_skip_string(struct canp_span s, size_t *pos)
{
	const uint8_t *end = *pos < s.len ? memchr(s.ptr + *pos, 0, s.len - *pos) : NULL;

	if (!end)
		return false;
	*pos = (size_t)(end - s.ptr) + 1;
	return true;
}

/* The optional fields; false when they do not end inside s. */
static bool header_skip_optional(struct canp_span s, size_t *pos)
{
	uint8_t flags = s.ptr[3];

	if (flags & GZIP_FEXTRA) {
		if (!canp_span_has(s, *pos, 2))
			return false;
		*pos += 2u + canp_le16(s.ptr + *pos);
		if (*pos > s.len)
			return false;
	}
	if (flags & GZIP_FNAME && !header_skip_string(s, pos))
		return false;
	if (flags & GZIP_FCOMMENT && !header_skip_string(s, pos))
		return false;
	return !(flags & GZIP_FHCRC) || canp_span_has(s, *pos, 2);
}

enum canp_inflate_result canp_gzip_header(const uint8_t *in, size_t in_len, size_t *header_len)
{
	/* Wrong bytes are reported as soon as they are there, not when the header is complete. */
	static const uint8_t magic[3] = {0x1f, 0x8b, 8};
	struct canp_span s = {in, canp_min(in_len, (size_t)CANP_INFLATE_HEADER_MAX)};
	size_t pos = GZIP_FIXED;

	if (s.len == 0)
		return CANP_INFLATE_TRUNCATED;
	if (memcmp(in, magic, canp_min(s.len, sizeof(magic))) != 0)
		return CANP_INFLATE_BAD_DATA;
	if (s.len > 3 && in[3] & GZIP_FRESERVED)
		return CANP_INFLATE_BAD_DATA;
	if (s.len < GZIP_FIXED)
		return CANP_INFLATE_TRUNCATED;
	if (!header_skip_optional(s, &pos))
		return in_len >= CANP_INFLATE_HEADER_MAX ? CANP_INFLATE_BAD_DATA
							 : CANP_INFLATE_TRUNCATED;
	if (in[3] & GZIP_FHCRC) {
		if (canp_le16(in + pos) != (canp_simd.crc32(0, in, pos) & 0xffff))
			return CANP_INFLATE_BAD_DATA;
		pos += 2;
	}
	*header_len = pos;
	return CANP_INFLATE_OK;
}

static enum canp_inflate_result zlib_header(const uint8_t *in, size_t in_len, size_t *header_len)
{
	if (in_len >= 1 && ((in[0] & 0x0f) != 8 || in[0] >> 4 > 7))
		return CANP_INFLATE_BAD_DATA;
	if (in_len < 2)
		return CANP_INFLATE_TRUNCATED;
	/* The check bits, and no preset dictionary. */
	if (canp_be16(in) % 31 != 0 || in[1] & 0x20)
		return CANP_INFLATE_BAD_DATA;
	*header_len = 2;
	return CANP_INFLATE_OK;
}

static enum canp_inflate_result header_parse(enum canp_inflate_kind kind, const uint8_t *in,
					     size_t in_len, size_t *header_len)
{
	if (kind == CANP_INFLATE_GZIP)
		return canp_gzip_header(in, in_len, header_len);
	if (kind == CANP_INFLATE_ZLIB)
		return zlib_header(in, in_len, header_len);
	*header_len = 0;
	return CANP_INFLATE_OK;
}

static size_t trailer_bytes(enum canp_inflate_kind kind)
{
	return kind == CANP_INFLATE_GZIP ? 8 : kind == CANP_INFLATE_ZLIB ? 4 : 0;
}

static uint32_t sum_start(enum canp_inflate_kind kind)
{
	return kind == CANP_INFLATE_ZLIB;
}

static uint32_t sum_add(enum canp_inflate_kind kind, uint32_t sum, const uint8_t *p, size_t n)
{
	if (kind == CANP_INFLATE_GZIP)
		return canp_simd.crc32(sum, p, n);
	if (kind == CANP_INFLATE_ZLIB)
		return canp_simd.adler32(sum, p, n);
	return sum;
}

/* trailer: trailer_bytes() of them. */
static bool trailer_matches(enum canp_inflate_kind kind, const uint8_t *trailer, uint32_t sum,
			    uint64_t produced)
{
	if (kind == CANP_INFLATE_GZIP)
		return canp_le32(trailer) == sum && canp_le32(trailer + 4) == (uint32_t)produced;
	return kind != CANP_INFLATE_ZLIB || canp_be32(trailer) == sum;
}

/* ---- whole members ----------------------------------------------------------------------------*/

size_t canp_inflate_bytes(void)
{
	return canp_align_up(sizeof(struct canp_inflate), (size_t)CANP_CACHELINE);
}

struct canp_inflate *canp_inflate_init(void *mem)
{
	struct canp_inflate *ctx = mem;

	CANP_ASSERT(((uintptr_t)mem & (CANP_CACHELINE - 1)) == 0);
	/* Tables and buffers are filled before they are used, but an error path of ISA-L may look
	 * at leftovers: with zeros it does so the same way on every run. */
	memset(ctx, 0, offsetof(struct canp_inflate, head));
	canp_inflate_reset(ctx, CANP_INFLATE_GZIP);
	return ctx;
}

/* How many of `counted` bytes the deflate data in[0..len) really makes before a match that reaches
 * too far back; they are made at out[0..cap) once more. */
static uint64_t bytes_before_fault(const uint8_t *in, size_t len, uint8_t *out, size_t cap,
				   uint64_t counted)
{
	struct canp_lane lane = {.bit = 8 * (uint64_t)(uintptr_t)in,
				 .bit_end = 8 * (uint64_t)(uintptr_t)(in + len),
				 .out = out,
				 .out_start = out,
				 .out_end = out + cap};
	struct canp_lane_tables tab;
	uint64_t exact;

	if (canp_lane_blocks(&lane, &tab) == LANE_MORE)
		canp_lane_finish(&lane, &tab);
	exact = (uint64_t)(lane.out - out);
	exact = canp_max(exact, counted > MATCH_MAX ? counted - MATCH_MAX : 0);
	return canp_min(exact, counted);
}

static enum canp_inflate_result member_result(int rc)
{
	switch (rc) {
	case ISAL_DECOMP_OK:
		return CANP_INFLATE_OK;
	case ISAL_END_INPUT:
		return CANP_INFLATE_TRUNCATED;
	case ISAL_OUT_OVERFLOW:
		return CANP_INFLATE_NEED_OUTPUT;
	default:
		return CANP_INFLATE_BAD_DATA;
	}
}

enum canp_inflate_result canp_inflate_member(struct canp_inflate *ctx, enum canp_inflate_kind kind,
					     const uint8_t *in, size_t in_len, uint8_t *out,
					     size_t out_cap, size_t *out_len, size_t *in_used)
{
	struct inflate_state *isal = &ctx->isal;
	enum canp_inflate_result result;
	size_t pos = 0, body;
	int rc;

	*out_len = *in_used = 0;
	in_len = clamp_u32(in_len);
	result = header_parse(kind, in, in_len, &pos);
	if (result != CANP_INFLATE_OK)
		return result;

	canp_inflate_reset(ctx, kind);
	isal->next_in = (uint8_t *)in + pos;
	isal->avail_in = (uint32_t)(in_len - pos);
	isal->next_out = out;
	isal->avail_out = clamp_u32(out_cap);
	body = pos;
	rc = isal_inflate_stateless(isal);
	result = member_result(rc);
	*out_len = (size_t)(isal->next_out - out);
	if (rc == ISAL_INVALID_LOOKBACK)
		*out_len = (size_t)bytes_before_fault(in + body, in_len - body, out, *out_len,
						      *out_len);
	/* Where the input ended inside a symbol, ISA-L points behind it. */
	pos = canp_min((size_t)(isal->next_in - in), in_len);
	if (result == CANP_INFLATE_OK) {
		uint32_t sum = sum_add(kind, sum_start(kind), out, *out_len);

		if (in_len - pos < trailer_bytes(kind)) {
			pos = in_len;
			result = CANP_INFLATE_TRUNCATED;
		} else {
			if (!trailer_matches(kind, in + pos, sum, *out_len))
				result = CANP_INFLATE_BAD_CHECKSUM;
			pos += trailer_bytes(kind);
		}
	}
	*in_used = pos;
	return result;
}

/* ---- streams ----------------------------------------------------------------------------------*/

void canp_inflate_reset(struct canp_inflate *ctx, enum canp_inflate_kind kind)
{
	isal_inflate_reset(&ctx->isal);
	/* Incomplete codes leave table entries untouched: leftovers of an earlier member must not
	 * decide how a corrupt one ends. 20 KiB, .3 % of the cost of a 64 KiB member. */
	memset(&ctx->isal.lit_huff_code, 0, sizeof(ctx->isal.lit_huff_code));
	memset(&ctx->isal.dist_huff_code, 0, sizeof(ctx->isal.dist_huff_code));
	ctx->isal.crc_flag = ISAL_DEFLATE;
	ctx->isal.hist_bits = 0;
	ctx->kind = kind;
	ctx->phase = PHASE_HEADER;
	ctx->failed = false;
	ctx->fault = CANP_INFLATE_OK;
	ctx->sum = sum_start(kind);
	ctx->produced = 0;
	ctx->body_pos = 0;
	ctx->head_len = 0;
}

static enum canp_inflate_result stream_end(struct canp_inflate *ctx,
					   enum canp_inflate_result result)
{
	ctx->phase = PHASE_ENDED;
	ctx->fault = result;
	return result;
}

static enum canp_inflate_result stream_starved(struct canp_inflate *ctx, struct inflate_io *io)
{
	if (!io->last)
		return CANP_INFLATE_NEED_INPUT;
	io->in = io->in_end;
	return stream_end(ctx, CANP_INFLATE_TRUNCATED);
}

/* OK: the phase is over. */
static enum canp_inflate_result stream_header(struct canp_inflate *ctx, struct inflate_io *io)
{
	size_t len = 0;
	enum canp_inflate_result result = header_parse(ctx->kind, io->in, io_in(io), &len);

	if (result == CANP_INFLATE_TRUNCATED)
		return stream_starved(ctx, io);
	if (result != CANP_INFLATE_OK)
		return stream_end(ctx, result);
	io->in += len;
	ctx->phase = PHASE_BODY;
	return CANP_INFLATE_OK;
}

static enum canp_inflate_result stream_trailer(struct canp_inflate *ctx, struct inflate_io *io)
{
	size_t len = trailer_bytes(ctx->kind);
	bool good;

	if (io_in(io) < len)
		return stream_starved(ctx, io);
	good = trailer_matches(ctx->kind, io->in, ctx->sum, ctx->produced);
	io->in += len;
	return stream_end(ctx, good ? CANP_INFLATE_OK : CANP_INFLATE_BAD_CHECKSUM);
}

static void body_account(struct canp_inflate *ctx, struct inflate_io *io, size_t n)
{
	ctx->sum = sum_add(ctx->kind, ctx->sum, io->out, n);
	ctx->produced += n;
	io->out += n;
}

/* Takes whole bytes from ISA-L's register back into the slice that starts at `in`. What was read
 * from earlier slices stays: the symbol that was incomplete then ends behind it, so the end of the
 * member cannot lie there. A header in pieces, where the register does not hold the last bytes
 * read, exists only while input is short. */
static void body_unread(struct inflate_state *isal, const uint8_t *in)
{
	size_t bytes = isal->read_in_length > 0 ? (size_t)isal->read_in_length / 8 : 0;

	bytes = canp_min(bytes, (size_t)(isal->next_in - in));
	if (isal->tmp_in_size || bytes == 0)
		return;
	isal->next_in -= bytes;
	isal->avail_in += (uint32_t)bytes;
	isal->read_in_length -= (int32_t)(8 * bytes);
	isal->read_in &= (1ull << isal->read_in_length) - 1;
}

/* Keeps the start of the stream for the case that it must be counted again. */
static void body_keep(struct canp_inflate *ctx, const uint8_t *piece, size_t len)
{
	uint64_t end = canp_min(ctx->body_pos + len, (uint64_t)HEAD_BYTES);

	if (ctx->produced >= DISTANCE_MAX || end <= ctx->head_len)
		return;
	memcpy(ctx->head + ctx->head_len, piece + (ctx->head_len - ctx->body_pos),
	       (size_t)end - ctx->head_len);
	ctx->head_len = (size_t)end;
}

/* ISA-L refused a match: takes what it counted too much off its own buffer and off `made`. */
static size_t body_uncount(struct canp_inflate *ctx, size_t made)
{
	struct inflate_state *isal = &ctx->isal;
	size_t kept = (size_t)(isal->tmp_out_valid - isal->tmp_out_processed), off;
	uint64_t counted = ctx->produced + made + kept;

	off = (size_t)(counted - bytes_before_fault(ctx->head, ctx->head_len, ctx->again,
						    sizeof(ctx->again), counted));
	kept = canp_min(kept, off);
	isal->tmp_out_valid -= (int32_t)kept;
	return made - canp_min(made, off - kept);
}

/* One call of ISA-L on the next piece. */
static int body_step(struct canp_inflate *ctx, struct inflate_io *io, size_t piece)
{
	struct inflate_state *isal = &ctx->isal;
	uint32_t room = clamp_u32(io_out(io));
	size_t taken, made;
	int rc;

	body_keep(ctx, io->in, piece);
	isal->next_in = (uint8_t *)io->in;
	isal->avail_in = (uint32_t)piece;
	isal->next_out = io->out;
	isal->avail_out = room;
	rc = isal_inflate(isal);
	if (rc == ISAL_DECOMP_OK &&
	    (isal->avail_out == 0 || isal->block_state == ISAL_BLOCK_INPUT_DONE ||
	     isal->block_state == ISAL_BLOCK_FINISH))
		body_unread(isal, io->in);
	taken = canp_min((size_t)(isal->next_in - io->in), piece);
	io->in += taken;
	ctx->body_pos += taken;
	/* By the pointers: after a fault the avail_ counts lag behind them. */
	made = (size_t)(isal->next_out - io->out);
	if (rc == ISAL_INVALID_LOOKBACK)
		made = body_uncount(ctx, made);
	body_account(ctx, io, made);
	/* Input, room and no step: the loop above must not depend on this never happening. */
	if (piece && !taken && !made && isal->block_state != ISAL_BLOCK_FINISH)
		return ISAL_INVALID_BLOCK;
	return rc;
}

/* After a fault: what ISA-L had decoded into its own buffer but not handed out yet. */
static enum canp_inflate_result body_drain(struct canp_inflate *ctx, struct inflate_io *io)
{
	struct inflate_state *isal = &ctx->isal;
	size_t n = (size_t)(isal->tmp_out_valid - isal->tmp_out_processed);

	n = canp_min(n, io_out(io));
	if (n)
		memcpy(io->out, isal->tmp_out_buffer + isal->tmp_out_processed, n);
	isal->tmp_out_processed += (int32_t)n;
	body_account(ctx, io, n);
	if (isal->tmp_out_processed < isal->tmp_out_valid)
		return CANP_INFLATE_NEED_OUTPUT;
	return stream_end(ctx, ctx->fault);
}

static enum canp_inflate_result stream_body(struct canp_inflate *ctx, struct inflate_io *io)
{
	for (;;) {
		size_t piece = CANP_INFLATE_PIECE - ctx->body_pos % CANP_INFLATE_PIECE;
		bool whole = io_in(io) >= piece,
		     done = ctx->isal.block_state == ISAL_BLOCK_INPUT_DONE;

		if (ctx->failed)
			return body_drain(ctx, io);
		if (io->out == io->out_end)
			return CANP_INFLATE_NEED_OUTPUT;
		/* Output that is waiting needs no input. */
		if (!whole && !io->last && !done)
			return CANP_INFLATE_NEED_INPUT;
		if (body_step(ctx, io, whole ? piece : io_in(io)) < 0) {
			ctx->failed = true;
			ctx->fault = CANP_INFLATE_BAD_DATA;
			continue;
		}
		if (ctx->isal.block_state == ISAL_BLOCK_FINISH) {
			ctx->phase = PHASE_TRAILER;
			return CANP_INFLATE_OK;
		}
		if (io->out < io->out_end && io->in == io->in_end && io->last)
			return stream_starved(ctx, io);
	}
}

enum canp_inflate_result canp_inflate_feed(struct canp_inflate *ctx, const uint8_t *in,
					   size_t in_len, bool last, uint8_t *out, size_t out_cap,
					   size_t *out_len, size_t *in_used)
{
	struct inflate_io io = {.in = in,
				.in_end = in + in_len,
				.out = out,
				.out_end = out + out_cap,
				.last = last};
	enum canp_inflate_result result = ctx->fault;

	if (ctx->phase == PHASE_HEADER)
		result = stream_header(ctx, &io);
	if (ctx->phase == PHASE_BODY)
		result = stream_body(ctx, &io);
	if (ctx->phase == PHASE_TRAILER)
		result = stream_trailer(ctx, &io);
	*out_len = (size_t)(io.out - out);
	*in_used = (size_t)(io.in - in);
	return result;
}
