/*
 * canp_bench.c - canp-bench: how fast this machine does what the product does. Looks up the
 * sub-command and hands over; job files and their keys need none: `canp-bench x.job` and
 * `canp-bench --name=x --rw=read ..` are `canp-bench run ..`, as fio is called.
 */
#include <string.h>

#include "tools/bench_cmd.h"
#include "core/base/compiler.h"
#include "tools/toolcmd.h"

static const struct canp_tool_command commands[] = {
	{"run", canp_bench_run, "job files with the grammar of fio"},
	{"compare", canp_bench_compare, "results of run: did it become slower?"},
	{"kernels", canp_bench_kernels, "each hand-written kernel beside its portable form"},
	{"job", canp_bench_job, "a whole job or a range of its stages, beside ISA-L or fio"},
	{"pool", canp_bench_pool, "the process pool, beside pipes and Python's"},
	{"runtime", canp_bench_runtime, "memory, tasks, pipelines, events, beside other libraries"},
};

const struct canp_tool_command *canp_bench_commands(unsigned *nr)
{
	*nr = CANP_ARRAY_SIZE(commands);
	return commands;
}

/* Job files have a dot or a slash in their names, commands have none. */
static bool is_run(const char *arg)
{
	if (!strncmp(arg, "--", 2))
		return strcmp(arg, "--help") != 0 && strcmp(arg, "--version") != 0;
	return strpbrk(arg, "./") != NULL;
}

int main(int argc, char **argv)
{
	static const struct canp_tool_program program = {
		.name = "canp-bench",
		.text = "measures what vehicle logs cost on this machine",
		.usage = "COMMAND [OPTION]... | FILE.job... | --name=NAME --KEY=VALUE...",
		.commands = commands,
		.nr = CANP_ARRAY_SIZE(commands),
	};

	if (argc > 1 && is_run(argv[1])) {
		/* The C library ends argv with NULL, so there is room for nothing: the name of the
		 * program takes the place of the command's. */
		static char name[] = "run";

		argv[0] = name;
		return canp_bench_run(argc, argv);
	}
	return canp_tool_program(&program, argc, argv);
}
