/*
 * stat.h - counters with one writer. The owner thread adds without a locked instruction; any other
 * thread may read at any time and sees a value that was true at some moment, never a torn one.
 * Several counters read one after the other need not belong to the same moment.
 */
#ifndef CANP_BASE_STAT_H
#define CANP_BASE_STAT_H

#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

struct canp_stat {
	uint64_t v;
};

/* Owner thread. A relaxed load and store compile to plain moves: no lock prefix, no fence. */
static inline void canp_stat_add(struct canp_stat *s, uint64_t n)
{
	__atomic_store_n(&s->v, __atomic_load_n(&s->v, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void canp_stat_set(struct canp_stat *s, uint64_t v)
{
	__atomic_store_n(&s->v, v, __ATOMIC_RELAXED);
}

/* Owner thread: keeps the highest value seen. */
static inline void canp_stat_max(struct canp_stat *s, uint64_t v)
{
	if (v > __atomic_load_n(&s->v, __ATOMIC_RELAXED))
		__atomic_store_n(&s->v, v, __ATOMIC_RELAXED);
}

/* Any thread. */
static inline uint64_t canp_stat_get(const struct canp_stat *s)
{
	return __atomic_load_n(&s->v, __ATOMIC_RELAXED);
}

CANP_END_DECLS

#endif
