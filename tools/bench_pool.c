/*
 * bench_pool.c - `canp-bench pool`: the process pool beside a pool of pipes and Python's, in wall
 * time, since the work is done by two processes. Figures take turns round by round; median and best
 * of the rounds are shown with the floor that a release must hold and the aim. Parent and worker
 * stay on the first two CPUs allowed to us; a machine that does other things shows in every figure
 * here.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/version.h"
#include "simd/simd.h"
#include "tools/bench_cfg.h"
#include "tools/bench_cmd.h"
#include "tools/bench_measure.h"
#include "tools/bench_pool.h"
#include "tools/toolmain.h"

struct pool_bench {
	struct canp_bench_cfg cfg;
	struct canp_bench_pool_cfg pool;
	struct canp_opts *opts;
	struct canp_tool tool;
	struct canp_bench_env env;
	struct canp_bench_pool_place at;
	struct canp_strbuf sb;
	struct canp_json js;
};

static bool list_has(const char *list, const char *name, size_t n)
{
	while (*list) {
		size_t len = strcspn(list, ",");

		if (len == n && !memcmp(list, name, n))
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

static bool wanted(const struct pool_bench *b, const char *name)
{
	return !b->pool.only[0] || list_has(b->pool.only, name, strlen(name));
}

/* A name that matches nothing is a mistake, not an empty table. -1 or an exit code. */
static int want_figures(const struct pool_bench *b)
{
	const char *at = b->pool.only;

	while (*at) {
		size_t n = strcspn(at, ",");
		bool found = false;

		for (unsigned i = 0; i < canp_bench_pool_nr_figures && !found; i++)
			found = strlen(canp_bench_pool_figures[i].name) == n &&
				!memcmp(canp_bench_pool_figures[i].name, at, n);
		if (!found)
			return canp_tool_usage(&b->tool, "command line: --only: no figure '%.*s'",
					       (int)n, at);
		at += n + (at[n] == ',');
	}
	return -1;
}

/* The first two allowed CPUs, or one for both. */
static void place(struct pool_bench *b)
{
	cpu_set_t set;
	int n = 0, cpu[2] = {0, 0};

	sched_getaffinity(0, sizeof(set), &set);
	b->at.all = set;
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpu[n++] = i;
	b->at.parent_cpu = b->cfg.cpu >= 0 ? (int)b->cfg.cpu : cpu[0];
	b->at.worker_cpu = n < 2 ? cpu[0] : cpu[b->at.parent_cpu == cpu[1] ? 0 : 1];
}

/* ---- report ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void put(struct pool_bench *b, const struct canp_bench_pool_figure *f, double *v, unsigned n)
{
	double median, best;

	qsort(v, n, sizeof(*v), by_value);
	median = v[n / 2];
	best = f->more_is_better ? v[n - 1] : v[0];
	if (b->cfg.json) {
		canp_json_object(&b->js);
		canp_json_kstr(&b->js, "figure", f->name);
		canp_json_kstr(&b->js, "text", f->text);
		canp_json_kstr(&b->js, "unit", f->unit);
		canp_json_kdouble(&b->js, "median", median);
		canp_json_kdouble(&b->js, "best", best);
		canp_json_kdouble(&b->js, "floor", f->floor);
		canp_json_kdouble(&b->js, "aim", f->aim);
		canp_json_end(&b->js);
		return;
	}
	canp_strbuf_printf(&b->sb, "%-15s %12.4g %12.4g %10.4g %10.4g  %-8s %s\n", f->name, median,
			   best, f->floor, f->aim, f->unit, f->text);
	canp_tool_print(&b->sb);
}

static int measure_all(struct pool_bench *b)
{
	unsigned rounds = b->cfg.rounds;
	double *v = calloc((size_t)canp_bench_pool_nr_figures * rounds, sizeof(*v));
	int rc[32] = {0};

	if (!v)
		return CANP_EXIT_FATAL;
	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < canp_bench_pool_nr_figures; i++) {
			const struct canp_bench_pool_figure *f = &canp_bench_pool_figures[i];
			double *at = &v[(size_t)i * rounds + r];

			if (!wanted(b, f->name) || rc[i])
				continue;
			if (f->once && r)
				*at = at[-1];
			else
				rc[i] = f->measure(&b->at, b->pool.pool_round_ms, at);
		}
	}
	for (unsigned i = 0; i < canp_bench_pool_nr_figures; i++) {
		const struct canp_bench_pool_figure *f = &canp_bench_pool_figures[i];

		if (!wanted(b, f->name))
			continue;
		if (!rc[i])
			put(b, f, &v[(size_t)i * rounds], rounds);
		else
			fprintf(stderr, "canp-bench: %s: %s\n", f->name, canp_strerror(rc[i]));
		if (rc[i] && rc[i] != -ENOENT) {
			free(v);
			return CANP_EXIT_FATAL;
		}
	}
	free(v);
	return CANP_EXIT_OK;
}

static int pool_run(struct pool_bench *b)
{
	int code;

	place(b);
	canp_bench_env_begin(&b->env, b->at.parent_cpu);
	if (b->cfg.json) {
		canp_json_object(&b->js);
		canp_json_kstr(&b->js, "tool", b->tool.name);
		canp_json_kstr(&b->js, "version", CANP_VERSION);
		canp_json_ku64(&b->js, "rounds", b->cfg.rounds);
		canp_json_key(&b->js, "figures");
		canp_json_array(&b->js);
	} else {
		canp_strbuf_printf(&b->sb, "%-15s %12s %12s %10s %10s\n", "figure", "median",
				   "best", "floor", "aim");
	}
	code = measure_all(b);
	canp_bench_env_end(&b->env);
	if (code) {
		canp_strbuf_fini(&b->sb);
		return code;
	}
	if (b->cfg.json) {
		canp_json_end(&b->js);
		canp_json_key(&b->js, "environment");
		canp_bench_env_json(&b->env, &b->js);
		canp_json_end(&b->js);
		canp_strbuf_putc(&b->sb, '\n');
	} else {
		canp_bench_env_text(&b->env, &b->sb);
	}
	return canp_tool_print(&b->sb);
}

int canp_bench_pool(int argc, char **argv)
{
	struct pool_bench b = {
		.tool = {.name = "canp-bench pool",
			 .synopsis = "[OPTION]...",
			 .text = "Measures the process pool: tasks a second, latency, payload, "
				 "memory, growth and recovery."},
	};
	struct canp_opt_bind binds[] = {{&canp_bench_pool_opt_table, &b.pool},
					{&canp_bench_opt_table, &b.cfg}};
	const char *const *operands;
	unsigned nr;
	int rc;

	b.js = (struct canp_json)CANP_JSON_INIT(&b.sb, 2);
	b.tool.help = &b.cfg.help;
	b.tool.version = &b.cfg.version;
	rc = canp_tool_options(&b.tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &b.opts);
	if (rc != -1)
		return rc;
	operands = canp_opts_operands(b.opts, &nr);
	if (nr)
		rc = canp_tool_usage(&b.tool, "'%s': no operand is expected", operands[0]);
	if (rc == -1)
		rc = want_figures(&b);
	if (rc == -1 && canp_simd_init(CANP_ISA_AUTO, NULL))
		rc = CANP_EXIT_FATAL;
	if (rc == -1)
		rc = pool_run(&b);
	canp_opts_destroy(b.opts);
	return rc;
}
