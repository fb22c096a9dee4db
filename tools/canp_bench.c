/*
 * canp_bench.c - canp-bench: how fast this machine does what the product does. Looks up the
 * sub-command and hands over.
 */
#include "tools/bench_cmd.h"
#include "core/base/compiler.h"
#include "tools/toolcmd.h"

static const struct canp_tool_command commands[] = {
	{"kernels", canp_bench_kernels, "each hand-written kernel beside its portable form"},
	{"job", canp_bench_job, "a whole job or a range of its stages, beside ISA-L or fio"},
	{"pool", canp_bench_pool, "the process pool, beside pipes and Python's"},
	{"runtime", canp_bench_runtime, "memory, tasks, pipelines, events, beside other libraries"},
};

int main(int argc, char **argv)
{
	static const struct canp_tool_program program = {
		.name = "canp-bench",
		.text = "measures what vehicle logs cost on this machine",
		.usage = "COMMAND [OPTION]...",
		.commands = commands,
		.nr = CANP_ARRAY_SIZE(commands),
	};

	return canp_tool_program(&program, argc, argv);
}
