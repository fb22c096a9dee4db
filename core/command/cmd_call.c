/*
 * cmd_call.c - one command on its lane: how it begins, what may end it early, and its end.
 *
 * The end comes in this order, so that whoever sees one step finds the earlier ones done: run slot
 * and permit given back, result complete, status by id, future over, `done`.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/command/cmd_priv.h"

/* Its canceller ended it: the result says so from the beginning and may be read by now. */
static bool call_dead(const struct canp_cmd_call *c)
{
	enum canp_task_status st = canp_future_status(c->f);

	return st == CANP_TASK_FREE || st >= CANP_TASK_COMPLETED;
}

static void permit_put(struct canp_cmd_pool *p)
{
	__atomic_fetch_sub(&p->running, 1, __ATOMIC_SEQ_CST);
}

/* ---- the end of a call ---- */

static void call_text(struct canp_cmd_call *c)
{
	struct canp_cmd_result *r = &c->r;
	size_t n = sizeof(r->message);

	if (r->message[0] || !r->why)
		return;
	switch (r->why) {
	case CANP_CMD_ERR_TIMEOUT:
		if (!r->started_ns)
			snprintf(r->message, n, "waited longer than %llu ms",
				 (unsigned long long)c->spec.queue_ms);
		else
			snprintf(r->message, n, "timed out after %llu ms",
				 (unsigned long long)c->spec.timeout_ms);
		break;
	case CANP_CMD_ERR_CANCELLED:
		snprintf(r->message, n, "cancelled%s", r->started_ns ? "" : " before it ran");
		break;
	case CANP_CMD_ERR_CHILD: {
		size_t len = r->err.len, from;

		while (len && (r->err.data[len - 1] == '\n' || r->err.data[len - 1] == '\r'))
			len--;
		for (from = len; from && r->err.data[from - 1] != '\n';)
			from--;
		snprintf(r->message, n, "%s %d%s%.*s", r->term_signal ? "signal" : "exit code",
			 r->term_signal ? r->term_signal : r->exit_code, len ? ": " : "",
			 (int)canp_min(len - from, n), len ? r->err.data + from : "");
		break;
	}
	default:
		snprintf(r->message, n, "%s", strerrordesc_np(-r->error));
	}
}

static void call_count(struct canp_cmd_call *c)
{
	struct canp_cmd_pool *p = c->pool;

	if (c->r.why == CANP_CMD_ERR_TIMEOUT)
		cmd_add(&p->timed_out, 1);
	else if (c->r.why == CANP_CMD_ERR_CANCELLED)
		cmd_add(&p->cancelled, 1);
	else if (c->r.why == CANP_CMD_ERR_IO)
		cmd_add(&p->spawn_failed, 1);
	if (c->r.killed)
		cmd_add(&p->killed, 1);
}

static void waiting_due(struct canp_timer *t)
{
	struct canp_cmd_call *c = t->arg;

	canp_list_del(&c->link);
	canp_cmd_enqueue(c);
}

/* A command that comes again: everything of the run but its count starts anew. */
static bool call_again(struct canp_cmd_call *c)
{
	uint64_t now = canp_clock_ns(), next = c->spec.start_at_ns + c->spec.every_ns;

	if (!c->spec.every_ns || c->reason == CANP_CMD_ERR_CANCELLED ||
	    canp_extern_cancelled(c->f) || __atomic_load_n(&c->pool->stopping, __ATOMIC_SEQ_CST))
		return false;
	if (next <= now) /* runs that were missed are not made up for */
		next = now + c->spec.every_ns - (now - next) % c->spec.every_ns;
	c->spec.start_at_ns = next;
	c->state = CMD_WAITING;
	canp_list_add_tail(&c->lane->waiting, &c->link);
	canp_cmd_deadline(c, next, waiting_due);
	return true;
}

