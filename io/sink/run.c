/*
 * run.c - segment chains and the end of a run's life. A run is a tree of page slots with the run's
 * own slot as root; freeing walks it once. There is no count to keep in step with the contents.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "io/sink/run.h"

uint8_t *canp_segs_room(struct canp_segs *s, struct canp_pool *pool, bool privileged, uint32_t n)
{
	struct canp_seg *seg = s->tail;

	if (!seg || sizeof(seg->data) - seg->used < n) {
		seg = canp_pool_get(pool, privileged);
		CANP_ASSERT(seg && n <= sizeof(seg->data));
		seg->next = NULL;
		seg->used = 0;
		if (s->tail)
			s->tail->next = seg;
		else
			s->head = seg;
		s->tail = seg;
	}
	return seg->data + seg->used;
}

void canp_segs_commit(struct canp_segs *s, uint32_t n)
{
	s->tail->used += n;
	s->bytes += n;
}

void canp_segcut_sync(const struct canp_segcut *cut, struct canp_segs *s)
{
	struct canp_seg *seg = s->tail;
	uint32_t used;

	if (!seg)
		return;
	used = (uint32_t)(cut->at - seg->data);
	s->bytes += used - seg->used;
	seg->used = used;
}

void canp_segcut_grow(struct canp_segcut *cut, struct canp_segs *s, struct canp_pool *pool,
		      bool privileged, uint32_t n)
{
	canp_segcut_sync(cut, s);
	cut->at = canp_segs_room(s, pool, privileged, n);
	cut->end = s->tail->data + sizeof(s->tail->data);
}

void canp_segs_put(struct canp_segs *s, struct canp_pool *pool, bool privileged, const void *data,
		   size_t len)
{
	const uint8_t *p = data;

	while (len) {
		uint8_t *to = canp_segs_room(s, pool, privileged, 1);
		size_t n = canp_min(len, sizeof(s->tail->data) - s->tail->used);

		memcpy(to, p, n);
		canp_segs_commit(s, (uint32_t)n);
		p += n;
		len -= n;
	}
}

void canp_segs_free(struct canp_segs *s, struct canp_pool *pool)
{
	struct canp_seg *seg = s->head;

	while (seg) {
		struct canp_seg *next = seg->next;

		canp_pool_put(pool, seg);
		seg = next;
	}
	memset(s, 0, sizeof(*s));
}

size_t canp_segcur_read(struct canp_segcur *c, void *out, size_t n)
{
	size_t done = 0;

	while (done < n && c->seg) {
		size_t k = canp_min(n - done, (size_t)(c->seg->used - c->off));

		if (out && k)
			memcpy((uint8_t *)out + done, c->seg->data + c->off, k);
		done += k;
		c->off += (uint32_t)k;
		if (c->off == c->seg->used) {
			c->seg = c->seg->next;
			c->off = 0;
		}
	}
	return done;
}

uint32_t canp_segs_slots(const struct canp_segs *s)
{
	uint32_t n = 0;

	for (const struct canp_seg *seg = s->head; seg; seg = seg->next)
		n++;
	return n;
}

uint32_t canp_run_slots(const struct canp_run *run)
{
	uint32_t n = 1 + canp_segs_slots(&run->meta) + canp_segs_slots(&run->ts.val) +
		     canp_segs_slots(&run->ts_ns.val) + (run->raw_lens != NULL);

	for (unsigned i = 0; i < CANP_RUN_RAW_SLOTS; i++)
		n += run->raw_rec[i] != NULL;
	for (uint32_t i = 0; i < CANP_RUN_COL_SLOTS; i++)
		n += run->cols[i] != NULL;
	for (uint32_t i = 0; i < run->nr_cols; i++) {
		const struct canp_runcol *rc = canp_run_col(run, i);

		n += canp_segs_slots(&rc->val) + canp_segs_slots(&rc->lev);
	}
	return n;
}

void canp_run_free(struct canp_run *run, struct canp_pool *pool)
{
	if (!run)
		return;
	for (uint32_t i = 0; i < run->nr_cols; i++) {
		struct canp_runcol *rc = canp_run_col(run, i);

		canp_segs_free(&rc->val, pool);
		canp_segs_free(&rc->lev, pool);
	}
	for (uint32_t i = 0; i < CANP_RUN_COL_SLOTS && run->cols[i]; i++)
		canp_pool_put(pool, run->cols[i]);
	for (unsigned i = 0; i < CANP_RUN_RAW_SLOTS; i++) {
		if (run->raw_rec[i])
			canp_pool_put(pool, run->raw_rec[i]);
	}
	if (run->raw_lens)
		canp_pool_put(pool, run->raw_lens);
	canp_segs_free(&run->meta, pool);
	canp_segs_free(&run->ts.val, pool);
	canp_segs_free(&run->ts_ns.val, pool);
	canp_pool_put(pool, run);
}
