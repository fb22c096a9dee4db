/*
 * bench_pool_run.c - the figures of `canp-bench pool`. Each round makes its pool, measures and ends
 * it, so rounds do not inherit anything. Tasks carry 16 bytes and do nothing, since what is
 * measured is the way there and back.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/process/process.h"
#include "numa/topology.h"
#include "tools/bench_pool.h"

#define SLICE  64
#define BATCH  64
#define WINDOW 4 /* batches in flight */

static int task_nothing(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	(void)user;
	return 0;
}

static int task_sleep(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	usleep((unsigned)(uintptr_t)user);
	return 0;
}

/* Hands its input back as its output after it touched one byte a page. */
static int task_payload(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	char *o = canp_process_alloc(n);

	(void)user;
	if (!o)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += 4096)
		o[i] = (char)(((char *)in)[i] + 1);
	*out = o;
	*out_n = n;
	return 0;
}

static int worker_pin(void *arg)
{
	const struct canp_bench_pool_place *at = arg;

	canp_bind_cpu(at->worker_cpu);
	return 0;
}

/* The pool counts the CPUs that it may use, so the caller is pinned only afterwards. */
static struct canp_process_pool *pool_make(const struct canp_bench_pool_place *at,
					   struct canp_process_config *c)
{
	struct canp_process_pool *p;

	sched_setaffinity(0, sizeof(at->all), &at->all);
	c->worker_count = c->worker_count ? c->worker_count : 1;
	c->queue_size = 4096;
	if (c->worker_count == 1) {
		c->worker_init = worker_pin;
		c->worker_arg = (void *)(uintptr_t)at;
	}
	p = canp_process_pool_create(c);
	if (p && canp_process_pool_start(p)) {
		canp_process_pool_destroy(p);
		p = NULL;
	}
	if (p)
		canp_bind_cpu(at->parent_cpu);
	return p;
}

/* Slices of a round: their median tells what a call costs while both processes have a CPU, however
 * often one of them has to wait for it. */
struct slices {
	uint64_t *ns;
	unsigned n, max;
	uint64_t last_ns, end_ns;
};

static int by_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int slices_begin(struct slices *s, unsigned round_ms)
{
	s->max = 1u << 18;
	s->n = 0;
	s->ns = malloc(s->max * sizeof(*s->ns));
	s->last_ns = canp_clock_ns();
	s->end_ns = s->last_ns + round_ms * (uint64_t)CANP_NS_PER_MS;
	return s->ns ? 0 : -ENOMEM;
}

/* True while there is time. */
static bool slices_next(struct slices *s)
{
	uint64_t now = canp_clock_ns();

	s->ns[s->n++] = now - s->last_ns;
	s->last_ns = now;
	return s->n < s->max && now < s->end_ns;
}

/* Calls a second, when there are `calls` in each slice. */
static double slices_rate(struct slices *s, unsigned calls)
{
	double rate;

	qsort(s->ns, s->n, sizeof(*s->ns), by_u64);
	rate = calls * 1e9 / (double)s->ns[s->n / 2];
	free(s->ns);
	return rate;
}

/* A pool for a round, whose time runs from here on. NULL: there is none. */
static struct canp_process_pool *round_begin(const struct canp_bench_pool_place *at,
					     unsigned round_ms, uint32_t spin_us, struct slices *s)
{
	struct canp_process_config c = {.spin_us = spin_us};
	struct canp_process_pool *p = pool_make(at, &c);

	if (p && !slices_begin(s, round_ms))
		return p;
	canp_process_pool_destroy(p);
	return NULL;
}

static int sync_rate(const struct canp_bench_pool_place *at, unsigned round_ms, uint32_t spin_us,
		     double *out)
{
	struct slices s;
	struct canp_process_pool *p = round_begin(at, round_ms, spin_us, &s);
	char in[16] = {0};
	int bad = 0;

	if (!p)
		return -ECHILD;
	do {
		for (int i = 0; i < SLICE; i++)
			bad |= canp_process_pool_submit_sync(p, task_nothing, in, sizeof(in), NULL,
							     CANP_PRIO_NORMAL, 5000, NULL);
	} while (slices_next(&s));
	*out = slices_rate(&s, SLICE);
	canp_process_pool_destroy(p);
	return bad ? -EIO : 0;
}

