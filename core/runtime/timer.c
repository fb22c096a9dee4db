/*
 * timer.c - a binary min-heap of deadlines. A shard has few timers (retries, progress, flush), so
 * a heap of pointers is both the smallest and the fastest thing; "armed" is read off the heap
 * itself (the node's index points back at the node), so a zeroed node needs no initialiser.
 */
#include "core/runtime/timer.h"

#include <errno.h>

#include "core/runtime/reactor.h"

static void timer_place(struct canp_timer **heap, unsigned i, struct canp_timer *t)
{
	heap[i] = t;
	t->heap_idx = i;
}

static void timer_up(struct canp_timer **heap, unsigned i, struct canp_timer *t)
{
	while (i > 0) {
		unsigned parent = (i - 1) / 2;

		if (heap[parent]->deadline_ns <= t->deadline_ns)
			break;
		timer_place(heap, i, heap[parent]);
		i = parent;
	}
	timer_place(heap, i, t);
}

static void timer_down(struct canp_timer **heap, unsigned nr, unsigned i, struct canp_timer *t)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= nr)
			break;
		if (child + 1 < nr && heap[child + 1]->deadline_ns < heap[child]->deadline_ns)
			child++;
		if (t->deadline_ns <= heap[child]->deadline_ns)
			break;
		timer_place(heap, i, heap[child]);
		i = child;
	}
	timer_place(heap, i, t);
}

bool canp_timer_heap_armed(struct canp_timer *const *heap, unsigned nr, const struct canp_timer *t)
{
	return t->heap_idx < nr && heap[t->heap_idx] == t;
}

void canp_timer_heap_del(struct canp_timer **heap, unsigned *nr, struct canp_timer *t)
{
	struct canp_timer *last;
	unsigned i = t->heap_idx;

	if (!canp_timer_heap_armed(heap, *nr, t))
		return;
	t->heap_idx = UINT32_MAX;
	last = heap[--*nr];
	if (last == t)
		return;
	/* The last node fills the hole and moves to where it belongs, up or down. */
	if (i > 0 && last->deadline_ns < heap[(i - 1) / 2]->deadline_ns)
		timer_up(heap, i, last);
	else
		timer_down(heap, *nr, i, last);
}

int canp_timer_heap_add(struct canp_timer **heap, unsigned *nr, unsigned max, struct canp_timer *t)
{
	/* The caller may have written a new deadline into an armed node: removal looks at every
	 * node but this one, so it does not matter that the heap was sorted by the old one. */
	canp_timer_heap_del(heap, nr, t);
	if (*nr >= max)
		return -ENOSPC;
	timer_up(heap, (*nr)++, t);
	return 0;
}

unsigned canp_timer_heap_run(struct canp_timer **heap, unsigned *nr, uint64_t now_ns)
{
	unsigned left = *nr, ran = 0;

	while (left-- && *nr && heap[0]->deadline_ns <= now_ns) {
		struct canp_timer *t = heap[0];

		canp_timer_heap_del(heap, nr, t);
		ran++;
		t->fn(t);
	}
	return ran;
}

uint64_t canp_timer_heap_next(struct canp_timer *const *heap, unsigned nr)
{
	return nr ? heap[0]->deadline_ns : UINT64_MAX;
}
