/*
 * pipe_source.c - the intake: credits, and flights filled from the sources. All of it runs by one
 * worker at a time, who holds the intake.
 *
 * A flight carries one batch of every source. With one source it flies with what a call brought;
 * with several it waits until each has given as many items as were wanted or is at its end, so
 * that items of the same number meet. Until then it is `forming`.
 */
#include <errno.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"

/* ---- credits ---- */

static void pause_begin(struct canp_pipe *p)
{
	if (!p->paused_since_ns)
		p->paused_since_ns = canp_clock_ns();
}

static void pause_end(struct canp_pipe *p)
{
	if (canp_likely(!p->paused_since_ns))
		return;
	canp_stat_add(&p->paused_ns, canp_clock_ns() - p->paused_since_ns);
	p->paused_since_ns = 0;
}

/* How many items each source may give to the next flight; 0: no credit. */
static uint32_t credit(struct canp_pipe *p)
{
	uint64_t fly = pipe_in_flight(p);
	uint32_t items = (uint32_t)fly, most = p->o.max_memory_items, want;

	if ((uint32_t)(fly >> 32) >= p->limit ||
	    __atomic_load_n(&pipe_flight_of(p, p->seq)->busy, __ATOMIC_ACQUIRE)) {
		pause_begin(p);
		return 0;
	}
	want = __atomic_load_n(&p->batch, __ATOMIC_RELAXED);
	if (p->push.used) { /* pushed items have their credit */
		pause_end(p);
		return want;
	}
	/* Once there was no credit for items, a quarter must be free before it goes on. */
	if (items + p->nr_sources > most || (p->paused && items > p->items_resume)) {
		p->paused = true;
		pause_begin(p);
		return 0;
	}
	p->paused = false;
	pause_end(p);
	return canp_max(canp_min(want, (most - items) / p->nr_sources), 1u);
}

/* ---- asking ---- */

static int push_take(struct canp_pipe *p, struct pipe_flight *f, uint8_t *items, uint32_t max)
{
	struct pipe_push *q = &p->push;
	uint32_t bytes = p->ops[p->sources[0]].out_bytes, n = 0, head = q->head;
	bool stopped = __atomic_load_n(&p->stop, __ATOMIC_SEQ_CST);
	/* After the look at stop: nothing is pushed when that was set. */
	uint32_t have = __atomic_load_n(&q->tail, __ATOMIC_SEQ_CST) - head;

	for (; n < canp_min(have, max); n++, head++) {
		uint32_t at = head & (q->cap - 1);

		memcpy(items + (size_t)n * bytes, q->items + (size_t)at * bytes, bytes);
		f->futures[f->items + n] = q->futures[at];
	}
	__atomic_store_n(&q->head, head, __ATOMIC_RELEASE);
	if (n)
		return (int)n;
	return stopped ? 0 : -EAGAIN;
}

void canp_pipe_push_drain(struct canp_pipe *p)
{
	struct pipe_push *q = &p->push;
	uint32_t n = 0;

	pthread_mutex_lock(&q->lock);
	for (; q->head != q->tail; n++) {
		struct canp_future *f = q->futures[q->head & (q->cap - 1)];

		if (f)
			canp_future_complete(f, -ECANCELED);
		__atomic_store_n(&q->head, q->head + 1, __ATOMIC_RELEASE);
	}
	/* They were never in flight; their credit comes back. */
	__atomic_fetch_add(&p->taken, n, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&p->back, n, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&q->lock);
}

static void source_end(struct canp_pipe *p, unsigned id)
{
	p->source_over |= 1u << id;
}

static void source_failed(struct pipe_worker *w, unsigned id, int error)
{
	struct canp_pipe *p = w->p;
	struct pipe_op *op = &p->ops[id];
	struct canp_pipe_dead d = {.op = op->name, .item = p->nr_items[id], .error = error};

	if (op->op.policy == CANP_PIPE_RETRY && p->source_tries++ < op->op.retries) {
		canp_stat_add(&w->c[id].retries, 1);
		return;
	}
	canp_stat_add(&w->c[id].failed, 1);
	if (w->em && !p->o.no_async_events)
		canp_event_emit(w->em, canp_clock_ns(), CANP_EVENT_OP_ERROR, id, d.item,
				(uint64_t)-error);
	source_end(p, id);
	if (op->op.policy == CANP_PIPE_FAIL_FAST)
		canp_pipe_fail(p, error);
	else if (op->op.policy != CANP_PIPE_SKIP && op->op.on_dead)
		op->op.on_dead(op->op.arg, &d);
}

/* Asks one source once; false: it has nothing now. */
static bool source_ask(struct pipe_worker *w, struct pipe_flight *f, unsigned id)
{
	struct canp_pipe *p = w->p;
	struct pipe_op *op = &p->ops[id];
	struct pipe_cell *c = &f->cells[id];
	uint8_t *to = c->rec + (size_t)c->fill * op->out_bytes;
	uint32_t max = p->want - c->fill;
	int n = p->push.used ? push_take(p, f, to, max) : op->op.next(op->op.arg, to, max);

	if (n == -EAGAIN)
		return false;
	if (n > 0 && (uint32_t)n <= max) {
		c->fill += (uint32_t)n;
		f->items += (uint32_t)n;
		p->source_tries = 0;
		return true;
	}
	if (n == 0)
		source_end(p, id);
	else
		source_failed(w, id, n < 0 ? n : -ERANGE);
	return true;
}

