/*
 * process_run.c - a worker picks a task, runs it and publishes the end.
 *
 * Which one: the front of the highest of its four rings; a task that waited CANP_TASK_AGEING_MS for
 * every class that it is below goes first. Every 100 us of work it looks whether another worker has
 * something more urgent in its rings; with nothing of its own it takes what it finds there.
 *
 * The clock is read after each task, but once in up to 8 of them when those before were shorter
 * than that costs and more of them wait; the last one then has the time of all, so sums are exact.
 *
 * The order of stores at the end is what makes a death at any point recoverable: result, outcome,
 * counters, `counted`, the word, `cur`.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/process/process_priv.h"

#define GROUP_MAX   8u
#define SHORT_NS    1000u
#define LOOK_NS     (100 * (uint64_t)CANP_NS_PER_US)
#define AGE_LOOK_NS ((uint64_t)CANP_NS_PER_MS)
#define NEAR_NS     (10 * (uint64_t)CANP_NS_PER_MS) /* a time limit that may be over */
#define AHEAD       4u
#define STEAL_DEPTH 256u

struct proc_self canp_process_self;

/* ---- output ---- */

/* Brings what the function returned to where the caller can read it. 0 or -errno. */
static int output_keep(struct proc_self *w, struct proc_slot *s, void *out, size_t size)
{
	struct canp_process_pool *p = w->p;
	void *to;

	if (!out || size > UINT32_MAX) {
		s->out_size = 0;
		return out ? -E2BIG : 0;
	}
	s->out_size = (uint32_t)size;
	if (canp_process_heap_holds(p, out) || (void *)s == canp_future_slot(out) ||
	    ((uint8_t *)out >= (uint8_t *)p->shm &&
	     (uint8_t *)out < (uint8_t *)p->shm + p->shm_bytes)) {
		s->out = out;
		if (canp_process_heap_is_chunk(p, w->entry + 1, out)) {
			canp_process_heap_hand(p, w->entry + 1, out);
			s->flags |= PF_OUT_CHUNK;
		}
		return 0;
	}
	if (size <= PROC_TINY)
		to = s->tiny;
	else if (size <= PROC_INLINE)
		to = proc_cold_of(p, s)->data;
	else
		to = canp_process_heap_alloc(p, w->entry + 1, size);
	if (to) {
		memcpy(to, out, size);
		s->out = to;
		if (size > PROC_INLINE) {
			canp_process_heap_hand(p, w->entry + 1, to);
			s->flags |= PF_OUT_CHUNK;
		}
	}
	free(out);
	return to ? 0 : -ENOMEM;
}

/* ---- the end ---- */

/* n: 1, or -1 to take it back. */
static void count_outcome(struct proc_entry *e, unsigned outcome, int64_t n)
{
	canp_stat_add(outcome == CANP_PROCESS_OK ? &e->completed : &e->failed, (uint64_t)n);
	if (outcome == CANP_PROCESS_CANCELLED)
		canp_stat_add(&e->cancelled, (uint64_t)n);
	else if (outcome == CANP_PROCESS_TIMEOUT)
		canp_stat_add(&e->timed_out, (uint64_t)n);
}

static void count_end(struct proc_self *w, struct proc_slot *s, unsigned outcome)
{
	struct proc_entry *e = w->e;

	count_outcome(e, outcome, 1);
	canp_stat_add(&e->run_ns, s->ended_ns - s->started_ns);
	canp_hist_add(&e->hist, s->ended_ns > s->created_ns ? s->ended_ns - s->created_ns : 0);
	proc_set64(&e->counted, e->cur_n);
}

static void publish(struct proc_self *w, struct proc_slot *s, unsigned outcome)
{
	uint64_t old = canp_fword_load(&s->word), to;

	do {
		if (canp_fword_status(old) != CANP_TASK_RUNNING) {
			/* Its time was over before its function: nobody reads the result. */
			to = old & ~(uint64_t)PW_BUSY;
		} else {
			to = old & ~(uint64_t)(CANP_FUTURE_STATUS | CANP_FUTURE_WAITERS | PW_BUSY |
					       7ull << PW_OUT_SHIFT);
			to |= (outcome == CANP_PROCESS_OK ? CANP_TASK_COMPLETED
							  : CANP_TASK_FAILED) |
			      (uint64_t)outcome << PW_OUT_SHIFT;
		}
	} while (!canp_fword_cas(&s->word, &old, to));
	if (canp_likely(canp_fword_status(old) == CANP_TASK_RUNNING))
		canp_process_ended(w->p, s, old);
	else if (w->e->counted == w->e->cur_n) /* the time limit came between, and counted it */
		count_outcome(w->e, outcome, -1);
}

