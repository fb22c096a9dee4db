/*
 * observe_trace.c - from the shards' trace rings to a file. The control thread empties the rings
 * at every tick into arrays that grow up to a bound; what does not fit there or found its ring full
 * is counted, and the file says how much it was.
 */
#include "io/observe_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "io/ingest_priv.h"

#define TRACE_KEEP_MAX (1u << 20) /* records of one track: 32 MiB */
#define TRACE_STEP     4096u
#define TRACE_OWN      4096u /* ring of the control thread */

struct trace_track {
	struct canp_tracer *tracer; /* NULL: its shard has not started yet */
	struct canp_ev *ev;
	uint32_t nr, cap;
	uint64_t dropped; /* no room here */
};

struct canp_observe_trace {
	int fd;
	enum canp_observe_trace_format format;
	struct canp_trace_ctx ctx;
	struct canp_tracer own; /* the control thread's */
	struct canp_ev *own_ring;
	uint64_t created_ns, booted_ns, stopped_ns;
	struct sigaction old;
	unsigned nr; /* tracks: the control thread's, then one for each shard */
	struct trace_track track[];
};

static void trace_on_signal(int sig)
{
	(void)sig;
	__atomic_fetch_xor(&canp_trace_state, 1u, __ATOMIC_RELAXED);
}

/* The job's own context: a span of whatever started us, or a trace of its own. */
static void trace_context(struct canp_trace_ctx *ctx, char id[40])
{
	static const char hex[] = "0123456789abcdef";
	const char *text = getenv("TRACEPARENT");
	struct canp_trace_ctx parent;

	if (text && canp_traceparent_parse(text, &parent) == 0)
		*ctx = parent;
	else
		canp_trace_ctx_new(NULL, ctx);
	memset(id, 0, 40);
	for (unsigned i = 0; i < sizeof(ctx->trace_id); i++) {
		id[2 * i] = hex[ctx->trace_id[i] >> 4];
		id[2 * i + 1] = hex[ctx->trace_id[i] & 15];
	}
}

static enum canp_observe_trace_format trace_format(const struct canp_observe_opts *o)
{
	const char *dot = strrchr(o->trace, '.');

	if (o->trace_format != CANP_OBSERVE_TRACE_AUTO)
		return o->trace_format;
	return dot && (!strcmp(dot, ".jsonl") || !strcmp(dot, ".otlp")) ? CANP_OBSERVE_TRACE_OTLP
									: CANP_OBSERVE_TRACE_CHROME;
}

static void trace_start(struct canp_observe_trace *t, bool paused)
{
	struct sigaction sa = {.sa_handler = trace_on_signal, .sa_flags = SA_RESTART};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR2, &sa, &t->old);
	canp_tracer_init(&t->own, t->own_ring, TRACE_OWN, CANP_EVRING_DROP_NEWEST, "control", 0);
	t->track[0].tracer = &t->own;
	t->created_ns = canp_clock_ns();
	canp_trace_set(!paused);
}

