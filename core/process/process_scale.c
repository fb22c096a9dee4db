/*
 * process_scale.c - how many workers there are and which ones: deaths and replacements, the
 * breaker, growth and shrinking, rolling restarts. Everything here runs under the pool's lock, most
 * of it on the supervisor.
 *
 * Growth doubles: when nobody is idle and twice as many tasks wait as there are workers, at once;
 * with fewer, when that is still so 5 ms later. A worker above min_workers ends when it was idle
 * for the whole worker_idle_timeout. So constant load, even an uneven one, moves nothing.
 *
 * A roll starts one new worker in a free entry, and only when that is ready an old one is told to
 * finish; there are twice as many entries as workers, so one that takes its time blocks nobody.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/observe/event.h"
#include "core/process/process_priv.h"

#define GROW_LOOK_NS (5 * (uint64_t)CANP_NS_PER_MS)
#define ROLL_TRIES   3

/* ---- starting, ending one ---- */

int canp_process_free_entry(const struct canp_process_pool *p)
{
	for (unsigned i = 0; i < p->nr_entries; i++)
		if (proc_get32(&p->shm->entries[i].state) == PE_FREE)
			return (int)i;
	return -1;
}

unsigned canp_process_active(const struct canp_process_pool *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->nr_entries; i++) {
		uint32_t state = proc_get32(&p->shm->entries[i].state);

		n += (state == PE_STARTING || state == PE_READY) && !p->watch[i].retiring;
	}
	return n;
}

int canp_process_spawn(struct canp_process_pool *p, unsigned i, bool extra)
{
	struct proc_entry *e = &p->shm->entries[i];
	struct proc_watch *w = &p->watch[i];
	bool stopping = p->life == PL_STOPPING;

	if (proc_get32(&e->state) == PE_FREE)
		p->nr_alive++;
	/* Read by anybody who asks for the workers. */
	proc_set32((uint32_t *)&e->pid, 0);
	proc_set32(&e->generation, p->shm->generation);
	e->recycle = 0;
	proc_set32(&e->armed, 0);
	__atomic_store_n(&e->stop, stopping, __ATOMIC_SEQ_CST);
	w->retiring = stopping;
	w->old = false;
	w->extra = extra;
	w->seen = false;
	w->killed = false;
	w->kill_at_ns = 0;
	w->misses = 0;
	w->cpu_at_ns = 0;
	if (!w->live && !stopping) {
		w->live = true;
		p->nr_live++;
	}
	proc_set32(&e->state, PE_STARTING);
	return canp_process_zygote_spawn(p, i);
}

static void unlive(struct canp_process_pool *p, unsigned i)
{
	if (p->watch[i].live)
		p->nr_live--;
	p->watch[i].live = false;
}

void canp_process_retire(struct canp_process_pool *p, unsigned i)
{
	unlive(p, i);
	p->watch[i].retiring = true;
	__atomic_store_n(&p->shm->entries[i].stop, 1, __ATOMIC_SEQ_CST);
	canp_process_bell(p, i);
}

void canp_process_fail_pending(struct canp_process_pool *p, enum canp_process_outcome out)
{
	for (unsigned i = 0; i < p->fresh; i++) {
		uint64_t w = canp_fword_load(&p->slots[i].word);

		if (canp_fword_status(w) == CANP_TASK_PENDING)
			canp_process_end(p, &p->slots[i], w, CANP_TASK_PENDING, out);
	}
}

/* ---- deaths ---- */

static enum canp_process_outcome death_outcome(struct canp_process_pool *p,
					       const struct proc_entry *e, uint64_t word)
{
	bool killed = e->exit_code == CLD_KILLED || e->exit_code == CLD_DUMPED;
	uint64_t ooms = killed && e->exit_status == SIGKILL ? canp_process_cgroup_ooms(p) : 0;
	bool oom = ooms > p->oom_seen;

	if (oom)
		p->oom_seen = ooms;
	if (word & CANP_FUTURE_CANCEL)
		return CANP_PROCESS_CANCELLED;
	if (p->life == PL_STOPPING && p->stop_quit)
		return CANP_PROCESS_SHUTDOWN;
	if (oom || (killed && e->exit_status == SIGXCPU))
		return CANP_PROCESS_RESOURCE;
	return CANP_PROCESS_CRASHED;
}

