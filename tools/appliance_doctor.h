/*
 * appliance_doctor.h - the parts of `canp-appliance doctor`.
 */
#ifndef CANP_TOOLS_APPLIANCE_DOCTOR_H
#define CANP_TOOLS_APPLIANCE_DOCTOR_H

#include <stdbool.h>

#include "core/base/strbuf.h"

/* One thing of the kernel that is used where it is there. */
struct canp_kernel_feature {
	const char *name;
	const char *fallback; /* what happens without it */
	bool there;
};

/* Asks the kernel for everything that has a fallback; nothing is changed by that. v gets the first
 * max; returns how many there are. One thread. */
unsigned canp_kernel_features(struct canp_kernel_feature *v, unsigned max);

/* Judges metrics (OpenMetrics text) by rules; see --alerts in tools/appliance_doctor.def. files: nr
 * of them, none: the jobs that run here. The report is written to stdout, as JSON when asked.
 * Returns the exit status: 0 no rule holds, 2 one does (or what it is about is not there), 1
 * something could not be read, 64 a rule is none. */
int canp_alerts(const char *tool, const char *rules, const char *const *files, unsigned nr,
		bool json);

#endif
