/*
 * observe_job.c - the watcher of a job, on the job's control thread: takes a snapshot of the
 * counters at every tick, puts it where it is asked for, and tells the service manager.
 */
#include "io/observe_job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/observe/metrics.h"
#include "core/observe/monitor.h"
#include "core/observe/notify.h"
#include "io/ingest_priv.h"
#include "io/observe_trace.h"

#define OBSERVE_TEXT_NS (1000 * (uint64_t)CANP_NS_PER_MS)

struct canp_observe {
	struct canp_observe_opts o;
	struct canp_job *job;
	struct canp_live *now;       /* the control thread's */
	struct canp_live *served;    /* the metrics server's */
	struct canp_live_page *page; /* what both share, and other processes see */
	struct canp_metrics_server *server;
	struct canp_metrics *text; /* for the textfile; too big for a stack */
	const char *text_path;     /* NULL: none */
	uint64_t text_ns, status_ns, dog_ns;
	struct canp_mon_session session;
	bool has_session;
	struct canp_notify notify;
	struct canp_observe_trace *trace; /* NULL: none */
	uint64_t work;                    /* as of progress_ns */
};

static int observe_busy; /* one at a time: signals belong to the process; atomic */

/* ---- metrics ---- */

static void observe_write(void *arg, struct canp_metrics *m)
{
	struct canp_observe *o = arg;

	/* Renewed all the time while we looked: what was served last is not much older. */
	if (canp_live_page_copy(o->page, o->served) && !o->served->job.magic)
		return;
	canp_live_metrics(o->served, m);
}

static const char *observe_health(void *arg)
{
	struct canp_observe *o = arg;
	const char *why;

	canp_live_page_copy(o->page, o->served);
	return canp_live_judge(o->served, true, canp_clock_ns(), CANP_OBSERVE_STALL_NS, &why) ==
			       CANP_LIVE_WELL
		       ? NULL
		       : why;
}

static const char *observe_ready(void *arg)
{
	struct canp_observe *o = arg;

	canp_live_page_copy(o->page, o->served);
	return o->served->job.state == CANP_LIVE_BOOTING ? "the job is starting" : NULL;
}

static int observe_serve(struct canp_observe *o, const char *address, struct canp_strbuf *err)
{
	int rc = canp_metrics_server_start(
		&(struct canp_metrics_server_opts){
			.address = address,
			.write = observe_write,
			.health = observe_health,
			.ready = observe_ready,
			.arg = o,
		},
		&o->server);
	unsigned port;

	if (rc) {
		canp_strbuf_printf(
			err, "cannot serve metrics on %s: %s%s", address, canp_strerror(rc),
			rc == -EINVAL ? " (127.0.0.1:PORT, [::1]:PORT or unix:PATH)" : "");
		return rc;
	}
	port = canp_metrics_server_port(o->server);
	if (port)
		snprintf(o->now->job.metrics, sizeof(o->now->job.metrics), "tcp:%.*s:%u",
			 (int)(strrchr(address, ':') - address), address, port);
	else
		snprintf(o->now->job.metrics, sizeof(o->now->job.metrics), "%s", address);
	return 0;
}

static int observe_text(struct canp_observe *o)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	int rc;

	canp_metrics_init(o->text, &sb, CANP_METRICS_PROMETHEUS);
	canp_live_metrics(o->now, o->text);
	rc = canp_metrics_finish(o->text);
	rc = rc ? rc : canp_metrics_write_file(o->text_path, sb.buf, sb.len);
	canp_strbuf_fini(&sb);
	o->text_ns = o->now->job.updated_ns;
	return rc;
}

static int observe_open_metrics(struct canp_observe *o, struct canp_strbuf *err)
{
	const char *where = o->o.metrics;
	int rc;

	if (!where || !*where)
		return 0;
	if (!strncmp(where, "tcp:", 4) && strchr(where + 4, ':'))
		return observe_serve(o, where + 4, err);
	if (!strncmp(where, "unix:", 5) && where[5])
		return observe_serve(o, where, err);
	if (strncmp(where, "file:", 5) || !where[5]) {
		canp_strbuf_printf(
			err, "--metrics=%s: say tcp:127.0.0.1:PORT, unix:PATH or file:PATH", where);
		return -EINVAL;
	}
	o->text_path = where + 5;
	snprintf(o->now->job.metrics, sizeof(o->now->job.metrics), "%s", where);
	o->text = malloc(sizeof(*o->text));
	rc = o->text ? observe_text(o) : -ENOMEM;
	if (rc)
		canp_strbuf_printf(err, "cannot write metrics to %s: %s", o->text_path,
				   canp_strerror(rc));
	return rc;
}

