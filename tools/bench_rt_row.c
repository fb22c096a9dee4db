/*
 * bench_rt_row.c - one figure of `canp-bench runtime`: its rounds, its verdict, its lines; and how
 * a peer is run.
 *
 * Every run is warm: a round before the first is not counted. A contender that is not installed
 * says so in its first run and is left out, never a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/units.h"
#include "numa/topology.h"
#include "tools/bench_rt.h"

extern char **environ;

/* What a contender of the figure did. */
struct form_result {
	bool missing;
	double *v; /* [rounds] */
	struct canp_bench_stat stat;
	double ratio; /* first form : this one; 0: none */
};

struct row {
	struct canp_bench_rt *rt;
	const struct canp_bench_rt_figure *f;
	unsigned nr, rounds;
	struct form_result r[CANP_BENCH_RT_FORMS_MAX];
	double result; /* what the goals are about; NAN: cannot be told */
};

/* ---- a peer ---------------------------------------------------------------------------------- */

/* The environment with LD_PRELOAD=preload, or without one. Freed by the caller, strings excepted
 * but the last one. */
static char **peer_env(const char *preload, char *line, size_t cap)
{
	size_t n = 0, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "LD_PRELOAD=", 11))
			env[k++] = environ[i];
	if (preload) {
		snprintf(line, cap, "LD_PRELOAD=%s", preload);
		env[k] = line;
	}
	return env;
}

