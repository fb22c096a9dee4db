/*
 * runtime_priv.h - what runtime.c, shard.c, reactor.c and the signal part share. Included only from
 * this folder and by tests of it.
 */
#ifndef CANP_RUNTIME_RUNTIME_PRIV_H
#define CANP_RUNTIME_RUNTIME_PRIV_H

#include <pthread.h>

#include "core/runtime/runtime.h"

/* Threads wait for the phase to move on; it never moves back. */
enum canp_runtime_phase {
	CANP_RUNTIME_BOOT,    /* shards set themselves up */
	CANP_RUNTIME_RUN,     /* all are up: loops run */
	CANP_RUNTIME_ABORT,   /* one failed: the others do not start their loop */
	CANP_RUNTIME_RELEASE, /* all loops have ended: rings and arenas may go */
};

struct canp_runtime {
	struct canp_runtime_opts opts;
	struct canp_runtime_info info;
	int iowq_cpu; /* CPU without a reactor for the kernel's workers, -1 */
	unsigned nr;
	struct canp_shard **shards; /* each on its own cache lines */
	pthread_t *threads;
	struct canp_mesh *mesh;
	int interrupted; /* signal number; atomic */

	pthread_mutex_t lock;
	pthread_cond_t change;
	enum canp_runtime_phase phase; /* from here on under lock */
	unsigned nr_started, nr_booted, nr_ended;
};

/* shard.c: on the shard's own thread. boot pins, makes arena and ring, runs the set-up callback
 * and seals; after an error shutdown cleans up what was made. */
int canp_shard_boot(struct canp_shard *s);
void canp_shard_shutdown(struct canp_shard *s);

/* reactor.c: an embedded state for the loop, and the loop itself, until s->stop. */
void canp_reactor_init(struct canp_shard *s);
void canp_reactor_run(struct canp_shard *s);

/* Kicks every shard, so that each runs one more turn. Async-signal-safe. */
void canp_runtime_kick_all(struct canp_runtime *rt);
/* runtime_signal.c: puts the old handlers back if rt had installed ours, and returns when no
 * handler can still be using rt. */
void canp_runtime_signals_remove(struct canp_runtime *rt);

#endif
