/*
 * pipe_run.c - what a worker does: take the work nearest to the sink that waits for somebody, else
 * a new flight from the sources, and run it on as far as it may. See pipe_priv.h for the rules.
 *
 * A flight ends with the last of its leaves (operators without successors). Its credits go back,
 * and what it cost decides how long the next batches are and whether they are worth more than one
 * core.
 */
#include <errno.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"

#define COST_SHIFT 8u

/* ---- claims ---- */

static bool limit_take(uint32_t *running, uint32_t limit)
{
	uint32_t n = __atomic_load_n(running, __ATOMIC_SEQ_CST);

	do {
		if (n >= limit)
			return false;
	} while (!__atomic_compare_exchange_n(running, &n, n + 1, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	return true;
}

static bool all_take(struct canp_pipe *p)
{
	return !p->o.max_running_ops || limit_take(&p->running, p->o.max_running_ops);
}

/* Others may have found none while this one only looked. */
static void all_give(struct pipe_worker *w)
{
	if (!w->p->o.max_running_ops)
		return;
	__atomic_fetch_sub(&w->p->running, 1, __ATOMIC_SEQ_CST);
	pipe_wake(w->p, w);
}

/* The right to run op on f, which is not parked. */
static bool op_enter(struct pipe_worker *w, struct pipe_op *op, const struct pipe_flight *f)
{
	struct canp_pipe *p = w->p;

	if (op->remote)
		return false;
	if (op->serial && __atomic_load_n(&op->next, __ATOMIC_ACQUIRE) != f->seq)
		return false;
	if (!all_take(p))
		return false;
	if (op->limit && !limit_take(&op->running, op->limit)) {
		all_give(w);
		return false;
	}
	return true;
}

/* Gives the right back; somebody may wait for it. */
static void op_leave(struct pipe_worker *w, struct pipe_op *op, uint64_t seq)
{
	struct canp_pipe *p = w->p;
	bool waits = false;

	if (op->serial) {
		uint64_t bit = 1ull << ((seq + 1) & (p->slots - 1));

		__atomic_store_n(&op->next, seq + 1, __ATOMIC_SEQ_CST);
		waits = (__atomic_load_n(&op->ready, __ATOMIC_SEQ_CST) & bit) != 0 && !op->pull;
	} else if (op->limit) {
		__atomic_fetch_sub(&op->running, 1, __ATOMIC_SEQ_CST);
		waits = __atomic_load_n(&op->ready, __ATOMIC_SEQ_CST) != 0;
	}
	all_give(w);
	if (waits)
		pipe_wake(p, w);
}

static void pull_ring(struct canp_pipe *p)
{
	__atomic_fetch_add(&p->pull.word, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->pull.waiting, __ATOMIC_SEQ_CST))
		canp_pipe_futex_wake(&p->pull.word);
}

static void op_park(struct pipe_worker *w, struct pipe_op *op, struct pipe_flight *f)
{
	struct canp_pipe *p = w->p;
	unsigned id = (unsigned)(op - p->ops);
	uint64_t seq = f->seq, bit = 1ull << (seq & (p->slots - 1)), now;

	f->cells[id].ready_ns = canp_clock_ns();
	now = __atomic_fetch_or(&op->ready, bit, __ATOMIC_SEQ_CST) | bit;
	/* f may be gone from here on */
	canp_stat_max(&w->c[id].queue_max, (uint64_t)__builtin_popcountll(now));
	/* Who runs an earlier number now looks at the bit when it is done. */
	if (op->serial && __atomic_load_n(&op->next, __ATOMIC_SEQ_CST) != seq)
		return;
	if (op->pull)
		pull_ring(p);
	else
		pipe_wake(p, w);
}

/* The bit of a parked flight that may run: of serial operators the next one, else the oldest. */
static uint64_t ready_pick(const struct canp_pipe *p, const struct pipe_op *op, uint64_t ready)
{
	unsigned from;
	uint64_t high;

	if (op->serial)
		return ready &
		       1ull << (__atomic_load_n(&op->next, __ATOMIC_ACQUIRE) & (p->slots - 1));
	/* Flights that are back tell about where the oldest is. */
	from = (unsigned)(__atomic_load_n(&p->back, __ATOMIC_RELAXED) >> 32) & (p->slots - 1);
	high = ready >> from << from;
	ready = high ? high : ready;
	return ready & -ready;
}

struct pipe_flight *canp_pipe_claim(struct pipe_worker *w, unsigned id)
{
	struct canp_pipe *p = w->p;
	struct pipe_op *op = &p->ops[id];

	for (;;) {
		uint64_t ready = __atomic_load_n(&op->ready, __ATOMIC_SEQ_CST);
		uint64_t bit = ready ? ready_pick(p, op, ready) : 0;
		struct pipe_flight *f;
		bool got;

		if (!bit || !all_take(p))
			return NULL;
		if (op->limit && !limit_take(&op->running, op->limit)) {
			all_give(w);
			return NULL;
		}
		got = __atomic_fetch_and(&op->ready, ~bit, __ATOMIC_SEQ_CST) & bit;
		f = &p->flights[__builtin_ctzll(bit)];
		/* While this worker looked, others may have gone once around the slots. */
		if (got && op->serial && f->seq != __atomic_load_n(&op->next, __ATOMIC_ACQUIRE)) {
			__atomic_fetch_or(&op->ready, bit, __ATOMIC_SEQ_CST);
			got = false;
		}
		if (got) {
			canp_stat_add(&w->c[id].wait_ns, canp_clock_ns() - f->cells[id].ready_ns);
			return f;
		}
		if (op->limit)
			__atomic_fetch_sub(&op->running, 1, __ATOMIC_SEQ_CST);
		all_give(w);
	}
}

/* ---- the end of a flight ---- */

/* How long batches should be, from what this one cost. */
static void adapt(struct canp_pipe *p, const struct pipe_flight *f)
{
	uint64_t cost = (f->work_ns << COST_SHIFT) / canp_max(f->items, 1u), batch, ns;
	uint64_t old = __atomic_load_n(&p->cost, __ATOMIC_RELAXED);
	bool spread = __atomic_load_n(&p->spread, __ATOMIC_RELAXED);

	/* One batch that was interrupted must not count for more than a step. */
	if (old)
		cost = (old + canp_min(cost, 4 * old + (1 << COST_SHIFT))) / 2;
	cost = canp_max(cost, 1ull);
	__atomic_store_n(&p->cost, cost, __ATOMIC_RELAXED);
	batch = __atomic_load_n(&p->batch, __ATOMIC_RELAXED);
	if (!p->o.no_adaptive_batching) {
		uint64_t want = ((uint64_t)p->o.target_ns << COST_SHIFT) / cost;

		/* Up step by step, down at once: a batch too long holds up the other cores. */
		want = canp_min(want, 2 * batch);
		batch = canp_min(want, (uint64_t)p->rows_max);
		batch = canp_max(batch, 1ull);
		__atomic_store_n(&p->batch, (uint32_t)batch, __ATOMIC_RELAXED);
	}
	ns = cost * batch >> COST_SHIFT;
	if (spread != (ns >= (spread ? PIPE_SPREAD_NS / 2 : PIPE_SPREAD_NS)))
		__atomic_store_n(&p->spread, !spread, __ATOMIC_SEQ_CST);
	if (p->o.mode != CANP_PIPE_LATENCY)
		__atomic_store_n(&p->sample, ns < PIPE_SPREAD_NS ? PIPE_SAMPLE : 0,
				 __ATOMIC_RELAXED);
}

static void futures_end(struct canp_pipe *p, struct pipe_flight *f)
{
	int32_t error = __atomic_load_n(&p->error, __ATOMIC_RELAXED);
	bool dropped = pipe_dropped(p, f);

	for (uint32_t r = 0; r < f->rows; r++) {
		int rc = f->err[r];

		if (!f->futures[r])
			continue;
		if (!rc && !(f->arrived[r / 64] >> (r % 64) & 1))
			rc = !dropped ? -ENODATA : error ? error : -ECANCELED;
		canp_future_complete(f->futures[r], rc);
	}
}

void canp_pipe_check_end(struct canp_pipe *p)
{
	uint32_t runs = PIPE_RUNNING;

	if (!__atomic_load_n(&p->ended, __ATOMIC_SEQ_CST) || pipe_in_flight(p))
		return;
	if (__atomic_compare_exchange_n(&p->state, &runs, PIPE_ENDING, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		canp_pipe_finish(p);
}

static void flight_end(struct pipe_worker *w, struct pipe_flight *f)
{
	struct canp_pipe *p = w->p;
	uint64_t credits = 1ull << 32 | f->items;

	if (f->err)
		futures_end(p, f);
	if (f->timed) {
		uint64_t ns = canp_clock_ns() - f->born_ns;

		canp_stat_add(&w->latency[canp_hist_bucket(ns)], 1);
		if (!pipe_dropped(p, f))
			adapt(p, f);
	}
	__atomic_store_n(&f->busy, 0, __ATOMIC_RELEASE);
	__atomic_fetch_add(&p->back, credits, __ATOMIC_SEQ_CST);
	if (!w->takes)
		pipe_wake(p, w);
	canp_pipe_check_end(p);
}

/* ---- a flight's way ---- */

static int op_succeed(struct pipe_worker *w, struct pipe_flight *f, unsigned id, bool may_run)
{
	struct canp_pipe *p = w->p;
	const struct pipe_op *op = &p->ops[id];
	int next = PIPE_NONE;

	for (unsigned i = 0; i < op->nr_out; i++) {
		unsigned to = op->out[i];
		struct pipe_op *o = &p->ops[to];

		if (o->nr_in > 1 &&
		    __atomic_sub_fetch(&f->cells[to].missing, 1, __ATOMIC_ACQ_REL) != 0)
			continue;
		if (may_run && next == PIPE_NONE && (w->mask >> to & 1) && op_enter(w, o, f))
			next = (int)to;
		else
			op_park(w, o, f);
	}
	return next;
}

/* After op id has run: what this worker runs next on the flight. */
static int op_after(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	struct canp_pipe *p = w->p;
	struct pipe_op *op = &p->ops[id];

	if (op->serial || op->limit || p->o.max_running_ops)
		op_leave(w, op, f->seq);
	if (op->nr_out)
		return op_succeed(w, f, id, true);
	if (p->nr_leaves == 1 || __atomic_sub_fetch(&f->leaves, 1, __ATOMIC_ACQ_REL) == 0)
		flight_end(w, f);
	return PIPE_NONE;
}

static void inside_enter(struct pipe_worker *w, unsigned id)
{
	uint32_t n = __atomic_add_fetch(&w->p->ops[id].inside, 1, __ATOMIC_RELAXED);

	canp_stat_max(&w->c[id].running_max, n);
}

static void flight_run(struct pipe_worker *w, struct pipe_flight *f, int id)
{
	struct canp_pipe *p = w->p;
	bool timed = f->timed;
	uint64_t from = timed ? canp_clock_ns() : 0, now;

	if (__atomic_load_n(&f->worker, __ATOMIC_RELAXED) != w->index) {
		__atomic_store_n(&f->worker, (uint16_t)w->index, __ATOMIC_RELAXED);
		canp_stat_add(&w->handovers, 1);
	}
	while (id != PIPE_NONE) {
		unsigned at = (unsigned)id;

		if (canp_likely(!timed)) {
			canp_pipe_op_run(w, f, at);
		} else {
			inside_enter(w, at);
			canp_pipe_op_run(w, f, at);
			__atomic_fetch_sub(&p->ops[at].inside, 1, __ATOMIC_RELAXED);
			now = canp_clock_ns();
			canp_stat_add(&w->c[at].busy_ns, now - from);
			__atomic_fetch_add(&f->work_ns, now - from, __ATOMIC_RELAXED);
			w->now_ns = now;
			from = now;
		}
		id = op_after(w, f, at);
	}
}

void canp_pipe_done(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	int next = op_after(w, f, id);

	if (next != PIPE_NONE)
		flight_run(w, f, next);
}

/* ---- steps ---- */

static bool step_parked(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;
	uint32_t mask = w->mask;

	/* Nobody may come for what is dropped. */
	if (p->pull.op != PIPE_NONE && __atomic_load_n(&p->dropping, __ATOMIC_RELAXED))
		mask |= 1u << p->pull.op;
	for (unsigned i = 0; i < p->nr_order; i++) {
		unsigned id = p->order[i];
		struct pipe_flight *f;

		if (!(mask >> id & 1) || !__atomic_load_n(&p->ops[id].ready, __ATOMIC_RELAXED))
			continue;
		if (p->ops[id].remote && !p->drv->room(p))
			continue;
		f = canp_pipe_claim(w, id);
		if (!f)
			continue;
		if (p->ops[id].remote)
			p->drv->send(w, f, id);
		else
			flight_run(w, f, (int)id);
		return true;
	}
	return false;
}

static bool intake_enter(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;

	if (__atomic_load_n(&p->intake, __ATOMIC_RELAXED) ||
	    __atomic_load_n(&p->ended, __ATOMIC_RELAXED) || !all_take(p))
		return false;
	if (!__atomic_exchange_n(&p->intake, 1, __ATOMIC_SEQ_CST))
		return true;
	all_give(w);
	return false;
}

static bool step_intake(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;
	struct pipe_flight *f;
	int next = PIPE_NONE;
	bool ended;

	if (!w->takes || !intake_enter(w))
		return false;
	f = canp_pipe_pull(w);
	ended = p->ended;
	__atomic_store_n(&p->intake, 0, __ATOMIC_SEQ_CST);
	all_give(w);
	if (!f) {
		if (ended)
			canp_pipe_check_end(p);
		return false;
	}
	/* Whoever is idle may come for the next one. */
	pipe_wake(p, w);
	for (unsigned i = 0; i < p->nr_sources; i++)
		next = op_succeed(w, f, p->sources[i], i + 1 == p->nr_sources);
	if (next != PIPE_NONE)
		flight_run(w, f, next);
	return true;
}

bool canp_pipe_step(struct pipe_worker *w)
{
	return step_parked(w) || step_intake(w);
}
