/*
 * ingest_mem.c - how much of everything a job gets, from the plan and the options alone.
 *
 * Two sizes shape the dataset and therefore may depend on nothing but plan and options: run_rows
 * (rows of a page) and rowgroup_rows. The rest only shapes speed.
 *
 * run_rows is halved until the open runs of all tables fit CANP_OPEN_RUNS_BYTES: that sum is the
 * reserve the frontier unit needs to finish whatever else is held, so it must be affordable on
 * every machine. No page has more rows than a row group shall have. rowgroup_rows is halved until
 * the open row groups of all tables fit writer_mem.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/base/units.h"
#include "io/ingest_shard.h"

#define CANP_OPEN_RUNS_BYTES (48ULL << 20)
#define INGEST_RUN_ROWS_MIN  1024u
/* CSV runs stay under CANP_RUN_RAW_ROWS so that they travel as records. */
#define INGEST_CSV_RUN_ROWS 768u
/* Staging blocks of small arenas, at most: they are all touched by the first large table. */
#define INGEST_STAGING_FEW 4u
#define INGEST_ARENA_SMALL (96ULL << 20)

static uint64_t run_slots(const struct canp_table *t, uint32_t run_rows, bool ts_ns)
{
	const uint64_t seg = CANP_PAGE_SLOT_BYTES - 16;
	uint64_t row =
		t->row_bytes > t->stride && run_rows < CANP_RUN_RAW_ROWS ? t->stride : t->row_bytes;

	return run_rows * row / seg + t->nr_cols + 8 + canp_runb_need(t, ts_ns);
}

/* What `pack` holds at the end of a unit may come right behind the last chunk of the grouper. */
static uint64_t pack_slots(const struct canp_job *job)
{
	uint64_t sum = 0;

	for (unsigned s = 0; job->plugins && s < canp_plan_nr_slots(job->plan); s++)
		if (canp_plugins_want(job->plugins, s))
			sum += canp_runb_need(canp_plan_table(job->plan, s),
					      job->plan->opts.ts_ns_column);
	return sum;
}

static uint64_t open_run_slots(const struct canp_plan *plan, uint32_t run_rows)
{
	uint64_t sum = 0;

	for (unsigned s = 0; s < canp_plan_nr_slots(plan); s++) {
		const struct canp_table *t = canp_plan_table(plan, s);

		if (t && t->cls != CANP_REC_NONE)
			sum += run_slots(t, run_rows, plan->opts.ts_ns_column);
	}
	return sum;
}

static uint64_t group_slots(const struct canp_plan *plan, uint32_t rowgroup, uint32_t run_rows)
{
	const uint64_t seg = CANP_PAGE_SLOT_BYTES - 16;
	uint64_t sum = 64;

	for (unsigned s = 0; s < canp_plan_nr_slots(plan); s++) {
		const struct canp_table *t = canp_plan_table(plan, s);
		uint64_t rows = (uint64_t)rowgroup + 2 * run_rows;

		if (t && t->cls != CANP_REC_NONE)
			sum += rows * t->row_bytes / seg + (rows / run_rows + 2) * (t->nr_cols + 6);
	}
	return sum;
}

static void plan_fixed(const struct canp_job *job, struct canp_job_mem *m)
{
	struct canp_reader_opts ro;
	const char *why;
	uint32_t blocks;

	canp_reader_opts_init(&ro);
	ro.depth = job->opts.depth;
	ro.slice_bytes = job->opts.slice_bytes;
	ro.streams = CANP_INGEST_STREAMS;
	m->reader_bytes = canp_align_up(canp_reader_bytes(&ro), 4096UL);
	blocks = job->opts.write_depth;
	if (job->opts.mem_per_core < INGEST_ARENA_SMALL)
		blocks = canp_min(blocks, INGEST_STAGING_FEW);
	m->staging_bytes = (size_t)blocks * CANP_INGEST_STAGING_BLOCK_BYTES;
	m->ring_bytes = m->reader_bytes + m->staging_bytes + 8192;
	m->walker_bytes = canp_align_up(canp_walker_bytes(), 64UL);
	m->ahead_bytes = canp_ahead_engine(job->opts.inflate, &why) == CANP_INFLATE_ISAL
				 ? 0
				 : canp_align_up(canp_ahead_bytes(), 64UL);
	m->probe_bytes = canp_align_up(canp_format_probe_scratch(), 64UL);
	m->group_bytes = canp_align_up(canp_group_bytes(job->plan), 64UL);
	m->plugin_bytes = job->plugins ? canp_plugin_shard_bytes(job->plugins) : 0;
	m->builders_bytes =
		canp_plan_nr_slots(job->plan) * (sizeof(struct canp_runb) + sizeof(uint16_t) + 64) +
		sizeof(struct canp_runscratch) + canp_pqshared_bytes() + 4096;
}

