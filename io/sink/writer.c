/*
 * writer.c - unit order, the parts of one owner, and their end.
 *
 * The poll does one thing at a time: the run at the head of the current unit. While its part needs
 * room in the staging blocks, everything behind it waits; the disk is the limit then anyway, and
 * the senders' page pools fill up until they pause their units. Nothing is ever dropped.
 */
#include "io/sink/writer.h"

#include <errno.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/units.h"

struct wr_unit {
	struct canp_run *head, *tail; /* linked by run->link */
	struct canp_msg *done;        /* arrived: nothing more will come for this unit */
};

struct canp_writer {
	struct canp_writer_opts o;
	struct canp_partset set;
	struct wr_unit *units; /* ring [window] by unit % window */
	uint32_t next_unit;
	unsigned senders_left;
	bool ended, aborted, finished;
	uint64_t clock;
	uint32_t nr_parts;
	struct canp_part *parts;
	uint16_t *part_of_slot; /* [nr_slots] index + 1, 0 = not ours */
	uint8_t *writer_of;     /* [nr_parts] logical writer */
	uint16_t *open_in;      /* [CANP_WRITERS] open parts */
	struct canp_out *outs;  /* [nr_outs] lent to open parts */
	struct canp_out **free_outs;
	uint32_t nr_outs, nr_free_outs;
	uint32_t finish_at; /* part being finished at the end */
	struct canp_writer_stats stats;
};

static bool writer_owns(const struct canp_writer_opts *o, unsigned slot)
{
	const struct canp_table *t = canp_plan_table(o->plan, slot);

	return t && t->cls != CANP_REC_NONE &&
	       canp_partition_shard(canp_partition_writer(t->name), o->nr_shards) == o->shard;
}

static uint32_t writer_nr_parts(const struct canp_writer_opts *o, uint32_t *nr_outs)
{
	uint16_t per_writer[CANP_WRITERS] = {0};
	uint32_t n = 0, outs = 0;

	for (unsigned s = 0; s < canp_plan_nr_slots(o->plan); s++) {
		if (!writer_owns(o, s))
			continue;
		n++;
		per_writer[canp_partition_writer(canp_plan_table(o->plan, s)->name)]++;
	}
	/* One more per writer: a part may open while the one it pushed out is being published. */
	for (unsigned i = 0; i < CANP_WRITERS; i++)
		outs += canp_min((uint32_t)per_writer[i], CANP_WRITER_PARTS_MAX + 1);
	*nr_outs = outs;
	return n;
}

/* Lays out the writer in mem; with mem NULL only counts. */
static size_t writer_layout(struct canp_writer *w, const struct canp_writer_opts *o, uint8_t *mem)
{
	uint32_t nr_outs, nr = writer_nr_parts(o, &nr_outs);
	size_t at = canp_align_up(sizeof(*w), 64UL);

#define WRITER_CARVE(field, count)                                                                 \
	do {                                                                                       \
		if (mem)                                                                           \
			w->field = (void *)(mem + at);                                             \
		at += canp_align_up(sizeof(*w->field) * (size_t)(count), 64UL);                    \
	} while (0)
	WRITER_CARVE(units, o->window);
	WRITER_CARVE(parts, nr);
	WRITER_CARVE(part_of_slot, canp_plan_nr_slots(o->plan));
	WRITER_CARVE(writer_of, nr);
	WRITER_CARVE(open_in, CANP_WRITERS);
	WRITER_CARVE(outs, nr_outs);
	WRITER_CARVE(free_outs, nr_outs);
#undef WRITER_CARVE
	if (mem) {
		w->nr_parts = nr;
		w->nr_outs = nr_outs;
	}
	return at;
}

size_t canp_writer_bytes(const struct canp_writer_opts *o)
{
	return writer_layout(NULL, o, NULL);
}

uint64_t canp_writer_page_slots(const struct canp_writer_opts *o)
{
	const uint64_t seg = CANP_PAGE_SLOT_BYTES - 16;
	uint64_t slots = 64;

	for (unsigned s = 0; s < canp_plan_nr_slots(o->plan); s++) {
		const struct canp_table *t;
		uint64_t rows, runs;

		if (!writer_owns(o, s))
			continue;
		t = canp_plan_table(o->plan, s);
		rows = (uint64_t)o->set.rowgroup_rows + 2 * o->set.run_rows;
		runs = rows / o->set.run_rows + 2;
		/* Packed bytes, a partly filled segment per column and run, the pending page and
		 * what open and close take. */
		slots += rows * t->row_bytes / seg + runs * (t->nr_cols + 6) +
			 2 * canp_runb_need(t, o->set.ts_ns) + 64;
		if (o->schemas && o->schemas[s])
			slots += canp_pqw_need_open(o->schemas[s]);
	}
	return slots;
}

