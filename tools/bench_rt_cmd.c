/*
 * bench_rt_cmd.c - section `cmd` of `canp-bench runtime`: the command pool and canp-exec, beside
 * xargs, xjobs and GNU parallel, posix_spawn() and fork().
 *
 * Rates of whole commands are wall-clock rates of /bin/true with two at once: what is measured is
 * mostly the program's own start, which is the same for all, so small differences count.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/command/cmd_queue.h"
#include "core/command/command_pool.h"
#include "tools/bench_rt.h"

extern char **environ;

#define BIG_BYTES (512 * CANP_MIB)

static const char *const true_argv[] = {"/bin/true", NULL};

/* ---- programs ---------------------------------------------------------------------------------*/

/* Runs a program that reads n lines and starts /bin/true for each; commands a second. */
static int run_program(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	const char *const *words = arg;
	const char *argv[8] = {NULL};
	const struct canp_cmd_result *r;
	struct canp_cmd_execution *x;
	struct canp_strbuf in = CANP_STRBUF_INIT;
	struct canp_cmd_spec s = {.argv = argv};
	char self[1100];
	int rc;

	for (unsigned i = 0; words[i] && i < 7; i++)
		argv[i] = words[i];
	if (!strcmp(argv[0], "canp-exec")) { /* beside this program */
		char *slash;

		snprintf(self, sizeof(self), "%s", rt->peers);
		slash = strrchr(self, '/');
		snprintf(slash ? slash + 1 : self, 16, "canp-exec");
		argv[0] = self;
	}
	for (uint64_t i = 0; i < n; i++)
		canp_strbuf_puts(&in, "x\n");
	s.in = (struct canp_cmd_stream){CANP_CMD_IO_DATA, -1, in.buf, in.len};
	rc = in.failed ? -ENOMEM : canp_cmd_execute(&s, &x, &r);
	canp_strbuf_fini(&in);
	if (rc)
		return rc;
	if (r->why == CANP_CMD_ERR_IO)
		rc = r->error == -ENOENT ? -ENOENT : -EIO;
	else
		*value = (double)n / ((double)(r->ended_ns - r->started_ns) / 1e9);
	canp_cmd_execute_free(x);
	return rc;
}

static const char *const w_exec[] = {"canp-exec", "-u", "-j2", "/bin/true", NULL};
static const char *const w_grouped[] = {"canp-exec", "-j2", "/bin/true", NULL};
static const char *const w_xargs[] = {"xargs", "-P2", "-n1", "/bin/true", NULL};
static const char *const w_xjobs[] = {"xjobs", "-j2", "-v0", "/bin/true", NULL};
static const char *const w_parallel[] = {"parallel", "--will-cite", "-j2", "/bin/true", NULL};

/* ---- starting from a big process
 * ---------------------------------------------------------------*/

