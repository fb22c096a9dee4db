/*
 * plugin_host.c - plugins on the control thread: load, check, open, ask about messages, close.
 *
 * A plugin is code of the user inside this process: nothing can protect the job from what it does
 * to memory. What can be checked is checked here, before the first file is opened, and every error
 * names the plugin.
 */
#include "io/plugin_host.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/units.h"
#include "io/plugin_priv.h"

#define PLUGIN_ERR_BYTES 256u

/* Names of the job's own operators. */
static const char *const plugin_taken[] = {"read", "decode", "pack", "extract", "write"};

static bool plugin_name_ok(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len && len <= CANP_FLOW_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static bool plugin_name_taken(const struct canp_plugins *ps, const char *name)
{
	for (size_t i = 0; i < CANP_ARRAY_SIZE(plugin_taken); i++)
		if (!strcmp(plugin_taken[i], name))
			return true;
	for (unsigned i = 0; i < ps->nr; i++)
		if (!strcmp(ps->v[i].name, name))
			return true;
	return false;
}

/* A plugin may be used twice: the second one is called x-2. */
static void plugin_set_name(const struct canp_plugins *ps, struct plugin *p)
{
	snprintf(p->name, sizeof(p->name), "%s", p->ops->name);
	for (unsigned k = 2; plugin_name_taken(ps, p->name); k++)
		snprintf(p->name, sizeof(p->name), "%.27s-%u", p->ops->name, k);
}

static int plugin_load(struct plugin *p, const struct canp_plugin_spec *spec,
		       struct canp_strbuf *err)
{
	char path[4096];

	p->ops = spec->plugin;
	if (!spec->file)
		return 0;
	/* Without a slash dlopen() would look in the folders of the system. */
	snprintf(path, sizeof(path), "%s%s", strchr(spec->file, '/') ? "" : "./", spec->file);
	p->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!p->lib) {
		canp_strbuf_printf(err, "plugin %s: cannot load: %s", spec->file, dlerror());
		return -ENOENT;
	}
	p->ops = dlsym(p->lib, CANP_PLUGIN_SYMBOL);
	if (p->ops)
		return 0;
	canp_strbuf_printf(err,
			   "plugin %s: it exports no %s (see io/plugin.h: const struct canp_plugin "
			   "canp_plugin = ..)",
			   spec->file, CANP_PLUGIN_SYMBOL);
	return -EINVAL;
}

static int plugin_check(const struct plugin *p, const char *what, struct canp_strbuf *err)
{
	/* First of all: behind another abi nothing is where it seems to be. */
	if (p->ops->abi != CANP_PLUGIN_ABI)
		canp_strbuf_printf(err, "plugin %s: made for plugin ABI %u, this program has %u",
				   what, p->ops->abi, CANP_PLUGIN_ABI);
	else if (!plugin_name_ok(p->ops->name))
		canp_strbuf_printf(err,
				   "plugin %s: its name is not one of 1 to %u letters a-z, digits, "
				   "- and _",
				   what, CANP_FLOW_NAME_MAX);
	else if (!p->ops->batch)
		canp_strbuf_printf(err, "plugin %s: it has no batch()", what);
	else
		return 0;
	return -EINVAL;
}

static int plugin_open(struct plugin *p, const char *arg, struct canp_strbuf *err)
{
	char text[PLUGIN_ERR_BYTES] = "";
	int rc;

	rc = p->ops->open ? p->ops->open(arg ? arg : "", &p->ctx, text, sizeof(text)) : 0;
	text[sizeof(text) - 1] = '\0';
	if (rc < 0) {
		canp_strbuf_printf(err, "plugin %s: %s%s%s", p->name, text, *text ? ": " : "",
				   canp_strerror(rc));
		return rc;
	}
	p->opened = true;
	return 0;
}

static int plugin_add(struct canp_plugins *ps, const struct canp_plugin_spec *spec,
		      struct canp_strbuf *err)
{
	struct plugin *p = &ps->v[ps->nr];
	const char *what = spec->file;
	int rc = plugin_load(p, spec, err);

	if (!rc && !what)
		what = p->ops && p->ops->abi == CANP_PLUGIN_ABI && p->ops->name ? p->ops->name
										: "(built in)";
	rc = rc ? rc : p->ops ? plugin_check(p, what, err) : -EINVAL;
	if (rc) {
		if (p->lib)
			dlclose(p->lib);
		return rc;
	}
	plugin_set_name(ps, p);
	ps->nr++;
	return plugin_open(p, spec->arg, err);
}

/* ---- messages ---- */

