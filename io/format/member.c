/*
 * member.c - inflating one member with resumable inflate.
 *
 * Three ways through a member that lies wholly in the window:
 *   it fits the hold buffer      inflate at once, check, hand on                (the usual case)
 *   it is larger as announced    inflate, hand on chunk by chunk
 *   it is larger than announced  inflate once to check, then again to hand on: a flipped bit often
 *                                makes a full container a few bytes longer, and those frames must
 *                                not be believed just because the buffer ran over
 *
 * All steps have the same shape whatever the window was: the input is the whole member or a fixed
 * piece of it, the output room is fixed, and limits are looked at only when that room is full or
 * the member over. So the place where a corrupt stream is found to be corrupt, and with it the
 * number of frames that stay, is a function of the file alone.
 */
#include "io/format/member.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "io/format/ahead.h"
#include "io/format/walk.h"

/* The ratio says nothing about short members: deflate's startup is cheap. */
#define RATIO_FREE_BYTES (1u << 20)
/* Work allowed for each byte of the file, as a multiple of the ratio limit; the rest is slack for
 * members near its start. Only a file made of false headers comes near it. */
#define WORK_RATIO      2u
#define WORK_FREE_BYTES (256u << 20)

enum step { STEP_FULL, STEP_INPUT, STEP_END, STEP_BAD, STEP_BAD_SUM };

/* Where the next chunk goes, with its carry in front: our own buffer. */
static uint8_t *member_chunk(struct canp_member *m)
{
	return m->buf + CANP_CARRY_MAX;
}

static enum canp_inflate_kind member_kind(enum canp_wrap wrap)
{
	return wrap == CANP_WRAP_GZIP ? CANP_INFLATE_GZIP : CANP_INFLATE_ZLIB;
}

static size_t member_tap(void *arg, const uint8_t *p, size_t len)
{
	struct canp_member *m = arg;

	return m->tap->fn(m->tap, m->tap_data, m->tap_arg, p, len);
}

void canp_member_init(struct canp_member *m, const struct canp_format_host *host,
		      size_t (*data)(void *arg, const uint8_t *p, size_t len), void *arg)
{
	CANP_ASSERT(canp_inflate_bytes() <= sizeof(m->ctx));
	m->inflate = canp_inflate_init(m->ctx);
	m->tap = host->tap;
	m->tap_data = data;
	m->tap_arg = arg;
	m->data = m->tap ? member_tap : data;
	m->arg = m->tap ? m : arg;
	m->ahead = host->ahead;
	m->chunk = member_chunk(m);
	canp_walk_limits(host, &m->limits);
	m->file_out = 0;
	m->file_pos = 0;
	m->work = 0;
	m->fill = 0;
	m->carry = 0;
	m->unverified = false;
	m->halt = false;
	m->stop = false;
	canp_member_begin(m, CANP_WRAP_STORED);
}

void canp_member_begin(struct canp_member *m, enum canp_wrap wrap)
{
	m->wrap = wrap;
	m->in = 0;
	m->out = 0;
	m->fill = 0;
	m->chunk = member_chunk(m);
	m->held = wrap != CANP_WRAP_STORED;
	if (wrap != CANP_WRAP_STORED)
		canp_inflate_reset(m->inflate, member_kind(wrap));
}

static enum step step_stored(const uint8_t *in, size_t len, uint8_t *out, size_t room, size_t *used,
			     size_t *made)
{
	*used = *made = canp_min(len, room);
	memcpy(out, in, *used);
	return *used < len ? STEP_FULL : STEP_INPUT;
}

/* What a decoder result means for us; input that ends is an event, not yet a fault. */
static enum step step_of(enum canp_inflate_result r)
{
	switch (r) {
	case CANP_INFLATE_OK:
		return STEP_END;
	case CANP_INFLATE_NEED_INPUT:
	case CANP_INFLATE_TRUNCATED:
		return STEP_INPUT;
	case CANP_INFLATE_NEED_OUTPUT:
		return STEP_FULL;
	case CANP_INFLATE_BAD_CHECKSUM:
		return STEP_BAD_SUM;
	default:
		return STEP_BAD;
	}
}

