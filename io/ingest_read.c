/*
 * ingest_read.c - the operator `read`: one unit on one shard, a state machine that is polled. It
 * claims units, opens their files, recognises their formats and gives `decode` one window of a file
 * after the other; at the end of a unit it has everything flushed.
 *
 * One file's journey, by function (the operators in brackets):
 *
 *   canp_dirscan_create     the listing                               (io/source/dirscan.c)
 *   canp_units_build        the listing cut into units                (io/unit.c)
 *   [read]    canp_sched_claim        this shard takes a unit         (core/runtime/sched.c)
 *             canp_reader_open        slices are requested, O_DIRECT  (io/source/reader.c)
 *             canp_format_probe       which format, gzip'd or not     (io/format/formats.c)
 *   [decode]  canp_walker_walk        members found, checked          (io/format/walker.c, fmt_*.c)
 *             canp_ahead_take         members inflated, five at once  (io/format/ahead.c)
 *             canp_group_push24/push  256-row chunks per message      (io/can/group.c,
 * simd/frames_*)
 *   [...]     operators of plugins, then the packer                   (io/plugin_op.c,
 * plugin_pack.c) [extract] canp_runb_append        raw bits extracted and packed
 * (io/sink/columns.c) canp_mesh_send          a page run crosses to its owner (core/runtime/mesh.c)
 *   [write]   canp_writer_poll        runs in unit order              (io/sink/writer.c)
 *             canp_pqw_place/step     pages into row groups, footer   (io/sink/sink_parquet.c)
 *             canp_out_finish         fdatasync, rename, fsync        (io/sink/outfile.c)
 *
 * Nothing here waits: a state that lacks something (bytes, page slots, a unit) returns 0 and is
 * stepped again after the ring or the mesh brought what it waits for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "io/ingest_shard.h"

#define INGEST_TURN_NS (400 * CANP_NS_PER_US)

/* ---- files ---- */

void canp_ingest_fail_file(struct canp_ingest_shard *is, enum canp_fault_code code, int err,
			   const char *what)
{
	struct canp_file_result *r = &is->job->results[is->file];
	const struct canp_input *in = canp_job_input(is->job, is->file);
	struct canp_fault f;

	r->err = err;
	r->status = err || in->named ? CANP_FILE_FAILED : CANP_FILE_SKIPPED;
	/* One that was opened is counted when it is closed. */
	if (!is->stream)
		canp_observe_file(
			is->obs, r->status == CANP_FILE_FAILED ? CANP_OBS_FAILED : CANP_OBS_SKIPPED,
			r->status == CANP_FILE_FAILED);
	/* Other files beside the logs are no damage: canp_files lists them as skipped. */
	if (r->status == CANP_FILE_SKIPPED)
		return;
	canp_fault_set(&f, code, 0, in->err ? 0 : in->size, "%s%s%s", what, err ? ": " : "",
		       err ? canp_strerror(err) : "");
	canp_ingest_fault(is, &f);
}

static unsigned ingest_open(struct canp_ingest_shard *is)
{
	const struct canp_input *in;
	int rc;

	if (is->file == is->file_end) {
		is->state = CANP_ING_FLUSH;
		return 1;
	}
	if (is->iso && canp_ingest_isolate_busy(is))
		return 0;
	in = canp_job_input(is->job, is->file);
	if (in->err) {
		canp_ingest_fail_file(is, CANP_FAULT_IO, in->err, "cannot open");
		is->file++;
		return 1;
	}
	if (!in->size) {
		canp_ingest_fail_file(is, CANP_FAULT_EMPTY, 0, "no bytes");
		is->file++;
		return 1;
	}
	rc = canp_ingest_open_stream(is);
	if (rc == -EAGAIN)
		return 0;
	if (rc < 0) {
		canp_ingest_fail_file(is, CANP_FAULT_IO, rc, "cannot open");
		is->file++;
		return 1;
	}
	if (is->iso && canp_ingest_isolate_begin(is) < 0) {
		canp_reader_close(is->stream);
		is->stream = NULL;
		return is->error != 0;
	}
	canp_observe_file_begin(is->obs, is->file);
	if (is->iso)
		return 1;
	is->state = CANP_ING_PROBE;
	canp_ingest_look_ahead(is);
	if (canp_unlikely(is->stage != NULL) && canp_ingest_stage_reads(is)) {
		is->job->results[is->file].status = CANP_FILE_OK;
		is->state = CANP_ING_WALK;
	}
	return 1;
}

