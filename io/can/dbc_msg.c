/*
 * dbc_msg.c - BO_ and SG_: messages, their ids, and signals.
 *
 *   BO_ <id> <name> : <length> [<sender>]
 *    SG_ <name> [M | m<k> | m<k>M] : <start>|<length>@<order><sign> (<factor>,<offset>)
 *        [<min>|<max>] "<unit>" <receiver>[,<receiver>]*
 *
 * Ids are where real files lie most: standard ids beyond 11 bits without the extended flag are
 * taken as extended, ids that fit no frame are pseudo messages of some tool and are left out.
 */
#include <math.h>
#include <string.h>

#include "io/can/dbc_parser.h"

#define MSG_ORPHAN_ID  0xc0000000u /* VECTOR__INDEPENDENT_SIG_MSG: signals of no message */
#define MSG_FLAG_EXT   0x80000000u
#define MSG_ID_EXT_MAX 0x1fffffffu
#define MSG_ID_STD_MAX 0x7ffu

/* False: not the id of any frame. */
static bool msg_id(struct dbc_parser *ps, uint64_t raw, uint32_t line, struct dbc_text name,
		   struct canp_dbc_message *m)
{
	int len = (int)(name.len < 128 ? name.len : 128);

	if (raw == MSG_ORPHAN_ID)
		return false;
	m->raw_id = (uint32_t)raw;
	m->id = (uint32_t)raw & ~MSG_FLAG_EXT;
	m->ext = (raw & MSG_FLAG_EXT) != 0;
	if (raw > UINT32_MAX || m->id > MSG_ID_EXT_MAX) {
		dbc_warn(ps, line, "message %.*s: id %llu fits no frame, left out", len, name.s,
			 (unsigned long long)raw);
		return false;
	}
	if (!m->ext && m->id > MSG_ID_STD_MAX) {
		dbc_warn(ps, line, "message %.*s: id 0x%x has more than 11 bits, taken as extended",
			 len, name.s, m->id);
		m->ext = true;
	}
	return true;
}

bool dbc_parse_message(struct dbc_parser *ps)
{
	struct canp_dbc *dbc = ps->dbc;
	struct canp_dbc_message *m, init = {.vframe = CANP_VFRAME_NONE};
	struct dbc_text name, sender = {"", 0};
	uint64_t raw, length;

	ps->msg = NULL;
	ps->quiet_orphans = true;
	init.line = ps->line;
	if (!dbc_uint(ps, &raw))
		return dbc_expected(ps, "a message id");
	if (!dbc_word(ps, &name))
		return dbc_expected(ps, "a message name");
	if (!dbc_char(ps, ':'))
		return dbc_expected(ps, "':'");
	if (!dbc_uint(ps, &length) || length > UINT32_MAX)
		return dbc_expected(ps, "a message length");
	if (dbc_same_line(ps))
		dbc_word(ps, &sender);
	if (!msg_id(ps, raw, init.line, name, &init))
		return true;
	init.name = init.short_name = dbc_strdup(ps, name);
	init.sender = dbc_strdup(ps, sender);
	init.comment = "";
	init.length = (uint32_t)length;
	m = canp_bump_grow(ps->mem, dbc->messages, dbc->nr_messages, sizeof(*m));
	if (!m)
		return true;
	dbc->messages = m;
	ps->msg = m + dbc->nr_messages++;
	*ps->msg = init;
	return true;
}

