/*
 * ring_sync.c - the operations of ring.h without io_uring: a few helper threads that make ordinary
 * blocking calls. It is what runs where the kernel or a container refuses io_uring, and a second
 * opinion in tests: every ring test runs on both.
 *
 * One mutex guards the queue of work and the list of finished operations. Helpers sleep on a
 * condition; the owner sleeps in ppoll() on an eventfd, which the last finisher or a waker writes
 * only when the owner said that it sleeps, so a busy ring makes no call for wake-ups. Polls of
 * descriptors are not given to helpers (they would occupy them): the owner adds them to its own
 * ppoll() set.
 */
#include "core/runtime/ring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "core/runtime/ring_compat.h"

#define SYNC_THREADS_DEFAULT 2u
#define SYNC_THREADS_MAX     16u
/* Polls looked at in one sleep; more wait their turn. Shards have a handful. */
#define SYNC_POLLS_MAX 64u

struct ring_sync {
	struct canp_ring ring; /* first */
	int efd;
	unsigned nr_threads;
	pthread_t threads[SYNC_THREADS_MAX];
	struct canp_fifo polls; /* owner only */

	pthread_mutex_t lock;
	pthread_cond_t more;
	struct canp_fifo work, finished; /* under lock */
	bool sleeping, quit;             /* under lock */
};

static struct ring_sync *sync_of(struct canp_ring *r)
{
	return canp_container_of(r, struct ring_sync, ring);
}

static struct canp_ring_op *sync_op_of(struct canp_fifo_node *n)
{
	return canp_container_of(n, struct canp_ring_op, node);
}

static ssize_t sync_rw(const struct canp_ring_op *op)
{
	struct iovec iov = {.iov_base = op->buf, .iov_len = op->len};
	off_t off = (off_t)op->off;
	ssize_t n;

	for (;;) {
		if (op->opcode == CANP_OP_READ)
			n = preadv2(op->fd, &iov, 1, off, (int)op->rw_flags);
		else
			n = pwritev2(op->fd, &iov, 1, off, (int)op->rw_flags);
		if (n >= 0 || errno != ESPIPE || off == -1)
			return n;
		off = -1; /* a pipe or socket has no offsets */
	}
}

static int sync_poll_now(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, -1) < 0 ? -1 : p.revents;
}

int32_t canp_ring_exec(const struct canp_ring_op *op)
{
	ssize_t rc = -1;

	switch (op->opcode) {
	case CANP_OP_NOP:
		return 0;
	case CANP_OP_READ:
	case CANP_OP_WRITE:
		rc = sync_rw(op);
		break;
	case CANP_OP_FDATASYNC:
		rc = fdatasync(op->fd);
		break;
	case CANP_OP_FSYNC:
		rc = fsync(op->fd);
		break;
	case CANP_OP_FTRUNCATE:
		rc = ftruncate(op->fd, (off_t)op->off);
		break;
	case CANP_OP_RENAME:
		rc = renameat2(op->fd, op->path, op->fd, op->path2, RENAME_NOREPLACE);
		break;
	case CANP_OP_UNLINK:
		rc = unlinkat(op->fd, op->path, 0);
		break;
	case CANP_OP_CLOSE:
		rc = close(op->fd);
		break;
	case CANP_OP_POLL:
		rc = sync_poll_now(op->fd);
		break;
	case CANP_OP_NR:
		return -EINVAL;
	}
	return rc < 0 ? -errno : (int32_t)rc;
}

static void sync_write_efd(const struct ring_sync *s)
{
	uint64_t one = 1;
	int saved = errno;

	/* EAGAIN means that the counter is full, so the sleeper wakes anyway. */
	if (write(s->efd, &one, sizeof(one)) < 0)
		CANP_ASSERT(errno == EAGAIN || errno == EINTR);
	errno = saved;
}

