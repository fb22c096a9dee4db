/*
 * mesh.h - N x N single-producer single-consumer lanes between shards. A lane carries pointers to
 * messages whose memory the sender owns; the receiver hands each message back over the opposite
 * lane when it is done with it ("return lane"), so memory is always freed by the shard that made
 * it. Order per sender/receiver pair is kept. When a lane is full, messages wait in the sender's
 * FIFO; nothing is lost, nothing is allocated.
 */
#ifndef CANP_RUNTIME_MESH_H
#define CANP_RUNTIME_MESH_H

#include <stdint.h>

#include "core/base/list.h"

struct canp_mesh;
struct canp_ring;

struct canp_msg {
	struct canp_fifo_node node; /* private to mesh.c between send and receive */
	uint16_t home;              /* set by send: shard that owns the memory */
	uint16_t kind;              /* caller's; bit 15 is used by mesh for "returned" */
	uint32_t a;                 /* caller's */
};

#define CANP_MESH_LANE_SLOTS 256u

/* nr_shards <= 256. Control plane. */
int canp_mesh_create(unsigned nr_shards, struct canp_mesh **out);
void canp_mesh_destroy(struct canp_mesh *m);
/* Tells the mesh how to wake a sleeping shard. Before threads run. */
void canp_mesh_attach(struct canp_mesh *m, unsigned shard, struct canp_ring *ring);

/* Sends to another shard or to oneself (self-sends are delivered by the next recv). Shard thread
 * `from` only. The message becomes visible at canp_mesh_flush() at the latest. */
void canp_mesh_send(struct canp_mesh *m, unsigned from, unsigned to, struct canp_msg *msg);
/* Gives a received message back to its home shard. */
void canp_mesh_return(struct canp_mesh *m, unsigned from, struct canp_msg *msg);
/* Delivers up to max messages to `self`: fn(arg, from, msg, returned). Returns how many. */
unsigned canp_mesh_recv(struct canp_mesh *m, unsigned self, unsigned max,
			void (*fn)(void *arg, unsigned from, struct canp_msg *msg, bool returned),
			void *arg);
/* Pushes pending FIFOs into lanes and wakes receivers that sleep. Returns how many messages still
 * wait for room; the sender may sleep on them, the receiver kicks it when it has made room. */
unsigned canp_mesh_flush(struct canp_mesh *m, unsigned self);

/* Sleep protocol: announce, fence, re-check. prepare returns false when messages arrived meanwhile
 * (then do not sleep). */
bool canp_mesh_sleep_prepare(struct canp_mesh *m, unsigned self);
void canp_mesh_sleep_done(struct canp_mesh *m, unsigned self);
/* Makes a shard run one more turn, without a message: wakes it if it sleeps, and is remembered by
 * its next sleep_prepare if it does not. Any thread, async-signal-safe. */
void canp_mesh_kick(struct canp_mesh *m, unsigned shard);

#endif