/* M, m<k> or m<k>M. */
static bool sig_mux(struct dbc_text t, struct canp_dbc_signal *s)
{
	uint64_t v = 0;
	size_t i = 1;

	if (dbc_is(t, "M")) {
		s->is_muxor = true;
		return true;
	}
	if (t.len < 2 || t.s[0] != 'm')
		return false;
	for (; i < t.len && t.s[i] >= '0' && t.s[i] <= '9'; i++) {
		if (v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (unsigned)(t.s[i] - '0');
	}
	if (i == 1 || (i < t.len && (t.s[i] != 'M' || i + 1 != t.len)))
		return false;
	s->is_muxed = true;
	s->is_muxor = i < t.len;
	s->mux_value = v;
	return true;
}

static bool sig_layout(struct dbc_parser *ps, struct canp_dbc_signal *s)
{
	uint64_t start, bits, order;
	bool plus;

	if (!dbc_uint(ps, &start) || !dbc_char(ps, '|') || !dbc_uint(ps, &bits) ||
	    !dbc_char(ps, '@') || !dbc_uint(ps, &order) || order > 1)
		return dbc_expected(ps, "start|length@order");
	plus = dbc_char(ps, '+');
	if (!plus && !dbc_char(ps, '-'))
		return dbc_expected(ps, "'+' or '-'");
	s->start = start < UINT32_MAX ? (uint32_t)start : UINT32_MAX;
	s->bits = bits < UINT8_MAX ? (uint8_t)bits : UINT8_MAX;
	s->big_endian = !order;
	s->is_signed = !plus;
	return true;
}

static bool sig_scaling(struct dbc_parser *ps, struct canp_dbc_signal *s)
{
	struct dbc_number f, o, v;

	if (!dbc_char(ps, '(') || !dbc_number(ps, &f) || !dbc_char(ps, ',') ||
	    !dbc_number(ps, &o) || !dbc_char(ps, ')'))
		return dbc_expected(ps, "(factor,offset)");
	s->factor = f.d;
	s->offset = o.d;
	s->integral = f.is_int && !f.is_u64 && o.is_int && !o.is_u64 && f.i;
	s->ifactor = s->integral ? f.i : 0;
	s->ioffset = s->integral ? o.i : 0;
	if (!dbc_char(ps, '['))
		return true; /* seen in the wild; the range is informative only */
	if (dbc_number(ps, &v)) {
		s->minimum = v.d;
		if (dbc_char(ps, '|') && dbc_number(ps, &v))
			s->maximum = v.d;
	}
	if (dbc_char(ps, ']'))
		return true;
	dbc_warn(ps, s->line, "signal %s: range cannot be read and is ignored", s->name);
	s->minimum = s->maximum = 0;
	while (ps->p < ps->end && *ps->p != ']' && *ps->p != '\n')
		ps->p++;
	return dbc_char(ps, ']') || dbc_expected(ps, "']'");
}

/* Names separated by commas or blanks; they may wrap after a comma. */
static void sig_receivers(struct dbc_parser *ps)
{
	struct dbc_text t;
	bool comma = false;

	while ((dbc_same_line(ps) || comma) && !dbc_at_keyword(ps)) {
		comma = dbc_char(ps, ',');
		if (!comma && !dbc_word(ps, &t))
			break;
	}
	if (dbc_same_line(ps))
		dbc_char(ps, ';');
}

static void sig_add(struct dbc_parser *ps, const struct canp_dbc_signal *s)
{
	struct canp_dbc_message *m = ps->msg;
	struct canp_dbc_signal *v;

	if (!s->bits || s->bits > 64) {
		dbc_warn(ps, s->line, "signal %s: length must be 1..64 bits, left out", s->name);
		return;
	}
	if (m->nr_signals >= CANP_DBC_SIGNALS_MAX) {
		if (m->nr_signals == CANP_DBC_SIGNALS_MAX && ps->quiet_orphans)
			dbc_warn(ps, s->line, "message %s: only the first %u signals are used",
				 m->name, CANP_DBC_SIGNALS_MAX);
		ps->quiet_orphans = false;
		return;
	}
	v = canp_bump_grow(ps->mem, m->signals, m->nr_signals, sizeof(*v));
	if (!v)
		return;
	m->signals = v;
	v[m->nr_signals++] = *s;
}

bool dbc_parse_signal(struct dbc_parser *ps)
{
	struct canp_dbc_signal s = {.line = ps->line, .start_value = NAN, .spn = -1};
	struct dbc_text name, mux;

	if (!ps->msg) {
		if (!ps->quiet_orphans)
			dbc_warn(ps, ps->line, "SG_ outside of a message is skipped");
		ps->quiet_orphans = true;
		dbc_resync(ps);
		return true;
	}
	if (!dbc_word(ps, &name))
		return dbc_expected(ps, "a signal name");
	s.name = s.short_name = dbc_strdup(ps, name);
	s.unit = s.comment = "";
	if (!dbc_char(ps, ':')) {
		if (!dbc_word(ps, &mux) || !sig_mux(mux, &s))
			return dbc_expected(ps, "M, m<k> or m<k>M after the signal name");
		if (!dbc_char(ps, ':'))
			return dbc_expected(ps, "':'");
	}
	if (!sig_layout(ps, &s) || !sig_scaling(ps, &s))
		return false;
	if (!dbc_string(ps, &s.unit)) {
		if (ps->mem->failed)
			return true;
		dbc_warn(ps, s.line, "signal %s has no unit string", s.name);
		s.unit = "";
	}
	sig_receivers(ps);
	sig_add(ps, &s);
	return true;
}
