/*
 * process_worker.c - a worker's life: set up, work, wait, end.
 *
 * It waits in two steps. First it looks at its rings for a short while, since work that comes soon
 * finds it awake; how long follows what came of it the last times. Then it sets `armed`, looks once
 * more (the parent pushes first and looks at `armed` then, so one of both sees the other) and
 * sleeps on it without a timer: an idle pool makes no system call.
 *
 * Signals have their defaults here but for SIGINT and SIGHUP, which a terminal sends to everybody
 * and the parent answers, and SIGPIPE. The worker dies with the zygote, and the zygote with the
 * parent.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/process/process_priv.h"
#include "numa/sysfile.h"

#define SPIN_MIN_NS (2 * (uint64_t)CANP_NS_PER_US)
#define SPIN_MAX_NS (50 * (uint64_t)CANP_NS_PER_US)
#define RSS_LOOK_NS (100 * (uint64_t)CANP_NS_PER_MS)

/* Present in programs that were built with the address sanitizer. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static CANP_NORETURN void worker_exit(struct canp_process_pool *p, int code)
{
	if (p->cfg.worker_fini && code == 0)
		p->cfg.worker_fini(p->cfg.worker_arg);
	fflush(NULL);
	if (__lsan_do_recoverable_leak_check && code == 0 && __lsan_do_recoverable_leak_check())
		code = 23;
	_exit(code);
}

/* ---- counters of the processor ---- */

static int perf_open(uint64_t config, int group)
{
	struct perf_event_attr a = {.type = PERF_TYPE_HARDWARE,
				    .size = sizeof(a),
				    .config = config,
				    .exclude_kernel = 1,
				    .exclude_hv = 1};

	return (int)syscall(SYS_perf_event_open, &a, 0, -1, group, PERF_FLAG_FD_CLOEXEC);
}

static void perf_start(struct proc_self *w)
{
	static const uint64_t what[3] = {PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS,
					 PERF_COUNT_HW_CACHE_MISSES};

	w->e->perf_error = 0;
	for (unsigned i = 0; i < 3; i++) {
		w->perf_fd[i] = -1;
		if (!w->p->cfg.perf_counters || w->e->perf_error)
			continue;
		w->perf_fd[i] = perf_open(what[i], -1);
		if (w->perf_fd[i] < 0)
			w->e->perf_error = -errno;
	}
	if (!w->p->cfg.perf_counters)
		w->e->perf_error = -ENODATA;
}

static void perf_read(struct proc_self *w)
{
	struct canp_stat *to[3] = {&w->e->cycles, &w->e->instructions, &w->e->cache_misses};
	uint64_t v;

	for (unsigned i = 0; i < 3; i++)
		if (w->perf_fd[i] >= 0 && read(w->perf_fd[i], &v, sizeof(v)) == sizeof(v))
			canp_stat_set(to[i], v);
}

/* ---- set up ---- */

