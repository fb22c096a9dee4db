/*
 * isolate_worker.c - the worker's side: bytes come in through the slots of a lane, a walker looks
 * at them, and what it tells its host and its grouper goes into the spool.
 *
 * It follows ingest_read.c step by step, so that a file is cut into the same windows and damage is
 * told in the same words. Memory is taken once, at the start of the worker; then seccomp lets it do
 * no more than compute, sleep and ring the bell of its shard.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "io/isolate_event.h"
#include "io/isolate_priv.h"

#define ISO_PROBE_BYTES (64u << 10)

struct iso_worker {
	struct canp_isolate *iso;
	struct iso_lane *lane;
	void *walker_mem, *probe_mem, *group_mem;
	struct canp_group_capture capture;
	struct canp_format_host host;
	struct canp_iso_out out;
	uint64_t names[CANP_ISO_DEVICES_MAX];
	/* the file under way */
	uint32_t tail;
	bool held, eof, gone;
	const uint8_t *win;
	size_t len;
	uint64_t base, put;
	/* test hook */
	char crash[16];
	uint64_t crash_at;
	const char *crash_name;
};

static struct iso_worker *worker;

/* ---- words ---- */

static void iso_ring(struct iso_lane *l)
{
	uint64_t one = 1;

	/* A bell that cannot be rung any more has been rung. */
	if (write(l->fd, &one, sizeof(one)) < 0)
		return;
}

/* Sleeps until *w is not v. False: the file was given up. */
static bool iso_wait(struct iso_lane *l, uint32_t *w, uint32_t v)
{
	const struct timespec t = {.tv_nsec = 100 * 1000 * 1000};

	while (iso_get(w) == v) {
		if (iso_get(&l->abort) || canp_process_cancelled())
			return false;
		syscall(SYS_futex, w, FUTEX_WAIT, v, &t, NULL, 0);
	}
	return true;
}

/* ---- the way out ---- */

static void *worker_room(void *arg, size_t size)
{
	struct iso_worker *w = arg;
	struct iso_lane *l = w->lane;
	uint8_t *p;

	l->beat++;
	if (w->gone)
		return NULL;
	if (w->put + size > l->spool_bytes) {
		uint32_t moved = l->full;

		__atomic_store_n(&l->len, w->put, __ATOMIC_RELAXED);
		iso_set(&l->full, moved + 1);
		iso_ring(l);
		w->gone = !iso_wait(l, &l->moved, moved);
		w->put = 0;
		if (w->gone)
			return NULL;
	}
	p = iso_spool(l) + w->put;
	w->put += size;
	return p;
}

/* A format may name its device with each block. */
static uint32_t worker_device(void *arg, const char *name, size_t len)
{
	struct iso_worker *w = arg;
	uint64_t hash = canp_hash_bytes(name, len);
	uint32_t i = w->out.devices;

	while (i && w->names[i - 1] != hash)
		i--;
	if (i)
		return i;
	i = canp_iso_put_name(&w->out, name, len);
	w->names[i - 1] = hash;
	return i;
}

static void worker_fault(void *arg, const struct canp_fault *f)
{
	canp_iso_put_fault(&((struct iso_worker *)arg)->out, f);
}

/* ---- the way in ---- */

/* The next window: what is left of this one, and the next slot behind it. */
static bool worker_more(struct iso_worker *w)
{
	struct iso_lane *l = w->lane;
	uint32_t next = w->tail + w->held, i = next % ISO_SLOTS;
	uint8_t *to;

	if (!iso_wait(l, &l->head, next))
		return false;
	to = iso_slot(l, next) - w->len;
	if (w->len)
		memmove(to, w->win, w->len);
	w->base = l->slots[i].base - w->len;
	w->len += l->slots[i].len;
	w->win = to;
	w->eof = l->slots[i].eof;
	if (w->held) {
		iso_set(&l->tail, ++w->tail);
		iso_ring(l);
	}
	w->held = true;
	l->beat++;
	__atomic_store_n(&l->at, w->base, __ATOMIC_RELAXED);
	return true;
}

/* ---- test hook ---- */

/* CANP_TEST_CRASH=HOW@OFFSET:NAME: in a file whose name contains NAME, once OFFSET was passed. */
static void worker_hook(struct iso_worker *w)
{
	const char *text = getenv("CANP_TEST_CRASH"), *at = text ? strchr(text, '@') : NULL;
	char *colon;

	if (!at || (size_t)(at - text) >= sizeof(w->crash))
		return;
	memcpy(w->crash, text, (size_t)(at - text));
	w->crash_at = strtoull(at + 1, &colon, 10);
	w->crash_name = *colon == ':' ? colon + 1 : "";
}

static void worker_eat(void)
{
	for (;;) {
		void *p = malloc(16u << 20);

		if (!p)
			abort();
		memset(p, 1, 16u << 20);
	}
}

