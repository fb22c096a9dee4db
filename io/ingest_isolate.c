/*
 * ingest_isolate.c - a file of the shard that is walked in a worker process (io/isolate.h):
 *
 *   FEED    its bytes go into the lane; a spool that is full is moved away
 *   CHECK   the worker says that it has ended: all events are looked at, none has an effect
 *   REPLAY  the events go to the grouper, through `decode` as windows of a file do
 *
 * A worker that dies leaves a fault and no row. One that was killed by a signal which it does not
 * raise itself is given the file once more: that was not the file's fault.
 *
 * Nothing waits here: the bell of the lane is polled by the ring, and a timer asks once a second
 * whether the worker gets on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "io/ingest_priv.h"
#include "io/isolate.h"
#include "io/isolate_event.h"
#include "io/outdir.h"

#define ISO_BUF_BYTES (64u << 10)
/* Holds every event but those with many frames. */
#define ISO_SKIM_BYTES  1024u
#define ISO_CHECK_BYTES ((uint64_t)4 << 20)
/* Seconds, counted while this process runs: one that was stopped has not waited. */
#define ISO_STILL_MAX 30u

_Static_assert(ISO_BUF_BYTES / 24 < CANP_INGEST_BURST_FRAMES, "a buffer is less than a burst");
_Static_assert(CANP_ISO_EVENT_MAX <= ISO_BUF_BYTES, "every event fits the buffer");

enum iso_phase { ISO_FEED, ISO_CHECK, ISO_REPLAY };

struct canp_ingest_iso {
	struct canp_iso_port *port;
	struct canp_ring_op bell;
	struct canp_timer timer;
	bool armed;
	enum iso_phase phase;
	unsigned tries;
	/* the watch */
	uint64_t beat;
	unsigned still, still_max;
	/* where in the events */
	uint64_t at;
	size_t have;
	struct canp_iso_state state;
	bool bad, known, whole;
	const struct canp_busref *buses[CANP_ISO_BUSES_MAX];
	uint32_t devices[CANP_ISO_DEVICES_MAX];
	uint8_t buf[ISO_BUF_BYTES + CANP_FORMAT_TAIL_PAD] __attribute__((aligned(64)));
};

int canp_ingest_isolate_init(struct canp_ingest_shard *is)
{
	const char *still = getenv("CANP_TEST_ISOLATE_STILL_S");

	if (!is->job->opts.isolate)
		return 0;
	is->iso = canp_job_shard_mem(is->job, is->sh->index, sizeof(*is->iso));
	if (!is->iso)
		return -ENOMEM;
	is->iso->port = canp_isolate_port(is->job->opts.isolate, is->sh->index);
	if (!is->iso->port)
		return -EINVAL;
	is->iso->still_max = still ? (unsigned)strtoul(still, NULL, 10) : ISO_STILL_MAX;
	return 0;
}

/* ---- bell and watch ---- */

static void iso_arm(struct canp_ingest_shard *is);

static void iso_on_bell(struct canp_ring_op *op)
{
	struct canp_ingest_shard *is = op->arg;
	uint64_t v;

	is->iso->armed = false;
	if (op->res < 0 || read(op->fd, &v, sizeof(v)) < 0)
		return;
	iso_arm(is);
}

static void iso_arm(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;

	if (iso->armed)
		return;
	iso->armed = true;
	iso->bell = (struct canp_ring_op){.opcode = CANP_OP_POLL,
					  .fd = canp_iso_fd(iso->port),
					  .done = iso_on_bell,
					  .arg = is};
	canp_ring_submit(is->sh->ring, &iso->bell);
}

static void iso_watch(struct canp_ingest_shard *is);

static void iso_look(struct canp_timer *t)
{
	struct canp_ingest_shard *is = t->arg;
	struct canp_ingest_iso *iso = is->iso;
	uint64_t beat = canp_iso_beat(iso->port);

	if (is->state != CANP_ING_ISOLATE || iso->phase != ISO_FEED)
		return;
	iso->still = beat != iso->beat || canp_iso_waits(iso->port) ? 0 : iso->still + 1;
	iso->beat = beat;
	if (iso->still == iso->still_max)
		canp_iso_cancel(iso->port);
	iso_watch(is);
}

static void iso_watch(struct canp_ingest_shard *is)
{
	is->iso->timer =
		(struct canp_timer){.deadline_ns = canp_clock_ns() + (uint64_t)CANP_NS_PER_S,
				    .fn = iso_look,
				    .arg = is};
	canp_reactor_timer_add(is->sh, &is->iso->timer);
}

