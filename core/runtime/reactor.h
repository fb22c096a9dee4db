/*
 * reactor.h - the loop of one shard. One screen of code in reactor.c; read that first.
 */
#ifndef CANP_RUNTIME_REACTOR_H
#define CANP_RUNTIME_REACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/runtime/mesh.h"
#include "core/runtime/ring.h"

struct canp_shard;

#define CANP_REACTOR_TIMERS_MAX 1024u

/* A poller does a bounded piece of work and returns how much it did (0 = idle). It is called every
 * turn until the budget of the turn (0.5 ms) is spent; it should return within its share. */
/* The poller must stay valid until its poll has returned, also when it deletes itself there. */
struct canp_poller {
	struct canp_list link; /* private */
	const char *name;
	unsigned (*poll)(void *arg, uint64_t now_ns);
	void *arg;
	uint64_t runs, work; /* statistics */
};

struct canp_reactor_stats {
	uint64_t turns, sleeps, stalls; /* stall: a turn over 25 ms */
	uint64_t busy_ns, idle_ns, stall_max_ns;
};

/* Reactor thread (shard set-up callback or another poller) only. */
void canp_reactor_add(struct canp_shard *s, struct canp_poller *p);
void canp_reactor_del(struct canp_shard *s, struct canp_poller *p);
/* One-shot timer: fn runs on the reactor at or after deadline_ns. The node is the caller's. */
struct canp_timer {
	uint64_t deadline_ns;
	void (*fn)(struct canp_timer *t);
	void *arg;
	uint32_t heap_idx; /* private; a zeroed node is not armed */
};
/* Arms t, or moves it when it is armed. -ENOSPC above CANP_REACTOR_TIMERS_MAX. */
int canp_reactor_timer_add(struct canp_shard *s, struct canp_timer *t);
void canp_reactor_timer_del(struct canp_shard *s, struct canp_timer *t);

#endif
