/*
 * plan_names.c - names of tables and columns.
 *
 * A table's name is its folder. Messages of one name (compared without case, since some file
 * systems do) all get a suffix, so that no name depends on which DBC comes first: the stem of the
 * DBC, or the id when one DBC has the name twice. Names that are still taken, or that belong to the
 * dataset itself (canp_*, _canp), get a number.
 *
 * A column keeps the signal's name; repeated and reserved ones get _2, _3, ...
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/units.h"
#include "io/can/plan_parts.h"

/* File systems allow 255 bytes; the rest is for suffixes and partition levels. */
#define NAME_BYTES_MAX 200u
/* Suffixes are tried one by one up to here, then from a number nobody else starts with. */
#define NAME_TRIES 99u

/* Columns that the sinks add, and folder levels of partitions. */
static const char *const names_reserved[] = {"ts", "ts_ns", "src", "device", "bus",
					     "sa", "da",    "id",  "date",   "message"};

struct names_set { /* open addressing, without case */
	uint32_t mask;
	const char **v;
};

static bool names_init(struct plan *p, struct names_set *s, uint32_t nr)
{
	uint32_t size = 16;

	while (size < 2 * nr + 2)
		size *= 2;
	s->mask = size - 1;
	s->v = canp_bump_alloc(&p->mem, size * sizeof(*s->v));
	return s->v != NULL;
}

static const char **names_slot(const struct names_set *s, const char *name)
{
	uint32_t h = 2166136261u;

	for (const char *c = name; *c; c++) {
		unsigned char b = (unsigned char)*c;

		h = (h ^ (b >= 'A' && b <= 'Z' ? b + 32u : b)) * 16777619u;
	}
	for (h = (h ^ h >> 15) & s->mask; s->v[h]; h = (h + 1) & s->mask)
		if (!strcasecmp(s->v[h], name))
			break;
	return &s->v[h];
}

static bool names_has(const struct names_set *s, const char *name)
{
	return *names_slot(s, name) != NULL;
}

static void names_add(struct names_set *s, const char *name)
{
	*names_slot(s, name) = name;
}

static bool names_table_reserved(const char *name)
{
	return !strncasecmp(name, "canp_", 5) || !strcasecmp(name, "_canp");
}

/* A name that is free in set, and in also (may be NULL); seed makes far suffixes distinct. */
static const char *names_unique(struct plan *p, struct names_set *set, const struct names_set *also,
				const char *base, uint32_t seed)
{
	const char *name = base;

	for (uint32_t k = 2; names_has(set, name) || (also && names_has(also, name)); k++) {
		if (k == NAME_TRIES)
			k = NAME_TRIES + seed;
		name = plan_printf(p, "%s_%u", base, k);
		if (p->mem.failed)
			return base;
	}
	names_add(set, name);
	return name;
}

/* A folder name: no separators, nothing Hive readers take as a key, no leading dot. */
static const char *names_clean(struct plan *p, const char *name, size_t len)
{
	char *s;

	len = canp_min(len, (size_t)NAME_BYTES_MAX);
	while (len && ((unsigned char)name[len] & 0xc0) == 0x80)
		len--; /* not in the middle of a UTF-8 character */
	s = canp_bump_str(&p->mem, name, len);
	if (!s)
		return "";
	for (char *c = s; *c; c++)
		if ((unsigned char)*c <= ' ' || strchr("/\\=:*?\"<>|%", *c) || *c == 0x7f)
			*c = '_';
	if (*s == '.' || !*s)
		return plan_printf(p, "_%s", s);
	return s;
}

static const char *names_stem(struct plan *p, const char *file)
{
	size_t len = strlen(file);

	if (len > 4 && !strcasecmp(file + len - 4, ".dbc"))
		len -= 4;
	return names_clean(p, file, len);
}

static int names_cmp(const void *a, const void *b)
{
	const struct plan_def *x = *(struct plan_def *const *)a, *y = *(struct plan_def *const *)b;
	int c = strcasecmp(x->name, y->name);

	/* Definitions lie in one array in order, so equal names stay in that order. */
	return c ? c : x < y ? -1 : x > y;
}

/* Suffixes for nr definitions of one name. */
static void names_group(struct plan *p, struct plan_def **v, uint32_t nr)
{
	const char *base = v[0]->name;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t same_dbc = 0;

		/* All of one DBC lie side by side only by accident; groups are small. */
		for (uint32_t k = 0; k < nr && same_dbc < 2; k++)
			same_dbc += v[k]->dbc == v[i]->dbc;
		base = names_clean(p, v[i]->msg->name, strlen(v[i]->msg->name));
		if (same_dbc > 1)
			v[i]->name = plan_printf(p, v[i]->ext ? "%s_%08x" : "%s_%03x", base,
						 v[i]->msg->id);
		else
			v[i]->name = plan_printf(p, "%s_%s", base, names_stem(p, v[i]->dbc->file));
	}
}

int plan_name_tables(struct plan *p)
{
	struct names_set set;
	struct plan_def **v;
	uint32_t nr = 0;

	v = canp_bump_alloc(&p->mem, (p->nr_defs + 1) * sizeof(struct plan_def *));
	if (!v || !names_init(p, &set, p->nr_defs))
		return -ENOMEM;
	for (uint32_t i = 0; i < p->nr_defs; i++) {
		struct plan_def *d = &p->defs[i];

		if (!d->reachable)
			continue;
		d->name = names_clean(p, d->msg->name, strlen(d->msg->name));
		v[nr++] = d;
	}
	if (p->mem.failed)
		return -ENOMEM;
	qsort(v, nr, sizeof(struct plan_def *), names_cmp);
	for (uint32_t i = 0, end; i < nr; i = end) {
		for (end = i + 1; end < nr && !strcasecmp(v[i]->name, v[end]->name);)
			end++;
		if (end - i > 1)
			names_group(p, v + i, end - i);
	}
	for (uint32_t i = 0; i < p->nr_defs; i++) {
		struct plan_def *d = &p->defs[i];

		if (!d->reachable)
			continue;
		if (names_table_reserved(d->name))
			d->name = plan_printf(p, "m_%s", d->name);
		d->name = names_unique(p, &set, NULL, d->name, i);
	}
	return p->mem.failed ? -ENOMEM : 0;
}

bool plan_name_reserved(const char *name)
{
	for (size_t i = 0; i < CANP_ARRAY_SIZE(names_reserved); i++)
		if (!strcasecmp(name, names_reserved[i]))
			return true;
	return false;
}

void plan_name_columns(struct plan *p, struct plan_def *d)
{
	struct names_set set, labels;
	uint32_t nr = d->msg->nr_signals;

	if (!names_init(p, &set, nr + (uint32_t)CANP_ARRAY_SIZE(names_reserved)) ||
	    !names_init(p, &labels, nr))
		return;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(names_reserved); i++)
		names_add(&set, names_reserved[i]);
	/* --enum=both adds <signal>_label beside signals with a value table. */
	for (uint32_t i = 0; i < nr && p->pub.opts.enum_labels; i++)
		if (d->sigs[i].dbc->nr_values)
			names_add(&labels, plan_printf(p, "%s_label", d->sigs[i].dbc->name));
	for (uint32_t i = 0; i < nr; i++) {
		struct plan_sig *s = &d->sigs[i];

		s->name = names_unique(p, &set, &labels, s->dbc->name, i);
		if (s->name != s->dbc->name)
			plan_warn(p, "%s:%u: signal %s of message %s becomes column %s",
				  d->dbc->file, s->dbc->line, s->dbc->name, d->msg->name, s->name);
	}
}
