/*
 * appliance_caps.c - `canp-appliance caps`: what this machine offers and what a job would use.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/version.h"
#include "io/isolate.h"
#include "numa/host.h"
#include "simd/simd.h"
#include "tools/appliance_cmd.h"

struct caps {
	struct canp_topology topo;
	struct canp_host_facts host;
	struct canp_ring_caps ring;
	int ring_err;
	struct canp_hugepage_report pages;
	bool isolation;
	struct canp_strbuf isolation_reason;
};

/* Whether --isolate=process would work is found out by starting a worker. Before anything else, as
 * in a job. */
static void caps_isolation(struct caps *c, const struct canp_job_cli *cli)
{
	struct canp_isolate *iso = NULL;
	int rc = canp_isolate_create(&(struct canp_isolate_opts){.lanes = 1,
								 .format = &cli->job.format,
								 .inflate = cli->job.inflate},
				     &c->isolation_reason, &iso);

	c->isolation = !rc;
	canp_isolate_destroy(iso);
}

static void caps_probe(struct caps *c, const struct canp_job_cli *cli)
{
	struct canp_ring_opts ro = {.kind = cli->job.ring,
				    .entries = 256,
				    .restrict_ops = cli->job.restrict_ops,
				    .iowq_cpu = -1};
	struct canp_ring *ring;
	struct iovec iov;
	void *p;

	canp_topology_read("", &c->topo);
	canp_host_facts("", &c->host);
	/* A small mapping tells which pages a job would get, and whether they can be registered. */
	if (canp_hugepage_map(8 << 20, cli->job.hugepages, -1, &p, &c->pages) == 0) {
		memset(p, 0, 8 << 20);
		iov = (struct iovec){.iov_base = p, .iov_len = 8 << 20};
		ro.buffers = &iov;
		ro.nr_buffers = 1;
	} else {
		p = NULL;
	}
	c->ring_err = canp_ring_create(&ro, &ring);
	if (!c->ring_err) {
		c->ring = *canp_ring_caps(ring);
		canp_ring_destroy(ring);
	}
	if (p)
		canp_hugepage_unmap(p, &c->pages);
}

static const char *yes(bool b)
{
	return b ? "yes" : "no";
}

struct kernel_text {
	struct canp_strbuf *sb;
	struct canp_json *js;
};

static void kernel_row(void *arg, const struct canp_kernel_row *row)
{
	struct kernel_text *t = arg;

	if (t->js) {
		canp_json_object(t->js);
		canp_json_kstr(t->js, "kernel", row->kernel);
		canp_json_kstr(t->js, "isa", canp_isa_name(row->isa));
		canp_json_kbool(t->js, "runnable", row->runnable);
		canp_json_kbool(t->js, "chosen", row->chosen);
		canp_json_end(t->js);
		return;
	}
	canp_strbuf_printf(t->sb, "  %c %-12s %-7s %s%s\n", row->chosen ? '*' : ' ', row->kernel,
			   canp_isa_name(row->isa), row->text,
			   row->runnable ? "" : " (this processor cannot)");
}

static void caps_text(struct canp_strbuf *sb, const struct caps *c, const struct canp_job_cli *cli)
{
	const struct canp_ring_caps *r = &c->ring;
	struct kernel_text kt = {.sb = sb};
	const char *why;
	enum canp_inflate_engine engine = canp_ahead_engine(cli->job.inflate, &why);

	canp_strbuf_printf(sb, "canp-appliance %s\nkernel     %s\ncpu        %s\n", CANP_VERSION,
			   c->host.kernel, c->host.cpu_model);
	canp_strbuf_printf(sb, "cores      %u online, %u allowed, %u nodes, quota %s",
			   c->topo.nr_cpus, c->topo.nr_allowed, c->topo.nr_nodes,
			   c->topo.cpu_quota > 0 ? "" : "none\n");
	if (c->topo.cpu_quota > 0)
		canp_strbuf_printf(sb, "%.2f CPUs\n", c->topo.cpu_quota);
	canp_strbuf_printf(sb, "shards     %u would be used\n",
			   cli->job.cores ? cli->job.cores : canp_topology_default_cores(&c->topo));
	if (c->ring_err)
		canp_strbuf_printf(sb, "ring       refused: %s\n", canp_strerror(c->ring_err));
	else
		canp_strbuf_printf(sb, "ring       %s%s%s\n",
				   r->kind == CANP_RING_SYNC ? "sync (helper threads)" : "io_uring",
				   *r->reason ? ": " : "", r->reason);
	canp_strbuf_printf(
		sb,
		"           single issuer %s, deferred task work %s, cooperative %s, fixed "
		"buffers %s, file table %s, restricted %s, ftruncate %s, dontcache %s\n",
		yes(r->single_issuer), yes(r->defer_taskrun), yes(r->coop_taskrun),
		yes(r->fixed_buffers), yes(r->fixed_files), yes(r->restricted),
		yes(r->has_ftruncate), yes(r->has_dontcache));
	canp_strbuf_printf(sb, "pages      %s%s%s\n", canp_page_kind_name(c->pages.kind),
			   *c->pages.reason ? ": " : "", c->pages.reason);
	canp_strbuf_printf(sb, "isolation  %s%s\n",
			   c->isolation ? "worker processes with seccomp" : "",
			   c->isolation ? "" : c->isolation_reason.buf);
	canp_strbuf_printf(sb, "simd       %s\n", canp_isa_name(canp_simd.isa));
	canp_strbuf_puts(sb,
			 "kernels    (* is used; where an instruction set has no variant of its "
			 "own, the next lower one runs)\n");
	canp_kernels_for_each(kernel_row, &kt);
	canp_strbuf_printf(sb, "inflate    %s: %s\nformats    ", canp_ahead_engine_name(engine),
			   why);
	for (unsigned i = 0; canp_formats[i]; i++)
		canp_strbuf_printf(sb, "%s%s", i ? ", " : "", canp_formats[i]->name);
	canp_strbuf_puts(sb, "; each also inside gzip\n");
}

