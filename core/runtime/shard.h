/*
 * shard.h - everything one core owns: cpu, node, ring, arena, pollers, statistics. Nothing in it
 * is shared with another shard but the mesh lanes.
 */
#ifndef CANP_RUNTIME_SHARD_H
#define CANP_RUNTIME_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/runtime/mesh.h"
#include "core/runtime/reactor.h"
#include "core/runtime/ring.h"
#include "numa/arena.h"

struct canp_runtime;

struct canp_shard {
	struct canp_runtime *rt;
	unsigned index; /* 0..nr-1 */
	int cpu;        /* pinned to, -1: not pinned (oversubscribed or refused) */
	int node;
	struct canp_ring *ring;
	struct canp_mesh *mesh;
	struct canp_arena *arena; /* sealed after set-up */
	/* Called for each mesh message; set by the set-up callback. */
	void (*on_msg)(void *arg, unsigned from, struct canp_msg *msg, bool returned);
	void *on_msg_arg;
	void *user;      /* the job's per-shard state */
	uint64_t now_ns; /* read once per turn */
	struct canp_reactor_stats stats;
	/* private to reactor.c / shard.c */
	struct canp_list pollers;
	struct canp_timer **timers;
	unsigned nr_timers;
	uint64_t spin_ns;       /* how long to look for work before sleeping */
	uint64_t idle_since_ns; /* 0: the last turn had work */
	bool stop;              /* written by any thread, atomically */
	int error;              /* first operating error on this shard */
};

#endif