/* ---- every tick ---- */

static void observe_process(struct canp_live_job *j)
{
	struct canp_mon_proc p;

	canp_monitor_proc(CANP_MON_SELF, &p);
	j->cpu_ns = p.cpu_ns;
	j->rss_bytes = p.rss_bytes;
	j->threads = p.threads;
	j->read_bytes = p.read_bytes;
	j->written_bytes = p.written_bytes;
}

/* Anything a shard does counts: also one huge file is progress. */
static void observe_progress(struct canp_observe *o)
{
	const struct canp_live *l = o->now;
	uint64_t work = l->job.units + l->job.files + l->job.parts;

	for (unsigned i = 0; i < l->job.nr_shards; i++)
		for (unsigned k = 0; k < l->job.nr_ops; k++)
			work += l->shard[i].ops[k].polls - l->shard[i].ops[k].idle_polls +
				l->shard[i].ops[k].rows_in;
	if (work != o->work || !l->job.progress_ns)
		o->now->job.progress_ns = l->job.updated_ns;
	o->work = work;
}

static void observe_tell_manager(struct canp_observe *o)
{
	const struct canp_live_job *j = &o->now->job;
	uint64_t dog_ns = canp_notify_watchdog_ns(&o->notify), now_ns = j->updated_ns;
	char text[160];

	if (o->notify.fd < 0)
		return;
	/* A stalled job keeps silent: to restart it is the manager's business. */
	if (dog_ns && now_ns - o->dog_ns >= dog_ns / 4 &&
	    now_ns - j->progress_ns < CANP_OBSERVE_STALL_NS) {
		canp_notify_send(&o->notify, "WATCHDOG=1");
		o->dog_ns = now_ns;
	}
	if (now_ns - o->status_ns < OBSERVE_TEXT_NS)
		return;
	snprintf(text, sizeof(text), "STATUS=%s: %llu of %llu files, %llu frames, %llu faults",
		 canp_live_state_name(j->state), (unsigned long long)j->files,
		 (unsigned long long)j->files_total, (unsigned long long)j->frames,
		 (unsigned long long)j->faults);
	canp_notify_send(&o->notify, text);
	o->status_ns = now_ns;
}

static void observe_update(struct canp_observe *o, enum canp_live_state state)
{
	struct canp_live_job *j = &o->now->job;

	canp_observe_collect(o->job, o->now);
	j->state = state == CANP_LIVE_RUNNING && j->interrupted ? CANP_LIVE_DRAINING : state;
	observe_process(j);
	observe_progress(o);
	if (o->trace)
		canp_observe_trace_tick(o->trace, o->job, o->now);
	canp_live_page_put(o->page, o->now);
	if (o->text_path && j->updated_ns - o->text_ns >= OBSERVE_TEXT_NS)
		observe_text(o); /* a full disk is told by the last one */
	observe_tell_manager(o);
}

/* Before the job runs its folder may not exist: then the name is as it was given. */
static void observe_out(struct canp_observe *o)
{
	const char *name = o->job->opts.out ? o->job->opts.out : "";
	char *out = *name ? realpath(name, NULL) : NULL;

	snprintf(o->now->job.out, sizeof(o->now->job.out), "%s", out ? out : name);
	free(out);
}

static void observe_phase(void *arg, const struct canp_job *job, enum canp_job_phase phase)
{
	static const enum canp_live_state states[] = {
		[CANP_JOB_BOOTED] = CANP_LIVE_RUNNING,
		[CANP_JOB_TICK] = CANP_LIVE_RUNNING,
		[CANP_JOB_STOPPED] = CANP_LIVE_PUBLISHING,
		[CANP_JOB_OVER] = CANP_LIVE_PUBLISHING,
	};
	struct canp_observe *o = arg;

	(void)job;
	if (phase == CANP_JOB_BOOTED)
		observe_out(o);
	if (phase == CANP_JOB_BOOTED || phase == CANP_JOB_STOPPED)
		canp_monitor_refresh();
	if (o->trace)
		canp_observe_trace_phase(o->trace, phase);
	observe_update(o, states[phase]);
	if (phase == CANP_JOB_BOOTED)
		canp_notify_send(&o->notify, "READY=1");
	if (phase == CANP_JOB_STOPPED)
		canp_notify_send(&o->notify, "STOPPING=1");
}

/* ---- begin and end ---- */