static int fig_sync(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	return sync_rate(at, round_ms, 0, out);
}

static int fig_sync_parked(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	return sync_rate(at, round_ms, CANP_PROCESS_NO_SPIN, out);
}

static int fig_batch(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	struct slices s;
	struct canp_process_pool *p = round_begin(at, round_ms, 0, &s);
	struct canp_future *f[WINDOW][BATCH];
	struct canp_process_task t[BATCH];
	char in[16] = {0};
	int bad = 0;

	if (!p)
		return -ECHILD;
	memset(t, 0, sizeof(t));
	for (int i = 0; i < BATCH; i++)
		t[i] = (struct canp_process_task){.func = task_nothing,
						  .input_data = in,
						  .input_size = sizeof(in),
						  .priority = CANP_PRIO_NORMAL};
	for (int k = 0; k < WINDOW; k++)
		canp_process_pool_submit_batch_into(p, t, BATCH, f[k]);
	do {
		for (int k = 0; k < WINDOW; k++) {
			for (int i = 0; i < BATCH; i++)
				canp_process_future_wait(f[k][i], NULL, UINT32_MAX);
			canp_process_future_put_batch(f[k], BATCH);
			bad |= canp_process_pool_submit_batch_into(p, t, BATCH, f[k]);
		}
	} while (!bad && slices_next(&s));
	*out = slices_rate(&s, WINDOW * BATCH);
	for (int k = 0; !bad && k < WINDOW; k++) {
		for (int i = 0; i < BATCH; i++)
			canp_process_future_wait(f[k][i], NULL, UINT32_MAX);
		canp_process_future_put_batch(f[k], BATCH);
	}
	canp_process_pool_destroy(p);
	return bad ? -EIO : 0;
}

/* ---- others ---------------------------------------------------------------------------------- */

/* The same shape through pipes: 64 bytes there, 64 bytes back, one at a time. */
static int fig_pipe(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	char msg[64] = {0};
	int to[2], from[2], rc = 0;
	struct slices s;
	pid_t pid;

	if (pipe(to) || pipe(from))
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(to[1]);
		canp_bind_cpu(at->worker_cpu);
		while (read(to[0], msg, sizeof(msg)) == (ssize_t)sizeof(msg))
			if (write(from[1], msg, sizeof(msg)) != (ssize_t)sizeof(msg))
				break;
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	canp_bind_cpu(at->parent_cpu);
	rc = slices_begin(&s, round_ms);
	while (!rc) {
		for (int i = 0; i < SLICE && !rc; i++)
			if (write(to[1], msg, sizeof(msg)) < 0 ||
			    read(from[0], msg, sizeof(msg)) < 0)
				rc = -errno;
		if (!slices_next(&s))
			break;
	}
	if (!rc)
		*out = slices_rate(&s, SLICE);
	close(to[1]);
	close(from[0]);
	waitpid(pid, NULL, 0);
	return rc;
}

static int fig_python(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	static const char script[] =
		"import time\n"
		"from concurrent.futures import ProcessPoolExecutor as P\n"
		"def f(x): return x\n"
		"if __name__ == '__main__':\n"
		" with P(1) as e:\n"
		"  e.submit(f,1).result(); n=0; t=time.perf_counter()\n"
		"  while time.perf_counter()-t < %u/1000: e.submit(f,n).result(); n+=1\n"
		"  print(n/(time.perf_counter()-t))\n";
	char path[] = "/tmp/canp-bench.XXXXXX", cmd[128];
	int fd = mkstemp(path), rc = -ENOENT;
	FILE *f;

	if (fd < 0)
		return -errno;
	sched_setaffinity(0, sizeof(at->all), &at->all);
	f = fdopen(fd, "w");
	fprintf(f, script, round_ms);
	fclose(f);
	snprintf(cmd, sizeof(cmd), "python3 %s 2>/dev/null", path);
	f = popen(cmd, "r");
	if (f && fscanf(f, "%lf", out) == 1)
		rc = 0;
	if (f)
		pclose(f);
	unlink(path);
	return rc;
}

/* ---- latency --------------------------------------------------------------------------------- */

