/*
 * canp_top.c - canp-top: looks at running jobs through their live pages (io/live.h) and shows what
 * their cores do. A look costs the jobs nothing.
 *
 * On a terminal the picture is renewed until q is pressed; elsewhere, and with --once or --json, it
 * is plain text, one picture after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/live.h"
#include "tools/toolmain.h"
#include "tools/top_cfg.h"
#include "tools/top_term.h"
#include "tools/top_view.h"

#define TOP_JOBS_MAX 64u

struct top {
	struct canp_top_cfg cfg;
	bool screen;
	/* the last look and the one before it */
	struct canp_live *jobs[TOP_JOBS_MAX], *before[TOP_JOBS_MAX];
	unsigned nr, nr_before;
	int error; /* why the page of --pid could not be read */
};

static void top_forget(struct canp_live **jobs, unsigned *nr)
{
	for (unsigned i = 0; i < *nr; i++)
		free(jobs[i]);
	*nr = 0;
}

/* Pages of processes that are gone are left out, unless that process was asked for. */
static void top_look(struct top *t)
{
	const char *dir = *t->cfg.dir ? t->cfg.dir : NULL;
	struct canp_live_entry v[TOP_JOBS_MAX];
	unsigned nr = canp_live_list(dir, v, TOP_JOBS_MAX);

	top_forget(t->before, &t->nr_before);
	memcpy(t->before, t->jobs, sizeof(t->jobs));
	t->nr_before = t->nr;
	t->nr = 0;
	t->error = -ENOENT;
	for (unsigned i = 0; i < nr; i++) {
		struct canp_live *l;
		int rc;

		if (t->cfg.pid && v[i].pid != (int)t->cfg.pid)
			continue;
		rc = canp_live_read(v[i].path, &l);
		if (rc) {
			t->error = rc;
			continue;
		}
		if (t->cfg.pid || canp_live_alive(l))
			t->jobs[t->nr++] = l;
		else
			free(l);
	}
}

static const struct canp_live *top_before(const struct top *t, const struct canp_live *l)
{
	for (unsigned i = 0; i < t->nr_before; i++) {
		const struct canp_live *b = t->before[i];

		if (b->job.pid == l->job.pid && b->job.pid_start == l->job.pid_start &&
		    !strcmp(b->job.id, l->job.id) && b->job.nr_shards == l->job.nr_shards &&
		    b->job.updated_ns < l->job.updated_ns)
			return b;
	}
	return NULL;
}

static void top_json(const struct top *t, struct canp_strbuf *sb)
{
	struct canp_json js = CANP_JSON_INIT(sb, 0);

	canp_json_object(&js);
	canp_json_key(&js, "jobs");
	canp_json_array(&js);
	for (unsigned i = 0; i < t->nr; i++) {
		canp_json_object(&js);
		canp_json_kbool(&js, "alive", canp_live_alive(t->jobs[i]));
		canp_live_json(t->jobs[i], &js);
		canp_json_end(&js);
	}
	canp_json_end(&js);
	canp_json_end(&js);
	canp_strbuf_putc(sb, '\n');
}

static void top_text(const struct top *t, struct canp_strbuf *sb)
{
	unsigned cols = 200, rows;

	if (t->screen)
		canp_top_term_size(&cols, &rows);
	if (!t->nr && t->cfg.pid)
		canp_strbuf_printf(sb, "no job of process %u: %s\n", t->cfg.pid,
				   canp_strerror(t->error));
	else if (!t->nr)
		canp_strbuf_puts(sb, "no job is running\n");
	for (unsigned i = 0; i < t->nr; i++) {
		if (i)
			canp_strbuf_putc(sb, '\n');
		canp_top_view(sb, t->jobs[i], top_before(t, t->jobs[i]),
			      canp_live_alive(t->jobs[i]), cols);
	}
	if (t->screen)
		canp_strbuf_puts(sb, "\nq quits\n");
}

static int top_show(const struct top *t)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	if (t->cfg.json)
		top_json(t, &sb);
	else
		top_text(t, &sb);
	if (!t->screen)
		return canp_tool_print(&sb);
	if (!sb.failed)
		canp_top_term_draw(&sb);
	canp_strbuf_fini(&sb);
	return CANP_EXIT_OK;
}

/* A process that was asked for and is not there is an error for scripts, not for people who wait
 * for it. */
static int top_run(struct top *t)
{
	int rc;

	if (t->cfg.once) {
		top_look(t);
		rc = top_show(t);
		return rc == CANP_EXIT_OK && t->cfg.pid && !t->nr ? CANP_EXIT_FATAL : rc;
	}
	t->screen = canp_top_term_open(!t->cfg.json);
	do {
		top_look(t);
		rc = top_show(t);
	} while (rc == CANP_EXIT_OK && !canp_top_term_wait(t->cfg.interval));
	canp_top_term_close();
	return rc;
}

int main(int argc, char **argv)
{
	static struct top t;
	struct canp_opt_bind binds[] = {{&canp_top_opt_table, &t.cfg}};
	const struct canp_tool tool = {
		.name = "canp-top",
		.synopsis = "[OPTION]...",
		.text = "Shows what running jobs of canp-appliance do, core by core.",
		.help = &t.cfg.help,
		.version = &t.cfg.version,
	};
	struct canp_opts *opts;
	unsigned nr;
	int rc = canp_tool_options(&tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &opts);

	if (rc != -1)
		return rc;
	canp_opts_operands(opts, &nr);
	rc = nr ? canp_tool_usage(&tool, "there is nothing to name: use --pid") : top_run(&t);
	top_forget(t.jobs, &t.nr);
	top_forget(t.before, &t.nr_before);
	canp_opts_destroy(opts);
	return rc;
}
