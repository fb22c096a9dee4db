/*
 * dev_bench_event.c - what observing costs who is observed: emitting an event, a trace point off
 * and on, a histogram record, a session, and the sampler against one for each session. CPU time of
 * the thread, medians of 15 rounds. Not built by default:
 *
 *   make .../tests/dev_bench_event && taskset -c 0 dev_bench_event
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hist.h"
#include "core/observe/event.h"
#include "core/observe/monitor.h"
#include "core/observe/monitor_priv.h"
#include "core/observe/trace.h"

#define ROUNDS 15u
#define RING   4096u
#define SWEEPS 200u /* of half a ring each */

static struct canp_ev slots[RING], drained[RING];

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static int compare_double(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

static double median(double *v, unsigned nr)
{
	qsort(v, nr, sizeof(*v), compare_double);
	return v[nr / 2];
}

/* ns per call of fn(arg, nr), which returns the CPU time of nr of them. */
static double per_call(uint64_t (*fn)(void *arg, unsigned nr), void *arg, unsigned nr)
{
	double v[ROUNDS];

	fn(arg, nr); /* touches what it needs */
	for (unsigned i = 0; i < ROUNDS; i++)
		v[i] = (double)fn(arg, nr) / nr;
	return median(v, ROUNDS);
}

static uint64_t run_ring(void *arg, unsigned nr)
{
	struct canp_evring *r = arg;
	uint64_t sum = 0;

	for (unsigned done = 0; done < nr; done += RING / 2) {
		uint64_t start = cpu_ns();

		for (unsigned i = 0; i < RING / 2; i++)
			canp_evring_emit(r, done, 300, 0, i, done, i);
		sum += cpu_ns() - start;
		canp_evring_read(r, drained, RING);
	}
	return sum;
}

static uint64_t run_ring_full(void *arg, unsigned nr)
{
	uint64_t start = cpu_ns();

	for (unsigned i = 0; i < nr; i++)
		canp_evring_emit(arg, 0, 300, 0, i, 0, i);
	return cpu_ns() - start;
}

struct emitting {
	struct canp_events *ev;
	struct canp_emitter *e;
};

static uint64_t run_emit(void *arg, unsigned nr)
{
	struct emitting *em = arg;
	uint64_t sum = 0;

	for (unsigned done = 0; done < nr; done += RING / 2) {
		uint64_t start = cpu_ns();

		for (unsigned i = 0; i < RING / 2; i++)
			canp_event_emit(em->e, done, 300, i, done, i);
		sum += cpu_ns() - start;
		while (canp_events_poll(em->ev))
			;
	}
	return sum;
}

static uint64_t run_trace(void *arg, unsigned nr)
{
	struct canp_tracer *t = arg;
	uint64_t sum = 0;

	for (unsigned done = 0; done < nr; done += RING / 2) {
		uint64_t start = cpu_ns();

		for (unsigned i = 0; i < RING / 2; i++) {
			canp_trace_counter(t, done, 5, i);
			__asm__ volatile("" ::: "memory"); /* a loop that does something else */
		}
		sum += cpu_ns() - start;
		canp_evring_read(&t->ring, drained, RING);
	}
	return sum;
}

static uint64_t run_empty(void *arg, unsigned nr)
{
	uint64_t start = cpu_ns();

	(void)arg;
	for (unsigned i = 0; i < nr; i++)
		__asm__ volatile("" ::: "memory");
	return cpu_ns() - start;
}

static uint64_t run_hist(void *arg, unsigned nr)
{
	uint64_t seed = 1, start = cpu_ns();

	for (unsigned i = 0; i < nr; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		canp_hist_add(arg, 200 + (seed >> 50));
	}
	return cpu_ns() - start;
}

static uint64_t run_session(void *arg, unsigned nr)
{
	struct canp_mon_session s;
	struct canp_mon_delta d;
	uint64_t start = cpu_ns();

	for (unsigned i = 0; i < nr; i++) {
		if (canp_mon_session_begin(&s, CANP_MON_SELF, 0, *(uint64_t *)arg))
			exit(1);
		canp_mon_session_end(&s, *(uint64_t *)arg, &d);
	}
	return cpu_ns() - start;
}

/* A listener as synchronous systems call it: a line of text to a descriptor. */
static int write_line(void *arg, const struct canp_ev *e, uint32_t nr)
{
	char line[96];

	for (uint32_t i = 0; i < nr; i++) {
		int n = snprintf(line, sizeof(line), "event %u id %u a %llu\n", e[i].type, e[i].id,
				 (unsigned long long)e[i].a);

		if (write(*(int *)arg, line, (size_t)n) != n)
			return -1;
	}
	return 0;
}

static uint64_t run_sync(void *arg, unsigned nr)
{
	uint64_t start = cpu_ns();

	for (unsigned i = 0; i < nr; i++)
		write_line(arg, &(struct canp_ev){.type = 300, .id = i, .a = i}, 1);
	return cpu_ns() - start;
}

static int compare_u64(const void *pa, const void *pb)
{
	uint64_t x = *(const uint64_t *)pa, y = *(const uint64_t *)pb;

	return (x > y) - (x < y);
}

static int sleeping_fn(void *arg, const struct canp_ev *e, uint32_t nr)
{
	struct timespec ts = {.tv_sec = 1};

	(void)arg, (void)e, (void)nr;
	nanosleep(&ts, NULL);
	return 0;
}

/* Single emits against a listener that sleeps a second, dispatcher and workers running. */
static void bench_sleeping_listener(void)
{
	static uint64_t took[200000], empty[200000];
	struct canp_listener_opts lo = {.fn = sleeping_fn};
	struct canp_event_opts o;
	struct canp_listener *l;
	struct canp_events *ev;
	struct canp_emitter *e;
	unsigned nr = CANP_ARRAY_SIZE(took);

	canp_event_opts_init(&o);
	canp_event_mask_all(&lo.types);
	if (canp_events_create(&o, &ev) || canp_listener_add(ev, &lo, &l) ||
	    canp_emitter_get(ev, CANP_EVENT_DROP_NEWEST, &e) || canp_events_start(ev))
		exit(1);
	for (unsigned i = 0; i < nr; i++) {
		uint64_t a = canp_clock_ns(), b;

		b = canp_clock_ns();
		canp_event_emit(e, a, 300, i, i, 0);
		took[i] = canp_clock_ns() - b;
		empty[i] = b - a;
	}
	qsort(took, nr, sizeof(took[0]), compare_u64);
	qsort(empty, nr, sizeof(empty[0]), compare_u64);
	printf("emit while the listener sleeps 1 s: p50 %llu p99 %llu p99.9 %llu ns "
	       "(two clock reads: %llu %llu %llu)\n",
	       (unsigned long long)took[nr / 2], (unsigned long long)took[nr / 100 * 99],
	       (unsigned long long)took[nr / 1000 * 999], (unsigned long long)empty[nr / 2],
	       (unsigned long long)empty[nr / 100 * 99],
	       (unsigned long long)empty[nr / 1000 * 999]);
	canp_events_destroy(ev);
}

static void read_once(const char *path)
{
	char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text)) < 0)
		exit(1);
	close(fd);
}