static void worker_crash(struct iso_worker *w)
{
	struct iso_lane *l = w->lane;

	if (!w->crash[0] || w->base + w->len <= w->crash_at || !strstr(l->name, w->crash_name))
		return;
	if (!strcmp(w->crash, "abort"))
		abort();
	if (!strcmp(w->crash, "segv"))
		raise(SIGSEGV);
	if (!strcmp(w->crash, "exit"))
		_exit(3);
	if (!strcmp(w->crash, "oom"))
		worker_eat();
	if (!strcmp(w->crash, "garbage"))
		memset(iso_spool(l), 0xa5, (size_t)w->put);
	while (!strcmp(w->crash, "hang"))
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	while (!strcmp(w->crash, "wait"))
		nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
}

/* ---- a file ---- */

static void worker_walk(struct iso_worker *w, struct canp_walker *walker)
{
	for (;;) {
		size_t used = 0;
		enum canp_walk res =
			canp_walker_walk(walker, w->win, w->len, w->base, w->eof, &used);
		struct canp_fault f;

		if (w->crash[0])
			worker_crash(w);
		w->win += used;
		w->len -= used;
		w->base += used;
		if (res == CANP_WALK_PAUSED)
			continue;
		if (res == CANP_WALK_STOP || w->eof || w->gone)
			return;
		if (w->len > CANP_FORMAT_STRADDLE) {
			canp_fault_set(&f, CANP_FAULT_LIMIT, w->base, 0,
				       "record larger than %u bytes", CANP_FORMAT_STRADDLE);
			canp_iso_put_fault(&w->out, &f);
			return;
		}
		if (!worker_more(w)) {
			w->gone = true;
			return;
		}
	}
}

/* Only the lane of its file: a wild write must not reach the files of others. */
static int worker_show(struct iso_worker *w, struct iso_lane *l)
{
	const struct canp_isolate *iso = w->iso;

	if (w->lane == l)
		return 0;
	if (mprotect(iso->map, iso->map_bytes, PROT_NONE) ||
	    mprotect(l, iso->lane_bytes, PROT_READ | PROT_WRITE))
		return -errno;
	w->lane = l;
	return 0;
}

int iso_worker_file(void *input, size_t input_size, void **output, size_t *output_size, void *user)
{
	struct iso_worker *w = worker;
	struct iso_lane *l = user;
	struct canp_format_stats stats = {0};
	const struct canp_format *format;
	struct canp_walker *walker;
	bool gz = false;
	int rc;

	(void)input;
	(void)input_size;
	(void)output;
	(void)output_size;
	rc = worker_show(w, l);
	if (rc)
		return rc;
	w->tail = 0;
	w->held = w->gone = w->eof = false;
	w->len = 0;
	w->put = 0;
	w->out.devices = 0;
	if (!worker_more(w))
		return -ECANCELED;
	format = canp_format_probe(w->win, w->len, w->probe_mem, &gz);
	canp_iso_put_format(&w->out, format, gz);
	if (format) {
		canp_group_file_begin(w->host.group, 0);
		canp_ahead_next(w->host.ahead, l->file);
		walker = canp_walker_open(w->walker_mem, format, gz, &w->host, l->bytes);
		worker_walk(w, walker);
		canp_walker_close(walker, &stats);
	} else if (w->crash[0]) {
		worker_crash(w);
	}
	canp_iso_put_end(&w->out, &stats, w->eof);
	if (w->gone)
		return -ECANCELED;
	__atomic_store_n(&l->len, w->put, __ATOMIC_RELAXED);
	iso_set(&l->over, 1);
	/* From here on the lane may be somebody else's. */
	iso_ring(l);
	return 0;
}

static void *worker_mem(size_t bytes)
{
	return aligned_alloc(64, canp_align_up(bytes, 64UL));
}

int iso_worker_init(void *arg)
{
	struct canp_isolate *iso = arg;
	struct iso_worker *w = calloc(1, sizeof(*w));
	const char *why;
	void *ahead = NULL;

	if (!w)
		return -ENOMEM;
	w->iso = iso;
	w->walker_mem = worker_mem(canp_walker_bytes());
	w->probe_mem = worker_mem(canp_format_probe_scratch());
	w->group_mem = worker_mem(canp_group_capture_bytes());
	if (canp_ahead_engine(iso->o.inflate, &why) != CANP_INFLATE_ISAL)
		ahead = worker_mem(canp_ahead_bytes());
	else
		iso->o.inflate = CANP_INFLATE_ISAL;
	if (!w->walker_mem || !w->probe_mem || !w->group_mem ||
	    (!ahead && iso->o.inflate != CANP_INFLATE_ISAL))
		return -ENOMEM;
	w->out = (struct canp_iso_out){.room = worker_room, .arg = w};
	w->capture = (struct canp_group_capture){.arg = &w->out,
						 .bus = canp_iso_put_bus,
						 .device = canp_iso_put_device,
						 .push = canp_iso_put_push,
						 .push24 = canp_iso_put_push24};
	w->host = (struct canp_format_host){
		.arg = w,
		.group = canp_group_capture_init(w->group_mem, &w->capture),
		.opts = &iso->format,
		.fault = worker_fault,
		.device = worker_device,
		.ahead = ahead ? canp_ahead_init(ahead, canp_ahead_engine(iso->o.inflate, &why))
			       : NULL,
	};
	worker_hook(w);
	worker = w;
	return 0;
}
