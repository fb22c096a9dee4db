/*
 * canp_gen.c - canp-gen: makes directories of realistic logs and the database that describes them,
 * for tests, demonstrations and benchmarks. Equal options and seed give equal bytes. The work is
 * done in gen_make.c.
 */
#include <stdio.h>

#include "tools/gen_make.h"
#include "tools/toolmain.h"

static struct canp_tool gen_tool(const struct canp_gen_cfg *cfg)
{
	return (struct canp_tool){
		.name = "canp-gen",
		.synopsis = "[OPTION]... DIR",
		.text = "Makes realistic CAN logs for tests and benchmarks.",
		.help = &cfg->help,
		.version = &cfg->version,
	};
}

int main(int argc, char **argv)
{
	struct canp_gen_cfg cfg;
	struct canp_gen_log_cfg log;
	struct canp_opt_bind binds[] = {{&canp_gen_log_opt_table, &log},
					{&canp_gen_opt_table, &cfg}};
	const struct canp_tool tool = gen_tool(&cfg);
	const char *const *operands;
	struct canp_opts *opts;
	uint64_t frames, signals;
	const char *dir;
	unsigned nr;
	int rc;

	rc = canp_tool_options(&tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &opts);
	if (rc != -1)
		return rc;
	operands = canp_opts_operands(opts, &nr);
	dir = cfg.output[0] ? cfg.output : nr ? operands[0] : "";
	if (!dir[0] || nr > (cfg.output[0] ? 0u : 1u))
		rc = canp_tool_usage(&tool, "give exactly one directory to write to");
	else
		rc = canp_gen_make(&log, cfg.files, cfg.dbc, dir, &frames, &signals);
	/* Integers only: hundredths of a signal. */
	if (rc == CANP_EXIT_OK)
		fprintf(stderr, "canp-gen: %u files, %llu frames, %llu.%02llu signals a frame\n",
			cfg.files, (unsigned long long)frames,
			(unsigned long long)(signals / frames),
			(unsigned long long)(signals % frames * 100 / frames));
	canp_opts_destroy(opts);
	return rc;
}