/* What a monitor of one operator does each period when it is on its own. */
static uint64_t independent_open(void)
{
	uint64_t start = cpu_ns();

	for (unsigned i = 0; i < 16; i++) {
		read_once("/proc/self/stat");
		read_once("/proc/self/io");
		read_once("/proc/stat");
		read_once("/proc/meminfo");
	}
	return cpu_ns() - start;
}

static uint64_t independent_kept(struct canp_mon_fds *f, struct canp_mon_sysfds *sf)
{
	uint64_t start = cpu_ns(), preads = 0;
	struct canp_mon_system sys;
	struct canp_mon_proc p;

	for (unsigned i = 0; i < 16; i++) {
		canp_mon_read_proc(f, true, &p, &preads);
		canp_mon_read_system(sf, &sys, &preads);
	}
	return cpu_ns() - start;
}

/* One sample for all, and 16 sessions that begin and end in the period. */
static uint64_t shared(void)
{
	uint64_t start = cpu_ns();
	struct canp_mon_session s[16];
	struct canp_mon_delta d;

	for (unsigned i = 0; i < 16; i++)
		if (canp_mon_session_begin(&s[i], CANP_MON_SELF, 0, 0))
			exit(1);
	if (canp_monitor_refresh())
		exit(1);
	for (unsigned i = 0; i < 16; i++)
		canp_mon_session_end(&s[i], 0, &d);
	return cpu_ns() - start;
}

