/*
 * part.c - the life of one output file: open -> place runs -> end -> publish.
 *
 * Parquet and CSV differ in how a run becomes bytes (part_place_parquet, part_place_csv); opening,
 * publishing and failing are the same for both.
 */
#include "io/hooks.h"
#include "io/sink/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "core/base/usdt.h"
#include "io/observe_shard.h"
#include "io/stage.h"

static const char *const part_ext[] = {[CANP_SINK_PARQUET] = "parquet", [CANP_SINK_CSV] = "csv"};

static int part_fail(struct canp_part *p, int err, const char *what)
{
	struct canp_partset *set = p->set;
	uint64_t off = 0;

	if (p->out && p->state != CANP_PART_CLOSED)
		canp_out_error(p->out, &off);
	if (!set->error) {
		set->error = err;
		snprintf(set->error_what, sizeof(set->error_what),
			 "%s %s/part-%05u: offset %llu: %s", what, p->table->name, p->seq,
			 (unsigned long long)off, canp_strerror(err));
	}
	p->state = CANP_PART_FAILED;
	return err;
}

static size_t part_room(void *arg)
{
	struct canp_part *p = arg;

	/* A failed file swallows the rest: its writer must not wait for room that never comes. */
	if (canp_out_error(p->out, NULL))
		return CANP_BYTESINK_ROOM;
	return canp_out_room(p->out);
}

static void part_put(void *arg, const void *data, size_t len)
{
	struct canp_part *p = arg;
	ssize_t n = canp_out_put(p->out, data, len);

	/* room() was asked on this thread just before, so all of it fits unless the file failed. */
	CANP_ASSERT(n < 0 || (size_t)n == len);
}

/* The same with the stopped clock running. */
static void part_put_timed(void *arg, const void *data, size_t len)
{
	struct canp_part *p = arg;
	bool was = canp_stage_off(p->set->clock, false);

	part_put(arg, data, len);
	canp_stage_off(p->set->clock, was);
}

static const char *part_device_name(void *arg, uint32_t device)
{
	return canp_devices_name(arg, device);
}

static struct canp_bytesink part_sink(struct canp_part *p)
{
	return (struct canp_bytesink){
		.room = part_room, .put = p->set->clock ? part_put_timed : part_put, .arg = p};
}

static void part_start_writer(struct canp_part *p)
{
	struct canp_partset *set = p->set;

	if (set->kind == CANP_SINK_CSV) {
		p->csv.opts = (struct canp_csv_opts){
			.table = p->table,
			.ts_ns_column = set->ts_ns,
			.device_column = set->device_column,
			.enum_labels = set->enum_labels,
			.sink = part_sink(p),
			.device_name = part_device_name,
			.arg = (void *)(uintptr_t)set->devices,
			.values = &p->values,
		};
		p->csv.header_done = false;
		p->csv.row = 0;
		return;
	}
	p->pqw = canp_pqw_open(
		&(struct canp_pqw_opts){
			.schema = p->schema,
			.shared = set->shared,
			.scratch = set->scratch,
			.pool = set->pages,
			.sink = part_sink(p),
			.rowgroup_rows = set->rowgroup_rows,
			.run_rows = set->run_rows,
			.device_name = part_device_name,
			.arg = (void *)(uintptr_t)set->devices,
		},
		true);
}

