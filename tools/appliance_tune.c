/*
 * appliance_tune.c - `canp-appliance tune`: measures this machine with the given inputs and output
 * folder, proposes a run profile with the reason for each value, and writes it where it is asked
 * to. What is set now comes from --config, the environment and the command line like in a job;
 * options given on the command line are taken as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "numa/host.h"
#include "tools/appliance_cmd.h"
#include "tools/appliance_tune.h"
#include "tools/appliance_tune_cfg.h"

/* Shares of the budget, per cent; the rest is for looking at the inputs. */
#define SHARE_READ    65u
#define SHARE_WRITE   15u
#define SHARE_INFLATE 10u

struct tune {
	struct canp_job_cli cli;
	struct canp_tune_cfg cfg;
	struct canp_host_facts host;
	struct canp_topology topo;
	struct canp_tune_facts facts;
	struct canp_tune_current cur;
	struct canp_tune_plan plan;
	int read_rc, write_rc, inflate_rc; /* 1: not asked for */
};

static const struct canp_tool tune_tool = {
	.name = "canp-appliance tune",
	.synopsis = "[--budget=TIME] [-o DIR] [--write=FILE] [--json] [OPTION]... [INPUT]...",
	.text = "Measures reading of the inputs, writing below DIR and inflating, and proposes a "
		"run profile with reasons. Changes nothing on the machine.",
};

static void tune_current(struct tune *t)
{
	static const char *const inflate[] = {[CANP_CFG_INFLATE_AUTO] = "auto",
					      [CANP_CFG_INFLATE_INTERLEAVED] = "interleaved",
					      [CANP_CFG_INFLATE_ISAL] = "isal"};
	static const char *const pages[] = {[CANP_HUGE_AUTO] = "auto",
					    [CANP_HUGE_1G] = "1g",
					    [CANP_HUGE_2M] = "2m",
					    [CANP_HUGE_THP] = "thp",
					    [CANP_HUGE_OFF] = "off"};
	const struct canp_job_opts *j = &t->cli.job;

	t->cur = (struct canp_tune_current){
		.cores = j->cores,
		.depth = j->depth,
		.slice = j->slice_bytes,
		.prefetch = j->prefetch,
		.write_depth = j->write_depth,
		.mem_per_core = j->mem_per_core,
		.writer_mem = j->writer_mem,
		.inflate = inflate[t->cli.in.inflate],
		.hugepages = pages[t->cli.rt.hugepages],
	};
	for (unsigned k = 0; k < CANP_TUNE_NR; k++)
		t->cur.fixed[k] =
			canp_opts_origin(t->cli.opts, canp_tune_key_name((enum canp_tune_key)k)) ==
			CANP_OPT_CLI;
}

static void tune_machine(struct tune *t)
{
	struct canp_tune_facts *f = &t->facts;

	canp_host_facts("", &t->host);
	canp_topology_read("", &t->topo);
	f->cpus = t->topo.nr_cpus;
	f->allowed = t->topo.nr_allowed;
	f->nodes = t->topo.nr_nodes;
	f->quota = t->topo.cpu_quota;
	f->cores = canp_topology_default_cores(&t->topo);
	f->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	f->mem_total = t->host.mem_total;
	f->room = t->host.room == CANP_HOST_UNLIMITED ? 0 : t->host.room;
	f->total_2m = t->host.hugepages.total_2m;
	f->free_2m = t->host.hugepages.free_2m;
	f->free_1g = t->host.hugepages.free_1g;
	snprintf(f->thp, sizeof(f->thp), "%s", t->host.hugepages.thp);
	f->memlock = t->host.memlock_soft;
	f->nofile = t->host.nofile_soft;
	f->input_node = -1;
}

static int tune_reads(struct tune *t)
{
	const struct canp_job_opts *j = &t->cli.job;
	const struct canp_dirscan_opts so = {.args = j->inputs,
					     .nr_args = j->nr_inputs,
					     .include = j->globs,
					     .nr_include = j->nr_globs,
					     .follow_symlinks = j->follow_symlinks};
	/* AUTO would take files that are cached from memory; the question is the device. */
	enum canp_io_policy policy = j->read_policy ? j->read_policy : CANP_IO_DIRECT;
	struct canp_dirscan *scan;
	int rc;

	if (!j->nr_inputs)
		return 1;
	rc = canp_dirscan_create(&so, &scan);
	if (rc)
		return rc;
	t->facts.files = scan->nr_files - scan->nr_failed;
	t->facts.bytes = scan->bytes;
	t->facts.input_node = canp_topology_path_node("", j->inputs[0]);
	canp_tune_read_ways(&t->facts, &t->cur);
	rc = canp_tune_measure_reads(scan, policy, j->ring, j->cores ? j->cores : t->facts.cores,
				     t->cfg.budget * SHARE_READ / 100, &t->facts);
	canp_dirscan_destroy(scan);
	return rc;
}

