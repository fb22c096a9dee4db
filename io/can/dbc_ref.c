/*
 * dbc_ref.c - statements about messages and signals defined elsewhere in the file: comments, value
 * tables, float types and multiplexor ranges. They are noted while parsing and applied at the end,
 * since some files state them before the message.
 */
#include <stdlib.h>
#include <string.h>

#include "io/can/dbc_parser.h"

/* A value table or a range list longer than this is cut with a warning. */
#define REF_LIST_MAX 65536u

static struct dbc_note *ref_note(struct dbc_parser *ps, enum dbc_note_kind kind,
				 const struct dbc_ref *ref)
{
	struct dbc_note *v = canp_bump_grow(ps->mem, ps->notes, ps->nr_notes, sizeof(*v));

	if (!v)
		return NULL;
	ps->notes = v;
	v += ps->nr_notes++;
	memset(v, 0, sizeof(*v));
	v->kind = kind;
	v->ref = *ref;
	return v;
}

/* <id> <signal> */
static bool ref_signal(struct dbc_parser *ps, struct dbc_ref *ref)
{
	uint64_t id;

	ref->obj = DBC_OBJ_SIG;
	ref->line = ps->line;
	if (!dbc_uint(ps, &id) || id > UINT32_MAX)
		return dbc_expected(ps, "a message id");
	ref->raw_id = (uint32_t)id;
	return dbc_word(ps, &ref->sig) || dbc_expected(ps, "a signal name");
}

bool dbc_parse_ref(struct dbc_parser *ps, struct dbc_ref *ref)
{
	struct dbc_text t;
	uint64_t id;

	memset(ref, 0, sizeof(*ref));
	ref->line = ps->line;
	dbc_blank(ps);
	/* The objects start with a capital letter; a string or number follows otherwise. */
	if (ps->p >= ps->end || *ps->p < 'A' || *ps->p > 'Z')
		return true;
	if (!dbc_word(ps, &t))
		return dbc_expected(ps, "an object");
	if (dbc_is(t, "SG_"))
		return ref_signal(ps, ref);
	if (dbc_is(t, "BO_")) {
		ref->obj = DBC_OBJ_MSG;
		if (!dbc_uint(ps, &id) || id > UINT32_MAX)
			return dbc_expected(ps, "a message id");
		ref->raw_id = (uint32_t)id;
		return true;
	}
	ref->obj = dbc_is(t, "BU_") ? DBC_OBJ_NODE : DBC_OBJ_OTHER;
	if (ref->obj == DBC_OBJ_OTHER && !dbc_is(t, "EV_"))
		return dbc_expected(ps, "BU_, BO_, SG_ or EV_");
	return dbc_word(ps, &t) || dbc_expected(ps, "a name");
}

bool dbc_parse_comment(struct dbc_parser *ps)
{
	struct dbc_note *n;
	struct dbc_ref ref;
	const char *text;

	if (!dbc_parse_ref(ps, &ref))
		return false;
	if (!dbc_string(ps, &text))
		return ps->mem->failed || dbc_expected(ps, "a comment string");
	if (ref.obj == DBC_OBJ_NET)
		ps->dbc->comment = text;
	else if (ref.obj == DBC_OBJ_MSG || ref.obj == DBC_OBJ_SIG) {
		n = ref_note(ps, DBC_NOTE_COMMENT, &ref);
		if (n)
			n->text = text;
	}
	return dbc_semicolon(ps);
}

/* (number "text")*; entries whose number is no integer are left out. */
static bool ref_value_list(struct dbc_parser *ps, struct dbc_valtable *t)
{
	struct canp_dbc_value *v;
	struct dbc_number num;
	const char *text;

	while (dbc_number(ps, &num)) {
		if (!dbc_string(ps, &text))
			return ps->mem->failed || dbc_expected(ps, "a value text");
		if (!num.is_int || t->nr >= REF_LIST_MAX) {
			dbc_warn(ps, ps->line, "value \"%.80s\" is left out: %s", text,
				 num.is_int ? "too many" : "its number is not an integer");
			continue;
		}
		v = canp_bump_grow(ps->mem, t->v, t->nr, sizeof(*v));
		if (!v)
			return true;
		t->v = v;
		v[t->nr++] = (struct canp_dbc_value){num.i, text};
	}
	return true;
}

bool dbc_parse_valtable(struct dbc_parser *ps)
{
	struct dbc_valtable *v, t = {0};

	if (!dbc_word(ps, &t.name))
		return dbc_expected(ps, "a table name");
	if (!ref_value_list(ps, &t))
		return false;
	v = canp_bump_grow(ps->mem, ps->tables, ps->nr_tables, sizeof(*v));
	if (!v)
		return true;
	ps->tables = v;
	v[ps->nr_tables++] = t;
	return dbc_semicolon(ps);
}

