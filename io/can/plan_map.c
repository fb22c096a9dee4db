/*
 * plan_map.c - which definition an id means on which bus.
 *
 * A bus has a number as stored and perhaps a name. -d arguments match it by full name, by number,
 * or always; each id takes the definition of the best match, among equal ones of the earliest -d.
 * So there is one map for every bus that the arguments can tell apart: each name, each number (for
 * buses without a name, and for those with a name of their own), and all the others.
 *
 * While the maps are made their values are definition numbers; they become slots when it is known
 * which definitions get a table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/units.h"
#include "io/can/plan_parts.h"

/* Number at the end of a bus name; false when there is none. */
static bool map_trailing(const char *s, uint64_t *number, bool *all_digits)
{
	size_t len = strlen(s), n = len;
	uint64_t v = 0;

	while (n && s[n - 1] >= '0' && s[n - 1] <= '9')
		n--;
	*all_digits = len && !n;
	if (n == len || len - n > 18)
		return false;
	for (; n < len; n++)
		v = v * 10 + (unsigned)(s[n] - '0');
	*number = v;
	return true;
}

/* 2: by name, 1: by number, 0: serves every bus, -1: not this bus. */
static int map_rank(const char *spec, const struct plan_mapkey *k)
{
	uint64_t number;
	bool digits;

	if (!*spec)
		return 0;
	if (k->kind == PLAN_MAP_DEFAULT)
		return -1;
	if (k->kind == PLAN_MAP_NAME && !strcasecmp(spec, k->name))
		return 2;
	if (!map_trailing(spec, &number, &digits) || number != k->number)
		return -1;
	/* A name with a number ("can1") stands for the number only where buses have no names. */
	return digits || k->kind == PLAN_MAP_NUMBER ? 1 : -1;
}

static int map_alloc(struct plan *p, struct canp_idmap **out)
{
	struct canp_idmap *m = canp_bump_alloc(&p->mem, sizeof(*m) + CANP_CACHELINE);
	uint32_t nr = 16, keys = 0;

	if (!m)
		return -ENOMEM;
	m = (struct canp_idmap *)canp_align_up((uintptr_t)m, CANP_CACHELINE);
	for (uint32_t i = 0; i < p->nr_dbcs; i++)
		keys += 2 * p->dbcs[i].nr_entries; /* exact and PGN */
	/* Sparse, because a second probe costs a mispredicted branch. */
	while (nr < 16 * keys + 2)
		nr *= 2;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(m->std); i++)
		m->std[i] = CANP_SLOT_UNKNOWN;
	m->ext.mask = nr - 1;
	m->ext.keys = canp_bump_alloc(&p->mem, nr * sizeof(*m->ext.keys));
	m->ext.values = canp_bump_alloc(&p->mem, nr * sizeof(*m->ext.values));
	*out = m;
	return m->ext.keys && m->ext.values ? 0 : -ENOMEM;
}

/* Sets the value of a key that has none; returns the value it has then. */
static uint16_t map_insert(struct canp_idhash *h, uint32_t key, uint16_t value)
{
	uint32_t i = key * 0x9e3779b1u;

	i = (i ^ (i >> 15)) & h->mask;
	while (h->keys[i] && h->keys[i] != key)
		i = (i + 1) & h->mask;
	if (!h->keys[i]) {
		h->keys[i] = key;
		h->values[i] = value;
	}
	return h->values[i];
}

static void map_add_exact(struct plan *p, struct canp_idmap *m, struct plan_dbc *dbc)
{
	for (uint32_t i = 0; i < dbc->nr_entries; i++) {
		struct plan_entry *e = &dbc->entries[i];
		struct plan_def *d = &p->defs[e->def], *other;
		uint16_t value = (uint16_t)(CANP_SLOT_FIRST_TABLE + e->def), got = value;

		if (d->ext)
			got = map_insert(&m->ext, canp_idkey_exact(d->msg->id), value);
		else if (m->std[d->msg->id] == CANP_SLOT_UNKNOWN)
			m->std[d->msg->id] = value;
		else
			got = m->std[d->msg->id];
		other = &p->defs[got - CANP_SLOT_FIRST_TABLE];
		other->reachable = true;
		if (got == value || e->warned)
			continue;
		e->warned = true;
		plan_warn(p, "%s:%u: message %s (id 0x%x) is shadowed by %s:%u", dbc->dbc->file,
			  e->msg->line, e->msg->name, e->msg->id, other->dbc->file,
			  other->msg->line);
	}
}

/* Of several entries of one PGN the one without a source address of its own stands for all. */
static void map_add_pgn(struct plan *p, struct canp_idmap *m, const struct plan_dbc *dbc, bool any)
{
	for (uint32_t i = 0; i < dbc->nr_entries; i++) {
		const struct plan_entry *e = &dbc->entries[i];
		struct plan_def *d = &p->defs[e->def];
		uint16_t value = (uint16_t)(CANP_SLOT_FIRST_TABLE + e->def);

		if (!d->j1939 || ((d->msg->id & 0xff) == 0xfe) != any)
			continue;
		value = map_insert(&m->ext, canp_idkey_pgn(d->msg->id), value);
		p->defs[value - CANP_SLOT_FIRST_TABLE].reachable = true;
		m->ext.has_pgn = true;
	}
}

