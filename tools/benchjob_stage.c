/*
 * benchjob_stage.c - jobs with stages=: logs are made or listed, then a range of the stages of a
 * real job runs, as often as the section says, by the machinery of `canp-bench job`. And jobs with
 * command=, which run another command of canp-bench.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "core/runtime/ring.h"
#include "io/observe_job.h"
#include "io/outdir.h"
#include "tools/bench_cmd.h"
#include "tools/benchjob.h"
#include "tools/toolcmd.h"

#define CORRUPT_BLOCK (64u << 10)

struct stage_state {
	const struct canp_benchjob_run *run;
	const struct canp_benchjob *j;
	struct canp_benchjob_result *r;
	struct canp_bench_setup s;
	struct canp_plan_dbc dbc;
	const char **inputs;
	unsigned nr_inputs;
	char corrupt[1100]; /* folder of damaged copies, "" none */
	struct canp_live *live;
	struct canp_benchjob_log log;
	bool warm; /* this run is not counted */
};

static int stage_fail(struct stage_state *st, const char *what, int err)
{
	snprintf(st->r->error, sizeof(st->r->error), "%.150s: %s", what, canp_strerror(err));
	return -EIO;
}

/* ---- data ------------------------------------------------------------------------------------ */

static int add_input(struct stage_state *st, const char *dir, const char *name, size_t len)
{
	const char **v = realloc(st->inputs, (st->nr_inputs + 1) * sizeof(*v));
	char path[2100];

	if (!v)
		return stage_fail(st, "inputs", -ENOMEM);
	st->inputs = v;
	if (*dir && *name != '/' && *name != '@')
		snprintf(path, sizeof(path), "%.1000s/%.*s", dir, (int)canp_min(len, (size_t)1000),
			 name);
	else
		snprintf(path, sizeof(path), "%.*s", (int)canp_min(len, (size_t)2000), name);
	v[st->nr_inputs] = strdup(path);
	return v[st->nr_inputs++] ? 0 : stage_fail(st, path, -ENOMEM);
}

static int given_inputs(struct stage_state *st)
{
	const char *p = st->j->cfg.filename, *dir = st->j->cfg.directory;
	int rc = 0;

	if (!*p && *dir)
		return add_input(st, "", dir, strlen(dir));
	while (*p && !rc) {
		size_t n = strcspn(p, ":");

		if (n)
			rc = add_input(st, dir, p, n);
		p += n + (p[n] == ':');
	}
	return rc;
}

static int copy_damaged(struct stage_state *st, const char *from, unsigned i, uint64_t *rng)
{
	static uint8_t buf[CORRUPT_BLOCK];
	const char *name = strrchr(from, '/') ? strrchr(from, '/') + 1 : from;
	char path[2100];
	FILE *in = fopen(from, "rbe"), *out;
	size_t n;

	snprintf(path, sizeof(path), "%s/%05u_%.900s", st->corrupt, i, name);
	out = fopen(path, "wbe");
	while (in && out && (n = fread(buf, 1, sizeof(buf), in)) > 0) {
		*rng ^= *rng << 13;
		*rng ^= *rng >> 7;
		*rng ^= *rng << 17;
		if ((double)(*rng >> 11) * 0x1p-53 * 100 < st->j->cfg.corrupt)
			buf[*rng % n] ^= 0xff;
		fwrite(buf, 1, n, out);
	}
	n = !in || !out || ferror(in) || ferror(out);
	if (in)
		fclose(in);
	if (out && fclose(out))
		n = 1;
	return n ? stage_fail(st, path, -EIO) : 0;
}

/* The logs are replaced by damaged copies. */
static int damage(struct stage_state *st)
{
	struct canp_job_opts *o = &st->s.job;
	uint64_t rng = st->j->log.seed * 0x9E3779B97F4A7C15u | 1;
	static const char *input;
	int rc;

	snprintf(st->corrupt, sizeof(st->corrupt), "%.900s/corrupt-%d", st->j->cfg.bench_dir,
		 (int)getpid());
	rc = canp_outdir_make(st->corrupt);
	if (rc)
		return stage_fail(st, st->corrupt, rc);
	for (uint32_t i = 0; i < st->s.data.nr && !rc; i++)
		rc = copy_damaged(st, st->s.data.paths[i], i, &rng);
	if (rc)
		return rc;
	canp_bench_data_fini(&st->s.data);
	input = st->corrupt;
	o->inputs = &input;
	o->nr_inputs = 1;
	st->s.data = (struct canp_bench_data){0};
	return canp_bench_data_list(&st->s.data, o) ? stage_fail(st, st->corrupt, -EIO) : 0;
}

