/*
 * task_run.c - the poller that runs tasks on a reactor.
 *
 * One call: mail, lanes in, timers, ageing, then tasks in class order until 64 have run or 0.2 ms
 * have passed; with nothing of its own it takes the oldest task of the fullest other shard. The
 * clock is read once per task when tasks are long or somebody asks for the result, else once per
 * group of up to 16, whose time is then exact in sum.
 *
 * Caps: a shard runs one task at a time, so it needs one token per type at most. It keeps the token
 * of the last type until it turns to another type or the call ends. A shard that finds none marks
 * itself in cap_wait and tries again (one of both orders is seen, see task_priv.h); who gives a
 * token back kicks those marked.
 */
#include <errno.h>
#include <execinfo.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/runtime/task_priv.h"
#include "core/runtime/timer.h"

#define RUN_MAX        64u
#define RUN_BUDGET_NS  (200 * (uint64_t)CANP_NS_PER_US)
#define INTAKE_MAX     256u
#define GROUP_MAX      16u
#define STEAL_MAX      8u
#define STEAL_TIME_NS  (20 * (uint64_t)CANP_NS_PER_US)
#define SURPLUS_GAP_NS (50 * (uint64_t)CANP_NS_PER_US)
#define STALL_NS       (25 * (uint64_t)CANP_NS_PER_MS)

/* What a task sees, and what canp_task_cancelled() finds behind it. */
struct task_run {
	struct canp_task_env env;
	struct task_slot *slot;
};

static bool task_late(const struct task_slot *s, uint64_t now_ns)
{
	uint64_t end_by_ns = task_cold_of(s)->end_by_ns;

	return end_by_ns && now_ns >= end_by_ns;
}

bool canp_task_cancelled(const struct canp_task_env *env)
{
	struct task_run *r = canp_container_of(env, struct task_run, env);

	uint64_t w = canp_fword_load(&r->slot->word);

	/* Its timer cannot run while it keeps the owner's thread. */
	return (w & TS_CANCEL) || ((w & TS_TIMED) && task_late(r->slot, canp_clock_ns()));
}

/* ---- waking ---- */

static void shard_kick(struct canp_exec *ex, struct task_port *p, unsigned i)
{
	struct canp_shard *s = __atomic_load_n(&ex->sh[i].s, __ATOMIC_ACQUIRE);

	if (!s || __atomic_load_n(&ex->stopped, __ATOMIC_RELAXED))
		return;
	if (p) {
		task_counts_begin(&p->c);
		task_count(&p->c.wakes, 1);
		task_counts_end(&p->c);
	}
	canp_mesh_kick(s->mesh, s->index);
}

/* Disarmed by the one who kicks, so a sleeper gets one kick however many push. */
static bool shard_ring(struct canp_exec *ex, struct task_port *p, unsigned i)
{
	if (!__atomic_load_n(&ex->sh[i].armed, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&ex->sh[i].armed, 0, __ATOMIC_SEQ_CST))
		return false;
	shard_kick(ex, p, i);
	return true;
}

static void ring_any_idle(struct canp_exec *ex, struct task_port *p)
{
	for (unsigned w = 0; w < (ex->nr + 63) / 64; w++) {
		uint64_t m = __atomic_load_n(&ex->idle[w], __ATOMIC_RELAXED);

		for (; m; m &= m - 1) {
			if (shard_ring(ex, p, w * 64 + (unsigned)__builtin_ctzll(m)))
				return;
		}
	}
}

void canp_task_doorbell(struct canp_exec *ex, struct task_port *p, unsigned i, bool others)
{
	if (p->shard != (int)i)
		canp_full_fence();
	if (!shard_ring(ex, p, i) && others && p->shard != (int)i)
		ring_any_idle(ex, p);
}