static void call_publish(struct canp_cmd_call *c, bool told)
{
	struct canp_cmd_result *r = &c->r;

	c->state = CMD_OVER;
	canp_cmd_track(c->pool, r->id, r->status, r->error);
	canp_extern_end(c->f, r->error, r->message); /* -ESTALE: its canceller did */
	if (c->spec.done && !told)
		c->spec.done(c->spec.arg, c->f, r);
	if (!c->held)
		canp_future_put(c->f);
	canp_cmd_unref(c);
}

void canp_cmd_finish(struct canp_cmd_call *c)
{
	struct canp_cmd_result *r = &c->r;
	struct cmd_lane *l = c->lane;
	bool ran = c->state == CMD_ACTIVE;

	if (c->state == CMD_ACTIVE || c->state == CMD_WAITING)
		canp_list_del(&c->link);
	if (ran) {
		canp_cmd_deadline(c, 0, NULL);
		l->gens[c->run]++;
		l->calls[c->run] = NULL;
		l->free[l->nr_free++] = c->run;
		__atomic_store_n(&l->nr_active, l->nr_active - 1, __ATOMIC_SEQ_CST);
		permit_put(c->pool);
		r->ended_ns = canp_clock_ns();
		canp_cmd_capture_finish(&c->cap[0], &r->out);
		canp_cmd_capture_finish(&c->cap[1], &r->err);
	}
	if (ran || !call_dead(c)) {
		r->status = r->why ? CANP_CMD_FAILED : CANP_CMD_COMPLETED;
		call_text(c);
	}
	call_count(c);
	if (ran && c->spec.every_ns) {
		if (c->spec.done)
			c->spec.done(c->spec.arg, c->f, r);
		if (call_again(c))
			return;
	}
	call_publish(c, ran && c->spec.every_ns);
}

void canp_cmd_drop(struct canp_cmd_call *c, enum canp_cmd_error why, int error)
{
	if (!call_dead(c)) {
		c->r.why = why;
		c->r.error = error;
		c->r.message[0] = 0;
	}
	canp_cmd_finish(c);
}

/* ---- starting ---- */

static void call_reset(struct canp_cmd_call *c)
{
	struct canp_cmd_result *r = &c->r;

	r->why = CANP_CMD_OK;
	r->error = 0;
	r->exit_code = -1;
	r->term_signal = 0;
	r->core_dumped = false;
	r->killed = false;
	r->message[0] = 0;
	r->pid = 0;
	c->reason = CANP_CMD_OK;
	c->kill_sent = false;
	c->end_sent = false;
	c->pidfd = -1;
	c->pipes[0] = -1;
	c->pipes[1] = -1;
	c->cap[0].total = 0;
	c->cap[1].total = 0;
}

static void call_timeout(struct canp_timer *t)
{
	struct canp_cmd_call *c = t->arg;

	c->r.timeout_ns = c->spec.timeout_ms * (uint64_t)CANP_NS_PER_MS;
	canp_cmd_interrupt(c, CANP_CMD_ERR_TIMEOUT);
}

static void call_kill(struct canp_timer *t)
{
	struct canp_cmd_call *c = t->arg;

	c->r.killed = true;
	if (c->pool->be->kill)
		c->pool->be->kill(c->pool->be_ctx, c, SIGKILL);
}

void canp_cmd_interrupt(struct canp_cmd_call *c, enum canp_cmd_error reason)
{
	uint64_t grace = c->spec.grace_ms ? c->spec.grace_ms : 1000;

	if (c->kill_sent)
		return;
	c->kill_sent = true;
	c->reason = reason;
	if (c->pool->be->kill)
		c->pool->be->kill(c->pool->be_ctx, c, SIGTERM);
	canp_cmd_deadline(c, canp_clock_ns() + grace * (uint64_t)CANP_NS_PER_MS, call_kill);
}

