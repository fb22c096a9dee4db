/*
 * task_extern.c - futures of work that no reactor runs: commands, foreign calls. The maker says
 * when it starts and ends; waiting, cancelling, statistics and the life of the slot are those of
 * tasks.
 *
 * Such a slot is in no queue and has no timer or continuation of the runtime. A canceller may end
 * it while it is PENDING (then start says so) and only sets the flag once it runs; either way the
 * maker's cancel() tells it to look. release() comes when the slot is given back, so that what the
 * future stands for can live exactly as long as the future.
 */
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/runtime/task_priv.h"

int canp_extern_bind(struct canp_exec *ex)
{
	return canp_task_port(ex) ? 0 : -EAGAIN;
}

int canp_extern_create(struct canp_exec *ex, const struct canp_extern_desc *d,
		       struct canp_future **f)
{
	struct task_port *p = canp_task_port(ex);
	uint64_t gen, bits = CANP_TASK_PENDING | TS_EXTERN;
	struct task_slot *s;
	uint32_t i;

	if (__atomic_load_n(&ex->closing, __ATOMIC_ACQUIRE))
		return -ESHUTDOWN;
	i = p ? canp_task_slot_get(p) : TASK_NONE;
	if (i == TASK_NONE)
		return -EAGAIN;
	s = &ex->slots[i];
	gen = canp_fword_load(&s->word) & ~0xffffffffull;
	memset(&s->fn, 0, offsetof(struct task_slot, ex) - offsetof(struct task_slot, fn));
	s->ext = d->ops;
	s->arg = d->arg;
	s->created_ns = canp_clock_ns();
	s->started_ns = 0;
	s->run_ns = 0;
	s->home = TASK_NO_SHARD;
	if (d->trace) {
		task_cold_of(s)->trace = *d->trace;
		s->flags = TASK_FLAG_TRACE;
	}
	task_counts_begin(&p->c);
	task_count(&p->c.submitted[d->type], 1);
	task_counts_end(&p->c);
	bits |= (uint64_t)d->type << TS_TYPE_SHIFT | (uint64_t)d->prio << TS_PRIO_SHIFT;
	if (d->held)
		bits |= TS_HELD;
	__atomic_store_n(&s->word, gen | bits, __ATOMIC_RELEASE);
	*f = canp_future_of(s, (uint32_t)(gen >> 32));
	return 0;
}

int canp_extern_start(struct canp_future *f)
{
	struct task_slot *s = task_slot_of(f);
	uint64_t w;

	if (!task_claim(s, f, &w, 0))
		return -ECANCELED;
	s->started_ns = canp_clock_ns();
	return 0;
}

bool canp_extern_cancelled(const struct canp_future *f)
{
	return canp_fword_load(canp_future_slot(f)) & TS_CANCEL;
}

void *canp_extern_arg(const struct canp_future *f)
{
	const struct task_slot *s = task_slot_of(f);
	uint64_t w = canp_fword_load(&s->word);

	return canp_future_is(w, f) && (w & TS_EXTERN) ? s->arg : NULL;
}

int canp_extern_end(struct canp_future *f, int error, const char *message)
{
	struct task_slot *s = task_slot_of(f);
	struct task_port *p = canp_task_port(s->ex);
	struct task_cold *c = task_cold_of(s);
	uint64_t w = canp_fword_load(&s->word);

	if (!p)
		return -EAGAIN;
	if (!canp_future_is(w, f) || canp_fword_over(w))
		return -ESTALE;
	if (canp_fword_status(w) == CANP_TASK_PENDING && !task_claim(s, f, &w, 0))
		return -ESTALE;
	if (s->started_ns)
		s->run_ns = canp_clock_ns() - s->started_ns;
	if (message && message[0]) {
		size_t n = canp_min(strlen(message), (size_t)CANP_TASK_MESSAGE_BYTES - 1);

		memcpy(c->message, message, n);
		c->message[n] = 0;
		s->flags |= TASK_FLAG_MESSAGE;
	}
	task_counts_begin(&p->c);
	task_count(&p->c.ran, s->started_ns != 0);
	task_count(&p->c.run_ns, s->run_ns);
	task_counts_end(&p->c);
	canp_task_end(p, s, canp_fword_load(&s->word), error);
	canp_exec_check_idle(p->ex);
	return 0;
}

/* ---- futures that are completed by hand ---- */

static void nothing(void *arg)
{
	(void)arg;
}

int canp_future_create(struct canp_exec *ex, struct canp_future **f)
{
	static const struct canp_extern_ops none = {.cancel = nothing, .release = nothing};
	const struct canp_extern_desc d = {
		.ops = &none, .type = CANP_TASK_CPU, .prio = CANP_PRIO_NORMAL, .held = true};
	int rc = canp_extern_create(ex, &d, f);

	/* Nobody else knows it yet, so it is not over. */
	return rc ? rc : canp_extern_start(*f);
}

int canp_future_complete(struct canp_future *f, int error)
{
	return canp_extern_end(f, error, NULL);
}

bool canp_future_cancelled(const struct canp_future *f)
{
	uint64_t w = canp_fword_load(canp_future_slot(f));

	return canp_future_is(w, f) && (w & TS_CANCEL);
}