static int stage_data(struct stage_state *st)
{
	const struct canp_benchjob *j = st->j;
	struct canp_job_opts *o = &st->s.job;
	int rc = j->cfg.dataset == CANP_CFG_DATASET_SYNTH ? 0 : given_inputs(st);

	if (rc)
		return rc;
	o->inputs = st->inputs;
	o->nr_inputs = st->nr_inputs;
	if (o->nr_inputs) {
		rc = canp_bench_data_list(&st->s.data, o);
	} else {
		rc = canp_bench_data_make(&st->s.data, &j->log, j->cfg.nrfiles, j->cfg.bench_dir);
		if (!rc && !o->plan.nr_dbcs) {
			st->dbc.path = strdup(st->s.data.dbc);
			o->plan.dbcs = &st->dbc;
			o->plan.nr_dbcs = 1;
		}
	}
	if (rc)
		return stage_fail(st, "logs", -ENOENT);
	rc = j->cfg.corrupt > 0 ? damage(st) : 0;
	if (!rc && j->first > CANP_STAGE_READ) {
		rc = canp_bench_data_load(&st->s.data);
		rc = rc ? stage_fail(st, "logs to memory", rc) : 0;
	}
	for (uint32_t i = 0; i < st->s.data.nr && !rc; i++) {
		struct stat s;

		st->r->stored += stat(st->s.data.paths[i], &s) == 0 ? (uint64_t)s.st_size : 0;
	}
	return rc;
}

