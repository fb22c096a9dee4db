/*
 * bench_job.c - `canp-bench job`: what a whole job costs, what each of its stages costs, beside
 * ISA-L merely inflating the same bytes, and how it scales.
 *
 * The contenders (the job, ISA-L or fio, the ranges up to each stage, the job on all cores) run one
 * after the other in every round, each run in a process of its own. CPU time is what counts; wall
 * time is told beside it. A run that delivers other frames than the first one is an error.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "numa/topology.h"
#include "tools/appliance_cmd.h"
#include "tools/bench_cmd.h"
#include "tools/bench_job.h"

/* Rounds when nobody asked for a number: a run takes seconds, not fractions of one. */
#define JOB_ROUNDS     3u
#define CONTENDERS_MAX (CANP_STAGE_NR + 3u)

struct bench_job {
	struct canp_bench_setup s;
	struct canp_gen_log_cfg log;
	struct canp_job_cli cli;
	struct canp_tool tool;
	struct canp_bench_contender c[CONTENDERS_MAX];
	unsigned nr, rounds;
	struct canp_bench_result result;
};

/* ---- what was asked for ---------------------------------------------------------------------- */

/* -1 or an exit code with the message printed. */
static int parse_stages(struct bench_job *b)
{
	struct canp_strbuf why = CANP_STRBUF_INIT;
	int rc = -1;

	if (canp_stages_parse(b->s.job_cfg.stages, &b->s.first, &b->s.last, &why))
		rc = canp_tool_usage(&b->tool, "--stages: %s", why.buf);
	canp_strbuf_fini(&why);
	return rc;
}

static bool range_has(const struct canp_bench_setup *s, enum canp_stage stage)
{
	return s->first <= stage && stage <= s->last;
}

static bool cpu_allowed(int cpu)
{
	cpu_set_t set;

	return cpu < CPU_SETSIZE && sched_getaffinity(0, sizeof(set), &set) == 0 &&
	       CPU_ISSET(cpu, &set);
}

/* What does not go together. -1 or an exit code. */
static int check_options(struct bench_job *b)
{
	const struct canp_bench_job_cfg *c = &b->s.job_cfg;
	bool reads = b->s.first == CANP_STAGE_READ && b->s.last == CANP_STAGE_READ;

	if (c->against == CANP_CFG_AGAINST_FIO && !reads)
		return canp_tool_usage(&b->tool, "--against=fio needs --stages=read: fio does "
						 "nothing but read");
	if (c->against == CANP_CFG_AGAINST_ISAL && !range_has(&b->s, CANP_STAGE_INFLATE))
		return canp_tool_usage(&b->tool, "--against=isal needs stages with inflate");
	if (c->serial && (b->s.first != CANP_STAGE_READ || b->s.last != CANP_STAGE_WRITE))
		return canp_tool_usage(&b->tool, "--serial needs all stages: it is about reading, "
						 "decoding and writing at the same time");
	if (*b->cli.in.output)
		return canp_tool_usage(&b->tool, "--output: datasets of a benchmark are removed; "
						 "--bench-dir says where they are made");
	if (b->s.cfg.cpu >= 0 && !cpu_allowed((int)b->s.cfg.cpu))
		return canp_tool_usage(&b->tool, "--cpu=%d: this process may not run there",
				       (int)b->s.cfg.cpu);
	if (b->cli.job.nr_inputs && b->s.job_cfg.input.nr)
		return canp_tool_usage(&b->tool, "give inputs as operands or with --input");
	return -1;
}

static int parse(struct bench_job *b, int argc, char **argv)
{
	const struct canp_opt_bind binds[] = {
		{&canp_bench_job_opt_table, &b->s.job_cfg}, {&canp_bench_opt_table, &b->s.cfg},
		{&canp_gen_log_opt_table, &b->log},         {&canp_ingest_opt_table, &b->cli.in},
		{&canp_runtime_opt_table, &b->cli.rt},
	};
	int rc;

	b->tool = (struct canp_tool){
		.name = "canp-bench job",
		.synopsis = "[OPTION]... [-d [BUS=]FILE.dbc]... [INPUT]...",
		.text = "Measures a whole job, or a range of its stages, on logs it makes or gets.",
		.help = &b->s.cfg.help,
		.version = &b->s.cfg.version,
	};
	rc = canp_tool_options(&b->tool, binds, CANP_ARRAY_SIZE(binds), argc, argv, &b->cli.opts);
	if (rc >= 0)
		return rc;
	b->s.opts = b->cli.opts;
	b->rounds = canp_opts_origin(b->cli.opts, "rounds") == CANP_OPT_DEFAULT ? JOB_ROUNDS
										: b->s.cfg.rounds;
	rc = canp_job_cli_resolve(&b->cli, &b->tool);
	rc = rc < 0 ? parse_stages(b) : rc;
	return rc < 0 ? check_options(b) : rc;
}

