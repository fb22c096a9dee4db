/*
 * appliance_doctor.c - `canp-appliance doctor`: each thing that makes a job slow or impossible,
 * with the command that mends it. A pure judgement over numa/host.h and a probe of the ring.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "numa/host.h"
#include "numa/profile.h"
#include "simd/simd.h"
#include "tools/appliance_cmd.h"
#include "tools/appliance_doctor.h"
#include "tools/appliance_doctor_cfg.h"

enum verdict { GOOD, HINT, BAD };

struct doctor {
	struct canp_strbuf *sb;
	struct canp_json *js;
	unsigned hints, bads;
};

static void say(struct doctor *d, const char *what, enum verdict v, const char *found,
		const char *fix)
{
	static const char *const word[] = {"ok", "hint", "BAD"};

	d->hints += v == HINT;
	d->bads += v == BAD;
	if (d->js) {
		canp_json_object(d->js);
		canp_json_kstr(d->js, "check", what);
		canp_json_kstr(d->js, "verdict", word[v]);
		canp_json_kstr(d->js, "found", found);
		canp_json_kstr(d->js, "fix", v == GOOD ? "" : fix);
		canp_json_end(d->js);
		return;
	}
	canp_strbuf_printf(d->sb, "%-4s  %-12s %s\n", word[v], what, found);
	if (v != GOOD)
		canp_strbuf_printf(d->sb, "      %-12s fix: %s\n", "", fix);
}

static void limit_text(uint64_t v, char *buf)
{
	if (v == CANP_HOST_UNLIMITED)
		snprintf(buf, 32, "unlimited");
	else
		canp_tool_bytes((double)v, buf);
}

static void doctor_ring(struct doctor *d, const struct canp_host_facts *h)
{
	struct canp_ring_opts ro = {.kind = CANP_RING_URING, .entries = 64, .iowq_cpu = -1};
	struct canp_ring *ring;
	int rc = canp_ring_create(&ro, &ring);
	char found[200];

	if (rc == 0) {
		const struct canp_ring_caps *c = canp_ring_caps(ring);

		snprintf(found, sizeof(found), "io_uring works%s%s", *c->reason ? ": " : "",
			 c->reason);
		say(d, "io_uring", c->defer_taskrun ? GOOD : HINT, found,
		    "a kernel from 6.1 on offers deferred task work");
		canp_ring_destroy(ring);
		return;
	}
	snprintf(found, sizeof(found), "refused: %s (kernel.io_uring_disabled=%d)",
		 canp_strerror(rc), h->io_uring_disabled);
	say(d, "io_uring", HINT, found,
	    h->io_uring_disabled > 0
		    ? "sysctl kernel.io_uring_disabled=0; until then helper threads are used"
		    : "allow io_uring_setup in the container's seccomp profile; until then helper "
		      "threads are used");
}

static void doctor_pages(struct doctor *d, const struct canp_host_facts *h, unsigned cores,
			 uint64_t arena)
{
	uint64_t need = (arena + (2 << 20) - 1) / (2 << 20) * cores;
	char found[200], fix[200];

	snprintf(found, sizeof(found), "%llu of %llu 2 MiB pages free, a job wants %llu; THP %s",
		 (unsigned long long)h->hugepages.free_2m,
		 (unsigned long long)h->hugepages.total_2m, (unsigned long long)need,
		 h->hugepages.thp);
	snprintf(fix, sizeof(fix),
		 "sysctl vm.nr_hugepages=%llu; without, transparent or small pages "
		 "are used",
		 (unsigned long long)(h->hugepages.total_2m - h->hugepages.free_2m + need));
	say(d, "hugepages", h->hugepages.free_2m >= need ? GOOD : HINT, found, fix);
}

static void doctor_limits(struct doctor *d, const struct canp_host_facts *h, uint64_t ring_bytes)
{
	char found[200], a[32], fix[200];
	/* Root is exempt from the accounting by CAP_IPC_LOCK; the probe of caps tells. */
	limit_text(h->memlock_soft, a);
	snprintf(found, sizeof(found), "%s; %llu MiB per core would be registered with the ring", a,
		 (unsigned long long)(ring_bytes >> 20));
	say(d, "memlock", h->memlock_soft >= ring_bytes ? GOOD : HINT, found,
	    "LimitMEMLOCK=infinity in the unit, or ulimit -l; root is exempt. Without, buffers are "
	    "not registered");
	snprintf(found, sizeof(found), "%llu (hard %llu)", (unsigned long long)h->nofile_soft,
		 (unsigned long long)h->nofile_hard);
	snprintf(fix, sizeof(fix), "ulimit -n 65536 (each table that is open takes a descriptor)");
	say(d, "nofile", h->nofile_soft >= 4096 ? GOOD : HINT, found, fix);
}

static void doctor_memory(struct doctor *d, const struct canp_host_facts *h, unsigned cores,
			  const struct canp_job_cli *c)
{
	uint64_t want = c->job.mem_per_core * cores + c->job.writer_mem;
	char found[200], a[32], b[32], fix[200];

	limit_text(h->room, a);
	canp_tool_bytes((double)want, b);
	snprintf(found, sizeof(found), "%s can be taken now, a job may use up to %s", a, b);
	snprintf(fix, sizeof(fix), "lower --cores, --mem-per-core or --writer-mem");
	say(d, "memory", h->room >= want ? GOOD : h->room >= want / 2 ? HINT : BAD, found, fix);
}

