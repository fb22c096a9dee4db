/*
 * task_submit.c - how tasks get to the reactors: one, or a batch of which all or none go.
 *
 * A batch first takes what can run out (slots, room in the lanes), then fills the slots, counts
 * them, pushes one run of handles per reactor and rings each reactor once. A lane has one producer,
 * so room that was seen does not go away. A reactor that submits to itself needs no lane.
 *
 * Where: the shard that the task names; else, from a reactor, that reactor (idle ones come and take
 * their part); else the batch is cut into even runs, beginning at the shard with the least load.
 */
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/runtime/balance.h"
#include "core/runtime/task_priv.h"

struct task_batch {
	struct canp_exec *ex;
	struct task_port *p;
	const struct canp_task_desc *d;
	unsigned n;
	uint64_t now_ns;
	uint32_t slot[CANP_TASK_BATCH_MAX];
	uint16_t to[CANP_TASK_BATCH_MAX];
	void *handle[CANP_TASK_BATCH_MAX];
};

static int desc_check(const struct canp_exec *ex, const struct canp_task_desc *d)
{
	if (!d->fn || (unsigned)d->type >= CANP_TASK_NR_TYPES || (unsigned)d->prio >= CANP_PRIO_NR)
		return -EINVAL;
	if (d->nr_blocks > CANP_TASK_BLOCKS_MAX || (d->nr_blocks && !d->blocks))
		return -EINVAL;
	return d->shard < 0 || (unsigned)d->shard > ex->nr ? -EINVAL : 0;
}

static unsigned load_of(const struct task_batch *b, unsigned i)
{
	return __atomic_load_n(&b->ex->sh[i].load, __ATOMIC_RELAXED) +
	       canp_spsc_count(&b->p->lanes[i].q);
}

/* All shards are looked at when they are few, else two: that is nearly as even and costs little. */
static unsigned least_loaded(const struct task_batch *b)
{
	struct canp_balance_sample w[4] = {0};
	unsigned nr = b->ex->nr;

	if (nr > CANP_ARRAY_SIZE(w)) {
		unsigned i = ++b->p->next_depot % nr, k = (i + nr / 2) % nr;

		return load_of(b, k) < load_of(b, i) ? k : i;
	}
	for (unsigned i = 0; i < nr; i++)
		w[i].queue_depth = load_of(b, i);
	return canp_balance_select(w, nr, 0, 0, UINT64_MAX);
}

static bool room_for(const struct task_batch *b, unsigned shard, unsigned n)
{
	return b->p->shard == (int)shard || canp_spsc_room(&b->p->lanes[shard].q) >= n;
}

/* Gives every task its shard; `runs` is how many even runs the free ones are cut into. */
static bool batch_place(struct task_batch *b, unsigned start, unsigned runs)
{
	unsigned per = (b->n + runs - 1) / runs, nr = b->ex->nr, nr_free = 0;
	uint16_t need[TASK_SHARDS_MAX];

	memset(need, 0, nr * sizeof(need[0]));
	for (unsigned i = 0; i < b->n; i++) {
		unsigned to = b->d[i].shard ? (unsigned)b->d[i].shard - 1
					    : (start + nr_free++ / per) % nr;

		b->to[i] = (uint16_t)to;
		need[to]++;
	}
	for (unsigned i = 0; i < nr; i++) {
		if (need[i] && !room_for(b, i, need[i]))
			return false;
	}
	return true;
}

static int batch_route(struct task_batch *b)
{
	unsigned nr = b->ex->nr;

	if (b->p->shard >= 0) /* to itself: always room */
		return batch_place(b, (unsigned)b->p->shard, 1) ? 0 : -EAGAIN;
	if (batch_place(b, least_loaded(b), canp_min(nr, b->n)))
		return 0;
	for (unsigned i = 0; i < nr; i++) {
		if (batch_place(b, i, 1))
			return 0;
	}
	return -EAGAIN;
}

static uint64_t desc_bits(const struct canp_task_desc *d, bool held)
{
	uint64_t w = CANP_TASK_PENDING | (uint64_t)d->type << TS_TYPE_SHIFT |
		     (uint64_t)d->prio << TS_PRIO_SHIFT;

	if (held)
		w |= TS_HELD;
	if (d->timeout_ms || d->start_at_ns)
		w |= TS_TIMED;
	if (d->start_at_ns)
		w |= TS_SCHED;
	if (d->done)
		w |= TS_DONE;
	if (d->shard)
		w |= TS_PINNED;
	return w;
}

static void cold_fill(struct task_slot *s, const struct canp_task_desc *d, uint64_t created_ns)
{
	struct task_cold *c = task_cold_of(s);

	c->start_at_ns = d->start_at_ns;
	c->end_by_ns = d->timeout_ms ? created_ns + d->timeout_ms * (uint64_t)CANP_NS_PER_MS : 0;
}

static bool has_trace(const struct canp_trace_ctx *t)
{
	uint64_t a, b;

	memcpy(&a, t->trace_id, 8);
	memcpy(&b, t->trace_id + 8, 8);
	return a | b;
}