static void iso_unwatch(struct canp_ingest_shard *is)
{
	canp_reactor_timer_del(is->sh, &is->iso->timer);
}

/* ---- the file ---- */

int canp_ingest_isolate_begin(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;
	int rc = canp_iso_begin(iso->port, canp_job_input(is->job, is->file)->rel,
				canp_stream_size(is->stream));

	if (rc == -EAGAIN)
		return rc;
	if (rc < 0) {
		is->error = rc;
		snprintf(is->error_what, sizeof(is->error_what),
			 "no worker process takes files any more: %s (too many have died, or their "
			 "parent process has)",
			 canp_strerror(rc));
		return rc;
	}
	iso->phase = ISO_FEED;
	iso->beat = iso->still = 0;
	iso_arm(is);
	iso_watch(is);
	is->state = CANP_ING_ISOLATE;
	return 0;
}

bool canp_ingest_isolate_busy(struct canp_ingest_shard *is)
{
	if (!canp_iso_busy(is->iso->port))
		return false;
	iso_arm(is);
	return true;
}

void canp_ingest_isolate_drop(struct canp_ingest_shard *is)
{
	if (!is->iso || is->state != CANP_ING_ISOLATE)
		return;
	iso_unwatch(is);
	if (is->iso->phase == ISO_FEED)
		canp_iso_cancel(is->iso->port);
	canp_iso_end(is->iso->port);
}

static void iso_close(struct canp_ingest_shard *is, bool walked)
{
	canp_iso_end(is->iso->port);
	is->iso->tries = 0;
	canp_ingest_close_file(is, walked, is->iso->whole);
}

/* Nothing of the file has been used. */
static void iso_quarantine(struct canp_ingest_shard *is, const char *text)
{
	struct canp_file_result *r = &is->job->results[is->file];
	uint64_t at = canp_iso_at(is->iso->port);
	struct canp_fault f;

	canp_fault_set(&f, CANP_FAULT_WORKER, at, canp_stream_size(is->stream), "%s", text);
	r->status = CANP_FILE_FAILED;
	r->quarantined = true;
	canp_ingest_fault(is, &f);
	canp_iso_count(is->iso->port, false);
	is->iso->whole = false;
	iso_close(is, false);
}

/* The worker has gone. */
static void iso_gone(struct canp_ingest_shard *is, enum canp_iso_how how, const char *text)
{
	struct canp_ingest_iso *iso = is->iso;

	iso_unwatch(is);
	if (how == CANP_ISO_BROKEN) {
		is->error = -ENOTRECOVERABLE;
		snprintf(is->error_what, sizeof(is->error_what),
			 "worker processes keep dying or cannot be started: %s", text);
		return;
	}
	if (how == CANP_ISO_DIED || iso->tries) {
		iso_quarantine(is, text);
		return;
	}
	iso->tries++;
	canp_iso_count(iso->port, true);
	canp_iso_end(iso->port);
	canp_reader_close(is->stream);
	is->stream = NULL;
	is->state = CANP_ING_OPEN;
}

/* ---- FEED ---- */

static unsigned iso_fill(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;
	unsigned work = 0;

	while (!canp_iso_fed(iso->port)) {
		const uint8_t *win;
		uint64_t base;
		size_t len, n;
		bool eof;
		int rc;

		if (canp_reader_peek(is->stream, &win, &len, &base, &eof) == -EAGAIN)
			return work;
		canp_ingest_look_ahead(is);
		n = canp_iso_feed(iso->port, win, len, base, eof);
		if (!n && !canp_iso_fed(iso->port))
			return work;
		work++;
		if (canp_iso_fed(iso->port))
			return work;
		rc = canp_reader_consume(is->stream, n, n == len);
		CANP_ASSERT(!rc);
		if (canp_clock_ns() >= is->deadline_ns)
			return work;
	}
	return work;
}