/* One call of the decoder or copier into the room left in the chunk. */
static enum step member_step(struct canp_member *m, const uint8_t *in, size_t len, bool last,
			     size_t *used)
{
	size_t room = CANP_HOLD_BYTES + CANP_HOLD_SLACK - m->fill, made;
	uint8_t *out = member_chunk(m) + m->fill;
	enum step s;

	if (m->wrap == CANP_WRAP_STORED)
		s = step_stored(in, len, out, room, used, &made);
	else
		s = step_of(canp_inflate_feed(m->inflate, in, len, last, out, room, &made, used));
	m->in += *used;
	m->out += made;
	m->work += *used + made;
	m->fill += made;
	return s;
}

/* OK while the limits hold. */
static enum canp_member_result member_limits(const struct canp_member *m)
{
	if (m->file_out + m->out > m->limits.file_inflated_max ||
	    (m->work > WORK_FREE_BYTES &&
	     m->work / m->limits.ratio_max / WORK_RATIO > m->file_pos + m->in))
		return CANP_MEMBER_FILE_LIMIT;
	if (m->wrap == CANP_WRAP_STORED)
		return CANP_MEMBER_OK;
	if (m->out > m->limits.member_inflated_max)
		return CANP_MEMBER_LIMIT;
	if (m->out > RATIO_FREE_BYTES && m->out / m->limits.ratio_max > m->in)
		return CANP_MEMBER_LIMIT;
	return CANP_MEMBER_OK;
}

/* Hands the chunk on and moves what is left of it in front of the next one. */
static void member_deliver(struct canp_member *m)
{
	uint8_t *p = m->chunk - m->carry;
	size_t len = m->carry + m->fill, n;

	m->held = false;
	if (!m->fill)
		return;
	if (m->chunk != member_chunk(m))
		memcpy(p, member_chunk(m) - m->carry, m->carry);
	n = m->data(m->arg, p, len);
	/* A consumer that leaves more breaks its contract; the surplus is dropped, not overrun. */
	m->carry = canp_min(len - n, (size_t)CANP_CARRY_MAX);
	memmove(member_chunk(m) - m->carry, p + len - m->carry, m->carry);
	m->chunk = member_chunk(m);
	m->fill = 0;
}

static enum canp_member_result member_done(struct canp_member *m, enum canp_member_result r)
{
	if (r != CANP_MEMBER_OK && !m->held && m->out)
		m->unverified = true;
	m->file_out += m->out;
	m->fill = 0;
	m->stop |= r == CANP_MEMBER_FILE_LIMIT;
	return r;
}

/* The end of a member that is not OK: cut input delivers what there is, errors deliver the rest of
 * a member that was already being handed on. */
static enum canp_member_result member_fail(struct canp_member *m, enum canp_member_result r,
					   bool cut)
{
	if (!m->held || (r == CANP_MEMBER_SHORT && cut))
		member_deliver(m);
	return member_done(m, r);
}

static enum canp_member_result step_error(enum step s)
{
	if (s == STEP_INPUT)
		return CANP_MEMBER_SHORT;
	return s == STEP_BAD_SUM ? CANP_MEMBER_BAD_SUM : CANP_MEMBER_BAD;
}

enum canp_member_result canp_member_feed(struct canp_member *m, const uint8_t *in, size_t len,
					 bool last, bool cut, size_t *used)
{
	enum canp_member_result r;
	enum step s;
	size_t n;

	for (*used = 0;;) {
		s = member_step(m, in + *used, len - *used, last, &n);
		*used += n;
		if (s == STEP_INPUT && !last)
			return CANP_MEMBER_MORE;
		r = member_limits(m);
		if (r != CANP_MEMBER_OK)
			return member_fail(m, r, cut);
		if (s == STEP_END || (s == STEP_INPUT && m->wrap == CANP_WRAP_STORED && !cut)) {
			member_deliver(m);
			return member_done(m, CANP_MEMBER_OK);
		}
		if (s != STEP_FULL)
			return member_fail(m, step_error(s), cut);
		member_deliver(m);
		if (m->halt)
			return CANP_MEMBER_HALTED;
	}
}

