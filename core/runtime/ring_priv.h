/*
 * ring_priv.h - what ring.c and its two backends share; included only from this folder.
 *
 * The common part (ring.c) keeps the list of operations that wait for room and the list of
 * completed operations whose callbacks are due; it applies the fault hook, the slow device and the
 * bounded retry of EAGAIN and EINTR. A backend carries operations out and reports each through
 * canp_ring_complete(). At any moment an operation is in exactly one place (parked, waiting, in
 * the backend, held, or ready), so its one list node is enough.
 */
#ifndef CANP_RUNTIME_RING_PRIV_H
#define CANP_RUNTIME_RING_PRIV_H

#include <pthread.h>

#include "core/runtime/ring.h"

/* op->slot: backend slot in the low bits, retries so far in the high ones. */
#define CANP_RING_SLOT_BITS 24
#define CANP_RING_SLOT_MASK ((1u << CANP_RING_SLOT_BITS) - 1)
#define CANP_RING_RETRY_MAX 16u

struct canp_ring_backend {
	/* Takes over op or returns false when there is no room now. */
	bool (*issue)(struct canp_ring *r, struct canp_ring_op *op);
	/* Submits what was issued, sleeps up to timeout_ns when nothing is complete, and reports
	 * every completion it finds. */
	void (*enter)(struct canp_ring *r, uint64_t timeout_ns);
	void (*wake)(struct canp_ring *r);
	/* Ends outstanding polls with -ECANCELED, so that destroy cannot wait for ever. */
	void (*cancel_polls)(struct canp_ring *r);
	void (*destroy)(struct canp_ring *r); /* frees r; nothing is in flight */
	/* May be NULL: no file table. */
	void (*file_add)(struct canp_ring *r, int fd);
	void (*file_del)(struct canp_ring *r, int fd);
};

/* What can be slow: reads and writes. */
#define CANP_RING_DIRS 2u

struct canp_ring {
	const struct canp_ring_backend *be;
	struct canp_fifo waiting;              /* not yet taken by the backend */
	struct canp_fifo ready;                /* complete, callback due */
	struct canp_fifo held[CANP_RING_DIRS]; /* complete, but a slow device would not be done */
	unsigned inflight;
	struct canp_ring_counts counts;
	unsigned writes_limit;   /* 0: none */
	struct canp_fifo parked; /* writes above it */
	bool dispatching, closing;
	pthread_t owner;
	struct canp_ring_caps caps;
};

/* Creators allocate their struct, whose first member is struct canp_ring, and fill be and caps.
 * *why is filled with a text on failure. */
int canp_ring_uring_create(const struct canp_ring_opts *opts, struct canp_ring **out, char *why,
			   size_t why_bytes);
int canp_ring_sync_create(const struct canp_ring_opts *opts, struct canp_ring **out);

/* Backend -> common part, owner thread: op ended with res. */
void canp_ring_complete(struct canp_ring *r, struct canp_ring_op *op, int32_t res);
/* The waiting half of destroy: afterwards nothing is in flight and every submit ends with
 * -ECANCELED, but a wake is still allowed. Owner thread; again is allowed. */
void canp_ring_drain(struct canp_ring *r);
/* Adds a reason why the ring is not better, "; "-separated. */
void canp_ring_note(struct canp_ring_caps *caps, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Carries op out with ordinary system calls, blocking. Result or -errno. Any thread. */
int32_t canp_ring_exec(const struct canp_ring_op *op);

static inline unsigned canp_ring_retries(const struct canp_ring_op *op)
{
	return op->slot >> CANP_RING_SLOT_BITS;
}

static inline void canp_ring_set_slot(struct canp_ring_op *op, uint32_t slot)
{
	op->slot = (op->slot & ~CANP_RING_SLOT_MASK) | slot;
}

/* 0: read, 1: write, -1: neither. */
static inline int canp_ring_dir(const struct canp_ring_op *op)
{
	return op->opcode == CANP_OP_READ ? 0 : op->opcode == CANP_OP_WRITE ? 1 : -1;
}

/* First rung of the io_uring set-up ladder to try; 0 outside tests. */
extern unsigned canp_ring_first_rung;

/* Installs the fault hook that CANP_RING_FAULT asks for (debug flavours only). */
void canp_ring_fault_env(void);

/* ring_slow.c. env: looks at CANP_RING_SLOW, once. hold: keeps a completed operation until it is
 * due, false: it is ready now. release: makes ready what is due; ns until the next is, UINT64_MAX:
 * none is held. */
extern bool canp_ring_slow_on;
void canp_ring_slow_env(void);
bool canp_ring_slow_hold(struct canp_ring *r, struct canp_ring_op *op);
uint64_t canp_ring_slow_release(struct canp_ring *r);

#endif