static void signals_default(void)
{
	static const int ignored[] = {SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static uint64_t rss_bytes(void)
{
	char buf[128];
	unsigned long size, rss;

	if (canp_sysfile_read("", "/proc/self/statm", buf, sizeof(buf)) < 0 ||
	    sscanf(buf, "%lu %lu", &size, &rss) != 2)
		return 0;
	return (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void life_span(struct proc_self *w)
{
	const struct canp_process_config *c = &w->p->cfg;
	unsigned seed = (unsigned)getpid();

	w->life = c->max_tasks_per_worker;
	if (w->life && c->max_tasks_jitter)
		w->life += (unsigned)rand_r(&seed) % (c->max_tasks_jitter + 1);
}

static int worker_setup(struct proc_self *w)
{
	struct canp_process_pool *p = w->p;
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "%.11s-%u", p->cfg.pool_name, w->entry);
	prctl(PR_SET_NAME, name);
	if (p->cfg.enable_worker_affinity && p->nr_cpus) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(p->cpus[w->entry % p->nr_cpus], &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	perf_start(w);
	canp_process_heap_init(p, w->entry + 1);
	rc = canp_process_cgroup_join(p);
	if (!rc && p->cfg.worker_init && p->cfg.worker_init(p->cfg.worker_arg))
		return -ECANCELED;
	if (!rc)
		rc = canp_process_limits_apply(p);
	return rc;
}

/* ---- waiting ---- */

static bool has_work(const struct proc_entry *e)
{
	for (unsigned i = 0; i < CANP_PRIO_NR; i++)
		if (canp_spsc_count(&e->q[i]))
			return true;
	return false;
}

static bool must_end(const struct proc_self *w)
{
	return __atomic_load_n(&w->e->stop, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&w->p->shm->quit, __ATOMIC_SEQ_CST);
}

/* Looks for up to ns; true: there is work. */
static bool idle_spin(struct proc_self *w, uint64_t ns)
{
	uint64_t end = canp_clock_ns() + ns;

	while (!must_end(w)) {
		for (unsigned i = 0; i < 16; i++) {
			if (has_work(w->e))
				return true;
			__builtin_ia32_pause();
		}
		if (canp_clock_ns() >= end)
			break;
	}
	return has_work(w->e);
}

static uint64_t spin_first(const struct canp_process_pool *p)
{
	if (p->cfg.spin_us == CANP_PROCESS_NO_SPIN || p->nr_cpus < 2)
		return 0;
	return p->cfg.spin_us ? p->cfg.spin_us * (uint64_t)CANP_NS_PER_US : SPIN_MAX_NS;
}

/* A spin that paid may last longer the next time, one that did not is cut by half. */
static uint64_t spin_next(const struct canp_process_pool *p, uint64_t ns, bool paid)
{
	if (!ns || p->cfg.spin_us)
		return ns;
	return paid ? canp_min(ns * 2, SPIN_MAX_NS) : canp_max(ns / 2, SPIN_MIN_NS);
}

static void idle_sleep(struct proc_self *w)
{
	struct proc_entry *e = w->e;

	__atomic_store_n(&e->armed, 1, __ATOMIC_SEQ_CST);
	canp_full_fence();
	if (!has_work(e) && !must_end(w) && !canp_process_run_other(w)) {
		proc_set64(&e->idle_ns, canp_clock_ns());
		if (w->p->cfg.perf_counters)
			perf_read(w);
		while (__atomic_load_n(&e->armed, __ATOMIC_SEQ_CST) && !must_end(w))
			canp_process_futex_wait(&e->armed, 1, UINT64_MAX);
		proc_set64(&e->idle_ns, 0);
	}
	__atomic_store_n(&e->armed, 0, __ATOMIC_SEQ_CST);
}

/* ---- working ---- */

/* It has run its tasks, or grew: the supervisor starts another one first. */
static void look_at_self(struct proc_self *w, uint64_t *rss_ns)
{
	struct canp_process_pool *p = w->p;
	bool done = w->life && w->e->claimed - w->e->born_tasks >= w->life;

	if (!done && p->cfg.max_worker_rss && w->now_ns >= *rss_ns) {
		*rss_ns = w->now_ns + RSS_LOOK_NS;
		done = rss_bytes() > w->e->born_rss + p->cfg.max_worker_rss;
	}
	if (!done || proc_get32(&w->e->recycle))
		return;
	proc_set32(&w->e->recycle, 1);
	canp_process_kick(p);
}

static void worker_loop(struct proc_self *w)
{
	struct canp_process_pool *p = w->p;
	uint64_t spin_ns = spin_first(p), rss_ns = 0;
	bool limited = w->life || p->cfg.max_worker_rss;

	while (!proc_get32(&p->shm->quit)) {
		w->now_ns = canp_clock_ns();
		w->grouped = 0;
		w->group = 1;
		while (canp_process_run_next(w)) {
			if (canp_unlikely(limited))
				look_at_self(w, &rss_ns);
			if (canp_unlikely(proc_get32(&p->shm->quit)))
				return;
		}
		if (canp_process_run_other(w))
			continue;
		if (__atomic_load_n(&w->e->stop, __ATOMIC_SEQ_CST)) {
			if (!has_work(w->e))
				return;
			continue;
		}
		if (spin_ns) {
			bool paid = idle_spin(w, spin_ns);

			spin_ns = spin_next(p, spin_ns, paid);
			if (paid)
				continue;
		}
		idle_sleep(w);
	}
}

void canp_process_worker_main(struct canp_process_pool *p, unsigned entry)
{
	struct proc_entry *e = &p->shm->entries[entry];
	struct proc_self *w = &canp_process_self;
	int rc;

	memset(w, 0, sizeof(*w));
	w->p = p;
	w->e = e;
	w->entry = entry;
	signals_default();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != p->shm->zygote_pid)
		_exit(0);
	e->pid = getpid();
	rc = worker_setup(w);
	if (rc) {
		canp_process_log(p, CANP_PROCESS_LOG_ERROR, "worker %u cannot start: %s", entry,
				 strerror(-rc));
		worker_exit(p, 99);
	}
	life_span(w);
	e->born_tasks = e->claimed;
	e->born_rss = p->cfg.max_worker_rss ? rss_bytes() : 0;
	proc_set64(&e->ready_ns, canp_clock_ns());
	proc_set64(&e->idle_ns, 0);
	proc_set32(&e->state, PE_READY);
	canp_process_kick(p);
	worker_loop(w);
	worker_exit(p, 0);
}
