/*
 * ingest_decode.c - the operator `decode`: a window of a file goes in, a batch for every full chunk
 * of rows comes out.
 *
 * The walker of the format finds members, has them inflated and checked, and gives their frames to
 * the grouper; the grouper calls back when the chunk of a message is full. All of it happens inside
 * one call of `read`, and so does what comes behind: a chunk is extracted while it is in the L1.
 *
 * With isolation the walker is in another process, and a window has what it told, see
 * ingest_isolate.c.
 */
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "io/ingest_shard.h"

/* ---- what the walker tells us ---- */

void canp_ingest_fault(void *arg, const struct canp_fault *f)
{
	struct canp_ingest_shard *is = arg;
	struct canp_job *job = is->job;
	struct canp_file_result *r = &job->results[is->file];

	CANP_USDT3(fault, is->file, f->code, f->offset);
	r->nr_faults++;
	r->fault_bytes += f->bytes;
	if (r->kept_faults < job->faults_per_file)
		job->faults[(size_t)is->file * job->faults_per_file + r->kept_faults++] = *f;
}

static uint32_t decode_device(void *arg, const char *name, size_t len)
{
	struct canp_ingest_shard *is = arg;
	uint32_t d = canp_devices_add(is->job->devices, name, len);

	if (!is->job->results[is->file].device)
		is->job->results[is->file].device = d;
	return d;
}

static bool decode_should_pause(void *arg)
{
	struct canp_ingest_shard *is = arg;

	if (!canp_ingest_has_room(is, CANP_INGEST_BURST_FRAMES))
		return true;
	return canp_clock_ns() >= is->deadline_ns;
}

/* ---- the operator ---- */

/* The grouper's chunk callback. */
static void decode_chunk(void *arg, unsigned slot, const struct canp_table *table,
			 const struct canp_chunk *chunk)
{
	struct canp_ingest_shard *is = arg;
	struct canp_ingest_rows rows = {.chunk = chunk, .table = table, .slot = slot};
	struct canp_batch b;

	canp_ingest_batch(&b, chunk->rows, &rows);
	canp_flow_emit(is->decode, &b);
}

void canp_ingest_decode(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	struct canp_ingest_window *w = (void *)(uintptr_t)b->native;
	struct canp_ingest_shard *is = state;

	if (!w) {
		canp_group_flush(is->group);
		canp_flow_emit(n, b);
		return;
	}
	if (is->state == CANP_ING_ISOLATE) {
		canp_ingest_replay(is, w);
		return;
	}
	w->res = canp_unlikely(is->stage != NULL) ? canp_ingest_stage_walk(is, w)
						  : canp_walker_walk(is->walker, w->data, w->len,
								     w->base, w->eof, &w->consumed);
}

/* ---- set-up ---- */

struct canp_group *canp_ingest_group_init(struct canp_ingest_shard *is, void *mem)
{
	return canp_group_init(mem, &(struct canp_group_opts){
					    .plan = is->job->plan,
					    .chunk = decode_chunk,
					    .arg = is,
					    .from_ns = is->job->opts.from_ns,
					    .to_ns = is->job->opts.to_ns,
				    });
}

void canp_ingest_host_init(struct canp_ingest_shard *is)
{
	is->host = (struct canp_format_host){
		.arg = is,
		.group = is->group,
		.opts = &is->job->opts.format,
		.fault = canp_ingest_fault,
		.device = decode_device,
		.should_pause = decode_should_pause,
	};
}
