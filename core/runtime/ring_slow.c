/*
 * ring_slow.c - a slower device than the one at hand: completions of reads and writes are held back
 * until a disk of the given latency and bandwidth would have been done with them. For tests of
 * prefetch and backpressure and for benchmarks; it changes no result, so every build has it.
 *
 *   CANP_RING_SLOW=OP:LATENCY_US:MB_PER_S[,OP:..]   OP is read or write; 0 MB/s: as fast as it is
 *
 * The device is one for the whole process: operations of all shards queue for its bandwidth, the
 * latency of several runs at the same time. As each direction has one latency, operations become
 * due in the order in which they came, so a list per direction is all that is needed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/runtime/ring_priv.h"

#define MB_PER_S_MAX   1000000u
#define LATENCY_US_MAX 60000000u

bool canp_ring_slow_on;

static struct {
	uint64_t latency_ns;
	uint64_t mb_per_s; /* 0: no limit */
	uint64_t free_at;  /* atomic: when the device is done with what came before */
} slow[CANP_RING_DIRS];

int canp_ring_slow_set(const char *text)
{
	memset(slow, 0, sizeof(slow));
	canp_ring_slow_on = false;
	while (text && *text) {
		unsigned us, mb;
		char op[8];
		int n = 0;

		if (sscanf(text, "%7[a-z]:%u:%u%n", op, &us, &mb, &n) != 3 ||
		    (text[n] && text[n] != ',') || us > LATENCY_US_MAX || mb > MB_PER_S_MAX ||
		    (strcmp(op, "read") != 0 && strcmp(op, "write") != 0)) {
			memset(slow, 0, sizeof(slow));
			return -EINVAL;
		}
		slow[op[0] == 'w'].latency_ns = us * (uint64_t)CANP_NS_PER_US;
		slow[op[0] == 'w'].mb_per_s = mb;
		text += n + (text[n] == ',');
	}
	for (unsigned d = 0; d < CANP_RING_DIRS; d++)
		canp_ring_slow_on |= slow[d].latency_ns || slow[d].mb_per_s;
	return 0;
}

static void slow_look(void)
{
	const char *text = getenv("CANP_RING_SLOW");

	if (text && canp_ring_slow_set(text))
		canp_warn("CANP_RING_SLOW=%s not understood, ignored", text);
}

void canp_ring_slow_env(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, slow_look);
}

bool canp_ring_slow_hold(struct canp_ring *r, struct canp_ring_op *op)
{
	int dir = canp_ring_dir(op);
	uint64_t now, busy = 0, from, to;

	if (dir < 0 || op->res <= 0 || r->closing)
		return false;
	now = canp_clock_ns();
	if (slow[dir].mb_per_s)
		busy = (uint64_t)op->res * 1000 / slow[dir].mb_per_s;
	from = __atomic_load_n(&slow[dir].free_at, __ATOMIC_RELAXED);
	do {
		to = canp_max(from, now) + busy;
	} while (!__atomic_compare_exchange_n(&slow[dir].free_at, &from, to, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	op->due_ns = to + slow[dir].latency_ns;
	canp_fifo_push(&r->held[dir], &op->node);
	return true;
}

uint64_t canp_ring_slow_release(struct canp_ring *r)
{
	uint64_t now = canp_clock_ns(), next = UINT64_MAX;

	for (unsigned d = 0; d < CANP_RING_DIRS; d++) {
		while (r->held[d].head) {
			struct canp_ring_op *op =
				canp_container_of(r->held[d].head, struct canp_ring_op, node);

			if (op->due_ns > now && !r->closing) {
				next = canp_min(next, op->due_ns - now);
				break;
			}
			canp_fifo_push(&r->ready, canp_fifo_pop(&r->held[d]));
		}
	}
	return next;
}
