/*
 * appliance_parse.c - the arguments of the sub-commands of canp-appliance that plan jobs. Apart
 * from appliance_job.c, which other tools use with option tables of their own.
 */
#include <string.h>

#include "tools/appliance_cmd.h"

int canp_job_cli_parse_own(struct canp_job_cli *c, const struct canp_tool *tool,
			   const struct canp_opt_table *own, void *cfg, int argc, char **argv)
{
	const struct canp_opt_bind binds[] = {
		{&canp_ingest_opt_table, &c->in},
		{&canp_runtime_opt_table, &c->rt},
		{&canp_lib_opt_table, &c->lib},
		{&canp_appliance_opt_table, &c->ui},
		{own, cfg},
	};
	struct canp_tool t = *tool;

	memset(c, 0, sizeof(*c));
	t.help = &c->ui.help;
	t.version = &c->ui.version;
	t.config = &c->ui.config;
	return canp_tool_options(&t, binds, CANP_ARRAY_SIZE(binds) - !own, argc, argv, &c->opts);
}

int canp_job_cli_parse(struct canp_job_cli *c, const struct canp_tool *tool, int argc, char **argv)
{
	return canp_job_cli_parse_own(c, tool, NULL, NULL, argc, argv);
}