/* ---- data ------------------------------------------------------------------------------------ */

static int prepare_data(struct bench_job *b)
{
	static struct canp_plan_dbc dbc;
	const struct canp_bench_job_cfg *c = &b->s.job_cfg;
	struct canp_job_opts *j = &b->s.job;
	int rc;

	*j = b->cli.job;
	if (!j->nr_inputs) {
		j->inputs = c->input.v;
		j->nr_inputs = c->input.nr;
	}
	if (j->nr_inputs) {
		rc = canp_bench_data_list(&b->s.data, j);
	} else {
		rc = canp_bench_data_make(&b->s.data, &b->log, c->files, c->bench_dir);
		if (!j->plan.nr_dbcs) {
			dbc.path = b->s.data.dbc;
			j->plan.dbcs = &dbc;
			j->plan.nr_dbcs = 1;
		}
	}
	if (rc)
		return rc;
	rc = canp_bench_data_load(&b->s.data);
	if (rc) {
		fprintf(stderr, "canp-bench job: cannot take the logs to memory: %s\n",
			canp_strerror(rc));
		return CANP_EXIT_FATAL;
	}
	snprintf(b->s.out, sizeof(b->s.out), "%.900s/out-%d", c->bench_dir, (int)getpid());
	return CANP_EXIT_OK;
}

/* ---- contenders ------------------------------------------------------------------------------ */

static struct canp_bench_contender *add(struct bench_job *b, enum canp_bench_kind kind,
					enum canp_stage last, unsigned cores)
{
	struct canp_bench_contender *c = &b->c[b->nr++];

	c->kind = kind;
	c->first = b->s.first;
	c->last = last;
	c->cores = cores;
	c->cpu = calloc(b->rounds, sizeof(double));
	c->wall = calloc(b->rounds, sizeof(double));
	return c;
}

static unsigned cores_wanted(const struct bench_job *b)
{
	struct canp_topology *t = malloc(sizeof(*t));
	unsigned cores = b->cli.rt.cores;

	if (!cores)
		cores = t && canp_topology_read("", t) == 0 ? canp_topology_default_cores(t) : 1;
	free(t);
	return cores;
}

/* -1 or an exit code. */
static int choose(struct bench_job *b)
{
	int against = b->s.job_cfg.against;
	unsigned cores = cores_wanted(b);
	const char *why = canp_bench_isal_refuse(&b->s);

	if (!why && b->s.data.made && b->log.gz && b->log.container != CANP_CFG_GEN_CANDUMP)
		why = "a gzip'd container is inflated twice";
	if (against == CANP_CFG_AGAINST_ISAL && why)
		return canp_tool_usage(&b->tool, "--against=isal: %s", why);
	if (against == CANP_CFG_AGAINST_AUTO && range_has(&b->s, CANP_STAGE_INFLATE) && !why)
		against = CANP_CFG_AGAINST_ISAL;
	add(b, CANP_BENCH_JOB, b->s.last, 1);
	if (against == CANP_CFG_AGAINST_ISAL)
		add(b, CANP_BENCH_ISAL, b->s.last, 1);
	else if (against == CANP_CFG_AGAINST_FIO)
		add(b, CANP_BENCH_FIO, b->s.last, 1);
	if (b->s.job_cfg.scaling && cores > 1)
		add(b, CANP_BENCH_JOB, b->s.last, cores);
	if (b->s.job_cfg.serial)
		add(b, CANP_BENCH_JOB, b->s.last, 1)->serial = true;
	for (int st = b->s.first; b->s.job_cfg.breakdown && st < (int)b->s.last; st++)
		add(b, CANP_BENCH_JOB, (enum canp_stage)st, 1);
	for (unsigned i = 0; i < b->nr; i++)
		if (!b->c[i].cpu || !b->c[i].wall)
			return CANP_EXIT_FATAL;
	return -1;
}

