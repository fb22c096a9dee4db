/*
 * events.c - events from one emitter to two listeners through a buffered notifier. Ten events make
 * one flush (BufferedEventNotifier of the source document), what is left goes when the time is up.
 * One listener takes everything, the other only the type it asked for and always fails; neither the
 * emitter nor the first listener notices.
 *
 * Build: cc events.c $(pkg-config --cflags --libs canp)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <canp.h>

#define BUFFER  10u
#define FLUSHES 5u
#define LEFT    3u

/* Types of a program begin at CANP_EVENT_USER. */
enum { MEASURED = CANP_EVENT_USER, OVERHEATED };

struct seen {
	uint64_t events, calls, sum;
};

static int take_all(void *arg, const struct canp_ev *events, uint32_t nr)
{
	struct seen *s = arg;

	for (uint32_t i = 0; i < nr; i++)
		s->sum += events[i].a;
	s->calls++;
	__atomic_add_fetch(&s->events, nr, __ATOMIC_RELEASE);
	return 0;
}

static int take_alarms(void *arg, const struct canp_ev *events, uint32_t nr)
{
	struct seen *s = arg;

	(void)events;
	s->calls++;
	__atomic_add_fetch(&s->events, nr, __ATOMIC_RELEASE);
	return -EIO; /* counted, and muted after failures_max of them in a row */
}

static void wait_for(const uint64_t *have, uint64_t want)
{
	struct timespec nap = {0, 1000 * 1000};

	while (__atomic_load_n(have, __ATOMIC_ACQUIRE) < want)
		nanosleep(&nap, NULL);
}

static int listen_to(struct canp_events *ev, const char *name, int type,
		     int (*fn)(void *arg, const struct canp_ev *events, uint32_t nr),
		     struct seen *seen, struct canp_listener **out)
{
	struct canp_listener_opts o;

	memset(&o, 0, sizeof(o));
	o.name = name;
	if (type < 0)
		canp_event_mask_all(&o.types);
	else
		canp_event_mask_add(&o.types, (unsigned)type);
	o.policy = CANP_EVENT_BLOCK; /* must see everything */
	o.fn = fn;
	o.arg = seen;
	return canp_listener_add(ev, &o, out);
}

/* FLUSHES times as many events as the buffer holds, and a few more. Returns the sum of what was
 * measured. */
static uint64_t emit_all(struct canp_emitter *e, const struct seen *all)
{
	uint64_t n = 0, sum = 0;

	for (unsigned f = 0; f <= FLUSHES; f++) {
		for (unsigned i = 0; i < (f < FLUSHES ? BUFFER : LEFT); i++, n++) {
			/* An operator has the time of its turn; no clock is read per event. */
			canp_event_emit(e, canp_clock_ns(), n % 7 ? MEASURED : OVERHEATED,
					(uint32_t)n, 20 + n, 0);
			sum += 20 + n;
		}
		wait_for(&all->events, n); /* the buffer is full, or flush_ms are over */
	}
	return sum;
}

int main(void)
{
	struct canp_listener *l_all, *l_alarms;
	struct seen all = {0, 0, 0}, alarms = {0, 0, 0};
	struct canp_listener_stats ls;
	struct canp_event_opts opts;
	struct canp_event_stats st;
	struct canp_emitter *e;
	struct canp_events *ev;
	uint64_t sum = 0, total = FLUSHES * BUFFER + LEFT;
	int rc;

	canp_event_opts_init(&opts);
	opts.flush_count = BUFFER;
	opts.flush_ms = 200;
	rc = canp_events_create(&opts, &ev);
	if (rc) {
		fprintf(stderr, "events: %s\n", canp_strerror(rc));
		return 1;
	}
	rc = listen_to(ev, "all", -1, take_all, &all, &l_all);
	if (!rc)
		rc = listen_to(ev, "alarms", OVERHEATED, take_alarms, &alarms, &l_alarms);
	if (!rc)
		rc = canp_emitter_get(ev, CANP_EVENT_DROP_NEWEST, &e);
	if (!rc)
		rc = canp_events_start(ev);
	if (!rc) {
		sum = emit_all(e, &all);
		canp_events_stop(ev); /* everything emitted has been handed out after this */
		canp_listener_stats(l_alarms, &ls);
		canp_events_stats(ev, &st);
		printf("%" PRIu64 " events in %" PRIu64 " flushes of up to %u\n", st.dispatched,
		       st.flushes, BUFFER);
		printf("all: %" PRIu64 " events, sum %" PRIu64 "\n", all.events, all.sum);
		printf("alarms: %" PRIu64 " events, %" PRIu64 " calls failed, %" PRIu64
		       " of other types\n",
		       alarms.events, ls.failures, ls.filtered);
	}
	if (rc || st.emitted != total || st.dispatched != total || st.lost != 0 ||
	    st.flushes < FLUSHES + 1 || all.events != total || all.sum != sum ||
	    ls.filtered != total - (total + 6) / 7 || ls.failures != ls.calls ||
	    alarms.events + ls.muted != (total + 6) / 7) {
		fprintf(stderr, "events: wrong result: %s\n", canp_strerror(rc));
		rc = 1;
	}
	canp_events_destroy(ev);
	return rc ? 1 : 0;
}
