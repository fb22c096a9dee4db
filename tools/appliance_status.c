/*
 * appliance_status.c - `canp-appliance status`: is a job well? Running jobs are asked through their
 * live pages; a job that has ended, named by its dataset, by what it left in _canp.
 *
 * The exit status is for supervisors: 0 running or done, 1 failed, 3 stalled or no such job.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "io/live.h"
#include "tools/appliance_cmd.h"
#include "tools/appliance_status_cfg.h"

#define STATUS_JOBS_MAX 64u
#define STATUS_FILE_MAX (16u << 20)

enum status_exit { STATUS_WELL = 0, STATUS_FAILED = 1, STATUS_STALLED = 3 };

struct status {
	const struct canp_status_cfg *cfg;
	struct canp_strbuf sb;
	struct canp_json js;
	unsigned nr;
	int code;
};

/* Failed beats stalled beats well. */
static void status_worse(struct status *s, enum status_exit code)
{
	if (s->code != STATUS_FAILED && code != STATUS_WELL)
		s->code = code;
	s->nr++;
}

static const char *status_word(enum status_exit code)
{
	return code == STATUS_WELL ? "ok" : code == STATUS_FAILED ? "failed" : "stalled";
}

static void status_live(struct status *s, const struct canp_live *l)
{
	static const enum status_exit codes[] = {[CANP_LIVE_WELL] = STATUS_WELL,
						 [CANP_LIVE_BROKEN] = STATUS_FAILED,
						 [CANP_LIVE_STALLED] = STATUS_STALLED};
	const char *why;
	enum status_exit code = codes[canp_live_judge(l, canp_live_alive(l), canp_clock_ns(),
						      s->cfg->stall_after, &why)];

	status_worse(s, code);
	if (s->cfg->json) {
		canp_json_object(&s->js);
		canp_json_kstr(&s->js, "health", status_word(code));
		canp_json_kstr(&s->js, "why", why);
		canp_live_json(l, &s->js);
		canp_json_end(&s->js);
		return;
	}
	canp_strbuf_printf(&s->sb,
			   "%s: pid %d, %s: %s; %llu of %llu files, %llu frames, %llu "
			   "faults; %s\n",
			   status_word(code), l->job.pid, canp_live_state_name(l->job.state), why,
			   (unsigned long long)l->job.files, (unsigned long long)l->job.files_total,
			   (unsigned long long)l->job.frames, (unsigned long long)l->job.faults,
			   *l->job.out ? l->job.out : "no output");
}

static char *status_load(const char *dir, const char *name, size_t *len)
{
	char path[4096], *text;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/_canp/%s", dir, name) >= (int)sizeof(path))
		return NULL;
	f = fopen(path, "re");
	if (!f)
		return NULL;
	text = malloc(STATUS_FILE_MAX);
	*len = text ? fread(text, 1, STATUS_FILE_MAX, f) : 0;
	fclose(f);
	return text;
}

static void status_say_ended(struct status *s, enum status_exit code, const char *why)
{
	status_worse(s, code);
	if (s->cfg->json) {
		canp_json_object(&s->js);
		canp_json_kstr(&s->js, "health", status_word(code));
		canp_json_kstr(&s->js, "why", why);
		canp_json_kstr(&s->js, "state", code == STATUS_WELL ? "done" : "failed");
		canp_json_kstr(&s->js, "output", s->cfg->job);
		canp_json_end(&s->js);
		return;
	}
	canp_strbuf_printf(&s->sb, "%s: %s; %s\n", status_word(code), why, s->cfg->job);
}

/* A job that has ended left run.json, which says whether it is complete; one that died left only
 * job.json. */