int canp_observe_trace_create(const struct canp_observe_opts *opts, struct canp_job *job,
			      char id[40], struct canp_strbuf *err, struct canp_observe_trace **out)
{
	struct canp_observe_trace *t;
	struct canp_trace_ctx ctx;
	unsigned nr = job->cores + 1;

	*out = NULL;
	trace_context(&ctx, id);
	if (!opts->trace || !*opts->trace)
		return 0;
	t = calloc(1, sizeof(*t) + nr * sizeof(t->track[0]));
	if (!t)
		return -ENOMEM;
	t->nr = nr;
	t->ctx = ctx;
	t->format = trace_format(opts);
	t->own_ring = calloc(TRACE_OWN, sizeof(*t->own_ring));
	/* Opened now, so that a wrong path costs no work. */
	t->fd = open(opts->trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (!t->own_ring || t->fd < 0) {
		int rc = t->fd < 0 ? -errno : -ENOMEM;

		canp_strbuf_printf(err, "cannot write a trace to %s: %s", opts->trace,
				   canp_strerror(rc));
		if (t->fd >= 0)
			close(t->fd);
		free(t->own_ring);
		free(t);
		return rc;
	}
	job->opts.trace_events = CANP_OBSERVE_TRACE_EVENTS;
	trace_start(t, opts->trace_paused);
	*out = t;
	return 0;
}

/* Room for another step of records; false: the bound is reached or there is no memory. */
static bool trace_grow(struct trace_track *k)
{
	uint32_t cap = k->cap ? k->cap * 2 : TRACE_STEP * 2;
	struct canp_ev *ev;

	if (k->cap - k->nr >= TRACE_STEP)
		return true;
	if (cap > TRACE_KEEP_MAX)
		return false;
	ev = realloc(k->ev, cap * sizeof(*ev));
	if (!ev)
		return false;
	k->ev = ev;
	k->cap = cap;
	return true;
}

static void trace_drain(struct trace_track *k)
{
	struct canp_ev spare[64];
	uint32_t n;

	while (k->tracer && trace_grow(k)) {
		n = canp_evring_read(&k->tracer->ring, k->ev + k->nr, TRACE_STEP);
		k->nr += n;
		if (!n)
			return;
	}
	/* Emptied all the same, so that the loss is counted in one place. */
	while (k->tracer && (n = canp_evring_read(&k->tracer->ring, spare, 64)))
		k->dropped += n;
}

static uint64_t trace_lost(const struct trace_track *k)
{
	struct canp_evring_counts c = {0};

	if (k->tracer)
		canp_evring_counts(&k->tracer->ring, &c);
	return c.lost + k->dropped;
}

static void trace_counters(struct canp_observe_trace *t, const struct canp_live *l)
{
	uint64_t now_ns = l->job.updated_ns, inflight = 0, pages = 0;

	for (unsigned i = 0; i < l->job.nr_shards; i++) {
		inflight += l->shard[i].ring_inflight;
		pages += l->shard[i].pools[0].in_use;
	}
	canp_trace_counter(&t->own, now_ns, CANP_SPAN_FRAMES, l->job.frames);
	canp_trace_counter(&t->own, now_ns, CANP_SPAN_INFLIGHT, inflight);
	canp_trace_counter(&t->own, now_ns, CANP_SPAN_PAGES, pages);
}

void canp_observe_trace_tick(struct canp_observe_trace *t, const struct canp_job *job,
			     struct canp_live *l)
{
	const struct canp_job_priv *p = job->priv;
	uint64_t events = 0, lost = 0;

	for (unsigned i = 0; p->shards && i < p->nr_shards && i + 1 < t->nr; i++)
		if (p->shards[i].obs)
			t->track[i + 1].tracer = &p->shards[i].obs->tracer;
	trace_counters(t, l);
	for (unsigned i = 0; i < t->nr; i++) {
		trace_drain(&t->track[i]);
		events += t->track[i].nr;
		lost += trace_lost(&t->track[i]);
	}
	l->job.trace_events = events;
	l->job.trace_lost = lost;
	l->job.trace_on = canp_trace_enabled();
}

void canp_observe_trace_phase(struct canp_observe_trace *t, enum canp_job_phase phase)
{
	uint64_t now_ns = canp_clock_ns();

	if (phase == CANP_JOB_BOOTED) {
		t->booted_ns = now_ns;
		canp_trace_complete(&t->own, t->created_ns, now_ns - t->created_ns, CANP_SPAN_BOOT,
				    0, 0);
	} else if (phase == CANP_JOB_STOPPED) {
		t->stopped_ns = now_ns;
		canp_trace_complete(&t->own, t->booted_ns, now_ns - t->booted_ns, CANP_SPAN_RUN, 0,
				    0);
	} else if (phase == CANP_JOB_OVER) {
		canp_trace_complete(&t->own, t->stopped_ns, now_ns - t->stopped_ns,
				    CANP_SPAN_FINISH, 0, 0);
		canp_trace_complete(&t->own, t->created_ns, now_ns - t->created_ns, CANP_SPAN_JOB,
				    0, 0);
	}
}

static int trace_write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int canp_observe_trace_write(struct canp_observe_trace *t)
{
	struct canp_trace_opts o = {
		.service = "canp-appliance",
		.name = canp_observe_span_name,
		.pid = (uint32_t)getpid(),
		.wall_offset_ns = canp_trace_wall_offset_ns(),
		.ctx = &t->ctx,
	};
	struct canp_trace_track *v = calloc(t->nr, sizeof(*v));
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_trace_result res;
	unsigned nr = 0;
	int rc;

	if (!v)
		return -ENOMEM;
	for (unsigned i = 0; i < t->nr; i++)
		if (t->track[i].tracer)
			v[nr++] = (struct canp_trace_track){
				.name = t->track[i].tracer->name,
				.tid = t->track[i].tracer->tid,
				.events = t->track[i].ev,
				.nr = t->track[i].nr,
				.lost = trace_lost(&t->track[i]),
			};
	rc = t->format == CANP_OBSERVE_TRACE_OTLP ? canp_trace_otlp(&sb, &o, v, nr, &res)
						  : canp_trace_chrome(&sb, &o, v, nr, &res);
	rc = rc ? rc : trace_write_all(t->fd, sb.buf, sb.len);
	canp_strbuf_fini(&sb);
	free(v);
	return rc;
}

void canp_observe_trace_destroy(struct canp_observe_trace *t)
{
	if (!t)
		return;
	canp_trace_set(false);
	sigaction(SIGUSR2, &t->old, NULL);
	close(t->fd);
	for (unsigned i = 0; i < t->nr; i++)
		free(t->track[i].ev);
	free(t->own_ring);
	free(t);
}
