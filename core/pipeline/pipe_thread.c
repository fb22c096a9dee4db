/*
 * pipe_thread.c - a pipe without reactors: everything on one thread (SERIAL), or a thread for each
 * operator (THREADS), which may then block. All sources share a thread.
 *
 * A thread that finds no work sleeps on the pipe's condition; `gen` counts what could have made
 * work, so nothing is missed between the last look and the sleep.
 */
#include <errno.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"

static void threads_wake(struct canp_pipe *p, struct pipe_worker *w)
{
	(void)w;
	if (!__atomic_load_n(&p->sleepers, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&p->mu);
	p->gen++;
	pthread_cond_broadcast(&p->cv);
	pthread_mutex_unlock(&p->mu);
}

static void thread_sleep(struct canp_pipe *p, uint64_t gen, uint64_t until_ns)
{
	struct timespec ts = {(time_t)(until_ns / (uint64_t)CANP_NS_PER_S),
			      (long)(until_ns % (uint64_t)CANP_NS_PER_S)};

	pthread_mutex_lock(&p->mu);
	while (p->gen == gen) {
		if (!until_ns)
			pthread_cond_wait(&p->cv, &p->mu);
		else if (pthread_cond_timedwait(&p->cv, &p->mu, &ts))
			break;
	}
	pthread_mutex_unlock(&p->mu);
}

static void worker_run(struct pipe_worker *w)
{
	struct canp_pipe *p = w->p;

	while (pipe_runs(p)) {
		uint64_t gen;

		if (canp_pipe_step(w))
			continue;
		pthread_mutex_lock(&p->mu);
		gen = p->gen;
		pthread_mutex_unlock(&p->mu);
		__atomic_fetch_add(&p->sleepers, 1, __ATOMIC_SEQ_CST);
		if (!canp_pipe_step(w) && pipe_runs(p))
			thread_sleep(p, gen, w->again_ns);
		__atomic_fetch_sub(&p->sleepers, 1, __ATOMIC_SEQ_CST);
	}
}

static void *worker_main(void *arg)
{
	struct pipe_worker *w = arg;

	/* Until all threads are there, or it is known that they will not be. */
	pthread_mutex_lock(&w->p->mu);
	pthread_mutex_unlock(&w->p->mu);
	worker_run(w);
	return NULL;
}

static void threads_join(struct canp_pipe *p)
{
	for (unsigned i = 0; i < p->nr_workers; i++) {
		if (p->workers[i].has_thread)
			pthread_join(p->workers[i].thread, NULL);
		p->workers[i].has_thread = false;
	}
}

static int threads_start(struct canp_pipe *p)
{
	int rc = 0;

	pthread_mutex_lock(&p->mu);
	for (unsigned i = 0; i < p->nr_workers && !rc; i++) {
		struct pipe_worker *w = &p->workers[i];

		rc = -pthread_create(&w->thread, NULL, worker_main, w);
		w->has_thread = !rc;
	}
	if (rc)
		__atomic_store_n(&p->state, PIPE_IDLE, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&p->mu);
	if (rc)
		threads_join(p);
	return rc;
}

/* The calling thread does all of it. */
static void serial_run(struct canp_pipe *p)
{
	worker_run(&p->workers[0]);
}

const struct pipe_driver canp_pipe_serial = {
	.rest = threads_join,
	.start = threads_start,
	.destroy = threads_join,
	.run = serial_run,
	.wake = threads_wake,
};

const struct pipe_driver canp_pipe_threads = {
	.rest = threads_join,
	.start = threads_start,
	.destroy = threads_join,
	.wake = threads_wake,
};