/* True: the flight has all it waits for. */
static bool sources_fill(struct pipe_worker *w, struct pipe_flight *f)
{
	struct canp_pipe *p = w->p;
	bool full = true;

	for (unsigned i = 0; i < p->nr_sources; i++) {
		unsigned id = p->sources[i];

		while (!(p->source_over >> id & 1) && f->cells[id].fill < p->want &&
		       !__atomic_load_n(&p->dropping, __ATOMIC_RELAXED)) {
			if (!source_ask(w, f, id)) {
				full = false;
				break;
			}
			if (p->nr_sources == 1 && f->items)
				break;
		}
	}
	return full || (p->nr_sources == 1 && f->items);
}

/* ---- flights ---- */

static struct pipe_flight *flight_open(struct canp_pipe *p, uint64_t epoch, uint32_t want)
{
	struct pipe_flight *f = pipe_flight_of(p, p->seq);

	p->want = want;
	p->forming = true;
	f->seq = p->seq;
	f->epoch = epoch;
	f->items = 0;
	f->rows = 0;
	f->work_ns = 0;
	f->timed = (p->seq & __atomic_load_n(&p->sample, __ATOMIC_RELAXED)) == 0;
	f->born_ns = f->timed ? canp_clock_ns() : 0;
	for (unsigned i = 0; i < p->nr_sources; i++) {
		struct pipe_cell *c = &f->cells[p->sources[i]];

		c->fill = 0;
		c->rec = f->mem + p->ops[p->sources[i]].out_off;
	}
	return f;
}

static void flight_count(struct pipe_worker *w, struct pipe_flight *f)
{
	struct canp_pipe *p = w->p;
	uint64_t fly = pipe_in_flight(p);
	uint32_t items = (uint32_t)fly;

	if (p->push.used)
		items = __atomic_load_n(&p->push.nr, __ATOMIC_RELAXED) -
			(uint32_t)__atomic_load_n(&p->back, __ATOMIC_RELAXED);
	canp_stat_add(&p->items_in, f->items);
	canp_stat_add(&p->batches, 1);
	canp_stat_max(&p->items_max, items);
	canp_stat_max(&p->flights_max, fly >> 32);
	canp_stat_max(&p->bytes_max, (uint64_t)items * p->item_bytes);
}

static void flight_launch(struct pipe_worker *w, struct pipe_flight *f)
{
	struct canp_pipe *p = w->p;
	uint64_t now = 0;

	if (f->timed)
		now = canp_clock_ns();
	for (unsigned i = 0; i < p->nr_sources; i++) {
		unsigned id = p->sources[i];
		struct pipe_cell *c = &f->cells[id];
		struct canp_batch b = {.nr_rows = c->fill};

		canp_batch_keep_all(&b);
		memcpy(c->keep, b.keep, sizeof(c->keep));
		c->first = p->nr_items[id];
		p->nr_items[id] += c->fill;
		f->rows = canp_max(f->rows, c->fill);
		canp_stat_add(&w->c[id].batches, c->fill != 0);
		canp_stat_add(&w->c[id].rows_out, c->fill);
		canp_stat_add(&w->c[id].rows_in, c->fill);
		if (f->timed && !i)
			canp_stat_add(&w->c[id].busy_ns, now - f->born_ns);
	}
	if (f->timed && !p->push.used)
		f->work_ns = now - f->born_ns;
	for (unsigned i = 0; i < p->nr_order; i++) {
		struct pipe_op *op = &p->ops[p->order[i]];

		if (op->nr_in > 1)
			f->cells[p->order[i]].missing = op->nr_in;
		f->cells[p->order[i]].tries = 0;
	}
	if (f->err) {
		memset(f->err, 0, sizeof(*f->err) * f->rows);
		memset(f->arrived, 0, sizeof(f->arrived));
	}
	f->leaves = p->nr_leaves;
	f->worker = (uint16_t)w->index;
	__atomic_store_n(&f->busy, 1, __ATOMIC_RELAXED);
	p->forming = false;
	p->seq++;
	__atomic_store_n(&p->taken, p->taken + (1ull << 32 | f->items), __ATOMIC_RELAXED);
	flight_count(w, f);
}

static void intake_end(struct canp_pipe *p)
{
	pause_end(p);
	__atomic_store_n(&p->ended, true, __ATOMIC_SEQ_CST);
	if (p->push.used)
		canp_pipe_push_drain(p);
}

static bool sources_closed(struct canp_pipe *p)
{
	if (p->run_future && canp_unlikely(canp_future_cancelled(p->run_future)) &&
	    !__atomic_load_n(&p->dropping, __ATOMIC_RELAXED))
		canp_pipe_fail(p, -ECANCELED);
	if (__atomic_load_n(&p->dropping, __ATOMIC_SEQ_CST))
		return true;
	return !p->push.used && __atomic_load_n(&p->stop, __ATOMIC_SEQ_CST);
}

struct pipe_flight *canp_pipe_pull(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;
	struct pipe_flight *f = pipe_flight_of(p, p->seq);
	/* Read before `dropping`: a flight is refused, or is of the epoch that ends. */
	uint64_t epoch = __atomic_load_n(&p->epoch, __ATOMIC_SEQ_CST);
	bool full;

	if (p->ended)
		return NULL;
	if (!p->forming) {
		uint32_t want;

		if (sources_closed(p)) {
			intake_end(p);
			return NULL;
		}
		want = credit(p);
		if (!want)
			return NULL;
		f = flight_open(p, epoch, want);
	}
	full = sources_closed(p);
	if (!full && p->again_ns && canp_clock_ns() < p->again_ns)
		return NULL;
	full = full || sources_fill(w, f);
	p->again_ns = full || p->push.used ? 0 : canp_clock_ns() + PIPE_AGAIN_NS;
	w->again_ns = p->again_ns;
	if (!full && !sources_closed(p)) {
		if (!f->items)
			p->forming = false; /* its time begins when items come */
		return NULL;
	}
	if (!f->items) {
		p->forming = false;
		intake_end(p);
		return NULL;
	}
	flight_launch(w, f);
	return f;
}
