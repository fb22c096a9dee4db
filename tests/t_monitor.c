/*
 * t_monitor.c - one sampler for everybody: its life, its period, what sessions see, and that nobody
 * waits for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/observe/monitor.h"

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void burn_ms(unsigned ms)
{
	uint64_t end = cpu_ns() + ms * 1000000ULL;

	while (cpu_ns() < end)
		;
}

static struct canp_mon_stats stats(void)
{
	struct canp_mon_stats s;

	canp_monitor_stats(&s);
	return s;
}

static void wait_stopped(void)
{
	for (unsigned i = 0; i < 10000 && stats().running; i++)
		sleep_ms(1);
	assert_false(stats().running);
}

/* Nothing runs before or after: each test has its own settings. */
static void config(uint32_t min_ms, uint32_t max_ms)
{
	struct canp_mon_opts o;

	canp_mon_opts_init(&o);
	o.period_min_ms = min_ms;
	o.period_max_ms = max_ms;
	o.linger_ms = 0;
	o.cost_cap_ppm = 1000000;
	assert_int_equal(canp_monitor_config(&o), 0);
}

static void begin(struct canp_mon_session *s)
{
	assert_int_equal(canp_mon_session_begin(s, CANP_MON_SELF, 0, 0), 0);
}

static unsigned entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static unsigned samplers(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f))
			n += !strcmp(name, "canp-mon\n");
		fclose(f);
	}
	closedir(d);
	return n;
}

static void *sessions_run(void *arg)
{
	struct canp_mon_session s[16];
	struct canp_mon_delta d;

	(void)arg;
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 16; i++)
			begin(&s[i]);
		for (unsigned i = 0; i < 16; i++)
			canp_mon_session_end(&s[i], 0, &d);
	}
	return NULL;
}

static void G01_all_sessions_share_one_sampler_and_its_descriptors(void **state)
{
	unsigned fds = entries("/proc/self/fd");
	struct canp_mon_session s[64];
	pthread_t t[4];

	(void)state;
	config(5, 10);
	for (unsigned i = 0; i < 64; i++)
		begin(&s[i]);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sessions_run, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(stats().users, 64);
	assert_int_equal(stats().starts, 1);
	/* A thread names itself as the first thing it does, which may take its time. */
	for (unsigned i = 0; i < 10000 && samplers() != 1; i++)
		sleep_ms(1);
	assert_int_equal(samplers(), 1);
	assert_int_equal(stats().fds, 4);
	assert_int_equal(entries("/proc/self/fd"), fds + 4);
	for (unsigned i = 0; i < 64; i++)
		canp_mon_session_end(&s[i], 0, NULL);
	wait_stopped();
	assert_int_equal(entries("/proc/self/fd"), fds);
}

/* Reads of /proc that `nr` sessions cause while `samples` samples are taken. */
static uint64_t preads_of(unsigned nr, unsigned samples)
{
	struct canp_mon_session s[16];
	uint64_t preads;

	config(60000, 60000);
	for (unsigned i = 0; i < nr; i++)
		begin(&s[i]);
	preads = stats().preads;
	for (unsigned i = 0; i < samples; i++)
		assert_int_equal(canp_monitor_refresh(), 0);
	preads = stats().preads - preads;
	for (unsigned i = 0; i < nr; i++)
		canp_mon_session_end(&s[i], 0, NULL);
	wait_stopped();
	return preads;
}

/* Sixteen monitors of their own would read sixteen times as much. */
static void G02_sixteen_sessions_read_proc_as_often_as_one(void **state)
{
	uint64_t one, sixteen;

	(void)state;
	one = preads_of(1, 50);
	sixteen = preads_of(16, 50);
	assert_true(one >= 50);
	assert_int_equal(sixteen, one);
	assert_true(sixteen * 100 <= one * 16 * 20);
}

static void G03_the_period_follows_the_load_within_its_bounds(void **state)
{
	struct canp_mon_session s;
	struct canp_mon_opts o;
	unsigned i;

	(void)state;
	config(10, 80);
	begin(&s);
	assert_int_equal(stats().period_ms, 10);
	for (i = 0; i < 1000 && stats().period_ms < 80; i++)
		sleep_ms(10);
	assert_int_equal(stats().period_ms, 80);
	for (i = 0; i < 200 && stats().period_ms > 10; i++)
		burn_ms(20);
	assert_int_equal(stats().period_ms, 10);
	canp_mon_session_end(&s, 0, NULL);
	wait_stopped();

	canp_mon_opts_init(&o);
	assert_int_equal(o.cost_cap_ppm, 5000); /* half a percent */
	o.period_max_ms = o.period_min_ms = 1;
	o.linger_ms = 0;
	o.cost_cap_ppm = 10;
	assert_int_equal(canp_monitor_config(&o), 0);
	begin(&s);
	/* A sample costs more than 1 us for sure: at 10 ppm more than 100 ms pass between two. */
	assert_true(stats().period_ms >= 100);
	assert_int_equal(canp_monitor_config(&o), -EBUSY);
	canp_mon_session_end(&s, 0, NULL);
	wait_stopped();
	o.period_min_ms = 2;
	assert_int_equal(canp_monitor_config(&o), -EINVAL);
}