static void ingest_observe_file(struct canp_ingest_shard *is, const struct canp_file_result *r)
{
	static const enum canp_observe_file what[] = {
		[CANP_FILE_PENDING] = CANP_OBS_OK,      [CANP_FILE_OK] = CANP_OBS_OK,
		[CANP_FILE_DAMAGED] = CANP_OBS_DAMAGED, [CANP_FILE_FAILED] = CANP_OBS_FAILED,
		[CANP_FILE_SKIPPED] = CANP_OBS_SKIPPED,
	};

	canp_observe_file_end(is->obs, is->file, r->bytes_read, r->counts.frames);
	canp_observe_file(is->obs, what[r->status], r->nr_faults);
}

void canp_ingest_close_file(struct canp_ingest_shard *is, bool walked, bool whole)
{
	struct canp_file_result *r = &is->job->results[is->file];
	const struct canp_fault *rf = canp_reader_fault(is->stream);

	if (rf && whole)
		canp_ingest_fault(is, rf);
	if (is->walker)
		canp_walker_close(is->walker, &r->stats);
	is->walker = NULL;
	if (walked) {
		r->counts = *canp_group_counts(is->group);
		r->status =
			r->nr_faults || r->stats.unverified_tail ? CANP_FILE_DAMAGED : CANP_FILE_OK;
	} else {
		canp_ingest_withdraw(is);
	}
	r->bytes_read = canp_stream_size(is->stream);
	canp_reader_close(is->stream);
	is->stream = NULL;
	ingest_observe_file(is, r);
	is->file++;
	is->state = CANP_ING_OPEN;
}

static unsigned ingest_probe(struct canp_ingest_shard *is)
{
	struct canp_job *job = is->job;
	struct canp_file_result *r = &job->results[is->file];
	const uint8_t *win;
	uint64_t base;
	size_t len;
	bool eof;

	if (canp_reader_peek(is->stream, &win, &len, &base, &eof) == -EAGAIN)
		return 0;
	if (len < CANP_INGEST_PROBE_BYTES && !eof) {
		canp_reader_consume(is->stream, 0, true);
		return 1;
	}
	r->format = canp_format_probe(win, len, is->probe_mem, &r->gz);
	if (!r->format) {
		canp_ingest_fail_file(is, CANP_FAULT_NOT_A_LOG, 0, "no format recognises it");
		canp_ingest_close_file(is, is->walker != NULL, true);
		return 1;
	}
	canp_group_file_begin(is->group, is->file);
	if (r->device)
		canp_group_device(is->group, r->device);
	canp_ahead_next(is->host.ahead, is->file + 1ull);
	is->walker = canp_walker_open(is->walker_mem, r->format, r->gz, &is->host,
				      canp_stream_size(is->stream));
	is->state = CANP_ING_WALK;
	return 1;
}

/* The walker left more than the reader can carry over: it does not keep its contract for this
 * input, so the file ends here. */
static void ingest_straddle_fault(struct canp_ingest_shard *is, uint64_t offset)
{
	struct canp_fault f;

	canp_fault_set(&f, CANP_FAULT_LIMIT, offset, 0, "record larger than %u bytes",
		       CANP_FORMAT_STRADDLE);
	canp_ingest_fault(is, &f);
	canp_ingest_close_file(is, is->walker != NULL, true);
}

/* No slot can come back and the frontier unit still has no room: the plan promised enough, so only
 * the job can be stopped with a text. */
unsigned canp_ingest_starved(struct canp_ingest_shard *is)
{
	if (!is->privileged || is->runs_out)
		return 0;
	is->error = -ENOMEM;
	memcpy(is->error_what, "page slots exhausted; raise --mem-per-core",
	       sizeof("page slots exhausted; raise --mem-per-core"));
	return 1;
}