/* P99 of submit to end at half of the rate that one at a time reaches: pauses as long as a call. */
static int latency(const struct canp_bench_pool_place *at, unsigned round_ms, uint32_t spin_us,
		   double *out)
{
	struct canp_process_config c = {.spin_us = spin_us};
	struct canp_process_pool *p = pool_make(at, &c);
	unsigned n = 0, max = 1u << 20;
	uint64_t *v = malloc(max * sizeof(*v)), end, pause_ns = 0;

	if (!p || !v) {
		free(v);
		canp_process_pool_destroy(p);
		return p ? -ENOMEM : -ECHILD;
	}
	end = canp_clock_ns() + round_ms * (uint64_t)CANP_NS_PER_MS;
	do {
		uint64_t a = canp_clock_ns(), b;

		canp_process_pool_submit_sync(p, task_nothing, NULL, 0, NULL, CANP_PRIO_NORMAL,
					      5000, NULL);
		b = canp_clock_ns();
		v[n++] = b - a;
		if (n == SLICE) { /* what a call takes; pauses are as long */
			qsort(v, n, sizeof(*v), by_u64);
			pause_ns = v[n / 2];
		}
		while (canp_clock_ns() - b < pause_ns)
			;
		if (b >= end)
			break;
	} while (n < max);
	qsort(v, n, sizeof(*v), by_u64);
	*out = (double)v[n - 1 - n / 100] / 1e3;
	free(v);
	canp_process_pool_destroy(p);
	return 0;
}

static int fig_latency(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	return latency(at, round_ms, 0, out);
}

static int fig_latency_parked(const struct canp_bench_pool_place *at, unsigned round_ms,
			      double *out)
{
	return latency(at, round_ms, CANP_PROCESS_NO_SPIN, out);
}

/* ---- payload --------------------------------------------------------------------------------- */

/* 64 MiB there and back, in call times of 64 bytes plus one byte a page on both sides. */
static int fig_payload(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	struct canp_process_config c = {.shm_bytes = 256u << 20};
	struct canp_process_pool *p = pool_make(at, &c);
	size_t n = 64u << 20;
	struct canp_process_result r;
	uint64_t best = UINT64_MAX;
	char *in;

	(void)round_ms;
	if (!p)
		return -ECHILD;
	in = canp_process_pool_alloc(p, n);
	if (!in) {
		canp_process_pool_destroy(p);
		return -ENOMEM;
	}
	memset(in, 1, n);
	for (int i = 0; i < 5; i++) {
		uint64_t start = canp_clock_ns(), took;

		canp_process_pool_submit_sync(p, task_payload, in, n, NULL, CANP_PRIO_NORMAL, 0,
					      &r);
		took = canp_clock_ns() - start;
		best = took < best ? took : best;
		canp_process_result_release(&r);
	}
	*out = (double)best / 1e6;
	canp_process_pool_destroy(p);
	return 0;
}

/* ---- cost of having one ---------------------------------------------------------------------- */

static double pss_mib(pid_t pid)
{
	char path[64], line[256];
	double kib = 0, v;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %lf kB", &v) == 1)
			kib = v;
	if (f)
		fclose(f);
	return kib / 1024;
}

static int fig_memory(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	struct canp_process_config c = {.worker_count = 4};
	struct canp_process_worker w[4];
	struct canp_process_pool *p = pool_make(at, &c);
	int n;

	(void)round_ms;
	if (!p)
		return -ECHILD;
	for (int i = 0; i < 100; i++)
		canp_process_pool_submit_sync(p, task_nothing, NULL, 0, NULL, CANP_PRIO_NORMAL, 0,
					      NULL);
	n = canp_process_pool_workers(p, w, 4);
	*out = pss_mib(getpid());
	for (int i = 0; i < n; i++)
		*out += pss_mib(w[i].pid);
	canp_process_pool_destroy(p);
	return 0;
}

