/*
 * appliance_config.c - `canp-appliance config`: the effective options and where each comes from.
 */
#include <stdio.h>

#include "core/base/json.h"
#include "tools/appliance_cmd.h"

int canp_cmd_config(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance config",
		.synopsis = "[--json] [OPTION]...",
		.text = "Shows the effective options with their origin (default, file, "
			"environment, "
			"command line), as a file that --config accepts.",
	};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	struct canp_job_cli c;
	int code = canp_job_cli_parse(&c, &tool, argc, argv);

	if (code >= 0)
		return code;
	canp_job_cli_mode(&c);
	if (c.ui.json) {
		canp_opts_dump_json(c.opts, &js);
		canp_strbuf_putc(&sb, '\n');
	} else {
		canp_opts_dump(c.opts, &sb);
	}
	code = canp_tool_print(&sb);
	canp_job_cli_fini(&c);
	return code;
}
