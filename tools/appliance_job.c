/*
 * appliance_job.c - options become a job description; for canp-appliance and canp-bench.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/timeconv.h"
#include "core/base/units.h"
#include "simd/simd.h"
#include "tools/appliance_cmd.h"

/* --mode=memory */
#define JOB_MEMORY_RUNS 32u

static const char *join(const struct canp_opt_list *l, struct canp_strbuf *sb)
{
	for (unsigned i = 0; i < l->nr; i++)
		canp_strbuf_printf(sb, "%s%s", i ? "," : "", l->v[i]);
	return l->nr ? sb->buf : NULL;
}

/* "can1=a.dbc" -> bus and path. A path that exists as written wins over the '=' reading. */
static int resolve_dbcs(struct canp_job_cli *c)
{
	c->dbcs = calloc(c->in.dbc.nr + 1, sizeof(*c->dbcs));
	if (!c->dbcs)
		return -1;
	for (unsigned i = 0; i < c->in.dbc.nr; i++) {
		char *text = (char *)(uintptr_t)c->in.dbc.v[i];
		char *eq = strchr(text, '=');

		c->dbcs[i].path = text;
		if (eq && eq != text && !memchr(text, '/', (size_t)(eq - text))) {
			*eq = '\0';
			c->dbcs[i].bus = text;
			c->dbcs[i].path = eq + 1;
		}
	}
	return 0;
}

/* "x.so:arg" -> file and argument. A file that exists as written wins over the ':' reading. */
static int resolve_plugins(struct canp_job_cli *c)
{
	c->plugins = calloc(c->in.plugin.nr + 1, sizeof(*c->plugins));
	if (!c->plugins)
		return -1;
	for (unsigned i = 0; i < c->in.plugin.nr; i++) {
		char *text = (char *)(uintptr_t)c->in.plugin.v[i];
		char *colon = access(text, F_OK) ? strchr(text, ':') : NULL;

		c->plugins[i].file = text;
		if (colon) {
			*colon = '\0';
			c->plugins[i].arg = colon + 1;
		}
	}
	c->job.plugins = c->plugins;
	c->job.nr_plugins = c->in.plugin.nr;
	return 0;
}

static int parse_time(const char *text, int64_t open, int64_t *ns)
{
	*ns = open;
	return *text ? canp_time_parse(text, strlen(text), ns) : 0;
}

static int resolve_times(struct canp_job_cli *c, const struct canp_tool *tool)
{
	static const int64_t mul[] = {[CANP_CFG_TS_US] = CANP_NS_PER_US,
				      [CANP_CFG_TS_NS] = 1,
				      [CANP_CFG_TS_MS] = CANP_NS_PER_MS};
	struct canp_job_opts *j = &c->job;
	int rc;

	if (parse_time(c->in.from, INT64_MIN, &j->from_ns) ||
	    parse_time(c->in.to, INT64_MAX, &j->to_ns) ||
	    parse_time(c->in.canp_epoch, 0, &j->format.canp_epoch_ns))
		return canp_tool_usage(tool, "--from, --to, --canp-epoch: not a time");
	if (j->from_ns > j->to_ns)
		return canp_tool_usage(tool, "--from %s is after --to %s", c->in.from, c->in.to);
	rc = canp_tz_open(c->in.tz, &c->tz);
	if (rc)
		return canp_tool_usage(tool,
				       "--tz %s: %s (install tzdata? names look like "
				       "Europe/Berlin)",
				       c->in.tz, canp_strerror(rc));
	j->format.canp_ts_mul = mul[c->in.canp_ts_unit];
	j->format.local_to_utc = canp_tz_local_to_utc;
	j->format.tz_arg = c->tz;
	return -1;
}

static void resolve_plan(struct canp_job_cli *c)
{
	struct canp_plan_opts *p = &c->job.plan;

	p->dbcs = (void *)c->dbcs;
	p->nr_dbcs = c->in.dbc.nr;
	p->j1939 = (int)c->in.j1939;
	p->select = join(&c->in.select, &c->select);
	p->exclude = join(&c->in.exclude, &c->exclude);
	p->bus = join(&c->in.bus, &c->bus);
	p->raw = c->in.raw;
	p->unknown_keep = c->in.unknown == CANP_CFG_UNKNOWN_KEEP;
	p->device_column = c->in.device_column;
	p->ts_ns_column = c->in.ts_ns;
	p->enum_labels = c->in.enum_mode == CANP_CFG_ENUM_BOTH;
}

static void resolve_machine(struct canp_job_cli *c)
{
	static const enum canp_inflate_engine engines[] = {
		[CANP_CFG_INFLATE_AUTO] = CANP_INFLATE_AUTO,
		[CANP_CFG_INFLATE_INTERLEAVED] = CANP_INFLATE_INTERLEAVED,
		[CANP_CFG_INFLATE_ISAL] = CANP_INFLATE_ISAL};
	struct canp_job_opts *j = &c->job;

	j->cores = c->rt.cores;
	j->ring = (enum canp_ring_kind)c->rt.ring;
	j->hugepages = (enum canp_hugepages)c->rt.hugepages;
	j->mem_per_core = c->rt.mem_per_core;
	j->writer_mem = c->rt.writer_mem;
	j->pin = c->rt.pin;
	/* A slow disk must not fill the arena with runs that wait for it. */
	j->runs_max = c->in.mode == CANP_CFG_MODE_MEMORY ? JOB_MEMORY_RUNS : 0;
	j->never_sleep = c->in.mode == CANP_CFG_MODE_LATENCY;
	j->restrict_ops = c->rt.restrict_ops;
	j->depth = c->in.depth;
	j->prefetch = c->in.prefetch;
	j->window = c->in.window;
	j->write_depth = c->in.write_depth;
	j->slice_bytes = (uint32_t)(c->in.slice & ~4095ull);
	j->read_policy = (enum canp_io_policy)c->in.io;
	j->inflate = engines[c->in.inflate];
	canp_log_set_level((enum canp_log_level)c->rt.log_level);
}