static int compare_u64(const void *pa, const void *pb)
{
	uint64_t x = *(const uint64_t *)pa, y = *(const uint64_t *)pb;

	return (x > y) - (x < y);
}

/* The sampler holds its lock and sleeps for a second; sessions do not notice. */
static void G04_a_stalled_sampler_delays_nobody(void **state)
{
	static uint64_t took[20000];
	struct canp_mon_session keep, s;
	struct canp_mon_system sys;
	struct canp_mon_delta d;
	struct canp_mon_opts o;
	uint64_t start;

	(void)state;
	canp_mon_opts_init(&o);
	o.period_min_ms = o.period_max_ms = 1;
	o.linger_ms = 0;
	o.cost_cap_ppm = 1000000;
	o.fault_stall_ms = 1000;
	assert_int_equal(canp_monitor_config(&o), 0);
	begin(&keep); /* waits for the first sample */
	sleep_ms(50);
	start = canp_clock_ns();
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t t = canp_clock_ns();

		begin(&s);
		canp_monitor_system(&sys);
		canp_mon_session_end(&s, 0, &d);
		took[i] = canp_clock_ns() - t;
	}
	assert_true(canp_clock_ns() - start < 900000000ULL);
	qsort(took, 20000, sizeof(took[0]), compare_u64);
	assert_true(took[20000 * 99 / 100] < 100000);
	canp_mon_session_end(&keep, 0, NULL);
	wait_stopped();
}

static void G05_system_figures_are_read_once_a_period(void **state)
{
	struct canp_mon_session s;
	struct canp_mon_system sys;
	struct canp_mon_proc p;
	struct canp_mon_stats before;

	(void)state;
	config(60000, 60000);
	begin(&s);
	before = stats();
	for (unsigned i = 0; i < 1000; i++) {
		canp_monitor_system(&sys);
		canp_monitor_proc(CANP_MON_TREE, &p);
	}
	assert_int_equal(stats().preads, before.preads);
	assert_true(sys.mem_total_bytes > sys.mem_available_bytes);
	assert_true(sys.mem_available_bytes > 0);
	assert_true(sys.cpu_busy_ns > 0 && sys.cpu_idle_ns > 0);
	assert_true(p.rss_bytes > 100000 && p.threads >= 1 && p.at_ns > 0);
	assert_int_equal(canp_monitor_refresh(), 0);
	assert_int_equal(stats().preads, before.preads + 4);
	canp_mon_session_end(&s, 0, NULL);
	wait_stopped();
	assert_int_equal(canp_monitor_refresh(), -ESRCH);
}

static void G06_a_session_gives_cpu_wall_rss_and_io(void **state)
{
	size_t bytes = 32 * CANP_MIB;
	struct canp_mon_session s;
	struct canp_mon_delta d;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char *mem;

	(void)state;
	assert_true(fd >= 0);
	config(60000, 60000);
	assert_int_equal(canp_mon_session_begin(&s, CANP_MON_SELF, CANP_MON_THREAD_CPU, 0), 0);
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(mem != MAP_FAILED);
	memset(mem, 1, bytes);
	assert_int_equal(write(fd, mem, 1000000), 1000000);
	burn_ms(60);
	sleep_ms(40);
	assert_int_equal(canp_monitor_refresh(), 0);
	canp_mon_session_end(&s, 0, &d);
	munmap(mem, bytes);
	close(fd);
	assert_true(d.cpu_ns >= 60000000 && d.cpu_ns < 60000000000ULL);
	assert_true(d.thread_cpu_ns >= 60000000);
	assert_true(d.wall_ns >= 100000000 && d.wall_ns >= d.thread_cpu_ns);
	assert_true(d.sampled_ns > 90000000);
	assert_true(d.rss_delta_bytes >= (int64_t)bytes * 9 / 10);
	assert_true(d.rss_bytes > bytes * 9 / 10);
	assert_true(d.wchar_bytes >= 1000000);
	wait_stopped();
}

