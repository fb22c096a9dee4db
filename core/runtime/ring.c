/*
 * ring.c - the part of a ring that does not depend on how operations are carried out: choice of
 * the backend, the list of operations that wait for room, the list of completions whose callbacks
 * are due, bounded retries, and the fault hook.
 *
 * Callbacks never run while completions are being collected: the backend only moves operations to
 * the ready list, and canp_ring_dispatch() runs the callbacks of those that were on it when it
 * began. So a callback may submit (even an operation that completes at once) without recursion,
 * and one dispatch is always finite.
 */
#include "core/runtime/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "core/runtime/ring_compat.h"
#include "core/runtime/ring_priv.h"

void (*canp_ring_fault_hook)(struct canp_ring_op *op);

void canp_ring_note(struct canp_ring_caps *caps, const char *fmt, ...)
{
	size_t n = strlen(caps->reason);
	va_list ap;

	if (n && n + 2 < sizeof(caps->reason)) {
		memcpy(caps->reason + n, "; ", 3);
		n += 2;
	}
	va_start(ap, fmt);
	vsnprintf(caps->reason + n, sizeof(caps->reason) - n, fmt, ap);
	va_end(ap);
}

/* A trial read of our own program: the flag is refused by kernels that do not know it and by file
 * systems that cannot do it. Files elsewhere may still refuse (-EOPNOTSUPP), so callers fall back.
 */
static bool ring_probe_dontcache(void)
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = preadv2(fd, &iov, 1, 0, CANP_RWF_DONTCACHE);
	close(fd);
	return n == 1;
}

/* Valgrind runs one thread at a time and does not know that entering a ring may wait, so the first
 * reactor that sleeps there would stop all others for good. It preloads a library of its own. */
static bool ring_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "/vgpreload_");
}

int canp_ring_create(const struct canp_ring_opts *opts, struct canp_ring **out)
{
	struct canp_ring *r = NULL;
	char why[sizeof(r->caps.reason)] = "";
	int rc;

	canp_ring_fault_env();
	canp_ring_slow_env();
	if (opts->kind == CANP_RING_AUTO && ring_under_valgrind()) {
		snprintf(why, sizeof(why), "valgrind cannot wait in io_uring");
	} else if (opts->kind != CANP_RING_SYNC) {
		rc = canp_ring_uring_create(opts, &r, why, sizeof(why));
		if (rc && opts->kind == CANP_RING_URING)
			return rc;
	}
	if (!r) {
		rc = canp_ring_sync_create(opts, &r);
		if (rc)
			return rc;
		if (why[0])
			canp_ring_note(&r->caps, "%s", why);
	}
	r->caps.has_dontcache = ring_probe_dontcache();
	r->owner = pthread_self();
	*out = r;
	return 0;
}

const struct canp_ring_caps *canp_ring_caps(const struct canp_ring *r)
{
	return &r->caps;
}

unsigned canp_ring_inflight(const struct canp_ring *r)
{
	return r->inflight;
}

static struct canp_ring_op *ring_op_of(struct canp_fifo_node *n)
{
	return canp_container_of(n, struct canp_ring_op, node);
}

const struct canp_ring_counts *canp_ring_counts(const struct canp_ring *r)
{
	return &r->counts;
}

void canp_ring_limit_writes(struct canp_ring *r, unsigned max)
{
	r->writes_limit = max;
}

/* It goes to the backend, or is over already. */
static void ring_count(struct canp_ring *r, const struct canp_ring_op *op)
{
	struct canp_ring_counts *c = &r->counts;

	if (op->opcode == CANP_OP_READ)
		c->reads_max = canp_max(c->reads_max, ++c->reads);
	else if (op->opcode == CANP_OP_WRITE)
		c->writes_max = canp_max(c->writes_max, ++c->writes);
}

static void ring_uncount(struct canp_ring *r, const struct canp_ring_op *op)
{
	r->inflight--;
	r->counts.reads -= op->opcode == CANP_OP_READ;
	r->counts.writes -= op->opcode == CANP_OP_WRITE;
	if (canp_unlikely(r->parked.head != NULL) && op->opcode == CANP_OP_WRITE) {
		struct canp_fifo_node *n = canp_fifo_pop(&r->parked);

		ring_count(r, ring_op_of(n));
		canp_fifo_push(&r->waiting, n);
	}
}