static void call_start(struct cmd_lane *l, struct canp_cmd_call *c)
{
	struct canp_cmd_pool *p = c->pool;
	uint64_t now;
	int rc;

	c->run = l->free[--l->nr_free];
	l->calls[c->run] = c;
	__atomic_store_n(&l->nr_active, l->nr_active + 1, __ATOMIC_SEQ_CST);
	c->state = CMD_ACTIVE;
	canp_list_add_tail(&l->active, &c->link);
	c->r.lane = l->index;
	c->r.runs++;
	call_reset(c);
	c->r.status = CANP_CMD_RUNNING;
	now = canp_clock_ns();
	c->r.started_ns = now;
	rc = p->be->start(p->be_ctx, c);
	c->r.spawn_ns = canp_clock_ns() - now;
	if (rc == 0) {
		cmd_add(&p->spawned, 1);
		cmd_add(&p->spawn_ns, c->r.spawn_ns);
		if (c->r.spawn_ns > __atomic_load_n(&p->spawn_max_ns, __ATOMIC_RELAXED))
			__atomic_store_n(&p->spawn_max_ns, c->r.spawn_ns, __ATOMIC_RELAXED);
		if (c->spec.timeout_ms)
			canp_cmd_deadline(c, now + c->spec.timeout_ms * (uint64_t)CANP_NS_PER_MS,
					  call_timeout);
		return;
	}
	if (rc < 0) {
		c->r.why = CANP_CMD_ERR_IO;
		c->r.error = rc;
	}
	canp_cmd_finish(c);
}

bool canp_cmd_begin(struct cmd_lane *l, struct canp_cmd_call *c)
{
	uint64_t now = canp_clock_ns();

	__atomic_store_n(&c->lane, l, __ATOMIC_SEQ_CST);
	if (c->r.runs == 0 && canp_extern_start(c->f)) {
		canp_cmd_finish(c); /* as cancelled: what the result says from the beginning */
		return false;
	}
	if (c->r.runs && canp_extern_cancelled(c->f)) {
		canp_cmd_drop(c, CANP_CMD_ERR_CANCELLED, -ECANCELED);
		return false;
	}
	if (c->spec.queue_ms && !c->r.runs &&
	    now > canp_max(c->r.created_ns, c->spec.start_at_ns) +
			    c->spec.queue_ms * (uint64_t)CANP_NS_PER_MS) {
		canp_cmd_drop(c, CANP_CMD_ERR_TIMEOUT, -ETIMEDOUT);
		return false;
	}
	canp_cmd_track(c->pool, c->r.id, CANP_CMD_RUNNING, 0);
	call_start(l, c);
	return true;
}

/* ---- what others sent ---- */

void canp_cmd_schedule(struct cmd_lane *l, struct canp_cmd_call *c)
{
	if (call_dead(c)) {
		canp_cmd_finish(c);
		return;
	}
	c->state = CMD_WAITING;
	canp_list_add_tail(&l->waiting, &c->link);
	canp_cmd_deadline(c, c->spec.start_at_ns, waiting_due);
}

void canp_cmd_cancel(struct cmd_lane *l, struct canp_cmd_call *c)
{
	if (c->lane == l && c->state == CMD_WAITING) {
		canp_cmd_deadline(c, 0, NULL);
		canp_cmd_drop(c, CANP_CMD_ERR_CANCELLED, -ECANCELED);
	} else if (c->lane == l && c->state == CMD_ACTIVE) {
		canp_cmd_interrupt(c, CANP_CMD_ERR_CANCELLED);
	}
	canp_cmd_unref(c);
}

void canp_cmd_over(struct canp_cmd_call *c)
{
	if (c->pool->be->end)
		c->pool->be->end(c->pool->be_ctx, c);
	if (!c->r.why && (c->r.exit_code > 0 || c->r.term_signal)) {
		c->r.why = CANP_CMD_ERR_CHILD;
		c->r.error = -ECHILD;
	}
	if (c->reason == CANP_CMD_ERR_TIMEOUT) {
		c->r.why = CANP_CMD_ERR_TIMEOUT;
		c->r.error = -ETIMEDOUT;
	} else if (c->reason == CANP_CMD_ERR_CANCELLED) {
		c->r.why = CANP_CMD_ERR_CANCELLED;
		c->r.error = -ECANCELED;
	}
	canp_cmd_finish(c);
}
