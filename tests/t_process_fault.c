/*
 * t_process_fault.c - the process pool when things go wrong or change: cancelled and late tasks,
 * workers that die, stop or hang, the breaker, growth and shrinking, rolling restarts, chaos.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "core/base/compiler.h"
#include "core/observe/event.h"
#include "tests/lib/pool_tasks.h"

bool pool_sync_ring;

static struct canp_process_worker one_worker(process_pool_t *p)
{
	struct canp_process_worker w = {.index = -1};

	wait_for(canp_process_pool_workers(p, &w, 1) == 1);
	return w;
}

/* ---- cancelling, time limits ---- */

static void D12_a_queued_task_is_cancelled_at_once(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	task_future_t *block, *f;
	uint32_t *ran = pool_alloc_payload(p, 4);
	task_result_t r;

	(void)state;
	*ran = 0;
	block = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(block) == CANP_TASK_RUNNING);
	f = pool_submit_async(p, task_count, ran, 4, NULL, TASK_PRIORITY_LOW, 0);
	assert_int_equal(pool_future_cancel(f), 0);
	assert_int_equal(pool_future_wait(f, &r, 0), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_CANCELLED);
	assert_int_equal(r.error, -ECANCELED);
	assert_int_equal(r.worker_pid, 0);
	assert_int_equal(pool_future_cancel(f), -EALREADY);
	pool_future_destroy(f);
	pool_future_cancel(block);
	pool_future_wait(block, NULL, UINT32_MAX);
	pool_future_destroy(block);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	assert_int_equal(*ran, 0);
	pool_free_payload(p, ran);
	pool_destroy(p);
}

static void D12_a_running_task_gets_the_flag_then_the_kill(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 1, .queue_size = 16, .cancel_grace_ms = 50, .restart_max = 1});
	pid_t before = one_worker(p).pid;
	task_future_t *f, *next;
	task_result_t r;

	(void)state;
	f = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(f) == CANP_TASK_RUNNING);
	assert_int_equal(pool_future_cancel(f), 0);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_CANCELLED);
	assert_int_equal(r.signal, 0);
	pool_future_destroy(f);
	assert_int_equal(one_worker(p).pid, before);
	/* One that does not listen: its worker goes, the task behind it stays. */
	f = pool_submit_async(p, task_sleep, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	next = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(f) == CANP_TASK_RUNNING);
	assert_int_equal(pool_future_cancel(f), 0);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_CANCELLED);
	assert_int_equal(r.signal, SIGKILL);
	pool_future_destroy(f);
	assert_int_equal(pool_future_wait(next, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_OK);
	pool_future_destroy(next);
	assert_int_not_equal(one_worker(p).pid, before);
	/* We did that: no reason for the breaker, though restart_max is 1. */
	assert_false(stats_of(p).breaker_open);
	pool_destroy(p);
}

static void D20_late_tasks_end_at_their_time(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 2, .queue_size = 16, .task_timeout = 60, .cancel_grace_ms = 20});
	uint64_t start = canp_clock_ns(), took_ms;
	task_future_t *f;
	task_result_t r;

	(void)state;
	assert_int_equal(
		pool_submit_sync(p, task_sleep, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0, &r),
		-ETIMEDOUT);
	took_ms = (canp_clock_ns() - start) / 1000000;
	assert_true(took_ms >= 60 && took_ms < 10000);
	assert_int_equal(r.outcome, CANP_PROCESS_TIMEOUT);
	/* Its own limit instead of the pool's. */
	assert_int_equal(pool_submit_sync(p, task_sleep, NULL, 0, (void *)120L, TASK_PRIORITY_LOW,
					  60000, &r),
			 0);
	/* UINT32_MAX: none, whatever the pool says. */
	f = pool_submit_async(p, task_rc, NULL, 0, (void *)1L, TASK_PRIORITY_LOW, UINT32_MAX);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.rc, 1);
	pool_future_destroy(f);
	assert_int_equal(stats_of(p).tasks_timed_out, 1);
	pool_destroy(p);
}

static void D20_a_task_may_be_late_in_the_queue(void **state)
{
	process_pool_t *p = pool_n(1, 16);
	task_future_t *block, *f;
	task_result_t r;

	(void)state;
	block = pool_submit_async(p, task_polite, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(block) == CANP_TASK_RUNNING);
	f = pool_submit_async(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_LOW, 20);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_TIMEOUT);
	assert_int_equal(r.worker_pid, 0);
	pool_future_destroy(f);
	pool_future_cancel(block);
	pool_future_destroy(block);
	pool_destroy(p);
}

