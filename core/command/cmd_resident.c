/*
 * cmd_resident.c - the backend of mode resident: commands are started by worker processes that were
 * forked when the pool was made. They are a process pool (core/process) whose one function takes a
 * command, runs it on a small command pool of its own and answers with status and output, so the
 * caller's size plays no part in starting a child, and what is sent is a slot of shared memory.
 *
 * A message is a head of fixed size and the bytes that the head tells the lengths of; both sides
 * check them against the size of the message. A worker that dies fails its command (its child dies
 * with it) and is replaced.
 *
 * Descriptors of the caller do not exist in a worker: streams of kind FD and kept descriptors are
 * refused. INHERIT means what the caller had when it made the pool, as does a cwd of NULL.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/command/cmd_priv.h"
#include "core/process/process.h"

#define CANCEL_LOOK_MS 20

struct resident {
	struct canp_cmd_pool *pool;
	struct canp_process_pool *workers;
};

struct request {
	uint64_t id;
	uint32_t argc, envc, bytes, in_bytes; /* bytes: strings one after the other */
	uint32_t has_cwd, in_kind, out_kind, err_kind, out_len, err_len;
	uint64_t grace_ms;
	struct canp_trace_ctx trace;
	struct canp_cmd_rlimit rlimits[CANP_CMD_RLIMITS_MAX];
	uint32_t nr_rlimits, same_group, no_new_privs, kill_leftover;
	int32_t nice;
	uint32_t cancel; /* atomic, written by the caller while it runs */
	char data[];
};

struct answer {
	struct canp_cmd_result r; /* pointers mean nothing */
	int32_t worker;
	char data[]; /* out, err */
};

/* ---- in a worker ---- */

static struct canp_cmd_pool *own;

static int worker_init(void *arg)
{
	const struct canp_cmd_config *of = arg;
	struct canp_cmd_config c = {.workers = 1,
				    .concurrency_limit = 1,
				    .max_size = 1,
				    .history = 1,
				    .capture_max = of->capture_max,
				    .foreign = true};
	int rc = canp_cmd_pool_create(&c, &own);

	return rc ? rc : canp_cmd_pool_start(own, 0);
}

static void worker_fini(void *arg)
{
	(void)arg;
	canp_cmd_pool_destroy(own);
	own = NULL;
}

/* Cuts the next string out; NULL when there is none left. */
static const char *next_string(const char **p, const char *end)
{
	const char *s = *p, *nul = s < end ? memchr(s, 0, (size_t)(end - s)) : NULL;

	*p = nul ? nul + 1 : end;
	return nul ? s : NULL;
}

static int request_read(const struct request *q, size_t size, struct canp_cmd_spec *s,
			const char **ptrs)
{
	const char *p = q->data, *end = p + q->bytes;
	const char **argv = ptrs, **env = ptrs + q->argc + 1;

	if (size < sizeof(*q) || (uint64_t)q->bytes + q->in_bytes > size - sizeof(*q))
		return -EPROTO;
	for (uint32_t i = 0; i < q->argc; i++)
		argv[i] = next_string(&p, end);
	for (uint32_t i = 0; i < q->envc; i++)
		env[i] = next_string(&p, end);
	if (q->has_cwd)
		s->cwd = next_string(&p, end);
	if (p != end || !q->argc || !argv[q->argc - 1] || (q->envc && !env[q->envc - 1]) ||
	    (q->has_cwd && !s->cwd) || q->nr_rlimits > CANP_CMD_RLIMITS_MAX)
		return -EPROTO;
	s->argv = argv;
	s->env = env;
	s->in = (struct canp_cmd_stream){(enum canp_cmd_io)q->in_kind, -1, end, q->in_bytes};
	s->out = (struct canp_cmd_stream){(enum canp_cmd_io)q->out_kind, -1, NULL, q->out_len};
	s->err = (struct canp_cmd_stream){(enum canp_cmd_io)q->err_kind, -1, NULL, q->err_len};
	s->grace_ms = q->grace_ms;
	s->trace = q->trace;
	memcpy(s->rlimits, q->rlimits, sizeof(s->rlimits));
	s->nr_rlimits = q->nr_rlimits;
	s->same_group = q->same_group != 0;
	s->no_new_privs = q->no_new_privs != 0;
	s->kill_leftover = q->kill_leftover != 0;
	s->nice = q->nice;
	return 0;
}