static unsigned iso_feed(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;
	enum canp_iso_how how;
	unsigned work;
	char text[96];
	int rc;

	work = iso_fill(is);
	rc = canp_iso_spill(iso->port, is->job->out_fd);
	if (rc == -EFBIG) {
		canp_iso_cancel(iso->port);
		rc = 0;
	}
	if (rc < 0) {
		is->error = rc;
		snprintf(is->error_what, sizeof(is->error_what),
			 "cannot stage the frames of %s in the output folder: %s",
			 canp_job_input(is->job, is->file)->rel, canp_strerror(rc));
		return 1;
	}
	how = rc ? CANP_ISO_RUNNING : canp_iso_how(iso->port, text);
	if (how == CANP_ISO_RUNNING)
		return work + (unsigned)rc;
	if (how != CANP_ISO_DONE) {
		iso_gone(is, how, text);
		return 1;
	}
	iso_unwatch(is);
	iso->phase = ISO_CHECK;
	iso->at = 0;
	iso->have = 0;
	iso->bad = false;
	memset(&iso->state, 0, sizeof(iso->state));
	return 1;
}

/* ---- CHECK ---- */

/* What is read at once: of frames in memory only the heads are needed, a file is read in blocks. */
static size_t iso_stride(const struct canp_ingest_iso *iso)
{
	return iso->at < canp_iso_staged(iso->port) ? ISO_BUF_BYTES : ISO_SKIM_BYTES;
}

/* False: not what a worker tells that follows the rules. */
static bool iso_skim(struct canp_ingest_iso *iso)
{
	int64_t have = canp_iso_read(iso->port, iso->at, iso->buf, iso_stride(iso));
	uint64_t done = 0;

	while (have > 0 && done < (uint64_t)have) {
		struct canp_iso_event ev;
		int n = canp_iso_skim(iso->buf + done, (size_t)((uint64_t)have - done), &ev);

		if (n < 0 || (n > 0 && !canp_iso_follow(&iso->state, &ev)))
			return false;
		if (!n)
			break;
		done += (uint64_t)n;
	}
	iso->at += done;
	return done && iso->at <= canp_iso_len(iso->port);
}

static unsigned iso_check(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;
	uint64_t len = canp_iso_len(iso->port), stop = iso->at + ISO_CHECK_BYTES;
	bool good = true;

	while (good && iso->at < len && iso->at < stop)
		good = iso_skim(iso);
	if (good && iso->at < len)
		return 1;
	if (!good || !iso->state.ended) {
		iso_quarantine(is, "worker told what no log can contain");
		return 1;
	}
	iso->phase = ISO_REPLAY;
	iso->at = 0;
	iso->known = false;
	memset(&iso->state, 0, sizeof(iso->state));
	return 1;
}

/* ---- REPLAY ---- */

/* Fills the buffer up. Bytes in it now, or -errno. */
static int64_t iso_read(struct canp_ingest_iso *iso)
{
	int64_t n = 0;

	if (iso->have < ISO_BUF_BYTES)
		n = canp_iso_read(iso->port, iso->at + iso->have, iso->buf + iso->have,
				  ISO_BUF_BYTES - iso->have);
	if (n < 0)
		return n;
	iso->have += (size_t)n;
	return (int64_t)iso->have;
}

static void iso_drop(struct canp_ingest_iso *iso, size_t n)
{
	memmove(iso->buf, iso->buf + n, iso->have - n);
	iso->have -= n;
	iso->at += n;
}

static void replay_format(struct canp_ingest_shard *is, const struct canp_iso_event *ev)
{
	struct canp_file_result *r = &is->job->results[is->file];

	r->format = ev->format.format;
	r->gz = ev->format.gz && r->format;
	is->iso->known = r->format != NULL;
	if (!r->format)
		return;
	canp_group_file_begin(is->group, is->file);
	if (r->device)
		canp_group_device(is->group, r->device);
}

static void replay_event(struct canp_ingest_shard *is, const struct canp_iso_event *ev)
{
	struct canp_ingest_iso *iso = is->iso;

	switch (ev->kind) {
	case CANP_ISO_FORMAT:
		replay_format(is, ev);
		break;
	case CANP_ISO_BUS:
		iso->buses[ev->bus] = canp_group_bus(
			is->group, ev->name.named ? ev->name.name : NULL, ev->name.number);
		break;
	case CANP_ISO_NAME:
		iso->devices[iso->state.devices - 1] =
			is->host.device(is->host.arg, ev->name.name, ev->name.len);
		break;
	case CANP_ISO_DEVICE:
		canp_group_device(is->group, ev->device ? iso->devices[ev->device - 1] : 0);
		break;
	case CANP_ISO_PUSH:
		canp_group_push(is->group, iso->buses[ev->bus], ev->push.ts_ns, ev->push.id,
				ev->push.flags, ev->push.dlc, ev->push.data, ev->push.len);
		break;
	case CANP_ISO_PUSH24:
		canp_group_push24(is->group, iso->buses[ev->bus], ev->push24.frames, ev->push24.n,
				  ev->push24.mul, ev->push24.add);
		break;
	case CANP_ISO_FAULT:
		canp_ingest_fault(is, &ev->fault);
		break;
	case CANP_ISO_END:
		is->job->results[is->file].stats = ev->end.stats;
		iso->whole = ev->end.whole;
		break;
	case CANP_ISO_NR:
		break;
	}
}

