/*
 * benchjob_keys.c - what the keys of a section mean: fio's names and forms of values become those
 * of the option rows, the rows check them, and the structs are made ready to run.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "tools/benchjob.h"

/* Other names of the same keys. */
static const struct {
	const char *key, *row;
} aliases[] = {
	{"blocksize", "bs"},
	{"mem", "iomem"},
	{"iodepth-batch-submit", "iodepth-batch"},
	{"readwrite", "rw"},
	{"filesize", "size"},
	{"files", "nrfiles"},
	{"block", "member-bytes"},
	{"wait-for-previous", "stonewall"},
	{"start-delay", "startdelay"},
	{"timeout", "runtime"},
	{"steadystate-duration", "ss-dur"},
	{"steadystate-ramp-time", "ss-ramp"},
	{"ss", "steadystate"},
	{"randseed", "seed"},
	{"mem-mb", "mem-per-core"},
	{"rowgroup", "rowgroup-rows"},
	{"compression", "codec"},
	{"input", "filename"},
};

const char *canp_benchjob_key(const char *key)
{
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(aliases); i++)
		if (!strcmp(key, aliases[i].key))
			return aliases[i].row;
	return key;
}

static int fail(struct canp_strbuf *err, const char *where, const char *fmt, ...) CANP_PRINTF(3, 4);

static int fail(struct canp_strbuf *err, const char *where, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	canp_strbuf_printf(err, "%s: %s", where, text);
	return -EINVAL;
}

static bool only_digits(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isdigit((unsigned char)*s))
			return false;
	return true;
}

/* output=parquet|csv|null: the form of the dataset, as the issue of a job is called there. A
 * folder is not taken: datasets of a benchmark are removed. */
static int set_output(struct canp_benchjob *j, const char *value, enum canp_opt_origin origin,
		      const char *where)
{
	if (!strcmp(value, "null"))
		return canp_opts_set(j->cli.opts, "discard", "yes", origin, where);
	return canp_opts_set(j->cli.opts, "sink", value, origin, where);
}

static int set_pair(struct canp_benchjob *j, const struct canp_benchjob_pair *p,
		    enum canp_opt_origin origin, struct canp_strbuf *err)
{
	const char *key = canp_benchjob_key(p->key);
	const struct canp_opt *row = canp_opts_find(j->cli.opts, key);
	const char *value = p->value, *where = p->where;
	char seconds[64];
	int rc;

	/* --no-x is x=0, as on other command lines. */
	if (!row && !value && !strncmp(key, "no-", 3)) {
		row = canp_opts_find(j->cli.opts, canp_benchjob_key(key + 3));
		if (row && row->kind == CANP_OPT_BOOL) {
			key = row->name;
			value = "no";
		}
	}
	if (row && !value && row->kind == CANP_OPT_BOOL)
		value = "yes";
	if (row && !value)
		return fail(err, where, "%s needs a value: %s=..", p->key, p->key);
	if (row && row->kind == CANP_OPT_DURATION && only_digits(value) && strlen(value) < 20) {
		snprintf(seconds, sizeof(seconds), "%ss", value);
		value = seconds;
	}
	rc = row && !strcmp(key, "output")
		     ? set_output(j, value, origin, where)
		     : canp_opts_set(j->cli.opts, key, value ? value : "", origin, where);
	if (rc)
		canp_strbuf_puts(err, canp_opts_error(j->cli.opts));
	return rc ? -EINVAL : 0;
}

struct canp_opts *canp_benchjob_opts(struct canp_benchjob *j)
{
	const struct canp_opt_bind binds[] = {
		{&canp_benchjob_opt_table, &j->cfg},
		{&canp_gen_log_opt_table, &j->log},
		{&canp_ingest_opt_table, &j->cli.in},
		{&canp_runtime_opt_table, &j->cli.rt},
	};

	if (canp_opts_create(binds, CANP_ARRAY_SIZE(binds), &j->cli.opts))
		return NULL;
	return j->cli.opts;
}

void canp_benchjob_close(struct canp_benchjob *j)
{
	canp_job_cli_fini(&j->cli);
	j->cli.opts = NULL;
}

/* ---- values with a grammar of their own -------------------------------------------------------
 */

int canp_benchjob_percentiles(const char *text, double *v, struct canp_strbuf *err)
{
	unsigned n = 0;

	while (*text) {
		char *end;
		double p = strtod(text, &end);

		if (end == text || (*end && *end != ':') || !(p > 0 && p <= 100)) {
			canp_strbuf_printf(err,
					   "percentile-list: '%.20s' is not a number above 0 "
					   "and up to 100; they are separated by ':'",
					   text);
			return -EINVAL;
		}
		if (n && p <= v[n - 1]) {
			canp_strbuf_printf(err, "percentile-list: %g does not come after %g", p,
					   v[n - 1]);
			return -EINVAL;
		}
		if (n == CANP_BENCHJOB_PERCENTILES_MAX) {
			canp_strbuf_printf(err, "percentile-list: more than %u",
					   CANP_BENCHJOB_PERCENTILES_MAX);
			return -EINVAL;
		}
		v[n++] = p;
		text = end + (*end == ':');
	}
	return (int)n;
}

