/*
 * task.c - the end of a task and everything its future can do. See task_priv.h for the word of a
 * slot and who may free it.
 *
 * The end comes in this order, so that whoever sees one step finds the earlier ones done: blocks
 * back in the pool, counters, status published (release), waiters woken, continuation. What needs
 * a certain shard (the timer its owner armed, the continuation on its reactor) goes there as mail:
 * a push-only stack of slots that the shard takes as a whole.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/runtime/task_priv.h"
#include "core/runtime/timer.h"
#include "numa/mem.h"

/* A wake-up through the kernel costs microseconds on both sides; a short task is over before. */
#define WAIT_SPINS 200u

static void *futex_addr(struct task_slot *s)
{
	return &s->word; /* little endian: the status half */
}

static void cpu_relax(void)
{
	__builtin_ia32_pause();
}

/* ---- freeing ---- */

static void orphan_put(struct canp_exec *ex)
{
	if (__atomic_sub_fetch(&ex->orphans, 1, __ATOMIC_ACQ_REL))
		return;
	munmap(ex->map, ex->map_bytes);
	free(ex);
}

static void slot_free(struct task_port *p, struct task_slot *s, uint64_t word)
{
	uint64_t gen = (word >> 32) + 1;

	if (canp_unlikely(word & TS_EXTERN))
		s->ext->release(s->arg);
	__atomic_store_n(&s->word, gen << 32, __ATOMIC_RELEASE);
	if (canp_likely(p != NULL))
		canp_task_slot_put(p, (uint32_t)(s - s->ex->slots));
	else
		canp_task_slot_give(s->ex, (uint32_t)(s - s->ex->slots));
}

void canp_task_drop(struct task_port *p, struct task_slot *s, uint64_t bits)
{
	uint64_t w = canp_fword_load(&s->word);

	while (!canp_fword_cas(&s->word, &w, w & ~bits))
		;
	if (canp_fword_over(w) && !(w & ~bits & TS_REFS))
		slot_free(p, s, w);
}

/* ---- mail ---- */

