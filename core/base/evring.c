/*
 * evring.c - the reading side of event rings and what the writer does when a ring is full.
 * The order of accesses is explained, with its labels, in evring.h.
 */
#include "core/base/evring.h"

#include <string.h>

#include "core/base/units.h"

/* A reader that was lapped while it copied starts again at the oldest whole record; a writer that
 * laps it this often in a row is faster than anyone can read. */
#define READ_TRIES 16u

void canp_evring_init(struct canp_evring *r, struct canp_ev *ev, uint32_t nr,
		      enum canp_evring_full full)
{
	CANP_ASSERT(nr >= 2 && (nr & (nr - 1)) == 0);
	memset(r, 0, sizeof(*r));
	r->mask = nr - 1;
	r->ev = ev;
	r->full = full;
	/* 2^64 records are never reached: an overwriting writer does not look at the reader. */
	r->limit = full == CANP_EVRING_OVERWRITE_OLDEST ? UINT64_MAX : nr;
}

bool canp_evring_refill(struct canp_evring *r)
{
	uint64_t head = __atomic_load_n(&r->cur.head, __ATOMIC_ACQUIRE); /* E2 */

	r->limit = head + r->mask + 1;
	if (r->tail != r->limit)
		return true;
	__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
	return false;
}

uint64_t canp_evring_room(const struct canp_evring *r)
{
	if (r->full == CANP_EVRING_OVERWRITE_OLDEST)
		return r->mask + 1;
	return r->mask + 1 - (r->tail - __atomic_load_n(&r->cur.head, __ATOMIC_ACQUIRE)); /* E2 */
}

/* The oldest record that the writer, being at tail, cannot be writing over. */
static uint64_t oldest_whole(const struct canp_evring *r, uint64_t tail)
{
	return tail > r->mask ? tail - r->mask : 0;
}

static void copy_out(const struct canp_evring *r, uint64_t head, struct canp_ev *out, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		const uint64_t *from = (const uint64_t *)&r->ev[(head + i) & r->mask];
		uint64_t w[4];

		for (unsigned k = 0; k < 4; k++)
			w[k] = __atomic_load_n(&from[k], __ATOMIC_ACQUIRE); /* R3 */
		memcpy(&out[i], w, sizeof(w));
	}
}

/* One try: up to max records from cur on; those that may be torn are counted and left out. */
static uint32_t read_once(const struct canp_evring *r, struct canp_evcursor *cur,
			  struct canp_ev *out, uint32_t max)
{
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE); /* R1 */
	uint64_t from = canp_max(cur->head, oldest_whole(r, tail));
	uint32_t nr = (uint32_t)canp_min((uint64_t)max, tail - from), torn = 0;
	uint64_t oldest;

	copy_out(r, from, out, nr);
	oldest = oldest_whole(r, __atomic_load_n(&r->tail, __ATOMIC_RELAXED));
	if (oldest > from)
		torn = (uint32_t)canp_min((uint64_t)nr, oldest - from);
	if (torn)
		memmove(out, out + torn, (nr - torn) * sizeof(*out));
	__atomic_store_n(&cur->overrun, cur->overrun + (from - cur->head) + torn, __ATOMIC_RELAXED);
	__atomic_store_n(&cur->head, from + nr, __ATOMIC_RELEASE); /* R2 */
	return nr - torn;
}

/* The writer of a dropping ring never enters a slot before head hands it back. */
static uint32_t read_dropping(struct canp_evring *r, struct canp_ev *out, uint32_t max)
{
	uint64_t head = r->cur.head; /* only this thread writes it */
	uint64_t have = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - head; /* R1 */
	uint32_t nr = (uint32_t)canp_min((uint64_t)max, have);

	copy_out(r, head, out, nr);
	if (nr)
		__atomic_store_n(&r->cur.head, head + nr, __ATOMIC_RELEASE); /* R2 */
	return nr;
}

uint32_t canp_evring_peek(const struct canp_evring *r, struct canp_evcursor *cur,
			  struct canp_ev *out, uint32_t max)
{
	uint32_t nr = 0;

	for (unsigned i = 0; i < READ_TRIES && !nr && max; i++) {
		if (__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) == cur->head)
			break;
		nr = read_once(r, cur, out, max);
	}
	return nr;
}

uint32_t canp_evring_read(struct canp_evring *r, struct canp_ev *out, uint32_t max)
{
	if (r->full == CANP_EVRING_DROP_NEWEST)
		return read_dropping(r, out, max);
	return canp_evring_peek(r, &r->cur, out, max);
}

void canp_evring_counts(const struct canp_evring *r, struct canp_evring_counts *c)
{
	uint64_t overrun = __atomic_load_n(&r->cur.overrun, __ATOMIC_RELAXED);
	uint64_t head = __atomic_load_n(&r->cur.head, __ATOMIC_ACQUIRE);
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	uint64_t dropped = __atomic_load_n(&r->lost, __ATOMIC_RELAXED), passed = 0;

	if (r->full == CANP_EVRING_OVERWRITE_OLDEST && oldest_whole(r, tail) > head)
		passed = oldest_whole(r, tail) - head;
	c->emitted = tail + dropped;
	c->delivered = head - overrun;
	c->lost = dropped + overrun + passed;
	c->pending = tail - head - passed;
}
