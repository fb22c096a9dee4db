/*
 * ingest_extract.c - the operator `extract`: chunks become page runs, page runs cross to their
 * owners; and the page slots all of that takes.
 *
 * Slots are asked for before frames are decoded, never while: canp_ingest_has_room() says whether
 * what a walker may deliver until it is asked again fits. So nothing on the way from a frame to its
 * page run can fail, and only `read` ever waits.
 */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "io/ingest_shard.h"

/* ---- page slots ---- */

bool canp_ingest_has_room(struct canp_ingest_shard *is, uint32_t frames)
{
	uint32_t avail = canp_pool_avail(&is->pages, is->privileged);
	uint32_t count[CANP_CHUNK_ROWS + 1] = {0}, need[CANP_CHUNK_ROWS + 1] = {0};
	const struct canp_slot *slots;
	uint32_t worst = 0, sum = 0;

	if (avail >= is->crude_need)
		return true;
	/* Under pressure: which chunks can `frames` frames fill at most, and what would they take?
	 * Cheapest to fill first, which is the worst case. */
	slots = canp_group_slots(is->group);
	for (uint32_t s = 0; s < is->nr_slots; s++) {
		uint32_t missing, n;

		if (!is->builders[s].o.table)
			continue;
		missing = CANP_CHUNK_ROWS - canp_min((uint32_t)slots[s].n, CANP_CHUNK_ROWS - 1);
		n = canp_runb_need_now(&is->builders[s]);
		count[missing]++;
		need[missing] += n;
		worst = canp_max(worst,
				 canp_runb_need(is->builders[s].o.table, is->builders[s].o.ts_ns));
	}
	for (uint32_t d = 1; d <= CANP_CHUNK_ROWS && frames >= d; d++) {
		uint32_t k = canp_min(count[d], frames / d);

		if (!k)
			continue;
		sum += (uint32_t)((uint64_t)need[d] * k / count[d]) + worst;
		frames -= k * d;
	}
	/* Chunks that fill a second time. */
	sum += (frames / CANP_CHUNK_ROWS + 1) * worst;
	return avail >= sum;
}

/* The frontier unit may go into the reserve. */
void canp_ingest_update_privilege(struct canp_ingest_shard *is)
{
	bool p = canp_sched_frontier(is->job->sched) == is->unit;

	if (p == is->privileged)
		return;
	is->privileged = p;
	for (uint32_t s = 0; s < is->nr_slots; s++)
		is->builders[s].privileged = p;
}

/* Slots for the rows that `pack` holds, when they come behind a chunk of the grouper. */
static uint32_t extract_packed(const struct canp_ingest_shard *is, unsigned slot)
{
	if (!is->plugins || !canp_plugin_pack_held(is->plugins, slot))
		return 0;
	return canp_runb_need(is->builders[slot].o.table, is->builders[slot].o.ts_ns);
}

bool canp_ingest_has_room_to_flush(const struct canp_ingest_shard *is)
{
	const struct canp_slot *slots = canp_group_slots(is->group);
	uint32_t need = 0;

	for (uint32_t s = 0; s < is->nr_slots; s++)
		if (is->builders[s].o.table && (slots[s].n || extract_packed(is, s)))
			need += canp_runb_need_now(&is->builders[s]) + extract_packed(is, s);
	return canp_pool_avail(&is->pages, is->privileged) >= need;
}

/* ---- the operator ---- */

static void extract_send(struct canp_ingest_shard *is, struct canp_flow_node *n, unsigned slot)
{
	struct canp_run *run;

	canp_runb_finish(&is->builders[slot], is->unit, &run);
	if (!run)
		return;
	if (canp_unlikely(is->stage != NULL) && is->job->opts.stages->last < CANP_STAGE_ENCODE) {
		canp_run_free(run, &is->pages);
		return;
	}
	run->msg.kind = CANP_MSG_RUN;
	is->runs_out++;
	canp_stat_max(&is->obs->runs_max, is->runs_out);
	is->unit_runs_out++;
	canp_flow_count_out(n, run->rows);
	CANP_USDT3(run_sent, slot, run->rows, is->unit);
	canp_mesh_send(is->sh->mesh, is->sh->index, is->slot_owner[slot], &run->msg);
}

void canp_ingest_extract(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	const struct canp_ingest_rows *rows = b->native;
	struct canp_ingest_shard *is = state;

	if (rows) {
		CANP_USDT2(chunk_full, rows->slot, b->nr_rows);
		if (canp_runb_append(&is->builders[rows->slot], rows->chunk))
			extract_send(is, n, rows->slot);
		return;
	}
	for (uint32_t s = 0; s < is->nr_slots; s++)
		if (is->builders[s].o.table)
			extract_send(is, n, s);
}
