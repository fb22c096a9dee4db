/*
 * plan.c - from DBC files and options to tables, columns and id maps: the steps in order.
 *
 *   load       every -d argument is parsed
 *   define     each message becomes a definition; equal ones (id, layout, scaling, names) share one
 *   map        which definition an id means on which bus; what no map reaches is forgotten
 *   name       tables, then columns
 *   select     --select, --exclude; multiplexors of selected signals stay as hidden columns
 *   lay out    record class, windows, types; slots in the order of the definitions
 *
 * Everything lives in one bump allocation until canp_plan_destroy().
 */
#include "io/can/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/strbuf.h"
#include "io/can/plan_parts.h"

void plan_warn(struct plan *p, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	p->pub.nr_warnings++;
	if (!p->warn)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	p->warn(p->warn_arg, line);
}

const char *plan_printf(struct plan *p, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = n < 0 ? NULL : canp_bump_alloc(&p->mem, (size_t)n + 1);
	if (!s)
		return "";
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

static int plan_error(struct canp_strbuf *err, int rc, const char *what)
{
	if (err && !err->len)
		canp_strbuf_printf(err, "%s: %s", what, canp_strerror(rc));
	return rc;
}

/* An own copy: the plan outlives the option parser. */
static const char *plan_copy(struct plan *p, const char *s)
{
	return s ? canp_bump_str(&p->mem, s, strlen(s)) : NULL;
}

static int plan_copy_opts(struct plan *p, const struct canp_plan_opts *opts)
{
	struct canp_plan_opts *o = &p->pub.opts;

	*o = *opts;
	o->select = plan_copy(p, opts->select && *opts->select ? opts->select : NULL);
	o->exclude = plan_copy(p, opts->exclude);
	o->bus = plan_copy(p, opts->bus && *opts->bus ? opts->bus : NULL);
	o->raw = opts->raw || !opts->nr_dbcs;
	o->dbcs = canp_bump_alloc(&p->mem, (opts->nr_dbcs + 1) * sizeof(*o->dbcs));
	p->dbcs = canp_bump_alloc(&p->mem, (opts->nr_dbcs + 1) * sizeof(*p->dbcs));
	if (!o->dbcs || !p->dbcs)
		return -ENOMEM;
	for (size_t i = 0; i < opts->nr_dbcs; i++) {
		o->dbcs[i].bus = plan_copy(p, opts->dbcs[i].bus ? opts->dbcs[i].bus : "");
		o->dbcs[i].path = plan_copy(p, opts->dbcs[i].path);
		p->dbcs[i].bus = o->dbcs[i].bus;
	}
	plan_parse_patterns(p, o->select, &p->select);
	plan_parse_patterns(p, o->exclude, &p->exclude);
	plan_parse_patterns(p, o->bus, &p->buses);
	return p->mem.failed ? -ENOMEM : 0;
}

/* Everything that makes rows of one definition mean the same as rows of another. */
static void plan_key(const struct plan_def *d, struct canp_strbuf *sb)
{
	const struct canp_dbc_message *m = d->msg;

	canp_strbuf_reset(sb);
	canp_strbuf_printf(sb, "%s\n%x %d %u %d %d %d\n", m->name, m->id, m->ext, m->length,
			   d->j1939, d->fd, d->transport);
	for (uint32_t i = 0; i < m->nr_signals; i++) {
		const struct canp_dbc_signal *s = &m->signals[i];

		canp_strbuf_printf(
			sb, "%s\n%u %u %d %d %u %a %a %lld %lld %d %d %llx %s\n", s->name, s->start,
			s->bits, s->big_endian, s->is_signed, s->is_float, s->factor, s->offset,
			(long long)s->ifactor, (long long)s->ioffset, s->is_muxor, s->is_muxed,
			(unsigned long long)s->mux_value, s->mux_parent ? s->mux_parent : "");
		for (uint32_t k = 0; k < s->nr_ranges; k++)
			canp_strbuf_printf(sb, "%llx-%llx\n", (unsigned long long)s->ranges[k].lo,
					   (unsigned long long)s->ranges[k].hi);
	}
}

struct plan_keys { /* hash of a key -> definition + 1 */
	uint32_t mask;
	uint32_t *v;
};

static uint32_t plan_find_def(const struct plan *p, const struct plan_keys *keys, uint64_t hash,
			      const struct canp_strbuf *key)
{
	uint32_t i = (uint32_t)hash & keys->mask;

	for (; keys->v[i]; i = (i + 1) & keys->mask) {
		const struct plan_def *d = &p->defs[keys->v[i] - 1];

		if (d->hash == hash && d->key_len == key->len &&
		    !memcmp(d->key, key->buf, key->len))
			break;
	}
	return i;
}

static int plan_add_def(struct plan *p, struct plan_keys *keys, struct canp_strbuf *sb,
			const struct canp_dbc *dbc, struct plan_entry *e)
{
	struct plan_def *v, d = {.dbc = dbc, .msg = e->msg};
	uint32_t i;

	plan_classify(p, &d);
	plan_key(&d, sb);
	if (sb->failed)
		return -ENOMEM;
	d.hash = canp_hash_bytes(sb->buf, sb->len);
	i = plan_find_def(p, keys, d.hash, sb);
	if (keys->v[i]) {
		e->def = keys->v[i] - 1;
		return 0;
	}
	if (p->nr_defs >= PLAN_DEFS_MAX)
		return -E2BIG;
	d.key = canp_bump_str(&p->mem, sb->buf, sb->len);
	d.key_len = sb->len;
	v = canp_bump_grow(&p->mem, p->defs, p->nr_defs, sizeof(*v));
	if (!v || !d.key)
		return -ENOMEM;
	p->defs = v;
	v[p->nr_defs] = d;
	e->def = p->nr_defs++;
	keys->v[i] = p->nr_defs;
	return 0;
}

static int plan_define(struct plan *p)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct plan_keys keys = {0};
	uint32_t total = 0, size = 16;
	int rc = 0;

	for (uint32_t i = 0; i < p->nr_dbcs; i++)
		total += p->dbcs[i].dbc->nr_messages;
	while (size < 2 * total)
		size *= 2;
	keys.mask = size - 1;
	keys.v = canp_bump_alloc(&p->mem, size * sizeof(*keys.v));
	for (uint32_t i = 0; i < p->nr_dbcs && keys.v && !rc; i++) {
		struct plan_dbc *pd = &p->dbcs[i];

		pd->entries =
			canp_bump_alloc(&p->mem, (pd->dbc->nr_messages + 1) * sizeof(*pd->entries));
		for (uint32_t k = 0; k < pd->dbc->nr_messages && pd->entries && !rc; k++) {
			if (pd->dbc->messages[k].shadowed)
				continue;
			pd->entries[pd->nr_entries].msg = &pd->dbc->messages[k];
			rc = plan_add_def(p, &keys, &sb, pd->dbc, &pd->entries[pd->nr_entries++]);
		}
	}
	canp_strbuf_fini(&sb);
	return rc ? rc : p->mem.failed ? -ENOMEM : 0;
}

