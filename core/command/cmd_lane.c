/*
 * cmd_lane.c - the event loop of a lane. One turn: what the epoll set reports (children that ended,
 * bytes in pipes), what others sent (scheduled commands, cancels, ends of other backends),
 * deadlines, then new commands as far as the queue, the limit and the lane's share go.
 *
 * The limit is one counter for the pool. A lane that gives a permit back looks into the queue
 * afterwards, and who pushes looks for sleeping lanes afterwards, so a command and a permit cannot
 * miss each other.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/command/cmd_priv.h"
#include "core/runtime/timer.h"

#define LANE_EVENTS 64
#define LANE_STARTS 64u
#define EV_WAKE     (UINT64_MAX - 1)
#define EV_TIMER    UINT64_MAX

/* ---- waking ---- */

void canp_cmd_kick(struct cmd_lane *l)
{
	uint64_t one = 1;

	if (__atomic_load_n(&l->sleeping, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&l->sleeping, 0, __ATOMIC_SEQ_CST))
		CANP_ASSERT(write(l->efd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
}

void canp_cmd_kick_some(struct canp_cmd_pool *p, uint32_t n)
{
	for (unsigned i = 0; i < p->nr_lanes && n; i++) {
		struct cmd_lane *l = p->lanes[i];

		if (!__atomic_load_n(&l->sleeping, __ATOMIC_SEQ_CST) ||
		    __atomic_load_n(&l->nr_active, __ATOMIC_RELAXED) >= l->share)
			continue;
		canp_cmd_kick(l);
		n--;
	}
}

/* A lane that may start commands now. */
static bool lane_open(const struct cmd_lane *l)
{
	uint32_t stop = __atomic_load_n(&l->pool->stopping, __ATOMIC_SEQ_CST);

	return (!stop || stop == 1 + CANP_CMD_STOP_RUN) && l->nr_active < l->share;
}

static bool lane_has_work(const struct cmd_lane *l)
{
	const struct canp_cmd_pool *p = l->pool;

	if (__atomic_load_n(&p->stopping, __ATOMIC_SEQ_CST) != l->stop_seen)
		return true;
	if (canp_cmd_queue_count(l->inbox) || canp_cmd_queue_count(l->cancels) ||
	    canp_cmd_queue_count(l->ended) || __atomic_load_n(&l->quit, __ATOMIC_SEQ_CST) ||
	    (__atomic_load_n(&p->kill_all, __ATOMIC_SEQ_CST) && !canp_list_empty(&l->active) &&
	     !l->kills_sent))
		return true;
	return lane_open(l) && __atomic_load_n(&p->queued, __ATOMIC_SEQ_CST) &&
	       __atomic_load_n(&p->running, __ATOMIC_SEQ_CST) <
		       __atomic_load_n(&p->limit, __ATOMIC_SEQ_CST);
}

/* Says that the lane sleeps; false: it must not. */
static bool lane_sleep(struct cmd_lane *l)
{
	__atomic_store_n(&l->sleeping, 1, __ATOMIC_SEQ_CST);
	if (!lane_has_work(l))
		return true;
	__atomic_store_n(&l->sleeping, 0, __ATOMIC_SEQ_CST);
	return false;
}

/* ---- permits ---- */

static bool permit_get(struct canp_cmd_pool *p)
{
	uint32_t n = __atomic_load_n(&p->running, __ATOMIC_SEQ_CST), max;

	do {
		if (n >= __atomic_load_n(&p->limit, __ATOMIC_SEQ_CST))
			return false;
	} while (!__atomic_compare_exchange_n(&p->running, &n, n + 1, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	max = __atomic_load_n(&p->running_max, __ATOMIC_RELAXED);
	while (n + 1 > max && !__atomic_compare_exchange_n(&p->running_max, &max, n + 1, true,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return true;
}

static void permit_put(struct canp_cmd_pool *p)
{
	__atomic_fetch_sub(&p->running, 1, __ATOMIC_SEQ_CST);
}

/* ---- deadlines ---- */

void canp_cmd_deadline(struct canp_cmd_call *c, uint64_t at_ns, void (*fn)(struct canp_timer *t))
{
	struct cmd_lane *l = c->lane;

	if (!at_ns) {
		canp_timer_heap_del(l->timers, &l->nr_timers, &c->timer);
		return;
	}
	c->timer.deadline_ns = at_ns;
	c->timer.fn = fn;
	c->timer.arg = c;
	/* Room for every record. */
	CANP_ASSERT(
		!canp_timer_heap_add(l->timers, &l->nr_timers, l->pool->nr_records + 1, &c->timer));
}

static void lane_arm_timer(struct cmd_lane *l)
{
	uint64_t next = canp_timer_heap_next(l->timers, l->nr_timers);
	struct itimerspec its = {0};

	if (next == l->armed_ns)
		return;
	l->armed_ns = next;
	if (next != UINT64_MAX) {
		its.it_value.tv_sec = (time_t)(next / (uint64_t)CANP_NS_PER_S);
		its.it_value.tv_nsec = (long)(next % (uint64_t)CANP_NS_PER_S);
	}
	CANP_ASSERT(timerfd_settime(l->tfd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
}

static void lane_tick(struct canp_timer *t)
{
	struct cmd_lane *l = t->arg;

	if (!l->pool->interval_ms)
		return;
	t->deadline_ns =
		canp_clock_ns() + (uint64_t)l->pool->interval_ms * (uint64_t)CANP_NS_PER_MS;
	canp_timer_heap_add(l->timers, &l->nr_timers, l->pool->nr_records + 1, t);
}

/* ---- starting ---- */

static int lane_pull(struct cmd_lane *l)
{
	struct canp_cmd_pool *p = l->pool;
	unsigned n = 0;

	while (n < LANE_STARTS && lane_open(l) && permit_get(p)) {
		struct canp_cmd_call *c = canp_cmd_take(p);

		if (!c) {
			permit_put(p);
			/* One may have come after the look and before the permit was back. */
			if (__atomic_load_n(&p->queued, __ATOMIC_SEQ_CST))
				continue;
			break;
		}
		n++;
		if (!canp_cmd_begin(l, c))
			permit_put(p);
	}
	return (int)n;
}

/* ---- what others sent ---- */

static int lane_mail(struct cmd_lane *l)
{
	struct canp_cmd_pool *p = l->pool;
	int n = 0;
	uint32_t i;

	for (; canp_cmd_queue_pop(l->ended, &i); n++)
		canp_cmd_over(cmd_call_at(p, i));
	for (; canp_cmd_queue_pop(l->inbox, &i); n++)
		canp_cmd_schedule(l, cmd_call_at(p, i));
	for (; canp_cmd_queue_pop(l->cancels, &i); n++)
		canp_cmd_cancel(l, cmd_call_at(p, i));
	return n;
}

/* ---- events ---- */

static void lane_event(struct cmd_lane *l, const struct epoll_event *e)
{
	uint64_t d = e->data.u64, n;
	uint32_t slot = (uint32_t)d & 0xffffffu;

	if (d == EV_WAKE || d == EV_TIMER) {
		/* Empty is fine: the counter may have been read for an earlier event. */
		CANP_ASSERT(read(d == EV_WAKE ? l->efd : l->tfd, &n, sizeof(n)) > 0 ||
			    errno == EAGAIN);
		if (d == EV_TIMER)
			l->armed_ns = UINT64_MAX;
		return;
	}
	if (slot < l->share && l->calls[slot] && l->gens[slot] == (uint32_t)(d >> 32))
		canp_cmd_process_event(l->calls[slot], (unsigned)(d >> 24) & 0xffu);
}

static void lane_kill_all(struct cmd_lane *l)
{
	struct canp_list *pos, *tmp;

	l->kills_sent = true;
	canp_list_for_each_safe (pos, tmp, &l->active)
		canp_cmd_interrupt(canp_container_of(pos, struct canp_cmd_call, link),
				   CANP_CMD_ERR_CANCELLED);
}

/* Scheduled commands end with the queue. */
static void lane_drop(struct cmd_lane *l)
{
	while (!canp_list_empty(&l->waiting)) {
		struct canp_cmd_call *c =
			canp_container_of(l->waiting.next, struct canp_cmd_call, link);

		canp_cmd_deadline(c, 0, NULL);
		canp_cmd_drop(c, CANP_CMD_ERR_CANCELLED, -ECANCELED);
	}
}

static void lane_stopping(struct cmd_lane *l)
{
	struct canp_cmd_pool *p = l->pool;
	uint32_t stop = __atomic_load_n(&p->stopping, __ATOMIC_SEQ_CST);

	__atomic_store_n(&l->stop_seen, stop, __ATOMIC_SEQ_CST);
	if (!stop) {
		l->kills_sent = false;
		return;
	}
	if (__atomic_load_n(&p->kill_all, __ATOMIC_SEQ_CST))
		lane_kill_all(l);
	if (stop == 1 + CANP_CMD_STOP_DROP)
		lane_drop(l);
	if (!l->nr_active) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_broadcast(&p->quiet);
		pthread_mutex_unlock(&p->lock);
	}
}

int canp_cmd_lane_turn(struct cmd_lane *l, int wait_ms)
{
	struct epoll_event e[LANE_EVENTS];
	int n, did;

	n = epoll_wait(l->ep, e, LANE_EVENTS, wait_ms && lane_sleep(l) ? wait_ms : 0);
	__atomic_store_n(&l->sleeping, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n; i++)
		lane_event(l, &e[i]);
	did = canp_max(n, 0) + lane_mail(l);
	if (l->nr_timers)
		did += (int)canp_timer_heap_run(l->timers, &l->nr_timers, canp_clock_ns());
	lane_stopping(l);
	did += lane_pull(l);
	lane_arm_timer(l);
	if (!wait_ms && !lane_sleep(l)) {
		uint64_t one = 1;

		/* Whoever polls the set finds it readable. */
		CANP_ASSERT(write(l->efd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
	}
	return did;
}

/* ---- making ---- */

int canp_cmd_lane_enter(struct cmd_lane *l)
{
	static const cpu_set_t none;
	cpu_set_t mine;

	l->pid = getpid();
	l->affinity = NULL;
	if (!CPU_EQUAL(&l->pool->affinity, &none) && !sched_getaffinity(0, sizeof(mine), &mine) &&
	    !CPU_EQUAL(&mine, &l->pool->affinity))
		l->affinity = &l->pool->affinity;
	l->tick.fn = lane_tick;
	l->tick.arg = l;
	lane_tick(&l->tick);
	return canp_extern_bind(l->pool->ex);
}

static int lane_map(struct cmd_lane *l)
{
	uint32_t share = l->share, timers = l->pool->nr_records + 1;
	size_t fixed = CMD_SCRATCH + 2 * CMD_PATH_BYTES + 4096 + timers * sizeof(void *) +
		       share * (2 * sizeof(uint32_t) + sizeof(void *));
	char *p;

	fixed = canp_align_up(fixed, (size_t)4096);
	l->map_bytes = fixed + (size_t)share * CMD_RUN_BYTES;
	p = mmap(NULL, l->map_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	l->map = p;
	l->runs = p + fixed;
	l->scratch = p;
	l->path = p + CMD_SCRATCH;
	l->path_env = l->path + CMD_PATH_BYTES;
	l->path_of = l->path_env + CMD_PATH_BYTES;
	l->timers = (struct canp_timer **)(l->path_of + 4096);
	l->calls = (struct canp_cmd_call **)(l->timers + timers);
	l->free = (uint32_t *)(l->calls + share);
	l->gens = l->free + share;
	for (uint32_t i = 0; i < share; i++)
		l->free[i] = share - 1 - i;
	l->nr_free = share;
	return 0;
}

static int lane_fds(struct cmd_lane *l)
{
	struct epoll_event wake = {.events = EPOLLIN, .data.u64 = EV_WAKE};
	struct epoll_event timer = {.events = EPOLLIN, .data.u64 = EV_TIMER};

	l->ep = epoll_create1(EPOLL_CLOEXEC);
	l->tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	l->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->ep < 0 || l->tfd < 0 || l->efd < 0)
		return -errno;
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, l->efd, &wake) ||
	    epoll_ctl(l->ep, EPOLL_CTL_ADD, l->tfd, &timer))
		return -errno;
	return 0;
}

int canp_cmd_lane_create(struct canp_cmd_pool *p, unsigned index, uint32_t share,
			 struct cmd_lane **out)
{
	struct cmd_lane *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->pool = p;
	l->index = index;
	l->share = share;
	l->ep = -1;
	l->tfd = -1;
	l->efd = -1;
	l->armed_ns = UINT64_MAX;
	canp_list_init(&l->active);
	canp_list_init(&l->waiting);
	l->inbox = canp_cmd_queue_create(p->nr_records);
	l->cancels = canp_cmd_queue_create(p->nr_records);
	l->ended = canp_cmd_queue_create(p->nr_records);
	rc = lane_map(l);
	if (!rc && (!l->inbox || !l->cancels || !l->ended))
		rc = -ENOMEM;
	if (!rc)
		rc = lane_fds(l);
	if (rc) {
		canp_cmd_lane_destroy(l);
		return rc;
	}
	*out = l;
	return 0;
}

void canp_cmd_lane_destroy(struct cmd_lane *l)
{
	if (!l)
		return;
	if (l->ep >= 0)
		close(l->ep);
	if (l->tfd >= 0)
		close(l->tfd);
	if (l->efd >= 0)
		close(l->efd);
	canp_cmd_queue_destroy(l->inbox);
	canp_cmd_queue_destroy(l->cancels);
	canp_cmd_queue_destroy(l->ended);
	if (l->map)
		munmap(l->map, l->map_bytes);
	free(l);
}
