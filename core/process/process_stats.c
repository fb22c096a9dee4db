/*
 * process_stats.c - figures: counters out of the segment, what /proc says of each worker, and both
 * as Prometheus families. A worker's counters belong to its entry in the table, not to its pid, so
 * a replacement goes on where the dead one stopped.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/observe/event.h"
#include "core/observe/metrics.h"
#include "core/process/process_priv.h"
#include "numa/sysfile.h"

/* ---- counters ---- */

struct sums {
	uint64_t completed, failed, cancelled, timed_out, run_ns, steals;
	unsigned workers, busy;
};

static void sums_read(const struct canp_process_pool *p, struct sums *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < p->nr_entries; i++) {
		const struct proc_entry *e = &p->shm->entries[i];
		uint32_t state = proc_get32(&e->state);

		s->completed += canp_stat_get(&e->completed);
		s->failed += canp_stat_get(&e->failed);
		s->cancelled += canp_stat_get(&e->cancelled);
		s->timed_out += canp_stat_get(&e->timed_out);
		s->run_ns += canp_stat_get(&e->run_ns);
		s->steals += canp_stat_get(&e->steals);
		if (state != PE_READY)
			continue;
		s->workers++;
		s->busy += proc_get64(&e->cur) != 0;
	}
}

static int stats_hist(const struct canp_process_pool *p, struct canp_process_stats *st)
{
	struct canp_hist *h = malloc(sizeof(*h));

	if (!h)
		return -ENOMEM;
	canp_hist_init(h);
	for (unsigned i = 0; i < p->nr_entries; i++)
		if (p->shm->entries[i].hist.count)
			canp_hist_merge(h, &p->shm->entries[i].hist);
	st->p50_us = (double)canp_hist_percentile(h, 50) / 1e3;
	st->p99_us = (double)canp_hist_percentile(h, 99) / 1e3;
	st->p999_us = (double)canp_hist_percentile(h, 99.9) / 1e3;
	free(h);
	return 0;
}

int canp_process_pool_stats(struct canp_process_pool *p, struct canp_process_stats *st)
{
	const struct proc_shm *shm = p->shm;
	struct sums s;

	memset(st, 0, sizeof(*st));
	sums_read(p, &s);
	st->tasks_submitted = canp_stat_get(&shm->submitted);
	st->tasks_completed = s.completed;
	st->tasks_failed = s.failed + canp_stat_get(&shm->ended_here);
	st->tasks_cancelled = s.cancelled + canp_stat_get(&shm->cancelled);
	st->tasks_timed_out = s.timed_out + canp_stat_get(&shm->timed_out);
	st->tasks_crashed = canp_stat_get(&shm->crashed);
	st->tasks_rejected = canp_stat_get(&shm->rejected);
	if (s.completed + s.failed)
		st->avg_task_time_ms = (double)s.run_ns / (double)(s.completed + s.failed) / 1e6;
	st->queue_depth = canp_process_queued(p);
	st->queue_capacity = (uint64_t)p->cfg.queue_size;
	st->queue_utilization = 100.0 * (double)st->queue_depth / (double)st->queue_capacity;
	st->workers = s.workers;
	st->workers_busy = s.busy;
	st->generation = proc_get32(&shm->generation);
	st->worker_restarts = canp_stat_get(&shm->restarts);
	st->wakes = canp_stat_get(&shm->wakes);
	st->batches = canp_stat_get(&shm->batches);
	st->steals = s.steals;
	st->payload_bytes = canp_stat_get(&shm->payload_bytes);
	st->breaker_open = proc_get32(&shm->breaker);
	return stats_hist(p, st);
}

/* ---- /proc ---- */

static uint32_t count_fds(pid_t pid)
{
	char path[64];
	uint32_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 2 ? n - 2 : 0;
}

static void read_usage(pid_t pid, struct canp_process_worker *w)
{
	uint64_t tick_ns = (uint64_t)CANP_NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	unsigned long user, sys, rss;
	char path[64], buf[1024], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (canp_sysfile_read("", path, buf, sizeof(buf)) < 0 || !(at = strrchr(buf, ')')))
		return;
	/* state, 10 numbers, utime, stime, 8 numbers, rss */
	if (sscanf(at + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d "
		   "%*u %*u %lu",
		   &user, &sys, &rss) != 3)
		return;
	w->cpu_ns = (uint64_t)(user + sys) * tick_ns;
	w->rss_bytes = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
	w->open_fds = count_fds(pid);
}

/* False: there is no such worker now. Its entry may be given to the next one at any time, and a
 * number that is 0 meanwhile must not reach somebody who sends it a signal. */
