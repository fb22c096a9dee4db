/*
 * dbc_attr.c - attributes: BA_DEF_, BA_DEF_DEF_, BA_. All definitions are read; of the values only
 * those are kept that change how frames are decoded or how columns are named.
 *
 * ENUM values are an index into the list of the definition or its text; lists differ between files
 * (a short one for VFrameFormat is common), so an index is turned into its text first.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "io/can/dbc_parser.h"

#define ATTR_ENUM_MAX 4096u

enum attr_what {
	ATTR_VFRAME,
	ATTR_BUS_TYPE,
	ATTR_PROTOCOL,
	ATTR_DB_NAME,
	ATTR_BAUDRATE,
	ATTR_CYCLE,
	ATTR_START_VALUE,
	ATTR_SPN,
	ATTR_MSG_LONG,
	ATTR_SIG_LONG,
	ATTR_NR,
};

static const char *const attr_names[ATTR_NR] = {
	[ATTR_VFRAME] = "VFrameFormat",
	[ATTR_BUS_TYPE] = "BusType",
	[ATTR_PROTOCOL] = "ProtocolType",
	[ATTR_DB_NAME] = "DBName",
	[ATTR_BAUDRATE] = "Baudrate",
	[ATTR_CYCLE] = "GenMsgCycleTime",
	[ATTR_START_VALUE] = "GenSigStartValue",
	[ATTR_SPN] = "SPN",
	[ATTR_MSG_LONG] = "SystemMessageLongSymbol",
	[ATTR_SIG_LONG] = "SystemSignalLongSymbol",
};

static enum attr_what attr_find(const char *name)
{
	unsigned i = 0;

	while (i < ATTR_NR && strcmp(attr_names[i], name))
		i++;
	return (enum attr_what)i;
}

bool dbc_parse_attr_def(struct dbc_parser *ps)
{
	struct dbc_attrdef *v, def = {0};
	struct dbc_text type;
	const char **e;

	dbc_blank(ps);
	if (ps->p < ps->end && *ps->p != '"' && !dbc_word(ps, &type))
		return dbc_expected(ps, "an object or attribute name");
	if (!dbc_string(ps, &def.name))
		return ps->mem->failed || dbc_expected(ps, "an attribute name");
	if (!dbc_word(ps, &type))
		return dbc_expected(ps, "an attribute type");
	while (dbc_is(type, "ENUM") && def.nr_enum < ATTR_ENUM_MAX) {
		e = canp_bump_grow(ps->mem, def.enums, def.nr_enum, sizeof(*e));
		if (!e)
			return true;
		def.enums = e;
		if (!dbc_string(ps, &e[def.nr_enum]))
			break;
		def.nr_enum++;
		dbc_char(ps, ',');
	}
	v = canp_bump_grow(ps->mem, ps->defs, ps->nr_defs, sizeof(*v));
	if (!v)
		return true;
	ps->defs = v;
	v[ps->nr_defs++] = def;
	dbc_skip(ps); /* the range of numbers is not enforced by anyone */
	return true;
}

/* A string or a number as text. */
static bool attr_value(struct dbc_parser *ps, const char **value, bool *is_string)
{
	struct dbc_text t;

	dbc_blank(ps);
	*is_string = ps->p < ps->end && *ps->p == '"';
	if (*is_string)
		return dbc_string(ps, value);
	if (!dbc_word(ps, &t))
		return false;
	*value = dbc_strdup(ps, t);
	return true;
}

static struct dbc_attrdef *attr_def(struct dbc_parser *ps, const char *name)
{
	for (uint32_t i = 0; i < ps->nr_defs; i++)
		if (!strcmp(ps->defs[i].name, name))
			return &ps->defs[i];
	return NULL;
}

bool dbc_parse_attr_default(struct dbc_parser *ps)
{
	struct dbc_attrdef *v, def = {0};
	bool is_string;

	if (!dbc_string(ps, &def.name))
		return ps->mem->failed || dbc_expected(ps, "an attribute name");
	if (!attr_value(ps, &def.def, &is_string))
		return ps->mem->failed || dbc_expected(ps, "a default value");
	if (attr_find(def.name) == ATTR_NR)
		return dbc_semicolon(ps);
	/* Defaults without or before their definition occur: the entry carries only the default. */
	v = canp_bump_grow(ps->mem, ps->defs, ps->nr_defs, sizeof(*v));
	if (!v)
		return true;
	ps->defs = v;
	v[ps->nr_defs++] = def;
	return dbc_semicolon(ps);
}

bool dbc_parse_attr(struct dbc_parser *ps)
{
	struct dbc_attr *v, a = {0};

	if (!dbc_string(ps, &a.name))
		return ps->mem->failed || dbc_expected(ps, "an attribute name");
	if (!dbc_parse_ref(ps, &a.ref))
		return false;
	if (!attr_value(ps, &a.value, &a.is_string))
		return ps->mem->failed || dbc_expected(ps, "an attribute value");
	if (attr_find(a.name) == ATTR_NR)
		return dbc_semicolon(ps);
	v = canp_bump_grow(ps->mem, ps->attrs, ps->nr_attrs, sizeof(*v));
	if (!v)
		return true;
	ps->attrs = v;
	v[ps->nr_attrs++] = a;
	return dbc_semicolon(ps);
}

