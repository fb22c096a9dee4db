/*
 * exec_job.c - jobs from their arguments to their end. The tool keeps as many commands with the
 * pool as may run, so a job's slot and number are known when its command is made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "tools/exec_job.h"

static double wall_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void job_free(struct exec_job *j)
{
	exec_tuple_fini(&j->args);
	exec_command_fini(&j->cmd);
	exec_output_fini(&j->out[0]);
	exec_output_fini(&j->out[1]);
	free(j->tag);
	free(j);
}

static struct exec_job *job_new(struct exec_run *r, struct exec_tuple *args)
{
	struct exec_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->run = r;
	j->seq = r->next_seq;
	j->args = *args;
	j->out[0].fd = -1;
	j->out[1].fd = -1;
	if (r->cfg->tag) {
		struct canp_strbuf sb = CANP_STRBUF_INIT;

		for (unsigned i = 0; i < j->args.nr; i++)
			canp_strbuf_printf(&sb, "%s%s", i ? " " : "", j->args.v[i]);
		canp_strbuf_puts(&sb, "\t");
		j->tag = sb.buf;
		if (sb.failed) {
			free(sb.buf);
			free(j);
			return NULL;
		}
	}
	return j;
}

/* ---- output ---- */

static bool first_in_order(const struct exec_run *r, const struct exec_job *j)
{
	return !r->cfg->keep_order || r->order.next == &j->link;
}

static void on_output(void *arg, int stream, const void *data, size_t len)
{
	struct exec_job *j = arg;
	struct exec_run *r = j->run;
	struct exec_output *o = &j->out[stream - 1];

	exec_output_add(r, o, data, len);
	if (r->cfg->line_buffer && !r->cfg->results[0] && first_in_order(r, j))
		exec_output_flush(r, o, stream, j->tag, true);
}

static void job_print(struct exec_run *r, struct exec_job *j)
{
	if (r->cfg->results[0]) {
		exec_results(r, j);
		return;
	}
	exec_output_flush(r, &j->out[0], STDOUT_FILENO, j->tag, false);
	exec_output_flush(r, &j->out[1], STDERR_FILENO, j->tag, false);
}

static void print_in_order(struct exec_run *r)
{
	while (!canp_list_empty(&r->order)) {
		struct exec_job *j = canp_container_of(r->order.next, struct exec_job, link);

		if (r->cfg->line_buffer && !j->over && !r->cfg->results[0]) {
			/* Its turn has come: what it wrote so far. */
			exec_output_flush(r, &j->out[0], STDOUT_FILENO, j->tag, true);
			exec_output_flush(r, &j->out[1], STDERR_FILENO, j->tag, true);
		}
		if (!j->over)
			return;
		canp_list_del(&j->link);
		r->nr_order--;
		job_print(r, j);
		job_free(j);
	}
}

/* ---- ends ---- */

static void slot_give(struct exec_run *r, unsigned slot)
{
	slot--;
	r->slots[slot / 64] &= ~(1ull << (slot % 64));
}

static unsigned slot_take(struct exec_run *r)
{
	unsigned i = 0;

	while (!~r->slots[i])
		i++;
	i = i * 64 + (unsigned)__builtin_ctzll(~r->slots[i]);
	r->slots[i / 64] |= 1ull << (i % 64);
	return i + 1;
}

/* No descriptors, processes or memory for one more now: fewer jobs, and this one again. */
static bool out_of_means(const struct canp_cmd_result *res)
{
	return res->why == CANP_CMD_ERR_IO && (res->error == -EAGAIN || res->error == -EMFILE ||
					       res->error == -ENFILE || res->error == -ENOMEM);
}

static void job_again(struct exec_run *r, struct exec_job *j)
{
	exec_command_fini(&j->cmd);
	exec_output_reset(&j->out[0]);
	exec_output_reset(&j->out[1]);
	canp_list_del(&j->link);
	if (r->cfg->keep_order)
		r->nr_order--;
	canp_list_add_tail(&r->again, &j->link);
}

static void job_status(struct exec_job *j, const struct canp_cmd_result *res)
{
	j->run_s = (double)(res->ended_ns - res->started_ns) / 1e9;
	j->exit_code = res->exit_code;
	j->signal = res->term_signal;
	switch (res->why) {
	case CANP_CMD_ERR_IO:
		j->exit_code = res->error == -ENOENT ? 127 : 126;
		fprintf(stderr, "canp-exec: %s\n", res->message);
		break;
	case CANP_CMD_ERR_TIMEOUT:
		j->late = true;
		break;
	case CANP_CMD_ERR_CANCELLED:
	case CANP_CMD_ERR_CHILD:
	case CANP_CMD_OK:
		if (res->term_signal)
			j->exit_code = 0;
		break;
	}
	if (j->late) { /* as GNU parallel logs it */
		j->exit_code = -1;
		fprintf(stderr, "canp-exec: killed because it timed out: %s\n",
			j->cmd.text.buf ? j->cmd.text.buf : "");
	}
}

static void on_done(void *arg, struct canp_future *f, const struct canp_cmd_result *res)
{
	struct exec_job *j = arg;
	struct exec_run *r = j->run;
	bool ok;

	(void)f;
	r->nr_running--;
	slot_give(r, j->slot);
	canp_future_put(j->f);
	j->f = NULL;
	if (out_of_means(res) && r->nr_running && !r->stop) {
		r->limit = canp_max(r->nr_running, 1u);
		job_again(r, j);
		return;
	}
	job_status(j, res);
	ok = !j->exit_code && !j->signal;
	j->attempts++;
	if (!ok && j->attempts < r->cfg->retries && !r->stop) {
		j->late = false;
		job_again(r, j);
		return;
	}
	r->ended++;
	if (ok) {
		r->succeeded++;
		exec_time_note(r, j->run_s);
	} else {
		r->failed++;
	}
	exec_log_write(r, j);
	exec_halt_check(r, j);
	j->over = true;
	if (r->cfg->keep_order) {
		print_in_order(r);
	} else {
		canp_list_del(&j->link);
		job_print(r, j);
		job_free(j);
	}
	exec_bar(r, false);
	/* Here the pool is awake and takes the next one without being woken for it. */
	if (!r->killed)
		exec_fill(r);
}

