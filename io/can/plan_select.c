/*
 * plan_select.c - --select and --exclude: comma-separated shell patterns. One without a dot is
 * about messages, one with a dot about Message.Signal. Messages are known by their name in the DBC
 * and by the name of their table.
 */
#include <fnmatch.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "io/can/plan_parts.h"

void plan_parse_patterns(struct plan *p, const char *text, struct plan_patterns *out)
{
	struct plan_pattern *v;

	while (text && *text) {
		size_t len = strcspn(text, ",");
		const char *end = text + len;

		while (len && *text == ' ') {
			text++;
			len--;
		}
		while (len && text[len - 1] == ' ')
			len--;
		if (len) {
			v = canp_bump_grow(&p->mem, out->v, out->nr, sizeof(*v));
			if (!v)
				return;
			out->v = v;
			v += out->nr++;
			v->text = canp_bump_str(&p->mem, text, len);
			v->dotted = memchr(text, '.', len) != NULL;
			v->hit = false;
		}
		text = *end ? end + 1 : end;
	}
}

static bool select_dotted(const char *pattern, const char *message, const char *signal)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	bool hit;

	canp_strbuf_printf(&sb, "%s.%s", message, signal);
	hit = !sb.failed && !fnmatch(pattern, sb.buf, 0);
	canp_strbuf_fini(&sb);
	return hit;
}

static bool select_match(struct plan_patterns *pats, const struct plan_def *d,
			 const struct plan_sig *s)
{
	bool any = false;

	for (uint32_t i = 0; i < pats->nr; i++) {
		struct plan_pattern *pat = &pats->v[i];
		bool hit;

		if (!pat->text)
			continue;
		if (pat->dotted)
			hit = select_dotted(pat->text, d->msg->name, s->dbc->name) ||
			      select_dotted(pat->text, d->name, s->name);
		else
			hit = !fnmatch(pat->text, d->msg->name, 0) ||
			      !fnmatch(pat->text, d->name, 0);
		pat->hit |= hit;
		any |= hit;
	}
	return any;
}

bool plan_selected(struct plan *p, const struct plan_def *d, const struct plan_sig *s)
{
	bool in = !p->pub.opts.select || select_match(&p->select, d, s);
	/* Asked even when not selected, so that a pattern that fits counts as used. */
	bool out = select_match(&p->exclude, d, s);

	return in && !out;
}

static void select_warn(struct plan *p, const struct plan_patterns *pats, const char *option)
{
	for (uint32_t i = 0; i < pats->nr; i++)
		if (!pats->v[i].hit && pats->v[i].text)
			plan_warn(p, "%s: \"%s\" matches no message or signal", option,
				  pats->v[i].text);
}

void plan_warn_patterns(struct plan *p)
{
	select_warn(p, &p->select, "--select");
	select_warn(p, &p->exclude, "--exclude");
}
