/*
 * benchjob_sched.c - who runs when. Jobs up to the next stonewall are a wave and run at once; all
 * waves make a round; repeat=N makes N rounds, so that jobs take turns. Each run is a process: what
 * it takes from the machine ends with it, and what it did lies in memory shared with this one.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "numa/topology.h"
#include "tools/benchjob.h"

#define SCHED_TICK_NS (20 * CANP_NS_PER_MS)
#define ETA_TICK_NS   (250 * CANP_NS_PER_MS)

struct sched_run {
	struct canp_benchjob_run run;
	struct canp_benchjob_row *row;
	pid_t pid; /* 0: over */
};

struct sched {
	const struct canp_benchjob_list *list;
	struct canp_benchjob_report *rep;
	struct sched_run *run; /* of the wave at hand */
	unsigned nr, number, round, rounds;
	unsigned *go;
	uint64_t start_ns, eta_ns;
	bool eta, failed;
};

static void nap(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / CANP_NS_PER_S), (long)(ns % CANP_NS_PER_S)};

	nanosleep(&t, NULL);
}

void canp_benchjob_wait(const struct canp_benchjob_run *run)
{
	struct timespec t;

	__atomic_store_n(&run->r->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(run->go, __ATOMIC_ACQUIRE))
		nap(CANP_NS_PER_MS);
	if (run->j->cfg.startdelay)
		nap(run->j->cfg.startdelay);
	clock_gettime(CLOCK_REALTIME, &t);
	run->r->start_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void add_series(struct canp_benchjob_series *to, const struct canp_benchjob_series *from)
{
	if (!from->nr)
		return;
	to->min = to->nr ? canp_min(to->min, from->min) : from->min;
	to->max = canp_max(to->max, from->max);
	to->sum += from->sum;
	to->squares += from->squares;
	to->nr += from->nr;
}

/* Adds one result to another: of a clone, which ran at the same time, or of a later run. */
static void add_result(struct canp_benchjob_result *to, const struct canp_benchjob_result *from,
		       bool clone)
{
	if (from->error[0] && !to->error[0])
		memcpy(to->error, from->error, sizeof(to->error));
	to->start_ms = to->start_ms ? canp_min(to->start_ms, from->start_ms) : from->start_ms;
	to->runtime_ns = clone ? canp_max(to->runtime_ns, from->runtime_ns)
			       : to->runtime_ns + from->runtime_ns;
	to->loops += from->loops;
	for (unsigned d = 0; d < CANP_BENCHJOB_DIRS; d++) {
		to->dir[d].bytes += from->dir[d].bytes;
		to->dir[d].ios += from->dir[d].ios;
		to->dir[d].short_ios += from->dir[d].short_ios;
		canp_benchjob_lat_merge(&to->dir[d].lat, &from->dir[d].lat);
		add_series(&to->dir[d].bw, &from->dir[d].bw);
	}
	canp_benchjob_lat_merge(&to->file_lat, &from->file_lat);
	for (unsigned i = 0; i < CANP_STAGE_NR; i++)
		to->stage_cpu_ns[i] += from->stage_cpu_ns[i];
	for (unsigned i = 0; i < from->nr_ops; i++) {
		memcpy(to->op[i].name, from->op[i].name, sizeof(to->op[i].name));
		to->op[i].busy_ns += from->op[i].busy_ns;
		to->op[i].rows_in += from->op[i].rows_in;
		to->op[i].rows_out += from->op[i].rows_out;
	}
	to->nr_ops = canp_max(to->nr_ops, from->nr_ops);
	memcpy(to->ring, from->ring, sizeof(to->ring));
	memcpy(to->pages, from->pages, sizeof(to->pages));
	to->buf_pages = from->buf_pages;
	to->buf_pieces = from->buf_pieces;
	to->cores = clone ? to->cores + from->cores : canp_max(to->cores, from->cores);
	to->peak_mem =
		clone ? to->peak_mem + from->peak_mem : canp_max(to->peak_mem, from->peak_mem);
	to->steady_wanted |= from->steady_wanted;
	to->steady |= from->steady;
	if (from->text[0])
		memcpy(to->text, from->text, sizeof(to->text));
#define ADD(field) to->field += from->field
	ADD(files), ADD(frames), ADD(decoded), ADD(values), ADD(damage), ADD(inflated);
	ADD(stored), ADD(breakdown_loops), ADD(busy_ns), ADD(idle_ns), ADD(ring_ops),
		ADD(ring_short);
	ADD(usr_s), ADD(sys_s), ADD(cpu_s), ADD(ctx), ADD(majf), ADD(minf);
#undef ADD
}

/* ---- processes ------------------------------------------------------------------------------- */

static void bind_cpus(const struct canp_benchjob_run *run)
{
	int cpus[1024];
	cpu_set_t set;
	int n;

	if (!*run->j->cfg.cpus_allowed)
		return;
	n = canp_cpulist_parse(run->j->cfg.cpus_allowed, cpus, CANP_ARRAY_SIZE(cpus));
	CPU_ZERO(&set);
	for (int i = 0; i < n; i++)
		if (cpus[i] < CPU_SETSIZE)
			CPU_SET(cpus[i], &set);
	if (n <= 0 || sched_setaffinity(0, sizeof(set), &set))
		snprintf(run->r->error, sizeof(run->r->error),
			 "cpus_allowed=%.80s: no CPUs that this process may use",
			 run->j->cfg.cpus_allowed);
}

static void child_main(const struct canp_benchjob_run *run, pid_t parent)
{
	/* Who waits for the result is gone: so is its use. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	bind_cpus(run);
	if (run->r->error[0])
		canp_benchjob_wait(run);
	else if (*run->j->cfg.command)
		canp_benchjob_command(run);
	else if (run->j->cfg.rw != CANP_CFG_RW_NONE)
		canp_benchjob_io(run);
	else
		canp_benchjob_stage(run);
	fflush(NULL);
	_exit(run->r->error[0] ? 1 : 0);
}

static double tv_s(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void reap(struct sched *sc, struct sched_run *sr, int status, const struct rusage *ru)
{
	struct canp_benchjob_result *r = sr->run.r;

	sr->pid = 0;
	r->usr_s = tv_s(ru->ru_utime);
	r->sys_s = tv_s(ru->ru_stime);
	r->ctx = (uint64_t)ru->ru_nvcsw + (uint64_t)ru->ru_nivcsw;
	r->majf = (uint64_t)ru->ru_majflt;
	r->minf = (uint64_t)ru->ru_minflt;
	/* Where the CPU time of the measured part is known, the parts of it are as those of all. */
	if (r->cpu_s > 0) {
		double part = r->cpu_s / canp_max(r->usr_s + r->sys_s, 1e-9);

		r->usr_s *= part;
		r->sys_s *= part;
	} else {
		r->cpu_s = r->usr_s + r->sys_s;
	}
	if ((!WIFEXITED(status) || WEXITSTATUS(status)) && !r->error[0])
		snprintf(r->error, sizeof(r->error), "its process ended with %s %d",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!r->error[0])
		return;
	sc->failed = true;
	fprintf(stderr, "canp-bench run: [%s]: %s\n", sr->run.j->section->name, r->error);
}

static void eta_line(struct sched *sc, bool last)
{
	uint64_t now = canp_clock_ns(), bytes = 0, total = 0, frames = 0, files = 0;
	unsigned live = 0, failed = 0;
	double s = (double)(now - sc->start_ns) * 1e-9, part;
	char a[32], b[32];

	if (!sc->eta || (!last && now - sc->eta_ns < ETA_TICK_NS))
		return;
	sc->eta_ns = now;
	for (unsigned i = 0; i < sc->nr; i++) {
		const struct canp_benchjob_result *r = sc->run[i].run.r;

		live += sc->run[i].pid != 0;
		failed += r->error[0] != '\0';
		bytes += r->live_bytes;
		total += r->live_total;
		frames += r->live_frames;
		files += r->live_files;
	}
	part = total ? canp_min((double)bytes / (double)total, 1.0) : 0;
	fprintf(stderr,
		"\rJobs: %u: [round %u/%u][%.1f%%][in=%s/s][frames=%s/s][files=%llu]"
		"[err=%u][eta %.0fs]\x1b[K%s",
		live, sc->round + 1, sc->rounds, 100 * part, canp_tool_bytes((double)bytes / s, a),
		canp_tool_count((double)frames / s, b), (unsigned long long)files, failed,
		part > 0 ? s / part - s : 0, last ? "\r\x1b[K" : "");
}

/* True: there are processes left. */
static bool poll_wave(struct sched *sc)
{
	bool left = false;

	for (unsigned i = 0; i < sc->nr; i++) {
		struct sched_run *sr = &sc->run[i];
		struct rusage ru;
		int status;

		if (!sr->pid)
			continue;
		if (wait4(sr->pid, &status, WNOHANG, &ru) == sr->pid)
			reap(sc, sr, status, &ru);
		left |= sr->pid != 0;
	}
	return left;
}

static bool all_ready(const struct sched *sc)
{
	for (unsigned i = 0; i < sc->nr; i++)
		if (sc->run[i].pid && !__atomic_load_n(&sc->run[i].run.r->ready, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

static int start_wave(struct sched *sc)
{
	pid_t self = getpid();

	fflush(NULL);
	for (unsigned i = 0; i < sc->nr; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child_main(&sc->run[i].run, self);
		if (pid < 0)
			return -errno;
		sc->run[i].pid = pid;
	}
	while (!all_ready(sc)) {
		poll_wave(sc);
		nap(CANP_NS_PER_MS);
	}
	return 0;
}

static void end_wave(struct sched *sc)
{
	sc->start_ns = sc->eta_ns = canp_clock_ns();
	__atomic_store_n(sc->go, 1, __ATOMIC_RELEASE);
	while (poll_wave(sc)) {
		eta_line(sc, false);
		nap(SCHED_TICK_NS);
	}
	eta_line(sc, true);
	for (unsigned i = 0; i < sc->nr; i++) {
		struct canp_benchjob_row *row = sc->run[i].row;

		add_result(&row->sample[sc->round], sc->run[i].run.r, true);
	}
}

static unsigned rounds_of(const struct sched *sc, const struct canp_benchjob *j)
{
	return j->cfg.repeat * (sc->rep->self_check ? 2 : 1);
}

/* Row of a job: groups that report together share one. */
static struct canp_benchjob_row *row_of(struct canp_benchjob_report *rep,
					const struct canp_benchjob *j)
{
	for (unsigned i = 0; i < rep->nr; i++)
		if (rep->row[i].j == j ||
		    (j->cfg.group_reporting && rep->row[i].group == j->group &&
		     rep->row[i].j->cfg.group_reporting))
			return &rep->row[i];
	return NULL;
}

/* Clones of a job that does not report as a group are told apart by their place alone. */
static int run_wave(struct sched *sc, unsigned wave)
{
	size_t bytes;
	uint8_t *shared;
	int rc;

	sc->nr = 0;
	for (unsigned i = 0; i < sc->list->nr; i++)
		if (sc->list->job[i].wave == wave && sc->round < rounds_of(sc, &sc->list->job[i]))
			sc->nr += sc->list->job[i].cfg.numjobs;
	if (!sc->nr)
		return 0;
	bytes = 4096 + sc->nr * sizeof(struct canp_benchjob_result);
	shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sc->run = calloc(sc->nr, sizeof(*sc->run));
	if (shared == MAP_FAILED || !sc->run) {
		free(sc->run);
		return -ENOMEM;
	}
	sc->go = (unsigned *)(void *)shared;
	sc->nr = 0;
	for (unsigned i = 0; i < sc->list->nr; i++) {
		const struct canp_benchjob *j = &sc->list->job[i];

		for (unsigned k = 0;
		     j->wave == wave && sc->round < rounds_of(sc, j) && k < j->cfg.numjobs; k++) {
			struct sched_run *sr = &sc->run[sc->nr];

			sr->run.j = j;
			sr->run.r = (struct canp_benchjob_result *)(void *)(shared + 4096) + sc->nr;
			sr->run.go = sc->go;
			sr->run.number = ++sc->number;
			sr->run.clone = k;
			sr->row = row_of(sc->rep, j);
			sc->nr++;
		}
	}
	rc = start_wave(sc);
	if (!rc)
		end_wave(sc);
	for (unsigned i = 0; i < sc->nr; i++)
		if (sc->run[i].pid) {
			kill(sc->run[i].pid, SIGTERM);
			waitpid(sc->run[i].pid, NULL, 0);
		}
	free(sc->run);
	munmap(shared, bytes);
	return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int make_rows(struct sched *sc)
{
	struct canp_benchjob_report *rep = sc->rep;
	struct canp_benchjob_row *row;

	rep->row = calloc(sc->list->nr, sizeof(*rep->row));
	if (!rep->row)
		return -ENOMEM;
	for (unsigned i = 0; i < sc->list->nr; i++) {
		const struct canp_benchjob *j = &sc->list->job[i];

		sc->rounds = canp_max(sc->rounds, rounds_of(sc, j));
		row = row_of(rep, j);
		if (row) {
			row->clones += j->cfg.numjobs;
			row->nr_samples = canp_max(row->nr_samples, rounds_of(sc, j));
			continue;
		}
		row = &rep->row[rep->nr++];
		*row = (struct canp_benchjob_row){.j = j,
						  .group = j->group,
						  .clones = j->cfg.numjobs,
						  .nr_samples = rounds_of(sc, j)};
	}
	for (unsigned i = 0; i < rep->nr; i++) {
		row = &rep->row[i];
		row->sum = calloc(1, sizeof(*row->sum));
		row->sample = calloc(row->nr_samples, sizeof(*row->sample));
		if (!row->sum || !row->sample)
			return -ENOMEM;
	}
	return 0;
}

int canp_benchjob_sched(const struct canp_benchjob_list *list, bool self_check, bool eta,
			struct canp_benchjob_report *rep)
{
	struct sched sc = {.list = list, .rep = rep, .eta = eta};
	unsigned waves = list->nr ? list->job[list->nr - 1].wave + 1 : 0;
	int rc;

	*rep = (struct canp_benchjob_report){.list = list, .self_check = self_check};
	rc = make_rows(&sc);
	canp_bench_env_begin(&rep->env, -1);
	for (; sc.round < sc.rounds && !rc; sc.round++)
		for (unsigned w = 0; w < waves && !rc; w++)
			rc = run_wave(&sc, w);
	canp_bench_env_end(&rep->env);
	for (unsigned i = 0; i < rep->nr && !rc; i++)
		for (unsigned k = 0; k < rep->row[i].nr_samples; k++)
			add_result(rep->row[i].sum, &rep->row[i].sample[k], false);
	return rc ? rc : sc.failed;
}

void canp_benchjob_report_fini(struct canp_benchjob_report *rep)
{
	for (unsigned i = 0; i < rep->nr; i++) {
		free(rep->row[i].sum);
		free(rep->row[i].sample);
	}
	free(rep->row);
	*rep = (struct canp_benchjob_report){0};
}
