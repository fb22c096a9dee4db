/*
 * plan_j1939.c - what kind of traffic a message is: J1939 (matched by PGN), CAN FD, or more bytes
 * than a frame has.
 *
 * J1939 in auto mode: the message says so (VFrameFormat 3), or the file does (ProtocolType J1939
 * and nothing but extended ids), or its source address is 0xFE, the null address that databases
 * write for "any". A frame format stated on the message itself beats the two guesses.
 *
 * CAN FD: frame format 14 or 15, or more than 8 bytes on a bus of type CAN FD. Files without any
 * such attribute exist whose long messages can only be CAN FD: a length that is one of FD's own
 * and no sign of J1939. Everything else above 8 bytes needs a transport protocol.
 */
#include <string.h>
#include <strings.h>

#include "core/base/units.h"
#include "io/can/plan_parts.h"

#define J1939_SA_ANY  0xfeu /* null address */
#define CLASSIC_BYTES 8u
#define FD_BYTES      64u

static bool kind_all_extended(const struct canp_dbc *dbc)
{
	for (uint32_t i = 0; i < dbc->nr_messages; i++)
		if (!dbc->messages[i].ext)
			return false;
	return true;
}

static bool kind_is_j1939(const struct plan *p, const struct plan_def *d)
{
	const struct canp_dbc_message *m = d->msg;

	if (!m->ext || p->pub.opts.j1939 == CANP_J1939_OFF)
		return false;
	if (p->pub.opts.j1939 == CANP_J1939_ALWAYS || m->vframe == CANP_VFRAME_J1939)
		return true;
	if (m->vframe_stated || m->vframe == CANP_VFRAME_EXT_FD)
		return false;
	if ((m->id & 0xff) == J1939_SA_ANY)
		return true;
	return !strcasecmp(d->dbc->protocol_type, "J1939") && kind_all_extended(d->dbc);
}

static bool kind_fd_length(uint32_t length)
{
	static const uint8_t fd[] = {12, 16, 20, 24, 32, 48, 64};

	return memchr(fd, (int)length, sizeof(fd)) && length <= FD_BYTES;
}

static bool kind_says_fd(const struct plan_def *d)
{
	const struct canp_dbc_message *m = d->msg;

	if (m->vframe == CANP_VFRAME_STD_FD || m->vframe == CANP_VFRAME_EXT_FD)
		return true;
	return m->length > CLASSIC_BYTES && !m->vframe_stated &&
	       !strncasecmp(d->dbc->bus_type, "CAN FD", 6);
}

static bool kind_looks_fd(const struct plan_def *d)
{
	return d->msg->vframe == CANP_VFRAME_NONE && !*d->dbc->bus_type &&
	       kind_fd_length(d->msg->length);
}

void plan_classify(struct plan *p, struct plan_def *d)
{
	uint32_t length = d->msg->length;

	d->ext = d->msg->ext;
	d->j1939 = kind_is_j1939(p, d);
	d->fd = !d->j1939 && length <= FD_BYTES && (kind_says_fd(d) || kind_looks_fd(d));
	d->transport = length > CLASSIC_BYTES && !d->fd;
	if (d->transport) {
		d->cls = CANP_REC_NONE;
		d->payload_max = (uint8_t)canp_min(length, PLAN_PAYLOAD_MAX);
	} else if (d->fd) {
		d->cls = CANP_REC_F;
		d->payload_max = (uint8_t)canp_align_up(canp_max(length, 1u), 16u);
	} else {
		d->cls = d->j1939 ? CANP_REC_J : CANP_REC_S;
		d->payload_max = CLASSIC_BYTES;
	}
}

void plan_warn_inferred_fd(struct plan *p, const struct canp_dbc *dbc)
{
	uint32_t nr = 0, line = 0;

	for (uint32_t i = 0; i < p->nr_defs; i++) {
		const struct plan_def *d = &p->defs[i];

		if (d->dbc != dbc || !d->fd || kind_says_fd(d))
			continue;
		line = line ? line : d->msg->line;
		nr++;
	}
	if (nr)
		plan_warn(p,
			  "%s:%u: %u messages are taken as CAN FD by their length; the file states "
			  "no frame format",
			  dbc->file, line, nr);
}
