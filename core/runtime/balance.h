/*
 * balance.h - which of several workers should get the next piece of work: the one with the least
 * load, by the depth of its queue and how busy its CPU was. Samples are written by the workers at
 * their own pace, so each has a time, and one that is too old says nothing.
 *
 * A queued piece counts as much as a CPU that is busy all of the time: a worker that runs one long
 * piece and has nothing queued is still the better choice than one with two in its queue.
 */
#ifndef CANP_RUNTIME_BALANCE_H
#define CANP_RUNTIME_BALANCE_H

#include <stdint.h>

/* A CPU that is busy all of the time. */
#define CANP_BALANCE_BUSY 1000u

struct canp_balance_sample {
	uint32_t queue_depth; /* pieces that wait */
	uint32_t busy;        /* 0..CANP_BALANCE_BUSY of its last period; more counts as that */
	uint64_t stamp_ns;    /* when this was true */
};

/* Index of the least loaded worker of w[0..nr), nr >= 1. Of equals the one that is `home`, or the
 * next one behind it, so that what belongs together stays together. Samples older than max_age_ns
 * at now_ns are not looked at (UINT64_MAX: none is too old); when all are too old it is home. Pure;
 * any thread. */
unsigned canp_balance_select(const struct canp_balance_sample *w, unsigned nr, unsigned home,
			     uint64_t now_ns, uint64_t max_age_ns);

#endif
