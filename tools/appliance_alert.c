/*
 * appliance_alert.c - `canp-appliance doctor --alerts`: threshold rules over metrics.
 *
 * A rule is a line "METRIC OP NUMBER"; # starts a comment. METRIC is the name of a sample, with its
 * labels or without: without, every sample of that name counts, so one shard or one worker that is
 * out of bounds is enough. A metric that no source has is an alert of its own: what is not measured
 * cannot be called well. Meant for cron, a systemd timer or a health check: the exit status tells,
 * each rule that holds is a line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/observe/metrics.h"
#include "io/live.h"
#include "tools/appliance_doctor.h"
#include "tools/toolmain.h"

#define ALERT_RULES_MAX 256u
#define ALERT_NAME_MAX  200u
#define ALERT_JOBS_MAX  64u
#define ALERT_FIRED     2
#define ALERT_USAGE     64

enum alert_op { OP_LT, OP_LE, OP_GT, OP_GE, OP_EQ, OP_NE, OP_NR };
static const char *const op_text[OP_NR] = {"<", "<=", ">", ">=", "==", "!="};

struct alert_rule {
	char metric[ALERT_NAME_MAX];
	enum alert_op op;
	double limit;
	unsigned seen, fired;
};

struct alerts {
	const char *tool;
	struct alert_rule rules[ALERT_RULES_MAX];
	unsigned nr, fired;
	struct canp_strbuf sb;
	struct canp_json js;
	bool json;
};

/* ---- rules ---- */

static bool number(const char *text, double *v)
{
	char *end;

	*v = strtod(text, &end);
	return end != text && !*end;
}

/* Takes one line apart; 0 also for an empty one, -EINVAL for what is no rule. */
static int rule_add(struct alerts *a, char *line)
{
	struct alert_rule *r = &a->rules[a->nr];
	char *word[4] = {NULL}, *save = NULL, *w = strpbrk(line, "#\n");
	unsigned n = 0, op = 0;

	if (w)
		*w = 0;
	for (w = strtok_r(line, " \t\r", &save); w && n < 4; w = strtok_r(NULL, " \t\r", &save))
		word[n++] = w;
	if (!n)
		return 0;
	if (n != 3 || a->nr == ALERT_RULES_MAX || strlen(word[0]) >= ALERT_NAME_MAX)
		return -EINVAL;
	while (op < OP_NR && strcmp(word[1], op_text[op]))
		op++;
	memset(r, 0, sizeof(*r));
	if (op == OP_NR || !number(word[2], &r->limit))
		return -EINVAL;
	r->op = (enum alert_op)op;
	memcpy(r->metric, word[0], strlen(word[0]));
	a->nr++;
	return 0;
}

static int rules_read(struct alerts *a, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	unsigned n = 0;
	int code = 0;

	if (!f) {
		fprintf(stderr, "%s: %s: %s\n", a->tool, path, strerror(errno));
		return 1;
	}
	while (!code && fgets(line, sizeof(line), f)) {
		n++;
		if (!rule_add(a, line))
			continue;
		fprintf(stderr, "%s: %s:%u: not METRIC OP NUMBER, with OP one of < <= > >= == !=\n",
			a->tool, path, n);
		code = ALERT_USAGE;
	}
	if (!code && ferror(f)) {
		fprintf(stderr, "%s: %s: cannot be read\n", a->tool, path);
		code = 1;
	}
	fclose(f);
	return code;
}

/* ---- samples ---- */

static bool holds(const struct alert_rule *r, double v)
{
	switch (r->op) {
	case OP_LT:
		return v < r->limit;
	case OP_LE:
		return v <= r->limit;
	case OP_GT:
		return v > r->limit;
	case OP_GE:
		return v >= r->limit;
	case OP_EQ:
		return v == r->limit;
	default:
		return v != r->limit;
	}
}

static void fire(struct alerts *a, const char *source, const struct alert_rule *r,
		 const char *sample, const double *v)
{
	char value[32] = "absent";

	if (v)
		snprintf(value, sizeof(value), "%.10g", *v);
	a->fired++;
	if (a->json) {
		canp_json_object(&a->js);
		canp_json_kstr(&a->js, "event", "alert");
		canp_json_kstr(&a->js, "source", source);
		canp_json_kstr(&a->js, "metric", sample);
		if (v)
			canp_json_kdouble(&a->js, "value", *v);
		canp_json_kstr(&a->js, "op", op_text[r->op]);
		canp_json_kdouble(&a->js, "limit", r->limit);
		canp_json_end(&a->js);
		return;
	}
	canp_strbuf_printf(&a->sb, "ALERT %s: %s is %s, the rule says %s %.10g\n", source, sample,
			   value, op_text[r->op], r->limit);
}