static void mail_send(struct task_port *p, struct task_slot *s, uint64_t word)
{
	struct canp_exec *ex = p->ex;
	unsigned to = word & TS_TIMED ? s->owner : s->home;
	uint32_t *head = &ex->sh[to].mail;
	uint32_t me = (uint32_t)(s - ex->slots) + 1, old = __atomic_load_n(head, __ATOMIC_RELAXED);

	do {
		s->next = old;
	} while (!__atomic_compare_exchange_n(head, &old, me, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
	canp_task_doorbell(ex, p, to, false);
}

static void mail_open(struct task_shard *sh, struct task_port *p, struct task_slot *s)
{
	uint64_t w = canp_fword_load(&s->word);

	if (w & TS_TIMED) {
		canp_timer_heap_del(sh->timers, &sh->nr_timers, &task_cold_of(s)->timer);
		if ((w & TS_DONE) && s->home != sh->index) {
			while (!canp_fword_cas(&s->word, &w, w & ~(uint64_t)TS_TIMED))
				;
			mail_send(p, s, w & ~(uint64_t)TS_TIMED);
			return;
		}
	}
	if (w & TS_DONE) {
		s->done(canp_future_of(s, (uint32_t)(w >> 32)), s->done_arg);
		task_counts_begin(&p->c);
		task_count(&p->c.dones_out, 1);
		task_counts_end(&p->c);
	}
	canp_task_drop(p, s, TS_TIMED | TS_DONE);
}

unsigned canp_task_mail(struct task_shard *sh, struct task_port *p)
{
	struct task_slot *slots = sh->ex->slots;
	uint32_t i, list = 0;
	unsigned n = 0;

	if (canp_likely(!__atomic_load_n(&sh->mail, __ATOMIC_RELAXED)))
		return 0;
	i = __atomic_exchange_n(&sh->mail, 0, __ATOMIC_ACQUIRE);
	while (i) { /* oldest first */
		uint32_t next = slots[i - 1].next;

		slots[i - 1].next = list;
		list = i;
		i = next;
	}
	for (; list; n++) {
		struct task_slot *s = &slots[list - 1];

		list = s->next;
		mail_open(sh, p, s);
	}
	return n;
}

/* ---- the end ---- */

static void end_count(struct task_port *p, unsigned blocks, unsigned recycled, int error)
{
	struct task_counts *c = &p->c;

	task_counts_begin(c);
	task_count(error ? &c->failed : &c->completed, 1);
	if (canp_unlikely(error)) {
		if (error == -ECANCELED)
			task_count(&c->cancelled, 1);
		else if (error == -ETIMEDOUT)
			task_count(&c->timed_out, 1);
	}
	if (blocks) {
		task_count(&c->blocks_out, blocks);
		task_count(&c->recycled, recycled);
	}
	task_counts_end(c);
}

void canp_task_end(struct task_port *p, struct task_slot *s, uint64_t word, int error)
{
	unsigned status = error ? CANP_TASK_FAILED : CANP_TASK_COMPLETED, recycled = 0, n;
	struct canp_exec *ex = p->ex;
	uint64_t w;

	n = s->nr_blocks;
	if (n && !ex->opts.no_memory_management) {
		canp_mem_release_batch(ex->mem, s->blocks, n);
		recycled = n;
	}
	s->nr_blocks = 0;
	end_count(p, n, recycled, error);
	if (!(word & TS_REFS)) { /* nobody else can reach it */
		slot_free(p, s, word);
		return;
	}
	s->error = error;
	if ((word & TS_DONE) && s->home == TASK_NO_SHARD)
		s->home = p->shard >= 0 ? (uint16_t)p->shard : s->owner;
	w = canp_fword_load(&s->word);
	while (!canp_fword_cas(&s->word, &w, (w & ~(uint64_t)(TS_STATUS | TS_WAITERS)) | status))
		;
	if (w & (TS_TIMED | TS_DONE)) {
		if (w & TS_WAITERS)
			syscall(SYS_futex, futex_addr(s), FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL,
				0);
		mail_send(p, s, w);
		return;
	}
	if (!(w & TS_REFS))
		slot_free(p, s, w);
	else if (w & TS_WAITERS) /* spurious at worst: the slot may be another task's already */
		syscall(SYS_futex, futex_addr(s), FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* ---- futures ---- */

static void result_fill(const struct task_slot *s, uint64_t w, struct canp_task_result *r)
{
	const struct task_cold *c = task_cold_of(s);

	memset(r, 0, sizeof(*r));
	r->status = canp_fword_status(w);
	r->error = s->error;
	r->id = (w >> 32) << 32 | (uint32_t)(s - s->ex->slots);
	r->type = task_type(w);
	r->prio = task_prio(w);
	r->created_ns = s->created_ns;
	if (s->started_ns) {
		r->shard = s->ran;
		r->queue_ns = s->started_ns > s->created_ns ? s->started_ns - s->created_ns : 0;
		r->run_ns = s->run_ns;
	}
	if (s->flags & TASK_FLAG_TRACE)
		r->trace = c->trace;
	if (s->flags & TASK_FLAG_MESSAGE)
		memcpy(r->message, c->message, sizeof(r->message));
}

static int wait_sleep(struct task_slot *s, uint32_t word, uint64_t end_ns)
{
	struct timespec ts = {(time_t)(end_ns / (uint64_t)CANP_NS_PER_S),
			      (long)(end_ns % (uint64_t)CANP_NS_PER_S)};

	if (syscall(SYS_futex, futex_addr(s), FUTEX_WAIT_BITSET_PRIVATE, word,
		    end_ns == UINT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY) < 0)
		return -errno;
	return 0;
}

int canp_future_wait(struct canp_future *f, uint32_t timeout_ms, struct canp_task_result *r)
{
	struct task_slot *s = task_slot_of(f);
	uint64_t w, end_ns = UINT64_MAX;
	unsigned spins = 0;
	int rc = 0;

	if (canp_unlikely(canp_fword_load(&s->word) & CANP_FUTURE_FOREIGN))
		return s->ops->wait(f, timeout_ms, r);
	if (timeout_ms && timeout_ms != UINT32_MAX)
		end_ns = canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
	for (;;) {
		w = canp_fword_load(&s->word);
		if (!canp_future_is(w, f) || canp_fword_status(w) == CANP_TASK_FREE)
			return -ESTALE;
		if (canp_fword_over(w))
			break;
		if (!timeout_ms || rc == -ETIMEDOUT)
			return -ETIMEDOUT;
		if (canp_task_on_reactor())
			return -EDEADLK;
		if (spins++ < WAIT_SPINS) {
			cpu_relax();
			continue;
		}
		if (!(w & TS_WAITERS) && !canp_fword_cas(&s->word, &w, w | TS_WAITERS))
			continue;
		rc = wait_sleep(s, (uint32_t)w | TS_WAITERS, end_ns);
	}
	if (r)
		result_fill(s, w, r);
	return 0;
}

int canp_future_cancel(struct canp_future *f)
{
	struct task_slot *s = task_slot_of(f);
	const struct canp_extern_ops *ext;
	uint64_t w = canp_fword_load(&s->word);
	struct task_port *p;
	void *arg;

	if (canp_unlikely(w & CANP_FUTURE_FOREIGN))
		return s->ops->cancel(f);
	for (;;) {
		if (!canp_future_is(w, f) || canp_fword_status(w) == CANP_TASK_FREE)
			return -ESTALE;
		if (canp_fword_over(w))
			return -EALREADY;
		p = canp_fword_status(w) == CANP_TASK_PENDING ? canp_task_port(s->ex) : NULL;
		/* Without a port its runner meets the flag and ends it, as a running one. */
		ext = s->ext;
		arg = s->arg;
		if (canp_fword_cas(&s->word, &w, p ? w + 1 : w | TS_CANCEL))
			break;
	}
	if (p) {
		s->started_ns = 0;
		canp_task_end(p, s, w, -ECANCELED);
		canp_exec_check_idle(p->ex);
	}
	if (w & TS_EXTERN)
		ext->cancel(arg);
	return 0;
}

enum canp_task_status canp_future_status(const struct canp_future *f)
{
	uint64_t w = canp_fword_load(canp_future_slot(f));

	return canp_future_is(w, f) ? canp_fword_status(w) : CANP_TASK_FREE;
}

void canp_future_put(struct canp_future *f)
{
	struct task_slot *s = task_slot_of(f);
	struct canp_exec *ex;
	uint64_t w;

	if (!f)
		return;
	w = canp_fword_load(&s->word);
	if (!canp_future_is(w, f) || !(w & TS_HELD))
		return;
	if (canp_unlikely(w & CANP_FUTURE_FOREIGN)) {
		s->ops->put(f);
		return;
	}
	ex = s->ex;
	if (__atomic_load_n(&ex->dead, __ATOMIC_ACQUIRE)) {
		while (!canp_fword_cas(&s->word, &w, w & ~(uint64_t)TS_HELD))
			;
		if (w & TS_HELD) {
			if (w & TS_EXTERN)
				s->ext->release(s->arg);
			orphan_put(ex);
		}
		return;
	}
	do {
		if (!canp_future_is(w, f) || !(w & TS_HELD))
			return;
	} while (!canp_fword_cas(&s->word, &w, w & ~(uint64_t)TS_HELD));
	if (canp_fword_over(w) && !(w & (TS_TIMED | TS_DONE)))
		slot_free(canp_task_port(ex), s, w);
}