static void D30_every_future_resolves_among_cancels_and_limits(void **state)
{
	enum { N = 20000, WIN = 200 };
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 2, .queue_size = WIN, .cancel_grace_ms = 2000, .restart_max = 60});
	unsigned got[8] = {0};
	task_future_t *f[WIN];
	pool_stats_t st;

	(void)state;
	for (int from = 0; from < N; from += WIN) {
		for (int i = 0; i < WIN; i++) {
			bool late = i % 100 == 50;

			while (!(f[i] = pool_submit_async(p, late ? task_polite : task_rc, NULL, 0,
							  late ? (void *)600000L : NULL,
							  (task_priority_t)(i % 4), late ? 3 : 0)))
				usleep(50);
			if (i % 100 == 99)
				pool_future_cancel(f[i]);
		}
		for (int i = 0; i < WIN; i++) {
			task_result_t r;

			assert_int_equal(pool_future_wait(f[i], &r, 120000), 0);
			got[r.outcome]++;
			pool_future_destroy(f[i]);
		}
	}
	assert_int_equal(
		got[CANP_PROCESS_OK] + got[CANP_PROCESS_CANCELLED] + got[CANP_PROCESS_TIMEOUT], N);
	assert_int_equal(got[CANP_PROCESS_TIMEOUT], N / 100);
	st = stats_of(p);
	assert_int_equal(st.tasks_submitted, N);
	assert_int_equal(st.tasks_completed, got[CANP_PROCESS_OK]);
	assert_int_equal(st.tasks_failed, N - got[CANP_PROCESS_OK]);
	assert_int_equal(st.tasks_timed_out, got[CANP_PROCESS_TIMEOUT]);
	assert_int_equal(st.tasks_cancelled, got[CANP_PROCESS_CANCELLED]);
	pool_destroy(p);
}

static int task_until(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	uint64_t end_ns;

	(void)n, (void)out, (void)out_n, (void)user;
	memcpy(&end_ns, in, sizeof(end_ns));
	while (canp_clock_ns() < end_ns)
		;
	return 0;
}

/* The worker ends the task and the supervisor its time, at the same moment. */
static void D30_an_end_at_the_time_limit_is_counted_once(void **state)
{
	enum { N = 3000 };
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .queue_size = 16});
	unsigned got[8] = {0};
	pool_stats_t st;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		uint64_t end_ns = canp_clock_ns() + 1000000 + i % 120 * 1000;
		task_result_t r;

		pool_submit_sync(p, task_until, &end_ns, sizeof(end_ns), NULL, 0, 1, &r);
		got[r.outcome]++;
		canp_process_result_release(&r);
	}
	assert_int_equal(got[CANP_PROCESS_OK] + got[CANP_PROCESS_TIMEOUT], N);
	st = stats_of(p);
	assert_int_equal(st.tasks_completed, got[CANP_PROCESS_OK]);
	assert_int_equal(st.tasks_failed, got[CANP_PROCESS_TIMEOUT]);
	assert_int_equal(st.tasks_timed_out, got[CANP_PROCESS_TIMEOUT]);
	pool_destroy(p);
}

/* ---- deaths ---- */

static void D32_a_crash_takes_only_its_task(void **state)
{
	static const int signals[] = {SIGKILL, SIGSEGV, SIGABRT};
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 1, .queue_size = 64, .restart_max = 20});

	(void)state;
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(signals); k++) {
		task_future_t *f[20];
		task_result_t r;

		for (int i = 0; i < 20; i++)
			f[i] = pool_submit_async(p, i == 5 ? task_kill_self : task_rc, NULL, 0,
						 (void *)(intptr_t)(i == 5 ? signals[k] : 0),
						 TASK_PRIORITY_NORMAL, 0);
		for (int i = 0; i < 20; i++) {
			assert_int_equal(pool_future_wait(f[i], &r, UINT32_MAX), 0);
			assert_int_equal(r.outcome,
					 i == 5 ? CANP_PROCESS_CRASHED : CANP_PROCESS_OK);
			if (i == 5) {
				assert_int_equal(r.signal, signals[k]);
				assert_int_equal(r.error, -EOWNERDEAD);
				assert_true(r.message[0]);
			}
			pool_future_destroy(f[i]);
		}
	}
	assert_int_equal(stats_of(p).tasks_crashed, 3);
	assert_int_equal(stats_of(p).worker_restarts, 3);
	/* One that just leaves. */
	{
		task_result_t r;

		assert_int_equal(pool_submit_sync(p, task_exit, NULL, 0, (void *)5L, 0, 0, &r),
				 -EOWNERDEAD);
		assert_int_equal(r.signal, 0);
	}
	pool_destroy(p);
}

