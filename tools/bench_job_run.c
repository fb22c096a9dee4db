/*
 * bench_job_run.c - one run of the job, or of a range of its stages, in a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/log.h"
#include "numa/topology.h"
#include "tools/bench_job.h"

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static bool read_whole(int fd, void *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)buf + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

static void child(void (*fn)(void *arg, struct canp_bench_run *run), void *arg, int cpu, int fd)
{
	struct canp_bench_run run = {0};

	if (cpu >= 0)
		canp_bind_cpu(cpu);
	fn(arg, &run);
	/* Less than a pipe holds, so it is written whole. */
	_exit(write(fd, &run, sizeof(run)) == (ssize_t)sizeof(run) ? 0 : 1);
}

int canp_bench_fork(void (*fn)(void *arg, struct canp_bench_run *run), void *arg, int cpu,
		    struct canp_bench_run *run, double *rusage_s)
{
	struct rusage ru = {0};
	int fd[2], status = 0;
	bool whole;
	pid_t pid;

	*run = (struct canp_bench_run){0};
	if (pipe(fd))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		child(fn, arg, cpu, fd[1]);
	}
	close(fd[1]);
	whole = pid > 0 && read_whole(fd[0], run, sizeof(*run));
	close(fd[0]);
	if (pid < 0)
		return -errno;
	while (wait4(pid, &status, 0, &ru) < 0 && errno == EINTR)
		;
	*rusage_s = seconds(ru.ru_utime) + seconds(ru.ru_stime);
	if (whole && !run->error[0])
		return 0;
	if (!run->error[0])
		snprintf(run->error, sizeof(run->error), "the run ended with %s %d",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return -EIO;
}

/* ---- the job --------------------------------------------------------------------------------- */

struct job_run {
	struct canp_job_opts opts;
	struct canp_stages stages;
	const struct canp_bench_setup *s;
};

static void job_result(const struct canp_job *job, struct canp_bench_run *run)
{
	const struct canp_job_totals *t = &job->totals;

	run->wall_s = t->elapsed_s - 1e-9 * (double)t->off_wall_ns;
	/* Handed over for the parent, who knows the CPU time only when the process has ended. */
	run->cpu_s = -1e-9 * (double)t->off_cpu_ns;
	run->boot_s = t->boot_s;
	run->files = t->files_ok + t->files_damaged;
	run->frames = t->frames;
	run->decoded = t->frames_decoded;
	run->values = t->signals;
	run->damage = t->damage_events;
	run->bytes_in = t->bytes_in;
	run->inflated = t->bytes_inflated;
	run->bytes_out = t->bytes_out;
	run->peak_mem = t->peak_mem_bytes;
	run->cores = job->info.cores;
	snprintf(run->ring, sizeof(run->ring), "%s",
		 job->info.ring.kind == CANP_RING_SYNC ? "sync" : "io_uring");
	snprintf(run->pages, sizeof(run->pages), "%s",
		 canp_page_kind_name(job->info.hugepages.kind));
	canp_bench_calls_get(&run->calls);
	if (t->interrupted)
		snprintf(run->error, sizeof(run->error), "interrupted by signal %d",
			 t->interrupted);
}

/* A job that reads for itself has no files in memory: they are not part of its peak. */
static void forget_files(const struct canp_bench_data *d)
{
	int fd;

	if (d->map)
		munmap(d->map, d->map_bytes);
	fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* 5 sets the peak to what is resident now. Where it is refused the peak is too high. */
	if (write(fd, "5", 1) != 1)
		canp_info("peak memory contains the logs: %s", canp_strerror(-errno));
	close(fd);
}

static void job_main(void *arg, struct canp_bench_run *run)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct job_run *jr = arg;
	struct canp_job *job;
	int rc;

	if (jr->opts.stages)
		canp_stage_kernels(true);
	if (!jr->stages.files)
		forget_files(&jr->s->data);
	rc = canp_job_create(&jr->opts, NULL, NULL, &err, &job);
	if (!rc) {
		rc = canp_job_run(job, jr->s->tick, jr->s->watch_arg, &err);
		job_result(job, run);
		if (jr->s->done)
			jr->s->done(jr->s->watch_arg, job);
		canp_job_destroy(job);
	}
	if (rc && !run->error[0])
		snprintf(run->error, sizeof(run->error), "%s",
			 err.len ? err.buf : canp_strerror(rc));
	canp_strbuf_fini(&err);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int canp_bench_run_job(struct canp_bench_setup *s, enum canp_stage first, enum canp_stage last,
		       unsigned cores, uint32_t nr, struct canp_bench_run *run)
{
	struct job_run jr = {.opts = s->job, .stages = {.first = first, .last = last}, .s = s};
	double cpu_s;
	int rc;

	if (first > CANP_STAGE_READ)
		jr.stages.files = s->data.files;
	else if (!s->keep_cache)
		canp_bench_data_drop_cache(&s->data);
	/* The whole range is the job itself, with nothing in between. */
	if (first > CANP_STAGE_READ || last < CANP_STAGE_WRITE)
		jr.opts.stages = &jr.stages;
	jr.opts.inputs = (const char *const *)s->data.paths;
	jr.opts.nr_inputs = nr;
	jr.opts.nr_globs = 0;
	jr.opts.out = s->out;
	jr.opts.cores = cores;
	if (s->serial) {
		jr.opts.serial = true;
		jr.opts.depth = 1;
		jr.opts.prefetch = 0;
	}
	rc = canp_bench_fork(job_main, &jr, cores == 1 ? s->cpu : -1, run, &cpu_s);
	run->cpu_s += cpu_s;
	if (last == CANP_STAGE_WRITE)
		nftw(s->out, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return rc;
}
