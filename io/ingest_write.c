/*
 * ingest_write.c - the operator `write`: page runs that arrived over the mesh go into the files of
 * the tables this shard owns (io/sink/writer.c). Messages cross the mesh even when both ends are
 * one shard, so that one core and many take the same path.
 *
 * Why nothing can get stuck: the frontier unit may use the reserve, which holds the open runs of
 * all tables; owners take the frontier's runs at once and send the slots home; a unit counts as
 * finished only when every owner has taken it, so at most `window` units are ever under way.
 */
#include <stdio.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "io/ingest_shard.h"

#define INGEST_SPACE_RETRY_NS (1000 * CANP_NS_PER_MS)

/* ---- messages ---- */

static void write_ticket_home(struct canp_ingest_shard *is, struct canp_msg *msg)
{
	struct canp_job *job = is->job;

	for (uint32_t i = 0; i < is->nr_tickets; i++) {
		struct canp_ticket *t = &is->tickets[i];

		if (msg < t->msgs || msg >= t->msgs + is->nr_shards)
			continue;
		CANP_ASSERT(t->left);
		if (--t->left == 0 && canp_sched_finish(job->sched, t->unit))
			for (unsigned s = 0; s < is->nr_shards; s++)
				canp_mesh_kick(is->sh->mesh, s);
		return;
	}
	CANP_ASSERT(!"a unit message of this shard");
}

void canp_ingest_on_msg(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct canp_ingest_shard *is = arg;
	unsigned kind = msg->kind & 0x7fffu;
	struct canp_run *run;

	(void)from;
	if (returned) {
		if (kind == CANP_MSG_RUN) {
			run = canp_container_of(msg, struct canp_run, msg);
			is->unit_runs_out -= run->unit == is->unit;
			canp_run_free(run, &is->pages);
			is->runs_out--;
		} else if (kind == CANP_MSG_UNIT_DONE) {
			write_ticket_home(is, msg);
		}
		return;
	}
	if (kind == CANP_MSG_RUN) {
		run = canp_container_of(msg, struct canp_run, msg);
		canp_flow_count_in(is->write, run->rows);
		canp_writer_run(is->writer, run);
	} else if (kind == CANP_MSG_UNIT_DONE) {
		canp_writer_unit_done(is->writer, msg->a, msg);
	} else {
		canp_writer_end(is->writer);
	}
}

/* ---- the operator ---- */

/* The first error stops the job: no new unit starts, owners give up, published parts stay. */
void canp_ingest_fail(struct canp_ingest_shard *is, int err, const char *what)
{
	if (!is->error) {
		is->error = err;
		snprintf(is->error_what, sizeof(is->error_what), "%s", what);
	}
	canp_job_fail(is->job, err, what);
}

static void write_space_timer(struct canp_timer *t)
{
	struct canp_ingest_shard *is = t->arg;

	is->space_timer_armed = false;
	canp_writer_retry_space(is->writer);
}

static void write_arm_space_timer(struct canp_ingest_shard *is, uint64_t now_ns)
{
	if (is->space_timer_armed || !is->job->opts.wait_on_enospc)
		return;
	is->space_timer =
		(struct canp_timer){.deadline_ns = now_ns + (uint64_t)INGEST_SPACE_RETRY_NS,
				    .fn = write_space_timer,
				    .arg = is};
	is->space_timer_armed = canp_reactor_timer_add(is->sh, &is->space_timer) == 0;
}

unsigned canp_ingest_write(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	struct canp_ingest_shard *is = state;
	const char *what;
	unsigned work;
	int err;

	(void)n;
	if (is->writer_over)
		return 0;
	if (canp_job_failed(is->job))
		canp_writer_abort(is->writer);
	work = canp_writer_poll(is->writer);
	err = canp_writer_error(is->writer, &what);
	if (err && !canp_job_failed(is->job))
		canp_ingest_fail(is, err, what);
	if (!work && canp_ring_inflight(is->sh->ring))
		write_arm_space_timer(is, now_ns);
	if (canp_writer_finished(is->writer)) {
		is->writer_over = true;
		canp_job_shard_over(is->job, is->sh->rt);
		work++;
	}
	return work;
}