/* Columns that go out, and the multiplexors they need. */
static bool plan_select(struct plan *p, struct plan_def *d)
{
	bool any = false;

	for (uint32_t i = 0; i < d->msg->nr_signals; i++) {
		struct plan_sig *s = &d->sigs[i];

		s->output = s->usable && plan_selected(p, d, s);
		any |= s->output;
	}
	for (uint32_t i = 0; i < d->msg->nr_signals; i++)
		if (d->sigs[i].output)
			for (int32_t at = (int32_t)i; at >= 0 && !d->sigs[at].wanted;
			     at = d->sigs[at].parent)
				d->sigs[at].wanted = true;
	return any;
}

static int plan_def_table(struct plan *p, struct plan_def *d, bool *any)
{
	uint32_t nr = d->msg->nr_signals;

	d->sigs = canp_bump_alloc(&p->mem, (nr + 1) * sizeof(*d->sigs));
	if (!d->sigs)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++)
		d->sigs[i].dbc = &d->msg->signals[i];
	plan_resolve_mux(p, d);
	plan_check_signals(p, d);
	plan_name_columns(p, d);
	if (p->mem.failed)
		return -ENOMEM;
	*any = plan_select(p, d);
	return plan_make_table(p, d);
}

static int plan_add_transport(struct plan *p, struct plan_def *d)
{
	const struct canp_table **v;

	plan_warn(p,
		  "%s:%u: message %s has %u bytes and is not CAN FD: it needs a transport "
		  "protocol and is not decoded",
		  d->dbc->file, d->msg->line, d->msg->name, d->msg->length);
	v = canp_bump_grow(&p->mem, p->transport, p->nr_transport, sizeof(struct canp_table *));
	if (!v)
		return -ENOMEM;
	p->transport = v;
	v[p->nr_transport++] = &d->table;
	return 0;
}