static void tune_measure(struct tune *t)
{
	const struct canp_job_opts *j = &t->cli.job;

	tune_machine(t);
	t->inflate_rc = canp_tune_measure_inflate(t->cfg.budget * SHARE_INFLATE / 100, &t->facts);
	t->read_rc = tune_reads(t);
	t->write_rc =
		j->out ? canp_tune_measure_writes(j->out, j->ring, j->write_depth,
						  t->cfg.budget * SHARE_WRITE / 100, &t->facts)
		       : 1;
}

/* ---- what is shown -----------------------------------------------------------------------------
 */

static void text_measured(struct canp_strbuf *sb, const struct tune *t)
{
	const struct canp_tune_facts *f = &t->facts;
	char a[32], b[32];

	if (t->read_rc == 1)
		canp_strbuf_puts(sb, "reading    not measured: no INPUT given\n");
	else if (t->read_rc)
		canp_strbuf_printf(sb, "reading    not measured: %s\n", canp_strerror(t->read_rc));
	else
		canp_strbuf_printf(sb, "reading    %llu files, %s, %s, %s\n",
				   (unsigned long long)f->files,
				   canp_tool_bytes((double)f->bytes, a),
				   f->direct ? "past the page cache" : "through the page cache",
				   f->uring ? "io_uring" : "helper threads");
	for (unsigned i = 0; i < f->nr_reads; i++)
		canp_strbuf_printf(sb, "           %2u x %4u KiB a core %8.0f MiB/s%s\n",
				   f->reads[i].depth, f->reads[i].slice >> 10,
				   f->reads[i].bps / (double)CANP_MIB, i ? "" : "   now");
	if (t->write_rc == 1)
		canp_strbuf_puts(sb, "writing    not measured: no -o DIR given\n");
	else if (t->write_rc)
		canp_strbuf_printf(sb, "writing    not measured: %s\n", canp_strerror(t->write_rc));
	for (unsigned i = 0; i < f->nr_writes; i++)
		canp_strbuf_printf(sb, "%s %2u x 1024 KiB        %8.0f MiB/s%s\n",
				   i ? "          " : "writing   ", f->writes[i].depth,
				   f->writes[i].bps / (double)CANP_MIB, i ? "" : "   now");
	if (t->inflate_rc)
		canp_strbuf_printf(sb, "inflate    not measured: %s\n",
				   canp_strerror(t->inflate_rc));
	else
		canp_strbuf_printf(sb, "inflate    one core: five at once %s/s, ISA-L %s/s\n",
				   canp_tool_bytes(f->inflate_interleaved, a),
				   canp_tool_bytes(f->inflate_isal, b));
}

static void text_report(struct canp_strbuf *sb, const struct tune *t)
{
	const struct canp_tune_facts *f = &t->facts;
	char a[32], b[32];
	unsigned changes = 0;

	canp_strbuf_printf(sb, "machine    %s\n           %u of %u CPUs, %u node%s, quota ",
			   t->host.cpu_model, f->allowed, f->cpus, f->nodes,
			   f->nodes == 1 ? "" : "s");
	canp_strbuf_printf(sb, f->quota > 0 ? "%.2f\n" : "none\n", f->quota);
	canp_strbuf_printf(sb,
			   "           %s of memory, %s can be taken; pages of %s, %llu of %llu of "
			   "2 MiB free, transparent: %s\n",
			   canp_tool_bytes((double)f->mem_total, a),
			   canp_tool_bytes((double)f->room, b),
			   f->page_bytes == 4096 ? "4 KiB" : "another size than 4 KiB",
			   (unsigned long long)f->free_2m, (unsigned long long)f->total_2m,
			   *f->thp ? f->thp : "unknown");
	canp_strbuf_printf(sb, "           memlock %s, %llu open files\n",
			   f->memlock == CANP_HOST_UNLIMITED
				   ? "unlimited"
				   : canp_tool_bytes((double)f->memlock, a),
			   (unsigned long long)f->nofile);
	text_measured(sb, t);
	canp_strbuf_puts(sb, "\nprofile\n");
	for (unsigned k = 0; k < CANP_TUNE_NR; k++) {
		const struct canp_tune_value *v = &t->plan.v[k];

		changes += v->change;
		if (v->change)
			canp_strbuf_printf(sb, "  CHANGE  %s = %s   (was %s)\n", v->key, v->now,
					   v->was);
		else
			canp_strbuf_printf(sb, "  keep    %s = %s\n", v->key, v->now);
		canp_strbuf_printf(sb, "          %s\n", v->reason);
	}
	for (unsigned i = 0; i < t->plan.nr_advice; i++)
		canp_strbuf_printf(sb, "%s%s\n", i ? "           " : "\nadvice     ",
				   t->plan.advice[i]);
	canp_strbuf_printf(sb, "\n%u value%s to change\n", changes, changes == 1 ? "" : "s");
}

