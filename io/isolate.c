/*
 * isolate.c - the job's side of isolation: the lanes and the pool, and what a shard does with its
 * lane. What the worker writes is looked at once, into a variable, and checked.
 */
#include "io/isolate_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "io/isolate_event.h"

/* What a worker may take besides what was mapped when it was forked: walkers need some 5 MiB. */
#define ISO_WORKER_MEM  ((uint64_t)256 << 20)
#define ISO_POOL_SHM    ((uint64_t)1 << 20)
#define ISO_SPILL_BYTES ((uint64_t)1 << 20)
/* Each bad file costs a worker: many of them are no reason to give up, workers that cannot even
 * start are. */
#define ISO_DEATHS    64u
#define ISO_DEATHS_MS 10000u
#define ISO_CANCEL_MS 500u
/* What a worker may stage: more frames than the largest file allowed holds, in the widest form. */
#define ISO_SPILL_MAX ((uint64_t)512 << 30)
#define ISO_NOT_MOVED UINT64_MAX

/* ---- pool ---- */

static uint64_t iso_mapped(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int iso_pool(struct canp_isolate *iso)
{
	struct canp_process_config c = {
		.worker_count = (int)iso->o.lanes,
		.pool_name = "canp-decode",
		.shm_bytes = ISO_POOL_SHM,
		.spin_us = CANP_PROCESS_NO_SPIN,
		.cancel_grace_ms = ISO_CANCEL_MS,
		.restart_max = ISO_DEATHS,
		.restart_window_ms = ISO_DEATHS_MS,
		.limits = &iso->limits,
		.worker_init = iso_worker_init,
		.worker_arg = iso,
	};

	iso->limits = (struct canp_process_limits){
		.as_bytes = iso_mapped() + (2 + (uint64_t)iso->o.lanes) * 2 * ISO_POOL_SHM +
			    ((uint64_t)64 << 20) + ISO_WORKER_MEM,
		.no_core = true,
		.no_new_privs = true,
		.seccomp = true,
		.required = true,
	};
	iso->pool = canp_process_pool_create(&c);
	if (!iso->pool)
		return -errno;
	return canp_process_pool_start(iso->pool);
}

static int iso_lanes(struct canp_isolate *iso)
{
	iso->lane_bytes = canp_align_up(iso_spool_at() + ISO_SPOOL + 4096, 4096UL);
	iso->map_bytes = iso->lane_bytes * iso->o.lanes;
	iso->map = mmap(NULL, iso->map_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (iso->map == MAP_FAILED) {
		iso->map = NULL;
		return -ENOMEM;
	}
	iso->ports = calloc(iso->o.lanes, sizeof(*iso->ports));
	if (!iso->ports)
		return -ENOMEM;
	for (unsigned i = 0; i < iso->o.lanes; i++)
		iso->ports[i].fd = iso->ports[i].spill = -1;
	for (unsigned i = 0; i < iso->o.lanes; i++) {
		struct canp_iso_port *p = &iso->ports[i];

		p->iso = iso;
		p->lane = (void *)(iso->map + (size_t)i * iso->lane_bytes);
		p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (p->fd < 0)
			return -errno;
	}
	return 0;
}

int canp_isolate_create(const struct canp_isolate_opts *o, struct canp_strbuf *err,
			struct canp_isolate **out)
{
	const char *spool = getenv("CANP_TEST_ISOLATE_SPOOL_KB");
	struct canp_isolate *iso = calloc(1, sizeof(*iso));
	struct canp_process_limits_state st = {0};
	int rc;

	if (!iso)
		return -ENOMEM;
	iso->o = *o;
	iso->o.lanes = canp_max(iso->o.lanes, 1u);
	iso->format = *o->format;
	iso->o.format = &iso->format;
	/* Test hook: a small spool is soon full. */
	iso->spool_bytes = spool ? canp_max(strtoull(spool, NULL, 10) << 10,
					    (unsigned long long)CANP_ISO_EVENT_MAX)
				 : ISO_SPOOL;
	iso->spool_bytes = canp_min(iso->spool_bytes, ISO_SPOOL);
	rc = iso_lanes(iso);
	if (!rc)
		rc = iso_pool(iso);
	if (rc) {
		if (iso->pool)
			canp_process_pool_limits(iso->pool, &st);
		canp_strbuf_printf(err,
				   "--isolate=process: cannot start the worker processes: %s%s%s "
				   "(--isolate=none works without)",
				   canp_strerror(rc), st.reason[0] ? "; " : "", st.reason);
		canp_isolate_destroy(iso);
		return rc;
	}
	*out = iso;
	return 0;
}

void canp_isolate_destroy(struct canp_isolate *iso)
{
	if (!iso)
		return;
	for (unsigned i = 0; iso->ports && i < iso->o.lanes; i++)
		canp_process_future_put(iso->ports[i].future);
	canp_process_pool_destroy(iso->pool);
	for (unsigned i = 0; iso->ports && i < iso->o.lanes; i++) {
		if (iso->ports[i].spill >= 0)
			close(iso->ports[i].spill);
		if (iso->ports[i].fd >= 0)
			close(iso->ports[i].fd);
	}
	free(iso->ports);
	if (iso->map)
		munmap(iso->map, iso->map_bytes);
	free(iso);
}

void canp_isolate_json(struct canp_json *js, const struct canp_isolate *iso)
{
	struct canp_process_limits_state st;
	struct canp_process_stats s;
	uint64_t files = 0, died = 0, retried = 0;

	if (!iso)
		return;
	for (unsigned i = 0; i < iso->o.lanes; i++) {
		files += iso->ports[i].files;
		died += iso->ports[i].died;
		retried += iso->ports[i].retried;
	}
	canp_process_pool_limits(iso->pool, &st);
	canp_json_key(js, "isolation");
	canp_json_object(js);
	canp_json_kstr(js, "mode", "process");
	canp_json_ku64(js, "workers", iso->o.lanes);
	canp_json_ku64(js, "files", files);
	canp_json_ku64(js, "files_quarantined", died);
	canp_json_ku64(js, "files_retried", retried);
	if (!canp_process_pool_stats(iso->pool, &s))
		canp_json_ku64(js, "worker_restarts", s.worker_restarts);
	canp_json_kbool(js, "seccomp", st.seccomp);
	canp_json_kbool(js, "no_new_privs", st.no_new_privs);
	canp_json_ku64(js, "address_space_bytes", iso->limits.as_bytes);
	canp_json_end(js);
}

/* ---- a lane ---- */

struct canp_iso_port *canp_isolate_port(struct canp_isolate *iso, unsigned lane)
{
	return lane < iso->o.lanes ? &iso->ports[lane] : NULL;
}

int canp_iso_fd(const struct canp_iso_port *p)
{
	return p->fd;
}

static void iso_wake(uint32_t *w)
{
	syscall(SYS_futex, w, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool canp_iso_busy(struct canp_iso_port *p)
{
	if (!p->future)
		return false;
	/* After its last word the worker leaves the lane alone. */
	if (!p->done && canp_process_future_wait(p->future, NULL, 0) == -ETIMEDOUT)
		return true;
	canp_process_future_put(p->future);
	p->future = NULL;
	return false;
}

static void iso_done(struct canp_future *f, void *arg)
{
	struct canp_iso_port *p = arg;
	uint64_t one = 1;

	(void)f;
	if (write(p->fd, &one, sizeof(one)) < 0)
		canp_debug("isolation: a bell that is full: %s", canp_strerror(-errno));
}

int canp_iso_begin(struct canp_iso_port *p, const char *name, uint64_t bytes)
{
	struct iso_lane *l = p->lane;
	struct canp_process_task t = {
		.func = iso_worker_file, .user_data = l, .done = iso_done, .done_arg = p};
	int rc;

	memset(l, 0, sizeof(*l));
	l->fd = p->fd;
	l->file = ++p->seq;
	l->bytes = bytes;
	l->spool_bytes = p->iso->spool_bytes;
	snprintf(l->name, sizeof(l->name), "%s", name);
	p->bytes = bytes;
	p->head = p->moved = p->fill = 0;
	p->eof = p->ended = p->done = false;
	p->spilled = 0;
	p->spill_at = ISO_NOT_MOVED;
	rc = canp_process_pool_submit_batch_into(p->iso->pool, &t, 1, &p->future);
	if (rc)
		p->future = NULL;
	return rc < 0 ? rc : 0;
}

/* Slots that may be filled; what the worker says about them is only believed if it can be. */
static uint32_t iso_free_slots(const struct canp_iso_port *p)
{
	uint32_t used = p->head - iso_get(&p->lane->tail);

	return used <= ISO_SLOTS ? ISO_SLOTS - used : 0;
}

size_t canp_iso_feed(struct canp_iso_port *p, const uint8_t *data, size_t len, uint64_t base,
		     bool eof)
{
	struct iso_lane *l = p->lane;
	uint32_t i = p->head % ISO_SLOTS;
	size_t n = canp_min(len, (size_t)(ISO_SLOT_BYTES - p->fill));

	if (canp_iso_fed(p) || !iso_free_slots(p))
		return 0;
	if (!p->fill)
		l->slots[i].base = base;
	if (n)
		memcpy(iso_slot(l, p->head) + p->fill, data, n);
	p->fill += (uint32_t)n;
	p->eof = eof && n == len;
	if (p->fill < ISO_SLOT_BYTES && !p->eof)
		return n;
	l->slots[i].len = p->fill;
	l->slots[i].eof = p->eof;
	p->fill = 0;
	iso_set(&l->head, ++p->head);
	iso_wake(&l->head);
	return n;
}

bool canp_iso_fed(const struct canp_iso_port *p)
{
	return p->eof || p->ended || iso_get(&p->lane->over);
}

bool canp_iso_waits(const struct canp_iso_port *p)
{
	return p->head == iso_get(&p->lane->tail) || iso_get(&p->lane->full) != p->moved;
}

/* ---- staging ---- */

static int iso_spill_open(struct canp_iso_port *p, int dirfd)
{
	char name[64];

	p->spill = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (p->spill >= 0)
		return 0;
	/* A file system without nameless files: one whose name is gone at once. */
	snprintf(name, sizeof(name), ".canp-isolate-%d-%d.tmp", (int)getpid(), p->fd);
	p->spill = openat(dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (p->spill < 0)
		return -errno;
	unlinkat(dirfd, name, 0);
	return 0;
}

int canp_iso_spill(struct canp_iso_port *p, int dirfd)
{
	struct iso_lane *l = p->lane;
	uint64_t len;
	ssize_t n;
	int rc;

	if (p->ended || iso_get(&l->full) == p->moved)
		return 0;
	len = canp_min(__atomic_load_n(&l->len, __ATOMIC_RELAXED), ISO_SPOOL);
	if (p->spilled > ISO_SPILL_MAX)
		return -EFBIG;
	rc = p->spill < 0 ? iso_spill_open(p, dirfd) : 0;
	if (rc)
		return rc;
	if (p->spill_at == ISO_NOT_MOVED)
		p->spill_at = 0;
	if (p->spill_at < len) {
		n = pwrite(p->spill, iso_spool(l) + p->spill_at,
			   (size_t)canp_min(len - p->spill_at, ISO_SPILL_BYTES), (off_t)p->spilled);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p->spill_at += (uint64_t)n;
		p->spilled += (uint64_t)n;
	}
	if (p->spill_at >= len) {
		p->spill_at = ISO_NOT_MOVED;
		iso_set(&l->moved, ++p->moved);
		iso_wake(&l->moved);
	}
	return 1;
}

uint64_t canp_iso_len(const struct canp_iso_port *p)
{
	uint64_t len = __atomic_load_n(&p->lane->len, __ATOMIC_RELAXED);

	return p->spilled + canp_min(len, ISO_SPOOL);
}

uint64_t canp_iso_staged(const struct canp_iso_port *p)
{
	return p->spilled;
}

int64_t canp_iso_read(struct canp_iso_port *p, uint64_t at, uint8_t *buf, size_t n)
{
	uint64_t len = canp_iso_len(p);
	ssize_t got;

	if (at >= len)
		return 0;
	n = canp_min(n, len - at);
	if (at < p->spilled) {
		got = pread(p->spill, buf, (size_t)canp_min(n, p->spilled - at), (off_t)at);
		return got > 0 ? got : got < 0 ? -errno : -EIO;
	}
	memcpy(buf, iso_spool(p->lane) + (at - p->spilled), n);
	return (int64_t)n;
}

/* ---- how it ended ---- */

static enum canp_iso_how iso_outcome(const struct canp_process_result *r, char *text)
{
	const size_t max = 96;

	snprintf(text, max, "%s", r->message[0] ? r->message : canp_strerror(r->error));
	switch (r->outcome) {
	case CANP_PROCESS_CRASHED:
		if (r->signal)
			snprintf(text, max, "worker was ended by signal %d (%s)", r->signal,
				 strsignal(r->signal));
		else
			snprintf(text, max, "worker ended itself");
		return r->signal == SIGKILL || r->signal == SIGTERM ? CANP_ISO_KILLED
								    : CANP_ISO_DIED;
	case CANP_PROCESS_CANCELLED:
	case CANP_PROCESS_TIMEOUT:
		snprintf(text, max, "worker did not get on and was ended");
		return CANP_ISO_DIED;
	case CANP_PROCESS_SHUTDOWN:
	case CANP_PROCESS_BROKEN:
		return CANP_ISO_BROKEN;
	case CANP_PROCESS_OK:
		snprintf(text, max, "worker stopped before the end of the file");
		return CANP_ISO_DIED;
	default:
		return CANP_ISO_DIED;
	}
}

enum canp_iso_how canp_iso_how(struct canp_iso_port *p, char *text)
{
	struct canp_process_result r;
	enum canp_iso_how how;

	text[0] = '\0';
	if (!p->future)
		return p->ended ? CANP_ISO_DONE : CANP_ISO_BROKEN;
	if (canp_process_future_wait(p->future, &r, 0) == -ETIMEDOUT) {
		p->done = iso_get(&p->lane->over) != 0 && iso_get(&p->lane->full) == p->moved;
		return p->done ? CANP_ISO_DONE : CANP_ISO_RUNNING;
	}
	how = CANP_ISO_DONE;
	if (!iso_get(&p->lane->over) || iso_get(&p->lane->full) != p->moved)
		how = iso_outcome(&r, text);
	p->done = true;
	return how;
}

uint64_t canp_iso_beat(const struct canp_iso_port *p)
{
	return __atomic_load_n(&p->lane->beat, __ATOMIC_RELAXED);
}

uint64_t canp_iso_at(const struct canp_iso_port *p)
{
	return canp_min(__atomic_load_n(&p->lane->at, __ATOMIC_RELAXED), p->bytes);
}

void canp_iso_cancel(struct canp_iso_port *p)
{
	if (!p->future)
		return;
	iso_set(&p->lane->abort, 1);
	iso_wake(&p->lane->head);
	iso_wake(&p->lane->moved);
	canp_process_future_cancel(p->future);
}

void canp_iso_end(struct canp_iso_port *p)
{
	p->ended = true;
	p->files++;
	if (p->spill >= 0)
		close(p->spill);
	p->spill = -1;
}

void canp_iso_count(struct canp_iso_port *p, bool retried)
{
	p->died += !retried;
	p->retried += retried;
}