static void G20_counters_survive_their_workers(void **state)
{
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 2, .queue_size = 64, .restart_max = 60});
	uint64_t last = 0;

	(void)state;
	for (int k = 0; k < 10; k++) {
		struct canp_process_worker w[2];
		uint64_t now;

		for (int i = 0; i < 50; i++)
			assert_int_equal(
				pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 60000, NULL), 0);
		now = stats_of(p).tasks_completed;
		assert_int_equal(now, last + 50);
		last = now;
		wait_for(canp_process_pool_workers(p, w, 2) == 2);
		kill(w[k % 2].pid, SIGKILL);
		wait_for(stats_of(p).worker_restarts == (unsigned)k + 1);
		assert_int_equal(stats_of(p).tasks_completed, last);
	}
	pool_destroy(p);
}

static void D32_too_many_deaths_open_the_breaker(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 1, .queue_size = 64, .restart_max = 5, .restart_window_ms = 3000});
	task_future_t *f[12];
	unsigned crashed = 0, broken = 0;
	uint64_t begin_ns = canp_clock_ns();
	task_result_t r;

	(void)state;
	for (int i = 0; i < 12; i++) {
		f[i] = pool_submit_async(p, task_kill_self, NULL, 0, (void *)(intptr_t)SIGKILL, 0,
					 0);
		if (!f[i])
			assert_int_equal(errno, ENOTRECOVERABLE);
	}
	for (int i = 0; i < 12; i++) {
		if (!f[i])
			continue;
		assert_int_equal(pool_future_wait(f[i], &r, UINT32_MAX), 0);
		crashed += r.outcome == CANP_PROCESS_CRASHED;
		broken += r.outcome == CANP_PROCESS_BROKEN;
		pool_future_destroy(f[i]);
	}
	assert_true(crashed >= 5);
	/* On a machine so slow that the first death left the window one more is allowed. */
	if (canp_clock_ns() - begin_ns < 3000000000u)
		assert_int_equal(crashed, 5);
	assert_true(broken >= 1);
	assert_true(stats_of(p).breaker_open);
	assert_null(pool_submit_async(p, task_rc, NULL, 0, NULL, 0, 0));
	assert_int_equal(errno, ENOTRECOVERABLE);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, &r), -ENOTRECOVERABLE);
	/* After a while it tries again. */
	wait_for(!stats_of(p).breaker_open);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 60000, &r), 0);
	pool_destroy(p);
}

static int init_fails(void *arg)
{
	(void)arg;
	return -1;
}

static void D32_workers_that_cannot_start_fail_the_start(void **state)
{
	pool_config_t c = {
		.worker_count = 1, .worker_init = init_fails, .sync_ring = pool_sync_ring};
	process_pool_t *p = pool_create(&c);

	(void)state;
	assert_int_equal(pool_start(p), -ECHILD);
	pool_destroy(p);
}

/* State ('R', 'S', 'T', ..) and parent of a process; 0 when it is gone. */
static char proc_state(pid_t pid, int *parent)
{
	char path[64], line[256] = "", state = 0, *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	at = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return at && sscanf(at + 1, " %c %d", &state, parent) == 2 ? state : 0;
}

static void D33_a_stopped_worker_with_a_task_is_replaced(void **state)
{
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 1, .queue_size = 16, .heartbeat_ms = 50});
	struct canp_process_worker w = one_worker(p);
	task_future_t *f;
	task_result_t r;
	int parent;

	(void)state;
	/* Stopped while it holds a task. */
	f = pool_submit_async(p, task_sleep, NULL, 0, (void *)600000L, TASK_PRIORITY_LOW, 0);
	wait_for(canp_future_status(f) == CANP_TASK_RUNNING);
	kill(w.pid, SIGSTOP);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_CRASHED);
	pool_future_destroy(f);
	wait_for(pid_gone(w.pid));
	/* Stopped while idle, then handed one: the task survives that. */
	w = one_worker(p);
	kill(w.pid, SIGSTOP);
	/* It may still be looking for work on another CPU when kill() is back. */
	wait_for(proc_state(w.pid, &parent) == 'T');
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, (void *)9L, 0, 0, &r), 9);
	assert_int_not_equal(r.worker_pid, w.pid);
	pool_destroy(p);
}

