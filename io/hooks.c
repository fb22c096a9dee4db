/*
 * hooks.c - notes of reactors become commands.
 *
 * Notes lie in a slab; the numbers of free and of written ones go through two lock-free queues. The
 * control thread looks a few times a second. What the pool has no room for stays in the queue; what
 * that has no room for is lost and counted, so that a hook that hangs can never hold up the job.
 */
#include "io/hooks.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/command/cmd_queue.h"
#include "core/command/command_pool.h"
#include "io/ingest.h"
#include "io/sink/partition.h"

#define HOOKS_NOTES   8192u
#define HOOKS_QUEUE   1024u
#define HOOKS_TOLD    10u /* failures that get a line each */
#define HOOKS_AHEAD   4096u
#define HOOKS_VARS    10u
#define HOOKS_TEXT    4200u
#define HOOKS_CAPTURE 2048u

enum { HOOK_PUBLISH, HOOK_QUARANTINE };

struct note {
	const char *table, *ext;
	uint32_t seq;
	uint64_t rows, bytes;
};

struct canp_hooks {
	struct canp_hooks_opts o;
	struct canp_cmd_pool *pool;
	struct canp_cmd_queue *free, *written;
	struct note *notes; /* [HOOKS_NOTES] */
	bool has_note;      /* one that the pool had no room for */
	uint32_t note;
	uint8_t *looked; /* inputs whose status is known; made at the first look */
	uint32_t from;   /* all before it are */
	bool last;       /* nothing is written any more */
	uint64_t told;
	struct canp_hooks_counts c[2]; /* atomic */
	char text[HOOKS_VARS][HOOKS_TEXT];
};

static void count(uint64_t *v)
{
	__atomic_fetch_add(v, 1, __ATOMIC_RELAXED);
}

int canp_hooks_create(const struct canp_hooks_opts *o, struct canp_hooks **out)
{
	struct canp_cmd_config pc = {.workers = 1,
				     .concurrency_limit = o->jobs ? o->jobs : 1,
				     .max_size = HOOKS_QUEUE,
				     .history = 1,
				     .capture_max = HOOKS_CAPTURE};
	struct canp_hooks *h;
	int rc;

	*out = NULL;
	if ((!o->on_publish || !*o->on_publish) && (!o->on_quarantine || !*o->on_quarantine))
		return 0;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->o = *o;
	h->notes = calloc(HOOKS_NOTES, sizeof(*h->notes));
	h->free = canp_cmd_queue_create(HOOKS_NOTES);
	h->written = canp_cmd_queue_create(HOOKS_NOTES);
	rc = h->notes && h->free && h->written ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < HOOKS_NOTES && !rc; i++)
		canp_cmd_queue_push(h->free, &i, 1);
	if (!rc)
		rc = canp_cmd_pool_create(&pc, &h->pool);
	if (!rc)
		rc = canp_cmd_pool_start(h->pool, 0);
	if (rc) {
		canp_hooks_destroy(h);
		return rc;
	}
	*out = h;
	return 0;
}

void canp_hooks_destroy(struct canp_hooks *h)
{
	if (!h)
		return;
	canp_cmd_pool_destroy(h->pool);
	canp_cmd_queue_destroy(h->free);
	canp_cmd_queue_destroy(h->written);
	free(h->notes);
	free(h->looked);
	free(h);
}

void canp_hooks_published(struct canp_hooks *h, const char *table, const char *ext, uint32_t seq,
			  uint64_t rows, uint64_t bytes)
{
	uint32_t i;

	if (!h || !h->o.on_publish || !*h->o.on_publish)
		return;
	if (!canp_cmd_queue_pop(h->free, &i)) {
		count(&h->c[HOOK_PUBLISH].lost);
		return;
	}
	h->notes[i] = (struct note){table, ext, seq, rows, bytes};
	canp_cmd_queue_push(h->written, &i, 1);
}

/* ---- commands ---- */

static void hook_over(struct canp_hooks *h, int kind, const struct canp_cmd_result *r)
{
	static const char *const name[] = {"on-publish", "on-quarantine"};

	count(&h->c[kind].run);
	if (r->status == CANP_CMD_COMPLETED)
		return;
	count(&h->c[kind].failed);
	if (__atomic_fetch_add(&h->told, 1, __ATOMIC_RELAXED) < HOOKS_TOLD)
		canp_warn("hook %s: %s", name[kind], r->message);
}

static void publish_over(void *arg, struct canp_future *f, const struct canp_cmd_result *r)
{
	(void)f;
	hook_over(arg, HOOK_PUBLISH, r);
}

static void quarantine_over(void *arg, struct canp_future *f, const struct canp_cmd_result *r)
{
	(void)f;
	hook_over(arg, HOOK_QUARANTINE, r);
}

/* 0, -EAGAIN: later; other errors count as a failure. */
static int hook_start(struct canp_hooks *h, int kind, unsigned nr_vars)
{
	const char *cmd = kind == HOOK_PUBLISH ? h->o.on_publish : h->o.on_quarantine;
	const char *const argv[] = {"/bin/sh", "-c", cmd, NULL};
	const char *env[HOOKS_VARS + 1];
	struct canp_cmd_spec s = {.argv = argv,
				  .env = env,
				  .env_add = true,
				  .timeout_ms = h->o.timeout_ms,
				  .done = kind == HOOK_PUBLISH ? publish_over : quarantine_over,
				  .arg = h};
	int rc;

	for (unsigned i = 0; i < nr_vars; i++)
		env[i] = h->text[i];
	env[nr_vars] = NULL;
	rc = canp_cmd_try_push(h->pool, &s, NULL);
	if (rc == -EAGAIN || rc == -ENOBUFS)
		return -EAGAIN;
	if (rc) {
		count(&h->c[kind].failed);
		canp_warn("hook: %s", canp_strerror(rc));
	}
	return 0;
}

