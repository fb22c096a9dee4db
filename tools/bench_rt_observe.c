/*
 * bench_rt_observe.c - what observing costs who is observed: events, trace points, histograms,
 * sessions, and one sampler for all beside one for each. CPU time of one thread.
 *
 * Events are emitted in sweeps that fit the ring; taking them out between the sweeps is not on the
 * clock, for it is the dispatcher's time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/hist.h"
#include "core/base/units.h"
#include "core/observe/event.h"
#include "core/observe/monitor.h"
#include "core/observe/trace.h"
#include "tools/bench_rt.h"

#define RING  4096u
#define SWEEP (RING / 2)
#define USERS 16u

static struct canp_ev slots[RING], drained[RING];

static double cpu_ns(void)
{
	return 1e9 * canp_bench_cpu_s();
}

/* ---- events ---------------------------------------------------------------------------------- */

static int take(void *arg, const struct canp_ev *e, uint32_t nr)
{
	(void)e;
	*(uint64_t *)arg += nr;
	return 0;
}

struct emitting {
	struct canp_events *ev;
	struct canp_emitter *e;
	struct canp_listener *l;
	uint64_t taken;
};

static int emitting_open(struct emitting *em)
{
	struct canp_listener_opts lo = {.fn = take, .arg = &em->taken};
	struct canp_event_opts o;
	int rc;

	*em = (struct emitting){0};
	canp_event_opts_init(&o);
	canp_event_mask_all(&lo.types);
	o.workers = 0;
	o.ring_events = o.queue_events = RING;
	rc = canp_events_create(&o, &em->ev);
	rc = rc ? rc : canp_listener_add(em->ev, &lo, &em->l);
	return rc ? rc : canp_emitter_get(em->ev, CANP_EVENT_DROP_NEWEST, &em->e);
}

static void drain(struct emitting *em)
{
	while (canp_events_poll(em->ev))
		;
}

/* *value: ns an event. */
static int event_emit(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct emitting em;
	double sum = 0;
	uint64_t done;
	int rc = emitting_open(&em);

	(void)rt;
	(void)arg;
	for (done = 0; done < n && !rc; done += SWEEP) {
		double start = cpu_ns();

		for (unsigned i = 0; i < SWEEP; i++)
			canp_event_emit(em.e, done, CANP_EVENT_USER, i, done, i);
		sum += cpu_ns() - start;
		drain(&em);
	}
	if (!rc && em.taken != done)
		rc = -EPROTO;
	*value = sum / (double)(done ? done : 1);
	canp_events_destroy(em.ev);
	return rc;
}

/* The same listener as synchronous systems call it: a line of text to a descriptor. */
static int event_sync(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), rc = 0;
	uint64_t nr = n / 64 + 1;
	double start = cpu_ns();
	char line[96];

	(void)rt;
	(void)arg;
	for (uint64_t i = 0; i < nr && !rc; i++) {
		int len = snprintf(line, sizeof(line), "event %u id %u a %llu\n", CANP_EVENT_USER,
				   (unsigned)i, (unsigned long long)i);

		rc = write(null, line, (size_t)len) == len ? 0 : -EIO;
	}
	*value = (cpu_ns() - start) / (double)nr;
	close(null);
	return rc;
}

/* Far more than fits is emitted: *value is what nobody can account for. */
static int event_unaccounted(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_event_stats st = {0};
	struct canp_listener_stats ls = {0};
	struct emitting em;
	uint64_t emitted = 0;
	int rc = emitting_open(&em);

	(void)rt;
	(void)arg;
	while (!rc && emitted < n) {
		for (unsigned i = 0; i < 3 * RING; i++, emitted++)
			canp_event_emit(em.e, emitted, CANP_EVENT_USER, i, emitted, i);
		drain(&em);
	}
	if (!rc) {
		canp_events_stats(em.ev, &st);
		canp_listener_stats(em.l, &ls);
	}
	*value = (double)emitted - (double)(em.taken + ls.lost + st.lost);
	if (*value < 0)
		*value = -*value;
	canp_events_destroy(em.ev);
	return rc;
}

static int nap(void *arg, const struct canp_ev *e, uint32_t nr)
{
	struct timespec ts = {.tv_nsec = 20 * CANP_NS_PER_MS};

	(void)arg;
	(void)e;
	(void)nr;
	nanosleep(&ts, NULL);
	return 0;
}

static int by_value(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return (a > b) - (a < b);
}

/* *value: the 99th percentile of single emits, less what reading the clock takes, while the
 * listener sleeps 20 ms at each call. */
