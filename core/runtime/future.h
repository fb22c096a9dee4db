/*
 * future.h - what all futures have in common, whoever runs the task behind them. A future is the
 * address of a slot (aligned to 128) with bits of its generation where an aligned user address is
 * free. The slot begins with a 64-bit word: the generation above, below it the 32 bits that are the
 * futex of the future. A slot outside of an executor's table has CANP_FUTURE_FOREIGN set in its
 * word and the address of its owner's functions at CANP_FUTURE_OPS_AT; canp_future_wait() and the
 * others of task.h call these. So whoever holds a future need not know what it waits for.
 */
#ifndef CANP_RUNTIME_FUTURE_H
#define CANP_RUNTIME_FUTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/runtime/task.h"

/* The word; the bits not named here are the owner's. */
#define CANP_FUTURE_STATUS  7u /* enum canp_task_status */
#define CANP_FUTURE_CANCEL  8u
#define CANP_FUTURE_TIMEOUT 16u
#define CANP_FUTURE_WAITERS 32u
#define CANP_FUTURE_HELD    64u
#define CANP_FUTURE_TIMED   128u
#define CANP_FUTURE_DONE    256u
#define CANP_FUTURE_FOREIGN 32768u

#define CANP_FUTURE_OPS_AT 32u

/* As canp_future_wait(), canp_future_cancel() and canp_future_put(). */
struct canp_future_ops {
	int (*wait)(struct canp_future *f, uint32_t timeout_ms, struct canp_task_result *r);
	int (*cancel)(struct canp_future *f);
	void (*put)(struct canp_future *f);
};

static inline struct canp_future *canp_future_of(const void *slot, uint32_t gen)
{
	uint64_t hi = (uint64_t)(gen >> 7 & 0xffffu) << 48;

	return (struct canp_future *)((uintptr_t)slot | (gen & 127u) | hi);
}

static inline void *canp_future_slot(const void *f)
{
	return (void *)((uintptr_t)f & 0x0000ffffffffff80ull);
}

/* The word belongs to the generation that f is of. */
static inline bool canp_future_is(uint64_t word, const void *f)
{
	uint64_t h = (uintptr_t)f;

	return (word >> 32 & 0x7fffffu) == ((h & 127u) | (h >> 48) << 7);
}

/* ---- the word: what an owner does with it ---- */

static inline uint64_t canp_fword_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* The word becomes `to` if it is *old; else *old becomes what it is, and false. */
static inline bool canp_fword_cas(uint64_t *word, uint64_t *old, uint64_t to)
{
	return __atomic_compare_exchange_n(word, old, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline unsigned canp_fword_status(uint64_t word)
{
	return (unsigned)word & CANP_FUTURE_STATUS;
}

/* The task has ended, however it did. */
static inline bool canp_fword_over(uint64_t word)
{
	return canp_fword_status(word) >= CANP_TASK_COMPLETED;
}

/* A full fence; the thread sanitizer understands only the second form. */
static inline void canp_full_fence(void)
{
#ifdef __SANITIZE_THREAD__
	static uint32_t word;

	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* The calling thread is a reactor: it must not wait. */
bool canp_task_on_reactor(void);

#endif