static int peer_spawn(const struct canp_bench_rt *rt, const char *what, const char *preload,
		      uint64_t n, int out, pid_t *pid)
{
	char number[24], line[200];
	char *argv[] = {(char *)rt->peers, (char *)what, number, NULL};
	posix_spawn_file_actions_t fa;
	char **env = peer_env(preload, line, sizeof(line));
	int rc;

	if (!env)
		return -ENOMEM;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	/* The loader complains about what it cannot preload; the answer tells it, too. */
	posix_spawn_file_actions_addopen(&fa, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	rc = posix_spawn(pid, rt->peers, &fa, NULL, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	free(env);
	return -rc;
}

int canp_bench_rt_peer(struct canp_bench_rt *rt, const char *what, const char *preload, uint64_t n,
		       double *value)
{
	char text[64];
	size_t len = 0;
	int fd[2], status = 0, rc;
	ssize_t got;
	pid_t pid;

	if (!rt->peers[0] || access(rt->peers, X_OK))
		return -ENOENT;
	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	rc = peer_spawn(rt, what, preload, n, fd[1], &pid);
	close(fd[1]);
	while (!rc && len < sizeof(text) - 1) {
		got = read(fd[0], text + len, sizeof(text) - 1 - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	close(fd[0]);
	if (rc)
		return rc;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	text[len] = 0;
	if (!strcmp(text, "missing\n"))
		return -ENOENT;
	return !status && sscanf(text, "%lf", value) == 1 ? 0 : -EIO;
}

int canp_bench_rt_peer_form(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	const struct canp_bench_rt_peer_arg *a = arg;

	return canp_bench_rt_peer(rt, a->what, a->preload, n, value);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static bool less_is_better(const struct canp_bench_rt_figure *f)
{
	bool less = f->aim < f->floor;

	/* Of a ratio of times a small one is good; of a ratio of rates a large one. */
	return f->judge == CANP_BENCH_RT_VALUE && (f->floor != 0 || f->aim != 0)
		       ? less
		       : !strstr(f->unit, "/s");
}

static int row_rounds(struct row *w)
{
	const struct canp_bench_rt_figure *f = w->f;
	uint64_t n = (uint64_t)(1e6 * w->rt->rt.round_ms / f->est_ns) / 64 * 64 + 64;

	for (int r = -1; r < (int)w->rounds; r++) {
		for (unsigned i = 0; i < w->nr; i++) {
			double v = 0;
			int rc;

			if (w->r[i].missing)
				continue;
			rc = f->forms[i].run(w->rt, f->forms[i].arg, n, &v);
			if (rc == -ENOENT && r < 0) {
				w->r[i].missing = true;
				continue;
			}
			if (rc) {
				fprintf(stderr, "canp-bench runtime: %s.%s: %s: %s\n",
					w->rt->section, f->name, f->forms[i].name,
					canp_strerror(rc));
				return rc;
			}
			w->r[i].v[canp_max(r, 0)] = v;
		}
	}
	return 0;
}

/* stat() takes small numbers for good ones. */
static int form_stat(const struct row *w, struct form_result *r)
{
	if (r->missing)
		return 0;
	if (canp_bench_stat(r->v, w->rounds, &r->stat))
		return -ENOMEM;
	if (!less_is_better(w->f)) {
		double best = r->stat.worst;

		r->stat.worst = r->stat.best;
		r->stat.best = best;
	}
	if (r->stat.median == 0)
		r->stat.spread = 0;
	return 0;
}

/* The ratio to the peer that is hardest to beat. */
static void row_result(struct row *w)
{
	const struct canp_bench_rt_figure *f = w->f;
	bool less = f->aim < f->floor;

	w->result = f->judge == CANP_BENCH_RT_VALUE ? w->r[0].stat.median : NAN;
	for (unsigned i = 1; i < w->nr; i++) {
		struct form_result *r = &w->r[i];

		if (r->missing || w->r[0].missing)
			continue;
		r->ratio = canp_bench_ratio(r->v, w->r[0].v, w->rounds);
		if (f->judge == CANP_BENCH_RT_RATIO &&
		    (isnan(w->result) || (less ? r->ratio > w->result : r->ratio < w->result)))
			w->result = r->ratio;
	}
}

static const char *verdict(const struct row *w)
{
	const struct canp_bench_rt_figure *f = w->f;
	bool less = f->aim < f->floor;

	if (f->floor == 0 && f->aim == 0)
		return w->r[0].missing ? "not installed" : "no goal";
	if (isnan(w->result))
		return "not installed";
	if (less ? w->result <= f->aim : w->result >= f->aim)
		return "aim";
	return (less ? w->result <= f->floor : w->result >= f->floor) ? "floor" : "missed";
}

/* ---- writing --------------------------------------------------------------------------------- */

static void json_maybe(struct canp_json *js, const char *key, double v, bool known)
{
	canp_json_key(js, key);
	if (known)
		canp_json_double(js, v);
	else
		canp_json_null(js);
}

static void row_json(const struct row *w)
{
	const struct canp_bench_rt_figure *f = w->f;
	struct canp_json *js = &w->rt->js;
	bool goals = f->floor != 0 || f->aim != 0;
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", w->rt->section, f->name);
	canp_json_object(js);
	canp_json_kstr(js, "figure", name);
	canp_json_kstr(js, "text", f->text);
	canp_json_kstr(js, "unit", f->unit);
	canp_json_kstr(js, "judged", f->judge == CANP_BENCH_RT_VALUE ? "value" : "ratio");
	json_maybe(js, "floor", f->floor, goals);
	json_maybe(js, "aim", f->aim, goals);
	json_maybe(js, "result", w->result, !isnan(w->result));
	canp_json_kstr(js, "verdict", verdict(w));
	canp_json_key(js, "forms");
	canp_json_array(js);
	for (unsigned i = 0; i < w->nr; i++) {
		const struct form_result *r = &w->r[i];

		canp_json_object(js);
		canp_json_kstr(js, "name", f->forms[i].name);
		canp_json_kbool(js, "installed", !r->missing);
		json_maybe(js, "median", r->stat.median, !r->missing);
		json_maybe(js, "best", r->stat.best, !r->missing);
		json_maybe(js, "spread", r->stat.spread, !r->missing);
		json_maybe(js, "ratio", r->ratio, r->ratio > 0);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_end(js);
}

/* 3 digits that count. */
static void put_number(struct canp_strbuf *sb, double v)
{
	canp_strbuf_printf(sb, "%.*f", v < 0.1 ? 4 : v < 1 ? 3 : v < 10 ? 2 : v < 1000 ? 1 : 0, v);
}

static void row_text(const struct row *w)
{
	const struct canp_bench_rt_figure *f = w->f;
	struct canp_strbuf *sb = &w->rt->sb;

	canp_strbuf_printf(sb, "%s.%s: %s", w->rt->section, f->name, f->text);
	if (f->floor != 0 || f->aim != 0)
		canp_strbuf_printf(sb, "; goal %g, aim %g: %s", f->floor, f->aim, verdict(w));
	canp_strbuf_putc(sb, '\n');
	for (unsigned i = 0; i < w->nr; i++) {
		const struct form_result *r = &w->r[i];

		canp_strbuf_printf(sb, "  %-28s ", f->forms[i].name);
		if (r->missing) {
			canp_strbuf_puts(sb, "not installed\n");
			continue;
		}
		put_number(sb, r->stat.median);
		canp_strbuf_putc(sb, '/');
		put_number(sb, r->stat.best);
		canp_strbuf_printf(sb, " %s", f->unit);
		if (r->ratio > 0)
			canp_strbuf_printf(sb, "  x %.3g", r->ratio);
		canp_strbuf_putc(sb, '\n');
	}
}

int canp_bench_rt_row(struct canp_bench_rt *rt, const struct canp_bench_rt_figure *f)
{
	struct row w = {.rt = rt, .f = f, .rounds = (unsigned)rt->cfg.rounds};
	int rc = 0;

	if (f->runs_max)
		w.rounds = canp_min(w.rounds, f->runs_max);
	while (w.nr < CANP_BENCH_RT_FORMS_MAX && f->forms[w.nr].name)
		w.nr++;
	for (unsigned i = 0; i < w.nr; i++) {
		w.r[i].v = calloc(w.rounds, sizeof(double));
		rc = w.r[i].v ? rc : -ENOMEM;
	}
	if (f->pinned)
		canp_bind_cpu(rt->cpu);
	else
		sched_setaffinity(0, sizeof(rt->all), &rt->all);
	rc = rc ? rc : row_rounds(&w);
	for (unsigned i = 0; i < w.nr && !rc; i++)
		rc = form_stat(&w, &w.r[i]);
	if (!rc) {
		row_result(&w);
		if (rt->cfg.json)
			row_json(&w);
		else
			row_text(&w);
		if (!rt->cfg.json && canp_tool_print(&rt->sb))
			rc = -EPIPE;
	}
	for (unsigned i = 0; i < w.nr; i++)
		free(w.r[i].v);
	return rc ? CANP_EXIT_FATAL : CANP_EXIT_OK;
}
