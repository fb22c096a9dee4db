/*
 * process_super.c - the pool's thread in the creating process. Workers answer futures by
 * themselves, so it has only to do with what does not go by plan, and with time: deaths, time
 * limits, cancelled tasks that do not end, workers that do not move, growth and shrinking, rolling
 * restarts, stopping, signals, and the `done` calls of tasks that have one.
 *
 * Its loop is a ring of the runtime (io_uring, or the same operations where that is refused) with
 * a poll on each of its descriptors: the kick of whoever changed something, the zygote's pidfd (its
 * end of the control socket where there are no pidfds), the signals. Each turn looks at everything
 * that may be due under the lock and computes when the next thing will be; when nothing will be, it
 * sleeps without a timer.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/observe/event.h"
#include "core/process/process_priv.h"
#include "core/runtime/ring.h"
#include "numa/sysfile.h"

#define DONE_BATCH    64u
#define STOP_LEAVE_NS (20 * (uint64_t)CANP_NS_PER_MS)

struct super {
	struct canp_process_pool *p;
	struct canp_ring *ring;
	struct canp_ring_op kick, zygote, signals;
	bool kick_on, zygote_on, signals_on; /* polls in flight */
};

void canp_process_changed(struct canp_process_pool *p)
{
	__atomic_add_fetch(&p->events_seq, 1, __ATOMIC_SEQ_CST);
	canp_process_futex_wake(&p->events_seq, INT_MAX);
}

int canp_process_wait_change(struct canp_process_pool *p, uint32_t seq, uint64_t end_ns)
{
	return canp_process_futex_wait(&p->events_seq, seq, end_ns) == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

void canp_process_wake_by(struct canp_process_pool *p, uint64_t at_ns)
{
	if (at_ns >= p->wake_at_ns)
		return;
	p->wake_at_ns = at_ns;
	canp_process_kick(p);
}

/* ---- time limits, cancelled tasks ---- */

static void turn_deadlines(struct canp_process_pool *p, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	if (now_ns < p->deadline_ns)
		return;
	for (unsigned i = 0; i < p->fresh; i++) {
		struct proc_slot *s = &p->slots[i];
		uint64_t w = canp_fword_load(&s->word);
		unsigned status = canp_fword_status(w);

		if (!(w & CANP_FUTURE_TIMED) ||
		    (status != CANP_TASK_PENDING && status != CANP_TASK_RUNNING))
			continue;
		if (s->deadline_ns > now_ns)
			next = canp_min(next, s->deadline_ns);
		else if (!canp_process_end(p, s, w, status, CANP_PROCESS_TIMEOUT))
			next = now_ns; /* it moved on: look again */
	}
	p->deadline_ns = next;
}

/* The worker of a task that should have ended gets its grace time, once for each task. */
static uint64_t turn_grace(struct canp_process_pool *p, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < p->nr_entries; i++) {
		struct proc_entry *e = &p->shm->entries[i];
		struct proc_watch *w = &p->watch[i];
		void *cur = (void *)(uintptr_t)proc_get64(&e->cur);
		uint64_t n = proc_get64(&e->cur_n), word;

		if (!cur || proc_get32(&e->state) != PE_READY)
			continue;
		word = canp_fword_load(canp_future_slot(cur));
		if (!canp_future_is(word, cur) || !(word & PW_BUSY) || proc_runner(word) != i ||
		    !((word & CANP_FUTURE_CANCEL) || canp_fword_over(word)))
			continue;
		if (w->kill_n != n || !w->kill_at_ns) {
			w->kill_n = n;
			w->kill_at_ns = now_ns + p->cfg.cancel_grace_ms * (uint64_t)CANP_NS_PER_MS;
		}
		if (now_ns < w->kill_at_ns) {
			next = canp_min(next, w->kill_at_ns);
		} else if (!w->killed) {
			w->killed = true;
			canp_process_zygote_kill(p, i, SIGKILL);
		}
	}
	return next;
}

/* ---- workers that do not move ---- */

static bool is_stopped(pid_t pid)
{
	char path[64], buf[512], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (canp_sysfile_read("", path, buf, sizeof(buf)) < 0)
		return false;
	at = strrchr(buf, ')');
	return at && at[1] == ' ' && (at[2] == 'T' || at[2] == 't');
}