static void bench_monitor(void)
{
	double open_us[101], kept_us[101], shared_us[101], a, b, c;
	struct canp_mon_sysfds sf;
	struct canp_mon_fds f;

	if (canp_mon_fds_open(&f, 0) || canp_mon_sys_open(&sf))
		exit(1);
	for (unsigned i = 0; i < 101; i++) {
		open_us[i] = (double)independent_open() / 1000;
		kept_us[i] = (double)independent_kept(&f, &sf) / 1000;
		shared_us[i] = (double)shared() / 1000;
	}
	a = median(open_us, 101);
	b = median(kept_us, 101);
	c = median(shared_us, 101);
	printf("a period, 16 samplers that open: %.1f us, that keep descriptors: %.1f us; "
	       "1 sampler and 16 sessions: %.1f us (%.1f %%, %.1f %%)\n",
	       a, b, c, 100 * (c / a - 1), 100 * (c / b - 1));
	printf("system calls of it: %u, %u and %u\n", 16 * 4 * 3, 16 * 4, 4);
	canp_mon_fds_close(&f);
	canp_mon_sys_close(&sf);
}

static void bench_events(void)
{
	struct canp_event_opts o;
	struct emitting em;
	struct canp_evring ring;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	double async, sync;

	canp_evring_init(&ring, slots, RING, CANP_EVRING_DROP_NEWEST);
	printf("ring emit, drop newest: %.2f ns\n", per_call(run_ring, &ring, SWEEPS * RING / 2));
	canp_evring_init(&ring, slots, RING, CANP_EVRING_OVERWRITE_OLDEST);
	printf("ring emit, overwrite oldest: %.2f ns\n",
	       per_call(run_ring, &ring, SWEEPS * RING / 2));
	canp_evring_init(&ring, slots, RING, CANP_EVRING_DROP_NEWEST);
	printf("ring emit, full: %.2f ns\n", per_call(run_ring_full, &ring, 1000000));
	canp_event_opts_init(&o);
	o.workers = 0;
	if (canp_events_create(&o, &em.ev) ||
	    canp_emitter_get(em.ev, CANP_EVENT_DROP_NEWEST, &em.e))
		exit(1);
	async = per_call(run_emit, &em, SWEEPS * RING / 2);
	sync = per_call(run_sync, &null, 100000);
	printf("event emit: %.2f ns; the same listener called at once: %.0f ns (%.0fx)\n", async,
	       sync, sync / async);
	canp_events_destroy(em.ev);
	close(null);
}

int main(void)
{
	static struct canp_hist hist;
	static struct canp_tracer tracer;
	struct canp_mon_session keep;
	struct canp_mon_opts mo;
	uint64_t none = 0, now = canp_clock_ns();
	double empty, off;

	bench_events();
	empty = per_call(run_empty, NULL, 1000000);
	canp_tracer_init(&tracer, slots, RING, CANP_EVRING_DROP_NEWEST, "bench", 0);
	off = per_call(run_trace, &tracer, SWEEPS * RING / 2);
	canp_trace_set(true);
	printf("trace point off: %.2f ns over an empty loop, on: %.2f ns\n", off - empty,
	       per_call(run_trace, &tracer, SWEEPS * RING / 2));
	canp_hist_init(&hist);
	printf("histogram record: %.2f ns\n", per_call(run_hist, &hist, 1000000));
	canp_mon_opts_init(&mo);
	mo.period_min_ms = mo.period_max_ms = 60000;
	if (canp_monitor_config(&mo) || canp_mon_session_begin(&keep, CANP_MON_SELF, 0, 0))
		return 1;
	printf("session begin + end: %.0f ns reading the clock, %.0f ns with the turn's time\n",
	       per_call(run_session, &none, 100000), per_call(run_session, &now, 100000));
	bench_monitor();
	canp_mon_session_end(&keep, 0, NULL);
	bench_sleeping_listener();
	return 0;
}