static void data_end(struct stage_state *st)
{
	for (uint32_t i = 0; *st->corrupt && i < st->s.data.nr; i++)
		unlink(st->s.data.paths[i]);
	if (*st->corrupt)
		rmdir(st->corrupt);
	canp_bench_data_fini(&st->s.data);
	for (unsigned i = 0; i < st->nr_inputs; i++)
		free((char *)(uintptr_t)st->inputs[i]);
	free(st->inputs);
	free((char *)(uintptr_t)st->dbc.path);
	free(st->live);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void tick(void *arg, const struct canp_job *job)
{
	struct stage_state *st = arg;

	if (!st->live)
		st->live = canp_live_alloc(job->cores);
	if (!st->live)
		return;
	canp_observe_collect(job, st->live);
	st->r->live_bytes = st->r->dir[CANP_BENCHJOB_READ].bytes + st->live->job.bytes;
	st->r->live_frames = st->r->frames + st->live->job.frames;
	st->r->live_files = st->r->files + st->live->job.files;
}

/* Whose completions are counted: set in the process of the section, used in those of its runs. */
static const struct stage_state *counted;

/* Called for each completion; it changes none. */
static void count_op(struct canp_ring_op *op)
{
	struct canp_benchjob_result *r = counted->r;
	bool rd = op->opcode == CANP_OP_READ, wr = op->opcode == CANP_OP_WRITE;

	if (counted->warm)
		return;
	__atomic_fetch_add(&r->ring_ops, 1, __ATOMIC_RELAXED);
	if (!rd && !wr)
		return;
	__atomic_fetch_add(&r->dir[wr].ios, 1, __ATOMIC_RELAXED);
	if (op->res >= 0 && (uint32_t)op->res < op->len) {
		__atomic_fetch_add(&r->ring_short, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&r->dir[wr].short_ios, 1, __ATOMIC_RELAXED);
	}
}

/* What the counters say at the end of a counted run. */
static void done(void *arg, const struct canp_job *job)
{
	struct stage_state *st = arg;
	struct canp_benchjob_result *r = st->r;
	const struct canp_live *l;

	if (st->warm || !job->perf)
		return;
	l = job->perf->live;
	if (job->perf->file_ns.count) {
		struct canp_benchjob_lat lat = {.h = job->perf->file_ns};
		double mean = canp_hist_mean(&lat.h);

		/* The counters keep no squares: the deviation is that of the buckets. */
		for (unsigned i = 0; i < CANP_HIST_BUCKETS; i++)
			if (lat.h.buckets[i]) {
				double v = (double)canp_hist_bucket_low(i);

				lat.squares += (double)lat.h.buckets[i] *
					       (mean * mean + (v - mean) * (v - mean));
			}
		canp_benchjob_lat_merge(&r->file_lat, &lat);
	}
	for (unsigned i = 0; i < l->job.nr_shards; i++) {
		r->busy_ns += l->shard[i].busy_ns;
		r->idle_ns += l->shard[i].idle_ns;
	}
	r->nr_ops = canp_min(l->job.nr_ops, CANP_BENCHJOB_OPS_MAX);
	for (unsigned i = 0; i < r->nr_ops; i++) {
		struct canp_live_op op;

		canp_live_sum_op(l, i, &op);
		snprintf(r->op[i].name, sizeof(r->op[i].name), "%.23s", l->job.ops[i]);
		r->op[i].busy_ns += op.busy_ns;
		r->op[i].rows_in += op.rows_in;
		r->op[i].rows_out += op.rows_out;
	}
}

static bool through_ring(const struct stage_state *st)
{
	return st->j->first == CANP_STAGE_READ && st->j->cli.in.io != CANP_CFG_IO_MMAP;
}

static void count_run(struct stage_state *st, const struct canp_bench_run *run)
{
	struct canp_benchjob_result *r = st->r;
	uint64_t ns = (uint64_t)(canp_max(run->wall_s - run->boot_s, 1e-9) * 1e9);

	r->loops++;
	r->runtime_ns += ns;
	r->cpu_s += run->cpu_s;
	r->files += run->files;
	r->frames += run->frames;
	r->decoded += run->decoded;
	r->values += run->values;
	r->damage += run->damage;
	r->inflated += run->inflated;
	r->peak_mem = canp_max(r->peak_mem, run->peak_mem);
	r->dir[CANP_BENCHJOB_READ].bytes += run->bytes_in;
	/* What does not come through a ring, from memory or mapped, comes file by file. */
	if (!through_ring(st))
		r->dir[CANP_BENCHJOB_READ].ios += run->files;
	if (st->j->last == CANP_STAGE_WRITE)
		r->dir[CANP_BENCHJOB_WRITE].bytes += run->bytes_out;
	r->cores = run->cores;
	snprintf(r->ring, sizeof(r->ring), "%s", run->ring);
	snprintf(r->pages, sizeof(r->pages), "%s", run->pages);
}

/* The clock of the logs is that of what was measured, so what is not counted takes no time. */
static bool log_run(struct stage_state *st, const struct canp_bench_run *run)
{
	uint64_t ns = (uint64_t)(canp_max(run->wall_s - run->boot_s, 1e-9) * 1e9);

	return canp_benchjob_log_add(&st->log, st->log.start_ns + st->r->runtime_ns, run->bytes_in,
				     ns);
}

static int run_once(struct stage_state *st, enum canp_stage last, struct canp_bench_run *run)
{
	int rc =
		canp_bench_run_job(&st->s, st->j->first, last, st->s.job.cores, st->s.data.nr, run);

	if (rc)
		snprintf(st->r->error, sizeof(st->r->error), "%.200s", run->error);
	return rc;
}

static void breakdown(struct stage_state *st)
{
	struct canp_benchjob_result *r = st->r;
	struct canp_bench_run run;

	st->warm = true;
	for (int i = st->j->first; i < (int)st->j->last; i++) {
		if (run_once(st, (enum canp_stage)i, &run))
			return;
		r->stage_cpu_ns[i] += (uint64_t)(run.cpu_s * 1e9);
	}
	st->warm = false;
	r->breakdown_loops++;
}

static void stage_loop(struct stage_state *st)
{
	const struct canp_benchjob_cfg *c = &st->j->cfg;
	uint64_t start = canp_clock_ns(), now = start, from = start;
	struct canp_bench_run run;
	bool steady = false;

	st->warm = c->ramp_time > 0;
	while (st->warm && !run_once(st, st->j->last, &run)) {
		from = canp_clock_ns();
		st->warm = from - start < c->ramp_time;
	}
	for (unsigned i = 0; !st->r->error[0] && !steady; i++) {
		if (!c->time_based && i >= c->loops)
			break;
		now = canp_clock_ns();
		if (i && c->runtime && now - from >= c->runtime)
			break;
		if (run_once(st, st->j->last, &run))
			break;
		count_run(st, &run);
		steady = log_run(st, &run);
		if (c->breakdown)
			breakdown(st);
	}
	if (st->r->breakdown_loops)
		st->r->stage_cpu_ns[st->j->last] = (uint64_t)(st->r->cpu_s * 1e9);
}

static int stage_setup(struct stage_state *st)
{
	const struct canp_benchjob_cfg *c = &st->j->cfg;
	struct canp_topology *t = malloc(sizeof(*t));
	char slow[64];
	cpu_set_t set;

	st->s.job = st->j->cli.job;
	st->s.opts = st->j->cli.opts;
	st->s.keep_cache = !c->invalidate;
	st->s.tick = tick;
	st->s.done = done;
	st->s.watch_arg = st;
	st->s.cpu = -1;
	if (!st->s.job.cores)
		st->s.job.cores =
			t && canp_topology_read("", t) == 0 ? canp_topology_default_cores(t) : 1;
	free(t);
	/* One core is one CPU, and clones of a job are not to meet on the same one. */
	if (st->s.job.cores == 1 && sched_getaffinity(0, sizeof(set), &set) == 0) {
		unsigned want = st->run->clone % (unsigned)canp_max(CPU_COUNT(&set), 1);

		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &set) && want-- == 0)
				st->s.cpu = i;
	}
	counted = st;
	/* Faults that somebody asked for go first. */
	if (!canp_ring_fault_hook && !getenv("CANP_RING_FAULT"))
		canp_ring_fault_hook = count_op;
	snprintf(st->s.out, sizeof(st->s.out), "%.900s/out-%d", c->bench_dir, (int)getpid());
	if (c->rate) {
		unsigned mb = (unsigned)(c->rate / 1000000);

		snprintf(slow, sizeof(slow), "read:0:%u,write:0:%u", mb, mb);
		if (canp_ring_slow_set(slow))
			return stage_fail(st, "rate", -EINVAL);
	}
	return stage_data(st);
}

