/*
 * ring_uring_priv.h - the io_uring backend's state, shared by its set-up (ring_uring_setup.c) and
 * its operation (ring_uring.c).
 */
#ifndef CANP_RUNTIME_RING_URING_PRIV_H
#define CANP_RUNTIME_RING_URING_PRIV_H

#include <liburing.h>

#include "core/runtime/ring_priv.h"

#define URING_FIXED_MAX 16u

/* Never a slot and generation: slots are below 2^24. */
#define URING_DATA_WAKE   UINT64_MAX
#define URING_DATA_IGNORE (UINT64_MAX - 1)

struct uring_slot {
	struct canp_ring_op *op; /* NULL: free */
	uint32_t gen;
};

#define URING_FILES 1024u
/* Descriptors above this go without a place. */
#define URING_FD_MAX 4096u

struct ring_uring {
	struct canp_ring ring; /* first */
	struct io_uring uring;
	struct uring_slot *slots;
	uint32_t *free; /* stack of free slots */
	uint32_t nr_slots, nr_free;
	uint32_t supported; /* bit per canp_ring_opcode */
	struct iovec fixed[URING_FIXED_MAX];
	unsigned nr_fixed;
	uint64_t fixed_ops;                /* operations that used a registered buffer */
	uint64_t file_ops;                 /* operations that used a registered file */
	uint16_t file_place[URING_FD_MAX]; /* by descriptor: place + 1, 0 = none */
	uint16_t file_free[URING_FILES];   /* stack of free places */
	uint32_t nr_file_free;             /* 0 also when there is no table */
	int efd;
	bool wake_armed;
	uint64_t wake_count; /* where the wake read puts the counter */
};

extern const struct canp_ring_backend canp_uring_backend;

static inline uint64_t uring_data(uint32_t slot, uint32_t gen)
{
	return (uint64_t)gen << 32 | slot;
}

/* Closes the eventfd and frees the tables and u itself. */
void canp_uring_free(struct ring_uring *u);

/* For tests: operations so far that used a registered buffer. r must be of kind URING. */
uint64_t canp_uring_fixed_ops(const struct canp_ring *r);
/* The same for registered files. */
uint64_t canp_uring_file_ops(const struct canp_ring *r);

#endif