static void status_ended(struct status *s)
{
	const struct canp_json_val *complete;
	struct canp_json_doc *doc = NULL;
	size_t len;
	char *text = status_load(s->cfg->job, "run.json", &len);

	if (text && canp_json_parse(text, len, 16, &doc, NULL) == 0) {
		complete = canp_json_get(canp_json_root(doc), "complete");
		if (complete && complete->type == CANP_JSON_BOOL && complete->b)
			status_say_ended(s, STATUS_WELL, "the job is done");
		else
			status_say_ended(s, STATUS_FAILED, "the job ended before all was done");
		canp_json_doc_destroy(doc);
		free(text);
		return;
	}
	if (text) {
		status_say_ended(s, STATUS_FAILED, "_canp/run.json is damaged");
		free(text);
		return;
	}
	text = status_load(s->cfg->job, "job.json", &len);
	if (text)
		status_say_ended(s, STATUS_FAILED, "the process died in the middle of the job");
	free(text);
}

static void status_jobs(struct status *s)
{
	const char *dir = *s->cfg->dir ? s->cfg->dir : NULL;
	char *out = *s->cfg->job ? realpath(s->cfg->job, NULL) : NULL;
	struct canp_live_entry v[STATUS_JOBS_MAX];
	unsigned nr = canp_live_list(dir, v, STATUS_JOBS_MAX);

	for (unsigned i = 0; i < nr; i++) {
		struct canp_live *l;
		bool wanted;

		if ((s->cfg->pid && v[i].pid != (int)s->cfg->pid) || canp_live_read(v[i].path, &l))
			continue;
		/* Pages that dead processes left count only for those who ask for them by pid: a
		 * dataset tells its own end. */
		wanted = *s->cfg->job ? out && !strcmp(out, l->job.out) && canp_live_alive(l)
				      : s->cfg->pid || canp_live_alive(l);
		if (wanted)
			status_live(s, l);
		free(l);
	}
	if (!s->nr && *s->cfg->job)
		status_ended(s);
	free(out);
}

static int status_run(const struct canp_status_cfg *cfg)
{
	struct status s = {.cfg = cfg, .sb = CANP_STRBUF_INIT, .code = STATUS_WELL};

	s.js = (struct canp_json)CANP_JSON_INIT(&s.sb, 2);
	if (cfg->json) {
		canp_json_object(&s.js);
		canp_json_key(&s.js, "jobs");
		canp_json_array(&s.js);
	}
	status_jobs(&s);
	if (!s.nr) {
		s.code = STATUS_STALLED;
		if (!cfg->json)
			canp_strbuf_puts(&s.sb, "no such job\n");
	}
	if (cfg->json) {
		canp_json_end(&s.js);
		canp_json_ki64(&s.js, "exit", s.code);
		canp_json_end(&s.js);
		canp_strbuf_putc(&s.sb, '\n');
	}
	if (cfg->quiet) {
		canp_strbuf_fini(&s.sb);
		return s.code;
	}
	return canp_tool_print(&s.sb) == CANP_EXIT_OK ? s.code : (int)STATUS_FAILED;
}

int canp_cmd_status(int argc, char **argv)
{
	struct canp_status_cfg cfg;
	struct canp_opt_bind binds[] = {{&canp_status_opt_table, &cfg}};
	const struct canp_tool tool = {
		.name = "canp-appliance status",
		.synopsis = "[--pid N | --job DIR] [OPTION]...",
		.text = "Tells whether a job is well: exit status 0 running or done, 1 failed, "
			"3 stalled or no such job.",
		.help = &cfg.help,
		.version = &cfg.version,
	};
	struct canp_opts *opts;
	unsigned nr;
	int rc = canp_tool_options(&tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &opts);

	if (rc != -1)
		return rc;
	canp_opts_operands(opts, &nr);
	if (nr)
		rc = canp_tool_usage(&tool, "name a job with --pid or --job");
	else if (cfg.pid && *cfg.job)
		rc = canp_tool_usage(&tool, "--pid or --job, not both");
	else
		rc = status_run(&cfg);
	canp_opts_destroy(opts);
	return rc;
}
