/*
 * walk.h - what every walker needs: reporting faults to its host, the limits in force, asking for a
 * pause. Private to io/format.
 */
#ifndef CANP_IO_WALK_H
#define CANP_IO_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "io/format/format.h"

/* Ceilings used where the host gives no options or a limit of 0: there is no "unlimited". Measured
 * CAN data inflates 2 to 7 times; deflate can do 1,030. */
#define CANP_WALK_FILE_MAX   (64ull << 30)
#define CANP_WALK_MEMBER_MAX (256u << 20)
#define CANP_WALK_RATIO_MAX  100u

/* Hands a fault to the host; detail is printf-formatted and cut to fit. Walking thread. */
void canp_walk_fault(const struct canp_format_host *host, enum canp_fault_code code,
		     uint64_t offset, uint64_t bytes, const char *fmt, ...) CANP_PRINTF(5, 6);

/* The limits of the host with the gaps filled. */
void canp_walk_limits(const struct canp_format_host *host, struct canp_format_limits *limits);

static inline bool canp_walk_pause(const struct canp_format_host *host)
{
	return host->should_pause && host->should_pause(host->arg);
}

#endif
