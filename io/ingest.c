/*
 * ingest.c - a job on the control thread: scan, plan, boot, wait, publish the side files.
 *
 * The order at the end is the durability promise: every part is published (by its owner), then the
 * side tables, then report.jsonl, and run.json last of all. Whoever sees a run.json that says
 * complete sees everything.
 */
#include "io/ingest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/base/version.h"
#include "io/device_rule.h"
#include "io/hooks.h"
#include "io/ingest_priv.h"
#include "io/observe_job.h"
#include "io/outdir.h"

#define INGEST_FAULTS_PER_FILE 1000u
#define INGEST_FAULTS_MIN      16u
#define INGEST_FAULTS_TOTAL    2000000u
#define INGEST_PROGRESS_NS     (250 * CANP_NS_PER_MS)

static struct canp_job_priv *job_priv(const struct canp_job *job)
{
	return job->priv;
}

const struct canp_input *canp_job_input(const struct canp_job *job, uint32_t src)
{
	return &job->scan->files[job->order ? job->order[src] : src];
}

/* ---- what the shards ask ---- */

struct canp_ingest_shard *canp_job_shard(struct canp_job *job, unsigned index)
{
	return &job_priv(job)->shards[index];
}

struct canp_pqschema *const *canp_job_schemas(const struct canp_job *job)
{
	return job->opts.sink == CANP_SINK_PARQUET ? job_priv(job)->schemas : NULL;
}

enum canp_io_policy canp_job_write_policy(const struct canp_job *job)
{
	return job_priv(job)->write_policy;
}

void *canp_job_shard_mem(struct canp_job *job, unsigned shard, size_t bytes)
{
	struct canp_job_priv *p = job_priv(job);
	struct canp_job_alloc *a;

	(void)shard;
	bytes = canp_align_up(bytes + sizeof(*a), 64UL);
	a = aligned_alloc(64, bytes);
	if (!a)
		return NULL;
	memset(a, 0, bytes);
	pthread_mutex_lock(&p->lock);
	a->next = p->allocs;
	p->allocs = a;
	pthread_mutex_unlock(&p->lock);
	return a->data;
}

void canp_job_fail(struct canp_job *job, int err, const char *what)
{
	struct canp_job_priv *p = job_priv(job);

	pthread_mutex_lock(&p->lock);
	if (!p->error) {
		snprintf(p->error_what, sizeof(p->error_what), "%s", what);
		/* J1: publishes the text; pairs with J2. */
		__atomic_store_n(&p->error, err, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&p->lock);
	canp_sched_stop(job->sched);
	for (unsigned i = 0; i < p->nr_shards; i++)
		canp_mesh_kick(p->shards[i].sh->mesh, i);
}

void canp_job_note(struct canp_job *job, const char *what)
{
	struct canp_job_priv *p = job_priv(job);

	pthread_mutex_lock(&p->lock);
	if (!p->error_what[0])
		snprintf(p->error_what, sizeof(p->error_what), "%s", what);
	pthread_mutex_unlock(&p->lock);
}

bool canp_job_failed(const struct canp_job *job)
{
	/* J2: pairs with J1. */
	return __atomic_load_n(&job_priv(job)->error, __ATOMIC_ACQUIRE) != 0;
}

void canp_job_shard_over(struct canp_job *job, struct canp_runtime *rt)
{
	struct canp_job_priv *p = job_priv(job);

	if (__atomic_add_fetch(&p->over, 1, __ATOMIC_ACQ_REL) == p->nr_shards)
		canp_runtime_stop(rt);
}

/* ---- create ---- */

/* --order=size: largest first, listing order among equals. */
static const struct canp_dirscan *order_scan;

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint64_t sx = order_scan->files[x].size, sy = order_scan->files[y].size;

	if (sx != sy)
		return sx < sy ? 1 : -1;
	return x < y ? -1 : x > y;
}

static int job_order(struct canp_job *job)
{
	if (!job->opts.order_by_size)
		return 0;
	job->order = malloc((job->nr_files + 1) * sizeof(*job->order));
	if (!job->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < job->nr_files; i++)
		job->order[i] = i;
	order_scan = job->scan;
	qsort(job->order, job->nr_files, sizeof(*job->order), by_size);
	return 0;
}