static void json_measured(struct canp_json *js, const struct canp_tune_facts *f)
{
	canp_json_key(js, "reads");
	canp_json_array(js);
	for (unsigned i = 0; i < f->nr_reads; i++) {
		canp_json_object(js);
		canp_json_ku64(js, "depth", f->reads[i].depth);
		canp_json_ku64(js, "slice", f->reads[i].slice);
		canp_json_kdouble(js, "bytes_per_s", f->reads[i].bps);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_key(js, "writes");
	canp_json_array(js);
	for (unsigned i = 0; i < f->nr_writes; i++) {
		canp_json_object(js);
		canp_json_ku64(js, "write_depth", f->writes[i].depth);
		canp_json_kdouble(js, "bytes_per_s", f->writes[i].bps);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_key(js, "inflate");
	canp_json_object(js);
	canp_json_kdouble(js, "interleaved_bytes_per_s", f->inflate_interleaved);
	canp_json_kdouble(js, "isal_bytes_per_s", f->inflate_isal);
	canp_json_end(js);
}

static void json_report(struct canp_json *js, const struct tune *t)
{
	const struct canp_tune_facts *f = &t->facts;

	canp_json_object(js);
	canp_json_kstr(js, "version", CANP_VERSION);
	canp_json_key(js, "machine");
	canp_json_object(js);
	canp_json_kstr(js, "cpu", t->host.cpu_model);
	canp_json_kstr(js, "kernel", t->host.kernel);
	canp_json_ku64(js, "cpus", f->cpus);
	canp_json_ku64(js, "cpus_allowed", f->allowed);
	canp_json_kdouble(js, "cpu_quota", f->quota);
	canp_json_ku64(js, "nodes", f->nodes);
	canp_json_ku64(js, "page_bytes", f->page_bytes);
	canp_json_ku64(js, "memory_bytes", f->mem_total);
	canp_json_ku64(js, "room_bytes", f->room);
	canp_json_ku64(js, "hugepages_2m", f->total_2m);
	canp_json_ku64(js, "hugepages_2m_free", f->free_2m);
	canp_json_ku64(js, "hugepages_1g_free", f->free_1g);
	canp_json_kstr(js, "transparent_hugepages", f->thp);
	canp_json_ku64(js, "memlock_bytes", f->memlock);
	canp_json_ku64(js, "nofile", f->nofile);
	canp_json_kbool(js, "io_uring", f->uring);
	canp_json_kbool(js, "registered_buffers", f->registered);
	canp_json_end(js);
	canp_json_key(js, "inputs");
	canp_json_object(js);
	canp_json_ku64(js, "files", f->files);
	canp_json_ku64(js, "bytes", f->bytes);
	canp_json_ki64(js, "node", f->input_node);
	canp_json_kbool(js, "direct", f->direct);
	canp_json_end(js);
	json_measured(js, f);
	canp_json_key(js, "profile");
	canp_json_array(js);
	for (unsigned k = 0; k < CANP_TUNE_NR; k++) {
		const struct canp_tune_value *v = &t->plan.v[k];

		canp_json_object(js);
		canp_json_kstr(js, "key", v->key);
		canp_json_kstr(js, "was", v->was);
		canp_json_kstr(js, "now", v->now);
		canp_json_kbool(js, "change", v->change);
		canp_json_kstr(js, "reason", v->reason);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_key(js, "advice");
	canp_json_array(js);
	for (unsigned i = 0; i < t->plan.nr_advice; i++)
		canp_json_str(js, t->plan.advice[i]);
	canp_json_end(js);
	canp_json_end(js);
}

/* ---- the profile -------------------------------------------------------------------------------
 */

/* True when the profile changes this key. */
static bool changed(const struct tune *t, const char *name)
{
	for (unsigned k = 0; k < CANP_TUNE_NR; k++)
		if (t->plan.v[k].change && !strcmp(t->plan.v[k].key, name))
			return true;
	return false;
}

/* Settings that the profile keeps from the file and the environment it was measured with: the lines
 * of the dump that have another origin than the default and do not belong to one job. */
static void profile_settings(const struct tune *t, struct canp_strbuf *sb)
{
	struct canp_strbuf dump = CANP_STRBUF_INIT;
	char *save = NULL;

	canp_opts_dump(t->cli.opts, &dump);
	for (char *line = dump.buf ? strtok_r(dump.buf, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char name[64];
		const struct canp_opt *row;
		enum canp_opt_origin origin;
		size_t n = strcspn(line, " ");

		if (*line == '#' || *line == '[' || n >= sizeof(name))
			continue;
		memcpy(name, line, n);
		name[n] = '\0';
		row = canp_opts_find(t->cli.opts, name);
		origin = canp_opts_origin(t->cli.opts, name);
		if (!row || (row->flags & (CANP_OPT_F_JOB | CANP_OPT_F_NO_FILE)) ||
		    origin == CANP_OPT_DEFAULT || origin == CANP_OPT_PRESET || changed(t, name))
			continue;
		canp_strbuf_printf(sb, "\n%s\n", line);
	}
	canp_strbuf_fini(&dump);
}

static void profile_text(const struct tune *t, struct canp_strbuf *sb)
{
	canp_strbuf_printf(sb,
			   "# Run profile proposed by `canp-appliance tune` (%s) for %s, %u CPUs.\n"
			   "# CANP_* variables and the command line override it.\n[global]\n",
			   CANP_VERSION, t->host.cpu_model, t->facts.allowed);
	for (unsigned k = 0; k < CANP_TUNE_NR; k++) {
		const struct canp_tune_value *v = &t->plan.v[k];

		if (v->change)
			canp_strbuf_printf(sb, "\n# %s; was %s\n%s = %s\n", v->reason, v->was,
					   v->key, v->now);
	}
}

static int profile_write(const struct tune *t)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	int fd, rc = 0;
	FILE *f;

	profile_text(t, &sb);
	profile_settings(t, &sb);
	fd = open(t->cfg.write, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f || sb.failed || fwrite(sb.buf, 1, sb.len, f) != sb.len)
		rc = -1;
	if (f && fclose(f))
		rc = -1;
	if (rc)
		fprintf(stderr, "%s: %s: %s\n", tune_tool.name, t->cfg.write,
			errno == EEXIST ? "exists; name another file" : strerror(errno));
	canp_strbuf_fini(&sb);
	return rc;
}

int canp_cmd_tune(int argc, char **argv)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	struct tune *t = calloc(1, sizeof(*t));
	int code = t ? canp_job_cli_parse_own(&t->cli, &tune_tool, &canp_tune_opt_table, &t->cfg,
					      argc, argv)
		     : CANP_EXIT_FATAL;

	if (code >= 0) {
		free(t);
		return code;
	}
	code = canp_job_cli_resolve(&t->cli, &tune_tool);
	if (code < 0 && *t->cfg.write && !access(t->cfg.write, F_OK))
		code = canp_tool_usage(&tune_tool, "--write %s: exists; name another file",
				       t->cfg.write);
	if (code < 0) {
		tune_current(t);
		tune_measure(t);
		canp_tune_decide(&t->facts, &t->cur, &t->plan);
		if (t->cli.ui.json)
			json_report(&js, t);
		else
			text_report(&sb, t);
		canp_strbuf_puts(&sb, t->cli.ui.json ? "\n" : "");
		code = canp_tool_print(&sb);
		if (*t->cfg.write && profile_write(t))
			code = CANP_EXIT_FATAL;
		if (t->read_rc < 0) {
			fprintf(stderr, "%s: no input could be read: %s\n", tune_tool.name,
				canp_strerror(t->read_rc));
			code = CANP_EXIT_FATAL;
		}
	}
	canp_job_cli_fini(&t->cli);
	free(t);
	return code;
}