static void D33_a_long_task_is_no_hang(void **state)
{
	process_pool_t *p =
		pool_of((pool_config_t){.worker_count = 1, .queue_size = 16, .heartbeat_ms = 20});
	task_result_t r;

	(void)state;
	assert_int_equal(pool_submit_sync(p, task_sleep, NULL, 0, (void *)300L, 0, 0, &r), 0);
	assert_int_equal(stats_of(p).worker_restarts, 0);
	pool_destroy(p);
}

static void D32_without_the_zygote_nothing_hangs(void **state)
{
	process_pool_t *p = pool_n(2, 16);
	struct canp_process_worker w[2];
	task_future_t *f[4];
	task_result_t r;
	int zygote = 0;

	(void)state;
	assert_int_equal(canp_process_pool_workers(p, w, 2), 2);
	assert_int_not_equal(proc_state(w[0].pid, &zygote), 0);
	for (int i = 0; i < 4; i++)
		f[i] = pool_submit_async(p, task_sleep, NULL, 0, (void *)600000L, 0, 0);
	wait_for(canp_future_status(f[0]) == CANP_TASK_RUNNING);
	kill(zygote, SIGKILL);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pool_future_wait(f[i], &r, UINT32_MAX), 0);
		assert_true(r.outcome == CANP_PROCESS_CRASHED || r.outcome == CANP_PROCESS_BROKEN);
		pool_future_destroy(f[i]);
	}
	assert_null(pool_submit_async(p, task_rc, NULL, 0, NULL, 0, 0));
	assert_int_equal(errno, ENOTRECOVERABLE);
	wait_for(pid_gone(w[0].pid) && pid_gone(w[1].pid));
	pool_destroy(p);
}

/* ---- how many ---- */

static void D16_the_default_follows_affinity(void **state)
{
	cpu_set_t old, one;
	process_pool_t *p;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(old), &old), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &old)) {
			CPU_SET(i, &one);
			break;
		}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	p = pool_n(0, 16);
	assert_int_equal(stats_of(p).workers, 1);
	pool_destroy(p);
	assert_int_equal(sched_setaffinity(0, sizeof(old), &old), 0);
}

static void D17_D19_D21_D29_the_pool_grows_and_shrinks_within_bounds(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1,
						    .min_workers = 1,
						    .max_workers = 4,
						    .queue_size = 256,
						    .enable_dynamic_scaling = true,
						    .worker_idle_timeout = 200});
	task_future_t *f[60];
	unsigned most = 0;

	(void)state;
	for (int i = 0; i < 60; i++)
		f[i] = pool_submit_async(p, task_sleep, NULL, 0, (void *)30L, 0, 0);
	for (int i = 0; i < 60; i++) {
		unsigned n = stats_of(p).workers;

		most = n > most ? n : most;
		assert_int_equal(pool_future_wait(f[i], NULL, UINT32_MAX), 0);
		pool_future_destroy(f[i]);
	}
	assert_int_equal(most, 4);
	wait_for(stats_of(p).workers == 1);
	usleep(300000);
	assert_int_equal(stats_of(p).workers, 1);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 60000, NULL), 0);
	pool_destroy(p);
}

static void D21_without_scaling_the_number_is_constant(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 2, .max_workers = 4, .queue_size = 256, .worker_idle_timeout = 20});
	task_future_t *f[40];

	(void)state;
	for (int i = 0; i < 40; i++)
		f[i] = pool_submit_async(p, task_sleep, NULL, 0, (void *)5L, 0, 0);
	for (int i = 0; i < 40; i++) {
		pool_future_wait(f[i], NULL, UINT32_MAX);
		pool_future_destroy(f[i]);
		assert_int_equal(stats_of(p).workers, 2);
	}
	/* Unless somebody asks. */
	assert_int_equal(pool_resize(p, 4), 0);
	wait_for(stats_of(p).workers == 4);
	assert_int_equal(pool_resize(p, 1), 0);
	wait_for(stats_of(p).workers == 1);
	assert_int_equal(pool_resize(p, 0), -EINVAL);
	pool_destroy(p);
}

