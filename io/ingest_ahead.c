/*
 * ingest_ahead.c - files opened before their turn, and what ran side by side.
 *
 * As soon as all of the file under way has been asked for, the files behind it are opened: those of
 * the unit, then those of the units this shard will probably be given (canp_sched_peek()). The
 * reader gives them the slots that the file under way does not need, so its own reads are never
 * late for them. How many is --prefetch; one large file is enough to keep a device busy, small ones
 * are shorter than the reads that may be in flight. A guess that turns out wrong (another shard has
 * taken the unit) costs the reads that were made for it.
 *
 * What has arrived of them is offered to the look-ahead of the decoder: a file with fewer members
 * than there are lanes would leave most of them empty.
 */
#include <errno.h>
#include <string.h>

#include "core/base/units.h"
#include "io/ingest_shard.h"

static int ahead_open(struct canp_ingest_shard *is, uint32_t src, struct canp_stream **out)
{
	const struct canp_input *in = canp_job_input(is->job, src);

	if (canp_unlikely(is->stage != NULL) && is->job->opts.stages->files)
		return canp_ingest_stage_open(is, src, out);
	return canp_reader_open(is->reader, in->path, in->size, is->job->opts.read_policy, out);
}

/* False: there is no room for it now. */
static bool ahead_add(struct canp_ingest_shard *is, uint32_t src)
{
	struct canp_ingest_ahead *a = &is->ahead[is->nr_ahead];

	a->src = src;
	a->offered = false;
	a->stream = NULL;
	a->err = ahead_open(is, src, &a->stream);
	if (a->err == -EAGAIN)
		return false;
	is->nr_ahead++;
	is->files_ahead++;
	return true;
}

/* The file to be opened after `src`; *u is the unit it is in, and moves. False: not known. */
static bool ahead_next(const struct canp_ingest_shard *is, uint32_t *src, uint32_t *next_unit,
		       const uint32_t *units, unsigned nr, uint32_t *end)
{
	if (++*src < *end)
		return true;
	if (*next_unit >= nr)
		return false;
	*src = is->job->units.units[units[*next_unit]].first_file;
	*end = *src + is->job->units.units[units[*next_unit]].nr_files;
	++*next_unit;
	return true;
}

void canp_ingest_look_ahead(struct canp_ingest_shard *is)
{
	uint32_t units[CANP_INGEST_PREFETCH_MAX], src = is->file, end = is->file_end, at = 0;
	uint32_t want = is->job->opts.prefetch, seen = 0;
	unsigned nr;

	if (is->nr_ahead >= want || !canp_stream_requested(is->stream))
		return;
	nr = canp_sched_peek(is->job->sched, is->sh->index, units, want);
	while (is->nr_ahead < want && ahead_next(is, &src, &at, units, nr, &end)) {
		const struct canp_input *in = canp_job_input(is->job, src);

		/* What is known to be nothing is told when its turn comes. */
		if (in->err || !in->size)
			continue;
		/* Those that are open already come first and in this order. */
		if (seen < is->nr_ahead && is->ahead[seen].src == src)
			seen++;
		else if (seen < is->nr_ahead || !ahead_add(is, src))
			return;
		else
			seen = is->nr_ahead;
	}
}

/* Without walker nothing is decoded, and nobody would say which file is next. */
void canp_ingest_offer_ahead(struct canp_ingest_shard *is)
{
	for (uint32_t i = 0; is->walker && i < is->nr_ahead; i++) {
		struct canp_ingest_ahead *a = &is->ahead[i];
		const struct canp_format *fmt;
		const uint8_t *win;
		uint64_t base;
		size_t len;
		bool eof;

		if (a->offered || !a->stream)
			continue;
		if (!canp_ahead_wants(is->host.ahead) ||
		    canp_reader_peek(a->stream, &win, &len, &base, &eof) == -EAGAIN ||
		    (len < CANP_INGEST_PROBE_BYTES && !eof))
			return;
		a->offered = true;
		fmt = canp_format_probe_plain(win, len);
		if (fmt)
			canp_ahead_offer(is->host.ahead, a->src + 1ull, fmt->ahead, win, len);
	}
}

/* The windows of the files go with their streams. */
void canp_ingest_withdraw(struct canp_ingest_shard *is)
{
	canp_ahead_withdraw(is->host.ahead);
	for (uint32_t i = 0; i < is->nr_ahead; i++)
		is->ahead[i].offered = false;
}

static void ahead_drop(struct canp_ingest_shard *is, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (!is->ahead[i].stream)
			continue;
		canp_ingest_withdraw(is);
		canp_reader_close(is->ahead[i].stream);
	}
	is->nr_ahead -= nr;
	memmove(is->ahead, is->ahead + nr, is->nr_ahead * sizeof(is->ahead[0]));
}

void canp_ingest_drop_ahead(struct canp_ingest_shard *is)
{
	ahead_drop(is, is->nr_ahead);
}

int canp_ingest_open_stream(struct canp_ingest_shard *is)
{
	uint32_t i = 0;
	int rc;

	while (i < is->nr_ahead && is->ahead[i].src != is->file)
		i++;
	/* Those before it were guessed wrong. */
	ahead_drop(is, i);
	if (!is->nr_ahead)
		return ahead_open(is, is->file, &is->stream);
	rc = is->ahead[0].err;
	is->stream = is->ahead[0].stream;
	is->ahead[0].stream = NULL;
	ahead_drop(is, 1);
	return rc;
}

/* ---- side by side ---- */

void canp_ingest_overlap(struct canp_ingest_shard *is)
{
	const struct canp_ring_counts *c = canp_ring_counts(is->sh->ring);
	struct canp_ingest_overlap *o = &is->overlap;
	uint32_t unit;

	/* The steady state: something was written already, and not all was asked for yet. */
	if (!c->writes_max || !is->stream)
		return;
	if (canp_stream_requested(is->stream) && is->file + 1 >= is->file_end &&
	    canp_sched_peek(is->job->sched, is->sh->index, &unit, 1) == 0)
		return;
	o->turns++;
	o->reading += c->reads > 0;
	o->writing += c->writes > 0;
	o->both += c->reads > 0 && c->writes > 0;
}