/* What plugins are told of a table. Columns of other plugins do not exist yet. */
static int plugin_describe(struct canp_plugins *ps, struct plugin_table *pt)
{
	const struct canp_table *t = pt->table;

	pt->signals = canp_bump_alloc(&ps->mem, (t->nr_cols + 1) * sizeof(*pt->signals));
	pt->cols = canp_bump_alloc(&ps->mem, (t->nr_cols + 1) * sizeof(*pt->cols));
	if (!pt->signals || !pt->cols)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		const struct canp_col *c = &t->cols[i];

		if (c->src != CANP_SRC_SIGNAL)
			continue;
		/* Floats arrive as doubles with the scaling done. */
		pt->signals[pt->nr_signals] = (struct canp_plugin_signal){
			.name = c->name,
			.unit = c->unit,
			.factor = c->is_float ? 1 : c->factor,
			.offset = c->is_float ? 0 : c->offset,
			.bits = c->raw_bits,
			.is_signed = c->is_signed,
			.is_float = c->is_float != 0,
			.muxed = c->mux_parent >= 0,
		};
		pt->cols[pt->nr_signals++] = i;
	}
	return 0;
}

/* The plugin may use its strings for the next message. */
static const char *plugin_copy(struct canp_plugins *ps, const char *s)
{
	return s ? canp_bump_str(&ps->mem, s, strlen(s)) : "";
}

static int plugin_take_columns(struct canp_plugins *ps, const struct plugin *p,
			       struct plugin_table *pt, const struct canp_plugin_want *want,
			       struct plugin_msg *m, struct canp_strbuf *err)
{
	if (want->nr_columns > CANP_PLUGIN_COLUMNS_MAX || want->nr_extra > CANP_PLUGIN_EXTRA_MAX) {
		canp_strbuf_printf(err,
				   "plugin %s: message %s: it asks for %u columns (at most %u) "
				   "and adds %u (at most %u)",
				   p->name, pt->table->name, want->nr_columns,
				   CANP_PLUGIN_COLUMNS_MAX, want->nr_extra, CANP_PLUGIN_EXTRA_MAX);
		return -E2BIG;
	}
	for (uint32_t i = 0; i < want->nr_columns; i++) {
		if (want->columns[i] >= pt->nr_signals) {
			canp_strbuf_printf(
				err, "plugin %s: message %s: it asks for signal %u of %u", p->name,
				pt->table->name, want->columns[i], pt->nr_signals);
			return -EINVAL;
		}
		m->column[i] = pt->cols[want->columns[i]];
	}
	m->first_extra = (uint8_t)pt->nr_extra;
	m->nr_extra = (uint8_t)want->nr_extra;
	for (uint32_t i = 0; i < want->nr_extra; i++) {
		if (pt->nr_extra > CANP_PLAN_EXTRA_MAX)
			break; /* one too many: canp_plan_widen() says so */
		pt->extra[pt->nr_extra++] =
			(struct canp_plan_extra){.name = plugin_copy(ps, want->extra[i].name),
						 .unit = plugin_copy(ps, want->extra[i].unit),
						 .plugin = p->name};
	}
	return ps->mem.failed ? -ENOMEM : 0;
}

static int plugin_ask(struct canp_plugins *ps, struct plugin *p, unsigned slot,
		      struct canp_strbuf *err)
{
	struct plugin_table *pt = &ps->tables[slot];
	const struct canp_table *t = pt->table;
	struct canp_plugin_want want = {.batches = !p->ops->message};
	struct canp_plugin_message pub = {
		.name = t->name,
		.id = t->id | (t->ext ? 1u << 31 : 0),
		.nr_signals = pt->nr_signals,
		.signals = pt->signals,
	};
	struct plugin_msg *m;
	uint32_t *columns;
	int rc = p->ops->message ? p->ops->message(p->ctx, &pub, &want) : 0;

	if (rc < 0) {
		canp_strbuf_printf(err, "plugin %s: message %s: %s", p->name, t->name,
				   rc == -ENOENT ? "a signal it needs is not there (or not "
						   "selected)"
						 : canp_strerror(rc));
		return rc;
	}
	if (!want.batches)
		return 0;
	m = canp_bump_alloc(&ps->mem, sizeof(*m));
	columns = canp_bump_alloc(&ps->mem, sizeof(want.columns));
	if (!m || !columns)
		return -ENOMEM;
	rc = plugin_take_columns(ps, p, pt, &want, m, err);
	if (rc)
		return rc;
	memcpy(columns, want.columns, want.nr_columns * sizeof(*columns));
	pub.nr_columns = want.nr_columns;
	pub.columns = columns;
	pub.user = want.user;
	m->pub = pub;
	m->batches = true;
	pt->wanted = true;
	p->msgs[slot] = m;
	return 0;
}

