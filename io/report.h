/*
 * report.h - what a job tells about itself in JSON.
 */
#ifndef CANP_IO_REPORT_H
#define CANP_IO_REPORT_H

#include "core/base/json.h"
#include "io/ingest.h"

/* The members of `run --json` and of run.json, written into an open object: counts, sizes, speed,
 * memory, machine. After canp_job_run(). */
void canp_report_totals(struct canp_json *js, const struct canp_job *job);

/* One input as an object: path, status, format, counts, damage. */
void canp_report_input(struct canp_json *js, const struct canp_job *job, uint32_t src,
		       unsigned faults_max);

/* "canp", "gz+blf", "" when none was recognised. buf >= 32 bytes; returns buf. */
const char *canp_report_format(const struct canp_file_result *r, char *buf);

#endif
