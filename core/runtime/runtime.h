/*
 * runtime.h - boot, drain and stop of the whole machine: the one place that creates threads.
 */
#ifndef CANP_RUNTIME_RUNTIME_H
#define CANP_RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/runtime/shard.h"
#include "numa/hugepage.h"
#include "numa/topology.h"

struct canp_runtime_opts {
	unsigned cores; /* shards wanted; 0: one per allowed CPU (cgroup quota applied) */
	enum canp_ring_kind ring;
	unsigned ring_entries;
	enum canp_hugepages hugepages;
	size_t arena_bytes;     /* per shard */
	size_t arena_min_bytes; /* shrink to this, then -ENOMEM */
	/* Bytes at the start of each arena that are made resident at boot; the rest comes with its
	 * first use (reserved hugepages are always resident as a whole). 0: all. */
	size_t arena_touch_bytes;
	/* First region of each arena (at its base), registered with the ring; 0: none. */
	size_t ring_region_bytes;
	bool restrict_ops;
	bool pin; /* pin reactors (default true; never when oversubscribed) */
	/* Install canp_runtime_signals() before the shards boot, so that a signal meanwhile is
	 * noted and the loops find it in their first turn. -EBUSY from create: another runtime has
	 * them. */
	bool signals;
	/* On each shard's own thread after pinning: carve the arena, add pollers, set on_msg. The
	 * arena is sealed when it returns 0; an error stops the boot. */
	int (*setup)(void *arg, struct canp_shard *s);
	/* On each shard's own thread after its loop ended and every operation in flight has been
	 * called back (those submitted meanwhile: -ECANCELED). Only where setup returned 0. May be
	 * NULL. */
	void (*teardown)(void *arg, struct canp_shard *s);
	void *arg;
};

struct canp_runtime_info {
	unsigned cores, cpus_allowed;
	bool oversubscribed;
	double cpu_quota; /* cgroup CPUs, 0 = none */
	struct canp_ring_caps ring;
	struct canp_hugepage_report hugepages; /* of shard 0 */
	size_t arena_bytes;
};

/* Boots all shards; returns when every set-up callback has returned 0. Control thread. */
int canp_runtime_create(const struct canp_runtime_opts *opts, struct canp_runtime **out);
/* Waits until every loop has ended (canp_runtime_stop()); returns the error of the lowest shard
 * that has one, or 0. Control thread. */
int canp_runtime_wait(struct canp_runtime *rt);
/* As above with a timeout; -ETIMEDOUT when still running (for progress lines). */
int canp_runtime_wait_for(struct canp_runtime *rt, uint64_t timeout_ns);
/* Asks every reactor to leave its loop. Any thread, async-signal-safe. */
void canp_runtime_stop(struct canp_runtime *rt);
/* Stops, joins threads and frees everything. NULL is allowed. Control thread. */
void canp_runtime_destroy(struct canp_runtime *rt);

unsigned canp_runtime_nr_shards(const struct canp_runtime *rt);
struct canp_shard *canp_runtime_shard(struct canp_runtime *rt, unsigned i);
const struct canp_runtime_info *canp_runtime_info(const struct canp_runtime *rt);

/* SIGINT/SIGTERM: the first asks for a drain (canp_runtime_interrupted() becomes the signal number
 * and every shard is kicked), the second restores the default and raises itself. Installed by
 * canp_runtime_signals(rt), removed by destroy. */
int canp_runtime_signals(struct canp_runtime *rt);           /* -EBUSY: another runtime has them */
int canp_runtime_interrupted(const struct canp_runtime *rt); /* 0 or signal number; any thread */

#endif