/* Enough is on its way. Runs of the frontier unit are always taken, so it may wait for its own; any
 * other unit may wait for all, for it is not the one that the owners wait for. */
bool canp_ingest_runs_full(const struct canp_ingest_shard *is)
{
	uint32_t out = is->privileged ? is->unit_runs_out : is->runs_out;

	return is->job->opts.runs_max && out >= is->job->opts.runs_max;
}

/* Gives `decode` one window after the other, as long as what may come out of them has room. */
static unsigned ingest_windows(struct canp_ingest_shard *is)
{
	unsigned work = 0;

	for (;;) {
		struct canp_ingest_window w = {0};
		struct canp_batch b;

		if (canp_ingest_runs_full(is))
			return work;
		if (!canp_ingest_has_room(is, CANP_INGEST_BURST_FRAMES)) {
			CANP_USDT2(page_pause, is->unit, is->runs_out);
			return work + canp_ingest_starved(is);
		}
		if (canp_reader_peek(is->stream, &w.data, &w.len, &w.base, &w.eof) == -EAGAIN)
			return work;
		canp_ingest_look_ahead(is);
		if (w.eof)
			canp_ingest_offer_ahead(is);
		canp_ingest_batch(&b, 1, &w);
		canp_flow_emit(is->read, &b);
		CANP_ASSERT(w.consumed <= w.len);
		work++;
		if (w.res == CANP_WALK_STOP || (w.res == CANP_WALK_MORE && w.eof)) {
			canp_ingest_close_file(is, is->walker != NULL, true);
			return work;
		}
		if (canp_reader_consume(is->stream, w.consumed, w.res == CANP_WALK_MORE) < 0) {
			ingest_straddle_fault(is, w.base + w.consumed);
			return work;
		}
		if (canp_clock_ns() >= is->deadline_ns)
			return work;
	}
}

/* ---- units ---- */

static void ingest_delay_over(struct canp_timer *t)
{
	struct canp_ingest_shard *is = t->arg;

	is->state = CANP_ING_OPEN;
}

/* Test hook: makes units late on one shard, or all of them by a seeded random time. */
static bool ingest_delay(struct canp_ingest_shard *is)
{
	const struct canp_job_opts *o = &is->job->opts;
	uint64_t ns = 0;

	if (o->slow_shard == (int)is->sh->index)
		ns += 20 * (uint64_t)CANP_NS_PER_MS;
	if (o->delay_seed) {
		is->rng = is->rng * 6364136223846793005ULL + 1442695040888963407ULL;
		ns += (is->rng >> 40) % (3 * (uint64_t)CANP_NS_PER_MS);
	}
	if (!ns)
		return false;
	is->delay = (struct canp_timer){
		.deadline_ns = canp_clock_ns() + ns, .fn = ingest_delay_over, .arg = is};
	return canp_reactor_timer_add(is->sh, &is->delay) == 0;
}

static void ingest_say_end(struct canp_ingest_shard *is)
{
	is->state = CANP_ING_OVER;
	canp_ingest_drop_ahead(is);
	for (unsigned i = 0; i < is->nr_shards; i++) {
		is->end_msgs[i].kind = CANP_MSG_END;
		canp_mesh_send(is->sh->mesh, is->sh->index, i, &is->end_msgs[i]);
	}
}

static unsigned ingest_claim(struct canp_ingest_shard *is)
{
	const struct canp_unit *u;
	int rc = canp_sched_claim(is->job->sched, is->sh->index, &is->unit);

	if (rc == -EAGAIN)
		return 0;
	if (rc == -ENOENT) {
		ingest_say_end(is);
		return 1;
	}
	canp_observe_unit_begin(is->obs, is->unit);
	u = &is->job->units.units[is->unit];
	is->file = u->first_file;
	is->unit_runs_out = 0;
	is->file_end = u->first_file + u->nr_files;
	is->state = ingest_delay(is) ? CANP_ING_DELAY : CANP_ING_OPEN;
	return 1;
}