static void shard_set_idle(struct task_shard *sh, bool idle)
{
	uint64_t *w = &sh->ex->idle[sh->index / 64], bit = 1ull << (sh->index % 64);

	if (idle && !(__atomic_load_n(w, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(w, bit, __ATOMIC_RELAXED);
	else if (!idle && (__atomic_load_n(w, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_and(w, ~bit, __ATOMIC_RELAXED);
}

/* ---- caps ---- */

static void token_put(struct task_shard *sh)
{
	struct canp_exec *ex = sh->ex;
	int t = sh->token;

	if (t < 0)
		return;
	sh->token = -1;
	__atomic_fetch_sub(&ex->running[t], 1, __ATOMIC_SEQ_CST);
	if (ex->caps[t] >= ex->nr)
		return;
	for (unsigned w = 0; w < (ex->nr + 63) / 64; w++) {
		uint64_t m;

		if (!__atomic_load_n(&ex->cap_wait[t][w], __ATOMIC_SEQ_CST))
			continue;
		m = __atomic_exchange_n(&ex->cap_wait[t][w], 0, __ATOMIC_SEQ_CST);
		for (; m; m &= m - 1)
			shard_kick(ex, NULL, w * 64 + (unsigned)__builtin_ctzll(m));
	}
}

static bool token_try(struct canp_exec *ex, unsigned t)
{
	uint32_t n = __atomic_load_n(&ex->running[t], __ATOMIC_SEQ_CST), max;

	do {
		if (n >= ex->caps[t])
			return false;
	} while (!__atomic_compare_exchange_n(&ex->running[t], &n, n + 1, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	max = __atomic_load_n(&ex->running_max[t], __ATOMIC_RELAXED);
	while (n + 1 > max && !__atomic_compare_exchange_n(&ex->running_max[t], &max, n + 1, true,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return true;
}

static bool token_get(struct task_shard *sh, unsigned t)
{
	struct canp_exec *ex = sh->ex;

	if (canp_likely(sh->token == (int)t))
		return true;
	token_put(sh);
	if (!token_try(ex, t)) {
		__atomic_fetch_or(&ex->cap_wait[t][sh->index / 64], 1ull << (sh->index % 64),
				  __ATOMIC_SEQ_CST);
		if (!token_try(ex, t)) {
			sh->blocked |= 1u << t;
			return false;
		}
	}
	sh->token = (int)t;
	return true;
}

/* ---- arriving ---- */

static void timer_due(struct canp_timer *t)
{
	struct task_shard *sh = t->arg;
	struct task_cold *c = canp_container_of(t, struct task_cold, timer);
	struct task_slot *s = &sh->ex->slots[c - sh->ex->cold];
	uint64_t w = canp_fword_load(&s->word), now = canp_clock_ns();
	bool late = c->end_by_ns && now >= c->end_by_ns;

	while (late && canp_fword_status(w) == CANP_TASK_RUNNING) {
		if (canp_fword_cas(&s->word, &w, w | TS_TIMEOUT | TS_CANCEL))
			return;
	}
	while (canp_fword_status(w) == CANP_TASK_PENDING) {
		uint64_t new = late ? w + 1 : w & ~(uint64_t)TS_SCHED;

		if (!canp_fword_cas(&s->word, &w, new))
			continue;
		if (late) {
			s->started_ns = 0;
			canp_task_end(sh->port, s, w, -ETIMEDOUT);
			return;
		}
		sh->loose |= !(w & TS_PINNED);
		if (w & TS_SCHED)
			canp_task_queue_push(sh, task_prio(w), task_type(w),
					     canp_future_of(s, (uint32_t)(w >> 32)), now);
		break;
	}
	if (!canp_fword_over(w) && c->end_by_ns) {
		t->deadline_ns = c->end_by_ns;
		canp_timer_heap_add(sh->timers, &sh->nr_timers, sh->ex->total, t);
	}
}

void canp_task_accept(struct task_shard *sh, void *handle, uint64_t now_ns)
{
	struct task_slot *s = task_slot_of(handle);
	uint64_t w = canp_fword_load(&s->word);

	if (!canp_future_is(w, handle) || canp_fword_over(w))
		return;
	if (w & TS_TIMED) {
		struct task_cold *c = task_cold_of(s);

		c->timer.deadline_ns = c->end_by_ns ? c->end_by_ns : UINT64_MAX;
		if (w & TS_SCHED)
			c->timer.deadline_ns = canp_min(c->timer.deadline_ns, c->start_at_ns);
		c->timer.fn = timer_due;
		c->timer.arg = sh;
		canp_timer_heap_add(sh->timers, &sh->nr_timers, sh->ex->total, &c->timer);
	}
	sh->loose |= !(w & TS_PINNED);
	if (canp_fword_status(w) == CANP_TASK_PENDING && !(w & TS_SCHED))
		canp_task_queue_push(sh, task_prio(w), task_type(w), handle, now_ns);
}

/* The line is fetched to be written: fetched to be read, the CAS that claims the task would ask the
 * submitter's core for it a second time. (The compiler's own prefetch for writing falls back to one
 * for reading where the base instruction set has no better; this one does nothing there.) */
CANP_INLINE void prefetch_write(const void *p)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" ::"m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* As canp_task_accept() for each; those of one class and type in a row go in at once. */
static void accept_many(struct task_shard *sh, void *const *h, unsigned n, uint64_t now_ns)
{
	unsigned from = 0, i;
	uint64_t kind = 0;

	for (i = 0; i < n; i++) {
		uint64_t w = canp_fword_load(canp_future_slot(h[i])), k;
		bool plain = canp_future_is(w, h[i]) && canp_fword_status(w) == CANP_TASK_PENDING &&
			     !(w & (TS_TIMED | TS_SCHED));

		k = (uint64_t)task_prio(w) << 8 | task_type(w);
		if (i > from && (!plain || k != kind)) {
			canp_task_queue_push_run(sh, (unsigned)(kind >> 8), kind & 255u, h + from,
						 i - from, now_ns);
			from = i;
		}
		kind = k;
		if (canp_likely(plain)) {
			sh->loose |= !(w & TS_PINNED);
		} else {
			canp_task_accept(sh, h[i], now_ns);
			from = i + 1;
		}
	}
	if (i > from)
		canp_task_queue_push_run(sh, (unsigned)(kind >> 8), kind & 255u, h + from, i - from,
					 now_ns);
}

static unsigned shard_intake(struct task_shard *sh, uint64_t now_ns)
{
	struct canp_exec *ex = sh->ex;
	unsigned nr = __atomic_load_n(&ex->nr_ports, __ATOMIC_ACQUIRE), got = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct canp_spsc *q = &ex->ports[i].lanes[sh->index].q;
		void *h[32];
		uint32_t n = 0;

		for (unsigned k = 0; k < INTAKE_MAX / 32; k++) {
			n = canp_spsc_pop(q, h, 32);
			for (uint32_t j = 0; j < n; j++)
				prefetch_write(task_slot_of(h[j]));
			accept_many(sh, h, n, now_ns);
			got += n;
			if (n < 32)
				break;
		}
	}
	return got;
}

static void shard_woken(struct canp_timer *t)
{
	(void)t; /* the next turn polls the shard's own timers */
}

static unsigned shard_timers(struct task_shard *sh, uint64_t now_ns)
{
	uint64_t next = canp_timer_heap_next(sh->timers, sh->nr_timers);
	unsigned n = 0;

	if (canp_likely(next == UINT64_MAX && sh->wake_at_ns == UINT64_MAX))
		return 0;
	if (next <= now_ns)
		n = canp_timer_heap_run(sh->timers, &sh->nr_timers, now_ns);
	next = canp_timer_heap_next(sh->timers, sh->nr_timers);
	if (next == sh->wake_at_ns && next > now_ns)
		return n;
	sh->wake_at_ns = next;
	canp_reactor_timer_del(sh->s, &sh->wake);
	if (next != UINT64_MAX) {
		sh->wake.deadline_ns = next;
		sh->wake.fn = shard_woken;
		/* The reactor's timers may be all out: then this shard looks again at once. */
		if (canp_reactor_timer_add(sh->s, &sh->wake))
			n++;
	}
	return n;
}

/* ---- running ---- */

static void run_count(struct task_port *p, unsigned n, uint64_t ns)
{
	task_counts_begin(&p->c);
	task_count(&p->c.ran, n);
	task_count(&p->c.run_ns, ns);
	task_counts_end(&p->c);
}

/* Closes the group of tasks that ran since group_ns; how long they took decides the next one's. */
static uint64_t group_close(struct task_shard *sh)
{
	uint64_t now = canp_clock_ns();
	unsigned n = sh->grouped;

	if (n) {
		uint64_t ns = now - sh->group_ns;

		run_count(sh->port, n, ns);
		ns /= n;
		sh->group = ns < 1000 ? GROUP_MAX : ns < 5000 ? GROUP_MAX / 4 : 1;
	}
	sh->grouped = 0;
	sh->group_ns = now;
	return now;
}

#ifdef CANP_DEBUG
/* A task that keeps its reactor for so long holds up everything else there: developers are told
 * which one, once a second at most. The function stands as object+offset, for addr2line. */
static void stall_look(const struct task_run *r, canp_task_fn fn, uint64_t from_ns)
{
	static uint64_t last_ns;
	uint64_t now = canp_clock_ns(), last = __atomic_load_n(&last_ns, __ATOMIC_RELAXED);
	void *at = (void *)(uintptr_t)fn;
	char **name;

	if (now - from_ns < STALL_NS || (last && now - last < (uint64_t)CANP_NS_PER_S) ||
	    !__atomic_compare_exchange_n(&last_ns, &last, now, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	name = backtrace_symbols(&at, 1);
	canp_warn("stall: task %llu kept shard %u for %llu ms, the limit is %llu ms: %s",
		  (unsigned long long)r->env.id, r->env.shard,
		  (unsigned long long)((now - from_ns) / (uint64_t)CANP_NS_PER_MS),
		  (unsigned long long)(STALL_NS / (uint64_t)CANP_NS_PER_MS), name ? name[0] : "?");
	free(name);
}
#endif

static int run_fn(struct task_slot *s, struct task_run *r)
{
#ifdef CANP_DEBUG
	uint64_t from = canp_clock_ns();
	canp_task_fn fn = s->fn;
	int rc = fn(&r->env, s->arg);

	stall_look(r, fn, from);
	return rc;
#else
	return s->fn(&r->env, s->arg);
#endif
}

static void run_claimed(struct task_shard *sh, struct task_slot *s, uint64_t w)
{
	bool asked = w & (TS_HELD | TS_DONE);
	struct task_run r = {
		.env = {.exec = sh->ex,
			.id = (w >> 32) << 32 | (uint32_t)(s - sh->ex->slots),
			.shard = sh->index,
			.now_ns = sh->s->now_ns,
			.blocks = s->blocks,
			.nr_blocks = s->nr_blocks,
			.message = sh->message},
		.slot = s,
	};
	int rc;

	if (canp_unlikely(w & TS_TIMED) && task_late(s, sh->group_ns)) {
		s->started_ns = 0;
		canp_task_end(sh->port, s, w, -ETIMEDOUT);
		return;
	}
	if (canp_unlikely(w & TS_CANCEL)) {
		s->started_ns = 0;
		canp_task_end(sh->port, s, w, -ECANCELED);
		return;
	}
	sh->message[0] = 0;
	if (asked) {
		if (sh->grouped)
			group_close(sh);
		s->started_ns = sh->group_ns;
		s->ran = (uint16_t)sh->index;
	}
	rc = run_fn(s, &r);
	sh->grouped++;
	if (asked) {
		uint64_t from = sh->group_ns;

		s->run_ns = group_close(sh) - from;
		if (canp_unlikely(sh->message[0] != 0)) {
			sh->message[CANP_TASK_MESSAGE_BYTES - 1] = 0;
			memcpy(task_cold_of(s)->message, sh->message, CANP_TASK_MESSAGE_BYTES);
			s->flags |= TASK_FLAG_MESSAGE;
		}
	} else if (sh->grouped >= sh->group) {
		group_close(sh);
	}
	if ((w & TS_TIMED) &&
	    ((canp_fword_load(&s->word) & TS_TIMEOUT) || task_late(s, canp_clock_ns())))
		rc = -ETIMEDOUT;
	canp_task_end(sh->port, s, w, rc);
}

/* Runs from the own queues; start_ns is when the call began. */
static unsigned shard_run(struct task_shard *sh, uint64_t start_ns)
{
	unsigned n = 0, qi = 0;
	uint64_t w;

	while (n < RUN_MAX && sh->group_ns - start_ns < RUN_BUDGET_NS) {
		void *h;

		if (!canp_task_queue_best(sh, &qi))
			break;
		if (!token_get(sh, qi % CANP_TASK_NR_TYPES))
			continue;
		h = canp_task_queue_pop(sh, qi);
		if (!task_claim(task_slot_of(h), h, &w, 0))
			continue;
		run_claimed(sh, task_slot_of(h), w);
		n++;
	}
	return n;
}

static unsigned shard_backlog(struct task_shard *v)
{
	struct canp_exec *ex = v->ex;
	unsigned nr = __atomic_load_n(&ex->nr_ports, __ATOMIC_ACQUIRE);
	unsigned n = __atomic_load_n(&v->load, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < nr; i++)
		n += canp_spsc_count(&ex->ports[i].lanes[v->index].q);
	return n;
}

/* Runs a stolen task, and further ones of that shard and these types while they are short: a whole
 * turn for each would cost more than they do. */
static unsigned steal_run(struct task_shard *sh, struct task_shard *victim, uint32_t blocked,
			  struct task_slot *s, uint64_t w)
{
	uint64_t start_ns = group_close(sh);
	unsigned n = 0;

	do {
		run_claimed(sh, s, w);
		n++;
	} while (n < STEAL_MAX && group_close(sh) - start_ns < STEAL_TIME_NS &&
		 (s = canp_task_queue_steal(victim, blocked, &w)) != NULL);
	return n;
}

/* Takes tasks of the fullest shard and runs them. */
static unsigned shard_steal(struct task_shard *sh)
{
	struct canp_exec *ex = sh->ex;
	struct task_shard *victim = NULL;
	unsigned most = 0;
	struct task_slot *s;
	uint64_t w;

	for (unsigned i = 0; i < ex->nr; i++) {
		unsigned n = i == sh->index ? 0 : shard_backlog(&ex->sh[i]);

		if (n > most) {
			most = n;
			victim = &ex->sh[i];
		}
	}
	if (!victim)
		return 0;
	/* A token for a type must be had before the task is won: types are tried one by one. */
	for (unsigned t = 0; t < CANP_TASK_NR_TYPES; t++) {
		uint32_t only = 7u & ~(1u << ((t + 1) % CANP_TASK_NR_TYPES));

		if (sh->blocked >> ((t + 1) % CANP_TASK_NR_TYPES) & 1)
			continue;
		if (!token_get(sh, (t + 1) % CANP_TASK_NR_TYPES))
			continue;
		s = canp_task_queue_steal(victim, only, &w);
		if (!s)
			continue;
		__atomic_store_n(&sh->load, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&sh->armed, 0, __ATOMIC_RELAXED);
		shard_set_idle(sh, false);
		return steal_run(sh, victim, only, s, w);
	}
	return 0;
}

/* More than this shard runs next, and somebody sleeps. */
static void shard_surplus(struct task_shard *sh)
{
	if (!sh->loose || sh->queued < 2 || sh->group_ns < sh->surplus_ns)
		return;
	sh->surplus_ns = sh->group_ns + SURPLUS_GAP_NS;
	ring_any_idle(sh->ex, sh->port);
}

/* True when something came in between; then the shard must not sleep. */
static bool shard_arm(struct task_shard *sh)
{
	struct canp_exec *ex = sh->ex;
	unsigned nr;
	bool any;

	if (__atomic_load_n(&sh->armed, __ATOMIC_RELAXED))
		return false;
	shard_set_idle(sh, true);
	__atomic_store_n(&sh->armed, 1, __ATOMIC_SEQ_CST);
	canp_full_fence();
	any = __atomic_load_n(&sh->mail, __ATOMIC_SEQ_CST) != 0;
	nr = __atomic_load_n(&ex->nr_ports, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < nr && !any; i++)
		any = canp_spsc_count(&ex->ports[i].lanes[sh->index].q) != 0;
	return any;
}

unsigned canp_task_poll(void *arg, uint64_t now_ns)
{
	struct task_shard *sh = arg;
	unsigned work, ran = 0;

	sh->blocked = 0;
	work = canp_task_mail(sh, sh->port);
	work += shard_intake(sh, now_ns);
	work += shard_timers(sh, now_ns);
	if (sh->queued) {
		if (__atomic_load_n(&sh->armed, __ATOMIC_RELAXED))
			__atomic_store_n(&sh->armed, 0, __ATOMIC_RELAXED);
		shard_set_idle(sh, false);
		__atomic_store_n(&sh->load, sh->queued, __ATOMIC_RELAXED);
		canp_task_queue_age(sh, now_ns);
		group_close(sh);
		shard_surplus(sh);
		ran = shard_run(sh, sh->group_ns);
		if (sh->grouped)
			group_close(sh);
		sh->loose = sh->loose && sh->queued;
	}
	if (!ran && sh->ex->nr > 1)
		ran = shard_steal(sh);
	token_put(sh);
	work += ran + canp_task_mail(sh, sh->port);
	if (__atomic_load_n(&sh->load, __ATOMIC_RELAXED) != sh->queued)
		__atomic_store_n(&sh->load, sh->queued, __ATOMIC_RELAXED);
	if (work) {
		canp_exec_check_idle(sh->ex);
		return work;
	}
	return shard_arm(sh);
}