static int part_open_folder(struct canp_part *p)
{
	int out_fd = p->set->out_fd;

	p->dirfd = -1;
	if (p->set->discard)
		return 0;
	if (mkdirat(out_fd, p->table->name, 0777) < 0 && errno != EEXIST)
		return part_fail(p, -errno, "cannot create folder of");
	p->dirfd = openat(out_fd, p->table->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->dirfd < 0 ? part_fail(p, -errno, "cannot open folder of") : 0;
}

int canp_part_open(struct canp_part *p, struct canp_out *mem)
{
	struct canp_partset *set = p->set;
	char name[CANP_PART_NAME_MAX];
	int rc;

	CANP_ASSERT(p->state == CANP_PART_CLOSED);
	p->out = mem;
	rc = part_open_folder(p);
	if (rc)
		return rc;
	canp_partition_part_name(name, p->seq, part_ext[set->kind]);
	rc = canp_out_open(mem, &(struct canp_out_opts){
					.ring = set->ring,
					.pool = set->staging,
					.dirfd = p->dirfd,
					.name = name,
					.policy = set->policy,
					.wait_on_space = set->wait_on_space,
					.privileged = true,
					.discard = set->discard,
				});
	if (rc < 0) {
		close(p->dirfd);
		return part_fail(p, rc, "cannot create");
	}
	p->rows = 0;
	p->values = 0;
	p->aborting = false;
	part_start_writer(p);
	p->state = CANP_PART_OPEN;
	return 0;
}

static int part_place_parquet(struct canp_part *p, const struct canp_run *run)
{
	if (canp_pqw_busy(p->pqw) && canp_pqw_step(p->pqw))
		return 1;
	if (canp_pool_avail(p->set->pages, true) < canp_pqw_need(p->pqw, run))
		return part_fail(p, -ENOMEM, "not enough --writer-mem for");
	canp_pqw_place(p->pqw, run);
	/* The row group that this run closed is written now; when staging is full the next place
	 * goes on with it. */
	canp_pqw_step(p->pqw);
	return 0;
}

/* Builds the view of up to 256 rows of a raw run that start at `row`, all inside one record slot.
 * meta has room for 256 entries. */
static void part_raw_view(const struct canp_run *run, uint32_t row, struct canp_chunk *c,
			  struct canp_meta_run *meta)
{
	uint32_t per = CANP_RUN_RAW_PER_SLOT(run->table->stride);
	uint32_t in_slot = row % per;
	struct canp_segcur cur = canp_segcur_at(&run->meta);
	struct canp_run_meta m;
	uint32_t at = 0;

	c->rows = canp_min(run->rows - row, per - in_slot);
	c->rows = canp_min(c->rows, CANP_CHUNK_ROWS);
	c->rec = run->raw_rec[row / per] + (size_t)in_slot * run->table->stride;
	c->lens = run->raw_lens ? run->raw_lens + row : NULL;
	c->meta = meta;
	c->nr_meta = 0;
	while (at < row + c->rows && canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m)) {
		if (at + m.rows > row)
			meta[c->nr_meta++] = (struct canp_meta_run){
				.start = (uint16_t)(at > row ? at - row : 0),
				.bus = (uint8_t)m.bus,
				.src = m.src,
				.device = m.device,
			};
		at += m.rows;
	}
}

static int part_place_csv(struct canp_part *p, const struct canp_run *run)
{
	struct canp_meta_run meta[CANP_CHUNK_ROWS];
	struct canp_chunk chunk;

	if (!p->csv.header_done) {
		if (canp_csv_header(&p->csv.opts) == -ENOBUFS)
			return 1;
		p->csv.header_done = true;
	}
	CANP_ASSERT(run->raw);
	while (p->csv.row < run->rows) {
		unsigned done = 0;
		int rc;

		part_raw_view(run, p->csv.row, &chunk, meta);
		rc = canp_csv_chunk(&p->csv.opts, &chunk, &done);
		p->csv.row += done;
		if (rc)
			return 1;
	}
	p->csv.row = 0;
	return 0;
}

/* A file between two runs keeps the block it is filling only while there are plenty. Else more open
 * parts than staging blocks would each hold one and wait for another for ever. */
static void part_share_staging(struct canp_part *p)
{
	if (canp_pool_avail(p->set->staging, true) < CANP_OUT_BLOCKS)
		canp_out_flush(p->out);
}

int canp_part_place(struct canp_part *p, const struct canp_run *run)
{
	int rc;

	if (p->state == CANP_PART_FAILED)
		return p->set->error;
	CANP_ASSERT(p->state == CANP_PART_OPEN);
	rc = p->set->kind == CANP_SINK_CSV ? part_place_csv(p, run) : part_place_parquet(p, run);
	if (rc == 0) {
		p->rows += run->rows;
		p->rows_total += run->rows;
	}
	part_share_staging(p);
	if (p->state != CANP_PART_FAILED && canp_out_error(p->out, NULL))
		return part_fail(p, canp_out_error(p->out, NULL), "cannot write");
	return rc;
}

