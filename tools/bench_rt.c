/*
 * bench_rt.c - `canp-bench runtime`: what the runtime library costs, in one command.
 *
 * Sections are rows of a table here, figures are rows of the tables of the sections
 * (bench_rt_mem.c and its neighbours), so a new figure is a function and a row. Text is written
 * figure by figure, as they are measured; --json is one object at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "simd/simd.h"
#include "tools/bench_cmd.h"
#include "tools/bench_rt.h"

/* clang-format off */
static const struct canp_bench_rt_section sections[] = {
	{"mem", canp_bench_rt_mem},
	{"task", canp_bench_rt_task},
	{"pipe", canp_bench_rt_pairs},
	{"pipe", canp_bench_rt_flows},
	{"event", canp_bench_rt_event},
	{"monitor", canp_bench_rt_monitor},
	{"cmd", canp_bench_rt_cmd},
};
/* clang-format on */

/* ---- what is wanted -------------------------------------------------------------------------- */

/* Whether a list of words with commas has the word of len bytes. */
static bool list_has(const char *list, const char *word, size_t len)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n == len && !memcmp(list, word, len))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static bool section_wanted(const struct canp_bench_rt *rt, const char *name)
{
	return !rt->rt.only[0] || list_has(rt->rt.only, name, strlen(name));
}

/* A name that matches nothing is a mistake, not an empty table. -1 or an exit code. */
static int want_sections(const struct canp_bench_rt *rt)
{
	struct canp_strbuf names = CANP_STRBUF_INIT;
	const char *at = rt->rt.only;
	int rc = -1;

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sections); i++)
		if (!i || strcmp(sections[i].name, sections[i - 1].name))
			canp_strbuf_printf(&names, "%s%s", i ? "," : "", sections[i].name);
	while (rc == -1 && *at && !names.failed) {
		size_t n = strcspn(at, ",");

		if (!list_has(names.buf, at, n))
			rc = canp_tool_usage(&rt->tool,
					     "command line: --only: no section '%.*s'; there "
					     "are: %s",
					     (int)n, at, names.buf);
		at += n + (at[n] == ',');
	}
	canp_strbuf_fini(&names);
	return rc;
}

/* Beside this program unless --peers says otherwise. */
static void find_peers(struct canp_bench_rt *rt)
{
	char self[1024];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	rt->peers[0] = 0;
	if (rt->rt.peers[0]) {
		snprintf(rt->peers, sizeof(rt->peers), "%s", rt->rt.peers);
		return;
	}
	if (n <= 0)
		return;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (slash)
		snprintf(rt->peers, sizeof(rt->peers), "%.*s/bench-peers", (int)(slash - self),
			 self);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int measure(struct canp_bench_rt *rt)
{
	int rc = CANP_EXIT_OK;

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(sections) && !rc; i++) {
		const struct canp_bench_rt_figure *f = sections[i].rows;

		if (!section_wanted(rt, sections[i].name))
			continue;
		rt->section = sections[i].name;
		for (; f->name && !rc; f++)
			rc = canp_bench_rt_row(rt, f);
	}
	return rc;
}

static void json_head(struct canp_bench_rt *rt)
{
	canp_json_object(&rt->js);
	canp_json_kstr(&rt->js, "tool", rt->tool.name);
	canp_json_kstr(&rt->js, "version", CANP_VERSION);
	canp_json_ku64(&rt->js, "rounds", rt->cfg.rounds);
	canp_json_key(&rt->js, "figures");
	canp_json_array(&rt->js);
}

static void json_tail(struct canp_bench_rt *rt)
{
	canp_json_end(&rt->js);
	canp_json_key(&rt->js, "environment");
	canp_bench_env_json(&rt->env, &rt->js);
	canp_json_end(&rt->js);
	canp_strbuf_putc(&rt->sb, '\n');
}

static int runtime_run(struct canp_bench_rt *rt)
{
	int code;

	if (sched_getaffinity(0, sizeof(rt->all), &rt->all))
		return CANP_EXIT_FATAL;
	rt->cpu = canp_bench_pin((int)rt->cfg.cpu);
	if (rt->cpu < 0 && rt->cfg.cpu >= 0)
		return canp_tool_usage(&rt->tool,
				       "command line: --cpu=%lld: no such CPU, or it is not "
				       "allowed to us",
				       (long long)rt->cfg.cpu);
	find_peers(rt);
	canp_bench_env_begin(&rt->env, canp_max(rt->cpu, -1));
	if (rt->cfg.json)
		json_head(rt);
	code = measure(rt);
	canp_bench_env_end(&rt->env);
	if (code) {
		canp_strbuf_fini(&rt->sb);
		return code;
	}
	if (rt->cfg.json) {
		json_tail(rt);
	} else {
		canp_strbuf_puts(&rt->sb,
				 "\nmedian/best of the rounds; x: our figure divided by theirs, "
				 "taken round by round\n");
		canp_bench_env_text(&rt->env, &rt->sb);
	}
	return canp_tool_print(&rt->sb);
}

int canp_bench_runtime(int argc, char **argv)
{
	struct canp_bench_rt rt = {
		.tool = {.name = "canp-bench runtime",
			 .synopsis = "[OPTION]...",
			 .text = "Measures the runtime library: memory pool, tasks, pipelines, "
				 "events and the monitor, beside other libraries."},
	};
	struct canp_opt_bind binds[] = {{&canp_bench_rt_opt_table, &rt.rt},
					{&canp_bench_opt_table, &rt.cfg}};
	const char *const *operands;
	unsigned nr;
	int rc;

	rt.js = (struct canp_json)CANP_JSON_INIT(&rt.sb, 2);
	rt.tool.help = &rt.cfg.help;
	rt.tool.version = &rt.cfg.version;
	rc = canp_tool_options(&rt.tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &rt.opts);
	if (rc != -1)
		return rc;
	operands = canp_opts_operands(rt.opts, &nr);
	if (nr)
		rc = canp_tool_usage(&rt.tool, "'%s': no operand is expected", operands[0]);
	if (rc == -1)
		rc = want_sections(&rt);
	if (rc == -1 && canp_simd_init(CANP_ISA_AUTO, NULL))
		rc = CANP_EXIT_FATAL;
	if (rc == -1)
		rc = runtime_run(&rt);
	canp_opts_destroy(rt.opts);
	return rc;
}