/* ---- starts ---- */

static void job_spec(struct exec_run *r, struct exec_job *j, struct canp_cmd_spec *s)
{
	enum canp_cmd_io io =
		r->cfg->ungroup && !r->cfg->results[0] ? CANP_CMD_IO_INHERIT : CANP_CMD_IO_CAPTURE;

	*s = (struct canp_cmd_spec){.argv = (const char *const *)j->cmd.argv,
				    .out = {.kind = io},
				    .err = {.kind = io},
				    .timeout_ms = r->timeout_ms,
				    .grace_ms = r->cfg->grace / (uint64_t)CANP_NS_PER_MS,
				    .on_output = on_output,
				    .done = on_done,
				    .arg = j};
	if (!s->grace_ms)
		s->grace_ms = 1;
}

/* In the order of numbers: one that runs again goes back to its place. */
static void order_insert(struct exec_run *r, struct exec_job *j)
{
	struct canp_list *pos = r->order.prev;

	while (pos != &r->order && canp_container_of(pos, struct exec_job, link)->seq > j->seq)
		pos = pos->prev;
	canp_list_add(pos, &j->link);
	r->nr_order++;
}

static int job_start(struct exec_run *r, struct exec_job *j)
{
	struct canp_cmd_spec s;
	int rc;

	j->slot = slot_take(r);
	rc = exec_command_make(&r->tmpl, &j->args, j->seq, j->slot, &j->cmd);
	if (!rc && (r->cfg->dry_run || r->cfg->verbose))
		fprintf(r->cfg->dry_run ? stdout : stderr, "%s\n",
			j->cmd.text.buf ? j->cmd.text.buf : "");
	if (rc || r->cfg->dry_run) {
		slot_give(r, j->slot);
		job_free(j);
		return rc;
	}
	if (r->cfg->keep_order)
		order_insert(r, j);
	else
		canp_list_add_tail(&r->running, &j->link);
	job_spec(r, j, &s);
	j->start_s = wall_s();
	r->nr_running++;
	rc = canp_cmd_try_push(r->pool, &s, &j->f);
	if (rc) {
		r->nr_running--;
		slot_give(r, j->slot);
		canp_list_del(&j->link);
		if (r->cfg->keep_order)
			r->nr_order--;
		fprintf(stderr, "canp-exec: %s: %s\n", j->cmd.argv[0], strerrordesc_np(-rc));
		job_free(j);
	}
	return rc;
}

static bool may_start(struct exec_run *r)
{
	if (r->stop || r->nr_running >= r->limit || r->nr_order >= EXEC_WINDOW)
		return false;
	return !r->delay_ms || canp_clock_ns() >= r->next_start_ns;
}

/* The next job, *out NULL when there is none; as exec_args_next(). */
static int next_job(struct exec_run *r, struct exec_job **out)
{
	struct canp_list *l = canp_list_pop(&r->again);
	struct exec_tuple t;
	int rc;

	*out = NULL;
	if (l) {
		*out = canp_container_of(l, struct exec_job, link);
		return 1;
	}
	for (;;) {
		rc = exec_args_next(&r->args, &t);
		if (rc <= 0)
			return rc;
		r->next_seq++;
		if (!exec_log_has(r, r->next_seq))
			break;
		r->skipped++;
		exec_tuple_fini(&t);
	}
	*out = job_new(r, &t);
	if (!*out)
		exec_tuple_fini(&t);
	return *out ? 1 : -ENOMEM;
}

int exec_fill(struct exec_run *r)
{
	while (may_start(r)) {
		struct exec_job *j;
		int rc = next_job(r, &j);

		if (rc == -EAGAIN)
			return rc;
		if (rc > 0)
			rc = job_start(r, j);
		else if (rc == 0)
			return 1;
		r->next_start_ns = canp_clock_ns() + r->delay_ms * (uint64_t)CANP_NS_PER_MS;
		if (rc) {
			r->broken = true;
			r->stop = true;
		}
		r->total = exec_args_total(&r->args);
	}
	return r->stop;
}

static void each_running(struct exec_run *r, bool (*want)(struct exec_run *, struct exec_job *))
{
	struct canp_list *head = r->cfg->keep_order ? &r->order : &r->running, *pos;

	canp_list_for_each (pos, head) {
		struct exec_job *j = canp_container_of(pos, struct exec_job, link);

		if (j->f && want(r, j))
			canp_future_cancel(j->f);
	}
}

static bool want_all(struct exec_run *r, struct exec_job *j)
{
	(void)r;
	(void)j;
	return true;
}

static bool want_late(struct exec_run *r, struct exec_job *j)
{
	double limit = exec_median(r) * r->timeout_percent / 100;

	if (j->late || limit <= 0 || wall_s() - j->start_s < limit)
		return false;
	j->late = true;
	return true;
}

void exec_kill(struct exec_run *r)
{
	each_running(r, want_all);
}

void exec_late(struct exec_run *r)
{
	if (r->timeout_percent)
		each_running(r, want_late);
}

bool exec_idle(const struct exec_run *r)
{
	return !r->nr_running && canp_list_empty(&r->again);
}