static void clear_busy(struct proc_slot *s, uint64_t w)
{
	while (!canp_fword_cas(&s->word, &w, w & ~(uint64_t)PW_BUSY))
		;
}

/* The task it was running, if any: see process_priv.h. */
static void death_task(struct canp_process_pool *p, unsigned i, uint64_t now_ns)
{
	struct proc_entry *e = &p->shm->entries[i];
	void *cur = (void *)(uintptr_t)e->cur;
	struct proc_slot *s = canp_future_slot(cur);
	uint64_t w = cur ? canp_fword_load(&s->word) : 0;
	bool mine = cur && canp_future_is(w, cur) && (w & PW_BUSY) && proc_runner(w) == i;

	if (cur && !mine && e->counted != e->cur_n && e->claimed == e->cur_n)
		e->claimed = e->cur_n - 1;
	if (mine && canp_fword_status(w) == CANP_TASK_RUNNING) {
		enum canp_process_outcome out = e->cur_outcome;

		if (e->counted == e->cur_n) { /* all was there but the word */
			uint64_t to = (w & ~(uint64_t)(CANP_FUTURE_STATUS | CANP_FUTURE_WAITERS |
						       PW_BUSY)) |
				      (uint64_t)out << PW_OUT_SHIFT;

			to |= out == CANP_PROCESS_OK ? CANP_TASK_COMPLETED : CANP_TASK_FAILED;
			while (!canp_fword_cas(&s->word, &w, to))
				;
			canp_process_ended(p, s, w);
		} else {
			out = death_outcome(p, e, w);
			s->signo = e->exit_code == CLD_EXITED ? 0 : (uint8_t)e->exit_status;
			s->ended_ns = now_ns;
			clear_busy(s, w);
			canp_process_end(p, s, canp_fword_load(&s->word), CANP_TASK_RUNNING, out);
		}
	} else if (mine) {
		clear_busy(s, w);
	}
	proc_set64(&e->cur, 0);
}

static void death_rings(struct proc_entry *e)
{
	uint32_t heads = 0;

	for (unsigned k = 0; k < CANP_PRIO_NR; k++)
		heads += e->q[k].head;
	e->popped += heads - (uint32_t)e->popped;
}

/* Tasks that wait for a worker that nobody replaces. */
static void death_requeue(struct canp_process_pool *p, unsigned i)
{
	struct proc_entry *e = &p->shm->entries[i];
	unsigned to = i;

	for (unsigned k = 0; k < CANP_PRIO_NR; k++) {
		void *f;

		while (canp_spsc_pop(&e->q[k], &f, 1)) {
			uint64_t w = canp_fword_load(canp_future_slot(f));

			e->popped++;
			if (!canp_future_is(w, f) || canp_fword_status(w) != CANP_TASK_PENDING)
				continue;
			for (unsigned n = 0; n < p->nr_entries; n++) {
				to = (to + 1) % p->nr_entries;
				if (p->watch[to].live && canp_spsc_room(&p->shm->entries[to].q[k]))
					break;
			}
			if (p->watch[to].live)
				canp_process_push(p, to, f, k);
			else
				canp_process_end(p, canp_future_slot(f), w, CANP_TASK_PENDING,
						 p->life == PL_RUNNING ? CANP_PROCESS_BROKEN
								       : CANP_PROCESS_SHUTDOWN);
			canp_process_bell(p, to);
		}
	}
}

