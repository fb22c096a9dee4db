/*
 * gen_make.c - logs that follow each other in time, as a recorder splits a drive; two devices take
 * turns.
 */
#include "tools/gen_make.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/timeconv.h"
#include "io/outdir.h"
#include "tools/gen_traffic.h"
#include "tools/gen_write.h"
#include "tools/toolmain.h"

#define IDS_DEFAULT 80u

static int gen_fail(const char *what, int err)
{
	fprintf(stderr, "canp-gen: %s: %s\n", what, canp_strerror(err));
	return CANP_EXIT_FATAL;
}

static int write_dbc(const struct canp_gen_traffic *t, const char *path)
{
	FILE *f = fopen(path, "w");
	int rc;

	if (!f)
		return -errno;
	rc = canp_gen_traffic_dbc(t, f);
	return fclose(f) && !rc ? -EIO : rc;
}

/* One file: frames until it has its size. */
static int write_file(const struct canp_gen_log_cfg *cfg, struct canp_gen_traffic *t,
		      struct canp_gen_writer *w, const char *dir, unsigned i)
{
	static const char *const suffix[] = {"canp", "blf", "log"};
	struct canp_gen_frame f;
	char path[4096];
	int rc;

	snprintf(path, sizeof(path), "%s/log_%05u.%s%s", dir, i, suffix[cfg->container],
		 cfg->gz ? ".gz" : "");
	rc = canp_gen_writer_open(w, path, i & 1 ? "CANP-GEN-0002" : "CANP-GEN-0001");
	if (rc)
		return gen_fail(path, rc);
	do {
		canp_gen_traffic_next(t, &f);
		canp_gen_writer_frame(w, &f);
	} while (canp_gen_writer_stored(w) < cfg->size);
	rc = canp_gen_writer_close(w);
	return rc ? gen_fail(path, rc) : CANP_EXIT_OK;
}

static int write_all(const struct canp_gen_log_cfg *cfg, struct canp_gen_traffic *t, unsigned files,
		     const char *dir)
{
	struct canp_gen_write_opts opts = {
		.container = cfg->container,
		.member_bytes = (unsigned)cfg->member_bytes,
		.body_frames = cfg->body_frames,
		.level = cfg->level,
		.gz = cfg->gz,
	};
	struct canp_gen_writer *w;
	int rc;

	rc = canp_outdir_make(dir);
	if (rc)
		return gen_fail(dir, rc);
	rc = canp_gen_writer_create(&opts, &w);
	if (rc)
		return gen_fail("cannot start", rc);
	for (unsigned i = 0; i < files && rc == CANP_EXIT_OK; i++)
		rc = write_file(cfg, t, w, dir, i);
	canp_gen_writer_destroy(w);
	return rc;
}

int canp_gen_make(const struct canp_gen_log_cfg *cfg, unsigned files, const char *dbc,
		  const char *dir, uint64_t *frames, uint64_t *signals)
{
	unsigned ids = cfg->ids ? cfg->ids : IDS_DEFAULT;
	struct canp_gen_traffic *t;
	uint64_t nr_signals;
	int64_t start;
	int rc;

	if (canp_time_parse(cfg->start, strlen(cfg->start), &start) || start < 0)
		return gen_fail("--start before 1970", ERANGE);
	t = canp_gen_traffic_create(cfg->seed, ids, cfg->workload == CANP_CFG_GEN_SPARSE,
				    (uint64_t)start);
	if (!t)
		return gen_fail("cannot start", ENOMEM);
	rc = *dbc ? write_dbc(t, dbc) : 0;
	rc = rc ? gen_fail(dbc, rc) : write_all(cfg, t, files, dir);
	canp_gen_traffic_counts(t, frames, signals ? signals : &nr_signals);
	canp_gen_traffic_destroy(t);
	return rc;
}