static int answer_make(const struct canp_cmd_result *r, void **output, size_t *output_size)
{
	size_t n = sizeof(struct answer) + r->out.len + r->err.len;
	struct answer *a = canp_process_alloc(n);

	if (!a)
		return -ENOMEM;
	a->r = *r;
	a->worker = canp_process_worker_index();
	memcpy(a->data, r->out.data, r->out.len);
	memcpy(a->data + r->out.len, r->err.data, r->err.len);
	*output = a;
	*output_size = n;
	return 0;
}

static int worker_run(void *input, size_t size, void **output, size_t *output_size, void *user)
{
	const struct request *q = input;
	struct canp_cmd_spec s = {.argv = NULL};
	struct canp_future *f;
	const char **ptrs;
	int rc = -EPROTO;

	(void)user;
	if (size < sizeof(*q) || q->argc > size || q->envc > size)
		return rc;
	ptrs = calloc((size_t)q->argc + q->envc + 2, sizeof(*ptrs));
	if (!ptrs)
		return -ENOMEM;
	rc = request_read(q, size, &s, ptrs);
	if (!rc)
		rc = canp_cmd_try_push(own, &s, &f);
	free(ptrs); /* it was copied */
	if (rc)
		return rc;
	while (canp_future_status(f) < CANP_TASK_COMPLETED) {
		canp_cmd_lane_turn(own->lanes[0], CANCEL_LOOK_MS);
		if (__atomic_load_n(&q->cancel, __ATOMIC_ACQUIRE) || canp_process_cancelled())
			canp_future_cancel(f);
	}
	rc = answer_make(canp_cmd_result(f), output, output_size);
	canp_future_put(f);
	return rc;
}

/* ---- the caller's side ---- */

static int resident_open(struct canp_cmd_pool *p, void *arg, void **ctx)
{
	struct canp_process_config pc = {.worker_count = (int)p->cfg.workers,
					 .queue_size = (int)canp_max(p->cfg.limit_max, 16u),
					 .cancel_grace_ms = 3600000,
					 .pool_name = "commands",
					 .worker_init = worker_init,
					 .worker_fini = worker_fini,
					 .worker_arg = &p->cfg};
	struct resident *x = calloc(1, sizeof(*x));
	int rc = 0;

	(void)arg;
	if (!x)
		return -ENOMEM;
	x->pool = p;
	x->workers = canp_process_pool_create(&pc);
	if (!x->workers)
		rc = -errno;
	if (!rc)
		rc = canp_process_pool_start(x->workers);
	if (rc) {
		canp_process_pool_destroy(x->workers);
		free(x);
		return rc;
	}
	*ctx = x;
	return 0;
}

static void resident_close(void *ctx)
{
	struct resident *x = ctx;

	canp_process_pool_destroy(x->workers);
	free(x);
}

struct canp_process_pool *canp_cmd_pool_workers(const struct canp_cmd_pool *p)
{
	const struct resident *x = p->be_ctx;

	return p->be == &canp_cmd_resident && x ? x->workers : NULL;
}

static size_t strings_len(const char *const *v, uint32_t *n)
{
	size_t len = 0;

	for (*n = 0; v && v[*n]; (*n)++)
		len += strlen(v[*n]) + 1;
	return len;
}

static char *strings_put(char *p, const char *const *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		size_t len = strlen(v[i]) + 1;

		memcpy(p, v[i], len);
		p += len;
	}
	return p;
}

static int request_make(struct resident *x, const struct canp_cmd_call *c, struct request **out,
			size_t *size)
{
	const struct canp_cmd_spec *s = &c->spec;
	/* The caller's environment as it is now, not as it was when the worker was made. */
	const char *const *env = c->envp;
	size_t in = s->in.kind == CANP_CMD_IO_DATA ? s->in.len : 0, text;
	uint32_t argc, envc;
	struct request *q;
	char *p;

	if (s->in.kind == CANP_CMD_IO_FD || s->out.kind == CANP_CMD_IO_FD ||
	    s->err.kind == CANP_CMD_IO_FD || s->nr_keep_fds)
		return -EOPNOTSUPP;
	text = strings_len(s->argv, &argc);
	text += strings_len(env, &envc) + (s->cwd ? strlen(s->cwd) + 1 : 0);
	if (text > UINT32_MAX / 2 || in > UINT32_MAX / 2)
		return -E2BIG;
	*size = sizeof(*q) + text + in;
	q = canp_process_pool_alloc(x->workers, *size);
	if (!q)
		return -ENOMEM;
	*q = (struct request){.id = c->r.id,
			      .argc = argc,
			      .envc = envc,
			      .bytes = (uint32_t)text,
			      .in_bytes = (uint32_t)in,
			      .has_cwd = s->cwd != NULL,
			      .in_kind = s->in.kind,
			      .out_kind = s->out.kind,
			      .err_kind = s->err.kind,
			      .out_len = (uint32_t)c->cap[0].cap,
			      .err_len = (uint32_t)c->cap[1].cap,
			      .grace_ms = s->grace_ms,
			      .trace = s->trace,
			      .nr_rlimits = s->nr_rlimits,
			      .same_group = s->same_group,
			      .no_new_privs = s->no_new_privs,
			      .kill_leftover = s->kill_leftover,
			      .nice = s->nice};
	memcpy(q->rlimits, s->rlimits, sizeof(q->rlimits));
	p = strings_put(q->data, s->argv, argc);
	p = strings_put(p, env, envc);
	if (s->cwd)
		p = strings_put(p, &s->cwd, 1);
	if (in)
		memcpy(p, s->in.data, in);
	*out = q;
	return 0;
}

