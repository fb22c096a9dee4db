/*
 * clock.h - monotonic nanoseconds. The reactor reads the clock once per turn and hands `now_ns`
 * down; nothing below it calls the clock per frame.
 */
#ifndef CANP_BASE_CLOCK_H
#define CANP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "core/base/compiler.h"
#include "core/base/units.h"

CANP_BEGIN_DECLS

/* A program that is compiled as strict C11 without POSIX has no such clock. */
#ifdef CLOCK_MONOTONIC
static inline uint64_t canp_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}
#endif

CANP_END_DECLS

#endif
