/*
 * mem_help.h - what the tests of the memory pool share.
 */
#ifndef TESTS_LIB_MEM_HELP_H
#define TESTS_LIB_MEM_HELP_H

#include <stdint.h>

#include "numa/mem.h"

/* Bytes of the pool that are in use now. */
static inline uint64_t usage(struct canp_mem *m)
{
	struct canp_mem_stats st;

	canp_mem_stats(m, &st);
	return st.current_memory_usage;
}

#endif