/* A file that is no log has no buses and no frames; a worker that tells some is not believed. */
static bool replay_may(const struct canp_ingest_iso *iso, const struct canp_iso_event *ev)
{
	return iso->known || ev->kind == CANP_ISO_FORMAT || ev->kind == CANP_ISO_END;
}

void canp_ingest_replay(struct canp_ingest_shard *is, struct canp_ingest_window *w)
{
	struct canp_ingest_iso *iso = is->iso;
	struct canp_iso_event ev;
	int n;

	w->res = CANP_WALK_MORE;
	while (!iso->state.ended &&
	       (n = canp_iso_parse(w->data + w->consumed, w->len - w->consumed, &ev)) != 0) {
		if (n < 0 || !canp_iso_follow(&iso->state, &ev)) {
			iso->bad = true;
			break;
		}
		w->consumed += (size_t)n;
		if (replay_may(iso, &ev))
			replay_event(is, &ev);
	}
	if (iso->bad || iso->state.ended)
		w->res = CANP_WALK_STOP;
}

static void replay_over(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;

	/* Only a worker that changes what it has told already gets here. */
	if (iso->bad) {
		iso_quarantine(is, "worker changed what it had told");
		return;
	}
	if (!iso->known)
		canp_ingest_fail_file(is, CANP_FAULT_NOT_A_LOG, 0, "no format recognises it");
	iso_close(is, iso->known);
}

static unsigned iso_replay(struct canp_ingest_shard *is)
{
	struct canp_ingest_iso *iso = is->iso;
	struct canp_ingest_window w = {0};
	struct canp_batch b;
	int64_t have;

	if (canp_ingest_runs_full(is))
		return 0;
	if (!canp_ingest_has_room(is, CANP_INGEST_BURST_FRAMES))
		return canp_ingest_starved(is);
	have = iso_read(iso);
	w.data = iso->buf;
	w.len = have > 0 ? (size_t)have : 0;
	canp_ingest_batch(&b, 1, &w);
	canp_flow_emit(is->read, &b);
	iso_drop(iso, w.consumed);
	iso->bad |= have < 0 || (!w.consumed && w.res == CANP_WALK_MORE);
	if (iso->bad || w.res == CANP_WALK_STOP)
		replay_over(is);
	return 1;
}

unsigned canp_ingest_isolate(struct canp_ingest_shard *is)
{
	switch (is->iso->phase) {
	case ISO_FEED:
		return iso_feed(is);
	case ISO_CHECK:
		return iso_check(is);
	case ISO_REPLAY:
		canp_ingest_update_privilege(is);
		return iso_replay(is);
	}
	return 0;
}

/* ---- the list ---- */

int canp_report_quarantine(const struct canp_job *job)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	int rc;

	if (!job->opts.isolate)
		return 0;
	canp_strbuf_puts(&sb, "");
	for (uint32_t i = 0; i < job->nr_files; i++) {
		const struct canp_input *in = canp_job_input(job, i);
		const struct canp_fault *f = &job->faults[(size_t)i * job->faults_per_file];
		struct canp_json js = CANP_JSON_INIT(&sb, 0);

		if (!job->results[i].quarantined)
			continue;
		canp_json_object(&js);
		canp_json_ku64(&js, "src", i);
		canp_json_kstr(&js, "path", in->path);
		canp_json_ku64(&js, "bytes", in->size);
		canp_json_kstr(&js, "cause", job->results[i].kept_faults ? f->detail : "");
		canp_json_ku64(&js, "offset", job->results[i].kept_faults ? f->offset : 0);
		canp_json_end(&js);
		canp_strbuf_putc(&sb, '\n');
	}
	rc = sb.failed ? -ENOMEM
		       : canp_outdir_write(job->out_fd, CANP_OUTDIR_META "/quarantine", sb.buf,
					   sb.len);
	canp_strbuf_fini(&sb);
	return rc;
}