void canp_ring_submit(struct canp_ring *r, struct canp_ring_op *op)
{
	CANP_ASSERT((unsigned)op->opcode < CANP_OP_NR && op->done);
	CANP_DASSERT(pthread_equal(r->owner, pthread_self()));
	op->slot = 0;
	op->res = 0;
	r->inflight++;
	if (canp_unlikely(r->writes_limit && r->counts.writes >= r->writes_limit) &&
	    op->opcode == CANP_OP_WRITE && !r->closing) {
		canp_fifo_push(&r->parked, &op->node);
		return;
	}
	ring_count(r, op);
	if (canp_unlikely(r->closing)) {
		op->res = -ECANCELED;
		canp_fifo_push(&r->ready, &op->node);
		return;
	}
	/* It is handed to the backend by the next enter: that keeps order and batches. */
	canp_fifo_push(&r->waiting, &op->node);
}

/* Reads and writes name their offset, so doing one again has the same effect. EAGAIN comes from
 * requests that the block layer split, EINTR from signals to a worker; a descriptor that really
 * would block for ever returns EAGAIN to the caller after the last try. */
static bool ring_should_retry(const struct canp_ring_op *op)
{
	if (op->opcode != CANP_OP_READ && op->opcode != CANP_OP_WRITE)
		return false;
	if (op->res != -EAGAIN && op->res != -EINTR)
		return false;
	return canp_ring_retries(op) < CANP_RING_RETRY_MAX;
}

void canp_ring_complete(struct canp_ring *r, struct canp_ring_op *op, int32_t res)
{
	op->res = res;
	if (canp_unlikely(canp_ring_fault_hook != NULL))
		canp_ring_fault_hook(op);
	if (canp_unlikely(ring_should_retry(op))) {
		op->slot += 1u << CANP_RING_SLOT_BITS;
		canp_fifo_push(&r->waiting, &op->node);
		return;
	}
	if (canp_unlikely(canp_ring_slow_on) && canp_ring_slow_hold(r, op))
		return;
	canp_fifo_push(&r->ready, &op->node);
}

/* Hands waiting operations over until the backend has no more room. */
static void ring_issue_waiting(struct canp_ring *r)
{
	while (r->waiting.head) {
		struct canp_fifo_node *n = canp_fifo_pop(&r->waiting);

		if (r->be->issue(r, ring_op_of(n)))
			continue;
		n->next = r->waiting.head;
		r->waiting.head = n;
		if (!r->waiting.tail)
			r->waiting.tail = n;
		return;
	}
}

void canp_ring_enter(struct canp_ring *r, uint64_t timeout_ns)
{
	CANP_DASSERT(pthread_equal(r->owner, pthread_self()));
	ring_issue_waiting(r);
	if (canp_unlikely(canp_ring_slow_on))
		timeout_ns = canp_min(timeout_ns, canp_ring_slow_release(r));
	r->be->enter(r, r->ready.head ? 0 : timeout_ns);
	if (canp_unlikely(canp_ring_slow_on))
		canp_ring_slow_release(r);
	/* Retries, and operations that found no room before, are issued now that completions made
	 * some. They reach the kernel with the next enter at the latest; a sleep is such an enter.
	 */
	if (canp_unlikely(r->waiting.head != NULL))
		ring_issue_waiting(r);
}

int canp_ring_dispatch(struct canp_ring *r)
{
	struct canp_fifo batch = r->ready;
	struct canp_fifo_node *n;
	int nr = 0;

	CANP_ASSERT(!r->dispatching);
	if (!batch.head)
		return 0;
	r->ready = (struct canp_fifo){0};
	r->dispatching = true;
	while ((n = canp_fifo_pop(&batch)) != NULL) {
		struct canp_ring_op *op = ring_op_of(n);

		ring_uncount(r, op);
		nr++;
		op->done(op); /* may free or resubmit op */
	}
	r->dispatching = false;
	return nr;
}

int canp_ring_wait(struct canp_ring *r, uint64_t timeout_ns)
{
	canp_ring_enter(r, timeout_ns);
	return canp_ring_dispatch(r);
}

void canp_ring_file_add(struct canp_ring *r, int fd)
{
	CANP_DASSERT(pthread_equal(r->owner, pthread_self()));
	if (r->be->file_add)
		r->be->file_add(r, fd);
}

void canp_ring_file_del(struct canp_ring *r, int fd)
{
	CANP_DASSERT(pthread_equal(r->owner, pthread_self()));
	if (r->be->file_del)
		r->be->file_del(r, fd);
}

void canp_ring_wake(struct canp_ring *r)
{
	r->be->wake(r);
}

void canp_ring_drain(struct canp_ring *r)
{
	ring_issue_waiting(r);
	r->closing = true;
	r->be->cancel_polls(r);
	while (r->inflight) {
		canp_ring_wait(r, UINT64_MAX);
		if (r->inflight)
			r->be->cancel_polls(r); /* a poll may have been among those that waited */
	}
}

void canp_ring_destroy(struct canp_ring *r)
{
	if (!r)
		return;
	canp_ring_drain(r);
	r->be->destroy(r);
}