/* One period without a sign of life. */
static bool beat_missed(struct canp_process_pool *p, unsigned i)
{
	struct proc_entry *e = &p->shm->entries[i];
	struct proc_watch *w = &p->watch[i];
	uint32_t turns = __atomic_load_n(&e->turns, __ATOMIC_RELAXED);
	bool moved = turns != w->beat_turns;

	w->beat_turns = turns;
	if (moved)
		return false;
	if (proc_get64(&e->cur))
		return is_stopped(e->pid); /* a long task is no reason */
	return w->given != proc_get64(&e->popped) && w->beat_given == proc_get64(&e->popped);
}

void canp_process_beat(struct canp_process_pool *p, uint64_t now_ns)
{
	bool any = false;

	if (now_ns < p->beat_at_ns)
		return;
	for (unsigned i = 0; i < p->nr_entries; i++) {
		struct proc_entry *e = &p->shm->entries[i];
		struct proc_watch *w = &p->watch[i];
		bool has = w->given != proc_get64(&e->popped) || proc_get64(&e->cur);

		if (proc_get32(&e->state) != PE_READY || !has) {
			w->misses = 0;
			any |= has;
			continue;
		}
		any = true;
		w->misses = beat_missed(p, i) ? w->misses + 1 : 0;
		w->beat_given = proc_get64(&e->popped);
		if (w->misses < 2)
			continue;
		canp_process_log(p, CANP_PROCESS_LOG_WARN,
				 "worker %u (pid %d) does not move: killed", i, (int)e->pid);
		w->misses = 0;
		w->killed = true;
		canp_process_zygote_kill(p, i, SIGKILL);
	}
	p->beat_at_ns = any ? now_ns + p->cfg.heartbeat_ms * (uint64_t)CANP_NS_PER_MS : UINT64_MAX;
}

/* ---- `done` ---- */

/* Called with the lock, which it gives up for the calls. */
static void turn_done(struct canp_process_pool *p)
{
	struct {
		void (*done)(struct canp_future *f, void *arg);
		struct canp_future *f;
		void *arg;
		struct proc_slot *s;
	} due[DONE_BATCH];
	unsigned n, left;

	do {
		n = 0;
		left = 0;
		for (unsigned i = 0; i < p->nr_notify; i++) {
			struct proc_slot *s = &p->slots[p->notify[i]];
			uint64_t w = canp_fword_load(&s->word);

			if (n == DONE_BATCH || !canp_fword_over(w)) {
				p->notify[left++] = p->notify[i];
				continue;
			}
			due[n].s = s;
			due[n].f = canp_future_of(s, (uint32_t)(w >> 32));
			due[n].done = proc_cold_of(p, s)->done;
			due[n++].arg = proc_cold_of(p, s)->done_arg;
		}
		p->nr_notify = left;
		if (!n)
			return;
		pthread_mutex_unlock(&p->lock);
		for (unsigned i = 0; i < n; i++)
			due[i].done(due[i].f, due[i].arg);
		pthread_mutex_lock(&p->lock);
		for (unsigned i = 0; i < n; i++) {
			uint64_t w = canp_fword_load(&due[i].s->word);

			/* Put before: it waits among the orphans. */
			while (!canp_fword_cas(&due[i].s->word, &w,
					       w & ~(uint64_t)CANP_FUTURE_DONE))
				;
		}
	} while (n == DONE_BATCH);
}

/* ---- workers that came and went ---- */

static void turn_entries(struct canp_process_pool *p, uint64_t now_ns)
{
	for (unsigned i = 0; i < p->nr_entries; i++) {
		struct proc_entry *e = &p->shm->entries[i];
		uint32_t state = proc_get32(&e->state);

		if (p->zygote_dead && (state == PE_STARTING || state == PE_READY)) {
			e->exit_code = CLD_KILLED;
			e->exit_status = SIGKILL;
			state = PE_DEAD;
		}
		if (state == PE_READY && !p->watch[i].seen) {
			p->watch[i].seen = true;
			canp_process_emit(p, CANP_EVENT_WORKER_START, i, (uint64_t)e->pid, 0);
			canp_process_log(p, CANP_PROCESS_LOG_INFO, "worker %u ready, pid %d", i,
					 (int)e->pid);
			canp_process_changed(p);
		}
		if (state == PE_READY && proc_get32(&e->recycle))
			p->watch[i].old = true;
		if (state == PE_DEAD)
			canp_process_dead(p, i, now_ns);
	}
}

