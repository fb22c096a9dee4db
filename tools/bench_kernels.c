/*
 * bench_kernels.c - `canp-bench kernels`: each kernel in each of its forms, side by side.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/version.h"
#include "simd/simd.h"
#include "tools/bench_cfg.h"
#include "tools/bench_cmd.h"
#include "tools/bench_measure.h"
#include "tools/toolmain.h"

int canp_bench_kernels(int argc, char **argv)
{
	struct canp_bench_cfg cfg;
	struct canp_bench_kernels_cfg k;
	struct canp_opt_bind binds[] = {{&canp_bench_kernels_opt_table, &k},
					{&canp_bench_opt_table, &cfg}};
	const struct canp_tool tool = {
		.name = "canp-bench kernels",
		.synopsis = "[OPTION]...",
		.text = "Measures each kernel in each of its forms, side by side.",
		.help = &cfg.help,
		.version = &cfg.version,
	};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_bench_env env;
	struct canp_opts *opts;
	int rc = canp_tool_options(&tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &opts);

	if (rc != -1)
		return rc;
	canp_bench_env_begin(&env, canp_bench_pin((int)cfg.cpu));
	canp_bench_env_end(&env);
	canp_bench_env_text(&env, &sb);
	canp_opts_destroy(opts);
	return canp_tool_print(&sb);
}
