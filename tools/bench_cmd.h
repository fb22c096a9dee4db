/*
 * bench_cmd.h - the sub-commands of canp-bench. A new one is a function here, a row in
 * canp_bench.c, its option rows in a .def of its own and a section of the man page.
 */
#ifndef CANP_TOOLS_BENCH_CMD_H
#define CANP_TOOLS_BENCH_CMD_H

/* argv[0] is the name of the command; each returns the exit code (enum canp_exit). */
int canp_bench_kernels(int argc, char **argv);
int canp_bench_job(int argc, char **argv);
int canp_bench_runtime(int argc, char **argv);
int canp_bench_pool(int argc, char **argv);
int canp_bench_run(int argc, char **argv);     /* job files, benchjob_main.c */
int canp_bench_compare(int argc, char **argv); /* bench_compare.c */

/* All commands (canp_bench.c), for job files that run them. */
struct canp_tool_command;
const struct canp_tool_command *canp_bench_commands(unsigned *nr);

#endif
