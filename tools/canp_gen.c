/*
 * canp_gen.c - canp-gen: makes directories of realistic logs and the database that describes them,
 * for tests, demonstrations and benchmarks. Equal options and seed give equal bytes.
 *
 * The files follow each other in time, as a recorder splits a drive; two devices take turns.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "io/outdir.h"
#include "core/base/timeconv.h"
#include "tools/gen_cfg.h"
#include "tools/gen_model.h"
#include "tools/gen_traffic.h"
#include "tools/gen_write.h"
#include "tools/toolmain.h"

#define IDS_DEFAULT 80u

static struct canp_tool gen_tool(const struct canp_gen_cfg *cfg)
{
	return (struct canp_tool){
		.name = "canp-gen",
		.synopsis = "[OPTION]... DIR",
		.text = "Makes realistic CAN logs for tests and benchmarks.",
		.help = &cfg->help,
		.version = &cfg->version,
	};
}

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
static int write_file(const struct canp_gen_cfg *cfg, struct canp_gen_traffic *t,
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

static int write_all(const struct canp_gen_cfg *cfg, struct canp_gen_traffic *t, const char *dir)
{
	struct canp_gen_write_opts opts = {
		.container = cfg->container,
		.member_bytes = (unsigned)cfg->member_bytes,
		.body_frames = cfg->body_frames,
		.level = cfg->level,
		.gz = cfg->gz,
	};
	struct canp_gen_writer *w;
	uint64_t frames, signals;
	int rc;

	rc = canp_outdir_make(dir);
	if (rc)
		return gen_fail(dir, rc);
	rc = canp_gen_writer_create(&opts, &w);
	if (rc)
		return gen_fail("cannot start", rc);
	for (unsigned i = 0; i < cfg->files && rc == CANP_EXIT_OK; i++)
		rc = write_file(cfg, t, w, dir, i);
	canp_gen_writer_destroy(w);
	if (rc)
		return rc;
	canp_gen_traffic_counts(t, &frames, &signals);
	/* Integers only: hundredths of a signal. */
	fprintf(stderr, "canp-gen: %u files, %llu frames, %llu.%02llu signals a frame\n",
		cfg->files, (unsigned long long)frames, (unsigned long long)(signals / frames),
		(unsigned long long)(signals % frames * 100 / frames));
	return CANP_EXIT_OK;
}

static int gen_run(const struct canp_gen_cfg *cfg, const char *dir)
{
	unsigned ids = cfg->ids ? cfg->ids : IDS_DEFAULT;
	struct canp_gen_traffic *t;
	int64_t start;
	int rc;

	if (canp_time_parse(cfg->start, strlen(cfg->start), &start) || start < 0)
		return gen_fail("--start before 1970", ERANGE);
	t = canp_gen_traffic_create(cfg->seed, ids, cfg->workload == CANP_CFG_GEN_SPARSE,
				    (uint64_t)start);
	if (!t)
		return gen_fail("cannot start", ENOMEM);
	rc = cfg->dbc[0] ? write_dbc(t, cfg->dbc) : 0;
	rc = rc ? gen_fail(cfg->dbc, rc) : write_all(cfg, t, dir);
	canp_gen_traffic_destroy(t);
	return rc;
}

int main(int argc, char **argv)
{
	struct canp_gen_cfg cfg;
	struct canp_opt_bind bind = {&canp_gen_opt_table, &cfg};
	const struct canp_tool tool = gen_tool(&cfg);
	const char *const *operands;
	struct canp_opts *opts;
	const char *dir;
	unsigned nr;
	int rc;

	rc = canp_tool_options(&tool, &bind, 1, argc, argv, &opts);
	if (rc != -1)
		return rc;
	operands = canp_opts_operands(opts, &nr);
	dir = cfg.output[0] ? cfg.output : nr ? operands[0] : "";
	if (!dir[0] || nr > (cfg.output[0] ? 0u : 1u))
		rc = canp_tool_usage(&tool, "give exactly one directory to write to");
	else
		rc = gen_run(&cfg, dir);
	canp_opts_destroy(opts);
	return rc;
}