struct canp_writer *canp_writer_init(void *mem, const struct canp_writer_opts *o)
{
	struct canp_writer *w = mem;
	uint32_t n = 0;

	memset(mem, 0, canp_writer_bytes(o));
	writer_layout(w, o, mem);
	w->o = *o;
	w->set = o->set;
	w->senders_left = o->nr_shards;
	for (unsigned s = 0; s < canp_plan_nr_slots(o->plan); s++) {
		struct canp_part *p;

		if (!writer_owns(o, s))
			continue;
		p = &w->parts[n];
		p->set = &w->set;
		p->table = canp_plan_table(o->plan, s);
		p->schema = o->schemas ? o->schemas[s] : NULL;
		p->dirfd = -1;
		w->writer_of[n] = (uint8_t)canp_partition_writer(p->table->name);
		w->part_of_slot[s] = (uint16_t)++n;
	}
	for (uint32_t i = 0; i < w->nr_outs; i++)
		w->free_outs[w->nr_free_outs++] = &w->outs[i];
	return w;
}

static struct wr_unit *writer_unit(struct canp_writer *w, uint32_t unit)
{
	CANP_ASSERT(unit >= w->next_unit && unit - w->next_unit < w->o.window);
	return &w->units[unit % w->o.window];
}

void canp_writer_run(struct canp_writer *w, struct canp_run *run)
{
	struct wr_unit *u;

	w->stats.runs++;
	if (w->aborted) {
		canp_mesh_return(w->o.mesh, w->o.shard, &run->msg);
		return;
	}
	if (run->unit != w->next_unit)
		w->stats.reordered++;
	u = writer_unit(w, (uint32_t)run->unit);
	run->link = NULL;
	if (u->tail)
		u->tail->link = run;
	else
		u->head = run;
	u->tail = run;
}

void canp_writer_unit_done(struct canp_writer *w, uint32_t unit, struct canp_msg *msg)
{
	if (w->aborted) {
		canp_mesh_return(w->o.mesh, w->o.shard, msg);
		return;
	}
	writer_unit(w, unit)->done = msg;
}

void canp_writer_end(struct canp_writer *w)
{
	CANP_ASSERT(w->senders_left > 0);
	w->senders_left--;
}

/* Sends every held run and unit message home. */
static void writer_drop_units(struct canp_writer *w)
{
	for (uint32_t i = 0; i < w->o.window; i++) {
		struct wr_unit *u = &w->units[i];

		while (u->head) {
			struct canp_run *run = u->head;

			u->head = run->link;
			canp_mesh_return(w->o.mesh, w->o.shard, &run->msg);
		}
		u->tail = NULL;
		if (u->done)
			canp_mesh_return(w->o.mesh, w->o.shard, u->done);
		u->done = NULL;
	}
}

void canp_writer_abort(struct canp_writer *w)
{
	if (w->aborted)
		return;
	w->aborted = true;
	writer_drop_units(w);
	for (uint32_t i = 0; i < w->nr_parts; i++)
		canp_part_abort(&w->parts[i]);
}

/* Memory of a closed file goes back to the free list; called when a slot is wanted. */
static struct canp_out *writer_take_out(struct canp_writer *w)
{
	uint32_t n = 0;

	if (w->nr_free_outs)
		return w->free_outs[--w->nr_free_outs];
	/* Rare: rebuild the list from what no part holds. */
	for (uint32_t i = 0; i < w->nr_outs; i++) {
		bool held = false;

		for (uint32_t k = 0; k < w->nr_parts && !held; k++)
			held = w->parts[k].out == &w->outs[i];
		if (!held)
			w->free_outs[n++] = &w->outs[i];
	}
	w->nr_free_outs = n;
	return n ? w->free_outs[--w->nr_free_outs] : NULL;
}

/* The part of this logical writer that was used longest ago. */
static struct canp_part *writer_lru(struct canp_writer *w, unsigned lw)
{
	struct canp_part *best = NULL;

	for (uint32_t i = 0; i < w->nr_parts; i++) {
		struct canp_part *p = &w->parts[i];

		if (w->writer_of[i] != lw || p->state == CANP_PART_CLOSED ||
		    p->state == CANP_PART_PUBLISHING)
			continue;
		if (!best || p->used_at < best->used_at)
			best = p;
	}
	return best;
}

