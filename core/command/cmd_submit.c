/*
 * cmd_submit.c - records and the way of a command into the queue; status by id.
 *
 * Records are numbered; those that were used last are used again first, so a pool that is seldom
 * full keeps to little memory. Room in the queue is a counter that is raised before the push and
 * lowered after the pop; who waits for room sleeps on a futex that every pop with waiters changes.
 *
 * Status by id: ids count up, and an id's entry is at its low bits in a table that is larger than
 * the number of records. A new id skips entries whose command is not over, so those stay right and
 * the rest is history of a fixed size.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/command/cmd_priv.h"

#define BATCH_MAX CANP_TASK_BATCH_MAX

/* ---- status by id ---- */

void canp_cmd_track(struct canp_cmd_pool *p, uint64_t id, enum canp_cmd_status st, int error)
{
	uint64_t new = id << 20 | ((uint64_t)-error & 0xffffu) << 4 | (uint64_t)st;
	uint64_t *e = &p->track[id & p->track_mask], w = __atomic_load_n(e, __ATOMIC_RELAXED);

	/* The entry of a command that is over may be a later one's by now. */
	while (w >> 20 == id &&
	       !__atomic_compare_exchange_n(e, &w, new, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

enum canp_cmd_status canp_cmd_id_status(const struct canp_cmd_pool *p, uint64_t id, int *error)
{
	uint64_t w = __atomic_load_n(&p->track[id & p->track_mask], __ATOMIC_ACQUIRE);

	if (error)
		*error = 0;
	if (!id || w >> 20 != id)
		return CANP_CMD_UNKNOWN;
	if (error)
		*error = -(int)(w >> 4 & 0xffffu);
	return (enum canp_cmd_status)(w & 15u);
}

static uint64_t id_take(struct canp_cmd_pool *p)
{
	for (;;) {
		uint64_t id = __atomic_add_fetch(&p->next_id, 1, __ATOMIC_RELAXED);
		uint64_t *e = &p->track[id & p->track_mask];
		uint64_t w = __atomic_load_n(e, __ATOMIC_RELAXED);
		unsigned st = (unsigned)w & 15u;

		if (st != CANP_CMD_PENDING && st != CANP_CMD_RUNNING &&
		    __atomic_compare_exchange_n(e, &w, id << 20 | CANP_CMD_PENDING, false,
						__ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return id;
	}
}

/* ---- room ---- */

static bool room_take(struct canp_cmd_pool *p, uint32_t n)
{
	uint32_t q = __atomic_load_n(&p->queued, __ATOMIC_SEQ_CST), max;

	do {
		if (q + n > p->cfg.max_size)
			return false;
	} while (!__atomic_compare_exchange_n(&p->queued, &q, q + n, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	max = __atomic_load_n(&p->queue_max, __ATOMIC_RELAXED);
	while (q + n > max && !__atomic_compare_exchange_n(&p->queue_max, &max, q + n, true,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return true;
}

static void room_give(struct canp_cmd_pool *p, uint32_t n)
{
	__atomic_fetch_sub(&p->queued, n, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&p->room_waiters, __ATOMIC_SEQ_CST))
		return;
	__atomic_fetch_add(&p->room_seq, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &p->room_seq, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int room_wait(struct canp_cmd_pool *p)
{
	int rc = 0;

	__atomic_fetch_add(&p->room_waiters, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		uint32_t seq = __atomic_load_n(&p->room_seq, __ATOMIC_SEQ_CST);

		if (__atomic_load_n(&p->gone, __ATOMIC_SEQ_CST)) {
			rc = -ESHUTDOWN;
			break;
		}
		if (room_take(p, 1))
			break;
		syscall(SYS_futex, &p->room_seq, FUTEX_WAIT_PRIVATE, seq, NULL, NULL, 0);
	}
	__atomic_fetch_sub(&p->room_waiters, 1, __ATOMIC_SEQ_CST);
	return rc;
}

/* ---- records ---- */

void canp_cmd_pool_unref(struct canp_cmd_pool *p)
{
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < CANP_PRIO_NR; i++)
		canp_cmd_queue_destroy(p->q[i]);
	if (p->slab)
		munmap(p->slab, p->slab_bytes);
	if (p->track)
		munmap(p->track, ((size_t)p->track_mask + 1) * sizeof(*p->track));
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->quiet);
	free(p);
}

/* The one that was given back last is the one whose memory is nearest. */
static uint32_t record_take(struct canp_cmd_pool *p)
{
	uint64_t head = __atomic_load_n(&p->free_head, __ATOMIC_ACQUIRE), new;
	uint32_t i;

	while ((uint32_t)head) {
		i = (uint32_t)head - 1;
		/* Stale when another thread takes it meanwhile: then the tag differs. */
		new = __atomic_load_n(&cmd_call_at(p, i)->next_free, __ATOMIC_RELAXED);
		new |= ((head >> 32) + 1) << 32;
		if (__atomic_compare_exchange_n(&p->free_head, &head, new, true, __ATOMIC_ACQUIRE,
						__ATOMIC_ACQUIRE))
			return i;
	}
	i = __atomic_load_n(&p->fresh, __ATOMIC_RELAXED);
	while (i < p->nr_records &&
	       !__atomic_compare_exchange_n(&p->fresh, &i, i + 1, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
	return i;
}

static void record_give(struct canp_cmd_pool *p, struct canp_cmd_call *c)
{
	uint64_t head = __atomic_load_n(&p->free_head, __ATOMIC_RELAXED), new;
	uint32_t i = c->index;

	do {
		__atomic_store_n(&c->next_free, (uint32_t)head, __ATOMIC_RELAXED);
		new = (head & ~0xffffffffull) | (i + 1);
	} while (!__atomic_compare_exchange_n(&p->free_head, &head, new, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static void record_put(struct canp_cmd_call *c)
{
	struct canp_cmd_pool *p = c->pool;

	free(c->big);
	c->big = NULL;
	/* Large captures are given back to the system, small ones are reused as they are. */
	for (unsigned k = 0; k < 2; k++) {
		if (c->cap[k].buf && c->cap[k].total > 4096)
			madvise(c->cap[k].buf, canp_align_up((size_t)p->cfg.capture_max, 4096u),
				MADV_DONTNEED);
	}
	record_give(p, c);
	canp_cmd_pool_unref(p);
}

void canp_cmd_unref(struct canp_cmd_call *c)
{
	if (!__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		record_put(c);
}

static void capture_room(struct canp_cmd_call *c, const struct canp_cmd_stream *s, unsigned i)
{
	size_t max = c->pool->cfg.capture_max;
	char *base = (char *)c + CMD_RECORD + i * canp_align_up(max, (size_t)4096);
	size_t cap = s->len && s->kind <= CANP_CMD_IO_CAPTURE ? canp_max(s->len, (size_t)2) : max;

	canp_cmd_capture_init(&c->cap[i], base, cap);
}

static int call_make(struct canp_cmd_pool *p, const struct canp_cmd_spec *s, bool held,
		     struct canp_cmd_call **out)
{
	struct canp_extern_desc d = {.ops = &canp_cmd_extern_ops,
				     .type = CANP_TASK_IO,
				     .prio = s->prio,
				     .trace = &s->trace,
				     .held = true};
	struct canp_cmd_call *c;
	uint32_t i;
	int rc;

	i = record_take(p);
	if (i == p->nr_records)
		return -ENOBUFS;
	c = cmd_call_at(p, i);
	memset(&c->pool, 0, sizeof(*c) - offsetof(struct canp_cmd_call, pool));
	c->pool = p;
	c->index = i;
	c->refs = 2;
	c->held = held;
	c->pidfd = -1;
	__atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
	rc = canp_cmd_spec_copy(c, s);
	if (!rc) {
		capture_room(c, &s->out, 0);
		capture_room(c, &s->err, 1);
		c->r.created_ns = canp_clock_ns();
		c->r.id = id_take(p);
		/* What the result says should it end before it runs. */
		c->r.status = CANP_CMD_FAILED;
		c->r.why = CANP_CMD_ERR_CANCELLED;
		c->r.error = -ECANCELED;
		c->r.exit_code = -1;
		snprintf(c->r.message, sizeof(c->r.message), "cancelled before it ran");
		d.arg = c;
		rc = canp_extern_create(p->ex, &d, &c->f);
		if (rc)
			canp_cmd_track(p, c->r.id, CANP_CMD_UNKNOWN, 0);
	}
	if (rc) {
		record_put(c);
		return rc;
	}
	*out = c;
	return 0;
}

/* Not seen by anybody yet. */
static void call_unmake(struct canp_cmd_call *c)
{
	canp_cmd_track(c->pool, c->r.id, CANP_CMD_UNKNOWN, 0);
	canp_extern_end(c->f, -ECANCELED, NULL);
	canp_future_put(c->f);
	canp_cmd_unref(c);
}

/* ---- the future's side ---- */

static void extern_cancel(void *arg)
{
	struct canp_cmd_call *c = arg;
	struct cmd_lane *l = __atomic_load_n(&c->lane, __ATOMIC_SEQ_CST);

	if (canp_future_status(c->f) >= CANP_TASK_COMPLETED)
		canp_cmd_track(c->pool, c->r.id, CANP_CMD_FAILED, -ECANCELED);
	if (!l || __atomic_exchange_n(&c->cancel_sent, true, __ATOMIC_ACQ_REL))
		return;
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	CANP_ASSERT(canp_cmd_queue_push(l->cancels, &c->index, 1));
	canp_cmd_kick(l);
}

static void extern_release(void *arg)
{
	canp_cmd_unref(arg);
}

const struct canp_extern_ops canp_cmd_extern_ops = {extern_cancel, extern_release};

const struct canp_cmd_result *canp_cmd_result(const struct canp_future *f)
{
	struct canp_cmd_call *c = canp_extern_arg(f);

	return c && canp_future_status(f) >= CANP_TASK_COMPLETED ? &c->r : NULL;
}

uint64_t canp_cmd_id(const struct canp_future *f)
{
	struct canp_cmd_call *c = canp_extern_arg(f);

	return c ? c->r.id : 0;
}

/* ---- in and out ---- */

void canp_cmd_enqueue(struct canp_cmd_call *c)
{
	struct canp_cmd_pool *p = c->pool;

	c->state = CMD_QUEUED;
	__atomic_fetch_add(&p->queued, 1, __ATOMIC_SEQ_CST);
	/* A queue has room for every record. */
	CANP_ASSERT(canp_cmd_queue_push(p->q[c->spec.prio], &c->index, 1));
	canp_cmd_kick_some(p, 1);
}

struct canp_cmd_call *canp_cmd_take(struct canp_cmd_pool *p)
{
	uint32_t i;

	for (unsigned k = CANP_PRIO_NR; k-- > 0;) {
		if (canp_cmd_queue_pop(p->q[k], &i)) {
			room_give(p, 1);
			return cmd_call_at(p, i);
		}
	}
	return NULL;
}

static void call_schedule(struct canp_cmd_call *c)
{
	struct canp_cmd_pool *p = c->pool;
	uint32_t k = __atomic_fetch_add(&p->next_lane, 1, __ATOMIC_RELAXED) % p->nr_lanes;
	struct cmd_lane *l = p->lanes[k];

	if (!c->spec.start_at_ns)
		c->spec.start_at_ns = c->r.created_ns;
	c->state = CMD_INBOX;
	__atomic_store_n(&c->lane, l, __ATOMIC_SEQ_CST);
	CANP_ASSERT(canp_cmd_queue_push(l->inbox, &c->index, 1));
	canp_cmd_kick(l);
}

static bool scheduled(const struct canp_cmd_spec *s)
{
	return s->start_at_ns || s->every_ns;
}

static int push_one(struct canp_cmd_pool *p, const struct canp_cmd_spec *s, bool wait,
		    struct canp_future **f)
{
	struct canp_cmd_call *c;
	bool later;
	int rc = canp_cmd_spec_check(p, s);

	if (rc)
		return rc;
	if (__atomic_load_n(&p->gone, __ATOMIC_ACQUIRE))
		return -ESHUTDOWN;
	later = scheduled(s);
	if (!later && !room_take(p, 1)) {
		if (!wait)
			return -EAGAIN;
		rc = room_wait(p);
		if (rc)
			return rc;
	}
	rc = call_make(p, s, f != NULL, &c);
	if (rc) {
		if (!later)
			room_give(p, 1);
		return rc;
	}
	if (f)
		*f = c->f;
	if (later) {
		call_schedule(c);
		return 0;
	}
	c->state = CMD_QUEUED;
	CANP_ASSERT(canp_cmd_queue_push(p->q[c->spec.prio], &c->index, 1));
	canp_cmd_kick_some(p, 1);
	return 0;
}

int canp_cmd_push(struct canp_cmd_pool *p, const struct canp_cmd_spec *s, struct canp_future **f)
{
	return push_one(p, s, true, f);
}

int canp_cmd_try_push(struct canp_cmd_pool *p, const struct canp_cmd_spec *s,
		      struct canp_future **f)
{
	return push_one(p, s, false, f);
}

static void batch_queue(struct canp_cmd_pool *p, struct canp_cmd_call *const *c, unsigned n)
{
	uint32_t run[BATCH_MAX], k = 0;

	for (unsigned i = 0; i < n; i++) {
		c[i]->state = CMD_QUEUED;
		run[k++] = c[i]->index;
		/* Neighbours of one class go in together. */
		if (i + 1 == n || c[i + 1]->spec.prio != c[i]->spec.prio) {
			unsigned prio = c[i]->spec.prio;

			CANP_ASSERT(canp_cmd_queue_push(p->q[prio], run, k));
			k = 0;
		}
	}
	canp_cmd_kick_some(p, n);
}

int canp_cmd_push_batch(struct canp_cmd_pool *p, const struct canp_cmd_spec *s, unsigned n,
			struct canp_future **fs)
{
	struct canp_cmd_call *c[BATCH_MAX];
	unsigned got = 0;
	int rc = n && n <= BATCH_MAX ? 0 : -EINVAL;

	for (unsigned i = 0; i < n && !rc; i++)
		rc = scheduled(&s[i]) ? -EINVAL : canp_cmd_spec_check(p, &s[i]);
	if (!rc && __atomic_load_n(&p->gone, __ATOMIC_ACQUIRE))
		rc = -ESHUTDOWN;
	if (!rc && !room_take(p, n))
		rc = -EAGAIN;
	if (rc)
		return rc;
	while (got < n && !rc) {
		rc = call_make(p, &s[got], fs != NULL, &c[got]);
		got += !rc;
	}
	if (rc) {
		while (got)
			call_unmake(c[--got]);
		room_give(p, n);
		return rc;
	}
	for (unsigned i = 0; i < n && fs; i++)
		fs[i] = c[i]->f;
	batch_queue(p, c, n);
	return 0;
}

struct canp_future *canp_cmd_pop(struct canp_cmd_pool *p, const struct canp_cmd_spec **s)
{
	struct canp_cmd_call *c;

	while ((c = canp_cmd_take(p)) != NULL) {
		if (canp_future_status(c->f) == CANP_TASK_PENDING) {
			c->state = CMD_NEW;
			c->held = true;
			if (s)
				*s = &c->spec;
			return c->f;
		}
		canp_cmd_finish(c); /* it was cancelled in there */
	}
	return NULL;
}

int canp_cmd_discard(struct canp_cmd_pool *p, struct canp_future *f)
{
	struct canp_cmd_call *c = canp_extern_arg(f);

	if (!c || c->pool != p || c->state != CMD_NEW)
		return -EINVAL;
	canp_cmd_finish(c);
	return 0;
}

int canp_cmd_repush(struct canp_cmd_pool *p, struct canp_future *f)
{
	struct canp_cmd_call *c = canp_extern_arg(f);

	if (!c || c->pool != p || c->state != CMD_NEW)
		return -EINVAL;
	if (!room_take(p, 1))
		return -EAGAIN;
	c->state = CMD_QUEUED;
	CANP_ASSERT(canp_cmd_queue_push(p->q[c->spec.prio], &c->index, 1));
	canp_cmd_kick_some(p, 1);
	return 0;
}
