/*
 * bench_compare.c - `canp-bench compare BASE... NEW...`: the command line of the comparison. Exit
 * status 0: nothing became slower, 1: that could not be told, 3: something did.
 */
#include "tools/bench_compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "tools/bench_cfg.h"
#include "tools/bench_cmd.h"
#include "tools/toolmain.h"

#define RESULT_BYTES_MAX (64u << 20)

static int load(struct canp_compare *c, unsigned side, const char *path, struct canp_strbuf *err)
{
	char *text = malloc(RESULT_BYTES_MAX);
	FILE *f = fopen(path, "rbe");
	int rc = !text ? -ENOMEM : !f ? -errno : 0;
	size_t len = rc ? 0 : fread(text, 1, RESULT_BYTES_MAX, f);

	if (!rc && (ferror(f) || len == RESULT_BYTES_MAX))
		rc = ferror(f) ? -EIO : -EFBIG;
	if (f)
		fclose(f);
	if (rc)
		canp_strbuf_printf(err, "%s: %s", path, canp_strerror(rc));
	else
		rc = canp_compare_add(c, side, text, len, path, err);
	free(text);
	return rc;
}

/* Which operands are the baseline: those before ":", else the first of two, else none of them. */
static int load_all(struct canp_compare *c, const struct canp_bench_compare_cfg *cfg,
		    const char *const *v, unsigned nr, const struct canp_tool *tool,
		    struct canp_strbuf *err)
{
	unsigned colon = nr, from = 0;
	int rc = 0;

	for (unsigned i = 0; i < nr && colon == nr; i++)
		colon = !strcmp(v[i], ":") ? i : colon;
	if (colon < nr)
		from = colon + 1;
	else if (!cfg->baseline.nr && nr == 2)
		from = colon = 1;
	else
		colon = 0;
	if ((!cfg->baseline.nr && !colon) || from >= nr)
		return canp_tool_usage(tool, "give BASE NEW, BASE... : NEW..., or --baseline=BASE "
					     "NEW...");
	for (unsigned i = 0; i < cfg->baseline.nr && !rc; i++)
		rc = load(c, 0, cfg->baseline.v[i], err);
	for (unsigned i = 0; i < colon && !rc; i++)
		rc = load(c, 0, v[i], err);
	for (unsigned i = from; i < nr && !rc; i++)
		rc = load(c, 1, v[i], err);
	if (!rc)
		return -1;
	fprintf(stderr, "canp-bench compare: %s\n", err->len ? err->buf : "out of memory");
	return CANP_EXIT_FATAL;
}

static int report(const struct canp_compare *c, bool json)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	int rc;

	if (json) {
		canp_compare_json(c, &js);
		canp_strbuf_putc(&sb, '\n');
	} else {
		canp_compare_text(c, &sb);
	}
	rc = canp_tool_print(&sb);
	return rc ? rc : canp_compare_exit(c);
}

int canp_bench_compare(int argc, char **argv)
{
	struct canp_bench_compare_cfg cfg;
	const struct canp_opt_bind bind = {&canp_bench_compare_opt_table, &cfg};
	const struct canp_tool tool = {
		.name = "canp-bench compare",
		.synopsis = "[OPTION]... BASE NEW | BASE... : NEW... | --baseline=BASE NEW...",
		.text = "Compares results of `canp-bench run --output-format=json`.",
		.help = &cfg.help,
		.version = &cfg.version,
	};
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_compare c = {0};
	struct canp_opts *opts;
	unsigned nr;
	int rc = canp_tool_options(&tool, &bind, 1, argc, argv, &opts);

	if (rc >= 0)
		return rc;
	const char *const *v = canp_opts_operands(opts, &nr);

	rc = load_all(&c, &cfg, v, nr, &tool, &err);
	if (rc < 0) {
		const struct canp_compare_opts o = {.alpha = cfg.alpha,
						    .threshold = cfg.threshold,
						    .sequential = cfg.sequential,
						    .metric = cfg.metric.v,
						    .nr_metrics = cfg.metric.nr};

		rc = canp_compare_judge(&c, &o) ? CANP_EXIT_FATAL : report(&c, cfg.json);
	}
	canp_compare_fini(&c);
	canp_strbuf_fini(&err);
	canp_opts_destroy(opts);
	return rc;
}
