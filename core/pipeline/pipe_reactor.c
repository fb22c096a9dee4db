/*
 * pipe_reactor.c - a pipe on the reactors of an executor: one poller on each, there from build to
 * destroy, that works for a bounded time a turn.
 *
 * Batches that are not worth a second core are left to reactor 0; the others sleep and tell it, if
 * need be, before they do. An idle reactor is woken by one kick, by whoever took its bit out of
 * `idle`.
 */
#include <errno.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"
#include "core/runtime/shard.h"

#define POLL_BUDGET_NS (200 * (uint64_t)CANP_NS_PER_US)
/* Untimed flights are short; so many go between two looks at the clock. */
#define POLL_UNTIMED 16u

static void worker_kick(struct canp_pipe *p, unsigned i)
{
	struct canp_shard *s = __atomic_load_n(&p->workers[i].s, __ATOMIC_ACQUIRE);

	if (s)
		canp_mesh_kick(s->mesh, s->index);
}

static bool idle_take(struct canp_pipe *p, unsigned i)
{
	return __atomic_fetch_and(&p->idle, ~(1ull << i), __ATOMIC_SEQ_CST) >> i & 1;
}

static void reactors_wake(struct canp_pipe *p, struct pipe_worker *w)
{
	uint64_t idle = __atomic_load_n(&p->idle, __ATOMIC_SEQ_CST);

	if (!__atomic_load_n(&p->spread, __ATOMIC_RELAXED))
		idle &= 1;
	if (w && w->index < PIPE_WORKERS_MAX)
		idle &= ~(1ull << w->index);
	for (; idle; idle &= idle - 1) {
		unsigned i = (unsigned)__builtin_ctzll(idle);

		if (!idle_take(p, i))
			continue;
		worker_kick(p, i);
		return;
	}
}

static void idle_set(struct pipe_worker *w)
{
	uint64_t bit = 1ull << w->index;

	if (!(__atomic_load_n(&w->p->idle, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(&w->p->idle, bit, __ATOMIC_SEQ_CST);
}

static void idle_clear(struct pipe_worker *w)
{
	if (__atomic_load_n(&w->p->idle, __ATOMIC_RELAXED) >> w->index & 1)
		idle_take(w->p, w->index);
}

static void again_due(struct canp_timer *t)
{
	(void)t; /* the next turn asks the source */
}

/* Nothing to do. True: the reactor must not sleep all the same. */
static bool worker_rests(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;

	if (p->o.mode != CANP_PIPE_LATENCY && w->again_ns > canp_clock_ns()) {
		w->timer.deadline_ns = w->again_ns;
		w->timer.fn = again_due;
		if (canp_reactor_timer_add(w->s, &w->timer))
			return true;
	}
	return p->o.mode == CANP_PIPE_LATENCY;
}

static unsigned worker_work(struct pipe_worker *w, uint64_t now_ns)
{
	struct canp_pipe *p = w->p;
	unsigned n = 0;

	w->now_ns = now_ns;
	while (canp_pipe_step(w)) {
		if (!n++)
			idle_clear(w);
		if (n % POLL_UNTIMED == 0)
			w->now_ns = canp_clock_ns();
		if (w->now_ns - now_ns >= POLL_BUDGET_NS && w->now_ns > now_ns)
			break;
		if (w->index && !__atomic_load_n(&p->spread, __ATOMIC_RELAXED))
			break;
	}
	return n;
}

static unsigned worker_poll(void *arg, uint64_t now_ns)
{
	struct pipe_worker *w = arg;
	struct canp_pipe *p = w->p;
	bool was_idle = __atomic_load_n(&p->idle, __ATOMIC_RELAXED) >> w->index & 1;
	unsigned n;

	if (!pipe_runs(p)) {
		idle_set(w);
		return pipe_runs(p);
	}
	if (w->index && !__atomic_load_n(&p->spread, __ATOMIC_SEQ_CST)) {
		idle_set(w);
		/* What this one worked on, or was woken for, is the first one's now. */
		if (!w->left)
			reactors_wake(p, w);
		w->left = true;
		return 0;
	}
	w->left = false;
	n = worker_work(w, now_ns);
	if (n)
		return n;
	/* Idle is said first, then looked once more. */
	if (!was_idle) {
		idle_set(w);
		return 1;
	}
	return worker_rests(w);
}

/* ---- coming and going ---- */

static int attach(const struct canp_task_env *env, void *arg)
{
	struct pipe_worker *w = arg;

	w->poller.name = "pipe";
	w->poller.poll = worker_poll;
	w->poller.arg = w;
	__atomic_store_n(&w->s, canp_exec_shard(env->exec, env->shard), __ATOMIC_RELEASE);
	canp_reactor_add(w->s, &w->poller);
	return 0;
}

static int detach(const struct canp_task_env *env, void *arg)
{
	struct pipe_worker *w = arg;

	(void)env;
	if (!w->s)
		return 0;
	canp_reactor_del(w->s, &w->poller);
	canp_reactor_timer_del(w->s, &w->timer);
	__atomic_store_n(&w->s, NULL, __ATOMIC_RELEASE);
	return 0;
}

static int on_each(struct canp_pipe *p, canp_task_fn fn)
{
	int error = 0;

	for (unsigned i = 0; i < p->nr_workers; i++) {
		struct canp_task_desc d = {.fn = fn,
					   .arg = &p->workers[i],
					   .type = CANP_TASK_CPU,
					   .prio = CANP_PRIO_CRITICAL,
					   .shard = 1 + (int)i};
		struct canp_task_result r = {.error = 0};
		struct canp_future *f;
		struct timespec ts = {0, CANP_NS_PER_MS};
		int rc;

		while ((rc = canp_submit(p->exec, &d, &f)) == -EAGAIN)
			nanosleep(&ts, NULL);
		if (!rc) {
			rc = canp_future_wait(f, UINT32_MAX, &r);
			canp_future_put(f);
		}
		error = error ? error : rc ? rc : r.error;
	}
	return error;
}

static void reactors_destroy(struct canp_pipe *p)
{
	on_each(p, detach);
}

static int reactors_build(struct canp_pipe *p)
{
	int rc = on_each(p, attach);

	if (rc)
		reactors_destroy(p);
	return rc;
}

static int reactors_start(struct canp_pipe *p)
{
	reactors_wake(p, NULL);
	return 0;
}

const struct pipe_driver canp_pipe_reactors = {
	.build = reactors_build,
	.start = reactors_start,
	.destroy = reactors_destroy,
	.wake = reactors_wake,
};