static void caps_json(struct canp_json *js, const struct caps *c, const struct canp_job_cli *cli)
{
	struct kernel_text kt = {.js = js};
	const char *why;
	enum canp_inflate_engine engine = canp_ahead_engine(cli->job.inflate, &why);

	canp_json_object(js);
	canp_json_kstr(js, "version", CANP_VERSION);
	canp_json_kstr(js, "kernel", c->host.kernel);
	canp_json_kstr(js, "cpu", c->host.cpu_model);
	canp_json_ku64(js, "cpus", c->topo.nr_cpus);
	canp_json_ku64(js, "cpus_allowed", c->topo.nr_allowed);
	canp_json_ku64(js, "nodes", c->topo.nr_nodes);
	canp_json_kdouble(js, "cpu_quota", c->topo.cpu_quota);
	canp_json_kstr(js, "ring",
		       c->ring_err                      ? "refused"
		       : c->ring.kind == CANP_RING_SYNC ? "sync"
							: "uring");
	canp_json_kstr(js, "ring_reason", c->ring.reason);
	canp_json_kbool(js, "fixed_buffers", c->ring.fixed_buffers);
	canp_json_kbool(js, "fixed_files", c->ring.fixed_files);
	canp_json_kbool(js, "restricted", c->ring.restricted);
	canp_json_kstr(js, "pages", canp_page_kind_name(c->pages.kind));
	canp_json_kstr(js, "pages_reason", c->pages.reason);
	canp_json_kbool(js, "isolation", c->isolation);
	canp_json_kstr(js, "isolation_reason",
		       c->isolation_reason.buf ? c->isolation_reason.buf : "");
	canp_json_kstr(js, "simd", canp_isa_name(canp_simd.isa));
	canp_json_kstr(js, "inflate", canp_ahead_engine_name(engine));
	canp_json_kstr(js, "inflate_why", why);
	canp_json_key(js, "kernels");
	canp_json_array(js);
	canp_kernels_for_each(kernel_row, &kt);
	canp_json_end(js);
	canp_json_key(js, "formats");
	canp_json_array(js);
	for (unsigned i = 0; canp_formats[i]; i++)
		canp_json_str(js, canp_formats[i]->name);
	canp_json_end(js);
	canp_json_end(js);
}

int canp_cmd_caps(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance caps",
		.synopsis = "[--json] [OPTION]...",
		.text = "Shows what this machine offers and what a job with these options would "
			"use.",
	};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	struct canp_job_cli c;
	struct caps *caps;
	int code = canp_job_cli_parse(&c, &tool, argc, argv);

	if (code >= 0)
		return code;
	code = canp_job_cli_resolve(&c, &tool);
	caps = calloc(1, sizeof(*caps));
	if (code < 0 && caps) {
		caps_isolation(caps, &c);
		caps_probe(caps, &c);
		if (c.ui.json)
			caps_json(&js, caps, &c);
		else
			caps_text(&sb, caps, &c);
		canp_strbuf_puts(&sb, c.ui.json ? "\n" : "");
		code = canp_tool_print(&sb);
	}
	if (caps)
		canp_strbuf_fini(&caps->isolation_reason);
	free(caps);
	canp_job_cli_fini(&c);
	return code < 0 ? CANP_EXIT_FATAL : code;
}