static void D29_even_load_moves_nothing(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 2,
						    .min_workers = 1,
						    .max_workers = 4,
						    .queue_size = 256,
						    .enable_dynamic_scaling = true,
						    .worker_idle_timeout = 60000});
	unsigned changes = 0, last = stats_of(p).workers;

	(void)state;
	for (int i = 0; i < 300; i++) {
		unsigned n;

		pool_submit_sync(p, task_sleep, NULL, 0, (void *)1L, 0, 0, NULL);
		n = stats_of(p).workers;
		changes += n != last;
		last = n;
	}
	assert_true(changes <= 2);
	pool_destroy(p);
}

static int task_affinity(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	cpu_set_t set;

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	(void)user;
	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) != 1)
		return -1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			return 1000 + i * 10 + canp_process_worker_index();
	return -1;
}

static void D22_worker_i_stays_on_cpu_i(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 2, .queue_size = 16, .enable_worker_affinity = true});
	cpu_set_t all;
	int cpus[2] = {-1, -1}, n = 0;

	(void)state;
	sched_getaffinity(0, sizeof(all), &all);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &all))
			cpus[n++] = i;
	assert_int_equal(canp_process_worker_index(), -1);
	for (int i = 0; i < 40; i++) {
		task_result_t r;
		int cpu, worker;

		pool_submit_sync(p, task_affinity, NULL, 0, NULL, 0, 0, &r);
		assert_true(r.rc >= 1000);
		worker = (r.rc - 1000) % 10;
		cpu = (r.rc - 1000) / 10;
		assert_int_equal(cpu, cpus[worker % n]);
	}
	pool_destroy(p);
}

/* ---- restart, recycling ---- */

struct submitter {
	process_pool_t *p;
	bool quit;
	unsigned ok, bad;
};

static void *submitter_main(void *arg)
{
	struct submitter *s = arg;

	while (!__atomic_load_n(&s->quit, __ATOMIC_RELAXED)) {
		if (pool_submit_sync(s->p, task_rc, NULL, 0, NULL, 0, 60000, NULL))
			s->bad++;
		else
			__atomic_add_fetch(&s->ok, 1, __ATOMIC_RELAXED);
		usleep(100);
	}
	return NULL;
}

static void D31_restart_fails_no_task_and_replaces_everybody(void **state)
{
	process_pool_t *p = pool_n(2, 64);
	struct canp_process_worker w[4], now[4];
	struct submitter s = {.p = p};
	pthread_t t;

	(void)state;
	pthread_create(&t, NULL, submitter_main, &s);
	wait_for(__atomic_load_n(&s.ok, __ATOMIC_RELAXED) > 0);
	for (int k = 0; k < 5; k++) {
		assert_int_equal(canp_process_pool_workers(p, w, 4), 2);
		assert_int_equal(pool_restart(p, 60000), 0);
		assert_int_equal(canp_process_pool_workers(p, now, 4), 2);
		for (int i = 0; i < 2; i++) {
			assert_true(pid_gone(w[i].pid));
			assert_int_equal(now[i].generation, k + 1);
		}
	}
	__atomic_store_n(&s.quit, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_int_equal(s.bad, 0);
	assert_true(s.ok > 0);
	assert_int_equal(stats_of(p).tasks_failed, 0);
	pool_destroy(p);
}

static void D31_restart_kills_who_does_not_finish(void **state)
{
	process_pool_t *p = pool_n(1, 64);
	task_future_t *f;
	task_result_t r;

	(void)state;
	f = pool_submit_async(p, task_sleep, NULL, 0, (void *)600000L, 0, 0);
	wait_for(canp_future_status(f) == CANP_TASK_RUNNING);
	assert_int_equal(pool_restart(p, 50), -ETIMEDOUT);
	assert_int_equal(pool_future_wait(f, &r, UINT32_MAX), 0);
	assert_int_equal(r.outcome, CANP_PROCESS_CRASHED);
	pool_future_destroy(f);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	pool_destroy(p);
}

static void D31_workers_are_replaced_after_their_tasks(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1,
						    .queue_size = 64,
						    .max_tasks_per_worker = 20,
						    .max_tasks_jitter = 5});
	pid_t first = one_worker(p).pid;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 60000, NULL), 0);
	wait_for(pid_gone(first));
	assert_int_equal(stats_of(p).tasks_completed, 200);
	assert_int_equal(stats_of(p).tasks_failed, 0);
	pool_destroy(p);
}

