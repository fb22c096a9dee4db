/*
 * bench_rt_pipe_rss.c - how much memory a pipe adds to a process, by mode (bench_rt_pipe.h). Each
 * run is in a child, so that nothing of an earlier one counts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/units.h"
#include "tools/bench_rt_pipe_priv.h"

static double status_bytes(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	double kib = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, field, strlen(field)))
			kib = strtod(line + strlen(field) + 1, NULL);
	}
	if (f)
		fclose(f);
	return kib * 1024;
}

static int next_kib(void *arg, void *items, uint32_t max)
{
	struct pipe_work *w = arg;
	uint32_t n = (uint32_t)canp_min((uint64_t)max, w->items - w->at);

	memset(items, 1, (size_t)n * 1024);
	w->at += n;
	return (int)n;
}

static int map_kib(void *arg, const void *in, void *out)
{
	(void)arg;
	memcpy(out, in, 1024);
	return 0;
}

static int take_count(void *arg, const struct canp_batch *b)
{
	((struct pipe_work *)arg)->seen += b->nr_rows;
	return 0;
}

/* What the pipe added to the peak; in a process of its own. */
static double rss_here(struct pipe_work *w)
{
	struct canp_pipe_opts o = {.mode = w->mode, .no_shared_monitoring = true};
	double before, peak;
	struct canp_pipe *p;
	int rc = canp_bench_rt_pipe_exec(w->cores, &o.exec);

	if (rc)
		return rc;
	nanosleep(&(struct timespec){0, 20 * CANP_NS_PER_MS}, NULL); /* its pages are there */
	before = status_bytes("VmRSS:");
	rc = canp_pipe_create("bench", NULL, &o, &p);
	if (rc)
		return rc;
	canp_pipe_source(p, "count", 1024, next_kib, w);
	canp_pipe_map(p, "copy", 1024, map_kib, NULL, 0);
	canp_pipe_map(p, "again", 1024, map_kib, NULL, 0);
	canp_pipe_sink(p, "take", take_count, w);
	rc = canp_pipe_run(p);
	peak = status_bytes("VmHWM:");
	if (!rc && w->seen != w->items)
		rc = -EBADMSG;
	return rc ? rc : canp_max(peak - before, 4096.0);
}

static double rss_of(struct pipe_work *w, enum canp_pipe_mode mode)
{
	int fd[2];
	double v = -EIO;
	pid_t pid;

	w->mode = mode;
	if (pipe(fd))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		v = -errno;
	} else if (!pid) {
		v = rss_here(w);
		_exit(write(fd[1], &v, sizeof(v)) != sizeof(v));
	}
	close(fd[1]);
	if (pid > 0 && read(fd[0], &v, sizeof(v)) != sizeof(v))
		v = -EIO;
	close(fd[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return v;
}

static double rss_memory(void *arg)
{
	return rss_of(arg, CANP_PIPE_MEMORY);
}

static double rss_throughput(void *arg)
{
	return rss_of(arg, CANP_PIPE_THROUGHPUT);
}

int canp_bench_rt_pipe_mode_rss(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, 0, 100000);
	struct pipe_sides s = {
		.canp = rss_memory, .peer = rss_throughput, .arg = &w, .less_is_better = true};

	return canp_bench_rt_pipe_rounds(o, &s, out);
}