static void *slot_fill(struct task_batch *b, unsigned i, bool held)
{
	const struct canp_task_desc *d = &b->d[i];
	struct task_slot *s = &b->ex->slots[b->slot[i]];
	uint64_t gen = task_load(s) & ~0xffffffffull; /* atomic: stale handles try a CAS */

	s->fn = d->fn;
	s->arg = d->arg;
	s->created_ns = b->now_ns;
	s->done = d->done;
	s->done_arg = d->done_arg;
	s->owner = b->to[i];
	s->home = b->p->shard >= 0 ? (uint16_t)b->p->shard : TASK_NO_SHARD;
	s->error = 0;
	s->nr_blocks = (uint8_t)d->nr_blocks;
	s->flags = 0;
	for (unsigned k = 0; k < d->nr_blocks; k++)
		s->blocks[k] = d->blocks[k];
	if (d->timeout_ms || d->start_at_ns)
		cold_fill(s, d, b->now_ns);
	if (canp_unlikely(has_trace(&d->trace))) {
		task_cold_of(s)->trace = d->trace;
		s->flags = TASK_FLAG_TRACE;
	}
	/* Last: from here on a handle that was left in a queue could name it. */
	__atomic_store_n(&s->word, gen | desc_bits(d, held), __ATOMIC_RELEASE);
	return task_handle(s, (uint32_t)(gen >> 32));
}

static void batch_count(struct task_batch *b)
{
	uint64_t types[CANP_TASK_NR_TYPES] = {0}, blocks = 0, dones = 0;
	struct task_counts *c = &b->p->c;

	for (unsigned i = 0; i < b->n; i++) {
		types[b->d[i].type]++;
		blocks += b->d[i].nr_blocks;
		dones += b->d[i].done != NULL;
	}
	task_counts_begin(c);
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++)
		task_count(&c->submitted[t], types[t]);
	task_count(&c->blocks_in, blocks);
	task_count(&c->dones_in, dones);
	task_count(&c->batches, 1);
	task_counts_end(c);
}

static void push_run(struct task_batch *b, unsigned to, void *const *h, unsigned n, bool pinned)
{
	if (b->p->shard == (int)to) {
		for (unsigned i = 0; i < n; i++)
			canp_task_accept(&b->ex->sh[to], h[i], b->now_ns);
	} else {
		CANP_ASSERT(canp_spsc_push(&b->p->lanes[to].q, h, n) == n);
	}
	canp_task_doorbell(b->ex, b->p, to, !pinned);
}

/* Pushes all of a shard's handles at once; the batch may name the shards in any order. */
static void batch_push(struct task_batch *b)
{
	void *h[CANP_TASK_BATCH_MAX];
	unsigned left = b->n;

	for (unsigned i = 0; i < b->n && left; i++) {
		unsigned to = b->to[i], n = 0;
		bool pinned = true;

		if (to == TASK_NO_SHARD)
			continue;
		for (unsigned k = i; k < b->n; k++) {
			if (b->to[k] != to)
				continue;
			b->to[k] = TASK_NO_SHARD;
			pinned = pinned && b->d[k].shard;
			h[n++] = b->handle[k];
		}
		left -= n;
		push_run(b, to, h, n, pinned);
	}
}

static uint64_t batch_time(const struct task_batch *b)
{
	bool exact = b->p->shard < 0;

	/* A turn's time is good enough for statistics, not for deadlines. */
	for (unsigned i = 0; i < b->n && !exact; i++)
		exact = b->d[i].timeout_ms != 0;
	return exact ? canp_clock_ns() : b->ex->sh[b->p->shard].s->now_ns;
}

int canp_submit_batch(struct canp_exec *ex, const struct canp_task_desc *d, unsigned n,
		      struct canp_future **fs)
{
	struct task_batch b;
	unsigned got = 0;
	int rc;

	if (!n || n > CANP_TASK_BATCH_MAX)
		return -EINVAL;
	if (__atomic_load_n(&ex->closing, __ATOMIC_ACQUIRE))
		return -ESHUTDOWN;
	for (unsigned i = 0; i < n; i++) {
		rc = desc_check(ex, &d[i]);
		if (rc)
			return rc;
	}
	b.ex = ex;
	b.p = canp_task_port(ex);
	b.d = d;
	b.n = n;
	if (!b.p)
		return -EAGAIN;
	rc = batch_route(&b);
	if (rc)
		return rc;
	while (got < n && (b.slot[got] = canp_task_slot_get(b.p)) != TASK_NONE)
		got++;
	if (got < n) {
		while (got)
			canp_task_slot_put(b.p, b.slot[--got]);
		return -EAGAIN;
	}
	b.now_ns = batch_time(&b);
	for (unsigned i = 0; i < n; i++) {
		b.handle[i] = slot_fill(&b, i, fs != NULL);
		if (fs)
			fs[i] = b.handle[i];
	}
	batch_count(&b);
	batch_push(&b);
	return 0;
}

int canp_submit(struct canp_exec *ex, const struct canp_task_desc *d, struct canp_future **f)
{
	return canp_submit_batch(ex, d, 1, f);
}

static int submit_type(struct canp_exec *ex, enum canp_task_type type, enum canp_task_prio prio,
		       canp_task_fn fn, void *arg)
{
	struct canp_task_desc d = {.fn = fn, .arg = arg, .type = type, .prio = prio};

	return canp_submit_batch(ex, &d, 1, NULL);
}

int canp_submit_io(struct canp_exec *ex, enum canp_task_prio prio, canp_task_fn fn, void *arg)
{
	return submit_type(ex, CANP_TASK_IO, prio, fn, arg);
}

int canp_submit_cpu(struct canp_exec *ex, enum canp_task_prio prio, canp_task_fn fn, void *arg)
{
	return submit_type(ex, CANP_TASK_CPU, prio, fn, arg);
}

int canp_submit_mem(struct canp_exec *ex, enum canp_task_prio prio, canp_task_fn fn, void *arg)
{
	return submit_type(ex, CANP_TASK_MEM, prio, fn, arg);
}