static int event_asleep(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_listener_opts lo = {.fn = nap};
	uint64_t *took = calloc(2 * n, sizeof(*took)), *clock = took ? took + n : NULL;
	struct canp_events *ev = NULL;
	struct canp_event_opts o;
	struct canp_listener *l;
	struct canp_emitter *e;
	int rc = took ? 0 : -ENOMEM;

	(void)rt;
	(void)arg;
	canp_event_opts_init(&o);
	canp_event_mask_all(&lo.types);
	rc = rc ? rc : canp_events_create(&o, &ev);
	rc = rc ? rc : canp_listener_add(ev, &lo, &l);
	rc = rc ? rc : canp_emitter_get(ev, CANP_EVENT_DROP_NEWEST, &e);
	rc = rc ? rc : canp_events_start(ev);
	for (uint64_t i = 0; i < n && !rc; i++) {
		uint64_t a = canp_clock_ns(), b = canp_clock_ns();

		canp_event_emit(e, a, CANP_EVENT_USER, (uint32_t)i, i, 0);
		took[i] = canp_clock_ns() - b;
		clock[i] = b - a;
	}
	if (!rc) {
		qsort(took, n, sizeof(*took), by_value);
		qsort(clock, n, sizeof(*clock), by_value);
		*value = (double)took[n * 99 / 100] - (double)clock[n / 2];
	}
	canp_events_destroy(ev);
	free(took);
	return rc;
}

/* ---- trace points and histograms ------------------------------------------------------------- */

static const bool trace_on = true, trace_off;

/* *value: ns a trace point, less the empty loop. */
static int trace_point(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	static struct canp_tracer tracer;
	double sum = 0, empty = 0;
	uint64_t done;

	(void)rt;
	canp_tracer_init(&tracer, slots, RING, CANP_EVRING_DROP_NEWEST, "bench", 0);
	canp_trace_set(*(const bool *)arg);
	for (done = 0; done < n; done += SWEEP) {
		double start = cpu_ns(), mid;

		for (unsigned i = 0; i < SWEEP; i++) {
			canp_trace_counter(&tracer, done, 5, i);
			__asm__ volatile("" ::: "memory"); /* a loop that does something else */
		}
		mid = cpu_ns();
		for (unsigned i = 0; i < SWEEP; i++)
			__asm__ volatile("" ::: "memory");
		sum += mid - start;
		empty += cpu_ns() - mid;
		canp_evring_read(&tracer.ring, drained, RING);
	}
	canp_trace_set(false);
	*value = (sum - empty) / (double)done;
	return 0;
}

static int hist_record(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	static struct canp_hist hist;
	uint64_t seed = 1;
	double start;

	(void)rt;
	(void)arg;
	canp_hist_init(&hist);
	start = cpu_ns();
	for (uint64_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		canp_hist_add(&hist, 200 + (seed >> 50));
		__asm__ volatile("" ::: "memory"); /* each one reaches memory */
	}
	*value = (cpu_ns() - start) / (double)n;
	return hist.count == n ? 0 : -EPROTO;
}

/* ---- the monitor ----------------------------------------------------------------------------- */

static struct canp_mon_session keep; /* holds the sampler alive between runs */
static bool kept;

/* A sampler that never wakes by itself here. */
static int monitor_ready(void)
{
	struct canp_mon_opts mo;
	int rc;

	if (kept)
		return 0;
	canp_mon_opts_init(&mo);
	mo.period_min_ms = mo.period_max_ms = 60000;
	/* The sampler of a pipeline measured before lingers for a second. */
	for (unsigned i = 0; (rc = canp_monitor_config(&mo)) == -EBUSY && i < 60; i++) {
		struct timespec ts = {.tv_nsec = 50 * CANP_NS_PER_MS};

		nanosleep(&ts, NULL);
	}
	rc = rc ? rc : canp_mon_session_begin(&keep, CANP_MON_SELF, 0, 0);
	kept = !rc;
	return rc;
}

/* *value: ns a session, begin and end, with the turn's time. */
static int session_pair(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	uint64_t now = canp_clock_ns();
	struct canp_mon_session s;
	struct canp_mon_delta d;
	int rc = monitor_ready();
	double start = cpu_ns();

	(void)rt;
	(void)arg;
	for (uint64_t i = 0; i < n && !rc; i++) {
		rc = canp_mon_session_begin(&s, CANP_MON_SELF, 0, now);
		if (!rc)
			canp_mon_session_end(&s, now, &d);
	}
	*value = (cpu_ns() - start) / (double)n;
	return rc;
}

static const char *const proc_files[] = {"/proc/self/stat", "/proc/self/io", "/proc/stat",
					 "/proc/meminfo"};
#define PROC_FILES CANP_ARRAY_SIZE(proc_files)

/* What a monitor of one operator does each period when it is on its own: it reads what the shared
 * one reads. *value: us a period of 16 of them, which open the files (arg NULL) or keep them. */
static int samplers(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	int fd[PROC_FILES], rc = 0;
	char text[8192];
	double start;

	(void)rt;
	for (unsigned f = 0; f < PROC_FILES; f++)
		fd[f] = open(proc_files[f], O_RDONLY | O_CLOEXEC);
	start = cpu_ns();
	for (uint64_t i = 0; i < n * USERS; i++) {
		for (unsigned f = 0; f < PROC_FILES; f++) {
			int at = arg ? fd[f] : open(proc_files[f], O_RDONLY | O_CLOEXEC);

			rc = at < 0 || pread(at, text, sizeof(text), 0) <= 0 ? -EIO : rc;
			if (!arg)
				close(at);
		}
	}
	*value = (cpu_ns() - start) / (1000. * (double)n);
	for (unsigned f = 0; f < PROC_FILES; f++)
		close(fd[f]);
	return rc;
}