int canp_ingest_plan_memory(const struct canp_job *job, struct canp_job_mem *m,
			    struct canp_strbuf *err)
{
	const struct canp_plan *plan = job->plan;
	uint64_t fixed, want, slots;

	*m = (struct canp_job_mem){0};
	plan_fixed(job, m);
	m->run_rows = job->opts.sink == CANP_SINK_CSV ? INGEST_CSV_RUN_ROWS : CANP_RUN_ROWS_MAX;
	while (m->run_rows > INGEST_RUN_ROWS_MIN && job->opts.rowgroup_rows &&
	       m->run_rows > job->opts.rowgroup_rows)
		m->run_rows /= 2;
	while (m->run_rows > INGEST_RUN_ROWS_MIN &&
	       open_run_slots(plan, m->run_rows) * CANP_PAGE_SLOT_BYTES > CANP_OPEN_RUNS_BYTES)
		m->run_rows /= 2;
	m->rowgroup_rows = job->opts.rowgroup_rows;
	for (;;) {
		m->writer_bytes =
			group_slots(plan, m->rowgroup_rows, m->run_rows) * CANP_PAGE_SLOT_BYTES;
		if (m->writer_bytes <= job->opts.writer_mem || m->rowgroup_rows <= m->run_rows)
			break;
		m->rowgroup_rows /= 2;
	}
	if (m->writer_bytes > job->opts.writer_mem) {
		canp_strbuf_printf(err,
				   "--writer-mem %llu MiB is too small for %u tables: %llu MiB are "
				   "needed; raise --writer-mem or narrow the job with --select",
				   (unsigned long long)(job->opts.writer_mem >> 20),
				   plan->nr_tables,
				   (unsigned long long)(m->writer_bytes >> 20) + 1);
		return -ENOMEM;
	}
	slots = open_run_slots(plan, m->run_rows) + pack_slots(job) + 64;
	m->reserve_slots = (uint32_t)slots;
	fixed = m->ring_bytes + m->walker_bytes + m->ahead_bytes + m->probe_bytes + m->group_bytes +
		m->plugin_bytes + m->builders_bytes + (1u << 20);
	/* As much again for units ahead of the frontier, or they could never start. */
	m->arena_min = fixed + 2 * slots * CANP_PAGE_SLOT_BYTES;
	/* A small job cannot fill a large arena: its packed pages are smaller than its inflated
	 * input, and touching memory costs time. */
	want = canp_min(job->opts.mem_per_core, m->arena_min + 8 * job->units.bytes);
	m->raised = job->opts.mem_per_core < m->arena_min;
	m->arena_bytes = canp_max(want, m->arena_min);
	m->page_slots = (uint32_t)((m->arena_bytes - fixed) / CANP_PAGE_SLOT_BYTES);
	return 0;
}

int canp_ingest_make_sched(struct canp_job *job, unsigned nr_shards)
{
	uint32_t *homes = malloc((job->units.nr + 1) * sizeof(*homes));
	int rc;

	if (!homes)
		return -ENOMEM;
	canp_units_route(&job->units, nr_shards, homes);
	rc = canp_sched_create(nr_shards, job->units.nr, homes, &job->sched);
	free(homes);
	if (rc)
		return rc;
	canp_sched_set_window(job->sched, canp_units_window(&job->units, nr_shards,
							    job->opts.window * nr_shards,
							    canp_sched_window_max(nr_shards)));
	return 0;
}