static void doctor_cpu(struct doctor *d, const struct canp_topology *t,
		       enum canp_inflate_engine inflate)
{
	enum canp_inflate_engine engine;
	const char *why;
	char found[200];

	snprintf(found, sizeof(found), "best kernels: %s", canp_isa_name(canp_simd.isa));
	say(d, "simd", canp_simd.isa == CANP_ISA_AVX512 ? GOOD : HINT, found,
	    "a processor with AVX-512 VBMI decodes faster; nothing else changes");
	engine = canp_ahead_engine(inflate, &why);
	snprintf(found, sizeof(found), "%s: %s", canp_ahead_engine_name(engine), why);
	say(d, "inflate", engine == CANP_INFLATE_INTERLEAVED ? GOOD : HINT, found,
	    "with AVX2 and without --inflate=isal five members are decoded at once, about twice as "
	    "fast");
	snprintf(found, sizeof(found), "%u of %u online CPUs allowed, quota %.2f", t->nr_allowed,
		 t->nr_cpus, t->cpu_quota);
	say(d, "cpus", t->cpu_quota > 0 && t->cpu_quota < t->nr_allowed ? HINT : GOOD, found,
	    "raise the container's CPU quota, or set --cores to it");
}

/* Each has a fallback, so what is missing is no more than a hint. */
static void doctor_kernel(struct doctor *d)
{
	struct canp_kernel_feature v[32];
	unsigned n = canp_kernel_features(v, CANP_ARRAY_SIZE(v));

	for (unsigned i = 0; i < n && i < CANP_ARRAY_SIZE(v); i++) {
		char fix[200];

		snprintf(fix, sizeof(fix), "none is needed: %s", v[i].fallback);
		say(d, v[i].name, v[i].there ? GOOD : HINT,
		    v[i].there ? "there" : "not there, or refused here", fix);
	}
}

/* Never bad: a job runs on any machine, the profiles only say what to expect. */
static void doctor_profile(struct doctor *d, const struct canp_host_facts *h,
			   const struct canp_topology *t)
{
	struct canp_hw_facts f;
	enum canp_hw_profile p;
	char found[256], a[32];

	canp_hw_facts("", t, h->mem_total, &f);
	p = canp_hw_profile(&f);
	canp_tool_bytes((double)f.mem_bytes, a);
	snprintf(found, sizeof(found),
		 "%s: %u cores, %u socket%s, %s, %u NVMe drive%s, %u graphics processor%s",
		 canp_hw_profile_name(p), f.cores, f.sockets, f.sockets == 1 ? "" : "s", a, f.nvme,
		 f.nvme == 1 ? "" : "s", f.gpus, f.gpus == 1 ? "" : "s");
	if (canp_hw_profile_config(p)) {
		size_t n = strlen(found);

		snprintf(found + n, sizeof(found) - n, "; make %s is made for it",
			 canp_hw_profile_config(p));
	}
	say(d, "profile", p == CANP_HW_BELOW ? HINT : GOOD, found,
	    "16 cores and 64 GB are the smallest machine the throughput goals are about");
}

/* 0 or CANP_EXIT_FATAL. */
static int doctor_host(const struct canp_job_cli *c)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	struct doctor d = {.sb = &sb, .js = c->ui.json ? &js : NULL};
	struct canp_host_facts *h = calloc(1, sizeof(*h));
	struct canp_topology *t = calloc(1, sizeof(*t));
	int code = CANP_EXIT_FATAL;
	unsigned cores;

	if (h && t) {
		canp_host_facts("", h);
		canp_topology_read("", t);
		cores = c->job.cores ? c->job.cores : canp_topology_default_cores(t);
		if (d.js)
			canp_json_array(&js);
		doctor_ring(&d, h);
		doctor_pages(&d, h, cores, c->job.mem_per_core);
		doctor_limits(&d, h, 16 << 20);
		doctor_memory(&d, h, cores, c);
		doctor_cpu(&d, t, c->job.inflate);
		doctor_kernel(&d);
		doctor_profile(&d, h, t);
		if (d.js)
			canp_json_end(&js);
		else
			canp_strbuf_printf(&sb, "%u bad, %u hints\n", d.bads, d.hints);
		canp_strbuf_puts(&sb, d.js ? "\n" : "");
		code = canp_tool_print(&sb) || d.bads ? CANP_EXIT_FATAL : CANP_EXIT_OK;
	}
	free(h);
	free(t);
	return code;
}

int canp_cmd_doctor(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance doctor",
		.synopsis = "[--json] [OPTION]... | --alerts FILE [METRICS]...",
		.text = "Checks kernel features, huge pages, limits and memory; says how to fix "
			"each. "
			"Exit code 1 when a job could not run. With --alerts it judges metrics "
			"instead.",
	};
	struct canp_doctor_cfg own;
	struct canp_job_cli c;
	int code = canp_job_cli_parse_own(&c, &tool, &canp_doctor_opt_table, &own, argc, argv);

	if (code < 0 && *own.alerts) {
		const char *const *files;
		unsigned nr;

		files = canp_opts_operands(c.opts, &nr);
		code = canp_alerts(tool.name, own.alerts, files, nr, c.ui.json);
	}
	if (code < 0)
		code = canp_job_cli_resolve(&c, &tool);
	if (code < 0)
		code = doctor_host(&c);
	if (c.opts)
		canp_job_cli_fini(&c);
	return code;
}