static void G07_the_sampler_starts_with_the_first_and_ends_with_the_last(void **state)
{
	struct canp_mon_session a, b;
	struct canp_mon_opts o;
	uint64_t starts;

	(void)state;
	config(5, 5);
	assert_int_equal(samplers(), 0);
	starts = stats().starts;
	for (unsigned i = 0; i < 20; i++) {
		begin(&a);
		begin(&b);
		canp_mon_session_end(&a, 0, NULL);
		assert_true(stats().running);
		canp_mon_session_end(&b, 0, NULL);
		if (i % 2)
			wait_stopped();
	}
	wait_stopped();
	for (unsigned i = 0; i < 1000 && samplers(); i++)
		sleep_ms(1);
	assert_int_equal(samplers(), 0);
	assert_true(stats().starts - starts >= 10 && stats().starts - starts <= 20);
	/* Lingering, it outlives a gap between two sessions. */
	canp_mon_opts_init(&o);
	o.linger_ms = 200;
	assert_int_equal(canp_monitor_config(&o), 0);
	starts = stats().starts;
	begin(&a);
	canp_mon_session_end(&a, 0, NULL);
	begin(&a);
	canp_mon_session_end(&a, 0, NULL);
	assert_true(stats().running);
	assert_int_equal(stats().starts, starts + 1);
	wait_stopped();
}

static void G08_sessions_allocate_nothing(void **state)
{
	struct canp_mon_session keep, s;
	struct canp_mon_delta d;
	struct mallinfo2 before, after;

	(void)state;
	config(60000, 60000);
	begin(&keep);
	before = mallinfo2();
	for (unsigned i = 0; i < 10000; i++) {
		begin(&s);
		canp_mon_session_end(&s, 0, &d);
	}
	after = mallinfo2();
	assert_int_equal(after.uordblks, before.uordblks);
	assert_int_equal(after.arena, before.arena);
	assert_int_equal(after.hblkhd, before.hblkhd);
	canp_mon_session_end(&keep, 0, NULL);
	wait_stopped();
}

/* The worker reports through its exit status what its own session saw. */
static int worker(int go, int done)
{
	struct canp_mon_session s;
	struct canp_mon_delta d;
	char c;

	if (canp_mon_session_begin(&s, CANP_MON_SELF, 0, 0) != -ENOENT)
		return 1;
	if (read(go, &c, 1) != 1 || canp_mon_session_begin(&s, CANP_MON_SELF, 0, 0))
		return 2;
	burn_ms(100);
	if (write(done, "x", 1) != 1 || read(go, &c, 1) != 1)
		return 3;
	canp_mon_session_end(&s, 0, &d);
	if (d.cpu_ns < 50000000)
		return 4;
	if (write(done, "x", 1) != 1)
		return 5;
	for (;;)
		pause();
}

static void G20_sums_of_the_tree_survive_a_killed_worker(void **state)
{
	int go[2], done[2], status;
	struct canp_mon_proc with, without, self;
	struct canp_mon_session s;
	char c;
	pid_t pid;

	(void)state;
	config(60000, 60000);
	begin(&s);
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(done), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(worker(go[0], done[1]));
	sleep_ms(200); /* its first session finds nobody */
	assert_int_equal(canp_monitor_watch(pid), 0);
	assert_int_equal(canp_monitor_watch(pid), -EEXIST);
	assert_int_equal(stats().fds, 6);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(read(done[0], &c, 1), 1);
	assert_int_equal(canp_monitor_refresh(), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(read(done[0], &c, 1), 1);
	canp_monitor_proc(CANP_MON_TREE, &with);
	canp_monitor_proc(CANP_MON_SELF, &self);
	assert_true(with.cpu_ns >= self.cpu_ns + 80000000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(canp_monitor_refresh(), 0);
	canp_monitor_proc(CANP_MON_TREE, &without);
	assert_true(without.cpu_ns >= with.cpu_ns);
	assert_true(without.rchar_bytes >= with.rchar_bytes);
	assert_int_equal(stats().fds, 4);
	assert_int_equal(stats().users, 1);
	assert_int_equal(canp_monitor_unwatch(pid), -ENOENT);
	assert_int_equal(canp_monitor_watch(pid), -ESRCH);
	canp_mon_session_end(&s, 0, NULL);
	wait_stopped();
	close(go[0]);
	close(go[1]);
	close(done[0]);
	close(done[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G01_all_sessions_share_one_sampler_and_its_descriptors),
		cmocka_unit_test(G02_sixteen_sessions_read_proc_as_often_as_one),
		cmocka_unit_test(G03_the_period_follows_the_load_within_its_bounds),
		cmocka_unit_test(G04_a_stalled_sampler_delays_nobody),
		cmocka_unit_test(G05_system_figures_are_read_once_a_period),
		cmocka_unit_test(G06_a_session_gives_cpu_wall_rss_and_io),
		cmocka_unit_test(G07_the_sampler_starts_with_the_first_and_ends_with_the_last),
		cmocka_unit_test(G08_sessions_allocate_nothing),
		cmocka_unit_test(G20_sums_of_the_tree_survive_a_killed_worker),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
