/*
 * ingest_shard.c - a shard's share of the job: its memory, carved once at boot, and its copy of the
 * pipeline's operators (ingest_read.c, ingest_decode.c, ingest_extract.c, ingest_write.c), which
 * all have this struct as their state.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "io/ingest_shard.h"

/* Of owner pages at a time: some 50 us, so that a turn does not become long. */
#define INGEST_FAULT_BYTES (256ul << 10)

/* ---- set-up ---- */

static void *shard_carve(struct canp_ingest_shard *is, const char *name, size_t bytes, size_t align)
{
	return canp_arena_carve(is->sh->arena, name, bytes, align);
}

/* The reader's slices and the staging blocks share the region that the runtime carved first and
 * registered with the ring. */
static int shard_setup_io(struct canp_ingest_shard *is)
{
	const struct canp_job_mem *m = is->job->mem;
	uint8_t *region = canp_arena_base(is->sh->arena);
	struct canp_reader_opts ro;

	canp_reader_opts_init(&ro);
	ro.depth = is->job->opts.depth;
	ro.slice_bytes = is->job->opts.slice_bytes;
	ro.streams = CANP_INGEST_STREAMS;
	ro.serial = is->job->opts.serial;
	CANP_ASSERT(m->reader_bytes + m->staging_bytes <= m->ring_bytes);
	canp_ring_limit_writes(is->sh->ring, is->job->opts.write_depth);
	is->reader = canp_reader_init(region, is->sh->ring, &ro);
	canp_pool_init(&is->staging, region + m->reader_bytes, CANP_INGEST_STAGING_BLOCK_BYTES,
		       (uint32_t)(m->staging_bytes / CANP_INGEST_STAGING_BLOCK_BYTES), 0);
	return is->reader ? 0 : -EINVAL;
}

static int shard_setup_builders(struct canp_ingest_shard *is)
{
	const struct canp_plan *plan = is->job->plan;
	const struct canp_job_mem *m = is->job->mem;
	uint64_t crude = 0;

	is->nr_slots = canp_plan_nr_slots(plan);
	is->builders = shard_carve(is, "builders", is->nr_slots * sizeof(*is->builders), 64);
	is->slot_owner = shard_carve(is, "owners", is->nr_slots * sizeof(*is->slot_owner), 64);
	is->scratch = shard_carve(is, "scratch", sizeof(*is->scratch), 64);
	if (!is->builders || !is->slot_owner || !is->scratch)
		return -ENOMEM;
	for (uint32_t s = 0; s < is->nr_slots; s++) {
		const struct canp_table *t = canp_plan_table(plan, s);
		int rc;

		if (!t || t->cls == CANP_REC_NONE)
			continue;
		rc = canp_runb_init(&is->builders[s], &(struct canp_runb_opts){
							      .table = t,
							      .pool = &is->pages,
							      .scratch = is->scratch,
							      .slot = s,
							      .run_rows = m->run_rows,
							      .ts_ns = plan->opts.ts_ns_column,
						      });
		if (rc)
			return rc;
		is->slot_owner[s] = (uint16_t)canp_partition_shard(canp_partition_writer(t->name),
								   is->nr_shards);
		crude += canp_runb_need(t, plan->opts.ts_ns_column);
	}
	is->crude_need = (uint32_t)canp_min(crude * 2, (uint64_t)UINT32_MAX);
	return 0;
}