static int run_one(struct bench_job *b, struct canp_bench_contender *c, unsigned round)
{
	struct canp_bench_setup *s = &b->s;
	int rc;

	s->serial = c->serial;
	if (c->kind == CANP_BENCH_ISAL)
		rc = canp_bench_run_isal(s, &c->run);
	else if (c->kind == CANP_BENCH_FIO)
		rc = canp_bench_run_fio(s, &c->run);
	else
		rc = canp_bench_run_job(s, c->first, c->last, c->cores, s->data.nr, &c->run);
	if (!rc && c->kind == CANP_BENCH_JOB && c->last >= CANP_STAGE_DECODE &&
	    c->run.frames != b->result.frames) {
		snprintf(c->run.error, sizeof(c->run.error),
			 "%llu frames where the first run had %llu",
			 (unsigned long long)c->run.frames, (unsigned long long)b->result.frames);
		rc = -EBADMSG;
	}
	if (rc) {
		fprintf(stderr, "canp-bench job: %s..%s: %s\n", canp_stage_name(c->first),
			canp_stage_name(c->last), c->run.error);
		return CANP_EXIT_FATAL;
	}
	c->cpu[round] = c->run.cpu_s;
	/* fio's time starts when it starts to read, so ours does too where it is the yardstick. */
	c->wall[round] = c->run.wall_s - (s->last == CANP_STAGE_READ ? c->run.boot_s : 0);
	return CANP_EXIT_OK;
}

/* The first run is not counted: it warms up and tells how many frames there are. */
static int first_run(struct bench_job *b)
{
	struct canp_bench_run run;

	if (canp_bench_run_job(&b->s, CANP_STAGE_INFLATE, CANP_STAGE_DECODE, 1, b->s.data.nr,
			       &run)) {
		fprintf(stderr, "canp-bench job: %s\n", run.error);
		return CANP_EXIT_FATAL;
	}
	if (!run.frames) {
		fprintf(stderr, "canp-bench job: the logs hold no frames\n");
		return CANP_EXIT_FATAL;
	}
	b->result.frames = run.frames;
	return CANP_EXIT_OK;
}

static double per_file(uint64_t all, uint64_t half, uint32_t files)
{
	return ((double)all - (double)half) / files;
}

/* Everything a shard does once cancels out between a run with all files and one with half. */
static int count_calls(struct bench_job *b)
{
	const struct canp_bench_calls *all = &b->c[0].run.calls;
	struct canp_bench_result *r = &b->result;
	uint32_t half = b->s.data.nr / 2;
	struct canp_bench_run run;

	b->s.serial = false;
	if (!b->s.job_cfg.calls || !half || !canp_bench_calls_counted())
		return CANP_EXIT_OK;
	if (canp_bench_run_job(&b->s, b->s.first, b->s.last, 1, half, &run)) {
		fprintf(stderr, "canp-bench job: %s\n", run.error);
		return CANP_EXIT_FATAL;
	}
	r->have_calls = true;
	r->alloc = per_file(all->alloc, run.calls.alloc, b->s.data.nr - half);
	r->map = per_file(all->map, run.calls.map, b->s.data.nr - half);
	r->unmap = per_file(all->unmap, run.calls.unmap, b->s.data.nr - half);
	return CANP_EXIT_OK;
}

static int measure(struct bench_job *b)
{
	int rc = first_run(b);

	canp_bench_env_begin(&b->result.env, b->s.cpu);
	for (unsigned r = 0; r < b->rounds && !rc; r++)
		for (unsigned i = 0; i < b->nr && !rc; i++)
			rc = run_one(b, &b->c[i], r);
	rc = rc ? rc : count_calls(b);
	canp_bench_env_end(&b->result.env);
	for (unsigned i = 0; i < b->nr && !rc; i++)
		if (canp_bench_stat(b->c[i].cpu, b->rounds, &b->c[i].cpu_stat) ||
		    canp_bench_stat(b->c[i].wall, b->rounds, &b->c[i].wall_stat))
			rc = CANP_EXIT_FATAL;
	return rc;
}

static int bench(struct bench_job *b)
{
	int rc = prepare_data(b);

	if (rc)
		return rc;
	rc = choose(b);
	if (rc >= 0)
		return rc;
	/* Only the runs are pinned: what runs on all cores is not to inherit one CPU. */
	b->s.cpu = b->s.cfg.cpu >= 0 ? (int)b->s.cfg.cpu : sched_getcpu();
	rc = measure(b);
	if (rc)
		return rc;
	b->result.s = &b->s;
	b->result.c = b->c;
	b->result.nr = b->nr;
	b->result.rounds = b->rounds;
	return canp_bench_job_report(&b->result, b->s.cfg.json);
}

int canp_bench_job(int argc, char **argv)
{
	struct bench_job *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return CANP_EXIT_FATAL;
	rc = parse(b, argc, argv);
	if (rc < 0)
		rc = bench(b);
	for (unsigned i = 0; i < b->nr; i++) {
		free(b->c[i].cpu);
		free(b->c[i].wall);
	}
	canp_bench_data_fini(&b->s.data);
	canp_job_cli_fini(&b->cli);
	free(b);
	return rc;
}
