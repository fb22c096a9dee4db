/*
 * appliance_cmd.h - the sub-commands of canp-appliance and what they share.
 */
#ifndef CANP_TOOLS_APPLIANCE_CMD_H
#define CANP_TOOLS_APPLIANCE_CMD_H

#include "core/base/strbuf.h"
#include "core/base/tz.h"
#include "core/runtime/runtime_cfg.h"
#include "io/ingest.h"
#include "io/ingest_cfg.h"
#include "io/lib_cfg.h"
#include "tools/appliance_cfg.h"
#include "tools/toolmain.h"

int canp_cmd_run(int argc, char **argv);
int canp_cmd_inspect(int argc, char **argv);
int canp_cmd_dbc(int argc, char **argv);
int canp_cmd_schema(int argc, char **argv);
int canp_cmd_caps(int argc, char **argv);
int canp_cmd_doctor(int argc, char **argv);
int canp_cmd_config(int argc, char **argv);
int canp_cmd_config_check(int argc, char **argv); /* --config-check FILE... */
int canp_cmd_status(int argc, char **argv);
int canp_cmd_tune(int argc, char **argv);

/* All options of a job and what they resolve to. */
struct canp_job_cli {
	struct canp_runtime_cfg rt;
	struct canp_ingest_cfg in;
	struct canp_lib_cfg lib; /* for programs that share the file; a job has no use for it */
	struct canp_appliance_cfg ui;
	struct canp_opts *opts;
	/* resolved; freed by canp_job_cli_fini */
	struct canp_job_opts job;
	struct canp_plan_dbc *dbcs;
	struct canp_plugin_spec *plugins;
	struct canp_strbuf select, exclude, bus;
	struct canp_tz *tz;
};

/* Parses the arguments of a sub-command that plans jobs. -1 to go on, else the exit code. */
int canp_job_cli_parse(struct canp_job_cli *c, const struct canp_tool *tool, int argc, char **argv);
/* The same for a sub-command with options of its own beside those of a job; cfg as for
 * canp_opt_bind. */
int canp_job_cli_parse_own(struct canp_job_cli *c, const struct canp_tool *tool,
			   const struct canp_opt_table *own, void *cfg, int argc, char **argv);
/* Sets what --mode stands for where nothing was given by name. */
void canp_job_cli_mode(struct canp_job_cli *c);
/* Turns the option structs into c->job and chooses the kernels (--simd, CANP_CPU_DISABLE). -1 or an
 * exit code with the message printed. */
int canp_job_cli_resolve(struct canp_job_cli *c, const struct canp_tool *tool);
void canp_job_cli_fini(struct canp_job_cli *c);
/* Warning callback: prints the line on stderr. */
void canp_cmd_warn(void *arg, const char *line);

#endif
