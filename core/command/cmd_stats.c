/*
 * cmd_stats.c - what a command pool counts, as a struct and as metrics.
 */
#include <string.h>

#include "core/command/cmd_priv.h"
#include "core/observe/metrics.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

void canp_cmd_pool_stats(const struct canp_cmd_pool *p, struct canp_cmd_stats *st)
{
	memset(st, 0, sizeof(*st));
	canp_exec_stats(p->ex, &st->tasks);
	st->queued = LOAD(p->queued);
	st->queue_max = LOAD(p->queue_max);
	st->max_size = p->cfg.max_size;
	st->running = LOAD(p->running);
	st->running_max = LOAD(p->running_max);
	st->limit = LOAD(p->limit);
	st->lanes = p->nr_lanes;
	st->records_used = LOAD(p->refs) - 1;
	st->spawned = LOAD(p->spawned);
	st->spawn_failed = LOAD(p->spawn_failed);
	st->timed_out = LOAD(p->timed_out);
	st->cancelled = LOAD(p->cancelled);
	st->killed = LOAD(p->killed);
	st->spawn_ns = LOAD(p->spawn_ns);
	st->spawn_max_ns = LOAD(p->spawn_max_ns);
	st->started = p->started;
	st->mode = p->cfg.mode;
}

static void gauge(struct canp_metrics *m, const char *name, const char *help, uint64_t v)
{
	canp_metrics_family(m, CANP_METRIC_GAUGE, name, NULL, help);
	canp_metrics_u64(m, NULL, 0, v);
}

void canp_cmd_pool_metrics(const struct canp_cmd_pool *p, struct canp_metrics *m)
{
	static const char *const why[] = {"io", "timeout", "cancelled"};
	struct canp_cmd_stats st;
	uint64_t failed[3];

	canp_cmd_pool_stats(p, &st);
	failed[0] = st.spawn_failed;
	failed[1] = st.timed_out;
	failed[2] = st.cancelled;
	gauge(m, "canp_cmd_queue_depth", "Commands that wait to be started.", st.queued);
	gauge(m, "canp_cmd_running", "Commands that run now.", st.running);
	gauge(m, "canp_cmd_limit", "Commands that may run at once.", st.limit);
	gauge(m, "canp_cmd_executor_up", "1: commands are being started.", st.started);
	canp_metrics_family(m, CANP_METRIC_COUNTER, "canp_cmd_started", NULL,
			    "Commands that were started.");
	canp_metrics_u64(m, NULL, 0, st.spawned);
	canp_metrics_family(m, CANP_METRIC_COUNTER, "canp_cmd_not_run", NULL,
			    "Commands that did not come to an end of their own, by reason.");
	for (unsigned i = 0; i < 3; i++) {
		struct canp_metric_label l = {"reason", why[i]};

		canp_metrics_u64(m, &l, 1, failed[i]);
	}
	canp_metrics_family(m, CANP_METRIC_COUNTER, "canp_cmd_spawn_seconds", "seconds",
			    "Time the pool was busy with starting commands.");
	canp_metrics_double(m, NULL, 0, (double)st.spawn_ns / (double)CANP_NS_PER_S);
}
