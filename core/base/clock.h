/*
 * clock.h - monotonic nanoseconds. The reactor reads the clock once per turn and hands `now_ns`
 * down; nothing below it calls the clock per frame.
 */
#ifndef CANP_BASE_CLOCK_H
#define CANP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "core/base/units.h"

static inline uint64_t canp_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