static int plan_make_tables(struct plan *p)
{
	uint32_t nr = 0;

	p->pub.tables = canp_bump_alloc(&p->mem, (p->nr_defs + 1) * sizeof(*p->pub.tables));
	if (!p->pub.tables)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->nr_defs; i++) {
		struct plan_def *d = &p->defs[i];
		bool any = false;
		int rc;

		d->slot = CANP_SLOT_DROP;
		if (!d->reachable)
			continue;
		rc = plan_def_table(p, d, &any);
		if (!rc && d->transport)
			rc = plan_add_transport(p, d);
		if (rc)
			return rc;
		if (d->transport || !any)
			continue;
		d->slot = (uint16_t)(CANP_SLOT_FIRST_TABLE + nr);
		p->pub.tables[nr++] = d->table;
	}
	p->pub.nr_tables = nr;
	return 0;
}

static void plan_warn_empty(struct plan *p)
{
	for (uint32_t i = 0; i < p->nr_dbcs; i++) {
		const struct canp_dbc *dbc = p->dbcs[i].dbc;
		uint32_t nr = 0;

		for (uint32_t k = 0; k < p->dbcs[i].nr_entries; k++)
			nr += !p->dbcs[i].entries[k].msg->nr_signals;
		if (nr)
			plan_warn(p,
				  "%s: %u messages have no signals; their frames are counted, not "
				  "written",
				  dbc->file, nr);
		plan_warn_inferred_fd(p, dbc);
	}
}

static void plan_hash_table(struct canp_strbuf *sb, const struct canp_table *t)
{
	canp_strbuf_printf(sb, "table %s %s %x %d %d %d %u %u\n", t->name, t->message, t->id,
			   t->ext, t->j1939, t->fd, t->cls, t->stride);
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		const struct canp_col *c = &t->cols[i];

		canp_strbuf_printf(sb, "%s %d %d %d %u %d %d %d %u %a %a %d %d %d\n", c->name,
				   c->type, c->src, c->store, c->raw_bits, c->is_signed,
				   c->is_float, c->big_endian, c->start_bit, c->factor, c->offset,
				   c->mux_parent, c->hidden, c->nr_values != 0);
		if (c->plugin)
			canp_strbuf_printf(sb, "plugin %s\n", c->plugin);
		for (uint32_t k = 0; k < c->nr_mux; k++)
			canp_strbuf_printf(sb, "%llx-%llx\n", (unsigned long long)c->mux[k].lo,
					   (unsigned long long)c->mux[k].hi);
	}
}

/* The entries of a hash table in any order give one number. */
static uint64_t plan_hash_map(const struct canp_idmap *m)
{
	uint64_t sum = canp_hash_bytes(m->std, sizeof(m->std));

	for (uint32_t i = 0; i <= m->ext.mask; i++)
		if (m->ext.keys[i])
			sum += canp_hash_mix((uint64_t)m->ext.keys[i] << 16 | m->ext.values[i]);
	return sum;
}