int canp_benchjob_steady_parse(const char *text, unsigned *kind, double *limit)
{
	static const char *const names[] = {[CANP_BENCHJOB_STEADY_BW] = "bw",
					    [CANP_BENCHJOB_STEADY_BW_SLOPE] = "bw_slope",
					    [CANP_BENCHJOB_STEADY_IOPS] = "iops",
					    [CANP_BENCHJOB_STEADY_IOPS_SLOPE] = "iops_slope"};
	const char *colon = strchr(text, ':');
	char *end;

	*kind = CANP_BENCHJOB_STEADY_OFF;
	if (!*text)
		return 0;
	if (!colon)
		return -EINVAL;
	for (unsigned i = 1; i < CANP_ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == (size_t)(colon - text) &&
		    !strncmp(text, names[i], (size_t)(colon - text)))
			*kind = i;
	*limit = strtod(colon + 1, &end);
	return *kind && end > colon + 1 && !strcmp(end, "%") && *limit > 0 && *limit <= 100
		       ? 0
		       : -EINVAL;
}

static int parse_stages(struct canp_benchjob *j, const char *where, struct canp_strbuf *err)
{
	struct canp_strbuf why = CANP_STRBUF_INIT;
	int rc = canp_stages_parse(j->cfg.stages, &j->first, &j->last, &why);

	if (rc)
		fail(err, where, "stages: %s", why.buf);
	canp_strbuf_fini(&why);
	if (rc)
		return rc;
	if (j->cfg.discard && j->last == CANP_STAGE_WRITE) {
		if (j->first == CANP_STAGE_WRITE)
			return fail(err, where, "output=null leaves nothing of stages=write");
		j->last = CANP_STAGE_ENCODE;
	}
	return 0;
}

/* ---- what goes together ---------------------------------------------------------------------- */

static bool given(const struct canp_benchjob *j, const char *row)
{
	return canp_opts_origin(j->cli.opts, row) > CANP_OPT_PRESET;
}

/* Where a key was given, for errors that are found later. */
static const char *where_of(const struct canp_benchjob *j, const char *row)
{
	for (unsigned i = j->section->nr; i-- > 0;)
		if (!strcmp(canp_benchjob_key(j->section->pairs[i].key), row))
			return j->section->pairs[i].where;
	return j->section->where;
}

static int set_from(struct canp_benchjob *j, const char *row, const char *value, const char *from,
		    struct canp_strbuf *err)
{
	if (canp_opts_set(j->cli.opts, row, value, CANP_OPT_CLI, where_of(j, from)) == 0)
		return 0;
	canp_strbuf_printf(err, "%s (from %s)", canp_opts_error(j->cli.opts), from);
	return -EINVAL;
}

/* fio's names for what a job of stages calls slice, depth, ring and io. */
static int fio_to_stages(struct canp_benchjob *j, struct canp_strbuf *err)
{
	static const char *const ring[] = {[CANP_CFG_ENGINE_AUTO] = NULL,
					   [CANP_CFG_ENGINE_URING] = "uring",
					   [CANP_CFG_ENGINE_SYNC] = "sync",
					   [CANP_CFG_ENGINE_PSYNC] = "sync"};
	char v[32];
	int rc = 0;

	if (j->cfg.bs) {
		snprintf(v, sizeof(v), "%llu", (unsigned long long)j->cfg.bs);
		rc = set_from(j, "slice", v, "bs", err);
	}
	if (!rc && j->cfg.iodepth) {
		snprintf(v, sizeof(v), "%u", j->cfg.iodepth);
		rc = set_from(j, "depth", v, "iodepth", err);
	}
	if (!rc && given(j, "direct"))
		rc = set_from(j, "io", j->cfg.direct ? "direct" : "buffered", "direct", err);
	if (!rc && j->cfg.ioengine == CANP_CFG_ENGINE_MMAP)
		rc = set_from(j, "io", "mmap", "ioengine", err);
	else if (!rc && j->cfg.ioengine == CANP_CFG_ENGINE_NULL && j->first == CANP_STAGE_READ)
		rc = fail(err, where_of(j, "ioengine"),
			  "ioengine=null moves nothing, so stages must begin behind read");
	else if (!rc && j->cfg.ioengine < CANP_CFG_ENGINE_MMAP && ring[j->cfg.ioengine])
		rc = set_from(j, "ring", ring[j->cfg.ioengine], "ioengine", err);
	return rc;
}

/* Codec of made logs. */
static int data_codec(struct canp_benchjob *j, struct canp_strbuf *err)
{
	if (j->cfg.dataset_codec == CANP_CFG_DATA_STORE)
		return set_from(j, "level", "0", "dataset-codec", err);
	if (j->cfg.dataset_codec == CANP_CFG_DATA_GZIP)
		return set_from(j, "gz", "yes", "dataset-codec", err);
	return 0;
}