/* Too many in too short a time: nothing is started for a while. */
static void breaker_count(struct canp_process_pool *p, uint64_t now_ns)
{
	unsigned max = canp_min(p->cfg.restart_max, (uint32_t)CANP_ARRAY_SIZE(p->deaths_ns));
	uint64_t window_ns = p->cfg.restart_window_ms * (uint64_t)CANP_NS_PER_MS;
	uint64_t first;

	if (p->shm->breaker)
		return;
	p->deaths_ns[p->nr_deaths++ % max] = now_ns;
	first = p->nr_deaths >= max ? p->deaths_ns[p->nr_deaths % max] : 0;
	if (p->nr_deaths < max || now_ns - first > window_ns)
		return;
	proc_set32(&p->shm->breaker, 1);
	p->breaker_until_ns = now_ns + window_ns;
	canp_process_log(p, CANP_PROCESS_LOG_ERROR, "%u workers died within %u ms: breaker open",
			 max, p->cfg.restart_window_ms);
	canp_process_fail_pending(p, CANP_PROCESS_BROKEN);
	__atomic_add_fetch(&p->shm->room_seq, 1, __ATOMIC_SEQ_CST);
	canp_process_futex_wake(&p->shm->room_seq, INT_MAX);
}

static bool replace(struct canp_process_pool *p, unsigned i, bool regular)
{
	bool work = p->watch[i].given != p->shm->entries[i].popped;

	if (p->zygote_dead)
		return false;
	if (p->life == PL_STOPPING)
		return work && !p->stop_quit;
	if (p->life != PL_RUNNING || p->shm->breaker)
		return false;
	/* It was to go, and only what it left is to be done; or the roll counts the attempts. */
	if (p->watch[i].retiring || p->watch[i].extra)
		return false;
	return !regular && canp_process_active(p) < p->want + (p->roll_new >= 0);
}

void canp_process_dead(struct canp_process_pool *p, unsigned i, uint64_t now_ns)
{
	struct proc_entry *e = &p->shm->entries[i];
	struct proc_watch *w = &p->watch[i];
	bool ready = w->seen || e->ready_ns;
	bool regular = w->retiring && ((e->exit_code == CLD_EXITED && e->exit_status == 0) ||
				       (p->life == PL_STOPPING && w->killed));
	bool again;

	death_task(p, i, now_ns);
	death_rings(e);
	canp_process_heap_sweep(p, i + 1, true);
	e->ready_ns = 0;
	canp_process_emit(p, regular ? CANP_EVENT_WORKER_EXIT : CANP_EVENT_WORKER_CRASH, i,
			  (uint64_t)e->pid, (uint64_t)e->exit_status);
	canp_process_log(p, regular ? CANP_PROCESS_LOG_INFO : CANP_PROCESS_LOG_WARN,
			 "worker %u (pid %d) %s %d", i, (int)e->pid,
			 e->exit_code == CLD_EXITED ? "ended with" : "was killed by signal",
			 (int)e->exit_status);
	if (!regular && !w->killed)
		breaker_count(p, now_ns);
	if (!ready && e->exit_code == CLD_EXITED)
		p->start_failed = -ECHILD;
	again = replace(p, i, regular);
	if (again) {
		canp_stat_add(&p->shm->restarts, 1);
		canp_process_spawn(p, i, w->extra);
	} else {
		unlive(p, i);
		w->retiring = false;
		w->old = false;
		proc_set32(&e->state, PE_FREE);
		p->nr_alive--;
		death_requeue(p, i);
	}
	canp_process_changed(p);
}

/* ---- growth and shrinking ---- */

static bool any_starting(const struct canp_process_pool *p)
{
	for (unsigned i = 0; i < p->nr_entries; i++)
		if (proc_get32(&p->shm->entries[i].state) == PE_STARTING)
			return true;
	return false;
}

static void grow(struct canp_process_pool *p, uint64_t now_ns, unsigned active)
{
	uint64_t queued = canp_process_queued(p);
	bool second = now_ns >= p->scale_at_ns;
	unsigned n;

	p->scale_at_ns = UINT64_MAX;
	if (!queued || active >= (unsigned)p->cfg.max_workers) {
		p->grow_asked = false;
		return;
	}
	if (second || queued >= 2 * (uint64_t)active) {
		n = canp_min(active, (unsigned)p->cfg.max_workers - active);
		n = (unsigned)canp_min((uint64_t)n, queued);
		if (!any_starting(p))
			p->want = active + n;
	}
	p->grow_asked = false;
	p->scale_at_ns = now_ns + GROW_LOOK_NS;
}