/* The usual case: one call into the chunk, without the detours of a stream, or not even that when
 * the member was inflated ahead, with the same input and room. FULL: it does not fit. */
static enum step member_at_once(struct canp_member *m, const uint8_t *in, size_t len, size_t *used)
{
	const struct canp_inflate_job *job =
		canp_ahead_take(m->ahead, m->file_pos, member_kind(m->wrap), len);
	enum canp_inflate_result r;

	if (job) {
		m->chunk = job->out;
		m->fill = job->out_len;
		*used = job->in_used;
		r = job->result;
	} else {
		r = canp_inflate_member(m->inflate, member_kind(m->wrap), in, len, m->chunk,
					CANP_HOLD_BYTES + CANP_HOLD_SLACK, &m->fill, used);
	}
	m->in = *used;
	m->out = m->fill;
	m->work += *used + m->fill;
	CANP_USDT3(member_inflated, len, m->fill, job != NULL);
	return step_of(r);
}

/* Inflates all of a member for its checksum only. */
static enum canp_member_result member_verify(struct canp_member *m, const uint8_t *in, size_t len,
					     size_t *used)
{
	enum canp_member_result r;
	enum step s;
	size_t n;

	canp_member_begin(m, m->wrap);
	*used = 0;
	do {
		m->fill = 0;
		s = member_step(m, in + *used, len - *used, true, &n);
		*used += n;
		r = member_limits(m);
		if (r != CANP_MEMBER_OK)
			return r;
	} while (s == STEP_FULL);
	return s == STEP_END ? CANP_MEMBER_OK : step_error(s);
}

enum canp_member_result canp_member_whole(struct canp_member *m, enum canp_wrap wrap,
					  const uint8_t *in, size_t len, bool cut, bool verify,
					  size_t *used)
{
	enum canp_member_result r;
	enum step s;

	canp_member_begin(m, wrap);
	if (wrap == CANP_WRAP_STORED || !verify)
		return canp_member_feed(m, in, len, true, cut, used);
	s = member_at_once(m, in, len, used);
	r = member_limits(m);
	if (r != CANP_MEMBER_OK)
		return member_done(m, r);
	if (s == STEP_END) {
		member_deliver(m);
		return member_done(m, CANP_MEMBER_OK);
	}
	if (s != STEP_FULL)
		return member_fail(m, step_error(s), cut);
	r = member_verify(m, in, len, used);
	if (r != CANP_MEMBER_OK && !(r == CANP_MEMBER_SHORT && cut))
		return member_done(m, r); /* still held: nothing was handed on */
	canp_member_begin(m, wrap);
	return canp_member_feed(m, in, len, true, cut, used);
}

size_t canp_member_drop_carry(struct canp_member *m)
{
	size_t n = m->carry;

	m->carry = 0;
	return n;
}

void canp_member_fault(const struct canp_member *m, const struct canp_format_host *host,
		       enum canp_member_result r, bool cut, uint64_t offset, uint64_t bytes,
		       const char *what)
{
	enum canp_fault_code code = CANP_FAULT_BAD_DEFLATE;
	const char *text = "compressed data is corrupt";

	switch (r) {
	case CANP_MEMBER_SHORT:
		code = cut ? CANP_FAULT_TRUNCATED : CANP_FAULT_BAD_DEFLATE;
		text = cut ? "file ends inside it" : "compressed data does not end where it should";
		break;
	case CANP_MEMBER_BAD_SUM:
		code = CANP_FAULT_BAD_CHECKSUM;
		text = "checksum is wrong";
		break;
	case CANP_MEMBER_LIMIT:
		code = CANP_FAULT_LIMIT;
		text = "inflates beyond the member or ratio limit";
		break;
	case CANP_MEMBER_FILE_LIMIT:
		code = CANP_FAULT_LIMIT;
		text = "file inflates beyond its limit; the rest is not read";
		break;
	default:
		break;
	}
	canp_walk_fault(host, code, offset, bytes, "%s: %s after %llu of inflated bytes", what,
			text, (unsigned long long)m->out);
}