bool dbc_parse_values(struct dbc_parser *ps)
{
	struct dbc_valtable t = {0};
	struct dbc_note *n;
	struct dbc_ref ref;

	dbc_blank(ps);
	if (ps->p < ps->end && (*ps->p < '0' || *ps->p > '9')) {
		dbc_skip(ps); /* VAL_ of an environment variable */
		return true;
	}
	memset(&ref, 0, sizeof(ref));
	if (!ref_signal(ps, &ref) || !ref_value_list(ps, &t))
		return false;
	if (!t.nr && !dbc_at_keyword(ps))
		dbc_word(ps, &t.name);
	n = ref_note(ps, DBC_NOTE_VALUES, &ref);
	if (n)
		n->val = t;
	return dbc_semicolon(ps);
}

bool dbc_parse_valtype(struct dbc_parser *ps)
{
	struct dbc_note *n;
	struct dbc_ref ref = {0};
	uint64_t type;

	if (!ref_signal(ps, &ref))
		return false;
	dbc_char(ps, ':');
	if (!dbc_uint(ps, &type) || type > 3)
		return dbc_expected(ps, "a value type of 0..2");
	n = ref_note(ps, DBC_NOTE_VALTYPE, &ref);
	if (n)
		n->valtype = (unsigned)type;
	return dbc_semicolon(ps);
}

bool dbc_parse_mux(struct dbc_parser *ps)
{
	struct canp_dbc_range *v, *ranges = NULL;
	struct dbc_text parent;
	struct dbc_ref ref = {0};
	struct dbc_note *n;
	uint32_t nr = 0;
	uint64_t lo, hi;

	if (!ref_signal(ps, &ref))
		return false;
	if (!dbc_word(ps, &parent))
		return dbc_expected(ps, "a multiplexor name");
	while (dbc_uint(ps, &lo)) {
		if (!dbc_char(ps, '-') || !dbc_uint(ps, &hi))
			return dbc_expected(ps, "a range lo-hi");
		if (nr >= REF_LIST_MAX)
			continue;
		v = canp_bump_grow(ps->mem, ranges, nr, sizeof(*v));
		if (!v)
			return true;
		ranges = v;
		v[nr++] = (struct canp_dbc_range){lo < hi ? lo : hi, lo < hi ? hi : lo};
		dbc_char(ps, ',');
	}
	n = ref_note(ps, DBC_NOTE_MUX, &ref);
	if (n) {
		n->parent = parent;
		n->ranges = ranges;
		n->nr_ranges = nr;
	}
	return dbc_semicolon(ps);
}

static struct canp_dbc_message *ref_message(struct dbc_parser *ps, uint32_t raw_id)
{
	uint32_t i = raw_id * 0x9e3779b1u;

	for (i = (i ^ i >> 15) & ps->ids_mask; ps->ids[i].msg; i = (i + 1) & ps->ids_mask)
		if (ps->ids[i].raw_id == raw_id)
			return &ps->dbc->messages[ps->ids[i].msg - 1];
	return NULL;
}

bool dbc_lookup(struct dbc_parser *ps, const struct dbc_ref *ref, const char *what,
		struct canp_dbc_message **msg, struct canp_dbc_signal **sig)
{
	int len = (int)(ref->sig.len < 128 ? ref->sig.len : 128);

	*sig = NULL;
	*msg = ref_message(ps, ref->raw_id);
	if (!*msg) {
		/* Orphan and pseudo messages were left out before; their attributes are noise. */
		if (!(ref->raw_id & 0x40000000u))
			dbc_warn(ps, ref->line, "%s for unknown message %u", what, ref->raw_id);
		return false;
	}
	if (ref->obj != DBC_OBJ_SIG)
		return true;
	for (uint32_t i = 0; i < (*msg)->nr_signals; i++) {
		struct canp_dbc_signal *s = &(*msg)->signals[i];

		/* Duplicate names get the statement of the last one, as the last one wins. */
		if (dbc_is(ref->sig, s->short_name))
			*sig = s;
	}
	if (!*sig)
		dbc_warn(ps, ref->line, "%s for unknown signal %.*s of message %s", what, len,
			 ref->sig.s, (*msg)->short_name);
	return *sig != NULL;
}

static int ref_cmp_value(const void *a, const void *b)
{
	const struct canp_dbc_value *x = a, *y = b;

	return x->raw < y->raw ? -1 : x->raw > y->raw;
}