static void CANP_PRINTF(3, 4) var(struct canp_hooks *h, unsigned *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->text[*n], HOOKS_TEXT, fmt, ap);
	va_end(ap);
	(*n)++;
}

static int publish_start(struct canp_hooks *h, const struct note *t)
{
	char name[CANP_PART_NAME_MAX];
	unsigned n = 0;

	canp_partition_part_name(name, t->seq, t->ext);
	var(h, &n, "CANP_EVENT=publish");
	var(h, &n, "CANP_OUT=%s", h->o.out);
	var(h, &n, "CANP_TABLE=%s", t->table);
	var(h, &n, "CANP_PART=%s/%s", t->table, name);
	var(h, &n, "CANP_FILE=%s/%s/%s", h->o.out, t->table, name);
	var(h, &n, "CANP_ROWS=%llu", (unsigned long long)t->rows);
	var(h, &n, "CANP_BYTES=%llu", (unsigned long long)t->bytes);
	return hook_start(h, HOOK_PUBLISH, n);
}

static int quarantine_start(struct canp_hooks *h, const struct canp_job *job, uint32_t src)
{
	const struct canp_file_result *r = &job->results[src];
	const struct canp_fault *f = &job->faults[(size_t)src * job->faults_per_file];
	unsigned n = 0;

	var(h, &n, "CANP_EVENT=quarantine");
	var(h, &n, "CANP_OUT=%s", h->o.out);
	var(h, &n, "CANP_FILE=%s", canp_job_input(job, src)->path);
	var(h, &n, "CANP_STATUS=%s", canp_file_status_name(r->status));
	var(h, &n, "CANP_FAULTS=%u", r->nr_faults);
	if (r->kept_faults) {
		var(h, &n, "CANP_REASON=%s", canp_fault_name(f->code));
		var(h, &n, "CANP_OFFSET=%llu", (unsigned long long)f->offset);
	} else {
		var(h, &n, "CANP_REASON=%s", r->err ? canp_strerror(r->err) : "");
	}
	return hook_start(h, HOOK_QUARANTINE, n);
}

/* ---- pumping ---- */

static bool pump_notes(struct canp_hooks *h)
{
	while (h->has_note || canp_cmd_queue_pop(h->written, &h->note)) {
		h->has_note = publish_start(h, &h->notes[h->note]) == -EAGAIN;
		if (h->has_note)
			return false;
		canp_cmd_queue_push(h->free, &h->note, 1);
	}
	return true;
}

/* Shards finish files in nearly the order of their numbers: a look goes on until it has met a few
 * thousand in a row that are not known yet. */
static bool pump_inputs(struct canp_hooks *h, const struct canp_job *job)
{
	uint32_t unknown = 0;

	if (!h->o.on_quarantine || !*h->o.on_quarantine)
		return true;
	if (!h->looked)
		h->looked = calloc(job->nr_files + 1, 1);
	for (uint32_t i = h->from; h->looked && i < job->nr_files && unknown < HOOKS_AHEAD; i++) {
		enum canp_file_status st = (enum canp_file_status)__atomic_load_n(
			(const int *)&job->results[i].status, __ATOMIC_ACQUIRE);

		if (h->looked[i])
			continue;
		/* A failed one gets its status before its fault. */
		if (st == CANP_FILE_PENDING ||
		    (st == CANP_FILE_FAILED && !h->last &&
		     !__atomic_load_n(&job->results[i].kept_faults, __ATOMIC_ACQUIRE))) {
			unknown++;
			continue;
		}
		if ((st == CANP_FILE_DAMAGED || st == CANP_FILE_FAILED) &&
		    quarantine_start(h, job, i) == -EAGAIN)
			return false;
		unknown = 0;
		h->looked[i] = 1;
	}
	while (h->looked && h->from < job->nr_files && h->looked[h->from])
		h->from++;
	return true;
}

void canp_hooks_pump(struct canp_hooks *h, const struct canp_job *job)
{
	if (!h)
		return;
	pump_notes(h);
	pump_inputs(h, job);
}

void canp_hooks_finish(struct canp_hooks *h, const struct canp_job *job)
{
	if (!h)
		return;
	h->last = true;
	/* Full: the pool is emptied, then there is room again. */
	while (!pump_notes(h) || !pump_inputs(h, job)) {
		if (canp_cmd_pool_stop(h->pool, CANP_CMD_STOP_RUN, UINT32_MAX) ||
		    canp_cmd_pool_start(h->pool, 0))
			return;
	}
	canp_cmd_pool_stop(h->pool, CANP_CMD_STOP_RUN, UINT32_MAX);
}

void canp_hooks_counts(const struct canp_hooks *h, struct canp_hooks_counts c[2])
{
	memset(c, 0, 2 * sizeof(*c));
	if (h)
		memcpy(c, h->c, sizeof(h->c));
}

void canp_hooks_json(struct canp_json *js, const struct canp_hooks *h)
{
	static const char *const name[] = {"publish", "quarantine"};

	if (!h)
		return;
	canp_json_key(js, "hooks");
	canp_json_object(js);
	for (unsigned i = 0; i < 2; i++) {
		canp_json_key(js, name[i]);
		canp_json_object(js);
		canp_json_ku64(js, "run", h->c[i].run);
		canp_json_ku64(js, "failed", h->c[i].failed);
		canp_json_ku64(js, "lost", h->c[i].lost);
		canp_json_end(js);
	}
	canp_json_end(js);
}