static bool worker_fill(struct canp_process_pool *p, unsigned i, struct canp_process_worker *w)
{
	struct proc_entry *e = &p->shm->entries[i];
	uint64_t now_ns = canp_clock_ns();

	memset(w, 0, sizeof(*w));
	w->index = (int)i;
	w->pid = (pid_t)proc_get32((const uint32_t *)&e->pid);
	w->generation = proc_get32(&e->generation);
	if (w->pid <= 0 || proc_get32(&e->state) != PE_READY)
		return false;
	w->busy = proc_get64(&e->cur) != 0;
	w->tasks = canp_stat_get(&e->completed) + canp_stat_get(&e->failed);
	w->run_ns = canp_stat_get(&e->run_ns);
	w->cycles = canp_stat_get(&e->cycles);
	w->instructions = canp_stat_get(&e->instructions);
	w->cache_misses = canp_stat_get(&e->cache_misses);
	w->perf_error = (int)proc_get32((const uint32_t *)&e->perf_error);
	read_usage(w->pid, w);
	if (p->pid != getpid())
		return true;
	pthread_mutex_lock(&p->lock);
	if (p->watch[i].cpu_at_ns && now_ns > p->watch[i].cpu_at_ns)
		w->cpu_percent = 100.0 * (double)(w->cpu_ns - p->watch[i].cpu_ns) /
				 (double)(now_ns - p->watch[i].cpu_at_ns);
	p->watch[i].cpu_ns = w->cpu_ns;
	p->watch[i].cpu_at_ns = now_ns;
	pthread_mutex_unlock(&p->lock);
	return true;
}

int canp_process_pool_workers(struct canp_process_pool *p, struct canp_process_worker *workers,
			      int max)
{
	int n = 0;

	for (unsigned i = 0; i < p->nr_entries && n < max; i++)
		if (proc_get32(&p->shm->entries[i].state) == PE_READY)
			n += worker_fill(p, i, &workers[n]);
	return n;
}

void canp_process_pool_limits(struct canp_process_pool *p, struct canp_process_limits_state *st)
{
	*st = p->shm->limits;
}

/* ---- events ---- */

void canp_process_emit(struct canp_process_pool *p, unsigned type, unsigned entry, uint64_t a,
		       uint64_t b)
{
	struct canp_emitter *em;

	/* Workers come and go seldom: the emitter is had for one event. */
	if (!p->cfg.events || canp_emitter_get(p->cfg.events, CANP_EVENT_DROP_NEWEST, &em))
		return;
	canp_event_emit(em, canp_clock_ns(), (uint16_t)type, entry, a, b);
	canp_emitter_put(em);
}

/* ---- Prometheus ---- */

static void family_u64(struct canp_metrics *m, const struct canp_metric_label *l, bool counter,
		       const char *name, const char *unit, const char *help, uint64_t v)
{
	canp_metrics_family(m, counter ? CANP_METRIC_COUNTER : CANP_METRIC_GAUGE, name, unit, help);
	canp_metrics_u64(m, l, 1, v);
}

void canp_process_pool_metrics(struct canp_process_pool *p, struct canp_metrics *m)
{
	struct canp_metric_label l = {.name = "pool", .value = p->cfg.pool_name};
	struct canp_process_stats st;

	canp_process_pool_stats(p, &st);
	family_u64(m, &l, true, "canp_process_tasks_submitted", NULL, "Tasks accepted.",
		   st.tasks_submitted);
	family_u64(m, &l, true, "canp_process_tasks_completed", NULL, "Tasks that returned 0.",
		   st.tasks_completed);
	family_u64(m, &l, true, "canp_process_tasks_failed", NULL, "Tasks that ended otherwise.",
		   st.tasks_failed);
	family_u64(m, &l, true, "canp_process_tasks_cancelled", NULL, "Of these: cancelled.",
		   st.tasks_cancelled);
	family_u64(m, &l, true, "canp_process_tasks_timed_out", NULL, "Of these: over their time.",
		   st.tasks_timed_out);
	family_u64(m, &l, true, "canp_process_tasks_crashed", NULL, "Of these: worker died.",
		   st.tasks_crashed);
	family_u64(m, &l, true, "canp_process_tasks_rejected", NULL, "Submits on a full queue.",
		   st.tasks_rejected);
	family_u64(m, &l, true, "canp_process_worker_restarts", NULL, "Workers replaced.",
		   st.worker_restarts);
	family_u64(m, &l, true, "canp_process_wakes", NULL, "Sleeping workers woken.", st.wakes);
	family_u64(m, &l, false, "canp_process_workers", NULL, "Workers ready.", st.workers);
	family_u64(m, &l, false, "canp_process_workers_busy", NULL, "Workers in a task.",
		   st.workers_busy);
	family_u64(m, &l, false, "canp_process_queue_depth", NULL, "Tasks waiting.",
		   st.queue_depth);
	family_u64(m, &l, false, "canp_process_queue_capacity", NULL, "Tasks that may wait.",
		   st.queue_capacity);
	family_u64(m, &l, false, "canp_process_breaker_open", NULL, "1: workers keep dying.",
		   st.breaker_open);
	family_u64(m, &l, false, "canp_process_payload_bytes", "bytes", "Payload memory in use.",
		   st.payload_bytes);
	canp_metrics_family(m, CANP_METRIC_GAUGE, "canp_process_task_p99_seconds", "seconds",
			    "Submit to end, 99 of 100 tasks at most.");
	canp_metrics_double(m, &l, 1, st.p99_us / 1e6);
}