/* CPU time of parent and workers while nothing happens, in parts of a core. */
static int fig_idle(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	struct canp_process_config c = {.worker_count = 4};
	struct canp_process_pool *p = pool_make(at, &c);
	struct canp_process_worker w[4];
	struct timespec a, b;
	uint64_t before = 0, after = 0;
	int n;

	if (!p)
		return -ECHILD;
	usleep(100000);
	n = canp_process_pool_workers(p, w, 4);
	for (int i = 0; i < n; i++)
		before += w[i].cpu_ns;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	usleep(round_ms * 5000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	n = canp_process_pool_workers(p, w, 4);
	for (int i = 0; i < n; i++)
		after += w[i].cpu_ns;
	*out = ((double)(after - before) / 1e9 + (double)(b.tv_sec - a.tv_sec) +
		(double)(b.tv_nsec - a.tv_nsec) / 1e9) /
	       (round_ms * 5e-3) * 100;
	canp_process_pool_destroy(p);
	return 0;
}

/* From a burst to another worker ready. */
static int fig_scale(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	struct canp_process_config c = {.worker_count = 1,
					.min_workers = 1,
					.max_workers = 2,
					.enable_dynamic_scaling = true};
	struct canp_process_pool *p = pool_make(at, &c);
	struct canp_future *f[16];
	struct canp_process_stats st;
	struct canp_process_task t[16];
	uint64_t start;

	(void)round_ms;
	if (!p)
		return -ECHILD;
	memset(t, 0, sizeof(t));
	for (int i = 0; i < 16; i++) {
		t[i].func = task_sleep;
		t[i].user_data = (void *)5000L;
	}
	start = canp_clock_ns();
	canp_process_pool_submit_batch_into(p, t, 16, f);
	do {
		canp_process_pool_stats(p, &st);
	} while (st.workers < 2);
	*out = (double)(canp_clock_ns() - start) / 1e6;
	for (int i = 0; i < 16; i++)
		canp_process_future_wait(f[i], NULL, UINT32_MAX);
	canp_process_future_put_batch(f, 16);
	canp_process_pool_destroy(p);
	return 0;
}

/* From the kill of a worker to its replacement ready. */
static int fig_crash(const struct canp_bench_pool_place *at, unsigned round_ms, double *out)
{
	struct canp_process_config c = {.worker_count = 1, .restart_max = 60};
	struct canp_process_pool *p = pool_make(at, &c);
	struct canp_process_worker w, now;
	uint64_t start;

	(void)round_ms;
	if (!p)
		return -ECHILD;
	canp_process_pool_workers(p, &w, 1);
	start = canp_clock_ns();
	kill(w.pid, SIGKILL);
	while (canp_process_pool_workers(p, &now, 1) != 1 || now.pid == w.pid)
		;
	*out = (double)(canp_clock_ns() - start) / 1e6;
	canp_process_pool_destroy(p);
	return 0;
}

const struct canp_bench_pool_figure canp_bench_pool_figures[] = {
	{"sync", "tasks/s", "one at a time, submit_sync, worker awake", true, 100e3, 1e6, fig_sync,
	 false},
	{"sync_parked", "tasks/s", "the same, worker and caller sleep", true, 50e3, 60e3,
	 fig_sync_parked, false},
	{"batch", "tasks/s", "batches of 64, four in flight", true, 1e6, 20e6, fig_batch, false},
	{"pipe", "tasks/s", "64 bytes through a pipe and back, one at a time", true, 0, 0, fig_pipe,
	 false},
	{"python", "tasks/s", "ProcessPoolExecutor submit().result()", true, 0, 0, fig_python,
	 false},
	{"latency", "us", "P99 of submit to end at half load, worker awake", false, 100, 2,
	 fig_latency, false},
	{"latency_parked", "us", "the same, worker sleeps", false, 100, 40, fig_latency_parked,
	 false},
	{"payload", "ms", "64 MiB in and out, a byte of each page touched", false, 0, 0,
	 fig_payload, false},
	{"memory", "MiB", "PSS of this program and 4 idle workers", false, 10, 2, fig_memory, true},
	{"idle", "%", "CPU of parent and 4 workers without work", false, 5, 0, fig_idle, true},
	{"scale", "ms", "burst to another worker ready", false, 100, 1, fig_scale, false},
	{"crash", "ms", "kill to replacement ready", false, 100, 1, fig_crash, false},
};
const unsigned canp_bench_pool_nr_figures = CANP_ARRAY_SIZE(canp_bench_pool_figures);
