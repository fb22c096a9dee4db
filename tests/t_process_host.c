/*
 * t_process_host.c - a program with a process pool that e2e_process.sh looks at from outside. As a
 * unit test it only proves that its parts work; with arguments it is one of these:
 *
 *	--idle SECONDS KIND   two workers, some tasks, then marks on standard error around idleness
 *	--serve LOGFILE       handles signals; a line for every thing that happens; runs until
 *stopped
 */
#include <stdio.h>

#include "core/base/compiler.h"
#include "tests/lib/pool_tasks.h"

bool pool_sync_ring;

static void mark(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

static int host_idle(unsigned secs, const char *kind)
{
	pool_config_t c = {.worker_count = 2,
			   .queue_size = 64,
			   .heartbeat_ms = 100,
			   .enable_dynamic_scaling = true,
			   .sync_ring = strcmp(kind, "sync") == 0};
	process_pool_t *p = pool_create(&c);

	if (!p || pool_start(p))
		return 1;
	for (int i = 0; i < 20; i++)
		if (pool_submit_sync(p, task_rc, NULL, 0, NULL, TASK_PRIORITY_NORMAL, 500, NULL))
			return 1;
	sleep(2); /* the last heartbeat and time limit pass */
	mark("IDLE-BEGIN\n");
	sleep(secs);
	mark("IDLE-END\n");
	pool_destroy(p);
	return 0;
}

static void say_workers(process_pool_t *p, const char *what)
{
	struct canp_process_worker w[16];
	int n = canp_process_pool_workers(p, w, 16);

	printf("%s", what);
	for (int i = 0; i < n; i++)
		printf(" %d", (int)w[i].pid);
	printf("\n");
	fflush(stdout);
}

static volatile bool stop_seen;

static void on_signal(int signo, void *arg)
{
	(void)arg;
	printf("signal %d\n", signo);
	fflush(stdout);
	if (signo == SIGTERM || signo == SIGINT)
		stop_seen = true;
}

static int host_serve(const char *log)
{
	pool_config_t c = {.worker_count = 2,
			   .queue_size = 64,
			   .handle_signals = true,
			   .on_signal = on_signal,
			   .log_level = LOG_LEVEL_INFO,
			   .stop_grace_ms = 200};
	process_pool_t *p = pool_create(&c);
	task_future_t *f[6];
	unsigned ok = 0, down = 0;
	task_result_t r;

	if (!p || pool_set_log_file(p, log) || pool_start(p))
		return 1;
	for (int i = 0; i < 6; i++)
		f[i] = pool_submit_async(p, task_sleep, NULL, 0,
					 (void *)(getenv("SERVE_LONG") ? 600000L : 700L),
					 TASK_PRIORITY_NORMAL, 0);
	say_workers(p, "ready");
	for (int i = 0; !stop_seen; i++) {
		struct canp_process_worker w[16];
		static int last;
		int now = canp_process_pool_workers(p, w, 16) == 2 ? w[0].pid + w[1].pid : last;

		if (now != last)
			say_workers(p, "workers");
		last = now;
		usleep(20000);
	}
	pool_stop(p, UINT32_MAX);
	for (int i = 0; i < 6; i++) {
		if (pool_future_wait(f[i], &r, 0))
			return 1;
		ok += r.outcome == CANP_PROCESS_OK;
		down += r.outcome == CANP_PROCESS_SHUTDOWN;
		pool_future_destroy(f[i]);
	}
	pool_destroy(p);
	printf("end ok=%u shutdown=%u\n", ok, down);
	return 0;
}

static void D02_the_host_works(void **state)
{
	(void)state;
	assert_int_equal(host_idle(0, "auto"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D02_the_host_works),
	};

	if (argc == 4 && !strcmp(argv[1], "--idle"))
		return host_idle((unsigned)atoi(argv[2]), argv[3]);
	if (argc == 3 && !strcmp(argv[1], "--serve"))
		return host_serve(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