static void clock_after(struct proc_self *w)
{
	uint64_t before = w->now_ns, each;

	if (++w->grouped < w->group && w->more &&
	    (!w->s->deadline_ns || w->s->deadline_ns > before + NEAR_NS))
		return;
	w->now_ns = canp_clock_ns();
	each = (w->now_ns - before) / w->grouped;
	w->group = each < SHORT_NS ? GROUP_MAX : 1;
	w->grouped = 0;
}

/* ---- running ---- */

static void run_claimed(struct proc_self *w, struct proc_slot *s)
{
	struct proc_entry *e = w->e;
	/* It may have come after the clock was read. */
	uint64_t start = canp_max(w->now_ns, s->created_ns), word;
	unsigned outcome = CANP_PROCESS_OK;
	size_t size = 0;
	void *out = NULL;
	int rc;

	w->s = s;
	s->pid = e->pid;
	s->started_ns = start;
	rc = s->fn(s->in, s->in_size, &out, &size, s->user);
	clock_after(w);
	s->ended_ns = canp_max(w->now_ns, start);
	s->rc = rc;
	if (rc)
		outcome = CANP_PROCESS_ERROR;
	if (canp_unlikely(out != NULL)) {
		rc = output_keep(w, s, out, size);
		if (rc) {
			s->rc = rc;
			outcome = CANP_PROCESS_ERROR;
		}
	}
	canp_process_heap_sweep(w->p, w->entry + 1, false);
	word = canp_fword_load(&s->word);
	if (canp_unlikely(word & CANP_FUTURE_CANCEL))
		outcome = CANP_PROCESS_CANCELLED;
	else if (canp_unlikely(s->deadline_ns && s->ended_ns >= s->deadline_ns))
		outcome = CANP_PROCESS_TIMEOUT;
	e->cur_outcome = outcome;
	if (canp_likely(canp_fword_status(word) == CANP_TASK_RUNNING))
		count_end(w, s, outcome);
	publish(w, s, outcome);
	w->s = NULL;
}

/* Runs the task of handle f if it can be had; true if it ran. q: the ring whose front it is, NULL:
 * it stays there for its owner. */
static bool run_handle(struct proc_self *w, void *f, struct canp_spsc *q)
{
	struct proc_slot *s = canp_future_slot(f);
	struct proc_entry *e = w->e;
	uint64_t old = canp_fword_load(&s->word), n = e->claimed + 1;
	bool mine = false;

	__atomic_store_n(&e->cur_n, n, __ATOMIC_RELAXED);
	proc_set64(&e->cur, (uint64_t)(uintptr_t)f);
	proc_set64(&e->claimed, n);
	while (canp_future_is(old, f) && canp_fword_status(old) == CANP_TASK_PENDING) {
		uint64_t to = (old & ~(uint64_t)(255u << PW_WORKER_SHIFT)) + 1;

		to |= PW_BUSY | (uint64_t)w->entry << PW_WORKER_SHIFT;
		if (canp_fword_cas(&s->word, &old, to)) {
			mine = true;
			break;
		}
	}
	if (canp_unlikely(!mine))
		proc_set64(&e->claimed, n - 1);
	if (q) {
		canp_spsc_drop(q);
		proc_set64(&e->popped, e->popped + 1);
	}
	if (mine) {
		if (canp_unlikely(proc_get32(&w->p->shm->room_waiters))) {
			__atomic_add_fetch(&w->p->shm->room_seq, 1, __ATOMIC_SEQ_CST);
			canp_process_futex_wake(&w->p->shm->room_seq, 1);
		}
		__atomic_store_n(&e->turns, e->turns + 1, __ATOMIC_RELAXED);
		run_claimed(w, s);
	}
	proc_set64(&e->cur, 0);
	return mine;
}

/* ---- which one ---- */

/* Both lines, to be written: a line that comes for reading has to come a second time. */
static void slot_prefetch(char *s)
{
	__asm__ volatile("prefetchw %0" ::"m"(*s));
	__asm__ volatile("prefetchw %0" ::"m"(s[64]));
}