static int map_build(struct plan *p, const struct plan_mapkey *key)
{
	struct plan_mapkey *keys;
	struct canp_idmap **maps, *m;
	uint32_t nr = p->pub.nr_maps;

	maps = canp_bump_grow(&p->mem, p->pub.maps, nr, sizeof(struct canp_idmap *));
	keys = canp_bump_grow(&p->mem, p->mapkeys, nr, sizeof(*keys));
	if (!maps || !keys || map_alloc(p, &m))
		return -ENOMEM;
	p->pub.maps = maps;
	p->mapkeys = keys;
	maps[nr] = m;
	keys[nr] = *key;
	p->pub.nr_maps++;
	for (int rank = 2; rank >= 0; rank--) {
		for (uint32_t i = 0; i < p->nr_dbcs; i++) {
			struct plan_dbc *dbc = &p->dbcs[i];

			if (map_rank(dbc->bus, key) != rank)
				continue;
			map_add_exact(p, m, dbc);
			map_add_pgn(p, m, dbc, true);
			map_add_pgn(p, m, dbc, false);
		}
	}
	return 0;
}

static const struct canp_idmap *map_find(const struct plan *p, enum plan_mapkind kind,
					 const char *name, uint64_t number)
{
	for (uint32_t i = 0; i < p->pub.nr_maps; i++) {
		const struct plan_mapkey *k = &p->mapkeys[i];

		if (k->kind != kind)
			continue;
		if (kind == PLAN_MAP_NAME ? !strcasecmp(k->name, name) : k->number == number)
			return p->pub.maps[i];
	}
	return NULL;
}

int plan_make_maps(struct plan *p)
{
	struct plan_mapkey key = {.kind = PLAN_MAP_DEFAULT, .name = ""};
	int rc = map_build(p, &key);
	bool digits;

	for (uint32_t i = 0; i < p->nr_dbcs && !rc; i++) {
		const char *spec = p->dbcs[i].bus;
		bool numbered;

		if (!*spec)
			continue;
		key = (struct plan_mapkey){.name = spec, .number = UINT64_MAX};
		numbered = map_trailing(spec, &key.number, &digits);
		key.kind = PLAN_MAP_NAME;
		if (!map_find(p, key.kind, spec, 0))
			rc = map_build(p, &key);
		key.kind = PLAN_MAP_NUMBER;
		if (!rc && numbered && !map_find(p, key.kind, spec, key.number))
			rc = map_build(p, &key);
		key.kind = PLAN_MAP_NUMBERED;
		if (!rc && numbered && digits && !map_find(p, key.kind, spec, key.number))
			rc = map_build(p, &key);
	}
	return rc;
}

static uint16_t map_slot(const struct plan *p, uint16_t value)
{
	return value < CANP_SLOT_FIRST_TABLE ? value : p->defs[value - CANP_SLOT_FIRST_TABLE].slot;
}

/* J1939 databases name each PGN once, with one sender: then the exact ids say nothing new. The
 * search for a PGN finds what is under it, because exact keys look different. */
static bool map_pgn_only(const struct canp_idhash *h)
{
	if (!h->has_pgn)
		return false;
	for (uint32_t k = 0; k <= h->mask; k++)
		if (h->keys[k] & 0x80000000u &&
		    canp_idhash_find(h, canp_idkey_pgn(h->keys[k] & 0x1fffffff)) != h->values[k])
			return false;
	return true;
}

void plan_finish_maps(struct plan *p)
{
	for (uint32_t i = 0; i < p->pub.nr_maps; i++) {
		struct canp_idmap *m = p->pub.maps[i];

		for (unsigned k = 0; k < CANP_ARRAY_SIZE(m->std); k++)
			m->std[k] = map_slot(p, m->std[k]);
		for (uint32_t k = 0; k <= m->ext.mask; k++)
			if (m->ext.keys[k])
				m->ext.values[k] = map_slot(p, m->ext.values[k]);
		m->ext.pgn_only = map_pgn_only(&m->ext);
	}
}

/* --bus: the items are names or numbers, as in -d. */
static bool map_bus_wanted(const struct plan *p, const char *name, uint64_t number,
			   enum plan_mapkind by_number)
{
	struct plan_mapkey named = {PLAN_MAP_NAME, name, UINT64_MAX};
	struct plan_mapkey numbered = {by_number, name, number};

	if (!p->pub.opts.bus)
		return true;
	for (uint32_t i = 0; i < p->buses.nr; i++) {
		const char *item = p->buses.v[i].text;

		if (item &&
		    ((*name && map_rank(item, &named) == 2) || map_rank(item, &numbered) > 0))
			return true;
	}
	return false;
}

const struct canp_idmap *canp_plan_map(const struct canp_plan *plan, const char *name,
				       unsigned number)
{
	const struct plan *p = (const struct plan *)plan;
	const struct canp_idmap *m = NULL;

	enum plan_mapkind by_number = PLAN_MAP_NUMBER;
	uint64_t n;
	bool digits;

	name = name ? name : "";
	/* A name that ends in the number is an interface ("vcan1") and not another spelling of
	 * "can1"; any other name is a label that says nothing about the number. */
	if (map_trailing(name, &n, &digits) && n == number)
		by_number = PLAN_MAP_NUMBERED;
	if (!map_bus_wanted(p, name, number, by_number))
		return NULL;
	if (*name)
		m = map_find(p, PLAN_MAP_NAME, name, number);
	if (!m)
		m = map_find(p, by_number, name, number);
	return m ? m : p->pub.maps[0];
}