static struct canp_ticket *ingest_free_ticket(struct canp_ingest_shard *is)
{
	for (uint32_t i = 0; i < is->nr_tickets; i++)
		if (!is->tickets[i].left)
			return &is->tickets[i];
	return NULL;
}

static unsigned ingest_flush(struct canp_ingest_shard *is)
{
	struct canp_ticket *t = ingest_free_ticket(is);
	struct canp_batch end;

	/* The window bounds the units under way, so a ticket is always free. */
	CANP_ASSERT(t);
	if (!canp_ingest_has_room_to_flush(is))
		return canp_ingest_starved(is);
	canp_ingest_batch(&end, 0, NULL);
	canp_flow_emit(is->read, &end);
	t->unit = is->unit;
	t->left = is->nr_shards;
	for (unsigned i = 0; i < is->nr_shards; i++) {
		t->msgs[i].kind = CANP_MSG_UNIT_DONE;
		t->msgs[i].a = is->unit;
		canp_mesh_send(is->sh->mesh, is->sh->index, i, &t->msgs[i]);
	}
	canp_observe_unit_end(is->obs, is->unit);
	is->state = CANP_ING_IDLE;
	return 1;
}

static unsigned ingest_step(struct canp_ingest_shard *is)
{
	/* After an interrupt nothing behind the first unit that never started can be published, and
	 * the page slots this unit may wait for will not come back: give it up. */
	if (is->state > CANP_ING_IDLE && is->state < CANP_ING_OVER &&
	    canp_sched_stopped(is->job->sched) && is->unit > canp_sched_end(is->job->sched)) {
		canp_ingest_abandon(is);
		return 1;
	}
	switch (is->state) {
	case CANP_ING_IDLE:
		return ingest_claim(is);
	case CANP_ING_OPEN:
		return ingest_open(is);
	case CANP_ING_PROBE:
		return ingest_probe(is);
	case CANP_ING_WALK:
		canp_ingest_update_privilege(is);
		return ingest_windows(is);
	case CANP_ING_ISOLATE:
		return canp_ingest_isolate(is);
	case CANP_ING_FLUSH:
		canp_ingest_update_privilege(is);
		return ingest_flush(is);
	case CANP_ING_DELAY:
	case CANP_ING_OVER:
		break;
	}
	return 0;
}

unsigned canp_ingest_read(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	struct canp_ingest_shard *is = state;
	unsigned work = 0, did;

	(void)n;
	is->deadline_ns = now_ns + (uint64_t)INGEST_TURN_NS;
	if (canp_runtime_interrupted(is->sh->rt) && !canp_sched_stopped(is->job->sched))
		canp_sched_stop(is->job->sched);
	if (canp_job_failed(is->job) && is->state != CANP_ING_OVER && is->state != CANP_ING_IDLE) {
		canp_ingest_abandon(is);
		return 1;
	}
	/* One thing after the other: not on while anything is being written. */
	if (canp_unlikely(is->job->opts.serial) && canp_ring_counts(is->sh->ring)->writes)
		return 0;
	do {
		did = ingest_step(is);
		work += did;
	} while (did && canp_clock_ns() < is->deadline_ns);
	if (work)
		canp_ingest_overlap(is);
	if (is->error)
		canp_ingest_fail(is, is->error, is->error_what);
	return work;
}

void canp_ingest_abandon(struct canp_ingest_shard *is)
{
	if (is->state == CANP_ING_DELAY)
		canp_reactor_timer_del(is->sh, &is->delay);
	canp_ingest_isolate_drop(is);
	if (is->walker)
		canp_walker_close(is->walker, &is->job->results[is->file].stats);
	is->walker = NULL;
	canp_ingest_withdraw(is);
	if (is->stream)
		canp_reader_close(is->stream);
	is->stream = NULL;
	for (uint32_t s = 0; s < is->nr_slots; s++)
		if (is->builders[s].o.table)
			canp_runb_reset(&is->builders[s]);
	if (is->plugins)
		canp_plugin_pack_reset(is->plugins);
	canp_observe_unit_drop(is->obs);
	is->state = CANP_ING_IDLE;
}