static void resolve_codec(struct canp_job_cli *c)
{
	static const enum canp_pq_codec codecs[] = {[CANP_CFG_CODEC_NONE] = CANP_PQ_NONE,
						    [CANP_CFG_CODEC_GZIP] = CANP_PQ_GZIP,
						    [CANP_CFG_CODEC_ZSTD] = CANP_PQ_ZSTD};

	c->job.codec = codecs[c->in.codec];
	c->job.codec_level = c->job.codec == CANP_PQ_ZSTD             ? (int)c->in.zstd_level
			     : c->in.gzip_level == CANP_CFG_GZIP_FAST ? 0
								      : 3;
}

/* Seeded delays make the reorder paths testable on a quiet machine; see tests/e2e_determinism.sh.
 */
static void resolve_test_hooks(struct canp_job_opts *j)
{
	const char *slow = getenv("CANP_TEST_SLOW_SHARD"), *seed = getenv("CANP_TEST_DELAY_SEED");

	j->slow_shard = slow ? (int)strtol(slow, NULL, 10) : -1;
	j->delay_seed = seed ? (uint32_t)strtoul(seed, NULL, 10) : 0;
}

/* What the modes of --mode stand for; throughput is the defaults. */
static const struct {
	int mode;
	const char *option, *value;
} job_presets[] = {
	/* Small reads and units come through sooner, small row groups and parts are published
	 * sooner. */
	{CANP_CFG_MODE_LATENCY, "depth", "2"},
	{CANP_CFG_MODE_LATENCY, "slice", "256k"},
	{CANP_CFG_MODE_LATENCY, "unit", "1m"},
	{CANP_CFG_MODE_LATENCY, "rowgroup-rows", "16384"},
	{CANP_CFG_MODE_LATENCY, "part-size", "1m"},
	/* Fewer bytes on the way in, smaller pages, row groups and arenas; no huge pages, of which
	 * a part may never be used. */
	{CANP_CFG_MODE_MEMORY, "depth", "2"},
	{CANP_CFG_MODE_MEMORY, "slice", "256k"},
	{CANP_CFG_MODE_MEMORY, "unit", "1m"},
	{CANP_CFG_MODE_MEMORY, "rowgroup-rows", "16384"},
	{CANP_CFG_MODE_MEMORY, "mem-per-core", "64m"},
	{CANP_CFG_MODE_MEMORY, "hugepages", "off"},
};

void canp_job_cli_mode(struct canp_job_cli *c)
{
	/* A program without one of the options has nothing to preset there. */
	for (size_t i = 0; i < CANP_ARRAY_SIZE(job_presets); i++)
		if (job_presets[i].mode == c->in.mode)
			canp_opts_set(c->opts, job_presets[i].option, job_presets[i].value,
				      CANP_OPT_PRESET, "--mode");
}

int canp_job_cli_resolve(struct canp_job_cli *c, const struct canp_tool *tool)
{
	struct canp_job_opts *j = &c->job;
	int rc;

	canp_job_cli_mode(c);
	rc = canp_simd_init((enum canp_isa)(c->rt.simd - 1), getenv("CANP_CPU_DISABLE"));

	if (rc)
		return canp_tool_usage(tool, rc == -EINVAL
						     ? "CANP_CPU_DISABLE: unknown feature name"
						     : "--simd: this processor cannot run it "
						       "(see `canp-appliance caps`)");
	rc = resolve_times(c, tool);
	if (rc >= 0)
		return rc;
	if (resolve_dbcs(c) || resolve_plugins(c))
		return CANP_EXIT_FATAL;
	resolve_plan(c);
	resolve_machine(c);
	resolve_test_hooks(j);
	j->inputs = canp_opts_operands(c->opts, &j->nr_inputs);
	j->globs = c->in.glob.v;
	j->nr_globs = c->in.glob.nr;
	j->follow_symlinks = c->in.follow_symlinks;
	j->order_by_size = c->in.order == CANP_CFG_ORDER_SIZE;
	j->out = *c->in.output ? c->in.output : NULL;
	j->device = c->in.device;
	j->unit_bytes = c->in.unit;
	j->format.limits = (struct canp_format_limits){
		.file_inflated_max = c->in.limit_file_inflated,
		.member_inflated_max = (uint32_t)c->in.limit_member_inflated,
		.ratio_max = c->in.limit_ratio,
	};
	j->sink = c->in.sink == CANP_CFG_SINK_CSV ? CANP_SINK_CSV : CANP_SINK_PARQUET;
	resolve_codec(c);
	j->rowgroup_rows = c->in.rowgroup_rows;
	j->part_bytes = c->in.part_size;
	j->wait_on_enospc = c->in.on_enospc == CANP_CFG_ENOSPC_WAIT;
	return -1;
}

void canp_job_cli_fini(struct canp_job_cli *c)
{
	canp_opts_destroy(c->opts);
	canp_tz_close(c->tz);
	free(c->dbcs);
	free(c->plugins);
	canp_strbuf_fini(&c->select);
	canp_strbuf_fini(&c->exclude);
	canp_strbuf_fini(&c->bus);
}

void canp_cmd_warn(void *arg, const char *line)
{
	unsigned *shown = arg;

	/* A broken database can hold thousands of oddities; `canp-appliance dbc` lists them all. */
	if (!shown || (*shown)++ < 20)
		fprintf(stderr, "warning: %s\n", line);
	else if (*shown == 21)
		fprintf(stderr, "warning: more follow; see `canp-appliance dbc FILE`\n");
}