static int job_scan(struct canp_job *job, struct canp_strbuf *err)
{
	int rc = canp_dirscan_create(
		&(struct canp_dirscan_opts){.args = job->opts.inputs,
					    .nr_args = job->opts.nr_inputs,
					    .include = job->opts.globs,
					    .nr_include = job->opts.nr_globs,
					    .follow_symlinks = job->opts.follow_symlinks},
		&job->scan);

	if (rc < 0) {
		canp_strbuf_printf(err, "cannot list the inputs: %s", canp_strerror(rc));
		return rc;
	}
	if (job->scan->nr_files > UINT32_MAX / 2) {
		canp_strbuf_puts(err, "too many input files");
		return -E2BIG;
	}
	job->nr_files = (uint32_t)job->scan->nr_files;
	return job_order(job);
}

/* Results and faults live in reserved mappings: a fault costs no allocation on a reactor, and what
 * is never damaged is never touched. */
static int job_stores(struct canp_job *job)
{
	struct canp_job_priv *p = job_priv(job);
	uint32_t per = INGEST_FAULTS_TOTAL / (job->nr_files ? job->nr_files : 1);

	job->faults_per_file = canp_max(canp_min(per, INGEST_FAULTS_PER_FILE), INGEST_FAULTS_MIN);
	p->results_bytes = sizeof(*job->results) * ((size_t)job->nr_files + 1);
	p->faults_bytes = sizeof(*job->faults) * job->faults_per_file * ((size_t)job->nr_files + 1);
	job->results = mmap(NULL, p->results_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	job->faults = mmap(NULL, p->faults_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (job->results == MAP_FAILED)
		job->results = NULL;
	if (job->faults == MAP_FAILED)
		job->faults = NULL;
	return job->results && job->faults ? 0 : -ENOMEM;
}

static int job_devices(struct canp_job *job, struct canp_strbuf *err)
{
	struct canp_device_rule *rule;
	int rc = canp_devices_create(&job->devices);

	if (rc)
		return rc;
	if (!job->opts.device || !*job->opts.device)
		return 0;
	rc = canp_device_rule_create(job->opts.device, &rule, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < job->nr_files; i++) {
		char name[CANP_DEVICE_NAME_MAX + 1];
		const struct canp_input *in = canp_job_input(job, i);
		size_t len = canp_device_rule_apply(rule, in->path, name, sizeof(name));

		if (len)
			job->results[i].device = canp_devices_add(job->devices, name, len);
	}
	canp_device_rule_destroy(rule);
	return 0;
}

static struct canp_unit_file job_unit_file(void *arg, uint32_t i)
{
	const struct canp_input *in = canp_job_input(arg, i);

	return (struct canp_unit_file){.path = in->rel, .size = in->err ? 0 : in->size};
}

struct job_warn {
	struct canp_job *job;
	void (*warn)(void *arg, const char *line);
	void *arg;
};

static void job_on_warning(void *arg, const char *line)
{
	struct job_warn *w = arg;

	w->job->nr_warnings++;
	if (w->warn)
		w->warn(w->arg, line);
}

static int job_schemas(struct canp_job *job, struct canp_strbuf *err)
{
	struct canp_job_priv *p = job_priv(job);

	p->nr_slots = canp_plan_nr_slots(job->plan);
	p->schemas = calloc(p->nr_slots, sizeof(struct canp_pqschema *));
	if (!p->schemas)
		return -ENOMEM;
	for (uint32_t s = 0; s < p->nr_slots; s++) {
		const struct canp_table *t = canp_plan_table(job->plan, s);
		int rc;

		if (!t || t->cls == CANP_REC_NONE)
			continue;
		rc = canp_pqschema_create(t,
					  &(struct canp_pqschema_opts){
						  .ts_ns_column = job->plan->opts.ts_ns_column,
						  .device_column = job->plan->opts.device_column,
						  .enum_labels = job->plan->opts.enum_labels,
						  .codec = job->opts.codec,
						  .codec_level = job->opts.codec_level,
						  .version = CANP_VERSION,
					  },
					  &p->schemas[s]);
		if (rc) {
			canp_strbuf_printf(err, "table %s: %s", t->name, canp_strerror(rc));
			return rc;
		}
	}
	return 0;
}

/* Adds an operator behind the one called from (-1: it is the first); its id or an error, also one
 * handed in as from. */
static int job_add_op(struct canp_job *job, int from, const struct canp_flow_op *op, unsigned *id)
{
	int to = from < -1 ? from : canp_flow_add(job->flow, op);

	if (to < 0)
		return to;
	*id = (unsigned)to;
	if (from >= 0)
		canp_flow_edge(job->flow, (unsigned)from, (unsigned)to);
	return to;
}

/* The pipeline of every job:
 *
 *	read -> decode -> [plugins -> pack ->] extract => write
 *
 * Every shard runs a copy of it. An arrow inside a shard is a direct call with a batch: a chunk of
 * up to 256 rows of one message is extracted while it lies in the L1. Page runs cross ('=>') over
 * the mesh to the shard that owns their table. `read` and `write` are polled by the reactor. */
static int job_build_flow(struct canp_job *job, struct canp_strbuf *err)
{
	struct canp_flow_op read = {"read", CANP_FLOW_SOURCE, .poll = canp_ingest_read};
	struct canp_flow_op decode = {"decode", CANP_FLOW_OPERATOR, .push = canp_ingest_decode};
	struct canp_flow_op plugin = {.kind = CANP_FLOW_OPERATOR, .push = canp_plugin_push};
	struct canp_flow_op pack = {"pack", CANP_FLOW_OPERATOR, .push = canp_plugin_pack};
	struct canp_flow_op extract = {"extract", CANP_FLOW_OPERATOR, .crosses = true,
				       .push = canp_ingest_extract};
	struct canp_flow_op write = {"write", CANP_FLOW_SINK, .poll = canp_ingest_write};
	int rc = canp_flow_create("job", &job->flow), last;

	if (rc)
		return rc;
	if (job->opts.stages)
		canp_ingest_stage_ops(job->opts.stages, &read, &extract, &write);
	last = job_add_op(job, -1, &read, &job->op_read);
	last = job_add_op(job, last, &decode, &job->op_decode);
	for (unsigned i = 0; i < canp_plugins_nr(job->plugins); i++) {
		plugin.name = canp_plugins_name(job->plugins, i);
		last = job_add_op(job, last, &plugin, &job->op_plugin[i]);
	}
	if (job->plugins)
		last = job_add_op(job, last, &pack, &job->op_pack);
	last = job_add_op(job, last, &extract, &job->op_extract);
	last = job_add_op(job, last, &write, &job->op_write);
	return last < 0 ? last : canp_flow_build(job->flow, job->cores, err);
}

unsigned canp_job_nr_cores(const struct canp_job_opts *opts)
{
	struct canp_topology *t;
	unsigned cores = opts->cores;

	t = cores ? NULL : malloc(sizeof(*t));
	if (t)
		cores = canp_topology_read("", t) == 0 ? canp_topology_default_cores(t) : 1;
	free(t);
	return canp_max(cores, 1u);
}

static int job_plugins(struct canp_job *job, struct job_warn *w, struct canp_strbuf *err)
{
	if (!job->opts.nr_plugins)
		return 0;
	return canp_plugins_create(job->opts.plugins, job->opts.nr_plugins, job->plan, err,
				   job_on_warning, w, &job->plugins);
}

static int job_build(struct canp_job *job, struct job_warn *w, struct canp_strbuf *err)
{
	int rc = job_scan(job, err);

	if (rc)
		return rc;
	rc = job_stores(job);
	rc = rc ? rc : job_devices(job, err);
	rc = rc ? rc : canp_plan_create(&job->opts.plan, err, job_on_warning, w, &job->plan);
	rc = rc ? rc : job_plugins(job, w, err);
	rc = rc ? rc
		: canp_units_build(job->nr_files, job_unit_file, job, job->opts.unit_bytes,
				   &job->units);
	rc = rc ? rc : job_schemas(job, err);
	rc = rc ? rc : job_build_flow(job, err);
	if (rc)
		return rc;
	job->mem = calloc(1, sizeof(*job->mem));
	return job->mem ? canp_ingest_plan_memory(job, job->mem, err) : -ENOMEM;
}

int canp_job_create(const struct canp_job_opts *opts, void (*warn)(void *arg, const char *line),
		    void *arg, struct canp_strbuf *err, struct canp_job **out)
{
	struct canp_job *job = calloc(1, sizeof(*job));
	struct job_warn w = {.job = job, .warn = warn, .arg = arg};
	struct canp_job_priv *p = calloc(1, sizeof(*p));
	int rc;

	if (!job || !p) {
		free(job);
		free(p);
		return -ENOMEM;
	}
	job->opts = *opts;
	if (!job->opts.window)
		job->opts.window = CANP_SCHED_WINDOW_PER_SHARD;
	if (!job->opts.write_depth)
		job->opts.write_depth = CANP_INGEST_WRITE_DEPTH;
	job->cores = canp_job_nr_cores(opts);
	job->out_fd = -1;
	job->priv = p;
	pthread_mutex_init(&p->lock, NULL);
	rc = job_build(job, &w, err);
	if (rc) {
		if (!err->len)
			canp_strbuf_printf(err, "cannot plan the job: %s", canp_strerror(rc));
		canp_job_destroy(job);
		return rc;
	}
	*out = job;
	return 0;
}

void canp_job_destroy(struct canp_job *job)
{
	struct canp_job_priv *p;

	if (!job)
		return;
	p = job_priv(job);
	for (uint32_t s = 0; p->schemas && s < p->nr_slots; s++)
		canp_pqschema_destroy(p->schemas[s]);
	free(p->schemas);
	free(p->shards);
	while (p->allocs) {
		struct canp_job_alloc *a = p->allocs;

		p->allocs = a->next;
		free(a);
	}
	pthread_mutex_destroy(&p->lock);
	canp_job_perf_destroy(job->perf);
	canp_flow_destroy(job->flow);
	canp_plugins_destroy(job->plugins);
	canp_plan_destroy(job->plan);
	canp_units_fini(&job->units);
	canp_sched_destroy(job->sched);
	canp_devices_destroy(job->devices);
	canp_dirscan_destroy(job->scan);
	if (job->results)
		munmap(job->results, p->results_bytes);
	if (job->faults)
		munmap(job->faults, p->faults_bytes);
	if (job->out_fd >= 0)
		close(job->out_fd);
	free(job->mem);
	free(job->order);
	free(job->unknown);
	free(p);
	free(job);
}

/* ---- run ---- */

static int job_open_output(struct canp_job *job, struct canp_strbuf *err)
{
	struct canp_fsinfo fi;
	int rc;

	if (job->opts.stages && job->opts.stages->last < CANP_STAGE_WRITE)
		return 0;
	rc = canp_outdir_create(job->opts.out, &job->out_fd, err);
	if (rc)
		return rc;
	rc = canp_fsinfo_dir(job->out_fd, &fi);
	job_priv(job)->write_policy =
		rc ? CANP_IO_BUFFERED : canp_fsinfo_write_policy(&fi, CANP_IO_AUTO);
	rc = canp_report_job_json(job);
	if (rc)
		canp_strbuf_printf(err, "cannot write to output folder %s: %s", job->opts.out,
				   canp_strerror(rc));
	return rc;
}

static int job_boot(struct canp_job *job, struct canp_strbuf *err)
{
	struct canp_job_priv *p = job_priv(job);
	unsigned cores = job->cores;
	int rc;

	p->nr_shards = cores;
	p->shards = calloc(cores, sizeof(*p->shards));
	rc = p->shards ? canp_ingest_make_sched(job, cores) : -ENOMEM;
	if (rc)
		return rc;
	rc = canp_runtime_create(
		&(struct canp_runtime_opts){
			.cores = cores,
			.ring = job->opts.ring,
			.hugepages = job->opts.hugepages,
			.arena_bytes = job->mem->arena_bytes,
			.arena_min_bytes = job->mem->arena_min,
			/* The page slots are taken one by one from the start of their region
			 * and recycled last in first out: only those in use at once are ever
			 * touched, a fraction of what a burst may need. */
			.arena_touch_bytes = job->mem->arena_bytes -
					     (size_t)job->mem->page_slots * CANP_PAGE_SLOT_BYTES,
			.ring_region_bytes = job->mem->ring_bytes,
			.restrict_ops = job->opts.restrict_ops,
			.pin = job->opts.pin,
			.signals = true,
			.setup = canp_ingest_setup,
			.teardown = canp_ingest_teardown,
			.arg = job,
		},
		&job->rt);
	if (rc && p->error_what[0])
		canp_strbuf_puts(err, p->error_what);
	else if (rc)
		canp_strbuf_printf(err,
				   "cannot start %u shards of %llu MiB: %s (try --cores, "
				   "--mem-per-core, `canp-appliance doctor`)",
				   cores, (unsigned long long)(job->mem->arena_bytes >> 20),
				   canp_strerror(rc));
	return rc;
}

static int by_frames(const void *a, const void *b)
{
	const struct canp_unknown_id *x = a, *y = b;

	if (x->frames != y->frames)
		return x->frames < y->frames ? 1 : -1;
	return x->id != y->id ? (x->id < y->id ? -1 : 1) : (x->bus < y->bus ? -1 : x->bus > y->bus);
}

static int job_publish_rest(struct canp_job *job, struct canp_strbuf *err)
{
	int rc;

	if (job->opts.stages && job->opts.stages->last < CANP_STAGE_WRITE)
		return 0;
	if (job->unknown)
		qsort(job->unknown, job->nr_unknown, sizeof(*job->unknown), by_frames);
	rc = canp_report_side_tables(job);
	rc = rc ? rc : canp_report_lines(job);
	rc = rc ? rc : canp_report_quarantine(job);
	rc = rc ? rc : canp_report_run_json(job);
	if (rc && !err->len)
		canp_strbuf_printf(err, "cannot finish the dataset in %s: %s", job->opts.out,
				   canp_strerror(rc));
	return rc;
}

static void job_exit_code(struct canp_job *job, int rc)
{
	struct canp_job_totals *t = &job->totals;

	if (t->interrupted)
		t->exit_code = 128 + t->interrupted;
	else if (rc)
		t->exit_code = 1;
	else
		t->exit_code = t->files_damaged || t->files_failed ? 2 : 0;
}

static void job_hold_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

int canp_job_run(struct canp_job *job, void (*progress)(void *arg, const struct canp_job *job),
		 void *arg, struct canp_strbuf *err)
{
	struct canp_job_priv *p = job_priv(job);
	sigset_t held;
	int rc, rc2;

	p->started_ns = canp_clock_ns();
	/* From the first file in the output folder to run.json a signal must not end the process
	 * by its default action: it waits until there is a runtime that notes it, and at the end
	 * until the dataset has its mark. */
	job_hold_signals(&held);
	rc = job_open_output(job, err);
	rc = rc ? rc : job_boot(job, err);
	pthread_sigmask(SIG_SETMASK, &held, NULL);
	if (rc)
		return rc;
	job->totals.boot_s = (double)(canp_clock_ns() - p->started_ns) / 1e9;
	job->info = *canp_runtime_info(job->rt);
	canp_job_tell(job, CANP_JOB_BOOTED);
	while ((rc = canp_runtime_wait_for(job->rt, (uint64_t)INGEST_PROGRESS_NS)) == -ETIMEDOUT) {
		canp_job_tell(job, CANP_JOB_TICK);
		canp_hooks_pump(job->opts.hooks, job);
		if (progress)
			progress(arg, job);
	}
	canp_job_peak_memory(&job->totals);
	canp_runtime_stop(job->rt);
	canp_runtime_wait(job->rt);
	canp_job_collect(job);
	canp_job_perf_collect(job);
	canp_job_tell(job, CANP_JOB_STOPPED);
	canp_hooks_finish(job->opts.hooks, job);
	job_hold_signals(&held);
	canp_runtime_destroy(job->rt);
	job->rt = NULL;
	if (!rc)
		rc = p->error;
	if (rc && p->error)
		canp_strbuf_printf(err, "%s", p->error_what);
	job_exit_code(job, rc);
	/* Even a failed or interrupted job says what it did and what is missing. */
	rc2 = job_publish_rest(job, err);
	rc = rc ? rc : rc2;
	pthread_sigmask(SIG_SETMASK, &held, NULL);
	job_exit_code(job, rc);
	canp_job_tell(job, CANP_JOB_OVER);
	return rc;
}