/* A line "name{labels} value"; labels may have blanks and braces in quotes, the value is what comes
 * after the last blank. */
static void sample(struct alerts *a, const char *source, char *line)
{
	char *blank = strrchr(line, ' '), *brace = strchr(line, '{');
	size_t name;
	double v;

	if (*line == '#' || !blank || !number(blank + 1, &v))
		return;
	*blank = 0;
	name = brace ? (size_t)(brace - line) : (size_t)(blank - line);
	for (unsigned i = 0; i < a->nr; i++) {
		struct alert_rule *r = &a->rules[i];
		bool same = !strcmp(r->metric, line);

		if (!same && (strlen(r->metric) != name || memcmp(r->metric, line, name)))
			continue;
		r->seen++;
		if (holds(r, v))
			fire(a, source, r, line, &v);
	}
}

static void source_text(struct alerts *a, const char *source, char *text)
{
	char *save = NULL;

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		sample(a, source, l);
}

static int source_file(struct alerts *a, const char *path)
{
	FILE *f = fopen(path, "re");
	size_t room = 0;
	char *line = NULL;
	int rc = 0;

	if (!f) {
		fprintf(stderr, "%s: %s: %s\n", a->tool, path, strerror(errno));
		return 1;
	}
	while (getline(&line, &room, f) > 0)
		source_text(a, path, line);
	if (ferror(f)) {
		fprintf(stderr, "%s: %s: cannot be read\n", a->tool, path);
		rc = 1;
	}
	free(line);
	fclose(f);
	return rc;
}

/* The jobs that run here, through their live pages. */
static void source_jobs(struct alerts *a)
{
	struct canp_live_entry v[ALERT_JOBS_MAX];
	unsigned nr = canp_live_list(NULL, v, ALERT_JOBS_MAX);

	for (unsigned i = 0; i < nr; i++) {
		struct canp_strbuf sb = CANP_STRBUF_INIT;
		struct canp_metrics m;
		struct canp_live *l;
		char source[32];

		if (canp_live_read(v[i].path, &l))
			continue;
		canp_metrics_init(&m, &sb, CANP_METRICS_OPENMETRICS);
		canp_live_metrics(l, &m);
		snprintf(source, sizeof(source), "pid %d", v[i].pid);
		if (canp_live_alive(l) && !canp_metrics_finish(&m) && !sb.failed)
			source_text(a, source, sb.buf);
		canp_strbuf_fini(&sb);
		free(l);
	}
}

/* ---- the command ---- */

static int alerts_end(struct alerts *a)
{
	for (unsigned i = 0; i < a->nr; i++)
		if (!a->rules[i].seen)
			fire(a, "all sources", &a->rules[i], a->rules[i].metric, NULL);
	if (a->json) {
		canp_json_end(&a->js);
		canp_json_ku64(&a->js, "rules", a->nr);
		canp_json_ku64(&a->js, "fired", a->fired);
		canp_json_end(&a->js);
		canp_strbuf_putc(&a->sb, '\n');
	} else {
		canp_strbuf_printf(&a->sb, "%u rules, %u alerts\n", a->nr, a->fired);
	}
	if (canp_tool_print(&a->sb) != CANP_EXIT_OK)
		return 1;
	return a->fired ? ALERT_FIRED : 0;
}

int canp_alerts(const char *tool, const char *rules, const char *const *files, unsigned nr,
		bool json)
{
	struct alerts *a = calloc(1, sizeof(*a));
	int code;

	if (!a)
		return 1;
	a->tool = tool;
	a->json = json;
	a->js = (struct canp_json)CANP_JSON_INIT(&a->sb, 2);
	code = rules_read(a, rules);
	if (!code && json) {
		canp_json_object(&a->js);
		canp_json_key(&a->js, "alerts");
		canp_json_array(&a->js);
	}
	for (unsigned i = 0; i < nr && !code; i++)
		code = source_file(a, files[i]);
	if (!code && !nr)
		source_jobs(a);
	if (!code)
		code = alerts_end(a);
	else
		canp_strbuf_fini(&a->sb);
	free(a);
	return code;
}