/* Makes sure that part i is open. 0 open; 1 come back; -errno. */
static int writer_open_part(struct canp_writer *w, uint32_t i)
{
	struct canp_part *p = &w->parts[i];
	unsigned lw = w->writer_of[i];
	struct canp_out *mem;
	int rc;

	if (p->state == CANP_PART_OPEN)
		return 0;
	if (p->state == CANP_PART_PUBLISHING || p->state == CANP_PART_ENDING)
		return 1;
	if (p->state == CANP_PART_FAILED)
		return w->set.error;
	if (w->open_in[lw] >= CANP_WRITER_PARTS_MAX) {
		rc = canp_part_finish(writer_lru(w, lw));
		if (rc)
			return rc;
		w->open_in[lw]--;
	}
	mem = writer_take_out(w);
	if (!mem)
		return 1;
	if (w->set.kind == CANP_SINK_PARQUET &&
	    canp_pool_avail(w->set.pages, true) < canp_pqw_need_open(p->schema)) {
		w->free_outs[w->nr_free_outs++] = mem;
		return w->set.finishing ? 1 : -ENOMEM;
	}
	if (!p->rows_total && *p->table->message)
		w->stats.tables++;
	rc = canp_part_open(p, mem);
	if (!rc)
		w->open_in[lw]++;
	return rc;
}

/* Places the run; 0 taken, 1 come back, -errno. */
static int writer_place(struct canp_writer *w, const struct canp_run *run)
{
	uint32_t i = (uint32_t)w->part_of_slot[run->slot] - 1;
	struct canp_part *p = &w->parts[i];
	int rc;

	/* Rolled at the size limit: the next run opens the next file. How much of a closed row
	 * group is written already depends on timing, so it is written first. */
	rc = canp_part_settle(p);
	if (rc)
		return rc;
	if (canp_part_full(p) || p->state == CANP_PART_ENDING) {
		rc = canp_part_finish(p);
		if (rc)
			return rc;
		w->open_in[w->writer_of[i]]--;
	}
	rc = writer_open_part(w, i);
	if (rc)
		return rc;
	rc = canp_part_place(p, run);
	if (rc == 0)
		p->used_at = ++w->clock;
	return rc;
}

/* All senders have ended: publish what is open. Returns work done. */
static unsigned writer_finish(struct canp_writer *w)
{
	unsigned work = 0;

	if (!w->ended) {
		w->ended = true;
		writer_drop_units(w);
	}
	for (; w->finish_at < w->nr_parts; w->finish_at++) {
		int rc = canp_part_finish(&w->parts[w->finish_at]);

		if (rc == 1)
			return work;
		if (rc < 0) {
			canp_writer_abort(w);
			return 1;
		}
		work++;
	}
	if (!w->set.finishing)
		w->finished = true;
	return work;
}

unsigned canp_writer_poll(struct canp_writer *w)
{
	unsigned work = 0;

	if (w->finished)
		return 0;
	if (w->set.error && !w->aborted)
		canp_writer_abort(w);
	if (w->aborted) {
		w->finished = !w->senders_left && !w->set.finishing;
		return 0;
	}
	while (w->next_unit < w->o.nr_units && work < 64) {
		struct wr_unit *u = &w->units[w->next_unit % w->o.window];
		struct canp_run *run = u->head;
		int rc;

		if (!run) {
			if (!u->done)
				break;
			canp_mesh_return(w->o.mesh, w->o.shard, u->done);
			u->done = NULL;
			w->next_unit++;
			w->stats.units++;
			continue;
		}
		rc = writer_place(w, run);
		if (rc == 1)
			return work;
		if (rc < 0) {
			if (!w->set.error)
				w->set.error = rc;
			canp_writer_abort(w);
			return work + 1;
		}
		w->stats.rows += run->rows;
		u->head = run->link;
		if (!u->head)
			u->tail = NULL;
		canp_mesh_return(w->o.mesh, w->o.shard, &run->msg);
		work++;
	}
	if (!w->senders_left &&
	    (w->next_unit == w->o.nr_units || (!w->units[w->next_unit % w->o.window].done)))
		work += writer_finish(w);
	return work;
}

bool canp_writer_finished(const struct canp_writer *w)
{
	return w->finished;
}

int canp_writer_error(const struct canp_writer *w, const char **what)
{
	if (what)
		*what = w->set.error_what;
	return w->set.error;
}

void canp_writer_stats(const struct canp_writer *w, struct canp_writer_stats *st)
{
	*st = w->stats;
}

const struct canp_partset *canp_writer_set(const struct canp_writer *w)
{
	return &w->set;
}

bool canp_writer_retry_space(struct canp_writer *w)
{
	bool any = false;

	for (uint32_t i = 0; i < w->nr_parts; i++) {
		struct canp_part *p = &w->parts[i];

		if (p->out && p->state != CANP_PART_CLOSED && canp_out_waiting(p->out)) {
			canp_out_retry(p->out);
			any = true;
		}
	}
	return any;
}