/* Text of a value; the index of an ENUM becomes its text. */
static const char *attr_text(struct dbc_parser *ps, const char *name, const char *value,
			     bool is_string)
{
	const struct dbc_attrdef *def = attr_def(ps, name);
	char *end;
	unsigned long i;

	if (is_string || !def || !def->nr_enum)
		return value;
	i = strtoul(value, &end, 10);
	return end != value && !*end && i < def->nr_enum ? def->enums[i] : value;
}

static double attr_double(struct dbc_parser *ps, const char *value, double none)
{
	char *end;
	double d = strtod_l(value, &end, ps->loc);

	return end != value ? d : none;
}

/* The code of a frame format. Lists shorter or other than Vector's may carry any text at a place:
 * what has no known name keeps its number. */
static int attr_vframe(struct dbc_parser *ps, const char *value, bool is_string)
{
	static const struct {
		const char *name;
		int code;
	} known[] = {
		{"StandardCAN", CANP_VFRAME_STD},       {"ExtendedCAN", CANP_VFRAME_EXT},
		{"J1939PG", CANP_VFRAME_J1939},         {"StandardCAN_FD", CANP_VFRAME_STD_FD},
		{"ExtendedCAN_FD", CANP_VFRAME_EXT_FD},
	};
	const char *text = attr_text(ps, attr_names[ATTR_VFRAME], value, is_string);
	double d;

	for (size_t i = 0; i < CANP_ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].name, text))
			return known[i].code;
	d = attr_double(ps, value, -1);
	return d >= 0 && d <= 255 ? (int)d : CANP_VFRAME_NONE;
}

static void attr_apply_net(struct dbc_parser *ps, enum attr_what what, const char *text)
{
	double d;

	switch (what) {
	case ATTR_BUS_TYPE:
		ps->dbc->bus_type = text;
		break;
	case ATTR_PROTOCOL:
		ps->dbc->protocol_type = text;
		break;
	case ATTR_DB_NAME:
		ps->dbc->db_name = text;
		break;
	case ATTR_BAUDRATE:
		d = attr_double(ps, text, 0);
		ps->dbc->baudrate = d > 0 && d < 1e12 ? (uint64_t)d : 0;
		break;
	default:
		break;
	}
}

static void attr_apply_msg(struct dbc_parser *ps, enum attr_what what, const struct dbc_attr *a,
			   struct canp_dbc_message *m)
{
	double d;

	if (what == ATTR_VFRAME) {
		m->vframe = attr_vframe(ps, a->value, a->is_string);
		m->vframe_stated = m->vframe != CANP_VFRAME_NONE;
	} else if (what == ATTR_CYCLE) {
		d = attr_double(ps, a->value, 0);
		m->cycle_ms = d > 0 && d < 4e9 ? (uint32_t)d : 0;
	} else if (what == ATTR_MSG_LONG && *a->value) {
		m->name = a->value;
	}
}

static void attr_apply_sig(struct dbc_parser *ps, enum attr_what what, const struct dbc_attr *a,
			   struct canp_dbc_signal *s)
{
	double d;

	if (what == ATTR_START_VALUE) {
		s->start_value = attr_double(ps, a->value, s->start_value);
	} else if (what == ATTR_SPN) {
		d = attr_double(ps, a->value, -1);
		s->spn = d >= 0 && d < 4e9 ? (int64_t)d : -1;
	} else if (what == ATTR_SIG_LONG && *a->value) {
		s->name = a->value;
	}
}

static void attr_apply_defaults(struct dbc_parser *ps)
{
	for (uint32_t i = 0; i < ps->nr_defs; i++) {
		const struct dbc_attrdef *d = &ps->defs[i];
		enum attr_what what = d->def ? attr_find(d->name) : ATTR_NR;

		if (what == ATTR_VFRAME) {
			/* The default is text for an ENUM, a number for an INT. */
			int code = attr_vframe(ps, d->def, false);

			for (uint32_t k = 0; k < ps->dbc->nr_messages; k++)
				ps->dbc->messages[k].vframe = code;
		} else if (what != ATTR_NR) {
			attr_apply_net(ps, what, d->def);
		}
	}
}

void dbc_resolve_attrs(struct dbc_parser *ps)
{
	attr_apply_defaults(ps);
	for (uint32_t i = 0; i < ps->nr_attrs && !ps->mem->failed; i++) {
		const struct dbc_attr *a = &ps->attrs[i];
		enum attr_what what = attr_find(a->name);
		struct canp_dbc_message *m;
		struct canp_dbc_signal *s;

		if (a->ref.obj == DBC_OBJ_NET) {
			attr_apply_net(ps, what, attr_text(ps, a->name, a->value, a->is_string));
			continue;
		}
		if (a->ref.obj != DBC_OBJ_MSG && a->ref.obj != DBC_OBJ_SIG)
			continue;
		if (!dbc_lookup(ps, &a->ref, a->name, &m, &s))
			continue;
		if (s)
			attr_apply_sig(ps, what, a, s);
		else
			attr_apply_msg(ps, what, a, m);
	}
}