static void *sync_helper(void *arg)
{
	struct ring_sync *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct canp_fifo_node *n;
		struct canp_ring_op *op;
		int32_t res;

		while (!s->work.head && !s->quit)
			pthread_cond_wait(&s->more, &s->lock);
		n = canp_fifo_pop(&s->work);
		if (!n)
			break;
		pthread_mutex_unlock(&s->lock);
		op = sync_op_of(n);
		res = canp_ring_exec(op);
		pthread_mutex_lock(&s->lock);
		op->res = res;
		canp_fifo_push(&s->finished, &op->node);
		if (s->sleeping) {
			s->sleeping = false;
			sync_write_efd(s);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static bool sync_issue(struct canp_ring *r, struct canp_ring_op *op)
{
	struct ring_sync *s = sync_of(r);

	if (op->opcode == CANP_OP_POLL) {
		canp_fifo_push(&s->polls, &op->node);
		return true;
	}
	pthread_mutex_lock(&s->lock);
	canp_fifo_push(&s->work, &op->node);
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* Reports what helpers finished; true when there was something. With announce, an owner that found
 * nothing is marked as sleeping under the same lock, so no finisher can slip in between. */
static bool sync_collect(struct ring_sync *s, bool announce)
{
	struct canp_fifo done;
	struct canp_fifo_node *n;

	pthread_mutex_lock(&s->lock);
	done = s->finished;
	s->finished = (struct canp_fifo){0};
	s->sleeping = announce && !done.head;
	pthread_mutex_unlock(&s->lock);
	if (!done.head)
		return false;
	while ((n = canp_fifo_pop(&done)) != NULL)
		canp_ring_complete(&s->ring, sync_op_of(n), sync_op_of(n)->res);
	return true;
}

/* One ppoll() over the eventfd and the polled descriptors. */
static void sync_sleep(struct ring_sync *s, uint64_t timeout_ns)
{
	struct timespec ts = {(time_t)(timeout_ns / (uint64_t)CANP_NS_PER_S),
			      (long)(timeout_ns % (uint64_t)CANP_NS_PER_S)};
	struct pollfd fds[1 + SYNC_POLLS_MAX] = {{.fd = s->efd, .events = POLLIN}};
	struct canp_fifo polls = s->polls;
	struct canp_fifo_node *n;
	unsigned nr = 1, i = 1;
	uint64_t count;

	for (n = polls.head; n && nr < CANP_ARRAY_SIZE(fds); n = n->next)
		fds[nr++] = (struct pollfd){.fd = sync_op_of(n)->fd, .events = POLLIN};
	if (ppoll(fds, nr, timeout_ns == UINT64_MAX ? NULL : &ts, NULL) <= 0)
		return;
	if (fds[0].revents && read(s->efd, &count, sizeof(count)) < 0)
		CANP_ASSERT(errno == EAGAIN || errno == EINTR);
	s->polls = (struct canp_fifo){0};
	while ((n = canp_fifo_pop(&polls)) != NULL) {
		struct canp_ring_op *op = sync_op_of(n);
		short revents = i < nr ? fds[i].revents : 0;

		i++;
		if (revents)
			canp_ring_complete(&s->ring, op, (revents & POLLNVAL) ? -EBADF : revents);
		else
			canp_fifo_push(&s->polls, n);
	}
}

static void sync_enter(struct canp_ring *r, uint64_t timeout_ns)
{
	struct ring_sync *s = sync_of(r);
	bool some = sync_collect(s, timeout_ns != 0);

	if (timeout_ns == 0 || some) {
		if (s->polls.head)
			sync_sleep(s, 0);
		return;
	}
	sync_sleep(s, timeout_ns);
	sync_collect(s, false);
}

static void sync_wake(struct canp_ring *r)
{
	sync_write_efd(sync_of(r));
}

static void sync_cancel_polls(struct canp_ring *r)
{
	struct ring_sync *s = sync_of(r);
	struct canp_fifo_node *n;

	while ((n = canp_fifo_pop(&s->polls)) != NULL)
		canp_ring_complete(r, sync_op_of(n), -ECANCELED);
}

static void sync_destroy(struct canp_ring *r)
{
	struct ring_sync *s = sync_of(r);

	pthread_mutex_lock(&s->lock);
	s->quit = true;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->nr_threads; i++)
		pthread_join(s->threads[i], NULL);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	close(s->efd);
	free(s);
}

static const struct canp_ring_backend sync_backend = {
	.issue = sync_issue,
	.enter = sync_enter,
	.wake = sync_wake,
	.cancel_polls = sync_cancel_polls,
	.destroy = sync_destroy,
};

/* Helpers take no signals: a handler would turn their calls into EINTR. */
static int sync_start_helpers(struct ring_sync *s, unsigned want)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (s->nr_threads < want && !rc) {
		rc = pthread_create(&s->threads[s->nr_threads], NULL, sync_helper, s);
		if (!rc)
			s->nr_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return s->nr_threads ? 0 : -rc; /* fewer than wanted still work */
}

int canp_ring_sync_create(const struct canp_ring_opts *opts, struct canp_ring **out)
{
	unsigned want = opts->sync_threads ? opts->sync_threads : SYNC_THREADS_DEFAULT;
	struct ring_sync *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->ring.be = &sync_backend;
	s->ring.caps.kind = CANP_RING_SYNC;
	s->ring.caps.has_ftruncate = true;
	s->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->efd < 0) {
		rc = -errno;
		free(s);
		return rc;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	rc = sync_start_helpers(s, canp_min(want, SYNC_THREADS_MAX));
	if (rc) {
		sync_destroy(&s->ring);
		return rc;
	}
	*out = &s->ring;
	return 0;
}