/* A ring below `top` whose front has waited long enough for its distance. */
static int ring_aged(struct proc_self *w, int top)
{
	if (w->now_ns < w->age_ns)
		return top;
	w->age_ns = w->now_ns + AGE_LOOK_NS;
	for (int i = 0; i < top; i++) {
		void *f = canp_spsc_front(&w->e->q[i]);
		struct proc_slot *s = canp_future_slot(f);
		uint64_t wait_ns = (uint64_t)(top - i) * CANP_TASK_AGEING_MS * CANP_NS_PER_MS;

		if (f && canp_future_is(canp_fword_load(&s->word), f) &&
		    proc_get64(&s->created_ns) + wait_ns < w->now_ns)
			return i;
	}
	return top;
}

static int ring_top(struct proc_self *w, void **f)
{
	for (int i = CANP_PRIO_NR - 1; i >= 0; i--) {
		*f = canp_spsc_front(&w->e->q[i]);
		if (*f)
			return i;
	}
	return -1;
}

static bool steal_class(struct proc_self *w, struct proc_entry *e, unsigned prio)
{
	struct canp_spsc *q = &e->q[prio];
	uint32_t n = canp_spsc_count(q);

	for (uint32_t i = 0; i < canp_min(n, STEAL_DEPTH); i++) {
		void *f = canp_spsc_peek(q, i);
		uint64_t word = f ? canp_fword_load(canp_future_slot(f)) : 0;

		if (!f)
			return false;
		if (!canp_future_is(word, f) || canp_fword_status(word) != CANP_TASK_PENDING)
			continue;
		w->more = false;
		if (!run_handle(w, f, NULL))
			continue;
		canp_stat_add(&w->e->steals, 1);
		return true;
	}
	return false;
}

/* One task above class `above` of another worker. */
static bool steal(struct proc_self *w, int above)
{
	unsigned nr = w->p->nr_entries;

	for (int prio = CANP_PRIO_NR - 1; prio > above; prio--) {
		for (unsigned k = 1; k < nr; k++) {
			unsigned i = (w->entry + k) % nr;
			struct proc_entry *e = &w->p->shm->entries[i];

			if (proc_get32(&e->state) != PE_FREE && steal_class(w, e, (unsigned)prio))
				return true;
		}
	}
	return false;
}

bool canp_process_run_other(struct proc_self *w)
{
	return steal(w, -1);
}

bool canp_process_run_next(struct proc_self *w)
{
	void *f, *next;
	int top = ring_top(w, &f), i;

	if (top < 0)
		return false;
	if (canp_unlikely(w->now_ns >= w->look_ns)) { /* time to look at the others */
		w->look_ns = w->now_ns + LOOK_NS;
		if (top < CANP_PRIO_NR - 1 && w->p->nr_entries > 1 && steal(w, top))
			return true;
	}
	i = ring_aged(w, top);
	if (canp_unlikely(i != top))
		f = canp_spsc_front(&w->e->q[i]);
	w->more = canp_spsc_ahead(&w->e->q[i], 1) != NULL;
	next = canp_spsc_ahead(&w->e->q[i], AHEAD);
	if (next)
		slot_prefetch(canp_future_slot(next));
	run_handle(w, f, &w->e->q[i]);
	return true;
}

/* ---- what a task may call ---- */

void *canp_process_alloc(size_t size)
{
	struct proc_self *w = &canp_process_self;
	void *data = w->s ? canp_process_heap_alloc(w->p, w->entry + 1, size) : NULL;

	if (!data)
		errno = ENOMEM;
	return data;
}

bool canp_process_cancelled(void)
{
	struct proc_self *w = &canp_process_self;
	uint64_t word;

	if (!w->s)
		return false;
	word = canp_fword_load(&w->s->word);
	return (word & CANP_FUTURE_CANCEL) || canp_fword_over(word) ||
	       proc_get32(&w->p->shm->quit) ||
	       (w->s->deadline_ns && canp_clock_ns() >= w->s->deadline_ns);
}

void canp_process_trace(struct canp_trace_ctx *ctx)
{
	struct proc_self *w = &canp_process_self;

	if (w->s && (w->s->flags & PF_TRACE))
		*ctx = proc_cold_of(w->p, w->s)->trace;
	else
		memset(ctx, 0, sizeof(*ctx));
}

void canp_process_message(const char *fmt, ...)
{
	struct proc_self *w = &canp_process_self;
	char *to;
	va_list ap;

	if (!w->s)
		return;
	to = proc_cold_of(w->p, w->s)->message;
	va_start(ap, fmt);
	vsnprintf(to, sizeof(((struct proc_cold *)0)->message), fmt, ap);
	va_end(ap);
	w->s->flags |= PF_MESSAGE;
}

int canp_process_worker_index(void)
{
	return canp_process_self.p ? (int)canp_process_self.entry : -1;
}