static void shrink(struct canp_process_pool *p, uint64_t now_ns, unsigned active)
{
	uint64_t idle_ns = p->cfg.worker_idle_timeout * (uint64_t)CANP_NS_PER_MS;
	uint64_t next = UINT64_MAX;

	p->idle_at_ns = UINT64_MAX;
	if (active <= (unsigned)p->cfg.min_workers)
		return;
	for (unsigned i = p->nr_entries; i-- > 0;) {
		struct proc_entry *e = &p->shm->entries[i];
		uint64_t since = proc_get64(&e->idle_ns);

		if (proc_get32(&e->state) != PE_READY || p->watch[i].retiring)
			continue;
		if (!since)
			since = now_ns;
		if (since + idle_ns > now_ns || active <= (unsigned)p->cfg.min_workers) {
			next = canp_min(next, canp_max(since + idle_ns, now_ns));
			continue;
		}
		canp_process_retire(p, i);
		p->want = --active;
	}
	if (active > (unsigned)p->cfg.min_workers)
		p->idle_at_ns = canp_max(next, now_ns + (uint64_t)CANP_NS_PER_MS);
}

void canp_process_scale(struct canp_process_pool *p, uint64_t now_ns)
{
	unsigned active = canp_process_active(p), extra = p->roll_new >= 0;
	int i;

	if (p->life != PL_RUNNING || p->shm->breaker)
		return;
	if (p->cfg.enable_dynamic_scaling) {
		if (p->grow_asked || now_ns >= p->scale_at_ns)
			grow(p, now_ns, active);
		shrink(p, now_ns, active);
		active = canp_process_active(p);
	}
	while (active < p->want + extra && (i = canp_process_free_entry(p)) >= 0) {
		if (canp_process_spawn(p, (unsigned)i, false))
			break;
		active++;
	}
	/* Fewer were asked for. */
	for (unsigned k = p->nr_entries; k-- > 0 && active > p->want + extra && active > 1;) {
		if (proc_get32(&p->shm->entries[k].state) != PE_READY || p->watch[k].retiring)
			continue;
		canp_process_retire(p, k);
		active--;
	}
}

uint64_t canp_process_next_scale(const struct canp_process_pool *p)
{
	if (p->life != PL_RUNNING || !p->cfg.enable_dynamic_scaling)
		return UINT64_MAX;
	return canp_min(p->scale_at_ns, p->idle_at_ns);
}

/* ---- rolling restart ---- */

static int roll_oldest(struct canp_process_pool *p)
{
	for (unsigned i = 0; i < p->nr_entries; i++) {
		struct proc_watch *w = &p->watch[i];
		struct proc_entry *e = &p->shm->entries[i];

		if (proc_get32(&e->state) == PE_READY && !w->retiring &&
		    (w->old || (int32_t)(e->generation - p->roll_to) < 0))
			return (int)i;
	}
	return -1;
}

static void roll_fail(struct canp_process_pool *p)
{
	p->roll_new = -1;
	if (++p->roll_failed < ROLL_TRIES)
		return;
	canp_process_log(p, CANP_PROCESS_LOG_ERROR, "restart given up: new workers do not start");
	for (unsigned i = 0; i < p->nr_entries; i++) {
		proc_set32(&p->shm->entries[i].generation, p->roll_to);
		p->watch[i].old = false;
		p->shm->entries[i].recycle = 0;
	}
}

void canp_process_roll(struct canp_process_pool *p, uint64_t now_ns)
{
	int old = roll_oldest(p), i;

	(void)now_ns;
	if (p->life != PL_RUNNING || p->shm->breaker)
		return;
	if (p->roll_new >= 0) {
		uint32_t state = proc_get32(&p->shm->entries[p->roll_new].state);

		if (state == PE_FREE) {
			roll_fail(p);
		} else if (state == PE_READY) {
			p->watch[p->roll_new].extra = false;
			p->roll_new = -1;
			if (old >= 0)
				canp_process_retire(p, (unsigned)old);
			old = roll_oldest(p);
		}
	}
	if (old < 0 || p->roll_new >= 0)
		return;
	i = canp_process_free_entry(p);
	if (i < 0)
		return; /* the next end makes one free */
	if (!canp_process_spawn(p, (unsigned)i, true))
		p->roll_new = i;
}