int plan_hash(struct plan *p)
{
	const struct canp_plan_opts *o = &p->pub.opts;
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	canp_strbuf_printf(&sb, "raw %d unknown %d device %d ts_ns %d labels %d bus %s\n", o->raw,
			   o->unknown_keep, o->device_column, o->ts_ns_column, o->enum_labels,
			   o->bus ? o->bus : "*");
	for (uint32_t i = 0; i < p->pub.nr_tables; i++)
		plan_hash_table(&sb, &p->pub.tables[i]);
	plan_hash_table(&sb, &p->pub.events);
	if (p->pub.raw.cls != CANP_REC_NONE)
		plan_hash_table(&sb, &p->pub.raw);
	for (uint32_t i = 0; i < p->pub.nr_maps; i++)
		canp_strbuf_printf(&sb, "map %d %s %llu %llx\n", p->mapkeys[i].kind,
				   p->mapkeys[i].name, (unsigned long long)p->mapkeys[i].number,
				   (unsigned long long)plan_hash_map(p->pub.maps[i]));
	p->pub.schema_hash = sb.failed ? 0 : canp_hash_bytes(sb.buf, sb.len);
	canp_strbuf_fini(&sb);
	return p->pub.schema_hash ? 0 : -ENOMEM;
}

static int plan_load(struct plan *p, struct canp_strbuf *err)
{
	const struct canp_plan_opts *o = &p->pub.opts;

	for (size_t i = 0; i < o->nr_dbcs; i++) {
		int rc = canp_dbc_load(o->dbcs[i].path, err, p->warn, p->warn_arg, &p->dbcs[i].dbc);

		if (rc)
			return rc;
		p->nr_dbcs++;
		p->pub.nr_warnings += p->dbcs[i].dbc->nr_warnings;
	}
	return 0;
}

static int plan_build(struct plan *p, struct canp_strbuf *err)
{
	int rc = plan_load(p, err);

	if (rc)
		return rc;
	rc = plan_define(p);
	if (rc == -E2BIG)
		return plan_error(err, rc, "more than 65531 different messages");
	rc = rc ? rc : plan_make_maps(p);
	rc = rc ? rc : plan_name_tables(p);
	rc = rc ? rc : plan_make_tables(p);
	if (rc)
		return rc;
	plan_finish_maps(p);
	plan_warn_empty(p);
	plan_warn_patterns(p);
	plan_make_fixed(p);
	return p->mem.failed ? -ENOMEM : plan_hash(p);
}

int canp_plan_create(const struct canp_plan_opts *opts, struct canp_strbuf *err,
		     void (*warn)(void *arg, const char *line), void *arg, struct canp_plan **out)
{
	struct plan *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return plan_error(err, -ENOMEM, "making the plan");
	p->warn = warn;
	p->warn_arg = arg;
	p->pub.priv = p;
	rc = plan_copy_opts(p, opts);
	rc = rc ? rc : plan_build(p, err);
	if (rc) {
		plan_error(err, rc, "making the plan");
		canp_plan_destroy(&p->pub);
		return rc;
	}
	*out = &p->pub;
	return 0;
}

void canp_plan_destroy(struct canp_plan *plan)
{
	struct plan *p = plan ? plan->priv : NULL;

	if (!p)
		return;
	for (uint32_t i = 0; i < p->nr_dbcs; i++)
		canp_dbc_destroy(p->dbcs[i].dbc);
	canp_bump_fini(&p->mem);
	free(p);
}

const struct canp_table *canp_plan_table(const struct canp_plan *plan, unsigned slot)
{
	if (slot == CANP_SLOT_EVENTS)
		return plan->events.cls != CANP_REC_NONE ? &plan->events : NULL;
	if (slot == CANP_SLOT_RAW)
		return plan->raw.cls != CANP_REC_NONE ? &plan->raw : NULL;
	if (slot < CANP_SLOT_FIRST_TABLE || slot >= canp_plan_nr_slots(plan))
		return NULL;
	return &plan->tables[slot - CANP_SLOT_FIRST_TABLE];
}

const struct canp_table *canp_plan_transport(const struct canp_plan *plan, unsigned i)
{
	const struct plan *p = plan->priv;

	return i < p->nr_transport ? p->transport[i] : NULL;
}