static int check_dataset(struct canp_benchjob *j, struct canp_strbuf *err)
{
	int want = j->cfg.dataset;
	bool named = *j->cfg.filename, dir = *j->cfg.directory;

	if (want == CANP_CFG_DATASET_LIST && !named)
		return fail(err, where_of(j, "dataset"), "dataset=list needs filename=");
	if (want == CANP_CFG_DATASET_DIR && !dir)
		return fail(err, where_of(j, "dataset"), "dataset=dir needs directory=");
	if (want == CANP_CFG_DATASET_SYNTH && named)
		return fail(err, where_of(j, "dataset"),
			    "dataset=synth makes its logs; filename= is for dataset=list");
	return 0;
}

static int check(struct canp_benchjob *j, struct canp_strbuf *err)
{
	const struct canp_benchjob_cfg *c = &j->cfg;

	if (c->rw != CANP_CFG_RW_NONE && given(j, "stages"))
		return fail(err, where_of(j, "stages"),
			    "rw= moves blocks of any files, stages= runs stages of a job: a "
			    "section is one or the other");
	if (*c->command && (c->rw != CANP_CFG_RW_NONE || given(j, "stages")))
		return fail(err, where_of(j, "command"),
			    "command= runs a command of canp-bench; rw= and stages= are for "
			    "sections without it");
	if (c->time_based && !c->runtime)
		return fail(err, where_of(j, "time-based"), "time_based needs runtime=");
	if (c->rw != CANP_CFG_RW_NONE && !*c->filename && !*c->directory)
		return fail(err, where_of(j, "rw"), "rw= needs filename= or directory=");
	if (c->rw != CANP_CFG_RW_NONE && c->direct && c->bs % 512)
		return fail(err, where_of(j, "bs"), "direct=1 needs bs in multiples of 512");
	if (canp_benchjob_mem_parse(c->iomem, &j->iomem, &j->iomem_file, err)) {
		canp_strbuf_printf(err, " (%s)", where_of(j, "iomem"));
		return -EINVAL;
	}
	if (c->rate && c->rate < 1000000 && c->rw == CANP_CFG_RW_NONE)
		return fail(err, where_of(j, "rate"),
			    "rate of a job of stages is in whole MB/s, so at least 1000000");
	if (c->rate && c->rw == CANP_CFG_RW_NONE && j->first > CANP_STAGE_READ &&
	    j->last < CANP_STAGE_WRITE)
		return fail(err, where_of(j, "rate"),
			    "rate slows the device down, so stages must have read or write");
	if (c->breakdown && *c->command)
		return fail(err, where_of(j, "breakdown"), "breakdown is for stages=");
	return check_dataset(j, err);
}

static int resolve(struct canp_benchjob *j, struct canp_strbuf *err)
{
	static const struct canp_tool tool = {.name = "canp-bench run"};
	int rc = parse_stages(j, where_of(j, "stages"), err);

	rc = rc ? rc : check(j, err);
	if (rc)
		return rc;
	rc = canp_benchjob_percentiles(j->cfg.percentile_list, j->percentile, err);
	if (rc < 0) {
		canp_strbuf_printf(err, " (%s)", where_of(j, "percentile-list"));
		return rc;
	}
	j->nr_percentiles = (unsigned)rc;
	if (canp_benchjob_steady_parse(j->cfg.steadystate, &j->steady_kind, &j->steady_limit))
		return fail(err, where_of(j, "steadystate"),
			    "steadystate: '%s' is not bw, bw_slope, iops or iops_slope with :N%%",
			    j->cfg.steadystate);
	if (j->cfg.rw == CANP_CFG_RW_NONE && !*j->cfg.command) {
		rc = fio_to_stages(j, err);
		rc = rc ? rc : data_codec(j, err);
	} else {
		rc = 0;
	}
	/* It prints by itself what the machine refuses. */
	if (!rc && canp_job_cli_resolve(&j->cli, &tool) >= 0)
		rc = fail(err, j->section->where, "[%s] cannot run here", j->section->name);
	return rc;
}

int canp_benchjob_open(struct canp_benchjob *j, const struct canp_benchjob_section *s,
		       const struct canp_benchjob_section *over, struct canp_strbuf *err)
{
	int rc = 0;

	*j = (struct canp_benchjob){.section = s};
	if (!canp_benchjob_opts(j)) {
		canp_strbuf_puts(err, "out of memory, or option rows that do not go together: ");
		if (j->cli.opts)
			canp_strbuf_puts(err, canp_opts_error(j->cli.opts));
		return -ENOMEM;
	}
	for (unsigned i = 0; i < s->nr && !rc; i++)
		rc = set_pair(j, &s->pairs[i], CANP_OPT_FILE, err);
	for (unsigned i = 0; over && i < over->nr && !rc; i++)
		rc = set_pair(j, &over->pairs[i], CANP_OPT_CLI, err);
	return rc ? rc : resolve(j, err);
}