int canp_part_settle(struct canp_part *p)
{
	int rc;

	if (p->state != CANP_PART_OPEN || p->set->kind == CANP_SINK_CSV || !canp_pqw_busy(p->pqw))
		return 0;
	rc = canp_pqw_step(p->pqw) ? 1 : 0;
	part_share_staging(p);
	if (canp_out_error(p->out, NULL))
		return part_fail(p, canp_out_error(p->out, NULL), "cannot write");
	return rc;
}

bool canp_part_full(const struct canp_part *p)
{
	if (p->state != CANP_PART_OPEN)
		return false;
	if (p->set->kind == CANP_SINK_CSV && p->csv.row)
		return false; /* in the middle of a run, which belongs into one file */
	if (p->set->part_bytes && canp_out_pos(p->out) >= p->set->part_bytes)
		return true;
	return p->set->kind == CANP_SINK_PARQUET && canp_pqw_groups(p->pqw) >= CANP_PART_GROUPS_MAX;
}

static void part_closed(struct canp_part *p)
{
	if (p->dirfd >= 0)
		close(p->dirfd);
	p->dirfd = -1;
	p->out = NULL;
	p->set->finishing--;
}

static void part_aborted(struct canp_out *o, int err, void *arg)
{
	(void)o;
	(void)err; /* a temporary that cannot be removed is reported by the next start */
	part_closed(arg);
}

static void part_published(struct canp_out *o, int err, void *arg)
{
	struct canp_part *p = arg;

	if (err) {
		part_fail(p, err, "cannot publish");
		p->aborting = true;
		canp_out_abort(o, part_aborted, p);
		return;
	}
	p->set->parts_published++;
	CANP_USDT2(part_published, canp_out_pos(o), p->rows);
	p->set->bytes_published += canp_out_pos(o);
	if (*p->table->message)
		p->set->rows_published += p->rows;
	p->set->values_published += p->values;
	canp_hooks_published(p->set->hooks, p->table->name, part_ext[p->set->kind], p->seq, p->rows,
			     canp_out_pos(o));
	canp_observe_part_end(p->set->obs, p->seq, (uint64_t)(uintptr_t)p);
	p->seq++;
	p->state = CANP_PART_CLOSED;
	part_closed(p);
}

int canp_part_finish(struct canp_part *p)
{
	if (p->state == CANP_PART_CLOSED || p->state == CANP_PART_PUBLISHING)
		return 0;
	if (p->state == CANP_PART_FAILED)
		return p->set->error;
	if (p->set->kind == CANP_SINK_PARQUET) {
		if (canp_pqw_busy(p->pqw) && canp_pqw_step(p->pqw))
			return 1;
		if (p->state == CANP_PART_OPEN) {
			if (canp_pool_avail(p->set->pages, true) < canp_pqw_need(p->pqw, NULL))
				return part_fail(p, -ENOMEM, "not enough --writer-mem for");
			p->state = CANP_PART_ENDING;
			canp_pqw_finish(p->pqw);
			if (canp_pqw_step(p->pqw))
				return 1;
		}
		p->values = canp_pqw_values(p->pqw);
		canp_pqw_destroy(p->pqw);
		p->pqw = NULL;
	}
	if (canp_out_error(p->out, NULL))
		return part_fail(p, canp_out_error(p->out, NULL), "cannot write");
	p->state = CANP_PART_PUBLISHING;
	canp_observe_part_begin(p->set->obs, p->seq, (uint64_t)(uintptr_t)p);
	p->set->finishing++;
	canp_out_finish(p->out, part_published, p);
	return 0;
}

void canp_part_abort(struct canp_part *p)
{
	if (p->state == CANP_PART_CLOSED || p->state == CANP_PART_PUBLISHING || !p->out ||
	    p->aborting)
		return;
	if (p->set->kind == CANP_SINK_PARQUET && p->pqw) {
		canp_pqw_destroy(p->pqw);
		p->pqw = NULL;
	}
	if (p->dirfd < 0 && !p->set->discard) {
		p->out = NULL;
		return;
	}
	p->state = CANP_PART_FAILED;
	p->aborting = true;
	p->set->finishing++;
	canp_out_abort(p->out, part_aborted, p);
}