static void turn_breaker(struct canp_process_pool *p, uint64_t now_ns)
{
	if (!p->shm->breaker || p->zygote_dead || now_ns < p->breaker_until_ns)
		return;
	canp_process_log(p, CANP_PROCESS_LOG_NOTICE, "breaker closed, trying again");
	p->nr_deaths = 0;
	p->breaker_until_ns = UINT64_MAX;
	proc_set32(&p->shm->breaker, 0);
	canp_process_changed(p);
}

/* ---- stopping ---- */

void canp_process_stop_begin(struct canp_process_pool *p, uint64_t at_ns)
{
	/* Whoever has the least patience. */
	p->stop_at_ns = p->life == PL_STOPPING ? canp_min(p->stop_at_ns, at_ns) : at_ns;
	if (p->life == PL_RUNNING) {
		p->life = PL_STOPPING;
		p->roll_new = -1;
		for (unsigned i = 0; i < p->nr_entries; i++) {
			uint32_t state = proc_get32(&p->shm->entries[i].state);

			if (state == PE_STARTING || state == PE_READY)
				canp_process_retire(p, i);
		}
		__atomic_add_fetch(&p->shm->room_seq, 1, __ATOMIC_SEQ_CST);
		canp_process_futex_wake(&p->shm->room_seq, INT_MAX);
	}
	canp_process_wake_by(p, 0);
}

static void signal_all(struct canp_process_pool *p, int signo)
{
	for (unsigned i = 0; i < p->nr_entries; i++) {
		uint32_t state = proc_get32(&p->shm->entries[i].state);

		if (state != PE_STARTING && state != PE_READY)
			continue;
		p->watch[i].killed = true;
		canp_process_zygote_kill(p, i, signo);
	}
}

/* Idle workers leave by themselves when they are told; who is in a task gets SIGTERM. */
static void stop_tell(struct canp_process_pool *p, uint64_t now_ns)
{
	p->stop_quit = true;
	p->stop_from_ns = now_ns;
	p->stop_late = canp_process_queued(p) > 0;
	for (unsigned i = 0; i < p->nr_entries; i++)
		p->stop_late |= proc_get64(&p->shm->entries[i].cur) != 0;
	canp_process_fail_pending(p, CANP_PROCESS_SHUTDOWN);
	__atomic_store_n(&p->shm->quit, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < p->nr_entries; i++)
		canp_process_bell(p, i);
}

static uint64_t turn_stop(struct canp_process_pool *p, uint64_t now_ns)
{
	uint64_t term_ns, kill_ns;

	if (p->life != PL_STOPPING || !p->nr_alive)
		return UINT64_MAX;
	if (now_ns < p->stop_at_ns && !p->stop_quit)
		return p->stop_at_ns;
	if (!p->stop_quit)
		stop_tell(p, now_ns);
	term_ns = p->stop_from_ns + STOP_LEAVE_NS;
	if (now_ns < term_ns)
		return term_ns;
	if (!p->stop_term) {
		p->stop_term = true;
		signal_all(p, SIGTERM);
		/* A stopped process gets no SIGTERM. */
		signal_all(p, SIGCONT);
	}
	kill_ns = term_ns + p->cfg.stop_grace_ms * (uint64_t)CANP_NS_PER_MS;
	if (now_ns < kill_ns)
		return kill_ns;
	if (!p->stop_kill) {
		p->stop_kill = true;
		signal_all(p, SIGKILL);
	}
	return UINT64_MAX;
}

/* ---- signals ---- */

static void signal_one(struct canp_process_pool *p, int signo)
{
	switch (signo) {
	case SIGTERM:
	case SIGINT:
		canp_process_stop_begin(p, p->terms++ ? 0 : UINT64_MAX);
		break;
	case SIGHUP:
		canp_process_pool_set_log_level(p, canp_process_log_env());
		break;
	case SIGUSR1:
		canp_process_pool_rotate_log(p);
		break;
	case SIGUSR2:
		if (p->life == PL_RUNNING)
			p->roll_to = ++p->shm->generation;
		break;
	default:
		break;
	}
}

