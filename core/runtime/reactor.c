/*
 * reactor.c - the loop of one shard. Everything a shard does happens inside one turn of it.
 */
#include "core/runtime/reactor.h"

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "core/runtime/runtime_priv.h"
#include "core/runtime/shard.h"
#include "core/runtime/timer.h"

/* Pollers share this much of a turn. Short enough that completions and messages, which free slots
 * for others, do not wait; long enough that the turn's own cost (about 0.1 us) vanishes. */
#define REACTOR_BUDGET_NS (500 * (uint64_t)CANP_NS_PER_US)
/* A turn this long is a bug in a poller: it held up everything else on the core. */
#define REACTOR_STALL_NS (25 * (uint64_t)CANP_NS_PER_MS)
#define REACTOR_RECV_MAX 256u

static unsigned reactor_poll(struct canp_shard *s);
static unsigned reactor_timers(struct canp_shard *s);
static void reactor_submit_wait(struct canp_shard *s, unsigned work);
static bool reactor_stopped(const struct canp_shard *s);
static void reactor_no_handler(void *arg, unsigned from, struct canp_msg *msg, bool returned);

/*
 * One turn. The order is chosen so that what a step sets free is used by the steps after it in the
 * same turn, not in the next:
 *   1 lanes in   messages from other shards; returned ones give slots and credits back
 *   2 reap       callbacks of the operations that the last enter found complete; more slots, data
 *   3 pollers    the work itself, with all of that at hand, until the budget is spent
 *   4 lanes out  what the pollers sent goes out in one push per peer, with one wake-up at most
 *   5 timers     deadlines; what they start is submitted at once
 *   6 submit     one system call takes everything 2, 3 and 5 queued to the kernel and brings
 *                completions back; it sleeps only when steps 1, 2, 3 and 5 found nothing to do
 * A turn with nothing to submit and nothing complete makes no system call at all.
 */
void canp_reactor_run(struct canp_shard *s)
{
	s->now_ns = canp_clock_ns();
	while (!reactor_stopped(s)) {
		unsigned work;

		work = canp_mesh_recv(s->mesh, s->index, REACTOR_RECV_MAX,
				      s->on_msg ? s->on_msg : reactor_no_handler, s->on_msg_arg);
		work += (unsigned)canp_ring_dispatch(s->ring);
		work += reactor_poll(s);
		canp_mesh_flush(s->mesh, s->index);
		work += reactor_timers(s);
		reactor_submit_wait(s, work);
	}
}

static bool reactor_stopped(const struct canp_shard *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE);
}

static void reactor_no_handler(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	(void)arg;
	(void)from;
	(void)msg;
	(void)returned;
	CANP_ASSERT(!"a message for a shard without on_msg");
}

/* Runs each poller once, or as many as the budget allows. Each moves to the tail before it runs,
 * so the next turn begins with those that were left out, and a poller may delete any, itself
 * included. The mark separates those of this turn from those that ran or were added during it. */
static unsigned reactor_poll(struct canp_shard *s)
{
	struct canp_list mark, *l;
	unsigned work = 0;
	bool spent = false;

	canp_list_add_tail(&s->pollers, &mark);
	while ((l = s->pollers.next) != &mark && !spent) {
		struct canp_poller *p = canp_container_of(l, struct canp_poller, link);
		unsigned n;

		canp_list_del(l);
		canp_list_add_tail(&s->pollers, l);
		n = p->poll(p->arg, s->now_ns);
		p->runs++;
		p->work += n;
		work += n;
		/* An idle poller is too quick to be worth a look at the clock. */
		spent = n && canp_clock_ns() - s->now_ns >= REACTOR_BUDGET_NS;
	}
	canp_list_del(&mark);
	return work;
}

static unsigned reactor_timers(struct canp_shard *s)
{
	uint64_t next = canp_timer_heap_next(s->timers, s->nr_timers);

	if (next == UINT64_MAX)
		return 0;
	return canp_timer_heap_run(s->timers, &s->nr_timers, canp_clock_ns());
}

/* The end of a turn becomes the start of the next: one reading of the clock serves both. */
static void reactor_account(struct canp_shard *s, uint64_t now_ns, bool busy)
{
	uint64_t turn_ns = now_ns - s->now_ns;

	s->stats.turns++;
	if (busy)
		s->stats.busy_ns += turn_ns;
	else
		s->stats.idle_ns += turn_ns;
	if (canp_unlikely(turn_ns > REACTOR_STALL_NS)) {
		s->stats.stalls++;
		s->stats.stall_max_ns = canp_max(s->stats.stall_max_ns, turn_ns);
		CANP_USDT2(stall, s->index, turn_ns);
		canp_debug("shard %u: a turn took %llu us", s->index,
			   (unsigned long long)(turn_ns / (uint64_t)CANP_NS_PER_US));
	}
	s->now_ns = now_ns;
}

/* A sleep and its wake-up cost some microseconds on both sides, so a shard with a CPU of its own
 * looks around a little longer first. */
static bool reactor_may_sleep(struct canp_shard *s, unsigned work)
{
	if (work) {
		s->idle_since_ns = 0;
		return false;
	}
	if (!s->idle_since_ns)
		s->idle_since_ns = s->now_ns;
	return s->now_ns - s->idle_since_ns >= s->spin_ns;
}

static void reactor_submit_wait(struct canp_shard *s, unsigned work)
{
	uint64_t deadline_ns, woke_ns;

	if (!reactor_may_sleep(s, work) || !canp_mesh_sleep_prepare(s->mesh, s->index)) {
		canp_ring_enter(s->ring, 0);
		reactor_account(s, canp_clock_ns(), work != 0);
		return;
	}
	reactor_account(s, canp_clock_ns(), false);
	deadline_ns = canp_timer_heap_next(s->timers, s->nr_timers);
	if (deadline_ns != UINT64_MAX)
		deadline_ns = deadline_ns > s->now_ns ? deadline_ns - s->now_ns : 0;
	s->stats.sleeps++;
	CANP_USDT2(reactor_sleep, s->index, deadline_ns);
	canp_ring_enter(s->ring, deadline_ns);
	canp_mesh_sleep_done(s->mesh, s->index);
	woke_ns = canp_clock_ns();
	s->stats.idle_ns += woke_ns - s->now_ns;
	s->now_ns = woke_ns;
	s->idle_since_ns = 0;
}

void canp_reactor_init(struct canp_shard *s)
{
	canp_list_init(&s->pollers);
	s->nr_timers = 0;
	s->idle_since_ns = 0;
}

void canp_reactor_add(struct canp_shard *s, struct canp_poller *p)
{
	CANP_ASSERT(p->poll);
	p->runs = 0;
	p->work = 0;
	canp_list_add_tail(&s->pollers, &p->link);
}

void canp_reactor_del(struct canp_shard *s, struct canp_poller *p)
{
	(void)s;
	canp_list_del(&p->link);
}

int canp_reactor_timer_add(struct canp_shard *s, struct canp_timer *t)
{
	return canp_timer_heap_add(s->timers, &s->nr_timers, CANP_REACTOR_TIMERS_MAX, t);
}

void canp_reactor_timer_del(struct canp_shard *s, struct canp_timer *t)
{
	canp_timer_heap_del(s->timers, &s->nr_timers, t);
}