/* One sample for all, and 16 sessions that begin and end in the period. */
static int shared_sampler(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_mon_session s[USERS];
	struct canp_mon_delta d;
	int rc = monitor_ready();
	double start = cpu_ns();

	(void)rt;
	(void)arg;
	for (uint64_t i = 0; i < n && !rc; i++) {
		unsigned k = 0;

		while (k < USERS && !rc) {
			rc = canp_mon_session_begin(&s[k], CANP_MON_SELF, 0, 0);
			k += !rc;
		}
		rc = rc ? rc : canp_monitor_refresh();
		while (k)
			canp_mon_session_end(&s[--k], 0, &d);
	}
	*value = (cpu_ns() - start) / (1000. * (double)n);
	return rc;
}

/* Reads of /proc a period of 16 sessions. */
static int shared_reads(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_mon_stats before, after;
	int rc = monitor_ready();

	canp_monitor_stats(&before);
	n = canp_min(n, (uint64_t)64);
	rc = rc ? rc : shared_sampler(rt, arg, n, value);
	canp_monitor_stats(&after);
	*value = (double)(after.preads - before.preads) / (double)n;
	return rc;
}

static int own_reads(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	(void)rt;
	(void)arg;
	(void)n;
	*value = USERS * PROC_FILES; /* with descriptors that are kept */
	return 0;
}

const struct canp_bench_rt_figure canp_bench_rt_event[] = {
	{
		.name = "emit",
		.text = "emitting an event that is delivered",
		.unit = "ns",
		.est_ns = 6,
		.pinned = true,
		.floor = 10,
		.aim = 5,
		.forms = {{"emitter", event_emit, NULL}},
	},
	{
		.name = "sync",
		.text = "emitting beside calling a listener that writes a line at once",
		.unit = "ns",
		.est_ns = 10,
		.pinned = true,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = .1,
		.aim = .05,
		.forms = {{"emitter", event_emit, NULL}, {"called at once", event_sync, NULL}},
	},
	{
		.name = "unaccounted",
		.text = "emitted less delivered and lost, three times more than fits",
		.unit = "events",
		.est_ns = 20,
		.pinned = true,
		.runs_max = 3,
		.floor = 0.5,
		.aim = 0,
		.forms = {{"emitter", event_unaccounted, NULL}},
	},
	{
		.name = "asleep_p99",
		.text = "99th percentile of an emit while the listener sleeps",
		.unit = "ns",
		.est_ns = 100,
		.floor = 1000,
		.aim = 100,
		.forms = {{"emitter", event_asleep, NULL}},
	},
	{
		.name = "trace_off",
		.text = "a trace point that is switched off",
		.unit = "ns",
		.est_ns = 2,
		.pinned = true,
		.floor = 1,
		.aim = .5,
		.forms = {{"off", trace_point, &trace_off}},
	},
	{
		.name = "trace_on",
		.text = "a trace point that is switched on",
		.unit = "ns",
		.est_ns = 6,
		.pinned = true,
		.floor = 10,
		.aim = 5,
		.forms = {{"on", trace_point, &trace_on}},
	},
	{
		.name = "hist",
		.text = "recording a value in a histogram",
		.unit = "ns",
		.est_ns = 4,
		.pinned = true,
		.floor = 5,
		.aim = 3.6,
		.forms = {{"histogram", hist_record, NULL}},
	},
	{0},
};

static const bool keeps = true;

const struct canp_bench_rt_figure canp_bench_rt_monitor[] = {
	{
		.name = "session",
		.text = "begin and end of a session",
		.unit = "ns",
		.est_ns = 200,
		.pinned = true,
		.floor = 200,
		.aim = 100,
		.forms = {{"session", session_pair, NULL}},
	},
	{
		.name = "shared",
		.text = "a period of 1 sampler and 16 sessions beside 16 samplers",
		.unit = "us",
		.est_ns = 400e3,
		.pinned = true,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = .2,
		.aim = .06,
		.forms = {{"1 sampler, 16 sessions", shared_sampler, NULL},
			  {"16 that keep descriptors", samplers, &keeps}},
	},
	{
		.name = "shared_open",
		.text = "the same beside 16 samplers that open the files",
		.unit = "us",
		.est_ns = 400e3,
		.pinned = true,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = .2,
		.aim = .03,
		.forms = {{"1 sampler, 16 sessions", shared_sampler, NULL},
			  {"16 that open", samplers, NULL}},
	},
	{
		.name = "reads",
		.text = "system calls of a period",
		.unit = "calls",
		.est_ns = 400e3,
		.pinned = true,
		.runs_max = 1,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = .2,
		.aim = .0625,
		.forms = {{"1 sampler, 16 sessions", shared_reads, NULL},
			  {"16 that keep descriptors", own_reads, NULL}},
	},
	{0},
};