static char *big_memory(void)
{
	char *m = mmap(NULL, BIG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	memset(m, 1, BIG_BYTES);
	return m;
}

struct pool_args {
	enum canp_cmd_mode mode;
	bool blocked; /* the figure is how long a lane was busy with a start, us; else commands/s */
};

static int run_pool(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	const struct pool_args *a = arg;
	struct canp_cmd_config c = {.mode = a->mode, .workers = 2, .concurrency_limit = 2};
	struct canp_cmd_spec s = {.argv = true_argv,
				  .out = {.kind = CANP_CMD_IO_NULL},
				  .err = {.kind = CANP_CMD_IO_NULL}};
	struct canp_cmd_stats st;
	struct canp_cmd_pool *p;
	uint64_t from;
	char *big;
	int rc = canp_cmd_pool_create(&c, &p);

	(void)rt;
	if (rc)
		return rc;
	big = big_memory(); /* after the workers were made, as a program would */
	rc = big ? canp_cmd_pool_start(p, 0) : -ENOMEM;
	from = canp_clock_ns();
	for (uint64_t i = 0; i < n && !rc; i++)
		rc = canp_cmd_push(p, &s, NULL);
	if (!rc)
		rc = canp_cmd_pool_stop(p, CANP_CMD_STOP_RUN, UINT32_MAX);
	canp_cmd_pool_stats(p, &st);
	*value = (double)n / ((double)(canp_clock_ns() - from) / 1e9);
	if (a->blocked)
		*value = (double)st.spawn_ns / 1e3 / (double)canp_max(st.spawned, (uint64_t)1);
	canp_cmd_pool_destroy(p);
	if (big)
		munmap(big, BIG_BYTES);
	return rc;
}

static const struct pool_args resident_rate = {CANP_CMD_MODE_RESIDENT, false};
static const struct pool_args process_rate = {CANP_CMD_MODE_PROCESS, false};
static const struct pool_args process_blocked = {CANP_CMD_MODE_PROCESS, true};

/* Two at once; the oldest is waited for. how: 0 posix_spawn(), 1 fork(). */
static int run_plain(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	bool use_fork = *(const char *)arg != 's', blocked = *(const char *)arg == 'b';
	char *const argv[] = {(char *)"/bin/true", NULL};
	uint64_t busy = 0, from;
	char *big = big_memory();
	pid_t pid[2] = {0};

	(void)rt;
	if (!big)
		return -ENOMEM;
	from = canp_clock_ns();
	for (uint64_t i = 0; i < n + 2; i++) {
		uint64_t t;

		if (pid[i % 2])
			waitpid(pid[i % 2], NULL, 0);
		pid[i % 2] = 0;
		if (i >= n)
			continue;
		t = canp_clock_ns();
		if (!use_fork)
			posix_spawn(&pid[i % 2], argv[0], NULL, NULL, argv, environ);
		else if ((pid[i % 2] = fork()) == 0) {
			execv(argv[0], argv);
			_exit(127);
		}
		busy += canp_clock_ns() - t;
	}
	*value = blocked ? (double)busy / 1e3 / (double)n
			 : (double)n / ((double)(canp_clock_ns() - from) / 1e9);
	munmap(big, BIG_BYTES);
	return 0;
}

/* ---- queue -----------------------------------------------------------------------------------*/

/* What the lock-free queue is compared with. */
struct locked_queue {
	pthread_mutex_t lock;
	uint32_t head, tail, v[1024];
};

static bool locked_push(struct locked_queue *q, uint32_t v)
{
	bool room;

	pthread_mutex_lock(&q->lock);
	room = q->tail - q->head < 1024;
	if (room)
		q->v[q->tail++ % 1024] = v;
	pthread_mutex_unlock(&q->lock);
	return room;
}

static bool locked_pop(struct locked_queue *q, uint32_t *v)
{
	bool any;

	pthread_mutex_lock(&q->lock);
	any = q->tail != q->head;
	if (any)
		*v = q->v[q->head++ % 1024];
	pthread_mutex_unlock(&q->lock);
	return any;
}

struct queue_run {
	struct canp_cmd_queue *q; /* NULL: the other */
	struct locked_queue *l;
	uint64_t n;
};

static void *queue_producer(void *arg)
{
	struct queue_run *x = arg;

	for (uint32_t i = 0; i < x->n; i++) {
		while (!(x->q ? canp_cmd_queue_push(x->q, &i, 1) : locked_push(x->l, i)))
			sched_yield();
	}
	return NULL;
}

/* Two producers, one consumer; millions of numbers a second. */
static int run_queue(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct locked_queue l = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct queue_run x = {.l = &l, .n = n / 2};
	uint64_t from = canp_clock_ns(), got = 0;
	pthread_t t[2];
	uint32_t v;

	(void)rt;
	if (!arg) {
		x.q = canp_cmd_queue_create(1024);
		if (!x.q)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (pthread_create(&t[i], NULL, queue_producer, &x))
			return -EAGAIN;
	}
	while (got < 2 * x.n) {
		if (x.q ? canp_cmd_queue_pop(x.q, &v) : locked_pop(&l, &v))
			got++;
		else
			sched_yield();
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	*value = canp_bench_rt_rate(got, (double)(canp_clock_ns() - from) / 1e9);
	canp_cmd_queue_destroy(x.q);
	return 0;
}

/* ---- submitting, waking, schedules
 * -------------------------------------------------------------*/

static int over_now(void *ctx, struct canp_cmd_call *c)
{
	(void)ctx;
	(void)c;
	return 1;
}
static const struct canp_cmd_backend nothing = {.name = "nothing", .start = over_now};

/* Thousands of commands a second that a thread hands over, 32 at a time or one by one, to a lane
 * that has nothing to do with them. */
static int run_submit(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_cmd_config c = {.concurrency_limit = 1, .max_size = 4096, .backend = &nothing};
	struct canp_cmd_spec s[32];
	struct canp_cmd_pool *p;
	uint64_t ns = 0;
	int rc = canp_cmd_pool_create(&c, &p);

	(void)rt;
	if (rc)
		return rc;
	for (unsigned i = 0; i < 32; i++)
		s[i] = (struct canp_cmd_spec){.argv = true_argv};
	rc = canp_cmd_pool_start(p, 0);
	for (uint64_t i = 0; i < n / 32 && !rc; i++) {
		uint64_t t = canp_clock_ns();

		if (arg)
			rc = canp_cmd_push_batch(p, s, 32, NULL);
		for (unsigned k = 0; k < 32 && !arg && !rc; k++)
			rc = canp_cmd_try_push(p, s, NULL);
		ns += canp_clock_ns() - t;
		if (rc == -EAGAIN || rc == -ENOBUFS)
			rc = 0;
		usleep(20); /* the lane catches up and sleeps again */
	}
	*value = (double)(n / 32 * 32) / ((double)ns / 1e9) / 1e3;
	canp_cmd_pool_destroy(p);
	return rc;
}

/* arg NULL: from push to start on a lane that sleeps; else from the time asked for to the start. In
 * microseconds, the mean. */
static int run_delay(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_cmd_config c = {.concurrency_limit = 1, .backend = &nothing};
	struct canp_cmd_spec s = {.argv = true_argv};
	struct canp_cmd_pool *p;
	double sum = 0;
	int rc = canp_cmd_pool_create(&c, &p);

	(void)rt;
	if (rc)
		return rc;
	rc = canp_cmd_pool_start(p, 1000);
	for (uint64_t i = 0; i < n && !rc; i++) {
		const struct canp_cmd_result *r;
		struct canp_future *f;

		usleep(300);
		s.start_at_ns = arg ? canp_clock_ns() + (uint64_t)CANP_NS_PER_MS : 0;
		rc = canp_cmd_push(p, &s, &f);
		if (rc)
			break;
		canp_future_wait(f, UINT32_MAX, NULL);
		r = canp_cmd_result(f);
		sum += (double)(r->started_ns - (arg ? s.start_at_ns : r->created_ns));
		canp_future_put(f);
	}
	*value = sum / 1e3 / (double)canp_max(n, (uint64_t)1);
	canp_cmd_pool_destroy(p);
	return rc;
}

/* ---- figures ---------------------------------------------------------------------------------*/

const struct canp_bench_rt_figure canp_bench_rt_cmd[] = {
	{
		.name = "xargs",
		.text = "canp-exec -u -j2 /bin/true beside xargs -P2",
		.unit = "/s",
		.est_ns = 400000,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 1.8,
		.forms = {{"canp-exec", run_program, w_exec}, {"xargs", run_program, w_xargs}},
	},
	{
		.name = "xjobs",
		.text = "canp-exec -u -j2 /bin/true beside xjobs -j2",
		.unit = "/s",
		.est_ns = 400000,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 1.4,
		.forms = {{"canp-exec", run_program, w_exec}, {"xjobs", run_program, w_xjobs}},
	},
	{
		.name = "parallel",
		.text = "canp-exec -j2 /bin/true, output grouped, beside GNU parallel -j2",
		.unit = "/s",
		.est_ns = 1000000,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 5,
		.aim = 12,
		.forms = {{"canp-exec", run_program, w_grouped},
			  {"GNU parallel", run_program, w_parallel}},
	},
	{
		.name = "blocked",
		.text = "how long a start holds up its thread at 512 MiB resident",
		.unit = "us",
		.est_ns = 1000000,
		.runs_max = 5,
		.judge = CANP_BENCH_RT_VALUE,
		.floor = 100,
		.aim = 30,
		.forms = {{"clone3", run_pool, &process_blocked},
			  {"fork and exec", run_plain, "b"}},
	},
	{
		.name = "resident",
		.text = "commands from a process of 512 MiB: resident workers, or itself",
		.unit = "/s",
		.est_ns = 400000,
		.runs_max = 5,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 1,
		.forms = {{"resident workers", run_pool, &resident_rate},
			  {"posix_spawn", run_plain, "s"}},
	},
	{
		.name = "process",
		.text = "the same without workers",
		.unit = "/s",
		.est_ns = 400000,
		.runs_max = 5,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 1.2,
		.forms = {{"process mode", run_pool, &process_rate},
			  {"posix_spawn", run_plain, "s"}},
	},
	{
		.name = "queue",
		.text = "the queue with two producers and a consumer",
		.unit = "M/s",
		.est_ns = 100,
		.judge = CANP_BENCH_RT_VALUE,
		.floor = 3,
		.aim = 6,
		.forms = {{"lock-free", run_queue, NULL}},
	},
	{
		.name = "queue_locked",
		.text = "the same beside a queue with a mutex",
		.unit = "M/s",
		.est_ns = 100,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 1.5,
		.forms = {{"lock-free", run_queue, NULL}, {"mutex", run_queue, "mutex"}},
	},
	{
		.name = "batch",
		.text = "commands handed over in batches of 32 beside one by one",
		.unit = "k/s",
		.est_ns = 3000,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = 1,
		.aim = 2,
		.forms = {{"batch", run_submit, "batch"}, {"one by one", run_submit, NULL}},
	},
	{
		.name = "wake",
		.text = "from push to start on a lane that sleeps",
		.unit = "us",
		.est_ns = 400000,
		.judge = CANP_BENCH_RT_VALUE,
		.floor = 1000,
		.aim = 100,
		.forms = {{"event driven", run_delay, NULL}},
	},
	{
		.name = "schedule",
		.text = "how late a scheduled command starts",
		.unit = "us",
		.est_ns = 1500000,
		.judge = CANP_BENCH_RT_VALUE,
		.floor = 2000,
		.aim = 200,
		.forms = {{"timerfd", run_delay, "at"}},
	},
	{0},
};