/* On the supervisor's thread. */
static void task_over(struct canp_future *f, void *arg)
{
	(void)f;
	canp_cmd_call_end(arg);
}

static int resident_start(void *ctx, struct canp_cmd_call *c)
{
	struct resident *x = ctx;
	struct request *q;
	size_t size;
	char **envp = (char **)(c->lane->runs + (size_t)c->run * CMD_RUN_BYTES + CMD_STACK_BYTES);
	int rc = canp_cmd_env(c, envp);
	struct canp_process_task t = {.func = worker_run,
				      .priority = c->spec.prio,
				      .trace = c->spec.trace,
				      .done = task_over,
				      .done_arg = c};

	c->envp = (const char *const *)envp;
	rc = rc ? rc : request_make(x, c, &q, &size);
	if (rc)
		return rc;
	t.input_data = q;
	t.input_size = size;
	c->request = q;
	rc = canp_process_pool_submit_batch_into(x->workers, &t, 1, &c->task);
	if (rc) {
		canp_process_pool_free(x->workers, q);
		c->request = NULL;
	}
	return rc;
}

static void resident_kill(void *ctx, struct canp_cmd_call *c, int sig)
{
	struct request *q = c->request;

	(void)ctx;
	(void)sig;
	/* By a word of the message, so that what the command wrote and how it ended come back. */
	__atomic_store_n(&q->cancel, 1, __ATOMIC_RELEASE);
	if (canp_future_status(c->task) == CANP_TASK_PENDING)
		canp_process_future_cancel(c->task);
}

static void answer_read(struct canp_cmd_call *c, const struct canp_process_result *res)
{
	const struct answer *a = res->output_data;
	struct canp_cmd_result *r = &c->r;
	size_t out, err;

	if (res->output_size < sizeof(*a))
		return;
	out = a->r.out.len;
	err = a->r.err.len;
	if (out > res->output_size - sizeof(*a) || err != res->output_size - sizeof(*a) - out)
		return;
	r->why = a->r.why;
	r->error = a->r.error;
	r->exit_code = a->r.exit_code;
	r->term_signal = a->r.term_signal;
	r->core_dumped = a->r.core_dumped;
	r->killed |= a->r.killed;
	r->pid = a->r.pid;
	r->usage = a->r.usage;
	r->lane = (unsigned)a->worker;
	if (r->why == CANP_CMD_ERR_IO)
		memcpy(r->message, a->r.message, sizeof(r->message));
	canp_cmd_call_output(c, 1, a->data, out);
	canp_cmd_call_output(c, 2, a->data + out, err);
	/* What the worker had to leave out was written all the same. */
	canp_cmd_capture_skip(&c->cap[0], &a->r.out);
	canp_cmd_capture_skip(&c->cap[1], &a->r.err);
}

static void resident_end(void *ctx, struct canp_cmd_call *c)
{
	struct resident *x = ctx;
	struct canp_process_result res;

	/* As failed, unless an answer says otherwise. */
	c->r.why = CANP_CMD_ERR_IO;
	c->r.error = -EPROTO;
	if (canp_process_future_wait(c->task, &res, 0) == 0) {
		if (!res.error) {
			answer_read(c, &res);
		} else {
			c->r.error = res.error;
			c->r.term_signal = res.outcome == CANP_PROCESS_CRASHED ? res.signal : 0;
			snprintf(c->r.message, sizeof(c->r.message), "worker: %s",
				 res.message[0] ? res.message : strerrordesc_np(-res.error));
		}
	}
	canp_process_future_put(c->task);
	canp_process_pool_free(x->workers, c->request);
	c->task = NULL;
	c->request = NULL;
}

const struct canp_cmd_backend canp_cmd_resident = {.name = "resident",
						   .open = resident_open,
						   .close = resident_close,
						   .start = resident_start,
						   .kill = resident_kill,
						   .end = resident_end};