void canp_benchjob_stage(const struct canp_benchjob_run *run)
{
	struct stage_state *st = calloc(1, sizeof(*st));
	int rc;

	if (!st) {
		snprintf(run->r->error, sizeof(run->r->error), "out of memory");
		return;
	}
	st->run = run;
	st->j = run->j;
	st->r = run->r;
	rc = stage_setup(st);
	st->r->live_total = st->r->stored * run->j->cfg.loops;
	canp_benchjob_wait(run);
	if (!rc && !canp_benchjob_log_begin(&st->log, run, CANP_BENCHJOB_READ, canp_clock_ns())) {
		stage_loop(st);
		canp_benchjob_log_end(&st->log, st->log.start_ns + st->r->runtime_ns);
	}
	data_end(st);
	free(st);
}

/* ---- other commands -------------------------------------------------------------------------- */

static const struct canp_tool_command *command_find(const char *name)
{
	unsigned nr;
	const struct canp_tool_command *c = canp_bench_commands(&nr);

	for (unsigned i = 0; i < nr; i++)
		if (!strcmp(c[i].name, name) && c[i].fn != canp_bench_run)
			return &c[i];
	return NULL;
}

void canp_benchjob_command(const struct canp_benchjob_run *run)
{
	const struct canp_tool_command *c = command_find(run->j->cfg.command);
	char *args = strdup(run->j->cfg.args), *argv[66] = {NULL}, *save = NULL;
	static char json[] = "--json";
	int argc = 0, fd = memfd_create("result", MFD_CLOEXEC), rc;
	struct canp_benchjob_result *r = run->r;
	uint64_t start;
	ssize_t n;

	canp_benchjob_wait(run);
	if (!c || !args || fd < 0) {
		snprintf(r->error, sizeof(r->error), "command=%.60s: %s", run->j->cfg.command,
			 c ? "out of memory" : "canp-bench has no such command");
		free(args);
		return;
	}
	argv[argc++] = (char *)(uintptr_t)c->name;
	argv[argc++] = json;
	for (char *p = strtok_r(args, " ", &save); p && argc < 65; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	fflush(NULL);
	dup2(fd, 1);
	start = canp_clock_ns();
	rc = c->fn(argc, argv);
	fflush(stdout);
	r->runtime_ns = canp_clock_ns() - start;
	r->loops = 1;
	n = pread(fd, r->text, sizeof(r->text) - 1, 0);
	if (rc || n <= 0 || n == sizeof(r->text) - 1)
		snprintf(r->error, sizeof(r->error), "command=%s: exit status %d%s", c->name, rc,
			 n == sizeof(r->text) - 1 ? ", its result is too long" : "");
	close(fd);
	free(args);
}
