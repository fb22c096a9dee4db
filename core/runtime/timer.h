/*
 * timer.h - the deadlines of one shard as a binary heap over an array the shard owns. The nodes
 * (struct canp_timer) are the callers'; a node knows its place, so removing one does not search.
 * No thread and no clock in here: time is passed in.
 */
#ifndef CANP_RUNTIME_TIMER_H
#define CANP_RUNTIME_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct canp_timer;

/* Arms t, or moves it when it is armed already. heap has room for max; *nr are in use. -ENOSPC
 * when full. Timers with equal deadlines run in no particular order. */
int canp_timer_heap_add(struct canp_timer **heap, unsigned *nr, unsigned max, struct canp_timer *t);
/* Disarms t; nothing happens when it is not armed. */
void canp_timer_heap_del(struct canp_timer **heap, unsigned *nr, struct canp_timer *t);
bool canp_timer_heap_armed(struct canp_timer *const *heap, unsigned nr, const struct canp_timer *t);
/* Runs what is due at now_ns, earliest first, each disarmed before its fn. At most as many as were
 * armed at the start, so a timer that re-arms itself in the past cannot hold the loop. Returns how
 * many ran. */
unsigned canp_timer_heap_run(struct canp_timer **heap, unsigned *nr, uint64_t now_ns);
/* Earliest deadline; UINT64_MAX when none. */
uint64_t canp_timer_heap_next(struct canp_timer *const *heap, unsigned nr);

#endif