static int plugin_ask_all(struct canp_plugins *ps, struct plugin *p, struct canp_strbuf *err)
{
	unsigned wanted = 0;
	char line[128];

	p->msgs = canp_bump_alloc(&ps->mem, (ps->nr_slots + 1) * sizeof(struct plugin_msg *));
	if (!p->msgs)
		return -ENOMEM;
	for (unsigned s = CANP_SLOT_FIRST_TABLE; s < ps->nr_slots; s++) {
		int rc = ps->tables[s].table ? plugin_ask(ps, p, s, err) : 0;

		if (rc)
			return rc;
		wanted += p->msgs[s] != NULL;
	}
	if (wanted || !ps->warn)
		return 0;
	snprintf(line, sizeof(line), "plugin %s: it wants none of the %u messages", p->name,
		 ps->plan->nr_tables);
	ps->warn(ps->warn_arg, line);
	return 0;
}

static int plugin_messages(struct canp_plugins *ps, struct canp_strbuf *err)
{
	int rc = 0;

	ps->nr_slots = canp_plan_nr_slots(ps->plan);
	ps->tables = canp_bump_alloc(&ps->mem, ps->nr_slots * sizeof(*ps->tables));
	if (!ps->tables)
		return -ENOMEM;
	for (unsigned s = CANP_SLOT_FIRST_TABLE; s < ps->nr_slots && !rc; s++) {
		struct plugin_table *pt = &ps->tables[s];
		const struct canp_table *t = canp_plan_table(ps->plan, s);

		if (t->cls == CANP_REC_NONE)
			continue;
		pt->table = t;
		rc = plugin_describe(ps, pt);
	}
	for (unsigned i = 0; i < ps->nr && !rc; i++)
		rc = plugin_ask_all(ps, &ps->v[i], err);
	for (unsigned s = CANP_SLOT_FIRST_TABLE; s < ps->nr_slots && !rc; s++) {
		struct plugin_table *pt = &ps->tables[s];

		if (!pt->table)
			continue;
		rc = canp_plan_widen(ps->plan, s, pt->extra, pt->nr_extra, err);
		pt->frame = *pt->table;
		pt->frame.stride = canp_table_frame_stride(pt->table);
	}
	return rc;
}

int canp_plugins_create(const struct canp_plugin_spec *specs, unsigned nr, struct canp_plan *plan,
			struct canp_strbuf *err, void (*warn)(void *arg, const char *line),
			void *arg, struct canp_plugins **out)
{
	struct canp_plugins *ps;
	int rc = 0;

	if (nr > CANP_PLUGINS_MAX) {
		canp_strbuf_printf(err, "%u plugins, at most %u are possible", nr,
				   CANP_PLUGINS_MAX);
		return -E2BIG;
	}
	ps = calloc(1, sizeof(*ps));
	if (!ps)
		return -ENOMEM;
	ps->plan = plan;
	ps->warn = warn;
	ps->warn_arg = arg;
	for (unsigned i = 0; i < nr && !rc; i++)
		rc = plugin_add(ps, &specs[i], err);
	rc = rc ? rc : plugin_messages(ps, err);
	if (rc) {
		canp_plugins_destroy(ps);
		return rc;
	}
	*out = ps;
	return 0;
}

void canp_plugins_destroy(struct canp_plugins *ps)
{
	if (!ps)
		return;
	for (unsigned i = ps->nr; i-- > 0;) {
		struct plugin *p = &ps->v[i];

		if (p->opened && p->ops->close)
			p->ops->close(p->ctx);
		if (p->lib)
			dlclose(p->lib);
	}
	canp_bump_fini(&ps->mem);
	free(ps);
}

unsigned canp_plugins_nr(const struct canp_plugins *ps)
{
	return ps ? ps->nr : 0;
}

const char *canp_plugins_name(const struct canp_plugins *ps, unsigned i)
{
	return ps->v[i].name;
}

bool canp_plugins_want(const struct canp_plugins *ps, unsigned slot)
{
	return ps && ps->tables[slot].wanted;
}

void canp_plugins_sum(const struct canp_plugins *ps, unsigned i, struct canp_plugin_sum *sum)
{
	*sum = ps->v[i].sum;
	sum->out = __atomic_load_n(&ps->v[i].out, __ATOMIC_RELAXED);
}