static int shard_setup_writer(struct canp_ingest_shard *is)
{
	struct canp_job *job = is->job;
	struct canp_writer_opts wo = {
		.shard = is->sh->index,
		.nr_shards = is->nr_shards,
		.window = canp_sched_window(job->sched),
		.nr_units = job->units.nr,
		.plan = job->plan,
		.schemas = canp_job_schemas(job),
		.mesh = is->sh->mesh,
		.set =
			{
				.kind = job->opts.sink,
				.ring = is->sh->ring,
				.staging = &is->staging,
				.pages = &is->owner_pages,
				.scratch = is->scratch,
				.devices = job->devices,
				.out_fd = job->out_fd,
				.policy = canp_job_write_policy(job),
				.part_bytes = job->opts.part_bytes,
				.rowgroup_rows = job->mem->rowgroup_rows,
				.run_rows = job->mem->run_rows,
				.ts_ns = job->plan->opts.ts_ns_column,
				.device_column = job->plan->opts.device_column,
				.enum_labels = job->plan->opts.enum_labels,
				.wait_on_space = job->opts.wait_on_enospc,
				.obs = is->obs,
			},
	};
	uint64_t slots = canp_writer_page_slots(&wo);
	void *mem;

	if (is->stage)
		canp_ingest_stage_writer(is, &wo.set);
	/* The owner's pages are an upper bound that most jobs never reach: reserved here, touched
	 * only as rows come in. */
	is->owner_map_bytes = (size_t)slots * CANP_PAGE_SLOT_BYTES;
	is->owner_map = mmap(NULL, is->owner_map_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (is->owner_map == MAP_FAILED) {
		is->owner_map = NULL;
		return -ENOMEM;
	}
	/* Small pages: what is taken is taken once, and huge ones would have to be cleared fresh.
	 */
	madvise(is->owner_map, is->owner_map_bytes, MADV_DONTFORK);
	canp_pool_init(&is->owner_pages, is->owner_map, CANP_PAGE_SLOT_BYTES, (uint32_t)slots, 0);
	canp_pool_fault_ahead(&is->owner_pages, INGEST_FAULT_BYTES);
	mem = shard_carve(is, "pqshared", canp_pqshared_bytes(), 64);
	if (!mem)
		return -ENOMEM;
	wo.set.shared = canp_pqshared_init(mem);
	wo.set.hooks = is->job->opts.hooks;
	mem = canp_job_shard_mem(job, is->sh->index, canp_writer_bytes(&wo));
	if (!mem)
		return -ENOMEM;
	is->writer = canp_writer_init(mem, &wo);
	return 0;
}

static int shard_setup_messages(struct canp_ingest_shard *is)
{
	struct canp_msg *msgs;

	is->nr_tickets = canp_sched_window(is->job->sched);
	is->tickets = canp_job_shard_mem(is->job, is->sh->index,
					 is->nr_tickets * sizeof(*is->tickets) +
						 (is->nr_tickets + 1) * is->nr_shards *
							 sizeof(struct canp_msg));
	if (!is->tickets)
		return -ENOMEM;
	msgs = (struct canp_msg *)(is->tickets + is->nr_tickets);
	for (uint32_t i = 0; i < is->nr_tickets; i++)
		is->tickets[i].msgs = msgs + (size_t)i * is->nr_shards;
	is->end_msgs = msgs + (size_t)is->nr_tickets * is->nr_shards;
	return 0;
}

static int shard_setup_pages(struct canp_ingest_shard *is)
{
	const struct canp_job_mem *m = is->job->mem;
	uint32_t slots = (uint32_t)(canp_arena_left(is->sh->arena) / CANP_PAGE_SLOT_BYTES);
	void *mem;

	/* A shrunk arena has fewer slots than planned; below the minimum the arena refused. */
	slots = canp_min(slots > 1 ? slots - 1 : 0, m->page_slots);
	if (slots < 2 * m->reserve_slots)
		return -ENOMEM;
	mem = shard_carve(is, "pages", (size_t)slots * CANP_PAGE_SLOT_BYTES, 4096);
	if (!mem)
		return -ENOMEM;
	canp_pool_init(&is->pages, mem, CANP_PAGE_SLOT_BYTES, slots, m->reserve_slots);
	return 0;
}

static int shard_setup_walk(struct canp_ingest_shard *is)
{
	const struct canp_job_mem *m = is->job->mem;
	void *group;

	is->walker_mem = shard_carve(is, "walker", m->walker_bytes, 64);
	is->probe_mem = shard_carve(is, "probe", m->probe_bytes, 64);
	group = shard_carve(is, "group", m->group_bytes, 64);
	if (!is->walker_mem || !is->probe_mem || !group)
		return -ENOMEM;
	is->group = canp_ingest_group_init(is, group);
	canp_ingest_host_init(is);
	if (m->ahead_bytes) {
		const char *why;
		void *mem = shard_carve(is, "inflate ahead", m->ahead_bytes, 64);

		if (!mem)
			return -ENOMEM;
		is->host.ahead =
			canp_ahead_init(mem, canp_ahead_engine(is->job->opts.inflate, &why));
	}
	return 0;
}

static int shard_setup_plugins(struct canp_ingest_shard *is)
{
	struct canp_job *job = is->job;
	const char *who = "";
	char what[96];
	void *mem;
	int rc;

	if (!job->plugins)
		return 0;
	mem = shard_carve(is, "plugins", job->mem->plugin_bytes, 64);
	if (!mem)
		return -ENOMEM;
	rc = canp_plugin_shard_init(job->plugins, mem, is->sh->index, is->nr_shards, is->scratch,
				    &who, &is->plugins);
	if (!rc)
		return 0;
	/* Teardown is not called for a shard that could not be set up. */
	canp_plugin_shard_fini(is->plugins);
	is->plugins = NULL;
	snprintf(what, sizeof(what), "plugin %s: it cannot start on a core: %s", who,
		 canp_strerror(rc));
	canp_job_note(job, what);
	return rc;
}

/* The nodes of this shard. */
static void shard_setup_flow(struct canp_ingest_shard *is)
{
	const struct canp_job *job = is->job;
	unsigned shard = is->sh->index;

	is->read = canp_flow_node(job->flow, shard, job->op_read);
	is->decode = canp_flow_node(job->flow, shard, job->op_decode);
	is->write = canp_flow_node(job->flow, shard, job->op_write);
	canp_flow_set_state(job->flow, shard, job->op_read, is);
	canp_flow_set_state(job->flow, shard, job->op_decode, is);
	canp_flow_set_state(job->flow, shard, job->op_extract, is);
	canp_flow_set_state(job->flow, shard, job->op_write, is);
	for (unsigned i = 0; i < canp_plugins_nr(job->plugins); i++)
		canp_flow_set_state(job->flow, shard, job->op_plugin[i],
				    canp_plugin_shard_op(is->plugins, i));
	if (job->plugins)
		canp_flow_set_state(job->flow, shard, job->op_pack, is->plugins);
	canp_flow_attach(job->flow, is->sh);
}

int canp_ingest_setup(void *arg, struct canp_shard *s)
{
	struct canp_job *job = arg;
	struct canp_ingest_shard *is = canp_job_shard(job, s->index);
	int rc;

	is->job = job;
	is->sh = s;
	is->nr_shards = canp_runtime_nr_shards(s->rt);
	is->rng = canp_hash_mix((uint64_t)job->opts.delay_seed * 1000003u + s->index);
	if (job->opts.never_sleep && s->spin_ns)
		s->spin_ns = UINT64_MAX;
	s->user = is;
	s->on_msg = canp_ingest_on_msg;
	s->on_msg_arg = is;
	is->obs =
		canp_job_shard_mem(job, s->index, canp_observe_shard_bytes(job->opts.trace_events));
	if (!is->obs)
		return -ENOMEM;
	canp_observe_shard_init(is->obs, job->opts.trace_events, s->index, s->cpu);
	rc = canp_ingest_stage_init(is);
	rc = rc ? rc : canp_ingest_isolate_init(is);
	rc = rc ? rc : shard_setup_io(is);
	rc = rc ? rc : shard_setup_walk(is);
	rc = rc ? rc : shard_setup_builders(is);
	rc = rc ? rc : shard_setup_plugins(is);
	rc = rc ? rc : shard_setup_messages(is);
	rc = rc ? rc : shard_setup_writer(is);
	rc = rc ? rc : shard_setup_pages(is);
	if (rc)
		return rc;
	shard_setup_flow(is);
	if (is->stage)
		canp_ingest_stage_attach(is);
	return 0;
}

static void shard_log_ahead(const struct canp_ingest_shard *is)
{
	const struct canp_ahead_stats *a;

	if (!is->host.ahead)
		return;
	a = canp_ahead_stats(is->host.ahead);
	canp_debug("shard %u: %llu members inflated ahead, %llu for nothing, %llu copied; decoder "
		   "calls with 1..5 lanes busy: %llu %llu %llu %llu %llu",
		   is->sh->index, (unsigned long long)a->taken, (unsigned long long)a->dropped,
		   (unsigned long long)a->copied, (unsigned long long)a->lanes[1],
		   (unsigned long long)a->lanes[2], (unsigned long long)a->lanes[3],
		   (unsigned long long)a->lanes[4], (unsigned long long)a->lanes[5]);
}

void canp_ingest_teardown(void *arg, struct canp_shard *s)
{
	struct canp_ingest_shard *is = canp_job_shard(arg, s->index);

	shard_log_ahead(is);
	is->ring_counts = *canp_ring_counts(s->ring);
	if (is->reader) {
		/* Reads of streams given up may still be on their way into our slices. */
		while (canp_reader_inflight(is->reader))
			canp_ring_wait(s->ring, (uint64_t)CANP_NS_PER_MS);
		canp_reader_fini(is->reader);
	}
	canp_plugin_shard_fini(is->plugins);
	if (is->group)
		canp_job_collect_unknown(is->job, is->group);
	if (is->group)
		canp_group_fini(is->group);
	if (is->owner_map)
		munmap(is->owner_map, is->owner_map_bytes);
}