/* Sorted, and of equal numbers the last one: a stable sort needs the position as second key, so
 * entries are first thinned from the back by insertion into a sorted copy. */
static void ref_set_values(struct dbc_parser *ps, struct canp_dbc_signal *s,
			   const struct dbc_valtable *t)
{
	struct canp_dbc_value *v;
	uint32_t out = 0;

	s->nr_values = 0;
	if (!t->nr)
		return;
	v = canp_bump_alloc(ps->mem, t->nr * sizeof(*v));
	if (!v)
		return;
	memcpy(v, t->v, t->nr * sizeof(*v));
	qsort(v, t->nr, sizeof(*v), ref_cmp_value);
	for (uint32_t i = 0; i < t->nr; i++)
		if (!out || v[out - 1].raw != v[i].raw)
			v[out++].raw = v[i].raw;
	/* The texts again in file order, so that the last of equal numbers stays. */
	for (uint32_t i = 0; i < t->nr; i++) {
		struct canp_dbc_value *hit = bsearch(&t->v[i], v, out, sizeof(*v), ref_cmp_value);

		if (hit)
			hit->text = t->v[i].text;
	}
	s->values = v;
	s->nr_values = out;
}

static void ref_apply_values(struct dbc_parser *ps, const struct dbc_note *n,
			     struct canp_dbc_signal *s)
{
	if (!n->val.name.len) {
		ref_set_values(ps, s, &n->val);
		return;
	}
	for (uint32_t i = ps->nr_tables; i-- > 0;) {
		const struct dbc_valtable *t = &ps->tables[i];

		if (t->name.len == n->val.name.len &&
		    !memcmp(t->name.s, n->val.name.s, t->name.len)) {
			ref_set_values(ps, s, t);
			return;
		}
	}
	dbc_warn(ps, n->ref.line, "signal %s: unknown value table", s->name);
}

static void ref_apply_mux(struct dbc_parser *ps, const struct dbc_note *n,
			  struct canp_dbc_signal *s)
{
	struct canp_dbc_range *v;
	uint32_t nr = s->nr_ranges;

	if (s->mux_parent && !dbc_is(n->parent, s->mux_parent)) {
		dbc_warn(ps, n->ref.line, "signal %s: second multiplexor %.*s is ignored", s->name,
			 (int)(n->parent.len < 128 ? n->parent.len : 128), n->parent.s);
		return;
	}
	if (nr + n->nr_ranges > REF_LIST_MAX)
		return;
	v = canp_bump_alloc(ps->mem, (nr + n->nr_ranges) * sizeof(*v));
	if (!v)
		return;
	if (nr)
		memcpy(v, s->ranges, nr * sizeof(*v));
	if (n->nr_ranges)
		memcpy(v + nr, n->ranges, n->nr_ranges * sizeof(*v));
	s->mux_parent = dbc_strdup(ps, n->parent);
	s->ranges = v;
	s->nr_ranges = nr + n->nr_ranges;
}

static void ref_apply_valtype(struct dbc_parser *ps, const struct dbc_note *n,
			      struct canp_dbc_signal *s)
{
	if (!n->valtype)
		return;
	if (n->valtype < 3 && (s->bits == 16 || s->bits == 32 || s->bits == 64)) {
		if (s->bits != 32 * n->valtype)
			dbc_warn(ps, n->ref.line, "signal %s: float type %u, but %u bits", s->name,
				 n->valtype, s->bits);
		s->is_float = s->bits;
		return;
	}
	dbc_warn(ps, n->ref.line, "signal %s: no float has %u bits; taken as integer", s->name,
		 s->bits);
}

void dbc_resolve_notes(struct dbc_parser *ps)
{
	static const char *const what[] = {"comment", "values", "value type", "multiplexing"};

	for (uint32_t i = 0; i < ps->nr_notes && !ps->mem->failed; i++) {
		const struct dbc_note *n = &ps->notes[i];
		struct canp_dbc_message *m;
		struct canp_dbc_signal *s;

		if (!dbc_lookup(ps, &n->ref, what[n->kind], &m, &s))
			continue;
		switch (n->kind) {
		case DBC_NOTE_COMMENT:
			if (s)
				s->comment = n->text;
			else
				m->comment = n->text;
			break;
		case DBC_NOTE_VALUES:
			ref_apply_values(ps, n, s);
			break;
		case DBC_NOTE_VALTYPE:
			ref_apply_valtype(ps, n, s);
			break;
		case DBC_NOTE_MUX:
			ref_apply_mux(ps, n, s);
			break;
		}
	}
}