/* ---- events ---- */

static unsigned seen[CANP_EVENT_NR];

static int on_events(void *arg, const struct canp_ev *ev, uint32_t n)
{
	(void)arg;
	for (uint32_t i = 0; i < n; i++)
		if (ev[i].type < CANP_EVENT_NR)
			seen[ev[i].type]++;
	return 0;
}

static void D32_deaths_are_events(void **state)
{
	struct canp_listener_opts lo = {.name = "t", .fn = on_events};
	struct canp_listener *l;
	struct canp_event_opts o;
	struct canp_events *ev;
	process_pool_t *p;

	(void)state;
	memset(seen, 0, sizeof(seen));
	canp_event_opts_init(&o);
	o.workers = 0;
	canp_event_mask_all(&lo.types);
	assert_int_equal(canp_events_create(&o, &ev), 0);
	assert_int_equal(canp_listener_add(ev, &lo, &l), 0);
	p = pool_of((pool_config_t){.worker_count = 1, .queue_size = 16, .events = ev});
	pool_submit_sync(p, task_kill_self, NULL, 0, (void *)(intptr_t)SIGKILL, 0, 0, NULL);
	pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL);
	/* Its task may be over before the supervisor has heard that the new worker is ready. */
	wait_for((canp_events_poll(ev), seen[CANP_EVENT_WORKER_START] == 2));
	pool_destroy(p);
	while (canp_events_poll(ev))
		;
	assert_int_equal(seen[CANP_EVENT_WORKER_START], 2);
	assert_int_equal(seen[CANP_EVENT_WORKER_CRASH], 1);
	assert_int_equal(seen[CANP_EVENT_WORKER_EXIT], 1);
	canp_events_destroy(ev);
}

/* The whole group runs a second time that way; this one carries the name. */
static void D25_without_io_uring_it_does_the_same(void **state)
{
	bool was = pool_sync_ring;

	pool_sync_ring = true;
	D12_a_running_task_gets_the_flag_then_the_kill(state);
	D20_late_tasks_end_at_their_time(state);
	D31_restart_fails_no_task_and_replaces_everybody(state);
	D32_a_crash_takes_only_its_task(state);
	pool_sync_ring = was;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D12_a_queued_task_is_cancelled_at_once),
		cmocka_unit_test(D12_a_running_task_gets_the_flag_then_the_kill),
		cmocka_unit_test(D16_the_default_follows_affinity),
		cmocka_unit_test(D17_D19_D21_D29_the_pool_grows_and_shrinks_within_bounds),
		cmocka_unit_test(D20_late_tasks_end_at_their_time),
		cmocka_unit_test(D20_a_task_may_be_late_in_the_queue),
		cmocka_unit_test(D21_without_scaling_the_number_is_constant),
		cmocka_unit_test(D22_worker_i_stays_on_cpu_i),
		cmocka_unit_test(D25_without_io_uring_it_does_the_same),
		cmocka_unit_test(D29_even_load_moves_nothing),
		cmocka_unit_test(D30_every_future_resolves_among_cancels_and_limits),
		cmocka_unit_test(D30_an_end_at_the_time_limit_is_counted_once),
		cmocka_unit_test(D31_restart_fails_no_task_and_replaces_everybody),
		cmocka_unit_test(D31_restart_kills_who_does_not_finish),
		cmocka_unit_test(D31_workers_are_replaced_after_their_tasks),
		cmocka_unit_test(D32_a_crash_takes_only_its_task),
		cmocka_unit_test(D32_deaths_are_events),
		cmocka_unit_test(D32_too_many_deaths_open_the_breaker),
		cmocka_unit_test(D32_without_the_zygote_nothing_hangs),
		cmocka_unit_test(D32_workers_that_cannot_start_fail_the_start),
		cmocka_unit_test(D33_a_stopped_worker_with_a_task_is_replaced),
		cmocka_unit_test(D33_a_long_task_is_no_hang),
		cmocka_unit_test(G20_counters_survive_their_workers),
	};
	int bad = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);

	pool_sync_ring = true; /* D25: the same without io_uring */
	return bad + cmocka_run_group_tests_name("D25_without_io_uring", tests, NULL, NULL);
}