/* Threads made meanwhile take no signals: those are the control thread's, which holds them back
 * where a job must not be cut. */
static int observe_threads(struct canp_observe *o, struct canp_strbuf *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* Nobody looks: nothing need be sampled. */
	if (o->o.live || (o->o.metrics && *o->o.metrics))
		o->has_session = canp_mon_session_begin(&o->session, CANP_MON_SELF, 0, 0) == 0;
	rc = observe_open_metrics(o, err);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static int observe_page(struct canp_observe *o, struct canp_strbuf *err)
{
	int rc = canp_live_page_create(o->o.live ? NULL : "", o->job->cores, &o->page);

	if (rc) {
		canp_strbuf_printf(err, "cannot make the live page: %s", canp_strerror(rc));
		return rc;
	}
	if (o->o.live && !*canp_live_page_path(o->page))
		canp_warn("no place for a live page: canp-top will not see this job");
	return 0;
}

static int observe_open(struct canp_observe *o, struct canp_strbuf *err)
{
	int rc;

	o->now = canp_live_alloc(o->job->cores);
	o->served = canp_live_alloc(o->job->cores);
	if (!o->now || !o->served)
		return -ENOMEM;
	observe_out(o);
	rc = canp_observe_trace_create(&o->o, o->job, o->now->job.id, err, &o->trace);
	rc = rc ? rc : observe_page(o, err);
	if (rc)
		return rc;
	rc = canp_notify_open(&o->notify);
	if (rc)
		canp_warn("NOTIFY_SOCKET: %s", canp_strerror(rc));
	canp_observe_collect(o->job, o->now);
	o->now->job.progress_ns = o->now->job.updated_ns;
	o->now->job.started_ns = o->now->job.updated_ns;
	canp_live_page_put(o->page, o->now);
	rc = observe_threads(o, err);
	observe_update(o, CANP_LIVE_BOOTING);
	return rc;
}

int canp_observe_create(const struct canp_observe_opts *opts, struct canp_job *job,
			struct canp_strbuf *err, struct canp_observe **out)
{
	struct canp_observe *o = calloc(1, sizeof(*o));
	int none = 0, rc;

	if (!o)
		return -ENOMEM;
	o->o = *opts;
	o->job = job;
	o->notify.fd = -1;
	if (!__atomic_compare_exchange_n(&observe_busy, &none, 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED)) {
		free(o);
		canp_strbuf_puts(err, "another job of this process is being watched");
		return -EBUSY;
	}
	rc = observe_open(o, err);
	if (rc) {
		if (!err->len)
			canp_strbuf_printf(err, "cannot watch the job: %s", canp_strerror(rc));
		canp_observe_destroy(o);
		return rc;
	}
	job->opts.phase = observe_phase;
	job->opts.phase_arg = o;
	*out = o;
	return 0;
}

static enum canp_live_state observe_end_state(const struct canp_job *job, int rc)
{
	return rc || !job->totals.complete ? CANP_LIVE_FAILED : CANP_LIVE_DONE;
}

int canp_observe_finish(struct canp_observe *o, const struct canp_job *job, int rc,
			struct canp_strbuf *err)
{
	int bad = 0;

	canp_monitor_refresh();
	o->now->job.exit_code = job->totals.exit_code;
	o->now->job.interrupted = job->totals.interrupted;
	observe_update(o, observe_end_state(job, rc));
	if (o->text_path)
		bad = observe_text(o);
	if (bad)
		canp_strbuf_printf(err, "cannot write metrics to %s: %s", o->text_path,
				   canp_strerror(bad));
	if (o->trace) {
		int rc2 = canp_observe_trace_write(o->trace);

		if (rc2 && !bad)
			canp_strbuf_printf(err, "cannot write the trace to %s: %s", o->o.trace,
					   canp_strerror(rc2));
		bad = bad ? bad : rc2;
	}
	return bad;
}

void canp_observe_destroy(struct canp_observe *o)
{
	if (!o)
		return;
	canp_metrics_server_stop(o->server);
	if (o->has_session)
		canp_mon_session_end(&o->session, 0, NULL);
	canp_observe_trace_destroy(o->trace);
	canp_notify_close(&o->notify);
	canp_live_page_destroy(o->page);
	free(o->now);
	free(o->served);
	free(o->text);
	if (o->job->opts.phase_arg == o)
		o->job->opts.phase = NULL;
	free(o);
	__atomic_store_n(&observe_busy, 0, __ATOMIC_RELEASE);
}

const char *canp_observe_metrics(const struct canp_observe *o)
{
	return o->now->job.metrics;
}
