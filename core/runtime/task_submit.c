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

/* A batch whose tasks all name the same shard, or none, is `even`: it goes in runs of `per` to the
 * shards from `start` on, and to[] is not used. */
struct task_batch {
	struct canp_exec *ex;
	struct task_port *p;
	const struct canp_task_desc *d;
	unsigned n, start, per;
	bool even;
	bool alike;     /* of one class and type, and none with a time */
	bool late;      /* some have a deadline */
	uint64_t types; /* tasks of each type, TYPE_BITS for each */
	uint64_t blocks, dones;
	uint64_t now_ns;
	uint32_t slot[CANP_TASK_BATCH_MAX];
	uint16_t to[CANP_TASK_BATCH_MAX];
	void *handle[CANP_TASK_BATCH_MAX];
};

/* Counts of a batch side by side in one word: three counters in memory would wait for each other.
 */
#define TYPE_BITS 20u
#define TYPE_MASK ((1u << TYPE_BITS) - 1)
CANP_STATIC_ASSERT(CANP_TASK_BATCH_MAX <= TYPE_MASK && CANP_TASK_NR_TYPES * TYPE_BITS <= 64,
		   "task_batch.types");

/* The one look at the whole batch before anything is taken; without branches, for it is made for
 * every task. */
static int batch_check(struct task_batch *b)
{
	const struct canp_task_desc *first = b->d;
	unsigned bad = 0, other_shard = 0, other = 0, late = 0, nr = b->ex->nr;
	uint64_t types = 0, blocks = 0, dones = 0, times = 0;

	for (unsigned i = 0; i < b->n; i++) {
		const struct canp_task_desc *d = &b->d[i];
		unsigned type = (unsigned)d->type, prio = (unsigned)d->prio;

		bad |= !d->fn | (type >= CANP_TASK_NR_TYPES) | (prio >= CANP_PRIO_NR) |
		       (d->nr_blocks > CANP_TASK_BLOCKS_MAX) | (!d->blocks & (d->nr_blocks != 0)) |
		       ((unsigned)d->shard > nr); /* negative ones are */
		types += 1ull << (TYPE_BITS * (type & 3));
		blocks += d->nr_blocks;
		dones += d->done != NULL;
		other_shard |= (unsigned)(d->shard ^ first->shard);
		other |= (type ^ (unsigned)first->type) | (prio ^ (unsigned)first->prio);
		late |= d->timeout_ms;
		times |= d->start_at_ns;
	}
	if (bad)
		return -EINVAL;
	b->even = !other_shard;
	b->alike = !(other | late | times);
	b->late = late != 0;
	b->types = types;
	b->blocks = blocks;
	b->dones = dones;
	return 0;
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

/* As batch_place() for an even batch. */
static bool even_place(struct task_batch *b, unsigned start, unsigned runs)
{
	unsigned per = (b->n + runs - 1) / runs, to = start;

	for (unsigned i = 0; i < b->n; i += per, to = to + 1 == b->ex->nr ? 0 : to + 1) {
		if (!room_for(b, to, canp_min(per, b->n - i)))
			return false;
	}
	b->start = start;
	b->per = per;
	return true;
}

static int batch_route(struct task_batch *b)
{
	unsigned nr = b->ex->nr;
	bool (*place)(struct task_batch *, unsigned, unsigned) = b->even ? even_place : batch_place;

	if (b->even && b->d->shard)
		return even_place(b, (unsigned)b->d->shard - 1, 1) ? 0 : -EAGAIN;
	if (b->p->shard >= 0) /* to itself: always room */
		return place(b, (unsigned)b->p->shard, 1) ? 0 : -EAGAIN;
	if (place(b, least_loaded(b), canp_min(nr, b->n)))
		return 0;
	for (unsigned i = 0; i < nr; i++) {
		if (place(b, i, 1))
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

static void *slot_fill(struct task_batch *b, unsigned i, unsigned to, bool held)
{
	const struct canp_task_desc *d = &b->d[i];
	struct task_slot *s = &b->ex->slots[b->slot[i]];
	/* Atomic: stale handles try a CAS. */
	uint64_t gen = canp_fword_load(&s->word) & ~0xffffffffull;

	s->fn = d->fn;
	s->arg = d->arg;
	s->created_ns = b->now_ns;
	s->done = d->done;
	s->done_arg = d->done_arg;
	s->owner = (uint16_t)to;
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
	return canp_future_of(s, (uint32_t)(gen >> 32));
}

static void batch_fill(struct task_batch *b, struct canp_future **fs)
{
	unsigned to = b->start, left = b->per;

	for (unsigned i = 0; i < b->n; i++) {
		if (b->even && !left--) {
			to = to + 1 == b->ex->nr ? 0 : to + 1;
			left = b->per - 1;
		}
		b->handle[i] = slot_fill(b, i, b->even ? to : b->to[i], fs != NULL);
		if (fs)
			fs[i] = b->handle[i];
	}
}

static void batch_count(struct task_batch *b)
{
	struct task_counts *c = &b->p->c;

	task_counts_begin(c);
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++)
		task_count(&c->submitted[t], b->types >> (TYPE_BITS * t) & TYPE_MASK);
	task_count(&c->blocks_in, b->blocks);
	task_count(&c->dones_in, b->dones);
	task_count(&c->batches, 1);
	task_counts_end(c);
}

static void push_run(struct task_batch *b, unsigned to, void *const *h, unsigned n, bool pinned)
{
	struct task_shard *sh = &b->ex->sh[to];

	if (b->p->shard != (int)to) {
		CANP_ASSERT(canp_spsc_push(&b->p->lanes[to].q, h, n) == n);
	} else if (b->alike) { /* nobody has seen them yet: they are what we made them */
		sh->loose |= !pinned;
		canp_task_queue_push_run(sh, b->d->prio, b->d->type, h, n, b->now_ns);
	} else {
		for (unsigned i = 0; i < n; i++)
			canp_task_accept(sh, h[i], b->now_ns);
	}
	canp_task_doorbell(b->ex, b->p, to, !pinned);
}

/* Pushes all of a shard's handles at once; the batch may name the shards in any order. */
static void batch_push(struct task_batch *b)
{
	void *h[CANP_TASK_BATCH_MAX];
	unsigned left = b->n, run = b->start;

	for (unsigned i = 0; b->even && i < b->n; i += b->per) {
		push_run(b, run, b->handle + i, canp_min(b->per, b->n - i), b->d->shard != 0);
		run = run + 1 == b->ex->nr ? 0 : run + 1;
	}
	for (unsigned i = 0; !b->even && i < b->n && left; i++) {
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

int canp_submit_batch(struct canp_exec *ex, const struct canp_task_desc *d, unsigned n,
		      struct canp_future **fs)
{
	struct task_batch b;
	unsigned got;
	int rc;

	if (!n || n > CANP_TASK_BATCH_MAX)
		return -EINVAL;
	if (__atomic_load_n(&ex->closing, __ATOMIC_ACQUIRE))
		return -ESHUTDOWN;
	b.ex = ex;
	b.d = d;
	b.n = n;
	b.start = 0;
	b.per = n;
	rc = batch_check(&b);
	if (rc)
		return rc;
	b.p = canp_task_port(ex);
	if (!b.p)
		return -EAGAIN;
	rc = batch_route(&b);
	if (rc)
		return rc;
	got = canp_task_slots_get(b.p, b.slot, n);
	if (got < n) {
		while (got)
			canp_task_slot_put(b.p, b.slot[--got]);
		return -EAGAIN;
	}
	/* A turn's time is good enough for statistics, not for deadlines. */
	b.now_ns = b.p->shard < 0 || b.late ? canp_clock_ns() : ex->sh[b.p->shard].s->now_ns;
	batch_fill(&b, fs);
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
