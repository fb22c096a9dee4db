/*
 * walk.c - helpers of the walkers.
 */
#include "io/format/walk.h"

#include <stdarg.h>
#include <stdio.h>

void canp_walk_fault(const struct canp_format_host *host, enum canp_fault_code code,
		     uint64_t offset, uint64_t bytes, const char *fmt, ...)
{
	struct canp_fault f = {.code = code, .offset = offset, .bytes = bytes};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.detail, sizeof(f.detail), fmt, ap);
	va_end(ap);
	if (host->fault)
		host->fault(host->arg, &f);
}

void canp_walk_limits(const struct canp_format_host *host, struct canp_format_limits *limits)
{
	static const struct canp_format_limits ceiling = {
		.file_inflated_max = CANP_WALK_FILE_MAX,
		.member_inflated_max = CANP_WALK_MEMBER_MAX,
		.ratio_max = CANP_WALK_RATIO_MAX,
	};

	*limits = host->opts ? host->opts->limits : ceiling;
	if (!limits->file_inflated_max)
		limits->file_inflated_max = ceiling.file_inflated_max;
	if (!limits->member_inflated_max)
		limits->member_inflated_max = ceiling.member_inflated_max;
	if (!limits->ratio_max)
		limits->ratio_max = ceiling.ratio_max;
}