static void turn_signals(struct canp_process_pool *p)
{
	struct signalfd_siginfo si;

	while (p->signal_fd >= 0 && read(p->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		signal_one(p, (int)si.ssi_signo);
		pthread_mutex_unlock(&p->lock);
		if (p->cfg.on_signal)
			p->cfg.on_signal((int)si.ssi_signo, p->cfg.on_signal_arg);
		pthread_mutex_lock(&p->lock);
	}
}

/* ---- the loop ---- */

static void poll_done(struct canp_ring_op *op)
{
	*(bool *)op->arg = false;
}

static void poll_arm(struct super *su, struct canp_ring_op *op, int fd, bool *armed)
{
	if (fd < 0 || *armed)
		return;
	memset(op, 0, sizeof(*op));
	op->opcode = CANP_OP_POLL;
	op->fd = fd;
	op->done = poll_done;
	op->arg = armed;
	*armed = true;
	canp_ring_submit(su->ring, op);
}

static void drain(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) > 0)
		;
}

/* One turn; returns when the next is due, 0 when the pool is down. */
static uint64_t super_turn(struct super *su, bool zygote_gone)
{
	struct canp_process_pool *p = su->p;
	uint64_t now_ns, next;

	pthread_mutex_lock(&p->lock);
	now_ns = canp_clock_ns();
	if (zygote_gone && !p->zygote_dead) {
		p->zygote_dead = true;
		proc_set32(&p->shm->breaker, 1);
		p->breaker_until_ns = UINT64_MAX;
		canp_process_log(p, CANP_PROCESS_LOG_ERROR, "the zygote is gone: no more workers");
	}
	turn_signals(p);
	turn_entries(p, now_ns);
	turn_breaker(p, now_ns);
	if (p->zygote_dead)
		canp_process_fail_pending(p, CANP_PROCESS_BROKEN);
	turn_deadlines(p, now_ns);
	next = turn_grace(p, now_ns);
	canp_process_beat(p, now_ns);
	canp_process_scale(p, now_ns);
	canp_process_roll(p, now_ns);
	next = canp_min(next, turn_stop(p, now_ns));
	canp_process_log_size(p);
	turn_done(p);
	canp_process_orphans(p);
	next = canp_min(next, p->deadline_ns);
	next = canp_min(next, p->beat_at_ns);
	next = canp_min(next, canp_process_next_scale(p));
	if (p->shm->breaker)
		next = canp_min(next, p->breaker_until_ns);
	p->wake_at_ns = next;
	if (p->life == PL_STOPPING && !p->nr_alive)
		next = 0;
	pthread_mutex_unlock(&p->lock);
	return next;
}

static void super_run(struct super *su)
{
	struct canp_process_pool *p = su->p;
	bool gone = false;
	uint64_t next;

	for (;;) {
		drain(p->kick_fd);
		__atomic_store_n(&p->shm->kicked, 0, __ATOMIC_SEQ_CST);
		poll_arm(su, &su->kick, p->kick_fd, &su->kick_on);
		if (!gone)
			poll_arm(su, &su->zygote, p->zygote_fd >= 0 ? p->zygote_fd : p->ctl_fd,
				 &su->zygote_on);
		poll_arm(su, &su->signals, p->signal_fd, &su->signals_on);
		next = super_turn(su, gone);
		if (!next)
			return;
		if (next != UINT64_MAX) {
			uint64_t now = canp_clock_ns();

			next = next > now ? next - now : 0;
		}
		canp_ring_wait(su->ring, next);
		gone = gone || !su->zygote_on;
	}
}

static void *super_main(void *arg)
{
	struct canp_process_pool *p = arg;
	struct super su = {.p = p};
	struct canp_ring_opts o = {
		.kind = p->cfg.sync_ring ? CANP_RING_SYNC : CANP_RING_AUTO,
		.entries = 8,
		.sync_threads = 1,
		.iowq_cpu = -1,
	};
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "%.13s-s", p->cfg.pool_name);
	prctl(PR_SET_NAME, name);
	rc = canp_ring_create(&o, &su.ring);
	if (rc) {
		o.kind = CANP_RING_SYNC;
		rc = canp_ring_create(&o, &su.ring);
	}
	pthread_mutex_lock(&p->lock);
	p->start_failed = rc;
	pthread_mutex_unlock(&p->lock);
	if (!rc) {
		super_run(&su);
		canp_ring_destroy(su.ring);
	}
	canp_process_changed(p);
	return NULL;
}

int canp_process_super_start(struct canp_process_pool *p)
{
	sigset_t all, old;
	int rc;

	/* The host's handlers run on the host's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&p->thread, NULL, super_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	p->thread_on = !rc;
	return rc;
}

void canp_process_super_join(struct canp_process_pool *p)
{
	if (p->thread_on)
		pthread_join(p->thread, NULL);
	p->thread_on = false;
}
