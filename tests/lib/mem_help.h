/*
 * mem_help.h - what the tests of the memory pool share.
 */
#ifndef TESTS_LIB_MEM_HELP_H
#define TESTS_LIB_MEM_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "numa/mem.h"

/* Ordinary pages, on the node of the thread. */
static const struct canp_mem_opts usual = {.hugepages = CANP_HUGE_OFF, .node = -1};

/* The caller destroys it. */
static inline struct canp_mem *mem_of(const struct canp_mem_opts *o)
{
	struct canp_mem *m = NULL;

	assert_int_equal(canp_mem_create(o, &m), 0);
	return m;
}

/* A block of the pool; the caller releases it. */
static inline struct canp_block *get(struct canp_mem *m, enum canp_mem_tier t, size_t bytes)
{
	struct canp_block *b = NULL;

	assert_int_equal(canp_mem_alloc(m, t, bytes, &b), 0);
	assert_non_null(b);
	return b;
}

/* Bytes of the pool that are in use now. */
static inline uint64_t usage(struct canp_mem *m)
{
	struct canp_mem_stats st;

	canp_mem_stats(m, &st);
	return st.current_memory_usage;
}

#endif
